"""Memory of a replica by hand: bytes of weights, workspace, runtime and KV cache, from the layers and the tables.

What is computed here is described in docs/models.md; no line of the product is used. A model is the plain values of a
plan's ``question.model``.
"""

import re
from fractions import Fraction
from math import ceil, floor

from recompute.facts import by_columns, machine, number, rows

GIB = 2**30
BITS = {
    "fp32": Fraction(32), "bf16": Fraction(16), "fp16": Fraction(16), "fp8": Fraction(8), "int8": Fraction(8),
    "int4": Fraction(4 * 128 + 16 + 4, 128), "nvfp4": Fraction(4 * 16 + 8, 16), "mxfp4": Fraction(4 * 32 + 8, 32),
}  # fmt: skip
TWO_BYTES = 2
BLOCK = 16
LLAMA_CPP = "llama.cpp server"
GGUF = {"int8": ("Q8_0", "Q8_0"), "int4": ("Q4_K", "Q6_K")}
"""Blocks of llama.cpp's quantiser by precision: of usual matrices, and of those that it takes more care of."""
BLOCKS = {
    "Q8_0": (32, 2 + 32), "Q4_K": (256, 2 + 2 + 12 + 128), "Q6_K": (256, 128 + 64 + 16 + 2), "Q5_0": (32, 2 + 4 + 16),
    "F16": (1, 2), "F32": (1, 4),
}  # fmt: skip
"""Weights of a block, and its bytes: scales and minima, low bits, high bits."""
SMALLER = {"Q4_K": "Q5_0", "Q6_K": "Q8_0", "Q8_0": "F16"}
"""Blocks for rows that those of 256, or of 32, do not divide."""


def latent(model):
    """Whether attention is latent."""
    return any(layer["mixer"] and layer["mixer"]["kind"] == "latent" for layer, _ in model["layers"])


def with_experts(model):
    """Whether any layer has routed experts."""
    return any(layer["feed_forward"] and layer["feed_forward"]["experts"] for layer, _ in model["layers"])


def narrow_parts(model, precision):
    """Parts of a layer that a precision is applied to: experts, dense, attention."""
    if BITS[precision] >= 16:
        return set()
    scope = "all"
    if precision == model["checkpoint"]["precision"]:
        scope = model["checkpoint"]["scope"]
    elif precision == "mxfp4" and with_experts(model):
        scope = "experts"
    elif precision == "nvfp4" and latent(model):
        scope = "not_attention"
    return {
        "experts": {"experts"}, "not_attention": {"experts", "dense"}, "all": {"experts", "dense", "attention"},
    }[scope]  # fmt: skip


def layer_tensors(layer):
    """(part, parameters, how they are held) of a layer: how is split, whole, or a number of key-value heads."""
    mixer, network = layer["mixer"], layer["feed_forward"]
    yield "norm", layer["norm_parameters"], "whole"
    yield "other", layer["extra_parameters"], "split"
    if mixer:
        rest = mixer["matrix_parameters"] - mixer["kv_parameters"] - mixer["replicated_parameters"]
        yield "attention", rest, "split"
        yield "attention", mixer["kv_parameters"], mixer["kv_heads"] or "split"
        yield "attention", mixer["replicated_parameters"], "whole"
        yield "other", mixer["other_parameters"], "split"
    if network:
        yield "experts", network["experts"] * network["expert_matrix_parameters"], "split"
        yield "dense", network["matrix_parameters"], "split"
        yield "other", network["other_parameters"] + network["experts"] * network["expert_other_parameters"], "split"
        yield "router", network["router_parameters"], "whole"


def on_rank(parameters, held, ranks):
    """Parameters that one rank holds; keys and values are repeated where there are more ranks than heads of them."""
    if held == "whole":
        return Fraction(parameters)
    if held == "split" or held >= ranks:
        return Fraction(parameters, ranks)
    return Fraction(parameters, held)


