"""Whether a model fits: against start-up logs, and what must hold for every model."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.models import FitRequest, find_model, fit_memory, memory_range
from advisor.models.memory import engine_memory, parse_version
from models.cache_bytes import kv_cache_bytes

NAMES = (
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen3-30B-A3B",
    "deepseek-ai/DeepSeek-V2-Lite",
    "openai/gpt-oss-20b",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "google/gemma-3-12b-it",
    "mistralai/Mistral-7B-v0.1",
    "tiiuae/falcon-mamba-7b",
    "google-bert/bert-base-uncased",
)
CACHED = tuple(name for name in NAMES if find_model(name).is_generative)
VERSIONS = ("0.6.3", "0.8.2", "0.10.1.1", "0.11.0", "0.19.0", "0.21.0", "0.25.1", "")
H100 = FitRequest(
    accelerator_memory_gib=79.19,
    accelerator_count=1,
    tensor_parallel=1,
    engine_version="0.19.0",
    context_tokens=8192,
    memory_utilization=0.95,
)
requests = st.builds(
    FitRequest,
    accelerator_memory_gib=st.floats(8, 200),
    accelerator_count=st.just(8),
    tensor_parallel=st.sampled_from([1, 2, 4, 8]),
    precision=st.sampled_from(["bf16", "fp8", "int4"]),
    kv_precision=st.sampled_from(["auto", "fp8"]),
    engine=st.sampled_from(["vLLM", "SGLang", "an engine of tomorrow"]),
    engine_version=st.sampled_from(VERSIONS),
    context_tokens=st.integers(16, 512),
    concurrency=st.integers(1, 64),
    memory_utilization=st.floats(0.3, 1.0),
)


def test_llama_on_h100():
    """Llama-3.1-8B on one H100 with vLLM 0.19: 14.99 + 1.89 + 0.25 GiB, 58.1 GiB of cache, 58 requests of 8,192."""
    fit = fit_memory(find_model("meta-llama/Llama-3.1-8B-Instruct"), H100)

    assert fit.fits
    assert fit.weights_gib == pytest.approx(14.99, abs=0.01)
    assert fit.workspace_gib == pytest.approx(1.89, abs=0.05)
    assert fit.kv_cache_gib_available == pytest.approx(58.11, abs=0.1)
    assert fit.kv_cache_tokens == pytest.approx(476_016, rel=0.002)
    assert fit.max_concurrency == 58
    assert fit.reason == ""


def test_reason_has_the_numbers():
    """What does not fit says what is needed, part by part, and what there is."""
    fit = fit_memory(find_model("meta-llama/Llama-3.1-70B"), H100)

    assert not fit.fits
    assert fit.max_concurrency == 0
    assert fit.reason == "weights 131.4 + KV 2.5 + workspace 2.0 + runtime 0.3 = 136.2 GiB needed, 75.2 GiB usable"


def test_a_reason_sums_the_accelerators():
    """Two accelerators of 5 GiB: each part and the total are of both, as the answer has them."""
    model = find_model("meta-llama/Llama-3.1-8B")
    fit = fit_memory(model, replace(H100, accelerator_memory_gib=5, accelerator_count=2, tensor_parallel=2))
    parts = re.findall(r"[\d.]+", fit.reason)

    assert [float(part) for part in parts] == pytest.approx(
        [fit.weights_gib, fit.needed_gib - fit.weights_gib - fit.workspace_gib - fit.runtime_gib, fit.workspace_gib,
         fit.runtime_gib, fit.needed_gib, fit.usable_gib], abs=0.06,
    )  # fmt: skip


def test_the_cache_of_a_sequence_by_hand():
    """Llama 3.1 8B keeps 2 × 8 heads × 128 elements of 2 bytes in each of 32 layers for each of 1,000 tokens."""
    assert kv_cache_bytes(find_model("meta-llama/Llama-3.1-8B"), "auto", 1000) == 2 * 8 * 128 * 2 * 32 * 1000


def test_context_beyond_the_model():
    """A context longer than the model takes never fits, whatever the memory."""
    fit = fit_memory(find_model("meta-llama/Llama-2-7b-hf"), H100)

    assert not fit.fits
    assert "4,096" in fit.reason


def test_a_context_that_nothing_states_is_2048_tokens():
    """Neither request nor model says how long a request is."""
    model = replace(find_model("meta-llama/Llama-3.1-8B"), max_context_tokens=None)
    unstated, stated = (fit_memory(model, replace(H100, context_tokens=tokens)) for tokens in (None, 2048))

    assert unstated.max_concurrency == stated.max_concurrency == stated.kv_cache_tokens // 2048


def test_an_encoder_caches_nothing():
    """It fits without a cache, which limits no number of requests."""
    fit = fit_memory(find_model("google-bert/bert-base-uncased"), replace(H100, context_tokens=512))

    assert fit.fits
    assert (fit.kv_cache_tokens, fit.max_concurrency, fit.kv_bytes_per_token) == (None, None, 0)


def test_default_context_is_the_longest():
    """Without a context the longest that the model takes is meant."""
    model = find_model("Qwen/Qwen3-8B")

    assert fit_memory(model, replace(H100, context_tokens=None)) == fit_memory(
        model, replace(H100, context_tokens=model.max_context_tokens)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"tensor_parallel": 2},
        {"tensor_parallel": 0},
        {"memory_utilization": 0.0},
        {"memory_utilization": 1.5},
        {"accelerator_memory_gib": 0.0},
        {"concurrency": 0},
    ],
)
def test_requests_that_make_no_sense(changes: dict[str, float]):
    """More ranks than accelerators, or no memory at all, is an error and not an answer."""
    with pytest.raises(InputError):
        fit_memory(find_model("Qwen/Qwen3-8B"), replace(H100, **changes))


@given(st.sampled_from(CACHED), requests)
def test_longer_requests_never_run_more_at_a_time(name: str, request: FitRequest):
    """Twice the context never allows more requests at a time."""
    model = find_model(name)
    longer = replace(request, context_tokens=2 * request.context_tokens)

    assert fit_memory(model, longer).max_concurrency <= fit_memory(model, request).max_concurrency


@given(st.sampled_from(CACHED), requests)
def test_more_memory_never_hurts(name: str, request: FitRequest):
    """More of the memory never holds less, and what fitted still fits."""
    model = find_model(name)
    less, more = fit_memory(model, replace(request, memory_utilization=0.3)), fit_memory(model, request)

    assert less.kv_cache_tokens <= more.kv_cache_tokens
    assert less.max_concurrency <= more.max_concurrency
    assert more.fits or not less.fits


@given(st.sampled_from(NAMES), requests)
def test_fits_means_the_numbers_say_so(name: str, request: FitRequest):
    """It fits when need stays within what is usable, when there is no reason against it, and when the requests find room."""
    fit = fit_memory(find_model(name), request)

    assert fit.fits == (fit.needed_gib <= fit.usable_gib) == (fit.reason == "")
    if fit.kv_bytes_per_token:
        assert fit.fits == (fit.max_concurrency >= request.concurrency)


@given(st.sampled_from(CACHED), requests)
def test_eight_bit_weights_leave_more_for_the_cache(name: str, request: FitRequest):
    """Halving the weights never shrinks the cache."""
    model = find_model(name)
    wide, narrow = (fit_memory(model, replace(request, precision=precision)) for precision in ("bf16", "fp8"))

    assert narrow.weights_gib <= wide.weights_gib
    assert narrow.kv_cache_tokens >= wide.kv_cache_tokens


@pytest.mark.parametrize(
    ("engine", "version", "loading_gib"),
    [
        ("vLLM", "0.19.0", 23.21 + 1.04 + 0.26),
        ("vLLM", "0.11.0", 43.91 + 0.52 + 0.13),
        ("SGLang", "0.5.9", 43.91 + 0.52 + 0.4),
    ],
)
def test_weights_that_are_quantised_while_loading_take_more_than_they_serve_in(engine, version, loading_gib):
    """Mistral Small: 23.2 GiB and one of 40 layers in 16 bit, or 43.9 GiB and one layer in 8 bit; beside the driver."""
    model = find_model("mistralai/Mistral-Small-24B-Instruct-2501")
    request = replace(H100, precision="fp8", engine=engine, engine_version=version)
    made = fit_memory(model, replace(request, made_while_loading=True))
    stored = fit_memory(model, request)

    assert made.loading_gib == pytest.approx(loading_gib, abs=0.02)
    assert made.checkpoint_gib == pytest.approx(43.91, abs=0.01)
    assert stored.loading_gib == pytest.approx(23.21 + stored.runtime_gib, abs=0.01)
    assert stored.checkpoint_gib == pytest.approx(23.21, abs=0.01)
    assert made.weights_gib == stored.weights_gib


def test_a_cast_downloads_the_published_weights():
    """Weights of 32 bit come over the network in 32 bit, whatever they are served in."""
    model = find_model("Qwen/Qwen3-8B")
    wide = replace(model, checkpoint=replace(model.checkpoint, precision="fp32"))

    assert fit_memory(wide, H100).checkpoint_gib == pytest.approx(2 * fit_memory(model, H100).checkpoint_gib)


@given(st.sampled_from(NAMES), requests)
def test_loading_takes_no_less_than_serving(name: str, request: FitRequest):
    """Quantising while loading never takes less than stored weights, nor less on fewer accelerators."""
    model, request = find_model(name), replace(request, precision="fp8")
    stored, made = (fit_memory(model, replace(request, made_while_loading=made)).loading_gib for made in (False, True))
    alone = fit_memory(model, replace(request, made_while_loading=True, tensor_parallel=1)).loading_gib

    assert stored < made
    assert request.tensor_parallel == 1 or made - alone <= fit_memory(model, request).runtime_gib


@pytest.mark.parametrize(
    ("text", "version"),
    [("0.14.0rc2.dev160+g5ef69782b", (0, 14)), ("0.11.0 (doc example image)", (0, 11)), ("", (9999, 0))],
)
def test_versions(text: str, version: tuple[int, int]):
    """The first number of the form major.minor counts; none is the newest."""
    assert parse_version(text) == version


def test_older_versions_take_more_workspace():
    """The workspace of vLLM fell between 0.16 and 0.17, and graphs count inside the budget from 0.21."""
    model = find_model("meta-llama/Llama-3.1-8B")
    sizes = {
        version: fit_memory(model, replace(H100, engine_version=version)).workspace_gib
        for version in ("0.16.0", "0.17.0", "0.21.0")
    }

    assert sizes["0.16.0"] > 2 * sizes["0.17.0"]
    assert sizes["0.21.0"] > sizes["0.17.0"]


def test_expert_kernels_take_buffers_of_their_own():
    """DeepSeek-V2-Lite with vLLM 0.19: 1.93 GiB, of which its 6 experts a token take 0.45 GiB for 8,192 tokens."""
    fit = fit_memory(find_model("deepseek-ai/DeepSeek-V2-Lite-Chat"), H100)

    assert fit.workspace_gib == pytest.approx(1.93, abs=0.05)


def test_a_second_recurrent_state_costs_requests_and_no_memory():
    """Two states of a sequence are kept by vLLM from 0.25 on: fewer requests in the same cache; other models are as before."""
    old = replace(H100, tensor_parallel=2, accelerator_count=2, engine_version="0.21")
    new = replace(old, engine_version="0.25")
    hybrid, dense = find_model("Qwen/Qwen3.6-35B-A3B"), find_model("Qwen/Qwen3-8B")

    assert fit_memory(hybrid, new).max_concurrency < fit_memory(hybrid, old).max_concurrency
    assert fit_memory(hybrid, new).kv_cache_gib_available == fit_memory(hybrid, old).kv_cache_gib_available
    assert fit_memory(dense, new) == fit_memory(dense, old)


@given(st.sampled_from(CACHED), requests)
def test_the_range_holds_the_prediction(name: str, request: FitRequest):
    """The lower end of the range is never above the prediction, the upper end never below it."""
    model = find_model(name)
    fit, ends = fit_memory(model, request), memory_range(model, request)

    assert ends.kv_cache_tokens_low <= fit.kv_cache_tokens <= ends.kv_cache_tokens_high
    assert ends.max_concurrency_low <= fit.max_concurrency <= ends.max_concurrency_high


@pytest.mark.parametrize("version", ["0.20.0", "0.25.1", "1.0", ""])
def test_versions_without_logs_are_less_certain(version: str):
    """Where no log is known the range is wider, and the evidence says so."""
    model = find_model("meta-llama/Llama-3.1-8B")
    known, unknown = memory_range(model, H100), memory_range(model, replace(H100, engine_version=version))

    assert known.evidence.startswith("calibrated: ")
    assert unknown.evidence.startswith("assumed: no log of vLLM")
    assert unknown.kv_cache_tokens_high - unknown.kv_cache_tokens_low > 4 * (
        known.kv_cache_tokens_high - known.kv_cache_tokens_low
    )


def test_unknown_engine_has_a_cautious_average():
    """An engine that is not listed is treated as ``other``."""
    assert engine_memory("an engine of tomorrow", "1.0").engine == "other"


def test_an_estimated_cache_is_uncertain_both_ways():
    """A cache estimated within a factor of two holds half of the lower end at least, and twice the upper end at most."""
    model = find_model("meta-llama/Llama-3.1-8B")
    stated, estimated = (memory_range(each, H100) for each in (model, replace(model, estimate_factor=2.0)))

    for end, factor in (("low", 0.5), ("high", 2.0)):
        for quantity in ("kv_cache_tokens", "max_concurrency"):
            exact = getattr(stated, f"{quantity}_{end}") * factor
            assert getattr(estimated, f"{quantity}_{end}") == pytest.approx(exact, abs=1), (quantity, end)
    assert estimated.evidence == f"{stated.evidence}; cache estimated from tensor shapes"


def test_less_than_a_gibibyte_is_a_memory_too():
    """Nothing fits there, which is an answer and no mistake."""
    assert not fit_memory(find_model("meta-llama/Llama-3.1-8B"), replace(H100, accelerator_memory_gib=0.5)).fits
