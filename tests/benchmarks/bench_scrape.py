"""What reading a serving engine costs: parsing a page of 40 KB, and a whole reading of a server on the loopback.

    python tests/benchmarks/bench_scrape.py [--rounds 400]

For comparison, in the same run: going through the page line by line without understanding it, and the parser of
``prometheus_client`` where that is installed.
"""

import argparse
import importlib.util
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from advisor.samples.exporters import shipped
from advisor.samples.sources.engines import EngineSource, PageReader
from samples.sources.engines.exhibits import vllm_page
from services.scripted import always, answer, scripted

BATCHES = 8


def main():
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    page = vllm_page()
    print(f"page: {len(page) / 1024:.1f} KiB, {page.count(chr(10))} lines; {rounds} rounds in {BATCHES} batches")
    vllm = shipped().exporters["vllm"]
    names = shipped().of(vllm)
    reader = PageReader(vllm, names)
    own = show("parse: wanted series, by this program", rounds, lambda: reader.read(page))
    show("parse: of a page never seen before", rounds // 4, lambda: PageReader(vllm, names).read(page))
    lines = show(
        "baseline: lines and their last words", rounds, lambda: [line.rpartition(" ") for line in page.splitlines()]
    )
    print(f"  ratio to lines: {own / lines:.1f}")
    if importlib.util.find_spec("prometheus_client"):
        theirs_of = importlib.import_module("prometheus_client.parser").text_string_to_metric_families

        def whole():
            return [sample for family in theirs_of(page) for sample in family.samples]

        theirs = show("baseline: prometheus_client", max(rounds // 10, 1), whole)
        print(f"  prometheus_client takes {theirs / own:.0f} times as long")
    else:
        print("baseline: prometheus_client is not installed (pip install prometheus-client)")
    with scripted(always(answer(page))) as server:
        source = EngineSource("host", [server.url])
        source.read()
        show("reading: fetch and parse, both ends in this process", rounds, source.read)
        source.close()


def show(what, rounds, work):
    """Milliseconds of processor time for one round: the median of some batches."""
    size = max(rounds // BATCHES, 1)
    spent = []
    for _ in range(BATCHES):
        start = time.process_time()
        for _ in range(size):
            work()
        spent.append((time.process_time() - start) / size * 1e3)
    spent.sort()
    middle = spent[len(spent) // 2]
    print(f"{what}: {middle:.3f} ms (least {spent[0]:.3f}, most {spent[-1]:.3f})")
    return middle


if __name__ == "__main__":
    main()
