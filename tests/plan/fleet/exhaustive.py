"""Fleets one by one: what one costs, whether it keeps to everything, and the cheapest of all small ones.

The rules are written down a second time here, for whole numbers of instances that are given; only the shares of the
requests are left to a linear program.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import chain, combinations, combinations_with_replacement, product

from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import FleetSolution, Pool, Problem, PurchaseOption, Tariff
from advisor.plan.solve.program import ALMOST_ONE
from advisor.plan.solve.solver import Outcome, Program
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_HOUR
from advisor.workload.values import Survive

SLIGHTLY = 1e-6
Counts = Mapping[tuple[int, int], tuple[int, ...]]
"""Instances in each hour class, by (pool, tariff)."""


def cheapest(problem: Problem, most: int) -> float | None:
    """Cost of the cheapest fleet of at most so many instances under each tariff; None if there is none."""
    best: float | None = None
    for compute, counts in sorted(all_counts(problem, most), key=lambda pair: pair[0]):
        if best is not None and compute >= best:
            break
        cost = cost_of(problem, counts)
        if cost is not None and (best is None or cost < best):
            best = cost
    return best


def counts_of(problem: Problem, solution: FleetSolution) -> Counts:
    """The instances of a solution."""
    found = {
        (g, t): (0,) * len(problem.hours) for g, pool in enumerate(problem.pools) for t in range(len(pool.tariffs))
    }
    for one in solution.allocations:
        g = next(g for g, pool in enumerate(problem.pools) if pool.key == one.pool.key)
        found[g, problem.pools[g].tariffs.index(one.tariff)] = one.instances
    return found


def cost_of(problem: Problem, counts: Counts) -> float | None:
    """What a fleet costs a month; None if it does not keep to everything."""
    if not all(_whole_rules(problem, counts)):
        return None
    transfer = _transfer(problem, counts)
    if transfer is None:
        return None
    cost = compute_of(problem, counts) + transfer + balancers_of(problem, counts)
    budget = problem.limits.max_usd_per_month
    return None if budget is not None and cost > budget + SLIGHTLY else cost


def compute_of(problem: Problem, counts: Counts) -> float:
    """Instances and disks for their hours, those started ahead, what starts download, and those of stands that do not run today."""
    cost = 0.0
    for (g, t), instances in counts.items():
        pool, tariff = problem.pools[g], problem.pools[g].tariffs[t]
        serverless, ones = tariff.paid is PurchaseOption.SERVERLESS, (1.0,) * len(problem.hours)
        hours = sum(
            count * hour.hours_per_week * active
            for count, hour, active in zip(instances, problem.hours, tariff.active_ratios or ones, strict=True)
        )
        if not serverless:
            starts = _starts(problem, instances)
            hours += (pool.lead_hours + tariff.stop_hours) * starts
            cost += pool.start_usd * starts / HOURS_PER_WEEK * HOURS_PER_MONTH
        usd_per_hour = tariff.usd_per_hour + tariff.disk_usd_per_hour + tariff.interruption_usd_per_hour
        cost += usd_per_hour * hours / HOURS_PER_WEEK * HOURS_PER_MONTH
        if problem.running and not problem.running.get(pool.type_in_region):
            cost += max(instances) * pool.switching_usd
    return cost


def balancers_of(problem: Problem, counts: Counts) -> float:
    """Load balancers where a fleet has hosts, what services alone take elsewhere, and what any region in use takes."""
    hosts = {
        problem.pools[g].region
        for (g, t), instances in counts.items()
        if any(instances) and _has_balancer(problem.pools[g].tariffs[t])
    }
    used = {problem.pools[g].region for (g, _), instances in counts.items() if any(instances)}
    return sum(
        rule.usd
        * (rule.anyway + (rule.least if region in hosts else rule.alone) + _further(problem, counts, region, rule))
        for region in used
        for rule in _rules(problem, region)
    )


def _further(problem: Problem, counts: Counts, region: str, rule) -> float:
    """Units of a rule for each group, backend and endpoint of a region after its first one."""
    groups, kinds, endpoints = set(), set(), set()
    for (g, t), instances in counts.items():
        pool = problem.pools[g]
        if pool.region != region or not any(instances):
            continue
        paid = pool.tariffs[t].paid
        if not _has_balancer(pool.tariffs[t]):
            endpoints.add(g)
            continue
        groups.add((g, paid is PurchaseOption.SPOT))
        kinds.add(pool.replica_kind)
    more = (max(len(parts), 1) - 1 for parts in (groups, kinds, endpoints))
    return sum(count * each for count, each in zip(more, rule.each_further, strict=True))


def _rules(problem: Problem, region: str):
    return problem.charges[region].rules if region in problem.charges else ()


def _has_balancer(tariff: Tariff) -> bool:
    return tariff.paid not in (PurchaseOption.SERVERLESS, PurchaseOption.MANAGED)


def usd_of_request(problem: Problem, counts: Counts, g: int, h: int) -> float:
    """Answer, logs and load balancer of a request of a pool, by the instances that are hosts."""
    running = {t: counts[g, t][h] for t in range(len(problem.pools[g].tariffs))}
    hosts = sum(count for t, count in running.items() if _has_balancer(problem.pools[g].tariffs[t]))
    part = hosts / (sum(running.values()) or 1)
    rules = _rules(problem, problem.pools[g].region)
    charged = sum(rule.usd * (rule.each + part * rule.each_balanced) for rule in rules)
    return problem.pools[g].usd_per_request + charged / (HOURS_PER_MONTH * SECONDS_PER_HOUR)


def _starts(problem: Problem, instances: tuple[int, ...]) -> float:
    """Instances started in a week."""
    hours = range(len(instances))
    return sum(problem.transitions[a, b] * max(instances[b] - instances[a], 0) for a in hours for b in hours)


def all_counts(problem: Problem, most: int, below: float = math.inf) -> Iterator[tuple[float, Counts]]:
    """Every fleet of at most so many instances under each tariff whose instances cost less than that a month."""
    hours = len(problem.hours)
    columns = [(g, t) for g, pool in enumerate(problem.pools) for t in range(len(pool.tariffs))]
    choices = []
    for g, t in columns:
        if problem.pools[g].tariffs[t].paid.always:
            choices.append([(count,) * hours for count in range(most + 1)])
        elif problem.pools[g].tariffs[t].paid is PurchaseOption.SERVERLESS:
            choices.append(list(product(range(most + 1), repeat=hours)))
        else:
            choices.append(list(combinations_with_replacement(range(most + 1), hours)))
    for chosen in product(*choices):
        counts = dict(zip(columns, chosen, strict=True))
        cost = compute_of(problem, counts)
        if cost < below:
            yield cost, counts


def _whole_rules(problem: Problem, counts: Counts) -> Iterator[bool]:
    """Everything that only the numbers of instances decide."""
    yield from _owned(problem, counts)
    yield _types(problem, counts)
    yield _changed(problem, counts)
    yield _power(problem, counts)
    yield _carbon(problem, counts)
    for h in range(len(problem.hours)):
        yield from _quotas(problem, counts, h)
        if problem.hours[h].planned_rate > 0 or not problem.scaling.scale_to_zero:
            yield from _regions_up(problem, counts, h)
            yield from _floors(problem, counts, h)
            yield from _failures(problem, counts, h)


def _in_pool(problem: Problem, counts: Counts, g: int, h: int) -> int:
    return sum(counts[g, t][h] for t in range(len(problem.pools[g].tariffs)))


def _owned(problem: Problem, counts: Counts) -> Iterator[bool]:
    used: dict[str, int] = {}
    for (g, t), instances in counts.items():
        pool = problem.pools[g]
        if pool.tariffs[t].paid is PurchaseOption.OWNED:
            used[pool.type_in_region] = used.get(pool.type_in_region, 0) + instances[0]
    return (count <= problem.owned.get(type_in_region, 0) for type_in_region, count in used.items())


def _types(problem: Problem, counts: Counts) -> bool:
    most = problem.limits.max_instance_types
    used = {problem.pools[g].instance_type for (g, _), instances in counts.items() if any(instances)}
    return most is None or len(used) <= most


def _changed(problem: Problem, counts: Counts) -> bool:
    most = problem.limits.max_changed_instances
    if most is None or not (problem.running or problem.running_by_purchase):
        return True
    by_purchase = bool(problem.running_by_purchase)
    now: dict[tuple[str, bool], int] = {}
    today = problem.running_by_purchase or {
        (type_in_region, "on_demand"): count for type_in_region, count in problem.running.items()
    }
    for (type_in_region, paid), count in today.items():
        key = (type_in_region, paid == "spot")
        now[key] = now.get(key, 0) + count
    hours = range(len(problem.hours))
    planned = {key: [0 for _ in hours] for key in now}
    for (g, t), instances in counts.items():
        pool = problem.pools[g]
        key = (pool.type_in_region, by_purchase and pool.tariffs[t].paid is PurchaseOption.SPOT)
        planned[key] = [sum(both) for both in zip(planned.get(key, [0 for _ in hours]), instances, strict=True)]
    started = sum(max(0, *(count - now.get(key, 0) for count in each)) for key, each in planned.items())
    stopped = sum(max(0, min(now[key] - count for count in planned[key])) for key in now)
    for h in hours:
        if any(each[h] > now.get(key, 0) for key, each in planned.items()):
            stopped = max(stopped, sum(max(0, now[key] - planned[key][h]) for key in now))
    return started + stopped <= most


def _power(problem: Problem, counts: Counts) -> bool:
    most = problem.limits.max_kw
    used = sum(
        problem.pools[g].takes.get(Constraint.POWER, 0.0) * max(instances) for (g, _), instances in counts.items()
    )
    return most is None or used <= most + SLIGHTLY


def _carbon(problem: Problem, counts: Counts) -> bool:
    most = problem.limits.max_kg_co2e_per_month
    used = sum(
        problem.pools[g].takes.get(Constraint.CARBON, 0.0)
        * count
        * hour.hours_per_week
        / HOURS_PER_WEEK
        * HOURS_PER_MONTH
        for (g, _), instances in counts.items()
        for count, hour in zip(instances, problem.hours, strict=True)
    )
    return most is None or used <= most + SLIGHTLY


def _quotas(problem: Problem, counts: Counts, h: int) -> Iterator[bool]:
    for key, limit in problem.quota_limits.items():
        used = 0.0
        for (g, t), instances in counts.items():
            paid = problem.pools[g].tariffs[t].paid
            market = "spot" if paid is PurchaseOption.SPOT else "on_demand"
            if market == key[1] and paid is not PurchaseOption.SERVERLESS:
                used += problem.pools[g].quotas.get(key, 0.0) * instances[h]
        yield used <= limit + SLIGHTLY


def _regions_up(problem: Problem, counts: Counts, h: int) -> Iterator[bool]:
    """Regions that have a load balancer have something behind it: callers weigh regions alike at all hours."""
    used, up = set(), set()
    for (g, t), instances in counts.items():
        pool = problem.pools[g]
        if _has_balancer(pool.tariffs[t]):
            used |= {pool.region} if any(instances) else set()
            up |= {pool.region} if instances[h] else set()
    return (region in up for region in used)


def _floors(problem: Problem, counts: Counts, h: int) -> Iterator[bool]:
    instances = [_in_pool(problem, counts, g, h) for g in range(len(problem.pools))]
    yield sum(instances) >= problem.limits.zones
    replicas = sum(count * pool.replicas for count, pool in zip(instances, problem.pools, strict=True))
    yield replicas >= problem.limits.min_replicas


def usual_rate(problem: Problem, pool: Pool) -> float:
    """Requests per second of an instance over the places that it serves, in their proportion."""
    served = [
        (share, rate) for share, rate in zip(problem.place_shares, pool.mix_rates, strict=True) if rate > 0
    ]  # fmt: skip
    busy = sum(share / rate for share, rate in served)
    return sum(share for share, _ in served) / busy if busy else 0.0


def _failures(problem: Problem, counts: Counts, h: int) -> Iterator[bool]:
    """Each part is taken away in turn: what is left sustains the share of the load that is asked for it."""
    limits, planned = problem.limits, problem.hours[h].planned_rate
    rates = [usual_rate(problem, pool) for pool in problem.pools]
    instances = [_in_pool(problem, counts, g, h) for g in range(len(problem.pools))]
    whole = sum(rate * count for rate, count in zip(rates, instances, strict=True))
    survive = limits.survive
    if survive is None and (limits.min_replicas > 1 or limits.zones > 1):
        survive = Survive.INSTANCE
    machine_share = (
        1.0 if survive in (Survive.INSTANCE, Survive.ZONE) else (limits.min_replicas - 1) / limits.min_replicas
    )
    for rate, count in zip(rates, instances, strict=True):
        if count:
            yield whole - rate >= machine_share * planned - SLIGHTLY
    zone_share = 1.0 if survive is Survive.ZONE else (limits.zones - 1) / limits.zones
    for region in {pool.region for pool in problem.pools}:
        lost = sum(
            rate * sum(_fullest_zone(group, pool.zones) for group in _groups_of(problem, counts, g, h).values())
            for g, (pool, rate) in enumerate(zip(problem.pools, rates, strict=True))
            if pool.region == region
        )
        left = sum(rate * count for rate, count in zip(rates, instances, strict=True)) - lost
        yield left >= zone_share * planned - SLIGHTLY
        for zones in range(2, limits.zones + 1):
            yield _sure_in_each_zone(problem, counts, h, region, zones) >= planned / zones / 2 - SLIGHTLY
    steady = sum(
        rates[g] * numbers[h]
        for (g, t), numbers in counts.items()
        if problem.pools[g].tariffs[t].paid is not PurchaseOption.SPOT
    )
    yield steady >= limits.on_demand_base_ratio * planned - SLIGHTLY


def _sure_in_each_zone(problem: Problem, counts: Counts, h: int, region: str, zones: int) -> float:
    """What runs elsewhere, and a region's emptiest of so many zones: groups of a pool, on spot or not, may meet in them."""
    sure = 0.0
    for g, pool in enumerate(problem.pools):
        for count in _groups_of(problem, counts, g, h).values():
            emptiest = min(len(range(zone, count, zones)) for zone in range(zones)) if pool.zones >= zones else 0
            sure += usual_rate(problem, pool) * (emptiest if pool.region == region else count)
    return sure


