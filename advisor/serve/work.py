"""Work of the processes behind a served page: each plans once, from what all of them share."""

import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import yaml

from advisor.catalog import Catalog, load_catalog
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
from advisor.plan.values import Option, Plan
from advisor.records import dataclass, replace
from advisor.report.pages import first_page, plan_page
from advisor.report.pages.rendering import Live
from advisor.requirements import check_names
from advisor.serve.changes import DEMAND, ahead_of, changed_file, controls_of, file_text, steps_of, words
from advisor.serve.values import Answer, Changes, First, Place, Problem, Scope, Source
from advisor.workload.document import workload_of
from advisor.workload.values import DeclaredDemand
from advisor.yaml_fields import Field, document_of

FIRST = Extent(
    Effort(rehearsed_requests=3_500, kinds_tried=3, holds_up_to=False, in_full=False, every_kind=False, options=0),
    replayed_options=0,
    has_ladder=False,
    judges_today=False,
    rejections_beside_options=False,
)
"""A confirmed fleet of few types in a fraction of the time of a plan."""
MOST_TYPES = 3
"""Instance types that the first answer to a change is chosen from, or all of the fleet before it."""
_OWN_ONLY = "give the file on the command line: advisor serve workload.yaml"
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


def done(work: Callable[[], Result]) -> Result | Problem:
    """Result of some work, or why there is none: no exception leaves the process."""
    try:
        return work()
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


def planned(source: Source, changes: Changes, demand: Demand | None, place: Place) -> Answer | Problem:
    """The plan for a changed question.

    Args:
        source: what the question is made from.
        changes: what is otherwise than stated there.
        demand: as it was measured for an earlier question of the same source; None: it is measured now.
        place: of the page.
    """
    make = _of_plan if source.is_plan else _of_file
    return done(lambda: make(source, changes, demand, place))


def first(source: Source, changes: Changes, demand: Demand | None, place: Place, scope: Scope) -> First | Problem:
    """The first answer to a change: the same question, of the types of an earlier fleet and its cheapest options.

    A fleet that it finds is one of the whole question too, which may have a cheaper one.

    Args:
        source: what the question is made from.
        changes: what is otherwise than stated there.
        demand: as it was measured for an earlier question of the same source.
        place: of the page.
        scope: of the earlier fleet.
    """
    return done(lambda: _first(source, changes, demand, place, scope))


def _first(source: Source, changes: Changes, demand: Demand | None, place: Place, scope: Scope) -> First:
    question, asked = (_questions_of_plan if source.is_plan else _questions_of_file)(source, changes, demand)
    narrowed = scope.within(asked.question.workload)
    if narrowed is None:
        raise InputError("the change leaves nothing of the fleet before it")
    plan = answer(replace(asked.question, workload=narrowed), asked.catalog, performance(), FIRST).plan
    if plan.fleet is None or plan.fleet.confirmed is None or not plan.fleet.confirmed.reached:
        raise InputError("no fleet of these types serves the changed question")
    steps = steps_of(controls_of(question, catalog(), of_file=not source.is_plan), changes)
    whole = f"{place.folder}whole"
    return First(first_page(plan, Live(place.action, place.secret, steps, {}, words(changes), whole)))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A changed question, and what it is answered from."""

    question: PlanRequest
    catalog: Catalog
    measured: Demand | None
    """Demand as its source has it; None: it is stated."""
    file: str
    """Text of the changed workload file; "" where a plan was given."""


def _questions_of_file(source: Source, changes: Changes, demand: Demand | None) -> tuple[PlanRequest, _Asked]:
    """The question as stated, and as changed."""
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


def _of_file(source: Source, changes: Changes, demand: Demand | None, place: Place) -> Answer:
    question, asked = _questions_of_file(source, changes, demand)
    plan = plan_question(asked.question, asked.catalog, model=performance())
    return _answer(question, plan, changes, place, asked.file, asked.measured)


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


def _questions_of_plan(source: Source, changes: Changes, demand: Demand | None) -> tuple[PlanRequest, _Asked]:  # noqa: ARG001 - held
    """The question of a plan, and as changed."""
    question = read_question(plan_from_json(source.text, str(source.path)).question, str(source.path))
    reason = why_not_as_made(source.text, str(source.path))
    if reason:
        raise InputError(reason, where=str(source.path), hint="make the plan again with `advisor recommend`")
    if not changes:
        return question, _Asked(question, catalog(), None, "")
    text = ",".join(f"{key}={value}" for key, value in changes)
    changed, sold, _ = what_if(question, catalog(), text)
    return question, _Asked(changed, sold, None, "")


def _of_plan(source: Source, changes: Changes, demand: Demand | None, place: Place) -> Answer:
    question, asked = _questions_of_plan(source, changes, demand)
    if not changes:
        return _answer(question, plan_from_json(source.text, str(source.path)), changes, place, "", None)
    return _answer(
        question, plan_question(asked.question, asked.catalog, model=performance()), changes, place, "", None
    )


def _answer(
    question: PlanRequest, plan: Plan, changes: Changes, place: Place, workload: str, demand: Demand | None
) -> Answer:
    controls = controls_of(question, catalog(), of_file=bool(workload))
    names = ["plan.json"] + ["terraform.zip"] * (plan.fleet is not None)
    downloads = {question.workload.path.name: f"{place.folder}workload.yaml"} if workload else {}
    downloads |= {name: f"{place.folder}{name}" for name in names}
    live = Live(place.action, place.secret, steps_of(controls, changes), downloads, words(changes))
    return Answer(
        page=plan_page(plan, live),
        plan=plan_to_json(plan),
        workload=workload,
        controls=controls,
        ahead=tuple(ahead_of(controls, changes)),
        demand=demand,
        scope=None if plan.fleet is None else _scope_of(plan.fleet, plan.options),
    )


def _scope_of(fleet: Fleet, options: Sequence[Option]) -> Scope:
    """Scope of a fleet, with the types of the cheapest options beside it: of another load another may be cheaper."""
    names = zip(
        *((group.provider, group.region, group.instance_type, group.precision) for group in fleet.groups), strict=True
    )
    providers, regions, types, precisions = (tuple(dict.fromkeys(several)) for several in names)
    beside = (
        option.instance_type
        for option in options
        if option.provider in providers and option.region in regions and option.precision in precisions
    )
    return Scope(providers, regions, tuple(dict.fromkeys((*types, *beside)))[: max(MOST_TYPES, len(types))], precisions)


def code(plan: str) -> bytes | Problem:
    """The files of `advisor generate terraform` in an empty directory as a ZIP archive: same plan, same bytes."""
    return done(lambda: _archive(plan))


def _archive(text: str) -> bytes:
    from advisor.codegen import generate, write_files  # noqa: PLC0415 - plans do without templates

    generated = generate(plan_from_json(text), catalog=catalog())
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="advisor-serve-") as name, zipfile.ZipFile(archive, "w") as packed:
        folder = Path(name)
        write_files(generated, folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _SAME_TIME)
            entry.external_attr = (path.stat().st_mode & 0o755) << 16
            packed.writestr(entry, path.read_bytes())
    return archive.getvalue()