def layer_bytes(layer, model, precision, ranks, expert_multiple=None):
    """Bytes of a layer on one rank; with a multiple, experts in MXFP4 padded as their kernels want them."""
    narrow, wide = narrow_parts(model, precision), max(BITS[precision], 16)
    total = Fraction(0)
    for part, parameters, held in layer_tensors(layer):
        bits = BITS[precision] if part in narrow else wide
        share = on_rank(parameters, held, ranks) * bits / 8
        if part == "experts" and parameters and precision == "mxfp4" and expert_multiple:
            share *= padding(layer["feed_forward"], ranks, expert_multiple)
        total += share
    return total


def padding(network, ranks, multiple):
    """Size of an expert as loaded ÷ as stored."""
    width = Fraction(network["expert_intermediate"], ranks)
    return Fraction(ceil(Fraction(network["hidden"], 256)) * 256, network["hidden"]) * (
        ceil(width / multiple) * multiple / width
    )


def stored_bytes(model, precision):
    """Bytes of a checkpoint: every parameter once."""
    around = sum(model["surroundings"].values())
    inside = sum(layer_bytes(layer, model, precision, 1) * count for layer, count in model["layers"])
    return inside + Fraction(around) * max(BITS[precision], 16) / 8


def rank_bytes(model, precision, ranks, stages, multiple):
    """Bytes of weights on the fullest accelerator: of several stages the last, with the output head."""
    around, wide = model["surroundings"], max(BITS[precision], 16) / 8
    layers = [(layer_bytes(layer, model, precision, ranks, multiple), count) for layer, count in model["layers"]]
    inside = sum(size * count for size, count in layers)
    count = sum(count for _, count in model["layers"]) * model["layer_repeats"]
    if stages > 1 and count:
        inside *= Fraction(ceil(Fraction(count, stages)), count)
    tables = ("embeddings", "layer_embeddings", "head", "towers", "other")
    outside = sum(around[name] for name in tables) if stages == 1 else around["head"] or around["embeddings"]
    rotary = model["rotary"]["positions"] * model["rotary"]["dim"] * model["rotary"]["tables"]
    return inside + (Fraction(outside, ranks) + around["positions"] + around["norms"] + rotary) * wide


def replica_bytes(model, precision, ranks, stages, multiple):
    """Bytes of weights over all accelerators of a replica."""
    around, wide = model["surroundings"], max(BITS[precision], 16) / 8
    rotary = model["rotary"]["positions"] * model["rotary"]["dim"] * model["rotary"]["tables"]
    again = rotary * ranks * (stages - 1)
    if stages > 1 and not around["head"]:
        again += around["embeddings"]
    return rank_bytes(model, precision, ranks, 1, multiple) * ranks + again * wide


def gguf_stored_bytes(model, precision):
    """Bytes of a GGUF in a precision: of the file that is planned, else of what llama.cpp makes of published weights."""
    own = model["checkpoint"]
    if own["file_bytes"] and own["precision"] == precision:
        return Fraction(own["file_bytes"])
    return Fraction(round(gguf_bytes(model, *GGUF[precision]))) if precision in GGUF else None


def gguf_loaded_bytes(model, precision):
    """Bytes of a GGUF with the tables of positions, which are as much smaller as the file; None: no blocks of its own."""
    stored = gguf_stored_bytes(model, precision)
    return stored and stored * replica_bytes(model, precision, 1, 1, None) / stored_bytes(model, precision)


def gguf_bytes(model, usual, careful):
    """Bytes of the tensors of a GGUF, one layer after the other."""
    around, hidden = model["surroundings"], model["hidden"]
    depth = sum(count for _, count in model["layers"]) * model["layer_repeats"]
    chosen = [gets_more_bits(at, depth) for at in range(depth)]
    more = Fraction(sum(chosen), depth) if depth else 0
    total = sum(
        count
        * (more * gguf_layer(layer, hidden, usual, careful) + (1 - more) * gguf_layer(layer, hidden, usual, usual))
        for layer, count in model["layers"]
    )
    total += (around["positions"] + around["norms"] + around["other"]) * Fraction(4)
    total += around["layer_embeddings"] * a_weight(usual, hidden) + around["head"] * a_weight(careful, hidden)
    return total + around["embeddings"] * a_weight(usual if around["head"] else careful, hidden)


