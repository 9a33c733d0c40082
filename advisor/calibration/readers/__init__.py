"""Measurement files of benchmark clients and engines → measurements, and what was left out with the reason.

The format is told by the content. Every reader turns its file into rows of our own table (``entries``); gaps are filled
from what the user told, and one set of checks decides what is usable (``checks``).
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from advisor.calibration.observations import LeftOut, Reading
from advisor.calibration.readers.aiperf import is_aiperf, is_aiperf_table, read_aiperf, read_aiperf_table
from advisor.calibration.readers.checks import Cells, Item, documents, reading_of
from advisor.calibration.readers.engine_metrics import Scrape, is_engine_metrics, read_engine_metrics, read_scrapes
from advisor.calibration.readers.guidellm import is_guidellm, read_guidellm
from advisor.calibration.readers.own_table import read_own_table, write_own_csv
from advisor.calibration.readers.vllm_bench import (
    is_latency_result,
    is_serving_result,
    is_throughput_result,
    read_latency,
    read_serving,
    read_throughput,
)
from advisor.errors import InputError
from advisor.performance.setup_cells import one_line
from advisor.reading import read_text

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
    for file in sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith(".")):
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
