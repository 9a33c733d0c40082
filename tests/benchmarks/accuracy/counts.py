"""What needs no held-out predictions: parameter counts, and measurements that no prediction is compared with."""

import re
from collections import Counter
from collections.abc import Sequence

from errors import percent, table

from advisor.calibration.observations import LeftOut, Observations, Reading
from advisor.calibration.one_pass import cases_of
from advisor.catalog import load_catalog
from advisor.data_files import data_dir
from advisor.models import find_model
from advisor.tables import read_rows

TARGET = 1e-3
"""Largest relative error of a parameter count."""
REASONS = 40
"""Reasons that are printed; the others are counted together."""


def parameter_table() -> str:
    """Parameter counts of the catalogued models against the published ones."""
    published = {
        row["name"]: int(row["published_parameters_total"] or 0)
        for row in read_rows(data_dir("instance_catalog") / "models.csv")
    }
    off = {name: find_model(name).parameters_total / total - 1 for name, total in published.items() if total}
    worst = max(off, key=lambda name: abs(off[name]))
    exact = sum(abs(error) <= TARGET for error in off.values())
    lines = [(f"{len(published)}", f"{len(off)}", f"{exact}", f"{off[worst]:+.3%} ({worst})")]
    return table(("models", "with a published count", "within 0.1 %", "largest"), lines)


def abstention_table(reading: Reading, observed: Observations, left_out: Sequence[LeftOut]) -> str:
    """Rows by what became of them, with the reason of those that nothing is compared with."""
    one_pass = len(reading.measurements) - observed.size - len(left_out)
    compared = len(cases_of(reading.measurements, load_catalog()))
    lines = [
        ("compared, token models", observed.size),
        ("compared, one-pass models", compared),
        ("left out: one-pass model of unknown FLOPs or rate, or faster than the peak", one_pass - compared),
    ]
    reasons = Counter(
        f"{kind}: {re.sub(r'[0-9,.]*[0-9]', '#', one.reason)}"
        for kind, some in (("left out", reading.left_out), ("abstained", left_out))
        for one in some
    ).most_common()
    lines += reasons[:REASONS]
    if reasons[REASONS:]:
        lines.append(("other reasons", sum(count for _, count in reasons[REASONS:])))
    total = sum(count for _, count in lines)
    return table(("what", "rows", "share"), ((what, f"{count:,}", percent(count / total)) for what, count in lines))
