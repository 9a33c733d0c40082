"""Does the fleet hold? Its busiest stretch is replayed, and the planned rates are raised until it does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from advisor.demand.arrivals import Requests
from advisor.demand.rehearsal import Rehearsal, rehearse
from advisor.performance.model import PerformanceModel
from advisor.performance.stage import deployment_of
from advisor.performance.steps import StepTimes, step_times
from advisor.plan.fleet.chosen import Confirmation
from advisor.plan.fleet.shares import request_shares
from advisor.plan.fleet.solver import DEFAULT_SECONDS
from advisor.plan.fleet.stage import Posed, with_headroom
from advisor.plan.fleet.stage import solve as solve_fleet
from advisor.plan.fleet.values import Allocation, FleetSolution, Floats, Infeasible
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.values import Billing, ReplayGroup, ReplayResult, Route
from advisor.requirements import Requirements

HEADROOMS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
"""Factors on the planned rates, tried from the first on."""


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """A fleet and its replay."""

    solution: FleetSolution
    posed: Posed
    """With the headroom that was needed."""
    confirmation: Confirmation


class Confirmer:
    """Replays fleets of one question; what is costly to prepare is kept between them."""

    def __init__(self, posed: Posed, requirements: Requirements, model: PerformanceModel) -> None:
        """Make up the requests that every fleet is tried with."""
        self._posed = posed
        self._requirements = requirements
        self._model = model
        self._rehearsal: Rehearsal = rehearse(requirements.demand)
        self._steps: dict[str, StepTimes] = {}
        self._results: dict[tuple[tuple[str, str, tuple[int, ...]], ...], ReplayResult] = {}

    def confirmed(self, seconds: float = DEFAULT_SECONDS) -> Confirmed | Infeasible:
        """The cheapest fleet that its replay confirms, or the one with the most headroom there is."""
        wanted = self._requirements.workload.slo.within_ratio
        found = self._at(0, seconds)
        if isinstance(found, Infeasible) or found.confirmation.within_slo_ratio >= wanted:
            return found
        low, high, best = 0, 0, found
        while best.confirmation.within_slo_ratio < wanted and high < len(HEADROOMS) - 1:
            low, high = high, min(max(2 * high, 2), len(HEADROOMS) - 1)
            tried = self._at(high, seconds)
            if isinstance(tried, Infeasible):
                return _least_bad(best, found)
            best = tried
        while high - low > 1 and best.confirmation.within_slo_ratio >= wanted:
            middle = (low + high) // 2
            tried = self._at(middle, seconds)
            if not isinstance(tried, Infeasible) and tried.confirmation.within_slo_ratio >= wanted:
                high, best = middle, tried
            else:
                low = middle
        return best

    def _at(self, step: int, seconds: float) -> Confirmed | Infeasible:
        posed = with_headroom(self._posed, HEADROOMS[step])
        solution = solve_fleet(posed, seconds)
        if isinstance(solution, Infeasible):
            return solution
        result = self._replayed(posed, solution)
        slo = self._requirements.workload.slo
        return Confirmed(
            solution,
            posed,
            Confirmation(
                requests=result.requests,
                minutes=self._rehearsal.minutes,
                within_slo_ratio=result.within_slo_ratio,
                ttft_p95_ms=result.ttft_p95_ms,
                tpot_p95_ms=result.tpot_p95_ms,
                headroom_factor=HEADROOMS[step],
                reached=result.within_slo_ratio >= slo.within_ratio,
                arrivals=self._rehearsal.words,
            ),
        )

    def _replayed(self, posed: Posed, solution: FleetSolution) -> ReplayResult:
        key = tuple((one.pool.key, one.tariff.paid.value, one.instances) for one in solution.allocations)
        if key not in self._results:
            requests = self._with_network(posed, solution)
            groups = [self._group(posed, one) for one in solution.allocations]
            routes = tuple(_routes(posed, solution))
            self._results[key] = replay(groups, requests, self._requirements.workload.slo, routes=routes)
        return self._results[key]

    def _group(self, posed: Posed, one: Allocation) -> ReplayGroup:
        by_hour = tuple(one.instances[at] for at in posed.week.schedule)
        return ReplayGroup(
            name=name_of(one),
            steps=self._steps_of(posed, one.pool.key),
            instances_by_hour=by_hour,
            usd_per_hour=one.tariff.usd_per_hour,
            replicas_per_instance=one.pool.replicas,
            billing=Billing.ALWAYS if one.tariff.paid.always else Billing.USED,
            weight=posed.pool_set.sources[one.pool.key].served.requests_per_second_per_replica.value,
        )

    def _steps_of(self, posed: Posed, key: str) -> StepTimes:
        if key not in self._steps:
            deployment = deployment_of(posed.pool_set.sources[key].served.candidate, self._requirements.model)
            tokens = self._requirements.demand.tokens
            self._steps[key] = step_times(deployment, self._model, tokens, self._requirements.context_tokens)
        return self._steps[key]

    def _with_network(self, posed: Posed, solution: FleetSolution) -> Requests:
        """Each request with the round trip between its place and a region that serves it, in their proportions."""
        requests = self._rehearsal.requests
        if len(posed.geography.places) == 1 and not self._requirements.workload.users:
            return requests
        pairs = list(_round_trips(posed, solution))
        weights = np.array([weight for weight, _ in pairs])
        generator = np.random.default_rng(requests.seconds.size)
        chosen = generator.choice(len(pairs), requests.seconds.size, p=weights / weights.sum())
        return replace(requests, network_ms=np.array([ms for _, ms in pairs])[chosen])


def _least_bad(one: Confirmed, other: Confirmed) -> Confirmed:
    return max(one, other, key=lambda found: found.confirmation.within_slo_ratio)


def name_of(one: Allocation) -> str:
    """Name of a group: its pool and how it is paid for."""
    label = f"/{one.tariff.label}" if one.tariff.label else ""
    return f"{one.pool.key}/{one.tariff.paid}{label}"


def _routes(posed: Posed, solution: FleetSolution) -> Iterator[Route]:
    """Where prompts of each bucket go in the busiest hours; none where they are not told apart."""
    for bucket, longest in enumerate(posed.bucket_edges):
        last = bucket == len(posed.bucket_edges) - 1
        shares: Mapping[str, Floats] = request_shares(posed.problem, solution)
        found = {name: float(share[-1, bucket]) for name, share in _by_group(solution, shares) if share[-1, bucket] > 0}
        yield Route(float("inf") if last else longest, found)


def _by_group(solution: FleetSolution, shares: Mapping[str, Floats]) -> Iterator[tuple[str, Floats]]:
    for one in solution.allocations:
        if one.pool.key in shares:
            yield name_of(one), shares[one.pool.key] * group_part(solution, one)[:, None]


def group_part(solution: FleetSolution, one: Allocation) -> Floats:
    """Share of its pool's instances that a group has, in each hour class."""
    own = np.array(one.instances, dtype=np.float64)
    whole = sum(np.array(other.instances) for other in solution.allocations if other.pool.key == one.pool.key)
    found: Floats = np.divide(own, whole, out=np.zeros(own.size), where=np.asarray(whole) > 0)
    return found


def _round_trips(posed: Posed, solution: FleetSolution) -> Iterator[tuple[float, float]]:
    """Share of the requests and round trip of each place and region, in the busiest hours."""
    for key, share in solution.shares.items():
        offer = posed.pool_set.sources[key].offer
        network = posed.geography.network_ms[offer.provider, offer.region]
        for place, ms in enumerate(network):
            weight = float(share[-1, place].mean()) * posed.geography.shares[place]
            if weight > 0:
                yield weight, ms
