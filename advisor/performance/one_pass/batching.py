"""Queueing of requests that a server answers in batches: what rate keeps a share of them within a limit?

A free server takes all that wait, up to its largest batch: ``s(n) = f + Σ c`` seconds for n requests of c seconds each
beside the fixed f. At rate R, with u = R E[c] < 1 and q = exp(-R S) the share of batches behind which nobody waits:

- A batch takes ``S = (f + q E[c]) / (1 - u)`` on average: its requests are those that came during the last one, or the
  one that ended the idle time. A request finds the server at work with probability ``R S / (R S + q)``.
- Batches vary with those before them, ``Var S = (1 - q) I R S E[c²] / (1 - u²)`` at an index of dispersion I; one that
  ends the idle time is of one request. A request meets
  a batch in proportion to its length (mean ``S + Var S / S``), anywhere in it, and then waits for its own, which takes
  f, its own c and u of the batch that it met. The sum is taken as lognormal, quadrature goes over where it is met.
- A batch of no more than B items: the formulas hold as they are while what waits fits one (mean and 1.645 standard
  deviations). Always, n items of m seconds take no longer than ``f + n (m + f / B)``: with that much for each they are
  an upper bound, and u < 1 is what full batches carry. The better of the two counts.

Tests compare it with a simulation: where batches hold what waits the 95th percentile is 0.9 to 1.3 times that one,
longest where f is small beside c; where they do not it is longer.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from advisor.performance.bursts import RANDOM, Bursts
from advisor.performance.physics import FloatLike, Floats
from advisor.performance.queueing import Z95, upper_tail

BISECTIONS = 40
"""Halvings of a bracket: to 1e-8 of a rate, whose logarithm is halved in it."""
NEWTON_STEPS = 12
LEAST_RATE = 1e-9
"""Requests per second below which nothing is served."""
ENDLESS_S = 1e9
"""Limit of requests without a target, in seconds."""
MOST_BUSY = 0.95
"""Share of what full batches carry up to which a rate is looked for: beyond, waiting grows without bound."""
_FULL = 0.9999
"""Largest share of the time for the requests' own work that a state is worked out at."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)
_PLACES, _PARTS = (_NODES + 1) / 2, _WEIGHTS / 2
"""Where in a batch it is met, and the weight of each."""


@dataclass(frozen=True, slots=True, eq=False)
class Batching:
    """Service of requests of several sizes on servers; arrays of shape (n,), (p,) or (n, p)."""

    fixed_s: Floats
    """Of a batch, (n,)."""
    item_s: Floats
    """Of one item of each point, (n, p)."""
    items: Floats
    """Of a request at each point, (p,)."""
    probability: Floats
    """Of each point, (p,)."""
    largest: Floats
    """Items of a batch at most, (n,)."""
    wait_s: Floats
    """Time that an item waits for others, (n,)."""
    is_bound: bool = True
    """Whether each item bears its part of the fixed seconds of full batches: the upper bound."""

    @property
    def request_s(self) -> Floats:
        """Seconds that a request adds to the work that waits, (n, p)."""
        part = self.fixed_s / self.largest if self.is_bound else np.zeros_like(self.fixed_s)
        return self.items * (self.item_s + part[:, None])

    @property
    def both(self) -> "tuple[Batching, Batching]":
        """The upper bound, and the formulas of batches that hold what waits."""
        return replace(self, is_bound=True), replace(self, is_bound=False)

    @property
    def alone_s(self) -> Floats:
        """Seconds of a request that finds the server idle, (n, p); several batches where it does not fit one."""
        batches = np.ceil(self.items / self.largest[:, None])
        return self.wait_s[:, None] + batches * self.fixed_s[:, None] + self.items * self.item_s

    @property
    def most_per_second(self) -> Floats:
        """Requests per second of full batches, (n,)."""
        full = self.items * (self.item_s + (self.fixed_s / self.largest)[:, None])
        most: Floats = 1 / (full @ self.probability)
        return most


@dataclass(frozen=True, slots=True, eq=False)
class Busy:
    """Servers at work, (n,)."""

    batch_s: Floats
    """Mean seconds of a batch."""
    busy: Floats
    """Share of the requests that find the server at work."""
    own: Floats
    """Share of the time for the requests' own work."""
    square_s2: Floats
    """Mean square of what a request adds."""
    rate: Floats
    dispersion: FloatLike
    """Index of dispersion of the arrivals."""


def busy_at(batching: Batching, rate: Floats, bursts: Bursts = RANDOM) -> Busy:
    """Batches at a rate of requests per second that the servers sustain, (n,).

    ``S (1 - u) = f + E[c] exp(-R S)`` by Newton's method from below, which rises to the only root: the difference of
    both sides is increasing and concave.
    """
    request = batching.request_s
    mean, square = request @ batching.probability, request**2 @ batching.probability
    own = np.minimum(rate * mean, _FULL)
    batch = batching.fixed_s / (1 - own)
    for _ in range(NEWTON_STEPS):
        none = np.exp(-rate * batch)
        batch = batch - (batch * (1 - own) - batching.fixed_s - mean * none) / (1 - own + mean * rate * none)
    none = np.exp(-rate * batch)
    return Busy(batch, rate * batch / (rate * batch + none), own, square, rate, bursts.seen_at(rate))


