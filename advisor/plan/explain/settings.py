"""Settings of a plan's question that can be asked otherwise: how each is changed, by an amount or factor, and shown."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from advisor.catalog.deployment import PROVIDER_OF_TARGET
from advisor.catalog.values import Offer, Price, Provenance, Purchase, Quality
from advisor.demand.lengths import with_run, with_token_lengths
from advisor.demand.values import BatchRun, Demand
from advisor.errors import InputError
from advisor.names import suggestion
from advisor.plan.request import PlanRequest
from advisor.records import dataclass, fields, replace
from advisor.units import span_words
from advisor.workload.closed_loop import batch_run, deadline_slo
from advisor.workload.declared_fields import read_deadline_hours, read_zone
from advisor.workload.planning_fields import (
    CACHE_KEYS,
    read_adapters,
    read_exclude,
    read_limits,
    read_response_cache,
    read_scaling,
)
from advisor.workload.scope import HELD, is_left_open
from advisor.workload.values import (
    MOST_GROWTH_PER_YEAR,
    PRECISIONS,
    BatchWork,
    DeclaredDemand,
    Exclude,
    Limits,
    Scaling,
)
from advisor.yaml_fields import Field

PRICED = (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.MANAGED)
"""Ways of buying that have a price of their own in an offer; those of commitments follow from it."""

_SUPPOSED = Provenance("supposed", "", Quality.RECALLED)
_AMOUNT = re.compile(r"(?P<factor>\d+(?:\.\d+)?)x|(?P<percent>[+-]\d+(?:\.\d+)?)%|(?P<value>\d+(?:\.\d+)?)", re.ASCII)
_NONE = "none"
PRICE, RATE = "price.", "demand"
_USERS = ("users", "concurrency", "concurrent", "concurrent_users")
"""Keys that users who wait for each answer are looked for under; the last is theirs."""
_START = yaml.Mark("", 0, 0, 0, None, 0)
_ADAPTERS = ("count", "rank", "active")
_CACHE_PARTS, _FEWEST_CACHE_PARTS = CACHE_KEYS[:3], 2
_PARTS: Mapping[str, Callable[[Field], Any]] = {"limits": read_limits, "scaling": read_scaling, "exclude": read_exclude}
"""Keys of the workload file with fields of their own, and how each is read."""


def amount_of(text: str, present: float) -> float:
    """``2x``, ``+30%`` or ``-20%`` of the present amount, or a number. Raises InputError if none, or not above 0."""
    match = _AMOUNT.fullmatch(text)
    amount = 0.0
    if match and match["factor"]:
        amount = present * float(match["factor"])
    elif match and match["percent"]:
        amount = present * (1 + float(match["percent"]) / 100)
    elif match:
        amount = float(match["value"])
    if not 0 < amount < float("inf"):
        raise InputError(f"'{text}' is not an amount above 0", hint="write 2x, +30%, -20% or a number")
    return amount


def with_price(offer: Offer, text: str, kinds: Sequence[Purchase]) -> Offer:
    """An offer at another price; a part of a price that is not known is not known either."""

    def supposed(kind: Purchase, price: Price | None) -> Price | None:
        if kind not in kinds or (price is None and text.endswith(("x", "%"))):
            return price
        return Price(amount_of(text, price.usd_per_hour if price else 1.0), _SUPPOSED)

    managed = offer.managed and replace(offer.managed, price=supposed(Purchase.MANAGED, offer.managed_price))
    return replace(
        offer,
        on_demand=supposed(Purchase.ON_DEMAND, offer.on_demand),
        spot=supposed(Purchase.SPOT, offer.spot),
        managed=managed,
    )


def known_prices(offers: Sequence[Offer], kinds: Sequence[Purchase]) -> list[float]:
    """USD per hour of each price of these kinds that is known."""
    prices = [offer.price(kind) for offer in offers for kind in kinds]
    return [price.usd_per_hour for price in prices if price is not None]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is supposed to be otherwise."""

    key: str
    before: str
    after: str


