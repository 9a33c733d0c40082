"""Turns and parts by MPS: whoever is seated by the rule keeps its targets on the shared GPU, whatever others send."""

import numpy as np
import pytest

from advisor.catalog import load_catalog
from advisor.demand_sources import as_demanded, measure_demand
from advisor.models import find_model
from advisor.performance.model import load_model
from advisor.performance.stage import times_of
from advisor.pipeline import BRIEF, answer
from advisor.plan.estate.seats import MOST_SHARERS, Way, most_sharers, part_gib, thread_percent, times_slower
from advisor.plan.request import PlanRequest
from advisor.plan.sharing import HEADROOM
from advisor.workload.document import read_workload
from codegen.estates import workload_text
from plan.estate.shared_gpu import Answers, Tokens, in_parts, in_whole_batches, share

MACHINE = "g2-standard-4"
MODEL_LIMITS = {"photos": {"latency": 200.0}, "products": {"latency": 200.0}, "trees": {"latency": 100.0}}
"""Targets of models that one Triton holds."""
LIMITS = {"chat": {"ttft": 1000.0, "tpot": 100.0}, "rerank": {"latency": 1000.0}, "speech": {"latency": 20_000.0}}
PRECISIONS = {
    "chat": "bf16", "rerank": "fp16", "speech": "bf16", "photos": "fp16", "products": "fp16", "trees": "fp32",
}  # fmt: skip
SECONDS = 300.0
MODEL_SECONDS = 20.0


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """What serves each kind of model on one L4, and what is asked of it."""
    return on_one_l4(LIMITS, tmp_path_factory)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The same of models that one Triton holds."""
    return on_one_l4(MODEL_LIMITS, tmp_path_factory)


def on_one_l4(kinds, tmp_path_factory):
    """Candidate of each kind on one L4, with what is asked of it and the model that predicts."""
    catalog, model, found = load_catalog(), load_model(None), {}
    for kind in kinds:
        path = tmp_path_factory.mktemp(kind) / "workload.yaml"
        path.write_text(workload_text(kind, kind, 1))
        workload = read_workload(path)
        of_model = find_model(workload.model_reference)
        demand = measure_demand(workload, of_model, catalog, model)
        planned = answer(PlanRequest(as_demanded(workload, demand), of_model, demand), catalog, model, BRIEF)
        here = [
            one.candidate
            for one in planned.served
            if one.candidate.instance_type.name == MACHINE and not one.candidate.partition
        ]
        found[kind] = (min(here, key=lambda one: one.precision != PRECISIONS[kind]), planned.requirements, model)
    return found


def sharers(served, kind, rate, way=Way.TURNS) -> int:
    """The most tenants that one of a kind keeps its targets among."""
    candidate, asked, model = served[kind]
    return most_sharers([candidate], rate, asked, model, way)[0]


def engine(served, kind, rate, seed, seconds=SECONDS):
    """An engine with Poisson arrivals."""
    candidate, asked, model = served[kind]
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate, int(rate * seconds)))
    times = times_of(candidate, asked, model, (256, asked.context_tokens))
    tokens = asked.demand.tokens
    if kind == "chat":
        return Tokens(times, arrivals, int(tokens.input_tokens[0]), int(tokens.output_tokens[0]))
    return Answers(times, arrivals, float(tokens.input_tokens[0]), int(tokens.output_tokens[0]))


def rate_among(served, kind, tenants, way=Way.TURNS) -> float:
    """The largest rate, within 5 in 100, at which one of a kind may sit among so many."""
    least, most = 0.02, 20_000.0
    while most > 1.05 * least:
        middle = (least * most) ** 0.5
        least, most = (middle, most) if sharers(served, kind, middle, way) >= tenants else (least, middle)
    return least


@pytest.mark.parametrize(
    "kinds", [("chat", "chat"), ("chat", "rerank"), ("chat", "rerank", "speech"), ("rerank", "speech", "rerank")]
)
def test_whoever_is_seated_keeps_its_targets(served, kinds):
    """Each at the largest rate that the rule lets it have among so many, all at once: 95 in 100 are within each target."""
    rates = [rate_among(served, kind, len(kinds)) for kind in kinds]
    assert min(rates) > 0.02
    engines = [engine(served, kind, rate, seed) for seed, (kind, rate) in enumerate(zip(kinds, rates, strict=True))]
    share(engines, HEADROOM)
    for kind, one in zip(kinds, engines, strict=True):
        for name, latency_ms in one.latencies().items():
            assert np.quantile(latency_ms, 0.95) <= LIMITS[kind][name], (kind, name)


@pytest.mark.parametrize("kinds", [("chat", "rerank", "speech"), ("rerank", "speech", "rerank")])
def test_whoever_has_a_part_keeps_its_targets(served, kinds):
    """On 33 % of the threads, as MPS rounds a third, while neighbours take all of theirs and more of what is shared."""
    rates = [rate_among(served, kind, len(kinds), Way.MPS) for kind in kinds]
    assert min(rates) > 0.02
    engines = [engine(served, kind, rate, seed) for seed, (kind, rate) in enumerate(zip(kinds, rates, strict=True))]
    in_parts(engines, 33, HEADROOM)
    for kind, one in zip(kinds, engines, strict=True):
        for name, latency_ms in one.latencies().items():
            assert np.quantile(latency_ms, 0.95) <= LIMITS[kind][name], (kind, name)


def test_a_part_is_never_planned_to_be_faster_than_a_turn(served):
    """MPS rounds percents of threads down, and bandwidth is not divided: at no rate may more share by it than by turns."""
    assert [thread_percent(tenants) for tenants in range(2, MOST_SHARERS + 1)] == [50, 33, 25, 20, 16, 14, 12]
    assert times_slower(1, Way.MPS) == times_slower(1) == 1.0
    assert times_slower(3, Way.MPS) == pytest.approx(100 / 33 / 0.85)
    assert times_slower(4, Way.MPS) == pytest.approx(times_slower(4))
    assert all(times_slower(tenants, Way.MPS) >= times_slower(tenants) for tenants in range(1, MOST_SHARERS + 1))
    assert part_gib(22.35, 3) == pytest.approx(7.45)
    for kind in LIMITS:
        rates = [0.02 * 4**step for step in range(6)]
        assert all(sharers(served, kind, rate, Way.MPS) <= sharers(served, kind, rate) for rate in rates)


def test_mps_takes_as_many_clients_as_may_share():
    """The device plugin's limit on the clients of one server is above that of an estate."""
    assert load_catalog().deployment.number("mps", "most_clients") >= MOST_SHARERS


