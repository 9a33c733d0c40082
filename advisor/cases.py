"""Case studies: what a series of changes saves, from stated assumptions, beside a published figure.

Every assumption of a case file has a source or says why it is assumed, every name leads somewhere. Every part is priced
by the planner or the catalog, and the saving with each assumption halved and doubled.
"""

import ast
import math
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from math import isfinite
from pathlib import Path

import yaml

from advisor.catalog import Catalog
from advisor.catalog.planning import TokenPrice
from advisor.cost import hourly_to_monthly
from advisor.cost.response_cache import cheapest_nodes
from advisor.errors import AdvisorError, InputError, NothingFeasible
from advisor.names import suggestion
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.costs import CostKind, CostLine
from advisor.plan.token_apis import TokenDemand
from advisor.plan.values import Plan
from advisor.plan.words import least_share_words
from advisor.records import dataclass, field, replace
from advisor.units import HOURS_PER_MONTH, TOKENS_PER_MILLION
from advisor.workload.document import workload_of
from advisor.workload.values import Workload
from advisor.yaml_fields import MOST, Field, read_document

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


Planner = Callable[[Workload], Plan]
"""Recommends: :func:`advisor.pipeline.plan_for` with its catalog and performance model."""

_HALVED, _DOUBLED = 0.5, 2.0
_MACHINES = ("instance", "input_tokens", "output_tokens", "node")
"""Items of charges that are paid for machines and tokens themselves."""
_TOKEN_KEYS = ("model", "requests_per_second", "input_tokens", "output_tokens", "cached_ratio")


def price_case(case: Case, catalog: Catalog, planner: Planner, *, tornado: bool) -> CaseReport:
    """Every stage of a case with its cost, and the saving of each against the first.

    *planner* recommends a fleet with the same catalog. *tornado*: the case is priced again with each assumption halved
    and doubled. Raises InputError if a formula, a workload, a model or a region of the case is wrong, and
    NothingFeasible if a planned part has no fleet.
    """
    return _Pricing(case, catalog, planner).report(tornado=tornado)


