"""Demand of a workload, from whichever source it names: stated, a trace, samples, Prometheus or CloudWatch."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advisor.catalog import Catalog
from advisor.demand.busy import Busy, BusySecond, demand_from_busy
from advisor.demand.capped import with_capped
from advisor.demand.lengths import with_token_lengths
from advisor.demand.tally import arrival_rate, read_summary
from advisor.demand.values import Demand, Pictures, Unit
from advisor.errors import InputError
from advisor.models import Model
from advisor.models.catalog import model_names
from advisor.performance.model import PerformanceModel
from advisor.performance.serving import busy_second_or_reason
from advisor.records import replace
from advisor.requirements import beyond_model
from advisor.units import SECONDS_PER_MINUTE
from advisor.workload.closed_loop import batch_beside, deadline_slo, demand_as_declared, pictures_of
from advisor.workload.kinds import UNITS, counted_size, trace_columns, unit_of
from advisor.workload.measured_demand import (
    CloudWatchDemand,
    PrometheusDemand,
    Recorded,
    RecordedDemand,
    SampleDemand,
    TraceDemand,
)
from advisor.workload.values import DeclaredDemand, Workload

if TYPE_CHECKING:
    from advisor.demand.recorded import Within
    from advisor.demand.services import Wanted

_NO_SPAN_SECONDS = 1.0
"""Window of a trace whose requests all came within a second."""
CountProgress = Callable[[int], None]
"""Called with the number of requests read."""


def measure_demand(workload: Workload, model: Model, catalog: Catalog, performance: PerformanceModel) -> Demand:
    """Demand from whichever source the workload names, as it is planned for; see :func:`planned_demand`."""
    return planned_demand(read_demand(workload, model, catalog, performance), workload, model)


def planned_demand(demand: Demand, workload: Workload, model: Model) -> Demand:
    """Demand times the factors that the workload states, of its prompts too, without cached answers.

    Lone minutes far above all others are counted at one level, which the forecast and the replay share. Raises
    InputError if the requests hold no text that could be longer or shorter.
    """
    demand = _with_capped(demand)
    if workload.batch is not None:
        demand = replace(demand, beside=batch_beside(workload.batch, workload, model))
    if workload.demand_times != 1:
        told = f"planned for {workload.demand_times:g} times the demand ({demand.source})"
        demand = demand.times(workload.demand_times).with_notes(told)
    if workload.prompt_times != 1:
        if demand.unit not in (Unit.TOKENS, Unit.TEXTS):
            told = f"requests of {demand.unit.value} have no prompt to be longer or shorter"
            raise InputError(told, where=f"{workload.path}: demand.prompt_times", hint="leave it out")
        told = f"planned for prompts {workload.prompt_times:g} times as long ({demand.source})"
        demand = with_token_lengths(demand, input_factor=workload.prompt_times).with_notes(told)
    if workload.response_cache is not None and workload.response_cache.runs_already:
        return replace(demand, answered_ratio=workload.answered_ratio)
    return demand.with_response_cache(workload.answered_ratio)


def _with_capped(demand: Demand) -> Demand:
    """Demand whose profile and rates count lone minutes at the level that is planned for."""
    if demand.profile is None:
        return demand
    profile, capped = with_capped(demand.profile)
    if capped is None:
        return demand
    kept = np.nansum(profile.requests_per_minute) / np.nansum(demand.profile.requests_per_minute)
    rates = arrival_rate(profile.requests_per_minute, demand.requests_per_second.mean * float(kept))
    return replace(demand, profile=profile, requests_per_second=rates, capped=capped)


def read_demand(
    workload: Workload,
    model: Model,
    catalog: Catalog,
    performance: PerformanceModel,
    progress: CountProgress | None = None,
) -> Demand:
    """Demand as its source has it; of recorded requests of one size in that size, as their server counts them."""
    source = workload.demand
    if not isinstance(source, RecordedDemand):
        return _read(workload, model, catalog, performance, progress)
    unit, counted = unit_of(model, workload), counted_size(model, source, workload)
    sized = replace(workload, demand=replace(source, input_tokens=counted.size, output_tokens=counted.items))
    demand = _read(sized, model, catalog, performance, progress)
    demand = replace(demand, unit=unit, pictures=pictures_of(source.recorded.size))
    if counted.items is None or not unit.is_one_pass:
        return demand
    told = f"metrics count requests, each of which is taken to bring {counted.items:g} of the {unit}"
    return demand.with_notes(told)


def _read(
    workload: Workload,
    model: Model,
    catalog: Catalog,
    performance: PerformanceModel,
    progress: CountProgress | None,
) -> Demand:
    """Demand in the source's own count."""
    match workload.demand:
        case DeclaredDemand() as stated:
            return demand_as_declared(stated, workload, model)
        case TraceDemand(path):
            return _demand_of_trace(path, workload, model, progress)
        case SampleDemand() as sampled:
            measured = _demand_of_samples(sampled, workload, model, catalog, performance)
            return measured.with_notes(*_fleet_notes(sampled, workload))
        case PrometheusDemand() as watched:
            return _demand_of_server(watched, workload, model, catalog, performance)
        case CloudWatchDemand() as watched:
            return _demand_of_cloudwatch(watched, workload, model, catalog, performance)


