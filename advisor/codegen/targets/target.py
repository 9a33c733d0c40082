"""Target: a way of running containers on a cloud, how its code is rendered, and what hosts and entrances ask of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from advisor.catalog.values import Price
from advisor.codegen.container import Backend, Container, Language, Quota
from advisor.codegen.model import ComputeGroup, Stack
from advisor.codegen.quotas import quotas_needed
from advisor.codegen.rendering import render
from advisor.records import dataclass, field, replace

_KEY = "/etc/inference/key.pem"
_CERTIFICATE = "/etc/inference/certificate.pem"
_STOP_MARGIN_SECONDS = 30
_KILL_SECONDS = 5
_CACHE = "/root/.cache"
"""Where a container finds the disk of its host that outlives it."""


def container_facts(backend: Backend) -> Mapping[str, object]:
    """Facts of a backend's container that hosts and services of containers are given, by their names in templates."""
    container = backend.container
    return {
        "engine": backend.pin,
        "weight": backend.weight,
        "image": container.image,
        "model": container.checkpoint.model_id,
        **({"commit": container.commit} if container.commit else {}),
        "checkpoint": container.checkpoint.needed,
        "command": list(container.command),
        "model_option": container.model_option,
    }


def entrypoint_of(container: Container) -> list[str]:
    """The program of a container in place of that of its image; [] where the image's own serves."""
    return [container.entrypoint] if container.entrypoint else []


def backend_facts(
    backend: Backend, host_port: int, key: str = _KEY, certificate: str = _CERTIFICATE
) -> Mapping[str, object]:
    """The plan's side of a backend on hosts, under the names that templates and programs use.

    Args:
        backend: what answers.
        host_port: port that its container answers at.
        key: path of the key, where the engine speaks TLS itself.
        certificate: path of the certificate.
    """
    container = backend.container
    variables = _variables(container, host_port)
    return {
        "region": backend.region,
        **container_facts(backend),
        "arguments": list(_serving_arguments(container, host_port, key, certificate)),
        "revision_option": container.revision_option,
        "docker_arguments": [
            *container.device_arguments,
            *(f"--env={name}={value}" for name, value in variables.items()),
            *(f"--entrypoint={program}" for program in entrypoint_of(container)),
        ],
        "health_path": container.health_path,
    }


def _variables(container: Container, host_port: int) -> Mapping[str, str]:
    """The variables of a container on a host, whose cache outlives it."""
    given = {
        container.compiled_environment: f"{_CACHE}/{container.compiled_folder}",
        container.cache_environment: f"{_CACHE}/{container.cache_folder}",
        container.port_environment: f"{host_port}",
    }
    return {**container.environment, **{name: value for name, value in given.items() if name}}


def obstacle_to_hosts(stack: Stack) -> str:
    """Why hosts behind a load balancer cannot serve *stack*; empty when they can."""
    if any(group.is_serverless for group in stack.groups):
        return "a serverless group has no hosts"
    if any(backend.container.tls_options is None for backend in stack.backends):
        return "the engine speaks plain HTTP only, and the way to the hosts has to be encrypted"
    return ""


def stop_times(stack: Stack) -> Mapping[str, int]:
    """Seconds that a host's service has to stop, and of them those for a drained container to end by itself."""
    return {"stop_seconds": stack.load_balancer.drain_seconds + _STOP_MARGIN_SECONDS, "kill_seconds": _KILL_SECONDS}


def _serving_arguments(container: Container, host_port: int, key: str, certificate: str) -> tuple[str, ...]:
    """Arguments of the plan with the port, and the paths of key and certificate where the engine speaks TLS itself."""
    port = [f"{container.port_option}{host_port}"] if container.port_option else []
    paths = zip(container.tls_options or (), (key, certificate), strict=False)
    return (*container.arguments, *container.adapter_arguments, *port, *(f"{option}{path}" for option, path in paths))


ENTRANCE_HEALTH = "/entrance/health"
"""Path by which an entrance says that it works, and something behind it too."""
ENTRANCE_ALIVE = "/entrance/alive"
"""Path by which an entrance says that it works, whatever is behind it."""
_LARGEST_WEIGHT = 256
"""Of a server in HAProxy."""


class Weighted(Protocol):
    """A backend or a group."""

    @property
    def region(self) -> str:
        """Region that it answers in."""

    @property
    def weight(self) -> int:
        """Per mille of all requests."""


