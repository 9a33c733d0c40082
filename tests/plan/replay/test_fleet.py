"""A fleet: who gets what, when replicas are up, what is paid, and what counts as kept."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.values import Requests
from advisor.plan.replay.fleet import replay, simulate
from advisor.plan.replay.groups import thinned
from advisor.plan.replay.sessions import interleave
from advisor.plan.replay.values import Billing, Cutoff, ReplayGroup, Route
from advisor.workload.values import Slo
from plan.replay.reference import make_steps

HOUR = 3600.0
STEPS = make_steps(kv_tokens=4000, max_sequences=64)
LOOSE = Slo(ttft_p95_ms=1e6)


def requests(seconds, prompt=50, answer=20):
    """Requests at these seconds of Monday, all alike unless arrays are given."""
    count = len(seconds)
    lengths = (np.broadcast_to(np.asarray(tokens, dtype=np.int32), (count,)) for tokens in (prompt, answer))
    return Requests(MONDAY_SECONDS + np.asarray(seconds, dtype=np.float64), *lengths)


def group(name="a", instances=(1,), **changes):
    """Instances at a dollar an hour."""
    return ReplayGroup(name, STEPS, instances, 1.0, **changes)


def week(*counts):
    """Instances in the first hours of Monday, and none after."""
    return (*counts, *[0] * (168 - len(counts)))


EVEN = requests(np.arange(0, 4 * HOUR, 5.0))


@given(weights=st.lists(st.floats(0.1, 10), min_size=1, max_size=12), count=st.integers(1, 500))
@settings(deadline=None)
def test_turns_are_in_proportion_at_every_moment(weights, count):
    """After any number of requests each replica has its share of them, give or take its turn."""
    places = interleave(np.array(weights), count)
    taken = (places[:, None] == np.arange(len(weights))).cumsum(axis=0)
    due = np.outer(np.arange(1, count + 1), np.array(weights) / sum(weights))
    assert np.abs(taken - due).max() <= max(1.0, len(weights) / 2)


def test_equal_replicas_take_turns():
    """Three of them get every third request each."""
    assert interleave(np.ones(3), 7).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_the_same_input_gives_the_same_result():
    """Nothing depends on chance, not even with interruptions."""
    fleet = [group(instances=(3,), interruptions_per_instance_hour=1.0, lead_seconds=60.0), group("b", weight=2.0)]
    first, second = (replay(fleet, EVEN, LOOSE) for _ in range(2))
    assert first == second
    assert first.interruptions > 0


def test_every_request_is_answered_or_refused():
    """Counts add up, whatever is interrupted and whatever is too long."""
    lengths = np.where(np.arange(EVEN.seconds.size) % 10 == 0, 500, 50)
    fleet = [group(instances=(2,), interruptions_per_instance_hour=2.0, lead_seconds=30.0)]
    found = replay(fleet, replace(EVEN, input_tokens=lengths), LOOSE)
    too_long = int(np.count_nonzero(lengths == 500))
    assert found.refused == too_long
    assert sum(one.requests for one in found.by_group) == EVEN.seconds.size - too_long
    assert found.within_slo_ratio == pytest.approx(1 - too_long / EVEN.seconds.size)


def test_a_request_beyond_one_group_goes_to_another_that_holds_it():
    """Long requests are answered by the only group with the context for them."""
    large = replace(group("large"), steps=make_steps(prompt_s=tuple((1e-4 * np.arange(1001)).tolist())))
    found = replay([group("small", weight=100.0), large], requests(np.arange(50.0), prompt=600), LOOSE)
    assert [one.requests for one in found.by_group] == [0, 50]


def test_weights_and_routes_decide_who_gets_what():
    """A group of double weight gets two of three; a route sends short prompts to the group it names."""
    fleet = [group("a", weight=2.0), group("b")]
    shares = replay(fleet, EVEN, LOOSE).by_group
    assert shares[0].requests == pytest.approx(2 * shares[1].requests, abs=2)
    mixed = replace(EVEN, input_tokens=np.where(np.arange(EVEN.seconds.size) % 4 == 0, 300, 50))
    routes = (Route(100, {"a": 1.0}), Route(inf, {"b": 1.0}))
    routed = replay(fleet, mixed, LOOSE, routes=routes).by_group
    assert [one.requests for one in routed] == [EVEN.seconds.size * 3 // 4, EVEN.seconds.size // 4]


def test_prompts_of_all_lengths_that_are_sent_alike_take_turns_with_each_other():
    """Routes of equal shares are one: every request goes where it would go if the router knew no lengths."""
    fleet = [group("a", weight=2.0), group("b")]
    generator = np.random.default_rng(7)
    mixed = replace(EVEN, input_tokens=generator.integers(20, 400, EVEN.seconds.size).astype(np.int32))
    shares = {"a": 0.7, "b": 0.3}
    by_length = [Route(100, shares), Route(250, shares), Route(inf, shares)]

    apart = simulate(fleet, mixed, routes=by_length).outcome
    plain = simulate(fleet, mixed, routes=[Route(inf, shares)]).outcome

    assert (apart.group == plain.group).all()
    assert apart.ttft_s == pytest.approx(plain.ttft_s, rel=1e-9, nan_ok=True)


def test_a_constant_fleet_costs_its_price_for_the_window():
    """Two instances at a dollar: two dollars an hour, 1,460 a month."""
    found = replay([group(instances=(2,))], EVEN, LOOSE)
    assert found.cost_usd == pytest.approx(2 * found.hours)
    assert found.usd_per_month == pytest.approx(1460.0)


def test_scaling_is_billed_with_start_up_and_draining():
    """A second instance for one hour costs that hour, its start-up before it, and what it still has to answer."""
    load = requests(np.arange(0, 3 * HOUR, 5.0))
    plain = replay([group(instances=week(1, 2, 1))], load, LOOSE)
    early = replay([group(instances=week(1, 2, 1), lead_seconds=600.0)], load, LOOSE)
    assert plain.by_group[0].instance_hours == pytest.approx(plain.hours + 1, abs=0.001)
    assert plain.by_group[0].instance_hours > plain.hours + 1 - 1e-9
    assert early.cost_usd - plain.cost_usd == pytest.approx(600 / HOUR)
    assert early.ttft_p95_ms == plain.ttft_p95_ms


def test_a_start_up_is_billed_in_whole_minutes():
    """As the plan and the generated schedule count it: 610 seconds are 11 minutes."""
    load = requests(np.arange(0, 3 * HOUR, 5.0))
    plain, early = (replay([group(instances=week(1, 2, 1), lead_seconds=lead)], load, LOOSE) for lead in (0.0, 610.0))
    assert early.cost_usd - plain.cost_usd == pytest.approx(660 / HOUR)


def test_a_stop_is_billed_as_planned_and_longer_where_answers_take_longer():
    """Two minutes beyond the hour as in the plan; nothing more where the last answer takes longer than the stop."""
    load = requests(np.arange(0, 3 * HOUR, 5.0))
    plain, stopped, brief = (
        replay([group(instances=week(1, 2, 1), stop_seconds=stop)], load, LOOSE) for stop in (0.0, 120.0, 1e-6)
    )
    assert stopped.by_group[0].instance_hours == pytest.approx(stopped.hours + 1 + 120 / HOUR, abs=1e-9)
    assert brief.cost_usd == pytest.approx(plain.cost_usd)


def test_a_commitment_is_paid_in_every_hour():
    """Its largest number of instances, though fewer run."""
    found = replay([group(instances=week(1, 3, 1, 1), billing=Billing.ALWAYS)], EVEN, LOOSE)
    assert found.cost_usd == pytest.approx(3 * found.hours)


def test_requests_wait_for_the_next_replica_or_are_refused_when_none_comes():
    """In an hour without instances the first waits for the next hour; after the last hour nobody answers."""
    found = replay([group(instances=week(0, 1))], requests([10.0, HOUR + 10, 2.5 * HOUR]), Slo(ttft_p95_ms=1000))
    assert (found.requests, found.refused) == (3, 1)
    assert found.within_slo_ratio == pytest.approx(1 / 3)
    assert found.ttft_p95_ms == pytest.approx(1000 * 0.95 * (HOUR - 10), rel=0.01)


def test_an_interruption_costs_time_and_loses_no_request():
    """The interrupted instance's requests are computed again elsewhere: all answered, the slowest later."""
    calm = replay([group(instances=(2,))], EVEN, LOOSE)
    stormy = replay([group(instances=(2,), interruptions_per_instance_hour=20.0, lead_seconds=60.0)], EVEN, LOOSE)
    assert stormy.interruptions > 20
    assert stormy.refused == 0
    assert stormy.e2e_p95_ms >= calm.e2e_p95_ms


