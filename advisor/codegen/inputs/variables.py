"""Variables of Terraform roots, with their types and validations, as ``terraform fmt`` lays them out.

Settings of Pulumi programs: dataclasses whose fields say what they take, as ``ruff format`` lays them out.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from advisor.codegen.inputs.table import (
    CIDR,
    REGION,
    Example,
    Input,
    KeyPattern,
    Record,
    Regions,
    Shown,
    examples,
    id_words,
)
from advisor.codegen.python_literals import Call, calls, python_value
from advisor.codegen.quoting import Quoted, hcl_number, hcl_row, hcl_string, hcl_value
from advisor.records import dataclass

_TYPES = {"str": "string", "int": "number", "float": "number", "bool": "bool"}
_NESTED = ("entry", "item", "part")
"""Names of loops in loops."""


def hcl_variables(inputs: Iterable[Input]) -> Quoted:
    """Blocks of variables, an empty line between two."""
    return Quoted("\n\n".join(_variable(row) for row in inputs))


def hcl_ids(inputs: Sequence[Input]) -> Quoted:
    """Locals that hold the inputs with resource ids, as the provider reads them."""
    literals = {"id_words": hcl_value(id_words(inputs), 2)} | {
        name: value for row in inputs for name, value in _with_ids(row)
    }
    return Quoted("\n\n".join(_paragraphs(literals, 2)))


def _with_ids(row: Input) -> Iterator[tuple[str, str]]:
    if row.is_id:
        yield row.name, _canonical(row.type, f"var.{row.name}")
    fields = [field for field in row.record.fields if field.is_id] if row.record is not None else []
    if row.record is not None and fields:
        item = row.record.name.lower()
        lines = _aligned({field.name: _canonical(field.type, f"{item}.{field.name}") for field in fields})
        inner = "".join(f"      {line}\n" for line in lines)
        yield (
            row.name,
            f"{{\n    for region, {item} in var.{row.name} : region => merge({item}, {{\n{inner}    }})\n  }}",
        )


def _canonical(typed: str, value: str) -> str:
    """The expression for a value whose ids have each fixed word as the provider reads it."""
    if typed.startswith("Mapping"):
        return f"{{ for key, id in {value} : key => {_canonical('str', 'id')} }}"
    if typed.startswith("Sequence"):
        return f"[for id in {value} : {_canonical('str', 'id')}]"
    words = f'[for word in split("/", {value}) : lookup(local.id_words, lower(word), word)]'
    return f'{value} == null ? null : join("/", {words})'


def hcl_examples(inputs: Iterable[Input], indent: int = 0) -> Quoted:
    """Arguments of a call that works as it stands; those of one line each come first, one below the other."""
    values = examples(inputs)
    return Quoted("\n\n".join(_paragraphs({name: hcl_value(value, indent) for name, value in values.items()}, indent)))


def hcl_arguments(values: Mapping[str, object], indent: int = 0) -> Quoted:
    """Arguments by name, each on a line of its own."""
    return Quoted("\n".join(_paragraphs({name: _on_one_line(value) for name, value in values.items()}, indent)))


def hcl_example_file(inputs: Sequence[Input]) -> Quoted:
    """The same as a file of values, with hints, and what else may be given as comments."""
    shown = [(row.name, row.example) for row in inputs if row.example is not None]
    given = [(name, example) for name, example in shown if example.shown is Shown.GIVEN]
    plain = {name: hcl_value(example.value) for name, example in given if not example.hint}
    hinted = [f"# {example.hint}\n{name} = {hcl_value(example.value)}" for name, example in given if example.hint]
    left = ((name, example) for name, example in shown if example.shown is not Shown.GIVEN)
    comments = [_comment(hint, list(group)) for hint, group in groupby(left, key=lambda entry: entry[1].hint)]
    return Quoted("\n\n".join([*_paragraphs(plain), *hinted, *comments]))


def _comment(hint: str, group: Sequence[tuple[str, Example]]) -> str:
    """Values that are commented out, with the equals signs below each other."""
    lines = _aligned({name: _on_one_line(example.value) for name, example in group})
    return "\n".join(f"# {line}" for line in [hint, *lines] if line)


def _paragraphs(literals: Mapping[str, str], indent: int = 0) -> Iterator[str]:
    space = " " * indent
    lines = _aligned({name: literal for name, literal in literals.items() if "\n" not in literal})
    if lines:
        yield "\n".join(f"{space}{line}" for line in lines)
    yield from (f"{space}{name} = {literal}" for name, literal in literals.items() if "\n" in literal)


def _aligned(literals: Mapping[str, str]) -> list[str]:
    width = max(map(len, literals), default=0)
    return [f"{name:<{width}} = {literal}" for name, literal in literals.items()]


def _on_one_line(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(hcl_value, value))}]"
    return hcl_row(value) if isinstance(value, Mapping) and value else hcl_value(value)


def _variable(row: Input) -> str:
    validations = "".join(f"\n{_validation(condition, message)}" for condition, message in _validations(row))
    return f'variable "{row.name}" {{\n{_head(row)}{validations}}}'


def _head(row: Input) -> str:
    """Attributes; those after one of several lines are not aligned with it."""
    described, written = hcl_string(row.description), _type(row.type, row.record)
    default = "" if row.is_required else hcl_value(row.default, 2)
    if "\n" not in written:
        lines = [f"  description = {described}", f"  type        = {written}"]
        return "\n".join([*lines, *([f"  default     = {default}"] if default else [])]) + "\n"
    return f"  description = {described}\n  type = {written}\n" + (f"  default = {default}\n" if default else "")


def _type(typed: str, record: Record | None = None) -> str:
    head, _, inner = typed.removesuffix("]").partition("[")
    if head == "Input":
        return _type(inner, record)
    if head == "Sequence":
        return f"list({_type(inner, record)})"
    if head == "Mapping":
        return f"map({_type(inner.removeprefix('str, '), record)})"
    return _TYPES[head] if record is None else _object(record)


def _object(record: Record) -> str:
    width = max(len(field.name) for field in record.fields)
    lines = "".join(f"    {field.name:<{width}} = {_field_type(field)}\n" for field in record.fields)
    return f"object({{\n{lines}  }})"


def _field_type(field: Input) -> str:
    """Type of a field; a text that is missing is told of by its validation, where there is one."""
    written = _type(field.type)
    if not field.is_required:
        return f"optional({written})" if field.default is None else f"optional({written}, {hcl_value(field.default)})"
    return f"optional({written})" if field.pattern and written == "string" else written


def _validation(condition: str, message: str) -> str:
    width = len("error_message") if "\n" not in condition else 0
    attributes = f'    {"condition":<{width}} = {condition}\n    error_message = "{message}"\n'
    return f"  validation {{\n{attributes}  }}\n"


def _validations(row: Input) -> Iterator[tuple[str, str]]:
    """Conditions with the inside of their messages; what each value has to be by itself is one of them."""
    name = f"var.{row.name}"
    if row.regions is Regions.EXACTLY:
        same = f"toset(keys({name})) == toset(keys(local.regions))"
        yield same, f'Give {row.name} for exactly the regions of the plan: ${{join(", ", keys(local.regions))}}.'
    if row.regions is Regions.AT_LEAST:
        all_given = f"length(setsubtract(keys(local.regions), keys({name}))) == 0"
        yield all_given, f'Give {row.name} for each region of the plan: ${{join(", ", keys(local.regions))}}.'
    if alone := list(_alone(row, name)):
        conditions, messages = zip(*alone, strict=True)
        yield _all_of(conditions), " ".join(messages)
    yield from ((check.condition, check.message) for check in row.checks)


def _alone(row: Input, name: str) -> Iterator[tuple[str, str]]:
    if row.record is not None:
        yield from _of_fields(row, row.record)
    elif row.pattern or row.bounds or row.keys:
        yield _condition(row, name), _message(row)
    if row.key_pattern is not None:
        yield _key_condition(row.key_pattern, row.type, name), f"Each key must be {row.key_pattern.expected}."
    for key, reason in row.taken.items():
        yield f"!contains(keys({name}), {hcl_string(key)})", f"The key {key} is taken: {reason}."


def _all_of(conditions: Sequence[str]) -> str:
    if len(conditions) == 1:
        return conditions[0]
    return "".join(["alltrue([\n", *(f"      {condition},\n" for condition in conditions), "    ])"])


def _of_fields(row: Input, record: Record) -> Iterator[tuple[str, str]]:
    item, is_many = record.name.lower(), row.type.startswith("Mapping")
    for field in record.fields:
        if not field.pattern:
            continue
        expected = hcl_string(field.expected)[1:-1]
        subject = f"Each {item} needs {field.name}," if is_many else f"The {field.name} of {row.name} must be"
        if "Sequence" in field.type:
            subject = f"Each entry of {field.name} must be"
        if not is_many:
            test = _condition(field, f"var.{row.name}.{field.name}")
            yield f"var.{row.name} == null || try({test}, false)", f"{subject} {expected}."
            continue
        test = _condition(field, f"{item}.{field.name}")
        loop = f"region, {item} in var.{row.name}" if REGION in field.pattern else f"{item} in values(var.{row.name})"
        yield f"alltrue([for {loop} : {test}])", f"{subject} {expected}."


def _condition(row: Input, name: str) -> str:
    """The test of all that a value holds."""
    if not row.type.startswith("Mapping"):
        if not row.is_nullable:
            return _test(row, row.type, name)
        if row.type.removeprefix("Input[").startswith("Sequence"):  # before 1.12 both sides of || are evaluated
            return _test(row, row.type, f"coalesce({name}, [])")
        return f"{name} == null || {_guarded(row, _test(row, row.type, name))}"
    inner = row.type.removeprefix("Mapping[str, ").removesuffix("]")
    if row.keys is None:
        return f"alltrue([for entry in values({name}) : {_test(row, inner, 'entry', 1)}])"
    is_key = f"contains({row.keys.hcl}, key)"
    if not (row.pattern or row.bounds):
        return f"alltrue([for key in keys({name}) : {is_key}])"
    return f"alltrue([for key, entry in {name} : {is_key} && {_test(row, inner, 'entry', 1)}])"


def _key_condition(keys: KeyPattern, typed: str, name: str) -> str:
    """The test of the innermost keys of a mapping."""
    if typed.count("Mapping") > 1:
        inner = _key_condition(keys, typed.removeprefix("Mapping[str, "), "entry")
        return f"alltrue([for entry in values({name}) : {inner}])"
    return f"alltrue([for key in keys({name}) : can(regex({_anchored(keys.pattern)}, key))])"


def _guarded(row: Input, test: str) -> str:
    """A comparison with null is an error, not false."""
    return f"try({test}, false)" if row.bounds else test


def _test(row: Input, typed: str, value: str, depth: int = 0) -> str:
    head, _, inner = typed.removesuffix("]").partition("[")
    if head == "Input":
        return _test(row, inner, value, depth)
    if head == "Mapping":
        entry = _NESTED[depth]
        return (
            f"alltrue([for {entry} in values({value}) : {_test(row, inner.removeprefix('str, '), entry, depth + 1)}])"
        )
    if head == "Sequence":
        entry = _NESTED[depth]
        return f"alltrue([for {entry} in {value} : {_test(row, inner, entry, depth + 1)}])"
    return " && ".join(_tests(row, head, value))


def _tests(row: Input, typed: str, value: str) -> Iterator[str]:
    """Tests of a text or number."""
    if row.pattern == CIDR:
        yield f'can(cidrhost({value}, 0)) && !can(regex("(^|[.])0[0-9]", {value}))'
    elif row.pattern:
        yield f"can(regex({_anchored(row.pattern)}, {value}))"
    if row.never_starts:
        yield f"!startswith({value}, {hcl_string(row.never_starts)})"
    bounds = row.bounds
    yield from (
        f"{value} {sign} {hcl_number(end)}"
        for sign, end in ((">", bounds.above), (">=", bounds.least), ("<=", bounds.most))
        if math.isfinite(end)
    )
    if bounds and typed == "int":
        yield f"floor({value}) == {value}"


def _anchored(pattern: str) -> str:
    """The expression for the whole of a text; brackets keep alternatives together."""
    alone = re.sub(r"\[[^]]*\]|\\.", "", pattern)
    while alone != (alone := re.sub(r"\([^()]*\)", "", alone)):
        pass
    whole = f"^({pattern})$" if "|" in alone else f"^{pattern}$"
    return hcl_string(whole).replace(REGION, "${region}")


def _message(row: Input) -> str:
    expected = hcl_string(row.expected)[1:-1]
    keys = _joined(row.keys.hcl) if row.keys else ""
    if row.type.startswith("Mapping") and not (row.pattern or row.bounds):
        return f"Each key must be one of these: {keys}."
    if row.type.startswith(("Mapping", "Sequence")):
        return f"Each entry must be {expected}{f', by one of these keys: {keys}' if row.keys else ''}."
    return f"The value of {row.name} must be {expected}." if row.bounds else f"Give {expected}."


def _joined(keys: str) -> str:
    """Keys in a message; those that are picked may be none."""
    joined = f'join(", ", {keys})'
    return f'${{length({keys}) == 0 ? "none here" : {joined}}}' if " if " in keys else f"${{{joined}}}"


_WIDTH = 120
_STEP = 4
_ABOUT = "The values that are the user's to give; keys are those of inference/fleet.py."
_HELPERS = ("absent", "strangers", "too_few")
"""Functions of ``configuration.py`` that checks call."""


@dataclass(frozen=True, slots=True)
class _Text:
    """String literal, over several lines where it is too long for one."""

    text: str
    is_raw: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    """Call with arguments, each with the text before it, such as ``default=``."""

    name: str
    arguments: tuple[tuple[str, "_Expression"], ...]


_Expression = _Text | _Call | str


def python_settings(inputs: Sequence[Input]) -> Quoted:
    """The classes of the records, then ``Settings``."""
    records = [row.record for row in inputs if row.record is not None]
    return Quoted("\n\n\n".join(map(_class, [*records, Record("Settings", _ABOUT, tuple(inputs))])))


def example_settings(inputs: Sequence[Input]) -> Call:
    """The call of ``Settings`` with the examples, records as calls of their classes."""
    records = {row.name: row.record.name for row in inputs if row.record is not None}
    values = {
        name: calls(records[name], value) if name in records and isinstance(value, Mapping) else value
        for name, value in examples(inputs).items()
    }
    return Call("Settings", values)


def python_checks(inputs: Sequence[Input]) -> Quoted:
    """Statements that yield a line for each setting that does not fit the plan."""
    return Quoted("\n".join(_checks(inputs)))


def check_helpers(inputs: Sequence[Input]) -> Quoted:
    """Names of what those statements call, and of what every program calls beside them."""
    text = python_checks(inputs)
    called = [name for name in _HELPERS if f"{name}(" in text]
    return Quoted(", ".join(sorted([*called, "check_once_known", "refuse"])))


def _checks(inputs: Sequence[Input]) -> Iterator[str]:
    for row in inputs:
        if row.regions is Regions.EXACTLY:
            yield from _laid_out("yield from ", _call("strangers", row, "fleet.regions"), _STEP, "")
        if row.regions is not None:
            needed = _Text(", ".join(field.name for field in _fields(row) if field.is_required))
            yield from _laid_out("yield from ", _call("absent", row, "fleet.regions", needed), _STEP, "")
        if row.keys is not None:
            yield from _laid_out("yield from ", _call("strangers", row, row.keys.python), _STEP, "")
        for check in row.checks:
            yield from (f"{' ' * _STEP}{line}" for line in check.python.split("\n"))


def _call(helper: str, row: Input, *arguments: _Expression) -> _Call:
    """Call of a helper with the name and the value of a setting."""
    return _Call(helper, tuple(("", argument) for argument in (_Text(row.name), f"settings.{row.name}", *arguments)))


def _fields(row: Input) -> Sequence[Input]:
    return row.record.fields if row.record is not None else ()


def takes_networks(inputs: Sequence[Input]) -> bool:
    """Whether any of the inputs is a block of addresses."""
    fields = [field for row in inputs for field in _fields(row)]
    return any(row.pattern == CIDR for row in (*inputs, *fields))


def _class(record: Record) -> str:
    head = f'@settings\nclass {record.name}:\n    """{record.about}"""\n'
    return "\n".join([head, *(line for field in record.fields for line in _field(field))])


def _field(row: Input) -> Iterator[str]:
    word, default = ("default_factory=", "dict") if row.default == {} else ("default=", python_default(row))
    call = _Call("setting", (*_about(row), *(() if row.is_required else ((word, default),))))
    return _laid_out(f"{row.name}: {python_type(row)} = ", call, _STEP, "")


def python_type(row: Input) -> str:
    """Annotation of a setting."""
    return row.type.replace("Input[", "pulumi.Input[") + (" | None" if row.is_nullable else "")


def python_default(row: Input) -> str:
    """Literal of what a setting is that is not given."""
    return "()" if row.default == [] else str(python_value(row.default))


def _about(row: Input) -> Iterator[tuple[str, _Expression]]:
    yield "", _Text(row.description + _fields_of(row))
    if row.expected:
        yield "", _pattern(row)
        yield "", _Text(row.expected)
    bounds = (("least", row.bounds.least), ("most", row.bounds.most), ("above", row.bounds.above))
    yield from ((f"{name}=", str(python_value(end))) for name, end in bounds if math.isfinite(end))
    if row.key_pattern is not None:
        yield "key_pattern=", _Text(row.key_pattern.pattern, is_raw=True)
        yield "key_expected=", _Text(row.key_pattern.expected)
    if row.taken:
        reasons = (f"{python_value(key)}: {python_value(reason)}" for key, reason in row.taken.items())
        yield "taken=", f"{{{', '.join(reasons)}}}"


def _fields_of(row: Input) -> str:
    if row.record is None:
        return ""
    fields = (f"{field.name}{'' if field.is_required else ' (optional)'}" for field in row.record.fields)
    return f" Fields: {', '.join(fields)}."


def _pattern(row: Input) -> _Expression:
    if row.pattern == CIDR:
        return CIDR
    never = f"(?!{row.never_starts})" if row.never_starts else ""
    return _Text(never + row.pattern, is_raw=bool(row.pattern))


def _laid_out(before: str, expression: _Expression, indent: int, after: str) -> Iterator[str]:
    """Lines of an expression: on one line, its arguments on one line, or a line for each of them."""
    line = f"{' ' * indent}{before}{_flat(expression)}{after}"
    if len(line) <= _WIDTH or isinstance(expression, str):
        yield line
    elif isinstance(expression, _Text):
        yield from _pieces(f"{' ' * indent}{before}", expression, after)
    else:
        yield f"{' ' * indent}{before}{expression.name}("
        yield from _arguments(expression, indent + _STEP)
        yield f"{' ' * indent}){after}"


def _arguments(call: _Call, indent: int) -> Iterator[str]:
    if len(call.arguments) == 1:
        ((before, argument),) = call.arguments
        yield from _laid_out(before, argument, indent, "")
        return
    line = " " * indent + ", ".join(f"{before}{_flat(argument)}" for before, argument in call.arguments)
    if len(line) <= _WIDTH:
        yield line
        return
    for before, argument in call.arguments:
        yield from _laid_out(before, argument, indent, ",")


def _flat(expression: _Expression) -> str:
    if isinstance(expression, str):
        return expression
    if isinstance(expression, _Text):
        return _literal(expression.text, expression)
    return f"{expression.name}({', '.join(f'{before}{_flat(argument)}' for before, argument in expression.arguments)})"


def _literal(text: str, like: _Text) -> str:
    return f'r"{text}"' if like.is_raw else str(python_value(text))


def _pieces(before: str, text: _Text, after: str) -> Iterator[str]:
    """Literals on lines of their own, which Python joins; they end at spaces, patterns at slashes."""
    room = _WIDTH - len(before) - len(_literal("", text)) - len(after)
    pieces = list(_packed(text.text, "/" if text.is_raw else " ", room))
    for piece in pieces[:-1]:
        yield before + _literal(piece, text)
    yield before + _literal(pieces[-1], text) + after


def _packed(text: str, separator: str, room: int) -> Iterable[str]:
    """Parts of a text that fit into *room*; each separator ends a part."""
    words = text.split(separator)
    line = ""
    for number, word in enumerate(words):
        part = word + (separator if number < len(words) - 1 else "")
        if line and len(line) + len(part) > room:
            yield line
            line = ""
        line += part
    yield line
