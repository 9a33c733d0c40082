"""What Cloud Run takes and refuses, and what its containers get."""

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from advisor.errors import InputError, NotDeployable
from codegen.plans import make_fleet_plan, make_option, make_plan
from codegen.scenarios.cloud_run import make_serverless


def option(**changes):
    """Two machines with one L4 each, in a region where Cloud Run has them."""
    fields = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
    return make_option(**(fields | changes))


def fleet_of(plan, wanted=None):
    """The values of the generated ``fleet.tf``."""
    text = generate(plan, Language.TERRAFORM, wanted or Wanted(target="cloud-run", rank=1)).files["fleet.tf"]
    (values,) = read_hcl(text, "fleet.tf").body.blocks
    return {name: literal(attribute.value.node) for name, attribute in values.attributes.items()}


def group_of(**changes):
    """The only group of a plan for :func:`option`."""
    (group,) = fleet_of(make_plan(option(**changes)))["groups"].values()
    return group


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instance_type": "a2-highgpu-1g", "accelerator": "A100-40GB-SXM"}, "Cloud Run has one L4 or RTX-PRO-6000"),
        ({"instance_type": "g2-standard-24", "accelerator_count": 2.0, "tensor_parallel": 2}, "2 × L4"),
        ({"purchase": "spot"}, "no spot price"),
        ({"region": "europe-west3"}, "no L4 in europe-west3, only in asia-south1"),
        ({"weights_gib": 30.0}, "a container has 32 GiB"),
        ({"weights_gib": 95.0}, "Cloud Run waits 1800 s"),
    ],
)
def test_refuses_with_the_reason(changes, reason):
    """Another GPU, two of them, spot, a region without GPUs, weights that do not fit and slow starts are refused."""
    with pytest.raises(InputError, match=reason):
        generate(make_plan(option(**changes)), Language.TERRAFORM, Wanted(target="cloud-run", rank=1))


@pytest.mark.parametrize(
    ("weights_gib", "vcpus", "memory"), [(5.0, "4", "16Gi"), (14.96, "6", "24Gi"), (20.0, "8", "32Gi")]
)
def test_weights_from_the_hub_fit_into_memory(weights_gib, vcpus, memory):
    """1.2 × the weights and 6 GiB for the engine: 12 of 16, 24 of 24, 30 of 32 GiB; mounted ones need the least."""
    group = group_of(weights_gib=weights_gib)
    assert group["downloading"] == {"cpu": vcpus, "memory": memory, "nvidia.com/gpu": "1"}
    assert group["mounting"] == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}


def test_machines_keep_the_quietest_hours_and_serverless_scales_to_zero():
    """The plan counts on nothing running between the requests of a serverless group, and on two machines all day."""
    assert group_of()["min_instances"] == 2
    (group,) = fleet_of(make_fleet_plan(make_serverless(instances=(1, 4))), Wanted())["groups"].values()
    assert (group["min_instances"], group["max_instances"]) == (0, 5)


def test_alerts_have_the_targets_of_the_workload():
    """1 percent of failed requests in 15 minutes; p95 of the wait for a container at the target of TTFT, 1 s."""
    alerts = fleet_of(make_plan(option()))["alerts"]
    failed, waiting = alerts["server_errors"], alerts["waiting_requests"]
    assert (failed["share"], failed["threshold"], failed["seconds"]) == (True, 0.01, 900)
    assert (waiting["aligner"], waiting["threshold"]) == ("ALIGN_PERCENTILE_95", 1000)
    assert "ttft" not in alerts


def test_images_carry_their_registry():
    """Cloud Run takes an image of Docker Hub under its full name; another registry stays."""
    images = [
        fleet_of(make_plan(option()), Wanted(target="cloud-run", rank=1, image=image))["backends"]
        for image in ("vllm/vllm-openai:v1", "europe-docker.pkg.dev/p/r/vllm:v1")
    ]
    named = [backend["image"] for backends in images for backend in backends.values()]
    assert named == ["docker.io/vllm/vllm-openai:v1", "europe-docker.pkg.dev/p/r/vllm:v1"]


def test_serverless_group_takes_cloud_run_by_itself():
    """No target has to be named for it, and its redundancy follows the service that was planned."""
    plan = make_fleet_plan(make_serverless(instance_type="Cloud Run with zonal redundancy L4"))
    (group,) = fleet_of(plan, Wanted())["groups"].values()
    assert group["zonal_redundancy"] is True


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instance_type": "Serverless flex L4"}, "not a serverless service of Google Cloud"),
        ({"instance_type": "Cloud Run H100-SXM", "accelerator": "H100-SXM"}, "Cloud Run has no H100-SXM"),
    ],
)
def test_unknown_services_are_refused(changes, reason):
    """A service or a GPU that Cloud Run has not leaves the fleet without code; no single type takes its place."""
    with pytest.raises(NotDeployable, match=reason):
        generate(make_fleet_plan(make_serverless(**changes)), Language.TERRAFORM)
