"""Demand as numbers that a workload declares, every request of one size."""

import numpy as np

from advisor.demand.batch import BatchRun
from advisor.demand.values import ArrivalRate, Demand, DemandProfile, TokenHistogram, TokenQuantiles, Unit
from advisor.records import replace
from advisor.units import SECONDS_PER_HOUR

_SPREAD_UNITS = frozenset({Unit.TOKENS, Unit.TEXTS, Unit.AUDIO})
"""Units whose lengths can be declared by their quantiles."""


def declared_demand(
    mean: float, peak: float, input_tokens: float, output_tokens: float, unit: Unit = Unit.TOKENS
) -> Demand:
    """Demand as the user states it: every request of the same length.

    Args:
        mean: requests per second on average.
        peak: requests per second in the busiest minute.
        input_tokens: prompt tokens of a request, or the size of its items.
        output_tokens: generated tokens of a request, or its items.
        unit: of the size.
    """
    better = "so state p50 and p95, or a trace" if unit in _SPREAD_UNITS else "so a trace is better"
    demand = one_size_demand(
        ArrivalRate(mean=mean, p50=mean, p95=peak, p99=peak, peak=peak),
        (input_tokens, output_tokens),
        "declared in the workload",
        (f"every request is taken to have the stated lengths: lengths that vary need more, {better}",),
        None,
    )
    return replace(demand, unit=unit)


def batch_demand(run: BatchRun, input_tokens: float, output_tokens: float) -> Demand:
    """Demand of batch work, every item of one size; its peak is the rate that takes all of its hours.

    Args:
        run: what has to be done.
        input_tokens: prompt tokens of a request, or the size of its items.
        output_tokens: generated tokens of a request, or its items.
    """
    note = "every item is taken to have the stated size: larger ones take longer"
    source = "batch work declared in the workload"
    demand = one_size_demand(_rate_of_runs(run), (input_tokens, output_tokens), source, (note,), None)
    return replace(demand, batch=run)


def with_run(demand: Demand, run: BatchRun) -> Demand:
    """The same items in other runs of batch work."""
    return replace(demand, batch=run, requests_per_second=_rate_of_runs(run))


def _rate_of_runs(run: BatchRun) -> ArrivalRate:
    mean = run.items / (run.every_hours * SECONDS_PER_HOUR)
    peak = max(mean, run.items_per_second(len(run.open_hours)))
    return ArrivalRate(mean=mean, p50=mean, p95=peak, p99=peak, peak=peak)


def one_size_demand(
    rate: ArrivalRate,
    tokens: tuple[float, float],
    source: str,
    notes: tuple[str, ...],
    window_seconds: float | None,
    profile: DemandProfile | None = None,
) -> Demand:
    """Demand of requests that are all of the same (prompt, generated) tokens."""
    input_tokens, output_tokens = tokens
    return Demand(
        requests_per_second=rate,
        input_tokens=_one_size(input_tokens),
        output_tokens=_one_size(output_tokens),
        tokens=TokenHistogram(np.array([input_tokens]), np.array([output_tokens]), np.array([1.0])),
        longest_request_tokens=input_tokens + output_tokens,
        source=source,
        requests=None,
        window_seconds=window_seconds,
        notes=notes,
        profile=profile,
    )


def _one_size(tokens: float) -> TokenQuantiles:
    return TokenQuantiles(mean=tokens, p50=tokens, p95=tokens, p99=tokens, max=tokens)
