"""Measurement files of benchmark clients and engines → measurements, and what was left out with the reason.

The format is told by the content. Every reader turns its file into rows of our own table (``entries``); gaps are filled
from what the user told, and one set of checks decides what is usable (``checks``).
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from advisor.calibration.observations import LeftOut, Measurement, Reading
from advisor.calibration.readers.checks import (
    LOAD_NUMBERS,
    QUANTITIES,
    Cells,
    Entry,
    Item,
    documents,
    milliseconds_per,
    number_text,
    reading_of,
)
from advisor.calibration.readers.engine_metrics import Scrape, is_engine_metrics, read_engine_metrics, read_scrapes
from advisor.calibration.readers.load_generators import (
    is_aiperf,
    is_aiperf_table,
    is_guidellm,
    is_latency_result,
    is_serving_result,
    is_throughput_result,
    read_aiperf,
    read_aiperf_table,
    read_guidellm,
    read_latency,
    read_serving,
    read_throughput,
)
from advisor.errors import InputError
from advisor.performance.questions import SETUP_COLUMNS, one_line
from advisor.reading import read_text
from advisor.records import asdict, dataclass
from advisor.units import SECONDS_PER_HOUR, SECONDS_PER_MINUTE

COLUMNS = (*SETUP_COLUMNS, "scenario", *LOAD_NUMBERS, *QUANTITIES, "source")
_TIME = re.compile(r"(?P<quantity>ttft|tpot)_(?P<unit>\w+)")
_RATE = re.compile(r"(?P<quantity>output_tokens|samples)_per_(?P<unit>\w+)")
_PER_SECOND = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 1 / SECONDS_PER_MINUTE,
    "minute": 1 / SECONDS_PER_MINUTE,
    "hour": 1 / SECONDS_PER_HOUR,
}
_MEASURED = re.compile(
    r"(^|_)(ttft|tpot|itl|e2e|e2el|latency|throughput|duration|rps|qps|tps)(_|$)|_per_|_(ms|us|ns|s|sec|seconds)$"
)
"""Names that look like something measured."""
_PREDICTED = ("evidence", "ttft_ms_low")


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a column's cells go, and by what they are multiplied."""

    target: str
    factor: float = 1.0


def read_own_table(text: str, path: Path, told: Cells) -> Iterator[Item]:  # noqa: ARG001 - as every reader
    """An entry per row, and every column that looks measured and is not read.

    Raises:
        InputError: the text is no table of measurements.
    """
    rows = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        columns, strangers = _columns(header, f"{path}:1")
        yield from strangers
        for row in rows:
            where = f"{path}:{rows.line_num}"
            if len(row) > len(header):
                yield LeftOut(where, f"the row has {len(row)} cells, the header {len(header)}")
            elif any(cell.strip() for cell in row):
                yield Entry(where, {column.target: _scaled(row[at], column) for at, column in columns if at < len(row)})
    except csv.Error as error:
        raise InputError(f"this is no CSV table: {error}", where=f"{path}:{rows.line_num}") from error


