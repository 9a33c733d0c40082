"""Kinds of replicas none of which holds by itself are not raised together."""

import math
from types import SimpleNamespace

import pytest

from advisor.plan.replay.fleet_search import FleetSearch
from advisor.plan.replay.headroom import MOST_HEADROOM, Bracket
from plan.fleet.problems import pool_of, problem_of

FAILS, HOLDS, TOO_DEAR = Bracket(MOST_HEADROOM, math.inf), Bracket(1.0, 1.2), Bracket(1.5, 2.25)


@pytest.mark.parametrize(
    ("brackets", "places", "none"),
    [
        ({"a": FAILS, "b": FAILS}, (1.0,), True),
        ({"a": FAILS, "b": HOLDS}, (1.0,), False),
        ({"a": FAILS, "b": TOO_DEAR}, (1.0,), False),
        ({"a": FAILS}, (1.0,), False),  # b was not tried
        ({"a": FAILS, "b": FAILS}, (0.5, 0.5), False),  # each may serve the place whose requests it keeps
    ],
)
def test_no_mix_holds_of_kinds_that_all_fail_with_any_headroom(brackets, places, none):
    """A mix whose requests go anywhere keeps no more of them in time than the best of its kinds."""
    search = object.__new__(FleetSearch)
    rates = {"rate": (1.0,) * len(places)} if len(places) > 1 else {}
    search.__dict__ |= {
        "_brackets": brackets,
        "_formulation": SimpleNamespace(problem=problem_of(pool_of(**rates), places=places)),
    }

    assert search._none_holds({"a", "b"}) == none
