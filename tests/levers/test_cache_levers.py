"""Levers of caches, from the user's own log to the plan and its code."""

import json
from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import Wanted, generate
from advisor.demand.values import Unit
from advisor.levers import (
    Change,
    LeverSettings,
    MeasuredCache,
    MeasuredSemantic,
    Reason,
    ReasonCode,
    read_measured_cache,
)
from advisor.levers.changes import changes_of
from advisor.performance.model import shipped_model
from advisor.pipeline import plan_question, question_for
from advisor.units import BYTES_PER_GIB
from advisor.workload.values import DeclaredDemand, Exclude, Limits, Slo, Survive
from builders import catalog_of, offer, workload

CATALOG = catalog_of(offer("g6.xlarge", on_demand=0.8))
VECTOR_AND_ENTRY = 1024 * 4 + 100
POINTS = (
    MeasuredSemantic(0.8, 0.6, 0.2, 0.1),
    MeasuredSemantic(0.9, 0.5, 0.04, 0.2),
    MeasuredSemantic(0.95, 0.4, 0.01, 0.3),
)
MEASURED = MeasuredCache(0.25, 0.2, 1000, semantic=POINTS)


def embedder(**changes):
    """The question of an embedding service on one type of machine."""
    stated = {
        "model": "BAAI/bge-m3",
        "slo": Slo(latency_ms=500),
        "demand": DeclaredDemand(200, 220, 512, None),
        "limits": Limits(survive=Survive.NOTHING),
        "exclude": Exclude(providers=("gcp", "azure")),
    }
    return question_for(workload(**(stated | changes)), CATALOG, shipped_model())


def levers_of(question, cache, most_false_hits=None):
    """Changes and reasons by lever."""
    settings = LeverSettings(cache=cache, most_false_hits=most_false_hits)
    return changes_of(question, CATALOG, settings).by_lever


def test_texts_of_an_embedder_become_a_cheaper_plan_and_its_code(run_advisor, tmp_path):
    """Log → hit curve with computed vectors → lever → the plan that `recommend` makes with it → nodes in the code."""
    log = tmp_path / "texts.jsonl"
    log.write_text("".join(json.dumps({"input": [f"text {number % 40}"]}) + "\n" for number in range(400)))
    replayed = tmp_path / "cache.json"
    result = run_advisor(
        "demand", "cache", str(log), "--embedder", "BAAI/bge-m3", "--format", "json", "-o", str(replayed)
    )
    assert result.returncode == 0
    measured = read_measured_cache(replayed)

    assert (measured.hit_ratio, measured.embedder, measured.prefix_hit_ratio) == (0.9, "BAAI/bge-m3", None)
    assert measured.memory_gib == pytest.approx(40 * VECTOR_AND_ENTRY / BYTES_PER_GIB)

    changes = changes_of(embedder(), CATALOG, LeverSettings(cache=measured))
    without, cached = (plan_question(changes.question(levers), CATALOG) for levers in ((), ("embedding_cache",)))

    assert cached.fleet.cost.total_usd_per_month < without.fleet.cost.total_usd_per_month
    assert cached.fleet.response_cache.hit_ratio == 0.9
    assert "cache.t4g.micro" in generate(cached, wanted=Wanted(target="eks")).files["cache.tf"]


def test_cache_of_an_embedder_is_its_embedding_cache():
    """Equal texts have one vector, similar ones have not; a model that generates has the other two."""
    embeds, answers = (
        levers_of(embedder(), MEASURED),
        levers_of(question_for(workload(), CATALOG, shipped_model()), MEASURED),
    )

    assert embedder().demand.unit is Unit.TEXTS
    assert isinstance(embeds["embedding_cache"], Change)
    assert [embeds[lever].code for lever in ("response_cache", "semantic_cache")] == [
        "nothing_to_change",
        "not_of_model",
    ]
    assert isinstance(answers["response_cache"], Change)
    assert answers["embedding_cache"].code is ReasonCode.NOT_OF_MODEL


def test_replay_of_another_embedder_is_no_measurement():
    """Its vectors have another size, and its texts are another service's."""
    reason = levers_of(embedder(), replace(MEASURED, embedder="BAAI/bge-small-en-v1.5"))["embedding_cache"]

    assert reason == Reason(
        ReasonCode.FIGURE_MISSING, "the replay is of BAAI/bge-small-en-v1.5, and the model is BAAI/bge-m3"
    )


