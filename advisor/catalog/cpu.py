"""Machines without an accelerator: what they are, and the flags that decide how fast their processors infer."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from advisor.catalog.readers import Sources
from advisor.catalog.values import Provenance
from advisor.records import dataclass
from advisor.tables import OptionalText, Record, read_records

SEPARATOR = ";"
Key = tuple[str, str]
"""Provider and name of a machine."""


@dataclass(frozen=True, slots=True)
class Processor:
    """Processor that runs the virtual processors of a machine. None is unknown."""

    name: str
    """Maker, model and generation, for people."""
    accelerator: OptionalText
    """Key of the accelerator table, which has its peaks; "" where that has none of this processor."""
    socket_cores: int | None
    """Cores of one socket, as sold to customers."""
    flags: tuple[str, ...]
    """Instruction sets for inference, sorted: AMX_BF16, AVX512_BF16, SVE2, VNNI, ..."""
    provenance: Provenance
    """Of name and flags."""


@dataclass(frozen=True, slots=True)
class CpuInstance:
    """A machine without an accelerator that a provider sells. None is unknown."""

    provider: str
    name: str
    vcpus: int
    cores: int | None
    """Physical cores."""
    memory_gib: float
    cpu_architecture: str
    """x86_64 or arm64."""
    network_gbit_per_second: float | None
    processor: Processor
    provenance: Provenance
    """Of the shape."""

    @property
    def sockets(self) -> float | None:
        """Sockets to four digits, a fraction for a part of one; None where cores or those of a socket are unknown."""
        if self.cores is None or self.processor.socket_cores is None:
            return None
        return round(self.cores / self.processor.socket_cores, 4)


def read_cpu_instances(directory: Path, sources: Sources) -> dict[Key, CpuInstance]:
    """Machines by provider and name.

    Facts that may only be passed on under CC-BY-SA-4.0 are in files of their own; without them their machines are
    unknown.

    Raises:
        InputError: a table cannot be read, or a machine has no processor.
    """
    processors = {key: processor for row in _rows(directory, "cpu_processors") for key, processor in _of(row, sources)}
    networks = dict(_networks(directory))
    machines = (_machine(row, processors, networks, sources) for row in _rows(directory, "cpu_instances"))
    return {(machine.provider, machine.name): machine for machine in machines}


def _rows(directory: Path, table: str) -> Iterator[Record]:
    for name in (f"{table}.csv", f"{table}_cc_by_sa.csv"):
        yield from read_records(directory / name)


def _of(row: Record, sources: Sources) -> Iterator[tuple[Key, Processor]]:
    """The processor of a row, by each machine that has it."""
    processor = sources.value(Processor, row, name=row.text("processor"), flags=row.words("cpu_flags"))
    for name in row.text("instance_types").split(SEPARATOR):
        yield (row.text("provider"), name), processor


def _networks(directory: Path) -> Iterator[tuple[Key, float]]:
    """Network rate of each machine in Gbit/s, of those whose provider states one."""
    for row in read_records(directory / "cpu_networks.csv"):
        for name in row.text("instance_types").split(SEPARATOR):
            yield (row.text("provider"), name), row.number("network_gbit_per_second")


def _machine(
    row: Record, processors: Mapping[Key, Processor], networks: Mapping[Key, float], sources: Sources
) -> CpuInstance:  # fmt: skip
    key = row.text("provider"), row.text("name")
    if key not in processors:
        row.fail("name", f"'{key[1]}' has no processor in cpu_processors.csv")
    return sources.value(CpuInstance, row, processor=processors[key], network_gbit_per_second=networks.get(key))
