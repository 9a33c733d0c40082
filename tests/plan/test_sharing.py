"""Several models on shared accelerators: the rules that hold, and that the packing is the cheapest."""

import math
import random
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.plan import sharing
from advisor.plan.sharing import HEADROOM, pack_shared
from advisor.plan.tenants import Host, Need, Slice, Tenant

BIG = Host("big", 3.6, 72.0, slices=(Slice("mig-1g.10gb", 8.5, 7), Slice("mig-3g.40gb", 35.0, 2)))
SMALL = Host("small", 0.8, 20.0)
SPEED = {"big": 6.0, "small": 1.0, "mig-1g.10gb": 0.7, "mig-3g.40gb": 2.5}


def tenant(name="a", memory_gib=5.0, busy_ratio=0.2, most_sharers=8, **changes):
    """A model that is as busy on the small host as said, and less so where the accelerator is faster."""
    seats = [("big", ""), ("small", ""), ("big", "mig-1g.10gb"), ("big", "mig-3g.40gb")]
    needs = {(host, part): Need(memory_gib, busy_ratio / SPEED[part or host], most_sharers) for host, part in seats}
    return Tenant(name, needs, **changes)


def many(count, **changes):
    """Equal models with names of their own."""
    return [tenant(f"t{index}", **changes) for index in range(count)]


def test_small_models_share_one_small_accelerator():
    """Four models of 5 GiB that are busy a fifth of the time take turns on one accelerator of 20 GiB."""
    found = pack_shared(many(4), [BIG, SMALL])

    assert found.instances == {"small": 1}
    assert found.groups[0].tenants == ("t0", "t1", "t2", "t3")
    assert (found.usd_per_hour, found.gap_ratio) == (0.8, 0.0)
    assert found.groups[0].busy_ratio == pytest.approx(0.8)
    assert found.groups[0].memory_gib == pytest.approx(20)


def test_the_time_of_a_shared_accelerator_is_not_filled_to_the_brim():
    """Five that are busy a fifth of the time do not share one accelerator, though one alone may use all of it."""
    assert pack_shared(many(5, memory_gib=1.0), [SMALL]).instances == {"small": 2}
    assert pack_shared(many(5, memory_gib=1.0), [SMALL], headroom=0.0).instances == {"small": 1}
    assert pack_shared([tenant(busy_ratio=1.0)], [SMALL]).instances == {"small": 1}


def test_memory_is_shared_too():
    """Three models of 8 GiB are too many for 20 GiB."""
    assert pack_shared(many(3, memory_gib=8.0, busy_ratio=0.01), [SMALL]).instances == {"small": 2}


def test_each_keeps_its_targets_on_its_part_of_the_time():
    """A model that needs half of the time to answer soon enough sits with one other, however little that does."""
    assert pack_shared(many(2, busy_ratio=0.01, most_sharers=2), [SMALL]).instances == {"small": 1}
    assert pack_shared(many(3, busy_ratio=0.01, most_sharers=2), [SMALL]).instances == {"small": 2}


def test_the_most_sensitive_tenant_decides_how_many_sit_together():
    """Neighbours that would put up with more do not sit beside one that keeps its targets alone only."""
    calm = [tenant(f"calm{at}", busy_ratio=0.01) for at in range(2)]
    alone = tenant("alone", busy_ratio=0.01, most_sharers=1)

    assert pack_shared([*calm, alone], [SMALL]).instances == {"small": 2}
    assert pack_shared([*calm, tenant("one of three", busy_ratio=0.01, most_sharers=3)], [SMALL]).instances == {
        "small": 1
    }


def test_the_machine_has_to_hold_the_pods_of_all():
    """Four small models fit the accelerator, and three pods of a core and 4 GiB the machine; slices are no way round."""
    needs = {("small", ""): Need(1.0, 0.05, host_gib=4.0, cores=1.0)}
    four = [Tenant(f"t{at}", needs) for at in range(4)]
    cut = {("big", "mig-1g.10gb"): Need(1.0, 0.05, host_gib=4.0, cores=1.0)}

    assert pack_shared(four, [replace(SMALL, cores=3.0, host_gib=100.0)]).instances == {"small": 2}
    assert pack_shared(four, [replace(SMALL, cores=100.0, host_gib=12.0)]).instances == {"small": 2}
    assert pack_shared(four, [replace(SMALL, cores=4.0, host_gib=16.0)]).instances == {"small": 1}
    seven = [Tenant(f"t{at}", cut) for at in range(7)]
    assert pack_shared(seven, [replace(BIG, cores=9.0)]).instances == {"big": 1}
    assert pack_shared(seven, [replace(BIG, cores=6.0)]).instances == {"big": 2}


