"""The serving container of a group: which engine, and what it is told; the response cache before it."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from advisor.catalog import load_catalog
from advisor.catalog.precisions import is_hub_id
from advisor.codegen.container import Backend, Container, Engine, Language, Platform, Serves, Wanted
from advisor.codegen.engines import ENGINES, Demanded, Request, catalog_name, exact_version
from advisor.codegen.engines.request import checkpoint_of, refusal
from advisor.codegen.inputs.table import EVERY, input_names
from advisor.codegen.model import Stack
from advisor.codegen.quotas import check_deployable
from advisor.codegen.quoting import Quoted, image_reference
from advisor.codegen.selection import Choice
from advisor.cost.response_cache import PlannedCache
from advisor.demand.values import Unit
from advisor.errors import InputError, NotDeployable
from advisor.models.values import answer_servers, needs_own_server
from advisor.plan.values import Plan
from advisor.records import replace

_LEAST_SHARE_OF_HITS = 0.8
"""Share of the planned hit ratio below which an alarm rings: the fleet then gets noticeably more than planned."""
_ACCESS = "on ~* -@all +@connection +@read +@write -@dangerous"
"""Commands of a client of ElastiCache, as an access string of Valkey's."""
_DISCOVERY = ("+info", *(f"+cluster|{name}" for name in ("info", "myid", "nodes", "shards", "slots")))
"""Commands by which cluster clients learn the shards: SLOTS or SHARDS (redis-py, Jedis, go-redis), NODES, MYID and INFO
(Lettuce). READONLY and COMMAND are of the category ``@connection``.
"""
_PERCENT = 100


def cache_of(plan: Plan, choice: Choice) -> PlannedCache | None:
    """The plan's cache, where what is chosen of the plan stands; None where it has none.

    Raises InputError if what is chosen stands elsewhere, where the plan prices no node.
    """
    cache = None if plan.fleet is None else plan.fleet.response_cache
    places = {(member.serves.provider, member.serves.region) for member in choice.members}
    if cache is None or places <= {(cache.provider, cache.region)}:
        return cache
    raise InputError(
        f"the plan's response cache is in {cache.region} of {cache.provider}, and this option is not",
        where="--option",
        hint=f"choose an option there, or plan again with regions: {sorted(region for _, region in places)}",
    )


def without_cache(stack: Stack, target: str) -> Stack:
    """The stack for a target that writes no code for a cache, with a caution where the plan has one."""
    if stack.cache is None:
        return stack
    cache = stack.cache
    caution = (
        f"The plan counts on a response cache ({cache.nodes_words} in {cache.region}). No code is "
        f"written for it beside {target}: bring it yourself, or the fleet gets more requests than it is sized for."
    )
    return replace(stack.with_cautions(caution), cache=None)


def cache_files(stack: Stack, language: Language) -> Mapping[str, str]:
    """Templates of the cache by path; none for a stack without one."""
    if stack.cache is None:
        return {}
    if language is Language.TERRAFORM:
        return {"cache.tf": f"{stack.provider}_cache.tf.j2"}
    return {"inference/cache.py": f"{stack.provider}_cache.py.j2", "inference/cache_place.py": "cache_place.py.j2"}


