"""The published measurements that the shipped calibration rests on, read from the catalog's tables."""

from collections.abc import Iterator
from pathlib import Path

from advisor.calibration.values import LeftOut, Measurement, Reading
from advisor.data_files import data_dir
from advisor.performance.setup_cells import setup_from
from advisor.performance.values import Scenario
from advisor.tables import Record, read_records

FILES = ("measurements.csv", "measurements_cc_by_sa.csv")
"""The second holds what may only be passed on under CC-BY-SA-4.0: delete it, rebuild, and nothing of it is left."""
DOCUMENTS = "measurement_documents.csv"


def load_measurements(directory: Path | None = None) -> Reading:
    """Every shipped measurement; rows that say nothing of their set-up's speed are left out with the reason.

    Raises:
        InputError: a table cannot be read.
    """
    root = directory or data_dir("instance_catalog")
    sources = {row.text("document"): row.text("source") for row in read_records(root / DOCUMENTS)}
    measurements: list[Measurement] = []
    left_out: list[LeftOut] = []
    for name in FILES:
        for record in _records(root / name):
            reason = _unusable(record)
            if reason:
                left_out.append(LeftOut(record.text("id"), reason))
            else:
                measurements.append(_measurement(record, sources))
    return Reading(tuple(measurements), tuple(left_out))


def _records(path: Path) -> Iterator[Record]:
    """Rows of a table; the separable one may be absent."""
    return read_records(path) if path.is_file() else iter(())


def _unusable(record: Record) -> str:
    scenario, flag = record.text("scenario"), record.optional_text("flag")
    if scenario not in set(Scenario):
        return f"{scenario}: the load depends on an arrival rate that is not published"
    return flag


def _measurement(record: Record, sources: dict[str, str]) -> Measurement:
    number = record.optional_number
    return Measurement(
        where=record.text("id"),
        setup=setup_from(record.cells),
        scenario=record.choice("scenario", Scenario),
        concurrency=number("concurrency"),
        input_tokens=number("input_tokens"),
        output_tokens=number("output_tokens"),
        ttft_ms=number("ttft_ms"),
        tpot_ms=number("tpot_ms"),
        output_tokens_per_second=number("output_tokens_per_second"),
        samples_per_second=number("samples_per_second"),
        source=sources[record.text("document")],
    )
