"""Time and memory of a plan at rates from 1e-6 to 1e6 requests per second; prints, asserts nothing.

``python tests/benchmarks/bench_rates.py [RATE …]``. Each is a process of its own; seconds are of the processor.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RATES = (1e-6, 1e-4, 1e-2, 1.0, 10.0, 100.0, 1e3, 9e3, 1e5, 1e6)
MIB = 1024


def workload(rate: float) -> dict:
    """A chat workload in one region of each of three clouds."""
    return {
        "name": "chat",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "precisions": ["bf16", "fp8"],
        "slo": {"ttft_p95": "1s", "tpot_p95": "60ms"},
        "demand": {"declared": {"requests_per_second": rate, "input_tokens": 800, "output_tokens": 200}},
        "providers": ["aws", "gcp", "azure"],
        "regions": ["us-east-1", "us-central1", "eastus"],
    }


def measured(path: Path) -> tuple[int, float, float]:
    """Exit code, seconds and MiB at most of a plan."""
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "advisor", "recommend", str(path)],
            os.environ | {"PYTHONPATH": str(ROOT)},
        )
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / MIB


def main(rates: list[float]) -> None:
    """One line a rate."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.yaml"
        for rate in rates:
            path.write_text(json.dumps(workload(rate)))
            code, seconds, mib = measured(path)
            print(f"{rate:8.0e} requests/s: exit {code}, {seconds:5.1f} s (goal 5), {mib:5.0f} MiB (goal 1,024)")


if __name__ == "__main__":
    main([float(one) for one in sys.argv[1:]] or list(RATES))
