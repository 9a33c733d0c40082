"""Case file → :class:`Case`: every assumption has a source or says why it is assumed, every name leads somewhere."""

import ast
import operator
from collections.abc import Collection, Mapping
from enum import StrEnum
from math import isfinite
from pathlib import Path

import yaml

from advisor.names import suggestion
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.costs import CostLine
from advisor.records import dataclass, field, replace
from advisor.yaml_fields import Field, read_document

SCHEMA = "advisor.case/v1"
SHARE = "share"
"""Unit of assumptions that lie between 0 and 1."""


class PartKind(StrEnum):
    """Kinds of parts, by the key that a part has in the file."""

    WORKLOAD = "workload"
    TOKENS = "tokens"
    CACHE = "cache"
    STATED = "usd_per_month"


@dataclass(frozen=True, slots=True)
class Assumption:
    """Figure that a case rests on."""

    name: str
    value: float
    unit: str
    source: str
    """Origin of the figure, or why it was chosen where it is assumed."""
    assumed: bool
    line: int

    def times(self, factor: float) -> float:
        """The value by a factor; a share ends at 1."""
        value = self.value * factor
        return min(value, 1.0) if self.unit == SHARE else value


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is paid for, with formulas of assumptions in it."""

    name: str
    kind: PartKind
    field: Field = field(compare=False)
    """Its own key of the file."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Parts that run together after one more change; the first stage is before any."""

    name: str
    parts: tuple[str, ...]
    passes: tuple[str, ...]
    """Planned parts that a request which no cache answers goes through one after another; () where that is not said."""
    line: int


@dataclass(frozen=True, slots=True)
class Published:
    """Result that somebody published of such a case."""

    saving_ratio: float
    latency_ms: tuple[float, float] | None
    """Before and after; None: none was published."""
    source: str
    line: int


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Case study as its file states it."""

    name: str
    path: Path
    published: Published
    assumptions: tuple[Assumption, ...]
    parts: Mapping[str, Part]
    stages: tuple[Stage, ...]
    differs: tuple[str, ...]
    """Sentences on what the published figure leaves open, and what this case takes in its place."""


@dataclass(frozen=True, slots=True)
class PricedPart:
    """Part with its price."""

    part: str
    kind: PartKind
    line: int
    usd_per_month: float
    charges: tuple[CostLine, ...]
    """Charges whose sum it is, each with the source of its price."""
    range_usd_per_month: tuple[float, float]
    """Cost where prices of machines that are not listed or old are at either end of what they may be today."""
    latency_p95_ms: float | None = None
    """Time to the whole answer of mean length in the replay; None: nothing is planned."""
    fleet: Fleet | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PricedStage:
    """Stage with its price."""

    stage: str
    line: int
    parts: tuple[PricedPart, ...]
    usd_per_month: float
    range_usd_per_month: tuple[float, float]
    saving_ratio: float
    """Share of the cost of the first stage that it saves."""
    machine_saving_ratio: float | None
    """The same of hours of machines and nodes and of tokens alone; None: the first stage has none."""
    latency_p95_ms: float | None
    """Sum over the parts that a request goes through; None: not stated or not planned."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Saving of the case with one assumption at another value."""

    value: float
    saving_ratio: float | None
    why_none: str = ""


@dataclass(frozen=True, slots=True)
class Swing:
    """Saving of the case with one assumption halved and doubled, all others as stated."""

    assumption: str
    halved: Outcome
    doubled: Outcome

    def range_with(self, base: float) -> tuple[float, float]:
        """Least and largest saving, the case as stated among them."""
        ratios = [outcome.saving_ratio for outcome in (self.halved, self.doubled) if outcome.saving_ratio is not None]
        return min((*ratios, base)), max((*ratios, base))


@dataclass(frozen=True, slots=True)
class CaseReport:
    """Case with its prices."""

    case: Case
    saving_ratio: float
    """Saving of the last stage."""
    stages: tuple[PricedStage, ...]
    tornado: tuple[Swing, ...] = ()
    """The assumption that moves the saving most first; () where it was not asked for."""


