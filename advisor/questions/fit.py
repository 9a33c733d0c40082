"""One question about memory, as a command line or a table row puts it: names in, numbers or a reason out."""

from collections.abc import Mapping
from math import isfinite

import numpy as np

from advisor.candidates import split_shortfall
from advisor.candidates.engines import adapter_shortfall, beyond_half, server_on, serves_file
from advisor.catalog import load_catalog
from advisor.catalog.processors import hardware_named
from advisor.catalog.values import Accelerator
from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models import (
    FitRequest,
    find_model,
    fit_memory,
    kv_cache_precision,
    memory_range,
    parse_kv_precision,
    parse_precision,
    weight_bytes,
)
from advisor.models.adapters import with_adapters
from advisor.models.model import Adapters, Model
from advisor.models.weights import loaded_by
from advisor.performance.one_pass import flop_of_sample, one_pass
from advisor.questions import check_engine
from advisor.records import asdict, dataclass, replace
from advisor.workload.kinds import LLAMA_CPP, UNITS

INPUT_COLUMNS = (
    "id", "model", "accelerator", "accelerator_count", "tensor_parallel", "precision", "kv_precision", "engine",
    "engine_version", "context_tokens", "concurrency", "memory_utilization", "adapters", "adapter_rank",
)  # fmt: skip
ADAPTERS_COLUMN = "adapters_gib"
"""Result of questions with LoRA adapters alone."""
RESULT_COLUMNS = (
    "fits", "parameters_total", "parameters_active", "weights_gib", "workspace_gib", "runtime_gib",
    "kv_cache_gib_available", "kv_bytes_per_token", "kv_cache_tokens", "max_concurrency", "kv_cache_tokens_low",
    "kv_cache_tokens_high", "max_concurrency_low", "max_concurrency_high", "evidence", "reason", "checkpoint_bytes",
    "flop_per_item", "item",
)  # fmt: skip
_CONCURRENCIES = ("max_concurrency", "max_concurrency_low", "max_concurrency_high")
_DECIMALS = 4
_MOST = 10**9
_FALLBACK = "vLLM"
_SPLIT_HINTS = {
    "parallelism": "give a divisor of the number of heads",
    "parallel_degree": "give another number of accelerators",
}
_UNSTATED_CONTEXT = 512
"""For a model that states no longest context, such as one for images."""


@dataclass(frozen=True, slots=True)
class FitCase:
    """A question with every default filled in."""

    model: Model
    """Model as published, or as its file holds it."""
    loaded: Model
    """Model as the engine loads it."""
    request: FitRequest
    inputs: dict[str, object]
    """As understood, under the names of the input columns."""
    slots: int | None = None
    """Requests that the engine runs at a time at most, whatever the memory; None: as many as the memory holds."""


