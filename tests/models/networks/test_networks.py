"""Networks that give their answer in one pass, against what the libraries that define them count."""

import json
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.models import find_model
from advisor.models.config_fields import ConfigFields
from advisor.models.files.pipelines import DENOISERS as READERS
from advisor.models.files.pipelines import autoencoder, pipeline_model
from advisor.models.networks import NETWORKS as FAMILIES
from models.networks.published import DENOISERS, NETWORKS, PIPELINE, write_pipeline


@pytest.mark.parametrize("entry", NETWORKS, ids=[entry["name"] for entry in NETWORKS])
def test_networks_are_counted_to_the_parameter(entry):
    """Parameters are those that transformers counts, FLOPs those that torch counts in a forward pass."""
    work = FAMILIES[entry["config"]["model_type"]](ConfigFields(entry["config"], entry["name"])).work

    assert work.parameters == entry["parameters"]
    if entry["flop"]:
        assert work.flop == pytest.approx(entry["flop"], rel=1e-3)


def test_every_family_is_counted():
    """No family of networks is without an independent count, but for one that differs from a counted one in name only."""
    assert FAMILIES.keys() - {entry["config"]["model_type"] for entry in NETWORKS} == set()


@pytest.mark.parametrize("entry", DENOISERS, ids=[entry["name"] for entry in DENOISERS])
def test_parts_of_pipelines_are_counted_to_the_parameter(entry):
    """Parameters are those that diffusers counts, FLOPs those that torch counts in one step, or in decoding."""
    read = READERS.get(entry["config"]["_class_name"], autoencoder)
    work = read(ConfigFields(entry["config"], entry["name"]), entry["side"])

    assert work.parameters == entry["parameters"]
    if entry["flop"]:
        assert work.flop == pytest.approx(entry["flop"], rel=1e-3)


def test_whisper_is_the_catalogued_one(tmp_path):
    """The configuration of a catalogued network gives its family and FLOPs; those that are counted agree with them."""
    config = next(entry["config"] for entry in NETWORKS if entry["name"] == "whisper-l3")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    counted = FAMILIES["whisper"](ConfigFields(config, "")).work.flop
    read, catalogued = find_model(str(path)), find_model("openai/whisper-large-v3")

    assert (read.parameters_total, read.task, read.family) == (1_543_490_560, "asr", "whisper")
    assert read.flop_per_sample == catalogued.flop_per_sample == pytest.approx(counted, rel=0.05)


WHISPERS = {
    "openai/whisper-tiny": (384, 4, 4, 51_865),
    "openai/whisper-small": (768, 12, 12, 51_865),
    "openai/whisper-large-v3-turbo": (1280, 32, 4, 51_866),
    "distil-whisper/distil-large-v3": (1280, 32, 2, 51_866),
    "distil-whisper/distil-small.en": (768, 12, 4, 51_864),
}


@pytest.mark.parametrize("name", WHISPERS)
def test_sizes_of_whisper_in_the_catalog_are_those_of_their_configurations(name):
    """Totals to the parameter, FLOPs to the four digits of the table."""
    width, heard, written, vocab = WHISPERS[name]
    config = {
        "d_model": width, "encoder_layers": heard, "decoder_layers": written, "vocab_size": vocab,
        "encoder_ffn_dim": 4 * width, "decoder_ffn_dim": 4 * width, "num_mel_bins": 128 if vocab == 51_866 else 80,
    }  # fmt: skip
    work, catalogued = FAMILIES["whisper"](ConfigFields(config, "")).work, find_model(name)

    assert work.parameters == catalogued.parameters_total
    assert catalogued.flop_per_sample == pytest.approx(work.flop, rel=1e-3)


def test_a_pipeline_is_the_sum_of_its_networks(tmp_path):
    """SDXL has the 3.47 billion parameters of its two text encoders, its UNet and its autoencoder."""
    model = find_model(str(write_pipeline(tmp_path)))

    assert model.parameters_total == 123_060_480 + 694_659_840 + 2_567_463_684 + 83_653_863
    assert (model.task, model.family) == ("diffusion", "sdxl")


def test_work_of_a_pipeline_by_hand(tmp_path):
    """An image takes 50 steps with and without the prompt, the texts twice, and decoding once."""
    parts = {entry["name"]: entry for entry in DENOISERS + NETWORKS}
    text = 2 * 12 * 12 * 768**2 * 77 + 12 * 4 * 768 * 77**2
    model = pipeline_model(write_pipeline(tmp_path), "sdxl")

    assert model.sample == "one image of 1024 × 1024, 50 steps, guided"
    decoding = autoencoder(ConfigFields(parts["vae"]["config"], ""), 1024).flop
    assert model.flop_per_sample == pytest.approx(
        100 * parts["sdxl"]["flop"] + 2 * (text + parts["clipt"]["flop"]) + decoding, rel=1e-6
    )


def test_a_part_by_itself(tmp_path):
    """The folder of a denoiser is a model of one step."""
    folder = write_pipeline(tmp_path) / "unet"

    assert find_model(str(folder)).parameters_total == 2_567_463_684
    assert find_model(str(folder)).sample == "one step of one image of 1024 × 1024"


@pytest.mark.parametrize(
    ("part", "values", "expected"),
    [
        ("unet/config.json", None, "cannot read the configuration of UNet2DConditionModel"),
        ("unet/config.json", {}, "'block_out_channels' is missing"),
        ("text_encoder/config.json", {"model_type": "novel"}, "networks of class 'CLIPTextModel' are not known"),
        ("model_index.json", {"_class_name": "X", "size": 8}, "no part of the pipeline is a network"),
        (
            "model_index.json",
            {"_class_name": "X", "vae": PIPELINE["model_index.json"]["vae"]},
            "no part of the pipeline takes steps",
        ),
        ("model_index.json", {}, "'_class_name' is missing"),
    ],
)
def test_pipelines_that_lack_a_part_are_refused(part, values, expected, tmp_path):
    """The part is named, with the remedy."""
    folder = write_pipeline(tmp_path, **{part: values})

    with pytest.raises(InputError, match=expected) as raised:
        find_model(str(folder))
    assert raised.value.hint
    assert str(folder) in raised.value.where


def test_a_network_needs_its_sizes(tmp_path: Path):
    """A field that decides a size is asked for by its name."""
    (tmp_path / "config.json").write_text('{"model_type": "swin", "embed_dim": 96}', encoding="utf-8")

    with pytest.raises(InputError, match="'depths' is missing"):
        find_model(str(tmp_path))