class _Pricing:
    """Prices of a case; a part that an assumption does not change is priced once."""

    def __init__(self, case: Case, catalog: Catalog, planner: Planner) -> None:
        """Take what prices are asked of."""
        self._case, self._catalog, self._planner = case, catalog, planner
        self._priced: dict[tuple[str, str], PricedPart | AdvisorError] = {}
        self._values = {assumption.name: assumption.value for assumption in case.assumptions}

    def report(self, *, tornado: bool) -> CaseReport:
        stages = self._stages(self._case.stages, self._values)
        swings = [
            Swing(assumption.name, *(self._outcome(assumption, factor) for factor in (_HALVED, _DOUBLED)))
            for assumption in (self._case.assumptions if tornado else ())
        ]
        base = stages[-1].saving_ratio
        return CaseReport(
            case=self._case,
            saving_ratio=base,
            stages=stages,
            tornado=tuple(sorted(swings, key=lambda swing: _by_width(swing, base))),
        )

    def _outcome(self, assumption: Assumption, factor: float) -> Outcome:
        """Saving of the last stage against the first with an assumption at another value."""
        value = assumption.times(factor)
        ends = (self._case.stages[0], self._case.stages[-1])
        try:
            *_, last = self._stages(ends, {**self._values, assumption.name: value})
        except AdvisorError as error:
            place = error.where.removeprefix(f"{self._case.path}:")
            return Outcome(value, None, f"line {place}: {error.message}")
        return Outcome(value, last.saving_ratio)

    def _stages(self, stages: Sequence[Stage], values: Mapping[str, float]) -> tuple[PricedStage, ...]:
        """Stages in order; the reading of all their parts comes before any planning."""
        names = [name for stage in stages for name in stage.parts]
        readings = {name: _reading(self._case.parts[name], values) for name in names}
        priced = [(stage, tuple(self._part(name, readings[name]) for name in stage.parts)) for stage in stages]
        first = priced[0][1]
        if not _sum(part.usd_per_month for part in first):
            where = f"{self._case.path}:{stages[0].line}: stages[0]"
            raise InputError("the first stage costs nothing", where=where, hint="a saving is a share of its cost")
        return tuple(_priced_stage(stage, parts, first) for stage, parts in priced)

    def _part(self, name: str, reading: Field) -> PricedPart:
        key = (name, yaml.serialize(reading.node))
        if key not in self._priced:
            self._priced[key] = self._solved(self._case.parts[name], reading)
        priced = self._priced[key]
        if isinstance(priced, AdvisorError):
            raise priced
        return priced

    def _solved(self, part: Part, reading: Field) -> PricedPart | AdvisorError:
        price = {
            PartKind.WORKLOAD: self._planned,
            PartKind.TOKENS: self._by_token,
            PartKind.CACHE: self._cached,
            PartKind.STATED: _stated,
        }[part.kind]
        try:
            return price(part, reading)
        except AdvisorError as error:
            error.where = error.where or f"{reading.path}:{reading.line}: {reading.name}"
            return error

    def _planned(self, part: Part, reading: Field) -> PricedPart:
        """A workload at the cost of the fleet that is recommended for it."""
        plan = self._planner(_workload(part, reading))
        fleet = plan.fleet
        if fleet is None or fleet.confirmed is None or not fleet.confirmed.reached:
            replayed = None if fleet is None else fleet.confirmed
            why = f": the best keeps {least_share_words(replayed)}" if replayed else ""
            raise NothingFeasible(
                f"no fleet for part '{part.name}'{why}", hint="`advisor recommend` of its workload says what to relax"
            )
        charges = tuple(line for line in fleet.cost_lines if line.in_total)
        priced = _priced(part, reading, fleet.cost.total_usd_per_month, charges)
        return replace(priced, range_usd_per_month=_range(fleet), latency_p95_ms=_answer_p95_ms(plan), fleet=fleet)

    def _by_token(self, part: Part, reading: Field) -> PricedPart:
        """Requests at the list price of a service."""
        fields = reading.all_of(_TOKEN_KEYS, optional=("cached_ratio",))
        sizes = {key: fields[key].number(1, maximum=MOST) for key in ("input_tokens", "output_tokens")}
        cached = fields["cached_ratio"].number(0, maximum=1) if "cached_ratio" in fields else 0.0
        demand = TokenDemand(
            requests_per_second=fields["requests_per_second"].number(0, exclusive=True, maximum=MOST),
            cached_ratio=cached,
            context_tokens=math.ceil(sum(sizes.values())),
            **sizes,
        )
        name = fields["model"].text()
        try:
            price = self._catalog.token_price(name)
        except InputError as error:
            fields["model"].fail(error.message, error.hint)
        if not demand.fits(price):
            fields["input_tokens"].fail(f"a request is longer than the price of {name} holds for", "shorten it")
        return _priced(part, reading, demand.usd_per_month(price), tuple(_token_charges(price, demand)))

    def _cached(self, part: Part, reading: Field) -> PricedPart:
        """The cheapest nodes of an in-memory store that hold so much."""
        fields = reading.all_of(("provider", "region", "memory_gib"))
        memory_gib = fields["memory_gib"].number(0, exclusive=True)
        provider, region = fields["provider"].text(), fields["region"].text()
        cheapest = cheapest_nodes(memory_gib, self._catalog, provider, region)
        if isinstance(cheapest, str):
            reading.fail(cheapest, "state another place or less memory, or its cost as usd_per_month")
        shards, node, price = cheapest
        usd, origin = hourly_to_monthly(price.usd, shards), price.provenance
        line = CostLine(
            CostKind.MANAGED, "node", f"{provider}/{region}/{node.node}", shards * HOURS_PER_MONTH, "node-hours",
            price.usd, usd, origin.source, origin.as_of, origin.quality,
        )  # fmt: skip
        return _priced(part, reading, usd, (line,))


def _reading(part: Part, values: Mapping[str, float]) -> Field:
    """A part with its formulas worked out, checked as far as no planning is needed."""
    reading = substituted(part.field, values)
    if part.kind is PartKind.WORKLOAD:
        _workload(part, reading)
    return reading


