"""The schema of plans and the values that are written under it name the same fields."""

import copy
import dataclasses
import json
import typing

import pytest

from advisor.demand.values import Backtest, DemandInterval
from advisor.errors import InputError
from advisor.plan.document import SCHEMA_PATH, plan_from_json, plan_to_json
from advisor.plan.fleet import chosen, costs
from advisor.plan.values import (
    ComparedLatency,
    Conflict,
    CurrentCost,
    Option,
    OptionCost,
    Plan,
    Predicted,
    RelaxedLimit,
    Rung,
)
from advisor.report.words import CODE_WORDS
from advisor.workload.values import RANGE, Limits
from codegen.plans import make_fleet_plan, make_group

SCHEMA = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
VALUES = {
    "backtest": Backtest,
    "compared_latency": ComparedLatency,
    "confirmation": chosen.Confirmation,
    "conflict": Conflict,
    "constraint_use": chosen.ConstraintUse,
    "demand_interval": DemandInterval,
    "fleet": chosen.Fleet,
    "fleet_cost": costs.FleetCost,
    "fleet_group": chosen.FleetGroup,
    "forecast_used": chosen.ForecastUsed,
    "option": Option,
    "option_cost": OptionCost,
    "planned_hours": chosen.PlannedHours,
    "price_range": chosen.PriceRange,
    "predicted": Predicted,
    "reactive_policy": chosen.ReactivePolicy,
    "relaxed_limit": RelaxedLimit,
    "rung": Rung,
    "scaling_plan": chosen.ScalingPlan,
    "static_peak": chosen.StaticPeak,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_definition_has_the_fields_of_its_value(name):
    """What is written is allowed, and nothing is allowed that is never written."""
    fields = {field.name for field in dataclasses.fields(VALUES[name])}

    assert set(SCHEMA["$defs"][name]["properties"]) == fields


def test_the_document_has_the_fields_of_a_plan():
    """The digest is added when a plan is written."""
    fields = {field.name for field in dataclasses.fields(Plan)}

    assert set(SCHEMA["properties"]) == fields | {"digest"}
    assert set(SCHEMA["properties"]["current"]["anyOf"][0]["properties"]) == {
        field.name for field in dataclasses.fields(CurrentCost)
    }


def limit_of(field: dataclasses.Field, hint: type) -> dict:
    """What the schema says of a limit, by its type and range."""
    if hint is bool:
        return {"type": "boolean"}
    within, options = field.metadata[RANGE], typing.get_args(hint) or (hint,)
    least = "exclusiveMinimum" if within.is_above else "minimum"
    number = {"type": "integer" if int in options else "number", least: within.least}
    if within.most <= 100:
        number["maximum"] = within.most
    return number if len(options) == 1 else {"anyOf": [number, {"type": "null"}]}


@pytest.mark.daily
def test_the_schema_has_every_limit_and_every_code(request):
    """It names the limits of a workload and the codes of rejections; ``--update-golden`` adds those that it lacks."""
    schema, hints = copy.deepcopy(SCHEMA), typing.get_type_hints(Limits)
    limits, codes = schema["properties"]["workload"]["properties"]["limits"], schema["$defs"]["rejection"]["properties"]
    stated = limits["properties"]
    limits["properties"] = {
        field.name: stated.get(field.name) or limit_of(field, hints[field.name]) for field in dataclasses.fields(Limits)
    }
    limits["required"] = list(limits["properties"])
    of_schema = codes["code"]["enum"]
    codes["code"]["enum"] = [code for code in of_schema if code in CODE_WORDS]
    codes["code"]["enum"] += [code for code in CODE_WORDS if code not in of_schema]
    if request.config.getoption("--update-golden") and schema != SCHEMA:
        SCHEMA_PATH.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
        return

    assert schema == SCHEMA
    for field in dataclasses.fields(Limits):
        if RANGE in field.metadata:
            assert stated[field.name] == limit_of(field, hints[field.name])


def test_a_region_is_as_long_as_a_name():
    """A longer one is refused with its field; it reached the names of generated code."""
    document = json.loads(plan_to_json(make_fleet_plan(make_group())))
    document["fleet"]["groups"][0]["region"] = "a" * 100_000

    with pytest.raises(InputError, match=r"^plan: fleet\.groups\.0\.region: ") as caught:
        plan_from_json(json.dumps(document))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("estate", "told"),
    [
        (
            {"workloads": [{"file": "chat.yaml"}, {"file": "team/mail.yml"}]},
            "plans/chat.plan.json, plans/team/mail.plan",
        ),
        ({"workloads": [{"file": f"{at}.yaml"} for at in range(9)]}, "plans/5.plan.json and 3 more"),
        ({"workloads": 3}, "give the plan of one of the estate"),
        ({"plans": {}}, "this estate holds its plans"),
    ],
)
def test_an_estate_given_as_a_plan_names_the_files_of_its_plans(estate, told):
    """Beside the estate; the first of many."""
    with pytest.raises(InputError) as refused:
        plan_from_json(json.dumps({"schema": "advisor.estate/v1", **estate}), "plans/estate.json")

    assert told in refused.value.hint
