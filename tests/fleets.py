"""Measurements of a fleet of one's own, made from published ones."""

from dataclasses import replace
from functools import cache

from advisor.calibration.observations import Measurement, load_measurements

CELLS = (("meta-llama/Meta-Llama-3.1-70B", "H200-SXM"), ("MiniMaxAI/MiniMax-M2.5", "H200-SXM"))


@cache
def published_measurements() -> tuple[Measurement, ...]:
    """A tenth of the published measurements, and all of the cells that the fleet runs."""
    rows = load_measurements().measurements
    return tuple(one for at, one in enumerate(rows) if at % 10 == 0 or _cell(one) in CELLS)


def fleet(slower: float, every: int = 12) -> list[Measurement]:
    """Some loads of the fleet, so much slower than published."""
    rows = [one for one in published_measurements() if _cell(one) in CELLS and one.tpot_ms and one.ttft_ms]
    return [
        replace(one, ttft_ms=one.ttft_ms * slower, tpot_ms=one.tpot_ms * slower, source="", where=f"own.csv:{at}")
        for at, one in enumerate(rows[::every], start=2)
        if one.ttft_ms and one.tpot_ms
    ]


def _cell(one: Measurement) -> tuple[str, str]:
    return one.setup.model, one.setup.accelerator