_BEGIN = "="
_MOST_CHARACTERS = 200
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_HINT = "write it of numbers, names of assumptions, + - * / and parentheses, such as = requests_per_day / 86400"
_KEYS = ("name", "published", "assumptions", "parts", "stages", "differs")
_LIKE = "like"
_ORIGINS = ("source", "assumed")
_FEWEST_STAGES = 2


def substituted(field: Field, values: Mapping[str, float], used: set[str] | None = None) -> Field:
    """A part of a document with the value of each formula in the formula's place.

    *values*: numbers of the assumptions by name; *used* takes the names of those that formulas use. Raises InputError
    if a formula cannot be read or has no value, or the document refers to itself.
    """
    return replace(field, node=_substituted(field, values, set() if used is None else used, {}))


def _substituted(
    field: Field, values: Mapping[str, float], used: set[str], done: dict[int, yaml.Node | None]
) -> yaml.Node:
    """The node with its formulas replaced; *done* has the nodes that aliases share, None while one is under way."""
    node = field.node
    if id(node) in done:
        return done[id(node)] or field.fail("it refers to itself", "take the alias out")
    done[id(node)] = None
    new: yaml.Node = node
    if isinstance(node, yaml.MappingNode):
        pairs = [
            (key, _substituted(Field(value, f"{field.name}.{key.value}", field.path), values, used, done))
            for key, value in node.value
        ]
        new = yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark)
    elif isinstance(node, yaml.SequenceNode):
        items = [_substituted(item, values, used, done) for item in field.items()]
        new = yaml.SequenceNode(node.tag, items, node.start_mark, node.end_mark)
    elif str(node.value).startswith(_BEGIN):
        tree = _parsed(field)
        used.update(name.id for name in ast.walk(tree) if isinstance(name, ast.Name))
        text = _text(_value(tree, field, values))
        new = yaml.ScalarNode("tag:yaml.org,2002:float", text, node.start_mark, node.end_mark)
    done[id(node)] = new
    return new


