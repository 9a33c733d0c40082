"""No code is written for accelerators that would have to be cut."""

import pytest

from advisor.codegen import choose_option, write_stack
from advisor.errors import InputError
from codegen.plans import make_option, make_plan

SLICED = make_option(
    instance_type="p4d.24xlarge", accelerator="A100-40GB-SXM", accelerator_count=8.0, replicas_per_instance=56,
    instances=1, partition="mig-1g.5gb",
)  # fmt: skip


def test_the_cheapest_uncut_option_is_taken_instead():
    """When the recommended option is in slices, the next one is generated and the notice says why."""
    choice = choose_option(make_plan(SLICED, make_option(rank=2)))

    assert choice.option.rank == 2
    assert "cuts accelerators into mig-1g.5gb slices" in choice.warnings[0]


def test_an_option_in_slices_is_refused_by_name(tmp_path):
    """Asked for outright it is refused, with the option to take; nothing is written."""
    plan = make_plan(SLICED, make_option(rank=2))
    choice = choose_option(plan, 1)

    with pytest.raises(InputError, match=r"mig-1g\.5gb slices") as error:
        write_stack(plan, choice.option, tmp_path / "out")

    assert error.value.hint == "take --option 2, g6.xlarge"
    assert not (tmp_path / "out").exists()


def test_a_plan_with_slices_only_says_how_to_see_the_rest(tmp_path):
    """Where every option is cut, the hint is to list all variants."""
    with pytest.raises(InputError) as error:
        write_stack(make_plan(SLICED), SLICED, tmp_path / "out")

    assert "--all" in error.value.hint
