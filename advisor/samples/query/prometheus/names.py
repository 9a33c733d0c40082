"""What exporters call things: for each metric of ours the names that carry it, best first, with unit and labels."""

from dataclasses import dataclass

from advisor.samples.metrics import METRICS, Kind, Scope, exposition_name
from advisor.units import BYTES_PER_MIB

_MIB = float(BYTES_PER_MIB)
_PERCENT = 0.01


@dataclass(frozen=True, slots=True)
class Exporter:
    """Something that exports metrics; the labels by which its series tell accelerators apart.

    Of several labels with one meaning the first that a series has counts.
    """

    name: str
    host: tuple[str, ...]
    index: tuple[str, ...]
    uuid: tuple[str, ...] = ()
    mig: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    row_seconds: float | None = None
    """Length of what one sample stands for at least; None: the scrape interval, which is found in the data."""
    info: str | None = None
    """Metric whose labels hold index and product, by uuid."""
    serves: bool = False
    """Whether it is a serving engine, not an accelerator."""

    @property
    def identity(self) -> tuple[str, ...]:
        """Every label that tells series of different accelerators apart, or names them."""
        return (*self.host, *self.index, *self.uuid, *self.mig, *self.product)


@dataclass(frozen=True, slots=True)
class Name:
    """A metric of an exporter that carries one of ours."""

    name: str
    exporter: Exporter
    scale: float = 1.0
    """Times this is our unit."""
    greatest: str | None = None
    """Name of the row maxima, where there are any."""
    has_two_scales: bool = False
    """Whether some versions give 0..1 and others 0..100 under this name."""
    profiles: bool = False
    """Whether it comes from profiling counters, which can stand at 0 for weeks."""


_HOSTS = ("exported_instance", "instance")
OWN = Exporter(
    "advisor agent",
    host=("host", "exported_host"),
    index=("accelerator",),
    uuid=("uuid",),
    mig=("mig",),
    product=("product",),
    row_seconds=15.0,
)
OWN_ENGINES = Exporter(
    "advisor agent",
    host=("host", "exported_host"),
    index=("rank",),
    uuid=("endpoint",),
    product=("model",),
    row_seconds=15.0,
    serves=True,
)
DCGM = Exporter(
    "dcgm-exporter",
    host=("Hostname", "hostname", "node", *_HOSTS),
    index=("gpu",),
    uuid=("UUID",),
    mig=("GPU_I_ID",),
    product=("modelName",),
)
NVIDIA_GPU = Exporter(
    "nvidia_gpu_exporter", host=_HOSTS, index=("index",), uuid=("uuid",), product=("name",), info="nvidia_smi_gpu_info"
)
NVIDIA_GPU_MIG = Exporter(
    "nvidia_gpu_exporter",
    host=_HOSTS,
    index=("index",),
    uuid=("uuid",),
    mig=("gpu_instance_id",),
    product=("name",),
    info="nvidia_smi_gpu_info",
)
NVIDIA_GPU_FIRST = Exporter(
    "nvidia_gpu_prometheus_exporter", host=_HOSTS, index=("minor_number",), uuid=("uuid",), product=("name",)
)
NVITOP = Exporter(
    "nvitop-exporter", host=("hostname", *_HOSTS), index=("index",), uuid=("uuid",), product=("devicename",)
)
ALL_SMI = Exporter(
    "all-smi",
    host=("host", *_HOSTS),
    index=("gpu_index", "index"),
    uuid=("gpu_uuid", "uuid"),
    product=("gpu", "gpu_name"),
)
VLLM = Exporter("vLLM", host=_HOSTS, index=("engine",), uuid=_HOSTS, product=("model_name",), serves=True)
SGLANG = Exporter("SGLang", host=_HOSTS, index=("dp_rank", "dp"), uuid=_HOSTS, product=("model_name",), serves=True)
TGI = Exporter("TGI", host=_HOSTS, index=(), uuid=_HOSTS, product=("model_id",), serves=True)


def _own(metric: str) -> Name:
    """The name under which the agent's own outlets give a metric."""
    what = METRICS[metric]
    exporter = OWN if what.scope is Scope.ACCELERATOR else OWN_ENGINES
    return Name(exposition_name(what), exporter, greatest=exposition_name(what, "max"))


def _dcgm(*names: str, scale: float = 1.0, profiles: bool = False) -> tuple[Name, ...]:
    return tuple(Name(f"DCGM_FI_{name}", DCGM, scale, profiles=profiles) for name in names)


