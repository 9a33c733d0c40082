"""Everything that files of code say, as values by subject, whatever their language; comments and layout aside."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any, Final

from advisor.codegen.hcl import NOT_LITERAL, Block, Document, elements, key_of, literal, parts_of, read_hcl, unwrap
from advisor.codegen.python_literals import parse_python
from advisor.reading import json_of

Subject = tuple[str, str]
"""Kind of a thing, and its name: a map of data and the key of an entry, ``resource`` and an address, ``file`` and …"""
Facts = Mapping[Subject, Any]
"""Subject → its value: maps and lists of literals, and of the lines of what is computed (a tuple)."""
Path = tuple[str, ...]
ABSENT: Final = object()
"""Stands for a value that is not there."""
_KUBERNETES = "kubernetes/"
_FLEET = ("fleet.py", "FLEET")
_SETTINGS = "Settings"
VARIABLE = "variable"
_BLOCKS = ("resource", "data", "module", "output", VARIABLE)
"""Kinds of subjects that are blocks of Terraform."""
_COMMENT = "new_line_or_comment"
_SKIPPED_BLOCKS = ("moved", "import", "removed", "check", "terraform", "provider")
"""Blocks that deploy nothing, of which there may be several alike."""
_MOST_CHARACTERS = 90
_CHARACTERS_BEFORE = 25
"""Shown of a long text before the first that differs."""
_MOST_TOLD = 3


def is_object(path: str) -> bool:
    """Whether a file holds objects of a cluster."""
    return f"/{_KUBERNETES}" in f"/{path}" and path.endswith((".yaml", ".yml"))


def facts_of(text: str, path: str, where: str = "") -> Facts:
    """Values of a file by subject; messages call it *where*. Raises InputError if it is no valid HCL or Python."""
    if path.endswith(".tf"):
        return dict(_of_hcl(read_hcl(text, where or path)))
    if path.endswith(".py"):
        return dict(_of_python(parse_python(text, where or path), path))
    value = _of_yaml(text) if path.endswith((".yaml", ".yml")) else ABSENT
    return {("file", path): _code_lines(text) if value is ABSENT else value}


def _code_lines(text: str) -> tuple[str, ...]:
    """Lines without those that are empty or a comment."""
    return tuple(
        line.rstrip()
        for line in text.splitlines()
        if line.strip() and (line.startswith("#!") or not line.lstrip().startswith("#"))
    )


def _of_yaml(text: str) -> Any:  # noqa: ANN401 - a tree of literals
    """Documents by kind and name, the second alike as ``name 2``; the document itself where it is alone without one.

    :data:`ABSENT` where it is not YAML.
    """
    import yaml  # noqa: PLC0415 - only where there is YAML to read

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError:
        return ABSENT
    if len(documents) == 1 and not _title(documents[0]):
        return documents[0]
    titles = [_title(document) for document in documents]
    numbers = [titles[:at].count(title) + 1 for at, title in enumerate(titles)]
    names = [title if number == 1 else f"{title} {number}" for title, number in zip(titles, numbers, strict=True)]
    return dict(zip(names, documents, strict=True))


def _title(document: object) -> str:
    if not isinstance(document, dict):
        return ""
    about = document.get("metadata")
    name = about.get("name", "") if isinstance(about, dict) else ""
    return f"{document.get('kind', '')} {name}".strip()


def _of_hcl(document: Document) -> Iterator[tuple[Subject, Any]]:
    for block in document.body.blocks:
        if block.kind == "locals":
            for name, attribute in block.attributes.items():
                yield from _of_data(name, _hcl_value(document, attribute.value.node))
        elif block.kind not in _SKIPPED_BLOCKS:
            yield (block.kind, block.address), _of_block(document, block)


def _of_data(name: str, value: Any) -> Iterator[tuple[Subject, Any]]:  # noqa: ANN401
    """A value of data; of a map of maps, each entry."""
    if isinstance(value, dict) and value and all(isinstance(entry, dict) for entry in value.values()):
        yield from (((name, key), entry) for key, entry in value.items())
    else:
        yield ("local", name), value


def _of_block(document: Document, block: Block) -> dict[str, Any]:
    """Arguments by name, and blocks by kind: the second of a kind as ``kind 2``."""
    values = {name: _hcl_value(document, attribute.value.node) for name, attribute in block.attributes.items()}
    for inner in block.blocks:
        kind, value = inner.kind, _of_block(document, inner)
        if kind == "dynamic":
            kind, value = inner.labels[0], {**value.pop("content", {}), **value}
        number = 1 + sum(name.partition(" ")[0] == kind for name in values)
        values[kind if number == 1 else f"{kind} {number}"] = value
    return values


def _hcl_value(document: Document, node: Any) -> Any:  # noqa: ANN401 - a tree of the parser
    value = literal(node)
    if value is not NOT_LITERAL:
        return value
    inner = unwrap(node)
    kind = getattr(inner, "data", "")
    if kind == "tuple":
        return [_hcl_value(document, part) for part in parts_of(inner)]
    if kind == "object":
        pairs = {key_of(element): element.children[-1] for element in elements(inner)}
        if None not in pairs:
            return {key: _hcl_value(document, part) for key, part in pairs.items()}
    return _expression_lines(document, node)


def _expression_lines(document: Document, node: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Lines of an expression without comments, each with single spaces."""
    at, pieces = node.meta.start_pos, []
    spans = sorted((part.meta.start_pos, part.meta.end_pos) for part in node.iter_subtrees() if part.data == _COMMENT)
    for start, end in spans:
        pieces += [document.text[at:start], "\n"]
        at = max(at, end)
    pieces.append(document.text[at : node.meta.end_pos])
    lines = ("".join(pieces)).splitlines()
    return tuple(" ".join(line.split()) for line in lines if line.strip())


