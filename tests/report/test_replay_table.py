"""Targets of a replay's table."""

import pytest

from advisor.plan.replay.values import ReplayResult
from advisor.report.plan_words import replay_table
from advisor.workload.values import Slo


@pytest.mark.parametrize(
    ("slo", "target"),
    [
        (Slo(real_time_factor=0.2), "0.2 × recording"),
        (Slo(real_time_factor=0.2, latency_ms=5000), "0.2 × recording, 5,000 ms"),
        (Slo(latency_ms=5000), "5,000 ms"),
    ],
)
def test_a_real_time_factor_is_a_target(slo, target):
    """Of each recording, beside a latency of all."""
    result = ReplayResult(10, 1.0, 900.0, None, 900.0, 0, 0, 0, 1.0, 730.0, 3600.0, 1.0, ())
    (line,) = (line for line in replay_table("a", result, slo).splitlines() if line.startswith("latency"))
    assert line.split("  ")[-1].strip() == target
