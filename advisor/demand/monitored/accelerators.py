"""How many accelerators were busy over time, as exporters of any kind saw it."""

from dataclasses import replace

import numpy as np

from advisor.demand.declared import demand_from_busy
from advisor.demand.monitored.presence import LEAST_COVERAGE, expected_over_time
from advisor.demand.monitored.server import Floats, Monitored
from advisor.demand.values import Demand
from advisor.errors import InputError
from advisor.samples.exporters import Name, near_miss_words
from advisor.samples.query.prometheus.timing import rhythm


def busy_demand(
    server: Monitored,
    requests_per_day: float | None,
    requests_per_busy_second: float | None,
    tokens: tuple[float, float],
) -> Demand:
    """Demand whose shape is that of how busy the accelerators were.

    See :func:`advisor.demand.declared.demand_from_busy`.

    Raises:
        InputError: nothing was observed, or nothing was ever busy.
    """
    busy, step_seconds = busy_over_time(server)
    start_seconds = server.window.end_us / 1e6 - len(busy) * step_seconds
    demand = demand_from_busy(busy, step_seconds, requests_per_day, requests_per_busy_second, tokens, start_seconds)
    notes = (*demand.notes, *server.notes, *server.questions.api.warnings)
    return replace(demand, source=f"accelerators at {server.source}", notes=notes)


def busy_over_time(server: Monitored) -> tuple[Floats, float]:
    """Busy accelerators in each step, NaN where too few of them were observed; and the length of a step in seconds.

    What is missing of a step that counts is taken to be as busy as the rest.

    Raises:
        InputError: it cannot be asked, or no series says how busy an accelerator is.
    """
    for name in server.questions.table.names["busy_ratio"]:
        if name.name in server.names and not name.has_two_scales:
            found = _busy(server, name)
            if found is not None:
                server.notes.append(f"busy accelerators are {name.name} of {name.exporter.name}")
                return found
    raise InputError(
        "no serving engine's request counter there, and no series says how busy an accelerator is",
        where=server.questions.api.access.url,
        hint=near_miss_words(server.questions.table, server.names)
        or "check the selector and the window; docs/metrics.md lists what is read from vLLM, DCGM and others",
    )


def _busy(server: Monitored, name: Name) -> tuple[Floats, float] | None:
    selector = server.questions.select(name)
    found = rhythm(server.questions.api, selector, server.window)
    if found is None:
        return None
    step_us = server.step_us(found.interval_us)
    row, labels = f"{selector}[{step_us // 1000}ms]", name.exporter.identity
    by = ", ".join(dict.fromkeys(labels))
    mean = server.over_time(f"sum(max by ({by}) (avg_over_time({row})))", step_us)
    present = server.over_time(f"count(count by ({by}) (last_over_time({row})))", step_us)
    samples = server.over_time(f"sum(max by ({by}) (count_over_time({row})))", step_us)
    expected = np.maximum(expected_over_time(server, selector, labels, step_us), np.nan_to_num(present))
    rows_each = step_us / (round(name.exporter.row_seconds * 1e6) if name.exporter.row_seconds else found.interval_us)
    with np.errstate(invalid="ignore", divide="ignore"):
        coverage = np.nan_to_num(samples / (expected * rows_each))
        busy = mean * name.scale * expected / np.nan_to_num(present)
    return np.where(coverage >= LEAST_COVERAGE, busy, np.nan), step_us / 1e6
