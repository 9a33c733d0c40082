"""Candidates for a model that answers in one pass: what rate each sustains within the SLO, how fast it is then.

Queries are those of :mod:`advisor.performance.stage` for token models; the server batches instead of generating.

Times of single batches of a replica, as a simulation takes them: the same as those of the closed form.

Queueing of requests that a server answers in batches: what rate keeps a share of them within a limit?

A free server takes all that wait, up to its largest batch: ``s(n) = f + Σ c`` seconds for n requests of c seconds each
beside the fixed f. Requests go round the replicas in turn, so that one with the rate r of all R receives every k-th of
them, k = R / r: arrivals with an index of dispersion I reach it with J = I / k, and gaps of a gamma distribution of
shape 1 / J (Erlang's k where they are random). Two answers are worked out, and the better of them counts:

- One by one. A server that takes the oldest request alone is a queue without batches, in which a request waits for the
  largest of all sums of service times less gaps that end with it (Lindley 1952). Service and gap together vary as gaps
  of shape ``κ = 1 / (J + r² Var s)`` beside equal services of the mean s would. ``P(W > x)`` is at least
  ``v(x) = 1 - exp(-Σ P(n services - n gaps > x) / n)``, which is all of it at x = 0 (Spitzer 1956), and falls as
  ``exp(-θ x)`` with ``θ s = κ ln(1 + θ s / (κ r s))`` (Kingman 1964): the larger of v(x) and v(0) exp(-θ x) is taken.
  Who waits W has r W requests more beside it in its batch.
- In batches, while what waits fits one (mean and 1.645 standard deviations). With u = r E[c] and q the share of batches
  behind which nobody waits (a gap longer than S), a batch takes ``S = f + E[c] r E[max(S, gap)]`` on average, for those
  that came during the last one or the one that ended the idle time, and ``1 - q / (r E[max(S, gap)])`` of the requests
  find the server at work. Batches vary with those before them, ``Var S = (1 - q) J r S E[c²] / (1 - u²)``. A request
  meets one in proportion to its length (mean ``S + Var S / S``), anywhere in it, and then waits for its own, which
  takes f, its own c and u of the batch that it met. The sum is taken as lognormal; quadrature is over where it is met.

Requests come in by the network one after the other before; a limit is shorter by that.

Where each item of a call is a request of its own, the k items of a call go to n replicas in turn, as parts of ⌈k / n⌉,
each served as a request. Replicas in turn are in about the same state, so that a call is late where a part is.

Tests compare it with a simulation, ``tests/benchmarks/bench_kinds.py`` the replicas that it asks for with a replay's.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from advisor.candidates import Candidate, Shortfall
from advisor.catalog.one_pass_engines import ALIKE, COMPILED, LONGEST
from advisor.demand.values import TokenHistogram, Unit
from advisor.errors import InputError
from advisor.models import Model
from advisor.models.model import OF_ROWS_IN_ONNX, ONNX_TREES
from advisor.performance import Deployment, Evidence, Scenario
from advisor.performance.one_pass import KINDS, flop_of_items, flop_of_sample, samples_of_item, servers
from advisor.performance.one_pass.servers import walks_trees
from advisor.performance.physics import FloatLike, Floats
from advisor.performance.queueing import RANDOM, Z95, Bursts, bursts_of, upper_tail
from advisor.performance.setups import SCENARIOS, Answers, Indices, Questions, Resolved
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import MS_PER_SECOND, ROUNDING, milliseconds, rounded_up
from advisor.workload.kinds import UNITS, unplanned_graph
from advisor.workload.values import Slo

_FACTOR_STEPS = 1_000
"""Real-time factors are told in thousandths."""
BISECTIONS = 30
"""Halvings of a bracket: to 1e-7 of a rate, whose logarithm is halved in it."""
NEWTON_STEPS = 8
LEAST_RATE = 1e-9
"""Requests per second below which nothing is served."""
ENDLESS_S = 1e9
"""Limit of requests without a target, in seconds."""
MOST_BUSY = 0.98
"""Share of what full batches carry up to which a rate is looked for: beyond, waiting grows without bound."""
_FULL = 0.9999
"""Largest share of the time for the requests' own work that a state is worked out at."""
_SHORT = 1e-300
"""Gap whose logarithm still is a number."""
_SUMS = 6
"""Services and gaps that are summed at most: longer sums matter where nearly all wait."""


@cache
def _places() -> tuple[Floats, Floats]:
    """Places in a batch where it is met, from 0 to 1, and the weight of each (Gauss-Legendre)."""
    nodes, weights = np.polynomial.legendre.leggauss(5)
    return (nodes + 1) / 2, weights / 2


