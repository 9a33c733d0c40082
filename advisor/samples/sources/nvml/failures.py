"""Meaning of NVML's error codes to an agent: no such counter, no such accelerator, or no driver at all."""

from collections.abc import Callable
from typing import TypeVar

import pynvml

from advisor.errors import InputError

_T = TypeVar("_T")

_UNSUPPORTED = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NO_DATA,
    }
)
_ACCELERATOR_GONE = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})
_DRIVER_GONE = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
NO_LIBRARY = "no NVIDIA driver library (libnvidia-ml.so.1) on this host"
_OPENING = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        NO_LIBRARY,
        "install the NVIDIA driver; in a container, start it with GPU access (docker run --gpus all)",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded",
        "load it (modprobe nvidia), see that nvidia-smi works",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the loaded NVIDIA driver and its library have different versions",
        "the driver was upgraded while it was loaded: reboot, or reload the kernel module",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "no permission to talk to the NVIDIA driver",
        "give this user access to /dev/nvidiactl and /dev/nvidia0 (a group, or DeviceAllow=char-nvidia rw of the unit)",
    ),
}


class UnsupportedError(Exception):
    """The counter is not to be had on this accelerator, driver or binding: no fault, and no value."""


def supported(call: Callable[[], _T]) -> _T:
    """Result of an NVML call.

    Raises:
        UnsupportedError: it is not to be had here, in any of the ways that the binding says so.
        pynvml.NVMLError: it should be there, and failed.
    """
    try:
        return call()
    except pynvml.NVMLLibraryMismatchError as error:  # NOTE: no NVMLError, unlike all others
        raise UnsupportedError from error
    except AttributeError as error:
        if error.obj is not pynvml:
            raise
        raise UnsupportedError from error  # a function that this version of the binding lacks
    except pynvml.NVMLError as error:
        if error.value in _UNSUPPORTED:
            raise UnsupportedError from error
        raise


def attempted(call: Callable[[], _T]) -> _T:
    """Result of an NVML call that there is no way around.

    Raises:
        pynvml.NVMLError: it failed, also where the driver does not have it.
    """
    try:
        return call()
    except pynvml.NVMLLibraryMismatchError as error:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from error


def if_known(call: Callable[[], _T]) -> _T | None:
    """Result of an NVML call that the agent can do without.

    Raises:
        pynvml.NVMLError: the accelerator or the driver is gone.
    """
    try:
        return supported(call)
    except UnsupportedError:
        return None
    except pynvml.NVMLError as error:
        if concerns_accelerator(error) or concerns_driver(error):
            raise
        return None


def first_supported(*calls: Callable[[], _T]) -> _T:
    """Result of the first call that is supported here; raises as :func:`supported` for the last."""
    for call in calls[:-1]:
        try:
            return supported(call)
        except UnsupportedError:
            continue
    return supported(calls[-1])


def concerns_accelerator(error: pynvml.NVMLError) -> bool:
    """Whether the accelerator is gone, and not just this counter."""
    return error.value in _ACCELERATOR_GONE


def concerns_driver(error: pynvml.NVMLError) -> bool:
    """Whether no call of this process will succeed any more."""
    return error.value in _DRIVER_GONE


def cannot_open(error: pynvml.NVMLError) -> InputError:
    """Why there is nothing to sample, and what to do about it."""
    message, hint = _OPENING.get(
        error.value, (f"the NVIDIA driver does not start: {error}", "see that nvidia-smi works")
    )
    return InputError(message, hint=hint)


def cannot_go_on(error: pynvml.NVMLError) -> InputError:
    """The driver went away under the running program; only a new process can open the new one."""
    return InputError(
        f"the NVIDIA driver does not answer this program any more: {error}",
        hint="it was upgraded or unloaded; see that nvidia-smi works",
    )