def _of_python(module: ast.Module, path: str) -> Iterator[tuple[Subject, Any]]:
    """Data of a fleet and settings as those of Terraform; classes, functions and other values by their names."""
    others: list[ast.stmt] = []
    for statement in module.body:
        match statement:
            case ast.ClassDef(name=name, body=body) if name == _SETTINGS:
                own = [field for field in body if not isinstance(field, ast.AnnAssign)]
                yield from (_of_setting(field) for field in body if isinstance(field, ast.AnnAssign))
                statement.body = own or [ast.Pass()]
                yield ("python", f"{path}:{name}"), _unparsed(statement)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(keywords=keywords)) if (
                PurePosixPath(path).name,
                name,
            ) == _FLEET:
                for keyword in keywords:
                    yield from _of_data(str(keyword.arg), _python_value(keyword.value))
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield ("python", f"{path}:{name}"), _unparsed(statement)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield ("python", f"{path}:{name}"), _python_value(value)
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                others.append(statement)
    yield ("python", path), tuple(line for statement in others for line in _unparsed(statement))


def _of_setting(field: ast.AnnAssign) -> tuple[Subject, Any]:
    """A field of the settings as a variable of Terraform."""
    value: dict[str, Any] = {"type": ast.unparse(field.annotation)}
    if isinstance(field.value, ast.Call):
        value |= {str(keyword.arg): _python_value(keyword.value) for keyword in field.value.keywords}
        value["about"] = [_python_value(argument) for argument in field.value.args]
    return (VARIABLE, f"{VARIABLE}.{ast.unparse(field.target)}"), value


def _python_value(node: ast.expr) -> Any:  # noqa: ANN401 - a tree of literals
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_python_value(part) for part in parts]
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
            names = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
            return {name: _python_value(value) for name, value in zip(names, values, strict=True)}
        case ast.Call(args=[], keywords=keywords) if all(keyword.arg for keyword in keywords):
            return {str(keyword.arg): _python_value(keyword.value) for keyword in keywords}
        case _:
            return _unparsed(node)


def _unparsed(node: ast.AST) -> tuple[str, ...]:
    """Lines without comments and docstrings."""
    for part in ast.walk(node):
        body = getattr(part, "body", None)
        if isinstance(body, list) and isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part):
            part.body = body[1:] or [ast.Pass()]
    return tuple(ast.unparse(node).splitlines())


