"""What each engine is told to do, and what is refused in its name."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen import Language, generate
from advisor.codegen.container import Engine, Platform, Quota, Runtime, Wanted
from advisor.codegen.engines import ENGINES
from advisor.codegen.engines.metrics import METRICS
from advisor.codegen.quoting import image_reference
from advisor.codegen.selection import of_fleet
from advisor.codegen.serving import container_of
from advisor.codegen.stack import stacks_of
from advisor.data_files import data_dir
from advisor.errors import InputError
from codegen.plans import make_fleet, make_fleet_plan, make_group, make_option, make_plan

OPTIONS = Path(__file__).resolve().parents[1] / "data" / "engine_options"
PRECISIONS = ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4")
ACCELERATORS = {
    Runtime.CUDA: ("T4", "L4", "A100-80GB-SXM", "H100-SXM", "B200"),
    Runtime.ROCM: ("MI300X", "MI355X"),
    Runtime.NEURON: ("Inferentia2", "Trainium2"),
    Runtime.GAUDI: ("Gaudi2", "Gaudi3"),
    Runtime.TPU: ("TPU-v5e", "TPU-v6e"),
    Runtime.CPU: ("8 cores of Intel Xeon 8488C (Sapphire Rapids)",),
}
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
MODEL_FP8 = "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic"
IMAGE = "registry.example.com/server@sha256:" + "a" * 64
VERSIONS = {
    "vllm-0.19.1": (Engine.VLLM, "vLLM", "0.19.1"),
    "vllm-0.30.0": (Engine.VLLM, "vLLM", "0.30.0"),
    "vllm-0.33.0": (Engine.VLLM, "vLLM", "0.33.0"),
    "sglang-0.5.9": (Engine.SGLANG, "SGLang", "0.5.9"),
    "sglang-0.5.23": (Engine.SGLANG, "SGLang", "0.5.23"),
    "tensorrt_llm-1.2": (Engine.TENSORRT_LLM, "TensorRT-LLM", "1.2.1"),
}


def platform(runtime=Runtime.CUDA):
    """A platform of which engines read the runtime only."""
    return Platform(runtime, "x86_64", "image", Quota("L-1", "instances"))


def container(engine=None, *, model=MODEL, runtime=Runtime.CUDA, image="", planned="vLLM", **changes):
    """The container of one option that was planned for the engine *planned*, with *changes* to it."""
    changes["engine"] = planned
    return container_of(make_option(**changes), model, platform(runtime), Wanted(engine=engine, image=image))


def value_of(arguments, option):
    """What *option* is set to; None where it is absent."""
    return next((one.partition("=")[2] for one in arguments if one.partition("=")[0] == option), None)


LAYOUTS = st.fixed_dictionaries(
    {
        "precision": st.sampled_from(["bf16", "fp16", "fp8"]),
        "kv_precision": st.sampled_from(["auto", "fp8"]),
        "tensor_parallel": st.sampled_from([1, 2, 8]),
        "pipeline_parallel": st.sampled_from([1, 2]),
        "replicas_per_instance": st.sampled_from([1, 4]),
        "context_tokens": st.sampled_from([4096, 131_072]),
    }
)


@pytest.mark.parametrize("planned", ["vLLM", "SGLang"])
@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_other_weights_answer_to_the_name_of_the_planned_model(planned, precision):
    """Clients call one name, whichever backend gets the request."""
    served = container(planned=planned, precision=precision)
    assert (served.checkpoint.model_id == MODEL) == (precision == "bf16")
    assert value_of(served.arguments, "--served-model-name") == MODEL


@pytest.mark.parametrize("model", ["./config.json", "./%{.json"])
def test_a_model_that_only_a_file_names_is_called_by_no_path(model):
    """Where the weights are is the user's to say, and so is their name."""
    assert value_of(container(model=model).arguments, "--served-model-name") is None


@pytest.mark.sampled(2)
@pytest.mark.parametrize("release", VERSIONS)
@given(layout=LAYOUTS)
def test_release_knows_every_option(release, layout):
    """Whatever a plan decides is said in options that the parser of this release declares."""
    engine, name, version = VERSIONS[release]
    known = set((OPTIONS / f"{release}.txt").read_text().split())
    if engine is Engine.TENSORRT_LLM:
        layout = layout | {"replicas_per_instance": 1, "kv_precision": "auto"}
    made = container(accelerator="H100-SXM", planned=name, engine_version=version, **layout)
    also = (made.model_option, made.port_option, made.revision_option, *(made.tls_options or ()))
    assert {one.partition("=")[0] for one in (*made.arguments, *also) if one} <= known
    assert all(one.startswith("--") for one in made.arguments)


