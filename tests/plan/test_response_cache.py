"""A response cache in a plan: fewer requests for the fleet, and its nodes in the total."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog.values import Purchase
from advisor.checks.run import Now, check_plan
from advisor.checks.values import Policy
from advisor.codegen import Language
from advisor.codegen.replacement import replacement
from advisor.cost.response_cache import cheapest_nodes, held_gib, priced_cache
from advisor.cost.services import cache_node_usd
from advisor.errors import InputError
from advisor.performance.model import shipped_model
from advisor.pipeline import plan_for, plan_question, question_for
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.explain.whatif import what_if
from advisor.plan.request import read_question, requirements_of
from advisor.report.fleet_words import cost_words
from advisor.report.plan_diff import plan_diff
from advisor.report.verdict import verdict_lines
from advisor.workload.document import read_workload
from advisor.workload.planning_fields import read_response_cache
from advisor.workload.values import MOST_HITS, DeclaredDemand, Deployment, Limits, ResponseCache, Survive
from advisor.yaml_fields import document_of
from builders import catalog_of, offer, workload

CATALOG = catalog_of(offer())
HALF = ResponseCache(hit_ratio=0.5, memory_gib=2.0, ttl_seconds=3600.0)
REPLICATED = Limits(min_replicas=2, survive=Survive.INSTANCE)


def planned(catalog=CATALOG, **changes):
    """A plan of the tests' workload with a cache that answers half of its requests."""
    return plan_for(workload(**({"response_cache": HALF} | changes)), catalog)


def test_fleet_serves_the_rest_and_the_total_holds_the_nodes():
    """Half of 5 requests a second reach the fleet; one t4g.medium for 730 h at $0.052 is a line of the total."""
    plan = planned(limits=Limits(survive=Survive.NOTHING))
    cost, cache = plan.fleet.cost, plan.fleet.response_cache
    (line,) = [line for line in plan.fleet.cost_lines if line.item == "response_cache"]

    assert plan.demand["requests_per_second"]["mean"] == pytest.approx(2.5)
    assert plan.demand["answered_ratio"] == 0.5
    assert (cache.node, cache.nodes, cache.ttl_seconds) == ("cache.t4g.medium", 1, 3600.0)
    assert (line.quantity, line.usd_per_unit, line.usd_per_month) == (730.0, 0.052, 37.96)
    assert sum(line.usd_per_month for line in plan.fleet.cost_lines if line.in_total) == pytest.approx(
        cost.total_usd_per_month, abs=0.005
    )


def current_of(**changes):
    """Today's deployment of two machines as a plan prices it."""
    today = Deployment("aws", "us-east-1", "g6e.xlarge", 2, Purchase.ON_DEMAND)
    return planned(catalog_of(offer("g6e.xlarge", on_demand=1.86)), current=today, **changes).current


def test_today_is_priced_under_the_demand_of_today():
    """All clients reach today's machines until a planned cache runs; one that runs already is part of what is paid."""
    without, planned_one = current_of(response_cache=None), current_of()
    running = current_of(response_cache=replace(HALF, runs_already=True))

    assert planned_one == without
    sent = 59.96  # the answers to the requests that reach the fleet; a cache of half of all sends as many again
    assert running.total_usd_per_month - without.total_usd_per_month == pytest.approx(38.26 + sent, abs=0.011)


@given(
    st.floats(1e-9, MOST_HITS),
    st.floats(1e-9, 1e6),
    st.none() | st.floats(1e-3, 1e6),
    st.booleans(),
    st.none() | st.floats(1e-3, 1),
)
def test_line_of_a_cache_states_it_to_the_last_digit(hit_ratio, memory_gib, ttl_seconds, runs_already, similarity):
    """What is told to write is read back as the same cache."""
    kept = ttl_seconds and round(ttl_seconds, 3)
    stated = ResponseCache(hit_ratio, memory_gib, kept, runs_already, similarity)
    field = document_of(stated.line, Path("workload.yaml")).mapping(("response_cache",))["response_cache"]
    read = read_response_cache(field, Limits())

    assert replace(read, ttl_seconds=kept) == stated
    assert read.ttl_seconds == pytest.approx(kept)


