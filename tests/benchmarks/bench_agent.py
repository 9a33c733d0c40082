"""What the agent costs its host: ``PYTHONPATH=tests python tests/benchmarks/bench_agent.py [SECONDS] [--page]``.

Eight accelerators with every counter (those of Hopper included) and two serving engines once a second, on the fake driver,
whose calls take no time: this is the cost of the agent and the binding, not of a real driver. All processes of the agent are counted. The
baseline of the same run is a bare interpreter that wakes up once a second and does nothing. With ``--page`` the agent
shows its page, which is scraped every 15 s.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from advisor.samples.agent.processes import bare_interpreter
from advisor.samples.agent.settings import Settings
from advisor.samples.agent.spool import read_segment, segments
from advisor.samples.agent.supervised import Asked
from advisor.samples.metrics import Gap, Row
from fakenvml.build import build_library, compiler
from samples.sources.engines.exhibits import vllm_page
from services.scripted import always, answer, scripted
from services.server import free_port

GPUS = 8
ENGINES = 2
SCENARIO = f"""gpus,{GPUS}
set,*,name,NVIDIA H100 80GB HBM3
set,*,mem_total,85520809984
set,*,mem_used,60000000000
set,*,processes,1
set,*,gpm_sm,40
set,*,gpm_occupancy,12
set,*,gpm_tensor,8
set,*,gpm_dram,70
set,*,pcie_tx,1000000
set,*,nvlink_tx,1000000
series,*,util_gpu,0:20;7:90;9:40
series,*,xid,5:79
"""
SETTLING_SECONDS = 2.5
SCRAPE_SECONDS = 15
BARE_LOOP = "import time\nwhile True: time.sleep(1.0 - time.time() % 1.0)"
KIB_PER_MIB = 1024
CALLS = """
import time, pynvml
pynvml.nvmlInit()
h = pynvml.nvmlDeviceGetHandleByIndex(0)
from advisor.samples.sources import nvml
from advisor.samples.sources.nvml import Device
from advisor.samples.sources.nvml import profiling
from advisor.samples.sources.nvml import NvmlSource
device = Device(0); device.open()
for counter in (*nvml.OF_AN_ACCELERATOR, profiling, nvml.processes, nvml.uncorrected_errors):
    spent = []
    for _ in range(200):
        time.sleep(0.0005)
        start = time.perf_counter_ns(); counter(device); spent.append(time.perf_counter_ns() - start)
    print(f"{counter.__name__} {sorted(spent)[100] / 1000:.1f}")
source = NvmlSource("bench")
spent = []
for _ in range(200):
    time.sleep(0.0005)
    start = time.perf_counter_ns(); source.read(); spent.append(time.perf_counter_ns() - start)
print(f"all_accelerators {sorted(spent)[100] / 1000:.1f}")
"""


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far, to the nanosecond; system calls included."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def memory_mib(process: int) -> dict[str, float]:
    """Resident memory of a process, and its proportional share of what it has in common with others."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) / KIB_PER_MIB for line in lines if line.endswith("kB")}
    return {"RSS": found["Rss"], "PSS": found["Pss"]}


def family(process: int) -> list[int]:
    """A process and its children."""
    return [process, *map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]


def measured(processes: list[int], seconds: float) -> tuple[float, list[dict[str, float]]]:
    """Share of a core over some seconds, and memory at their end."""
    started, before = time.monotonic(), sum(map(cpu_seconds, processes))
    time.sleep(seconds)
    share = (sum(map(cpu_seconds, processes)) - before) / (time.monotonic() - started)
    return share, [memory_mib(process) for process in processes]


def agent_command(output: Path, engines: Sequence[str], page: str | None) -> list[str]:
    """The agent, as `advisor agent run` starts it, without compaction."""
    sources = (Asked("nvml"), Asked("engines", tuple(engines)))
    settings = Settings(str(output), "bench", sources, compact=False, page=page)
    return bare_interpreter("advisor.samples.agent.__main__", settings.as_argument())


