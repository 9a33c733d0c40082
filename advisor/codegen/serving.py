"""The serving container of a group: which engine, and what it is told."""

from functools import cache

from advisor.catalog import load_catalog
from advisor.codegen.container import Container, Platform, Serves
from advisor.codegen.deployability import check_deployable
from advisor.codegen.engines import ENGINES, Demanded, Request, exact_version
from advisor.codegen.engines.request import checkpoint_of, refusal
from advisor.codegen.quoting import image_reference
from advisor.codegen.wanted import Engine, Wanted
from advisor.demand.values import Unit
from advisor.errors import InputError, NotDeployable
from advisor.models.encoder_answers import answer_servers, needs_own_server

__all__ = ["check_wanted", "checkpoint_of", "container_of", "engine_of", "planned_engine"]


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
    _check_unit(engine, request)
    _check_answer(engine, request)
    if not wanted.image:
        check_deployable(serves, ENGINES[engine].catalog_name(request))
    return ENGINES[engine].container(request)


def _check_unit(engine: Engine, request: Request) -> None:
    """Refuse an engine that answers requests of another unit.

    Raises:
        InputError: with what the engine serves.
    """
    unit = request.demand.unit
    if engine is not Engine.CUSTOM and unit not in (served := served_units(engine)):
        needed = ", ".join(sorted(other.value for other in Engine if unit in served_units(other)))
        raise refusal(
            request.serves,
            f"{engine.value} serves {' and '.join(served)}, and the plan is of {unit}",
            f"--engine {needed} serve them" if needed else "take --engine custom with --image",
        )


def _check_answer(engine: Engine, request: Request) -> None:
    """Refuse an engine that gives no such answer to texts.

    Raises:
        InputError: with what gives it.
    """
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

    Raises:
        InputError: an image that is no reference of one, or a custom engine without an image.
    """
    if wanted.engine is Engine.CUSTOM and not wanted.image:
        raise InputError("a custom engine needs an image", hint="name it with --image REPOSITORY@sha256:DIGEST")
    if wanted.image:
        try:
            image_reference(wanted.image)
        except ValueError as error:
            hint = "expected REPOSITORY:TAG or REPOSITORY@sha256:DIGEST"
            raise InputError(str(error), where="--image", hint=hint) from error


def engine_of(serves: Serves, wanted: Wanted) -> Engine:
    """The engine that the user wants, or else the planned one.

    Raises:
        NotDeployable: the planned engine is none that this program can write.
    """
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