def gets_more_bits(at, depth):
    """Whether a layer's values and down projection have careful blocks: the outer eighths, and every third between."""
    inner = at - depth // 8
    return inner < 0 or at >= 7 * depth // 8 or inner % 3 == 2


def gguf_layer(layer, hidden, usual, careful):
    """Bytes of a layer whose values and down projections are in *careful* blocks."""
    mixer, network = layer["mixer"], layer["feed_forward"]
    total = layer["norm_parameters"] * Fraction(4) + layer["extra_parameters"] * a_weight(usual, hidden)
    if mixer:
        values = Fraction(mixer["kv_parameters"], 2)
        total += (mixer["matrix_parameters"] - values) * a_weight(usual, hidden) + values * a_weight(careful, hidden)
        total += mixer["other_parameters"] * Fraction(4)
    if network:
        matrices, experts = network.get("matrices", 3), network["experts"]
        down = Fraction(network["matrix_parameters"], matrices)
        total += (network["matrix_parameters"] - down) * a_weight(usual, hidden)
        total += down * a_weight(careful, round(down / hidden)) if down else 0
        down = Fraction(network["expert_matrix_parameters"], matrices)
        total += experts * (network["expert_matrix_parameters"] - down) * a_weight(usual, hidden)
        total += experts * down * a_weight(careful, network["expert_intermediate"])
        small = (
            network["other_parameters"] + network["router_parameters"] + experts * network["expert_other_parameters"]
        )
        total += small * Fraction(4)
    return total


def a_weight(block, row):
    """Bytes of a weight of a row of so many."""
    weights, size = BLOCKS[block]
    if row % weights:
        weights, size = BLOCKS[SMALLER[block]]
    return Fraction(size, weights)


def engine_row(engine, version):
    """Row of the constants of an engine: the newest that is not newer than its version, else the oldest."""
    match = re.search(r"(\d+)\.(\d+)", version)
    wanted = (int(match[1]), int(match[2])) if match else (10**6, 0)
    own = [row for row in rows("memory_engines") if row["engine"].lower() == engine.lower()]
    own = own or [row for row in rows("memory_engines") if row["engine"] == "other"]
    own.sort(key=lambda row: tuple(map(int, row["version_from"].split("."))))
    fitting = [row for row in own if tuple(map(int, row["version_from"].split("."))) <= wanted]
    return fitting[-1] if fitting else own[0]


def accelerator_memory_gib(layout):
    """Memory of what a replica's rank runs on: an accelerator, a slice or an equal share of one, or a machine's cores."""
    if " cores of " in layout["accelerator"]:
        return number(machine(layout["provider"], layout["instance_type"])["memory_gib"])
    whole = number(by_columns("accelerators", "name")[layout["accelerator"],]["memory_gib"])
    if layout["partition"].startswith("share "):
        return whole * Fraction(str(layout["accelerator_count"]))
    if layout["partition"]:
        slices = by_columns("partitions", "accelerator", "profile")
        return number(slices[layout["accelerator"], layout["partition"].removeprefix("mig-")]["memory_gib"])
    return whole


