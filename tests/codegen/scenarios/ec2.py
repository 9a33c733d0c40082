"""EC2 Auto Scaling groups."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from advisor.codegen import Wanted
from advisor.plan.fleet.chosen import FleetGroup, Policy
from advisor.plan.values import Option
from codegen.plans import (
    HOSTILE,
    Make,
    Scenario,
    make_cache,
    make_cost,
    make_fleet_plan,
    make_group,
    make_option,
    make_plan,
)


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
        "certificate_arn": f"arn:{PARTITIONS.get(region, 'aws')}:acm:{region}:123456789012:certificate/x",
        "access_logs_bucket": f"logs-{region}",
    }


PARTITIONS = {"us-gov-west-1": "aws-us-gov", "cn-north-1": "aws-cn"}
AGENT = {
    "agent_package": "https://artifacts.example.com/inference_advisor_agent-0.1.0-py3-none-any.whl#sha256=" + "0" * 64
}


PINS = {
    "container_images": {
        "vllm": "123456789012.dkr.ecr.us-east-1.amazonaws.com/engines/vllm@sha256:" + "0" * 64,
        "*": "organisation/engine:1",
    },
    "model_revisions": {"*": "0123abc", "sglang": "4567def"},
    "extra_serving_arguments": {"*": ["--enable-prefix-caching"]},
}
"""Pins that outlive a changed plan."""
RECORD = {"dns": {"zone_id": "Z0123456789ABCDEFGHIJ", "name": "chat.example.com"}}
OWN_IMAGE = "registry.example.com/vllm-arm64@sha256:" + "c" * 64


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
    """Four replicas share an instance; the 4-bit checkpoint is the catalogued one."""
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
        weights_gib=5.98,
    )
    return _alone(option, filled={}, model="meta-llama/Llama-3.2-3B-Instruct")


def t4_fp16() -> Scenario:
    """Turing has no bf16."""
    option = make_option(
        instance_type="g4dn.xlarge", accelerator="T4", precision="fp16", kv_precision="fp16", usd_per_hour=0.526
    )
    return _alone(option)


def hostile_names() -> Scenario:
    """Every free text of the plan tries to break out."""
    option = make_option(engine_version=HOSTILE, accelerator=HOSTILE, kv_precision=HOSTILE)
    cost = dataclasses.replace(option.cost, price_source=HOSTILE, price_as_of=HOSTILE)
    filled = AGENT | {"model_ids": {"us-east-1-1x-resource-null-reso-8c9bb3": "organisation/model"}}
    return _alone(dataclasses.replace(option, cost=cost), filled=filled, name=HOSTILE, model=HOSTILE)


def _fleet(*groups: FleetGroup, policy: Policy, filled: Mapping[str, Any] = AGENT) -> Scenario:
    regions = sorted({group.region for group in groups})
    return Scenario(make_fleet_plan(*groups, policy=policy), variables=variables(*regions, **filled))


def mixed_fleet() -> Scenario:
    """On-demand and spot instances of one type behind one target group, and larger ones behind another."""
    return _fleet(
        make_group(instances=(2, 2), request_shares=(0.3, 0.3)),
        make_group(purchase="spot", instances=(2, 3), instance_usd_per_hour=0.3117, request_shares=(0.4, 0.4),
                   interruptions_usd_per_month=4.2, interruptions_per_instance_hour=0.002),
        make_group(instance_type="g6e.xlarge", accelerator="L40S", instances=(1, 1), instance_usd_per_hour=1.861,
                   request_shares=(0.3, 0.3)),
        policy=Policy.STATIC,
        filled=AGENT | RECORD,
    )  # fmt: skip


def two_regions() -> Scenario:
    """Two thirds of the requests are served in Virginia, one third in Ireland."""
    return _fleet(
        make_group(instances=(4, 4), request_shares=(0.67, 0.67)),
        make_group(region="eu-west-1", instances=(2, 2), instance_usd_per_hour=0.8934, request_shares=(0.33, 0.33)),
        policy=Policy.STATIC,
        filled=AGENT
        | RECORD
        | PINS
        | {"cost_anomaly_detection": True}
        | {"model_source": "s3://weights/production", "wait_for_capacity": "30m"},
    )


def scheduled() -> Scenario:
    """Four instances in working hours, two at night; the spot group of another type never changes."""
    return _fleet(
        make_group(request_shares=(0.6, 0.7)),
        make_group(instance_type="g5.xlarge", accelerator="A10G", purchase="spot", instances=(2, 2),
                   instance_usd_per_hour=0.42, request_shares=(0.4, 0.3)),
        policy=Policy.SCHEDULED,
    )  # fmt: skip


def night_and_day() -> Scenario:
    """A small machine at night, and a large one by day: each rests while the other serves."""
    return _fleet(
        make_group(instances=(1, 0), request_shares=(1.0, 0.0), planned_requests_per_second_per_instance=1.0),
        make_group(instance_type="p5.4xlarge", accelerator="H100-SXM", instances=(0, 1), instance_usd_per_hour=4.326,
                   request_shares=(0.0, 1.0), planned_requests_per_second_per_instance=4.0),
        policy=Policy.SCHEDULED,
    )  # fmt: skip


def scheduled_to_zero() -> Scenario:
    """Nothing runs at night."""
    return _fleet(make_group(instances=(0, 3), request_shares=(0.0, 1.0)), policy=Policy.SCHEDULED)


def reactive() -> Scenario:
    """The number of instances follows the load, in two regions; in one of them two groups share a target group."""
    return _fleet(
        make_group(request_shares=(0.3, 0.3)),
        make_group(purchase="spot", instances=(1, 2), instance_usd_per_hour=0.3117, request_shares=(0.2, 0.2)),
        make_group(region="us-west-2", purchase="spot", instances=(1, 5), instance_usd_per_hour=0.3011,
                   request_shares=(0.5, 0.5)),
        policy=Policy.REACTIVE,
    )  # fmt: skip


def commitments() -> Scenario:
    """Two instances are bought ahead, and what the busy hours need more is not."""
    return _fleet(
        make_group(purchase="commitment", commitment="savings plan, 1 year, no upfront", instances=(2, 2),
                   instance_usd_per_hour=0.5071, request_shares=(1.0, 0.5)),
        make_group(instances=(0, 2), request_shares=(0.0, 0.5)),
        policy=Policy.SCHEDULED,
    )  # fmt: skip


def gpu_and_neuron() -> Scenario:
    """Hosts with and without NVIDIA metrics in one fleet."""
    return _fleet(
        make_group(instances=(2, 2), request_shares=(0.5, 0.5)),
        make_group(instance_type="inf2.8xlarge", accelerator="Inferentia2", engine="vLLM-NxDI", engine_version="0.16",
                   instances=(2, 2), instance_usd_per_hour=1.9679, request_shares=(0.5, 0.5), max_concurrency=8,
                   context_tokens=4096),
        policy=Policy.STATIC,
    )  # fmt: skip


def p5en_capacity_block() -> Scenario:
    """The user names the capacity block that was bought for it."""
    option = make_option(
        instance_type="p5en.48xlarge",
        accelerator="H200-SXM",
        accelerator_count=8.0,
        tensor_parallel=8,
        precision="fp8",
        kv_precision="fp8",
        weights_gib=630.0,
        instances=1,
        usd_per_hour=63.3,
        region="us-east-2",
        max_concurrency=256,
        context_tokens=65536,
    )
    block = {"capacity_block_ids": {"us-east-2-p5en-48xlarge-fp8-tp8-98c69d": "cr-0123456789abcdef0"}}
    return _alone(option, filled=AGENT | block, model="deepseek-ai/DeepSeek-R1")


def p4d() -> Scenario:
    """Two replicas of four A100 each, part of the capacity reserved."""
    option = make_option(
        instance_type="p4d.24xlarge",
        accelerator="A100-40GB-SXM",
        accelerator_count=8.0,
        tensor_parallel=4,
        replicas_per_instance=2,
        weights_gib=131.4,
        usd_per_hour=21.96,
        max_concurrency=48,
    )
    reserved = {"capacity_reservation_ids": {"us-east-1-p4d-24xlarge-bf16-tp4-9c3ed9": ["cr-0123456789abcdef0"]}}
    return _alone(option, filled=AGENT | reserved, model="meta-llama/Llama-3.3-70B-Instruct")


def trainium1() -> Scenario:
    """Sixteen chips show 32 cores."""
    option = make_option(
        instance_type="trn1.32xlarge",
        accelerator="Trainium1",
        accelerator_count=16.0,
        tensor_parallel=16,
        engine="vLLM-NxDI",
        engine_version="0.16",
        weights_gib=131.4,
        usd_per_hour=21.5,
        max_concurrency=16,
    )
    return _alone(option, filled={}, model="meta-llama/Llama-3.3-70B-Instruct")


def trainium2() -> Scenario:
    """The image of the plugin, and four cores a chip."""
    option = make_option(
        instance_type="trn2.48xlarge",
        accelerator="Trainium2",
        accelerator_count=16.0,
        tensor_parallel=16,
        engine="vLLM-Neuron",
        engine_version="0.24",
        weights_gib=131.4,
        usd_per_hour=35.76,
        region="us-east-2",
        max_concurrency=64,
    )
    return _alone(option, filled={}, model="meta-llama/Llama-3.3-70B-Instruct")


def g5g_arm64() -> Scenario:
    """Graviton hosts boot the arm64 machine image; the user's container is built for their GPU, which no public one is."""
    option = make_option(
        instance_type="g5g.xlarge",
        accelerator="T4G",
        precision="fp16",
        kv_precision="fp16",
        weights_gib=5.98,
        usd_per_hour=0.42,
        max_concurrency=16,
    )
    scenario = _alone(option, model="meta-llama/Llama-3.2-3B-Instruct")
    return dataclasses.replace(scenario, wanted=dataclasses.replace(scenario.wanted, image=OWN_IMAGE))