def test_critical_models_take_turns_with_nobody_but_sit_in_slices():
    """Seven critical models on seven slices are cheaper than seven machines; without slices each has one."""
    critical = many(7, busy_ratio=0.1, latency_critical=True)
    found = pack_shared(critical, [BIG, SMALL])

    assert found.instances == {"big": 1}
    assert found.groups[0].slice == "mig-1g.10gb"
    assert len(found.groups[0].tenants) == 7
    assert pack_shared(critical, [SMALL]).instances == {"small": 7}


def test_slices_are_isolated():
    """In slices no time adds up, and no neighbour takes a turn: each needs its own only."""
    found = pack_shared(many(7, busy_ratio=0.6, most_sharers=1), [BIG], headroom=0.5)

    assert found.instances == {"big": 1}
    assert found.groups[0].busy_ratio == pytest.approx(0.6 / 0.7)


def test_machines_are_bought_whole():
    """Nine accelerators of a machine that has eight are two machines."""
    eight = Host("eight", 20.0, 20.0, accelerators=8)
    needs = {("eight", ""): Need(15.0, 0.9)}
    found = pack_shared([Tenant(f"t{index}", needs) for index in range(9)], [eight])

    assert len(found.groups) == 9
    assert (found.instances, found.usd_per_hour) == ({"eight": 2}, 40.0)
    assert found.gap_ratio == 0.0


def test_what_fits_nowhere_is_named_with_the_numbers():
    """A model too large, too busy or too slow even alone is left out, and each reason has both numbers."""
    found = pack_shared(
        [
            tenant("large", memory_gib=30.0),
            tenant("busy", busy_ratio=1.5),
            tenant("slow", most_sharers=0),
            tenant("fits"),
        ],
        [SMALL],
    )

    assert found.unplaced == ("large", "busy", "slow")
    assert found.usd_per_hour == 0.8
    reasons = {one.tenant: (one.code, one.needed, one.available, one.unit) for one in found.rejections}
    assert reasons == {
        "large": ("memory", 30.0, 20.0, "GiB"),
        "busy": ("busy", 1.5, 1.0, "share"),
        "slow": ("sharers", 1, 0, "tenants"),
    }


def test_a_model_that_does_not_run_on_a_host_is_not_put_there():
    """Where a tenant states no need it has no seat, and the rejection has no numbers to make up."""
    alone = Tenant("a", {("small", ""): Need(5.0, 0.2)})
    found = pack_shared([alone], [BIG, SMALL])

    assert found.instances == {"small": 1}
    assert {(one.slice, one.code, one.needed) for one in found.rejections} == {
        ("", "not_offered", None),
        ("mig-1g.10gb", "not_offered", None),
        ("mig-3g.40gb", "not_offered", None),
    }


def test_nothing_costs_nothing():
    """No tenants need no machine, and no machine places no tenant."""
    assert pack_shared([], [SMALL]).usd_per_hour == 0.0
    assert pack_shared([tenant()], []).unplaced == ("a",)


def test_many_come_with_a_bound_and_a_gap():
    """Beyond the size of the exact search the price stands beside what no packing can be below."""
    found = pack_shared(many(60, memory_gib=6.0, busy_ratio=0.13), [BIG, SMALL])

    assert 0 < found.bound_usd_per_hour <= found.usd_per_hour
    assert found.gap_ratio == pytest.approx(1 - found.bound_usd_per_hour / found.usd_per_hour)
    assert sorted(name for group in found.groups for name in group.tenants) == sorted(
        f"t{index}" for index in range(60)
    )


needs = st.tuples(st.floats(0.5, 25), st.floats(0.01, 1.2))
crowds = st.lists(st.tuples(needs, st.integers(0, 4), st.booleans()), max_size=5)


