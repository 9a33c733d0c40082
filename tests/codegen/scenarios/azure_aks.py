"""Node pools of AKS."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Plan
from codegen.plans import HOSTILE, Make, Scenario, make_cache, make_fleet_plan, make_plan
from codegen.scenarios.azure_vm_scale_set import SUBSCRIPTION, azure_group, azure_option


def variables(*regions: str) -> Mapping[str, Any]:
    """What a user fills in for a stack in *regions*."""
    operations = f"{SUBSCRIPTION}/resourceGroups/operations/providers"
    clusters = {
        region: {
            "id": f"{operations}/Microsoft.ContainerService/managedClusters/inference",
            "zones": ["1", "2", "3"],
            "log_analytics_workspace_id": f"{operations}/Microsoft.OperationalInsights/workspaces/inference",
            "oidc_issuer_url": "https://oidc.example.com/",
        }
        for region in regions or ("eastus",)
    }
    return {"clusters": clusters, "alert_emails": ["oncall@example.com"]}


def _aks(plan: Plan, *regions: str, rank: int | None = None) -> Scenario:
    return Scenario(plan, Wanted(target="aks", rank=rank), variables(*regions))


def a100_spot() -> Scenario:
    """Spot nodes carry a taint of their own; weights from a storage account."""
    option = azure_option(
        instance_type="Standard_NC24ads_A100_v4",
        accelerator="A100-80GB-PCIe",
        precision="bf16",
        kv_precision="bf16",
        purchase="spot",
        usd_per_hour=0.74,
    )
    scenario = _aks(make_plan(option), rank=1)
    weights = {
        "model_source": "az://weights/models/llm",
        "model_storage_account_id": f"{SUBSCRIPTION}/resourceGroups/x/providers/Microsoft.Storage/storageAccounts/weights",
    }
    return dataclasses.replace(scenario, variables={**scenario.variables, **weights})


def mi300x() -> Scenario:
    """Eight pods on each node, whose driver an operator brings."""
    option = azure_option(
        instance_type="Standard_ND96isr_MI300X_v5",
        accelerator="MI300X",
        accelerator_count=8.0,
        replicas_per_instance=8,
        precision="bf16",
        kv_precision="bf16",
        instances=1,
        usd_per_hour=48.0,
        region="francecentral",
    )
    return _aks(make_plan(option), "francecentral", rank=1)


def scheduled() -> Scenario:
    """Spot beside on-demand nodes that go home at night."""
    spot = azure_group(instances=(0, 3), purchase="spot", instance_usd_per_hour=0.74, request_shares=(0.0, 0.4))
    return _aks(make_fleet_plan(azure_group(request_shares=(1.0, 0.6)), spot))


def two_regions() -> Scenario:
    """Two regions, scaled by load."""
    near = azure_group(request_shares=(0.7, 0.7))
    far = azure_group(
        region="westeurope",
        instance_type="Standard_NC40ads_H100_v5",
        accelerator="H100-NVL",
        request_shares=(0.3, 0.3),
        instances=(1, 2),
        instance_usd_per_hour=6.98,
    )
    return _aks(make_fleet_plan(near, far, policy=Policy.REACTIVE), "eastus", "westeurope")


def hostile() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = azure_option(engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    return _aks(make_plan(option, name=HOSTILE, model=HOSTILE), rank=1)


def cached() -> Scenario:
    """A response cache in the subnet of the nodes that nothing has to survive."""
    cache = make_cache(
        provider="azure", region="eastus", node="Balanced_B5", nodes=1, node_memory_gib=5.59, ttl_seconds=None
    )
    scenario = _aks(
        make_fleet_plan(azure_group(instances=(2, 2)), policy=Policy.STATIC, fleet={"response_cache": cache})
    )
    network = f"{SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/eastus"
    place = {"cache_subnet_id": f"{network}/subnets/inference"}
    return dataclasses.replace(scenario, variables={**scenario.variables, **place})


def sliced() -> Scenario:
    """Eight A100 of a machine in seven slices each, scaled by load: more pods than a node has by default."""
    group = azure_group(
        instance_type="Standard_ND96asr_v4", accelerator="A100-40GB-SXM", accelerator_count=8.0,
        replicas_per_instance=56, partition="mig-1g.5gb", weights_gib=1.4, checkpoint_gib=2.5, disk_gib=1209,
    )  # fmt: skip
    plan = make_fleet_plan(group, policy=Policy.REACTIVE, model="meta-llama/Llama-3.2-1B-Instruct")
    return _aks(plan)


SCENARIOS: Mapping[str, Make] = {
    "aks-a100-spot": a100_spot,
    "aks-mi300x": mi300x,
    "aks-scheduled": scheduled,
    "aks-two-regions": two_regions,
    "aks-hostile": hostile,
    "aks-cache": cached,
    "aks-slices": sliced,
}