@pytest.mark.parametrize(
    ("slo", "kept"),
    [(Slo(), 1.0), (Slo(ttft_p95_ms=1), 0.0), (Slo(tpot_p95_ms=1), 0.0), (Slo(e2e_p95_ms=1), 0.0),
     (Slo(1e6, 1e6, 1e6), 1.0), (Slo(1e6, 1e6, 1), 0.0)],
    ids=["none", "ttft", "tpot", "e2e", "loose", "one of three"],
)  # fmt: skip
def test_a_request_is_within_when_it_keeps_every_target(slo, kept):
    """One missed target is enough to be outside."""
    assert replay([group()], EVEN, slo).within_slo_ratio == kept


def test_an_answer_of_one_token_has_no_time_per_token_to_miss():
    """It keeps any TPOT, and no TPOT is reported where there is no other answer."""
    found = replay([group()], requests(np.arange(10.0), answer=np.arange(10) % 2), Slo(tpot_p95_ms=1e-9))
    assert found.within_slo_ratio == 1.0
    assert found.tpot_p95_ms is None


def test_the_network_adds_its_round_trip_to_the_first_token():
    """80 ms more to the first token and to the last, none between."""
    near = replay([group()], EVEN, LOOSE)
    far = replay([group(network_ms=(80.0,))], EVEN, LOOSE)
    assert far.ttft_p95_ms - near.ttft_p95_ms == pytest.approx(80.0)
    assert far.e2e_p95_ms - near.e2e_p95_ms == pytest.approx(80.0)
    assert far.tpot_p95_ms == near.tpot_p95_ms


