"""A host or replica that starts more slowly than predicted is waited for: ended, it would start anew for ever."""

import math
import re
from collections.abc import Mapping
from typing import Any

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.plan.values import Interval
from codegen.plans import make_fleet_plan, make_group

GOOGLE = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"}
AZURE = {
    "provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4",
    "accelerator": "A100-80GB-PCIe",
}  # fmt: skip
PLACES: Mapping[str, Mapping[str, Any]] = {
    "ec2": {}, "eks": {}, "sagemaker": {}, "mig": GOOGLE, "gke": GOOGLE, "cloud-run": GOOGLE, "vm-scale-set": AZURE,
    "aks": AZURE, "container-apps": AZURE,
}  # fmt: skip
PODS = (("kubernetes/", (r"startupProbe:[^#]*?periodSeconds:", r"startupProbe:[^#]*?failureThreshold:")),)
LIMITS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "ec2": (("fleet.tf", ("start_limit_seconds",)),),
    "mig": (("compute.tf", ("initial_delay_sec",)),),
    "vm-scale-set": (("fleet.tf", ("start_limit_seconds",)),),
    "sagemaker": (
        ("endpoint.tf", ("container_startup_health_check_timeout_in_seconds",)),
        ("endpoint.tf", ("model_data_download_timeout_in_seconds",)),
    ),
    "cloud-run": (("compute.tf", (r"startup_probe \{\s+period_seconds", r"startup_probe \{[^}]+?failure_threshold")),),
    "container-apps": (
        ("fleet.tf", ("probe_seconds",)),
        ("compute.tf", (r"startup_probe \{[^}]+?failure_count_threshold",)),
    ),
    "eks": PODS,
    "gke": PODS,
    "aks": PODS,
}
"""Target → file and patterns before the numbers that, multiplied, are the longest start there."""


def files_of(target: str, seconds: float) -> Mapping[str, str]:
    """Terraform of a fleet whose start is predicted to take so long at most."""
    group = make_group(**PLACES[target], cold_start_seconds=Interval(seconds / 2, seconds / 3, seconds))
    return generate(make_fleet_plan(group), wanted=Wanted(target=target)).files


def numbers(files: Mapping[str, str], start: str, patterns: tuple[str, ...]) -> list[int]:
    """The number after each of the patterns, in the files whose path starts so."""
    text = "\n".join(text for path, text in files.items() if path.startswith(start))
    return [int(re.search(rf"{pattern}\D*?(\d+)", text)[1]) for pattern in patterns]


@pytest.mark.parametrize("seconds", [300, 1200])
@pytest.mark.parametrize("target", list(PLACES))
def test_a_start_of_half_as_long_again_is_waited_for(target, seconds):
    """Whatever ends a host or a container that does not answer comes later than 1.5 times the predicted upper edge."""
    files = files_of(target, seconds)
    products = [math.prod(numbers(files, *limit)) for limit in LIMITS[target]]
    if target == "container-apps":
        products = [math.prod(products)]
    assert all(waited >= 1.5 * seconds for waited in products)


@pytest.mark.parametrize(("target", "repaired", "waited_for"), [("mig", 1800, 1801), ("vm-scale-set", 7200, 7201)])
def test_what_may_start_for_longer_than_repair_waits_is_not_repaired(target, repaired, waited_for):
    """Health still decides who gets requests and how a rollout goes on; the README names the groups."""
    short, long = files_of(target, repaired), files_of(target, waited_for)
    switch = r"(?:heals|repairs) +?= (\w+)"
    assert (re.findall(switch, short["fleet.tf"]), re.findall(switch, long["fleet.tf"])) == (["true"], ["false"])
    assert "not replaced by themselves" not in short["README.md"]
    assert "not replaced by themselves" in long["README.md"]
    assert re.search(r"auto_healing_policies \{|automatic_instance_repair \{", long["compute.tf"])


@pytest.mark.parametrize(("seconds", "waited"), [(40, 300), (1080, 1200), (1200, 1200), (1801, 2100)])
@pytest.mark.parametrize("target", ["ec2", "mig", "vm-scale-set"])
def test_an_engine_has_the_time_of_a_start_to_come_back(target, seconds, waited):
    """Its host is not replaced before; in steps, so that a start that takes a little longer changes no script of a host."""
    files = files_of(target, seconds)
    if target == "mig":
        looks = numbers(files, "compute.tf", (r'"healing" [\s\S]+?unhealthy_threshold',))
        looks += numbers(files, "fleet.tf", ("healing_interval_seconds",))
        assert math.prod(looks) == waited
    else:
        assert numbers(files, "fleet.tf", ("restart_seconds",)) == [waited]


def test_a_rollout_on_a_cluster_waits_for_slow_starts_too():
    """Its deadline comes after that of the start probe."""
    (deadline,) = numbers(files_of("eks", 1200), "kubernetes/", ("progressDeadlineSeconds:",))
    assert deadline > math.prod(numbers(files_of("eks", 1200), *PODS[0]))


@pytest.mark.parametrize("language", Language)
def test_a_host_that_loads_may_say_so_before_ec2_gives_it_up(language):
    """Its heartbeats come many times within the timeout of the hook, and its role permits them."""
    files = generate(make_fleet_plan(make_group()), language).files
    text = "\n".join(files.values())
    (silent,) = {int(value) for value in re.findall(r"heartbeat_timeout *= *(\d+)", text)}
    (every,) = {int(value) for value in re.findall(r"waited % (\d+) == 0", text)}
    assert 10 * every <= silent <= 7200
    assert "autoscaling:RecordLifecycleActionHeartbeat" in text
    assert re.search(r"waited < \$\{start_limit_seconds\}", text)
