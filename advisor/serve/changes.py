"""Changes of a question: its controls, from a form, into a workload file, and those that are a step away."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import yaml

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.errors import InputError
from advisor.plan.request import PlanRequest
from advisor.report.pages.rendering import Control, Step
from advisor.serve.values import Changes, Form
from advisor.units import MS_PER_SECOND
from advisor.workload.values import PRECISIONS, Slo, Workload
from advisor.yaml_fields import Field

DEMAND = "demand"
ALL = "all"
"""Every region; the page offers it beside single ones."""
NEAR = "near_current"
"""Regions near what runs today, beside single ones."""
STEP = "step."
WAS = "was."
_TIMES = "times"
_FACTOR = re.compile(r"(\d+(?:\.\d+)?)x", re.ASCII)
_PERCENT = re.compile(r"([+-]\d+(?:\.\d+)?)%", re.ASCII)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)", re.ASCII)
_LONGEST = 40
_SERIES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Steps of amounts within a power of ten."""
_MAP, _LIST, _TEXT, _FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "float"))
_OF_TOKENS = (("ttft_p95", "TTFT p95"), ("tpot_p95", "TPOT p95"), ("e2e_p95", "whole answer p95"))


def changes_of(form: Form, controls: Sequence[Control]) -> Changes:
    """Changes that a form asks for; an empty field is as stated.

    Raises:
        InputError: a field that there is no control for, or a value that cannot be chosen.
    """
    keys = {control.key for control in controls}
    unknown = sorted({name.removeprefix(STEP).removeprefix(WAS) for name in form.fields} - keys)
    if unknown:
        raise InputError(f"there is no control {unknown[0][:_LONGEST]!r}", hint=f"there are {', '.join(sorted(keys))}")
    return _canonical({control.key: _value(form, control) for control in controls}, controls)


def _canonical(values: Mapping[str, str], controls: Sequence[Control]) -> Changes:
    """Values that are not as stated, in the order of the controls: the same question has the same changes."""
    stated = {control.key: control.stated for control in controls}
    return tuple((key, values[key]) for key in stated if values.get(key, "") not in ("", stated[key]))


def _value(form: Form, control: Control) -> str:
    if control.choices is None:
        return _amount(form.text(STEP + control.key) or form.text(control.key), control)
    ticked = set(form.fields.get(control.key, ()))
    unknown = sorted(ticked.difference(control.values))
    if unknown:
        raise InputError(f"{unknown[0][:_LONGEST]!r} cannot be chosen", where=control.key, hint="the page has them all")
    every, former = ticked & {ALL, NEAR}, form.text(WAS + control.key).split("+")
    taken = every.difference(former) or ticked - every or every
    return "+".join(value for value in control.values if value in taken)


def _amount(typed: str, control: Control) -> str:
    """A typed amount; a percentage of the demand as a factor.

    Raises:
        InputError: it is none.
    """
    is_demand = control.key == DEMAND
    percent = _PERCENT.fullmatch(typed) if is_demand else None
    if percent and len(typed) < _LONGEST:
        return f"{1 + float(percent[1]) / 100:g}x"
    if len(typed) > _LONGEST or (typed and _AMOUNT.fullmatch(typed) is None):
        hint = "write it as 2x, +30% or, in requests per second, 12" if is_demand else "write it as 50ms or 1.5s"
        raise InputError(f"{typed[:_LONGEST]!r} is no amount", where=control.key, hint=hint)
    return typed


def words(changes: Changes) -> str:
    """``demand=2x, slo.tpot_p95=40ms``."""
    return ", ".join(f"{key}={value}" for key, value in changes)


def steps_of(controls: Sequence[Control], changes: Changes) -> tuple[Step, ...]:
    """The controls as they stand, amounts with the values around them."""
    values = dict(changes)
    return tuple(_step(control, values.get(control.key, control.stated)) for control in controls)


def _step(control: Control, value: str) -> Step:
    match = _AMOUNT.fullmatch(value) if control.choices is None else None
    if match is None or not float(match[1]):
        return Step(control, value)
    amount, unit = float(match[1]), match[2]
    power = math.floor(math.log10(amount))
    scale = [step * 10.0**each for each in (power - 1, power, power + 1) for step in _SERIES]
    lower = max(step for step in scale if step < amount * 0.999)
    higher = min(step for step in scale if step > amount * 1.001)
    return Step(control, value, f"{lower:.15g}{unit}", f"{higher:.15g}{unit}")


def ahead_of(controls: Sequence[Control], changes: Changes) -> Iterator[Changes]:
    """Changes that are one step of one amount away."""
    for step in steps_of(controls, changes):
        for value in filter(None, (step.higher, step.lower)):
            yield _canonical(dict(changes) | {step.control.key: value}, controls)


