"""Request to an engine: what it is asked to serve, from which weights, by which program, and what is refused.

On processors vLLM binds threads and memory to cores, for which its guide gives SYS_NICE.

LoRA adapters as options of engines.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

from advisor.catalog import load_catalog
from advisor.catalog.precisions import is_hub_id
from advisor.catalog.values import EngineSupport, Support
from advisor.codegen.container import Checkpoint, Container, Engine, Platform, Runtime, ServedAdapter, Serves
from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models.adapters import MODULES, adapter_engine
from advisor.models.model import ALL, ModelFile, ModelInput, TextAnswer
from advisor.models.values import answer_options
from advisor.plan.words import unit_of
from advisor.records import dataclass, field

QUANTISED_CHECKPOINTS = {
    "fp8": "an FP8 checkpoint",
    "int8": "an INT8 (W8A8, compressed-tensors) checkpoint",
    "int4": "a 4-bit (AWQ, GPTQ or compressed-tensors) checkpoint",
    "nvfp4": "an NVFP4 checkpoint",
    "mxfp4": "an MXFP4 checkpoint",
}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "half"}
_TENSORRT = "TensorRT-LLM"
_TENSORRT_CHECKPOINTS = QUANTISED_CHECKPOINTS | {
    "fp8": "an FP8 checkpoint made with NVIDIA Model Optimizer",
    "int4": "a 4-bit AWQ checkpoint made with NVIDIA Model Optimizer",
}


def checkpoint_of(model: str, precision: str, engine: str = "vLLM") -> Checkpoint:
    """The weights to download: the planned model in this precision, as far as the catalog knows where it is.

    Where it knows no repository, the user names one. *engine*: as engine_support.csv names it; "" for an image of the
    user's own.
    """
    catalog = load_catalog()
    weights = catalog.precisions.loaded(model, precision, engine)
    if weights is None or not weights.repository:
        is_made = catalog.precisions.is_made_while_loading(precision, engine)
        kind = None if is_made else _quantised(engine).get(precision)
        needed = f"{kind} of the planned model" if kind else "the hub name of the planned model"
        return Checkpoint(None, needed, is_made)
    if weights.repository == model:
        return Checkpoint(model, "the planned model", weights.made_while_loading)
    return Checkpoint(weights.repository, f"{_quantised(engine)[precision]} of the planned model")


def precision_arguments(precision: str, checkpoint: Checkpoint, *, half: bool) -> list[str]:
    """Options of Python engines for the type of weights; *half* where the accelerator has no bf16 arithmetic.

    A quantised checkpoint says itself how it is quantised.
    """
    if precision in _DTYPES:
        return [f"--dtype={_DTYPES[precision]}"]
    if checkpoint.made_while_loading:
        return [f"--dtype={'half' if half else 'bfloat16'}", f"--quantization={precision}"]
    return [f"--dtype={'half' if half else 'auto'}"]


def _quantised(engine: str) -> Mapping[str, str]:
    """Precisions that need a checkpoint of their own; an image of the user's own loads what it is given."""
    if not engine:
        return {}
    return _TENSORRT_CHECKPOINTS if engine == _TENSORRT else QUANTISED_CHECKPOINTS


SERVED_NAME = "--served-model-name="
"""Start of the option for the name that requests give."""
_SERVED_ENDINGS = (".onnx", ".gguf")
"""Endings of files that are served themselves, as those of trees are; a configuration describes others."""
_EXACT_VERSION = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(\.post\d+)?(?![\d.])")


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """LoRA adapters as a plan counts them."""

    count: int
    rank: int
    slots: int
    """Adapters on the accelerators at a time."""
    target_modules: tuple[str, ...]
    named: tuple[ServedAdapter, ...]
    """Those that the workload names; empty: it has their number alone."""


