"""Wall time of ``advisor recommend`` from a cold start over the whole catalog; prints, asserts nothing.

The baseline of the ratio is a Python process in the same run that imports numpy and does nothing.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = 3

WHOLE_CATALOG = """\
name: everywhere
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [bf16, fp16, fp8, int8, int4]
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand: {summary: %s}
purchase: [on_demand, spot]
providers: [aws, gcp, azure, nebius, ibm]
limits: {min_replicas: 2, zones: 2}
"""


def seconds(command: list[str]) -> float:
    """Median wall time of a command over some runs."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Print one line for each case."""
    baseline = seconds([sys.executable, "-c", "import numpy"])
    print(f"python with numpy imported          {baseline:6.2f} s")
    recommend = [sys.executable, "-m", "advisor", "recommend"]
    chat = seconds([*recommend, "examples/chat/workload.yaml"])
    print(f"recommend examples/chat             {chat:6.2f} s  {chat / baseline:5.1f} × the baseline")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "workload.yaml"
        work.write_text(WHOLE_CATALOG % (ROOT / "examples/chat/demand.json"))
        for name, options in (
            ("table", []),
            ("json", ["--format", "json"]),
            ("json, all", ["--all", "--format", "json"]),
        ):
            whole = seconds([*recommend, str(work), *options])
            print(f"recommend, every region ({name:9s}) {whole:6.2f} s  {whole / baseline:5.1f} × the baseline")


if __name__ == "__main__":
    main()
