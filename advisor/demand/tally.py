"""Counting requests: constant memory however long the trace, exact means and percentiles.

A trace is reduced to a small JSON file (``advisor.demand/v1``) that can be kept, shared and planned from.

Burstiness is counted by the tenth of a second. Random numbers of synthetic traces are the mixed bits of their keys
(SplitMix64: Steele, Lea and Flood 2014), as counter-based generators have them (Salmon et al. 2011): demands that
differ by a little have traces that differ by a little, and two plans differ by their questions, not by chance (common
random numbers).
"""

import datetime as dt
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.demand.capped import most_per_minute
from advisor.demand.spread import LAST_SECONDS, MONDAY_SECONDS, UNDATED, is_dated, iso_minute, on_the_calendar
from advisor.demand.values import (
    LARGEST_SIZE,
    MAX_TOKENS,
    ArrivalRate,
    Demand,
    DemandProfile,
    Dispersion,
    Floats,
    TokenHistogram,
    TokenQuantiles,
    Unit,
)
from advisor.errors import InputError
from advisor.names import first_names
from advisor.percentiles import percentiles
from advisor.reading import read_json
from advisor.records import asdict, dataclass, field
from advisor.units import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    MINUTES_PER_HOUR,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    span_words,
)

Integers = npt.NDArray[np.int64]
SEED = 20_230_101
NORMAL_REACH = 10.0
"""Standard deviations about its mean in which a Poisson number is looked for."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
_BITS = 53


def uniforms(stream: int, first: Integers, second: Integers | int = 0, counts: Integers | int = 1) -> Floats:
    """Independent numbers from 0 to below 1, one for each pair of keys: (n,); those of other *streams* are independent.

    *first*: first keys, (m,). *second*: second key of each pair, those of one first key side by side, (n,). *counts*:
    pairs of each first key, (m,).
    """
    state = _mixed(np.array([SEED], dtype=np.uint64) ^ np.array([stream], dtype=np.uint64))
    state = np.repeat(_mixed(state ^ first.astype(np.uint64)), counts)
    state = _mixed(state ^ np.asarray(second).astype(np.uint64))
    return (state >> np.uint64(64 - _BITS)) / 2.0**_BITS


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + _GOLDEN
    for shift, factor in _MIXERS:
        state = (state ^ (state >> np.uint64(shift))) * factor
    return state ^ (state >> np.uint64(31))


def poisson(mean: float, draws: Floats) -> Floats:
    """Poisson numbers with a mean above 0, by the distribution's inverse, growing with it; *draws* from 0 below 1."""
    mode, reach = int(mean), int(NORMAL_REACH * np.sqrt(mean) + NORMAL_REACH)
    low = max(mode - reach, 0)
    numbers = np.arange(low, mode + reach + 1)
    ratios = np.log(mean) - np.log(np.maximum(numbers, 1))
    logs = np.concatenate([[0.0], np.cumsum(ratios[1:])])
    chances = np.exp(logs - logs.max()).cumsum()
    drawn: Floats = numbers[np.searchsorted(chances, draws * chances[-1], side="right")].astype(np.float64)
    return drawn


BLOCK_MINUTES = 5
BLOCK_SECONDS = BLOCK_MINUTES * SECONDS_PER_MINUTE
MOST_BLOCKS = 4096
"""Two weeks without a gap; of a longer trace every second, fourth, … block is kept."""
PER_SECOND = 10
LEAST_REQUESTS = 100
"""Fewer say nothing of a variance."""
_LEAST_TICK = 1e-3
"""Tenths of a second that times are apart at least where it is not rounding."""
_BLOCK_TENTHS = BLOCK_SECONDS * PER_SECOND


