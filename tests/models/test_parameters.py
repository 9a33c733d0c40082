"""Parameter counts against what publishers state, and against sums done by hand."""

import pytest

from advisor.models import find_model
from advisor.models.config import model_from_config
from models.architectures import PUBLISHED, Published, model_of


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
def test_published_counts(published: Published):
    """A configuration of each architecture gives the count of the published weights within one in ten thousand."""
    model = model_from_config(published.config, name=published.name, where=published.name)

    assert model.parameters_total == pytest.approx(published.parameters, rel=1e-4)
    assert sum(model.components.values()) == model.parameters_total


def test_llama_by_hand():
    """Every component of a small llama is what its sizes multiply to."""
    components = model_of().components

    assert components["embeddings"] == components["lm_head"] == 1000 * 64
    assert components["attention"] == 4 * (64 * 64 + 2 * 64 * 32 + 64 * 64)
    assert components["feed_forward"] == 4 * 3 * 64 * 128
    assert components["norms"] == (4 * 2 + 1) * 64


def test_tied_embeddings_have_no_head():
    """A tied output head adds nothing."""
    assert model_of(tie_word_embeddings=True).components["lm_head"] == 0


def test_attention_bias_is_on_all_four_projections_of_a_llama():
    """The bias of a llama's attention is on query, key, value and output."""
    added = model_of(attention_bias=True).parameters_total - model_of().parameters_total

    assert added == 4 * (64 + 32 + 32 + 64)


def test_experts_total_and_active():
    """All experts count in the total, the chosen ones in the active parameters."""
    model = model_of(model_type="mixtral", num_local_experts=8, num_experts_per_tok=2)
    one_expert = 3 * 64 * 128

    assert model.components["experts"] == 4 * 8 * one_expert
    assert model.components["router"] == 4 * 8 * 64
    assert model.parameters_total - model.parameters_active == 4 * 6 * one_expert


def test_dense_layers_come_before_the_experts():
    """``first_k_dense_replace`` layers have a dense network instead of experts."""
    sizes = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "first_k_dense_replace": 1}
    components = model_of(model_type="deepseek", **sizes).components

    assert components["experts"] == 3 * 8 * 3 * 64 * 32
    assert components["feed_forward"] == 3 * 64 * 128


def test_latent_attention_by_hand():
    """Latent attention counts its down projections, up projections and the norms between them."""
    latent = {"kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "q_lora_rank": 24}
    attention = model_of(model_type="deepseek_v2", **latent).components["attention"]
    queries = 64 * 24 + 24 + 24 * 8 * (8 + 4)
    keys_values = 64 * (16 + 4) + 16 + 16 * 8 * (8 + 8)

    assert attention == 4 * (queries + keys_values + 8 * 8 * 64)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("mistralai/Mixtral-8x7B-v0.1", 12.88),
        ("Qwen/Qwen3-30B-A3B", 3.35),
        ("Qwen/Qwen3-235B-A22B", 22.19),
        ("deepseek-ai/DeepSeek-R1", 37.55),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 17.17),
        ("openai/gpt-oss-120b", 5.13),
        ("openai/gpt-oss-20b", 3.61),
    ],
)
def test_active_parameters(name: str, billions: float):
    """Active parameters are those of the model card: without the other experts and without towers."""
    assert find_model(name).parameters_active / 1e9 == pytest.approx(billions, rel=2e-3)


def test_layers_with_shared_weights_count_once_and_run_often():
    """ALBERT has the parameters of one layer and the work of twelve."""
    model = find_model("albert-base-v2")

    assert model.n_layers == 12
    assert model.components["attention"] == 4 * (768 * 768 + 768)
