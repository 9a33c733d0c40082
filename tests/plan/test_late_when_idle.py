"""Machines that are late with no other load: no number of them makes up for it, and none is bought."""

import pytest

from advisor.catalog import load_catalog
from advisor.pipeline import plan_for
from advisor.workload.document import read_workload

ASKED = """\
name: helpdesk
model: Qwen/Qwen2.5-32B-Instruct
precisions: [bf16]
slo: {ttft_p95: 2s, tpot_p95: 60ms}
demand:
  declared:
    requests_per_second: 0.5
    peak_requests_per_second: 1.5
    input_tokens: {p50: 1000, p95: 5200}
    output_tokens: {p50: 220, p95: 700}
providers: [aws]
regions: [eu-west-1]
purchase: [on_demand]
limits: {min_replicas: 2, zones: 2}
"""
"""p4d.24xlarge is fast enough and sold in one zone; g5.48xlarge in three, and 2 % of its requests are late when idle."""


@pytest.fixture
def plan(tmp_path):
    """Makes the plan of a workload with further lines."""

    def made(*lines, replaced=None):
        keys = {line.partition(":")[0] for line in lines}
        text = "".join(
            f"{line}\n" for line in (*ASKED.splitlines(), *lines) if line in lines or line.partition(":")[0] not in keys
        )
        for old, new in (replaced or {}).items():
            text = text.replace(old, new)
        path = tmp_path / "workload.yaml"
        path.write_text(text)
        return plan_for(read_workload(path), load_catalog())

    return made


def test_no_crowd_of_idle_machines_fills_another_zone(plan):
    """Hundreds of them beside two fast ones would keep the SLO on paper; the limit of zones is what is told."""
    planned = plan()

    assert planned.fleet is None
    assert planned.conflict.constraints == ("zones",)


def test_the_closest_fleet_of_them_is_told_where_nothing_else_is_allowed(plan):
    """It is as large as the load asks for, and refused with the share that it keeps."""
    fleet = plan("instance_types: [g5.48xlarge]").fleet

    assert not fleet.confirmed.reached
    assert 0.9 < fleet.confirmed.least[0] < 0.99
    assert sum(group.instances[-1] for group in fleet.groups) < 20


def test_what_runs_today_is_judged_however_slow_it_is(plan):
    """The share that it keeps, and the target that it misses with no other load."""
    current = plan("current: {provider: aws, region: eu-west-1, instance_type: g5.12xlarge, count: 6}").current

    assert 0.5 < current.within_slo_ratio < 0.99
    assert current.instances_needed is None
    assert "with no other load, 2 s wanted" in current.not_judged


def test_a_further_precision_takes_no_fleet_away(plan):
    """The closed form prefers fp8, of which no number keeps the SLO; bf16 on the same machines does."""
    lines = ("regions: [us-east-1]", "instance_types: [g5.12xlarge]", "limits: {}")
    less = {"p95: 5200": "p95: 2400", "p50: 1000": "p50: 700"}
    alone, both = (
        plan(*lines, replaced={**less, "[bf16]": precisions}).fleet.cost.total_usd_per_month
        for precisions in ("[bf16]", "[bf16, fp8]")
    )

    assert both <= alone
