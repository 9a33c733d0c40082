"""Helpers for tests of generated roots: reading what was planned."""

import base64
import datetime as dt
import gzip
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS
from iac import harness

_SHARES = 24


def of_today(names: Sequence[str], shares: int = _SHARES) -> list[str]:
    """Those that this run tries: the first, and another share of them every day; all with ADVISOR_EVERY_STACK=1."""
    if os.environ.get("ADVISOR_EVERY_STACK") == "1":
        return list(names)
    day = dt.datetime.now(dt.UTC).toordinal()
    return [name for place, name in enumerate(names) if place == 0 or place % shares == day % shares]


def needs(environment: str) -> None:
    """Skip the running test when a tool is missing."""
    if not harness.is_installed(environment):
        pytest.skip(f"the verification tools ({environment}) are {harness.INSTALL_HINT}")


def write_root(name: str, directory: Path, inputs: Iterable[str] = ()) -> Path:
    """The Terraform root of a scenario, with rare *inputs* too, in *directory*."""
    scenario = SCENARIOS[name]()
    wanted = replace(scenario.wanted, inputs=scenario.wanted.inputs.union(inputs))
    return harness.write_module(generate(scenario.plan, Language.TERRAFORM, wanted).files, directory)


def resources(plan):
    """Planned resources as type → list of values."""
    found = {}
    for resource in plan["planned_values"]["root_module"]["resources"]:
        found.setdefault(resource["type"], []).append(resource.get("values", {}))
    return found


def user_data(plan, holding: str = "") -> str:
    """The script that a planned host boots with: of the first group whose script holds a text."""
    templates = resources(plan)["aws_launch_template"]
    scripts = (gzip.decompress(base64.b64decode(template["user_data"])).decode() for template in templates)
    return next(script for script in scripts if holding in script)
