"""The constants of engine memory, fitted on start-up logs.

Every printed figure is linear in the constants of its engine and version (``advisor.models.memory`` has the
formulas), so each version is one robust least-squares fit. Few versions have logs enough to decide all constants: each
starts from its neighbour's, give or take half of them, so that a constant which no log speaks of is the neighbour's.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.catalog import load_catalog
from advisor.models import FitRequest, Model, find_model
from advisor.models.layer_kinds import cache_layout
from advisor.models.memory import (
    EngineMemory,
    StepMemory,
    StepSize,
    choose,
    engine_of,
    step_memory,
    step_size,
    workspace_gib,
)
from advisor.models.weights import kv_bytes_per_element
from advisor.records import asdict, dataclass, replace
from advisor.tables import Row, optional_float
from advisor.units import BYTES_PER_GIB

_USUAL_UTILIZATION = 0.9
"""vLLM's own share of the memory where a log does not state it."""
_START = {
    "sampler_bytes_per_logit": 16.0,
    "workspace_base_gib": 0.1,
    "tower_gib": 0.1,
    "runtime_gib": 0.2,
    "runtime_parallel_gib": 0.5,
    "runtime_parallel_large_gib": 1.0,
    "graph_base_gib": 0.5,
    "graph_layer_gib": 0.01,
    "graph_expert_layer_gib": 0.01,
}
"""Where the version with most logs starts from, give or take all of it: 16 bytes are a logit in 16 bit, in 32 bit, and
two copies in 32 bit more; the others are what is common. These are the constants that logs decide."""
_START_SPREAD, _NEIGHBOUR_SPREAD = 1.0, 0.5
_PRINTED_GIB, _GRAPHS_GIB = 0.05, 0.15
"""Scatter of the printed figures about the formulas."""
_OUTLIER = 2.0
"""Residuals beyond so many scatters count only in proportion (Huber)."""
_PASSES = 12
_ENOUGH_ARCHITECTURES = 5
"""A version with logs of fewer models takes the range of all versions."""
_TAIL = 0.1
Array = NDArray[np.float64]
Equation = tuple[dict[str, float], float, float]
"""Coefficients of the constants, the printed figure less all that is known, and its scatter."""


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """One start of an engine; GiB are of one accelerator, None where nothing was printed."""

    id: str
    model: Model
    request: FitRequest
    is_log: bool
    """Taken from a log, not from what somebody quotes."""
    utilization_stated: bool
    weights_gib: float | None
    cache_gib: float | None
    cache_tokens: float | None
    max_concurrency: float | None
    workspace_gib: float | None
    runtime_gib: float | None
    graphs_gib: float | None

    @property
    def architecture(self) -> tuple[str, int]:
        """Architecture that repacks and tunes of one model share."""
        return self.model.family, self.model.parameters_total

    @property
    def is_pipeline(self) -> bool:
        """Whether what was printed may be of another stage than the fullest."""
        return self.request.pipeline_parallel > 1

    def constants(self, table: Iterable[EngineMemory]) -> EngineMemory:
        """The row of *table* that holds for this run."""
        return choose(table, self.request.engine, self.request.engine_version)

    def step(self, engine: EngineMemory) -> StepMemory:
        """Memory of the engine's largest step."""
        return step_memory(self.model, self._step_size(engine), self.request.tensor_parallel, self.request.precision)

    def runtime_constant(self, engine: EngineMemory) -> str:
        """Name of the runtime constant that holds for this run."""
        if self.request.tensor_parallel == 1:
            return "runtime_gib"
        return "runtime_parallel_large_gib" if self._step_size(engine).large else "runtime_parallel_gib"

    def _step_size(self, engine: EngineMemory) -> StepSize:
        request = self.request
        return step_size(engine, request.accelerator_memory_gib, request.accelerator, request.context_tokens or 0)

    @property
    def pool_gib(self) -> float | None:
        """The KV cache as printed, or as its tokens take it."""
        if self.cache_gib is not None or self.cache_tokens is None:
            return self.cache_gib
        request = self.request
        width = kv_bytes_per_element(request.kv_precision, request.precision, self.model.checkpoint.kv_precision)
        layout = cache_layout(self.model, width, request.tensor_parallel, request.pipeline_parallel)
        if layout is None:
            return None
        return self.cache_tokens / layout.block_tokens * layout.copies * layout.block_bytes / BYTES_PER_GIB

    @property
    def overhead_gib(self) -> float | None:
        """Memory that the engine took beside weights and cache, in GiB."""
        if self.is_pipeline:
            return None
        if self.workspace_gib is not None and self.runtime_gib is not None:
            return self.workspace_gib + self.runtime_gib
        pool = self.pool_gib
        if not self.utilization_stated or self.weights_gib is None or pool is None:
            return None
        usable = self.request.memory_utilization * self.request.accelerator_memory_gib
        return usable - self.weights_gib - pool


