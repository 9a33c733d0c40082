"""``moved`` blocks: what runs keeps running when its address in the code changes.

An address changes when a resource becomes one for each group, region or backend, when a group gets another key, such as
after a change of its instance type, and when resources of several labels become one over a map. All of it is read off
the code itself, as it was generated last and as it is now. A resource whose name holds its key would be replaced after
a move, so it is moved only where its successor is made first.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from advisor.codegen.hcl import NOT_LITERAL, Block, Document, literal, read_hcl, traversal
from advisor.codegen.quoting import Quoted, hcl_string, name
from advisor.codegen.rollout import Traits, renamed
from advisor.codegen.templates import fill
from advisor.errors import InputError
from advisor.records import dataclass

FILE = "moved.tf"
_TEMPLATE = ("terraform/shared", "moved.tf.j2")
_SAME_KEYS = re.compile(r"^\{\s*for (\w+), \w+ in local\.(\w+) : \1 => ")
_MATTERS = re.compile(r"^(resource|locals) ", re.MULTILINE)
_PLACE = ("region", "zone", "zones", "location")
_PURCHASE = ("spot",)
_TYPE = ("instance_types", "instance_type", "machine_type", "vm_size", "size", "sku")
_JOINED = {
    "azurerm_network_security_rule": (
        "clients", "probes", "nothing_else_in", "https_out", "names_out", "nothing_else_out",
    ),
}  # fmt: skip
"""Type → labels that were resources for each region, and are now those of ``this``, as ``REGION-LABEL``."""
_NAMING = ("name", "name_prefix", "alarm_name", "scheduled_action_name")


@dataclass(frozen=True, slots=True)
class Move:
    """One block."""

    old: Quoted
    new: Quoted


@dataclass(frozen=True, slots=True)
class _Root:
    """Facts of the code of a root that matter here."""

    maps: Mapping[str, Mapping[str, Any]]
    """Local value → its entries, of those that are maps of literals."""
    same_keys: Mapping[str, str]
    """Local value → the one that it has the keys of."""
    resources: Mapping[tuple[str, str], tuple[Document, Block]]

    def keys_of(self, block: Block) -> tuple[str, Mapping[str, Any]] | None:
        """The map that a resource has an instance for each entry of; None where it is another, or none."""
        for_each = block.attributes.get("for_each")
        steps = traversal(for_each.value.node) if for_each else None
        if steps is None or len(steps) != 2 or steps[0] != "local":
            return None
        base = self.same_keys.get(steps[1], steps[1])
        return (base, self.maps[base]) if base in self.maps else None


def with_moves(
    files: Mapping[str, str],
    former: Mapping[str, str],
    roots: Iterable[str],
    renamed_in: Mapping[str, Mapping[str, str]] | None = None,
) -> Mapping[str, str]:
    """The files of the code, with a ``moved.tf`` in each root where something moved since *former*, or before that.

    *renamed_in*: root → old key → new key of what goes on under another one; of roots that are missing, it is read off
    the code.
    """
    pairs = renamed_in or {}
    moved = {
        f"{root}/{FILE}".removeprefix("/"): _moved(_of(files, root), _of(former, root), pairs.get(root))
        for root in roots
    }
    return dict(files) | {path: text for path, text in moved.items() if text}


def _of(files: Mapping[str, str], root: str) -> Mapping[str, str]:
    prefix = f"{root}/" if root else ""
    own = {path.removeprefix(prefix): text for path, text in files.items() if path.startswith(prefix)}
    return {path: text for path, text in own.items() if path.endswith(".tf") and "/" not in path}


def _moved(files: Mapping[str, str], former: Mapping[str, str], pairs: Mapping[str, str] | None) -> str:
    """The text of ``moved.tf``; empty where there is nothing to move."""
    before = {path: text for path, text in former.items() if path != FILE}
    if not files or not before or files == before:
        return former.get(FILE, "")
    now = _root(files)
    last = _root(before)
    moved = [*_moves(last, now, pairs), *_joined(last, now), *_of_regions(last, now)]
    alive = set(_addresses(now))
    targets = {move.new for move in moved}
    written = [move for move in _written(former.get(FILE, "")) if move.old not in alive and move.new not in targets]
    moves = list(dict.fromkeys((*written, *moved)))
    return _text(moves)


def is_as_generated(text: str) -> bool:
    """Whether a ``moved.tf`` holds moves alone, laid out as they are written: nothing in it is of a person."""
    try:
        written = fill(*_TEMPLATE, {"moves": list(_written(text))})
    except (InputError, KeyError):
        return False
    return written.split() == text.split()


def _text(moves: Sequence[Move]) -> str:
    return fill(*_TEMPLATE, {"moves": moves}) if moves else ""


def _root(files: Mapping[str, str]) -> _Root:
    maps: dict[str, Mapping[str, Any]] = {}
    same_keys: dict[str, str] = {}
    resources: dict[tuple[str, str], tuple[Document, Block]] = {}
    for path, text in files.items():
        # The parser takes its time: only what can matter is read.
        document = read_hcl(text if _MATTERS.search(text) else "", path)
        for block in document.body.blocks:
            if block.kind == "resource":
                resources[block.labels[0], block.labels[1]] = (document, block)
            for local, attribute in block.attributes.items() if block.kind == "locals" else ():
                value = literal(attribute.value.node)
                if value is not NOT_LITERAL and isinstance(value, dict):
                    maps[local] = value
                elif same := _SAME_KEYS.match(document.source(attribute.value)):
                    same_keys[local] = same[2]
    return _Root(maps, same_keys, resources)


def _moves(former: _Root, now: _Root, pairs: Mapping[str, str] | None) -> Iterator[Move]:
    other_keys = {local: _other_keys(former.maps.get(local, {}), entries, pairs) for local, entries in now.maps.items()}
    for labels, (document, block) in now.resources.items():
        keys = now.keys_of(block)
        if labels not in former.resources or keys is None or _would_be_replaced(document, block):
            continue
        local, entries = keys
        old = former.resources[labels][1]
        if "for_each" not in old.attributes and "count" not in old.attributes:
            if len(entries) == 1:
                yield Move(_address(labels), _address(labels, next(iter(entries))))
        elif former.keys_of(old) is not None:
            yield from (
                Move(_address(labels, other_key), _address(labels, other))
                for other_key, other in other_keys[local].items()
            )


def _joined(former: _Root, now: _Root) -> Iterator[Move]:
    """Moves of labels that are gone into one that is new, of what has the same name at the provider.

    Without them the new address would take over the name, and the removal of the old one would take it away.
    """
    gone = {labels: placed for labels, placed in former.resources.items() if labels not in now.resources}
    new = {labels: placed for labels, placed in now.resources.items() if labels not in former.resources}
    for old, (old_document, old_block) in gone.items():
        names = dict(_names(former, old_document, old_block))
        for labels, (document, block) in new.items():
            prefix, _, rest = _naming(document, block).partition("${each.key}")
            if labels[0] == old[0] and rest == '"':
                yield from (
                    Move(_address(old, key), _address(labels, other))
                    for key, name in names.items()
                    if "${" not in (other := name.removeprefix(prefix).removesuffix('"')) and name.startswith(prefix)
                )


def _of_regions(former: _Root, now: _Root) -> Iterator[Move]:
    """Moves of labels that became one resource over a map, under names of their own that hold no key."""
    for (kind, label), (_, block) in former.resources.items():
        joined = label in _JOINED.get(kind, ()) and (kind, label) not in now.resources
        regions = former.keys_of(block) if joined and (kind, "this") in now.resources else None
        for region in regions[1] if regions else ():
            yield Move(_address((kind, label), region), _address((kind, "this"), f"{region}-{label.replace('_', '-')}"))


def _names(root: _Root, document: Document, block: Block) -> Iterator[tuple[str, str]]:
    """Key → name at the provider as the code writes it, of each instance that there may be."""
    for_each = block.attributes.get("for_each")
    same = _SAME_KEYS.match(document.source(for_each.value)) if for_each else None
    block_keys = root.keys_of(block)
    keys = root.maps.get(same[2], {}) if same else block_keys[1] if block_keys else {}
    return ((key, _naming(document, block).replace("${each.key}", key)) for key in keys)


def _naming(document: Document, block: Block) -> str:
    """The expression of its name; "" where it has none."""
    return next(
        (document.source(block.attributes[attribute].value) for attribute in _NAMING if attribute in block.attributes),
        "",
    )


def _other_keys(
    former: Mapping[str, Any], now: Mapping[str, Any], pairs: Mapping[str, str] | None
) -> Mapping[str, str]:
    """Old key → new key of the entries that are the same thing under another name."""
    if pairs is None:
        return renamed(_traits(former), _traits(now))
    gone, come = former.keys() - now.keys(), now.keys() - former.keys()
    return {old: new for old, new in pairs.items() if old in gone and new in come}


def _traits(entries: Mapping[str, Any]) -> Mapping[str, Traits]:
    return {
        key: (_fields(entry, _PLACE), _fields(entry, _PURCHASE), _fields(entry, _TYPE))
        for key, entry in entries.items()
    }


def _fields(entry: Any, names: Iterable[str]) -> list[Any]:  # noqa: ANN401 - a value of the code
    return [entry.get(field) for field in names] if isinstance(entry, dict) else [entry]


def _would_be_replaced(document: Document, block: Block) -> bool:
    """Whether its name holds its key, and Terraform neither leaves the name as it is nor makes the successor first."""
    lifecycle = {
        attribute: document.source(settings.attributes[attribute].value)
        for settings in block.of("lifecycle")
        for attribute in settings.attributes
    }
    kept = re.findall(r"\w+", lifecycle.get("ignore_changes", ""))
    return lifecycle.get("create_before_destroy") != "true" and any(
        naming in block.attributes
        and naming not in kept
        and "each.key" in document.source(block.attributes[naming].value)
        for naming in _NAMING
    )


def _addresses(root: _Root) -> Iterator[Quoted]:
    """Every address that is known to exist in the code."""
    for labels, (_, block) in root.resources.items():
        keys = root.keys_of(block)
        if keys is not None:
            yield from (_address(labels, key) for key in keys[1])
        elif "for_each" not in block.attributes and "count" not in block.attributes:
            yield _address(labels)


def _address(labels: tuple[str, str], key: str | None = None) -> Quoted:
    resource = f"{name(labels[0])}.{name(labels[1])}"
    return Quoted(resource if key is None else f"{resource}[{hcl_string(key)}]")


def _written(text: str) -> Iterator[Move]:
    """The moves of earlier runs."""
    document = read_hcl(text, FILE)
    for block in document.body.of("moved"):
        old, new = (document.source(block.attributes[end].value) for end in ("from", "to"))
        yield Move(Quoted(old), Quoted(new))
