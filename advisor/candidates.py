"""Requirements × catalog → candidates that can hold the model, or rejections with the two numbers compared.

Hardware is judged once for each instance type, precision and tensor parallelism, whatever the region, and so is
whether generated code can start it (:mod:`advisor.deployable`); prices come later (:mod:`advisor.plan`), where a region
plays its part.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from advisor.catalog import Catalog
from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.catalog.partitions import Partition, share_of, slice_of
from advisor.catalog.values import Accelerator, EngineSupport, InstanceType, Offer, Support
from advisor.demand.values import Unit
from advisor.deployable import PURCHASE, TARGETS, Setup, Shortfall, machine_shortfall, shortfall
from advisor.models import AUTO, FitRequest, MemoryFit, Model, fit_memory
from advisor.requirements import Requirements
from advisor.workload.scope import allows, allows_engine, engine_names, serving_engines
from advisor.workload.values import Workload

__all__ = [
    "ANY",
    "Candidate",
    "Matches",
    "Rejection",
    "Shortfall",
    "divides_heads",
    "judge",
    "judge_hardware",
    "match",
    "parallel_choices",
    "reject",
    "reject_candidate",
    "reject_undeployable",
]

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
    max_sequences: int | None = None
    """Requests that an engine without paging has room for, each of the longest length; None: as the cache holds."""
    batcher: OnePassEngine | None = None
    """Server that batches requests to a model that answers in one pass; None: it answers token by token."""
    stands_for: tuple[str, ...] = ()
    """Precisions of the workload that are served in its own; empty: its own alone."""

    def is_in(self, precisions: Collection[str]) -> bool:
        """Whether it is what one of these precisions of a workload is served in."""
        return any(precision in precisions for precision in self.stands_for or (self.precision,))

    def rank_in(self, precisions: Sequence[str]) -> int:
        """Place of the first of a workload's precisions that it serves, from 0."""
        served = self.stands_for or (self.precision,)
        return min(at for at, precision in enumerate(precisions) if precision in served)

    @property
    def setup(self) -> Setup:
        """The machine as it would be deployed."""
        return Setup(
            provider=self.instance_type.provider,
            instance_type=self.instance_type.name,
            accelerator=self.instance_type.accelerator,
            partition=self.partition,
            replicas_per_instance=self.replicas_per_instance,
            precision=self.precision,
            engine=self.engine,
            checkpoint_gib=self.memory.checkpoint_gib,
            loading_gib=self.memory.loading_gib,
            accelerator_gib=self.accelerator.memory_gib,
        )


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
    """Slot that a rank of a replica runs on."""

    accelerator: Accelerator
    per_instance: int
    partition: str = ""


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
    every = catalog.offers_in(workload.providers, workload.regions, withdrawn=True)
    withdrawn = {(offer.provider, offer.instance_type) for offer in every if offer.withdrawn}
    candidates: list[Candidate] = []
    rejected: list[Rejection] = []
    for (provider, name), instance_type in catalog.instance_types.items():
        if not allows(workload, instance_type):
            continue
        if (provider, name) not in offers:
            rejected.append(_not_sold(instance_type, workload.regions, was_sold=(provider, name) in withdrawn))
            continue
        for outcome in judge(instance_type, requirements, catalog):
            if isinstance(outcome, Candidate):
                candidates.append(outcome)
            else:
                rejected.append(outcome)
    return Matches(tuple(candidates), tuple(rejected), offers)


def judge(
    instance_type: InstanceType, requirements: Requirements, catalog: Catalog
) -> Iterator[Candidate | Rejection]:  # fmt: skip
    """Each precision × tensor parallelism, and each precision × slice, as a candidate or a rejection.

    A candidate can be deployed by generated code for one way of paying at least.
    """
    if (refused := machine_shortfall(instance_type, catalog)) is not None:
        yield reject(instance_type, refused)
        return
    refusals: set[tuple[str, str, int | None, bool]] = set()
    for outcome in judge_hardware(instance_type, requirements, catalog):
        found = shortfall(outcome.setup, catalog) if isinstance(outcome, Candidate) else None
        if found is None or isinstance(outcome, Rejection):
            yield outcome
            continue
        rejection = reject_undeployable(outcome, found)
        key = (found.code, rejection.precision, rejection.tensor_parallel, bool(rejection.partition))
        if key not in refusals:
            yield rejection
        refusals.add(key)


