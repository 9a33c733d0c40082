"""Verdicts of Terraform on values of variables, many at once: the conditions of the validations, evaluated by the real core.

A root of variables and locals alone has, for each variable, a list of candidates of its type, and an output that holds for each
of them whether every condition that looks at the variable is true, those of other variables included.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.codegen.hcl import Block, Document, read_hcl
from iac import harness

_VARIABLE, _LOCAL = re.compile(r"\bvar\.(\w+)"), re.compile(r"\blocal\.(\w+)")


def of_terraform(
    files: Mapping[str, str], values: Mapping[str, Any], candidates: Mapping[str, Sequence[Any]], directory: Path
) -> dict[str, list[bool]]:
    """Whether a root takes each candidate of each variable, beside the *values* of the others.

    Args:
        files: of the generated root, by path.
        values: of variables; the others have their defaults.
        candidates: values to try, by variable.
        directory: empty; becomes the root that is evaluated.
    """
    documents = [read_hcl(text, path) for path, text in files.items() if path.endswith(".tf") and "/" not in path]
    variables = {block.labels[0]: (document, block) for document, block in _blocks(documents, "variable")}
    sources = {
        name: document.source(attribute.value)
        for document, block in _blocks(documents, "locals")
        for name, attribute in block.attributes.items()
    }
    conditions = [
        _inlined(document.source(validation.attributes["condition"].value), sources)
        for document, block in variables.values()
        for validation in block.of("validation")
    ]
    parts = [_variable(name, *variables[name]) for name in variables]
    for name in candidates:
        document, block = variables[name]
        typed = document.source(block.attributes["type"].value)
        parts.append(f'variable "candidates_{name}" {{\n  type = list({typed})\n}}')
        tests = [_of_candidate(condition, name) for condition in conditions if name in _VARIABLE.findall(condition)]
        verdict = " && ".join(tests) or "true"
        parts.append(f'output "{name}" {{\n  value = [for candidate in var.candidates_{name} : {verdict}]\n}}')
    given = {**values, **{f"candidates_{name}": list(tried) for name, tried in candidates.items()}}
    harness.write_module({"main.tf": "\n\n".join(parts), "terraform.tfvars.json": json.dumps(given)}, directory)
    config_file = directory.with_name(f"{directory.name}.terraformrc")
    config_file.write_text("disable_checkpoint = true\n")
    terraform = harness.Terraform(directory, config_file)
    terraform.init()
    return {name: output["value"] for name, output in terraform.plan()["planned_values"]["outputs"].items()}


def _blocks(documents: Sequence[Document], kind: str) -> Iterator[tuple[Document, Block]]:
    for document in documents:
        for block in document.body.of(kind):
            yield document, block


def _variable(name: str, document: Document, block: Block) -> str:
    """The variable without its validations."""
    attributes = (
        f"  {key} = {document.source(block.attributes[key].value)}"
        for key in ("type", "default")
        if key in block.attributes
    )
    return "\n".join([f'variable "{name}" {{', *attributes, "}"])


def _inlined(condition: str, sources: Mapping[str, str]) -> str:
    """A condition with the expressions of locals in their place."""
    return _LOCAL.sub(lambda match: f"({_inlined(sources[match[1]], sources)})", condition)


def _of_candidate(condition: str, name: str) -> str:
    """A condition on the candidate; one that cannot be evaluated refuses it, as a validation does."""
    tried = re.sub(rf"\bvar\.{name}\b", "candidate", condition)
    return f"try(({tried}) == true, false)"
