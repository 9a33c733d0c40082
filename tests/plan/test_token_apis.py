"""What the same tokens would cost at services that sell them: a comparison beside the plan."""

import json
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.models import catalogued_name, model_names
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.token_apis import TokenDemand, token_apis, too_long_for
from advisor.tables import read_rows

ROOT = Path(__file__).parents[2]
CATALOG = load_catalog()
LLAMA = "meta-llama/Meta-Llama-3.1-8B"


def costs(model=LLAMA, cached_ratio=0.0, context_tokens=4096, asked=(), fleet_usd_per_month=None):
    """Services for a request a second."""
    demand = TokenDemand(1.0, 1000.0, 200.0, cached_ratio, context_tokens)
    return token_apis(CATALOG, model, demand, asked, fleet_usd_per_month)


def test_a_month_is_tokens_times_list_prices():
    """2.628 million requests of 1,000 and 200 tokens, at the prices of the row; the cheapest of each provider first."""
    found = costs()
    assert len(found) >= 3
    for one in found:
        expected = 2628 * one.input_usd_per_million + 2628 * 0.2 * one.output_usd_per_million
        assert one.total_usd_per_month == pytest.approx(expected, abs=0.01)
    totals = [one.total_usd_per_month for one in found]
    assert totals == sorted(totals)
    assert len({one.provider for one in found}) == len(found)


def test_cached_tokens_cost_what_the_service_asks_for_them():
    """Where it asks less; elsewhere a cache changes nothing."""
    priced = next(
        row
        for row in read_rows(ROOT / "instance_catalog/token_prices.csv")
        if row["model"] and row["cached_input_usd_per_million"]
    )
    cold = {one.provider: one for one in costs(priced["model"])}[priced["provider"]]
    warm = {one.provider: one for one in costs(priced["model"], cached_ratio=1.0)}[priced["provider"]]
    assert warm.total_usd_per_month < cold.total_usd_per_month


def test_services_that_take_shorter_requests_are_left_out():
    """A request of 100,000 tokens is no question to a service that takes 8,192."""
    limits = {price.provider: price.context_tokens for price in CATALOG.token_prices(LLAMA)}
    shortest = min(limit for limit in limits.values() if limit is not None)
    everybody, fewer = costs(context_tokens=shortest), costs(context_tokens=shortest + 1)
    assert {one.api_model for one in fewer} != {one.api_model for one in everybody}
    for one in fewer:
        (limit,) = {
            price.context_tokens
            for price in CATALOG.token_prices(LLAMA)
            if price.api_model == one.api_model and price.provider == one.provider
        }
        assert limit is None or limit > shortest


def test_a_model_that_nobody_sells_has_no_comparison():
    """Nothing is made up for weights of one's own."""
    assert costs("") == ()
    assert costs("somebody/unheard-of") == ()


def test_a_model_that_is_named_is_compared_whatever_its_weights():
    """However its version is written; beside the services that sell the same weights."""
    found = {one.name: one for one in costs(asked=("openai/gpt-5-mini", "Anthropic/claude-haiku-4.5"))}
    mini, haiku = found["openai/gpt-5-mini"], found["anthropic/claude-haiku-4-5"]
    assert mini.total_usd_per_month == pytest.approx(2628 * 0.25 + 2628 * 0.2 * 2.0)
    assert (mini.asked, mini.same_weights, haiku.asked, haiku.same_weights) == (True, False, True, False)
    assert {one.name for one in costs()} == {name for name, one in found.items() if not one.asked}


def test_a_service_that_is_named_and_sells_the_same_weights_stands_once():
    """Whether it is among the cheapest or not."""
    dearest = max(CATALOG.token_prices(LLAMA), key=lambda price: price.output_usd_per_million)
    for name in (dearest.name, costs()[0].name):
        (one,) = (one for one in costs(asked=(name,)) if one.name == name)
        assert one.asked
        assert one.same_weights


def test_the_break_even_is_where_both_cost_the_same():
    """At that mean rate a month of the service costs what the fleet does; without a fleet there is none."""
    for one in costs(asked=("openai/gpt-5-mini",), fleet_usd_per_month=1000.0):
        assert one.total_usd_per_month * one.break_even_requests_per_second == pytest.approx(1000.0, rel=1e-4)
    assert {one.break_even_requests_per_second for one in costs()} == {None}


