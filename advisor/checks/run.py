"""The checks of a plan, one after the other: code, prices, commitments that end, engines that age, today's demand."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from shlex import quote

from advisor.catalog import Catalog
from advisor.catalog.one_pass_engines import version_of
from advisor.checks import replanned
from advisor.checks.generated_anew import NOT_COMPARED, Comparison, compare, is_code_of
from advisor.checks.values import Checked, Finding, Level, Policy
from advisor.codegen.container import Language
from advisor.codegen.pricing import CACHES, CODE, read_projects
from advisor.codegen.rollout import Former
from advisor.codegen.writing import left_roots, read_former
from advisor.codegen.writing.record import FOLDER, read_rollouts
from advisor.errors import InputError
from advisor.models.files import file_facts, holds_model
from advisor.models.model import ModelFile
from advisor.performance.model import PerformanceModel
from advisor.plan.document import why_not_as_made
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.request import catalog_of_fleet, read_question
from advisor.plan.values import Plan
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_MONTH
from advisor.workload.values import DemandSource

RULES = ("CHK301", "CHK302", "CHK303", "CHK304")
_WRITE = {
    Language.TERRAFORM: "advisor generate terraform PLAN.json --into DIR",
    Language.PYTHON: "advisor generate pulumi PLAN.json --language python --into DIR",
}
_RESET = {
    Language.TERRAFORM: "grep -n {name} DIR/{root}*.tf*",
    Language.PYTHON: "pulumi config rm {name} --stack {stack} --cwd DIR/{root}",
}
_GIVEN = re.compile(r"(?P<root>.+/)?(Pulumi\.(?P<stack>[\w.-]+)\.yaml|[^/]+\.tfvars(\.json)?):(?P<name>\w+)")
"""Subject of a finding on the value of an input, in a file of its root."""
_DESTROY = {Language.TERRAFORM: "terraform -chdir={} destroy", Language.PYTHON: "pulumi destroy --cwd {}"}
_ANEW = "advisor recommend WORKLOAD --format json -o PLAN.json"
_LEFT_ROOT = (
    "is no longer a root of the code, and was not compared: what it deployed runs and costs until it is destroyed, "
    "once its successor serves"
)
Found = tuple[str, str, str, str]
"""Rule, subject, message, and the command that fixes it."""
Look = Callable[[], Iterable[Found]]
Machines = Counter[tuple[str, str, str, str]]
"""(provider, region, instance type, spot or "") → instances in the busiest hours."""
_CACHE = "cache"
"""Name of the resource of a response cache in generated code; stores by other names are somebody's own."""
_SERVICES = frozenset({"google_cloud_run_v2_service", "azurerm_container_app"})
"""Resources that start containers by themselves."""


@dataclass(frozen=True, slots=True)
class _Deployed:
    """Machines and caches that the code starts."""

    machines: Machines
    """With accelerators, of every root."""
    unknown: tuple[str, ...]
    """Addresses of which the number of machines is not known."""
    caches: frozenset[str]
    """Response caches in words: number of nodes, their type, and the region."""
    plans: tuple[str, ...]
    """Plans of Terraform that were read, where there is no generated code."""
    services: frozenset[tuple[str, str]]
    """(provider, region) of services that start containers as requests come: how many is not in the code."""


def code_directories(workload: str, infra: Path) -> Sequence[Path]:
    """Directories of a workload's code: as given, or its folders of a directory with a folder for each workload.

    Several where the workload has code in each language. Raises InputError if that directory has no folder of the
    workload, or several in one language.
    """
    if not infra.is_dir() or any(infra.glob("*.tf")) or (infra / FOLDER).is_dir():
        return [infra]
    folders = sorted(record.parent for depth in ("*", "*/*") for record in infra.glob(f"{depth}/{FOLDER}"))
    own = [folder for folder in folders if workload in _workloads(folder)]
    languages = [read_former(folder).language for folder in own]
    if not folders or (own and len(set(languages)) == len(own)):
        return own or [infra]
    names = ", ".join(str(folder.relative_to(infra)) for folder in own or folders)
    raise InputError(
        f"the directory has a folder for each workload, {'several' if own else 'none'} of them {workload!r}: {names}",
        where=str(infra),
        hint=f"give the folder of this plan's code, such as --infra {quote(str((own or folders)[0]))}",
    )


