"""Container Apps: what their alarms watch."""

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from codegen.plans import make_fleet_plan, make_plan
from codegen.scenarios.azure_vm_scale_set import azure_group, azure_option


def fleet_of(**changes):
    """The data of ``fleet.tf``."""
    plan = make_plan(azure_option(**changes))
    files = generate(plan, Language.TERRAFORM, Wanted(target="container-apps", rank=1)).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    return {name: literal(one.value.node) for name, one in values.attributes.items()}


@pytest.mark.parametrize(("weights_gib", "window"), [(14.96, "PT30M"), (150.0, "PT1H")])
def test_missing_replicas_are_told_after_one_could_have_started(weights_gib, window):
    """The window is one that Azure has, and holds the start of a replica."""
    (group,) = fleet_of(weights_gib=weights_gib)["groups"].values()
    assert group["metric_alarms"]["missing-replicas"]["window"] == window


def test_replicas_that_scaling_stops_are_no_restarts():
    """Only containers that ended by themselves count, and the name of the app stands in once."""
    (group,) = fleet_of()["groups"].values()
    query = group["log_alarms"]["restarts"]["query"]
    assert 'Log_s !has "ManuallyStopped"' in query
    assert query.count(f'"{group["app"]}"') == 1


def test_queue_of_a_replica_is_read_in_its_log():
    """A queue of the planned rate times the target takes the target to begin."""
    (group,) = fleet_of()["groups"].values()
    alarm = group["log_alarms"]["waiting-requests"]
    assert "extract(@'Waiting: ([0-9]+) req', 1, Log_s)" in alarm["query"]
    assert alarm["threshold"] >= 1


def test_server_errors_ring_at_a_share_of_the_planned_requests():
    """One percent of those of 15 minutes; single ones never."""
    (busy,) = fleet_of(planned_requests_per_second_per_instance=40.0)["groups"].values()
    (quiet,) = fleet_of(planned_requests_per_second_per_instance=0.01)["groups"].values()
    assert busy["metric_alarms"]["server-errors"]["threshold"] == pytest.approx(40.0 * 2 * 900 / 100)
    assert quiet["metric_alarms"]["server-errors"]["threshold"] == 10


def test_a_replica_is_not_ended_while_it_starts():
    """The autoscaler counts from when a replica is scheduled; what the plan does not pay for is said."""
    far = azure_group(instances=(0, 2), request_shares=(1.0, 1.0))
    files = generate(make_fleet_plan(far), Language.TERRAFORM, Wanted(target="container-apps")).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    (group,) = literal(values.attributes["groups"].value.node).values()
    assert group["cooldown_seconds"] == 720
    assert sorted(group["metric_alarms"]) == ["container-memory", "server-errors"], "what may be empty lacks nothing"
    assert "stays for 720 s after its last request" in files["README.md"]
