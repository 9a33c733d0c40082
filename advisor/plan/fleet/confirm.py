"""Does the fleet hold? Its busiest stretch is replayed; replicas that are late are given more room until it does."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from advisor.demand.arrivals import Requests
from advisor.demand.rehearsal import Rehearsal, rehearse
from advisor.performance.stage import deployment_of
from advisor.performance.steps import StepTimes, step_times
from advisor.plan.fleet.chosen import Confirmation
from advisor.plan.fleet.dominance import without_dominated
from advisor.plan.fleet.optimise import optimise
from advisor.plan.fleet.scopes import lower_bound
from advisor.plan.fleet.shares import request_shares
from advisor.plan.fleet.solver import DEFAULT_SECONDS, HALF_A_CENT
from advisor.plan.fleet.stage import Posed, Setting, in_precisions
from advisor.plan.fleet.stage import solve as solve_fleet
from advisor.plan.fleet.values import Allocation, FleetSolution, Floats, Infeasible, Pool, Problem
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.values import Billing, ReplayGroup, ReplayResult, Route

STEP = 1.1
LARGE_STEP = 1.3
"""How much more capacity a kind of replica is given each time that its requests are not within the SLO often enough."""
FAR_BELOW = 0.05
"""Missing share of requests from which the large step is taken."""
MADE_UP_MARGIN = 0.5
"""Share of the allowed late requests that made-up ones may use: real ones come in other orders and lengths."""
MOST_TRIALS = 24
KINDS_COMPARED = 12
"""Kinds of replicas of which the cheapest are tried by themselves."""

Kind = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """A fleet and its replay."""

    solution: FleetSolution
    posed: Posed
    """With the headroom that was needed."""
    confirmation: Confirmation
    searched: Problem
    """All that it was chosen from, with the headroom; the question may hold less: the fleet's offers in a precision."""


