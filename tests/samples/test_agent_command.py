"""`advisor agent run` as a program: started, stopped, killed, on a fake driver, down to the spool."""

import os
import signal
import time
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.samples.agent.run_command import asked_sources
from advisor.samples.agent.spool import read_segment, segments
from advisor.samples.agent.supervised import Asked
from advisor.samples.metrics import Row
from advisor.samples.places import checked_host
from samples.sources.engines.exhibits import vllm_page
from services.scripted import always, answer, scripted


def records(host, kind=object):
    """What is in the spool, whole or not."""
    found = [record for path in segments(host.samples) for record in read_segment(path).records]
    return [record for record in found if isinstance(record, kind)]


def run(host, scenario, *arguments):
    """Run the agent to its end."""
    return host.advisor(scenario, "agent", "run", "--output", host.samples, *arguments)


def test_the_program_becomes_the_agent(fake_host, eventually):
    """The process that was started is the agent: it has replaced the command line, and says what it sees."""
    process = fake_host.start_advisor("gpus,2", "agent", "run", "--output", fake_host.samples, "--host", "node-7")
    line = process.stderr.readline()
    assert line == f"sampling 2 × NVIDIA A100-SXM4-40GB, driver 570.133.20 on node-7 into {fake_host.samples}\n"
    assert eventually(lambda: fake_host.status("node-7"))["pid"] == process.pid
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_quiet_says_nothing_but_errors(fake_host):
    """With --quiet a good run has no output at all."""
    result = run(fake_host, "", "--duration", "300ms", "--interval", "100ms", "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_password_is_in_no_list_of_processes(fake_host, eventually):
    """The agent that runs shows others neither an engine's password nor its query, and keeps neither."""
    with scripted(always(answer(vllm_page()))) as engine:
        url = f"http://bob:s3cret@127.0.0.1:{engine.port}/metrics?token=t0ken"
        process = fake_host.start_advisor("", "agent", "run", "--engine", url, "--output", fake_host.samples)
        said = process.stderr.readline() + eventually(lambda: Path(f"/proc/{process.pid}/cmdline").read_text())
        eventually(lambda: engine.requests)
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=120)[1]
    kept = "".join(path.read_text(errors="replace") for path in fake_host.samples.rglob("*") if path.is_file())
    assert engine.requests[0].startswith(b"GET /metrics?token=t0ken HTTP/1.1")
    assert b"Authorization: Basic" in engine.requests[0]
    assert not any(secret in said + kept for secret in ("s3cret", "t0ken"))


def test_names_of_nodes_are_names_of_hosts():
    """A node of a cluster may be called by 250 characters, and anything that can be printed is kept."""
    for name in ("ip-10-0-0-1.us-west-2.compute.internal", "n" * 250, "host with spaces", "größe"):
        assert checked_host(name) == name


def test_a_machine_without_a_name_is_warned_of(fake_host):
    """Engines of two machines that are both called localhost would count as one."""
    done = run(fake_host, "", "--duration", "300ms", "--interval", "100ms", "--host", "localhost.localdomain")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: every machine without a name is localhost.localdomain")


@pytest.mark.parametrize("host", ["", "a\nb", b"x\xff", "y" * 251, "\x1b[31m"])
def test_a_name_that_nobody_could_read_is_refused(fake_host, host):
    """A host's name is in every row and on every line that is logged."""
    done = run(fake_host, "", "--duration", "300ms", "--host", os.fsdecode(host))
    assert (done.returncode, "is not the name of a host" in done.stderr) == (1, True)
    assert not fake_host.samples.exists()


@pytest.mark.slow  # up to the end of a row
def test_kill_leaves_every_record_written_before(fake_host, eventually):
    """After kill -9 what was synced is whole, and the status on disk is whole too."""
    process = fake_host.start_advisor(
        "gpus,8", "agent", "run", "--output", fake_host.samples, "--interval", "100ms", "--quiet"
    )
    eventually(lambda: records(fake_host, Row), seconds=30)  # the end of a row is at most fifteen seconds away
    process.kill()
    process.wait()
    rows = records(fake_host, Row)
    assert {row.target.index for row in rows} == set(range(8))
    assert not any(read_segment(path).skipped_bytes for path in segments(fake_host.samples))
    (host,) = (path.parent.name for path in segments(fake_host.samples)[:1])
    assert fake_host.status(host.removeprefix("host="))["state"] == "running"


def test_what_a_run_kept_can_be_looked_at_when_it_ends(fake_host):
    """With a duration the rows are Parquet at the end, and nothing waits in the spool."""
    pytest.importorskip("advisor.samples.store.compact", reason="rows stay in the spool without it")
    result = run(fake_host, "gpus,2", "--duration", "500ms", "--interval", "100ms")
    assert result.returncode == 0, result.stderr
    assert list(fake_host.samples.rglob("rows-*.parquet"))
    assert records(fake_host) == []


@pytest.mark.parametrize(
    ("interval", "message"),
    [("soon", "is not a span of time"), ("1ms", "between 100ms and 15s"), ("30s", "every row of 15s needs a reading")],
)
def test_no_command_line_asks_for_the_impossible(fake_host, interval, message):
    """An interval that is none, too short or too long is wrong usage: exit 2, and the bounds are named."""
    result = run(fake_host, "", "--interval", interval)
    assert result.returncode == 2
    assert message in result.stderr
    assert "--interval" in result.stderr


def test_an_output_that_is_no_directory_is_refused_before_sampling(fake_host):
    """A path below a file ends with exit 1 and names the option, before anything is read."""
    (fake_host.folder / "file").write_text("")
    result = fake_host.advisor("", "agent", "run", "--output", fake_host.folder / "file" / "samples")
    assert result.returncode == 1
    assert "cannot write here" in result.stderr
    assert "--output" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_driver_that_does_not_start_ends_with_a_way_out(fake_host):
    """Exit 1 with what is wrong and a hint, from the slim process too."""
    result = run(fake_host, "init,18", "--source", "nvml")
    assert result.returncode == 1
    assert "have different versions" in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr


def test_what_the_host_has_is_found_by_itself(fake_host, monkeypatch):
    """A driver library that the linker finds is enough; what nobody has is an error that says what to do."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(fake_host.library()))
    assert Asked("nvml") in asked_sources(["auto"], [])
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    monkeypatch.setenv("PATH", "")
    if not Path("/dev/nvidiactl").exists():
        with pytest.raises(InputError, match="no driver of an accelerator"):
            asked_sources(["auto"], [])
        assert asked_sources(["auto"], ["http://a"]) == (Asked("engines", ("http://a",)),)


def test_sources_can_be_named():
    """Each name counts once, engines take any number of addresses, and what is none is refused with the choice."""
    asked = asked_sources(["nvml", "nvml"], ["http://a/metrics", "http://b", "http://a/metrics"])
    assert asked == (Asked("nvml"), Asked("engines", ("http://a/metrics", "http://b")))
    with pytest.raises(InputError, match="'gpu' is not a source"):
        asked_sources(["gpu"], [])
    with pytest.raises(InputError, match="needs an address"):
        asked_sources(["engines"], [])


def test_a_signal_while_it_opens_the_driver(fake_host, eventually):
    """An agent that is told to stop before it has seen anything ends in order."""
    process = fake_host.start_advisor(
        "latency,nvmlDeviceGetCount_v2,1500000", "agent", "run", "--output", fake_host.samples, "--source", "nvml"
    )
    eventually(lambda: b"samples.agent.__main__" in Path(f"/proc/{process.pid}/cmdline").read_bytes())
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Traceback" not in said
