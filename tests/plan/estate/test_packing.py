"""Small workloads on shared machines."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.performance import Interval
from advisor.plan.estate.packing import SharedMachine, SharedPacking, SlotTenant, share_machines
from advisor.plan.estate.seats import Seat
from advisor.plan.estate.slots import Seating, Slot, copies_of
from advisor.plan.problem.formulas import Part, share_without
from advisor.plan.tenants import Need
from advisor.workload.values import Limits, Survive

STAND = "azure/eastus/Standard_NC24ads_A100_v4"
QUOTA = "azure/eastus/A100"
HOURS = 730


def slot_tenant(
    name, usd, *, copies=1, busy=0.5, type_in_region=STAND, price=3.5, slots=7, quotas=(), part="mig-1g.10gb", most=1
) -> SlotTenant:
    """A workload that fits a slice, or takes turns."""
    usable, need = (9.0, Need(6.0, busy)) if part else (80.0, Need(6.0, busy, most))
    slot = Slot(
        type_in_region, part, price, 1, slots, usable, need, tuple(quotas), seat(name, type_in_region, part, busy)
    )
    return SlotTenant(name, usd, Seating(copies, (slot,)))


def seat(name, type_in_region, part, busy) -> Seat:
    """Its seat, with weights of 16 GiB."""
    provider, region, machine = type_in_region.split("/")
    return Seat(
        provider=provider, region=region, instance_type=machine, accelerator="A100", accelerator_count=1.0,
        partition=part, replicas_per_instance=1, tensor_parallel=1, pipeline_parallel=1, precision="fp8",
        kv_precision="auto", engine="vLLM", engine_version="", context_tokens=4096, max_concurrency=8,
        memory_utilization=0.9, weights_gib=6.0, checkpoint_gib=16.0, loading_gib=6.0, purchase="on_demand", workload=name,
        planned_requests_per_second_per_instance=busy, requests_per_second_per_replica=Interval(1.0, 0.8, 1.2),
        evidence="roofline", busy_ratio=busy, memory_gib=6.0, usable_gib=9.0, most_sharers=None,
        instance_usd_per_hour=3.5, price_source="", price_as_of="", price_quality="",
    )  # fmt: skip


def free(_stand, _disk_gib) -> float:
    """Disks that cost nothing."""
    return 0.0


def machines_of(*args) -> tuple[SharedMachine, ...]:
    """Machines that some share."""
    return share_machines(*args).machines


def test_seven_slices_cost_less_than_seven_machines():
    """Workloads whose own fleets cost more together than the machine share it; the saving is the difference."""
    slot_tenants = [slot_tenant(f"w{at}", 588.0) for at in range(7)]

    (machine,) = machines_of(slot_tenants, {}, {}, free)

    assert sorted(machine.workloads) == [f"w{at}" for at in range(7)]
    assert machine.usd_per_month == 3.5 * HOURS
    assert machine.alone_usd_per_month == 7 * 588
    assert [one.workload for one in machine.seats] == list(machine.workloads)


def test_a_machine_keeps_the_weights_of_all_on_its_disk():
    """Each of both copies has a disk for one image and seven times 16 GiB; where that eats the saving, nobody moves.

    100 GiB of system, 40 of the image that all run, and 20 GiB of weights and 16 of what else each keeps there.
    """
    slot_tenants = [slot_tenant(f"w{at}", 1000.0, copies=2) for at in range(7)]
    asked = []

    def a_dollar_a_gib(type_in_region, disk_gib):
        asked.append((type_in_region, disk_gib))
        return disk_gib

    (machine,) = machines_of(slot_tenants, {}, {}, a_dollar_a_gib)

    assert machine.usd_per_month == 2 * (3.5 * HOURS + 392)
    assert asked[-1] == (STAND, 392)
    assert machine.disk_gib == 392
    assert machines_of(slot_tenants, {}, {}, lambda *_: 950.0) == ()


def test_too_few_to_fill_a_machine_stay_alone():
    """Nobody moves where the machine costs more than the fleets that it replaces."""
    assert machines_of([slot_tenant("a", 588.0), slot_tenant("b", 588.0)], {}, {}, free) == ()


def beside(tenant, own, there):
    """The workload with what it pays beside its own fleet and beside a shared machine."""
    slots = tuple(replace(slot, beside_usd_per_month=there) for slot in tenant.seating.slots)
    return replace(tenant, beside_usd_per_month=own, seating=replace(tenant.seating, slots=slots))


def test_whoever_moves_pays_what_stands_beside_the_machine():
    """Seven save 1,561 USD on one machine: no longer once each pays 230 more in its region; 230 less is a reason to go."""
    seven = [slot_tenant(f"w{at}", 588.0) for at in range(7)]

    assert len(machines_of([beside(tenant, 20.0, 240.0) for tenant in seven], {}, {}, free)) == 1
    assert machines_of([beside(tenant, 20.0, 250.0) for tenant in seven], {}, {}, free) == ()
    assert machines_of([beside(tenant, 0.0, 0.0) for tenant in seven[:4]], {}, {}, free) == ()
    assert len(machines_of([beside(tenant, 250.0, 20.0) for tenant in seven[:4]], {}, {}, free)) == 1


def test_what_stands_beside_is_paid_for_once_by_workloads_of_two_copies():
    """The charges of a workload are those of all its copies."""
    seven = [slot_tenant(f"w{at}", 1176.0, copies=2) for at in range(7)]

    assert len(machines_of([beside(tenant, 20.0, 460.0) for tenant in seven], {}, {}, free)) == 1
    assert machines_of([beside(tenant, 20.0, 470.0) for tenant in seven], {}, {}, free) == ()


def test_the_gap_of_a_packing_is_stated():
    """Zero where it is proven, nothing where no two could meet; what quotas leave out counts as what could be saved."""
    seven = [slot_tenant(f"w{at}", 588.0, quotas=[(QUOTA, 24.0)]) for at in range(7)]

    assert share_machines(seven, {QUOTA: 24.0}, {}, free).gap_ratio == 0.0
    assert share_machines(seven[:1], {QUOTA: 24.0}, {}, free) == SharedPacking((), None)
    without_room = share_machines(seven, {QUOTA: 10.0}, {}, free)
    assert without_room.machines == ()
    assert without_room.gap_ratio == pytest.approx((7 * 588 - 3.5 * HOURS) / (7 * 588))


def test_the_gap_of_many_is_that_to_their_bound():
    """Twenty in turns of whom no search proves anything cost at most so much more than they could."""
    draw = random.Random(0)
    many = [
        slot_tenant(f"w{at}", draw.uniform(900, 2000), busy=draw.uniform(0.1, 0.5), part="", most=3) for at in range(20)
    ]

    packing = share_machines(many, {}, {}, free)

    usd = sum(machine.usd_per_month - machine.alone_usd_per_month for machine in packing.machines)
    usd += sum(tenant.usd_per_month for tenant in many)
    least = sum(min(tenant.usd_per_month, 3.5 * HOURS * tenant.seating.slots[0].need.busy_ratio) for tenant in many)
    assert 0 < packing.gap_ratio < 0.5
    assert least - 0.1 <= usd * (1 - packing.gap_ratio) < usd


def test_one_that_does_not_fit_in_stays_on_its_own_fleet():
    """Three share a machine that a fourth, which would force a second one on them, does not take from them."""
    three = [slot_tenant(f"w{at}", 1000.0, busy=0.1, part="", most=3) for at in range(3)]
    fourth = slot_tenant("w3", 1000.0, busy=0.8, part="", most=1)

    (machine,) = machines_of([*three, fourth], {}, {}, free)

    assert sorted(machine.workloads) == ["w0", "w1", "w2"]


def test_copies_are_machines_of_their_own():
    """Workloads with two copies sit on two machines, and only with others that have two."""
    slot_tenants = [slot_tenant(f"two{at}", 1200.0, copies=2) for at in range(7)] + [slot_tenant("one", 588.0)]

    (machine,) = machines_of(slot_tenants, {}, {}, free)

    assert machine.copies == 2
    assert machine.usd_per_month == 2 * 3.5 * HOURS
    assert "one" not in machine.workloads


@pytest.mark.parametrize(
    ("limits", "count", "zones", "carrying"),
    [
        (Limits(), 1, 1, 1),
        (Limits(min_replicas=2), 2, 1, 1),
        (Limits(min_replicas=2, survive=Survive.NOTHING), 2, 1, 2),
        (Limits(min_replicas=3, zones=3), 3, 3, 2),
        (Limits(min_replicas=4, zones=2, survive=Survive.ZONE), 4, 2, 2),
        (Limits(survive=Survive.ZONE), 2, 2, 1),
    ],
)
def test_copies_leave_what_the_limits_ask_for(limits, count, zones, carrying):
    """As many copies as replicas, zones and failures ask for; each sustains enough for the others to carry the load."""
    copies = copies_of(limits)

    assert (copies.count, copies.zones, copies.carrying) == (count, zones, pytest.approx(carrying))


any_limits = st.builds(
    Limits, min_replicas=st.integers(1, 7), zones=st.integers(1, 4), survive=st.sampled_from([None, *Survive])
)


@given(any_limits)
def test_copies_keep_to_the_rule_of_fleets(limits):
    """Without one copy, and without one zone, the rest sustains the share of the load that a fleet would have to."""
    copies = copies_of(limits)
    each = 1 / copies.carrying
    in_a_zone = math.ceil(copies.count / copies.zones)

    assert copies.count * each >= 1 - 1e-9
    assert (copies.count - 1) * each >= share_without(limits, Part.MACHINE) - 1e-9
    assert (copies.count - in_a_zone) * each >= share_without(limits, Part.ZONE) - 1e-9


def test_a_quota_without_room_keeps_them_apart():
    """A shared machine takes units of a quota; those that its workloads give back count."""
    slot_tenants = [slot_tenant(f"w{at}", 588.0, quotas=[(QUOTA, 24.0)]) for at in range(7)]
    freed = {f"w{at}": {QUOTA: 4.0} for at in range(7)}

    assert machines_of(slot_tenants, {QUOTA: 10.0}, {}, free) == ()
    assert len(machines_of(slot_tenants, {QUOTA: 10.0}, freed, free)) == 1


def test_seats_that_no_replay_confirms_are_given_up():
    """A slice on which a replay does not hold is taken by nobody; the others share the machine without it."""
    slot_tenants = [slot_tenant(f"w{at}", 588.0) for at in range(7)]

    (machine,) = machines_of(slot_tenants, {}, {}, free, lambda seat, _: None if seat.workload == "w3" else 0.995)

    assert sorted(machine.workloads) == [f"w{at}" for at in range(7) if at != 3]
    assert {one.within_slo_ratio for one in machine.seats} == {0.995}
    assert machines_of(slot_tenants, {}, {}, free, lambda *_: None) == ()


def test_turns_that_no_replay_confirms_are_taken_among_fewer():
    """Four that hold among two only sit by twos, and each replay is asked with as many as sit there."""
    in_turns = [slot_tenant(f"w{at}", 2000.0, busy=0.1, part="", most=4) for at in range(4)]
    asked = []

    def among_two(_seat, sharers):
        asked.append(sharers)
        return 0.995 if sharers <= 2 else None

    machines = machines_of(in_turns, {}, {}, free, among_two)

    assert sorted(len(machine.workloads) for machine in machines) == [2, 2]
    assert set(asked) == {4, 3, 2}
    assert len(machines_of(in_turns, {}, {}, free)) == 1


TRITON = "nvcr.io/nvidia/tritonserver:26.08"


def of_server(name, usd, *, most=8, server=TRITON, memory_gib=6.0, cores=4.0, engine="Triton (TensorRT)"):
    """A workload in turns whose server may hold the models of others: 1 GiB of its memory is the server's."""
    tenant = slot_tenant(name, usd, busy=0.05, part="", most=most)
    (slot,) = tenant.seating.slots
    need = Need(memory_gib, 0.05, most, host_gib=4.0, cores=1.0, server=server, server_gib=1.0 if server else 0.0)
    kept = replace(slot.seat, engine=engine, server=server, server_gib=1.0 if server else 0.0, memory_gib=memory_gib)
    slots = (replace(slot, need=need, seat=kept, memory_gib=80.0, host_gib=100.0, cores=cores),)
    return replace(tenant, seating=replace(tenant.seating, slots=slots))


