"""What stderr says of the prices that an answer stands on: layers that do not count, and how old they are."""

from datetime import UTC, datetime

import click

from advisor.catalog import load_catalog
from advisor.report.price_age import PriceUsed, age_sentence, is_old, refresh_hint
from advisor.workload.negotiated import expired, holdings_of


def warn_of_layers() -> None:
    """Name layers of the catalog that are damaged, and what was negotiated and has expired."""
    for warning in load_catalog().warnings:
        click.echo(f"warning: {warning}", err=True)


def warn_of_holdings() -> None:
    """Name commitments of the overlay that have expired: they count no more."""
    holdings = holdings_of(load_catalog())
    for warning in expired(holdings, datetime.now(UTC).date()) if holdings else ():
        click.echo(f"warning: {warning}", err=True)


def tell_age(oldest: PriceUsed | None) -> None:
    """Say how old the oldest price is that an answer uses; where it is old, what asks for today's."""
    if oldest is None:
        return
    today = datetime.now(UTC).date()
    if is_old(oldest, today):
        click.echo(f"warning: {age_sentence(oldest, today)}; {refresh_hint(oldest.provider)}", err=True)
    else:
        click.echo(f"note: {age_sentence(oldest, today)}", err=True)
