"""Checkov and Trivy find nothing in the generated modules that is not waived beside the line, with a reason."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

from iac import harness
from iac.modules import needs

WAIVERS = re.compile(r"#(?:checkov:skip=\w+:|trivy:ignore:[\w-]+ )(?P<reason>.*)")
FEWEST_CHECKS = {
    "aws_autoscaling_group": 60,
    "aws_kms_key": 28,
    "google_compute_region_instance_group_manager": 34,
    "google_container_node_pool": 12,
    "google_cloud_run_v2_service": 16,
    "azurerm_linux_virtual_machine_scale_set": 22,
    "azurerm_kubernetes_cluster_node_pool": 1,
    "ibm_is_instance_group": 1,
}
"""Resource that tells a target → checks that pass in a root of it at least."""


def test_checkov_finds_nothing(modules):
    """No check fails in any scenario, and the checks of its target did run."""
    needs("checkov")
    command = [harness.tool("checkov", "checkov"), "--directory", modules, "--framework", "terraform"]
    options = ["--skip-download", "--compact", "--output", "json"]
    ran = subprocess.run([*command, *options], text=True, capture_output=True, timeout=300, check=False)
    report = json.loads(ran.stdout)
    failed = [(one["check_id"], one["file_path"]) for one in report["results"]["failed_checks"]]
    assert failed == []
    passed = Counter(check["file_path"].split("/")[1] for check in report["results"]["passed_checks"])
    assert sum(passed.values()) == report["summary"]["passed"]
    fewest = {root.name: _fewest_checks(root) for root in modules.iterdir()}
    assert {name: passed[name] for name, least in fewest.items() if passed[name] < least} == {}
    assert report["summary"]["parsing_errors"] == 0


def _fewest_checks(root: Path) -> int:
    text = "".join(path.read_text() for path in root.glob("*.tf"))
    return max((least for resource, least in FEWEST_CHECKS.items() if f'resource "{resource}"' in text), default=0)


def test_trivy_finds_nothing(modules):
    """No misconfiguration in any scenario, and files were looked at."""
    needs("tools")
    quiet = ["--skip-check-update", "--skip-version-check", "--disable-telemetry", "--quiet"]
    # Manifests have a file of accepted findings beside them: see test_kubernetes.py.
    skipped = ["--skip-dirs", "**/kubernetes"]
    command = [harness.tool("tools", "trivy"), "config", *quiet, *skipped, "--format", "json", modules]
    ran = subprocess.run(command, text=True, capture_output=True, timeout=300, check=True)
    results = json.loads(ran.stdout)["Results"]
    found = [(one["ID"], result["Target"]) for result in results for one in result.get("Misconfigurations", [])]
    assert found == []
    assert any(result["Target"].endswith("network.tf") for result in results)


def test_every_waiver_gives_a_reason(modules):
    """A check is only ever waived in line, with words that say why."""
    waivers = [found for path in modules.rglob("*.tf") for found in WAIVERS.finditer(path.read_text())]
    assert waivers
    assert all(len(found["reason"].split()) >= 5 for found in waivers)
