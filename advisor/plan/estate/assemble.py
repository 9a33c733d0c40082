"""Parts → the estate: what is shared beyond quotas, and the sums."""

import math
from collections.abc import Mapping, Sequence

from advisor import __version__
from advisor.catalog import Catalog
from advisor.cost.services import disk_usd_per_month, hourly_to_monthly
from advisor.plan.document import plain
from advisor.plan.doubts import is_refused, refusal_words, wanted_ratio
from advisor.plan.estate.divide import Shares
from advisor.plan.estate.packing import Confirm, SharedMachine, SharedPacking, SlotTenant, share_machines
from advisor.plan.estate.terms import MARKETS, ResourceUse, Sharing, Terms, limits_of, totals
from advisor.plan.estate.values import (
    FAILED,
    INFEASIBLE,
    PLANNED,
    Estate,
    EstateTotals,
    Part,
    PriceDate,
    SharedCommitment,
    Together,
    WorkloadRow,
    shared_commitments,
)
from advisor.plan.plain_values import digest
from advisor.plan.problem.constraints import quota_detail
from advisor.plan.problem.limits import CONSTRAINTS, Constraint
from advisor.plan.problem.pools import quota_key
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.solve.stage import BRIEF_NOTE
from advisor.plan.values import Plan, PlanProvenance
from advisor.plan.words import fleet_turns
from advisor.records import replace
from advisor.units import counted, usd

_FEWEST_TOGETHER = 2


def workload_row(file: str, plan: Plan) -> WorkloadRow:
    """One workload's plan in a line."""
    refused = is_refused(plan)
    fleet = None if refused else plan.fleet
    confirmed = fleet.confirmed if fleet else None
    return WorkloadRow(
        file=file,
        name=str(plan.workload["name"]),
        status=PLANNED if fleet else INFEASIBLE,
        fleet=_fleet_words(plan) if fleet else "",
        usd_per_month=fleet.cost.total_usd_per_month if fleet else None,
        within_slo_ratio=confirmed.within_slo_ratio if confirmed else None,
        slo_kept=confirmed.reached if confirmed else None,
        proven=fleet.proven if fleet else None,
        gap_ratio=fleet.gap_ratio if fleet else None,
        shared_machine=None,
        message=refusal_words(plan, _fleet_words(plan)) if refused else "" if fleet else _obstacle(plan),
        prices=tuple(
            PriceDate(group.provider, group.instance_type, group.region, group.price_as_of)
            for group in (fleet.groups if fleet else ())
            if group.purchase != PurchaseOption.OWNED
        ),
        saved_usd_per_month=plan.savings.usd_per_month if plan.savings and fleet else None,
        slower=plan.current.slower if plan.current else (),
        is_brief=BRIEF_NOTE in plan.notes,
        today_usd_per_month=plan.current.total_usd_per_month if plan.current and plan.savings and fleet else None,
        today_slo_kept=_today_slo_kept(plan),
    )


def _today_slo_kept(plan: Plan) -> bool | None:
    """Whether what runs today is predicted to keep the SLO; None: nothing is stated to run, or it is not judged."""
    kept = None if plan.current is None else plan.current.within_slo_ratio
    return None if kept is None else kept >= wanted_ratio(plan)


def _fleet_words(plan: Plan) -> str:
    if plan.fleet is None:
        return ""
    return " + ".join(
        f"{_counts(group.instances)} × {group.instance_type} {group.region} {group.purchase.replace('_', ' ')}"
        f"{turn and f' {turn}'}"
        for group, turn in zip(plan.fleet.groups, fleet_turns(plan.fleet), strict=True)
    )


def _counts(instances: Sequence[int]) -> str:
    """``4``, or ``2…4`` where the number follows the hours."""
    return "…".join(dict.fromkeys((str(min(instances)), str(max(instances)))))


def _obstacle(plan: Plan) -> str:
    if plan.conflict is not None:
        limits = " and ".join(plan.conflict.constraints)
        needed = [
            f"{relaxation.name} {relaxation.detail or relaxation.unit}: {relaxation.needed:g} would do"
            for relaxation in plan.conflict.relaxations
        ]
        return "; ".join([f"no fleet that was found keeps to {limits}", *needed[:1]])
    if not plan.nearest_misses:
        return "nothing in the catalog serves it"
    miss = plan.nearest_misses[0]
    return miss.message if miss.message.startswith(miss.instance_type) else f"{miss.instance_type}: {miss.message}"


