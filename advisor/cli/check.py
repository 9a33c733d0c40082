"""``advisor check``: whether the prices that a plan was made from still hold."""

import datetime as dt
from pathlib import Path

import click

from advisor.catalog import load_catalog
from advisor.cli.output import deliver, output_option, table_or_json_option
from advisor.cli.price_age import warn_of_layers
from advisor.errors import AdvisorError
from advisor.plan.locks import DEFAULT_NAME, read_lock
from advisor.report.drift import drift_json, drift_of, drift_words


class NoLongerHolds(AdvisorError):  # noqa: N818 - an outcome
    """The prices that a plan stands on have changed."""


@click.command()
@click.argument(
    "lock_file", type=click.Path(dir_okay=False, path_type=Path), metavar=f"[{DEFAULT_NAME}]", default=DEFAULT_NAME
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.05,
    show_default=True,
    help="A price may move by as much, as a share of it.",
)
@click.option("--max-price-age", type=click.IntRange(min=0), metavar="DAYS", help="An older price does not hold.")
@table_or_json_option
@output_option
def command(
    lock_file: Path, tolerance: float, max_price_age: int | None, output_format: str, output: Path | None
) -> None:
    """Compare the prices that a plan was made from with those of today; exit code 1 when they no longer hold.

    The file is what `advisor catalog lock` wrote; refresh the catalog first to compare with today's prices.
    """
    catalog, lock = load_catalog(), read_lock(lock_file)
    warn_of_layers()
    today = dt.datetime.now(dt.UTC).date()
    drift = drift_of(lock, catalog, tolerance, today, max_price_age)
    deliver(drift_json(drift) if output_format == "json" else drift_words(drift, today), output)
    if not drift.holds:
        changed = {(change.provider, change.region, change.instance_type) for change in drift.changes}
        counts = f"{len(changed)} of {len(lock.offers)} offers changed" if changed else "a price is too old"
        before = "" if drift.changes else "`advisor catalog refresh`, then "
        hint = f"run {before}`advisor recommend`, then `advisor catalog lock`"
        raise NoLongerHolds(counts, where=str(lock_file), hint=hint)
