"""Schema of a Terraform provider out of its Go source, in the shape of ``providers schema -json``.

usage: extract_go_schema.py SOURCE.git TYPES.txt OUT.json.gz [FORCE_NEW.csv]

For providers that no bindings are published of. The types file names, for each type, the file of the source that declares
it: ``resource ibm_is_lb ibm/service/vpc/resource_ibm_is_lb.go``. The literals ``map[string]*schema.Schema`` are read:
type, flags, element, least and most items. With a fourth argument, arguments that force a replacement are added there.
"""

import csv
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\]|\\.)*"|`[^`]*`|[\w.]+|\S', re.DOTALL)
_CONSTANT = re.compile(r'^\s*(?:const\s+)?(\w+)\s*(?:string\s*)?=\s*"([^"]*)"', re.MULTILINE)
_SCHEMA = re.compile(r"\bSchema:\s*map\[string\]\*schema\.Schema\{")
_TIMEOUTS = re.compile(r"schema\.ResourceTimeout\{(.*?)\n\t*\}", re.DOTALL)
_SCALARS = {
    "schema.TypeString": "string",
    "schema.TypeInt": "number",
    "schema.TypeFloat": "number",
    "schema.TypeBool": "bool",
}
_COLLECTIONS = {"schema.TypeList": "list", "schema.TypeSet": "set", "schema.TypeMap": "map"}
_SHARED = "ibm/flex"

Literal = dict[str, Any]
"""A Go literal: field → its words, or the literal that it holds."""


