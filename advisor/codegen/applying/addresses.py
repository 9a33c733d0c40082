"""Addresses of a project: the block that one names, and the blocks that belong to it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from advisor.codegen.applying.project import Module
from advisor.codegen.applying.rules import CALL_ARGUMENTS, RULES, Rule
from advisor.codegen.hcl import Attribute, Block, Document, references
from advisor.errors import InputError

_STEP = re.compile(r'\.?(?P<name>[A-Za-z_][\w-]*)(?:\[(?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<number>\d+))\])?')
_HINT = "such as aws_launch_template.gpu, module.x.aws_autoscaling_group.gpu or 'aws_instance.gpu[\"a\"]'"


@dataclass(frozen=True, slots=True)
class Resource:
    """A block to edit."""

    module: Module
    document: Document
    block: Block
    key: str | None
    rule: Rule


def resources_at(root: Module, address: str) -> tuple[Resource, ...]:
    """The block at an address, and those that belong to it."""
    module, rest, call_key = _descend(root, _steps(address), address)
    if len(rest) == 1:
        return (_call(module, rest[0][1], call_key),)
    block_address, key = ".".join(name for name, _ in rest), rest[-1][1]
    found = module.find(block_address) if len(rest) == 2 else None
    rule = RULES.get(rest[0][0])
    if len(rest) == 2 and rule is None:
        known = sorted(name for name in RULES if name.startswith(rest[0][0].split("_")[0]))
        raise InputError(
            f"{rest[0][0]} holds no instance type or count that is known", hint=f"known: {', '.join(known)}"
        )
    if found is None or rule is None:
        raise InputError(f"there is no {address}", where=str(module.directory), hint=_near(module, rest[0][0]))
    first = Resource(module, *found, key, rule)
    return (first, *_related(first, {block_address}))


def _steps(address: str) -> list[tuple[str, str | None]]:
    """``a.b["k"].c`` → names with the key after each."""
    steps: list[tuple[str, str | None]] = []
    at = 0
    while at < len(address):
        found = _STEP.match(address, at)
        if found is None or (at == 0) == found[0].startswith("."):
            raise InputError(f"{address!r} is no address", hint=_HINT)
        text = found["text"]
        steps.append((found["name"], text if text is not None else found["number"]))
        at = found.end()
    return steps


def _descend(
    module: Module, steps: list[tuple[str, str | None]], address: str
) -> tuple[Module, list[tuple[str, str | None]], str | None]:
    """Through the modules of an address to the last one that is on this disk."""
    key: str | None = None
    while len(steps) >= 2 and steps[0][0] == "module":
        name, key = steps[1]
        inner = module.inner(name, key)
        if inner is None or len(steps) == 2:
            return module, [(name, name)], key
        module, steps = inner, steps[2:]
    if len(steps) != 2:
        raise InputError(f"{address!r} is no address of a resource", hint=_HINT)
    return module, steps, key


def _call(module: Module, name: str | None, key: str | None) -> Resource:
    """A call of a module from elsewhere: its own arguments are edited."""
    found = module.find(f"module.{name}")
    if found is None:
        raise InputError(f"there is no module {name!r}", where=str(module.directory))
    return Resource(module, *found, key, Rule(CALL_ARGUMENTS))


def _near(module: Module, typed: str) -> str:
    there = sorted(
        block.address for _, block in module.blocks() if block.kind == "resource" and block.labels[0] == typed
    )
    if there:
        return f"there are {', '.join(there)}"
    others = sorted(
        block.address for _, block in module.blocks() if block.kind == "resource" and block.labels[0] in RULES
    )
    return f"resources that can be edited there: {', '.join(others)}" if others else "no resource there can be edited"


def _related(first: Resource, seen: set[str]) -> Iterator[Resource]:
    """Resources of the module that refer to it or that it refers to, and those of these."""
    for document, block in first.module.blocks():
        if block.kind != "resource" or block.address in seen or block.labels[0] not in first.rule.related:
            continue
        argument = first.rule.related[block.labels[0]]
        if _refers(block, argument, first.block.address) or _refers(first.block, argument, block.address):
            seen.add(block.address)
            other = Resource(first.module, document, block, first.key, RULES[block.labels[0]])
            yield other
            yield from _related(other, seen)


def _refers(block: Block, argument: str, address: str) -> bool:
    """Whether anything under an argument or a block of that name refers to an address."""
    wanted = tuple(address.split("."))
    return any(
        steps[:2] == wanted
        for name, attribute in everything_in(block)
        if argument in name.split(".")
        for steps in references(attribute.value.node)
    )


def everything_in(block: Block, path: str = "") -> Iterator[tuple[str, Attribute]]:
    """Every argument of a block with its path; those of dynamic blocks under the name of the block."""
    for name, attribute in block.attributes.items():
        yield f"{path}{name}", attribute
    for inner in block.blocks:
        if inner.kind == "dynamic":
            for content in inner.of("content"):
                yield from everything_in(content, f"{path}{inner.labels[0]}.")
        else:
            yield from everything_in(inner, f"{path}{inner.kind}.")
