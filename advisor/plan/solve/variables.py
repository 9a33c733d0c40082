"""The variables of a fleet's program with what they cost, and what its rows are made of."""

import itertools
import math
from collections.abc import Callable

from advisor.cost.standing import ChargeRule
from advisor.plan.problem.charges import mean_rate, own_place, parts_of, usd_per_request
from advisor.plan.problem.formulas import base_rate, group_key, instance_usd_per_month, mix_rate, requests_per_month
from advisor.plan.problem.limits import Constraint, rules
from advisor.plan.problem.values import Pool, Problem, PurchaseOption, Tariff
from advisor.plan.solve.solver import INFINITY, Program
from advisor.records import dataclass, field
from advisor.units import HOURS_PER_WEEK

SLACK_USD = 1000.0
"""Cost of each unit beyond a limit, so that half a cent is little of any unit."""
Terms = list[tuple[int, float]]


@dataclass(frozen=True, slots=True, eq=False)
class Elastic:
    """A limit that may be exceeded, to find by how much it has to be."""

    limit: float
    detail: str
    slack: int
    """Variable: how far the limit is exceeded."""
    sign: float
    """+1 for a limit from above, -1 for one from below."""


@dataclass(slots=True, eq=False)
class ProgramVariables:
    """Instances and shares of one problem as variables."""

    problem: Problem
    left_out: frozenset[Constraint] = frozenset()
    elastic: Constraint | None = None
    relaxed: bool = False
    """Leave out rows of failures that a fleet keeps to most often without them, so that it has to be seen to."""
    counts_further: bool = False
    """Price groups, backends and endpoints beyond the first of a region: few fleets have them, and a binary variable
    for each takes time. With a budget they are priced in any case."""
    may_fall: bool = False
    """Whether counts may fall from a class to a busier one: instances of each class are variables of their own, and no
    start for quieter hours is priced."""
    incomplete: bool = False
    """Whether any such rows were left out."""
    program: Program = field(default_factory=Program)
    hourly: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """Instances by (pool, tariff, hour class), of tariffs billed while they run: those that run in this class and all
    busier ones, but in no quieter one; of serverless those of this class."""
    fixed: dict[tuple[int, int], int] = field(default_factory=dict)
    """Instances by (pool, tariff), of tariffs billed at all hours."""
    mix: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """Share of all requests of a place by (pool, hour class, place)."""
    bucket: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    """Share of the requests of a bucket by (pool, hour class, place, bucket)."""
    slacks: list[Elastic] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    """Requests per second of one instance of each pool, over the places that it can serve."""
    whole: dict[tuple[int, float], int] = field(default_factory=dict)
    """What all instances sustain, each only as far as it is needed, by (hour class, requests per second needed)."""
    lost: dict[tuple[int, str, int], int] = field(default_factory=dict)
    """Instances that the loss of one zone takes, by (pool, tariff or all, hour class)."""
    units: dict[int, list[tuple[int, int, int, float]]] = field(default_factory=dict)
    """Instances that run, by hour class; see :meth:`instances_at`."""
    most: list[int] = field(default_factory=list)
    """Instances of each pool that no fleet needs more of."""
    room: dict[int, int] = field(default_factory=dict)
    """What all instances could take beside their load, by hour class."""

    def write_variables(self) -> None:
        """Instances and shares, with what each of them costs."""
        self.usual = [mix_rate(self.problem, pool) for pool in self.problem.pools]
        self.most = [most_instances(self.problem, pool) for pool in self.problem.pools]
        self._instances()
        self._switching()
        self._shares()
        self._standing()
        self._in_use()
        if self.counts_further or self.problem.limits.max_usd_per_month is not None:
            self._further()

    def _instances(self) -> None:
        for g, pool in enumerate(self.problem.pools):
            most = self.most[g]
            for t, tariff in enumerate(pool.tariffs):
                if tariff.paid.always:
                    self._fixed_instances(g, t, tariff, most)
                else:
                    self._hourly_instances(g, t, tariff, most)

    def _fixed_instances(self, g: int, t: int, tariff: Tariff, most: int) -> None:
        owned = self.problem.owned.get(self.problem.pools[g].type_in_region, 0)
        count = owned if tariff.paid is PurchaseOption.OWNED else most
        variable = self.program.variable(upper=count, integer=True)
        self.fixed[g, t] = variable
        for h in range(len(self.problem.hours)):
            cost = instance_usd_per_month(self.problem, self.problem.pools[g], tariff, h)
            self.program.add_cost(variable, cost)

    def _hourly_instances(self, g: int, t: int, tariff: Tariff, most: int) -> None:
        pool = self.problem.pools[g]
        costs = [instance_usd_per_month(self.problem, pool, tariff, h) for h in range(len(self.problem.hours))]
        for h in range(len(costs)):
            may_idle = tariff.paid is PurchaseOption.SERVERLESS and self.problem.goes_to_zero
            is_idle = may_idle and self.problem.hours[h].planned_rate <= 0
            variable = self.program.variable(upper=0 if is_idle else most, integer=True)
            self.hourly[g, t, h] = variable
            runs = costs[h : h + 1] if self._is_by_class(tariff) else costs[h:]
            self.program.add_cost(variable, sum(runs))

    def _shares(self) -> None:
        for g, pool in enumerate(self.problem.pools):
            # The cheapest of its ways: what a load balancer passes on costs more than what a service takes by itself.
            usd = min((usd_per_request(self.problem, pool, tariff) for tariff in pool.tariffs), default=0.0)
            for h, hour in enumerate(self.problem.hours):
                usd_of_all = usd * requests_per_month(hour)
                for p, share in enumerate(self.problem.place_shares):
                    self.mix[g, h, p] = self._share(pool.mix_rates[p], usd_of_all * share)
                    for b, part in enumerate(self.problem.bucket_shares):
                        self.bucket[g, h, p, b] = self._share(pool.rates[p, b], usd_of_all * share * part)

    def _switching(self) -> None:
        """Each instance of a type in a region of which nothing runs today has its cost, in the busiest hours."""
        running = self.problem.running
        for g, pool in enumerate(self.problem.pools if running else ()):
            if not running.get(pool.type_in_region):
                for variable, count in self._running(g, len(self.problem.hours) - 1):
                    self.program.add_cost(variable, count * pool.switching_usd)

    def _share(self, rate: float, cost: float) -> int:
        variable = self.program.variable(upper=1.0 if rate > 0 else 0.0)
        if cost:
            self.program.add_cost(variable, cost)
        return variable

    def _standing(self) -> None:
        """Load balancers: in the only region there is one in any case, else in each one whose hosts serve.

        Pools that need a cluster are priced as its nodes, others as hosts, though in one fleet all of them are nodes.
        """
        problem, rate = self.problem, mean_rate(self.problem)
        on_hosts: dict[tuple[str, str], list[int]] = {}
        for g, pool in enumerate(problem.pools):
            place = own_place(pool)
            if place in problem.charges and any(tariff.on_hosts for tariff in pool.tariffs):
                on_hosts.setdefault((pool.region, place), []).append(g)
        every = all(tariff.on_hosts for pool in problem.pools for tariff in pool.tariffs)
        is_only = every and len({own_place(pool) for pool in problem.pools}) == 1
        with_services = self._regions_with_services()
        for (region, place), members in on_hosts.items():
            charges = problem.charges[place]
            used = self.program.variable(lower=float(is_only), upper=1.0, integer=not is_only)
            self.program.add_cost(used, charges.fixed_usd_per_month(rate if is_only else 0.0))
            if region not in with_services:
                self.program.add_cost(used, charges.anyway_usd_per_month)
            if not is_only:
                hosts_alone = [g for g in members if all(tariff.on_hosts for tariff in problem.pools[g].tariffs)]
                self._used_in_region(used, members, hosts_alone)
                self._steps(used, hosts_alone, charges.rules)

    def _in_use(self) -> None:
        """Charges of regions in use where services may serve: of the only region in any case, else of each in use."""
        problem, with_services = self.problem, self._regions_with_services()
        regions: dict[str, list[int]] = {}
        for g, pool in enumerate(problem.pools):
            if pool.region in with_services and problem.charges[pool.region].anyway_usd_per_month:
                regions.setdefault(pool.region, []).append(g)
        is_only = len({pool.region for pool in problem.pools}) == 1
        for region, members in regions.items():
            used = self.program.variable(lower=float(is_only), upper=1.0, integer=not is_only)
            self.program.add_cost(used, problem.charges[region].anyway_usd_per_month)
            if not is_only:
                self._used_in_region(used, members, members, hosts_count=False)

    def _further(self) -> None:
        """Costs of the groups, backends and endpoints that a region has beyond the first of its kind."""
        parts: dict[tuple[str, int], dict[str, list[tuple[int, int]]]] = {}
        for g, pool in enumerate(self.problem.pools):
            place = own_place(pool)
            if place in self.problem.charges:
                for t, tariff in enumerate(pool.tariffs):
                    for at, part in enumerate(parts_of(pool, tariff)):
                        if part:
                            parts.setdefault((place, at), {}).setdefault(part, []).append((g, t))
        for (place, at), members in parts.items():
            usd = self.problem.charges[place].further_usd[at]
            if usd and len(members) > 1:
                self._beyond_the_first(usd, [*members.values()])

    def _beyond_the_first(self, usd: float, parts: list[list[tuple[int, int]]]) -> None:
        """A cost for all but one of the parts that run; each is its (pool, tariff)."""
        last = len(self.problem.hours) - 1
        beyond = self.program.variable()
        self.program.add_cost(beyond, usd)
        used_parts: Terms = []
        for part in parts:
            used = self.program.variable(upper=1.0, integer=True)
            used_parts.append((used, -1.0))
            for g, t in part:
                most = float(self.most[g])
                for h in range(0 if self._is_by_class(self.problem.pools[g].tariffs[t]) else last, last + 1):
                    self.program.row("further parts", [*self.instances(g, t, h), (used, -most)], upper=0.0)
        self.program.row("further parts", [(beyond, 1.0), *used_parts], lower=-1.0)

    def _regions_with_services(self) -> set[str]:
        """Regions with charges in which other than hosts may serve; elsewhere what is in use has hosts."""
        pools, charges = self.problem.pools, self.problem.charges
        served = {pool.region for pool in pools if not all(tariff.on_hosts for tariff in pool.tariffs)}
        return served & charges.keys()

    def _used_in_region(
        self, used: int, members: list[int], served_alone: list[int], *, hosts_count: bool = True
    ) -> None:  # fmt: skip
        """1 where any host of these pools runs; no less than their share of the requests, which is tighter.

        Args:
            used: the variable.
            members: pools of the region.
            served_alone: those of them all of whose requests count.
            hosts_count: whether hosts alone make it 1; otherwise any instance and service does.
        """
        last, problem = len(self.problem.hours) - 1, self.problem
        for g in members:
            most = float(self.most[g])
            for t, tariff in enumerate(problem.pools[g].tariffs):
                if not tariff.on_hosts and hosts_count:
                    continue
                # What runs in quieter hours runs in the busiest as well, but for services.
                for h in range(0 if self._is_by_class(tariff) else last, last + 1):
                    self.program.row("region in use", [*self.instances(g, t, h), (used, -most)], upper=0.0)
        for p in range(len(problem.place_shares)):
            mixed: Terms = [(self.mix[g, last, p], 1.0) for g in served_alone]
            buckets = range(len(problem.bucket_shares))
            for terms in [[(self.bucket[g, last, p, b], 1.0) for g in served_alone] for b in buckets] or [[]]:
                self.program.row("region in use", [*mixed, *terms, (used, -1.0)], upper=0.0)

    def _steps(self, used: int, members: list[int], rules: tuple[ChargeRule, ...]) -> None:
        """Steps of a load balancer beyond its least, where the requests of all may take more."""
        for rule in rules:
            if not rule.step or rule.quantity(0.0, mean_rate(self.problem)) <= rule.least:
                continue
            steps = self.program.variable(integer=True)
            self.program.add_cost(steps, rule.usd * rule.step)
            least = rule.least / rule.step
            self.program.add_cost(used, -rule.usd * rule.least)
            self.program.row("steps", [(steps, 1.0), (used, -least)], lower=0.0)
            requests = [(variable, -rate * rule.each_balanced / rule.step) for variable, rate in self._served(members)]
            self.program.row("steps", [(steps, 1.0), *requests], lower=0.0)

    def _served(self, members: list[int]) -> Terms:
        """Mean requests per second that pools serve of each of their shares."""
        terms: Terms = []
        for h, hour in enumerate(self.problem.hours):
            rate = hour.paid_rate * hour.hours_per_week / HOURS_PER_WEEK
            for g, (p, share) in itertools.product(members, enumerate(self.problem.place_shares)):
                terms.append((self.mix[g, h, p], rate * share))
                terms += [
                    (self.bucket[g, h, p, b], rate * share * part) for b, part in enumerate(self.problem.bucket_shares)
                ]
        return terms

    def served_hours(self) -> list[int]:
        """Hour classes in which something has to run: all of them, or those with requests where zero is allowed."""
        to_zero = self.problem.scaling.scale_to_zero
        return [h for h, hour in enumerate(self.problem.hours) if hour.planned_rate > 0 or not to_zero]

    def instances(self, g: int, t: int, h: int) -> Terms:
        """Instances that run in an hour class of one pool under one tariff."""
        if (g, t) in self.fixed:
            return [(self.fixed[g, t], 1.0)]
        first = h if self._is_by_class(self.problem.pools[g].tariffs[t]) else 0
        return [(self.hourly[g, t, at], 1.0) for at in range(first, h + 1)]

    def _is_by_class(self, tariff: Tariff) -> bool:
        """Whether each class of hours has its own instances under a tariff, however many run in quieter ones."""
        return self.may_fall or tariff.paid is PurchaseOption.SERVERLESS

    def instances_at(self, h: int) -> list[tuple[int, int, int, float]]:
        """(pool, tariff, variable, instances of each unit) of everything that runs in an hour class."""
        if h not in self.units:
            self.units[h] = [
                (g, t, variable, count)
                for g, pool in enumerate(self.problem.pools)
                for t in range(len(pool.tariffs))
                for variable, count in self.instances(g, t, h)
            ]
        return self.units[h]

    def _running(self, g: int, h: int) -> Terms:
        """Instances of a pool."""
        return [term for t in range(len(self.problem.pools[g].tariffs)) for term in self.instances(g, t, h)]

    def _lost_in_zone(self, g: int, h: int) -> Terms:
        """Instances of a pool that the loss of one zone takes, of each group by itself."""
        return [term for ordered_as in self._groups(g, h) for term in self._lost_of_group(g, h, ordered_as)]

    def _lost_of_group(self, g: int, h: int, ordered_as: str) -> Terms:
        """Instances of a pool's group that the loss of one zone takes: at least their number ÷ zones."""
        pool, running = self.problem.pools[g], self._groups(g, h)[ordered_as]
        if pool.zones == 1:
            return running
        key = (g, ordered_as, h)
        if key not in self.lost:
            self.lost[key] = self.program.variable(integer=True)
            terms = [(self.lost[key], float(pool.zones)), *((variable, -count) for variable, count in running)]
            self.program.row("lost in zone", terms, lower=0.0)
        return [(self.lost[key], 1.0)]

    def _groups(self, g: int, h: int) -> dict[str, Terms]:
        """Instances of a pool by how they are ordered, which generated code makes a group of its own."""
        groups: dict[str, Terms] = {}
        for t, tariff in enumerate(self.problem.pools[g].tariffs):
            groups.setdefault(group_key(self.problem.pools[g], tariff)[1], []).extend(self.instances(g, t, h))
        return groups

    def each_instance(self, h: int, weight: Callable[[Pool], float]) -> Terms:
        """Instances that run in an hour class, each by its weight."""
        return [(variable, count * weight(self.problem.pools[g])) for g, _, variable, count in self.instances_at(h)]

    def _whole_rate(self, h: int, needed: float) -> int:
        """A variable: what all instances sustain, each only as far as it is needed.

        What one sustains beyond carries nothing: whole instances keep to the same without it, and parts to more.
        """
        if (h, needed) not in self.whole:
            variable = self.whole[h, needed] = self.program.variable()
            terms = [(instances, min(count * self.usual[g], needed)) for g, _, instances, count in self.instances_at(h)]
            self.program.row("whole rate", [*terms, (variable, -1.0)], lower=0.0)
        return self.whole[h, needed]

    def _room(self, h: int) -> int:
        """A variable: requests per second that all instances could take beside their load in an hour class."""
        if h not in self.room:
            variable = self.room[h] = self.program.variable()
            pools = range(len(self.problem.pools))
            terms = [(instances, count * self.usual[g]) for g, _, instances, count in self.instances_at(h)]
            terms += [(share, -load * self.usual[g]) for g in pools for share, load in self._load(g, h)]
            self.program.row("room", [*terms, (variable, -1.0)], lower=0.0)
        return self.room[h]

    def _most_of(self, g: int) -> int:
        return self.most[g] * len(self.problem.pools[g].tariffs)

    def at_most(self, constraint: Constraint, terms: Terms, limit: float, detail: str = "") -> None:
        """Row of a cap."""
        self.program.row(constraint, terms + self._slack(constraint, limit, detail, 1.0), upper=limit)

    def _slack(self, constraint: Constraint, limit: float, detail: str, sign: float) -> Terms:
        if constraint is not self.elastic:
            return []
        slack = self.program.variable()
        self.slacks.append(Elastic(limit, detail, slack, sign))
        return [(slack, -sign)]

    def _price_only_slack(self) -> None:
        """Minimise how far the one limit is exceeded at its worst row, whatever the fleet costs."""
        self.program.costs = [0.0] * len(self.program.costs)
        worst: dict[str, int] = {}
        for slack in self.slacks:
            if slack.detail not in worst:
                worst[slack.detail] = self.program.variable()
                self.program.add_cost(worst[slack.detail], SLACK_USD)
            self.program.row("worst excess", [(worst[slack.detail], 1.0), (slack.slack, -1.0)], lower=0.0)

    def _load(self, g: int, h: int, rate: float | None = None) -> Terms:
        """Instances that a pool's share of the requests keeps busy, at a rate (the planned one)."""
        pool, total = self.problem.pools[g], self.problem.hours[h].planned_rate if rate is None else rate
        terms: Terms = []
        for p, share in enumerate(self.problem.place_shares):
            if pool.mix_rates[p] > 0:
                terms.append((self.mix[g, h, p], total * share / pool.mix_rates[p]))
            for b, part in enumerate(self.problem.bucket_shares):
                if pool.rates[p, b] > 0:
                    terms.append((self.bucket[g, h, p, b], total * share * part / pool.rates[p, b]))
        return terms


def _most_of_base(problem: Problem, pool: Pool) -> int:
    """Instances of a pool that carry all of ``limits.on_demand_base_ratio``."""
    ratio, rate = problem.limits.on_demand_base_ratio, base_rate(problem, pool)
    return math.ceil(ratio * max(hour.planned_rate for hour in problem.hours) / rate) if ratio > 0 and rate > 0 else 0


def most_instances(problem: Problem, pool: Pool) -> int:
    """No fleet needs more of a pool: enough for everything without one machine, or one zone, and the floors."""
    limits = problem.limits
    slowest = min([rate for rate in (*pool.mix_rates, *pool.rates.ravel()) if rate > 0], default=INFINITY)
    whole = math.ceil(max(hour.planned_rate for hour in problem.hours) / slowest)
    floors = max(
        limits.zones, limits.min_replicas, problem.running.get(pool.type_in_region, 0), _most_of_base(problem, pool)
    )
    floors = max((floors, *(math.ceil(limit) for rule, limit in rules(limits).items() if rule.row.is_floor)))
    if not problem.all_alike:
        return 2 * whole + floors + 1
    spread = -(-whole * pool.zones // (pool.zones - 1)) if pool.zones > 1 else 0
    return max(whole + 1, spread, floors)
