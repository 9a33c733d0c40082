"""How far the demand of running agents is off the truth: their rows, their pages as a server scraped them, and the engines' own.

    python tests/benchmarks/bench_demand_live.py

Eight minutes. Five engines of two models count on loopback as their pages would (log-normal lengths, 29 % cache hits,
aborts, two restarts); an agent process beside each reads its page once a second, one more reads an engine from another
host, and a real server scrapes engines and agents' pages every 15 s, one engine by two jobs. All at once, so that every
path sees the same; the clock is the real one. Held against what was asked in the minutes that a path knows, since a
minute whose begin or end nobody read is unknown.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from advisor.demand.monitored import Monitored, engine_demand
from advisor.demand.services import Wanted, demand_of_views
from advisor.samples.query import Window
from advisor.samples.query.prometheus import PrometheusEndpoint
from advisor.samples.store.reading import Store
from benchmarks.bench_demand_paths import print_table, relative_errors
from demand.simulated_fleet import LLAMA, QWEN, START, Load, Process, Truth, processes
from samples.stores import views_of_store
from services.scripted import answer, scripted
from services.server import free_port
from services.victoria_metrics import flush, running_victoria_metrics

SECONDS = 300
SETTLING_SECONDS = 30
"""Agents start, and every counter is read before it grows."""
LAST_ROW_SECONDS = 31
"""The last row ends, is on the page, and is scraped."""
DRAWS = 2
ARRIVALS = {"Poisson": 0.0, "bursty": 0.6}
RESTARTS = {1: (70, 181)}
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Fleet:
    """Engines that run, and what is asked of them."""

    arrivals: str
    tag: str
    folder: Path
    llama: list[Process]
    qwen: list[Process]

    @classmethod
    def of(cls, scratch, arrivals, draw):
        """One draw of a fleet."""
        load = Load(requests_per_second=25.0, burstiness=ARRIVALS[arrivals])
        llama = processes(load, 3, SECONDS, seed=40 + draw, restarts=RESTARTS, before=(500, 800, 100))
        qwen = processes(Load(QWEN, 10.0, 1500, 300), 2, SECONDS, seed=60 + draw, before=(100, 900))
        tag = f"{arrivals}-{draw}"
        return cls(arrivals, tag, scratch / tag, llama, qwen)


def main():
    """Run everything once, and print the table."""
    begins = (int(time.time()) + SETTLING_SECONDS) // 60 * 60 + 60
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        scratch = Path(name)
        fleets = [Fleet.of(scratch, arrivals, draw) for arrivals in ARRIVALS for draw in range(DRAWS)]
        ports = [
            [running.enter_context(scripted(_counting(one, begins))).port for one in (*fleet.llama, *fleet.qwen)]
            for fleet in fleets
        ]
        pages = [[free_port() for _ in range(6)] for _ in fleets]
        (scratch / "scrape.json").write_text(json.dumps({"scrape_configs": _jobs(fleets, ports, pages)}))
        scraping = [f"-promscrape.config={scratch / 'scrape.json'}"]
        (scratch / "server").mkdir()
        url = running.enter_context(running_victoria_metrics(scratch / "server", options=scraping))
        with ExitStack() as agents:
            for place, fleet in enumerate(fleets):
                agents.enter_context(_agents(fleet, ports[place], pages[place]))
            time.sleep(max(begins + SECONDS + 60 + LAST_ROW_SECONDS - time.time(), 0))
        flush(url)
        window = Window((begins - 60) * 1_000_000, (begins + SECONDS + 60) * 1_000_000)
        errors = {}
        for fleet in fleets:
            for path, found in _errors(fleet, url, window, begins).items():
                errors.setdefault((fleet.arrivals, path), []).append(found)
    print_table(errors)


def _counting(engine, begins):
    """A server that shows the page of an engine whose time begins then."""

    def script(connection, _):
        connection.sendall(answer(engine.page(START + time.time() - begins)))
        return True

    return script


def _jobs(fleets, ports, pages):
    """What a server scrapes: engines, one of them by a second job, and agents."""
    jobs = []
    for fleet, engines, agents in zip(fleets, ports, pages, strict=True):
        for job, seconds, some, kind in (
            ("vllm", 15, engines, "engines"), ("pods", 30, engines[:1], "engines"), ("advisor-agent", 15, agents, "pages"),
        ):  # fmt: skip
            targets = [{"targets": [f"127.0.0.1:{port}" for port in some], "labels": {"fleet": f"{fleet.tag}-{kind}"}}]
            jobs.append({"job_name": f"{job}-{fleet.tag}", "scrape_interval": f"{seconds}s", "static_configs": targets})
    return jobs


@contextmanager
def _agents(fleet, engines, pages):
    """An agent on every host, and one elsewhere that was given the first engine's address, until all is written."""
    asked = [(f"gpu-{number}", f"http://127.0.0.1:{port}/metrics") for number, port in enumerate(engines)]
    asked.append(("cpu-0", f"http://{socket.gethostname()}:{engines[0]}/metrics"))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    agents = [
        subprocess.Popen(
            [sys.executable, "-m", "advisor", "agent", "run", "--output", fleet.folder, "--host", host, "--quiet",
             "--source", "engines", "--engine", engine, f"--page=127.0.0.1:{page}"],
            env=environment, cwd=REPOSITORY,
        )
        for (host, engine), page in zip(asked, pages, strict=True)
    ]  # fmt: skip
    try:
        yield
    finally:
        for agent in agents:
            agent.terminate()
        for agent in agents:
            agent.wait(60)


def _errors(fleet, url, window, begins):
    """Relative errors of each path."""
    views = views_of_store(Store([str(fleet.folder)]), window)
    demands = {
        "agents' rows, live": demand_of_views(views, Wanted(LLAMA, "rows", "demand.samples"), "rows"),
        "server scraping engines, live": _scraped(url, f"{fleet.tag}-engines", window),
        "server scraping agents' pages, live": _scraped(url, f"{fleet.tag}-pages", window),
    }
    return {path: relative_errors(demand, _truth(fleet, demand, begins)) for path, demand in demands.items()}


def _truth(fleet, demand, begins):
    """What was asked in the minutes that a demand knows."""
    profile = demand.profile
    known = np.flatnonzero(np.isfinite(profile.requests_per_minute))
    known += round((profile.start_seconds - begins) / 60)
    asked = np.bincount(
        np.concatenate([((one.ends - START) // 60).astype(int) for one in fleet.llama]), minlength=SECONDS // 60
    )
    busy = known[(known >= 0) & (known < asked.size)]
    print(f"{fleet.tag}: knows {busy.size} of {asked.size} minutes", file=sys.stderr)
    whole = Truth.of(fleet.llama, SECONDS)
    return replace(whole, mean=asked[busy].sum() / known.size / 60, peak=asked[busy].max() / 60)


def _scraped(url, tag, window):
    server = Monitored.at(PrometheusEndpoint.of(url, environment={}), window, f'fleet="{tag}"')
    return engine_demand(server, Wanted(LLAMA, url, "demand.prometheus"))


if __name__ == "__main__":
    main()
