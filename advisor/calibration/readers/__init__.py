"""Measurement files of benchmark clients and engines → measurements, and what was left out with the reason.

The format is told by the content. Every reader turns its file into rows of our own table (``entries``); gaps are filled
from what the user told, and one set of checks decides what is usable (``checks``).

Counters of vLLM and SGLang, scraped as text: the difference of two scrapes is a measurement of real traffic.
"""

import csv
import datetime as dt
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from advisor.calibration.observations import LeftOut, Measurement, Reading
from advisor.calibration.readers import checks, load_generators
from advisor.errors import InputError
from advisor.performance import Scenario
from advisor.performance.setups import SETUP_COLUMNS, one_line
from advisor.reading import read_text
from advisor.records import asdict, dataclass, picked
from advisor.tables import numbered_rows
from advisor.units import MS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_MARK = re.compile(r"#\s*scrape\s+(\S+)\s*")
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"')
_TIME_IN_NAME = re.compile(r"\d{8}T\d{6}Z?|(?<!\d)\d{10}(?!\d)")
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
class Sample:
    """One series at one time."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """Everything that the endpoint said at one time."""

    where: str
    time: dt.datetime
    samples: tuple[Sample, ...]


def _read_scrapes(text: str, path: Path) -> Iterator[Scrape]:
    """Scrapes of a file: after each line ``# scrape <RFC 3339 time>``, or one at the time in the file's name."""
    start, time, samples = 1, None, list[Sample]()
    for line, content in enumerate(text.splitlines(), start=1):
        mark = _MARK.fullmatch(content)
        if mark:
            if samples:
                yield Scrape(f"{path}:{start}", time or _time_in_name(path), tuple(samples))
            start, time, samples = line, _time(mark[1], f"{path}:{line}"), []
        elif content.strip() and not content.startswith("#"):
            samples.append(_sample(content, f"{path}:{line}"))
    if samples:
        yield Scrape(f"{path}:{start}", time or _time_in_name(path), tuple(samples))


def _sample(content: str, where: str) -> Sample:
    match = _SAMPLE.fullmatch(content.strip())
    with suppress(ValueError):
        if match:
            return Sample(match["name"], dict(_LABEL.findall(match["labels"] or "")), float(match["value"]))
    raise InputError(f"this is not a line of the Prometheus text format: {content[:80]}", where=where)


def _time(text: str, where: str) -> dt.datetime:
    """A time; one without a zone is taken as UTC."""
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"'{text}' is not a time", where=where, hint="write it as 2026-01-31T12:00:00Z") from None
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time


def _time_in_name(path: Path) -> dt.datetime:
    match = _TIME_IN_NAME.search(path.name)
    if match is None:
        hint = "put '# scrape 2026-01-31T12:00:00Z' before it, or the time into the file's name (20260131T120000Z)"
        raise InputError("the scrape has no time", where=str(path), hint=hint)
    if match[0].isdigit():
        return dt.datetime.fromtimestamp(int(match[0]), tz=dt.UTC)
    return _time(match[0], str(path))


@dataclass(frozen=True, slots=True)
class _Point:
    """Counters of one engine for one model at one time."""

    where: str
    time: dt.datetime
    totals: _Totals


def is_engine_metrics(text: str) -> bool:
    """Whether the text is a scrape of vLLM or SGLang."""
    return any(_LINE.fullmatch(line) for line in text.splitlines())


def read_engine_metrics(scrapes: Iterable[Scrape], told: checks.Cells) -> Iterator[checks.Item]:
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


def _read_stretch(engine: str, model: str, points: Sequence[_Point], told: checks.Cells) -> Iterator[checks.Item]:
    where, seconds = points[0].where, (points[-1].time - points[0].time).total_seconds()
    first, last = points[0].totals, points[-1].totals
    growth = {name: last[name] - first.get(name, 0.0) for name in last if name.endswith(_COUNTERS)}
    finished = _first(growth, _FINISHED)
    if seconds <= 0 or not finished:
        yield LeftOut(where, f"{len(points)} scrapes over {seconds:,g} s, {finished or 0:g} requests were finished")
        return
    drafts = _first(growth, _SPECULATED)
    if drafts and not told.get("draft_tokens"):
        yield LeftOut(where, f"tokens were drafted {drafts:,g} times: {checks.DESCRIBE_SPECULATION}")
        return
    failed = _first(growth, _FAILED) or 0.0
    succeeded = finished - failed if engine == "sglang" else finished
    tpot = next((mean for name in _TIME_PER_TOKEN if (mean := _mean(growth, name)) is not None), None)
    ttft = _mean(growth, "time_to_first_token_seconds")
    prompts = _mean(growth, "request_prompt_tokens") or checks.quotient(growth.get("prompt_tokens_total"), finished)
    answers = _mean(growth, "request_generation_tokens") or checks.quotient(
        growth.get("generation_tokens_total"), finished
    )
    shares = (checks.quotient(growth.get(hits), growth.get(asked)) for hits, asked in _CACHED)
    cells = {
        "scenario": Scenario.FIXED_CONCURRENCY,
        "concurrency": checks.number_text(_mean_users(points, growth, seconds)),
        "input_tokens": checks.number_text(prompts),
        "output_tokens": checks.number_text(answers),
        "prefix_cache_hit_ratio": checks.number_text(next((share for share in shares if share is not None), None)),
        "ttft_ms": checks.number_text(None if ttft is None else ttft * MS_PER_SECOND),
        "tpot_ms": checks.number_text(None if tpot is None else tpot * MS_PER_SECOND),
        "output_tokens_per_second": checks.number_text(checks.quotient(growth.get("generation_tokens_total"), seconds)),
    }
    yield checks.Entry(where, cells | {"model": model, "engine": _ENGINES[engine]}, succeeded, failed)


