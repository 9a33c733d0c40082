"""New machines get no requests before they answer, whatever their weight is: what decides, on each target of Azure and Google."""

import re

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS

MECHANISMS = {
    "vm-scale-set-mixed": {
        "entrance.cfg.tftpl": r"option httpchk GET \$\{health_path\}\n  default-server .* check ",
        "network.tf": r'"azurerm_lb_probe" "this" \{\n(.*\n)+?  request_path +?= each\.value\.health_path\n',
    },
    "container-apps-mixed": {
        "entrance.cfg.tftpl": r"http-check send meth GET uri \$\{health_path\} ",
        "entrance.tf": r'app\.min_replicas > 0 \? " check check-sni \$\{name\} init-state down"',
        "compute.tf": r"startup_probe \{\n(.*\n)+? +path +?= local\.backends\[each\.value\.backend\]\.health_path\n",
    },
    "mig-two-regions": {
        "network.tf": r"health_checks +?= \[google_compute_region_health_check\.serving\[each\.key\]\.id\]",
    },
    "cloud-run-two-regions": {
        "compute.tf": r"startup_probe \{\n(.*\n)+? +path = local\.backends\[each\.value\.backend\]\.health_path\n",
    },
}
"""Scenario → file → what asks the engine's health path there."""


@pytest.mark.parametrize("name", MECHANISMS)
def test_health_of_the_engine_decides_who_gets_requests(name):
    """A weight is a share among those that answer."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    assert [path for path, pattern in MECHANISMS[name].items() if not re.search(pattern, files[path])] == []
