"""Metrics pages in the shape that the engines give them."""

from collections.abc import Sequence

VLLM_LATENCY_BOUNDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
VLLM_TOKEN_BOUNDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
VLLM_REQUEST_BOUNDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
LENGTH_BOUNDS = tuple(float(n) for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000))
MODEL = "meta-llama/Llama-3.1-70B-Instruct"


def family(name: str, kind: str, lines: Sequence[str], help_text: str = "Of the engine.") -> str:
    """A family with its two lines of metadata."""
    return "\n".join([f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *lines, ""])


def histogram(name: str, labels: str, bounds: Sequence[float], observed: int = 40, total: float = 39.0) -> str:
    """A cumulative histogram in which every second bound has one observation more."""
    counts = [min(observed, 2 * (n + 1)) for n in range(len(bounds))]
    lines = [f'{name}_bucket{{{labels},le="{bound}"}} {count}.0' for bound, count in zip(bounds, counts, strict=True)]
    lines += [f'{name}_bucket{{{labels},le="+Inf"}} {observed}.0', f"{name}_count{{{labels}}} {observed}.0"]
    return family(name, "histogram", [*lines, f"{name}_sum{{{labels}}} {total}"])


def vllm_page(model: str = MODEL, ranks: int = 1, *, old_names: bool = False) -> str:
    """A page of vLLM as an operator sees it: about 40 KB for one rank."""
    return "".join([_python_part(), *(_vllm_rank(model, rank, old_names=old_names) for rank in range(ranks))])


def _vllm_rank(model: str, rank: int, *, old_names: bool) -> str:
    labels = f'engine="{rank}",model_name="{model}"'
    kv = "gpu_cache_usage_perc" if old_names else "kv_cache_usage_perc"
    tpot = (
        ("time_per_output_token_seconds",)
        if old_names
        else ("request_time_per_output_token_seconds", "inter_token_latency_seconds")
    )
    gauges = {"num_requests_running": 3 + rank, "num_requests_waiting": 2, kv: 0.25, "engine_sleep_state": 0}
    counters = {
        "prompt_tokens": 123456, "generation_tokens": 65432, "num_preemptions": 5, "prefix_cache_queries": 100000,
        "prefix_cache_hits": 60000, "prompt_tokens_cached": 60000, "external_prefix_cache_queries": 0,
    }  # fmt: skip
    request_times = ("queue", "inference", "prefill", "decode")
    lengths = ("request_prompt_tokens", "request_generation_tokens", "request_max_num_generation_tokens",
               "request_params_max_tokens", "iteration_tokens_total", "request_params_n")  # fmt: skip
    return "".join(
        [
            *(family(f"vllm:{n}", "gauge", [f"vllm:{n}{{{labels}}} {v}"]) for n, v in gauges.items()),
            *(
                family(f"vllm:{n}_total", "counter", [f"vllm:{n}_total{{{labels}}} {float(v)}"])
                + family(f"vllm:{n}_created", "gauge", [f"vllm:{n}_created{{{labels}}} 1.7637e+09"])
                for n, v in counters.items()
            ),
            family(
                "vllm:request_success_total", "counter",
                [
                    f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {count}.0'
                    for reason, count in (("stop", 30), ("length", 10), ("abort", 7), ("error", 1))
                ],
            ),
            histogram("vllm:time_to_first_token_seconds", labels, VLLM_LATENCY_BOUNDS, total=12.5),
            *(histogram(f"vllm:{name}", labels, VLLM_TOKEN_BOUNDS, total=1.75) for name in tpot),
            histogram("vllm:e2e_request_latency_seconds", labels, VLLM_REQUEST_BOUNDS, total=88.0),
            *(histogram(f"vllm:request_{n}_time_seconds", labels, VLLM_REQUEST_BOUNDS) for n in request_times),
            *(histogram(f"vllm:{name}", labels, LENGTH_BOUNDS) for name in lengths),
            family(
                "vllm:cache_config_info", "gauge",
                [f'vllm:cache_config_info{{block_size="16",cache_dtype="auto",engine="{rank}"}} 1.0'],
            ),
        ]
    )  # fmt: skip


def _python_part() -> str:
    """What the Python process of the engine says about itself, and its web server about requests."""
    handlers = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/metrics", "none")
    return "".join(
        [
            family("python_gc_objects_collected_total", "counter",
                   [f'python_gc_objects_collected_total{{generation="{n}"}} 1234.0' for n in range(3)]),
            family("process_resident_memory_bytes", "gauge", ["process_resident_memory_bytes 1.3e+09"]),
            *(
                histogram("http_request_duration_seconds", f'handler="{handler}",method="POST"', (0.1, 0.5, 1.0))
                + histogram("http_request_size_bytes", f'handler="{handler}",method="POST"', ())
                for handler in handlers
            ),
        ]
    )  # fmt: skip


