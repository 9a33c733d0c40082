"""A process of its own: what the NVIDIA driver shows, as a line of JSON."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pynvml

_NAMES = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no_library",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "not_loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "mismatch",
    pynvml.NVML_ERROR_NO_PERMISSION: "no_permission",
}


def main(_: Sequence[str]) -> int:
    """Print what there is; the exit status."""
    sys.stdout.write(json.dumps(_look()) + "\n")
    return 0


def _look() -> dict[str, Any]:
    try:
        pynvml.nvmlInit()
        return {
            "driver": str(pynvml.nvmlSystemGetDriverVersion()),
            "devices": [_device(index) for index in range(pynvml.nvmlDeviceGetCount())],
        }
    except pynvml.NVMLError as error:
        return {"error": _NAMES.get(error.value, "other"), "words": str(error)}


def _device(index: int) -> dict[str, Any]:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return {
            "index": index,
            "name": str(pynvml.nvmlDeviceGetName(handle)),
            "mig": _try(lambda: pynvml.nvmlDeviceGetMigMode(handle)[0]) == 1,
            "gpm": _try(lambda: pynvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice),
            "memory_v2": _try(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).total),
            "energy": _try(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)),
        }
    except pynvml.NVMLError as error:
        return {"index": index, "words": str(error)}


def _try(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the driver gives
    """Result of a call; None where this driver or binding does not have it."""
    try:
        return call()
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError, AttributeError):
        return None
