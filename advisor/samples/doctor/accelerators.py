"""What the sources of accelerators can see on this machine."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advisor.samples.doctor.children import LIMIT_SECONDS, look
from advisor.samples.doctor.values import Finding, Machine, State, Trouble

_NVIDIA, _AMD, _HABANA, _AMAZON, _GOOGLE = "0x10de", "0x1002", "0x1da3", "0x1d0f", "0x1ae0"
_DISPLAY = ("0x03",)
_PROCESSING = ("0x12",)
_MISMATCH = Trouble(
    "the loaded driver and its library have different versions",
    "the driver was upgraded while it was loaded: reboot, or reload the kernel module",
)
_HANGS = "the driver hangs: look for Xid messages in the kernel's log, and reset the accelerator or reboot"
_NO_LIBRARY = "the driver's library (libnvidia-ml.so.1) is not here"
_IN_CONTAINER = "start the container with GPU access (docker run --gpus all; in Kubernetes the runtime class nvidia)"


@dataclass(frozen=True, slots=True)
class _Lack:
    """Something that an accelerator may not show."""

    applies: Callable[[Mapping[str, Any]], bool]
    what: str
    mend: str


_LACKS = (
    _Lack(
        lambda device: bool(device["mig"]),
        "utilisation, power and clocks, which belong to the whole accelerator and not to its MIG instances",
        "turn MIG off where they matter (nvidia-smi -mig 0); memory and GPM are read of each instance",
    ),
    _Lack(
        lambda device: device["gpm"] != 1,
        "how much of the multiprocessors, tensor cores and memory bandwidth is used (no GPM)",
        "it needs Hopper or newer, and driver 520 or newer; else take it from DCGM through Prometheus",
    ),
    _Lack(
        lambda device: device["memory_v2"] is None,
        "memory that the driver keeps for itself, apart from what is used",
        "update the driver to 510 or newer",
    ),
    _Lack(lambda device: device["energy"] is None, "energy", "it needs Volta or newer"),
)


def accelerator_findings(machine: Machine, limit_seconds: float = LIMIT_SECONDS) -> list[Finding]:
    """One finding for each kind of accelerator that there is a source for."""
    return [
        nvidia(machine, limit_seconds), amd(machine, limit_seconds), neuron(machine), gaudi(machine), tpu(machine),
    ]  # fmt: skip


def nvidia(machine: Machine, limit_seconds: float = LIMIT_SECONDS) -> Finding:
    """NVIDIA accelerators, through NVML."""
    seen = look("advisor.samples.doctor.look_nvml", limit_seconds=limit_seconds)
    if seen.answer is None:
        return Finding("nvml", State.BROKEN, "nothing", (Trouble(seen.trouble, _HANGS),))
    if "error" in seen.answer:
        return _no_nvidia(machine, str(seen.answer["error"]), str(seen.answer.get("words", "")))
    devices: Sequence[Mapping[str, Any]] = seen.answer["devices"]
    if not devices:
        mend = _IN_CONTAINER if machine.is_container else "see that nvidia-smi -L lists one"
        return Finding("nvml", State.BROKEN, "a driver", (Trouble("the driver shows no accelerator", mend),))
    names = Counter(str(device.get("name", "accelerator that does not answer")) for device in devices)
    sees = ", ".join([*(f"{count} × {name}" for name, count in names.items()), f"driver {seen.answer['driver']}"])
    troubles = tuple(_nvidia_troubles(devices))
    return Finding("nvml", State.LIMITED if troubles else State.OK, sees, troubles)


def _no_nvidia(machine: Machine, error: str, words: str) -> Finding:
    is_here = machine.has_pci(_NVIDIA, _DISPLAY) or machine.devices("nvidia*")
    if error == "no_library" and not is_here:
        return Finding("nvml", State.ABSENT, "no NVIDIA accelerator and no driver")
    trouble = {
        "no_library": Trouble(_NO_LIBRARY, _IN_CONTAINER if machine.is_container else "install the NVIDIA driver"),
        "not_loaded": Trouble("the driver is not loaded", "load it (modprobe nvidia), and see that nvidia-smi works"),
        "mismatch": _MISMATCH,
        "no_permission": Trouble("this user may not talk to the driver", _permission_mend(machine)),
    }.get(error, Trouble(f"the driver does not start: {words}", "see that nvidia-smi works"))
    if machine.is_container and not machine.devices("nvidiactl") and error != "mismatch":
        trouble = Trouble(f"{trouble.what}; this container has no device /dev/nvidiactl", _IN_CONTAINER)
    return Finding("nvml", State.BROKEN, "nothing", (trouble,))


def _permission_mend(machine: Machine) -> str:
    path = machine.path("/dev/nvidiactl")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "give this user access to /dev/nvidiactl and /dev/nvidia0 (often the group video or render)"
    return "allow the service its devices (DeviceAllow=char-nvidia rw), and this user /dev/nvidiactl"


def _nvidia_troubles(devices: Sequence[Mapping[str, Any]]) -> list[Trouble]:
    troubles = [
        Trouble(f"accelerator {device['index']} does not answer: {device['words']}",
                "look for Xid messages in the kernel's log; it may need a reset or a reboot")
        for device in devices if "words" in device
    ]  # fmt: skip
    answering = [device for device in devices if "words" not in device]
    for lack in _LACKS:
        which = [str(device["index"]) for device in answering if lack.applies(device)]
        if which:
            troubles.append(Trouble(f"of accelerator {', '.join(which)}: {lack.what}", lack.mend))
    return troubles


def amd(machine: Machine, limit_seconds: float = LIMIT_SECONDS) -> Finding:
    """AMD accelerators, through the library of ROCm."""
    if not (machine.devices("kfd") or machine.has_pci(_AMD, _PROCESSING)):
        return Finding("amd", State.ABSENT, "no AMD accelerator")
    seen = look("advisor.samples.doctor.look_amd", limit_seconds=limit_seconds)
    if seen.answer is None:
        return Finding("amd", State.BROKEN, "nothing", (Trouble(seen.trouble, "see that amd-smi list works"),))
    if seen.answer.get("error") == "no_binding":
        mend = "install ROCm's own copy of amdsmi for this Python; its version must be that of the library"
        return Finding("amd", State.BROKEN, "nothing", (Trouble("the Python package amdsmi is absent", mend),))
    if "error" in seen.answer:
        mend = "see that amd-smi list works, and that this user is in the groups video and render"
        return Finding("amd", State.BROKEN, "nothing", (Trouble(str(seen.answer.get("words")), mend),))
    return Finding("amd", State.OK, f"{seen.answer.get('devices')} AMD accelerators")


def neuron(machine: Machine) -> Finding:
    """AWS Neuron accelerators, through ``neuron-monitor``."""
    is_here = machine.devices("neuron*") or machine.has_pci(_AMAZON, ("0x0880", "0x12"))
    return _by_program(
        "neuron", is_here=is_here, program="neuron-monitor", folder="/opt/aws/neuron/bin",
        mend="install aws-neuronx-tools, and put /opt/aws/neuron/bin on the path",
    )  # fmt: skip


def gaudi(machine: Machine) -> Finding:
    """Intel Gaudi accelerators, through ``hl-smi``."""
    is_here = machine.has_pci(_HABANA, ("0x",)) or machine.devices("hl[0-9]*")
    return _by_program(
        "gaudi", is_here=is_here, program="hl-smi", folder="/usr/bin", mend="install habanalabs-firmware-tools"
    )


def tpu(machine: Machine) -> Finding:
    """Google TPUs: what can be read of them depends on the machine."""
    if not machine.has_pci(_GOOGLE, ("0x",)):
        return Finding("tpu", State.ABSENT, "no TPU")
    trouble = Trouble(
        "use of the TPU from outside its program", "read the metrics page of the serving engine: --engine URL"
    )
    return Finding("tpu", State.LIMITED, "a TPU", (trouble,))


def _by_program(subject: str, *, is_here: bool, program: str, folder: str, mend: str) -> Finding:
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), folder]))
    if found is not None:
        return Finding(subject, State.OK, f"{program} at {found}")
    if not is_here:
        return Finding(subject, State.ABSENT, f"no such accelerator, and no {program}")
    return Finding(subject, State.BROKEN, "an accelerator", (Trouble(f"the program {program} is absent", mend),))
