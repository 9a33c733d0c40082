"""Levers as changes of a question: what each, caches included, allows or alters beyond the question without any."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from advisor.catalog import Catalog
from advisor.catalog.planning_tables import ScoresKept
from advisor.cost import hourly_to_monthly
from advisor.cost.response_cache import priced_cache
from advisor.demand.lengths import with_token_lengths
from advisor.demand.values import Demand, Unit
from advisor.levers import (
    Change,
    LeverSettings,
    MeasuredCache,
    MeasuredSemantic,
    QualityKept,
    Reason,
    ReasonCode,
)
from advisor.models import find_model
from advisor.models.catalog import catalogued_name
from advisor.plan.cold_start import weights_of
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.rungs import Step, steps_alone, with_regions
from advisor.records import dataclass, replace
from advisor.units import significant, usd
from advisor.workload.kinds import is_embedder
from advisor.workload.scope import is_within, union
from advisor.workload.values import (
    MOST_HITS,
    WIDE_PRECISIONS,
    DeclaredDemand,
    ResponseCache,
    Routing,
    Scaling,
    Workload,
)

_OF_WORKLOAD = "hit ratio of the workload, measured or stated there"


@dataclass(frozen=True, slots=True)
class _Caches:
    """Question with what is measured of its caches."""

    question: PlanRequest
    settings: LeverSettings
    """Replay of the user's own log, and what may be false of it."""
    stated: Workload
    without: Workload
    """The workload without any lever, whose first region the nodes stand in."""
    catalog: Catalog

    def levers(self) -> Mapping[str, Change | Reason]:
        """Changes that caches make of the question; of an embedder the cache of its answers is the embedding cache."""
        return {"prefix_cache": self.prefix(), **(self.of_embedder() if self.embeds else self.of_answers())}

    @property
    def embeds(self) -> bool:
        """Whether the model answers a text with a vector."""
        return is_embedder(self.question.model)

    def of_answers(self) -> Mapping[str, Change | Reason]:
        name = self.question.model.name
        return {
            "response_cache": self.exact("replay a log with `advisor demand cache`"),
            "semantic_cache": self.semantic(),
            "embedding_cache": Reason(
                ReasonCode.NOT_OF_MODEL,
                f"{name} gives no vectors of texts: ask of the workload of the embedder that retrieval uses",
            ),
        }

    def of_embedder(self) -> Mapping[str, Change | Reason]:
        name = self.question.model.name
        return {
            "response_cache": Reason(ReasonCode.NOTHING_TO_CHANGE, "of an embedder it is the embedding cache"),
            "semantic_cache": Reason(ReasonCode.NOT_OF_MODEL, "the vector of a similar text is not that of the text"),
            "embedding_cache": self.exact(f"replay the texts with `advisor demand cache --embedder {name}`"),
        }

    def prefix(self) -> Change | Reason:
        """Fewer tokens of prompts to prefill."""
        ratio, measured = self.stated.prefix_cache_hit_ratio, self.settings.cache
        if ratio:
            return Change(
                f"tokens of prompts found in the replicas' caches: none → {ratio:.0%}",
                lambda question: _with_workload(question, prefix_cache_hit_ratio=ratio),
                basis=_OF_WORKLOAD,
            )
        pool = None if measured is None else measured.prefix_hit_ratio
        one_pool = "" if pool is None else f" (one pool without a limit would hold {pool:.1%} of the log's tokens)"
        return Reason(
            ReasonCode.FIGURE_MISSING,
            f"the hit ratio of the replicas is not known{one_pool}: state demand.prefix_cache_hit_ratio as measured",
        )

    def exact(self, how: str) -> Change | Reason:
        """Answers to equal requests, measured or stated."""
        measured, cache = self.settings.cache, self.stated.response_cache
        if measured is not None:
            return self._refused(measured) or self._answering(
                ResponseCache(significant(measured.hit_ratio), significant(measured.memory_gib), measured.ttl_seconds),
                _replayed(measured),
            )
        if cache is None:
            return Reason(ReasonCode.FIGURE_MISSING, f"no hit ratio is measured: {how}, and give it with --cache")
        return self._answering(cache, _OF_WORKLOAD)

    def _refused(self, measured: MeasuredCache) -> Reason | None:
        """Why a replay says nothing of this workload; None where it does."""
        name = self.question.model.name
        if measured.embedder is not None and catalogued_name(measured.embedder) != catalogued_name(name):
            return Reason(ReasonCode.FIGURE_MISSING, f"the replay is of {measured.embedder}, and the model is {name}")
        if not measured.hit_ratio:
            why = f"none of {measured.requests:,} requests of the log repeats another"
            return Reason(ReasonCode.NOTHING_TO_CHANGE, why)
        return None

    def semantic(self) -> Change | Reason:
        """Answers to similar requests, at the threshold that hits most of those with few enough false hits."""
        measured = self.settings.cache
        if measured is None or not measured.semantic:
            return Reason(
                ReasonCode.FIGURE_MISSING,
                "no hit ratio is measured: give each line of the log an embedding and an answer_id, replay it with "
                "`advisor demand cache`, and give it with --cache and --false-hits",
            )
        point = _allowed(measured.semantic, self.settings.most_false_hits)
        if isinstance(point, Reason):
            return point
        if point.memory_gib is None:
            return Reason(ReasonCode.FIGURE_MISSING, "no request of the log says how large its answer is")
        change = self._answering(
            ResponseCache(
                significant(point.hit_ratio),
                significant(point.memory_gib),
                measured.ttl_seconds,
                similarity=point.threshold,
            ),
            f"{_replayed(measured)}; embedding each request and finding its neighbour are not in the price",
            f" from a similarity of {point.threshold:g} on, {point.false_hit_ratio:.1%} of the hits false",
        )
        if isinstance(change, Reason):
            return change
        return replace(change, wrong_answer_ratio=point.hit_ratio * (point.false_hit_ratio or 0.0))

    def _answering(self, cache: ResponseCache, basis: str, how: str = "") -> Change | Reason:
        """Fewer requests to the fleet, and the nodes that answer the others."""
        cache = replace(cache, hit_ratio=min(cache.hit_ratio, MOST_HITS))
        provider, region = self.without.providers[0], self.without.regions[0]
        priced = priced_cache(replace(self.without, response_cache=cache), self.catalog, provider, region)
        if isinstance(priced, str):
            return Reason(ReasonCode.NOT_IN_CATALOG, priced)
        planned, price = priced
        nodes = f"{planned.nodes_words} in {region} ({usd(hourly_to_monthly(price.usd, planned.nodes))})"
        return Change(
            f"{cache.hit_ratio:.1%} of the requests answered by {nodes}{how}",
            lambda question: _with_workload(question, response_cache=cache),
            beyond_stated=cache != self.stated.response_cache,
            basis=basis,
            line=cache.line,
        )


