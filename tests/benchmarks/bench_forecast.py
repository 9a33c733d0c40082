"""What forecasts promise and what came: hours and minutes of days held out; prints, asserts nothing.

    python tests/benchmarks/bench_forecast.py [DIRECTORY]

The directory holds ServeGen's clients, one ``CATEGORY/*-trace.csv`` each: start in seconds and requests per second of
windows of ten minutes, for two weeks (language model serving at Alibaba, Apache-2.0). Within a window requests come at
random (Poisson). Each client is forecast from the end of its 7th to 13th day, and of its 10th to 13th. Then the back-tests
of made-up series: a day, a week, 0.6 % growth a day, correlated noise and six surges.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.demand.forecast import forecast, seasonal_naive
from advisor.demand.spread import HIGH, LOW, MONDAY_SECONDS, pinball
from advisor.demand.values import DemandProfile, Floats, Forecast
from advisor.plan.problem.hours import week_of

SERVEGEN = Path(__file__).parents[3] / "shared/data/traces/servegen/language"
WINDOW_MINUTES = 10
DAY_MINUTES = 1440
Bools = npt.NDArray[np.bool_]
FORECASTS = {"day after 7 to 13": (7, 1), "day after 10 to 13": (10, 1), "4 days after 10…": (10, 4)}
"""First day to forecast from, and how many days ahead."""
SPIKY = ("m-large/chunk-20", 0.3)


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of hours that were held out, and what came; all of shape ``(hours,)`` but *minutes*: ``(hours, 60)``."""

    mean: Floats
    low: Floats
    high: Floats
    peak: Floats
    naive: Floats
    minutes: Floats

    def within(self) -> Bools:
        """Whether each hour's mean rate came within its interval."""
        came = self.minutes.mean(axis=1)
        return (came >= self.low * (1 - 1e-5)) & (came <= self.high * (1 + 1e-5))

    def row(self) -> str:
        """Shares within, errors and losses."""
        came, busiest = self.minutes.mean(axis=1), self.minutes.max(axis=1)
        edges = ((self.low, LOW), (self.mean, 0.5), (self.high, HIGH))
        loss = sum(pinball(came, edge, level).sum() for edge, level in edges) / 3 / came.sum()
        wape, naive = (np.abs(came - rates).sum() / came.sum() for rates in (self.mean, self.naive))
        return (
            f"{self.within().mean():8.0%} {wape:7.1%} {naive:7.1%} {loss:8.1%} "
            f"{(self.minutes <= self.peak[:, None] * (1 + 1e-5)).mean():8.1%} {(busiest <= self.peak).mean():7.0%} "
            f"{self.peak.mean():8.3g} {self.peak.min():8.3g} {self.peak.max():8.3g} {busiest.max():8.3g}"
        )


def client(path: Path, scale: float = 1.0) -> Floats:
    """Requests in each minute of a client."""
    rates = np.loadtxt(path, delimiter=",", usecols=1)
    return np.random.default_rng(0).poisson(np.repeat(rates, WINDOW_MINUTES) * 60 * scale).astype(np.float64)


def held_out(minutes: Floats, days: range, ahead: int) -> HeldOut:
    """Each day's forecast of the days after it, as many as there are up to *ahead*."""
    parts: dict[str, list[Floats]] = {name: [] for name in HeldOut.__dataclass_fields__}
    for day in days:
        found = forecast(DemandProfile(MONDAY_SECONDS, minutes[: day * DAY_MINUTES]))
        came = minutes[day * DAY_MINUTES : (day + ahead) * DAY_MINUTES].reshape(-1, 60) / 60
        past = minutes[: day * DAY_MINUTES].reshape(-1, 60).mean(axis=1) / 60
        hours = (day * 24 + np.arange(len(came))) % 168
        for name in ("mean", "low", "high", "peak"):
            parts[name].append(getattr(found, name)[hours])
        parts["naive"].append(seasonal_naive(past, round(MONDAY_SECONDS / 3600), len(came)))
        parts["minutes"].append(came)
    return HeldOut(**{name: np.concatenate(arrays) for name, arrays in parts.items()})


