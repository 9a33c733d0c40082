"""Levers as changes of a question: what each allows or alters beyond the question without any lever."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from advisor.catalog import Catalog
from advisor.catalog.levers import ScoresKept
from advisor.demand.lengths import with_token_lengths
from advisor.demand.values import Demand, Unit
from advisor.levers.caches import cache_levers
from advisor.levers.values import Change, LeverSettings, QualityKept, Reason, ReasonCode
from advisor.models import find_model
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.rungs import Step, steps_alone, with_regions
from advisor.plan.weights import weights_of
from advisor.records import dataclass, replace
from advisor.units import significant
from advisor.workload.scope import is_within, union
from advisor.workload.values import WIDE_PRECISIONS, DeclaredDemand, Routing, Scaling, Workload

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
            **cache_levers(question, settings, stated, without, catalog),
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
    )


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
        scaling = question.workload.scaling
        return _with_workload(
            question,
            scaling=Scaling(
                fields.get("scheduled", scaling.scheduled), fields.get("scale_to_zero", scaling.scale_to_zero)
            ),
        )

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
            cast = f", cast as servers compute ({', '.join(casts)})" if casts else ""
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