def _workloads(folder: Path) -> set[str]:
    """Workloads whose code lies in a folder."""
    return {rollout.planned.workload for rollout in read_rollouts(folder).values()} or {folder.name}


def look_at_code(
    plan: Plan, infra: Path | None, catalog: Catalog, notes: list[str]
) -> Iterator[tuple[str, str, str, str]]:  # fmt: skip
    """Machines and caches of the code that the plan has not, or in another number or at other times; and what retires.

    *infra* None: code is not looked at. *notes* takes what could not be compared.
    """
    if infra is None or plan.fleet is None:
        return
    if not infra.is_dir():
        raise InputError("there is no such directory", where=str(infra), hint="give the directory of the code")
    left = left_roots(infra)
    former = _without(read_former(infra), left)
    retiring = {group.key for rollout in former.rollouts.values() for group in rollout.retiring}
    is_of_plan = is_code_of(plan, former)
    language = former.language or Language.TERRAFORM
    write = _WRITE[language]
    # Differences of code of this plan are edits, which are kept without.
    remedy = f"{write} --force" if is_of_plan else write
    if language is Language.PYTHON and not is_of_plan:
        yield "CHK301", ".", "the program was generated of another plan", write
    deployed = None if language is Language.PYTHON else _deployed(infra, catalog)
    told = _compared(plan, infra, deployed, former, notes, is_retiring=bool(retiring))
    yield from ((rule, subject, words, _remedy(rule, subject, remedy, language)) for rule, subject, words in told)
    for key in sorted(retiring):
        yield "CHK302", key, f"{key} is kept beside the plan", f"{write} --cut-over finish"
    for root in left:
        place = f"DIR/{quote(root)}" if root else "DIR"
        yield "CHK302", root or ".", _LEFT_ROOT, _DESTROY[language].format(place)


def _remedy(rule: str, subject: str, write: str, language: Language) -> str:
    """Command that shows an edit which is the user's to keep, finds or resets an input, or else writes the code."""
    if rule == "CHK304":
        return f"{write} --dry-run"
    given = _GIVEN.fullmatch(subject)
    return write if given is None else _RESET[language].format(**given.groupdict(""))


def _compared(
    plan: Plan, infra: Path, deployed: _Deployed | None, former: Former, notes: list[str], *, is_retiring: bool
) -> Iterator[tuple[str, str, str]]:  # fmt: skip
    """Machines, caches and edits of the code that the plan has not; *deployed* is None of a program of Pulumi."""
    plans = () if deployed is None else deployed.plans
    notes += _not_code(plans)
    anew = Comparison((), ()) if plans else compare(plan, infra, former)
    # Pools that clusters scale, and Karpenter's nodes, do not say how many machines run in the busiest hours.
    is_counted = deployed is None or anew.has_planned_groups
    told = [] if deployed is None or is_counted else list(_machines(plan, deployed, is_retiring=is_retiring))
    if not told or (deployed is not None and deployed.unknown and anew.differences):
        told = list(anew.differences)
        notes += anew.not_compared
    yield from (("CHK301", subject, words) for subject, words in told)
    yield from (("CHK304", subject, f"edited: {words}") for subject, words in anew.edits)
    if deployed is not None:
        yield from _caches(plan, deployed.caches)


def _not_code(plans: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"{NOT_COMPARED}: the numbers are those of {path}, a plan of Terraform, since advisor did not generate the code"
        for path in plans
    )


def _without(former: Former, left: Sequence[str]) -> Former:
    """The record of a directory without the roots that its code no longer has."""
    return replace(
        former,
        rollouts={root: rollout for root, rollout in former.rollouts.items() if root not in left},
        targets={root: target for root, target in former.targets.items() if root not in left},
        roots=tuple(root for root in former.roots if root not in left),
    )


def _machines(plan: Plan, deployed: _Deployed, *, is_retiring: bool) -> Iterator[tuple[str, str]]:
    """Machines in another number than planned, by type or address; those that retire are told of elsewhere."""
    wanted = _planned(plan)
    for machine in sorted({*wanted, *deployed.machines}):
        is_started_by_service = machine[:2] in deployed.services and not deployed.machines[machine]
        is_former = is_retiring and machine not in wanted
        if wanted[machine] != deployed.machines[machine] and not is_former and not is_started_by_service:
            instead = _instead(machine, deployed.machines, wanted)
            told = f"{deployed.machines[machine]} in the code, {wanted[machine]} in the plan{instead}"
            yield machine[2], f"on spot in {machine[1]}: {told}" if machine[3] else f"in {machine[1]}: {told}"
    for address in deployed.unknown:
        yield address, f"how many machines {address} starts cannot be read from the code"