def outcome(engine, runtime, **changes):
    """The container, or the refusal."""
    try:
        return container(engine, runtime=runtime, **changes)
    except InputError as error:
        return error


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("runtime", Runtime)
@pytest.mark.parametrize("engine", Engine)
def test_every_combination_gives_a_container_or_a_way_out(engine, runtime, precision):
    """Nothing is left open: a container that can be started, or a refusal that says what to do instead."""
    image = IMAGE if engine is Engine.CUSTOM else ""
    for accelerator in ACCELERATORS[runtime]:
        found = outcome(engine, runtime, image=image, accelerator=accelerator, precision=precision)
        if isinstance(found, InputError):
            assert engine is not Engine.CUSTOM
            assert found.hint
        else:
            assert image_reference(found.image)
            assert found.checkpoint.model_id == MODEL or found.checkpoint.needed
            assert found.device_arguments


@pytest.mark.parametrize(
    ("engine", "runtime", "changes", "reason"),
    [
        (
            Engine.VLLM,
            Runtime.ROCM,
            {"accelerator": "MI300X", "precision": "int4"},
            r"vLLM 0\.30\.0 does not .* MI300X",
        ),
        (
            Engine.SGLANG,
            Runtime.CUDA,
            {"accelerator": "T4", "precision": "nvfp4"},
            r"SGLang 0\.5\.23 does not serve nvfp4",
        ),
        (Engine.VLLM, Runtime.CUDA, {"accelerator": "T4"}, "no bf16 arithmetic: serve fp16"),
        (Engine.VLLM, Runtime.CUDA, {"accelerator": "B200", "precision": "int8"}, "take fp8"),
        (
            Engine.TENSORRT_LLM,
            Runtime.CUDA,
            {"accelerator": "T4", "precision": "fp16"},
            "left out of the current hardware list",
        ),
        (Engine.SGLANG, Runtime.NEURON, {"accelerator": "Inferentia2"}, "no image for neuron"),
        (Engine.TENSORRT_LLM, Runtime.ROCM, {"accelerator": "MI300X"}, "NVIDIA only, not on rocm"),
        (Engine.TENSORRT_LLM, Runtime.CUDA, {"replicas_per_instance": 4}, "4 replicas of trtllm-serve"),
        (Engine.TENSORRT_LLM, Runtime.CUDA, {"kv_precision": "fp8"}, "fp8 KV cache"),
        (Engine.TENSORRT_LLM, Runtime.CUDA, {"weights_gib": 20.5}, r"20\.5 GiB leave no room .* 0\.9 × 22\.35"),
        (Engine.VLLM, Runtime.TPU, {"accelerator": "TPU-v6e", "precision": "fp8"}, "no fp8 arithmetic"),
        (Engine.CUSTOM, Runtime.CUDA, {}, "needs an image"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_with_its_numbers(engine, runtime, changes, reason):
    """The refusal names engine, release, accelerator and reason, and says what to do instead."""
    with pytest.raises(InputError, match=reason) as caught:
        container(engine, runtime=runtime, **changes)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("engine", "runtime", "changes", "image"),
    [
        (None, Runtime.CUDA, {"engine_version": "0.31.1"}, "vllm/vllm-openai:v0.31.1"),
        (None, Runtime.CUDA, {"engine_version": "0.31"}, "vllm/vllm-openai:v0.33.0"),
        (None, Runtime.ROCM, {"accelerator": "MI300X"}, "vllm/vllm-openai-rocm:v0.30.0"),
        (None, Runtime.TPU, {"planned": "vLLM-TPU", "engine_version": "nightly 2026-08"}, "vllm/vllm-tpu:v0.27.0"),
        (Engine.SGLANG, Runtime.CUDA, {"engine_version": "0.30.0"}, "lmsysorg/sglang:v0.5.23"),
        (None, Runtime.CUDA, {"planned": "SGLang", "engine_version": "0.5.6.post2"}, "lmsysorg/sglang:v0.5.6.post2"),
        (Engine.SGLANG, Runtime.ROCM, {"accelerator": "MI300X"}, "lmsysorg/sglang:v0.5.16-rocm720-mi30x"),
        (Engine.SGLANG, Runtime.ROCM, {"accelerator": "MI355X"}, "lmsysorg/sglang:v0.5.16-rocm720-mi35x"),
        (None, Runtime.CUDA, {"planned": "TensorRT-LLM", "engine_version": "1.2"}, "tensorrt-llm/release:1.2.1"),
    ],
)
def test_image_is_that_of_engine_and_release(engine, runtime, changes, image):
    """An exact version of the plan names the tag; that of another engine does not."""
    assert container(engine, runtime=runtime, **changes).image.endswith(image)


@pytest.mark.parametrize(
    ("version", "release"),
    [("0.30.0", "0.29.0"), ("0.29.0", "0.29.0"), ("0.28.1", "0.27.0"), ("0.9.2", "0.11.1")],
)
def test_tpu_image_is_of_a_release_that_has_one(version, release):
    """The newest known one that is not newer, else the oldest; a difference is said, and not of the user's own image."""
    made = container(runtime=Runtime.TPU, engine_version=version)
    assert made.image == f"vllm/vllm-tpu:v{release}"
    assert bool(made.image_caution) == (version != release)
    assert not container(runtime=Runtime.TPU, engine_version=version, image=IMAGE).image_caution
    assert not container(engine_version=version).image_caution


def test_caution_about_an_image_is_in_the_readme():
    """Once, however many groups share it."""
    place = {"provider": "gcp", "region": "us-east5", "accelerator": "TPU-v6e", "engine_version": "0.30.0"}
    groups = [
        make_group(instance_type="ct6e-standard-1t", purchase=purchase, request_shares=(0.5, 0.5), **place)
        for purchase in ("on_demand", "spot")
    ]
    readme = generate(make_fleet_plan(*groups)).files["README.md"]
    assert readme.count("No TPU image of vLLM 0.30.0 is known") == 1


def test_users_image_takes_the_place_of_the_default_one():
    """--image changes the image and nothing else."""
    assert container(image=IMAGE).image == IMAGE
    assert container(image=IMAGE).arguments == container().arguments


@pytest.mark.parametrize(("version", "has_tls"), [("0.5.9", False), ("0.5.10", True), ("0.5.23", True)])
def test_sglang_encrypts_from_the_release_that_can(version, has_tls):
    """--ssl-keyfile came with 0.5.10; the list of 0.5.9 does not hold it."""
    made = container(planned="SGLang", engine_version=version)
    assert (made.tls_options is not None) == has_tls


def test_sglang_keeps_activations_out_of_its_share():
    """0.9 of the memory for everything is 0.85 for weights and cache."""
    assert value_of(container(Engine.SGLANG).arguments, "--mem-fraction-static") == "0.85"


def test_tensorrt_share_is_of_what_the_weights_leave():
    """L4: (0.9 × 22.35 - 14.96) / (22.35 - 14.96) = 5.155 / 7.39 = 0.698; with two accelerators half the weights each."""
    option = "--kv_cache_free_gpu_memory_fraction"
    assert value_of(container(Engine.TENSORRT_LLM).arguments, option) == "0.698"
    # (20.115 - 7.48) / (22.35 - 7.48) = 12.635 / 14.87
    assert value_of(container(Engine.TENSORRT_LLM, tensor_parallel=2).arguments, option) == "0.85"
    unknown = container(Engine.TENSORRT_LLM, accelerator="no such chip")
    assert value_of(unknown.arguments, option) is None


def test_tensorrt_cuts_prompts_longer_than_a_step():
    """A prompt beyond 8192 tokens is refused by the server unless it may be served in chunks."""
    assert "--enable_chunked_prefill" not in container(Engine.TENSORRT_LLM, context_tokens=8192).arguments
    assert "--enable_chunked_prefill" in container(Engine.TENSORRT_LLM, context_tokens=8193).arguments


def test_tensorrt_needs_a_quantised_checkpoint():
    """It reads no other than NVIDIA's checkpoint, where vLLM takes the one that is preferred."""
    changes = {"accelerator": "H100-SXM", "precision": "fp8"}
    assert container(Engine.TENSORRT_LLM, **changes).checkpoint.model_id == "nvidia/Llama-3.1-8B-Instruct-FP8"
    assert container(Engine.VLLM, **changes).checkpoint.model_id == MODEL_FP8


def test_tensorrt_reads_no_checkpoint_of_another_format():
    """Only compressed-tensors and AWQ checkpoints of 4 bit are known, so the user names one of Model Optimizer."""
    changes = {"accelerator": "H100-SXM", "precision": "int4"}
    assert container(Engine.TENSORRT_LLM, **changes).checkpoint.model_id is None
    assert (
        container(Engine.VLLM, **changes).checkpoint.model_id == "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16"
    )


@pytest.mark.parametrize("precision", ["fp16", "int4"])
def test_turing_computes_in_half(precision):
    """T4 has no bf16: weights are computed in fp16, those of 4 bits too."""
    assert "--dtype=half" in container(accelerator="T4", precision=precision).arguments


@pytest.mark.parametrize(
    ("image", "model", "port", "health"),
    [
        ("nvcr.io/nim/meta/llama-3.1-8b-instruct:2.0.9", "NIM_MODEL_PATH", "NIM_SERVER_PORT", "/v1/health/ready"),
        (IMAGE, "MODEL_ID", "PORT", "/health"),
    ],
)
def test_custom_image_is_told_by_variables(image, model, port, health):
    """No word is added to the image's own command; NIM has names of its own."""
    made = container(Engine.CUSTOM, image=image)
    assert (made.entrypoint, made.command, made.arguments, made.port_option) == ("", (), (), "")
    assert (made.model_environment, made.port_environment, made.health_path) == (model, port, health)
    assert made.tls_options is None


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"replicas_per_instance": 4}, {"--data-parallel-size=4"}),
        ({"pipeline_parallel": 2}, {"--pipeline-parallel-size=2"}),
        ({"expert_parallel": True, "tensor_parallel": 8}, {"--enable-expert-parallel"}),
        (
            {"expert_parallel": True, "replicas_per_instance": 8},
            {"--data-parallel-size=8", "--enable-expert-parallel"},
        ),
        ({"kv_precision": "fp8"}, {"--kv-cache-dtype=fp8"}),
        ({"max_concurrency": 7, "context_tokens": 999}, {"--max-num-seqs=7", "--max-model-len=999"}),
    ],
)
def test_vllm_is_told_what_the_plan_decides(changes, options):
    """Layout, cache, batch and context become options, and only where they differ from the plain case."""
    assert options <= set(container(**changes).arguments)
    assert not any(option.startswith(("--data", "--pipeline", "--enable-expert")) for option in container().arguments)


