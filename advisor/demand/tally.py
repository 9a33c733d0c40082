"""Counting requests: constant memory however long the trace, exact means and percentiles."""

import math

import numpy as np
import numpy.typing as npt

from advisor.demand.bursts import PER_SECOND, FineCounts
from advisor.demand.capped import most_per_minute
from advisor.demand.spread import LAST_SECONDS, UNDATED, is_dated, iso_minute, on_the_calendar
from advisor.demand.trace_columns import LARGEST_SIZE, MAX_TOKENS
from advisor.demand.values import ArrivalRate, Demand, DemandProfile, Floats, TokenHistogram, TokenQuantiles
from advisor.errors import InputError
from advisor.names import first_names
from advisor.percentiles import percentiles
from advisor.records import dataclass, field
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
