"""Latencies of the requests of a replay: their percentiles, and the share of them within its target."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from advisor.demand.trace_columns import Requests
from advisor.demand.values import Unit
from advisor.plan.fleet.chosen import QUANTILES, LatencyDistribution
from advisor.plan.replay.values import Outcome
from advisor.units import MS_PER_SECOND
from advisor.workload.values import Slo

Floats = npt.NDArray[np.float64]

_PERCENTILE = 0.95
_HALF = 0.5


def latencies_s(outcome: Outcome, requests: Requests) -> Mapping[str, Floats]:
    """Seconds of the requests that were answered, by latency.

    ``ttft`` and ``e2e`` are of every answer, ``tpot`` (seconds ÷ tokens after the first) of those with any.
    """
    answered = outcome.group >= 0
    steps = np.maximum(requests.output_tokens, 1) - 1
    several = answered & (steps > 0) & (outcome.decode_s > 0)
    return {
        "ttft": outcome.ttft_s[answered],
        "tpot": outcome.decode_s[several] / steps[several],
        "e2e": (outcome.ttft_s + outcome.decode_s)[answered],
    }


def p95_ms(seconds: Floats) -> float | None:
    """95th percentile of seconds in ms; None where there are none.

    That of :func:`numpy.quantile`, which takes several times as long for it: every replay asks for two.
    """
    if not seconds.size:
        return None
    place = (seconds.size - 1) * _PERCENTILE
    low = int(place)
    high = min(low + 1, seconds.size - 1)
    ordered = np.partition(seconds, (low, high))
    below, above, part = float(ordered[low]), float(ordered[high]), place - low
    between = above - below
    percentile = below + between * part if part < _HALF else above - between * (1 - part)
    return percentile * MS_PER_SECOND


def distributions(latencies: Mapping[str, Floats], slo: Slo, unit: Unit) -> Iterator[LatencyDistribution]:
    """Percentiles of each latency; answers of one pass have ``latency`` alone.

    Args:
        latencies: seconds, as :func:`latencies_s` gives them.
        slo: the targets.
        unit: of the requests.
    """
    named = (
        {"latency": ("ttft", slo.latency_ms)}
        if unit.is_one_pass
        else {"ttft": ("ttft", slo.ttft_p95_ms), "tpot": ("tpot", slo.tpot_p95_ms), "e2e": ("e2e", slo.e2e_p95_ms)}
    )
    for name, (source, target_ms) in named.items():
        milliseconds = latencies[source] * MS_PER_SECOND
        if milliseconds.size:
            within = None if target_ms is None else float((milliseconds <= target_ms).mean())
            quantiles = np.quantile(milliseconds, list(QUANTILES.values())).tolist()
            yield LatencyDistribution(name, milliseconds.size, within, **dict(zip(QUANTILES, quantiles, strict=True)))
