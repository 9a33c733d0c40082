"""Two simulated clusters of two clouds with their metrics: what runs in them is known, so what is found can be judged."""

from dataclasses import dataclass, field

import numpy as np

EKS, GKE = "prod-eks", "prod-gke"
LENGTH_BOUNDS = (1.0, 10.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0)
SECOND_BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Machine:
    """Kind of the nodes of a service."""

    provider: str
    region: str
    instance_type: str
    purchase: str
    gpus: int

    def labels(self) -> dict[str, str]:
        """As the cloud's own controllers set them."""
        labels = {
            "node.kubernetes.io/instance-type": self.instance_type, "topology.kubernetes.io/region": self.region,
        }  # fmt: skip
        if self.provider == "aws":
            return labels | {"eks.amazonaws.com/capacityType": self.purchase.upper()}
        return labels | ({"cloud.google.com/gke-spot": "true"} if self.purchase == "spot" else {})

    def provider_id(self, number: int) -> str:
        """Id of a node's machine."""
        if self.provider == "aws":
            return f"aws:///{self.region}a/i-{number:017x}"
        return f"gce://project/{self.region}-a/gke-{number}"


@dataclass(frozen=True)
class Truth:
    """A service as it really is."""

    context: str
    kind: str
    namespace: str
    name: str
    engine: str
    model: str
    machine: Machine
    replicas: int
    per_replica: int
    """Accelerators of a replica."""
    hosts: int = 1
    """Nodes of a replica."""
    rate: float = 2.0
    """Requests per second of all replicas."""
    tokens: tuple[float, float] = (600.0, 150.0)
    ttft_p95_seconds: float = 0.4
    tpot_p95_seconds: float = 0.03
    served_name: str = ""
    container: dict = field(default_factory=dict)
    """Of its pods."""
    is_planned: bool = True

    @property
    def instances(self) -> int:
        """Nodes of all replicas."""
        return self.replicas * self.hosts

    @property
    def pod_names(self) -> list[str]:
        """As their controller names them."""
        return {
            "Deployment": [f"{self.name}-7d9f8c6b5-{number:05d}" for number in range(self.replicas)],
            "StatefulSet": [f"{self.name}-{number}" for number in range(self.replicas)],
            "LeaderWorkerSet": [
                f"{self.name}-{group}" + (f"-{host}" if host else "")
                for group in range(self.replicas) for host in range(self.hosts)
            ],
            "InferenceService": [f"{self.name}-predictor-6c5d-{number:05d}" for number in range(self.replicas)],
            "RayService": [f"{self.name}-raycluster-x2k9z-gpu-worker-{number:05d}" for number in range(self.replicas)],
        }[self.kind]  # fmt: skip


def container(image: str, *words: str, gpus: int, **variables: str) -> dict:
    """A container with accelerators."""
    return {
        "name": "server", "image": image, "args": list(words),
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
    }  # fmt: skip


