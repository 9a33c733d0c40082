"""No code is written for accelerators that would have to be cut."""

from dataclasses import replace

import pytest

from advisor.codegen import Wanted, generate
from advisor.errors import NotDeployable
from codegen.plans import make_option, make_plan

SLICED = make_option(
    instance_type="p4d.24xlarge", accelerator="A100-40GB-SXM", accelerator_count=8.0, replicas_per_instance=56,
    instances=1, partition="mig-1g.5gb",
)  # fmt: skip


@pytest.mark.parametrize("rank", [None, 1])
def test_no_other_option_is_taken_in_place_of_slices(rank):
    """Recommended or asked for outright, it is refused with exit code 4 and the ranks of the others."""
    with pytest.raises(NotDeployable, match=r"1 × p4d\.24xlarge .* mig-1g\.5gb slices") as error:
        generate(make_plan(SLICED, make_option(rank=2)), wanted=Wanted(rank=rank))

    assert error.value.exit_code == 4
    assert "--option RANK" in error.value.hint
    assert error.value.hint.endswith(": 2")


def test_only_options_that_can_be_generated_are_named():
    """Ranks of other slices lead nowhere: they are left out of the hint."""
    sliced = [replace(SLICED, rank=rank) for rank in (1, 2, 4)]
    options = (sliced[0], sliced[1], make_option(rank=3), sliced[2], make_option(rank=5), make_option(rank=6))

    with pytest.raises(NotDeployable) as error:
        generate(make_plan(*options))
    assert error.value.hint.endswith(": 3, 5, 6")

    with pytest.raises(NotDeployable) as error:
        generate(make_plan(*sliced))
    assert error.value.hint.endswith("; of this plan no other option can be generated")


def test_a_plan_with_slices_only_is_refused():
    """Where every option is cut, the message says so and the hint what to plan."""
    with pytest.raises(NotDeployable, match=r"mig-1g\.5gb slices") as error:
        generate(make_plan(SLICED))

    assert "make the plan again" in error.value.hint
