"""Settings of Pulumi programs: dataclasses whose fields say what they take, as ``ruff format`` lays them out."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from advisor.codegen.inputs.table import CIDR, Input, Record, Regions, examples
from advisor.codegen.python_literals import Call, calls, python_value
from advisor.codegen.quoting import Quoted
from advisor.records import dataclass

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
    typed = row.type.replace("Input[", "pulumi.Input[") + (" | None" if row.is_nullable else "")
    default: list[tuple[str, _Expression]] = [] if row.is_required else [_default(row)]
    call = _Call("setting", (*_about(row), *default))
    return _laid_out(f"{row.name}: {typed} = ", call, _STEP, "")


def _default(row: Input) -> tuple[str, str]:
    if row.default == {}:
        return "default_factory=", "dict"
    return "default=", "()" if row.default == [] else str(python_value(row.default))


def _about(row: Input) -> Iterator[tuple[str, _Expression]]:
    yield "", _Text(row.description + _fields_of(row))
    if row.expected:
        yield "", _pattern(row)
        yield "", _Text(row.expected)
    bounds = (("least", row.bounds.least), ("most", row.bounds.most), ("above", row.bounds.above))
    yield from ((f"{name}=", str(python_value(end))) for name, end in bounds if math.isfinite(end))
    if row.one_of:
        yield "only=", _Text(" ".join(map(str, row.one_of)))
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
