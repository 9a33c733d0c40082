"""Demand, model, SLO and limits → what every offer is measured against.

Here the names in the workload meet the catalog: an unknown provider, region or instance type is refused with its
line and the nearest known names.
"""

import math
from collections.abc import Iterator

import numpy as np

from advisor.catalog import Catalog
from advisor.catalog.one_pass_engines import FORMATS
from advisor.demand.values import Demand, Unit
from advisor.errors import InputError
from advisor.models.adapters import with_adapters
from advisor.models.model import Model, TextAnswer
from advisor.names import suggestion
from advisor.records import dataclass, replace
from advisor.units import DAYS_PER_YEAR, FLOP_PER_TFLOP, ROUNDING, rounded
from advisor.workload.holds import check_engine_kind, check_holds, check_known, unsold_holds
from advisor.workload.kinds import UNITS, check_targets, unit_of
from advisor.workload.measured_demand import PrometheusDemand, SampleDemand
from advisor.workload.planning_fields import adapter_notes, check_base
from advisor.workload.scope import in_scope, scope_notes
from advisor.workload.values import DEFAULT_PRECISIONS, WIDE_PRECISIONS, DeclaredDemand, Deployment, Slo, Workload

CONTEXT_MARGIN = 2.0
"""Longest request assumed ÷ the one declared length, where no trace shows the longest."""
CONTEXT_STEP_TOKENS = 256
MOST_REQUESTS_PER_SECOND = 10_000.0
"""Busiest minute that is planned for: more requests than these 600,000 are not replayed one by one."""
MOST_AT_ONCE = 5_000.0
"""Requests of a burst that are planned for within a second: thousands of fleets for more would be replayed in vain."""
_BURST_RATIO = 4.0
"""Requests of a burst's second ÷ those of a mean second of its minute, below which it is a busy minute."""
_MOST_PARTS = 1000
"""More equal workloads than this are no advice."""
FEWEST_REQUESTS_PER_SECOND = 1e-9
"""Mean rate that is planned for: costs per request stay numbers that can be read."""
_LARGEST_EXPONENT = 300.0
_HALF = "fp16"


@dataclass(frozen=True, slots=True, eq=False)
class Requirements:
    """Load that has to be served, and the rules for it."""

    workload: Workload
    model: Model
    demand: Demand
    context_tokens: int
    """Longest request to serve, prompt and answer together."""
    notes: tuple[str, ...]
    measured_engines: frozenset[tuple[str, str]] = frozenset()
    """Accelerators and engines that the model's speed was measured on: planned beside the preferred engine."""

    @property
    def lossy_precisions(self) -> tuple[str, ...]:
        """Precisions that the workload names after the published one, and that keep less of the model's quality."""
        own = self.model.checkpoint.precision
        published = WIDE_PRECISIONS if own in WIDE_PRECISIONS else (own,)
        order = self.workload.precisions
        first = next((at for at, name in enumerate(order) if name in published), len(order))
        return tuple(name for name in order[first:] if name not in (*published, *WIDE_PRECISIONS))

    def loss_rank(self, precision: str) -> int:
        """Rank of a precision among the lossy ones, from 1; 0: it is none."""
        lossy = self.lossy_precisions
        return lossy.index(precision) + 1 if precision in lossy else 0


def require(workload: Workload, model: Model, demand: Demand, catalog: Catalog) -> Requirements:
    """Check the workload against catalog, model and demand.

    Raises InputError for a name that the catalog does not know, or requests longer than the model's context.
    """
    check_names(workload, catalog)
    if workload.clock is not None and demand.profile is not None:
        demand = replace(demand, profile=workload.clock.moved(demand.profile))
    workload = _in_own_precision(in_scope(workload, catalog), model, catalog)
    _check_unit(workload, model, demand)
    check_engine_kind(workload, model, demand.unit, catalog)
    check_targets(workload, model, demand.unit)
    _check_precisions(workload, demand)
    _check_rate(workload, demand)
    _check_burst(workload, demand)
    _check_run_rate(workload, demand)
    context_tokens = _context_tokens(workload, model, demand)
    _check_left_out(workload, demand, context_tokens)
    model = _adapted(model, workload)
    workload = workload if model.adapters is None else replace(workload, adapters=model.adapters)
    regions = tuple(
        f"{provider} has none of the regions given, so it is left out"
        for provider in workload.providers
        if workload.regions and not set(workload.regions) & set(catalog.regions_of(provider))
    )
    notes = (
        *demand.notes,
        *_length_notes(workload, demand, context_tokens),
        *_model_notes(model, demand),
        *adapter_notes(model.adapters, workload.prefix_cache_hit_ratio or demand.tokens.prefix_cache_hit_ratio),
        *scope_notes(workload, catalog),
        *regions,
        *unsold_holds(workload, catalog),
        *_idle_limits(workload, catalog),
    )
    return Requirements(workload, model, demand, context_tokens, notes)


