"""The NVML source: the unmodified binding against a driver library that plays scenarios."""

import ast
from pathlib import Path

import pytest

import advisor
from samples.conftest import kept_records

GPU_LOST, RESET_REQUIRED, UNINITIALIZED, DRIVER_NOT_LOADED, NOT_SUPPORTED = 15, 16, 1, 9, 3
VERSION_MISMATCH, UNKNOWN_ERROR = 18, 999
DRIVER_GONE = {UNINITIALIZED, DRIVER_NOT_LOADED, VERSION_MISMATCH}
EVERY_CODE = [*range(1, 31), UNKNOWN_ERROR]
HOPPER = "set,*,gpm_sm,40\nset,*,gpm_occupancy,12.5\nset,*,gpm_tensor,8\nset,*,gpm_dram,70\n"
SOURCE = Path(advisor.__file__).parent / "samples/sources/nvml.py"


def functions_of_the_driver():
    """Names of the driver's functions that the source calls, after the binding's own renaming."""
    called = {
        node.attr for node in ast.walk(ast.parse(SOURCE.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pynvml"
        and node.attr.startswith("nvml") and node.attr[4:5].isupper() and node.attr != "nvmlEventTypeXidCriticalError"
    }  # fmt: skip
    renamed = {
        "nvmlInit": "nvmlInitWithFlags",
        "nvmlDeviceGetCount": "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex": "nvmlDeviceGetHandleByIndex_v2",
    }
    called -= {"nvmlMemory_v2"}
    return sorted({renamed.get(name, name) for name in called} | {"nvmlDeviceGetMemoryInfo_v2"})


def test_reads_every_accelerator_at_every_tick(fake_host):
    """Eight healthy accelerators give one full reading each per tick, with the driver's values in base units."""
    played = fake_host.play("gpus,8\nset,3,mem_used,1000000000\nset,3,processes,2\nset,3,ecc,4", "--seconds", 10)
    assert len(played.lines) == 80
    assert not any("missed" in line or line["note"] for line in played.lines)
    first = played.of(3)[0]
    assert first["uuid"] == "GPU-fa4e0000-0000-4000-8000-000000000003"
    assert first["name"] == "NVIDIA A100-SXM4-40GB"
    assert first["values"] == {
        "memory_total_bytes": 42_949_672_960, "memory_used_bytes": 1_000_000_000, "memory_reserved_bytes": 545_259_520,
        "busy_ratio": 0.5, "busy_peak_ratio": 0.5, "memory_busy_ratio": 0.2, "power_watts": 200.0, "energy_joules": 200.0,
        "power_throttled_seconds": 0, "thermal_throttled_seconds": 0, "hardware_throttled_seconds": 0,
        "pcie_sent_bytes": 0, "pcie_received_bytes": 0, "nvlink_sent_bytes": 0, "nvlink_received_bytes": 0,
        "sm_clock_mhz": 1410, "temperature_celsius": 45, "processes": 2, "uncorrected_ecc_errors": 4, "xid_errors": 0,
    }  # fmt: skip


def test_busy_is_the_mean_of_the_interval_and_its_peak(fake_host):
    """A burst of one second inside a tick of five shows as a mean of 1/5 and a peak of 1."""
    # Six driver readings a second: of the 30 in (5 s, 10 s] those at 6, 6 1/6 ... 6 5/6 s are busy.
    played = fake_host.play("series,0,util_gpu,0:0;6:100;7:0", "--seconds", 15, "--interval", 5)
    assert played.values("busy_ratio") == pytest.approx([0, 6 / 30, 0])
    assert played.values("busy_peak_ratio") == [0, 1, 0]


def test_energy_is_exact_whatever_the_interval(fake_host):
    """The energy counter holds a burst that no power reading saw: 100 W for 20 s and 400 W more for 1 s."""
    played = fake_host.play("series,0,power_mw,0:100000;7:500000;8:100000", "--seconds", 20, "--interval", 10)
    assert played.values("power_watts") == [100.0, 100.0]
    assert played.values("energy_joules") == pytest.approx([1400.0, 2400.0])


def test_what_only_grows_is_kept_as_counted(fake_host):
    """Throttled time, PCIe and NVLink are counters in seconds and bytes, over all links and both hardware reasons."""
    played = fake_host.play(
        "set,0,viol_power,0.5\nset,0,viol_thermal,0.25\nset,0,viol_heat,0.125\nset,0,viol_brake,0.125\n"
        "set,0,pcie_tx,1000\nset,0,pcie_rx,3000\nset,0,nvlink_tx,2\nset,0,nvlink_rx,5",
        "--seconds", 4,
    )  # fmt: skip
    assert played.values("power_throttled_seconds") == pytest.approx([0.5, 1, 1.5, 2])
    assert played.values("thermal_throttled_seconds") == pytest.approx([0.25, 0.5, 0.75, 1])
    assert played.values("hardware_throttled_seconds") == pytest.approx([0.25, 0.5, 0.75, 1])
    assert played.values("pcie_sent_bytes") == [1000, 2000, 3000, 4000]
    assert played.values("pcie_received_bytes") == [3000, 6000, 9000, 12000]
    assert played.values("nvlink_sent_bytes") == [2048, 4096, 6144, 8192]
    assert played.values("nvlink_received_bytes") == [5120, 10240, 15360, 20480]


def test_profiling_is_a_mean_from_tick_to_tick_without_a_hole(fake_host):
    """On Hopper a second of tensor work between two ticks of five shows as a fifth; the first tick has nothing before."""
    scenario = HOPPER + "series,0,gpm_tensor,0:0;6:100;7:0"
    played = fake_host.play(scenario, "--seconds", 15, "--interval", 5)
    assert played.values("tensor_active_ratio") == pytest.approx([None, 0.2, 0])
    assert played.values("sm_active_ratio") == pytest.approx([None, 0.4, 0.4])
    assert played.values("sm_occupancy_ratio") == pytest.approx([None, 0.125, 0.125])
    assert played.values("dram_active_ratio") == pytest.approx([None, 0.7, 0.7])


def test_slow_things_are_read_slowly(fake_host):
    """Processes are counted every fifteen seconds, memory errors every minute; in between they are left out."""
    played = fake_host.play("set,0,processes,1\nset,0,ecc,2", "--seconds", 61)
    assert [at for at, value in enumerate(played.values("processes"), 1) if value is not None] == [1, 16, 31, 46, 61]
    assert [at for at, value in enumerate(played.values("uncorrected_ecc_errors"), 1) if value is not None] == [1, 61]


def test_errors_that_the_driver_reports_are_counted(fake_host):
    """XID errors are counted for their own accelerator without waiting for them."""
    played = fake_host.play("gpus,2\nseries,1,xid,5:79;6:31;20:13", "--seconds", 32)
    counts = played.values("xid_errors", index=1)
    assert (counts[0], counts[15], counts[31]) == (0, 2, 3)
    assert set(played.values("xid_errors", index=0)) == {0}


def test_a_lost_accelerator_is_missed_while_the_others_go_on(fake_host):
    """From its loss to its return there are misses with the driver's reason, never zeros; seven go on."""
    played = fake_host.play(f"gpus,8\n{HOPPER}fault,2,*,{GPU_LOST},30,40", "--seconds", 60)
    missed = {at: line["missed"] for at, line in enumerate(played.of(2), 1) if "missed" in line}
    assert missed == dict.fromkeys(range(30, 40), "GPU is lost")
    for other in (0, 1, 3, 4, 5, 6, 7):
        assert len(played.of(other)) == 60
        assert not any("missed" in line for line in played.of(other))


@pytest.mark.sampled(3)
def test_an_hour_of_rows(fake_host, tmp_path):
    """In an hour eight accelerators have 240 rows of fifteen readings each; one lost for ten minutes has gaps instead."""
    played = fake_host.play(f"gpus,8\nfault,2,*,{GPU_LOST},600,1200", "--seconds", 3600, "--records", tmp_path / "kept")
    assert played.process.returncode == 0, played.process.stderr
    records = kept_records(tmp_path / "kept")
    for index in range(8):
        of_one = [record for record in records if record["target"]["index"] == index]
        rows = [record for record in of_one if record["kind"] == "row"]
        read = [row["stats"]["memory_used_bytes"]["n"] for row in rows]
        missed = sum(record["missed_ticks"] for record in of_one if record["kind"] == "gap")
        assert sum(read) + missed == 3600
        assert len(rows) == (240 if index != 2 else 201)
        assert missed == (0 if index != 2 else 600)


def test_an_accelerator_lost_at_start_joins_when_it_answers(fake_host):
    """Before its first answer it is known by its number alone."""
    played = fake_host.play(f"gpus,2\nfault,1,*,{GPU_LOST},0,5", "--seconds", 10)
    assert [line["uuid"] for line in played.of(1)] == [None] * 4 + ["GPU-fa4e0000-0000-4000-8000-000000000001"] * 6


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("function", "unknown"),
    [
        ("nvmlDeviceGetMemoryInfo_v2", {"memory_reserved_bytes"}),
        ("nvmlDeviceGetSamples", {"busy_peak_ratio"}),
        ("nvmlDeviceGetClockInfo", {"sm_clock_mhz"}),
        ("nvmlDeviceGetTemperatureV", set()),
        ("nvmlDeviceGetComputeRunningProcesses_v3", set()),
        ("nvmlDeviceGetTotalEccErrors", {"uncorrected_ecc_errors"}),
        ("nvmlEventSetCreate", {"xid_errors"}),
        ("nvmlGpmQueryDeviceSupport", {"sm_active_ratio", "sm_occupancy_ratio", "tensor_active_ratio", "dram_active_ratio"}),
        ("nvmlSystemGetDriverVersion", set()),
        (
            "nvmlDeviceGetFieldValues",
            {
                "power_throttled_seconds", "thermal_throttled_seconds", "hardware_throttled_seconds", "pcie_sent_bytes",
                "pcie_received_bytes", "nvlink_sent_bytes", "nvlink_received_bytes",
            },
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["unsupported", "missing symbol"])
def test_an_unsupported_counter_is_unknown_or_read_another_way(fake_host, function, unknown, how):
    """What the driver does not support, or is too old to have, is left out or comes from an older call; never a miss."""
    if how == "unsupported":
        played = fake_host.play(f"{HOPPER}fault,0,{function},{NOT_SUPPORTED},0,,", "--seconds", 3)
        if "System" in function or "EventSet" in function:  # these are of no accelerator
            played = fake_host.play(f"{HOPPER}fault,*,{function},{NOT_SUPPORTED},0,,", "--seconds", 3)
    else:
        played = fake_host.play(HOPPER, "--seconds", 3, hidden=(function,))
    whole = fake_host.play(HOPPER, "--seconds", 3)
    assert not any("missed" in line or line["note"] for line in played.lines)

    def known(of):
        return {name for line in of.lines for name in line["values"]}

    assert known(whole) - known(played) == unknown


def test_a_field_that_alone_is_unsupported_leaves_the_others(fake_host):
    """One call gives several fields with a code each: energy can be missing where power is not."""
    played = fake_host.play(
        f"set,0,field_83_code,{NOT_SUPPORTED}\nfault,0,nvmlDeviceGetTotalEnergyConsumption,{NOT_SUPPORTED},0,,",
        "--seconds", 3,
    )  # fmt: skip
    assert played.values("energy_joules") == [None] * 3
    assert played.values("power_watts") == [200.0] * 3


def test_a_flaky_call_costs_its_own_counter_only(fake_host):
    """Every third memory reading fails: those are unknown with the reason kept, everything else is there."""
    played = fake_host.play(f"fault,0,nvmlDeviceGetMemoryInfo_v2,{UNKNOWN_ERROR},0,,3", "--seconds", 9)
    assert [value is None for value in played.values("memory_used_bytes")] == [False, False, True] * 3
    assert None not in played.values("busy_ratio")
    assert [line["note"] for line in played.lines] == [None, None, "memory: Unknown Error"] * 3


def test_an_accelerator_of_which_every_counter_fails_is_missed(fake_host):
    """A reading in which nothing at all could be read would count as observed; it is a miss instead."""
    played = fake_host.play(f"gpus,2\nfault,0,*,{UNKNOWN_ERROR},2,4,", "--seconds", 5)
    assert ["missed" in line for line in played.of(0)] == [False, True, True, False, False]
    assert "busy: Unknown Error" in played.of(0)[1]["missed"]
    assert not any("missed" in line for line in played.of(1))


def test_instances_stand_in_for_a_divided_accelerator(fake_host):
    """MIG instances have memory and profiling of their own; what belongs to the whole accelerator is left out."""
    played = fake_host.play(f"gpus,2\n{HOPPER}mig,1,3,10468982784", "--seconds", 2)
    assert {(line["index"], line["mig_index"]) for line in played.lines} == {(0, None), (1, 0), (1, 1), (1, 2)}
    assert set(played.of(1, 2)[1]["values"]) == {
        "memory_total_bytes", "memory_used_bytes", "memory_reserved_bytes",
        "sm_active_ratio", "sm_occupancy_ratio", "tensor_active_ratio", "dram_active_ratio",
    }  # fmt: skip
    assert played.values("memory_total_bytes", 1, 2) == [10_468_982_784] * 2


def test_a_division_that_changes_is_followed(fake_host):
    """Divided while running: within fifteen seconds the instances are read, and then the whole again."""
    played = fake_host.play("gpus,2\nmig,1,2,20000000000,20\nmig,1,0,0,50", "--seconds", 70)
    by_second = {}
    for line in played.lines:
        if line["index"] == 1 and "missed" not in line:
            by_second.setdefault(line["second"], set()).add(line["mig_index"])
    assert by_second[19] == {None}
    assert by_second[35] == {0, 1}
    assert by_second[52] == {None}
    missed = [line["second"] for line in played.lines if "missed" in line]
    assert all(second == 50 for second in missed)
    assert len(played.of(0)) == 70


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        (f"init,{DRIVER_NOT_LOADED}", "the NVIDIA driver is not loaded"),
        (f"init,{VERSION_MISMATCH}", "have different versions"),
        ("init,4", "no permission"),
        (f"init,{UNKNOWN_ERROR}", "does not start: Unknown Error"),
        ("gpus,0", "sees no accelerator"),
        (f"fault,*,nvmlDeviceGetHandleByIndex_v2,{VERSION_MISMATCH},0,,", "have different versions"),
    ],
)
def test_a_driver_that_does_not_start_is_an_error_with_a_way_out(fake_host, scenario, message):
    """The end is exit 1 with what is wrong and a hint, and no traceback."""
    process = fake_host.play(scenario).process
    assert process.returncode == 1
    assert message in process.stderr
    assert "hint: " in process.stderr
    assert "Traceback" not in process.stderr


def test_a_driver_that_goes_away_ends_the_process_that_reads_it(fake_host):
    """After an upgrade under the program no call succeeds any more: it says so, and another process can take over."""
    process = fake_host.play(f"fault,*,*,{VERSION_MISMATCH},5,,", "--seconds", 10).process
    assert process.returncode == 1
    assert "does not answer this program any more: RM has detected an NVML/RM version mismatch." in process.stderr
    assert "Traceback" not in process.stderr


FUNCTIONS = functions_of_the_driver()
OF_NO_ACCELERATOR = {
    "nvmlInitWithFlags", "nvmlShutdown", "nvmlSystemGetDriverVersion", "nvmlDeviceGetCount_v2", "nvmlEventSetCreate",
    "nvmlEventSetWait_v2", "nvmlEventSetFree", "nvmlGpmSampleAlloc", "nvmlGpmSampleFree",
}  # fmt: skip
OF_INSTANCES = {
    "nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetGpuInstanceId",
    "nvmlGpmMigSampleGet",
}  # fmt: skip


@pytest.mark.sampled(5)
@pytest.mark.parametrize("replaced", ["after errors", "at every tick"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_error_of_every_function(fake_host, function, replaced):
    """Each code from each function, once: no traceback, no zero for what is unknown, and nothing else is touched.

    Time passes minute by minute, so that what is read slowly is read at every tick; every second tick has a fault.
    """
    minute = 60
    concerned = "*" if function in OF_NO_ACCELERATOR else "2" if function in OF_INSTANCES else "1"
    faults = "\n".join(
        f"fault,{concerned},{function},{code},{(2 * at + 1) * minute},{(2 * at + 2) * minute},"
        for at, code in enumerate(EVERY_CODE)
    )
    scenario = f"gpus,3\n{HOPPER}set,*,processes,1\nmig,2,1,20000000000\n{faults}"
    played = fake_host.play(
        scenario, "--seconds", 2 * len(EVERY_CODE) * minute, "--interval", minute, "--replace", replaced
    )
    assert "Traceback" not in played.process.stderr
    by_tick = {}
    for line in played.lines:
        by_tick.setdefault(round(line["second"]) // minute, {})[line["index"]] = line
    for at, code in enumerate(EVERY_CODE):
        assert_read(by_tick, 2 * at + 2, (0, 1, 2))
        if function not in OF_NO_ACCELERATOR and code not in DRIVER_GONE:
            assert_read(by_tick, 2 * at + 1, (0,))
    for line in played.lines:
        values = line.get("values", {})
        always_above_zero = ("memory_total_bytes", "memory_used_bytes", "busy_ratio", "power_watts", "processes")
        assert all(values.get(metric, 1) > 0 for metric in always_above_zero)


def assert_read(by_tick, tick, accelerators):
    """At a tick these accelerators were read."""
    for index in accelerators:
        assert "values" in by_tick[tick][index], by_tick[tick][index]


def test_the_call_that_blocks_is_never_made():
    """PCIe throughput blocks for 20 ms: no module names its function; the fake driver ends whoever calls it."""
    assert "nvmlDeviceGetPcieThroughput" not in FUNCTIONS


def test_only_the_source_imports_the_binding():
    """Everything else is free of the vendor's library, but for what looks at it in a process of its own."""
    root = Path(advisor.__file__).parent
    for path in root.rglob("*.py"):
        imports = {
            name.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for name in node.names
        }
        assert "pynvml" not in imports or path == SOURCE or path.name == "look_nvml.py"
