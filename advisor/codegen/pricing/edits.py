"""Edits of generated code that change what is paid for, and resources that a person added to it.

Edits are told by the record beside the code: of a resource that starts machines, or that describes them, those of its
type, number, place and purchase.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from advisor.codegen.hcl import Block, Document, read_hcl
from advisor.codegen.writing.checkout import checkout_of
from advisor.codegen.writing.record import FOLDER, read_record
from advisor.records import dataclass

_PAID = re.compile(
    r"(^|\.)(count|for_each|region|location|zones?|availability_zones?|node_locations|instance_types?|machine_type"
    r"|vm_size|sku|sku_name|size|profile|min_size|min_count|min_node_count|min_replicas|min_instance_count|desired_\w+"
    r"|node_count|initial_node_count|target_size|instances|instance_count|initial_instance_count|total_min_node_count"
    r"|spot|priority|capacity_type|market_type|provisioning_model|preemptible|tenancy|on_demand_\w+|guest_accelerator"
    r"|accelerator_type|accelerator_count|limits|cpu|memory|node_type|shard_count|replica_count|num_\w+"
    r"|replicas_per_node_group|high_availability_enabled)(\.|$)"
    r"|(^|\.)launch_template\w*\.(\w+\.)*(id|name|launch_template_id|launch_template_name)$"
    r"|(^|\.)(instance_template|image_id)$"
)
"""Arguments that decide which machines are paid for, how many, where and how."""
_SCALING = re.compile(r"autoscal|schedule|group_manager|manager_action")
"""Types of resources that change numbers of machines."""
_DESCRIBING = re.compile(r"_template$")
_OVERRIDE = re.compile(r"(^|_)override\.tf$")
_DATA = frozenset(("groups", "regions", "node_pools", "backends", "cache"))
"""Local values that are read as they are."""
_OF_REGIONS = "local.regions"
"""Keys of the machines beside the groups, whose arguments are read as they are."""
_LOCAL = re.compile(r"\blocal\.(\w+)")


@dataclass(frozen=True, slots=True)
class Edits:
    """Edits of a root since it was generated."""

    paid: Mapping[str, str]
    """Address of a generated resource → file in which what it costs was edited."""
    own: tuple[tuple[Document, Block], ...]
    """Resources that a person added, each with its file."""
    modules: tuple[tuple[str, str], ...]
    """Address of a module that a person calls, and its file."""
    hours: Mapping[str, str]
    """Address of a generated resource → file in which it was edited, so that machines may run at other times."""

    def file_of(self, document: Document, block: Block) -> str:
        """File in which the cost of a resource was edited: in it, or in what it names; "" where it was not."""
        text = source_of(document, block)
        named = (file for address, file in self.paid.items() if re.search(rf"\b{re.escape(address)}\b", text))
        return self.paid.get(block.address) or next(named, "")


NO_EDITS = Edits({}, (), (), {})


def record_of(directory: Path) -> tuple[Path | None, str]:
    """Folder with the record of a root, and the root in it; None where there is none."""
    whole = directory.resolve()
    holder = next((folder for folder in (whole, *whole.parents[:2]) if (folder / FOLDER).is_dir()), None)
    return holder, "" if holder in (None, whole) else whole.relative_to(holder).as_posix()


@dataclass(frozen=True, slots=True)
class _Code:
    """Code of a root: as it was generated, or as it is."""

    documents: Sequence[Document]

    @property
    def resources(self) -> Iterator[tuple[Document, Block]]:
        """Each with its file."""
        return ((document, block) for document in self.documents for block in document.body.of("resource"))

    @property
    def modules(self) -> Mapping[str, str]:
        """Address → file of each call."""
        calls = ((document, block) for document in self.documents for block in document.body.of("module"))
        return {block.address: Path(document.path).name for document, block in calls}

    @property
    def local_values(self) -> Mapping[str, str]:
        """Name → expression, of those that are not data of the plan."""
        return {
            name: " ".join(document.source(attribute.value).split())
            for document in self.documents
            for block in document.body.of("locals")
            for name, attribute in block.attributes.items()
            if name not in _DATA
        }


def edits_of(directory: Path, documents: Sequence[Document], starting: Iterable[str]) -> Edits:
    """Edits of a root; none where no record tells them.

    Args:
        directory: of the root.
        documents: its code as it lies there.
        starting: types of resources that are paid for.
    """
    generated = generated_texts(directory, "*.tf")
    if not generated:
        return NO_EDITS
    texts = {document.text.replace("\r\n", "\n"): document for document in documents}
    last = _Code([texts[text] if text in texts else read_hcl(text, name) for name, text in generated.items()])
    now, kinds = _Code(documents), frozenset(starting)
    before = {block.address: (document, block) for document, block in last.resources}
    locals_before, locals_now = last.local_values, now.local_values
    paid: dict[str, str] = {}
    rescheduled: dict[str, str] = {}
    for document, block in now.resources:
        if block.address not in before:
            continue
        then = dict(_arguments(*before[block.address], locals_before))
        edited = dict(_arguments(document, block, locals_now))
        is_paid_for = block.labels[0] in kinds or _DESCRIBING.search(block.labels[0])
        is_read = then.get("for_each") == edited.get("for_each") == _OF_REGIONS
        if is_paid_for and not is_read and _paid(edited) != ({} if is_override(document.path) else _paid(then)):
            paid[block.address] = Path(document.path).name
        if then != edited and _SCALING.search(block.labels[0]):
            rescheduled[block.address] = Path(document.path).name
    own = tuple((document, block) for document, block in now.resources if block.address not in before)
    modules = tuple((address, file) for address, file in now.modules.items() if address not in last.modules)
    return Edits(paid, own, modules, {**paid, **rescheduled})


def is_override(path: str) -> bool:
    """Whether Terraform merges a file into the resources of others."""
    return _OVERRIDE.search(Path(path).name) is not None


def generated_texts(directory: Path, pattern: str) -> Mapping[str, str]:
    """Name → text of each file of a root as it was generated last, of those with a pattern of their paths in it."""
    holder, root = record_of(directory)
    if holder is None:
        return {}
    checkout = checkout_of(holder, read_record(holder))
    folder = PurePosixPath(root or ".") / PurePosixPath(pattern).parent
    return {
        place.name: text
        for path, text in checkout.last().items()
        if (place := PurePosixPath(checkout.place_of(path))).parent == folder and place.match(pattern)
    }


def _paid(arguments: Mapping[str, str]) -> Mapping[str, str]:
    return {path: text for path, text in arguments.items() if _PAID.search(path)}


def _arguments(
    document: Document, block: Block, local_values: Mapping[str, str], path: str = ""
) -> Iterator[tuple[str, str]]:
    """Path → expression of each argument of a block, with local values written out."""
    for name, attribute in block.attributes.items():
        text = " ".join(document.source(attribute.value).split())
        yield path + name, _LOCAL.sub(lambda named: local_values.get(named[1], named[0]), text)
    for inner in block.blocks:
        yield from _arguments(document, inner, local_values, f"{path}{'.'.join((inner.kind, *inner.labels))}.")


def is_paid_for_by(path: str) -> bool:
    """Whether an argument, by its path in a block, decides what is paid for."""
    return _PAID.search(path) is not None


def source_of(document: Document, block: Block) -> str:
    """Expressions of a block, in one text."""
    return "\n".join(text for _, text in _arguments(document, block, {}))
