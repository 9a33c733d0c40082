"""Candidates, rejections, and the splits of a machine's accelerators among replicas."""

from collections.abc import Collection, Sequence

from advisor.catalog import Catalog
from advisor.catalog.catalog import share_of, slice_of
from advisor.catalog.one_pass_engines import OnePassEngine
from advisor.catalog.values import Accelerator, EngineSupport, InstanceType
from advisor.demand.values import Demand
from advisor.deployable import PURCHASE, TARGETS, Setup, Shortfall
from advisor.models import MemoryFit, Model
from advisor.models.weights import SplitWidth, split_block
from advisor.records import dataclass
from advisor.requirements import Requirements
from advisor.workload.kinds import LLAMA_CPP


@dataclass(frozen=True, slots=True)
class Slot:
    """Slot that a rank of a replica runs on."""

    accelerator: Accelerator
    per_instance: int
    partition: str = ""


def parallel_choices(accelerator_count: float) -> tuple[int, ...]:
    """Tensor parallelism worth trying: powers of two up to the accelerators, and all of them."""
    whole = max(int(accelerator_count), 1)
    powers = [1 << power for power in range(whole.bit_length()) if 1 << power <= whole]
    return tuple(dict.fromkeys([*powers, whole]))


def parallelism_of(
    instance_type: InstanceType, engine: EngineSupport, requirements: Requirements
) -> tuple[int, ...]:  # fmt: skip
    """Tensor parallelism worth trying; models that answer in one pass, and GGUF, have a copy on each accelerator."""
    is_copied = requirements.demand.unit.is_one_pass or engine.engine == LLAMA_CPP
    return (1,) if is_copied else parallel_choices(instance_type.accelerator_count or 0.0)


def split_shortfall(
    model: Model, accelerator: Accelerator, tensor_parallel: int, catalog: Catalog
) -> Shortfall | None:  # fmt: skip
    """Why a model cannot be split over so many accelerators; None where it can.

    The degree, in ranks of the serving software, has to be among those that its runtime supports, where they are
    stated, and every rank has the same number of heads, of key-value heads too.
    """
    degree = accelerator.ranks(tensor_parallel)
    supported = tuple(map(int, catalog.deployment.words(accelerator.name, "parallel_degrees")))
    ranks = f"{degree} cores" if accelerator.cores > 1 else f"{degree} accelerators"
    if supported and degree not in supported:
        listed = ", ".join(map(str, supported))
        reason = f"tensor parallelism over {ranks} is not supported on {accelerator.name}, which has {listed}"
        largest = max((each for each in supported if each < degree), default=supported[0])
        return Shortfall("parallel_degree", "TP", degree, largest, reason)
    if degree == 1 or divides_heads(model, degree):
        return None
    reason = f"{model.n_heads} attention heads cannot be split over {ranks}"
    return Shortfall("parallelism", "attention heads", degree, model.n_heads, reason)


def divides_heads(model: Model, degree: int) -> bool:
    """Whether attention can be split: every rank has the same number of heads, of key-value heads too."""
    if model.n_heads % degree:
        return False
    return model.n_kv_heads % degree == 0 or degree % model.n_kv_heads == 0


def slots_of(
    instance_type: InstanceType, accelerator: Accelerator, catalog: Catalog
) -> tuple[Slot, tuple[Slot, ...]]:  # fmt: skip
    """The accelerators (or the share of one) of an instance type as they come, and the slices they can be cut into."""
    count = instance_type.accelerator_count or 0.0
    if count < 1:
        return Slot(share_of(accelerator, f"share {count:g}", count), 1), ()
    profiles = [
        partition for partition in catalog.partitions(accelerator.name) if instance_type.provider in partition.providers
    ]
    slices = (
        Slot(slice_of(accelerator, profile), profile.per_accelerator * int(count), profile.name) for profile in profiles
    )
    return Slot(accelerator, int(count)), tuple(slices)