def _replayed(measured: MeasuredCache) -> str:
    return f"replay of {measured.requests:,} requests of the own log"


def _allowed(points: tuple[MeasuredSemantic, ...], most_false: float | None) -> MeasuredSemantic | Reason:
    """The point that hits most, of those that hit and whose share of false hits is allowed."""
    judged = [point for point in points if point.false_hit_ratio is not None]
    if not judged:
        return Reason(ReasonCode.FIGURE_MISSING, "its false hits are not known: give each line of the log an answer_id")
    least = min(judged, key=lambda point: (point.false_hit_ratio or 0.0, -point.hit_ratio))
    told = (
        f"from a similarity of {least.threshold:g} on {least.hit_ratio:.1%} of the requests hit, "
        f"{least.false_hit_ratio:.1%} of these false"
    )
    if most_false is None:
        return Reason(ReasonCode.FIGURE_MISSING, f"say which share of false hits is bearable with --false-hits: {told}")
    allowed = [point for point in judged if (point.false_hit_ratio or 0.0) <= most_false]
    if not allowed:
        return Reason(ReasonCode.NOTHING_TO_CHANGE, f"no threshold keeps to {most_false:.1%} of false hits: {told}")
    return max(allowed, key=lambda point: (point.hit_ratio, point.threshold))


