"""Engines of one service: names, gaps, restarts, replicas that come and go, lengths that are stated or counted."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.services import EngineView, Grown, LengthCounts, Readings, Wanted, demand_of_views
from advisor.demand.services.readings import added, lengths_of
from advisor.demand.services.service import is_alias, matching, served_key
from advisor.errors import InputError

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
QWEN = "Qwen/Qwen3-32B"
START = 1_772_409_600


def readings(seconds, requests, tokens, in_flight=None):
    """What was read; None: requests in flight were not."""
    return Readings(seconds, requests, tokens, np.full(seconds.size, np.nan) if in_flight is None else in_flight)


def view(
    counter, *, model=LLAMA, address="http://a:8000/metrics", host="", first=0, step=15, rank="0", tokens=(500, 100)
):
    """An engine whose counter of requests stood so at each reading; NaN: not read."""
    counter = np.array(counter, dtype=float)
    known = ~np.isnan(counter)
    seconds = START + first + step * np.arange(counter.size)[known]
    requests = counter[known]
    change = np.diff(requests)
    grown = float(np.where(change >= 0, change, requests[1:]).sum())
    prompt, answer = tokens or (None, None)
    counted = Grown(grown, *((None, None) if tokens is None else (grown * prompt, grown * answer)))
    spent = np.full(requests.size, np.nan) if tokens is None else requests * (prompt + answer)
    return EngineView("vllm", model, rank, host, address, "", readings(seconds.astype(float), requests, spent), counted)


def demand(*views, **asked):
    """Of the workload's model."""
    wanted = Wanted(
        **{"model": LLAMA, "where": "here", "field": "demand.samples", "known_models": (LLAMA, QWEN), **asked}
    )
    return demand_of_views(views, wanted, "test")


def steady(per_reading=4, readings=121, begin=0):
    """A counter that grows evenly."""
    return begin + per_reading * np.arange(readings, dtype=float)


def test_a_short_gap_loses_no_request():
    """What came while an engine was not read for three minutes is laid evenly over them."""
    gappy = steady()
    gappy[40:52] = np.nan
    whole, found = demand(view(steady())), demand(view(gappy))
    np.testing.assert_allclose(found.profile.requests_per_minute, whole.profile.requests_per_minute)
    assert found.requests_per_second.mean == pytest.approx(4 / 15)


def test_a_long_gap_counts_in_the_mean_and_leaves_its_minutes_unknown():
    """Half an hour without readings, in which twice as much came: the mean holds it, no minute of it is known."""
    counter = np.concatenate((steady(4, 121), 480 + 8 * np.arange(1, 121), 1440 + 4 * np.arange(1, 121)))
    counter[121:240] = np.nan
    found = demand(view(counter))
    assert found.requests_per_second.mean == pytest.approx((480 + 960 + 480) / (360 * 15))
    assert np.count_nonzero(np.isnan(found.profile.requests_per_minute)) == pytest.approx(30, abs=2)
    assert any("not every replica was read: unknown, not idle" in note for note in found.notes)


def test_a_restart_is_no_growth_and_is_said():
    """After 240 requests the engine starts anew: what it counts from then on goes on."""
    counter = np.concatenate((steady(4, 61, begin=9000), steady(4, 60, begin=2)))
    found = demand(view(counter))
    assert found.requests_per_second.mean == pytest.approx(4 / 15, rel=0.01)
    assert any("restarted once" in note for note in found.notes)


def test_a_replica_that_was_down_is_not_unknown():
    """Two replicas, one of which is away for half an hour and begins at nothing: the other's minutes are all there is."""
    counter = np.concatenate((steady(4, 61), np.full(120, np.nan), steady(4, 60)))
    found = demand(view(counter), view(steady(4, 241, begin=7), address="http://b:8000/metrics", tokens=(400, 90)))
    per_minute = found.profile.requests_per_minute
    assert not np.isnan(per_minute).any()
    np.testing.assert_allclose(per_minute[20:40], 16)
    np.testing.assert_allclose(per_minute[-10:], 32)


def test_a_replica_that_comes_later_leaves_earlier_minutes_known():
    """It began at nothing: what it had counted at its first reading is its own."""
    late = view(steady(8, 60, begin=8), address="http://b:8000/metrics", first=15 * 61, tokens=(400, 90))
    per_minute = demand(view(steady(4, 121)), late).profile.requests_per_minute
    np.testing.assert_allclose(per_minute[:15], 16)
    np.testing.assert_allclose(per_minute[-13:], 48)