def judge_hardware(
    instance_type: InstanceType, requirements: Requirements, catalog: Catalog
) -> Iterator[Candidate | Rejection]:  # fmt: skip
    """The same of a machine that runs already: whatever started it, no generated code has to."""
    if instance_type.accelerator_count is None:
        reason = "how many accelerators it has is not known"
        yield reject(instance_type, Shortfall("unknown_hardware", "accelerators", "a known number", None, reason))
        return
    accelerator = catalog.accelerator(instance_type.accelerator)
    whole, slices = _seats(instance_type, accelerator, catalog)
    for engine in _engines(instance_type, accelerator, requirements, catalog):
        if isinstance(engine, Rejection):
            yield engine
            continue
        for tensor_parallel in _parallel_choices(instance_type, requirements):
            outcome = _judge_one(instance_type, whole, engine, tensor_parallel, requirements, catalog)
            yield outcome
            if tensor_parallel == 1 and isinstance(outcome, Candidate):
                yield from _judge_slices(instance_type, slices, engine, requirements, catalog)


def _engines(
    instance_type: InstanceType, accelerator: Accelerator, requirements: Requirements, catalog: Catalog
) -> Iterator[EngineSupport | Rejection]:
    """The engine of each of the workload's precisions, or why none serves it; precisions cast to the same are one."""
    asked = requirements.workload.precisions
    engines = [_engine(instance_type, accelerator, precision, requirements, catalog) for precision in asked]
    stands_for: dict[tuple[str, str], tuple[str, ...]] = {}
    for precision, engine in zip(asked, engines, strict=True):
        if not isinstance(engine, Rejection):
            key = (engine.engine, engine.precision)
            stands_for[key] = (*stands_for.get(key, ()), precision)
    for engine in engines:
        if isinstance(engine, Rejection):
            yield engine
        elif cast := stands_for.pop((engine.engine, engine.precision), ()):
            yield engine if cast == (engine.precision,) else replace(engine, stands_for=cast)


def reject_undeployable(candidate: Candidate, found: Shortfall, region: str = ANY) -> Rejection:
    """The rejection of what generated code cannot start: of the whole machine where its layout plays no part."""
    if found.unit in (TARGETS, PURCHASE):
        partition = candidate.partition if found.unit == TARGETS else ""
        return reject(candidate.instance_type, found, region=region, partition=partition)
    return reject_candidate(candidate, found, region)


def parallel_choices(accelerator_count: float) -> tuple[int, ...]:
    """Tensor parallelism worth trying: powers of two up to the accelerators, and all of them."""
    whole = max(int(accelerator_count), 1)
    powers = [1 << power for power in range(whole.bit_length()) if 1 << power <= whole]
    return tuple(dict.fromkeys([*powers, whole]))


def _parallel_choices(instance_type: InstanceType, requirements: Requirements) -> tuple[int, ...]:
    """Tensor parallelism worth trying; models that answer in one pass have a copy on each accelerator."""
    return (1,) if requirements.demand.unit.is_one_pass else parallel_choices(instance_type.accelerator_count or 0.0)


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
    profiles = [
        partition for partition in catalog.partitions(accelerator.name) if instance_type.provider in partition.providers
    ]
    return _Seat(accelerator, int(count)), tuple(_cut(accelerator, profile, int(count)) for profile in profiles)


def _cut(accelerator: Accelerator, partition: Partition, count: int) -> _Seat:
    return _Seat(slice_of(accelerator, partition), partition.per_accelerator * count, partition.name)


def _judge_slices(
    instance_type: InstanceType,
    slices: tuple[_Seat, ...],
    engine: EngineSupport,
    requirements: Requirements,
    catalog: Catalog,
) -> Iterator[Candidate | Rejection]:
    """The slices that hold what one accelerator holds; where none does, the largest is rejected for all of them."""
    outcomes = [_judge_one(instance_type, seat, engine, 1, requirements, catalog) for seat in slices]
    fitting = [outcome for outcome in outcomes if isinstance(outcome, Candidate)]
    yield from fitting or outcomes[-1:]


