"""Features of a deployment for the learned residual, whatever its load: sizes, and kinds of engine and hardware.

Dates of releases are those that the residual was fitted with. A release that is newer than what was measured has the
date of the newest measured one: nothing was learned of it.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import cache

import numpy as np

from advisor.data_files import data_dir
from advisor.performance.constants import ENGINES, engine_class, is_cpu, stack_class
from advisor.performance.physics import Floats, Replicas
from advisor.performance.values import Deployment
from advisor.tables import read_records

UNNUMBERED = ("nightly", "branch", "main")
"""Words of a version that is newer than every numbered one."""
DAYS_PER_YEAR = 365.25

Version = tuple[int, ...]


@cache
def release_year(engine: str, version: str) -> float | None:
    """Year, with its fraction, in which a version came out; None where the version is not stated or not known.

    A version between two known ones has the date of the older, one after all of them that of the newest.
    """
    releases = _releases().get(engine_class(engine), ())
    if not releases or not version:
        return None
    if any(word in version.lower() for word in UNNUMBERED):
        return releases[-1][1]
    asked = _numbers(version)
    return next((year for numbers, year in reversed(releases) if asked and numbers <= asked), None)


def _numbers(version: str) -> Version | None:
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in match[1].split(".")) if match else None


@cache
def _releases() -> dict[str, tuple[tuple[Version, float], ...]]:
    """Known versions of each engine class, oldest first."""
    releases: dict[str, list[tuple[Version, float]]] = {}
    for row in read_records(data_dir("instance_catalog") / "calibration" / "engine_dates.csv"):
        numbers, day = _numbers(row.text("version")), date.fromisoformat(row.text("released"))
        if numbers is None:
            row.fail("version", "this is no version")
        year = day.year + day.timetuple().tm_yday / DAYS_PER_YEAR
        releases.setdefault(row.text("engine"), []).append((numbers, year))
    return {engine: tuple(sorted(rows)) for engine, rows in releases.items()}


SIZES = (
    "log2_shards", "log2_pipeline", "attention_data_parallel", "is_moe", "log_sparsity", "is_mla", "window_share",
    "log2_weight_bytes", "log_peak", "log_quantised_peak", "log_peak_per_link", "log_hidden", "log_active_params",
    "log_layers", "layer_split", "log_cache_per_param",
)  # fmt: skip
VENDORS = ("amd", "intel", "aws", "google")
GENERATIONS = ("ampere", "ada", "hopper", "blackwell", "cdna", "gaudi", "turing", "volta")
TRAITS = (
    *(f"engine_{name}" for name in (*ENGINES, "other")),
    "engine_atom",
    *(f"vendor_{name}" for name in VENDORS),
    *(f"generation_{name}" for name in GENERATIONS),
    "stack_amd-2024",
    "version_known",
    "years_of_version",
)
MIDDLE_YEAR = 2025.5
"""Middle of the years that versions came out in: where an unknown one is put."""


def sizes_of(r: Replicas) -> Floats:
    """Sizes of many replicas, shape (n, sizes); none is the memory bandwidth."""
    moe = r.experts > 0
    columns = [
        np.log2(r.shards),
        np.log2(r.pipeline),
        (r.attention_shards < r.shards).astype(np.float64),
        moe.astype(np.float64),
        np.log(np.maximum(r.experts, 1.0) / np.maximum(r.experts_per_token, 1.0)),
        (r.decode_width > 1.5 * r.prefill_width).astype(np.float64),
        r.window_share,
        np.log2(r.weight_bytes_per_param),
        np.log(r.attention_flops),
        np.log(r.flops / r.attention_flops),
        np.log(r.attention_flops / r.link),
        np.log(r.hidden),
        np.log(r.params_active),
        np.log(r.layers),
        r.layer_split,
        np.log(np.maximum(r.kv_elements_per_token, 1.0) / r.params_active),
    ]
    return np.column_stack(columns)


def traits_of(deployments: Sequence[Deployment]) -> Floats:
    """The kinds of many deployments, each 0 or 1, and the age of their engine; shape (n, traits)."""
    return np.array([_traits(*_stack_of(deployment)) for deployment in deployments], dtype=np.float64).reshape(
        -1, len(TRAITS)
    )


def _stack_of(deployment: Deployment) -> tuple[str, str, str, str, str]:
    """All that decides the kinds of a deployment."""
    accelerator = deployment.accelerator
    engine = deployment.engine, deployment.engine_version
    return accelerator.vendor.lower(), accelerator.architecture.lower(), accelerator.name, *engine


@cache
def _traits(vendor: str, generation: str, accelerator: str, engine: str, version: str) -> tuple[float, ...]:
    kind = engine_class(engine) or "other"
    maker = "" if is_cpu(accelerator) else vendor
    traits = {f"engine_{kind}", f"vendor_{maker}", f"stack_{stack_class(vendor, accelerator, engine, version)}"}
    traits |= {f"generation_{name}" for name in GENERATIONS if generation.startswith(name)}
    if "atom" in engine.lower():
        traits.add("engine_atom")
    year = release_year(engine, version)
    kinds = tuple(float(name in traits) for name in TRAITS[:-2])
    return *kinds, float(year is not None), 0.0 if year is None else year - MIDDLE_YEAR
