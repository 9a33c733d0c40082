"""EC2 Auto Scaling groups."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.values import Option
from codegen.plans import HOSTILE, Make, Scenario, make_cost, make_option, make_plan


def variables(*regions: str, **more: Any) -> Mapping[str, Any]:
    """What a user fills in for roots in *regions*."""
    return {
        "networks": {region: _network(number, region) for number, region in enumerate(regions, start=1)},
        "alert_emails": ["oncall@example.com"],
        "hf_token_secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-token-AbCdEf",
    } | more


def _network(number: int, region: str) -> Mapping[str, Any]:
    return {
        "vpc_id": f"vpc-{number:017x}",
        "private_subnet_ids": [f"subnet-{16 * number + zone:017x}" for zone in (1, 2, 3)],
        "load_balancer_subnet_ids": [f"subnet-{16 * number + zone:017x}" for zone in (4, 5)],
        "certificate_arn": f"arn:aws:acm:{region}:123456789012:certificate/x",
        "access_logs_bucket": f"logs-{region}",
    }


AGENT = {"advisor_package": "https://artifacts.example.com/advisor-0.1.0-py3-none-any.whl"}


def _alone(option: Option, *, filled: Mapping[str, Any] = AGENT, **changes: Any) -> Scenario:
    return Scenario(make_plan(option, **changes), Wanted(rank=option.rank), variables(option.region, **filled))


def l4_spot() -> Scenario:
    """Spot with a second, equal type in the plan."""
    chosen = make_option(purchase="spot", precision="fp8", weights_gib=8.1, usd_per_hour=0.3117)
    larger = dataclasses.replace(chosen, rank=2, instance_type="g6.2xlarge", cost=make_cost(0.402, 2))
    return Scenario(make_plan(chosen, larger), Wanted(rank=1), variables("us-east-1", **AGENT))


def a10g_on_demand() -> Scenario:
    """An option that is not the recommended one."""
    best = make_option()
    option = make_option(rank=2, instance_type="g5.xlarge", accelerator="A10G", usd_per_hour=1.006)
    return Scenario(make_plan(best, option), Wanted(rank=2), variables("us-east-1", **AGENT))


def h100_tp8() -> Scenario:
    """One replica over a whole machine."""
    option = make_option(
        instance_type="p5.48xlarge",
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=8,
        instances=3,
        kv_precision="fp8",
        precision="fp8",
        weights_gib=376.3,
        usd_per_hour=55.04,
        region="us-west-2",
        max_concurrency=128,
        context_tokens=32768,
    )
    return _alone(option, name="Long documents", model="meta-llama/Llama-3.1-405B-Instruct", zones=3)


def l40s_replicas() -> Scenario:
    """Four replicas share an instance; the 4-bit checkpoint is for the user to name."""
    option = make_option(
        instance_type="g6e.24xlarge",
        accelerator="L40S",
        accelerator_count=4.0,
        replicas_per_instance=4,
        precision="int4",
        weights_gib=5.4,
        instances=1,
        usd_per_hour=15.07,
        region="eu-west-1",
    )
    models = {"eu-west-1-4xl40s-int4-tp1x4-vllm": "organisation/model-awq"}
    return _alone(option, filled=AGENT | {"model_ids": models})


def inferentia2() -> Scenario:
    """Neuron: no GPU metrics, no agent."""
    option = make_option(
        instance_type="inf2.xlarge",
        accelerator="Inferentia2",
        engine="vLLM-NxDI",
        engine_version="0.16",
        usd_per_hour=0.7582,
        instances=3,
        max_concurrency=8,
        context_tokens=4096,
    )
    return _alone(option, filled={})


def t4_fp16() -> Scenario:
    """Turing has no bf16."""
    option = make_option(
        instance_type="g4dn.xlarge", accelerator="T4", precision="fp16", kv_precision="fp16", usd_per_hour=0.526
    )
    return _alone(option)


def hostile_names() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    cost = dataclasses.replace(option.cost, price_source=HOSTILE, price_as_of=HOSTILE, price_quality=HOSTILE)
    filled = AGENT | {"model_ids": {"us-east-1-1x-resource-null-reso-8c9bb3": "organisation/model"}}
    return _alone(dataclasses.replace(option, cost=cost), filled=filled, name=HOSTILE, model=HOSTILE)


SCENARIOS: Mapping[str, Make] = {
    "l4-spot": l4_spot,
    "a10g-on-demand": a10g_on_demand,
    "h100-tp8": h100_tp8,
    "l40s-replicas": l40s_replicas,
    "inferentia2": inferentia2,
    "t4-fp16": t4_fp16,
    "hostile-names": hostile_names,
}
