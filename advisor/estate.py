"""A directory of workload files planned together: each on its own first, then what they share.

::

    workload files ─▶ plans, in parallel ─▶ contested quotas and owned instances divided ─▶ those planned again
                                ─▶ adapters on one base joined ─▶ shared machines ─▶ shared commitments ─▶ estate
"""

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from advisor.catalog import Catalog, load_catalog
from advisor.demand.synthetic_trace import rehearse
from advisor.demand_sources import as_demanded, measure_demand
from advisor.errors import AdvisorError, InputError
from advisor.models import find_model
from advisor.performance.model import PerformanceModel, load_model
from advisor.performance.stage import times_of
from advisor.pipeline import BEST, BRIEF, Answer, answer
from advisor.plan.document import PLAN_SUFFIX, plan_from_json, plan_to_json
from advisor.plan.estate.assemble import assemble, with_today, workload_row
from advisor.plan.estate.divide import Shares, contention_of, divide
from advisor.plan.estate.packing import Confirm
from advisor.plan.estate.seats import Seat, on_a_part, times_slower
from advisor.plan.estate.slots import SlotSearch, seating, without_parts
from advisor.plan.estate.terms import (
    ENOUGH,
    FILE_NAME,
    Terms,
    Uses,
    allotment,
    limits_of,
    read_terms,
    totals,
    under_terms,
    uses_of,
    with_account,
)
from advisor.plan.estate.values import (
    FAILED,
    PLANNED,
    Estate,
    JoinedBase,
    Part,
    WorkloadRow,
    base_words,
    bases_of,
    hourly_uses,
    seat_words,
)
from advisor.plan.problem.charges import mean_rate
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.from_plan import candidate_of
from advisor.plan.replay.steady import filling_of
from advisor.plan.replay.unavoidable import late_when_alone
from advisor.plan.replay.values import ReplayGroup
from advisor.plan.request import PlanRequest, catalog_for, catalog_of_question, read_question, requirements_of
from advisor.plan.values import Plan
from advisor.processes import Run, Spread
from advisor.records import dataclass, replace
from advisor.requirements import check_names
from advisor.workload.document import INCOMPLETE, read_workload
from advisor.workload.holds import holdings_of, within_regions

REHEARSED_REQUESTS = 2_000
"""99 % are shown to within 0.44 points (two standard errors of a share)."""


def within_slo_ratios(
    seat: Seat, plan: Plan, sharers: int, catalog: Catalog, model: PerformanceModel
) -> tuple[float, float]:  # fmt: skip
    """Share of a seat's requests within every target, on its equal part of the time of the accelerator.

    And the share that has to be, beside those that are late there with no other load. The accelerator or its time has
    *sharers* equal parts; 1: the seat is alone on it, or on a slice.
    """
    question = read_question(plan.question, seat.workload)
    requirements = requirements_of(question, catalog_of_question(question, catalog))
    candidate = candidate_of(seat, requirements, catalog, seat.workload)
    steps = times_of(candidate, requirements, model, (seat.max_concurrency, seat.context_tokens))
    demand, times = requirements.demand, times_slower(sharers, seat.way)
    share = seat.planned_requests_per_second_per_instance / demand.requests_per_second.peak
    tokens = demand.tokens
    filling = times * filling_of([steps], tokens.mean_input_tokens(), tokens.mean_output_tokens())
    requests = rehearse(demand, REHEARSED_REQUESTS, scale=share, filling_minutes=math.ceil(filling)).requests
    begun = requests.seconds[0]
    hastened = replace(requests, seconds=begun + (requests.seconds - begun) / times)
    group = ReplayGroup(seat.workload, steps, (1,), seat.instance_usd_per_hour)
    slo = on_a_part(question.workload.slo, times)
    counted = None if hastened.weights is None else hastened.weights > 0
    late = float(np.average(late_when_alone(group, hastened, slo), weights=counted))
    return replay([group], hastened, slo).within_slo_ratio, slo.rehearsed_ratio_beside(late)


Watch = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and of how many."""
_SUFFIXES = (".yaml", ".yml")
_ADAPTERS = '"adapters": {'
"""In the text of a plan with LoRA adapters."""
MOST_IN_FULL = 20
"""Workload files of a directory up to which those that replace something are planned in full."""


@dataclass(frozen=True, slots=True)
class Task:
    """One workload file to be planned."""

    path: Path
    file: str
    terms: Terms
    """What it may take."""
    shared: Terms
    """What all share."""
    today: dt.date
    calibration: Path | None
    is_of_few: bool
    """Whether the directory holds no more than are planned in full."""
    regions: frozenset[str] = frozenset()
    """Where its fleet is known to be, once things are divided; empty: anywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """The estate, and the plans of its workloads as JSON text, by file."""

    estate: Estate
    plans: Mapping[str, str]