def changed_by(question: PlanRequest, key: str, value: str) -> tuple[PlanRequest, Change]:
    """Question with a setting changed, and the change in words. Raises InputError for an unknown key or wrong value."""
    setting = _settings().get(key)
    if setting is None:
        raise InputError(f"unknown key '{key}'", hint=_nearest(key))
    changed = setting.change(question, value)
    return changed, Change(key, setting.show(question), setting.show(changed))


def rate_changed(stated: PlanRequest, changed: PlanRequest) -> Change | None:
    """Change of the rate of requests in words; None where it is the same, or of batch work alone."""
    is_same = stated.demand.requests_per_second.mean == changed.demand.requests_per_second.mean
    if is_same or stated.demand.batch is not None:
        return None
    return Change(RATE, _show_demand(stated), _show_demand(changed))


@dataclass(frozen=True, slots=True)
class _Setting:
    change: Callable[[PlanRequest, str], PlanRequest]
    show: Callable[[PlanRequest], str]


def _settings() -> dict[str, _Setting]:
    """Every key but those of prices."""
    return (
        {
            f"slo.{name}": _Setting(partial(_change_slo, f"{name}_ms"), partial(_show_slo, f"{name}_ms"))
            for name in ("ttft_p95", "tpot_p95", "e2e_p95", "latency")
        }
        | {
            "horizon": _Setting(_change_horizon, lambda plan_request: f"{plan_request.workload.horizon_days:g} d"),
            RATE: _Setting(_change_demand, _show_demand),
            _USERS[-1]: _Setting(_change_users, _show_users),
            "demand.batch.items": _Setting(_change_items, _show_items),
            "demand.batch.deadline": _Setting(_change_deadline, _show_deadline),
            "input_tokens": _Setting(
                _change_input, lambda plan_request: f"{plan_request.demand.input_tokens.mean:,.0f} on average"
            ),
            "output_tokens": _Setting(
                _change_output, lambda plan_request: f"{plan_request.demand.output_tokens.mean:,.0f} on average"
            ),
        }
        | {"response_cache": _Setting(_change_cache, _show_cache)}
        | {
            f"adapters.{name}": _Setting(partial(_change_adapters, name), partial(_show_adapters, name))
            for name in _ADAPTERS
        }
        | {
            "slo.within_ratio": _Setting(_change_within, lambda asked: f"{asked.workload.slo.within_ratio:g}"),
            "slo.real_time_factor": _Setting(_change_real_time, _show_real_time),
        }
        | {key: _Setting(partial(_change_field, key), partial(_show_field, key)) for key in _WORKLOAD_FIELDS}
        | {
            f"{part}.{field.name}": _Setting(
                partial(_change_part, part, field.name), partial(_show_part, part, field.name)
            )
            for part, kind in (("limits", Limits), ("scaling", Scaling), ("exclude", Exclude))
            for field in fields(kind)
            if field.name != "quotas"
        }
    )


def _nearest(key: str) -> str:
    """The keys that look like an unknown one; of the demand all, since sizes in other units have none."""
    last = key.rpartition(".")[2]
    if last in _USERS:
        return f"did you mean {_USERS[-1]}?"
    if key.startswith("demand."):
        of_demand = [name for name in _settings() if name.partition(".")[0] == "demand"]
        return (
            f"of the demand known: {', '.join((*of_demand, 'input_tokens', 'output_tokens'))}; plan anything else of "
            "it from a changed workload file"
        )
    return suggestion(key, [*_settings(), f"{PRICE}INSTANCE_TYPE"]) or _all_known()


def _all_known() -> str:
    """Every key, those of a part of the workload file by the part."""
    single = [key for key in _settings() if key.partition(".")[0] not in _PARTS]
    parts = [f"{part}.KEY" for part in _PARTS]
    return f"known: {', '.join((*single, *parts, f'{PRICE}INSTANCE_TYPE'))}; each KEY is in docs/workload.md"


def _change_slo(name: str, question: PlanRequest, value: str) -> PlanRequest:
    return _with_slo(question, {name: None if value == _NONE else _field(value, name).duration_ms()})


def _change_horizon(question: PlanRequest, value: str) -> PlanRequest:
    """Another time that the plan has to hold for, over which a stated growth counts."""
    return replace(question, workload=replace(question.workload, horizon_days=_field(value, "horizon").days()))


