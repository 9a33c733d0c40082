"""Inputs of generated code, declared once: Terraform variables and Pulumi settings are printed from the same tables.

Read first :mod:`~advisor.codegen.inputs.table`, then :mod:`~advisor.codegen.inputs.terraform` and
:mod:`~advisor.codegen.inputs.pulumi`.
"""

from advisor.codegen.inputs.pulumi import (
    check_helpers,
    example_settings,
    python_checks,
    python_settings,
    takes_networks,
)
from advisor.codegen.inputs.table import Input, examples, id_words, inputs_of
from advisor.codegen.inputs.terraform import hcl_arguments, hcl_example_file, hcl_examples, hcl_ids, hcl_variables

__all__ = [
    "Input",
    "check_helpers",
    "example_settings",
    "examples",
    "hcl_arguments",
    "hcl_example_file",
    "hcl_examples",
    "hcl_ids",
    "hcl_variables",
    "id_words",
    "inputs_of",
    "python_checks",
    "python_settings",
    "takes_networks",
]