@dataclass(frozen=True, slots=True, eq=False)
class Batching:
    """Service of requests of several sizes on servers; arrays of shape (n,), (p,) or (n, p)."""

    fixed_s: Floats
    """Time of a batch, (n,)."""
    item_s: Floats
    """Time of one item of each point, (n, p)."""
    items: Floats
    """Items of a request at each point, (p,)."""
    probability: Floats
    """Probability of each point, (p,)."""
    largest: Floats
    """Items of a batch at most, (n,)."""
    wait_s: Floats
    """Time that an item waits for others, (n,)."""
    transfer_s: Floats
    """Time that a request takes of its replica's share of the network, (n,); an item where calls are split."""
    split: npt.NDArray[np.bool_] | None = None
    """Whether each item of a call is a request of its own, (n,); None: of no server."""
    judged: Floats | None = None
    """Share of the calls that are late where a request of each point is, (p,); None: each request is a call."""
    sizes: Floats | None = None
    """Size of an item at each point, (p,); None: all are alike."""
    largest_sizes: Floats | None = None
    """Sum of the sizes of a batch at most, (n,); None or infinite: its items alone are limited."""

    @property
    def counted(self) -> Floats:
        """Weight of each point among what may be late, (p,)."""
        return self.probability if self.judged is None else self.judged

    @property
    def request_s(self) -> Floats:
        """Seconds that a request adds to the work that waits, (n, p)."""
        return self.items * self.item_s

    @property
    def served_s(self) -> Floats:
        """Seconds of a request's own batches, (n, p): several where it does not fit one."""
        batches = np.ceil(self.items / np.maximum(self._fitting, 1.0))
        served: Floats = batches * self.fixed_s[:, None] + self.request_s
        return served

    @property
    def answered_s(self) -> Floats:
        """Seconds from the arrival at an idle server to the answer, (n, p)."""
        return self.wait_s[:, None] + self.served_s

    @property
    def alone_s(self) -> Floats:
        """Seconds of a request that finds network and server idle, (n, p)."""
        return self.transfer_s[:, None] + self.answered_s

    @property
    def most_per_second(self) -> Floats:
        """Requests per second of full batches, (n,)."""
        batches = np.maximum(self.items @ self.probability / self.largest, self.summed / self.usual_sizes)
        most: Floats = 1 / (self.request_s @ self.probability + self.fixed_s * batches)
        return most

    @property
    def summed(self) -> float:
        """Sum of the sizes of a mean request's items."""
        return 0.0 if self.sizes is None else float(self.items * self.sizes @ self.probability)

    @property
    def usual_sizes(self) -> Floats:
        """Mean sum of the sizes of a full batch, (n,).

        The item that no longer fits leaves ``E[s²] / 2 E[s]`` of the largest sum (renewal theory).
        """
        if self.sizes is None or self.largest_sizes is None:
            return np.full_like(self.fixed_s, np.inf)
        of_items = self.items * self.probability
        left = float(of_items @ self.sizes**2 / (2 * of_items @ self.sizes))
        return np.maximum(self.largest_sizes - left, self.largest_sizes / 2)

    @property
    def _fitting(self) -> Floats:
        """Items of each point's size in a batch, (n, p)."""
        if self.sizes is None or self.largest_sizes is None:
            return np.broadcast_to(self.largest[:, None], self.item_s.shape)
        return np.minimum(self.largest[:, None], np.floor(self.largest_sizes[:, None] / self.sizes))


@dataclass(frozen=True, slots=True, eq=False)
class Busy:
    """Servers at work in batches that hold all that waits, (n,)."""

    batch_s: Floats
    """Mean seconds of a batch."""
    busy: Floats
    """Share of the requests that find the server at work."""
    own: Floats
    """Share of the time for the requests' own work."""
    filled: Floats
    """Share of the batches behind which somebody waits."""
    dispersion: FloatLike
    """Index of dispersion of the arrivals."""


def busy_at(batching: Batching, rate: Floats, bursts: Bursts = RANDOM) -> Busy:
    """Batches at a rate of requests per second that the servers sustain, (n,).

    ``S - E[c] r E[max(S, gap)] = f`` by Newton's method from below, which rises to the only root: the left side is
    increasing and concave. For gamma gaps, ``r E[max(S, gap)] = r S P(gap < S) + P(gap' > S)`` with gap' of a shape one
    larger and as many a second.
    """
    dispersion = np.asarray(bursts.in_turn_at(rate))
    shape = np.maximum(1 / dispersion, 1.0)
    mean = batching.request_s @ batching.probability
    own = np.minimum(rate * mean, _FULL)
    batch = batching.fixed_s
    for _ in range(NEWTON_STEPS):
        none = _longer(shape, rate * batch)
        excess = batch - batching.fixed_s - mean * _requests(shape, rate * batch, none)
        batch = np.maximum(batch - excess / np.maximum(1 - own * (1 - none), 1 - _FULL), batching.fixed_s)
    none = _longer(shape, rate * batch)
    busy = 1 - none / np.maximum(_requests(shape, rate * batch, none), none)
    return Busy(batch, busy, own, 1 - none, dispersion)


