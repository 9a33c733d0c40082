"""Batches as servers compute them (items at most, what is computed beside what was sent), and factors of their speed.

Text Embeddings Inference and vLLM take texts in the order of their arrival up to a sum of tokens; where FlashAttention
does not compute attention the former pads all texts of a batch to the longest, and counts that. Triton batches requests
of one shape alone.

A factor is the exponential of a sum of effects, one for each combination of labels of the term; a combination that was
never measured adds nothing, so that what is new falls back to its kind, generation and engine. The load is no label of
a factor: a batch takes the same time whoever asks for it. It decides evidence and interval alone.

Trees on Triton's FIL backend, and in ONNX Runtime on processors: seconds of a batch of rows, on cores and on NVIDIA.

A row takes ``operations``: a comparison at each level of each tree, and an addition for each tree. On k cores that do r
operations a second each a batch of b rows takes

    f + o s / r · (1 - 1 / k) + b · (o s / (k r) + 4 · columns / received) + requests · q

since a row stays on one core, so that b rows are done after ``1 + (b - 1) / k`` of them at most. On a processor r goes
with the clock, and trees beyond its caches take ``s = (1 + nodes / 30,000) ^ 0.65`` times as long, in ONNX Runtime
``(1 + nodes / 500,000) ^ 0.5``; an NVIDIA accelerator is one core whose r goes with its memory bandwidth, and s is 1. r
is the median of ``forest_measurements.csv``, on which the exponents were fitted. f, q and what the server receives a
second are constants.
"""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from advisor.catalog import load_catalog
from advisor.catalog.one_pass_engines import ALIKE, COMPILED, POWERS, OnePassEngine
from advisor.catalog.processors import CPU, ProcessorPeak, cores_and_clock, read_processor_peaks
from advisor.catalog.values import Accelerator
from advisor.data_files import data_dir
from advisor.demand.values import TokenHistogram, Unit
from advisor.errors import InputError
from advisor.models import Model
from advisor.models.model import ONNX_RADIAL_SVM, ONNX_SVM, ONNX_TREES
from advisor.performance import Evidence, Scenario
from advisor.performance.one_pass import ARITHMETIC, Labels, labels_of, machine_of
from advisor.performance.physics import Floats
from advisor.performance.setups import Resolved
from advisor.records import dataclass
from advisor.tables import Record, read_records
from advisor.units import BYTES_PER_GB
from advisor.workload.kinds import UNITS

_NVIDIA = "nvidia"
_BYTES_PER_COLUMN = 4
"""The backend computes in fp32."""
_RECEIVED_BYTES_PER_SECOND = 2.5e9
"""Input that one server takes in: 1.58 million rows of 393 columns a second on an A100 with 12 virtual processors, read
off the second figure of the backend's FAQ notebook (release 26.06); the columns are those of its benchmark."""
_LAUNCH_S: Mapping[str, float] = {CPU: 1.6e-4, _NVIDIA: 2.5e-4}
"""A request of one row beside its trees, by the same figure: 5,800 and 3,600 a second, one after the other."""
_REQUEST_S = 1.6e-4
"""Processor time of a request beside its rows: all of that figure's, an assumption on the slow side. Triton's other
backends, of which there is no figure, and OpenVINO Model Server are taken to need as much."""
_HOST_CORES = 2.0
"""Cores of a host with an accelerator that take requests in: those of the smallest machines with one."""
_OTHER_HARDWARE: Mapping[str, float] = {CPU: 1.5, _NVIDIA: 2.0}
"""Factor within which r is taken to lie on hardware that was not measured: an assumption."""
FIL, ONNX_RUNTIME = "FIL", "ONNX Runtime"
"""Programs that walk trees."""
_CACHES: Mapping[str, tuple[int, float]] = {FIL: (30_000, 0.65), ONNX_RUNTIME: (500_000, 0.5)}
"""Nodes that caches of a processor hold, and the exponent of what more of them cost it, by program."""
_TAILS = (0.1, 0.9)


