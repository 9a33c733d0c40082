"""Instance groups of IBM Cloud VPC."""

from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.fleet.chosen import Policy
from codegen.plans import HOSTILE, Make, Scenario, make_fleet_plan, make_group, make_option, make_plan

CRN = "crn:v1:bluemix:public:secrets-manager:us-south:a/0123456789abcdef0123456789abcdef"
INSTANCE = "3f1f5c5a-8b0e-4f0e-9d53-1b5f0f5f7a11"


def variables(*regions: str, **changes: Any) -> Mapping[str, Any]:
    """What a user fills in for a region; *changes* replace or add inputs."""
    subnets = {
        f"{region}-{zone}": f"0717-7ec86020-1c6e-4889-b3f0-{number:06}{zone:06}"
        for number, region in enumerate(regions)
        for zone in (1, 2)
    }
    return {
        "subnets": subnets,
        "allowed_cidrs": ["10.0.0.0/8"],
        "certificate_crn": f"{CRN}:{INSTANCE}:secret:6b2b0d5e-6ef1-4b25-a1a2-6a1c7f2b9d01",
        "machine_image_id": "r014-72b27b5c-f4b0-48bb-b954-5becc7c1dcb8",
        **changes,
    }


def gaudi(**changes: Any) -> Any:
    """Machines of eight Gaudi 3 that serve a replica on each; *changes* replace fields."""
    fields = {
        "provider": "ibm",
        "region": "us-east",
        "instance_type": "gx3d-160x1792x8gaudi3",
        "accelerator": "Gaudi3",
        "accelerator_count": 8.0,
        "tensor_parallel": 8,
        "engine": "vLLM-Gaudi",
        "engine_version": "0.26.0",
        "instance_usd_per_hour": 60.0,
        "price_source": "IBM price list",
        "disk_gib": 140,
    }
    return make_group(**(fields | changes))


def h100(**changes: Any) -> Any:
    """The same on H100."""
    fields = {
        "instance_type": "gx3d-160x1792x8h100",
        "accelerator": "H100-SXM",
        "engine": "vLLM",
        "engine_version": "0.30.0",
    }
    return gaudi(**(fields | changes))


def gaudi_by_the_clock() -> Scenario:
    """Gaudi 3, fewer at night; weights of a bucket, and a gated model."""
    filled = variables(
        "us-east",
        model_source="cos://weights/models",
        hf_token_secret_crn=f"{CRN}:{INSTANCE}:secret:9c1f8a77-30a5-4f70-a1c5-2c4c3a1f9a02",
        disk_key_crn=f"crn:v1:bluemix:public:kms:us-east:a/0123456789abcdef0123456789abcdef:{INSTANCE}:key:{INSTANCE}",
        resource_group_id="0123456789abcdef0123456789abcdef",
        ssh_key_ids=["r014-a6b1a881-2ce8-41a3-80fc-36316a73f803"],
        tags={"team": "Search"},
    )
    return Scenario(make_fleet_plan(gaudi()), Wanted(target="ibm-vpc"), filled)


def h100_always() -> Scenario:
    """One number of machines at all hours, weights from the hub, and the agent."""
    package = "https://artifacts.example.com/inference_advisor_agent-0.1.0-py3-none-any.whl#sha256=" + "0" * 64
    plan = make_fleet_plan(h100(region="eu-de", instances=(3, 3)), policy=Policy.STATIC)
    return Scenario(plan, Wanted(target="ibm-vpc"), variables("eu-de", agent_package=package))


def hostile() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(
        provider="ibm", region="us-east", instance_type="gx3d-160x1792x8gaudi3", engine="vLLM-Gaudi", engine_version=HOSTILE,
        accelerator=HOSTILE, kv_precision=HOSTILE,
    )  # fmt: skip
    filled = variables("us-east", model_ids={"*": "organisation/model"})
    return Scenario(make_plan(option, name=HOSTILE, model=HOSTILE), Wanted(target="ibm-vpc", rank=1), filled)


SCENARIOS: Mapping[str, Make] = {
    "ibm-gaudi-scheduled": gaudi_by_the_clock,
    "ibm-h100": h100_always,
    "ibm-hostile": hostile,
}
