"""References of a root: everything that is named is declared, and what is declared is used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from advisor.codegen.generate import Finding
from advisor.codegen.hcl import Attribute, Block, Document, Traversal, references
from codegen.check.schemas import BlockSchema, is_built_in, schema_of

_ALWAYS = frozenset({"each", "count", "self", "path", "terraform"})
_UNREAD = (
    ("variable", "type"),
    ("lifecycle", "ignore_changes"),
    ("resource", "provider"),
    ("data", "provider"),
    ("module", "providers"),
)
"""Arguments whose words are no references: (block, argument)."""
_SETTINGS = frozenset({"terraform", "moved", "removed", "import"})


@dataclass(frozen=True, slots=True)
class Declared:
    """The names of one root."""

    variables: Mapping[str, Finding]
    """Name → what to say where it is never used."""
    local_values: Mapping[str, Finding]
    others: frozenset[str]
    """Addresses of resources, data sources and modules."""
    blocks: Mapping[str, Block]


def findings_of_names(documents: Sequence[Document]) -> Iterator[Finding]:
    """References to what is not declared, and declarations that nothing refers to."""
    declared = _declared(documents)
    used: set[str] = set()
    for document in documents:
        for block in document.body.blocks:
            if block.kind not in _SETTINGS:
                named: set[str] = set()
                yield from _of_block(document, block, declared, named)
                # A validation that names its own variable is no use of it.
                used |= named - ({f"var.{block.labels[0]}"} if block.kind == "variable" else set())
    for kind, names in (("var", declared.variables), ("local", declared.local_values)):
        yield from (finding for name, finding in names.items() if f"{kind}.{name}" not in used)


def _declared(documents: Sequence[Document]) -> Declared:
    variables, local_values, blocks = {}, {}, {}
    for document in documents:
        for block in document.body.blocks:
            line = document.line_of(block.start)
            if block.kind == "variable":
                variables[block.labels[0]] = Finding(document.path, line, f"variable {block.labels[0]} is never used")
            elif block.kind == "locals":
                for name, attribute in block.attributes.items():
                    line = document.line_of(attribute.start)
                    local_values[name] = Finding(document.path, line, f"local.{name} is never used")
            elif block.kind in ("resource", "data", "module"):
                blocks[block.address] = block
    return Declared(variables, local_values, frozenset(blocks), blocks)


def _of_block(
    document: Document, block: Block, declared: Declared, used: set[str], names: frozenset[str] = frozenset()
) -> Iterator[Finding]:
    own = names | ({_iterator(block)} if block.kind == "dynamic" else frozenset())
    for attribute in block.attributes.values():
        if (block.kind, attribute.name) not in _UNREAD and not (
            block.kind == "dynamic" and attribute.name == "iterator"
        ):
            yield from _of_attribute(document, attribute, declared, used, own)
    for inner in block.blocks:
        yield from _of_block(document, inner, declared, used, own)


def _iterator(block: Block) -> str:
    given = block.attributes.get("iterator")
    return next(references(given.value.node))[0] if given else block.labels[0]


def _of_attribute(
    document: Document, attribute: Attribute, declared: Declared, used: set[str], names: frozenset[str]
) -> Iterator[Finding]:
    known = names | _loop_names(attribute.value.node)
    line = document.line_of(attribute.start)
    for steps in references(attribute.value.node):
        if steps[0] in known or steps[0] in _ALWAYS or len(steps) == 1:
            continue
        complaint = _complaint(steps, declared, used)
        if complaint:
            yield Finding(document.path, line, complaint)


def _complaint(steps: Traversal, declared: Declared, used: set[str]) -> str:
    """What is wrong with a reference; empty when nothing is. Notes what it uses."""
    root, name = steps[0], steps[1]
    if root in ("var", "local"):
        names = declared.variables if root == "var" else declared.local_values
        used.add(f"{root}.{name}")
        return "" if name in names else f"{root}.{name} is not declared"
    width = 3 if root == "data" else 2
    address = ".".join(steps[:width])
    if address not in declared.others:
        return f"{address} is not declared"
    return _unknown_attribute(declared.blocks[address], steps[width:])


def _unknown_attribute(block: Block, rest: Traversal) -> str:
    """Complain of an attribute that the schema of a resource does not have."""
    asked = next((step for step in rest if not step.startswith("[")), None)
    if block.kind not in ("resource", "data") or asked is None or is_built_in(block.labels[0]):
        return ""
    schema: BlockSchema | None = schema_of(block.kind, block.labels[0])
    if schema is None or asked in schema.attributes or asked in schema.blocks:
        return ""
    return f"{block.address} has no attribute {asked}"


def _loop_names(node) -> frozenset[str]:
    """Names that ``for`` expressions in it declare."""
    if not hasattr(node, "data"):
        return frozenset()
    names = {str(child.children[0]) for child in node.children if getattr(child, "data", "") == "identifier"}
    own = frozenset(names) if node.data == "for_intro" else frozenset()
    return own.union(*(_loop_names(child) for child in node.children))