def test_cache_has_a_replica_where_the_fleet_survives_a_failure():
    """A fleet that may lose an instance may not lose the cache either: it is sized for what the cache leaves."""
    (line,) = [line for line in planned(limits=REPLICATED).fleet.cost_lines if line.item == "response_cache"]

    assert line.usd_per_month == 75.92


def test_a_cache_for_nothing_costs_its_nodes():
    """With next to no hits the same fleet costs what the node and the three metrics of its alarms cost more."""
    with_cache = planned(response_cache=replace(HALF, hit_ratio=1e-9)).fleet.cost
    without = planned(response_cache=None).fleet.cost

    assert with_cache.total_usd_per_month - without.total_usd_per_month == pytest.approx(37.96 + 3 * 0.10, abs=0.011)


def test_region_is_chosen_with_its_cache():
    """Of two regions at one price for machines that differ by less, the one with the cheaper cache is taken."""
    catalog = catalog_of(offer(), offer(region="sa-east-1", on_demand=0.78))
    usd = {
        region: planned(catalog, regions=(region,)).fleet.cost.total_usd_per_month
        for region in ("us-east-1", "sa-east-1")
    }
    both = planned(catalog).fleet

    assert both.cost.total_usd_per_month == min(usd.values())
    assert both.response_cache.region == both.groups[0].region


@pytest.mark.parametrize(
    ("provider", "gib", "node"),
    [("aws", 2.0, "cache.t4g.medium"), ("azure", 2.0, "Balanced_B3"), ("gcp", 2.0, "standard-small")],
)
def test_cheapest_node_that_holds_the_answers_is_priced(provider, gib, node):
    """Each cloud has nodes, of whose memory a part is reserved."""
    cache, price = priced_cache(workload(response_cache=replace(HALF, memory_gib=gib)), CATALOG, provider, "us-east-1")

    assert cache.node == node
    assert price.usd > 0


@pytest.mark.parametrize(
    ("provider", "gib", "limits", "cache"),
    [
        ("aws", 39.0, REPLICATED, ("cache.r7g.2xlarge", 2, 1)),
        ("aws", 100.0, REPLICATED, ("cache.r6g.large", 22, 11)),
        ("aws", 100.0, Limits(survive=Survive.NOTHING), ("cache.r6g.large", 11, 11)),
        ("gcp", 8.0, REPLICATED, ("highmem-medium", 2, 1)),
        ("gcp", 40.0, REPLICATED, ("highmem-medium", 10, 5)),
    ],
)
def test_answers_that_no_node_holds_are_in_shards(provider, gib, limits, cache):
    """Equal nodes hold them together, each with its replica, where no single priced node does."""
    stated = workload(response_cache=replace(HALF, memory_gib=gib), limits=limits)
    priced, _ = priced_cache(stated, CATALOG, provider, "us-east-1")
    node = next(node for node in CATALOG.cache_nodes if node.node == priced.node)

    assert (priced.node, priced.nodes, priced.shards) == cache
    assert held_gib(priced.shards, node.usable_gib) >= gib
    assert priced.shards == 1 or gib > held_gib(priced.shards - 1, node.usable_gib)
    assert priced.nodes == priced.shards * (priced.replicas + 1)


@given(st.floats(0.01, 3_000.0), st.floats(1.0, 3.0), st.sampled_from(["aws", "gcp", "azure"]), st.sampled_from([1, 2]))
def test_more_answers_never_cost_less(gib, times, provider, copies):
    """Of two caches the larger one is no cheaper; what holds it is as large as it is."""
    smaller, larger = (
        cheapest_nodes(size, CATALOG, provider, "us-east-1", copies) for size in (gib, gib * times)
    )  # fmt: skip
    if isinstance(smaller, str):
        assert isinstance(larger, str)
    elif not isinstance(larger, str):
        alarms_usd = cache_node_usd(CATALOG, provider, "us-east-1")
        usd = [shards * (price.usd * 730 + alarms_usd) for shards, _, price in (smaller, larger)]
        assert usd[0] <= usd[1] + 1e-9
        assert held_gib(larger[0], larger[1].usable_gib) >= gib * times


