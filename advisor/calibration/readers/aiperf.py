"""AIPerf's and genai-perf's aggregated exports, JSON and CSV; every metric states its unit."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from advisor.calibration.observations import LeftOut
from advisor.calibration.readers.checks import (
    Cells,
    Entry,
    Item,
    milliseconds_per,
    number_at,
    number_text,
    text_at,
    value_at,
)
from advisor.performance.values import Scenario
from advisor.records import dataclass, field
from advisor.units import MS_PER_SECOND

_METRIC = re.compile(r"(?P<name>[^()]+?)\s*(?:\((?P<unit>[^()]*)\))?")
_PER_SECOND = re.compile(r"(tokens|requests)?\s*(/|per)\s*(s|sec|second)")
_CLOSED_LOOP = "concurrency"
"""Kind of a phase whose users each ask again as soon as they are answered."""


def is_aiperf(document: object) -> bool:
    """Whether the document is an aggregated export of AIPerf or genai-perf."""
    metrics = value_at(document, "records") or document
    return isinstance(value_at(metrics, "request_throughput"), dict) and isinstance(
        value_at(metrics, "request_latency"), dict
    )


def is_aiperf_table(text: str) -> bool:
    """Whether the text is the CSV export of AIPerf or genai-perf."""
    return text.startswith("Metric,")


def read_aiperf(document: object, where: str, told: Cells) -> Iterator[Item]:  # noqa: ARG001 - as every reader
    """The one entry of an export, and what of it states no unit that is known."""
    metrics = _Metrics(value_at(document, "records") or document, where)
    config = value_at(document, "input_config")
    load = _users(config, metrics)
    if isinstance(load, str):
        yield LeftOut(where, load)
        return
    answers = metrics.plain("output_sequence_length")
    rate = "samples_per_second" if answers is None else "output_tokens_per_second"
    throughput = metrics.per_second("request_throughput" if answers is None else "output_token_throughput")
    cells = {
        "model": _model(config),
        "scenario": Scenario.FIXED_CONCURRENCY,
        "concurrency": number_text(load),
        "input_tokens": number_text(metrics.plain("input_sequence_length")),
        "output_tokens": number_text(answers),
        "ttft_ms": number_text(metrics.milliseconds("time_to_first_token")),
        "tpot_ms": number_text(metrics.milliseconds("inter_token_latency")),
        rate: number_text(throughput),
    }
    yield from metrics.complaints
    yield Entry(where, cells, metrics.plain("request_count"), _errors(document, metrics))


def read_aiperf_table(text: str, path: Path, told: Cells) -> Iterator[Item]:
    """The one entry of a CSV export, which names neither the model nor the users."""
    metrics: dict[str, Mapping[str, str]] = {}
    header: list[str] = []
    for row in csv.reader(io.StringIO(text)):
        if row[:1] == ["Metric"]:
            header = row
        elif len(row) == len(header) and (match := _METRIC.fullmatch(row[0])):
            cells = dict(zip(header, (cell.replace(",", "") for cell in row), strict=True))
            tag = match["name"].lower().replace(" ", "_")
            metrics.setdefault(
                tag, cells | {"unit": match["unit"] or "", "avg": cells.get("avg", cells.get("Value", ""))}
            )
    yield from read_aiperf(metrics, str(path), told)


@dataclass(slots=True)
class _Metrics:
    """Reads metrics by tag and unit; remembers those whose unit is not known."""

    metrics: object
    where: str
    complaints: list[LeftOut] = field(default_factory=list)

    def plain(self, tag: str) -> float | None:
        """Mean, or median, of a metric that counts."""
        mean = number_at(self.metrics, tag, "avg")
        return number_at(self.metrics, tag, "p50") if mean is None else mean

    def milliseconds(self, tag: str) -> float | None:
        """Mean, or median, of a time."""
        return self._scaled(tag, milliseconds_per(text_at(self.metrics, tag, "unit")))

    def per_second(self, tag: str) -> float | None:
        """Mean of a rate."""
        return self._scaled(tag, 1.0 if _PER_SECOND.fullmatch(text_at(self.metrics, tag, "unit")) else None)

    def _scaled(self, tag: str, factor: float | None) -> float | None:
        value = self.plain(tag)
        if value is None:
            return None
        if factor is None:
            unit = text_at(self.metrics, tag, "unit")
            self.complaints.append(
                LeftOut(f"{self.where}: {tag}", f"{value:g} has the unit '{unit}', which is not known")
            )
            return None
        return value * factor


def _users(config: object, metrics: _Metrics) -> float | str | None:
    """Users as configured; for arrivals at a rate, their mean by Little's law; or why neither is known."""
    if _arrivals(config):
        rate, latency = metrics.per_second("request_throughput"), metrics.milliseconds("request_latency")
        if rate is None or latency is None:
            return "requests arrived at a rate, and without throughput and latency the mean concurrency is unknown"
        return rate * latency / MS_PER_SECOND
    stated = _stated(config, "concurrency")
    if len(stated) > 1:
        return f"several concurrencies are configured: {', '.join(f'{users:g}' for users in sorted(stated))}"
    return next(iter(stated), None)


def _arrivals(config: object) -> bool:
    """Whether requests were sent at a rate or by a schedule, not as soon as others were answered."""
    phases = value_at(config, "phases")
    kinds = {text_at(phase, "type") for phase in phases if not _excluded(phase)} if isinstance(phases, list) else set()
    scheduled = value_at(config, "input", "fixed_schedule") is True
    return bool(_stated(config, "request_rate")) or scheduled or bool(kinds - {_CLOSED_LOOP})


def _stated(node: object, key: str) -> set[float]:
    """Numbers under *key* anywhere in a configuration: every version nests them elsewhere."""
    if isinstance(node, list):
        return set[float]().union(*(_stated(child, key) for child in node))
    if not isinstance(node, dict) or _excluded(node):
        return set()
    values = node.get(key)
    own = {
        users for value in (values if isinstance(values, list) else [values]) if (users := number_at(value)) is not None
    }
    return own.union(*(_stated(child, key) for child in node.values()))


def _excluded(phase: object) -> bool:
    return value_at(phase, "exclude_from_results") is True


def _model(config: object) -> str:
    """The model's name, where exactly one is configured."""
    items = value_at(config, "models", "items")
    named = [text_at(item, "name") for item in items] if isinstance(items, list) else []
    names = named or value_at(config, "endpoint", "model_names") or value_at(config, "model_names")
    names = names or value_at(config, "model")
    if isinstance(names, str):
        return names
    return str(names[0]) if isinstance(names, list) and len(names) == 1 else ""


def _errors(document: object, metrics: _Metrics) -> float:
    counted = metrics.plain("error_request_count")
    if counted is not None:
        return counted
    summary = value_at(document, "error_summary")
    return sum(number_at(one, "count") or 0.0 for one in summary) if isinstance(summary, list) else 0.0
