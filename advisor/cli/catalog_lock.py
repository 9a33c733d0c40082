"""``advisor catalog lock``: what a plan was made from."""

import json
from pathlib import Path

import click

from advisor.catalog import load_catalog
from advisor.cli.quiet import quiet_option
from advisor.plan.digests import digest
from advisor.plan.locks import DEFAULT_NAME, PlanRows, lock_of, place_of, with_processors_of, write_lock
from advisor.reading import read_text


@click.command("lock")
@click.argument("plan_file", type=click.Path(dir_okay=False, path_type=Path), metavar="PLAN.json")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File to write; default: {DEFAULT_NAME} beside the plan.",
)
@quiet_option
def lock_command(plan_file: Path, output: Path | None) -> None:
    """Write the rows of the catalog that PLAN.json was made from, to commit beside the infrastructure.

    `advisor recommend WORKLOAD --lock FILE` plans with them years later; `advisor check FILE` says what has changed.
    """
    from advisor.plan.document import plan_from_json  # noqa: PLC0415 - commands beside this one read no plan

    text = read_text(plan_file, "plan")
    plan = plan_from_json(text, str(plan_file))
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
    click.echo(f"{target}: prices of {len(lock.offers)} offer{'' if len(lock.offers) == 1 else 's'}{of_dates}")
