"""Work of the processes behind a served page: each plans once, from what all of them share.

Changes of a question: its controls, from a form, into a workload file, and those that are a step away.
"""

import io
import math
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import yaml

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.values import Demand
from advisor.demand_sources import read_demand
from advisor.errors import AdvisorError, InputError
from advisor.models import find_model
from advisor.models.catalog import catalogued_name
from advisor.performance.model import PerformanceModel, load_model
from advisor.pipeline import Extent, answer, plan_question, prepared, question_for
from advisor.plan.document import plan_from_json, plan_to_json, why_not_as_made
from advisor.plan.explain.whatif import what_if
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.request import PlanRequest, catalog_for, read_question
from advisor.plan.solve.stage import Effort
from advisor.plan.values import Option
from advisor.records import dataclass, replace
from advisor.report.pages import first_page, plan_page
from advisor.report.pages.rendering import Control, Live, Step
from advisor.requirements import check_names
from advisor.serve import Answer, Changes, Form, Place, Problem, Scope, Source
from advisor.units import MS_PER_SECOND
from advisor.workload.document import workload_of
from advisor.workload.values import PRECISIONS, DeclaredDemand, Workload
from advisor.yaml_fields import Field, document_of

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
    """Changes of a form but for empty fields. Raises InputError for a field without control, or a value not offered."""
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
    """A typed amount; a percentage of the demand as a factor."""
    is_demand = control.key == DEMAND
    percent = _PERCENT.fullmatch(typed) if is_demand else None
    if percent and len(typed) < _LONGEST:
        return f"{1 + float(percent[1]) / 100:g}x"
    if len(typed) > _LONGEST or (typed and _AMOUNT.fullmatch(typed) is None):
        hint = "write it as 2x, +30% or, in requests per second, 12" if is_demand else "write it as 50ms or 1.5s"
        raise InputError(f"{typed[:_LONGEST]!r} is not an amount", where=control.key, hint=hint)
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
    """A workload file with changes of demand, SLO, purchase, precisions and regions in it.

    *mean_per_second*: requests that its source of demand has, on average. Raises InputError for a demand that is none.
    """
    node = root.node
    for key, value in changes:
        if key == DEMAND:
            factor, rate = _FACTOR.fullmatch(value), _AMOUNT.fullmatch(value)
            if factor is None and (rate is None or rate[2]):
                raise InputError(
                    f"'{value}' is not a demand", where=DEMAND, hint="write it as 2x, +30% or, a second, 12"
                )
            times = stated_times(root) * float(factor[1]) if factor else float(value) / mean_per_second
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


def _with(node: yaml.Node, keys: tuple[str, ...], value: yaml.Node) -> yaml.Node:
    """A mapping with the value at nested keys; mappings that are missing are made."""
    entries = {name.value: (name, former) for name, former in node.value}
    empty = yaml.MappingNode(_MAP, [], node.start_mark, flow_style=True)
    name, former = entries.get(keys[0], (yaml.ScalarNode(_TEXT, keys[0], node.start_mark), empty))
    entries[keys[0]] = (name, _with(former, keys[1:], value) if len(keys) > 1 else value)
    return _mapping(node, list(entries.values()))


def _mapping(node: yaml.Node, entries: list[tuple[yaml.Node, yaml.Node]]) -> yaml.Node:
    return yaml.MappingNode(_MAP, entries, node.start_mark, flow_style=getattr(node, "flow_style", None))


def file_text(root: Field, changes: Changes) -> str:
    """A workload file as text; comments of the one that it was made from are left out."""
    head = f"# {root.path.name} with {words(changes)}\n" if changes else ""
    return head + str(yaml.serialize(root.node, Dumper=yaml.SafeDumper, allow_unicode=True, width=120))


def controls_of(question: PlanRequest, catalog: Catalog, *, of_file: bool) -> tuple[Control, ...]:
    """The controls of a question without a change.

    *of_file*: keys are those of a workload file; otherwise of `advisor explain --what-if`, which differ in one.
    """
    workload = question.workload
    slo = workload.slo
    if question.demand.unit.is_one_pass:
        percentile = f"p{round(100 * slo.latency_percentile)}"
        key = f"slo.latency_{percentile}" if of_file else "slo.latency"
        targets = [Control(key, f"latency {percentile}", _duration(slo.latency_ms))]
    else:
        targets = [Control(f"slo.{key}", label, _duration(getattr(slo, f"{key}_ms"))) for key, label in _OF_TOKENS]
    return (
        Control(DEMAND, "load (× or requests/s)", "1x"),
        *targets,
        _choice("purchase", workload.purchase, list(Purchase)),
        _choice("precisions", workload.precisions, PRECISIONS),
        _regions(workload, catalog),
    )


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


