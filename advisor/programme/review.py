"""Review of a programme: what a bill says that its applied items saved, against what was predicted."""

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from advisor.audit import Traffic, day_range, missing_days
from advisor.audit.ledger import Ledger, costs_by_resource, daily_costs, daily_requests, named
from advisor.audit.normalising import rate_notes
from advisor.errors import InputError
from advisor.names import suggestion
from advisor.plan.values import Plan
from advisor.programme import rules
from advisor.programme.values import (
    LEAST_DAYS,
    NOTHING,
    Applied,
    Combination,
    Item,
    PlannedCost,
    Predicted,
    Programme,
    ResourceChange,
    Review,
    Saving,
    anomalies_of,
    pattern_of,
    predicted_in_all,
    robust_deviation,
    total_of,
)
from advisor.records import dataclass
from advisor.units import A_CENT, DAYS_PER_MONTH, HOURS_PER_MONTH, counted

SERVING = "serving"
"""Id of the items that are about the cost of serving: a bill does not tell them apart."""
_WEEK = 7
_NORMAL_95 = 1.96
_MOST_CHANGES = 5
_MOST_NEXT = 3

Costs = Mapping[dt.date, float]


@dataclass(frozen=True, slots=True)
class Question:
    """Subject of a review."""

    programme: Programme
    since: dt.date
    applied: Mapping[str, dt.date]
    """Day on which each item was applied, by id."""
    plans: Mapping[str, Plan]
    """By file."""


def review_of(question: Question, ledger: Ledger, traffic: Traffic | None) -> Review:
    """The review of a programme.

    *question*: programme, what was applied of it, and since when. *ledger*: bill from at least a week before the first
    item was applied. *traffic* None: no log is given. Raises InputError if the time has no programme, nothing was
    applied, an item is unknown, or the bill does not reach it.
    """
    _check(question)
    return _Reviewer(question, ledger, traffic).review()


def _check(question: Question) -> None:
    programme, since = question.programme, question.since
    if since < programme.start:
        raise InputError(
            f"no plan covers {since:%B %Y}: the programme starts on {programme.start}",
            where="--since",
            hint=f"review from then on (--since {programme.start}), or give the programme of that month",
        )
    ids = tuple(item.id for item in programme.items)
    for name, day in question.applied.items():
        if name not in ids:
            hint = suggestion(name, ids) or f"it has {', '.join(ids)}"
            raise InputError(f"the programme has no item {name}", where="--applied", hint=hint)
        if day < programme.start:
            hint = "give the day on which it took effect"
            raise InputError(f"{name}: {day} is before the programme, which starts on {programme.start}", hint=hint)
    if not question.applied:
        raise InputError(
            "nothing of the programme was applied", hint=f"say what and when, such as --applied {ids[-1]}={since}"
        )  # fmt: skip


