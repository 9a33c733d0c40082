"""Files that install the agent: a systemd unit, a Kubernetes manifest, a Containerfile, from ``templates/agent``."""

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from advisor.codegen.quoting import image_reference, ip_network, label_key
from advisor.codegen.templates import fill
from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.samples.agent.compaction import parse_bucket_url
from advisor.samples.agent.page_server import PageAddress
from advisor.samples.agent.settings import parse_labels
from advisor.samples.bounded_http import parse_address
from advisor.samples.places import checked_host
from advisor.samples.sources import ACCELERATORS

UNIT = "advisor-agent"
HOME = "/opt/advisor-agent"
"""Where the documentation installs the agent, and a container has it."""
DEFAULT_PROGRAM = f"{HOME}/bin/inference-advisor-agent"
RUNTIME_DIRECTORY = "/run/advisor-agent"
DEFAULT_DIRECTORY = "/var/lib/advisor-agent"
CONTAINER_UID = "65532"
"""A user that no base image has."""
DEFAULT_BASE_IMAGE = "python:3.13-slim-trixie"
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - the unit hides them
"""What ``ProtectHome`` and ``PrivateTmp`` hide from a unit."""
_MAKE_DIRECTORY = 'test -d "$1" || exec install --directory --owner="$2" --mode=0750 "$1"'
_WHOLE_PROGRAM = "advisor"
"""Name of the program that has the agent as ``advisor agent``."""
_FOLDER = "agent"
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_OBJECT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class AgentRun:
    """Task of the agent, wherever it runs."""

    directory: str = DEFAULT_DIRECTORY
    """Where it writes, as an absolute path."""
    interval: str = "1s"
    engines: tuple[str, ...] = ()
    """Addresses of metrics pages."""
    page: str | None = None
    """Address and port where the newest rows are shown."""
    page_tls: tuple[str, ...] = ()
    """Files of certificate, key and client authority, where it runs."""
    host: str | None = None
    """Name to record; None: that of the machine."""
    labels: tuple[str, ...] = ()
    """Static labels, as ``NAME=VALUE``."""
    keep_days: int | None = None
    """Whole days before today that are kept; None: all."""
    upload: str | None = None
    """Bucket that finished days go to; None: nowhere."""

    def arguments(self) -> tuple[str, ...]:
        """Arguments of ``advisor agent run``."""
        return (
            f"--output={self.directory}",
            f"--interval={self.interval}",
            *(f"--engine={engine}" for engine in self.engines),
            *([f"--page={self.page}"] if self.page is not None else []),
            *(["--page-tls", *self.page_tls] if self.page_tls else []),
            *(f"--label={label}" for label in self.labels),
            *([f"--keep-days={self.keep_days}"] if self.keep_days is not None else []),
            *([f"--upload={self.upload}"] if self.upload is not None else []),
            *([f"--host={self.host}"] if self.host is not None else []),
            "--quiet",
        )


@dataclass(frozen=True, slots=True)
class Pods:
    """How the agent runs in a cluster."""

    image: str
    program: str = DEFAULT_PROGRAM
    """Path of the agent in the image."""
    claim: str | None = None
    """Name of a ReadWriteMany claim for the samples; None: the directory of the node."""
    accelerators: bool = True
    """Whether nodes have NVIDIA accelerators; else only engines are read, by one pod."""
    runtime_class: str | None = "nvidia"
    """None: the runtime of the node is NVIDIA's by default."""
    node_selector: tuple[tuple[str, str], ...] = (("nvidia.com/gpu.present", "true"),)


def hiding_folder(path: str) -> str | None:
    """The folder that the unit hides, and that a path lies in; None: it can be reached."""
    return next((folder for folder in _HIDDEN if PurePosixPath(path).is_relative_to(folder)), None)


def systemd_files(
    run: AgentRun, program: str, accelerators: Sequence[str], user: str | None, networks: Sequence[str]
) -> Mapping[str, str]:
    """The unit, as name → text.

    *user*: existing user to run as; None: one that systemd makes up. *networks*: what it may reach beside this machine,
    such as ``10.0.0.0/8``. Raises InputError if a value cannot stand in a unit.
    """
    if user is None and run.directory != DEFAULT_DIRECTORY:
        raise InputError(
            f"without a user the agent can only write to {DEFAULT_DIRECTORY}",
            where=run.directory,
            hint="name a user that owns the directory: --user NAME",
        )
    arguments = _checked(run).arguments()
    if not networks and (elsewhere := _elsewhere(run)) is not None:
        option, what = elsewhere
        raise InputError(
            f"the unit reaches this host alone, and {what} is elsewhere",
            where=option,
            hint="name what it may reach: --network 10.0.0.0/8, or 0.0.0.0/0",
        )
    if user is not None and (not _USER.fullmatch(user) or user == "root"):
        raise InputError(f"'{user}' is not the name of an unprivileged user", where="--user")
    words = ("agent", "run") if PurePosixPath(program).name == _WHOLE_PROGRAM else ("run",)
    context = {
        "unit": UNIT,
        "program": _reachable(_absolute(program, "--program"), "--program"),
        "command": (program, *words, *arguments),
        "make_directory": ("/bin/sh", "-c", _MAKE_DIRECTORY, "sh", run.directory, user or ""),
        "user": user,
        "directory": _reachable(run.directory, "--directory"),
        "groups": sorted({group for accelerator in accelerators for group in ACCELERATORS[accelerator].groups}),
        "devices": sorted({device for accelerator in accelerators for device in ACCELERATORS[accelerator].devices}),
        "networks": _checked_networks(networks),
    }
    return {f"{UNIT}.service": fill(_FOLDER, "systemd.service.j2", context)}


