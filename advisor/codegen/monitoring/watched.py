"""Figures of a plan that are watched, and the queries that measure the same on the engines' own metrics."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from advisor.codegen.alarms import promise_of
from advisor.codegen.container import Engine
from advisor.codegen.engines import demanded
from advisor.codegen.engines.metrics import METRICS, PAGE_NAMES, histogram_query
from advisor.codegen.engines.onnx_files import served_model
from advisor.codegen.engines.vllm import engine_requests
from advisor.codegen.serving import planned_engine
from advisor.errors import InputError, NotDeployable
from advisor.plan.values import Plan
from advisor.records import dataclass
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, MS_PER_SECOND

_NAMED = frozenset({Engine.VLLM, Engine.SGLANG, Engine.VLLM_POOLING, Engine.VLLM_TRANSCRIPTION})
"""Engines whose series carry ``model_name``."""
_TRITON = frozenset({Engine.TRITON_TENSORRT, Engine.TRITON_ONNX_RUNTIME, Engine.TRITON_FIL})
"""Their series carry ``model``, and those of a GPU its ``gpu_uuid``."""
_COUNTS_ITEMS = frozenset({Engine.VLLM_POOLING, Engine.VLLM_TRANSCRIPTION, Engine.VLLM_OMNI})
"""They finish a request for each item of the workload's."""
_OF_TOKENS = frozenset({"kv_cache_used_ratio", "generated_tokens", "ttft_seconds", "tpot_seconds"})
"""Metrics that say nothing of answers in one pass."""
_WHOLE_ANSWER = "e2e_seconds"
_BEYOND_P95_RATIO = 0.05

_MATCHER = r'[A-Za-z_][A-Za-z0-9_]*(?:=~|!~|!=|=)"(?:[^"\\\n]|\\["\\nt.])*"'
_MATCHERS = re.compile(rf"{_MATCHER}(?:,{_MATCHER})*")


@dataclass(frozen=True, slots=True)
class Target:
    """A latency that was promised."""

    name: str
    """ttft, tpot, e2e; latency of an answer in one pass."""
    metric: str
    """Of the product."""
    seconds: float
    beyond_ratio: float = _BEYOND_P95_RATIO
    """Share of the requests that may take longer."""

    @property
    def percentile(self) -> str:
        """Percentile that has to keep it, such as p95."""
        return f"p{100 * (1 - self.beyond_ratio):g}"


