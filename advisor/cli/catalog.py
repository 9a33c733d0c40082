"""``advisor catalog``: look into the catalog; import, publish and update prices from and for others."""

import datetime as dt
import json
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
    load_catalog,
    published_dir,
    published_origin,
    refreshed_dir,
    user_catalog,
)
from advisor.catalog.imports import PROVIDERS, SKYPILOT_PROVIDERS, Listing, mapped
from advisor.catalog.imports.reading import read_files, read_published, read_tables
from advisor.catalog.layers.layered import import_listing, offers_of_snapshot
from advisor.catalog.layers.publication import Publication, publish, read_publication, tables_to_publish
from advisor.catalog.layers.publication import place_of as publication_place
from advisor.catalog.layers.snapshot import Change, Damaged, changes, current, forget, previous, providers
from advisor.catalog.layers.updating import update
from advisor.catalog.planning import Serverless, ServicePrice, TokenPrice
from advisor.catalog.refresh.engines import ENGINES
from advisor.catalog.values import Accelerator
from advisor.cli.catalog_offers import (
    Entry,
    audit_command,
    check_known,
    deliver_entries,
    fitted,
    serialise,
    show_command,
    shown,
    whole,
)
from advisor.cli.catalog_offers import command as offers_command
from advisor.cli.catalog_refresh import (
    NotPublished,
    acceptance,
    check_alone,
    confirm_option,
    diff_engines,
    max_move_option,
    wanted_providers,
    without_password,
)
from advisor.cli.catalog_refresh import command as refresh_command
from advisor.cli.options import FILE, PATH
from advisor.cli.output import (
    ResultOption,
    deliver,
    list_format_option,
    output_option,
    plan_of_text,
    quiet_option,
    table_or_json_option,
    tell,
)
from advisor.errors import AdvisorError, InputError
from advisor.models import find_model, model_names, weight_bytes
from advisor.models.model import Model
from advisor.plan.locks import DEFAULT_NAME, PlanRows, lock_of, place_of, with_processors_of, write_lock
from advisor.plan.plain_values import digest
from advisor.reading import read_text
from advisor.records import picked
from advisor.report.refresh_words import (
    change_words,
    changes_json,
    imports_json,
    imports_words,
    update_json,
    update_words,
)
from advisor.report.text_table import Column
from advisor.units import bytes_to_gib, counted

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
    place, kept = publication_place(origin, is_signed=allowed is not None), root / _KEPT
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


@click.command("diff")
@click.argument("names", metavar="[PROVIDER…]", nargs=-1)
@click.option("--shipped", is_flag=True, help="Compare with what came with the program, not with what was before.")
@click.option("--published", is_flag=True, help="What the last `advisor catalog update` changed.")
@table_or_json_option
@output_option
def diff(names: tuple[str, ...], shipped: bool, published: bool, output_format: str, output: Path | None) -> None:
    """Changes of the last refresh, or of the last update: new types, price moves, offers that are gone."""
    if ENGINES in names:
        check_alone(names)
        diff_engines(shipped=shipped, output_format=output_format, output=output)
        return
    root, layer, done, refresh = refreshed_dir(), "refreshed", "refreshed", "refresh {}"
    if published:
        root, layer, done, refresh = published_dir(), "published", "updated", "update URL"
    wanted = names if names and "all" not in names else providers(root)
    if not wanted:
        raise InputError(f"nothing was {done} yet", hint=f"run `advisor catalog {refresh.format('all')}`")
    moves: list[Change] = []
    for name in wanted:
        now = current(root, name)
        if isinstance(now, Damaged):
            raise InputError(
                f"the {layer} prices of {name} are not used: {now.reason}",
                hint=f"run `advisor catalog {refresh.format(name)}`",
            )
        if now is None:
            wanted_providers((name,))
            raise InputError(f"{name} was not {done}", hint=f"run `advisor catalog {refresh.format(name)}`")
        before = None if shipped else previous(root, name)
        shipped_offers = (offer for offer in user_catalog().shipped_offers if offer.provider == name)
        old = offers_of_snapshot(before) if before else list(shipped_offers)
        moves.extend(changes(old, offers_of_snapshot(now)))
    deliver(changes_json(moves) if output_format == "json" else change_words(moves), output)


