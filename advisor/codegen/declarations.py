"""Inputs and outputs that generated code declares, as its README lists them: of Terraform and of Pulumi programs."""

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from advisor.records import dataclass

_DECLARATION = re.compile(
    r'^(?:variable|output) "(?P<name>\w+)" \{\n  description = "(?P<description>(?:[^"\\]|\\.)*)"\n'
    r"(?:  type +?= (?P<type>.+)\n(?P<more>(?:    .*\n|  \}\)+\n)*))?(?:  default +?= (?P<default>.+)\n)?",
    re.MULTILINE,
)
SETTINGS = "inference/settings.py"
"""Holds the dataclass ``Settings``; its fields say ``field(default=…, metadata=about("…"))``."""
DEPLOYMENT = "inference/deployment.py"
"""Holds the component ``Deployment``; its attributes have a docstring."""
_LONGEST_DEFAULT = 60


@dataclass(frozen=True, slots=True)
class Declaration:
    """A variable, a setting or an output."""

    name: str
    description: str
    type: str
    default: str
    """As written in the code; empty for one that has to be given, and for an output."""


def settings_of(files: Mapping[str, str]) -> tuple[Declaration, ...]:
    """The fields of ``Settings``, in their order."""
    return tuple(_setting(field) for field, _ in _annotated(_class_of(files[SETTINGS], "Settings")))


def outputs_of(files: Mapping[str, str]) -> tuple[Declaration, ...]:
    """The attributes of ``Deployment``, which the program exports, in their order."""
    return tuple(
        Declaration(ast.unparse(field.target), " ".join(documented.split()), ast.unparse(field.annotation), "")
        for field, documented in _annotated(_class_of(files[DEPLOYMENT], "Deployment"))
    )


def _class_of(text: str, name: str) -> ast.ClassDef:
    return next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)


def _annotated(found: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Annotated names of a class, each with the string that stands below it."""
    for node, after in pairwise([*found.body, ast.Pass()]):
        if isinstance(node, ast.AnnAssign):
            yield node, _constant(after.value) if isinstance(after, ast.Expr) else ""


def _setting(node: ast.AnnAssign) -> Declaration:
    keywords = (
        {keyword.arg: keyword.value for keyword in node.value.keywords} if isinstance(node.value, ast.Call) else {}
    )
    about = keywords.get("metadata")
    return Declaration(
        name=ast.unparse(node.target),
        description=_constant(about.args[0]) if isinstance(about, ast.Call) else "",
        type=ast.unparse(node.annotation),
        default=_default(keywords),
    )


def _default(keywords: Mapping[str | None, ast.expr]) -> str:
    if "default" in keywords:
        shown = ast.unparse(keywords["default"])
        return shown if len(shown) <= _LONGEST_DEFAULT else "…"
    return "{}" if "default_factory" in keywords else ""


def _constant(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def declarations(text: str, kind: str) -> tuple[Declaration, ...]:
    """The variables or outputs that code declares, in its order."""
    return tuple(
        Declaration(
            name=match["name"],
            description=_unescape(match["description"]),
            type=_type(match["type"] or "", is_long=bool(match["more"])),
            default="{…}" if (match["default"] or "").endswith(("{", "[")) else match["default"] or "",
        )
        for match in _DECLARATION.finditer(text)
        if match[0].startswith(kind)
    )


def _type(first_line: str, *, is_long: bool) -> str:
    """A type on one line, with what a longer one holds left out."""
    return first_line.removesuffix("{") + "{…}" + ")" * first_line.count("(") if is_long else first_line


def _unescape(literal: str) -> str:
    """The text of an HCL string literal, as far as descriptions need it."""
    return re.sub(r"\\(.)", r"\1", literal)
