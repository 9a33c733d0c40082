"""Replicas of candidates as a prediction takes them, those that predict alike as one group; limits of their links."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial

import numpy as np

from advisor.candidates import Candidate
from advisor.catalog import Catalog
from advisor.models import AUTO, kv_bytes_per_token, serving_shape, weight_bytes
from advisor.models.model import Model
from advisor.models.weights import loaded_by
from advisor.performance import Deployment, Interval, Scenario, adapter_load
from advisor.performance.constants import Quantity, engine_class
from advisor.performance.deployments import Packed, default_max_sequences, pack, with_pictures
from advisor.performance.evidence import Codes, PredictionEvidence, Served
from advisor.performance.model import PerformanceModel
from advisor.performance.physics import PICTURE_FACTORS, Floats, picture_seconds
from advisor.performance.regimes import architecture_of
from advisor.performance.transfer import answer_gb, request_gb
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import BITS_PER_BYTE, MS_PER_SECOND, gib_to_bytes

_PAYLOAD_SHARE = 1448 / 1538
"""Bytes of a full frame of Ethernet without the headers of TCP (with timestamps), IP and Ethernet (RFC 894, 7323)."""
PLANNED_BUSY_SHARE = 0.85
"""Share of its time that a network is planned to carry requests and answers; an assumption: the rest is for bursts and
for what is downloaded beside them."""
_IDLE_SHARE = 0.1
"""A network that its replica keeps no busier makes a request wait for less than 0.06 transfers (M/D/1)."""

_FEWEST_GBIT_PER_SECOND = 1.0
"""About what the smallest machines of AWS sustain."""
_SHARE_OF_TARGET = 0.1
"""Share of a latency target from which on a transfer that nobody counted matters."""
_SETTLED = 1e-4
"""Rates are cut to five digits."""


def gb_per_request(candidate: Candidate, requirements: Requirements) -> float:
    """GB of a request or of its answer, whichever is larger: as much goes in as out at the same time."""
    return _gb_of_call(requirements, candidate.http_requests(requirements.demand))


def _gb_of_call(requirements: Requirements, http_requests: float) -> float:
    """The same of a call that is sent as so many HTTP requests."""
    demand, model = requirements.demand, requirements.model
    return max(request_gb(demand, model, http_requests), answer_gb(demand, model, http_requests))


def transfer_seconds(candidate: Candidate, gb: float) -> float:
    """Seconds that GB take on a share of a network: ``GB × 8 ÷ (payload × Gbit/s ÷ replicas)``; 0: not known."""
    gbit_per_second = candidate.instance_type.network_gbit_per_second
    if gbit_per_second is None:
        return 0.0
    return gb * BITS_PER_BYTE * candidate.replicas_per_instance / (_PAYLOAD_SHARE * gbit_per_second)


def carried_by_each(candidates: Iterable[Candidate], requirements: Requirements) -> Floats:
    """Requests per second that a replica's share of the network carries, (candidates,); infinite where unknown."""
    demand, gb_of_call = requirements.demand, cache(partial(_gb_of_call, requirements))
    seconds = (transfer_seconds(candidate, gb_of_call(candidate.http_requests(demand))) for candidate in candidates)
    return np.array([PLANNED_BUSY_SHARE / each if each else math.inf for each in seconds])


def within_links(served: Sequence[Served], requirements: Requirements) -> Iterator[Served]:
    """Candidates with no more than their networks carry."""
    carried = carried_by_each((each.candidate for each in served), requirements).tolist()
    for each, most in zip(served, carried, strict=True):
        rate = each.requests_per_second_per_replica
        if max(rate.value, rate.low, rate.high, each.most_requests_per_second) <= most:
            yield each
            continue
        yield replace(
            each,
            requests_per_second_per_replica=Interval(*(min(end, most) for end in (rate.value, rate.low, rate.high))),
            most_requests_per_second=min(each.most_requests_per_second, most),
        )


def simulated_seconds(candidate: Candidate, requirements: Requirements, most_per_second: float) -> float:
    """Transfer of an HTTP request in seconds; 0 of a replica that cannot keep its network busy enough to wait."""
    seconds = transfer_seconds(candidate, gb_per_request(candidate, requirements))
    is_busy = seconds * most_per_second >= _IDLE_SHARE
    return seconds / candidate.http_requests(requirements.demand) if is_busy else 0.0


def uncounted_gbit_per_second(candidate: Candidate, requests_per_second: float, requirements: Requirements) -> float:
    """Gbit/s that an instance receives or sends over a network that is not known, where it may matter; 0 elsewhere.

    It may where the least network that a known machine has would be full, or would take a tenth of the latency target
    for a request alone.
    """
    if candidate.instance_type.network_gbit_per_second is not None:
        return 0.0
    gbit, slo = gb_per_request(candidate, requirements) * BITS_PER_BYTE, requirements.workload.slo
    targets_ms = (target for target in (slo.ttft_p95_ms, slo.e2e_p95_ms, slo.latency_ms) if target is not None)
    alone_ms = gbit / _FEWEST_GBIT_PER_SECOND * MS_PER_SECOND
    is_slow = alone_ms > _SHARE_OF_TARGET * min(targets_ms, default=math.inf)
    carried = gbit * requests_per_second
    return carried if carried >= _FEWEST_GBIT_PER_SECOND or is_slow else 0.0


