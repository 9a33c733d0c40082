"""Neighbours of a confirmed fleet: how far they are followed."""

import pytest

from advisor.performance.model import shipped_model
from advisor.pipeline import BRIEF, answer
from advisor.plan.replay import exchanges
from recompute.drawn import drawn


@pytest.mark.slow
def test_hundreds_of_machines_are_not_taken_away_one_by_one(monkeypatch):
    """The closed form asks for hundreds of machines where a replay confirms far fewer: the plan ends, and so does the search."""
    steps = []

    def counted(*asked):
        steps.append(asked)
        return neighbours(*asked)

    neighbours = exchanges.cheaper_neighbours
    monkeypatch.setattr(exchanges, "cheaper_neighbours", counted)
    question, catalog = drawn(300612)
    fleet = answer(question, catalog, shipped_model(), BRIEF).plan.fleet

    assert fleet.confirmed.reached
    assert max(max(group.instances) for group in fleet.groups) > 100
    assert len(steps) <= 3 * exchanges.MOST_STEPS  # one search, one that survives an instance, one among other layouts
