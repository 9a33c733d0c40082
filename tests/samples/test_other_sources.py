"""Sources beside NVML, each on a stand-in for the vendor's tool or package that says what the vendor's says."""

import json
import os
import sys
import types

import pytest

from advisor.errors import InputError
from advisor.samples.metrics import Missed, Reading
from advisor.samples.sources import SOURCES, detect, has_library, open_source
from advisor.samples.sources.libraries import AmdSource, TpuSource
from advisor.samples.sources.tools import GaudiSource, NeuronSource, device_values

MIB = 1024 * 1024


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Puts a program of a name on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def install(name, code):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\nimport sys, time\n{code}\n")
        path.chmod(0o755)

    return install


def read_to_the_end(source):
    """Read until the source gives up."""
    while True:
        source.read()


GAUDI_LINE = "0, 01P0-HL2080A0-15-TNPS34-00-02, HL-225, 98304 MiB, 672 MiB, 94 W, 31 C, 7 %"


def test_gaudi_reads_the_newest_line_of_each(tool):
    """Units become base units, percent a ratio, and a value that is not given is left out."""
    tool(
        "hl-smi",
        f"print({GAUDI_LINE!r})\nprint('1, u, HL-225, 98304 MiB, N/A, N/A, 30 C, 0 %', flush=True)\ntime.sleep(5)",
    )
    source = GaudiSource("host")
    first, second = source.read()
    assert first.target.uuid == "01P0-HL2080A0-15-TNPS34-00-02"
    assert first.values == {
        "memory_total_bytes": 98304 * MIB, "memory_used_bytes": 672 * MIB, "power_watts": 94,
        "temperature_celsius": 31, "busy_ratio": 0.07,
    }  # fmt: skip
    assert second.values == {"memory_total_bytes": 98304 * MIB, "temperature_celsius": 30, "busy_ratio": 0}
    assert source.describe() == "2 × HL-225"
    source.close()


def test_gaudi_that_falls_silent_is_missed(tool):
    """A line older than five seconds is no reading of now."""
    now = [0.0]
    tool("hl-smi", f"print({GAUDI_LINE!r}, flush=True)\ntime.sleep(5)")
    source = GaudiSource("host", lambda: now[0])
    assert isinstance(source.read()[0], Reading)
    now[0] = 6.0
    (missed,) = source.read()
    assert isinstance(missed, Missed)
    assert missed.reason == "hl-smi does not report it"
    source.close()


def test_a_tool_that_ends_ends_the_source(tool):
    """What is not running reports nothing: the process is replaced, and the reason is the tool's exit."""
    tool("hl-smi", f"print({GAUDI_LINE!r}, flush=True)\ntime.sleep(0.5)\nsys.exit(3)")
    source = GaudiSource("host")
    with pytest.raises(InputError, match="hl-smi ended with exit 3"):
        read_to_the_end(source)
    source.close()


def test_a_tool_that_sees_nothing_is_an_error(tool):
    """A host without a device is told from one whose device is idle."""
    tool("hl-smi", "print('No devices found', flush=True)\ntime.sleep(5)")
    with pytest.raises(InputError, match="hl-smi reports no accelerator"):
        GaudiSource("host")
    tool("neuron-monitor", "print('{}', flush=True)\ntime.sleep(5)")
    with pytest.raises(InputError, match="sees no Neuron device"):
        NeuronSource("host")


def test_a_tool_that_is_not_there_says_how_to_get_it(monkeypatch):
    """No program, no accelerator: an error with a hint."""
    monkeypatch.setenv("PATH", "/nonexistent")
    for kind in (GaudiSource, NeuronSource):
        with pytest.raises(InputError, match="no program") as caught:
            kind("host")
        assert caught.value.hint