def assemble(parts: Sequence[Part], shares: Shares, terms: Terms, catalog: Catalog, confirm: Confirm) -> Estate:
    """The estate of all parts.

    *parts*: of all workloads, as they are after quotas and owned instances were divided. *confirm*: what replays a seat
    on a shared machine.
    """
    uses = {part.row.file: part.uses for part in parts}
    packing = SharedPacking((), None) if shares.excess else _machines(parts, terms, catalog, confirm)
    machines = packing.machines
    where = {file: at for at, machine in enumerate(machines) for file in machine.workloads}
    rows = tuple(_seated(part, machines, where.get(part.row.file)) for part in parts)
    alone = [part for part in parts if part.row.file not in where]
    committed = shared_commitments([use for part in alone for use in part.hourly], catalog)
    sums = _totals(parts, rows, machines, committed)
    return Estate(
        workloads=rows,
        totals=sums,
        shared=tuple(_shared({file: use for file, use in uses.items() if file not in where}, machines, terms)),
        together=Together(shares.together, shares.gap_ratio),
        shared_machines=machines,
        shared_commitments=committed,
        conflict=tuple(_conflicts(shares, terms, sums)),
        provenance=_provenance(parts, terms, catalog),
        packing_gap_ratio=packing.gap_ratio,
        not_shared=_why_not_shared(parts, shares, terms) if not machines else "",
        without_parts=tuple(sorted({reason for part in parts for reason in part.without_parts})),
    )


def _seated(part: Part, machines: Sequence[SharedMachine], position: int | None) -> WorkloadRow:
    """Row of a workload; on a shared machine with what the replay of its seat finds, and what it pays beside it."""
    if position is None:
        return part.row
    seat = machines[position].seat_of(part.row.file)
    ratio = seat.within_slo_ratio
    slot = part.seating.slot_at(seat.type_in_region, seat.partition) if part.seating else None
    return replace(
        part.row,
        shared_machine=position,
        within_slo_ratio=ratio,
        slo_kept=None if ratio is None else True,
        beside_usd_per_month=_own_beside_usd(part) if slot is None else slot.beside_usd_per_month,
    )


def _own_beside_usd(part: Part) -> float:
    """USD a month that a workload pays beside the machines of its own fleet."""
    return round((part.row.usd_per_month or 0.0) - part.usd_of_machines, 2)


def _machines(
    parts: Sequence[Part], terms: Terms, catalog: Catalog, confirm: Confirm
) -> SharedPacking:  # fmt: skip
    slot_tenants = [
        SlotTenant(part.row.file, part.usd_of_machines, part.seating, _own_beside_usd(part))
        for part in parts
        if part.seating is not None
    ]
    taken = totals({part.row.file: part.uses for part in parts})
    room = {quota_key(quota): quota.limit - taken.get(_on_demand(quota_key(quota)), 0.0) for quota in terms.quotas}
    freed = {
        part.row.file: {key: part.uses[_on_demand(key)] for key in room if _on_demand(key) in part.uses}
        for part in parts
    }

    def disk_usd(type_in_region: str, disk_gib: int) -> float:
        provider, region, _ = type_in_region.split("/", 2)
        return disk_usd_per_month(catalog, provider, region, disk_gib) or 0.0

    return share_machines(slot_tenants, room, freed, disk_usd, confirm)


def _why_not_shared(parts: Sequence[Part], shares: Shares, terms: Terms) -> str:
    """Reason, in numbers, why nothing is shared; "" where nothing asks for it, which slices, the default, do not."""
    seated = [part for part in parts if part.seating is not None]
    is_asked = terms.sharing in (Sharing.MPS, Sharing.ALL)
    if not is_asked and (terms.sharing is Sharing.NONE or len(seated) < _FEWEST_TOGETHER):
        return ""
    if shares.excess:
        return "the shared limits hold not even the fleets apart"
    if len(seated) < _FEWEST_TOGETHER:
        return f"{len(seated)} of {counted(len(parts), 'workload')} can have a part of an accelerator, on demand"
    own = math.fsum(part.usd_of_machines for part in seated)
    least = math.fsum(_least_seat_usd(part) for part in seated)
    unfilled = "; none was found that enough of them fill" if least < own else ""
    return (
        f"the {len(seated)} workloads that can share cost {usd(own)} a month on machines of their own, and on full "
        f"shared ones at least {usd(least)}{unfilled}"
    )


def _least_seat_usd(part: Part) -> float:
    """USD per month of the cheapest seats of a workload, where others take the rest of their machines."""
    if part.seating is None:
        return 0.0
    return hourly_to_monthly(min(slot.share_usd_per_hour for slot in part.seating.slots), part.seating.copies)


def _on_demand(key: str) -> tuple[str, str]:
    return Constraint.QUOTA.value, quota_detail((key, MARKETS[0]))