def _change_within(question: PlanRequest, value: str) -> PlanRequest:
    """Share of the requests that have to be within every target."""
    return _with_slo(question, {"within_ratio": _field(value, "within_ratio").number(0, exclusive=True, maximum=1)})


def _change_real_time(question: PlanRequest, value: str) -> PlanRequest:
    factor = None if value == _NONE else _field(value, "real_time_factor").number(0, exclusive=True)
    return _with_slo(question, {"real_time_factor": factor})


def _show_real_time(question: PlanRequest) -> str:
    factor = question.workload.slo.real_time_factor
    return _NONE if factor is None else f"{factor:g}"


def _with_slo(question: PlanRequest, changed: Mapping[str, Any]) -> PlanRequest:
    if question.demand.batch is not None:
        raise InputError("batch work has no latency targets", hint="ask demand.batch.deadline=2h")
    workload = question.workload
    return question.of_workload(replace(workload, slo=replace(workload.slo, **changed)))


def _show_slo(name: str, question: PlanRequest) -> str:
    value = getattr(question.workload.slo, name)
    return _NONE if value is None else f"{value:g} ms"


def _change_demand(question: PlanRequest, value: str) -> PlanRequest:
    """``2x``, ``+30%``, or requests per second on average; peaks and the week's shape go with it."""
    factor = amount_of(value, question.demand.requests_per_second.mean) / question.demand.requests_per_second.mean
    return replace(question, demand=question.demand.times(factor))


def _show_demand(question: PlanRequest) -> str:
    run = question.demand.batch
    if run is not None:
        return _items_words(run)
    return f"{question.demand.requests_per_second.mean:.4g} requests/s"


def _change_items(question: PlanRequest, value: str) -> PlanRequest:
    """``2x``, ``+30%``, or items of a run of batch work, alone or beside requests, which stay as they are."""
    run, stated = _batch_of(question)
    factor = amount_of(value, run.items) / run.items
    work = replace(stated, items=max(round(stated.items * factor), 1))
    return _with_batch(question, work, run.times(factor))


def _show_items(question: PlanRequest) -> str:
    run = _run_of(question.demand)
    return _NONE if run is None else _items_words(run)


def _items_words(run: BatchRun) -> str:
    return f"{run.items:,.6g} items a run"


def _change_deadline(question: PlanRequest, value: str) -> PlanRequest:
    """Another deadline of batch work, in the same window."""
    run, stated = _batch_of(question)
    deadline_hours = read_deadline_hours(_field(value, "demand.batch.deadline"), run.every_hours)
    work = replace(stated, deadline_hours=deadline_hours)
    return _with_batch(question, work, batch_run(work).times(run.items / stated.items))


def _batch_of(question: PlanRequest) -> tuple[BatchRun, BatchWork]:
    """Runs of the batch work as they are planned, and as they are stated."""
    run, stated = _run_of(question.demand), question.workload.batch or question.workload.demand
    if run is None or not isinstance(stated, DeclaredDemand) or stated.batch is None:
        raise InputError("the demand has no batch work", hint="ask slo.e2e_p95, slo.latency, or demand")
    return run, stated.batch


def _with_batch(question: PlanRequest, work: BatchWork, run: BatchRun) -> PlanRequest:
    """The question with other batch work, as it is stated and as it is planned."""
    workload, demand = question.workload, question.demand
    if demand.beside is not None and workload.batch is not None:
        workload = replace(workload, batch=replace(workload.batch, batch=work))
        return replace(question, workload=workload, demand=replace(demand, beside=replace(demand.beside, run=run)))
    if isinstance(workload.demand, DeclaredDemand):
        stated = replace(workload.demand, batch=work)
        workload = replace(workload, demand=stated, slo=deadline_slo(run, demand.unit))
    return replace(question, workload=workload, demand=with_run(demand, run))


def _show_deadline(question: PlanRequest) -> str:
    run = _run_of(question.demand)
    return _NONE if run is None else f"{run.deadline_hours:g} h"


def _run_of(demand: Demand) -> BatchRun | None:
    """Runs of the batch work, alone or beside requests."""
    return demand.beside.run if demand.beside is not None else demand.batch


def _change_input(question: PlanRequest, value: str) -> PlanRequest:
    mean = question.demand.input_tokens.mean
    return _with_lengths(question, amount_of(value, mean) / mean, 1.0)