NEURON = {
    "neuron_hardware_info": {
        "neuron_device_count": 2, "neuroncore_per_device_count": 2, "neuron_device_memory_size": 34359738368,
        "neuron_device_type": "inferentia2",
    },
    "neuron_runtime_data": [
        {
            "pid": 7,
            "report": {
                "neuroncore_counters": {
                    "neuroncores_in_use": {"0": {"neuroncore_utilization": 90.0}, "1": {"neuroncore_utilization": 0}}
                },
                "memory_used": {
                    "neuron_runtime_used_bytes": {
                        "host": 5, "neuron_device": 300,
                        "usage_breakdown": {"neuroncore_memory_usage": {"0": {"tensors": 100, "constants": 100}, "1": {"tensors": 100}}},
                    },
                    "error": "",
                },
            },
        }
    ],
    "system_data": {
        "neuron_hw_counters": {
            "neuron_devices": [{"neuron_device_index": 1, "mem_ecc_uncorrected": 2, "sram_ecc_uncorrected": 1}]
        }
    },
}  # fmt: skip


def test_neuron_reads_devices_by_their_cores(tool):
    """A device is as busy as its cores on average; one that no program names is idle, as the tool documents it."""
    tool(
        "neuron-monitor",
        f"import json\nassert json.load(open(sys.argv[2]))['period'] == '1s'\nprint({json.dumps(NEURON)!r}, flush=True)\ntime.sleep(5)",
    )
    source = NeuronSource("host")
    first, second = source.read()
    assert first.values == {"busy_ratio": 0.45, "memory_total_bytes": 34359738368, "memory_used_bytes": 300}
    assert second.values == {
        "busy_ratio": 0, "memory_total_bytes": 34359738368, "memory_used_bytes": 0, "uncorrected_ecc_errors": 3,
    }  # fmt: skip
    assert source.describe() == "2 × inferentia2"
    source.close()


def test_neuron_without_a_program_is_idle():
    """No runtime is an empty list, and no memory of a runtime that failed to report is made up."""
    idle = {**NEURON, "neuron_runtime_data": []}
    assert device_values(idle, 0)["busy_ratio"] == 0
    failing = {**NEURON, "neuron_runtime_data": [{"report": {"memory_used": {"error": "no access"}}}]}
    assert "memory_used_bytes" not in device_values(failing, 0)


def test_neuron_that_says_nonsense_is_waited_out(tool):
    """Lines that are no report are passed over; the last report counts until it is old."""
    now = [0.0]
    tool("neuron-monitor", f"print({json.dumps(NEURON)!r})\nprint('nonsense', flush=True)\ntime.sleep(5)")
    source = NeuronSource("host", lambda: now[0])
    assert all(isinstance(each, Reading) for each in source.read())
    now[0] = 9.0
    assert {each.reason for each in source.read()} == {"neuron-monitor does not report"}
    source.close()


class FakeAmd(types.ModuleType):
    """What amdsmi gives, in the shape of ROCm 7, of which one accelerator answers."""

    class AmdSmiException(Exception):  # noqa: N818 - the vendor's name
        """The vendor's."""

    class AmdSmiClkType:
        """The vendor's."""

        GFX = 0

    class AmdSmiTemperatureType:
        """The vendor's."""

        HOTSPOT = 1

    class AmdSmiTemperatureMetric:
        """The vendor's."""

        CURRENT = 0

    def __init__(self):
        """Two accelerators."""
        super().__init__("amdsmi")
        self.amdsmi_init = lambda: None
        self.amdsmi_shut_down = lambda: None
        self.amdsmi_get_processor_handles = lambda: [0, 1]
        self.amdsmi_get_gpu_device_uuid = lambda handle: f"uuid-{handle}"
        self.amdsmi_get_gpu_asic_info = lambda _: {"market_name": "AMD Instinct MI300X"}
        self.amdsmi_get_gpu_activity = self.only({"gfx_activity": 70, "umc_activity": 0xFFFF, "mm_activity": "N/A"})
        self.amdsmi_get_gpu_vram_usage = self.only({"vram_total": 196592, "vram_used": 283})
        self.amdsmi_get_power_info = self.only({"socket_power": "N/A", "current_socket_power": 475})
        self.amdsmi_get_energy_count = self.only({"energy_accumulator": 1_000_000, "counter_resolution": 15.3})
        self.amdsmi_get_clock_info = lambda handle, _: self.only({"clk": 2100})(handle)
        self.amdsmi_get_temp_metric = lambda handle, *_: self.only(55)(handle)

    def only(self, answer):
        """The first accelerator answers; the second is lost."""

        def call(handle):
            if handle:
                raise self.AmdSmiException("device is lost")
            return answer

        return call


