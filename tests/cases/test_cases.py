"""Case studies: every part is priced by the planner or the catalog, and every figure leads to a line or a source."""

import json
import math
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, reject
from hypothesis import strategies as st

from advisor.cases import price_case, read_case, substituted
from advisor.cli.app import advisor
from advisor.errors import InputError, NothingFeasible
from advisor.performance.model import shipped_model
from advisor.pipeline import BEST, answer, plan_for, question_for
from advisor.plan.token_apis import TokenDemand, token_apis
from advisor.report.cases import case_sections
from advisor.report.text_table import sections_text
from advisor.workload.document import read_workload
from advisor.yaml_fields import Field
from builders import catalog_of, offer

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = ("documents", "recommender", "support-chatbot")
PAGE = (EXAMPLES.parent / "docs/cases.md").read_text()
TORNADO = "\ntornado: "

TOKENS = """\
name: switch
published: {saving: 0.5, latency: [2s, 1s], source: somebody's talk}
assumptions:
  requests_per_day: {value: 864000, unit: requests/day, source: counted}
  hits: {value: 0.6, unit: share, assumed: many ask the same}
  node_gib: {value: 2, unit: GiB, assumed: a week of answers}
parts:
  all:
    tokens: {model: openai/gpt-4o, requests_per_second: = requests_per_day / 86400, input_tokens: 1000, output_tokens: 100}
  missed:
    like: all
    tokens: {requests_per_second: = requests_per_day / 86400 * (1 - hits)}
  cache:
    cache: {provider: aws, region: us-east-1, memory_gib: = node_gib}
stages:
  - {name: all, parts: [all]}
  - {name: cached, parts: [missed, cache]}
"""
FLEET = """\
  fleet:
    workload:
      model: meta-llama/Llama-3.1-8B-Instruct
      slo: {ttft_p95: 2s, tpot_p95: 80ms}
      demand:
        declared: {requests_per_second: = 0.5 * (1 - hits), input_tokens: 800, output_tokens: 100}
      providers: [aws]
      regions: [us-east-1]
"""
CATALOG = catalog_of(offer("g6.xlarge", on_demand=0.8), offer("g6e.xlarge", on_demand=1.9))


def planned(workload):
    """The plan of `advisor recommend` on the tests' catalog, without a ladder."""
    question = question_for(workload, CATALOG, shipped_model())
    return answer(question, CATALOG, shipped_model(), BEST).plan


def report_of(folder, text=TOKENS, *, tornado=False):
    """The report of a case file."""
    path = folder / "case.yaml"
    path.write_text(text)
    return price_case(read_case(path), CATALOG, planned, tornado=tornado)


def planned_case(text=TOKENS):
    """A case with a fleet in place of the tokens that the cache does not answer."""
    without = text.replace("  missed:\n    like: all\n    tokens:", "  missed: #").replace(
        "[missed, cache]", "[fleet, cache]"
    )
    head, _, rest = without.partition("  missed: #")
    return head + FLEET + rest.partition("\n")[2]


@cache
def expected(name):
    """What an example shows."""
    return (EXAMPLES / name / "expected.txt").read_text()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", CASES)
def test_the_cases_give_what_they_show(name, run_advisor):
    """Without its tornado, each case's expected output is what the program prints."""
    done = run_advisor("case", EXAMPLES / name / "case.yaml")

    assert done.returncode == 0, done.stderr
    assert done.stdout == expected(name).partition(TORNADO)[0]


@pytest.mark.slow
@pytest.mark.sampled(30)
@pytest.mark.parametrize("name", CASES)
def test_the_cases_are_moved_by_their_assumptions_as_they_show(name, golden):
    """With its tornado, each case's expected output is what the program prints."""
    done = CliRunner().invoke(advisor, ["case", str(EXAMPLES / name / "case.yaml"), "--tornado"])

    golden(EXAMPLES / name / "expected.txt", done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_the_page_tells_the_saving_that_the_example_shows(name):
    """docs/cases.md has the published and the computed saving of each case as its expected output has them."""
    computed, published = re.findall(r"([\d.]+%) cheaper", " ".join(expected(name).partition("  - ")[0].split()))
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| [{name}]")]

    assert f"| {computed}" in row
    assert f"| {published.replace('.0', '')}" in row
    for before, after in re.findall(r"Latency: (\S+) ms → (\S+) ms", expected(name)):
        assert f"{before} → {after} ms" in row


@pytest.mark.parametrize("name", CASES)
def test_every_figure_of_an_example_is_an_assumption(name):
    """No part of an example states a quantity of demand by itself: each is a formula of assumptions."""
    case = read_case(EXAMPLES / name / "case.yaml")

    for part in case.parts.values():
        stated = yaml.serialize(part.field.node)
        for key in ("requests_per_second", "input_tokens", "output_tokens", "memory_gib"):
            assert f"{key}: =" in stated.replace("'", "") or f"{key}:" not in stated, (part.name, key)
    assert all(assumption.name in expected(name).partition(TORNADO)[2] for assumption in case.assumptions)


def test_the_file_of_the_page_is_a_case(tmp_path):
    """The example in docs/cases.md is read and priced."""
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]

    assert 0.5 < report_of(tmp_path, text).saving_ratio < 0.6