def test_models_of_one_server_are_one_pod():
    """Six models fit a machine with room for four pods, since they are one; each has a sixth of the time."""
    asked = []

    def confirm(_seat, parts):
        asked.append(parts)
        return 0.995

    (machine,) = machines_of([of_server(f"w{at}", 900.0) for at in range(6)], {}, {}, free, confirm)

    assert machine.servers == (machine.workloads,)
    assert (len(machine.workloads), machine.most_pods) == (6, 1)
    assert set(asked) == {6}
    apart = machines_of([of_server(f"w{at}", 900.0, server="") for at in range(6)], {}, {}, free)
    assert max(len(machine.workloads) for machine in apart) == 4
    assert all(machine.servers == () for machine in apart)


def test_a_server_beside_another_pod_divides_its_part():
    """Two models of a server and a model of another engine: two pods, and a quarter of the time for each of the two."""
    asked = {}

    def confirm(seat, parts):
        asked[seat.workload] = parts
        return 0.995

    tenants = [*(of_server(f"w{at}", 2000.0) for at in range(2)), of_server("x", 2000.0, server="", engine="vLLM")]
    (machine,) = machines_of(tenants, {}, {}, free, confirm)

    assert machine.servers == (("w0", "w1"),)
    assert machine.most_pods == 2
    assert asked == {"w0": 4, "w1": 4, "x": 2}