@dataclass(frozen=True, slots=True)
class Demanded:
    """Contents of one request of the workload."""

    unit: Unit = Unit.TOKENS
    items: float = 1.0
    """Texts, recordings or pictures of a request, mean."""
    most_items: int = 1
    item_size: float = 0.0
    """Mean size of one item: tokens, milliseconds of audio, pixels × steps."""
    prefix_cached: bool = False
    """The plan counts on tokens that replicas hold of earlier prompts."""
    inputs: tuple[ModelInput, ...] = ()
    """Tensors that the model's graph takes; empty: not known."""
    workload: str = ""
    """Name of the workload."""
    file: ModelFile | None = None
    """File that the model was read from, where its digest is known; None: a model of the hub, or too large a file."""
    gguf: ModelFile | None = None
    """GGUF file that the model was read from, whether its digest is known or not; None: any other model."""
    answer: TextAnswer = TextAnswer.VECTOR
    """Answer to a text, as the model's configuration says."""
    model_type: str = ""
    """Type of an encoder by which servers load it for its answer; "" of all others."""
    has_pictures: bool = False
    """Requests to a model that answers token by token hold images."""
    adapters: AdapterPlan | None = None
    """LoRA adapters on the model; None: none."""

    @property
    def is_scored(self) -> bool:
        """Whether the answer to a text is a score, or one for each label."""
        return self.answer in (TextAnswer.SCORE, TextAnswer.LABELS)

    def answer_options(self, engine: str) -> tuple[str, ...]:
        """Options by which an engine gives the answer to a text."""
        return answer_options(engine, self.answer, self.model_type)


def demanded(
    demand: Mapping[str, Any], workload: Mapping[str, Any] | None = None, file: ModelFile | None = None
) -> Demanded:  # fmt: skip
    """Requests of a plan's demand; one item each of a model that answers token by token.

    *workload*: of the plan, for what its engine is told beside the demand.
    """
    unit, workload = unit_of(demand), workload or {}
    cached = workload.get("prefix_cache_hit_ratio", 0.0) > 0
    is_served = file is not None and (unit is Unit.ROWS or file.name.endswith(_SERVED_ENDINGS))
    digested = file if file is not None and file.sha256 and is_served else None
    gguf = file if file is not None and file.is_gguf else None
    if not unit.is_one_pass:
        return Demanded(
            prefix_cached=cached,
            adapters=adapters_of(workload),
            file=digested,
            gguf=gguf,
            has_pictures=demand.get("pictures") is not None,
        )
    items, size = demand["output_tokens"], demand["input_tokens"]
    inputs = tuple(
        ModelInput(entry["name"], entry["type"], tuple(entry["shape"])) for entry in workload.get("model_inputs", ())
    )
    name = str(workload.get("name", ""))
    answer, model_type = TextAnswer(workload.get("model_answer", TextAnswer.VECTOR)), workload.get("model_type", "")
    most = math.ceil(items["max"])
    return Demanded(unit, items["mean"], most, size["mean"], cached, inputs, name, digested, gguf, answer, model_type)


def adapters_of(workload: Mapping[str, Any]) -> AdapterPlan | None:
    """LoRA adapters of a plan's workload; None where it has none."""
    stated = workload.get("adapters")
    if stated is None:
        return None
    named = tuple(ServedAdapter(entry["id"], entry["on_hub"]) for entry in stated["named"])
    targets = tuple(stated["target_modules"])
    return AdapterPlan(stated["count"], stated["rank"], stated["slots"], targets, named)


@dataclass(frozen=True, slots=True)
class Request:
    """One instance, and what has to run on it."""

    serves: Serves
    model: str
    platform: Platform
    image: str
    """Image that the user wants; "": that of the engine."""
    version: str
    """Of the engine as planned, such as 0.30.0; "" where the plan names none that is exact."""
    demand: Demanded = field(default_factory=Demanded)


def served_name(request: Request) -> tuple[str, ...]:
    """Option for the name of the model, whichever weights a backend loads; none for a model in a file."""
    return (f"{SERVED_NAME}{request.model}",) if is_hub_id(request.model) else ()


def exact_version(text: str) -> str:
    """The version in *text*, such as ``0.30.0`` or ``0.5.6.post2``; "" where none has three parts."""
    match = _EXACT_VERSION.search(text)
    return match[0] if match else ""


