"""What the outlets cost for a host with eight accelerators: a page of the listener, and a request of remote write.

python tests/benchmarks/bench_outlets.py [--rounds 60]
"""

import argparse
import json
import math
import random
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from advisor.samples.agent.access import Access
from advisor.samples.agent.latest import Latest
from advisor.samples.agent.outbox.encoding import samples_of, write_request
from advisor.samples.agent.web import Bounds, Server
from advisor.samples.metrics import ACCELERATOR_METRICS, Kind, rounded
from advisor.samples.rows import Row, Stats, Target

END_US = 1_800_000_000_000_000
ROW_US = 15_000_000


def main():
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    generator = random.Random(7)
    rows = [row(generator, number, END_US) for number in range(8)]
    latest = Latest()
    for one in rows:
        latest.take(one)
    page = latest.page(END_US)
    show(f"listener, a page of {len(page) / 1024:.0f} KiB", rounds, lambda: latest.page(END_US))
    show_crowded(latest, rounds)
    for times in (1, 4):
        batch = [row(generator, number, END_US + at * ROW_US) for at in range(times) for number in range(8)]
        samples = samples_of(batch)
        body = write_request(samples)
        what = f"remote write, {len(samples)} samples at {times} times, {len(body) / len(samples):.1f} bytes a sample"
        show(what, rounds, lambda batch=batch: write_request(samples_of(batch)))
    plain = [(sample.name, sample.labels, sample.time_ms, sample.value) for sample in samples]
    show("baseline: the same as JSON, uncompressed", rounds, lambda: json.dumps(plain))


def show_crowded(latest, rounds):
    """Time of a scrape alone, and among clients that take a connection and do not use it."""
    server = Server(
        ("127.0.0.1", 0), lambda: latest.page(END_US), Access(), Bounds(request_seconds=60, total_seconds=60)
    )
    thread = threading.Thread(target=server.serve)
    thread.start()
    port = int(server.url.split(":")[2].split("/")[0])
    slow = []
    for crowd in (0, 70):
        slow += [socket.create_connection(("127.0.0.1", port)) for _ in range(crowd)]
        spent = sorted(seconds_of_scrape(port) for _ in range(rounds))
        print(
            f"listener, a scrape among {crowd} idle connections: {spent[len(spent) // 2] * 1e3:.2f} ms of time "
            f"(most {spent[-1] * 1e3:.2f})"
        )
    for connection in slow:
        connection.close()
    server.stop()
    thread.join()


def seconds_of_scrape(port):
    """From the connection to the last byte."""
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        while connection.recv(1 << 20):
            pass
    return time.perf_counter() - start


def row(generator, number, end_us):
    """A row of every value that an accelerator has, rounded as the agent rounds them."""
    target = Target(
        "inference-17.example", "nvml", number, None, f"GPU-{generator.getrandbits(96):024x}", "NVIDIA H100"
    )
    stats = {}
    for metric in ACCELERATOR_METRICS:
        scale = 1.0 if metric.unit == "ratio" else 1e9
        values = sorted(rounded(generator.random() * scale, metric.resolution) for _ in range(3))
        last = generator.random() * 1e9
        stats[metric.name] = (
            Stats(*values, values[1], 15) if metric.kind is Kind.GAUGE else Stats(*[math.nan] * 3, last, 15)
        )
    return Row(target, end_us, stats)


def show(what, rounds, work):
    """Milliseconds of processor time for one round."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append((time.process_time() - start) * 1e3)
    spent.sort()
    print(f"{what}: {spent[len(spent) // 2]:.2f} ms (least {spent[0]:.2f}, most {spent[-1]:.2f})")


if __name__ == "__main__":
    main()