def _in_own_precision(workload: Workload, model: Model, catalog: Catalog) -> Workload:
    """The workload with the precision that the model is published or stored in, where the workload names none.

    Weights of 16 and 32 bit are planned in 16 bit, in the type that runs today first; quantised weights as they are, as
    are graphs, which compute in what they are stored in, and trees: no server compares in 16 bit.
    """
    own = model.checkpoint
    if "precisions" in workload.lines or workload.precisions != DEFAULT_PRECISIONS:
        return workload
    is_as_stored = own.file_bytes and (UNITS.get(model.task) is Unit.ROWS or model.family in FORMATS)
    if own.precision in WIDE_PRECISIONS and not is_as_stored:
        return replace(workload, precisions=(_HALF, *DEFAULT_PRECISIONS)) if _runs_half(workload, catalog) else workload
    return replace(workload, precisions=(own.precision,))


def _runs_half(workload: Workload, catalog: Catalog) -> bool:
    """Whether today's accelerators serve fp16 and no bf16, as T4 do: a model published in bf16 runs in fp16 there."""
    current = workload.current
    if current is None:
        return False
    chip = catalog.instance_type(current.provider, current.instance_type).accelerator
    served = [name for name in (_HALF, *DEFAULT_PRECISIONS) if chip and catalog.preferred_engine(chip, name)]
    return served == [_HALF]


def _adapted(model: Model, workload: Workload) -> Model:
    """The model with the adapters that the workload names, or those that its file brought."""
    adapters = workload.adapters or model.adapters
    if adapters is None:
        return model
    where = workload.where("adapters" if workload.adapters else "model")
    if model.adapters is not None and adapters != model.adapters:
        hint = f"write model: {model.name}, and the folder of the adapter under adapters: [{{path: …}}, …]"
        raise InputError("model is an adapter itself, and adapters names others", where=where, hint=hint)
    check_base(adapters, model, where)
    try:
        return with_adapters(model, adapters)
    except InputError as error:
        raise InputError(error.message, where=where, hint=error.hint) from error


def _check_precisions(workload: Workload, demand: Demand) -> None:
    if demand.unit is Unit.ROWS and "fp32" not in workload.precisions:
        told = f"trees are served in fp32, and not in {', '.join(workload.precisions)}"
        raise InputError(told, where=workload.where("precisions"), hint="take precisions out")


def _length_notes(workload: Workload, demand: Demand, context_tokens: int) -> Iterator[str]:
    """Notes on prompts that are cached, and on requests longer than the context that is planned for."""
    if ratio := demand.tokens.prefix_cache_hit_ratio:
        how, source = "stated", workload.demand
        if isinstance(source, PrometheusDemand | SampleDemand) and not source.cache_is_stated:
            how = "measured on today's; state prefix_cache_hit_ratio for another routing or size"
        yield f"{ratio:.0%} of the prompts' tokens are taken to be in the replicas' prefix caches, as {how}"
    if not demand.unit.is_one_pass and context_tokens < demand.longest_request_tokens:
        share = left_out_ratio(context_tokens, demand)
        how_many = f"about {share:.1%} of them" if share >= 0.001 else "fewer than 1 in 1,000"
        longest = f"the longest has {demand.longest_request_tokens:,.0f}"
        miss = "" if demand.batch is not None else " and miss the SLO"
        told = f"requests of more than {context_tokens:,} tokens are left out by context_tokens{miss}"
        yield f"{told}, {how_many}: {longest}"


