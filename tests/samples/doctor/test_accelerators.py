"""What the doctor says about drivers: good ones, old ones, broken ones and those that hang."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from advisor.samples.doctor import (
    TOOLS,
    Machine,
    Seen,
    State,
    accelerator_findings,
    amd,
    by_program,
    look,
    nvidia,
    tpu,
)
from advisor.samples.sources import SOURCES
from fakenvml.build import build_library, compiler

H100 = "gpus,2\nset,*,name,NVIDIA H100 80GB HBM3\nset,*,mem_total,85899345920\nset,*,mem_used,1073741824\n"
NO_GPM = ("nvmlGpmQueryDeviceSupport",)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Folder of a driver library without GPM."""
    if compiler() is None:
        pytest.skip("no C compiler (cc) on this machine to build the fake NVIDIA driver with")
    return build_library(tmp_path_factory.mktemp("driver"), NO_GPM).parent


@pytest.fixture
def driver(library, tmp_path, monkeypatch):
    """Makes a driver with a scenario the one of this machine."""

    def install(scenario):
        path = tmp_path / "scenario.csv"
        path.write_text(scenario)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
        monkeypatch.setenv("FAKE_NVML_SCENARIO", str(path))

    return install


@pytest.fixture
def machine(tmp_path):
    """A machine without any hardware."""
    (tmp_path / "root").mkdir()
    return Machine(tmp_path / "root")


def plug_in(machine, vendor, kind):
    """Put a PCI device into a machine."""
    folder = machine.path("/sys/bus/pci/devices") / f"0000:{vendor}"
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")


def touch(machine, path):
    """Make a file of a machine."""
    machine.path(path).parent.mkdir(parents=True, exist_ok=True)
    machine.path(path).touch()


def words(finding):
    """What is wrong, and how to fix it."""
    return "\n".join(f"{trouble.what} -> {trouble.fix}" for trouble in finding.troubles)


def test_accelerators_that_answer(driver, machine):
    """Accelerators and driver are named; what this generation cannot show is said, with what to do."""
    driver(H100 + "driver,570.133.20\n")
    finding = nvidia(machine)
    assert finding.sees == "2 × NVIDIA H100 80GB HBM3, driver 570.133.20"
    assert finding.state is State.LIMITED
    assert "of accelerator 0, 1: how much of the multiprocessors" in words(finding)
    assert "Hopper or newer" in words(finding)


def test_mig(driver, machine):
    """An accelerator that is divided is named, and what cannot be read of its instances."""
    driver(H100 + "mig,1,2,10737418240\n")
    assert "of accelerator 1: utilisation, power and clocks" in words(nvidia(machine))


def test_an_accelerator_that_is_lost(driver, machine):
    """One that does not answer is named with the driver's words, and the other is still seen."""
    driver(H100 + "fault,1,nvmlDeviceGetHandleByIndex_v2,15,,,\n")
    finding = nvidia(machine)
    assert "accelerator 1 does not answer: GPU is lost -> look for Xid messages" in words(finding)
    assert "1 × NVIDIA H100 80GB HBM3, 1 × accelerator that does not answer" in finding.sees