def _judge_one(
    instance_type: InstanceType,
    seat: _Seat,
    engine: EngineSupport,
    tensor_parallel: int,
    requirements: Requirements,
    catalog: Catalog,
) -> Candidate | Rejection:
    if tensor_parallel > 1 and not divides_heads(requirements.model, tensor_parallel):
        heads = requirements.model.n_heads
        reason = f"{heads} attention heads cannot be split over {tensor_parallel} accelerators"
        unsplit = Shortfall("parallelism", "attention heads", tensor_parallel, heads, reason)
        return reject(instance_type, unsplit, engine.precision, tensor_parallel)
    memory = _fit(
        requirements.model,
        FitRequest(
            accelerator_memory_gib=seat.accelerator.memory_gib,
            accelerator_count=tensor_parallel,
            tensor_parallel=tensor_parallel,
            pipeline_parallel=1,
            precision=engine.precision,
            kv_precision=AUTO,
            engine=engine.engine,
            engine_version=engine.engine_version,
            context_tokens=requirements.context_tokens,
            concurrency=1,
            memory_utilization=requirements.workload.limits.memory_utilization,
            made_while_loading=_is_made_while_loading(requirements.model, engine, catalog),
            accelerator=seat.accelerator.name,
        ),
    )
    is_contiguous = catalog.deployment.is_contiguous(engine.engine)
    if not memory.fits:
        found = _memory_shortfall(memory, requirements.context_tokens, is_contiguous=is_contiguous)
        return reject(instance_type, found, engine.precision, tensor_parallel, partition=seat.partition)
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
        max_sequences=memory.max_concurrency if is_contiguous else None,
        batcher=catalog.one_pass_engine(engine.engine, seat.accelerator.vendor),
        stands_for=engine.stands_for,
    )


def _is_made_while_loading(model: Model, engine: EngineSupport, catalog: Catalog) -> bool:
    """Whether the engine quantises published weights; also those that only the user can name."""
    if model.checkpoint.precision == engine.precision:
        return False
    weights = catalog.loaded_weights(model.name, engine.precision, engine.engine)
    if weights is not None:
        return weights.made_while_loading
    return catalog.is_made_while_loading(engine.precision, engine.engine)


def _memory_shortfall(memory: MemoryFit, context_tokens: int, *, is_contiguous: bool) -> Shortfall:
    """Shortfall of memory: weights and one request, or the range that an engine without paging reserves for it."""
    beside_weights = memory.kv_cache_gib_available
    if not is_contiguous or beside_weights <= 0:
        return Shortfall("memory", "GiB", memory.needed_gib, memory.usable_gib, memory.reason)
    one_sequence = memory.needed_gib - memory.usable_gib + beside_weights
    reason = (
        f"the engine reserves {one_sequence:.1f} GiB for each sequence ({context_tokens:,} tokens without paging), "
        f"{beside_weights:.1f} GiB are left beside the weights"
    )
    return Shortfall("contiguous_kv", "GiB", one_sequence, beside_weights, reason)


@lru_cache(maxsize=4096)
def _fit(model: Model, request: FitRequest) -> MemoryFit:
    """The same accelerator stands in many instance types."""
    return fit_memory(model, request)


def _engine(
    instance_type: InstanceType, accelerator: Accelerator, precision: str, requirements: Requirements, catalog: Catalog
) -> EngineSupport | Rejection:
    """The first allowed engine that serves the precision and the model on the accelerator, or why none does."""
    model, workload = requirements.model, requirements.workload
    if requirements.demand.unit.is_one_pass:
        return _one_pass_engine(instance_type, accelerator, precision, requirements, catalog)
    rows = catalog.engine_support(accelerator.name, precision)
    serving = serving_engines(rows)
    if not serving:
        return reject(instance_type, _unserved(rows, accelerator, precision), precision)
    allowed = [row for row in serving if allows_engine(workload, row.engine)]
    if not allowed:
        return reject(instance_type, _engine_excluded(workload, engine_names(serving)), precision)
    for row in allowed:
        status = catalog.model_status(row.engine, accelerator.name, model.name, model.family)
        if status in (None, "supported", "validated"):
            return row
    reason = f"{allowed[0].engine} on {accelerator.name} does not list {model.name} as working ({status})"
    return reject(instance_type, Shortfall("model_unsupported", "support", model.name, status, reason), precision)


def _engine_excluded(workload: Workload, engines: Sequence[str]) -> Shortfall:
    needed = ", ".join(workload.engines) or f"other than {', '.join(workload.exclude.engines)}"
    available = ", ".join(engines)
    reason = f"it is served by {available}, which the workload leaves out"
    return Shortfall("engine_excluded", "engines", needed, available, reason)


