"""The plan's JSON: its schema, its bytes, and what is refused when it is read back."""

import dataclasses
import json

import jsonschema_rs
import pytest

from advisor.errors import InputError
from advisor.pipeline import plan_for
from advisor.plan import values
from advisor.plan.document import SCHEMA_PATH, plan_from_json, plan_to_json
from builders import catalog_of, offer, workload

SCHEMA = json.loads(SCHEMA_PATH.read_text())


@pytest.fixture(scope="module")
def text():
    """A plan with options and rejections."""
    return plan_to_json(plan_for(workload(), catalog_of(offer(spot=0.3), offer("g5.xlarge", on_demand=None))))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("option", values.Option),
        ("cost", values.Cost),
        ("predicted", values.Predicted),
        ("interval", values.Interval),
        ("rejection", values.Rejection),
    ],
)
def test_schema_and_values_have_the_same_fields(name, kind):
    """No field of the plan is missing from the schema, and none is described that does not exist."""
    assert list(SCHEMA["$defs"][name]["properties"]) == [field.name for field in dataclasses.fields(kind)]
    assert SCHEMA["$defs"][name]["required"] == list(SCHEMA["$defs"][name]["properties"])


def test_the_schema_is_a_schema():
    """The shipped file is valid JSON Schema."""
    jsonschema_rs.meta.validate(SCHEMA)


def test_the_names_other_programs_read_are_there(text):
    """The keys that are promised stand where they are promised."""
    plan = json.loads(text)

    assert plan["schema"] == "advisor.plan/v1"
    assert set(plan["demand"]["requests_per_second"]) >= {"mean", "p95", "peak"}
    assert set(plan["demand"]["input_tokens"]) >= {"p50", "p95"}
    assert set(plan["options"][0]["predicted"]["ttft_p95_ms"]) == {"value", "low", "high"}
    assert set(plan["provenance"]) == {
        "advisor_version", "catalog_hash", "catalog_as_of", "calibration_version", "input_digest",
    }  # fmt: skip
    assert plan["recommended"] == plan["options"][0]


def test_it_reads_back_as_it_was_written(text):
    """Reading and writing again gives the same bytes."""
    assert plan_to_json(plan_from_json(text)) == text


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda plan: plan.update(schema="advisor.plan/v0"), "the schema is 'advisor.plan/v0'"),
        (lambda plan: plan.pop("options"), "options"),
        (lambda plan: plan["options"][0].update(instances=0), "options.0.instances"),
        (lambda plan: plan["options"][0]["cost"].update(total_usd_per_month=0), "total_usd_per_month"),
        (lambda plan: plan.update(surprise=1), "surprise"),
    ],
)
def test_a_spoiled_plan_is_refused(text, spoil, expected):
    """A plan that was edited out of shape is refused with the place of the fault."""
    plan = json.loads(text)
    spoil(plan)

    with pytest.raises(InputError, match=r"plan\.json") as caught:
        plan_from_json(json.dumps(plan), "plan.json")

    assert expected in str(caught.value)


@pytest.mark.parametrize("nonsense", ["", "[]", "{", "null", '"plan"'])
def test_no_plan_at_all_is_refused(nonsense):
    """Anything that is no plan is an InputError."""
    with pytest.raises(InputError):
        plan_from_json(nonsense)
