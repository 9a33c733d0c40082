"""Demand from what serving engines counted: exact, whatever the accelerators say."""

import numpy as np
import numpy.typing as npt

from advisor.demand.clock import on_the_calendar
from advisor.demand.declared import one_size_demand
from advisor.demand.values import ArrivalRate, Demand, DemandProfile
from advisor.errors import InputError
from advisor.units import SECONDS_PER_DAY, SECONDS_PER_MINUTE

Floats = npt.NDArray[np.float64]


def demand_from_counts(
    requests_per_minute: Floats,
    start_seconds: float,
    tokens: tuple[float, float],
    resets: int = 0,
    stated_per_day: float | None = None,
) -> Demand:
    """Demand as the engines counted it: requests finished in each minute, and the mean of their lengths.

    Requests are counted when they finish: those of a long answer a little later than they arrived.

    Args:
        requests_per_minute: shape ``(minutes,)``, NaN where unknown.
        start_seconds: start of the first minute since 1970.
        tokens: (prompt tokens, generated tokens) of a request on average.
        resets: restarts of an engine.
        stated_per_day: a volume that was stated as well, which is not used.

    Raises:
        InputError: no whole minute is known.
    """
    known = requests_per_minute[~np.isnan(requests_per_minute)]
    if not known.size:
        raise InputError(
            "the engines' counters cover no whole minute", hint="sample for some minutes while traffic is served"
        )  # fmt: skip
    rates = known / SECONDS_PER_MINUTE
    p50, p95, p99 = np.percentile(rates, [50, 95, 99])
    rate = ArrivalRate(float(rates.mean()), float(p50), float(p95), float(p99), float(rates.max()))
    notes = ["requests and tokens are what the serving engines counted; lengths are known on average alone"]
    if resets:
        notes.append(f"engines were restarted {resets} times: what they counted just before is lost")
    if stated_per_day is not None:
        counted = rate.mean * SECONDS_PER_DAY
        notes.append(f"requests_per_day ({stated_per_day:,.0f}) is not used: the engines counted {counted:,.0f} a day")
    coverage = known.size / requests_per_minute.size
    if coverage < 0.95:
        notes.append(f"only {coverage:.0%} of the minutes were observed; the others are unknown, not idle")
    profile = DemandProfile(on_the_calendar(start_seconds), requests_per_minute)
    return one_size_demand(
        rate, tokens, "counters of the serving engines", tuple(notes), known.size * SECONDS_PER_MINUTE, profile
    )  # fmt: skip
