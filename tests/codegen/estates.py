"""Small estates of several kinds of models, planned with the whole catalog: what sits on shared machines, and what does not."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from advisor.codegen.selection import Place
from advisor.estate import Planned, plan_estate
from advisor.plan.document import plan_from_json

_WORKLOAD = """\
name: {name}
model: {model}
slo: {slo}
demand: {{declared: {demand}}}
providers: [{provider}]
regions: [{region}]
{more}"""
TREES = Path(__file__).resolve().parents[1] / "models" / "files" / "made" / "xgboost.json"
GOOGLE, AZURE, AWS = ("gcp", "us-central1"), ("azure", "eastus"), ("aws", "us-east-1")
_KINDS = {
    "chat": (
        "meta-llama/Llama-3.2-1B-Instruct",
        "ttft_p95: 1s, tpot_p95: 100ms",
        "input_tokens: 600, output_tokens: 150",
    ),
    "rerank": ("BAAI/bge-reranker-v2-m3", "latency_p95: 1s", "input_tokens: 256, documents: 10"),
    "speech": ("openai/whisper-large-v3", "latency_p95: 20s", "audio_seconds: 20"),
    "photos": ("google/vit-base-patch16-224", "latency_p95: 200ms", ""),
    "products": ("resnet50", "latency_p95: 200ms", ""),
    "trees": (str(TREES), "latency_p95: 100ms", "rows: 10"),
}
"""Kind → its model, targets, and what a request is."""


def workload_text(name: str, kind: str, rate: float, more: str = "", place: tuple[str, str] = GOOGLE) -> str:
    """A workload file of a kind of model."""
    model, slo, request = _KINDS[kind]
    demand = f"{{requests_per_second: {rate:g}{f', {request}' if request else ''}}}"
    provider, region = place
    return _WORKLOAD.format(
        name=name, model=model, slo=f"{{{slo}}}", demand=demand, more=more, provider=provider, region=region
    )


TURNS: Mapping[str, str] = {
    "chat.yaml": workload_text("chat", "chat", 1),
    "draft.yaml": workload_text("draft", "chat", 1, "limits: {min_replicas: 1}\n"),
    "rerank/workload.yaml": workload_text("rerank", "rerank", 1),
    "speech.yaml": workload_text("speech", "speech", 0.1, "residency: [us]\n"),
    "estate.yaml": "sharing: all\n",
}
"""Three of two kinds that take turns, and one that may not sit with others since it says where it may be."""
SLICES: Mapping[str, str] = {
    **{f"chat{at}.yaml": workload_text(f"chat{at}", "chat", 2, "limits: {min_replicas: 2}\n") for at in range(5)},
    "rerank.yaml": workload_text("rerank", "rerank", 2, "limits: {min_replicas: 2}\n"),
    "speech.yaml": workload_text("speech", "speech", 0.1, "limits: {min_replicas: 2}\n"),
    "estate.yaml": "sharing: mig\n",
}
"""Seven of three kinds on the slices of two copies."""


AZURE_SLICES: Mapping[str, str] = {
    **{f"chat{at}.yaml": workload_text(f"chat{at}", "chat", 2, place=AZURE) for at in range(6)},
    "speech.yaml": workload_text("speech", "speech", 0.1, place=AZURE),
    "estate.yaml": "sharing: mig\n",
}
"""Seven of two kinds on the slices of one machine of Azure."""
AWS_TURNS: Mapping[str, str] = {
    **{f"chat{at}.yaml": workload_text(f"chat{at}", "chat", 1, place=AWS) for at in range(2)},
    "rerank.yaml": workload_text("rerank", "rerank", 1, place=AWS),
    "estate.yaml": "sharing: all\n",
}
"""Three of two kinds that take turns on a machine of AWS."""


AZURE_TURNS: Mapping[str, str] = {
    **{f"rerank{at}.yaml": workload_text(f"rerank{at}", "rerank", 0.5, place=AZURE) for at in range(2)},
    "speech.yaml": workload_text("speech", "speech", 0.02, place=AZURE),
    "estate.yaml": "sharing: all\n",
}
"""Two that take turns on a machine of Azure, and one that no seat is cheap enough for."""


def by_mps(files: Mapping[str, str]) -> Mapping[str, str]:
    """The same estate, whose accelerators are divided by MPS."""
    return {**files, "estate.yaml": "sharing: mps\n"}


AWS_MPS: Mapping[str, str] = by_mps(AWS_TURNS)
"""Three of two kinds on equal parts of an accelerator of AWS."""
AZURE_MPS: Mapping[str, str] = by_mps(AZURE_TURNS)
"""Two on equal parts of an accelerator of Azure."""
GOOGLE_MPS: Mapping[str, str] = by_mps(TURNS)
"""Three of two kinds that no code divides an accelerator of Google for."""


MODELS: Mapping[str, str] = {
    "photos.yaml": workload_text("photos", "photos", 60),
    "products.yaml": workload_text("products", "products", 80),
    "goods.yaml": workload_text("goods", "products", 60),
    "fraud.yaml": workload_text("fraud", "trees", 200),
    "estate.yaml": "sharing: all\n",
}
"""Four on one Triton, which has the accelerator to itself: two of one model, and trees."""
AWS_MODELS: Mapping[str, str] = {
    "photos.yaml": workload_text("photos", "photos", 60, place=AWS),
    "products.yaml": workload_text("products", "products", 80, place=AWS),
    "rerank.yaml": workload_text("rerank", "rerank", 2, place=AWS),
    "estate.yaml": "sharing: all\n",
}
"""Two on one Triton, in turns with a server of another engine."""
AZURE_MODELS: Mapping[str, str] = {
    "photos.yaml": workload_text("photos", "photos", 60, "limits: {min_replicas: 2}\n", AZURE),
    "products.yaml": workload_text("products", "products", 80, "limits: {min_replicas: 2}\n", AZURE),
    "estate.yaml": "sharing: all\n",
}
"""Two on one Triton, on each of two copies."""


BASE: Mapping[str, str] = {
    f"tune{at}.yaml": workload_text(f"tune{at}", "chat", 0.1, f"adapters: [{{id: acme/tune-{at}, rank: 16}}]\n", AWS)
    for at in range(2)
}
"""Two adapters of one model, which cost less as one deployment."""


def written(files: Mapping[str, str], directory: Path) -> Path:
    """The files of an estate in a directory."""
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


@cache
def planned(name: str) -> Planned:
    """The plans of an estate of this module, by its name."""
    with TemporaryDirectory() as folder:
        return plan_estate(written(globals()[name], Path(folder)))


def place(name: str) -> Place:
    """Its only shared machine."""
    found = planned(name)
    (machine,) = found.estate.shared_machines
    plans = {file: plan_from_json(text) for file, text in found.plans.items()}
    return Place(0, machine, plans)
