"""Servers of models that answer in one pass: what each is told, on which image, and what their queues count."""

import hashlib
import os
import re
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from advisor.candidates import Candidate, judge, match
from advisor.catalog import load_catalog
from advisor.catalog.processors import with_processors
from advisor.codegen import Language, Wanted, generate
from advisor.codegen.alarms import promise_of
from advisor.codegen.container import Engine, Platform, Quota, Runtime
from advisor.codegen.engines import ENGINES, Demanded, demanded
from advisor.codegen.engines.metrics import METRICS
from advisor.codegen.quoting import image_reference
from advisor.codegen.serving import container_of, planned_as, served_units
from advisor.demand.values import Unit
from advisor.errors import InputError, NotDeployable
from advisor.models.model import ModelFile, ModelInput, TextAnswer
from advisor.performance.model import shipped_model
from advisor.pipeline import question_for
from advisor.plan.request import catalog_of_question, requirements_of
from advisor.workload.document import read_workload
from codegen.plans import make_option
from codegen.scenarios import SCENARIOS
from codegen.scenarios.one_pass import embeddings_on_container_apps, speech_on_cloud_run

CATALOG = load_catalog()
TREES = Path(__file__).resolve().parents[2] / "models" / "files" / "made"
OPTIONS = Path(__file__).resolve().parents[1] / "data" / "engine_options"
GENERATED = [server for server in CATALOG.one_pass_engines if server.release]
RUNTIMES = {
    "nvidia": Runtime.CUDA,
    "amd": Runtime.ROCM,
    "aws": Runtime.NEURON,
    "google": Runtime.TPU,
    "intel": Runtime.GAUDI,
    "cpu": Runtime.CPU,
}
SAPPHIRE, ICE_LAKE = ("aws", "c7i.2xlarge"), ("gcp", "n2-standard-8")


def ubjson(text):
    """A key of UBJSON, or a string without its marker."""
    return b"L" + len(text).to_bytes(8) + text.encode()


CHANGES = {
    "unnamed": (),
    "named": (
        (b'"feature_names":[]', b'"feature_names":["num_feature","7","num_class_9"]'),
        (
            ubjson("feature_names") + b"[#L" + bytes(8),
            ubjson("feature_names") + b"[" + b"".join(b"S" + ubjson(name) for name in ("num_feature", "7", "num_class_9")) + b"]",
        ),
        (b"feature_names=Column_0 Column_1", b"feature_names=max_feature_idx=9 num_class=9"),
    ),
    "several classes": (
        (struct.pack("<iQi", 1, 1, 2), struct.pack("<iQi", 1, 1, 4)),
        (b'"num_class":"0"', b'"num_class":"4"'),
        (ubjson("num_class") + b"S" + ubjson("0"), ubjson("num_class") + b"S" + ubjson("4")),
        (b"num_class=1", b"num_class=4"),
    ),
}  # fmt: skip
"""Bytes of a file of trees and what stands in their place, in each of its formats."""


def container(
    name, accelerator="L4", runtime=Runtime.CUDA, architecture="x86_64", demand=None, model="BAAI/bge-m3", **changes
):
    """The container of a server on machines with an accelerator."""
    fields = {"engine": name, "engine_version": "", "accelerator": accelerator, "context_tokens": 512} | changes
    platform = Platform(runtime, architecture, "image", Quota("L-1", "instances"))
    unit = next(server.units[0] for server in CATALOG.one_pass_engines if server.engine == name)
    return container_of(make_option(**fields), model, platform, Wanted(), demand or Demanded(Unit(unit)))


def value_of(made, option):
    """What *option* is set to; None where it is absent."""
    return next((word.partition("=")[2] for word in made.arguments if word.partition("=")[0] == option), None)


def test_what_the_catalog_says_is_generated_has_a_generator():
    """Each server with a release is an engine of its own, and each engine of whole answers has a row."""
    engines = {planned_as(server.engine) for server in GENERATED}
    assert engines == {engine for engine in ENGINES if served_units(engine) != (Unit.TOKENS,)} - {Engine.CUSTOM}
    assert all(planned_as(server.engine) not in engines for server in CATALOG.one_pass_engines if not server.release)


@pytest.mark.parametrize(
    ("name", "release", "answer", "model_type", "option"),
    [
        ("vLLM (pooling)", "vllm-0.33.0", "vectors", "bert", '--hf-overrides={"architectures":["HF_ColBERT"]}'),
        ("vLLM (pooling)", "vllm-0.30.0", "vectors", "modernbert",
         '--hf-overrides={"architectures":["ColBERTModernBertModel"]}'),
        ("Text Embeddings Inference", "text_embeddings-1.9.3", "terms", "bert", "--pooling=splade"),
        ("Text Embeddings Inference", "text_embeddings-1.9.3", "terms", "distilbert", "--pooling=splade"),
    ],
)  # fmt: skip
def test_servers_are_told_of_vectors_of_tokens_and_of_terms(name, release, answer, model_type, option):
    """By an option that the release knows; of one vector they are told nothing."""
    asked = Demanded(Unit.TEXTS, answer=TextAnswer(answer), model_type=model_type)
    made = container(name, demand=asked)
    assert option in made.arguments
    assert option.partition("=")[0] in (OPTIONS / f"{release}.txt").read_text().split()
    plain = container(name, demand=Demanded(Unit.TEXTS))
    assert [word for word in made.arguments if word not in plain.arguments] == [option]


@pytest.mark.parametrize(("answer", "server"), [("vectors", "vllm-pooling"), ("terms", "text-embeddings-inference")])
def test_engines_that_do_not_give_the_answer_are_refused(answer, server):
    """The plan's model would answer something else there, or not start."""
    other = "vLLM (pooling)" if answer == "terms" else "Text Embeddings Inference"
    with pytest.raises(InputError, match=f"answers no {answer} of each text") as refused:
        container(other, demand=Demanded(Unit.TEXTS, answer=TextAnswer(answer), model_type="bert"))
    assert f"--engine {server}" in refused.value.hint


@pytest.mark.parametrize("server", GENERATED, ids=lambda server: f"{server.engine} {server.vendor}")
def test_wherever_a_server_is_planned_it_has_an_image(server):
    """Every accelerator and architecture that its row admits gives a container with its health path."""
    machines = [
        (machine, CATALOG.accelerator(machine.accelerator))
        for machine in CATALOG.instance_types.values()
        if server.vendor != "cpu" and server.runs_on(machine, CATALOG.accelerator(machine.accelerator))
    ]
    places = {(accelerator.name, machine.cpu_architecture) for machine, accelerator in machines}
    for accelerator, architecture in places or {("8 cores", name) for name in server.cpu_architectures}:
        for precision in server.precisions:
            host = {"instance_type": "inf2.8xlarge"} if server.vendor == "aws" else {}
            runtime = RUNTIMES[server.vendor]
            asked = Demanded(Unit(server.units[0]))
            made = container(server.engine, accelerator, runtime, architecture, asked, precision=precision, **host)
            assert image_reference(made.image)
            assert server.release in made.image
            assert made.health_path == server.health_path


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("vLLM (pooling)", "vllm-0.30.0"),
        ("vLLM (pooling)", "vllm-0.33.0"),
        ("vLLM (transcription)", "vllm-0.30.0"),
        ("Text Embeddings Inference", "text_embeddings-1.9.3"),
        ("Optimum Neuron (vLLM)", "optimum_neuron-0.4.5"),
    ],
)
def test_release_knows_every_option(name, release):
    """Whatever a plan decides is said in options that the parser of this release declares."""
    known = set((OPTIONS / f"{release}.txt").read_text().split())
    host = {"accelerator": "Inferentia2", "runtime": Runtime.NEURON, "instance_type": "inf2.8xlarge"}
    made = container(name, replicas_per_instance=1, **(host if "Neuron" in name else {}))
    also = (made.model_option, made.port_option, made.revision_option, *(made.tls_options or ()))
    assert {word.partition("=")[0] for word in (*made.arguments, *also) if word} <= known


