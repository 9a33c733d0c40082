"""Fleet problems that are small enough to go through every fleet, drawn from round numbers."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from advisor.catalog.planning import ServicePrice
from advisor.catalog.values import Provenance, Quality
from advisor.cost.standing import ChargeRule, Further, RegionCharges
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import FleetSolution, HourClass, Infeasible, Pool, Problem, PurchaseOption, Tariff
from advisor.plan.solve.optimise import explain_conflict, fleet_if_any
from advisor.units import HOURS_PER_WEEK
from advisor.workload.values import Limits, Survive

LABELS = {PurchaseOption.COMMITMENT: "1 y", PurchaseOption.SERVERLESS: "functions", PurchaseOption.OWNED: "owned"}
QUOTA = "provider/region/family"
REGIONS = ("here/r0", "here/r0", "here/r1", "there/r2")
BILLED = (PurchaseOption.ON_DEMAND, PurchaseOption.SPOT, PurchaseOption.COMMITMENT)


def pool_of(
    name="p0", rate=1.0, usd=1.0, *, tariffs=None, type_in_region=None, kind=None, rates=None, replicas=1, **more
) -> Pool:  # fmt: skip
    """A pool with one place and no buckets where nothing else is said."""
    mix = np.atleast_1d(np.asarray(rate, dtype=float))
    return Pool(
        key=name,
        instance_type=kind or name,
        type_in_region=type_in_region or name,
        replicas=replicas,
        mix_rates=mix,
        rates=np.zeros((len(mix), 0)) if rates is None else np.asarray(rates, dtype=float),
        tariffs=tariffs or (Tariff(PurchaseOption.ON_DEMAND, usd),),
        **more,
    )


def hours_of(*planned: float, low: float = 0.6, mean: float = 0.7) -> tuple[HourClass, ...]:
    """Hour classes of equal length with these planned rates."""
    length = HOURS_PER_WEEK // len(planned)
    return tuple(HourClass(length, rate * mean, rate, rate * low) for rate in planned)


def problem_of(*pools: Pool, planned=(4.0,), limits=None, places=(1.0,), buckets=(), **more) -> Problem:
    """A problem whose days rise and fall once through all classes."""
    hours = more.pop("hours", None) or hours_of(*planned)
    return Problem(
        hours=hours,
        pools=pools,
        place_shares=np.array(places, dtype=float),
        bucket_shares=np.array(buckets, dtype=float),
        transitions=daily(len(hours)),
        limits=limits or Limits(),
        **more,
    )


def optimise(problem: Problem) -> FleetSolution | Infeasible:
    """The cheapest fleet by the program alone, or the constraints that exclude each other."""
    return fleet_if_any(problem) or explain_conflict(problem)


def daily(classes: int) -> np.ndarray:
    """Once a day up and down again."""
    return 7.0 * (np.eye(classes, k=1) + np.eye(classes, k=-1))


def scaled(problem: Problem, factor: float, *, low: bool = True) -> Problem:
    """The same problem with so many times the requests; the low edge may stay where it is."""
    hours = tuple(
        replace(
            hour,
            mean_rate=hour.mean_rate * factor,
            planned_rate=hour.planned_rate * factor,
            low_rate=hour.low_rate * (factor if low else 1.0),
        )
        for hour in problem.hours
    )
    return replace(problem, hours=hours)


def limited(problem: Problem, **limits) -> Problem:
    """The same problem with other limits."""
    return replace(problem, limits=replace(problem.limits, **limits))


cents = st.integers(20, 400).map(lambda cents: cents / 100)
rates = st.integers(1, 8).map(lambda halves: halves / 2)


@st.composite
def _tariff(draw, paid: PurchaseOption, usd: float) -> Tariff:
    share = draw(st.sampled_from((0.3, 0.45, 0.6, 0.8, 0.9)))
    match paid:
        case PurchaseOption.ON_DEMAND:
            return Tariff(paid, usd, stop_hours=draw(st.sampled_from((0.0, 17 / 60))))
        case PurchaseOption.SPOT:
            return Tariff(paid, usd * share, interruption_usd_per_hour=draw(st.sampled_from((0.0, 0.01, 0.1))))
        case PurchaseOption.COMMITMENT:
            return Tariff(paid, usd * share, LABELS[paid], break_even_ratio=share)
        case PurchaseOption.OWNED:
            return Tariff(paid, 0.0, LABELS[paid])
        case PurchaseOption.SERVERLESS:
            return Tariff(paid, usd * 1.2, LABELS[paid])


def _with_disk(tariff: Tariff, usd_per_hour: float) -> Tariff:
    """A container of a service has no disk to pay for."""
    return (
        tariff if tariff.paid is PurchaseOption.SERVERLESS else replace(tariff, disk_parts_usd_per_hour=(usd_per_hour,))
    )


@st.composite
def _pool(draw, at: int, paid: tuple[PurchaseOption, ...], places: int, buckets: int) -> Pool:
    kind = f"t{draw(st.integers(0, 1))}"
    region = draw(st.sampled_from(REGIONS))
    type_in_region = f"{region}/{kind}"
    usd, disk = draw(cents), draw(st.sampled_from((0.0, 0.02, 0.3)))
    some_place = st.lists(rates | st.just(0.0) if places > 1 else rates, min_size=places, max_size=places)
    mix = np.array(draw(some_place.filter(any)))
    factors = [draw(st.lists(st.sampled_from((0.0, 0.5, 1.0, 2.0)), min_size=buckets, max_size=buckets)) for _ in mix]
    return Pool(
        key=f"p{at}",
        instance_type=kind,
        type_in_region=type_in_region,
        replicas=draw(st.integers(1, 2)),
        mix_rates=mix,
        rates=mix[:, None] * np.array(factors).reshape(places, buckets),
        tariffs=tuple(_with_disk(draw(_tariff(one, usd)), disk) for one in paid),
        usd_per_request=draw(st.sampled_from((0.0, 0.0, 1e-6, 1e-5))),
        lead_hours=draw(st.sampled_from((0.0, 0.25, 1.0))),
        start_usd=draw(st.sampled_from((0.0, 0.5, 20.0))),
        takes={
            Constraint.POWER: draw(st.integers(1, 9)) / 10,
            Constraint.CARBON: draw(st.integers(1, 9)) / 10,
        },
        quotas={(QUOTA, market): float(draw(st.integers(1, 4))) for market in ("on_demand", "spot")},
        switching_usd=draw(st.sampled_from((0.0, 5.0, 200.0))),
        zones=draw(st.integers(1, 3)),
        supply=f"{region}/{draw(st.sampled_from('ab'))}",
        backend=f"{region}/{draw(st.sampled_from('ab'))}/engine",
        replica_kind=draw(st.sampled_from("ab")),
    )


@st.composite
def problems(draw, limits=None, *, paid=BILLED, columns=3, places=(1, 2), buckets=(0, 0, 2), held=False) -> Problem:
    """Problems of at most so many pools × tariffs, with limits drawn from a strategy; held: something may run today."""
    place_count, bucket_count = draw(st.sampled_from(places)), draw(st.sampled_from(buckets))
    ways = draw(st.lists(st.sampled_from(paid), min_size=1, max_size=columns))
    pools = []
    while ways:
        size = draw(st.integers(1, min(2, len(ways))))
        own, ways = tuple(dict.fromkeys(ways[:size])), ways[size:]
        pools.append(draw(_pool(len(pools), own, place_count, bucket_count)))
    classes = draw(st.integers(1, 2))
    planned = sorted(draw(st.lists(st.integers(1, 12), min_size=classes, max_size=classes)))
    types_in_region = sorted({pool.type_in_region for pool in pools})
    return problem_of(
        *pools,
        hours=hours_of(*(rate / 2 for rate in planned), low=draw(st.sampled_from((0.0, 0.3, 0.7)))),
        limits=draw(limits) if limits is not None else Limits(),
        places=(1.0,) if place_count == 1 else (0.25, 0.75),
        buckets=() if bucket_count == 0 else (0.75, 0.25),
        running=draw(_some_of((*types_in_region, "here/r0/gone"))) if held else {},
        owned=draw(_some_of(types_in_region)),
        quota_limits={},
        charges={region: draw(_charges(region)) for region in REGIONS if draw(st.booleans())},
    )


FURTHER = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 1.0, 2.0))
"""Units for each further group, backend and endpoint."""


@st.composite
def _charges(draw, region: str) -> RegionCharges:
    """A load balancer with alarms, fewer where services alone serve, logs of requests and what it passes on, a gateway."""
    rules = (
        (draw(st.sampled_from((0.0, 20.0, 400.0))), {"least": 730.0, "alone": draw(st.sampled_from((0.0, 90.0)))}),
        (draw(st.sampled_from((0.0, 1.0, 50.0))), {"each": 1.0}),
        (draw(st.sampled_from((0.0, 5.0, 200.0))), {"each_balanced": 1.0}),
        (draw(st.sampled_from((0.0, 0.0, 30.0, 300.0))), {"anyway": 730.0}),
        (draw(st.sampled_from((0.0, 0.0, 1.0, 40.0))), {"each_further": Further(*draw(st.sampled_from(FURTHER)))}),
    )
    return charges_of(
        region, *((usd / max(units.get("least", 1.0), units.get("anyway", 1.0)), units) for usd, units in rules)
    )


def charges_of(region: str, *rules) -> RegionCharges:
    """Charges of a region, by (USD per unit, units)."""
    known = Provenance("made up", "2026-11-01", Quality.LISTED)
    return RegionCharges(
        *region.split("/"),
        tuple(
            ChargeRule(f"item {at}", ServicePrice(usd, "unit", known), **units) for at, (usd, units) in enumerate(rules)
        ),
    )


def _some_of(names):
    return st.dictionaries(st.sampled_from(names), st.integers(1, 3), max_size=2)


def with_purchases(problem: Problem, on_spot: int) -> Problem:
    """The same problem, of whose running instances so many of each stand are on spot."""
    running = {}
    for type_in_region, count in problem.running.items():
        running |= {
            (type_in_region, "spot"): min(on_spot, count),
            (type_in_region, "on_demand"): max(count - on_spot, 0),
        }
    return replace(problem, running_by_purchase=running)


small = st.integers(1, 3)
survivals = st.none() | st.sampled_from(Survive)
ratios = st.sampled_from((0.0, 0.3, 0.7, 1.0))
LIMITS = {
    "nothing": st.builds(Limits),
    "min_replicas": st.builds(Limits, min_replicas=st.integers(2, 5), survive=survivals),
    "max_replicas": st.builds(Limits, max_replicas=st.integers(1, 6)),
    "zones": st.builds(Limits, zones=small, survive=survivals),
    "survive_instance": st.builds(Limits, survive=st.just(Survive.INSTANCE), zones=small),
    "survive_zone": st.builds(Limits, survive=st.just(Survive.ZONE), zones=st.integers(2, 3)),
    "spot_reroute": st.builds(Limits, fault_tolerant_ratio=ratios, zones=st.integers(1, 2)),
    "on_demand_base": st.builds(Limits, on_demand_base_ratio=ratios, fault_tolerant_ratio=ratios),
    "max_instance_types": st.builds(Limits, max_instance_types=st.just(1), zones=small),
    "max_changed_instances": st.builds(Limits, max_changed_instances=st.integers(0, 4)),
    "budget": st.builds(Limits, max_usd_per_month=st.integers(2, 60).map(lambda hundreds: 100.0 * hundreds)),
    "carbon": st.builds(Limits, max_kg_co2e_per_month=st.integers(2, 20).map(lambda tenths: 73.0 * tenths)),
    "power": st.builds(Limits, max_kw=st.integers(2, 20).map(lambda tenths: tenths / 10)),
}  # fmt: skip
"""One family of limits at a time."""

everything = st.builds(
    Limits,
    min_replicas=small,
    max_replicas=st.none() | st.integers(3, 8),
    zones=st.integers(1, 2),
    survive=st.none() | st.sampled_from((Survive.NOTHING, Survive.INSTANCE)),
    fault_tolerant_ratio=st.sampled_from((0.0, 0.5, 1.0)),
    on_demand_base_ratio=st.sampled_from((0.0, 0.0, 0.5)),
    max_instance_types=st.none() | st.integers(1, 2),
    max_changed_instances=st.none() | st.integers(0, 6),
    max_kg_co2e_per_month=st.none() | st.integers(8, 30).map(lambda tenths: 73.0 * tenths),
    max_kw=st.none() | st.integers(8, 30).map(lambda tenths: tenths / 10),
    max_usd_per_month=st.none() | st.integers(20, 90).map(lambda hundreds: 100.0 * hundreds),
)


def alike(problem: Problem) -> Problem:
    """The same problem with pools that differ in rates and prices alone, so that many are of no use."""
    same = {
        "usd_per_request": 0.0,
        "lead_hours": 0.25,
        "start_usd": 1.5,
        "takes": {Constraint.POWER: 0.4, Constraint.CARBON: 0.3},
        "quotas": {(QUOTA, market): 1.0 for market in ("on_demand", "spot")},
        "switching_usd": 5.0,
        "replicas": 1,
        "zones": 2,
    }
    return replace(problem, pools=tuple(replace(pool, **same) for pool in problem.pools))
