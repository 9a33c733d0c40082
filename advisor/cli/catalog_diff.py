"""``advisor catalog diff``: what the last refresh or the last update changed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from advisor.catalog.layers.changes import Change, changes
from advisor.catalog.layers.layered import offers_of_snapshot
from advisor.catalog.layers.places import published_dir, refreshed_dir
from advisor.catalog.layers.snapshot import Damaged, current, previous, providers
from advisor.catalog.loading import user_catalog
from advisor.catalog.refresh.engines import ENGINES
from advisor.cli import catalog_engines
from advisor.cli.catalog_refresh import wanted_providers
from advisor.cli.output import deliver, output_option, table_or_json_option
from advisor.errors import InputError
from advisor.report.refresh_words import change_words, changes_json


@dataclass(frozen=True, slots=True)
class _Layer:
    """Snapshots that `diff` can tell the changes of."""

    name: str
    done: str
    command: str
    """``{}`` is the provider."""
    root: Callable[[], Path]


_REFRESHED = _Layer("refreshed", "refreshed", "refresh {}", refreshed_dir)


_UPDATED = _Layer("published", "updated", "update URL", published_dir)


@click.command("diff")
@click.argument("names", metavar="[PROVIDER…]", nargs=-1)
@click.option("--shipped", is_flag=True, help="Compare with what came with the program, not with what was before.")
@click.option("--published", is_flag=True, help="What the last `advisor catalog update` changed.")
@table_or_json_option
@output_option
def diff(names: tuple[str, ...], shipped: bool, published: bool, output_format: str, output: Path | None) -> None:
    """What the last refresh changed, or the last update: new types, price moves, offers that are gone."""
    if ENGINES in names:
        catalog_engines.check_alone(names)
        catalog_engines.diff(shipped=shipped, output_format=output_format, output=output)
        return
    layer = _UPDATED if published else _REFRESHED
    root = layer.root()
    wanted = names if names and "all" not in names else providers(root)
    if not wanted:
        raise InputError(f"nothing was {layer.done} yet", hint=f"run `advisor catalog {layer.command.format('all')}`")
    found: list[Change] = []
    for name in wanted:
        now = current(root, name)
        if isinstance(now, Damaged):
            raise InputError(
                f"the {layer.name} prices of {name} are not used: {now.reason}",
                hint=f"run `advisor catalog {layer.command.format(name)}`",
            )
        if now is None:
            wanted_providers((name,))
            raise InputError(f"{name} was not {layer.done}", hint=f"run `advisor catalog {layer.command.format(name)}`")
        before = None if shipped else previous(root, name)
        old = offers_of_snapshot(before) if before else _shipped(name)
        found.extend(changes(old, offers_of_snapshot(now)))
    deliver(changes_json(found) if output_format == "json" else change_words(found), output)


def _shipped(provider: str) -> list[Any]:
    return [offer for offer in user_catalog().shipped_offers if offer.provider == provider]
