"""Lone minutes far above all others: one level for forecast, planner and replay; bursts that come again are kept."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.demand.capped import ABSURD, capped_note, capped_remedy, capped_words, with_capped
from advisor.demand.forecast import forecast
from advisor.demand.lengths import declared_demand
from advisor.demand.synthetic_trace import rehearse
from advisor.demand.tally import RequestTally
from advisor.demand.values import CappedMinutes, DemandProfile
from advisor.demand_sources import planned_demand
from advisor.models import find_model
from advisor.workload.document import read_workload

MONDAY = 1_793_577_600.0
DAY = 24 * 60


def fortnight(**at):
    """Two weeks of 12 requests a minute, but for so many in the minutes that are named ``m5000``."""
    minutes = np.random.default_rng(3).poisson(12, 14 * DAY).astype(float)
    for name, count in at.items():
        minutes[int(name[1:])] = count
    return DemandProfile(MONDAY, minutes)


def planned(tmp_path, profile, **keys):
    """Demand with this profile, as a workload plans for it."""
    path = tmp_path / "workload.yaml"
    more = "".join(f"\n  {key}: {value}" for key, value in keys.items())
    path.write_text(
        "name: x\nmodel: meta-llama/Llama-3.1-8B-Instruct\nslo: {ttft_p95: 2s}\nproviders: [aws]\nregions: [us-east-1]\n"
        f"demand:\n  declared: {{requests_per_second: 1, input_tokens: 500, output_tokens: 100}}{more}\n"
    )
    workload = read_workload(path)
    measured = replace(declared_demand(0.3, 500.0, 500, 100), profile=profile)
    return planned_demand(measured, workload, find_model(workload.model_reference))


def test_a_lone_minute_counts_the_same_in_forecast_demand_and_replay(tmp_path):
    """30,000 requests in one minute of a quiet fortnight: one level everywhere, and the mean is without them."""
    demand = planned(tmp_path, fortnight(m5000=30_000.0))
    profile, capped = demand.profile, demand.capped
    level = capped.counted_requests_per_second
    busiest = rehearse(demand, 4_000)
    of_minutes = np.bincount((busiest.requests.seconds // 60).astype(int) - int(MONDAY // 60))

    assert (capped.count, capped.of_minutes, capped.seen_requests_per_second) == (1, 14 * DAY - 2, 500.0)
    assert capped.busiest_start_seconds == MONDAY + 5000 * 60
    assert demand.requests_per_second.peak == pytest.approx(level)
    assert demand.requests_per_second.mean == pytest.approx(
        0.3 * profile.requests_per_minute.sum() / (12 * 14 * DAY + 30_000), rel=0.01
    )
    assert of_minutes[5000] == of_minutes.max() == round(60 * level)
    assert forecast(profile).peak.max() < 1.5 * forecast(fortnight()).peak.max()
    assert forecast(profile).peak.tolist() == forecast(fortnight(m5000=30_000.0)).peak.tolist()


def test_what_is_counted_twice_is_cut_once(tmp_path):
    """Planned demand has nothing left to cut, whatever the factor on it."""
    demand = planned(tmp_path, fortnight(m5000=30_000.0), times=1.7)

    assert demand.capped.seen_requests_per_second == pytest.approx(500.0)
    assert demand.requests_per_second.peak == pytest.approx(1.7 * demand.capped.counted_requests_per_second)
    assert with_capped(demand.profile)[1] is None
    assert not any("counted at" in note for note in forecast(demand.profile).notes)


@pytest.mark.parametrize("every", [60, DAY, 4 * DAY, 7 * DAY])
def test_a_burst_that_comes_again_is_kept(tmp_path, every):
    """Every hour, day, fourth day and week, at 100 times the usual: planned for and replayed in full."""
    bursts = {f"m{minute}": 1200.0 + minute / 100 for minute in range(9 * 60 + 3, 14 * DAY, every)}
    profile = fortnight(**bursts)
    demand = planned(tmp_path, profile)

    assert demand.capped is None
    assert demand.profile is profile
    assert (
        rehearse(demand, 4_000).requests.seconds // 60 == (MONDAY // 60 + int(max(bursts, key=bursts.get)[1:]))
    ).sum() >= 1200
    if every <= DAY:
        assert forecast(profile).peak.max() >= 1200 / 60


def test_a_burst_of_hours_is_kept():
    """Two hours in a fortnight at twenty times the usual are no slip."""
    launch = {f"m{minute}": 240.0 for minute in range(5000, 5120)}

    assert with_capped(fortnight(**launch))[1] is None


@pytest.mark.parametrize("minutes", [1, 2, 59])
def test_less_than_an_hour_is_planned_for_as_it_was_seen(minutes):
    """Nothing is known to compare a minute with."""
    counts = np.ones(minutes)
    counts[minutes // 2] = 1e5

    assert with_capped(DemandProfile(MONDAY, counts))[1] is None


def test_the_level_is_ten_times_what_all_others_stay_within():
    """The busiest minute of the third-busiest hour, or what 99.9 % of the minutes stay within, where that is more."""
    counts = np.full(DAY, 6.0)
    counts[700:703] = 9.0
    counts[[100, 400]] = 1000.0, 30.0
    profile, capped = with_capped(DemandProfile(MONDAY, counts))

    assert capped.counted_requests_per_second * 60 == ABSURD * 9
    assert profile.requests_per_minute[[100, 400]].tolist() == [90.0, 30.0]


def test_a_lone_minute_makes_no_other_minute_bursty():
    """Its requests do not count for the dispersion, which all minutes are replayed with."""
    generator = np.random.default_rng(1)
    usual = np.sort(generator.uniform(0, 86_400, 20_000)) + MONDAY
    indices = []
    for lone in (np.empty(0), generator.uniform(30_000, 30_060, 30_000) + MONDAY):
        tally, seconds = RequestTally(), np.sort(np.concatenate((usual, lone)))
        lengths = np.full(seconds.size, 100)
        tally.add(seconds, lengths, lengths)
        indices.append(tally.profile().dispersion.ten_seconds)

    assert indices[1] == pytest.approx(indices[0], rel=0.05)


def test_words_have_one_number_for_each_rate():
    """The minute, both numbers, and what to do; a slip of six digits in three."""
    capped = CappedMinutes(2, 20_158, MONDAY, 1667.2, 4.5)

    assert "2 of 20,158 minutes have up to 1,667 requests/s (2026-11-02T00:00Z)" in capped_note(capped)
    assert "counted at 4.5, in the replay too" in capped_note(capped)
    assert "peak_requests_per_second: 1667;" in capped_remedy(capped)
    assert capped_words(capped) == "the minute 2026-11-02T00:00Z with 1,667 requests/s is counted at 4.5"
    assert "with 1e+06 requests/s" in capped_words(replace(capped, seen_requests_per_second=1_003_333.0))
