"""Parameter counts of every catalogued model: against published ones, and against an independent count.

``counted_parameters.csv`` holds, for models without a published count, the parameters of the model that transformers
5.24 builds from the same configuration, without towers.
"""

from pathlib import Path

import pytest

from advisor.data_files import data_dir
from advisor.models import find_model
from advisor.tables import read_rows

PUBLISHED = {
    row["name"]: int(row["published_parameters_total"] or 0)
    for row in read_rows(data_dir("instance_catalog") / "models.csv")
}
COUNTED = {
    row["model"]: int(row["text_parameters"]) for row in read_rows(Path(__file__).parent / "counted_parameters.csv")
}
NEITHER = {
    "moonshotai/Kimi-K3": "no count is published, and transformers has no experts narrower than the hidden size",
    "Deci/DeciLM-7B": "no count is published, and transformers does not have the architecture",
}
"""Models whose count rests on the configuration alone, and why."""


def test_every_model_has_a_count_to_hold_against():
    """Each catalogued model has a published count, an independent one, or a reason for having neither."""
    assert {name for name, total in PUBLISHED.items() if not total} == COUNTED.keys() | NEITHER.keys()


@pytest.mark.parametrize("name", [name for name, total in PUBLISHED.items() if total])
def test_published_counts_of_the_catalog(name: str):
    """The count of a catalogued model is the published one within one in a thousand."""
    assert find_model(name).parameters_total == pytest.approx(PUBLISHED[name], rel=1e-3)


@pytest.mark.parametrize("name", COUNTED)
def test_independent_counts(name: str):
    """The count of the language model is that of an independent implementation within one in ten thousand."""
    model = find_model(name)

    assert model.parameters_total - model.surroundings.towers == pytest.approx(COUNTED[name], rel=1e-4)