def _change_output(question: PlanRequest, value: str) -> PlanRequest:
    mean = question.demand.output_tokens.mean
    return _with_lengths(question, 1.0, amount_of(value, mean) / mean)


def _with_lengths(question: PlanRequest, input_factor: float, output_factor: float) -> PlanRequest:
    """Prompts, or recordings, and answers so many times as long; concurrent users send as many as that leaves them."""
    question = replace(question, demand=with_token_lengths(question.demand, input_factor, output_factor))
    stated = question.workload.demand
    if not isinstance(stated, DeclaredDemand) or stated.concurrent_users is None:
        return question
    longer = stated.times_as_long(input_factor, output_factor)
    return question.of_workload(replace(question.workload, demand=longer))


def _change_users(question: PlanRequest, value: str) -> PlanRequest:
    """``3x``, ``+30%`` or a number of users who wait for each answer."""
    stated = question.workload.demand
    if not isinstance(stated, DeclaredDemand) or stated.concurrent_users is None:
        raise InputError("the workload states no concurrent users", hint="ask demand=3x")
    users = amount_of(value, stated.concurrent_users)
    return question.of_workload(replace(question.workload, demand=replace(stated, concurrent_users=users)))


def _show_users(question: PlanRequest) -> str:
    stated = question.workload.demand
    users = stated.concurrent_users if isinstance(stated, DeclaredDemand) else None
    return _NONE if users is None else f"{users:,g}"


def _change_cache(question: PlanRequest, value: str) -> PlanRequest:
    """``0.4+20``, ``0.4+20+1h`` or ``none``: a cache that does not run yet, whatever runs now."""
    parts = value.split("+")
    if value != _NONE and not _FEWEST_CACHE_PARTS <= len(parts) <= len(_CACHE_PARTS):
        hint = f"such as 0.4+20+1h, 0.4+20 without a {_CACHE_PARTS[-1]}, or none"
        raise InputError(f"'{value}' is not {'+'.join(_CACHE_PARTS)}", hint=hint)
    document = _mapping(dict(zip(_CACHE_PARTS, parts, strict=False)), "response_cache")
    cache = None if value == _NONE else read_response_cache(document, question.workload.limits)
    return replace(question, workload=replace(question.workload, response_cache=cache))


def _show_cache(question: PlanRequest) -> str:
    cache = question.workload.response_cache
    if cache is None:
        return _NONE
    kept = "" if cache.ttl_seconds is None else f", kept for {span_words(cache.ttl_seconds)}"
    similar = "" if cache.similarity is None else f", from a similarity of {cache.similarity:g} on"
    return f"{cache.hit_ratio:.4g} of the requests from {cache.memory_gib:.4g} GiB{kept}{similar}"


def _change_adapters(name: str, question: PlanRequest, value: str) -> PlanRequest:
    """Another number of LoRA adapters, or of those that are active; of adapters without names, another rank."""
    present = question.workload.adapters
    if value == _NONE and name != "rank":
        changed = None if present is None or name == "count" else replace(present, active=None)
    elif present is not None and present.named and name != "active":
        raise InputError("the workload names its adapters", hint="change its list, or ask adapters.active")
    else:
        stated = {} if present is None else {"count": present.count, "rank": present.rank, "active": present.active}
        texts = {key: str(entry) for key, entry in stated.items() if entry is not None} | {name: value}
        read = read_adapters(_mapping({"count": "1", **texts}, "adapters"))
        targets = read.target_modules if present is None else present.target_modules
        changed = replace(read, target_modules=targets, named=() if present is None else present.named)
    workload, model = question.workload, replace(question.model, adapters=None)
    return replace(question, workload=replace(workload, adapters=changed), model=model)


def _show_adapters(name: str, question: PlanRequest) -> str:
    adapters = question.workload.adapters
    if adapters is None:
        return _NONE
    return str(adapters.slots if name == "active" else getattr(adapters, name))


def _zone_name(field: Field) -> str:
    read_zone(field)
    return field.text()


