"""The NVML source: the unmodified binding against a driver library that plays scenarios."""

import ast
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import advisor
from advisor.samples.store import read_samples

GPU_LOST, DRIVER_NOT_LOADED, NOT_SUPPORTED, VERSION_MISMATCH, UNKNOWN_ERROR = 15, 9, 3, 18, 999


def values(frame, name, accelerator=0):
    """One column of one accelerator."""
    return frame.columns[name][frame.rows_of(accelerator)]


def test_reads_every_accelerator_at_every_tick(fake_host):
    """Eight healthy accelerators give one full sample each per tick, with the driver's values in base units."""
    result = fake_host.play("gpus,8\nset,3,mem_used,1000000000", "--seconds", 10)
    assert result.returncode == 0, result.stderr
    frame = read_samples(fake_host.samples)
    assert len(frame.accelerators) == 8
    assert len(frame.timestamp_us) == 80
    assert not frame.missed_ticks.any()
    assert frame.accelerators[3] == (
        "host-a", 3, None, "GPU-fa4e0000-0000-4000-8000-000000000003", "NVIDIA A100-SXM4-40GB",
    )  # fmt: skip
    assert set(values(frame, "memory_used_bytes", 3)) == {1_000_000_000}
    assert set(values(frame, "memory_used_bytes", 4)) == {38_600_000_000}
    assert set(values(frame, "memory_reserved_bytes")) == {545_259_520}
    assert set(values(frame, "memory_total_bytes")) == {42_949_672_960}
    assert set(values(frame, "busy_ratio")) == {0.5}
    assert set(values(frame, "memory_busy_ratio")) == {0.2}
    assert set(values(frame, "power_watts")) == {200.0}
    assert set(values(frame, "sm_clock_mhz")) == {1410}
    assert set(values(frame, "temperature_celsius")) == {45}


def test_busy_is_the_mean_of_the_interval_and_its_peak(fake_host):
    """A burst of one second inside a tick of five shows as a mean of 1/5 and a peak of 1."""
    # Six driver readings a second: of the 30 in (5 s, 10 s] those at 6, 6 1/6 ... 6 5/6 s are busy.
    fake_host.play("series,0,util_gpu,0:0;6:100;7:0", "--seconds", 15, "--interval", 5)
    frame = read_samples(fake_host.samples)
    assert values(frame, "busy_ratio").tolist() == pytest.approx([0, 6 / 30, 0])
    assert values(frame, "busy_peak_ratio").tolist() == [0, 1, 0]


def test_energy_is_exact_whatever_the_interval(fake_host):
    """The energy counter holds a burst that no power reading saw: 100 W for 20 s and 400 W more for 1 s."""
    fake_host.play("series,0,power_mw,0:100000;7:500000;8:100000", "--seconds", 20, "--interval", 10)
    frame = read_samples(fake_host.samples)
    assert values(frame, "power_watts").tolist() == [100.0, 100.0]
    assert values(frame, "energy_joules").tolist() == pytest.approx([1400.0, 2400.0])


def test_throttling_is_a_share_of_the_time_between_readings(fake_host):
    """A power limit that holds for half of each tick reads 0.5; the first reading has nothing to compare with."""
    fake_host.play("set,0,viol_power,0.5\nset,0,viol_thermal,0", "--seconds", 3)
    frame = read_samples(fake_host.samples)
    np.testing.assert_allclose(values(frame, "power_throttled_ratio"), [np.nan, 0.5, 0.5])
    np.testing.assert_allclose(values(frame, "thermal_throttled_ratio"), [np.nan, 0, 0])


