"""The plan's JSON: its schema, its bytes, and what is refused when it is read back."""

import dataclasses
import datetime as dt
import json

import jsonschema_rs
import pytest

from advisor.errors import InputError
from advisor.pipeline import plan_for
from advisor.plan import values
from advisor.plan.document import SCHEMA_PATH, plain, plan_from_json, plan_to_json, why_not_as_made
from advisor.plan.fleet import chosen, costs
from advisor.plan.values import Conflict, RelaxedLimit
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.workload.values import Exclude, Limits, OwnedCommitment, Scaling, Slo
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
        ("option_cost", values.OptionCost),
        ("predicted", values.Predicted),
        ("rung", values.Rung),
        ("interval", values.Interval),
        ("rejection", values.Rejection),
        ("fleet", chosen.Fleet),
        ("fleet_group", chosen.FleetGroup),
        ("fleet_cost", costs.FleetCost),
        ("planned_hours", chosen.PlannedHours),
        ("constraint_use", chosen.ConstraintUse),
        ("static_peak", chosen.StaticPeak),
        ("confirmation", chosen.Confirmation),
        ("forecast_used", chosen.ForecastUsed),
        ("conflict", Conflict),
        ("relaxed_limit", RelaxedLimit),
    ],
)
def test_schema_and_values_have_the_same_fields(name, kind):
    """No field of the plan is missing from the schema, and none is described that does not exist."""
    fields = dataclasses.fields(kind)
    assert set(SCHEMA["$defs"][name]["properties"]) == {field.name for field in fields}
    assert set(SCHEMA["$defs"][name]["required"]) >= {one.name for one in fields if one.default is dataclasses.MISSING}


@pytest.mark.parametrize(
    ("name", "kind"), [("limits", Limits), ("scaling", Scaling), ("slo", Slo), ("exclude", Exclude)]
)
def test_a_plan_repeats_everything_that_the_workload_states(name, kind):
    """Each limit, target and choice of scaling stands in the plan under its own name."""
    described = SCHEMA["properties"]["workload"]["properties"][name]

    fields = dataclasses.fields(kind)
    assert list(described["properties"]) == [field.name for field in fields]
    assert described["required"] == [field.name for field in fields if field.metadata != OMITTED_AT_DEFAULT]


def test_what_a_workload_says_of_places_and_time_is_repeated():
    """Users, residency, commitments, running instances and dates are in the plan as they were understood."""
    owned = OwnedCommitment("aws", "us-east-1", "g6.xlarge", 1, dt.date(2027, 5, 31))
    asked = workload(
        users=(("US-east", 0.75), ("DE", 0.25)), residency=("US",), commitments=(owned,), as_of=dt.date(2026, 11, 24),
        running=((("aws/us-east-1/g6.xlarge", "on_demand"), 2),), horizon_days=90.0,
    )  # fmt: skip

    told = json.loads(plan_to_json(plan_for(asked, catalog_of(offer()))))["workload"]

    assert told["users"] == {"US-east": 0.75, "DE": 0.25}
    assert told["residency"] == ["US"]
    assert told["commitments"][0] | {"expires": "2027-05-31"} == told["commitments"][0]
    assert (told["as_of"], told["horizon_days"]) == ("2026-11-24", 90.0)
    assert told["running"] == {"aws/us-east-1/g6.xlarge": 2}


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
    assert plan["recommended"]["cost"]["total_usd_per_month"] == plan["fleet"]["cost"]["total_usd_per_month"]
    assert set(plan["ladder"][0]) >= {
        "rung", "total_usd_per_month", "saving_ratio", "groups", "risks", "requires", "evidence", "why_none",
    }  # fmt: skip


