"""Requirements × catalog → candidates that can hold the model, or rejections with the two numbers compared.

Hardware is judged once for each instance type, precision and tensor parallelism, whatever the region; prices come
later (:mod:`advisor.plan`), where a region plays its part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from advisor.catalog import Catalog
from advisor.catalog.partitions import Partition, share_of, slice_of
from advisor.catalog.values import Accelerator, EngineSupport, InstanceType, Offer
from advisor.models import FitRequest, MemoryFit, Model, fit_memory
from advisor.requirements import Requirements
from advisor.workload.scope import allows, allows_engine, engine_names, serving_engines

ANY = "*"
"""In a rejection: whatever the region or precision."""
_REGIONS_NAMED = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance type with precision, parallelism and engine that can hold the model."""

    instance_type: InstanceType
    accelerator: Accelerator
    """As one rank sees it: a whole one, or the share or slice that it has."""
    precision: str
    compute_precision: str
    engine: str
    engine_version: str
    tensor_parallel: int
    pipeline_parallel: int
    replicas_per_instance: int
    memory: MemoryFit
    """Of one replica."""
    partition: str = ""
    """Slices that every accelerator is cut into, one for each replica: mig-1g.10gb; "" for none."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an offer (or a whole instance type: region ``*``) cannot be an option."""

    provider: str
    region: str
    instance_type: str
    precision: str
    tensor_parallel: int | None
    code: str
    needed: float | str | None
    available: float | str | None
    unit: str
    message: str
    partition: str = ""
    """Slices that the accelerators would be cut into; "" for none."""


@dataclass(frozen=True, slots=True)
class _Seat:
    """What a rank of a replica runs on."""

    accelerator: Accelerator
    per_instance: int
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What was needed, what there is, and what that means in words."""

    code: str
    unit: str
    needed: float | str | None
    available: float | str | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The outcome for every instance type in scope."""

    candidates: tuple[Candidate, ...]
    rejections: tuple[Rejection, ...]
    offers: dict[tuple[str, str], tuple[Offer, ...]]
    """Offers in scope of each (provider, instance type)."""


def match(requirements: Requirements, catalog: Catalog) -> Matches:
    """Judge every instance type of the chosen providers."""
    workload = requirements.workload
    offers = _offers_in_scope(requirements, catalog)
    found: list[Candidate] = []
    rejected: list[Rejection] = []
    for (provider, name), instance_type in catalog.instance_types.items():
        if not allows(workload, instance_type):
            continue
        if (provider, name) not in offers:
            rejected.append(_not_sold(instance_type, workload.regions))
            continue
        for outcome in judge(instance_type, requirements, catalog):
            if isinstance(outcome, Candidate):
                found.append(outcome)
            else:
                rejected.append(outcome)
    return Matches(tuple(found), tuple(rejected), offers)


def judge(
    instance_type: InstanceType, requirements: Requirements, catalog: Catalog
) -> Iterator[Candidate | Rejection]:  # fmt: skip
    """Each precision × tensor parallelism, and each precision × slice, as a candidate or a rejection."""
    if (unknown := _unknown_hardware(instance_type)) is not None:
        yield unknown
        return
    accelerator = catalog.accelerator(instance_type.accelerator)
    whole, slices = _seats(instance_type, accelerator, catalog)
    for precision in requirements.workload.precisions:
        engine = _engine(instance_type, accelerator, precision, requirements, catalog)
        if isinstance(engine, Rejection):
            yield engine
            continue
        for tensor_parallel in parallel_choices(instance_type.accelerator_count or 0.0):
            outcome = _judge_one(instance_type, whole, engine, tensor_parallel, requirements)
            yield outcome
            if tensor_parallel == 1 and isinstance(outcome, Candidate):
                yield from _judge_slices(instance_type, slices, engine, requirements)


_ATTACHED = "attach:"
"""How the catalog names accelerators of Google that are added to a machine."""


