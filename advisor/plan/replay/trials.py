"""Trials of fleets by replay: the sample of the week, what may fail, and how far a fleet holds."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Self

import numpy as np
import numpy.typing as npt

from advisor.demand.synthetic_trace import (
    MOST_IN_A_MINUTE,
    MOST_REQUESTS,
    STEADY_MINUTES,
    Calendar,
    Stress,
    SyntheticTrace,
    busiest_rate,
    classes_of,
    rehearse,
    steady,
    stressed,
    sustained_ratio,
)
from advisor.demand.values import Requests
from advisor.performance.stage import times_of
from advisor.plan.fleet.chosen import LARGEST_RATIO, HoldsUpTo, LatencyDistribution
from advisor.plan.problem.formulas import hardest_losses, losses_in_quieter_hours
from advisor.plan.problem.hours import Week
from advisor.plan.problem.supply import PoolSource
from advisor.plan.problem.values import Allocation, FleetSolution, PurchaseOption
from advisor.plan.replay.engine import Times
from advisor.plan.replay.fleet import full_replica, simulate
from advisor.plan.replay.groups import (
    Key,
    ScaledFleet,
    at_scale,
    deployment_key,
    name_of,
    part_of,
    routes_left,
    routes_of,
    scaled,
    thinned,
    without_lost,
)
from advisor.plan.replay.result import distributions, latencies_s, p95_ms, real_time_factor_p95, weighted_share, within
from advisor.plan.replay.steady import LIFETIMES, SteadyLoad, filling_minutes, settling_minutes
from advisor.plan.replay.unavoidable import UnavoidableLateness
from advisor.plan.replay.values import Billing, Cutoff, Outcome, ReplayGroup, Route
from advisor.plan.solve.shares import splits_by_what_is_up, targets
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.records import dataclass, replace, with_own_memory
from advisor.units import ROUNDING, SECONDS_PER_MINUTE
from advisor.workload.values import Survive

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Routing = Callable[[Sequence[ReplayGroup]], tuple[Route, ...]]
"""Routes to what is left of a fleet's groups."""

BISECTIONS = 5
PLACE_SEED = 20_230_102


@dataclass(frozen=True, slots=True)
class Trial:
    """Outcome of the requests of a rehearsal on one fleet."""

    requests: int
    rehearsal: SyntheticTrace
    """Requests that the fleet was tried with."""
    within_slo_ratio: float
    """Share of the requests of a week that the sample stands for, without those that the interruption cut off."""
    busiest_ratio: float
    """The same of the requests of the busiest stretch, by themselves."""
    without_one_ratio: float | None
    """Least share within the targets in the busiest stretch while one machine is gone; None: not asked."""
    without_part_ratio: float | None
    """The same while a zone or a spot supply is gone, of the load that limits ask for then; None: not asked, or what
    comes before it fails."""
    ttft_p95_ms: float | None
    tpot_p95_ms: float | None
    late: tuple[int, ...]
    """Positions of the groups whose requests are late too often; all of them where none stands out."""
    reached: bool
    latencies: tuple[LatencyDistribution, ...]
    """Latencies of the whole sample; empty where it was not replayed whole."""
    finished_s: float | None = None
    """Batch work: from the start of a run to the end of its last item; None where that is after the deadline."""
    late_class: int | None = None
    """Class of hours whose requests are late; None: not that of one class, or nothing is late."""
    unavoidable_late_ratio: float = 0.0
    """Share of the requests that is late on however many of these replicas."""
    real_time_factor_p95: float | None = None
    """None: the SLO has no real-time factor."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Findings of one replay."""

    share: float
    """Of the requests within every target, without those that an interruption cut off."""
    busiest_share: float
    ttft_p95_ms: float | None
    tpot_p95_ms: float | None
    late: tuple[int, ...]
    """Positions of groups whose requests are late too often."""
    is_whole: bool
    """Whether all requests were simulated; shares are estimates otherwise where too many are late."""
    latencies: tuple[LatencyDistribution, ...] = ()
    """Empty where not all of it was asked for."""
    real_time_factor_p95: float | None = None
    """None: the SLO has none."""
    late_class: int | None = None
    """Class of hours that it is of, or that has most of the late requests; None where none is told apart."""


_QUIET = _Seen(1.0, 1.0, None, None, (), is_whole=True)
"""Findings of hours without a request."""


