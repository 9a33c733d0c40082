"""An explanation in words: sections, tables, lines of the cost (also as FOCUS 1.2), and token prices for LiteLLM."""

import datetime as dt
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from advisor.cost import FLEET_LEAVES_OUT
from advisor.cost.services import output_weight
from advisor.cost.standing import CLOUDS
from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models.values import needs_own_server
from advisor.names import printable
from advisor.plan.explain.pareto import Front, Point
from advisor.plan.explain.whatif import Outcome, WhatIf
from advisor.plan.explain.why import SEARCHED_TO, Contender, LoadRange, PriceChange, TargetChange, Why
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.fleet.costs import CostKind, CostLine
from advisor.plan.request import read_question
from advisor.plan.values import Plan
from advisor.plan.words import apart_words, beside_words, count_words, group_count_words
from advisor.records import dataclass
from advisor.report.fleet_words import (
    confirmation_words,
    constraint_words,
    detail_sections,
    fleet_lines,
    fleet_words,
    group_section,
)
from advisor.report.option_words import scaling_lines
from advisor.report.text_table import Column, Section
from advisor.report.words import (
    REFUSED,
    SEATED,
    SOLD_UNPRICED,
    conflict_words,
    hardware_words,
    name_words,
    relaxation_words,
)
from advisor.tables import csv_text, read_rows
from advisor.units import (
    A_CENT,
    DAYS_PER_YEAR,
    HOURS_PER_MONTH,
    MS_PER_SECOND,
    REQUESTS_PER_THOUSAND,
    milliseconds,
    price_usd,
    usd,
)
from advisor.workload.kinds import is_reranker

_NAMES = {"ttft_p95": "TTFT p95", "tpot_p95": "TPOT p95", "e2e_p95": "end-to-end p95", "latency": "latency"}
_SMALLEST_DECIMAL = 0.1
"""Smallest factor on the demand that is written as a decimal."""
_FRONT_COLUMNS = (
    Column(""),
    Column("target"),
    Column("USD/month"),
    Column("provider", importance=2),
    Column("region", importance=1),
    Column("instance type"),
    Column("purchase"),
    Column("precision", importance=3),
    Column("TP", importance=4),
    Column("count"),
)


def outcome_sections(outcome: Outcome) -> list[Section]:
    """Why the fleet is as it is, what binds it, and which option comes next."""
    fleet = outcome.fleet
    if fleet is None:
        return [Section(_nothing_words(outcome), (*_relaxations(outcome), *outcome.nearest_misses))]
    title = f"{fleet_words(fleet)} at {usd(fleet.cost.total_usd_per_month)} a month"
    title = f"{REFUSED} {title}" if outcome.refused else f"{title} is recommended"
    seated = [f"{SEATED} {outcome.seated_on}: this is of a fleet of its own"] if outcome.seated_on else []
    lines = [
        *seated,
        *fleet_lines(fleet, outcome.within_ratio),
        *beside_words(fleet),
        *apart_words(fleet),
        *_next_words(outcome),
    ]
    scaling = Section("how it scales", tuple(scaling_lines(fleet)))
    return [Section(title, tuple(lines)), group_section(fleet), *detail_sections(fleet), scaling]


def _nothing_words(outcome: Outcome) -> str:
    nothing = "Nothing in the catalog serves this workload within its limits"
    return nothing if outcome.conflict is None else conflict_words(outcome.conflict)


def _relaxations(outcome: Outcome) -> tuple[str, ...]:
    return tuple(relaxation_words(outcome.conflict)) if outcome.conflict else ()


def _next_words(outcome: Outcome) -> Iterator[str]:
    """The cheapest option on an instance type that the fleet does not use."""
    following = outcome.runner_up
    if following is None:
        return
    more, ratio = following.usd_per_month_more, following.price_ratio_to_draw
    difference = f"{usd(abs(more))} {'more' if more >= 0 else 'less'} than the fleet"
    draw = "" if ratio is None or ratio <= 0 else f"; equal at {ratio:.3g} × the prices of the fleet"
    option = following.option
    made_of = f"{hardware_words(option)}, {option.region}, {name_words(option.purchase)}, {option.precision}"
    cost = f"{usd(option.cost.total_usd_per_month)} a month (#{option.rank})"
    machines = f"{group_count_words(option)} × {option.instance_type} ({made_of})"
    yield f"next instance type: {machines} at {cost}, {difference}{draw}"