SERVICES = (
    Truth(
        EKS, "Deployment", "chat", "llama-chat", "vLLM", "meta-llama/Llama-3.1-8B-Instruct",
        Machine("aws", "us-east-1", "g6e.xlarge", "on_demand", 1), 3, 1, rate=4.0, tokens=(700.0, 180.0),
        served_name="chat",
        container=container(
            "vllm/vllm-openai:v0.11.0", "--model", "$(MODEL)", "--served-model-name=chat", "--max-model-len", "16k",
            gpus=1, MODEL="meta-llama/Llama-3.1-8B-Instruct",
        ),
    ),
    Truth(
        EKS, "StatefulSet", "code", "qwen-coder", "SGLang", "Qwen/Qwen3-32B",
        Machine("aws", "us-west-2", "g6e.12xlarge", "spot", 4), 2, 4, rate=1.2, tokens=(1500.0, 300.0),
        ttft_p95_seconds=1.2, tpot_p95_seconds=0.05,
        container={
            "name": "sglang", "image": "lmsysorg/sglang:v0.5.4", "command": ["/bin/bash", "-c"],
            "args": [("set -e\nexport HF_HOME=/cache\nexec python3 -m sglang.launch_server \\\n"
                     "  --model-path Qwen/Qwen3-32B \\\n  --tp 4 --context-length 32768\n")],
            "resources": {"limits": {"nvidia.com/gpu": 4}},
        },
    ),
    Truth(
        EKS, "LeaderWorkerSet", "research", "llama-70b", "vLLM", "meta-llama/Llama-3.3-70B-Instruct",
        Machine("aws", "us-east-1", "g6e.12xlarge", "on_demand", 4), 1, 8, hosts=2, rate=0.4, tokens=(900.0, 250.0),
        ttft_p95_seconds=2.0, tpot_p95_seconds=0.07,
        container=container(
            "vllm/vllm-openai:v0.11.0", "serve", "meta-llama/Llama-3.3-70B-Instruct", "-tp", "4",
            "--pipeline-parallel-size=2", "--max-model-len=8192", gpus=4,
        ),
    ),
    Truth(
        GKE, "InferenceService", "support", "mistral", "vLLM", "mistralai/Mistral-7B-Instruct-v0.3",
        Machine("gcp", "us-central1", "a2-highgpu-1g", "spot", 1), 2, 1, rate=3.0, tokens=(400.0, 120.0),
        served_name="mistral",
        container=container(
            "kserve/huggingfaceserver:v0.15.0-gpu", "--model_name=mistral", "--model_dir=/mnt/models", gpus=1
        ),
    ),
    Truth(
        GKE, "RayService", "rag", "qwen-rag", "vLLM", "Qwen/Qwen2.5-14B-Instruct",
        Machine("gcp", "us-central1", "g2-standard-24", "on_demand", 2), 2, 2, rate=0.8, tokens=(1200.0, 200.0),
        ttft_p95_seconds=1.5, tpot_p95_seconds=0.08, served_name="qwen-rag",
        container=container("rayproject/ray-llm:2.49.0-py311-cu128", gpus=2),
    ),
    Truth(
        GKE, "Deployment", "summaries", "gemma", "TGI", "google/gemma-2-9b-it",
        Machine("gcp", "us-central1", "g2-standard-24", "on_demand", 2), 2, 2, rate=0.6, tokens=(800.0, 160.0),
        ttft_p95_seconds=0.0, tpot_p95_seconds=0.06,
        container=container(
            "ghcr.io/huggingface/text-generation-inference:3.3.4", "--num-shard", "2", gpus=2,
            MODEL_ID="google/gemma-2-9b-it",
        ),
    ),
    Truth(
        GKE, "Deployment", "search", "embedder", "TEI", "BAAI/bge-m3",
        Machine("gcp", "us-central1", "g2-standard-4", "on_demand", 1), 1, 1, rate=5.0, tokens=(300.0, 0.0),
        ttft_p95_seconds=0.0, tpot_p95_seconds=0.0, is_planned=False,
        container=container(
            "ghcr.io/huggingface/text-embeddings-inference:89-1.8", "--model-id=BAAI/bge-m3", gpus=1
        ),
    ),
    Truth(
        EKS, "Deployment", "vision", "detector", "Triton", "yolo",
        Machine("aws", "us-east-1", "g5.xlarge", "on_demand", 1), 1, 1, rate=5.0, tokens=(0.0, 0.0),
        ttft_p95_seconds=0.0, tpot_p95_seconds=0.0, is_planned=False, served_name="yolo",
        container=container(
            "nvcr.io/nvidia/tritonserver:25.06-py3", "tritonserver", "--model-repository=s3://models/vision", gpus=1
        ),
    ),
)  # fmt: skip
"""Six language models that plans are made for, and two services that answer in one pass."""
PLANNED = tuple(truth for truth in SERVICES if truth.is_planned)


def objects(context: str) -> dict[str, list[dict]]:
    """Lists of a cluster's API server, by the plural of the kind."""
    lists: dict[str, list[dict]] = {
        "nodes": [], "pods": [], "deployments": [], "statefulsets": [], "leaderworkersets": [],
        "inferenceservices": [], "rayservices": [],
    }  # fmt: skip
    number = 1 if context == EKS else 1001
    lists["nodes"].append(_node("system-1", Machine("aws", "us-east-1", "m5.large", "on_demand", 0), 999))
    lists["deployments"].append(_deployment("kube-system", "coredns", 2, {"containers": [{"image": "coredns"}]}))
    for truth in (truth for truth in SERVICES if truth.context == context):
        lists[f"{truth.kind.lower()}s"].append(_controller(truth))
        if truth.kind == "InferenceService":  # KServe makes a Deployment of it
            inner = _deployment(
                truth.namespace, f"{truth.name}-predictor", truth.replicas, _spec(truth), _labels(truth)
            )
            lists["deployments"].append(inner)
        for name in truth.pod_names:
            node = f"node-{number}"
            lists["nodes"].append(_node(node, truth.machine, number))
            lists["pods"].append({
                "metadata": {"namespace": truth.namespace, "name": name, "labels": _labels(truth)},
                "spec": {**_spec(truth), "nodeName": node},
                "status": {"phase": "Running", "podIP": f"10.{number // 250}.0.{number % 250}"},
            })  # fmt: skip
            number += 1
    return lists


def _node(name, machine, number):
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **machine.labels()}},
        "spec": {"providerID": machine.provider_id(number)},
    }


def _labels(truth):
    return {
        "Deployment": {"app": truth.name}, "StatefulSet": {"app": truth.name},
        "LeaderWorkerSet": {"leaderworkerset.sigs.k8s.io/name": truth.name},
        "InferenceService": {"serving.kserve.io/inferenceservice": truth.name},
        "RayService": {"ray.io/originated-from-cr-name": truth.name, "ray.io/node-type": "worker"},
    }[truth.kind]  # fmt: skip


def _spec(truth):
    return {"containers": [truth.container, {"name": "sidecar", "image": "envoy:1"}]}


def _deployment(namespace, name, replicas, spec, labels=None):
    labels = labels or {"app": name}
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }  # fmt: skip


