"""The estate as values, as ``advisor.estate/v1`` JSON holds them: fleets, tenants, joined adapters, commitments.

Workloads with LoRA adapters on one base are one deployment: the sum of their demand at the tightest targets. Joined are
workloads whose files agree in everything but names, adapters, declared demand, latency targets and context, and of
which none has something of its own to keep: machines that run, commitments, caps, a contested resource.

Commitments are those that pay off for several workloads together, where for none of them alone they would.

A commitment is used by whichever workload runs an instance of its type in its region. The k-th of them is in use in
every hour in which all workloads together run at least k instances on demand, so with u(k) the share of those hours,

    saved(k) = (u(k) · on-demand price - committed price) · 730 h

falls with k, and as many are worth having as save anything. Where the forecast's lower edge has to justify them, the
hours counted at that edge have to reach the break-even share too.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.catalog import Catalog
from advisor.catalog.planning import CommitmentPrice
from advisor.catalog.values import Offer, Purchase
from advisor.cost import break_even
from advisor.demand.lengths import together
from advisor.models.model import ALL, Adapters, NamedAdapter
from advisor.plan.estate.divide import Contention
from advisor.plan.estate.packing import SharedMachine
from advisor.plan.estate.seats import Seat
from advisor.plan.estate.slots import Seating
from advisor.plan.estate.terms import ResourceUse, Uses
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.problem.limits import Shortcut, is_kept_by
from advisor.plan.problem.supply import may_commit, type_in_region_of
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.request import PlanRequest
from advisor.plan.values import ComparedLatency, PlanProvenance
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, ROUNDING
from advisor.workload.measured_demand import PrometheusDemand
from advisor.workload.values import Slo, Workload

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class HourlyUse:
    """Instances that a workload runs on demand, hour by hour of the week."""

    provider: str
    region: str
    instance_type: str
    usd_per_hour: float
    instances: Counts
    low: Counts
    """As many as are in use at the lower edge of the forecast."""
    years: tuple[int, ...]
    """Terms of commitments that may take their place."""


@dataclass(frozen=True, slots=True)
class SharedCommitment:
    """Instances to commit to for all workloads together."""

    provider: str
    region: str
    instance_type: str
    commitment: str
    """Instrument, term and payment."""
    count: int
    usd_per_hour: float
    """Price of an instance, every hour."""
    in_use_ratio: float
    """Share of their hours in which they replace instances on demand."""
    saved_usd_per_month: float
    price_source: str
    price_as_of: str
    price_quality: str


def hourly_uses(fleet: Fleet, requirements: Requirements) -> tuple[HourlyUse, ...]:
    """Instances on demand where commitments may take their place: by the same rules as in a fleet."""
    limits = requirements.workload.limits
    if Purchase.COMMITMENT not in requirements.workload.purchase or not may_commit(requirements):
        return ()
    schedule = np.array(fleet.schedule)
    planned = np.array([hour.planned_requests_per_second for hour in fleet.hour_classes])
    low = np.array([hour.low_requests_per_second for hour in fleet.hour_classes])
    ratio = np.minimum(np.divide(low, planned, out=np.zeros(planned.size), where=planned > 0), 1.0)
    if limits.commit_beyond_forecast:
        ratio = np.ones(planned.size)
    counts = [(group, np.array(group.instances, dtype=np.int64)) for group in fleet.groups]
    return tuple(
        HourlyUse(
            provider=group.provider,
            region=group.region,
            instance_type=group.instance_type,
            usd_per_hour=group.instance_usd_per_hour,
            instances=instances[schedule],
            low=np.ceil(instances * ratio - ROUNDING).astype(np.int64)[schedule],
            years=limits.commitment_years,
        )
        for group, instances in counts
        if group.purchase == PurchaseOption.ON_DEMAND
    )


def shared_commitments(uses: Iterable[HourlyUse], catalog: Catalog) -> tuple[SharedCommitment, ...]:
    """Commitments to make, by type and region; those that save most first."""
    grouped: dict[str, list[HourlyUse]] = {}
    for use in uses:
        grouped.setdefault(type_in_region_of(use.provider, use.region, use.instance_type), []).append(use)
    offers = {type_in_region_of(offer.provider, offer.region, offer.instance_type): offer for offer in catalog.offers}
    best = (_best(group, offers[type_in_region], catalog) for type_in_region, group in grouped.items())
    commitments = [commitment for commitment in best if commitment is not None]
    return tuple(sorted(commitments, key=lambda made: (-made.saved_usd_per_month, made.region, made.instance_type)))


def _best(uses: list[HourlyUse], offer: Offer, catalog: Catalog) -> SharedCommitment | None:
    commitments = [
        _committed(price, allowed)
        for price in catalog.current_commitments(offer)
        if (allowed := [use for use in uses if price.commitment.term_years in use.years])
    ]
    worth = [commitment for commitment in commitments if commitment.count]
    return max(worth, key=lambda commitment: commitment.saved_usd_per_month, default=None)


def _committed(price: CommitmentPrice, uses: Sequence[HourlyUse]) -> SharedCommitment:
    """Commitments at one price, as many as save anything for those who may enter its term."""
    use = uses[0]
    instances, low = np.sum([use.instances for use in uses], axis=0), np.sum([use.low for use in uses], axis=0)
    levels = np.arange(1, int(instances.max()) + 1)[:, None]
    in_use = (instances >= levels).sum(axis=1) / HOURS_PER_WEEK
    at_low = (low >= levels).sum(axis=1) / HOURS_PER_WEEK
    even = break_even(price.usd_per_hour, use.usd_per_hour)
    needed = even.utilization if even else 1.0
    worth = (in_use > needed + ROUNDING) & (at_low >= min(needed, 1.0) - ROUNDING)
    count = int(worth.sum())
    share = float(in_use[:count].mean()) if count else 0.0
    terms = price.commitment
    return SharedCommitment(
        provider=use.provider,
        region=use.region,
        instance_type=use.instance_type,
        commitment=f"{terms.instrument}, {terms.term_years} y, {terms.payment.replace('_', ' ')}",
        count=count,
        usd_per_hour=price.usd_per_hour,
        in_use_ratio=share,
        saved_usd_per_month=round(count * (share * use.usd_per_hour - price.usd_per_hour) * HOURS_PER_MONTH, 2),
        price_source=price.provenance.source,
        price_as_of=price.provenance.as_of,
        price_quality=price.provenance.quality.value,
    )


_LONGEST_NAME = 100
_FEWEST = 2
_ANY_DEMAND = PrometheusDemand("")


@dataclass(frozen=True, slots=True)
class JoinedBase:
    """Workloads on one base, and what they cost together and apart."""

    model: str
    workloads: tuple[str, ...]
    """Their files, told from the directory."""
    adapters: int
    fleet: str
    """In words."""
    plan: str
    """Name of their deployment among the workload files: its plan is under it where plans are held in the estate."""
    usd_per_month: float
    apart_usd_per_month: float
    plan_file: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """File of their plan where plans are files of their own; "": the estate is of a version that did not name it."""

    @property
    def saved_usd_per_month(self) -> float:
        """Saving against a fleet for each."""
        return self.apart_usd_per_month - self.usd_per_month


def bases_of(questions: Sequence[tuple[str, PlanRequest]]) -> list[tuple[tuple[str, ...], PlanRequest]]:
    """Files that may be joined, with the question of each group: those that name adapters, and others on their base."""
    groups: list[list[tuple[str, PlanRequest]]] = []
    for file, question in questions:
        if not _is_free(question):
            continue
        alike = next((group for group in groups if _is_alike(group[0][1], question)), None)
        if alike is None:
            groups.append([(file, question)])
        else:
            alike.append((file, question))
    joined = ((tuple(file for file, _ in group), _together([question for _, question in group])) for group in groups)
    return [(files, question) for files, question in joined if len(files) >= _FEWEST and question is not None]


def _is_free(question: PlanRequest) -> bool:
    """Whether nothing holds a workload to a fleet of its own."""
    workload, demand = question.workload, question.demand
    kept = (workload.current, workload.response_cache, workload.batch, demand.batch, demand.beside, demand.interval)
    return (
        not demand.unit.is_one_pass
        and demand.profile is None
        and all(entry is None for entry in kept)
        and is_kept_by(Shortcut.TOGETHER, workload.limits)
        and not (workload.commitments or workload.running or demand.answered_ratio)
    )


def _is_alike(question: PlanRequest, other: PlanRequest) -> bool:
    same_base = question.model.name == other.model.name
    return same_base and _compared(question.workload) == _compared(other.workload)


def _compared(workload: Workload) -> Workload:
    """The workload without what may differ."""
    return replace(
        workload,
        name="",
        model="",
        path=Path(),
        slo=Slo(),
        demand=_ANY_DEMAND,
        adapters=None,
        context_tokens=None,
        prefix_cache_hit_ratio=0.0,
        tags=(),
        near_current=False,
    )


def _together(questions: Sequence[PlanRequest]) -> PlanRequest | None:
    """One question for all; None where no workload has adapters, or two adapters have one name."""
    adapters = _adapters(questions)
    if adapters is None:
        return None
    first = questions[0]
    workloads = [question.workload for question in questions]
    contexts = [workload.context_tokens for workload in workloads if workload.context_tokens is not None]
    demand = together([question.demand for question in questions])
    workload = replace(
        first.workload,
        name="-".join(workload.name for workload in workloads)[:_LONGEST_NAME],
        slo=_tightest([workload.slo for workload in workloads]),
        context_tokens=max(contexts, default=None),
        prefix_cache_hit_ratio=_hit_ratio(questions),
        adapters=adapters,
    )
    return PlanRequest(workload, replace(first.model, adapters=None), demand)


def _adapters(questions: Sequence[PlanRequest]) -> Adapters | None:
    """All adapters, each with its share of the requests of all; by number where some have no names."""
    rates = [question.demand.requests_per_second.mean for question in questions]
    stated = [question.workload.adapters for question in questions]
    members = [adapters for adapters in stated if adapters is not None]
    if not members:
        return None
    targets = {target for adapters in members for target in adapters.target_modules}
    named: list[NamedAdapter] = []
    if all(adapters.named for adapters in members):
        for adapters, rate in zip(stated, rates, strict=True):
            if adapters is not None:
                pairs = zip(adapters.named, adapters.shares, strict=True)
                named += [replace(adapter, share=share * rate / sum(rates)) for adapter, share in pairs]
        if len({adapter.served_name for adapter in named}) < len(named):
            return None
    is_limited = any(adapters.active is not None for adapters in members)
    return Adapters(
        count=sum(adapters.count for adapters in members),
        rank=max(adapters.rank for adapters in members),
        target_modules=(ALL,) if ALL in targets else tuple(sorted(targets)),
        active=sum(adapters.slots for adapters in members) if is_limited else None,
        named=tuple(named),
    )


def _tightest(slos: Sequence[Slo]) -> Slo:
    """The least of each target, and the largest share within them."""

    def least(name: str) -> float | None:
        return min((value for slo in slos if (value := getattr(slo, name)) is not None), default=None)

    return replace(
        slos[0],
        ttft_p95_ms=least("ttft_p95_ms"),
        tpot_p95_ms=least("tpot_p95_ms"),
        e2e_p95_ms=least("e2e_p95_ms"),
        within_ratio=max(slo.within_ratio for slo in slos),
    )


def _hit_ratio(questions: Sequence[PlanRequest]) -> float:
    """Share of all prompts' tokens that is cached, as each has it of its own: caches are not shared."""
    tokens = [
        question.demand.requests_per_second.mean * question.demand.input_tokens.mean for question in questions
    ]  # fmt: skip
    hits = (part * question.workload.prefix_cache_hit_ratio for part, question in zip(tokens, questions, strict=True))
    return sum(hits) / sum(tokens)