@dataclass(frozen=True, slots=True)
class ForestSeconds:
    """Time of a batch in parts."""

    fixed_s: float
    row_s: float
    request_s: float
    """Time of a request without its rows."""


@dataclass(frozen=True, slots=True)
class ForestRate:
    """Operations a second of a vendor's hardware: of a core for each GHz, of a card for each GB/s."""

    per_unit: float
    spread: tuple[float, float]
    """Factors from the rate to the tenth and the ninetieth percentile of the measured ones."""
    measured: frozenset[str]
    """Generations of processors, and architectures of accelerators."""


@dataclass(frozen=True, slots=True)
class ForestMeasurement:
    """Rows a second of a library in large batches."""

    hardware: str
    """Generation of a processor, or architecture of an accelerator."""
    walker: str
    """:data:`FIL` or :data:`ONNX_RUNTIME`."""
    vendor: str
    units: float
    """Cores × GHz, or GB/s of memory bandwidth."""
    work: float
    """Operations of a row, as many as take its time within the caches."""
    rows_per_second: float

    @property
    def per_unit(self) -> float:
        """Operations a second of one unit."""
        return self.rows_per_second * self.work / self.units


def forest_seconds(setup: Resolved) -> ForestSeconds:
    """Seconds of trees on an accelerator that :func:`walks_trees`."""
    model, accelerator, walker = setup.model, setup.deployment.accelerator, walker_of(setup)
    operations = model.flop_per_sample or np.nan
    cores, units = _size_of(accelerator)
    work = _work(walker, accelerator.vendor, operations, model.parameters_total)
    row_s = work / (forest_rates()[walker, accelerator.vendor].per_unit * units) / cores
    return ForestSeconds(
        fixed_s=launch_s(accelerator) + row_s * (cores - 1),
        row_s=row_s + received_s(model),
        request_s=triton_request_s(accelerator),
    )


def launch_s(accelerator: Accelerator) -> float:
    """Seconds of a batch beside its rows."""
    return _LAUNCH_S.get(accelerator.vendor, max(_LAUNCH_S.values()))


def received_s(model: Model) -> float:
    """Seconds in which a server takes in a row."""
    return _BYTES_PER_COLUMN * (model.sample_size or np.nan) / _RECEIVED_BYTES_PER_SECOND


def walker_of(setup: Resolved) -> str:
    """Program that walks the trees of a set-up: ONNX files are no other's."""
    return ONNX_RUNTIME if setup.model.family == ONNX_TREES else FIL


def walks_trees(setup: Resolved) -> bool:
    """Whether a rate of the set-up's trees is known on its accelerators."""
    return (walker_of(setup), setup.deployment.accelerator.vendor) in forest_rates()


def triton_request_s(accelerator: Accelerator) -> float:
    """Seconds that Triton takes for each request beside its items, on the cores of an accelerator or of its host."""
    return _REQUEST_S / (_size_of(accelerator)[0] if accelerator.vendor == CPU else _HOST_CORES)


def forest_evidence(accelerator: Accelerator, walker: str = FIL) -> tuple[Evidence, tuple[float, float]]:
    """Evidence of a rate on an accelerator, and factors to the ends of its 80 % interval."""
    rate = forest_rates()[walker, accelerator.vendor]
    low, high = rate.spread
    if accelerator.architecture in rate.measured:
        return Evidence.CALIBRATED, rate.spread
    other = _OTHER_HARDWARE[accelerator.vendor]
    return Evidence.ROOFLINE, (low / other, high * other)


@lru_cache(maxsize=1)
def forest_rates() -> Mapping[tuple[str, str], ForestRate]:
    """Rate of each program on each vendor's hardware: the median of the measurements."""
    groups: dict[tuple[str, str], list[ForestMeasurement]] = {}
    for row in forest_measurements():
        groups.setdefault((row.walker, row.vendor), []).append(row)
    return {key: rate_of(rows) for key, rows in groups.items()}


def rate_of(measurements: list[ForestMeasurement]) -> ForestRate:
    """Median and tails of some measurements."""
    rates = np.array([row.per_unit for row in measurements])
    median = float(np.median(rates))
    low, high = (float(tail) for tail in np.quantile(rates, _TAILS) / median)
    return ForestRate(median, (low, high), frozenset(row.hardware for row in measurements))


