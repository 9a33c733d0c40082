"""Groups in Google Cloud's words: machines, quotas, ways to buy, and schedules as windows of an autoscaler."""

import dataclasses
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.deployment import GENERATED
from advisor.catalog.values import Purchase
from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import read_hcl
from advisor.codegen.platforms import machine_of, platform_of
from advisor.codegen.pricing.code import terraform_data
from advisor.codegen.selection import choose, of_fleet, scheduled_sizes
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets.gcp_values import capacities, google_groups, windows_of
from advisor.errors import InputError, NotDeployable
from advisor.units import HOURS_PER_WEEK
from codegen.plans import NIGHTS_AND_WEEKENDS, make_fleet_plan, make_group, make_option, make_plan

WEEK_SECONDS = 7 * 24 * 3600


def option(instance_type, **changes):
    """An option on Google Cloud."""
    return make_option(provider="gcp", region="us-central1", instance_type=instance_type, **changes)


def google_group(instance_type, **changes):
    """The group of a plan of one option."""
    plan = make_plan(option(instance_type, **changes))
    (stack,) = stacks_of(plan, choose(plan, Wanted(rank=1), lambda _: None), Wanted())
    (group,) = google_groups(stack)
    return group


@pytest.mark.parametrize(
    ("instance_type", "machine_type", "accelerator_type", "attached"),
    [
        ("g2-standard-4", "g2-standard-4", "nvidia-l4", 0),
        ("n1-standard-32+4xT4", "n1-standard-32", "nvidia-tesla-t4", 4),
        ("a3-ultragpu-8g-nolssd", "a3-ultragpu-8g-nolssd", "nvidia-h200-141gb", 0),
        ("ct6e-standard-8t", "ct6e-standard-8t", "tpu-v6e-slice", 0),
    ],
)
def test_catalog_type_becomes_a_machine_and_what_is_attached(instance_type, machine_type, accelerator_type, attached):
    """Only an N1 machine has its GPUs attached."""
    machine = machine_of(instance_type)
    assert (machine.machine_type, machine.family.accelerator_type, machine.attached) == (
        machine_type,
        accelerator_type,
        attached,
    )


@pytest.mark.parametrize(
    ("instance_type", "purchase", "code"),
    [
        ("g2-standard-4", "on_demand", "NVIDIA-L4-GPUS-per-project-region"),
        ("g2-standard-4", "spot", "PREEMPTIBLE-NVIDIA-L4-GPUS-per-project-region"),
        ("g4-standard-48", "on_demand", "GPUS-PER-GPU-FAMILY-per-project-region"),
        ("g4-standard-48", "spot", "PREEMPTIBLE-NVIDIA-RTX-PRO-6000-GPUS-per-project-region"),
        ("ct6e-standard-1t", "on_demand", "TPUS-PER-TPU-FAMILY-per-project-region"),
        ("ct6e-standard-1t", "spot", "PREEMPTIBLE-TPU-V6E-per-project-region"),
    ],
)
def test_quota_has_the_name_of_cloud_quotas(instance_type, purchase, code):
    """Spot has a quota of its own."""
    assert platform_of(option(instance_type, purchase=purchase)).quota.code == code


@pytest.mark.parametrize("purchase", ["on_demand", "spot"])
def test_a_plan_names_the_quota_that_its_code_asks_for(purchase):
    """Each machine that code starts has the limit of one name in the verdict and in the README."""
    catalog, codes, named = load_catalog(), {}, {}
    for (provider, name), machine in catalog.instance_types.items():
        support = catalog.deployment.support(provider, name)
        with suppress(NotDeployable):
            if provider == "gcp" and support is not None and support.status == GENERATED:
                asked = platform_of(option(name, purchase=purchase)).quota
                codes[name] = asked.name.split(" of ")[0], asked.code
                quota = catalog.quota(machine, Purchase(purchase))
                named[name] = quota and (quota.name, f"{quota.name.replace('_', '-')}-per-project-region")

    assert len(codes) > 20
    assert named == codes


@pytest.mark.parametrize(
    ("instance_type", "changes", "reason"),
    [
        ("a4x-highgpu-4g", {}, "NVLink domain"),
        ("n1-standard-8+1xP4", {}, "compute capability"),
        ("n1-standard-8+1xV100", {}, "Turing"),
        ("g4-standard-6", {"accelerator_count": 0.125}, "vGPU driver"),
        ("a3-highgpu-1g", {"purchase": "on_demand"}, "spot only"),
        ("g2.standard", {}, "not a machine type"),
    ],
)
def test_machine_that_cannot_serve_is_refused_with_the_reason(instance_type, changes, reason):
    """The message names the type and says why."""
    with pytest.raises(InputError, match=reason):
        platform_of(option(instance_type, **changes))


