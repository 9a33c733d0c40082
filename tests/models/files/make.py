"""Writes the files of ``made/`` with the libraries that people write such files with, and what those count in them.

Run with safetensors 0.8, gguf 0.19, onnx 1.23, torch 2.13, xgboost 3.2, lightgbm 4.7, scikit-learn 1.9 and skops 0.16:
``python tests/models/files/make.py``. Nothing of it is imported by the tests.
"""

import json
from itertools import pairwise
from pathlib import Path

import gguf
import lightgbm
import numpy as np
import onnx
import skl2onnx
import skops.io
import torch
import treelite
import xgboost
from safetensors.torch import save_file
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, SVR
from torch.utils.flop_counter import FlopCounterMode

MADE = Path(__file__).parent / "made"
COUNTED: dict[str, dict[str, float]] = {}


def safetensors() -> None:
    """One file, and the same tensors in two shards."""
    tensors = {
        "model.embed_tokens.weight": torch.zeros(300, 16, dtype=torch.bfloat16),
        "model.layers.0.self_attn.k_proj.weight": torch.zeros(8, 16, dtype=torch.bfloat16),
        "model.layers.1.mlp.weight": torch.zeros(64, 16, dtype=torch.bfloat16),
        "model.norm.weight": torch.zeros(16),
    }
    save_file(tensors, MADE / "one.safetensors", metadata={"format": "pt"})
    names = list(tensors)
    shards = {f"shard-{at + 1:05d}-of-00002.safetensors": names[at::2] for at in range(2)}
    for file, held in shards.items():
        save_file({name: tensors[name] for name in held}, MADE / file)
    index = {"metadata": {}, "weight_map": {name: file for file, held in shards.items() for name in held}}
    (MADE / "shard.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    COUNTED["safetensors"] = {"parameters": sum(map(torch.numel, tensors.values())), "bytes": size}


def ggufs() -> None:
    """A llama in Q8_0 and Q4_0, and an architecture that nobody knows."""
    for architecture, kind in (("llama", gguf.GGMLQuantizationType.Q8_0), ("novel", gguf.GGMLQuantizationType.Q4_0)):
        writer = gguf.GGUFWriter(MADE / f"{architecture}.gguf", architecture)
        writer.add_block_count(2)
        writer.add_embedding_length(64)
        writer.add_feed_forward_length(96)
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
        writer.add_context_length(512)
        writer.add_token_list([f"t{at}" for at in range(128)])
        shapes = {"token_embd": (128, 64), "output_norm": (64,)}
        for layer in range(2):
            block = {"attn_q": (64, 64), "attn_k": (32, 64), "attn_v": (32, 64), "attn_output": (64, 64)}
            block |= {
                "ffn_gate": (96, 64),
                "ffn_up": (96, 64),
                "ffn_down": (64, 96),
                "attn_norm": (64,),
                "ffn_norm": (64,),
            }
            shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
        size = count = 0
        for name, shape in shapes.items():
            data = np.zeros(shape, dtype=np.float32)
            stored = gguf.quants.quantize(data, kind) if len(shape) == 2 else data
            writer.add_tensor(f"{name}.weight", stored, raw_dtype=kind if len(shape) == 2 else None)
            size, count = size + stored.nbytes, count + data.size
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        COUNTED[architecture] = {"parameters": count, "bytes": size}


class Pictures(torch.nn.Module):
    """Convolutions in groups and transposed, resizing, pooling."""

    def __init__(self) -> None:
        """Weights of their first values."""
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = torch.nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.back = torch.nn.ConvTranspose2d(8, 4, 2, 2)
        self.last = torch.nn.Linear(4, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Classes of an image."""
        image = torch.relu(self.grouped(torch.relu(self.first(image))))
        image = torch.nn.functional.interpolate(image, scale_factor=2)
        image = self.back(torch.nn.functional.max_pool2d(image, 2))
        return self.last(image.mean((2, 3)))


class Texts(torch.nn.Module):
    """A layer of attention over tokens."""

    def __init__(self) -> None:
        """Weights of their first values."""
        super().__init__()
        self.words = torch.nn.Embedding(1000, 16)
        self.queries, self.keys, self.values = (torch.nn.Linear(16, 16) for _ in range(3))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Hidden states of a text."""
        hidden = self.words(tokens)
        scores = torch.softmax(self.queries(hidden) @ self.keys(hidden).transpose(1, 2) / 4, dim=-1)
        return scores @ self.values(hidden)


def networks() -> None:
    """An image network of a fixed and of a free size, and a text network of a free length."""
    torch.manual_seed(0)
    cases = {
        "pictures": (Pictures(), torch.zeros(1, 3, 32, 32), {"image": {0: "batch"}}),
        "any_size": (Pictures(), torch.zeros(1, 3, 32, 32), {"image": {0: "batch", 2: "height", 3: "width"}}),
        "texts": (Texts(), torch.zeros(1, 24, dtype=torch.long), {"tokens": {0: "batch", 1: "length"}}),
    }
    for name, (network, given, axes) in cases.items():
        path = MADE / f"{name}.onnx"
        torch.onnx.export(network.eval(), (given,), path, input_names=list(axes), dynamic_axes=axes, dynamo=False)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(given)
        count = sum(map(torch.numel, network.parameters()))
        COUNTED[name] = {"parameters": count, "flop": counter.get_total_flops()}


def rows() -> None:
    """Layers of 6, 16, 8 and 2 columns, which take rows."""
    widths = (6, 16, 8, 2)
    nodes, weights, told = [], [], "x"
    for at, (wide, narrow) in enumerate(pairwise(widths)):
        shapes = {f"w{at}": (wide, narrow), f"b{at}": (narrow,)}
        weights += [onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
        nodes.append(onnx.helper.make_node("Gemm", [told, *shapes], [f"h{at}"]))
        told = f"h{at}"
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, columns])
        for name, columns in (("x", widths[0]), (told, widths[-1]))
    ]
    graph = onnx.helper.make_graph(nodes, "network", tensors[:1], tensors[1:], weights)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    (MADE / "network.onnx").write_bytes(made.SerializeToString())
    COUNTED["network"] = {
        "parameters": sum(wide * narrow + narrow for wide, narrow in pairwise(widths)),
        "flop": sum(2 * wide * narrow for wide, narrow in pairwise(widths)),
    }


