"""Work of the processes behind a served page: each plans once, from what all of them share."""

import io
import tempfile
import zipfile
from collections.abc import Callable
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
from advisor.pipeline import plan_question, prepared, question_for
from advisor.plan.document import plan_from_json, plan_to_json, why_not_as_made
from advisor.plan.explain.whatif import what_if
from advisor.plan.request import PlanRequest, catalog_for, read_question
from advisor.plan.values import Plan
from advisor.report.pages import plan_page
from advisor.report.pages.live import Live
from advisor.requirements import check_names
from advisor.serve.changes import DEMAND, ahead_of, changed_file, file_text, steps_of, words
from advisor.serve.controls import controls_of
from advisor.serve.values import Answer, Changes, Place, Problem, Source
from advisor.workload.document import workload_of
from advisor.workload.values import DeclaredDemand
from advisor.yaml_fields import Field, document_of

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


def _of_file(source: Source, changes: Changes, demand: Demand | None, place: Place) -> Answer:
    root = document_of(source.text, source.path)
    if not source.is_own:
        _check_alone(root)
    stated = workload_of(root)
    measured = demand or _measured(root)
    question = question_for(prepared(stated, catalog()), catalog(), performance(), measured=measured)
    changed = changed_file(root, changes, measured.requests_per_second.mean)
    if changes:
        # What users do between answers depends on how long these take, so that stated demand is computed anew.
        kept = None if isinstance(stated.demand, DeclaredDemand) else measured
        try:
            workload = prepared(workload_of(changed), catalog())
        except InputError as error:
            # The file is free of faults: what was typed is not.
            raise InputError(error.message, where=f"the controls: {words(changes)}", hint=error.hint) from error
        asked = question_for(workload, catalog(), performance(), measured=kept)
    else:
        asked = question
    plan = plan_question(asked, catalog(), model=performance())
    return _answer(question, plan, changes, place, file_text(changed, changes), measured)


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


def _of_plan(source: Source, changes: Changes, demand: Demand | None, place: Place) -> Answer:  # noqa: ARG001 - held
    given = plan_from_json(source.text, str(source.path))
    question = read_question(given.question, str(source.path))
    reason = why_not_as_made(source.text, str(source.path))
    if reason:
        raise InputError(reason, where=str(source.path), hint="make the plan again with `advisor recommend`")
    if not changes:
        return _answer(question, given, changes, place, "", None)
    text = ",".join(f"{key}={value}" for key, value in changes)
    asked, sold, _ = what_if(question, catalog(), text)
    return _answer(question, plan_question(asked, sold, model=performance()), changes, place, "", None)


def _answer(
    question: PlanRequest, plan: Plan, changes: Changes, place: Place, workload: str, demand: Demand | None
) -> Answer:
    controls = controls_of(question, catalog(), of_file=bool(workload))
    names = ["workload.yaml"] * bool(workload) + ["plan.json"] + ["terraform.zip"] * (plan.fleet is not None)
    downloads = {name: f"{place.folder}{name}" for name in names}
    live = Live(place.action, place.secret, steps_of(controls, changes), downloads, words(changes))
    return Answer(
        plan_page(plan, live), plan_to_json(plan), workload, controls, tuple(ahead_of(controls, changes)), demand
    )


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
