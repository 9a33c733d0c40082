"""``advisor catalog``: look into the catalog of accelerators, instances and prices."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from advisor.catalog import load_catalog, published_dir, refreshed_dir, user_catalog
from advisor.catalog.layers.layered import offers_of_snapshot
from advisor.catalog.layers.snapshot import Change, Damaged, changes, current, previous, providers
from advisor.catalog.planning import Serverless, ServicePrice, TokenPrice
from advisor.catalog.refresh.engines import ENGINES
from advisor.catalog.values import Accelerator
from advisor.cli.catalog_import import gpuhunt_command, publish_command, skypilot_command, update_command
from advisor.cli.catalog_offers import (
    Entry,
    check_known,
    deliver_entries,
    fitted,
    serialise,
    shown,
    whole,
)
from advisor.cli.catalog_offers import command as offers_command
from advisor.cli.catalog_refresh import check_alone, diff_engines, wanted_providers
from advisor.cli.catalog_refresh import command as refresh_command
from advisor.cli.catalog_show import audit_command
from advisor.cli.catalog_show import command as show_command
from advisor.cli.options import FILE
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
from advisor.errors import InputError
from advisor.models import find_model, model_names, weight_bytes
from advisor.models.model import Model
from advisor.plan.locks import DEFAULT_NAME, PlanRows, lock_of, place_of, with_processors_of, write_lock
from advisor.plan.plain_values import digest
from advisor.reading import read_text
from advisor.records import picked
from advisor.report.refresh_words import change_words, changes_json
from advisor.report.text_table import Column
from advisor.units import bytes_to_gib, counted


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