def replica(model, layout):
    """Memory of a replica in bytes by part, tokens of its KV cache and whole requests that it holds.

    Args:
        model: plain values of a plan's question.
        layout: tensor and pipeline parallelism, precision, engine and version, context, utilisation, and the memory of
            one accelerator (``memory_gib``) with its name.
    """
    row = engine_row(layout["engine"], layout["engine_version"])
    ranks, stages = layout["tensor_parallel"], layout["pipeline_parallel"]
    precision, context, memory_gib = layout["precision"], layout["context_tokens"], layout["memory_gib"]
    large = memory_gib >= 70 and not layout["accelerator_name"].startswith("A100")
    size = "_large" if large else ""
    sequences, step = int(row[f"sequences{size}"]), int(row[f"step_tokens{size}"])
    if row["step_is_context"] == "yes":
        step = max(step, context)
    multiple = int(row["expert_multiple"])
    gguf = gguf_loaded_bytes(model, precision) if layout["engine"] == LLAMA_CPP else None
    weights = gguf or rank_bytes(model, precision, ranks, stages, multiple)
    workspace = workspace_bytes(model, row, precision, ranks, step, sequences, large=large)
    runtime = number(row["runtime_gib" if ranks == 1 else f"runtime_parallel{size}_gib"]) * GIB
    usable = Fraction(str(layout["memory_utilization"])) * memory_gib * GIB
    width = kv_width(model, precision, layout["kv_precision"])
    left = usable - weights - workspace - runtime
    tokens, held, block_bytes, of_request = cache(model, row, width, (ranks, stages), left, (context, step))
    needed = weights + workspace + runtime + of_request * block_bytes
    all_ranks = ranks * stages
    return {
        "weights": gguf or replica_bytes(model, precision, ranks, stages, multiple),
        "workspace": workspace * all_ranks,
        "runtime": runtime * all_ranks,
        "runtime_of_rank": runtime,
        "usable": usable * all_ranks,
        "cache": max(left, Fraction(0)) * all_ranks,
        "needed": needed * all_ranks,
        "kv_bytes_per_token": sum(kind["elements"] * kind["layers"] for kind in kinds(model)) * width,
        "kv_cache_tokens": tokens,
        "max_concurrency": held,
    }


def kv_width(model, precision, asked):
    """Bytes of a cached element."""
    chosen = asked if asked != "auto" else model["checkpoint"]["kv_precision"]
    if chosen == "auto":
        chosen = "fp32" if precision == "fp32" else "bf16"
    return BITS[chosen] / 8


def workspace_bytes(model, row, precision, ranks, step, sequences, *, large):
    """Working memory of one rank: base, the larger of a forward step and sampling, experts, images, CUDA graphs."""
    generative = bool(kinds(model))
    networks = [(layer["feed_forward"], count) for layer, count in model["layers"] if layer["feed_forward"]]
    widths = [
        network["matrix_parameters"] // (3 * network["hidden"] or 1)
        + network["experts_per_token"] * network["expert_intermediate"]
        for network, _ in networks
    ]
    forward = 3 * step * TWO_BYTES * (model["hidden"] + Fraction(max(widths, default=0), ranks))
    images = model["surroundings"]["towers"] > 0
    logits = min(sequences, step) * model["vocab"] if generative else 0
    kept = step * TWO_BYTES * model["hidden"] * (2 if images else 1) + (2 * logits if precision == "fp32" else 0)
    sampling = kept + number(row["sampler_bytes_per_logit"]) * logits
    routed = [(network, count) for network, count in networks if network["experts"]]
    buffers = Fraction(0)
    if routed and precision != "mxfp4":
        width = Fraction(routed[-1][0]["expert_intermediate"], ranks)
        per_token = max(width, model["hidden"]) + max(2 * width, model["hidden"])
        buffers = step * TWO_BYTES * routed[-1][0]["experts_per_token"] * per_token
    fixed = number(row["workspace_base_gib"]) + (number(row["tower_gib"]) if images else 0)
    layers = sum(count for _, count in model["layers"]) * model["layer_repeats"]
    if row["graphs_counted"] == "yes" and generative and layers:
        graphs = number(row["graph_base_gib"]) + number(row["graph_layer_gib"]) * layers
        graphs += number(row["graph_expert_layer_gib"]) * sum(count for _, count in routed)
        fixed += graphs * (1 if large else Fraction(1, 2))
    return fixed * GIB + max(forward, sampling) + buffers


