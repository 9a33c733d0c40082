"""Demand from the counters and histograms of serving engines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor.demand.clock import on_the_calendar
from advisor.demand.monitored.engines import Engine, engines_of
from advisor.demand.monitored.lengths import Lengths, histogram_lengths, joint, one_length
from advisor.demand.monitored.presence import expected_over_time, is_observed
from advisor.demand.monitored.server import Floats, Monitored
from advisor.demand.tally import arrival_rate, profile_notes
from advisor.demand.values import Demand, DemandProfile, TokenQuantiles
from advisor.errors import InputError
from advisor.samples.exporters import Name
from advisor.samples.query.prometheus.api import quoted
from advisor.samples.query.prometheus.timing import rhythm
from advisor.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_MINUTE_US = 60_000_000
_BY_MEANS = "only mean token lengths are known, so every request is taken to be as long: a spread needs more"


@dataclass(frozen=True, slots=True, eq=False)
class _Arrivals:
    """Requests over time."""

    per_minute: Floats
    """Shape ``(minutes,)``; NaN: nobody knows."""
    step_minutes: int
    total: float
    """Requests in the minutes that are known."""

    @property
    def known_seconds(self) -> float:
        return float(np.count_nonzero(~np.isnan(self.per_minute))) * SECONDS_PER_MINUTE


def engine_demand(server: Monitored, model: str, context_tokens: int | None = None) -> Demand | None:
    """Demand as serving engines counted it; None where no engine's counters are there.

    Args:
        server: where to ask, and over which time.
        model: name of the model in question, by which an engine that serves several is told apart.
        context_tokens: no request is longer than this; None: unknown.

    Raises:
        InputError: it cannot be asked, several models are served and none is named, or nothing was served.
    """
    idle = []
    for engine in engines_of(server.questions.table):
        requests = server.first(engine.requests)
        if requests is None:
            continue
        narrowed = _of_one_model(server, engine, requests, model)
        arrivals = _arrivals(narrowed, engine, requests)
        if arrivals is not None and arrivals.total > 0:
            return _demand(narrowed, engine, arrivals, context_tokens)
        idle.append(engine.name)
    if idle:
        raise InputError(
            f"{', '.join(idle)} counted no request there in {server.window.seconds / SECONDS_PER_HOUR:.3g} h",
            where=server.questions.api.access.url,
            hint="look further back, or check the selector",
        )
    return None


def _of_one_model(server: Monitored, engine: Engine, requests: Name, model: str) -> Monitored:
    """The server with a matcher for the one model that is in question."""
    if not engine.model:
        return server
    window, api = server.window, server.questions.api
    names = api.label_values(engine.model, window.start_us, window.end_us, server.questions.select(requests))
    served = sorted(name for name in names if name)
    if len(served) <= 1:
        return server
    wanted = [name for name in served if name.lower() == model.lower() or name.lower() == model.lower().split("/")[-1]]
    if len(wanted) != 1:
        raise InputError(
            f"{engine.name} serves {len(served)} models there: {', '.join(served[:5])}",
            where=api.access.url,
            hint=f"say which one is meant with a selector, such as {engine.model}={quoted(served[0])}",
        )
    return server.matching(f"{engine.model}={quoted(wanted[0])}")


def _arrivals(server: Monitored, engine: Engine, requests: Name) -> _Arrivals | None:
    """Requests in each minute; None where the counter has too few samples that match."""
    selector = server.questions.select(requests)
    found = rhythm(server.questions.api, selector, server.window)
    if found is None:
        return None
    step_us = server.step_us(found.interval_us)
    if server.steps(step_us) < 1:
        return None
    step = f"[{step_us // 1000}ms]"
    # rate, not increase: VictoriaMetrics' increase puts all that came while a replica was not scraped into one step.
    counted = server.over_time(f"sum(rate({selector}{step}))", step_us) * (step_us / 1e6)
    by = ", ".join(engine.replica)
    present = server.over_time(f"count(count by ({by}) (last_over_time({selector}{step})))", step_us)
    observed = is_observed(present, expected_over_time(server, selector, engine.replica, step_us))
    minutes = step_us // _MINUTE_US
    known = np.where(observed, counted, np.nan)
    return _Arrivals(np.repeat(known / minutes, minutes), minutes, float(np.nansum(known)))


def _demand(server: Monitored, engine: Engine, arrivals: _Arrivals, context_tokens: int | None) -> Demand:
    prompts = _lengths(server, engine.prompt_lengths, engine.prompt_tokens, engine.requests)
    answers = _lengths(server, engine.answer_lengths, engine.answer_tokens, engine.requests)
    if prompts is None or answers is None:
        raise InputError(
            f"{engine.name} counts requests there, but not their tokens",
            where=server.questions.api.access.url,
            hint="state input_tokens and output_tokens under demand.prometheus, or plan from a trace",
        )
    start_seconds = (server.window.end_us // 1_000_000) - len(arrivals.per_minute) * SECONDS_PER_MINUTE
    profile = DemandProfile(on_the_calendar(float(start_seconds)), arrivals.per_minute)
    longest = float(prompts.high[-1] + answers.high[-1])
    tokens = joint(prompts, answers).with_hits(_hit_ratio(server, engine))
    return Demand(
        requests_per_second=arrival_rate(arrivals.per_minute, arrivals.total / arrivals.known_seconds),
        input_tokens=_rounded(prompts.quantiles()),
        output_tokens=_rounded(answers.quantiles()),
        tokens=tokens,
        longest_request_tokens=min(longest, float(context_tokens)) if context_tokens else longest,
        source=f"{engine.name} metrics at {server.source}",
        requests=round(arrivals.total),
        window_seconds=arrivals.known_seconds,
        notes=(*_notes(engine, arrivals, prompts, answers), *profile_notes(profile), *server.questions.api.warnings),
        profile=profile,
    )


def _lengths(
    server: Monitored, histograms: Sequence[Name], counters: Sequence[Name], requests: Sequence[Name]
) -> Lengths | None:  # fmt: skip
    """From a histogram where there is one, else the mean by counters."""
    histogram = server.first(histograms)
    if histogram is not None and (found := histogram_lengths(server, histogram)) is not None:
        return found
    tokens, count = server.first(counters), server.first(requests)
    mean = _ratio(server, tokens, count) if tokens and count else None
    return one_length(max(mean, 1.0)) if mean else None


def _hit_ratio(server: Monitored, engine: Engine) -> float:
    """Share of the prompts' tokens that were found in the prefix cache; 0 where nobody counted."""
    hits, queries = server.first(engine.cache_hits), server.first(engine.cache_queries)
    ratio = _ratio(server, hits, queries) if hits and queries else None
    return min(max(ratio, 0.0), 0.999) if ratio else 0.0


