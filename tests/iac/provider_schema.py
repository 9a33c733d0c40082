"""A recorded schema as the protocol buffers that Terraform core asks a provider for."""

import json
from typing import Any

from tf.gen import tfplugin_pb2 as protocol

_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}


def schema_message(schema: dict[str, Any]) -> protocol.Schema:
    """The schema of a resource, a data source or the provider itself."""
    return protocol.Schema(version=schema.get("version", 0), block=_block(schema["block"], in_set=False))


def _block(block: dict[str, Any], *, in_set: bool) -> protocol.Schema.Block:
    attributes = [_attribute(name, one, in_set=in_set) for name, one in block.get("attributes", {}).items()]
    nested = [_nested(name, one, in_set=in_set) for name, one in block.get("block_types", {}).items()]
    return protocol.Schema.Block(version=0, attributes=attributes, block_types=nested)


def _attribute(name: str, attribute: dict[str, Any], *, in_set: bool) -> protocol.Schema.Attribute:
    kind = _without_dynamic(attribute["type"]) if in_set else attribute["type"]
    flags = {flag: attribute.get(flag, False) for flag in ("required", "optional", "computed")}
    return protocol.Schema.Attribute(name=name, type=json.dumps(kind).encode(), **flags)


def _nested(name: str, nested: dict[str, Any], *, in_set: bool) -> protocol.Schema.NestedBlock:
    mode = nested["nesting_mode"]
    limits = {} if mode == "map" else {limit: nested.get(limit, 0) for limit in ("min_items", "max_items")}
    inner = _block(nested["block"], in_set=in_set or mode == "set")
    return protocol.Schema.NestedBlock(type_name=name, nesting=_NESTING[mode], block=inner, **limits)


def _without_dynamic(kind: Any) -> Any:
    """Terraform allows no dynamic type below a set block."""
    if kind == "dynamic":
        return "string"
    if isinstance(kind, dict):
        return {name: _without_dynamic(inner) for name, inner in kind.items()}
    if isinstance(kind, list):
        return [kind[0], _without_dynamic(kind[1]), *kind[2:]]
    return kind
