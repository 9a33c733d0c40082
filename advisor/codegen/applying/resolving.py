"""Path from an argument to the literal that decides it: through variables, locals, maps, modules and their files."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from advisor.codegen.hcl import (
    NOT_LITERAL,
    Attribute,
    Block,
    Document,
    chain,
    elements,
    key_of,
    literal,
    parts_of,
    read_hcl,
    traversal,
    unwrap,
)
from advisor.errors import InputError
from advisor.reading import check_regular, read_json
from advisor.records import dataclass, replace

_INSTALLED = ".terraform/modules/modules.json"
_JSON = ".json"
_AUTOMATIC = ("*.auto.tfvars", "*.auto.tfvars.json")


@dataclass(frozen=True)
class Module:
    """One folder of ``.tf`` files, as it is called from its parent."""

    directory: Path
    root: Path
    """The directory that paths are shown relative to."""
    name: str = ""
    """Address of the module, such as ``module.x``; "": the root."""
    parent: "Module | None" = None
    call: "tuple[Document, Block] | None" = None
    """The ``module`` block, and the file that it is in."""
    call_key: str | None = None
    """Instance of the call, where it has ``for_each``."""
    is_editable: bool = True
    """False for a copy that `terraform init` downloaded."""

    @cached_property
    def documents(self) -> tuple[Document, ...]:
        """Documents in the order of their names; those ending in ``override.tf`` last, as Terraform merges them."""
        paths = sorted(self.directory.glob("*.tf"), key=lambda path: (path.stem.endswith("override"), path.name))
        return tuple(_read(path, self.root) for path in paths)

    @cached_property
    def variable_files(self) -> tuple[Document, ...]:
        """Files of the root that set variables by themselves, in the order in which Terraform reads them."""
        return tuple(_read(path, self.root) for path in self._variable_paths if path.suffix != _JSON)

    @cached_property
    def _variable_paths(self) -> tuple[Path, ...]:
        """Files of :attr:`variable_files` and those in JSON among them; the last one that sets a variable counts."""
        if self.parent is not None:
            return ()
        first = [self.directory / name for name in ("terraform.tfvars", "terraform.tfvars.json")]
        later = sorted(path for kind in _AUTOMATIC for path in self.directory.glob(kind))
        return tuple(path for path in (*first, *later) if path.is_file())

    def given(self, name: str) -> tuple[object, str]:
        """Value that files of the root give a variable, NOT_LITERAL for a computed one, and the file; "": none does."""
        given: tuple[object, str] = (None, "")
        for path in self._variable_paths:
            if path.suffix == _JSON:
                keys = _json_keys(path)
                given = (keys[name], path.name) if name in keys else given
            elif (attribute := _read(path, self.root).body.attributes.get(name)) is not None:
                given = literal(attribute.value.node), path.name
        return given

    def blocks(self) -> Iterator[tuple[Document, Block]]:
        """Every top-level block, with its file."""
        return ((document, block) for document in self.documents for block in document.body.blocks)

    def find(self, address: str) -> "tuple[Document, Block] | None":
        """The block with an address, such as ``aws_lb.this`` or ``module.x``."""
        return next(((document, block) for document, block in self.blocks() if block.address == address), None)

    def local_value(self, name: str) -> "tuple[Document, Attribute] | None":
        """Where ``local.name`` is defined."""
        for document, block in self.blocks():
            if block.kind == "locals" and name in block.attributes:
                return document, block.attributes[name]
        return None

    def variable(self, name: str) -> "tuple[Document, Block] | None":
        """The declaration of a variable."""
        return self.find(f"variable.{name}")

    def json_variable_file(self, name: str) -> str:
        """The JSON file that sets a variable of the root; "" where none does."""
        in_json = (path for path in reversed(self._variable_paths) if path.suffix == _JSON)
        return next((str(path.relative_to(self.root)) for path in in_json if name in _json_keys(path)), "")

    def inner(self, name: str, key: str | None) -> "Module | None":
        """Module that a call leads to; None: its files are elsewhere. Raises InputError if there is no such call."""
        call = self.find(f"module.{name}")
        if call is None:
            raise InputError(f"there is no module {name!r}", where=str(self.directory), hint=self._calls())
        address = f"{self.name}.module.{name}".removeprefix(".")
        source = call[1].attributes.get("source")
        text = literal(source.value.node) if source else None
        if isinstance(text, str) and text.startswith((".", "/")):
            directory: Path | None = (self.directory / text).resolve()
            is_editable = self.is_editable
        else:
            directory, is_editable = self._installed(address), False
        if directory is None or not directory.is_dir():
            return None
        return Module(directory, self.root, address, self, call, key, is_editable)

    def _installed(self, address: str) -> Path | None:
        """Where `terraform init` put a module."""
        index = self.root / _INSTALLED
        key = address.replace("module.", "")
        try:
            modules = read_json(index, "list of modules")["Modules"]
            return next((self.root / module["Dir"] for module in modules if module["Key"] == key), None)
        except (InputError, KeyError, TypeError):
            return None

    def _calls(self) -> str:
        names = sorted(block.labels[0] for _, block in self.blocks() if block.kind == "module")
        return f"its modules: {', '.join(names)}" if names else "it calls no modules"


def open_project(directory: Path) -> Module:
    """The root module in *directory*. Raises InputError if it is not a directory, or holds no Terraform."""
    if not directory.is_dir():
        raise InputError("not a directory", where=str(directory), hint="give the directory of a Terraform root")
    root = Module(directory.resolve(), directory.resolve())
    if not root.documents:
        raise InputError("no .tf files", where=str(directory), hint="give the directory of a Terraform root")
    return root


def open_projects(directory: Path) -> dict[str, Module]:
    """The root module in *directory*, or those of its folders where it has no code itself, by their names.

    Raises InputError if it is not a directory, or neither it nor a folder of it holds Terraform.
    """
    folders = sorted(path for path in directory.glob("*/") if not path.name.startswith(".") and any(path.glob("*.tf")))
    if any(directory.glob("*.tf")) or not folders:
        return {"": open_project(directory)}
    return {f"{folder.name}/": open_project(folder) for folder in folders}


def _read(path: Path, root: Path) -> Document:
    check_regular(path, "code")
    try:
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        # Bytes, so that an edit leaves line ends as they are.
        return read_hcl(path.read_bytes().decode("utf-8"), str(shown))
    except OSError as error:
        hint = "see that it is a file that you may read"
        raise InputError(f"cannot read: {error.strerror}", where=str(path), hint=hint) from error
    except UnicodeDecodeError as error:
        hint = "save it in UTF-8, as Terraform demands, or move it away"
        raise InputError("not UTF-8 text", where=str(path), hint=hint) from error


def _json_keys(path: Path) -> Mapping[str, object]:
    try:
        document = read_json(path, "variables")
    except InputError:
        return {}
    return document if isinstance(document, dict) else {}


_TRANSPARENT = frozenset({"tostring", "tonumber", "tolist", "toset", "tomap", "nonsensitive"})
_DEEPEST = 30
_DEEPEST_INDEX = 3
"""Names that the index of an index may pass."""
_NO_KEYS = frozenset({"[]", "[*]"})
KEYS = "*"
"""Last step of a path that asks for the keys of a map, or the texts of a set, in place of a value."""


@dataclass(frozen=True, slots=True)
class Place:
    """A literal in a file."""

    document: Document
    start: int
    end: int
    value: Any
    through: tuple[str, ...]
    """Names that the value passes, such as ``var.instance_type``: others that use them change too."""
    entries: tuple[tuple[int, int], ...] = ()
    """Start and end of each entry of a list."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why the value is written nowhere that could be edited."""

    reason: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands."""

    module: Module
    block: Block | None = None
    """The resource, for ``each``."""
    key: str | None = None
    """Its instance."""


@dataclass(frozen=True, slots=True)
class _Question:
    """An expression, the steps into its value, and how it was come to."""

    document: Document
    node: Any
    scope: Scope
    path: tuple[str, ...] = ()
    through: tuple[str, ...] = ()


def resolve(
    document: Document, node: Any, scope: Scope, path: tuple[str, ...] = ()  # noqa: ANN401 - a syntax tree
) -> Place | Unresolved:  # fmt: skip
    """Where the value of an expression, or what lies at a path in it, is written as a literal."""
    return _resolve(_Question(document, node, scope, path))


def _resolve(question: _Question) -> Place | Unresolved:
    node = unwrap(question.node)
    if len(question.through) > _DEEPEST:
        return _unresolved(question, node, "refers to itself")
    if node.data == "function_call":
        return _call(question, node)
    if question.path and node.data in ("object", "tuple"):
        return _into(question, node)
    value = literal(node)
    if not question.path and value is not NOT_LITERAL and value is not None and not isinstance(value, dict):
        members = parts_of(node) if node.data == "tuple" else []
        entries = tuple((member.meta.start_pos, member.meta.end_pos) for member in members)
        return Place(question.document, node.meta.start_pos, node.meta.end_pos, value, question.through, entries)
    if node.data == "tuple" and len(members := parts_of(node)) == 1:
        return _resolve(replace(question, node=members[0]))
    return _reference(question, node)


def _reference(question: _Question, node: Any) -> Place | Unresolved:  # noqa: ANN401
    steps = steps_of(question.document, node, question.scope, question.through)
    if steps is None:
        return _unresolved(question, node, "is computed")
    return _no_index(question, node) if _NO_KEYS.intersection(steps) else _follow(question, node, steps)


def _no_index(question: _Question, node: Any) -> Unresolved:  # noqa: ANN401
    block, indexes = question.scope.block, [traversal(step) for step in chain(node) or () if hasattr(step, "data")]
    if block is not None and question.scope.key is None and any(index in OWN_KEYS for index in indexes):
        return _several(block)
    return _unresolved(question, node, "has an index that no literal decides")


def steps_of(
    document: Document, node: Any, scope: Scope, through: tuple[str, ...] = ()  # noqa: ANN401
) -> tuple[str, ...] | None:  # fmt: skip
    """Steps of a reference, each index in brackets: its key, ``*`` of a splat, nothing where no literal decides it.

    None: the expression is not a reference.
    """
    steps = chain(node)
    if steps is None:
        return None
    return tuple(step if isinstance(step, str) else f"[{_index(document, step, scope, through)}]" for step in steps)


def _index(document: Document, node: Any, scope: Scope, through: tuple[str, ...]) -> str:  # noqa: ANN401
    """Key that an expression in brackets is for the instance that it stands in; "" where no literal decides it."""
    steps = traversal(node)
    loop = scope.block.attributes.get("for_each") if scope.block else None
    if steps in OWN_KEYS or (steps == ("each", "value") and loop is not None and is_set(document, loop)):
        return scope.key or ""
    if len(through) > _DEEPEST_INDEX:
        return ""
    place = _resolve(_Question(document, node, scope, (), (*through, "[]")))
    return str(place.value) if isinstance(place, Place) else ""


OWN_KEYS = (("each", "key"), ("count", "index"))
"""References to the key of the instance that they stand in."""


def is_set(document: Document, loop: Attribute) -> bool:
    """Whether ``for_each`` goes over a set, whose values are the keys."""
    return document.source(loop.value).lstrip("( ").startswith("toset(")


def _follow(question: _Question, node: Any, steps: tuple[str, ...]) -> Place | Unresolved:  # noqa: ANN401
    rest = (*steps[2:], *question.path)
    if steps[:1] == ("var",) and len(steps) > 1:
        return _variable(question, node, steps[1], rest)
    if steps[:1] == ("local",) and len(steps) > 1:
        local = question.scope.module.local_value(steps[1])
        if local is None:
            return _unresolved(question, node, "is not declared")
        return _next(question, local[0], local[1].value.node, rest, _label(question, f"local.{steps[1]}"))
    if steps[:2] == ("each", "value"):
        return _each(question, node, rest)
    if steps[1:2] == ("value",) and (loop := dynamic_loop(question.scope.block, steps[0])) is not None:
        return _in_dynamic_block(replace(question, node=loop, path=rest), node)
    return _unresolved(question, node, "comes from elsewhere")


def _in_dynamic_block(question: _Question, node: Any) -> Place | Unresolved:  # noqa: ANN401
    """The list that a dynamic block goes over; or what lies at a path in its entry, where it has one alone."""
    path = question.path
    if path and isinstance(_resolve(replace(question, path=("1", *path))), Place):
        return _unresolved(question, node, "is one of several")
    return _resolve(replace(question, path=("0", *path) if path else ()))


def dynamic_loop(block: Block | None, iterator: str) -> Any:  # noqa: ANN401
    """Expression that a dynamic block of that name, anywhere in a block, goes over; None: there is no such block."""
    for inner in block.blocks if block else ():
        loop = inner.attributes.get("for_each")
        named = inner.attributes.get("iterator")
        name = traversal(named.value.node) if named else tuple(inner.labels[:1])
        if inner.kind == "dynamic" and loop is not None and name == (iterator,):
            return loop.value.node
        if (nested := dynamic_loop(inner, iterator)) is not None:
            return nested
    return None


def definition_of(document: Document, steps: tuple[str, ...], scope: Scope) -> tuple[Document, Any, Scope] | None:
    """Expression that a variable, a local or ``each`` is given, with its file and where it stands; None: elsewhere."""
    module = scope.module
    if steps[0] == "each":
        loop = scope.block.attributes.get("for_each") if scope.block else None
        return (document, loop.value.node, Scope(module)) if loop is not None else None
    if len(steps) < 2 or steps[0] not in ("var", "local"):
        return None
    if steps[0] == "local":
        local = module.local_value(steps[1])
        return (local[0], local[1].value.node, Scope(module)) if local is not None else None
    given = _given(module, steps[1])
    if given is not None:
        return given
    declared = module.variable(steps[1])
    default = declared[1].attributes.get("default") if declared else None
    return (declared[0], default.value.node, Scope(module)) if declared and default else None


def _given(module: Module, name: str) -> tuple[Document, Any, Scope] | None:
    """Expression that a call, or a file of the root, gives a variable; None where neither does."""
    if module.call is not None and module.parent is not None and name in module.call[1].attributes:
        document, block = module.call
        return document, block.attributes[name].value.node, Scope(module.parent, block, module.call_key)
    for document in reversed(module.variable_files):
        if name in document.body.attributes and not module.json_variable_file(name):
            return document, document.body.attributes[name].value.node, Scope(module)
    return None


def _next(
    question: _Question, document: Document, node: Any, path: tuple[str, ...], name: str, scope: Scope | None = None  # noqa: ANN401
) -> Place | Unresolved:  # fmt: skip
    # A local or variable stands outside of any resource: `each` means nothing there.
    scope = scope or Scope(question.scope.module)
    return _resolve(_Question(document, node, scope, path, (*question.through, name)))


def _label(question: _Question, name: str) -> str:
    return f"{question.scope.module.name}.{name}".removeprefix(".")


def _variable(question: _Question, node: Any, name: str, rest: tuple[str, ...]) -> Place | Unresolved:  # noqa: ANN401
    label = _label(question, f"var.{name}")
    given = _given(question.scope.module, name)
    if given is None:
        stated = _default(question, node, name, rest, label)
    else:
        stated = _next(question, given[0], given[1], rest, label, given[2])
    is_open = isinstance(stated, Unresolved) and rest and not question.scope.module.json_variable_file(name)
    return (_left_out(question, name, rest, label) or stated) if is_open else stated


def _left_out(question: _Question, name: str, rest: tuple[str, ...], label: str) -> Place | Unresolved | None:
    """Default in the type of a variable for an attribute that its value leaves out; None: there is none."""
    module = question.scope.module
    declared = module.variable(name)
    definition = definition_of(question.document, ("var", name), Scope(module))
    kind = declared[1].attributes.get("type") if declared else None
    if declared is None or definition is None or kind is None:
        return None
    document, node, scope = definition
    through = (*question.through, label)
    value = _Question(document, node, scope, (), through)
    written_type, path = kind.value.node, rest
    while (at := _first_absent(replace(value, path=path))) is not None:
        optional = _type_of(written_type, path[: at + 1])
        arguments = _arguments_of(optional, "optional")
        if len(arguments) < len(("type", "default")):
            return None
        if not module.is_editable:
            return Unresolved(
                f"{label} is left at the default of a module from elsewhere: pass it in the module's call"
            )
        written_type, path = arguments[0], path[at + 1 :]
        value = _Question(declared[0], arguments[1], Scope(module), (), through)
        place = _resolve(replace(value, path=path))
        if isinstance(place, Place):
            return place
    return None


def _first_absent(question: _Question) -> int | None:
    """Number of the first step of a path that the value does not have; None where it is not known."""
    for at, step in enumerate(question.path):
        key = step.strip("[]")
        keys = _resolve(replace(question, path=(*question.path[:at], KEYS)))
        if not isinstance(keys, Place):
            return None
        if key not in keys.value and not key.isdigit():
            return at
    return None


def _type_of(kind: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401
    """Type of what lies at a path, as it is written in a type; None where it is not in it."""
    for step in path:
        kind = next(iter(_arguments_of(kind, "optional")), kind)
        members = _arguments_of(kind, "object")
        if members:
            pairs = elements(unwrap(members[0]))
            kind = next((pair.children[-1] for pair in pairs if key_of(pair) == step.strip("[]")), None)
        else:
            kind = next(iter(_arguments_of(kind, "map", "list", "set")), None)
        if kind is None:
            return None
    return kind


def _arguments_of(node: Any, *names: str) -> list[Any]:  # noqa: ANN401
    """Arguments of a call of a function; none of another one, or of what is no call."""
    node = unwrap(node)
    if getattr(node, "data", "") != "function_call" or str(node.children[0].children[0]) not in names:
        return []
    given = next((child for child in node.children if getattr(child, "data", "") == "arguments"), None)
    return parts_of(given) if given else []


def _default(
    question: _Question, node: Any, name: str, rest: tuple[str, ...], label: str  # noqa: ANN401
) -> Place | Unresolved:  # fmt: skip
    """Default of a variable that no call and no file sets."""
    module = question.scope.module
    if module.json_variable_file(name):
        return Unresolved(f"{label} is set in {module.json_variable_file(name)}: change it there")
    declared = module.variable(name)
    if declared is None:
        return _unresolved(question, node, "is not declared")
    default = declared[1].attributes.get("default")
    if default is None:
        return Unresolved(f"{label} is given from outside (-var, TF_VAR_{name} or a workspace): change it there")
    if not module.is_editable:
        return Unresolved(f"{label} is left at the default of a module from elsewhere: pass it in the module's call")
    return _next(question, declared[0], default.value.node, rest, label)


def _each(question: _Question, node: Any, rest: tuple[str, ...]) -> Place | Unresolved:  # noqa: ANN401
    block, key = question.scope.block, question.scope.key
    loop = block.attributes.get("for_each") if block else None
    if block is None or loop is None:
        return _unresolved(question, node, "is not in a loop over for_each")
    if key is None:
        return _several(block)
    scope = Scope(question.scope.module)
    return _resolve(_Question(question.document, loop.value.node, scope, (key, *rest), question.through))


def _several(block: Block) -> Unresolved:
    return Unresolved(f"{block.address} has several instances: name one, as in '{block.address}[\"key\"]'")


def _into(question: _Question, node: Any) -> Place | Unresolved:  # noqa: ANN401
    """One step into an object or a list."""
    if question.path == (KEYS,):
        keys = [key_of(element) for element in elements(node)] if node.data == "object" else literal(node)
        if keys is NOT_LITERAL or None in keys:
            return _unresolved(question, node, "has keys that are computed")
        start, end = node.meta.start_pos, node.meta.end_pos
        return Place(question.document, start, end, [str(key) for key in keys], question.through)
    step, rest = question.path[0].strip("[]"), question.path[1:]
    if node.data == "object":
        members = [element.children[-1] for element in elements(node) if key_of(element) == step][:1]
    else:
        members = parts_of(node)[int(step) :][:1] if step.isdigit() else []
    if not members:
        return _unresolved(question, node, f"has no {step!r}")
    return _resolve(replace(question, node=members[0], path=rest))


def _call(question: _Question, node: Any) -> Place | Unresolved:  # noqa: ANN401
    """Functions that hand one of their arguments on."""
    name = str(node.children[0].children[0])
    given = next((child for child in node.children if getattr(child, "data", "") == "arguments"), None)
    arguments = parts_of(given) if given else []
    if name in _TRANSPARENT and len(arguments) == 1:
        return _resolve(replace(question, node=arguments[0]))
    if name != "merge" or not question.path:
        return _unresolved(question, node, f"is computed by {name}()")
    places = [_resolve(replace(question, node=argument)) for argument in arguments]
    written = [place for place in places if isinstance(place, Place)]
    if question.path != (KEYS,):
        # The last map that has the key decides.
        return written[-1] if written else next(iter(places), Unresolved(""))
    if len(written) < len(places):
        return next(place for place in places if isinstance(place, Unresolved))
    keys = dict.fromkeys(key for place in written for key in place.value)
    return Place(question.document, node.meta.start_pos, node.meta.end_pos, list(keys), question.through)


def _unresolved(question: _Question, node: Any, why: str) -> Unresolved:  # noqa: ANN401
    document = question.document
    text = " ".join(document.text[node.meta.start_pos : node.meta.end_pos].split())
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return Unresolved(f"{document.place(node.meta.start_pos)}: {short} {why}")


def keys_of(document: Document, node: Any, scope: Scope, *, counts: bool) -> tuple[str, ...] | None:  # noqa: ANN401
    """Keys of the instances that a loop makes, of both branches of a condition; None where no literal decides them.

    *counts*: it is a ``count``, whose keys are numbers from 0.
    """
    node = unwrap(node)
    if node.data == "conditional":
        branches = [keys_of(document, branch, scope, counts=counts) for branch in _branches(document, node, scope)]
        keys = [key for branch in branches for key in branch or ()]
        return None if None in branches else tuple(dict.fromkeys(keys))
    place = resolve(document, node, scope, () if counts else (KEYS,))
    if not isinstance(place, Place):
        return None
    if not counts:
        return tuple(dict.fromkeys(place.value))
    number = str(place.value)
    return tuple(map(str, range(int(number)))) if number.isdigit() and int(number) <= _MOST_COUNTED else None


_MOST_COUNTED = 100


def _branches(document: Document, node: Any, scope: Scope) -> list[Any]:  # noqa: ANN401
    """The branch of a condition that holds, or both where no literal decides it."""
    condition, *branches = parts_of(node)
    holds = _holds(document, condition, scope)
    return branches if holds is None else branches[:1] if holds else branches[1:]


def is_empty(document: Document, node: Any, scope: Scope) -> bool | None:  # noqa: ANN401
    """Whether a list or map has no entries; None where no literal decides it."""
    node = unwrap(node)
    if node.data == "conditional":
        answers = {is_empty(document, branch, scope) for branch in _branches(document, node, scope)}
        return answers.pop() if len(answers) == 1 else None
    if node.data in ("tuple", "object"):
        return not (parts_of(node) if node.data == "tuple" else list(elements(node)))
    place = resolve(document, node, scope, (KEYS,))
    return not place.value if isinstance(place, Place) else None


def _holds(document: Document, node: Any, scope: Scope) -> bool | None:  # noqa: ANN401
    """Whether a condition is true; None where no literal decides it."""
    node = unwrap(node)
    if node.data == "unary_op":
        (operand,) = parts_of(node)
        holds = _holds(document, operand, scope)
        return None if holds is None else not holds
    if node.data == "binary_op":
        left, term = parts_of(node)
        (right,) = [child for child in parts_of(term) if child.data != "binary_operator"]
        operator = next(str(child.children[0]) for child in term.children if child.data == "binary_operator")
        values = [_text_of(document, side, scope) for side in (left, right)]
        if operator not in ("==", "!=") or None in values:
            return None
        return (values[0] == values[1]) is (operator == "==")
    return _TRUTH.get(_text_of(document, node, scope) or "")


def _text_of(document: Document, node: Any, scope: Scope) -> str | None:  # noqa: ANN401
    """The value of an expression as text; None where no literal decides it."""
    place = resolve(document, node, scope)
    return str(place.value) if isinstance(place, Place) else None


_TRUTH = {"True": True, "true": True, "False": False, "false": False}
