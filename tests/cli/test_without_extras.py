"""What needs no extra runs where none is installed; what needs one says which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OF_EXTRAS = (
    "duckdb",
    "pyarrow",
    "sklearn",
    "scipy",
    "starlette",
    "uvicorn",
    "boto3",
    "gpuhunt",
    "pulumi",
    "matplotlib",
)
PROGRAM = f"""
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OF_EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["advisor", *sys.argv[1:]]
runpy.run_module("advisor", run_name="__main__", alter_sys=True)
"""


def advisor(*arguments, cwd):
    """The command line in an interpreter that has no library of an extra."""
    return subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *map(str, arguments)],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a plan."""
    folder = tmp_path_factory.mktemp("core")
    asked = (ROOT / "examples/chat/workload.yaml", "--format", "json", "-o", "plan.json", "--terraform", "infra")
    done = advisor("recommend", *asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "report plan.json -o report.html",
        "diff plan.json plan.json",
        "explain plan.json --cost",
        "check plan.json --max-price-age 3650",
        "generate terraform plan.json --into again",
        "generate monitoring plan.json --into monitoring",
        f"levers {ROOT}/examples/chat/workload.yaml --format html -o levers.html",
        f"case {ROOT}/examples/recommender/case.yaml",
        "price infra",
        "catalog list --region us-east-1",
    ],
)
def test_it_runs_without_them(command, folder):
    """Plans, their reports and code."""
    done = advisor(*command.split(), cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("audit bill.csv", "audit"),
        ("samples show samples", "data"),
        ("demand summarise trace.csv -o demand.json", "data"),
        (f"serve {ROOT}/examples/chat/workload.yaml", "serve"),
        ("calibrate runs.json", "calibration"),
    ],
)
def test_it_names_the_extra_that_it_needs(command, extra, folder):
    """In the command that installs it."""
    done = advisor(*command.split(), cwd=folder)
    assert done.returncode == 1
    assert f"pip install 'inference-advisor[{extra}]'" in done.stderr
