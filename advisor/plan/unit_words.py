"""Names of latencies and sizes by the unit of a plan's requests."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from advisor.demand.values import Unit
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.values import ComparedLatency
from advisor.units import MS_PER_SECOND, milliseconds
from advisor.workload.values import Slo

_ITEMS: Mapping[Unit, str] = {
    Unit.TOKENS: "output tokens",
    Unit.TEXTS: "texts",
    Unit.AUDIO: "recordings",
    Unit.IMAGES: "images",
    Unit.PICTURES: "pictures",
    Unit.ROWS: "rows",
}
LATENCY_NAMES: Mapping[str, str] = {"ttft_p95_ms": "TTFT", "tpot_p95_ms": "TPOT", "e2e_p95_ms": "end-to-end"}
_MEGA = 1e6


def unit_of(demand: Mapping[str, Any]) -> Unit:
    """Unit of a plan's demand."""
    return Unit(demand.get("unit", Unit.TOKENS))


def split_words(unit: Unit, items: float, engines: Iterable[str]) -> str:
    """Clients' part where each item of a call is an HTTP request of its own."""
    each = f"each of the {items:,.4g} {items_word(unit)} of a call as an HTTP request of its own"
    return f"clients send {each}, all at once ({' and '.join(engines)} takes one); the last one answers the call"


def items_word(unit: Unit) -> str:
    """What an answer is counted in: ``output tokens``, ``texts``."""
    return _ITEMS[unit]


def latency_words(unit: Unit, ttft_ms: float | None, tpot_ms: float | None) -> Iterator[str]:
    """``TTFT p95 275 ms``, ``TPOT p95 38.8 ms``; ``latency p95 120 ms`` of whole answers."""
    named = ((first_name(unit), ttft_ms), ("TPOT p95", None if unit.is_one_pass else tpot_ms))
    return (f"{name} {milliseconds(value)}" for name, value in named if value is not None)


def replayed_first(fleet: Fleet, slo: Mapping[str, Any]) -> tuple[str, float | None]:
    """Percentile and ms of the first latency of a fleet's replay: those of the SLO, where they are held, else p95."""
    quantile = slo.get("latency_percentile", Slo().latency_percentile)
    promised = (each.quantiles.get(quantile) for each in fleet.latencies if each.name == "latency")
    value_ms = next(promised, None)
    if value_ms is not None:
        return f"p{round(100 * quantile, 3):g}", value_ms
    return "p95", None if fleet.confirmed is None else fleet.confirmed.ttft_p95_ms


def replayed_words(fleet: Fleet, slo: Mapping[str, Any]) -> Iterator[str]:
    """Latencies of a fleet's replay as :func:`latency_words`, of whole answers at the percentile of the SLO."""
    if fleet.confirmed is None:
        return
    if not fleet.unit.is_one_pass:
        yield from latency_words(fleet.unit, fleet.confirmed.ttft_p95_ms, fleet.confirmed.tpot_p95_ms)
        return
    percentile, value_ms = replayed_first(fleet, slo)
    if value_ms is not None:
        yield f"latency {percentile} {milliseconds(value_ms)}"


def compared_words(latencies: Iterable[ComparedLatency]) -> str:
    """Text such as ``TPOT p95 35 ms measured, 40 ms predicted``."""
    return ", ".join(
        f"{LATENCY_NAMES[each.latency]} p95 {milliseconds(each.measured_ms)} measured, "
        f"{milliseconds(each.predicted_ms)} predicted"
        for each in latencies
    )


def first_name(unit: Unit) -> str:
    """Name of the time to the first token, which of an answer in one pass is all of it."""
    return "latency p95" if unit.is_one_pass else "TTFT p95"


def size_words(demand: Mapping[str, Any]) -> str:
    """Size of a request: ``800 tokens in (p95 800), 200 out (p95 200)``, ``23 texts of 512 tokens``."""
    size, items = demand["input_tokens"], demand["output_tokens"]
    unit, count = unit_of(demand), f"{items['mean']:,.4g}"
    match unit:
        case Unit.TOKENS:
            sent, answered = (f"{one['mean']:,.0f}" for one in (size, items))
            prompt = f"{sent} tokens in (p95 {size['p95']:,.0f}{_with_images(demand)})"
            return f"{prompt}, {answered} out (p95 {items['p95']:,.0f})"
        case Unit.TEXTS:
            return f"{count} {_noun('text', count)} of {size['mean']:,.0f} tokens a request"
        case Unit.AUDIO:
            return f"{count} {_noun('recording', count)} of {size['mean'] / MS_PER_SECOND:,.3g} s a request"
        case Unit.IMAGES:
            return f"{count} {_noun('image', count)} a request"
        case Unit.PICTURES:
            return f"{count} {_noun('picture', count)} of {size['mean'] / _MEGA:,.4g} M pixels × steps a request"
        case Unit.ROWS:
            return f"{count} {_noun('row', count)} of {size['mean']:,.0f} columns a request"


def images_words(demand: Mapping[str, Any]) -> str:
    """Images that a prompt shows: ``2 images of 1,280 × 720``; "" without any."""
    shown = demand.get("pictures")
    if shown is None or unit_of(demand).is_one_pass:
        return ""
    count = f"{shown['count']:g}"
    return f"{count} {_noun('image', count)} of {shown['width']:,} × {shown['height']:,}"


def _with_images(demand: Mapping[str, Any]) -> str:
    images = images_words(demand)
    return f", with {images}" if images else ""


def _noun(singular: str, count: str) -> str:
    return singular if count == "1" else f"{singular}s"
