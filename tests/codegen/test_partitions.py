"""No code is written for accelerators that would have to be cut."""

import pytest

from advisor.codegen.model import Wanted
from advisor.codegen.selection import choose, reason_against
from advisor.codegen.stack import stacks_of
from advisor.errors import InputError
from codegen.plans import make_option, make_plan

SLICED = make_option(
    instance_type="p4d.24xlarge", accelerator="A100-40GB-SXM", accelerator_count=8.0, replicas_per_instance=56,
    instances=1, partition="mig-1g.5gb",
)  # fmt: skip


def chosen(plan, rank=None):
    """What code is generated for."""
    return choose(plan, Wanted(rank=rank), reason_against(lambda one: stacks_of(plan, one, Wanted())))


def test_the_cheapest_uncut_option_is_taken_instead():
    """When the recommended option is in slices, the next one is generated and the warning says why."""
    choice = chosen(make_plan(SLICED, make_option(rank=2)))
    assert choice.option.rank == 2
    assert "cuts accelerators into mig-1g.5gb slices" in choice.warnings[0]


def test_an_option_in_slices_is_refused_by_name():
    """Asked for outright it is refused, with what to do."""
    plan = make_plan(SLICED, make_option(rank=2))
    with pytest.raises(InputError, match=r"mig-1g\.5gb slices") as error:
        stacks_of(plan, chosen(plan, 1), Wanted(rank=1))
    assert "--all" in error.value.hint


def test_a_plan_with_slices_only_is_refused():
    """Where every option is cut, nothing can be generated."""
    with pytest.raises(InputError, match=r"nothing of the plan can be generated.*mig-1g\.5gb"):
        chosen(make_plan(SLICED))
