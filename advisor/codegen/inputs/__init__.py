"""Inputs of generated code, declared once: Terraform variables and Pulumi settings are printed from the same tables.

Read first :mod:`~advisor.codegen.inputs.table`, then :mod:`~advisor.codegen.inputs.variables`.
"""