def test_it_reads_back_as_it_was_written(text):
    """Reading and writing again gives the same bytes."""
    assert plan_to_json(plan_from_json(text)) == text


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda plan: plan.update(schema="advisor.plan/v0"), "the schema is 'advisor.plan/v0'"),
        (lambda plan: plan.pop("options"), "options"),
        (lambda plan: plan["options"][0].update(instances=0), "options.0.instances"),
        (lambda plan: plan["options"][0]["cost"].update(total_usd_per_month=-1), "total_usd_per_month"),
        (lambda plan: plan.update(surprise=1), "surprise"),
        (lambda plan: plan["fleet"]["groups"][0]["instances"].append(1), "fleet.groups.0.instances: "),
        (
            lambda plan: plan["fleet"]["groups"][0].update(instances=[0] * len(plan["fleet"]["hour_classes"])),
            "fleet.groups.0.instances: at their most 0, not 1 to 1,000,000",
        ),
        (
            lambda plan: plan["fleet"]["groups"][0]["instances"].__setitem__(0, 10**15),
            "at their most 1,000,000,000,000,000, not 1 to 1,000,000",
        ),
        (lambda plan: plan["fleet"]["groups"][0]["request_shares"].clear(), "fleet.groups.0.request_shares: 0 numbers"),
        (lambda plan: plan["fleet"]["groups"][0]["request_shares"].__setitem__(0, 1.5), "request_shares.0: 1.5 is"),
        (lambda plan: plan["options"][0].update(purchase="x" * 10_000), 'xxx… is none of "on_demand", "spot", "comm'),
        (
            lambda plan: plan["fleet"]["groups"][0].update(purchase="futures"),
            '.0.purchase: "futures" is none of "on_demand", "spot", "commitment", "owned", "serverless", "managed"',
        ),
        (
            lambda plan: plan["fleet"]["standing"][0].update(item="rent"),
            'fleet.standing.0.item: "rent" is none of "load_balancer", "load_balancer_capacity", ',
        ),
        (
            lambda plan: plan["fleet"]["groups"][0].update(price_quality="guessed"),
            'price_quality: "guessed" is none of',
        ),
        (lambda plan: plan["fleet"]["groups"][0].update(evidence="hearsay"), 'evidence: "hearsay" is none of'),
        (lambda plan: plan["fleet"].pop("groups"), 'fleet: "groups" is a required property'),
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


@pytest.mark.parametrize(
    ("schema", "hint"),
    [
        ("advisor.plan/v0", "make the plan again"),
        ("advisor.plan/v12", "newer version"),
        ("advisor.estate/v1", "estate"),
        ("advisor.levers/v1", "shown by the command that made it"),
        (7, "make the plan again"),
    ],
)
def test_another_schema_says_what_to_do(text, schema, hint):
    """Older plans are made again, newer ones need a newer program, and an estate is not a plan."""
    with pytest.raises(InputError, match="schema") as caught:
        plan_from_json(json.dumps(json.loads(text) | {"schema": schema}))
    assert hint in caught.value.hint


def test_digest_tells_an_edit(text):
    """The order of keys and the layout are no edit; any other value, and a missing digest, are."""
    plan = json.loads(text)
    assert plan["digest"].startswith("sha256:")
    assert why_not_as_made(text) == ""
    assert why_not_as_made(json.dumps(dict(reversed(plan.items())), indent=7)) == ""
    assert "edited after" in why_not_as_made(json.dumps(plan | {"notes": ["mine"]}))
    plan["options"][0]["instances"] += 1
    assert "edited after" in why_not_as_made(json.dumps(plan))
    del plan["digest"]
    assert "no digest" in why_not_as_made(json.dumps(plan))


def test_deep_nesting_is_refused():
    """No stack of ours runs over."""
    with pytest.raises(InputError, match="not JSON"):
        plan_from_json("[" * 200_000)


@pytest.mark.parametrize("name", ["total_usd_per_month", "recommended_usd_per_month_high", "usd_per_month_more"])
def test_money_is_kept_to_the_cent_however_large(name):
    """Amounts read back from a file print as those that were never written."""
    assert plain(11_088.784, name) == 11_088.78
