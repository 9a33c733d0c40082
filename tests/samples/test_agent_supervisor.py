"""The agent as a whole: real processes on the fake driver, whose clock the test moves."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advisor.samples.agent.settings import Settings
from advisor.samples.agent.status import status_path
from advisor.samples.agent.supervised import Asked
from samples.conftest import is_child
from samples.sources.engines.exhibits import vllm_page
from services.scripted import always, answer, scripted

GPU_LOST, VERSION_MISMATCH = 15, 18
SECOND_US = 1_000_000
TOO_MUCH = ("numpy", "pandas", "pyarrow", "duckdb", "click", "jinja2", "yaml", "sklearn")


def gap_reasons(host, index=0):
    """Why one accelerator was not read, in the order of time."""
    found = [gap["reason"] for gap in host.records("gap") if gap["target"]["index"] in (index, None)]
    return list(dict.fromkeys(found))


def source(host):
    """What the agent says of its one source."""
    found = host.status().get("sources")
    return found[0] if found else {}


def is_read(host, rows=1):
    """Whether the agent has kept rows of the first accelerator."""
    return sum(row["target"]["index"] == 0 for row in host.records("row")) >= rows


def ticks_by_accelerator(host):
    """Each accelerator with the ticks that were read and those that were missed."""
    by_target = {}
    for record in host.records():
        target = record["target"]
        by_target.setdefault((target["index"], target["mig_index"]), []).append(record)
    for key, records in by_target.items():
        if key[0] is None:
            continue
        read = sum(record["stats"]["memory_used_bytes"]["n"] for record in records if record["kind"] == "row")
        missed = sum(record["missed_ticks"] for record in records if record["kind"] == "gap")
        assert read > 0
        yield key, read, missed


def test_rows_of_eight_accelerators(fake_host):
    """With a duration every tick of it is in the rows of every accelerator, and the end says how many there are."""
    agent = fake_host.start_agent("gpus,8", duration_us=2 * SECOND_US)
    said = agent.wait()
    assert agent.process.returncode == 0, said
    for key, read, missed in ticks_by_accelerator(fake_host):
        assert read + missed in (20, 21, 22), key  # ticks from the opening of the driver to the end of the duration
    row = fake_host.records("row")[0]
    assert row["end_us"] % (15 * SECOND_US) == 0
    assert row["stats"]["power_watts"] | {"n": 0} == {"least": 200, "mean": 200, "greatest": 200, "last": 200, "n": 0}
    assert row["target"]["uuid"] == "GPU-fa4e0000-0000-4000-8000-000000000000"
    assert re.search(r"wrote \d+ rows and \d+ missed readings to ", said)
    assert fake_host.status()["state"] == "stopped"


def test_a_driver_that_crashes_is_opened_by_another_process(fake_host, eventually):
    """SIGSEGV in the driver ends one process, which is replaced; the time in between is a gap that says so."""
    agent = fake_host.start_agent("gpus,2\nfault,1,*,SEGV,10,11", stopped_clock=True)
    eventually(lambda: source(fake_host).get("state") == "running")
    time.sleep(0.5)
    fake_host.set_time(10)
    eventually(lambda: "was killed by SIGSEGV" in agent.said)
    fake_host.set_time(11)
    eventually(lambda: "nvml answers again" in agent.said)
    time.sleep(0.3)
    agent.stop()
    assert gap_reasons(fake_host) == ["nvml was killed by SIGSEGV"]
    assert source(fake_host)["restarts"] >= 1
    assert all(stats["least"] > 0 for row in fake_host.records("row") for name, stats in row["stats"].items()
               if name == "memory_used_bytes")  # fmt: skip


def test_a_driver_that_hangs_is_left_behind_once(fake_host, eventually):
    """A hung process is replaced and not killed; its replacement that hangs too is not replaced, and answers in the end."""
    agent = fake_host.start_agent("gpus,2\nfault,*,nvmlDeviceGetClockInfo,HANG,10,20", stopped_clock=True)
    eventually(lambda: source(fake_host).get("state") == "running")
    first = source(fake_host)["pid"]
    time.sleep(0.4)
    fake_host.set_time(10)
    eventually(lambda: "nvml does not answer" in agent.said)
    children = eventually(lambda: len(found := agent.children) == 2 and found)
    assert first in children
    time.sleep(2.5)  # three times its patience
    assert agent.children == children  # nobody was killed, and nobody else was started
    fake_host.set_time(20)
    eventually(lambda: "nvml answers again" in agent.said)
    eventually(lambda: len(agent.children) == 1)
    assert not Path(f"/proc/{first}").exists() or first not in agent.children
    agent.stop()
    first_reason, *others = gap_reasons(fake_host)
    assert first_reason == "nvml does not answer"
    assert all(other.startswith("a reading took ") for other in others)  # the one that answered in the end


def test_a_driver_that_hangs_when_it_is_opened(fake_host, eventually):
    """An agent whose driver never opens records that from its start on, and ends in order."""
    agent = fake_host.start_agent("fault,*,nvmlInitWithFlags,HANG,0,99", stopped_clock=True)
    eventually(lambda: len(agent.children) == 2)
    said = agent.stop()
    assert "left to end by themselves" in said
    assert not fake_host.records("row")
    fake_host.set_time(99)
    eventually(lambda: not any(is_child(int(number)) for number in re.findall(r"\d+", said.splitlines()[-2])))


def test_seven_go_on_when_one_is_lost(fake_host, eventually):
    """The lost accelerator has a gap with the driver's reason, the seven others have none."""
    agent = fake_host.start_agent(f"gpus,8\nfault,2,*,{GPU_LOST},10,20", stopped_clock=True)
    eventually(lambda: source(fake_host).get("state") == "running")
    time.sleep(0.3)
    fake_host.set_time(10)
    eventually(lambda: "nvml accelerator 2 does not answer (GPU is lost)" in agent.said)
    time.sleep(0.5)
    fake_host.set_time(20)
    eventually(lambda: "nvml accelerator 2 answers again" in agent.said)
    time.sleep(0.3)
    agent.stop()
    assert {gap["target"]["index"] for gap in fake_host.records("gap") if gap["reason"] == "GPU is lost"} == {2}
    read = {key[0]: read for key, read, _ in ticks_by_accelerator(fake_host)}
    assert all(read[other] > read[2] for other in (0, 1, 3, 4, 5, 6, 7))