def changed_file(root: Field, changes: Changes, mean_per_second: float) -> Field:
    """A workload file with changes in it.

    Args:
        root: as it was read.
        changes: of demand, SLO, purchase, precisions and regions.
        mean_per_second: requests that its source of demand has, on average.

    Raises:
        InputError: a demand that is none.
    """
    node = root.node
    for key, value in changes:
        if key == DEMAND:
            times = _times(value, stated_times(root), mean_per_second)
            node = _with(node, (DEMAND, _TIMES), yaml.ScalarNode(_FLOAT, repr(times), node.start_mark))
        elif value == ALL:
            node = _mapping(node, [entry for entry in node.value if entry[0].value != key])
        elif "." in key:
            node = _with(node, tuple(key.split(".")), yaml.ScalarNode(_TEXT, value, node.start_mark))
        else:
            items = [yaml.ScalarNode(_TEXT, each, node.start_mark) for each in value.split("+")]
            node = _with(node, (key,), yaml.SequenceNode(_LIST, items, node.start_mark, flow_style=True))
    return Field(node, root.name, root.path)


def stated_times(root: Field) -> float:
    """``demand.times`` of a workload file that is free of faults."""
    node: yaml.Node | None = root.node
    for key in (DEMAND, _TIMES):
        node = next((value for name, value in node.value if name.value == key), None) if node else None
    return float(node.value) if node else 1.0


def _times(value: str, stated: float, mean_per_second: float) -> float:
    factor, rate = _FACTOR.fullmatch(value), _AMOUNT.fullmatch(value)
    if factor is None and (rate is None or rate[2]):
        raise InputError(f"'{value}' is no demand", where=DEMAND, hint="write it as 2x, +30% or, a second, 12")
    return stated * float(factor[1]) if factor else float(value) / mean_per_second


def _with(node: yaml.Node, keys: tuple[str, ...], value: yaml.Node) -> yaml.Node:
    """A mapping with the value at nested keys; mappings that are missing are made."""
    entries = {name.value: (name, former) for name, former in node.value}
    made = (
        yaml.ScalarNode(_TEXT, keys[0], node.start_mark),
        yaml.MappingNode(_MAP, [], node.start_mark, flow_style=True),
    )
    name, former = entries.get(keys[0], made)
    entries[keys[0]] = (name, _with(former, keys[1:], value) if len(keys) > 1 else value)
    return _mapping(node, list(entries.values()))


def _mapping(node: yaml.Node, entries: list[tuple[yaml.Node, yaml.Node]]) -> yaml.Node:
    return yaml.MappingNode(_MAP, entries, node.start_mark, flow_style=getattr(node, "flow_style", None))


def file_text(root: Field, changes: Changes) -> str:
    """A workload file as text; comments of the one that it was made from are left out."""
    head = f"# {root.path.name} with {words(changes)}\n" if changes else ""
    return head + str(yaml.serialize(root.node, Dumper=yaml.SafeDumper, allow_unicode=True, width=120))


def controls_of(question: PlanRequest, catalog: Catalog, *, of_file: bool) -> tuple[Control, ...]:
    """The controls.

    Args:
        question: as stated, without a change.
        catalog: where is something to buy.
        of_file: keys are those of a workload file; otherwise of `advisor explain --what-if`, which differ in one.
    """
    workload = question.workload
    targets = _whole(workload.slo, of_file) if question.demand.unit.is_one_pass else _of_tokens(workload.slo)
    return (
        Control(DEMAND, "load (× or requests/s)", "1x"),
        *targets,
        _choice("purchase", workload.purchase, list(Purchase)),
        _choice("precisions", workload.precisions, PRECISIONS),
        _regions(workload, catalog),
    )


def _of_tokens(slo: Slo) -> Iterator[Control]:
    for key, label in _OF_TOKENS:
        yield Control(f"slo.{key}", label, _duration(getattr(slo, f"{key}_ms")))


def _whole(slo: Slo, of_file: bool) -> Iterator[Control]:  # noqa: FBT001 - as above
    percentile = f"p{round(100 * slo.latency_percentile)}"
    key = f"slo.latency_{percentile}" if of_file else "slo.latency"
    yield Control(key, f"latency {percentile}", _duration(slo.latency_ms))


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds / MS_PER_SECOND:.15g}s" if milliseconds >= MS_PER_SECOND else f"{milliseconds:.15g}ms"


def _choice(key: str, stated: Sequence[str], every: Sequence[str]) -> Control:
    """Stated values come first, in their order, which is one of preference."""
    return Control(key, key, "+".join(stated), {key: tuple(dict.fromkeys([*stated, *every]))})


def _regions(workload: Workload, catalog: Catalog) -> Control:
    every = NEAR if workload.near_current else ALL
    places = {provider: tuple(sorted(catalog.regions_of(provider))) for provider in workload.providers}
    choices = {"regions": (every,)} | places
    named = () if workload.regions_left_open else workload.regions
    listed = dict.fromkeys(region for regions in choices.values() for region in regions if region in named)
    return Control("regions", "regions", "+".join(listed) or every, choices)
