"""What installs the agent: a systemd unit, a Kubernetes manifest, a Containerfile, from ``templates/agent``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from advisor.codegen.quoting import image_reference, ip_network
from advisor.codegen.templates import fill
from advisor.errors import InputError
from advisor.samples.bounded_http import parse_address

UNIT = "advisor-agent"
DEFAULT_DIRECTORY = "/var/lib/advisor-agent"
CONTAINER_UID = "65532"
"""A user that no base image has."""
DEFAULT_BASE_IMAGE = "python:3.13-slim-trixie"
ACCELERATORS: Mapping[str, Sequence[str]] = {
    "nvidia": ("char-nvidia", "char-nvidiactl", "char-nvidia-frontend", "char-nvidia-caps", "char-nvidia-uvm"),
    "amd": ("char-kfd", "char-drm"),
    "neuron": ("char-neuron",),
    "gaudi": ("char-accel", "char-habanalabs"),
    "tpu": ("char-accel", "char-vfio"),
}
"""Kinds of devices (names as in ``/proc/devices``) that a vendor's library opens."""
_GROUPS: Mapping[str, Sequence[str]] = {"amd": ("video", "render")}
_FOLDER = "agent"
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_CLAIM = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class AgentRun:
    """What the agent is to do, wherever it runs."""

    directory: str = DEFAULT_DIRECTORY
    """Where it writes, as an absolute path."""
    interval: str = "1s"
    engines: tuple[str, ...] = ()
    """Addresses of metrics pages."""
    outlets: tuple[str, ...] = ()
    """Command lines that get every record."""
    host: str | None = None
    """Name to record; None: that of the machine."""

    def arguments(self) -> tuple[str, ...]:
        """Of ``advisor agent run``."""
        return (
            f"--output={self.directory}",
            f"--interval={self.interval}",
            *(f"--engine={engine}" for engine in self.engines),
            *(f"--outlet={outlet}" for outlet in self.outlets),
            *([f"--host={self.host}"] if self.host is not None else []),
            "--quiet",
        )


def systemd_files(
    run: AgentRun, program: str, accelerators: Sequence[str], user: str | None, networks: Sequence[str]
) -> Mapping[str, str]:
    """The unit, as name → text.

    Args:
        run: what it does.
        program: path of ``advisor``.
        accelerators: vendors whose devices it may open.
        user: existing user to run as; None: one that systemd makes up.
        networks: what it may reach beside this machine, such as ``10.0.0.0/8``.

    Raises:
        InputError: a value cannot stand in a unit.
    """
    if user is None and run.directory != DEFAULT_DIRECTORY:
        raise InputError(
            f"without a user the agent can only write to {DEFAULT_DIRECTORY}",
            where=run.directory,
            hint="name a user that owns the directory: --user NAME",
        )
    if user is not None and (not _USER.fullmatch(user) or user == "root"):
        raise InputError(f"'{user}' is no name of an unprivileged user", where="--user")
    known = {
        "unit": UNIT,
        "command": (_absolute(program, "--program"), "agent", "run", *_checked(run).arguments()),
        "user": user,
        "directory": run.directory,
        "groups": sorted({group for accelerator in accelerators for group in _GROUPS.get(accelerator, ())}),
        "devices": sorted({device for accelerator in accelerators for device in ACCELERATORS[accelerator]}),
        "networks": _checked_networks(networks),
    }
    return {f"{UNIT}.service": fill(_FOLDER, "systemd.service.j2", known)}


def kubernetes_files(run: AgentRun, image: str, claim: str | None, *, accelerators: bool) -> Mapping[str, str]:
    """The manifest, as name → text.

    Args:
        run: what it does; the host is always the name of the node.
        image: to run.
        claim: name of a ReadWriteMany claim for the samples; None: the directory of the node.
        accelerators: whether nodes have NVIDIA accelerators; else only engines are read.

    Raises:
        InputError: a value cannot stand in a manifest.
    """
    if claim is not None and not _CLAIM.fullmatch(claim):
        raise InputError(f"'{claim}' is no name of a claim", where="--claim")
    if run.host is not None:
        raise InputError("each pod records the name of its node", where="--host", hint="leave it out")
    if not accelerators and not run.engines:
        raise InputError("there is nothing to read", where="--accelerator", hint="name an engine: --engine URL")
    known = {
        "unit": UNIT,
        "uid": CONTAINER_UID,
        "image": _image(image, "--image"),
        "claim": claim,
        "accelerators": accelerators,
        "arguments": _checked(run).arguments(),
        "directory": run.directory,
    }
    return {f"{UNIT}.yaml": fill(_FOLDER, "daemonset.yaml.j2", known)}


def container_files(run: AgentRun, base_image: str) -> Mapping[str, str]:
    """The Containerfile, as name → text.

    Raises:
        InputError: a value cannot stand in it.
    """
    known = {
        "uid": CONTAINER_UID,
        "make_directory": ("install", "--directory", f"--owner={CONTAINER_UID}", "--mode=0750", run.directory),
        "base_image": _image(base_image, "--base-image"),
        "arguments": _checked(run).arguments(),
        "directory": run.directory,
    }
    return {"Containerfile": fill(_FOLDER, "Containerfile.j2", known)}


def _checked(run: AgentRun) -> AgentRun:
    _absolute(run.directory, "--directory")
    for engine in run.engines:
        if parse_address(engine, "/metrics").authorization is not None:
            raise InputError("a password in this file could be read by others", where="--engine", hint="leave it out")
    for text in run.arguments():
        if "\0" in text:
            raise InputError("a command line cannot hold a NUL", where=text.partition("=")[0])
    return run


def _absolute(path: str, where: str) -> str:
    """*path* itself; systemd takes no quotes and backslashes in one, however they are written."""
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or not path.isprintable() or set(path) & set("\"'\\"):
        raise InputError(f"{path!r} is no absolute path without quotes and backslashes", where=where)
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
            raise InputError(f"{text!r} is no network", where="--network", hint="such as 10.0.0.0/8") from error
    return networks