@pytest.mark.parametrize(("shards", "usable_gib"), [(3, 0.5), (11, 9.8), (90, 1.0)])
def test_the_fullest_shard_is_rather_not_over(shards, usable_gib):
    """Entries of a MiB, drawn into slots by chance: as many as the formula says rarely fill a shard, all there is would."""
    chance = np.random.default_rng(2)
    shard_of_slot = np.arange(16_384) * shards // 16_384

    def times_over(gib):
        drawn = (chance.integers(0, 16_384, int(gib * 1024)) for _ in range(50))
        fullest = [np.bincount(shard_of_slot[slots], minlength=shards).max() for slots in drawn]
        return sum(count > usable_gib * 1024 for count in fullest)

    assert times_over(held_gib(shards, usable_gib)) < 20
    assert times_over(shards * usable_gib) > 45
    assert 0.8 * shards * usable_gib < held_gib(shards, usable_gib) < shards * usable_gib


def test_alarms_of_each_node_count_where_nodes_are_compared():
    """Three metrics on AWS for each node, which many small nodes pay many times."""
    assert cache_node_usd(CATALOG, "aws", "us-east-1") == pytest.approx(0.30)
    assert cache_node_usd(CATALOG, "gcp", "us-east1") == 0.0
    shards, _, price = cheapest_nodes(100.0, CATALOG, "aws", "us-east-1")
    others = [
        (count, CATALOG.service_price("aws", each.item, "us-east-1"))
        for each in CATALOG.cache_nodes
        if each.provider == "aws"
        for count in [next((count for count in range(1, 91) if held_gib(count, each.usable_gib) >= 100.0), None)]
    ]
    usd = [count * (other.usd * 730 + 0.30) for count, other in others if count and other]
    assert shards * (price.usd * 730 + 0.30) == pytest.approx(min(usd))


def test_a_plan_in_shards_is_read_back_and_said():
    """The plan's document has the shards, its nodes are in the total, and the report names both."""
    plan = planned(response_cache=replace(HALF, memory_gib=100.0), limits=REPLICATED)
    (line,) = [line for line in plan.fleet.cost_lines if line.item == "response_cache"]

    assert plan_from_json(plan_to_json(plan)).fleet.response_cache == plan.fleet.response_cache
    assert plan.fleet.response_cache.nodes_words == "22 × cache.r6g.large in 11 shards"
    assert line.quantity == 22 * 730.0


def test_a_plan_says_that_its_cache_is_semantic():
    """The similarity stands in question and fleet, is read back, and is told; a plan of an exact cache has none."""
    semantic, exact = planned(response_cache=replace(HALF, similarity=0.9)), planned(response_cache=HALF)
    read = plan_from_json(plan_to_json(semantic))

    assert read.fleet.response_cache.similarity == read.workload["response_cache"]["similarity"] == 0.9
    assert "similarity" not in plan_to_json(exact)
    assert any("from a similarity of 0.9 on" in line for line in verdict_lines(semantic))


def test_place_without_a_node_is_a_rejection():
    """No price is guessed: what no catalogued node holds is rejected with the two sizes."""
    plan = planned(response_cache=replace(HALF, memory_gib=5_000.0))
    (rejection,) = [one for one in plan.rejected if one.code == "response_cache"]

    assert plan.fleet is None
    assert (rejection.needed, rejection.unit) == (5_000.0, "GiB")
    assert rejection.available == pytest.approx(held_gib(90, 52.82 * 0.75))
    assert rejection.message.startswith(
        "no node of aws in the catalog holds 5,000 GiB of answers (the largest holds 3,495 in 90 shards;"
    )
    assert "cache_nodes of the overlay file" in rejection.message
    assert [miss.instance_type for miss in plan.nearest_misses] == ["*"]
    assert '"response_cache"' in plan_to_json(plan)


