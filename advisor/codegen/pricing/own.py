"""Resources that a person added to generated code, as far as their arguments are literals or data of the plan."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from advisor.codegen.hcl import NOT_LITERAL, Block, Document, literal, traversal
from advisor.codegen.pricing.costs import RULES, no_use
from advisor.codegen.pricing.edits import Edits, is_paid_for_by, source_of
from advisor.codegen.pricing.resources import Resource, Resources, Use
from advisor.records import replace

_COMPUTED = "its arguments are computed"
_META = ("count", "for_each")
_LINKS = re.compile(r"(^|\.)(launch_template|instance_template|id|name|launch_template_id)$")
"""Arguments that lead to another resource."""


def own_uses(
    edits: Edits, documents: Sequence[Document], data: Mapping[str, Any]
) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    """Machines of the resources that a person added; none of one whose type has no rule.

    Args:
        edits: what was added.
        documents: the whole code of the root.
        data: its local values that are literals.
    """
    regions = _provider_regions(documents, data)
    resources = {block.address: _resource(document, block, data, regions) for document, block in edits.own}
    everything = Resources(tuple(resources.values()))
    for document, block in edits.own:
        resource = resources[block.address]
        uses = RULES.get(resource.kind, no_use)(resource, everything)
        times = _times(block, data)
        is_computed = times is None or _is_computed(document, block, data)
        yield (
            resource,
            tuple(
                replace(use, number=None, unpriced=use.unpriced or _COMPUTED)
                if is_computed
                else replace(use, number=None if use.number is None else use.number * (times or 0))
                for use in uses
            ),
        )


def _resource(document: Document, block: Block, data: Mapping[str, Any], regions: Mapping[str, str]) -> Resource:
    kind, name = block.labels
    region = regions.get(kind.partition("_")[0])
    return Resource(
        address=block.address,
        kind=kind,
        name=name,
        values=values_of(block, data),
        references=_references(document, block),
        provider={"region": region} if region else {},
    )


def _provider_regions(documents: Sequence[Document], data: Mapping[str, Any]) -> Mapping[str, str]:
    """Provider → region of its default configuration, where that is known."""
    regions = {}
    for document in documents:
        for block in document.body.of("provider"):
            region = values_of(block, data).get("region")
            if "alias" not in block.attributes and isinstance(region, str):
                regions[block.labels[0]] = region
    return regions


def _references(document: Document, block: Block) -> Mapping[str, tuple[str, ...]]:
    """Argument or block → addresses that its expressions name."""
    texts = [(name, document.source(attribute.value)) for name, attribute in block.attributes.items()]
    texts += [(inner.kind, source_of(document, inner)) for inner in block.blocks]
    return {name: tuple(re.findall(r"\b[a-z]\w*_\w+\.\w+", text)) for name, text in texts}


def _times(block: Block, data: Mapping[str, Any]) -> int | None:
    """Instances of a resource that its count or its keys make; None where they are computed."""
    given = [_value(block.attributes[name].value.node, data) for name in _META if name in block.attributes]
    if not given:
        return 1
    (times,) = given
    if isinstance(times, dict | list):
        return len(times)
    return int(times) if isinstance(times, int | float) else None


def _is_computed(document: Document, block: Block, data: Mapping[str, Any], path: str = "") -> bool:
    """Whether an argument that decides what is paid for is neither a literal nor data of the plan."""
    computed = (
        name
        for name, attribute in block.attributes.items()
        if (path or name not in _META) and _value(attribute.value.node, data) is NOT_LITERAL
    )
    return any(is_paid_for_by(path + name) and not _LINKS.search(path + name) for name in computed) or any(
        _is_computed(document, inner, data, f"{path}{'.'.join((inner.kind, *inner.labels))}.") for inner in block.blocks
    )


def values_of(block: Block, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments that are literals or data of the plan, and blocks as lists."""
    arguments = {name: _value(attribute.value.node, data) for name, attribute in block.attributes.items()}
    blocks: dict[str, list[Mapping[str, Any]]] = {}
    for inner in block.blocks:
        blocks.setdefault(inner.kind, []).append(values_of(inner, data))
    return {**{name: value for name, value in arguments.items() if value is not NOT_LITERAL}, **blocks}


def _value(node: Any, data: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a tree of the parser, and a literal of the code
    steps = traversal(node) or ()
    if steps[:1] != ("local",):
        return literal(node)
    value: Any = data
    for step in steps[1:]:
        value = value.get(step, NOT_LITERAL) if isinstance(value, dict) else NOT_LITERAL
    return value