def _ratio(server: Monitored, above: Name, below: Name) -> float | None:
    """Growth of one counter over that of another in the window; None where the other did not grow."""
    window = f"[{(server.window.end_us - server.window.start_us) // 1000}ms]"
    grown = [
        server.questions.api.instant(f"sum(increase({server.questions.select(name)}{window}))", server.window.end_us)
        for name in (above, below)
    ]
    if not all(grown) or grown[1][0].value <= 0:
        return None
    return grown[0][0].value / grown[1][0].value


def _notes(engine: Engine, arrivals: _Arrivals, prompts: Lengths, answers: Lengths) -> list[str]:
    notes = []
    if len(prompts.share) == 1 and len(answers.share) == 1:
        notes.append(_BY_MEANS)
    else:
        notes.append(
            f"token lengths are those of {engine.name}'s histogram buckets, the longest a bucket's end; how prompt and "
            "answer lengths go together is not recorded, so they are taken as independent"
        )
    if arrivals.step_minutes > 1:
        notes.append(f"requests are counted every {arrivals.step_minutes} minutes: busier single minutes are unseen")
    if arrivals.known_seconds < SECONDS_PER_DAY:
        hours = arrivals.known_seconds / SECONDS_PER_HOUR
        notes.append(f"the demand was observed for {hours:.1f} h: busier hours of the day or week are unseen")
    share = np.count_nonzero(~np.isnan(arrivals.per_minute)) / len(arrivals.per_minute)
    if share < 1:
        notes.append(f"{share:.0%} of the minutes were observed; at the others not every replica was scraped: unknown")
    return notes


def _rounded(tokens: TokenQuantiles) -> TokenQuantiles:
    return TokenQuantiles(*(round(each, 3) for each in (tokens.mean, tokens.p50, tokens.p95, tokens.p99, tokens.max)))
