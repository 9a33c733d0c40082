"""What the agent costs its host: ``PYTHONPATH=tests python tests/benchmarks/bench_agent.py [SECONDS]``.

Eight accelerators once a second on the fake driver, whose calls take no time: this is the cost of the agent and the
binding, not of a real driver.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakenvml.build import build_library, compiler

SCENARIO = "gpus,8\nset,*,mem_total,85520809984\nset,*,mem_used,60000000000\nseries,*,util_gpu,0:20;7:90;9:40"
SETTLING_SECONDS = 3.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SECONDS_PER_DAY = 86_400


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far, user and system."""
    cells = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(cells[11]) + int(cells[12])) / TICKS_PER_SECOND


def memory_mib(process: int, name: str) -> float:
    """A memory figure of a process: VmRSS now, VmHWM at its highest."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def import_mib(module: str) -> float:
    """Resident memory of an interpreter that imported a module and nothing else."""
    code = f"import {module}; print(open('/proc/self/status').read())"
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def main() -> None:
    """Run the agent and print its share of a core, its memory, and what it writes in a day."""
    if compiler() is None:
        print("skipped: no C compiler (cc) to build the fake NVIDIA driver with")
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_library(folder)
        (folder / "scenario.csv").write_text(SCENARIO)
        process = subprocess.Popen(
            [sys.executable, "-m", "advisor", "agent", "run", "--output", folder / "samples", "--quiet"],
            env={**os.environ, "LD_LIBRARY_PATH": name, "FAKE_NVML_SCENARIO": str(folder / "scenario.csv")},
        )
        time.sleep(SETTLING_SECONDS)
        started, before = time.monotonic(), cpu_seconds(process.pid)
        time.sleep(seconds)
        share = (cpu_seconds(process.pid) - before) / (time.monotonic() - started)
        resident, highest = memory_mib(process.pid, "VmRSS"), memory_mib(process.pid, "VmHWM")
        process.terminate()
        process.wait()
        written = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    print(f"start-up          {before:.2f} s of processor time")
    print(f"steady            {share:.2%} of a core, 8 accelerators at 1 Hz over {seconds:.0f} s")
    print(f"memory            {resident:.0f} MiB resident, {highest:.0f} MiB at its highest")
    print(
        f"written           {written / (seconds + SETTLING_SECONDS) * SECONDS_PER_DAY / 1e6:.0f} MB a day at this rate"
    )
    for module in ("sys", "pynvml", "numpy", "pyarrow.parquet"):
        print(f"import {module:<15} {import_mib(module):.0f} MiB resident")


if __name__ == "__main__":
    main()