def _model_notes(model: Model, demand: Demand) -> Iterator[str]:
    """Notes on the answer that is assumed of a masked language model, and on the work of images where a model sees."""
    if model.answer is TextAnswer.WORDS:
        yield (
            f"{model.name} is a masked language model, planned as an embedder that answers one vector of "
            f"{model.hidden:,} numbers a text; sparse vectors (SPLADE) and those of each token (ColBERT) are planned "
            "where modules.json or the projection of its weights says so"
        )
    if demand.unit is not Unit.TOKENS or model.task != "vlm":
        return
    tower, shown = model.vision, demand.pictures
    if shown is not None and tower is not None:
        encoded, flop = tower.encoded(shown.width, shown.height), tower.flop(shown.width, shown.height)
        place = "beside those of input_tokens" if demand.window_seconds is None else "among those that were counted"
        images = f"{shown.count:g} image{'' if shown.count == 1 else 's'} of {shown.width:,} × {shown.height:,}"
        yield (
            f"each request shows {images}: {encoded.tokens:,} tokens each {place}, encoded in "
            f"{flop / FLOP_PER_TFLOP:.3g} TFLOP; few machines were measured with images, so the interval is wide"
        )
        return
    towers = model.surroundings.towers
    size = f"of {towers / 1e6:,.0f} million parameters " if towers else ""
    remedy = "; state images: {count, width, height} under the source of the demand"
    yield (
        f"{model.name} takes images too: they count as the tokens that input_tokens has of them, and the vision tower "
        f"{size}takes memory and no time here, so the first token of a request with images comes later than is said"
        + (remedy if tower is not None else "")
    )


def _check_left_out(workload: Workload, demand: Demand, context_tokens: int) -> None:
    """Refuse a context that leaves out more requests than may miss the SLO: each that is left out does."""
    if demand.unit.is_one_pass or demand.batch is not None:
        return
    allowed, left_out = 1 - workload.slo.within_ratio, left_out_ratio(context_tokens, demand)
    if left_out <= allowed + ROUNDING:
        return
    told = f"{left_out:.1%}" if left_out > 2 * allowed else f"{left_out:.2%}"
    raise InputError(
        f"{context_tokens:,} tokens leave out {told} of the requests, and {allowed:.2%} may miss the SLO",
        where=workload.where("context_tokens"),
        hint=f"give {longer_context_words(workload.slo, demand)}",
    )


def left_out_ratio(context_tokens: int, demand: Demand) -> float:
    """Share of the requests that are longer than a context, prompt and answer: they are refused, and miss the SLO."""
    if demand.unit.is_one_pass or context_tokens >= demand.longest_request_tokens:
        return 0.0
    longer = demand.tokens.input_tokens + demand.tokens.output_tokens > context_tokens
    return float(demand.tokens.probability[longer].sum())


