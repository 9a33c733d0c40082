"""Busiest minute ÷ mean of real services within windows of some length: the table of advisor/demand/busy.py.

    python tests/benchmarks/bench_bursts.py DIRECTORY

DIRECTORY holds ``servegen/language/*/*-trace.csv`` (rates of every ten minutes, from which minutes are drawn with the
coefficient of variation that is stated) and ``azure_llm_2023/*.csv`` (one request a row). Clients below 1 request/s are
left out; each service weighs alike, windows overlap by half.
"""

import csv
import datetime as dt
import sys
from pathlib import Path

import numpy as np

HOURS = (1, 6, 24, 72, 168, 336)
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def main():
    """Print quantiles for each length of window."""
    if len(sys.argv) < 2:
        print("give the directory of the traces")
        return
    directory = Path(sys.argv[1])
    chance = np.random.default_rng(0)
    services = [drawn(path, chance) for path in sorted(directory.glob("servegen/language/*/*-trace.csv"))]
    services = [minutes for minutes in services if minutes.mean() >= 60]
    services += [counted(path) for path in sorted(directory.glob("azure_llm_2023/*.csv"))]
    print(f"{'hours':>5} services " + " ".join(f"{level:>6.0%}" for level in LEVELS))
    for hours in HOURS:
        ratios = [found for minutes in services if (found := windows(minutes, hours)).size]
        values = np.concatenate(ratios)
        weights = np.concatenate([np.full(found.size, 1 / found.size / len(ratios)) for found in ratios])
        order = np.argsort(values)
        at = np.searchsorted(np.cumsum(weights[order]), LEVELS)
        print(f"{hours:>5} {len(ratios):>8} " + " ".join(f"{value:>6.2f}" for value in values[order][at]))


def windows(minutes, hours):
    """The ratio in each window that the service is long enough for."""
    length = hours * 60
    if minutes.size < 0.95 * length:
        return np.zeros(0)
    starts = range(0, max(minutes.size - length + 1, 1), length // 2)
    parts = [minutes[start : start + length] for start in starts]
    return np.array([part.max() / part.mean() for part in parts if part.mean() > 0])


def drawn(path, chance):
    """Requests in each minute of a ServeGen client."""
    minutes = []
    for row in csv.reader(path.open(encoding="utf-8")):
        mean, dispersion = float(row[1]) * 60, max(float(row[2] or 1) ** 2, 1.0)
        if mean <= 0:
            minutes.append(np.zeros(10))
        elif dispersion > 1.001:
            minutes.append(chance.negative_binomial(mean / (dispersion - 1), 1 / dispersion, 10))
        else:
            minutes.append(chance.poisson(mean, 10))
    return np.concatenate(minutes).astype(float)


def counted(path):
    """Requests in each whole minute of a trace."""
    with path.open(encoding="utf-8") as file:
        seconds = np.array(
            [dt.datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in csv.DictReader(file)]
        )
    return np.bincount(((seconds - seconds.min()) // 60).astype(int))[:-1].astype(float)


if __name__ == "__main__":
    main()