def _unknown_hardware(instance_type: InstanceType) -> Rejection | None:
    """What is not a whole machine, or is too little known to be taken for one."""
    if instance_type.accelerator_count is None:
        reason = "how many accelerators it has is not known"
        return reject(instance_type, Shortfall("unknown_hardware", "accelerators", "a known number", None, reason))
    if instance_type.name.startswith(_ATTACHED):
        reason = "it is an accelerator to attach, not a machine"
        return reject(instance_type, Shortfall("unknown_hardware", "vCPUs", "a known number", None, reason))
    return None


def parallel_choices(accelerator_count: float) -> tuple[int, ...]:
    """Tensor parallelism worth trying: powers of two up to the accelerators, and all of them."""
    whole = max(int(accelerator_count), 1)
    powers = [1 << power for power in range(whole.bit_length()) if 1 << power <= whole]
    return tuple(dict.fromkeys([*powers, whole]))


def divides_heads(model: Model, tensor_parallel: int) -> bool:
    """Whether attention can be split: every rank has the same number of heads, of key-value heads too."""
    if model.n_heads % tensor_parallel:
        return False
    return model.n_kv_heads % tensor_parallel == 0 or tensor_parallel % model.n_kv_heads == 0


def _seats(
    instance_type: InstanceType, accelerator: Accelerator, catalog: Catalog
) -> tuple[_Seat, tuple[_Seat, ...]]:  # fmt: skip
    """The accelerators (or the share of one) of an instance type as they come, and the slices they can be cut into."""
    count = instance_type.accelerator_count or 0.0
    if count < 1:
        return _Seat(share_of(accelerator, f"share {count:g}", count), 1), ()
    profiles = [one for one in catalog.partitions(accelerator.name) if instance_type.provider in one.providers]
    return _Seat(accelerator, int(count)), tuple(_cut(accelerator, one, int(count)) for one in profiles)


def _cut(accelerator: Accelerator, partition: Partition, count: int) -> _Seat:
    return _Seat(slice_of(accelerator, partition), partition.per_accelerator * count, partition.name)


def _judge_slices(
    instance_type: InstanceType, slices: tuple[_Seat, ...], engine: EngineSupport, requirements: Requirements
) -> Iterator[Candidate | Rejection]:  # fmt: skip
    """The slices that hold what one accelerator holds; where none does, the largest is rejected for all of them."""
    outcomes = [_judge_one(instance_type, seat, engine, 1, requirements) for seat in slices]
    fitting = [outcome for outcome in outcomes if isinstance(outcome, Candidate)]
    yield from fitting or outcomes[-1:]


def _judge_one(
    instance_type: InstanceType, seat: _Seat, engine: EngineSupport, tensor_parallel: int, requirements: Requirements
) -> Candidate | Rejection:  # fmt: skip
    if not divides_heads(requirements.model, tensor_parallel):
        heads = requirements.model.n_heads
        reason = f"{heads} attention heads cannot be split over {tensor_parallel} accelerators"
        shortfall = Shortfall("parallelism", "attention heads", tensor_parallel, heads, reason)
        return reject(instance_type, shortfall, engine.precision, tensor_parallel)
    memory = _fit(
        requirements.model,
        FitRequest(
            accelerator_memory_gib=seat.accelerator.memory_gib,
            accelerator_count=tensor_parallel,
            tensor_parallel=tensor_parallel,
            pipeline_parallel=1,
            precision=engine.precision,
            kv_precision="auto",
            engine=engine.engine,
            engine_version=engine.engine_version,
            context_tokens=requirements.context_tokens,
            concurrency=1,
            memory_utilization=requirements.workload.limits.memory_utilization,
            accelerator=seat.accelerator.name,
        ),
    )
    if not memory.fits:
        shortfall = Shortfall("memory", "GiB", memory.needed_gib, memory.usable_gib, memory.reason)
        return reject(instance_type, shortfall, engine.precision, tensor_parallel, partition=seat.partition)
    return Candidate(
        instance_type=instance_type,
        accelerator=seat.accelerator,
        precision=engine.precision,
        compute_precision=engine.compute_precision,
        engine=engine.engine,
        engine_version=engine.engine_version,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=1,
        replicas_per_instance=seat.per_instance // tensor_parallel,
        memory=memory,
        partition=seat.partition,
    )


