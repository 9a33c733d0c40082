"""Arguments whose value depends on an edited literal, through locals, variables, outputs and calls of modules."""

from collections.abc import Iterator, Sequence
from typing import Any

from advisor.codegen.applying.addresses import instance_keys, modules_under
from advisor.codegen.applying.resolving import KEYS, Module, Place, Scope, definition_of, dynamic_loop, steps_of
from advisor.codegen.applying.rules import Resource, with_loops
from advisor.codegen.hcl import Attribute, Block, Document, chain, elements, key_of, parts_of, unwrap
from advisor.records import dataclass

WHOLE = "whole"
"""All of a literal, or of a list as many entries as there are."""
COMPUTED = ""
"""Entry of a list by a number that no literal decides."""
_EACH = "each"
"""Step into every entry of a list."""
_USED = ("resource", "data", "module", "output")
_PASSING = frozenset({"tostring", "tonumber", "tolist", "toset", "tomap", "nonsensitive", "merge", "coalesce", "try"})
"""Functions whose arguments keep their entries under the same keys."""
_SLICE = "slice"
Taken = frozenset[tuple[tuple[str, int], str]]
"""File and offset of each literal that a value depends on, with the entry that it takes where the literal is a list."""


@dataclass(frozen=True, slots=True)
class Reader:
    """An argument that depends on edited literals, of a block that is not edited itself."""

    document: Document
    block: Block
    attribute: Attribute
    taken: Taken

    @property
    def where(self) -> str:
        """``path:line (address)``."""
        return f"{self.document.place(self.attribute.start)} ({self.block.address})"

    def entries_of(self, at: tuple[str, int]) -> frozenset[str]:
        """Entries that it takes of the literal at a file and an offset."""
        return frozenset(entry for place, entry in self.taken if place == at)


def readers_of(resources: Sequence[Resource], places: Sequence[Place]) -> tuple[Reader, ...]:
    """Arguments of other blocks of the project that depend on literals.

    *resources*: edited blocks of one module; those of the same code in other calls of it are theirs too.
    """
    if not resources or not places:
        return ()
    module = resources[0].module
    edited = {(resource.document.path, resource.block.start) for resource in resources}
    root = module
    while root.parent is not None:
        if root.call is not None:
            edited.add((root.call[0].path, root.call[1].start))
        root = root.parent
    return tuple(_Trace(root, places).readers(edited))