def test_way_into_the_network_is_a_line_of_its_own_on_azure():
    """A private endpoint for 730 h at $0.01 stands beside the nodes, in a plan that its schema admits."""
    catalog = catalog_of(offer("Standard_NC24ads_A100_v4", provider="azure", region="eastus"))
    plan = planned(catalog, providers=("azure",), regions=("eastus",))
    fleet = plan_from_json(plan_to_json(plan)).fleet
    lines = {line.item: line for line in fleet.cost_lines if line.place == "azure/eastus"}
    line = lines["private_endpoint"]

    assert (line.quantity, line.usd_per_unit, line.usd_per_month, line.kind) == (730.0, 0.01, 7.3, "network")
    assert lines["response_cache"].in_total


def test_plan_is_made_again_from_its_own_question():
    """Requests that the cache answers are taken off once, however often the question is asked."""
    plan = planned()
    again = plan_question(read_question(json.loads(plan_to_json(plan))["question"]), CATALOG)

    assert plan_to_json(again) == plan_to_json(plan)
    assert plan_from_json(plan_to_json(plan)).fleet.response_cache == plan.fleet.response_cache


def test_demand_measured_behind_a_cache_is_what_it_leaves():
    """Of a cache that runs already the stated rate is that of the fleet; without it there would be twice as many."""
    asked = workload(response_cache=replace(HALF, runs_already=True))
    question = question_for(asked, CATALOG, shipped_model())
    without = replace(question, workload=replace(asked, response_cache=None))

    assert requirements_of(question, CATALOG).demand.requests_per_second.mean == 5
    assert requirements_of(without, CATALOG).demand.requests_per_second.mean == 10


QUARTER = ResponseCache(hit_ratio=0.25, memory_gib=2.0)


@pytest.mark.parametrize(
    ("stated", "asked"),
    [(None, QUARTER), (HALF, QUARTER), (replace(HALF, runs_already=True), None)],
    ids=["a new one", "in place of another", "without what runs"],
)
def test_cache_that_is_supposed_is_planned_as_one_that_is_stated(stated, asked):
    """Whatever cache the demand was counted behind, the what-if gives the demand and the cost that the file would."""
    text = "none" if asked is None else f"{asked.hit_ratio}+{asked.memory_gib}"
    question = question_for(workload(response_cache=stated), CATALOG, shipped_model())
    clients = question.demand.with_response_cache(0.0)
    expected = plan_question(replace(question, workload=workload(response_cache=asked), demand=clients), CATALOG)
    changed, catalog, (change,) = what_if(question, CATALOG, f"response_cache={text}")
    supposed = plan_question(changed, catalog)

    assert change.before != change.after
    assert supposed.demand == expected.demand
    assert supposed.fleet.cost == expected.fleet.cost


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0.4", r"'0.4' is not hit_ratio\+memory_gib\+ttl"),
        ("0.4+20+1h+true", "is not hit_ratio"),
        ("1+20", "at most 0.999"),
    ],
)
def test_wrong_cache_that_is_supposed_is_refused(text, told):
    """It takes a hit ratio and a size, as the file does, and names the setting."""
    question = question_for(workload(), CATALOG, shipped_model())
    with pytest.raises(InputError, match=told) as refused:
        what_if(question, CATALOG, f"response_cache={text}")
    assert refused.value.where.startswith(f"--what-if response_cache={text}")
    assert text == "1+20" or "such as 0.4+20+1h" in refused.value.hint


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("response_cache: {hit_ratio: 0, memory_gib: 2}", "above 0"),
        ("response_cache: {hit_ratio: 1, memory_gib: 2}", "at most 0.999"),
        ("response_cache: {hit_ratio: 0.3}", "missing: memory_gib"),
        ("response_cache: {hit_ratio: 0.3, memory_gib: 2, ttl: 10}", "'10' is not a duration"),
        (
            "response_cache: {hit_ratio: 0.3, memory_gib: 2}\nlimits: {max_regions: 2}",
            "contradicts limits.max_regions: 2",
        ),
    ],
)
def test_wrong_cache_is_refused_with_its_line(line, told, tmp_path):
    """A hit ratio is a share of the requests, and one cache has one region."""
    path = tmp_path / "workload.yaml"
    demand = "demand: {declared: {requests_per_second: 1, input_tokens: 9, output_tokens: 9}}\n"
    path.write_text(f"name: chat\nmodel: m\n{demand}{line}\n")
    with pytest.raises(InputError, match=told) as refused:
        read_workload(path)
    assert f"{path}:4: response_cache" in refused.value.where


