"""Variables of Terraform roots, with their types and validations, as ``terraform fmt`` lays them out."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from advisor.codegen.inputs.table import CIDR, REGION, Example, Input, Record, Shown, examples
from advisor.codegen.quoting import Quoted, hcl_number, hcl_string, hcl_value

_TYPES = {"str": "string", "int": "number", "float": "number", "bool": "bool"}
_NESTED = ("entry", "item", "part")
"""Names of loops in loops."""


def hcl_variables(inputs: Iterable[Input]) -> Quoted:
    """Blocks of variables, an empty line between two."""
    return Quoted("\n\n".join(_variable(row) for row in inputs))


def hcl_examples(inputs: Iterable[Input], indent: int = 0) -> Quoted:
    """Arguments of a call that works as it stands; those of one line each come first, one below the other."""
    values = examples(inputs)
    return Quoted("\n\n".join(_paragraphs({name: hcl_value(value, indent) for name, value in values.items()}, indent)))


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
    if not isinstance(value, Mapping):
        return hcl_value(value)
    entries = (hcl_value({key: inner}).split("\n")[1].strip() for key, inner in value.items())
    return f"{{ {', '.join(entries)} }}"


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
    """A field that is missing is told of by its validation, where there is one."""
    written = _type(field.type)
    if not field.is_required:
        return f"optional({written})" if field.default is None else f"optional({written}, {hcl_value(field.default)})"
    if not field.pattern:
        return written
    return f"optional({written}, [])" if written.startswith("list") else f"optional({written})"


def _validation(condition: str, message: str) -> str:
    width = len("error_message") if "\n" not in condition else 0
    attributes = f'    {"condition":<{width}} = {condition}\n    error_message = "{message}"\n'
    return f"  validation {{\n{attributes}  }}\n"


def _validations(row: Input) -> Iterator[tuple[str, str]]:
    """Conditions with the inside of their messages."""
    name = f"var.{row.name}"
    if row.has_each_region:
        same = f"toset(keys({name})) == toset(keys(local.regions))"
        yield same, f'Give {row.name} for exactly the regions of the plan: ${{join(", ", keys(local.regions))}}.'
    if row.record is not None:
        yield from _of_fields(row, row.record)
    elif row.pattern or row.bounds or row.keys:
        yield _condition(row, name), _message(row)
    for key, reason in row.taken.items():
        yield f"!contains(keys({name}), {hcl_string(key)})", f"The key {key} is taken: {reason}."
    yield from ((check.condition, check.message) for check in row.checks)


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
        if row.type.startswith("Sequence"):
            return _test(row, row.type, f"coalesce({name}, [])")
        return f"{name} == null || {_guarded(row, _test(row, row.type, name))}"
    inner = row.type.removeprefix("Mapping[str, ").removesuffix("]")
    has_test, is_key = bool(row.pattern or row.bounds), f"contains({row.keys}, key)"
    if not has_test:
        return f"alltrue([for key in keys({name}) : {is_key}])"
    if not row.keys:
        return f"alltrue([for entry in values({name}) : {_test(row, inner, 'entry', 1)}])"
    return f"alltrue([for key, entry in {name} : {is_key} && {_test(row, inner, 'entry', 1)}])"


def _guarded(row: Input, test: str) -> str:
    """A comparison with null is an error, not false."""
    return f"try({test}, false)" if row.bounds else test


def _test(row: Input, typed: str, value: str, depth: int = 0) -> str:
    head, _, inner = typed.removesuffix("]").partition("[")
    if head == "Input":
        return _test(row, inner, value, depth)
    if head == "Sequence":
        entry = _NESTED[depth]
        return f"alltrue([for {entry} in {value} : {_test(row, inner, entry, depth + 1)}])"
    return " && ".join(_tests(row, head, value))


def _tests(row: Input, typed: str, value: str) -> Iterator[str]:
    """Tests of a text or number."""
    if row.pattern == CIDR:
        yield f"can(cidrhost({value}, 0))"
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
    keys = _joined(row.keys)
    if row.type.startswith("Mapping") and not (row.pattern or row.bounds):
        return f"Each key must be one of these: {keys}."
    if row.type.startswith(("Mapping", "Sequence")):
        return f"Each entry must be {expected}{f', by one of these keys: {keys}' if row.keys else ''}."
    return f"The value of {row.name} must be {expected}." if row.bounds else f"Give {expected}."


def _joined(keys: str) -> str:
    """Keys in a message; those that are picked may be none."""
    joined = f'join(", ", {keys})'
    return f'${{length({keys}) == 0 ? "none here" : {joined}}}' if " if " in keys else f"${{{joined}}}"