def what_if_section(what_if: WhatIf) -> Section:
    """Effects of the changes."""
    title = "If " + ", ".join(f"{change.key} were {change.after} (now {change.before})" for change in what_if.changes)
    lines = [
        f"now: {_outcome_words(what_if.before)}",
        f"then: {_outcome_words(what_if.after)}",
        _difference_words(what_if),
    ]
    fleet = what_if.after.fleet
    if fleet is not None:
        lines += _horizon_words(what_if, fleet)
        told = (
            confirmation_words(fleet, what_if.after.within_ratio),
            *constraint_words(fleet),
        )
        lines += [f"then {line}" for line in told]
    lines += [*_relaxations(what_if.after), *what_if.after.nearest_misses]
    return Section(title, tuple(lines))


def _horizon_words(what_if: WhatIf, fleet: Fleet) -> Iterator[str]:
    """Time over which a supposed growth counts, where that is less than the year that it is stated for."""
    changed, days = {change.key for change in what_if.changes}, fleet.forecast.horizon_days
    if "growth_per_year" in changed and "horizon" not in changed and days < DAYS_PER_YEAR:
        yield (
            f"growth counts within the horizon of {days:g} d: ask horizon=365d beside it, or state horizon: 365d, to "
            "plan for a year of it"
        )


def _outcome_words(outcome: Outcome) -> str:
    if outcome.fleet is None:
        return _nothing_words(outcome)
    words = f"{fleet_words(outcome.fleet)} at {usd(outcome.fleet.cost.total_usd_per_month)} a month"
    return f"{REFUSED} {words}" if outcome.refused else words


def _difference_words(what_if: WhatIf) -> str:
    change, ratio = what_if.usd_per_month_change, what_if.ratio
    if change is None or ratio is None:
        return "there is no cost to compare"
    if change == 0:
        return "the cost stays the same"
    word = "more" if change > 0 else "less"
    return f"{usd(abs(change))} a month {word} ({ratio - 1:+.0%})"


def why_section(why: Why, what_if: WhatIf | None = None) -> Section:
    """Changes that an instance type would need to win, or to lose; *what_if*: changes of the question."""
    demand = (
        "the changed"
        if what_if and any(change.key.partition(".")[0] == "demand" for change in what_if.changes)
        else "today's"
    )
    place = f" in {why.region}" if why.region else ""
    name = f"{why.instance_type}{place}"
    lines = list(_own_words(why))
    if why.rival is not None:
        lines.append(f"the cheapest of all others is {_contender_words(why.rival)}{_missed_words(why)}")
    if why.price is not None:
        lines.append(_price_words(why.price, wins=why.wins))
    if why.is_rival_missed:
        return Section(f"{name} {_verdict(why)}", tuple(lines))
    if why.wins or why.load or any(target.looser_ms or target.tighter_ms for target in why.targets):
        lines += [_target_words(target, wins=why.wins) for target in why.targets]
        lines.append(_load_words(why.load, f"{demand} demand", wins=why.wins))
    elif not _lifted_otherwise(why):
        lines.append(
            f"no target up to 16 times looser or tighter and no demand from 1/16 to 16 times {demand} "
            + ("takes it out of the cheapest fleet" if why.wins else "brings it into the cheapest fleet found")
        )
    for obstacle in why.obstacles:
        lifted = f" → lifted by {obstacle.lifted_by}" if obstacle.lifted_by else ""
        lines.append(f"{obstacle.code} ({obstacle.count}): {obstacle.message}{lifted}")
    return Section(f"{name} {_verdict(why)}", tuple(lines))


def _lifted_otherwise(why: Why) -> bool:
    """Whether what keeps it from serving is lifted by something else than a target, so that it may win then."""
    named = [obstacle.lifted_by for obstacle in why.obstacles if obstacle.lifted_by]
    return why.contender is None and any(not lifted_by.startswith("slo.") for lifted_by in named)


def _own_words(why: Why) -> Iterator[str]:
    """Recommended fleet's cost, and the instances it takes alone."""
    if _is_part(why) and why.recommended_usd_per_month is not None:
        yield f"the recommended fleet costs {usd(why.recommended_usd_per_month)} a month"
    if why.contender is not None:
        verb = "it takes" if why.wins and not _is_part(why) else "alone it would take"
        yield f"{verb} {_contender_words(why.contender)}"


