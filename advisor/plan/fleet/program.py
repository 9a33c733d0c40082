"""The fleet as a mixed-integer program: one function for each named constraint.

Instances N of each pool g, tariff t and hour class h are whole numbers; shares x of the requests of each place p (and,
when the router knows prompt lengths, of each bucket b) are not. Mélange (Griggs et al. 2024) cuts each bucket into
slices and assigns each slice to one type: any of its mixes is a solution here, with every share a number of slices.

    minimise   Σ usd · hours · N  +  interruptions  +  transfer  +  starting ahead  +  switching
    demand     Σ_g (mix share + bucket share) = 1                       for each h, p, b
    capacity   Σ_p,b share · rate / rate of an instance ≤ Σ_t N         for each g, h

A pool may take a share of all requests of a place (at the rate it sustains for that mix), or of a bucket's alone.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from advisor.plan.fleet.draft import Draft, Terms
from advisor.plan.fleet.formulas import hours_per_month
from advisor.plan.fleet.values import Constraint, Paid, Pool
from advisor.units import HOURS_PER_MONTH
from advisor.workload.values import Survive

ALMOST_ONE = 1 - 1e-6
"""What may be added to a number of instances without reaching the next whole one."""


@dataclass(slots=True, eq=False)
class FleetProgram(Draft):
    """The rows of one problem."""

    def build(self) -> "FleetProgram":
        """Write everything down; returns itself."""
        self.write_variables()
        self._demand()
        self._capacity()
        rows: Mapping[Constraint, Callable[[], None]] = {
            Constraint.MIN_REPLICAS: self._min_replicas,
            Constraint.MAX_REPLICAS: self._max_replicas,
            Constraint.ZONES: self._zones,
            Constraint.SURVIVE: self._survive,
            Constraint.SPOT_REROUTE: self._spot_reroute,
            Constraint.COMMITMENT_LOW_BAND: self._commitment_low_band,
            Constraint.OWNED: self._owned,
            Constraint.QUOTA: self._quota,
            Constraint.MAX_REGIONS: self._max_regions,
            Constraint.MAX_INSTANCE_TYPES: self._max_instance_types,
            Constraint.MAX_CHANGED_INSTANCES: self._changed_instances,
            Constraint.BUDGET: self._budget,
            Constraint.CARBON: self._carbon,
            Constraint.POWER: self._power,
        }
        for constraint, write in rows.items():
            if constraint not in self.left_out:
                write()
        if self.elastic is not None:
            self._price_only_slack()
        return self

    # --- the two constraints that always hold

    def _demand(self) -> None:
        buckets = range(len(self.problem.bucket_shares))
        pools = range(len(self.problem.pools))
        for h in range(len(self.problem.hours)):
            for p in range(len(self.problem.place_shares)):
                mixed: Terms = [(self.mix[g, h, p], 1.0) for g in pools]
                for terms in [[(self.bucket[g, h, p, b], 1.0) for g in pools] for b in buckets] or [[]]:
                    self.program.row(Constraint.DEMAND, mixed + terms, lower=1.0, upper=1.0)

    def _capacity(self) -> None:
        for g, h in self._pool_hours():
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

    # --- floors, ceilings and failures

    def _min_replicas(self) -> None:
        least = self.problem.limits.min_replicas
        for h in self._served_hours():
            terms = self._each_instance(h, lambda pool: float(pool.replicas))
            self._at_least(Constraint.MIN_REPLICAS, terms, least, "replicas")

    def _max_replicas(self) -> None:
        most = self.problem.limits.max_replicas
        if most is None:
            return
        for h in self._served_hours():
            terms = [(v, c * pool.replicas) for g, pool in enumerate(self.problem.pools) for v, c in self._load(g, h)]
            self._at_most(Constraint.MAX_REPLICAS, terms, most, "replicas")

    def _zones(self) -> None:
        for h in self._served_hours():
            self._at_least(Constraint.ZONES, self._each_instance(h, lambda _: 1.0), self.problem.limits.zones, "zones")

    def _survive(self) -> None:
        match self.problem.limits.survival:
            case Survive.NOTHING:
                return
            case Survive.INSTANCE:
                self._survive_instance()
            case Survive.ZONE:
                self._survive_zone()

    def _survive_instance(self) -> None:
        """Without one instance of any pool in use the others carry everything."""
        for g, h in itertools.product(range(len(self.problem.pools)), self._served_hours()):
            own, planned = self._running(g, h), self.problem.hours[h].planned_rate
            one = min(self.usual[g], planned)
            used = self._used(Constraint.SURVIVE, own, self._most_of(g))
            rest = [(variable, count * one - min(count * self.usual[g], planned)) for variable, count in own]
            terms = [(self._whole_rate(h, planned), 1.0), *rest, (used, -one)]
            self.program.row(Constraint.SURVIVE, terms, lower=planned)

    def _used(self, name: Constraint, running: Terms, most: int) -> int:
        """A variable: 1 where any instance of these runs."""
        used = self.program.variable(upper=1.0, integer=True)
        self.program.row(name, [*running, (used, -float(most))], upper=0.0)
        return used

    def _survive_zone(self) -> None:
        """Without one zone the others, with as many instances of each pool, carry everything."""
        zones = self.problem.limits.zones
        for h in self._served_hours():
            planned = self.problem.hours[h].planned_rate
            terms: Terms = []
            for g in range(len(self.problem.pools)):
                in_zone = self.program.variable(integer=True)
                spread = [(in_zone, float(zones)), *((variable, -count) for variable, count in self._running(g, h))]
                self.program.row(Constraint.SURVIVE, spread, lower=0.0, upper=0.0)
                terms.append((in_zone, min((zones - 1) * self.usual[g], planned)))
            self.program.row(Constraint.SURVIVE, terms, lower=planned)

    def _spot_reroute(self) -> None:
        """Whatever one spot pool (the instances of a type in a zone) leaves, the rest carries what cannot wait."""
        if self.problem.limits.fault_tolerant_ratio == 1:
            return
        for members, h in itertools.product(self._spot_stands().values(), self._served_hours()):
            self._reroute(members, h)

    def _reroute(self, members: list[tuple[int, int]], h: int) -> None:
        if self._all_alike():
            self._reroute_by_rate(members, h)
        else:
            self._reroute_by_room(members, h)

    def _reroute_by_rate(self, members: list[tuple[int, int]], h: int) -> None:
        """What all sustain without the members in one zone is enough, as it is without spot: requests are alike."""
        limits, planned = self.problem.limits, self.problem.hours[h].planned_rate
        needed = (1 - limits.fault_tolerant_ratio) * planned
        terms = [(self._whole_rate(h, needed), 1.0), *self._tolerated(planned)]
        for g, t in members:
            for variable, count in self.instances(g, t, h):
                rate = count * self.usual[g]
                left = rate * (1 - 1 / limits.zones)
                terms.append((variable, min(left, needed) - min(rate, needed)))
        self.program.row(Constraint.SPOT_REROUTE, terms, lower=needed)

    def _reroute_by_room(self, members: list[tuple[int, int]], h: int) -> None:
        """What is lost in one zone is no more than the room that all have beside their load, and what can wait.

        Where all requests are alike the room is what is sustained beyond the demand, and the row says the same.
        """
        limits, planned = self.problem.limits, self.problem.hours[h].planned_rate
        terms = [(self._room(h), 1.0), *self._tolerated(planned)]
        for g, t in members:
            in_zone = self.usual[g] / limits.zones
            terms += [(variable, -count * in_zone) for variable, count in self.instances(g, t, h)]
        self.program.row(Constraint.SPOT_REROUTE, terms, lower=-limits.fault_tolerant_ratio * planned)

    def _tolerated(self, planned: float) -> Terms:
        """What more could wait, where the limit on it may be exceeded."""
        slack = self._slack(
            Constraint.SPOT_REROUTE, self.problem.limits.fault_tolerant_ratio, "share of requests", "", 1.0
        )
        return [(variable, -sign * planned) for variable, sign in slack]

    def _all_alike(self) -> bool:
        """Whether an instance of a pool sustains the same rate of any requests that it is sent."""
        return len(self.problem.place_shares) == 1 and not len(self.problem.bucket_shares)

    def _spot_stands(self) -> dict[str, list[tuple[int, int]]]:
        """(pool, tariff) of everything on spot, by what is withdrawn together."""
        stands: dict[str, list[tuple[int, int]]] = {}
        for g, pool in enumerate(self.problem.pools):
            for t, tariff in enumerate(pool.tariffs):
                if tariff.paid is Paid.SPOT:
                    stands.setdefault(pool.stand, []).append((g, t))
        return stands

    # --- commitments, quotas, change

    def _commitment_low_band(self) -> None:
        """What is committed is what the low edge needs, or what the floors keep running in one pool whatever comes."""
        if not self.problem.low_band:
            return
        kept: Terms = []
        for g, pool in enumerate(self.problem.pools):
            committed = [
                (self.fixed[g, t], tariff.break_even_ratio)
                for t, tariff in enumerate(pool.tariffs)
                if tariff.paid is Paid.COMMITMENT
            ]
            if committed:
                floor = self._floor(g)
                own = self._kept_by_the_floor(g, committed, floor)
                self._used_long_enough(g, committed, [(variable, -float(floor)) for variable, _ in own])
                kept += own
        if len(kept) > 1:
            self.program.row(Constraint.COMMITMENT_LOW_BAND, kept, upper=1.0)

    def _kept_by_the_floor(self, g: int, committed: Terms, floor: int) -> Terms:
        """A variable: 1 where a pool's commitments are those that the floors keep running, and no more than those."""
        if not floor:
            return []
        most = max(self._most_of(g), floor)
        kept = self.program.variable(upper=1.0, integer=True)
        terms = [*((variable, 1.0) for variable, _ in committed), (kept, float(most - floor))]
        self.program.row(Constraint.COMMITMENT_LOW_BAND, terms, upper=most)
        return [(kept, 1.0)]

    def _used_long_enough(self, g: int, committed: Terms, floor: Terms) -> None:
        """Hours of use at the low edge ≥ break-even share × all hours; no more than ever run there, or the floor."""
        name = Constraint.COMMITMENT_LOW_BAND
        hours: Terms = []
        for h, hour in enumerate(self.problem.hours):
            in_use = self.program.variable()
            hours.append((in_use, hours_per_month(hour)))
            self.program.row(name, [(in_use, 1.0), *((variable, -1.0) for variable, _ in committed)], upper=0.0)
            low = [(variable, -load) for variable, load in self._load(g, h, hour.low_rate)] + floor
            self.program.row(name, [(in_use, 1.0), *low], upper=ALMOST_ONE)
        self.program.row(name, [*((variable, 1.0) for variable, _ in committed), *low], upper=ALMOST_ONE)
        needed = [(variable, -ratio * HOURS_PER_MONTH) for variable, ratio in committed]
        self.program.row(name, hours + needed, lower=0.0)

    def _floor(self, g: int) -> int:
        """Instances of a pool that run whatever the demand, if nothing else does."""
        limits = self.problem.limits
        if len(self._served_hours()) < len(self.problem.hours):
            return 0
        return max(limits.zones, -(-limits.min_replicas // self.problem.pools[g].replicas))

    def _owned(self) -> None:
        for stand, count in self.problem.owned.items():
            terms = self.owned_terms(stand)
            if len(terms) > 1:
                self.program.row(Constraint.OWNED, terms, upper=count)

    def owned_terms(self, stand: str) -> Terms:
        """Instances of a stand that are paid for already."""
        return [
            (variable, 1.0)
            for (g, t), variable in self.fixed.items()
            if self.problem.pools[g].stand == stand and self.problem.pools[g].tariffs[t].paid is Paid.OWNED
        ]

    def _quota(self) -> None:
        for key, limit in self.problem.quota_limits.items():
            for h in range(len(self.problem.hours)):
                terms = self.quota_terms(key, h)
                if terms:
                    self._at_most(Constraint.QUOTA, terms, limit, "units", key[0])

    def quota_terms(self, key: tuple[str, str], h: int) -> Terms:
        """What counts against a quota in an hour class."""
        return [
            (variable, count * units)
            for g, t, variable, count in self._instances_at(h)
            if (units := self._quota_units(g, t, key)) > 0
        ]

    def _quota_units(self, g: int, t: int, key: tuple[str, str]) -> float:
        pool = self.problem.pools[g]
        return pool.quotas.get(key, 0.0) if key[1] == pool.tariffs[t].paid.market else 0.0

    def _max_instance_types(self) -> None:
        most = self.problem.limits.max_instance_types
        if most is not None:
            self._at_most_kinds(Constraint.MAX_INSTANCE_TYPES, lambda pool: pool.instance_type, most, "types")

    def _max_regions(self) -> None:
        most = self.problem.max_regions
        if most is not None and len({pool.region for pool in self.problem.pools}) > most:
            self._at_most_kinds(Constraint.MAX_REGIONS, lambda pool: pool.region, most, "regions")

    def _at_most_kinds(self, name: Constraint, kind_of: Callable[[Pool], str], most: int, unit: str) -> None:
        """No more kinds of pools than so many have instances."""
        kinds = dict.fromkeys(kind_of(pool) for pool in self.problem.pools)
        used = {kind: self.program.variable(upper=1.0, integer=True) for kind in kinds}
        for g, pool in enumerate(self.problem.pools):
            kind = (used[kind_of(pool)], -float(self._most_of(g)))
            for h in self._hours_of_most(pool):
                self.program.row(name, [*self._running(g, h), kind], upper=0.0)
        self._at_most(name, [(one, 1.0) for one in used.values()], most, unit)

    def _hours_of_most(self, pool: Pool) -> range:
        """Hour classes in one of which a pool has its most instances: the busiest, but any one for serverless."""
        hours = range(len(self.problem.hours))
        serverless = any(tariff.paid is Paid.SERVERLESS for tariff in pool.tariffs)
        return hours if serverless else hours[-1:]

    def _changed_instances(self) -> None:
        """Instances started and stopped against what runs today, in the busiest hours."""
        most, running = self.problem.limits.max_changed_instances, self.problem.running
        if most is None or not running:
            return
        changed: Terms = []
        for stand, pools in {**{stand: [] for stand in running}, **self._stands()}.items():
            changed += self._started_and_stopped(pools, running.get(stand, 0))
        self._at_most(Constraint.MAX_CHANGED_INSTANCES, changed, most, "instances")

    def _stands(self) -> dict[str, list[int]]:
        stands: dict[str, list[int]] = {}
        for g, pool in enumerate(self.problem.pools):
            stands.setdefault(pool.stand, []).append(g)
        return stands

    def _started_and_stopped(self, pools: list[int], now: int) -> Terms:
        busiest = len(self.problem.hours) - 1
        running = [term for g in pools for term in self._running(g, busiest)]
        started, stopped = self.program.variable(), self.program.variable(upper=now)
        balance = [*running, (started, -1.0), (stopped, 1.0)]
        self.program.row(Constraint.MAX_CHANGED_INSTANCES, balance, lower=now, upper=now)
        return [(started, 1.0), (stopped, 1.0)]

    # --- caps on what all of it takes

    def _budget(self) -> None:
        budget = self.problem.limits.max_usd_per_month
        if budget is None:
            return
        terms = [(variable, cost) for variable, cost in enumerate(self.program.costs) if cost]
        self._at_most(Constraint.BUDGET, terms, budget, "USD/month")

    def _carbon(self) -> None:
        most = self.problem.limits.max_kg_co2e_per_month
        if most is None:
            return
        terms = [
            (variable, kg_per_hour * hours_per_month(hour))
            for h, hour in enumerate(self.problem.hours)
            for variable, kg_per_hour in self._each_instance(h, lambda pool: pool.kg_co2e_per_hour or 0.0)
        ]
        self._at_most(Constraint.CARBON, terms, most, "kg CO2e/month")

    def _power(self) -> None:
        most = self.problem.limits.max_kw
        if most is None:
            return
        busiest = len(self.problem.hours) - 1
        terms = self._each_instance(busiest, lambda pool: pool.kw or 0.0)
        self._at_most(Constraint.POWER, terms, most, "kW")