def test_backends_of_one_server_keep_one_image_on_the_disk():
    """TensorRT and FIL are backends of one image; another engine has its own."""
    asked = []

    def a_dollar_a_gib(_stand, disk_gib):
        asked.append(disk_gib)
        return disk_gib

    engines = ("Triton (TensorRT)", "Triton (FIL)")
    machines_of([of_server(engine, 3000.0, engine=engine) for engine in engines], {}, {}, a_dollar_a_gib)
    one_image = asked[-1]
    tenants = [of_server(name, 3000.0, server="", engine=name) for name in ("vLLM", "TEI")]
    machines_of(tenants, {}, {}, a_dollar_a_gib)

    assert asked[-1] - one_image == 40


def test_models_of_a_server_that_no_replay_confirms_sit_among_fewer():
    """Four that hold on half of the time only are two servers of two."""
    tenants = [of_server(f"w{at}", 3000.0) for at in range(4)]

    machines = machines_of(tenants, {}, {}, free, lambda _seat, parts: 0.995 if parts <= 2 else None)

    assert sorted(len(machine.servers[0]) for machine in machines) == [2, 2]


server_tenants = st.lists(
    st.tuples(st.floats(100, 3000), st.integers(1, 8), st.sampled_from(["", TRITON]), st.floats(2, 40)), max_size=8
)


