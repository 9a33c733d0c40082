"""Helpers for tests of generated modules: filling in their variables, and reading what was planned."""

import base64
from pathlib import Path

import pytest

from iac import harness

_VALUES = """vpc_id                   = "vpc-0123456789abcdef0"
private_subnet_ids       = ["subnet-00000000000000001", "subnet-00000000000000002", "subnet-00000000000000003"]
load_balancer_subnet_ids = ["subnet-00000000000000004", "subnet-00000000000000005"]
certificate_arn          = "arn:aws:acm:us-east-1:123456789012:certificate/x"
access_logs_bucket       = "logs"
alert_emails             = ["oncall@example.com"]
hf_token_secret_arn      = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-token-AbCdEf"
"""
_AGENT = 'advisor_package = "https://artifacts.example.com/advisor-0.1.0-py3-none-any.whl"\n'
_OWN_MODEL = 'model_id = "organisation/model"\n'


def needs(environment: str) -> None:
    """Skip the running test when a tool is missing."""
    if not harness.is_installed(environment):
        pytest.skip(f"the verification tools ({environment}) are {harness.INSTALL_HINT}")


def fill_in(module: Path) -> None:
    """Give every variable that has no default a value."""
    variables = (module / "variables.tf").read_text()
    _, model = variables.split('variable "model_id"')
    has_default = "default" in model.split("validation", maxsplit=1)[0]
    agent = _AGENT if 'variable "advisor_package"' in variables else ""
    (module / "terraform.tfvars").write_text(_VALUES + agent + ("" if has_default else _OWN_MODEL))


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
