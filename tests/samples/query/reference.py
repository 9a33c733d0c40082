"""What every engine has to answer: NumPy on the rows themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor.samples.query import Accelerator, Summary, Window


@dataclass(frozen=True)
class Rows:
    """Rows of one metric of one accelerator."""

    accelerator: Accelerator
    metric: str
    end_us: np.ndarray
    mean: np.ndarray
    greatest: np.ndarray | None = None
    """Row maxima; None where rows have none."""


def reference(rows: Rows, window: Window, row_seconds: float) -> Summary | None:
    """The answer for one metric of one accelerator; None where no row is known in the window."""
    inside = (rows.end_us > window.start_us) & (rows.end_us <= window.end_us) & ~np.isnan(rows.mean)
    if not inside.any():
        return None
    mean = rows.mean[inside]
    greatest = mean if rows.greatest is None else rows.greatest[inside]
    p50, p95 = np.quantile(mean, [0.5, 0.95])
    coverage = min(1.0, int(inside.sum()) * row_seconds / window.seconds)
    return Summary(
        rows.accelerator, rows.metric, float(p50), float(p95), float(greatest.max()), float(mean.mean()), coverage,
        int(inside.sum()),
    )  # fmt: skip


def assert_same(found: Sequence[Summary | None], expected: Sequence[Summary | None], places: float = 1e-9) -> None:
    """Alike to one part in a thousand million, in the same order."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None), (one, other)
        if one is None or other is None:
            continue
        assert (one.accelerator, one.metric, one.rows) == (other.accelerator, other.metric, other.rows)
        for what in ("p50", "p95", "max", "mean", "coverage_ratio"):
            here, there = getattr(one, what), getattr(other, what)
            assert abs(here - there) <= places * max(1.0, abs(there)), (what, one, other)