def plan_estate(
    directory: Path,
    spread: Spread | None = None,
    *,
    calibration: Path | None = None,
    watch: Watch | None = None,
) -> Planned:
    """Plan all workload files of a directory together, with what they share in an ``estate.yaml``.

    A file that cannot be read does not stop the others: its row says why. *watch* is called as workloads are done.
    Raises InputError if the directory holds no workload files, or its ``estate.yaml`` has to be fixed.
    """
    today = dt.datetime.now(dt.UTC).date()
    terms = with_account(read_terms(directory), holdings_of(load_catalog()), today)
    paths = workload_files(directory)
    tasks = [
        Task(path, path.relative_to(directory).as_posix(), terms, terms, today, calibration, len(paths) <= MOST_IN_FULL)
        for path in paths
    ]
    with (spread or Spread()).open() as run:
        parts = dict(_plan(tasks, run, watch, "workloads"))
        contentions = {file: part.contention for file, part in parts.items() if part.contention is not None}
        shares = divide({file: parts[file].uses for file in contentions}, contentions, limits_of(terms), run)
        again = [
            replace(task, terms=allotment(terms, shares.uses[task.file]), regions=shares.regions[task.file])
            for task in tasks
            if task.file in shares.together and not shares.excess and shares.uses[task.file] != parts[task.file].uses
        ]
        parts |= _plan(again, run, watch, "workloads that share")
    confirm = _confirm(parts, calibration)
    estate = with_today(assemble(list(parts.values()), shares, terms, load_catalog(), confirm))
    joined = list(_joined(parts, shares, terms, calibration))
    together = assemble(_with_bases(parts, joined), shares, terms, load_catalog(), confirm) if joined else estate
    together = with_today(_with_savings(together, [deployment.base for deployment in joined]))
    if together.totals.total_usd_per_month < estate.totals.total_usd_per_month:
        plans = {deployment.base.plan: deployment.plan_text for deployment in joined}
        return Planned(together, {file: _seated(part, together) for file, part in parts.items()} | plans)
    return Planned(estate, {file: _seated(part, estate) for file, part in parts.items()})


@dataclass(frozen=True, slots=True, eq=False)
class _Joined:
    """Workloads on one base as one deployment, with its plan as JSON text and what it takes of what is shared."""

    base: JoinedBase
    plan_text: str
    uses: Uses


def _joined(parts: Mapping[str, Part], shares: Shares, terms: Terms, calibration: Path | None) -> Iterator[_Joined]:
    """Workloads on one base that cost less as one deployment, and take no more of what is shared."""
    if not any(_ADAPTERS in part.plan_text for part in parts.values()):
        return
    free = [part for part in parts.values() if part.row.status == PLANNED and part.row.file not in shares.together]
    questions = [(part.row.file, read_question(plan_from_json(part.plan_text).question)) for part in free]
    for at, (files, question) in enumerate(bases_of(questions), start=1):
        plan = answer(question, load_catalog(), _model(calibration), BRIEF).plan
        row, members = workload_row(f"base-{at}.yaml", plan), [parts[file] for file in files]
        apart = round(math.fsum(part.row.usd_per_month or 0.0 for part in members), 2)
        uses = uses_of(plan.fleet, terms) if plan.fleet else {}
        taken = totals({part.row.file: part.uses for part in members})
        is_within = all(used <= taken.get(resource, 0.0) + ENOUGH for resource, used in uses.items())
        if row.status == PLANNED and row.usd_per_month is not None and row.usd_per_month < apart and is_within:
            count = question.workload.adapters.count if question.workload.adapters else 0
            written = Path(row.file).with_suffix(PLAN_SUFFIX).name
            base = JoinedBase(question.model.name, files, count, row.fleet, row.file, row.usd_per_month, apart, written)
            yield _Joined(base, plan_to_json(plan), uses)


def _with_bases(parts: Mapping[str, Part], joined: Sequence[_Joined]) -> list[Part]:
    """The parts, of which those on one base have no seat and no commitment of their own; the first takes for all."""
    changed = dict(parts)
    for deployment in joined:
        for file in deployment.base.workloads:
            uses = deployment.uses if file == deployment.base.workloads[0] else {}
            changed[file] = replace(parts[file], seating=None, hourly=(), uses=uses)
    return list(changed.values())


def _with_savings(estate: Estate, joined: Sequence[JoinedBase]) -> Estate:
    """The estate less what workloads on one base save together."""
    if not joined:
        return estate
    saved = round(math.fsum(base.saved_usd_per_month for base in joined), 2)
    total = round(estate.totals.total_usd_per_month - saved, 2)
    sums = replace(estate.totals, bases_saved_usd_per_month=saved, total_usd_per_month=total)
    return replace(estate, totals=sums, joined=tuple(joined))


def _confirm(parts: Mapping[str, Part], calibration: Path | None) -> Confirm:
    """A replay of seats, each once for each number of tenants."""

    @cache
    def confirmed(seat: Seat, sharers: int) -> float | None:
        plan = plan_from_json(parts[seat.workload].plan_text, seat.workload)
        ratio, wanted = within_slo_ratios(seat, plan, sharers, load_catalog(), _model(calibration))
        return ratio if ratio >= wanted else None

    return confirmed


