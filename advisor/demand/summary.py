"""A trace reduced to a small JSON file (``advisor.demand/v1``) that can be kept, shared and planned from."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from advisor.demand.tally import RequestTally, arrival_rate
from advisor.demand.values import Demand, TokenHistogram, TokenQuantiles
from advisor.errors import InputError

SCHEMA = "advisor.demand/v1"


def summary_json(tally: RequestTally, source: str, attribution: str) -> str:
    """The summary of a tally as JSON text.

    Args:
        tally: a counted trace.
        source: where the trace is from, in words.
        attribution: what its licence asks to be said ("" for one's own data).
    """
    demand = tally.demand(source)
    tokens = demand.tokens
    cells = zip(tokens.input_tokens, tokens.output_tokens, tokens.probability, strict=True)
    document = {
        "schema": SCHEMA,
        "source": source,
        "attribution": attribution,
        "requests": demand.requests,
        "window_seconds": round(demand.window_seconds or 0, 3),
        "requests_per_minute": tally.minute_counts().tolist(),
        "input_tokens": _quantiles(demand.input_tokens),
        "output_tokens": _quantiles(demand.output_tokens),
        "longest_request_tokens": demand.longest_request_tokens,
        "token_cells": [
            {
                "input_tokens": round(float(inputs), 3),
                "output_tokens": round(float(outputs), 3),
                "requests": round(float(share) * tally.requests),
            }
            for inputs, outputs, share in cells
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def read_summary(path: Path) -> Demand:
    """Demand from a summary file.

    Raises:
        InputError: the file cannot be read, or is no ``advisor.demand/v1``.
    """
    document = _load(path)
    try:
        return _demand(document, path)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        problem = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"not a whole {SCHEMA} document: {problem}",
            where=str(path),
            hint="make it again with `advisor demand summarise`",
        ) from error


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is no JSON ({error})"
        raise InputError(
            f"cannot read the demand summary: {reason}",
            where=str(path),
            hint="make one with `advisor demand summarise TRACE -o FILE`",
        ) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"the schema is not {SCHEMA}", where=str(path), hint="make it with `advisor demand summarise`")
    return document


def _demand(document: dict[str, Any], path: Path) -> Demand:
    cells = np.array(
        [[cell["input_tokens"], cell["output_tokens"], cell["requests"]] for cell in document["token_cells"]],
        dtype=np.float64,
    )
    if not (len(cells) and np.isfinite(cells).all() and (cells >= 0).all() and cells[:, 2].sum() > 0):
        raise ValueError("token_cells holds no requests, or a negative number")
    counts = np.array(document["requests_per_minute"], dtype=np.int64)
    if not (len(counts) and (counts >= 0).all() and counts.sum() == document["requests"]):
        raise ValueError("requests_per_minute does not add up to requests")
    mean = document["requests"] / float(document["window_seconds"])
    return Demand(
        requests_per_second=arrival_rate(counts, mean),
        input_tokens=TokenQuantiles(**document["input_tokens"]),
        output_tokens=TokenQuantiles(**document["output_tokens"]),
        tokens=TokenHistogram(cells[:, 0], cells[:, 1], cells[:, 2] / cells[:, 2].sum()),
        longest_request_tokens=float(document["longest_request_tokens"]),
        source=str(document["source"]),
        requests=int(document["requests"]),
        window_seconds=float(document["window_seconds"]),
        notes=_notes(document, path),
    )


def _notes(document: dict[str, Any], path: Path) -> tuple[str, ...]:
    notes = [str(document["attribution"])] if document.get("attribution") else []
    hours = float(document["window_seconds"]) / 3600
    if hours < 24:
        notes.append(f"{path.name} covers {hours:.1f} h: busier hours of the day or week are unseen")
    return tuple(notes)


def _quantiles(tokens: TokenQuantiles) -> dict[str, float]:
    return {
        "mean": round(tokens.mean, 3),
        "p50": tokens.p50,
        "p95": tokens.p95,
        "p99": tokens.p99,
        "max": tokens.max,
    }