def forest_measurements() -> tuple[ForestMeasurement, ...]:
    """Rows of ``forest_measurements.csv``."""
    return tuple(_measurement(row) for row in read_records(data_dir("instance_catalog") / "forest_measurements.csv"))


def _measurement(row: Record) -> ForestMeasurement:
    cores, hardware = row.optional_number("cores"), row.text("hardware")
    operations = row.number("trees") * (row.number("depth") + 1)
    vendor = _NVIDIA if cores is None else CPU
    if cores is None:
        accelerator = load_catalog().accelerator(hardware)
        hardware, units = accelerator.architecture, accelerator.memory_bandwidth_gb_per_second
    else:
        units = cores * next(peak.all_core_ghz for peak in _peaks() if peak.generation == hardware)
    walker = ONNX_RUNTIME if row.text("library").startswith(ONNX_RUNTIME) else FIL
    return ForestMeasurement(
        walker=walker,
        hardware=hardware,
        vendor=vendor,
        units=units,
        work=_work(walker, vendor, operations, row.number("nodes")),
        rows_per_second=row.number("rows_per_second"),
    )


def _work(walker: str, vendor: str, operations: float, nodes: float) -> float:
    """Operations of a row, counted longer where the trees are beyond the caches of a processor."""
    cached_nodes, exponent = _CACHES[walker]
    return operations * (1 + nodes / cached_nodes) ** exponent if vendor == CPU else operations


def _size_of(accelerator: Accelerator) -> tuple[float, float]:
    """Cores among which rows are dealt, and what the rate of one is multiplied by."""
    if accelerator.vendor != CPU:
        return 1.0, accelerator.memory_bandwidth_gb_per_second
    return cores_and_clock(accelerator, _peaks())


@lru_cache(maxsize=1)
def _peaks() -> tuple[ProcessorPeak, ...]:
    return read_processor_peaks(data_dir("instance_catalog"))


ARITHMETIC_KEYS = (
    ("kind",), ("kind", "width"), ("generation",), ("accelerator",), ("model",), ("engine",), ("kind", "generation"),
    ("kind", "engine"), ("engine", "width"), ("model", "width"), ("generation", "width"), ("model", "generation"),
    ("model", "accelerator", "width", "engine"),
)  # fmt: skip
REST_KEYS = (
    ("kind",), ("engine",), ("generation",), ("accelerator",), ("model",), ("kind", "engine"), ("model", "generation"),
    ("width",),
)  # fmt: skip
MEASURED_KEY = ("model", "accelerator", "width", "engine", "scenario")
"""What must agree for a prediction to rest on a measurement."""
NOVELTIES = ("measured", "known", "new model", "known generation", "new both", "new")
"""How far from what was measured: the very set-up; model and accelerator apart; only the accelerator; the model and the
generation of the accelerator; only the generation; no model of the kind on the generation."""


def key_of(labels: Labels, names: tuple[str, ...]) -> str:
    """A combination of labels as the tables name it, "" where one is not known."""
    values = [getattr(labels, name) for name in names]
    return "|".join(f"{name}={value}" for name, value in zip(names, values, strict=True)) if all(values) else ""


