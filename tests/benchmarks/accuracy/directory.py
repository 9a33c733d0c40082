"""How far the shipped calibration is from a directory of measurements, by scenario and class of evidence."""

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from errors import Errors, percent, table
from measurements import Measurement, read_measurements

from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.models import find_model
from advisor.performance.setups import Answers
from advisor.questions.predict import answer_rows

HEADER = ("quantity", "evidence", "rows", "cells", "median, rows", "p90, rows", "median, cells", "p90, cells", "held")
REASONS = 20


def score(directory: Path) -> None:
    """Print the tables of a directory with ``calibration.csv`` and ``calibration_concurrency.csv``."""
    rows = list(read_measurements(directory))
    answers = answer_rows((row.cells for row in rows), load_catalog())
    groups: dict[str, dict[tuple[str, str], list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, row in enumerate(rows):
        for quantity in row.measured:
            if np.isfinite(answers.value[quantity][at]):
                label = quantity if quantity != "samples_per_second" else f"{quantity} ({row.task})"
                for evidence in ("all", answers.evidence[at]):
                    groups[f"{row.cells['scenario']}, {row.file}"][label, evidence].append(at)
    cells = [cell_of(row) for row in rows]
    for scenario, parts in groups.items():
        lines = [_line(label, members, rows, answers, cells) for label, members in sorted(parts.items())]
        sys.stdout.write(f"\n{scenario}\n\n{table(HEADER, lines)}")
    sys.stdout.write(f"\nabstained: {sum(map(bool, answers.reason))} of {len(rows)} rows\n")
    reasons = Counter(re.sub(r"[\d,.]*\d", "#", reason) for reason in answers.reason if reason)
    for reason, count in reasons.most_common(REASONS):
        sys.stdout.write(f"  {count:>5}  {reason}\n")


def cell_of(row: Measurement) -> str:
    """Architecture × accelerator: models of one family and size are one architecture."""
    try:
        model = find_model(row.cells["model"])
        accelerator = load_catalog().accelerator(row.cells["accelerator"]).name
    except InputError:
        return f"{row.cells['model']} | {row.cells['accelerator']}"
    return f"{model.family} {model.parameters_total / 1e9:.0f}B | {accelerator}"


def _line(
    label: tuple[str, str], members: list[int], rows: list[Measurement], answers: Answers, cells: list[str]
) -> list[str]:
    """Errors of one quantity and class, and the share of rows that the 80 % interval holds."""
    quantity = label[0].split(" ", maxsplit=1)[0]
    measured = np.array([rows[at].measured[quantity] for at in members])
    value, low, high = (part[quantity][members] for part in (answers.value, answers.low, answers.high))
    numbers = Errors.of(np.abs(value / measured - 1), [cells[at] for at in members]).cells_of_table()
    return [*label, *numbers, percent(float(((low <= measured) & (measured <= high)).mean()))]
