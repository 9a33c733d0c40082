"""Fleets of a few instances of any groups that cost less than a confirmed fleet, where a limit allows no more.

Where `limits.max_changed_instances` allows a few instances, money left buys none: exchanges and pairs, which buy as
many as cost less, come to fleets that the limit refuses. Those of so few are counted out. That of which a failure
leaves most, by the closed form, is replayed first.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement

import numpy as np

from advisor.plan.problem.formulas import mix_rate, most_base_rate, ordered_as, running_as_ordered
from advisor.plan.problem.values import Floats, Problem, PurchaseOption
from advisor.plan.replay.exchanges import Exchanges
from advisor.plan.replay.groups import Confirmed
from advisor.plan.replay.pairs import LEAST_LEFT, Counted, cheaper_counted, own_usd, usd_per_month
from advisor.plan.replay.result import Flags
from advisor.plan.solve.neighbours import ADDED, BoughtWay
from advisor.plan.solve.scopes import scope_of
from advisor.records import dataclass
from advisor.units import ROUNDING
from advisor.workload.values import Survive

MOST_INSTANCES = 5
"""Fleets of more are not counted out."""
MOST_WAYS = 16
"""Ways of adding instances of a scope, those that cost least for what they carry."""
FAR = 0.05
"""Share of its cost that a fleet may be above its bound before others are counted out."""


def cheaper_few(search: Exchanges, best: Confirmed) -> Confirmed:
    """A confirmed fleet, or the last of those of a few instances that hold, each cheaper than the one before."""
    limits, solution = search.problem.limits, best.solution
    if limits.max_changed_instances is None or not running_as_ordered(search.problem) or solution.gap_ratio <= FAR:
        return best
    return cheaper_counted(search, best, _fleets)


def _fleets(search: Exchanges, best: Confirmed, limit_usd: float) -> Iterator[Counted]:
    """Fleets of a few instances of one scope that may cost less than a limit and may hold."""
    usual = sum(search.left(search.loads_of(best.solution).parts).values())
    left_usd = limit_usd - max(best.usd_per_month - own_usd(search.problem, best), 0.0)
    for ways in _ways(search.problem, left_usd):
        few = _Few(search.problem, ways)
        counts = few.within(left_usd)
        left = few.left_loads(counts)
        for row, left_load in zip(counts[left >= LEAST_LEFT * usual], left[left >= LEAST_LEFT * usual], strict=True):
            used = [(way, int(count)) for way, count in zip(ways, row, strict=True) if count]
            kinds = frozenset((search.kind_of(way.pool.key), _is_on_spot(way)) for way, _ in used)
            yield Counted(left_load, -float(row @ few.usd), kinds, *map(tuple, zip(*used, strict=True)))


def _ways(problem: Problem, most_usd: float) -> Iterator[list[BoughtWay]]:
    """Ways of adding instances of each scope, without those that cost no less than one that carries as much."""
    by_scope: dict[str, dict[PurchaseOption, list[BoughtWay]]] = {}
    for pool in problem.pools:
        if pool.serves_all_places and mix_rate(problem, pool) > 0:
            for way in (BoughtWay(pool, tariff) for tariff in pool.tariffs if tariff.paid in ADDED):
                if 0 < usd_per_month(problem, way) < most_usd:
                    by_paid = by_scope.setdefault(scope_of(problem, pool), {})
                    by_paid.setdefault(way.tariff.paid, []).append(way)
    for by_paid in by_scope.values():
        ways = [way for sold in by_paid.values() for way in _undominated(problem, sold)]
        yield sorted(ways, key=lambda way: way.usd_per_request(problem))[:MOST_WAYS]


def _undominated(problem: Problem, ways: Sequence[BoughtWay]) -> Iterator[BoughtWay]:
    """Ways that each carry more than all that cost no more by the instance, and all of types that run today."""
    running, most = {type_in_region for type_in_region, _ in running_as_ordered(problem)}, 0.0
    for way in sorted(ways, key=lambda way: (way.usd_per_hour, -mix_rate(problem, way.pool), way.pool.key)):
        rate = mix_rate(problem, way.pool)
        if rate > most * (1 + ROUNDING) or way.pool.type_in_region in running:
            yield way
        most = max(most, rate)


def _is_on_spot(way: BoughtWay) -> bool:
    return way.tariff.paid is PurchaseOption.SPOT


@dataclass(frozen=True, slots=True, eq=False)
class _Few:
    """Fleets of some ways, each a row of how many instances it has of each of them."""

    problem: Problem
    ways: Sequence[BoughtWay]

    @property
    def usd(self) -> Floats:
        """USD a month of an instance of each way."""
        return np.array([usd_per_month(self.problem, way) for way in self.ways])

    def within(self, most_usd: float) -> Floats:
        """Fleets that cost less than an amount, change few enough instances and leave enough without spot."""
        every = range(len(self.ways) + 1)  # the last one is none
        chosen = np.array(list(combinations_with_replacement(every, MOST_INSTANCES)))
        counts = (chosen[:, :, None] == np.arange(len(self.ways))).sum(axis=1).astype(np.float64)
        able: Flags = (counts @ self.usd < most_usd) & self._change_few(counts) & self._leave_base(counts)
        within: Floats = counts[able]
        return within

    def _change_few(self, counts: Floats) -> Flags:
        """Whether fleets are near enough to what runs today."""
        running = running_as_ordered(self.problem)
        ordered = [ordered_as(self.problem, way.pool, way.tariff) for way in self.ways]
        keys = list(dict.fromkeys((*running, *ordered)))
        planned = counts @ np.array([[key == own for key in keys] for own in ordered], dtype=np.float64)
        changed = np.abs(planned - [running.get(key, 0) for key in keys]).sum(axis=1)
        few: Flags = changed <= self.problem.limits.max_changed_instances
        return few

    def _leave_base(self, counts: Floats) -> Flags:
        """Whether what is not on spot may carry what has to be carried without."""
        spot = np.array([_is_on_spot(way) for way in self.ways])
        base = np.array([most_base_rate(self.problem, way.pool) for way in self.ways])
        needed = self.problem.limits.on_demand_base_ratio * self.problem.hours[-1].planned_rate
        leaves: Flags = (counts[:, ~spot] @ base[~spot] >= needed * (1 - ROUNDING)) | ~counts[:, spot].any(axis=1)
        return leaves

    def left_loads(self, counts: Floats) -> Floats:
        """Load that fleets carry in the busiest hours without the largest instance that may be lost."""
        rates = np.array([mix_rate(self.problem, way.pool) for way in self.ways]) / self.problem.hours[-1].planned_rate
        loses_any = self.problem.limits.survival is not Survive.NOTHING
        losable = rates * [loses_any or _is_on_spot(way) for way in self.ways]
        left: Floats = counts @ rates - (losable * (counts > 0)).max(axis=1, initial=0.0)
        return left
