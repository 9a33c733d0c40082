"""The listener, the planner and the catalog under load for a while: memory, descriptors and time; prints, asserts nothing.

    python tests/benchmarks/soak.py [SECONDS]

A third of the time each: the agent's page with good, slow and broken clients; plans of workloads that all differ; the
catalog with its offers copied up to a million times. A line tells how much a figure grew from the first to the last fifth.
"""

import contextlib
import dataclasses
import gc
import http.client
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[2]
SECONDS = 1800.0
OFFERS = (62_500, 250_000, 1_000_000)
PAGE = (
    b"# TYPE advisor_agent_up gauge\n"
    + b"".join(b'advisor_agent_up{gpu="%d"} 1\n' % number for number in range(2000))
    + b"# EOF\n"
)
LISTENER = """
import sys, time
from contextlib import closing
from advisor.samples.agent.page_server import PageAddress, PageServer
with closing(PageServer(PageAddress("127.0.0.1", 0, None), lambda: PAGE)) as server:
    print(server.url, flush=True)
    time.sleep(1e6)
"""
WORKLOAD = """name: w{number}
model: {model}
slo: {{ttft_p95: 2s}}
regions: [us-east-1]
providers: [aws]
demand: {{declared: {{requests_per_second: {rate:.3f}, input_tokens: {entered}, output_tokens: {answered}}}}}
"""
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-8B", "mistralai/Mistral-Nemo-Instruct-2407")


def resident_mib(pid: int) -> float:
    """Memory that a process holds, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def growth(values: list[float]) -> str:
    """Means of the first and the last fifth after warming up."""
    fifth = max(1, len(values) // 5)
    first, last = fmean(values[:fifth]), fmean(values[-fifth:])
    return f"{first:,.1f} → {last:,.1f}"


def client(port: int, until: float, counts: list[int]) -> None:
    """Clients of every kind, one after the other."""
    chance = random.Random(threading.get_ident())
    while time.monotonic() < until:
        with contextlib.suppress(OSError, http.client.HTTPException):
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                kind = chance.random()
                if kind < 0.05:
                    connection.sendall(bytes(chance.randrange(256) for _ in range(500)))
                elif kind < 0.1:
                    connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
                else:
                    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    while connection.recv(65536):
                        pass
            counts.append(1)


def soak_listener(seconds: float) -> None:
    """Requests, memory and descriptors of the agent's page."""
    command = [sys.executable, "-c", LISTENER.replace("PAGE)", f"{PAGE!r})")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline().rpartition(":")[2].split("/")[0])
        until, counts = time.monotonic() + seconds, []
        for _ in range(4):
            threading.Thread(target=client, args=(port, until, counts), daemon=True).start()
        memory, opened = [], []
        while time.monotonic() < until:
            time.sleep(min(1.0, seconds / 20))
            memory.append(resident_mib(server.pid))
            opened.append(float(descriptors(server.pid)))
        server.kill()
    print(
        f"listener: {len(counts):,} requests in {seconds:.0f} s; MiB {growth(memory)}; descriptors {growth(opened)}",
        flush=True,
    )


def soak_planner(seconds: float) -> None:
    """Plans of workloads of which no two are alike: seconds of the processor and memory by plan."""
    from advisor.pipeline import recommend  # noqa: PLC0415 - not needed by the listener

    chance = random.Random(1)
    until, took, memory = time.monotonic() + seconds, [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.yaml"
        while time.monotonic() < until or len(took) < 3:
            values = {
                "rate": chance.uniform(0.2, 40),
                "entered": chance.randint(50, 4000),
                "answered": chance.randint(10, 800),
            }
            path.write_text(WORKLOAD.format(number=len(took), model=chance.choice(MODELS), **values))
            start = time.process_time()
            recommend(path)
            took.append(time.process_time() - start)
            gc.collect()
            memory.append(resident_mib(os.getpid()))
    print(
        f"planner: {len(took):,} plans; processor seconds each {growth(took[1:])}; MiB {growth(memory[1:])}", flush=True
    )


def soak_catalog() -> None:
    """A plan for one region in a catalog whose other offers are copied again and again: seconds and memory."""
    from advisor.catalog import load_catalog  # noqa: PLC0415 - as above
    from advisor.pipeline import Basis, recommend  # noqa: PLC0415

    catalog = load_catalog()
    offers = list(catalog.offers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.yaml"
        path.write_text(WORKLOAD.format(number=0, model=MODELS[0], rate=5, entered=500, answered=100))
        recommend(path)
        first = 0.0
        for count in OFFERS:
            before = resident_mib(os.getpid())
            copies = ((offers[at % len(offers)], at // len(offers)) for at in range(count))
            many = [
                dataclasses.replace(each, region=f"{each.region}-copy{copy}") if copy else each for each, copy in copies
            ]
            held, start = resident_mib(os.getpid()) - before, time.process_time()
            plan = recommend(path, basis=Basis(catalog=catalog.with_offers(many)))
            took = time.process_time() - start
            first = first or took / count
            more = resident_mib(os.getpid()) - before - held
            print(
                f"catalog: {count:,} offers, {took:.2f} s of the processor ({took / count / first:.2f} of linear), "
                f"{held:,.0f} MiB of offers and {more:,.0f} MiB more; {plan.recommended.instance_type if plan.recommended else 'nothing'}",
                flush=True,
            )


def main() -> None:
    """Print all three."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    soak_listener(seconds / 2)
    soak_planner(seconds / 2)
    soak_catalog()


if __name__ == "__main__":
    main()
