"""Controls of a question: load, latency targets, purchase, precisions and regions, with what is stated of each."""

from collections.abc import Iterator, Sequence

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.plan.request import PlanRequest
from advisor.report.pages.live import Control
from advisor.serve.changes import ALL, DEMAND, NEAR
from advisor.units import MS_PER_SECOND
from advisor.workload.values import PRECISIONS, Slo, Workload

_OF_TOKENS = (("ttft_p95", "TTFT p95"), ("tpot_p95", "TPOT p95"), ("e2e_p95", "whole answer p95"))


def controls_of(question: PlanRequest, catalog: Catalog, *, of_file: bool) -> tuple[Control, ...]:
    """The controls.

    Args:
        question: as stated, without a change.
        catalog: where is something to buy.
        of_file: keys are those of a workload file; otherwise of `advisor explain --what-if`, which differ in one.
    """
    workload = question.workload
    targets = _whole(workload.slo, of_file) if question.demand.unit.is_one_pass else _of_tokens(workload.slo)
    return (
        Control(DEMAND, "load (× or requests/s)", "1x"),
        *targets,
        _choice("purchase", workload.purchase, list(Purchase)),
        _choice("precisions", workload.precisions, PRECISIONS),
        _regions(workload, catalog),
    )


def _of_tokens(slo: Slo) -> Iterator[Control]:
    for key, label in _OF_TOKENS:
        yield Control(f"slo.{key}", label, _duration(getattr(slo, f"{key}_ms")))


def _whole(slo: Slo, of_file: bool) -> Iterator[Control]:  # noqa: FBT001 - as above
    percentile = f"p{round(100 * slo.latency_percentile)}"
    key = f"slo.latency_{percentile}" if of_file else "slo.latency"
    yield Control(key, f"latency {percentile}", _duration(slo.latency_ms))


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds / MS_PER_SECOND:.15g}s" if milliseconds >= MS_PER_SECOND else f"{milliseconds:.15g}ms"


def _choice(key: str, stated: Sequence[str], every: Sequence[str]) -> Control:
    """Stated values come first, in their order, which is one of preference."""
    return Control(key, key, "+".join(stated), {key: tuple(dict.fromkeys([*stated, *every]))})


def _regions(workload: Workload, catalog: Catalog) -> Control:
    every = NEAR if workload.near_current else ALL
    places = {provider: tuple(sorted(catalog.regions_of(provider))) for provider in workload.providers}
    choices = {"regions": (every,)} | places
    named = () if workload.regions_left_open else workload.regions
    listed = dict.fromkeys(region for regions in choices.values() for region in regions if region in named)
    return Control("regions", "regions", "+".join(listed) or every, choices)