def _mean(growth: _Totals, histogram: str) -> float | None:
    return checks.quotient(growth.get(f"{histogram}_sum"), growth.get(f"{histogram}_count"))


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


COLUMNS = (*SETUP_COLUMNS, "scenario", *checks.LOAD_NUMBERS, *checks.QUANTITIES, "source")
_TIME = re.compile(r"(?P<quantity>ttft|tpot)_(?P<unit>\w+)")
_RATE = re.compile(r"(?P<quantity>output_tokens|samples)_per_(?P<unit>\w+)")
_PER_SECOND = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("min", "minute"), 1 / SECONDS_PER_MINUTE),
    "hour": 1 / SECONDS_PER_HOUR,
}
_MEASURED = re.compile(
    r"(^|_)(ttft|tpot|itl|e2e|e2el|latency|throughput|duration|rps|qps|tps)(_|$)|_per_|_(ms|us|ns|s|sec|seconds)$"
)
"""Names that look like something measured."""
_PREDICTED = ("evidence", "ttft_ms_low")


def _read_own_table(text: str, path: Path, told: checks.Cells) -> Iterator[checks.Item]:  # noqa: ARG001 - as every reader
    """An entry per row, and every column that looks measured and is not read."""
    rows = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        columns, strangers = _columns(header, f"{path}:1")
        yield from strangers
        for line, row in numbered_rows(rows):
            where = f"{path}:{line}"
            if len(row) > len(header):
                yield LeftOut(where, f"the row has {len(row)} cells, the header {len(header)}")
            elif any(cell.strip() for cell in row):
                cells = {target: _scaled(row[at], factor) for at, target, factor in columns if at < len(row)}
                yield checks.Entry(where, cells)
    except csv.Error as error:
        raise InputError(f"this is not a CSV table: {error}", where=f"{path}:{rows.line_num}") from error


def write_own_csv(measurements: Iterable[Measurement]) -> str:
    """Measurements as a table that reads back as the same ones."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for measurement in measurements:
        cells = asdict(measurement.setup) | picked(measurement, *checks.LOAD_NUMBERS, *checks.QUANTITIES, "source")
        texts = {name: cell if isinstance(cell, str) else checks.number_text(cell) for name, cell in cells.items()}
        writer.writerow(texts | {"scenario": measurement.scenario.value})
    return written.getvalue()


def _columns(header: Sequence[str], where: str) -> tuple[list[tuple[int, str, float]], list[LeftOut]]:
    if any(name in header for name in _PREDICTED):
        hint = "put what was measured into a table"
        raise InputError("these are predictions, not measurements", where=where, hint=hint)
    columns: list[tuple[int, str, float]] = []
    strangers = []
    for at, name in enumerate(header):
        column = _column(name)
        if column is not None:
            columns.append((at, *column))
        elif _MEASURED.search(name.lower()):
            strangers.append(LeftOut(f"{where}: {name}", _why_not(name)))
    targets = [target for _, target, _ in columns]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    if twice or not set(targets) & set(checks.QUANTITIES):
        unmeasured = f"no column has a measurement: {', '.join(header) or 'empty'}"
        told = f"'{twice}' is there twice" if twice else unmeasured
        raise InputError(told, where=where, hint=f"known columns: {', '.join(COLUMNS)}")
    return columns, strangers


def _column(name: str) -> tuple[str, float] | None:
    """The column of ours that a header means for certain, and by what its cells are multiplied."""
    if name in COLUMNS:
        return name, 1.0
    if match := _TIME.fullmatch(name.lower()):
        factor, target = checks.milliseconds_per(match["unit"]), f"{match['quantity']}_ms"
    elif match := _RATE.fullmatch(name.lower()):
        factor, target = _PER_SECOND.get(match["unit"]), f"{match['quantity']}_per_second"
    else:
        return None
    return None if factor is None else (target, factor)


def _why_not(name: str) -> str:
    allowed = f"it may be one of {', '.join(checks.QUANTITIES)}, or ttft and tpot in s, us or ns"
    unit = name.rpartition("_")[2] if "_" in name else ""
    if name.lower().startswith(("ttft", "tpot")):
        stated = f"the unit '{unit}' is not known" if unit else "no unit is stated"
        return f"the column is not read: {stated}; {allowed}"
    if name.lower().startswith("itl"):
        return "the column is not read: name it tpot_ms if it is the mean time per token after the first"
    return f"the column is not read; {allowed}"


def _scaled(cell: str, factor: float) -> str:
    """The cell in our unit; text that is not a number stays, and is refused where it is read."""
    try:
        return cell if factor == 1.0 else checks.number_text(float(cell) * factor)
    except ValueError:
        return cell


NOTHING_TOLD: checks.Cells = MappingProxyType({})
_DocumentReader = Callable[[object, str, checks.Cells], Iterator[checks.Item]]


class FileFormat(StrEnum):
    """Format of a measurement file."""

    CSV = "csv"
    """Our own table."""
    GUIDELLM = "guidellm"
    VLLM_SERVE = "vllm-serve"
    """Also of SGLang's client."""
    VLLM_THROUGHPUT = "vllm-throughput"
    VLLM_LATENCY = "vllm-latency"
    AIPERF = "aiperf"
    """Also of genai-perf; JSON or CSV."""
    METRICS = "metrics"
    """Scrapes of vLLM or SGLang."""


