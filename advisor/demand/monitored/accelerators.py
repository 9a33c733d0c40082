"""Busy accelerators over time, as exporters of any kind saw them."""

import numpy as np

from advisor.demand.busy import Busy
from advisor.demand.monitored.server import Floats, Monitored
from advisor.errors import InputError
from advisor.samples.exporters import Name, near_miss_words
from advisor.samples.need.limits import saturation
from advisor.samples.query.prometheus.timing import rhythm

_HOUR_US = 3_600_000_000
LEAST_COVERAGE = 0.9
"""Share of the replicas or accelerators that have to be seen for a step to count."""
_ACTIVITY = ("sm_active_ratio", "dram_active_ratio", "tensor_active_ratio")


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


def busy_over_time(server: Monitored) -> Busy:
    """Busy accelerators in each step, NaN where too few of them were observed.

    What is missing of a step that counts is taken to be as busy as the rest. Profiling signals narrow what was
    saturated, on the mean of all accelerators.

    Raises:
        InputError: it cannot be asked, or no series says how busy an accelerator is.
    """
    for name in server.questions.table.names["busy_ratio"]:
        if name.name in server.names and not name.has_two_scales:
            busy = _busy(server, name)
            if busy is not None:
                server.notes.append(f"busy accelerators are {name.name} of {name.exporter.name}")
                return busy
    raise InputError(
        "no serving engine's request counter there, and no series says how busy an accelerator is",
        where=server.questions.api.access.url,
        hint=near_miss_words(server.questions.table, server.names)
        or "check the selector and the window; docs/metrics.md lists what is read from vLLM, DCGM and others",
    )


def _busy(server: Monitored, name: Name) -> Busy | None:
    selector = server.questions.select(name)
    found = rhythm(server.questions.api, selector, server.window)
    if found is None:
        return None
    step_us = server.step_us(found.interval_us)
    row, labels = f"{selector}[{step_us // 1000}ms]", name.exporter.identity
    by = ", ".join(dict.fromkeys(labels))
    present = server.over_time(f"count(count by ({by}) (last_over_time({row})))", step_us)
    samples = server.over_time(f"sum(max by ({by}) (count_over_time({row})))", step_us)
    expected = np.maximum(expected_over_time(server, selector, labels, step_us), np.nan_to_num(present))
    rows_each = step_us / (round(name.exporter.row_seconds * 1e6) if name.exporter.row_seconds else found.interval_us)
    with np.errstate(invalid="ignore", divide="ignore"):
        coverage = np.nan_to_num(samples / (expected * rows_each))
    share = np.where(coverage >= LEAST_COVERAGE, _share(server, name, step_us), np.nan)
    signals = [_signal(server, metric, name, step_us) for metric in _ACTIVITY]
    start_seconds = server.window.end_us / 1e6 - len(share) * step_us / 1e6
    saturated = saturation(share, *signals) * expected
    return Busy(share * expected, saturated, expected, step_us / 1e6, start_seconds)


def _share(server: Monitored, name: Name, step_us: int) -> Floats:
    """Mean of a metric over the accelerators that have it, in each step."""
    row = f"{server.questions.select(name)}[{step_us // 1000}ms]"
    by = ", ".join(dict.fromkeys(name.exporter.identity))
    return server.over_time(f"avg(max by ({by}) (avg_over_time({row})))", step_us) * name.scale


def _signal(server: Monitored, metric: str, beside: Name, step_us: int) -> Floats:
    """A profiling signal of the same exporter; NaN where there is none, or it stands at 0 throughout."""
    named = server.questions.table.names[metric]
    names = [name for name in named if name.exporter == beside.exporter and name.name in server.names]
    values = _share(server, names[0], step_us) if names else np.full(server.steps(step_us), np.nan)
    return values if np.nansum(values) > 0 else np.full_like(values, np.nan)
