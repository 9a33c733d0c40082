"""Replay of a server that batches: against the plainest simulation, and its rule in single cases."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog.one_pass_engines import ALIKE, COMPILED, LONGEST, POWERS
from advisor.demand.values import Unit
from advisor.models import find_model
from advisor.performance import Evidence
from advisor.performance.one_pass.serving import Batching, BatchTimes, Replica, rate_within
from advisor.plan.replay.engine import alone_ends, batch_ends, batch_ends_of_each
from performance.batch_simulator import simulate


def times(fixed_s=0.005, item_s=0.010, items=32, tokens=np.inf, wait_s=0.0, transfer_s=0.0):
    """Times of a replica whose items all take as long, whatever their size."""
    replica = Replica(fixed_s, item_s, items, tokens, wait_s, Evidence.ROOFLINE, (1.0, 1.0), transfer_s=transfer_s)
    item_seconds = lambda sizes, _items: np.full(sizes.shape, item_s)  # noqa: E731 - a method of a stand-in
    return SimpleNamespace(replica=replica, item_seconds=item_seconds)


def ends(of, arrivals, sizes, items):
    """Ends of requests in seconds."""
    return batch_ends(of, np.array(arrivals, dtype=float), np.array(sizes), np.array(items)).tolist()


@settings(max_examples=60)
@given(
    gaps=st.lists(st.floats(0, 0.05), min_size=1, max_size=80),
    largest=st.integers(1, 20),
    wait=st.sampled_from([0.0, 0.004, 0.03]),
)
def test_requests_of_one_item_are_served_as_by_the_plainest_simulation(gaps, largest, wait):
    """Whatever arrives when, every request ends in the batch that the rule puts it in."""
    arrivals = np.cumsum(gaps)
    ones = np.ones(arrivals.size, dtype=np.int32)
    found = batch_ends(times(items=largest, wait_s=wait), arrivals, ones, ones)
    assert found == pytest.approx(arrivals + simulate(arrivals, np.full(arrivals.size, 0.010), 0.005, largest, wait))


@settings(max_examples=40)
@given(
    of_each=st.lists(st.lists(st.tuples(st.floats(0, 0.05), st.integers(1, 4)), min_size=1, max_size=6), min_size=20),
    largest=st.integers(1, 2),
    wait=st.sampled_from([0.0, 0.004]),
)
def test_replicas_side_by_side_answer_as_each_by_itself(of_each, largest, wait):
    """To the last bit, whatever each of them receives."""
    of = times(items=largest, wait_s=wait)
    alone = [
        (np.cumsum([gap for gap, _ in trace]), np.array([count for _, count in trace], dtype=np.int32))
        for trace in of_each
    ]
    ends_of_each = [batch_ends(of, arrivals, np.ones_like(items), items) for arrivals, items in alone]
    arrivals, items = (np.concatenate(column) for column in zip(*alone, strict=True))
    starts = np.cumsum([0, *map(len, of_each[:-1])])
    together = batch_ends_of_each(of, arrivals, np.ones_like(items), items, starts)
    assert together.tobytes() == np.concatenate(ends_of_each).tobytes()


def test_a_request_waits_for_its_last_item():
    """Forty items in batches of 32: 325 ms, then 8 items with the next request's first 24 in another 325 ms."""
    assert ends(times(), [0, 0], [512, 512], [40, 24]) == pytest.approx([0.650, 0.650])


def test_requests_come_in_one_after_the_other_by_the_network():
    """Three at once on a network that takes 20 ms for each are in after 20, 40 and 60 ms, and wait for no batch."""
    of = times(transfer_s=0.020)
    assert ends(of, [0, 0, 0, 0.200], [1] * 4, [1] * 4) == pytest.approx([0.035, 0.055, 0.075, 0.235])
    alone = alone_ends(of, np.array([0.0, 0.0]), np.array([1, 1]), np.array([1, 1]))
    assert alone.tolist() == pytest.approx([0.035, 0.035])


def test_tokens_limit_a_batch():
    """Two texts of 512 tokens fill 1,024; the third begins the next batch."""
    assert ends(times(tokens=1024.0), [0, 0, 0], [512] * 3, [1] * 3) == pytest.approx([0.025, 0.025, 0.040])


def test_an_item_beyond_the_limit_is_a_batch_of_its_own():
    """A text longer than a batch's tokens is served all the same, alone."""
    assert ends(times(tokens=1024.0), [0, 0], [4096, 512], [1, 1]) == pytest.approx([0.015, 0.030])


def test_the_first_item_waits_no_longer_than_the_server_does():
    """With 20 ms to wait, the request at 15 ms comes along and the one at 25 ms does not."""
    found = ends(times(wait_s=0.020), [0, 0.015, 0.025], [1] * 3, [1] * 3)
    assert found == pytest.approx([0.045, 0.045, 0.060])


def test_a_full_batch_waits_for_nobody():
    """Two items fill a batch of two: it begins with the second, not 20 ms after the first."""
    assert ends(times(items=2, wait_s=0.020), [0, 0.001], [1, 1], [1, 1]) == pytest.approx([0.026, 0.026])


