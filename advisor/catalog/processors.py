"""Processors as accelerators: machines without one, for models that run on their cores.

A machine's cores are one accelerator, whose peak is ``cores × clock × FLOP per cycle`` of the generation's widest
units (AMX, AVX-512, SVE), and whose memory is that of the machine. Of machines with the same processor, network and as
many cores the cheapest of each region is enough: they are equally fast.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from advisor.catalog.catalog import Catalog, CpuInstance
from advisor.catalog.values import Accelerator, InstanceType, Offer, Purchase
from advisor.errors import InputError
from advisor.records import dataclass
from advisor.tables import read_records

CPU = "cpu"
"""Vendor of every processor."""
_THREADS_PER_CORE = 2
"""Of x86 machines whose cores are not stated."""
_LEAST_VCPUS, MOST_VCPUS = 4, 64
"""Smaller machines have no room beside the engine; on larger ones the cores of one model wait for each other."""
_TERA = 1e12
_GIGA = 1e9

_Kind = tuple[str, str, int, float | None]
"""Provider, processor, cores and network: machines alike in these are equally fast."""


@dataclass(frozen=True, slots=True)
class ProcessorPeak:
    """Units of one core of a generation."""

    generation: str
    all_core_ghz: float
    fp32_flop_per_cycle: float
    bf16_flop_per_cycle: float | None
    """None: not in hardware."""
    memory_gb_per_second_per_core: float

    def tflops(self, cores: int, flop_per_cycle: float) -> float:
        """Peak of so many cores in TFLOP/s."""
        return cores * self.all_core_ghz * _GIGA * flop_per_cycle / _TERA


def read_processor_peaks(directory: Path) -> tuple[ProcessorPeak, ...]:
    """Generations of processors. Raises InputError if the table cannot be read."""
    return tuple(row.value(ProcessorPeak) for row in read_records(directory / "processor_peaks.csv"))


@lru_cache(maxsize=4)
def with_processors(
    catalog: Catalog, providers: tuple[str, ...], least_memory_gib: float, named: frozenset[str] = frozenset()
) -> Catalog:
    """The catalog with the machines without an accelerator of some providers, their cores in place of one.

    Machines with less than *least_memory_gib* hold no copy of the model and are left out, unless they are *named*.
    """
    if not catalog.cpu_instances.keys().isdisjoint(catalog.instance_types):
        return catalog
    peaks = read_processor_peaks(catalog.directory)
    machines = {
        key: machine
        for key, machine in catalog.cpu_instances.items()
        if machine.provider in providers
        and (
            machine.name in named
            or (machine.memory_gib >= least_memory_gib and _LEAST_VCPUS <= machine.vcpus <= MOST_VCPUS)
        )
        and slowest_of(machine, peaks) is not None
    }
    offers = [offer for provider in providers for offer in _cheapest(_offers(catalog, provider), machines, named)]
    sold = {(offer.provider, offer.instance_type) for offer in offers}
    kept = {key: machine for key, machine in machines.items() if key in sold}
    accelerators: dict[str, Accelerator] = {}
    for machine in sorted(kept.values(), key=lambda machine: machine.memory_gib):
        peak = slowest_of(machine, peaks)
        if peak is not None:
            accelerators.setdefault(name_of(machine), _accelerator(machine, peak))
    types = {key: _instance_type(machine) for key, machine in kept.items()}
    return catalog.with_machines(accelerators, types, offers)


def fastest_bytes_per_second(catalog: Catalog) -> float:
    """Memory traffic of the largest machine that is planned, of the generation with the most for each core."""
    fastest = max(peak.memory_gb_per_second_per_core for peak in read_processor_peaks(catalog.directory))
    return MOST_VCPUS * fastest * _GIGA


def slowest_of(machine: CpuInstance, peaks: Iterable[ProcessorPeak]) -> ProcessorPeak | None:
    """The generation of a machine's processor; of two that it may have, the slower; None where it has no known one."""
    named = [peak for peak in peaks if peak.generation in machine.processor.name]
    return min(named, key=lambda peak: (peak.bf16_flop_per_cycle or 0.0, peak.fp32_flop_per_cycle), default=None)


def hardware_named(catalog: Catalog, name: str) -> tuple[Accelerator, InstanceType | None]:
    """The accelerator of a name and None, or the cores of a machine without one and that machine.

    Names are of an accelerator, of the type of a machine that has one or none, or of cores as :func:`name_of` tells
    them. Raises InputError if nothing has that name, or the machine has a part of an accelerator or several.
    """
    if catalog.known_accelerator(name) is None:
        peaks, wanted = read_processor_peaks(catalog.directory), name.strip().lower()
        for machine in sorted(catalog.cpu_instances.values(), key=lambda machine: machine.memory_gib):
            if wanted in (machine.name.lower(), name_of(machine).lower()):
                peak = slowest_of(machine, peaks)
                if peak is not None:
                    return _accelerator(machine, peak), _instance_type(machine)
        machine_type = next((held for held in catalog.instance_types.values() if wanted == held.name.lower()), None)
        if machine_type is not None:
            return _only_accelerator(catalog, machine_type), None
    return catalog.accelerator(name), None


