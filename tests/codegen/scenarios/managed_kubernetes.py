"""Clusters of providers whose nodes are the user's."""

from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.fleet.chosen import Policy
from codegen.plans import HOSTILE, Make, Scenario, make_fleet_plan, make_group, make_option, make_plan


def variables(*regions: str) -> Mapping[str, Any]:
    """What a user fills in for clusters in *regions*."""
    return {
        "clusters": {region: {"kubeconfig": "~/.kube/config", "context": f"inference-{region}"} for region in regions}
    }


def h100(region: str = "eu-north1", **changes: Any) -> Any:
    """Nodes of Nebius with one H100 each; *changes* replace fields."""
    fields = {
        "provider": "nebius",
        "region": region,
        "instance_type": "gpu-h100-sxm_1gpu-16vcpu-200gb",
        "accelerator": "H100-SXM",
        "instance_usd_per_hour": 3.85,
        "price_source": "Nebius price list",
    }
    return make_group(**(fields | changes))


def spot_beside_on_demand() -> Scenario:
    """Two pools of one machine in a region, of which one is spot, and one in another region; sizes by the clock."""
    plan = make_fleet_plan(
        h100(request_shares=(0.5, 0.5)),
        h100(purchase="spot", instance_usd_per_hour=1.25, request_shares=(0.25, 0.25)),
        h100("us-central1", instance_type="gpu-h200-sxm_1gpu-16vcpu-200gb", accelerator="H200",
              request_shares=(0.25, 0.25)),
    )  # fmt: skip
    return Scenario(plan, Wanted(target="kubernetes"), variables("eu-north1", "us-central1"))


def mi300x_by_load() -> Scenario:
    """Eight pods on each bare-metal machine of Oracle, by what they serve."""
    plan = make_fleet_plan(
        h100(
            "global", provider="oracle", instance_type="BM.GPU.MI300X.8", accelerator="MI300X", accelerator_count=8.0,
            replicas_per_instance=8, precision="bf16", kv_precision="bf16", instances=(1, 2),
        ),
        policy=Policy.REACTIVE,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="kubernetes"), variables("global"))


def hostile() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(
        provider="nebius", region="eu-north1", instance_type="gpu-h100-sxm_1gpu-16vcpu-200gb", engine_version=HOSTILE,
        accelerator=HOSTILE, kv_precision=HOSTILE,
    )  # fmt: skip
    return Scenario(
        make_plan(option, name=HOSTILE, model=HOSTILE), Wanted(target="kubernetes", rank=1), variables("eu-north1")
    )


SCENARIOS: Mapping[str, Make] = {
    "kubernetes-spot": spot_beside_on_demand,
    "kubernetes-mi300x": mi300x_by_load,
    "kubernetes-hostile": hostile,
}