def test_engines_count_what_the_cache_of_a_plan_left():
    """A check takes a rate that was counted behind the cache as it is, not as that of all clients."""
    plan = planned()
    counted = DeclaredDemand(40, 64, 800, 200)
    now = Now(CATALOG, shipped_model(), dt.date(2026, 11, 24), counted)
    checked = check_plan(plan, plan_to_json(plan), "plan.json", now, Policy())

    assert any("the busiest minute has 64 requests/s" in finding.message for finding in checked.findings)


def test_services_stand_behind_the_same_cache():
    """A service costs its tokens and the cache; a fleet at the break-even rate costs as much, cache apart."""
    plan = planned()
    cache = plan.fleet.parts_usd_per_month["response_cache"]
    api = plan.token_apis[0]
    demand = plan.demand
    tokens = api.input_usd_per_million * demand["input_tokens"]["mean"]
    tokens += api.output_usd_per_million * demand["output_tokens"]["mean"]
    usd_at_rate = 2.628 * tokens

    assert cache == pytest.approx(37.96 + 3 * 0.10)
    assert api.total_usd_per_month == pytest.approx(2.5 * usd_at_rate + cache, abs=0.01)
    assert api.break_even_requests_per_second * usd_at_rate + cache == pytest.approx(
        plan.fleet.cost.total_usd_per_month
    )


def test_cost_of_the_cache_has_a_name_of_its_own():
    """Nodes, alarms and the private endpoint are one part of the total, apart from load balancers and logs."""
    catalog = catalog_of(offer("Standard_NC24ads_A100_v4", provider="azure", region="eastus"))
    fleet = planned(catalog, providers=("azure",), regions=("eastus",)).fleet
    parts, items = fleet.parts_usd_per_month, {charge.item: charge.usd_per_month for charge in fleet.standing}
    of_cache = ("response_cache", "private_endpoint", "cache_alarm", "cache_log_alarm")

    assert parts["response_cache"] == pytest.approx(sum(items[item] for item in of_cache))
    assert sum(filter(None, parts.values())) == pytest.approx(fleet.cost.total_usd_per_month, abs=0.005)
    assert f"${parts['response_cache']:,.2f} response cache" in cost_words(fleet)


def test_a_cache_that_comes_is_what_differs_and_what_its_code_adds():
    """Rates that follow from the cache are not asked differently; its nodes are a line of what the code does."""
    without, with_cache = planned(response_cache=None), planned()
    fields = {asked.field for asked in plan_diff(without, with_cache).asked_differently}
    cache = "1 × cache.t4g.medium in us-east-1"

    assert fields == {f"workload.response_cache.{name}" for name in ("hit_ratio", "memory_gib", "ttl_seconds")}
    assert f"new response cache: {cache}" in replacement(without, with_cache, Language.TERRAFORM, CATALOG).lines
    assert f"removes the response cache: {cache}" in replacement(with_cache, without, Language.TERRAFORM, CATALOG).lines
