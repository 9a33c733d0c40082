"""Requirements × catalog → candidates that can hold the model, or rejections with the two numbers compared."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from advisor.candidates.engines import engines_of, server_on
from advisor.candidates.values import (
    ANY,
    Candidate,
    Rejection,
    Slot,
    block_shortfall,
    divides_heads,
    is_expert_parallel,
    parallel_choices,
    parallelism_of,
    reject,
    reject_candidate,
    reject_undeployable,
    slots_of,
    split_shortfall,
)
from advisor.catalog import Catalog
from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.catalog.values import EngineSupport, InstanceType, Offer
from advisor.deployable import Shortfall, machine_shortfall, shortfall, speaks_https, target_shortfall
from advisor.models import AUTO, FitRequest, MemoryFit, Model, fit_memory, weight_bytes
from advisor.models.weights import loaded_by
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import BYTES_PER_GIB
from advisor.workload.kinds import LLAMA_CPP
from advisor.workload.scope import allows, allows_engine

__all__ = [
    "ANY", "Candidate", "Matches", "Rejection", "Shortfall", "divides_heads", "judge", "judge_hardware", "match",
    "parallel_choices", "reject", "reject_candidate", "reject_undeployable", "split_shortfall",
]  # fmt: skip

_REGIONS_NAMED = 8
_fit = lru_cache(maxsize=4096)(fit_memory)
"""Memory of a model on an accelerator, which stands in many instance types."""
_Lacking = Callable[[Candidate], Shortfall | None]
_Layout = tuple[int, str]
"""Accelerators that share each layer, and slices that each is cut into."""
_SCOPE = (
    "providers", "regions", "regions_left_open", "near_current", "accelerators", "instance_types", "purchase",
    "precisions",
)  # fmt: skip
"""Keys of a workload that say what is judged, and nothing of how."""


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Outcomes of one engine on a machine, in the precision that some of the workload's are cast to."""

    precisions: tuple[str, ...]
    """Names of the workload, in its order; empty: it is of the machine in any."""
    outcomes: tuple[Candidate | Rejection, ...]

    def within(self, precisions: Sequence[str]) -> "_Judged":
        """The same of that workload, its candidates standing for other precisions than before."""
        names = tuple(name for name in self.precisions if name in precisions)
        if names == self.precisions:
            return self
        outcomes = (
            outcome
            if isinstance(outcome, Rejection)
            else replace(outcome, stands_for=() if names == (outcome.precision,) else names)
            for outcome in self.outcomes
        )
        return _Judged(names, tuple(outcomes))

    def is_in(self, precisions: Sequence[str]) -> bool:
        """Whether it is of a workload with the first of the precisions that it was judged in."""
        return not self.precisions or self.precisions[0] in precisions


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The outcome for every instance type in scope."""

    candidates: tuple[Candidate, ...]
    rejections: tuple[Rejection, ...]
    offers: dict[tuple[str, str], tuple[Offer, ...]]
    """Offers in scope of each (provider, instance type)."""
    requirements: Requirements
    """Requirements that they were judged by."""
    judged: Mapping[tuple[str, str], tuple[_Judged, ...]]
    """Outcomes of each (provider, instance type) that is sold in scope."""


def match(requirements: Requirements, catalog: Catalog, wider: Matches | None = None) -> Matches:
    """Judge every instance type of the chosen providers.

    *wider*: matches of the same question with more allowed, whose outcomes stand where all that differs is which
    machines are in scope, or that more precisions follow those of the workload.
    """
    workload = requirements.workload
    judged_before = wider.judged if wider is not None and _judges_alike(wider.requirements, requirements) else {}
    judged: dict[tuple[str, str], tuple[_Judged, ...]] = {}
    offers = _offers_in_scope(requirements, catalog)
    every = catalog.offers_in(workload.providers, workload.regions, withdrawn=True)
    withdrawn = {(offer.provider, offer.instance_type) for offer in every if offer.withdrawn}
    candidates: list[Candidate] = []
    rejected: list[Rejection] = []
    named = () if workload.regions_left_open else workload.regions
    for (provider, name), instance_type in catalog.instance_types.items():
        if not allows(workload, instance_type):
            continue
        if (provider, name) not in offers:
            rejected.append(_not_sold(instance_type, named, was_sold=(provider, name) in withdrawn))
            continue
        before = judged_before.get((provider, name))
        if before is None:
            judged[provider, name] = tuple(_judged(instance_type, requirements, catalog))
        else:
            judged[provider, name] = tuple(
                part.within(workload.precisions) for part in before if part.is_in(workload.precisions)
            )
        for outcome in (outcome for part in judged[provider, name] for outcome in part.outcomes):
            if isinstance(outcome, Candidate):
                candidates.append(outcome)
            else:
                rejected.append(outcome)
    return Matches(tuple(candidates), tuple(rejected), offers, requirements, judged)


def _judges_alike(requirements: Requirements, other: Requirements) -> bool:
    """Whether a machine in scope of both is judged alike in the precisions of the other, which come first in both."""
    first = requirements.workload.precisions[: len(other.workload.precisions)]
    same = requirements.model is other.model and requirements.demand is other.demand
    if not same or first != other.workload.precisions:
        return False
    scope: dict[str, Any] = {name: getattr(other.workload, name) for name in _SCOPE}
    is_rest_alike = replace(requirements.workload, **scope) == other.workload
    return is_rest_alike and requirements.context_tokens == other.context_tokens


def judge(
    instance_type: InstanceType, requirements: Requirements, catalog: Catalog
) -> Iterator[Candidate | Rejection]:  # fmt: skip
    """Each precision × tensor parallelism, and each precision × slice, as a candidate or a rejection.

    A candidate can be deployed by generated code for one way of paying at least.
    """
    for part in _judged(instance_type, requirements, catalog):
        yield from part.outcomes


def _judged(instance_type: InstanceType, requirements: Requirements, catalog: Catalog) -> Iterator[_Judged]:
    """The same by engine and precision, with a rejection in place of each candidate that no code deploys.

    Like ones are told once, and nothing of an engine beside the preferred one, whose own outcome stands for the layout.
    """
    if (refused := machine_shortfall(instance_type, catalog)) is not None:
        yield _Judged((), (reject(instance_type, refused),))
        return
    refusals: set[tuple[str, str, int | None, bool]] = set()
    lacking = _lacking(requirements, catalog)
    for part in _judged_hardware(instance_type, requirements, catalog, lacking):
        outcomes: list[Candidate | Rejection] = []
        for outcome in part.outcomes:
            lacked = lacking(outcome) if isinstance(outcome, Candidate) else None
            if lacked is None or isinstance(outcome, Rejection):
                outcomes.append(outcome)
            elif not outcome.beside:
                rejection = reject_undeployable(outcome, lacked)
                key = (lacked.code, rejection.precision, rejection.tensor_parallel, bool(rejection.partition))
                outcomes += [] if key in refusals else [rejection]
                refusals.add(key)
        yield _Judged(part.precisions, tuple(outcomes))


def _lacking(requirements: Requirements, catalog: Catalog) -> _Lacking:
    """Shortfall of a candidate in generated code, or on the stated targets, looked up once for each."""
    model, targets = requirements.model, requirements.workload.targets
    told: dict[int, tuple[Candidate, Shortfall | None]] = {}

    def lacking(candidate: Candidate) -> Shortfall | None:
        if id(candidate) not in told:
            https = speaks_https(candidate.engine, candidate.engine_version, catalog)
            refused = (
                block_shortfall(model, candidate, catalog)
                or shortfall(candidate.setup, catalog)
                or target_shortfall(candidate.setup, targets, catalog, https=https)
            )
            told[id(candidate)] = candidate, refused
        return told[id(candidate)][1]

    return lacking


def judge_hardware(
    instance_type: InstanceType, requirements: Requirements, catalog: Catalog
) -> Iterator[Candidate | Rejection]:  # fmt: skip
    """The same of a machine that runs already: whatever started it, no generated code has to."""
    for part in _judged_hardware(instance_type, requirements, catalog, _lacking(requirements, catalog)):
        yield from part.outcomes


def _judged_hardware(
    instance_type: InstanceType, requirements: Requirements, catalog: Catalog, lacking: _Lacking
) -> Iterator[_Judged]:
    if instance_type.accelerator_count is None:
        reason = "how many accelerators it has is not known"
        unknown = Shortfall("unknown_hardware", "accelerators", "a known number", None, reason)
        yield _Judged((), (reject(instance_type, unknown),))
        return
    accelerator = catalog.accelerator(instance_type.accelerator)
    judge_on = partial(_on_slots, instance_type, slots_of(instance_type, accelerator, catalog), requirements, catalog)
    usual: dict[str, Iterable[Candidate | Rejection]] = {}
    for engine in engines_of(instance_type, accelerator, requirements, catalog):
        if isinstance(engine, Rejection):
            yield _Judged((engine.precision,), (engine,))
            continue
        if engine.usual is None:
            outcomes = usual[engine.precision] = tuple(judge_on(engine))
        else:
            preferred = usual.get(engine.precision) or judge_on(engine.usual)
            planned = tuple(each for each in preferred if isinstance(each, Candidate) and lacking(each) is None)
            usual[engine.precision] = planned
            skipped = _skipped(engine, planned, requirements, catalog)
            outcomes = tuple(_beside(judge_on(engine, skipped), planned, with_rejections=not engine.beside))
        if outcomes:
            yield _Judged(engine.stands_for or (engine.precision,), outcomes)


def _skipped(
    engine: EngineSupport, usual: Sequence[Candidate], requirements: Requirements, catalog: Catalog
) -> Collection[_Layout]:
    """Layouts of the usual engine in which another one that is allowed beside it cannot be the cheaper one.

    It can where the model was measured with it, and where it loads weights that the usual one makes of larger ones.
    """
    first, model = engine.usual, requirements.model
    if first is None or not usual or not allows_engine(requirements.workload, first.engine):
        return ()
    is_measured = (usual[0].accelerator.name, engine.engine) in requirements.measured_engines
    is_smaller = _is_made_while_loading(model, first, catalog) and not _is_made_while_loading(model, engine, catalog)
    return () if is_measured or is_smaller else [_layout(each) for each in usual]


def _beside(
    outcomes: Iterable[Candidate | Rejection], usual: Sequence[Candidate], *, with_rejections: bool
) -> Iterator[Candidate | Rejection]:
    """Outcomes of an engine, the candidates each with what the usual engine comes to in its layout."""
    preferred = {_layout(each): each for each in usual}
    for outcome in outcomes:
        if isinstance(outcome, Candidate):
            yield replace(outcome, usual=preferred.get(_layout(outcome)))
        elif with_rejections:
            yield outcome


def _layout(candidate: Candidate) -> _Layout:
    return candidate.tensor_parallel, candidate.partition


def _on_slots(
    instance_type: InstanceType,
    slots: tuple[Slot, tuple[Slot, ...]],
    requirements: Requirements,
    catalog: Catalog,
    engine: EngineSupport,
    skipped: Collection[_Layout] = (),
) -> Iterator[Candidate | Rejection]:
    """An engine on whole accelerators in each parallelism, and on slices where one accelerator holds the model.

    Layouts that are skipped are taken to hold it.
    """
    whole, slices = slots
    for tensor_parallel in parallelism_of(instance_type, engine, requirements):
        is_held = (tensor_parallel, "") in skipped
        if not is_held:
            outcome = _judge_one(instance_type, whole, engine, tensor_parallel, requirements, catalog)
            is_held = isinstance(outcome, Candidate)
            yield outcome
        if tensor_parallel == 1 and is_held:
            others = [slot for slot in slices if (1, slot.partition) not in skipped]
            outcomes = [_judge_one(instance_type, slot, engine, 1, requirements, catalog) for slot in others]
            # Where no slice holds the model, the largest is rejected for all of them.
            yield from [outcome for outcome in outcomes if isinstance(outcome, Candidate)] or outcomes[-1:]


def _judge_one(
    instance_type: InstanceType,
    slot: Slot,
    engine: EngineSupport,
    tensor_parallel: int,
    requirements: Requirements,
    catalog: Catalog,
) -> Candidate | Rejection:
    unit = requirements.demand.unit
    own = requirements.model
    # Servers of models that answer in one pass hold a copy of them on each accelerator.
    accelerator = replace(slot.accelerator, cores=1) if unit.is_one_pass else slot.accelerator
    unsplit = split_shortfall(own, accelerator, tensor_parallel, catalog)
    if unsplit is not None:
        return reject(instance_type, unsplit, engine.precision, tensor_parallel)
    served = own if unit.is_one_pass else loaded_by(own, engine.engine, engine.precision)
    memory = _fit(
        served,
        FitRequest(
            accelerator_memory_gib=accelerator.rank_memory_gib,
            accelerator_count=accelerator.ranks(tensor_parallel),
            tensor_parallel=accelerator.ranks(tensor_parallel),
            pipeline_parallel=1,
            precision=engine.precision,
            kv_precision=AUTO,
            engine=engine.engine,
            engine_version=engine.engine_version,
            context_tokens=requirements.context_tokens,
            concurrency=1,
            memory_utilization=requirements.workload.limits.memory_utilization,
            made_while_loading=_is_made_while_loading(requirements.model, engine, catalog),
            accelerator=slot.accelerator.name,
        ),
    )
    published_gib = _converted_gib(requirements.model, engine, catalog)
    if published_gib:
        made_gib = weight_bytes(served, engine.precision) / BYTES_PER_GIB
        memory = replace(memory, checkpoint_gib=made_gib + published_gib)
    is_contiguous = catalog.deployment.is_contiguous(engine.engine) and not unit.is_one_pass
    if not memory.fits:
        lacking = _adapter_shortfall(memory, requirements) or _memory_shortfall(
            memory, requirements.context_tokens, is_contiguous=is_contiguous
        )
        return reject(instance_type, lacking, engine.precision, tensor_parallel, partition=slot.partition)
    server = None if unit.is_one_pass else catalog.token_server(engine.engine, slot.accelerator.vendor)
    candidate = Candidate(
        instance_type=instance_type,
        accelerator=slot.accelerator,
        precision=engine.precision,
        compute_precision=engine.compute_precision,
        engine=engine.engine,
        engine_version=engine.engine_version,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=1,
        replicas_per_instance=slot.per_instance // tensor_parallel,
        memory=memory,
        partition=slot.partition,
        max_sequences=_most_sequences(memory, requirements.model, server, is_contiguous=is_contiguous),
        batcher=server_on(
            (slot.accelerator, instance_type), requirements.model, engine.precision, catalog, engine.engine
        )
        if unit.is_one_pass
        else None,
        max_batched_tokens=None if server is None else server.max_batch_tokens,
        stands_for=engine.stands_for,
        beside=engine.beside,
        converted_gib=published_gib,
    )
    return replace(candidate, expert_parallel=True) if is_expert_parallel(own, candidate, catalog) else candidate


def _most_sequences(
    memory: MemoryFit, model: Model, server: OnePassEngine | None, *, is_contiguous: bool
) -> int | None:  # fmt: skip
    """Requests at a time: those with own ranges, engine or adapter slots; None: as the cache holds."""
    held = memory.max_concurrency if is_contiguous else None
    slots = None if server is None else server.max_batch_items
    adapted = None if model.adapters is None else model.adapters.most_sequences
    return min((most for most in (held, slots, adapted) if most is not None), default=None)


def _is_made_while_loading(model: Model, engine: EngineSupport, catalog: Catalog) -> bool:
    """Whether the engine quantises published weights; also those that only the user can name.

    llama.cpp loads a file that has been quantised before.
    """
    if model.checkpoint.precision == engine.precision or engine.engine == LLAMA_CPP:
        return False
    weights = catalog.precisions.loaded(model.name, engine.precision, engine.engine)
    if weights is not None:
        return weights.made_while_loading
    return catalog.precisions.is_made_while_loading(engine.precision, engine.engine)


def _converted_gib(model: Model, engine: EngineSupport, catalog: Catalog) -> float:
    """Published weights that a server makes its GGUF of, which both lie on the disk; 0 where it makes none."""
    is_of_hub = engine.engine == LLAMA_CPP and model.file is None
    if not is_of_hub or catalog.precisions.loaded(model.name, engine.precision, engine.engine) is None:
        return 0.0
    return weight_bytes(model, model.checkpoint.precision) / BYTES_PER_GIB


def _adapter_shortfall(memory: MemoryFit, requirements: Requirements) -> Shortfall | None:
    """Adapters whose slots leave no room for the KV cache of a request; None where it would not fit without them."""
    adapters = requirements.model.adapters
    left = memory.usable_gib - memory.needed_gib + memory.adapters_gib
    if adapters is None or left < 0 or memory.needed_gib <= memory.usable_gib:
        return None
    reason = (
        f"slots for {adapters.slots:,} adapters take {memory.adapters_gib:.1f} GiB, {left:.1f} GiB are left beside "
        f"weights and the KV cache of {requirements.context_tokens:,} tokens; fewer adapters.active take less"
    )
    return Shortfall("adapters_memory", "GiB", memory.adapters_gib, left, reason)


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
