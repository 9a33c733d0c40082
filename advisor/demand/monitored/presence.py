"""Observed part of a time: what nobody scraped is unknown, never idle."""

import numpy as np

from advisor.demand.monitored.server import Floats, Monitored

_HOUR_US = 3_600_000_000
LEAST_COVERAGE = 0.9
"""Share of the replicas or accelerators that have to be seen for a step to count."""


def expected_over_time(server: Monitored, selector: str, labels: tuple[str, ...], step_us: int) -> Floats:
    """Least number there in each step: each from the hour after its first sample to that before its last.

    A replica that came later, or went for good, is not missing the rest of the time; one that was seen before and
    after is missing in between.

    Args:
        server: where to ask.
        selector: series of one metric.
        labels: what tells replicas or accelerators apart.
        step_us: length of a step.
    """
    coarse_us = min(_HOUR_US, max((server.window.end_us - server.window.start_us) // 12 // step_us, 1) * step_us)
    by = ", ".join(dict.fromkeys(labels))
    seen = server.by_labels(f"count by ({by}) (last_over_time({selector}[{coarse_us // 1000}ms]))", coarse_us)
    expected = np.zeros(server.steps(step_us))
    ends = np.arange(-server.steps(step_us) + 1, 1) * step_us
    coarse_ends = np.arange(-server.steps(coarse_us) + 1, 1) * coarse_us
    for values in seen.values():
        known = coarse_ends[~np.isnan(values)]
        expected += (ends > known[0]) & (ends <= known[-1] - coarse_us)
    return expected
