"""Capacity of a plan by hand: what instances are planned to carry against the load, with and without what may fail."""

from fractions import Fraction
from math import ceil

from recompute.facts import quota_units, zone_count

EPSILON = Fraction(1, 10**6)


BESIDE_VLLM = ("SGLang", "TensorRT-LLM")
"""Engines that are planned beside vLLM, and named then."""


def pool(group):
    """What serves alike: the group without the way it is paid for."""
    layout = group["partition"] or f"tp{group['tensor_parallel']}"
    beside = (group["engine"],) if group["engine"] in BESIDE_VLLM else ()
    return "/".join((group["provider"], group["region"], group["instance_type"], group["precision"], layout, *beside))


def spread(group):
    """What is spread over zones by itself: a pool on spot, on demand with what is bought ahead, or as a service."""
    purchase = group["purchase"]
    return pool(group), purchase if purchase in ("spot", "managed", "serverless") else "on_demand"


def chip(group):
    """Accelerators of one kind in a region, cut into slices or not."""
    return f"{group['provider']}/{group['region']}/{group['accelerator']}"


def zones_of(group):
    """Zones that the machine is sold in; a service has those that the plan says."""
    return zone_count(group["provider"], group["region"], group["instance_type"])


def whole(groups, at, *, without=None, rate="planned_rate"):
    """Requests per second of all instances in an hour class."""
    return sum(group["instances"][at] * group[rate] for group in groups if group["purchase"] != without)


def left(groups, at, lost_rate):
    """The same of what is left after a failure, each with requests of every kind in proportion."""
    return whole(groups, at, rate="mix_rate") - lost_rate


