"""``advisor catalog publish`` and ``update``: a catalog for others, and one that others made."""

import datetime as dt
from contextlib import suppress
from pathlib import Path

import click

from advisor.atomic_files import write_text
from advisor.catalog import allowed_signers_path, published_dir, published_origin, user_catalog
from advisor.catalog.layers.publication import Publication, forget_kept, read_publication
from advisor.catalog.layers.publication_places import place_of
from advisor.catalog.layers.publishing import publish, tables_to_publish
from advisor.catalog.layers.snapshot import forget, providers
from advisor.catalog.layers.updating import Updated, update
from advisor.cli.catalog_refresh import NotPublished, acceptance, confirm_option, max_move_option, without_password
from advisor.cli.output import deliver, output_option, table_or_json_option
from advisor.cli.progress import quiet_option
from advisor.errors import InputError
from advisor.report.refresh_words import update_json, update_words

_KEPT = "unfinished"


@click.command("publish")
@click.argument("names", metavar="[PROVIDER…]", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory to write to, or a file that ends in .zip.",
)
@click.option("--sign-key", type=click.Path(path_type=Path), help="SSH key to sign with (ssh-keygen -Y sign).")
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
    click.echo(f"{output}: {done.name}, prices of {whose}, {done.size_bytes:,} bytes{signed}")


@click.command("update")
@click.argument("location", metavar="[URL|FILE]", required=False, callback=without_password)
@click.option("--provider", "names", multiple=True, help="Take only this provider. (repeatable)")
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path),
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
        _forget()
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
    _check(results)
    if not dry_run:
        with suppress(InputError):  # the prices are taken; the next time an address has to be given
            write_text(published_origin(), f"{_absolute(origin)}\n")


def _read(origin: str, names: tuple[str, ...], allowed_signers: Path | None, root: Path) -> Publication:
    """The publication; tables stay on disk only where the way to it broke off."""
    stated = allowed_signers_path()
    allowed = allowed_signers or (stated if stated.is_file() else None)
    place, kept = place_of(origin, is_signed=allowed is not None), root / _KEPT
    is_web = "://" in origin
    publication = read_publication(place, names, allowed, kept if is_web else None)
    forget_kept(kept)
    return publication


def _check(results: tuple[Updated, ...]) -> None:
    """Refuse to call it done where rows are held up."""
    held = sorted({(violation.guard.value, violation.key) for result in results for violation in result.held})
    if held:
        rows = sum(len(result.held) for result in results)
        raise NotPublished(
            f"{rows} row{'s are' if rows > 1 else ' is'} held up, so nothing was taken", hint=acceptance(held)
        )


def _origin() -> str:
    try:
        return published_origin().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise click.UsageError("give the URL or FILE of a published catalog") from None


def _absolute(origin: str) -> str:
    return origin if "://" in origin else str(Path(origin).absolute())


def _forget() -> None:
    root = published_dir()
    dropped = providers(root)
    for name in dropped:
        forget(root, name)
        click.echo(f"{name}: what was published is dropped")
    if not dropped:
        click.echo("nothing was updated")
