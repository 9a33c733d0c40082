"""Terraform values as a provider sees them: the wire format, unknown values, and made-up results of an apply."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import msgpack
from tf.gen import tfplugin_pb2 as protocol

Block = dict[str, Any]
"""A block of ``terraform providers schema -json``: ``attributes`` and ``block_types``."""


class Unknown:
    """A value that is known after the apply only."""


UNKNOWN = Unknown()


def decode(value: protocol.DynamicValue) -> Any:
    """A value from the wire; unknown parts become :data:`UNKNOWN`."""
    if value.msgpack:
        return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False, ext_hook=lambda _code, _data: UNKNOWN)
    return json.loads(value.json) if value.json else None


def encode(value: Any) -> protocol.DynamicValue:
    """A value for the wire."""
    return protocol.DynamicValue(msgpack=msgpack.packb(value, default=_pack_unknown, use_bin_type=True))


def _pack_unknown(value: object) -> msgpack.ExtType:
    if isinstance(value, Unknown):
        return msgpack.ExtType(0, b"\x00")
    raise TypeError(value)


def each_nested(value: Any, nested: dict[str, Any]) -> Iterator[Any]:
    """The blocks that a nested block type holds in *value*."""
    if value is None or isinstance(value, Unknown):
        return
    mode = nested["nesting_mode"]
    if mode in ("single", "group"):
        yield value
    else:
        yield from value.values() if mode == "map" else value


def mark_unknown(value: dict[str, Any], block: Block) -> None:
    """Make every computed attribute that is not set unknown, as a provider plans it."""
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("computed") and value.get(name) is None:
            value[name] = UNKNOWN
    for name, nested in block.get("block_types", {}).items():
        for inner in each_nested(value.get(name), nested):
            mark_unknown(inner, nested["block"])


def settle(value: dict[str, Any], block: Block, path: str, seed: str) -> None:
    """Give every unknown attribute a made-up value of its type; the same seed gives the same values."""
    for name, attribute in block.get("attributes", {}).items():
        if isinstance(value.get(name), Unknown):
            value[name] = _made_up(attribute["type"], f"{path}.{name}", seed)
    for name, nested in block.get("block_types", {}).items():
        if isinstance(value.get(name), Unknown):
            value[name] = []
        for number, inner in enumerate(each_nested(value.get(name), nested)):
            settle(inner, nested["block"], f"{path}.{name}.{number}", seed)


def without_unknown(value: Any) -> Any:
    """*value* with null in place of what is still unknown inside attributes."""
    if isinstance(value, Unknown):
        return None
    if isinstance(value, dict):
        return {key: without_unknown(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_unknown(entry) for entry in value]
    return value


_NAMED = {
    "partition": "aws",
    "dns_suffix": "amazonaws.com",
    "account_id": "123456789012",
    "cidr_block": "10.0.0.0/16",
    "cluster_security_group_id": "sg-0123456789abcdef0",
    "network": "projects/my-project/global/networks/inference",
    "number": "123456789012",
    "project": "my-project",
    "subnetwork": "projects/my-project/regions/us-central1/subnetworks/inference",
    "subscription_id": "00000000-0000-0000-0000-000000000000",
    "vpc_id": "vpc-0123456789abcdef0",
}
"""Computed attributes that configuration is built from, and that therefore must look real."""


def _made_up(kind: Any, path: str, seed: str) -> Any:
    if kind in ("string", "dynamic"):
        text = _made_up_text(path, seed)
        return text if kind == "string" else ["string", text]
    if kind == "number":
        return int(_hash(path, seed)[:4], 16)
    if kind == "bool":
        return False
    if kind[0] == "object":
        return {name: _made_up(inner, f"{path}.{name}", seed) for name, inner in kind[1].items()}
    if kind[0] == "list" and kind[1][0] == "object":
        # What the cloud made beside a resource: configuration may refer to the first one.
        return [_made_up(kind[1], f"{path}.0", seed)]
    return {} if kind[0] == "map" else []


def _made_up_text(path: str, seed: str) -> str:
    leaf = path.rsplit(".", 1)[-1]
    mark = _hash(path, seed)[:12]
    if leaf in _NAMED:
        return _NAMED[leaf]
    if leaf.endswith("arn"):
        return f"arn:aws:sim:us-east-1:123456789012:{path.split('.', maxsplit=1)[0]}/{mark}"
    if leaf == "json" or leaf.endswith("policy"):
        return json.dumps({"Version": "2012-10-17", "Statement": []})
    return f"{leaf}-{mark}"


def _hash(path: str, seed: str) -> str:
    return hashlib.sha256(f"{seed}.{path}".encode()).hexdigest()
