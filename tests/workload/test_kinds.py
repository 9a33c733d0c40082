"""Demand in the unit of the model, and every way to state it in another one."""

from dataclasses import replace
from pathlib import Path

import pytest

from advisor.demand.values import Pictures, Unit
from advisor.errors import InputError
from advisor.models import find_model
from advisor.workload.closed_loop import demand_as_declared
from advisor.workload.document import read_workload
from advisor.workload.kinds import CountedSize, check_targets, counted_size, declared_size, is_reranker
from advisor.workload.measured_demand import OnePassSize, Recorded, SampleDemand

EMBEDDER, RERANKER = "BAAI/bge-m3", "BAAI/bge-reranker-v2-m3"
SEEING = "Qwen/Qwen2.5-VL-7B-Instruct"
SPEECH, VISION, CHAT = "openai/whisper-large-v3", "resnet50", "meta-llama/Llama-3.1-8B-Instruct"
DIFFUSION = "stabilityai/stable-diffusion-xl-base-1.0"
MADE = Path(__file__).parents[1] / "models" / "files" / "made"
TREES = str(MADE / "xgboost.ubj")


def read(tmp_path, model, declared, slo="{}"):
    """A workload of a model with such a demand."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        f"name: a\nmodel: {model}\nslo: {slo}\ndemand:\n  declared: {{requests_per_second: 5, {declared}}}\n"
    )
    return read_workload(path)


@pytest.mark.parametrize(
    ("model", "declared", "expected"),
    [
        (CHAT, "input_tokens: 800, output_tokens: 200", (Unit.TOKENS, (800, 200))),
        (EMBEDDER, "input_tokens: 512", (Unit.TEXTS, (512, 1))),
        (RERANKER, "documents: 23, tokens_per_document: 512", (Unit.TEXTS, (512, 23))),
        (RERANKER, "documents: 23, tokens_per_document: 512, query_tokens: 16", (Unit.TEXTS, (528, 23))),
        ("cross-encoder/ms-marco-MiniLM-L-6-v2", "documents: 9, tokens_per_document: 64", (Unit.TEXTS, (64, 9))),
        (SPEECH, "audio_seconds: 7.5", (Unit.AUDIO, (7500, 1))),
        (VISION, "", (Unit.IMAGES, (1, 1))),
        (VISION, "images: {count: 4, width: 640, height: 480}", (Unit.IMAGES, (1, 4))),
        (DIFFUSION, "steps: 20, images: {width: 1024, height: 512}", (Unit.PICTURES, (20 * 1024 * 512, 1))),
        (TREES, "", (Unit.ROWS, (6, 1))),
        (str(MADE / "lightgbm.txt"), "rows: 40", (Unit.ROWS, (6, 40))),
    ],
)
def test_size_in_the_unit_of_the_model(tmp_path, model, declared, expected):
    """Tokens, documents, seconds, images and pixels × steps become the size of an item and a number of items."""
    workload = read(tmp_path, model, declared)
    assert declared_size(workload.demand, find_model(model), workload) == expected


@pytest.mark.parametrize(
    ("model", "declared", "message", "hint"),
    [
        (RERANKER, "input_tokens: 512", "how many of them a request brings is not stated", "documents: 23"),
        (RERANKER, "documents: 23", "missing: tokens_per_document", "tokens of one document"),
        (
            RERANKER,
            "documents: 2, tokens_per_document: 9, input_tokens: 9",
            "two sizes of one thing",
            "keep the latter",
        ),
        (EMBEDDER, "input_tokens: 9, output_tokens: 1", "its answer comes whole", "take output_tokens out"),
        (EMBEDDER, "documents: 3", "documents is not a size of a request", "sized by input_tokens"),
        (EMBEDDER, "", "missing: input_tokens", "input_tokens: 512"),
        (SPEECH, "", "how long the recordings are is not stated", "audio_seconds: 30"),
        (SPEECH, "input_tokens: 5", "input_tokens is not a size", "sized by audio_seconds"),
        (VISION, "steps: 5", "steps is not a size", "sized by images"),
        (DIFFUSION, "steps: 20", "images: {width, height} is missing", "steps: 20 and images"),
        (DIFFUSION, "images: {width: 9, height: 9}", "steps is missing", "state both"),
        (DIFFUSION, "steps: 9999, images: {width: 9999, height: 9999}", "too many", "split it"),
        (VISION, "rows: 5", "rows is not a size", "sized by images"),
        (TREES, "input_tokens: 5", "input_tokens is not a size", "sized by rows"),
        (str(MADE / "forest.skops"), "rows: 5", "no plan is made for", "treelite.sklearn.import_model"),
        (str(MADE / "forest.onnx"), "rows: 5", "no plan is made for", "options={'zipmap': False}"),
        (CHAT, "documents: 3, input_tokens: 5", "answers token by token", "take documents out"),
        (CHAT, "input_tokens: 5", "missing: output_tokens", "add output_tokens"),
        ("t5-3b", "input_tokens: 5", "no plan is made for", "models of these kinds are planned"),
    ],
)
def test_a_size_of_another_kind_is_named_with_its_remedy(tmp_path, model, declared, message, hint):
    """What is missing or foreign is said in the words of the file, with what to write."""
    workload = read(tmp_path, model, declared)
    with pytest.raises(InputError) as refused:
        declared_size(workload.demand, find_model(model), workload)
    assert message in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("model", "unit", "slo", "message"),
    [
        (EMBEDDER, Unit.TEXTS, "{ttft_p95: 1s}", "does not answer token by token"),
        (CHAT, Unit.TOKENS, "{latency_p95: 1s}", "says nothing of it"),
        (TREES, Unit.ROWS, "{ttft_p95: 1s}", "does not answer token by token"),
        (EMBEDDER, Unit.TEXTS, "{real_time_factor: 0.1}", "a real_time_factor is of speech"),
    ],
)
def test_a_target_of_another_kind_is_refused(tmp_path, model, unit, slo, message):
    """TTFT of whole answers, a latency of token models and a real-time factor of texts mean nothing."""
    workload = read(tmp_path, model, "input_tokens: 5", slo)
    with pytest.raises(InputError, match=message):
        check_targets(workload, find_model(model), unit)


@pytest.mark.parametrize(
    ("slo", "expected"),
    [
        ("{latency_p50: 100ms}", (100, 0.5, 0.5)),
        ("{latency_p95: 100ms}", (100, 0.95, 0.99)),
        ("{latency_p99: 100ms, within_ratio: 0.9}", (100, 0.99, 0.9)),
    ],
)
def test_a_percentile_of_the_latency_is_kept_with_its_share(tmp_path, slo, expected):
    """A median is asked of half of the requests, higher percentiles of 99 % as all other targets."""
    stated = read(tmp_path, EMBEDDER, "input_tokens: 5", slo).slo
    assert (stated.latency_ms, stated.latency_percentile, stated.within_ratio) == expected


@pytest.mark.parametrize("slo", ["{samples_per_second: 5}", "{latency_p50: 1s, latency_p95: 2s}"])
def test_targets_that_no_replay_confirms_are_refused(tmp_path, slo):
    """A rate is the demand, and one replay has one percentile."""
    with pytest.raises(InputError):
        read(tmp_path, EMBEDDER, "input_tokens: 5", slo)


def _recorded(**stated):
    """Demand that samples count, with the sizes that the workload states."""
    tokens = {key: stated.pop(key) for key in ("input_tokens", "output_tokens") if key in stated}
    return SampleDemand(("samples",), recorded=Recorded(size=OnePassSize(**stated)), **tokens)


@pytest.mark.parametrize(
    ("model", "stated", "counted"),
    [
        (VISION, {}, (1, 1)),
        (VISION, {"images": 3}, (1, 3)),
        (TREES, {}, (6, 1)),
        (TREES, {"rows": 40}, (6, 40)),
        (EMBEDDER, {}, (None, None)),
        (EMBEDDER, {"input_tokens": 300}, (300, 1)),
        (RERANKER, {}, (None, None)),
        (RERANKER, {"documents": 23}, (None, 23)),
        (RERANKER, {"documents": 23, "tokens_per_document": 500, "query_tokens": 12}, (512, 23)),
        (SPEECH, {"audio_seconds": 30}, (30_000, 1)),
        (DIFFUSION, {"steps": 20, "images": 2, "width": 512, "height": 768}, (20 * 512 * 768, 2)),
        (CHAT, {"input_tokens": 5, "output_tokens": 7}, (5, 7)),
        (CHAT, {}, (None, None)),
    ],
)
def test_requests_that_metrics_count_have_the_size_that_is_stated(tmp_path, model, stated, counted):
    """Images and columns are the model's; texts and tokens are counted where nothing is stated."""
    workload = read(tmp_path, EMBEDDER, "input_tokens: 5")
    assert counted_size(find_model(model), _recorded(**stated), workload) == CountedSize(*counted)


