"""What accelerators can be cut into."""

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.catalog import share_of, slice_of

CATALOG = load_catalog()
CUT = [partition for name in CATALOG.accelerators for partition in CATALOG.partitions(name)]


@pytest.mark.parametrize("partition", CUT, ids=lambda one: f"{one.accelerator} {one.profile}")
def test_all_slices_together_are_no_more_than_the_whole(partition):
    """Two slices or more share memory, bandwidth and arithmetic of one accelerator, and none is made up."""
    whole, part = (
        CATALOG.accelerator(partition.accelerator),
        slice_of(CATALOG.accelerator(partition.accelerator), partition),
    )
    count = partition.per_accelerator

    assert count >= 2
    assert count * part.memory_gib <= whole.memory_gib
    assert count * part.memory_bandwidth_gb_per_second <= whole.memory_bandwidth_gb_per_second
    assert count * part.fp16_tflops <= whole.fp16_tflops
    assert part.memory_gib > 0.9 * whole.memory_gib * partition.bandwidth_share
    assert set(partition.providers) <= set(CATALOG.providers)


def test_the_least_memory_comes_first():
    """An A100 with 80 GB is cut into seven, four, three or two slices, and what has no such hardware into none."""
    found = [(one.profile, one.per_accelerator) for one in CATALOG.partitions("A100-80GB-PCIe")]

    assert found == [("1g.10gb", 7), ("1g.20gb", 4), ("2g.20gb", 3), ("3g.40gb", 2)]
    assert CATALOG.partitions("L4") == ()


def test_a_slice_leaves_some_of_the_accelerator_idle():
    """Seven slices of an A100 have 98 of its 108 multiprocessors and seven eighths of its memory."""
    whole = CATALOG.accelerator("A100-80GB-SXM")
    part = slice_of(whole, CATALOG.partitions("A100-80GB-SXM")[0])

    assert 7 * part.fp16_tflops == pytest.approx(whole.fp16_tflops * 98 / 108)
    assert 7 * part.memory_bandwidth_gb_per_second == pytest.approx(whole.memory_bandwidth_gb_per_second * 7 / 8)
    assert part.memory_gib == 9.5


@pytest.mark.parametrize(
    ("provider", "name", "usable_mib"),
    [("aws", "g6f.large", 2861), ("aws", "g6f.2xlarge", 5722), ("aws", "gr6f.4xlarge", 11444)],
)
def test_a_share_has_the_memory_that_the_provider_states(provider, name, usable_mib):
    """The fraction of the accelerator is the fraction of its memory, and of everything else."""
    machine = CATALOG.instance_type(provider, name)
    whole = CATALOG.accelerator(machine.accelerator)
    part = share_of(whole, "share", machine.accelerator_count)

    assert part.memory_gib == pytest.approx(usable_mib / 1024, rel=0.001)
    assert part.fp16_tflops / whole.fp16_tflops == machine.accelerator_count
    assert part.memory_bandwidth_gb_per_second / whole.memory_bandwidth_gb_per_second == machine.accelerator_count