def _elsewhere(run: AgentRun) -> tuple[str, str] | None:
    """The first option that needs another machine, and what is there; None: this host is enough."""
    if run.upload is not None:
        return "--upload", "the bucket"
    if run.page is not None and not _is_here(run.page):
        return "--page", "who reads the page"
    engine = next((engine for engine in run.engines if not _is_here(parse_address(engine, "/metrics").authority)), None)
    return None if engine is None else ("--engine", parse_address(engine, "/metrics").shown)


def _is_here(authority: str) -> bool:
    """Whether a host, perhaps with a port, is the loopback."""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def kubernetes_files(run: AgentRun, pods: Pods) -> Mapping[str, str]:
    """The manifest, as name → text: a DaemonSet for accelerators, a Deployment of one pod for engines.

    *run*: what it does; the host of an accelerator is always the name of its node. Raises InputError if a value cannot
    stand in a manifest, or engines would be read by more than one pod.
    """
    for name, option, what in (
        (pods.claim, "--claim", "a claim"),
        (pods.runtime_class, "--runtime-class", "a runtime class"),
    ):
        if name is not None and not _OBJECT.fullmatch(name):
            raise InputError(f"'{name}' is not the name of {what}", where=option)
    for key, _ in pods.node_selector:
        try:
            label_key(key)
        except ValueError as error:
            raise InputError(str(error), where="--node-selector", hint="write KEY=VALUE") from error
    (_check_node_run if pods.accelerators else _check_engine_run)(run, pods)
    if not pods.accelerators:
        run = replace(run, host=run.host or f"{UNIT}-engines")
    context = {
        "unit": UNIT if pods.accelerators else f"{UNIT}-engines",
        "uid": CONTAINER_UID,
        "image": _image(pods.image, "--image"),
        "program": _absolute(pods.program, "--program"),
        "claim": pods.claim,
        "uploads": run.upload is not None,
        "accelerators": pods.accelerators,
        "runtime_class": pods.runtime_class if pods.accelerators else None,
        "node_selector": pods.node_selector if pods.accelerators else (),
        "arguments": _checked(run).arguments(),
        "directory": run.directory,
        "runtime": RUNTIME_DIRECTORY,
    }
    return {f"{context['unit']}.yaml": fill(_FOLDER, "kubernetes.yaml.j2", context)}


def _check_node_run(run: AgentRun, _: Pods) -> None:
    if run.host is not None:
        raise InputError("each pod records the name of its node", where="--host", hint="leave it out")
    if run.engines:
        raise InputError(
            "every node would read this engine, and its requests would count once for each node",
            where="--engine",
            hint="read engines through the Prometheus that scrapes them (demand.prometheus), or by one pod: "
            "--accelerator none --engine URL",
        )


def _check_engine_run(run: AgentRun, pods: Pods) -> None:
    if not run.engines:
        raise InputError("there is nothing to read", where="--accelerator", hint="name an engine: --engine URL")
    if pods.claim is None:
        raise InputError(
            "this pod runs on one node now and on another later, and samples in a directory of a node stay behind",
            where="--accelerator none",
            hint="name a claim for them: --claim NAME",
        )


def container_files(run: AgentRun, base_image: str) -> Mapping[str, str]:
    """The Containerfile, as name → text. Raises InputError if a value cannot stand in it."""
    context = {
        "uid": CONTAINER_UID,
        "make_directory": ("install", "--directory", f"--owner={CONTAINER_UID}", "--mode=0750", run.directory),
        "base_image": _image(base_image, "--base-image"),
        "has_parquet": run.upload is not None,
        "entry_point": (DEFAULT_PROGRAM, "run"),
        "home": HOME,
        "runtime": RUNTIME_DIRECTORY,
        "arguments": _checked(run).arguments(),
        "directory": run.directory,
    }
    return {"Containerfile": fill(_FOLDER, "Containerfile.j2", context)}


def alert_files() -> Mapping[str, str]:
    """Prometheus rules that tell of agents in trouble, as name → text."""
    return {f"{UNIT}-alerts.yaml": fill(_FOLDER, "alerts.yaml.j2", {})}


def _checked(run: AgentRun) -> AgentRun:
    _absolute(run.directory, "--directory")
    parse_labels(run.labels)
    if run.host is not None:
        checked_host(run.host)
    if run.page is not None:
        PageAddress.parse(run.page, run.page_tls)
    for path in run.page_tls:
        _absolute(path, "--page-tls")
    if run.upload is not None:
        parse_bucket_url(run.upload)
    for engine in run.engines:
        if parse_address(engine, "/metrics").authorization is not None:
            raise InputError("a password in this file could be read by others", where="--engine", hint="leave it out")
    return run


def _absolute(path: str, where: str) -> str:
    """*path* itself; systemd takes no quotes and backslashes in one, however they are written."""
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or not path.isprintable() or set(path) & set("\"'\\"):
        raise InputError(f"{path!r} is not an absolute path without quotes and backslashes", where=where)
    return path


def _reachable(path: str, where: str) -> str:
    """*path* itself; the unit sees no home and no temporary files of others."""
    if (folder := hiding_folder(path)) is not None:
        raise InputError(
            f"{path} lies in {folder}, which the unit hides from itself (ProtectHome, PrivateTmp)",
            where=where,
            hint=f"install it at {HOME}, and keep samples below /var/lib or /srv",
        )
    return path


def _image(text: str, where: str) -> str:
    try:
        return image_reference(text)
    except ValueError as error:
        raise InputError(str(error), where=where, hint="such as NAME:TAG") from error


def _checked_networks(networks: Sequence[str]) -> Sequence[str]:
    for text in networks:
        try:
            ip_network(text)
        except ValueError as error:
            raise InputError(f"{text!r} is not a network", where="--network", hint="such as 10.0.0.0/8") from error
    return networks