@dataclass(frozen=True, slots=True)
class Effects:
    """The calibration of models that answer in one pass."""

    version: str
    arithmetic: Mapping[str, float]
    rest: Mapping[str, float]
    measured: frozenset[str]
    spreads: Mapping[str, tuple[float, float]]
    """Factors to the ends of the 80 % interval, by ``novelty|kind|scenario`` with "" for any."""

    def factors(self, labels: Labels) -> tuple[float, float]:
        """Times the physics: of the arithmetic, and of the rest of a batch."""
        return _factor(self.arithmetic, labels, ARITHMETIC_KEYS), _factor(self.rest, labels, REST_KEYS)

    def novelty(self, labels: Labels) -> str:
        """One of :data:`NOVELTIES`."""
        if key_of(labels, MEASURED_KEY) in self.measured:
            return "measured"
        model = key_of(labels, ("model",)) in self.arithmetic
        if key_of(labels, ("kind", "generation")) not in self.arithmetic:
            return "new"
        if key_of(labels, ("accelerator",)) in self.arithmetic:
            return "known" if model else "new model"
        return "known generation" if model else "new both"

    def evidence(self, labels: Labels) -> Evidence:
        """Calibrated: the accelerator was measured, and the kind of model on its generation."""
        novelty = self.novelty(labels)
        if novelty == "measured":
            return Evidence.MEASURED
        return Evidence.CALIBRATED if novelty in ("known", "new model") else Evidence.ROOFLINE

    def spread(self, labels: Labels) -> tuple[float, float]:
        """Factors to the ends of the 80 % interval: those of the nearest group that was large enough."""
        novelty = self.novelty(labels)
        groups = spread_keys(novelty, labels)
        factors = next((self.spreads[group] for group in groups if group in self.spreads), None)
        return factors or self.spreads[f"{NOVELTIES[-1]}||"]


def spread_keys(novelty: str, labels: Labels) -> tuple[str, ...]:
    """Groups that a set-up's interval may come from, the narrowest first."""
    return f"{novelty}|{labels.kind}|{labels.scenario}", f"{novelty}||{labels.scenario}", f"{novelty}||"


def effects_from(document: Mapping[str, Any]) -> Effects:
    """Effects from the shipped form; see :func:`advisor.calibration.one_pass.fit_one_pass`."""
    return Effects(
        version=document["version"],
        arithmetic=document["arithmetic"],
        rest=document["rest"],
        measured=frozenset(document["measured"]),
        spreads={key: (low, high) for key, (low, high) in document["spreads"].items()},
    )


@lru_cache(maxsize=1)
def shipped_effects() -> Effects:
    """The calibration that comes with the program."""
    return read_effects(data_dir("instance_catalog") / "calibration" / "one_pass.json")