SCHEMA = "advisor.estate/v1"
PLANNED = "planned"
INFEASIBLE = "infeasible"
FAILED = "failed"


def machine_words(position: int, machine: SharedMachine) -> str:
    """A shared machine by its number, such as ``shared machine 1, 2 × g2-standard-4 in us-central1 (gcp)``."""
    count = f"{machine.copies} × " if machine.copies > 1 else ""
    return f"shared machine {position + 1}, {count}{machine.instance_type} in {machine.region} ({machine.provider})"


def seat_words(position: int, machine: SharedMachine, seat: Seat) -> str:
    """The machine, and what the workload has of it."""
    where = machine_words(position, machine)
    if machine.slice:
        return f"{where}, on a slice {machine.slice.removeprefix('mig-')} of its own"
    mates = len(machine.server_of(seat.workload)) - 1
    others = len(machine.accelerator_of(seat.workload)) - 1 - mates
    ways = (f"on one server with {_others(mates)}",) if mates else ()
    beside = "on an equal part by MPS beside" if machine.by_mps else "in turns with"
    return f"{where}, {', '.join((*ways, f'{beside} {_others(others)}') if others else ways)}"


def _others(count: int) -> str:
    return f"{count} {'other' if count == 1 else 'others'}"


def base_words(base: JoinedBase, workload: str) -> str:
    """The deployment that a workload is part of, such as ``one deployment of org/model with mail.yaml``."""
    others = ", ".join(file for file in base.workloads if file != workload)
    return f"one deployment of {base.model} with {others} (its plan is {base.plan_file})"


