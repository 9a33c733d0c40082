"""Every kind of model, from demand to Terraform and Pulumi: on NVIDIA, on processors, on another accelerator."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.pipeline import recommend
from codegen.check import findings

MADE = Path(__file__).resolve().parents[1] / "models" / "files" / "made"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "kinds.md"
MACHINES = {
    "NVIDIA": ("aws", "us-east-1", "[g4dn.xlarge, g6.xlarge, g6e.2xlarge]"),
    "processors": ("aws", "us-east-1", "[c7i.4xlarge, m7i.16xlarge]"),
    "Inferentia2": ("aws", "us-east-1", "[inf2.xlarge, inf2.8xlarge]"),
    "TPU": ("gcp", "us-east5", "[ct6e-standard-1t]"),
    "Gaudi 3": ("ibm", "us-east", "[gx3d-160x1792x8gaudi3]"),
}


@dataclass(frozen=True)
class Asked:
    """A model with a small demand, and the server that is planned for it on each machine."""

    model: str
    declared: str
    slo: str
    servers: dict[str, str]


def asked(model, declared, slo, *servers):
    """A row with the servers in the order of the machines; where none is named the rejection says why."""
    return Asked(model, declared, slo, dict(zip(MACHINES, (*servers, "", "", ""), strict=False)))


TEI, VLLM, NEURON, VLLM_NEURON = (
    "Text Embeddings Inference",
    "vLLM (pooling)",
    "Optimum Neuron",
    "Optimum Neuron (vLLM)",
)
TRITON, OPENVINO = "Triton (TensorRT)", "OpenVINO Model Server (ONNX)"
PICTURE = "images: {width: 1024, height: 1024}"
ROWS = {
    "bge-m3": asked("BAAI/bge-m3", "20, input_tokens: 512", "latency_p95: 500ms", TEI, VLLM, NEURON, "", VLLM),
    "bge-reranker-v2-m3": asked(
        "BAAI/bge-reranker-v2-m3", "2, documents: 23, tokens_per_document: 512", "latency_p95: 5s",
        TEI, VLLM, NEURON, "", VLLM,
    ),
    "ColBERT": asked(
        "colbert-ir/colbertv2.0", "20, input_tokens: 180", "latency_p95: 500ms", VLLM, VLLM,
    ),
    "SPLADE": asked("naver/splade-v3", "20, input_tokens: 180", "latency_p95: 1s", TEI, TEI),
    "e5-mistral-7b": asked(
        "intfloat/e5-mistral-7b-instruct", "1, input_tokens: 400", "latency_p95: 10s", TEI, VLLM, "", "", VLLM
    ),
    "Qwen3-Embedding-8B": asked(
        "Qwen/Qwen3-Embedding-8B", "1, input_tokens: 400", "latency_p95: 10s", TEI, VLLM, VLLM_NEURON, VLLM, VLLM
    ),
    "Whisper large-v3": asked(
        "openai/whisper-large-v3", "0.2, audio_seconds: 45", "real_time_factor: 0.5",
        "vLLM (transcription)", "vLLM (transcription)",
    ),
    "SDXL": asked(
        "stabilityai/stable-diffusion-xl-base-1.0", f"0.01, steps: 20, {PICTURE}", "latency_p95: 10m",
        "vLLM-Omni", "OpenVINO Model Server",
    ),
    "FLUX": asked(
        "black-forest-labs/FLUX.1-schnell", f"0.002, steps: 4, {PICTURE}", "latency_p95: 20m",
        "vLLM-Omni", "OpenVINO Model Server",
    ),
    "ViT": asked("google/vit-base-patch16-224", "50", "latency_p95: 200ms", TRITON, OPENVINO, NEURON),
    "ResNet-50": asked("resnet50", "50", "latency_p95: 200ms", TRITON, OPENVINO),
    "YOLO": asked("YOLO v4", "5", "latency_p95: 500ms", TRITON, OPENVINO),
    "an ONNX file": asked(str(MADE / "pictures.onnx"), "20", "latency_p95: 500ms", TRITON, "Triton (ONNX Runtime)"),
    "an XGBoost file": asked(
        str(MADE / "xgboost.json"), "100, rows: 4", "latency_p95: 50ms", "Triton (FIL)", "Triton (FIL)"
    ),
    "scikit-learn's trees": asked(
        str(MADE / "forest.tl"), "100, rows: 4", "latency_p95: 50ms", "Triton (FIL)", "Triton (FIL)"
    ),
    "a network of rows": asked(
        str(MADE / "network.onnx"), "100, rows: 4", "latency_p95: 50ms", TRITON, "Triton (ONNX Runtime)"
    ),
}  # fmt: skip
CELLS = [(name, machines) for name in ROWS for machines in MACHINES]


def planned(tmp_path, name, machines):
    """The plan of a model on some machines of a provider's region."""
    row, (provider, region, types) = ROWS[name], machines
    path = tmp_path / "workload.yaml"
    path.write_text(
        f"name: a\nmodel: {row.model}\nslo: {{{row.slo}}}\n"
        f"demand:\n  declared: {{requests_per_second: {row.declared}}}\n"
        f"providers: [{provider}]\nregions: [{region}]\ninstance_types: {types}\nas_of: 2026-11-28\n"
    )
    return recommend(path)


