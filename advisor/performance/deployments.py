"""Arrays that the physics works on, from deployments: peaks, links and engine limits looked up once.

Features of a deployment for the learned residual, whatever its load: sizes, and kinds of engine and hardware.

Dates of releases are those that the residual was fitted with. A release that is newer than what was measured has the
date of the newest measured one: nothing was learned of it.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import cache

import numpy as np
import numpy.typing as npt

from advisor.catalog.processors import CPU
from advisor.catalog.values import Accelerator
from advisor.data_files import data_dir
from advisor.demand.values import Pictures
from advisor.models.pictures import VisionTower
from advisor.models.values import ServingShape
from advisor.performance import Deployment, DraftModel
from advisor.performance.constants import ENGINES, ConstantTable, Speed, engine_class, is_cpu, speed_of, stack_class
from advisor.performance.physics import HEAD_BYTES_PER_PARAM, Constants, Floats, Replicas
from advisor.performance.regimes import cell_of
from advisor.records import dataclass, fields, replace
from advisor.tables import read_records
from advisor.units import BYTES_PER_GB, FLOP_PER_TFLOP

UNNUMBERED = ("nightly", "branch", "main")
"""Words of a version that is newer than every numbered one."""
DAYS_PER_YEAR = 365.25

Version = tuple[int, ...]


@cache
def release_year(engine: str, version: str) -> float | None:
    """Year, with its fraction, in which a version came out; None where the version is not stated or not known.

    A version between two known ones has the date of the older, one after all of them that of the newest.
    """
    releases = _releases().get(engine_class(engine), ())
    if not releases or not version:
        return None
    if any(word in version.lower() for word in UNNUMBERED):
        return releases[-1][1]
    asked = _numbers(version)
    return next((year for numbers, year in reversed(releases) if asked and numbers <= asked), None)


def _numbers(version: str) -> Version | None:
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in match[1].split(".")) if match else None


@cache
def _releases() -> dict[str, tuple[tuple[Version, float], ...]]:
    """Known versions of each engine class, oldest first."""
    releases: dict[str, list[tuple[Version, float]]] = {}
    for row in read_records(data_dir("instance_catalog") / "calibration" / "engine_dates.csv"):
        numbers, day = _numbers(row.text("version")), date.fromisoformat(row.text("released"))
        if numbers is None:
            row.fail("version", "this is not a version")
        year = day.year + day.timetuple().tm_yday / DAYS_PER_YEAR
        releases.setdefault(row.text("engine"), []).append((numbers, year))
    return {engine: tuple(sorted(rows)) for engine, rows in releases.items()}


SIZES = (
    "log2_shards", "log2_pipeline", "attention_data_parallel", "is_moe", "log_sparsity", "is_mla", "window_share",
    "log2_weight_bytes", "log_peak", "log_quantised_peak", "log_peak_per_link", "log_hidden", "log_active_params",
    "log_layers", "layer_split", "log_cache_per_param",
)  # fmt: skip
VENDORS = ("amd", "intel", "aws", "google")
GENERATIONS = ("ampere", "ada", "hopper", "blackwell", "cdna", "gaudi", "turing", "volta")
TRAITS = (
    *(f"engine_{name}" for name in (*ENGINES, "other")),
    "engine_atom",
    *(f"vendor_{name}" for name in VENDORS),
    *(f"generation_{name}" for name in GENERATIONS),
    "stack_amd-2024",
    "version_known",
    "years_of_version",
)
MIDDLE_YEAR = 2025.5
"""Middle of the years that versions came out in: where an unknown one is put."""


def sizes_of(r: Replicas) -> Floats:
    """Sizes of many replicas, shape (n, sizes); none is the memory bandwidth."""
    moe = r.experts > 0
    columns = [
        np.log2(r.shards),
        np.log2(r.pipeline),
        (r.attention_shards < r.shards).astype(np.float64),
        moe.astype(np.float64),
        np.log(np.maximum(r.experts, 1.0) / np.maximum(r.experts_per_token, 1.0)),
        (r.decode_width > 1.5 * r.prefill_width).astype(np.float64),
        r.window_share,
        np.log2(r.weight_bytes_per_param),
        np.log(r.attention_flops),
        np.log(r.flops / r.attention_flops),
        np.log(r.attention_flops / r.link),
        np.log(r.hidden),
        np.log(r.params_active),
        np.log(r.layers),
        r.layer_split,
        np.log(np.maximum(r.kv_elements_per_token, 1.0) / r.params_active),
    ]
    return np.column_stack(columns)


def traits_of(deployments: Sequence[Deployment]) -> Floats:
    """The kinds of many deployments, each 0 or 1, and the age of their engine; shape (n, traits)."""
    rows = []
    for deployment in deployments:
        accelerator = deployment.accelerator
        kinds = accelerator.vendor.lower(), accelerator.architecture.lower(), accelerator.name
        rows.append(_traits(*kinds, deployment.engine, deployment.engine_version))
    return np.array(rows, dtype=np.float64).reshape(-1, len(TRAITS))


@cache
def _traits(vendor: str, generation: str, accelerator: str, engine: str, version: str) -> tuple[float, ...]:
    kind = engine_class(engine) or "other"
    maker = "" if is_cpu(accelerator) else vendor
    traits = {f"engine_{kind}", f"vendor_{maker}", f"stack_{stack_class(vendor, accelerator, engine, version)}"}
    traits |= {f"generation_{name}" for name in GENERATIONS if generation.startswith(name)}
    if "atom" in engine.lower():
        traits.add("engine_atom")
    year = release_year(engine, version)
    kinds = tuple(float(name in traits) for name in TRAITS[:-2])
    return *kinds, float(year is not None), 0.0 if year is None else year - MIDDLE_YEAR


PCIE_BYTES_PER_SECOND = 32 * BYTES_PER_GB
"""PCIe 4.0 x16, one direction: what two accelerators share that no other link joins."""
SLOW_PCIE_BYTES_PER_SECOND = 16 * BYTES_PER_GB
"""PCIe 3.0 x16: assumed where the catalog does not know the link."""
TF32_FROM_CAPABILITY = 8.0
"""NVIDIA's tensor cores take fp32 as tf32 from Ampere on, at half the 16-bit rate."""
BRIDGED_ACCELERATORS = 2
"""An NVLink bridge joins this many; more fall back to PCIe."""