def test_alone_nobody_shares_a_batch():
    """A request by itself takes its batches and its items."""
    alone = alone_ends(times(), np.array([0.0, 1.0]), np.array([512, 512]), np.array([40, 1]))
    assert alone == pytest.approx([0.410, 1.015])


def padded(padding, items, fixed_s=0.005, context_tokens=1024, tokens=np.inf):
    """Times of an embedder's replica whose texts are padded."""
    replica = Replica(
        fixed_s,
        1e-13,
        items,
        tokens,
        0.0,
        Evidence.ROOFLINE,
        (1.0, 1.0),
        padding=padding,
        context_tokens=context_tokens,
    )
    return BatchTimes(find_model("BAAI/bge-m3"), Unit.TEXTS, replica)


def test_texts_are_computed_with_their_padding():
    """Compiled for 1,024 tokens all take that long; by powers of two 300 tokens take 512, and 7 the least, 128."""
    plain, compiled, powers = (padded(how, 1) for how in ("", COMPILED, POWERS))
    sizes = np.array([7.0, 300.0, 1024.0])
    as_long = plain.item_seconds(np.array([128.0, 512.0, 1024.0]))
    assert compiled.item_seconds(sizes) == pytest.approx([as_long[2]] * 3)
    assert powers.item_seconds(sizes) == pytest.approx(as_long)
    assert plain.item_seconds(sizes)[1] < as_long[1]


def test_a_batch_of_padded_texts_takes_what_their_padding_takes():
    """Two texts of 300 tokens in one batch: as two of 512."""
    of, alike = padded(POWERS, 2), padded("", 2)
    assert ends(of, [0, 0], [300, 300], [1, 1]) == pytest.approx(ends(alike, [0, 0], [512, 512], [1, 1]))


def test_a_batch_holds_so_many_tokens_and_so_many_texts():
    """Five texts of 100 tokens and one of 500 fill 1,000 tokens, though not eight items: one batch."""
    sizes = [100] * 5 + [500]
    assert ends(times(items=8, tokens=1000.0), [0] * 6, sizes, [1] * 6) == pytest.approx([0.065] * 6)


def test_texts_are_padded_to_the_longest_of_their_batch():
    """Texts of 100, 100 and 400 tokens take three times 400 where they fit one batch, else 400 waits for the others."""
    of, alike = padded(LONGEST, 8), padded("", 8)
    three = ends(alike, [0] * 3, [400] * 3, [1] * 3)
    assert ends(of, [0] * 3, [100, 100, 400], [1] * 3) == pytest.approx(three)
    apart = ends(padded(LONGEST, 8, tokens=1000.0), [0] * 3, [100, 100, 400], [1] * 3)
    short, whole = ends(alike, [0] * 2, [100] * 2, [1] * 2)[0], ends(alike, [0], [400], [1])[0]
    assert apart == pytest.approx([short, short, short + whole])


def test_texts_of_another_length_begin_a_batch_where_shapes_have_to_be_alike():
    """300, 300, 400 and 300 tokens: two, one and one."""
    of = times()
    of.replica = replace(of.replica, padding=ALIKE)
    assert ends(of, [0] * 4, [300, 300, 400, 300], [1] * 4) == pytest.approx([0.025, 0.025, 0.040, 0.055])
    full = times(wait_s=1.0)
    full.replica = replace(full.replica, padding=ALIKE)
    assert ends(full, [0, 0.1], [300, 400], [1, 1])[0] == pytest.approx(0.115)


@pytest.mark.parametrize("tokens", [4_096.0, 16_384.0])
@pytest.mark.parametrize("slack", [3.0, 10.0])
def test_the_closed_form_of_texts_of_different_lengths_is_near_the_replay(tokens, slack):
    """The rate at which 5 % are late by the closed form is within 0.8 to 1.25 times that of the replay."""
    sizes = np.array([20.0, 60.0, 200.0, 700.0, 2_000.0])
    probability = np.array([0.2, 0.2, 0.3, 0.2, 0.1])
    per_token, fixed_s = 2e-5, 0.004
    number = lambda value: np.array([float(value)])  # noqa: E731 - a column of one server
    server = Batching(
        number(fixed_s), per_token * sizes[None, :], np.ones(5), probability, number(256), number(0), number(0),
        sizes=sizes, largest_sizes=number(tokens),
    )  # fmt: skip
    limit = slack * (fixed_s + per_token * 2_000)
    rate = float(rate_within(server, np.full((1, 5), limit), 0.05)[0])
    random = np.random.default_rng(5)
    lengths = random.choice(sizes, 20_000, p=probability).astype(np.int32)
    gaps = np.cumsum(random.exponential(1.0, 20_000))
    of = times(fixed_s, items=256, tokens=tokens)
    of.item_seconds = lambda each, _items: per_token * each

    def late(requests_per_second):
        arrivals = gaps / requests_per_second
        answered = batch_ends(of, arrivals, lengths, np.ones_like(lengths))
        return float((answered - arrivals > limit).mean())

    assert late(rate / 1.25) <= 0.05 < late(rate / 0.8)
