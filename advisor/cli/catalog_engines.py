"""``advisor catalog refresh engines`` and ``diff engines``: which releases of engines there are, and what is new."""

from pathlib import Path

import click

from advisor.catalog import engines_dir, load_catalog, user_catalog
from advisor.catalog.layers.refreshing import RefreshedEngines, RefreshOptions, refresh_engines
from advisor.catalog.layers.snapshot import RELEASES, Damaged, current, forget, previous, release_changes, releases_of
from advisor.catalog.refresh.engines import ENGINES, URL, ReleaseGuard, tasks
from advisor.catalog.refresh.http import Client
from advisor.catalog.refresh.values import RefreshJob
from advisor.cli.output import Progress, deliver
from advisor.data_files import data_dir
from advisor.errors import AdvisorError, InputError
from advisor.report.refresh_words import (
    engine_refresh_json,
    engine_refresh_words,
    release_change_words,
    release_changes_json,
)

_HINT = "run `advisor catalog refresh engines`"


class ReleasesNotPublished(AdvisorError):  # noqa: N818 - an outcome
    """A refresh of releases that was not taken; the old ones hold."""


def check_alone(names: tuple[str, ...]) -> None:
    """Refuse engines beside providers: they are asked of another service, with guards of their own."""
    if set(names) != {ENGINES}:
        raise click.UsageError("`engines` is refreshed and compared by itself, not beside providers")


def refresh(manner: RefreshOptions, url: str | None, output_format: str, output: Path | None) -> None:
    """Ask an index for releases; what is read counts when it is whole and sound.

    Raises:
        ReleasesNotPublished: it is not.
    """
    address = url or URL
    question = RefreshJob(ENGINES, tuple(tasks(Client(), address)), asker=address)
    with Progress("answers of the package index") as progress:
        result = refresh_engines(
            question, user_catalog().releases, engines_dir(), manner,
            lambda done, total, _: progress.watch("answers of the package index", done, total),
        )  # fmt: skip
    deliver(engine_refresh_json(result) if output_format == "json" else engine_refresh_words(result), output)
    if not result.is_sound:
        raise ReleasesNotPublished(f"engines: {result.reason}; the old releases hold", hint=_remedy(result))


def _remedy(result: RefreshedEngines) -> str:
    if any(held.guard is ReleaseGuard.FUTURE for held in result.held):
        return "a release of the future cannot be accepted: check this machine's clock, or ask another index"
    if result.held:
        confirmations = " ".join(f"--confirm {held}" for held in sorted({held.key for held in result.held}))
        return f"if these releases are right, run again with {confirmations}"
    return next((gap.remedy for gap in result.answer.gaps), "")


def forget_releases() -> None:
    """Go back to the releases that came with the program."""
    done = forget(engines_dir(), RELEASES)
    click.echo(f"engines: {'back to the releases that came with the program' if done else 'was not refreshed'}")


def diff(*, shipped: bool, output_format: str, output: Path | None) -> None:
    """Print the changes of the last refresh.

    Raises:
        InputError: there was none, or it is damaged.
    """
    now = current(engines_dir(), RELEASES)
    if isinstance(now, Damaged):
        raise InputError(f"the refreshed releases are not used: {now.reason}", hint=_HINT)
    if now is None:
        raise InputError("engines was not refreshed", hint=_HINT)
    before = None if shipped else previous(engines_dir(), RELEASES)
    old = releases_of(before) if before else load_catalog(data_dir("instance_catalog")).releases
    changes = release_changes(old, releases_of(now))
    deliver(release_changes_json(changes) if output_format == "json" else release_change_words(changes), output)