FIRST = Extent(
    Effort(rehearsed_requests=3_500, kinds_tried=3, holds_up_to=False, in_full=False, every_kind=False, options=0),
    replayed_options=0,
    has_ladder=False,
    compares_apart=False,
    judges_today=False,
    rejections_beside_options=False,
)
"""A confirmed fleet of few types in a fraction of the time of a plan."""
MOST_TYPES = 3
"""Instance types that the first answer to a change is chosen from, or all of the fleet before it."""
_OWN_ONLY = "give the file on the command line: advisor serve workload.yaml"
Given = ParamSpec("Given")
Result = TypeVar("Result")
_SAME_TIME = (1980, 1, 1, 0, 0, 0)


@cache
def catalog() -> Catalog:
    """The user's catalog, read once."""
    return load_catalog()


@cache
def performance() -> PerformanceModel:
    """The shipped performance model, read once."""
    return load_model(None)


def _told(work: Callable[Given, Result]) -> Callable[Given, Result | Problem]:
    """The same work with its failure as a problem: no exception leaves the process."""

    @wraps(work)
    def told(*arguments: Given.args, **named: Given.kwargs) -> Result | Problem:
        try:
            return work(*arguments, **named)
        except AdvisorError as error:
            return Problem(str(error))
        except MemoryError:
            return Problem("not enough memory\n  hint: ask for less at a time", 500)
        except Exception as error:  # noqa: BLE001 - the boundary of the process
            return Problem(
                f"this is a bug in advisor ({type(error).__name__}: {error})\n  hint: `advisor recommend` of the same "
                "workload file writes a report of it",
                500,
            )

    return told


@_told
def planned(source: Source, changes: Changes, demand: Demand | None, place: Place) -> Answer:
    """The plan for a changed question; *demand*: as measured for the same source before; None: measured now."""
    question, asked = _questions(source, changes, demand)
    if source.is_plan and not changes:
        plan = plan_from_json(source.text, str(source.path))
    else:
        plan = plan_question(asked.question, asked.catalog, model=performance())
    controls = controls_of(question, catalog(), of_file=not source.is_plan)
    names = ["plan.json"] + ["terraform.zip"] * (plan.fleet is not None)
    downloads = {} if source.is_plan else {question.workload.path.name: f"{place.folder}workload.yaml"}
    downloads |= {name: f"{place.folder}{name}" for name in names}
    live = Live(place.action, place.secret, steps_of(controls, changes), downloads, words(changes))
    return Answer(
        page=plan_page(plan, live),
        plan=plan_to_json(plan),
        workload=asked.file,
        controls=controls,
        ahead=tuple(ahead_of(controls, changes)),
        demand=asked.measured,
        scope=None if plan.fleet is None else _scope_of(plan.fleet, plan.options),
    )