def test_machine_that_starts_from_a_reservation_only_says_so():
    """H200 is sold as spot or by reservation."""
    assert google_group("a3-ultragpu-8g").provisioning_model == "RESERVATION_BOUND"
    assert google_group("a3-ultragpu-8g", purchase="spot").provisioning_model == "SPOT"
    assert google_group("g2-standard-4").provisioning_model == "STANDARD"


def test_repair_waits_until_the_model_answers_or_does_not_happen():
    """Repair can wait for an hour at most: what may start for longer is not repaired in the middle of its start."""
    assert google_group("g2-standard-4").heals
    large = google_group("a3-highgpu-8g", weights_gib=376.3)
    assert (large.heals, large.warmup_seconds) == (False, 3600)
    assert not google_group("g2-standard-4", weights_gib=100).heals  # 1900 s, and 3800 for a slow one


@pytest.mark.parametrize(
    ("instance_type", "changes", "target", "reason"),
    [
        (
            "ct5lp-hightpu-4t",
            {"accelerator_count": 4.0, "tensor_parallel": 4},
            "tpu-vm",
            "starts no TPU v5e: Google offers it in GKE",
        ),
        ("ct6e-standard-4t", {"accelerator_count": 16.0, "tensor_parallel": 16}, "", "one of several hosts of a slice"),
        ("g2-standard-4", {"engine": "tensorrt-llm", "accelerator": "L4"}, "mig", "speaks plain HTTP only"),
    ],
)
def test_hosts_that_cannot_serve_are_refused_with_the_reason(instance_type, changes, target, reason):
    """TPUs that Compute Engine does not start by themselves, and engines without TLS."""
    plan = make_plan(option(instance_type, **({"accelerator": "TPU-v6e"} | changes)))
    with pytest.raises(InputError, match=reason):
        generate(plan, Language.TERRAFORM, Wanted(rank=1, target=target))


@pytest.mark.parametrize(
    ("instance_type", "changes"),
    [
        ("ct5lp-hightpu-4t", {"accelerator": "TPU-v5e", "accelerator_count": 4.0, "tensor_parallel": 4}),
        ("g2-standard-4", {"engine": "tensorrt-llm"}),
    ],
)
def test_what_hosts_cannot_serve_is_generated_for_a_cluster(instance_type, changes):
    """GKE is the default where it alone can serve what was planned."""
    plan = make_plan(option(instance_type, **changes))
    assert generate(plan, Language.TERRAFORM).targets == ("gke",)


PLACE = {"provider": "gcp", "region": "us-central1"}
RESTING = make_group(**PLACE, instance_type="g2-standard-4", instances=(0, 2))


@pytest.mark.parametrize(
    "others",
    [
        (),
        (make_group(**PLACE, instance_type="a2-highgpu-1g", accelerator="A100-40GB-SXM", instances=(0, 1)),),
        (make_group(**PLACE | {"region": "us-east1"}, instance_type="g2-standard-4", instances=(1, 1)),),
        (make_group(provider="azure", region="eastus", instance_type="Standard_NC40ads_H100_v5", instances=(1, 1)),),
        (make_group(**PLACE, instance_type="Cloud Run L4", purchase="serverless", instances=(3, 0)),),
    ],
    ids=["nobody", "likewise", "elsewhere", "another cloud", "a service"],
)
def test_groups_of_hosts_rest_in_the_hours_in_which_the_plan_has_none(others):
    """Whoever else serves meanwhile, also where that is nobody in the region."""
    plan = make_fleet_plan(RESTING, *others)
    generated = generate(plan, Language.TERRAFORM)
    hosts = [target for target in generated.targets if target in ("mig", "gke", "tpu-vm")]
    fleet = next(text for path, text in generated.files.items() if path.endswith("fleet.tf") and "machine_type" in text)
    groups = terraform_data([read_hcl(fleet, "fleet.tf")])["groups"]
    planned = {
        (group.region, group.instance_type): [group.instances[hour] for hour in plan.fleet.schedule]
        for group in plan.fleet.groups
        if group.provider == "gcp" and group.purchase != "serverless"
    }

    assert hosts == ["mig"]
    assert {(group["region"], group["machine_type"]) for group in groups.values()} == planned.keys()
    for group in groups.values():
        assert kept_each_hour(group) == planned[group["region"], group["machine_type"]]


