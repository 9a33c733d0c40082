"""``advisor catalog import-gpuhunt`` and ``import-skypilot``: prices that others list, where ours are no better."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from advisor.catalog import GPUHUNT, SKYPILOT, imported_dir, user_catalog
from advisor.catalog.imports import PROVIDERS, SKYPILOT_PROVIDERS
from advisor.catalog.imports.gpuhunt_reading import read_files, read_published
from advisor.catalog.imports.rows import Listing, mapped
from advisor.catalog.imports.skypilot import read_tables
from advisor.catalog.layers.importing import import_listing
from advisor.catalog.layers.snapshot import forget, providers
from advisor.cli.catalog_refresh import without_password
from advisor.cli.output import deliver, output_option, table_or_json_option
from advisor.errors import AdvisorError
from advisor.report.refresh_words import imports_json, imports_words

_as_of_option = click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Date of the prices; default: of their version, else the file's."
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Read and compare, and keep nothing.")
_forget_option = click.option("--forget", "is_forgotten", is_flag=True, help="Drop what was imported.")


class NothingImported(AdvisorError):  # noqa: N818 - an outcome
    """No row could be taken; what was imported before still holds."""


@click.command("import-gpuhunt")
@click.argument("paths", metavar="[PATH…]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Read what gpuhunt publishes today; needs the network.")
@_as_of_option
@_dry_run_option
@_forget_option
@table_or_json_option
@output_option
def gpuhunt_command(
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
        _forget(GPUHUNT)
        return
    if live == bool(paths):
        raise click.UsageError("give a PATH, or --live")
    listings, unread = read_published(tuple(PROVIDERS)) if live else read_files(paths, _day(as_of))
    _import(GPUHUNT, listings, unread, PROVIDERS, output_format, output, dry_run=dry_run)


@click.command("import-skypilot")
@click.argument("locations", metavar="[PATH|URL…]", nargs=-1, callback=without_password)
@_as_of_option
@_dry_run_option
@_forget_option
@table_or_json_option
@output_option
def skypilot_command(
    locations: tuple[str, ...],
    as_of: datetime | None,
    dry_run: bool,
    is_forgotten: bool,
    output_format: str,
    output: Path | None,
) -> None:
    """Import tables of SkyPilot's catalog: aws/vms.csv, a directory of them, or the URL of one with --as-of.

    Of the zones of a region on demand is the dearest, spot the median. Prices that stand for an unknown one (0, 700 of
    TPUs), and machines of Google without their accelerators, are left out, counted and named.
    """
    if is_forgotten:
        _forget(SKYPILOT)
        return
    if not locations:
        raise click.UsageError("give a PATH or a URL")
    listings = read_tables(locations, user_catalog().as_listed(), _day(as_of))
    _import(SKYPILOT, listings, (), SKYPILOT_PROVIDERS, output_format, output, dry_run=dry_run)


def _day(as_of: datetime | None) -> str | None:
    if as_of is None:
        return None
    if as_of.date() > (datetime.now(UTC) + timedelta(days=1)).date():
        raise click.BadParameter(f"{as_of:%Y-%m-%d} is a day to come", param_hint="'--as-of'")
    return f"{as_of:%Y-%m-%d}"


def _import(
    program: str,
    listings: Sequence[Listing],
    unread: Sequence[str],
    known: Iterable[str],
    output_format: str,
    output: Path | None,
    *,
    dry_run: bool,
) -> None:
    catalog = user_catalog().as_listed()
    root = imported_dir(program)
    results = [
        import_listing(mapped(listing, catalog), catalog, root, dry_run=dry_run) for listing in _newest(listings)
    ]
    words = imports_json if output_format == "json" else imports_words
    deliver(words(program, results, unread), output)
    if not dry_run and not any(result.is_kept for result in results):
        raise NothingImported(
            "no row could be taken; what was imported before still holds",
            hint=f"{program}'s files of {', '.join(known)} can be",
        )


def _newest(listings: Sequence[Listing]) -> list[Listing]:
    """One of each provider: the newest."""
    found: dict[str, Listing] = {}
    for listing in sorted(listings, key=lambda listing: listing.as_of):
        found[listing.named] = listing
    return [found[name] for name in sorted(found)]


def _forget(program: str) -> None:
    root = imported_dir(program)
    known = providers(root)
    for name in known:
        forget(root, name)
        click.echo(f"{name}: what was imported is dropped")
    if not known:
        click.echo("nothing was imported")
