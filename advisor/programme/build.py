"""Programme from findings of an audit, levers of workloads and plans; money that several are about counts once."""

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from advisor.audit import SHOWN_RESOURCES, Effort, Finding, Phase
from advisor.errors import InputError
from advisor.levers import SCHEMA as LEVERS_SCHEMA
from advisor.levers import LeverReport, PricedLever, ReasonCode
from advisor.names import first_names, normalised
from advisor.plan.doubts import is_refused, price_ends_of, refusal_words
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.plain_values import Document
from advisor.plan.values import CurrentCost, Plan, Rung, RungGroup
from advisor.plan.words import group_count_words
from advisor.programme import rules, weeks
from advisor.programme.rules import Assignment
from advisor.programme.values import (
    DAYS,
    NOTHING,
    BilledMonth,
    Combination,
    Item,
    LeftOut,
    Programme,
    Saving,
    as_billed,
    not_billed_words,
    total_of,
)
from advisor.records import dataclass, field, replace
from advisor.units import A_CENT, ratio_words

_SAVING = "saving"
_SERVING = "(serving)"
_ALL = 0.999
"""Share of a cost from which on it is all of it: amounts are rounded."""
_STATE = "state in the workload file: "
_LEVERS_HINT = "make it with `advisor levers workload.yaml --hourly-rate 100 --max-payback 12 -o levers.json`"
LEVERS = Document(LeverReport, "report of levers", LEVERS_SCHEMA, _LEVERS_HINT)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of a programme."""

    start: dt.date
    hourly_rate_usd: float
    max_payback_months: float
    findings: Sequence[Finding] = ()
    """With amounts in USD."""
    levers: Sequence[LeverReport] = ()
    plans: Mapping[str, Plan] = field(default_factory=dict)
    """By file."""
    workload_path: str = "workload.yaml"
    """File of workloads whose levers do not name it."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Names of a team's own, by owner tag."""
    billed: BilledMonth | None = None
    """Bill that the findings are of; None: there is none, or its month is not known."""


def programme_of(inputs: Inputs) -> Programme:
    """The programme: week 1 assess and instrument, weeks 2 and 3 quick wins, week 4 strategic.

    Raises InputError if a workload's levers are given twice, or their combination holds one that is paid back too late.
    """
    return _Builder(inputs).programme()