def memory_runs(rows: Iterable[Row]) -> Iterator[MemoryRun]:
    """The runs of ``memory_measurements.csv`` that state what a prediction needs: all but the utilisation."""
    for row in rows:
        if row["context_tokens"]:
            yield _run(row)


def _run(row: Row) -> MemoryRun:
    accelerator = load_catalog().accelerator(row["accelerator"])
    count, tensor_parallel = int(row["accelerator_count"]), int(row["tensor_parallel"])
    number = partial(_number, row)
    request = FitRequest(
        accelerator_memory_gib=number("memory_gib") or accelerator.memory_gib,
        accelerator_count=count,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=count // tensor_parallel,
        precision=row["precision"],
        kv_precision=row["kv_precision"],
        engine=row["engine"],
        engine_version=row["engine_version"],
        context_tokens=int(row["context_tokens"]),
        memory_utilization=number("memory_utilization") or _USUAL_UTILIZATION,
        accelerator=accelerator.name,
    )
    return MemoryRun(
        id=row["id"],
        model=find_model(row["model"]),
        request=request,
        is_log=row["quality"] == "listed",
        utilization_stated=row["memory_utilization"] != "",
        weights_gib=number("weights_gib_per_accelerator"),
        cache_gib=number("kv_cache_gib_per_accelerator"),
        cache_tokens=number("kv_cache_tokens"),
        max_concurrency=number("max_concurrency"),
        workspace_gib=number("workspace_gib_per_accelerator"),
        runtime_gib=number("runtime_gib_per_accelerator"),
        graphs_gib=number("graphs_gib_per_accelerator"),
    )


def _number(row: Row, column: str) -> float | None:
    return optional_float(row[column])


def fit_memory_engines(engines: Iterable[Row], measurements: Iterable[Row]) -> list[dict[str, str]]:
    """The rows of ``memory_engines.csv`` with every constant that start-up logs decide fitted anew.

    What the engine's own code decides (steps, versions, flags) is kept, and so are engines that have no log.
    """
    rows = list(engines)
    table = [engine_of(row) for row in rows]
    runs = list(memory_runs(measurements))
    fitted = _with_ranges(fit_engines(table, runs), table, runs)
    return [dict(row) | _cells(constants) for row, constants in zip(rows, fitted, strict=True)]


def fit_engines(table: Sequence[EngineMemory], runs: Sequence[MemoryRun]) -> list[EngineMemory]:
    """*table* with the constants of every engine that has logs among *runs* fitted on them."""
    logs = [run for run in runs if run.is_log]
    fitted = {row: row for row in table}
    for engine in {run.request.engine for run in logs}:
        fitted |= _fit_versions([row for row in table if row.engine == engine], table, logs)
    return [fitted[row] for row in table]


def held_out(
    table: Sequence[EngineMemory], runs: Sequence[MemoryRun], group: Callable[[MemoryRun], Hashable]
) -> Iterator[tuple[MemoryRun, EngineMemory]]:
    """Every run with the constants that are fitted without the runs of its group."""
    for name in dict.fromkeys(group(run) for run in runs):
        without = fit_engines(table, [run for run in runs if group(run) != name])
        yield from ((run, run.constants(without)) for run in runs if group(run) == name)


def _fit_versions(
    versions: Sequence[EngineMemory], table: Sequence[EngineMemory], runs: Sequence[MemoryRun]
) -> dict[EngineMemory, EngineMemory]:
    """Outwards from the version with most logs, each starting from the neighbour that was fitted before."""
    ordered = sorted(versions, key=lambda row: row.version_from)
    own = {row: [run for run in runs if run.constants(table) == row] for row in ordered}
    anchor = max(range(len(ordered)), key=lambda place: len(own[ordered[place]]))
    fitted: dict[EngineMemory, EngineMemory] = {}
    for path in (ordered[anchor:], ordered[anchor::-1]):
        start: Mapping[str, float] = _START
        for row in path:
            spread = _START_SPREAD if row is path[0] else _NEIGHBOUR_SPREAD
            fitted[row] = _fit_version(row, own[row], start, spread)
            start = {name: getattr(fitted[row], name) for name in _START}
    return fitted


def _fit_version(
    row: EngineMemory, runs: Sequence[MemoryRun], start: Mapping[str, float], spread: float
) -> EngineMemory:  # fmt: skip
    """One version on its own runs, architectures counting alike."""
    current = _with_constants(replace(row, runs=len(runs)), [start[name] for name in _START])
    count = Counter(run.architecture for run in runs)
    center = np.array([start[name] for name in _START])
    for _ in range(_PASSES if runs else 0):
        equations = [(*equation, count[run.architecture]) for run in runs for equation in _equations(run, current)]
        matrix = np.array([[shares.get(name, 0.0) for name in _START] for shares, *_ in equations])
        target, scatter, repeats = np.array([rest for _, *rest in equations]).T
        residuals = np.abs(target - matrix @ _vector(current)) / scatter
        scatter = scatter * np.sqrt(repeats * np.maximum(residuals / _OUTLIER, 1.0))
        shift = _ridge(matrix / scatter[:, None], (target - matrix @ center) / scatter, center * spread)
        current = _with_constants(current, np.maximum(center + shift, 0.0).tolist())
    return current


