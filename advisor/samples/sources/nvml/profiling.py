"""How hard an accelerator works while it is busy, from the profiling counters that Hopper and newer give to anyone.

Each value is a mean between two samples of the counters. The last sample is kept, so that one new sample a tick covers
the time from tick to tick without a hole.
"""

from collections.abc import Mapping
from typing import Any

import pynvml

from advisor.samples.sources.nvml.counters import Device
from advisor.samples.sources.nvml.failures import UnsupportedError, attempted, supported

_METRICS = (
    (2, "sm_active_ratio"),
    (3, "sm_occupancy_ratio"),
    (5, "tensor_active_ratio"),
    (10, "dram_active_ratio"),
)
"""NVML_GPM_METRIC_SM_UTIL, …_SM_OCCUPANCY, …_ANY_TENSOR_UTIL and …_DRAM_BW_UTIL, all in percent."""
_PERCENT = 100.0


class Profiling:
    """The two samples of one device, and the question put to the driver."""

    def __init__(self, device: Device) -> None:
        """Ask whether there are such counters.

        Raises:
            UnsupportedError: there are none.
            pynvml.NVMLError: it should be there, and failed.
        """
        whole = device.parent or device.handle
        if not supported(lambda: pynvml.nvmlGpmQueryDeviceSupport(whole)).isSupportedDevice:
            raise UnsupportedError
        self._instance: int | None = None
        if device.parent is not None:
            self._instance = supported(lambda: pynvml.nvmlDeviceGetGpuInstanceId(device.handle))
        self._whole = whole
        self._before = supported(pynvml.nvmlGpmSampleAlloc)
        self._now = supported(pynvml.nvmlGpmSampleAlloc)
        self._has_before = False
        self._question = _question()

    def read(self) -> Mapping[str, float]:
        """Means since the call before; nothing the first time.

        Raises:
            pynvml.NVMLError: a call failed.
        """
        self._sample()
        values = self._means() if self._has_before else {}
        self._before, self._now = self._now, self._before
        self._has_before = True
        return values

    def close(self) -> None:
        """Give the samples back."""
        for sample in (self._before, self._now):
            pynvml.nvmlGpmSampleFree(sample)

    def _sample(self) -> None:
        if self._instance is None:
            supported(lambda: pynvml.nvmlGpmSampleGet(self._whole, self._now))
        else:
            supported(lambda: pynvml.nvmlGpmMigSampleGet(self._whole, self._instance, self._now))

    def _means(self) -> dict[str, float]:
        question = self._question
        question.sample1, question.sample2 = self._before, self._now
        attempted(lambda: pynvml.nvmlGpmMetricsGet(question))
        answers = ((question.metrics[place], metric) for place, (_, metric) in enumerate(_METRICS))
        return {
            metric: answer.value / _PERCENT
            for answer, metric in answers
            if answer.nvmlReturn == pynvml.NVML_SUCCESS and 0 <= answer.value <= _PERCENT
        }


def profiling(device: Device) -> Mapping[str, float]:
    """Multiprocessors with work, their occupancy, tensor cores and memory bandwidth, as shares.

    Raises:
        UnsupportedError: this accelerator does not have them.
        pynvml.NVMLError: it should be there, and failed.
    """
    if device.profiling is None:
        device.profiling = _Unprofiled()  # unless there is more to it: asked once for as long as it answers
        device.profiling = Profiling(device)
    return dict(device.profiling.read())


class _Unprofiled:
    """Stands in where there are no such counters."""

    def read(self) -> Mapping[str, float]:
        """Nothing."""
        return {}


def _question() -> Any:  # noqa: ANN401 - a structure of the binding
    question = pynvml.c_nvmlGpmMetricsGet_t()
    question.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    question.numMetrics = len(_METRICS)
    for place, (number, _) in enumerate(_METRICS):
        question.metrics[place].metricId = number
    return question
