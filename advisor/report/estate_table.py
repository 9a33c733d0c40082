"""The estate for a terminal and for Markdown."""

import math
from collections.abc import Callable, Sequence

from advisor.plan.estate.packing import SharedMachine
from advisor.plan.estate.seats import Seat, Way
from advisor.plan.estate.slots import MEMORY_MARGIN
from advisor.plan.estate.values import FAILED, PLANNED, Estate, WorkloadRow
from advisor.plan.sharing import HEADROOM
from advisor.plan.words import compared_words
from advisor.report.text_table import Column, fit_table, markdown_list, render_markdown_table, wrap
from advisor.units import ratio_words, significant, usd

_HEADERS = ("workload", "fleet", "USD/month", "within SLO", "gap")
_BASE_HEADERS = ("one base", "workloads", "adapters", "fleet", "USD/month", "alone")
_MACHINE_HEADERS = ("shared machine", "copies", "workloads on each accelerator", "USD/month", "alone")
_SEAT_HEADERS = ("seat", "machine", "serves", "req/s", "busy", "GiB", "sharers", "in SLO")
_COMMITMENT_HEADERS = ("commit to", "as", "count", "in use", "saves USD/month")
_SHARED_HEADERS = ("shared limit", "of", "used", "limit", "unit")
_TITLES = ("workloads", "one base", "shared machines", "seats", "shared commitments", "shared limits")
_TODAY_HEADERS = ("today USD/month", "saves USD/month")
"""Columns of what runs today, where any workload states it."""
_SENTENCES = {
    "serves": 14,
    "fleet": 24,
    "workloads on each accelerator": 24,
    "shared machine": 20,
    "commit to": 16,
    "today USD/month": 15,
}
"""Columns that wrap, and the characters that they keep."""
BEYOND_SHARED = "not all workloads together keep to what they share"
Render = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def estate_table(estate: Estate, width: int | None = None) -> str:
    """Workloads, shared machines, commitments and limits as tables, then the sums, in lines of so many characters."""

    def fitted(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        columns = [Column(header, prose=_SENTENCES.get(header, 0)) for header in headers]
        return fit_table(columns, rows, width)[0]

    sums = [line for total in totals(estate) for line in wrap(total, width, rest="  ")]
    return "\n\n".join([*_blocks(estate, fitted), "\n".join(sums)]) + "\n"


def estate_markdown(estate: Estate) -> str:
    """The same as Markdown."""
    return "\n\n".join([*_blocks(estate, render_markdown_table), markdown_list(totals(estate))]) + "\n"


def totals(estate: Estate) -> list[str]:
    """The sums in sentences."""
    sums, together = estate.totals, estate.together
    lines = [f"{sums.planned} of {sums.workloads} workloads planned: {usd(sums.total_usd_per_month)} a month"]
    lines += [f"= {_terms(estate)}"] if estate.shared_machines else []
    lines += _today_words(estate)
    if sums.machines_saved_usd_per_month:
        lines.append(f"shared machines save {usd(sums.machines_saved_usd_per_month)} a month")
    if estate.packing_gap_ratio:
        lines.append(
            "who shares machines with whom is not proven the cheapest: the cheapest packing would save the workloads "
            f"that could meet at most {estate.packing_gap_ratio:.2%} of what they cost"
        )
    if sums.bases_saved_usd_per_month:
        lines.append(f"workloads on one base save {usd(sums.bases_saved_usd_per_month)} a month as one deployment")
    lines += [
        f"{', '.join(files)} are all named {name!r}: no code is generated for shared machines with two of one name; "
        "rename all but one"
        for name, files in _namesakes(estate)
    ]
    lines += _margins(estate)
    lines += [f"nothing is shared: {estate.not_shared}"] if estate.not_shared else []
    lines += [f"not divided by MPS: {reason}" for reason in estate.without_parts]
    if sums.commitments_saved_usd_per_month:
        lines.append(f"shared commitments save {usd(sums.commitments_saved_usd_per_month)} a month")
    if together.workloads:
        proof = "proven optimal" if together.gap_ratio == 0 else f"at most {together.gap_ratio:.2%} from the optimum"
        lines.append(f"{len(together.workloads)} workloads compete for shared limits; allocation {proof}")
    lines += _brief_words(estate)
    lines += [
        f"{row.file}: users wait far longer than predicted of what runs today ({compared_words(row.slower)}); find out "
        "what takes the time before anything is taken away"
        for row in estate.workloads
        if row.slower
    ]
    return [*lines, *conflicts(estate)]


def conflicts(estate: Estate) -> list[str]:
    """Shared limits that not all workloads together can keep, each with what would do."""
    return [
        f"{' '.join(filter(None, (use.constraint, use.detail)))}: {use.limit:,g} {use.unit} are too few, "
        f"{use.used:,g} would do"
        for use in estate.conflict
    ]


def _today_words(estate: Estate) -> list[str]:
    """Sentences on what runs today against the same workloads' part of the estate, and on who misses the SLO today."""
    today, saved = estate.totals.today_usd_per_month, estate.totals.saved_usd_per_month
    if today is None or saved is None:
        return []
    stated = [row for row in estate.workloads if row.today_usd_per_month is not None]
    which = "the workload that states" if len(stated) == 1 else f"the {len(stated)} workloads that state"
    shares = estate.shared_commitments or any(row.shared_machine is not None for row in stated)
    parts = " (what is shared is divided by the cost of each workload's own fleet)" if shares else ""
    difference = f"{usd(abs(saved))} {'less' if saved >= 0 else 'more'}"
    lines = [
        f"today {which} `current` cost {usd(today)} a month, in this estate {usd(today - saved)}: {difference}{parts}"
    ]
    missed = [row.file for row in stated if row.today_slo_kept is False]
    if missed:
        lines.append(
            f"what runs today is predicted to miss the SLO of {', '.join(missed)}, which the estate keeps; where users "
            "see it kept, state current.measured"
        )
    return lines


def _brief_words(estate: Estate) -> list[str]:
    """Sentence on plans that are looked for in less time than those of their files alone."""
    brief = [row.file for row in estate.workloads if row.is_brief and row.status == PLANNED]
    if not brief:
        return []
    which, file = (f"{brief[0]} is", "the file") if len(brief) == 1 else (f"{len(brief)} workloads are", "each file")
    more = "looks at more fleets and may find a cheaper one"
    return [f"{which} planned in brief: `advisor recommend` of {file} alone {more}"]


def _terms(estate: Estate) -> str:
    """The total as the sum of what its tables show."""
    seated = [row for row in estate.workloads if row.shared_machine is not None]
    joined = {file for base in estate.joined for file in base.workloads}
    own = [
        row.usd_per_month or 0.0 for row in estate.workloads if row.shared_machine is None and row.file not in joined
    ]
    terms = [
        (math.fsum(own), "of fleets of their own"),
        (math.fsum(base.usd_per_month for base in estate.joined), "of deployments on one base"),
        (math.fsum(machine.usd_per_month for machine in estate.shared_machines), "of shared machines"),
        (
            math.fsum(row.beside_usd_per_month or 0.0 for row in seated),
            "beside them for the workloads on them (load balancers, logs, data transfer, as for a fleet of each)",
        ),
    ]
    words = " + ".join(f"{usd(amount)} {what}" for amount, what in terms if amount)
    saved = estate.totals.commitments_saved_usd_per_month
    return f"{words} - {usd(saved)} saved by commitments" if saved else words


def _namesakes(estate: Estate) -> list[tuple[str, list[str]]]:
    """Names that several planned workloads have, with their files."""
    files: dict[str, list[str]] = {}
    for row in estate.workloads:
        if row.status == PLANNED:
            files.setdefault(row.name, []).append(row.file)
    return [(name, alike) for name, alike in files.items() if len(alike) > 1]


def _margins(estate: Estate) -> list[str]:
    """Sentences on what keeps workloads on shared machines apart, and what that rests on."""
    seats = [seat for machine in estate.shared_machines for seat in machine.seats]
    lines = []
    apart = [seat for seat in seats if seat.most_sharers is None]
    beside = [seat for seat in seats if seat.most_sharers is not None]
    in_turns = [seat for seat in beside if seat.way is Way.TURNS]
    in_parts = [seat for seat in beside if seat.way is Way.MPS]
    if apart:
        lines.append(
            "a slice has memory and speed of its own, by the hardware, whoever sits beside it; its rate is predicted "
            f"({_evidence(apart)})"
        )
    if in_turns:
        lines.append(
            "whoever takes turns keeps its targets among at most as many as its seat says, each with an equal part of "
            f"{1 - HEADROOM:.0%} of the time, as predicted ({_evidence(in_turns)}); {HEADROOM:.0%} of the time are "
            "kept for switching, and "
            f"{MEMORY_MARGIN - 1:.0%} of each seat's memory for what its estimate misses (assumptions, not measured)"
        )
    if in_parts:
        lines.append(
            "an equal part by MPS is a limit on memory and threads, which the driver keeps; whoever has one keeps its "
            f"targets among at most as many as its seat says, as predicted ({_evidence(in_parts)}) where neighbours "
            f"take as much of the bandwidth; {HEADROOM:.0%} of each part are kept for what they take of it and of the "
            f"caches, and {MEMORY_MARGIN - 1:.0%} of each seat's memory for what its estimate misses (assumptions, not "
            "measured); a fatal GPU fault of one ends all that share its accelerator"
        )
    return [
        *lines,
        *(_server_words(machine, server) for machine in estate.shared_machines for server in machine.servers),
    ]


def _server_words(machine: SharedMachine, server: Sequence[str]) -> str:
    """Sentence on workloads whose models one server holds."""
    seats = [machine.seat_of(name) for name in server]
    return (
        f"{', '.join(server)} are models of one server ({seats[0].server}), whose own "
        f"{max(seat.server_gib for seat in seats):.1f} GiB count once; equal parts of its time for each are an "
        "assumption, with the same margins, and what ends it ends all of them"
    )


def _evidence(seats: Sequence[Seat]) -> str:
    return ", ".join(dict.fromkeys(seat.evidence for seat in seats))


def obstacles(estate: Estate) -> list[str]:
    """Why workloads have no plan, file by file."""
    return [
        workload.message if workload.status == FAILED else f"{workload.file}: {workload.message}"
        for workload in estate.workloads
        if workload.status != PLANNED
    ]


def _blocks(estate: Estate, render: Render) -> list[str]:
    return [render(headers, rows) for headers, rows in estate_tables(estate).values() if rows]


def estate_tables(estate: Estate) -> dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Headers and rows of each table, by its title."""
    has_today = any(row.today_usd_per_month is not None for row in estate.workloads)
    headers = (*_HEADERS, *(_TODAY_HEADERS if has_today else ()))
    tables: tuple[tuple[Sequence[str], Sequence[Sequence[str]]], ...] = (
        (headers, [_cells(workload, estate)[: len(headers)] for workload in estate.workloads]),
        (
            _BASE_HEADERS,
            [
                (
                    f"{at}: {base.model}", ", ".join(base.workloads), f"{base.adapters:,}", base.fleet,
                    f"{base.usd_per_month:,.2f}", f"{base.apart_usd_per_month:,.2f}",
                )
                for at, base in enumerate(estate.joined, start=1)
            ],
        ),
        (_MACHINE_HEADERS, [_machine_cells(at, machine) for at, machine in enumerate(estate.shared_machines, start=1)]),
        (
            _SEAT_HEADERS,
            [
                _seat_cells(at, machine, seat)
                for at, machine in enumerate(estate.shared_machines)
                for seat in machine.seats
            ],
        ),
        (
            _COMMITMENT_HEADERS,
            [
                (
                    f"{commitment.instance_type} {commitment.region}", commitment.commitment,
                    str(commitment.count), f"{commitment.in_use_ratio:.0%}",
                    f"{commitment.saved_usd_per_month:,.2f}",
                )
                for commitment in estate.shared_commitments
            ],
        ),
        (
            _SHARED_HEADERS,
            [(use.constraint, use.detail, f"{use.used:,g}", f"{use.limit:,g}", use.unit) for use in estate.shared],
        ),
    )  # fmt: skip
    return dict(zip(_TITLES, tables, strict=True))


def _cells(row: WorkloadRow, estate: Estate) -> tuple[str, ...]:
    if row.status != PLANNED:
        return row.file, row.status, "–", "–", "–", *_today_cells(row)
    at = row.shared_machine
    base = next((at for at, joined in enumerate(estate.joined, start=1) if row.file in joined.workloads), None)
    fleet = row.fleet if base is None else f"with the others on base {base}"
    kept = "–"
    if row.within_slo_ratio is not None:
        kept = f"{ratio_words(row.within_slo_ratio)}{'' if row.slo_kept else ' (little margin)'}"
    if at is not None:
        fleet = f"on shared machine {at + 1}, {estate.shared_machines[at].instance_type}"
    return (
        row.file,
        fleet,
        _usd_words(row, is_joined=base is not None),
        kept,
        f"{row.gap_ratio:.2%}" if row.gap_ratio is not None and at is None and base is None else "–",
        *_today_cells(row),
    )


def _today_cells(row: WorkloadRow) -> tuple[str, str]:
    """Cost of what runs today, said to miss the SLO or not to be judged, and what the estate saves of it."""
    if row.today_usd_per_month is None or row.saved_usd_per_month is None:
        return "–", "–"
    judged = {True: "", False: ", misses the SLO", None: ", not judged"}[row.today_slo_kept]
    return f"{row.today_usd_per_month:,.2f}{judged}", f"{row.saved_usd_per_month:,.2f}"


def _usd_words(row: WorkloadRow, *, is_joined: bool) -> str:
    """Cost of a workload alone, and whether it has a part in something that has a row of its own."""
    if row.shared_machine is not None:
        return "shared" if row.beside_usd_per_month is None else f"{row.beside_usd_per_month:,.2f} + shared"
    return "shared" if is_joined else f"{row.usd_per_month or 0.0:,.2f}"


def _seat_cells(position: int, machine: SharedMachine, seat: Seat) -> tuple[str, ...]:
    """Who sits where with which engine, the rate of each copy, its share of the most, and the margins."""
    is_joined = len(machine.server_of(seat.workload)) > 1
    way = machine.slice.removeprefix("mig-") or ("one server" if is_joined else seat.way.value)
    memory_gib = seat.memory_gib - (seat.server_gib if is_joined else 0.0)
    return (
        seat.workload,
        f"{position + 1}, {way}",
        f"{seat.engine} {seat.precision}",
        f"{significant(seat.planned_requests_per_second_per_instance):.3g}",
        f"{seat.busy_ratio:.0%}",
        f"{memory_gib:.1f}/{seat.usable_gib:.1f}",
        "–" if seat.most_sharers is None else f"≤ {seat.most_sharers}",
        "–" if seat.within_slo_ratio is None else ratio_words(seat.within_slo_ratio),
    )


def _machine_cells(position: int, machine: SharedMachine) -> tuple[str, ...]:
    seats = "; ".join(", ".join(group) for group in machine.accelerators)
    cut = f", {machine.slice}" if machine.slice else ""
    return (
        f"{position}: {machine.instance_type} {machine.region}{cut}",
        str(machine.copies),
        seats,
        f"{machine.usd_per_month:,.2f}",
        f"{machine.alone_usd_per_month:,.2f}",
    )
