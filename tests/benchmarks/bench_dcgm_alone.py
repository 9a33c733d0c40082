"""How often the interval of accelerators alone holds the truth, of fifty fleets as a DCGM exporter and a server show them.

    python tests/benchmarks/bench_dcgm_alone.py

Three hours to a day each, a wave with bursts of up to 80 % a minute, one to eight accelerators that serve many requests at
once. The exporter reads how much of the last second an accelerator was busy, every 30 s as it does by default; a real
server scrapes it every 15 s.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from advisor.demand.busy import demand_from_busy
from advisor.demand.monitored import Monitored, busy_over_time
from advisor.errors import InputError
from advisor.samples.query import Window
from advisor.samples.query.prometheus import PrometheusEndpoint
from demand.test_busy_fleets import FLEETS, START, busy_share, fleet, holds_mean, holds_peak
from samples.query.fleets import dcgm_labels
from samples.query.remote_writing import write
from services.victoria_metrics import running_victoria_metrics

SCRAPE_SECONDS = 15
READING_SECONDS = 30


def main():
    """Print the shares."""
    fleets = [fleet(seed) for seed in range(FLEETS)]
    with tempfile.TemporaryDirectory() as scratch, running_victoria_metrics(Path(scratch)) as url:
        seen = [_seen(url, f"fleet-{number}", each) for number, each in enumerate(fleets)]
    print("| accelerators alone | mean held | busiest minute held | planned ÷ busiest minute: p10, p50, p90 |")
    print("|---|---:|---:|---:|")
    for name, demand_of in (("DCGM, volume stated", _with_volume), ("DCGM, no volume", _without_volume)):
        demands = [demand_of(busy, each) for busy, each in zip(seen, fleets, strict=True)]
        intervals = [demand.interval for demand in demands]
        mean, peak = (f"{sum(map(holds, intervals, fleets)) / FLEETS:.0%}" for holds in (holds_mean, holds_peak))
        planned = [demand.requests_per_second.peak / each.peak for demand, each in zip(demands, fleets, strict=True)]
        ratios = ", ".join(f"{ratio:.2f}" for ratio in np.quantile(planned, (0.1, 0.5, 0.9)))
        print(f"| {name} | {'stated' if demand_of is _with_volume else mean} | {peak} | {ratios} |")


def _seen(url, tag, each):
    """What the server says of a fleet."""
    seconds = 60 * each.per_minute.size
    scrapes = np.arange(SCRAPE_SECONDS, seconds + 1, SCRAPE_SECONDS)
    read_at = scrapes // READING_SECONDS * READING_SECONDS - 1
    series = []
    for number, running in enumerate(each.running):
        percent = np.round(100 * busy_share(*running, seconds, 1.0))[np.maximum(read_at, 0)]
        points = [(int(START + at) * 1000 - 1, float(value)) for at, value in zip(scrapes, percent, strict=True)]
        series.append(({"__name__": "DCGM_FI_DEV_GPU_UTIL", **dcgm_labels(tag, 0, number)}, points))
    write(url, series)
    window = Window(round(START) * 1_000_000, round(START + seconds) * 1_000_000)
    return busy_over_time(Monitored.at(PrometheusEndpoint.of(url, environment={}), window, f'fleet="{tag}"'))


def _with_volume(busy, each):
    return demand_from_busy(busy, InputError("not described"), each.mean * 86_400, (500, 100))


def _without_volume(busy, each):
    return demand_from_busy(busy, each.serves, None, (500, 100))


if __name__ == "__main__":
    main()