def _shared(
    uses: Mapping[str, Mapping[tuple[str, str], float]], machines: Sequence[SharedMachine], terms: Terms
) -> list[ResourceUse]:  # fmt: skip
    """Use of each resource that somebody takes of, or that is owned."""
    units = [{_on_demand(key): units for key, units in machine.quotas} for machine in machines]
    taken = totals({**uses, **{f"machine {at}": of_machine for at, of_machine in enumerate(units)}})
    return [
        ResourceUse(name, detail, limit, taken.get((name, detail), 0.0), CONSTRAINTS[name].row.unit)
        for (name, detail), limit in limits_of(terms).items()
        if (name, detail) in taken or name == Constraint.OWNED
    ]


def _totals(
    parts: Sequence[Part],
    rows: Sequence[WorkloadRow],
    machines: Sequence[SharedMachine],
    committed: Sequence[SharedCommitment],
) -> EstateTotals:
    fleets = round(math.fsum(row.usd_per_month or 0.0 for row in rows), 2)
    moved = math.fsum(
        row.beside_usd_per_month - _own_beside_usd(part)
        for part, row in zip(parts, rows, strict=True)
        if row.beside_usd_per_month is not None
    )
    apart = math.fsum(machine.alone_usd_per_month - machine.usd_per_month for machine in machines)
    on_machines = round(apart - moved, 2)
    by_commitments = round(math.fsum(commitment.saved_usd_per_month for commitment in committed), 2)
    return EstateTotals(
        workloads=len(rows),
        planned=sum(row.status == PLANNED for row in rows),
        infeasible=sum(row.status == INFEASIBLE for row in rows),
        failed=sum(row.status == FAILED for row in rows),
        fleets_usd_per_month=fleets,
        machines_saved_usd_per_month=on_machines,
        commitments_saved_usd_per_month=by_commitments,
        total_usd_per_month=round(fleets - on_machines - by_commitments, 2),
    )


def with_today(estate: Estate) -> Estate:
    """The estate with what each workload and all of them cost less than what they state to run today.

    Each bears of a shared machine, and of what shared commitments save, as much as its own fleet costs of all fleets
    that it replaces or that commit.
    """
    rows = tuple(_with_saving(row, estate) for row in estate.workloads)
    stated = [row for row in rows if row.today_usd_per_month is not None and row.saved_usd_per_month is not None]
    if not stated:
        return estate
    today = math.fsum(row.today_usd_per_month or 0.0 for row in stated)
    saved = math.fsum(row.saved_usd_per_month or 0.0 for row in stated)
    sums = replace(estate.totals, today_usd_per_month=round(today, 2), saved_usd_per_month=round(saved, 2))
    return replace(estate, workloads=rows, totals=sums)


def _with_saving(row: WorkloadRow, estate: Estate) -> WorkloadRow:
    if row.today_usd_per_month is None:
        return row
    return replace(row, saved_usd_per_month=round(row.today_usd_per_month - _part_usd(row, estate), 2))


def _part_usd(row: WorkloadRow, estate: Estate) -> float:
    """USD per month of a workload's part of the estate. Who states what runs is never joined with others on a base."""
    joined = {file for base in estate.joined for file in base.workloads}
    alike = [
        other.usd_per_month or 0.0
        for other in estate.workloads
        if other.shared_machine == row.shared_machine and other.file not in joined
    ]
    ratio = (row.usd_per_month or 0.0) / (math.fsum(alike) or 1.0)
    if row.shared_machine is None:
        return (row.usd_per_month or 0.0) - ratio * estate.totals.commitments_saved_usd_per_month
    return (row.beside_usd_per_month or 0.0) + ratio * estate.shared_machines[row.shared_machine].usd_per_month


def _conflicts(shares: Shares, terms: Terms, sums: EstateTotals) -> list[ResourceUse]:
    limits = limits_of(terms)
    exceeded = [
        ResourceUse(name, detail, limits[name, detail], limits[name, detail] + more, CONSTRAINTS[name].row.unit)
        for (name, detail), more in shares.excess.items()
    ]
    budget, name = terms.max_usd_per_month, Constraint.BUDGET
    if budget is not None and sums.total_usd_per_month > budget:
        exceeded.append(ResourceUse(name.value, "", budget, sums.total_usd_per_month, name.row.unit))
    return exceeded


def _provenance(parts: Sequence[Part], terms: Terms, catalog: Catalog) -> PlanProvenance:
    """Provenance as of a plan; its input is that of all plans, and what they share."""
    of_plans = {part.row.file: part.provenance for part in parts if part.provenance is not None}
    inputs = {file: provenance.input_digest for file, provenance in of_plans.items()}
    return PlanProvenance(
        advisor_version=__version__,
        catalog_hash=catalog.content_hash,
        catalog_as_of=catalog.as_of,
        calibration_version=next((provenance.calibration_version for provenance in of_plans.values()), ""),
        input_digest=digest({"workloads": inputs, "terms": plain(terms, "terms")}),
    )