def _requests(shape: Floats, arrivals: Floats, none: Floats) -> Floats:
    """Mean requests of a batch during which so many arrive, and none at all in a share of them."""
    return arrivals * (1 - none) + _longer(shape + 1, arrivals * shape / (shape + 1))


def _longer(shape: Floats, times_mean: Floats) -> Floats:
    """Probability that gaps of a gamma distribution are longer than so many times their mean.

    The cube root of one is nearly normal (Wilson and Hilferty 1931); no more than ``x^k / Γ(k + 1)`` are shorter than x
    times the scale, which is exact for short ones (Γ by Stirling's series).
    """
    ninth = 1 / (9 * shape)
    usual = upper_tail((np.cbrt(times_mean) - (1 - ninth)) / np.sqrt(ninth))
    power = shape * (np.log(np.maximum(times_mean, _SHORT)) + 1)
    shorter = power - np.log(2 * np.pi * shape) / 2 - 1 / (12 * shape)
    longer: Floats = np.maximum(usual, 1 - np.exp(np.minimum(shorter, 0.0)))
    return longer


def late_share(batching: Batching, rate: Floats, limit_s: Floats, bursts: Bursts = RANDOM) -> Floats:
    """Share of calls later than a limit, (n, p), at a rate of calls per second, (n,); 1 where it is not known."""
    share = _late_requests(batching, rate, limit_s, bursts)
    for at in () if batching.split is None else np.flatnonzero(batching.split):
        here = slice(at, at + 1)
        parts, each = _parts(batching, here, float(rate[at]), bursts)
        share[here] = _late_requests(parts, rate[here] * each, limit_s[here], bursts)
    return share


def _parts(batching: Batching, here: slice, rate: float, bursts: Bursts) -> tuple[Batching, float]:
    """One server that is sent parts of calls, and the parts of a mean call.

    Of ``k`` items at most ``m = ⌈k / n⌉`` come to each of ``n = peak / r`` replicas: ``k / m`` parts are counted.
    """
    replicas = max(math.floor(bursts.peak / rate), 1)
    items = np.maximum(batching.items, 1.0)
    of_part = np.ceil(items / replicas)
    weight = batching.probability * items / of_part
    each = float(weight.sum())
    parts = Batching(
        fixed_s=batching.fixed_s[here],
        item_s=batching.item_s[here],
        items=of_part,
        probability=weight / each,
        largest=batching.largest[here],
        wait_s=batching.wait_s[here],
        transfer_s=batching.transfer_s[here] * (batching.items @ batching.probability) / each,
        judged=batching.probability,
        sizes=batching.sizes,
        largest_sizes=None if batching.largest_sizes is None else batching.largest_sizes[here],
    )
    return parts, each


def _late_requests(batching: Batching, rate: Floats, limit_s: Floats, bursts: Bursts) -> Floats:
    """The same of servers that are sent whole requests."""
    waited_s, busy = _link_wait(batching, rate, bursts)
    left_s = limit_s - (batching.transfer_s + waited_s * busy)[:, None]
    server = np.minimum(
        _late_one_by_one(batching, rate, left_s, bursts), _late_in_batches(batching, rate, left_s, bursts)
    )
    return np.maximum(server, _late_by_network(batching, limit_s, waited_s, busy))


def _link_wait(batching: Batching, rate: Floats, bursts: Bursts) -> tuple[Floats, Floats]:
    """Mean seconds that a request waits for those before it in a busy network, and share that find it so, (n,).

    ``J t / (2 (1 - u))`` of a share ``u = r t``: Kingman's (1961) bound of a queue whose services are equal.
    """
    busy = np.minimum(rate * batching.transfer_s, MOST_BUSY)
    waited: Floats = np.asarray(bursts.in_turn_at(rate)) * batching.transfer_s / (2 * (1 - busy))
    return waited, busy


def _late_by_network(batching: Batching, limit_s: Floats, waited_s: Floats, busy: Floats) -> Floats:
    """Share of the requests that wait for the network longer than an idle server leaves: ``u exp(-x / w)``, (n,)."""
    room = np.maximum(limit_s - batching.alone_s, 0.0) / np.maximum(waited_s, 1e-12)[:, None]
    share: Floats = (busy[:, None] * np.exp(-room)) @ batching.counted
    return share