def limit_words(candidate: Candidate, planned_per_second: float, requirements: Requirements) -> str:
    """``network 2.5 Gbit/s`` of an instance that is planned to carry all that its network does; "" of others."""
    carried = float(carried_by_each([candidate], requirements)[0]) * candidate.replicas_per_instance
    is_limit = planned_per_second >= carried * (1 - _SETTLED)
    return f"network {candidate.instance_type.network_gbit_per_second:g} Gbit/s" if is_limit else ""


LIKE = Scenario.FIXED_CONCURRENCY
"""A loaded replica under random arrivals errs as one with so many users does: by the same physics of the same steps."""


def with_measured_engines(requirements: Requirements, model: PerformanceModel, catalog: Catalog) -> Requirements:
    """Requirements with the engines that the model's speed was measured with under lasting load."""
    served = requirements.model
    kinds = model.calibration.reach.engine_kinds(architecture_of(served.family, serving_shape(served)))
    engines = (
        (accelerator, name)
        for accelerator, kind in kinds
        for name in catalog.generating_engines
        if engine_class(name) == kind
    )
    return replace(requirements, measured_engines=frozenset(engines))


def deployment_of(candidate: Candidate, model: Model) -> Deployment:
    """One replica of a candidate, reduced to what decides its speed."""
    if candidate.batcher is None:
        model = loaded_by(model, candidate.engine, candidate.precision)
    shape = serving_shape(model)
    elements = max(shape.kv_elements_per_token, 1.0)
    usual = candidate.usual
    held = [each.memory.kv_cache_gib_available for each in (candidate, usual) if each is not None]
    return Deployment(
        shape=shape,
        accelerator=candidate.accelerator,
        weight_bytes=weight_bytes(model, candidate.precision),
        compute_precision=candidate.compute_precision,
        kv_bytes_per_element=kv_bytes_per_token(model, AUTO) / elements,
        kv_cache_bytes=gib_to_bytes(min(held)),
        engine=candidate.engine,
        engine_version=candidate.engine_version,
        family=model.family,
        tensor_parallel=candidate.tensor_parallel,
        pipeline_parallel=candidate.pipeline_parallel,
        interconnect=_interconnect(candidate),
        max_sequences=None if candidate.max_sequences is None and usual is None else most_sequences(candidate),
        max_batched_tokens=candidate.max_batched_tokens,
        adapters=adapter_load(model, candidate.engine, candidate.tensor_parallel),
        usual=None if usual is None else (usual.engine, usual.engine_version),
    )


def deployment_for(candidate: Candidate, requirements: Requirements) -> Deployment:
    """The same for requests that show pictures."""
    deployment, shown = deployment_of(candidate, requirements.model), requirements.demand.pictures
    tower = requirements.model.vision
    if shown is None or tower is None or requirements.demand.unit.is_one_pass:
        return deployment
    return with_pictures(deployment, tower, shown)


def most_sequences(candidate: Candidate) -> int:
    """Requests that a replica runs at a time by the limits of its engine, and of the usual one."""
    limits = [default_max_sequences(each.accelerator, each.engine) for each in (candidate, candidate.usual) if each]
    return max(min(*limits, candidate.max_sequences or limits[0]), 1)


def _interconnect(candidate: Candidate) -> str:
    """Interconnect of the ranks of a replica; a slice is alone, whatever joins the accelerators of its machine."""
    return "" if candidate.partition else candidate.instance_type.interconnect


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Candidates that predict alike (the same replica in machines of other sizes) are predicted once."""

    packed: Packed
    prediction_evidence: PredictionEvidence
    index: list[int]
    """Group of each candidate."""

    @property
    def pictures_s(self) -> Floats:
        """Seconds that the pictures of a request take in each group."""
        return picture_seconds(self.packed.replicas, self.packed.constants)

    def rate_spread(self, rates: Floats, evidence: Codes) -> tuple[Floats, Floats]:
        """Factors from rates to the ends of their intervals; wider by the share of the time that pictures take."""
        ends = self.prediction_evidence.spread(LIKE, Quantity.THROUGHPUT, evidence)
        busy = rates * self.pictures_s
        low, high = (
            end / (1 + busy * (factor - 1)) for end, factor in zip(ends, reversed(PICTURE_FACTORS), strict=True)
        )
        return low, high

    @classmethod
    def of(cls, candidates: Sequence[Candidate], asked: Requirements, model: PerformanceModel) -> "Groups":
        """Groups of candidates under a demand."""
        keys = [group_key(candidate) for candidate in candidates]
        position = {key: index for index, key in enumerate(dict.fromkeys(keys))}
        first = dict(zip(reversed(keys), reversed(candidates), strict=True))
        deployments = [deployment_for(first[key], asked) for key in position]
        whole = cls.for_each(model.planned(deployments, asked.demand.tokens), model)
        return cls(whole.packed, whole.prediction_evidence, [position[key] for key in keys])

    @classmethod
    def for_each(cls, deployments: Sequence[Deployment], model: PerformanceModel) -> "Groups":
        """Each deployment a group of its own."""
        prediction_evidence = PredictionEvidence(deployments, model.calibration)
        return cls(pack(deployments, model.calibration.constants), prediction_evidence, list(range(len(deployments))))


def group_key(candidate: Candidate) -> tuple[str, str, str, str, int, str]:
    """Properties that decide a prediction: candidates with one key predict alike."""
    return (
        candidate.accelerator.name, candidate.precision, candidate.engine,
        "" if candidate.usual is None else candidate.usual.engine, candidate.tensor_parallel, _interconnect(candidate),
    )  # fmt: skip