_STEPS = {
    "region": Step.SAME_CLOUD,
    "accelerator": Step.ANY_ACCELERATOR,
    "cloud": Step.ANY_CLOUD,
    "commit": Step.COMMIT,
    "spot": Step.SPOT,
    "precision": Step.PRECISION,
}
"""Levers that widen what is allowed, with the rung of the ladder that does so."""
_WIDENED = ("providers", "regions", "accelerators", "instance_types", "purchase", "precisions")
_OF_TOKENS = (
    "batching", "kv_precision", "model_routing", "prefix_cache", "prefix_routing", "routing", "speculation",
)  # fmt: skip
"""Levers of models that generate token by token."""
_MOST_NAMED = 4
_ENGINE = "vLLM"
"""Engine whose checkpoints a precision's quality is asked of before anything is planned."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Question without any lever, and what each lever makes of it."""

    stated: PlanRequest
    without: PlanRequest
    by_lever: Mapping[str, Change | Reason]
    """In the order in which they are made; the reason where a lever has nothing to change."""
    quality_floor: float | None
    catalog: Catalog

    def question(self, levers: Collection[str]) -> PlanRequest:
        """The question with some levers pulled, the same in whatever order they are named."""
        question = self.without
        for change in self.of(levers):
            question = change.to(question)
        return self._within_floor(question, levers)

    def of(self, levers: Collection[str]) -> list[Change]:
        """Changes of some levers, in the order in which they are made."""
        return [
            change for lever, change in self.by_lever.items() if lever in levers and isinstance(change, Change)
        ]  # fmt: skip

    def _within_floor(self, question: PlanRequest, levers: Collection[str]) -> PlanRequest:
        """The question without precisions that keep too little of what another lever leaves."""
        if self.quality_floor is None:
            return question
        left = 1.0
        for change in self.of(levers):
            left *= 1.0 if change.quality is None else change.quality.mean_ratio
        first, *others = question.workload.precisions
        kept = [name for name in others if left * _precision_ratio(self.catalog, question, name) >= self.quality_floor]
        return replace(question, workload=replace(question.workload, precisions=(first, *kept)))


def changes_of(question: PlanRequest, catalog: Catalog, settings: LeverSettings) -> Changes:
    """Changes that levers make of a question.

    The question without any lever is that of the narrowest scope (:func:`advisor.plan.rungs.steps_alone`), with the
    same instances at all hours, no prefix or response cache, and no budget.
    """
    requirements = requirements_of(question, catalog)
    narrow, steps = steps_alone(requirements, catalog)
    stated = replace(with_regions(requirements.workload, catalog), near_current=False, regions_left_open=False)
    without = replace(
        narrow,
        scaling=narrow.scaling if question.demand.batch else Scaling(scheduled=False),
        routing=Routing.WEIGHTED,
        prefix_cache_hit_ratio=0.0,
        response_cache=None,
        limits=replace(narrow.limits, max_usd_per_month=None),
    )
    scopes = {lever: _scope(steps[step]) for lever, step in _STEPS.items()}
    widening = scopes | {"precision": _precisions(scopes["precision"], stated, question, catalog, settings)}
    return Changes(
        stated=question,
        without=replace(question, workload=without),
        by_lever={
            **{lever: _widening(wide, without, stated, question.workload) for lever, wide in widening.items()},
            **_scaling(stated, question.demand),
            "routing": _routing(stated),
            "prompt": _prompt(question, settings.prompt_shorter),
            **_Caches(question, settings, stated, without, catalog).levers(),
            "edge": _edge(question, catalog),
            "model": _smaller_model(question, catalog, settings.quality_floor),
            **_of_one_pass(question, settings.prompt_shorter),
        },
        quality_floor=settings.quality_floor,
        catalog=catalog,
    )


def _scope(step: Workload | str) -> Workload | Reason:
    """Scope that a step allows, or the reason why it makes no sense."""
    return Reason(ReasonCode.FIGURE_MISSING, step) if isinstance(step, str) else step


def _edge(question: PlanRequest, catalog: Catalog) -> Reason:
    rate = question.demand.requests_per_second
    why = (
        f"none of the {len(catalog.accelerators):,} accelerators of the catalog is a device at the edge; it would have "
        f"to carry its share of {rate.mean:.3g} requests/s, {rate.peak:.3g} in the busiest minute"
    )
    return Reason(ReasonCode.NOT_IN_CATALOG, why)


def _with_workload(question: PlanRequest, **fields: object) -> PlanRequest:
    return replace(question, workload=replace(question.workload, **fields))  # type: ignore[arg-type]


def _widening(wide: Workload | Reason, without: Workload, stated: Workload, written: Workload) -> Change | Reason:
    """Change to a scope that allows more; *written*: the workload as its file has it."""
    if isinstance(wide, Reason):
        return wide
    told = [
        f"{key}: {_names(key, getattr(without, key))} → {_names(key, getattr(wide, key))}"
        for key in _WIDENED
        if set(getattr(wide, key)) != set(getattr(without, key))
    ]
    if not told:
        return Reason(ReasonCode.NOTHING_TO_CHANGE, "nothing that the workload and its exclusions allow is beyond it")
    return Change(
        "; ".join(told),
        lambda question: replace(question, workload=union(question.workload, wide)),
        widens=True,
        beyond_stated=not is_within(wide, stated),
        scoped_line=lambda regions: "; ".join(_lines(union(stated, wide), stated, written, regions)),
        held_line="; ".join(_held_lines(without, wide, stated)),
    )