def _controller(truth):
    metadata = {"namespace": truth.namespace, "name": truth.name}
    if truth.kind in {"Deployment", "StatefulSet"}:
        return _deployment(truth.namespace, truth.name, truth.replicas, _spec(truth))
    if truth.kind == "LeaderWorkerSet":
        template = {"size": truth.hosts, "workerTemplate": {"spec": _spec(truth)}}
        return {"metadata": metadata, "spec": {"replicas": truth.replicas, "leaderWorkerTemplate": template}}
    if truth.kind == "InferenceService":
        model = {"modelFormat": {"name": "huggingface"}, "storageUri": f"hf://{truth.model}"}
        return {"metadata": metadata, "spec": {"predictor": {"model": model}}}
    serve = (
        "applications:\n- name: llm\n  import_path: ray.serve.llm:build_openai_app\n  args:\n    llm_configs:\n"
        f"    - model_loading_config: {{model_id: {truth.served_name}, model_source: {truth.model}}}\n"
        f"      engine_kwargs: {{tensor_parallel_size: {truth.per_replica}, max_model_len: 8192}}\n"
    )
    group = {"replicas": truth.replicas, "template": {"spec": _spec(truth)}}
    return {"metadata": metadata, "spec": {"serveConfigV2": serve, "rayClusterConfig": {"workerGroupSpecs": [group]}}}


_NAMES = {
    "vLLM": {
        "requests": "vllm:request_success_total", "prompt": "vllm:prompt_tokens_total",
        "answer": "vllm:generation_tokens_total", "prompts": "vllm:request_prompt_tokens",
        "answers": "vllm:request_generation_tokens", "ttft": "vllm:time_to_first_token_seconds",
        "tpot": "vllm:request_time_per_output_token_seconds",
    },
    "SGLang": {
        "requests": "sglang:num_requests_total", "prompt": "sglang:prompt_tokens_total",
        "answer": "sglang:generation_tokens_total", "prompts": "sglang:prompt_tokens_histogram",
        "answers": "sglang:generation_tokens_histogram", "ttft": "sglang:time_to_first_token_seconds",
        "tpot": "sglang:inter_token_latency_seconds",
    },
    "TGI": {
        "requests": "tgi_request_count", "prompts": "tgi_request_input_length",
        "answers": "tgi_request_generated_tokens", "tpot": "tgi_batch_inference_duration",
    },
    "TEI": {"requests": "te_request_count", "prompts": "te_request_input_length"},
    "Triton": {"requests": "nv_inference_request_success"},
}  # fmt: skip


def series(truth: Truth, times_ms: np.ndarray) -> list:
    """Series of all replicas as a Prometheus operator's scrapes label them: (labels, points)."""
    made = []
    serving = [name for name in truth.pod_names if truth.hosts == 1 or name.count("-") == truth.name.count("-") + 1]
    step_seconds = float(times_ms[1] - times_ms[0]) / 1000
    wave = 1 + 0.5 * np.sin(np.arange(len(times_ms)) / 60)
    expected = wave * (truth.rate / len(serving) / wave.mean() * step_seconds)
    for number, name in enumerate(serving):
        arrivals = np.random.default_rng([number, *truth.name.encode()]).poisson(expected)
        requests = np.concatenate(([0.0], np.cumsum(arrivals[:-1])))
        labels = {"namespace": truth.namespace, "pod": name, "job": truth.name, "instance": f"{name}:8000"}
        labels |= _model_labels(truth)
        made += list(_of_replica(truth, labels, times_ms, requests))
    return made


def _model_labels(truth):
    if truth.engine in {"TGI", "TEI"}:
        return {}
    key = "model" if truth.engine == "Triton" else "model_name"
    return {key: truth.served_name or truth.model, **({"engine": "0"} if truth.engine == "vLLM" else {})}


def _of_replica(truth, labels, times_ms, requests):
    names = _NAMES[truth.engine]
    if truth.kind == "RayService":
        names = {part: name.replace("vllm:", "ray_vllm_") for part, name in names.items()}
    prompt, answer = truth.tokens

    def one(part, values, suffix="", **more):
        points = [(int(at), float(value)) for at, value in zip(times_ms, values, strict=True)]
        return {"__name__": names[part] + suffix, **labels, **more}, points

    yield one("requests", requests)
    if "prompt" in names:
        yield one("prompt", requests * prompt)
        yield one("answer", requests * answer)
    for part, mean, bounds in (
        ("prompts", prompt, LENGTH_BOUNDS), ("answers", answer, LENGTH_BOUNDS),
        ("ttft", truth.ttft_p95_seconds / 2, SECOND_BOUNDS), ("tpot", truth.tpot_p95_seconds / 2, SECOND_BOUNDS),
    ):  # fmt: skip
        if part not in names or not mean:
            continue
        more = {"method": "decode"} if truth.engine == "TGI" and part == "tpot" else {}
        yield one(part, requests * mean, "_sum", **more)
        yield one(part, requests, "_count", **more)
        for bound in (*bounds, np.inf):
            share = 1 - 0.05 ** (bound / (2 * mean)) if np.isfinite(bound) else 1.0  # 95 % are below twice the mean
            yield one(part, requests * share, "_bucket", le="+Inf" if np.isinf(bound) else f"{bound}", **more)
