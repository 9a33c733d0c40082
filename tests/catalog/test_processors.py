"""Processors as accelerators: peaks by hand, the machines that are kept, and who gets them."""

from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.processors import CPU, cores_of, name_of, read_processor_peaks, slowest_of, with_processors
from advisor.catalog.values import Purchase
from advisor.models import find_model
from advisor.plan.request import catalog_for
from advisor.workload.values import Deployment
from builders import workload

CATALOG = load_catalog()
PEAKS = read_processor_peaks(CATALOG.directory)


def peak(generation):
    """The row of a generation."""
    return next(row for row in PEAKS if row.generation == generation)


@pytest.mark.parametrize(
    ("socket", "generation", "cores"),
    [("Xeon-8488C", "Sapphire Rapids", 48), ("EPYC-9R14", "Genoa", 96), ("Graviton4", "Neoverse V2", 96)],
)
def test_peaks_are_those_of_whole_sockets(socket, generation, cores):
    """Cores × clock × FLOP per cycle give what the table of accelerators says of a socket, to 1 %."""
    row, of = CATALOG.accelerator(socket), peak(generation)
    assert of.tflops(cores, of.bf16_flop_per_cycle) == pytest.approx(row.fp16_tflops, rel=0.01)
    assert of.tflops(cores, of.fp32_flop_per_cycle) == pytest.approx(row.fp32_tflops, rel=0.01)
    assert cores * of.memory_gb_per_second_per_core == pytest.approx(row.memory_bandwidth_gb_per_second, rel=0.01)


def test_every_processor_of_the_catalog_has_a_peak():
    """No machine is left out because its generation is in no row; of two generations in a name the slower counts."""
    assert all(slowest_of(machine, PEAKS) is not None for machine in CATALOG.cpu_instances.values())
    mixed = CATALOG.cpu_instances["azure", "Standard_D16_v5"]
    assert slowest_of(mixed, PEAKS).generation == "Ice Lake"


def test_a_machine_is_one_accelerator_with_its_own_memory():
    """Eight virtual processors of Sapphire Rapids are four cores with AMX: 9.83 TFLOP/s in bf16."""
    catalog = with_processors(CATALOG, ("aws",), 4.0)
    machine = catalog.instance_type("aws", "c7i.2xlarge")
    part = catalog.accelerator(machine.accelerator)
    assert part.name == "4 cores of Intel Xeon 8488C (Sapphire Rapids)"
    assert (part.vendor, part.memory_gib, machine.accelerator_count) == (CPU, 16, 1)
    assert part.fp16_tflops == pytest.approx(4 * 2.4e9 * 1024 / 1e12)


def test_of_equally_fast_machines_the_cheapest_of_each_region_is_kept():
    """c7i, m7i and r7i have one processor: wherever all are sold, only the cheapest is an offer, unless it is named."""
    plain = with_processors(CATALOG, ("aws",), 4.0)
    named = with_processors(CATALOG, ("aws",), 4.0, frozenset({"r7i.2xlarge"}))
    assert ("aws", "c7i.2xlarge") in plain.instance_types
    assert plain.offer("aws", "us-east-1", "r7i.2xlarge") is None
    assert named.offer("aws", "us-east-1", "r7i.2xlarge") is not None
    per_core = {}
    for offer in plain.offers_in(("aws",), ("us-east-1",)):
        machine = CATALOG.cpu_instances.get(("aws", offer.instance_type))
        if machine is not None:
            per_core.setdefault(name_of(machine), set()).add(offer.instance_type)
    assert all(len(names) <= 2 for names in per_core.values())
    assert all(cores_of(CATALOG.cpu_instances["aws", name]) for names in per_core.values() for name in names)


def test_memory_and_size_leave_machines_out():
    """What holds no copy of the model is no candidate, and neither are the smallest machines."""
    large = with_processors(CATALOG, ("aws",), 100.0)
    assert ("aws", "c7i.2xlarge") not in large.instance_types
    assert ("aws", "c7i.large") not in with_processors(CATALOG, ("aws",), 1.0).instance_types


def test_token_models_do_not_get_processors():
    """The very catalog is used for a language model, and a one-pass model's has the machine that runs today too."""
    chat = workload()
    assert catalog_for(chat, find_model(chat.model), CATALOG) is CATALOG
    today = Deployment("aws", "us-east-1", "r7i.large", 1, Purchase.ON_DEMAND)
    found = catalog_for(replace(chat, current=today), find_model("BAAI/bge-m3"), CATALOG)
    assert found.instance_type("aws", "r7i.large")
    assert catalog_for(chat, find_model("BAAI/bge-m3"), found) is found
