"""``advisor catalog``: look into the catalog of accelerators, instances and prices."""

from collections.abc import Sequence
from pathlib import Path

import click

from advisor.catalog import load_catalog
from advisor.catalog.planning import Serverless, ServicePrice, TokenPrice
from advisor.catalog.values import Accelerator
from advisor.cli.catalog_audit import command as audit_command
from advisor.cli.catalog_diff import diff
from advisor.cli.catalog_import import gpuhunt_command, skypilot_command
from advisor.cli.catalog_lock import lock_command
from advisor.cli.catalog_models import models_command
from advisor.cli.catalog_offers import check_known
from advisor.cli.catalog_offers import command as offers_command
from advisor.cli.catalog_publish import publish_command, update_command
from advisor.cli.catalog_refresh import command as refresh_command
from advisor.cli.catalog_show import command as show_command
from advisor.cli.listing import (
    Entry,
    deliver_entries,
    fitted,
    serialise,
    shown,
    whole,
)
from advisor.cli.output import deliver, list_format_option, output_option
from advisor.errors import InputError
from advisor.report.fitted_table import Column


@click.group()
def command() -> None:
    """Look into the catalog of accelerators, instances and prices, and keep it true."""


command.add_command(offers_command)
command.add_command(refresh_command)
command.add_command(diff)
command.add_command(update_command)
command.add_command(publish_command)
command.add_command(gpuhunt_command)
command.add_command(skypilot_command)
command.add_command(audit_command)
command.add_command(lock_command)
command.add_command(show_command)
command.add_command(models_command)


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
    owners = [one for one in catalog.providers if provider in ("", one)]
    if region:
        known = sorted({region for owner in owners for region in catalog.regions_of(owner)})
        check_known("--region", "region", (region,), known)
        owners = [owner for owner in owners if region in catalog.regions_of(owner)]
    found = [
        _service_entry(key, price)
        for key, price in prices.items()
        if key[0] in owners and (not region or key[2] in ("", region))
    ]
    if not found:
        raise InputError(f"nothing beside machines is priced in {region}", hint="ask without --region for all")
    deliver_entries(found, output_format, output)


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
        "provider": serverless.provider,
        "service": serverless.service,
        "accelerator": serverless.accelerator,
        "regions": ";".join(serverless.regions),
        "usd_per_hour": serverless.usd_per_hour,
        "vcpus": whole(serverless.vcpus),
        "memory_gib": whole(serverless.memory_gib),
        "quality": serverless.provenance.quality.value,
        "as_of": serverless.provenance.as_of,
    }


def _service_entry(key: tuple[str, str, str], price: ServicePrice) -> Entry:
    provider, item, region = key
    return {
        "provider": provider,
        "item": item,
        "region": region,
        "usd": float(f"{price.usd:.6g}"),
        "unit": price.unit,
        "quality": price.provenance.quality.value,
        "as_of": price.provenance.as_of,
    }


def _token_entry(token_price: TokenPrice) -> Entry:
    return {
        "name": token_price.name,
        "weights": token_price.model,
        "input_usd_per_million": token_price.input_usd_per_million,
        "cached_usd_per_million": token_price.cached_usd_per_million,
        "output_usd_per_million": token_price.output_usd_per_million,
        "context_tokens": token_price.context_tokens,
        "as_of": token_price.provenance.as_of,
    }


def _accelerator_entry(accelerator: Accelerator) -> Entry:
    return {
        "name": accelerator.name,
        "vendor": accelerator.vendor,
        "architecture": accelerator.architecture,
        "compute_capability": accelerator.compute_capability,
        "memory_gib": whole(accelerator.memory_gib),
        "memory_bandwidth_gb_per_second": whole(accelerator.memory_bandwidth_gb_per_second),
        "fp16_tflops": whole(accelerator.fp16_tflops),
        "fp8_tflops": whole(accelerator.fp8_tflops),
        "int8_tops": whole(accelerator.int8_tops),
        "fp4_tflops": whole(accelerator.fp4_tflops),
        "link_gb_per_second": whole(accelerator.link_gb_per_second),
        "tdp_watts": whole(accelerator.tdp_watts),
        "launch_year": accelerator.launch_year,
        "source": accelerator.provenance.source,
        "as_of": accelerator.provenance.as_of,
        "quality": accelerator.provenance.quality.value,
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