def _is_part(why: Why) -> bool:
    """Whether the recommended fleet has it beside others, for less than it alone would cost."""
    ours, total = why.contender, why.recommended_usd_per_month
    return why.wins and (ours is None or total is None or ours.total_usd_per_month > total + A_CENT)


def _verdict(why: Why) -> str:
    if _is_part(why):
        alone = "alone it would cost more" if why.contender else "alone it cannot serve this"
        return f"is part of the recommended fleet, and {alone}"
    if why.wins:
        return "wins"
    if why.contender is None and any(obstacle.code == "price_unknown" for obstacle in why.obstacles):
        return f"cannot be compared: {SOLD_UNPRICED}"
    if why.contender is None or why.obstacles:
        return "cannot serve this alone as it is asked"
    less = 1 - why.contender.total_usd_per_month / why.rival.total_usd_per_month if why.rival else 0.0
    return f"does not win{_kept_words(why.contender, less) if why.is_less_simple else _reason(less)}"


def _kept_words(contender: Contender, less_ratio: float) -> str:
    """Words for a type that costs so much less than a recommended fleet which is preferred to it."""
    engine = contender.other_engine
    takes = f" with {engine}, not a preferred engine there" if engine else " and is less simple or lossier"
    return f": it costs {less_ratio:.1%} less{takes} (limits.simplicity)"


def _reason(less_ratio: float) -> str:
    """Words for a type that costs so much less than the recommended fleet, or more."""
    if less_ratio > SEARCHED_TO:
        return f", though it costs {less_ratio:.1%} less: the search missed it, so plan with it alone"
    if less_ratio > 0:
        return f": it costs {less_ratio:.1%} less, and the search ends within {SEARCHED_TO:.0%} of the cheapest"
    return ": it costs more"


def _contender_words(contender: Contender) -> str:
    others = " and others" if contender.groups > 1 else ""
    cost = f"{usd(contender.total_usd_per_month)} a month"
    limit = f", its replicas limited by their {contender.limited_by}" if contender.limited_by else ""
    return (
        f"{_count(contender)} × {contender.instance_type} "
        f"({contender.provider} {contender.region}, "
        f"{name_words(contender.purchase)}, "
        f"{contender.precision}, TP {contender.tensor_parallel}){others}: {cost}{limit}"
    )


def _count(fleet: Contender | Point) -> str:
    return count_words(fleet.instances_by_class or (fleet.instances,))


def _missed_words(why: Why) -> str:
    """Words on a fleet of others that the search missed, and how to plan with it; "" where it missed none."""
    if not why.is_rival_missed or why.rival is None or why.recommended_usd_per_month is None:
        return ""
    less = usd(why.recommended_usd_per_month - why.rival.total_usd_per_month)
    how = "" if why.region else f" (exclude: {{instance_types: [{why.instance_type}]}})"
    return f", {less} less than the recommended fleet: the search missed it, so plan without {why.instance_type}{how}"


def _price_words(price: PriceChange, *, wins: bool) -> str:
    today = "not known" if price.today_usd_per_hour is None else price_usd(price.today_usd_per_hour)
    ratio = "" if price.ratio is None else f", {price.ratio:.0%} of that"
    verb = "if its price alone rises, it stays recommended up to" if wins else "price: alone it would be recommended at"
    return f"{verb} {price_usd(price.usd_per_hour)} per hour (today {today}{ratio})"


def _target_words(target_change: TargetChange, *, wins: bool) -> str:
    verb = "leaves" if wins else "would join"
    ways = [
        f"it {verb} the cheapest fleet at {milliseconds(value)} or {word}"
        for value, word in ((target_change.looser_ms, "looser"), (target_change.tighter_ms, "tighter"))
        if value is not None
    ]
    name = f"{_NAMES[target_change.target]} (now {milliseconds(target_change.stated_ms)})"
    never = "changes nothing" if wins else "never makes it part of the cheapest fleet found"
    return f"{name}: {' and '.join(ways) or f'a target up to 16 times looser or tighter {never}'}"