def _instead(machine: tuple[str, str, str, str], deployed: Machines, wanted: Machines) -> str:
    """Machines of the code that the plan has not, in the region where a single type of the plan is missing."""
    others = [
        f"{deployed[other]} × {' on '.join(filter(None, other[2:]))}"
        for other in sorted(deployed)
        if other[:2] == machine[:2] and other not in wanted
    ]
    missing = [other for other in wanted if other[:2] == machine[:2] and wanted[other] > deployed[other]]
    return f"; the code has {' and '.join(others)} there instead" if missing == [machine] and others else ""


def _planned(plan: Plan) -> Machines:
    machines: Machines = Counter()
    for group in plan.fleet.groups if plan.fleet else ():
        spot = "spot" if group.purchase == "spot" else ""
        machines[group.provider, group.region, group.instance_type, spot] += max(group.instances)
    return machines


def _deployed(infra: Path, catalog: Catalog) -> _Deployed:
    machines: Machines = Counter()
    unknown: list[str] = []
    caches: set[str] = set()
    services: set[tuple[str, str]] = set()
    projects = [project for project in read_projects(infra, None, catalog, prefers_code=True) if not project.is_left]
    costs = [cost for project in projects for cost in project.now.costs]
    for resource, component in ((cost.resource, component) for cost in costs for component in cost.components):
        provider, machine, region = component.place
        if resource.kind in _SERVICES:
            services.add((provider, region))
            continue
        if resource.kind in CACHES:
            caches |= {_cache_words(component.number, machine, region)} if resource.name == _CACHE else set()
        elif component.number is None or component.usd_per_hour is None:
            unknown.append(resource.address)
        elif (provider, machine) in catalog.instance_types:
            machines[provider, region, machine, "spot" if component.is_spot else ""] += int(component.number)
    plans = tuple(project.path for project in projects if project.kind != CODE)
    return _Deployed(machines, tuple(unknown), frozenset(caches), plans, frozenset(services))


def _cache_words(nodes: Decimal | int | None, node: str, region: str) -> str:
    number = "an unknown number of" if nodes is None else f"{int(nodes)} ×"
    return f"{number} {node or 'nodes of an unknown type'} in {region or 'an unknown region'}"