def _groups_of(problem: Problem, counts: Counts, g: int, h: int) -> dict[str, int]:
    """Instances of a pool by group: code has one for spot, and one for whatever is ordered otherwise."""
    groups: dict[str, int] = {}
    for t, tariff in enumerate(problem.pools[g].tariffs):
        groups[tariff.paid.ordered_as] = groups.get(tariff.paid.ordered_as, 0) + counts[g, t][h]
    return groups


def _fullest_zone(count: int, zones: int) -> int:
    """Instances in the zone that has most of them, each new one going where there are fewest."""
    placed = [0] * zones
    for _ in range(count):
        placed[placed.index(min(placed))] += 1
    return max(placed)


def _lost_with_a_supply(problem: Problem, counts: Counts, h: int) -> float:
    """The most that one zone of any supply on spot sustains."""
    lost: dict[str, float] = {}
    for (g, t), instances in counts.items():
        pool = problem.pools[g]
        if pool.tariffs[t].paid is PurchaseOption.SPOT:
            in_zone = usual_rate(problem, pool) * _fullest_zone(instances[h], pool.zones)
            name = pool.supply or pool.type_in_region
            lost[name] = lost.get(name, 0.0) + in_zone
    return max(lost.values(), default=0.0)


def _transfer(problem: Problem, counts: Counts) -> float | None:
    """Least data transfer with which the instances carry everything; None if they cannot."""
    pools = [g for g in range(len(problem.pools)) if sum(_committed(problem, counts, g).values())]
    kept_by_floors = chain.from_iterable(combinations(pools, count) for count in range(len(pools) + 1))
    solutions = [_Shares(problem, counts, ample).program.solve() for ample in kept_by_floors]
    return min((one.objective for one in solutions if one.outcome is Outcome.OPTIMAL), default=None)