def crowd(drawn):
    """Tenants of drawn sizes."""
    return [
        tenant(f"t{index}", *sizes, most_sharers=most, latency_critical=critical)
        for index, (sizes, most, critical) in enumerate(drawn)
    ]


def allowed(members, host, part, limit):
    """Whether the rules let these share one accelerator, written out anew."""
    seats = [one.needs[host.name, part.name if part else ""] for one in members]
    if part:
        alone = (s.memory_gib <= part.memory_gib and s.busy_ratio <= 1 for s in seats)
        return len(members) <= part.per_accelerator and all(alone)
    time = 1.0 if len(members) == 1 else limit
    return (
        sum(s.memory_gib for s in seats) <= host.memory_gib
        and sum(s.busy_ratio for s in seats) <= time
        and len(members) <= min(s.most_sharers for s in seats)
        and (len(members) == 1 or not any(one.latency_critical for one in members))
    )


def cheapest(tenants, hosts, fewest=1):
    """The least price by trying everything: each tenant to each of as many accelerators, each used each way by so many."""
    ways = [(host, part) for host in hosts for part in (None, *host.slices)]
    best = math.inf
    for labels in product(range(len(tenants)), repeat=len(tenants)):
        if any(label > max(labels[:at], default=-1) + 1 for at, label in enumerate(labels)):
            continue
        total = 0.0
        for label in set(labels):
            members = [one for one, where in zip(tenants, labels, strict=True) if where == label]
            prices = (h.usd_per_hour for h, p in ways if allowed(members, h, p, 1 - HEADROOM))
            total += min(prices, default=math.inf) if len(members) >= fewest else math.inf
        best = min(best, total)
    return best


@settings(max_examples=150)
@given(crowds)
def test_the_packing_of_a_few_is_the_cheapest_there_is(drawn):
    """It costs what trying everything finds, and says that this is proven."""
    tenants = crowd(drawn)
    found = pack_shared(tenants, [BIG, SMALL])
    placed = [one for one in tenants if one.name not in found.unplaced]

    assert found.usd_per_hour == pytest.approx(cheapest(placed, [BIG, SMALL]) if placed else 0.0)
    assert found.gap_ratio == 0.0


served = st.lists(
    st.tuples(st.floats(2, 12), st.floats(0.01, 0.4), st.integers(1, 8), st.sampled_from(["", "", "a", "a", "b"])),
    max_size=5,
)
POD = {"host_gib": 4.0, "cores": 1.0}
ROOMY = replace(SMALL, host_gib=12.0, cores=3.0)


def on_servers(drawn):
    """Tenants of drawn sizes and servers, which take 1.5 GiB of a tenant's memory once, and a pod."""
    return [
        Tenant(f"t{index}", {("small", ""): Need(memory, busy, most, server=server, server_gib=1.5 if server else 0.0, **POD)})
        for index, (memory, busy, most, server) in enumerate(drawn)
    ]  # fmt: skip


def fits(members, host, *, in_servers):
    """Whether the rules let these share an accelerator, with those of one server in one process or each in its own."""
    needs = [one.needs["small", ""] for one in members]
    count = {need.server: sum(other.server == need.server for other in needs) for need in needs if need.server}
    together = [need for need in needs if in_servers and count.get(need.server, 0) > 1]
    processes = len(needs) - len(together) + len({need.server for need in together})
    once = sum(count[need.server] - 1 for need in {one.server: one for one in together}.values())
    each = [processes * (count[need.server] if need in together else 1) for need in needs]
    return (
        sum(need.memory_gib for need in needs) - 1.5 * once <= host.memory_gib + 1e-9
        and sum(need.busy_ratio for need in needs) <= (1.0 if len(needs) == 1 else 1 - HEADROOM) + 1e-9
        and all(parts <= need.most_sharers for parts, need in zip(each, needs, strict=True))
        and processes * 4.0 <= host.host_gib
        and processes <= host.cores
    )


