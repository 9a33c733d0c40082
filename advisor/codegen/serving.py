"""The serving container of a group: which engine, and what it is told."""

from advisor.codegen.deployability import check_deployable
from advisor.codegen.engines import ENGINES, Request, exact_version
from advisor.codegen.engines.checkpoints import checkpoint_of
from advisor.codegen.model import Container, Platform, Serves
from advisor.codegen.quoting import image_reference
from advisor.codegen.wanted import Engine, Wanted
from advisor.errors import InputError

__all__ = ["check_wanted", "checkpoint_of", "container_of", "engine_of", "planned_engine"]


def container_of(serves: Serves, model: str, platform: Platform, wanted: Wanted) -> Container:
    """The container that serves *model* on *serves*.

    Raises:
        InputError: the engine does not serve this precision or layout on this accelerator; the message says why.
        NotDeployable: no published image serves it so on this machine.
    """
    check_wanted(wanted)
    engine = engine_of(serves, wanted)
    # The version of another engine says nothing about this one.
    version = exact_version(serves.engine_version) if engine is planned_engine(serves) else ""
    request = Request(serves, model, platform, wanted.image, version)
    if not wanted.image:
        check_deployable(serves, ENGINES[engine].catalog_name(request))
    return ENGINES[engine].container(request)


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
        InputError: the planned engine is none that this program can write.
    """
    engine = wanted.engine or planned_engine(serves)
    if engine is None:
        raise InputError(f"no container is generated for the engine {serves.engine!r}", hint="choose one with --engine")
    return engine


def planned_engine(serves: Serves) -> Engine | None:
    """The engine of the plan; None when it is none that this program can write."""
    planned = serves.engine.lower()
    return next((engine for engine in Engine if engine is not Engine.CUSTOM and planned.startswith(engine.value)), None)