@pytest.mark.parametrize(
    ("name", "changes", "dtype", "tag"),
    [
        ("vLLM (pooling)", {}, "bfloat16", "vllm-openai:v0.33.0"),
        ("vLLM (pooling)", {"accelerator": "T4", "precision": "fp16"}, "half", "vllm-openai:v0.33.0"),
        ("vLLM (pooling)", {"precision": "fp32"}, "float32", "vllm-openai:v0.33.0"),
        ("Text Embeddings Inference", {}, "float16", ":89-1.9.3"),
        ("Text Embeddings Inference", {"accelerator": "T4"}, "float16", ":turing-1.9.3"),
        ("Text Embeddings Inference", {"accelerator": "H100-SXM"}, "float16", ":hopper-1.9.3"),
        ("Text Embeddings Inference", {"accelerator": "A100-80GB-SXM"}, "float16", "inference:1.9.3"),
        ("vLLM (transcription)", {}, "bfloat16", "vllm-omni:v0.30.0"),
    ],
)
def test_arithmetic_and_image_follow_the_accelerator(name, changes, dtype, tag):
    """Engines compute in the planned precision, and images are those built for a compute capability."""
    made = container(name, **changes)
    assert value_of(made, "--dtype") == dtype
    assert made.image.endswith(tag)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("BAAI/bge-m3", set()),
        ("nomic-ai/nomic-embed-text-v1.5", {"--trust-remote-code"}),
        (
            "Alibaba-NLP/gte-base-en-v1.5",
            {"--trust-remote-code", '--hf-overrides={"architectures":["GteNewModel"]}'},
        ),
    ],
)
def test_vllm_is_told_of_models_that_bring_their_own_code(model, options):
    """Their configurations are code of the repository, and GTE's architecture has a name that vLLM does not know."""
    option = make_option(engine="vLLM (pooling)", accelerator="L4", engine_version="", precision="bf16")
    platform = Platform(Runtime.CUDA, "x86_64", "image", Quota("L-1", "instances"))
    made = container_of(option, model, platform, Wanted(), Demanded(Unit.TEXTS))
    known = set((OPTIONS / "vllm-0.33.0.txt").read_text().split())
    told = {word for word in made.arguments if word.startswith(("--trust", "--hf"))}
    assert told == options
    assert {word.partition("=")[0] for word in told} <= known


@pytest.mark.parametrize(
    ("engine", "hardware", "asked", "runs"),
    [
        ("vLLM (pooling)", "L4", "bf16", "bf16"),
        ("vLLM (pooling)", "T4", "bf16", "fp16"),
        ("Text Embeddings Inference", "L4", "bf16", "fp16"),
        ("Triton (TensorRT)", "L4", "bf16", "fp16"),
        ("Triton (TensorRT)", "T4", "fp32", "fp32"),
        ("llama.cpp server", "T4", "int4", "int4"),
        ("vLLM (pooling)", SAPPHIRE, "fp16", "bf16"),
        ("vLLM (pooling)", ICE_LAKE, "bf16", "fp32"),
        ("Triton (ONNX Runtime)", SAPPHIRE, "bf16", "fp32"),
        ("OpenVINO Model Server (ONNX)", SAPPHIRE, "bf16", "bf16"),
        ("OpenVINO Model Server (ONNX)", ICE_LAKE, "bf16", "fp32"),
    ],
)
def test_precision_that_is_planned_is_the_one_that_runs(engine, hardware, asked, runs):
    """Weights are cast to what accelerator and server compute in: nothing is planned in bf16 on Turing or TensorRT."""
    catalog = with_processors(CATALOG, ("aws", "gcp"), 1.0, frozenset((SAPPHIRE[1], ICE_LAKE[1])))
    name = hardware if isinstance(hardware, str) else catalog.instance_types[hardware].accelerator
    accelerator = catalog.accelerator(name)
    served = catalog.one_pass_engine(engine, accelerator.vendor).support(accelerator, asked)
    assert (served.precision, served.compute_precision) == (runs, "fp16" if asked == "int4" else runs)


@pytest.mark.parametrize(
    ("model", "unit", "task"),
    [
        ("BAAI/bge-m3", Unit.TEXTS, "feature-extraction"),
        ("BAAI/bge-reranker-v2-m3", Unit.TEXTS, "text-classification"),
        ("cross-encoder/ms-marco-MiniLM-L6-v2", Unit.TEXTS, "text-classification"),
        ("google/vit-base-patch16-224", Unit.IMAGES, "image-classification"),
    ],
)
def test_the_toolkit_on_neuron_is_told_the_task_and_given_a_compiled_model(model, unit, task):
    """A worker on each of twelve cores of six chips; the shapes of the export are those that the plan computes with."""
    option = make_option(
        engine="Optimum Neuron", accelerator="Inferentia2", accelerator_count=6.0, replicas_per_instance=6,
        instance_type="inf2.24xlarge", context_tokens=512, engine_version="", region="eu-west-1",
    )  # fmt: skip
    platform = Platform(Runtime.NEURON, "x86_64", "image", Quota("L-1", "instances"))
    made = container_of(option, model, platform, Wanted(), Demanded(unit))
    assert made.image.startswith("763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-inference-neuronx:")
    assert made.environment["HF_TASK"] == task
    assert made.checkpoint.model_id is None
    assert f"--task {task} --batch_size 1" in made.checkpoint.needed
    assert ("--sequence_length 512" in made.checkpoint.needed) == (unit is Unit.TEXTS)
    assert made.device_arguments == tuple(f"--device=/dev/neuron{chip}" for chip in range(6))
    assert Engine.OPTIMUM_NEURON not in METRICS
    by_file = container_of(option, "team-model", platform, Wanted(), Demanded(Unit.TEXTS, answer=TextAnswer.SCORE))
    assert by_file.environment["HF_TASK"] == "text-classification"


def test_the_toolkit_reads_a_model_of_the_hub_or_of_a_folder(tmp_path):
    """Its program links a folder where SageMaker's images look for a model, or names the repository and its commit."""
    option = make_option(
        engine="Optimum Neuron", accelerator="Inferentia2", instance_type="inf2.8xlarge", engine_version=""
    )
    platform = Platform(Runtime.NEURON, "x86_64", "image", Quota("L-1", "instances"))
    made = container_of(option, "BAAI/bge-m3", platform, Wanted(), Demanded(Unit.TEXTS))
    program = made.command[1].replace("/opt/ml", str(tmp_path / "ml")).replace("exec python", "echo")
    told = 'echo "$HF_MODEL_ID $HF_MODEL_REVISION $SAGEMAKER_BIND_TO_PORT"\n'
    for model, expected in (("team/bge", "team/bge abc 8443"), ("/models/bge", "abc 8443")):
        words = [
            "bash",
            "-euc",
            f"HF_MODEL_ID= HF_MODEL_REVISION=\n{program}{told}",
            model,
            "--revision=abc",
            "--port=8443",
        ]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert said.splitlines()[-1].strip() == expected
    assert (tmp_path / "ml" / "model").readlink() == Path("/models/bge")


