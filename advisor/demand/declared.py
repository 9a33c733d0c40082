"""Demand without a trace: declared numbers, or how busy the accelerators of the current deployment were."""

import numpy as np
import numpy.typing as npt

from advisor.demand.clock import UNDATED, on_the_calendar
from advisor.demand.values import ArrivalRate, Demand, DemandProfile, TokenHistogram, TokenQuantiles
from advisor.errors import InputError
from advisor.units import SECONDS_PER_DAY, SECONDS_PER_MINUTE


def declared_demand(mean: float, peak: float, input_tokens: float, output_tokens: float) -> Demand:
    """Demand as the user states it: every request of the same length.

    Args:
        mean: requests per second on average.
        peak: requests per second in the busiest minute.
        input_tokens: prompt tokens of a request.
        output_tokens: generated tokens of a request.
    """
    return one_size_demand(
        ArrivalRate(mean=mean, p50=mean, p95=peak, p99=peak, peak=peak),
        (input_tokens, output_tokens),
        "declared in the workload",
        ("the token lengths are declared as one size: a spread around it needs more, so a trace is better",),
        None,
    )


def demand_from_busy(
    busy_accelerators: npt.NDArray[np.float64],
    window_seconds: float,
    requests_per_day: float | None,
    requests_per_busy_second: float | None,
    tokens: tuple[float, float],
    start_seconds: float | None = None,
) -> Demand:
    """Demand whose shape over time is that of how busy the accelerators were.

    The rate of a window is its busy accelerators × requests per busy accelerator-second. That factor follows from
    the known volume (``requests_per_day``); without one it is what a saturated accelerator of the current kind
    serves, which makes the demand an upper bound: an accelerator counts as busy while any kernel runs on it.

    Args:
        busy_accelerators: busy accelerators in each window, shape ``(windows,)``, NaN where unknown.
        window_seconds: length of a window, a whole number of minutes.
        requests_per_day: known volume, or None.
        requests_per_busy_second: capacity of one fully busy accelerator; needed where the volume is not known.
        tokens: (prompt tokens, generated tokens) of a request.
        start_seconds: start of the first window since 1970; None: not known.

    Raises:
        InputError: no window was observed, or nothing was ever busy.
    """
    known = busy_accelerators[np.isfinite(busy_accelerators)]
    if not known.size or known.max() <= 0:
        raise InputError(
            "the samples show no busy accelerator in any whole minute",
            hint="sample while traffic is served: `advisor agent run` for at least some minutes",
        )
    if requests_per_day is not None:
        factor = requests_per_day / SECONDS_PER_DAY / float(known.mean())
        notes = ["request rates have the shape of how busy the accelerators were, scaled to the stated volume"]
    elif requests_per_busy_second is not None:
        factor = requests_per_busy_second
        bound = "request rates are an upper bound: a busy accelerator is taken to be saturated"
        notes = [f"{bound}; state requests_per_day, or give a trace, for less"]
    else:
        raise InputError("neither the daily requests nor the current deployment is known")
    coverage = known.size / busy_accelerators.size
    if coverage < 0.95:
        notes.append(f"only {coverage:.0%} of the minutes were observed; the others are unknown, not idle")
    rates = known * factor
    p50, p95, p99 = np.percentile(rates, [50, 95, 99])
    rate = ArrivalRate(
        mean=float(rates.mean()), p50=float(p50), p95=float(p95), p99=float(p99), peak=float(rates.max())
    )
    per_minute = np.repeat(busy_accelerators * factor, round(window_seconds / SECONDS_PER_MINUTE)) * SECONDS_PER_MINUTE
    profile = DemandProfile(on_the_calendar(start_seconds or 0.0), per_minute)
    if start_seconds is None:
        notes.append(UNDATED)
    observed = float(known.size * window_seconds)
    return one_size_demand(rate, tokens, "accelerator samples", tuple(notes), observed, profile)


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
