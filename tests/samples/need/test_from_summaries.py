"""Verdicts and need from summaries: never against those from the rows, and unknown where only rows can tell."""

from functools import cache

import pytest

from advisor.samples.need.fleet import METRICS_NEEDED, assess, assess_summaries
from advisor.samples.need.verdict import Code, Fixed
from samples.need import simulate
from samples.need.simulate import GIB, accelerator, drawn, run, serving
from samples.query.in_memory import InMemory, rows_of

FIXED = Fixed(17 * GIB, 19 * GIB)


@cache
def simulated(name):
    """One of the loads, once."""
    return run(getattr(simulate, name))


def from_summaries(*timelines):
    """What a backend over the same rows leads to."""
    backend = InMemory([row for timeline in timelines for row in rows_of(timeline)])
    window = backend.window()
    return [one.besides(FIXED) for one in assess_summaries(list(backend.summaries(METRICS_NEEDED, window)))]


@pytest.mark.parametrize("name", ["IDLE", "WITHIN", "BANDWIDTH", "UNSATURATED"])
def test_summaries_lead_to_the_same_verdict_and_need_as_rows(name):
    """Without a full KV cache nothing hangs on what happened at the same time: both agree to the byte."""
    seconds = simulated(name)
    here, engine = accelerator(seconds), serving(seconds)
    (rows,), (summary,) = list(assess([here], [engine], FIXED)), from_summaries(drawn(seconds), engine)
    assert summary.verdict.code is rows.verdict.code
    assert summary.memory == rows.memory
    assert summary.who == rows.who


def test_full_and_queued_at_the_same_time_cannot_be_told_from_quantiles():
    """The KV cache was full and requests queued: memory-bound is likely, and proven only by rows."""
    seconds = simulated("MEMORY")
    (one,) = from_summaries(drawn(seconds), serving(seconds))
    assert one.verdict.code is Code.UNKNOWN
    assert one.verdict.likely is Code.MEMORY_BOUND
    assert one.memory.kv.is_exceeded


def test_a_cache_that_was_full_for_a_moment_leaves_memory_bound_open():
    """A single full row among queues may have been many: what the quantiles say is likely stands beside it."""
    seconds = simulated("COMPUTE")
    (one,) = from_summaries(drawn(seconds), serving(seconds))
    assert (one.verdict.code, one.verdict.likely) == (Code.UNKNOWN, Code.COMPUTE_BOUND)


def test_a_host_without_an_engine_has_an_upper_bound_only():
    """Engines of another host say nothing of this one."""
    seconds = simulated("BANDWIDTH")
    here, there = from_summaries(drawn(seconds, host="a"), drawn(seconds, host="b"), serving(seconds, host="b"))
    assert here.memory.kv is None
    assert there.memory.kv is not None
