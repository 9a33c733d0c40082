"""Counter readings of serving engines: restarts, and addresses that answer for several replicas in turn.

Token lengths from an engine's histograms: a share of the requests in each bin, and their exact mean.
"""

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Self

import numpy as np
import numpy.typing as npt

from advisor.demand.values import TokenHistogram, TokenQuantiles
from advisor.records import dataclass, fields, replace
from advisor.units import SECONDS_PER_MINUTE

Floats = npt.NDArray[np.float64]

_BEYOND = 2.0
"""The last bucket has no end: it is taken to reach this many times its beginning."""
_FEWEST_REQUESTS = 0.5
_BINS_PER_OCTAVE = 2
_LEAST_SHARE_OF_LENGTHS = 1e-9
_ROUND = 0.5
"""Tokens by which a length that is the same for all is written apart from its bin's ends."""
_LEAST_TOKENS = 0.5
"""Of a length, for its logarithm."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, eq=False)
class LengthCounts:
    """A cumulative histogram of token lengths, as Prometheus has them; arrays of shape ``(buckets,)``."""

    bounds: Floats
    """Upper bounds, ascending, the last infinite."""
    counts: Floats
    """Requests of at most that length."""
    tokens: float
    """Of all requests together."""

    @property
    def requests(self) -> float:
        """Requests in all buckets."""
        return float(self.counts[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """Tokens of prompts, or of answers."""

    low: Floats
    """Where each bin begins, shape ``(bins,)``."""
    high: Floats
    share: Floats
    """Share of the requests in each bin; sums to 1."""
    mean: float

    @property
    def is_one(self) -> bool:
        """Whether every request is as long."""
        return self.share.size == 1 and float(self.high[0] - self.low[0]) <= 2 * _ROUND

    @property
    def tokens(self) -> Floats:
        """One length for each bin, as far into it everywhere as gives the exact mean."""
        width = self.high - self.low
        into = (self.mean - float(self.low @ self.share)) / float(width @ self.share)
        return np.asarray(self.low + min(max(into, 0.0), 1.0) * width)

    def within(self, most: float) -> Self:
        """The same where no length is longer than the most that is accepted: bins end there."""
        return self if self.low[-1] >= most else replace(self, high=np.minimum(self.high, most))

    def quantiles(self) -> TokenQuantiles:
        """Interpolated within bins as if log-normal; the maximum is the end of the last bucket that holds any.

        Where every request is as long, each of them is that length.
        """
        if self.is_one:
            return TokenQuantiles(*[self.mean] * 5)
        ends = _probit(np.concatenate(([0.0], np.cumsum(self.share))))
        edges = np.log(np.maximum(np.concatenate((self.low[:1], self.high)), _LEAST_TOKENS))
        p50, p95, p99 = np.exp(np.interp(_probit(np.array([0.5, 0.95, 0.99])), ends, edges))
        return TokenQuantiles(self.mean, float(p50), float(p95), float(p99), float(self.high[-1]))


def added(parts: Sequence[LengthCounts]) -> LengthCounts | None:
    """All requests of several histograms, whose bounds may differ; None where there is no request."""
    parts = [part for part in parts if part.requests >= _FEWEST_REQUESTS]
    if not parts:
        return None
    bounds = np.unique(np.concatenate([part.bounds for part in parts]))
    counts = sum((_counts_up_to(part, bounds) for part in parts), np.zeros(bounds.size))
    return LengthCounts(bounds, counts, sum(part.tokens for part in parts))


def _counts_up_to(part: LengthCounts, bounds: Floats) -> Floats:
    if np.array_equal(part.bounds, bounds):
        return part.counts
    ends = np.where(np.isinf(part.bounds), bounds[np.isfinite(bounds)].max(initial=1.0), part.bounds)
    within = np.interp(bounds, np.concatenate(([0.0], ends)), np.concatenate(([0.0], part.counts)))
    return np.where(np.isinf(bounds), part.requests, within)


def lengths_of(counted: LengthCounts) -> Lengths | None:
    """Lengths of a histogram's requests; None where it holds none.

    Buckets are divided at every half octave, as a log-normal distribution through their bounds would: the quantile of
    the normal distribution at each bound is interpolated over the logarithm of the length. Buckets of 1, 2, 5 × 10ⁿ
    alone leave a p95 open by a factor of two. Where the mean shows that lengths are nothing of the kind, the buckets
    stay whole.
    """
    cumulative = np.maximum.accumulate(np.clip(counted.counts, 0.0, None))
    if not cumulative.size or cumulative[-1] < _FEWEST_REQUESTS:
        return None
    low = np.concatenate(([0.0], counted.bounds[:-1]))
    high = np.where(np.isinf(counted.bounds), np.maximum(low * _BEYOND, 1.0), counted.bounds)
    share = np.diff(cumulative, prepend=0.0) / cumulative[-1]
    held = share > _LEAST_SHARE_OF_LENGTHS
    mean = counted.tokens / counted.requests
    edges, within = _finer(low[held], high[held], share[held])
    if edges[:-1] @ within <= mean <= edges[1:] @ within:
        return Lengths(edges[:-1], edges[1:], within, mean)
    return Lengths(low[held], high[held], share[held], mean)


def _finer(low: Floats, high: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Edges at every half octave within the buckets, and the share of the requests between two of them."""
    ends = np.cumsum(share)
    anchors, levels = high[:-1], _probit(ends[:-1])
    edges, shares = [low[0]], []
    for start, end, part in zip(low, high, share, strict=True):
        first = np.floor(np.log2(max(start, 1.0)) * _BINS_PER_OCTAVE) + 1
        last = np.ceil(np.log2(max(end, 1.0)) * _BINS_PER_OCTAVE)
        inner = [float(cut) for cut in 2.0 ** (np.arange(first, last) / _BINS_PER_OCTAVE) if start < cut < end]
        weights = np.diff(_between(np.array([start, *inner, end]), anchors, levels))
        spread = (
            weights / weights.sum()
            if weights.sum() > _LEAST_SHARE_OF_LENGTHS * part
            else np.full(weights.size, 1.0 / weights.size)
        )
        if start > edges[-1]:  # an empty bucket before it
            edges.append(start)
            shares.append(0.0)
        edges += [*inner, end]
        shares += list(part * spread)
    return np.array(edges), np.array(shares)