_WORKLOAD_FIELDS: Mapping[str, Callable[[Field], Any]] = {
    "purchase": lambda field: tuple(Purchase(name) for name in field.choices([kind.value for kind in Purchase])),
    "precisions": lambda field: field.choices(PRECISIONS),
    "providers": lambda field: field.texts(),
    "regions": lambda field: () if field.texts() == ("all",) else field.texts(),
    "context_tokens": lambda field: field.count(1),
    "prefix_cache_hit_ratio": lambda field: field.number(0, maximum=0.999),
    "growth_per_year": lambda field: field.number(-1, exclusive=True, maximum=MOST_GROWTH_PER_YEAR),
    "timezone": _zone_name,
    "listed_only": lambda field: field.truth(),
    "existing_cluster": lambda field: field.truth(),
    "targets": lambda field: () if field.texts() == ("all",) else field.choices(tuple(PROVIDER_OF_TARGET)),
    **{key: lambda field: () if field.texts() == ("all",) else field.texts() for key in HELD[2:]},
}
"""Keys of the workload file whose value is a field of the workload, and how it is read."""
_IN_FORCE = {"survive": "survival"}
"""Limits that hold otherwise than stated, and what tells how."""


def _change_field(name: str, question: PlanRequest, value: str) -> PlanRequest:
    changed: dict[str, Any] = {name: _WORKLOAD_FIELDS[name](_field(value, name))}
    if name in ("providers", "regions") and (question.workload.near_current or question.workload.regions_left_open):
        changed = {"regions": (), "near_current": False, "regions_left_open": False, **changed}
    return replace(question, workload=replace(question.workload, **changed))


def _show_field(name: str, question: PlanRequest) -> str:
    workload = question.workload
    is_any = name == "regions" and workload.regions_left_open and not workload.near_current
    return _shown(() if is_any else getattr(workload, name))


def _change_part(part: str, name: str, question: PlanRequest, value: str) -> PlanRequest:
    """A field of a part of the workload: the whole part is read again, so that contradictions are found."""
    if part == "scaling" and question.demand.batch is not None:
        raise InputError("machines of batch work run in its hours alone", hint="leave scaling as it is")
    present = getattr(question.workload, part)
    stated = {field.name: getattr(present, field.name) for field in fields(present) if field.name != "quotas"}
    texts = {key: _shown(entry) for key, entry in stated.items() if entry is not None and entry != ()} | {name: value}
    document = _mapping({key: text for key, text in texts.items() if text != _NONE}, part)
    kept = {"quotas": present.quotas} if part == "limits" else {}
    changed: dict[str, Any] = {part: replace(_PARTS[part](document), **kept)}
    if part == "exclude" and is_left_open(question.workload):
        changed |= {"regions": (), "regions_left_open": False}
    return replace(question, workload=replace(question.workload, **changed))


def _show_part(part: str, name: str, question: PlanRequest) -> str:
    value = getattr(getattr(question.workload, part), _IN_FORCE.get(name, name))
    return _NONE if value == () else _shown(value)


def _shown(value: Any) -> str:  # noqa: ANN401 - any field
    if value is None:
        return _NONE
    return "+".join(map(_plain_text, value)) or "all" if isinstance(value, tuple) else _plain_text(value)


def _plain_text(value: Any) -> str:  # noqa: ANN401 - any field
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value.value}" if isinstance(value, Enum) else f"{value}"


def _field(value: str, name: str) -> Field:
    """A value as it would stand in the workload file; a list is joined by ``+``, or in brackets as in YAML."""
    return Field(_node(value), name, Path())


def _mapping(entries: Mapping[str, str], name: str) -> Field:
    pairs = [(_scalar(key), _node(value)) for key, value in entries.items()]
    return Field(yaml.MappingNode("tag:yaml.org,2002:map", pairs, start_mark=_START), name, Path())


def _node(value: str) -> yaml.Node:
    if value.startswith("[") and value.endswith("]"):
        return _sequence(value[1:-1].split(","))
    return _sequence(value.split("+")) if "+" in value else _scalar(value)


def _sequence(values: Iterable[str]) -> yaml.Node:
    items = [_scalar(value.strip()) for value in values]
    return yaml.SequenceNode("tag:yaml.org,2002:seq", items, start_mark=_START)


def _scalar(value: str) -> yaml.Node:
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, start_mark=_START)
