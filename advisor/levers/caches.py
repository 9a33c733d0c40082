"""Levers of caches: answers of equal and of similar requests, vectors of texts, blocks of prompts."""

from collections.abc import Mapping

from advisor.catalog import Catalog
from advisor.cost import hourly_to_monthly
from advisor.cost.response_cache import priced_cache
from advisor.levers.values import Change, LeverSettings, MeasuredCache, MeasuredSemantic, Reason, ReasonCode
from advisor.models.catalog import catalogued_name
from advisor.plan.request import PlanRequest
from advisor.records import dataclass, replace
from advisor.units import significant
from advisor.workload.kinds import is_embedder
from advisor.workload.values import MOST_HITS, ResponseCache, Workload

_OF_WORKLOAD = "hit ratio of the workload, measured or stated there"


def cache_levers(
    question: PlanRequest, settings: LeverSettings, stated: Workload, without: Workload, catalog: Catalog
) -> Mapping[str, Change | Reason]:
    """Changes that caches make of a question; of an embedder the cache of its answers is the embedding cache.

    Args:
        question: model and demand.
        settings: replay of the user's own log, and what may be false of it.
        stated: workload as it is stated, with its regions.
        without: the workload without any lever, whose first region the nodes stand in.
        catalog: nodes and their prices.
    """
    caches = _Caches(question, settings, stated, without, catalog)
    return {"prefix_cache": caches.prefix(), **(caches.of_embedder() if caches.embeds else caches.of_answers())}


@dataclass(frozen=True, slots=True)
class _Caches:
    """Question with what is measured of its caches."""

    question: PlanRequest
    settings: LeverSettings
    stated: Workload
    without: Workload
    catalog: Catalog

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
                lambda question: _with(question, prefix_cache_hit_ratio=ratio),
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
        usd = hourly_to_monthly(price.usd, planned.nodes)
        nodes = f"{planned.nodes_words} in {region} (${usd:,.2f})"
        return Change(
            f"{cache.hit_ratio:.1%} of the requests answered by {nodes}{how}",
            lambda question: _with(question, response_cache=cache),
            beyond_stated=cache != self.stated.response_cache,
            basis=basis,
            line=cache.line,
        )


def _with(question: PlanRequest, **fields: object) -> PlanRequest:
    return replace(question, workload=replace(question.workload, **fields))  # type: ignore[arg-type]


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
