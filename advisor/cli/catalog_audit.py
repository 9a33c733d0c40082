"""``advisor catalog audit``: what the catalog covers, how old and how well founded it is, and what it lacks."""

from datetime import UTC, datetime
from pathlib import Path

import click

from advisor.catalog import user_catalog
from advisor.catalog.layers.audit import audit
from advisor.cli.output import deliver, output_option, report_format_option
from advisor.errors import AdvisorError
from advisor.report.audit_words import audit_json, audit_markdown, audit_words

_WORDS = {"table": audit_words, "json": audit_json, "markdown": audit_markdown}


class NotSound(AdvisorError):  # noqa: N818 - an outcome
    """An audit that found what a strict one may not."""


@click.command("audit")
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="Day that ages are counted to; default: today.")
@click.option("--strict", is_flag=True, help="Exit with 1 where there is any problem.")
@report_format_option
@output_option
def command(day: datetime | None, strict: bool, output_format: str, output: Path | None) -> None:
    """Audit the catalog as it counts for you, at list prices: coverage, age, quality, holes, contradictions.

    A problem is a cloud of whose pairs less than 95 % have a listed price of the last 180 days, a type of which layers
    say different hardware, a price that a layer disagrees with by more than 5 %, a layer that cannot be used, and an
    engine whose newest known release is older than 60 days.
    """
    result = audit(user_catalog(), (day or datetime.now(UTC)).date())
    deliver(_WORDS[output_format](result), output)
    if strict and result.problems:
        raise NotSound(
            f"{len(result.problems)} problem{'s' if len(result.problems) > 1 else ''} in the catalog",
            hint="`advisor catalog refresh` or `update` brings newer prices",
        )
