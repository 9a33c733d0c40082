"""Virtual machine scale sets: what their hosts are given."""

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from codegen.plans import make_plan
from codegen.scenarios.azure_vm_scale_set import azure_option


def fleet_of(**changes):
    """The data of ``fleet.tf``."""
    files = generate(make_plan(azure_option(**changes)), Language.TERRAFORM, Wanted(rank=1)).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    return {name: literal(one.value.node) for name, one in values.attributes.items()}


A100 = {"instance_type": "Standard_NC24ads_A100_v4", "accelerator": "A100-80GB-PCIe"}


@pytest.mark.parametrize(
    ("machine", "weights_gib", "holds_weights"),
    [(A100, 15.0, False), (A100, 900.0, True), ({}, 15.0, True)],
    ids=["local disk", "local disk too small", "no local disk"],
)
def test_system_disk_holds_weights_only_where_no_local_disk_does(machine, weights_gib, holds_weights):
    """960 GB of NVMe hold 15 GiB and not 900."""
    (group,) = fleet_of(**machine, weights_gib=weights_gib)["groups"].values()
    assert (group["os_disk_gib"] > 140) == holds_weights


def test_alarms_ring_at_the_targets():
    """5 % of the requests beyond the target of TTFT; a queue of the planned rate times the target; 1 % of 5xx."""
    fleet = fleet_of(planned_requests_per_second_per_instance=20.0)
    (group,) = fleet["groups"].values()
    assert group["waiting_limit"] == 20 * fleet["ttft_target_seconds"]
    thresholds = {name: fleet["alarms"][name]["threshold"] for name in ("ttft", "waiting-requests", "server-errors")}
    assert thresholds == {"ttft": 5, "waiting-requests": 1, "server-errors": 1}
    assert "report.ttft_over_target" in fleet["alarms"]["ttft"]["query"]
    assert "where whole > 0" in fleet["alarms"]["server-errors"]["query"]