def test_the_toolkit_runs_in_no_pod_and_where_aws_has_no_registry_nowhere():
    """It writes outside its cache as root; AWS has no registry of its images in every region."""
    scenario = SCENARIOS["ec2-neuron-embeddings"]()
    with pytest.raises((InputError, NotDeployable), match="writes outside its cache as root"):
        generate(scenario.plan, Language.TERRAFORM, replace(scenario.wanted, target="eks"))
    option = make_option(engine="Optimum Neuron", accelerator="Inferentia2", instance_type="inf2.8xlarge",
                         engine_version="", region="us-gov-east-1")  # fmt: skip
    platform = Platform(Runtime.NEURON, "x86_64", "image", Quota("L-1", "instances"))
    with pytest.raises(InputError, match="no registry of AWS's images is known in us-gov-east-1"):
        container_of(option, "BAAI/bge-m3", platform, Wanted(), Demanded(Unit.TEXTS))


@pytest.mark.parametrize(
    ("name", "image", "environment"),
    [
        ("Text Embeddings Inference", "text-embeddings-inference:hpu-1.9.3", {"MAX_WARMUP_SEQUENCE_LENGTH": "512"}),
        (
            "vLLM (pooling)",
            "vllm-0.26.0-ptupstream-2.11.0:latest",
            {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "620", "HABANA_LOGS": "/tmp/habana_logs"},
        ),
    ],
)
def test_texts_on_gaudi_have_images_of_their_own(name, image, environment):
    """Both compute in bf16; Text Embeddings Inference compiles every shape up to the longest text before it is ready."""
    made = container(name, "Gaudi3", Runtime.GAUDI)
    assert made.image.endswith(image)
    assert value_of(made, "--dtype") == "bfloat16"
    assert made.environment == environment
    assert "--runtime=habana" in made.device_arguments


@pytest.mark.parametrize(("accelerator", "served"), [("Gaudi1", False), ("Gaudi2", True), ("Trainium2", False)])
def test_servers_run_on_the_architectures_that_they_are_built_for(accelerator, served):
    """Nothing of these kinds runs on the first Gaudi, and Optimum Neuron's vLLM not on Trainium2."""
    chip = CATALOG.accelerator(accelerator)
    assert any(server.runs_with(chip) for server in CATALOG.one_pass_engines) is served


def test_processors_are_asked_for_no_share_of_a_memory():
    """It is one of GPUs; the precision is the planned one."""
    made = container("vLLM (pooling)", "cores", Runtime.CPU, provider=SAPPHIRE[0], instance_type=SAPPHIRE[1])
    assert value_of(made, "--dtype") == "bfloat16"
    assert value_of(made, "--gpu-memory-utilization") is None
    assert made.image.endswith("-x86_64")


def test_a_request_of_more_texts_than_the_default_is_taken():
    """Rerankers of a hundred documents are let in, and a text longer than a batch is read in one step."""
    many = container("Text Embeddings Inference", demand=Demanded(Unit.TEXTS, 80.0, 100, 512.0), context_tokens=32_768)
    assert value_of(many, "--max-client-batch-size") == "100"
    assert value_of(many, "--max-batch-tokens") == "32768"


def test_queues_are_counted_in_what_the_engine_counts():
    """VLLM counts each text and each half minute of audio, Text Embeddings Inference finishes requests."""
    texts, audio = Demanded(Unit.TEXTS, 23.0, 23, 512.0), Demanded(Unit.AUDIO, 1.0, 1, 45_000.0)
    assert container("vLLM (pooling)", demand=texts).finished_per_request == 23
    assert container("vLLM (transcription)", demand=audio).counted_per_request == 2
    tei = container("Text Embeddings Inference", demand=texts)
    assert (tei.counted_per_request, tei.finished_per_request) == (23, 1)


def test_replicas_are_added_by_the_engines_own_counts():
    """36 requests of 23 texts a second of an instance are 828 for vLLM, four replicas of which share 1380 in one pod."""
    scenario = SCENARIOS["eks-reranker"]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    scaled = [
        trigger["metadata"]
        for path, text in files.items()
        if path.endswith(".yaml") and "kind: ScaledObject" in text
        for document in yaml.safe_load_all(text)
        if document["kind"] == "ScaledObject"
        for trigger in document["spec"]["triggers"]
    ]
    thresholds = {re.search(r"[a-z:_]+(?=\{)", trigger["query"])[0]: trigger["threshold"] for trigger in scaled}
    assert thresholds == {
        "vllm:request_success_total": "1380",
        "vllm:num_requests_waiting": "368",
        "te_request_success": "36",
        "te_queue_size": "92",
    }


@pytest.mark.parametrize(
    ("slo", "size", "title", "seconds", "percent"),
    [
        ({"latency_ms": 200.0}, 512.0, "latency p95", 0.2, 5.0),
        ({"latency_ms": 200.0, "latency_percentile": 0.5}, 512.0, "latency p50", 0.2, 50.0),
        ({"latency_ms": 200.0, "latency_percentile": 0.99}, 512.0, "latency p99", 0.2, 1.0),
        ({"real_time_factor": 0.2}, 45_000.0, "latency p95", 9.0, 5.0),
        ({"ttft_p95_ms": 500.0}, 512.0, "TTFT p95", 0.5, 5.0),
    ],
)
def test_alarms_ring_where_the_promise_is_broken(slo, size, title, seconds, percent):
    """A target and its share become a time and the percentage of requests that may take longer."""
    promise = promise_of(slo, {"input_tokens": {"mean": size}})
    assert (promise.title, promise.seconds, promise.beyond_percent) == (title, seconds, percent)


def test_an_engine_of_another_unit_is_refused_with_those_that_serve_it():
    """A language-model engine does not serve texts, and a pooling one no plan of tokens."""
    scenario = SCENARIOS["ec2-embeddings"]()
    with pytest.raises(InputError, match="vllm serves tokens, and the plan is of texts") as refused:
        generate(scenario.plan, Language.TERRAFORM, replace(scenario.wanted, engine=Engine.VLLM))
    assert "text-embeddings-inference, triton-onnx-runtime, triton-tensorrt, vllm-pooling" in refused.value.hint
    tokens = SCENARIOS["a10g-on-demand"]()
    with pytest.raises(InputError, match="vllm-pooling serves texts, and the plan is of tokens"):
        generate(tokens.plan, Language.TERRAFORM, replace(tokens.wanted, engine=Engine.VLLM_POOLING))


def test_another_engine_of_the_same_unit_takes_the_plan():
    """Embeddings planned for one server are deployed with the other, with a warning that nothing predicts it."""
    plan = SCENARIOS["mig-speech"]().plan
    assert demanded(plan.demand).unit is Unit.AUDIO
    scenario = SCENARIOS["gke-embeddings"]()
    made = generate(scenario.plan, Language.TERRAFORM, replace(scenario.wanted, engine=Engine.VLLM_POOLING))
    assert any("measure vllm-pooling" in warning for warning in made.warnings)


def test_containers_that_others_run_take_a_batch_and_the_next():
    """Cloud Run admits two batches of recordings; Container Apps reads the queue of a pooling server from its log."""
    run, apps = speech_on_cloud_run(), embeddings_on_container_apps()
    fleet = generate(run.plan, Language.TERRAFORM, run.wanted).files["fleet.tf"]
    assert re.search(r"concurrent_requests += 32\b", fleet)
    assert "vllm/vllm-omni:v0.30.0" in fleet
    fleet = generate(apps.plan, Language.TERRAFORM, apps.wanted).files["fleet.tf"]
    assert "Waiting: ([0-9]+) req" in fleet
    assert "--dtype=half" in fleet


