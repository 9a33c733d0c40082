"""Fixtures of the checks against real tools; a tool that is not installed skips the tests that need it, by name."""

from pathlib import Path

import pytest

from advisor.codegen import generate
from codegen.plans import SCENARIOS
from iac import harness

REQUIRED_VALUES = """vpc_id                   = "vpc-0123456789abcdef0"
private_subnet_ids       = ["subnet-00000000000000001", "subnet-00000000000000002", "subnet-00000000000000003"]
load_balancer_subnet_ids = ["subnet-00000000000000004", "subnet-00000000000000005"]
certificate_arn          = "arn:aws:acm:us-east-1:123456789012:certificate/x"
access_logs_bucket       = "logs"
alert_emails             = ["oncall@example.com"]
hf_token_secret_arn      = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-token-AbCdEf"
"""
OWN_MODEL = 'model_id = "organisation/model"\n'


def needs(environment: str) -> None:
    """Skip the running test when a tool is missing."""
    if not harness.is_installed(environment):
        pytest.skip(f"the verification tools ({environment}) are {harness.INSTALL_HINT}")


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


def fill_in(module: Path) -> None:
    """Give every variable that has no default a value."""
    has_model = (
        "default" in (module / "variables.tf").read_text().split('variable "model_id"')[1].split("validation")[0]
    )
    (module / "terraform.tfvars").write_text(REQUIRED_VALUES + ("" if has_model else OWN_MODEL))