def fit_case(cells: Mapping[str, str]) -> FitCase:
    """Understand one row; an empty cell takes its default. Raises InputError if a name or a number is wrong."""
    model = _with_adapters(find_model(_required(cells, "model")), cells)
    accelerator, machine = hardware_named(load_catalog(), _required(cells, "accelerator"))
    count = _whole(cells, "accelerator_count", 1)
    tensor_parallel = _whole(cells, "tensor_parallel", count)
    is_of_tokens = UNITS.get(model.task, Unit.TOKENS) is Unit.TOKENS
    held_on = accelerator if is_of_tokens else replace(accelerator, cores=1)
    _check_split(model, held_on, (count, tensor_parallel))
    stated = cells.get("precision", "").strip()
    precision = parse_precision(stated) if stated else model.checkpoint.precision
    on_cores = machine is not None
    is_file = count == 1 and serves_file(model, accelerator, precision, load_catalog())
    engine, version = _engine_of_files(cells) if on_cores or is_file else _engine(cells, accelerator.name, precision)
    server = server_on((accelerator, machine), model, precision, load_catalog(), cells.get("engine", "").strip())
    if server is not None:
        engine, version = server.engine, cells.get("engine_version", "").strip() or server.release
        precision = server.served_precision(accelerator, precision)
    _check_adapters(model, engine, accelerator.name)
    if reason := beyond_half(model, engine, precision, accelerator):
        raise InputError(reason, where="precision", hint="ask for bf16 on an accelerator that computes in it")
    request = FitRequest(
        accelerator_memory_gib=held_on.rank_memory_gib,
        accelerator_count=held_on.ranks(count),
        tensor_parallel=held_on.ranks(tensor_parallel),
        pipeline_parallel=count // tensor_parallel,
        precision=precision,
        kv_precision=parse_kv_precision(cells.get("kv_precision", "")),
        engine=engine,
        engine_version=version,
        context_tokens=_whole(cells, "context_tokens", model.max_context_tokens or _UNSTATED_CONTEXT),
        concurrency=_whole(cells, "concurrency", 1),
        memory_utilization=_share(cells, "memory_utilization", 0.90),
        accelerator=accelerator.name,
    )
    inputs: dict[str, object] = {"model": model.name}
    inputs |= {name: value for name, value in asdict(request).items() if name != "accelerator_memory_gib"}
    inputs |= {"accelerator_count": count, "tensor_parallel": tensor_parallel}
    inputs["accelerator_memory_gib"] = accelerator.memory_gib
    if model.adapters is not None:
        inputs |= {"adapters": model.adapters.slots, "adapter_rank": model.adapters.rank}
    inputs["kv_precision"] = kv_cache_precision(request.kv_precision, precision, model.checkpoint.kv_precision)
    loaded = loaded_by(model, engine, precision) if is_of_tokens else model
    slots = load_catalog().token_server(engine, accelerator.vendor) if is_of_tokens else None
    return FitCase(model, loaded, request, inputs, None if slots is None else slots.max_batch_items)


def answer(case: FitCase) -> dict[str, object]:
    """The result columns of a case."""
    flop, item = item_work(case.model, case.request.context_tokens)
    fit = asdict(fit_memory(case.loaded, case.request)) | asdict(memory_range(case.loaded, case.request))
    fit |= {name: _within(fit[name], case.slots) for name in _CONCURRENCIES}
    fit |= {"checkpoint_bytes": stored_bytes(case.model), "flop_per_item": flop, "item": item}
    more = () if case.model.adapters is None else (ADAPTERS_COLUMN,)
    values = {name: fit[name] for name in (*RESULT_COLUMNS, *more)}
    return {name: round(value, _DECIMALS) if isinstance(value, float) else value for name, value in values.items()}


def _within(requests: int | None, slots: int | None) -> int | None:
    """Requests at a time that memory holds, as far as there are slots for them."""
    return requests if requests is None or slots is None else min(requests, slots)


def _with_adapters(model: Model, cells: Mapping[str, str]) -> Model:
    """The model with so many LoRA adapters on the accelerators, or with that which it was read with."""
    count, rank = (cells.get(name, "").strip() for name in ("adapters", "adapter_rank"))
    if not count and not rank:
        return model
    if not count or (not rank and model.adapters is None):
        missing, example = ("adapter_rank", 16) if count else ("adapters", 24)
        raise InputError("is empty", where=missing, hint=f"give a number, such as {example}")
    own = 0 if model.adapters is None else model.adapters.rank
    adapters = Adapters(_whole(cells, "adapters", 1), _whole(cells, "adapter_rank", own))
    return with_adapters(replace(model, adapters=None), adapters)


def _check_adapters(model: Model, engine: str, accelerator: str) -> None:
    """Refuse adapters on an engine that serves none, or none of their rank, as plans do."""
    if model.adapters is None:
        return
    shortfall = adapter_shortfall(load_catalog().engine_named(engine), accelerator, model.adapters)
    if shortfall is not None:
        raise InputError(shortfall.reason, where="adapters", hint="ask for another engine, such as vLLM on NVIDIA")


def stored_bytes(model: Model) -> int:
    """Bytes of a model's weights as published."""
    return round(weight_bytes(model, model.checkpoint.precision))