_FOREIGN: dict[str, tuple[Name, ...]] = {
    "memory_total_bytes": (
        *_dcgm("DEV_FB_TOTAL", scale=_MIB),
        Name("nvidia_smi_memory_total_bytes", NVIDIA_GPU),
        Name("nvidia_smi_mig_memory_total_bytes", NVIDIA_GPU_MIG),
        Name("nvidia_gpu_memory_total_bytes", NVIDIA_GPU_FIRST),
        Name("gpu_memory_total_MiB", NVITOP, _MIB),
        Name("all_smi_gpu_memory_total_bytes", ALL_SMI),
    ),
    "memory_used_bytes": (
        *_dcgm("DEV_FB_USED", scale=_MIB),
        Name("nvidia_smi_memory_used_bytes", NVIDIA_GPU),
        Name("nvidia_smi_mig_memory_used_bytes", NVIDIA_GPU_MIG),
        Name("nvidia_gpu_memory_used_bytes", NVIDIA_GPU_FIRST),
        Name("gpu_memory_used_MiB", NVITOP, _MIB),
        Name("all_smi_gpu_memory_used_bytes", ALL_SMI),
    ),
    "memory_reserved_bytes": (
        *_dcgm("DEV_FB_RESERVED", scale=_MIB),
        Name("nvidia_smi_memory_reserved_bytes", NVIDIA_GPU),
        Name("nvidia_smi_mig_memory_reserved_bytes", NVIDIA_GPU_MIG),
    ),
    "busy_ratio": (
        *_dcgm("DEV_GPU_UTIL", scale=_PERCENT),
        Name("DCGM_FI_DEV_GPU_UTIL_RATIO", DCGM, has_two_scales=True),
        *_dcgm("PROF_GR_ENGINE_ACTIVE", "PROF_GR_ENGINE_UTIL_RATIO", profiles=True),
        Name("nvidia_smi_utilization_gpu_ratio", NVIDIA_GPU),
        Name("nvidia_smi_mig_graphics_activity_ratio", NVIDIA_GPU_MIG),
        Name("nvidia_gpu_duty_cycle", NVIDIA_GPU_FIRST, _PERCENT),
        Name("gpu_utilization_Percentage", NVITOP, _PERCENT),
        Name("all_smi_gpu_utilization", ALL_SMI, _PERCENT),
    ),
    "memory_busy_ratio": (
        *_dcgm("DEV_MEM_COPY_UTIL", scale=_PERCENT),
        Name("nvidia_smi_utilization_memory_ratio", NVIDIA_GPU),
        Name("gpu_memory_utilization_Percentage", NVITOP, _PERCENT),
    ),
    "sm_active_ratio": (
        *_dcgm("PROF_SM_ACTIVE", "PROF_SM_UTIL_RATIO", profiles=True),
        Name("nvidia_smi_mig_sm_activity_ratio", NVIDIA_GPU_MIG),
    ),
    "sm_occupancy_ratio": (
        *_dcgm("PROF_SM_OCCUPANCY", "PROF_SM_OCCUPANCY_RATIO", profiles=True),
        Name("nvidia_smi_mig_sm_occupancy_ratio", NVIDIA_GPU_MIG),
    ),
    "tensor_active_ratio": (
        *_dcgm("PROF_PIPE_TENSOR_ACTIVE", "PROF_TENSOR_UTIL_RATIO", profiles=True),
        Name("nvidia_smi_mig_tensor_activity_ratio", NVIDIA_GPU_MIG),
    ),
    "dram_active_ratio": _dcgm("PROF_DRAM_ACTIVE", "PROF_DRAM_UTIL_RATIO", profiles=True),
    "power_watts": (
        *_dcgm("DEV_POWER_USAGE", "DEV_BOARD_POWER_WATTS"),
        Name("nvidia_smi_power_draw_instant_watts", NVIDIA_GPU),
        Name("nvidia_smi_power_draw_watts", NVIDIA_GPU),
        Name("nvidia_gpu_power_usage_milliwatts", NVIDIA_GPU_FIRST, 0.001),
        Name("gpu_power_usage_W", NVITOP),
        Name("all_smi_gpu_power_consumption_watts", ALL_SMI),
    ),
    "sm_clock_mhz": (
        *_dcgm("DEV_SM_CLOCK"),
        Name("nvidia_smi_clocks_current_sm_clock_hz", NVIDIA_GPU, 1e-6),
        Name("gpu_clock_sm_MHz", NVITOP),
    ),
    "temperature_celsius": (
        *_dcgm("DEV_GPU_TEMP", "DEV_GPU_TEMP_CELSIUS"),
        Name("nvidia_smi_temperature_gpu", NVIDIA_GPU),
        Name("nvidia_gpu_temperature_celsius", NVIDIA_GPU_FIRST),
        Name("gpu_temperature_C", NVITOP),
        Name("all_smi_gpu_temperature_celsius", ALL_SMI),
    ),
    "requests_running": (
        Name("vllm:num_requests_running", VLLM),
        Name("sglang:num_running_reqs", SGLANG),
        Name("sglang_num_running_reqs", SGLANG),
        Name("tgi_batch_current_size", TGI),
    ),
    "requests_waiting": (
        Name("vllm:num_requests_waiting", VLLM),
        Name("sglang:num_queue_reqs", SGLANG),
        Name("sglang_num_queue_reqs", SGLANG),
        Name("tgi_queue_size", TGI),
    ),
    "kv_cache_used_ratio": (
        Name("vllm:kv_cache_usage_perc", VLLM),
        Name("vllm:gpu_cache_usage_perc", VLLM),
        Name("sglang:token_usage", SGLANG),
        Name("sglang_token_usage", SGLANG),
    ),
}
GAUGES = tuple(metric.name for metric in METRICS.values() if metric.kind is Kind.GAUGE)
"""What can be asked for here: of counters and histograms a level says nothing."""
NAMES: dict[str, tuple[Name, ...]] = {metric: (_own(metric), *_FOREIGN.get(metric, ())) for metric in GAUGES}
FB_PARTS = tuple(f"DCGM_FI_DEV_FB_{part}" for part in ("USED", "FREE", "RESERVED"))
"""What dcgm-exporter gives in place of the memory in all, MiB; older ones do not know what is reserved."""
