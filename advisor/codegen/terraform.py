"""A plan's option as a Terraform root module for AWS: the stack model rendered through ``templates/terraform/aws``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advisor.codegen.stack import StackModel, stack_of
from advisor.codegen.templates import fill
from advisor.plan.values import Option, Plan

_FOLDER = "terraform/aws"
_FILES = {
    "compute.tf": "compute.tf.j2",
    "iam.tf": "iam.tf.j2",
    "kms.tf": "kms.tf.j2",
    "main.tf": "main.tf.j2",
    "monitoring.tf": "monitoring.tf.j2",
    "network.tf": "network.tf.j2",
    "outputs.tf": "outputs.tf.j2",
    "providers.tf": "providers.tf.j2",
    "terraform.tfvars.example": "terraform.tfvars.example.j2",
    "tests/unit.tftest.hcl": "unit.tftest.hcl.j2",
    "user_data.sh.tftpl": "user_data.sh.tftpl.j2",
    "variables.tf": "variables.tf.j2",
    "versions.tf": "versions.tf.j2",
}
"""Path in the module → template. The README comes last, because it lists the variables and outputs of the others."""

_DECLARATION = re.compile(
    r'^(?:variable|output) "(?P<name>\w+)" \{\n  description = "(?P<description>(?:[^"\\]|\\.)*)"\n'
    r"(?:  type        = (?P<type>.+)\n)?(?:  default     = (?P<default>.+)\n)?",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Declaration:
    """A variable or an output as the README lists it."""

    name: str
    description: str
    type: str
    default: str
    """As written in the code; empty for a variable that has to be given, and for an output."""


def generate(plan: Plan, option: Option) -> Mapping[str, str]:
    """The Terraform module that serves *plan* with *option*, as relative path → text, in the order of the paths.

    Raises:
        InputError: nothing that this program writes can serve the option.
    """
    return render(stack_of(plan, option))


def render(stack: StackModel) -> Mapping[str, str]:
    """The files of a stack: the same stack gives the same bytes."""
    known: dict[str, Any] = {
        "stack": stack,
        "subnets": [f"subnet-{number:017x}" for number in range(1, stack.compute.subnets + 1)],
    }
    files = {path: fill(_FOLDER, template, known) for path, template in _FILES.items()}
    lists = {"inputs": declarations(files["variables.tf"]), "outputs": declarations(files["outputs.tf"])}
    files["README.md"] = fill(_FOLDER, "README.md.j2", known | lists)
    return dict(sorted(files.items()))


def declarations(text: str) -> tuple[Declaration, ...]:
    """The variables or outputs that a rendered file declares, in its order."""
    return tuple(
        Declaration(
            name=found["name"],
            description=_unescape(found["description"]),
            type=found["type"] or "",
            default=found["default"] or "",
        )
        for found in _DECLARATION.finditer(text)
    )


def _unescape(literal: str) -> str:
    """The text of an HCL string literal, as far as descriptions need it."""
    return re.sub(r"\\(.)", r"\1", literal)