@pytest.mark.parametrize(
    ("engine", "options"),
    [(Engine.SGLANG, {"--tp-size=4", "--ep-size=4"}), (Engine.TENSORRT_LLM, {"--tp_size=4", "--ep_size=4"})],
)
def test_other_engines_are_told_the_ranks_that_hold_whole_experts(engine, options):
    """All of a replica: one accelerator has nothing to divide."""
    assert options <= set(container(engine, tensor_parallel=4, expert_parallel=True).arguments)
    for layout in ({"tensor_parallel": 4}, {"tensor_parallel": 1, "expert_parallel": True}):
        assert not any(option.startswith("--ep") for option in container(engine, **layout).arguments)


def test_a_pod_of_one_accelerator_divides_no_experts():
    """Only several behind one server do, so the option goes where theirs goes."""
    made = container(tensor_parallel=1, replicas_per_instance=8, expert_parallel=True)
    assert "--enable-expert-parallel" in made.sharing_arguments
    pods = container(tensor_parallel=4, replicas_per_instance=2, expert_parallel=True)
    assert "--enable-expert-parallel" not in pods.sharing_arguments


NXDI = {
    "runtime": Runtime.NEURON, "instance_type": "inf2.24xlarge", "accelerator": "Inferentia2", "tensor_parallel": 6,
    "planned": "vLLM-NxDI",
}  # fmt: skip