@dataclass(frozen=True, slots=True)
class Watched:
    """Planned figures, and what selects the series of the workload."""

    workload: str
    matchers: str
    """Matchers of the series, such as ``model_name="…"``; empty: all that these engines publish."""
    names: Mapping[str, tuple[str, ...]]
    """Metric of the product → names on the engines' pages."""
    engines: tuple[Engine, ...]
    finished_per_request: Mapping[str, float]
    """Name of a counter of finished requests → how much it counts for one of the workload's."""
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
    targets: tuple[Target, ...]
    """Those that are stated, and that an engine tells the times for."""

    def series(self, metric: str, suffix: str = "") -> str:
        """Selector of a metric on every engine of the fleet."""
        return self._selector([name + suffix for name in self.names[metric]])

    @property
    def present(self) -> str:
        """Selector of a series that every replica has: its load, or the count of what it finished."""
        pages = [PAGE_NAMES[engine] for engine in self.engines]
        own = [page.get("requests_running") or page["requests_finished"] for page in pages]
        return self._selector(list(dict.fromkeys(own)))

    @property
    def replica_labels(self) -> str:
        """Labels that tell the replicas of a fleet apart."""
        return "instance, engine, dp_rank" + (", gpu_uuid" if _TRITON & set(self.engines) else "")

    def finished_rate(self, window: str) -> str:
        """Query for the requests of the workload that are finished in a second."""
        by_count: dict[tuple[float, str], list[str]] = {}
        served = {METRICS[engine].finished: METRICS[engine].served for engine in self.engines}
        for name in self.names["requests_finished"]:
            by_count.setdefault((self.finished_per_request[name], served[name]), []).append(name)
        rates = [
            f"sum(rate({self._selector(names, methods)}[{window}]))" + (f" / {count:.6g}" if count != 1 else "")
            for (count, methods), names in by_count.items()
        ]
        return rates[0] if len(rates) == 1 else " + ".join(f"({rate} or vector(0))" for rate in rates)

    def quantile(self, target: Target, quantile: float, window: str) -> str:
        """Query for a quantile of a latency in seconds; of engines with different buckets, that of the slowest."""
        queries = [histogram_query(name, quantile, self.matchers, window) for name in self.names.get(target.metric, ())]
        if target.metric == _WHOLE_ANSWER:
            pages = {METRICS[engine].times: METRICS[engine] for engine in self.engines}
            other = (page for page in pages.values() if page.quantiles_us or page.latency_per_second != 1)
            queries += [page.quantile_query(quantile, self.matchers, window) for page in other]
        if len(queries) == 1:
            return queries[0]
        apart = (f'label_replace({query}, "at", "{at}", "", "")' for at, query in enumerate(queries))
        return f"max({' or '.join(apart)})"

    def tells(self, target: Target) -> bool:
        """Whether any engine tells a latency, in whichever unit and form."""
        is_told = target.metric == _WHOLE_ANSWER and any(METRICS[engine].times for engine in self.engines)
        return is_told or self.publishes(target.metric)

    def has_histogram(self, target: Target) -> bool:
        """Whether every engine tells any quantile of a latency; summaries hold a few."""
        return target.metric != _WHOLE_ANSWER or not any(METRICS[engine].quantiles_us for engine in self.engines)

    def _selector(self, names: Sequence[str], more: str = "") -> str:
        matchers = ",".join(filter(None, (self.matchers, more)))
        if len(names) == 1:
            return f"{names[0]}{{{matchers}}}" if matchers else names[0]
        either = f'__name__=~"{"|".join(names)}"'
        return f"{{{','.join(filter(None, (either, matchers)))}}}"

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

    *matchers*: of the workload's series; None: the model's name, where all engines publish it as a label. Raises
    NotDeployable if there is no fleet, and InputError if an engine publishes no metrics that are known.
    """
    fleet, recommended = plan.fleet, plan.recommended
    if fleet is None or recommended is None:
        raise NotDeployable("the plan has no fleet to watch", hint="see its conflict, and plan again with other limits")
    planned = {group.engine: planned_engine(group) for group in fleet.groups}
    _check_published(planned)
    engines = sorted({engine for engine in planned.values() if engine is not None})
    usd_per_hour = fleet.cost.total_usd_per_month / HOURS_PER_MONTH
    replica_hours = math.fsum(
        hours.hours_per_week * group.instances[at] * group.replicas_per_instance
        for group in fleet.groups
        for at, hours in enumerate(fleet.hour_classes)
    )
    busiest = max(range(len(fleet.hour_classes)), key=lambda at: fleet.hour_classes[at].planned_requests_per_second)
    replicas = sum(group.instances[busiest] * group.replicas_per_instance for group in fleet.groups)
    carried = math.fsum(
        group.instances[busiest] * group.planned_requests_per_second_per_instance for group in fleet.groups
    )
    return Watched(
        workload=plan.workload["name"],
        matchers=_matchers(plan, engines) if matchers is None else _checked(matchers),
        names=_names(engines, is_one_pass=fleet.unit.is_one_pass),
        engines=tuple(engines),
        finished_per_request=_finished_per_request(plan, engines),
        usd_per_hour=usd_per_hour,
        usd_per_replica_hour=usd_per_hour * HOURS_PER_WEEK / replica_hours,
        usd_per_1000_requests=fleet.cost.usd_per_1000_requests,
        usd_per_million_output_tokens=fleet.cost.usd_per_million_output_tokens,
        budget_usd_per_month=plan.workload["limits"]["max_usd_per_month"] or fleet.cost.total_usd_per_month,
        budget_words="Budget" if plan.workload["limits"]["max_usd_per_month"] else "Planned",
        replicas=replicas,
        requests_per_second_per_replica=carried / replicas,
        peak_requests_per_second=fleet.hour_classes[busiest].planned_requests_per_second,
        targets=tuple(_targets(plan)),
    )


def _check_published(planned: Mapping[str, Engine | None]) -> None:
    """Refuse engines that do not tell their rate. Raises InputError with the engine and what it lacks."""
    counting = ", ".join(engine for engine, metrics in METRICS.items() if metrics.finished)
    for name, engine in planned.items():
        metrics = None if engine is None else METRICS.get(engine)
        if metrics is None or not metrics.finished:
            lack = "publishes no metrics that are known" if metrics is None else "does not count what it finishes"
            raise InputError(f"{name} {lack}", hint=f"known: {counting}")


def _targets(plan: Plan) -> Iterator[Target]:
    """Latencies that the workload promises: those of tokens, or of an answer in one pass."""
    slo = plan.workload["slo"]
    if plan.fleet is not None and plan.fleet.unit.is_one_pass:
        if (promise := promise_of(slo, plan.demand)) is not None:
            yield Target("latency", _WHOLE_ANSWER, promise.seconds, round(promise.beyond_percent / 100, 5))
        return
    for name in ("ttft", "tpot", "e2e"):
        if slo[f"{name}_p95_ms"] is not None:
            yield Target(name, f"{name}_seconds", slo[f"{name}_p95_ms"] / MS_PER_SECOND)


def _finished_per_request(plan: Plan, engines: Sequence[Engine]) -> Mapping[str, float]:
    """Name of a counter → its count of one request; vLLM counts each text, and each window of audio."""
    items = engine_requests(demanded(plan.demand))
    return {
        PAGE_NAMES[engine]["requests_finished"]: items if engine in _COUNTS_ITEMS else 1.0
        for engine in engines
        if "requests_finished" in PAGE_NAMES[engine]
    }


def _checked(matchers: str) -> str:
    """Matchers as they are given. Raises InputError if Prometheus would not take them for matchers."""
    if matchers and not _MATCHERS.fullmatch(matchers):
        raise InputError(
            f"{matchers!r} are not label matchers", where="--match", hint='such as namespace="chat",pod=~"chat-.+"'
        )
    return matchers


def _matchers(plan: Plan, engines: Sequence[Engine]) -> str:
    """The model's name, as generated code has engines tell it."""
    if set(engines) <= _TRITON:
        return f'model="{_served(plan)}"'
    if set(engines) <= {Engine.OPENVINO_MODEL_SERVER_ONNX}:
        return f'name="{_served(plan)}"'
    model = json.dumps(plan.workload["model"], ensure_ascii=False)
    return f"model_name={model}" if set(engines) <= _NAMED else ""


def _served(plan: Plan) -> str:
    return served_model(plan.workload["model"], str(plan.workload["name"]))


def _names(engines: Sequence[Engine], *, is_one_pass: bool) -> Mapping[str, tuple[str, ...]]:
    """Metric of the product → usual name on the page of each engine that has it."""
    names: dict[str, tuple[str, ...]] = {}
    for engine in engines:
        for metric, name in PAGE_NAMES[engine].items():
            if name not in names.get(metric, ()) and not (is_one_pass and metric in _OF_TOKENS):
                names[metric] = (*names.get(metric, ()), name)
    return names
