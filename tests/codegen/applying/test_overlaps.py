"""Edits of `advisor apply-to` that overlap: a list of types, and its entries by their number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen.applying import apply_all, apply_to, targets_of, write_application
from advisor.codegen.hcl import literal, read_hcl
from advisor.errors import InputError
from codegen.applying.test_apply_to import target, write
from codegen.plans import make_cost, make_option, make_plan

GROUP = """resource "aws_launch_template" "gpu" {{
  instance_type = local.types[{number}]
}}
resource "aws_autoscaling_group" "gpu" {{
  desired_capacity = 2
  mixed_instances_policy {{
    instances_distribution {{
      on_demand_percentage_above_base_capacity = {on_demand}
    }}
    launch_template {{
      launch_template_specification {{ launch_template_id = aws_launch_template.gpu.id }}
      dynamic "override" {{
        for_each = local.types
        content {{ instance_type = override.value }}
      }}
    }}
  }}
}}
"""
ADDRESSES = ("aws_launch_template.gpu", "aws_autoscaling_group.gpu")
NAMES = ("g5.xlarge", "g6.2xlarge", "g6e.xlarge", "p4d.24xlarge", "p5.48xlarge")
BLANKS = st.sampled_from(["", " ", "\n    ", " # two\n    ", " /* none */ "])


def spot_target():
    """The planned type, and one that serves alike."""
    chosen = make_option(instance_type="g6e.xlarge", purchase="spot", instances=3)
    (wanted,) = targets_of(make_plan(chosen, spot_alternative(chosen)), 1)
    return wanted


def spot_alternative(chosen):
    """An option on another type, little dearer."""
    return make_option(
        rank=2, instance_type="g6e.2xlarge", purchase="spot", cost=make_cost(chosen.cost.instance_usd_per_hour, 2)
    )


def types_of(text):
    """The list of types in a file."""
    (block,) = read_hcl(text, "main.tf").body.of("locals")
    return literal(block.attributes["types"].value.node)


@st.composite
def projects(draw):
    """Text of a list of types, how many there are, which one a template takes, whether spot is bought, and an address."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    entries = [f'{draw(BLANKS)}"{name}"{draw(BLANKS)}' for name in names]
    comma = draw(st.sampled_from(["", ","]))
    text = f"locals {{\n  types = [{','.join(entries)}{comma}]{draw(st.sampled_from(['', ' # all']))}\n}}\n"
    number = draw(st.integers(0, len(names) - 1))
    return text, names, number, draw(st.booleans()), draw(st.sampled_from(ADDRESSES))


@given(projects())
def test_a_list_and_an_entry_of_it_stay_valid(tmp_path_factory, project):
    """The list becomes the plan's, or stays where the entry that a template takes would be another type, or none."""
    text, names, number, is_spot, address = project
    wanted = spot_target() if is_spot else target()
    planned = [wanted.instance_type, *(wanted.interchangeable_types if is_spot else ())]
    directory = tmp_path_factory.mktemp("overlap")
    before = text + GROUP.format(number=number, on_demand=0 if is_spot else 100)
    write(directory, main=before)

    application = apply_to(directory, address, wanted)
    write_application(application)

    after = (directory / "main.tf").read_text()
    is_told = any("give one of them a value of its own" in note for note in application.notes)
    assert types_of(after) == (names if is_told else planned)
    assert is_told == (number > 0)
    untouched = text.partition("types = [")[0], before.partition("\n}\n")[2].replace("= 2\n", "= 3\n")
    assert after.startswith(untouched[0])
    assert after.endswith(untouched[1])
    assert apply_to(directory, address, wanted).patch == ""


def test_two_groups_of_a_plan_on_a_list_and_its_entry_are_told(tmp_path):
    """Edits of several addresses overlap like those of one."""
    write(
        tmp_path,
        main=(
            'locals {\n  types = ["g5.xlarge"]\n}\n'
            'resource "aws_eks_node_group" "a" {\n  instance_types = local.types\n}\n'
            'resource "aws_instance" "b" {\n  instance_type = local.types[0]\n}\n'
        ),
    )
    addresses = ("aws_eks_node_group.a", "aws_instance.b")
    same = apply_all(tmp_path, [(address, target()) for address in addresses])
    assert '+  types = ["g6e.xlarge"]' in same.patch
    other = target(instance_type="g6.xlarge", accelerator="L4")
    application = apply_all(tmp_path, [(addresses[0], target()), (addresses[1], other)])
    assert application.patch == ""
    assert any("give one of them a value of its own" in note for note in application.notes)


@pytest.mark.parametrize("types", ['["g5.xlarge"', '["g5.xlarge"]]'])
def test_code_that_is_not_valid_is_still_blamed(types, tmp_path):
    """A fault of the file itself is named with its line."""
    write(tmp_path, main=f"locals {{\n  types = {types}\n}}\n" + GROUP.format(number=0, on_demand=100))
    with pytest.raises(InputError, match="not valid HCL"):
        apply_to(tmp_path, ADDRESSES[0], target())