def settings_of(text: str, name: str) -> Mapping[str, Any]:
    """Values of inputs in Terraform's variables or Pulumi's configuration. Raises InputError if it is not valid."""
    if name.endswith(".yaml"):
        settings = _of_yaml(text)
        config = settings.get("config") if isinstance(settings, dict) else None
        return {str(key).rpartition(":")[2]: value for key, value in config.items()} if isinstance(config, dict) else {}
    if name.endswith(".json"):
        values = json_of(text, name)
        return values if isinstance(values, dict) else {}
    document = read_hcl(text, name)
    return {key: _hcl_value(document, each.value.node) for key, each in document.body.attributes.items()}


def overridden(facts: Facts, override: Facts) -> Facts:
    """Values of files with those of an override file in their places, as Terraform merges them.

    Arguments of a block are replaced one by one, blocks in it by all of their kind, values of locals as a whole.
    """
    data = {kind for kind, _ in override if kind not in _BLOCKS}
    merged = {subject: value for subject, value in facts.items() if subject[0] not in data - {"local"}}
    for subject, value in override.items():
        merged[subject] = _merged(merged[subject], value) if subject[0] in _BLOCKS and subject in merged else value
    return merged


def _merged(block: Mapping[str, Any], override: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = {name: value for name, value in block.items() if name.partition(" ")[0] not in override}
    lifecycle = (
        {"lifecycle": {**block.get("lifecycle", {}), **override["lifecycle"]}} if "lifecycle" in override else {}
    )
    return {**kept, **override, **lifecycle}


Difference = tuple[Path, Any, Any]
"""Where in a value, what is expected there, and what is."""


def differences(expected: Any, there: Any, path: Path = ()) -> Iterator[Difference]:  # noqa: ANN401
    """Places where two values differ, as deep in their maps, and lists of entries with names, as they are alike."""
    own, others = _entries(expected), _entries(there)
    if own is not None and others is not None and (own or others):
        for key in {**own, **others}:
            yield from differences(own.get(key, ABSENT), others.get(key, ABSENT), (*path, key))
    elif _parts(expected) != _parts(there):
        yield path, expected, there


def _entries(value: Any) -> Mapping[str, Any] | None:  # noqa: ANN401
    """Entries of a map, and of a list of maps by their names, else by their numbers from 1; None of what has none."""
    if value is ABSENT:
        return {}
    if isinstance(value, dict):
        return {str(key): entry for key, entry in value.items()}
    if not (isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value)):
        return None
    names = [str(entry.get("name", number)) for number, entry in enumerate(value, 1)]
    keys = names if len(set(names)) == len(names) else [str(number) for number, _ in enumerate(value, 1)]
    return dict(zip(keys, value, strict=True))


def words_of(told: Sequence[Difference]) -> str:
    """Differences of a subject in words, with both values; "" where there are none."""
    shown = [
        f"{'.'.join(path)}: {_pair(there, expected)}".removeprefix(": ") for path, expected, there in told[:_MOST_TOLD]
    ]
    return "; ".join([*shown, *([f"{len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else [])])


def _pair(there: Any, expected: Any) -> str:  # noqa: ANN401
    """Both values; of those with several lines or entries, the first that differ."""
    own, others = (_parts(value) for value in (there, expected))
    if len(own) > 1 or len(others) > 1:
        changes = [
            change
            for change in SequenceMatcher(None, own, others, autojunk=False).get_opcodes()
            if change[0] != "equal"
        ]
        if changes:
            _, start, end, other_start, other_end = changes[0]
            own, others = own[start:end], others[other_start:other_end]
    texts = [" ".join(part.strip() for part in parts) for parts in (own, others)]
    if max(map(len, texts)) > _MOST_CHARACTERS and (start := _alike(*texts) - _CHARACTERS_BEFORE) > 0:
        texts = [f"…{text[start:]}" for text in texts]
    in_code, in_plan = (text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…" for text in texts)
    return f"{in_code or 'none'} in the code, {in_plan or 'none'} in the plan"


def _parts(value: Any) -> Sequence[str]:  # noqa: ANN401
    """Lines of a text, entries of a list, keys of a map; none of what is null, empty or not there."""
    match value:
        case tuple() | list() | dict():
            return [" ".join(part) if isinstance(part, tuple) else str(part) for part in value]
        case str():
            return value.splitlines()
        case _:
            return [] if value is None or value is ABSENT else [str(value)]


def _alike(first: str, second: str) -> int:
    """Number of characters that two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
