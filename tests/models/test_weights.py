"""Bytes of weights by precision, and spread over accelerators."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.models import BITS_PER_WEIGHT, find_model, model_names, parse_precision, weight_bytes
from advisor.models.model import Scope
from advisor.models.weights import Split, loading_bytes, rank_weight_bytes, replica_weight_bytes, scope_of

MODELS = (
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen3-30B-A3B",
    "deepseek-ai/DeepSeek-V2-Lite",
    "openai/gpt-oss-20b",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "google/gemma-3-12b-it",
)
BY_SIZE = ("fp32", "bf16", "fp8", "nvfp4", "mxfp4", "int4")


def test_sixteen_bit_is_two_bytes_a_parameter():
    """In bf16 and fp16 every parameter takes two bytes."""
    model = find_model("meta-llama/Llama-3.1-8B")

    assert weight_bytes(model, "bf16") == weight_bytes(model, "fp16") == 2 * 8_030_261_248


def test_embeddings_head_and_norms_stay_in_sixteen_bit():
    """In fp8 the matrices of the layers take one byte, all else two."""
    model = find_model("meta-llama/Llama-3.1-8B")
    outside = 2 * 128_256 * 4096 + 65 * 4096

    assert weight_bytes(model, "fp8") == (8_030_261_248 - outside) + 2 * outside


def test_mxfp4_shrinks_the_experts_only():
    """gpt-oss in mxfp4 has 4.25 bits for each expert weight and 16 for all else, biases included."""
    model = find_model("openai/gpt-oss-20b")
    experts = 24 * 32 * 3 * 2880 * 2880

    assert weight_bytes(model, "mxfp4") == experts * 4.25 / 8 + 2 * (model.parameters_total - experts)


@pytest.mark.parametrize(
    ("name", "precision", "gigabytes"),
    [("deepseek-ai/DeepSeek-R1", "fp8", 672.8), ("moonshotai/Kimi-K2-Thinking", "int4", 549.5)],
)
def test_natively_quantised_checkpoints(name: str, precision: str, gigabytes: float):
    """DeepSeek-R1 is stored in fp8 as a whole, Kimi-K2-Thinking in int4 as to its experts."""
    assert find_model(name).checkpoint.precision == precision
    assert weight_bytes(find_model(name), precision) / 1e9 == pytest.approx(gigabytes, rel=0.01)


@pytest.mark.parametrize("name", MODELS)
def test_fewer_bits_never_take_more_bytes(name: str):
    """A smaller precision never takes more bytes, where it applies to the same matrices."""
    model = find_model(name)
    sizes = [weight_bytes(model, precision) for precision in BY_SIZE if precision != "mxfp4"]

    assert sizes == sorted(sizes, reverse=True)
    assert all(weight_bytes(model, precision) <= weight_bytes(model, "bf16") for precision in BY_SIZE[1:])


@given(st.sampled_from(MODELS), st.sampled_from(sorted(BITS_PER_WEIGHT)), st.sampled_from([1, 2, 4]))
def test_tensor_parallelism_divides_the_weights(name: str, precision: str, ranks: int):
    """Twice the ranks hold less each, but never less than half; together never less than one alone."""
    model = find_model(name)
    one, two = (rank_weight_bytes(model, precision, Split(count)) for count in (ranks, 2 * ranks))

    assert one / 2 <= two * (1 + 1e-9)
    assert two < one
    assert replica_weight_bytes(model, precision, Split(2 * ranks)) >= weight_bytes(model, precision)


def test_keys_and_values_are_repeated_when_there_are_more_ranks_than_heads():
    """With 8 key-value heads on 16 ranks, each head is held twice."""
    model = find_model("meta-llama/Llama-3.1-70B")
    repeated = replica_weight_bytes(model, "bf16", Split(16)) - replica_weight_bytes(model, "bf16", Split(8))

    assert repeated == pytest.approx(2 * (80 * 2 * 8192 * 1024 + 8 * (161 * 8192 + 131_072 * 128)))


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("fp8(compressed-tensors)", "fp8"),
        ("int4 AWQ", "int4"),
        ("bf16/fp16", "bf16"),
        ("int8 w8a8", "int8"),
        ("FP8", "fp8"),
        ("fp8_e4m3", "fp8"),
        ("NVFP4", "nvfp4"),
        ("mxfp4", "mxfp4"),
        ("float16", "fp16"),
    ],
)
def test_names_of_precisions(text: str, precision: str):
    """Precisions are understood as logs and tables write them."""
    assert parse_precision(text) == precision


def test_unknown_precision():
    """A precision that nobody knows is refused with those that are known."""
    with pytest.raises(InputError, match="'banana'"):
        parse_precision("banana")


def test_one_rank_holds_every_catalogued_model_and_two_hold_small_parts_twice():
    """All parameters and the table of rotations on one; on two, half of it and half of what each holds whole."""
    models = [model for model in map(find_model, model_names()) if not model.checkpoint.file_bytes]
    assert len(models) > 400
    for model in models:
        alone = rank_weight_bytes(model, "bf16", Split())
        whole = 2 * (model.parameters_total + model.rotary.elements)
        assert alone == pytest.approx(whole, rel=1e-12, abs=0.5), model.name
        if any(layer.mixer and layer.mixer.kv_heads == 1 and layer.mixer.kv_parameters for layer, _ in model.layers):
            continue  # the only head of keys and values stands on both too
        whole = model.surroundings.positions + model.surroundings.norms + model.rotary.elements
        for layer, count in model.layers:
            replicated = layer.mixer.replicated_parameters if layer.mixer else 0
            router = layer.feed_forward.router_parameters if layer.feed_forward else 0
            whole += count * (layer.norm_parameters + replicated + router)
        assert rank_weight_bytes(model, "bf16", Split(2)) == pytest.approx((alone + 2 * whole) / 2), model.name


def test_a_stage_holds_its_layers_and_the_head():
    """Half of the layers of Llama-3.1-8B, the output head, and the norm and rotations that stand on every stage."""
    model = find_model("meta-llama/Llama-3.1-8B")
    layers = sum(count * layer.parameters for layer, count in model.layers)
    outside = 128_256 * 4096 + 4096 + model.rotary.elements

    assert rank_weight_bytes(model, "bf16", Split(pipeline_parallel=2)) == 2 * (layers / 2 + outside)
    assert rank_weight_bytes(model, "bf16", Split(pipeline_parallel=3)) == pytest.approx(
        2 * (layers * 11 / 32 + outside)
    )


@pytest.mark.parametrize("by_layer", [True, False])
def test_weights_pass_through_16_bit_while_they_are_quantised(*, by_layer: bool):
    """One layer of Llama-3.1-8B in 16 bit beside all in fp8, or one in fp8 beside all in 16 bit."""
    model = find_model("meta-llama/Llama-3.1-8B")
    ((layer, _),) = model.layers
    matrices = layer.mixer.matrix_parameters + layer.feed_forward.matrix_parameters
    norms = 2 * layer.norm_parameters
    kept, passing = ("fp8", 2 * matrices + norms) if by_layer else ("bf16", matrices + norms)

    loaded = loading_bytes(model, "fp8", Split(), by_layer=by_layer)

    assert loaded - rank_weight_bytes(model, kept, Split()) == passing


@pytest.mark.parametrize(
    ("name", "precision", "scope"),
    [
        ("moonshotai/Kimi-K2-Thinking", "int4", Scope.EXPERTS),  # as the checkpoint is
        ("moonshotai/Kimi-K2-Thinking", "fp8", Scope.ALL),
        ("moonshotai/Kimi-K2-Thinking", "mxfp4", Scope.EXPERTS),
        ("deepseek-ai/DeepSeek-R1", "nvfp4", Scope.NOT_ATTENTION),
        ("Qwen/Qwen3-30B-A3B", "nvfp4", Scope.ALL),
        ("Qwen/Qwen3-30B-A3B", "mxfp4", Scope.EXPERTS),
        ("meta-llama/Llama-3.1-8B", "mxfp4", Scope.ALL),
        ("meta-llama/Llama-3.1-8B", "int4", Scope.ALL),
    ],
)
def test_a_precision_is_applied_to_what_its_format_or_the_checkpoint_says(name: str, precision: str, scope: Scope):
    """Experts alone in mxfp4, no latent attention in nvfp4, and in its own precision what the checkpoint says."""
    assert scope_of(find_model(name), precision) is scope


def test_a_layer_without_a_feed_forward_network_has_the_matrices_of_its_mixer():
    """Falcon-mamba: in 64 layers the projections in and out, of step and state, and of the step; all else has 16 bit."""
    model = find_model("tiiuae/falcon-mamba-7b")
    matrices = 64 * (4096 * 2 * 8192 + 8192 * 4096 + 8192 * (256 + 2 * 16) + 256 * 8192)

    assert weight_bytes(model, "fp8") == matrices + 2 * (model.parameters_total - matrices)
    assert weight_bytes(model, "mxfp4") == matrices * 4.25 / 8 + 2 * (model.parameters_total - matrices)
