"""Requests that are late on any number of machines leave the margin to the others."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.demand.values import Dispersion, TokenHistogram
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.plan.choosing import recommended_fleet
from advisor.plan.explain.obstacles import lifted_by_share
from advisor.plan.replay.groups import worst_share
from advisor.plan.words import unavoidable_words
from advisor.workload.values import DeclaredDemand, Limits, Slo, Survive
from builders import catalog_of, offer, workload
from plan.replay.test_confirm import flat
from plan.test_referee import market_of_demand


@pytest.mark.parametrize(
    ("unavoidable", "wanted"),
    [(0.0, 0.9925), (0.004, 1 - (0.004 + 0.75 * 0.006)), (0.008, 0.9905), (0.01, 0.99), (0.5, 0.99)],
)
def test_a_margin_is_a_quarter_of_what_may_be_late_beyond_the_unavoidable(unavoidable, wanted):
    """Nothing is left to keep a margin of where more are late than may be."""
    assert Slo(within_ratio=0.99).rehearsed_ratio_beside(unavoidable) == pytest.approx(wanted)


@pytest.mark.parametrize("unavoidable", [0.0, 0.003, 0.008])
@pytest.mark.parametrize("kept", [0.9, 0.975, 0.992, 0.9985])
def test_a_share_to_ask_for_instead_is_one_that_a_replay_keeps(kept, unavoidable):
    """Its margin is of the same requests, and a percent more is too much."""
    unavoidable = min(unavoidable, 1 - kept)
    ratio = Slo.within_ratio_for(kept, unavoidable)

    assert Slo(within_ratio=ratio).rehearsed_ratio_beside(unavoidable) <= kept + 1e-9
    assert Slo(within_ratio=ratio + 0.01).rehearsed_ratio_beside(unavoidable) > kept - 1e-9
    assert lifted_by_share(kept, unavoidable) == f"slo.within_ratio={ratio:g}"


def market_with_tail(tail, within_ratio=0.99):
    """A few prompts take longer to read than a request may wait for its first token."""
    asked = workload(
        precisions=("bf16",), slo=Slo(ttft_p95_ms=1000, tpot_p95_ms=60, within_ratio=within_ratio),
        demand=DeclaredDemand(4.0, 4.0, 550, 100), limits=Limits(survive=Survive.NOTHING, simplicity=0),
        context_tokens=32_768,
    )  # fmt: skip
    catalog, model = catalog_of(offer("g6e.xlarge", on_demand=1.86)), find_model(asked.model_reference)
    inputs, outputs = np.array([550.0, 12_000.0]), np.array([100.0, 100.0])
    tokens = TokenHistogram(inputs, outputs, np.array([1 - tail, tail]))
    demand = replace(
        measure_demand(asked, model, catalog, None), tokens=tokens, profile=flat(4.0, Dispersion(2.0, 4.0))
    )
    return market_of_demand(asked, catalog, demand)


def test_prompts_that_no_machine_keeps_ask_for_no_further_machines():
    """Fleets with a few such prompts have fewer machines than a margin of all of the lateness would take."""
    fleet, plain = recommended_fleet(market_with_tail(0.007)), recommended_fleet(market_with_tail(0.0))

    confirmation, slo = fleet.confirmation, market_with_tail(0.007).workload.slo
    assert confirmation.reached
    assert 0.004 < confirmation.unavoidable_late_ratio < 0.01
    assert worst_share(fleet) >= slo.rehearsed_ratio_beside(confirmation.unavoidable_late_ratio)
    assert "late on any number of these machines" in unavoidable_words(confirmation)
    assert plain.confirmation.unavoidable_late_ratio == 0
    assert unavoidable_words(plain.confirmation) == ""
    strictly = Slo(within_ratio=slo.within_ratio).rehearsed_ratio
    assert worst_share(plain) >= strictly


def test_more_of_them_than_may_be_late_are_still_refused():
    """A margin is no allowance: the stated share of all requests is."""
    fleet = recommended_fleet(market_with_tail(0.02))

    assert not fleet.confirmation.reached
    assert worst_share(fleet) < 0.99
