"""The schema of a Terraform provider out of a ``cdktn-provider-*`` wheel, in the shape of ``providers schema -json``.

usage: extract_schema.py WHEEL TYPES.txt OUT.json.gz

The JavaScript inside the wheel keeps, for every field, its Terraform name, type, nesting, and whether it is a block,
computed, optional or required. Sensitive and deprecated marks and item limits other than one are not kept there.
Neither node nor the provider is needed. The source is under MPL-2.0, and so is what is extracted.
"""

import gzip
import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_ENTRY = re.compile(
    r'"?(\w+)"?: \{\s*value: (.+?),\n\s*isBlock: (true|false),\s*type: "(\w+)",\s*storageClassType: "(\w+)",?\s*\}',
    re.DOTALL,
)
_FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_CLASS = re.compile(r"^class (\w+) extends \w+\.(\w+) \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(
    r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n"
    r"(.*?)(?=\n    // \w+ - computed: |\n    // ====|\Z)",
    re.DOTALL,
)
_ATTRIBUTES = re.compile(r"synthesizeHclAttributes\(\) \{\n(.*?)^    \}", re.DOTALL | re.MULTILINE)
_CHILD_CLASS = re.compile(r"new (?:\w+\.)?(\w+)\(this, [\"']\w+[\"'](?:, (true|false))?\)")
_GETTER = re.compile(r"(tolist\()?this\.get(\w+)Attribute\('")
_SCALARS = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
_MAP_CLASSES = {
    "StringMapList": ["list", ["map", "string"]],
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "AnyMap": ["map", "dynamic"],
}
_GETTERS = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
}
_KINDS = {
    "TerraformResource": "resource_schemas",
    "TerraformDataSource": "data_source_schemas",
    "TerraformProvider": "provider",
}

Type = Any
"""A Terraform type as JSON: a name, or a list such as ``["map", "string"]``."""


class Flags(NamedTuple):
    """What the comment above a getter says of a field."""

    computed: bool
    optional: bool
    required: bool
    code: str

    def as_json(self) -> dict[str, bool]:
        """The flags that are set."""
        return {name: True for name in ("computed", "optional", "required") if getattr(self, name)}


_PLAIN = Flags(computed=False, optional=True, required=False, code="")


class Module:
    """One generated JavaScript file: a resource, a data source or the provider."""

    def __init__(self, text: str) -> None:
        """Index its functions and classes."""
        text = text.split("\n//# sourceMappingURL", maxsplit=1)[0]
        self.functions = {found[1]: found[2] for found in _FUNCTION.finditer(text)}
        self.classes = {found[1]: (found[2], found[3]) for found in _CLASS.finditer(text)}
        self._open: list[str] = []

    def block(self, entries: str, class_body: str) -> dict[str, Any]:
        """A block with its attributes and nested blocks."""
        flags = _flags(class_body)
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for entry in _ENTRY.findall(entries):
            self._place(entry, flags.get(entry[0], _PLAIN), attributes, blocks)
        for name, one in flags.items():
            if name not in attributes and name not in blocks:
                attributes[name] = {"type": self._computed_type(one.code), "computed": True}
        found = {"attributes": dict(sorted(attributes.items())), "block_types": dict(sorted(blocks.items()))}
        return {key: value for key, value in found.items() if value}

    def _place(self, entry: tuple[str, ...], flags: Flags, attributes: dict[str, Any], blocks: dict[str, Any]) -> None:
        """Sort a field in as an attribute or as a nested block."""
        name, value, is_block, kind, storage = entry
        if is_block == "false":
            attributes[name] = {"type": _scalar_type(kind, storage), **flags.as_json()}
            return
        function = re.search(r"(\w+)ToHclTerraform", value)
        if function is None or function[1] not in self.functions or function[1] in self._open:
            attributes[name] = {"type": "dynamic", **flags.as_json()}
            return
        is_list = "listMapperHcl(" in value
        is_real_block = (not is_list or "ToHclTerraform, true)" in value) and not flags.computed
        self._open.append(function[1])
        if is_real_block:
            blocks[name] = self._nested_block(function[1], kind, is_list=is_list, is_required=flags.required)
        else:
            nested = self._nested_type(function[1])
            wrapped = [kind, nested] if kind in ("list", "set", "map") else nested
            attributes[name] = {"type": wrapped, **flags.as_json()}
        self._open.pop()

    def _nested_block(self, function: str, kind: str, *, is_list: bool, is_required: bool) -> dict[str, Any]:
        block: dict[str, Any] = {"nesting_mode": "single" if kind == "struct" else kind, "block": self._body(function)}
        if kind in ("list", "set") and not is_list:
            block["max_items"] = 1
        if is_required:
            block["min_items"] = 1
        return block

    def _body(self, function: str) -> dict[str, Any]:
        name = f"{function[:1].upper()}{function[1:]}OutputReference"
        return self.block(self.functions[function], self.classes.get(name, ("", ""))[1])

    def _nested_type(self, function: str) -> Type:
        """An attribute that holds objects: the object type with all its members."""
        body = self._body(function)
        members = {name: attribute["type"] for name, attribute in body.get("attributes", {}).items()}
        optional = [name for name, attribute in body.get("attributes", {}).items() if not attribute.get("required")]
        for name in body.get("block_types", {}):
            members[name] = "dynamic"
            optional.append(name)
        return ["object", members, optional] if optional else ["object", members]

    def _computed_type(self, code: str) -> Type:
        """The type of a read-only field, from the code of its getter."""
        child = _CHILD_CLASS.search(code)
        if child is not None:
            return self._child_type(child[1], is_set=child[2] == "true")
        getter = _GETTER.search(code)
        if getter is None:
            return "dynamic"
        if getter[2] == "List":
            return ["set" if getter[1] else "list", "string"]
        return _GETTERS.get(getter[2], "dynamic")

    def _child_type(self, name: str, *, is_set: bool) -> Type:
        if name in _MAP_CLASSES:
            return _MAP_CLASSES[name]
        if name.endswith("List"):
            return ["set" if is_set else "list", self._object_type(f"{name[:-4]}OutputReference")]
        if name.endswith("Map"):
            return ["map", self._object_type(f"{name[:-3]}OutputReference")]
        return self._object_type(name)

    def _object_type(self, name: str) -> Type:
        if name not in self.classes:
            return "dynamic"
        members = {field: self._computed_type(flags.code) for field, flags in _flags(self.classes[name][1]).items()}
        return ["object", members] if members else "dynamic"