def lost(groups, at):
    """What each failure takes in an hour class, as plans name it → requests per second."""
    found, spreads = {}, {}
    for group in groups:
        if group["instances"][at]:
            spreads.setdefault(spread(group), []).append(group)
    for (key, purchase), members in spreads.items():
        first, rate = members[0], members[0]["mix_rate"]
        found[f"one instance of {key}"] = rate
        in_fullest_zone = -(-sum(group["instances"][at] for group in members) // zones_of(first)) * rate
        zone = f"one zone of {first['provider']}/{first['region']}"
        found[zone] = found.get(zone, 0) + in_fullest_zone
        if purchase == "spot":
            supply = f"spot of {chip(first)} in one zone"
            found[supply] = found.get(supply, 0) + in_fullest_zone
    return found


def failures(groups, week):
    """Failure → share of the planned rate that is left in the hours that it hits hardest."""
    ratios = {}
    for at, planned in enumerate(week.planned):
        for name, rate in lost(groups, at).items() if planned else ():
            ratio = left(groups, at, rate) / planned
            ratios[name] = min(ratios.get(name, ratio), ratio)
    return ratios


def wanted_without(name, limits):
    """Share of the load that the limits want without what fails."""
    if name.startswith("one instance"):
        return max(1 - Fraction(1, limits["min_replicas"]), int(limits["survive"] != "nothing"))
    if name.startswith("one zone"):
        return max(1 - Fraction(1, limits["zones"]), int(limits["survive"] == "zone"))
    return 1 - Fraction(str(limits["fault_tolerant_ratio"]))


def faults(groups, week, limits, *, to_zero, alike):
    """What a fleet lacks of the load and of every floor and cap of its workload, in words."""
    for at, planned in enumerate(week.planned):
        load = planned * (1 - EPSILON)
        if whole(groups, at) < load:
            yield f"class {at}: {float(whole(groups, at))} requests/s are carried of {float(planned)}"
        if not planned:
            continue
        for name, rate in lost(groups, at).items():
            if name.startswith("spot") and not alike:
                continue
            if left(groups, at, rate) < wanted_without(name, limits) * load:
                yield f"class {at}: without {name} {float(left(groups, at, rate))} of {float(planned)} are left"
        base = Fraction(str(limits["on_demand_base_ratio"]))
        if whole(groups, at, without="spot") < base * load:
            yield f"class {at}: less than {float(base)} of the load is off spot"
    yield from counted_faults(groups, week, limits, to_zero=to_zero)


def least_alone(group, week, limits):
    """Fewest instances of one group, on demand at all hours, that carry the load within the floors and without what fails."""
    count = max(1, ceil(max(week.planned) * (1 - EPSILON) / group["planned_rate"]))
    while True:
        same = {**group, "instances": [count] * len(week.planned), "purchase": "on_demand"}
        if next(faults([same], week, {**limits, "quotas": []}, to_zero=False, alike=True), None) is None:
            return count
        count += 1


def counted_faults(groups, week, limits, *, to_zero):
    """Floors and caps on how many there are."""
    busiest = len(week.planned) - 1
    for at in range(busiest + 1):
        if to_zero:
            break
        if sum(group["instances"][at] * group["replicas_per_instance"] for group in groups) < limits["min_replicas"]:
            yield f"class {at}: fewer replicas than {limits['min_replicas']}"
        if sum(group["instances"][at] for group in groups) < limits["zones"]:
            yield f"class {at}: fewer instances than {limits['zones']} zones"
        yield from zone_faults(groups, week, limits, at)
    caps = {
        "max_instance_types": len({(group["provider"], group["instance_type"]) for group in groups}),
        "max_regions": len({(group["provider"], group["region"]) for group in groups}),
    }
    for name, used in caps.items():
        if limits[name] is not None and used > limits[name]:
            yield f"{used} is more than limits.{name} {limits[name]}"
    if not limits["mix_providers"] and len({group["provider"] for group in groups}) > 1:
        yield "more than one provider, and limits.mix_providers is false"
    yield from quota_faults(groups, week, limits)


def zone_faults(groups, week, limits, at):
    """Zones that hold less than half of an equal part, each group spread by itself; what is bought ahead is on demand."""
    merged = {}
    for group in groups:
        merged.setdefault(spread(group), []).append(group)
    regions = {(group["provider"], group["region"]) for group in groups if group["instances"][at]}
    for zones in range(2, limits["zones"] + 1):
        for region in regions:
            sure = 0
            for members in merged.values():
                count, first = sum(group["instances"][at] for group in members), members[0]
                if (first["provider"], first["region"]) == region:
                    count = count // zones if zones_of(first) >= zones else 0
                sure += count * first["mix_rate"]
            if sure < week.planned[at] / zones / 2 * (1 - EPSILON):
                yield f"class {at}: a zone of {zones} in {region[1]} may hold less than half of an equal part"


def quota_faults(groups, week, limits):
    """Stated quotas of the account that a fleet is beyond."""
    for quota in limits["quotas"]:
        for at in range(len(week.planned)):
            used = 0
            for group in groups:
                market = {"spot": "spot", "managed": "", "serverless": ""}.get(group["purchase"], "on_demand")
                counted = quota_units(group["provider"], group["instance_type"], market) if market else None
                here = (group["provider"], group["region"]) == (quota["provider"], quota["region"])
                if here and counted and counted[0] == quota["code"]:
                    used += group["instances"][at] * (counted[1] or 0)
            if used > quota["limit"]:
                yield f"{used} of quota {quota['code']}, and {quota['limit']} are allowed"


def used(groups, week):
    """(limit, detail) → use of it as plans print it, of those that the fleet alone decides."""
    hours = range(len(week.planned))
    replicas = [sum(group["instances"][at] * group["replicas_per_instance"] for group in groups) for at in hours]
    found = {
        ("min_replicas", ""): min(replicas),
        ("zones", ""): min(sum(group["instances"][at] for group in groups) for at in hours),
        ("max_instance_types", ""): len({(group["provider"], group["instance_type"]) for group in groups}),
    }
    left = failures(groups, week)
    for limit, detail, kind in (
        ("survive", "without one machine", "one instance"),
        ("survive", "without one zone", "one zone"),
        ("spot_reroute", "", "spot of"),
    ):
        ratios = [ratio for name, ratio in left.items() if name.startswith(kind)]
        found |= {(limit, detail): min(ratios)} if ratios else {}
    loads = [(whole(groups, at, without="spot"), planned) for at, planned in enumerate(week.planned) if planned]
    if loads:
        found["on_demand_base", ""] = min(steady / planned for steady, planned in loads)
    if len({pool(group) for group in groups}) == 1:
        share = week.planned[-1] / groups[0]["planned_rate"] * groups[0]["replicas_per_instance"]
        found["max_replicas", ""] = ceil(share - EPSILON)
    return found
