"""``advisor agent doctor``: what can be seen on this machine, what cannot, and how to mend it.

The JSON is an object::

    schema    "advisor.agent.doctor/v1"
    findings  list, one for each thing looked at:
        subject   nvml, amd, neuron, gaudi, tpu, an engine's address, sources, directory, clock
        state     ok, limited (some of it is not to be seen), broken, absent (not on this machine), unknown
        sees      what is there, in a line
        troubles  list of {what, mend}; mend is "" where nothing can be done
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from advisor.samples.doctor.accelerators import accelerator_findings
from advisor.samples.doctor.surroundings import clock, directory, engine_findings
from advisor.samples.doctor.values import Finding, Machine, State, Trouble

SCHEMA = "advisor.agent.doctor/v1"


def main(arguments: Sequence[str], program: str) -> int:
    """Print the findings; the exit status: 1 where something is broken.

    Raises:
        InputError: an address is no URL.
    """
    given = _parser(program).parse_args(arguments)
    sources = [*accelerator_findings(Machine(given.root)), *engine_findings(given.engines)]
    findings = [*sources, *_nothing_to_read(sources), directory(given.directory), clock()]
    sys.stdout.write(f"{_as_json(findings) if given.format == 'json' else _as_text(findings)}\n")
    return int(any(finding.state is State.BROKEN for finding in findings))


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Say what each source can see, what it cannot see, and how to mend it. A driver that hangs does "
        "not hold it up. Exit code 1: something is broken.",
    )
    add = parser.add_argument
    add(
        "--engine", action="append", default=[], dest="engines", metavar="URL",
        help="metrics page of a serving engine, repeatable",
    )  # fmt: skip
    add("--directory", type=Path, default=Path("samples"), metavar="DIR", help="where the agent is to write")
    add("--format", choices=("table", "json"), default="table", help="default: %(default)s")
    add("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    return parser


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
    entries = [asdict(finding) for finding in findings]
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
