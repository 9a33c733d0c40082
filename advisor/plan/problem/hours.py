"""Hours of a week to come, grouped by how busy they are, and those of each batch run in which its machines are up.

Machines are paid for by the hour, and half of an hour or of a machine cannot be had: one machine for two hours may do
what another would idle over for six. Starts are paid for by the machine and stretch, so few machines for long have
fewer of them than many for a short time.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.forecast import BATCH
from advisor.demand.values import BatchRun, Forecast
from advisor.plan.problem.charges import alone_usd_per_month, way_of
from advisor.plan.problem.formulas import Part, idle_hours, least_instances, mix_rate, share_without
from advisor.plan.problem.limits import IN_PROPORTION, caps_in_proportion
from advisor.plan.problem.values import Floats, HourClass, Pool, Problem, PurchaseOption, Tariff
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_HOUR

SLACK = 1.02
"""Items that machines are chosen for ÷ items of a run: the last ones are done by machines that are not full."""
NEAR = 1.15
"""A pool that costs more than so many times the cheapest is not the cheapest of a plan."""
LATER_HOURS = (1, 2)
"""Hours beyond those that suit a pool by the closed form in which its machines may be as few, and hold."""
HOURS_BESIDE = (*range(1, 25), 36, 48, 72, 96, 120, 144, 168)
"""Numbers of open hours that are planned in beside requests: all of a day, so that none is dearer than a part of it."""
_EQUAL = 1 + 1e-6
"""Costs within this ratio count as the same."""
CLASS_HOURS = (36, 32, 32, 28, 20, 12, 6, 2)
"""Hours of the week in each class, the quietest first; finer where more instances run.

Classes are cut by rank, so that a busier hour never makes any class quieter; one whose hours differ by more than a leap
is cut again.
"""
LEAP = 2.0
"""No hour is planned for more than so many times the next power of this above its busiest minute..."""
LOWEST = 1 / 16
"""... which is taken to be this share of the week's at least: below, hours differ by little in machines."""
STEP = 1.03
"""Ratio of neighbouring rates that quieter hours are planned for."""
ROUNDING = 1e-6


def hours_by_cost(problem: Problem, run: BatchRun, items: float) -> Mapping[int, float]:
    """USD a month of the cheapest full pool in each number of open hours that suits some pool near the cheapest.

    Hours suit a pool that is full to the last item, or that has room for those on machines that are not.
    In the order of that cost, of the same cost the most hours first: fewer machines. All hours where no pool works a
    run off in any number. *problem*: pools with their rates, tariffs, limits and the charges of their regions; its
    hours play no part. *items*: of a run, with growth.
    """
    full, every = (list(_monthly(problem, run, items * slack)) for slack in (1.0, SLACK))
    floor = _least(full, run)
    least = float(floor.min())
    if np.isinf(least):
        return {len(run.open_hours): least}
    near = {_longest_of_cheapest(usd) for usd in (*full, *every) if usd.min() <= least * NEAR}
    ordered = sorted(near, key=lambda hours: (round(floor[hours - 1], 2), -hours))
    return {hours: float(floor[hours - 1]) for hours in ordered}


def later_hours_by_cost(problem: Problem, run: BatchRun, items: float, hours: Collection[int]) -> Mapping[int, float]:
    """The same cost in one and two hours more than each of some hours: a run whose replay ends late may need them."""
    floor = _least(list(_monthly(problem, run, items)), run)
    later = {each + more for each in hours for more in LATER_HOURS} - set(hours)
    usd = {each: float(floor[each - 1]) for each in sorted(later) if each <= floor.size}
    return dict(sorted(usd.items(), key=lambda item: item[1]))


def few_hours_by_cost(problem: Problem, run: BatchRun, items: float) -> Mapping[int, float]:
    """USD a month of the cheapest full pool in numbers of hours that are fewer than are open, the cheapest first."""
    floor = _least(list(_monthly(problem, run, items)), run)
    usd = {hours: float(floor[hours - 1]) for hours in HOURS_BESIDE if hours < floor.size}
    return dict(sorted(usd.items(), key=lambda item: item[1]))


def _least(monthly: Sequence[Floats], run: BatchRun) -> Floats:
    """USD a month of the cheapest pool in each number of open hours; infinite where no pool works a run off."""
    least: Floats = np.min([np.full(len(run.open_hours), np.inf), *monthly], axis=0)
    return least


def _longest_of_cheapest(usd: Floats) -> int:
    """Number of hours with the least cost, of the same cost the most."""
    return int(np.flatnonzero(usd <= usd.min() * _EQUAL)[-1]) + 1


def _monthly(problem: Problem, run: BatchRun, items: float) -> Iterator[Floats]:
    """USD a month of each pool and way of paying with all that its region charges, (hours,)."""
    alone = alone_usd_per_month(problem)
    runs = run.runs_per_week / HOURS_PER_WEEK * HOURS_PER_MONTH
    for pool, tariff, usd in run_costs(problem, run, items):
        yield runs * (usd + items * pool.usd_per_request) + alone[way_of(pool, tariff)]


