"""``advisor serve``: a plan as a page with controls, on loopback."""

import asyncio
import stat
import string
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli.options import FILE

if TYPE_CHECKING:
    import socket

_DEFAULT_PORT = 8400
_FEWEST_CHARACTERS = 16
_TOKEN = frozenset(string.ascii_letters + string.digits + "-._~+/=")


@click.command(name="serve")
@click.argument("source", type=FILE, metavar="[WORKLOAD|PLAN.json]", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=_DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0: any that is free.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; one that others reach takes --token-file.",
)
@click.option(
    "--token-file",
    type=FILE,
    help="File that holds a token of 16 characters or more, which every request has to bring.",
)
@click.option(
    "--ahead/--no-ahead",
    default=True,
    show_default=True,
    help="Plan one step of load and SLO ahead while nobody asks, so that the next step is there at once.",
)
def command(source: Path | None, port: int, host: str, token_file: Path | None, ahead: bool) -> None:
    """Serve the page of `advisor report` with controls: load, SLO, purchase, precisions and regions.

    Each change is planned anew by the planner of `advisor recommend`, and the page shows nothing that is not
    confirmed as its plans are. The changed workload file, the plan and its Terraform can be downloaded. Without
    WORKLOAD (a YAML file) or PLAN.json, a workload is pasted into the first page.

    Only this machine reaches the server, unless --host says otherwise, which takes a token.
    """
    from advisor.reading import read_text  # noqa: PLC0415 - help shows without it
    from advisor.serve.guard import is_loopback, listening  # noqa: PLC0415

    if token_file is None and not is_loopback(host):
        raise click.UsageError(f"--host {host} is reached by others: give --token-file FILE beside it")
    token = _token(token_file) if token_file else ""
    given = None if source is None else (read_text(source, "workload"), source)
    with suppress(KeyboardInterrupt), listening(host, port) as listener:
        _serve(listener, (host, token), given, plans_ahead=ahead)
    click.echo("stopped", err=True)


def _serve(
    listener: "socket.socket", door: tuple[str, str], given: tuple[str, Path] | None, *, plans_ahead: bool
) -> None:
    """Serve where *listener* listens: host and token of *door*, text and file of what is *given*."""
    from advisor.atomic_files import ended_in_order  # noqa: PLC0415 - help shows without it
    from advisor.catalog import load_catalog  # noqa: PLC0415 - a port in use is told without it
    from advisor.cli.served import warn_of_holdings, warn_of_layers  # noqa: PLC0415
    from advisor.serve import Source  # noqa: PLC0415
    from advisor.serve.app import serve  # noqa: PLC0415
    from advisor.serve.guard import Doors  # noqa: PLC0415

    load_catalog()
    warn_of_layers()
    warn_of_holdings()
    host, token = door
    doors = Doors(host, listener.getsockname()[1], token)
    source = Source(*given, is_own=True) if given else None
    if source is not None:
        click.echo(f"planning for {source.path} …", err=True)
    with ended_in_order():  # so that the socket of the planning processes is removed on SIGTERM too
        asyncio.run(serve(listener, doors, source, click.echo, plans_ahead=plans_ahead))


_OF_OTHERS = stat.S_IROTH | stat.S_IWOTH


def _token(path: Path) -> str:
    from advisor.errors import InputError  # noqa: PLC0415 - as above
    from advisor.reading import read_text  # noqa: PLC0415

    make = "make one: (umask 077; openssl rand -hex 32 > FILE)"
    token = read_text(path, "token", make).strip()
    if path.is_file() and path.stat().st_mode & _OF_OTHERS:
        click.echo(f"warning: {path}: others on this machine may read the token: chmod 600 it", err=True)
    if len(token) < _FEWEST_CHARACTERS or not _TOKEN.issuperset(token):
        raise InputError(
            f"the token is shorter than {_FEWEST_CHARACTERS} characters, or holds what no header can",
            where=str(path),
            hint=make,
        )
    return token