def as_demanded(workload: Workload, demand: Demand) -> Workload:
    """The workload with what follows from its demand.

    That is the prefix-cache hit ratio that was measured with it, where none is stated; and the deadline of batch work,
    which is a latency that every item has to keep.
    """
    if demand.batch is not None:
        return replace(workload, slo=deadline_slo(demand.batch, demand.unit))
    if isinstance(workload.demand, PrometheusDemand | SampleDemand) and not workload.demand.cache_is_stated:
        return replace(workload, prefix_cache_hit_ratio=demand.tokens.prefix_cache_hit_ratio)
    return workload


def _demand_of_trace(path: Path, workload: Workload, model: Model, progress: CountProgress | None) -> Demand:
    """Demand of a trace in the unit of the model, or of its summary."""
    is_summary = path.suffix == ".json"
    demand = _read_summary(path, workload, model) if is_summary else _read_trace(path, workload, model, progress)
    if demand.window_seconds is not None and demand.window_seconds <= _NO_SPAN_SECONDS:
        raise InputError(
            f"the trace is too short to count a rate: it spans a second at most (requests: {demand.requests or 0:,})",
            where=str(path),
            hint="give a longer trace, or state demand.declared",
        )
    if demand.output_tokens.max == 0:
        told = "no request generated a token, and plans are made for models that answer token by token"
        raise InputError(told, where=str(path), hint="check the column output_tokens")
    return demand


def _read_summary(path: Path, workload: Workload, model: Model) -> Demand:
    """Demand of a summary, which has to be in the unit of the model."""
    unit, demand = unit_of(model, workload), read_summary(path)
    if demand.unit is not unit:
        raise InputError(
            f"the summary counts {demand.unit.value}, and requests to {model.name} are counted in {unit.value}",
            where=str(path),
            hint=f"make it again of requests to it: `advisor demand summarise TRACE --model {model.name}`",
        )
    limit = model.max_context_tokens
    if unit is Unit.TEXTS and limit is not None and demand.input_tokens.max > limit and workload.prompt_times == 1:
        raise beyond_model(unit, demand.input_tokens.max, model.name, limit, str(path))
    return demand


def _read_trace(path: Path, workload: Workload, model: Model, progress: CountProgress | None) -> Demand:
    """Demand of a trace in the unit of the model."""
    from advisor.demand.trace import first_longer, read_trace

    unit = unit_of(model, workload)
    columns, limit = trace_columns(model, unit), model.max_context_tokens
    demand = replace(read_trace(path, progress, columns), unit=unit)
    if unit is Unit.PICTURES:
        demand = replace(demand, pictures=_pictures_of(path, demand))
    longest = {Unit.TEXTS: demand.input_tokens.max, Unit.TOKENS: demand.longest_request_tokens}.get(unit, 0.0)
    is_left_out = unit is Unit.TOKENS and workload.context_tokens is not None
    if limit is not None and longest > limit and workload.prompt_times == 1 and not is_left_out:
        raise beyond_model(unit, longest, model.name, limit, first_longer(path, columns, limit))
    return demand


