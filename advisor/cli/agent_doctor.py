"""``advisor agent doctor``: what can be seen on this machine, what cannot, and how to mend it.

The JSON is an object::

    schema    "advisor.agent.doctor/v1"
    findings  list, one for each thing looked at:
        subject   nvml, amd, neuron, gaudi, tpu, an engine's address, sources, directory, clock
        state     ok, limited (some of it is not to be seen), broken, absent (not on this machine), unknown
        sees      what is there, in a line
        troubles  list of {what, mend}; mend is "" where nothing can be done
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from advisor.samples.doctor.accelerators import accelerator_findings
from advisor.samples.doctor.surroundings import clock, directory, engine_findings
from advisor.samples.doctor.values import Finding, Machine, State, Trouble

SCHEMA = "advisor.agent.doctor/v1"


@click.command()
@click.option("--engine", "engines", multiple=True, metavar="URL", help="Metrics page of a serving engine, repeatable.")
@click.option(
    "--directory",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("samples"),
    show_default=True,
    help="Where the agent is to write.",
)
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="How to show the result.",
)  # fmt: skip
@click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True, help="Where the system's files are."
)
def doctor(engines: Sequence[str], folder: Path, output_format: str, root: Path) -> None:
    """Say what each source can see, what it cannot see, and how to mend it.

    A driver that hangs does not hold it up. Exit code 1: something is broken.
    """
    sources = [*accelerator_findings(Machine(root)), *engine_findings(engines)]
    findings = [*sources, *_nothing_to_read(sources), directory(folder), clock()]
    click.echo(_as_json(findings) if output_format == "json" else _as_text(findings))
    if any(finding.state is State.BROKEN for finding in findings):
        sys.exit(1)


def _nothing_to_read(sources: Sequence[Finding]) -> list[Finding]:
    """A finding of its own where there is no source at all."""
    if any(finding.state is not State.ABSENT for finding in sources):
        return []
    mend = (
        "install the driver of the accelerators; in a container, start it with access to them; "
        "or name a serving engine: --engine URL"
    )
    return [Finding("sources", State.BROKEN, "nothing to read", (Trouble("no accelerator, no serving engine", mend),))]


def _as_json(findings: Sequence[Finding]) -> str:
    entries = [
        {
            "subject": finding.subject,
            "state": finding.state,
            "sees": finding.sees,
            "troubles": [{"what": trouble.what, "mend": trouble.mend} for trouble in finding.troubles],
        }
        for finding in findings
    ]
    return json.dumps({"schema": SCHEMA, "findings": entries}, indent=2, ensure_ascii=False)


def _as_text(findings: Sequence[Finding]) -> str:
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<8} {finding.subject:<{width}}  {finding.sees}")
        for trouble in finding.troubles:
            lines.append(f"{'':<8} {'':<{width}}  - {trouble.what}")
            lines += [f"{'':<8} {'':<{width}}    mend: {trouble.mend}"] if trouble.mend else []
    return "\n".join(lines)