def kept_each_hour(group):
    """Instances that Google's autoscaler keeps at the start of each hour of the week: the largest open window, else the least number.

    The signal beside the windows adds none: idle hosts were removed ten minutes after a window (scale_ins.csv).
    """
    kept = []
    for hour in range(HOURS_PER_WEEK):
        sizes = [group["min_instances"]]
        for window in group["windows"].values():
            minute, start, _, _, days = window["cron"].split()
            for day in days.split(","):
                opened = (int(day) - 1) * 24 * 60 + int(start) * 60 + int(minute)
                if (hour * 60 - opened) % (HOURS_PER_WEEK * 60) < window["duration_seconds"] / 60:
                    sizes.append(window["instances"])
        kept.append(max(sizes))
    return kept


@pytest.mark.parametrize("language", list(Language))
def test_the_signal_of_an_autoscaler_adds_no_instance(language):
    """Google wants a signal beside windows, and takes 60 percent of the processor where none is named."""
    code = "".join(generate(make_fleet_plan(RESTING), language).files.values())
    assert re.search(r"cpu_utilization\b.{0,40}\btarget\W+1\b", code, re.DOTALL)


def test_backends_of_a_region_may_be_empty_while_another_answers():
    """A load balancer over all backends of a region sends an empty one nothing: it keeps no instance beyond the plan."""
    empty = make_group(**PLACE, instance_type="a2-highgpu-1g", accelerator="A100-40GB-SXM", instances=(0, 2))
    steady = make_group(**PLACE, instance_type="g2-standard-4", instances=(2, 2))
    plan = make_fleet_plan(empty, steady)
    (stack,) = stacks_of(plan, of_fleet(plan.fleet), Wanted())
    fewest = {one.machine_type: one.min_instances for one in google_groups(stack)}
    assert fewest == {"a2-highgpu-1g": 0, "g2-standard-4": 2}
    assert generate(plan, Language.TERRAFORM).targets == ("mig",)


@given(st.lists(st.tuples(st.integers(0, 999), st.floats(0.1, 50.0), st.integers(1, 40)), min_size=1, max_size=6))
def test_capacities_spread_requests_by_the_weights(given_groups):
    """Rate × capacity × instances is in proportion to the weights, but for what Google's smallest capacity lifts."""
    base = google_group("g2-standard-4").group
    groups = [
        dataclasses.replace(
            base, key=str(number), weight=weight, requests_per_second_per_instance=rate, instances=count
        )
        for number, (weight, rate, count) in enumerate(given_groups)
    ]
    shares = capacities(groups)
    assert all(share == 0 or 0.1 <= share <= 1 for share in shares.values())
    assert max(shares.values()) == 1
    if any(one.weight for one in groups):
        assert {key for key, share in shares.items() if share == 0} == {one.key for one in groups if one.weight == 0}
    exact = [one for one in groups if shares[one.key] > 0.1]
    served = [shares[one.key] * one.requests_per_second_per_instance * one.instances for one in exact]
    weights = [one.weight for one in exact]
    if sum(weights):
        for part, weight in zip(served, weights, strict=True):
            assert part / sum(served) == pytest.approx(weight / sum(weights), rel=0.01)


def test_windows_hold_what_the_schedule_orders():
    """At each minute of the week, the largest open window or the least number is what the schedule says."""
    hours = [4 if one else 2 for one in NIGHTS_AND_WEEKENDS]
    schedule = scheduled_sizes(hours, 15)
    (window,) = windows_of(schedule, 2)
    assert (window.cron, window.duration_seconds, window.instances) == ("45 6 * * 1,2,3,4,5", 12.25 * 3600, 4)
    assert windows_of((), 2) == ()


def test_windows_of_different_lengths_are_kept_apart():
    """A weekend that lasts longer than a night is a window of its own, and every entry is named once."""
    hours = [2 if one else 4 for one in NIGHTS_AND_WEEKENDS]
    windows = windows_of(scheduled_sizes(hours, 0), 2)
    assert [(one.cron, one.duration_seconds // 3600) for one in windows] == [
        ("0 19 * * 1,2,3,4", 12),
        ("0 19 * * 5", 60),
    ]
    assert len({one.name for one in windows}) == 2
    assert sum(one.duration_seconds for one in windows) < WEEK_SECONDS
