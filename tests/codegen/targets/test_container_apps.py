"""Container Apps: what their alarms watch."""

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from codegen.plans import make_plan
from codegen.scenarios.azure_vm_scale_set import azure_option


def fleet_of(**changes):
    """The data of ``fleet.tf``."""
    plan = make_plan(azure_option(**changes))
    files = generate(plan, Language.TERRAFORM, Wanted(target="container-apps", rank=1)).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    return {name: literal(one.value.node) for name, one in values.attributes.items()}


@pytest.mark.parametrize(("weights_gib", "window"), [(14.96, "PT30M"), (150.0, "PT1H")])
def test_missing_replicas_are_told_after_one_could_have_started(weights_gib, window):
    """The window is one that Azure has, and holds the start of a replica."""
    assert fleet_of(weights_gib=weights_gib)["replica_alarm_window"] == window


def test_replicas_that_scaling_stops_are_no_restarts():
    """Only containers that ended by themselves count, and the name of the app stands in once."""
    query = fleet_of()["restart_query"]
    assert 'Log_s !has "ManuallyStopped"' in query
    assert query.count("APP") == 1