class _Reviewer:
    """Bill and programme side by side."""

    def __init__(self, question: Question, ledger: Ledger, traffic: Traffic | None) -> None:
        """Read the days of the bill."""
        self._question, self._ledger = question, ledger
        if ledger.bill.currency not in ("USD", None):
            raise InputError(
                f"the bill is in {ledger.bill.currency}, and the programme in USD",
                hint=f"state what one {ledger.bill.currency} is in USD, such as --rate {ledger.bill.currency}=1.08",
            )
        self._days = daily_costs(ledger)
        self._last = max(self._days, default=dt.date.min)
        if self._last < question.since:
            ends = f"ends on {self._last}" if self._days else "has no charges"
            raise InputError(f"the bill {ends}, before {question.since}", hint="give the bill of the time since, too")
        self._traffic = traffic
        self._requests = daily_requests(ledger.database) if traffic else {}

    def review(self) -> Review:
        """The whole."""
        applied = sorted(map(self._judged, self._groups()), key=_worst_first)
        judged = [group for group in applied if group.billed is not None]
        breaks = sorted(set(self._question.applied.values()))
        anomalies = anomalies_of(self._days, breaks)
        before, now = self._before(), self._now()
        return Review(
            since=self._question.since,
            until=self._last,
            cost=self._ledger.bill.basis.value,
            predicted=predicted_in_all([group.predicted for group in judged]),
            billed=total_of([group.billed for group in judged if group.billed is not None]),
            applied=tuple(applied),
            usd_per_month=_monthly([self._days[day] for day in now]),
            now_from=now[0],
            trend_usd_per_month=self._trend(breaks),
            anomalies=None
            if anomalies is None
            else tuple(anomaly for anomaly in anomalies if anomaly.day >= self._question.since),
            changes=tuple(self._changes(before, now)),
            before=(before[0], before[-1]) if before else None,
            plans=tuple(self._planned()),
            next_steps=tuple(self._next_steps(applied)),
            notes=tuple(self._notes(applied)),
        )

    def _now(self) -> list[dt.date]:
        """Days of today's cost: after the last applied change, and not before the review; all of it without any."""
        since = [day for day in self._days if day >= self._question.since]
        last = max(self._question.applied.values())
        days = [day for day in since if day > last] or since
        return _whole_weeks(days) or days

    def _before(self) -> list[dt.date]:
        """Days before anything was applied, as many of the latest as are whole weeks; all of less than one."""
        first = min(self._question.applied.values())
        days = [day for day in self._days if day < first]
        return _whole_weeks(days) or days

    def _groups(self) -> list[tuple[str, list[Item]]]:
        """Applied items by the money that they are about."""
        applied = [item for item in self._question.programme.items if item.id in self._question.applied]
        saving = [item for item in applied if item.saving is not None]
        ordered = sorted(saving, key=lambda item: (_money_of(item), item.id))
        return [(name, list(items)) for name, items in groupby(ordered, key=_money_of)]

    def _judged(self, group: tuple[str, list[Item]]) -> Applied:
        """A group with its days before the first item and after the last."""
        name, items = group
        dates = [self._question.applied[item.id] for item in items]
        first, last = min(dates), max(dates)
        costs = daily_costs(self._ledger, self._where(name, items))
        before = _whole_weeks([day for day in costs if day < first])
        after = _whole_weeks([day for day in costs if day > last and day >= self._question.since])
        why = self._why_unknown(costs, before, after, first, last)
        billed = None if why else _billed(costs, before, after)
        return Applied(
            id=name,
            items=tuple(item.id for item in items),
            first_on=first,
            last_on=last,
            predicted=_predicted(items, self._question.programme),
            billed=billed,
            served=self._served(costs, before, after) if billed is not None and name == SERVING else None,
            why_unknown=why,
            days_before=len(before),
            days_after=len(after),
        )

    def _where(self, name: str, items: Sequence[Item]) -> str:
        """Charges of a group: the machines that serve, or the resources of its findings."""
        if name != SERVING:
            return named([resource for item in items for resource in item.resources])
        others = [
            resource for other, of in self._groups() if other != SERVING for item in of for resource in item.resources
        ]
        return f"is_accelerated AND NOT coalesce({named(others)}, false)"

    def _why_unknown(
        self, costs: Costs, before: Sequence[dt.date], after: Sequence[dt.date], first: dt.date, last: dt.date
    ) -> str:
        if not before:
            return f"the bill has no week before {first}: give that of the month before, too"
        if not after:
            return f"the bill has no week since {max(last, self._question.since)} yet: it ends on {self._last}"
        return "" if any(costs[day] for day in before) else "the bill has no charge of it"

    def _served(self, costs: Costs, before: Sequence[dt.date], after: Sequence[dt.date]) -> Saving | None:
        """Saving at the requests of now: (cost of a request before - after) × requests of a month now."""
        requests = [sum(self._requests.get(day, 0) for day in days) for days in (before, after)]
        if not all(requests):
            return None
        each = [sum(costs[day] for day in days) / count for days, count in zip((before, after), requests, strict=True)]
        usd = (each[0] - each[1]) * requests[1] / len(after) * DAYS_PER_MONTH
        return Saving(usd, usd, usd)

    def _trend(self, breaks: Sequence[dt.date]) -> float | None:
        """Slope of the days, as the change of a month's cost in a month."""
        if len(self._days) < LEAST_DAYS:
            return None
        pattern = pattern_of(list(self._days), np.array(list(self._days.values())), breaks)
        return pattern.per_day * DAYS_PER_MONTH**2

    def _changes(self, before: Sequence[dt.date], now: Sequence[dt.date]) -> Iterator[ResourceChange]:
        """Resources whose mean cost of a day changed most, from before anything was applied to now."""
        if not before:
            return
        old = costs_by_resource(self._ledger, before[0], before[-1])
        new = costs_by_resource(self._ledger, now[0], now[-1])
        rows = [
            ResourceChange(
                name,
                old.get(name, 0.0) / len(before) * DAYS_PER_MONTH,
                new.get(name, 0.0) / len(now) * DAYS_PER_MONTH,
            )
            for name in sorted(old | new)
        ]
        rows = [row for row in rows if abs(row.after_usd_per_month - row.before_usd_per_month) >= A_CENT]
        yield from sorted(rows, key=lambda row: -abs(row.after_usd_per_month - row.before_usd_per_month))[
            :_MOST_CHANGES
        ]

    def _planned(self) -> Iterator[PlannedCost]:
        """Plans against the accelerated machines of the latest whole weeks."""
        costs = daily_costs(self._ledger, "is_accelerated")
        days = _whole_weeks([day for day in costs if day >= self._now()[0]])
        for path, plan in self._question.plans.items():
            if plan.fleet is not None and days:
                yield PlannedCost(path, plan.fleet.cost.total_usd_per_month, _monthly([costs[day] for day in days]))

    def _next_steps(self, applied: Sequence[Applied]) -> Iterator[str]:
        """Next steps: look at what costs more, wait for what is not known, then the next items."""
        for group in applied:
            if group.billed is not None and group.billed.usd_per_month < 0:
                yield f"look at {', '.join(group.items)}: it costs more; undo it, or say what else changed"
            elif group.billed is None:
                yield f"review {', '.join(group.items)} again: {group.why_unknown}"
        left = [item for item in self._question.programme.items if item.id not in self._question.applied]
        for item in left[:_MOST_NEXT]:
            yield f"{item.id} (week {item.week}, {item.owner}): `{item.command}`"
        if not left:
            yield "the programme is done: audit the latest bill, price the levers again, and make the next one"

    def _notes(self, applied: Sequence[Applied]) -> Iterator[str]:
        yield from dict.fromkeys((*rate_notes(self._ledger.rates), *self._ledger.notes))
        if self._traffic is not None:
            yield from self._traffic.notes
            if not any(group.served for group in applied):
                yield "the saving at the requests of now is unknown: the logs have none of both times of serving"
        yield (
            "billed: mean of whole weeks before against whole weeks after, unusual days among them, without taxes, in "
            f"a month of {HOURS_PER_MONTH:g} hours; "
            "95 % interval from the robust spread of the days, taken to be independent"
        )
        if missing := missing_days(list(self._days)):
            said = f"without any charge ({day_range(missing)}) in no mean: see that the export is whole"
            yield f"{counted(len(missing), 'day')} {said}"
        if any(group.id == SERVING for group in applied):
            yield "serving: all accelerated machines of the bill; a bill does not tell the items apart"
        if len(self._days) < LEAST_DAYS:
            yield f"trend and anomalies take {LEAST_DAYS} days, and the bill has {len(self._days)}"
        measures = [
            item.id for item in self._question.programme.items if item.id in self._question.applied and not item.saving
        ]
        if measures:
            yield f"applied, and saving nothing by themselves: {', '.join(measures)}"


