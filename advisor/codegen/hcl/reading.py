"""Text → blocks and attributes with their spans (python-hcl2's parser; nothing of the text is lost)."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from advisor.errors import InputError
from advisor.records import dataclass

_NAMES = ("identifier", "keyword", "literal_value")


@dataclass(frozen=True, slots=True)
class Expression:
    """Right-hand side of an attribute."""

    start: int
    """Offset in the text of the file."""
    end: int
    node: Any
    """Its syntax tree."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """``name = value``."""

    name: str
    start: int
    value: Expression


@dataclass(frozen=True, slots=True)
class Block:
    """``kind "label" … { … }``; a whole file is one without a kind."""

    kind: str
    labels: tuple[str, ...]
    start: int
    attributes: Mapping[str, Attribute]
    blocks: tuple["Block", ...]

    @property
    def address(self) -> str:
        """Address of a resource or data source within its module, such as ``aws_lb.this`` or ``data.aws_vpc.this``."""
        prefix = {"resource": "", "module": "module."}.get(self.kind, f"{self.kind}.")
        return prefix + ".".join(self.labels)

    def of(self, kind: str) -> Iterator["Block"]:
        """The blocks in it that are of a kind."""
        return (block for block in self.blocks if block.kind == kind)


@dataclass(frozen=True, slots=True)
class Document:
    """One file."""

    path: str
    text: str
    body: Block

    def line_of(self, offset: int) -> int:
        """Line of an offset, from 1."""
        return self.text.count("\n", 0, offset) + 1

    def place(self, offset: int) -> str:
        """``path:line``."""
        return f"{self.path}:{self.line_of(offset)}"

    def source(self, expression: Expression) -> str:
        """The text of an expression."""
        return self.text[expression.start : expression.end]


@lru_cache(maxsize=256)
def read_hcl(text: str, path: str) -> Document:
    """Read one file; most files of generated code are the same from plan to plan, and are read once.

    Raises:
        InputError: it is not valid HCL; the message has the line.
    """
    import hcl2  # noqa: PLC0415 - only commands that read code wait for the parser
    from lark.exceptions import LarkError  # noqa: PLC0415

    ended = text if text.endswith("\n") else f"{text}\n"
    try:
        tree = hcl2.parses_to_tree(ended)
    except LarkError as error:
        line = getattr(error, "line", None)
        where = f"{path}:{line}" if isinstance(line, int) and line > 0 else path
        raise InputError("not valid HCL", where=where, hint="`terraform fmt` says what is wrong there") from error
    return Document(path, text, _block("", (), 0, tree.children[0]))


def _block(kind: str, labels: tuple[str, ...], start: int, body: Any) -> Block:  # noqa: ANN401 - a tree of the parser
    attributes, blocks = {}, []
    for node in body.children:
        if node.data == "attribute":
            attribute = _attribute(node)
            attributes[attribute.name] = attribute
        elif node.data == "block":
            names = [_name(child) for child in node.children if getattr(child, "data", "") in (*_NAMES, "string")]
            inner = next(child for child in node.children if getattr(child, "data", "") == "body")
            blocks.append(_block(names[0], tuple(names[1:]), node.meta.start_pos, inner))
    return Block(kind, labels, start, attributes, tuple(blocks))


def _attribute(node: Any) -> Attribute:  # noqa: ANN401
    value = node.children[-1]
    return Attribute(
        name=_name(node.children[0]),
        start=node.meta.start_pos,
        value=Expression(value.meta.start_pos, value.meta.end_pos, value),
    )


def _name(node: Any) -> str:  # noqa: ANN401
    return "".join(str(token) for token in node.scan_values(lambda token: token.type != "DBLQUOTE"))