@_told
def first(source: Source, changes: Changes, demand: Demand | None, place: Place, scope: Scope) -> str:
    """Page of the first answer to a change: the question of :func:`planned`, of the types in the scope of a fleet.

    A fleet that it finds, which its replay confirms, is one of the whole question too, which may have a cheaper one.
    """
    question, asked = _questions(source, changes, demand)
    narrowed = scope.within(asked.question.workload)
    if narrowed is None:
        raise InputError("the change leaves nothing of the fleet before it")
    plan = answer(replace(asked.question, workload=narrowed), asked.catalog, performance(), FIRST).plan
    if plan.fleet is None or plan.fleet.confirmed is None or not plan.fleet.confirmed.reached:
        raise InputError("no fleet of these types serves the changed question")
    steps = steps_of(controls_of(question, catalog(), of_file=not source.is_plan), changes)
    return first_page(plan, Live(place.action, place.secret, steps, {}, words(changes), f"{place.folder}whole"))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A changed question, and what it is answered from."""

    question: PlanRequest
    catalog: Catalog
    measured: Demand | None
    """Demand as its source has it; None: it is stated."""
    file: str
    """Text of the changed workload file; "" where a plan was given."""


def _questions(source: Source, changes: Changes, demand: Demand | None) -> tuple[PlanRequest, _Asked]:
    """The question as stated, and as changed."""
    return _questions_of_plan(source, changes) if source.is_plan else _questions_of_file(source, changes, demand)


def _questions_of_file(source: Source, changes: Changes, demand: Demand | None) -> tuple[PlanRequest, _Asked]:
    root = document_of(source.text, source.path)
    if not source.is_own:
        _check_alone(root)
    stated = workload_of(root)
    measured = demand or _measured(root)
    question = question_for(prepared(stated, catalog()), catalog(), performance(), measured=measured)
    changed = changed_file(root, changes, measured.requests_per_second.mean)
    if not changes:
        return question, _Asked(question, catalog(), measured, file_text(changed, changes))
    # What users do between answers depends on how long these take, so that stated demand is computed anew.
    kept = None if isinstance(stated.demand, DeclaredDemand) else measured
    try:
        workload = prepared(workload_of(changed), catalog())
    except InputError as error:
        # The file is free of faults: what was typed is not.
        raise InputError(error.message, where=f"the controls: {words(changes)}", hint=error.hint) from error
    asked = question_for(workload, catalog(), performance(), measured=kept)
    return question, _Asked(asked, catalog(), measured, file_text(changed, changes))


def _measured(root: Field) -> Demand:
    workload = prepared(workload_of(root), catalog())
    model = find_model(workload.model_reference)
    sold = catalog_for(workload, model, catalog())
    check_names(workload, sold)
    return read_demand(workload, model, sold, performance())


def _check_alone(root: Field) -> None:
    """Refuse a workload of others that names a file or a server, which this machine would ask in their place."""
    if not isinstance(root.node, yaml.MappingNode):
        return  # no workload, as its reader will say
    fields = {str(name.value): Field(value, str(name.value), root.path) for name, value in root.node.value}
    demand, model = fields.get(DEMAND), fields.get("model")
    if demand is not None and isinstance(demand.node, yaml.MappingNode):
        for name, _ in demand.node.value:
            if name.value in ("trace", "summary", "samples", "prometheus", "cloudwatch"):
                demand.fail(f"{name.value} names a place, and demand that is pasted has to be declared", _OWN_ONLY)
    if model is not None and not catalogued_name(model.text()):
        model.fail(
            "the catalog does not know this model, and a file of it is not read for a pasted workload", _OWN_ONLY
        )


def _questions_of_plan(source: Source, changes: Changes) -> tuple[PlanRequest, _Asked]:
    question = read_question(plan_from_json(source.text, str(source.path)).question, str(source.path))
    reason = why_not_as_made(source.text, str(source.path))
    if reason:
        raise InputError(reason, where=str(source.path), hint="make the plan again with `advisor recommend`")
    if not changes:
        return question, _Asked(question, catalog(), None, "")
    changed, sold, _ = what_if(question, catalog(), ",".join(f"{key}={value}" for key, value in changes))
    return question, _Asked(changed, sold, None, "")


def _scope_of(fleet: Fleet, options: Sequence[Option]) -> Scope:
    """Scope of a fleet, with the types of the cheapest options beside it: of another load another may be cheaper."""
    kinds = ((group.provider, group.region, group.instance_type, group.precision) for group in fleet.groups)
    providers, regions, types, precisions = (tuple(dict.fromkeys(names)) for names in zip(*kinds, strict=True))
    beside = (
        option.instance_type
        for option in options
        if option.provider in providers and option.region in regions and option.precision in precisions
    )
    return Scope(providers, regions, tuple(dict.fromkeys((*types, *beside)))[: max(MOST_TYPES, len(types))], precisions)


@_told
def code(plan: str) -> bytes:
    """The files of `advisor generate terraform` in an empty directory as a ZIP archive: same plan, same bytes."""
    from advisor.codegen import generate, write_files  # noqa: PLC0415 - plans do without templates

    generated = generate(plan_from_json(plan), catalog=catalog())
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="advisor-serve-") as name, zipfile.ZipFile(archive, "w") as packed:
        folder = Path(name)
        write_files(generated, folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _SAME_TIME)
            entry.external_attr = (path.stat().st_mode & 0o755) << 16
            packed.writestr(entry, path.read_bytes())
    return archive.getvalue()
