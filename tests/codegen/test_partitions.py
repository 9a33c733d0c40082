"""No code is written for accelerators that would have to be cut."""

import pytest

from advisor.codegen import Wanted, generate
from advisor.errors import InputError
from codegen.plans import make_option, make_plan

SLICED = make_option(
    instance_type="p4d.24xlarge", accelerator="A100-40GB-SXM", accelerator_count=8.0, replicas_per_instance=56,
    instances=1, partition="mig-1g.5gb",
)  # fmt: skip


def test_the_cheapest_uncut_option_is_taken_instead():
    """When the recommended option is in slices, the next one is generated and the notice says why."""
    generated = generate(make_plan(SLICED, make_option(rank=2)))

    assert '"g6.xlarge"' in generated.files["fleet.tf"]
    assert "cuts accelerators into mig-1g.5gb slices" in generated.warnings[0]


def test_an_option_in_slices_is_refused_by_name():
    """Asked for outright it is refused, with a way out."""
    with pytest.raises(InputError, match=r"mig-1g\.5gb slices") as error:
        generate(make_plan(SLICED, make_option(rank=2)), wanted=Wanted(rank=1))

    assert "--option RANK" in error.value.hint


def test_a_plan_with_slices_only_is_refused():
    """Where every option is cut, the message says so and the hint what to plan."""
    with pytest.raises(InputError, match=r"mig-1g\.5gb slices") as error:
        generate(make_plan(SLICED))

    assert error.value.hint
