"""What a person reads before applying: the plan's own figures."""

import math

import pytest

from advisor.catalog.values import Purchase
from advisor.codegen import generate
from advisor.codegen.generate import Language
from advisor.pipeline import plan_for
from builders import catalog_of, offer, workload
from codegen.plans import make_option, make_plan


@pytest.mark.parametrize(
    "part", ["310 ms (from 210 to 450), target 1,000 ms", "calibrated", "$1,175.01", "L-DB2E81BA", "$32,061.60"]
)
def test_readme_says_what_the_plan_says(part):
    """Price, prediction with its interval, evidence and the quota to ask for stand in the README."""
    files = generate(make_plan(make_option(evidence="calibrated"))).files
    assert part in files["README.md"].replace("\\", "")


@pytest.mark.parametrize("language", Language)
def test_readme_says_how_much_of_a_quota_is_needed(language):
    """The most instances that the group may have, a replacement included, times the processors of each: 4 of g6.xlarge."""
    option = make_option()
    readme = generate(make_plan(option), language).files["README.md"]
    most = option.instances + max(1, math.ceil(option.instances / 4))

    assert f"{most * 4} in us-east-1 ({most} × 4), with those that a replacement starts" in readme.replace("\\", "")


def test_plan_and_readme_ask_for_the_same_quota():
    """What the verdict says to raise a quota to is what the README of the code says."""
    plan = plan_for(workload(purchase=(Purchase.ON_DEMAND,)), catalog_of(offer("g6e.xlarge", on_demand=1.86)))
    (need,) = plan.fleet.quotas

    assert need.needed_while_replaced > need.needed
    assert f"{need.needed_while_replaced:,g} in us-east-1" in generate(plan).files["README.md"].replace("\\", "")
