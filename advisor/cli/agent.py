"""``advisor agent``: what runs on inference hosts, and what installs it there."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from difflib import unified_diff
from functools import wraps
from pathlib import Path
from typing import Any

import click

from advisor.atomic_files import make_directory, write_text
from advisor.cli.options import FOLDER, duration_between
from advisor.codegen.agent_files import (
    DEFAULT_BASE_IMAGE,
    DEFAULT_DIRECTORY,
    DEFAULT_PROGRAM,
    AgentRun,
    Pods,
    alert_files,
    container_files,
    hiding_folder,
    kubernetes_files,
    systemd_files,
)
from advisor.errors import InputError
from advisor.records import fields
from advisor.samples.agent.command import COMMANDS, run
from advisor.samples.agent.compaction import HELP as UPLOAD_HELP
from advisor.samples.agent.settings import HELP as LABEL_HELP
from advisor.samples.agent.settings import INTERVALS
from advisor.samples.sources import ACCELERATORS
from advisor.units import format_duration

_NONE = "none"
_LONGEST_FIRST_LINE = 256
"""Bytes of a script's first line that the kernel looks at."""


@click.group(name="install")
def install() -> None:
    """Print or write what runs the agent. Nothing is started or changed on this machine."""


def _writes_files(command: Callable[..., Mapping[str, str]]) -> Callable[..., None]:
    """A command that returns files, with the options that all of them have and the care that writing takes."""

    @click.option("--output", type=FOLDER, help="Directory to write to; default: print.")
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
        "--interval",
        type=duration_between(*INTERVALS),
        default="1s",
        show_default=True,
        metavar="SPAN",
        help="Between readings.",
    )
    @click.option(
        "--engine", "engines", multiple=True, metavar="URL", help="Metrics page of a serving engine, repeatable."
    )
    @click.option("--page", metavar="ADDRESS:PORT", help="Show the newest rows there, to a collector on the host.")
    @click.option("--page-tls", nargs=3, metavar="CERTIFICATE KEY CLIENT_AUTHORITY", help="PEM files on the host.")
    @click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help=f"{LABEL_HELP.capitalize()}.")
    @click.option("--keep-days", type=click.IntRange(1), metavar="DAYS", help="Days that are kept; default: all.")
    @click.option("--upload", metavar="URL", help=f"W{UPLOAD_HELP[1:]}.")
    @wraps(command)
    def run(
        output: Path | None,
        dry_run: bool,
        force: bool,
        interval: timedelta,
        page_tls: Sequence[str] | None,
        **options: Any,  # noqa: ANN401 - fields of the agent's task, and options of the command
    ) -> None:
        task = {each.name: options.pop(each.name) for each in fields(AgentRun) if each.name in options}
        agent = AgentRun(**task, interval=format_duration(interval), page_tls=tuple(page_tls or ()))
        _deliver(command(agent, **options), output, dry_run=dry_run, force=force)

    return run


@install.command()
@_writes_files
@click.option(
    "--program", default=DEFAULT_PROGRAM, show_default=True, metavar="PATH", help="The agent on the host, or advisor."
)
@click.option(
    "--accelerator",
    "accelerators",
    multiple=True,
    default=["nvidia"],
    show_default=True,
    type=click.Choice([*ACCELERATORS, _NONE]),
    help="Whose devices it may open, repeatable.",
)
@click.option("--user", metavar="NAME", help="Existing user to run as; default: one that systemd makes up.")
@click.option(
    "--network", "networks", multiple=True, metavar="CIDR", help="What it may reach beside this host, repeatable."
)
@click.option("--host", metavar="NAME", help="Name to record; default: that of the host.")
def systemd(
    agent: AgentRun, program: str, accelerators: Sequence[str], user: str | None, networks: Sequence[str]
) -> Mapping[str, str]:
    """A hardened systemd unit: no root, no privileges, no devices but the accelerators'."""
    vendors = [accelerator for accelerator in accelerators if accelerator != _NONE]
    files = systemd_files(agent, program, vendors, user, networks)
    for trouble in program_troubles(Path(program)):
        click.echo(f"warning: {program}: {trouble}", err=True)
    return files