def _late_one_by_one(batching: Batching, rate: Floats, limit_s: Floats, bursts: Bursts) -> Floats:
    """The same of a server that takes one request at a time; 1 where it is overloaded."""
    served = batching.served_s
    mean = served @ batching.probability
    variance = np.maximum(served**2 @ batching.probability - mean**2, 0.0)
    shape = 1 / (np.asarray(bursts.in_turn_at(rate)) + rate**2 * variance)
    load = np.minimum(rate * mean, MOST_BUSY)
    decay = 2 * shape * (1 / load - 1)
    for _ in range(NEWTON_STEPS):
        excess = shape * np.log1p(decay / (shape * load)) - decay
        decay = np.maximum(decay - excess / (1 / (load + decay / shape) - 1), 0.0)
    beside = 1 + rate * (batching.request_s @ batching.probability)
    room = limit_s - batching.answered_s
    waited = np.maximum(room, 0.0) / (mean * beside)[:, None]
    tail = _waiting(shape, load, np.zeros_like(waited)) * np.exp(-decay[:, None] * waited)
    late = np.maximum(tail, _waiting(shape, load, waited))
    share: Floats = np.where(room < 0, 1.0, late) @ batching.counted
    return np.where(rate * mean < MOST_BUSY, share, 1.0)


def _waiting(shape: Floats, load: Floats, waited: Floats) -> Floats:
    """Share of the requests for which one sum of services less gaps is longer than so many services, (n, p)."""
    even, share = np.maximum(shape, 1.0)[:, None], np.zeros_like(waited)
    for count in range(1, _SUMS + 1):
        share += (1 - _longer(count * even, load[:, None] * np.maximum(1 - waited / count, 0.0))) / count
    return 1 - np.minimum(shape, 1.0)[:, None] * np.exp(-share)


def _late_in_batches(batching: Batching, rate: Floats, limit_s: Floats, bursts: Bursts) -> Floats:
    """The same of batches that hold all that waits; 1 where they do not."""
    state = busy_at(batching, rate, bursts)
    square = batching.request_s**2 @ batching.probability
    variance = state.filled * state.dispersion * rate * state.batch_s * square / (1 - state.own**2)
    met = state.batch_s + variance / state.batch_s
    met_variance = variance + (variance / state.batch_s) ** 2
    places, weights = _places()
    part = (1 - places)[None, :] + state.own[:, None]
    mean = part * met[:, None]
    noise = state.dispersion * rate * square * met
    spread = np.log1p((part**2 * met_variance[:, None] + noise[:, None]) / mean**2)
    left = limit_s - batching.served_s
    room = np.maximum(left, 1e-12)[:, :, None]
    z = (np.log(room) - np.log(mean)[:, None, :] + spread[:, None, :] / 2) / np.sqrt(spread)[:, None, :]
    late = (upper_tail(z) @ weights) * state.busy[:, None] + (1 - state.busy)[:, None] * (batching.answered_s > limit_s)
    share: Floats = np.where(left < 0, 1.0, late) @ batching.counted
    return np.where(_is_valid(batching, rate, state), share, 1.0)