def identifiers() -> None:
    """A table of 1,000 users and items, and one layer over the rows of four of them."""
    values = {
        "table": np.ones((1000, 2), np.float32), "layer": np.ones((8, 1), np.float32), "flat": np.array([0, 8], np.int64)
    }  # fmt: skip
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    steps = (
        ("Gather", ["table", "ids"], "rows"),
        ("Reshape", ["rows", "flat"], "row"),
        ("MatMul", ["row", "layer"], "score"),
    )
    nodes = [onnx.helper.make_node(operation, inputs, [output]) for operation, inputs, output in steps]
    taken = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, [None, 4])
    told = onnx.helper.make_tensor_value_info("score", onnx.TensorProto.FLOAT, [None, 1])
    graph = onnx.helper.make_graph(nodes, "identifiers", [taken], [told], weights)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    (MADE / "identifiers.onnx").write_bytes(made.SerializeToString())


def factors() -> None:
    """A score of a user and an item as the dot product of their factors, without a product of matrices."""
    values = {
        "users": np.ones((1000, 16), np.float32), "items": np.ones((1000, 16), np.float32), "axis": np.array([1], np.int64)
    }  # fmt: skip
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    steps = (
        ("Gather", ["users", "user"], "left"),
        ("Gather", ["items", "item"], "right"),
        ("Mul", ["left", "right"], "products"),
        ("ReduceSum", ["products", "axis"], "score"),
    )
    nodes = [onnx.helper.make_node(operation, inputs, [output]) for operation, inputs, output in steps]
    taken = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [None]) for name in ("user", "item")]
    told = onnx.helper.make_tensor_value_info("score", onnx.TensorProto.FLOAT, [None, 1])
    graph = onnx.helper.make_graph(nodes, "factors", taken, [told], weights)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    (MADE / "factors.onnx").write_bytes(made.SerializeToString())


