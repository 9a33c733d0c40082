"""Checkov and Trivy find nothing in the generated modules that is not waived beside the line, with a reason."""

import json
import re
import subprocess

from iac import harness
from iac.modules import needs

WAIVERS = re.compile(r"#(?:checkov:skip=\w+:|trivy:ignore:[\w-]+ )(?P<reason>.*)")


def test_checkov_finds_nothing(modules):
    """No check fails in any scenario, and checks did run."""
    needs("checkov")
    command = [harness.tool("checkov", "checkov"), "--directory", modules, "--framework", "terraform"]
    options = ["--skip-download", "--compact", "--quiet", "--output", "json"]
    ran = subprocess.run([*command, *options], text=True, capture_output=True, timeout=300, check=False)
    report = json.loads(ran.stdout)
    failed = [(one["check_id"], one["file_path"]) for one in report["results"]["failed_checks"]]
    assert failed == []
    assert report["summary"]["passed"] > 40 * len(list(modules.iterdir()))
    assert report["summary"]["parsing_errors"] == 0


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
