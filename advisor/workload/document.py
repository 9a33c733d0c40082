"""Workload file → :class:`Workload`. The names that only the catalog knows are checked in ``requirements``."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.catalog.deployment import PROVIDER_OF_TARGET
from advisor.catalog.values import Purchase
from advisor.records import replace
from advisor.workload.declared_fields import (
    BATCH_KEYS,
    DECLARED_KEYS,
    RATE,
    RECORDED_KEYS,
    completed,
    read_batch_work,
    read_declared,
    read_prometheus,
    read_recorded,
    read_zone,
)
from advisor.workload.measured_demand import CloudWatchDemand, PrometheusDemand, SampleDemand, TraceDemand
from advisor.workload.planning_fields import (
    LIMIT_KEYS,
    SCALING_KEYS,
    read_adapters,
    read_commitments,
    read_exclude,
    read_limits,
    read_measured,
    read_response_cache,
    read_scaling,
    read_tags,
)
from advisor.workload.values import (
    DEFAULT_PRECISIONS,
    MOST_GROWTH_PER_YEAR,
    PRECISIONS,
    DeclaredDemand,
    DemandSource,
    Deployment,
    Exclude,
    Limits,
    Routing,
    Scaling,
    Slo,
    Workload,
)
from advisor.yaml_fields import Field, read_document

INCOMPLETE = "incomplete"  # folder below workload files for those that lack something
_KEYS = (
    "name", "model", "precisions", "slo", "demand", "providers", "regions", "purchase", "context_tokens", "current",
    "limits", "users", "residency", "commitments", "scaling", "routing", "as_of", "compare", "accelerators",
    "instance_types", "engines", "exclude", "listed_only", "existing_cluster", "tags", "response_cache",
    "adapters", "targets",
)  # fmt: skip
_SLO_KEYS = ("ttft_p95", "tpot_p95", "e2e_p95")
_LATENCIES: Mapping[str, float] = {"latency_p50": 0.50, "latency_p95": 0.95, "latency_p99": 0.99}
"""Share of the requests that each target for whole answers is stated for."""
_REAL_TIME = "real_time_factor"
_SAMPLE_RATE = "samples_per_second"
_WITHIN = "within_ratio"
_EVERY_SLO_KEY = (*_SLO_KEYS, *_LATENCIES, _REAL_TIME, _SAMPLE_RATE, _WITHIN)
_DEMAND_SOURCES = ("trace", "summary", "samples", "declared", "batch", "prometheus", "cloudwatch")
_BATCH = "batch"
"""Source that may stand beside another."""
_HIT_RATIO = "prefix_cache_hit_ratio"
_TIMES = "times"
_MOST_TIMES = 1e6
_MOST_CURRENT_INSTANCES = 100_000
_PROMPT_TIMES = "prompt_times"
_BESIDE_SOURCE = (_HIT_RATIO, "growth_per_year", "horizon", "timezone", _TIMES, _PROMPT_TIMES)
_SAMPLE_KEYS = ("path", "hosts", *RECORDED_KEYS)
_CLOUDWATCH_KEYS = ("region", "profile", "endpoint", "hosts", *RECORDED_KEYS)
_CURRENT_KEYS = ("provider", "region", "instance_type", "count", "purchase", "measured")
_OF_SAMPLES = "samples"
_OF_REQUESTS = (Purchase.ON_DEMAND,)
_OF_BATCH = (Purchase.ON_DEMAND, Purchase.SPOT)
"""Ways of paying where none is stated: batch work may be cut off and goes on later."""
_PURCHASES = tuple(purchase.value for purchase in Purchase)
_DEFAULT_PROVIDERS = ("aws", "gcp", "azure")
_ROUTINGS = tuple(routing.value for routing in Routing)
_MAX_NAME_LENGTH = 100
_PLANNING_DAYS = (dt.date(1990, 1, 1), dt.date(2099, 12, 31))
"""First and last day to plan for, in the years that the times of a trace may have."""
_ELSEWHERE: Mapping[str, str] = {
    key: level
    for keys, level in (
        (_KEYS, "at the top level"),
        (_EVERY_SLO_KEY, "under slo"),
        (_BESIDE_SOURCE, "under demand"),
        (BATCH_KEYS, "under demand.batch"),
        (DECLARED_KEYS, "under demand.declared"),
        (SCALING_KEYS, "under scaling"),
        (LIMIT_KEYS, "under limits"),
    )
    for key in keys
}
"""Where each key belongs, for whoever writes it at another level."""
_READERS: Mapping[str, Callable[[Field], Any]] = {
    "users": Field.shares,
    **dict.fromkeys(("residency", "compare", "accelerators", "instance_types", "engines"), Field.texts),
    "routing": lambda field: Routing(field.choice(_ROUTINGS)),
    "as_of": lambda field: field.date(*_PLANNING_DAYS),
    "listed_only": Field.truth,
    "existing_cluster": Field.truth,
    "targets": lambda field: field.choices(tuple(PROVIDER_OF_TARGET)),
    "tags": read_tags,
    "adapters": read_adapters,
}
"""Reader of each key that becomes the field of its name as it stands."""


def read_workload(path: Path | str, prometheus: PrometheusDemand | None = None) -> Workload:
    """Read and validate a workload file.

    *prometheus*: server to take demand from, in place of the source that the file names, which may then be missing.
    Raises InputError with file, line, field, and how to fix it.
    """
    return workload_of(read_document(Path(path)), prometheus)


def workload_of(root: Field, prometheus: PrometheusDemand | None = None) -> Workload:
    """The workload that a mapping states, a whole file or part of another; see :func:`read_workload`."""
    fields = root.mapping(_KEYS, _ELSEWHERE)
    for required in ("name", "model", *(() if prometheus else ("demand",))):
        if required not in fields:
            root.fail(f"the key '{required}' is missing", f"add a line '{required}: …'")
    if len(fields["name"].text()) > _MAX_NAME_LENGTH:
        fields["name"].fail("the name is too long", f"use at most {_MAX_NAME_LENGTH} characters")
    demand = _instead_of(fields.get("demand"), prometheus) if prometheus else _demand(fields["demand"])
    providers = fields["providers"].texts() if "providers" in fields else ()
    current = _current(fields["current"], demand, providers) if "current" in fields else None
    beside = _batch_beside(fields.get("demand"), is_stated=prometheus is None)
    is_batch = isinstance(demand, DeclaredDemand) and demand.batch is not None
    if is_batch and "slo" in fields:
        fields["slo"].fail("the target of batch work is its deadline", "take slo out")
    if is_batch and "scaling" in fields:
        fields["scaling"].fail("machines of batch work run in its hours alone", "take scaling out")
    usual_purchase = _OF_BATCH if is_batch else _OF_REQUESTS
    usual_providers = (current.provider,) if current is not None and "regions" not in fields else _DEFAULT_PROVIDERS
    exclude = read_exclude(fields.get("exclude"), _ELSEWHERE)
    _check_targets(fields, providers or usual_providers)
    limits = read_limits(fields.get("limits"), _ELSEWHERE, Limits(fault_tolerant_ratio=1.0) if is_batch else Limits())
    return Workload(
        name=fields["name"].text(),
        model=fields["model"].text(),
        precisions=fields["precisions"].choices(PRECISIONS) if "precisions" in fields else DEFAULT_PRECISIONS,
        slo=_slo(fields.get("slo")),
        demand=demand,
        providers=providers or usual_providers,
        regions=fields["regions"].texts() if "regions" in fields else (),
        purchase=_purchase(fields, exclude, usual_purchase),
        context_tokens=fields["context_tokens"].count(1) if "context_tokens" in fields else None,
        current=current,
        limits=limits,
        path=root.path,
        lines=_lines(fields),
        commitments=read_commitments(fields.get("commitments")),
        scaling=Scaling(scale_to_zero=True) if is_batch else read_scaling(fields.get("scaling"), _ELSEWHERE),
        exclude=exclude,
        response_cache=read_response_cache(fields["response_cache"], limits) if "response_cache" in fields else None,
        near_current=current is not None and not {"providers", "regions"} & set(fields),
        **_read_beside(fields.get("demand")),
        **{key: read(fields[key]) for key, read in _READERS.items() if key in fields},
        batch=beside,
    )


def _purchase(fields: Mapping[str, Field], exclude: Exclude, usual: tuple[Purchase, ...]) -> tuple[Purchase, ...]:
    """Ways of paying that are stated, or else the usual ones, of which one at least is not excluded."""
    stated = tuple(map(Purchase, fields["purchase"].choices(_PURCHASES))) if "purchase" in fields else usual
    if set(stated) <= set(exclude.purchase):
        hint = "name another under purchase, or exclude fewer"
        fields["exclude"].fail(f"no way of paying is left of {', '.join(stated)}", hint)
    return stated


def _check_targets(fields: Mapping[str, Field], providers: Sequence[str]) -> None:
    """Refuse targets of which none is of a cloud to plan on."""
    if "targets" not in fields:
        return
    names = fields["targets"].choices(tuple(PROVIDER_OF_TARGET))
    clouds = {PROVIDER_OF_TARGET[name] for name in names}
    if not clouds.intersection(providers) and ("" not in clouds or set(providers) <= set(_DEFAULT_PROVIDERS)):
        own = [name for name, cloud in PROVIDER_OF_TARGET.items() if cloud in providers]
        fields["targets"].fail(
            f"none of them runs on {' or '.join(providers)}, where the plan may run",
            f"name one of {', '.join(own)}, or other providers",
        )


def _slo(field: Field | None) -> Slo:
    if field is None:
        return Slo()
    fields = field.mapping(_EVERY_SLO_KEY, _ELSEWHERE)
    if _SAMPLE_RATE in fields:
        fields[_SAMPLE_RATE].fail(
            "the rate to serve is the demand, not a target", f"state it as {RATE} under demand.declared"
        )
    targets = {key: fields[key].duration_ms() if key in fields else None for key in _SLO_KEYS}
    latency_ms, percentile = _latency(field, fields)
    usual = percentile if percentile < Slo().latency_percentile else Slo().within_ratio
    return Slo(
        ttft_p95_ms=targets["ttft_p95"],
        tpot_p95_ms=targets["tpot_p95"],
        e2e_p95_ms=targets["e2e_p95"],
        within_ratio=fields[_WITHIN].number(0, exclusive=True, maximum=1) if _WITHIN in fields else usual,
        latency_ms=latency_ms,
        latency_percentile=percentile,
        real_time_factor=fields[_REAL_TIME].number(0, exclusive=True) if _REAL_TIME in fields else None,
    )


def _latency(field: Field, fields: Mapping[str, Field]) -> tuple[float | None, float]:
    """Target for whole answers in ms, and the share of the requests that it is stated for."""
    stated = [key for key in _LATENCIES if key in fields]
    if len(stated) > 1:
        field.fail(f"{' and '.join(stated)} cannot both be confirmed by one replay", f"keep {stated[-1]}")
    if not stated:
        return None, Slo().latency_percentile
    return fields[stated[0]].duration_ms(), _LATENCIES[stated[0]]


def _demand(field: Field) -> DemandSource:
    sources = _sources(field)
    if len(sources) > 1:
        sources.pop(_BATCH, None)
    if len(sources) != 1:
        verb, choice = ("keep", sources) if sources else ("add", _DEMAND_SOURCES)
        field.fail("demand needs exactly one source", f"{verb} one of: {', '.join(choice)}")
    (kind, source), *_ = sources.items()
    if kind == "declared":
        return read_declared(source)
    if kind == _BATCH:
        return read_batch_work(source, _ELSEWHERE)
    if kind == "samples":
        fields = source.all_of(_SAMPLE_KEYS, optional=_SAMPLE_KEYS[1:])
        return SampleDemand(
            places=tuple(
                place.text() if "://" in place.text() else str(_relative(place)) for place in fields["path"].items()
            ),
            hosts=fields["hosts"].texts() if "hosts" in fields else (),
            window_days=fields["window"].window_days() if "window" in fields else None,
            **read_recorded(fields, cache_is_stated=_HIT_RATIO in _beside(field)),
        )
    if kind == "prometheus":
        return read_prometheus(source, cache_is_stated=_HIT_RATIO in _beside(field))
    if kind == "cloudwatch":
        return _cloudwatch(source, cache_is_stated=_HIT_RATIO in _beside(field))
    return TraceDemand(_relative(source))


def _batch_beside(field: Field | None, *, is_stated: bool) -> DeclaredDemand | None:
    """Batch work of the key ``demand`` beside another source; None where there is none, or nothing else."""
    sources = {} if field is None else _sources(field)
    if _BATCH not in sources or (is_stated and len(sources) == 1):
        return None
    return read_batch_work(sources[_BATCH], _ELSEWHERE)


def _sources(field: Field) -> dict[str, Field]:
    fields = field.mapping((*_DEMAND_SOURCES, *_BESIDE_SOURCE), _ELSEWHERE)
    return {kind: source for kind, source in fields.items() if kind not in _BESIDE_SOURCE}


def _beside(field: Field | None) -> dict[str, Field]:
    fields = {} if field is None else field.mapping((*_DEMAND_SOURCES, *_BESIDE_SOURCE))
    return {key: stated for key, stated in fields.items() if key in _BESIDE_SOURCE}


def _read_beside(demand: Field | None) -> dict[str, Any]:
    """Values stated beside the source of demand, by the field of :class:`Workload` that it becomes."""
    fields = _beside(demand)
    values: dict[str, Any] = {}
    if _HIT_RATIO in fields:
        values["prefix_cache_hit_ratio"] = fields[_HIT_RATIO].number(0, maximum=1)
        if values["prefix_cache_hit_ratio"] == 1:
            fields[_HIT_RATIO].fail("a prompt is never cached to its last token", "give a share below 1")
    if "growth_per_year" in fields:
        values["growth_per_year"] = fields["growth_per_year"].number(-1, exclusive=True, maximum=MOST_GROWTH_PER_YEAR)
    if "horizon" in fields:
        values["horizon_days"] = fields["horizon"].days()
    if "timezone" in fields:
        read_zone(fields["timezone"])
        values["timezone"] = fields["timezone"].text()
    for key, name in ((_TIMES, "demand_times"), (_PROMPT_TIMES, "prompt_times")):
        if key in fields:
            values[name] = fields[key].number(0, exclusive=True, maximum=_MOST_TIMES)
    return values


def _instead_of(field: Field | None, given: PrometheusDemand) -> PrometheusDemand:
    """A server given on the command line, with what the file states of it or of the requests."""
    if field is None:
        return given
    stated = {kind: source for kind, source in _sources(field).items() if kind != _BATCH}
    is_stated = _HIT_RATIO in _beside(field)
    if "prometheus" in stated:
        return completed(given, read_prometheus(stated["prometheus"], cache_is_stated=is_stated))
    demand = _demand(field) if stated else None
    if isinstance(demand, SampleDemand | DeclaredDemand | CloudWatchDemand):
        given = replace(given, input_tokens=demand.input_tokens, output_tokens=demand.output_tokens)
    if isinstance(demand, SampleDemand | CloudWatchDemand):
        given = replace(given, requests_per_day=demand.requests_per_day, recorded=demand.recorded)
    return replace(given, cache_is_stated=is_stated)


def _cloudwatch(field: Field, *, cache_is_stated: bool) -> CloudWatchDemand:
    fields = field.all_of(_CLOUDWATCH_KEYS, optional=_CLOUDWATCH_KEYS[1:])
    if "endpoint" in fields and "hosts" in fields:
        fields["hosts"].fail("an endpoint's instances are not hosts of CloudWatch", "keep either endpoint or hosts")
    return CloudWatchDemand(
        region=fields["region"].text(),
        profile=fields["profile"].text() if "profile" in fields else None,
        endpoint=fields["endpoint"].text() if "endpoint" in fields else None,
        hosts=fields["hosts"].texts() if "hosts" in fields else (),
        window_days=fields["window"].window_days() if "window" in fields else CloudWatchDemand("").window_days,
        **read_recorded(fields, cache_is_stated=cache_is_stated),
    )


def _current_of_samples(field: Field, demand: DemandSource) -> Deployment:
    """Deployment that the hosts of the samples report."""
    from advisor.samples.store.hosts import running_fleet  # noqa: PLC0415 - few workloads ask, and it loads pyarrow

    field.choice((_OF_SAMPLES,))
    if not isinstance(demand, SampleDemand):
        field.fail(
            "only hosts that are sampled say what runs today", "take the demand from samples, or write `current` out"
        )
    fleet = running_fleet(demand.places, demand.hosts)
    if fleet.unknown or not fleet.machines:
        field.fail("not all hosts say what they are", fleet.unknown_words() or "no host has samples there")
    if len({replace(machines, count=0, purchase=_paid(machines.purchase)) for machines in fleet.machines}) > 1:
        kinds = " and ".join(str(machines) for machines in fleet.machines)
        field.fail(f"the hosts are of several kinds: {kinds}", "choose one kind with `hosts` under demand.samples")
    machines, count = fleet.machines[0], sum(machines.count for machines in fleet.machines)
    return Deployment(
        machines.provider, machines.region, machines.instance_type, count, Purchase(_paid(machines.purchase))
    )


def _paid(purchase: str) -> str:
    """How sampled hosts are paid for; on demand where they do not say."""
    return purchase if purchase in _PURCHASES else Purchase.ON_DEMAND.value


def _current(field: Field, demand: DemandSource, providers: tuple[str, ...]) -> Deployment:
    """Deployment of today; *providers*: those that the workload names, a single one of which is its own."""
    if field.is_single:
        return _current_of_samples(field, demand)
    fields = field.all_of(_CURRENT_KEYS, optional=("provider", "purchase", "measured"))
    purchase = fields["purchase"].choice(_PURCHASES) if "purchase" in fields else Purchase.ON_DEMAND
    return Deployment(
        provider=fields["provider"].text() if "provider" in fields else _provider_of(field, fields, providers),
        region=fields["region"].text(),
        instance_type=fields["instance_type"].text(),
        count=fields["count"].count(1, _MOST_CURRENT_INSTANCES),
        purchase=Purchase(purchase),
        measured=read_measured(fields["measured"]) if "measured" in fields else None,
    )


def _provider_of(field: Field, fields: Mapping[str, Field], providers: tuple[str, ...]) -> str:
    """The provider of what runs today where it is not stated: the only one to plan for, or to have the type."""
    if len(providers) == 1:
        return providers[0]
    from advisor.catalog import load_catalog  # noqa: PLC0415 - few workloads leave it out

    name = fields["instance_type"].text()
    having = sorted({provider for provider, type_name in load_catalog().instance_types if type_name == name})
    if len(having) != 1:
        field.fail("missing: provider", f"add provider{': ' if having else ''}{' or '.join(having)} under {field.name}")
    return having[0]


def _relative(field: Field) -> Path:
    """A path in the file is relative to the file."""
    return field.path.parent / Path(field.text()).expanduser()


def _lines(fields: dict[str, Field]) -> dict[str, int]:
    """Line of each field, and of what lies one level down: ``current.region``, ``regions[1]``."""
    lines: dict[str, int] = {}
    for name, field in fields.items():
        lines[name] = field.line
        value = getattr(field.node, "value", None)
        for index, entry in enumerate(value if isinstance(value, list) else ()):
            is_pair = isinstance(entry, tuple)
            node, key = (entry[0], f"{name}.{entry[0].value}") if is_pair else (entry, f"{name}[{index}]")
            lines[key] = int(node.start_mark.line) + 1
    return lines