def test_a_planned_engine_without_a_container_is_refused_by_its_name():
    """A plan for such a server names it, with the way out."""
    with pytest.raises(NotDeployable, match="no container is generated for the engine 'Infinity'"):
        container_of(
            make_option(engine="Infinity"),
            "BAAI/bge-m3",
            Platform(Runtime.CUDA, "x86_64", "", Quota("", "")),
            Wanted(),
        )


@pytest.mark.parametrize(
    ("model", "declared", "slo"),
    [
        ("BAAI/bge-m3", "input_tokens: 512", "latency_p95: 200ms"),
        ("openai/whisper-large-v3", "audio_seconds: 45", "real_time_factor: 0.2"),
    ],
)
def test_candidates_are_served_by_what_code_is_generated_for(tmp_path, model, declared, slo):
    """Of units that some server is generated for, every candidate's is; the rest is rejected with both engines."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        f"name: a\nmodel: {model}\nslo: {{{slo}}}\ndemand:\n  declared: {{requests_per_second: 5, {declared}}}\n"
        "providers: [aws, gcp, azure]\nregions: [us-east-1, us-central1, eastus]\n"
    )
    question = question_for(read_workload(path), CATALOG, shipped_model())
    catalog = catalog_of_question(question, CATALOG)
    outcome = match(requirements_of(question, catalog), catalog)
    assert {candidate.batcher.vendor for candidate in outcome.candidates} >= {"nvidia", "cpu"}
    for candidate in outcome.candidates:
        assert isinstance(candidate, Candidate)
        assert candidate.batcher.release
    without = [rejection for rejection in outcome.rejections if rejection.unit == "engine"]
    assert all(rejection.code == "not_generated" for rejection in without)
    assert {rejection.available for rejection in without} == ({"Infinity"} if "bge" in model else set())


@pytest.mark.parametrize(("name", "rule"), [("mig-speech", "ROUND_ROBIN"), ("mig-scheduled", "LEAST_REQUEST")])
@pytest.mark.parametrize("language", list(Language))
def test_google_deals_whole_answers_in_turn(language, name, rule):
    """As their plans take it; tokens, which are served while others arrive, go to the host with less to do."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, language, scenario.wanted).files

    assert [
        line for text in files.values() for line in text.splitlines() if "locality_lb_policy" in line and rule in line
    ]


def test_the_tighter_of_two_targets_is_alarmed():
    """A real-time factor of 0.2 lets 45 s of speech take 9 s, a stated latency 3 s."""
    demand = {"unit": "audio", "input_tokens": {"mean": 45_000.0}}

    assert promise_of({"real_time_factor": 0.2, "latency_ms": 3000.0}, demand).seconds == 3.0
    assert promise_of({"real_time_factor": 0.2, "latency_ms": 30_000.0}, demand).seconds == 9.0


@pytest.mark.parametrize("source", ["hub", "folder"])
def test_triton_starts_on_a_repository_of_its_own(source, tmp_path):
    """Its program links the model as version 1 beside the planned configuration, from the hub or from a folder."""
    made = container("Triton (TensorRT)", demand=Demanded(Unit.IMAGES), max_concurrency=40)
    programs, exported = tmp_path / "bin", tmp_path / "bucket" / "onnx"
    programs.mkdir()
    exported.mkdir(parents=True)
    (exported / "model.onnx").write_text("graph")
    stand_ins = {
        "curl": 'while (($#)); do [[ $1 == -o ]] && echo graph >"$2"; address=$1; shift; done; echo "$address" >asked',
        "tritonserver": 'printf "%s\\n" "$@" >told',
    }
    for name, program in stand_ins.items():
        (programs / name).write_text(f"#!/bin/bash\n{program}\n")
        (programs / name).chmod(0o755)
    model = "org/vit-onnx" if source == "hub" else str(exported.parent)
    subprocess.run(
        [made.entrypoint, *made.command, model, *made.arguments, "--http-port=8000", "--revision=abc"],
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **made.environment},
        cwd=tmp_path,
        check=True,
        timeout=30,
    )
    served = tmp_path / "models" / "bge-m3"
    assert (served / "1" / "model.onnx").read_text().strip() == "graph"
    assert re.search(r"(?s)max_batch_size: 40\n.*name: \"tensorrt\".*FP16", (served / "config.pbtxt").read_text())
    told = (tmp_path / "told").read_text().split()
    assert told == [f"--model-repository={tmp_path}/models", *made.arguments, "--http-port=8000"]
    if source == "hub":
        assert (tmp_path / "asked").read_text().strip().endswith("org/vit-onnx/resolve/abc/onnx/model.onnx")


