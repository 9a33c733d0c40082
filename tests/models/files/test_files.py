"""Models from files that their own libraries wrote: to the parameter, to the byte, and refused where they run code."""

import io
import json
import pickle
import re
import shutil
import struct
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.models import find_model, kv_bytes_per_token, weight_bytes
from advisor.models.config import model_from_config
from advisor.models.files.onnx_graph import Node, read_onnx
from advisor.models.files.onnx_rules import linear_work
from advisor.models.files.pipelines import ESTIMATE_FACTOR, estimated_model
from advisor.models.files.tensors import Tensor
from advisor.models.files.trees import tree_of
from advisor.models.layer_kinds import kv_elements_per_token
from advisor.models.model import ModelInput
from advisor.models.weights import GGUF_BLOCKS, Split, rank_weight_bytes
from advisor.performance.one_pass import flop_of_sample
from advisor.workload.document import read_workload

HERE = Path(__file__).parent
MADE = HERE / "made"
COUNTED = json.loads((MADE / "counted.json").read_text(encoding="utf-8"))
SHAPES = json.loads((HERE / "shapes.json").read_text(encoding="utf-8"))


def made(name: str):
    """The model of a file that was made."""
    return find_model(str(MADE / name))


@pytest.mark.parametrize("name", ["one.safetensors", "shard.safetensors.index.json"])
def test_safetensors_are_counted_from_their_headers(name):
    """One file and its shards have the parameters and the bytes that were saved."""
    model = made(name)

    assert (model.parameters_total, weight_bytes(model, "bf16")) == tuple(COUNTED["safetensors"].values())


@pytest.mark.parametrize(("name", "precision"), [("llama", "int8"), ("novel", "int4")])
def test_gguf_is_counted_from_its_blocks(name, precision):
    """A file of blocks has the parameters and the bytes that were written, whether its architecture is known or not."""
    model = made(f"{name}.gguf")

    assert (model.parameters_total, weight_bytes(model, precision)) == tuple(COUNTED[name].values())
    assert rank_weight_bytes(model, precision, Split(2)) < COUNTED[name]["bytes"]
    assert (model.n_layers, model.n_heads, model.hidden, model.vocab, model.max_context_tokens) == (2, 4, 64, 128, 512)
    assert kv_bytes_per_token(model, "bf16") == 2 * 2 * 32 * 2
    assert model.estimate_factor == (1 if name == "llama" else ESTIMATE_FACTOR)


def test_blocks_of_gguf_take_whole_bytes():
    """Each block type has a size of its own, from 1 to 8 bytes for eight weights."""
    assert all(1 <= 8 * size / count <= 64 for _, count, size in GGUF_BLOCKS.values())
    assert len({name for name, _, _ in GGUF_BLOCKS.values()}) == len(GGUF_BLOCKS)


@pytest.mark.parametrize("entry", SHAPES, ids=[entry["config"]["model_type"] for entry in SHAPES])
def test_unknown_architectures_are_estimated_from_shapes(entry):
    """With its architecture hidden, a model has the parameters, active ones and cache of its configuration within 5 %."""
    tensors = [
        Tensor(name.replace("#", str(layer)), tuple(shape), "BF16", 16)
        for name, shape, count in entry["tensors"]
        for layer in range(count)
    ]
    exact = model_from_config(entry["config"], name="exact", where="")
    estimate = estimated_model(tensors, entry["config"] | {"model_type": "novel"}, "estimate", "")

    assert estimate.parameters_total == exact.parameters_total
    assert estimate.parameters_active == pytest.approx(exact.parameters_active, rel=0.05)
    assert kv_elements_per_token(estimate) == pytest.approx(kv_elements_per_token(exact), rel=0.05)
    assert exact.task == estimate.task
    if exact.flop_per_sample:
        assert estimate.flop_per_sample == pytest.approx(exact.flop_per_sample, rel=0.05)


