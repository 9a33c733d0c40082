"""The performance stage for models that answer in one pass; candidates that predict alike are predicted once."""

from collections.abc import Callable, Sequence

import numpy as np

from advisor.candidates import Candidate, Rejection, reject_candidate
from advisor.demand.values import TokenHistogram
from advisor.models import Model
from advisor.performance.evidence import LoadLatency, Served, late_item
from advisor.performance.groups import simulated_seconds
from advisor.performance.one_pass.batches import BatchTimes
from advisor.performance.one_pass.serving import (
    Replica,
    batching_of,
    check_known,
    latencies_of,
    mean_requests,
    rates_of,
    replica_of,
    too_slow,
)
from advisor.performance.physics import Floats
from advisor.performance.queueing import Bursts, bursts_of
from advisor.performance.values import Deployment, Interval
from advisor.records import dataclass
from advisor.requirements import Requirements
from advisor.units import MS_PER_SECOND
from advisor.workload.values import Slo

Deployed = Callable[[Candidate, Model], Deployment]
"""One replica of a candidate, reduced to what decides its speed."""
_NOTHING = Interval(0.0, 0.0, 0.0)
"""Time per token of an answer that has none after the first."""


@dataclass(frozen=True, slots=True)
class OnePassStage:
    """Answers of the performance stage about one question."""

    requirements: Requirements
    deployed: Deployed

    def serve(self, candidates: Sequence[Candidate]) -> tuple[list[Served], list[Rejection]]:
        """Candidates with a known peak that keep the SLO with the rate each sustains, and rejections of the others.

        Raises:
            InputError: the work of the model's requests is not known.
        """
        check_known(self.requirements)
        if not candidates:
            return [], []
        replicas, index = self._grouped(candidates)
        demand, slo = self.requirements.demand, self.requirements.workload.slo
        slo = slo if demand.batch is None else Slo()
        rates = rates_of(replicas, self.requirements, demand.tokens, slo, bursts_of(demand))
        most = batching_of(replicas, self.requirements, demand.tokens).most_per_second
        running = mean_requests(replicas, rates, self.requirements)
        if demand.batch is not None:
            rates = np.where(rates > 0, most, 0.0)
            running = np.array([replica.largest_items for replica in replicas]) / demand.output_tokens.mean
        served: list[Served] = []
        rejected: list[Rejection] = []
        for candidate, at in zip(candidates, index, strict=True):
            replica, rate = replicas[at], float(rates[at])
            if rate <= 0:
                rejected.append(reject_candidate(candidate, too_slow(replica, self.requirements)))
                continue
            if demand.batch is not None and (late := late_item(candidate, float(running[at]), rate, demand.batch)):
                rejected.append(late)
                continue
            low, high = replica.spread
            interval = Interval(rate, rate * low, rate * high)
            served.append(
                Served(
                    candidate, interval, replica.largest_items, replica.evidence, float(running[at]), float(most[at])
                )
            )
        return served, rejected

    def rates_within(
        self, candidates: Sequence[Candidate], cases: Sequence[tuple[TokenHistogram, Slo]], bursts: Bursts
    ) -> Floats:
        """Requests per second that one replica of each candidate sustains in each case: (cases, candidates)."""
        replicas, index = self._grouped(candidates)
        rates = [rates_of(replicas, self.requirements, tokens, slo, bursts) for tokens, slo in cases]
        return np.array(rates)[:, index]

    def full_rates(self, candidates: Sequence[Candidate], cases: Sequence[TokenHistogram]) -> Floats:
        """Requests per second of one replica of each candidate in full batches: (cases, candidates)."""
        replicas, index = self._grouped(candidates)
        rates = [batching_of(replicas, self.requirements, tokens).most_per_second for tokens in cases]
        return np.array(rates)[:, index]

    def latencies(self, candidates: Sequence[Candidate], rates: Sequence[float]) -> list[LoadLatency]:
        """Latency of each candidate when one replica receives that many requests per second."""
        replicas, index = self._grouped(candidates)
        each, loads = [replicas[at] for at in index], np.array(rates, dtype=np.float64)
        if self.requirements.demand.batch is not None:
            demand = self.requirements.demand
            loads = np.minimum(loads, rates_of(each, self.requirements, demand.tokens, Slo(), bursts_of(demand)))
        latencies_ms = latencies_of(each, loads, self.requirements).tolist()
        whole = [_ranged(ms, replica) for ms, replica in zip(latencies_ms, each, strict=True)]
        return [LoadLatency(latency, _NOTHING, latency) for latency in whole]

    def times(self, candidate: Candidate) -> BatchTimes:
        """Times of one replica's batches."""
        (replica,), _ = self._grouped([candidate])
        return BatchTimes(self.requirements.model, self.requirements.demand.unit, replica)

    def _replica(self, candidate: Candidate, transfer_s: float = 0.0) -> Replica:
        deployment = self.deployed(candidate, self.requirements.model)
        return replica_of(candidate, deployment, self.requirements, transfer_s)

    def _grouped(self, candidates: Sequence[Candidate]) -> tuple[list[Replica], list[int]]:
        """The different replicas, and which of them each candidate has."""
        servers = [(candidate.accelerator.name, candidate.precision, candidate.engine) for candidate in candidates]
        first = dict(zip(reversed(servers), reversed(candidates), strict=True))
        local = {server: self._replica(candidate) for server, candidate in first.items()}
        batching = batching_of(list(local.values()), self.requirements, self.requirements.demand.tokens)
        most = dict(zip(local, batching.most_per_second.tolist(), strict=True))
        keys = [
            (server, simulated_seconds(candidate, self.requirements, most[server]))
            for server, candidate in zip(servers, candidates, strict=True)
        ]
        position = {key: at for at, key in enumerate(dict.fromkeys(keys))}
        replicas = [
            self._replica(first[server], transfer_s) if transfer_s else local[server] for server, transfer_s in position
        ]
        return replicas, [position[key] for key in keys]


def _ranged(latency_ms: float, replica: Replica) -> Interval:
    """A latency with its range: the batches may be faster or slower, the network is as it is stated."""
    transfer_ms = replica.transfer_s * MS_PER_SECOND
    slower, faster = replica.spread
    own_ms = latency_ms - transfer_ms
    return Interval(latency_ms, transfer_ms + own_ms / faster, transfer_ms + own_ms / slower)
