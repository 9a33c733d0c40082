"""Azure Container Apps with serverless GPUs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.values import Plan
from codegen.plans import HOSTILE, Make, Scenario, make_fleet_plan, make_plan
from codegen.scenarios.azure_vm_scale_set import NGC, WEIGHTS, azure_group, azure_option, variables

_FILLED = ("locations", "hf_token_secret_id", "alert_emails")


def filled(*regions: str) -> Mapping[str, Any]:
    """What a user fills in for a stack in *regions*."""
    shared = {name: value for name, value in variables(*regions).items() if name in _FILLED}
    places = {region: {"subnet_id": place["subnet_id"]} for region, place in shared["locations"].items()}
    return shared | {"locations": places}


def _apps(plan: Plan, *regions: str, rank: int | None = None) -> Scenario:
    return Scenario(plan, Wanted(target="container-apps", rank=rank), filled(*regions))


def t4_replicas() -> Scenario:
    """A machine with four T4, moved to Container Apps on request; the 4-bit checkpoint is the catalogued one."""
    option = azure_option(
        instance_type="Standard_NC64as_T4_v3",
        accelerator_count=4.0,
        replicas_per_instance=4,
        precision="int4",
        weights_gib=5.4,
        usd_per_hour=4.352,
    )
    scenario = _apps(make_plan(option), rank=1)
    named = {"model_ids": {"eastus-4xt4-int4-tp1x4-vllm": "organisation/model"}}
    return dataclasses.replace(scenario, variables={**scenario.variables, **named})


def a100_scheduled() -> Scenario:
    """Two regions that follow the clock, one of them down to nothing."""
    near = azure_group(request_shares=(1.0, 0.7))
    far = azure_group(region="swedencentral", request_shares=(0.0, 0.3), instances=(0, 2))
    scenario = _apps(make_fleet_plan(near, far), "eastus", "swedencentral")
    return dataclasses.replace(scenario, variables={**scenario.variables, **WEIGHTS, **NGC})


def mixed() -> Scenario:
    """Two kinds of GPUs in one region behind one endpoint, one of them down to nothing at night."""
    small = {"instance_type": "Standard_NC4as_T4_v3", "accelerator": "T4", "precision": "fp16", "kv_precision": "fp16"}
    groups = (
        azure_group(request_shares=(1.0, 0.75)),
        azure_group(**small, request_shares=(0.0, 0.25), instances=(0, 2)),
    )
    scenario = _apps(make_fleet_plan(*groups), "eastus")
    return dataclasses.replace(scenario, variables={**scenario.variables, "allowed_cidrs": ["10.0.0.0/8"]})


def hostile() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = azure_option(engine_version=HOSTILE, kv_precision=HOSTILE)
    scenario = _apps(make_plan(option, name=HOSTILE, model=HOSTILE), rank=1)
    named = {"model_ids": {"eastus-1xt4-fp16-tp1-vllm": "organisation/model"}}
    return dataclasses.replace(scenario, variables={**scenario.variables, **named})


SCENARIOS: Mapping[str, Make] = {
    "container-apps-t4-replicas": t4_replicas,
    "container-apps-a100-scheduled": a100_scheduled,
    "container-apps-mixed": mixed,
    "container-apps-hostile": hostile,
}
