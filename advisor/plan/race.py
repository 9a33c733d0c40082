"""Instance types in competition: each candidate bought the cheapest way, sized, and the cheapest of all.

This is what :mod:`advisor.plan.sizing` does, for as many demands and targets as one wants to ask of few candidates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advisor.candidates import Candidate, Matches, Rejection
from advisor.catalog import Catalog
from advisor.catalog.values import Offer
from advisor.cost import hourly_to_monthly
from advisor.performance.deployments import peak_flops
from advisor.performance.model import PerformanceModel
from advisor.performance.stage import rates_by_target
from advisor.plan.sizing import count_instances
from advisor.requirements import Requirements


@dataclass(frozen=True, slots=True)
class Runner:
    """A candidate and the cheapest way to buy it; a price of None is unknown."""

    candidate: Candidate
    region: str
    purchase: str
    usd_per_hour: float | None


@dataclass(frozen=True, slots=True)
class Finish:
    """What a runner takes to serve the demand."""

    runner: Runner
    instances: int
    replicas: int
    total_usd_per_month: float | None


def line_up(
    matches: Matches, requirements: Requirements, catalog: Catalog, wanted: Callable[[Offer], bool]
) -> tuple[Runner, ...]:  # fmt: skip
    """A runner for each candidate that one of the wanted offers is of and that something can be predicted of."""
    bought = {
        key: _cheapest_purchase(list(filter(wanted, offers)), requirements, catalog)
        for key, offers in matches.offers.items()
    }
    runners = []
    for candidate in matches.candidates:
        found = bought[candidate.instance_type.provider, candidate.instance_type.name]
        if found is not None and peak_flops(candidate.accelerator, candidate.compute_precision) is not None:
            runners.append(Runner(candidate, *found))
    return tuple(runners)


def _cheapest_purchase(
    offers: Sequence[Offer], requirements: Requirements, catalog: Catalog
) -> tuple[str, str, float | None] | None:  # fmt: skip
    """Region, purchase option and price; None where nothing is offered."""
    found: list[tuple[str, str, float | None]] = []
    for offer in offers:
        for purchase in requirements.workload.purchase:
            price = catalog.price(offer, purchase)
            found.append((offer.region, purchase.value, price.usd_per_hour if price else None))
    return min(found, key=lambda one: float("inf") if one[2] is None else one[2], default=None)


def run(runners: Sequence[Runner], requirements: Requirements, model: PerformanceModel) -> list[Finish]:
    """Those that serve the demand within targets and limits."""
    return list(size(rates(runners, requirements, model), requirements))


def run_each(
    runners: Sequence[Runner], cases: Sequence[Requirements], model: PerformanceModel
) -> list[list[Finish]]:  # fmt: skip
    """:func:`run` for requirements that differ in the limits of their targets only, predicted together."""
    found = rates_by_target([one.candidate for one in runners], cases[0], model, [one.workload.slo for one in cases])
    return [
        list(size(list(zip(runners, map(float, row), strict=True)), case))
        for row, case in zip(found, cases, strict=True)
    ]


def rates(
    runners: Sequence[Runner], requirements: Requirements, model: PerformanceModel
) -> list[tuple[Runner, float]]:  # fmt: skip
    """The rate that a replica of each sustains within the targets; 0 where it is too slow."""
    slos = [requirements.workload.slo]
    found = rates_by_target([one.candidate for one in runners], requirements, model, slos)[0]
    return list(zip(runners, map(float, found), strict=True))


def size(rated: Sequence[tuple[Runner, float]], requirements: Requirements) -> Iterator[Finish]:
    """Those that serve the demand within the limits."""
    budget = requirements.workload.limits.max_usd_per_month
    for runner, rate in rated:
        count = count_instances(runner.candidate, rate, requirements) if rate > 0 else None
        if count is None or isinstance(count, Rejection):
            continue
        usd = runner.usd_per_hour
        total = None if usd is None else hourly_to_monthly(usd, count.instances)
        if budget is None or total is None or total <= budget:
            yield Finish(runner, count.instances, count.replicas, total)


def cheapest(finishes: Sequence[Finish]) -> Finish | None:
    """The cheapest with a known price; of equally cheap ones the first."""
    return min(
        (one for one in finishes if one.total_usd_per_month is not None),
        key=lambda one: one.total_usd_per_month or 0.0,
        default=None,
    )


def without_dominated(rated: Sequence[tuple[Runner, float]]) -> list[tuple[Runner, float]]:
    """Without those that are never cheaper, whatever the demand: another one costs no more and carries no less."""
    priced = [(usd, -rate, runner) for runner, rate in rated if rate > 0 and (usd := runner.usd_per_hour) is not None]
    best: list[tuple[Runner, float]] = []
    for _, slowness, runner in sorted(priced, key=lambda one: one[:2]):
        size_of = runner.candidate.replicas_per_instance
        if not any(rate >= -slowness and other.candidate.replicas_per_instance >= size_of for other, rate in best):
            best.append((runner, -slowness))
    return best


def with_target(requirements: Requirements, name: str, target_ms: float | None) -> Requirements:
    """The requirements with one latency target (``tpot_p95_ms``) set otherwise."""
    workload = requirements.workload
    changed: dict[str, Any] = {name: target_ms}
    slo = replace(workload.slo, **changed)
    return replace(requirements, workload=replace(workload, slo=slo))
