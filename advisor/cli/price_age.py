"""Notes on stderr about the prices that an answer stands on: layers that do not count, and how old they are."""

from collections.abc import Iterable
from datetime import UTC, datetime

import click

from advisor.catalog import load_catalog
from advisor.cli.progress import tell
from advisor.report.price_age import PriceUsed, age_sentence, is_ahead, is_old, oldest_of, refresh_hint
from advisor.workload.negotiated import expired, holdings_of


def warn_of_layers() -> None:
    """Name layers of the catalog that are damaged, and a catalog or a clock that is wrong by years."""
    catalog, today = load_catalog(), datetime.now(UTC).date()
    for warning in catalog.warnings:
        click.echo(f"warning: {warning}", err=True)
    if is_ahead(catalog.as_of, today):
        newest = f"the newest price of the catalog is of {catalog.as_of}, after today by this machine's clock ({today})"
        click.echo(f"warning: {newest}: ages of prices cannot be told; see that both are right", err=True)


def warn_of_holdings() -> None:
    """Name commitments of the overlay that have expired: they count no more."""
    holdings = holdings_of(load_catalog())
    for warning in expired(holdings, datetime.now(UTC).date()) if holdings else ():
        click.echo(f"warning: {warning}", err=True)


def tell_age(used: Iterable[PriceUsed]) -> None:
    """Say how old the oldest price is that an answer uses, dates to come first; what asks for today's."""
    prices, today = tuple(used), datetime.now(UTC).date()
    ahead = [price for price in prices if is_ahead(price.as_of, today)]
    oldest = oldest_of(ahead or prices)
    if oldest is None:
        return
    if is_old(oldest, today):
        click.echo(f"warning: {age_sentence(oldest, today)}; {refresh_hint(oldest.provider)}", err=True)
    else:
        tell(f"note: {age_sentence(oldest, today)}")