def longer_context_words(slo: Slo, demand: Demand) -> str:
    """Advice where a context leaves out too many requests: the one that leaves as few as a replay may find late."""
    lengths = demand.tokens.input_tokens + demand.tokens.output_tokens
    order = np.argsort(lengths)
    held = demand.tokens.probability[order].cumsum()
    last = int(np.searchsorted(held, slo.rehearsed_ratio - ROUNDING))
    enough = lengths[order][last : last + 2].mean()  # a class of lengths reaches about half way to the next
    steps = -(-int(enough) // CONTEXT_STEP_TOKENS) * CONTEXT_STEP_TOKENS
    return f"{steps} or more, or a smaller slo.within_ratio: requests that are left out miss the SLO"


def _idle_limits(workload: Workload, catalog: Catalog) -> Iterator[str]:
    """An account may be listed whole: limits of other services are no mistake, and a misspelt one protects nobody."""
    for quota in workload.limits.quotas:
        codes = catalog.quota_codes(quota.provider)
        if quota.code not in codes:
            near = suggestion(quota.code, codes)
            told = f"no accelerator of {quota.provider} is counted against the limit {quota.code} in {quota.region}"
            yield f"{told} ({near})"


def check_names(workload: Workload, catalog: Catalog) -> None:
    """Refuse names that the catalog does not know, and holds that leave nothing to plan with."""
    for provider in workload.providers:
        check_known(workload, "providers", "provider", provider, catalog.providers)
    known_regions = sorted({region for provider in workload.providers for region in catalog.regions_of(provider)})
    for index, region in enumerate(workload.regions):
        check_known(workload, f"regions[{index}]", f"region of {', '.join(workload.providers)}", region, known_regions)
    if workload.current is not None:
        _check_current(workload, workload.current, catalog)
    for index, quota in enumerate(workload.limits.quotas):
        field, owner = f"limits.quotas[{index}]", quota.provider
        check_known(workload, f"{field}.provider", "provider", owner, catalog.providers)
        check_known(workload, f"{field}.region", f"region of {owner}", quota.region, catalog.regions_of(owner))
    for index, name in enumerate(workload.compare):
        _check_compared(workload, f"compare[{index}]", name, catalog)
    check_holds(workload, catalog)


def _check_compared(workload: Workload, field: str, name: str, catalog: Catalog) -> None:
    try:
        catalog.token_price(name)
    except InputError as error:
        where = workload.where(field) if field in workload.lines else "--compare"
        raise InputError(error.message, where=where, hint=error.hint) from error


def _check_current(workload: Workload, current: Deployment, catalog: Catalog) -> None:
    owner = current.provider
    check_known(workload, "current.provider", "provider", owner, catalog.providers)
    check_known(workload, "current.region", f"region of {owner}", current.region, catalog.regions_of(owner))
    types = [name for provider, name in catalog.instance_types if provider == owner]
    kind = f"accelerated type of {owner}"
    check_known(workload, "current.instance_type", kind, current.instance_type, types)


def _check_unit(workload: Workload, model: Model, demand: Demand) -> None:
    """Refuse requests that were counted in the unit of another kind of model."""
    unit = unit_of(model, workload)
    if demand.unit is not unit:
        told = f"{model.name} answers in one pass (task: {model.task}), and {demand.source} counts tokens in and out"
        hint = "give a trace in its own columns, or state its requests under demand.declared: see docs/kinds.md"
        raise InputError(told, where=workload.demand_place, hint=hint)


def _check_rate(workload: Workload, demand: Demand) -> None:
    """Refuse more requests than a replay can confirm a fleet with, and fewer than costs can be stated for."""
    rate, growth = demand.requests_per_second, workload.growth_per_year
    where = workload.where("demand.growth_per_year") if growth else workload.demand_place
    grown = f" after growth of {growth:.4g} a year until the horizon" if growth else ""
    slower = "state less growth or a shorter horizon, or " if growth else ""
    slower = "give a longer deadline, or " if demand.batch is not None else slower
    lowest, highest = _grown(rate.mean, workload), _grown(rate.peak, workload)
    most, fewest = MOST_REQUESTS_PER_SECOND, FEWEST_REQUESTS_PER_SECOND
    if highest > most:
        parts, told = -(-highest // most), f"{highest:,.12g} requests/s in the busiest minute{grown}"
        hint = slower + _split_words(parts, f"{highest / parts:,.6g} requests/s", f"{most:,.0f} requests/s")
        raise InputError(f"{told} are more than the {most:,.0f} that a fleet is confirmed for", where=where, hint=hint)
    if lowest < fewest:
        told = f"{lowest:.4g} requests/s on average{grown} are fewer than the {fewest:g} that can be planned for"
        raise InputError(told, where=where, hint=f"{slower}state at least {fewest:g} requests/s, one in 32 years")


def _check_burst(workload: Workload, demand: Demand) -> None:
    """Refuse more requests at one moment than machines are bought for, which would idle at all others."""
    at_once, mean = _at_once(demand), demand.requests_per_second.peak
    if at_once > MOST_AT_ONCE:
        told = f"about {round(at_once, -2):,.0f} requests come within one second of the busiest minute, "
        told += f"{at_once / mean:.3g} times its mean of {rounded(mean)} requests/s: more than the {MOST_AT_ONCE:,.0f} "
        told += "that are planned for at once"
        hint = "state work that can wait under demand.batch; remove rows that a join or a rounded clock put there, or "
        raise InputError(told, where=workload.demand_place, hint=f"{hint}state demand.declared")


def _at_once(demand: Demand) -> float:
    """Requests in a burst's second; 0 where the busiest minute has none that is far above its mean second."""
    at_once = 0.0 if demand.profile is None else demand.profile.most_at_once()
    return at_once if at_once > _BURST_RATIO * demand.requests_per_second.peak else 0.0


def _split_words(parts: float, each: str, most: str) -> str:
    """Advice to plan equal workloads of so much each, or, where they are too many, to state what one can have."""
    return f"plan {parts:,.6g} equal workloads of {each} each" if parts <= _MOST_PARTS else f"state at most {most}"


def _check_run_rate(workload: Workload, demand: Demand) -> None:
    """Refuse batch work beside requests of more items a second than a replay can confirm a fleet with."""
    if demand.beside is None:
        return
    run = demand.beside.run
    rate = _grown(run.items_per_second(len(run.open_hours)), workload)
    if rate > MOST_REQUESTS_PER_SECOND:
        parts = -(-rate // MOST_REQUESTS_PER_SECOND)
        raise InputError(
            f"{run.items:,.12g} items in {run.work_hours(len(run.open_hours)):g} h are {rate:,.6g} a second, more than "
            f"the {MOST_REQUESTS_PER_SECOND:,.0f} that a fleet is confirmed for",
            where=workload.where("demand.batch"),
            hint="give a longer deadline, or "
            + _split_words(parts, f"{run.items / parts:,.0f} items", f"{run.items / parts:,.0f} items"),
        )


def demand_factors(workload: Workload, demand: Demand) -> tuple[float, float]:
    """Least and largest factor on a demand within the rates and bursts that can be planned for."""
    mean, peak = (_grown(rate, workload) for rate in (demand.requests_per_second.mean, demand.requests_per_second.peak))
    most = MOST_REQUESTS_PER_SECOND / peak
    at_once = _at_once(demand)
    return FEWEST_REQUESTS_PER_SECOND / mean, min(most, MOST_AT_ONCE / at_once) if at_once else most


def _grown(rate: float, workload: Workload) -> float:
    """The rate at the end of the horizon, with the growth that is stated; no more than numbers can hold."""
    exponent = math.log1p(workload.growth_per_year or 0.0) * workload.horizon_days / DAYS_PER_YEAR
    return rate * math.exp(min(exponent, _LARGEST_EXPONENT))


def _context_tokens(workload: Workload, model: Model, demand: Demand) -> int:
    """The stated context, else the longest request seen (or a margin over the declared one), in whole steps.

    Of models that answer in one pass a request is one text; 1 of those that read none.
    """
    if demand.unit.is_one_pass and demand.unit is not Unit.TEXTS:
        return 1
    limit, longest = model.max_context_tokens, _longest_tokens(demand)
    is_left_out = workload.context_tokens is not None and demand.unit is not Unit.TEXTS
    if limit is not None and longest > limit and not is_left_out:
        raise beyond_model(demand.unit, longest, model.name, limit, workload.demand_place)
    if workload.context_tokens is not None:
        return _stated_context(workload.context_tokens, workload, model, demand)
    is_spread = isinstance(workload.demand, DeclaredDemand) and workload.demand.is_spread
    margin = 1.0 if demand.requests is not None or is_spread else CONTEXT_MARGIN
    wanted = -(-int(longest * margin) // CONTEXT_STEP_TOKENS) * CONTEXT_STEP_TOKENS
    return wanted if limit is None else min(wanted, limit)


def _longest_tokens(demand: Demand) -> float:
    """Tokens of the longest request, or item of batch work: prompt and answer; of a text where answers have none."""
    is_text, beside = demand.unit is Unit.TEXTS, demand.beside
    longest = demand.input_tokens.max if is_text else demand.longest_request_tokens
    if beside is None:
        return longest
    return max(longest, beside.input_tokens + (0.0 if is_text else beside.output_tokens))


def _stated_context(stated: int, workload: Workload, model: Model, demand: Demand) -> int:
    """The stated context, which the model takes; it holds a mean request, and every text."""
    limit = model.max_context_tokens
    if limit is not None and stated > limit:
        raise InputError(
            f"{stated:,} tokens are more than the {limit:,} that {model.name} was made for",
            where=workload.where("context_tokens"),
            hint=f"give at most {limit}",
        )
    is_text = demand.unit is Unit.TEXTS
    mean = demand.tokens.mean_input_tokens() + demand.tokens.mean_output_tokens()
    least = _longest_tokens(demand) if is_text else mean
    if stated < least:
        told = f"not every text: the longest has {least:,.0f}" if is_text else f"no request: a mean one has {mean:,.0f}"
        raise InputError(
            f"{stated:,} tokens hold {told}{'' if is_text else ', prompt and answer'}",
            where=workload.where("context_tokens"),
            hint=f"give {math.ceil(least)} or more, or leave it out: then it follows from the demand",
        )
    return stated


def beyond_model(unit: Unit, longest: float, model: str, limit: int, where: str) -> InputError:
    """Error of requests that are longer than the model takes."""
    if unit is Unit.TEXTS:
        hint = f"split it into parts of {limit:,} tokens at most, or choose a model with a longer context"
        told = f"a text of {longest:,.0f} tokens is longer than the {limit:,} that {model} reads"
        return InputError(told, where=where, hint=hint)
    hint = f"choose a model with a longer context, or set context_tokens: {limit} to leave longer ones out"
    told = f"the longest request has {longest:,.0f} tokens, and {model} takes {limit:,} at most"
    return InputError(told, where=where, hint=hint)