def _held_lines(without: Workload, wide: Workload, stated: Workload) -> Iterator[str]:
    """Lines of the workload file that allow no more than the question without a lever, where the file allows more."""
    for key in _WIDENED:
        names = getattr(without, key)
        if names and set(names) != set(getattr(wide, key)) and set(names) != set(getattr(stated, key)):
            yield f"{key}: [{', '.join(map(str, names))}]"


def _lines(wide: Workload, stated: Workload, written: Workload, regions: Collection[str]) -> Iterator[str]:
    """Lines of the workload file that allow as much as *wide* does in the stated regions and in those of fleets."""
    for key in _WIDENED:
        names, before = getattr(wide, key), getattr(stated, key)
        if key == "regions":
            names, before = _line_regions(wide, stated, written, regions)
        if set(names) != set(before):
            yield f"{key}: [{', '.join(map(str, names))}]" if names else f"no {key}, which allows any"


def _line_regions(
    wide: Workload, stated: Workload, written: Workload, regions: Collection[str]
) -> tuple[Sequence[str], Sequence[str]]:
    """Regions to state, and those that the file states beside the other lines: none where today's place says which.

    A file that names none leaves them open; one that names no providers either keeps to today's until it names them.
    """
    if not written.regions and not written.near_current:
        return (), ()
    names = [*stated.regions, *(name for name in wide.regions if name in regions and name not in stated.regions)]
    is_open = written.near_current and set(wide.providers) != set(stated.providers)
    return names, () if is_open else stated.regions


def _names(key: str, values: Sequence[str]) -> str:
    """The names of a key: all of a few and all precisions, which change answers; of others the number of many."""
    if not values:
        return "any"
    is_named = key == "precisions" or len(values) <= _MOST_NAMED
    return ", ".join(map(str, values)) if is_named else f"{len(values)} of them"


def _scaling(stated: Workload, demand: Demand) -> Mapping[str, Change | Reason]:
    if demand.batch is not None:
        why = Reason(ReasonCode.NOTHING_TO_CHANGE, "machines of batch work run in its hours alone")
        return dict.fromkeys(("schedule", "scale_to_zero"), why)

    def set_to(question: PlanRequest, **fields: bool) -> PlanRequest:
        return _with_workload(question, scaling=replace(question.workload.scaling, **fields))

    return {
        "schedule": Change(
            "instances: the same at all hours → by the hour of the week",
            partial(set_to, scheduled=True),
            beyond_stated=not stated.scaling.scheduled,
            line="scaling: {scheduled: true}",
        ),
        "scale_to_zero": Change(
            "scaling.scale_to_zero: false → true",
            partial(set_to, scale_to_zero=True),
            beyond_stated=not stated.scaling.scale_to_zero,
            line="scaling: {scale_to_zero: true}",
        ),
    }


def _routing(stated: Workload) -> Change | Reason:
    if stated.routing is not Routing.BY_PROMPT_LENGTH:
        why = "it takes a router that counts tokens: state routing: by_prompt_length where there is one"
        return Reason(ReasonCode.FIGURE_MISSING, why)
    return Change(
        "routing: weighted → by_prompt_length", partial(_with_workload, routing=Routing.BY_PROMPT_LENGTH)
    )  # fmt: skip


def _of_one_pass(question: PlanRequest, shorter: float | None) -> Mapping[str, Change | Reason]:
    """Levers on prompts and tokens, of a model that answers in one pass."""
    unit = question.demand.unit
    if not unit.is_one_pass:
        return {}
    why = Reason(ReasonCode.NOT_OF_MODEL, "the model answers in one pass: it generates no tokens")
    reasons: dict[str, Change | Reason] = dict.fromkeys(_OF_TOKENS, why)
    if unit is not Unit.TEXTS:
        return reasons | {"prompt": Reason(ReasonCode.NOT_OF_MODEL, "a request holds no text")}
    return reasons | {"prompt": _prompt(question, shorter, "texts")}


