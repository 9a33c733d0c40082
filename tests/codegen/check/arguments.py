"""A block against its provider's schema: names, what is required, what may repeat, and the types of literals."""

import re
from collections.abc import Iterator
from typing import Any

from advisor.codegen.generate import Finding
from advisor.codegen.hcl import NOT_LITERAL, Block, Document, literal
from codegen.check.schemas import BlockSchema

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def findings_of_block(
    document: Document, block: Block, schema: BlockSchema, more_arguments: frozenset[str], more_blocks: frozenset[str]
) -> Iterator[Finding]:
    """What the provider would refuse.

    Args:
        document: the file.
        block: a resource, data source, provider or a block inside one.
        schema: of the block.
        more_arguments: arguments that Terraform itself takes there.
        more_blocks: blocks that Terraform itself takes there.
    """
    yield from _arguments(document, block, schema, more_arguments)
    for inner in block.blocks:
        yield from _nested(document, inner, schema, more_blocks)
    yield from _counts(document, block, schema)


def _arguments(document: Document, block: Block, schema: BlockSchema, more: frozenset[str]) -> Iterator[Finding]:
    for name, attribute in block.attributes.items():
        line = document.line_of(attribute.start)
        declared = schema.attributes.get(name)
        if declared is None:
            if name not in more:
                what = "is a block there, not an argument" if name in schema.blocks else "is no argument there"
                yield Finding(document.path, line, f"{name} {what} ({_title(block)})")
        elif not declared.get("required") and not declared.get("optional"):
            yield Finding(document.path, line, f"{name} is read-only ({_title(block)})")
        else:
            value = literal(attribute.value.node)
            if value is not NOT_LITERAL and value is not None and not fits(value, declared["type"]):
                yield Finding(document.path, line, f"{name} has to be of type {_named(declared['type'])}")
    for name, declared in schema.attributes.items():
        if declared.get("required") and name not in block.attributes:
            line = document.line_of(block.start)
            yield Finding(document.path, line, f"{_title(block)} needs the argument {name}")


def _nested(document: Document, inner: Block, schema: BlockSchema, more: frozenset[str]) -> Iterator[Finding]:
    name, content = _content(inner)
    line = document.line_of(inner.start)
    if content is None:
        yield Finding(document.path, line, f"dynamic {name} has no content")
    elif name in schema.blocks:
        yield from findings_of_block(document, content, schema.inner(name), frozenset(), frozenset())
    elif name not in more:
        what = "is an argument there, not a block" if name in schema.attributes else "is no block there"
        yield Finding(document.path, line, f"{name} {what}")


def _content(block: Block) -> tuple[str, Block | None]:
    """A nested block, and what a ``dynamic`` one repeats."""
    if block.kind != "dynamic":
        return block.kind, block
    return block.labels[0], next(block.of("content"), None)


def _counts(document: Document, block: Block, schema: BlockSchema) -> Iterator[Finding]:
    present = [_content(inner)[0] for inner in block.blocks]
    fixed = [inner.kind for inner in block.blocks]
    line = document.line_of(block.start)
    for name, nested in schema.blocks.items():
        most = nested.get("max_items") or (1 if nested["nesting_mode"] == "single" else 0)
        if nested.get("min_items") and name not in present:
            yield Finding(document.path, line, f"{_title(block)} needs a block {name}")
        if most and fixed.count(name) > most:
            yield Finding(document.path, line, f"{_title(block)} takes {most} block {name}, not {fixed.count(name)}")


def fits(value: Any, declared: Any) -> bool:
    """Whether a literal can be of a type (text or a list, as in the recorded schemas), as Terraform converts it."""
    if isinstance(declared, str):
        return _fits_scalar(value, declared)
    kind, inner = declared[0], declared[1]
    if kind in ("list", "set"):
        return isinstance(value, list) and all(fits(one, inner) for one in value)
    if kind == "map":
        return isinstance(value, dict) and all(fits(one, inner) for one in value.values())
    if kind == "object":
        return isinstance(value, dict) and all(fits(one, inner[key]) for key, one in value.items() if key in inner)
    return True


def _fits_scalar(value: Any, declared: str) -> bool:
    if declared == "number":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)
    if declared == "bool":
        return isinstance(value, bool) or value in ("true", "false")
    return declared != "string" or isinstance(value, str | int | float)


def _named(declared: Any) -> str:
    return declared if isinstance(declared, str) else str(declared[0])


def _title(block: Block) -> str:
    return " ".join((block.kind, *block.labels))
