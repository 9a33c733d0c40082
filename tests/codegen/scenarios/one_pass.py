"""Models that answer in one pass: each server and, among them, each way in which a target runs it.

Two more are generated without the tools of the golden stacks: a container is the same there as for language models.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from advisor.codegen import Wanted
from advisor.demand.values import Unit
from advisor.models.catalog import find_model
from advisor.plan.fleet.chosen import FleetGroup, Policy
from advisor.plan.values import Interval
from codegen.plans import Make, Scenario, make_fleet_plan, make_group
from codegen.scenarios import (
    azure_aks,
    azure_container_apps,
    azure_vm_scale_set,
    cloud_run,
    ec2,
    eks,
    gcp_mig,
    gke,
    managed_kubernetes,
)

EMBEDDER, RERANKER = "BAAI/bge-m3", "BAAI/bge-reranker-v2-m3"
QWEN, E5 = "Qwen/Qwen3-Embedding-8B", "intfloat/e5-mistral-7b-instruct"
VIT = "google/vit-base-patch16-224"
WHISPER, SDXL = "openai/whisper-large-v3", "stabilityai/stable-diffusion-xl-base-1.0"
_SHARED: Mapping[str, Any] = {
    "max_concurrency": 16,
    "context_tokens": 512,
    "kv_precision": "auto",
    "engine_version": "",
    "weights_gib": 1.06,
    "requests_per_second_per_replica": Interval(40.0, 30.0, 48.0),
    "planned_requests_per_second_per_instance": 36.0,
}


def _group(**changes: Any) -> FleetGroup:
    """Half of the requests on two machines, unless *changes* say otherwise."""
    return make_group(**{"instances": (2, 2), "request_shares": (0.5, 0.5), **_SHARED, **changes})


def _plan(
    *groups: FleetGroup, model: str, unit: Unit, size: float, items: float = 1.0, policy: Policy = Policy.STATIC, **slo: Any
) -> Any:  # fmt: skip
    """A plan of requests of so many items of a size."""
    plan = make_fleet_plan(*groups, policy=policy, model=model, fleet={"unit": unit})
    tensors = () if unit is Unit.ROWS else find_model(model).inputs
    inputs = [{**asdict(tensor), "shape": list(tensor.shape)} for tensor in tensors]
    targets = {"ttft_p95_ms": None, "tpot_p95_ms": None, "e2e_p95_ms": None, "within_ratio": 0.99, **slo}
    lengths = {
        name: dict.fromkeys(("mean", "p50", "p95", "p99", "max"), value)
        for name, value in (("input_tokens", size), ("output_tokens", items))
    }
    return dataclasses.replace(
        plan,
        workload={
            **plan.workload,
            "slo": targets,
            "context_tokens": 512,
            **({"model_inputs": inputs} if inputs else {}),
        },
        demand={**plan.demand, **lengths, "unit": unit.value},
    )


def _cpu(instance_type: str, cores: str, **changes: Any) -> FleetGroup:
    """Machines without an accelerator."""
    fields = {
        "engine": "vLLM (pooling)",
        "max_concurrency": 4,
        "instance_usd_per_hour": 0.357,
        "memory_utilization": 0.9,
    }
    return _group(instance_type=instance_type, accelerator=f"{cores}", evidence="roofline", **(fields | changes))


_SAPPHIRE, _GRAVITON = "4 cores of Intel Xeon 8488C (Sapphire Rapids)", "8 cores of AWS Graviton4 (Neoverse V2)"
_AXION, _EPYC = "8 cores of Google Axion (Neoverse V2)", "4 cores of AMD EPYC 9V74 (Genoa)"


def embeddings_on_ec2() -> Scenario:
    """Text Embeddings Inference, which speaks plain HTTP, beside Arm processors, whose hosts install Docker."""
    plan = _plan(
        _group(engine="Text Embeddings Inference", precision="fp16"),
        _cpu("c8g.2xlarge", _GRAVITON),
        model=EMBEDDER, unit=Unit.TEXTS, size=512.0, latency_ms=200.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(), ec2.variables("us-east-1", **ec2.AGENT))


def reranker_on_eks() -> Scenario:
    """By the load, in texts: vLLM on two GPUs of a node, and Text Embeddings Inference in fp32 on processors."""
    plan = _plan(
        _group(engine="vLLM (pooling)", instance_type="g6.12xlarge", accelerator_count=4.0, replicas_per_instance=4,
               planned_requests_per_second_per_instance=60.0),
        _cpu("c7i.2xlarge", _SAPPHIRE, engine="Text Embeddings Inference", precision="fp32", weights_gib=2.12),
        model=RERANKER, unit=Unit.TEXTS, size=512.0, items=23.0, policy=Policy.REACTIVE, latency_ms=1000.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="eks"), eks.variables("us-east-1"))


def embeddings_on_karpenter() -> Scenario:
    """Nodes without an accelerator alone."""
    plan = _plan(
        _cpu("c7i.2xlarge", _SAPPHIRE, request_shares=(1.0, 1.0)),
        model=EMBEDDER, unit=Unit.TEXTS, size=512.0, latency_ms=500.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="eks-karpenter"), eks.variables("us-east-1", is_karpenter=True))


_L4 = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
_WHISPER = {"engine": "vLLM (transcription)", "weights_gib": 2.87, "context_tokens": 1, "request_shares": (1.0, 1.0)}


def speech_on_mig() -> Scenario:
    """Recordings of two windows each, within a fifth of their length."""
    plan = _plan(
        _group(**_L4, **_WHISPER), model=WHISPER, unit=Unit.AUDIO, size=45_000.0, real_time_factor=0.2
    )  # fmt: skip
    return Scenario(plan, Wanted(), gcp_mig.variables("us-central1"))


def speech_on_cloud_run() -> Scenario:
    """A container that takes two batches of recordings."""
    run = {**_L4, "instance_type": "Cloud Run L4", "purchase": "serverless"}
    plan = _plan(
        _group(**run, **_WHISPER), model=WHISPER, unit=Unit.AUDIO, size=45_000.0, real_time_factor=0.2
    )  # fmt: skip
    return Scenario(plan, Wanted(), cloud_run.variables("us-central1"))


def embeddings_on_gke() -> Scenario:
    """Text Embeddings Inference on L4 beside Arm processors: both where plain HTTP stays in the cluster."""
    axion = {"provider": "gcp", "region": "us-central1"}
    plan = _plan(
        _group(**_L4, engine="Text Embeddings Inference", precision="fp16"),
        _cpu("c4a-standard-8", _AXION, **axion),
        model=EMBEDDER, unit=Unit.TEXTS, size=512.0, latency_ms=200.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="gke"), gke.variables("us-central1"))


_AZURE = {"provider": "azure", "region": "eastus"}
_T4 = {"instance_type": "Standard_NC4as_T4_v3", "accelerator": "T4", "precision": "fp16"}
"""It has no bf16."""


def reranker_on_aks() -> Scenario:
    """Text Embeddings Inference on T4, whose image is one of its own, beside processors of AMD."""
    plan = _plan(
        _group(**_AZURE, **_T4, engine="Text Embeddings Inference"),
        _cpu("Standard_D8as_v6", _EPYC, **_AZURE),
        model=RERANKER, unit=Unit.TEXTS, size=512.0, items=23.0, latency_ms=1000.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="aks"), azure_aks.variables("eastus"))


def pictures_on_scale_sets() -> Scenario:
    """vLLM-Omni, whose number of hosts follows the pictures that it finishes."""
    plan = _plan(
        _group(
            **_AZURE, instance_type="Standard_NC24ads_A100_v4", accelerator="A100-80GB-PCIe", engine="vLLM-Omni",
            weights_gib=6.5, max_concurrency=1, context_tokens=1, request_shares=(1.0, 1.0), instances=(1, 3),
            planned_requests_per_second_per_instance=0.4,
        ),
        model=SDXL, unit=Unit.PICTURES, size=2.1e7, policy=Policy.REACTIVE, latency_ms=20_000.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(), azure_vm_scale_set.variables("eastus"))


def embeddings_on_container_apps() -> Scenario:
    """VLLM for one text a request, whose queue is read from its log."""
    plan = _plan(
        _group(
            **_AZURE, **_T4, engine="vLLM (pooling)", request_shares=(1.0, 1.0)
        ),
        model=EMBEDDER, unit=Unit.TEXTS, size=512.0, latency_ms=200.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="container-apps"), azure_container_apps.filled("eastus"))


_VIT = {
    "engine": "Triton (TensorRT)",
    "precision": "fp16",
    "weights_gib": 0.16,
    "max_concurrency": 40,
    "context_tokens": 1,
}
_ON_CORES = {"engine": "OpenVINO Model Server (ONNX)", "precision": "bf16", "max_concurrency": 1}


def images_on_ec2() -> Scenario:
    """Triton, whose metrics have a port of their own and quantiles, on T4, and OpenVINO on processors."""
    plan = _plan(
        _group(**_VIT, instance_type="g4dn.xlarge", accelerator="T4"),
        _cpu("c7i.2xlarge", _SAPPHIRE, **(_VIT | _ON_CORES)),
        model=VIT, unit=Unit.IMAGES, size=1.0, latency_ms=50.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(), ec2.variables("us-east-1", **ec2.AGENT, model_ids={"*": "team/vit-onnx"}))


def gguf_on_ec2() -> Scenario:
    """llama.cpp on T4 and on processors: it tells no times, so that the load balancer's are watched."""
    gguf = {"engine": "llama.cpp server", "precision": "int4", "weights_gib": 0.4, "max_concurrency": 4}
    plan = _plan(
        _group(**gguf, instance_type="g4dn.xlarge", accelerator="T4"),
        _cpu("c7i.2xlarge", _SAPPHIRE, **gguf),
        model=EMBEDDER, unit=Unit.TEXTS, size=100.0, latency_ms=500.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(), ec2.variables("us-east-1", **ec2.AGENT, model_ids={"*": "team/embedder-gguf"}))