def _load_words(ranges: Sequence[LoadRange], demand: str, *, wins: bool) -> str:
    if not ranges:
        return f"load: the cheapest fleets found for 1/16 to 16 times {demand} are without it"
    verb = "is" if wins else "would be"
    if wins and (ranges[0].low_factor, ranges[0].high_factor) == (1.0, 1.0):
        return f"load: it is part of the cheapest fleet at {demand}, and no longer at a tenth less or more"
    spans = " and ".join(_span(range_) for range_ in ranges)
    return f"load: it {verb} part of the cheapest fleet at {spans} times {demand}"


def _span(load_range: LoadRange) -> str:
    low = "1/16" if load_range.low_factor is None else _factor(load_range.low_factor)
    high = "16" if load_range.high_factor is None else _factor(load_range.high_factor)
    return f"about {low}" if low == high else f"{low} to {high}"


def _factor(factor: float) -> str:
    """A factor on the demand; one below a tenth as a part of it, as the ends of the search are."""
    return f"{factor:.3g}" if factor >= _SMALLEST_DECIMAL else f"1/{1 / factor:.3g}"


def front_section(front: Front) -> Section:
    """Cost against one target."""
    name = _NAMES[front.target]
    stated = f"now {milliseconds(front.stated_ms)}" if front.stated_ms else "no target now"
    if front.fastest is None:
        return Section(f"Cost against {name} ({stated})", ("nothing can hold the model",))
    fastest = front.fastest
    floor = f"no candidate is faster than {milliseconds(fastest.latency_ms)} with no other load"
    who = f"{fastest.instance_type} on {fastest.provider}, {fastest.precision}, TP {fastest.tensor_parallel}"
    between = (
        "each row is the fleet recommended at its target, the other targets as they are; between two rows another "
        "fleet may cost less than that of the tighter one"
    )
    if front.why_none:
        return Section(
            f"Cost against {name} ({stated})", (f"{floor}: {who}", f"no target has a fleet: {front.why_none}")
        )
    rows = tuple(
        (
            "→" if point.stated else "", milliseconds(point.latency_ms), f"{point.total_usd_per_month:,.2f}",
            point.provider, point.region, f"{point.instance_type}{' and others' if point.groups > 1 else ''}",
            name_words(point.purchase), point.precision, str(point.tensor_parallel),
            f"{point.instances} of {point.fleet_instances}" if point.groups > 1 else _count(point),
        )
        for point in front.points
    )  # fmt: skip
    return Section(f"Cost against {name} ({stated})", (f"{floor}: {who}", between), _FRONT_COLUMNS, rows)


_DRIVERS = {Unit.TOKENS: "hosted_vllm", Unit.TEXTS: "hosted_vllm", Unit.AUDIO: "openai"}
"""Prefixes by which LiteLLM calls a server with OpenAI's routes."""
_HUGGINGFACE = "huggingface"
_BASE_OF_TEXTS = "# The API_BASE of huggingface/ is the address without /v1: LiteLLM appends /rerank to it.\n"
_RERANK_DRIVERS = {"Text Embeddings Inference": _HUGGINGFACE}
"""Prefixes of engines that rank ``texts``, where the others rank ``documents``.

LiteLLM's litellm/llms/huggingface/rerank/transformation.py appends ``/rerank`` to the base (November 2026).
"""
_RERANK = "rerank"
_HEAD = """\
# LiteLLM configuration: what the {what} of the plan {name} cost on hardware of its own.
# {total} a month over {requests:,.0f} requests of the planned demand; {rule}.
# Beyond the total, and not in these prices:
# {beyond}.
"""


@dataclass(frozen=True, slots=True)
class _Price:
    """Price of a deployment, in the keys of LiteLLM's ``model_info``."""

    mode: str
    fields: Mapping[str, float]
    """USD."""
    rule: str
    """How the cost of a request is divided."""