class Trials:
    """Replays fleets of one question; what is costly to prepare is kept between them."""

    unavoidable_late_ratio = 0.0
    """Share of the requests that is late on however many replicas of a fleet."""

    def __init__(self, formulation: Formulation, context: PlanningContext, sampled: Week | None = None) -> None:
        """Make up the requests that every fleet is tried with.

        Args:
            formulation: the question.
            context: what it is about.
            sampled: a week of which an hour change of each class is replayed; None: the question's own.
        """
        self._requirements, self._model, self._timelines = context.requirements, context.model, context.timelines
        self._slo = context.requirements.workload.slo
        week = formulation.week.by_hours or formulation.week
        self._growth_ratio = max(week.growth_ratio, 1.0)
        self._demand = self._requirements.demand.times(self._growth_ratio)
        """Demand at the end of the horizon."""
        self._calendar, self._sampled = _calendar_of(week), _calendar_of(sampled or week)
        self._of_requests = self._with_requests_alone(formulation.in_week(week), context)
        most, peak = self._demand.requests_per_second.peak, busiest_rate(self._demand, self._sampled)
        self._peak_rates = tuple(min(hour.planned_rate, most) for hour in week.classes)
        """Requests per second in the busiest minute of each class of hours: as planned, but no more than observed."""
        self._peak_ratios = tuple(rate / peak if peak else 1.0 for rate in self._peak_rates)
        """The same ÷ that of the busiest stretch, from whose requests they are made."""
        self.wanted = self._slo.rehearsed_ratio  # share of the requests that have to be within every target
        self._shares, self._most_served = np.array(formulation.geography.shares), context.effort.rehearsed_requests
        self._rehearsals: dict[tuple[float | None, int], SyntheticTrace] = {}
        """By their scale, and the minutes in which replicas fill up."""
        self.rehearsal = self._rehearsed(None)
        self._steps: dict[Key, Times] = {}
        self._steady: dict[tuple[float, int], Requests] = {}
        """Random arrivals by their rate, and the minutes in which they come."""
        self._busy_stretches: dict[tuple[float, float, int], Requests] = {}
        """Busiest stretches by the ratio of their requests to those observed, their scale, and the minutes before."""
        self._full: dict[Times, tuple[float, float]] = {}
        """Requests of a mean size that a full replica runs, and seconds that one is with it, by its times."""
        requests = self.rehearsal.requests
        self._is_stretch = self.rehearsal.busiest.stop == requests.seconds.size and requests.weights is None
        self._known: dict[Key, _Seen] = {}
        self._unavoidable = UnavoidableLateness(self.rehearsal, self._slo)

    def _with_requests_alone(self, formulation: Formulation, context: PlanningContext) -> Self | None:
        """Trials with the requests of a question alone, of which failures and hours are; None without batch work.

        Classes of hours are the question's, and the sample is that of the question without its batch work.
        """
        sampled = formulation.week.requests
        return None if sampled is None else type(self)(_of_requests(formulation), context, sampled)

    def apart(self) -> Self:
        """The same with a memory of its own."""
        other = with_own_memory(self)
        if self._of_requests is not None:
            other._of_requests = self._of_requests.apart()  # noqa: SLF001 - of its own class
        return other

    def _rehearsed(self, scale: float | None, filling: int = 0) -> SyntheticTrace:
        """Requests modelled on a share of the demand, each with the place of its user; at the usual scale without.

        They come after so many minutes in which replicas fill up.
        """
        if (scale, filling) not in self._rehearsals:
            rehearsal = rehearse(self._demand, self._most_served, self._sampled, scale, filling)
            words = f"{rehearsal.words}{self._growth_words()}"
            requests = self._from_places(rehearsal.requests)
            self._rehearsals[scale, filling] = replace(rehearsal, requests=requests, words=words)
        return self._rehearsals[scale, filling]

    def _growth_words(self) -> str:
        """Clause on the growth that the requests have; empty where they are as many as today."""
        return f", grown to {self._growth_ratio:.3g} times of today" if self._growth_ratio > 1 + ROUNDING else ""

    def _rehearsal_for(self, groups: Sequence[ReplayGroup]) -> SyntheticTrace:
        """The requests that a fleet is tried with, on replicas as full as they stay."""
        return self._rehearsed(None, self._filling(groups))

    def _filling(self, groups: Sequence[ReplayGroup]) -> int:
        """Minutes in which replicas of a fleet fill up; 0 where requests are with them for a minute at most."""
        return filling_minutes(max((self._full_replica(group)[1] for group in groups), default=0.0))

    def _steady_rates(self, minutes: int) -> tuple[float, ...]:
        """Requests per second of each class of hours for as long as a queue takes to show.

        The mean rate, or what of the planned one the minutes about the busiest minute have: where their rehearsal is
        shorter than they, or a request is with its replica for longer than a minute, so that those of as long meet.
        """
        means, profile = self._calendar.mean_rates, self._demand.profile
        seconds = self.rehearsal.requests.seconds[self.rehearsal.busiest]
        is_whole = np.ptp(seconds) >= STEADY_MINUTES * SECONDS_PER_MINUTE / 2 and minutes == STEADY_MINUTES
        if profile is None or is_whole:
            return means
        ratio = sustained_ratio(profile, max(minutes // LIFETIMES, STEADY_MINUTES))
        return tuple(max(mean, ratio * rate) for mean, rate in zip(means, self._peak_rates, strict=True))

    def of(
        self,
        formulation: Formulation,
        solution: FleetSolution,
        *,
        every: bool = False,
        whole: bool = False,
    ) -> Trial:
        """A fleet without each of its machines, and under the whole sample with one interruption of spot included.

        One with the same instances at all hours is tried like any other, in the demand's own hours.

        Args:
            formulation: the question.
            solution: the fleet.
            every: whether to go on with the loss of other machines where one makes the fleet fail.
            whole: the same, and whether to go on where too many requests are late already; of those that fail, shares
                and late groups are estimates otherwise.
        """
        formulation, solution = formulation.by_hours(solution)
        if self._of_requests is not None:
            trial = self._of_requests.of(_of_requests(formulation), solution, every=every, whole=whole)
            if not trial.reached:
                return trial
        groups, routes = self._groups(formulation, solution), tuple(routes_of(formulation, solution))
        asking = self._asking_of(groups, routes)
        return asking._tried(formulation, solution, groups, routes, every=every, whole=whole)  # noqa: SLF001 - of its own class

    def _tried(
        self,
        formulation: Formulation,
        solution: FleetSolution,
        groups: list[ReplayGroup],
        routes: tuple[Route, ...],
        *,
        every: bool,
        whole: bool,
    ) -> Trial:
        """A fleet by its replays; see :meth:`of`."""
        survives = formulation.problem.limits.survival is not Survive.NOTHING
        follows = splits_by_what_is_up(solution)

        def routes_to(left: Sequence[ReplayGroup]) -> tuple[Route, ...]:
            return routes_left(routes, groups, left) if follows else routes

        loads = self._steady_loads(groups, routes_to, loses_one=survives)
        beyond = None if every or whole else self._first_beyond_little(loads)
        if beyond is not None:
            return self._trial(groups, beyond, [], [])
        failures = self._failures(groups, routes_to, every=every, whole=whole) if survives else []
        worst = min((failure.share for failure in failures), default=1.0)
        if every or whole or worst >= self.wanted:
            sample = self._seen(groups, routes, whole=whole)
        else:
            sample = min(failures, key=lambda failure: failure.share)
        parts: list[_Seen] = []
        if min(sample.share, sample.busiest_share, worst) >= self.wanted:
            parts = self._part_failures(formulation, solution, groups, routes_to, every=every or whole)
            in_hours = None if self._of_requests else self._in_other_hours(formulation, solution, groups, routes)
            sample = in_hours or self._steadily(groups, routes_to, loses_one=survives) or sample
        return self._trial(groups, sample, failures, parts)

    def _trial(
        self, groups: Sequence[ReplayGroup], sample: _Seen, failures: Sequence[_Seen], parts: Sequence[_Seen]
    ) -> Trial:
        """Outcome of a fleet by its replays: of the sample, without each machine, and without larger parts."""
        worst = min((failure.share for failure in (*failures, *parts)), default=1.0)
        failed = [seen for seen in (*failures, *parts, sample) if min(seen.share, seen.busiest_share) < self.wanted]
        late = {at for seen in failed for at in seen.late}
        rehearsal = self._rehearsal_for(groups)
        avoidable = 1 - self.unavoidable_late_ratio  # shares of replays that stop early are estimates
        return Trial(
            requests=rehearsal.judged,
            rehearsal=rehearsal,
            within_slo_ratio=min(sample.share, avoidable),
            busiest_ratio=min(sample.busiest_share, avoidable),
            without_one_ratio=min((failure.share for failure in failures), default=None),
            without_part_ratio=min((failure.share for failure in parts), default=None),
            ttft_p95_ms=sample.ttft_p95_ms,
            tpot_p95_ms=sample.tpot_p95_ms,
            late=tuple(sorted(late)) or tuple(range(len(groups))),
            reached=min(sample.share, sample.busiest_share, worst) >= self.wanted,
            latencies=sample.latencies,
            real_time_factor_p95=sample.real_time_factor_p95,
            unavoidable_late_ratio=self.unavoidable_late_ratio,
            late_class=next((seen.late_class for seen in failed), None),
        )

    def hold_idle(self, formulation: Formulation, solution: FleetSolution) -> bool:
        """Whether enough requests are within the targets on replicas that serve one at a time; more is never."""
        return all(self._holds_idle(group) for group in self._groups(formulation, solution))

    def _holds_idle(self, group: ReplayGroup) -> bool:
        late = self._unavoidable.ratios_of(group)
        return 1 - max(late) >= self.wanted_beside(min(late))

    def wanted_beside(self, unavoidable_late_ratio: float) -> float:
        """Share of the requests that have to be within every target where some are late on however many replicas."""
        return self._slo.rehearsed_ratio_beside(unavoidable_late_ratio)

    def _asking_of(self, groups: Sequence[ReplayGroup], routes: tuple[Route, ...]) -> Self:
        """The same trials, with the share that is asked of a fleet whose replicas are late with some when idle too."""
        ratio = self._unavoidable.ratio_on(groups, routes)
        if not ratio:
            return self
        other = copy.copy(self)
        other.unavoidable_late_ratio, other.wanted = ratio, self.wanted_beside(ratio)
        return other

    def holds_up_to(self, formulation: Formulation, solution: FleetSolution) -> HoldsUpTo | None:
        """Largest multiples of the busiest minute, and of the burstiness, with which enough is within the targets.

        Of the busiest minute of today, whatever it grows to.
        """
        groups, routes = self._groups(formulation, solution), tuple(routes_of(formulation, solution))
        whole = [replace(group, lost_at=None) for group in groups]
        small, filling = self._small(whole, routes), self._filling(whole)

        loads = list(self._steady_loads(whole, lambda _: routes, loses_one=False))

        def holds(peak_ratio: float = 1.0, dispersion_ratio: float = 1.0) -> bool:
            if self._first_beyond_little(loads, peak_ratio) is not None:
                return False
            made_up = stressed(
                self._demand, self.rehearsal.busiest.stop, small.rehearsal.scale, self._sampled,
                Stress(peak_ratio, dispersion_ratio), filling,
            )  # fmt: skip
            requests = thinned(self._from_places(made_up), small.share)
            cutoff = Cutoff(
                self._slo, 1 - self._slo.within_ratio, self._most_served, is_share_asked=False, serve=self._timelines
            )  # fmt: skip
            served = simulate(small.groups, requests, routes=small.routes, cutoff=cutoff)
            outcome = served.outcome
            if served.early is not None:
                return served.early.holds
            kept = within(outcome, requests, self._slo)
            return weighted_share(kept, ~outcome.cut, requests.weights) >= self._slo.within_ratio

        most = max(LARGEST_RATIO / self._growth_ratio, 1.0)
        return HoldsUpTo(
            peak_ratio=self._growth_ratio * largest(lambda ratio: holds(peak_ratio=ratio), most),
            dispersion_ratio=largest(lambda ratio: holds(dispersion_ratio=ratio)),
        )

    def _failures(
        self, groups: list[ReplayGroup], routes_to: Routing, *, every: bool, whole: bool
    ) -> list[_Seen]:  # fmt: skip
        """The busiest stretch without one machine of each target in turn; up to the first that fails unless every."""
        seens: list[_Seen] = []
        unharmed = [group if group.lost_at is None else replace(group, lost_at=None) for group in groups]
        for target in dict.fromkeys(group.target for group in groups):
            left = _without_one_of(unharmed, target)
            seens.append(self._seen(left, routes_to(left), stretch=True, whole=whole))
            if seens[-1].share < self.wanted and not (every or whole):
                break
        return seens

    def _part_failures(
        self,
        formulation: Formulation,
        solution: FleetSolution,
        groups: Sequence[ReplayGroup],
        routes_to: Routing,
        *,
        every: bool,
    ) -> list[_Seen]:
        """The busiest stretch without each zone and each spot supply, at the share of the load that is asked for.

        Then the same at the planned rates of quieter hours, where little is left, without each machine too if one has
        to be survived. Up to the first that fails unless every.
        """
        seens: list[_Seen] = []
        for counts, share in hardest_losses(formulation.problem.limits, solution.allocations):
            left = [
                replace(group, lost_at=None, instances_by_hour=tuple(map(own.__getitem__, formulation.week.schedule)))
                for group, own in zip(groups, counts, strict=True)
            ]
            seens.append(self._seen(left, routes_to(left), stretch=True, whole=False, share=share))
            if seens[-1].share < self.wanted and not every:
                return seens
        if len(self._peak_ratios) == 1 or self._of_requests is not None:
            return seens
        for at, remaining, share in losses_in_quieter_hours(formulation.problem, solution.allocations):
            left = _with_counts([replace(group, lost_at=None) for group in groups], remaining)
            seen = self._stretch_at(left, routes_to(left), share * self._peak_ratios[at])
            seens.append(replace(seen, late_class=at))
            if seens[-1].share < self.wanted and not every:
                break
        return seens

    def without_spot(self, formulation: Formulation, solution: FleetSolution) -> tuple[float, bool]:
        """Share within the targets of the busiest stretch, without all on spot, at the load that limits keep off it.

        And whether it is enough.
        """
        groups, whole = self._groups(formulation, solution), tuple(routes_of(formulation, solution))
        left = [
            replace(group, lost_at=None, instances_by_hour=(0,) * len(group.instances_by_hour))
            if allocation.tariff.paid is PurchaseOption.SPOT
            else group
            for group, allocation in zip(groups, solution.allocations, strict=True)
        ]
        routes = routes_left(whole, groups, left) if splits_by_what_is_up(solution) else whole
        ratio = formulation.problem.limits.on_demand_base_ratio
        asking = self._asking_of(groups, whole)
        share = asking._seen(left, routes, stretch=True, whole=False, share=ratio).share  # noqa: SLF001 - of its own class
        return share, share >= asking.wanted

    def _in_other_hours(
        self,
        formulation: Formulation,
        solution: FleetSolution,
        groups: Sequence[ReplayGroup],
        routes: tuple[Route, ...],
    ) -> _Seen | None:
        """The busiest stretch at the planned rate of the first other class of hours that it is late in.

        None where there is none: the sample has a median hour of each, and what is planned for is busier. Classes in
        which a failure has to leave enough are replayed with less.
        """
        if formulation.problem.limits.survival is not Survive.NOTHING:
            return None
        of_peak = int(classes_of(self._calendar, np.array([self.rehearsal.busiest_seconds]))[0])
        most = [allocation.instances[of_peak] for allocation in solution.allocations]
        for at in range(len(formulation.problem.hours)):
            counts = [allocation.instances[at] for allocation in solution.allocations]
            if counts == most:
                continue
            seen = self._stretch_at(_with_counts(groups, counts), routes, self._peak_ratios[at])
            if seen.share < self.wanted:
                return replace(seen, late_class=at)
        return None

    def _stretch_at(self, groups: list[ReplayGroup], routes: tuple[Route, ...], peak_ratio: float) -> _Seen:
        """The busiest stretch with so many times the requests, in the same bursts."""
        key = ("stretch", self.wanted, peak_ratio, *_key(groups, routes))
        if key not in self._known:
            small = self._small(groups, routes)
            scale, filling = small.rehearsal.scale, self._filling(groups)
            stretch = peak_ratio, scale, filling
            if stretch not in self._busy_stretches:
                most = self.rehearsal.busiest.stop
                made_up = stressed(self._demand, most, scale, self._sampled, Stress(peak_ratio), filling)
                self._busy_stretches[stretch] = self._from_places(made_up)
            requests = thinned(self._busy_stretches[stretch], small.share)
            is_quiet = not requests.seconds.size
            self._known[key] = _QUIET if is_quiet else self._judged(small.groups, small.routes, requests)
        return self._known[key]

    def _steadily(self, groups: Sequence[ReplayGroup], routes_to: Routing, *, loses_one: bool) -> _Seen | None:
        """The steady rate of the first class of hours whose targets' percentile is late once a queue has had time.

        None where there is none: a short rehearsal hides that replicas get more than they serve, and the closed form
        says of all others that they serve it. The same without each machine in turn where one has to be survived.
        """
        for load in self._steady_loads(groups, routes_to, loses_one=loses_one):
            if load.overloaded(lambda group: group.weight) or (load.is_long and load.overloaded(self._full_rate)):
                least = self.wanted if load.is_long else min(self.wanted, self._slo.latency_percentile)
                seen = self._at_rate(load, least)
                if seen.share < least:
                    return replace(seen, late_class=load.hour_class)
        return None

    def _first_beyond_little(self, loads: Iterable[SteadyLoad], ratio: float = 1.0) -> _Seen | None:
        """The first load, times a ratio, of which replicas would have to run more requests than they can.

        By Little's law that is ``rate · seconds with a full replica > requests that it runs``: a queue grows without
        end, which a rehearsal that begins with empty replicas hides where each request is with one for long. None
        without any.
        """
        for load in takewhile(lambda load: load.is_long, loads):  # all of them are, or none
            if late := load.times(ratio).overloaded(self._full_rate):
                return _Seen(0.0, 0.0, None, None, late, is_whole=False, late_class=load.hour_class)
        return None

    def _steady_loads(
        self, groups: Sequence[ReplayGroup], routes_to: Routing, *, loses_one: bool
    ) -> Iterator[SteadyLoad]:
        """Steady load of each class of hours, and without each machine in turn; none with items, which may wait."""
        if self._of_requests is not None:
            return
        whole, every = [without_lost(group) for group in groups], [replace(group, lost_at=None) for group in groups]
        minutes = settling_minutes(max(self._full_replica(group)[1] for group in groups))
        rates = self._steady_rates(minutes)
        for left in (whole, *(_without_each(every) if loses_one else ())):
            routes = routes_to(left)
            for number, rate in enumerate(rates):
                of_week = self._calendar.schedule.index(number)
                there = _with_counts(left, [group.instances_by_hour[of_week] for group in left])
                yield SteadyLoad(number, there, routes, rate, minutes)

    def _full_rate(self, group: ReplayGroup) -> float:
        """Requests per second that a replica never serves more than for long."""
        running, seconds = self._full_replica(group)
        return running / seconds

    def _full_replica(self, group: ReplayGroup) -> tuple[float, float]:
        if group.steps not in self._full:
            tokens = self._requirements.demand.tokens
            self._full[group.steps] = full_replica(group.steps, tokens.mean_input_tokens(), tokens.mean_output_tokens())
        return self._full[group.steps]

    def _at_rate(self, load: SteadyLoad, least: float) -> _Seen:
        """Random arrivals at one rate, at a scale that keeps them few, of which some share has to be in time."""
        most, rate, minutes = MOST_IN_A_MINUTE * MOST_REQUESTS, load.rate, load.minutes
        scale = min(most / max(rate * minutes * SECONDS_PER_MINUTE, 1.0), 1.0)
        groups, routes = scaled(load.groups, load.routes, scale)
        key = ("steady", least, rate, minutes, *_key(list(groups), routes))
        if key not in self._known:
            rate *= max(sum(route.shares.values()) for route in routes)
            if (rate, minutes) not in self._steady:
                made_up = steady(self._demand, rate, self.rehearsal.busiest_seconds, most, minutes)
                self._steady[rate, minutes] = self._from_places(made_up)
            self._known[key] = self._judged(groups, routes, self._steady[rate, minutes], wanted=least)
        return self._known[key]

    def _seen(
        self,
        groups: list[ReplayGroup],
        routes: tuple[Route, ...],
        *,
        stretch: bool = False,
        whole: bool,
        share: float = 1.0,
    ) -> _Seen:
        """One replay; what is known is not simulated again, unless it is needed whole."""
        key = (self.wanted, stretch and not self._is_stretch, share, *_key(groups, routes))
        if key not in self._known or (whole and not self._known[key].is_whole):
            self._known[key] = self._simulated(groups, routes, stretch=stretch, whole=whole, share=share)
        return self._known[key]

    def _simulated(
        self, groups: list[ReplayGroup], routes: tuple[Route, ...], *, stretch: bool, whole: bool, share: float
    ) -> _Seen:  # fmt: skip
        """Replay a share of the requests, those of the busiest stretch or all."""
        small = self._small(groups, routes)
        rehearsal = small.rehearsal
        until = rehearsal.requests.seconds[rehearsal.busiest.stop - 1]
        requests = rehearsal.requests
        if stretch:
            requests = part_of(requests, rehearsal.busiest)
            is_judged = None if requests.weights is None or not rehearsal.filling else requests.weights > 0
            requests = replace(requests, weights=None if is_judged is None else is_judged.astype(np.float64))
        requests = thinned(requests, small.share * share)
        count = int(np.searchsorted(requests.seconds, until, side="right"))
        return self._judged(small.groups, small.routes, requests, count=count, whole=whole)

    def _judged(
        self,
        groups: Sequence[ReplayGroup],
        routes: tuple[Route, ...],
        requests: Requests,
        *,
        count: int | None = None,
        whole: bool = False,
        wanted: float | None = None,
    ) -> _Seen:
        """Replay of requests, until too many are late unless all of it is asked for.

        Args:
            groups: of the fleet.
            routes: of the requests.
            requests: that it is tried with.
            count: of the first ones, which are judged by themselves as well.
            whole: whether to simulate all of them.
            wanted: share that has to be within every target; without, that of the rehearsal.
        """
        most_late_ratio = math.inf if whole else 1 - (wanted or self.wanted)
        cutoff = Cutoff(
            self._slo, most_late_ratio, self._most_served, count, is_share_asked=whole, serve=self._timelines
        )
        served = simulate(groups, requests, routes=routes, cutoff=cutoff)
        outcome, early = served.outcome, served.early
        kept = within(outcome, requests, self._slo)
        judged = ~outcome.cut & (outcome.group >= 0) if early else ~outcome.cut
        latencies = latencies_s(outcome, requests)
        share, busiest_share = (
            (early.share, early.busiest_share) if early else _shares(kept, judged, requests, count)
        )  # fmt: skip
        return _Seen(
            share=share,
            busiest_share=busiest_share,
            ttft_p95_ms=p95_ms(*latencies["ttft"]),
            tpot_p95_ms=p95_ms(*latencies["tpot"]),
            late=tuple(self._late(outcome, kept, judged, requests, count)),
            is_whole=whole,
            real_time_factor_p95=None
            if self._slo.real_time_factor is None
            else real_time_factor_p95(outcome, requests),
            latencies=tuple(distributions(latencies, self._slo, self._requirements.demand.unit)) if whole else (),
            late_class=self._late_class(part_of(requests, np.flatnonzero(judged & ~kept))),
        )

    def _late_class(self, late: Requests) -> int | None:
        """Class of the hours that most of the late requests stand for; None without any."""
        if not late.seconds.size or len(self._peak_ratios) == 1:
            return None
        return int(np.bincount(classes_of(self._calendar, late.seconds), late.weights).argmax())

    def _small(self, groups: Sequence[ReplayGroup], routes: tuple[Route, ...]) -> "ScaledFleet":
        """A fleet at the usual scale, with a rehearsal that has requests enough for it."""
        return at_scale(groups, routes, partial(self._rehearsed, filling=self._filling(groups)))

    def _late(
        self, outcome: Outcome, kept: Flags, judged: Flags, requests: Requests, count: int | None
    ) -> Iterator[int]:  # fmt: skip
        for index in range(int(outcome.group.max(initial=-1)) + 1):
            here = judged & (outcome.group == index)
            if min(_shares(kept, here, requests, count)) < self.wanted:
                yield index

    def _groups(self, formulation: Formulation, solution: FleetSolution) -> list[ReplayGroup]:
        """The groups of a fleet; the one with the most capacity on spot loses an instance in the busiest minute.

        It is replaced after its start-up. Nothing is lost where requests may wait for that.
        """
        target_of = targets(solution)
        groups = [
            self._group(formulation, allocation, target_of[allocation.pool.key]) for allocation in solution.allocations
        ]
        on_spot = [
            at for at, allocation in enumerate(solution.allocations) if allocation.tariff.paid is PurchaseOption.SPOT
        ]
        if on_spot and self._loses_spot(formulation):
            most = max(on_spot, key=lambda at: max(groups[at].instances_by_hour) * groups[at].weight)
            groups[most] = replace(groups[most], lost_at=self.rehearsal.busiest_seconds)
        return groups

    def _loses_spot(self, formulation: Formulation) -> bool:
        return formulation.problem.limits.fault_tolerant_ratio == 0

    def _group(self, formulation: Formulation, allocation: Allocation, target: str) -> ReplayGroup:
        source = formulation.pool_set.sources[allocation.pool.key]
        network = formulation.geography.network_ms[source.offer.provider, source.offer.region]
        return ReplayGroup(
            name=name_of(allocation),
            steps=self._steps_of(source),
            instances_by_hour=tuple(map(allocation.instances.__getitem__, formulation.week.schedule)),
            usd_per_hour=allocation.tariff.usd_per_hour,
            replicas_per_instance=allocation.pool.replicas,
            billing=Billing.ALWAYS if allocation.tariff.paid.always else Billing.USED,
            weight=source.served.requests_per_second_per_replica.value,
            lead_seconds=source.cold_start.total_s.high if source.cold_start else 0.0,
            target=target,
            network_ms=network if any(network) else (),
        )

    def _steps_of(self, source: PoolSource) -> Times:
        key = deployment_key(source.served.candidate)
        if key not in self._steps:
            layout = source.served.max_concurrency, self._requirements.context_tokens
            times = times_of(source.served.candidate, self._requirements, self._model, layout)
            self._steps[key] = self._timelines.same(times)
        return self._steps[key]

    def _from_places(self, requests: Requests) -> Requests:
        """Each request with the place of its user."""
        if self._shares.size == 1:
            return requests
        generator = np.random.default_rng(PLACE_SEED)
        places = generator.choice(self._shares.size, requests.seconds.size, p=self._shares / self._shares.sum())
        return replace(requests, places=places.astype(np.int32))


def _calendar_of(week: Week) -> Calendar:
    return Calendar(week.schedule, tuple(hour.mean_rate for hour in week.classes), week.added_rates)


def _of_requests(formulation: Formulation) -> Formulation:
    """A question as one of its requests alone, in the same hour classes; itself where it has no batch work."""
    week = formulation.week
    return formulation if week.requests is None else formulation.in_week(week.of_requests(week.requests))


def _without_one_of(groups: Sequence[ReplayGroup], target: str) -> list[ReplayGroup]:
    """A fleet without one machine of a target in each hour, of the first of its groups that has any in that hour."""
    left = list(groups)
    is_lost = [False] * len(groups[0].instances_by_hour)
    for at, group in enumerate(groups):
        if group.target == target and not all(is_lost):
            counts = group.instances_by_hour
            if not any(is_lost):
                left[at] = group.without_one()
            else:
                fewer = (count if lost else max(count - 1, 0) for count, lost in zip(counts, is_lost, strict=True))
                left[at] = replace(group, instances_by_hour=tuple(fewer))
            if all(counts):
                break
            is_lost = [lost or count > 0 for count, lost in zip(counts, is_lost, strict=True)]
    return left


def _without_each(groups: Sequence[ReplayGroup]) -> Iterator[list[ReplayGroup]]:
    """A fleet without one machine of each group in turn."""
    for at, group in enumerate(groups):
        yield [*groups[:at], group.without_one(), *groups[at + 1 :]]


def _with_counts(groups: Sequence[ReplayGroup], counts: Sequence[int]) -> list[ReplayGroup]:
    """A fleet that has so many instances of each group in every hour."""
    return [replace(group, instances_by_hour=(count,)) for group, count in zip(groups, counts, strict=True)]


def _shares(kept: Flags, judged: Flags, requests: Requests, count: int | None) -> tuple[float, float]:
    """Share of the judged requests that is kept, of a week and of the first *count* by themselves."""
    counted = judged if requests.weights is None else judged & (requests.weights > 0)
    return weighted_share(kept, judged, requests.weights), weighted_share(kept[:count], counted[:count])


def largest(holds: Callable[[float], bool], most: float = LARGEST_RATIO) -> float:
    """The largest ratio from 1 to the largest tried that holds, to a sixteenth of the range; 1 where none does."""
    if most <= 1 or holds(most):
        return most
    low, high = 1.0, most
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _key(groups: list[ReplayGroup], routes: tuple[Route, ...]) -> Key:
    """Key of what decides the outcome of a replay: machines, their numbers and weights, not their names and prices."""
    names = {replay_group.target: at for at, replay_group in enumerate(groups)}
    machines = tuple(
        (id(group.steps), group.instances_by_hour, group.replicas_per_instance, group.network_ms, names[group.target],
         group.lost_at is not None and group.lead_seconds)
        for group in groups
    )  # fmt: skip
    shares = tuple(
        (route.place, route.max_input_tokens, *(round(route.shares.get(group.name, 0.0), 9) for group in groups))
        for route in routes
    )
    return machines, shares