def trees_on_ec2() -> Scenario:
    """Triton's backend for trees, on T4 and on processors."""
    forest = {"engine": "Triton (FIL)", "precision": "fp32", "weights_gib": 0.1, "context_tokens": 1}
    plan = _plan(
        _group(**forest, instance_type="g4dn.xlarge", accelerator="T4", max_concurrency=4096),
        _cpu("c7i.2xlarge", _SAPPHIRE, **forest, max_concurrency=512),
        model="fraud.ubj", unit=Unit.ROWS, size=48.0, items=4.0, latency_ms=20.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(), ec2.variables("us-east-1", **ec2.AGENT, model_ids={"*": "team/fraud"}))


def images_on_gke() -> Scenario:
    """Triton on L4, in replicas that follow its queue."""
    plan = _plan(
        _group(**_L4, **_VIT, request_shares=(1.0, 1.0), instances=(1, 3)),
        model=VIT, unit=Unit.IMAGES, size=1.0, policy=Policy.REACTIVE, latency_ms=50.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="gke"), gke.variables("us-central1"))


def pictures_on_aks() -> Scenario:
    """OpenVINO Model Server on processors, which tells no load."""
    plan = _plan(
        _cpu(
            "Standard_D8as_v6", _EPYC, **_AZURE, engine="OpenVINO Model Server", weights_gib=6.5, max_concurrency=1,
            context_tokens=1, request_shares=(1.0, 1.0), planned_requests_per_second_per_instance=0.01,
        ),
        model=SDXL, unit=Unit.PICTURES, size=2.1e7, latency_ms=120_000.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="aks"), azure_aks.variables("eastus"))