def test_a_named_model_whose_price_does_not_hold_is_told_of():
    """Gemini 2.5 Pro costs more from 200,000 tokens on: no comparison, and a note why."""
    asked = ("google/gemini-2.5-pro",)
    assert not any(one.asked for one in costs(asked=asked, context_tokens=300_000))
    (note,) = too_long_for(CATALOG, asked, 300_000)
    assert "200,000" in note
    assert too_long_for(CATALOG, asked, 200_000) == ()


def test_names_tell_prices_apart():
    """Every row is found by its own name."""
    for row in read_rows(ROOT / "instance_catalog/token_prices.csv"):
        found = CATALOG.token_price(f"{row['provider']}/{row['api_model']}")
        assert (found.provider, found.api_model) == (row["provider"], row["api_model"])


def test_every_price_is_of_a_model_that_the_catalog_knows_or_of_none():
    """Rows are found by the names that plans use, and are above zero."""
    known = {"", *model_names()}
    for row in read_rows(ROOT / "instance_catalog/token_prices.csv"):
        assert row["model"] in known
        assert float(row["input_usd_per_million"]) > 0
        assert float(row["output_usd_per_million"]) > 0


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b", LLAMA])
def test_tuned_names_are_found(name):
    """The weights are told by the catalog's name, however they are called."""
    assert catalogued_name(name) == LLAMA


def test_the_plan_holds_the_comparison_and_code_is_not_made_of_it(run_advisor, tmp_path):
    """It survives writing and reading; another price of tokens changes no byte of the code."""
    from advisor.codegen import generate  # noqa: PLC0415 - templates load for this test alone

    plan_file = tmp_path / "plan.json"
    done = run_advisor("recommend", ROOT / "examples/chat/workload.yaml", "--format", "json", "-o", plan_file)
    assert done.returncode == 0, done.stderr
    plan = plan_from_json(plan_file.read_text())
    assert plan.token_apis
    assert plan_from_json(plan_to_json(plan)).token_apis == plan.token_apis
    document = json.loads(plan_file.read_text())
    document["token_apis"] = []
    document["workload"]["compare"] = ["openai/gpt-5-mini"]
    without = plan_from_json(json.dumps(document))
    assert generate(without).files == generate(plan).files


WORKLOAD = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
demand: {declared: {requests_per_second: 1, input_tokens: 500, output_tokens: 100}}
providers: [aws]
regions: [us-east-1]
compare: [openai/gpt-5-mini]
"""


def test_file_and_command_line_name_models_to_compare(run_advisor, tmp_path):
    """Both are in the plan, which can be asked again with them, and in the report with what they are no promise of."""
    workload, plan_file = tmp_path / "workload.yaml", tmp_path / "plan.json"
    workload.write_text(WORKLOAD)
    more = ("--compare", "anthropic/claude-haiku-4-5")
    done = run_advisor("recommend", workload, *more, "--format", "json", "-o", plan_file)
    assert done.returncode == 0, done.stderr
    plan = plan_from_json(plan_file.read_text())
    assert {one.name for one in plan.token_apis if one.asked} == {"openai/gpt-5-mini", "anthropic/claude-haiku-4-5"}
    assert plan.question["workload"]["compare"] == ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"]
    shown = run_advisor("recommend", workload, *more).stdout
    for words in (
        "gpt-5-mini",
        "claude-haiku-4-5",
        "quality is not compared",
        "no latency target",
        "fleet cheaper from",
    ):
        assert words in shown


def test_a_model_that_nobody_sells_is_refused_with_its_line(run_advisor, tmp_path):
    """The nearest names help."""
    workload = tmp_path / "workload.yaml"
    workload.write_text(WORKLOAD.replace("gpt-5-mini", "gpt-5-minni"))
    done = run_advisor("recommend", workload)
    assert done.returncode == 1
    assert "workload.yaml:6: compare[0]: unknown model of a token service: 'openai/gpt-5-minni'" in done.stderr
    assert "openai/gpt-5-mini" in done.stderr
