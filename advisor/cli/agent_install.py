"""``advisor agent install``: what runs the agent on a host, in a cluster or in a container."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from difflib import unified_diff
from functools import wraps
from pathlib import Path

import click

from advisor.atomic_files import make_directory, write_text
from advisor.cli.durations import duration_between
from advisor.codegen.agent_files import (
    ACCELERATORS,
    DEFAULT_BASE_IMAGE,
    DEFAULT_DIRECTORY,
    AgentRun,
    container_files,
    kubernetes_files,
    systemd_files,
)
from advisor.durations import format_duration
from advisor.errors import InputError

_INTERVALS = duration_between(timedelta(milliseconds=100), timedelta(hours=1))


@click.group(name="install")
def install() -> None:
    """Write what runs the agent; prints it unless told where to write.

    Nothing is started or changed on this machine.
    """


def _writes_files(command: Callable[..., Mapping[str, str]]) -> Callable[..., None]:
    """A command that returns files, with the options that all of them have and the care that writing takes."""

    @click.option(
        "--output", type=click.Path(file_okay=False, path_type=Path), help="Directory to write to; default: print."
    )
    @click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
    @click.option("--force", is_flag=True, help="Replace files that were changed.")
    @click.option(
        "--directory",
        default=DEFAULT_DIRECTORY,
        show_default=True,
        metavar="PATH",
        help="Where the agent keeps samples.",
    )
    @click.option(
        "--interval", type=_INTERVALS, default="1s", show_default=True, metavar="SPAN", help="Between readings."
    )
    @click.option(
        "--engine", "engines", multiple=True, metavar="URL", help="Metrics page of a serving engine, repeatable."
    )
    @click.option("--outlet", "outlets", multiple=True, metavar="COMMAND", help="Gets every record, repeatable.")
    @wraps(command)
    def run(
        output: Path | None,
        dry_run: bool,
        force: bool,
        directory: str,
        interval: timedelta,
        engines: Sequence[str],
        outlets: Sequence[str],
        host: str | None = None,
        **options: object,
    ) -> None:
        agent = AgentRun(directory, format_duration(interval), tuple(engines), tuple(outlets), host)
        _deliver(command(agent, **options), output, dry_run=dry_run, force=force)

    return run


@install.command()
@_writes_files
@click.option("--program", metavar="PATH", help="Path of advisor there; default: that of this one.")
@click.option(
    "--accelerator",
    "accelerators",
    multiple=True,
    default=["nvidia"],
    show_default=True,
    type=click.Choice([*ACCELERATORS, "none"]),
    help="Whose devices it may open, repeatable.",
)
@click.option("--user", metavar="NAME", help="Existing user to run as; default: one that systemd makes up.")
@click.option(
    "--network", "networks", multiple=True, metavar="CIDR", help="What it may reach beside this host, repeatable."
)
@click.option("--host", metavar="NAME", help="Name to record; default: that of the host.")
def systemd(
    agent: AgentRun, program: str | None, accelerators: Sequence[str], user: str | None, networks: Sequence[str]
) -> Mapping[str, str]:
    """A hardened systemd unit: no root, no privileges, no devices but the accelerators'."""
    vendors = [accelerator for accelerator in accelerators if accelerator != "none"]
    return systemd_files(agent, program or _this_program(), vendors, user, networks)


@install.command()
@_writes_files
@click.option("--image", required=True, metavar="NAME", help="Container image with the agent.")
@click.option("--claim", metavar="NAME", help="ReadWriteMany claim for samples; default: a directory of the node.")
@click.option(
    "--accelerator",
    type=click.Choice(["nvidia", "none"]),
    default="nvidia",
    show_default=True,
    help="What nodes have; none: only engines are read.",
)
def kubernetes(agent: AgentRun, image: str, claim: str | None, accelerator: str) -> Mapping[str, str]:
    """A DaemonSet: no root, no privileges, nothing of the API."""
    return kubernetes_files(agent, image, claim, accelerators=accelerator != "none")


@install.command()
@_writes_files
@click.option("--base-image", default=DEFAULT_BASE_IMAGE, show_default=True, metavar="NAME", help="Image with Python.")
@click.option("--host", metavar="NAME", help="Name to record; default: that of the container.")
def container(agent: AgentRun, base_image: str) -> Mapping[str, str]:
    """A Containerfile: no root, no secrets, the base image a variable."""
    return container_files(agent, base_image)


def _this_program() -> str:
    found = shutil.which("advisor", path=str(Path(sys.executable).parent)) or shutil.which("advisor")
    if found is None:
        raise InputError(
            "this advisor is not installed as a program", where="--program", hint="give its path on the host"
        )
    return found


def _deliver(files: Mapping[str, str], output: Path | None, *, dry_run: bool, force: bool) -> None:
    """Print files, or write them and say so; what somebody changed is shown and kept, unless force is used."""
    if output is None:
        click.echo("\n".join(files.values()), nl=False)
        return
    changed = {path: text for name, text in files.items() if _differs(path := output / name, text)}
    for path, text in changed.items():
        click.echo("".join(_difference(path, text)), err=True, nl=False)
    if changed and not (force or dry_run):
        raise InputError(
            "this file was changed, and is left as it is",
            where=", ".join(str(path) for path in changed),
            hint="take what you need from the difference above, or replace it with --force",
        )
    for name, text in files.items():
        if not dry_run:
            make_directory(output)
            write_text(output / name, text)
        click.echo(f"{'would write' if dry_run else 'wrote'} {output / name}", err=True)


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") != text
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"cannot look at what is there: {reason}", where=str(path)) from error


def _difference(path: Path, text: str) -> Sequence[str]:
    there = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return list(unified_diff(there, text.splitlines(keepends=True), str(path), f"{path} (new)"))