def test_a_driver_that_is_upgraded_under_the_agent(fake_host, eventually):
    """The process that cannot go on ends and is replaced until the driver opens again; nobody has to start the agent anew."""
    agent = fake_host.start_agent(f"fault,*,*,{VERSION_MISMATCH},10,20", stopped_clock=True)
    eventually(lambda: source(fake_host).get("state") == "running")
    time.sleep(0.3)
    fake_host.set_time(10)
    eventually(lambda: "does not answer this program any more" in agent.said)
    fake_host.set_time(20)
    eventually(lambda: "nvml answers again" in agent.said)
    agent.stop()
    assert "RM has detected an NVML/RM version mismatch" in gap_reasons(fake_host)[0]


def test_a_process_that_is_killed_from_outside(fake_host, eventually):
    """Kill -9 of the process that reads costs a second or two, recorded as what it is."""
    agent = fake_host.start_agent("gpus,2")
    eventually(lambda: source(fake_host).get("state") == "running")
    time.sleep(0.3)
    (child,) = agent.children
    os.kill(child, signal.SIGKILL)
    eventually(lambda: "nvml answers again" in agent.said)
    agent.stop()
    assert gap_reasons(fake_host) == ["nvml was killed by SIGKILL"]
    for _, read, missed in ticks_by_accelerator(fake_host):
        assert read
        assert missed >= 8  # a pause of one second


def test_the_death_of_the_agent_ends_its_processes(fake_host, eventually):
    """After kill -9 of the supervisor nothing of it is left."""
    agent = fake_host.start_agent("gpus,2")
    eventually(lambda: source(fake_host).get("state") == "running")
    children = agent.children
    assert children
    agent.process.kill()
    agent.process.wait()
    eventually(lambda: not any(is_child(child) for child in children))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_everything_written(fake_host, eventually, number):
    """SIGTERM and Ctrl-C end the run within moments, with exit 0, every reading kept and no process left."""
    agent = fake_host.start_agent("gpus,2")
    eventually(lambda: source(fake_host).get("state") == "running")
    time.sleep(0.7)
    assert not fake_host.records("row") or is_read(fake_host)
    children = agent.children
    agent.stop(number)
    assert all(read >= 5 for _, read, _ in ticks_by_accelerator(fake_host))
    assert not any(is_child(child) for child in children)


def test_a_signal_ends_a_long_wait_at_once(fake_host, eventually):
    """An agent that waits an hour for its next tick stops within moments, without a row."""
    agent = fake_host.start_agent("", interval_us=3600 * SECOND_US)
    eventually(lambda: source(fake_host).get("state") == "running")
    agent.stop()
    assert fake_host.records() == []


def test_two_agents_in_one_directory(fake_host):
    """Two agents write the same rows of the same ticks, and neither loses any."""
    agents = [fake_host.start_agent("gpus,2", duration_us=2 * SECOND_US) for _ in range(2)]
    for agent in agents:
        agent.wait()
    assert [agent.process.returncode for agent in agents] == [0, 0]
    ends = {}
    for row in fake_host.records("row"):
        ends.setdefault((row["target"]["index"], row["end_us"]), []).append(row)
    assert any(len(rows) == 2 for rows in ends.values())


def test_no_process_of_a_running_agent_imports_what_it_does_not_need(fake_host, tmp_path):
    """After a run, with the real spool, neither the supervisor nor the process of the source has a heavy package."""
    settings = Settings(str(tmp_path / "out"), "host", (Asked("nvml"),), duration_us=SECOND_US, compact=False)
    for module, arguments in [
        ("advisor.samples.agent.__main__", [settings.as_argument()]),
        ("advisor.samples.agent.processes", ["nvml", "host", "100000"]),
    ]:
        loaded = modules_of(module, arguments, fake_host.environment("gpus,2"), tmp_path / "modules")
        assert not loaded & set(TOO_MUCH)
        assert loaded - set(sys.stdlib_module_names) <= {"advisor", "pynvml", "__main__", "__mp_main__"} | {
            name for name in loaded if name.startswith("_")
        }
        assert ("pynvml" in loaded) == module.endswith("child")


