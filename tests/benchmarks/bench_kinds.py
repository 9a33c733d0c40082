"""Plans of each kind of model that answers in one pass, beside one of a language model of the same run.

Run it with ``python tests/benchmarks/bench_kinds.py``; it prints processor seconds, their ratio to the language model's,
USD a month and the fleet, and asserts nothing.
"""

import tempfile
import time
from pathlib import Path

from advisor.pipeline import recommend
from advisor.report.words import short_words

CHAT = ("meta-llama/Llama-3.1-8B-Instruct", "5, input_tokens: 800, output_tokens: 200", "ttft_p95: 1s, tpot_p95: 50ms")
KINDS = (
    ("BAAI/bge-m3", "50, input_tokens: 512", "latency_p95: 200ms"),
    ("BAAI/bge-reranker-v2-m3", "37.5, documents: 23, tokens_per_document: 512", "latency_p95: 1s"),
    ("intfloat/e5-mistral-7b-instruct", "10, input_tokens: 800", "latency_p95: 1s"),
    ("Qwen/Qwen3-Embedding-8B", "10, input_tokens: 800", "latency_p95: 1s"),
    ("openai/whisper-large-v3", "2, audio_seconds: 45", "real_time_factor: 0.2"),
    (
        "stabilityai/stable-diffusion-xl-base-1.0",
        "0.2, steps: 20, images: {width: 1024, height: 1024}",
        "latency_p95: 20s",
    ),
    ("google/vit-base-patch16-224", "500", "latency_p99: 50ms"),
    ("resnet50", "20", "latency_p95: 100ms"),
    ("YOLO v4", "20", "latency_p95: 100ms"),
)


def planned(folder: Path, model: str, declared: str, slo: str) -> tuple[float, str]:
    """Processor seconds of a plan, and the plan in words."""
    path = folder / "workload.yaml"
    path.write_text(
        f"name: a\nmodel: {model}\nslo: {{{slo}}}\ndemand:\n  declared: {{requests_per_second: {declared}}}\n"
        "providers: [aws]\nregions: [us-east-1]\n"
    )
    started = time.process_time()
    plan = recommend(path)
    seconds = time.process_time() - started
    fleet = plan.fleet
    told = "nothing" if fleet is None else f"${fleet.cost.total_usd_per_month:,.2f}, {short_words(fleet.groups)}"
    return seconds, told


def main() -> None:
    """Plan each kind and print a line for it."""
    with tempfile.TemporaryDirectory() as folder:
        planned(Path(folder), *CHAT)
        baseline, told = planned(Path(folder), *CHAT)
        print(f"{CHAT[0]}: {baseline:.2f} s; {told}")
        for kind in KINDS:
            seconds, told = planned(Path(folder), *kind)
            print(f"{kind[0]}: {seconds:.2f} s, {seconds / baseline:.2f} times; {told}")


if __name__ == "__main__":
    main()