def _between(lengths: Floats, anchors: Floats, levels: Floats) -> Floats:
    """Share of the requests below each length, by the normal quantiles at the anchors; linear with fewer than two."""
    if anchors.size < 2:
        return lengths
    at, log_anchors = np.log(np.maximum(lengths, _LEAST_TOKENS)), np.log(anchors)
    inner = np.interp(at, log_anchors, levels)
    first, last = ((levels[k + 1] - levels[k]) / (log_anchors[k + 1] - log_anchors[k]) for k in (0, -2))
    outer = np.where(
        at < log_anchors[0], levels[0] + first * (at - log_anchors[0]), levels[-1] + last * (at - log_anchors[-1])
    )
    is_outside = (at < log_anchors[0]) | (at > log_anchors[-1])
    return np.array([_NORMAL.cdf(level) for level in np.where(is_outside, outer, inner)])


def _probit(shares: Floats) -> Floats:
    return np.array([_NORMAL.inv_cdf(float(share)) for share in np.clip(shares, 1e-12, 1 - 1e-12)])


def one_length(mean: float) -> Lengths:
    """Lengths where only the mean is known: every request is as long."""
    return Lengths(np.array([mean - _ROUND]), np.array([mean + _ROUND]), np.array([1.0]), mean)


def joint(prompts: Lengths, answers: Lengths) -> TokenHistogram:
    """Both together, as if the length of an answer said nothing of the length of its prompt."""
    inputs, outputs = np.meshgrid(prompts.tokens, answers.tokens, indexing="ij")
    shares = np.outer(prompts.share, answers.share)
    held = shares > 0
    return TokenHistogram(inputs[held], outputs[held], shares[held])