def _flags(body: str) -> dict[str, Flags]:
    return {
        found[1]: Flags(*(word == "true" for word in found.groups()[1:4]), found[5][:400])
        for found in _FIELD.finditer(body)
    }


def _scalar_type(kind: str, storage: str) -> Type:
    base = next((name for name in _SCALARS if storage.startswith(name)), None)
    if base is None:
        return "dynamic"
    found: Type = _SCALARS[base]
    for wrapper in re.findall(r"List|Map|Set", storage[len(base) :]):
        found = [wrapper.lower(), found]
    return [kind, found[1]] if kind in ("list", "set", "map") and isinstance(found, list) else found


def extract(wheel: Path, types: frozenset[str]) -> dict[str, Any]:
    """The provider's own schema and those of the resources and data sources that are named in *types*."""
    schemas: dict[str, Any] = {"resource_schemas": {}, "data_source_schemas": {}}
    source: dict[str, str] = {}
    for name, text in _members(wheel):
        if name == "package/package.json":
            package = json.loads(text)
            source = (package.get("cdktn") or package["cdktf"])["provider"]
        elif re.fullmatch(r"package/lib/[\w.-]+/index\.js", name):
            _add(schemas, text, types)
    schemas["provider_version"] = source["version"]
    return {"format_version": "1.0", "provider_schemas": {source["name"]: schemas}}


def _add(schemas: dict[str, Any], text: str, types: frozenset[str]) -> None:
    named = re.search(r"terraformResourceType: '(\w+)'", text)
    if named is not None and named[1] not in types and "TerraformProvider {" not in text:
        return
    module = Module(text)
    for base, body in module.classes.values():
        kind = _KINDS.get(base)
        if kind is None:
            continue
        attributes = _ATTRIBUTES.search(body)
        schema = {"version": 0, "block": module.block(attributes[1] if attributes else "", body)}
        typed = re.search(r"terraformResourceType: '(\w+)'", body)
        if kind == "provider":
            schemas["provider"] = schema
        elif typed and typed[1] in types:
            schemas[kind][typed[1]] = schema


def _members(wheel: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(wheel) as outer:
        packed = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(packed))) as inner:
            for member in inner:
                stream = inner.extractfile(member) if member.name.endswith((".js", ".json")) else None
                if stream is not None:
                    yield member.name, stream.read().decode()


def main(wheel: str, types: str, out: str) -> None:
    """Write the schema; the same wheel and types give the same bytes."""
    wanted = frozenset(Path(types).read_text(encoding="utf-8").split())
    document = extract(Path(wheel), wanted)
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    Path(out).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    (schemas,) = document["provider_schemas"].values()
    found = set(schemas["resource_schemas"]) | set(schemas["data_source_schemas"])
    sys.stdout.write(f"{schemas['provider_version']}: {len(found)} types, missing: {sorted(wanted - found)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
