"""Answers about a plan beside the plan: exit code where nothing serves it, and how old its prices are."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from advisor.catalog import load_catalog
from advisor.cli.output import tell
from advisor.demand.capped import capped_remedy, capped_words
from advisor.errors import NothingFeasible
from advisor.plan.doubts import capped_of, is_refused, left_out_of, refusal_words
from advisor.plan.request import read_question
from advisor.plan.values import Plan, Rejection
from advisor.report.price_age import PriceUsed, age_sentence, is_ahead, is_old, oldest_of, refresh_hint
from advisor.report.words import conflict_words, relaxation_words, short_words
from advisor.requirements import longer_context_words
from advisor.workload.holds import expired, holdings_of
from advisor.workload.values import Slo


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


_SEVERAL = "none of them alone would help: relax several together, or allow more providers, regions or accelerators"
_RELAX = {
    "memory": "allow a lower precision, a shorter context_tokens, or more providers and regions",
    "slo_ttft": "relax slo.ttft_p95",
    "slo_tpot": "relax slo.tpot_p95",
    "slo_e2e": "relax slo.e2e_p95",
    "engine_excluded": "allow one of those under engines, or leave engines out",
    "deadline": "give a longer demand.batch.deadline",
    "max_replicas": "raise limits.max_replicas",
    "zones": "lower limits.zones, or allow regions and types that are sold in more zones",
    "budget": "raise limits.max_usd_per_month",
    "network": "relax slo.ttft_p95 and slo.e2e_p95, or allow regions nearer to the users",
    "residency": "widen residency, or allow providers and regions that are in it",
    "not_listed": "leave listed_only out; ",
    "price_unknown": "allow other ways of paying, providers or regions",
    "replay": "relax slo, or lower slo.within_ratio",
}
"""Remedy by the code of a rejection; others have none."""


def check_served(plan: Plan, where: str) -> None:
    """End with exit code 4 where a plan has no fleet that serves its workload.

    Raises NothingFeasible with limits that exclude each other, the nearest misses, or the fleet that came closest.
    """
    if plan.fleet is None:
        raise _nothing_feasible(plan, where)
    if is_refused(plan):
        refused = refusal_words(plan, short_words(plan.fleet))
        raise NothingFeasible(refused, where=where, hint=_refusal_hint(plan))


def _refusal_hint(plan: Plan) -> str:
    """Remedy where no fleet holds: the context first, where that leaves out more than its part may be late."""
    usual, left_out = "relax the targets of slo, or allow more providers, regions or accelerators", left_out_of(plan)
    capped = capped_of(plan)
    usual = f"{capped_remedy(capped)}; or {usual}" if capped else usual
    if not left_out:
        return usual
    question = read_question(plan.question)
    longer = longer_context_words(question.workload.slo, question.demand)
    context = f"give context_tokens {longer}"
    return context if left_out > 1 - question.workload.slo.rehearsed_ratio else f"{context}; or {usual}"


def _nothing_feasible(plan: Plan, where: str) -> NothingFeasible:
    """Which limits to relax: those that exclude each other, or those that the nearest misses break."""
    message, hints = "no offer of the catalog serves this workload within its limits", list[str]()
    if plan.conflict is not None:
        message = conflict_words(plan.conflict).rstrip(".")
        relaxed = tuple(relaxation_words(plan.conflict))
        hints = ["what would help by itself:", *relaxed] if relaxed else [_SEVERAL]
    elif plan.nearest_misses:
        hints = ["nearest misses:", *(_miss_words(miss, plan.workload["slo"]) for miss in plan.nearest_misses)]
    if capped := capped_of(plan):
        message += f"; {capped_words(capped)}"
        hints.append(capped_remedy(capped))
    usual = "choose more providers, regions, precisions or purchase options"
    return NothingFeasible(message, where=where, hint="\n    ".join(hints) or usual)


def _miss_words(miss: Rejection, slo: Mapping[str, Any]) -> str:
    """A rejection and what helps against it; the target of whole answers under the key that states it."""
    helps = f"relax slo.{_whole_target(slo)}" if miss.code == "slo_latency" else _RELAX.get(miss.code, "")
    helps += refresh_hint(miss.provider) if miss.code == "not_listed" else ""
    return f"{miss.message} → {helps}" if helps else miss.message


def _whole_target(slo: Mapping[str, Any]) -> str:
    """Keys of the workload file that state the targets of whole answers."""
    latency = f"latency_p{round(100 * slo.get('latency_percentile', Slo().latency_percentile))}"
    stated = ((latency, slo.get("latency_ms")), ("real_time_factor", slo.get("real_time_factor")))
    return " or slo.".join(key for key, value in stated if value is not None)
