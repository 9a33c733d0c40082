"""Fixtures of the checks against real tools; a tool that is not installed skips the tests that need it, by name."""

import json
from pathlib import Path

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS
from iac import harness
from iac.modules import needs


@pytest.fixture(scope="session")
def simulated_clouds(tmp_path_factory) -> Path:
    """CLI configuration that finds the simulated providers."""
    needs("tools")
    return harness.simulated_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="session")
def modules(tmp_path_factory) -> Path:
    """A folder with the Terraform root of every scenario."""
    root = tmp_path_factory.mktemp("modules")
    for name, make in SCENARIOS.items():
        scenario = make()
        if Language.TERRAFORM in scenario.languages:
            harness.write_module(generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files, root / name)
    return root


@pytest.fixture
def start(modules, simulated_clouds, tmp_path):
    """Makes a copy of a scenario's root, initialised; *filled* gives its variables values."""

    def begin(name: str, environment: str = "tools", *, filled: bool = False) -> harness.Terraform:
        needs(environment)
        directory = harness.copy_module(modules / name, tmp_path / name)
        if filled:
            values = json.dumps(dict(SCENARIOS[name]().variables))
            (directory / "terraform.tfvars.json").write_text(values)
        terraform = harness.Terraform(directory, simulated_clouds, environment)
        terraform.init()
        return terraform

    return begin