@lru_cache(maxsize=4096)
def _fit(model: Model, request: FitRequest) -> MemoryFit:
    """The same accelerator stands in many instance types."""
    return fit_memory(model, request)


def _engine(
    instance_type: InstanceType, accelerator: Accelerator, precision: str, requirements: Requirements, catalog: Catalog
) -> EngineSupport | Rejection:
    """The first allowed engine that serves the precision and the model on the accelerator, or why none does."""
    model, workload = requirements.model, requirements.workload
    rows = catalog.engine_support(accelerator.name, precision)
    serving = serving_engines(rows)
    if not serving:
        known = rows[0] if rows else None
        detail = known.detail if known and known.detail else "no engine of the catalog serves it"
        support = known.support.value if known else "no"
        shortfall = Shortfall("precision_unsupported", "support", precision, support, f"{accelerator.name}: {detail}")
        return reject(instance_type, shortfall, precision)
    allowed = [row for row in serving if allows_engine(workload, row.engine)]
    if not allowed:
        needed = ", ".join(workload.engines) or f"other than {', '.join(workload.exclude.engines)}"
        available = ", ".join(engine_names(serving))
        reason = f"it is served by {available}, which the workload leaves out"
        return reject(instance_type, Shortfall("engine_excluded", "engines", needed, available, reason), precision)
    for row in allowed:
        status = catalog.model_status(row.engine, accelerator.name, model.name, model.family)
        if status in (None, "supported", "validated"):
            return row
    reason = f"{allowed[0].engine} on {accelerator.name} does not list {model.name} as working ({status})"
    return reject(instance_type, Shortfall("model_unsupported", "support", model.name, status, reason), precision)


def _offers_in_scope(requirements: Requirements, catalog: Catalog) -> dict[tuple[str, str], tuple[Offer, ...]]:
    workload = requirements.workload
    grouped: dict[tuple[str, str], list[Offer]] = {}
    for offer in catalog.offers_in(workload.providers, workload.regions):
        grouped.setdefault((offer.provider, offer.instance_type), []).append(offer)
    machines = catalog.instance_types
    return {
        key: tuple(offers) for key, offers in grouped.items() if key not in machines or allows(workload, machines[key])
    }


def _not_sold(instance_type: InstanceType, regions: tuple[str, ...]) -> Rejection:
    wanted = ", ".join(regions) if len(regions) <= _REGIONS_NAMED else f"any of {len(regions)} regions"
    wanted = wanted or "any region"
    return reject(instance_type, Shortfall("not_sold", "regions", wanted, 0, f"not known to be sold in {wanted}"))


def reject(
    instance_type: InstanceType,
    shortfall: Shortfall,
    precision: str = ANY,
    tensor_parallel: int | None = None,
    region: str = ANY,
    partition: str = "",
) -> Rejection:
    """A rejection whose message leads with what was judged."""
    subject = instance_type.name
    if region != ANY:
        subject += f" in {region}"
    if precision != ANY:
        subject += f" {precision}"
    if tensor_parallel is not None and tensor_parallel > 1:
        subject += f" on {tensor_parallel} accelerators"
    if partition:
        subject += f" in slices {partition}"
    return Rejection(
        provider=instance_type.provider,
        region=region,
        instance_type=instance_type.name,
        precision=precision,
        tensor_parallel=tensor_parallel,
        code=shortfall.code,
        needed=shortfall.needed,
        available=shortfall.available,
        unit=shortfall.unit,
        message=f"{subject}: {shortfall.reason}",
        partition=partition,
    )


def reject_candidate(candidate: Candidate, shortfall: Shortfall, region: str = ANY) -> Rejection:
    """The rejection of what had passed as a candidate."""
    return reject(
        candidate.instance_type, shortfall, candidate.precision, candidate.tensor_parallel, region, candidate.partition
    )