_INFERENTIA = {"accelerator": "Inferentia2", "precision": "bf16", "evidence": "roofline"}
_TOOLKIT = {"engine": "Optimum Neuron", "max_concurrency": 2, "memory_utilization": 0.9}


def embeddings_on_neuron() -> Scenario:
    """The inference toolkit, which tells nothing, on one chip and on six: a worker for each NeuronCore."""
    plan = _plan(
        _group(**_INFERENTIA, **_TOOLKIT, instance_type="inf2.xlarge"),
        _group(**_INFERENTIA, **_TOOLKIT, instance_type="inf2.24xlarge", accelerator_count=6.0, replicas_per_instance=6,
               planned_requests_per_second_per_instance=216.0),
        model=EMBEDDER, unit=Unit.TEXTS, size=512.0, latency_ms=200.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(), ec2.variables("us-east-1", **ec2.AGENT, model_ids={"*": "team/bge-m3-neuron"}))


_QWEN = {"weights_gib": 15.26, "request_shares": (1.0, 1.0), "planned_requests_per_second_per_instance": 4.0}


def decoder_embeddings_on_neuron() -> Scenario:
    """Optimum Neuron's vLLM, which compiles for one text of the longest length, in a cluster."""
    plan = _plan(
        _group(**_INFERENTIA, **_QWEN, engine="Optimum Neuron (vLLM)", instance_type="inf2.8xlarge", max_concurrency=1),
        model=QWEN, unit=Unit.TEXTS, size=400.0, latency_ms=2000.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="eks"), eks.variables("us-east-1"))