@dataclass(frozen=True, slots=True)
class PriceDate:
    """Date on which a price that is paid was valid."""

    provider: str
    instance_type: str
    region: str
    as_of: str
    """ISO date, month or year; "" when unknown."""


@dataclass(frozen=True, slots=True)
class WorkloadRow:
    """One workload file and its fleet."""

    file: str
    """Told from the directory."""
    name: str
    status: str
    """planned; infeasible: no fleet keeps its limits, or its SLO in the replay; failed: the file has to be fixed."""
    fleet: str
    """Instances of each group over the hours, in words."""
    usd_per_month: float | None
    """Of a fleet of its own."""
    within_slo_ratio: float | None
    """Of the requests of the replay: that of its seat, where it sits on a shared machine."""
    slo_kept: bool | None
    """Whether it is kept with the margin that is wanted of a replay."""
    proven: bool | None
    gap_ratio: float | None
    shared_machine: int | None
    """Position in ``shared_machines`` of where it sits instead of on its own fleet."""
    message: str
    """What stands against a fleet; "" for nothing."""
    prices: tuple[PriceDate, ...] = ()
    """Of each group of the fleet."""
    saved_usd_per_month: float | None = None
    """Cost of what runs today less that of its part of the estate; None where nothing is stated to run, or there is no
    fleet."""
    slower: tuple[ComparedLatency, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Latencies that are measured today far above their prediction."""
    beside_usd_per_month: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """What it pays beside a shared machine, as a fleet of its own in that region would: balancers, gateways, logs, data
    transfer; None: it has a fleet of its own."""
    is_brief: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether its plan is brief, so that the file alone may have another fleet at another cost."""
    today_usd_per_month: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Cost of what runs today; None: nothing is stated to run, or it has no fleet to compare it with."""
    today_slo_kept: bool | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Whether what runs today keeps the SLO, as predicted; None: not judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Results of one workload's plan, kept while all are planned."""

    row: WorkloadRow
    plan_text: str
    """As ``advisor.plan/v1`` JSON; "" where there is no plan."""
    uses: Uses
    contention: Contention | None
    """Its choices, where it takes of what is shared."""
    hourly: tuple[HourlyUse, ...]
    """What may be committed to."""
    seating: Seating | None
    usd_of_machines: float
    """Monthly cost of its fleet but for data transfer, load balancers and logs, which a shared machine needs too."""
    provenance: PlanProvenance | None
    without_parts: tuple[str, ...] = ()
    """Reasons why accelerators that could serve it are not divided by MPS, where the estate asks for that."""


@dataclass(frozen=True, slots=True)
class EstateTotals:
    """Sums over all workloads; USD without tax, each to the cent."""

    workloads: int
    planned: int
    infeasible: int
    failed: int
    fleets_usd_per_month: float
    """All of the fleets, with nothing shared but quotas and what is owned."""
    machines_saved_usd_per_month: float
    commitments_saved_usd_per_month: float
    total_usd_per_month: float
    bases_saved_usd_per_month: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """By workloads with LoRA adapters on one base that are deployed together."""
    today_usd_per_month: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Cost of what runs today for the planned workloads that state it; None: none does."""
    saved_usd_per_month: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """That less the parts of the estate of the same workloads."""


@dataclass(frozen=True, slots=True)
class Together:
    """Workloads that were planned in one program, because what they want runs short."""

    workloads: tuple[str, ...]
    gap_ratio: float
    """How much cheaper they could be at most; 0 is proven optimal."""


@dataclass(frozen=True, slots=True)
class Estate:
    """All workloads of a directory."""

    workloads: tuple[WorkloadRow, ...]
    totals: EstateTotals
    shared: tuple[ResourceUse, ...]
    """Quotas and owned commitments, and what all workloads take of them."""
    together: Together
    shared_machines: tuple[SharedMachine, ...]
    shared_commitments: tuple[SharedCommitment, ...]
    conflict: tuple[ResourceUse, ...]
    """Shared limits that not all workloads together can keep; ``used`` is the least that would do."""
    provenance: PlanProvenance
    joined: tuple[JoinedBase, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Workloads on one base that cost less as one deployment: their own fleets are not deployed."""
    without_parts: tuple[str, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Reasons why accelerators that could serve its workloads are not divided by MPS, where it asks for that."""
    not_shared: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Reason why no workload shares an accelerator that is not cut, where it asks for that."""
    packing_gap_ratio: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Share of the cost of all workloads that could meet on shared machines that the cheapest packing would save at
    most: 0 is proven the cheapest; None: no two could meet."""
    name: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Name of the directory, by which its deployments are told from those of others; "" where it is not stated."""
    schema: str = SCHEMA