@pytest.mark.parametrize(
    ("code", "what", "fix"),
    [
        (9, "the NVIDIA driver is not loaded", "modprobe nvidia"),
        (18, "the loaded NVIDIA driver and its library have different versions", "reboot"),
        (4, "no permission to talk to the NVIDIA driver", "DeviceAllow=char-nvidia rw"),
        (999, "the NVIDIA driver does not start: Unknown Error", "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_start(driver, machine, code, what, fix):
    """Each way in which a driver fails has its words and its remedy."""
    driver(f"init,{code}\n")
    finding = nvidia(machine)
    assert finding.state is State.BROKEN
    assert what in words(finding)
    assert fix in words(finding)


def test_a_container_without_access(driver, machine):
    """In a container without device files the way in is to start it with GPU access."""
    driver("init,9\n")
    touch(machine, "/.dockerenv")
    assert "this container has no device /dev/nvidiactl -> start the container with GPU access" in words(
        nvidia(machine)
    )


def test_a_driver_that_hangs(driver, machine):
    """A driver whose calls never return costs its time limit, and is reported."""
    driver(H100 + "latency,*,60000000\n")
    finding = nvidia(machine, limit_seconds=1.0)
    assert (finding.state, finding.troubles[0].what) == (State.BROKEN, "no answer within 1 s")


def test_a_driver_that_shows_nothing(driver, machine):
    """A driver without accelerators is broken, not absent."""
    driver("gpus,0\n")
    assert "the NVIDIA driver sees no accelerator -> see that nvidia-smi -L lists one" in words(nvidia(machine))


@pytest.fixture
def no_driver(monkeypatch):
    """This machine has no driver library."""
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    if any(Path(folder, "libnvidia-ml.so.1").exists() for folder in ("/usr/lib64", "/usr/lib/x86_64-linux-gnu")):
        pytest.skip("this machine has a driver library of its own")


@pytest.mark.usefixtures("no_driver")
def test_no_driver_and_no_hardware(machine):
    """A machine without NVIDIA hardware is not broken."""
    assert nvidia(machine).state is State.ABSENT


@pytest.mark.usefixtures("no_driver")
def test_hardware_without_a_driver(machine):
    """Hardware that nothing drives is broken, and the remedy is to install the driver."""
    plug_in(machine, "0x10de", "0x030200")
    assert words(nvidia(machine)).startswith(
        "no NVIDIA driver library (libnvidia-ml.so.1) on this host -> install the NVIDIA driver"
    )


@pytest.mark.usefixtures("no_driver")
def test_nothing_here(machine, monkeypatch, tmp_path):
    """On a machine without accelerators every source is absent, and none is broken."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {finding.state for finding in accelerator_findings(machine)} == {State.ABSENT}


def program(folder, name, monkeypatch):
    """Put a program on the path."""
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("tool", "vendor", "name"),
    [(TOOLS[0], "0x1d0f", "neuron-monitor"), (TOOLS[1], "0x1da3", "hl-smi")],
)
def test_programs_of_vendors(tool, vendor, name, machine, monkeypatch, tmp_path):
    """An accelerator that needs a program is broken without it, and fine with it."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert by_program(machine, tool).state is State.ABSENT
    plug_in(machine, vendor, "0x120000")
    assert f"the program {name} is absent -> install" in words(by_program(machine, tool))
    program(tmp_path / "bin", name, monkeypatch)
    assert by_program(machine, tool).state is State.OK


def test_amd_without_its_binding(machine):
    """An AMD accelerator without the Python package says which copy to install."""
    assert amd(machine).state is State.ABSENT
    touch(machine, "/dev/kfd")
    assert "amdsmi" in words(amd(machine))
    assert amd(machine).state is State.BROKEN


def test_a_tpu(machine):
    """A TPU is seen through its serving engine."""
    assert tpu(machine).state is State.ABSENT
    plug_in(machine, "0x1ae0", "0x120000")
    assert "--engine URL" in words(tpu(machine))


def test_a_driver_that_crashes(driver, machine):
    """A driver that ends its process is reported with the signal."""
    driver(H100 + "fault,1,*,SEGV,,\n")
    finding = nvidia(machine)
    assert "its process was killed by SIGSEGV" in words(finding)


def test_a_source_that_there_is_not():
    """What cannot be opened says why, and what to do."""
    assert look("nonsense") == Seen(trouble="'nonsense' is not a source", fix=f"the sources are {', '.join(SOURCES)}")


@pytest.mark.parametrize("name", [name for name, kind in SOURCES.items() if kind.accelerator])
def test_every_source_has_its_module_and_its_finding(machine, name):
    """A row of SOURCES alone is half a source; each message names the file to edit."""
    module, _, source = SOURCES[name].target.partition(":")
    place = f"{module.replace('.', '/')}.py"
    assert find_spec(module), f"the source {name}: write {place} with its class {source}"
    assert f"\nclass {source}" in Path(find_spec(module).origin).read_text(), f"{name}: write class {source} in {place}"
    subjects = [finding.subject for finding in accelerator_findings(machine)]
    told = f"{name}: give accelerator_findings() of advisor/samples/doctor.py a finding with this subject"
    assert name in subjects, f"{told}, a function like amd(), or a row of TOOLS for a vendor's program"
