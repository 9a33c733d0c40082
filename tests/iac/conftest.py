"""Fixtures of the checks against real tools; a tool that is not installed skips the tests that need it, by name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from advisor.codegen import Language
from codegen.scenarios import SCENARIOS
from iac import harness
from iac.modules import needs, of_today, write_root


@pytest.fixture(scope="session")
def simulated_clouds(tmp_path_factory) -> Iterator[Path]:
    """CLI configuration that finds the simulated providers."""
    needs("tools")
    config_file = harness.simulated_mirror(tmp_path_factory.mktemp("mirror"))
    with harness.running_providers(config_file):
        yield config_file


@pytest.fixture(scope="session")
def modules(tmp_path_factory) -> Path:
    """A folder with the Terraform roots of the scenarios whose turn it is."""
    root = tmp_path_factory.mktemp("modules")
    written = [name for name, make in SCENARIOS.items() if Language.TERRAFORM in make().languages]
    for name in of_today(written, shares=12):
        write_root(name, root / name)
    return root


@pytest.fixture
def start(simulated_clouds, tmp_path):
    """Writes the root of a scenario and initialises it; *filled* gives its variables values, with *changes*."""

    def begin(name: str, environment: str = "tools", *, filled: bool = False, **changes: Any) -> harness.Terraform:
        needs(environment)
        directory = write_root(name, tmp_path / name, changes)
        if filled:
            values = json.dumps({**SCENARIOS[name]().variables, **changes})
            (directory / "terraform.tfvars.json").write_text(values)
        terraform = harness.Terraform(directory, simulated_clouds, environment)
        terraform.init()
        return terraform

    return begin