@pytest.mark.parametrize(
    ("most", "hits", "wrong"), [(0.2, "60.0%", 0.12), (0.19, "50.0%", 0.02), (0.01, "40.0%", 0.004)]
)
def test_semantic_cache_hits_most_of_what_is_bearable(most, hits, wrong):
    """Of the thresholds whose false hits are few enough the one with most hits is priced, with its share of false ones."""
    change = levers_of(question_for(workload(), CATALOG, shipped_model()), MEASURED, most)["semantic_cache"]

    assert change.told.startswith(f"{hits} of the requests answered by 1 × cache.t4g.")
    assert "embedding each request and finding its neighbour are not in the price" in change.basis
    assert change.wrong_answer_ratio == pytest.approx(wrong)


def test_semantic_cache_is_stated_with_its_similarity_and_ttl():
    """The line of the workload file is no exact cache's: it says from which similarity on, and for how long."""
    measured = replace(MEASURED, ttl_seconds=20.0)
    question = question_for(workload(), CATALOG, shipped_model())
    line = levers_of(question, measured, 0.04)["semantic_cache"].line

    assert line == "response_cache: {hit_ratio: 0.5, memory_gib: 0.2, ttl: 20s, similarity: 0.9}"
    assert "similarity" not in levers_of(question, measured)["response_cache"].line


@pytest.mark.parametrize(
    ("points", "most", "told"),
    [
        ((), 0.1, "give each line of the log an embedding"),
        (POINTS, None, "from a similarity of 0.95 on 40.0% of the requests hit, 1.0% of these false"),
        (POINTS, 0.001, "no threshold keeps to 0.1% of false hits: from a similarity of 0.95 on"),
        ((replace(POINTS[0], false_hit_ratio=None),), 0.1, "its false hits are not known"),
        ((replace(POINTS[0], memory_gib=None),), 0.5, "no request of the log says how large its answer is"),
    ],
)
def test_semantic_cache_without_a_figure_says_which(points, most, told):
    """Hits without a bound on false ones, without answers or without sizes have no price."""
    cache = replace(MEASURED, semantic=points)
    assert told in levers_of(question_for(workload(), CATALOG, shipped_model()), cache, most)["semantic_cache"].why


def test_exact_and_semantic_cache_are_one_cache():
    """Together they are the semantic one, which answers equal requests too: no request is answered twice."""
    settings = LeverSettings(cache=MEASURED, most_false_hits=0.05)
    changes = changes_of(question_for(workload(), CATALOG, shipped_model()), CATALOG, settings)
    both, semantic = (
        changes.question(levers).workload.response_cache
        for levers in (("response_cache", "semantic_cache"), ("semantic_cache",))
    )

    assert both == semantic
    assert both.hit_ratio == 0.5


def test_answers_of_a_cdn_are_refused_with_a_code():
    """The lever is shown, with the reason why no request could be answered."""
    (entry,) = [entry for entry in load_catalog().levers if entry.lever == "cdn"]

    assert entry.code == ReasonCode.NOT_CACHEABLE
    assert "0 % of the requests" in entry.why_unpriced
    assert "POST" in entry.why_unpriced


def test_time_to_live_of_a_replay_is_that_of_the_cache(tmp_path):
    """What was measured for an hour is planned for an hour; what a document lacks is not known."""
    path = tmp_path / "cache.json"
    points = [{"entries": 1, "memory_gib": 0.5, "hit_ratio": 0.4}]
    document = {"schema": "advisor.cache/v1", "requests": 9, "ttl_s": 3600.0, "exact": {"points": points}}
    document |= {"prefix": {"points": [{"hit_ratio": 0.7}]}}
    path.write_text(json.dumps(document))
    measured = read_measured_cache(path)
    levers = levers_of(question_for(workload(), CATALOG, shipped_model()), measured)
    question = levers["response_cache"].to(question_for(workload(), CATALOG, shipped_model()))

    assert question.workload.response_cache.ttl_seconds == 3600.0
    assert "one pool without a limit would hold 70.0%" in levers["prefix_cache"].why


def test_line_of_a_lever_states_the_cache_that_it_plans():
    """What is told to write into the workload file is what was priced, and the file takes it."""
    question = question_for(workload(), CATALOG, shipped_model())
    change = levers_of(question, replace(MEASURED, hit_ratio=0.9999))["response_cache"]

    assert change.line == change.to(question).workload.response_cache.line
    assert change.line == "response_cache: {hit_ratio: 0.999, memory_gib: 0.2}"
