"""Verdicts against a simulated engine whose limit is known by construction."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.samples.need import limits
from advisor.samples.need.fleet import assess
from advisor.samples.need.verdict import _QUESTIONS, Code, gather, judge, kv_full_and_queue
from samples.need import simulate
from samples.need.simulate import accelerator, alternate, run, serving

TRUTH = {
    "IDLE": Code.IDLE,
    "WITHIN": Code.WITHIN_LIMITS,
    "MEMORY": Code.MEMORY_BOUND,
    "BANDWIDTH": Code.BANDWIDTH_BOUND,
    "COMPUTE": Code.COMPUTE_BOUND,
    "UNSATURATED": Code.BUSY_NOT_SATURATED,
    "THROTTLED": Code.THROTTLED,
}
PROFILING = ("sm_active_ratio", "tensor_active_ratio", "dram_active_ratio")


@cache
def simulated(name, seed=1):
    """One of the loads, once."""
    return run(getattr(simulate, name), seed=seed)


def verdict_of(seconds, **options):
    """The verdict on an accelerator with its engine, both with the same gaps."""
    return judge(gather(accelerator(seconds, **options), [serving(seconds, gaps=options.get("gaps", ()))]))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("name", "code"), TRUTH.items())
def test_the_verdict_is_what_limits_the_engine(name, code, seed):
    """Each load is told by what limits it, whatever chance does, and no signal is named as missing."""
    verdict = verdict_of(simulated(name, seed))
    assert verdict.code is code
    assert verdict.likely is code
    assert verdict.missing == ()


def test_turns_of_prefill_and_decode_are_bound_by_both():
    """An engine that reads in for two minutes and answers for two uses up tensor cores and bandwidth in turn."""
    verdict = verdict_of(alternate(simulated("COMPUTE"), simulated("BANDWIDTH")))
    assert verdict.code is Code.MIXED


def test_a_verdict_holds_its_numbers_and_thresholds():
    """Bandwidth-bound: DRAM activity and tensor activity stand beside the limits that they were compared with."""
    verdict = verdict_of(simulated("BANDWIDTH"))
    assert verdict.numbers["dram_active_p95"].value > verdict.limits["dram_active_p95"] == 0.6
    assert verdict.numbers["tensor_active_p95"].value < verdict.limits["tensor_active_p95"] == 0.5
    assert verdict.coverage_ratio == 1.0


def test_the_page_explains_every_verdict():
    """docs/need.md has a row for each code, in the order in which the questions are asked."""
    page, _, _ = (Path(__file__).parents[3] / "docs/need.md").read_text().partition("## JSON")
    rows = re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)
    assert list(dict.fromkeys(rows)) == [code.value for code in _asked()]


def _asked():
    """Codes in the order of their questions, the one that every other leads to last."""
    return [*dict.fromkeys(code for code, _ in _QUESTIONS), Code.UNKNOWN]


def test_every_limit_has_a_source():
    """No threshold stands without a meaning and a source, and none has the name of another."""
    stated = [value for value in vars(limits).values() if isinstance(value, limits.Limit)]
    assert len(stated) == 13
    assert all(limit.meaning and limit.source for limit in stated)
    assert len({limit.name for limit in stated}) == len(stated)


@pytest.mark.parametrize(
    ("name", "code"),
    [("IDLE", Code.IDLE), ("MEMORY", Code.MEMORY_BOUND), ("BANDWIDTH", Code.UNKNOWN), ("COMPUTE", Code.UNKNOWN),
     ("THROTTLED", Code.THROTTLED), ("UNSATURATED", Code.UNKNOWN)],
)  # fmt: skip
def test_without_profiling_signals_only_some_can_be_told(name, code):
    """Idle, memory-bound and throttled need no profiling counters; for any other they are named as missing."""
    verdict = verdict_of(simulated(name), without=PROFILING)
    assert verdict.code is code
    assert set(verdict.missing) <= set(PROFILING)
    assert bool(verdict.missing) == (code is Code.UNKNOWN)


def test_half_busy_is_within_limits_without_any_profiling_signal():
    """What works, works while a kernel runs: busy 0.4 at p95 rules out every limit above it."""
    seconds = simulated("WITHIN")
    quiet = replace(seconds, accelerator={**seconds.accelerator, "busy_ratio": seconds.accelerator["busy_ratio"] * 0.5})
    assert judge(gather(accelerator(quiet, without=PROFILING), [])).code is Code.WITHIN_LIMITS


def test_a_saturated_accelerator_without_engine_metrics_may_be_memory_bound():
    """Where nothing else is at its limit, the KV use of the engine is named as missing."""
    verdict = judge(gather(accelerator(simulated("MEMORY"), without=("dram_active_ratio",)), []))
    assert verdict.code is Code.UNKNOWN
    assert "kv_cache_used_ratio" in verdict.missing


def test_a_mig_instance_is_judged_by_its_profiling_signals():
    """Nobody says how busy an instance is; idle, bandwidth-bound and compute-bound are told without it."""
    for name in ("IDLE", "BANDWIDTH", "COMPUTE"):
        assert verdict_of(simulated(name), without=("busy_ratio",), mig_index=1).code is TRUTH[name]


def test_a_mig_instance_without_profiling_signals_is_idle_when_no_request_ran():
    """With neither busy nor SM activity, requests that ran tell idle from used."""
    without = ("busy_ratio", *PROFILING)
    assert verdict_of(simulated("IDLE"), without=without, mig_index=0).code is Code.IDLE
    assert verdict_of(simulated("WITHIN"), without=without, mig_index=0).code is Code.UNKNOWN


def test_nothing_known_is_unknown_with_the_signals_named():
    """An accelerator that only says its memory gets no verdict."""
    verdict = judge(gather(accelerator(simulated("IDLE"), without=("busy_ratio", *PROFILING)), []))
    assert verdict.code is Code.UNKNOWN
    assert "busy_ratio" in verdict.missing


def test_too_many_gaps_make_a_verdict_unknown_and_say_what_is_likely():
    """With a fifth of the rows missing nothing is proven; what was seen is said beside it, and coverage is named."""
    seconds = simulated("BANDWIDTH")
    verdict = verdict_of(seconds, gaps=range(0, 120, 5))
    assert verdict.code is Code.UNKNOWN
    assert verdict.likely is Code.BANDWIDTH_BOUND
    assert any("80.0% of the time known" in signal for signal in verdict.missing)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(TRUTH)),
    before=st.sets(st.integers(0, 119), max_size=14),
    more=st.sets(st.integers(0, 119), max_size=40),
)
def test_a_gap_turns_a_verdict_into_unknown_or_leaves_it(name, before, more):
    """Whatever is missing already, further gaps never turn one verdict into another."""
    earlier = verdict_of(simulated(name), gaps=sorted(before)).code
    later = verdict_of(simulated(name), gaps=sorted(before | more)).code
    assert later in (earlier, Code.UNKNOWN) or earlier is Code.UNKNOWN


@settings(max_examples=60, deadline=None)
@given(
    busy=st.lists(st.floats(0, 1), min_size=20, max_size=60),
    seed=st.integers(0, 2**16),
    gaps=st.sets(st.integers(0, 59), max_size=12),
)
def test_gaps_never_change_a_verdict_on_any_signals(busy, seed, gaps):
    """The same for arbitrary signals near every threshold, with accelerator and engine missing together or apart."""
    chance = np.random.default_rng(seed)
    seconds = arbitrary(busy, chance)
    missing = [row for row in gaps if row < len(busy)]
    whole = judge(gather(accelerator(seconds), [serving(seconds)]))
    for on_it, of_engine in ((missing, missing), (missing, []), ([], missing)):
        found = judge(gather(accelerator(seconds, gaps=on_it), [serving(seconds, gaps=of_engine)]))
        assert found.code in (whole.code, Code.UNKNOWN) or whole.code is Code.UNKNOWN


def arbitrary(busy, chance):
    """Signals with a level and a spread each, so that quantiles fall on both sides of the limits."""
    rows = len(busy)

    def signal():
        return np.repeat(np.clip(chance.normal(chance.uniform(0.2, 1), 0.15, rows), 0, 1), simulate.ROW_SECONDS)

    seconds = simulated("IDLE")
    engine = {
        "requests_running": np.repeat(chance.integers(0, 3, rows).astype(float), simulate.ROW_SECONDS),
        "requests_waiting": np.repeat(chance.integers(0, 3, rows).astype(float), simulate.ROW_SECONDS),
        "kv_cache_used_ratio": signal(),
    }
    on_it = {name: signal() for name in ("sm_active_ratio", "tensor_active_ratio", "dram_active_ratio")}
    on_it["busy_ratio"] = np.repeat(np.array(busy), simulate.ROW_SECONDS)
    on_it["power_throttled_seconds"] = np.cumsum(np.repeat(chance.random(rows) * 0.2, simulate.ROW_SECONDS))
    return replace(seconds, accelerator=on_it, engine=engine)


def test_an_engine_that_never_answered_leaves_open_only_what_hangs_on_it():
    """With time to spare no queue stands, whatever the engine would say; a saturated accelerator may be memory-bound."""
    silent = serving(simulated("WITHIN"), gaps=range(120))
    assert judge(gather(accelerator(simulated("WITHIN")), [silent])).code is Code.WITHIN_LIMITS
    saturated = judge(gather(accelerator(simulated("BANDWIDTH")), [silent]))
    assert (saturated.code, saturated.likely) == (Code.UNKNOWN, Code.UNKNOWN)
    assert saturated.missing == ("kv_cache_used_ratio (0.0% of the time known)",)


def test_link_rates_are_the_growth_of_their_counters_over_time():
    """Three rows of 15 MB each are a megabyte a second; gaps and resets are left out, and no verdict is made of it."""
    counter = np.full(120, np.nan)
    counter[:4] = [0.0, 15e6, 30e6, 45e6]
    linked = accelerator(simulated("WITHIN"), nvlink_sent_bytes=counter)
    assert gather(linked, []).bytes_per_second == {"nvlink_sent_bytes": pytest.approx(1e6)}


def test_put_back_requests_count_as_a_queue():
    """A full cache with no queue is no limit; with preemptions it is; over a gap nobody knows when they were."""
    full = {
        "kv_cache_used_ratio": np.full(60, 1.0), "requests_waiting": np.zeros(60), "requests_running": np.ones(60),
        "requests_finished": np.zeros(60),
    }  # fmt: skip
    seconds = replace(simulated("IDLE"), engine=full)
    assert kv_full_and_queue(serving(seconds)).tolist() == [0, 0, 0, 0]
    engine = serving(seconds)
    put_back = replace(engine, means={**engine.means, "preemptions": np.array([5.0, 5.0, np.nan, 9.0])})
    np.testing.assert_array_equal(kv_full_and_queue(put_back), [np.nan, 0, np.nan, np.nan])
    steady = replace(engine, means={**engine.means, "preemptions": np.array([5.0, 7.0, 7.0, 9.0])})
    np.testing.assert_array_equal(kv_full_and_queue(steady), [np.nan, 1, 0, 1])


def test_several_engines_are_judged_only_where_they_agree():
    """With one engine full and one not, and nobody to say which runs where, memory-bound is left open."""
    full, free = simulated("MEMORY"), simulated("WITHIN")
    engines = [serving(full, endpoint="http://a/metrics"), serving(free, endpoint="http://b/metrics")]
    here = [accelerator(full, 0), accelerator(full, 1)]
    assert [one.verdict.code for one in assess(here, engines)] == [Code.UNKNOWN, Code.UNKNOWN]
    ranks = [serving(full, rank=0), serving(free, rank=1)]
    assert [one.verdict.code for one in assess([accelerator(full, 0), accelerator(free, 1)], ranks)] == [
        Code.MEMORY_BOUND, Code.WITHIN_LIMITS,
    ]  # fmt: skip
