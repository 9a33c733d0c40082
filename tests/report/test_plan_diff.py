"""Two plans side by side: every number is one of the plans', a comment stays short, and nothing in it is markup of others."""

import json
import re
from dataclasses import asdict, replace
from functools import cache

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.cli.diff import command
from advisor.codegen import Language
from advisor.codegen.replacement import Replacement, replacement
from advisor.errors import InputError, NothingFeasible
from advisor.pipeline import plan_for
from advisor.plan.document import plan_to_json
from advisor.plan.fleet.chosen import Policy
from advisor.report.plan_diff import diff_json, diff_markdown, diff_table, headline, plan_diff
from advisor.workload.values import DeclaredDemand, Limits
from builders import catalog_of, offer, workload
from codegen.plans import make_fleet_plan, make_option
from codegen.plans import make_group as code_group
from report.plans import make_fleet, make_group, make_plan, mixed_plan, spot_plan

CATALOG = catalog_of(offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g6.xlarge", on_demand=0.8))


@cache
def planned(kind):
    """A plan of the real planner: cheap on spot, dear on demand, or none within its budget."""
    changes = {
        "spot": {},
        "on demand": {"purchase": (Purchase.ON_DEMAND,), "demand": DeclaredDemand(20, 40, 800, 200)},
        "infeasible": {"limits": Limits(max_usd_per_month=1.0)},
    }[kind]
    return plan_for(workload(**changes), CATALOG)


KINDS = ("spot", "on demand", "infeasible")


def cells(text, name):
    """Cells of a row of a Markdown table."""
    row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def renamed(plan, **workload):
    """The plan with other fields of its workload."""
    return replace(plan, workload={**plan.workload, **workload})


@pytest.mark.parametrize("after", KINDS)
@pytest.mark.parametrize("before", KINDS)
def test_the_parts_of_the_total_are_those_of_the_plans(before, after):
    """The JSON holds each plan's own numbers, and the difference of the two totals to the cent."""
    old, new = planned(before), planned(after)

    document = json.loads(diff_json(plan_diff(old, new), {}))

    for plan, side in ((old, document["before"]), (new, document["after"])):
        total = plan.fleet and plan.fleet.cost.total_usd_per_month
        assert side["usd_per_month"] == total
        if total is not None:
            assert sum(side["parts_usd_per_month"].values()) == pytest.approx(total, abs=0.02)
    more = document["usd_per_month_more"]
    if old.fleet and new.fleet:
        assert more == round(new.fleet.cost.total_usd_per_month - old.fleet.cost.total_usd_per_month, 2)
    else:
        assert more is None
    assert document["schema"] == "advisor.plan-diff/v1"


def test_the_least_share_is_compared_where_it_is_not_that_of_the_week():
    """Two plans of one share of the week differ where a failure leaves less of one; below the SLO that is a refusal."""
    plan = spot_plan()
    kept = replace(plan.fleet.confirmed, within_slo_ratio=0.999, busiest_within_slo_ratio=0.999)
    week = replace(kept, without_one_within_slo_ratio=None, without_part_within_slo_ratio=None)
    old, new = (
        replace(plan, fleet=replace(plan.fleet, confirmed=confirmed))
        for confirmed in (week, replace(week, without_one_within_slo_ratio=0.975))
    )

    text, document = diff_markdown(plan_diff(old, new), ()), json.loads(diff_json(plan_diff(old, new), {}))

    assert cells(text, "requests within the SLO")[1] == cells(text, "requests within the SLO")[2]
    assert cells(text, "the least of them")[1:] == ["99.9% in a week", "97.5% with one machine gone", "changed"]
    assert "has 97.5% of the requests within it with one machine gone, 99% are asked" in " ".join(text.split())
    assert (document["before"]["least_when"], document["after"]["least_within_slo_ratio"]) == ("", 0.975)
    assert "the least of them" not in diff_markdown(plan_diff(old, old), ())


def test_a_plan_does_not_differ_from_itself():
    """Nothing is marked as changed or asked differently, nor is what a previous plan runs."""
    plan = mixed_plan()
    again = replace(plan, workload=plan.workload | {"running": {"aws/us-east-1/g6e.xlarge": 2}})
    diff = plan_diff(plan, again)

    assert diff.usd_per_month_more == 0
    assert not diff.asked_differently
    assert "changed" not in diff_markdown(diff, ())
    assert headline(diff).endswith("as before")


def test_the_table_says_what_moved():
    """Fleet, cost, SLO margin, risk and evidence of both plans, in both formats."""
    old = make_plan(make_fleet(make_group(4)))
    new = make_plan(make_fleet(make_group(6, evidence="roofline", purchase="spot")))

    text = diff_markdown(plan_diff(old, new), ())

    assert cells(text, "fleet")[1].startswith("4 × g6e.xlarge on demand fp8")
    assert cells(text, "fleet")[2].startswith("6 × g6e.xlarge spot fp8")
    more = new.fleet.cost.total_usd_per_month - old.fleet.cost.total_usd_per_month
    assert cells(text, "USD a month")[3] == f"{more:+,.2f}"
    assert cells(text, "evidence")[1:3] == ["calibrated", "roofline"]
    assert "spot" in cells(text, "risk")[2]
    assert "of the target" not in text
    assert "g6e.xlarge" in diff_table(plan_diff(old, new), (), 80)


def test_a_latency_is_told_from_its_target():
    """Below or above it, by a share of it."""
    plan = make_plan(make_fleet(make_group(4)))
    tight = renamed(plan, slo={**plan.workload["slo"], "tpot_p95_ms": 40.0})

    row = cells(diff_markdown(plan_diff(plan, tight), ()), "TPOT p95")

    assert row[2] == "50.9 ms, 27% above the target"


def test_plans_of_different_workloads_are_compared_and_said_to_be_so():
    """Another name or another model; the fields that differ are listed."""
    plan = spot_plan()
    for other in (renamed(plan, name="code"), renamed(plan, model="Qwen/Qwen3-32B")):
        diff = plan_diff(plan, other)
        assert not diff.is_same_workload
        for text in (diff_markdown(diff, ()), diff_table(diff, (), 80)):
            assert "of different workloads" in text
    assert plan_diff(plan, renamed(plan, precisions=["int8"])).is_same_workload


def test_an_empty_list_says_what_it_stands_for():
    """Without named accelerators any may be planned; without excluded regions none is excluded."""
    old = renamed(spot_plan(), accelerators=["A100-40GB-SXM"], exclude={"regions": ["eu-west-1"]})
    text = diff_table(plan_diff(old, renamed(old, accelerators=[], exclude={"regions": []})), (), None)

    assert "accelerators: A100-40GB-SXM → any" in text
    assert "exclude.regions: eu-west-1 → none" in text


def test_a_plan_that_misses_the_slo_is_warned_of():
    """Before everything else."""
    plan = spot_plan()
    late = replace(plan, fleet=replace(plan.fleet, confirmed=replace(plan.fleet.confirmed, within_slo_ratio=0.5)))

    assert (
        "No fleet keeps the SLO in its replay: the closest, of the later plan, has 50%"
        in diff_markdown(plan_diff(plan, late), ()).splitlines()[2]
    )


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300) | st.sampled_from(
    [
        "@acme/team",
        "</td><script>alert(1)</script>",
        "| a | b |\n| --- | --- |",
        "[x](javascript:alert(1))",
        "\n\n# head\n\n",
    ]
)


