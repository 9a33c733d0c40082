"""Our own table of measurements: the columns of ``advisor predict --batch`` and what was measured."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from advisor.calibration.observations import LeftOut, Measurement
from advisor.calibration.readers.checks import (
    LOAD_NUMBERS,
    QUANTITIES,
    Cells,
    Entry,
    Item,
    milliseconds_per,
    number_text,
)
from advisor.errors import InputError
from advisor.performance.setup_cells import SETUP_COLUMNS
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
    found: list[tuple[int, _Column]] = []
    strangers = []
    for at, name in enumerate(header):
        column = _column(name)
        if column is not None:
            found.append((at, column))
        elif _MEASURED.search(name.lower()):
            strangers.append(LeftOut(f"{where}: {name}", _why_not(name)))
    targets = [column.target for _, column in found]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    if twice or not set(targets) & set(QUANTITIES):
        complaint = (
            f"'{twice}' is there twice" if twice else f"no column has a measurement: {', '.join(header) or 'empty'}"
        )
        raise InputError(complaint, where=where, hint=f"known columns: {', '.join(COLUMNS)}")
    return found, strangers


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
    known = f"it may be one of {', '.join(QUANTITIES)}, or ttft and tpot in s, us or ns"
    unit = name.rpartition("_")[2] if "_" in name else ""
    if name.lower().startswith(("ttft", "tpot")):
        stated = f"the unit '{unit}' is not known" if unit else "no unit is stated"
        return f"the column is not read: {stated}; {known}"
    if name.lower().startswith("itl"):
        return "the column is not read: name it tpot_ms if it is the mean time per token after the first"
    return f"the column is not read; {known}"


def _scaled(cell: str, column: _Column) -> str:
    """The cell in our unit; text that is no number stays, and is refused where it is read."""
    if column.factor == 1.0:
        return cell
    try:
        return number_text(float(cell) * column.factor)
    except ValueError:
        return cell