def gpt_oss_mxfp4() -> Scenario:
    """A model that is published in four bits only."""
    option = make_option(
        instance_type="g6e.12xlarge",
        accelerator="L40S",
        accelerator_count=4.0,
        tensor_parallel=4,
        precision="mxfp4",
        weights_gib=60.8,
        usd_per_hour=10.49,
    )
    return _alone(option, model="openai/gpt-oss-120b")


def pipeline_parallel() -> Scenario:
    """Two stages of two GPUs, bought as spot."""
    option = make_option(
        instance_type="g6.12xlarge",
        accelerator="L4",
        accelerator_count=4.0,
        tensor_parallel=2,
        pipeline_parallel=2,
        purchase="spot",
        weights_gib=65.5,
        usd_per_hour=1.82,
    )
    return _alone(option, model="Qwen/Qwen2.5-32B-Instruct")


def gov_cloud() -> Scenario:
    """A partition of its own."""
    return _alone(make_option(region="us-gov-west-1", instance_type="g4dn.xlarge", accelerator="T4", precision="fp16",
                              kv_precision="fp16", usd_per_hour=0.663))  # fmt: skip


def china() -> Scenario:
    """Another partition, with other host names."""
    return _alone(make_option(region="cn-north-1", instance_type="g5.xlarge", accelerator="A10G", usd_per_hour=1.21))


