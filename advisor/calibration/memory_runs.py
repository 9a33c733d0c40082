"""Start-up logs of serving engines: what was started, and what its log printed about memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from advisor.catalog import load_catalog
from advisor.models import FitRequest, Model, find_model
from advisor.models.engine_memory import EngineMemory, StepMemory, StepSize, choose, step_memory, step_size
from advisor.models.kv_cache import cache_layout
from advisor.models.precision import kv_bytes_per_element
from advisor.tables import Row, optional_float
from advisor.units import BYTES_PER_GIB

_USUAL_UTILIZATION = 0.9
"""vLLM's own share of the memory where a log does not state it."""


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
