"""NVIDIA accelerators of this host, read through NVML. Only the modules of this package import ``pynvml``.

Every counter is read by itself: what the driver does not support is left out, what fails this once is left out with a
note, and only an accelerator that is gone is missed, while the others go on. ``nvmlDeviceGetPcieThroughput`` is never
called: it blocks for 20 ms. The library is opened once and kept open, because opening it disturbs the driver.
"""

from advisor.samples.sources.nvml.source import NvmlSource

__all__ = ["NvmlSource"]