@dataclass(slots=True)
class FineCounts:
    """Requests in each tenth of a second of blocks of five minutes.

    Which blocks are kept follows from the blocks that occur, not from the order they come in.
    """

    is_finer: bool = False
    """Whether the clock shows less than a tenth of a second."""
    anchor: float | None = None
    """Any of the times, in seconds."""
    most_blocks: int = MOST_BLOCKS
    stride: int = 1
    blocks: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)

    def read_clock(self, seconds: Floats) -> None:
        """Note whether any of the times lie between tenths of a second from each other."""
        if self.anchor is None:
            self.anchor = float(seconds[0])
        if not self.is_finer:
            tenths = (seconds - self.anchor) * PER_SECOND
            self.is_finer = bool((np.abs(tenths - np.round(tenths)) > _LEAST_TICK).any())

    def add(self, tenths: Integers, counts: Integers) -> None:
        """Count requests by the tenth of a second since the epoch, ascending, each once."""
        block_of = tenths // _BLOCK_TENTHS
        firsts = np.flatnonzero(np.diff(block_of, prepend=block_of[0] - 1))
        for first, end in pairwise([*firsts.tolist(), len(tenths)]):
            number = int(block_of[first])
            if number % self.stride == 0:
                if number not in self.blocks:
                    self.blocks[number] = np.zeros(_BLOCK_TENTHS, dtype=np.int32)
                self.blocks[number][tenths[first:end] - number * _BLOCK_TENTHS] += counts[first:end].astype(np.int32)
            while len(self.blocks) > self.most_blocks:
                self.stride *= 2
                self.blocks = {number: block for number, block in self.blocks.items() if number % self.stride == 0}

    def dispersion(self, minutes: npt.NDArray[np.bool_], first_minute: int) -> Dispersion:
        """Burstiness over the minutes that were wholly observed, the first so many minutes since the epoch.

        A clock that is coarser than a window, or too few requests, leave it unknown.
        """
        numbers = sorted(self.blocks)
        blocks = np.array([self.blocks[number] for number in numbers])
        tenths = blocks.reshape(-1, BLOCK_MINUTES, SECONDS_PER_MINUTE, PER_SECOND)
        counts = tenths.sum(axis=3, dtype=np.int32)
        of_block = np.array(numbers)[:, None] * BLOCK_MINUTES + np.arange(BLOCK_MINUTES) - first_minute
        inside = (of_block >= 0) & (of_block < len(minutes))
        whole = inside & minutes[np.clip(of_block, 0, len(minutes) - 1)]
        in_use = np.flatnonzero(tenths.any(axis=(0, 1)).ravel())
        # Tick of the clock in tenths of a second, by the tenths of the minute at which any request came.
        tick = 1 if self.is_finer else int(np.gcd.reduce([*(in_use - in_use[:1]), SECONDS_PER_MINUTE * PER_SECOND]))
        tens = counts[whole.all(axis=1)].reshape(-1, BLOCK_SECONDS // 10, 10).sum(axis=2)
        return Dispersion(
            one_second=_variance_to_mean(counts[whole]) if PER_SECOND % tick == 0 else None,
            ten_seconds=_variance_to_mean(tens) if 10 * PER_SECOND % tick == 0 else None,
            tenth_second=_variance_to_mean(tenths[whole].reshape(-1, PER_SECOND)) if tick == 1 else None,
        )


def _variance_to_mean(counts: npt.NDArray[np.int32]) -> float | None:
    """Sum of the rows' variances ÷ sum of their means; of shape ``(rows, windows)``."""
    totals: Floats = counts.sum(axis=1, dtype=np.float64)
    if totals.sum() < LEAST_REQUESTS:
        return None
    windows = counts.shape[1]
    squares: Floats = np.einsum("ij,ij->i", counts, counts, dtype=np.float64, casting="safe")
    variances = (squares - totals**2 / windows) / (windows - 1)
    return float(variances.sum() / (totals.sum() / windows))


SHORTEST_MINUTES = 10
IMPROBABLE = 1e-6
"""Chance of the silence, given the traffic on either side, below which it is taken for a hole."""
_LEAST_REACH_MINUTES = 60
_DAY = HOURS_PER_DAY * MINUTES_PER_HOUR
_WEEK = HOURS_PER_WEEK * MINUTES_PER_HOUR
_SHOWN = 3
MAX_MINUTES = 3 * 366 * 24 * 60
"""Three years of minutes: a longer span is a mistake in the clock."""
LEAST_SECONDS_BY_HOUR = 6 * SECONDS_PER_HOUR
"""A shorter trace says nothing of how lengths change over the day."""
_MANY_REPEATED = 0.2
_ROUNDING = 1e-5
_BINS_PER_OCTAVE = 2
_N_BINS = int(np.log2(LARGEST_SIZE)) * _BINS_PER_OCTAVE + 3
_N_CELLS = _N_BINS * _N_BINS


def without_gaps(counts: Integers) -> Floats:
    """Requests per minute, NaN in every suspected hole of the telemetry.

    A hole lasts at least ten minutes, has a chance below one in a million under the traffic before it and under the
    traffic after it, and does not come back at the same time of the day or of the week: that would be the shape of
    the traffic.
    """
    starts, ends = _runs(counts == 0)
    is_long = ends - starts >= SHORTEST_MINUTES
    starts, ends = starts[is_long], ends[is_long]
    lengths = ends - starts
    reach = np.maximum(lengths, _LEAST_REACH_MINUTES)
    before = _log_chance(counts, np.maximum(starts - reach, 0), starts, lengths)
    after = _log_chance(counts, ends, np.minimum(ends + reach, len(counts)), lengths)
    is_hole = (np.maximum(before, after) < math.log(IMPROBABLE)) & ~_recurs(starts, ends, len(counts))
    filled = counts.astype(np.float64)
    for start, end in zip(starts[is_hole].tolist(), ends[is_hole].tolist(), strict=True):
        filled[start:end] = np.nan
    return filled


def gap_note(requests_per_minute: Floats, start_seconds: float) -> str | None:
    """Unknown minutes, in words; None where all are known."""
    is_unknown = np.isnan(requests_per_minute)
    if not is_unknown.any():
        return None
    starts, ends = _runs(is_unknown)
    gaps = [
        f"{end - start} min from {iso_minute(start_seconds + start * SECONDS_PER_MINUTE)}"
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    return (
        f"{int(is_unknown.sum()):,} of {len(requests_per_minute):,} minutes look like a gap in the recording "
        f"({first_names(gaps, _SHOWN)}): they count as unknown, not as idle"
    )


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """First and past-the-last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]


def _log_chance(counts: Integers, first: Integers, end: Integers, lengths: Integers) -> Floats:
    """Log of the chance of no request in ``lengths`` minutes, judged by the minutes from *first* to *end*.

    Minutes are taken to be independent and negative binomial with mean m and variance m·D: P(0) = D^(-m ÷ (D - 1)) for
    each, and e^(-m) where D = 1. The mean is its lower bound of two standard errors, so that a few requests prove
    nothing; fewer than ten minutes are not a neighbourhood.
    """
    minutes = np.maximum(end - first, 1)
    total = _sums(counts, first, end)
    mean = total / minutes
    variance = _sums(counts**2, first, end) / minutes - mean**2
    dispersion = np.maximum(np.divide(variance, mean, out=np.ones_like(mean), where=mean > 0), 1 + 1e-9)
    least_mean = np.maximum(total - 2 * np.sqrt(total * dispersion), 0) / minutes
    chance = -lengths * least_mean * np.log(dispersion) / (dispersion - 1)
    return np.where(minutes < SHORTEST_MINUTES, 0.0, chance)


def _recurs(starts: Integers, ends: Integers, minutes: int) -> npt.NDArray[np.bool_]:
    """Whether at least half of each silence is silent a day or a week away too, in another silence."""
    is_silent = np.zeros(minutes, dtype=np.int64)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        is_silent[start:end] = 1
    recurs = np.zeros(len(starts), dtype=bool)
    for shift in (-_WEEK, -_DAY, _DAY, _WEEK):
        first, last = np.clip(starts + shift, 0, minutes), np.clip(ends + shift, 0, minutes)
        itself = np.maximum(np.minimum(last, ends) - np.maximum(first, starts), 0)
        recurs |= _sums(is_silent, first, last) - itself >= (ends - starts) / 2
    return recurs


def _sums(values: Integers, first: Integers, end: Integers) -> Integers:
    """Sum of the values from *first* up to *end*."""
    cumulative = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(cumulative[end] - cumulative[first])


def token_bin(tokens: Integers) -> Integers:
    """Bin of each token count: 0 has its own, then two bins for each doubling."""
    octave = np.log2(np.maximum(tokens, 1)) * _BINS_PER_OCTAVE
    return np.where(tokens > 0, 1 + octave.astype(np.int64), 0)


def bin_edges(bins: Integers) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Token counts at which each bin begins and ends."""
    low = np.where(bins > 0, 2.0 ** ((bins - 1) / _BINS_PER_OCTAVE), 0.0)
    return low, np.where(bins > 0, low * 2.0 ** (1 / _BINS_PER_OCTAVE), 0.0)


@dataclass(slots=True)
class LengthCounts:
    """A running count of requests by length: an array of the usual lengths, a dictionary of the few beyond."""

    usual: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """Requests of each length, shape (lengths,)."""
    beyond: dict[int, int] = field(default_factory=dict)
    """Requests of each length above :data:`MAX_TOKENS`: pixels × steps of pictures."""

    @property
    def of_none(self) -> int:
        """Requests of length 0."""
        return int(self.usual[0])

    def add(self, lengths: Integers) -> None:
        """Count requests of these lengths, shape (n,)."""
        is_beyond = lengths > MAX_TOKENS
        if is_beyond.any():
            for length, count in zip(*np.unique(lengths[is_beyond], return_counts=True), strict=True):
                self.beyond[int(length)] = self.beyond.get(int(length), 0) + int(count)
            lengths = lengths[~is_beyond]
        counts = np.bincount(lengths, minlength=len(self.usual))
        counts[: len(self.usual)] += self.usual
        self.usual = counts

    def quantiles(self) -> TokenQuantiles:
        """Exact statistics; a percentile is the smallest length that covers its share."""
        lengths = np.flatnonzero(self.usual)
        counts = self.usual[lengths]
        if self.beyond:
            beyond = np.array(sorted(self.beyond.items()), dtype=np.int64)
            lengths, counts = np.concatenate((lengths, beyond[:, 0])), np.concatenate((counts, beyond[:, 1]))
        total = int(counts.sum())
        covering = np.searchsorted(np.cumsum(counts), np.ceil(np.array([0.50, 0.95, 0.99]) * total))
        p50, p95, p99 = lengths[covering].astype(np.float64).tolist()
        return TokenQuantiles(mean=float(lengths @ counts) / total, p50=p50, p95=p95, p99=p99, max=float(lengths[-1]))


def _farthest(seconds: Floats) -> int:
    """Number, from 1, of the time that is farthest from most of the others."""
    middle = np.sort(seconds)[(len(seconds) - 1) // 2]
    with np.errstate(over="ignore"):
        return int(np.abs(seconds - middle).argmax()) + 1


@dataclass(slots=True)
class RequestTally:
    """A running count of requests by minute, by length and by joint bin."""

    per_minute: dict[int, int] = field(default_factory=dict)
    fine: FineCounts = field(default_factory=FineCounts)
    input_counts: LengthCounts = field(default_factory=LengthCounts)
    output_counts: LengthCounts = field(default_factory=LengthCounts)
    cell_tokens: Floats = field(default_factory=lambda: np.zeros((2, _N_CELLS)))
    """Rows: input tokens, output tokens of each joint bin."""
    cell_counts: Integers = field(default_factory=lambda: np.zeros((HOURS_PER_DAY, _N_CELLS), dtype=np.int64))
    """Requests of each joint bin by hour of the day."""
    requests: int = 0
    first_seconds: float = float("inf")
    last_seconds: float = float("-inf")
    out_of_order: int = 0
    longest_request_tokens: int = 0
    repeated: int = 0
    """Rows that say what the row before them says."""
    last_row: Floats = field(default_factory=lambda: np.empty((3, 0)))
    time_unit: str = ""
    """Unit of times that are numbers since 1970; "" of other times."""
    column_notes: tuple[str, ...] = ()
    """Notes on the columns that are read."""

    def add(self, seconds: npt.NDArray[np.float64], input_tokens: Integers, output_tokens: Integers) -> None:
        """Count a batch of requests: arrival times since the epoch, prompt and generated tokens, each ``(n,)``."""
        if not len(seconds):
            return
        rows: Floats = np.stack((seconds, input_tokens, output_tokens))
        steps = np.diff(np.concatenate((self.last_row, rows), axis=1), axis=1)
        self.out_of_order += int(np.count_nonzero(steps[0] < 0))
        self.repeated += int(np.count_nonzero((steps == 0).all(axis=0)))
        self.last_row = rows[:, -1:]
        self._count_arrivals(seconds)
        self.input_counts.add(input_tokens)
        self.output_counts.add(output_tokens)
        cells = token_bin(input_tokens) * _N_BINS + token_bin(output_tokens)
        for row, weights in enumerate((input_tokens, output_tokens)):
            self.cell_tokens[row] += np.bincount(cells, weights=weights, minlength=_N_CELLS)
        hour = (seconds % SECONDS_PER_DAY // SECONDS_PER_HOUR).astype(np.int64)
        by_hour = np.bincount(hour * _N_CELLS + cells, minlength=self.cell_counts.size)
        self.cell_counts += by_hour.reshape(self.cell_counts.shape)
        self.longest_request_tokens = max(self.longest_request_tokens, int((input_tokens + output_tokens).max()))
        self.requests += len(seconds)

    def _count_arrivals(self, seconds: npt.NDArray[np.float64]) -> None:
        self.first_seconds = min(self.first_seconds, float(seconds.min()))
        self.last_seconds = max(self.last_seconds, float(seconds.max()))
        span_seconds = self.last_seconds - self.first_seconds
        if span_seconds > MAX_MINUTES * SECONDS_PER_MINUTE:
            request = self.requests + _farthest(seconds)
            raise InputError(
                f"the arrival times span {span_seconds / SECONDS_PER_DAY:,.9g} days with request {request:,}",
                hint="check the clock and the unit of the timestamps: seconds or ISO 8601",
            )
        if self.last_seconds >= LAST_SECONDS:
            request = self.requests + int(seconds.argmax()) + 1
            raise InputError(
                f"the time of request {request:,} is {self.last_seconds:.12g} seconds after 1970, which is after 2100",
                hint="give times in one unit, from seconds to nanoseconds since 1970, or in ISO 8601",
            )
        self.fine.read_clock(seconds)
        whole = np.floor(seconds)
        within = np.minimum(((seconds - whole) * PER_SECOND + _ROUNDING).astype(np.int64), PER_SECOND - 1)
        tenths, counts = np.unique((whole.astype(np.int64) * PER_SECOND + within), return_counts=True)
        self.fine.add(tenths, counts)
        minutes, firsts = np.unique(tenths // (SECONDS_PER_MINUTE * PER_SECOND), return_index=True)
        for minute, count in zip(minutes.tolist(), np.add.reduceat(counts, firsts).tolist(), strict=True):
            self.per_minute[minute] = self.per_minute.get(minute, 0) + count

    def demand(self, source: str) -> Demand:
        """The tally as demand. Raises InputError if no request was counted."""
        if not self.requests:
            raise InputError("no requests", hint="give a trace with at least one row")
        profile = self.profile()
        unknown_seconds = float(np.isnan(profile.requests_per_minute).sum()) * SECONDS_PER_MINUTE
        window_seconds = max(self.last_seconds - self.first_seconds - unknown_seconds, 1.0)
        observed = f"the demand was observed for {span_words(window_seconds)}"
        unseen = (
            (f"{observed}: busier hours of the day or week are unseen",) if window_seconds < SECONDS_PER_DAY else ()
        )
        return Demand(
            requests_per_second=arrival_rate(profile.requests_per_minute, self.requests / window_seconds),
            input_tokens=self.input_counts.quantiles(),
            output_tokens=self.output_counts.quantiles(),
            tokens=self._histogram(self.cell_counts.sum(axis=0)),
            longest_request_tokens=self.longest_request_tokens,
            source=source,
            requests=self.requests,
            window_seconds=window_seconds,
            notes=(*self.notes(), *unseen, *profile_notes(profile)),
            profile=profile,
        )

    def profile(self) -> DemandProfile:
        """The requests of each minute, holes of the telemetry left unknown, and their burstiness."""
        first_minute = min(self.per_minute)
        counts = np.zeros(max(self.per_minute) - first_minute + 1, dtype=np.int64)
        for minute, count in self.per_minute.items():
            counts[minute - first_minute] = count
        per_minute = without_gaps(counts)
        is_whole = per_minute <= most_per_minute(per_minute, first_minute)
        is_whole[[0, -1]] = False
        is_long = self.last_seconds - self.first_seconds >= LEAST_SECONDS_BY_HOUR
        by_hour = enumerate(self.cell_counts if is_long else ())
        return DemandProfile(
            start_seconds=on_the_calendar(float(first_minute * SECONDS_PER_MINUTE)),
            requests_per_minute=per_minute,
            dispersion=self.fine.dispersion(is_whole, first_minute),
            tokens_by_hour={hour: self._histogram(counts) for hour, counts in by_hour if counts.any()},
        )

    def _histogram(self, counts: Integers) -> TokenHistogram:
        """Joint cells that any of these requests fell into, each at its mean over the whole trace."""
        used = counts > 0
        inputs, outputs = self.cell_tokens[:, used] / self.cell_counts[:, used].sum(axis=0)
        return TokenHistogram(input_tokens=inputs, output_tokens=outputs, probability=counts[used] / counts.sum())

    def notes(self) -> tuple[str, ...]:
        """Notes on oddities of the columns and rows."""
        notes = list(self.column_notes)
        if self.out_of_order:
            arrive = f"request{' arrives' if self.out_of_order == 1 else 's arrive'} before the row above"
            notes.append(f"{self.out_of_order:,} {arrive}; rates are counted by the time that each row gives")
        if self.time_unit not in ("", "seconds"):
            notes.append(f"arrival times are read as {self.time_unit} since 1970")
        if self.repeated > _MANY_REPEATED * self.requests:
            notes.append(
                f"{self.repeated:,} of {self.requests:,} rows repeat the row above them in time and lengths: "
                "if a join or a second export made them, the true rate is lower"
            )
        if empty := self.output_counts.of_none:
            notes.append(f"{empty:,} requests generated no token (failed or cancelled); they are counted")
        return tuple(notes)


def profile_notes(profile: DemandProfile) -> tuple[str, ...]:
    """Notes on what is not known of when the requests came."""
    gaps = gap_note(profile.requests_per_minute, profile.start_seconds)
    undated = None if is_dated(profile.start_seconds) else UNDATED
    return tuple(note for note in (gaps, undated) if note)


def arrival_rate(requests_per_minute: Floats, mean: float) -> ArrivalRate:
    """Rates over the one-minute windows that are known.

    The first and the last window are cut off by the edges of the trace: percentiles leave them out where at
    least one whole minute lies between; the peak is over all.
    """
    observed = requests_per_minute[~np.isnan(requests_per_minute)]
    whole = observed[1:-1] if len(observed) > 2 else observed
    p50, p95, p99 = (rate / SECONDS_PER_MINUTE for rate in percentiles(whole, (0.5, 0.95, 0.99)))
    peak = max(float(observed.max()) / SECONDS_PER_MINUTE, mean if len(observed) <= 2 else 0.0)
    return ArrivalRate(mean=mean, p50=p50, p95=p95, p99=p99, peak=peak)


SCHEMA = "advisor.demand/v1"
_MOST_DISPERSION = 1_000_000


def summary_json(tally: RequestTally, source: str, attribution: str, unit: Unit = Unit.TOKENS) -> str:
    """The summary of a tally as JSON text.

    Of a one-pass unit the input tokens are the sizes of the items in it, and the output tokens the items of a request.
    *source*: where the trace is from, in words. *attribution*: what its licence asks to be said; "" for one's own data.
    """
    demand = tally.demand(source)
    tokens, profile = demand.tokens, tally.profile()
    cells = zip(tokens.input_tokens, tokens.output_tokens, tokens.probability, strict=True)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "source": source,
        "attribution": attribution,
        **({"unit": unit.value} if unit.is_one_pass else {}),
        "requests": demand.requests,
        "window_seconds": round(demand.window_seconds or 0, 3),
        "start": iso_minute(profile.start_seconds),
        "requests_per_minute": [None if np.isnan(count) else int(count) for count in profile.requests_per_minute],
        "dispersion": {
            window: None if ratio is None else round(ratio, 4) for window, ratio in asdict(profile.dispersion).items()
        },
        "input_tokens": asdict(demand.input_tokens) | {"mean": round(demand.input_tokens.mean, 3)},
        "output_tokens": asdict(demand.output_tokens) | {"mean": round(demand.output_tokens.mean, 3)},
        "longest_request_tokens": demand.longest_request_tokens,
        "token_cells": [
            {
                "input_tokens": round(float(inputs), 3),
                "output_tokens": round(float(outputs), 3),
                "requests": round(float(share) * tally.requests),
            }
            for inputs, outputs, share in cells
        ],
    }
    if notes := tally.notes():
        document["notes"] = list(notes)
    if profile.tokens_by_hour:
        used = tally.cell_counts[:, tally.cell_counts.any(axis=0)]
        document["token_cells_by_hour"] = {str(hour): used[hour].tolist() for hour in profile.tokens_by_hour}
    return json.dumps(document, indent=1) + "\n"


def read_summary(path: Path) -> Demand:
    """Demand from a summary file. Raises InputError if the file cannot be read, or is not an ``advisor.demand/v1``."""
    document = read_json(path, "demand summary", "make one with `advisor demand summarise TRACE -o FILE`")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"the schema is not {SCHEMA}", where=str(path), hint="make it with `advisor demand summarise`")
    try:
        return _demand(document, path)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        problem = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"not a whole {SCHEMA} document: {problem}",
            where=str(path),
            hint="make it again with `advisor demand summarise`",
        ) from error


def _demand(document: dict[str, Any], path: Path) -> Demand:
    cells = np.array(
        [[cell["input_tokens"], cell["output_tokens"], cell["requests"]] for cell in document["token_cells"]],
        dtype=np.float64,
    )
    if not (len(cells) and np.isfinite(cells).all() and (cells >= 0).all() and cells[:, 2].sum() > 0):
        raise ValueError("token_cells holds no requests, or a negative number")
    profile = _profile(document, cells)
    mean = document["requests"] / float(document["window_seconds"])
    notes = [str(document["attribution"])] if document.get("attribution") else []
    notes += map(str, document.get("notes", ()))
    seconds = float(document["window_seconds"])
    if seconds < SECONDS_PER_DAY:
        notes.append(f"{path.name} covers {span_words(seconds)}: busier hours of the day or week are unseen")
    return Demand(
        requests_per_second=arrival_rate(profile.requests_per_minute, mean),
        input_tokens=_read_quantiles(document, "input_tokens"),
        output_tokens=_read_quantiles(document, "output_tokens"),
        tokens=TokenHistogram(cells[:, 0], cells[:, 1], cells[:, 2] / cells[:, 2].sum()),
        longest_request_tokens=float(document["longest_request_tokens"]),
        source=str(document["source"]),
        unit=Unit(document.get("unit", Unit.TOKENS)),
        requests=int(document["requests"]),
        window_seconds=float(document["window_seconds"]),
        notes=(*notes, *profile_notes(profile)),
        profile=profile,
    )


def _profile(document: dict[str, Any], cells: Floats) -> DemandProfile:
    """Demand by the minute; without a start, the first minute opens a Monday."""
    counts = np.array(document["requests_per_minute"], dtype=np.float64)
    observed = counts[~np.isnan(counts)]
    is_valid = observed.size > 0 and np.isfinite(observed).all() and (observed >= 0).all()
    if not (is_valid and observed.sum() == document["requests"]):
        raise ValueError("requests_per_minute does not add up to requests")
    window_seconds = float(document["window_seconds"])
    # The first and the last minute are cut off by the edges of the window.
    least, most = (observed.size - 2) * SECONDS_PER_MINUTE, observed.size * SECONDS_PER_MINUTE
    if not (window_seconds > 0 and least - 1 <= window_seconds <= most + 1):
        raise ValueError(f"window_seconds ({window_seconds:g}) is not the span of {observed.size} requests_per_minute")
    dispersion = _part(document, "dispersion")
    if any(ratio is not None and not 0 <= ratio < _MOST_DISPERSION for ratio in dispersion.values()):
        raise ValueError(f"dispersion must be from 0 to {_MOST_DISPERSION:,}: {dispersion}")
    return DemandProfile(
        start_seconds=_start_seconds(document.get("start")),
        requests_per_minute=counts,
        dispersion=Dispersion(**dispersion),
        tokens_by_hour=_tokens_by_hour(_part(document, "token_cells_by_hour"), cells),
    )


def _start_seconds(start: str | None) -> float:
    if not start:
        return MONDAY_SECONDS
    moment = dt.datetime.fromisoformat(start)
    if moment.tzinfo is None:
        raise ValueError(f"start ({start}) names no time zone: write it in UTC, as 2026-01-31T18:15Z")
    return moment.timestamp()


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    """An object of the document, empty where it is missing."""
    part = document.get(name, {})
    if not isinstance(part, dict):
        raise TypeError(f"{name} ({part!r}) is not an object")
    return part


def _read_quantiles(document: dict[str, Any], name: str) -> TokenQuantiles:
    """Quantiles in their order."""
    quantiles = TokenQuantiles(**document[name])
    in_order = 0 <= quantiles.p50 <= quantiles.p95 <= quantiles.p99 <= quantiles.max
    if not (in_order and 0 <= quantiles.mean <= quantiles.max):
        raise ValueError(f"{name} is not in order: {document[name]}")
    return quantiles


def _tokens_by_hour(cells_by_hour: dict[str, list[int]], cells: Floats) -> dict[int, TokenHistogram]:
    histograms = {}
    for hour, numbers in cells_by_hour.items():
        counts = np.array(numbers, dtype=np.float64)
        is_valid = counts.shape == (len(cells),) and (counts >= 0).all() and counts.any()
        if hour not in map(str, range(HOURS_PER_DAY)) or not is_valid:
            raise ValueError(f"token_cells_by_hour of {hour} does not fit the hours or token_cells")
        used = counts > 0
        histograms[int(hour)] = TokenHistogram(cells[used, 0], cells[used, 1], counts[used] / counts.sum())
    return histograms
