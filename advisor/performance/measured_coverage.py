"""Measured set-ups, under which loads, and measured accelerators and model families at all."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.performance.constants import engine_class
from advisor.performance.values import Deployment, Evidence, Scenario
from advisor.records import dataclass
from advisor.tables import read_records

WITHIN = 2.0
"""A load is within interpolation reach up to this factor beyond the smallest and largest measured one."""
_CORES = " cores of "
"""In the name of a processor, and of no accelerator (:func:`advisor.catalog.processors.name_of`)."""
LOAD_COLUMNS = ("concurrency", "input_tokens", "output_tokens")

SetupKey = tuple[str, str, str, int]
"""Architecture, accelerator, engine and precision, accelerators that share a layer."""


@dataclass(frozen=True, slots=True)
class LoadRange:
    """Smallest and largest measured users, prompt and answer."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def holds(self, load: Iterable[float]) -> bool:
        """Whether a load is within reach."""
        ends = zip(load, self.low, self.high, strict=True)
        return all(low / WITHIN <= value <= high * WITHIN for value, low, high in ends)


@dataclass(frozen=True, slots=True)
class MeasuredCoverage:
    """Coverage by measurements: of a prediction's own set-up, or of its kind."""

    measured: Mapping[tuple[SetupKey, Scenario], LoadRange]
    accelerators: frozenset[str]
    families: frozenset[str]

    @classmethod
    def of(cls, entries: Iterable[tuple[SetupKey, str, Scenario, tuple[float, ...]]]) -> "MeasuredCoverage":
        """Gather it from (set-up, family, scenario, load) of every measurement."""
        measured: dict[tuple[SetupKey, Scenario], LoadRange] = {}
        accelerators: set[str] = set()
        families: set[str] = set()
        for setup, family, scenario, load in entries:
            load_range = measured.get((setup, scenario), LoadRange(load, load))
            measured[setup, scenario] = LoadRange(
                tuple(map(min, load_range.low, load)), tuple(map(max, load_range.high, load))
            )  # fmt: skip
            accelerators.add(setup[1])
            families.add(family)
        return cls(measured, frozenset(accelerators), frozenset(families))

    @classmethod
    def read(cls, path: Path) -> "MeasuredCoverage":
        """Read it from its table.

        Raises:
            InputError: the table cannot be read.
        """
        measured: dict[tuple[SetupKey, Scenario], LoadRange] = {}
        families: set[str] = set()
        for row in read_records(path):
            key = (row.text("architecture"), row.text("accelerator"), row.text("stack"), int(row.number("shards")))
            low, high = (tuple(row.number(f"{name}_{end}") for name in LOAD_COLUMNS) for end in ("low", "high"))
            measured[key, row.choice("scenario", Scenario)] = LoadRange(low, high)
            families.add(row.text("family"))
        return cls(measured, frozenset(key[0][1] for key in measured), frozenset(families))

    def cells(self) -> frozenset[str]:
        """Every measured pair of architecture and accelerator, as :func:`cell_of` names it."""
        return frozenset(f"{setup[0]} | {setup[1]}" for setup, _ in self.measured)

    def joined(self, other: "MeasuredCoverage") -> "MeasuredCoverage":
        """Coverage of either's measurements."""
        measured = dict(self.measured)
        for key, held in other.measured.items():
            load_range = measured.get(key, held)
            measured[key] = LoadRange(
                tuple(map(min, load_range.low, held.low)), tuple(map(max, load_range.high, held.high))
            )
        return MeasuredCoverage(measured, self.accelerators | other.accelerators, self.families | other.families)

    def familiar(self, deployment: Deployment) -> Evidence:
        """Evidence for the numbers of a deployment whose own set-up was not measured."""
        known = deployment.accelerator.name in self.accelerators and deployment.family in self.families
        return Evidence.CALIBRATED if known and deployment.draft is None else Evidence.ROOFLINE

    def range_of(self, deployment: Deployment, scenario: Scenario) -> LoadRange | None:
        """Loads under which a deployment was measured; None when it was not."""
        return None if deployment.draft else self.measured.get((setup_key(deployment), scenario))


def setup_key(deployment: Deployment) -> SetupKey:
    """Key by which two deployments are the same set-up."""
    precision = f"{deployment.compute_precision}/{bits_per_param(deployment):g}"
    engine = engine_class(deployment.engine) or deployment.engine.lower()
    shards = deployment.tensor_parallel * deployment.pipeline_parallel * deployment.attention_data_parallel
    return architecture(deployment), deployment.accelerator.name, f"{engine} {precision}", shards


def architecture(deployment: Deployment) -> str:
    """Family, size and depth: models that differ in nothing else are one."""
    shape = deployment.shape
    return f"{deployment.family} {shape.params_total / 1e9:.3g}B {shape.n_layers} layers"


def cell_of(deployment: Deployment) -> str:
    """Architecture and accelerator: the unit that accuracy is judged by."""
    return f"{architecture(deployment)} | {deployment.accelerator.name}"


def of_processors(cells: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Whether each cell is of the cores of a machine: nothing that was learned of accelerators holds there."""
    found: npt.NDArray[np.bool_] = np.char.find(cells, _CORES) >= 0
    return found


def bits_per_param(deployment: Deployment) -> float:
    """Bits of a stored weight, to the next power of two."""
    bits = 8 * deployment.weight_bytes / max(deployment.shape.params_total, 1.0)
    return 2.0 ** round(math.log2(max(bits, 1.0)))
