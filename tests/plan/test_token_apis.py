"""What the same tokens would cost at services that sell them: a comparison beside the plan."""

import json
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.models import catalogued_name, model_names
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.token_apis import token_apis
from advisor.tables import read_rows

ROOT = Path(__file__).parents[2]
CATALOG = load_catalog()
DEMAND = {
    "requests_per_second": {"mean": 1.0},
    "input_tokens": {"mean": 1000.0},
    "output_tokens": {"mean": 200.0},
}
LLAMA = "meta-llama/Meta-Llama-3.1-8B"


def costs(model=LLAMA, cached_ratio=0.0, context_tokens=4096):
    """Services for a request a second."""
    return token_apis(CATALOG, model, DEMAND, cached_ratio, context_tokens)


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
        row for row in read_rows(ROOT / "instance_catalog/token_prices.csv") if row["cached_input_usd_per_million"]
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


def test_every_price_is_of_a_model_that_the_catalog_knows():
    """Rows are found by the names that plans use, and are above zero."""
    known = set(model_names())
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
    without = plan_from_json(json.dumps(document))
    assert generate(without).files == generate(plan).files