def test_tokens_and_nodes_cost_what_the_catalog_says(tmp_path):
    """Tokens cost what a plan compares its fleet with, stages the sum of their parts, and savings are shares of the first."""
    report = report_of(tmp_path)
    first, last = report.stages
    (service,) = token_apis(CATALOG, "", TokenDemand(10, 1000, 100, 0, 1100), ("openai/gpt-4o",))

    assert first.usd_per_month == service.total_usd_per_month
    assert last.parts[0].usd_per_month == pytest.approx(0.4 * first.usd_per_month, abs=0.01)
    assert report.saving_ratio == last.saving_ratio == 1 - last.usd_per_month / first.usd_per_month
    for stage in report.stages:
        for part in stage.parts:
            assert math.fsum(charge.usd_per_month for charge in part.charges) == pytest.approx(part.usd_per_month)
            assert all(charge.price_source and charge.price_as_of for charge in part.charges)


def test_a_planned_part_is_what_recommend_recommends(tmp_path):
    """The same workload in a file of its own has the same cost, and a stage says the latency of what it goes through."""
    text = planned_case().replace("[fleet, cache]}", "[fleet, cache], passes: [fleet]}")
    fleet = report_of(tmp_path, text).stages[-1].parts[0]
    own = yaml.safe_load("fleet:\n" + FLEET.partition("\n")[2].replace("= 0.5 * (1 - hits)", "0.2"))
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump({"name": "fleet"} | own["fleet"]["workload"]))
    plan = plan_for(read_workload(tmp_path / "workload.yaml"), CATALOG)

    replayed = plan.fleet.confirmed
    assert fleet.usd_per_month == plan.fleet.cost.total_usd_per_month
    assert all(charge.price_source for charge in fleet.charges)
    assert fleet.latency_p95_ms == pytest.approx(replayed.ttft_p95_ms + 99 * replayed.tpot_p95_ms)


@pytest.mark.parametrize("case", [TOKENS, planned_case()])
def test_the_tornado_asks_what_another_file_would(tmp_path, case):
    """Each end of a bar is the saving of the file with that assumption changed; its mark is the case itself."""
    report, alone = report_of(tmp_path, case, tornado=True), report_of(tmp_path, case)
    swings = {swing.assumption: swing for swing in report.tornado}
    changed = report_of(tmp_path, case.replace("value: 0.6", "value: 0.3"))

    assert report.saving_ratio == alone.saving_ratio
    assert swings["hits"].halved.value == pytest.approx(0.3)
    assert swings["hits"].halved.saving_ratio == changed.saving_ratio != report.saving_ratio
    assert swings["hits"].doubled.value == 1
    assert (swings["hits"].doubled.saving_ratio, "0 is out of range" in swings["hits"].doubled.why_none) == (None, True)
    widths = [high - low for low, high in (swing.range_with(report.saving_ratio) for swing in report.tornado)]
    assert widths == sorted(widths, reverse=True)


def test_the_difference_to_the_published_saving_is_told(tmp_path):
    """The report names the stage that passes the published saving, and the assumptions that alone reach it."""
    told = sections_text(case_sections(report_of(tmp_path, tornado=True), verbose=True))

    assert "Difference: 10 points more than published." in told
    assert "Stages: 'cached' passes the published saving, from 0.0% to" in told
    assert "the published 50.0% lies between half and double of: hits" in told
    assert "Assumed: 2 of 3 figures" in told
    assert "hits of 1: line 12: parts.missed.tokens.requests_per_second: 0 is out of range" in told


