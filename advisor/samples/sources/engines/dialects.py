"""Where each metric stands on the page of each engine, old names and new.

Counters are named without the ``_total`` that most engines put behind them. Of several series for one metric the first
that the page has is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from advisor.samples.metrics import METRICS, Kind


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a page."""

    metric: str
    """What it is called here."""
    name: str
    """What it is called there, without the engine's prefix."""
    only: tuple[str, str] | None = None
    """Label and value that it must have."""
    never: tuple[str, tuple[str, ...]] = ("", ())
    """Label, and values of it that do not count."""
    scale: float = 1.0
    """What its values are multiplied by."""

    @property
    def kind(self) -> Kind:
        """Of the metric."""
        return METRICS[self.metric].kind


@dataclass(frozen=True, slots=True)
class Dialect:
    """The page of one engine."""

    engine: str
    prefix: str
    """Regular expression of what its names begin with."""
    starts: tuple[str, ...]
    """What its names begin with, spelt out."""
    series: tuple[Series, ...]
    model_labels: tuple[str, ...] = ("model_name", "model")
    rank_label: str = ""
    """Label of the rank, among which requests are divided; "" where there is none."""
    follower_labels: tuple[str, ...] = ()
    """Labels of ranks that work on the same requests: the greatest of their values is that of all."""
    quotients: Mapping[str, tuple[Series, Series]] = field(default_factory=dict)
    """By metric: two series whose quotient it is, where it has none of its own."""


VLLM = Dialect(
    engine="vllm",
    prefix="vllm[:_]",
    starts=("vllm:", "vllm_"),
    rank_label="engine",
    series=(
        Series("requests_running", "num_requests_running"),
        Series("requests_waiting", "num_requests_waiting"),
        Series("kv_cache_used_ratio", "kv_cache_usage_perc"),
        Series("kv_cache_used_ratio", "gpu_cache_usage_perc"),
        Series("prompt_tokens", "prompt_tokens"),
        Series("generated_tokens", "generation_tokens"),
        Series("requests_finished", "request_success"),
        Series("preemptions", "num_preemptions"),
        Series("prefix_cache_queries", "prefix_cache_queries"),
        Series("prefix_cache_queries", "gpu_prefix_cache_queries"),
        Series("prefix_cache_hits", "prefix_cache_hits"),
        Series("prefix_cache_hits", "gpu_prefix_cache_hits"),
        Series("ttft_seconds", "time_to_first_token_seconds"),
        Series("tpot_seconds", "request_time_per_output_token_seconds"),
        Series("tpot_seconds", "inter_token_latency_seconds"),
        Series("tpot_seconds", "time_per_output_token_seconds"),
        Series("e2e_seconds", "e2e_request_latency_seconds"),
        Series("prompt_length_tokens", "request_prompt_tokens"),
        Series("answer_length_tokens", "request_generation_tokens"),
    ),
)
SGLANG = Dialect(
    engine="sglang",
    prefix="sglang[:_]",
    starts=("sglang:", "sglang_"),
    rank_label="dp_rank",
    follower_labels=("tp_rank", "pp_rank", "moe_ep_rank"),
    series=(
        Series("requests_running", "num_running_reqs"),
        Series("requests_waiting", "num_queue_reqs"),
        Series("kv_cache_used_ratio", "token_usage"),
        Series("prompt_tokens", "prompt_tokens"),
        Series("generated_tokens", "generation_tokens"),
        Series("requests_finished", "num_requests"),
        Series("preemptions", "num_retracted_requests"),
        Series("prefix_cache_queries", "prompt_tokens"),
        Series("prefix_cache_hits", "cached_tokens"),
        Series("ttft_seconds", "time_to_first_token_seconds"),
        Series("tpot_seconds", "request_time_per_output_token_seconds"),
        Series("tpot_seconds", "inter_token_latency_seconds"),
        Series("tpot_seconds", "time_per_output_token_seconds"),
        Series("e2e_seconds", "e2e_request_latency_seconds"),
        Series("prompt_length_tokens", "prompt_tokens_histogram"),
        Series("answer_length_tokens", "generation_tokens_histogram"),
    ),
)
TGI = Dialect(
    engine="tgi",
    prefix="tgi_",
    starts=("tgi_",),
    series=(
        Series("requests_running", "batch_current_size"),
        Series("requests_waiting", "queue_size"),
        Series("prompt_tokens", "request_input_length_sum"),
        Series("generated_tokens", "request_generated_tokens_sum"),
        Series("requests_finished", "request_success"),
        # NOTE: request_mean_time_per_token_duration counts the prompt's time in; a step of decoding does not.
        Series("tpot_seconds", "batch_inference_duration", only=("method", "decode")),
        Series("e2e_seconds", "request_duration"),
        Series("prompt_length_tokens", "request_input_length"),
        Series("answer_length_tokens", "request_generated_tokens"),
    ),
)
TRITON = Dialect(
    engine="triton",
    prefix="nv_",
    starts=("nv_inference_", "nv_trt_llm_"),
    series=(
        Series("requests_running", "trt_llm_request_metrics", only=("request_type", "scheduled")),
        Series("requests_waiting", "trt_llm_request_metrics", only=("request_type", "waiting")),
        Series("requests_waiting", "inference_pending_request_count"),
        Series("kv_cache_used_ratio", "trt_llm_kv_cache_block_metrics", only=("kv_cache_block_type", "fraction")),
        Series("requests_finished", "inference_request_success"),
        Series("ttft_seconds", "inference_first_response_histogram_ms", scale=0.001),
    ),
    quotients={
        "kv_cache_used_ratio": (
            Series("kv_cache_used_ratio", "trt_llm_kv_cache_block_metrics", only=("kv_cache_block_type", "used")),
            Series("kv_cache_used_ratio", "trt_llm_kv_cache_block_metrics", only=("kv_cache_block_type", "max")),
        ),
    },
)
DIALECTS = (VLLM, SGLANG, TGI, TRITON)
"""In the order in which they are looked for: Triton shows the metrics of a vLLM that it runs beside its own."""