def read_effects(path: Path) -> Effects:
    """Effects from a file. Raises InputError if the file cannot be read, or is no such calibration."""
    try:
        return effects_from(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the calibration: {error}", where=str(path)) from error


def _factor(effects: Mapping[str, float], labels: Labels, combinations: tuple[tuple[str, ...], ...]) -> float:
    return math.exp(sum(effects.get(key_of(labels, names), 0.0) for names in combinations))


_SERVERS_OF_TENSORS = ("Triton", "OpenVINO Model Server (ONNX)")
"""Beginnings of the names that engines.csv gives to servers whose requests carry tensors."""
_REACHED, _REACHED_BY_CORES = 0.3, 0.7
"""Share of the peak at which networks of rows are computed in large batches, on accelerators and on processors: ONNX
Runtime 1.32 reached 0.9 on one core of a Genoa, with layers of 30 to 1,024 columns; the rest are assumptions."""
_REACHED_BY_FAMILY: Mapping[str, float] = {ONNX_SVM: 0.3, ONNX_RADIAL_SVM: 0.05}
"""The same of support vector machines on processors: ONNX Runtime 1.32 reached 20 to 84 GFLOP/s with linear and
polynomial kernels on that core, and 4.0 to 5.5 with radial ones, of 2,900 vectors of 30 and 300 columns."""
_FLOP_OF_WEIGHT, _WEIGHT_BYTES = 2.0, 4.0
"""FLOPs of a row that a weight takes part in, and its bytes in fp32."""
_ROWS_SPREAD = (0.5, 2.0)
"""Factor within which such a rate is taken to lie."""


@dataclass(frozen=True, slots=True)
class BatchCost:
    """A batch takes ``fixed_s + FLOPs of its items × seconds_per_flop``; FLOPs of trees are their operations."""

    fixed_s: float
    seconds_per_flop: float
    request_s: float
    """Of a request beside its items; 0: nothing is known beyond the batch."""
    evidence: Evidence
    spread: tuple[float, float]
    """Factors from a rate to the ends of its 80 % interval."""


def item_seconds(
    flop: Floats, seconds_per_flop: Floats | float, request_s: Floats | float, items: Floats | float = 1.0
) -> Floats:
    """Seconds that items of some FLOPs add to their batch, each with its share of a request of so many items."""
    return flop * seconds_per_flop + request_s / items


def batch_cost(setup: Resolved, scenario: Scenario) -> BatchCost:
    """Cost of a batch on one of the set-up's accelerators; the load decides its evidence and interval alone."""
    if setup.model.is_forest:
        seconds = forest_seconds(setup)
        evidence, spread = forest_evidence(setup.deployment.accelerator, walker_of(setup))
        per_flop = seconds.row_s / (setup.model.flop_per_sample or 1.0)
        return BatchCost(seconds.fixed_s, per_flop, seconds.request_s, evidence, spread)
    if UNITS.get(setup.model.task) is Unit.ROWS:
        return _cost_of_rows(setup)
    deployment, accelerator = setup.deployment, setup.deployment.accelerator
    effects, labels, machine = shipped_effects(), labels_of(setup, scenario), machine_of(setup)
    arithmetic, rest = effects.factors(labels)
    return BatchCost(
        fixed_s=machine.fixed_s * rest,
        seconds_per_flop=max(ARITHMETIC * arithmetic, 1.0) / machine.flop_per_second,
        request_s=triton_request_s(accelerator) if deployment.engine.startswith(_SERVERS_OF_TENSORS) else 0.0,
        evidence=effects.evidence(labels),
        spread=effects.spread(labels),
    )


def _cost_of_rows(setup: Resolved) -> BatchCost:
    """Cost of a batch of rows: the server's own time, the weights once, and FLOPs or bytes that move, the slower."""
    deployment, accelerator = setup.deployment, setup.deployment.accelerator
    reached = _REACHED_BY_CORES if accelerator.vendor == CPU else _REACHED
    flop = setup.model.flop_per_sample or np.nan
    reached = _REACHED_BY_FAMILY.get(setup.model.family, reached)
    memory_bytes_per_second = accelerator.memory_bandwidth_gb_per_second * BYTES_PER_GB
    computed_s = flop / (machine_of(setup).flop_per_second * reached)
    moved_s = setup.model.moved_bytes_per_sample / memory_bytes_per_second
    row_s = max(computed_s, moved_s) + received_s(setup.model)
    multiplied_bytes = min(deployment.weight_bytes, flop / _FLOP_OF_WEIGHT * _WEIGHT_BYTES)  # tables are looked up
    weights_s = multiplied_bytes / memory_bytes_per_second
    return BatchCost(
        fixed_s=launch_s(accelerator) + weights_s,
        seconds_per_flop=row_s / flop,
        request_s=triton_request_s(accelerator),
        evidence=Evidence.ROOFLINE,
        spread=_ROWS_SPREAD,
    )


MOST_ITEMS = 4096
"""Items of a batch where the server limits neither them nor their tokens."""
_LEAST_PADDED = 128.0
"""Tokens of a text, at least, where they are rounded up to powers of two (PAD_SEQUENCE_TO_MULTIPLE_OF)."""
_MEAN_PADDING = 2 * math.log(2)
"""Mean of the next power of two ÷ items of a batch, over batches of any size between two of them alike."""
_OF_ITEMS = 0.01
"""Share of a compiled batch's work that its items are counted for, the rest being there whatever it holds: waiting is
worked out of requests that have work of their own."""
_LIMITED_BY_SIZE = (Unit.TEXTS, Unit.ROWS)
"""Units of which servers limit the sum of sizes in a batch: tokens of texts, values of rows."""


def most_sizes(server: OnePassEngine | None, unit: Unit, context_tokens: int) -> float:
    """Tokens of a batch of texts at most, or values of rows; infinite where nothing limits them."""
    if server is None or unit not in _LIMITED_BY_SIZE:
        return math.inf
    return server.batch_tokens(context_tokens) or math.inf


def items_within(server: OnePassEngine | None, sizes: Floats, largest_sizes: float) -> Floats:
    """Items of a batch at most, each as large as one of the sizes; below 1 where not even one is within their sum."""
    items = MOST_ITEMS if server is None else server.max_batch_items or MOST_ITEMS
    within: Floats = np.minimum(float(items), largest_sizes / sizes)
    return within


def most_items(server: OnePassEngine | None, tokens: TokenHistogram, largest_sizes: float) -> float:
    """Items of a batch at most, whatever time they take: of the smallest size, or as the server's rule has it."""
    most = float(items_within(server, tokens.input_tokens, largest_sizes).max())
    if server is not None and server.padding == ALIKE and differ(tokens.input_tokens):
        return min(most, float(tokens.output_tokens.max()))
    return most


def differ(sizes: Floats) -> bool:
    """Whether items have more than one size."""
    return bool(np.ptp(sizes) > 0)


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Batch of items that are all computed as the longest of them."""

    items: int
    """At most, which take the least time for each of them."""
    padding: float
    """Mean work of an item there ÷ its own."""


def padded_batch(
    tokens: TokenHistogram, item_s: Floats, fixed_s: float, most: float, largest_sizes: float
) -> PaddedBatch:
    """Batch of 1, 2, 4, … items with the least seconds an item, ``f / b + E[max of b items]``.

    A request's items are of one length, so that ``b`` of them are ``b ÷ mean items`` draws. *item_s*: seconds of an
    item of each size. *fixed_s*: f. *most*: items of a batch. *largest_sizes*: sum of its sizes, each as large as the
    largest.
    """
    weight = tokens.probability * tokens.output_tokens
    mean_s = float(weight @ item_s / weight.sum())
    best, least_s = PaddedBatch(1, 1.0), fixed_s + mean_s
    for items in _powers_up_to(most):
        draws = max(items / tokens.mean_output_tokens(), 1.0)
        longest_s, longest = (_mean_of_largest(of, weight, draws) for of in (item_s, tokens.input_tokens))
        if items * longest > largest_sizes:
            break
        if fixed_s / items + longest_s < least_s:
            best, least_s = PaddedBatch(items, longest_s / mean_s), fixed_s / items + longest_s
    return best


def _powers_up_to(most: float) -> list[int]:
    """2, 4, 8, … and the largest number that a limit leaves."""
    largest = max(math.floor(most), 1)
    return [*(2**power for power in range(1, largest.bit_length()) if 2**power < largest), largest]


def _mean_of_largest(values: Floats, weight: Floats, draws: float) -> float:
    """Mean of the largest of so many draws of weighted values: ``Σ v (F(v)^n - F(v-)^n)``."""
    order = np.argsort(values)
    below = np.cumsum(weight[order]) / weight.sum()
    return float(values[order] @ np.diff(np.minimum(below, 1.0) ** draws, prepend=0.0))


def computed_sizes(padding: str, context_tokens: float, unit: Unit, sizes: Floats) -> Floats:
    """Sizes of items with the padding that is computed with them; of texts alone, the others have one size."""
    if unit is not Unit.TEXTS or padding not in (COMPILED, POWERS):
        return sizes
    if padding == COMPILED:
        return np.maximum(sizes, context_tokens)
    return 2.0 ** np.ceil(np.log2(np.maximum(sizes, _LEAST_PADDED)))


def padded_cost(server: OnePassEngine | None, seconds_per_flop: float, flop: Floats) -> tuple[Floats, float]:
    """Seconds of a batch beside those of its items, and seconds per FLOP of an item, as the server pads batches.

    All of a compiled batch is computed, whatever it holds.
    """
    if server is not None and server.padding == POWERS:
        return np.zeros_like(flop), seconds_per_flop * (1.0 if server.max_batch_items == 1 else _MEAN_PADDING)
    if server is not None and server.padding == COMPILED:
        whole_s = (server.max_batch_items or 1) * flop * seconds_per_flop
        return whole_s * (1 - _OF_ITEMS), seconds_per_flop * _OF_ITEMS
    return np.zeros_like(flop), seconds_per_flop
