"""One replica: event by event it does what it does step by step."""

import importlib.util
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.plan.replay import batching, engine
from advisor.plan.replay.engine import Timelines, serve, serve_idle, serve_in_parts
from plan.replay.reference import make_steps, serve_plainly

REPLICAS = {
    "plain": make_steps(),
    "small cache": make_steps(kv_tokens=400),
    "few sequences": make_steps(max_sequences=2),
    "shared budget": make_steps(step_tokens=40, step_tokens_per_sequence=6),
    "cached prompts": make_steps(prefix_cache_hit_ratio=0.5, kv_tokens=600),
}
traces = st.lists(
    st.tuples(st.floats(0, 0.4), st.integers(1, 250), st.integers(1, 150)), min_size=1, max_size=25
)  # fmt: skip


def run(times, trace):
    """The trace on the replica: event by event, and step by step."""
    gaps, prompts, answers = zip(*trace, strict=True)
    arrays = (np.cumsum(np.add(gaps, 1e-5)), np.array(prompts, dtype=np.int32), np.array(answers, dtype=np.int32))
    return serve(times, *arrays), serve_plainly(times, *arrays)


@pytest.mark.parametrize("times", REPLICAS.values(), ids=REPLICAS)
@given(trace=traces)
@settings(max_examples=60, deadline=None)
def test_events_give_what_steps_give(times, trace):
    """First tokens, last tokens, batches and preemptions are those of a simulation of every single step."""
    fast, (first, last, beside, preemptions) = run(times, trace)
    assert fast.first_s == pytest.approx(first, abs=1e-9)
    assert fast.last_s == pytest.approx(last, abs=1e-9)
    assert fast.lag_s == pytest.approx(np.array(times.lag_s)[beside])
    assert fast.preemptions == preemptions


@pytest.mark.parametrize("times", REPLICAS.values(), ids=REPLICAS)
@given(trace=traces, begun=st.integers(1, 25))
@settings(max_examples=30, deadline=None)
def test_a_stop_on_the_way_changes_nothing(times, trace, begun):
    """What is known when some requests are begun stays so, and all ends as it would have without a stop."""
    gaps, prompts, answers = zip(*trace, strict=True)
    arrays = (np.cumsum(np.add(gaps, 1e-5)), np.array(prompts, dtype=np.int32), np.array(answers, dtype=np.int32))
    early, _, late = serve_in_parts(times, *arrays, (begun, begun + 4))
    whole = serve(times, *arrays)
    known = early.last_s > 0
    begun = early.last_s.size
    assert (early.last_s[known] == late.last_s[:begun][known]).all()
    assert (early.first_s[known] == late.first_s[:begun][known]).all()
    assert late.last_s == pytest.approx(whole.last_s)
    assert late.preemptions == whole.preemptions


SOURCE = Path(engine.__file__).with_name("batching.py")


def from_source():
    """The loop as it is written, whatever was compiled of it."""
    spec = importlib.util.spec_from_file_location("batching_as_written", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("times", REPLICAS.values(), ids=REPLICAS)
@given(trace=traces)
@settings(max_examples=30, deadline=None)
def test_the_loop_is_the_same_to_the_last_bit_where_it_is_compiled(times, trace):
    """What runs and its source agree in every time of every request; a compiled loop is of the source that is there."""
    assert Path(batching.__file__).stat().st_mtime >= SOURCE.stat().st_mtime, "run `make environment`"
    fast, _ = run(times, trace)
    with patch.object(engine, "Replica", from_source().Replica):
        slow, _ = run(times, trace)
    for name in ("first_s", "last_s", "lag_s"):
        assert getattr(fast, name).tobytes() == getattr(slow, name).tobytes()
    assert fast.preemptions == slow.preemptions


def test_a_full_cache_preempts_and_every_request_is_still_answered():
    """Three requests that together outgrow the cache all get their last token, the oldest unharmed."""
    trace = [(0.0, 100, 100)] * 3
    fast, (_, last, _, preemptions) = run(make_steps(kv_tokens=400), trace)
    alone, _ = run(make_steps(), trace)
    assert fast.preemptions == preemptions > 0
    assert fast.last_s == pytest.approx(last)
    assert fast.last_s[0] <= alone.last_s[0] + 1e-9 < fast.last_s[2]


def test_an_answer_of_one_token_ends_with_its_prompt():
    """Nothing is decoded, so the first token is the last."""
    fast, _ = run(make_steps(), [(0.0, 50, 1)])
    assert fast.first_s == pytest.approx(fast.last_s)
    times = make_steps()
    assert fast.first_s[0] == pytest.approx(1e-5 + times.begin_s + times.prompt_s[50] + times.alone_s[50])


def test_a_long_prompt_is_computed_in_chunks_between_decodes():
    """While 250 prompt tokens take three steps of 100, a running request gets a token in each of them."""
    times = make_steps()
    fast, _ = run(times, [(0.0, 10, 150), (0.3, 250, 1)])
    alone, _ = run(times, [(0.0, 10, 150)])
    chunks = times.learned[1] * (times.prompt_s[250] + times.begin_s)
    assert fast.last_s[0] - alone.last_s[0] == pytest.approx(chunks)


@pytest.mark.parametrize("times", REPLICAS.values(), ids=REPLICAS)
@given(trace=traces)
@settings(max_examples=30, deadline=None)
def test_an_idle_replica_is_one_whose_requests_come_hours_apart(times, trace):
    """Each request served by itself gets its tokens when it would have if none came near it."""
    _, prompts, answers = zip(*trace, strict=True)
    hours = 3_600.0 * np.arange(len(trace))
    lengths = (np.array(prompts, dtype=np.int32), np.array(answers, dtype=np.int32))
    apart = serve(times, hours, *lengths)
    (idle,) = serve_idle(times, hours, *lengths, ())

    assert idle.first_s == pytest.approx(apart.first_s, abs=1e-9)
    assert idle.last_s == pytest.approx(apart.last_s, abs=1e-9)
    assert idle.lag_s == pytest.approx(apart.lag_s)


@given(trace=traces)
@settings(max_examples=30, deadline=None)
def test_kept_timelines_are_those_of_the_same_requests(trace):
    """What is served a second time, with stops on the way or without, ends as it did; other requests are served anew."""
    times, served = REPLICAS["plain"], Timelines()
    gaps, prompts, answers = zip(*trace, strict=True)
    lengths = (np.array(prompts, dtype=np.int32), np.array(answers, dtype=np.int32))
    for seconds in (np.cumsum(np.add(gaps, 1e-5)), np.cumsum(np.add(gaps, 0.1))):
        for parts in ((), (len(trace) // 2,), (len(trace) // 2,), ()):
            of_kept, anew = served(times, seconds, *lengths, parts), serve_in_parts(times, seconds, *lengths, parts)
            for kept, new in zip(of_kept, anew, strict=True):
                assert (kept.last_s == new.last_s).all()
                assert (kept.first_s == new.first_s).all()