def lines() -> None:
    """Linear models and support vector machines of scikit-learn, with what stands around them."""
    rows, labels = make_classification(200, 6, n_informative=4, n_classes=3, random_state=0)
    given = rows[:1].astype(np.float32)
    models = {
        "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), {"zipmap": False}),
        "logistic_of_maps": (LogisticRegression(), None),
        "linear": (make_pipeline(Normalizer(), LinearRegression()), None),
        "svm": (SVC(kernel="linear"), {"zipmap": False}),
        "radial_svm": (SVR(), None),
    }
    for name, (model, options) in models.items():
        made = skl2onnx.to_onnx(model.fit(rows, labels), given, options=options)
        (MADE / f"{name}.onnx").write_bytes(made.SerializeToString())
    classifier, regressor = models["svm"][0], models["radial_svm"][0]
    COUNTED["svm"] = {"vectors": len(classifier.support_vectors_), "coefficients": classifier.dual_coef_.size}
    COUNTED["radial_svm"] = {"vectors": len(regressor.support_vectors_)}


def trees() -> None:
    """The same rows learned by everything that grows trees, and by a line."""
    rows, labels = make_classification(400, 6, random_state=0)
    data = xgboost.DMatrix(rows, labels)
    booster = xgboost.train({"max_depth": 3, "objective": "binary:logistic"}, data, 5)
    booster.save_model(MADE / "xgboost.json")
    booster.save_model(MADE / "xgboost.ubj")
    xgboost.train({"max_depth": 2, "booster": "dart"}, data, 3).save_model(MADE / "dart.ubj")
    table = booster.trees_to_dataframe()
    COUNTED["xgboost"] = {"parameters": len(table), "trees": 5, "leaves": int((table["Feature"] == "Leaf").sum())}
    light = lightgbm.train({"num_leaves": 7, "verbose": -1}, lightgbm.Dataset(rows, labels), 4)
    light.save_model(MADE / "lightgbm.txt")
    nodes = light.trees_to_dataframe()
    COUNTED["lightgbm"] = {"parameters": len(nodes), "trees": 4, "depth": int(nodes["node_depth"].max()) - 1}
    forest = RandomForestClassifier(3, max_depth=4, random_state=0).fit(rows, labels)
    skops.io.dump(forest, MADE / "forest.skops")
    treelite.sklearn.import_model(forest).serialize(MADE / "forest.tl")
    given = rows[:1].astype(np.float32)
    for name, options in (("forest", None), ("forest_of_tensors", {"zipmap": False})):
        made = skl2onnx.to_onnx(forest, given, options=options)
        (MADE / f"{name}.onnx").write_bytes(made.SerializeToString())
    grown = [tree.tree_ for tree in forest.estimators_]
    COUNTED["forest"] = {
        "splits": sum(tree.node_count - tree.n_leaves for tree in grown),
        "leaves": sum(int(tree.n_leaves) for tree in grown),
        "depth": max(int(tree.max_depth) for tree in grown),
        "comparisons": float(sum((tree.decision_path(rows.astype(np.float32)).sum(1) - 1).mean() for tree in grown)),
    }
    boosted = HistGradientBoostingClassifier(max_iter=3, max_depth=3).fit(rows, labels)
    skops.io.dump(boosted, MADE / "boosted.skops")
    COUNTED["boosted"] = {"parameters": sum(len(tree.nodes) for stage in boosted._predictors for tree in stage)}
    skops.io.dump(LogisticRegression().fit(rows, labels), MADE / "line.skops")
    COUNTED["line"] = {"parameters": 7}


if __name__ == "__main__":
    MADE.mkdir(exist_ok=True)
    for part in (safetensors, ggufs, networks, rows, identifiers, factors, lines, trees):
        part()
    (MADE / "counted.json").write_text(json.dumps(COUNTED, indent=1, default=float) + "\n", encoding="utf-8")