def test_ranks_of_one_endpoint_add_up_although_they_are_alike():
    """Data-parallel ranks are engines of their own."""
    found = demand(view(steady()), view(steady(), rank="1"))
    assert found.requests_per_second.mean == pytest.approx(8 / 15)


def test_local_addresses_of_two_hosts_are_two_engines():
    """The same loopback address on two hosts names two engines, however alike they are."""
    local = "http://127.0.0.1:8000/metrics"
    found = demand(view(steady(), address=local, host="a"), view(steady(), address=local, host="b"))
    assert found.requests_per_second.mean == pytest.approx(8 / 15)


def on_loopback(host, times, lengths, **read):
    """A view of an engine on the loopback of a host."""
    local = read_by(times, lengths, "http://127.0.0.1:8000/metrics", skew=150.0, **read)
    return replace(local, host=host, observer=f"read on {host}")


def test_two_agents_on_one_machine_under_two_names():
    """A pod's name and the node's: their loopback is one engine where counters are, and lengths of requests tell."""
    chance = np.random.default_rng(2)
    times = np.sort(3600 * chance.random(3000))
    lengths = np.round(900 * chance.lognormal(-0.4, 0.9, times.size))
    once = on_loopback("node-1", times, lengths)
    found = demand(once, on_loopback("agent-x7", times, lengths, first=3.4))
    assert found.requests_per_second.mean == pytest.approx(3000 / 3600, rel=0.02)
    assert any("count once: http://127.0.0.1:8000/metrics (read on agent-x7) is" in note for note in found.notes)
    other = np.random.default_rng(5).permutation(lengths)
    found = demand(once, on_loopback("node-2", times, other, first=3.4))
    assert found.requests_per_second.mean == pytest.approx(6000 / 3600, rel=0.02)
    assert not any("count once" in note for note in found.notes)


def test_probes_of_one_length_on_every_host_are_engines_of_their_own():
    """Nothing but the same probe at the same times: the counters of two hosts are alike, and say nothing."""
    times, lengths = 10.0 + np.arange(0.0, 3600.0, 20.0), np.full(180, 12.0)
    found = demand(on_loopback("node-1", times, lengths), on_loopback("node-2", times, lengths))
    assert found.requests_per_second.mean == pytest.approx(2 / 20, rel=0.02)


def test_an_observer_that_saw_the_other_half_completes_the_first():
    """Two observers of one engine, of which each was away for a while: together they saw all of it."""
    whole = steady(4, 400)
    first, second = whole.copy(), whole.copy()
    first[300:], second[:100] = np.nan, np.nan
    found = demand(view(first), view(second, address="http://b:8000/metrics"))
    assert len(found.profile.requests_per_minute) == 99
    np.testing.assert_allclose(found.profile.requests_per_minute, 16)


def read_by(times, lengths, address, *, first=3.0, interval=15.0, ahead=0.0, skew=0.0):
    """An engine that ended requests of those lengths at those times, as an observer reads it."""
    at = np.arange(first, times[-1], interval)
    counted = np.searchsorted(times, at).astype(float)
    tokens = np.concatenate(([0.0], np.cumsum(lengths)))[counted.astype(int)]
    read = readings(START + at + ahead, counted, tokens)
    grown = Grown(counted[-1] - counted[0], 700.0, 80.0)
    return EngineView("vllm", LLAMA, "0", address, address, "", read, grown, skew_seconds=skew)


@pytest.mark.parametrize("skew", [0.0, 150.0])
@pytest.mark.parametrize(("rate", "minutes"), [(0.2, 30), (1.0, 10), (5.0, 30)])
def test_twins_are_told_from_engines_that_share_a_load_evenly(rate, minutes, skew):
    """A strict round robin gives two engines equal counts from the start; their tokens drift apart, one engine's do not."""
    for seed in range(5):
        chance = np.random.default_rng(seed)
        times = np.sort(60.0 * minutes * chance.random(chance.poisson(2 * rate * 60 * minutes)))
        lengths = np.round(900 * chance.lognormal(-0.4, 0.9, times.size))
        first = read_by(times[::2], lengths[::2], "a", skew=skew)
        second = read_by(times[1::2], lengths[1::2], "b", first=7.0, ahead=0.7 * skew, skew=skew)
        again = read_by(times[::2], lengths[::2], "c", first=9.0, interval=30.0, ahead=-0.6 * skew, skew=skew)
        found = demand(first, second, again)
        assert found.requests_per_second.mean == pytest.approx(2 * rate, rel=0.15)
        assert any("count once" in note for note in found.notes)


