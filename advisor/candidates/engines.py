"""The engines that serve the model on a machine, in each of the precisions of a workload, the preferred one first."""

from collections.abc import Iterator, Sequence

from advisor.candidates.values import Rejection, reject
from advisor.catalog import Catalog
from advisor.catalog.one_pass_engines import FIRST_WITH_BF16, OnePassEngine
from advisor.catalog.processors import CPU
from advisor.catalog.values import Accelerator, EngineSupport, InstanceType, Support
from advisor.demand.values import Unit
from advisor.deployable import Shortfall
from advisor.models.adapters import adapter_engine
from advisor.models.model import OF_COEFFICIENTS, Adapters, Model
from advisor.models.values import answered_where, gives_answer
from advisor.models.weights import gguf_architectures
from advisor.records import replace
from advisor.requirements import Requirements
from advisor.workload.kinds import LLAMA_CPP, UNITS, takes_llama_cpp, takes_processors
from advisor.workload.scope import allows_engine, engine_names, serving_engines
from advisor.workload.values import Workload

_HALF, _WIDE = "fp16", "fp32"


def engines_of(
    instance_type: InstanceType, accelerator: Accelerator, requirements: Requirements, catalog: Catalog
) -> Iterator[EngineSupport | Rejection]:
    """The engines of each of the workload's precisions, or why none serves it; precisions cast to the same are one."""
    served = [
        (precision, _within_range(instance_type, accelerator, engine, requirements.model))
        for precision in requirements.workload.precisions
        for engine in _each_engine(instance_type, accelerator, precision, requirements, catalog)
    ]
    engines = [engine for _, engine in served]
    stands_for: dict[tuple[str, str], tuple[str, ...]] = {}
    for precision, engine in served:
        if not isinstance(engine, Rejection):
            key = (engine.engine, engine.precision)
            stands_for[key] = (*stands_for.get(key, ()), precision)
    for engine in engines:
        if isinstance(engine, Rejection):
            yield engine
        elif cast := stands_for.pop((engine.engine, engine.precision), ()):
            yield engine if cast == (engine.precision,) else replace(engine, stands_for=cast)


def _within_range(
    instance_type: InstanceType, accelerator: Accelerator, engine: EngineSupport | Rejection, model: Model
) -> EngineSupport | Rejection:  # fmt: skip
    """The engine, or a rejection where it would compute in fp16 a model that is beyond its range."""
    if isinstance(engine, Rejection):
        is_sent_to_half = engine.code == "precision_unsupported" and "serve fp16" in engine.message
        name, precision = "", engine.precision
    else:
        is_sent_to_half, name, precision = True, engine.engine, engine.precision
    reason = beyond_half(model, name, precision, accelerator) if is_sent_to_half else ""
    if not reason:
        return engine
    shortfall = Shortfall("precision_unsupported", "support", precision, "bf16", f"{accelerator.name}: {reason}")
    return reject(instance_type, shortfall, precision)


def beyond_half(model: Model, engine: str, precision: str, accelerator: Accelerator) -> str:
    """Why a model that overflows in fp16 is not served in a precision; "" where it is, or does not overflow.

    NVIDIA's accelerators before Ampere have no bf16 and compute all but fp32 in fp16. llama.cpp accumulates in fp32.
    *engine* "" is any but llama.cpp.
    """
    if not model.overflows_half or engine == LLAMA_CPP:
        return ""
    capability = accelerator.compute_capability
    is_old = capability is not None and capability < FIRST_WITH_BF16
    if precision != _HALF and (not is_old or precision == _WIDE):
        return ""
    fix = f"; {accelerator.name} has no bf16 arithmetic" if is_old else ": name bf16 in precisions"
    serving = f"{engine} serves" if engine else "engines serve"
    return f"{model.name} overflows in fp16, and {serving} it in bf16 or fp32 alone{fix}"