@settings(max_examples=60)
@given(HOSTILE, HOSTILE, st.integers(1, 40), st.integers(0, 200))
def test_a_comment_is_short_and_holds_no_markup_of_others(name, model, groups, lines):
    """At most 60 lines whatever the plans hold; no mention, no HTML, no link, and every row has its four cells."""
    fleet = make_fleet(*(make_group(1, name=f"g{at}", instance_type=f"type-{at}") for at in range(groups)))
    old = make_plan(fleet)
    asked = {f"field{at}": at for at in range(lines)}
    new = renamed(old, name=name, model=model, **asked)
    code = Replacement(new=tuple(f"1 × {name} in {at}" for at in range(lines))).lines

    text = diff_markdown(plan_diff(old, new), code)

    assert len(text.splitlines()) <= 60
    assert re.search(r"@\w", text) is None
    assert "<" not in text.replace("\\<", "")
    assert "](" not in text.replace("\\]", "")
    widths = {line.replace("\\|", "").count("|") for line in text.split("\n") if line.startswith("| ")}
    assert widths in ({4}, {5}), "a column without a word is left out of every row"
    assert not [line for line in text.split("\n") if line.startswith("# ")]


@pytest.fixture
def files(tmp_path):
    """Write plans as files; their paths."""

    def write(*plans):
        paths = []
        for at, plan in enumerate(plans):
            path = tmp_path / f"{at}.json"
            path.write_text(plan if isinstance(plan, str) else plan_to_json(plan))
            paths.append(str(path))
        return paths

    return write


def test_a_plan_of_another_schema_is_refused_with_its_remedy(files):
    """Of an older one, a newer one, and an estate."""
    plan = plan_to_json(planned("spot"))
    for schema, words in (("v0", "make the plan again"), ("v9", "update this one")):
        old = plan.replace("advisor.plan/v1", f"advisor.plan/{schema}")
        for paths in (files(old, plan), files(plan, old)):
            done = CliRunner().invoke(command, paths)
            assert isinstance(done.exception, InputError)
            assert words in done.exception.hint
    done = CliRunner().invoke(command, files(plan, '{"schema": "advisor.estate/v1"}'))
    assert "two of a kind" in done.exception.hint


def test_a_plan_that_was_edited_is_compared_with_a_warning(files):
    """Its digest no longer fits."""
    plan = plan_to_json(planned("spot"))
    edited = json.dumps(json.loads(plan) | {"notes": ["edited"]})

    done = CliRunner().invoke(command, files(plan, edited))

    assert done.exit_code == 0, done.exception
    assert "the plan was edited" in done.output


