"""Shares of an accelerator: slices that hardware cuts (MIG), and what one of them has of the whole."""

from collections.abc import Mapping
from pathlib import Path

from advisor.catalog.readers import Sources
from advisor.catalog.values import Accelerator, Provenance
from advisor.records import dataclass, replace
from advisor.tables import Record, read_records


@dataclass(frozen=True, slots=True)
class Partition:
    """One profile that an accelerator can be cut into, all slices alike and isolated from each other."""

    accelerator: str
    profile: str
    """As the vendor names it: 1g.10gb."""
    compute_share: float
    """Multiprocessors of a slice ÷ those of the uncut accelerator, some of which no slice gets."""
    bandwidth_share: float
    """Memory slices ÷ those of the accelerator: bandwidth is cut with the memory."""
    memory_gib: float
    per_accelerator: int
    """Most slices of the profile at a time."""
    providers: tuple[str, ...]
    """Those known to hand the accelerator over uncut, so that a machine's owner can cut it."""
    provenance: Provenance

    @property
    def name(self) -> str:
        """Name in plans: mig-1g.10gb."""
        return f"mig-{self.profile}"


def read_partitions(directory: Path, sources: Sources) -> Mapping[str, tuple[Partition, ...]]:
    """Profiles of each accelerator that can be cut, the least memory first."""
    found: dict[str, list[Partition]] = {}
    for row in read_records(directory / "partitions.csv"):
        partition = _partition(row, sources)
        found.setdefault(partition.accelerator, []).append(partition)
    return {name: tuple(sorted(profiles, key=_size)) for name, profiles in found.items()}


def share_of(accelerator: Accelerator, name: str, share: float) -> Accelerator:
    """Equal share of an accelerator: memory, bandwidth and arithmetic in the same proportion."""
    return _part(accelerator, name, (share, share), accelerator.memory_gib * share)


def slice_of(accelerator: Accelerator, partition: Partition) -> Accelerator:
    """One slice of an accelerator."""
    shares = (partition.compute_share, partition.bandwidth_share)
    return _part(accelerator, partition.name, shares, partition.memory_gib)


def _part(accelerator: Accelerator, name: str, shares: tuple[float, float], memory_gib: float) -> Accelerator:
    """Part under a name of its own: what was measured on the whole accelerator was not measured on a part."""
    compute, bandwidth = shares

    def part(whole: float | None) -> float | None:
        return None if whole is None else whole * compute

    return replace(
        accelerator,
        name=f"{accelerator.name} {name}",
        memory_gib=memory_gib,
        memory_bandwidth_gb_per_second=accelerator.memory_bandwidth_gb_per_second * bandwidth,
        fp32_tflops=part(accelerator.fp32_tflops),
        fp16_tflops=part(accelerator.fp16_tflops),
        fp8_tflops=part(accelerator.fp8_tflops),
        int8_tops=part(accelerator.int8_tops),
        fp4_tflops=part(accelerator.fp4_tflops),
        link_gb_per_second=part(accelerator.link_gb_per_second),
    )


def _partition(row: Record, sources: Sources) -> Partition:
    return sources.value(
        Partition,
        row,
        compute_share=row.number("multiprocessors") / row.number("of_multiprocessors"),
        bandwidth_share=row.number("memory_slices") / row.number("of_memory_slices"),
        providers=tuple(row.text("providers").split()),
    )


def _size(partition: Partition) -> tuple[float, float]:
    return partition.memory_gib, partition.compute_share