def _text(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else repr(value)


def _parsed(field: Field) -> ast.expr:
    text = field.text().removeprefix(_BEGIN).strip()
    if len(text) > _MOST_CHARACTERS:
        field.fail(f"the formula has more than {_MOST_CHARACTERS} characters", "state part of it as an assumption")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        field.fail(f"'{text}' is not a formula", _HINT)


def _value(tree: ast.expr, field: Field, values: Mapping[str, float]) -> float:
    try:
        value = float(_evaluated(tree, field, values))
    except (ZeroDivisionError, OverflowError):
        field.fail(f"'{field.text()}' has no value", "do not divide by zero")
    return value if isfinite(value) else field.fail(f"'{field.text()}' has no finite value", _HINT)


def _evaluated(node: ast.expr, field: Field, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Name(id=name):
            hint = suggestion(name, tuple(values)) or "add it to assumptions"
            return field.fail(f"no assumption is named '{name}'", hint)
        case ast.BinOp(op=op) if type(op) in _OPERATORS:
            left, right = (_evaluated(side, field, values) for side in (node.left, node.right))
            return float(_OPERATORS[type(op)](left, right))
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluated(node.operand, field, values)
        case _:
            return field.fail(f"'{ast.unparse(node)}' has no place in a formula", _HINT)


def read_case(path: Path) -> Case:
    """Read and validate a case file. Raises InputError with file, line, field, and how to fix it."""
    root = read_document(path, "case", "see examples/recommender/case.yaml for one")
    fields = root.all_of(_KEYS, optional=("differs",))
    assumptions = tuple(_assumption(name, stated) for name, stated in _named(fields["assumptions"]).items())
    parts: dict[str, Part] = {}
    for name, stated in _named(fields["parts"]).items():
        parts[name] = _part(name, stated, parts)
    stages = tuple(_stage(stated, parts) for stated in fields["stages"].items())
    if len(stages) < _FEWEST_STAGES:
        fields["stages"].fail("a case compares two stages at least", "add the stage before or after the change")
    used: set[str] = set()
    for part in parts.values():
        substituted(part.field, {assumption.name: assumption.value for assumption in assumptions}, used)
    _check_used(fields["assumptions"], used)
    _check_used(fields["parts"], {name for stage in stages for name in stage.parts})
    return Case(
        name=fields["name"].text(),
        path=path,
        published=_published(fields["published"]),
        assumptions=assumptions,
        parts=parts,
        stages=stages,
        differs=fields["differs"].texts() if "differs" in fields else (),
    )


def _named(field: Field) -> dict[str, Field]:
    """Fields of a mapping whose keys are names that formulas can use."""
    if not isinstance(field.node, yaml.MappingNode):
        field.fail("expected a mapping of names", f"write {field.name}: {{name: …}}")
    names = [str(key.value) for key, _ in field.node.value]
    for name in names:
        if not name.isidentifier():
            field.fail(f"'{name}' is not a name", "use letters, digits and underscores, and begin with a letter")
    return field.mapping(names)


def _assumption(name: str, field: Field) -> Assumption:
    fields = field.all_of(("value", "unit", *_ORIGINS), optional=_ORIGINS)
    origins = [key for key in _ORIGINS if key in fields]
    if len(origins) != 1:
        field.fail(
            "an assumption has either a source or a reason why it is assumed",
            "add `source: …` where the figure is from somewhere, or `assumed: …` with why it is plausible",
        )
    unit = fields["unit"].text()
    value = fields["value"].number(0, exclusive=True, maximum=1 if unit == SHARE else float("inf"))
    origin = fields[origins[0]].text()
    return Assumption(name, value, unit, origin, assumed=origins[0] == "assumed", line=field.line)


def _part(name: str, field: Field, before: Mapping[str, Part]) -> Part:
    """A part: its own keys, and those of the part before it that it is like."""
    kinds = tuple(kind.value for kind in PartKind)
    fields = field.mapping((*kinds, _LIKE))
    like = before[fields.pop(_LIKE).choice(tuple(before))] if _LIKE in fields else None
    if len(fields) != 1:
        field.fail(f"a part is one of: {', '.join(kinds)}", "keep one of these keys")
    ((kind, own),) = fields.items()
    if like is None:
        return Part(name, PartKind(kind), own)
    if like.kind != kind:
        own.fail(f"'{like.name}' is of kind {like.kind}, not {kind}", f"change what stands under {like.kind}")
    return Part(name, like.kind, replace(own, node=_merged(own, like.field)))


def _merged(own: Field, like: Field) -> yaml.Node:
    """A mapping with the keys of another that it does not state, on all levels."""
    if not (isinstance(own.node, yaml.MappingNode) and isinstance(like.node, yaml.MappingNode)):
        return own.node
    pairs = {str(key.value): (key, value) for key, value in like.node.value}
    for key, value in own.node.value:
        name, field = str(key.value), replace(own, node=value)
        merged = _merged(field, replace(like, node=pairs[name][1])) if name in pairs else value
        pairs[name] = (key, merged)
    return yaml.MappingNode(own.node.tag, list(pairs.values()), own.node.start_mark, own.node.end_mark)


def _stage(field: Field, parts: Mapping[str, Part]) -> Stage:
    fields = field.all_of(("name", "parts", "passes"), optional=("passes",))
    names = fields["parts"].choices(tuple(parts))
    planned = tuple(name for name in names if parts[name].kind is PartKind.WORKLOAD)
    passes = fields["passes"].choices(planned) if "passes" in fields else ()
    return Stage(fields["name"].text(), names, passes, field.line)


def _published(field: Field) -> Published:
    fields = field.all_of(("saving", "latency", "source"), optional=("latency",))
    return Published(
        saving_ratio=fields["saving"].number(0, exclusive=True, maximum=1),
        latency_ms=_before_and_after(fields["latency"]) if "latency" in fields else None,
        source=fields["source"].text(),
        line=field.line,
    )


def _before_and_after(field: Field) -> tuple[float, float]:
    times = [item.duration_ms() for item in field.items()]
    return (times[0], times[1]) if len(times) == 2 else field.fail("expected two times", "write [before, after]")


def _check_used(field: Field, used: Collection[str]) -> None:
    """Refuse what nothing uses: it would look as if it mattered."""
    for name, entry in _named(field).items():
        if name not in used:
            hint = suggestion(name, tuple(used)) or "use it, or take it out"
            entry.fail("nothing uses it", hint)