def run_costs(problem: Problem, run: BatchRun, items: float) -> Iterator[tuple[Pool, Tariff, Floats]]:
    """USD of a run on each pool, in each way of paying for hours, in its first open hour, first two and so on.

    ``USD a run = n · (hours + stretches · (lead + stop)) · price + n · stretches · start`` with
    ``n = ⌈(items + r · lost) ÷ (r · work hours)⌉`` for instances of the rate r, and what redundancy asks for; on spot
    one interruption loses a start-up. A service costs no less than the work takes. Infinite where limits allow no such
    number.
    """
    counts = range(1, len(run.open_hours) + 1)
    work_s = np.array([run.work_hours(count) for count in counts]) * SECONDS_PER_HOUR
    stretches = np.array([len(list(run.stretches(count))) for count in counts], dtype=np.float64)
    for pool in problem.pools:
        rate = mix_rate(problem, pool)
        for tariff in pool.tariffs if rate > 0 else ():
            if not tariff.paid.always:
                lost = rate * pool.lead_hours * SECONDS_PER_HOUR * (tariff.paid is PurchaseOption.SPOT)
                planned = (items + lost) / work_s
                instances = least_instances(problem, planned, np.array([rate]))[0]
                instances = np.maximum(instances, _least_over_zones(problem, pool, tariff, planned / rate))
                usd = _usd(pool, tariff, instances, np.arange(1.0, work_s.size + 1), stretches)
                if tariff.paid is PurchaseOption.SERVERLESS:
                    usd = np.full(work_s.size, items / rate / SECONDS_PER_HOUR * tariff.all_usd_per_hour)
                yield pool, tariff, np.where(_allowed(problem, pool, tariff, instances), usd, np.inf)


def _least_over_zones(problem: Problem, pool: Pool, tariff: Tariff, loads: Floats) -> Floats:
    """Instances of which enough are left without those of a zone, or of spot in a zone: at least so many.

    *loads*: instances that the work takes. Where all of a pool are in one zone, as many are elsewhere.
    """
    parts = (Part.ZONE, Part.SUPPLY) if tariff.paid is PurchaseOption.SPOT else (Part.ZONE,)
    share = max(share_without(problem.limits, part) for part in parts)
    left = np.ceil(share * loads - ROUNDING)
    least: Floats = left + np.ceil(left / (max(pool.zones, 2) - 1))
    return least


def _usd(pool: Pool, tariff: Tariff, instances: Floats, hours: Floats, stretches: Floats) -> Floats:
    """Cost of one run."""
    usd: Floats = instances * (
        (hours + stretches * idle_hours(pool, tariff)) * tariff.all_usd_per_hour + stretches * pool.start_usd
    )
    return usd