def kinds(model):
    """Layers that cache alike: elements a token, window, bytes of a state, heads, and how many layers there are."""
    found = {}
    for layer, count in model["layers"]:
        mixer = layer["mixer"]
        if mixer is None:
            continue
        state = mixer["state_elements"] * mixer["state_element_bytes"] + mixer["convolution_elements"] * 2
        if mixer["cache_elements"] or state:
            heads, is_latent = mixer["kv_heads"], mixer["kind"] == "latent"
            key = (mixer["cache_elements"], mixer["window_tokens"], state, heads, is_latent)
            found[key] = found.get(key, 0) + count
    names = ("elements", "window", "state", "heads", "latent")
    return [dict(zip(names, key, strict=True)) | {"layers": layers} for key, layers in found.items()]


def cache(model, row, width, parallel, left, request):
    """(tokens, whole requests, bytes of a block, blocks of a request) of one rank's cache in *left* bytes."""
    every, (ranks, stages), (context, step) = kinds(model), parallel, request
    if not every:
        return 0, 0, 0, 0
    for kind in every:
        share = Fraction(str(kind["elements"]))
        if not kind["latent"] and kind["heads"]:
            share = share / kind["heads"] * max(1, ceil(Fraction(kind["heads"], ranks)))
        kind["bytes"] = share * width
        kind["here"] = ceil(Fraction(kind["layers"], stages))
    uniform = not any(kind["window"] or kind["state"] for kind in every)
    if uniform:
        size, groups, block = sum(kind["here"] * kind["bytes"] for kind in every) * BLOCK, 1, BLOCK
        of_request = ceil(Fraction(context, BLOCK))
    else:
        most, fewest = max(kind["here"] for kind in every), min(kind["here"] for kind in every)
        together = most if most < fewest * Fraction(5, 4) else fewest
        widest, state = max(kind["bytes"] for kind in every), max(Fraction(kind["state"], ranks) for kind in every)
        block = ceil(state / widest / BLOCK) * BLOCK if state and widest else BLOCK
        page = max(widest * block, state)
        size, groups, of_request = page * together, 0, 0
        for kind in every:
            copies = ceil(Fraction(kind["here"], together))
            groups += copies
            of_request += copies * blocks_of(kind, row, page, block, context, step)
    if not size:
        return 0, 0, 0, 0
    blocks = floor(max(left, Fraction(0)) / size)
    if row["hybrid_tokens_per_request"] == "yes" and not uniform and len(every) > 1:
        tokens = blocks * context // of_request
    else:
        tokens = blocks // groups * block
    return tokens, blocks // of_request, size, of_request


def blocks_of(kind, row, page, block, context, step):
    """Blocks that a request takes of one group of layers."""
    if kind["state"]:
        return int(row["recurrent_states"])
    held = floor(page / kind["bytes"]) if kind["bytes"] else block
    if not kind["window"]:
        return ceil(Fraction(context, held))
    return ceil(Fraction(min(kind["window"] - 1 + step, context), held)) + 1


def loading_bytes(model, precision, layout, *, quantised_here):
    """Most that the fullest accelerator holds of weights while they are loaded."""
    row = engine_row(layout["engine"], layout["engine_version"])
    ranks, stages, multiple = layout["tensor_parallel"], layout["pipeline_parallel"], int(row["expert_multiple"])
    if not quantised_here:
        return rank_bytes(model, precision, ranks, stages, multiple)
    kept, passing = (precision, "bf16") if row["quantises_by_layer"] == "yes" else ("bf16", precision)
    largest = max(layer_bytes(layer, model, passing, ranks, multiple) for layer, _ in model["layers"])
    return rank_bytes(model, kept, ranks, stages, multiple) + largest