@pytest.mark.parametrize("output_format", ["table", "markdown", "json"])
def test_the_command_compares_two_files(files, output_format):
    """In every format; a fleet of one side alone is compared, and ends as `advisor recommend` where the later has none."""
    done = CliRunner().invoke(command, [*files(planned("spot"), planned("infeasible")), "--format", output_format])
    back = CliRunner().invoke(command, [*files(planned("infeasible"), planned("spot")), "--format", output_format])

    assert isinstance(done.exception, NothingFeasible)
    assert back.exit_code == 0, back.exception
    assert "no fleet" in done.output or json.loads(done.output)["after"]["usd_per_month"] is None


@pytest.fixture(scope="module")
def catalog():
    """The catalog that comes with the package."""
    return load_catalog()


def test_code_says_what_an_apply_replaces(catalog):
    """Nothing for the same plan; sizes, machines, and groups that come and go."""

    def code(before, after):
        return replacement(*(_code_plan(*one) for one in (before, after)), Language.TERRAFORM, catalog)

    three, six, spot = {"instances": (3, 3)}, {"instances": (6, 6)}, {"instances": (3, 3), "purchase": "spot"}
    other = {"instances": (3, 3), "instance_type": "g6e.xlarge", "accelerator": "L40S"}
    far = {"instances": (3, 3), "region": "us-west-2"}

    assert code([three], [three]).lines == ("no file differs",)
    resized = code([three], [six])
    assert resized.resized == (("3 × g6.xlarge in us-east-1", "6 × g6.xlarge in us-east-1"),)
    assert not resized.replaced
    assert code([three], [spot]).replaced == (("3 × g6.xlarge in us-east-1", "3 × spot g6.xlarge in us-east-1"),)
    assert code([three], [other]).replaced == (("3 × g6.xlarge in us-east-1", "3 × g6e.xlarge in us-east-1"),)
    assert "fleet.tf" in code([three], [spot]).files
    replaced = "replaces: 3 × g6.xlarge in us-east-1 → 3 × spot g6.xlarge in us-east-1"
    assert code([three], [spot]).lines[0] == replaced
    compared = plan_diff(*(_code_plan(one) for one in (three, spot)))
    assert replaced in diff_markdown(compared, code([three], [spot]).lines)
    assert replaced in diff_table(compared, code([three], [spot]).lines, 80)
    written = json.loads(diff_json(compared, asdict(code([three], [spot]))))
    assert written["code"]["replaced"] == [["3 × g6.xlarge in us-east-1", "3 × spot g6.xlarge in us-east-1"]]
    assert code([three], [three, far]).new == ("3 × g6.xlarge in us-west-2",)
    assert code([three, far], [three]).retires == ("3 × g6.xlarge in us-west-2",)
    moved = code([three], [far])
    assert (moved.retires, moved.new) == (("3 × g6.xlarge in us-east-1",), ("3 × g6.xlarge in us-west-2",))
    assert "retires: 3 × g6.xlarge in us-east-1, beside the new ones until `--cut-over finish`" in moved.lines


def test_types_that_instances_no_longer_start_as_are_told(catalog):
    """Spot instances of a type that leaves the list are replaced; those of a list that grows are not."""
    plan = _code_plan({"instances": (3, 3), "purchase": "spot"})
    larger = make_option(rank=2, instance_type="g6.2xlarge", purchase="spot", usd_per_hour=0.7)
    wider = replace(plan, options=(*plan.options, larger))

    words = "3 × spot g6.xlarge in us-east-1"
    assert replacement(wider, plan, Language.TERRAFORM, catalog).replaced == (
        (words, f"{words}, no longer as g6.2xlarge"),
    )
    assert not replacement(plan, wider, Language.TERRAFORM, catalog).replaced


def _code_plan(*groups):
    """A plan of the tests of generated code; a group is what differs from a g6.xlarge in us-east-1."""
    share = round(1 / len(groups), 3)
    return make_fleet_plan(
        *(code_group(**{"request_shares": (share, share)} | group) for group in groups), policy=Policy.STATIC
    )


def test_code_for_another_workload_is_not_compared(catalog):
    """Its state is another one."""
    plan = _code_plan({"instances": (3, 3)})

    found = replacement(plan, renamed(plan, name="another"), Language.TERRAFORM, catalog)

    assert len(found.lines) == 1
    assert "not compared: the code here serves" in found.lines[0]


def test_answers_in_one_pass_have_one_latency():
    """Plans of texts differ in a latency, which is no time to a first token."""
    plan = mixed_plan()
    texts = replace(plan, demand={**plan.demand, "unit": "texts"})
    slower = replace(texts, workload={**texts.workload, "slo": {**texts.workload["slo"], "ttft_p95_ms": 9_000.0}})
    told = diff_markdown(plan_diff(texts, slower), [])
    assert "latency p95" in told
    assert "TTFT" not in told
    assert "TPOT" not in told
