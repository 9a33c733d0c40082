"""Fixtures of the checks against real tools; a tool that is not installed skips the tests that need it, by name."""

from pathlib import Path

import pytest

from advisor.codegen import generate
from codegen.plans import SCENARIOS
from iac import harness
from iac.modules import needs


@pytest.fixture(scope="session")
def simulated_aws(tmp_path_factory) -> Path:
    """CLI configuration that finds the simulated provider."""
    needs("tools")
    return harness.simulated_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="session")
def modules(tmp_path_factory) -> Path:
    """A folder with the module of every scenario."""
    root = tmp_path_factory.mktemp("modules")
    for name, make in SCENARIOS.items():
        harness.write_module(generate(*make()), root / name)
    return root


@pytest.fixture
def start(modules, simulated_aws, tmp_path):
    """Makes a copy of a scenario's module, initialised."""

    def begin(name: str, environment: str = "tools") -> harness.Terraform:
        needs(environment)
        terraform = harness.Terraform(harness.copy_module(modules / name, tmp_path / name), simulated_aws, environment)
        terraform.init()
        return terraform

    return begin