_DOCUMENTS: Mapping[FileFormat, tuple[Callable[[object], bool], _DocumentReader]] = {
    FileFormat.GUIDELLM: (load_generators.is_guidellm, load_generators.read_guidellm),
    FileFormat.VLLM_SERVE: (load_generators.is_serving_result, load_generators.read_serving),
    FileFormat.VLLM_THROUGHPUT: (load_generators.is_throughput_result, load_generators.read_throughput),
    FileFormat.VLLM_LATENCY: (load_generators.is_latency_result, load_generators.read_latency),
    FileFormat.AIPERF: (load_generators.is_aiperf, load_generators.read_aiperf),
}


def read_measurements(path: Path, told: checks.Cells = NOTHING_TOLD, file_format: FileFormat | None = None) -> Reading:
    """Everything that a file, or every file of a directory, holds.

    *path*: a file; or a directory, whose scrapes are read as one series and whose other files each on its own. *told*:
    what the files leave open, by the columns of our own table (set-up, concurrency and lengths). *file_format*: of a
    single file; None to tell it by its content. Raises InputError if nothing can be read, a file contradicts what was
    told, or nobody names the model or accelerator.
    """
    is_file = not path.is_dir()
    items = _items(read_text(path, "measurements"), path, told, file_format) if is_file else _directory(path, told)
    reading = checks.reading_of(items, told)
    if not reading.measurements and not reading.left_out:
        raise InputError(
            "there is no measurement in it", where=str(path), hint="give the result of a benchmark, or a CSV table"
        )
    return reading


def _directory(path: Path, told: checks.Cells) -> Iterator[checks.Item]:
    scrapes: list[Scrape] = []
    for file in sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")):
        try:
            text = read_text(file, "measurements")
            if is_engine_metrics(text):
                scrapes += _read_scrapes(text, file)
            else:
                yield from _items(text, file, told, None)
        except InputError as error:
            yield LeftOut(error.where or str(file), one_line(error))
    yield from read_engine_metrics(scrapes, told)


def _items(text: str, path: Path, told: checks.Cells, file_format: FileFormat | None) -> Iterator[checks.Item]:
    """Entries of one file; a reader that fails says where."""
    match file_format or _text_format(text):
        case FileFormat.METRICS:
            return read_engine_metrics(_read_scrapes(text, path), told)
        case FileFormat.AIPERF if load_generators.is_aiperf_table(text):
            return load_generators.read_aiperf_table(text, path, told)
        case FileFormat.CSV:
            return _read_own_table(text, path, told)
        case _:
            return _documents(text, path, told, file_format)


def _text_format(text: str) -> FileFormat | None:
    """The format of a text, None for JSON, whose documents are told apart one by one."""
    if text.lstrip()[:1] in ("{", "["):
        return None
    if load_generators.is_aiperf_table(text):
        return FileFormat.AIPERF
    return FileFormat.METRICS if is_engine_metrics(text) else FileFormat.CSV


def _documents(text: str, path: Path, told: checks.Cells, file_format: FileFormat | None) -> Iterator[checks.Item]:
    readers = _DOCUMENTS if file_format is None else {file_format: _DOCUMENTS[file_format]}
    for where, document in checks.documents(text, path):
        reader = next((read for matches, read in readers.values() if matches(document)), None)
        if reader is None:
            hint = "give the summary that the benchmark wrote, not its log of single requests"
            raise InputError(f"this JSON is not a result of {', '.join(readers)}", where=where, hint=hint)
        yield from reader(document, where, told)