SGLANG_LABELS = f'engine_type="unified",model_name="{MODEL}",moe_ep_rank="0",pp_rank="0",tp_rank="0"'
SGLANG_PAGE = "".join(
    [
        family("sglang:num_running_reqs", "gauge", [f"sglang:num_running_reqs{{{SGLANG_LABELS}}} 6.0"]),
        family("sglang:num_queue_reqs", "gauge", [f"sglang:num_queue_reqs{{{SGLANG_LABELS}}} 4.0"]),
        family("sglang:num_used_tokens", "gauge", [f"sglang:num_used_tokens{{{SGLANG_LABELS}}} 123859.0"]),
        family("sglang:token_usage", "gauge", [f"sglang:token_usage{{{SGLANG_LABELS}}} 0.28"]),
        family("sglang:cache_hit_rate", "gauge", [f"sglang:cache_hit_rate{{{SGLANG_LABELS}}} 0.0075"]),
        family(
            "sglang:num_retracted_requests_total", "counter",
            [f"sglang:num_retracted_requests_total{{{SGLANG_LABELS}}} 2.0"],
        ),
        *(
            family(f"sglang:{name}_total", "counter", [f'sglang:{name}_total{{model_name="{MODEL}"}} {value}'])
            for name, value in (("prompt_tokens", "8.128902e+06"), ("generation_tokens", "7.557572e+06"),
                                ("num_requests", "1024.0"), ("num_aborted_requests", "3.0"))
        ),
        family(
            "sglang:cached_tokens_total", "counter",
            [
                f'sglang:cached_tokens_total{{cache_source="{source}",model_name="{MODEL}"}} {value}'
                for source, value in (("device", "50000.0"), ("host", "1500.0"))
            ],
        ),
        histogram("sglang:time_to_first_token_seconds", f'model_name="{MODEL}"', (0.1, 0.2, 0.4, 400.0), 8, 2.5),
        histogram("sglang:inter_token_latency_seconds", f'model_name="{MODEL}"', (0.002, 0.01, 0.1), 6, 0.3),
        histogram("sglang:e2e_request_latency_seconds", f'model_name="{MODEL}"', (1.0, 10.0), 4, 21.0),
    ]
)  # fmt: skip
TGI_PAGE = "".join(
    [
        "# TYPE tgi_batch_current_size gauge\ntgi_batch_current_size 12\n\n",
        "# TYPE tgi_queue_size gauge\ntgi_queue_size 3\n\n",
        "# TYPE tgi_request_success counter\ntgi_request_success 480\n\n",
        '# TYPE tgi_request_count counter\ntgi_request_count 500\n\n',
        histogram("tgi_request_duration", 'le_unused="x"', (0.5, 1.0, 2.0), 6, 7.5).replace('le_unused="x",', "").replace('{le_unused="x"}', ""),
        histogram("tgi_batch_inference_duration", 'method="prefill"', (0.1, 1.0), 4, 1.0),
        histogram("tgi_batch_inference_duration", 'method="decode"', (0.01, 0.02), 4, 0.05),
        histogram("tgi_request_input_length", 'le_unused="x"', (100.0,), 500, 51200).replace('le_unused="x",', "").replace('{le_unused="x"}', ""),
        histogram("tgi_request_generated_tokens", 'le_unused="x"', (100.0,), 500, 25600).replace('le_unused="x",', "").replace('{le_unused="x"}', ""),
    ]
)  # fmt: skip


def triton_page(kv_types: Sequence[tuple[str, float]] = (("used", 1560), ("free", 4679), ("max", 6239))) -> str:
    """A page of Triton with the TensorRT-LLM backend and one model beside it."""
    llm = 'model="tensorrt_llm",version="1"'
    return "".join(
        [
            family("nv_inference_request_success", "counter",
                   [f"nv_inference_request_success{{{llm}}} 40",
                    'nv_inference_request_success{model="tensorrt_llm",version="2"} 2',
                    'nv_inference_request_success{model="preprocessing",version="1"} 42']),
            family("nv_inference_pending_request_count", "gauge",
                   [f"nv_inference_pending_request_count{{{llm}}} 9",
                    'nv_inference_pending_request_count{model="preprocessing",version="1"} 1']),
            family("nv_trt_llm_request_metrics", "gauge",
                   [f'nv_trt_llm_request_metrics{{model="tensorrt_llm",request_type="{kind}",version="1"}} {value}'
                    for kind, value in (("context", 1), ("scheduled", 5), ("max", 512), ("active", 7))]),
            family("nv_trt_llm_kv_cache_block_metrics", "gauge",
                   [f'nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type="{kind}",model="tensorrt_llm",version="1"}} {value}'
                    for kind, value in kv_types]),
            histogram("nv_inference_first_response_histogram_ms", llm, (100.0, 500.0, 2000.0), 5, 1500.0),
            family("nv_gpu_utilization", "gauge", ['nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5']),
        ]
    )  # fmt: skip