def rate_within(batching: Batching, limit_s: Floats, most_late: Floats | float, bursts: Bursts = RANDOM) -> Floats:
    """Largest rate of requests per second with no more than a share later than a limit, (n,); 0 where none has it.

    Limits are those of each point, (n, p); infinite for none.
    """
    low = np.full_like(batching.fixed_s, LEAST_RATE)
    high = np.maximum(MOST_BUSY * batching.most_per_second, low)
    feasible = late_share(batching, low, limit_s, bursts) <= most_late
    low, high = np.log(low), np.log(high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        within = late_share(batching, np.exp(middle), limit_s, bursts) <= most_late
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return np.where(feasible, np.exp(low), 0.0)


def latency_at(batching: Batching, rate: Floats, late: float, bursts: Bursts = RANDOM) -> Floats:
    """Seconds that all but a share of the requests stay within at a rate, (n,); endless where it is not sustained."""
    low, high = np.log(np.full_like(rate, LEAST_RATE)), np.log(np.full_like(rate, ENDLESS_S))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        limit = np.broadcast_to(np.exp(middle)[:, None], batching.item_s.shape)
        within = late_share(batching, rate, limit, bursts) <= late
        low, high = np.where(within, low, middle), np.where(within, middle, high)
    sustained = late_share(batching, rate, np.full_like(batching.item_s, ENDLESS_S), bursts) <= late
    return np.where(sustained, np.exp(high), np.inf)


def largest_batch(fixed_s: Floats, item_s: Floats, limit_s: Floats, most: Floats) -> Floats:
    """Items of a batch that a limit leaves, (n,): one batch to wait for and one's own, ``2 s(b) ≤ limit``."""
    left = np.maximum(limit_s / 2 - fixed_s, 0.0) / item_s
    return np.clip(np.floor(np.minimum(left, most)), 1.0, np.maximum(most, 1.0))


def _is_valid(batching: Batching, rate: Floats, state: Busy) -> npt.NDArray[np.bool_]:
    """Whether what waits fits one batch, but for one time in twenty."""
    count = rate * state.batch_s
    items = batching.items
    fits: npt.NDArray[np.bool_] = _most_waiting(batching, items, count, state) <= batching.largest
    if batching.sizes is not None:
        fits &= _most_waiting(batching, items * batching.sizes, count, state) <= batching.usual_sizes
    return fits


def _most_waiting(batching: Batching, amounts: Floats, count: Floats, state: Busy) -> Floats:
    """Amount that waits of so much of each request, but for one time in twenty, (n,)."""
    mean, square = amounts @ batching.probability, amounts**2 @ batching.probability
    waiting: Floats = count * mean + Z95 * np.sqrt(state.dispersion * count * square / (1 - state.own**2))
    return waiting


P95_LATE = 0.05
_COUNTED = (
    "`advisor catalog models` lists the models that are known by name; of others FLOPs are counted from an ONNX file "
    "whose first axis alone is free"
)


@dataclass(frozen=True, slots=True)
class Replica:
    """A server on one accelerator: a batch takes ``fixed_s + FLOPs of its items × seconds_per_flop``.

    Each of its requests adds ``request_s``.
    """

    fixed_s: float
    seconds_per_flop: float
    largest_items: int
    """Of a batch at most: what the server takes, and the latency leaves."""
    largest_tokens: float
    """Of a batch at most, of texts, or values of rows; infinite where nothing limits them."""
    wait_s: float
    """Time that an item waits for others before a batch is begun."""
    evidence: Evidence
    spread: tuple[float, float]
    """Factors from a rate to the ends of its 80 % interval."""
    request_s: float = 0.0
    """Of a request beside its items."""
    padding: str = ""
    """How texts are batched, see ``OnePassEngine``."""
    padding_ratio: float = 1.0
    """Mean work of an item in a full batch ÷ its own, where all are computed as the longest."""
    context_tokens: float = 0.0
    """Of texts that are compiled for one length."""
    transfer_s: float = 0.0
    """Time that an HTTP request takes of the replica's share of its machine's network, one after the other."""
    is_split: bool = False
    """Each item of a call is an HTTP request of its own, which goes to the next replica in turn."""

    @property
    def workers(self) -> int:
        """Items that are begun each by itself: those of a compiled batch, one on each core; 1 of other servers."""
        return self.largest_items if self.padding == COMPILED else 1

    def computed_sizes(self, unit: Unit, sizes: Floats) -> Floats:
        """Sizes of items with the padding that is computed with them; of texts alone, the others have one size."""
        return servers.computed_sizes(self.padding, self.context_tokens, unit, sizes)


def replica_of(
    candidate: Candidate, deployment: Deployment, requirements: Requirements, transfer_s: float = 0.0
) -> Replica:  # fmt: skip
    """The server of a candidate with a known peak, with the largest batch that the workload's SLO leaves."""
    resolved = Resolved(requirements.model, deployment, 1)
    cost = servers.batch_cost(resolved, Scenario.SATURATED)
    demand, server = requirements.demand, candidate.batcher
    sizes, items = demand.tokens.input_tokens, demand.tokens.output_tokens
    largest_sizes = servers.most_sizes(server, demand.unit, requirements.context_tokens)
    most = servers.most_items(server, demand.tokens, largest_sizes)
    replica = Replica(
        fixed_s=cost.fixed_s,
        seconds_per_flop=cost.seconds_per_flop,
        largest_items=1,
        largest_tokens=largest_sizes,
        wait_s=0.0 if server is None else server.max_wait_ms / MS_PER_SECOND,
        request_s=cost.request_s,
        evidence=cost.evidence,
        spread=cost.spread,
        padding="" if server is None else server.padding,
        context_tokens=requirements.context_tokens,
        transfer_s=transfer_s,
        is_split=server is not None and server.splits(demand.output_tokens.max),
    )
    flop = flop_of_items(requirements.model, demand.unit, replica.computed_sizes(demand.unit, sizes))
    beside_s, per_flop = servers.padded_cost(server, cost.seconds_per_flop, flop.max(keepdims=True))
    replica = replace(replica, fixed_s=cost.fixed_s + float(beside_s[0]), seconds_per_flop=per_flop)
    if replica.padding == COMPILED:
        return replace(replica, largest_items=int(max(most, 1)))
    item_s = servers.item_seconds(flop, replica.seconds_per_flop, cost.request_s, items)
    limit = _limits(demand.tokens, requirements.workload.slo).min(initial=ENDLESS_S) - transfer_s
    weight = demand.tokens.probability * items
    mean_s = float(weight @ item_s / weight.sum())
    left = largest_batch(*(np.array([number]) for number in (cost.fixed_s, mean_s, limit, most)))
    largest = int(max(left[0], min(most, float(items.max())), 1))
    if replica.padding == LONGEST and servers.differ(sizes):
        padded = servers.padded_batch(demand.tokens, item_s, replica.fixed_s, largest, largest_sizes)
        return replace(replica, largest_items=padded.items, padding_ratio=padded.padding)
    return replace(replica, largest_items=largest)


def rates_of(
    replicas: Sequence[Replica], requirements: Requirements, tokens: TokenHistogram, slo: Slo, bursts: Bursts
) -> Floats:
    """Requests per second that each replica sustains within targets, (n,); 0 where a lone request is too slow.

    As many requests are within them as a replay asks for, which deals them to the replicas in turn as well: a margin is
    kept of those alone that are in time at an idle replica.
    """
    batching = batching_of(replicas, requirements, tokens)
    limits = np.broadcast_to(_limits(tokens, slo), batching.item_s.shape)
    unavoidable = late_share(batching, np.full_like(batching.fixed_s, LEAST_RATE), limits, bursts)
    most_late = np.array([1 - slo.rehearsed_ratio_beside(late) for late in unavoidable.tolist()])
    return rate_within(batching, limits, most_late, bursts)


def latencies_of(replicas: Sequence[Replica], rates: Floats, requirements: Requirements) -> Floats:
    """95th percentile of the latency of each replica at a rate of requests per second, in ms, (n,)."""
    batching = batching_of(replicas, requirements, requirements.demand.tokens)
    bursts = bursts_of(requirements.demand)
    return latency_at(batching, np.maximum(rates, LEAST_RATE), P95_LATE, bursts) * MS_PER_SECOND


def mean_requests(replicas: Sequence[Replica], rates: Floats, requirements: Requirements) -> Floats:
    """Requests that each replica has at a time on average, waiting or worked on: Little's law on the median, (n,)."""
    batching = batching_of(replicas, requirements, requirements.demand.tokens)
    state = busy_at(batching, np.maximum(rates, LEAST_RATE), bursts_of(requirements.demand))
    mean: Floats = rates * state.batch_s * (1 + state.busy / 2)
    return mean


def batching_of(replicas: Sequence[Replica], requirements: Requirements, tokens: TokenHistogram) -> Batching:
    """Requests of some sizes on replicas, as the closed form takes them."""

    def column(values: Sequence[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    model, unit = requirements.model, requirements.demand.unit
    padded = {replica.padding: replica for replica in replicas}
    flop_by_padding = {
        padding: flop_of_items(model, unit, replica.computed_sizes(unit, tokens.input_tokens))
        for padding, replica in padded.items()
    }
    flop = np.array([flop_by_padding[replica.padding] for replica in replicas])
    per_flop = column([replica.seconds_per_flop for replica in replicas])
    of_request = column([replica.request_s for replica in replicas])
    fixed_s = column([replica.fixed_s for replica in replicas])
    padding = column([replica.padding_ratio for replica in replicas])
    items = tokens.output_tokens[None, :]
    item_s = servers.item_seconds(flop, (per_flop * padding)[:, None], of_request[:, None], items)
    workers = column([float(replica.workers) for replica in replicas])
    # So many servers of one item wait no longer than one that is as many times as quick, which is done sooner.
    sooner_s = (fixed_s + item_s.max(axis=1)) * (1 - 1 / workers)
    return Batching(
        fixed_s=fixed_s / workers,
        item_s=item_s / workers[:, None],
        items=tokens.output_tokens,
        probability=tokens.probability,
        largest=column([float(replica.largest_items) for replica in replicas]) / workers,
        wait_s=column([replica.wait_s for replica in replicas]) + sooner_s,
        transfer_s=column([replica.transfer_s for replica in replicas]),
        split=np.array([replica.is_split for replica in replicas], dtype=np.bool_),
        sizes=tokens.input_tokens,
        largest_sizes=column([_largest_sum(replica, tokens) for replica in replicas]),
    )


def _largest_sum(replica: Replica, tokens: TokenHistogram) -> float:
    """Sum of sizes in a batch at most; infinite where the items alone limit it, as where all have one size."""
    is_summed = replica.padding not in (ALIKE, COMPILED, LONGEST) and servers.differ(tokens.input_tokens)
    return replica.largest_tokens if is_summed else math.inf


def too_slow(replica: Replica, requirements: Requirements) -> Shortfall:
    """Why a replica sustains no rate: too many requests that find it and its network idle take longer than the target.

    Its two numbers are those of the quantile that decides, :attr:`Slo.within_ratio` of the requests by their latency
    over their target.
    """
    demand, slo = requirements.demand, requirements.workload.slo
    alone_ms = batching_of([replica], requirements, _of_a_replica(replica, demand.tokens)).alone_s[0] * MS_PER_SECOND
    limits_ms = _limits(demand.tokens, slo) * MS_PER_SECOND
    order = np.argsort(alone_ms / limits_ms, kind="stable")
    slower = 1 - np.cumsum(demand.tokens.probability[order])
    decisive = order[np.argmax(slower <= 1 - slo.within_ratio + ROUNDING)]
    floor, target = float(alone_ms[decisive]), float(limits_ms[decisive])
    named = f"latency p{100 * slo.within_ratio:.4g} is {milliseconds(rounded_up(floor))}"
    factor = slo.real_time_factor
    of_recording = "" if factor is None or target == slo.latency_ms else _of_recording(factor, target, floor)
    reason = f"{named} with no other load, {milliseconds(target)} wanted{of_recording}"
    return Shortfall("slo_latency", "ms", target, floor, reason)


def _of_recording(factor: float, target_ms: float, floor_ms: float) -> str:
    """Recording that decides, and the least factor of it that is kept, in words."""
    recording_ms = target_ms / factor
    least = math.ceil(floor_ms / recording_ms * _FACTOR_STEPS) / _FACTOR_STEPS
    return f" ({factor:g} × a recording of {milliseconds(recording_ms)}, which decides; {least:g} × is kept)"


def _of_a_replica(replica: Replica, tokens: TokenHistogram) -> TokenHistogram:
    """Least part of calls of some sizes at a replica: one item of each, where they are requests of their own."""
    return replace(tokens, output_tokens=np.ones_like(tokens.output_tokens)) if replica.is_split else tokens


def check_known(requirements: Requirements) -> None:
    """Refuse requests whose FLOPs and usual sample of the model the catalog lacks. Raises InputError."""
    demand, model, workload = requirements.demand, requirements.model, requirements.workload
    if not np.isfinite(flop_of_items(model, demand.unit, demand.tokens.input_tokens)).all():
        why, _, remedy = model.sample.partition("; ")
        told = why.removeprefix("not known") if remedy else ""
        raise InputError(
            f"the FLOPs of one of the {demand.unit} that {model.name} is sent are not known{told}",
            where=workload.where("model"),
            hint=remedy or _COUNTED,
        )


def _limits(tokens: TokenHistogram, slo: Slo) -> Floats:
    """Largest latency of requests of each size in seconds, (p,): the target, or the factor times the recording."""
    latency_s = ENDLESS_S if slo.latency_ms is None else slo.latency_ms / MS_PER_SECOND
    limits: Floats = np.full(tokens.input_tokens.shape, latency_s)
    if slo.real_time_factor is not None:
        recorded_s = tokens.input_tokens * tokens.output_tokens / MS_PER_SECOND
        limits = np.minimum(limits, slo.real_time_factor * recorded_s)
    return limits


_ANY = 2**31 - 1


@dataclass(frozen=True, eq=False)
class BatchTimes:
    """Times of one replica's batches; what a simulation asks of any replica is named as in ``StepTimes``."""

    model: Model
    unit: Unit
    replica: Replica
    ttft_factor: float = 1.0
    """Nothing was learned beyond the batch."""
    context_tokens: int = _ANY
    """Requests of any size are served: their items are spread over batches."""
    kv_tokens: int = _ANY

    def item_seconds(self, sizes: Floats, items: Floats | float = 1.0) -> Floats:
        """Seconds that items of some sizes add to their batch, each with its share of a request of so many items."""
        flop = flop_of_items(self.model, self.unit, self.replica.computed_sizes(self.unit, sizes))
        return servers.item_seconds(flop, self.replica.seconds_per_flop, self.replica.request_s, items)


ENDLESS = 1e12
"""Samples of a batch that is never waited for."""


def answer_one_pass(
    setups: Sequence[Resolved | None], questions: Questions, standing: Indices, answers: Answers
) -> None:  # fmt: skip
    """Samples per second of the standing questions, by set-up and scenario: there are few of them."""
    if not standing.size:
        return
    group = questions.setup[standing] * len(SCENARIOS) + questions.scenario[standing]
    order = np.argsort(group, kind="stable")
    edges = np.flatnonzero(np.diff(group[order])) + 1
    for rows in np.split(standing[order], edges):
        setup = setups[questions.setup[rows[0]]]
        if setup is not None:
            _answer(setup, questions, rows, answers)


def _answer(setup: Resolved, questions: Questions, rows: Indices, answers: Answers) -> None:
    """Questions that share set-up and scenario: a request for each item, of trees one for all rows of a batch."""
    unit, server = UNITS.get(setup.model.task, Unit.TEXTS), setup.server
    tokens = questions.input_tokens[rows]
    computed = servers.computed_sizes("" if server is None else server.padding, 0.0, unit, tokens)
    flop = flop_of_sample(setup.model, computed)
    limit = setup.model.max_context_tokens or np.inf
    is_known = np.isfinite(flop) & _is_predicted(setup)
    standing = is_known & ~(tokens > limit)
    for at, has_flop in zip(rows[~standing].tolist(), is_known[~standing].tolist(), strict=True):
        answers.reason[at] = _reason(setup, has_flop=has_flop)
    if not standing.any():
        return
    rows, flop = rows[standing], flop[standing]
    scenario = SCENARIOS[questions.scenario[rows[0]]]
    cost, of_item = servers.batch_cost(setup, scenario), samples_of_item(setup.model)
    batch, used = loads(scenario, questions.concurrency[rows], accelerators_of(setup), of_item)
    batch = np.minimum(batch, _most_samples(setup, unit, tokens[standing]) * of_item)
    of_request = batch if unit is Unit.ROWS else of_item
    beside_s, per_flop = servers.padded_cost(server, cost.seconds_per_flop, flop)
    sample_s = servers.item_seconds(flop, per_flop, cost.request_s, of_request)
    rate = used * batch / (cost.fixed_s + beside_s + batch * sample_s)
    low, high = cost.spread
    answers.store("samples_per_second", rows, (rate, rate * low, rate * high))
    for at in rows.tolist():
        answers.evidence[at] = cost.evidence.value


def _most_samples(setup: Resolved, unit: Unit, tokens: Floats) -> Floats:
    """Items of a batch that the server takes at most; endless of an engine that is not a server of the catalog."""
    if setup.server is None:
        return np.full_like(tokens, ENDLESS)
    usual = setup.model.sample_size or 1.0
    sizes = np.where(np.isfinite(tokens) & (unit is Unit.TEXTS), tokens, usual)
    return np.maximum(servers.items_within(setup.server, sizes, servers.most_sizes(setup.server, unit, 1)), 1.0)


def _is_predicted(setup: Resolved) -> bool:
    """Whether a rate is known of the model's kind: of trees on what their server runs on."""
    if setup.model.is_forest:
        return walks_trees(setup)
    return setup.model.task in KINDS or setup.model.sample_size is not None


def accelerators_of(setup: Resolved) -> float:
    """Accelerators that each hold a copy."""
    return float(setup.replicas * setup.deployment.tensor_parallel)


def loads(
    scenario: Scenario, concurrency: Floats, accelerators: float, samples_of_item: float
) -> tuple[Floats, Floats]:  # fmt: skip
    """Samples of the batch on each accelerator, and accelerators at work; users ask for an item each."""
    if scenario is Scenario.SATURATED:
        return np.full_like(concurrency, ENDLESS), np.full_like(concurrency, accelerators)
    single = scenario is Scenario.SINGLE_STREAM
    asked = np.ones_like(concurrency) if single else np.fmax(concurrency, 1.0)
    used = np.minimum(accelerators, asked)
    return asked / used * samples_of_item, used


def _reason(setup: Resolved, *, has_flop: bool) -> str:
    """Why a question has no number."""
    if has_flop:
        return f"the input is longer than the {setup.model.max_context_tokens:,} tokens that the model takes"
    if setup.model.hidden and setup.model.task in KINDS:
        return f"input_tokens is needed: no usual length of {setup.model.name} is known"
    if setup.model.is_forest:
        form = "; give them as a file of XGBoost, LightGBM or treelite" if setup.model.family == ONNX_TREES else ""
        return f"no server of trees in this format is known on {setup.deployment.accelerator.name}{form}"
    if setup.model.family in OF_ROWS_IN_ONNX and UNITS.get(setup.model.task) is Unit.ROWS:
        return unplanned_graph(setup.model)
    if setup.model.flop_per_sample is not None:
        return f"no measurement of {setup.model.task} models is known, such as {setup.model.name}"
    why = setup.model.sample.removeprefix("not known")
    return f"the FLOPs of one sample of {setup.model.name} are not known{why}"