def _workload(part: Part, reading: Field) -> Workload:
    """The workload of a part, which is called as the part is."""
    node = reading.node
    if isinstance(node, yaml.MappingNode):
        name = [yaml.ScalarNode("tag:yaml.org,2002:str", text, node.start_mark) for text in ("name", part.name)]
        node = yaml.MappingNode(node.tag, [tuple(name), *node.value], node.start_mark)
    return workload_of(Field(node, reading.name, reading.path))


def _token_charges(price: TokenPrice, demand: TokenDemand) -> Iterator[CostLine]:
    """A month of tokens sent and of tokens answered, which add up to the month."""
    whole, sent = (demand.usd_per_month(price), replace(demand, output_tokens=0).usd_per_month(price))
    for item, tokens, usd in (
        ("input_tokens", demand.input_tokens, sent),
        ("output_tokens", demand.output_tokens, round(whole - sent, 2)),
    ):
        millions, origin = demand.requests_per_month * tokens / TOKENS_PER_MILLION, price.provenance
        yield CostLine(
            CostKind.MANAGED, item, price.name, millions, f"million {item.replace('_', ' ')}", usd / millions, usd,
            origin.source, origin.as_of, origin.quality,
        )  # fmt: skip


def _stated(part: Part, reading: Field) -> PricedPart:
    usd = round(reading.number(0, maximum=MOST), 2)
    line = CostLine(
        CostKind.MANAGED, "stated", f"case/line {reading.line}", 1, "month", usd, usd, "stated in the case file"
    )
    return _priced(part, reading, usd, (line,))


def _priced(part: Part, reading: Field, usd: float, charges: tuple[CostLine, ...]) -> PricedPart:
    return PricedPart(part.name, part.kind, reading.line, usd, charges, (usd, usd))


def _range(fleet: Fleet) -> tuple[float, float]:
    """Cost of a fleet with all its doubtful prices at their low, then at their high end."""
    ends, total = fleet.price_range, fleet.cost.total_usd_per_month
    return (total, total) if ends is None else (ends.low_usd_per_month, ends.high_usd_per_month)


def _answer_p95_ms(plan: Plan) -> float | None:
    """Time to the whole answer in a plan's replay: ``TTFT p95 + (mean output tokens - 1) × TPOT p95``.

    Both are rarely late at once, so it is rather too long; of what is answered in one pass, TTFT is all of it.
    """
    replayed = plan.fleet.confirmed if plan.fleet else None
    if replayed is None or replayed.ttft_p95_ms is None:
        return None
    further = max(float(plan.demand["output_tokens"]["mean"]) - 1, 0.0)
    return replayed.ttft_p95_ms + further * (replayed.tpot_p95_ms or 0.0)


def _priced_stage(stage: Stage, parts: tuple[PricedPart, ...], first: tuple[PricedPart, ...]) -> PricedStage:
    usd, before = (_sum(part.usd_per_month for part in side) for side in (parts, first))
    machines = _machines(first)
    ranges = [part.range_usd_per_month for part in parts]
    latencies = [part.latency_p95_ms for part in parts if part.part in stage.passes]
    times_ms = [latency for latency in latencies if latency is not None]
    return PricedStage(
        stage=stage.name,
        line=stage.line,
        parts=parts,
        usd_per_month=usd,
        range_usd_per_month=(_sum(low for low, _ in ranges), _sum(high for _, high in ranges)),
        saving_ratio=1 - usd / before,
        machine_saving_ratio=1 - _machines(parts) / machines if machines else None,
        latency_p95_ms=sum(times_ms) if times_ms and len(times_ms) == len(latencies) else None,
    )


def _sum(usd_per_month: Iterable[float]) -> float:
    """Sum to the cent."""
    return round(math.fsum(usd_per_month), 2)


def _machines(parts: Iterable[PricedPart]) -> float:
    """Charges of machines and tokens alone, USD a month."""
    charges = (charge for part in parts for charge in part.charges if charge.item in _MACHINES)
    return math.fsum(charge.usd_per_month or 0.0 for charge in charges)


def _by_width(swing: Swing, base: float) -> tuple[float, str]:
    low, high = swing.range_with(base)
    return -round(high - low, 6), swing.assumption
