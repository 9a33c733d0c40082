"""What serving engines call what demand is made of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine's names, each a list of which the first that is there counts."""

    name: str
    requests: tuple[str, ...]
    """Counters of requests: as they arrive where there is one, else as they end."""
    replica: tuple[str, ...]
    """Labels that tell replicas apart."""
    model: str
    """Label that names the model."""
    prompt_lengths: tuple[str, ...] = ()
    """Histograms of the tokens of prompts, without ``_bucket``."""
    answer_lengths: tuple[str, ...] = ()
    prompt_tokens: tuple[str, ...] = ()
    """Counters of the tokens of prompts."""
    answer_tokens: tuple[str, ...] = ()
    cache_hits: tuple[str, ...] = ()
    """Counters of prompt tokens found in the prefix cache, and, as many, of those looked up in it."""
    cache_queries: tuple[str, ...] = ()


def _both(*names: str) -> tuple[str, ...]:
    """SGLang's names with a colon, and with the underscore that newer versions and some relays write."""
    return tuple(f"sglang{mark}{name}" for mark in (":", "_") for name in names)


ENGINES = (
    Engine(
        "vLLM",
        requests=("vllm:request_success_total", "vllm:e2e_request_latency_seconds_count"),
        replica=("instance", "engine"),
        model="model_name",
        prompt_lengths=("vllm:request_prompt_tokens",),
        answer_lengths=("vllm:request_generation_tokens",),
        prompt_tokens=("vllm:prompt_tokens_total",),
        answer_tokens=("vllm:generation_tokens_total",),
        cache_hits=("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
        cache_queries=("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    ),
    Engine(
        "SGLang",
        requests=_both("num_requests_received_total", "num_requests_total"),
        replica=("instance",),
        model="model_name",
        prompt_lengths=_both("prompt_tokens_histogram"),
        answer_lengths=_both("generation_tokens_histogram"),
        prompt_tokens=_both("prompt_tokens_total"),
        answer_tokens=_both("generation_tokens_total"),
        cache_hits=_both("cached_tokens_total"),
        cache_queries=_both("prompt_tokens_total"),
    ),
    Engine(
        "TGI",
        requests=("tgi_request_count", "tgi_request_count_total", "tgi_request_success"),
        replica=("instance",),
        model="model_id",
        prompt_lengths=("tgi_request_input_length",),
        answer_lengths=("tgi_request_generated_tokens",),
        prompt_tokens=("tgi_request_input_length_sum",),
        answer_tokens=("tgi_request_generated_tokens_sum",),
    ),
    Engine(
        "engines that the agent scrapes",
        requests=("advisor_engine_requests_finished_total",),
        replica=("host", "endpoint", "rank"),
        model="model",
        prompt_lengths=("advisor_engine_prompt_length_tokens",),
        answer_lengths=("advisor_engine_answer_length_tokens",),
        prompt_tokens=("advisor_engine_prompt_tokens_total",),
        answer_tokens=("advisor_engine_generated_tokens_total",),
        cache_hits=("advisor_engine_prefix_cache_hits_total",),
        cache_queries=("advisor_engine_prefix_cache_queries_total",),
    ),
)