def _pictures_of(path: Path, demand: Demand) -> Pictures:
    """Pictures that a request of a trace asks for: of the mean width, and as many pixels as they have in the mean."""
    from advisor.demand.trace import mean_size
    from advisor.demand.values import OF_PIXELS, OF_WIDTHS

    width = mean_size(path, OF_WIDTHS)
    return Pictures(demand.output_tokens.mean, round(width), round(mean_size(path, OF_PIXELS) / width))


def _demand_of_samples(
    sampled: SampleDemand, workload: Workload, model: Model, catalog: Catalog, performance: PerformanceModel
) -> Demand:  # fmt: skip
    from advisor.demand.recorded import busy_profile, hourly_use, read_fleet
    from advisor.demand.services import demand_of_views
    from advisor.samples.need.fleet import notes_on
    from advisor.samples.store.reading import Store

    store, recorded = Store(sampled.places), sampled.recorded
    fleet = read_fleet(store, _within(sampled))
    asked = _asked_of("samples", store.where, sampled, model)
    counted = demand_of_views(fleet.views, asked, "counters of the serving engines")
    notes = (*notes_on(fleet.needs), *(f"samples left out: {note}" for note in store.notes()))

    def with_use(demand: Demand) -> Demand:
        return replace(demand, use=hourly_use(store, _within(sampled).window(store), sampled.hosts))

    if counted is not None:
        return with_use(counted.with_notes(*notes))
    lengths = _stated_lengths(sampled, model, "samples", store.where)
    busy = busy_profile(store, fleet.window, fleet.accelerators, sampled.hosts)
    observed = Busy(busy.busy, busy.saturated, busy.present, SECONDS_PER_MINUTE, busy.start_seconds)
    serves = _busy_second(workload, model, catalog, lengths, performance)
    demand = demand_from_busy(observed, serves, sampled.requests_per_day, lengths)
    return with_use(demand.with_notes(*notes, *_idle_name(recorded)))


def _within(sampled: SampleDemand) -> "Within":
    from advisor.demand.recorded import Within

    recorded = sampled.recorded
    return Within(sampled.hosts, sampled.window_days, recorded.from_seconds, recorded.until_seconds)


def _idle_name(recorded: Recorded) -> tuple[str, ...]:
    """Note on a served name that selects nothing, because no serving engine was seen."""
    told = "no serving engine was seen, so `model` under demand selects nothing: all that the accelerators did counts"
    return () if recorded.served_as is None else (told,)


def _fleet_notes(sampled: SampleDemand, workload: Workload) -> Sequence[str]:
    """Notes on the hosts of the samples, where the workload says nothing or something else of them."""
    from advisor.samples.store.hosts import running_fleet

    fleet, current = running_fleet(sampled.places, sampled.hosts), workload.current
    if not fleet.machines or fleet.unknown:
        return ()
    words = " and ".join(str(machines) for machines in fleet.machines)
    if current is None:
        return (f"the sampled hosts are {words}: with `current: samples` the plan is compared with them",)
    kind = attrgetter("provider", "region", "instance_type", "count")
    is_current = list(map(kind, fleet.machines)) == [kind(current)]
    return () if is_current else (f"`current` is not what the sampled hosts are: {words}",)