def test_a_restart_into_a_backlog_is_a_restart():
    """An engine that ends more requests right after it started than ever before was still started anew."""
    counter = np.concatenate((steady(4, 121, begin=9000), 300 + steady(4, 120)))
    found = demand(view(counter))
    assert found.requests_per_second.mean == pytest.approx(4 / 15)
    assert np.count_nonzero(np.isnan(found.profile.requests_per_minute)) == 1
    assert not any("jump back" in note for note in found.notes)


def test_an_engine_that_starts_all_the_time():
    """Where every minute has a restart, what was counted since each is a lower bound, and better than nothing."""
    counter = np.tile([0.0, 4.0, 8.0], 40)
    found = demand(view(counter))
    assert found.requests_per_second.mean == pytest.approx(8 / 45, rel=0.1)
    assert any("restarted 39 times" in note for note in found.notes)


def test_lengths_are_stated_where_no_engine_counts_them():
    """And without them the error says so."""
    found = demand(view(steady(), tokens=None), input_tokens=700, output_tokens=80)
    assert (found.input_tokens.mean, found.output_tokens.mean) == (700, 80)
    with pytest.raises(InputError, match="counts requests there, but not their tokens") as caught:
        demand(view(steady(), tokens=None))
    assert "state input_tokens" in caught.value.hint


def test_idle_engines_are_named():
    """No request, no demand: nothing is made up. Without engines there is nothing to say."""
    assert demand() is None
    with pytest.raises(InputError, match=r"vllm counted no request there in 0.5 h"):
        demand(view(np.full(121, 1000.0)))


@pytest.mark.parametrize(("count", "span"), [(2, "15 seconds"), (4, "45 seconds")])
def test_engines_that_were_read_too_briefly_are_not_called_idle(count, span):
    """Requests were counted, but over no whole minute: how often they come is not known yet."""
    with pytest.raises(InputError, match=f"vllm was read over {span}: too short to count requests a minute") as caught:
        demand(view(steady(readings=count)))
    assert caught.value.hint.startswith("observe an hour or more")


def test_a_stated_volume_is_held_against_what_was_counted():
    """It is not used, and both numbers are said."""
    found = demand(view(steady()), requests_per_day=1e6)
    assert any("requests_per_day (1,000,000) is not used: the engines counted 23,040 a day" in n for n in found.notes)


def test_an_alias_alone_is_taken_and_said():
    """``chat`` may be any model; with others beside it nobody knows, and another model's name is refused."""
    found = demand(view(steady(), model="chat"))
    assert any("the engines call their model chat: it is taken to be" in note for note in found.notes)
    with pytest.raises(InputError, match=r"no engine there serves .*: they serve .*chat"):
        demand(view(steady(), model="chat"), view(steady(2), model="rerank", address="http://b:1/metrics"))
    named = demand(
        view(steady(), model="chat"), view(steady(2), model="rerank", address="http://b:1/metrics"), served_as="chat"
    )
    assert any("rerank (0.133 requests/s)" in note for note in named.notes)
    with pytest.raises(InputError, match=r"they serve Qwen/Qwen3-32B \(0.267 requests/s\)") as refused:
        demand(view(steady(), model=QWEN))
    assert "unnamed" not in refused.value.hint
    with pytest.raises(InputError, match=r"an unnamed one \(0.133 requests/s\)") as refused:
        demand(view(steady(), model=QWEN), view(steady(2), model=None, address="http://b:1/metrics"))
    assert "if it is the unnamed one, leave the others out" in refused.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct", "/models/Llama-3.1-8B-Instruct/",
        "meta-llama/Meta-Llama-3.1-8B-Instruct", "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic",
        "/root/.cache/huggingface/hub/models--meta-llama--Llama-3.1-8B-Instruct/snapshots/0e9e39f249a16976918f6564b8830bc894c89659",
        "llama_3_1_8b_instruct", "neuralmagic/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "Llama 3.1 8B Instruct",
        "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", "C:\\models\\Llama-3.1-8B-Instruct",
    ],
)  # fmt: skip
def test_names_of_one_model(name):
    """Repository, path, cache folder, case, marks and storage precision do not make another model."""
    assert matching(LLAMA, [QWEN, name]) == (name,)


@pytest.mark.parametrize(
    "name", ["meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Llama-3-8B-Instruct", "Qwen/Qwen3-8B", "chat", "main"]
)
def test_names_of_other_models(name):
    """Size and version do."""
    assert matching(LLAMA, [name]) == ()


def test_the_tuned_model_goes_before_its_base():
    """Both run alike; where both are served the workload's own is meant."""
    base = "meta-llama/Llama-3.1-8B"
    assert matching(LLAMA, [base]) == (base,)
    assert matching(LLAMA, [base, LLAMA]) == (LLAMA,)
    assert served_key(base) != served_key(LLAMA)