def litellm_config(plan: Plan, where: str) -> str:
    """A ``model_list`` with one entry for each region of the plan's fleet, as YAML.

    Raises InputError if the plan has no fleet, its requests cost nothing, or they are counted in a unit that LiteLLM
    has no price for.
    """
    fleet = plan.fleet
    if fleet is None:
        raise InputError("the plan has no fleet to price", where=where, hint="plan again with other limits")
    if fleet.unit not in _DRIVERS:
        hint = "`advisor explain PLAN --cost` has the cost of 1,000 requests"
        raise InputError(f"LiteLLM has no price by the {fleet.unit} that this plan counts", where=where, hint=hint)
    if fleet.cost.usd_per_1000_requests <= 0:
        raise InputError("requests of the plan cost nothing", where=where, hint="make the plan again with `recommend`")
    requests = _requests_per_month(fleet)
    model = read_question(plan.question, where).model
    if needs_own_server(model.answer):
        hint = "`advisor explain PLAN --cost` has the cost of 1,000 requests"
        raise InputError(f"LiteLLM has no route to {model.answer} of texts", where=where, hint=hint)
    is_ranked = is_reranker(model)
    price = _price(plan, fleet, is_ranked=is_ranked)
    name, total = " ".join(printable(plan.workload["name"]).split()), usd(fleet.cost.total_usd_per_month)
    head = _HEAD.format(
        what=fleet.unit, name=name, total=total, requests=requests, rule=price.rule, beyond=FLEET_LEAVES_OUT
    )
    entries = list(_entries(plan, fleet, price))
    if any(entry["litellm_params"]["model"].startswith(_HUGGINGFACE) for entry in entries):
        head += _BASE_OF_TEXTS
    document = {"model_list": entries}
    return head + yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def _requests_per_month(fleet: Fleet) -> float:
    """Requests of an average month, and items of batch work beside them."""
    return fleet.cost.total_usd_per_month / fleet.cost.usd_per_1000_requests * REQUESTS_PER_THOUSAND


def _mean_sizes(plan: Plan, fleet: Fleet) -> tuple[float, float]:
    """Mean size of a request and of its answer, items of batch work beside them included."""
    entered, answered = (float(plan.demand[key]["mean"]) for key in ("input_tokens", "output_tokens"))
    beside = read_question(plan.question).demand.beside
    if beside is None or fleet.batch is None or fleet.is_batch_alone:
        return entered, answered
    of_all = _requests_per_month(fleet)
    items = fleet.batch.items / fleet.batch.every_hours * HOURS_PER_MONTH / of_all
    return entered + items * (beside.input_tokens - entered), answered + items * (beside.output_tokens - answered)


def _price(plan: Plan, fleet: Fleet, *, is_ranked: bool) -> _Price:
    """Price of a token, of a second of a recording, or of a query whose documents are ranked.

    For tokens ``output = w × input``, with ``w`` input tokens for one output token (`output_weight`), and
    ``input = USD per request ÷ (input tokens + w × output tokens)`` of a mean request: the planned demand at these
    prices costs the plan's total. Cached tokens have the price of the others, since LiteLLM takes those without one to
    be free.
    """
    unit, usd_per_request = fleet.unit, fleet.cost.usd_per_1000_requests / REQUESTS_PER_THOUSAND
    entered, answered = _mean_sizes(plan, fleet)
    if unit is Unit.AUDIO:
        price = {"input_cost_per_second": usd_per_request / entered * MS_PER_SECOND, "output_cost_per_second": 0.0}
        return _Price("audio_transcription", price, "a second of a recording costs the same in each")
    if is_ranked:
        return _Price(_RERANK, {"input_cost_per_query": usd_per_request}, "a query costs the same in each")
    weight = 0.0 if unit is Unit.TEXTS else output_weight()
    input_usd = usd_per_request / (entered + weight * answered)
    per_token = {
        "input_cost_per_token": input_usd,
        "output_cost_per_token": weight * input_usd,
        "cache_creation_input_token_cost": input_usd,
        "cache_read_input_token_cost": input_usd,
    }
    if unit is Unit.TEXTS:
        return _Price("embedding", per_token, "a token costs the same in each")
    rule = f"an output token\n# counts {weight:g} input tokens, the median of the catalog's prices of tokens"
    return _Price("chat", per_token, rule)


