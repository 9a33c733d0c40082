"""Effects learned of set-ups beside their physics: factors by label, with their evidence and interval.

A factor is the exponential of a sum of effects, one for each combination of labels of the term; a combination that was
never measured adds nothing, so that what is new falls back to its kind, generation and engine. The load is no label of
a factor: a batch takes the same time whoever asks for it. It decides evidence and interval alone.
"""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.performance.one_pass.work import Labels
from advisor.performance.values import Evidence
from advisor.records import dataclass

ARITHMETIC_KEYS = (
    ("kind",),
    ("kind", "width"),
    ("generation",),
    ("accelerator",),
    ("model",),
    ("engine",),
    ("kind", "generation"),
    ("kind", "engine"),
    ("engine", "width"),
    ("model", "width"),
    ("generation", "width"),
    ("model", "generation"),
    ("model", "accelerator", "width", "engine"),
)
REST_KEYS = (
    ("kind",),
    ("engine",),
    ("generation",),
    ("accelerator",),
    ("model",),
    ("kind", "engine"),
    ("model", "generation"),
    ("width",),
)
MEASURED_KEY = ("model", "accelerator", "width", "engine", "scenario")
"""What must agree for a prediction to rest on a measurement."""
NOVELTIES = ("measured", "known", "new model", "known generation", "new both", "new")
"""How far from what was measured: the very set-up; model and accelerator apart; only the accelerator; the model and the
generation of the accelerator; only the generation; no model of the kind on the generation."""


def key_of(labels: Labels, names: tuple[str, ...]) -> str:
    """A combination of labels as the tables name it, "" where one is not known."""
    values = [getattr(labels, name) for name in names]
    return "|".join(f"{name}={value}" for name, value in zip(names, values, strict=True)) if all(values) else ""


@dataclass(frozen=True, slots=True)
class Effects:
    """The calibration of models that answer in one pass."""

    version: str
    arithmetic: Mapping[str, float]
    rest: Mapping[str, float]
    measured: frozenset[str]
    spreads: Mapping[str, tuple[float, float]]
    """Factors to the ends of the 80 % interval, by ``novelty|kind|scenario`` with "" for any."""

    def factors(self, labels: Labels) -> tuple[float, float]:
        """Times the physics: of the arithmetic, and of the rest of a batch."""
        return _factor(self.arithmetic, labels, ARITHMETIC_KEYS), _factor(self.rest, labels, REST_KEYS)

    def novelty(self, labels: Labels) -> str:
        """One of :data:`NOVELTIES`."""
        if key_of(labels, MEASURED_KEY) in self.measured:
            return "measured"
        model = key_of(labels, ("model",)) in self.arithmetic
        if key_of(labels, ("kind", "generation")) not in self.arithmetic:
            return "new"
        if key_of(labels, ("accelerator",)) in self.arithmetic:
            return "known" if model else "new model"
        return "known generation" if model else "new both"

    def evidence(self, labels: Labels) -> Evidence:
        """Calibrated: the accelerator was measured, and the kind of model on its generation."""
        novelty = self.novelty(labels)
        if novelty == "measured":
            return Evidence.MEASURED
        return Evidence.CALIBRATED if novelty in ("known", "new model") else Evidence.ROOFLINE

    def spread(self, labels: Labels) -> tuple[float, float]:
        """Factors to the ends of the 80 % interval: those of the nearest group that was large enough."""
        novelty = self.novelty(labels)
        groups = spread_keys(novelty, labels)
        found = next((self.spreads[group] for group in groups if group in self.spreads), None)
        return found or self.spreads[f"{NOVELTIES[-1]}||"]


def spread_keys(novelty: str, labels: Labels) -> tuple[str, ...]:
    """Groups that a set-up's interval may come from, the narrowest first."""
    return f"{novelty}|{labels.kind}|{labels.scenario}", f"{novelty}||{labels.scenario}", f"{novelty}||"


def effects_from(document: Mapping[str, Any]) -> Effects:
    """Effects from the shipped form; see :func:`advisor.calibration.one_pass.fit_one_pass`."""
    return Effects(
        version=document["version"],
        arithmetic=document["arithmetic"],
        rest=document["rest"],
        measured=frozenset(document["measured"]),
        spreads={key: (low, high) for key, (low, high) in document["spreads"].items()},
    )


@lru_cache(maxsize=1)
def shipped_effects() -> Effects:
    """The calibration that comes with the program."""
    return read_effects(data_dir("instance_catalog") / "calibration" / "one_pass.json")


def read_effects(path: Path) -> Effects:
    """Effects from a file.

    Raises:
        InputError: the file cannot be read, or is no such calibration.
    """
    try:
        return effects_from(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the calibration: {error}", where=str(path)) from error


def _factor(effects: Mapping[str, float], labels: Labels, combinations: tuple[tuple[str, ...], ...]) -> float:
    return math.exp(sum(effects.get(key_of(labels, names), 0.0) for names in combinations))
