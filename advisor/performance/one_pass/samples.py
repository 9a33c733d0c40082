"""FLOPs of one item of a request, by its size in the unit of the model."""

from collections.abc import Mapping
from functools import lru_cache
from typing import assert_never

import numpy as np

from advisor.data_files import data_dir
from advisor.demand.values import Unit
from advisor.models import Model
from advisor.performance.one_pass.work import flop_of_sample
from advisor.performance.physics import Floats
from advisor.records import dataclass
from advisor.tables import read_records


@dataclass(frozen=True, slots=True)
class UsualSample:
    """What the FLOPs of a family's sample are counted for."""

    size: float
    """In the family's unit: ms of audio, pixels × denoising steps."""
    samples: float
    """Samples that an item of that size is."""


@lru_cache(maxsize=1)
def usual_samples() -> Mapping[str, UsualSample]:
    """Usual sample of each family that is known, and of models by name whose sample is not their family's."""
    path = data_dir("instance_catalog") / "usual_samples.csv"
    return {row.text("family"): UsualSample(row.number("size"), row.number("samples")) for row in read_records(path)}


def flop_of_items(model: Model, unit: Unit, sizes: Floats) -> Floats:
    """FLOPs of items of some sizes; NaN where they are not known.

    A text's follow from its tokens (:func:`advisor.performance.one_pass.work.flop_of_sample`). An image is scaled to
    the model's own input, a row has the model's own columns. A recording is transcribed in windows of its usual length,
    the last one padded; a picture takes more in proportion to pixels × steps.

    Args:
        model: what computes them.
        unit: of the sizes.
        sizes: of each item.
    """
    per_sample = np.nan if model.flop_per_sample is None else model.flop_per_sample
    usual = _usual_sample(model) or UsualSample(np.nan, np.nan)
    match unit:
        case Unit.TOKENS | Unit.TEXTS:
            return flop_of_sample(model, sizes)
        case Unit.IMAGES | Unit.ROWS:
            return np.full(sizes.shape, per_sample)
        case Unit.AUDIO:
            return np.ceil(sizes / usual.size) * usual.samples * per_sample
        case Unit.PICTURES:
            return sizes / usual.size * usual.samples * per_sample
        case _:
            assert_never(unit)


def samples_of_item(model: Model) -> float:
    """Samples that an item of the usual size is: tokens of a recording's window, 1 of all else."""
    usual = _usual_sample(model)
    return 1.0 if usual is None else usual.samples


def _usual_sample(model: Model) -> UsualSample | None:
    """None where neither the model states it nor the catalog knows it, by name or family."""
    if model.sample_size is not None:
        return UsualSample(model.sample_size, 1.0)
    samples = usual_samples()
    return samples.get(model.name) or samples.get(model.family)