def _each_engine(
    instance_type: InstanceType, accelerator: Accelerator, precision: str, requirements: Requirements, catalog: Catalog
) -> Iterator[EngineSupport | Rejection]:
    """The engines of a precision, or one rejection where none serves it.

    A file is served as it is where llama.cpp can: other engines are planned where it cannot, and where they are named.
    Small models of the hub are planned with llama.cpp too, on processors alone.
    """
    workload, unit = requirements.workload, requirements.demand.unit
    others = list(_engines(instance_type, accelerator, precision, requirements, catalog))
    is_refused = isinstance(others[0], Rejection)
    is_on_processors = accelerator.vendor == CPU and takes_processors(workload, requirements.model, catalog)
    if not takes_llama_cpp(workload, requirements.model, unit) and not is_on_processors:
        yield from others
        return
    server = _file_server(instance_type, accelerator, precision, requirements, catalog)
    if isinstance(server, Rejection):
        is_own = workload.engines == (LLAMA_CPP,) or accelerator.vendor == CPU
        yield from [server] if is_own and is_refused else others
        return
    refused = _file_shortfall(server, accelerator, requirements)
    yield server.support(accelerator, precision) if refused is None else reject(instance_type, refused, precision)
    is_other_planned = LLAMA_CPP in workload.engines or _is_crowded(server, instance_type, catalog)
    if is_other_planned and not is_refused:
        for other in others:
            yield other if isinstance(other, Rejection) or refused else replace(other, beside=server.engine)


def _file_server(
    instance_type: InstanceType, accelerator: Accelerator, precision: str, requirements: Requirements, catalog: Catalog
) -> OnePassEngine | Rejection:
    """The server of files of language models, or why it has no image for a machine."""
    family = requirements.model.family
    fitting = [
        server
        for server in catalog.one_pass_engines
        if server.is_of_tokens and server.serves(Unit.TOKENS, family, precision) and server.runs_with(accelerator)
    ]
    serving = next((server for server in fitting if server.runs_on(instance_type, accelerator)), None)
    if serving is None:
        gap = ("no_server", f"no image of {LLAMA_CPP} is known for it in {precision}")
        return reject(
            instance_type, _without_server(instance_type, accelerator, fitting, precision, gap), precision
        )  # fmt: skip
    return serving


def _file_shortfall(server: OnePassEngine, accelerator: Accelerator, requirements: Requirements) -> Shortfall | None:
    """Why the server of files does not serve this model with these requests; None where it does."""
    model = requirements.model
    if model.adapters is not None:
        return adapter_shortfall(server.engine, accelerator.name, model.adapters)
    architecture = model.checkpoint.architecture
    if architecture and architecture not in gguf_architectures():
        reason = (
            f"{server.engine} does not load GGUF of the architecture {architecture} (general.architecture): "
            "engines: [vLLM] plans a checkpoint of the model that is not a GGUF, if vLLM knows it"
        )
        return Shortfall("model_unsupported", "support", architecture, "no", reason)
    if requirements.demand.pictures is not None:
        reason = (
            f"{server.engine} reads images by a second file alone (--mmproj), which no code gives it: "
            "engines: [vLLM] plans them, and so does leaving images out where requests have none"
        )
        return Shortfall("model_unsupported", "support", "images", "no", reason)
    return None


def _engines(
    instance_type: InstanceType, accelerator: Accelerator, precision: str, requirements: Requirements, catalog: Catalog
) -> Iterator[EngineSupport | Rejection]:
    """The allowed engines that serve the precision and the model on the accelerator, or why none does.

    The first that serves them, allowed or not, is the usual one of the others.
    """
    model, workload = requirements.model, requirements.workload
    if requirements.demand.unit.is_one_pass:
        yield _one_pass_engine(instance_type, accelerator, precision, requirements, catalog)
        return
    rows = catalog.engine_support(accelerator.name, precision)
    serving = serving_engines(rows)
    if not serving:
        yield reject(instance_type, _unserved(rows, accelerator, precision), precision)
        return
    allowed = [row for row in serving if allows_engine(workload, row.engine)]
    if not allowed:
        yield reject(instance_type, _engine_excluded(workload, engine_names(serving)), precision)
        return
    adapted, refused = _with_adapters(allowed, accelerator, requirements)
    if not adapted and refused is not None:
        yield reject(instance_type, refused, precision)
        return
    able = [
        row
        for row in _with_adapters(serving, accelerator, requirements)[0]
        if catalog.model_status(row.engine, accelerator.name, model.name, model.family)
        in (None, "supported", "validated")
    ]
    planned = [row for row in able if row in adapted]
    for row in planned:
        usual = None if row is able[0] else able[0]
        yield row if usual is None else replace(row, usual=usual, beside="" if row is planned[0] else planned[0].engine)
    if planned:
        return
    status = catalog.model_status(adapted[-1].engine, accelerator.name, model.name, model.family)
    reason = f"{adapted[0].engine} on {accelerator.name} does not list {model.name} as working ({status})"
    yield reject(instance_type, Shortfall("model_unsupported", "support", model.name, status, reason), precision)


