"""Notes of requirements on what a plan takes a model to do."""

from dataclasses import replace

from advisor.catalog import load_catalog
from advisor.demand.lengths import declared_demand
from advisor.demand.values import Pictures
from advisor.models import find_model
from advisor.models.model import TextAnswer
from advisor.requirements import require
from builders import workload


def notes(model):
    """Notes on a chat model."""
    return require(workload(model=model.name), model, declared_demand(5, 8, 800, 200), load_catalog()).notes


def test_the_work_of_a_vision_tower_is_said_not_to_be_counted():
    """With its size, where it is known; of a model that sees nothing there is no such note."""
    (note,) = (note for note in notes(find_model("Qwen/Qwen2.5-VL-7B-Instruct")) if "vision tower" in note)
    assert "of 677 million parameters takes memory and no time here" in note
    assert "state images: {count, width, height}" in note
    assert not any("vision tower" in note for note in notes(find_model("Qwen/Qwen2.5-7B-Instruct")))


def test_images_that_are_counted_are_said():
    """With their size, tokens and FLOPs."""
    model = find_model("Qwen/Qwen2.5-VL-7B-Instruct")
    demand = replace(declared_demand(5, 8, 800, 200), pictures=Pictures(2.0, 1280, 720))
    told = require(workload(model=model.name), model, demand, load_catalog()).notes
    (note,) = (note for note in told if "images of" in note)
    assert "2 images of 1,280 × 720: 1,198 tokens each" in note
    assert "6.66 TFLOP" in note
    assert not any("takes memory and no time" in note for note in told)


def test_a_masked_language_model_is_said_to_be_taken_for_an_embedder():
    """Of any kind of model whose file names nothing else."""
    model = replace(find_model("Qwen/Qwen2.5-7B-Instruct"), answer=TextAnswer.WORDS)
    (note,) = (note for note in notes(model) if "masked language model" in note)
    assert "one vector of 3,584 numbers a text" in note
