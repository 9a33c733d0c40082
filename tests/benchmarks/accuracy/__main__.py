"""How far predictions are from published measurements: one table per regime.

Run it with ``python tests/benchmarks/accuracy DIRECTORY`` (or set ADVISOR_BENCHMARK_DATA), where the directory holds
``calibration.csv`` and ``calibration_concurrency.csv``. Every cell (architecture × accelerator) counts alike, however
many rows it has; only the last column counts rows. The shipped constants were fitted on the same rows: docs/performance.md has the figures of cells that
were left out of the fit.
"""

import os
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from measurements import Measurement, read_measurements

from advisor.catalog import load_catalog
from advisor.cli.predict_rows import answer_rows
from advisor.errors import InputError
from advisor.models import find_model
from advisor.performance.questions import Answers

HEADINGS = f"  {'quantity':<32}{'rows':>7}{'cells':>7}{'median':>9}{'p90':>9}{'covered':>9}{'of rows':>9}\n"


def main() -> None:
    """Print the tables for the directory named by the argument or by the environment."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ADVISOR_BENCHMARK_DATA", "")
    if not given:
        sys.exit("give the directory of the measurements, or set ADVISOR_BENCHMARK_DATA")
    rows = list(read_measurements(Path(given)))
    answers = answer_rows((row.cells for row in rows), load_catalog())
    cells = [cell_of(row) for row in rows]
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, row in enumerate(rows):
        for quantity in row.measured:
            if np.isfinite(answers.value[quantity][at]):
                label = quantity if quantity != "samples_per_second" else f"{quantity} ({row.task})"
                groups[f"{row.cells['scenario']}, {row.file}"][label].append(at)
    for scenario, quantities in groups.items():
        sys.stdout.write(f"{scenario}\n{HEADINGS}")
        for label, members in sorted(quantities.items()):
            sys.stdout.write(_line(label, members, rows, answers, cells))
    sys.stdout.write(f"\nabstained: {sum(map(bool, answers.reason))} of {len(rows)} rows\n")
    reasons = Counter(re.sub(r"[\d,.]*\d", "#", reason) for reason in answers.reason if reason)
    for reason, count in reasons.most_common(20):
        sys.stdout.write(f"  {count:>5}  {reason}\n")


def cell_of(row: Measurement) -> str:
    """Architecture × accelerator: models of one family and size are one architecture."""
    try:
        model = find_model(row.cells["model"])
        accelerator = load_catalog().accelerator(row.cells["accelerator"]).name
    except InputError:
        return f"{row.cells['model']} | {row.cells['accelerator']}"
    return f"{model.family} {model.parameters_total / 1e9:.0f}B | {accelerator}"


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Smallest value below which at least ``share`` of the weight lies."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(np.searchsorted(reached, share), values.size - 1)])


def _line(label: str, members: list[int], rows: list[Measurement], answers: Answers, cells: list[str]) -> str:
    """Median and 90th percentile of |predicted / measured - 1|, and the share that the 80 % interval holds."""
    quantity = label.split(" ", maxsplit=1)[0]
    measured = np.array([rows[at].measured[quantity] for at in members])
    value, low, high = (part[quantity][members] for part in (answers.value, answers.low, answers.high))
    counts = Counter(cells[at] for at in members)
    weights = np.array([1 / counts[cells[at]] for at in members])
    error = np.abs(value / measured - 1)
    inside = (low <= measured) & (measured <= high)
    covered = float(np.average(inside, weights=weights))
    median, p90 = (weighted_quantile(error, weights, share) for share in (0.5, 0.9))
    return (
        f"  {label:<32}{len(members):>7}{len(counts):>7}{median:>9.1%}{p90:>9.1%}{covered:>9.1%}{inside.mean():>9.1%}\n"
    )


if __name__ == "__main__":
    main()
