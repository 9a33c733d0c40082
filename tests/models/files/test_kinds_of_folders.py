"""Kinds of models by what lies in their folder, and folders that hold none that is planned."""

import json
import struct

import numpy as np
import pytest

from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models import find_model
from advisor.models.model import TextAnswer
from advisor.performance.one_pass import flop_of_sample
from advisor.performance.transfer import BYTES_PER_LABELS, text_bytes
from advisor.workload.document import read_workload
from advisor.workload.kinds import is_embedder, is_reranker, unit_of

BERT = {
    "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "vocab_size": 30522, "type_vocab_size": 2,
}  # fmt: skip
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
ONE = {"id2label": {"0": "LABEL_0"}}
THREE = {"id2label": {"0": "a", "1": "b", "2": "c"}}
SPARSE = [{"idx": 1, "type": "sentence_transformers.sparse_encoder.models.SpladePooling"}]
PYLATE = [{"idx": 1, "path": "1_Dense", "type": "pylate.models.Dense.Dense"}]
DENSE = [{"idx": 1, "type": "sentence_transformers.models.Pooling"}]


def write_weights(path, shapes):
    """Safetensors of these tensors in bf16, with empty data."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def folder(tmp_path, name="team-model", config=None, modules=None, shapes=None):
    """A folder with such files."""
    path = tmp_path / name
    path.mkdir()
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    if modules is not None:
        (path / "modules.json").write_text(json.dumps(modules))
    if shapes:
        write_weights(path / "model.safetensors", shapes)
    return path


@pytest.mark.parametrize(
    ("name", "config", "files", "answer"),
    [
        ("a", {"architectures": ["BertModel"]}, {}, TextAnswer.VECTOR),
        ("a", {"architectures": ["HF_ColBERT"]}, {}, TextAnswer.VECTORS),
        ("a", {}, {"shapes": {"bert.x.weight": (8, 8), "linear.weight": (128, 768)}}, TextAnswer.VECTORS),
        ("a", {}, {"modules": [{"type": "pylate.models.Dense.Dense"}]}, TextAnswer.VECTORS),
        ("a", {"architectures": ["BertForMaskedLM"]}, {"modules": SPARSE}, TextAnswer.TERMS),
        ("my-splade", {"architectures": ["BertForMaskedLM"]}, {}, TextAnswer.TERMS),
        ("a", {"architectures": ["BertForMaskedLM"]}, {}, TextAnswer.WORDS),
        ("a", {"architectures": ["BertForMaskedLM"]}, {"modules": DENSE}, TextAnswer.VECTOR),
        ("a", {"architectures": ["BertForSequenceClassification"], **ONE}, {}, TextAnswer.SCORE),
        ("a", {"architectures": ["BertForSequenceClassification"], "num_labels": 1}, {}, TextAnswer.SCORE),
        ("a-reranker", {"architectures": ["BertForSequenceClassification"], **THREE}, {}, TextAnswer.LABELS),
    ],
)
def test_what_an_encoder_answers_is_told_by_its_folder(tmp_path, name, config, files, answer):
    """Class, labels, modules and projection; the name of the folder alone says that of a sparse encoder."""
    model = find_model(str(folder(tmp_path, name, BERT | config, **files)))
    assert model.answer is answer
    assert is_reranker(model) is (answer is TextAnswer.SCORE)
    assert is_embedder(model) is (answer in (TextAnswer.VECTOR, TextAnswer.WORDS))
    if answer is TextAnswer.LABELS:
        assert text_bytes(model, 100) == BYTES_PER_LABELS


def test_a_decoder_that_scores_a_text_does_not_chat(tmp_path):
    """Its head has one label in place of a vocabulary, so it is a reranker."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {"intermediate_size": 96, "vocab_size": 1000, "max_position_embeddings": 512, "model_type": "qwen3"}
    scoring = sizes | {"architectures": ["Qwen3ForSequenceClassification"], **ONE}
    model = find_model(str(folder(tmp_path, "scores", scoring)))
    assert (model.task, is_reranker(model)) == ("embedding", True)
    assert find_model(str(folder(tmp_path, "chats", sizes | {"architectures": ["Qwen3ForCausalLM"]}))).task == "llm"


