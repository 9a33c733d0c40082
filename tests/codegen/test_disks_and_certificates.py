"""Alarms on full disks and on certificates that nobody renewed: in each target whose cloud tells of them."""

import json

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS
from codegen.test_size import PLAIN

DISKS = {
    "ec2": '"disk_used_percent"',
    "sagemaker": '"DiskUtilization"',
    "mig": "disk_percent_used{HOSTS",
    "tpu-vm": "disk_percent_used{HOSTS",
    "gke": "node_ephemeral_storage_used_bytes{",
    "vm-scale-set": "report.disk_percent",
    "aks": "container.azm.ms/disk",
}
"""Target → what its alarm on full disks reads; the clouds of the others publish no such metric of the plan's own."""


@pytest.mark.parametrize("target", PLAIN)
@pytest.mark.parametrize("language", Language)
def test_full_disks_ring_where_a_cloud_tells_of_them(target, language):
    """Above 90 percent, before downloads and logs fail."""
    scenario = SCENARIOS[PLAIN[target]]()
    if language not in scenario.languages:
        pytest.skip("no such program")
    files = generate(scenario.plan, language, scenario.wanted).files
    (fleet,) = (text for path, text in files.items() if path in ("fleet.tf", "inference/fleet.py"))
    assert (DISKS.get(target, "no disk") in fleet) == (target in DISKS)
    assert ("Disk of a" in fleet) == (target in DISKS)


@pytest.mark.parametrize("language", Language)
def test_certificates_of_load_balancers_ring_before_they_expire(language):
    """A day's lowest count of days, of the certificate that a region was given."""
    scenario = SCENARIOS["two-regions"]()
    files = generate(scenario.plan, language, scenario.wanted).files
    code = "\n".join(text for path, text in files.items() if "tests/" not in path)
    assert "DaysToExpiry" in code
    assert "AWS/CertificateManager" in code
    assert "86400" in code


def test_hosts_on_ec2_report_every_disk_that_fills():
    """The agent's configuration names the system's disk and those of the weights, whoever mounted them."""
    scenario = SCENARIOS["a10g-on-demand"]()
    script = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["user_data.sh.tftpl"]
    places = script.partition('"disk": ')[2].partition("}")[0] + "}"
    assert json.loads(places)["resources"] == ["/", "/opt/dlami/nvme", "/var/cache/inference"]
