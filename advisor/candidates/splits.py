"""Splits of a model over accelerators: parallelism, whole accelerators, shares and slices."""

from advisor.catalog import Catalog
from advisor.catalog.partitions import Partition, share_of, slice_of
from advisor.catalog.values import Accelerator, EngineSupport, InstanceType
from advisor.models import Model
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


def divides_heads(model: Model, tensor_parallel: int) -> bool:
    """Whether attention can be split: every rank has the same number of heads, of key-value heads too."""
    if model.n_heads % tensor_parallel:
        return False
    return model.n_kv_heads % tensor_parallel == 0 or tensor_parallel % model.n_kv_heads == 0


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
    return Slot(accelerator, int(count)), tuple(_cut(accelerator, profile, int(count)) for profile in profiles)


def _cut(accelerator: Accelerator, partition: Partition, count: int) -> Slot:
    return Slot(slice_of(accelerator, partition), partition.per_accelerator * count, partition.name)
