"""The schema of plans and the values that are written under it name the same fields."""

import dataclasses
import json

import pytest

from advisor.demand.values import Backtest, DemandInterval
from advisor.plan.document import SCHEMA_PATH
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