def scrape(address: str) -> None:
    """Read the page every 15 s, for ever."""
    while True:
        time.sleep(SCRAPE_SECONDS)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
            size = len(reply.read())
        print(f"page              {size / 1024:.0f} KiB")


def report_kept(output: Path) -> None:
    """Print which ticks were kept, and what they take in the spool."""
    records, size = [], 0
    for path in segments(output):
        records += read_segment(path).records
        size += path.stat().st_size
    rows = [record for record in records if isinstance(record, Row)]
    rows = [row for row in rows if row.target.source == "nvml"]
    kept = sum(row.stats["power_watts"].n for row in rows)
    missed = sum(record.missed_ticks for record in records if isinstance(record, Gap))
    print(f"ticks             {kept} of {kept + missed} kept, over all accelerators")
    print(f"spool             {size / len(records):.0f} bytes for each row of {len(rows[0].stats)} metrics")


def main() -> None:
    """Run the agent and the baseline side by side, and print what each of them costs."""
    if compiler() is None:
        print("skipped: no C compiler (cc) to build the fake NVIDIA driver with")
        return
    seconds = float(next((word for word in sys.argv[1:] if word != "--page"), 12.0))
    shown_at = f"127.0.0.1:{free_port()}" if "--page" in sys.argv else None
    with tempfile.TemporaryDirectory() as name, ExitStack() as servers:
        engines = [servers.enter_context(scripted(always(answer(vllm_page("llama"))))).url for _ in range(ENGINES)]
        folder = Path(name)
        build_library(folder)
        (folder / "scenario.csv").write_text(SCENARIO)
        environment = {
            **os.environ, "LD_LIBRARY_PATH": name, "FAKE_NVML_SCENARIO": str(folder / "scenario.csv"),
            "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[1:3])),
        }  # fmt: skip
        command = agent_command(folder / "samples", engines, shown_at)
        agent = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        bare = subprocess.Popen([sys.executable, "-I", "-S", "-c", BARE_LOOP])
        time.sleep(SETTLING_SECONDS)
        processes = family(agent.pid)
        if shown_at is not None:
            threading.Thread(target=scrape, args=(shown_at,), daemon=True).start()
        start_up = sum(map(cpu_seconds, processes))
        share, memory = measured_with_baseline(processes, bare.pid, seconds)
        for process in (agent, bare):
            process.terminate()
            process.wait()
        print(f"start-up          {start_up:.2f} s of processor time")
        report(share, memory, seconds)
        report_kept(folder / "samples")
        calls = subprocess.run(
            [sys.executable, "-c", CALLS], env=environment, capture_output=True, text=True, check=True
        )
        for line in calls.stdout.splitlines():
            counter, microseconds = line.split()
            print(f"call              {counter.replace('_', ' '):<20} {microseconds} µs")


def measured_with_baseline(
    processes: list[int], bare: int, seconds: float
) -> tuple[list[float], list[dict[str, float]]]:
    """Shares of the agent and of the baseline over the same seconds, and memory of the agent's processes and of it."""
    before = cpu_seconds(bare)
    share, memory = measured(processes, seconds)
    return [share, (cpu_seconds(bare) - before) / seconds], [*memory, memory_mib(bare)]


def report(shares: list[float], memory: list[dict[str, float]], seconds: float) -> None:
    """Print what was measured."""
    agent, bare = shares
    print(
        f"steady            {agent:.3%} of a core, {GPUS} accelerators and {ENGINES} engines at 1 Hz over {seconds:.0f} s, all processes"
    )
    print(
        f"baseline          {bare:.3%} of a core, a bare interpreter that wakes up at 1 Hz: {agent / bare:.1f} × that"
    )
    for name, each in zip(("supervisor with engines", "nvml", "bare interpreter"), memory, strict=True):
        print(f"memory            {each['RSS']:.1f} MiB RSS, {each['PSS']:.1f} MiB PSS: {name}")
    print(
        f"memory            {sum(each['RSS'] for each in memory[:-1]):.1f} MiB RSS, "
        f"{sum(each['PSS'] for each in memory[:-1]):.1f} MiB PSS: all processes of the agent"
    )


if __name__ == "__main__":
    main()
