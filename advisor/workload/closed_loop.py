"""Declared demand → requests per second, of users who wait for each answer and of batch work too."""

import math
from collections.abc import Callable

import numpy as np

from advisor.demand.lengths import LONGEST_SHARE, LengthSpread, batch_demand, declared_demand
from advisor.demand.values import (
    LONGEST_RECORDING_SECONDS,
    ArrivalRate,
    BatchBeside,
    BatchRun,
    ClosedLoop,
    Demand,
    Floats,
    Pictures,
    TokenHistogram,
    TokenQuantiles,
    Unit,
)
from advisor.errors import InputError
from advisor.models.model import Model
from advisor.records import replace
from advisor.units import HOURS_PER_DAY, MS_PER_SECOND, SECONDS_PER_HOUR
from advisor.workload.kinds import declared_size, picture_tokens
from advisor.workload.measured_demand import OnePassSize
from advisor.workload.values import BatchWork, DeclaredDemand, Slo, Workload

_RESPONSE_TARGETS = {
    Unit.TOKENS: "slo.e2e_p95, or slo.ttft_p95 and slo.tpot_p95",
    Unit.AUDIO: "slo.latency_p95, or slo.real_time_factor",
}
"""Targets that state how long a user waits for an answer, of models that have others than a latency."""


def demand_as_declared(declared: DeclaredDemand, workload: Workload, model: Model) -> Demand:
    """The demand that a workload states in numbers.

    Concurrent users send one request each, wait for its answer, think, and send the next one. By Little's law their
    rate is ``users ÷ (response time + think time)``. The response time is that of the targets, at which the plan has
    to hold: a fleet that sustains this rate within them settles at answers no slower than they allow. Raises InputError
    if no target states the response time, the stated peak is below the mean rate, or the size of a request is not in
    the model's unit.
    """
    unit, (size, items) = declared_size(declared, model, workload)
    if declared.batch is not None:
        run = batch_run(declared.batch)
        return replace(batch_demand(run, size, items), unit=unit, pictures=pictures_of(declared.size))
    mean, note, users = declared.requests_per_second, "", None
    if mean is None:
        mean, note, users = _closed_loop_rate(declared, workload, unit)
    peak = mean if declared.peak_requests_per_second is None else declared.peak_requests_per_second
    demand = declared_demand(mean, peak, size, items, unit)
    if declared.is_spread:
        demand = _of_lengths(demand, declared, workload, model)
    demand = replace(demand, pictures=pictures_of(declared.size), closed_loop=users)
    return demand.with_notes(note) if note else demand


def at_rate_of_users(demand: Demand, before: Workload, after: Workload) -> Demand:
    """The demand of concurrent users at the rate that another workload gives them; any other demand as it is.

    Other targets, numbers of users and lengths change the rate, as :func:`demand_as_declared` says. *before*: the
    workload that the demand is of; what it was multiplied by since stays. Raises InputError as that does.
    """
    old, new = before.demand, after.demand
    if not isinstance(old, DeclaredDemand) or not isinstance(new, DeclaredDemand) or old.concurrent_users is None:
        return demand
    (old_mean, old_note, _), (new_mean, note, users) = (
        _closed_loop_rate(stated, workload, demand.unit) for stated, workload in ((old, before), (new, after))
    )
    rate, times = demand.requests_per_second, demand.requests_per_second.mean / old_mean
    mean = new_mean * times
    peak = mean if new.peak_requests_per_second is None else rate.peak
    notes = tuple(note if told == old_note else told for told in demand.notes)
    return replace(
        demand, requests_per_second=ArrivalRate(mean, mean, peak, peak, peak), notes=notes, closed_loop=users
    )


def rate_at_latencies(workload: Workload, unit: Unit, latencies: Slo) -> float | None:
    """Requests per second of concurrent users whose answers take what a fleet's replay found; None without any."""
    declared = workload.demand
    if not isinstance(declared, DeclaredDemand) or declared.concurrent_users is None:
        return None
    stated = replace(declared, peak_requests_per_second=None)
    return _closed_loop_rate(stated, replace(workload, slo=latencies), unit)[0] * workload.demand_times


def pictures_of(size: OnePassSize) -> Pictures | None:
    """Pictures of a request whose size is stated."""
    if size.width is None or size.height is None:
        return None
    return Pictures(float(size.images or 1), size.width, size.height)


def _of_lengths(demand: Demand, declared: DeclaredDemand, workload: Workload, model: Model) -> Demand:
    """The same requests in the lengths that are stated by their quantiles, prompts and answers independent."""
    size, answer = declared.size_spread, declared.output_spread
    if answer is not None and model.max_context_tokens is not None:
        answer = answer.within(model.max_context_tokens)
    outputs, output_tokens = _cells(demand.output_tokens, answer, float)

    def size_of(length: float) -> float:
        return declared_size(declared.of_length(length), model, workload)[1][0]

    if size is not None and demand.unit is not Unit.AUDIO and model.max_context_tokens is not None:
        beside = declared.size.query_tokens or 0.0
        if demand.unit is Unit.TOKENS:
            beside = output_tokens.max + picture_tokens(declared, model)
        size = size.within(model.max_context_tokens - beside)
    inputs, input_tokens = _cells(demand.input_tokens, size, size_of)
    tokens = TokenHistogram(
        np.repeat(inputs[0], outputs[0].size),
        np.tile(outputs[0], inputs[0].size),
        np.outer(inputs[1], outputs[1]).ravel(),
    )
    note = "lengths are log-normal through the stated p50 and p95" + (
        ", prompts and answers independent of each other" if demand.unit is Unit.TOKENS else ""
    )
    return replace(
        demand,
        tokens=tokens,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        longest_request_tokens=input_tokens.max + output_tokens.max,
        notes=(f"{note}{_cut_words(size)}: a trace is better",),
    )


