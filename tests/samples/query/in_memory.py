"""A backend over arrays that follows the words of the question to the letter: the measure for every other."""

from collections.abc import Sequence

import numpy as np

from advisor.samples.query import Accelerator, Summary, Window


class InMemory:
    """Rows as (accelerator, metric, end µs, mean, greatest or None), fifteen seconds each."""

    def __init__(self, rows, row_seconds=15.0, notes=()):
        """Keep them."""
        self._rows = list(rows)
        self._row_seconds = row_seconds
        self._notes = tuple(notes)

    def window(self):
        """From the begin of the first row to the end of the last."""
        if not self._rows:
            return None
        ends = [row[2] for row in self._rows]
        return Window(min(ends) - int(self._row_seconds * 1e6), max(ends))

    def accelerators(self, window):
        """In order of host, index and MIG instance."""
        return sorted(
            {row[0] for row in self._within(window)},
            key=lambda one: (one.host, one.index, -1 if one.mig_index is None else one.mig_index, one.uuid or ""),
        )

    def metrics(self, window):
        """Names with values."""
        return sorted({row[1] for row in self._within(window)})

    def summary(self, accelerator, metric, window):
        """Quantiles of the row means, and the greatest of the row maxima."""
        found = [row for row in self._within(window) if row[0] == accelerator and row[1] == metric]
        if not found:
            return None
        means = np.array([row[3] for row in found])
        p50, p95 = np.quantile(means, [0.5, 0.95])
        greatest = max(row[3] if row[4] is None else row[4] for row in found)
        coverage = min(len(found) * self._row_seconds / window.seconds, 1.0)
        return Summary(
            accelerator, metric, float(p50), float(p95), float(greatest), float(means.mean()), coverage, len(found)
        )

    def summaries(self, metrics: Sequence[str], window: Window):
        """The same for all."""
        for accelerator in self.accelerators(window):
            for metric in metrics:
                found = self.summary(accelerator, metric, window)
                if found is not None:
                    yield found

    def notes(self):
        """What was given."""
        return self._notes

    def _within(self, window):
        return [row for row in self._rows if window.start_us < row[2] <= window.end_us]


def rows_of(timeline):
    """Known rows of a timeline."""
    who = Accelerator(
        timeline.who.host, timeline.who.index, timeline.who.mig_index, timeline.who.uuid, timeline.who.product
    )
    for metric, means in timeline.means.items():
        for row in np.flatnonzero(~np.isnan(means)):
            end_us = timeline.grid.start_us + int(row + 1) * timeline.grid.row_us
            greatest = timeline.maxima.get(metric)
            yield who, metric, end_us, float(means[row]), None if greatest is None else float(greatest[row])
