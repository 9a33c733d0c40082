"""``advisor catalog import-gpuhunt``, ``import-skypilot``, ``publish`` and ``update``: prices from and for others."""

import datetime as dt
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from advisor.atomic_files import write_text
from advisor.catalog import (
    GPUHUNT,
    SKYPILOT,
    allowed_signers_path,
    imported_dir,
    published_dir,
    published_origin,
    user_catalog,
)
from advisor.catalog.imports import PROVIDERS, SKYPILOT_PROVIDERS
from advisor.catalog.imports.reading import read_files, read_published, read_tables
from advisor.catalog.imports.rows import Listing, mapped
from advisor.catalog.layers.publication import Publication, place_of, publish, read_publication, tables_to_publish
from advisor.catalog.layers.snapshot import forget, providers
from advisor.catalog.layers.updating import import_listing, update
from advisor.cli.catalog_refresh import NotPublished, acceptance, confirm_option, max_move_option, without_password
from advisor.cli.options import PATH
from advisor.cli.output import ResultOption, deliver, output_option, quiet_option, table_or_json_option, tell
from advisor.errors import AdvisorError, InputError
from advisor.report.refresh_words import imports_json, imports_words, update_json, update_words

_KEPT = "unfinished"


@click.command("publish")
@click.argument("names", metavar="[PROVIDER…]", nargs=-1)
@click.option(
    "-o",
    "--output",
    cls=ResultOption,
    type=PATH,
    required=True,
    help="Directory to write to, or a file that ends in .zip.",
)
@click.option("--sign-key", type=PATH, help="SSH key to sign with (ssh-keygen -Y sign).")
@quiet_option
def publish_command(names: tuple[str, ...], output: Path, sign_key: Path | None) -> None:
    """Write the prices of each PROVIDER for others, as files that lie on any web server or in any bucket.

    Without PROVIDER those that were refreshed or updated here. Nothing that was imported or negotiated is written, and
    nothing of the account that asked. Others take it with `advisor catalog update URL`.
    """
    catalog = user_catalog()
    newer = {snapshot.provider for snapshot in (*catalog.published, *catalog.snapshots)}
    wanted = tuple(dict.fromkeys(names)) or tuple(sorted(newer))
    if not wanted:
        raise InputError(
            "nothing was refreshed yet", hint="run `advisor catalog refresh all`, or name providers to publish"
        )
    tables = [tables_to_publish(catalog, name) for name in wanted]
    done = publish(tables, output, dt.datetime.now(dt.UTC), sign_key)
    whose = ", ".join(f"{tables.provider} ({tables.read_on})" for tables in done.providers)
    signed = "" if sign_key is None else ", signed"
    tell(f"{output}: {done.name}, prices of {whose}, {done.size_bytes:,} bytes{signed}", err=False)


@click.command("update")
@click.argument("location", metavar="[URL|FILE]", required=False, callback=without_password)
@click.option("--provider", "names", multiple=True, help="Take only this provider. (repeatable)")
@click.option(
    "--allowed-signers",
    type=PATH,
    help="Who may sign it (ssh-keygen(1)); default: $XDG_CONFIG_HOME/advisor/allowed_signers where there is one.",
)
@confirm_option
@max_move_option
@click.option("--dry-run", is_flag=True, help="Read and compare, and keep the old prices.")
@click.option("--forget", "is_forgotten", is_flag=True, help="Drop what was published.")
@table_or_json_option
@output_option
def update_command(
    location: str | None,
    names: tuple[str, ...],
    allowed_signers: Path | None,
    confirmed: tuple[str, ...],
    max_move: float,
    dry_run: bool,
    is_forgotten: bool,
    output_format: str,
    output: Path | None,
) -> None:
    """Take a catalog that `advisor catalog publish` wrote: from a URL, a directory or a zip file; needs no account.

    Without URL or FILE it is read from where the last one came. It counts above what came with the program and below
    what was refreshed on this machine, and is taken only when it is whole, unchanged, newer and sound: nothing free,
    no price moved too far, no family gone.
    """
    if is_forgotten:
        _forget(published_dir(), "published", "updated")
        return
    root = published_dir()
    origin = location or _origin()
    publication = _read(origin, names, allowed_signers, root)
    try:
        results = update(
            publication.providers, user_catalog(), root,
            confirmed=frozenset(confirmed), most_moved=max_move, dry_run=dry_run,
        )  # fmt: skip
    except InputError as error:
        raise InputError(error.message, where=error.where or origin, hint=error.hint) from error
    words = update_json(publication, results) if output_format == "json" else update_words(publication, results, origin)
    deliver(words, output)
    held = sorted({(violation.guard.value, violation.key) for result in results for violation in result.held})
    if held:
        rows = sum(len(result.held) for result in results)
        raise NotPublished(
            f"{rows} row{'s are' if rows > 1 else ' is'} held back, so nothing was taken", hint=acceptance(held)
        )
    if not dry_run:
        with suppress(InputError):  # the prices are taken; the next time an address has to be given
            write_text(published_origin(), f"{origin if '://' in origin else Path(origin).absolute()}\n")