def test_nxd_inference_keeps_what_it_compiles():
    """In a folder of these weights, image and arguments: what lies there is loaded whatever the arguments are."""
    made, again = container(**NXDI), container(**NXDI)
    assert made.compiled_environment == "NEURON_COMPILED_ARTIFACTS"
    assert made.compiled_folder == again.compiled_folder
    assert made.compiled_folder.startswith(f"models/{made.checkpoint.model_id}/neuron-")
    folders = {
        container(**NXDI, **changes).compiled_folder
        for changes in ({}, {"max_concurrency": 3}, {"context_tokens": 1024})
    }
    assert len(folders) == 3


def test_nxd_inference_starts_without_prefix_caching():
    """Its cache has no blocks; GPUs keep the default of the engine."""
    assert "--no-enable-prefix-caching" in container(**NXDI).arguments
    assert not any("prefix-caching" in one for one in container().arguments)
    assert container().compiled_environment == ""


def test_neuron_counts_cores_and_chips():
    """Six Inferentia2 chips are twelve cores and six devices; there is no share of memory to set."""
    made = container(
        runtime=Runtime.NEURON, instance_type="inf2.24xlarge", accelerator="Inferentia2", tensor_parallel=6,
        planned="vLLM-NxDI",
    )  # fmt: skip
    assert "--tensor-parallel-size=12" in made.arguments
    assert made.device_arguments == tuple(f"--device=/dev/neuron{chip}" for chip in range(6))
    assert not any("gpu-memory" in one or "kv-cache" in one for one in made.arguments)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"precision": "int8"}, "converted by hand"),
        ({"pipeline_parallel": 2}, "pipeline parallelism"),
        ({"replicas_per_instance": 12}, "cannot share a port"),
    ],
)
def test_neuron_refuses_what_it_has_no_way_to_run(changes, reason):
    """Three layouts that the plan may ask for and the plugin cannot do."""
    with pytest.raises(InputError, match=reason):
        container(
            runtime=Runtime.NEURON,
            instance_type="inf2.48xlarge",
            accelerator="Inferentia2",
            planned="vLLM-NxDI",
            **changes,
        )


