"""Back-tests of the forecast on real and made-up rates of several days; prints, asserts nothing.

Every method forecasts the week after each of the last third of the days (four weeks at most) from what came before.
ServeGen's clients have their rate every ten minutes for two weeks (language model serving at Alibaba, Apache-2.0).
The made-up series has 35 days: a day, a week, 0.6 % growth a day, correlated noise and six surges.
"""

import time
from pathlib import Path

import numpy as np

from advisor.demand.clock import MONDAY_SECONDS
from advisor.demand.forecast import forecast
from advisor.demand.values import DemandProfile

SERVEGEN = Path(__file__).parents[3] / "shared/data/traces/servegen/language"
WINDOW_MINUTES = 10


def servegen(category: Path) -> DemandProfile:
    """All clients of a category together, minute by minute."""
    rates: dict[float, float] = {}
    for client in sorted(category.glob("*-trace.csv")):
        for line in client.read_text().splitlines():
            start, rate = line.split(",")[:2]
            rates[float(start)] = rates.get(float(start), 0.0) + float(rate)
    windows = np.array([rates[start] for start in sorted(rates)])
    return DemandProfile(MONDAY_SECONDS, np.repeat(windows, WINDOW_MINUTES) * 60)


def made_up(days: int = 35) -> DemandProfile:
    """Office hours, quieter weekends, slow growth, surges of three hours, Poisson arrivals."""
    generator = np.random.default_rng(1)
    hours = np.arange(days * 24)
    by_day = 0.25 + 0.75 * np.clip(np.sin(np.pi * (hours % 24 - 6) / 15), 0, 1)
    rates = 20_000 * by_day * np.where(hours // 24 % 7 >= 5, 0.55, 1) * (1 + 0.006 * hours / 24)
    noise = np.zeros(len(hours))
    for hour in range(1, len(hours)):
        noise[hour] = 0.7 * noise[hour - 1] + generator.normal(0, 0.08)
    rates *= np.exp(noise)
    for surge in generator.choice(len(hours), 6, replace=False):
        rates[surge : surge + 3] *= 1.8
    return DemandProfile(MONDAY_SECONDS, generator.poisson(np.repeat(rates, 60) / 60).astype(float))


def main() -> None:
    """Print one table for each series."""
    series = {f"made up, {days} days": made_up(days) for days in (3, 10, 35, 90)}
    if SERVEGEN.is_dir():
        series |= {f"ServeGen {folder.name}, 14 days": servegen(folder) for folder in sorted(SERVEGEN.iterdir())}
    else:
        print(f"no {SERVEGEN}: only made-up series")
    forecast(made_up(15))
    for name, profile in series.items():
        started = time.perf_counter()
        found = forecast(profile)
        taken = time.perf_counter() - started
        print(f"\n{name} ({taken:.2f} s)\n{'method':38}  WAPE  within p90  hours short  chosen")
        for row in found.backtest:
            print(
                f"{row.method:38}  {row.wape:4.0%}  {_share(row.p90_coverage_ratio):>10}  "
                f"{_share(row.hours_short_ratio):>11}  {'yes' if row.chosen else ''}"
            )
        for note in found.notes:
            print(f"  {note}")


def _share(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.0%}"


if __name__ == "__main__":
    main()