def _entries(plan: Plan, fleet: Fleet, price: _Price) -> Iterator[dict[str, Any]]:
    """A deployment for each region and driver, weighted by its share of the requests in the busiest hours."""
    model, shares = plan.workload["model"], _shares(fleet, is_ranked=price.mode == _RERANK)
    regions = [place for place, _ in shares]
    for (place, driver), share in shares.items():
        told = place if regions.count(place) == 1 else f"{place}_{driver}"
        variable = re.sub(r"\W+", "_", f"{plan.workload['name']}_{told}").upper()
        yield {
            "model_name": plan.workload["name"],
            "litellm_params": {
                "model": f"{driver}/{model}",
                "api_base": f"os.environ/{variable}_API_BASE",
                "api_key": f"os.environ/{variable}_API_KEY",
                **({"weight": round(share * 1000)} if len(shares) > 1 else {}),
            },
            "model_info": {
                "mode": price.mode,
                **({} if fleet.unit is Unit.AUDIO else {"max_input_tokens": plan.workload["context_tokens"]}),
                **price.fields,
            },
        }


def _shares(fleet: Fleet, *, is_ranked: bool) -> dict[tuple[str, str], float]:
    """Share of the requests by ``provider/region`` and driver in the class of the busiest hours."""
    shares: dict[tuple[str, str], float] = {}
    usual = _DRIVERS[fleet.unit]
    for group in fleet.groups:
        key = f"{group.provider}/{group.region}", _RERANK_DRIVERS.get(group.engine, usual) if is_ranked else usual
        shares[key] = shares.get(key, 0.0) + group.request_shares[-1]
    return shares


_ROWS = {row["item"]: row for row in read_rows(Path(__file__).with_name("cost_items.csv"))}
"""Items of a plan's cost: in words, and the service category of FOCUS where it is another than that of their kind."""
_ITEMS = {item: row["words"] for item, row in _ROWS.items()}
COST_COLUMNS = (
    Column("kind", importance=1),
    Column("what"),
    Column("of"),
    Column("quantity"),
    Column("unit", importance=2),
    Column("USD/unit"),
    Column("USD/month"),
    Column("price", importance=3),
)
_FOCUS = (
    "BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "BillingCurrency", "BillingAccountId",
    "BillingAccountName", "InvoiceId", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart",
    "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription", "ConsumedQuantity", "ConsumedUnit",
    "ContractedUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "InvoiceIssuerName", "RegionId", "ResourceName", "ServiceCategory", "ServiceName", "SkuId", "SkuPriceDetails",
    "Tags", "x_Kind", "x_PriceSource", "x_PriceAsOf", "x_PriceQuality",
)  # fmt: skip
_ACCOUNT = "plan"
"""FOCUS wants an account in each row; a plan is billed to none."""
_CATEGORIES = {
    CostKind.COMPUTE: "Compute",
    CostKind.STORAGE: "Storage",
    CostKind.NETWORK: "Networking",
    CostKind.MANAGED: "AI and Machine Learning",
}
_ITEM_CATEGORIES = {item: row["category"] for item, row in _ROWS.items() if row["category"]}
"""Service categories of FOCUS, which `advisor audit` takes for the same kind as the line's."""
_SERVICES = {
    CostKind.COMPUTE: "Virtual machines",
    CostKind.STORAGE: "Block storage",
    CostKind.NETWORK: "Network",
    CostKind.MANAGED: "Managed services",
}
_PRICING = {"spot": "Dynamic", "commitment": "Committed", "on_demand": "Standard", "owned": "Committed"}


def cost_section(fleet: Fleet, beside_total: Sequence[str] = ()) -> Section:
    """Every line of a fleet's cost, the sum by kind, and what no total holds."""
    lines = fleet.cost_lines
    beside = [line for line in lines if not line.in_total]
    by_kind = {kind: [line for line in lines if line.in_total and line.kind == kind] for kind in CostKind}
    told = [f"{kind}: {_kind_words(own, fleet)}" for kind, own in by_kind.items() if own]
    if beside:
        told.append(f"beside the total (*): {usd(_sum(beside))}")
    unpriced = [_ITEMS.get(line.item, line.item) for line in lines if line.usd_per_month is None]
    if unpriced:
        told.append(f"not in the total, since no price is known: {', '.join(unpriced)}")
    told.append(f"without {FLEET_LEAVES_OUT}")
    title = f"{usd(fleet.cost.total_usd_per_month)} a month is the sum of these lines"
    return Section(title, (*told, *_assumed(fleet), *beside_total), COST_COLUMNS, tuple(map(cost_row, lines)))