def _with_adapters(
    rows: Sequence[EngineSupport], accelerator: Accelerator, requirements: Requirements
) -> tuple[Sequence[EngineSupport], Shortfall | None]:  # fmt: skip
    """The engines that serve the adapters of the model, and why the first of the others does not."""
    adapters = requirements.model.adapters
    if adapters is None:
        return rows, None
    shortfalls = {row.engine: adapter_shortfall(row.engine, accelerator.name, adapters) for row in rows}
    refused = next((shortfall for shortfall in shortfalls.values() if shortfall is not None), None)
    return [row for row in rows if shortfalls[row.engine] is None], refused


def adapter_shortfall(name: str, accelerator: str, adapters: Adapters) -> Shortfall | None:
    """Why an engine of a name serves no adapters of this rank; None where it does."""
    engine = adapter_engine(name)
    if not engine.is_supported:
        reason = f"{name} on {accelerator}: {engine.reason}"
        return Shortfall("adapters_unsupported", "support", "LoRA adapters", "no", reason)
    if engine.most_rank is not None and adapters.rank > engine.most_rank:
        reason = f"{name} takes adapters up to rank {engine.most_rank}, and these have rank {adapters.rank}"
        return Shortfall("adapters_unsupported", "rank", adapters.rank, engine.most_rank, reason)
    return None


def server_on(
    hardware: tuple[Accelerator, InstanceType | None], model: Model, precision: str, catalog: Catalog, engine: str = ""
) -> OnePassEngine | None:  # fmt: skip
    """The server of a model that answers in one pass; None where none is known, and of other models.

    *hardware*: accelerator, and its machine; None: whatever the host. *engine*: the only one that is asked for; "":
    any. Servers that generated code starts come first.
    """
    accelerator, machine = hardware
    unit = UNITS.get(model.task, Unit.TOKENS)
    servers = (
        server
        for server in catalog.one_pass_engines
        if unit.is_one_pass
        and server.serves(unit, model.family, precision)
        and gives_answer(server.engine, server.vendor, model)
        and (server.runs_with(accelerator) if machine is None else server.runs_on(machine, accelerator))
    )
    asked = [server for server in servers if not engine or server.engine == catalog.engine_named(engine)]
    return min(asked, key=lambda server: (not server.release, server.widens(accelerator, precision)), default=None)


def serves_file(model: Model, accelerator: Accelerator, precision: str, catalog: Catalog) -> bool:
    """Whether a language model is a GGUF file that llama.cpp serves on an accelerator, as plans have it."""
    is_file = model.file is not None and model.file.is_gguf and UNITS.get(model.task, Unit.TOKENS) is Unit.TOKENS
    servers = (server for server in catalog.one_pass_engines if is_file and server.is_of_tokens)
    return any(
        server.serves(Unit.TOKENS, model.family, precision) and server.runs_with(accelerator) for server in servers
    )


def _engine_excluded(workload: Workload, engines: Sequence[str]) -> Shortfall:
    needed = ", ".join(workload.engines) or f"other than {', '.join(workload.exclude.engines)}"
    available = ", ".join(engines)
    reason = f"it is served by {available}, which the workload leaves out"
    return Shortfall("engine_excluded", "engines", needed, available, reason)


