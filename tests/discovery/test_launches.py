"""Command lines of serving engines, as people write them."""

from itertools import pairwise

import pytest

from advisor.discovery import Launch
from advisor.discovery.cluster import ray_launches
from advisor.discovery.launches import launch_of, launches_of_lines, stored_model

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize(
    ("words", "image", "variables", "expected"),
    [
        (["serve", LLAMA, "-tp", "2"], "vllm/vllm-openai:v0.11", {}, Launch("vLLM", LLAMA, tensor_parallel=2)),
        (["vllm", "serve", LLAMA, "--max-model-len=32k"], "", {}, Launch("vLLM", LLAMA, context_tokens=32_000)),
        (["--model", LLAMA, "--served-model-name", "chat"], "my/vllm:1", {}, Launch("vLLM", LLAMA, "chat")),
        (["--model=$(MODEL)"], "vllm/vllm-openai", {"MODEL": LLAMA}, Launch("vLLM", LLAMA)),
        (["--model=${MODEL:-Qwen/Qwen3-8B}"], "vllm/vllm-openai", {}, Launch("vLLM", "Qwen/Qwen3-8B")),
        (["--model=$(SECRET)"], "vllm/vllm-openai", {}, Launch("vLLM", "")),
        (
            ["/bin/sh", "-c", f"pip install x && exec python3 -m vllm.entrypoints.openai.api_server \\\n --model {LLAMA}"],
            "python:3.12", {}, Launch("vLLM", LLAMA),
        ),
        (
            ["python3", "-m", "sglang.launch_server", "--model-path", "/models/Qwen3-32B/", "--tp", "4", "--pp-size=2",
             "--quantization", "fp8", "--context-length", "16384"],
            "", {}, Launch("SGLang", "/models/Qwen3-32B", "", 4, 2, 16_384, "fp8"),
        ),
        ([], "ghcr.io/huggingface/text-generation-inference:3", {"MODEL_ID": LLAMA, "NUM_SHARD": "4", "QUANTIZE": "awq"},
         Launch("TGI", LLAMA, tensor_parallel=4, precision="int4")),
        (["--model-id", "BAAI/bge-m3", "--dtype", "float16"], "ghcr.io/huggingface/text-embeddings-inference:1.8", {},
         Launch("TEI", "BAAI/bge-m3", precision="fp16")),
        (["trtllm-serve", LLAMA, "--tp_size", "2", "--max_seq_len", "8192"], "", {},
         Launch("TensorRT-LLM", LLAMA, tensor_parallel=2, context_tokens=8192)),
        (["tritonserver", "--model-repository=/models"], "nvcr.io/nvidia/tritonserver:25.06-py3", {}, Launch("Triton")),
        ([], "nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8", {}, Launch("NVIDIA NIM", "meta/llama-3.1-8b-instruct")),
        (["--model_name=chat", "--model_id=" + LLAMA], "kserve/huggingfaceserver:v0.15", {}, Launch("vLLM", LLAMA, "chat")),
        (["--model", "/root/.cache/huggingface/hub/models--Qwen--Qwen3-8B/snapshots/abc"], "vllm/vllm-openai", {},
         Launch("vLLM", "Qwen/Qwen3-8B")),
        (["nginx", "-g", "daemon off;"], "nginx:1.27", {}, Launch("")),
        (["sh", "-c", "echo 'unclosed; vllm serve x"], "", {}, Launch("vLLM", "x")),
        (["--max-model-len", "0", "--tensor-parallel-size", "many"], "vllm/vllm-openai", {}, Launch("vLLM")),
    ],
)  # fmt: skip
def test_a_command_line_says_what_runs(words, image, variables, expected):
    """Engine, model, name, division, length and precision, whether flags, variables or a script hold them."""
    assert launch_of(words, image, variables) == expected


def test_lines_of_the_agent_are_read_alike():
    """The agent's line of an engine, whose model stands behind the program, is the launch that it was made from."""
    lines = [f"vllm {LLAMA} -tp 2", "sglang --model-path Qwen/Qwen3-32B --tp 4"]

    launches = list(launches_of_lines(lines))

    assert launches[0] == Launch("vLLM", LLAMA, tensor_parallel=2)
    assert (launches[1].model, launches[1].tensor_parallel) == ("Qwen/Qwen3-32B", 4)


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("hf://Qwen/Qwen3-8B:main", "Qwen/Qwen3-8B"),
        ("s3://bucket/llms/llama-3.1-8b/", "llama-3.1-8b"),
        ("pvc://v/m", "m"),
    ],
)
def test_an_address_of_weights_names_the_model(address, model):
    """A repository as it is, of any other address the last part."""
    assert stored_model(address) == model


def test_ray_serve_names_every_model():
    """One launch for each LLM of Ray Serve, one for an application that takes a model, and none of what is no YAML."""
    text = (
        "applications:\n- args:\n    llm_configs:\n"
        "    - model_loading_config: {model_id: a, model_source: Qwen/Qwen3-8B}\n      engine_kwargs: {max_model_len: 4096}\n"
        "    - model_loading_config: {model_id: Qwen/Qwen3-32B, model_source: {bucket_uri: 's3://b/m'}}\n"
        "- runtime_env: {env_vars: {MODEL_ID: Qwen/Qwen2.5-7B-Instruct, TENSOR_PARALLELISM: '2'}}\n- args: {port: 1}\n"
    )

    first, second, third = ray_launches(text)

    assert first == Launch("vLLM", "Qwen/Qwen3-8B", "a", context_tokens=4096)
    assert (second.model, second.served_name) == ("Qwen/Qwen3-32B", "Qwen/Qwen3-32B")
    assert (third.model, third.tensor_parallel) == ("Qwen/Qwen2.5-7B-Instruct", 2)
    assert list(ray_launches("a: [")) == []
    assert list(ray_launches("- 1")) == []


@pytest.mark.parametrize("value", ["!!bool x", '!!int ""', "!!timestamp x", f"0x{'f' * 5000}", "[" * 1500])
def test_a_configuration_of_ray_that_cannot_be_read_names_no_model(value):
    """Tags that do not fit, numbers without end and deep nesting are no traceback."""
    assert list(ray_launches(f"applications: [{{args: {{model: {value}}}}}]")) == []


def test_models_of_ray_are_texts_and_bounded():
    """A model that is no text is unknown, and a list of aliases to one application ends at 100 models."""
    nested = "".join(f"{key}: &{key} [{f'*{before}, ' * 20}]\n" for before, key in pairwise("abcdefgh"))
    config = "args: {llm_configs: [{model_loading_config: {model_id: *h}}]}"

    (launch,) = ray_launches(f"a: &a [x]\n{nested}applications: [{{{config}}}]")
    many = list(ray_launches(f"a: &a {{args: {{model: b}}}}\napplications: [{'*a, ' * 3000}]"))

    assert launch.model == ""
    assert len(many) == 100


def test_references_without_an_end_stay_as_they_are():
    """An argument of 60,000 beginnings of a reference, and one that multiplies a long variable, name no model."""
    long = {"A": "x" * 100_000}

    assert launch_of(["vllm", "serve", "${a:-" * 60_000]).model == ""
    assert launch_of(["vllm", "serve", "$A" * 1_000], "", long).model == ""
