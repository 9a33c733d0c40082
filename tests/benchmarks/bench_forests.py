"""Trees: how near each measured rate is to what the others give, and the rates of this machine's processor.

Run it with ``python tests/benchmarks/bench_forests.py``; it prints, for each vendor, the error of every row of
``forest_measurements.csv`` that is left out, and asserts nothing. With ``--measure`` it times GTIL on full trees with
random splits and rows, in processor seconds of one core, and prints rows of that table; with ``--measure-onnx`` ONNX
Runtime on trees of the same shapes. They need ``pip install treelite``, and ``pip install onnx onnxruntime``.
"""

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advisor.performance.one_pass.servers import forest_measurements, forest_rates, rate_of

SHAPES = (
    (50, 3, 32), (100, 3, 32), (500, 3, 32), (500, 3, 400), (50, 6, 32), (100, 6, 32), (300, 6, 32), (1000, 6, 32),
    (1000, 6, 100), (50, 8, 32), (100, 8, 32), (500, 8, 32), (500, 8, 400), (50, 10, 32), (300, 10, 32), (1000, 10, 32),
    (100, 12, 100),
)  # fmt: skip
"""Trees, depth and columns."""
BATCH = 256
SECONDS = 0.5
DRAWS = np.random.default_rng(1)


def errors(walker: str, vendor: str) -> Iterator[tuple[str, float]]:
    """Predicted ÷ measured rate of each row of a program on a vendor's hardware, from the others."""
    rows = [row for row in forest_measurements() if (row.walker, row.vendor) == (walker, vendor)]
    for row in rows:
        rest = rate_of([other for other in rows if other is not row])
        yield f"{row.hardware}, {row.work:,.0f} operations a row", rest.per_unit / row.per_unit


def full_tree(depth: int, columns: int) -> dict[str, Any]:
    """A tree of XGBoost whose leaves are all at one depth."""
    nodes, splits = 2 ** (depth + 1) - 1, 2**depth - 1
    at = np.arange(nodes)
    is_split = at < splits
    zeros = [0.0] * nodes
    return {
        "base_weights": zeros, "categories": [], "categories_nodes": [], "categories_segments": [],
        "categories_sizes": [], "default_left": [0] * nodes, "id": 0, "loss_changes": zeros, "sum_hessian": zeros,
        "left_children": np.where(is_split, 2 * at + 1, -1).tolist(),
        "right_children": np.where(is_split, 2 * at + 2, -1).tolist(),
        "parents": np.where(at > 0, (at - 1) // 2, 2**31 - 1).tolist(),
        "split_conditions": DRAWS.uniform(0.3, 0.7, nodes).tolist(),
        "split_indices": np.where(is_split, DRAWS.integers(0, columns, nodes), 0).tolist(),
        "split_type": [0] * nodes,
        "tree_param": {"num_deleted": "0", "num_feature": str(columns), "num_nodes": str(nodes), "size_leaf_vector": "1"},
    }  # fmt: skip


def full_forest(trees: int, depth: int, columns: int) -> dict[str, Any]:
    """A model of XGBoost of full trees."""
    booster = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(trees)},
        "iteration_indptr": [*range(trees + 1)],
        "tree_info": [0] * trees,
        "trees": [full_tree(depth, columns) for _ in range(trees)],
    }
    parameters = {"base_score": "5E-1", "num_class": "0", "num_feature": str(columns), "num_target": "1"}
    learner = {
        "attributes": {}, "feature_names": [], "feature_types": [],
        "gradient_booster": {"model": booster, "name": "gbtree"},
        "learner_model_param": parameters | {"boost_from_average": "1"},
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    }  # fmt: skip
    return {"learner": learner, "version": [2, 1, 1]}


def fastest(call: Callable[[], object]) -> float:
    """Least processor seconds of a call among those of half a second."""
    taken: list[float] = []
    while sum(taken) < SECONDS or len(taken) < 3:
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return min(taken)


