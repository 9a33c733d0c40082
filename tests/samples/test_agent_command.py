"""`advisor agent run` as a program: started, stopped, killed, on a fake driver."""

import signal
import time

import pytest

from advisor.errors import InputError
from advisor.samples.store import read_samples


def wait_for(condition, seconds=30.0):
    """Wait until *condition* holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def files_in(directory):
    """Finished files of samples."""
    return [path for path in directory.rglob("*.parquet") if not path.name.startswith(".")]


def first_line(process):
    """What a program says on stderr when it starts."""
    return process.stderr.readline()


def test_a_run_of_a_given_duration(fake_host):
    """A run says what it sees and where it writes, accounts for every tick, and sums up at the end."""
    result = fake_host.advisor(
        "gpus,8", "agent", "run", "--output", fake_host.samples, "--interval", "200ms", "--duration", "1s",
        "--host", "node-7",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    start, end = result.stderr.splitlines()
    assert start == (
        f"sampling 8 × NVIDIA A100-SXM4-40GB, driver 570.133.20 on node-7: every 200ms into {fake_host.samples}, for 1s"
    )
    assert result.stdout == ""
    frame = read_samples(fake_host.samples)
    samples, missed = int((frame.missed_ticks == 0).sum()), int(frame.missed_ticks.sum())
    assert samples + missed == 8 * 5  # missed only where the machine under test stalls
    assert end.startswith(f"wrote {samples} samples and {missed} missed readings in ")
    assert {key.host for key in frame.accelerators} == {"node-7"}
    assert not (frame.timestamp_us % 200_000).any()


def test_quiet_says_nothing(fake_host):
    """With --quiet a good run has no output at all."""
    result = fake_host.advisor("", "agent", "run", "--output", fake_host.samples, "--duration", "1s", "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_everything_written(fake_host, number):
    """SIGTERM and Ctrl-C end the run at once, with exit 0 and every reading on disk, though the minute is not over."""
    process = fake_host.start_advisor("gpus,2", "agent", "run", "--output", fake_host.samples, "--interval", "100ms")
    assert "until Ctrl-C" in first_line(process)
    time.sleep(0.7)
    assert files_in(fake_host.samples) == []
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    assert said.startswith("wrote ")
    frame = read_samples(fake_host.samples)
    samples = int((frame.missed_ticks == 0).sum())
    assert samples >= 2
    assert f"wrote {samples} samples" in said


def test_a_signal_ends_a_long_wait_at_once(fake_host):
    """An agent that waits an hour for its next tick stops within moments, and leaves no empty file."""
    process = fake_host.start_advisor("", "agent", "run", "--output", fake_host.samples, "--interval", "1h")
    first_line(process)
    started = time.monotonic()
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert time.monotonic() - started < 5
    assert files_in(fake_host.samples) == []


def test_kill_leaves_every_file_written_before(fake_host):
    """After kill -9 all finished files are whole, and at most a minute is missing."""
    process = fake_host.start_playing("gpus,8", "--pace", 0.001)
    wait_for(lambda: len(files_in(fake_host.samples)) >= 4)
    process.kill()
    process.wait()
    files = files_in(fake_host.samples)
    frame = read_samples(fake_host.samples)
    assert all(path.name.startswith(".") for path in (file.path for file in frame.skipped))
    assert len(frame.timestamp_us) == len(files) * 60 * 8
    assert not frame.missed_ticks.any()


def test_a_slow_driver_leaves_gaps_and_no_drift(fake_host):
    """A driver that takes 0.35 s a reading at an interval of 0.1 s: the ticks in between are gaps with a reason."""
    result = fake_host.advisor(
        "latency,nvmlDeviceGetClockInfo,350000", "agent", "run", "--output", fake_host.samples, "--interval", "100ms",
        "--duration", "2s",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    frame = read_samples(fake_host.samples)
    gaps = frame.missed_ticks > 0
    assert gaps.any()
    assert {frame.gap_reason[code] for code in frame.gap_reason_code[gaps]} == {"the agent did not run at this time"}
    assert int(frame.missed_ticks.sum()) + int((~gaps).sum()) == 20
    assert not (frame.timestamp_us % 100_000).any()


def test_a_machine_that_slept_records_one_gap_for_each_accelerator(fake_host):
    """Ten minutes asleep at one reading a second are 600 missed ticks in one row per accelerator."""
    fake_host.play("gpus,2", "--seconds", 660, "--sleep-at", 30, "--sleep-seconds", 600)
    frame = read_samples(fake_host.samples)
    assert sorted(frame.missed_ticks[frame.missed_ticks > 0].tolist()) == [600, 600]
    assert int((frame.missed_ticks == 0).sum()) == 2 * 60


def test_two_agents_in_one_directory(fake_host):
    """Two agents that started in the same microsecond lose nothing, and what both read counts once."""
    agents = [fake_host.start_playing("gpus,2", "--seconds", 1200) for _ in range(2)]
    assert [process.wait(timeout=60) for process in agents] == [0, 0]
    assert len(files_in(fake_host.samples)) == 2 * 20
    frame = read_samples(fake_host.samples)
    assert frame.skipped == ()
    assert len(frame.timestamp_us) == 2 * 1200


def test_no_command_line_asks_for_the_impossible(fake_host):
    """An interval that is none, too short or too long is wrong usage: exit 2, and the bounds are named."""
    for interval, message in [("soon", "is no span of time"), ("1ms", "between 100ms and 1h"), ("2h", "between")]:
        result = fake_host.advisor("", "agent", "run", "--output", fake_host.samples, "--interval", interval)
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
    with pytest.raises(InputError):
        read_samples(fake_host.samples)
