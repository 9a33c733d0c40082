"""Terraform's language read with the place of everything, so that checks can point and edits can keep the layout."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

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

    Raises InputError if it is not valid HCL; the message has the line.
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
            value = node.children[-1]
            attribute = Attribute(
                name=_name(node.children[0]),
                start=node.meta.start_pos,
                value=Expression(value.meta.start_pos, value.meta.end_pos, value),
            )
            attributes[attribute.name] = attribute
        elif node.data == "block":
            names = [_name(child) for child in node.children if getattr(child, "data", "") in (*_NAMES, "string")]
            inner = next(child for child in node.children if getattr(child, "data", "") == "body")
            blocks.append(_block(names[0], tuple(names[1:]), node.meta.start_pos, inner))
    return Block(kind, labels, start, attributes, tuple(blocks))


def _name(node: Any) -> str:  # noqa: ANN401
    return "".join(str(token) for token in node.scan_values(lambda token: token.type != "DBLQUOTE"))


Traversal = tuple[str, ...]
"""Steps of a reference, such as ``("var", "groups")``; an index is ``[key]`` where it is a literal, else ``[]``."""

_CHAINS = ("get_attr_expr_term", "index_expr_term", "attr_splat_expr_term", "full_splat_expr_term", "identifier")
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt"\\]))')


class _NotLiteral:
    """The value of an expression that is computed."""


NOT_LITERAL: Final = _NotLiteral()


def unwrap(node: Any) -> Any:  # noqa: ANN401 - a tree of the parser
    """The expression without parentheses and wrappers."""
    while getattr(node, "data", "") == "expr_term":
        (node,) = parts_of(node)
    return node


def parts_of(node: Any) -> list[Any]:  # noqa: ANN401
    """The expressions that a node is made of: items of a list, arguments, operands."""
    return [child for child in node.children if hasattr(child, "data") and child.data != "new_line_or_comment"]


def literal(node: Any) -> Any:  # noqa: ANN401
    """The value of a literal (text, number, bool, null, list, map of these); else :data:`NOT_LITERAL`."""
    node = unwrap(node)
    read = _LITERALS.get(getattr(node, "data", ""))
    return NOT_LITERAL if read is None else read(node)


def traversal(node: Any) -> Traversal | None:  # noqa: ANN401
    """The steps of an expression that is nothing but a reference; else None."""
    node = unwrap(node)
    kind = getattr(node, "data", "")
    if kind == "identifier":
        return (str(node.children[0]),)
    if kind not in _CHAINS:
        return None
    base = traversal(node.children[0])
    return None if base is None else base + tuple(_steps(node.children[1]))


def chain(node: Any) -> tuple[Any, ...] | None:  # noqa: ANN401
    """Steps of a reference as :func:`traversal`, each index an expression, ``[*]`` of a splat; None: no reference."""
    node = unwrap(node)
    kind = getattr(node, "data", "")
    if kind == "identifier":
        return (str(node.children[0]),)
    base = chain(node.children[0]) if kind in _CHAINS else None
    if base is None:
        return None
    last = node.children[1]
    if last.data == "braces_index" and literal(parts_of(last)[0]) is NOT_LITERAL:
        return (*base, parts_of(last)[0])
    steps = tuple(_steps(last))
    return (*base, "[*]", *steps[1:]) if "splat" in last.data else (*base, *steps)


def references(node: Any) -> Iterator[Traversal]:  # noqa: ANN401
    """Every reference in an expression, those in templates and indexes too; names of ``for`` are not left out."""
    if not hasattr(node, "data"):
        return
    if node.data in _CHAINS:
        steps = traversal(node)
        if steps is not None:
            yield steps
            yield from _of_indexes(node)
            return
    children = list(node.children)
    if node.data == "function_call":
        children = [child for child in children if getattr(child, "data", "") == "arguments"]
    if node.data == "object_elem" and traversal(children[0].children[0]) is not None:
        children = children[1:]
    if node.data == "for_intro":
        children = [child for child in children if getattr(child, "data", "") != "identifier"]
    for child in children:
        yield from references(child)


class _NoIndex:
    """No index after a reference."""


NO_INDEX: Final = _NoIndex()


def indexes_after(node: Any, address: Traversal) -> Iterator[Any]:  # noqa: ANN401
    """The index after each reference to an address: its expression, its text, or :data:`NO_INDEX`."""
    if not hasattr(node, "data"):
        return
    base = node.children[0] if node.children else None
    if node.data in _CHAINS and traversal(node) == address:
        yield NO_INDEX
    elif node.data == "index_expr_term" and traversal(base) == address:
        index = node.children[1]
        yield parts_of(index)[0] if index.data == "braces_index" else str(index.children[-1])
    else:
        for child in node.children:
            yield from indexes_after(child, address)


def _of_indexes(node: Any) -> Iterator[Traversal]:  # noqa: ANN401
    node = unwrap(node)
    if getattr(node, "data", "") in _CHAINS[:-1]:
        yield from _of_indexes(node.children[0])
        for index in node.children[1].iter_subtrees():
            if index.data == "braces_index":
                yield from references(parts_of(index)[0])


def _steps(node: Any) -> Iterator[str]:  # noqa: ANN401
    if node.data == "get_attr":
        yield str(node.children[-1].children[0])
    elif node.data == "braces_index":
        key = literal(parts_of(node)[0])
        yield "[]" if key is NOT_LITERAL else f"[{key}]"
    elif node.data == "short_index":
        yield f"[{node.children[-1]}]"
    else:
        yield "[]"
        for child in node.children:
            if hasattr(child, "data"):
                yield from _steps(child)


def _text(node: Any) -> Any:  # noqa: ANN401
    parts = [child for child in node.children if hasattr(child, "data")]
    if any(hasattr(part.children[0], "data") for part in parts):
        return NOT_LITERAL
    marks = ("ESCAPED_INTERPOLATION", "ESCAPED_DIRECTIVE")
    tokens = [part.children[0] for part in parts]
    return "".join(str(token)[1:] if token.type in marks else _ESCAPE.sub(_escaped, str(token)) for token in tokens)


def _escaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _ESCAPES[match[3]]


def _negative(node: Any) -> Any:  # noqa: ANN401
    sign, operand = node.children
    value = literal(operand)
    return -value if str(sign) == "-" and isinstance(value, int | float) else NOT_LITERAL


def _list(node: Any) -> Any:  # noqa: ANN401
    values = [literal(part) for part in parts_of(node)]
    return NOT_LITERAL if NOT_LITERAL in values else values


def _map(node: Any) -> Any:  # noqa: ANN401
    values = {}
    for element in elements(node):
        key, value = key_of(element), literal(element.children[-1])
        if key is None or value is NOT_LITERAL:
            return NOT_LITERAL
        values[key] = value
    return values


def elements(node: Any) -> Iterator[Any]:  # noqa: ANN401
    """The ``key = value`` pairs of an object expression."""
    return (child for child in node.children if getattr(child, "data", "") == "object_elem")


def key_of(element: Any) -> str | None:  # noqa: ANN401
    """The key of a pair of an object; None where it is computed."""
    inner = element.children[0].children[0]
    if getattr(inner.children[0], "type", "") == "LPAR":
        return None
    bare = traversal(inner)
    if bare is not None:
        return bare[0] if len(bare) == 1 else None
    if getattr(inner, "data", "") == "keyword":
        return str(inner.children[0])
    value = literal(inner)
    return None if value is NOT_LITERAL else str(value)


_LITERALS: Mapping[str, Callable[[Any], Any]] = {
    "string": _text,
    "int_lit": lambda node: int(str(node.children[0])),
    "float_lit": lambda node: float(str(node.children[0])),
    "literal_value": lambda node: _WORDS[str(node.children[0])],
    "unary_op": _negative,
    "tuple": _list,
    "object": _map,
}
