"""What spot instances cost beyond their price."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog.planning import SpotRisk
from advisor.plan.spot import Exposure, hazard, hazard_per_hour, interruption_usd_per_hour, usd_per_interruption
from builders import LISTED

RATIOS = st.one_of(st.just(0.0), st.floats(1e-6, 1))
EXPOSURE = Exposure(
    running_requests=40, requests_per_second=5, usd_per_hour=0.36, replacement_usd_per_hour=0.9, cold_start_s=400
)


def test_the_hazard_leaves_what_was_not_interrupted():
    """With 10 % interrupted in a month, 90 % of the instances live through its 730 hours."""
    assert math.exp(-730 * hazard_per_hour(0.10)) == pytest.approx(0.90)


@given(RATIOS, RATIOS)
def test_more_interruptions_are_a_higher_hazard(one, other):
    """The hazard is finite and rises with the published share."""
    low, high = sorted((one, other))

    assert 0 <= hazard_per_hour(low) <= hazard_per_hour(high) < math.inf


def test_an_unpublished_risk_is_the_highest_published_one():
    """Where nobody publishes how often it is interrupted, the highest bucket is taken and said so."""
    unknown = hazard(None)

    assert unknown.per_hour == hazard(SpotRisk(0.20, 1.0, LISTED)).per_hour
    assert "not published" in unknown.source
    assert hazard(SpotRisk(0.20, 1.0, LISTED)).source == "a price list of 2026-01-01: over 20% of instances in a month"
    assert hazard(SpotRisk(0.0, 0.05, LISTED)).source == "a price list of 2026-01-01: 0% to 5% of instances in a month"


def test_the_middle_of_a_bucket_is_taken():
    """Of 10 to 15 % the hazard is that of 12.5 %, of over 20 % that of 60 %."""
    assert hazard(SpotRisk(0.10, 0.15, LISTED)).per_hour.value == hazard_per_hour(0.125)
    assert hazard(None).per_hour.value == hazard_per_hour(0.6)


@given(RATIOS, RATIOS)
def test_the_hazard_lies_within_its_range(one, other):
    """The middle of a bucket is used and its ends are the range; no bucket is taken for no risk."""
    low, high = sorted((one, other))
    found = hazard(SpotRisk(low, high, LISTED)).per_hour

    assert found.low <= found.value <= found.high
    assert found.value > 0 or high == 0


def test_an_interruption_by_hand():
    """40 requests half done at 5/s are 4 s of a 0.36 USD/h instance; 400 s of 0.90 USD/h replace it: 0.1004 USD."""
    assert usd_per_interruption(EXPOSURE) == pytest.approx(4 * 0.36 / 3600 + 400 * 0.90 / 3600)
    assert interruption_usd_per_hour(0.001, EXPOSURE) == pytest.approx(0.0001004)
    assert usd_per_interruption(replace(EXPOSURE, start_usd=1.5)) == pytest.approx(1.5 + usd_per_interruption(EXPOSURE))


@pytest.mark.parametrize("field", ["running_requests", "usd_per_hour", "replacement_usd_per_hour", "cold_start_s"])
def test_more_at_stake_costs_more(field):
    """An interruption costs more with more running, dearer capacity or a longer cold start."""
    assert usd_per_interruption(replace(EXPOSURE, **{field: 2 * getattr(EXPOSURE, field)})) > usd_per_interruption(
        EXPOSURE
    )
