"""A second, plain implementation recomputes the memory of replicas."""

import pytest

from advisor.models.memory import fit_memory
from advisor.plan.plain_values import to_plain
from recompute.differences import fit_differences
from recompute.drawn import drawn_fit

TOGETHER = 12


@pytest.mark.parametrize("first", range(0, 180, TOGETHER))
def test_memory_of_any_replica_is_equal_to_the_byte(first):
    """Models, accelerators, precisions, parallelism, engines and their versions are drawn."""
    for number in range(first, first + TOGETHER):
        model, request = drawn_fit(number)
        found, _ = fit_differences(*map(to_plain, (model, request, fit_memory(model, request))))

        assert found == []
