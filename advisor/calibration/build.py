"""The shipped calibration, from the measurements of the catalog to its files: same measurements, same bytes."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.atomic_files import make_directory, write_bytes
from advisor.calibration.observations import Measurement, Observations
from advisor.calibration.one_pass import document_text, fit_one_pass
from advisor.calibration.validation import SPLITS, HeldOut, Misses, fit, hold_out, spreads_of
from advisor.catalog import Catalog
from advisor.performance.calibration import (
    BASE,
    CONSTANTS,
    DIRECTORY,
    INTERVALS,
    MEASURED,
    OWN,
    PUBLISHED,
    RESIDUAL,
    Calibration,
    Group,
    Residual,
    Spread,
    SpreadKey,
)
from advisor.performance.constants import TABLE, ConstantTable
from advisor.performance.regimes import LOAD_COLUMNS, MeasuredCoverage, architecture
from advisor.tables import read_records

ONE_PASS = "one_pass.json"  # noqa: S105 - a file name
ARRAYS = ("nodes", "mean", "deviation", "relevance", "points", "weights", "linear", "offset")


def rebuild(
    observed: Observations, measurements: Sequence[Measurement], catalog: Catalog, tell: Callable[[str], None]
) -> dict[str, bytes]:  # fmt: skip
    """Content of every file of the calibration, by name.

    Args:
        observed: what the token models rest on.
        measurements: all of them; those of models that answer in one pass are taken from here.
        catalog: what they name.
        tell: is told what is being done, for there are minutes of it.
    """
    held: list[HeldOut] = []
    for split in SPLITS:
        tell(f"predicting what was left out, by {split}")
        held.append(hold_out(observed, split))
    tell("fitting on everything")
    files = files_of(fit(observed), spreads_of(Misses.of(held)), families_of(observed))
    return files | {ONE_PASS: one_pass_bytes(measurements, catalog)}


def one_pass_bytes(measurements: Sequence[Measurement], catalog: Catalog) -> bytes:
    """Fit for models that answer in one pass, as the bytes of its file."""
    return document_text(fit_one_pass(measurements, catalog)).encode()


def own_files(calibration: Calibration, own: Observations, catalog_directory: Path) -> dict[str, bytes]:
    """A calibration of one's own: the shipped files, what was measured, and what was learned."""
    shipped = {name: (catalog_directory / DIRECTORY / name).read_bytes() for name in (CONSTANTS, INTERVALS, RESIDUAL)}
    rows = read_records(catalog_directory / DIRECTORY / MEASURED)
    families = {row.text("architecture"): row.text("family") for row in rows} | families_of(own)
    measured = _table(_MEASURED_COLUMNS, _measured_rows(calibration.reach, families))
    learned = calibration.own
    arrays = {} if learned is None else _arrays(learned.residuals) | {PUBLISHED: learned.published}
    return shipped | {MEASURED: measured, OWN: _archive(arrays)}


def families_of(observed: Observations) -> dict[str, str]:
    """Family of each architecture."""
    return {architecture(deployment): deployment.family for deployment in observed.deployments}


def files_of(
    calibration: Calibration, spreads: dict[SpreadKey, Spread], families: dict[str, str]
) -> dict[str, bytes]:  # fmt: skip
    """A calibration as files."""
    return {
        CONSTANTS: _table(("of", "name", "value"), _constant_rows(calibration.constants)),
        INTERVALS: _table(
            ("evidence", "scenario", "quantity", "low", "high"),
            [(*key, spread.low, spread.high) for key, spread in spreads.items()],
        ),
        MEASURED: _table(_MEASURED_COLUMNS, _measured_rows(calibration.reach, families)),
        RESIDUAL: archive_of(calibration.residuals),
    }


def write_files(files: dict[str, bytes], directory: Path) -> None:
    """Write a calibration into a directory, each file in one step.

    Raises:
        InputError: the directory cannot be made or written to.
    """
    make_directory(directory)
    for name, content in files.items():
        write_bytes(directory / name, content)


def archive_of(residuals: Mapping[Group, Residual]) -> bytes:
    """Residuals as one archive of plain arrays; NumPy dates every member alike, so the bytes are the same."""
    return _archive(_arrays(residuals))


def _arrays(residuals: Mapping[Group, Residual]) -> dict[str, npt.NDArray[Any]]:
    return {f"{group}.{name}": getattr(residual, name) for group, residual in residuals.items() for name in ARRAYS}


def _archive(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _constant_rows(table: ConstantTable) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [(BASE, constant.name, table.base[constant.name]) for constant in TABLE]
    rows += [(of, name, value) for of, groups in table.multipliers.items() for name, value in groups.items()]
    return rows


_MEASURED_COLUMNS = (
    "architecture", "family", "accelerator", "stack", "shards", "scenario",
    *(f"{name}_{end}" for name in LOAD_COLUMNS for end in ("low", "high")),
)  # fmt: skip


def _measured_rows(reach: MeasuredCoverage, families: dict[str, str]) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    for (setup, scenario), held in sorted(reach.measured.items()):
        ends = [f"{end:.6g}" for pair in zip(held.low, held.high, strict=True) for end in pair]
        rows.append((setup[0], families[setup[0]], *setup[1:], scenario, *ends))
    return rows


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