class Source:
    """The newest commit of a git directory without a work tree."""

    def __init__(self, directory: str) -> None:
        """Read from *directory*."""
        self.directory = directory

    def text(self, path: str) -> str:
        """A file."""
        return self._git("show", f"HEAD:{path}")

    @property
    def version(self) -> str:
        """The provider's."""
        return re.search(r'Version = "([^"]+)"', self.text("version/version.go"))[1]

    @cache  # noqa: B019 - one source a run
    def constants(self, folder: str) -> Mapping[str, str]:
        """Texts that the Go files of a folder give names to."""
        texts = self._git(
            "grep", "-hE", r'^\s*(const\s+)?\w+\s*(string\s*)?=\s*"[^"]*"', "HEAD", "--", f"{folder}/*.go"
        )
        return dict(_CONSTANT.findall(texts))

    def _git(self, *arguments: str) -> str:
        command = ["git", f"--git-dir={self.directory}", *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


class Reader:
    """One Go file."""

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        """Find the schema of its first resource or data source."""
        begun = _SCHEMA.search(text)
        assert begun is not None, "no schema"
        self.tokens = [token for token in _TOKEN.findall(text[begun.end() - 1 :]) if token[:2] not in ("//", "/*")]
        self.names = names
        declared = _TIMEOUTS.search(text[: begun.start()])
        self.timeouts = [name.lower() for name in re.findall(r"(\w+):", declared[1])] if declared else []

    def schema(self) -> Mapping[str, Literal]:
        """Fields of the resource."""
        return self._literal(0)[0]

    def _literal(self, at: int) -> tuple[Literal, int]:
        """The literal whose brace opens at *at*, and the place behind it."""
        fields: Literal = {}
        at += 1
        while self.tokens[at] != "}":
            key = self.tokens[at]
            assert self.tokens[at + 1] == ":", self.tokens[at : at + 5]
            fields[self._named(key)], at = self._value(at + 2)
            at += self.tokens[at] == ","
        return fields, at + 1

    def _value(self, at: int) -> tuple[Any, int]:
        """The value that begins at *at*: a literal of fields, or its words up to the comma or brace that ends it."""
        words: list[str] = []
        while self.tokens[at] not in (",", "}"):
            if self.tokens[at] == "{" and self._is_schema(words):
                literal, at = self._literal(at)
                return {"of": "".join(words), **literal}, at
            if self.tokens[at] in "{([":
                at = self._closing(at)
            words.append(self.tokens[at])
            at += 1
        return " ".join(words), at

    @staticmethod
    def _is_schema(words: list[str]) -> bool:
        text = "".join(words)
        return text in ("", "&schema.Schema", "schema.Schema", "&schema.Resource") or text.endswith("*schema.Schema")

    def _closing(self, at: int) -> int:
        depth = 0
        while True:
            depth += (self.tokens[at] in "{([") - (self.tokens[at] in "})]")
            if depth == 0:
                return at
            at += 1

    def _named(self, key: str) -> str:
        return key[1:-1] if key[0] == '"' else self.names.get(key.rpartition(".")[2], key)


def block(fields: Mapping[str, Literal]) -> dict[str, Any]:
    """A block with its attributes and nested blocks."""
    attributes, blocks = {}, {}
    for name, field in sorted(fields.items()):
        if name == "of":
            continue
        if _inner(field) is not None and not _is_computed_alone(field):
            blocks[name] = _nested(field)
        else:
            flags = {flag.lower(): True for flag in ("Computed", "Optional", "Required") if field.get(flag) == "true"}
            attributes[name] = {"type": _type(field), **flags}
    return {key: value for key, value in (("attributes", attributes), ("block_types", blocks)) if value}


def _inner(field: Literal) -> Mapping[str, Literal] | None:
    """Fields of the elements; None where they are no objects."""
    element = field.get("Elem")
    if not isinstance(element, dict) or element["of"] != "&schema.Resource":
        return None
    schema = element.get("Schema")
    return schema if isinstance(schema, dict) else None


def _is_computed_alone(field: Literal) -> bool:
    return field.get("Computed") == "true" and field.get("Optional") != "true"


def _nested(field: Literal) -> dict[str, Any]:
    least = 1 if field.get("Required") == "true" else 0
    limits = {"min_items": least, "max_items": int(field.get("MaxItems", 0))}
    nesting = {"nesting_mode": _COLLECTIONS[field["Type"]], "block": block(_inner(field) or {})}
    return nesting | {name: number for name, number in limits.items() if number}


def _type(field: Literal) -> Any:
    kind = field["Type"]
    if kind in _SCALARS:
        return _SCALARS[kind]
    inner, element = _inner(field), field.get("Elem")
    if inner is not None:
        return [
            _COLLECTIONS[kind],
            ["object", {name: _type(one) for name, one in sorted(inner.items()) if name != "of"}],
        ]
    of_element = (
        _type(element) if isinstance(element, dict) and "Type" in element else _SCALARS.get(str(element), "string")
    )
    return [_COLLECTIONS[kind], of_element]


def forcing(fields: Mapping[str, Literal], before: str = "") -> Iterator[str]:
    """Arguments whose change makes the provider replace a resource; nested ones where their block does not."""
    for name, field in sorted(fields.items()):
        if name == "of" or _is_computed_alone(field):
            continue
        if field.get("ForceNew") == "true":
            yield f"{before}{name}"
        else:
            yield from forcing(_inner(field) or {}, f"{before}{name}.")


def schema_of(reader: Reader) -> dict[str, Any]:
    """The schema of a resource or data source, with what the plugin library adds to each."""
    body = block(reader.schema())
    body["attributes"].setdefault("id", {"computed": True, "optional": True, "type": "string"})
    if reader.timeouts:
        each = {name: {"optional": True, "type": "string"} for name in reader.timeouts}
        body.setdefault("block_types", {})["timeouts"] = {"nesting_mode": "single", "block": {"attributes": each}}
    return {"version": 0, "block": body}


def main(directory: str, types: str, out: str, force_new: str = "") -> None:
    """Write the schema; the same source and types give the same bytes."""
    source = Source(directory)
    schemas: dict[str, Any] = {"resource_schemas": {}, "data_source_schemas": {}, "provider_version": source.version}
    forced: list[tuple[str, str, str]] = []
    for line in Path(types).read_text(encoding="utf-8").splitlines():
        kind, *name, path = line.split()
        names = {**source.constants(_SHARED), **source.constants(path.rpartition("/")[0])}
        reader = Reader(source.text(path), names)
        if kind == "provider":
            schemas["provider"] = {"version": 0, "block": block(reader.schema())}
            continue
        schemas[f"{kind}_schemas"][name[0]] = schema_of(reader)
        if kind == "resource":
            forced += [(name[0], argument, f"terraform-provider-ibm {path}") for argument in forcing(reader.schema())]
    document = {"format_version": "1.0", "provider_schemas": {"registry.terraform.io/ibm-cloud/ibm": schemas}}
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    Path(out).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    if force_new:
        with Path(force_new).open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(forced)


if __name__ == "__main__":
    main(*sys.argv[1:])