def test_an_unknown_architecture_with_weights_beside_it(tmp_path):
    """A configuration that no builder reads is completed by the shapes of the weights beside it."""
    (tmp_path / "config.json").write_text('{"model_type": "novel", "num_attention_heads": 2}', encoding="utf-8")
    with pytest.raises(InputError, match="not known") as raised:
        find_model(str(tmp_path))
    assert "safetensors" in raised.value.hint
    shutil.copy(MADE / "one.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "novel", "num_attention_heads": 4}', encoding="utf-8")

    model = find_model(str(tmp_path))

    assert (model.family, model.n_heads, model.n_layers, model.estimate_factor) == ("novel", 4, 2, ESTIMATE_FACTOR)


@pytest.mark.parametrize(
    ("kind", "family"), [("bert", "bert"), ("xlm-roberta", "bert"), ("roberta", "bert"), ("albert", "albert")]
)
def test_a_file_of_an_encoder_has_the_family_that_engines_list(kind, family):
    """Servers that load BERT load RoBERTa; ALBERT, whose layers share their weights, takes one that lists it."""
    config = {"model_type": kind, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 99, "max_position_embeddings": 64}  # fmt: skip

    assert model_from_config(config, name="", where="").family == family


@pytest.mark.parametrize("stated", [{}, {"layer_types": (["full_attention"] + ["sliding_attention"] * 2) * 8}])
def test_a_file_of_modernbert_is_counted_as_transformers_and_torch_count_it(stated):
    """Parameters to the last one; FLOPs of 128 tokens; at 8,192 only every third layer looks at all of them."""
    config = {"model_type": "modernbert", "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 1152, "num_hidden_layers": 22, "vocab_size": 50368, "max_position_embeddings": 8192} | stated  # fmt: skip
    model = model_from_config(config, name="", where="")
    short, long = flop_of_sample(model, np.array([128.0, 8192.0]))

    assert (model.parameters_total, model.max_context_tokens) == (149_014_272, 8192)
    assert short == pytest.approx(29_343_350_784, rel=1e-3)
    assert long == pytest.approx(64 * short + 4 * 768 * 8192 * (8 * (8192 - 128)), rel=1e-3)


def test_weights_say_what_they_are_stored_in(tmp_path):
    """Where the configuration and the weights differ, the weights are right."""
    config = {"model_type": "bert", "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 99, "max_position_embeddings": 64, "torch_dtype": "float32"}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    alone = model_from_config(config, name="", where="")
    shutil.copy(MADE / "one.safetensors", tmp_path / "model.safetensors")

    assert (alone.checkpoint.precision, find_model(str(tmp_path)).checkpoint.precision) == ("fp32", "bf16")


def test_onnx_images_are_counted_operation_by_operation():
    """Parameters are those of the network, FLOPs those that torch counts in it."""
    model = made("pictures.onnx")

    assert (model.parameters_total, model.flop_per_sample) == tuple(COUNTED["pictures"].values())
    assert (model.task, model.sample) == ("vision", "one sample of 3 × 32 × 32")


def test_onnx_texts_are_counted_at_every_length():
    """A graph of a free length takes what torch counts at 24 tokens, and at 100 what follows by hand."""
    model = made("texts.onnx")
    by_hand = 3 * 2 * 16 * 16 * 100 + 2 * 2 * 16 * 100**2

    assert model.parameters_total == COUNTED["texts"]["parameters"]
    assert flop_of_sample(model, np.array([24.0, 100.0])).tolist() == pytest.approx(
        [COUNTED["texts"]["flop"], by_hand], rel=1e-9
    )


def test_onnx_of_a_free_size_says_what_is_missing():
    """Without the size of an image its FLOPs are not known, and the reason names the free axes and the remedy."""
    model = made("any_size.onnx")

    assert model.flop_per_sample is None
    assert (
        model.sample
        == "not known: input 'image' has the free dimensions 'height' (axis 2) and 'width' (axis 3); export the model "
        "with fixed sizes there, and only the first axis free"
    )


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("pictures.onnx", (ModelInput("image", "fp32", (3, 32, 32)),)),
        ("texts.onnx", (ModelInput("tokens", "int64", (None,)),)),
        ("any_size.onnx", ()),
    ],
)
def test_inputs_are_those_of_the_header(name, inputs):
    """Name, type and shape of one item; none where more is free than the batch and the length of a text."""
    assert made(name).inputs == inputs


def test_inputs_of_others_are_those_that_exporters_write(tmp_path):
    """RoBERTa takes no types of tokens, an image has the side of the configuration, and of Whisper nothing is said."""
    config = {
        "model_type": "vit",
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 384,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    names = {
        model: [tensor.name for tensor in find_model(model).inputs]
        for model in ("BAAI/bge-m3", "BAAI/bge-small-en-v1.5")
    }

    assert names["BAAI/bge-m3"] == ["input_ids", "attention_mask"]
    assert names["BAAI/bge-small-en-v1.5"] == ["input_ids", "attention_mask", "token_type_ids"]
    assert find_model(str(tmp_path)).inputs == (ModelInput("pixel_values", "fp32", (3, 384, 384)),)
    assert find_model("google/vit-base-patch16-224").inputs == (ModelInput("pixel_values", "fp32", (3, 224, 224)),)
    assert find_model("openai/whisper-large-v3").inputs == ()


@pytest.mark.parametrize("name", ["xgboost.json", "xgboost.ubj"])
def test_xgboost_trees(name):
    """Thresholds and leaves are as many as XGBoost lists, in either format."""
    model = made(name)

    assert model.parameters_total == COUNTED["xgboost"]["parameters"]
    assert weight_bytes(model, "fp32") == (MADE / name).stat().st_size
    assert model.sample.startswith("one row: 5 trees of depth 3 at most")
    assert model.sample_size == 6


def test_graphs_that_take_rows():
    """Columns are the graph's; trees and layers are told apart, and results that are maps leave the columns unknown."""
    layers, forest, mapped = (made(f"{name}.onnx") for name in ("network", "forest_of_tensors", "forest"))

    assert (layers.parameters_total, layers.flop_per_sample) == tuple(COUNTED["network"].values())
    assert [(model.sample_size, model.is_forest) for model in (layers, forest, mapped)] == [
        (6, False), (6, True), (None, False)
    ]  # fmt: skip
    assert forest.flop_per_sample == mapped.flop_per_sample
    assert forest.inputs == (ModelInput("X", "fp32", (6,)),)


def test_graphs_over_identifiers_take_rows():
    """Users and items that are looked up in a table are columns; words that attention relates are a text."""
    layers, words = made("identifiers.onnx"), made("texts.onnx")

    assert (layers.task, layers.sample_size, layers.flop_per_sample, layers.parameters_total) == (
        "tabular",
        4,
        16,
        2008,
    )
    assert (words.task, words.sample_size) == ("encoder", None)


def test_treelite_trees():
    """Splits and leaves are those that scikit-learn has in the forest that the checkpoint was made of."""
    model, counted = made("forest.tl"), COUNTED["forest"]

    assert model.parameters_total == counted["splits"] + 2 * counted["leaves"]
    assert model.flop_per_sample == pytest.approx(made("forest.skops").flop_per_sample, rel=0.01)
    assert model.sample.startswith(f"one row: 3 trees of depth {counted['depth']} at most")
    assert (model.sample_size, model.is_forest) == (6, True)


@pytest.mark.parametrize(
    ("at", "written", "fault"),
    [
        (0, b"\x03", "of version 3.8.1, where 4 is read"),
        (14, b"\xff\xff\xff\xff\xff", "its header"),
        (12, b"\x01", "its header"),
        (28, b"\x02", "predict 2 targets"),
        (32, b"\xff\xff\xff\xff", "are left"),
        (40, b"\xff\xff\xff\xff", "its classes"),
        (52, b"\xff\xff\xff\x7f", "its classes"),
        (22, b"\xff\xff\xff\x7f", "its header"),
    ],
)
def test_checkpoints_of_treelite_that_are_none_are_refused(at, written, fault, tmp_path):
    """Another version, no number of trees, numbers of no type, several targets, and more than the file holds."""
    content = bytearray((MADE / "forest.tl").read_bytes())
    content[at : at + len(written)] = written
    (tmp_path / "a.tl").write_bytes(content)
    with pytest.raises(InputError, match=fault):
        find_model(str(tmp_path / "a.tl"))


def test_lightgbm_trees():
    """Thresholds and leaves are as many as LightGBM lists, and as deep."""
    model = made("lightgbm.txt")

    assert model.parameters_total == COUNTED["lightgbm"]["parameters"]
    assert model.sample.startswith("one row: 4 trees of depth 4 at most")
    assert model.sample_size == 6


@pytest.mark.parametrize(
    ("cut", "fault"),
    [
        (lambda text: text[: text.index("Tree=3")], "it has 3 of 4 trees"),
        (lambda text: text[: text.index("end of trees")], "it has no line 'end of trees'"),
        (lambda text: text.replace("tree_sizes=", "tree_sizes=9 "), "it has 4 of 5 trees"),
    ],
)
def test_a_text_of_lightgbm_that_is_cut_off_is_refused(cut, fault, tmp_path):
    """Its head lists the trees, and a line follows them."""
    file = tmp_path / "model.txt"
    file.write_text(cut((MADE / "lightgbm.txt").read_text()))
    with pytest.raises(InputError, match=fault):
        find_model(str(file))


def test_scikit_learn_models():
    """Trees, boosted trees and a line are what scikit-learn holds; a row passes the comparisons that it passes there."""
    forest, counted = made("forest.skops"), COUNTED["forest"]

    assert forest.parameters_total == counted["splits"] + 2 * counted["leaves"]
    assert forest.flop_per_sample == pytest.approx(counted["comparisons"] + 2 * 3, rel=0.03)
    assert made("boosted.skops").parameters_total == COUNTED["boosted"]["parameters"]
    assert (made("line.skops").parameters_total, made("line.skops").flop_per_sample) == (7, 14)


def test_a_dot_product_of_factors_is_counted_by_element():
    """16 products and 16 additions a row; two rows of 16 are read and written, multiplied (read, read, written), summed."""
    model = made("factors.onnx")

    assert (model.task, model.family, model.sample_size, model.is_forest) == ("tabular", "onnx", 2, False)
    assert (model.parameters_total, model.flop_per_sample) == (2 * 1000 * 16, 16 + 16)
    assert model.moved_bytes_per_sample == 4 * (2 * 2 * 16 + 3 * 16 + 16 + 1)
    assert made("identifiers.onnx").moved_bytes_per_sample == 0  # weights are what its product reads


@pytest.mark.parametrize(
    ("name", "family", "parameters", "flop", "columns"),
    [
        ("logistic", "linear", 3 * 6 + 3 + 6 + 6, 2 * 3 * 6 + 2 * 6, 6),
        ("logistic_of_maps", "linear", 3 * 6 + 3, 2 * 3 * 6, None),
        ("linear", "linear", 6 + 1, 2 * 6, 6),
    ],
)
def test_linear_models_in_onnx(name, family, parameters, flop, columns):
    """Coefficients × 2, and 2 for each column that is scaled; a result that is a map leaves the columns unknown."""
    model = made(f"{name}.onnx")

    assert (model.task, model.family, model.is_forest) == ("tabular", family, False)
    assert (model.parameters_total, model.flop_per_sample, model.sample_size) == (parameters, flop, columns)
    assert weight_bytes(model, "fp32") == (MADE / f"{name}.onnx").stat().st_size


def test_support_vector_machines_in_onnx():
    """Support vectors × columns × 2, or 3 with a radial kernel, then the kernel of each and its coefficients."""
    linear, radial = made("svm.onnx"), made("radial_svm.onnx")
    vectors, coefficients = COUNTED["svm"]["vectors"], COUNTED["svm"]["coefficients"]

    assert (linear.family, linear.sample_size) == ("svm", 6)
    assert linear.flop_per_sample == vectors * 6 * 2 + vectors + 2 * coefficients
    assert linear.parameters_total == vectors * 6 + coefficients + 3
    vectors = COUNTED["radial_svm"]["vectors"]
    assert (radial.family, radial.sample_size) == ("radial_svm", 6)
    assert radial.flop_per_sample == vectors * 6 * 3 + vectors + 2 * vectors
    assert radial.parameters_total == vectors * 6 + vectors + 1


@pytest.mark.parametrize(("stated", "counted"), [(-5, 0), (0, 0), (3, 3), (2**62, 18)])
def test_support_vectors_that_a_file_only_claims_are_not_counted(stated, counted):
    """No fewer than none, and no more than the numbers of the vectors are; without coefficients there is no model."""
    attributes = {"n_supports": stated, "kernel_type": "RBF"}
    node = Node("SVMRegressor", attributes=attributes, floats={"support_vectors": 18, "coefficients": 3})

    work, family = linear_work([node])
    assert (work.flop, work.parameters, family) == (3 * 18 + counted + 2 * 3, 18 + 3, "radial_svm")
    assert linear_work([Node("LinearRegressor")]) is None


def test_trees_in_onnx():
    """The same forest in ONNX has the same trees, with one value a leaf."""
    model, counted = made("forest.onnx"), COUNTED["forest"]

    assert model.parameters_total == counted["splits"] + counted["leaves"]
    assert model.sample.startswith(f"one row: 3 trees of depth {counted['depth']} at most")


@settings(max_examples=25)
@given(st.integers(0, 6), st.integers(0, 2**32).map(Random))
def test_a_full_tree_is_as_deep_as_it_is(depth, chance):
    """A tree of d full levels has 2^d leaves, each d comparisons away, however its nodes are numbered."""
    inner = 2**depth - 1
    numbers = list(range(1, 2 * inner + 1))
    chance.shuffle(numbers)
    number = [0, *numbers]
    left, right = np.full(2 * inner + 1, -1), np.full(2 * inner + 1, -1)
    for node in range(inner):
        left[number[node]], right[number[node]] = number[2 * node + 1], number[2 * node + 2]
    tree = tree_of(left, right, None, "")

    assert (tree.splits, tree.leaves, tree.depth, tree.mean_depth) == (inner, inner + 1, depth, depth)


@pytest.mark.parametrize("children", [([0], [0]), ([1, -1, -1], [1, -1, -1]), ([1, -1], [-1, -1]), ([5, -1], [1, -1])])
def test_trees_that_are_none_are_refused(children):
    """A cycle, a shared child, a node with one child and a child that is nowhere end nothing."""
    with pytest.raises(InputError, match="no sound tree"):
        tree_of(np.array(children[0]), np.array(children[1]), None, "x")


@pytest.mark.parametrize(
    "name",
    ["model.pkl", "model.joblib", "pytorch_model.bin", "best.pt", "model", "model.txt", "model.json", "model.onnx"],
)
def test_pickles_are_refused_and_never_loaded(name, tmp_path):
    """What would run code when it is loaded is not opened, whatever it is called."""
    trap = tmp_path / "trap"
    content = pickle.dumps(_Trap(str(trap)))
    if name == "best.pt":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as written:
            written.writestr("best/data.pkl", content)
        content = archive.getvalue()
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match="a pickle runs code when it is loaded") as raised:
        find_model(str(tmp_path / name))
    assert "safetensors" in raised.value.hint
    assert not trap.exists()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_json_that_is_cut_off_is_refused_with_what_is_read(share, tmp_path):
    """Of half a file, and of an empty one, the hint names both kinds of JSON that hold a model."""
    content = (MADE / "xgboost.json").read_text()
    file = tmp_path / "fraud.json"
    file.write_text(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="not JSON") as raised:
        find_model(str(file))
    assert "config.json of a model, or trees that XGBoost saved" in raised.value.hint


class _Trap:
    """A value that leaves a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def _header(entries: dict, data: int = 0) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


ENTRY = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.safetensors", struct.pack("<Q", 2**60) + b"{}", "the header says that it has"),
        ("x.safetensors", _header({"a": ENTRY}, 8), "does not fit bytes 0 to 16 of 8"),
        ("x.safetensors", _header({"a": ENTRY | {"shape": [2**40, 2**40]}}, 16), "does not fit"),
        ("x.safetensors", _header({"a": ENTRY | {"dtype": "X"}}, 16), "data type 'X' is not known"),
        ("x.safetensors", _header({"a": ENTRY | {"shape": [-1]}}, 16), "whole numbers"),
        ("x.gguf", b"GGUF" + struct.pack("<IQQ", 3, 2**50, 1), "tensors and 1 entries"),
        ("x.gguf", b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62), "a text of 4,611,686,018,427,387,904 bytes"),
        ("x.gguf", b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 8, 2**61), "list 'a' of"),
        ("x.gguf", b"GGUF" + struct.pack("<I", 9) + bytes(16), "version 9 is not known"),
        ("x.onnx", b"\x08\x07", "there is no graph"),
        ("x.onnx", b"\x3a\xff\xff\xff\xff\x7f", "a field of"),
        ("x.onnx", b"\xff" * 20, "more than ten bytes"),
        ("x.ubj", b"{i\x01a[$Z#L" + struct.pack(">q", 2**62), "a list of values of type 'Z'"),
        ("x.ubj", b"{i\x01a[$d#L" + struct.pack(">q", 2**62), "are announced"),
        ("x.ubj", b"{i\x01a" + b"[" * 500, "nests too deeply"),
        ("x.txt", b"tree\nversion=v4\n", "there is no tree"),
        ("x.json", b'{"learner": {}}', "there are no trees"),
        ("x.onnx", b"", "is empty"),
        ("x.txt", b"hello", "the format of the model is not known"),
    ],
)
def test_hostile_headers_are_refused_in_words(name, content, expected, tmp_path):
    """A header that announces more than there is takes no memory and no time; the place and the remedy are named."""
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(InputError, match=expected) as raised:
        find_model(str(path))
    assert str(path) in raised.value.where
    assert raised.value.hint


def onnx_with_external(path, **entries):
    """A file with one tensor of two floats, whose numbers lie elsewhere."""

    def message(tag, content):
        return tag + bytes([len(content)]) + content

    stated = b"".join(
        message(b"\x6a", message(b"\x0a", key.encode()) + message(b"\x12", value.encode()))
        for key, value in entries.items()
    )
    tensor = b"\x08\x02\x10\x01\x42\x01w" + stated + b"\x70\x01"
    path.write_bytes(message(b"\x3a", message(b"\x2a", tensor)) + b"\x42\x02\x10\x15")


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd"])
def test_onnx_weights_outside_the_folder_are_refused(location, tmp_path):
    """External data lies beside the file."""
    onnx_with_external(tmp_path / "x.onnx", location=location)

    with pytest.raises(InputError, match="outside the folder of the model"):
        find_model(str(tmp_path / "x.onnx"))


@pytest.mark.parametrize(
    ("entries", "held", "expected"),
    [
        ({"offset": "8", "length": "8"}, 15, "'w.bin' has 15 bytes, and tensor 'w' ends at 16"),
        ({}, 7, "'w.bin' has 7 bytes, and tensor 'w' ends at 8"),
        ({"length": "4"}, 8, "tensor 'w' has 4 bytes in 'w.bin', 8 by its shape"),
        ({"offset": "-1"}, 8, "'-1' is not a number of bytes"),
        ({"length": "9" * 40}, 8, "is not a number of bytes"),
    ],
)
def test_external_data_of_another_size_is_refused(entries, held, expected, tmp_path):
    """The bytes beside the file are those of the tensor's shape."""
    onnx_with_external(tmp_path / "x.onnx", location="w.bin", **entries)
    (tmp_path / "w.bin").write_bytes(bytes(held))

    with pytest.raises(InputError, match=re.escape(expected)):
        read_onnx(tmp_path / "x.onnx")


@pytest.mark.parametrize(("location", "held"), [("w.bin", 16), ("absent.bin", 16)])
def test_external_data_of_its_size_is_taken_and_absent_data_too(location, held, tmp_path):
    """Sizes follow from shapes where the data was left behind."""
    onnx_with_external(tmp_path / "x.onnx", location=location, offset="8", length="8")
    (tmp_path / "w.bin").write_bytes(bytes(held))

    (weight,) = read_onnx(tmp_path / "x.onnx").weights
    assert weight.elements == 2


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"shard.safetensors.index.json": None}, "2 of 2 shards are missing"),
        ({"m-00001-of-00002.gguf": "llama.gguf"}, "the part m-00002-of-00002.gguf is missing"),
        ({"a.safetensors": "one.safetensors", "b.safetensors": "one.safetensors"}, "2 files could hold the weights"),
        ({"a.gguf": "llama.gguf", "b.gguf": "novel.gguf"}, "2 files could be meant: a.gguf, b.gguf"),
        ({}, "is not known"),
    ],
)
def test_incomplete_folders_are_refused(files, expected, tmp_path):
    """What is missing or meant twice is named."""
    for name, source in files.items():
        shutil.copy(MADE / (source or name), tmp_path / name)
    path = tmp_path / next(iter(files)) if len(files) == 1 else tmp_path

    with pytest.raises(InputError, match=expected):
        find_model(str(path))