def test_a_lost_accelerator_becomes_gaps_while_the_others_go_on(fake_host):
    """From its loss to its return there are gaps with the driver's reason, never zeros, and it is said once."""
    result = fake_host.play(f"gpus,8\nfault,2,*,{GPU_LOST},30,40", "--seconds", 60)
    frame = read_samples(fake_host.samples)
    lost = frame.rows_of(2)
    gaps = frame.missed_ticks[lost] > 0
    assert np.flatnonzero(gaps).tolist() == list(range(29, 39))  # the ticks at 30 s to 39 s
    assert {frame.gap_reason[code] for code in frame.gap_reason_code[lost][gaps]} == {"GPU is lost"}
    assert np.isnan(values(frame, "memory_used_bytes", 2)[gaps]).all()
    assert not np.isnan(values(frame, "memory_used_bytes", 2)[~gaps]).any()
    assert all(not frame.missed_ticks[frame.rows_of(other)].any() for other in (0, 1, 3, 4, 5, 6, 7))
    assert result.stderr.splitlines() == [
        "accelerator 2 does not answer (GPU is lost); recorded as a gap, the others go on",
        "accelerator 2 answers again",
    ]


def test_an_accelerator_lost_at_start_joins_when_it_answers(fake_host):
    """Rows from before its first answer have no UUID and still belong to it."""
    fake_host.play(f"gpus,2\nfault,1,*,{GPU_LOST},0,5", "--seconds", 10)
    frame = read_samples(fake_host.samples)
    assert len(frame.accelerators) == 2
    assert frame.accelerators[1].accelerator_uuid == "GPU-fa4e0000-0000-4000-8000-000000000001"
    assert frame.missed_ticks[frame.rows_of(1)].tolist() == [1] * 4 + [0] * 6


@pytest.mark.parametrize(
    ("function", "unknown"),
    [
        ("nvmlDeviceGetMemoryInfo_v2", []),
        ("nvmlDeviceGetSamples", ["busy_peak_ratio"]),
        ("nvmlDeviceGetClockInfo", ["sm_clock_mhz"]),
        ("nvmlDeviceGetTemperatureV", []),
        ("nvmlDeviceGetFieldValues", ["power_throttled_ratio", "thermal_throttled_ratio"]),
    ],
)
@pytest.mark.parametrize("how", ["unsupported", "missing symbol"])
def test_an_unsupported_counter_is_unknown_or_read_another_way(fake_host, function, unknown, how):
    """What the driver does not support, or is too old to have, is NaN or comes from an older call; never a gap."""
    if how == "unsupported":
        result = fake_host.play(f"fault,0,{function},{NOT_SUPPORTED},0,,", "--seconds", 3)
    else:
        result = fake_host.play("", "--seconds", 3, hidden=(function,))
    assert result.returncode == 0, result.stderr
    frame = read_samples(fake_host.samples)
    assert not frame.missed_ticks.any()
    expected = set(unknown)
    if function == "nvmlDeviceGetMemoryInfo_v2":
        expected.add("memory_reserved_bytes")
        assert set(values(frame, "memory_used_bytes")) == {38_600_000_000 + 545_259_520}
    never_known = {name for name, column in frame.columns.items() if np.isnan(column).all()}
    assert never_known == expected


def test_a_field_that_alone_is_unsupported_leaves_the_others(fake_host):
    """One call gives several fields with a code each: energy can be missing where power is not."""
    fake_host.play(
        f"set,0,field_83_code,{NOT_SUPPORTED}\nfault,0,nvmlDeviceGetTotalEnergyConsumption,{NOT_SUPPORTED},0,,",
        "--seconds", 3,
    )  # fmt: skip
    frame = read_samples(fake_host.samples)
    assert np.isnan(values(frame, "energy_joules")).all()
    assert set(values(frame, "power_watts")) == {200.0}


def test_a_flaky_call_costs_its_own_counter_only(fake_host):
    """Every third memory reading fails: those are unknown with the reason kept, everything else is there."""
    fake_host.play(f"fault,0,nvmlDeviceGetMemoryInfo_v2,{UNKNOWN_ERROR},0,,3", "--seconds", 9)
    frame = read_samples(fake_host.samples)
    assert np.isnan(values(frame, "memory_used_bytes")).tolist() == [False, False, True] * 3
    assert not np.isnan(values(frame, "busy_ratio")).any()
    (path,) = fake_host.samples.rglob("*.parquet")
    errors = pq.ParquetFile(path).read(columns=["read_errors"])["read_errors"].to_pylist()
    assert errors == [None, None, "memory: Unknown Error"] * 3