def _seated(part: Part, estate: Estate) -> str:
    """The plan of a workload as JSON text, with what it runs on in place of its own fleet."""
    row = next(row for row in estate.workloads if row.file == part.row.file)
    base = next((joined for joined in estate.joined if row.file in joined.workloads), None)
    if row.shared_machine is not None:
        machine = estate.shared_machines[row.shared_machine]
        place = seat_words(row.shared_machine, machine, machine.seat_of(row.file))
    elif base is not None:
        place = base_words(base, row.file)
    else:
        return part.plan_text
    plan = plan_from_json(part.plan_text, part.row.file)
    note = f"the estate places the workload on {place}; this plan is of a fleet of its own"
    return plan_to_json(replace(plan, seated_on=place, notes=(*plan.notes, note)))


def workload_files(directory: Path) -> list[Path]:
    """Every YAML file of a directory but the estate's own, and every ``workload.yaml`` one level below.

    Raises InputError if there is none, or two that only differ in their suffix.
    """
    paths = [path for path in sorted(directory.iterdir()) if path.suffix in _SUFFIXES and path.name != FILE_NAME]
    paths += sorted(directory.glob("*/workload.yaml"))
    if not paths:
        unfinished = directory / INCOMPLETE
        hint = f"files in {unfinished} say what they lack: add it, and move them here" if unfinished.is_dir() else ""
        hint = hint or "add NAME.yaml files"
        raise InputError("the directory holds no workload files", where=str(directory), hint=hint)
    if pipe := next((path for path in paths if path.exists() and not (path.is_file() or path.is_dir())), None):
        raise InputError("a pipe or a device, not a workload file", where=str(pipe), hint="move it away")
    by_stem: dict[Path, Path] = {}
    for path in paths:
        other = by_stem.setdefault(path.with_suffix(""), path)
        if other != path:
            raise InputError("two workload files of one name", where=f"{other}, {path}", hint="rename one of them")
    return paths


def _plan(tasks: Sequence[Task], run: Run, watch: Watch | None, what: str) -> Iterator[tuple[str, Part]]:
    for done, (task, part) in enumerate(zip(tasks, run(plan_one, tasks), strict=True), start=1):
        if watch is not None:
            watch(what, done, len(tasks))
        yield task.file, part


def plan_one(task: Task) -> Part:
    """Plan one workload file; what has to be fixed in it is said in its row."""
    try:
        answered = _answer(task)
    except AdvisorError as error:
        is_named = Path(error.where.partition(":")[0]).name == task.path.name
        place = error.where if is_named else ": ".join(filter(None, (task.file, error.where)))
        message = f"{place}: {error.message}" + (f" ({error.hint})" if error.hint else "")
        row = WorkloadRow(task.file, task.path.stem, FAILED, "", None, None, None, None, None, None, message)
        return Part(row, "", {}, None, (), None, 0.0, None)
    plan = answered.plan
    row = workload_row(task.file, plan)
    fleet = plan.fleet if row.status == PLANNED else None
    search = _slot_search(task, answered) if row.status == PLANNED else None
    uses = uses_of(fleet, task.shared) if fleet else {}
    usd_of_machines = 0.0
    if fleet:  # without what is paid for on any machine
        cost = fleet.cost
        usd_of_machines = cost.total_usd_per_month - cost.transfer_usd_per_month - cost.standing_usd_per_month
    return Part(
        row=row,
        plan_text=plan_to_json(plan),
        uses=uses,
        contention=contention_of(answered.problem, limits_of(task.shared)) if uses and not task.regions else None,
        hourly=hourly_uses(fleet, answered.requirements) if fleet else (),
        seating=None if search is None else seating(search, answered.served, answered.offers),
        without_parts=() if search is None else without_parts(search, answered.served, answered.offers),
        usd_of_machines=usd_of_machines,
        provenance=plan.provenance,
    )


def _answer(task: Task) -> Answer:
    catalog, model = load_catalog(), _model(task.calibration)
    workload = under_terms(read_workload(task.path), task.terms)
    holdings = holdings_of(catalog)
    workload = workload if holdings is None else within_regions(workload, holdings, catalog)
    workload = replace(workload, as_of=workload.as_of or task.today) if workload.commitments else workload
    served_model = find_model(workload.model_reference)
    check_names(workload, catalog_for(workload, served_model, catalog))
    demand = measure_demand(workload, served_model, catalog, model)
    question = PlanRequest(as_demanded(workload, demand), served_model, demand)
    # What replaces machines that run is compared with them, and planned as its file alone is.
    extent = BEST if task.is_of_few and workload.current is not None else BRIEF
    return answer(question, catalog, model, extent, task.regions)


def _slot_search(task: Task, answered: Answer) -> SlotSearch:
    peak = max(hour.planned_rate for hour in answered.problem.hours)
    return SlotSearch(
        requirements=answered.requirements,
        catalog=load_catalog(),
        model=_model(task.calibration),
        sharing=task.shared.sharing,
        quotas=task.shared.quotas,
        peak_rate=peak,
        mean_rate=mean_rate(answered.problem),
        file=task.file,
    )


@cache
def _model(calibration: Path | None) -> PerformanceModel:
    return load_model(calibration)
