"""Lengths that a workload states by their quantiles."""

from dataclasses import replace

import pytest

from advisor.errors import InputError
from advisor.models import find_model
from advisor.pipeline import recommend
from advisor.plan.doubts import left_out_of, refusal_words
from advisor.workload.closed_loop import demand_as_declared
from advisor.workload.document import read_workload

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
HEAD = "name: a\nmodel: {}\nslo: {}\nproviders: [aws]\nregions: [us-east-1]\ndemand:\n  declared: {}\n"


def read(tmp_path, declared: str, model: str = LLAMA, slo: str = "{ttft_p95: 1s, tpot_p95: 60ms}"):
    """A workload with demand so declared."""
    path = tmp_path / "workload.yaml"
    path.write_text(HEAD.format(model, slo, declared))
    return read_workload(path)


def demand_of(tmp_path, declared: str, model: str = LLAMA, slo: str = "{latency_p95: 1s}"):
    """The demand that is declared so."""
    workload = read(tmp_path, declared, model, slo)
    return demand_as_declared(workload.demand, workload, find_model(model))


def test_prompts_and_answers_have_the_stated_quantiles(tmp_path):
    """Joint cells have the means of both, and the longest request is the sum of the longest."""
    stated = (
        "{requests_per_second: 6, input_tokens: {p50: 700, p95: 3000}, output_tokens: {p50: 150, p95: 600, max: 2000}}"
    )
    demand = demand_of(tmp_path, stated, slo="{e2e_p95: 20s}")

    assert (demand.input_tokens.p50, demand.input_tokens.p95) == (700, pytest.approx(3000))
    assert (demand.output_tokens.p50, demand.output_tokens.p95, demand.output_tokens.max) == (
        150,
        pytest.approx(600),
        2000,
    )
    assert demand.tokens.probability.sum() == pytest.approx(1)
    assert demand.tokens.mean_input_tokens() == pytest.approx(demand.input_tokens.mean)
    assert demand.tokens.mean_output_tokens() == pytest.approx(demand.output_tokens.mean)
    assert demand.longest_request_tokens == pytest.approx(demand.input_tokens.max + 2000)


def test_one_of_both_lengths_may_differ_alone(tmp_path):
    """Answers of one length beside prompts of many."""
    demand = demand_of(
        tmp_path,
        "{requests_per_second: 6, input_tokens: {p50: 700, p95: 3000}, output_tokens: 200}",
        slo="{e2e_p95: 9s}",
    )

    assert set(demand.tokens.output_tokens) == {200}
    assert demand.output_tokens.p95 == 200


@pytest.mark.parametrize(
    ("model", "declared", "median", "longest"),
    [
        ("BAAI/bge-m3", "input_tokens: {p50: 200, p95: 900}", 200, None),
        (
            "BAAI/bge-reranker-v2-m3",
            "documents: 20, query_tokens: 30, tokens_per_document: {p50: 200, p95: 500}",
            230,
            None,
        ),
        ("openai/whisper-large-v3", "audio_seconds: {p50: 12, p95: 40, max: 60}", 12_000, 60_000),
        ("BAAI/bge-large-en-v1.5", "input_tokens: {p50: 100, p95: 450}", 100, 512),
    ],
)
def test_sizes_of_other_kinds(tmp_path, model, declared, median, longest):
    """In the unit of the kind, a query beside each document, and cut where the model reads no more."""
    demand = demand_of(tmp_path, f"{{requests_per_second: 6, {declared}}}", model)

    assert demand.input_tokens.p50 == pytest.approx(median)
    assert longest is None or demand.input_tokens.max == pytest.approx(longest)
    assert demand.tokens.mean_input_tokens() == pytest.approx(demand.input_tokens.mean)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("{requests_per_second: 6, input_tokens: {p50: 700}, output_tokens: 200}", "input_tokens: missing: p95"),
        (
            "{requests_per_second: 6, input_tokens: {p50: 700, p95: 600}, output_tokens: 200}",
            "p95: 600 is out of range",
        ),
        (
            "{requests_per_second: 6, input_tokens: {p50: 7, p95: 60, max: 50}, output_tokens: 200}",
            "max: 50 is out of range",
        ),
        ("{requests_per_second: 6, input_tokens: {p50: 7, p99: 60}, output_tokens: 200}", "unknown key 'p99'"),
        ("{requests_per_second: 6, input_tokens: [7], output_tokens: 200}", "expected a mapping, found a list"),
        ("{requests_per_second: {p50: 3}, input_tokens: 7, output_tokens: 200}", "expected a number, found a mapping"),
        (
            "{requests_per_second: 6, input_tokens: {p50: 1, p95: 900000}, output_tokens: 200}",
            "the longest is 1.54e+11",
        ),
        ("{requests_per_second: 6, audio_seconds: {p50: 30, p95: 4001}}", "audio_seconds.p95: 4001 is out of range"),
        ("{requests_per_second: 6, audio_seconds: {p50: 30, p95: 90, max: 4001}}", "max: 4001 is out of range"),
        ("{requests_per_second: 6, audio_seconds: 4001}", "audio_seconds: 4001 is out of range"),
    ],
)
def test_what_is_no_spread_is_refused(tmp_path, declared, message):
    """With the field, and what to write."""
    with pytest.raises(InputError) as refused:
        read(tmp_path, declared)

    assert message in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize("key", ["mean", "median", "p99"])
