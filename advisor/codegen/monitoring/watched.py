"""Figures of a plan that are watched, and the queries that measure the same on the engines' own metrics."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.codegen.serving import planned_engine
from advisor.codegen.wanted import Engine
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.values import Plan
from advisor.samples import exporters
from advisor.tables import read_rows
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, MS_PER_SECOND

_EXPORTERS = {Engine.VLLM: "vllm", Engine.SGLANG: "sglang", Engine.TENSORRT_LLM: "trtllm"}
_MODEL_LABEL = frozenset({Engine.VLLM, Engine.SGLANG})
"""Engines whose series carry ``model_name``."""

_MATCHER = r'[A-Za-z_][A-Za-z0-9_]*(?:=~|!~|!=|=)"(?:[^"\\\n]|\\["\\nt.])*"'
_MATCHERS = re.compile(rf"{_MATCHER}(?:,{_MATCHER})*")


@dataclass(frozen=True, slots=True)
class Watched:
    """Planned figures, and what selects the series of the workload."""

    workload: str
    matchers: str
    """Matchers of the series, such as ``model_name="…"``; empty: all that these engines publish."""
    names: Mapping[str, tuple[str, ...]]
    """Metric of the product → names on the engines' pages."""
    usd_per_hour: float
    """Mean over the week, with all that the plan's total holds."""
    usd_per_replica_hour: float
    usd_per_1000_requests: float
    usd_per_million_output_tokens: float
    budget_usd_per_month: float
    """Stated limit, else the plan's total."""
    budget_words: str
    replicas: int
    """In the busiest hours."""
    requests_per_second_per_replica: float
    """What one replica is planned to carry, on average over the busiest hours."""
    peak_requests_per_second: float
    """The busiest hours' planned rate."""
    targets_seconds: Mapping[str, float]
    """ttft, tpot, e2e → target at the 95th percentile, of those that are stated."""

    def series(self, metric: str, suffix: str = "") -> str:
        """Selector of a metric on every engine of the fleet."""
        names = [name + suffix for name in self.names[metric]]
        if len(names) == 1:
            return f"{names[0]}{{{self.matchers}}}" if self.matchers else names[0]
        either = f'__name__=~"{"|".join(names)}"'
        return f"{{{','.join(filter(None, (either, self.matchers)))}}}"

    @property
    def used_ratio(self) -> float:
        """Share of the running replicas' planned rate that the busiest hours need; the rest is spare."""
        return min(self.peak_requests_per_second / (self.replicas * self.requests_per_second_per_replica), 1.0)

    @property
    def names_one_series(self) -> bool:
        """Whether the matchers are labels with their values, so that series that they select can be written down."""
        return not re.search(r'[!=]~"|!="', self.matchers)

    def own(self, record: str) -> str:
        """Selector of a series that a rule of this workload records."""
        return f"advisor:{record}{{workload={json.dumps(self.workload, ensure_ascii=False)}}}"

    def publishes(self, metric: str) -> bool:
        """Whether any engine of the fleet publishes the metric."""
        return bool(self.names.get(metric))


def watched(plan: Plan, matchers: str | None = None) -> Watched:
    """Figures of a plan that are watched.

    Args:
        plan: with a fleet of token-by-token engines.
        matchers: of the workload's series; None: the model's name, where all engines publish it as a label.

    Raises:
        InputError: there is no fleet, its model answers in one pass, or an engine publishes no metrics that are known.
    """
    fleet, recommended = plan.fleet, plan.recommended
    if fleet is None or recommended is None:
        raise InputError("the plan has no fleet to watch", hint="see its conflict, and plan again with other limits")
    if fleet.unit.is_one_pass:
        raise InputError(
            f"{plan.workload['model']} answers in one pass; monitoring is generated for language models only so far",
            hint="`advisor generate terraform` writes alarms on its latency: docs/kinds.md says which",
        )
    planned = {group.engine: planned_engine(group) for group in fleet.groups}
    unknown = next((name for name, engine in planned.items() if engine not in _EXPORTERS), None)
    if unknown is not None:
        raise InputError(f"{unknown} publishes no metrics that are known", hint=f"known: {', '.join(_EXPORTERS)}")
    engines = sorted({engine for engine in planned.values() if engine is not None})
    usd_per_hour = fleet.cost.total_usd_per_month / HOURS_PER_MONTH
    replica_hours = _replica_hours_per_week(fleet)
    busiest = max(range(len(fleet.hour_classes)), key=lambda at: fleet.hour_classes[at].planned_requests_per_second)
    replicas = sum(group.instances[busiest] * group.replicas_per_instance for group in fleet.groups)
    carried = math.fsum(
        group.instances[busiest] * (group.planned_requests_per_second_per_instance or 0.0) for group in fleet.groups
    )
    return Watched(
        workload=plan.workload["name"],
        matchers=_matchers(plan, engines) if matchers is None else _checked(matchers),
        names=_names(engines),
        usd_per_hour=usd_per_hour,
        usd_per_replica_hour=usd_per_hour * HOURS_PER_WEEK / replica_hours,
        usd_per_1000_requests=fleet.cost.usd_per_1000_requests,
        usd_per_million_output_tokens=fleet.cost.usd_per_million_output_tokens,
        budget_usd_per_month=plan.workload["limits"]["max_usd_per_month"] or fleet.cost.total_usd_per_month,
        budget_words="Budget" if plan.workload["limits"]["max_usd_per_month"] else "Planned",
        replicas=replicas,
        requests_per_second_per_replica=carried / replicas,
        peak_requests_per_second=fleet.hour_classes[busiest].planned_requests_per_second,
        targets_seconds={
            name: target / MS_PER_SECOND
            for name in ("ttft", "tpot", "e2e")
            if (target := plan.workload["slo"][f"{name}_p95_ms"]) is not None
        },
    )


def _replica_hours_per_week(fleet: Fleet) -> float:
    """Hours that replicas run in a week, all of them together."""
    return math.fsum(
        hours.hours_per_week * group.instances[at] * group.replicas_per_instance
        for group in fleet.groups
        for at, hours in enumerate(fleet.hour_classes)
    )


def _checked(matchers: str) -> str:
    """Matchers as they are given.

    Raises:
        InputError: Prometheus would not take them for matchers.
    """
    if matchers and not _MATCHERS.fullmatch(matchers):
        raise InputError(
            f"{matchers!r} are no label matchers", where="--match", hint='such as namespace="chat",pod=~"chat-.+"'
        )
    return matchers


def _matchers(plan: Plan, engines: Sequence[Engine]) -> str:
    """The model's name, as generated code has engines tell it."""
    model = json.dumps(plan.workload["model"], ensure_ascii=False)
    return f"model_name={model}" if set(engines) <= _MODEL_LABEL else ""


def _names(engines: Sequence[Engine]) -> Mapping[str, tuple[str, ...]]:
    """Metric of the product → usual name on the page of each engine that has it."""
    pages = [_EXPORTERS[engine] for engine in engines]
    names: dict[str, tuple[str, ...]] = {}
    for row in read_rows(Path(exporters.__file__).with_name("names.csv")):
        if row["exporter"] in pages and row["order"] == "1":
            names[row["metric"]] = (*names.get(row["metric"], ()), row["name"])
    return names
