"""Counters of vLLM and SGLang about themselves: the difference of two scrapes is a measurement of real traffic."""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from advisor.calibration.readers.entries import DESCRIBE_SPECULATION, Cells, Entry, Item, number_text, quotient
from advisor.calibration.readers.exposition import Sample, Scrape
from advisor.calibration.values import LeftOut
from advisor.performance.values import Scenario
from advisor.units import MS_PER_SECOND

_SERIES = re.compile(r"(vllm|sglang)[:_](\w+)")
_LINE = re.compile(rf"{_SERIES.pattern}(\{{.*\}})?\s+[^\s,]+\s*")
_ENGINES = {"vllm": "vLLM", "sglang": "SGLang"}
_COUNTERS = ("_total", "_sum", "_count")
_FAILURES = ("abort", "error")
_TIME_PER_TOKEN = (
    "request_time_per_output_token_seconds",
    "inter_token_latency_seconds",
    "time_per_output_token_seconds",
)  # fmt: skip
"""The best first: per request as benchmarks report it, else per token."""
_FINISHED = ("request_success_total", "num_requests_total")
_FAILED = ("request_failed_total", "num_aborted_requests_total")
_IN_SYSTEM = ("num_requests_running", "num_requests_waiting", "num_running_reqs", "num_queue_reqs")
_SPECULATED = ("spec_decode_num_drafts_total", "spec_verify_calls_total")
_CACHED = (("prefix_cache_hits_total", "prefix_cache_queries_total"), ("cached_tokens_total", "prompt_tokens_total"))

_Totals = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Point:
    """Counters of one engine for one model at one time."""

    where: str
    time: dt.datetime
    totals: _Totals


def is_engine_metrics(text: str) -> bool:
    """Whether the text is a scrape of vLLM or SGLang."""
    return any(_LINE.fullmatch(line) for line in text.splitlines())


def read_engine_metrics(scrapes: Iterable[Scrape], told: Cells) -> Iterator[Item]:
    """An entry for every model and every time between restarts."""
    series: dict[tuple[str, str], list[_Point]] = defaultdict(list)
    for scrape in sorted(scrapes, key=lambda scrape: scrape.time):
        for key, totals in _totals(scrape.samples).items():
            series[key].append(_Point(scrape.where, scrape.time, totals))
    for (engine, model), points in series.items():
        if any("generation_tokens_total" in point.totals for point in points):
            for stretch in _stretches(points):
                yield from [stretch] if isinstance(stretch, LeftOut) else _read_stretch(engine, model, stretch, told)


def _totals(samples: Iterable[Sample]) -> dict[tuple[str, str], dict[str, float]]:
    """Sums over engines, ranks and reasons, by engine and model."""
    totals: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for sample in samples:
        match = _SERIES.fullmatch(sample.name)
        if match is None or match[2].endswith("_bucket"):
            continue
        failed = match[2] == _FINISHED[0] and sample.labels.get("finished_reason") in _FAILURES
        totals[match[1], sample.labels.get("model_name", "")][_FAILED[0] if failed else match[2]] += sample.value
    return totals


def _stretches(points: Sequence[_Point]) -> Iterator[list[_Point] | LeftOut]:
    """The times between restarts, and every restart."""
    stretch = [points[0]]
    for before, after in pairwise(points):
        fallen = _fallen(before.totals, after.totals)
        if fallen:
            fall = f"{fallen} fell from {before.totals[fallen]:,g} to {after.totals[fallen]:,g}"
            yield LeftOut(after.where, f"the engine was restarted ({fall}); before and after are read apart")
            yield stretch
            stretch = []
        stretch.append(after)
    yield stretch


def _fallen(before: _Totals, after: _Totals) -> str:
    """A counter that fell, "" where none did."""
    return next((name for name in after if name.endswith(_COUNTERS) and after[name] < before.get(name, 0.0)), "")


def _read_stretch(engine: str, model: str, points: Sequence[_Point], told: Cells) -> Iterator[Item]:
    where, seconds = points[0].where, (points[-1].time - points[0].time).total_seconds()
    growth = _growth(points[0].totals, points[-1].totals)
    finished = _first(growth, _FINISHED)
    if seconds <= 0 or not finished:
        yield LeftOut(where, f"{len(points)} scrapes over {seconds:,g} s, {finished or 0:g} requests were finished")
        return
    drafts = _first(growth, _SPECULATED)
    if drafts and not told.get("draft_tokens"):
        yield LeftOut(where, f"tokens were drafted {drafts:,g} times: {DESCRIBE_SPECULATION}")
        return
    failed = _first(growth, _FAILED) or 0.0
    succeeded = finished - failed if engine == "sglang" else finished
    cells = _cells(growth, seconds, _mean_users(points, growth, seconds), finished)
    yield Entry(where, cells | {"model": model, "engine": _ENGINES[engine]}, succeeded, failed)


def _cells(growth: _Totals, seconds: float, users: float | None, finished: float) -> dict[str, str]:
    tpot = next((mean for name in _TIME_PER_TOKEN if (mean := _mean(growth, name)) is not None), None)
    ttft = _mean(growth, "time_to_first_token_seconds")
    prompts = _mean(growth, "request_prompt_tokens") or quotient(growth.get("prompt_tokens_total"), finished)
    answers = _mean(growth, "request_generation_tokens") or quotient(growth.get("generation_tokens_total"), finished)
    return {
        "scenario": Scenario.FIXED_CONCURRENCY,
        "concurrency": number_text(users),
        "input_tokens": number_text(prompts),
        "output_tokens": number_text(answers),
        "prefix_cache_hit_ratio": number_text(_cached_share(growth)),
        "ttft_ms": number_text(None if ttft is None else ttft * MS_PER_SECOND),
        "tpot_ms": number_text(None if tpot is None else tpot * MS_PER_SECOND),
        "output_tokens_per_second": number_text(quotient(growth.get("generation_tokens_total"), seconds)),
    }


def _growth(first: _Totals, last: _Totals) -> _Totals:
    """How much every counter grew; one that was not there yet was zero."""
    return {name: last[name] - first.get(name, 0.0) for name in last if name.endswith(_COUNTERS)}


def _mean(growth: _Totals, histogram: str) -> float | None:
    return quotient(growth.get(f"{histogram}_sum"), growth.get(f"{histogram}_count"))


def _first(growth: _Totals, names: Sequence[str]) -> float | None:
    return next((growth[name] for name in names if name in growth), None)


def _mean_users(points: Sequence[_Point], growth: _Totals, seconds: float) -> float | None:
    """Requests in the engine on average: seconds spent by finished requests per second (Little), else the gauges."""
    spent = growth.get("e2e_request_latency_seconds_sum")
    if spent is not None:
        return spent / seconds
    levels = [[point.totals[name] for name in _IN_SYSTEM if name in point.totals] for point in points]
    if not all(levels):
        return None
    spans = [(after.time - before.time).total_seconds() for before, after in pairwise(points)]
    areas = [(sum(low) + sum(high)) / 2 * span for (low, high), span in zip(pairwise(levels), spans, strict=True)]
    return sum(areas) / seconds


def _cached_share(growth: _Totals) -> float | None:
    """Share of the prompts' tokens that came out of the prefix cache."""
    shares = (quotient(growth.get(hits), growth.get(asked)) for hits, asked in _CACHED)
    return next((share for share in shares if share is not None), None)