@settings(max_examples=200)
@given(served)
def test_servers_of_several_models_are_packed_as_cheaply_as_can_be(drawn):
    """The price is the least over all groups, each with its servers joined or not; whoever fits alone has a seat."""
    tenants = on_servers(drawn)
    found = pack_shared(tenants, [ROOMY])
    placed = [one for one in tenants if one.name not in found.unplaced]
    fewest = math.inf
    for labels in product(range(len(placed)), repeat=len(placed)):
        groups = [[one for one, to in zip(placed, labels, strict=True) if to == label] for label in set(labels)]
        if all(any(fits(group, ROOMY, in_servers=way) for way in (True, False)) for group in groups):
            fewest = min(fewest, len(groups))

    assert found.usd_per_hour == pytest.approx(ROOMY.usd_per_hour * fewest if placed else 0.0)
    assert found.gap_ratio == 0.0
    assert all(not fits([one], ROOMY, in_servers=False) for one in tenants if one.name in found.unplaced)


@settings(max_examples=100)
@given(served, st.lists(st.floats(0.1, 2.0), min_size=5, max_size=5))
def test_one_more_model_of_a_server_never_costs_more_than_alone(drawn, prices):
    """Adding a tenant adds at most its own price, whatever server it is of; one server more never costs more than none."""
    tenants = [replace(one, own_usd_per_hour=usd) for one, usd in zip(on_servers(drawn), prices, strict=False)]
    apart = [
        replace(one, needs={seat: replace(need, server="", server_gib=0.0) for seat, need in one.needs.items()})
        for one in tenants
    ]
    usd = pack_shared(tenants, [ROOMY]).usd_per_hour

    assert usd <= pack_shared(apart, [ROOMY]).usd_per_hour + 1e-9
    for at, one in enumerate(tenants):
        others = pack_shared([*tenants[:at], *tenants[at + 1 :]], [ROOMY]).usd_per_hour
        assert usd <= others + one.own_usd_per_hour + 1e-9


def test_one_server_takes_its_memory_and_its_pod_once():
    """Four models of 6 GiB, of which 1.5 are the server's, fit 20 GiB and a machine with room for three pods."""
    four = on_servers([(6.0, 0.1, 4, "a")] * 4)
    found = pack_shared(four, [replace(ROOMY, memory_gib=19.5)])

    assert found.instances == {"small": 1}
    (group,) = found.groups
    assert group.servers == (("t0", "t1", "t2", "t3"),)
    assert group.memory_gib == pytest.approx(1.5 + 4 * 4.5)
    assert pack_shared(four, [replace(ROOMY, memory_gib=19.0)]).instances == {"small": 2}
    assert pack_shared(on_servers([(6.0, 0.1, 4, "")] * 4), [ROOMY]).instances == {"small": 2}


def test_models_of_a_server_share_the_part_of_their_process():
    """Two models of one server beside another process have a quarter of the time each, and the other has half."""
    pair, other = [(2.0, 0.1, 4, "a")] * 2, (2.0, 0.1, 2, "")
    found = pack_shared(on_servers([*pair, other]), [ROOMY])

    assert found.groups[0].servers == (("t0", "t1"),)
    quicker = pack_shared(on_servers([*[(2.0, 0.1, 3, "a")] * 2, other]), [ROOMY])
    assert quicker.instances == {"small": 2}
    apart = pack_shared(on_servers([*[(2.0, 0.1, 3, "a")] * 2, (2.0, 0.1, 3, "")]), [ROOMY])
    assert (apart.instances, apart.groups[0].servers) == ({"small": 1}, ())


@settings(max_examples=60)
@given(st.lists(st.tuples(needs, st.integers(0, 8), st.booleans()), max_size=30))
def test_every_group_keeps_the_rules_and_nobody_is_lost(drawn):
    """Whatever the crowd: each tenant is in one group or left out, each group is allowed, and sharing never costs more than not sharing."""
    tenants = crowd(drawn)
    hosts = {host.name: host for host in (BIG, SMALL)}
    found = pack_shared(tenants, list(hosts.values()))
    by_name = {one.name: one for one in tenants}
    seated = [name for group in found.groups for name in group.tenants]

    assert sorted([*seated, *found.unplaced]) == sorted(by_name)
    for group in found.groups:
        host = hosts[group.host]
        part = next((one for one in host.slices if one.name == group.slice), None)
        assert allowed([by_name[name] for name in group.tenants], host, part, 1 - HEADROOM + 1e-6)
    apart = sum(pack_shared([by_name[name]], list(hosts.values())).usd_per_hour for name in seated)
    assert found.bound_usd_per_hour <= found.usd_per_hour + 1e-9
    assert found.usd_per_hour <= apart + 1e-9


