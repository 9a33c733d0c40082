"""Trees on Triton's FIL backend, and in ONNX Runtime on processors: seconds of a batch of rows, on cores and on NVIDIA.

A row takes ``operations``: a comparison at each level of each tree, and an addition for each tree. On k cores that do r
operations a second each a batch of b rows takes

    f + o s / r · (1 - 1 / k) + b · (o s / (k r) + 4 · columns / received) + requests · q

since a row stays on one core, so that b rows are done after ``1 + (b - 1) / k`` of them at most. On a processor r goes
with the clock, and trees beyond its caches take ``s = (1 + nodes / 30,000) ^ 0.65`` times as long, in ONNX Runtime
``(1 + nodes / 500,000) ^ 0.5``; an NVIDIA accelerator is one core whose r goes with its memory bandwidth, and s is 1. r
is the median of ``forest_measurements.csv``, on which the exponents were fitted. f, q and what the server receives a
second are constants.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from advisor.catalog import load_catalog
from advisor.catalog.processors import CPU, ProcessorPeak, cores_and_clock, read_processor_peaks
from advisor.catalog.values import Accelerator
from advisor.data_files import data_dir
from advisor.models import Model
from advisor.models.model import ONNX_TREES
from advisor.performance.setups import Resolved
from advisor.performance.values import Evidence
from advisor.records import dataclass
from advisor.tables import Record, read_records

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
    """Of a request beside its rows."""


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
    """Of a row, in operations within the caches."""
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
