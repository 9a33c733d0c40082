"""Files made to take endless time or memory, or to be counted wrongly: refused in words, or read for what they hold."""

import io
import json
import shutil
import struct
import zipfile
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.models import find_model
from advisor.models.files.tensors import MOST_TENSORS, MOST_VALUES
from advisor.models.files.trees import Tree, bounded, tree_of

MADE = Path(__file__).parent / "made"
FLOAT = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
CHAIN = {
    "left_children": [at + 1 if at % 2 == 0 and at < 20_010 else -1 for at in range(20_011)],
    "right_children": [at + 2 if at % 2 == 0 and at < 20_010 else -1 for at in range(20_011)],
}
ROOT = {"left_children": [-1], "right_children": [-1]}


def safetensors(tensors: dict, data_bytes: int = 16) -> bytes:
    """A file of these entries."""
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + bytes(data_bytes)


def gguf_list(name: bytes, kind: int, count: int, data: bytes) -> bytes:
    """An entry that is a list."""
    return struct.pack("<Q", len(name)) + name + struct.pack("<IIQ", 9, kind, count) + data


def gguf(*entries: bytes) -> bytes:
    """A file of these entries, without tensors."""
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + b"".join(entries)


def gguf_with_name(name: bytes) -> bytes:
    """A file of one tensor."""
    tensor = struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, 4, 0, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor + bytes(64)


