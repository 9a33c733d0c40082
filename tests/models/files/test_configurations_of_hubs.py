"""Configurations as the hub has them: fields left out, names of their own, folders of sentence-transformers."""

import json

import pytest

from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models import find_model
from advisor.models.model import TextAnswer
from advisor.workload.document import read_workload
from advisor.workload.kinds import declared_size, is_embedder, unit_of

SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304,
    "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14,
}  # fmt: skip
GEMMA_3 = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "vision_config": SIGLIP}
GEMMA_4B = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}
GEMMA_12B = {
    "hidden_size": 3840, "intermediate_size": 15360, "num_attention_heads": 16, "num_hidden_layers": 48,
    "num_key_value_heads": 8, "sliding_window": 1024,
}  # fmt: skip
GEMMA_27B = {
    "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32, "num_hidden_layers": 62,
    "num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024,
}  # fmt: skip
QWEN_3 = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    "vocab_size": 151669, "tie_word_embeddings": True, "max_position_embeddings": 32768,
}  # fmt: skip
POOLED = [{"idx": 0, "type": "sentence_transformers.models.Transformer", "path": ""}]
PYLATE = [{"idx": 1, "type": "pylate.models.Dense.Dense", "path": "1_Dense"}]


def model_of(tmp_path, config, modules=None):
    """The model of a folder with these files."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    if modules is not None:
        (tmp_path / "modules.json").write_text(json.dumps(modules))
    return find_model(str(tmp_path))


def workload_of(tmp_path, declared):
    """A workload about the model of the folder."""
    file = tmp_path / "workload.yaml"
    file.write_text(
        f"name: a\nmodel: {tmp_path}\nslo: {{latency_p95: 1s}}\n"
        f"demand: {{declared: {{requests_per_second: 5, {declared}}}}}\n"
    )
    return read_workload(file)


@pytest.mark.parametrize(
    ("name", "text"),
    [("google/gemma-3-4b-it", GEMMA_4B), ("google/gemma-3-12b-it", GEMMA_12B), ("google/gemma-3-27b-it", GEMMA_27B)],
)
def test_fields_that_gemma_3_leaves_out_are_those_of_its_class(tmp_path, name, text):
    """The hub's configuration holds what differs from the class alone; sizes are those of the catalog's row."""
    model = model_of(tmp_path, GEMMA_3 | {"text_config": {"model_type": "gemma3_text"} | text})
    known = find_model(name)
    sizes = [
        (each.hidden, each.vocab, each.n_heads, each.n_kv_heads, each.layers, each.max_context_tokens)
        for each in (model, known)
    ]
    assert sizes[0] == sizes[1]
    assert model.task == "vlm"
    assert model.parameters_active == known.parameters_active


def test_a_field_that_is_null_is_not_filled_in(tmp_path):
    """Pixtral 12B has no window, though its class has one; heads and width of the network are the class's."""
    text = {
        "model_type": "mistral", "hidden_size": 5120, "head_dim": 128, "max_position_embeddings": 1024000,
        "num_hidden_layers": 40, "num_key_value_heads": 8, "sliding_window": None, "vocab_size": 131072,
    }  # fmt: skip
    model = model_of(
        tmp_path, {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "text_config": text}
    )
    ((layer, count),) = model.layers
    assert (count, layer.mixer.window_tokens, model.n_heads, model.intermediate) == (40, 0, 32, 14336)
    assert model.parameters_total == find_model("mistralai/Mistral-Nemo-Instruct-2407").parameters_total