OWN = st.floats(0.1, 5.0)


def with_own(drawn, prices):
    """Tenants of drawn sizes that may stay on machines of their own."""
    return [replace(one, own_usd_per_hour=usd) for one, usd in zip(crowd(drawn), prices, strict=False)]


@settings(max_examples=100)
@given(crowds, st.lists(OWN, min_size=5, max_size=5))
def test_whoever_may_stay_alone_is_packed_as_cheaply_as_any_choice_of_guests(drawn, prices):
    """The price is the least over all groups of two or more, with everyone else on its own machines; it is proven."""
    tenants = with_own(drawn, prices)
    found = pack_shared(tenants, [BIG, SMALL])
    own = {one.name: one.own_usd_per_hour for one in tenants}
    best = math.inf
    for stays in product((True, False), repeat=len(tenants)):
        guests = [one for one, alone in zip(tenants, stays, strict=True) if not alone]
        alone_usd = sum(own[one.name] for one, alone in zip(tenants, stays, strict=True) if alone)
        best = min(best, alone_usd + (cheapest(guests, [BIG, SMALL], fewest=2) if guests else 0.0))

    assert found.usd_per_hour == pytest.approx(best if tenants else 0.0)
    assert found.gap_ratio == 0.0
    seated = [name for group in found.groups for name in group.tenants]
    assert sorted([*seated, *found.own]) == sorted(own)
    assert found.unplaced == ()
    assert all(len(group.tenants) > 1 for group in found.groups)


@settings(max_examples=100)
@given(crowds, st.lists(OWN, min_size=5, max_size=5))
def test_one_more_never_costs_more_than_alone_and_one_machine_less_never_saves(drawn, prices):
    """Adding a tenant adds at most its own price; without a host, what is left is no cheaper."""
    tenants = with_own(drawn, prices)
    usd = pack_shared(tenants, [BIG, SMALL]).usd_per_hour

    for at, one in enumerate(tenants):
        others = pack_shared([*tenants[:at], *tenants[at + 1 :]], [BIG, SMALL]).usd_per_hour
        assert usd <= others + one.own_usd_per_hour + 1e-9
    for host in (BIG, SMALL):
        assert usd <= pack_shared(tenants, [host]).usd_per_hour + 1e-9


def test_memory_of_one_and_time_of_the_other_fit_on_one_accelerator():
    """Two that take most of different resources share one: no bound says that they would need two."""
    needs = {"heavy": Need(14.0, 0.1), "busy": Need(2.0, 0.7)}
    tenants = [Tenant(name, {("small", ""): need}) for name, need in needs.items()]

    found = pack_shared(tenants, [SMALL])

    assert (found.usd_per_hour, found.bound_usd_per_hour) == (0.8, 0.8)


def test_seats_pay_for_what_they_keep_on_the_disk():
    """Images once for each accelerator, weights for each; a tenant whose own machine costs less than that stays there."""
    host = replace(SMALL, image_usd_per_hour=0.1)
    need = Need(5.0, 0.1, usd_per_hour=0.05)
    images = {"a": "vLLM", "b": "vLLM", "c": "TEI"}
    tenants = [Tenant(name, {("small", ""): replace(need, image=image)}) for name, image in images.items()]
    cheap = [replace(one, own_usd_per_hour=0.14 if one.name == "c" else 9.0) for one in tenants]

    assert pack_shared(tenants, [host]).usd_per_hour == pytest.approx(0.8 + 2 * 0.1 + 3 * 0.05)
    found = pack_shared(cheap, [host])
    assert found.own == ("c",)
    assert found.usd_per_hour == pytest.approx(0.8 + 0.1 + 2 * 0.05 + 0.14)


@settings(max_examples=40)
@given(crowds)
def test_order_does_not_matter(drawn):
    """The same tenants the other way round sit the same way."""
    tenants = crowd(drawn)

    assert pack_shared(tenants, [BIG, SMALL]).groups == pack_shared(tenants[::-1], [BIG, SMALL]).groups


