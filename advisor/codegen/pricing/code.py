"""Generated code as data: the resources that it starts for each group or region, and the inputs that decide a price."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from advisor.codegen.applying.resolving import Module
from advisor.codegen.hcl import NOT_LITERAL, Block, Document, elements, key_of, literal, read_hcl, traversal, unwrap
from advisor.codegen.pricing.costs import RULES
from advisor.codegen.pricing.edits import NO_EDITS, Edits, edits_of, is_override
from advisor.codegen.pricing.resources import Resource
from advisor.reading import check_regular, read_text
from advisor.records import dataclass

GROUPS, REGIONS, POOLS, CACHE = "groups", "regions", "node_pools", "cache"
"""Names of data in generated code."""
BASE, SOURCE = "on_demand_base", "model_source"
"""Inputs: instances of a spot group that are always bought on demand, by its key; where weights come from."""
CACHES = ("aws_elasticache_replication_group", "azurerm_managed_redis", "google_memorystore_instance")
"""Resources of response caches, as generated code has them."""
CLOUDS = {"aws": "aws", "google": "gcp", "azurerm": "azure", "ibm": "ibm"}
"""How types of resources begin → provider in the catalog."""


class Given(NamedTuple):
    """Value of an input; NOT_LITERAL where it is computed."""

    value: object
    file: str = ""
    """That sets it; "": it is the default."""


Inputs = Mapping[str, Given]
"""By their names, :data:`BASE` and :data:`SOURCE`."""


@dataclass(frozen=True, slots=True)
class Started:
    """A resource that code makes: once, or for each entry of its data."""

    kind: str
    """As Terraform calls it."""
    name: str
    address: str
    """Without the key of an entry."""
    each: str
    """Data that there is one for each entry of; "": it is made once."""
    values: Mapping[str, Any]
    """Arguments that are literals or data."""
    edited_in: str = ""
    """File in which a person changed what it costs; "": in none."""


@dataclass(frozen=True, slots=True)
class Added:
    """A resource that a person added to a program."""

    resource: Resource
    file: str
    is_computed: bool
    """Its number, or an argument that decides what is paid for, is no literal."""


@dataclass(frozen=True, slots=True)
class Code:
    """A root, in whichever language."""

    cloud: str
    """Provider; "": it makes nothing in one."""
    data: Mapping[str, Any]
    """Values by name, those of :data:`GROUPS` among them."""
    started: Sequence[Started]
    given: Inputs
    documents: Sequence[Document] = ()
    """Its files, of Terraform."""
    edits: Edits = NO_EDITS
    """Changes that a person made in them."""
    added: Sequence[Added] = ()
    """Resources of a person's own, of a program."""

    def entries(self, name: str) -> Mapping[str, Any]:
        """Entries of a map among the data; none where there is no such map."""
        value = self.data.get(name)
        return value if isinstance(value, dict) else {}


def terraform_code(directory: Path) -> Code | None:
    """A generated root of Terraform; None where there is none in a directory."""
    documents = terraform_documents(directory)
    data = terraform_data(documents)
    if not data.keys() & {GROUPS, POOLS}:
        return None
    edits = edits_of(directory, documents, RULES.keys() - set(CACHES))
    resources = _generated(documents, edits)
    clouds = [CLOUDS[word] for _, block in resources if (word := block.labels[0].partition("_")[0]) in CLOUDS]
    return Code(
        cloud=next(iter(clouds), ""),
        data=data,
        started=[_started(*resource, data, edits) for resource in resources if resource[1].labels[0] in RULES],
        given=terraform_inputs(directory, documents),
        documents=documents,
        edits=edits,
    )


def terraform_documents(directory: Path) -> Sequence[Document]:
    """Files of a root, those that override others last."""
    paths = sorted(directory.glob("*.tf"), key=lambda path: (is_override(path.name), path.name))
    return [_document_of(path) for path in paths]


def _generated(documents: Sequence[Document], edits: Edits) -> Sequence[tuple[Document, Block]]:
    """Resources of a root that a person did not add, each with its file, without those that override others."""
    own = {block.address for _, block in edits.own}
    resources: dict[str, tuple[Document, Block]] = {}
    for document in documents:
        for block in document.body.of("resource"):
            if block.address not in own:
                resources.setdefault(block.address, (document, block))
    return tuple(resources.values())


def _document_of(path: Path) -> Document:
    check_regular(path, "code")
    return read_hcl(read_text(path, "code"), str(path))


def terraform_inputs(directory: Path, documents: Sequence[Document] = ()) -> Inputs:
    """Inputs of a root: as a file of variables sets them, else by the default of its code."""
    module = Module(directory, directory)
    inputs = {}
    for name in (BASE, SOURCE):
        value, file = module.given(name)
        inputs[name] = Given(value, file) if file else Given(_default(documents, name))
    return inputs


def _default(documents: Sequence[Document], name: str) -> object:
    declared = [
        block.attributes.get("default")
        for document in documents
        for block in document.body.of("variable")
        if block.labels == (name,)
    ]
    defaults = [literal(attribute.value.node) for attribute in declared if attribute is not None]
    return defaults[-1] if defaults else None


def terraform_data(documents: Sequence[Document]) -> Mapping[str, Any]:
    """Local values that are literals, or maps with some."""
    data = {}
    for document in documents:
        for block in document.body.of("locals"):
            for name, attribute in block.attributes.items():
                if (value := _partly_literal(attribute.value.node)) is not NOT_LITERAL:
                    data[name] = value
    return data


def _partly_literal(node: Any) -> Any:  # noqa: ANN401 - a tree of the parser, and a literal of the code
    """A literal; of a map, NOT_LITERAL stands for what is computed in it."""
    value, inner = literal(node), unwrap(node)
    if value is not NOT_LITERAL or getattr(inner, "data", "") != "object":
        return value
    pairs = {key_of(element): element.children[-1] for element in elements(inner)}
    return NOT_LITERAL if None in pairs else {key: _partly_literal(part) for key, part in pairs.items()}


def _started(document: Document, block: Block, data: Mapping[str, Any], edits: Edits) -> Started:
    (kind, name), for_each = block.labels, block.attributes.get("for_each")
    steps = traversal(for_each.value.node) or () if for_each is not None else ()
    each = steps[1] if steps[:1] == ("local",) and len(steps) > 1 else "" if for_each is None else "other"
    if block.address in edits.paid and each != REGIONS:
        each = GROUPS  # as it was generated: its keys may be what was edited
    return Started(kind, name, block.address, each, values_of(block, data), edits.file_of(document, block))


def values_of(block: Block, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments that are literals or data of the plan, and blocks as lists."""
    arguments = {name: value_of(attribute.value.node, data) for name, attribute in block.attributes.items()}
    blocks: dict[str, list[Mapping[str, Any]]] = {}
    for inner in block.blocks:
        blocks.setdefault(inner.kind, []).append(values_of(inner, data))
    return {**{name: value for name, value in arguments.items() if value is not NOT_LITERAL}, **blocks}


def value_of(node: Any, data: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a tree of the parser, and a literal of the code
    """A literal, or data; NOT_LITERAL for what is computed."""
    steps = traversal(node) or ()
    return value_at(data, steps[1:]) if steps[:1] == ("local",) else literal(node)


def value_at(data: Mapping[str, Any], steps: Sequence[str]) -> Any:  # noqa: ANN401 - a literal of the code
    """Value at a path in data; NOT_LITERAL where there is none."""
    value: Any = data
    for step in steps:
        value = value.get(step, NOT_LITERAL) if isinstance(value, dict) else NOT_LITERAL
    return value