def test_a_mean_of_lengths_is_told_what_states_a_spread(tmp_path, key):
    """Quantiles, or one number: max is like mean by its letters alone."""
    with pytest.raises(InputError) as refused:
        read(tmp_path, f"{{requests_per_second: 6, input_tokens: {{{key}: 700}}, output_tokens: 200}}")

    assert f"input_tokens.{key}: unknown key '{key}'" in str(refused.value)
    assert refused.value.hint == (
        "state p50 and p95, and max where there is one; or one number, which all requests then have"
    )


def test_a_recording_is_at_most_as_long_as_in_a_trace(tmp_path):
    """The longest that a trace may have is read, and stated as a maximum too."""
    for declared in ("4000", "{p50: 0.001, p95: 30, max: 4000}"):
        text = f"{{requests_per_second: 6, audio_seconds: {declared}}}"
        assert demand_of(tmp_path, text, "openai/whisper-large-v3").input_tokens.max <= 4_000_000


def test_recordings_without_a_maximum_are_cut_at_the_longest_and_said_to_be(tmp_path):
    """The 99.9th percentile is above it; shorter ones have no such note."""
    cut, short = (
        demand_of(tmp_path, f"{{requests_per_second: 6, audio_seconds: {spread}}}", "openai/whisper-large-v3")
        for spread in ("{p50: 90, p95: 1200}", "{p50: 30, p95: 90}")
    )

    assert cut.input_tokens.max == pytest.approx(4_000_000)
    assert any("cut at 4,000 s, the longest that is planned" in note for note in cut.notes)
    assert not any("cut at" in note for note in short.notes)


def test_lengths_that_differ_are_planned_as_they_are(tmp_path):
    """Of equal means, they need more: the fleet holds less, though the means are the same."""
    spread = read(
        tmp_path, "{requests_per_second: 60, input_tokens: {p50: 700, p95: 4000}, output_tokens: {p50: 150, p95: 700}}"
    )
    mean = spread.demand
    single = read(
        tmp_path, f"{{requests_per_second: 60, input_tokens: {mean.input_tokens}, output_tokens: {mean.output_tokens}}}"
    )
    of_spread, of_one_length = recommend(spread), recommend(single)

    assert of_spread.fleet.cost.total_usd_per_month > of_one_length.fleet.cost.total_usd_per_month


def test_a_context_that_leaves_out_more_than_may_miss_the_slo_is_refused(tmp_path):
    """No machine and no target helps: the number that would, and the share that it leaves out, are named."""
    lengths = "input_tokens: {p50: 700, p95: 3000}, output_tokens: 150"
    asked = replace(read(tmp_path, f"{{requests_per_second: 3, {lengths}}}"), context_tokens=2000)

    with pytest.raises(
        InputError, match=r"2,000 tokens leave out 1\d\.\d% of the requests, and 1.00% may miss"
    ) as refused:
        recommend(asked)
    assert "give 6400 or more" in refused.value.hint
    assert recommend(replace(asked, context_tokens=8192)).fleet is not None


@pytest.mark.parametrize("slo", ["{ttft_p95: 6s, tpot_p95: 50ms}", "{}"])
def test_a_context_a_little_too_short_is_refused_with_or_without_targets(tmp_path, slo):
    """1.86 % of these requests are longer than 100,000 tokens, by quantiles drawn at random; no target helps."""
    lengths = "input_tokens: {p50: 9000, p95: 60000}, output_tokens: {p50: 300, p95: 1200}"
    asked = read(tmp_path, f"{{requests_per_second: 2, {lengths}}}", slo=slo)

    with pytest.raises(InputError, match=r"100,000 tokens leave out 1\.[789]\d% of the requests, and 1\.00% may miss"):
        recommend(replace(asked, context_tokens=100_000))


def test_what_a_context_leaves_out_is_named_where_no_fleet_holds(tmp_path):
    """It is late on any machine, so a fleet that is late with nothing else holds; the refusal of another names it."""
    lengths = "input_tokens: {p50: 700, p95: 3000}, output_tokens: 150"
    asked = replace(read(tmp_path, f"{{requests_per_second: 3, {lengths}}}"), context_tokens=5700)
    plan = recommend(asked)
    fleet = plan.fleet

    assert fleet.confirmed.reached
    assert fleet.confirmed.unavoidable_late_ratio == pytest.approx(left_out_of(plan), abs=0.001)
    assert left_out_of(plan) == pytest.approx(0.0096, abs=0.001)
    late = replace(fleet.confirmed, within_slo_ratio=0.98, reached=False)
    told = refusal_words(replace(plan, fleet=replace(fleet, confirmed=late)))
    assert told.endswith("99% are asked; 1.0% of all are longer than context_tokens and miss it anywhere")
