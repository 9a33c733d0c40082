"""A trace reduced to a small JSON file (``advisor.demand/v1``) that can be kept, shared and planned from."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np

from advisor.demand.spread import MONDAY_SECONDS, iso_minute
from advisor.demand.tally import RequestTally, arrival_rate, profile_notes
from advisor.demand.values import Demand, DemandProfile, Dispersion, Floats, TokenHistogram, TokenQuantiles, Unit
from advisor.errors import InputError
from advisor.reading import read_json
from advisor.records import asdict
from advisor.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_MINUTE, span_words

SCHEMA = "advisor.demand/v1"
_MOST_DISPERSION = 1_000_000


def summary_json(tally: RequestTally, source: str, attribution: str, unit: Unit = Unit.TOKENS) -> str:
    """The summary of a tally as JSON text.

    Of a one-pass unit the input tokens are the sizes of the items in it, and the output tokens the items of a request.
    *source*: where the trace is from, in words. *attribution*: what its licence asks to be said; "" for one's own data.
    """
    demand = tally.demand(source)
    tokens, profile = demand.tokens, tally.profile()
    cells = zip(tokens.input_tokens, tokens.output_tokens, tokens.probability, strict=True)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "source": source,
        "attribution": attribution,
        **({"unit": unit.value} if unit.is_one_pass else {}),
        "requests": demand.requests,
        "window_seconds": round(demand.window_seconds or 0, 3),
        "start": iso_minute(profile.start_seconds),
        "requests_per_minute": [None if np.isnan(count) else int(count) for count in profile.requests_per_minute],
        "dispersion": {
            window: None if ratio is None else round(ratio, 4) for window, ratio in asdict(profile.dispersion).items()
        },
        "input_tokens": asdict(demand.input_tokens) | {"mean": round(demand.input_tokens.mean, 3)},
        "output_tokens": asdict(demand.output_tokens) | {"mean": round(demand.output_tokens.mean, 3)},
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
    if notes := tally.notes():
        document["notes"] = list(notes)
    if profile.tokens_by_hour:
        used = tally.cell_counts[:, tally.cell_counts.any(axis=0)]
        document["token_cells_by_hour"] = {str(hour): used[hour].tolist() for hour in profile.tokens_by_hour}
    return json.dumps(document, indent=1) + "\n"


def read_summary(path: Path) -> Demand:
    """Demand from a summary file. Raises InputError if the file cannot be read, or is not an ``advisor.demand/v1``."""
    document = read_json(path, "demand summary", "make one with `advisor demand summarise TRACE -o FILE`")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"the schema is not {SCHEMA}", where=str(path), hint="make it with `advisor demand summarise`")
    try:
        return _demand(document, path)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        problem = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"not a whole {SCHEMA} document: {problem}",
            where=str(path),
            hint="make it again with `advisor demand summarise`",
        ) from error


def _demand(document: dict[str, Any], path: Path) -> Demand:
    cells = np.array(
        [[cell["input_tokens"], cell["output_tokens"], cell["requests"]] for cell in document["token_cells"]],
        dtype=np.float64,
    )
    if not (len(cells) and np.isfinite(cells).all() and (cells >= 0).all() and cells[:, 2].sum() > 0):
        raise ValueError("token_cells holds no requests, or a negative number")
    profile = _profile(document, cells)
    mean = document["requests"] / float(document["window_seconds"])
    notes = [str(document["attribution"])] if document.get("attribution") else []
    notes += map(str, document.get("notes", ()))
    seconds = float(document["window_seconds"])
    if seconds < SECONDS_PER_DAY:
        notes.append(f"{path.name} covers {span_words(seconds)}: busier hours of the day or week are unseen")
    return Demand(
        requests_per_second=arrival_rate(profile.requests_per_minute, mean),
        input_tokens=_read_quantiles(document, "input_tokens"),
        output_tokens=_read_quantiles(document, "output_tokens"),
        tokens=TokenHistogram(cells[:, 0], cells[:, 1], cells[:, 2] / cells[:, 2].sum()),
        longest_request_tokens=float(document["longest_request_tokens"]),
        source=str(document["source"]),
        unit=Unit(document.get("unit", Unit.TOKENS)),
        requests=int(document["requests"]),
        window_seconds=float(document["window_seconds"]),
        notes=(*notes, *profile_notes(profile)),
        profile=profile,
    )


def _profile(document: dict[str, Any], cells: Floats) -> DemandProfile:
    """Demand by the minute; without a start, the first minute opens a Monday."""
    counts = np.array(document["requests_per_minute"], dtype=np.float64)
    observed = counts[~np.isnan(counts)]
    is_valid = observed.size > 0 and np.isfinite(observed).all() and (observed >= 0).all()
    if not (is_valid and observed.sum() == document["requests"]):
        raise ValueError("requests_per_minute does not add up to requests")
    window_seconds = float(document["window_seconds"])
    # The first and the last minute are cut off by the edges of the window.
    least, most = (observed.size - 2) * SECONDS_PER_MINUTE, observed.size * SECONDS_PER_MINUTE
    if not (window_seconds > 0 and least - 1 <= window_seconds <= most + 1):
        raise ValueError(f"window_seconds ({window_seconds:g}) is not the span of {observed.size} requests_per_minute")
    dispersion = _part(document, "dispersion")
    if any(ratio is not None and not 0 <= ratio < _MOST_DISPERSION for ratio in dispersion.values()):
        raise ValueError(f"dispersion must be from 0 to {_MOST_DISPERSION:,}: {dispersion}")
    return DemandProfile(
        start_seconds=_start_seconds(document.get("start")),
        requests_per_minute=counts,
        dispersion=Dispersion(**dispersion),
        tokens_by_hour=_tokens_by_hour(_part(document, "token_cells_by_hour"), cells),
    )


def _start_seconds(start: str | None) -> float:
    if not start:
        return MONDAY_SECONDS
    moment = dt.datetime.fromisoformat(start)
    if moment.tzinfo is None:
        raise ValueError(f"start ({start}) names no time zone: write it in UTC, as 2026-01-31T18:15Z")
    return moment.timestamp()


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    """An object of the document, empty where it is missing."""
    part = document.get(name, {})
    if not isinstance(part, dict):
        raise TypeError(f"{name} ({part!r}) is not an object")
    return part


def _read_quantiles(document: dict[str, Any], name: str) -> TokenQuantiles:
    """Quantiles in their order."""
    quantiles = TokenQuantiles(**document[name])
    in_order = 0 <= quantiles.p50 <= quantiles.p95 <= quantiles.p99 <= quantiles.max
    if not (in_order and 0 <= quantiles.mean <= quantiles.max):
        raise ValueError(f"{name} is not in order: {document[name]}")
    return quantiles


def _tokens_by_hour(cells_by_hour: dict[str, list[int]], cells: Floats) -> dict[int, TokenHistogram]:
    histograms = {}
    for hour, numbers in cells_by_hour.items():
        counts = np.array(numbers, dtype=np.float64)
        is_valid = counts.shape == (len(cells),) and (counts >= 0).all() and counts.any()
        if hour not in map(str, range(HOURS_PER_DAY)) or not is_valid:
            raise ValueError(f"token_cells_by_hour of {hour} does not fit the hours or token_cells")
        used = counts > 0
        histograms[int(hour)] = TokenHistogram(cells[used, 0], cells[used, 1], counts[used] / counts.sum())
    return histograms
