"""What answers cost on their way to the users."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from advisor.demand.lengths import declared_demand
from advisor.demand.values import Pictures, Unit
from advisor.models.catalog import find_model
from advisor.models.model import ModelInput
from advisor.performance.transfer import (
    BYTES_PER_STREAMED_TOKEN,
    BYTES_PER_TERM,
    BYTES_PER_TOKEN_NUMBER,
    answer_gb,
    egress_gb,
    guesses_outputs,
    large_answer_note,
    request_gb,
    sent_gb,
)


def test_a_streamed_token_has_about_as_many_bytes_as_counted_here():
    """One event of a streamed chat completion, with its HTTP chunk around it, is within a tenth of the constant."""
    choice = {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    event = {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "choices": [choice],
    }
    text = f"data: {json.dumps(event, separators=(',', ':'))}\n\n"
    chunk = f"{len(text):x}\r\n{text}\r\n"

    assert len(chunk.encode()) == pytest.approx(BYTES_PER_STREAMED_TOKEN, rel=0.1)


def test_transfer_by_hand():
    """200 streamed tokens and 700 bytes around them are 50.7 kB: 4.563e-6 USD at 0.09 USD/GB."""
    assert egress_gb(200) == pytest.approx(50_700e-9)
    assert egress_gb(200) * 0.09 == pytest.approx(4.563e-6)


def test_a_prompt_by_hand():
    """1,000 tokens of four bytes and 700 bytes of headers and JSON."""
    assert request_gb(
        declared_demand(1, 1, 1000, 200), find_model("meta-llama/Llama-3.1-8B-Instruct")
    ) == pytest.approx(4700e-9)


@pytest.mark.parametrize(("tensor", "sent"), [((3, 224, 224), 602_112), ((3, 32, 32), 12_288), ((), 602_112)])
def test_an_image_is_sent_as_the_tensor_that_its_graph_takes(tensor, sent):
    """Its numbers in fp32 and 700 bytes around each request; 3 × 224 × 224 of a graph whose inputs are not known."""
    inputs = (ModelInput("pixel_values", "fp32", tensor),) if tensor else ()
    model = replace(find_model("google/vit-base-patch16-224"), inputs=inputs)
    demand = replace(declared_demand(1, 1, 1, 2), unit=Unit.IMAGES)
    assert request_gb(demand, model) == pytest.approx((700 + 2 * sent) * 1e-9)


def test_a_text_for_a_graph_is_sent_as_its_tensors():
    """Two tensors of int64, a number a token; the same text for a server of texts is four bytes a token."""
    inputs = tuple(ModelInput(name, "int64", (None,)) for name in ("input_ids", "attention_mask"))
    embedder, demand = find_model("BAAI/bge-m3"), replace(declared_demand(1, 1, 100, 1), unit=Unit.TEXTS)
    assert request_gb(demand, replace(embedder, inputs=inputs)) == pytest.approx((700 + 400) * 1e-9)
    assert request_gb(demand, replace(embedder, inputs=inputs, family="onnx")) == pytest.approx((700 + 1600) * 1e-9)


@pytest.mark.parametrize(
    ("unit", "shapes", "sent"),
    [
        (Unit.IMAGES, ((84, 8400),), 2_822_400),
        (Unit.IMAGES, ((1000,), (4,)), 4016),
        (Unit.TEXTS, ((None, 16),), 6400),
        (Unit.IMAGES, (), 300),
    ],
)
def test_a_graph_answers_with_the_tensors_that_it_puts_out(unit, shapes, sent):
    """Their numbers in fp32, and 700 bytes around those of two items; labels where they are not known."""
    outputs = tuple(ModelInput(f"output{at}", "fp32", shape) for at, shape in enumerate(shapes))
    model = replace(find_model("BAAI/bge-m3"), family="onnx", outputs=outputs)
    demand = replace(declared_demand(1, 1, 100, 2), unit=unit)
    assert answer_gb(demand, model) == pytest.approx((700 + 2 * sent) * 1e-9)
    assert guesses_outputs(demand, model) is not bool(shapes)


@pytest.mark.parametrize("name", ["google/vit-base-patch16-224", "resnet50"])
def test_a_classifier_answers_a_score_for_each_class(name):
    """1,000 scores of ImageNet in fp32 and 700 bytes around them, with no guess to tell."""
    model, demand = find_model(name), replace(declared_demand(1, 1, 1, 1), unit=Unit.IMAGES)
    assert answer_gb(demand, model) == pytest.approx((700 + 4000) * 1e-9)
    assert not guesses_outputs(demand, model)


def test_outputs_of_other_networks_of_images_are_a_guess():
    """Boxes of a detector follow its export: 300 bytes are counted, and plans say so."""
    model, demand = find_model("YOLO v4"), replace(declared_demand(1, 1, 1, 1), unit=Unit.IMAGES)
    assert answer_gb(demand, model) == pytest.approx((700 + 300) * 1e-9)
    assert guesses_outputs(demand, model)


@pytest.mark.parametrize(
    ("config", "classes"),
    [
        ({"architectures": ["ViTForImageClassification"], "id2label": {"0": "cat", "1": "dog", "2": "owl"}}, 3),
        ({"architectures": ["ViTForImageClassification"]}, 1000),
        ({"architectures": ["ViTModel"], "id2label": {"0": "a", "1": "b"}}, None),
        ({}, None),
    ],
)
def test_classes_are_those_of_the_configuration(config, classes, tmp_path):
    """As many as it labels, ImageNet's where it labels none; a network without a classifier puts out none."""
    body = {"model_type": "vit", "hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3}
    (tmp_path / "config.json").write_text(json.dumps(body | {"intermediate_size": 768} | config))
    outputs = find_model(str(tmp_path / "config.json")).outputs
    assert [output.shape for output in outputs] == ([(classes,)] if classes else [])


@pytest.mark.parametrize(
    ("name", "unit", "size", "sent", "answered"),
    [
        ("BAAI/bge-m3", Unit.TEXTS, 100, 100 * 4, 1024 * len("-0.12345678,")),  # a vector of 1,024 in JSON
        ("BAAI/bge-reranker-v2-m3", Unit.TEXTS, 100, 100 * 4, 60),  # an index and a score
        ("openai/whisper-large-v3", Unit.AUDIO, 30_000, 30 * 16_000 * 2, 30 * 2.5 * 6),  # 16 kHz, six letters a word
        ("black-forest-labs/FLUX.1-dev", Unit.PICTURES, 100, 0, 1024 * 1024 * 15_394_305 / 9_437_184 * 4 / 3),
        ("BAAI/bge-m3", Unit.ROWS, 25, 25 * 4, 4),  # 25 columns and a value in fp32
        ("YOLO v4", Unit.IMAGES, 1, None, 300),
    ],
)
def test_a_request_and_its_answer_of_three_items_by_hand(name, unit, size, sent, answered):
    """700 bytes around the items, whatever they are."""
    model, demand = find_model(name), replace(declared_demand(1, 1, size, 3), unit=unit)
    assert answer_gb(demand, model) == pytest.approx((700 + 3 * answered) * 1e-9, rel=1e-9)
    if sent is not None:
        assert request_gb(demand, model) == pytest.approx((700 + 3 * sent) * 1e-9, rel=1e-9)


def test_a_number_of_a_tokens_vector_has_about_as_many_bytes_as_counted_here():
    """One in 32 bit is printed with the digits of 64, as Python writes lists of them; a term is its index and weight."""
    vectors = np.random.default_rng(7).normal(size=(300, 128)).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    text = json.dumps(vectors.tolist(), separators=(",", ":"))
    assert len(text) / vectors.size == pytest.approx(BYTES_PER_TOKEN_NUMBER, rel=0.05)
    assert len('{"index":12345,"value":1.2345678},') == pytest.approx(BYTES_PER_TERM, rel=0.06)


@pytest.mark.parametrize(
    ("name", "answered", "told"),
    [
        ("colbert-ir/colbertv2.0", 180 * 128 * 21, "128 numbers for each token .* 484 kB of JSON for 180 tokens"),
        ("naver/splade-v3", 200 * 36, "200 terms, 7.2 kB"),
        ("BAAI/bge-m3", 1024 * 12, ""),
    ],
)
def test_answers_of_more_than_one_vector_are_told(name, answered, told):
    """In the note of the plan, with the bytes that its data transfer counts."""
    model, demand = find_model(name), replace(declared_demand(1, 1, 180, 1), unit=Unit.TEXTS)
    assert answer_gb(demand, model) == pytest.approx((700 + answered) * 1e-9)
    note = large_answer_note(demand, model)
    assert re.search(told, note) if told else note == ""


def test_vectors_of_tokens_are_as_wide_as_the_model_where_nothing_says_otherwise():
    """Which is the most, and the note says so."""
    model = replace(find_model("colbert-ir/colbertv2.0"), token_numbers=None)
    demand = replace(declared_demand(1, 1, 180, 1), unit=Unit.TEXTS)
    assert answer_gb(demand, model) == pytest.approx((700 + 180 * 768 * 21) * 1e-9)
    assert "768 (the most, as none is stated)" in large_answer_note(demand, model)


def test_a_picture_is_as_large_as_its_pixels():
    """As PNG in base64, 2.17 bytes a pixel; a picture that a language model is shown is sent as JPEG in base64."""
    flux, made = find_model("black-forest-labs/FLUX.1-dev"), replace(declared_demand(1, 1, 100, 2), unit=Unit.PICTURES)
    small, large = (replace(made, pictures=Pictures(2.0, side, side)) for side in (512, 1024))
    assert answer_gb(small, flux) == pytest.approx((700 + 2 * 512 * 512 * 2.175) * 1e-9, rel=1e-3)
    assert answer_gb(large, flux) > 3.9 * answer_gb(small, flux)
    seeing, prompt = find_model("Qwen/Qwen2.5-VL-7B-Instruct"), declared_demand(1, 1, 1000, 200)
    shown = replace(prompt, pictures=Pictures(2.0, 1000, 500))
    assert request_gb(shown, seeing) - request_gb(prompt, seeing) == pytest.approx(2 * 500_000 * 0.4e-9)
    assert answer_gb(shown, seeing) == answer_gb(prompt, seeing)


def test_answers_of_a_cache_leave_the_region_too():
    """A quarter is answered by it: four answers leave for three that the fleet gives."""
    model, demand = find_model("BAAI/bge-m3"), replace(declared_demand(1, 1, 100, 1), answered_ratio=0.25)
    assert sent_gb(demand, model) == pytest.approx(answer_gb(demand, model) * 4 / 3)
