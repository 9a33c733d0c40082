"""Made-up serving engines as a server scrapes them: counters that grow and are reset, histograms of lengths."""

import numpy as np

PROMPT_BOUNDS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
ANSWER_BOUNDS = (1.0, 10.0, 100.0, 1000.0)


def counter(per_second: np.ndarray, step_s: float, reset_at: int | None = None) -> np.ndarray:
    """A counter that grows at these rates between scrapes; it starts anew at a reset."""
    grown = np.concatenate(([0.0], np.cumsum(per_second[:-1] * step_s)))
    if reset_at is not None:
        grown[reset_at:] -= grown[reset_at]
    return grown


def vllm_series(name_labels: dict, times_ms: np.ndarray, requests: np.ndarray, *, prompt=700.0, answer=50.0, hit=0.4):
    """All that demand is made of, for requests that have come up to each time."""
    labels = {"model_name": "meta-llama/Llama-3.1-8B-Instruct", "engine": "0", "job": "vllm", **name_labels}

    def one(name, values, **more):
        points = [(int(at), float(value)) for at, value in zip(times_ms, values, strict=True)]
        return {"__name__": name, **labels, **more}, points

    series = [
        one("vllm:request_success_total", requests, finished_reason="stop"),
        one("vllm:prompt_tokens_total", requests * prompt),
        one("vllm:generation_tokens_total", requests * answer),
        one("vllm:prefix_cache_queries_total", requests * prompt),
        one("vllm:prefix_cache_hits_total", requests * prompt * hit),
    ]
    for name, bounds, mean in (("prompt", PROMPT_BOUNDS, prompt), ("generation", ANSWER_BOUNDS, answer)):
        base = f"vllm:request_{name}_tokens"
        series += [one(f"{base}_sum", requests * mean), one(f"{base}_count", requests)]
        for bound in (*bounds, np.inf):
            share = 1.0 if bound >= mean else (0.25 if bound >= mean / 10 else 0.0)
            le = "+Inf" if np.isinf(bound) else f"{bound}"
            series.append(one(f"{base}_bucket", requests * share, le=le))
    return series