class Confirmer:
    """Replays fleets of one question; what is costly to prepare is kept between them."""

    def __init__(self, posed: Posed, setting: Setting) -> None:
        """Make up the requests that every fleet is tried with."""
        self._posed = posed
        self._requirements = setting.requirements
        self._model = setting.model
        self._effort = setting.effort
        self._rehearsal: Rehearsal = rehearse(setting.requirements.demand, setting.effort.rehearsed_requests)
        self._sources = dict(posed.pool_set.sources)
        self._steps: dict[str, StepTimes] = {}
        self._results: dict[tuple[tuple[str, tuple[int, ...]], ...], ReplayResult] = {}

    @property
    def _wanted(self) -> float:
        return 1 - (1 - self._requirements.workload.slo.within_ratio) * MADE_UP_MARGIN

    def confirmed(self, seconds: float = DEFAULT_SECONDS) -> Confirmed | Infeasible:
        """The cheapest fleet found that its replay confirms; where none is, the one that came closest.

        A fleet that fails says something of its own replicas only: what they are taken to sustain is lowered, and the
        cheapest fleet is searched again. Others stay as they are, so that a further or a cheaper offer makes no fleet
        dearer that did not need it. Mixed fleets may fail where a single kind holds, so the kinds that are cheapest by
        themselves are tried too.
        """
        found = self._search(self._posed, math.inf, seconds)
        if isinstance(found, Infeasible) or found.confirmation.headroom_factor == 1 or not self._effort.kinds_tried:
            return found
        for posed in self._single_kinds(seconds):
            limit = found.solution.objective_usd_per_month if found.confirmation.reached else math.inf
            tried = self._search(posed, limit, seconds)
            if isinstance(tried, Confirmed) and tried.confirmation.reached:
                found = tried
        return found

    def _single_kinds(self, seconds: float) -> list[Posed]:
        """The question with one kind of replica at a time: those whose fleets cost least, the cheapest first."""
        kinds: dict[Kind, list[Pool]] = {}
        for pool in self._posed.problem.pools:
            kinds.setdefault(self._kind(pool.key), []).append(pool)
        posed = [
            replace(self._posed, problem=replace(self._posed.problem, pools=tuple(pools))) for pools in kinds.values()
        ]
        cheapest = sorted(posed, key=lambda one: lower_bound(one.problem))[:KINDS_COMPARED]
        solved = [(solve_fleet(one, seconds), one) for one in cheapest]
        fleets = [(one.objective_usd_per_month, each) for one, each in solved if isinstance(one, FleetSolution)]
        return [one for _, one in sorted(fleets, key=lambda entry: entry[0])[: self._effort.kinds_tried]]

    def _search(self, posed: Posed, below_usd: float, seconds: float) -> Confirmed | Infeasible:
        """The cheapest confirmed fleet of some pools; the closest one where none is confirmed below a cost."""
        headroom: dict[Kind, float] = {}
        closest: Confirmed | None = None
        for _ in range(MOST_TRIALS):
            roomier = self._with_headroom(posed, headroom)
            solution = solve_fleet(roomier, seconds)
            if isinstance(solution, Infeasible):
                return closest or solution
            searched = roomier.problem
            roomier, solution = self._in_preferred_precision(roomier, solution, headroom, seconds)
            result = self._replayed(roomier, solution)
            found = Confirmed(solution, roomier, self._confirmation(solution, result, headroom), searched)
            if solution.objective_usd_per_month >= below_usd:
                return replace(found, confirmation=replace(found.confirmation, reached=False))
            if found.confirmation.reached:
                return found
            if closest is None or found.confirmation.within_slo_ratio > closest.confirmation.within_slo_ratio:
                closest = found
            self._raise(headroom, solution, result)
        return closest or found

    def _in_preferred_precision(
        self, posed: Posed, solution: FleetSolution, headroom: Mapping[Kind, float], seconds: float
    ) -> tuple[Posed, FleetSolution]:
        """The same offers in the precision named first with which they cost no more; as found where there is none."""
        order = self._requirements.workload.precisions
        sources = posed.pool_set.sources
        last = max(order.index(sources[one.pool.key].served.candidate.precision) for one in solution.allocations)
        for count in range(1, last + 1):
            fewer = in_precisions(posed, solution, order[:count])
            if fewer is None:
                continue
            self._sources |= fewer.pool_set.sources
            roomier = self._with_headroom(fewer, headroom)
            found = optimise(without_dominated(roomier.problem), seconds)
            if isinstance(found, FleetSolution) and found.objective_usd_per_month <= (
                solution.objective_usd_per_month + HALF_A_CENT
            ):  # fmt: skip
                proof = (solution.proven, solution.bound_usd_per_month)
                return roomier, replace(found, proven=proof[0], bound_usd_per_month=proof[1])
        return posed, solution

    def _with_headroom(self, posed: Posed, headroom: Mapping[Kind, float]) -> Posed:
        """The question with what each kind of replica is taken to sustain by now."""
        pools = tuple(
            replace(pool, mix_rates=pool.mix_rates / factor, rates=pool.rates / factor) if factor != 1 else pool
            for pool in posed.problem.pools
            for factor in (headroom.get(self._kind(pool.key), 1.0),)
        )
        return replace(posed, problem=replace(posed.problem, pools=pools))

    def _raise(self, headroom: dict[Kind, float], solution: FleetSolution, result: ReplayResult) -> None:
        """More room for the replicas whose requests were late; for all of them where none stands out."""
        ratios = {group.name: group.within_slo_ratio for group in result.by_group}
        late = [one for one in solution.allocations if (ratios.get(name_of(one)) or 0.0) < self._wanted]
        factor = LARGE_STEP if self._wanted - result.within_slo_ratio > FAR_BELOW else STEP
        for kind in {self._kind(one.pool.key) for one in late or solution.allocations}:
            headroom[kind] = headroom.get(kind, 1.0) * factor

    def _kind(self, key: str) -> Kind:
        """What replicas of a pool are: those that are alike in this are equally fast anywhere."""
        candidate = self._sources[key].served.candidate
        return candidate.accelerator.name, candidate.precision, candidate.engine, candidate.tensor_parallel

    def _confirmation(
        self, solution: FleetSolution, result: ReplayResult, headroom: Mapping[Kind, float]
    ) -> Confirmation:  # fmt: skip
        factors = [headroom.get(self._kind(one.pool.key), 1.0) for one in solution.allocations]
        return Confirmation(
            requests=result.requests,
            minutes=self._rehearsal.minutes,
            within_slo_ratio=result.within_slo_ratio,
            ttft_p95_ms=result.ttft_p95_ms,
            tpot_p95_ms=result.tpot_p95_ms,
            headroom_factor=max(factors),
            reached=result.within_slo_ratio >= self._wanted,
            arrivals=self._rehearsal.words,
        )

    def _replayed(self, posed: Posed, solution: FleetSolution) -> ReplayResult:
        key = tuple((name_of(one), one.instances) for one in solution.allocations)
        if key in self._results and not posed.bucket_edges:
            return self._results[key]
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
