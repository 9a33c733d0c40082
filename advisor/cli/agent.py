"""``advisor agent``: samples of this host's accelerators, for as long as it runs."""

import socket
from datetime import timedelta
from pathlib import Path

import click

from advisor.cli.agent_doctor import doctor
from advisor.cli.agent_install import install
from advisor.cli.agent_status import status
from advisor.cli.durations import LONGEST, duration_between, format_duration
from advisor.samples.agent import run_agent
from advisor.samples.nvml import NvmlSource
from advisor.samples.signals import StoppableClock
from advisor.samples.store import SampleWriter

_SHORTEST_INTERVAL = timedelta(milliseconds=100)
"""Drivers renew their counters about six times a second."""
_LONGEST_INTERVAL = timedelta(hours=1)


@click.group(name="agent")
def command() -> None:
    """Collect accelerator samples on an inference host."""


for _subcommand in (install, status, doctor):
    command.add_command(_subcommand)


@command.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("samples"),
    show_default=True,
    help="Directory to write to; hosts and runs may share one.",
)
@click.option(
    "--interval",
    type=duration_between(_SHORTEST_INTERVAL, _LONGEST_INTERVAL),
    default="1s",
    show_default=True,
    metavar="SPAN",
    help="Time between two readings, such as 500ms, 1s or 2m.",
)
@click.option(
    "--duration",
    type=duration_between(_SHORTEST_INTERVAL, LONGEST),
    metavar="SPAN",
    help="Stop after this time, such as 10m; default: run until stopped.",
)
@click.option("--host", default=socket.gethostname, show_default="name of this host", help="Name to record.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
def run(output: Path, interval: timedelta, duration: timedelta | None, host: str, quiet: bool) -> None:
    """Read every accelerator at a steady interval and keep the readings as Parquet files.

    Stops on Ctrl-C or SIGTERM with everything written. A reading that was missed is recorded as a gap, never as zero.
    """

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    with StoppableClock() as clock:
        source = NvmlSource(host)
        try:
            writer = SampleWriter(output, host, interval, clock.now())
            until = f"for {format_duration(duration)}" if duration else "until Ctrl-C"
            say(f"sampling {source.describe()} on {host}: every {format_duration(interval)} into {output}, {until}")
            summary = run_agent(source, writer, clock, interval, duration, say)
        finally:
            source.close()
    say(
        f"wrote {summary.samples:,} samples and {summary.missed_readings:,} missed readings "
        f"in {writer.files_written:,} files to {output}"
    )