@pytest.mark.parametrize(
    ("made", "file", "told"),
    [
        ("xgboost.json", "xgboost.json", ("xgboost_json", 6, 1, "false")),
        ("xgboost.ubj", "xgboost.ubj", ("xgboost_ubj", 6, 1, "false")),
        ("lightgbm.txt", "model.txt", ("lightgbm", 6, 1, "false")),
        ("forest.tl", "checkpoint.tl", ("treelite_checkpoint", 6, 2, "true")),
    ],
)
@pytest.mark.parametrize("columns", ["unnamed", "named", "several classes"])
@pytest.mark.parametrize("source", ["hub", "folder"])
def test_triton_serves_trees_as_their_file_says(source, made, file, told, columns, tmp_path):
    """Format, columns and classes are those of the file that the program finds, whatever its columns are called."""
    served = container("Triton (FIL)", "cores", Runtime.CPU, demand=Demanded(Unit.ROWS), max_concurrency=300)
    programs, folder = tmp_path / "bin", tmp_path / "bucket"
    programs.mkdir()
    folder.mkdir()
    content = (TREES / made).read_bytes()
    for before, after in CHANGES[columns]:
        content = content.replace(before, after)
    (folder / file).write_bytes(content)
    stand_ins = {
        "curl": 'for word; do [[ $word = -o ]] && at=1 || [[ ! $at ]] || { to=$word at=; }; done; cp "bucket/${word##*/}" "$to"',
        "tritonserver": "true",
    }
    for name, program in stand_ins.items():
        (programs / name).write_text(f"#!/bin/bash\n{program}\n")
        (programs / name).chmod(0o755)
    subprocess.run(
        [served.entrypoint, *served.command, "org/trees" if source == "hub" else str(folder), *served.arguments],
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **served.environment},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=30,
    )
    version = tmp_path / "models" / "bge-m3" / "1"
    assert (version / file).read_bytes() == (folder / file).read_bytes()
    fields = (version.parent / "config.pbtxt").read_text()
    kind, width, scores, is_classifier = told
    if columns == "several classes":
        scores, is_classifier = 4, "true"
    assert 'backend: "fil"\nmax_batch_size: 300\ndynamic_batching' in fields
    assert f'default_model_filename: "{file}"' in fields
    assert f'input [ {{ name: "input__0" data_type: TYPE_FP32 dims: [ {width} ] }} ]' in fields
    assert f'output [ {{ name: "output__0" data_type: TYPE_FP32 dims: [ {scores} ] }} ]' in fields
    parameters = dict(re.findall(r'key: "(\w+)" value: { string_value: "([^"]+)" }', fields))
    assert parameters == {
        "model_type": kind, "is_classifier": is_classifier, "predict_proba": is_classifier, "threshold": "0.5",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "said"),
    [("fraud.json", "rename the file of XGBoost, LightGBM or treelite to one of them"), ("model.txt", "no trees")],
)
def test_triton_refuses_a_folder_without_trees(file, said, tmp_path):
    """The program ends with the folder that holds none of the three names, and how to rename, or no trees."""
    (tmp_path / file).write_text("{}")
    served = container("Triton (FIL)", "cores", Runtime.CPU, demand=Demanded(Unit.ROWS))
    done = subprocess.run(
        [served.entrypoint, *served.command, str(tmp_path), *served.arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **served.environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert str(tmp_path) in done.stderr


@pytest.mark.parametrize(
    ("place", "content", "said"),
    [
        (0, (3).to_bytes(4, "little"), "version 3, not 4 to 4"),
        (14, (2**64 - 1).to_bytes(8, "little"), "number of trees -1, not 1 to 1000000"),
        (22, (2**32 - 6).to_bytes(4, "little"), "number of columns -6, not 1 to 1000000"),
        (22, bytes(4), "number of columns 0, not 1 to 1000000"),
        (28, (2).to_bytes(4, "little"), "number of targets 2, not 1 to 1"),
        (32, (2**40).to_bytes(8, "little"), "list of classes with a length of 1099511627776, not 1 to 1"),
        (40, (2**31).to_bytes(4, "little"), "number of classes -2147483648, not 1 to 1000000"),
        (12, bytes([9]), "type of thresholds 9, not 2 to 3"),
        (13, bytes([1]), "type of leaves 1, not 2 to 3"),
        (10, None, "type of thresholds missing, not 2 to 3"),
        (20, None, "number of trees missing, not 1 to 1000000"),
        (42, None, "number of classes missing, not 1 to 1000000"),
        (44, None, "44 bytes, not the 52 or more that it announces"),
        (1000, None, "1000 bytes, not the 1024 or more that it announces"),
        (-1, None, "7370 bytes, not the 7371 or more that it announces"),
        (0, None, "version missing, not 4 to 4"),
    ],
)
def test_triton_refuses_checkpoints_that_make_no_sense(place, content, said, tmp_path):
    """Numbers are read with their sign, as the format has them, and the first that cannot be is told."""
    made = (TREES / "forest.tl").read_bytes()
    changed = made[:place] if content is None else made[:place] + content + made[place + len(content) :]
    (tmp_path / "checkpoint.tl").write_bytes(changed)
    served = container("Triton (FIL)", "cores", Runtime.CPU, demand=Demanded(Unit.ROWS))
    done = subprocess.run(
        [served.entrypoint, *served.command, str(tmp_path), *served.arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **served.environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert f"checkpoint.tl is no sound checkpoint of treelite 4 with one target: {said}\n" in done.stderr
    assert "write it again with treelite 4" in done.stderr
    assert not (tmp_path / "models").exists()


def test_a_cut_checkpoint_is_left_to_triton_in_an_image_without_python(tmp_path):
    """The head is read all the same."""
    (tmp_path / "checkpoint.tl").write_bytes((TREES / "forest.tl").read_bytes()[:1000])
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("bash", "ln", "mkdir", "od", "stat"):
        (programs / program).symlink_to(f"/usr/bin/{program}")
    served = container("Triton (FIL)", "cores", Runtime.CPU, demand=Demanded(Unit.ROWS))
    flags, program, name = served.command
    done = subprocess.run(
        ["/usr/bin/bash", flags, program.replace("exec tritonserver", "echo started"), name, str(tmp_path)],
        env={"PATH": str(programs), "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **served.environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.startswith("started")


def test_a_graph_is_planned_on_servers_that_load_graphs():
    """Neither vLLM nor Text Embeddings Inference loads an ONNX file, whatever is in it."""
    servers = {server.engine for server in CATALOG.one_pass_engines if server.serves("texts", "onnx", "fp32")}
    assert servers == {"Triton (TensorRT)", "Triton (ONNX Runtime)", "OpenVINO Model Server (ONNX)"}


@pytest.mark.parametrize(
    ("machine", "precision", "planned"),
    [
        (SAPPHIRE, "bf16", ("OpenVINO Model Server (ONNX)", "bf16")),
        (SAPPHIRE, "fp32", ("Triton (ONNX Runtime)", "fp32")),
        (ICE_LAKE, "bf16", ("Triton (ONNX Runtime)", "fp32")),
        (("aws", "c8g.2xlarge"), "bf16", ("Triton (ONNX Runtime)", "fp32")),
    ],
)
def test_images_on_processors_run_in_bf16_where_the_units_are(machine, precision, planned, tmp_path):
    """OpenVINO computes in bf16 on AMX; elsewhere, and on arm64, ONNX Runtime does in fp32, with batches."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        f"name: a\nmodel: google/vit-base-patch16-224\nslo: {{latency_p95: 1s}}\nprecisions: [{precision}]\n"
        f"demand:\n  declared: {{requests_per_second: 5}}\nproviders: [{machine[0]}]\n"
    )
    question = question_for(read_workload(path), CATALOG, shipped_model())
    catalog = with_processors(CATALOG, (machine[0],), 1.0, frozenset((machine[1],)))
    (candidate,) = judge(catalog.instance_types[machine], requirements_of(question, catalog), catalog)
    assert (candidate.engine, candidate.precision) == planned


def test_trees_on_arm64_are_refused_for_their_image(tmp_path):
    """The image of FIL is built for x86-64: the architecture is the reason, not the precision of the trees."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        f"name: a\nmodel: {TREES / 'xgboost.json'}\nslo: {{latency_p95: 1s}}\n"
        "demand:\n  declared: {requests_per_second: 5, rows: 4}\nproviders: [aws]\n"
    )
    question = question_for(read_workload(path), CATALOG, shipped_model())
    machine = ("aws", "c7g.4xlarge")
    catalog = with_processors(CATALOG, ("aws",), 1.0, frozenset((machine[1],)))
    rejected = judge(catalog.instance_types[machine], requirements_of(question, catalog), catalog)
    assert {(entry.code, entry.needed, entry.available) for entry in rejected} == {("no_image", "x86_64", "arm64")}


def test_openvino_serves_one_export_of_a_folder_one_request_at_a_time(tmp_path):
    """Other exports of the folder are left out, what the file refers to is not; the arithmetic is the planned one."""
    folder, work = tmp_path / "bucket", tmp_path / "work"
    folder.mkdir()
    for name in ("model.onnx", "model_int8.onnx", "model.onnx_data"):
        (folder / name).write_text(name)
    made = container("OpenVINO Model Server (ONNX)", "cores", Runtime.CPU, demand=Demanded(Unit.IMAGES))
    program = made.command[1].replace("/ovms/bin/ovms", "ls -1 $work/models/*/1; printf '%s\\n'")
    done = subprocess.run(
        [made.entrypoint, made.command[0], program.replace("exec ls", "ls"), made.command[2], str(folder),
         *made.arguments, f"{made.port_option}8443"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/root", "TMPDIR": str(work)},
        check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stdout.split() == [
        "model.onnx",
        "model.onnx_data",
        "--model_name=bge-m3",
        f"--model_path={work}/models/bge-m3",
        "--metrics_enable",
        "--file_system_poll_wait_seconds=0",
        '--plugin_config={"PERFORMANCE_HINT":"LATENCY","INFERENCE_PRECISION_HINT":"bf16"}',
        "--rest_port=8443",
    ]
    assert made.api.path == "/v2"


def test_what_an_engine_tells_no_times_of_is_watched_at_the_balancer():
    """llama.cpp has gauges only: EC2 compares its load balancer's percentile with the target, clusters say why not."""
    scenario = SCENARIOS["ec2-gguf"]()
    made = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    alarm = re.split(r"latency\s*= \{", made["fleet.tf"])[1].split("}")[0]
    assert re.search(r'metric += "TargetResponseTime"', alarm)
    assert re.search(r'statistic += "p95"', alarm)
    assert re.search(r"threshold += 0.5\b", alarm)
    assert "llamacpp:requests_deferred" in made["fleet.tf"]
    assert "no alarm on latency" not in made["README.md"]
    cluster = generate(scenario.plan, Language.TERRAFORM, Wanted(target="eks")).files
    rules = cluster["kubernetes/us-east-1/prometheus-rule.yaml"]
    assert "InferenceWaitingRequests" in rules
    assert "InferenceLatency" not in rules
    assert "no alarm on latency of llama.cpp-server" in cluster["README.md"] + cluster["kubernetes/README.md"]


def test_an_engine_without_metrics_is_watched_at_the_balancer():
    """Optimum Neuron publishes nothing: its latency is the load balancer's percentile, its queue stays unwatched."""
    scenario = SCENARIOS["ec2-neuron-embeddings"]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    alarm = re.split(r"latency\s*= \{", files["fleet.tf"])[1].split("}")[0]
    assert re.search(r'metric += "TargetResponseTime"', alarm)
    assert re.search(r'statistic += "p95"', alarm)
    assert "waiting_requests = {" not in files["fleet.tf"]
    assert "no alarm on waiting requests of optimum-neuron, which has no known metrics" in files["README.md"]


@pytest.mark.parametrize(
    ("model", "option"), [("bge-reranker-v2-m3.gguf", "--rerank"), ("bge-m3.gguf", "--embeddings")]
)
def test_llama_cpp_ranks_with_the_files_that_rank(model, option):
    """Whatever the number of documents: a call with one document is to be scored as well."""
    scenario = SCENARIOS["ec2-gguf"]()
    plan = replace(scenario.plan, workload=scenario.plan.workload | {"model": model})
    fleet = generate(plan, Language.TERRAFORM, scenario.wanted).files["fleet.tf"]

    assert {word for word in ("--rerank", "--embeddings") if word in fleet} == {option}


@pytest.mark.parametrize("latency", ["ovms_request_time_us", "te_request_duration"])
def test_hosts_count_requests_over_the_target_in_the_unit_of_the_histogram(latency):
    """Of ten requests, four took longer than 50 ms, whatever unit the engine's buckets are in."""
    report = generate(SCENARIOS["ec2-images"]().plan, Language.TERRAFORM, Wanted()).files["user_data.sh.tftpl"]
    program = report[report.index("    index($1, latency") : report.index('    }\' <<<"$page") || continue')]
    per_second = 1_000_000 if latency.endswith("_us") else 1
    page = "".join(
        f'{latency}_bucket{{name="m",le="{edge}"}} {count}\n'
        for edge, count in ((0.04 * per_second, 5), (0.06 * per_second, 7), (0.1 * per_second, 9), ("+Inf", 10))
    )
    words = [f"-vlatency={latency}", "-vwaiting=queue", "-vtarget=0.05", program.replace("$$", "$") + "}"]
    counted = subprocess.run(["awk", *words], input=page, capture_output=True, text=True, check=True, timeout=30)
    assert counted.stdout.split()[:3] == ["10", "4.000", "0"]


def test_a_graph_of_known_inputs_is_warm_before_it_is_ready():
    """The smallest and the largest batch of zeros, in the shapes of the inputs; without them a caution says it."""
    texts = (ModelInput("input_ids", "int64", (None,)), ModelInput('odd "name"\\\n', "fp32", (2, None)))
    demand = Demanded(Unit.TEXTS, 1.0, 1, 100.0, inputs=texts)
    made = container("Triton (TensorRT)", demand=demand, max_concurrency=40, context_tokens=512)
    configuration = made.environment["MODEL_CONFIGURATION"]
    warm_up = configuration[configuration.index("model_warmup") :]
    assert re.findall(r"batch_size: (\d+)", warm_up) == ["1", "40"]
    assert re.findall(r"data_type: (\w+) dims: \[ ([\d, ]+) \] zero_data: true", warm_up) == [
        ("TYPE_INT64", "1"),
        ("TYPE_FP32", "2, 1"),
        ("TYPE_INT64", "512"),
        ("TYPE_FP32", "2, 512"),
    ]
    assert re.findall(r"key: (.+) value", warm_up) == ['"input_ids"', r'"odd \042name\042\134\012"'] * 2
    assert made.checkpoint.needed.endswith('inputs are input_ids (int64, tokens), odd "name"\\\n (fp32, 2 × tokens)')
    assert not made.image_caution
    blind = container("Triton (TensorRT)", demand=Demanded(Unit.IMAGES))
    assert "model_warmup" not in blind.environment["MODEL_CONFIGURATION"]
    assert "inputs of the graph are not known" in blind.image_caution


@pytest.mark.parametrize("engine", [engine for engine, metrics in METRICS.items() if metrics.times], ids=str)
def test_every_engine_with_metrics_tells_how_long_answers_take(engine):
    """A histogram, whose buckets add up, or quantiles of each replica, averaged over those with requests; in seconds."""
    metrics = METRICS[engine]
    query = metrics.quantile_query(0.95, 'pod="a"', "300s", "namespace")
    if metrics.latency:
        series = f'{metrics.latency}_bucket{{pod="a"}}[300s]'
        unit = " / 1000000" if metrics.latency.endswith("_us") else ""
        assert query == f"histogram_quantile(0.95, sum by (namespace, le) (rate({series}))){unit}"
    else:
        picked = f'({metrics.quantiles_us}{{pod="a",quantile="0.95"}} >= 0)[300s:1m]'
        assert query == f"avg by (namespace) (avg_over_time({picked})) / 1000000"
    assert set(metrics.load) >= {metrics.waiting}


@pytest.mark.parametrize("name", ["ec2-images", "gke-images", "ec2-embeddings", "mig-speech"])
def test_latency_of_every_kind_is_alarmed_against_its_target(name):
    """Each stack of a model that answers in one pass has an alarm on latency, in both languages."""
    scenario = SCENARIOS[name]()
    for language in Language:
        made = generate(scenario.plan, language, scenario.wanted)
        fleet = next(text for path, text in made.files.items() if path.endswith(("fleet.tf", "/fleet.py")))
        assert re.search(r"latency\b.*[{(]", fleet)
    assert "no alarm on latency" not in made.files["README.md"]


def test_cloud_run_alarms_on_its_own_measure_of_an_answer():
    """A recording of 45 s within a fifth of its length: requests of the 95th percentile take no longer than 9,000 ms."""
    scenario = speech_on_cloud_run()
    fleet = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["fleet.tf"]
    alarm = re.split(r"latency\s*= \{", fleet)[1].split("}")[0]
    assert 'metric = "run.googleapis.com/request_latencies"' in re.sub(r" +", " ", alarm)
    assert "ALIGN_PERCENTILE_95" in alarm
    assert re.search(r"threshold += 9000\b", alarm)


@pytest.mark.parametrize(
    ("name", "unit", "source", "told"),
    [
        ("llama.cpp server", Unit.TEXTS, "org/m-gguf", ["--hf-repo", "org/m-gguf:Q4_K_M", "--embeddings"]),
        ("llama.cpp server", Unit.TEXTS, "FOLDER", ["--model", "FOLDER/m.gguf", "--embeddings"]),
        ("OpenVINO Model Server", Unit.PICTURES, "org/m-ov", ["--model_name=bge-m3", "--source_model=org/m-ov"]),
        ("OpenVINO Model Server", Unit.PICTURES, "FOLDER", ["--model_name=bge-m3", "--model_path=FOLDER"]),
    ],
)
def test_a_model_comes_from_the_hub_or_from_a_folder(name, unit, source, told, tmp_path):
    """The program of a server asks the hub for a repository, and opens what a folder holds; options are its own."""
    (tmp_path / "m.gguf").write_text("weights")
    made = container(name, "cores", Runtime.CPU, demand=Demanded(unit), precision="int4", max_concurrency=4)
    program = re.sub(r"/(ovms/bin/ovms|app/llama-server)", r"printf '%s\\n'", made.command[1])
    model = str(tmp_path) if source == "FOLDER" else source
    done = subprocess.run(
        [made.entrypoint, made.command[0], program, made.command[2], model, *made.arguments, f"{made.port_option}8443"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/root"},
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    words = done.stdout.splitlines()
    assert words[: len(told)] == [word.replace("FOLDER", str(tmp_path)) for word in told]
    assert words[-1] == "8443" if name.startswith("llama") else words[-1].endswith("port=8443")


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (["m-F16.gguf", "m-IQ4_XS.gguf", "m-q4_k_m.gguf", "mmproj-Q4_K_M.gguf"], "m-q4_k_m.gguf"),
        (["Q4_K_M/m-Q4_K_M-00001-of-00002.gguf", "Q4_K_M/m-Q4_K_M-00002-of-00002.gguf", "m-Q4_K_S.gguf"],
         "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf"),
        (["own model.gguf", "mmproj-F16.gguf"], "own model.gguf"),
        ([], "0 GGUF models in Q4_K_M, of 0 in all"),
        (["m-Q8_0.gguf"], "0 GGUF models in Q4_K_M, of 1 in all"),
        (["a.gguf", "b.gguf"], "0 GGUF models in Q4_K_M, of 2 in all"),
        (["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], "2 GGUF models in Q4_K_M, of 2 in all"),
    ],
)  # fmt: skip
def test_llama_cpp_takes_the_file_in_the_planned_quantisation(files, taken, tmp_path):
    """Of a whole repository the one file whose name says so, or its first part; else it says what to leave there."""
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("weights")
    done = started_llama_cpp("int4", tmp_path)
    if "GGUF models" in taken:
        assert done.returncode == 1
        assert taken in done.stderr
        assert "as in model-Q4_K_M.gguf" in done.stderr
    else:
        assert done.stdout.splitlines()[:2] == ["--model", f"{tmp_path}/{taken}"]


def test_llama_cpp_is_given_no_images():
    """Whatever engine the plan was made with."""
    with pytest.raises(InputError, match="--mmproj"):
        container("llama.cpp server", "cores", Runtime.CPU, demand=Demanded(has_pictures=True), precision="int4")


def test_a_plan_tells_whether_its_requests_hold_images():
    """As its demand has them."""
    plan = {"unit": "tokens", "input_tokens": {"mean": 1.0}, "output_tokens": {"mean": 1.0, "max": 1.0}}
    assert demanded(plan | {"pictures": {"count": 1, "width": 9, "height": 9}}).has_pictures
    assert not demanded(plan).has_pictures


def test_f16_is_not_bf16(tmp_path):
    """One name ends as the other."""
    for name in ("m-BF16.gguf", "m-F16.gguf"):
        (tmp_path / name).write_text("weights")
    assert started_llama_cpp("fp16", tmp_path).stdout.splitlines()[1] == f"{tmp_path}/m-F16.gguf"
    assert started_llama_cpp("bf16", tmp_path).stdout.splitlines()[1] == f"{tmp_path}/m-BF16.gguf"


def started_llama_cpp(precision, folder):
    """Run of the start program of llama.cpp on a folder; it prints the options of the server."""
    made = container("llama.cpp server", "cores", Runtime.CPU, demand=Demanded(), precision=precision)
    program = made.command[1].replace("/app/llama-server", r"printf '%s\n'")
    return subprocess.run(
        [made.entrypoint, made.command[0], program, made.command[2], folder],
        env={"PATH": "/usr/bin:/bin", "HOME": "/root"},
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize("source", ["hub", "folder"])
@pytest.mark.parametrize(
    ("precision", "outtype", "steps"),
    [
        ("bf16", "bf16", ["convert", "serve"]),
        ("fp16", "f16", ["convert", "serve"]),
        ("int8", "q8_0", ["convert", "serve"]),
        ("int4", "auto", ["convert", "quantise", "serve"]),
    ],
)
def test_llama_cpp_converts_published_weights_once(source, precision, outtype, steps, tmp_path):
    """A small model of the hub becomes GGUF in the planned type at the first start, and is only served at the next."""
    folder = tmp_path / "models" / "chat"
    folder.mkdir(parents=True)
    made, done = converting(precision, "Qwen/Qwen3-0.6B" if source == "hub" else str(folder), tmp_path)
    assert made.image == "ghcr.io/ggml-org/llama.cpp:full-b11151"
    assert (made.checkpoint.model_id, made.checkpoint.include) == ("Qwen/Qwen3-0.6B", "")
    assert made.checkpoint.needed.endswith(f"makes a GGUF in {made.command[2]} when it first starts")
    told = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in told] == steps
    converted = told[0]
    assert converted[converted.index("--outtype") + 1] == outtype
    assert ("--remote" in converted) is (source == "hub")
    assert converted[-1] == ("Qwen/Qwen3-0.6B" if source == "hub" else str(folder))
    assert ["Q4_K_M" in line for line in told if line[0] == "quantise"] == [True] * ("quantise" in steps)
    served = told[-1]
    assert served[1] == "--model"
    assert served[2].endswith(f"model-{made.command[2]}.gguf")
    assert [path.name for path in (tmp_path / ".cache").rglob("*.gguf")] == [f"model-{made.command[2]}.gguf"]
    _, again = converting(precision, "Qwen/Qwen3-0.6B" if source == "hub" else str(folder), tmp_path)
    assert [line.split()[0] for line in again.stdout.splitlines()] == ["serve"]


def steps_of(model, home, **changes):
    """Tools that a start in 4 bit runs, one after the other."""
    _, done = converting("int4", str(model), home, **changes)
    return [line.split()[0] for line in done.stdout.splitlines()]


FIRST = ["convert", "quantise", "serve"]


def test_changed_weights_of_a_folder_are_converted_again(tmp_path):
    """By size or time, and wherever a file comes or goes; a start without a change serves what was made before."""
    folder = tmp_path / "models" / "chat 'own'"
    folder.mkdir(parents=True)
    weights = folder / "model.safetensors"
    weights.write_text("first")
    assert steps_of(folder, tmp_path) == FIRST
    assert steps_of(folder, tmp_path) == ["serve"]
    weights.write_text("second")
    assert steps_of(folder, tmp_path) == FIRST
    os.utime(weights, (1, 1))
    assert steps_of(folder, tmp_path) == FIRST
    (folder / "tokenizer.json").write_text("{}")
    assert steps_of(folder, tmp_path) == FIRST
    assert steps_of(folder, tmp_path) == ["serve"]
    _, other = converting("int8", str(folder), tmp_path)
    assert other.stdout.split()[0] == "convert"
    assert [path.name for path in (tmp_path / ".cache").rglob("*.gguf")] == ["model-Q8_0.gguf"]


def test_another_commit_of_a_repository_is_converted(tmp_path):
    """As the hub names it; where the hub does not answer, the file made before is served."""
    assert steps_of("Qwen/Qwen3-0.6B", tmp_path) == FIRST
    asked = (tmp_path / "asked").read_text()
    assert asked.split()[-1] == "https://huggingface.co/Qwen/Qwen3-0.6B/resolve/main/config.json"
    assert steps_of("Qwen/Qwen3-0.6B", tmp_path) == ["serve"]
    assert steps_of("Qwen/Qwen3-0.6B", tmp_path, commit="") == ["serve"]
    assert steps_of("Qwen/Qwen3-0.6B", tmp_path, commit="def") == FIRST
    assert steps_of("Qwen/Qwen3-0.6B", tmp_path, commit="def") == ["serve"]


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (["own.gguf"], "own.gguf"),
        (["chat-q4_k_m.gguf", "chat-Q8_0.gguf", "config.json"], "chat-q4_k_m.gguf"),
        (["chat-Q4_K_M.gguf", "model.safetensors"], "chat-Q4_K_M.gguf"),
        (["chat.gguf", "model.safetensors"], None),
        (["chat-F32.gguf", "pytorch_model.bin"], None),
    ],
)
def test_gguf_files_of_a_folder_are_served_as_they_are(files, taken, tmp_path):
    """Without a conversion; published weights beside files of another or an unknown quantisation are converted."""
    folder = tmp_path / "models"
    folder.mkdir()
    for file in files:
        (folder / file).write_text("weights")
    _, done = converting("int4", str(folder), tmp_path)
    if taken is None:
        assert [line.split()[0] for line in done.stdout.splitlines()] == FIRST
    else:
        assert done.stdout.split()[:3] == ["serve", "--model", f"{folder}/{taken}"]


def test_a_repository_of_gguf_files_is_served_in_place_of_published_weights(tmp_path):
    """Named in the code, it needs no conversion; a larger model's weights are never converted at a start."""
    _, done = converting("int8", "team/chat-GGUF", tmp_path)
    assert done.stdout.split()[:3] == ["serve", "--hf-repo", "team/chat-GGUF:Q8_0"]
    large = container(
        "llama.cpp server", "cores", Runtime.CPU, model="Qwen/Qwen3-8B", demand=Demanded(), precision="int8"
    )
    assert large.image == "ghcr.io/ggml-org/llama.cpp:server-b11151"
    assert large.checkpoint.model_id is None


def converting(precision, model, home, commit="abc"):
    """The container of a small model, and a run of its start program, in which each tool prints what it is told.

    The hub names a commit of a repository, or does not answer if that is empty.
    """
    made = container("llama.cpp server", "cores", Runtime.CPU, model="Qwen/Qwen3-0.6B", demand=Demanded(),
                     precision=precision)  # fmt: skip
    tools = home / "bin"
    tools.mkdir(exist_ok=True)
    written = 'while (($#)); do [[ $1 != --outfile ]] || echo weights >"$2"; shift; done'
    for name, program in (
        ("python3", f'shift; echo convert "$@"\n{written}'),
        ("llama-quantize", 'echo quantise "$@"\ncp "$1" "$2"'),
        ("llama-server", 'echo serve "$@"'),
        ("curl", f'echo "$@" >"{home}/asked"\n[[ -z "{commit}" ]] || echo "x-repo-commit: {commit}"'),
    ):
        (tools / name).write_text(f"#!/bin/bash\n{program}\n")
        (tools / name).chmod(0o755)
    program = re.sub(r"/app/(llama-\w+)", rf"{tools}/\1", made.command[1])
    done = subprocess.run(
        [made.entrypoint, made.command[0], program, made.command[2], model, *made.arguments],
        env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(home)},
        check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    return made, done


def test_clusters_copy_the_quantisation_alone():
    """A repository of GGUF files holds twenty, and the volume of the job has room for one."""
    made = generate(SCENARIOS["ec2-gguf"]().plan, Language.TERRAFORM, Wanted(target="eks")).files
    jobs = made["kubernetes/weights/copy/jobs.yaml"]

    assert 'allow_patterns=os.environ.get("MODEL_FILES")' in jobs
    assert "*[Qq]4_[Kk]_[Mm]*" in jobs


@pytest.mark.parametrize(
    ("name", "unit", "file", "exec_of"),
    [
        ("llama.cpp server", Unit.TEXTS, "m.gguf", "/app/llama-server"),
        ("OpenVINO Model Server (ONNX)", Unit.IMAGES, "model.onnx", "/ovms/bin/ovms"),
        ("Triton (ONNX Runtime)", Unit.IMAGES, "model.onnx", "tritonserver"),
        ("Triton (FIL)", Unit.ROWS, "xgboost.json", "tritonserver"),
    ],
)
@pytest.mark.parametrize("content", ['"num_feature":"4" planned', '"num_feature":"4" another', None])
def test_a_file_that_is_not_the_planned_one_is_refused(name, unit, file, exec_of, content, tmp_path):
    """The start asks for the digest of the file that the plan was made of; the README has name, size and digest."""
    folder, planned = tmp_path / "bucket", b'"num_feature":"4" planned'
    folder.mkdir()
    (folder / file).write_bytes(planned if content is None else content.encode())
    digest = hashlib.sha256(planned).hexdigest()
    known = None if content is None else ModelFile("churn", len(planned), digest)
    precision = "int4" if name.startswith("llama") else "bf16"
    made = container(name, "cores", Runtime.CPU, demand=Demanded(unit, file=known), precision=precision)
    assert (f"churn of 25 bytes, sha256 {digest}" in made.checkpoint.needed) == (known is not None)
    done = subprocess.run(
        [made.entrypoint, made.command[0], made.command[1].replace(exec_of, "echo started"), made.command[2], folder],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **made.environment},
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    is_refused = content is not None and content.endswith("another")
    assert ("started" not in done.stdout) == is_refused == (done.returncode == 1)
    assert (f"is not the planned file: its sha256 is not {digest}" in done.stderr) == is_refused


@pytest.mark.parametrize(
    ("name", "asked"), [("model.onnx", True), ("m.gguf", True), ("config.json", False), ("model.safetensors", False)]
)
def test_only_a_file_that_is_served_itself_is_asked_for(name, asked):
    """A configuration describes weights that lie elsewhere: its digest is not theirs."""
    demand = {"output_tokens": {"mean": 1.0, "max": 1.0}, "input_tokens": {"mean": 1.0}, "unit": "images"}
    assert (demanded(demand, {}, ModelFile(name, 1, "5" * 64)).file is not None) == asked


@pytest.mark.parametrize("language", Language)
def test_generated_code_names_the_planned_file(language):
    """Trees come from a file: its digest is in the README and in the container, in each language."""
    scenario = SCENARIOS["ec2-trees"]()
    file = ModelFile("fraud.ubj", 1234, "5" * 64)
    plan = replace(scenario.plan, provenance=replace(scenario.plan.provenance, model_file=file))
    made = generate(plan, language, scenario.wanted).files
    assert any("fraud.ubj of 1,234 bytes, sha256 " + "5" * 64 in " ".join(text.split()) for text in made.values())
    assert any(re.search("MODEL_SHA256.{0,20}" + "5" * 64, text) for text in made.values())


@pytest.mark.parametrize(
    ("model", "name"),
    [("google/vit-base", "vit-base"), ("fraud.ubj", "fraud"), ("model", "payments"), ("xgboost", "payments")],
)
def test_a_file_with_a_usual_name_is_served_under_that_of_the_workload(model, name):
    """Clients call a model by its own name, unless every such file has it; files are uploaded as the program wants."""
    platform = Platform(Runtime.CPU, "x86_64", "image", Quota("L-1", "instances"))
    option = make_option(engine="Triton (FIL)", engine_version="", accelerator="cores", context_tokens=1)
    made = container_of(option, model, platform, Wanted(), Demanded(Unit.ROWS, workload="payments"))
    assert made.command[-1] == name
    assert f"/v2/models/{name}/infer" in made.api.clients
    assert made.api.path == "/v2"
    assert made.checkpoint.file_names == (
        () if "/" in model else ("xgboost.ubj", "xgboost.json", "model.txt", "checkpoint.tl")
    )
