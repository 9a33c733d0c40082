"""No result is written over a file that it is made from, whatever the command and the name of the file."""

import importlib
import json
import os
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from advisor.cli.app import COMMANDS, advisor
from advisor.cli.output import ResultOption
from audit.bills import Charge, hours, write_focus

WORKLOAD = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [fp8]
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand: {summary: demand.json}
providers: [aws]
regions: [us-east-1]
instance_types: [g6e.xlarge]
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a file of each kind; those whose content plays no part are not sound."""
    rows = "".join(f"{second},500,100\n" for second in range(0, 7200, 2))
    (tmp_path / "trace.csv").write_text(f"timestamp,input_tokens,output_tokens\n{rows}")
    (tmp_path / "workload.yaml").write_text(WORKLOAD)
    write_focus(tmp_path / "bill.csv", hours(Charge(), 3))
    for name in ("plan.json", "other.json", "cases.csv", "text.md", "case.yaml", "programme.json", "lock.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "bills").mkdir()
    write_focus(tmp_path / "bills/one.csv", hours(Charge(), 3))
    made = CliRunner().invoke(
        advisor, ["demand", "summarise", f"{tmp_path}/trace.csv", "-o", f"{tmp_path}/demand.json"]
    )
    assert made.exit_code == 0, made.output
    return tmp_path


def refused(folder, arguments, output):
    """Run a command whose output is one of its inputs; all files stay as they are."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    words = [str(folder / word) if (folder / word).exists() else word for word in arguments.split()]
    done = CliRunner().invoke(advisor, [*words, str(folder / output)])
    told = str(done.exception) + done.output
    assert getattr(done.exception, "exit_code", done.exit_code) == 2, told
    assert f"the output {folder / output} is an input of this run" in told
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ("audit bill.csv -o", "bill.csv"),
        ("audit bills -o", "bills/one.csv"),
        ("audit bill.csv --hosts cases.csv -o", "cases.csv"),
        ("audit bill.csv --requests trace.csv -o", "trace.csv"),
        ("case case.yaml -o", "case.yaml"),
        ("check plan.json -o", "plan.json"),
        ("check plan.json --demand demand.json -o", "demand.json"),
        ("calibrate cases.csv --export", "cases.csv"),
        ("catalog lock plan.json -o", "plan.json"),
        ("catalog publish aws --sign-key text.md -o", "text.md"),
        ("demand summarise trace.csv -o", "trace.csv"),
        ("demand cache trace.csv -o", "trace.csv"),
        ("diff plan.json other.json --output", "other.json"),
        ("explain plan.json -o", "plan.json"),
        ("fit --batch cases.csv -o", "cases.csv"),
        ("predict --batch cases.csv -o", "cases.csv"),
        ("levers workload.yaml -o", "workload.yaml"),
        ("levers workload.yaml -o", "demand.json"),
        ("price plan.json -o", "plan.json"),
        ("programme --plan plan.json --levers other.json --start 2026-12-01 -o", "other.json"),
        ("recommend workload.yaml --format json -o", "workload.yaml"),
        ("recommend workload.yaml --format json -o", "demand.json"),
        ("recommend workload.yaml --lock lock.json --format json -o", "lock.json"),
        ("replay plan.json trace.csv -o", "trace.csv"),
        ("report plan.json -o", "plan.json"),
        ("review bill.csv --programme programme.json --since 2026-10-01 -o", "programme.json"),
    ],
)
def test_no_input_is_written_over(folder, arguments, output):
    """Files of the command line, of folders and of the workload are refused before the work is done, with exit 2."""
    if "report" in arguments:  # which makes pages alone
        (folder / "plan.json").rename(folder / "plan.html")
        arguments, output = arguments.replace("plan.json", "plan.html"), "plan.html"
    refused(folder, arguments, output)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_an_input_is_no_place_for_the_result(folder, link):
    """Symbolic and hard links, in either place."""
    link(folder / "trace.csv", folder / "linked.csv")

    refused(folder, "demand summarise trace.csv -o", "linked.csv")
    refused(folder, "demand summarise linked.csv -o", "trace.csv")


def test_a_plan_takes_the_place_of_the_one_before(folder):
    """As in CI: ``--previous plan.json -o plan.json``; the next run has another output, and reads that plan."""
    plan = str(folder / "made.json")
    arguments = ["recommend", str(folder / "workload.yaml"), "--format", "json", "-o", plan]
    for before in ((), ("--previous", plan), ("--previous", os.path.relpath(plan))):
        done = CliRunner().invoke(advisor, [*arguments, *before])
        assert done.exit_code == 0, f"{done.exception} {done.output}"
        assert json.loads((folder / "made.json").read_text())["schema"] == "advisor.plan/v1"
    done = CliRunner().invoke(advisor, ["report", plan, "-o", str(folder / "page.html")])
    assert done.exit_code == 0, f"{done.exception} {done.output}"


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command, or those of a group, with their full names."""
    if isinstance(command, click.Group):
        for each, part in command.commands.items():
            yield from commands(part, f"{name} {each}")
    else:
        yield name, command


def test_every_option_for_a_file_that_is_written_guards_it():
    """A new command cannot forget it: what writes one file uses ``output_option``, or ``cls=ResultOption``."""
    modules = [importlib.import_module(f"advisor.cli.{name.replace('-', '_')}") for name in COMMANDS]
    for name, command in (each for module in modules for each in commands(module.command, module.command.name)):
        for option in command.params:
            takes_files = isinstance(option.type, click.Path) and option.type.file_okay
            if takes_files and {"-o", "--output", "--export"} & set(option.opts):
                assert isinstance(option, ResultOption), f"{name}: make {option.opts[-1]} a ResultOption"