def test_amd_reads_what_it_knows_and_goes_on_without_the_rest(monkeypatch):
    """N/A, 0xFFFF and missing functions are left out; an accelerator that answers nothing is missed, not zero."""
    monkeypatch.setitem(sys.modules, "amdsmi", FakeAmd())
    source = AmdSource("host")
    one, other = source.read()
    assert one.values == pytest.approx({
        "busy_ratio": 0.7, "memory_total_bytes": 196592 * MIB, "memory_used_bytes": 283 * MIB, "power_watts": 475,
        "energy_joules": 15.3, "sm_clock_mhz": 2100, "temperature_celsius": 55,
    })  # fmt: skip
    assert isinstance(other, Missed)
    assert "device is lost" in other.reason
    assert source.describe() == "2 × AMD Instinct MI300X"
    source.close()


def test_tpu_reads_chips_while_a_program_runs(monkeypatch):
    """Chips report while a program runs on them; without one they are missed, because idle and unknown look alike."""
    columns = {"duty_cycle_pct": ["50.0", "0.0"], "hbm_capacity_total": ["100", "100"], "hbm_capacity_usage": ["30"]}

    def get_metric(name):
        return types.SimpleNamespace(data=lambda: columns[name])

    sdk = types.ModuleType("libtpu.sdk")
    sdk.tpumonitoring = types.SimpleNamespace(get_metric=get_metric)
    monkeypatch.setitem(sys.modules, "libtpu", types.ModuleType("libtpu"))
    monkeypatch.setitem(sys.modules, "libtpu.sdk", sdk)
    source = TpuSource("host")
    one, two = source.read()
    assert one.values == {"busy_ratio": 0.5, "memory_total_bytes": 100, "memory_used_bytes": 30}
    assert two.values == {"busy_ratio": 0.0, "memory_total_bytes": 100}
    columns.clear()
    assert all(isinstance(each, Missed) for each in source.read())


@pytest.mark.parametrize(
    ("device", "source"), [("dev/nvidiactl", "nvml"), ("dev/kfd", "amd"), ("dev/accel0", "tpu"), (None, None)]
)
def test_a_device_file_tells_what_a_host_has(tmp_path, monkeypatch, device, source):
    """Each vendor's own device file is enough, and a host without any has no source."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    if device:
        (tmp_path / device).parent.mkdir()
        (tmp_path / device).touch()
    assert detect(tmp_path) == ([source] if source else [])


def test_a_library_that_the_linker_knows_is_found(tmp_path, monkeypatch):
    """In a usual folder, by LD_LIBRARY_PATH, or in the linker's cache."""
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert not has_library("libnvidia-ml.so.1", tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ld.so.cache").write_bytes(b"...libnvidia-ml.so.1\0/usr/somewhere/libnvidia-ml.so.1\0")
    assert has_library("libnvidia-ml.so.1", tmp_path)
    assert not has_library("libother.so.1", tmp_path)
    (tmp_path / "usr/lib64").mkdir(parents=True)
    (tmp_path / "usr/lib64/libother.so.1").touch()
    assert has_library("libother.so.1", tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (tmp_path / "libmine.so.1").touch()
    assert has_library("libmine.so.1", tmp_path)


@pytest.mark.parametrize("name", ["amd", "tpu"])
def test_a_package_that_is_not_here_says_so(name):
    """An optional package that is missing is an error with a hint, not a traceback."""
    with pytest.raises(InputError) as caught:
        open_source(name, "host")
    assert caught.value.hint


def test_a_name_that_is_no_source():
    """The error lists those there are."""
    with pytest.raises(InputError) as caught:
        open_source("nonsense", "host")
    assert all(name in caught.value.hint for name in SOURCES)
