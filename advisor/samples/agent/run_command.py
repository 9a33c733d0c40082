"""``advisor agent run``: samples of this host's accelerators and serving engines, for as long as it runs."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from advisor.errors import InputError
from advisor.samples.agent.compaction import HELP, can_compact, parse_bucket_url
from advisor.samples.agent.page_server import DEFAULT_ADDRESS, PageAddress
from advisor.samples.agent.processes import bare_interpreter
from advisor.samples.agent.settings import HELP as LABEL_HELP
from advisor.samples.agent.settings import INTERVALS, STOP_SIGNALS, VARIABLE, Settings, parse_labels
from advisor.samples.agent.supervised import Asked
from advisor.samples.places import checked_host
from advisor.samples.sources import SOURCES, detect
from advisor.units import LONGEST, parse_duration_between

_AUTO = "auto"
_MICROSECOND = timedelta(microseconds=1)


def main(arguments: Sequence[str], program: str) -> int:
    """Turn into the agent; returns only when that is impossible. Raises InputError if a value cannot be used."""
    os.environ[VARIABLE] = _settings(arguments, program).as_argument()
    command = bare_interpreter("advisor.samples.agent.__main__")
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal to stop that comes while the interpreter starts waits until the agent can end in order.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    # The agent stays for weeks: it goes on without what the command line needed.
    os.execv(command[0], command)  # noqa: S606 - the interpreter that runs this


def _settings(arguments: Sequence[str], program: str) -> Settings:
    given = _parser(program).parse_args(arguments)
    if given.page is not None:
        PageAddress.parse(given.page, given.page_tls)
    if given.upload is not None:
        parse_bucket_url(given.upload)
        if not can_compact():
            hint = "pip install 'inference-advisor-agent[parquet]'"
            raise InputError("uploading needs pyarrow, which is not installed here", where="--upload", hint=hint)
    return Settings(
        output=str(given.output),
        host=checked_host(given.host),
        sources=asked_sources(given.sources or [_AUTO], given.engines),
        interval_us=given.interval // _MICROSECOND,
        duration_us=None if given.duration is None else given.duration // _MICROSECOND,
        quiet=given.quiet,
        page=given.page,
        page_tls=tuple(given.page_tls),
        keep_days=given.keep_days,
        upload=given.upload,
        labels=parse_labels(given.labels),
    )


def asked_sources(sources: Sequence[str], engines: Sequence[str]) -> tuple[Asked, ...]:
    """Sources of ``--source`` and ``--engine``, each once. Raises InputError if one is unknown, or not here."""
    names = [name for text in sources for name in (detect() if text == _AUTO else [text])]
    addresses: dict[str, list[str]] = {name: [] for name in names}
    if engines:
        addresses["engines"] = list(engines)
    for name in addresses:
        if name not in SOURCES:
            raise InputError(
                f"{name!r} is not a source", where="--source", hint=f"one of {_AUTO}, {', '.join(SOURCES)}"
            )
    if "engines" in addresses and not engines:
        raise InputError("the source engines needs an address", where="--source", hint="name it: --engine URL")
    if not addresses:
        raise InputError(
            "no driver of an accelerator on this host (NVIDIA: libnvidia-ml.so.1)",
            hint="install the driver; in a container, start it with GPU access (docker run --gpus all); or name a "
            "serving engine with --engine URL",
        )
    return tuple(Asked(name, tuple(dict.fromkeys(urls))) for name, urls in addresses.items())


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        allow_abbrev=False,
        description="Read every accelerator, and every serving engine named, at a steady interval; keep rows of "
        "fifteen seconds. Stops on Ctrl-C or SIGTERM with everything written. A missed reading is a gap, never zero.",
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("samples"), metavar="DIR", help="where to write; hosts may share one")
    add(
        "--interval",
        type=_span(*INTERVALS),
        default=timedelta(seconds=1),
        metavar="SPAN",
        help="between readings, up to 15s",
    )
    add(
        "--duration",
        type=_span(INTERVALS[0], LONGEST),
        metavar="SPAN",
        help="stop after it, such as 10m; default: run until stopped",
    )
    add("--host", default=socket.gethostname(), metavar="NAME", help="name to record; default: that of this host")
    add(
        "--source", action="append", default=[], dest="sources", metavar="NAME",
        help=f"what to read, repeatable: {_AUTO} (default: what this host has), {', '.join(SOURCES)}",
    )  # fmt: skip
    add(
        "--engine", action="append", default=[], dest="engines", metavar="URL",
        help="metrics page of a serving engine, repeatable",
    )  # fmt: skip
    add(
        "--page", nargs="?", const=DEFAULT_ADDRESS, metavar="ADDRESS:PORT",
        help=f"show the newest rows to a Prometheus or collector on this machine; alone: {DEFAULT_ADDRESS}",
    )  # fmt: skip
    add(
        "--page-tls", nargs=3, default=(), metavar=("CERTIFICATE", "KEY", "CLIENT_AUTHORITY"),
        help="PEM files: show the page over TLS, to clients with a certificate of that authority",
    )  # fmt: skip
    add("--label", action="append", default=[], dest="labels", metavar="NAME=VALUE", help=LABEL_HELP)
    add("--keep-days", type=_days, metavar="DAYS", help="whole days before today that are kept; default: all")
    add("--upload", metavar="URL", help=HELP)
    add("--quiet", action="store_true", help="say nothing but errors")
    return parser


def _span(shortest: timedelta, longest: timedelta, why: str = "") -> Callable[[str], timedelta]:
    """Type of an argument that is a duration within bounds."""

    def parse(text: str) -> timedelta:
        try:
            return parse_duration_between(text, shortest, longest, why)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


def _days(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= LONGEST.days:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to {LONGEST.days}")
    return int(text)
