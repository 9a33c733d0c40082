"""A plan holds its question: it can be made again from its JSON alone."""

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.lengths import declared_demand
from advisor.demand.values import Demand, DemandProfile, Dispersion, TokenHistogram
from advisor.errors import InputError
from advisor.models import find_model
from advisor.pipeline import plan_for, plan_question, recommend
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.explain.whatif import compare, outcome_of, what_if
from advisor.plan.plain_values import from_plain, to_plain
from advisor.plan.request import PlanRequest, read_question
from advisor.workload.values import (
    DeclaredDemand,
    DemandSource,
    Deployment,
    Exclude,
    Limits,
    OwnedCommitment,
    QuotaLimit,
    Scaling,
    Survive,
    Workload,
)
from builders import catalog_of, offer, workload

ROOT = Path(__file__).parents[2]
CONFIG = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
}


def again(text: str, catalog=None) -> str:
    """The plan of a plan's question."""
    question = read_question(plan_from_json(text).question)
    return plan_to_json(plan_question(question, catalog or load_catalog()))


def test_a_plan_within_a_scope_is_made_again_with_the_same_bytes():
    """What the scope resolves to is kept: a continent, names of accelerators, what is excluded."""
    catalog = catalog_of(offer(), offer("g6e.xlarge", on_demand=1.8), offer(region="eu-west-1", on_demand=0.1))
    asked = workload(
        current=Deployment("aws", "us-east-1", "g6.xlarge", 1, Purchase.ON_DEMAND),
        near_current=True,
        accelerators=("l4", "H100"),
        exclude=Exclude(regions=("us-west-2",), engines=("sglang",)),
    )
    text = plan_to_json(plan_for(asked, catalog))

    assert again(text, catalog) == text
    assert any("take an account of their own" in note for note in json.loads(text)["notes"])
    assert {group["region"] for group in json.loads(text)["fleet"]["groups"]} == {"us-east-1"}


def office_asked(zone: str, day: dt.date | None) -> PlanRequest:
    """Four weeks of an office in Berlin, across the end of summer time on 25 October."""
    start = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
    hours = np.arange(28 * 24)
    local = (hours + np.where(hours < 20 * 24 + 1, 2, 1)) % 24
    profile = DemandProfile(start.timestamp(), np.repeat(np.where((local >= 8) & (local < 18), 480.0, 6.0), 60))
    asked = workload(timezone=zone, as_of=day, scaling=Scaling(), horizon_days=30.0)
    return PlanRequest(asked, find_model(asked.model), replace(declared_demand(3.3, 8, 800, 200), profile=profile))


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Berlin", None), ("Europe/Berlin", dt.date(2027, 6, 1)), ("America/New_York", None)]
)
def test_demand_across_a_clock_change_is_planned_again_as_it_was(zone, day):
    """The question keeps the measured hours: they are moved to those of the horizon once each time that it is asked."""
    catalog, question = catalog_of(offer()), office_asked(zone, day)
    plan = plan_question(question, catalog)
    kept = read_question(json.loads(json.dumps(plan.question)))
    changed, sold, changes = what_if(kept, catalog, "demand=1x")
    compared = compare(changes, plan_question(kept, catalog), plan_question(changed, sold))

    assert kept.demand.profile.start_seconds == question.demand.profile.start_seconds
    assert np.array_equal(kept.demand.profile.requests_per_minute, question.demand.profile.requests_per_minute)
    assert again(plan_to_json(plan), catalog) == plan_to_json(plan)
    assert compared.before == compared.after == outcome_of(plan)


def test_another_time_zone_is_asked_of_the_measured_hours():
    """A plan in the hours of one zone says what one in those of another costs."""
    catalog = catalog_of(offer())
    kept = read_question(plan_question(office_asked("America/New_York", None), catalog).question)
    asked, _, _ = what_if(kept, catalog, "timezone=Europe/Berlin")

    berlin = plan_question(office_asked("Europe/Berlin", None), catalog)
    assert plan_question(asked, catalog).fleet == berlin.fleet


def test_a_question_without_fields_that_came_later_is_read():
    """A declared rate as it was kept before users could be stated."""
    kept = to_plain(DeclaredDemand(5.0, 8.0, 800.0, 200.0))
    old = {
        key: kept[key] for key in ("requests_per_second", "peak_requests_per_second", "input_tokens", "output_tokens")
    }

    assert from_plain(DemandSource, old) == DeclaredDemand(5.0, 8.0, 800.0, 200.0)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("example", ["chat", "gpu-samples"])
