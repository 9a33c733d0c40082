"""Resources that a person added to generated code, as far as their arguments are literals or data of the plan."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from advisor.codegen.hcl import NOT_LITERAL, Block, Document
from advisor.codegen.pricing.code import Code, value_of, values_of
from advisor.codegen.pricing.costs import RULES, no_use
from advisor.codegen.pricing.edits import is_paid_for_by, source_of
from advisor.codegen.pricing.resources import Resource, Resources, Use
from advisor.records import replace

_COMPUTED = "its arguments are computed"
_META = ("count", "for_each")
_LINKS = re.compile(r"(^|\.)(launch_template|instance_template|id|name|launch_template_id)$")
"""Arguments that lead to another resource."""


def own_uses(code: Code) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    """Machines of the resources that a person added; none of one whose type has no rule."""
    everything = Resources(tuple(added.resource for added in code.added))
    for added in code.added:
        uses = RULES.get(added.resource.kind, no_use)(added.resource, everything)
        yield added.resource, tuple(_computed(use) if added.is_computed else use for use in uses)
    yield from _of_blocks(code)


def _computed(use: Use) -> Use:
    return replace(use, number=None, unpriced=use.unpriced or _COMPUTED)


def _of_blocks(code: Code) -> Iterator[tuple[Resource, tuple[Use, ...]]]:
    data, own = code.data, code.edits.own
    regions = _provider_regions(code.documents, data)
    resources = {block.address: _resource(document, block, data, regions) for document, block in own}
    everything = Resources(tuple(resources.values()))
    for document, block in own:
        resource = resources[block.address]
        uses = RULES.get(resource.kind, no_use)(resource, everything)
        times = _times(block, data)
        is_computed = times is None or _is_computed(document, block, data)
        yield (
            resource,
            tuple(
                _computed(use)
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
    given = [value_of(block.attributes[name].value.node, data) for name in _META if name in block.attributes]
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
        if (path or name not in _META) and not _is_whole(value_of(attribute.value.node, data))
    )
    return any(is_paid_for_by(path + name) and not _LINKS.search(path + name) for name in computed) or any(
        _is_computed(document, inner, data, f"{path}{'.'.join((inner.kind, *inner.labels))}.") for inner in block.blocks
    )


def _is_whole(value: object) -> bool:
    """Whether nothing in a value is computed."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is not NOT_LITERAL and all(map(_is_whole, parts))