_TPU = {
    "provider": "gcp",
    "accelerator": "TPU-v6e",
    "engine": "vLLM (pooling)",
    "evidence": "roofline",
    "memory_utilization": 0.9,
}


def decoder_embeddings_on_tpu() -> Scenario:
    """Four copies on the chips of a TPU machine."""
    plan = _plan(
        _group(**_TPU, **_QWEN, region="us-east5", instance_type="ct6e-standard-4t", accelerator_count=4.0,
               replicas_per_instance=4),
        model=QWEN, unit=Unit.TEXTS, size=400.0, latency_ms=2000.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(), gcp_mig.variables("us-east5"))


def decoder_embeddings_on_tpu_nodes() -> Scenario:
    """A chip for a pod of a cluster."""
    plan = _plan(
        _group(**_TPU, **_QWEN, region="us-east5", instance_type="ct6e-standard-1t"),
        model=QWEN, unit=Unit.TEXTS, size=400.0, latency_ms=2000.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="gke"), gke.variables("us-east5"))


def decoder_embeddings_on_gaudi() -> Scenario:
    """A card for each of eight pods of a machine of IBM, whose nodes are the user's."""
    plan = _plan(
        _group(provider="ibm", region="us-east", instance_type="gx3d-160x1792x8gaudi3", accelerator="Gaudi3",
               accelerator_count=8.0, replicas_per_instance=8, engine="vLLM (pooling)", weights_gib=13.25,
               request_shares=(1.0, 1.0), planned_requests_per_second_per_instance=160.0, memory_utilization=0.9),
        model=E5, unit=Unit.TEXTS, size=400.0, latency_ms=10_000.0,
    )  # fmt: skip
    return Scenario(plan, Wanted(target="kubernetes"), managed_kubernetes.variables("us-east"))


SCENARIOS: Mapping[str, Make] = {
    "ec2-embeddings": embeddings_on_ec2,
    "eks-reranker": reranker_on_eks,
    "eks-karpenter-processors": embeddings_on_karpenter,
    "mig-speech": speech_on_mig,
    "gke-embeddings": embeddings_on_gke,
    "aks-reranker": reranker_on_aks,
    "ec2-images": images_on_ec2,
    "ec2-gguf": gguf_on_ec2,
    "ec2-trees": trees_on_ec2,
    "gke-images": images_on_gke,
    "aks-pictures": pictures_on_aks,
    "vm-scale-set-pictures": pictures_on_scale_sets,
    "ec2-neuron-embeddings": embeddings_on_neuron,
    "eks-neuron-embeddings": decoder_embeddings_on_neuron,
    "tpu-vm-embeddings": decoder_embeddings_on_tpu,
    "gke-tpu-embeddings": decoder_embeddings_on_tpu_nodes,
    "kubernetes-gaudi": decoder_embeddings_on_gaudi,
}
