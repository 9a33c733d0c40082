"""Pins of Azure stacks: which key wins."""

from types import SimpleNamespace

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS

BACKEND = "eastus-1xa100"


@pytest.mark.parametrize("name", ["vm-scale-set-t4-fp16", "container-apps-t4-replicas"])
@pytest.mark.parametrize(
    ("given", "pinned"),
    [
        ({BACKEND: "own", "vllm": "engine", "*": "all"}, "own"),
        ({"vllm": "engine", "sglang": "other", "*": "all"}, "engine"),
        ({"sglang": "other", "*": "all"}, "all"),
        ({"sglang": "other"}, None),
    ],
)
def test_most_exact_key_wins(name, given, pinned):
    """A backend's key before its engine's, and that before "*"."""
    scenario = SCENARIOS[name]()
    program = {"__name__": "plan"}
    exec(generate(scenario.plan, Language.PYTHON, scenario.wanted).files["inference/plan.py"], program)
    fleet = SimpleNamespace(backends={BACKEND: SimpleNamespace(engine="vllm")})
    assert program["Fleet"].pinned(fleet, given, BACKEND) == pinned