def late_share(batching: Batching, state: Busy, limit_s: Floats) -> Floats:
    """Share of the requests answered after a limit in seconds, (n,).

    Args:
        batching: the servers.
        state: at work.
        limit_s: of each point, (n, p).
    """
    alone = batching.alone_s
    filled = 1 - np.exp(-state.rate * state.batch_s)
    variance = filled * state.dispersion * state.rate * state.batch_s * state.square_s2 / (1 - state.own**2)
    met = state.batch_s + variance / state.batch_s
    met_variance = variance + (variance / state.batch_s) ** 2
    part = (1 - _PLACES)[None, :] + state.own[:, None]
    mean = part * met[:, None]
    noise = state.dispersion * state.rate * state.square_s2 * met
    spread = np.log1p((part**2 * met_variance[:, None] + noise[:, None]) / mean**2)
    room = np.maximum(limit_s - (alone - batching.wait_s[:, None]), 1e-12)[:, :, None]
    z = (np.log(room) - np.log(mean)[:, None, :] + spread[:, None, :] / 2) / np.sqrt(spread)[:, None, :]
    late = (upper_tail(z) @ _PARTS) * state.busy[:, None] + (1 - state.busy)[:, None] * (alone > limit_s)
    share: Floats = np.where(alone - batching.wait_s[:, None] > limit_s, 1.0, late) @ batching.probability
    return share


def rate_within(batching: Batching, limit_s: Floats, most_late: float, bursts: Bursts = RANDOM) -> Floats:
    """Largest rate of requests per second with no more than a share of them late, (n,); 0 where none has it.

    Args:
        batching: the servers.
        limit_s: of each point, (n, p); infinite for none.
        most_late: share of the requests that may take longer.
        bursts: how unevenly requests arrive.
    """
    bound, exact = (_rate_within(of, limit_s, most_late, bursts) for of in batching.both)
    return np.maximum(bound, exact)


def _rate_within(batching: Batching, limit_s: Floats, most_late: float, bursts: Bursts) -> Floats:
    """The same by one of the two ways."""

    def holds(rate: Floats) -> npt.NDArray[np.bool_]:
        state = busy_at(batching, rate, bursts)
        within: npt.NDArray[np.bool_] = late_share(batching, state, limit_s) <= most_late
        return within & _is_valid(batching, state)

    low = np.full_like(batching.fixed_s, LEAST_RATE)
    high = np.maximum(MOST_BUSY * batching.most_per_second, low)
    feasible = holds(low)
    low, high = np.log(low), np.log(high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = holds(np.exp(middle))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.where(feasible, np.exp(low), 0.0)


def latency_at(batching: Batching, rate: Floats, late: float, bursts: Bursts = RANDOM) -> Floats:
    """Seconds that all but a share of the requests stay within at a rate, (n,); infinite where it is not sustained."""
    bound, exact = (_latency_at(of, rate, late, bursts) for of in batching.both)
    return np.minimum(bound, exact)


def _latency_at(batching: Batching, rate: Floats, late: float, bursts: Bursts) -> Floats:
    """The same by one of the two ways; infinite where it does not hold."""
    state = busy_at(batching, rate, bursts)
    low, high = np.log(np.full_like(rate, LEAST_RATE)), np.log(np.full_like(rate, ENDLESS_S))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        limit = np.broadcast_to(np.exp(middle)[:, None], batching.item_s.shape)
        good = late_share(batching, state, limit) <= late
        low, high = np.where(good, low, middle), np.where(good, middle, high)
    sustained = (rate <= batching.most_per_second) & _is_valid(batching, state)
    return np.where(sustained, np.exp(high), np.inf)


def largest_batch(fixed_s: Floats, item_s: Floats, limit_s: Floats, most: Floats) -> Floats:
    """Items of a batch that a limit leaves, (n,): one batch to wait for and one's own, ``2 s(b) ≤ limit``.

    Args:
        fixed_s: of a batch.
        item_s: of an item.
        limit_s: of a request; infinite for none.
        most: what the server takes at most.
    """
    left = np.maximum(limit_s / 2 - fixed_s, 0.0) / item_s
    return np.clip(np.floor(np.minimum(left, most)), 1.0, np.maximum(most, 1.0))


def _is_valid(batching: Batching, state: Busy) -> npt.NDArray[np.bool_]:
    """Whether what waits fits one batch, but for one time in twenty; the upper bound holds whatever waits."""
    if batching.is_bound:
        return np.ones(state.rate.shape, dtype=np.bool_)
    count = state.rate * state.batch_s
    mean, square = batching.items @ batching.probability, batching.items**2 @ batching.probability
    spread = np.sqrt(state.dispersion * count * square / (1 - state.own**2))
    fits: npt.NDArray[np.bool_] = count * mean + Z95 * spread <= batching.largest
    return fits