def test_aliases():
    """A name that says nothing of a model; families, sizes and owners say something."""
    assert [is_alias(name, (LLAMA, QWEN)) for name in ("chat", "prod-llm-v2", "default")] == [True] * 3
    assert [is_alias(name, (LLAMA, QWEN)) for name in ("qwen", "my-13b", "acme/thing", "llama3")] == [False] * 4


def histogram(lengths, bounds=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)):
    """Buckets of requests with those lengths."""
    bounds = np.array([*bounds, np.inf], dtype=float)
    return LengthCounts(
        bounds, np.array([(lengths <= bound).sum() for bound in bounds], dtype=float), float(lengths.sum())
    )


@pytest.mark.parametrize("sigma", [0.4, 0.8, 1.2])
@pytest.mark.parametrize("median", [30, 140, 700])
def test_quantiles_of_log_normal_lengths(median, sigma):
    """Buckets of 1, 2 and 5 tell p50 and p95 to a twentieth, and the mean exactly."""
    lengths = np.maximum(np.round(median * np.exp(sigma * np.random.default_rng(1).standard_normal(50_000))), 1)
    found = lengths_of(histogram(lengths))
    told = found.quantiles()
    assert told.p50 == pytest.approx(np.quantile(lengths, 0.5), rel=0.05)
    assert told.p95 == pytest.approx(np.quantile(lengths, 0.95), rel=0.05)
    assert float(found.tokens @ found.share) == pytest.approx(lengths.mean(), rel=1e-6)
    assert told.max >= min(lengths.max(), 20_000)


@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_histogram_has_shares_that_add_up(lengths):
    """Bins ascend and hold all requests, whatever the buckets hold."""
    lengths = np.array(lengths, dtype=float)
    found = lengths_of(histogram(lengths))
    assert found.share.sum() == pytest.approx(1)
    assert (found.share >= 0).all()
    assert (np.diff(found.low) > 0).all()
    assert (found.high > found.low).all()
    told = found.quantiles()
    assert told.p50 <= told.p95 <= told.p99 <= told.max * (1 + 1e-9)


def test_histograms_with_other_bounds_add_up():
    """Two releases with other buckets: all requests and tokens of both."""
    lengths = np.arange(1.0, 1001.0)
    both = added([histogram(lengths), histogram(lengths, (16, 64, 256, 1024))])
    assert (both.requests, both.tokens) == (2000, 2 * lengths.sum())
    assert (np.diff(both.counts) >= 0).all()


def test_few_unknown_minutes_are_counted_and_one_observer_is_named_once():
    """No share that rounds to all of them; and a pair of servers that scrape alike is no engine that is itself."""
    gap = steady(4, 4 * 1500)
    gap[2000:2024] = np.nan
    found = demand(view(gap), view(gap))
    per_minute = found.profile.requests_per_minute
    unknown = np.count_nonzero(np.isnan(per_minute))
    assert 0 < unknown < 8
    assert any(f"all but {unknown} of {len(per_minute):,} minutes were observed" in note for note in found.notes)
    assert any("count once: http://a:8000/metrics, twice" in note for note in found.notes)


