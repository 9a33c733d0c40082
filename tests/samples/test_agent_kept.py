"""A source that is kept going, in a time that the test tells."""

import time
from pathlib import Path

from advisor.samples.agent.supervised import Asked, Patience, SupervisedSource, in_words
from advisor.samples.metrics import Gap, Row, Target
from samples.sources.engines.exhibits import vllm_page
from services.scripted import always, answer, scripted

SECOND = 1_000_000
MIDNIGHT = 1_791_936_000 * SECOND


def kept(said, name="nonsense", *addresses):
    """A source that cannot be opened: there is none of that name."""
    return SupervisedSource(Asked(name, addresses), "host", SECOND, Patience(), said.append)


def until_it_ends(source, now):
    """Let its process or thread, which is real, come to its end at a time that stands still; what it still says."""
    until, heard = time.monotonic() + 20, []
    while source.is_running:
        assert time.monotonic() < until
        heard += source.hear(now, MIDNIGHT)
        source.tend(now, MIDNIGHT)
        time.sleep(0.01)
    return heard


def test_the_pause_before_a_replacement_doubles_up_to_a_minute():
    """Started at once, then after 1, 2, 4, 8, 16, 32, 60 and 60 s: never in a storm."""
    source, now, pauses = kept([]), 0.0, []
    source.tend(now, MIDNIGHT)
    for _ in range(8):
        until_it_ends(source, now)
        ended_at = now
        while source.process_id is None:
            now += 1.0
            source.tend(now, MIDNIGHT)
        pauses.append(now - ended_at)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    source.stop()


def test_what_a_source_said_when_it_gave_up_is_the_reason_of_its_gaps():
    """From the first row on there are gaps with that reason, a row at a time, and it is said once."""
    said = []
    source = kept(said)
    source.begin(MIDNIGHT)
    source.tend(0.0, MIDNIGHT)
    until_it_ends(source, 0.0)
    assert source.failure is not None
    gaps = source.tend(0.1, MIDNIGHT + 21 * SECOND)
    assert gaps == [
        Gap(Target("host", "nonsense", None), MIDNIGHT, MIDNIGHT + 15 * SECOND, 15, "'nonsense' is not a source")
    ]
    assert source.tend(0.2, MIDNIGHT + 22 * SECOND) == []
    assert source.gap_ticks == {"'nonsense' is not a source": 15}
    assert said == ["'nonsense' is not a source; recorded as a gap until it answers"]
    source.stop()


def test_engines_are_read_in_a_thread():
    """It has no process; it gives up, is started again and ends like one, and leaves no file descriptor behind."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    said = []
    source = kept(said, "engines", "ftp://a")
    source.begin(MIDNIGHT)
    for now in (0.0, 1.0):
        source.tend(now, MIDNIGHT)
        assert (source.is_running, source.process_id) == (True, None)
        until_it_ends(source, now)
    assert said == ["ftp://a: this address is not an http or https URL; recorded as a gap until it answers"]
    source.stop()
    source.tend(1000.0, MIDNIGHT)
    assert source.starts == 2
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_thread_that_is_stopped_ends():
    """Told to stop, it finishes the reading under way; what was read counts."""
    with scripted(always(answer(vllm_page("llama")))) as engine:
        source = SupervisedSource(Asked("engines", (engine.url,)), "host", SECOND // 10, Patience(), print)
        source.tend(0.0, MIDNIGHT)
        until, heard = time.monotonic() + 20, []
        while source.last_tick_us is None:
            assert time.monotonic() < until
            heard += source.hear(0.0, MIDNIGHT)
            time.sleep(0.01)
        source.stop()
        heard += until_it_ends(source, 0.0)
    assert source.state == "ended"
    rows = [record for record in (*heard, *source.finish(0.0, 0)) if isinstance(record, Row)]
    assert {row.target.name for row in rows} == {"llama"}


def test_a_value_that_is_no_reading_is_told_once():
    """However many pages repeat it; the rows carry it as their note."""
    said = []
    page = vllm_page("llama") + 'vllm:num_requests_waiting{model_name="llama",x="y"} 1e400\n'
    with scripted(always(answer(page))) as engine:
        source = SupervisedSource(Asked("engines", (engine.url,)), "host", SECOND // 10, Patience(), said.append)
        source.tend(0.0, MIDNIGHT)
        until = time.monotonic() + 20
        while len(engine.requests) < 4:
            assert time.monotonic() < until
            source.hear(0.0, MIDNIGHT)
            time.sleep(0.01)
        source.stop()
        until_it_ends(source, 0.0)
    reason = "vllm:num_requests_waiting is over 9.2e+18"
    told = f"vllm at {engine.url}/metrics, rank 0: {reason}; left out of its rows, the others go on"
    assert said == [told]


def test_a_source_that_is_over_is_not_started_again():
    """After the word to stop, an end is the end."""
    source = kept([])
    source.tend(0.0, MIDNIGHT)
    source.stop()
    until_it_ends(source, 0.0)
    source.tend(1000.0, MIDNIGHT)
    assert (source.state, source.process_id, source.starts) == ("ended", None, 1)


def test_places_in_words():
    """Accelerators, instances and engines are told apart."""
    assert in_words(Target("host", "nvml", 3)) == "nvml accelerator 3"
    assert in_words(Target("host", "nvml", 3, 1)) == "nvml accelerator 3, MIG instance 1"
    assert in_words(Target("host", "vllm", 0, endpoint="http://a")) == "vllm at http://a, rank 0"
    assert in_words(Target("host", "tpu", None)) == "tpu"
