"""``advisor explain``, as a user runs it."""

import json
import re
import shlex
from pathlib import Path

import pytest

from advisor.pipeline import plan_for
from advisor.plan.fleet.chosen import ConstraintUse
from advisor.report.verdict import plan_table
from advisor.report.words import use_words
from advisor.workload.values import Limits, Slo
from builders import catalog_of, offer, workload

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_advisor):
    """A folder with the plan of examples/chat and nothing else."""
    folder = tmp_path_factory.mktemp("explain")
    done = run_advisor("recommend", "examples/chat/workload.yaml", "--format", "json", "-o", folder / "plan.json")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def plan(folder):
    """The plan that is explained."""
    return json.loads((folder / "plan.json").read_text())


def test_a_plan_explains_itself(folder, plan, run_advisor):
    """Without options it shows the fleet, what it takes of each limit by name, and the next instance type."""
    done = run_advisor("explain", "plan.json", cwd=folder)
    told_text = " ".join(done.stdout.split())
    told = json.loads(run_advisor("explain", "plan.json", "--format", "json", cwd=folder).stdout)["plan"]

    assert done.returncode == 0, done.stderr
    assert plan["fleet"]["groups"][0]["instance_type"] in done.stdout
    for use in plan["fleet"]["constraints"]:
        assert use_words(ConstraintUse(**use)) in told_text
    assert told["total_usd_per_month"] == plan["fleet"]["cost"]["total_usd_per_month"]
    assert told["fleet"] == plan["fleet"]
    assert told["runner_up"]["option"]["instance_type"] != plan["recommended"]["instance_type"]


def test_an_empty_name_is_an_unknown_type(folder, run_advisor):
    """It is no question that was not asked."""
    done = run_advisor("explain", "plan.json", "--why", "", cwd=folder)

    assert (done.returncode, done.stdout) == (1, "")
    assert "--why: unknown instance type: ''" in done.stderr


def test_an_accelerator_is_answered_with_its_types(folder, run_advisor):
    """Whoever asks about L40S learns which types have it."""
    done = run_advisor("explain", "plan.json", "--why", "l40s", cwd=folder)

    assert done.returncode == 1
    assert "it is an accelerator: name one of its types, " in done.stderr
    assert "g6e.xlarge" in done.stderr


def test_the_types_of_an_accelerator_are_not_those_of_another_whose_name_begins_so(folder, run_advisor):
    """A10 is no A100; H100 is every form of it."""
    of_a10, of_h100 = (
        run_advisor("explain", "plan.json", "--why", name, cwd=folder).stderr for name in ("A10", "H100")
    )

    assert "Standard_NV36ads_A10_v5" in of_a10
    assert "A100" not in of_a10
    assert "p5.4xlarge" in of_h100


@pytest.mark.sampled(3)
def test_a_type_that_is_sold_at_an_unknown_price_is_explained_in_words(folder, run_advisor):
    """It is neither said to be too dear nor to be unable to serve; its rejection says what would lift it."""
    done = run_advisor("explain", "plan.json", "--why", "a4-highgpu-8g", cwd=folder)
    told = json.loads(
        run_advisor("explain", "plan.json", "--why", "a4-highgpu-8g", "--format", "json", cwd=folder).stdout
    )

    assert done.stdout.startswith("a4-highgpu-8g cannot be compared: sold, price unknown\n")
    assert "price_unknown" in done.stdout
    assert "lifted by price.a4-highgpu-8g=USD per hour" in " ".join(done.stdout.split())
    assert told["why"]["contender"] is None


@pytest.mark.sampled(3)
def test_everything_can_be_asked_at_once(folder, run_advisor):
    """A what-if is answered first, and the others answer for the changed question."""
    asked = ("--what-if", "slo.tpot_p95=30ms,demand=2x", "--why", "g6e.xlarge", "--pareto", "slo.tpot_p95")
    told = json.loads(run_advisor("explain", "plan.json", *asked, "--format", "json", cwd=folder).stdout)

    assert list(told) == ["schema", "what_if", "why", "pareto"]
    assert [change["key"] for change in told["what_if"]["changes"]] == ["slo.tpot_p95", "demand"]
    assert told["what_if"]["before"]["recommended"] is not None
    assert {one["target"]: one["stated_ms"] for one in told["why"]["targets"]}["tpot_p95"] == 30
    assert [(front["target"], front["stated_ms"]) for front in told["pareto"]] == [("tpot_p95", 30)]


@pytest.mark.sampled(3)
def test_markdown_has_a_heading_and_a_table(folder, run_advisor):
    """The front as Markdown is a table under a heading."""
    done = run_advisor("explain", "plan.json", "--pareto", "slo.ttft_p95", "--format", "markdown", cwd=folder)

    assert done.stdout.startswith("## Cost against TTFT p95")
    assert "| target |" in done.stdout


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("--why", "g6e.xlrge"), 1, "did you mean g6e.xlarge"),
        (("--what-if", "slo.tpot=1ms"), 1, "did you mean slo.tpot_p95"),
        (("--region", "us-east-1"), 2, "give --why"),
        (("--pareto", "slo.tpot"), 2, "slo.tpot_p95"),
    ],
)
def test_what_cannot_be_asked_is_refused(folder, run_advisor, arguments, code, expected):
    """A name that is not known, or an option out of place, is answered with what would do."""
    done = run_advisor("explain", "plan.json", *arguments, cwd=folder)

    assert done.returncode == code
    assert expected in done.stderr


def test_a_plan_of_other_facts_is_said_to_be_one(plan, run_advisor, tmp_path):
    """Where the catalog has changed since, the answer says so."""
    plan = plan | {"provenance": plan["provenance"] | {"catalog_hash": "sha256:0"}}
    (tmp_path / "old.json").write_text(json.dumps(plan))
    done = run_advisor("explain", "old.json", cwd=tmp_path)

    assert done.returncode == 0
    assert "another catalog" in done.stderr


@pytest.mark.sampled(3)
def test_the_page_shows_what_the_program_prints(folder, run_advisor):
    """Of each command that docs/explain.md shows it has the lines of the answer in their order, but for those left out."""
    page = (ROOT / "docs" / "explain.md").read_text()
    blocks = re.findall(r"^```\n\$ advisor (explain .*)\n((?:.*\n)*?)```$", page, re.MULTILINE)

    assert len(blocks) >= 4
    for command, shown in blocks:
        done = run_advisor(*shlex.split(command), cwd=folder)
        told = iter(done.stdout.splitlines())
        assert done.returncode == 0, command
        for line in shown.splitlines():
            assert line == "…" or line in told, f"{command}: {line}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"slo": Slo(ttft_p95_ms=1.0)}, r"The fastest candidate, g6e.xlarge fp8, has TTFT p95 \d+"),
        (
            {"slo": Slo(tpot_p95_ms=0.5)},
            r"The fastest candidate, g6e.xlarge fp8, has TPOT p95 [\d.]+ ms with no other load",
        ),
        (
            {"limits": Limits(max_usd_per_month=1)},
            r"No fleet that was found costs at most \$1 a month \(limits\.max_usd_per_month\): the cheapest costs \$[\d,.]+\.\n",
        ),
    ],
)
def test_a_target_below_the_physical_minimum_is_answered_with_it(changes, expected):
    """The report names the shortest latency of all candidates where a target is below it, and only there."""
    plan = plan_for(workload(**changes), catalog_of(offer("g6.xlarge"), offer("g6e.xlarge", on_demand=1.86)))

    assert re.search(expected, plan_table(plan, width=None))