def _committed(problem: Problem, counts: Counts, g: int) -> dict[Tariff, int]:
    tariffs = enumerate(problem.pools[g].tariffs)
    return {tariff: counts[g, t][0] for t, tariff in tariffs if tariff.paid is PurchaseOption.COMMITMENT}


class _Shares:
    """The program of the shares of a fleet that is given."""

    def __init__(self, problem: Problem, counts: Counts, ample: tuple[int, ...]) -> None:
        self.problem, self.counts, self.program = problem, counts, Program()
        self.parts = list(problem.bucket_shares) or [1.0]
        self.variables: dict[tuple[int, int, int, int], int] = {}
        """By (pool, hour class, place, bucket); bucket -1 is the mix."""
        for h in range(len(problem.hours)):
            self._share_variables(h)
            self._demand(h)
            self._capacity(h)
            self._max_replicas(h)
            self._reroute(h)
        if problem.low_band:
            beyond = [term for g in range(len(problem.pools)) for term in self._low_band(g, ample)]
            self.program.row("one spare", beyond, upper=1.0)

    def _share_variables(self, h: int) -> None:
        requests = (
            self.problem.hours[h].mean_rate
            * SECONDS_PER_HOUR
            * self.problem.hours[h].hours_per_week
            / HOURS_PER_WEEK
            * HOURS_PER_MONTH
        )
        for g in range(len(self.problem.pools)):
            for p, share in enumerate(self.problem.place_shares):
                for b in range(-1, len(self.problem.bucket_shares)):
                    if self._rate(g, p, b) <= 0:
                        continue
                    variable = self.program.variable(upper=1.0)
                    part = 1.0 if b < 0 else self.problem.bucket_shares[b]
                    usd = usd_of_request(self.problem, self.counts, g, h)
                    self.program.add_cost(variable, usd * requests * share * part)
                    self.variables[g, h, p, b] = variable

    def _rate(self, g: int, p: int, b: int) -> float:
        pool = self.problem.pools[g]
        return float(pool.mix_rates[p] if b < 0 else pool.rates[p, b])

    def _demand(self, h: int) -> None:
        for p in range(len(self.problem.place_shares)):
            for b in range(len(self.parts)):
                terms = [
                    (variable, 1.0)
                    for (_, at, place, bucket), variable in self.variables.items()
                    if (at, place) == (h, p) and bucket in {-1, b}
                ]
                self.program.row("demand", terms, lower=1.0, upper=1.0)

    def _load(self, g: int, h: int, rate: float) -> list[tuple[int, float]]:
        return [
            (
                variable,
                rate * self.problem.place_shares[p] * (1.0 if b < 0 else self.parts[b]) / self._rate(g, p, b),
            )
            for (pool, at, p, b), variable in self.variables.items()
            if (pool, at) == (g, h)
        ]

    def _capacity(self, h: int) -> None:
        for g in range(len(self.problem.pools)):
            load = self._load(g, h, self.problem.hours[h].planned_rate)
            self.program.row("capacity", load, upper=_in_pool(self.problem, self.counts, g, h))

    def _max_replicas(self, h: int) -> None:
        most = self.problem.limits.max_replicas
        if most is not None:
            terms = [
                (variable, load * pool.replicas)
                for g, pool in enumerate(self.problem.pools)
                for variable, load in self._load(g, h, self.problem.hours[h].planned_rate)
            ]
            self.program.row("max replicas", terms, upper=most)

    def _reroute(self, h: int) -> None:
        """What is lost with one zone of a supply on spot, the others have room for beside their own load."""
        tolerant, planned = self.problem.limits.fault_tolerant_ratio, self.problem.hours[h].planned_rate
        if tolerant == 1 or (planned == 0 and self.problem.scaling.scale_to_zero):
            return
        usual = [usual_rate(self.problem, pool) for pool in self.problem.pools]
        whole = sum(rate * _in_pool(self.problem, self.counts, g, h) for g, rate in enumerate(usual))
        load = [(share, busy * usual[g]) for g in range(len(usual)) for share, busy in self._load(g, h, planned)]
        lost = _lost_with_a_supply(self.problem, self.counts, h)
        self.program.row("reroute", load, upper=whole - lost + tolerant * planned)

    def _low_band(self, g: int, ample: tuple[int, ...]) -> list[tuple[int, float]]:
        """Commitments need to be in use at the low edge, or to be spare; returns the spare that has to be counted."""
        committed = _committed(self.problem, self.counts, g)
        if not sum(committed.values()):
            return []
        spare, kept_by_floors = (
            self.program.variable(integer=True),
            self.program.variable(upper=99.0 if g in ample else 0.0),
        )
        self.program.row("floors", [(spare, 1.0), (kept_by_floors, -1.0)], lower=0.0)
        count, use = sum(committed.values()), []
        for h, hour in enumerate(self.problem.hours):
            running, load = _in_pool(self.problem, self.counts, g, h), self._load(g, h, hour.planned_rate)
            self.program.row("spare", [(spare, 1.0), *load], upper=running)
            in_use = self.program.variable()
            self.program.row("low band", [(in_use, 1.0), (spare, 1.0)], upper=count)
            low = [(variable, -busy) for variable, busy in self._load(g, h, hour.low_rate)]
            self.program.row("low band", [(in_use, 1.0), *low], upper=ALMOST_ONE)
            use.append((in_use, hour.hours_per_week / HOURS_PER_WEEK))
        if g in ample:
            self.program.row("floors", [(kept_by_floors, 0.5), *load], upper=running / 2)
        self.program.row("low band", [*low, (spare, -1.0)], upper=ALMOST_ONE - count)
        needed = sum(tariff.break_even_ratio * count for tariff, count in committed.items())
        least = min(tariff.break_even_ratio for tariff in committed)
        self.program.row("low band", [*use, (spare, least)], lower=needed)
        return [(spare, 1.0), (kept_by_floors, -1.0)]