def skops(schema: str, **arrays: np.ndarray) -> bytes:
    """A ZIP of a schema and arrays."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", schema)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.save(stream, array)
    return content.getvalue()


def xgboost(**model: object) -> bytes:
    """A booster in JSON."""
    return json.dumps({"learner": {"gradient_booster": {"model": model}}}).encode()


def nodes(kind: str) -> np.ndarray:
    """The leaf of a tree that has no more, its fields of one kind."""
    leaf = np.zeros(1, dtype=[(name, kind) for name in ("left_child", "right_child", "weighted_n_node_samples")])
    leaf["left_child"] = leaf["right_child"] = -1
    return leaf


def read(folder: Path, name: str, content: bytes):
    """The model of a file of this content."""
    (folder / name).write_bytes(content)
    return find_model(str(folder / name))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.safetensors", safetensors({"pos" * 30_000: FLOAT}), "a name of 90,000 characters; 1,024 are the most"),
        ("x.safetensors", safetensors({"a": FLOAT | {"shape": [10**39] * 9}}), "up to 2.53, at most 8 and 2"),
        ("x.safetensors", safetensors({"a": FLOAT | {"shape": [0, 10**39]}}), "up to 2.53, at most 8 and 2"),
        (
            "x.safetensors",
            safetensors({f"h.{at}": 0 for at in range(MOST_TENSORS + 2)}),
            "250,002 tensors; 250,000 are",
        ),
        ("x.safetensors", safetensors({"a": [[]] * (MOST_VALUES // 2)}), "about 3,000,00[0-9] JSON values"),
        ("x.gguf", gguf_with_name(b"pos" * 400), "a text of 1,200 bytes"),
        ("x.gguf", gguf(*[gguf_list(b"%d" % at, 0, 4096, bytes(4096)) for at in range(800)]), "3,000,000 of them in"),
        ("x.gguf", b"GGUF" + struct.pack("<IQQ", 3, 100_001, 0), "100,001 tensors and 0 entries; 100,000"),
        ("x.skops", skops("[" + "[]," * (MOST_VALUES // 2) + "[]]"), "JSON values; 3,000,000 are the most"),
        ("x.skops", skops('{"nodes": {"file": "a.npy"}}', a=nodes("c16")), "a list of numbers is expected"),
        ("x.json", xgboost(trees=[ROOT | {"left_children": [[1], 2]}]), "tree 0: no sound tree: a list of numbers"),
        ("x.json", xgboost(trees=[CHAIN]), "tree 0: no sound tree: it is deeper than 10,000 levels"),
        ("x.json", xgboost(weights="abc"), "the weights of the linear model are not a list of numbers"),
    ],
    ids=range(13),
)
def test_runaways_are_refused_in_words(name, content, expected, tmp_path):
    """Names, ranks, counts and values have a bound that the message states, with a remedy."""
    with pytest.raises(InputError, match=expected) as raised:
        read(tmp_path, name, content)
    assert str(tmp_path / name) in raised.value.where
    assert len(str(raised.value)) < 600 + len(str(tmp_path))
    assert raised.value.hint


@pytest.mark.sampled(3)
@pytest.mark.slow
def test_shards_together_have_no_more_tensors_than_a_file(tmp_path):
    """The bound holds for the model."""
    half = MOST_TENSORS // 2 + 1
    for shard in ("a", "b"):
        (tmp_path / f"{shard}.safetensors").write_bytes(safetensors({f"{shard}.{at}": FLOAT for at in range(half)}))
    index = json.dumps({"weight_map": {"a.0": "a.safetensors", "b.0": "b.safetensors"}}).encode()

    with pytest.raises(InputError, match="250,002 tensors; 250,000 are the most"):
        read(tmp_path, "model.safetensors.index.json", index)


def test_experts_without_elements_are_none(tmp_path):
    """A stack of no experts leaves the model without any."""
    (tmp_path / "config.json").write_text('{"model_type": "novel", "num_experts_per_tok": 2}', encoding="utf-8")
    stack = {"dtype": "F32", "shape": [0, 4], "data_offsets": [0, 0]}
    width = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    content = safetensors({"blk.0.ffn_exps.weight": stack, "blk.0.norm.weight": width})
    (tmp_path / "model.safetensors").write_bytes(content)
    model = find_model(str(tmp_path))

    assert (model.parameters_total, model.has_experts) == (4, False)


@pytest.mark.parametrize("name", ["m-1-of-².gguf", "m-1-of-\u0661.gguf", "m-²-of-2.gguf", "m-1-of-0.gguf"])
def test_a_name_that_only_looks_like_a_part_is_a_whole_file(name, tmp_path):
    """Parts are numbered by the digits 0 to 9, from 1 on."""
    shutil.copy(MADE / "llama.gguf", tmp_path / name)

    assert find_model(str(tmp_path / name)).parameters_total == find_model(str(MADE / "llama.gguf")).parameters_total


def test_an_array_that_is_named_often_is_read_once(tmp_path):
    """A schema of some bytes cannot have one array read twenty thousand times."""
    schema = json.dumps({"content": [{"coef_": {"file": "a.npy"}}] * 20_000})
    model = read(tmp_path, "x.skops", skops(schema, a=np.zeros(500_000)))

    assert (model.parameters_total, model.flop_per_sample) == (500_000, 1_000_000)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("hessian", [[[1], 2], ["a" * 100_000, "b"], "abc", [10**39], [float("1e308")] * 3])
def test_weights_of_nodes_that_are_none_are_passed_over(hessian, tmp_path):
    """Without usable training rows every leaf is as likely."""
    tree = {"left_children": [1, -1, -1], "right_children": [2, -1, -1], "sum_hessian": hessian}
    model = read(tmp_path, "x.json", xgboost(trees=[tree]))

    assert (model.parameters_total, model.flop_per_sample) == (3, 2)


def test_trees_without_end_are_not_built():
    """The levels of all trees have a bound, and trees behind it are never looked at."""
    with pytest.raises(InputError, match="more than 200,000 trees, of 2,000,000 levels in all"):
        bounded(repeat(Tree(0, 1, 0, 0.0)), "model.txt")


def test_the_heaviest_leaves_keep_the_mean_depth_finite():
    """Training rows near the largest float are weighed without an overflow."""
    left, right = np.array([1, 3, -1, -1, -1]), np.array([2, 4, -1, -1, -1])

    assert tree_of(left, right, np.array([0, 0, 0, 8e307, 8e307]), "").mean_depth == 2


@pytest.mark.parametrize("part", ["..", ".", "", "a/b", "a\0b", "text\n"])
def test_parts_of_a_pipeline_lie_beside_its_index(part, tmp_path):
    """A part named like the folder above, or like no folder, is refused by its name."""
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pipe").mkdir()
    index = json.dumps({"_class_name": "FluxPipeline", part: ["diffusers", "AutoencoderKL"]}).encode()

    with pytest.raises(InputError, match="is not the name of a folder beside it") as raised:
        read(tmp_path / "pipe", "model_index.json", index)
    assert repr(part) in raised.value.message