MLA_ABSORBED_SHARE = 17 / 18
"""Mean width of an absorbed MLA score and value over the latent's: (576 + 512) / 2 of 576 (DeepSeek-V2, 2.1)."""

MIN_BODY_SHARE = 0.1
"""Least share of parameters and bytes left to the body of a model, whose table may be nearly all of it."""

DEFAULT_SEQUENCES = 256
LARGE_SEQUENCES = 1024
"""vLLM's ``max_num_seqs`` by default, and on accelerators of 70 GiB or more from Hopper on; TensorRT-LLM and SGLang
run as many on any."""
LARGE_MEMORY_GIB = 70

WIDENING = 1.22
"""Time of matrix products whose weights are widened in the kernel, over that of 16-bit weights: llama.cpp's prompts of
512 to 8,192 tokens in q4_k_m over fp16, median of 128 pairs on fifteen accelerators."""
WIDENED_BELOW_BYTES = 1.5
"""Bytes per parameter, scales included, below which weights are not in 16 bit."""

FEW_SHARE = 0.22
"""FLOP/s of llama.cpp on NVIDIA where quantised weights are multiplied by a few vectors, over that of its prompts: Q2_K
on RTX 3090 takes 9.5 ms for one sequence and 19.7 ms for 8 (llama.cpp pull request 5434)."""

STEP_TOKENS = 8192
"""Prompt tokens that one step takes in by default: ``max_num_batched_tokens`` (vLLM, for serving on accelerators of
70 GiB or more), ``chunked_prefill_size`` (SGLang), ``max_num_tokens`` (TensorRT-LLM)."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Replicas with their constants and kinds, entry by entry."""

    replicas: Replicas
    constants: Constants
    origin: npt.NDArray[np.intp]
    """Position of each entry's deployment in what was packed: entries of one deployment share it."""
    fixed: npt.NDArray[np.float32]
    """Sizes and traits of each deployment that was packed, (deployments, sizes and traits)."""
    names: npt.NDArray[np.str_]
    """Architecture and accelerator of each deployment that was packed."""

    @property
    def cells(self) -> npt.NDArray[np.str_]:
        """Architecture and accelerator of each entry."""
        return self.names[self.origin]

    def take(self, index: npt.NDArray[np.intp]) -> "Packed":
        """The entries at the given positions."""
        picked = {f.name: np.asarray(getattr(self.constants, f.name))[index] for f in fields(Constants)}
        return replace(
            self, replicas=self.replicas.take(index), constants=Constants(**picked), origin=self.origin[index]
        )  # fmt: skip

    def column(self) -> "Packed":
        """The same entries as columns, to broadcast against a row of lengths."""
        return replace(self, replicas=self.replicas.column(), constants=self.constants.column())


