"""Whether a fleet holds, as soon as a part of its replicas shows it: a sequential test on a stratified sample.

Replicas of a group that are up at the same time receive requests in turn, so that a few of them show what all would.
Their late requests are scaled up, and the error of that is allowed for; where it leaves a doubt more are simulated.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from advisor.plan.replay.sessions import Session
from advisor.plan.replay.values import Cutoff
from advisor.records import dataclass

STANDARD_ERRORS = 3.0
LATE_TOGETHER = 4.0
"""Variance of the number of late requests of a replica ÷ its mean: one late request often makes others late."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate for all replicas from a part of them."""

    share: float
    """Of the requests within every target."""
    busiest_share: float
    """Of those that are judged by themselves; of all of them without."""
    holds: bool
    """No more are late than are allowed."""


class EarlyEnd:
    """Counts late requests, replica by replica, until it is clear whether too many are late."""

    def __init__(
        self, cutoff: Cutoff, sessions: Sequence[Session], members: Sequence[Sequence[Indices]], count: int
    ) -> None:
        """Know where requests were sent.

        Args:
            cutoff: how many may be late.
            sessions: in the order in which they are simulated.
            members: requests of each.
            count: of all requests.
        """
        self._first = cutoff.busiest
        self._allowed_ratio = cutoff.most_late / count
        strata: dict[tuple[int, float], int] = {}
        self._stratum = [strata.setdefault((session.group, session.start), len(strata)) for session in sessions]
        self._sent, self._served, self._late = np.zeros((3, 2, len(strata)))
        for at, parts in enumerate(members):
            for part in parts:
                self._sent[:, self._stratum[at]] += self._counts(part)
        self._judged = np.array([count, min(cutoff.busiest or count, count)], dtype=np.float64)
        self._nowhere = count - float(self._sent[0].sum())
        at_last = _keep_every(count, cutoff.most_served)
        at_first = at_last if cutoff.first_served is None else max(_keep_every(count, cutoff.first_served), at_last)
        every = _stages(sessions, self._stratum, members, at_first)
        self.stages = every[: (at_first // at_last).bit_length()]
        """Positions of sessions that are simulated together before it is asked whether that suffices."""
        self.is_whole = at_last == 1
        """Whether the stages together are all sessions."""

    def add(self, at: int, served: Indices, late: Indices) -> None:
        """Count the requests of one session and those of them that are late."""
        self._served[:, self._stratum[at]] += self._counts(served)
        self._late[:, self._stratum[at]] += self._counts(late)

    def _counts(self, requests: Indices) -> tuple[int, int]:
        """Number of these requests, and of those among them that are judged by themselves."""
        return requests.size, requests.size if self._first is None else int(np.count_nonzero(requests < self._first))

    def is_too_late(self, more: Indices | None = None) -> bool:
        """Whether more are late already than are allowed, with those of a session that is not counted yet."""
        late = self._late.sum(axis=1) + self._nowhere
        if more is not None:
            late += self._counts(more)
        return bool((late > self._allowed_ratio * self._judged).any())

    def is_clear(self) -> bool:
        """Whether the rest would not change the answer."""
        weights = self._weights()
        error = STANDARD_ERRORS * np.sqrt(
            ((self._late + 1) * LATE_TOGETHER * weights**2 * (1 - 1 / weights)).sum(axis=1)
        )  # fmt: skip
        room = self._allowed_ratio * self._judged - self._estimated()
        return bool((room >= error).all() or (room < -error).any())

    def estimate(self) -> Estimate:
        """Estimate so far."""
        late = self._estimated()
        share, busiest_share = np.maximum(1 - late / np.maximum(self._judged, 1), 0.0).tolist()
        return Estimate(share, busiest_share, holds=bool((late <= self._allowed_ratio * self._judged).all()))

    def _estimated(self) -> Floats:
        late: Floats = (self._late * self._weights()).sum(axis=1) + self._nowhere
        return late

    def _weights(self) -> Floats:
        served = np.maximum(self._served, 1)
        return np.maximum(self._sent, served) / served


def _keep_every(count: int, served: int | None) -> int:
    """Replicas of which one is simulated, so that about so many requests are: a power of two."""
    return 1 if served is None else 1 << int(math.log2(max(count / served, 1)))


def _stages(
    sessions: Sequence[Session], strata: Sequence[int], members: Sequence[Sequence[Indices]], keep_every: int
) -> list[list[int]]:  # fmt: skip
    """Every k-th replica of those alike, then those half way between, and so on; interrupted ones at first."""
    stages: list[list[int]] = [[] for _ in range(keep_every.bit_length())]
    seen: dict[int, int] = {}
    for at, session in enumerate(sessions):
        turn = 0
        if members[at] and not session.interrupted:
            turn = seen.get(strata[at], 0) % keep_every
            seen[strata[at]] = seen.get(strata[at], 0) + 1
        stages[keep_every.bit_length() - (turn & -turn).bit_length() if turn else 0].append(at)
    return stages
