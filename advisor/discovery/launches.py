"""Command lines of serving engines → :class:`Launch`: which model, how divided, up to which length, in which precision.

Flags and variables are those that the engines document: vLLM (``vllm serve --help``), SGLang (server arguments), TGI
and TEI (launcher and router), TensorRT-LLM (``trtllm-serve``), KServe's Hugging Face server, and the containers of
SageMaker (``HF_MODEL_ID``, ``OPTION_…``, ``SM_VLLM_…``).
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from advisor.discovery import Launch
from advisor.records import first_of

_ENGINES: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (engine, re.compile(pattern))
    for engine, pattern in (
        ("SGLang", r"(^|[\s/.:-])sglang"),
        ("TEI", r"text-embeddings-(router|inference)"),
        ("TGI", r"text-generation-(launcher|inference)|huggingface-pytorch-tgi"),
        ("TensorRT-LLM", r"trtllm-serve|tensorrt-?llm"),
        ("vLLM", r"(^|[\s/.:-])vllm|huggingfaceserver|/llm-d|djl-inference"),
        ("NVIDIA NIM", r"^nvcr\.io/nim/"),
        ("llama.cpp", r"llama-server|llama\.cpp"),
        ("Triton", r"tritonserver"),
    )
)
_MODEL = ("--model", "--model-path", "--model-id", "--hf-repo")
_SERVED = ("--served-model-name", "--model-name", "--alias")
_TENSOR = ("--tensor-parallel-size", "-tp", "--tp", "--tp-size", "--num-shard")
_PIPELINE = ("--pipeline-parallel-size", "-pp", "--pp", "--pp-size")
_CONTEXT = ("--max-model-len", "--context-length", "--max-total-tokens", "--max-seq-len", "--ctx-size", "-c")
_STORED = ("--quantization", "-q", "--quantize")
_COMPUTED = ("--dtype", "--torch-dtype")
_VARIABLES: Mapping[str, str] = {
    "MODEL_ID": "--model", "HF_MODEL_ID": "--model", "OPTION_MODEL_ID": "--model", "SM_VLLM_MODEL": "--model",
    "SM_SGLANG_MODEL_PATH": "--model", "NUM_SHARD": "--num-shard", "SM_NUM_GPUS": "--num-shard",
    "OPTION_TENSOR_PARALLEL_DEGREE": "--num-shard", "TENSOR_PARALLEL_DEGREE": "--num-shard",
    "SM_VLLM_TENSOR_PARALLEL_SIZE": "--num-shard", "MAX_TOTAL_TOKENS": "--max-total-tokens",
    "OPTION_MAX_MODEL_LEN": "--max-model-len", "SM_VLLM_MAX_MODEL_LEN": "--max-model-len", "QUANTIZE": "--quantize",
    "OPTION_QUANTIZE": "--quantize", "DTYPE": "--dtype", "NIM_SERVED_MODEL_NAME": "--served-model-name",
}  # fmt: skip
"""Environment variables that stand for flags where the command line has none."""
_PRECISIONS: Mapping[str, str] = {
    "fp8": "fp8", "w8a8-fp8": "fp8", "modelopt": "fp8", "modelopt-fp8": "fp8", "fbgemm-fp8": "fp8", "awq": "int4",
    "awq-marlin": "int4", "gptq": "int4", "gptq-marlin": "int4", "marlin": "int4", "bitsandbytes": "int4",
    "bitsandbytes-nf4": "int4", "w8a8-int8": "int8", "modelopt-fp4": "nvfp4", "nvfp4": "nvfp4", "mxfp4": "mxfp4",
    "bfloat16": "bf16", "bf16": "bf16", "float16": "fp16", "half": "fp16", "fp16": "fp16", "float32": "fp32",
    "float": "fp32",
}  # fmt: skip
_REFERENCE = re.compile(r"\$\((\w+)\)|\$\{(\w+)(?::-([^}]{0,500}))?\}|\$(\w+)")
_MOST_WORDS = 2_000
_LONGEST_WORD = 4_000
"""Characters of a word that is expanded, and of a variable that it takes."""
_SHELLS = ("sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/bash", "ash")
_CACHE_FOLDER = re.compile(r"models--([^/]+?)--([^/]+)")
_COUNTS: Mapping[str, int] = {"k": 1_000, "K": 1_024, "m": 1_000_000, "M": 1_048_576}
_NIM_IMAGE = re.compile(r"^nvcr\.io/nim/([^:@]+)")


def launch_of(words: Sequence[str], image: str = "", variables: Mapping[str, str] = MappingProxyType({})) -> Launch:
    """How an engine was started, by command, image and environment; values that are secrets are not needed."""
    words = [_expanded(word, variables) for word in _unwrapped(words)[:_MOST_WORDS]]
    texts = (*words[:6], image)
    engine = next((engine for text in texts for engine, pattern in _ENGINES if pattern.search(text)), "")
    flags = {_VARIABLES[name]: value for name, value in variables.items() if name in _VARIABLES and value}
    flags |= _flags(words)
    model = first_of(flags, _MODEL) or _positional(words)
    if not model and (nim := _NIM_IMAGE.match(image)):
        model = nim[1]
    return Launch(
        engine=engine,
        model=_repository(model),
        served_name=first_of(flags, _SERVED),
        tensor_parallel=_count(first_of(flags, _TENSOR)) or 1,
        pipeline_parallel=_count(first_of(flags, _PIPELINE)) or 1,
        context_tokens=_count(first_of(flags, _CONTEXT)),
        precision=_precision(first_of(flags, _STORED)) or _precision(first_of(flags, _COMPUTED)),
    )


def _unwrapped(words: Sequence[str]) -> list[str]:
    """Words of the last command of a script that a shell is given; other command lines as they are."""
    if len(words) < 3 or words[0] not in _SHELLS or not words[1].startswith("-") or "c" not in words[1]:
        return list(words)
    script = " ".join(words[2:]).replace("\\\n", " ")
    for line in reversed(re.split(r"\n|&&|;", script)):
        if any(pattern.search(line) for _, pattern in _ENGINES):
            try:
                return shlex.split(line, comments=True)
            except ValueError:
                return line.split()
    return list(words)


def _expanded(word: str, variables: Mapping[str, str]) -> str:
    """A word with what it takes from the environment; what is not known stays a reference."""

    def value_of(match: re.Match[str]) -> str:
        value = variables.get(match[1] or match[2] or match[4], "")
        return (value if len(value) <= _LONGEST_WORD else "") or match[3] or match[0]

    return word if "$" not in word or len(word) > _LONGEST_WORD else _REFERENCE.sub(value_of, word)


def _flags(words: Sequence[str]) -> dict[str, str]:
    """Values by flag, underscores in flags as hyphens."""
    flags = {}
    for word, following in pairwise((*words, "")):
        if not word.startswith("-"):
            continue
        flag, has_value, value = word.partition("=")
        flags[flag.replace("_", "-")] = value if has_value else ("" if following.startswith("-") else following)
    return flags


def _positional(words: Sequence[str]) -> str:
    """Model that stands behind ``serve`` or ``trtllm-serve``."""
    for word, following in pairwise(words):
        is_command = word == "serve" or word.endswith("trtllm-serve")
        if is_command and not following.startswith("-") and following != "serve":
            return following
    return ""


def stored_model(address: str) -> str:
    """Model at an address of weights: a repository of Hugging Face, else the last part of the path."""
    is_repository = "://" not in address or address.startswith("hf://")
    return _repository(address) if is_repository else address.rstrip("/").rpartition("/")[2]


def _repository(model: str) -> str:
    """Repository of a Hugging Face cache folder or ``hf://`` address; any other name as it is, unless it is long."""
    if len(model) > _LONGEST_WORD:
        return ""
    if folder := _CACHE_FOLDER.search(model):
        return f"{folder[1]}/{folder[2]}"
    if model.startswith("hf://"):
        return model.removeprefix("hf://").partition(":")[0]
    return "" if _REFERENCE.search(model) else model.rstrip("/")


def _count(text: str) -> int | None:
    """A positive whole number, which vLLM also takes as ``32k``; None for any other text."""
    number = re.fullmatch(r"(\d{1,9})([kKmM]?)", text)
    return (int(number[1]) * _COUNTS.get(number[2], 1) or None) if number else None


def _precision(text: str) -> str:
    return _PRECISIONS.get(text.lower().replace("_", "-"), "")


def launches_of_lines(lines: Sequence[str]) -> Iterator[Launch]:
    """Launches of the command lines that the agent notes, such as ``vllm Qwen/Qwen3-32B -tp 2``."""
    for line in lines:
        program, _, rest = line.partition(" ")
        launch = launch_of([program, *rest.split()])
        first = rest.split(" ", 1)[0]
        if not launch.model and first and not first.startswith("-"):
            launch = launch_of([program, "serve", *rest.split()])
        yield launch
