"""Counting a trace of ten million requests: wall time, rate and peak memory; prints, asserts nothing.

The baseline of the ratio is reading the same bytes and counting the lines.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
REQUESTS = 10_000_000
BLOCK = 500_000
READ = "import sys; from pathlib import Path; from advisor.demand.trace import read_trace; print(read_trace(Path(sys.argv[1])).requests)"
COUNT = "import sys; print(sum(block.count(b'\\n') for block in iter(lambda s=open(sys.argv[1], 'rb'): s.read(1 << 20), b'')))"


def write_trace(path: Path) -> None:
    """A trace of seconds, prompt and answer lengths."""
    generator = np.random.default_rng(1)
    clock = 0.0
    with path.open("w") as stream:
        stream.write("timestamp,input_tokens,output_tokens\n")
        for _ in range(REQUESTS // BLOCK):
            times = clock + np.cumsum(generator.exponential(0.05, BLOCK))
            clock = float(times[-1])
            lengths = generator.lognormal((6.5, 5.0), (0.9, 0.8), (BLOCK, 2)).astype(int)
            lines = (f"{t:.3f},{i},{o}" for t, (i, o) in zip(times.tolist(), lengths.tolist(), strict=True))
            stream.write("\n".join(lines) + "\n")


def run(program: str, path: Path) -> tuple[float, float]:
    """(seconds, peak MiB) of a program that reads the trace."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Print both programs and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.csv"
        write_trace(path)
        size_mb = path.stat().st_size / 1e6
        baseline, _ = run(COUNT, path)
        taken, peak_mib = run(READ, path)
    print(f"{REQUESTS:,} requests, {size_mb:.0f} MB")
    print(f"count the lines   {baseline:6.2f} s")
    print(f"read the demand   {taken:6.2f} s  {taken / baseline:.1f} × the baseline, peak {peak_mib:.0f} MiB")


if __name__ == "__main__":
    main()