def _cut_words(spread: LengthSpread | None) -> str:
    """Clause on recordings that are cut at the longest that is planned, since no maximum is stated."""
    most = LONGEST_RECORDING_SECONDS
    if spread is None or spread.longest != most or spread.quantile(LONGEST_SHARE) <= most:
        return ""
    return f", cut at {most:,.0f} s, the longest that is planned"


def _cells(
    one_length: TokenQuantiles, spread: LengthSpread | None, size_of: Callable[[float], float]
) -> tuple[tuple[Floats, Floats], TokenQuantiles]:
    """Sizes of cells with their shares of the requests, and the quantiles of both."""
    if spread is None:
        return (np.array([one_length.mean]), np.array([1.0])), one_length
    lengths, shares = spread.points()
    return (np.array([size_of(length) for length in lengths]), shares), spread.quantiles(size_of)


def batch_run(work: BatchWork) -> BatchRun:
    """Batch work by the hour: a run starts when its window opens, at midnight and on Mondays without one, UTC.

    Without a deadline it ends with the last window before the next run starts.
    """
    begin, end = work.window or (0, 0)
    length = (end - begin) % HOURS_PER_DAY or HOURS_PER_DAY
    last = max(work.every_hours - HOURS_PER_DAY, 0) + length
    deadline = float(last) if work.deadline_hours is None else work.deadline_hours
    within = range(min(math.ceil(deadline), work.every_hours))
    open_hours = tuple(hour for hour in within if work.window is None or hour % HOURS_PER_DAY < length)
    return BatchRun(float(work.items), work.every_hours, begin, open_hours, deadline)


def batch_beside(stated: DeclaredDemand, workload: Workload, model: Model) -> BatchBeside | None:
    """Batch work beside a demand, or None. Raises InputError if an item's size is not in the model's unit."""
    if stated.batch is None:
        return None
    _, (size, items) = declared_size(stated, model, replace(workload, demand=stated))
    return BatchBeside(batch_run(stated.batch), size, items)


def deadline_slo(run: BatchRun, unit: Unit) -> Slo:
    """Target of batch work: every item is answered by the deadline."""
    deadline_ms = run.deadline_hours * SECONDS_PER_HOUR * MS_PER_SECOND
    if unit.is_one_pass:
        return Slo(latency_ms=deadline_ms, within_ratio=1.0, latency_is_deadline=True)
    return Slo(e2e_p95_ms=deadline_ms, within_ratio=1.0, latency_is_deadline=True)


def response_seconds(slo: Slo, output_tokens: float, audio_seconds: float | None = None) -> float | None:
    """Longest response that the targets allow, in seconds; None where they do not limit it.

    ``min(E2E, TTFT + TPOT × (output tokens - 1))`` of what is stated; TTFT and TPOT limit it only together. Of models
    that answer in one pass ``min(latency, real-time factor × mean length of a recording)``.
    """
    bounds_ms = [target for target in (slo.e2e_p95_ms, slo.latency_ms) if target is not None]
    if slo.real_time_factor is not None and audio_seconds is not None:
        bounds_ms.append(slo.real_time_factor * audio_seconds * MS_PER_SECOND)
    if slo.ttft_p95_ms is not None and slo.tpot_p95_ms is not None:
        bounds_ms.append(slo.ttft_p95_ms + slo.tpot_p95_ms * max(output_tokens - 1, 0.0))
    return min(bounds_ms) / MS_PER_SECOND if bounds_ms else None


def _closed_loop_rate(declared: DeclaredDemand, workload: Workload, unit: Unit) -> tuple[float, str, ClosedLoop]:
    """Requests per second of the users, how they follow in words, and what they assume.

    Raises InputError if no target states the response time, or the stated peak is below the rate.
    """
    users, think = declared.concurrent_users or 0.0, declared.think_time_seconds or 0.0
    response = response_seconds(workload.slo, declared.output_tokens or 0.0, declared.size.audio_seconds)
    if response is None:
        raise InputError(
            "concurrent_users gives no rate without a response time, and no target states one",
            where=workload.where("demand.declared"),
            hint=f"add {_RESPONSE_TARGETS.get(unit, 'slo.latency_p95')}; or state requests_per_second",
        )
    rate, peak = users / (response + think), declared.peak_requests_per_second
    if peak is not None and peak < rate:
        raise InputError(
            f"a peak of {peak:g} requests/s is below the mean of {rate:.4g} requests/s that the users send",
            where=workload.where("demand.declared"),
            hint=f"give peak_requests_per_second: {rate:.4g} or more, or take it out",
        )
    note = (
        f"{users:,g} concurrent users send {rate:.4g} requests/s: users ÷ ({response:.3g} s response at the targets + "
        f"{think:.3g} s think time); faster answers raise it"
    )
    return rate, note, ClosedLoop(users, response)
