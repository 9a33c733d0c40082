"""Inputs of generated code, declared once: Terraform variables and Pulumi settings are printed from the same tables.

Read first :mod:`~advisor.codegen.inputs.table`, then :mod:`~advisor.codegen.inputs.terraform` and
:mod:`~advisor.codegen.inputs.pulumi`.
"""

from advisor.codegen.inputs.pulumi import python_settings, takes_networks
from advisor.codegen.inputs.table import Input, inputs_of
from advisor.codegen.inputs.terraform import hcl_variables

__all__ = ["Input", "hcl_variables", "inputs_of", "python_settings", "takes_networks"]
