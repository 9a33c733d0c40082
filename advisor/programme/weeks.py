"""Time course of a programme: from when its items save, when they have paid for its work, and what is done twice."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

from advisor.programme import rules
from advisor.programme.values import DAYS, Combination, Item
from advisor.units import A_CENT, DAYS_PER_MONTH, usd

_WEEKS = (1, 2, 3, 4)
_DAYS_PER_WEEK = 7


def end_of(week: int) -> int:
    """Days from the start until a week's items are done; the last week lasts until the programme ends."""
    return DAYS if week >= _WEEKS[-1] else week * _DAYS_PER_WEEK


def payback_months(
    items: Sequence[Item], combinations: Sequence[Combination], total_usd: float, one_off_usd: float
) -> float | None:
    """Months from the start until the items have saved what all of them cost; None where nothing is saved.

    Each saves from the end of its week. A combination saves the most that one of its finished items saves by itself,
    and all of it once the last one is finished; never more than *total_usd* a month is saved.
    """
    if total_usd < A_CENT:
        return None
    saved_usd = 0.0
    for week in _WEEKS[:-1]:
        rate = min(_usd_per_month(items, combinations, week), total_usd)
        days = end_of(week + 1) - end_of(week)
        if rate > 0 and saved_usd + rate * days / DAYS_PER_MONTH >= one_off_usd:
            return end_of(week) / DAYS_PER_MONTH + (one_off_usd - saved_usd) / rate
        saved_usd += rate * days / DAYS_PER_MONTH
    return DAYS / DAYS_PER_MONTH + (one_off_usd - saved_usd) / total_usd


def _usd_per_month(items: Sequence[Item], combinations: Sequence[Combination], week: int) -> float:
    """Saving a month once all items up to a week are done."""
    own = sum(item.saving.usd_per_month for item in items if item.saving and not item.counted_in and item.week <= week)
    return own + sum(_of_combination(items, combination, week) for combination in combinations)


def _of_combination(items: Sequence[Item], combination: Combination, week: int) -> float:
    alone = dict(combination.alone_usd_per_month)
    parts = [item for item in items if item.id in alone]
    if parts and all(item.week <= week for item in parts):
        return combination.saving.usd_per_month
    return max([0.0, *(alone[item.id] for item in parts if item.week <= week)])


def replaced_words(
    items: Sequence[Item], combinations: Sequence[Combination], machines: Mapping[str, str]
) -> Iterator[str]:
    """Notes on changes to machines that a later week replaces, each with what it saves until then and its cost.

    *machines*: type that runs today and not in the plan, by id of the combination.
    """
    for combination in combinations:
        parts = sorted((item for item in items if item.counted_in == combination.id), key=lambda item: item.week)
        later = [item for item in parts if _lever(item, combination) in rules.REPLACING]
        if not later or combination.id not in machines:
            continue
        alone, best_usd, last = dict(combination.alone_usd_per_month), 0.0, later[-1]
        for item in parts:
            if item.week >= last.week or _lever(item, combination) not in rules.ON_MACHINES:
                continue
            gained = max(alone.get(item.id, 0.0) - best_usd, 0.0)
            best_usd += gained
            saved_usd = gained * (end_of(last.week) - end_of(item.week)) / DAYS_PER_MONTH
            yield (
                f"{item.id} changes {machines[combination.id]}, which {last.id} replaces in week {last.week}: until "
                f"then it saves {usd(saved_usd)}, and its work costs {usd(item.one_off_usd)}"
                f"{': do both in one step' if saved_usd < item.one_off_usd else ''}"
            )


def _lever(item: Item, combination: Combination) -> str:
    return item.id.removeprefix(f"{combination.workload}/")


def hours_words(items: Sequence[Item], start: dt.date) -> str:
    """``work by week: 46 h to 12-14, 12 h to 12-21, 72 h to 12-28, 212 h to 01-06; by owner: platform 306 h``."""
    by_week = ", ".join(
        f"{sum(item.effort_hours for item in items if item.week == week):,.0f} h to {_day(start, week)}"
        for week in _WEEKS
    )
    owners: dict[str, float] = {}
    for item in items:
        owners[item.owner] = owners.get(item.owner, 0.0) + item.effort_hours
    by_owner = ", ".join(
        f"{owner} {hours:,.0f} h" for owner, hours in sorted(owners.items(), key=lambda pair: -pair[1]) if hours
    )
    return f"work by week: {by_week}; by owner: {by_owner}"


def _day(start: dt.date, week: int) -> str:
    return f"{start + dt.timedelta(days=end_of(week)):%m-%d}"