def _prompt(question: PlanRequest, shorter: float | None, what: str = "prompts") -> Change | Reason:
    if shorter is None:
        why = f"say by what share {what} can be shorter: --prompt-shorter 0.2"
        return Reason(ReasonCode.FIGURE_MISSING, why)
    workload = question.workload
    declared = workload.demand if isinstance(workload.demand, DeclaredDemand) else None
    is_one_length = declared is not None and declared.size_spread is None and workload.prompt_times == 1
    tokens = declared.input_tokens if declared and is_one_length else None
    measured = f"prompt_times: {significant(workload.prompt_times * (1 - shorter)):g}"
    return Change(
        f"{what} {shorter:.0%} shorter",
        lambda question: replace(question, demand=with_token_lengths(question.demand, input_factor=1 - shorter)),
        beyond_stated=True,
        basis="share stated by --prompt-shorter",
        line=f"input_tokens: {significant(tokens * (1 - shorter)):g}" if tokens else measured,
    )


def _precisions(
    wide: Workload | Reason, stated: Workload, question: PlanRequest, catalog: Catalog, settings: LeverSettings
) -> Workload | Reason:
    """Scope with the stated precisions; with a quality floor all that keep it.

    Of a model that answers in one pass servers cast 16- and 32-bit weights as they compute: these are no others.
    """
    if isinstance(wide, Reason):
        return wide
    first, *others = wide.precisions
    casts = WIDE_PRECISIONS if question.demand.unit.is_one_pass and first in WIDE_PRECISIONS else ()
    if settings.quality_floor is None:
        if set(stated.precisions) <= {first, *casts}:
            is_named = "precisions" in question.workload.lines
            told = (
                f"the workload names {' and '.join(stated.precisions)} alone"
                if is_named
                else f"no precision is named, so {first} is planned"
            )
            others_cast = " or ".join(cast for cast in casts if cast != first)
            cast = f", as {others_cast} where a server computes in that" if others_cast else ""
            why = f"{told}{cast}: say what quality is enough with --quality-floor, or name others"
            return Reason(ReasonCode.FIGURE_MISSING, why)
        return replace(wide, precisions=stated.precisions)
    floor = settings.quality_floor
    kept = [name for name in others if name not in casts and _precision_ratio(catalog, question, name) >= floor]
    if not kept:
        return Reason(ReasonCode.NOT_IN_CATALOG, f"no other precision is known to keep {100 * floor:g}%")
    return replace(wide, precisions=(first, *kept))


def _precision_ratio(catalog: Catalog, question: PlanRequest, precision: str) -> float:
    """Share of the scores that weights in a precision keep on average; 0 where unknown, which no floor accepts."""
    return weights_of(catalog, question.model.name, precision, _ENGINE).quality_ratio or 0.0


def _smaller_model(question: PlanRequest, catalog: Catalog, floor: float | None) -> Change | Reason:
    """Change to the smallest model of the same owner whose scores keep the floor."""
    size = question.model.parameters_total
    every = [
        (find_model(kept.model).parameters_total, kept)
        for kept in catalog.model_scores.kept_by_others(question.model.name)
    ]
    smaller = [kept for parameters, kept in sorted(every, key=lambda pair: pair[0]) if parameters < size]
    if not smaller:
        which = f"is smaller of {len(every)}" if every else "is known"
        why = f"no model of the same owner with scores that compare with its own {which}"
        return Reason(ReasonCode.NOT_IN_CATALOG, why)
    best = max(smaller, key=lambda kept: kept.mean_ratio)
    if floor is None:
        why = f"say what quality is enough with --quality-floor: {_kept_words(best)}"
        return Reason(ReasonCode.FIGURE_MISSING, why)
    enough = next((kept for kept in smaller if kept.mean_ratio >= floor), None)
    if enough is None:
        why = f"no smaller model keeps {100 * floor:g}% of its scores: {_kept_words(best)}"
        return Reason(ReasonCode.NOT_IN_CATALOG, why)
    return Change(
        f"model: {question.model.name} → {enough.model}",
        lambda asked: replace(_with_workload(asked, model=enough.model), model=find_model(enough.model)),
        beyond_stated=True,
        line=f"model: {enough.model}",
        basis=f"scores of {', '.join(enough.sources)}",
        quality=QualityKept(enough.mean_ratio, enough.low_ratio, enough.high_ratio, "; ".join(enough.sources)),
    )


def _kept_words(kept: ScoresKept) -> str:
    return (
        f"{kept.model} keeps {kept.mean_ratio:.1%} ({kept.low_ratio:.1%} to {kept.high_ratio:.1%}, "
        f"{kept.benchmarks} benchmarks)"
    )
