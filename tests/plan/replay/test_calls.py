"""Calls whose items are HTTP requests of their own: dealt out in turn, answered with the last, in replay and closed form."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.values import Requests, Unit
from advisor.models import find_model
from advisor.performance import Evidence
from advisor.performance.one_pass import flop_of_items
from advisor.performance.one_pass.serving import Batching, BatchTimes, Replica, late_share
from advisor.performance.queueing import Bursts
from advisor.plan.replay.engine import serve_idle
from advisor.plan.replay.fleet import SplitCalls, replay, simulate
from advisor.plan.replay.values import Cutoff, ReplayGroup
from advisor.workload.values import Slo

MODEL = find_model("google/vit-base-patch16-224")
FLOP = float(flop_of_items(MODEL, Unit.IMAGES, np.ones(1))[0])
ITEM_S = 0.010
LOOSE = Slo(latency_ms=1e6)


def times(item_s=ITEM_S, largest=1, transfer_s=0.0, *, is_split=True):
    """Times of a replica whose batches take as long as their items."""
    replica = Replica(
        0.0, item_s / FLOP, largest, np.inf, 0.0, Evidence.ROOFLINE, (1.0, 1.0), transfer_s=transfer_s,
        is_split=is_split,
    )  # fmt: skip
    return BatchTimes(MODEL, Unit.IMAGES, replica)


def group(replicas, name="a", **changes):
    """Replicas on one instance each."""
    return ReplayGroup(name, changes.pop("steps", times()), (replicas,), 1.0, **changes)


def calls(seconds, items):
    """Calls of so many images at these seconds of Monday."""
    counts = np.broadcast_to(np.asarray(items, dtype=np.int32), (len(seconds),))
    return Requests(MONDAY_SECONDS + np.asarray(seconds, dtype=float), np.ones_like(counts), counts)


def latencies(groups, asked, **options):
    """Seconds of each call."""
    return simulate(groups, asked, **options).outcome.ttft_s.tolist()


def test_a_call_is_answered_with_the_last_of_its_items():
    """Seven images of 10 ms on one, three and ten replicas: seven, three and one of them one after the other."""
    for replicas, seconds in ((1, 0.070), (3, 0.030), (10, 0.010)):
        assert latencies([group(replicas)], calls([0], 7)) == pytest.approx([seconds])


def test_calls_that_are_sent_whole_stay_at_one_replica():
    """The same seven images on a server that takes them together wait for each other, whatever stands beside it."""
    whole = group(10, steps=times(is_split=False))
    assert latencies([whole], calls([0], 7)) == pytest.approx([0.070])


def test_the_next_call_goes_on_where_the_last_one_ended():
    """Of three replicas, two have one of four images yet to come when the next call of two arrives 15 ms later."""
    assert latencies([group(3)], calls([0, 0.015], [4, 2])) == pytest.approx([0.020, 0.010])


def test_each_item_takes_its_own_transfer():
    """Four images on two replicas whose networks take 20 ms for each: the second pair is in after 40 ms."""
    assert latencies([group(2, steps=times(transfer_s=0.020))], calls([0], 4)) == pytest.approx([0.060])


def test_counts_are_of_calls():
    """Two calls of five images are two requests, one of which is late."""
    result = replay([group(1)], calls([0, 0.001], 5), Slo(latency_ms=60.0))
    assert (result.requests, result.within_slo_ratio, result.by_group[0].requests) == (2, 0.5, 2)


def test_progress_is_counted_in_calls():
    """Never more than there are, however many parts they come in."""
    told = []
    replay([group(4)], calls(np.arange(50.0), 8), LOOSE, progress=told.append)
    assert told[-1] == max(told) == 50


def test_what_an_interruption_cuts_off_is_sent_again():
    """Images of a call that their replica loses in the middle come to the one that is left, and the call ends with them."""
    lost = group(2, lost_at=MONDAY_SECONDS + 0.025, lead_seconds=100.0)
    outcome = simulate([lost], calls([0, 30.0], [10, 1])).outcome
    assert outcome.cut.tolist() == [True, False]
    assert outcome.ttft_s.tolist() == pytest.approx([0.100, 0.010], abs=1e-6)
    assert (outcome.group >= 0).all()


def test_a_part_of_the_replicas_is_never_taken_for_all():
    """A cutoff that samples replicas leaves calls whole: the outcome is that of all of them."""
    asked = calls(np.arange(400) * 0.02, 5)
    cutoff = Cutoff(Slo(latency_ms=15.0), 0.01, most_served=50)
    served = simulate([group(8)], asked, cutoff=cutoff)
    assert served.early is None
    assert served.outcome.ttft_s.tolist() == latencies([group(8)], asked)


def test_idle_replicas_take_the_items_of_a_call_side_by_side():
    """Nothing waits where there are as many replicas as items."""
    assert latencies([group(5)], calls([0, 0], 5), cutoff=Cutoff(LOOSE, serve=serve_idle)) == pytest.approx([0.01] * 2)


@settings(max_examples=40)
@given(
    gaps=st.lists(st.floats(0.0, 0.08), min_size=1, max_size=30),
    items=st.lists(st.integers(1, 9), min_size=30, max_size=30),
    replicas=st.integers(1, 6),
)
def test_calls_are_served_as_by_the_plainest_simulation(gaps, items, replicas):
    """Item by item: the next replica in turn, first come, first served, one at a time."""
    arrivals = np.cumsum(gaps)
    asked = calls(arrivals, items[: arrivals.size])
    free, turn, expected = [0.0] * replicas, 0, []
    for arrival, count in zip(arrivals.tolist(), items, strict=False):
        ends = []
        for _ in range(count):
            free[turn % replicas] = max(free[turn % replicas], arrival) + ITEM_S
            ends.append(free[turn % replicas] - arrival)
            turn += 1
        expected.append(max(ends))
    assert latencies([group(replicas)], asked) == pytest.approx(expected, abs=1e-6)


def test_places_and_sizes_stay_with_their_items():
    """Items of a call have its place, its time and its size."""
    asked = Requests(
        np.array([0.0, 1.0]), np.array([7, 8], np.int32), np.array([2, 1], np.int32), np.array([1, 0], np.int32)
    )
    split = SplitCalls.of(asked)
    assert split.call.tolist() == [0, 0, 1]
    assert split.requests.input_tokens.tolist() == [7, 7, 8]
    assert split.requests.places.tolist() == [1, 1, 0]


@pytest.mark.parametrize(("items", "replicas"), [(4, 1), (4, 3), (8, 10), (23, 4), (23, 40), (100, 10)])
@pytest.mark.parametrize("slack", [3.0, 8.0])
def test_the_closed_form_is_near_the_replay(items, replicas, slack):
    """The rate at which 1 % of the calls are late is within 0.8 to 1.4 times that of the replay."""
    limit = math.ceil(items / replicas) * ITEM_S * slack
    random = np.random.default_rng(3).exponential(1.0, 2_500)

    def replayed(rate):
        asked = calls(np.cumsum(random) / (rate * replicas), items)
        return 1 - replay([group(replicas)], asked, Slo(latency_ms=limit * 1000)).within_slo_ratio

    def predicted(rate):
        number = lambda value: np.array([float(value)])  # noqa: E731
        server = Batching(
            number(0), np.array([[ITEM_S]]), number(items), number(1), number(1), number(0), number(0),
            np.array([True]),
        )  # fmt: skip
        bursts = Bursts(1.0, rate * replicas * (1 + 1e-9))
        return float(late_share(server, number(rate), np.array([[limit]]), bursts)[0])

    def largest(late):
        low, high = 1e-3, 1 / (items * ITEM_S)
        for _ in range(9):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if late(middle) <= 0.01 else (low, middle)
        return low

    assert 0.8 <= largest(predicted) / largest(replayed) <= 1.4