def _demand_of_server(
    watched: PrometheusDemand, workload: Workload, model: Model, catalog: Catalog, performance: PerformanceModel
) -> Demand:  # fmt: skip
    from advisor.demand.monitored import Monitored, busy_over_time, engine_demand
    from advisor.samples.exporters import near_miss_words
    from advisor.samples.query.prometheus import PrometheusEndpoint

    sigv4 = None if watched.sigv4 is None else (watched.sigv4.region, watched.sigv4.profile)
    access = PrometheusEndpoint.of(watched.url, token_file=watched.token_file, ca_file=watched.ca_file, sigv4=sigv4)
    recorded = watched.recorded
    span = (watched.window_days, recorded.from_seconds, recorded.until_seconds)
    server = Monitored.between(access, *span, watched.selector, watched.metrics_file)
    counted = engine_demand(server, _asked_of("prometheus", watched.url, watched, model))
    if counted is not None:
        return counted
    alike = near_miss_words(server.questions.table, server.names)
    lengths = _stated_lengths(watched, model, "prometheus", watched.url, alike)
    observed = busy_over_time(server)
    serves = _busy_second(workload, model, catalog, lengths, performance)
    demand = demand_from_busy(observed, serves, watched.requests_per_day, lengths)
    demand = replace(demand, source=f"accelerators at {server.source}")
    return demand.with_notes(*server.notes, *server.questions.api.warnings, *_idle_name(recorded))


def _demand_of_cloudwatch(
    watched: CloudWatchDemand, workload: Workload, model: Model, catalog: Catalog, performance: PerformanceModel
) -> Demand:  # fmt: skip
    from advisor.demand.monitored.cloudwatch import CloudWatched, busy_in_cloudwatch, endpoint_demand
    from advisor.samples.query.cloudwatch import CloudWatchApi

    where, recorded = f"cloudwatch {watched.region}", watched.recorded
    lengths = _stated_lengths(watched, model, "cloudwatch", where)
    api = CloudWatchApi.of(watched.region, watched.profile, where)
    whole = CloudWatched.between(api, watched.window_days, recorded.from_seconds, recorded.until_seconds)
    asked = replace(whole, endpoint=watched.endpoint, component=recorded.served_as, hosts=watched.hosts)
    counted = endpoint_demand(asked, lengths)
    if counted is not None:
        return counted
    observed = busy_in_cloudwatch(asked)
    serves = _busy_second(workload, model, catalog, lengths, performance)
    demand = demand_from_busy(observed, serves, watched.requests_per_day, lengths)
    return replace(demand, source=f"accelerators in {where}").with_notes(*api.messages)


def _busy_second(
    workload: Workload, model: Model, catalog: Catalog, lengths: tuple[float, float], performance: PerformanceModel
) -> BusySecond | InputError:  # fmt: skip
    """Requests that a busy accelerator of the current deployment can have served, or why that is not known."""
    if UNITS[model.task].is_one_pass:
        return InputError(
            "no serving engine counts requests there, and busy accelerators do not tell how many requests a model that "
            "answers in one pass had",
            where=workload.demand_place,
            hint="state requests_per_day under the source of the demand, or watch an engine of docs/metrics.md",
        )
    return busy_second_or_reason(workload, model, catalog, lengths, performance)


def _asked_of(kind: str, where: str, source: SampleDemand | PrometheusDemand, model: Model) -> "Wanted":
    """Whose demand is asked for, and what the workload states of it."""
    from advisor.demand.services import Wanted

    return Wanted(
        model=model.name,
        where=where,
        field=f"demand.{kind}",
        served_as=source.recorded.served_as,
        known_models=model_names(),
        context_tokens=model.max_context_tokens,
        input_tokens=source.input_tokens,
        output_tokens=source.output_tokens,
        requests_per_day=source.requests_per_day,
        is_one_pass=UNITS[model.task].is_one_pass,
    )


def _stated_lengths(
    source: RecordedDemand, model: Model, kind: str, where: str, alike: str = ""
) -> tuple[float, float]:  # fmt: skip
    """Lengths of a request, where nothing counts them; names that look alike go into the hint."""
    is_one_pass = UNITS[model.task].is_one_pass
    items = 1.0 if is_one_pass and source.output_tokens is None else source.output_tokens
    if source.input_tokens is None or items is None:
        keys = "the sizes of its kind (docs/kinds.md)" if is_one_pass else "input_tokens and output_tokens"
        add = f"add {keys} under demand.{kind}, or watch an engine of docs/metrics.md too"
        told = "no serving engine counts requests and tokens there, and the workload states no token lengths"
        raise InputError(told, where=where, hint="; ".join(filter(None, (add, alike))))
    return source.input_tokens, items