def print_noise(forecasts: list[HeldOut]) -> None:
    """How many series an interval that is right on average would hold to 75-85 % of these few hours.

    Hours of a day are within or not together: with the correlation rho of two hours of one day (between hours within,
    less the mean of their series), *n* days of 24 hours are worth n · 24 / (1 + 23 rho) independent ones (Kish 1965).
    """
    days = [held_out.within().reshape(-1, 24).astype(float) for held_out in forecasts]
    shares = np.array([rows.mean() for rows in days])
    spread = [rows - share for rows, share in zip(days, shares, strict=True)]
    variance = np.mean([(rows**2).mean() for rows in spread])
    together = np.mean([((rows.sum(axis=1) ** 2 - (rows**2).sum(axis=1)) / (24 * 23)).mean() for rows in spread])
    rho = max(float(together / variance), 0.0)
    hours = days[0].size
    generator = np.random.default_rng(0)
    for title, worth in (
        ("independent hours", hours),
        (f"hours that go together (rho {rho:.2f})", hours / (1 + 23 * rho)),
    ):
        drawn = generator.binomial(round(worth), HIGH - LOW, (10_000, len(days))) / round(worth)
        inside = ((drawn >= 0.75) & (drawn <= 0.85)).sum(axis=1)
        low, middle, high = np.quantile(inside, [0.05, 0.5, 0.95])
        print(
            f"{hours} {title} are worth {worth:.0f}: a right interval has {middle:.0f} of {len(days)} series in 75-85% "
            f"({low:.0f} to {high:.0f}), these have {((shares >= 0.75) & (shares <= 0.85)).sum()}; mean {shares.mean():.1%}"
        )


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
    return DemandProfile(MONDAY_SECONDS, generator.poisson(np.repeat(rates, 60) / 60).astype(np.float64))


def print_hour_classes(weeks: dict[str, Forecast]) -> None:
    """What all classes of hours are planned for beyond the busiest minute of each of their hours."""
    beyond = {}
    for name, found in weeks.items():
        classes = week_of(found, scheduled=True).classes
        planned = sum(hours.planned_rate * hours.hours_per_week for hours in classes)
        beyond[name] = planned / found.peak.sum() - 1
        print(f"{name:18} {len(classes):2} classes of hours, planned for {beyond[name]:5.1%} more")
    print(f"mean {np.mean(list(beyond.values())):.1%}, most {max(beyond.values()):.1%}")


def print_clients(directory: Path) -> None:
    """One row for each client and set of days, and the next day of the spiky one at part of its rate."""
    paths = {f"{path.parent.name}/{path.stem.removesuffix('-trace')}": path for path in directory.glob("*/*-trace.csv")}
    series = {name: client(path) for name, path in sorted(paths.items())}
    heads = "within    wape   naive  pinball  minutes   hours  planned      min      max     came"
    for title, (first, ahead) in FORECASTS.items():
        print(f"\n{title:18} {heads}")
        forecasts = []
        for name, minutes in series.items():
            forecasts.append(held_out(minutes, range(first, len(minutes) // DAY_MINUTES), ahead))
            print(f"{name:18} {forecasts[-1].row()}")
        if ahead == 1:
            print_noise(forecasts)
    print()
    print_hour_classes({name: forecast(DemandProfile(MONDAY_SECONDS, minutes)) for name, minutes in series.items()})
    name, scale = SPIKY
    if name in paths:
        minutes = client(paths[name], scale)
        last = len(minutes) // DAY_MINUTES - 1
        seen = minutes[: last * DAY_MINUTES]
        print(
            f"\n{name} × {scale}: busiest minute {seen.max() / 60:.3g}/s, mean {seen.mean() / 60:.3g}/s in {last} days"
        )
        print(f"{'its last day':18} {held_out(minutes, range(last, last + 1), 1).row()}")


def print_backtests() -> None:
    """One table for each made-up series."""
    forecast(made_up(15))
    for days in (3, 10, 14, 35, 90):
        profile = made_up(days)
        started = time.perf_counter()
        found = forecast(profile)
        taken = time.perf_counter() - started
        print(f"\nmade up, {days} days ({taken:.2f} s)\n{'method':38}  WAPE  pinball  within p90  hours short  chosen")
        for row in found.backtest:
            print(
                f"{row.method:38}  {row.wape:4.0%}  {row.pinball:7.1%}  {row.p90_coverage_ratio:10.0%}  "
                f"{row.hours_short_ratio:11.0%}  {'yes' if row.chosen else ''}"
            )
        for note in found.notes:
            print(f"  {note}")


def main() -> None:
    """Print the clients of a directory, then the made-up series."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else SERVEGEN
    if directory.is_dir():
        print_clients(directory)
    else:
        print(f"no {directory}: only made-up series")
    print_backtests()


if __name__ == "__main__":
    main()
