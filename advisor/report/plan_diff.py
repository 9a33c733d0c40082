"""Difference of two plans as values: fleet, cost, SLO margin, risk, evidence, and what was asked differently."""

from collections.abc import Iterator, Mapping
from typing import Any

from advisor.demand.values import Unit
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.costs import COST_PARTS
from advisor.plan.unit_words import unit_of
from advisor.plan.values import Plan
from advisor.records import asdict, dataclass
from advisor.report.price_age import oldest_price
from advisor.report.risks import risk_words
from advisor.report.words import short_words

_WEAKEST_FIRST = ("roofline", "calibrated", "measured")
_RATE, _PEAK_RATIO = "requests_per_second", "peak_to_mean"
_DEMAND = (_RATE, "input_tokens", "output_tokens")
_STATED = ("mean", "peak")
"""Figures of a demand that a workload file states; quantiles of a stated demand follow from them."""
_EXACT_DIGITS = 12
_UNASKED = ("as_of",)
"""Fields of a workload that say when it was asked, not what."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """Facts of one plan that a decision needs; None: not known, or no fleet."""

    fleet: str
    """In words; "" without one."""
    usd_per_month: float | None
    parts_usd_per_month: Mapping[str, float | None]
    """Parts whose sum is the total."""
    within_slo_ratio: float | None
    """Share of the requests that its replay finds within every target."""
    wanted_within_slo_ratio: float
    unit: Unit
    """Unit of an answer: where it comes whole, the first latency is all of it."""
    ttft_p95_ms: float | None
    tpot_p95_ms: float | None
    ttft_p95_target_ms: float | None
    tpot_p95_target_ms: float | None
    holds_up_to_peak_ratio: float | None
    risk: str
    evidence: str
    """Weakest evidence class of its groups; "" without a fleet."""
    oldest_price: str
    """Date of the oldest price that it pays; "" where none has one."""
    obligation_usd: float | None


@dataclass(frozen=True, slots=True)
class AskedDifferently:
    """A field of the workload or the demand that differs."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """Two plans side by side."""

    workload: str
    """Name in the later plan."""
    workload_before: str
    before: PlanFacts
    after: PlanFacts
    asked_differently: tuple[AskedDifferently, ...]

    @property
    def is_same_workload(self) -> bool:
        """The plans carry one name and serve one model; otherwise their costs are of different things."""
        return not {"workload.name", "workload.model"} & {
            asked_differently.field for asked_differently in self.asked_differently
        }

    @property
    def usd_per_month_more(self) -> float | None:
        """After minus before, USD a month; None where either has no fleet."""
        before, after = self.before.usd_per_month, self.after.usd_per_month
        return None if before is None or after is None else round(after - before, 2)

    @property
    def ratio_more(self) -> float | None:
        """Change as a share of the cost before; None where that is unknown or zero."""
        more, before = self.usd_per_month_more, self.before.usd_per_month
        return more / before if more is not None and before else None


def plan_diff(before: Plan, after: Plan) -> PlanDiff:
    """Compare the later plan with the earlier one."""
    return PlanDiff(
        workload=str(after.workload["name"]),
        workload_before=str(before.workload["name"]),
        before=_facts(before),
        after=_facts(after),
        asked_differently=tuple(_asked_differently(before, after)),
    )


def diff_document(diff: PlanDiff) -> dict[str, Any]:
    """Plain JSON values of a difference."""
    return {
        **asdict(diff),
        "same_workload": diff.is_same_workload,
        "usd_per_month_more": diff.usd_per_month_more,
        "ratio_more": diff.ratio_more,
    }


def _facts(plan: Plan) -> PlanFacts:
    slo, fleet = plan.workload["slo"], plan.fleet
    replay = fleet.confirmed if fleet else None
    oldest = oldest_price(plan) if fleet else None
    return PlanFacts(
        fleet=short_words(fleet.groups, with_precision=True) if fleet else "",
        usd_per_month=fleet.cost.total_usd_per_month if fleet else None,
        parts_usd_per_month=fleet.parts_usd_per_month if fleet else dict.fromkeys(COST_PARTS),
        within_slo_ratio=replay.within_slo_ratio if replay else None,
        wanted_within_slo_ratio=float(slo["within_ratio"]),
        unit=unit_of(plan.demand),
        ttft_p95_ms=replay.ttft_p95_ms if replay else None,
        tpot_p95_ms=replay.tpot_p95_ms if replay else None,
        ttft_p95_target_ms=slo["ttft_p95_ms"],
        tpot_p95_target_ms=slo["tpot_p95_ms"],
        holds_up_to_peak_ratio=fleet.holds_up_to.peak_ratio if fleet and fleet.holds_up_to else None,
        risk=risk_words(plan) if fleet else "",
        evidence=_weakest(fleet),
        oldest_price=oldest.as_of if oldest else "",
        obligation_usd=fleet.cost.obligation_usd if fleet else None,
    )


def _weakest(fleet: Fleet | None) -> str:
    classes = {group.evidence for group in fleet.groups} if fleet else set[str]()
    return next((evidence for evidence in _WEAKEST_FIRST if evidence in classes), "")


def _asked_differently(before: Plan, after: Plan) -> Iterator[AskedDifferently]:
    asked_before, asked_after = _asked(before), _asked(after)
    for field in dict.fromkeys((*asked_before, *asked_after)):
        was, now = asked_before.get(field), asked_after.get(field)
        if was != now and not all(value is None or value is False for value in (was, now)):
            yield AskedDifferently(field, was, now)


def _asked(plan: Plan) -> dict[str, Any]:
    """Fields of the workload and the demand by their dotted names."""
    workload = {name: value for name, value in plan.workload.items() if name not in _UNASKED}
    demand = {name: _asked_demand(plan, name) for name in _DEMAND if name in plan.demand}
    file = plan.provenance.model_file
    return dict(_leaves({"workload": workload, "demand": demand, "model_file": asdict(file) if file else {}}, ""))


def _asked_demand(plan: Plan, name: str) -> dict[str, float]:
    """Figures of all clients' demand, whether or not a response cache answers some: what was counted or stated."""
    figures, answered = plan.demand[name], plan.demand.get("answered_ratio", 0.0)
    names = [key for key in figures if key in _STATED or plan.demand.get("requests")]
    if name != _RATE or not answered:
        return {key: figures[key] for key in names}
    return {
        key: figures[key] if key == _PEAK_RATIO else float(f"{figures[key] / (1 - answered):.{_EXACT_DIGITS}g}")
        for key in names
    }


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