def test_a_plan_made_again_from_its_json_has_the_same_bytes(example):
    """Neither the workload file nor its trace or samples are needed to get every byte of the plan again."""
    text = plan_to_json(recommend(ROOT / "examples" / example / "workload.yaml"))

    assert again(text) == text
    assert len(json.dumps(json.loads(text)["question"])) < 60_000


def test_a_model_given_as_a_file_is_in_the_question(tmp_path):
    """The config.json may be gone when the plan is made again."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(CONFIG))
    catalog = catalog_of(offer())
    asked = workload(
        model="./tiny/config.json", path=tmp_path / "workload.yaml", demand=DeclaredDemand(5.0, 8.0, 800.0, 200.0)
    )
    text = plan_to_json(plan_for(asked, catalog))
    shutil.rmtree(tmp_path / "tiny")

    assert again(text, catalog) == text


@pytest.mark.sampled(3)
def test_a_question_does_not_say_where_it_was_asked(tmp_path):
    """The same workload in another folder gives the same question."""
    shutil.copytree(ROOT / "examples" / "chat", tmp_path / "chat")
    here, there = (recommend(folder / "workload.yaml") for folder in (ROOT / "examples" / "chat", tmp_path / "chat"))

    assert here.question == there.question
    assert str(tmp_path) not in json.dumps(there.question)


def test_every_field_of_a_workload_comes_back():
    """Dates, enumerations, tuples and nested values are what they were."""
    limits = Limits(survive=Survive.ZONE, zones=2, quotas=(QuotaLimit("aws", "us-east-1", "L-DB2E81BA", 96.0),))
    whole = workload(
        limits=limits,
        current=Deployment("aws", "us-east-1", "g5.xlarge", 3, Purchase.SPOT),
        commitments=(OwnedCommitment("aws", "us-east-1", "g5.xlarge", 2, dt.date(2027, 3, 31)),),
        users=(("US", 0.75), ("DE", 0.25)),
        scaling=Scaling(scale_to_zero=True),
        as_of=dt.date(2026, 10, 1),
    )

    assert from_plain(Workload, json.loads(json.dumps(to_plain(whole)))) == whole


floats = st.floats(allow_infinity=False, allow_nan=False)
arrays = st.lists(floats, min_size=1, max_size=8).map(np.array)


@given(arrays, st.lists(floats | st.just(float("nan")), max_size=8).map(np.array), floats)
def test_numbers_come_back_to_the_last_bit(tokens, minutes, mean):
    """Arrays and floats, unknown ones too, are the same after a trip through JSON."""
    histogram = TokenHistogram(tokens, tokens[::-1], tokens)
    profile = DemandProfile(mean, minutes, Dispersion(mean, None), {23: histogram})
    back = from_plain(DemandProfile, json.loads(json.dumps(to_plain(profile))))

    assert (back.start_seconds, back.dispersion) == (mean, Dispersion(mean, None))
    assert np.array_equal(back.requests_per_minute, minutes, equal_nan=True)
    assert np.array_equal(back.tokens_by_hour[23].output_tokens, histogram.output_tokens)


def test_an_unknown_demand_stays_unknown():
    """A number that is not a number is null in JSON, and neither zero nor an error when read back."""
    assert np.isnan(from_plain(float, to_plain(float("nan"))))
    assert from_plain(Demand | None, None) is None


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda plan: replace(plan, question=None), "does not hold the question"),
        (lambda plan: replace(plan, question={"workload": {}, "model": {}, "demand": {}}), "cannot be read"),
        (lambda plan: replace(plan, question=plan.question | {"model": {"surprise": 1}}), "cannot be read"),
    ],
)
def test_a_plan_without_its_question_is_refused(spoil, expected):
    """A plan of an older version, or one that was edited, is answered with what to do."""
    plan = spoil(plan_for(workload(), catalog_of(offer())))

    with pytest.raises(InputError, match=expected) as caught:
        read_question(plan.question, "plan.json")
    assert "make the plan again" in caught.value.hint


@pytest.mark.parametrize("name", ["openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-Next-80B-A3B-Instruct"])
def test_a_model_comes_back_whole(name):
    """Experts, latent attention and recurrent layers have the same parameters after a trip through JSON."""
    model = find_model(name)
    back = from_plain(type(model), json.loads(json.dumps(to_plain(model))))

    assert back.components == model.components
    assert back.layers == model.layers
