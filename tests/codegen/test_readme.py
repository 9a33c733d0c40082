"""What a person reads before applying: the plan's own figures."""

import pytest

from advisor.codegen import generate
from codegen.plans import make_option, make_plan


@pytest.mark.parametrize(
    "part", ["310 ms (from 210 to 450), target 1,000 ms", "calibrated", "$1,175.01", "L-DB2E81BA", "$32,061.60"]
)
def test_readme_says_what_the_plan_says(part):
    """Price, prediction with its interval, evidence and the quota to ask for stand in the README."""
    files = generate(make_plan(make_option(evidence="calibrated"))).files
    assert part in files["README.md"].replace("\\", "")
