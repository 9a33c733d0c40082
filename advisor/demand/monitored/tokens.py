"""Demand from token counters alone: tokens of answers over the stated length of one."""

import numpy as np

from advisor.demand.clock import on_the_calendar
from advisor.demand.declared import one_size_demand
from advisor.demand.monitored.engines import Engine, engines_of
from advisor.demand.monitored.presence import expected_over_time, is_observed
from advisor.demand.monitored.server import Floats, Monitored
from advisor.demand.tally import arrival_rate, profile_notes
from advisor.demand.values import Demand, DemandProfile
from advisor.samples.exporters import Name
from advisor.samples.query.prometheus.timing import rhythm
from advisor.units import SECONDS_PER_MINUTE

_MINUTE_US = 60_000_000


def token_demand(server: Monitored, lengths: tuple[float, float]) -> Demand | None:
    """Requests per minute = generated tokens per minute ÷ tokens of an answer; None where no engine counts only tokens.

    Args:
        server: where to ask, and over which time.
        lengths: stated tokens of a prompt and of an answer.

    Raises:
        InputError: it cannot be asked.
    """
    for engine in engines_of(server.questions.table):
        tokens = server.first(engine.answer_tokens)
        if tokens is not None and server.first(engine.requests) is None:
            per_minute = _tokens_per_minute(server, engine, tokens) / lengths[1]
            if np.nansum(per_minute) > 0:
                return _demand(server, engine, per_minute, lengths)
    return None


def _tokens_per_minute(server: Monitored, engine: Engine, tokens: Name) -> Floats:
    """Shape ``(minutes,)``; NaN where a replica was not scraped."""
    selector = server.questions.select(tokens)
    cadence = rhythm(server.questions.api, selector, server.window)
    if cadence is None:
        return np.full(1, np.nan)
    step_us = server.step_us(cadence.interval_us)
    row, by = f"{selector}[{step_us // 1000}ms]", ", ".join(engine.replica)
    grown = server.over_time(f"sum(rate({row}))", step_us) * SECONDS_PER_MINUTE
    present = server.over_time(f"count(count by ({by}) (last_over_time({row})))", step_us)
    observed = is_observed(present, expected_over_time(server, selector, engine.replica, step_us))
    return np.repeat(np.where(observed, grown, np.nan), step_us // _MINUTE_US)


def _demand(server: Monitored, engine: Engine, per_minute: Floats, lengths: tuple[float, float]) -> Demand:
    start_seconds = server.window.end_us / 1e6 - len(per_minute) * SECONDS_PER_MINUTE
    profile = DemandProfile(on_the_calendar(start_seconds), per_minute)
    known_seconds = float(np.count_nonzero(~np.isnan(per_minute))) * SECONDS_PER_MINUTE
    rate = arrival_rate(per_minute, float(np.nansum(per_minute)) / known_seconds)
    counted = f"{engine.name} counts tokens and no requests: requests are tokens of answers ÷ the stated {lengths[1]:g}"
    notes = (counted, *profile_notes(profile), *server.questions.api.warnings)
    return one_size_demand(rate, lengths, f"{engine.name} metrics at {server.source}", notes, known_seconds, profile)