def test_unknown_engine_is_to_be_chosen():
    """An engine that is not written is refused, and the hint names the option that chooses another."""
    with pytest.raises(InputError, match="TGI") as caught:
        container(planned="TGI")
    assert "--engine" in caught.value.hint
    assert container(Engine.VLLM, planned="TGI").engine is Engine.VLLM


def test_image_has_to_be_one():
    """A reference that would break out of the code is refused by name."""
    with pytest.raises(InputError, match="not a reference of a container image"):
        container(image='x"; reboot')


def test_one_image_cannot_serve_on_two_kinds_of_accelerator():
    """A fleet of GPUs and Neuron chips takes no --image; the GPUs alone do."""
    gpu = make_group()
    neuron = make_group(
        instance_type="inf2.xlarge", accelerator="Inferentia2", engine="vLLM-NxDI", engine_version="0.5"
    )
    wanted = Wanted(image=IMAGE)
    with pytest.raises(InputError, match="cuda and neuron"):
        stacks_of(make_fleet_plan(gpu, neuron), of_fleet(make_fleet(gpu, neuron)), wanted)
    (stack,) = stacks_of(make_fleet_plan(gpu), of_fleet(make_fleet(gpu)), wanted)
    assert stack.backends[0].container.image == IMAGE


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        (Wanted(engine=Engine.CUSTOM), "a custom engine needs an image", "--image"),
        (Wanted(image="no image"), "not a reference of a container image", "REPOSITORY:TAG"),
    ],
)
def test_what_no_plan_could_make_right_is_refused_at_once(wanted, message, hint):
    """The message is about what was asked, and not about the options of the plan that were tried with it."""
    with pytest.raises(InputError, match=message) as caught:
        generate(make_plan(make_option()), wanted=wanted)
    assert hint in caught.value.hint


def test_another_engine_than_the_planned_one_is_said():
    """The numbers of the plan are those of its engine; the same engine is nothing to say."""
    plan = make_plan(make_option())
    (warning,) = generate(plan, wanted=Wanted(engine=Engine.SGLANG)).warnings
    assert "the plan predicts vLLM 0.30.0; measure sglang" in warning
    assert generate(plan, wanted=Wanted(engine=Engine.VLLM)).warnings == ()


def test_a_host_that_drains_reads_how_many_requests_each_engine_runs():
    """An engine whose name for them it does not know would hold up every stop for the longest time."""
    script = (data_dir("templates") / "shared" / "drain_script.sh.j2").read_text()
    pattern = re.compile(re.search(r"awk '/(\^[^/]+)/", script)[1])

    for engine, metrics in METRICS.items():
        if metrics.running:
            assert pattern.match(f'{metrics.running}{{model="x"}} 0.0'), engine
            assert pattern.match(f'{metrics.waiting}{{model="x"}} 0.0'), engine


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize(
    ("planned", "variable"), [("vLLM", "VLLM_HTTP_TIMEOUT_KEEP_ALIVE"), ("SGLang", "SGLANG_TIMEOUT_KEEP_ALIVE")]
)
def test_engines_keep_idle_connections_for_longer_than_the_balancer_before_them(planned, variable, language):
    """A request that a balancer sends on a connection which the server closes at that moment is answered with 502."""
    version = {"vLLM": "0.30.0", "SGLang": "0.5.9"}[planned]
    files = generate(make_plan(make_option(engine=planned, engine_version=version)), language).files
    text = "\n".join(files.values())
    (idle,) = {int(seconds) for seconds in re.findall(r"idle_timeout *= *(\d+)", text)}
    (kept,) = {int(seconds) for seconds in re.findall(rf"--env={variable}=(\d+)", text)}
    assert kept > idle


def test_every_engine_has_its_program_and_its_metrics():
    """A module beside ``engines.csv`` starts it, and a row there says where it answers, but of two without metrics."""
    assert set(ENGINES) == set(Engine)
    assert set(Engine) - set(METRICS) == {Engine.CUSTOM, Engine.OPTIMUM_NEURON}