def _only_accelerator(catalog: Catalog, machine: InstanceType) -> Accelerator:
    """The one accelerator that a machine has."""
    if machine.accelerator_count != 1:
        count = "an unknown number of" if machine.accelerator_count is None else f"{machine.accelerator_count:g} ×"
        raise InputError(
            f"{machine.name} has {count} {machine.accelerator}, and a machine stands for one accelerator alone",
            where="accelerator",
            hint=f"name the accelerator, {machine.accelerator}, and how many of it serve",
        )
    return catalog.accelerator(machine.accelerator)


def name_of(machine: CpuInstance) -> str:
    """Name of a machine's cores as an accelerator: ``8 cores of AMD EPYC 9R14 (Genoa)``."""
    return f"{cores_of(machine)} cores of {machine.processor.name}"


def cores_of(machine: CpuInstance) -> int:
    """Physical cores; half of the virtual ones of x86 machines where they are not stated."""
    threads = 1 if machine.cpu_architecture == "arm64" else _THREADS_PER_CORE
    return machine.cores if machine.cores is not None else max(machine.vcpus // threads, 1)


def cores_and_clock(accelerator: Accelerator, peaks: Iterable[ProcessorPeak]) -> tuple[float, float]:
    """Cores of a machine that stand as one accelerator, and their clock in GHz."""
    peak = next(peak for peak in peaks if peak.generation == accelerator.architecture)
    return accelerator.memory_bandwidth_gb_per_second / peak.memory_gb_per_second_per_core, peak.all_core_ghz


@lru_cache(maxsize=8)
def _offers(catalog: Catalog, provider: str) -> tuple[Offer, ...]:
    """Machines without an accelerator that a provider sells, read once."""
    return catalog.cpu_offers(provider)


def _cheapest(
    offers: Iterable[Offer], machines: Mapping[tuple[str, str], CpuInstance], named: frozenset[str]
) -> Iterator[Offer]:
    """The cheapest offer of each kind of machine and region for each way of paying, and those of named machines."""
    best: dict[tuple[str, _Kind, Purchase], tuple[float, Offer]] = {}
    for offer in offers:
        machine = machines.get((offer.provider, offer.instance_type))
        if machine is None or offer.withdrawn:
            continue
        if machine.name in named:
            yield offer
            continue
        kind = (machine.provider, machine.processor.name, cores_of(machine), machine.network_gbit_per_second)
        for purchase, price in ((Purchase.ON_DEMAND, offer.on_demand), (Purchase.SPOT, offer.spot)):
            key = (offer.region, kind, purchase)
            if price is not None and (key not in best or price.usd_per_hour < best[key][0]):
                best[key] = (price.usd_per_hour, offer)
    yield from dict.fromkeys(offer for _, offer in best.values())


def _accelerator(machine: CpuInstance, peak: ProcessorPeak) -> Accelerator:
    cores = cores_of(machine)
    bf16 = peak.bf16_flop_per_cycle
    return Accelerator(
        name=name_of(machine),
        vendor=CPU,
        architecture=peak.generation,
        compute_capability=None,
        memory_gib=machine.memory_gib,
        memory_bandwidth_gb_per_second=cores * peak.memory_gb_per_second_per_core,
        fp32_tflops=peak.tflops(cores, peak.fp32_flop_per_cycle),
        fp16_tflops=None if bf16 is None else peak.tflops(cores, bf16),
        fp8_tflops=None,
        int8_tops=None,
        fp4_tflops=None,
        link_gb_per_second=None,
        link_kind="",
        tdp_watts=None,
        launch_year=None,
        provenance=machine.processor.provenance,
    )


def _instance_type(machine: CpuInstance) -> InstanceType:
    return InstanceType(
        provider=machine.provider,
        name=machine.name,
        accelerator=name_of(machine),
        accelerator_count=1.0,
        accelerator_memory_gib=machine.memory_gib,
        vcpus=machine.vcpus,
        memory_gib=machine.memory_gib,
        network_gbit_per_second=machine.network_gbit_per_second,
        local_nvme_gb=None,
        interconnect="none",
        cpu_architecture=machine.cpu_architecture,
        provenance=machine.provenance,
    )