def _one_pass_engine(
    instance_type: InstanceType, accelerator: Accelerator, precision: str, requirements: Requirements, catalog: Catalog
) -> EngineSupport | Rejection:
    """The first allowed server of a model that answers in one pass, or why there is none."""
    unit, model = requirements.demand.unit, requirements.model
    family = model.family
    answering = [server for server in catalog.one_pass_engines if gives_answer(server.engine, server.vendor, model)]
    fitting = [
        server for server in answering if server.serves(unit, family, precision) and server.runs_with(accelerator)
    ]
    serving = [server for server in fitting if server.runs_on(instance_type, accelerator)]
    if not serving:
        kind = "linear models and support vector machines" if family in OF_COEFFICIENTS else f"{unit} in {precision}"
        gap = catalog.engine_gaps.get((accelerator.vendor, unit), f"no server of {kind} is known for it")
        gap = answered_where(model) or gap
        runs_others = any(server.loads(unit, family) and server.runs_with(accelerator) for server in answering)
        code = "precision_unsupported" if runs_others else "no_server"
        shortfall = _without_server(instance_type, accelerator, fitting, precision, (code, gap))
        return reject(instance_type, shortfall, precision)
    # What generated code starts comes first; the rest is planned where no code is generated anyway.
    allowed = [server for server in serving if allows_engine(requirements.workload, server.engine)]
    startable = [server for server in allowed if server.release or not _is_generated(instance_type, unit, catalog)]
    startable.sort(
        key=lambda server: (_is_crowded(server, instance_type, catalog), server.widens(accelerator, precision))
    )
    if not allowed:
        names = tuple(server.engine for server in serving)
        return reject(instance_type, _engine_excluded(requirements.workload, names), precision)
    if not startable:
        return reject(instance_type, _without_container(allowed, accelerator, unit, catalog), precision)
    return startable[0].support(accelerator, precision)


def _without_server(
    instance_type: InstanceType, accelerator: Accelerator, fitting: Sequence[OnePassEngine], precision: str,
    gap: tuple[str, str],
) -> Shortfall:  # fmt: skip
    """Why no server runs on a machine: images of the *fitting* are for other processors, or a gap with its code."""
    if not fitting:
        code, why = gap
        return Shortfall(code, "support", precision, None, f"{accelerator.name}: {why}")
    names = ", ".join(dict.fromkeys(server.engine for server in fitting))
    needed = ", ".join(sorted({name for server in fitting for name in server.cpu_architectures}))
    built = instance_type.cpu_architecture
    reason = f"{accelerator.name}: images of {names} are built for {needed}, and it is {built}"
    return Shortfall("no_image", "architecture", needed, built, reason)


def _is_generated(instance_type: InstanceType, unit: Unit, catalog: Catalog) -> bool:
    """Whether code is generated for servers of a unit on some machines of a provider."""
    return instance_type.provider in catalog.deployment.providers and unit in catalog.generated_units


def _is_crowded(server: OnePassEngine, instance_type: InstanceType, catalog: Catalog) -> bool:
    """Whether a machine has more accelerators than the server has replicas on one."""
    most = catalog.deployment.number(server.engine, "replicas_per_machine")
    return most is not None and (instance_type.accelerator_count or 0.0) > most


def _without_container(
    servers: Sequence[OnePassEngine], accelerator: Accelerator, unit: Unit, catalog: Catalog
) -> Shortfall:  # fmt: skip
    names = " and ".join(server.engine for server in servers)
    written = {server.engine for server in catalog.one_pass_engines if server.release and unit in server.units}
    reason = f"{accelerator.name}: no code is generated for {names}, which would serve {unit} there"
    return Shortfall("not_generated", "engine", " or ".join(sorted(written)), names, reason)


def _unserved(rows: Sequence[EngineSupport], accelerator: Accelerator, precision: str) -> Shortfall:
    """Why no engine is known to serve a precision: all refuse it, or nobody says of one of them."""
    untested = next((row for row in rows if row.support is Support.UNTESTED), None)
    if rows and untested is None:
        detail = rows[0].detail or "no engine of the catalog serves it"
        return Shortfall(
            "precision_unsupported", "support", precision, rows[0].support.value, f"{accelerator.name}: {detail}"
        )
    engine = f"{untested.engine} {untested.engine_version}".strip() if untested else "an engine of the catalog"
    detail = f" ({untested.detail})" if untested and untested.detail else ""
    reason = f"{accelerator.name}: no document or measurement settles whether {engine} serves it{detail}"
    return Shortfall("precision_untested", "support", precision, Support.UNTESTED.value, reason)