Integers = npt.NDArray[np.intp]
Booleans = npt.NDArray[np.bool_]

_LAGS = 8
"""A reading is compared with so many before it: replicas that answer in turn come back within them."""
_USUAL = 0.99
_MARGIN = 5.0
"""What a counter may grow by, in multiples of its 99th percentile."""
_FEWEST_READINGS = 3
_LEAST_SHARE = 0.02
"""A replica that gave fewer of an address's readings is none, but readings in the wrong order."""
_MOST_CHAINS = 16
CLOCK_SKEW_SECONDS = 150.0
"""How far clocks of two hosts may be apart."""
_LOOPBACK = ("127.", "localhost", "[::1]", "::1", "0.0.0.0")  # noqa: S104 - recognised in names, nothing is bound


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Cumulative counters in order of time; arrays of shape ``(readings,)``."""

    seconds: Floats
    """Since 1970, each later than the one before."""
    requests: Floats
    """Requests that ended since the process started."""
    tokens: Floats
    """Tokens of prompts and answers; NaN where they were not read."""
    in_flight: Floats
    """Requests that run or wait; NaN where they were not read."""
    is_thinned: bool = False
    """Whether readings within minutes were left out, the minutes being as sharp as before."""

    def at(self, positions: Integers) -> "Readings":
        """Some of them."""
        return self._each(lambda name: np.asarray(getattr(self, name)[positions]))

    def with_more(self, more: "Readings") -> "Readings":
        """Together with others, in order of time."""
        order = np.argsort(np.concatenate((self.seconds, more.seconds)), kind="stable")
        return self._each(lambda name: np.concatenate((getattr(self, name), getattr(more, name)))[order])

    def _each(self, column: Callable[[str], Floats]) -> "Readings":
        """Readings of other columns, by their names."""
        columns = column("seconds"), column("requests"), column("tokens"), column("in_flight")
        return Readings(*columns, is_thinned=self.is_thinned)

    def thinned(self) -> "Readings":
        """The last of each minute, with those at whose side a counter fell or nothing was read for a minute."""
        is_kept = np.append(np.diff(np.ceil(self.seconds / SECONDS_PER_MINUTE)) > 0, True)
        is_edge = (
            (np.diff(self.seconds) > SECONDS_PER_MINUTE) | (np.diff(self.signal) < 0) | (np.diff(self.requests) < 0)
        )
        is_kept[:-1] |= is_edge
        is_kept[1:] |= is_edge
        is_kept[0] = True
        return replace(self.at(np.flatnonzero(is_kept)), is_thinned=True)

    @property
    def signal(self) -> Floats:
        """The counter that tells processes apart best: tokens, else requests."""
        return self.requests if np.isnan(self.tokens).any() else self.tokens

    @property
    def arrived(self) -> Floats:
        """Requests that came since the process started: those that ended and, where that was read, those in flight."""
        is_read = np.isfinite(self.in_flight)
        if not is_read.any():
            return self.requests
        return self.requests + np.interp(self.seconds, self.seconds[is_read], self.in_flight[is_read])

    @property
    def interval_seconds(self) -> float:
        """Usual distance of two readings; 0 where there is one alone."""
        return float(np.median(np.diff(self.seconds))) if self.seconds.size > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """Plausible growth of a counter."""

    per_second: float
    at_once: float

    def after(self, seconds: Floats) -> Floats:
        """Greatest growth in *seconds*."""
        return np.maximum(self.per_second * seconds, self.at_once)


def allowance(seconds: Floats, signal: Floats) -> Allowance:
    """Five times the 99th percentile of growth, each reading against the nearest lower of the eight before it.

    A single process continues from the reading before; replicas that answer in turn each continue from their own.
    """
    grown, elapsed = np.full((2, signal.size), np.inf)
    for lag in range(1, min(_LAGS, signal.size - 1) + 1):
        change = signal[lag:] - signal[:-lag]
        is_nearer = (change >= 0) & (change < grown[lag:])
        grown[lag:][is_nearer] = change[is_nearer]
        elapsed[lag:][is_nearer] = (seconds[lag:] - seconds[:-lag])[is_nearer]
    grows = np.isfinite(grown) & (grown > 0)
    if not grows.any():
        return Allowance(0.0, 0.0)
    rates = grown[grows] / elapsed[grows]
    return Allowance(_MARGIN * float(np.quantile(rates, _USUAL)), _MARGIN * float(np.quantile(grown[grows], _USUAL)))


def growth(readings: Readings, *, takes_turns: bool = False) -> tuple[Floats, Booleans]:
    """Requests that came from each reading to the next, and where the process was started anew between them.

    After a start the new value was counted since; what was counted between the last reading and the end is lost.
    Requests that left without being counted go off those that came next. Where replicas take turns, requests count when
    they end, and a step down to more than a process can have counted is not a start, but a reading of another one, and
    goes in as it is: sums stay right.
    """
    change = np.diff(readings.requests)
    is_start = change < 0
    if takes_turns:
        may_grow = allowance(readings.seconds, readings.requests)
        is_start &= readings.requests[1:] <= may_grow.after(np.diff(readings.seconds))
        return np.where(is_start, readings.requests[1:], change), is_start
    arrived = readings.arrived
    total = np.append(0.0, np.cumsum(np.where(is_start, arrived[1:], np.diff(arrived))))
    return np.diff(np.maximum.accumulate(total)), is_start


def replicas_at(readings: Readings) -> list[Integers]:
    """Positions of the readings of each replica that answers at one address; one where counters never jump back.

    A step down to what a process can have counted since the last reading is a restart of it. Any other step down shows
    the counter of another replica; each reading then belongs to the replica that it continues most closely.
    """
    seconds, signal = readings.seconds, readings.signal
    whole = [np.arange(seconds.size)]
    falls = np.diff(signal) < 0
    if not falls.any():
        return whole
    may_grow = allowance(seconds, signal)
    jumps = falls & (signal[1:] > may_grow.after(np.diff(seconds)))
    if not jumps.any():
        return whole
    chains = _chains(seconds, signal, may_grow)
    fewest = max(_FEWEST_READINGS, _LEAST_SHARE * seconds.size)
    return _without_sequels([np.array(chain) for chain in chains if len(chain) >= fewest]) or whole


def _chains(seconds: Floats, signal: Floats, may_grow: Allowance) -> list[list[int]]:
    """Readings by the replica that each continues."""
    chains: list[list[int]] = []
    ended: list[list[int]] = []
    for reading in range(seconds.size):
        chain = _continued(chains, reading, seconds, signal, may_grow)
        if chain is None:
            chains.append([reading])
            continue
        chain.append(reading)
        if chain is not chains[-1]:
            chains.remove(chain)
            chains.append(chain)
        if len(chains) > _MOST_CHAINS:
            ended.append(chains.pop(0))
    return sorted(ended + chains)


def _continued(
    chains: Sequence[list[int]], reading: int, seconds: Floats, signal: Floats, may_grow: Allowance
) -> list[int] | None:  # fmt: skip
    """The replica that a reading is of, the one last read being the last of them; None: one not seen before."""
    if not chains:
        return None
    last = np.array([chain[-1] for chain in chains])
    change, allowed = signal[reading] - signal[last], may_grow.after(seconds[reading] - seconds[last])
    fits = np.flatnonzero((change >= 0) & (change <= allowed))
    if fits.size:
        return chains[int(fits[np.argmin(change[fits])])]
    return chains[-1] if bool(signal[reading] <= allowed[-1]) else None


def _without_sequels(chains: Sequence[Integers]) -> list[Integers]:
    """Chains that begin after all others ended go on where those were: a restart, no second replica."""
    joined: list[Integers] = []
    for chain in chains:
        if joined and chain[0] > max(other[-1] for other in joined):
            longest = max(range(len(joined)), key=lambda number: int(joined[number][-1]))
            joined[longest] = np.concatenate((joined[longest], chain))
        else:
            joined.append(chain)
    return joined


@dataclass(frozen=True, slots=True)
class Life:
    """Readings of one process."""

    rows: Integers
    """Their positions."""
    is_first: bool
    """Whether it may have counted before the first of them; else it began at nothing."""

    def with_values(self, is_read: Booleans) -> "Life":
        """Rows at which something was read."""
        return Life(self.rows[is_read[self.rows]], self.is_first)


def lives_of(readings: Readings) -> list[Life]:
    """Readings between restarts, for each replica that answers at the address."""
    lives = []
    chains = replicas_at(readings)
    for chain in chains:
        is_start = growth(readings.at(chain), takes_turns=len(chains) > 1)[1]
        parts = np.split(chain, np.flatnonzero(is_start) + 1)
        lives += [Life(part, is_first=not number) for number, part in enumerate(parts)]
    return lives


def ends_of(lives: Sequence[Life]) -> list[tuple[int, float]]:
    """Positions whose values, each times 1 or -1, add up to what all processes counted."""
    ends = [(int(life.rows[-1]), 1.0) for life in lives]
    return ends + [(int(life.rows[0]), -1.0) for life in lives if life.is_first]


@dataclass(frozen=True, slots=True)
class Grown:
    """Growth of an engine's counters; None: it has no such counter."""

    requests: float | None = None
    prompt_tokens: float | None = None
    answer_tokens: float | None = None
    cache_hits: float | None = None
    """Prompt tokens found in the prefix cache."""
    cache_queries: float | None = None
    """Prompt tokens looked up in it."""