@install.command()
@_writes_files
@click.option("--image", required=True, metavar="NAME", help="Container image with the agent.")
@click.option("--program", default=DEFAULT_PROGRAM, show_default=True, metavar="PATH", help="The agent in the image.")
@click.option("--claim", metavar="NAME", help="ReadWriteMany claim for samples; default: a directory of the node.")
@click.option(
    "--accelerator",
    type=click.Choice(["nvidia", _NONE]),
    default="nvidia",
    show_default=True,
    help="What nodes have; none: one pod reads the engines that are named.",
)
@click.option(
    "--runtime-class",
    default="nvidia",
    show_default=True,
    metavar="NAME",
    help="Gives pods the driver; none: the node's runtime does.",
)
@click.option(
    "--node-selector",
    "selectors",
    multiple=True,
    default=["nvidia.com/gpu.present=true"],
    show_default=True,
    metavar="KEY=VALUE",
    help="Nodes to run on, repeatable; none: every node.",
)
@click.option("--host", metavar="NAME", help="Name that a pod for engines records.")
def kubernetes(
    agent: AgentRun,
    image: str,
    program: str,
    claim: str | None,
    accelerator: str,
    runtime_class: str,
    selectors: Sequence[str],
) -> Mapping[str, str]:
    """A DaemonSet for accelerators, or one pod for engines: nothing of the API, no privileges."""
    pods = Pods(
        image,
        program,
        claim,
        accelerator != _NONE,
        None if runtime_class == _NONE else runtime_class,
        tuple(_selector(text) for text in selectors if text != _NONE),
    )
    return kubernetes_files(agent, pods)


@install.command()
@_writes_files
@click.option("--base-image", default=DEFAULT_BASE_IMAGE, show_default=True, metavar="NAME", help="Image with Python.")
@click.option("--host", metavar="NAME", help="Name to record; default: that of the container.")
def container(agent: AgentRun, base_image: str) -> Mapping[str, str]:
    """A Containerfile: no root, no secrets, the base image a variable."""
    return container_files(agent, base_image)


@install.command()
@click.option("--output", type=FOLDER, help="Directory to write to; default: print.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--force", is_flag=True, help="Replace files that were changed.")
def alerts(output: Path | None, dry_run: bool, force: bool) -> None:
    """Prometheus rules for agents that are gone, lose rows, cannot write or miss readings."""
    _deliver(alert_files(), output, dry_run=dry_run, force=force)


def program_troubles(program: Path) -> list[str]:
    """Why the unit could not run a program that is on this machine; nothing where it is not here.

    A program of a virtual environment is run by an interpreter elsewhere, which the unit must reach too.
    """
    try:
        begin = program.open("rb").readline(_LONGEST_FIRST_LINE)
    except OSError:
        return []
    needed = [program, *([Path(begin[2:].decode(errors="replace").strip())] if begin.startswith(b"#!/") else [])]
    folders = {path.resolve(): folder for path in needed if (folder := hiding_folder(str(path.resolve())))}
    hidden = [f"it needs {path}, and the unit hides {folder} from itself" for path, folder in folders.items()]
    closed = [path.resolve() for path in needed if not _is_open_to_all(path.resolve())]
    return hidden + [f"only some users may run {path}; the unit's is another" for path in closed]


def _is_open_to_all(path: Path) -> bool:
    """Whether any user may run a program and go through the folders to it."""
    try:
        return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))
    except OSError:
        return False


def _selector(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise InputError(f"{text!r} selects no nodes", where="--node-selector", hint="write KEY=VALUE, or none")
    return key, value


def _deliver(files: Mapping[str, str], output: Path | None, *, dry_run: bool, force: bool) -> None:
    """Print files, or write them and say so; what somebody changed is shown and kept, unless force is used."""
    if output is None:
        click.echo("\n".join(files.values()), nl=False)
        return
    changed = {path: text for name, text in files.items() if _differs(path := output / name, text)}
    for path, text in changed.items():
        there, new = (content.splitlines(keepends=True) for content in (path.read_text(encoding="utf-8"), text))
        click.echo("".join(unified_diff(there, new, str(path), f"{path} (new)")), err=True, nl=False)
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
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"cannot look at what is there: {reason}", where=str(path)) from error


@click.group(name="agent")
def command() -> None:
    """Collect accelerator samples on an inference host."""


def _forwarded(name: str, summary: str) -> click.Command:
    """A command of the agent's own command line, which the slim distribution has too."""

    def forward(arguments: tuple[str, ...]) -> None:
        sys.exit(run(name, arguments, "advisor agent"))

    return click.Command(
        name,
        callback=forward,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        add_help_option=False,
        short_help=summary,
    )


for _name, _command in COMMANDS.items():
    command.add_command(_forwarded(_name, _command.summary))
command.add_command(install)