def _kind_words(lines: Sequence[CostLine], fleet: Fleet) -> str:
    """Sum of the lines of a kind; of compute that of the machines, as everywhere, and what interruptions add to it."""
    total, machines = _sum(lines), fleet.cost.compute_usd_per_month
    more = total - machines
    if lines[0].kind != CostKind.COMPUTE or more < A_CENT / 2:
        return usd(total)
    items = dict.fromkeys(_ITEMS.get(line.item, line.item) for line in lines if line.item != "instance")
    return f"{usd(machines)}, and {usd(more)} of {' and '.join(items)}"


def _assumed(fleet: Fleet) -> Iterator[str]:
    """Meaning of units of lines, and what is assumed of them, once for each item."""
    words = dict.fromkeys((line.item, line.in_total, line.assumes) for line in fleet.cost_lines if line.assumes)
    for item, in_total, assumes in words:
        yield f"{_ITEMS.get(item, item)}{'' if in_total else ' *'}: {assumes}"
    for provider in sorted({group.provider for group in fleet.groups} - set(CLOUDS)):
        yield f"not in the total: what {provider} charges beside machines, of which no price is known"


def focus_of(fleet: Fleet, start: dt.date, name: str, tags: Mapping[str, str]) -> str:
    """The lines of the total as a CSV with the mandatory columns of FOCUS 1.2: an average month of the plan.

    *start*: first day of the month; charges and their billing period are its 730 hours. *name*: of the workload, in
    place of an account's.
    """
    begin = dt.datetime.combine(start, dt.time())
    period = tuple(f"{at.isoformat()}Z" for at in (begin, begin + dt.timedelta(hours=HOURS_PER_MONTH)))
    groups = {group.name: group for group in fleet.groups}
    rows = (
        _focus_row(line, (_ACCOUNT, name, "", *period, *period), groups.get(line.place), json.dumps(dict(tags)))
        for line in fleet.cost_lines
        if line.in_total and line.usd_per_month is not None
    )
    return csv_text((_FOCUS, *rows))


def _sum(lines: Sequence[CostLine]) -> float:
    return math.fsum(line.usd_per_month or 0.0 for line in lines)


def cost_row(line: CostLine) -> tuple[str, ...]:
    """Cells of a line, under :data:`COST_COLUMNS`."""
    _, region, *rest = line.place.split("/")
    # Of a group's name the type as it is sold, and how it is paid for in words.
    short_place = " ".join((rest[0], *(paid.replace("_", " ") for paid in rest[1:][-1:]))) if rest else region
    return (
        str(line.kind),
        _ITEMS.get(line.item, line.item) + ("" if line.in_total else " *"),
        short_place,
        f"{line.quantity:,.6g}" if line.quantity < 1e6 else f"{line.quantity:,.0f}",
        line.unit,
        "?" if line.usd_per_unit is None else f"{line.usd_per_unit:.6g}",
        "?" if line.usd_per_month is None else f"{line.usd_per_month:,.2f}",
        " ".join(filter(None, (line.price_quality, line.price_as_of))) or line.price_source,
    )


def _focus_row(
    line: CostLine, billed: Sequence[str], group: FleetGroup | None, tags: str
) -> tuple[object, ...]:  # fmt: skip
    provider, region, *_ = line.place.split("/")
    kind = CostKind(line.kind)
    # Machines have the price of their market; disks and networks have one price in each.
    purchase = line.place.rpartition("/")[2] if line.item == "instance" else ""
    return (
        *(line.usd_per_month,) * 4, "USD", *billed, "Usage", "", _ITEMS.get(line.item, line.item),
        line.quantity, line.unit, line.usd_per_unit, _PRICING.get(purchase, "Standard"), line.quantity, line.unit,
        *(provider,) * 3, region, line.place, _ITEM_CATEGORIES.get(line.item, _CATEGORIES[kind]), _SERVICES[kind],
        *_sku(line, group), tags, str(kind), line.price_source, line.price_as_of, line.price_quality,
    )  # fmt: skip


def _sku(line: CostLine, group: FleetGroup | None) -> tuple[str, str]:
    """SkuId and SkuPriceDetails of instances; none of what is not a machine."""
    if group is None or line.item != "instance":
        return "", ""
    details = {"InstanceType": group.instance_type, "GpuCount": group.accelerator_count}
    return group.instance_type, json.dumps(details)