@pytest.mark.parametrize("mode", ["equal parts", "whole batches"])
@pytest.mark.parametrize("kinds", [("photos", "products", "trees"), ("photos",) * 3])
def test_models_of_one_server_keep_their_targets(models, kinds, mode):
    """At the largest rates of the rule, whether streams share the GPU equally or one batch runs after another."""
    rates = [rate_among(models, kind, len(kinds)) for kind in kinds]
    engines = [
        engine(models, kind, rate, seed, MODEL_SECONDS)
        for seed, (kind, rate) in enumerate(zip(kinds, rates, strict=True))
    ]
    assert all(models[kind][0].engine.startswith("Triton") for kind in kinds)
    if mode == "equal parts":
        share(engines, HEADROOM)
    else:
        in_whole_batches(engines)
    for kind, one in zip(kinds, engines, strict=True):
        assert np.quantile(one.latencies()["latency"], 0.95) <= MODEL_LIMITS[kind]["latency"], kind


def test_neighbours_that_send_far_more_than_planned_take_nothing_from_others(served):
    """Two that are never idle leave the third its part of the time, on which it keeps its targets."""
    rate = rate_among(served, "chat", 3)
    quiet = engine(served, "chat", rate, 1)
    loud = [
        engine(served, kind, 20 * rate_among(served, kind, 3), seed) for seed, kind in enumerate(("chat", "rerank"), 2)
    ]
    for one in loud:
        one.arrivals = one.arrivals * 0 + np.linspace(0, SECONDS / 20, one.arrivals.size)
    share([quiet, *loud], HEADROOM)
    for name, latency_ms in quiet.latencies().items():
        assert np.quantile(latency_ms, 0.95) <= LIMITS["chat"][name], name


def test_more_load_leaves_room_for_fewer(served):
    """The number never rises with the rate, is 1 near the most that one sustains alone, and never beyond the most."""
    for kind in LIMITS:
        found = [sharers(served, kind, 0.02 * 8**step) for step in range(5)]
        assert found == sorted(found, reverse=True)
        assert found[-1] == 1
        assert max(found) <= MOST_SHARERS
