"""Replicas of candidates as a prediction takes them: those that predict alike are one group."""

from collections.abc import Sequence

from advisor.candidates import Candidate
from advisor.models import AUTO, kv_bytes_per_token, serving_shape, weight_bytes
from advisor.models.gguf_weights import loaded_by
from advisor.models.model import Model
from advisor.performance.constants import Quantity
from advisor.performance.deployments import Packed, default_max_sequences, pack, with_pictures
from advisor.performance.evidence import Codes, PredictionEvidence
from advisor.performance.model import PerformanceModel
from advisor.performance.physics import PICTURE_FACTORS, Floats, picture_seconds
from advisor.performance.values import Deployment, Scenario, adapter_load
from advisor.records import dataclass
from advisor.requirements import Requirements
from advisor.units import gib_to_bytes

LIKE = Scenario.FIXED_CONCURRENCY
"""A loaded replica under random arrivals errs as one with so many users does: by the same physics of the same steps."""


def deployment_of(candidate: Candidate, model: Model) -> Deployment:
    """One replica of a candidate, reduced to what decides its speed."""
    if candidate.batcher is None:
        model = loaded_by(model, candidate.engine, candidate.precision)
    shape = serving_shape(model)
    elements = max(shape.kv_elements_per_token, 1.0)
    return Deployment(
        shape=shape,
        accelerator=candidate.accelerator,
        weight_bytes=weight_bytes(model, candidate.precision),
        compute_precision=candidate.compute_precision,
        kv_bytes_per_element=kv_bytes_per_token(model, AUTO) / elements,
        kv_cache_bytes=gib_to_bytes(candidate.memory.kv_cache_gib_available),
        engine=candidate.engine,
        engine_version=candidate.engine_version,
        family=model.family,
        tensor_parallel=candidate.tensor_parallel,
        pipeline_parallel=candidate.pipeline_parallel,
        interconnect=_interconnect(candidate),
        max_sequences=_max_sequences(candidate),
        max_batched_tokens=candidate.max_batched_tokens,
        adapters=adapter_load(model, candidate.engine, candidate.tensor_parallel),
    )


def deployment_for(candidate: Candidate, requirements: Requirements) -> Deployment:
    """The same for requests that show pictures."""
    deployment, shown = deployment_of(candidate, requirements.model), requirements.demand.pictures
    tower = requirements.model.vision
    if shown is None or tower is None or requirements.demand.unit.is_one_pass:
        return deployment
    return with_pictures(deployment, tower, shown)


def _max_sequences(candidate: Candidate) -> int | None:
    """The engine's own limit, lowered to what an engine without paging has room for; None: the engine's own."""
    if candidate.max_sequences is None:
        return None
    return max(min(default_max_sequences(candidate.accelerator, candidate.engine), candidate.max_sequences), 1)


def _interconnect(candidate: Candidate) -> str:
    """Interconnect of the ranks of a replica; a slice is alone, whatever joins the accelerators of its machine."""
    return "" if candidate.partition else candidate.instance_type.interconnect


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Candidates that predict alike (the same replica in machines of other sizes) are predicted once."""

    packed: Packed
    grounds: PredictionEvidence
    index: list[int]
    """Group of each candidate."""

    @property
    def pictures_s(self) -> Floats:
        """Seconds that the pictures of a request take in each group."""
        return picture_seconds(self.packed.replicas, self.packed.constants)

    def rate_spread(self, rates: Floats, evidence: Codes) -> tuple[Floats, Floats]:
        """Factors from rates to the ends of their intervals; wider by the share of the time that pictures take."""
        ends = self.grounds.spread(LIKE, Quantity.THROUGHPUT, evidence)
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
        whole = cls.for_each([deployment_for(first[key], asked) for key in position], model)
        return cls(whole.packed, whole.grounds, [position[key] for key in keys])

    @classmethod
    def for_each(cls, deployments: Sequence[Deployment], model: PerformanceModel) -> "Groups":
        """Each deployment a group of its own."""
        grounds = PredictionEvidence(deployments, model.calibration)
        return cls(pack(deployments, model.calibration.constants), grounds, list(range(len(deployments))))


def group_key(candidate: Candidate) -> tuple[str, str, str, int, str]:
    """Properties that decide a prediction: candidates with one key predict alike."""
    return (
        candidate.accelerator.name, candidate.precision, candidate.engine, candidate.tensor_parallel,
        _interconnect(candidate),
    )  # fmt: skip