@given(server_tenants)
def test_one_more_model_of_a_server_never_costs_more_than_its_own_fleet(drawn):
    """What all save together is no less than what they save without any one of them."""
    everyone = [
        of_server(f"w{at}", usd, most=most, server=server, memory_gib=memory_gib)
        for at, (usd, most, server, memory_gib) in enumerate(drawn)
    ]

    def saved(tenants):
        machines = machines_of(tenants, {}, {}, free)
        return sum(machine.alone_usd_per_month - machine.usd_per_month for machine in machines)

    for at in range(len(everyone)):
        assert saved(everyone) >= saved([*everyone[:at], *everyone[at + 1 :]]) - 0.1


slot_tenants = st.lists(
    st.tuples(
        st.floats(100, 2000), st.integers(1, 2), st.floats(0.05, 1.0), st.sampled_from([STAND, "aws/us-east-1/p4d"]),
    ),
    max_size=12,
)  # fmt: skip


@given(slot_tenants)
def test_one_more_workload_never_costs_more_than_its_own_fleet(drawn):
    """What all save together is no less than what they save without any one of them."""
    everyone = [
        slot_tenant(f"w{at}", usd, copies=copies, busy=busy, type_in_region=type_in_region)
        for at, (usd, copies, busy, type_in_region) in enumerate(drawn)
    ]

    def saved(tenants):
        machines = machines_of(tenants, {}, {}, free)
        return sum(machine.alone_usd_per_month - machine.usd_per_month for machine in machines)

    for at in range(len(everyone)):
        assert saved(everyone) >= saved([*everyone[:at], *everyone[at + 1 :]]) - 0.1


@given(slot_tenants)
def test_sharing_never_costs_more_and_seats_nobody_twice(drawn):
    """Every shared machine costs less than the fleets of its workloads, which are on no other."""
    everyone = [
        slot_tenant(f"w{at}", usd, copies=copies, busy=busy, type_in_region=type_in_region)
        for at, (usd, copies, busy, type_in_region) in enumerate(drawn)
    ]

    machines = machines_of(everyone, {}, {}, free)

    seated = [name for machine in machines for name in machine.workloads]
    costs = {one.name: one.usd_per_month for one in everyone}
    assert len(seated) == len(set(seated))
    assert machines == machines_of(reversed(everyone), {}, {}, free)
    for machine in machines:
        assert machine.usd_per_month < sum(costs[name] for name in machine.workloads)
        assert all(len(group) <= 7 for group in machine.accelerators)