def cached() -> Scenario:
    """A response cache beside the fleet, one node of which may fail."""
    group = make_group(instances=(2, 2))
    plan = make_fleet_plan(group, policy=Policy.STATIC, fleet={"response_cache": make_cache()})
    return Scenario(plan, variables=variables("us-east-1", **AGENT))


SCENARIOS: Mapping[str, Make] = {
    "l4-spot": l4_spot,
    "a10g-on-demand": a10g_on_demand,
    "h100-tp8": h100_tp8,
    "l40s-replicas": l40s_replicas,
    "inferentia2": inferentia2,
    "t4-fp16": t4_fp16,
    "hostile-names": hostile_names,
    "mixed-fleet": mixed_fleet,
    "two-regions": two_regions,
    "scheduled": scheduled,
    "night-and-day": night_and_day,
    "scheduled-to-zero": scheduled_to_zero,
    "reactive": reactive,
    "commitments": commitments,
    "gpu-and-neuron": gpu_and_neuron,
    "p5en-capacity-block": p5en_capacity_block,
    "p4d": p4d,
    "trainium1": trainium1,
    "trainium2": trainium2,
    "g5g-arm64": g5g_arm64,
    "gpt-oss-mxfp4": gpt_oss_mxfp4,
    "pipeline-parallel": pipeline_parallel,
    "gov-cloud": gov_cloud,
    "china": china,
    "ec2-cache": cached,
}