def _allowed(problem: Problem, pool: Pool, tariff: Tariff, instances: Floats) -> npt.NDArray[np.bool_]:
    """Whether so many instances are within the limits on their number."""
    limits = problem.limits
    most = np.inf if limits.max_replicas is None else max(limits.max_replicas // pool.replicas, 1)
    for quota, units in pool.quotas.items():
        if quota[1] == tariff.paid.market and units and quota in problem.quota_limits:
            most = min(most, problem.quota_limits[quota] // units)
    for constraint, cap in caps_in_proportion(limits).items():
        if not IN_PROPORTION[constraint].is_monthly and pool.takes.get(constraint):
            most = min(most, cap // pool.takes[constraint])
    within: npt.NDArray[np.bool_] = instances <= most
    return within


@dataclass(frozen=True, slots=True, eq=False)
class Week:
    """A week of hour classes, in the order of their load."""

    classes: tuple[HourClass, ...]
    schedule: tuple[int, ...]
    """Class of each hour of the week, from Monday 00:00 UTC."""
    transitions: Floats
    """How often an hour of class a is followed by one of class b: (classes, classes)."""
    added_rates: tuple[float, ...] = ()
    """Requests per second that batch work adds in each hour of the week, from Monday 00:00 UTC; empty: it adds none."""
    item_weight: float = 1.0
    """Requests that one of its items counts for."""
    by_hours: "Week | None" = None
    """The week in the demand's own hour classes; None: these are they."""
    requests: "Week | None" = None
    """The week of the requests alone, in hour classes of its own, where batch work adds to them; None: it does not."""
    growth_ratio: float = 1.0
    """Busiest minutes that are planned for ÷ those of today, by growth alone."""

    @property
    def rates_by_hour(self) -> Floats:
        """Mean and planned rate, and that at the low edge, of each hour of the week, (168, 3)."""
        rates: Floats = np.array([(hour.mean_rate, hour.planned_rate, hour.low_rate) for hour in self.classes])
        return rates[list(self.schedule)]

    def of_requests(self, requests: "Week") -> "Week":
        """The same hour classes, parts of those of the requests alone, with the rates of these."""
        schedule, rates = np.array(self.schedule), requests.rates_by_hour
        classes = []
        for at, hour in enumerate(self.classes):
            mean, _, low = rates[schedule == at].mean(axis=0).tolist()
            planned = float(rates[schedule == at, 1].max())
            classes.append(HourClass(hour.hours_per_week, mean, planned, low))
        return Week(tuple(classes), self.schedule, self.transitions, growth_ratio=requests.growth_ratio)

    def with_items(self, requests: "Week", added: Floats, weight: float, sent_ratio: float) -> "Week":
        """The week with what batch work adds to it, which its classes count as requests.

        *added*: requests per second in each hour of the week, (168,). *weight*: requests that an item counts for by the
        time of a replica. *sent_ratio*: requests that it counts for by the bytes of its answer.
        """
        schedule = np.array(self.schedule)
        classes = tuple(
            replace(hour, sent_rate=hour.mean_rate - float(added[schedule == at].mean()) * (1 - sent_ratio / weight))
            for at, hour in enumerate(self.classes)
        )
        in_classes = requests.by_hours or requests
        return replace(
            self,
            classes=classes,
            added_rates=tuple(added.tolist()),
            item_weight=weight,
            by_hours=self.by_hours and self.by_hours.with_items(in_classes, added, weight, sent_ratio),
            requests=in_classes,
        )


def week_of(
    forecast: Forecast,
    *,
    scheduled: bool,
    kinds: Sequence[int] = (0,) * HOURS_PER_WEEK,
    least_rates: Sequence[float] = (0.0,) * HOURS_PER_WEEK,
) -> Week:
    """Hour classes of a forecast; one for all hours where the fleet does not follow them.

    *kinds*: of each hour of the week; hours of several are cut apart. *least_rates*: requests per second that each hour
    is planned for at least, alike in hours of a kind.
    """
    order = np.argsort(forecast.peak, kind="stable")
    is_batch = forecast.method == BATCH
    groups, of_kind = np.split(order, np.cumsum(CLASS_HOURS)[:-1]), np.array(kinds)
    parts = [group[of_kind[group] == kind] for group in groups for kind in sorted(set(of_kind[group].tolist()))]
    planned = np.stack([np.maximum(_planned_rates(parts, forecast.peak), least_rates), of_kind], axis=1)
    rates, schedule = np.unique(planned, axis=0, return_inverse=True)
    schedule = schedule.reshape(-1)
    classes = tuple(
        _class_of(forecast, np.flatnonzero(schedule == at), rate) for at, (rate, _) in enumerate(rates.tolist())
    )
    transitions = _transitions(schedule, len(classes))
    week = Week(classes, tuple(schedule.tolist()), transitions, growth_ratio=forecast.growth_ratio)
    return week if scheduled or is_batch else at_all_hours(week)


def at_all_hours(week: Week) -> Week:
    """The same week as one class of hours, for which a fleet has the same instances at all of them."""
    if len(week.classes) == 1:
        return week
    hours = np.array([hour.hours_per_week for hour in week.classes])
    rates = np.array([(hour.mean_rate, hour.low_rate, hour.paid_rate) for hour in week.classes])
    mean, low, paid = (rates.T @ hours / hours.sum()).tolist()
    planned = max(hour.planned_rate for hour in week.classes)
    merged = HourClass(int(hours.sum()), mean, planned, low, paid)
    schedule = (0,) * len(week.schedule)
    transitions = _transitions(np.array(schedule), 1)
    return replace(week, classes=(merged,), schedule=schedule, transitions=transitions, by_hours=week)


def _planned_rates(groups: Sequence[npt.NDArray[np.intp]], peak: Floats) -> Floats:
    """Rate that each hour is planned for, (168,): the busiest minute of its group, capped by its own (``LEAP``).

    Both are rounded up to steps, so that hours that hardly differ are planned alike, and a busier hour makes none
    quieter. Where nothing is expected, nothing is planned for.
    """
    busiest = peak.max()
    planned = np.empty_like(peak)
    for group in groups:
        planned[group] = _stepped(peak[group].max(keepdims=True), STEP)
    most = np.minimum(LEAP * _stepped(np.maximum(peak, LOWEST * busiest), LEAP), busiest)
    return np.where(peak > 0, np.minimum(planned, most), 0.0)


def _stepped(rates: Floats, ratio: float) -> Floats:
    """Rates rounded up to the next power of a ratio; 0 stays."""
    logs = np.log(rates, out=np.zeros_like(rates), where=rates > 0) / math.log(ratio)
    stepped: Floats = np.where(rates > 0, ratio ** np.ceil(logs - ROUNDING), 0.0)
    return stepped


def _class_of(forecast: Forecast, group: npt.NDArray[np.intp], planned_rate: float) -> HourClass:
    return HourClass(
        hours_per_week=len(group),
        mean_rate=float(forecast.mean[group].mean()),
        planned_rate=planned_rate,
        low_rate=float(forecast.low_peak[group].mean()),
    )


def _transitions(schedule: npt.NDArray[np.intp], classes: int) -> Floats:
    counts = np.zeros((classes, classes))
    np.add.at(counts, (schedule, np.roll(schedule, -1)), 1.0)
    return counts