@dataclass(frozen=True, slots=True, eq=False)
class EngineView:
    """One model on one rank of an engine, as one observer read it."""

    engine: str
    """Such as vLLM."""
    model: str | None
    """As the engine says it; None: it does not."""
    rank: str
    host: str
    """Of the observer, where that is on the engine's host; "" for a server that scrapes."""
    address: str
    """Of the engine's metrics page."""
    observer: str
    """Who read it, in words."""
    readings: Readings
    grown: Grown
    prompts: LengthCounts | None = None
    answers: LengthCounts | None = None
    skew_seconds: float = 0.0
    """How far the observer's clock may be off others'."""
    late_seconds: float = 0.0
    """How much older a reading may be than its time says."""
    is_gateway: bool = False
    """Whether it stands before engines and counts what they count too."""
    counts_requests: bool = True
    """Else tokens of answers stand in the place of requests."""

    def in_requests(self, answer_tokens: float) -> "EngineView":
        """The same with tokens of answers as so many requests of one length."""
        readings = replace(self.readings, requests=self.readings.requests / answer_tokens)
        grown = None if self.grown.requests is None else self.grown.requests / answer_tokens
        return replace(self, readings=readings, grown=Grown(requests=grown), counts_requests=True)

    def thinned(self) -> "EngineView":
        """The same with fewer readings; see :meth:`Readings.thinned`."""
        return replace(self, readings=self.readings.thinned())

    @property
    def is_local(self) -> bool:
        """Whether its address names the observer's own host."""
        return self.address.split("://")[-1].startswith(_LOOPBACK)


def total(parts: list[Grown]) -> Grown:
    """Sums of what is known."""
    sums = {}
    for field in fields(Grown):
        values = [value for part in parts if (value := getattr(part, field.name)) is not None]
        sums[field.name] = sum(values) if values else None
    return Grown(**sums)
