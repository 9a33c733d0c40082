"""Kinds of resources that hold instance types and counts: which argument holds which figure of the plan."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from advisor.codegen.applying.resolving import Module, Place, Scope, Unresolved, resolve
from advisor.codegen.hcl import Attribute, Block, Document
from advisor.data_files import facts_beside
from advisor.records import dataclass, field


class Figure(StrEnum):
    """Figure of the plan that an argument holds."""

    TYPE = "type"
    TYPES = "types"
    """A list: the planned type, then those that serve alike."""
    EACH_TYPE = "each_type"
    """Several blocks: the planned type in the first, then those that serve alike."""
    INSTANCES = "instances"
    MIN = "min"
    MAX = "max"
    WEIGHT = "weight"
    """Units that an instance counts for in those three numbers."""


TYPES = (Figure.TYPE, Figure.TYPES, Figure.EACH_TYPE)
"""Figures that say which machines, and not how many."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """An argument that Terraform changes by another resource in the place of the one that runs, or by stopping it."""

    argument: str
    """Path of it, or of the block around it."""
    note: str
    """The order of destruction and creation, and the remedy."""
    fixed_name: str = ""
    """Argument whose value no two of its kind can have: with it the new one cannot come first."""
    unless: str = ""
    """Argument that by itself keeps the former in service; "": ``create_before_destroy`` does, without a fixed name."""
    stops: bool = False
    """The resource itself is changed, and is out of service meanwhile, whatever its other arguments."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of resource."""

    arguments: Mapping[str, Figure] = field(hash=False)
    """Path of an argument (blocks by dots) → what it holds."""
    related: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Other resources to change with it: type → the argument that refers to the other, of whichever refers."""
    type_prefix: str = ""
    created_with: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Path of a number of instances at creation alone → why it is not edited, and the remedy."""
    per_zone: tuple[str, ...] = ()
    """Names of arguments that count for each zone of the machines."""
    spot: Mapping[str, object] = field(default_factory=dict, hash=False)
    """Path of an argument → what it says where instances are bought as spot."""
    mixed: str = ""
    """Path of the percentage that is bought on demand: between 0 and 100 the plan's numbers hold for no part."""
    noted: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Path of an argument, or of the block around it, that is not edited → why to look at it."""
    noted_users: Mapping[str, tuple[str, str]] = field(default_factory=dict, hash=False)
    """Kind of a resource that is not edited → the argument by which it refers here, and why to look at it."""
    replacement: Replacement | None = None
    """None: every argument is changed in place, or by what refers to a new version."""


def _figures(arguments: Mapping[str, str]) -> dict[str, Figure]:
    return {path: Figure(name) for path, name in arguments.items()}


def _rule(row: Mapping[str, Any]) -> Rule:
    replacement = Replacement(**row["replacement"]) if "replacement" in row else None
    return Rule(**{**row, "arguments": _figures(row["arguments"]), "replacement": replacement})


_FACTS = facts_beside(__file__, "rules.toml")
RULES: Mapping[str, Rule] = {kind: _rule(row) for kind, row in _FACTS["rules"].items()}
CALL_ARGUMENTS: Mapping[str, Figure] = _figures(_FACTS["calls"])
"""Arguments of a module from elsewhere, by the names that public modules give them."""
CALL_SPOT: Mapping[str, object] = _FACTS["call_spot"]
"""The same of how instances are bought."""
PROVIDERS = {"aws": "aws", "google": "gcp", "azurerm": "azure"}
"""First word of a resource type → provider of the catalog."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A block to edit."""

    module: Module
    document: Document
    block: Block
    key: str | None
    rule: Rule
    inside: tuple[str, str] | None = None
    """Argument of a module's call that is a map, and the key of the entry to edit; None: the arguments of the call."""
    other_users: tuple[str, ...] = ()
    """Addresses of further blocks that refer to it, which are not edited with it."""

    @property
    def scope(self) -> Scope:
        """Where its arguments stand."""
        return Scope(self.module, self.block, self.key)

    def place(self, attribute: Attribute, path: tuple[str, ...] = ()) -> Place | Unresolved:
        """Where the value of an argument, or what lies at a path in it, is written as a literal."""
        return resolve(self.document, attribute.value.node, self.scope, path)

    def values(self, attribute: Attribute, path: tuple[str, ...] = ()) -> list[object]:
        """Values that it is written as; none where no literal decides it."""
        place = self.place(attribute, path)
        if not isinstance(place, Place):
            return []
        return place.value if isinstance(place.value, list) else [place.value]

    def figures(self) -> Iterator[tuple[Figure, Attribute, tuple[str, ...]]]:
        """Figure of each argument that holds one, with the argument and the path in it where that is a map."""
        if self.inside:
            argument, key = self.inside
            for name, figure in self.rule.arguments.items():
                yield figure, self.block.attributes[argument], (key, name)
        else:
            for path, attribute in everything_in(self.block):
                if path in self.rule.arguments:
                    yield self.rule.arguments[path], attribute, ()


def everything_in(block: Block) -> Iterator[tuple[str, Attribute]]:
    """Every argument of a block with its path; those of dynamic blocks under the name of the block."""
    return ((path, attribute) for path, attribute, _ in with_loops(block))


def with_loops(
    block: Block, path: str = "", loops: tuple[Attribute, ...] = ()
) -> Iterator[tuple[str, Attribute, tuple[Attribute, ...]]]:
    """Every argument of a block with its path, and what the dynamic blocks around it go over."""
    for name, attribute in block.attributes.items():
        yield f"{path}{name}", attribute, loops
    for inner in block.blocks:
        if inner.kind == "dynamic":
            own = [inner.attributes[name] for name in ("for_each",) if name in inner.attributes]
            for content in inner.of("content"):
                yield from with_loops(content, f"{path}{inner.labels[0]}.", (*loops, *own))
        else:
            yield from with_loops(inner, f"{path}{inner.kind}.", loops)