@pytest.mark.parametrize(
    ("model", "stated", "message"),
    [
        (CHAT, {"rows": 40}, "rows is of models that answer in one pass"),
        (TREES, {"audio_seconds": 3}, "audio_seconds is not a size of a request"),
        (EMBEDDER, {"output_tokens": 9}, "generates no tokens"),
        (SPEECH, {}, "how long the recordings are is not stated"),
        (DIFFUSION, {"steps": 20}, "the work of a picture is not stated"),
        (RERANKER, {"tokens_per_document": 500}, "how many of them a request brings is not stated"),
    ],
)
def test_sizes_that_metrics_lack_are_asked_for_under_their_source(tmp_path, model, stated, message):
    """What neither the workload nor the server says is told, with the key that it goes under."""
    recorded = _recorded(**stated)
    workload = replace(read(tmp_path, EMBEDDER, "input_tokens: 5"), demand=recorded)
    with pytest.raises(InputError, match=message) as refused:
        counted_size(find_model(model), recorded, workload)
    assert "demand.samples" in refused.value.where


@pytest.mark.parametrize(
    ("model", "images", "message", "told"),
    [
        (SEEING, "{count: 2}", "the size of the images is not stated", "{count: 1, width: 1024, height: 768}"),
        (SEEING, "{width: 640}", "the size of the images is not stated", "{count: 1, width: 1024, height: 768}"),
        (
            "meta-llama/Llama-4-Scout-17B-16E-Instruct",
            "{width: 640, height: 480}",
            "how many tokens an image becomes is not known",
            "those of the images among them",
        ),
        (CHAT, "{count: 2}", "Llama-3.1-8B-Instruct sees no images", "name a model that reads them"),
    ],
)
def test_images_that_are_not_counted_are_refused(tmp_path, model, images, message, told):
    """Without their size, of a model whose rule is not known, and of one that does not see; the hint says what to do."""
    workload = read(tmp_path, model, f"input_tokens: 800, output_tokens: 9, images: {images}")
    with pytest.raises(InputError, match=message) as refused:
        declared_size(workload.demand, find_model(model), workload)
    assert told in refused.value.hint


def test_images_of_a_model_that_sees_are_tokens_beside_its_prompt(tmp_path):
    """Two of 1,280 × 720 are 2 × 1,198 tokens, and kept with their size; a prompt of any length has them."""
    images = "images: {count: 2, width: 1280, height: 720}"
    workload = read(tmp_path, SEEING, f"input_tokens: 100, output_tokens: 9, {images}")
    assert declared_size(workload.demand, find_model(SEEING), workload) == (Unit.TOKENS, (2496, 9))
    demand = demand_as_declared(workload.demand, workload, find_model(SEEING))
    assert demand.pictures == Pictures(2.0, 1280, 720)
    workload = read(tmp_path, SEEING, f"input_tokens: {{p50: 100, p95: 400}}, output_tokens: 9, {images}")
    spread = demand_as_declared(workload.demand, workload, find_model(SEEING))
    assert spread.tokens.input_tokens.min() > 2396


def test_a_reranker_is_told_by_its_name():
    """Rerankers have the architecture of embedders."""
    assert is_reranker(find_model(RERANKER))
    assert not is_reranker(find_model(EMBEDDER))