def test_requests_of_a_place_go_where_its_route_says_over_the_network_to_there():
    """Each place has its own group; the round trip of a request is that between its place and the group it went to."""
    fleet = [group("east", network_ms=(10.0, 90.0)), group("west", network_ms=(90.0, 10.0))]
    routes = [Route(inf, {"east": 1.0}, place=0), Route(inf, {"west": 1.0}, place=1)]
    crossed = [Route(inf, {"west": 1.0}, place=0), Route(inf, {"east": 1.0}, place=1)]
    load = replace(EVEN, places=(np.arange(EVEN.seconds.size) % 3 == 0).astype(np.int32))

    near = replay(fleet, load, LOOSE, routes=routes)
    far = replay(fleet, load, LOOSE, routes=crossed)

    assert [one.requests for one in near.by_group] == [int((load.places == 0).sum()), int((load.places == 1).sum())]
    assert [one.requests for one in far.by_group] == [int((load.places == 1).sum()), int((load.places == 0).sum())]
    assert far.ttft_p95_ms - near.ttft_p95_ms == pytest.approx(80.0, abs=1.0)


def test_places_and_lengths_are_told_apart_together():
    """A route is of one place and one length of prompts."""
    fleet = [group(name) for name in "abcd"]
    routes = [
        Route(100, {"a": 1.0}, place=0), Route(inf, {"b": 1.0}, place=0),
        Route(100, {"c": 1.0}, place=1), Route(inf, {"d": 1.0}, place=1),
    ]  # fmt: skip
    load = replace(
        EVEN,
        input_tokens=np.resize(np.array([50, 150], dtype=np.int32), EVEN.seconds.size),
        places=np.resize(np.array([0, 0, 1, 1], dtype=np.int32), EVEN.seconds.size),
    )

    found = replay(fleet, load, LOOSE, routes=routes).by_group

    assert [one.requests for one in found] == [EVEN.seconds.size // 4] * 4


def test_groups_of_one_target_share_its_requests_replica_by_replica():
    """Two groups of one target: whatever their own shares, each replica that is up gets as much as any other."""
    fleet = [group("a", (3,), target="t"), group("b", (1,), target="t"), group("c", (1,))]

    found = replay(fleet, EVEN, LOOSE, routes=[Route(inf, {"a": 0.1, "b": 0.7, "c": 0.2})]).by_group

    share = [one.requests / EVEN.seconds.size for one in found]
    assert share == pytest.approx([0.6, 0.2, 0.2], abs=0.01)


def test_a_target_without_replicas_leaves_its_part_to_the_others():
    """Weights are the same in every hour: what is down gets nothing, and the others keep to their proportion."""
    fleet = [group("a", week(1, 1)), group("b", week(1, 1)), group("c", week(0, 1))]
    load = requests(np.arange(0, 2 * HOUR, 5.0))

    found = replay(fleet, load, LOOSE, routes=[Route(inf, {"a": 0.2, "b": 0.2, "c": 0.6})]).by_group

    half = load.seconds.size / 2
    expected = [half * 0.5 + half * 0.2, half * 0.5 + half * 0.2, half * 0.6]
    assert [one.requests for one in found] == pytest.approx(expected, abs=3)


def test_an_instance_lost_at_a_given_time_comes_back_after_its_start_up():
    """The other one takes all until then, and what was cut off is answered later."""
    lost_at, lead = MONDAY_SECONDS + HOUR, 600.0
    fleet = [group(instances=(2,), lost_at=lost_at, lead_seconds=lead)]

    outcome = simulate(fleet, EVEN, seed=3).outcome
    found = replay(fleet, EVEN, LOOSE)

    assert found.interruptions == 1
    assert found.refused == 0
    assert (outcome.group >= 0).all()
    assert (EVEN.seconds[outcome.cut] <= lost_at).all()


def test_a_cutoff_ends_when_more_are_late_than_it_allows():
    """What is left out is not answered; a fleet that holds is simulated to its end."""
    fleet = [group(instances=(4,))]
    impossible = Slo(ttft_p95_ms=1e-6)

    stopped = simulate(fleet, EVEN, cutoff=Cutoff(impossible, 10 / EVEN.seconds.size)).outcome
    whole = simulate(fleet, EVEN, cutoff=Cutoff(LOOSE, 10 / EVEN.seconds.size)).outcome

    assert 0 < (stopped.group >= 0).sum() < EVEN.seconds.size
    assert (whole.group >= 0).all()


def test_more_instances_never_keep_fewer_requests():
    """From overload to plenty the share within the targets only grows."""
    rng = np.random.default_rng(5)
    load = requests(np.cumsum(rng.exponential(0.04, 3000)), prompt=rng.integers(1, 200, 3000), answer=100)
    shares = [replay([group(instances=(n,))], load, Slo(500, 60)).within_slo_ratio for n in (1, 2, 4, 8)]
    assert shares == sorted(shares)
    assert shares[0] < 0.9 < shares[-1]


@pytest.mark.parametrize("share", [7 / 25, 7 / 50, 0.5, 1 / 3, 0.9999, 1.0])
def test_a_share_of_requests_is_some_of_them(share):
    """Spread over them, each once, however the places round: 48,000 / (7/25) ends beyond the last."""
    size = 48_000
    requests = Requests(np.arange(size, dtype=np.float64), np.full(size, 9), np.full(size, 9))

    kept = thinned(requests, share).seconds

    assert kept.size == pytest.approx(size * share, abs=1)
    assert np.all(np.diff(kept) > 0)