def test_an_accelerator_of_which_every_counter_fails_is_a_gap(fake_host):
    """A sample in which nothing at all could be read would count as observed; it is a gap instead."""
    fake_host.play(f"gpus,2\nfault,0,*,{UNKNOWN_ERROR},2,4,", "--seconds", 5)
    frame = read_samples(fake_host.samples)
    assert frame.missed_ticks[frame.rows_of(0)].tolist() == [0, 1, 1, 0, 0]
    assert "busy: Unknown Error" in (frame.gap_reason[frame.gap_reason_code[1]] or "")
    assert not frame.missed_ticks[frame.rows_of(1)].any()


def test_mig_instances_stand_in_for_the_accelerator_they_divide(fake_host):
    """Each instance is listed with its own memory; utilisation belongs to the whole and is unknown."""
    result = fake_host.play("gpus,2\nset,1,mem_used,3000000000\nmig,1,3,10468982784", "--seconds", 3)
    assert result.returncode == 0, result.stderr
    frame = read_samples(fake_host.samples)
    assert [key[1:3] for key in frame.accelerators] == [(0, None), (1, 0), (1, 1), (1, 2)]
    assert frame.accelerators[2].accelerator_uuid == "MIG-fa4e0000-0000-4000-8001-000000000001"
    assert set(values(frame, "memory_total_bytes", 2)) == {10_468_982_784}
    assert set(values(frame, "memory_used_bytes", 2)) == {1_000_000_000}
    assert np.isnan(values(frame, "busy_ratio", 2)).all()
    assert np.isnan(values(frame, "power_watts", 2)).all()


def test_a_driver_upgraded_under_the_agent_ends_it_with_everything_written(fake_host):
    """No call of the process succeeds any more: it stops with exit 1 and a hint, and keeps what it had."""
    result = fake_host.play(f"gpus,2\nfault,*,*,{VERSION_MISMATCH},5,,", "--seconds", 60)
    assert result.returncode == 1
    assert "does not answer this program any more" in result.stderr
    assert "start the agent again" in result.stderr
    frame = read_samples(fake_host.samples)
    assert len(frame.timestamp_us) == 2 * 4


@pytest.mark.parametrize(
    ("scenario", "message", "hint"),
    [
        (f"init,{DRIVER_NOT_LOADED}", "the NVIDIA driver is not loaded", "modprobe nvidia"),
        (f"init,{VERSION_MISMATCH}", "different versions", "reboot"),
        ("init,4", "no permission", "/dev/nvidiactl"),
        (f"init,{UNKNOWN_ERROR}", "does not start: Unknown Error", "nvidia-smi"),
        ("gpus,0", "sees no accelerator", "NVIDIA_VISIBLE_DEVICES"),
    ],
    ids=["not loaded", "mismatch", "no permission", "unknown", "no accelerator"],
)
def test_a_host_that_cannot_be_sampled_says_why(fake_host, scenario, message, hint):
    """Without a usable driver the command ends with exit 1, the reason and what to do; nothing is written."""
    result = fake_host.advisor(scenario, "agent", "run", "--output", fake_host.samples, "--duration", "1s")
    assert result.returncode == 1
    assert message in result.stderr
    assert hint in result.stderr.split("hint:")[1]
    assert not fake_host.samples.exists()


def test_a_host_without_the_library_says_why(fake_host, tmp_path):
    """A machine with no NVIDIA library gets exit 1 and is told about drivers and containers."""
    if Path("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1").exists():
        pytest.skip("this machine has the real library")
    empty = tmp_path / "empty"
    empty.mkdir()
    fake_host.library = lambda _hidden: empty
    result = fake_host.advisor("", "agent", "run", "--output", fake_host.samples, "--duration", "1s")
    assert result.returncode == 1
    assert "no NVIDIA driver library" in result.stderr
    assert "docker run --gpus all" in result.stderr


def test_only_the_nvml_package_imports_pynvml():
    """Hardware is behind one door: no other module of the package imports the binding."""
    package = Path(advisor.__file__).parent
    importers = {
        path.relative_to(package).parent.as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(name.name == "pynvml" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "pynvml")
    }
    assert importers == {"samples/nvml"}
