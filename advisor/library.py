"""The program as a library: the answers of its commands, as values.

Every function raises :class:`advisor.errors.InputError` for what the caller can fix, with the field and the remedy.
"""

import math
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from threadpoolctl import threadpool_limits

from advisor.catalog import Catalog, load_catalog
from advisor.errors import InputError
from advisor.models.memory import MemoryFit, MemoryRange, fit_memory, memory_range
from advisor.names import suggestion
from advisor.performance import Evidence, Interval, Scenario
from advisor.performance.setups import QUANTITIES
from advisor.pipeline import Basis, plan_for, prepared
from advisor.pipeline import recommend as recommend_file
from advisor.plan.document import plan_from_json
from advisor.plan.values import Plan
from advisor.questions.fit import fit_case
from advisor.questions.predict import answer_rows, check_row
from advisor.reading import read_text
from advisor.records import dataclass
from advisor.workload.values import Workload

if TYPE_CHECKING:
    from advisor.codegen import Generated, Wanted


class FitOptions(TypedDict, total=False):
    """Options of :func:`fit`; what is left out takes the default that ``advisor fit --help`` names."""

    accelerator_count: int
    tensor_parallel: int
    precision: str
    kv_precision: str
    engine: str
    engine_version: str
    context_tokens: int
    concurrency: int
    memory_utilization: float


class PredictOptions(TypedDict, total=False):
    """Options of :func:`predict`; what is left out takes the default that ``advisor predict --help`` names."""

    accelerator_count: int
    tensor_parallel: int
    pipeline_parallel: int
    expert_parallel: int
    data_parallel: int
    precision: str
    kv_precision: str
    engine: str
    engine_version: str
    scenario: Scenario | str
    input_tokens: float
    output_tokens: float
    concurrency: float
    prefix_cache_hit_ratio: float
    max_batched_tokens: int
    draft_tokens: int
    draft_acceptance: float
    draft_model: str


def _one_thread() -> AbstractContextManager[object]:
    """Sums in one order on any number of processors, as in the commands: the same question has the same digits."""
    limited: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limited


@dataclass(frozen=True, slots=True)
class Fit:
    """Memory of one replica of a model, and the range that its KV cache lies in."""

    memory: MemoryFit
    range: MemoryRange


@dataclass(frozen=True, slots=True)
class Prediction:
    """Speed of one deployment under one load; throughputs are for all of its accelerators."""

    quantities: Mapping[str, Interval]
    """``ttft_ms``, ``tpot_ms``, ``output_tokens_per_second``, … → value with its 80 % interval; absent where there is
    none."""
    evidence: Evidence
    reason: str
    """Why nothing is predicted, or which quantity is missing and why; empty where all are there."""


def recommend(
    workload: Workload | Path | str,
    *,
    catalog: Catalog | Path | str | None = None,
    previous: Plan | Path | str | None = None,
) -> Plan:
    """The cheapest fleet that serves a workload, with all that it was chosen from.

    Args:
        workload: the path of a workload file, or what :func:`advisor.read_workload` made of one.
        catalog: what is sold, and at what price, or the path of its directory; None: the user's with all its layers.
        previous: the plan that runs now, or the path of its file; leaving it has to be worth its cost.
    """
    given = _catalog(catalog)
    former = None if previous is None else _plan(previous, "previous")
    with _one_thread():
        if not isinstance(workload, Workload):
            return recommend_file(_path(workload, "workload"), basis=Basis(catalog=given), previous=former)
        offers = given or load_catalog()
        return plan_for(prepared(workload, offers, previous=former), offers)


def fit(model: str | Path, accelerator: str, **options: Unpack[FitOptions]) -> Fit:
    """Whether a model fits accelerators, and what it takes of their memory.

    Args:
        model: a catalogued name, or the path of a file that describes one.
        accelerator: a catalogued accelerator, such as ``L40S``.
        options: those of ``advisor fit``: ``tensor_parallel=2``, ``context_tokens=8192``, ``precision="fp8"``, …
    """
    case = fit_case(_cells(model, accelerator, options, FitOptions.__annotations__))
    return Fit(fit_memory(case.model, case.request), memory_range(case.model, case.request))


def predict(model: str | Path, accelerator: str, **options: Unpack[PredictOptions]) -> Prediction:
    """Latencies and throughputs of a deployment.

    Args:
        model: a catalogued name, or the path of a file that describes one.
        accelerator: a catalogued accelerator, such as ``H100-SXM``.
        options: those of ``advisor predict``: ``input_tokens=512``, ``output_tokens=128``, ``concurrency=16``, …
    """
    catalog = load_catalog()
    cells = _cells(model, accelerator, options, PredictOptions.__annotations__)
    check_row(cells, catalog)
    with _one_thread():
        answers = answer_rows([cells], catalog)
    quantities = {
        name: Interval(*(float(part[name][0]) for part in (answers.value, answers.low, answers.high)))
        for name in QUANTITIES
        if not math.isnan(answers.value[name][0])
    }
    return Prediction(quantities, Evidence(answers.evidence[0]), answers.told(0))


def generate(
    plan: Plan | Path | str,
    language: str = "terraform",
    *,
    wanted: "Wanted | None" = None,
    catalog: Catalog | Path | str | None = None,
) -> "Generated":
    """Infrastructure code for a plan, for an empty directory; ``files`` maps relative paths to texts.

    Args:
        plan: what was planned, or the path of its file.
        language: ``terraform`` or ``pulumi`` (a program in Python; ``python`` means the same).
        wanted: target, form and engine, where not those of the plan.
        catalog: which regions have which types; None: the user's.

    Raises:
        InputError: the language is unknown, or nothing that is generated serves the plan.
        advisor.codegen.NotDeployable: no generated code can start what is planned.
    """
    from advisor.codegen import Language  # noqa: PLC0415 - recommend, fit and predict do without it
    from advisor.codegen import generate as generate_code  # noqa: PLC0415 - as above

    named = {**{language.value: language for language in Language}, "pulumi": Language.PYTHON}
    if language not in named:
        raise InputError(f"{language!r} is not a language", where="language", hint=f"one of {', '.join(named)}")
    return generate_code(_plan(plan, "plan"), named[language], wanted, _catalog(catalog) or load_catalog())


def read_plan(path: Path | str) -> Plan:
    """The plan that ``advisor recommend --format json`` wrote to a file."""
    return plan_from_json(read_text(_path(path, "plan"), "plan"), where=str(path))


def _plan(plan: Plan | Path | str, where: str) -> Plan:
    """A plan, or that of a file."""
    return plan if isinstance(plan, Plan) else read_plan(_path(plan, where))


def _path(path: object, where: str) -> Path:
    if isinstance(path, str | os.PathLike):
        return Path(path)
    raise InputError(f"{type(path).__name__} is not a path", where=where, hint="give the path of a file, or its value")


def _catalog(catalog: Catalog | Path | str | None) -> Catalog | None:
    """A catalog, or that of a directory; None: the user's."""
    if catalog is None or isinstance(catalog, Catalog):
        return catalog
    return load_catalog(_path(catalog, "catalog"))


def _cells(model: str | Path, accelerator: str, options: Mapping[str, object], names: Iterable[str]) -> dict[str, str]:
    """A question as a row of a table has it."""
    unknown = next((name for name in options if name not in names), None)
    if unknown is not None:
        raise InputError(f"there is no option {unknown!r}", where=unknown, hint=suggestion(unknown, list(names)))
    return {"model": str(model), "accelerator": accelerator} | {name: str(value) for name, value in options.items()}