def test_a_tower_that_holds_what_differs_from_its_class_is_read(tmp_path):
    """Pixtral's: 24 layers of 1,024 wide with gated networks of 4,096, about 403 million parameters before the projector."""
    text = {
        "model_type": "mistral", "hidden_size": 5120, "head_dim": 128, "intermediate_size": 14336,
        "max_position_embeddings": 1024000, "num_hidden_layers": 40, "num_key_value_heads": 8, "vocab_size": 131072,
        "sliding_window": None,
    }  # fmt: skip
    tower = {"head_dim": 64, "image_size": 1024, "model_type": "pixtral", "patch_size": 16, "rope_theta": 10000.0}
    config = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "text_config": text}
    model = model_of(tmp_path, config | {"vision_config": tower})

    added = model.parameters_total - find_model("mistralai/Mistral-Nemo-Instruct-2407").parameters_total
    layers = 24 * (4 * 1024**2 + 3 * 1024 * 4096)
    assert layers + 3 * 16 * 16 * 1024 <= added <= 1.1 * layers
    assert model.task == "vlm"


def test_a_configuration_that_stands_alone_is_taken_as_it_is(tmp_path):
    """What is missing there is an error: no class is known to have it."""
    with pytest.raises(InputError, match="'vocab_size' is missing"):
        model_of(tmp_path, {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"} | GEMMA_27B)


def test_a_decoder_that_sentence_transformers_runs_answers_vectors(tmp_path):
    """Qwen3-Embedding has the class of a chat model, and a list of modules beside it."""
    model = model_of(tmp_path, QWEN_3, POOLED)
    workload = workload_of(tmp_path, "input_tokens: 400")
    assert (model.task, model.answer) == ("embedding", TextAnswer.VECTOR)
    assert is_embedder(model)
    assert unit_of(model, workload) is Unit.TEXTS


def test_late_interaction_of_a_decoder_is_refused_with_what_serves_it(tmp_path):
    """LFM2's ColBERT is no chat model, and no generated code sets up its class."""
    model = model_of(tmp_path, QWEN_3 | {"architectures": ["Qwen3Model"]}, PYLATE)
    with pytest.raises(InputError, match=r"a vector for each token .* of model_type qwen3") as refused:
        unit_of(model, workload_of(tmp_path, "input_tokens: 400"))
    assert "ColBERTLfm2Model" in refused.value.hint


def test_a_reranker_with_the_class_of_a_chat_model_is_told_to_be_converted(tmp_path):
    """Qwen3-Reranker scores by the words yes and no: stating documents is no mistake of the user."""
    model, workload = model_of(tmp_path, QWEN_3), workload_of(tmp_path, "documents: 20, tokens_per_document: 300")
    with pytest.raises(InputError, match="answers token by token") as refused:
        declared_size(workload.demand, model, workload)
    assert "ForSequenceClassification" in refused.value.hint


def test_experts_of_an_encoder_are_counted(tmp_path):
    """Nomic Embed v2: 475,292,928 parameters as published, of which a token meets two of eight experts in six layers."""
    config = {
        "architectures": ["NomicBertModel"], "model_type": "nomic_bert", "n_embd": 768, "n_layer": 12, "n_head": 12,
        "n_inner": 3072, "vocab_size": 250048, "n_positions": 2048, "num_experts": 8, "moe_every_n_layers": 2,
        "moe_top_k": 2, "type_vocab_size": 1, "activation_function": "gelu",
    }  # fmt: skip
    model = model_of(tmp_path, config)
    assert model.parameters_total == 475_292_928
    assert model.parameters_total - model.parameters_active == 6 * 6 * 2 * 768 * 3072
    assert [count for _, count in model.layers] == [6, 6]


def test_mamba_2_names_its_fields_without_a_prefix(tmp_path):
    """Codestral Mamba: 7,285,403,648 parameters as published; the first Mamba has a field of the same name."""
    config = {
        "architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64,
        "num_heads": 128, "head_dim": 64, "state_size": 128, "n_groups": 8, "conv_kernel": 4, "expand": 2,
        "intermediate_size": 8192, "time_step_rank": 256, "vocab_size": 32768, "tie_word_embeddings": False,
        "use_bias": False, "use_conv_bias": True,
    }  # fmt: skip
    model = model_of(tmp_path, config)
    assert model.parameters_total == 7_285_403_648
    assert all(layer.mixer.state_elements == 8192 * 128 for layer, _ in model.layers)
