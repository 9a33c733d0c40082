"""Where engines tell how busy and how quick they are.

Sources: the metrics pages of vLLM, SGLang and trtllm-serve, read in November 2026.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from advisor.codegen.model import Engine


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """Path and names of an engine's Prometheus metrics."""

    path: str
    waiting: str
    kv_cache_used: str
    """Share, from 0 to 1."""
    finished: str
    """A counter."""
    ttft: str
    """A histogram in seconds, without ``_bucket``."""
    switched_on_by: str = ""
    """Option in a file that the generated command does not give, without which there are none; "": always there."""


METRICS: Mapping[Engine, EngineMetrics] = {
    Engine.VLLM: EngineMetrics(
        "/metrics",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:request_success_total",
        "vllm:time_to_first_token_seconds",
    ),
    Engine.SGLANG: EngineMetrics(
        "/metrics",
        "sglang:num_queue_reqs",
        "sglang:token_usage",
        "sglang:num_requests_total",
        "sglang:time_to_first_token_seconds",
    ),
    Engine.TENSORRT_LLM: EngineMetrics(
        "/prometheus/metrics",
        "trtllm_num_requests_waiting",
        "trtllm_kv_cache_utilization",
        "trtllm_request_success_total",
        "trtllm_time_to_first_token_seconds",
        switched_on_by="return_perf_metrics",
    ),
}
"""Of the engines that publish any; an image of the user's own is not among them."""


def published(engine: Engine) -> EngineMetrics | None:
    """The metrics that the generated command of *engine* publishes; None where it publishes none."""
    metrics = METRICS.get(engine)
    return None if metrics is None or metrics.switched_on_by else metrics