def _ridge(matrix: Array, target: Array, spread: Array) -> Array:
    """The shift of the constants that explains *target*, each held to zero within its *spread*."""
    scaled = matrix * spread
    return np.asarray(np.linalg.solve(scaled.T @ scaled + np.eye(len(spread)), scaled.T @ target)) * spread


def _with_constants(engine: EngineMemory, values: Sequence[float]) -> EngineMemory:
    changes: dict[str, Any] = dict(zip(_START, values, strict=True))
    return replace(engine, **changes)


def _vector(engine: EngineMemory) -> Array:
    return np.array([getattr(engine, name) for name in _START])


def _equations(run: MemoryRun, engine: EngineMemory) -> Iterator[Equation]:
    """Equations that a log gives for the constants: workspace and runtime each, or only their sum; and graphs.

    Of the two peaks of a workspace the larger one under the present constants is taken.
    """
    if run.is_pipeline:
        return
    step = run.step(engine)
    work = {"workspace_base_gib": 1.0, "tower_gib": float(step.towers)}
    known = step.experts_gib + step.forward_gib
    if step.kept_gib + engine.sampler_bytes_per_logit * step.logits_gib > step.forward_gib:
        work["sampler_bytes_per_logit"] = step.logits_gib
        known = step.experts_gib + step.kept_gib
    runtime = {run.runtime_constant(engine): 1.0}
    graphs = {
        "graph_base_gib": step.graph_share,
        "graph_layer_gib": step.graph_layers * step.graph_share,
        "graph_expert_layer_gib": step.graph_expert_layers * step.graph_share,
    }
    if run.workspace_gib is not None and run.runtime_gib is not None:
        yield work, run.workspace_gib - known, _PRINTED_GIB
        yield runtime, run.runtime_gib, _PRINTED_GIB
    elif run.overhead_gib is not None:
        yield work | runtime | (graphs if engine.graphs_counted else {}), run.overhead_gib - known, _PRINTED_GIB
    if run.graphs_gib is not None:
        yield graphs, run.graphs_gib, _GRAPHS_GIB


def _with_ranges(
    fitted: Sequence[EngineMemory], table: Sequence[EngineMemory], runs: Sequence[MemoryRun]
) -> list[EngineMemory]:  # fmt: skip
    """The constants with the 80 % range of the overhead about its prediction.

    A version with logs of enough models has the range of models left out of its fit; a version with fewer that of all
    versions; one without, and every engine without, that of versions left out.
    """
    models = _overheads(held_out(table, runs, lambda run: run.architecture))
    versions = _overheads(held_out(table, runs, lambda run: run.constants(table).version_from))

    def ranged(row: EngineMemory) -> EngineMemory:
        own = [item for item in models if item[0].constants(table).version_from == row.version_from]
        if len({run.architecture for run, _ in own}) < _ENOUGH_ARCHITECTURES:
            own = models
        low, high = _range(own if row.runs else versions)
        return replace(row, overhead_low=low, overhead_high=high)

    return [ranged(row) for row in fitted]


def _overheads(predicted: Iterable[tuple[MemoryRun, EngineMemory]]) -> list[tuple[MemoryRun, float]]:
    """Measured ÷ predicted workspace and runtime."""
    return [
        (run, run.overhead_gib / overhead_gib(run, engine)) for run, engine in predicted if run.overhead_gib is not None
    ]


def overhead_gib(run: MemoryRun, engine: EngineMemory) -> float:
    """Workspace and runtime as predicted; graphs too where they count."""
    return workspace_gib(engine, run.step(engine)) + float(getattr(engine, run.runtime_constant(engine)))


def _range(ratios: Sequence[tuple[MemoryRun, float]]) -> tuple[float, float]:
    """The quantiles that leave a tenth on either side, each architecture of a version counting alike."""
    count = Counter((run.architecture, run.request.engine_version) for run, _ in ratios)
    ordered = sorted((ratio, 1 / count[run.architecture, run.request.engine_version]) for run, ratio in ratios)
    values, weights = np.array(ordered).T
    shares = np.cumsum(weights) / weights.sum()
    low, high = (values[min(int(np.searchsorted(shares, tail)), len(values) - 1)] for tail in (_TAIL, 1 - _TAIL))
    return min(float(low), 1.0), max(float(high), 1.0)


def _cells(engine: EngineMemory) -> dict[str, str]:
    values = asdict(engine)
    named = (*_START, "overhead_low", "overhead_high")
    return {name: f"{values[name]:.4g}" for name in named} | {"runs": str(engine.runs)}