def item_work(model: Model, tokens: int | None) -> tuple[float | None, str]:
    """FLOPs of one item (None: not known), and what it is; *tokens*: length of a text answered in one pass."""
    if model.hidden and one_pass(model):
        flop = float(flop_of_sample(model, np.array([tokens or np.nan]))[0])
        text = f"one text of {tokens:,} tokens" if tokens else model.sample or "one text of the usual length"
        return (flop, text) if isfinite(flop) else (None, "not known: no length is stated")
    if model.is_generative:
        return 2.0 * model.parameters_active, "one token, without its attention to others"
    return model.flop_per_sample, model.sample or model.source.partition("FLOPs of ")[2] or "one sample"


def answer_row(cells: Mapping[str, str]) -> dict[str, object]:
    """The result columns of a row; where the row is wrong, only the reason."""
    try:
        return answer(fit_case(cells))
    except InputError as error:
        return no_answer(one_line(error))


def no_answer(reason: str) -> dict[str, object]:
    """The result columns of a row that could not be understood."""
    return {name: reason if name == "reason" else "" for name in RESULT_COLUMNS}


def one_line(error: InputError) -> str:
    """An error as one table cell."""
    place = f"{error.where}: " if error.where else ""
    return f"{place}{error.message}" + (f" ({error.hint})" if error.hint else "")


def _engine(cells: Mapping[str, str], accelerator: str, precision: str) -> tuple[str, str]:
    """Engine and version as stated, else as a plan takes them; vLLM where no engine serves the precision there."""
    catalog = load_catalog()
    engine, version = (cells.get(name, "").strip() for name in ("engine", "engine_version"))
    check_engine(engine, version, catalog)
    planned = catalog.preferred_engine(accelerator, precision, engine)
    named = LLAMA_CPP if catalog.engine_named(engine) == LLAMA_CPP else engine
    name = named or (planned.engine if planned else _FALLBACK)
    return name, version or (planned.engine_version if planned else "")


def _engine_of_files(cells: Mapping[str, str]) -> tuple[str, str]:
    """Engine and version as stated, else llama.cpp: on processors and of GGUF files, which are planned with it."""
    engine, version = (cells.get(name, "").strip() for name in ("engine", "engine_version"))
    check_engine(engine, version, load_catalog())
    return (load_catalog().engine_named(engine) if engine else LLAMA_CPP), version


def _check_split(model: Model, accelerator: Accelerator, split: tuple[int, int]) -> None:
    """Refuse a parallelism that accelerators or attention heads cannot be split by, or that has no support."""
    count, tensor_parallel = split
    if count % tensor_parallel:
        raise InputError(
            f"{count} accelerators cannot be split into groups of {tensor_parallel}",
            where="tensor_parallel",
            hint="accelerators that tensor parallelism leaves over are used as pipeline stages",
        )
    shortfall = split_shortfall(model, accelerator, tensor_parallel, load_catalog())
    if shortfall is not None:
        raise InputError(shortfall.reason, where="tensor_parallel", hint=_SPLIT_HINTS[shortfall.code])


def _required(cells: Mapping[str, str], name: str) -> str:
    text = cells.get(name, "").strip()
    if not text:
        raise InputError("is empty", where=name)
    return text


def _whole(cells: Mapping[str, str], name: str, default: int) -> int:
    """A positive whole number. Raises InputError for any other, and beyond any machine."""
    text = cells.get(name, "").strip()
    if not text:
        return default
    number = _number(name, text)
    if number < 1 or not number.is_integer():
        raise InputError(f"must be a whole number from 1 on, not {text!r}", where=name)
    if number > _MOST:
        raise InputError(f"must be at most {_MOST:,}, not {text!r}", where=name)
    return int(number)


def _share(cells: Mapping[str, str], name: str, default: float) -> float:
    """A number above 0 and up to 1."""
    text = cells.get(name, "").strip()
    number = _number(name, text) if text else default
    if not 0 < number <= 1:
        raise InputError(f"must lie above 0 and up to 1, not {text!r}", where=name)
    return number


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise InputError(f"must be a number, not {text!r}", where=name)
    return number