def onnx_forest(trees: int, depth: int, columns: int) -> bytes:
    """A graph of one ensemble of full trees."""
    onnx = importlib.import_module("onnx")
    nodes, splits = 2 ** (depth + 1) - 1, 2**depth - 1
    at, tree = np.tile(np.arange(nodes), trees), np.repeat(np.arange(trees), nodes)
    is_split = at < splits
    leaves = int((~is_split).sum())
    ensemble = onnx.helper.make_node(
        "TreeEnsembleRegressor", ["rows"], ["scores"], domain="ai.onnx.ml", n_targets=1, post_transform="NONE",
        nodes_treeids=tree.tolist(), nodes_nodeids=at.tolist(),
        nodes_featureids=np.where(is_split, DRAWS.integers(0, columns, at.size), 0).tolist(),
        nodes_values=np.where(is_split, DRAWS.uniform(0.3, 0.7, at.size), 0.0).tolist(),
        nodes_modes=np.where(is_split, "BRANCH_LEQ", "LEAF").tolist(),
        nodes_truenodeids=np.where(is_split, 2 * at + 1, 0).tolist(),
        nodes_falsenodeids=np.where(is_split, 2 * at + 2, 0).tolist(),
        target_treeids=tree[~is_split].tolist(), target_nodeids=at[~is_split].tolist(),
        target_ids=[0] * leaves, target_weights=[0.5] * leaves,
    )  # fmt: skip
    taken, told = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, wide])
        for name, wide in (("rows", columns), ("scores", 1))
    )
    sets = [onnx.helper.make_opsetid(*named) for named in (("", 17), ("ai.onnx.ml", 3))]
    graph = onnx.helper.make_graph([ensemble], "forest", [taken], [told])
    made = onnx.helper.make_model(graph, opset_imports=sets, ir_version=9)
    return bytes(made.SerializeToString())


def measure_onnx(shapes: Sequence[tuple[int, int, int]]) -> None:
    """Print rows per second of one core for some shapes in ONNX Runtime."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for trees, depth, columns in shapes:
        session = runtime.InferenceSession(
            onnx_forest(trees, depth, columns), options, providers=["CPUExecutionProvider"]
        )
        rows = DRAWS.uniform(0, 1, (BATCH, columns)).astype(np.float32)
        seconds = fastest(lambda session=session, rows=rows: session.run(None, {"rows": rows}))
        print(f"1,{trees},{depth},{trees * (2 ** (depth + 1) - 1)},{columns},{BATCH},{BATCH / seconds:.0f}")


def measure(shapes: Sequence[tuple[int, int, int]]) -> None:
    """Print rows per second of one core for some shapes."""
    treelite = importlib.import_module("treelite")
    for trees, depth, columns in shapes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            path.write_text(json.dumps(full_forest(trees, depth, columns)))
            model = treelite.frontend.load_xgboost_model(str(path), format_choice="json")
        rows = DRAWS.uniform(0, 1, (BATCH, columns)).astype(np.float32)
        seconds = fastest(lambda model=model, rows=rows: treelite.gtil.predict(model, rows, nthread=1))
        nodes = trees * (2 ** (depth + 1) - 1)
        print(f"1,{trees},{depth},{nodes},{columns},{BATCH},{BATCH / seconds:.0f}")


if __name__ == "__main__":
    if "--measure-onnx" in sys.argv:
        print("cores,trees,depth,nodes,columns,batch,rows_per_second")
        measure_onnx(SHAPES)
    elif "--measure" in sys.argv:
        print("cores,trees,depth,nodes,columns,batch,rows_per_second")
        measure(SHAPES)
    else:
        for walker, vendor in forest_rates():
            where, ratios = f"{walker} {vendor}", dict(errors(walker, vendor))
            for name, ratio in errors(walker, vendor):
                print(f"{where:18} {ratio:6.2f} × measured  {name}")
            off = np.abs(np.log([*ratios.values()]))
            print(
                f"{where:18} median {np.expm1(np.median(off)):.0%}, nine of ten {np.expm1(np.quantile(off, 0.9)):.0%}"
            )