def mixed(count, seed):
    """Models of all sizes, each of which may stay on a machine of its own."""
    draw = random.Random(seed)
    return [
        tenant(
            f"{seed}-{at}",
            memory_gib=draw.choice([2.0, 3.0, 5.0, 7.0, 9.0, 14.0]),
            busy_ratio=draw.choice([0.05, 0.1, 0.2, 0.4, 0.6]),
            most_sharers=draw.randint(2, 8),
            own_usd_per_hour=draw.choice([0.6, 0.8, 0.9]),
        )
        for at in range(count)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_many_together_cost_no_more_than_in_two_halves(seed):
    """Each half is packed for the least price, which is proven; together first-fit alone cost up to a tenth more."""
    halves = [mixed(12, seed), mixed(12, seed + 100)]
    apart = [pack_shared(half, [BIG, SMALL]) for half in halves]
    together = pack_shared([*halves[0], *halves[1]], [BIG, SMALL])
    seated = [name for group in together.groups for name in group.tenants]

    assert [packing.gap_ratio for packing in apart] == [0.0, 0.0]
    assert together.usd_per_hour <= sum(packing.usd_per_hour for packing in apart) + 1e-9
    assert sorted([*seated, *together.own]) == sorted(one.name for half in halves for one in half)
    assert together == pack_shared([*halves[0], *halves[1]], [BIG, SMALL])


SIZES = [
    Host(f"{kind}-{cores}", round(usd * (1 + cores / 30), 2), 20.0, cores=float(cores))
    for kind, usd in (("l4", 0.7), ("a10g", 0.9), ("t4", 0.8), ("a10", 0.75), ("l40s", 1.0))
    for cores in (3, 6, 12)
]
"""Each kind of accelerator in three sizes of the machine."""


def of_sizes(count, seed):
    """Models of all sizes, each a pod of one core, a bit slower on one kind of accelerator than on another."""
    draw = random.Random(seed)
    crowd = []
    for at in range(count):
        memory_gib, busy, most = (
            draw.choice([2.0, 4.0, 6.0, 9.0]),
            draw.choice([0.05, 0.1, 0.2, 0.4]),
            draw.randint(2, 6),
        )
        needs = {(host.name, ""): Need(memory_gib, busy * draw.uniform(0.8, 1.2), most, cores=1.0) for host in SIZES}
        crowd.append(Tenant(f"{seed}-{at}", needs, own_usd_per_hour=draw.choice([0.9, 1.1])))
    return crowd


@pytest.mark.parametrize(("count", "seed"), [(16, 0), (16, 1), (22, 0), (22, 1), (40, 0)])
def test_no_group_keeps_a_dearer_machine_than_it_needs(count, seed):
    """Each group of many costs what its tenants cost at the least as a crowd of their own, which is proven."""
    tenants = of_sizes(count, seed)
    by_name, prices = {one.name: one for one in tenants}, {host.name: host.usd_per_hour for host in SIZES}

    for group in pack_shared(tenants, SIZES).groups:
        alone = pack_shared([replace(by_name[name], own_usd_per_hour=math.inf) for name in group.tenants], SIZES)
        assert alone.gap_ratio == 0.0
        assert prices[group.host] <= alone.usd_per_hour + 1e-9


def test_a_search_that_is_cut_short_is_not_proven_and_takes_what_many_orders_find(monkeypatch):
    """Tenants whose search ends at once are packed as cheaply as by the covering program, with the gap to the bound."""
    tenants = of_sizes(12, 0)
    proven = pack_shared(tenants, SIZES)
    monkeypatch.setattr(sharing, "EXACT_TENANTS", 0)
    combined = pack_shared(tenants, SIZES)
    monkeypatch.setattr(sharing, "EXACT_TENANTS", 16)
    monkeypatch.setattr(sharing, "MAX_NODES", 1)
    cut = pack_shared(tenants, SIZES)

    assert cut.usd_per_hour <= combined.usd_per_hour + 1e-9
    assert proven.usd_per_hour <= cut.usd_per_hour + 1e-9
    assert cut.bound_usd_per_hour <= proven.usd_per_hour + 1e-9
    assert cut.gap_ratio == pytest.approx(1 - cut.bound_usd_per_hour / cut.usd_per_hour)
    assert cut.gap_ratio > 0