def write_own_csv(measurements: Iterable[Measurement]) -> str:
    """Measurements as a table that reads back as the same ones."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for measurement in measurements:
        cells = asdict(measurement.setup) | {
            column: getattr(measurement, column) for column in (*LOAD_NUMBERS, *QUANTITIES, "source")
        }
        writer.writerow(
            {name: cell if isinstance(cell, str) else number_text(cell) for name, cell in cells.items()}
            | {"scenario": measurement.scenario.value}
        )
    return written.getvalue()


def _columns(header: Sequence[str], where: str) -> tuple[list[tuple[int, _Column]], list[LeftOut]]:
    if any(name in header for name in _PREDICTED):
        raise InputError(
            "these are predictions, not measurements", where=where, hint="put what was measured into a table"
        )
    columns: list[tuple[int, _Column]] = []
    strangers = []
    for at, name in enumerate(header):
        column = _column(name)
        if column is not None:
            columns.append((at, column))
        elif _MEASURED.search(name.lower()):
            strangers.append(LeftOut(f"{where}: {name}", _why_not(name)))
    targets = [column.target for _, column in columns]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    if twice or not set(targets) & set(QUANTITIES):
        complaint = (
            f"'{twice}' is there twice" if twice else f"no column has a measurement: {', '.join(header) or 'empty'}"
        )
        raise InputError(complaint, where=where, hint=f"known columns: {', '.join(COLUMNS)}")
    return columns, strangers


def _column(name: str) -> _Column | None:
    """The column of ours that a header means for certain."""
    if name in COLUMNS:
        return _Column(name)
    if match := _TIME.fullmatch(name.lower()):
        factor = milliseconds_per(match["unit"])
        return None if factor is None else _Column(f"{match['quantity']}_ms", factor)
    if match := _RATE.fullmatch(name.lower()):
        factor = _PER_SECOND.get(match["unit"])
        return None if factor is None else _Column(f"{match['quantity']}_per_second", factor)
    return None


def _why_not(name: str) -> str:
    allowed = f"it may be one of {', '.join(QUANTITIES)}, or ttft and tpot in s, us or ns"
    unit = name.rpartition("_")[2] if "_" in name else ""
    if name.lower().startswith(("ttft", "tpot")):
        stated = f"the unit '{unit}' is not known" if unit else "no unit is stated"
        return f"the column is not read: {stated}; {allowed}"
    if name.lower().startswith("itl"):
        return "the column is not read: name it tpot_ms if it is the mean time per token after the first"
    return f"the column is not read; {allowed}"


def _scaled(cell: str, column: _Column) -> str:
    """The cell in our unit; text that is no number stays, and is refused where it is read."""
    if column.factor == 1.0:
        return cell
    try:
        return number_text(float(cell) * column.factor)
    except ValueError:
        return cell


NOTHING_TOLD: Cells = MappingProxyType({})
_DocumentReader = Callable[[object, str, Cells], Iterator[Item]]
__all__ = ["FileFormat", "read_measurements", "write_own_csv"]


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
    FileFormat.GUIDELLM: (is_guidellm, read_guidellm),
    FileFormat.VLLM_SERVE: (is_serving_result, read_serving),
    FileFormat.VLLM_THROUGHPUT: (is_throughput_result, read_throughput),
    FileFormat.VLLM_LATENCY: (is_latency_result, read_latency),
    FileFormat.AIPERF: (is_aiperf, read_aiperf),
}


def read_measurements(path: Path, told: Cells = NOTHING_TOLD, file_format: FileFormat | None = None) -> Reading:
    """Everything that a file, or every file of a directory, holds.

    Args:
        path: a file; or a directory, whose scrapes are read as one series and whose other files each on its own.
        told: what the files leave open, by the columns of our own table (set-up, concurrency and lengths).
        file_format: of a single file; None to tell it by its content.

    Raises:
        InputError: nothing can be read, a file contradicts what was told, or nobody names the model or accelerator.
    """
    items = _directory(path, told) if path.is_dir() else _items(_text(path), path, told, file_format)
    reading = reading_of(items, told)
    if not reading.measurements and not reading.left_out:
        raise InputError("there is no measurement in it", where=str(path))
    return reading


def _directory(path: Path, told: Cells) -> Iterator[Item]:
    scrapes: list[Scrape] = []
    for file in sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")):
        try:
            text = _text(file)
            if is_engine_metrics(text):
                scrapes += read_scrapes(text, file)
            else:
                yield from _items(text, file, told, None)
        except InputError as error:
            yield LeftOut(error.where or str(file), one_line(error))
    yield from read_engine_metrics(scrapes, told)


def _items(text: str, path: Path, told: Cells, file_format: FileFormat | None) -> Iterator[Item]:
    """Entries of one file; a reader that fails says where."""
    match file_format or _text_format(text):
        case FileFormat.METRICS:
            return read_engine_metrics(read_scrapes(text, path), told)
        case FileFormat.AIPERF if is_aiperf_table(text):
            return read_aiperf_table(text, path, told)
        case FileFormat.CSV:
            return read_own_table(text, path, told)
        case _:
            return _documents(text, path, told, file_format)


def _text_format(text: str) -> FileFormat | None:
    """The format of a text, None for JSON, whose documents are told apart one by one."""
    if text.lstrip()[:1] in ("{", "["):
        return None
    if is_aiperf_table(text):
        return FileFormat.AIPERF
    return FileFormat.METRICS if is_engine_metrics(text) else FileFormat.CSV


def _documents(text: str, path: Path, told: Cells, file_format: FileFormat | None) -> Iterator[Item]:
    readers = _DOCUMENTS if file_format is None else {file_format: _DOCUMENTS[file_format]}
    for where, document in documents(text, path):
        reader = next((read for matches, read in readers.values() if matches(document)), None)
        if reader is None:
            raise InputError(
                f"this JSON is no result of {', '.join(readers)}",
                where=where,
                hint="give the summary that the benchmark wrote, not its log of single requests",
            )
        yield from reader(document, where, told)


def _text(path: Path) -> str:
    return read_text(path, "measurements")
