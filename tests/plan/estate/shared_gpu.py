"""A GPU that several engines share, event by event: in turns, whoever has work gets an equal share of the time; by MPS,
each keeps its part, whoever has work.

Each engine is as in the replay of a plan: steps of continuous batching, or batches of whole answers. What they do not
know of is each other.
"""

from collections.abc import Sequence

import numpy as np

from advisor.performance.one_pass.serving import BatchTimes
from advisor.performance.steps import StepTimes

_EPSILON = 1e-12


class Tokens:
    """An engine that answers token by token."""

    def __init__(self, times: StepTimes, arrivals: np.ndarray, prompt: int, answer: int) -> None:
        """Start without requests; all are alike."""
        self.times, self.arrivals, self.prompt, self.answer = times, arrivals, prompt, answer
        self.next, self.waiting, self.running, self.admitted = 0, [], [], []
        self.first, self.last = np.zeros(arrivals.size), np.zeros(arrivals.size)

    def work(self) -> float:
        """Seconds of the step that is begun now; 0: there is nothing to do."""
        room = self.times.max_sequences - len(self.running)
        most = max(int(self.times.budgets[len(self.running)] // self.prompt), 1)
        self.admitted = self.waiting[: min(room, most)]
        self.waiting = self.waiting[len(self.admitted) :]
        batch = len(self.running)
        prompts = (
            len(self.admitted) * (self.times.prompt_s[self.prompt] + self.times.begin_s) * self.times.learned[batch]
        )
        if not batch:
            return prompts + (self.times.alone_s[len(self.admitted) * self.prompt] if self.admitted else 0.0)
        held = sum(self.prompt + done for _, done in self.running)
        return prompts + self.times.base_s[batch] + self.times.per_token_s[batch] * held

    def end(self, now: float) -> None:
        """End the step."""
        lag = self.times.lag_s[len(self.running)]
        for request in self.admitted:
            self.first[request] = now + lag
        self.running = [(request, done + 1) for request, done in self.running] + [(one, 1) for one in self.admitted]
        for request, done in self.running:
            if done >= self.answer:
                self.last[request] = now
        self.running = [(request, done) for request, done in self.running if done < self.answer]

    def latencies(self) -> dict[str, np.ndarray]:
        """Milliseconds of all requests."""
        to_first = self.first - self.arrivals
        return {"ttft": 1000 * to_first, "tpot": 1000 * (self.last - self.first) / (self.answer - 1)}


class Answers:
    """A server that answers in one pass, in batches of what waits."""

    def __init__(self, times: BatchTimes, arrivals: np.ndarray, size: float, items: int) -> None:
        """Start without requests; all are alike."""
        self.replica, self.arrivals = times.replica, arrivals
        self.request_s = float(items * times.item_seconds(np.array([size]), float(items))[0])
        self.most = max(self.replica.largest_items // items, 1)
        self.next, self.waiting, self.batch, self.last = 0, [], [], np.zeros(arrivals.size)

    def work(self) -> float:
        """Seconds of the batch that is begun now; 0: there is nothing to do."""
        self.batch, self.waiting = self.waiting[: self.most], self.waiting[self.most :]
        return self.replica.fixed_s + len(self.batch) * self.request_s if self.batch else 0.0

    def end(self, now: float) -> None:
        """End the batch."""
        self.last[self.batch] = now

    def latencies(self) -> dict[str, np.ndarray]:
        """Milliseconds of all requests."""
        return {"latency": 1000 * (self.last - self.arrivals + self.replica.wait_s)}


def share(engines: Sequence[Tokens | Answers], lost: float) -> None:
    """Serve all requests of all engines.

    Args:
        engines: with their requests.
        lost: share of the time that goes to switching while more than one has work.
    """
    left, now = [0.0] * len(engines), 0.0
    while True:
        _begin(engines, left, now)
        active = [at for at, seconds in enumerate(left) if seconds > 0]
        coming = min((one.arrivals[one.next] for one in engines if one.next < one.arrivals.size), default=np.inf)
        if not active and coming == np.inf:
            return
        slower = len(active) / (1 - lost if len(active) > 1 else 1.0)
        step = min(min((left[at] * slower for at in active), default=np.inf), coming - now)
        now += step
        for at in active:
            left[at] -= step / slower
            if left[at] <= _EPSILON:
                left[at] = 0.0
                engines[at].end(now)


def _begin(engines: Sequence[Tokens | Answers], left: list[float], now: float) -> None:
    """Queue what has come, and give whoever has nothing to do its next step or batch."""
    for at, engine in enumerate(engines):
        while engine.next < engine.arrivals.size and engine.arrivals[engine.next] <= now + _EPSILON:
            engine.waiting.append(engine.next)
            engine.next += 1
        left[at] = left[at] or engine.work()


def in_parts(engines: Sequence[Tokens | Answers], percent: int, lost: float) -> None:
    """Serve all requests of all engines at once, each on its part whether the others have work or not.

    Args:
        engines: with their requests.
        percent: of the threads that each has, and of the bandwidth, as if neighbours always took theirs.
        lost: share of each part that neighbours take beyond that, by caches and bandwidth.
    """
    for engine in engines:
        left, now = [0.0], 0.0
        while True:
            _begin([engine], left, now)
            if left[0]:
                now += left[0] * 100 / percent / (1 - lost)
                left[0] = 0.0
                engine.end(now)
            elif engine.next < engine.arrivals.size:
                now = engine.arrivals[engine.next]
            else:
                break


def in_whole_batches(engines: Sequence[Tokens | Answers]) -> None:
    """Serve all requests of all engines with one step or batch at a time, whose engine has waited longest for it.

    The least favourable order inside one process: no kernel of a batch runs before the batch of another model ends.

    Args:
        engines: with their requests.
    """
    now, ready = 0.0, [np.inf] * len(engines)
    left = [0.0] * len(engines)
    while True:
        _begin(engines, left, now)
        ready = [min(since, now) if left[at] else np.inf for at, since in enumerate(ready)]
        coming = min((one.arrivals[one.next] for one in engines if one.next < one.arrivals.size), default=np.inf)
        if min(ready) == np.inf:
            if coming == np.inf:
                return
            now = coming
            continue
        at = ready.index(min(ready))
        now += left[at]
        engines[at].end(now)
        left[at], ready[at] = 0.0, np.inf