def test_the_same_case_gives_the_same_bytes(tmp_path, run_advisor):
    """JSON of one case is the same in another process, with line, source and charges of everything."""
    (tmp_path / "case.yaml").write_text(TOKENS)
    arguments = ["case", str(tmp_path / "case.yaml"), "--format", "json", "--tornado"]
    text = run_advisor(*arguments, PYTHONHASHSEED="1").stdout
    document = json.loads(text)

    assert text == CliRunner().invoke(advisor, arguments).stdout
    assert document["schema"] == "advisor.case/v1"
    assert document["case"]["assumptions"][1]["line"] == 5
    assert document["stages"][1]["parts"][1]["charges"][0]["price_source"]


REFUSED = {
    "no source": ("source: counted", "", ["case.yaml:4", "assumptions.requests_per_day", "either a source or a reason"]),
    "two": ("source: counted", "source: a, assumed: b", ["either a source or a reason", "add `source: …`"]),
    "a share above 1": ("value: 0.6", "value: 1.2", ["case.yaml:5: assumptions.hits.value", "at most 1"]),
    "no number": ("value: 0.6", "value: most", ["assumptions.hits.value: 'most' is not a number"]),
    "an unknown model": ("openai/gpt-4o", "openai/gpt-4x", ["parts.all.tokens.model", "'openai/gpt-4x'", "did you mean"]),
    "an unknown name": ("(1 - hits)", "(1 - hit)", ["no assumption is named 'hit'", "did you mean hits"]),
    "an unused name": ("* (1 - hits)", "", ["assumptions.hits: nothing uses it"]),
    "an unused part": ("[missed, cache]", "[missed]", ["parts.cache: nothing uses it"]),
    "an unknown part": ("[missed, cache]", "[missd, cache]", ["stages[1].parts[0]", "did you mean missed"]),
    "a call": ("= node_gib", "= exit(node_gib)", ["'exit(node_gib)' has no place in a formula"]),
    "no formula": ("= node_gib", "= node_gib +", ["'node_gib +' is not a formula"]),
    "a division by zero": ("= node_gib", "= node_gib / 0", ["has no value", "divide by zero"]),
    "too much memory": ("value: 2,", "value: 20000,", ["parts.cache.cache", "no node of aws"]),
    "a request too long": ("input_tokens: 1000,", "input_tokens: 999999,", ["longer than the price", "shorten it"]),
    "nothing paid": (
        "stages:\n", "  free: {usd_per_month: 0}\nstages:\n  - {name: free, parts: [free]}\n",
        ["stages[0]: the first stage costs nothing"],
    ),
    "one stage": ("  - {name: all, parts: [all]}\n", "", ["two stages at least"]),
    "one time": ("[2s, 1s]", "[2s]", ["published.latency", "expected two times"]),
    "another kind": ("    like: all\n    tokens:", "    like: all\n    cache:", ["'all' is of kind tokens, not cache"]),
    "no latency": ("[missed, cache]", "[missed, cache], passes: [cache]", ["stages[1].passes[0]"]),
    "itself": ("= node_gib", "&a [*a]", ["parts.cache.cache.memory_gib", "it refers to itself"]),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_a_wrong_case_is_refused_with_the_place_and_the_remedy(tmp_path, reason):
    """What is wrong is told with file, line, field and what to do, before anything is planned."""
    old, new, told = REFUSED[reason]
    assert TOKENS.count(old) >= 1

    with pytest.raises(InputError) as refused:
        report_of(tmp_path, TOKENS.replace(old, new))

    assert all(words in str(refused.value) for words in told), str(refused.value)
    assert "case.yaml:" in str(refused.value)
    assert refused.value.hint


def test_a_part_without_a_fleet_is_named(tmp_path):
    """Where nothing keeps the target, the answer names the part and its line."""
    with pytest.raises(NothingFeasible) as refused:
        report_of(tmp_path, planned_case().replace("ttft_p95: 2s", "ttft_p95: 1us"))

    assert "no fleet for part 'fleet'" in str(refused.value)
    assert "parts.fleet.workload" in str(refused.value)


_NUMBERS = st.one_of(st.integers(0, 1000).map(str), st.sampled_from(("a", "b")))
_FORMULAS = st.recursive(
    _NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-{}".format),
    ),
    max_leaves=8,
)


@given(_FORMULAS, st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_formula_has_the_value_that_arithmetic_gives_it(formula, a, b):
    """Precedence, parentheses and signs are those of arithmetic."""
    try:
        value = eval(formula, {"__builtins__": {}}, {"a": a, "b": b})
    except ZeroDivisionError:
        reject()
    used = set()
    field = Field(yaml.compose(f"'= {formula}'"), "formula", Path("case.yaml"))

    assert float(substituted(field, {"a": a, "b": b}, used).node.value) == pytest.approx(value)
    assert used == {name for name in "ab" if name in formula}
