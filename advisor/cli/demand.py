"""``advisor demand``: a trace of any size reduced to a small file."""

from pathlib import Path

import click

from advisor.cli.output import deliver, output_option
from advisor.cli.progress import Progress
from advisor.demand.summary import summary_json
from advisor.demand.trace import tally_trace


@click.group(name="demand")
def command() -> None:
    """Summarise a request trace into a small file to plan from."""


@command.command()
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--source", default="", help="Where the trace is from, in words; default: its file name.")
@click.option("--attribution", default="", help="What the trace's licence asks to be said.")
@output_option
def summarise(trace: Path, source: str, attribution: str, output: Path | None) -> None:
    """Count TRACE (CSV: timestamp, input tokens, output tokens) by minute and by length.

    The result holds no request, only counts; name it in a workload as `demand: {summary: FILE}`.
    """
    with Progress("requests read") as progress:
        tally = tally_trace(trace, progress)
    deliver(summary_json(tally, source or f"trace {trace.name}", attribution), output)
