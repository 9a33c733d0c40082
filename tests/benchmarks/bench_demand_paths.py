"""How far the demand of each path is off a simulated fleet's truth: rows, a scraping server, a scraped page of agents, accelerators.

    python tests/benchmarks/bench_demand_paths.py

Four hours of two models on five engines; log-normal lengths, 29 % cache hits, aborts, two restarts, clocks off by up to
two minutes, one engine read by three agents, one replica scraped by two jobs, scrapes that are lost. Slow: answers of
half a minute in the median, and bursts.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from advisor.demand.busy import Busy, demand_from_busy
from advisor.demand.monitored import Monitored, engine_demand
from advisor.demand.services import Wanted, demand_of_views
from advisor.errors import InputError
from advisor.samples.query import Window
from advisor.samples.query.prometheus import PrometheusEndpoint
from advisor.samples.store.reading import Store
from demand.simulated_fleet import HITS, LLAMA, QWEN, START, Load, Truth, page_scraped, processes, record, scraped
from demand.test_busy_fleets import busy_share
from samples.query.remote_writing import write
from samples.stores import views_of_store
from services.victoria_metrics import running_victoria_metrics

SECONDS = 4 * 3600
DRAWS = 5
SKEWS = (0, 113, -47, 0, 0)
"""Seconds by which the clock of each host is ahead, whose agents' pages are scraped."""
RESTARTS = {1: (4000, 9001)}
SECONDS_ALONE = 4.0
LOADS = {
    "Poisson": Load(requests_per_second=2.5),
    "bursty": Load(requests_per_second=2.5, burstiness=0.6),
    "slow": Load(requests_per_second=2.5, burstiness=0.6, seconds_per_token=0.2),
}


def main():
    """Print the table."""
    errors = {}
    with tempfile.TemporaryDirectory() as scratch, running_victoria_metrics(Path(scratch)) as url:
        for name, load in LOADS.items():
            for draw in range(DRAWS):
                for path, found in _errors(url, name, load, draw).items():
                    errors.setdefault((name, path), []).append(found)
    print_table(errors)


def print_table(errors):
    """The worst of the errors of several fleets, by arrivals and path."""
    print("| arrivals | path | mean | busiest minute | p50 / p95 of prompts | p50 / p95 of answers | cache hits |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for (name, path), found in errors.items():
        print(f"| {name} | {path} | {' | '.join(_worst(each) for each in zip(*found, strict=True))} |")


def _errors(url, name, load, draw):
    """Relative errors of each path for one draw of a fleet."""
    llama = processes(load, 3, SECONDS, seed=10 + draw, restarts=RESTARTS, before=(500, 800, 100))
    qwen = processes(Load(QWEN, 1.0, 1500, 300), 2, SECONDS, seed=90 + draw, before=(100, 900))
    truth = Truth.of(llama, SECONDS)
    engines = [*llama, *qwen]
    found = {"agents' rows": _rows(llama, engines)}
    for path, interval in (("server, scraped every 15 s", 15), ("server, every 30 s", 30), ("server, every 60 s", 60)):
        tag = f"{path}-{name}-{draw}".replace(" ", "-")
        series = []
        for number, engine in enumerate(engines):
            labels = {"job": "vllm", "instance": f"10.0.0.{number}:8000", "fleet": tag}
            series += scraped(
                lambda _, e=engine: e, SECONDS, **labels, phase=2 + 2.6 * number, interval=interval, missed=(70,)
            )
        series += scraped(
            lambda _: llama[0], SECONDS, job="pods", instance="llama-0:8000", fleet=tag, phase=9.5, interval=30
        )
        found[path] = _scraped(url, tag, series)
    tag = f"page-{name}-{draw}"
    series = []
    for number, engine in enumerate(engines):
        series += page_scraped(
            engine, SECONDS, host=f"gpu-{number}", fleet=tag, phase=2.0 + 2.6 * number, skew=SKEWS[number]
        )
    found["agents' page, scraped"] = _scraped(url, tag, series)
    errors = {path: relative_errors(demand, truth) for path, demand in found.items()}
    return {**errors, "accelerators alone, volume stated": _accelerators(llama, truth)}


def _rows(llama, engines):
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for number, engine in enumerate(engines):
            at = {"endpoint": "http://127.0.0.1:8000/metrics", "seconds": SECONDS, "skew": SKEWS[number]}
            record(directory, f"gpu-{number}", lambda _, e=engine: e, **at)
        for host, skew in (("cpu-0", 120), ("cpu-1", -45)):
            record(directory, host, lambda _: llama[0], "http://llama-0:8000/metrics", SECONDS, skew=skew)
        views = views_of_store(Store([str(directory)]))
    return demand_of_views(views, Wanted(LLAMA, "rows", "demand.samples"), "rows")


def _scraped(url, tag, series):
    write(url, series)
    window = Window(START * 1_000_000, (START + SECONDS) * 1_000_000)
    server = Monitored.at(PrometheusEndpoint.of(url, environment={}), window, f'fleet="{tag}"')
    return engine_demand(server, Wanted(LLAMA, url, "demand.prometheus"))


def _accelerators(engines, truth):
    """Each engine on an accelerator of its own that is busy while any request runs; the volume is known."""
    minutes = SECONDS // 60
    chance = np.random.default_rng(1)
    busy = sum(
        busy_share(
            one.ends - START, one.ends - START + SECONDS_ALONE * chance.lognormal(0, 0.5, one.ends.size), minutes
        )
        for one in engines
    )
    seen = Busy(busy, busy, np.full(minutes, float(len(engines))), 60.0, float(START))
    demand = demand_from_busy(seen, InputError("not described"), truth.mean * 86_400, (500, 150))
    interval = demand.interval
    held = "held" if interval.peak_low <= truth.peak <= interval.peak_high else "missed"
    return (0.0, demand.requests_per_second.peak / truth.peak - 1, f"interval {held}", "stated", "")


def relative_errors(demand, truth):
    """Of mean, busiest minute, lengths and cache hits."""
    rate = demand.requests_per_second
    lengths = ((demand.input_tokens, truth.prompts), (demand.output_tokens, truth.answers))
    p50s, p95s = (
        [getattr(told, f"p{level}") / np.quantile(real, level / 100) - 1 for told, real in lengths]
        for level in (50, 95)
    )
    hits = f"{100 * (demand.tokens.prefix_cache_hit_ratio - HITS):+.2f}"
    return (rate.mean / truth.mean - 1, rate.peak / truth.peak - 1, (p50s[0], p95s[0]), (p50s[1], p95s[1]), hits)


def _worst(values):
    """The worst of several errors."""
    if isinstance(values[0], tuple):
        return " / ".join(_worst(each) for each in zip(*values, strict=True))
    if isinstance(values[0], str):
        numbers = [value for value in values if value[:1] in "+-" and value]
        return f"{max(map(float, numbers), key=abs):+.2f} points" if numbers else ", ".join(dict.fromkeys(values))
    return f"{max(values, key=abs):+.1%}"


if __name__ == "__main__":
    main()
