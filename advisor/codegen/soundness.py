"""Checks of generated files before they are written, file by file: text, secrets and syntax.

Names, and what the providers take, are checked by the tests of the templates and by ``terraform validate``.
"""

import ast
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from advisor.codegen.hcl import read_hcl
from advisor.errors import AdvisorError, InputError
from advisor.records import dataclass

_SECRETS = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a hub token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
}
_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_KUBERNETES = "kubernetes/"
_CHART_VALUES = "values.yaml"
"""What a Helm chart is given is no object."""


_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Fault of generated code, and its place."""

    path: str
    line: int
    """From 1; 0: the file as a whole."""
    message: str

    def __str__(self) -> str:
        """``path:line: message``."""
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


class UnsoundCode(AdvisorError):  # noqa: N818 - what it says of the code
    """Generated code that does not pass its check: a fault of this program, or of a template that was changed."""

    exit_code = 3


def check_files(files: Mapping[str, str]) -> None:
    """Refuse files (relative path → text) that are unsound.

    Raises:
        UnsoundCode: with each finding and its place.
    """
    faults = sorted(findings_of_files(files), key=lambda fault: (fault.path, fault.line))
    if not faults:
        return
    shown = "\n  ".join(map(str, faults[:_MOST_SHOWN]))
    more = f"\n  and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
    raise UnsoundCode(
        f"the generated code does not pass its own check, so nothing is written:\n  {shown}{more}",
        hint="please report it with the plan; --option RANK generates another option",
    )


def findings_of_files(files: Mapping[str, str]) -> Iterator[Finding]:
    """Findings in each file by itself."""
    for path, text in files.items():
        yield from _path(path)
        yield from _text(path, text)
        read = _SYNTAXES.get(PurePosixPath(path).suffix)
        if read is not None:
            yield from read(path, text)


def _path(path: str) -> Iterator[Finding]:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path:
        yield Finding(path, 0, "is outside the directory")


def _text(path: str, text: str) -> Iterator[Finding]:
    if not text.endswith("\n"):
        yield Finding(path, 0, "does not end with a line end")
    for number, line in enumerate(text.splitlines(), start=1):
        odd = {c for c in line if c in _BIDIRECTIONAL or (unicodedata.category(c) == "Cc" and c != "\t")}
        if odd:
            yield Finding(path, number, f"holds the control character U+{ord(min(odd)):04X}")
        for what, pattern in _SECRETS.items():
            if pattern.search(line):
                yield Finding(path, number, f"holds what looks like {what}")


def _python(path: str, text: str) -> Iterator[Finding]:
    try:
        ast.parse(text)
    except SyntaxError as error:
        yield Finding(path, error.lineno or 0, f"is not valid Python: {error.msg}")


def _hcl(path: str, text: str) -> Iterator[Finding]:
    try:
        read_hcl(text, path)
    except InputError as error:
        line = error.where.rpartition(":")[2]
        yield Finding(path, int(line) if line.isdigit() else 0, error.message)


def _json(path: str, text: str) -> Iterator[Finding]:
    try:
        json.loads(text)
    except ValueError as error:
        yield Finding(path, getattr(error, "lineno", 0), f"is not valid JSON: {error}")


def _yaml(path: str, text: str) -> Iterator[Finding]:
    import yaml  # noqa: PLC0415 - only where there is YAML to read

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        yield Finding(path, mark.line + 1 if mark else 0, "is not valid YAML")
        return
    if _KUBERNETES in path and not path.endswith(_CHART_VALUES):
        for document in documents:
            yield from _manifest(path, document)


def _manifest(path: str, document: object) -> Iterator[Finding]:
    """A Kubernetes object says what it is and what it is called."""
    if not isinstance(document, dict):
        yield Finding(path, 0, "holds a document that is no Kubernetes object")
        return
    missing = [key for key in ("apiVersion", "kind") if not isinstance(document.get(key), str)]
    if document.get("kind") not in ("Kustomization", "Component") and not (document.get("metadata") or {}).get("name"):
        missing.append("metadata.name")
    if missing:
        yield Finding(path, 0, f"holds a Kubernetes object without {' and '.join(missing)}")


_SYNTAXES: Mapping[str, Callable[[str, str], Iterator[Finding]]] = {
    ".hcl": _hcl,
    ".py": _python,
    ".tf": _hcl,
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
}