def peak_flops(accelerator: Accelerator, precision: str) -> float | None:
    """FLOP/s of one accelerator for arithmetic in a precision; None when it has or states none."""
    capable = (accelerator.compute_capability or 0) >= TF32_FROM_CAPABILITY
    tera = {
        "fp32": accelerator.fp32_tflops,
        "tf32": accelerator.fp16_tflops / 2 if capable and accelerator.fp16_tflops else None,
        "bf16": accelerator.fp16_tflops,
        "fp16": accelerator.fp16_tflops,
        "fp8": accelerator.fp8_tflops,
        "int8": accelerator.int8_tops,
        "nvfp4": accelerator.fp4_tflops,
        "mxfp4": accelerator.fp4_tflops,
    }.get(precision)
    return None if tera is None else tera * FLOP_PER_TFLOP


def link_bytes_per_second(accelerator: Accelerator, interconnect: str, accelerators: int) -> float:
    """Bytes per second, one direction, between the accelerators of a replica.

    The instance may join them by PCIe only, and a bridge joins pairs only.
    """
    own = accelerator.link_gb_per_second
    speed = SLOW_PCIE_BYTES_PER_SECOND if own is None else own * BYTES_PER_GB
    kind = accelerator.link_kind.lower()
    bridged = "bridge" in kind and accelerators > BRIDGED_ACCELERATORS
    only_pcie = interconnect.lower().startswith("pcie") and not kind.startswith("pcie")
    return min(speed, PCIE_BYTES_PER_SECOND) if bridged or only_pcie else speed


def default_max_sequences(accelerator: Accelerator, engine: str) -> int:
    """Requests that an engine runs at a time unless told otherwise."""
    kind = engine_class(engine)
    if kind in ("trtllm", "sglang"):
        return LARGE_SEQUENCES
    recent = accelerator.architecture.lower() not in ("ampere", "volta", "turing")
    large = kind == "vllm" and accelerator.memory_gib >= LARGE_MEMORY_GIB and recent
    return LARGE_SEQUENCES if large else DEFAULT_SEQUENCES


def pack(deployments: Sequence[Deployment], table: ConstantTable) -> Packed:
    """Arrays of many deployments. Raises ValueError if a peak is unknown (callers reject such deployments first)."""
    rows = [_row(deployment) for deployment in deployments]
    numbers = np.array(rows, dtype=np.float64).reshape(-1, len(fields(Replicas)))
    columns = np.ascontiguousarray(numbers.T)
    replicas = Replicas(**{f.name: columns[at] for at, f in enumerate(fields(Replicas))})
    constants = table.constants_for([classes_of(deployment) for deployment in deployments])
    fixed = np.column_stack([sizes_of(replicas), traits_of(deployments)]).astype(np.float32)
    names = np.array([cell_of(deployment) for deployment in deployments], dtype=np.str_)
    return Packed(replicas, constants, np.arange(len(rows), dtype=np.intp), fixed, names)


def classes_of(deployment: Deployment) -> tuple[str, str]:
    """Engine class and stack class."""
    accelerator = deployment.accelerator
    stack = stack_class(accelerator.vendor, accelerator.name, deployment.engine, deployment.engine_version)
    return engine_class(deployment.engine), stack


def _row(deployment: Deployment) -> tuple[float, ...]:
    """One deployment's numbers in the order of the fields of :class:`Replicas`."""
    accelerator, shape, load = deployment.accelerator, deployment.shape, deployment.adapters
    speed = _speed(deployment)
    shards = deployment.tensor_parallel * deployment.attention_data_parallel
    layered = engine_class(deployment.engine) == "llamacpp" and shards > 1
    stages = 1 if layered else shards
    limit = deployment.max_sequences or default_max_sequences(accelerator, deployment.engine)
    absorbed = MLA_ABSORBED_SHARE * shape.n_heads * shape.kv_elements_per_token
    adapter_numbers = 0.0, 0.0, 1.0, 0.0
    if load is not None:
        copy_s = load.miss_ratio * load.bytes_per_accelerator / SLOW_PCIE_BYTES_PER_SECOND
        adapter_numbers = float(load.count), load.bytes_per_accelerator, load.step_ratio, copy_s
    return (
        *_model_numbers(shape),
        kv_copies(shape, 1 if layered else accelerator.ranks(deployment.tensor_parallel)),
        shape.kv_elements_per_token,
        shape.window_tokens,
        shape.window_kv_share,
        shape.attention_width,
        absorbed if shape.is_mla else shape.attention_width,
        body_bytes_per_param(shape, deployment.weight_bytes),
        deployment.kv_bytes_per_element,
        speed.bytes_per_second,
        speed.flops,
        speed.few_flops,
        speed.wide_flops,
        link_bytes_per_second(accelerator, deployment.interconnect, shards),
        stages,
        1 if layered else deployment.tensor_parallel,
        deployment.pipeline_parallel,
        float(layered),
        max(deployment.kv_cache_bytes, 1.0),
        limit,
        *_serving_numbers(deployment),
        *adapter_numbers,
    )


