"""What is wrong with generated code beyond the syntax of its files: names, schemas of the providers, structure."""

from collections.abc import Mapping

from advisor.codegen.generate import Finding, findings_of_files
from codegen.check.python import findings_of_python
from codegen.check.terraform import findings_of_terraform

__all__ = ["findings"]


def findings(files: Mapping[str, str]) -> tuple[Finding, ...]:
    """Everything that is wrong with generated files (relative path → text), in the order of the paths."""
    found = [*findings_of_files(files), *findings_of_terraform(files), *findings_of_python(files)]
    return tuple(sorted(found, key=lambda one: (one.path, one.line, one.message)))