def test_a_repack_that_is_no_file_is_found_by_its_name():
    """A name that ends like a file is a file only where there is one."""
    assert find_model("Qwen3-8B.gguf").family == find_model("Qwen/Qwen3-8B").family
    with pytest.raises(InputError, match="cannot read the model: No such file"):
        find_model("nowhere/model.onnx")


def test_a_workload_names_a_file_beside_it(tmp_path):
    """``model: weights.gguf`` is the file in the folder of the workload."""
    shutil.copy(MADE / "llama.gguf", tmp_path / "weights.gguf")
    example = (HERE.parents[2] / "examples/chat/workload.yaml").read_text(encoding="utf-8")
    lines = ["model: weights.gguf" if line.startswith("model:") else line for line in example.splitlines()]
    for name in ("demand.json", "trace.csv"):
        if (HERE.parents[2] / "examples/chat" / name).is_file():
            shutil.copy(HERE.parents[2] / "examples/chat" / name, tmp_path / name)
    (tmp_path / "workload.yaml").write_text("\n".join(lines), encoding="utf-8")
    workload = read_workload(tmp_path / "workload.yaml")

    assert find_model(workload.model_reference).parameters_total == COUNTED["llama"]["parameters"]


@pytest.mark.parametrize(
    ("name", "outputs"),
    [("pictures.onnx", ((10,),)), ("texts.onnx", ((None, 16),)), ("any_size.onnx", ())],
)
def test_outputs_are_those_that_the_graph_computes(name, outputs):
    """Shapes of one item, whose free axis is the length of a text; none where more is free."""
    tensors = made(name).outputs
    assert tuple(tensor.shape for tensor in tensors) == outputs
    assert {tensor.type for tensor in tensors} <= {"fp32"}


@pytest.mark.parametrize("size", [1, 8])
def test_a_fixed_batch_is_refused_with_the_remedy(size, tmp_path):
    """Servers fill batches of any size: the file, the input and its dimension are named, and how to export anew."""
    path = tmp_path / "fixed.onnx"
    content = (MADE / "pictures.onnx").read_bytes()
    free = b"\x12\x05batch"
    at = content.index(free)
    path.write_bytes(
        content[:at] + b"\x08" + bytes([0x80 + size, 0x80, 0x80, 0x80, 0x80, 0]) + content[at + len(free) :]
    )
    with pytest.raises(InputError, match=f"'image' .* fixed at {size}") as caught:
        find_model(str(path))
    assert caught.value.where == str(path)
    assert "dynamic_axes" in caught.value.hint
