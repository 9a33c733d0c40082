"""Counting requests: constant memory however long the trace, exact means and percentiles."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from advisor.demand.bursts import PER_SECOND, FineCounts
from advisor.demand.clock import LAST_SECONDS, UNDATED, is_dated, on_the_calendar
from advisor.demand.gaps import gap_note, without_gaps
from advisor.demand.trace_columns import MAX_TOKENS
from advisor.demand.values import ArrivalRate, Demand, DemandProfile, Floats, TokenHistogram, TokenQuantiles
from advisor.errors import InputError
from advisor.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, span_words

Integers = npt.NDArray[np.int64]

MAX_MINUTES = 3 * 366 * 24 * 60
"""Three years of minutes: a longer span is a mistake in the clock."""
LEAST_SECONDS_BY_HOUR = 6 * SECONDS_PER_HOUR
"""A shorter trace says nothing of how lengths change over the day."""
_MANY_REPEATED = 0.2
_ROUNDING = 1e-5
_BINS_PER_OCTAVE = 2
_N_BINS = int(np.log2(MAX_TOKENS)) * _BINS_PER_OCTAVE + 3
_N_CELLS = _N_BINS * _N_BINS


def token_bin(tokens: Integers) -> Integers:
    """Bin of each token count: 0 has its own, then two bins for each doubling."""
    octave = np.log2(np.maximum(tokens, 1)) * _BINS_PER_OCTAVE
    return np.where(tokens > 0, 1 + octave.astype(np.int64), 0)


def bin_edges(bins: Integers) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Token counts at which each bin begins and ends."""
    low = np.where(bins > 0, 2.0 ** ((bins - 1) / _BINS_PER_OCTAVE), 0.0)
    return low, np.where(bins > 0, low * 2.0 ** (1 / _BINS_PER_OCTAVE), 0.0)


def _tenths_of(seconds: Floats) -> Integers:
    """Whole tenths of a second of times, in spite of the rounding of a time that was written as one."""
    whole = np.floor(seconds)
    within = np.minimum(((seconds - whole) * PER_SECOND + _ROUNDING).astype(np.int64), PER_SECOND - 1)
    return whole.astype(np.int64) * PER_SECOND + within