def _read(origin: str, names: tuple[str, ...], allowed_signers: Path | None, root: Path) -> Publication:
    """The publication; tables stay on disk only where the way to it broke off."""
    stated = allowed_signers_path()
    allowed = allowed_signers or (stated if stated.is_file() else None)
    place, kept = place_of(origin, is_signed=allowed is not None), root / _KEPT
    is_web = "://" in origin
    publication = read_publication(place, names, allowed, kept if is_web else None)
    shutil.rmtree(kept, ignore_errors=True)  # what a run that broke off left behind
    return publication


def _origin() -> str:
    try:
        return published_origin().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise click.UsageError("give the URL or FILE of a published catalog") from None


_as_of_option = click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Date of the prices; default: of their version, else the file's."
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Read and compare, and keep nothing.")
_forget_option = click.option("--forget", "is_forgotten", is_flag=True, help="Drop what was imported.")


class NothingImported(AdvisorError):  # noqa: N818 - an outcome
    """No row could be taken; what was imported before still holds."""


@click.command("import-gpuhunt")
@click.argument("paths", metavar="[PATH…]", nargs=-1, type=PATH)
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
        _forget(imported_dir(GPUHUNT), "imported", "imported")
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
        _forget(imported_dir(SKYPILOT), "imported", "imported")
        return
    if not locations:
        raise click.UsageError("give a PATH or a URL")
    listings = read_tables(locations, user_catalog().as_listed(), _day(as_of))
    _import(SKYPILOT, listings, (), SKYPILOT_PROVIDERS, output_format, output, dry_run=dry_run)


def _day(as_of: datetime | None) -> str | None:
    if as_of is None:
        return None
    if as_of.date() > (datetime.now(UTC) + timedelta(days=1)).date():
        raise click.BadParameter(f"{as_of:%Y-%m-%d} is in the future", param_hint="'--as-of'")
    return f"{as_of:%Y-%m-%d}"


def _import(
    program: str,
    listings: Sequence[Listing],
    unread: Sequence[str],
    named: Iterable[str],
    output_format: str,
    output: Path | None,
    *,
    dry_run: bool,
) -> None:
    catalog = user_catalog().as_listed()
    root = imported_dir(program)
    newest = {listing.named: listing for listing in sorted(listings, key=lambda listing: listing.as_of)}
    results = [import_listing(mapped(newest[name], catalog), catalog, root, dry_run=dry_run) for name in sorted(newest)]
    words = imports_json if output_format == "json" else imports_words
    deliver(words(program, results, unread), output)
    if not dry_run and not any(result.is_kept for result in results):
        raise NothingImported(
            "no row could be taken; what was imported before still holds",
            hint=f"{program}'s files of {', '.join(named)} can be",
        )


def _forget(root: Path, made: str, done: str) -> None:
    """Drop all of a layer, and say so with its participles."""
    names = providers(root)
    for name in names:
        forget(root, name)
        click.echo(f"{name}: what was {made} is dropped")
    if not names:
        click.echo(f"nothing was {done}")