ANY = "*"
"""In a rejection: whatever the region or precision."""


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
    """Requests that an engine without paging has room for, each of the longest length, or that have slots, or slots for
    their adapters; None: as the cache holds."""
    max_batched_tokens: int | None = None
    """Tokens of a step, prompts and answers together, as code starts the engine; None: the engine's own."""
    batcher: OnePassEngine | None = None
    """Server that batches requests to a model that answers in one pass; None: it answers token by token."""
    stands_for: tuple[str, ...] = ()
    """Precisions of the workload that are served in its own; empty: its own alone."""
    expert_parallel: bool = False
    """Ranks hold whole experts in place of a part of each."""
    converted_gib: float = 0.0
    """Published weights that the server makes a GGUF of at its first start, part of the checkpoint; 0 for none."""
    usual: "Candidate | None" = None
    """The same layout with the preferred engine; None: this is it, or that one cannot be planned so."""
    beside: str = ""
    """Preferred one of the engines that the workload allows; "": this is it."""

    def is_in(self, precisions: Collection[str]) -> bool:
        """Whether it is what one of these precisions of a workload is served in."""
        return any(precision in precisions for precision in self.stands_for or (self.precision,))

    def rank_in(self, precisions: Sequence[str]) -> int:
        """Place of the first of a workload's precisions that it serves, from 0."""
        served = self.stands_for or (self.precision,)
        return min(at for at, precision in enumerate(precisions) if precision in served)

    def http_requests(self, demand: Demand) -> float:
        """HTTP requests that a call of a demand is sent as: 1, or its mean items, each by itself."""
        items = demand.output_tokens
        is_split = self.batcher is not None and demand.unit.is_one_pass and self.batcher.splits(items.max)
        return items.mean if is_split else 1.0

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
            converted_gib=self.converted_gib,
            loading_gib=self.memory.loading_gib,
            rank_gib=self.accelerator.rank_memory_gib,
            adapters_host_gib=self.memory.adapters_host_gib * self.replicas_per_instance,
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


def block_shortfall(model: Model, candidate: Candidate, catalog: Catalog) -> Shortfall | None:
    """Why an engine refuses the weights of a model in blocks, which its ranks would cut; None where none is cut."""
    block = _whole_block(model, candidate, catalog)
    ranks = 1 if candidate.expert_parallel else _expert_ranks(candidate, catalog)
    split = _split_block(model, candidate, block, ranks)
    if split is None:
        return None
    share = split.width / split.ranks
    reason = (
        f"layers of width {split.width:,} come to {share:,.6g} on each of {split.ranks} accelerators, and "
        f"{candidate.engine} splits {candidate.precision} weights with a scale for each block of {block} × {block} "
        f"into multiples of {block} alone"
    )
    return Shortfall("parallelism", "width of a rank", block, share, reason)


def is_expert_parallel(model: Model, candidate: Candidate, catalog: Catalog) -> bool:
    """Whether ranks have to hold whole experts, which they would else cut blocks of, and can.

    Every rank then has the same number of them. Engines cut experts that have LoRA adapters.
    """
    block = _whole_block(model, candidate, catalog)
    if not block:
        return False
    ranks = _expert_ranks(candidate, catalog)
    is_cut = _split_block(model, candidate, block, ranks) is not None
    is_whole = _split_block(model, candidate, block, 1) is None
    networks = (layer.feed_forward for layer, _ in model.layers)
    is_even = all(network is None or network.experts % ranks == 0 for network in networks)
    return is_cut and is_whole and is_even and model.adapters is None


def _split_block(model: Model, candidate: Candidate, block: int, expert_ranks: int) -> SplitWidth | None:
    return split_block(model, block, candidate.accelerator.ranks(candidate.tensor_parallel), expert_ranks)


def _whole_block(model: Model, candidate: Candidate, catalog: Catalog) -> int:
    """Side of the blocks of weights that an engine keeps whole; 0 where it cuts them, or has none."""
    precisions, precision, engine = catalog.precisions, candidate.precision, candidate.engine
    if precisions.cuts_blocks(engine):
        return 0
    block = model.checkpoint.block if precision == model.checkpoint.precision else 0
    loaded = precisions.loaded(model.name, precision, engine)
    return block or (0 if loaded is None else loaded.block)


def _expert_ranks(candidate: Candidate, catalog: Catalog) -> int:
    """Ranks that an expert is divided over: those of a replica, or of all replicas of an instance on one server."""
    ranks = candidate.accelerator.ranks(candidate.tensor_parallel)
    is_shared = catalog.precisions.shares_experts(candidate.engine) and not candidate.partition
    return ranks * candidate.replicas_per_instance if is_shared else ranks


def reject_undeployable(candidate: Candidate, lacking: Shortfall, region: str = ANY) -> Rejection:
    """The rejection of what generated code cannot start: of the whole machine where its layout plays no part."""
    if lacking.unit in (TARGETS, PURCHASE):
        partition = candidate.partition if lacking.unit == TARGETS else ""
        return reject(candidate.instance_type, lacking, region=region, partition=partition)
    return reject_candidate(candidate, lacking, region)


def reject(
    instance_type: InstanceType,
    lacking: Shortfall,
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
        code=lacking.code,
        needed=lacking.needed,
        available=lacking.available,
        unit=lacking.unit,
        message=f"{subject}: {lacking.reason}",
        partition=partition,
    )


def reject_candidate(candidate: Candidate, lacking: Shortfall, region: str = ANY) -> Rejection:
    """The rejection of what had passed as a candidate."""
    return reject(
        candidate.instance_type, lacking, candidate.precision, candidate.tensor_parallel, region, candidate.partition
    )
