"""``advisor audit BILL --into DIR``: what a bill's dearest endpoints and idle machines change in a user's Terraform."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.audit.run import Inputs, audited
from advisor.catalog import load_catalog
from advisor.codegen.applying.addresses import addresses_with
from advisor.codegen.applying.project import open_project
from advisor.discovery.bill_changes import Sources, changes_of
from advisor.errors import InputError
from audit.machines import ACCELERATED, billed, day_of, sampled

SPOT = """
resource "aws_eks_node_group" "gpu" {
  instance_types = ["g5.12xlarge", "g6.12xlarge"]
  capacity_type  = "SPOT"
  scaling_config {
    desired_size = 2
    min_size     = 2
    max_size     = 3
  }
}
"""
CODE = """
variable "type" {
  default = "g5.12xlarge" # of chat
}

resource "aws_launch_template" "chat" {
  instance_type = var.type
}

resource "aws_autoscaling_group" "chat" {
  min_size         = 2
  max_size         = 4
  desired_capacity = 2
  launch_template {
    id = aws_launch_template.chat.id
  }
}
"""
WORKLOAD = """
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
slo: {ttft_p95: 1s, tpot_p95: 60ms}
demand: {declared: {requests_per_second: 1, input_tokens: 700, output_tokens: 180}}
"""


def code(tmp_path, text=CODE):
    """A Terraform root."""
    directory = tmp_path / "infra"
    directory.mkdir(exist_ok=True)
    (directory / "main.tf").write_text(text)
    return directory


def bill(tmp_path, hosts=2, tag="chat"):
    """A bill of machines of one endpoint."""
    charges = [
        charge
        for number in range(hosts)
        for charge in day_of(replace(ACCELERATED, resource=f"i-{number}", tags={"service": tag}))
    ]
    return billed(tmp_path, charges)


def changed(tmp_path, directory, *workloads, telemetry=(), **bill_of):
    """Changes of a bill; workload files are given by their texts."""
    paths = []
    for number, text in enumerate(workloads):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text)
    with audited(Inputs((str(bill(tmp_path, **bill_of)),), telemetry)) as opened:
        return changes_of(opened, directory, load_catalog(), Sources(workloads=paths))


def test_a_dear_endpoint_gets_the_machines_of_its_plan(tmp_path, run_advisor):
    """Type and numbers are written where they stand, only with ``--write``; the patch is all of stdout."""
    directory = code(tmp_path)
    before = (directory / "main.tf").read_text()
    (tmp_path / "workloads").mkdir()
    (tmp_path / "workloads" / "chat.yaml").write_text(WORKLOAD)
    asked = ("audit", bill(tmp_path), "--into", directory, "--workloads", tmp_path / "workloads")
    shown = run_advisor(*asked)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("--- a/main.tf\n+++ b/main.tf\n")
    assert '-  default = "g5.12xlarge" # of chat' in shown.stdout
    planned = re.search(
        r"endpoint chat: 2 × g5.12xlarge → \d+ × \S+: \$([\d,.]+) a month, \$([\d,.]+) today", shown.stderr
    )
    assert planned
    assert float(planned[1].replace(",", "")) < float(planned[2].replace(",", ""))
    assert (directory / "main.tf").read_text() == before
    written = run_advisor(*asked, "--write")
    assert written.stdout == shown.stdout
    assert "g5.12xlarge" not in (directory / "main.tf").read_text()
    assert "# of chat" in (directory / "main.tf").read_text()
    assert run_advisor("audit", bill(tmp_path), "--write").returncode == 2
    assert run_advisor(*asked, "--format", "json").returncode == 2


def test_an_endpoint_that_nothing_knows_is_left_alone(tmp_path):
    """Why there is no plan is said, with what to give, and no code changes."""
    changes = changed(tmp_path, code(tmp_path), tag="other")
    assert changes.application is None
    assert [wish.target for wish in changes.wishes] == [None]
    assert "--workloads" in changes.wishes[0].told


def test_idle_and_spare_machines_leave_the_numbers(tmp_path):
    """Of two machines that need a quarter of their accelerators together, one stays; the type is not touched."""
    folder = sampled(tmp_path, lambda _: 0.3, host="i-0")
    sampled(tmp_path, lambda _: 0.0, host="i-1")
    changes = changed(tmp_path, code(tmp_path), telemetry=(folder,))
    finding = changes.wishes[-1]
    assert finding.subject == "ADV101 (g5.12xlarge)"
    assert finding.told.startswith("2 → 1 × g5.12xlarge")
    assert changes.application is not None
    assert "+  desired_capacity = 1" in changes.application.patch
    assert "+  max_size         = 2" in changes.application.patch
    assert 'default = "' not in changes.application.patch.replace(" default", "")


def test_numbers_of_spot_groups_change_and_their_types_stay(tmp_path):
    """How instances are bought, and which types serve alike, is not the finding's business."""
    folder = sampled(tmp_path, lambda _: 0.0, host="i-0")
    sampled(tmp_path, lambda _: 0.0, host="i-1")
    changes = changed(tmp_path, code(tmp_path, SPOT), telemetry=(folder,))
    assert changes.application is not None
    assert "+    desired_size = 0" in changes.application.patch
    assert "+  instance_types" not in changes.application.patch


def test_several_places_of_one_type_are_told_and_not_edited(tmp_path):
    """Which of two instances an endpoint runs on is not guessed, unless its name says so."""
    two = 'resource "aws_instance" "a" {\n  count         = 1\n  instance_type = "g5.12xlarge"\n}\n'
    directory = code(tmp_path, two + two.replace('"a"', '"b"'))
    folder = sampled(tmp_path, lambda _: 0.0, host="i-0")
    changes = changed(tmp_path, directory, telemetry=(folder,), hosts=1)
    assert changes.application is None
    assert "several places say g5.12xlarge: aws_instance.a, aws_instance.b" in changes.wishes[-1].told
    code(tmp_path, two.replace("g5.12xlarge", "g5.2xlarge"))
    assert "no code says g5.12xlarge" in changed(tmp_path, directory, telemetry=(folder,), hosts=1).wishes[-1].told


def test_addresses_are_found_through_modules_and_variables(tmp_path):
    """Local modules are entered; calls of others are searched by their arguments and maps of groups."""
    directory = code(tmp_path)
    (directory / "pool").mkdir()
    (directory / "pool" / "main.tf").write_text(
        'variable "kind" {}\nresource "google_container_node_pool" "gpu" {\n  node_config {\n    machine_type = var.kind\n'
        "  }\n}\n"
    )
    (directory / "more.tf").write_text(
        'module "pool" {\n  source = "./pool"\n  kind   = "a2-highgpu-1g"\n}\n'
        'module "eks" {\n  source = "terraform-aws-modules/eks/aws"\n  eks_managed_node_groups = {\n    gpu = {\n'
        '      instance_types = ["p4d.24xlarge"]\n    }\n  }\n}\n'
    )
    project = open_project(directory)
    assert list(addresses_with(project, "g5.12xlarge")) == ["aws_launch_template.chat"]
    assert list(addresses_with(project, "a2-highgpu-1g")) == ["module.pool.google_container_node_pool.gpu"]
    assert list(addresses_with(project, "p4d.24xlarge")) == ['module.eks.eks_managed_node_groups["gpu"]']


def test_a_directory_without_code_is_refused(tmp_path):
    """The error says what to give."""
    with pytest.raises(InputError, match=r"no \.tf files"):
        changed(tmp_path, Path(tmp_path))
