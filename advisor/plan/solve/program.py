"""The fleet as a mixed-integer program: one function for each named constraint.

Instances N of each pool g, tariff t and hour class h are whole numbers; shares x of the requests of each place p (and,
when the router knows prompt lengths, of each bucket b) are not. Mélange (Griggs et al. 2024) cuts each bucket into
slices and assigns each slice to one type: any of its mixes is a solution here, with every share a number of slices.

    minimise   Σ usd · hours · N  +  interruptions  +  transfer  +  starting ahead  +  switching
    demand     Σ_g (mix share + bucket share) = 1                       for each h, p, b
    capacity   Σ_p,b share · rate / rate of an instance ≤ Σ_t N         for each g, h
    failures   Σ_g rate · (N - N in u) ≥ share(u) · planned rate        for each h and each part u that may fail

A pool may take a share of all requests of a place (at the rate it sustains for that mix), or of a bucket's alone.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

from advisor.plan.problem.formulas import (
    Ordered,
    Part,
    base_rate,
    hours_per_month,
    ordered_as,
    quota_units,
    running_as_ordered,
    shares_without,
    zone_shares,
)
from advisor.plan.problem.limits import IN_PROPORTION, RULED, Constraint
from advisor.plan.problem.values import Pool, PurchaseOption
from advisor.plan.solve.variables import ProgramVariables, Terms
from advisor.records import dataclass
from advisor.units import HOURS_PER_MONTH

Losses = list[tuple[int, tuple[int, float]]]
"""Variables and instances, each with its pool."""
ALMOST_ONE = 1 - 1e-6
"""What may be added to a number of instances without reaching the next whole one."""


@dataclass(slots=True, eq=False)
class FleetProgram(ProgramVariables):
    """The rows of one problem."""

    def build(self) -> "FleetProgram":
        """Write everything down; returns itself."""
        self.write_variables()
        self._kept()
        self._entrances()
        for constraint, write in self.writers().items():
            if constraint not in self.left_out:
                write()
        if self.elastic is not None:
            self._price_only_slack()
        return self

    def writers(self) -> Mapping[Constraint, Callable[[], None]]:
        """Methods that write the rows of each constraint."""
        return {
            Constraint.DEMAND: self._demand,
            Constraint.CAPACITY: self._capacity,
            Constraint.MIN_REPLICAS: self._min_replicas,
            Constraint.MAX_REPLICAS: self._max_replicas,
            Constraint.ZONES: self._zones,
            Constraint.SURVIVE: self._survive,
            Constraint.SPOT_REROUTE: self._spot_reroute,
            Constraint.ON_DEMAND_BASE: self._on_demand_base,
            Constraint.COMMITMENT_LOW_BAND: self._commitment_low_band,
            Constraint.OWNED: self._owned,
            Constraint.QUOTA: self._quota,
            Constraint.MAX_REGIONS: self._max_regions,
            Constraint.MAX_CHANGED_INSTANCES: self._changed_instances,
            Constraint.BUDGET: self._budget,
            **{constraint: partial(self._ruled, constraint) for constraint in RULED},
            **{constraint: partial(self._proportional, constraint) for constraint in IN_PROPORTION},
        }

    # --- the constraints that always hold

    def _demand(self) -> None:
        buckets = range(len(self.problem.bucket_shares))
        pools = range(len(self.problem.pools))
        for h in range(len(self.problem.hours)):
            for p in range(len(self.problem.place_shares)):
                mixed: Terms = [(self.mix[g, h, p], 1.0) for g in pools]
                for terms in [[(self.bucket[g, h, p, b], 1.0) for g in pools] for b in buckets] or [[]]:
                    self.program.row(Constraint.DEMAND, mixed + terms, lower=1.0, upper=1.0)

    def _capacity(self) -> None:
        for g, h in itertools.product(range(len(self.problem.pools)), range(len(self.problem.hours))):
            room = [(variable, -count) for variable, count in self._running(g, h)]
            self.program.row(Constraint.CAPACITY, self._load(g, h) + room, upper=0.0)
            self._nothing_without_instance(g, h, room)

    def _nothing_without_instance(self, g: int, h: int, room: Terms) -> None:
        """A share is at most the instances: follows from whole instances, and is tighter where they are large."""
        pool, rate = self.problem.pools[g], self.problem.hours[h].planned_rate
        if rate == 0:
            return
        for p, share in enumerate(self.problem.place_shares):
            if rate * share >= pool.mix_rates[p] > 0:
                continue
            buckets = range(len(self.problem.bucket_shares))
            for terms in [[(self.bucket[g, h, p, b], 1.0)] for b in buckets] or [[]]:
                self.program.row(Constraint.CAPACITY, [(self.mix[g, h, p], 1.0), *terms, *room], upper=0.0)

    def _kept(self) -> None:
        """Groups that have any instance have one in each class of hours, where their way of paying keeps one."""
        hours = range(len(self.problem.hours))
        for (g, t, h), variable in self.hourly.items():
            tariff, most = self.problem.pools[g].tariffs[t], float(self._most_of(g) * len(hours))
            if tariff.paid.keeps_one and len(hours) > 1 and (h == 0 or self._is_by_class(tariff)):
                others = [(self.hourly[g, t, at], 1.0) for at in hours if at != h]
                self.program.row("kept", [*others, (variable, -most)], upper=0.0)

    def _entrances(self) -> None:
        """Hosts of a region run in each served hour, or in none.

        Callers, and the records that stand for them, send requests to regions and services by the same weights at all
        hours, also to a load balancer that nothing is behind. Where hosts of one region serve alone, demand asks for
        as much.
        """
        hours, regions = self.served_hours(), self._pools_by(lambda pool: pool.region)
        on_hosts = all(tariff.on_hosts for pool in self.problem.pools for tariff in pool.tariffs)
        if on_hosts and (self.problem.max_regions == 1 or len(regions) == 1):
            return
        for pools, h in itertools.product(regions.values(), hours if self.may_fall else hours[:1]):
            up = self._hosts(pools, h)
            others = {variable: count for at in hours for variable, count in self._hosts(pools, at).items()}
            most = sum(map(self._most_of, pools)) * len(hours)
            terms = [(variable, count) for variable, count in others.items() if variable not in up]
            if terms:
                up_terms = [(variable, -count * most) for variable, count in up.items()]
                self.program.row("kept", [*terms, *up_terms], upper=0.0)

    def _hosts(self, pools: Collection[int], h: int) -> Mapping[int, float]:
        """Variables of the hosts of some pools in an hour class, with their instances."""
        return {
            variable: count
            for g, t, variable, count in self.instances_at(h)
            if g in pools and self.problem.pools[g].tariffs[t].on_hosts
        }

    # --- floors, ceilings and failures

    def _min_replicas(self) -> None:
        least = self.problem.limits.min_replicas
        for h in self.served_hours():
            terms = self.each_instance(h, lambda pool: float(pool.replicas))
            self.program.row(Constraint.MIN_REPLICAS, terms, lower=least)
        self._without_machine(Constraint.MIN_REPLICAS)

    def _max_replicas(self) -> None:
        most = self.problem.limits.max_replicas
        if most is None:
            return
        for h in self.served_hours():
            terms = [(v, c * pool.replicas) for g, pool in enumerate(self.problem.pools) for v, c in self._load(g, h)]
            self.at_most(Constraint.MAX_REPLICAS, terms, most)

    def _zones(self) -> None:
        for h in self.served_hours():
            terms = self.each_instance(h, lambda _: 1.0)
            self.program.row(Constraint.ZONES, terms, lower=self.problem.limits.zones)
        self._without_zone(Constraint.ZONES)
        self._in_each_zone()

    def _in_each_zone(self) -> None:
        """Each zone sustains half of an equal part, with what is sure to be there and what stands in other regions."""
        shares = zone_shares(self.problem.limits)
        self.incomplete |= self.relaxed and bool(shares)
        regions = {} if self.relaxed else self._pools_by(lambda pool: pool.region)
        for (region, pools), h, zones in itertools.product(regions.items(), self.served_hours(), shares):
            needed = shares[zones] * self.problem.hours[h].planned_rate
            terms = [
                (variable, count * min(self.usual[g], needed))
                for g, _, variable, count in self.instances_at(h)
                if self.problem.pools[g].region != region
            ]
            for g in pools if needed > 0 else ():
                terms += [(sure, min(self.usual[g], needed)) for sure in self._sure_in_each(g, h, zones)]
            if needed > 0:
                self.program.row(Constraint.ZONES, terms, lower=needed)

    def _sure_in_each(self, g: int, h: int, zones: int) -> Iterator[int]:
        """Variables: instances in each of so many zones of a pool's group on spot, and of that of the rest of it."""
        pool = self.problem.pools[g]
        for running in self._groups(g, h).values() if pool.zones >= zones else ():
            sure = self.program.variable(integer=True)
            terms = [(variable, -count) for variable, count in running]
            self.program.row(Constraint.ZONES, [(sure, float(zones)), *terms], upper=0.0)
            yield sure

    def _survive(self) -> None:
        self._without_machine(Constraint.SURVIVE)
        self._without_zone(Constraint.SURVIVE)

    def _asked(self, part: Part) -> tuple[float, Constraint | None]:
        """The largest share that has to be sustained without a part, and the limit that asks it."""
        shares = shares_without(self.problem.limits, part)
        asked = [(share, name) for name, share in shares.items() if share > 0 and name not in self.left_out]
        return max(asked, default=(0.0, None))

    def _without_machine(self, name: Constraint) -> None:
        """Without one instance of any pool in use the others sustain the share; a zone takes no less than one."""
        share, asked = self._asked(Part.MACHINE)
        if asked is not name or self._asked(Part.ZONE)[0] >= share:
            return
        for h in self.served_hours():
            needed = share * self.problem.hours[h].planned_rate
            if needed > 0:
                self._one_more_than_needed(name, h, needed, tuple(PurchaseOption))
                self.incomplete |= self.relaxed
                for g in range(len(self.problem.pools)) if not self.relaxed else ():
                    used = self._used(name, self._running(g, h), self._most_of(g))
                    terms = [(self._whole_rate(h, needed), 1.0), (used, -min(self.usual[g], needed))]
                    self.program.row(name, terms, lower=needed)

    def _one_more_than_needed(
        self, name: Constraint, h: int, needed: float, failing: tuple[PurchaseOption, ...]
    ) -> None:
        """Σ N · rate / (needed + rate) ≥ 1, which follows from the rows of whole machines and is tighter for parts.

        No rate is above the largest of those that may fail, m, and all together are at least needed + m; what does not
        fail has rate / needed, which is more.
        """
        if needed <= 0:
            return
        terms: Terms = []
        for g, t, variable, count in self.instances_at(h):
            rate = min(self.usual[g], needed)
            spare = rate if self.problem.pools[g].tariffs[t].paid in failing else 0.0
            terms.append((variable, count * rate / (needed + spare)))
        self.program.row(name, terms, lower=1.0)

    def _used(self, name: Constraint, running: Terms, most: int) -> int:
        """A variable: 1 where any instance of these runs."""
        used = self.program.variable(upper=1.0, integer=True)
        self.program.row(name, [*running, (used, -float(most))], upper=0.0)
        return used

    def _without_zone(self, name: Constraint) -> None:
        """Without one zone of any region the other instances sustain the share."""
        share, asked = self._asked(Part.ZONE)
        if asked is not name:
            return
        slack = self.relaxed and share < 1
        self.incomplete |= slack
        regions = {} if slack else self._pools_by(lambda pool: pool.region)
        for pools, h in itertools.product(regions.values(), self.served_hours()):
            needed = share * self.problem.hours[h].planned_rate
            lost = [(g, term) for g in pools for term in self._lost_in_zone(g, h)]
            self._sustained(name, h, needed, lost, [])

    def _sustained(self, name: Constraint, h: int, needed: float, lost: Losses, slack: Terms) -> None:
        """All sustain enough without some instances; what one sustains beyond that carries nothing."""
        if needed <= 0:
            return
        terms = [(variable, -count * min(self.usual[g], needed)) for g, (variable, count) in lost]
        self.program.row(name, [(self._whole_rate(h, needed), 1.0), *terms, *slack], lower=needed)

    def _spot_reroute(self) -> None:
        """Whatever one spot supply leaves in a zone, the rest carries what cannot wait; a zone takes no less."""
        share, asked = self._asked(Part.SUPPLY)
        if asked is None or (
            self.problem.all_alike and self._asked(Part.ZONE)[0] >= share and self.elastic is not asked
        ):
            return
        supplies = self._spot_supplies()
        if supplies and self.problem.all_alike and self.elastic is not asked:
            for h in self.served_hours():
                needed = share * self.problem.hours[h].planned_rate
                self._one_more_than_needed(asked, h, needed, (PurchaseOption.SPOT,))
        for members, h in itertools.product(supplies.values(), self.served_hours()):
            lost = [(g, term) for g in members for term in self._lost_of_group(g, h, PurchaseOption.SPOT)]
            planned = self.problem.hours[h].planned_rate
            tolerated = self._ratio_slack(asked, self.problem.limits.fault_tolerant_ratio, planned, 1.0)
            if self.problem.all_alike:
                self._sustained(asked, h, share * planned, lost, tolerated)
            else:
                self._taken_over(asked, h, share * planned, lost, tolerated)

    def _taken_over(self, name: Constraint, h: int, needed: float, lost: Losses, slack: Terms) -> None:
        """Lost capacity is no more than the room that all have beside their load, and what can wait.

        Where all requests are alike the room is what is sustained beyond the demand, and the row says the same.
        """
        terms = [(variable, -count * self.usual[g]) for g, (variable, count) in lost]
        waits = needed - self.problem.hours[h].planned_rate
        self.program.row(name, [(self._room(h), 1.0), *terms, *slack], lower=waits)

    def _on_demand_base(self) -> None:
        """Instances not on spot sustain their share of the load."""
        ratio, name = self.problem.limits.on_demand_base_ratio, Constraint.ON_DEMAND_BASE
        rates = [base_rate(self.problem, pool) for pool in self.problem.pools] if self._spot_supplies() else []
        for h in self.served_hours() if ratio > 0 and rates else ():
            planned = self.problem.hours[h].planned_rate
            steady = [
                (variable, count * min(rates[g], ratio * planned))
                for g, t, variable, count in self.instances_at(h)
                if self.problem.pools[g].tariffs[t].paid is not PurchaseOption.SPOT
            ]
            slack = self._ratio_slack(name, ratio, planned, -1.0)
            self.program.row(name, [*steady, *slack], lower=ratio * planned)

    def _ratio_slack(self, name: Constraint, ratio: float, planned: float, sign: float) -> Terms:
        """Load that a looser ratio forgives, where the limit may be exceeded."""
        slack = self._slack(name, ratio, "", sign)
        return [(variable, planned) for variable, _ in slack]

    def _pools_by(self, key: Callable[[Pool], str]) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for g, pool in enumerate(self.problem.pools):
            groups.setdefault(key(pool), []).append(g)
        return groups

    def _spot_supplies(self) -> dict[str, list[int]]:
        """Pools that are sold on spot, by what one shortage takes."""
        supplies: dict[str, list[int]] = {}
        for g, pool in enumerate(self.problem.pools):
            if any(tariff.paid is PurchaseOption.SPOT for tariff in pool.tariffs):
                supplies.setdefault(pool.spot_supply, []).append(g)
        return supplies

    # --- commitments, quotas, change

    def _commitment_low_band(self) -> None:
        """Commitments are what the low edge needs, with the spare that the fleet keeps at any load.

        No limit is part of the rule: a fleet that keeps to it does so whatever other limits are loosened.
        """
        if not self.problem.low_band:
            return
        beyond: Terms = []
        for g, pool in enumerate(self.problem.pools):
            committed = [
                (self.fixed[g, t], tariff.break_even_ratio)
                for t, tariff in enumerate(pool.tariffs)
                if tariff.paid is PurchaseOption.COMMITMENT
            ]
            if committed:
                spare, floor = self._spare(g)
                self._used_long_enough(g, committed, spare)
                beyond += [(spare, 1.0), (floor, -1.0)]
        if beyond:
            self.program.row(Constraint.COMMITMENT_LOW_BAND, beyond, upper=1.0)

    def _spare(self, g: int) -> tuple[int, int]:
        """Variables: whole instances of a pool beyond its planned load in every hour, and those kept by floors.

        One spare instance of the fleet stays at any load. Spare in proportion to the load, as a zone's loss asks,
        shrinks with it; what runs beyond twice the load of the busiest hours does so because of floors, and stays.
        """
        name, most = Constraint.COMMITMENT_LOW_BAND, float(self._most_of(g))
        spare, floor = self.program.variable(integer=True), self.program.variable()
        ample = self.program.variable(upper=1.0, integer=True)
        self.program.row(name, [(floor, 1.0), (spare, -1.0)], upper=0.0)
        self.program.row(name, [(floor, 1.0), (ample, -most)], upper=0.0)
        for h in range(len(self.problem.hours)):
            load, running = self._load(g, h), [(variable, -count) for variable, count in self._running(g, h)]
            self.program.row(name, [(spare, 1.0), *load, *running], upper=0.0)
        twice = [(share, 2 * busy) for share, busy in load]
        self.program.row(name, [(floor, 1.0), (ample, most), *twice, *running], upper=most)
        return spare, floor

    def _used_long_enough(self, g: int, committed: Terms, spare: int) -> None:
        """Commitments beyond the spare: hours of use at the low edge ≥ break-even share × all hours."""
        name = Constraint.COMMITMENT_LOW_BAND
        beyond: Terms = [*((variable, 1.0) for variable, _ in committed), (spare, -1.0)]
        hours: Terms = []
        for h, hour in enumerate(self.problem.hours):
            in_use = self.program.variable()
            hours.append((in_use, hours_per_month(hour)))
            self.program.row(name, [(in_use, -1.0), *beyond], lower=0.0)
            low = [(variable, -load) for variable, load in self._load(g, h, hour.low_rate)]
            self.program.row(name, [(in_use, 1.0), *low], upper=ALMOST_ONE)
        self.program.row(name, [*beyond, *low], upper=ALMOST_ONE)
        needed = [(variable, -ratio * HOURS_PER_MONTH) for variable, ratio in committed]
        least = min(ratio for _, ratio in committed)
        self.program.row(name, [*hours, *needed, (spare, least * HOURS_PER_MONTH)], lower=0.0)

    def _owned(self) -> None:
        for type_in_region, count in self.problem.owned.items():
            terms = self.owned_terms(type_in_region)
            if len(terms) > 1:
                self.program.row(Constraint.OWNED, terms, upper=count)

    def owned_terms(self, type_in_region: str) -> Terms:
        """Instances of a type in a region that are paid for already."""
        return [
            (variable, 1.0)
            for (g, t), variable in self.fixed.items()
            if self.problem.pools[g].type_in_region == type_in_region
            and self.problem.pools[g].tariffs[t].paid is PurchaseOption.OWNED
        ]

    def _quota(self) -> None:
        for key, limit in self.problem.quota_limits.items():
            for h in range(len(self.problem.hours)):
                terms = self.quota_terms(key, h)
                if terms:
                    self.at_most(Constraint.QUOTA, terms, limit, key[0])

    def quota_terms(self, key: tuple[str, str], h: int) -> Terms:
        """Units that count against a quota in an hour class."""
        return [
            (variable, count * units)
            for g, t, variable, count in self.instances_at(h)
            if (units := quota_units(self.problem.pools[g], self.problem.pools[g].tariffs[t], key)) > 0
        ]

    def _max_regions(self) -> None:
        most = self.problem.max_regions
        if most is not None and len({pool.region for pool in self.problem.pools}) > most:
            self.at_most_kinds(Constraint.MAX_REGIONS, lambda pool: pool.region, most)

    def at_most_kinds(self, name: Constraint, kind_of: Callable[[Pool], str], most: float) -> None:
        """No more kinds of pools than so many have instances."""
        self.at_most(name, [(used, 1.0) for used in self.use_of_kinds(name, kind_of).values()], most)

    def use_of_kinds(self, name: Constraint, kind_of: Callable[[Pool], str]) -> Mapping[str, int]:
        """Variables by kind of pool: 1 where any instance of the kind runs."""
        kinds = dict.fromkeys(kind_of(pool) for pool in self.problem.pools)
        used = {kind: self.program.variable(upper=1.0, integer=True) for kind in kinds}
        for g, pool in enumerate(self.problem.pools):
            kind = (used[kind_of(pool)], -float(self._most_of(g)))
            for h in self._hours_of_most(pool):
                self.program.row(name, [*self._running(g, h), kind], upper=0.0)
        return used

    def _hours_of_most(self, pool: Pool) -> range:
        """Hour classes in one of which a pool has its most instances: the busiest, but any one for serverless."""
        hours = range(len(self.problem.hours))
        return hours if any(map(self._is_by_class, pool.tariffs)) else hours[-1:]

    def _changed_instances(self) -> None:
        """Instances started and stopped against what runs today, as :func:`changed_instances` counts them."""
        most, running = self.problem.limits.max_changed_instances, running_as_ordered(self.problem)
        if most is None or not running:
            return
        planned = self._planned_as_ordered(running)
        at_most = {key: self._counts_at_most(key, counts) for key, counts in planned.items()}
        changed = [(self._started(counts, running.get(key, 0)), 1.0) for key, counts in at_most.items()]
        stopped = self.program.variable()
        gone: Terms = [(self._gone(at_most[key], now), -1.0) for key, now in running.items()]
        self.program.row(Constraint.MAX_CHANGED_INSTANCES, [(stopped, 1.0), *gone], lower=0.0)
        for h in range(len(self.problem.hours)):
            self._replaced(stopped, {key: counts[h] for key, counts in planned.items()}, running)
        self.at_most(Constraint.MAX_CHANGED_INSTANCES, [*changed, (stopped, 1.0)], most)

    def _planned_as_ordered(self, running: Mapping[Ordered, int]) -> Mapping[Ordered, list[Terms]]:
        """Instances of each kind by hour class, with the kinds that run today."""
        hours = range(len(self.problem.hours))
        planned: dict[Ordered, list[Terms]] = {key: [[] for _ in hours] for key in running}
        for h in hours:
            for g, t, variable, count in self.instances_at(h):
                pool = self.problem.pools[g]
                key = ordered_as(self.problem, pool, pool.tariffs[t])
                planned.setdefault(key, [[] for _ in hours])[h].append((variable, count))
        return planned

    def _counts_at_most(self, kind: Ordered, counts: list[Terms]) -> list[Terms]:
        """Instances of a kind in the hour classes in one of which it has its most."""
        ways = ((pool, tariff) for pool in self.problem.pools for tariff in pool.tariffs)
        by_class = any(self._is_by_class(way) and ordered_as(self.problem, pool, way) == kind for pool, way in ways)
        return counts if by_class else counts[-1:]

    def _started(self, counts: list[Terms], now: int) -> int:
        """A variable: instances of a kind at its most beyond those of today."""
        started = self.program.variable()
        for terms in counts:
            self.program.row(Constraint.MAX_CHANGED_INSTANCES, [*terms, (started, -1.0)], upper=now)
        return started

    def _gone(self, counts: list[Terms], now: int) -> int:
        """A variable: instances of today's of a kind that run in none of these hours."""
        gone, name = self.program.variable(), Constraint.MAX_CHANGED_INSTANCES
        if len(counts) == 1:
            self.program.row(name, [*counts[0], (gone, 1.0)], lower=now)
            return gone
        most = [self.program.variable(upper=1.0, integer=True) for _ in counts]
        self.program.row(name, [(has_most, 1.0) for has_most in most], lower=1.0)
        for has_most, terms in zip(most, counts, strict=True):
            self.program.row(name, [*terms, (gone, 1.0), (has_most, -float(now))], lower=0.0)
        return gone

    def _replaced(self, stopped: int, planned: Mapping[Ordered, Terms], running: Mapping[Ordered, int]) -> None:
        """Instances of today's that do not run in an hour class count as stopped, if any others run there."""
        name, limit = Constraint.MAX_CHANGED_INSTANCES, self.problem.limits.max_changed_instances or 0
        every = sum(self._most_of(g) for g in range(len(self.problem.pools)))
        most = float(every if self.elastic is name else min(limit, every))
        others = self.program.variable(upper=1.0, integer=True)
        new = [term for key, terms in planned.items() if key not in running for term in terms]
        self.program.row(name, [*new, (others, -most)], upper=0.0)
        short: Terms = []
        for key, now in running.items():
            idle = self.program.variable()
            self.program.row(name, [*planned[key], (others, -most)], upper=now)
            self.program.row(name, [*planned[key], (idle, 1.0), (others, -float(now))], lower=0.0)
            short.append((idle, -1.0))
        self.program.row(name, [(stopped, 1.0), *short], lower=0.0)

    # --- caps on what all of it takes

    def _budget(self) -> None:
        budget = self.problem.limits.max_usd_per_month
        if budget is None:
            return
        terms = [(variable, cost) for variable, cost in enumerate(self.program.costs) if cost]
        self.at_most(Constraint.BUDGET, terms, budget)

    def _ruled(self, constraint: Constraint) -> None:
        """A limit that says by itself how it is written."""
        limit = constraint.stated(self.problem.limits)
        if limit is not None:
            RULED[constraint].write(self, constraint, limit)

    def _proportional(self, constraint: Constraint) -> None:
        """A cap on what the instances of the busiest hours take, or those of all hours of a month."""
        most = constraint.stated(self.problem.limits)
        if most is None:
            return
        hours = list(enumerate(self.problem.hours))
        is_monthly = IN_PROPORTION[constraint].is_monthly
        terms = [
            (variable, amount * (hours_per_month(hour) if is_monthly else 1.0))
            for h, hour in (hours if is_monthly else hours[-1:])
            for variable, amount in self.each_instance(h, lambda pool: pool.takes.get(constraint, 0.0))
        ]
        self.at_most(constraint, terms, most)