def bursty_fleet(seed, replicas, interval):
    """Busiest minute of a bursty service, and views of its engines, read so often at moments of their own."""
    chance = np.random.default_rng(seed)
    stretches = np.repeat(np.arange(480), chance.poisson(90 * chance.gamma(2.8, 1 / 2.8, 480)))
    times = np.sort(30 * (stretches + chance.random(stretches.size)))
    served_by = chance.integers(0, replicas, times.size)
    lengths = np.full(times.size, 600.0)
    views = [
        read_by(times[served_by == k], lengths[served_by == k], f"r{k}", first=interval * chance.random(), interval=interval)
        for k in range(replicas)
    ]  # fmt: skip
    return np.bincount((times // 60).astype(int)).max() / 60, views


@pytest.mark.parametrize("interval", [30.0, 60.0])
def test_how_much_busier_a_blurred_minute_may_have_been(interval):
    """What the note says holds the truth in four of five fleets that are read every half minute or minute."""
    held = 0
    for seed in range(20):
        peak, views = bursty_fleet(seed, 1 + seed % 4, interval)
        found = demand(*views)
        (told,) = [note for note in found.notes if "the busiest minute is blurred" in note]
        more = int(re.search(r"may have been up to (\d+)% busier", told)[1])
        held += peak <= found.requests_per_second.peak * (1 + (more + 0.5) / 100)
    assert held >= 16


def with_clock_ahead(times, seconds, host):
    """What the agent of a host records of requests, whose clock is so far ahead: rows end at its whole 15 s."""
    row_ends = np.arange(np.ceil((START + seconds) / 15) * 15, START + seconds + times[-1], 15.0)
    counted = np.searchsorted(times, row_ends - seconds - START).astype(float)
    read = readings(row_ends, counted, 600 * counted)
    local = "http://127.0.0.1:8000/metrics"
    return EngineView("vllm", LLAMA, "0", host, local, "", read, Grown(counted[-1], 1e6, 1e5), skew_seconds=150.0)


@pytest.mark.parametrize("burstiness", [0.0, 0.3, 0.8])
def test_clocks_that_are_apart_do_not_blur_bursts(burstiness):
    """Bursts tell how far each host's clock is off most others', to a few seconds; without bursts nothing is blurred."""
    chance = np.random.default_rng(7)
    rate = 3.0 * chance.gamma(1 / burstiness**2, burstiness**2, 480) if burstiness else np.full(480, 3.0)
    stretches = np.repeat(np.arange(480), chance.poisson(30 * rate))
    times = np.sort(30 * (stretches + chance.random(stretches.size)))
    host_of = chance.integers(0, 4, times.size)
    ahead = dict(zip("abcd", (0.0, 0.0, 110.0, -38.0), strict=True))
    views = [with_clock_ahead(times[host_of == k], seconds, host) for k, (host, seconds) in enumerate(ahead.items())]
    found = demand(*views)
    peak = np.bincount((times // 60).astype(int)).max() / 60
    assert found.requests_per_second.peak == pytest.approx(peak, rel=0.06)
    told = [note for note in found.notes if note.startswith("clocks of hosts are apart")]
    assert bool(told) is (burstiness > 0)
    for note in told:
        shifts = re.findall(r"(\w) is (\d+) s (ahead|behind)", note)
        assert {host: float(by) * (1 if way == "ahead" else -1) for host, by, way in shifts} == pytest.approx(
            {"c": 110.0, "d": -38.0}, abs=8.0
        )


def test_names_of_one_model_are_counted_together():
    """A model that was renamed half way, or runs in two precisions: all its requests, unless one name is asked for."""
    renamed = "meta-llama/Meta-Llama-3.1-8B-Instruct"
    before = view(steady(4, 121), model=renamed)
    after = view(steady(4, 121), first=121 * 15)
    found = demand(before, after)
    assert found.requests_per_second.mean == pytest.approx(4 / 15, rel=0.02)
    assert found.window_seconds == pytest.approx(3600, rel=0.02)
    assert any("names of one model and counted together" in note for note in found.notes)
    assert not any("other models" in note for note in found.notes)
    alone = demand(before, after, served_as=renamed)
    assert alone.window_seconds == pytest.approx(1800, rel=0.04)
    assert any("other models are served there" in note for note in alone.notes)


def of_a_queue(arrives, ends, lost=()):
    """An engine that answers requests which arrive and end then; some leave without being counted."""
    at = np.arange(0.0, 7200.0, 15.0)
    counted = np.searchsorted(np.sort(np.delete(ends, lost)), at, side="right").astype(float)
    left = np.searchsorted(np.sort(ends), at, side="right")
    in_flight = np.searchsorted(np.sort(arrives), at, side="right") - left.astype(float)
    read = readings(START + at, counted, 600 * counted, in_flight)
    return EngineView("vllm", LLAMA, "0", "a", "a", "", read, Grown(counted[-1], 500 * counted[-1], 100 * counted[-1]))


def test_requests_count_when_they_arrive():
    """A burst that is answered one minute later, and slowly: its minute is the one in which it came."""
    chance = np.random.default_rng(3)
    burst = 3600 + 60 * chance.random(300)
    arrives = np.concatenate((7000 * chance.random(1000), burst))
    ends = np.concatenate((arrives[:1000] + 40, burst + 60 + 300 * chance.random(300)))
    per_minute = demand(of_a_queue(arrives, ends)).profile.requests_per_minute
    np.testing.assert_allclose(per_minute, np.histogram(arrives, 60 * np.arange(0, 120))[0], atol=1)


def test_requests_that_leave_uncounted_do_not_add_up():
    """Clients that give up: what an engine never counted is never in the sum for long."""
    chance = np.random.default_rng(4)
    arrives = np.sort(7000 * chance.random(2000))
    lost = np.arange(0, 2000, 10)
    found = demand(of_a_queue(arrives, arrives + 30, lost))
    assert found.requests_per_second.mean == pytest.approx(1800 / 7185, rel=0.03)
    assert found.profile.requests_per_minute.min() >= 0
