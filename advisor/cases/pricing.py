"""Price of a case: every part by the planner or the catalog, and the saving with each assumption halved and doubled."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import yaml

from advisor.cases.document import (
    Assumption,
    Case,
    CaseReport,
    Outcome,
    Part,
    PartKind,
    PricedPart,
    PricedStage,
    Stage,
    Swing,
    substituted,
)
from advisor.catalog import Catalog
from advisor.catalog.planning import TokenPrice
from advisor.cost import hourly_to_monthly
from advisor.cost.response_cache import cheapest_nodes
from advisor.errors import AdvisorError, InputError, NothingFeasible
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.costs import CostKind, CostLine
from advisor.plan.token_apis import TokenDemand
from advisor.plan.values import Plan
from advisor.plan.words import least_share_words
from advisor.records import replace
from advisor.units import HOURS_PER_MONTH, TOKENS_PER_MILLION
from advisor.workload.document import workload_of
from advisor.workload.values import Workload
from advisor.yaml_fields import MOST, Field

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
        return tuple(_stage(stage, parts, first) for stage, parts in priced)

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


def _stage(stage: Stage, parts: tuple[PricedPart, ...], first: tuple[PricedPart, ...]) -> PricedStage:
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
