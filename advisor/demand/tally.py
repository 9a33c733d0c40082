"""Counting requests: constant memory however long the trace, exact means and percentiles."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from advisor.demand.values import ArrivalRate, Demand, TokenHistogram, TokenQuantiles
from advisor.errors import InputError
from advisor.units import SECONDS_PER_MINUTE

Integers = npt.NDArray[np.int64]

MAX_TOKENS = 4_000_000
"""Longer prompts than any model takes: a count above it is a mistake in the trace."""
MAX_MINUTES = 3 * 366 * 24 * 60
"""Three years of minutes: a longer span is a mistake in the clock."""
_BINS_PER_OCTAVE = 2
_N_BINS = int(np.log2(MAX_TOKENS)) * _BINS_PER_OCTAVE + 3


def token_bin(tokens: Integers) -> Integers:
    """Bin of each token count: 0 has its own, then two bins for each doubling."""
    octave = np.log2(np.maximum(tokens, 1)) * _BINS_PER_OCTAVE
    return np.where(tokens > 0, 1 + octave.astype(np.int64), 0)


@dataclass(slots=True)
class RequestTally:
    """A running count of requests by minute, by length and by joint bin."""

    per_minute: dict[int, int] = field(default_factory=dict)
    input_counts: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    output_counts: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    cell_sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, _N_BINS * _N_BINS)))
    """Rows: requests, input tokens, output tokens of each joint bin."""
    requests: int = 0
    first_seconds: float = float("inf")
    last_seconds: float = float("-inf")
    out_of_order: int = 0
    longest_request_tokens: int = 0

    def add(self, seconds: npt.NDArray[np.float64], input_tokens: Integers, output_tokens: Integers) -> None:
        """Count a batch of requests.

        Args:
            seconds: arrival times since the epoch, shape ``(n,)``.
            input_tokens: prompt tokens, shape ``(n,)``.
            output_tokens: generated tokens, shape ``(n,)``.
        """
        if not len(seconds):
            return
        before = np.concatenate([[self.last_seconds], seconds[:-1]])
        self.out_of_order += int(np.count_nonzero(seconds < before))
        self._count_minutes(seconds)
        self.input_counts = _add_counts(self.input_counts, input_tokens)
        self.output_counts = _add_counts(self.output_counts, output_tokens)
        cells = token_bin(input_tokens) * _N_BINS + token_bin(output_tokens)
        for row, weights in enumerate((None, input_tokens, output_tokens)):
            self.cell_sums[row] += np.bincount(cells, weights=weights, minlength=_N_BINS * _N_BINS)
        self.longest_request_tokens = max(self.longest_request_tokens, int((input_tokens + output_tokens).max()))
        self.requests += len(seconds)

    def _count_minutes(self, seconds: npt.NDArray[np.float64]) -> None:
        self.first_seconds = min(self.first_seconds, float(seconds.min()))
        self.last_seconds = max(self.last_seconds, float(seconds.max()))
        if self.last_seconds - self.first_seconds > MAX_MINUTES * SECONDS_PER_MINUTE:
            raise InputError(
                f"the arrival times span {(self.last_seconds - self.first_seconds) / 86_400:.0f} days",
                hint="check the clock and the unit of the timestamps: seconds or ISO 8601",
            )
        minutes, counts = np.unique((seconds // SECONDS_PER_MINUTE).astype(np.int64), return_counts=True)
        for minute, count in zip(minutes.tolist(), counts.tolist(), strict=True):
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
        window_seconds = max(self.last_seconds - self.first_seconds, 1.0)
        return Demand(
            requests_per_second=arrival_rate(self.minute_counts(), self.requests / window_seconds),
            input_tokens=token_quantiles(self.input_counts),
            output_tokens=token_quantiles(self.output_counts),
            tokens=self._histogram(),
            longest_request_tokens=self.longest_request_tokens,
            source=source,
            requests=self.requests,
            window_seconds=window_seconds,
            notes=self._notes(window_seconds),
        )

    def _histogram(self) -> TokenHistogram:
        used = self.cell_sums[:, self.cell_sums[0] > 0]
        return TokenHistogram(
            input_tokens=used[1] / used[0], output_tokens=used[2] / used[0], probability=used[0] / self.requests
        )

    def _notes(self, window_seconds: float) -> tuple[str, ...]:
        notes = []
        if self.out_of_order:
            notes.append(
                f"{self.out_of_order:,} requests arrive before the row above them; rates are counted by their own time"
            )
        if window_seconds < 24 * 3600:
            notes.append(
                f"the demand was observed for {window_seconds / 3600:.1f} h: busier hours of the day or week are unseen"
            )
        if empty := int(self.output_counts[0]):
            notes.append(f"{empty:,} requests generated no token (failed or cancelled); they are counted")
        return tuple(notes)


def arrival_rate(minute_counts: Integers, mean: float) -> ArrivalRate:
    """Rates over one-minute windows.

    The first and the last window are cut off by the edges of the trace: percentiles leave them out where at
    least one whole minute lies between; the peak is over all.
    """
    whole = minute_counts[1:-1] if len(minute_counts) > 2 else minute_counts
    p50, p95, p99 = np.percentile(whole, [50, 95, 99]) / SECONDS_PER_MINUTE
    peak = max(float(minute_counts.max()) / SECONDS_PER_MINUTE, mean if len(minute_counts) <= 2 else 0.0)
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