def _speed(deployment: Deployment) -> Speed:
    """Speed of one accelerator."""
    accelerator = deployment.accelerator
    if accelerator.vendor == CPU:
        return speed_of(accelerator, 8 * deployment.weight_bytes / deployment.shape.params_total)
    flops = peak_flops(accelerator, deployment.compute_precision)
    attention_flops = peak_flops(accelerator, "bf16")
    if flops is None or attention_flops is None:
        raise ValueError(f"{accelerator.name} has no known {deployment.compute_precision} and bf16 peak")
    slower = widening(deployment)
    few = FEW_SHARE if slower > 1 and engine_class(deployment.engine) == "llamacpp" else 1.0
    bandwidth = accelerator.memory_bandwidth_gb_per_second * BYTES_PER_GB
    return Speed(bandwidth, flops / slower, few * (flops / slower), attention_flops)


def with_pictures(deployment: Deployment, tower: VisionTower, shown: Pictures) -> Deployment:
    """The deployment under requests that show pictures, which the tower encodes."""
    flop = shown.count * tower.flop(shown.width, shown.height)
    return replace(deployment, picture_flop=flop, picture_pixels=shown.count * shown.pixels)


def widening(deployment: Deployment) -> float:
    """Time of matrix products over that of weights stored as they are multiplied: narrower ones are widened first."""
    stored = body_bytes_per_param(deployment.shape, deployment.weight_bytes)
    is_widened = deployment.compute_precision in ("bf16", "fp16") and stored < WIDENED_BELOW_BYTES
    return WIDENING if is_widened else 1.0


def _serving_numbers(deployment: Deployment) -> tuple[float, ...]:
    """Expert parallelism, the token budget of a step, speculation and pictures."""
    draft = deployment.draft or DraftModel(tokens=0, acceptance=0.0)
    stated = deployment.max_batched_tokens
    routed = deployment.shape.n_experts > 0 and deployment.attention_data_parallel > 1
    return (
        float(routed and deployment.expert_parallel > 1),
        stated or STEP_TOKENS,
        1.0 + draft.tokens if stated else 0.0,
        draft.tokens,
        draft.acceptance,
        draft.params,
        draft.layers,
        deployment.picture_flop,
        deployment.picture_pixels,
    )


def _model_numbers(shape: ServingShape) -> tuple[float, ...]:
    """Parameters, layers and experts of a model."""
    return (
        shape.params_total,
        shape.params_active,
        shape.n_layers,
        shape.hidden,
        float(shape.vocab) * shape.hidden,
        1.0 if shape.tied_embeddings else 2.0,
        shape.n_experts,
        shape.experts_per_token,
        shape.expert_params,
        shape.moe_layers,
    )


def kv_copies(shape: ServingShape, attention_shards: int) -> float:
    """Copies of a token's cache in the replica: tensor-parallel ranks without a head of their own share one."""
    heads = 1 if shape.is_mla else max(shape.n_kv_heads, 1)
    return max(attention_shards / heads, 1.0)


def body_bytes_per_param(shape: ServingShape, weight_bytes: float) -> float:
    """Bytes per parameter of everything but the embedding and the output head, which stay in 16 bit."""
    outside = float(shape.vocab) * shape.hidden * (1.0 if shape.tied_embeddings else 2.0)
    body = max(shape.params_total - outside, MIN_BODY_SHARE * shape.params_total)
    return max(weight_bytes - outside * HEAD_BYTES_PER_PARAM, MIN_BODY_SHARE * weight_bytes) / body