def _one_pass_engine(
    instance_type: InstanceType, accelerator: Accelerator, precision: str, requirements: Requirements, catalog: Catalog
) -> EngineSupport | Rejection:
    """The first allowed server of a model that answers in one pass, or why there is none."""
    unit, family = requirements.demand.unit, requirements.model.family
    serving = [
        server
        for server in catalog.one_pass_engines
        if server.serves(unit, family, precision) and server.runs_on(instance_type, accelerator)
    ]
    if not serving:
        reason = f"{accelerator.name}: no server of {unit} in {precision} is known for it"
        return reject(instance_type, Shortfall("precision_unsupported", "support", precision, None, reason), precision)
    # What generated code starts comes first; the rest is planned where no code is generated anyway.
    allowed = [server for server in serving if allows_engine(requirements.workload, server.engine)]
    startable = [server for server in allowed if server.release or not _is_generated(instance_type, unit, catalog)]
    startable.sort(key=lambda server: _is_crowded(server, instance_type, catalog))
    if not allowed:
        names = tuple(server.engine for server in serving)
        return reject(instance_type, _engine_excluded(requirements.workload, names), precision)
    if not startable:
        return reject(instance_type, _without_container(allowed, accelerator, unit, catalog), precision)
    return startable[0].support(accelerator, precision)


def _is_generated(instance_type: InstanceType, unit: Unit, catalog: Catalog) -> bool:
    """Whether code is generated for servers of a unit on some machines of a provider."""
    return instance_type.provider in catalog.deployment.providers and unit in catalog.generated_units


def _is_crowded(server: OnePassEngine, instance_type: InstanceType, catalog: Catalog) -> bool:
    """Whether a machine has more accelerators than the server has replicas on one."""
    most = catalog.deployment.number(server.engine, "replicas_per_machine")
    return most is not None and (instance_type.accelerator_count or 0.0) > most


def _without_container(
    servers: Sequence[OnePassEngine], accelerator: Accelerator, unit: Unit, catalog: Catalog
) -> Shortfall:  # fmt: skip
    names = " and ".join(server.engine for server in servers)
    written = {server.engine for server in catalog.one_pass_engines if server.release and unit in server.units}
    reason = f"{accelerator.name}: no code is generated for {names}, which would serve {unit} there"
    return Shortfall("not_generated", "engine", " or ".join(sorted(written)), names, reason)


def _unserved(rows: Sequence[EngineSupport], accelerator: Accelerator, precision: str) -> Shortfall:
    """Why no engine is known to serve a precision: all refuse it, or nobody says of one of them."""
    untested = next((row for row in rows if row.support is Support.UNTESTED), None)
    if rows and untested is None:
        detail = rows[0].detail or "no engine of the catalog serves it"
        return Shortfall(
            "precision_unsupported", "support", precision, rows[0].support.value, f"{accelerator.name}: {detail}"
        )
    engine = f"{untested.engine} {untested.engine_version}".strip() if untested else "an engine of the catalog"
    reason = f"{accelerator.name}: no document or measurement says whether {engine} serves it"
    return Shortfall("precision_untested", "support", precision, Support.UNTESTED.value, reason)


def _offers_in_scope(requirements: Requirements, catalog: Catalog) -> dict[tuple[str, str], tuple[Offer, ...]]:
    workload = requirements.workload
    grouped: dict[tuple[str, str], list[Offer]] = {}
    for offer in catalog.offers_in(workload.providers, workload.regions):
        grouped.setdefault((offer.provider, offer.instance_type), []).append(offer)
    machines = catalog.instance_types
    return {
        key: tuple(offers) for key, offers in grouped.items() if key not in machines or allows(workload, machines[key])
    }


def _not_sold(instance_type: InstanceType, regions: tuple[str, ...], *, was_sold: bool) -> Rejection:
    wanted = ", ".join(regions) if len(regions) <= _REGIONS_NAMED else f"any of {len(regions)} regions"
    wanted = wanted or "any region"
    reason = f"not sold in {wanted} any more" if was_sold else f"not known to be sold in {wanted}"
    return reject(instance_type, Shortfall("not_sold", "regions", wanted, 0, reason))


def reject(
    instance_type: InstanceType,
    found: Shortfall,
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
        code=found.code,
        needed=found.needed,
        available=found.available,
        unit=found.unit,
        message=f"{subject}: {found.reason}",
        partition=partition,
    )


def reject_candidate(candidate: Candidate, found: Shortfall, region: str = ANY) -> Rejection:
    """The rejection of what had passed as a candidate."""
    return reject(
        candidate.instance_type, found, candidate.precision, candidate.tensor_parallel, region, candidate.partition
    )