def _caches(plan: Plan, deployed: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """The planned response cache against those of the code."""
    cache = plan.fleet.response_cache if plan.fleet else None
    wanted = set() if cache is None else {_cache_words(cache.nodes, cache.node, cache.region)}
    if wanted == deployed:
        return
    in_code, in_plan = (" and ".join(sorted(caches)) or "none" for caches in (deployed, wanted))
    told = f"{in_code} in the code, {in_plan} in the plan"
    if not wanted:
        told += ": code of this plan destroys it"
    elif not deployed:
        told += ", which counts on it: without it the fleet gets more requests than it is sized for"
    yield "CHK303", "response cache", told


_TERM_RULES = ("CHK401", "CHK402", "CHK403")


def _terms(plan: Plan, catalog: Catalog, today: dt.date, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """Findings that come with time alone."""
    fleet = plan.fleet
    if fleet is None:
        return
    until = fleet.cost.obligation_until
    if until is not None:
        days = (dt.date.fromisoformat(until) - today).days
        if days <= policy.obligation_ends_within_days:
            told = f"it ended on {until}" if days < 0 else f"it ends on {until}, in {days} days"
            yield "CHK401", "", f"{told}; after that the price on demand is paid", "advisor recommend WORKLOAD"
    for engine, version in sorted({(group.engine, group.engine_version) for group in fleet.groups}):
        yield from _engine(engine, version, fleet, catalog)
    for group in fleet.groups:
        monthly = group.interruptions_per_instance_hour * HOURS_PER_MONTH
        if monthly > policy.spot_interruptions_per_month:
            accepted = f"{policy.spot_interruptions_per_month:g} accepted ({group.interruptions_source})"
            told = f"{monthly:.2g} interruptions of an instance a month, {accepted}"
            yield "CHK403", group.name, told, "advisor recommend WORKLOAD"


def _engine(engine: str, version: str, fleet: Fleet, catalog: Catalog) -> Iterator[tuple[str, str, str, str]]:
    """Releases of an engine, on the accelerators that it runs on here, that are newer than the planned one."""
    accelerators = (catalog.known_accelerator(group.accelerator) for group in fleet.groups if group.engine == engine)
    vendors = {accelerator.vendor for accelerator in accelerators if accelerator is not None}
    own = version_of(version)
    releases = {release for vendor in vendors for release in catalog.plannable_releases(engine, vendor)}
    newer = [release for release in releases if own is not None and release > own]
    if newer:
        told = f"{engine} {version} is planned, and {len(newer)} newer are known, up to {max(newer)}"
        yield "CHK402", engine, told, "advisor recommend WORKLOAD --previous PLAN.json"


@dataclass(frozen=True, slots=True, eq=False)
class Now:
    """Facts that a plan is held against."""

    catalog: Catalog
    model: PerformanceModel
    today: dt.date
    demand: DemandSource | None = None
    """Demand of today; None: that of the plan."""
    infra: Path | None = None
    """Directory of the code; None: it is not looked at."""


def check_plan(plan: Plan, text: str, where: str, now: Now, policy: Policy) -> Checked:
    """All that is no longer as a plan says. Raises InputError if it has no fleet, or demand or code is unreadable."""
    notes: list[str] = []
    now = replace(
        now,
        catalog=catalog_of_fleet(read_question(plan.question, where), plan.fleet, now.catalog),
    )
    codes = () if now.infra is None else code_directories(str(plan.workload["name"]), now.infra)
    planned_file = plan.provenance.model_file
    looks: list[tuple[Sequence[str], Look]] = [
        (("CHK501",), lambda: [("CHK501", "", reason, _ANEW)] if (reason := why_not_as_made(text, where)) else []),
        *(((("CHK502",), lambda: _other_file(plan, planned_file, where, notes)),) if planned_file else ()),
        (replanned.PRICE_RULES, lambda: replanned.look_at_prices(plan, now.catalog, now.today, policy)),
        (replanned.RULES, lambda: replanned.look(plan, where, now, policy, notes)),
        (_TERM_RULES, lambda: _terms(plan, now.catalog, now.today, policy)),
    ]
    at_code: list[tuple[Sequence[str], Look, Path]] = [
        (RULES, partial(look_at_code, plan, code, now.catalog, notes), code) for code in codes
    ]
    findings: list[Finding] = []
    looked_at: list[str] = []
    unknown = () if now.demand is not None else replanned.OF_DEMAND
    for rules, look, code in (*((rules, look, now.infra) for rules, look in looks), *at_code):
        applied = [rule for rule in rules if policy.level_of(rule) is not Level.OFF and rule not in unknown]
        looked_at += [rule for rule in applied if rule not in looked_at]
        if applied:
            findings += [_finding(told, where, code, policy) for told in look() if told[0] in applied]
    findings.sort(key=lambda finding: (finding.level.rank, finding.id))
    failed = any(policy.fails(finding.level) for finding in findings)
    return Checked(where, tuple(looked_at), tuple(findings), failed, tuple(dict.fromkeys(notes)))


def _finding(told: Found, where: str, code: Path | None, policy: Policy) -> Finding:
    rule, subject, message, command = told
    file = str(code) if rule in RULES and code is not None else where
    command = command.replace("PLAN.json", quote(where)).replace("DIR", quote(str(code)))
    return Finding(rule, policy.level_of(rule), message, command, file, subject)


def _other_file(plan: Plan, planned: ModelFile, where: str, notes: list[str]) -> Iterator[Found]:
    """The model's file beside the plan or in the working directory, where it is another than the planned one."""
    named = read_question(plan.question, where).workload.model
    places = [folder / name for folder in (Path(where).parent, Path()) for name in (named, planned.name)]
    path = next((place for place in places if holds_model(place)), None)
    if path is None:
        notes.append(f"whether {planned.name} is still the planned file is not known: it does not lie beside the plan")
        return
    now = file_facts(path)
    if (now.bytes, now.sha256) != (planned.bytes, planned.sha256):
        content, planned_content = (
            f"{file.bytes:,} bytes" + (f", sha256 {file.sha256[:12]}…" if file.sha256 else "")
            for file in (now, planned)
        )
        message = f"{path} has {content}, the plan was made from {planned.name} of {planned_content}"
        yield "CHK502", planned.name, message, _ANEW
