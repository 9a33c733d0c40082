"""LoRA adapters on one base: on hosts, on nodes, and beside SGLang's own options."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Plan
from codegen.plans import Make, Scenario, make_fleet_plan, make_group
from codegen.scenarios import ec2, eks

SOURCE = {"model_source": "s3://weights/models"}


def with_adapters(plan: Plan) -> Plan:
    """The plan with three adapters, one of which the hub has not, two of them on the accelerators."""
    named = [
        {"id": "acme/sql-lora", "rank": 16, "on_hub": True},
        {"id": "acme/mail-lora", "rank": 8, "on_hub": True},
        {"id": "support-de", "rank": 16, "on_hub": False},
    ]
    adapters: Mapping[str, Any] = {
        "count": 3, "rank": 16, "target_modules": ["q_proj", "v_proj"], "slots": 2, "bytes": 4.0e7, "named": named,
    }  # fmt: skip
    return dataclasses.replace(plan, workload={**plan.workload, "adapters": adapters})


def on_hosts() -> Scenario:
    """VLLM on EC2."""
    plan = make_fleet_plan(make_group(instances=(2, 2)), policy=Policy.STATIC)
    return Scenario(with_adapters(plan), variables=ec2.variables("us-east-1", **SOURCE, **ec2.AGENT))


def on_nodes() -> Scenario:
    """VLLM on EKS."""
    plan = make_fleet_plan(make_group(instances=(2, 2)), policy=Policy.STATIC)
    return Scenario(with_adapters(plan), Wanted(target="eks"), {**eks.variables("us-east-1"), **SOURCE})


def beside_sglang() -> Scenario:
    """SGLang on EC2, which is told the modules that adapters change."""
    group = make_group(instances=(2, 2), engine="SGLang", engine_version="0.5.23")
    return Scenario(
        with_adapters(make_fleet_plan(group, policy=Policy.STATIC)),
        variables=ec2.variables("us-east-1", **SOURCE, **ec2.AGENT),
    )


SCENARIOS: Mapping[str, Make] = {
    "ec2-adapters": on_hosts,
    "eks-adapters": on_nodes,
    "ec2-sglang-adapters": beside_sglang,
}