def version_key(version: str) -> tuple[int, ...]:
    """The numbers of an exact version, for comparison."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def refusal(serves: Serves, problem: str, hint: str = "") -> InputError:
    """Why *serves* cannot run so, with the way out."""
    return InputError(
        f"{serves.instance_type}: {problem}",
        hint=hint or "generate another option with --option RANK, or choose another engine with --engine",
    )


_DEVICES: Mapping[Runtime, tuple[str, ...]] = {
    Runtime.CUDA: ("--gpus=all",),
    Runtime.ROCM: ("--device=/dev/kfd", "--device=/dev/dri", "--group-add=video"),
    Runtime.GAUDI: ("--runtime=habana", "--env=HABANA_VISIBLE_DEVICES=all", "--cap-add=sys_nice"),
    Runtime.TPU: ("--privileged",),
    Runtime.CPU: ("--cap-add=SYS_NICE",),
}


def device_arguments(serves: Serves, platform: Platform) -> tuple[str, ...]:
    """The accelerators; a container on Neuron names each chip."""
    if platform.runtime is Runtime.NEURON:
        chips = serves.tensor_parallel * serves.replicas_per_instance
        return tuple(f"--device=/dev/neuron{chip}" for chip in range(chips))
    return _DEVICES[platform.runtime]


KEEP_ALIVE_SECONDS = 620
"""How long an engine keeps an idle connection: longer than the 600 s of the load balancers before it.

Servers on uvicorn close it after 5 s, and a request that a balancer sends along at that moment is answered with 502.
Sources: AWS's guide to errors of Application Load Balancers and Google's to backend services (which names 620 s), read
in December 2026; vLLM's pull request 18472.
"""


def logs_of(platform: Platform) -> Mapping[str, str]:
    """Variable by which Gaudi's software writes its logs where a container without rights may; else none."""
    return {"HABANA_LOGS": "/tmp/habana_logs"} if platform.runtime is Runtime.GAUDI else {}  # noqa: S108 - in the container


_HALF = "fp16"
_VENDORS = {Runtime.CUDA: "nvidia", Runtime.ROCM: "amd"}


def support_of(engine: str, request: Request) -> EngineSupport | None:
    """How the engine, by its name in the catalog, serves the planned precision; None where the catalog has no word.

    Raises InputError if the catalog says that it does not.
    """
    serves = request.serves
    catalog = load_catalog()
    if serves.accelerator not in catalog.accelerators:
        return None
    rows = catalog.engine_support_at(serves.accelerator, serves.precision, request.version)
    row = next((row for row in rows if row.engine == engine), None)
    if row is not None and row.support is Support.NO:
        reason = f": {row.detail}" if row.detail else ""
        raise refusal(
            serves, f"{engine} {row.engine_version} does not serve {serves.precision} on {serves.accelerator}{reason}"
        )
    return row


def release_of(engine: str, request: Request) -> str:
    """The planned release, else the newest whose image is known; "" for runtimes whose releases are not listed."""
    vendor = _VENDORS.get(request.platform.runtime)
    if request.version or vendor is None:
        return request.version
    return str(load_catalog().plannable_releases(engine, vendor)[-1])


def computes_in_half(row: EngineSupport | None) -> bool:
    """Weights are widened to fp16, because the accelerator has no bf16 arithmetic."""
    return row is not None and row.compute_precision == _HALF


def memory_gib(request: Request) -> float | None:
    """Memory of one accelerator as software sees it; None for one that the catalog does not know."""
    accelerator = load_catalog().accelerators.get(request.serves.accelerator)
    return None if accelerator is None else accelerator.memory_gib


def ranks_of(serves: Serves) -> int:
    """Degree of tensor parallelism in ranks of the engine; that of the plan of an accelerator that is not known."""
    accelerator = load_catalog().accelerators.get(serves.accelerator)
    return serves.tensor_parallel if accelerator is None else accelerator.ranks(serves.tensor_parallel)


_PROGRAMS = Path(__file__).with_name("programs")
_PART = re.compile(r"^( *)@([\w.]+)(?: (.+))?\n", re.MULTILINE)