@pytest.mark.parametrize(
    ("model", "servers"),
    [
        ("sentence-transformers/all-mpnet-base-v2", {TEI}),
        ("sentence-transformers/multi-qa-distilbert-cos-v1", {TEI}),
        ("Alibaba-NLP/gte-base-en-v1.5", {TEI, VLLM}),
        ("albert-base-v2", set()),
    ],
)
def test_kin_of_bert_is_served_by_those_that_list_it(tmp_path, model, servers):
    """VLLM has no MPNet, DistilBERT, ALBERT and ELECTRA, and Text Embeddings Inference no ALBERT: Triton runs exports."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        f"name: kin\nmodel: {model}\nslo: {{latency_p95: 1s}}\n"
        "demand:\n  declared: {requests_per_second: 5, input_tokens: 128}\n"
        "providers: [aws]\nregions: [us-east-1]\ninstance_types: [g6.xlarge, c7i.4xlarge, inf2.xlarge]\n"
    )
    planned_on = {option.engine for option in recommend(path, every_variant=True).options}

    assert planned_on & {TEI, VLLM} == servers
    assert (NEURON in planned_on) is (model != "Alibaba-NLP/gte-base-en-v1.5")


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("name", "machines"), CELLS)
def test_each_model_is_planned_replayed_and_generated_wherever_a_server_exists(tmp_path, name, machines):
    """A fleet that its replay confirms and sound code in both languages, or a rejection that says what is missing."""
    plan, server = planned(tmp_path, name, MACHINES[machines]), ROWS[name].servers[machines]
    if not server:
        assert plan.fleet is None
        assert {rejection.code for rejection in plan.rejected} == {"no_server"}
        assert not any("is known for it" in rejection.message for rejection in plan.rejected)
        return
    assert plan.fleet.confirmed.reached
    assert {group.engine for group in plan.fleet.groups} == {server}
    for language in Language:
        files = generate(plan, language, Wanted()).files
        assert findings(files) == ()
        assert any("fleet" in path for path in files)


@pytest.mark.parametrize(
    ("name", "call"), [("ColBERT", 'POST /pooling with "task": "token'), ("SPLADE", "POST /embed"), ("bge-m3", "")]
)
def test_the_readme_says_how_an_answer_other_than_an_embedding_is_asked_for(tmp_path, name, call):
    """In both languages; embeddings are asked for as ever."""
    plan = planned(tmp_path, name, MACHINES["NVIDIA"])
    for language in Language:
        readme = generate(plan, language, Wanted()).files["README.md"]
        assert ("clients call" in readme) is bool(call)
        assert call in readme


@pytest.mark.parametrize(("machines", "server"), [("processors", "Triton (ONNX Runtime)"), ("NVIDIA", None)])
@pytest.mark.parametrize("name", ["forest_of_tensors", "logistic", "linear", "svm", "radial_svm"])
def test_models_of_scikit_learn_in_onnx_are_planned_on_processors(tmp_path, monkeypatch, name, machines, server):
    """ONNX Runtime runs trees, linear models and support vectors there; what Triton builds for accelerators does not."""
    monkeypatch.setitem(ROWS, "a", asked(str(MADE / f"{name}.onnx"), "100, rows: 4", "latency_p95: 50ms"))
    plan = planned(tmp_path, "a", MACHINES[machines])
    if server is None:
        assert (plan.fleet, {rejection.code for rejection in plan.rejected}) == (None, {"no_server"})
        return
    assert plan.fleet.confirmed.reached
    assert {group.engine for group in plan.fleet.groups} == {server}
    files = generate(plan, Language.TERRAFORM, Wanted()).files
    assert findings(files) == ()
    assert "onnxruntime" in files["fleet.tf"]
    assert "max_batch_size: 16384" not in files["fleet.tf"]


@pytest.mark.parametrize(("machines", "server"), [("processors", "Triton (ONNX Runtime)"), ("NVIDIA", TRITON)])
def test_dot_products_of_factors_are_planned(tmp_path, monkeypatch, machines, server):
    """A recommender without a product of matrices, whose inputs are one number for each row."""
    monkeypatch.setitem(ROWS, "a", asked(str(MADE / "factors.onnx"), "100, rows: 4", "latency_p95: 50ms"))
    plan = planned(tmp_path, "a", MACHINES[machines])
    assert plan.fleet.confirmed.reached
    assert {group.engine for group in plan.fleet.groups} == {server}
    files = generate(plan, Language.TERRAFORM, Wanted()).files
    assert findings(files) == ()
    assert files["fleet.tf"].count("data_type: TYPE_INT64 dims: [ 1 ] zero_data: true") == 4


def test_the_page_shows_what_is_planned():
    """The table of docs/kinds.md has a row for each model, with the server of each cell."""
    lines = DOCS.read_text().splitlines()
    for name, row in ROWS.items():
        (line,) = [line for line in lines if line.startswith(f"| {name} |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
        assert [cell.partition(":")[0] for cell in cells] == [server or "none" for server in row.servers.values()]


CHAT = """\
name: chat
model: {model}
slo: {{ttft_p95: 4s, tpot_p95: 150ms}}
demand: {{declared: {{requests_per_second: 0.5, input_tokens: 200, output_tokens: 80}}}}
engines: [llama.cpp server]
precisions: [int4]
providers: [{provider}]
regions: [{region}]
instance_types: [{machine}]
as_of: 2026-11-28
"""


@pytest.mark.parametrize(
    ("provider", "region", "machine", "target"),
    [
        ("aws", "us-east-1", "g6.xlarge", "ec2"),
        ("aws", "us-east-1", "c7i.4xlarge", "eks"),
        ("gcp", "us-central1", "c4a-highcpu-16", "gke"),
        ("azure", "eastus", "Standard_NC4as_T4_v3", "aks"),
    ],
    ids=["ec2", "eks", "gke", "aks"],
)
def test_a_chat_model_in_gguf_is_planned_and_generated(tmp_path, provider, region, machine, target):
    """By llama.cpp on each target that takes plain HTTP, on GPUs and on processors of both architectures."""
    path = tmp_path / "workload.yaml"
    path.write_text(CHAT.format(model="Qwen/Qwen3-0.6B", provider=provider, region=region, machine=machine))
    plan = recommend(path)
    (group,) = plan.fleet.groups
    assert (group.engine, group.precision) == ("llama.cpp server", "int4")
    assert plan.fleet.confirmed.reached
    for language in Language:
        files = generate(plan, language, Wanted(target=target)).files
        assert findings(files) == ()
        assert any(f"--parallel={group.max_concurrency}" in content for content in files.values())