class _Trace:
    """Dependencies on some literals in the modules of a project."""

    def __init__(self, root: Module, places: Sequence[Place]) -> None:
        self._modules = list(modules_under(root))
        self._spans = {(place.document.path, place.start, place.end) for place in places}
        self._taken: dict[tuple[object, ...], Taken] = {}

    def readers(self, edited: set[tuple[str, int]]) -> Iterator[Reader]:
        """Each reader once, without the *edited* blocks, and without what a call that is a reader leads to."""
        passed: set[int] = set()
        told: set[tuple[str, int]] = set()
        for module in self._modules:
            if id(module.parent) in passed or self._is_passed(module, told):
                passed.add(id(module))
                continue
            for document, block in module.blocks():
                if block.kind not in _USED or (document.path, block.start) in edited:
                    continue
                for attribute, taken in self._of_block(module, document, block):
                    if taken and (document.path, attribute.start) not in told:
                        told |= {(document.path, attribute.start), (document.path, block.start)}
                        yield Reader(document, block, attribute, taken)

    def _is_passed(self, module: Module, told: set[tuple[str, int]]) -> bool:
        return module.call is not None and (module.call[0].path, module.call[1].start) in told

    def _of_block(self, module: Module, document: Document, block: Block) -> Iterator[tuple[Attribute, Taken]]:
        scopes = [Scope(module, block, key) for key in instance_keys(module, document, block)]
        attributes = {part.start: part for _, own, loops in with_loops(block) for part in (own, *loops)}
        for attribute in attributes.values():
            path = (KEYS,) if attribute.name == "for_each" else ()
            parts = (self._of(document, attribute.value.node, scope, path) for scope in scopes)
            yield attribute, frozenset[tuple[tuple[str, int], str]]().union(*parts)

    def _of(self, document: Document, node: Any, scope: Scope, path: tuple[str, ...]) -> Taken:  # noqa: ANN401
        if not hasattr(node, "data"):
            return frozenset()
        node = unwrap(node)
        at = (document.path, getattr(node.meta, "start_pos", -1), getattr(node.meta, "end_pos", -1))
        block = scope.block.start if scope.block else None
        key = (*at, node.data, id(scope.module), block, scope.key, path)
        if key not in self._taken:
            self._taken[key] = frozenset()  # of a value that refers to itself
            if at in self._spans:
                entry = path[0] if path and (path[0].isdigit() or path[0] == COMPUTED) else WHOLE
                self._taken[key] = frozenset({(at[:2], entry)})
            else:
                self._taken[key] = frozenset(self._parts(document, node, scope, path))
        return self._taken[key]

    def _parts(
        self, document: Document, node: Any, scope: Scope, path: tuple[str, ...]  # noqa: ANN401
    ) -> Iterator[tuple[tuple[str, int], str]]:  # fmt: skip
        if path and node.data in ("object", "tuple"):
            for member in _members(node, path[0]):
                yield from self._of(document, member, scope, path[1:])
            return
        if node.data == "function_call":
            yield from self._of_call(document, node, scope, path)
            return
        steps = steps_of(document, node, scope)
        if steps is not None:
            yield from self._of_reference(document, steps, scope, path)
        for child in node.children if steps is None else (step for step in chain(node) or () if hasattr(step, "data")):
            yield from self._of(document, child, scope, ())

    def _of_call(
        self, document: Document, node: Any, scope: Scope, path: tuple[str, ...]  # noqa: ANN401
    ) -> Iterator[tuple[tuple[str, int], str]]:  # fmt: skip
        name = str(node.children[0].children[0])
        given = next((child for child in node.children if getattr(child, "data", "") == "arguments"), None)
        handed = path if name in _PASSING else (COMPUTED,) if name == _SLICE else ()
        for argument in parts_of(given) if given else ():
            yield from self._of(document, argument, scope, handed)

    def _of_reference(
        self, document: Document, steps: tuple[str, ...], scope: Scope, path: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, int], str]]:
        rest = (*(_EACH if step == "[*]" else step.strip("[]") for step in steps[2:]), *path)
        if steps[0] == "module":
            yield from self._of_output(steps, scope, path)
        elif (loop := dynamic_loop(scope.block, steps[0])) is not None:
            yield from self._of(document, loop, scope, (COMPUTED, *rest) if rest else ())
        elif (definition := definition_of(document, steps, scope)) is not None:
            if steps[0] == "each":
                rest = (KEYS,) if steps[1:2] == ("key",) else (scope.key or COMPUTED, *rest)
            where, value, around = definition
            yield from self._of(where, value, around, rest)

    def _of_output(
        self, steps: tuple[str, ...], scope: Scope, path: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, int], str]]:
        names = [number for number, step in enumerate(steps) if number > 1 and not step.startswith("[")]
        for module in self._modules if names else ():
            if module.parent is scope.module and module.call is not None and module.call[1].labels[0] == steps[1]:
                output = module.find(f"output.{steps[names[0]]}")
                value = output[1].attributes.get("value") if output else None
                rest = (*(step.strip("[]") for step in steps[names[0] + 1 :]), *path)
                if output is not None and value is not None:
                    yield from self._of(output[0], value.value.node, Scope(module), rest)


def _members(node: Any, step: str) -> list[Any]:  # noqa: ANN401
    """Members of an object or a list that a step may lead to."""
    if node.data == "tuple":
        members = parts_of(node)
        return members[int(step) :][:1] if step.isdigit() else members
    pairs = [(key_of(element), element.children[-1]) for element in elements(node)]
    own = [value for key, value in pairs if key == step]
    return own or [value for key, value in pairs if (key is None and step != KEYS) or step in (COMPUTED, _EACH)]
