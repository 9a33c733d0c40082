"""Bytes of requests and answers by hand, of every kind of model; formulas of docs/planning.md."""

from fractions import Fraction

GB = Fraction(10**9)
ENVELOPE = 700
"""Bytes around a request or an answer."""
LABELS, SCORE, NUMBER, PIXEL, TEXT_TOKEN, STREAMED_TOKEN, AUDIO_SECOND, SPOKEN_SECOND, IMAGE = (
    300, 60, 12, Fraction(15_394_305, 24 * 768 * 512) * Fraction(4, 3), 4, 250, 32_000, 15, 3 * 224 * 224 * 4,
)  # fmt: skip


def is_one_pass(demand):
    """Whether answers come whole."""
    return demand.get("unit", "tokens") != "tokens"


def traffic(question):
    """(GB of a request, GB of its answer)."""
    demand, model = question["demand"], question["model"]
    size, items = (Fraction(str(demand[name]["mean"])) for name in ("input_tokens", "output_tokens"))
    if not is_one_pass(demand):
        return (ENVELOPE + size * TEXT_TOKEN) / GB, (ENVELOPE + items * STREAMED_TOKEN) / GB
    sent, answered = _bytes_of_item(demand["unit"], model, size, demand.get("pictures"))
    return (ENVELOPE + items * sent) / GB, (ENVELOPE + items * answered) / GB


def _bytes_of_item(unit, model, size, pictures):
    seconds = size / 1000
    if model.get("outputs"):
        answered = sum(_tensor_bytes(tensor, size) for tensor in model["outputs"])
    else:
        score = any(mark in model["name"].lower() for mark in ("rerank", "cross-encoder"))
        answered = {
            "texts": SCORE if score else _bytes_of_text(model, size), "audio": seconds * SPOKEN_SECOND,
            "images": LABELS, "pictures": PIXEL * (pictures["width"] * pictures["height"] if pictures else 1024 * 1024), "rows": 4,
        }[unit]  # fmt: skip
    sent = {
        "texts": size * TEXT_TOKEN, "audio": seconds * AUDIO_SECOND, "pictures": 0, "rows": size * 4,
        "images": sum(_tensor_bytes(tensor, size) for tensor in model.get("inputs", ())) or IMAGE,
    }[unit]  # fmt: skip
    return sent, answered


def _bytes_of_text(model, size):
    """A vector of the model, or one for each token, 21 bytes a number; 200 terms of 36 bytes of a sparse encoder."""
    answer = model.get("answer")
    if answer == "vectors":
        return size * (model.get("token_numbers") or model["hidden"]) * 21
    return 200 * 36 if answer == "terms" else model["hidden"] * NUMBER


def _tensor_bytes(tensor, size):
    numbers = Fraction(1)
    for length in tensor["shape"]:
        numbers *= size if length is None else length
    return numbers * int("".join(filter(str.isdigit, tensor["type"])) or 8) / 8
