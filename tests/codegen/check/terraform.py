"""Checks of a Terraform root: syntax, the providers' schemas, references, and what reviewers ask of modules."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from advisor.codegen.generate import Finding
from advisor.codegen.hcl import NOT_LITERAL, Block, Document, literal, read_hcl
from advisor.errors import InputError
from codegen.check.arguments import findings_of_block
from codegen.check.names import findings_of_names
from codegen.check.schemas import is_built_in, provider_schema, schema_of

_TEST_SUFFIX = ".tftest.hcl"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_META_ARGUMENTS = frozenset({"count", "for_each", "provider", "depends_on"})
_META_BLOCKS = frozenset({"lifecycle", "provisioner", "connection", "timeouts"})


def findings_of_terraform(files: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the Terraform files, root by root (a folder is a root)."""
    roots: dict[str, list[Document]] = {}
    for path, text in files.items():
        if not path.endswith((".tf", _TEST_SUFFIX)):
            continue
        try:
            document = read_hcl(text, path)
        except InputError:  # found with the syntax of all files
            continue
        if path.endswith(".tf"):
            roots.setdefault(str(PurePosixPath(path).parent), []).append(document)
    for folder, documents in sorted(roots.items()):
        yield from _root(documents, is_example="examples" in PurePosixPath(folder).parts)


def _root(documents: Sequence[Document], *, is_example: bool) -> Iterator[Finding]:
    yield from findings_of_names(documents)
    for document in documents:
        for block in document.body.blocks:
            yield from _schema(document, block)
            yield from _declaration(document, block, is_example=is_example)
    if not is_example:
        yield from _versions(documents)


def _schema(document: Document, block: Block) -> Iterator[Finding]:
    """Arguments and blocks against the recorded schema."""
    if block.kind == "provider":
        schema = provider_schema(block.labels[0])
        if schema is not None:
            yield from findings_of_block(document, block, schema, frozenset({"alias", "version"}), frozenset())
    if block.kind not in ("resource", "data") or is_built_in(block.labels[0]):
        return
    schema = schema_of(block.kind, block.labels[0])
    if schema is None:
        yield Finding(document.path, document.line_of(block.start), f"no schema is recorded for {block.labels[0]}")
        return
    yield from findings_of_block(document, block, schema, _META_ARGUMENTS, _META_BLOCKS)


def _declaration(document: Document, block: Block, *, is_example: bool) -> Iterator[Finding]:
    """Variables are typed and described, outputs described, names in snake case."""
    line = document.line_of(block.start)
    label = block.labels[-1] if block.labels else ""
    if block.kind in ("variable", "output", "resource", "data", "module") and not _NAME.fullmatch(label):
        yield Finding(document.path, line, f"the name {label!r} is not in snake case")
    wanted = {"variable": ("type", "description"), "output": ("description",)}.get(block.kind, ())
    for name in () if is_example else wanted:
        if name not in block.attributes:
            yield Finding(document.path, line, f"{block.kind} {label} has no {name}")


def _versions(documents: Sequence[Document]) -> Iterator[Finding]:
    settings = [block for document in documents for block in document.body.of("terraform")]
    if not any("required_version" in block.attributes for block in settings):
        yield Finding(documents[0].path, 0, "the root does not say which version of Terraform it needs")
    pinned = {name for block in settings for inner in block.of("required_providers") for name in _pinned(inner)}
    for document in documents:
        for block in document.body.of("resource"):
            provider = block.labels[0].split("_", maxsplit=1)[0]
            if provider not in pinned and not is_built_in(block.labels[0]):
                line = document.line_of(block.start)
                yield Finding(document.path, line, f"the provider {provider} has no pinned version")
                return


def _pinned(block: Block) -> Iterator[str]:
    for name, attribute in block.attributes.items():
        value = literal(attribute.value.node)
        if value is not NOT_LITERAL and isinstance(value, dict) and value.get("version"):
            yield name