def program(name: str, path: str = "") -> str:
    """A program for bash of the folder ``programs``, in which a line ``@NAME PATH`` stands for the lines of another."""
    text = (_PROGRAMS / name).read_text(encoding="utf-8").replace("@path@", path)
    return _PART.sub(lambda part: indent(program(part[2], part[3] or ""), part[1]), text)


_SHOWN = 4


def vllm_arguments(request: Request, engine: str) -> tuple[str, ...]:
    """Slots of vLLM on the accelerators and in host memory; none without adapters."""
    adapters = request.demand.adapters
    if adapters is None:
        return ()
    return (
        "--enable-lora",
        f"--max-loras={adapters.slots}",
        f"--max-lora-rank={_rank(request, adapters, engine)}",
        f"--max-cpu-loras={adapters.count}",
    )


def sglang_arguments(request: Request, engine: str) -> tuple[str, ...]:
    """Slots of SGLang, with the modules that they hold; none without adapters."""
    adapters = request.demand.adapters
    if adapters is None:
        return ()
    slots = adapter_engine(engine).slots_for(adapters.slots)
    return (
        "--enable-lora",
        f"--max-loras-per-batch={slots}",
        f"--max-loaded-loras={max(adapters.count, slots)}",
        f"--max-lora-rank={_rank(request, adapters, engine)}",
        "--lora-target-modules",
        # Its "all" would make slots of embeddings and output head too.
        *(MODULES if ALL in adapters.target_modules else adapters.target_modules),
    )


def without_adapters(request: Request, engine: str) -> None:
    """Refuse adapters on an engine that serves none. Raises InputError with the reason of the catalog."""
    if request.demand.adapters is not None:
        raise refusal(
            request.serves, f"{engine}: {adapter_engine(engine).reason}", "--engine vllm serves LoRA adapters"
        )


def adapter_words(adapters: AdapterPlan, container: Container) -> str:
    """Words on how clients ask for an adapter, and where its weights have to be."""
    if not container.adapter_option:
        return ""
    if not adapters.named:
        return (
            f"the plan counts {adapters.count} LoRA adapters and names none, so that none is started: name them under "
            f"adapters in the workload file, or give extra_serving_arguments {container.adapter_option} and a word "
            "NAME=ORGANISATION/ADAPTER for each; requests then give a NAME as their model"
        )
    names = ", ".join(f'"model": "{adapter.name}"' for adapter in adapters.named[:_SHOWN])
    more = f" and {len(adapters.named) - _SHOWN} more" if len(adapters.named) > _SHOWN else ""
    words = (
        f"requests for a LoRA adapter give its name as their model: {names}{more}; by that of the model they get the "
        "base. Where the weights come from a bucket or a folder, each adapter lies beside them under its own name, at "
        "the commit of its copy; from the hub it is the newest, for no option of the engine takes an adapter's commit"
    )
    local = [adapter.id for adapter in adapters.named if not adapter.on_hub]
    if local:
        words += f"; the hub has no {', '.join(local[:_SHOWN])}, so that model_source has to be one of these"
    return words


def newest_words(container: Container) -> str:
    """Words on what an engine takes at its newest, where none of its options takes a commit; "" where one does."""
    is_own = container.engine is Engine.CUSTOM or container.checkpoint.file_names
    if is_own or container.models or container.revision_option:
        return ""
    return (
        f"no option of {container.engine} takes a commit: pins of revisions do not hold for it, and what it loads from "
        "the hub is the newest of its repository. Weights in a bucket or a folder stay at the commit of their copy"
    )


def _rank(request: Request, adapters: AdapterPlan, engine: str) -> int:
    served = adapter_engine(engine)
    if not served.is_supported:
        without_adapters(request, engine)
    if served.most_rank is not None and adapters.rank > served.most_rank:
        problem = f"{engine} takes adapters up to rank {served.most_rank}, and these have rank {adapters.rank}"
        raise refusal(request.serves, problem)
    return served.started_rank(adapters.rank)


class Program(NamedTuple):
    """The program of an engine."""

    name: str
    """As engine_support.csv names it, or engines.csv of the catalog; "": an image of the user's own."""
    container: Callable[[Request], Container]
    """With the arguments that the plan decides."""
