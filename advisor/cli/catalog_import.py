"""``advisor catalog import-gpuhunt``: prices that the package gpuhunt lists, where ours are no better founded."""

from datetime import datetime
from pathlib import Path

import click

from advisor.catalog.imports import PROVIDERS
from advisor.catalog.imports.gpuhunt_reading import Listing, read_files, read_published
from advisor.catalog.imports.gpuhunt_rows import mapped
from advisor.catalog.layers.importing import import_listing
from advisor.catalog.layers.places import imported_dir
from advisor.catalog.layers.snapshot import forget, providers
from advisor.catalog.loading import user_catalog
from advisor.cli.output import deliver, output_option, table_or_json_option
from advisor.errors import AdvisorError
from advisor.report.import_words import imports_json, imports_words


class NothingImported(AdvisorError):  # noqa: N818 - an outcome
    """No row could be taken; what was imported before still holds."""


@click.command("import-gpuhunt")
@click.argument("paths", metavar="[PATH…]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Read what gpuhunt publishes today; needs the network.")
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Date of the files; default: of their version, else their own."
)
@click.option("--dry-run", is_flag=True, help="Read and compare, and keep nothing.")
@click.option("--forget", "is_forgotten", is_flag=True, help="Drop what was imported.")
@table_or_json_option
@output_option
def command(
    paths: tuple[Path, ...],
    live: bool,
    as_of: datetime | None,
    dry_run: bool,
    is_forgotten: bool,
    output_format: str,
    output: Path | None,
) -> None:
    """Import the catalog of gpuhunt: from PATH (catalog.zip, aws.csv, or a directory of them), or with --live.

    An imported price counts where the catalog knows none, or none that a source lists. Rows that cannot be mapped onto
    the providers, regions, types and accelerators of the catalog are counted and named.
    """
    if is_forgotten:
        _forget()
        return
    if live == bool(paths):
        raise click.UsageError("give a PATH, or --live")
    listings, unread = _listings(paths, live=live, as_of=as_of)
    catalog = user_catalog().as_listed()
    results = [
        import_listing(mapped(one, catalog), catalog, imported_dir(), dry_run=dry_run) for one in _newest(listings)
    ]
    deliver(imports_json(results, unread) if output_format == "json" else imports_words(results, unread), output)
    if not dry_run and not any(one.is_kept for one in results):
        raise NothingImported(
            "no row could be taken; what was imported before still holds",
            hint=f"gpuhunt's files of {', '.join(PROVIDERS)} can be",
        )


def _listings(
    paths: tuple[Path, ...], *, live: bool, as_of: datetime | None
) -> tuple[tuple[Listing, ...], tuple[str, ...]]:
    if live:
        return read_published(tuple(PROVIDERS))
    return read_files(paths, f"{as_of:%Y-%m-%d}" if as_of else None)


def _newest(listings: tuple[Listing, ...]) -> list[Listing]:
    """One of each provider: the newest."""
    found: dict[str, Listing] = {}
    for one in sorted(listings, key=lambda one: one.as_of):
        found[one.provider] = one
    return [found[name] for name in sorted(found)]


def _forget() -> None:
    known = providers(imported_dir())
    for name in known:
        forget(imported_dir(), name)
        click.echo(f"{name}: what was imported is dropped")
    if not known:
        click.echo("nothing was imported")