class _Builder:
    """Items of a programme, and what was left out of it."""

    def __init__(self, inputs: Inputs) -> None:
        """Take the inputs."""
        self._inputs = inputs
        self._left_out: list[LeftOut] = []
        self._combinations: list[Combination] = []
        self._bill_notes: list[str] = []
        self._not_billed: set[str] = set()
        """Ids of combinations that the bill does not name, and is too small to hold."""
        self._replaced: dict[str, str] = {}
        """Id of a combination → type that runs today and that its fleet is without."""
        self._types: dict[str, set[str]] = {}
        """Types of machines in the fleet of each combination."""

    def programme(self) -> Programme:
        """The whole."""
        items = [*self._of_levers(), *self._of_plans()]
        items += self._of_findings()
        items += self._to_assess()
        items.sort(key=lambda item: (item.week, item.payback_months or 0.0, item.id))
        by_id = {combination.id: combination.saving for combination in self._combinations}
        own = [item.saving for item in items if item.saving is not None and not item.counted_in]
        beside = [by_id.pop(name) for name in self._not_billed & by_id.keys()]
        total = total_of((self._within_bill(total_of((*by_id.values(), *own))), *beside))
        hours = sum(item.effort_hours for item in items)
        usd = hours * self._inputs.hourly_rate_usd
        return Programme(
            start=self._inputs.start,
            days=DAYS,
            hourly_rate_usd=self._inputs.hourly_rate_usd,
            total=total,
            effort_hours=hours,
            one_off_usd=usd,
            payback_months=weeks.payback_months(items, self._combinations, total.usd_per_month, usd),
            items=tuple(items),
            combinations=tuple(self._combinations),
            left_out=tuple(sorted(self._left_out, key=lambda left: left.id)),
            notes=tuple(self._notes(items)),
        )

    def _of_levers(self) -> Iterator[Item]:
        """Levers that each combination uses; their saving together is that of the combination."""
        for report in self._inputs.levers:
            plan = self._cheaper_plan(report)
            combination = self._as_billed(_combination(report, plan), runs_today=report.current is not None)
            if any(other.id == combination.id for other in self._combinations):
                raise InputError(
                    f"the levers of {report.workload} are given twice", where="--levers", hint="give each workload once"
                )
            if combination.saving.usd_per_month < A_CENT:
                more, paid = -combination.saving.usd_per_month, combination.paid_usd_per_month
                why = f"all levers together cost {more:,.2f} USD a month more than the {paid:,.2f} that are paid"
                self._left_out.append(LeftOut(combination.id, f"Levers of {report.workload}", why))
                continue
            self._combinations.append(combination)
            fleet = report.together.plan if plan is None else plan
            self._replace(combination.id, report.current, fleet.groups)
            yield from self._of_resize(report, combination)
            for lever in report.levers:
                if lever.used:
                    yield self._of_lever(lever, report, combination)
                else:
                    why = lever.dropped or "the combination does not use it"
                    self._left_out.append(LeftOut(f"{report.workload}/{lever.lever}", lever.title, why))

    def _cheaper_plan(self, report: LeverReport) -> Fleet | None:
        """Fleet of a plan of the same workload that costs less than all of its levers together; None: none does."""
        fleets = [
            plan.fleet
            for plan in self._inputs.plans.values()
            if plan.fleet is not None
            and plan.current is not None
            and plan.workload.get("name") == report.workload
            and not is_refused(plan)
        ]
        fleet = min(fleets, key=_fleet_usd, default=None)
        together = report.together.plan.total_usd_per_month
        if fleet is None or together is None or _fleet_usd(fleet) > together - A_CENT:
            return None
        self._bill_notes.append(
            f"the plan of {report.workload} costs {_fleet_usd(fleet):,.2f} USD a month and its levers together "
            f"{together:,.2f}: the plan counts"
        )
        return fleet

    def _of_resize(self, report: LeverReport, combination: Combination) -> Iterator[Item]:
        """Item of what the plan without any lever costs less than what is paid; nothing where it costs no less."""
        name = _resize_id(report)
        usd = dict(combination.alone_usd_per_month).get(name, 0.0)
        current = report.current
        if current is None or usd < A_CENT:
            return
        file, plan = self._file(report), shlex.quote(f"plan-{report.workload}.json")
        today = f"{current.instances} × {current.instance_type}"
        paid = combination.paid_usd_per_month
        told = f"{today} → {_groups_words(report.without)}; alone {paid:,.2f} → {paid - usd:,.2f} USD a month"
        held = "; ".join(dict.fromkeys(_held_lines(report)))
        item = self._item(
            Item(
                id=name,
                title=f"Run what the load takes ({report.workload})",
                detail=f"{told}; {_STATE}{held}, until a later step takes it out" if held else told,
                command=f"advisor recommend {file} --format json -o {plan}",
                check=self._check("", name, plan),
                risk="less spare capacity than today: as the plan says",
                saving=Saving(usd, usd, usd),
                effort_hours=rules.EFFORT_HOURS[Effort.LOW],
                counted_in=combination.id,
            ),
            rules.OTHERS,
        )
        if self._is_worth_it(item):
            yield item

    def _as_billed(self, combination: Combination, *, runs_today: bool) -> Combination:
        """The combination, which saves no more than the bill has of it."""
        month = self._inputs.billed
        on_bill = (other for other in self._combinations if other.id not in self._not_billed)
        taken = sum(other.paid_usd_per_month for other in on_bill)
        left = max(month.usd_per_month - taken, 0.0) if month else 0.0
        if month is not None and month.of(combination.workload) is None and left < combination.usd_per_month:
            self._not_billed.add(combination.id)
            self._bill_notes.append(not_billed_words(combination, month, left, runs_today=runs_today))
            return combination
        billed, told = as_billed(combination, month, left, runs_today=runs_today)
        self._bill_notes += [told] if told else []
        return billed

    def _within_bill(self, total: Saving) -> Saving:
        """The total, which is no more than the whole bill."""
        month = self._inputs.billed
        if month is not None and month.usd_per_month < 0:
            self._bill_notes.append(
                f"the bill comes to {month.usd_per_month:,.2f} USD a month: its credits exceed its charges, "
                "so the total has no saving"
            )
            return NOTHING
        if month is None or total.usd_per_month <= month.usd_per_month:
            return total
        self._bill_notes.append(
            f"all savings come to {total.usd_per_month:,.2f} USD a month, and the bill to {month.usd_per_month:,.2f}, "
            "which is taken for the total"
        )
        return total.at_most(round(month.usd_per_month, 2))

    def _of_lever(self, lever: PricedLever, report: LeverReport, combination: Combination) -> Item:
        worth = lever.worth_usd_per_month
        alone = dict(combination.alone_usd_per_month)[f"{combination.workload}/{lever.lever}"]
        usd = min(alone if worth is None else worth, combination.saving.usd_per_month)
        paid = combination.paid_usd_per_month
        against = f"alone {paid:,.2f} → {paid - alone:,.2f} USD a month"
        told = (_stated(lever), rules.STEPS.get(lever.lever, ""), lever.change, lever.basis, against)
        file, plan = self._file(report), shlex.quote(f"plan-{report.workload}.json")
        item = self._item(
            Item(
                id=f"{combination.workload}/{lever.lever}",
                title=f"{lever.title} ({combination.workload})",
                detail="; ".join(filter(None, told)),
                command=f"advisor recommend {file} --format json -o {plan}",
                check=self._check(lever.lever, f"{combination.workload}/{lever.lever}", plan),
                risk=lever.risk + ("" if lever.lock_in == "none" else f"; ties to {lever.lock_in}"),
                saving=Saving(usd, usd, usd),
                effort_hours=lever.work.effort_hours,
                counted_in=combination.id,
            ),
            rules.LEVERS.get(lever.lever, rules.OTHERS),
        )
        if self._is_late(item):
            options = "".join(f"{shlex.quote(word)} " for word in report.options)
            raise InputError(
                f"{item.id} is paid back after {item.payback_months:,.1f} months, and is part of the combination",
                where="--levers",
                hint=f"price them again: `advisor levers {file} {options}--hourly-rate "
                f"{self._inputs.hourly_rate_usd:g} --max-payback {self._inputs.max_payback_months:g}`",
            )
        return item

    def _file(self, report: LeverReport) -> str:
        """File of a workload, as a shell takes it."""
        return shlex.quote(report.path or self._inputs.workload_path)

    def _check(self, lever: str, item: str, plan: str) -> str:
        evaluated = "your own evaluation of answers passes; " if lever in rules.EVALUATED else ""
        review = f"advisor review BILL --programme programme.json --since {self._inputs.start} --applied {item}=DATE"
        return f"{evaluated}`advisor check {plan}` passes; `{review}`"

    def _of_plans(self) -> Iterator[Item]:
        """Plans against today's deployment; a workload whose levers are given has its saving there."""
        for path, plan in self._inputs.plans.items():
            name = str(plan.workload.get("name", path))
            if plan.current is None or plan.fleet is None:
                why = "no fleet is planned" if plan.fleet is None else "nothing is said to run today: state current"
                self._left_out.append(LeftOut(f"plan/{name}", f"Deploy {path}", why))
                continue
            if is_refused(plan):
                self._left_out.append(LeftOut(f"plan/{name}", f"Deploy {path}", refusal_words(plan)))
                continue
            today, planned = plan.current.total_usd_per_month, _fleet_usd(plan.fleet)
            levers = next((each for each in self._combinations if each.workload == name), None)
            if levers is not None:
                today = levers.paid_usd_per_month
            alone, ends = ((f"plan/{name}", today - planned),), price_ends_of(plan.fleet)
            combination = Combination(f"plan/{name}", name, today, planned, alone, price_range=ends)
            if levers is None:
                combination = self._as_billed(combination, runs_today=True)
            paid = combination.paid_usd_per_month
            saving = combination.saving if levers is None else combination.saving.at_most(levers.saving.usd_per_month)
            item = self._item(
                Item(
                    id=f"plan/{name}",
                    title=f"Deploy the plan of {name}",
                    detail=f"{paid:,.2f} → {planned:,.2f} USD a month",
                    command=f"advisor generate terraform {shlex.quote(path)} --into infra/",
                    check=f"`advisor check {shlex.quote(path)} --infra infra/` passes",
                    risk="as the plan says: `advisor explain`",
                    saving=saving,
                    effort_hours=rules.EFFORT_HOURS[Effort.MEDIUM],
                    counted_in="" if levers is None else levers.id,
                ),
                rules.OTHERS,
            )
            if levers is None and self._is_worth_it(item):
                self._combinations.append(combination)
                self._replace(combination.id, plan.current, plan.fleet.groups)
                yield replace(item, counted_in=combination.id)
            elif levers is not None:
                yield self._without_hours_of_levers(item, name)

    def _without_hours_of_levers(self, item: Item, workload: str) -> Item:
        """A plan's item; without hours where levers that the plan holds are items with their own."""
        held = [
            f"{workload}/{lever.lever}"
            for report in self._inputs.levers
            for lever in report.levers
            if report.workload == workload and lever.used and not lever.beyond_stated
        ]
        if not held:
            return item
        detail = f"{item.detail}; its hours are those of {' and '.join(held)}"
        return replace(item, detail=detail, effort_hours=0.0, one_off_usd=0.0, payback_months=None)

    def _replace(self, name: str, current: CurrentCost | None, groups: Sequence[FleetGroup | RungGroup]) -> None:
        """Record of what the fleet of a combination runs on, and of today's type where it is without that."""
        self._types[name] = {group.instance_type for group in groups}
        if current is not None and current.instance_type not in self._types[name]:
            self._replaced[name] = current.instance_type

    def _lasting(self, finding: Finding) -> Finding | None:
        """Part of a finding that the programme does not replace; None where it replaces all, which is then left out.

        What the bill has of a workload is what is paid for it, and its plan takes the place of all of that: its
        machines, and its disks, traffic and logs too. Findings at the cost of serving count in the plan.
        """
        if finding.basis != _SAVING:
            return finding
        if finding.machines:
            return self._lasting_commitment(finding)
        parts = {} if finding.id in rules.ABOUT_SERVING else self._parts(finding)
        told = [f"is paid for {name.partition('/')[2]}, which {name} replaces" for name in parts]
        return self._kept(finding, sum(parts.values()), f"it is part of what {' and '.join(told)}")

    def _lasting_commitment(self, finding: Finding) -> Finding | None:
        """Part of a commitment to machines that the programme keeps; None where it replaces all of them.

        The bill says which part is of a workload that it names. A workload that it does not name has the rest where
        each of the types is replaced.
        """
        gone, holders = self._gone(finding), self._holders(finding)
        named = self._parts(finding)
        has_rest = all(holders.values()) and any(name not in named for names in holders.values() for name in names)
        told = [f"{machine}, which {' and '.join(names)} replaces" for machine, names in holders.items() if names]
        told = told or [f"machines of {name.partition('/')[2]}, which {name} replaces" for name in gone]
        return self._kept(finding, 1.0 if has_rest else sum(gone.values()), f"it commits to {' and '.join(told)}")

    def _gone(self, finding: Finding) -> dict[str, float]:
        """Shares of a commitment for machines of workloads that run on other types in the programme, by combination."""
        return {
            name: part
            for name, part in self._parts(finding).items()
            if finding.machines
            and (self._replaced.get(name) in finding.machines or not self._types[name].intersection(finding.machines))
        }

    def _holders(self, finding: Finding) -> dict[str, list[str]]:
        """Combinations after which a type that a commitment is for does not run any more, by type."""
        gone = self._gone(finding)
        if sum(gone.values()) > _ALL:
            return {machine: list(gone) for machine in finding.machines}
        return {
            machine: [name for name, today in self._replaced.items() if today == machine]
            for machine in finding.machines
        }

    def _kept(self, finding: Finding, replaced_ratio: float, why: str) -> Finding | None:
        """A finding without the share of it that is replaced; None of all of it, which is left out."""
        if replaced_ratio <= 1 - _ALL:
            return finding
        if replaced_ratio < _ALL:
            left = Decimal(1 - replaced_ratio)
            per_month, low, high = (
                amount and amount * left for amount in (finding.per_month, finding.low, finding.high)
            )
            evidence = f"{finding.evidence}; {ratio_words(replaced_ratio)} is not counted: {why}"
            return replace(finding, per_month=per_month, low=low, high=high, evidence=evidence)
        self._left_out.append(LeftOut(finding.id, finding.title, why))
        return None

    def _parts(self, finding: Finding) -> dict[str, float]:
        """Shares of a finding's cost that lie in what is paid for a workload, by the combination that replaces it."""
        whole = float(sum(cost for _, cost in finding.resources))
        parts = {}
        for combination in self._combinations:
            name = normalised(combination.workload)
            usd = max((float(cost) for label, cost in finding.named.items() if normalised(label) == name), default=0.0)
            usd += float(sum(cost for resource, cost in finding.resources if normalised(resource) == name))
            if whole > 0 and usd > 0:
                parts[combination.id] = min(usd / whole, 1.0)
        return parts

    def _of_findings(self) -> Iterator[Item]:
        """Findings; of those at the same resources the one that saves most counts.

        Where resources are not told, of all at the cost of serving: a document holds so many of them, or endpoints.
        """
        lasting = filter(None, map(self._lasting, self._inputs.findings))
        first = [finding for finding in lasting if self._is_worth_it(self._of_finding(finding))]
        compatible = list(self._compatible(first))
        worthwhile = [item for finding in compatible if self._is_worth_it(item := self._of_finding(finding))]
        counted: dict[str, str] = {}
        unnamed = any(len(item.resources) >= SHOWN_RESOURCES or item.id in rules.AT_ENDPOINTS for item in worthwhile)
        yield from (item for item in worthwhile if item.saving is None)
        for item in sorted((item for item in worthwhile if item.saving is not None), key=_by_saving):
            names = (*item.resources, _SERVING) if unnamed and item.id in rules.ABOUT_SERVING else item.resources
            holder = item.counted_in or next((counted[name] for name in names if name in counted), "")
            for name in names:
                counted.setdefault(name, holder or item.id)
            yield replace(item, counted_in=holder)

    def _compatible(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """Findings of which no two exclude each other: each machine is in the one that saves most of its cost.

        The cost of the machines says which share of a finding's saving theirs is.
        """
        holders: dict[str, str] = {}
        rivals = [finding for finding in findings if finding.id in rules.EXCLUSIVE and _cost(finding) > 0]
        yield from (finding for finding in findings if finding not in rivals)
        for finding in sorted(rivals, key=lambda rival: -float(rival.per_month or 0) / float(_cost(rival))):
            taken = [name for name, _ in finding.resources if name in holders]
            left = tuple((name, cost) for name, cost in finding.resources if name not in holders)
            others = sorted({holders[name] for name in taken})
            changed = f"{' and '.join(others)} {'changes' if len(others) == 1 else 'change'} {first_names(taken)}"
            holders |= {name: finding.id for name, _ in left}
            ratio = float(1 - sum(cost for _, cost in left) / _cost(finding))
            kept = self._kept(finding, ratio, f"{changed}, and both cannot be done")
            if kept is not None:
                yield replace(kept, resources=left)

    def _serving(self, finding: Finding) -> str:
        """Combination that a finding at the cost of serving counts in; "" where what is paid for none holds it.

        It is the one that has most of it under its name, else one of those whose part the bill does not tell: the first
        whose type of today it is about, or the first.
        """
        parts, month = self._parts(finding), self._inputs.billed
        lasting = {name: part for name, part in parts.items() if name not in self._gone(finding)}
        if lasting:
            return max(lasting, key=lasting.__getitem__)
        untold = [
            combination.id
            for combination in self._combinations
            if combination.id not in parts and (month is None or month.of(combination.workload) is None)
        ]
        return next((name for name in untold if self._replaced.get(name) in finding.machines), next(iter(untold), ""))

    def _of_finding(self, finding: Finding) -> Item:
        is_serving = finding.id in rules.ABOUT_SERVING
        serving = self._serving(finding) if is_serving else ""
        saving = Saving(*(float(amount or 0) for amount in (finding.per_month, finding.low, finding.high)))
        return self._item(
            Item(
                id=finding.id,
                title=finding.title,
                detail=finding.evidence,
                command=finding.command,
                check=f"`advisor audit` of the next bill finds no {finding.id}",
                risk=finding.risk,
                saving=saving if finding.basis == _SAVING else None,
                effort_hours=rules.EFFORT_HOURS[finding.effort],
                counted_in=serving if finding.basis == _SAVING else "",
                resources=tuple(sorted(name for name, _ in finding.resources)),
            ),
            rules.FINDINGS.get(finding.id, rules.OTHERS),
        )

    def _to_assess(self) -> Iterator[Item]:
        """Items that measure: the bill before, and figures that levers without a price lack."""
        yield self._assessment(
            "baseline",
            "Keep the bill of the month before",
            "advisor audit BILL --format json -o baseline.json",
            f"the bill reaches back two weeks before {self._inputs.start}, for `advisor review`",
            rules.BASELINE_HOURS,
        )
        lacking = (None, ReasonCode.FIGURE_MISSING)
        for report in self._inputs.levers:
            unpriced = {lever.lever for lever in report.unpriced if lever.code in lacking}
            names = {
                "workload": self._file(report),
                "model": shlex.quote(report.model),
                "cache": shlex.quote(f"cache-{report.workload}.json"),
            }
            for levers, title, *lines in rules.MEASURES:
                if unpriced & set(levers):
                    command, check = (line.format(**names) for line in lines)
                    name, whole = f"{report.workload}/{levers[0]}", f"{title} ({report.workload})"
                    yield self._assessment(name, whole, command, check, rules.MEASURE_HOURS)

    def _assessment(self, name: str, title: str, command: str, check: str, hours: float) -> Item:
        item = Item(f"assess/{name}", title, "", command, check, "none: nothing changes", hours)
        return self._item(item, Assignment("platform", Phase.ASSESS))

    def _item(self, item: Item, assignment: Assignment) -> Item:
        """An item with its week, owner, cost and payback, its saving in cents."""
        usd = item.effort_hours * self._inputs.hourly_rate_usd
        return replace(
            item,
            saving=None if item.saving is None else item.saving.in_cents(),
            week=_week(assignment.phase, item.effort_hours),
            owner=self._inputs.owners.get(assignment.owner, assignment.owner),
            one_off_usd=usd,
            payback_months=None if item.saving is None else _payback(usd, item.saving),
        )

    def _is_worth_it(self, item: Item) -> bool:
        """Whether an item pays back in time; it is left out, with the numbers, where it does not."""
        if item.saving is None:
            return True
        if item.payback_months is not None and not self._is_late(item):
            return True
        within = f"not within {self._inputs.max_payback_months:g} months"
        spent = (
            f"spends {item.one_off_usd:,.2f} USD to save {item.saving.usd_per_month:,.2f} a month: paid back {within}"
        )
        saves_nothing = item.saving.usd_per_month < A_CENT
        why = f"saves nothing: {item.saving.usd_per_month:,.2f} USD a month" if saves_nothing else spent
        self._left_out.append(LeftOut(item.id, item.title, why))
        return False

    def _is_late(self, item: Item) -> bool:
        return item.payback_months is not None and item.payback_months > self._inputs.max_payback_months

    def _plan_words(self, combination: Combination, items: Sequence[Item]) -> Iterator[str]:
        """Notes on what levers save of each plan of their workload that costs more than they do, and the payback."""
        work = sum(item.one_off_usd for item in items if item.counted_in == combination.id)
        for path, plan in self._inputs.plans.items():
            if plan.fleet is None or is_refused(plan) or plan.workload.get("name") != combination.workload:
                continue
            planned = _fleet_usd(plan.fleet)
            less = planned - combination.usd_per_month
            if less < A_CENT or abs(planned - combination.paid_usd_per_month) < A_CENT:
                continue
            yield (
                f"{path} costs {planned:,.2f} USD a month: of that {combination.id} saves {less:,.2f}, and its work of "
                f"{work:,.2f} USD is paid back in {work / less:,.1f} months"
            )

    def _notes(self, items: Sequence[Item]) -> Iterator[str]:
        yield from self._bill_notes
        for combination in self._combinations:
            yield from self._plan_words(combination, items)
        yield from filter(None, (_rest_words(combination, items) for combination in self._combinations))
        yield from filter(None, map(_doubt_words, self._combinations))
        yield from weeks.replaced_words(items, self._combinations, self._replaced)
        yield weeks.hours_words(items, self._inputs.start)
        if any(item.counted_in and item.resources for item in items):
            yield "findings at the cost of serving, or at the same resources as another, are done and not counted again"
        if self._inputs.findings:
            hours = ", ".join(f"{effort.value} {hours:g}" for effort, hours in rules.EFFORT_HOURS.items())
            yield f"hours of findings are estimates by effort: {hours}"


def _cost(finding: Finding) -> Decimal:
    """Cost of a finding's resources over the bill's period."""
    return sum((cost for _, cost in finding.resources), Decimal(0))


def _stated(lever: PricedLever) -> str:
    """Lines to write for a lever, or that there are none to write."""
    if not lever.beyond_stated:
        without = f", without {lever.held_line}" if lever.held_line else ""
        return f"the workload file allows it already{without}"
    return f"{_STATE}{lever.line}" if lever.line else ""


def _held_lines(report: LeverReport) -> Iterator[str]:
    """Lines that keep a plan to what it is without any lever."""
    for lever in report.levers:
        yield from filter(None, lever.held_line.split("; "))


def _combination(report: LeverReport, plan: Fleet | None) -> Combination:
    """Levers of a workload against what is paid, or the plan without any; a *plan* that costs less counts instead."""
    paid, levers_usd = report.paid_usd_per_month, report.together.plan.total_usd_per_month
    together = levers_usd if plan is None else _fleet_usd(plan)
    alone = {
        f"{report.workload}/{lever.lever}": saved
        for lever in report.levers
        if lever.used and (saved := report.saved_of_what_is_paid(lever)) is not None
    }
    if (
        paid is None
        or levers_usd is None
        or together is None
        or len(alone) < sum(lever.used for lever in report.levers)
    ):
        raise InputError(f"the levers of {report.workload} have no cost", where="--levers", hint=_LEVERS_HINT)
    but_one = {
        f"{report.workload}/{lever.lever}": paid - levers_usd - lever.worth_usd_per_month
        for lever in report.levers
        if lever.used and lever.worth_usd_per_month is not None
    }
    without = report.without.total_usd_per_month
    if report.current is not None and without is not None and paid - without >= A_CENT:
        alone[_resize_id(report)] = paid - max(without, together)
        but_one[_resize_id(report)] = paid - levers_usd
    return Combination(
        f"levers/{report.workload}",
        report.workload,
        paid,
        together,
        tuple(alone.items()),
        tuple(but_one.items()),
        price_range=report.together.price_range if plan is None else price_ends_of(plan),
    )


def _resize_id(report: LeverReport) -> str:
    """Id of the item that runs what the load takes, without any lever."""
    return f"{report.workload}/resize"


def _fleet_usd(fleet: Fleet) -> float:
    """Cost of a fleet, USD a month."""
    return fleet.cost.total_usd_per_month


def _groups_words(rung: Rung) -> str:
    """Groups of a fleet in short."""
    return " + ".join(
        f"{group_count_words(group)} × {group.instance_type} {group.purchase.replace('_', ' ')}"
        f"{group.running_hours and f' {group.running_hours}'}"
        for group in rung.groups
    )


def _rest_words(combination: Combination, items: Sequence[Item]) -> str:
    """Note on what the items of a combination save more or less than it; "" where they add up to it.

    A plan and the findings that count in it are the same money again.
    """
    savings = [
        item.saving.usd_per_month
        for item in items
        if item.counted_in == combination.id and item.id.startswith(f"{combination.workload}/") and item.saving
    ]
    whole, items_usd = combination.saving.usd_per_month, sum(savings)
    if not savings or abs(whole - items_usd) < A_CENT:
        return ""
    both = f"{combination.id} saves {whole:,.2f} USD a month as one plan, and its items come to {items_usd:,.2f}"
    if whole < items_usd:
        return f"{both}: what several of them save alike counts once"
    return f"{both}: the other {whole - items_usd:,.2f} is credited to no single lever"


def _doubt_words(combination: Combination) -> str:
    """Note on prices of a combination's plan that are in doubt; "" where none is."""
    ends = combination.price_range
    if ends is None:
        return ""
    verb = "is" if len(ends.prices) == 1 else "are"
    low, high = ends.low_usd_per_month, ends.high_usd_per_month
    return (
        f"the plan of {combination.id} costs {low:,.2f} to {high:,.2f} USD a month, which the interval of its saving "
        f"holds: {' and '.join(ends.prices)} {verb} in doubt"
    )


def _week(phase: Phase, hours: float) -> int:
    if phase is Phase.QUICK:
        return 2 if hours <= rules.MOST_HOURS_WEEK_2 else 3
    return 1 if phase is Phase.ASSESS else 4


def _payback(usd: float, saving: Saving) -> float | None:
    """Months = one-off cost ÷ saving a month; None where nothing is saved."""
    return None if saving.usd_per_month < A_CENT else usd / saving.usd_per_month


def _by_saving(item: Item) -> tuple[float, str]:
    return (0.0 if item.saving is None else -item.saving.usd_per_month), item.id