def entrance_weight(places: Sequence[Weighted], place: Weighted) -> int:
    """Weight of a place among those of its region as HAProxy takes it, 0 to 256; all are equal where all are 0."""
    largest = max(other.weight for other in places if other.region == place.region)
    if largest == 0:
        return 1
    return 0 if place.weight == 0 else max(1, round(_LARGEST_WEIGHT * place.weight / largest))


def health_path(stack: Stack, region: str) -> str:
    """Path that all engines of a region answer health checks at."""
    return _health_paths(stack, region)[0]


def obstacle_to_entrances(stack: Stack) -> str:
    """Why the engines of a region cannot stand behind one entrance; empty when they can."""
    for region in stack.regions:
        if len(_health_paths(stack, region.name)) > 1:
            return f"engines in {region.name} answer health checks at different paths, and share an entrance"
    return ""


def _health_paths(stack: Stack, region: str) -> list[str]:
    return sorted({backend.container.health_path for backend in stack.backends if backend.region == region})


CHECK_OF_PODS = "kubectl --context CONTEXT --namespace {name} get pods --selector inference/group={key}"
Files = Mapping[str, str]
"""Relative path → text."""
Render = Callable[[Stack], Files]


def in_each(files: Callable[[Language, Stack], Files]) -> Mapping[Language, Render]:
    """Renderers of a target that is written in every language."""
    return {language: partial(files, language) for language in Language}


def templated(
    folder: str,
    facts_of: Callable[[Stack], Mapping[str, Any]],
    without: Callable[[Stack], Collection[str]] = lambda _stack: (),
) -> Mapping[Language, Render]:
    """Renderers of a target that is its templates and no more.

    Args:
        folder: of the templates, in each language.
        facts_of: values that they use beside the stack.
        without: templates that a stack does not need.
    """
    return in_each(lambda language, stack: render(language, folder, stack, facts_of(stack), without=without(stack)))


def nothing_against(_stack: Stack) -> str:
    """A target that takes every stack of its provider."""
    return ""


def against_adapters(stack: Stack, what: str) -> str:
    """Why *what* takes no LoRA adapters, where the stack has any; empty where it has none."""
    has_adapters = any("--enable-lora" in backend.container.arguments for backend in stack.backends)
    return f"no code is generated that gives LoRA adapters to a {what}" if has_adapters else ""


class Paid(NamedTuple):
    """Basis of what a group costs on a service with prices of its own."""

    what: str
    """Service, accelerator and size, in words."""
    price: Price | None
    """Of a container or an instance by the hour; None: the catalog has none."""
    is_planned: bool
    """The plan counts it at that price."""


@dataclass(frozen=True, slots=True)
class Target:
    """Place where containers run."""

    name: str
    """As in ``--target``."""
    provider: str
    """Cloud; "": all others, on whose clusters the nodes are the user's to make."""
    title: str
    """For people, such as ``EC2 Auto Scaling``."""
    renderers: Mapping[Language, Render] = field(hash=False)
    """How the code of each language is written."""
    check: str
    """Command that shows whether the instances of a group serve, with ``{name}``, ``{region}``, ``{key}``."""
    obstacle: Callable[[Stack], str] = nothing_against
    """Why a stack cannot run there; empty when it can."""
    completed: Callable[[Stack], Stack] = lambda stack: stack
    """Stack, in the stage of its cut-over, with what the target adds to cost and cautions of the plan."""
    paid: Callable[[ComputeGroup], Paid] | None = None
    """How a group is paid for; None: as the machines of the plan."""
    own_quotas: Callable[[Stack], tuple[Quota, ...]] | None = None
    """Quotas of its service, in the stage of its cut-over; None: those of machines."""
    takes_cache: bool = False
    """Code is written for a response cache in front of the fleet, from ``cache_place`` among its templates."""
    takes_turns: bool = False
    """Its nodes hand out a GPU to several pods that take turns on it."""
    divides_by_mps: bool = False
    """Its nodes hand out equal parts of a GPU to several pods by MPS."""
    is_cluster: bool = False
    """Containers run on Kubernetes, in whichever form is asked for."""

    def with_quotas(self, stack: Stack) -> Stack:
        """The stack with the quotas that its groups need here, which all sections of its README name."""
        own = self.own_quotas
        quotas = own(stack) if own is not None else quotas_needed(stack.provider, self.name, stack.groups)
        return replace(stack, summary=replace(stack.summary, quotas=quotas))
