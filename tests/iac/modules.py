"""Helpers for tests of generated roots: reading what was planned."""

import base64

import pytest

from iac import harness


def needs(environment: str) -> None:
    """Skip the running test when a tool is missing."""
    if not harness.is_installed(environment):
        pytest.skip(f"the verification tools ({environment}) are {harness.INSTALL_HINT}")


def resources(plan):
    """Planned resources as type → list of values."""
    found = {}
    for resource in plan["planned_values"]["root_module"]["resources"]:
        found.setdefault(resource["type"], []).append(resource.get("values", {}))
    return found


def user_data(plan) -> str:
    """The script that a planned host boots with."""
    (template,) = resources(plan)["aws_launch_template"]
    return base64.b64decode(template["user_data"]).decode()