def test_only_the_process_of_the_source_has_the_driver(fake_host, eventually):
    """The vendor's library is mapped in one process, and not in the supervisor."""
    agent = fake_host.start_agent("gpus,2")
    eventually(lambda: source(fake_host).get("state") == "running")
    (child,) = agent.children
    assert "libnvidia-ml" not in Path(f"/proc/{agent.process.pid}/maps").read_text()
    assert "libnvidia-ml" in Path(f"/proc/{child}/maps").read_text()
    agent.stop()


def modules_of(module, arguments, environment, path):
    """Top names of the modules that a part of the agent has loaded when it ends, a second after its start."""
    code = (
        "import atexit, importlib, sys\n"
        f"atexit.register(lambda: open({str(path)!r}, 'w').write(' '.join(sys.modules)))\n"
        f"sys.exit(importlib.import_module({module!r}).main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**environment, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    time.sleep(1.0)
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    return {name.split(".")[0] for name in path.read_text().split()}


def test_the_status_says_what_is_read(fake_host, eventually):
    """While it runs, the status names the process, the accelerators and the last reading."""
    agent = fake_host.start_agent("gpus,3")
    eventually(lambda: source(fake_host).get("state") == "running")
    status = fake_host.status()
    assert status["schema"] == "advisor.agent.status/v1"
    assert (status["pid"], status["host"], status["state"]) == (agent.process.pid, "host-a", "running")
    assert source(fake_host)["describes"] == "3 × NVIDIA A100-SXM4-40GB, driver 570.133.20"
    time.sleep(0.5)
    agent.stop()
    assert [target["index"] for target in source(fake_host)["targets"]] == [0, 1, 2]
    assert source(fake_host)["last_reading"] is not None
    assert source(fake_host)["trouble"] is None


def test_without_a_driver_it_ends_with_a_way_out(fake_host):
    """A driver that cannot be opened ends the run with exit 1, what is wrong and how to fix it."""
    agent = fake_host.start_agent("init,9")
    said = agent.wait()
    assert agent.process.returncode == 1
    assert said.splitlines()[0] == "error: the NVIDIA driver is not loaded"
    assert said.splitlines()[1].startswith("  hint: load it (modprobe nvidia)")
    assert len(said.splitlines()) == 2


def test_one_source_that_cannot_be_opened_leaves_the_other(fake_host, eventually):
    """The agent says that it has no neuron-monitor and goes on with what there is; the other is a gap."""
    agent = fake_host.start_agent("", sources=(Asked("neuron"), Asked("nvml")))
    eventually(lambda: "sampling 1 × NVIDIA" in agent.said)
    time.sleep(0.5)
    agent.stop()
    assert {row["target"]["source"] for row in fake_host.records("row")} == {"nvml"}
    gaps = [gap for gap in fake_host.records("gap") if gap["target"]["source"] == "neuron"]
    assert {gap["reason"] for gap in gaps} == {"no program neuron-monitor on this host"}


def test_only_what_has_a_driver_has_a_process(fake_host, eventually):
    """Accelerators are read by a process, engines by the agent itself; both are recorded, and it ends in order."""
    with scripted(always(answer(vllm_page("llama")))) as engine:
        agent = fake_host.start_agent("gpus,1", sources=(Asked("nvml"), Asked("engines", (engine.url,))))
        eventually(lambda: {row["target"]["source"] for row in fake_host.records("row")} == {"nvml", "vllm"})
        assert len(agent.children) == 1
        assert [source["pid"] is None for source in fake_host.status()["sources"]] == [False, True]
        agent.stop()


def test_a_slow_driver_is_read_less_and_says_so(fake_host):
    """A driver that takes 0.35 s a reading at an interval of 0.1 s: the ticks in between are gaps with that reason."""
    agent = fake_host.start_agent("latency,nvmlDeviceGetClockInfo,350000", duration_us=4 * SECOND_US)
    agent.wait()
    reasons = gap_reasons(fake_host)
    assert any("a reading took 0.35" in reason for reason in reasons)
    assert any("read every" in reason for reason in reasons)
    ((_, read, missed),) = ticks_by_accelerator(fake_host)
    assert 2 <= read <= 12
    assert 38 <= read + missed <= 60  # from the opening of the driver to the end of the duration


def test_a_disk_that_takes_nothing_to_the_end_is_an_error(fake_host, eventually):
    """Exit 1 with the number of records that are lost, and no traceback."""
    agent = fake_host.start_agent("gpus,2", duration_us=2 * SECOND_US)
    folder = status_path(fake_host.samples, "host-a").parent
    eventually(fake_host.status)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    said = agent.wait()
    assert "cannot write" in said
    assert agent.process.returncode == 1
    assert re.search(r"error: \d+ rows and gaps could not be written to ", said.splitlines()[-1])
    folder.unlink()
