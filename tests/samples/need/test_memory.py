"""The need behind a preallocated pool: the known truth of the simulation, and what must hold of any."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.samples.need.fleet import assess
from advisor.samples.need.verdict import Fixed, join, memory_need
from samples.need import simulate
from samples.need.simulate import GIB, accelerator, run, serving

FIXED = Fixed(17 * GIB, 19 * GIB)


@cache
def simulated(name):
    """One of the loads, once."""
    return run(getattr(simulate, name))


def with_kv(use, held_gib=72.0):
    """An accelerator and its engine with that KV use in each row."""
    base = simulated("WITHIN")
    rows = len(use)
    seconds = replace(
        base,
        accelerator={"memory_used_bytes": np.full(rows * 15, held_gib * GIB)},
        engine={"kv_cache_used_ratio": np.repeat(np.array(use, dtype=float), 15)},
    )
    return accelerator(seconds), [serving(seconds)]


def test_the_need_is_what_is_fixed_and_the_used_part_of_the_pool():
    """Held 72 GiB, 18 of them fixed: with at most a third of the pool in use, 18 + 54 ÷ 3 = 36 GiB are needed."""
    need = memory_need(*with_kv([0.1, 0.2, 1 / 3, 0.2]), Fixed(18 * GIB, 18 * GIB))
    assert need.held_bytes == 72 * GIB
    assert need.need_bytes == pytest.approx(36 * GIB)
    assert need.low_bytes == pytest.approx((18 + 54 * np.quantile([0.1, 0.2, 1 / 3, 0.2], 0.95)) * GIB)
    assert need.high_bytes == pytest.approx(36 * GIB)
    assert need.kv.max == pytest.approx(1 / 3)


def test_what_is_not_known_of_the_engine_widens_the_interval():
    """Weights known to a GiB either way give an interval; nothing known of them leaves only the used share of all."""
    need = memory_need(*with_kv([0.25] * 4), FIXED)
    assert (need.low_bytes, need.need_bytes, need.high_bytes) == pytest.approx(
        tuple(gib * GIB for gib in (17 + 55 / 4, 18 + 54 / 4, 19 + 53 / 4))
    )
    blind = memory_need(*with_kv([0.25] * 4))
    assert blind.need_bytes is None
    assert (blind.low_bytes, blind.high_bytes) == (18 * GIB, 72 * GIB)


def test_without_engine_metrics_memory_used_is_an_upper_bound_and_no_need():
    """An accelerator alone says what was held; the interval reaches from nothing to that."""
    need = memory_need(with_kv([0.5])[0], [], FIXED)
    assert need.kv is None
    assert need.need_bytes is None
    assert (need.low_bytes, need.high_bytes) == (0, 72 * GIB)


def test_a_full_pool_with_a_queue_needs_all_that_is_held():
    """What queued is not known: the need is what is held, and it is said that more would have been used."""
    seconds = simulated("MEMORY")
    need = memory_need(accelerator(seconds), [serving(seconds)], FIXED)
    assert need.kv.is_exceeded
    assert need.need_bytes == need.high_bytes == need.held_bytes


def test_below_nine_tenths_of_coverage_the_need_may_be_all_that_is_held():
    """The greatest use may have been in the gaps: no point is given, and the interval ends at what is held."""
    seconds = simulated("WITHIN")
    need = memory_need(accelerator(seconds), [serving(seconds, gaps=range(30))], FIXED)
    assert need.kv.coverage_ratio == pytest.approx(0.75)
    assert need.need_bytes is None
    assert need.high_bytes == need.held_bytes


@settings(max_examples=80, deadline=None)
@given(
    use=st.lists(st.floats(0, 1), min_size=1, max_size=40),
    more=st.lists(st.floats(0, 1), min_size=40, max_size=40),
    held=st.floats(1, 140),
    fixed=st.tuples(st.floats(0, 150), st.floats(0, 20)),
)
def test_more_kv_use_never_lowers_the_need_and_none_exceeds_what_is_held(use, more, held, fixed):
    """Low, point and high grow with the use in any row, keep their order, and end at what is held."""
    stated = Fixed(fixed[0] * GIB, (fixed[0] + fixed[1]) * GIB)
    larger = [min(one + extra, 1.0) for one, extra in zip(use, more, strict=False)]
    before, after = (memory_need(*with_kv(rows, held), stated) for rows in (use, larger))
    slack = 1 + 1e-9
    for need in (before, after):
        assert 0 <= need.low_bytes <= need.need_bytes * slack
        assert need.need_bytes <= need.high_bytes * slack
        assert need.high_bytes <= need.held_bytes * slack
    assert before.low_bytes <= after.low_bytes * slack
    assert before.need_bytes <= after.need_bytes * slack
    assert before.high_bytes <= after.high_bytes * slack


def test_a_need_in_one_sentence():
    """Where most of the pool is never used, the advice says what would do."""
    seconds = simulated("BANDWIDTH")
    (one,) = assess([accelerator(seconds)], [serving(seconds)], FIXED)
    assert one.advice == (
        "memory bandwidth is used up, tensor cores are not: more bandwidth helps, more FLOP/s do not; "
        "87% of the KV cache is never used: 25 GiB would do"
    )


@pytest.mark.parametrize(
    ("accelerators", "engines", "expected"),
    [
        ([(0, None), (1, None)], [("a", 0)], [["a0"], ["a0"]]),
        ([(0, None), (1, None), (2, None), (3, None)], [("a", 0), ("a", 1)], [["a0"], ["a0"], ["a1"], ["a1"]]),
        ([(0, None), (1, None)], [("a", 0), ("b", 0)], [["a0", "b0"], ["a0", "b0"]]),
        ([(0, None), (1, None), (2, None)], [("a", 0), ("a", 1)], [["a0", "a1"]] * 3),
        ([(0, None), (0, 0), (0, 1)], [("a", 0)], [[], ["a0"], ["a0"]]),
        ([(0, None)], [], [[]]),
    ],
)
def test_engines_are_joined_with_the_accelerators_that_they_may_run_on(accelerators, engines, expected):
    """A lone engine on all, ranks in equal shares, several on any; none on an accelerator that MIG divides."""
    seconds = simulated("WITHIN")
    here = [accelerator(seconds, index, mig_index=mig) for index, mig in accelerators]
    serving_here = [serving(seconds, rank, endpoint=endpoint) for endpoint, rank in engines]
    found = join(here, serving_here)
    assert [[f"{one.who.uuid}{one.who.index}" for one in found[position]] for position in sorted(found)] == expected


def test_an_accelerator_that_holds_nothing_has_no_engine():
    """Of two accelerators of a host the engine is on the one that held memory."""
    seconds = simulated("WITHIN")
    empty = replace(seconds, accelerator={**seconds.accelerator, "memory_used_bytes": np.full(1800, 0.4 * GIB)})
    found = join([accelerator(empty, 0), accelerator(seconds, 1)], [serving(seconds)])
    assert [len(found[0]), len(found[1])] == [0, 1]


def test_engines_of_another_host_are_not_joined():
    """Each host has its own engines."""
    seconds = simulated("WITHIN")
    here, there = accelerator(seconds, host="a"), accelerator(seconds, host="b")
    found = list(assess([here, there], [serving(seconds, host="b")]))
    assert [one.engines for one in found] == [0, 1]