_BILLION = 1e9
_FIGURES = (
    "memory_gib", "memory_bandwidth_gb_per_second", "fp16_tflops", "fp8_tflops", "int8_tops", "fp4_tflops",
    "link_gb_per_second", "tdp_watts",
)  # fmt: skip
_HEADS = {
    "billion_parameters": "10⁹ params", "active_billion": "10⁹ active", "weights_gib": "size GiB",
    "precision": "held as", "context_tokens": "context",
}  # fmt: skip


@click.command("models")
@click.argument("name", default="")
@list_format_option
@output_option
def models_command(name: str, output_format: str, output: Path | None) -> None:
    """List the models that are known by name, with their size; only those with NAME in theirs.

    What models that are no language models ask of a workload is told by kinds.md of the documentation, by task.
    """
    names = sorted(model for model in model_names() if name.casefold() in model.casefold())
    if not names:
        raise InputError(
            f"no model has '{name}' in its name",
            hint="ask without NAME for all, or give the path of a config.json in place of a name",
        )
    deliver_entries([_entry(find_model(model)) for model in names], output_format, output, _HEADS)


def _entry(model: Model) -> Entry:
    return {
        "name": model.name,
        "task": model.task,
        "billion_parameters": round(model.parameters_total / _BILLION, 3),
        "active_billion": round(model.parameters_active / _BILLION, 3),
        "weights_gib": round(bytes_to_gib(weight_bytes(model, model.checkpoint.precision)), 1),
        "precision": model.checkpoint.precision,
        "context_tokens": model.max_context_tokens or None,
    }


@click.command("lock")
@click.argument("plan_file", type=FILE, metavar="PLAN.json")
@click.option(
    "-o",
    "--output",
    cls=ResultOption,
    type=FILE,
    help=f"File to write; default: {DEFAULT_NAME} beside the plan.",
)
@quiet_option
def lock_command(plan_file: Path, output: Path | None) -> None:
    """Write the rows of the catalog that PLAN.json was made from, to commit beside the infrastructure.

    `advisor recommend WORKLOAD --lock FILE` plans with them years later; `advisor check FILE` says what has changed.
    """
    text = read_text(plan_file, "plan")
    plan = plan_of_text(text, str(plan_file))
    target = output or plan_file.parent / DEFAULT_NAME
    stated = json.loads(text)
    plan_digest = stated.pop("digest", None) or digest(stated)
    paid = plan.fleet.groups if plan.fleet else plan.options[:1]
    compared, chosen = frozenset(map(place_of, plan.options)), frozenset(map(place_of, paid))
    catalog = with_processors_of(load_catalog(), (*plan.options, *paid))
    lock = lock_of(catalog, PlanRows(plan_digest, plan.provenance.catalog_hash, compared, chosen))
    write_lock(lock, target)
    dates = " to ".join(dict.fromkeys((lock.oldest_as_of, lock.newest_as_of)))
    of_dates = f", those that are paid of {dates}" if dates else ""
    tell(f"{target}: prices of {counted(len(lock.offers), 'offer')}{of_dates}", err=False)


@click.group()
def command() -> None:
    """Look into the catalog of accelerators, instances and prices, and keep it true."""


for _command in (
    offers_command, refresh_command, diff, update_command, publish_command, gpuhunt_command, skypilot_command,
    audit_command, lock_command, show_command, models_command,
):  # fmt: skip
    command.add_command(_command)


@command.command("accelerators")
@list_format_option
@output_option
def list_accelerators(output_format: str, output: Path | None) -> None:
    """List accelerators with memory, bandwidth and dense peaks."""
    entries = [_accelerator_entry(accelerator) for accelerator in load_catalog().accelerators.values()]
    if output_format == "table":
        deliver(_accelerator_table(entries, output), output)
    else:
        deliver(serialise(entries, tuple(entries[0]), output_format), output)


@command.command("serverless")
@list_format_option
@output_option
def list_serverless(output_format: str, output: Path | None) -> None:
    """List services that run a container with an accelerator, with USD for an hour in which it runs."""
    entries = [_serverless_entry(serverless) for serverless in load_catalog().serverless]
    deliver_entries(entries, output_format, output)