def planned_unit(tmp_path, path):
    """Unit of a workload of a model."""
    file = tmp_path / "workload.yaml"
    declared = "declared: {requests_per_second: 5, input_tokens: 100}"
    file.write_text(f"name: a\nmodel: {path}\nslo: {{latency_p95: 1s}}\ndemand: {{{declared}}}\n")
    return unit_of(find_model(str(path)), read_workload(file))


@pytest.mark.parametrize(
    ("config", "files", "numbers", "parameters"),
    [
        ({"architectures": ["HF_ColBERT"], "dim": 96}, {}, 96, 109_482_240 + 768 * 96),
        ({"architectures": ["HF_ColBERT"]}, {}, None, 109_482_240),
        ({}, {"shapes": {"bert.x.weight": (8, 8), "linear.weight": (128, 768)}}, 128, 109_482_240 + 768 * 128),
        ({"architectures": ["BertModel"]}, {"modules": PYLATE, "dense": 64}, 64, 109_482_240 + 768 * 64),
        ({"architectures": ["BertModel"]}, {"modules": PYLATE}, None, 109_482_240),
    ],
)
def test_the_width_of_a_tokens_vector_is_read_where_trainers_leave_it(tmp_path, config, files, numbers, parameters):
    """In the configuration, in the projection's tensor, in the dense module that sentence-transformers lists."""
    dense = files.pop("dense", None) if (files := dict(files)) else None
    path = folder(tmp_path, "a", BERT | config, **files)
    if dense:
        (path / "1_Dense").mkdir()
        (path / "1_Dense" / "config.json").write_text(json.dumps({"in_features": 768, "out_features": dense}))
    model = find_model(str(path))
    assert (model.answer, model.answer_type, model.token_numbers) == (TextAnswer.VECTORS, "bert", numbers)
    assert model.parameters_total == parameters


def test_the_trainer_of_colbert_tells_the_width_of_its_vectors(tmp_path):
    """Beside the weights, in a file of its own."""
    path = folder(tmp_path, "a", BERT | {"architectures": ["HF_ColBERT"]})
    (path / "artifact.metadata").write_text('{"dim": 128, "doc_maxlen": 180}')
    assert find_model(str(path)).token_numbers == 128


