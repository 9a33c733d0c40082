"""Blocks that belong to the one at an address: those that refer to the same instance of it, or that it refers to."""

from collections.abc import Iterator, Sequence
from typing import Any

from advisor.codegen.applying.resolving import KEYS, Module, Place, Scope, resolve
from advisor.codegen.applying.rules import RULES, Resource, everything_in
from advisor.codegen.hcl import NO_INDEX, Block, Document, indexes_after, traversal
from advisor.records import replace

_COMPUTED = "[]"
"""Key that no literal decides."""
_OWN_KEYS = (("each", "key"), ("count", "index"))
_MOST_COUNTED = 100


def related(first: Resource) -> tuple[Resource, ...]:
    """A resource, and those of its module that belong to it.

    What a resource refers to belongs to it. What refers to it belongs to it where that is one alone: of several groups
    on one template, nothing says which one the plan is for.
    """
    resources, waiting = [], [first]
    seen = {(first.block.address, first.key)}
    while waiting:
        resource = waiting.pop(0)
        users = list(_users_of(resource))
        others = [user for user in users if (user.block.address, user.key) not in seen] if len(users) > 1 else []
        other_users = tuple(sorted(map(_address, others)))
        of_other_keys = tuple(sorted(map(_address, _of_other_keys(resource, users))))
        resources.append(replace(resource, other_users=other_users, of_other_keys=of_other_keys))
        for other in (*_used_by(resource), *(() if others else users)):
            if (other.block.address, other.key) not in seen:
                seen.add((other.block.address, other.key))
                waiting.append(other)
    return tuple(resources)


def _of_other_keys(resource: Resource, users: Sequence[Resource]) -> Iterator[Resource]:
    """Other instances of a looped resource's block, and what refers to them."""
    if resource.key is None or not _is_looped(resource.block):
        return
    for key in _instance_keys(resource, resource.document, resource.block):
        if key not in (None, resource.key):
            yield replace(resource, key=key)
    own = {user.block.address for user in users}
    yield from (user for user in _users_of(replace(resource, key=None)) if user.block.address not in own)


def loop_keys(module: Module, document: Document, block: Block) -> Sequence[str | None]:
    """Keys of the instances of a block; None: the block itself, also where its keys are computed."""
    loop = block.attributes.get("for_each")
    place = resolve(document, loop.value.node, Scope(module), (KEYS,)) if loop else None
    return place.value if isinstance(place, Place) else (None,)


def _address(resource: Resource) -> str:
    return resource.block.address if resource.key is None else f'{resource.block.address}["{resource.key}"]'


def _candidates(resource: Resource) -> Iterator[tuple[Document, Block, str]]:
    """Other blocks that may belong to a resource, with the argument that refers to the other, of whichever refers."""
    for document, block in resource.module.blocks():
        if block.kind == "resource" and block.labels[0] in resource.rule.related:
            yield document, block, resource.rule.related[block.labels[0]]


def _used_by(resource: Resource) -> Iterator[Resource]:
    """Instances of other blocks that a resource refers to."""
    for document, block, argument in _candidates(resource):
        for key in dict.fromkeys(_keys_after(resource, argument, block.address)):
            own = key if _is_looped(block) and key != _COMPUTED else None
            yield Resource(resource.module, document, block, own, RULES[block.labels[0]])


def _users_of(resource: Resource) -> Iterator[Resource]:
    """Instances of other blocks that refer to a resource."""
    for document, block, argument in _candidates(resource):
        for key in _instance_keys(resource, document, block):
            user = Resource(resource.module, document, block, key, RULES[block.labels[0]])
            if _is_meant(resource, set(_keys_after(user, argument, resource.block.address))):
                yield user


def _is_meant(resource: Resource, keys: set[str | None]) -> bool:
    """Whether keys of references to its block lead to a resource."""
    if resource.key is None or not _is_looped(resource.block):
        return bool(keys)
    return resource.key in keys


def _is_looped(block: Block) -> bool:
    return "for_each" in block.attributes or "count" in block.attributes


def _instance_keys(resource: Resource, document: Document, block: Block) -> Sequence[str | None]:
    """Keys under which a block may refer to a resource: its own, or that of the resource where they are computed."""
    if resource.key is None or not _is_looped(block):
        return (None,)
    if "for_each" in block.attributes:
        keys = loop_keys(resource.module, document, block)
    else:
        place = resolve(document, block.attributes["count"].value.node, Scope(resource.module))
        number = str(place.value) if isinstance(place, Place) else ""
        is_counted = number.isdigit() and int(number) <= _MOST_COUNTED
        keys = [str(at) for at in range(int(number))] if is_counted else (None,)
    return (resource.key,) if keys == (None,) else keys


def _keys_after(resource: Resource, argument: str, address: str) -> Iterator[str | None]:
    """Key of each reference to a block under an argument, or a block, of that name; None where it has none."""
    for path, attribute in everything_in(resource.block):
        if argument in path.split("."):
            for index in indexes_after(attribute.value.node, tuple(address.split("."))):
                yield _key_of(resource, index)


def _key_of(resource: Resource, index: Any) -> str | None:  # noqa: ANN401 - a tree of the parser
    """Key that an index is for an instance of the resource that it stands in."""
    if index is NO_INDEX:
        return None
    if isinstance(index, str):
        return index
    steps = traversal(index)
    if steps in _OWN_KEYS or (steps == ("each", "value") and _is_set(resource)):
        return _COMPUTED if resource.key is None else resource.key
    place = resolve(resource.document, index, resource.scope)
    return str(place.value) if isinstance(place, Place) else _COMPUTED


def _is_set(resource: Resource) -> bool:
    """Whether a block loops over a set, whose keys are its values."""
    loop = resource.block.attributes.get("for_each")
    return loop is not None and resource.document.source(loop.value).lstrip("( ").startswith("toset(")