@command.command("services")
@click.option("--provider", default="", help="aws, gcp or azure; all of them without it.")
@click.option("--region", default="", help="Region as the provider spells it; all of them without it.")
@list_format_option
@output_option
def list_services(provider: str, region: str, output_format: str, output: Path | None) -> None:
    """List what is sold beside machines: disks, NAT gateways, load balancers, logs, object storage, cache nodes.

    A row without a region holds wherever no other one does.
    """
    catalog = load_catalog()
    prices = catalog.service_prices
    check_known("--provider", "provider", (provider,) if provider else (), sorted({owner for owner, *_ in prices}))
    owners = [name for name in catalog.providers if provider in ("", name)]
    if region:
        sold_in = sorted({region for owner in owners for region in catalog.regions_of(owner)})
        check_known("--region", "region", (region,), sold_in)
        owners = [owner for owner in owners if region in catalog.regions_of(owner)]
    entries = [
        _service_entry(key, price)
        for key, price in prices.items()
        if key[0] in owners and (not region or key[2] in ("", region))
    ]
    if not entries:
        raise InputError(f"nothing beside machines is priced in {region}", hint="ask without --region for all")
    deliver_entries(entries, output_format, output)


@command.command("tokens")
@click.argument("name", default="")
@list_format_option
@output_option
def list_tokens(name: str, output_format: str, output: Path | None) -> None:
    """List models that are sold by the token, in USD for a million of them; only those with NAME in theirs."""
    token_prices = [
        token_price
        for token_price in load_catalog().every_token_price
        if name.casefold() in token_price.name.casefold()
    ]
    if not token_prices:
        raise InputError(
            f"no model that is sold by the token has '{name}' in its name", hint="ask without NAME for all"
        )
    deliver_entries([_token_entry(token_price) for token_price in token_prices], output_format, output)


def _serverless_entry(serverless: Serverless) -> Entry:
    return {
        **picked(serverless, "provider", "service", "accelerator"),
        "regions": ";".join(serverless.regions),
        "usd_per_hour": serverless.usd_per_hour,
        "vcpus": whole(serverless.vcpus),
        "memory_gib": whole(serverless.memory_gib),
        **picked(serverless.provenance, "quality", "as_of"),
    }


def _service_entry(key: tuple[str, str, str], price: ServicePrice) -> Entry:
    provider, item, region = key
    return {
        "provider": provider,
        "item": item,
        "region": region,
        "usd": float(f"{price.usd:.6g}"),
        "unit": price.unit,
        **picked(price.provenance, "quality", "as_of"),
    }


def _token_entry(token_price: TokenPrice) -> Entry:
    return {
        "name": token_price.name,
        "weights": token_price.model,
        **picked(token_price, "input_usd_per_million", "cached_usd_per_million", "output_usd_per_million"),
        "context_tokens": token_price.context_tokens,
        "as_of": token_price.provenance.as_of,
    }


def _accelerator_entry(accelerator: Accelerator) -> Entry:
    return {
        **picked(accelerator, "name", "vendor", "architecture", "compute_capability"),
        **{name: whole(figure) for name, figure in picked(accelerator, *_FIGURES).items()},
        "launch_year": accelerator.launch_year,
        **picked(accelerator.provenance, "source", "as_of", "quality"),
    }


def _accelerator_table(entries: Sequence[Entry], output: Path | None) -> str:
    columns = {
        "name": "name", "vendor": "vendor", "memory_gib": "GiB", "memory_bandwidth_gb_per_second": "GB/s",
        "fp16_tflops": "fp16", "fp8_tflops": "fp8", "int8_tops": "int8", "fp4_tflops": "fp4", "quality": "quality",
    }  # fmt: skip
    rows = [[shown(entry[key]) for key in columns] for entry in entries]
    note = "peaks are dense, in TFLOPS (int8: TOPS); GiB as software sees them"
    heads = [Column(head, 1 if head in ("vendor", "quality") else 0) for head in columns.values()]
    return f"{fitted(heads, rows, output)}\n{len(rows)} accelerators; {note}\n"
