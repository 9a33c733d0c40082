"""EC2 Auto Scaling groups with other engines than vLLM."""

from collections.abc import Mapping

from advisor.codegen import Engine, Wanted
from codegen.plans import Make, Scenario, make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios.ec2 import AGENT, variables


def sglang_data_parallel() -> Scenario:
    """A planned release without TLS, two replicas on a machine, an fp8 cache."""
    option = make_option(
        instance_type="p5.48xlarge",
        accelerator="H100-SXM",
        accelerator_count=8.0,
        tensor_parallel=4,
        replicas_per_instance=2,
        precision="fp8",
        kv_precision="fp8",
        weights_gib=65.8,
        engine="SGLang",
        engine_version="0.5.9",
        usd_per_hour=55.04,
    )
    plan = make_plan(option, model="meta-llama/Llama-3.3-70B-Instruct")
    return Scenario(plan, Wanted(rank=1), variables("us-east-1", **AGENT))


def sglang_beside_vllm() -> Scenario:
    """A fleet in which one engine speaks HTTPS and the other plain HTTP."""
    vllm = make_group(request_shares=(0.5, 0.5))
    sglang = make_group(
        instance_type="g6e.xlarge",
        accelerator="L40S",
        engine="SGLang",
        engine_version="0.5.9",
        request_shares=(0.5, 0.5),
        instance_usd_per_hour=1.861,
    )
    return Scenario(make_fleet_plan(vllm, sglang), Wanted(), variables("us-east-1", **AGENT))


def tensorrt_llm() -> Scenario:
    """Long prompts on trtllm-serve, whose fp8 checkpoint is NVIDIA's."""
    option = make_option(
        instance_type="g6e.12xlarge",
        accelerator="L40S",
        accelerator_count=4.0,
        tensor_parallel=4,
        precision="fp8",
        weights_gib=65.8,
        context_tokens=32_768,
        engine="TensorRT-LLM",
        engine_version="1.2",
        usd_per_hour=10.49,
        region="us-west-2",
    )
    filled = variables("us-west-2", **AGENT, model_ids={"us-west-2-4xl40s-fp8-tp4-tensorrt-llm": "nvidia/Llama-FP8"})
    return Scenario(make_plan(option, model="meta-llama/Llama-3.3-70B-Instruct"), Wanted(rank=1), filled)


def custom_image() -> Scenario:
    """NVIDIA NIM from a registry of one's own would be an image like any other; this one is NIM's."""
    option = make_option(instance_type="g6e.xlarge", accelerator="L40S", usd_per_hour=1.861)
    wanted = Wanted(rank=1, engine=Engine.CUSTOM, image="nvcr.io/nim/meta/llama-3.1-8b-instruct:2.0.9")
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ngc-key-AbCdEf"
    filled = AGENT | {"model_source": "/models", "registry_secret_arn": secret}
    return Scenario(make_plan(option), wanted, variables("us-east-1", **filled))


SCENARIOS: Mapping[str, Make] = {
    "ec2-sglang": sglang_data_parallel,
    "ec2-sglang-beside-vllm": sglang_beside_vllm,
    "ec2-tensorrt-llm": tensorrt_llm,
    "ec2-custom-image": custom_image,
}
