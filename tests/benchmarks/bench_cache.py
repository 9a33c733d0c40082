"""Time and memory of replaying a request log against caches; prints, asserts nothing.

``python tests/benchmarks/bench_cache.py [REQUESTS]``. The log is made up: keys by Zipf's law, one line each. Seconds of
`advisor demand cache` are told beside those of reading the same lines as JSON alone, in the same run.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
REQUESTS = 1_000_000


def written(path: Path, requests: int) -> None:
    """A log of so many requests."""
    chance = np.random.default_rng(0)
    with path.open("w") as stream:
        for start in range(0, requests, 1_000_000):
            size = min(1_000_000, requests - start)
            keys = chance.zipf(1.2, size) % 3_000_000
            stream.writelines(
                f'{{"timestamp":{start + at},"prompt":"question {key}","output_tokens":200}}\n'
                for at, key in enumerate(keys)
            )


def main() -> None:
    """Print the figures."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests.jsonl"
        written(log, requests)
        started = time.process_time()
        with log.open("rb") as stream:
            for line in stream:
                json.loads(line)
        parsing = time.process_time() - started
        before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "advisor", "demand", "cache", log], cwd=ROOT, check=True)
        wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{requests:,} requests: {wall:.1f} s on the clock, {seconds:.1f} s of the processor, ", end="")
    print(f"{seconds / parsing:.1f} × parsing alone ({parsing:.1f} s); {after.ru_maxrss / 1e6:.2f} GB at most")


if __name__ == "__main__":
    main()