def test_the_width_of_distilbert_is_not_that_of_its_vectors(tmp_path):
    """Its configuration calls its own width ``dim``."""
    config = {"model_type": "distilbert", "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072}
    path = folder(tmp_path, "a", config | {"vocab_size": 30522, "max_position_embeddings": 512}, modules=PYLATE)
    assert (find_model(str(path)).answer, find_model(str(path)).token_numbers) == (TextAnswer.VECTORS, None)


@pytest.mark.parametrize(
    ("config", "parameters", "flop"),
    [
        ({"architectures": ["BertForMaskedLM"]}, 109_514_298, 768 * (768 + 30522)),
        ({"architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "vocab_size": 50265, "type_vocab_size": 1,
          "max_position_embeddings": 514}, 124_697_433, 768 * (768 + 50265)),
    ],
)  # fmt: skip
def test_a_sparse_encoder_has_the_head_of_a_masked_language_model(tmp_path, config, parameters, flop):
    """As many parameters as transformers counts of these classes, and its decoder is multiplied with every token."""
    model = find_model(str(folder(tmp_path, "a", BERT | config, modules=SPARSE)))
    dense = find_model(str(folder(tmp_path, "b", BERT | config | {"architectures": ["BertModel"]})))
    assert (model.answer, model.parameters_total) == (TextAnswer.TERMS, parameters)
    lengths = np.array([100.0, 512.0])
    assert flop_of_sample(model, lengths) - flop_of_sample(dense, lengths) == pytest.approx(2 * flop * lengths)


@pytest.mark.parametrize(
    ("config", "files", "message", "hint"),
    [
        (
            {"architectures": ["HF_ColBERT"], "model_type": "xlm-roberta"},
            {},
            "a vector for each token .* of model_type xlm-roberta",
            ("bert, modernbert", "ColBERTJinaRobertaModel", "PyLate"),
        ),
        (
            {"architectures": ["BertModel"]},
            {"modules": SPARSE},
            "a sparse vector.* bert without the head of a masked language model",
            ("bert, roberta", "SparseEncoder", "--pooling splade"),
        ),
    ],
)
def test_answers_that_no_server_gives_are_refused_with_what_does(tmp_path, config, files, message, hint):
    """Size and speed of the encoder are told all the same."""
    with pytest.raises(InputError, match=message) as refused:
        planned_unit(tmp_path, folder(tmp_path, "a", BERT | config, **files))
    assert all(word in refused.value.hint for word in (*hint, "advisor predict"))


@pytest.mark.parametrize("name", ["colbert-ir/colbertv2.0", "naver/splade-v3", "naver/splade-v3-distilbert"])
def test_catalogued_encoders_of_these_kinds_are_planned(tmp_path, name):
    """By their names, whose rows say what they answer."""
    assert planned_unit(tmp_path, name) is Unit.TEXTS
    assert not is_embedder(find_model(name))


def test_text_to_text_is_refused_with_what_serves_it(tmp_path):
    """No server of the plans runs encoder-decoder models; those that do are named."""
    with pytest.raises(InputError, match="task: encoder-decoder") as refused:
        planned_unit(tmp_path, "google/flan-t5-xl")
    assert all(server in refused.value.hint for server in ("CTranslate2", "TensorRT-LLM", "advisor predict"))


def test_a_recogniser_of_speech_is_no_encoder_of_texts(tmp_path):
    """Of an architecture that is estimated from its tensors: its class names the kind."""
    config = {"architectures": ["ParakeetForCTC"], "model_type": "parakeet_ctc", "vocab_size": 1025}
    path = folder(tmp_path, config=config, shapes={"encoder.layers.0.self_attn.q_proj.weight": (1024, 1024)})
    assert find_model(str(path)).task == "asr"
    with pytest.raises(InputError, match="recognises speech") as refused:
        planned_unit(tmp_path, path)
    assert "Whisper" in refused.value.hint


@pytest.mark.parametrize("text", ["{", "[" * 2000, '{"a": 1}', "null", "[1, 2]", '[{"type": 5}]', "[]"])
def test_a_list_of_modules_that_is_none_is_an_error_of_its_file(tmp_path, text):
    """What an encoder answers is in it, so that a broken one says nothing."""
    path = folder(tmp_path, config=BERT)
    (path / "modules.json").write_text(text)
    with pytest.raises(InputError) as refused:
        find_model(str(path))
    assert refused.value.where == str(path / "modules.json")
    assert refused.value.hint


@pytest.mark.parametrize(
    "text", ["[]", '{"peft_type": 3, "base_model_name_or_path": [1]}', '{"peft_type": null}', "no JSON"]
)
def test_an_adapter_without_readable_facts_is_refused_all_the_same(tmp_path, text):
    """Its weights may be a pickle, and its configuration anything."""
    path = folder(tmp_path)
    (path / "adapter_config.json").write_text(text)
    for given in (path, path / "adapter_config.json"):
        with pytest.raises(InputError) as refused:
            find_model(str(given))
        assert refused.value.hint
        if text != "no JSON":
            assert "this is an adapter (PEFT) that names no base" in refused.value.message


@pytest.mark.parametrize("weights", [{}, {"adapter_model.bin": b"PK"}])
@pytest.mark.parametrize("name", ["", "adapter_config.json", "adapter_model.bin"])
def test_an_adapter_without_safetensors_is_refused_too(tmp_path, weights, name):
    """Whatever of it is named; its weights are never opened."""
    if name == "adapter_model.bin" and not weights:
        return
    path = folder(tmp_path)
    (path / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen3-8B", "peft_type": "LORA"}')
    for file, content in weights.items():
        (path / file).write_bytes(content)
    with pytest.raises(InputError, match=r"an adapter \(LORA\) of Qwen/Qwen3-8B"):
        find_model(str(path / name if name else path))


def test_the_base_of_an_adapter_steers_no_terminal(tmp_path):
    """Escapes, bold among them, and characters that turn the text around are shown as question marks."""
    path = folder(tmp_path)
    base = "a\x1b[31mb\x1b[1mc\u202ed"
    (path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    with pytest.raises(InputError, match="an adapter") as refused:
        find_model(str(path))
    assert "of a?[31mb?[1mc?d, and" in refused.value.message
    assert str(refused.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["", "adapter_model.safetensors", "adapter_config.json"])
def test_an_adapter_is_its_base_with_it(tmp_path, name):
    """Whatever of its files is named; its parameters are those of the header."""
    path = folder(tmp_path)
    adapter = {"base_model_name_or_path": LLAMA, "peft_type": "LORA", "r": 16, "target_modules": ["q_proj", "v_proj"]}
    (path / "adapter_config.json").write_text(json.dumps(adapter))
    write_weights(path / "adapter_model.safetensors", {"q_proj.lora_A.weight": (1000, 1000)})
    model = find_model(str(path / name if name else path))
    (named,) = model.adapters.named

    assert model.name == LLAMA
    assert (model.adapters.count, model.adapters.rank, model.adapters.slots) == (1, 16, 1)
    assert (named.rank, named.target_modules, named.parameters) == (16, ("q_proj", "v_proj"), 1_000_000)
    assert not named.on_hub
    assert find_model(str(path / name if name else path)) is find_model(str(path / name if name else path))


def test_a_folder_with_a_model_is_that_model(tmp_path):
    """Whatever adapter lies beside it."""
    path = folder(tmp_path, config=BERT)
    (path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": LLAMA, "peft_type": "LORA"}))
    assert find_model(str(path)).task == "encoder"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "LOHA"}, "engines serve LoRA alone"),
        ({"use_dora": True}, "do not serve DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules that it replaces whole"),
        ({"bias": "all"}, "adapters with biases"),
        ({"r": None}, r"its rank \(r\) is not a whole number"),
        ({"r": 0}, r"its rank \(r\) is not a whole number"),
        ({"rank_pattern": {"q_proj": "x"}}, r"its rank \(r\) is not a whole number"),
        ({"base_model_name_or_path": "../other"}, "that base is not known"),
        ({"base_model_name_or_path": ""}, "names no base, and what it changes is not known"),
        ({"base_model_name_or_path": "BAAI/bge-m3"}, "answers in one pass"),
    ],
)
def test_adapters_that_no_engine_serves_are_refused(tmp_path, changes, words):
    """With what is in the way."""
    path = folder(tmp_path)
    config = {"base_model_name_or_path": LLAMA, "peft_type": "LORA", "r": 16} | changes
    (path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=words) as refused:
        find_model(str(path))
    assert refused.value.hint


def test_the_largest_rank_of_an_adapter_counts(tmp_path):
    """Ranks may differ by module; a pattern of modules is all of them."""
    path = folder(tmp_path)
    config = {"base_model_name_or_path": LLAMA, "peft_type": "LORA", "r": 8, "rank_pattern": {"down_proj": 32}}
    (path / "adapter_config.json").write_text(json.dumps(config | {"target_modules": "all-linear"}))

    adapters = find_model(str(path)).adapters
    assert (adapters.rank, adapters.target_modules) == (32, ("all",))
