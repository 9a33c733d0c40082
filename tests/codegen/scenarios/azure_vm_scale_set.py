"""Azure virtual machine scale sets."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Option
from codegen.plans import (
    HOSTILE,
    Make,
    Scenario,
    make_cache,
    make_fleet_plan,
    make_group,
    make_option,
    make_plan,
)

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"
_VAULT = f"{SUBSCRIPTION}/resourceGroups/secrets/providers/Microsoft.KeyVault/vaults/my-vault/secrets"


_REGISTRIES = "Microsoft.ContainerRegistry/registries"
NGC = {"container_images": {"*": "nvcr.io/nvidia/vllm:26.10"}, "registry_secret_id": f"{_VAULT}/ngc-key"}
"""An image that a key opens."""
WEIGHTS = {
    "model_source": "az://myweights/models/v1",
    "model_storage_account_id": f"{SUBSCRIPTION}/resourceGroups/data/providers/Microsoft.Storage/storageAccounts/myweights",
}
"""Weights in a storage account."""


def variables(*regions: str, **more: Any) -> Mapping[str, Any]:
    """What a user fills in for a stack in *regions*."""
    network = f"{SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network"
    places = {
        region: {"subnet_id": f"{network}/virtualNetworks/{region}/subnets/inference", "zones": ["1", "2", "3"]}
        for region in regions or ("eastus",)
    }
    return {
        "locations": places,
        "certificate_secret_id": f"{_VAULT}/inference-certificate",
        "hf_token_secret_id": f"{_VAULT}/hub-token",
        "admin_ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLE operations",
        "agent_package": "https://artifacts.example.com/inference_advisor_agent-0.1.0-py3-none-any.whl#sha256="
        + "0" * 64,
        "alert_emails": ["oncall@example.com"],
        "private_dns_zone_id": f"{network}/privateDnsZones/inference.example.com",
    } | more


def azure_option(**changes: Any) -> Option:
    """Two NC4as T4 v3 on demand; *changes* replace fields."""
    fields = {
        "provider": "azure",
        "region": "eastus",
        "instance_type": "Standard_NC4as_T4_v3",
        "accelerator": "T4",
        "precision": "fp16",
        "kv_precision": "fp16",
        "usd_per_hour": 0.526,
    }
    return make_option(**(fields | changes))


def azure_group(**changes: Any) -> Any:
    """A group of a fleet on NC24ads A100 v4; *changes* replace fields."""
    fields = {
        "provider": "azure",
        "region": "eastus",
        "instance_type": "Standard_NC24ads_A100_v4",
        "accelerator": "A100-80GB-PCIe",
        "instance_usd_per_hour": 3.673,
        "price_source": "Azure retail prices",
    }
    return make_group(**(fields | changes))


def _alone(option: Option, **changes: Any) -> Scenario:
    return Scenario(make_plan(option, **changes), Wanted(rank=option.rank), variables(option.region))


def t4_fp16() -> Scenario:
    """The smallest size, on demand."""
    return _alone(azure_option())


def a100_spot() -> Scenario:
    """Spot comes back by itself."""
    option = azure_option(
        instance_type="Standard_NC24ads_A100_v4",
        accelerator="A100-80GB-PCIe",
        precision="bf16",
        kv_precision="bf16",
        purchase="spot",
        usd_per_hour=0.74,
        region="westeurope",
    )
    return _alone(option)


def h100_tp8() -> Scenario:
    """One replica over a whole machine."""
    option = azure_option(
        instance_type="Standard_ND96isr_H100_v5",
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=8,
        precision="fp8",
        kv_precision="fp8",
        weights_gib=376.3,
        instances=3,
        usd_per_hour=98.32,
        max_concurrency=128,
        context_tokens=32768,
    )
    return _alone(option, name="Long documents", model="meta-llama/Llama-3.1-405B-Instruct", zones=3)


def mi300x() -> Scenario:
    """ROCm: another machine image, other devices, no NVIDIA metrics and no agent."""
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
    scenario = _alone(option)
    filled = {name: value for name, value in scenario.variables.items() if name != "agent_package"}
    return dataclasses.replace(scenario, variables=filled)


def int4_replicas() -> Scenario:
    """Four replicas share an instance in two zones; the user names a 4-bit checkpoint, a reservation and a disk encryption set."""
    option = azure_option(
        instance_type="Standard_NC64as_T4_v3",
        accelerator_count=4.0,
        replicas_per_instance=4,
        precision="int4",
        weights_gib=5.4,
        usd_per_hour=4.352,
    )
    scenario = _alone(option)
    backend = "eastus-4xt4-int4-tp1x4-vllm"
    compute = f"{SUBSCRIPTION}/resourceGroups/data/providers/Microsoft.Compute"
    place = {"zones": ["1", "3"], "disk_encryption_set_id": f"{compute}/diskEncryptionSets/disks"}
    reservation = {"eastus-nc64as-t4-v3-int4-tp1x4-0a695b": f"{compute}/capacityReservationGroups/reserved"}
    named = {
        "model_ids": {backend: "organisation/model"},
        "model_revisions": {backend: "0123abc"},
        "locations": {"eastus": scenario.variables["locations"]["eastus"] | place},
        "capacity_reservation_group_ids": reservation,
    }
    return dataclasses.replace(scenario, variables={**scenario.variables, **named})


def two_regions() -> Scenario:
    """A mixed fleet over two regions that follows the clock, part of it spot and part of it bought ahead; one region goes home at night."""
    groups = (
        azure_group(request_shares=(0.5, 0.5), purchase="commitment", commitment="savings plan, 1 year"),
        azure_group(request_shares=(0.2, 0.2), purchase="spot", instances=(0, 2), instance_usd_per_hour=0.74),
        azure_group(
            region="westeurope",
            instance_type="Standard_NC40ads_H100_v5",
            accelerator="H100-NVL",
            precision="fp8",
            kv_precision="fp8",
            weights_gib=8.1,
            request_shares=(0.3, 0.3),
            instances=(0, 2),
            instance_usd_per_hour=6.98,
        ),
    )
    pins = {
        "container_images": {"vllm": "myregistry.azurecr.io/vllm@sha256:" + "0" * 64, "*": "organisation/engine:1"},
        "container_registry_ids": [
            f"{SUBSCRIPTION}/resourceGroups/images/providers/{_REGISTRIES}/{one}" for one in ("MyRegistry", "other")
        ],
        "model_revisions": {"*": "main", "sglang": "4567def"},
        "extra_serving_arguments": {"*": ["--enable-prefix-caching"]},
    }
    return Scenario(make_fleet_plan(*groups), Wanted(), variables("eastus", "westeurope", **pins))


def mixed() -> Scenario:
    """Two kinds of machines in one region, behind one endpoint; a second region has one kind."""
    another = {"instance_type": "Standard_NC40ads_H100_v5", "accelerator": "H100-NVL", "precision": "fp8"}
    groups = (
        azure_group(request_shares=(0.6, 0.6)),
        azure_group(**another, kv_precision="fp8", weights_gib=8.1, request_shares=(0.3, 0.3)),
        azure_group(region="westeurope", request_shares=(0.1, 0.1)),
    )
    return Scenario(make_fleet_plan(*groups), Wanted(), variables("eastus", "westeurope"))


def turns() -> Scenario:
    """A small machine at night, of which one stays by day, when a large one serves: each waits for the other."""
    large = {"instance_type": "Standard_NC40ads_H100_v5", "accelerator": "H100-NVL"}
    groups = (
        azure_group(instances=(2, 1), request_shares=(1.0, 0.2), planned_requests_per_second_per_instance=1.0),
        azure_group(**large, instances=(0, 1), request_shares=(0.0, 0.8), planned_requests_per_second_per_instance=4.0),
    )
    return Scenario(make_fleet_plan(*groups, policy=Policy.SCHEDULED), Wanted(), variables())


def reactive() -> Scenario:
    """Scales by the measured rate of requests."""
    plan = make_fleet_plan(azure_group(), policy=Policy.REACTIVE)
    return Scenario(plan, Wanted(), variables(**WEIGHTS, **NGC))


def hostile() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = azure_option(engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    cost = dataclasses.replace(option.cost, price_source=HOSTILE, price_as_of=HOSTILE)
    scenario = _alone(dataclasses.replace(option, cost=cost), name=HOSTILE, model=HOSTILE)
    named = {"model_ids": {"eastus-1x-resource-null-resourc-2752f9": "organisation/model"}}
    return dataclasses.replace(scenario, variables={**scenario.variables, **named})


def cached() -> Scenario:
    """A response cache beside the hosts, one node of which may fail, for one client."""
    cache = make_cache(provider="azure", region="eastus", node="Balanced_B3", node_memory_gib=2.79)
    plan = make_fleet_plan(azure_group(instances=(2, 2)), policy=Policy.STATIC, fleet={"response_cache": cache})
    zone = (
        f"{SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network/privateDnsZones/privatelink.redis.azure.net"
    )
    client = {"cache_private_dns_zone_id": zone, "cache_client_object_ids": ["00000000-0000-0000-0000-000000000003"]}
    return Scenario(plan, Wanted(), variables("eastus", **client))


SCENARIOS: Mapping[str, Make] = {
    "vm-scale-set-t4-fp16": t4_fp16,
    "vm-scale-set-a100-spot": a100_spot,
    "vm-scale-set-h100-tp8": h100_tp8,
    "vm-scale-set-mi300x": mi300x,
    "vm-scale-set-int4-replicas": int4_replicas,
    "vm-scale-set-two-regions": two_regions,
    "vm-scale-set-mixed": mixed,
    "vm-scale-set-turns": turns,
    "vm-scale-set-reactive": reactive,
    "vm-scale-set-hostile": hostile,
    "vm-scale-set-cache": cached,
}