def _money_of(item: Item) -> str:
    """Name of the money that an item is about."""
    holder = item.counted_in or item.id
    is_serving = not rules.ABOUT_SERVING.isdisjoint((item.id, holder))
    return SERVING if not item.resources or is_serving or "/" in holder else holder


def _predicted(items: Sequence[Item], programme: Programme) -> Predicted:
    """Predicted saving of items about the same money: each combination or finding that holds it counts once."""
    parts = []
    holder = {item.id: item.counted_in or item.id for item in items}
    for name in sorted(set(holder.values())):
        part = [item for item in items if holder[item.id] == name]
        combination = next((each for each in programme.combinations if each.id == name), None)
        parts.append(_largest(part) if combination is None else _of_combination(part, combination))
    return predicted_in_all(parts)


def _of_combination(items: Sequence[Item], combination: Combination) -> Saving | Predicted:
    """Saving of some levers of a combination, of what is paid today.

    Of all of them it is the combination's own, of one what it saves alone, of all but one what the combination saves
    without that. Of others it is at least what the best of them saves alone, and at most what all save without any that
    is left out; none is more than that of the combination, whatever a file says.
    """
    alone, without = dict(combination.alone_usd_per_month), dict(combination.without_usd_per_month)
    pulled = {item.id for item in items} & alone.keys()
    left_out = alone.keys() - pulled
    if not pulled:
        return _largest(items)
    if not left_out:
        return combination.saving
    most = combination.saving.usd_per_month
    best = min(max(alone[name] for name in pulled), most)
    if len(pulled) > 1:
        most = min(most, *(without.get(name, most) for name in left_out))
        is_priced = len(left_out) == 1 and left_out <= without.keys()
        return Predicted(most, most, most) if is_priced or best >= most else Predicted(None, best, most)
    return Saving(best, best, best)


def _largest(items: Sequence[Item]) -> Saving:
    savings = [item.saving for item in items if item.saving is not None]
    return max(savings, key=lambda saving: saving.usd_per_month, default=NOTHING)


def _billed(costs: Costs, before: Sequence[dt.date], after: Sequence[dt.date]) -> Saving:
    """Saving a month = (mean of days before - mean of days after) × days of a month, ± 1.96 standard errors.

    Standard error = robust standard deviation of a day × √(1 ÷ days before + 1 ÷ days after).
    """
    means = [sum(costs[day] for day in days) / len(days) for days in (before, after)]
    usd = (means[0] - means[1]) * DAYS_PER_MONTH
    days = [*before, *after]
    values = np.array([costs[day] for day in days])
    spread = robust_deviation(values - pattern_of(days, values, [after[0]]).expected)
    error = _NORMAL_95 * spread * math.sqrt(1 / len(before) + 1 / len(after)) * DAYS_PER_MONTH
    return Saving(usd, usd - error, usd + error)


def _whole_weeks(days: Sequence[dt.date]) -> list[dt.date]:
    """The latest whole weeks of days; none where there is no week."""
    count = len(days) // _WEEK * _WEEK
    return list(days[len(days) - count :])


def _monthly(costs: Sequence[float]) -> float:
    return sum(costs) / len(costs) * DAYS_PER_MONTH


def _worst_first(group: Applied) -> tuple[int, float, str]:
    """Negative savings first, then those that fall short most, then those that are not known yet."""
    if group.billed is None:
        return 2, 0.0, group.id
    usd = group.billed.usd_per_month
    point = group.predicted.usd_per_month
    expected = group.predicted.low_usd_per_month if point is None else point
    return int(usd >= 0), usd - (expected if usd >= 0 else 0.0), group.id