@dataclass(slots=True)
class RequestTally:
    """A running count of requests by minute, by length and by joint bin."""

    per_minute: dict[int, int] = field(default_factory=dict)
    fine: FineCounts = field(default_factory=FineCounts)
    input_counts: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    output_counts: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
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
    """Of times that are numbers; "" where they are not."""

    def add(self, seconds: npt.NDArray[np.float64], input_tokens: Integers, output_tokens: Integers) -> None:
        """Count a batch of requests.

        Args:
            seconds: arrival times since the epoch, shape ``(n,)``.
            input_tokens: prompt tokens, shape ``(n,)``.
            output_tokens: generated tokens, shape ``(n,)``.
        """
        if not len(seconds):
            return
        self._compare_with_row_above(np.stack((seconds, input_tokens, output_tokens)))
        self._count_arrivals(seconds)
        self.input_counts = _add_counts(self.input_counts, input_tokens)
        self.output_counts = _add_counts(self.output_counts, output_tokens)
        cells = token_bin(input_tokens) * _N_BINS + token_bin(output_tokens)
        for row, weights in enumerate((input_tokens, output_tokens)):
            self.cell_tokens[row] += np.bincount(cells, weights=weights, minlength=_N_CELLS)
        hour = (seconds % SECONDS_PER_DAY // SECONDS_PER_HOUR).astype(np.int64)
        by_hour = np.bincount(hour * _N_CELLS + cells, minlength=self.cell_counts.size)
        self.cell_counts += by_hour.reshape(self.cell_counts.shape)
        self.longest_request_tokens = max(self.longest_request_tokens, int((input_tokens + output_tokens).max()))
        self.requests += len(seconds)

    def _compare_with_row_above(self, rows: Floats) -> None:
        """Count rows, shape (3, n), that are earlier than the row above, in this batch or the last, or equal it."""
        steps = np.diff(np.concatenate((self.last_row, rows), axis=1), axis=1)
        self.out_of_order += int(np.count_nonzero(steps[0] < 0))
        self.repeated += int(np.count_nonzero((steps == 0).all(axis=0)))
        self.last_row = rows[:, -1:]

    def _count_arrivals(self, seconds: npt.NDArray[np.float64]) -> None:
        self.first_seconds = min(self.first_seconds, float(seconds.min()))
        self.last_seconds = max(self.last_seconds, float(seconds.max()))
        if self.last_seconds - self.first_seconds > MAX_MINUTES * SECONDS_PER_MINUTE:
            raise InputError(
                f"the arrival times span {(self.last_seconds - self.first_seconds) / 86_400:.0f} days",
                hint="check the clock and the unit of the timestamps: seconds or ISO 8601",
            )
        if self.last_seconds >= LAST_SECONDS:
            raise InputError(
                f"an arrival time is {self.last_seconds:.0f} seconds after 1970, which is after 2100",
                hint="give times in one unit, from seconds to nanoseconds since 1970, or in ISO 8601",
            )
        self.fine.read_clock(seconds)
        tenths, counts = np.unique(_tenths_of(seconds), return_counts=True)
        self.fine.add(tenths, counts)
        minutes, firsts = np.unique(tenths // (SECONDS_PER_MINUTE * PER_SECOND), return_index=True)
        for minute, count in zip(minutes.tolist(), np.add.reduceat(counts, firsts).tolist(), strict=True):
            self.per_minute[minute] = self.per_minute.get(minute, 0) + count

    def minute_counts(self) -> Integers:
        """Requests in each minute from the first to the last, empty minutes included."""
        first, last = min(self.per_minute), max(self.per_minute)
        counts = np.zeros(last - first + 1, dtype=np.int64)
        for minute, count in self.per_minute.items():
            counts[minute - first] = count
        return counts

    def demand(self, source: str) -> Demand:
        """The tally as demand.

        Raises:
            InputError: no request was counted.
        """
        if not self.requests:
            raise InputError("no requests", hint="give a trace with at least one row")
        profile = self.profile()
        unknown_seconds = float(np.isnan(profile.requests_per_minute).sum()) * SECONDS_PER_MINUTE
        window_seconds = max(self.last_seconds - self.first_seconds - unknown_seconds, 1.0)
        return Demand(
            requests_per_second=arrival_rate(profile.requests_per_minute, self.requests / window_seconds),
            input_tokens=token_quantiles(self.input_counts),
            output_tokens=token_quantiles(self.output_counts),
            tokens=self._histogram(self.cell_counts.sum(axis=0)),
            longest_request_tokens=self.longest_request_tokens,
            source=source,
            requests=self.requests,
            window_seconds=window_seconds,
            notes=(*self.notes(), *_window_notes(window_seconds), *profile_notes(profile)),
            profile=profile,
        )

    def profile(self) -> DemandProfile:
        """The requests of each minute, holes of the telemetry left unknown, and their burstiness."""
        per_minute = without_gaps(self.minute_counts())
        is_whole = ~np.isnan(per_minute)
        is_whole[[0, -1]] = False
        first_minute = min(self.per_minute)
        return DemandProfile(
            start_seconds=on_the_calendar(float(first_minute * SECONDS_PER_MINUTE)),
            requests_per_minute=per_minute,
            dispersion=self.fine.dispersion(is_whole, first_minute),
            tokens_by_hour=self._tokens_by_hour(),
        )

    def _tokens_by_hour(self) -> dict[int, TokenHistogram]:
        if self.last_seconds - self.first_seconds < LEAST_SECONDS_BY_HOUR:
            return {}
        return {hour: self._histogram(counts) for hour, counts in enumerate(self.cell_counts) if counts.any()}

    def _histogram(self, counts: Integers) -> TokenHistogram:
        """Joint cells that any of these requests fell into, each at its mean over the whole trace."""
        used = counts > 0
        inputs, outputs = self.cell_tokens[:, used] / self.cell_counts[:, used].sum(axis=0)
        return TokenHistogram(input_tokens=inputs, output_tokens=outputs, probability=counts[used] / counts.sum())

    def notes(self) -> tuple[str, ...]:
        """Notes on oddities of the rows."""
        notes = []
        if self.out_of_order:
            notes.append(
                f"{self.out_of_order:,} requests arrive before the row above them; rates are counted by their own time"
            )
        if self.time_unit not in ("", "seconds"):
            notes.append(f"arrival times are read as {self.time_unit} since 1970")
        if self.repeated > _MANY_REPEATED * self.requests:
            notes.append(
                f"{self.repeated:,} of {self.requests:,} rows repeat the row above them in time and lengths: "
                "if a join or a second export made them, the true rate is lower"
            )
        if empty := int(self.output_counts[0]):
            notes.append(f"{empty:,} requests generated no token (failed or cancelled); they are counted")
        return tuple(notes)


def _window_notes(window_seconds: float) -> tuple[str, ...]:
    if window_seconds >= SECONDS_PER_DAY:
        return ()
    return (f"the demand was observed for {span_words(window_seconds)}: busier hours of the day or week are unseen",)


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
    known = requests_per_minute[~np.isnan(requests_per_minute)]
    whole = known[1:-1] if len(known) > 2 else known
    p50, p95, p99 = np.percentile(whole, [50, 95, 99]) / SECONDS_PER_MINUTE
    peak = max(float(known.max()) / SECONDS_PER_MINUTE, mean if len(known) <= 2 else 0.0)
    return ArrivalRate(mean=mean, p50=float(p50), p95=float(p95), p99=float(p99), peak=peak)


def token_quantiles(counts: Integers) -> TokenQuantiles:
    """Exact statistics from ``counts[tokens]``; a percentile is the smallest value that covers its share."""
    total = int(counts.sum())
    cumulative = np.cumsum(counts)
    p50, p95, p99 = np.searchsorted(cumulative, np.ceil(np.array([0.50, 0.95, 0.99]) * total))
    mean = float(np.arange(len(counts)) @ counts) / total
    return TokenQuantiles(
        mean=mean, p50=float(p50), p95=float(p95), p99=float(p99), max=float(np.flatnonzero(counts)[-1])
    )


def _add_counts(counts: Integers, tokens: Integers) -> Integers:
    new = np.bincount(tokens, minlength=len(counts))
    new[: len(counts)] += counts
    return new
