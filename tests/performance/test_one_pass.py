"""Models that answer in one pass: samples per second, what they rest on, and how they move with batch and hardware."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.candidates.engines import server_on
from advisor.catalog import load_catalog
from advisor.demand.values import TokenHistogram, Unit
from advisor.errors import InputError
from advisor.models import find_model
from advisor.models.config_fields import ConfigFields
from advisor.models.files.pipelines import autoencoder, unet
from advisor.performance import Scenario
from advisor.performance.one_pass import flop_of_items, flop_of_sample, labels_of
from advisor.performance.one_pass.servers import (
    NOVELTIES,
    PaddedBatch,
    batch_cost,
    item_seconds,
    padded_batch,
    read_effects,
    shipped_effects,
)
from advisor.performance.one_pass.serving import Batching, answer_one_pass
from advisor.performance.setups import SCENARIOS, Answers, Questions, Resolved, Setup, resolve
from models.networks.published import DENOISERS

VIT = "google/vit-base-patch16-224"
RESNET = Setup("resnet50-v1.5", "A100-80GB-SXM", 1, precision="int8", engine="TensorRT")
BERT = Setup("google-bert/bert-large-uncased", "A100-80GB-SXM", 1, precision="fp16", engine="TensorRT")
SETUPS = {
    "encoder": BERT,
    "embedding": Setup("BAAI/bge-base-en-v1.5", "L4", 1),
    "vision": RESNET,
    "speech": Setup("openai/whisper-large-v3", "L40S", 1, precision="fp16"),
    "recurrent": Setup("rnnt-librispeech", "A30", 1, precision="int8"),
    "diffusion": Setup("stabilityai/stable-diffusion-xl-base-1.0", "H100-SXM", 1, precision="fp8"),
    "encoder-decoder": Setup("t5-3b", "Trainium1", 1, precision="bf16"),
}


def found(setup):
    """The set-up in the shipped catalog; a test that calls this expects it to work."""
    resolved = resolve(setup, load_catalog())
    assert isinstance(resolved, Resolved), resolved
    return resolved


def ask(setup, scenario=Scenario.SATURATED, users=np.nan, tokens=np.nan):
    """Answers to one question about a resolved set-up."""
    questions = Questions(
        np.array([0]), np.array([SCENARIOS.index(scenario)]), np.array([users]), np.array([tokens]), np.array([np.nan])
    )
    answers = Answers.empty(1)
    answer_one_pass([setup], questions, np.array([0]), answers)
    return answers


def rate(*question, **named):
    """Samples per second of one question."""
    return float(ask(*question, **named).value["samples_per_second"][0])


def numbers(answers):
    """Low end, value and high end."""
    return tuple(float(part["samples_per_second"][0]) for part in (answers.low, answers.value, answers.high))


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
@pytest.mark.parametrize("scenario", list(Scenario))
def test_every_kind_of_model_answers_under_every_load(setup, scenario):
    """Samples per second inside an interval, with what they rest on."""
    answers = ask(found(setup), scenario, 8.0)
    low, value, high = numbers(answers)
    assert 0 < low <= value <= high
    assert answers.evidence[0] in ("measured", "calibrated", "roofline")
    assert answers.reason == [""]


@pytest.mark.parametrize(
    ("setup", "published"),
    [
        (RESNET, 37_000),
        (BERT, 1_800),
        (Setup("rnnt-librispeech", "A100-80GB-SXM", 8, precision="fp16", engine="TensorRT"), 105_000),
        (Setup("retinanet-resnext50-800", "H100-SXM", 8, precision="int8", engine="TensorRT"), 14_300),
        (Setup("stabilityai/stable-diffusion-xl-base-1.0", "H200", 8, precision="fp8", engine="TensorRT"), 18.0),
    ],
    ids=lambda value: getattr(value, "model", ""),
)
def test_what_was_measured_is_met(setup, published):
    """MLPerf Inference Offline, the middle of several submissions: within a quarter, and called measured."""
    answers = ask(found(setup))
    assert answers.evidence == ["measured"]
    assert numbers(answers)[1] == pytest.approx(published, rel=0.25)


def test_the_interval_widens_with_the_distance_from_what_was_measured():
    """The very set-up and model and accelerator apart lie nearer than an accelerator that nothing was measured on."""
    far = replace(RESNET, accelerator="MI300X", engine="")
    apart = replace(RESNET, model="resnet101")
    answers = [ask(found(setup)) for setup in (RESNET, apart, far)]
    assert [one.evidence[0] for one in answers] == ["measured", "calibrated", "roofline"]
    widths = [high / low for low, _, high in map(numbers, answers)]
    assert 1.5 * max(widths[:2]) < widths[2]


@given(batch=st.floats(1, 4096), more=st.floats(1.0, 16.0), name=st.sampled_from(sorted(SETUPS)))
def test_a_larger_batch_is_never_slower(batch, more, name):
    """Throughput does not fall with the batch, and an endless queue is the fastest."""
    setup = found(SETUPS[name])
    one, two = (rate(setup, Scenario.FIXED_BATCH, users) for users in (batch, batch * more))
    assert one <= two * (1 + 1e-9)
    assert rate(setup, Scenario.SINGLE_STREAM) > 0


@given(
    flops=st.floats(1.0, 8.0),
    bandwidth=st.floats(1.0, 8.0),
    scenario=st.sampled_from(list(Scenario)),
    name=st.sampled_from(sorted(SETUPS)),
)
def test_a_faster_part_is_never_slower(flops, bandwidth, scenario, name):
    """The same accelerator with more FLOP/s and more bandwidth gives no less."""
    setup = found(SETUPS[name])
    part = setup.deployment.accelerator
    peaks = ("fp16_tflops", "fp8_tflops", "int8_tops")
    raised = {peak: getattr(part, peak) * flops for peak in peaks if getattr(part, peak)}
    raised["memory_bandwidth_gb_per_second"] = part.memory_bandwidth_gb_per_second * bandwidth
    faster = replace(setup, deployment=replace(setup.deployment, accelerator=replace(part, **raised)))
    assert rate(faster, scenario, 8.0) >= rate(setup, scenario, 8.0) * (1 - 1e-9)


def test_nothing_is_faster_than_the_peak():
    """Samples per second × FLOPs stay within the peak whatever was learned."""
    for setup in map(found, SETUPS.values()):
        part = setup.deployment.accelerator
        peak = max(part.fp16_tflops or 0, part.fp8_tflops or 0, part.int8_tops or 0) * 1e12
        assert rate(setup) * setup.model.flop_per_sample <= peak


def test_users_of_a_closed_loop_are_a_batch():
    """Sixteen users that ask again at once are batches of sixteen, shared by the accelerators."""
    setup = found(replace(RESNET, accelerator_count=4))
    assert rate(setup, Scenario.FIXED_CONCURRENCY, 16.0) == rate(setup, Scenario.FIXED_BATCH, 16.0)
    one = found(RESNET)
    assert rate(setup, Scenario.FIXED_BATCH, 16.0) == pytest.approx(4 * rate(one, Scenario.FIXED_BATCH, 4.0))
    assert rate(setup, Scenario.SINGLE_STREAM) == rate(one, Scenario.SINGLE_STREAM)


def test_layers_that_share_their_weights_are_all_computed():
    """ALBERT has the parameters of one layer and the work of twelve."""
    albert, bert = (find_model(name) for name in ("albert-base-v2", "bert-base-cased"))
    tokens = np.array([128.0])
    assert flop_of_sample(albert, tokens) == pytest.approx(flop_of_sample(bert, tokens), rel=0.01)


@pytest.mark.parametrize(
    ("model", "denoiser", "size", "steps"),
    [
        ("Stable Diffusion 1.5", "sd15", 512, 50),
        ("Stable Diffusion 2.1 (768 x 768)", "sd21", 768, 50),
        ("stabilityai/stable-diffusion-xl-base-1.0", "sdxl", 1024, 20),
        ("Stable Diffusion XL Base", "sdxl", 1024, 50),
    ],
)
def test_catalogued_pictures_cost_what_their_networks_do(model, denoiser, size, steps):
    """FLOPs of a catalogued sample are those of its guided steps and the decoder, at the sample's own size."""
    configs = {entry["name"]: entry["config"] for entry in DENOISERS}
    configs["sd21"] = configs["sd15"] | {"cross_attention_dim": 1024, "use_linear_projection": True}
    step = unet(ConfigFields(configs[denoiser], denoiser), size // 8)
    decoder = autoencoder(ConfigFields(configs["vae"], "vae"), size)
    catalogued = find_model(model)
    asked = flop_of_items(catalogued, Unit.PICTURES, np.array([float(size * size * steps)]))
    assert asked[0] == pytest.approx(catalogued.flop_per_sample)
    assert asked[0] == pytest.approx(2 * steps * step.flop + decoder.flop, rel=0.01)


def test_eight_bits_do_not_speed_up_a_recurrent_network():
    """RNN-T and Whisper keep 16-bit arithmetic whatever their weights are stored in."""
    setup = replace(SETUPS["recurrent"], engine="TensorRT")
    assert rate(found(setup)) == pytest.approx(rate(found(replace(setup, precision="fp16"))))


@pytest.mark.parametrize(
    ("setup", "tokens", "reason"),
    [
        (Setup("OpenPose", "A100-80GB-SXM", 1), np.nan, "the FLOPs of one sample of OpenPose are not known"),
        (Setup("Qwen/Qwen3-Embedding-8B", "H100-SXM", 1), np.nan, "input_tokens is needed"),
        (BERT, 600.0, "longer than the 512 tokens"),
    ],
)
def test_what_cannot_be_answered_says_why(setup, tokens, reason):
    """No work known, no length given, or more than the model takes: no number, and the reason."""
    answers = ask(found(setup), tokens=tokens)
    assert np.isnan(answers.value["samples_per_second"][0])
    assert answers.evidence == ["none"]
    assert reason in answers.reason[0]


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_a_batch_takes_one_time_whatever_the_load(setup):
    """Lone samples and batches are predicted by the cost that plans take of a full queue."""
    resolved = found(setup)
    costs = [batch_cost(resolved, scenario) for scenario in Scenario]
    assert len({(cost.fixed_s, cost.seconds_per_flop, cost.request_s) for cost in costs}) == 1


def test_an_unknown_label_adds_nothing():
    """A model, accelerator, generation and engine that were never measured: the physics of the kind alone."""
    labels = labels_of(found(RESNET), Scenario.SATURATED)
    strange = replace(labels, model="x", accelerator="x", generation="x", engine="", width="")
    effects = shipped_effects()
    assert effects.factors(strange)[0] == pytest.approx(np.exp(effects.arithmetic["kind=vision"]))
    assert effects.novelty(strange) == NOVELTIES[-1]


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_a_broken_calibration_is_named(tmp_path, text):
    """The error says which file cannot be read."""
    path = tmp_path / "one_pass.json"
    path.write_text(text)
    with pytest.raises(InputError, match="cannot read the calibration") as error:
        read_effects(path)
    assert error.value.where == str(path)


@pytest.mark.parametrize(
    ("model", "accelerator", "engine", "precision"),
    [
        (VIT, "T4", "Triton (TensorRT)", "fp16"),
        (VIT, "MI300X", "", "bf16"),
        ("BAAI/bge-m3", "L4", "Text Embeddings Inference", "fp16"),
    ],
)
def test_a_setup_without_an_engine_has_the_server_that_would_serve(model, accelerator, engine, precision):
    """The first of the catalog for model and accelerator, in what it casts the weights to; none where it knows none."""
    setup = resolve(Setup(model, accelerator, 1, precision="bf16"), load_catalog())
    if engine:
        assert setup.deployment.engine == engine
    assert "Triton" not in setup.deployment.engine or engine
    assert setup.deployment.compute_precision == precision


@pytest.mark.parametrize(("engine", "request_ms"), [("Triton (TensorRT)", 0.08), ("TensorRT", 0.0)])
def test_triton_takes_time_for_each_request_on_every_backend(engine, request_ms):
    """What its backend for trees was measured to need, on two cores of the host; nothing is known of other servers."""
    setup = resolve(Setup(VIT, "T4", 1, precision="fp16", engine=engine), load_catalog())
    assert batch_cost(setup, Scenario.SATURATED).request_s * 1000 == pytest.approx(request_ms)


@pytest.mark.parametrize("users", [1.0, 16.0])
def test_a_prediction_takes_the_time_of_requests_as_a_plan_does(users):
    """A batch of images that are a request each, by the closed form of a plan's server."""
    setup = found(Setup(VIT, "L4", 1, precision="fp16", engine="Triton (TensorRT)"))
    cost = batch_cost(setup, Scenario.FIXED_BATCH)
    flop = flop_of_sample(setup.model, np.array([np.nan]))
    item_s = item_seconds(flop, cost.seconds_per_flop, cost.request_s)
    columns = (np.array([number]) for number in (cost.fixed_s, 1.0, users, 0.0))
    fixed_s, items, largest, wait_s = columns
    server = Batching(fixed_s, item_s[:, None], items, np.array([1.0]), largest, wait_s, np.zeros_like(fixed_s))
    predicted = ask(setup, Scenario.FIXED_BATCH, users).value["samples_per_second"][0]
    assert predicted == pytest.approx(server.most_per_second[0])
    assert cost.request_s == pytest.approx(8e-5)


@pytest.mark.parametrize(
    ("name", "layers", "width", "mels", "words"),
    [("openai/whisper-large-v3", 32, 1280, 128, 51_866), ("openai/whisper-small", 12, 768, 80, 51_865)],
)
def test_a_token_of_a_transcript_takes_its_share_of_the_encoding_and_a_decoder_step(name, layers, width, mels, words):
    """Half a minute is 1,500 frames after two convolutions of three; its transcript is taken as 110 tokens."""
    frames, square = 1500, width**2
    convolutions = 2 * 3 * (mels * width * 2 * frames + square * frames)
    encoding = layers * (2 * 12 * square * frames + 4 * width * frames**2) + convolutions
    keys = layers * 2 * 2 * square * frames
    step = 2 * (layers * 14 * square + words * width)
    assert find_model(name).flop_per_sample == pytest.approx((encoding + keys) / 110 + step, rel=0.03)


@pytest.mark.parametrize(
    ("name", "accelerator", "precision", "padding"),
    [
        ("BAAI/bge-m3", "L4", "bf16", ""),
        ("BAAI/bge-m3", "T4", "fp16", ""),
        ("BAAI/bge-m3", "L4", "fp32", "longest"),
        ("sentence-transformers/all-mpnet-base-v2", "L4", "fp16", "longest"),
        ("nomic-ai/nomic-embed-text-v1.5", "L4", "fp16", ""),
        ("nomic-ai/nomic-embed-text-v1.5", "T4", "fp16", "longest"),
    ],
)
def test_text_embeddings_inference_pads_where_flash_attention_does_not_run(name, accelerator, precision, padding):
    """FlashAttention computes in fp16, of MPNet never, of Nomic's models from compute capability 8.0 on."""
    catalog = load_catalog()
    server = server_on((catalog.accelerators[accelerator], None), find_model(name), precision, catalog)
    assert server.engine == "Text Embeddings Inference"
    assert server.padding == padding


def test_a_padded_batch_is_as_large_as_its_padding_leaves():
    """Half of the texts 100 ms and half 10 ms: in pairs three quarters take 100 ms; 5 ms a batch do not pay for that."""
    tokens = TokenHistogram(np.array([100.0, 1000.0]), np.ones(2), np.array([0.5, 0.5]))
    item_s = np.array([0.010, 0.100])
    assert padded_batch(tokens, item_s, 0.005, 8.0, 16_384.0) == PaddedBatch(1, 1.0)
    pair = padded_batch(tokens, item_s, 0.200, 2.0, 16_384.0)
    assert pair.items == 2
    assert pair.padding == pytest.approx(0.0775 / 0.055)
    assert padded_batch(tokens, item_s, 0.200, 2.0, 1_000.0).items == 1