def cache_facts(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates of the cache use; nothing for a stack without one."""
    cache = stack.cache
    if cache is None:
        return {}
    least = _LEAST_SHARE_OF_HITS * cache.hit_ratio
    percent = {"least_hit_percent": round(least * _PERCENT, 1)}
    alarms = {
        "aws": percent,
        "azure": percent,
        "gcp": {"most_misses_ratio": round(1 - least, 3)},
    }
    shared = {"region": cache.region, "node_type": cache.node, "nodes": cache.nodes}
    if cache.provider != "azure":  # which has no shards of the user's own
        shared["shards"] = cache.shards
    return {
        "cache": shared | alarms[cache.provider] | {"ttl_seconds": cache.ttl_seconds},
        "cache_access": " ".join((_ACCESS, *(_DISCOVERY if cache.shards > 1 else ()))),
    }


__all__ = ["check_inputs", "check_wanted", "checkpoint_of", "container_of", "engine_of", "planned_engine"]


def container_of(
    serves: Serves, model: str, platform: Platform, wanted: Wanted, demand: Demanded | None = None
) -> Container:
    """The container that serves *model* on *serves*; requests of *demand*, else ones that are answered token by token.

    Raises:
        InputError: the engine does not serve this precision or layout on this accelerator; the message says why.
        NotDeployable: no published image serves it so on this machine.
    """
    check_wanted(wanted)
    engine = engine_of(serves, wanted)
    # The version of another engine says nothing about this one.
    version = exact_version(serves.engine_version) if engine is planned_engine(serves) else ""
    request = Request(serves, model, platform, wanted.image, version, demand or Demanded())
    unit = request.demand.unit
    if engine is not Engine.CUSTOM and unit not in (served := served_units(engine)):
        needed = ", ".join(sorted(other.value for other in Engine if unit in served_units(other)))
        raise refusal(
            request.serves,
            f"{engine.value} serves {' and '.join(served)}, and the plan is of {unit}",
            f"--engine {needed} serve them" if needed else "take --engine custom with --image",
        )
    _check_answer(engine, request)
    if not wanted.image:
        check_deployable(serves, catalog_name(engine, request))
    return ENGINES[engine].container(request)


def _check_answer(engine: Engine, request: Request) -> None:
    """Refuse an engine that gives no such answer to texts."""
    answer = request.demand.answer
    if engine is Engine.CUSTOM or not needs_own_server(answer):
        return
    servers = answer_servers(answer, request.demand.model_type)
    if all(planned_as(server.engine) is not engine for server in servers):
        named = sorted({planned.value for server in servers if (planned := planned_as(server.engine))})
        raise refusal(
            request.serves, f"{engine.value} answers no {answer} of each text", f"--engine {', '.join(named)} does"
        )


@cache
def served_units(engine: Engine) -> tuple[Unit, ...]:
    """Units of the requests that an engine answers, sorted; none of an image of the user's own."""
    if engine is Engine.CUSTOM:
        return ()
    rows = (server for server in load_catalog().one_pass_engines if planned_as(server.engine) is engine)
    return tuple(sorted({Unit(unit) for server in rows for unit in server.units})) or (Unit.TOKENS,)


def check_wanted(wanted: Wanted) -> None:
    """Refuse what no plan could make right.

    Raises InputError for an image that is not a reference of one, a custom engine without an image, or an unknown
    input.
    """
    check_inputs(wanted.inputs)
    if wanted.engine is Engine.CUSTOM and not wanted.image:
        raise InputError("a custom engine needs an image", hint="name it with --image REPOSITORY@sha256:DIGEST")
    if wanted.image:
        try:
            image_reference(wanted.image)
        except ValueError as error:
            hint = "expected REPOSITORY:TAG or REPOSITORY@sha256:DIGEST"
            raise InputError(str(error), where="--image", hint=hint) from error


def check_inputs(names: Collection[str]) -> None:
    """Refuse names of inputs that no target has. Raises InputError, whose hint names those that there are."""
    unknown = {*names} - input_names() - {EVERY}
    if unknown:
        told = ", ".join(sorted(unknown))
        raise InputError(f"no code takes {told}", where="--input", hint=f"known: {', '.join(sorted(input_names()))}")


def engine_of(serves: Serves, wanted: Wanted) -> Engine:
    """The engine that the user wants, else the planned one. Raises NotDeployable if this program cannot write it."""
    engine = wanted.engine or planned_engine(serves)
    if engine is None:
        raise NotDeployable(
            f"no container is generated for the engine {serves.engine!r}",
            hint="choose one with --engine, or an image of your own with --engine custom --image",
        )
    return engine


def planned_engine(serves: Serves) -> Engine | None:
    """The engine of the plan; None when it is none that this program can write."""
    return planned_as(serves.engine)


def planned_as(name: str) -> Engine | None:
    """The engine of a name in the catalog: exactly that one, or the one that a plugin starts with (vLLM-Gaudi)."""
    planned = name.lower().replace(" ", "-").translate(_NO_BRACKETS)
    exact = next((engine for engine in Engine if engine.value == planned), None)
    return exact or next((engine for engine in _WITH_PLUGINS if name.lower().startswith(engine.value)), None)


_NO_BRACKETS = str.maketrans("", "", "()")
_WITH_PLUGINS = (Engine.VLLM, Engine.SGLANG, Engine.TENSORRT_LLM)
_UNNAMED = "organisation/model"


def pin_values(stack: Stack) -> Mapping[str, object]:
    """Template values for pins: names that may be keys, models with an example of each unknown one, and images."""
    checkpoints = [(backend, backend.container.checkpoint.model_id) for backend in stack.backends]
    named = [model for _, model in checkpoints if model is not None and is_hub_id(model)]
    return {
        "engines": _pin_engines(stack),
        "pin_names": Quoted(", ".join(sorted({backend.pin for backend in stack.backends}))),
        "models": sorted({model or _UNNAMED for _, model in checkpoints}),
        "example_models": {pin_key(stack, backend): _UNNAMED for backend, model in checkpoints if model is None},
        "example_revisions": {named[0] if named else "*": "main"},
        "example_images": {backend.pin: backend.container.image for backend in stack.backends},
    }


def pin_key(stack: Stack, backend: Backend) -> str:
    """The name of the engine, which outlives a changed plan, unless another backend has it with other weights."""
    checkpoints = [other.container.checkpoint for other in stack.backends if other.pin == backend.pin]
    return backend.pin if all(other == backend.container.checkpoint for other in checkpoints) else backend.key


def _pin_engines(stack: Stack) -> list[str]:
    """Engines that may be keys of pins: all that answer what those of the stack do, and their names on its runtimes.

    Of language models llama.cpp only where it is one of them: a plan of other weights does not come to it by itself.
    """
    used = {backend.container.engine for backend in stack.backends}
    has_files = stack.unit.is_one_pass or Engine.LLAMA_CPP_SERVER in used
    passed_over = () if has_files else (Engine.LLAMA_CPP_SERVER,)
    engines = [
        engine
        for engine in Engine
        if engine is Engine.CUSTOM or (stack.unit in served_units(engine) and engine not in passed_over)
    ]
    names = {engine: [pin.name for pin in stack.pins if pin.engine is engine] for engine in engines}
    return [name for engine in engines for name in names[engine] or [engine.value]]
