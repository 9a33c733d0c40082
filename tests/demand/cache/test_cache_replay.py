"""Replay of caches: equal to simulations that keep every entry, and silent about prompts."""

import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from advisor.cli.demand import cache_command
from advisor.demand.cache_log import read_log
from advisor.demand.cache_replay import (
    Vectors,
    by_key,
    last_access,
    misses_of_ttl,
    nearest_stored,
    peak_held,
    replay_caches,
    semantic_point,
    stack_distances,
)
from advisor.errors import InputError

SECRET = "the patient's name is Ada"


def written(tmp_path, *rows):
    """A log of these requests."""
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def chats(seed, requests=300, block=4):
    """Conversations whose prompts begin with the turns before, as hashes of blocks."""
    chance = random.Random(seed)
    turns: list[list[int]] = [[0] for _ in range(12)]
    for number in range(requests):
        turn = chance.choice(turns)
        if chance.random() < 0.7:
            turn.append(1000 + number)
        if len(turn) > 9:
            turn[:] = [0]
        yield {"timestamp": number, "hash_ids": list(turn), "input_length": len(turn) * block - chance.randrange(block)}


def reference_lru(keys, entries, sizes=None, times=None, ttl=np.inf):
    """Hits of a least-recently-used cache that keeps entries, and the most that they ever take."""
    sizes, times = sizes or dict.fromkeys(keys, 1), times or range(len(keys))
    cache, hits, most = OrderedDict(), [], 0
    for key, now in zip(keys, times, strict=True):
        written = cache.get(key)
        hits.append(written is not None and now - written <= ttl)
        if not hits[-1]:
            cache[key] = now
        cache.move_to_end(key)
        if len(cache) > entries:
            cache.popitem(last=False)
        most = max(most, sum(sizes[held] for held in cache))
    return hits, most


@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), st.integers(1, 14), st.integers(1, 30), st.randoms())
def test_every_size_equals_a_cache_that_keeps_entries(keys, entries, ttl, chance):
    """Hits, misses of entries that expire, and the most that is held are those of a simulation, entry by entry."""
    sizes = {key: chance.randrange(1, 1000) for key in keys}
    times = [float(chance.randrange(100)) for _ in keys]
    order, is_first = by_key(np.array(keys, np.uint64))
    last = last_access(order, is_first)
    distances = stack_distances(last)

    hits, most = reference_lru(keys, entries, sizes)
    assert (distances < entries).tolist() == hits
    assert peak_held(last, distances, entries, np.array([sizes[key] for key in keys], np.float32)) == most
    timed, _ = reference_lru(keys, entries, times=times, ttl=ttl)
    is_miss = (distances >= entries)[order]
    assert misses_of_ttl(is_miss, np.array(times)[order], ttl) == timed.count(False)


def reference_prefix_ratio(rows, entries, block):
    """Share of input tokens that a cache of so many blocks hits, block by block, the last of a prompt used first."""
    cache, hit, tokens = OrderedDict(), 0, 0
    for row in rows:
        found = 0
        for key in reversed(row["hash_ids"]):
            found += key in cache
            cache[key] = True
            cache.move_to_end(key)
            if len(cache) > entries:
                cache.popitem(last=False)
        hit += min(found * block, row["input_length"])
        tokens += row["input_length"]
    return hit / tokens


@pytest.mark.parametrize("seed", range(3))
def test_prefix_and_exact_hits_equal_a_reference_simulation(tmp_path, seed):
    """On generated conversations every point of both curves is that of a simulation request by request."""
    rows = list(chats(seed))
    replay = replay_caches(read_log(written(tmp_path, *rows), 4))
    keys = [json.dumps([row["hash_ids"], row["input_length"]]) for row in rows]

    for point in replay.exact.points:
        hits, _ = reference_lru(keys, point.entries)
        assert point.hit_ratio == pytest.approx(np.mean(hits))
    for point in replay.prefix.points:
        assert point.hit_ratio == pytest.approx(reference_prefix_ratio(rows, point.entries, 4))


def test_equal_prompts_hit_unless_model_or_scope_differ(tmp_path):
    """A request hits an equal one, and never one to another model or of another scope."""
    rows = [{"prompt": "a"}, {"prompt": "a"}, {"prompt": "a", "model": "x"}, {"prompt": "a", "scope": "tenant"}]

    replay = replay_caches(read_log(written(tmp_path, *rows), 16))

    assert replay.exact.unlimited_hit_ratio == 0.25
    assert replay.exact.distinct == 3


def test_blocks_hit_only_after_the_same_blocks_of_the_same_model_and_scope(tmp_path):
    """An identifier that follows another block, or goes to another model or tenant, is another block."""
    rows = [{"hash_ids": [1, 2]}, {"hash_ids": [3, 2]}, {"hash_ids": [1, 2], "model": "x"}, {"hash_ids": [1, 4]}]

    replay = replay_caches(read_log(written(tmp_path, *rows), 16))

    assert replay.prefix.distinct == 7
    assert replay.prefix.unlimited_hit_ratio == 1 / 8


def prompts(*lengths, size, has_end=True):
    """Prompts of so many tokens that begin alike, with a number for each block; without *has_end* for whole ones."""
    for length in lengths:
        yield {"input_length": length, "hash_ids": list(range(-(-length // size) if has_end else length // size))}


@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize("size", [4, 16, 64, 512])
def test_lengths_and_blocks_say_how_many_tokens_a_block_has(tmp_path, size, has_end):
    """Blocks of any power of two are found from their number, whether the end of a prompt is one of them or not."""
    rows = list(prompts(3 * size + 1, 5 * size - 1, 7 * size, size=size, has_end=has_end))

    replay = replay_caches(read_log(written(tmp_path, *rows)))

    assert replay.block_tokens == size
    assert replay.notes == (f"prefix: {size} tokens a block, by input_length and the number of hash_ids",)


def test_the_size_of_blocks_decides_what_a_prefix_cache_hits(tmp_path):
    """Half the tokens of two equal prompts of 5,000 in blocks of 512 hit, not 1.6 %."""
    rows = list(prompts(5000, 5000, size=512))

    replay = replay_caches(read_log(written(tmp_path, *rows)))

    assert replay.prefix.unlimited_hit_ratio == 0.5


@pytest.mark.parametrize(
    ("rows", "stated", "message", "hint"),
    [
        (list(prompts(900, 5000, size=512)), 16, r":1: .*2 blocks for 900 tokens, which no blocks of 16", "--block-"),
        (
            [*prompts(5000, size=512), *prompts(5000, size=64)],
            None,
            ":2: .*79 blocks for 5,000 tokens, where",
            "left out",
        ),
        (list(prompts(141, 160, size=512)), None, "fit blocks of 81 to 4,096 tokens", "from 81 to 4096"),
        ([{"prompt": "a"}, *prompts(900, 5000, size=512)], None, "other lines hold texts", "--block-tokens 512"),
    ],
)
def test_blocks_that_do_not_make_a_prompt_are_refused(tmp_path, rows, stated, message, hint):
    """Another size than the lengths allow, several sizes in one log, and one that stays open are errors with a remedy."""
    with pytest.raises(InputError, match=message) as refused:
        read_log(written(tmp_path, *rows), stated)

    assert hint in refused.value.hint


def test_without_lengths_a_block_has_16_tokens_or_as_many_as_stated(tmp_path):
    """Where no line has a length the share of tokens is that of blocks, and nothing is derived."""
    path = written(tmp_path, {"hash_ids": [1, 2, 3]}, {"hash_ids": [1, 2]})

    for stated, size in ((None, 16), (512, 512)):
        replay = replay_caches(read_log(path, stated))
        assert (replay.block_tokens, replay.notes) == (size, ())
        assert replay.prefix.unlimited_hit_ratio == pytest.approx(2 / 5)


def test_a_sample_of_the_blocks_hits_as_all_of_them(tmp_path):
    """Of more blocks than there is room for an even sample is replayed, within three points of every block."""
    chance = random.Random(3)
    rows = [{"hash_ids": [0, 1, 2 + chance.randrange(9), chance.randrange(3000)]} for _ in range(20_000)]
    path = written(tmp_path, *rows)
    whole = replay_caches(read_log(path, 16)).prefix

    replay = replay_caches(read_log(path, 16, most_blocks=20_000))

    assert replay.prefix.unlimited_hit_ratio == pytest.approx(whole.unlimited_hit_ratio, abs=0.03)
    assert replay.prefix.distinct == pytest.approx(whole.distinct, rel=0.12)
    assert "chosen by hash" in replay.notes[-1]


def test_a_sample_is_the_same_in_every_run(tmp_path):
    """Whatever Python's own hashes begin with."""
    rows = [{"prompt": f"{at % 700} {'word ' * 40}", "model": "m"} for at in range(3000)]
    path = written(tmp_path, *rows)
    script = (
        "from pathlib import Path; from advisor.demand.cache_log import read_log; import sys; "
        "log = read_log(Path(sys.argv[1]), 4, most_blocks=2000); print(log.sampled_one_in, list(log.blocks))"
    )
    told = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script, str(path)]
        told.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(told) == 1


def test_a_larger_cache_than_the_working_set_hits_no_more(tmp_path):
    """Hit ratios rise with size up to the working set, which is the last point."""
    points = replay_caches(read_log(written(tmp_path, *chats(5)), 4)).exact.points
    ratios = [point.hit_ratio for point in points]

    assert ratios == sorted(ratios)
    assert points[-1].entries == replay_caches(read_log(written(tmp_path, *chats(5)), 4)).exact.distinct


def test_answers_expire(tmp_path):
    """With a time to live an answer counts from when it was written, however often it was asked for."""
    rows = [{"prompt": "a", "timestamp": stamp} for stamp in (0, 8, 16, 24)]

    assert replay_caches(read_log(written(tmp_path, *rows), 16), ttl_s=10).exact.unlimited_hit_ratio == 0.5
    assert replay_caches(read_log(written(tmp_path, *rows), 16)).exact.unlimited_hit_ratio == 0.75


def test_memory_is_that_of_the_entries(tmp_path):
    """An entry takes its largest answer and 100 bytes however often it is asked for; without sizes memory is unknown."""
    often = [{"prompt": "a", "output_tokens": 1}] * 98
    rare = [{"prompt": "b", "response": "x" * 9900}, {"prompt": "b", "response": "x"}, {"prompt": "no answer"}]
    points = replay_caches(read_log(written(tmp_path, *often, *rare), 16)).exact.points
    mean = (104 + 10_000) / 2
    assert [point.memory_gib for point in points] == pytest.approx([10_000 / 2**30, (104 + 10_000 + mean) / 2**30])
    sized = replay_caches(read_log(written(tmp_path, {"prompt": "a", "response": "x" * 924}), 16))
    unsized = replay_caches(read_log(written(tmp_path, {"prompt": "a"}), 16))

    assert sized.exact.points[-1].memory_gib == pytest.approx(1024 / 2**30)
    assert unsized.exact.points[-1].memory_gib is None


def test_semantic_hits_equal_a_search_of_every_stored_entry():
    """Each request takes the most similar entry stored before it, across the blocks in which they are compared."""
    vectors = np.random.default_rng(1).normal(size=(1300, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stored: list[int] = []
    expected = []
    for at, vector in enumerate(vectors):
        similar = vectors[stored] @ vector
        is_hit = bool(stored) and similar.max() >= 0.95
        expected.append(stored[int(similar.argmax())] if is_hit else -1)
        if not is_hit:
            stored.append(at)

    assert nearest_stored(vectors, 0.95).tolist() == expected


@pytest.mark.parametrize("ttl_s", [0.5, 40.0, 1e9])
def test_semantic_hits_with_a_ttl_equal_a_search_of_what_counts_yet(tmp_path, ttl_s):
    """An expired entry answers nothing and leaves; entries are the most that count at a time."""
    chance = np.random.default_rng(5)
    rows, now = [], 0.0
    for n in range(700):
        now += float(chance.exponential())
        vector = chance.normal(size=3).tolist()
        rows.append({"timestamp": now, "prompt": f"p{n}", "output_tokens": 5, "embedding": vector})
    stored, hits, most = [], 0, 0
    for row in rows:
        vector = np.array(row["embedding"]) / np.linalg.norm(row["embedding"])
        stored = [entry for entry in stored if row["timestamp"] - entry[1] <= ttl_s]
        if any(entry[0] @ vector >= 0.9 for entry in stored):
            hits += 1
        else:
            stored.append((vector, row["timestamp"]))
            most = max(most, len(stored))
    log = read_log(written(tmp_path, *rows), 16)
    (point,) = replay_caches(log, ttl_s, thresholds=(0.9,)).semantic

    assert (point.entries, point.hit_ratio) == (most, pytest.approx(hits / len(rows)))
    assert point.memory_gib == pytest.approx(most * (5 * 4 + 100 + 3 * 4) / 2**30)


@pytest.mark.parametrize("field", ["scope", "model"])
def test_no_tenant_or_model_is_given_the_answer_of_another(tmp_path, field):
    """Equal embeddings hit within a scope and a model alone, as equal prompts do."""
    rows = [{"prompt": "p", "response": "A", "embedding": [1, 0], field: f"of {n % 2}"} for n in range(6)]
    replay = replay_caches(read_log(written(tmp_path, *rows), 16), thresholds=(0.9,))
    (point,) = replay.semantic

    assert (point.entries, point.hit_ratio) == (2, pytest.approx(4 / 6))
    assert replay.exact.points[-1].hit_ratio == pytest.approx(point.hit_ratio)


def test_semantic_hits_in_scopes_equal_a_search_of_each(tmp_path):
    """Of interleaved scopes and models, hits, entries and false hits are those of one cache for each pair."""
    chance = np.random.default_rng(3)
    rows = [
        {"prompt": f"p{n}", "answer_id": int(chance.integers(3)), "embedding": chance.normal(size=3).tolist(),
         "scope": f"t{chance.integers(3)}", "model": f"m{chance.integers(2)}"}
        for n in range(400)
    ]  # fmt: skip
    stores, hits, false = {}, 0, 0
    for row in rows:
        vector = np.array(row["embedding"]) / np.linalg.norm(row["embedding"])
        store = stores.setdefault((row["scope"], row["model"]), [])
        best = max(store, key=lambda entry: entry[0] @ vector, default=None)
        if best is None or best[0] @ vector < 0.95:
            store.append((vector, row["answer_id"]))
        else:
            hits, false = hits + 1, false + (best[1] != row["answer_id"])
    (point,) = replay_caches(read_log(written(tmp_path, *rows), 16), thresholds=(0.95,)).semantic

    assert (point.entries, point.hit_ratio) == (sum(map(len, stores.values())), pytest.approx(hits / len(rows)))
    assert point.false_hit_ratio == pytest.approx(false / hits)


def test_false_hits_are_those_with_another_answer():
    """A hit is false where the stored answer is not the request's own; without answers that is unknown."""
    vectors, alike = np.array([[1, 0], [1, 0], [1, 0]], np.float32), np.zeros(3, np.uint64)

    told = semantic_point(vectors, alike, np.array([1, 1, 2], np.uint64), 0.9)

    assert (told.hit_ratio, told.false_hit_ratio) == (pytest.approx(2 / 3), 0.5)
    assert semantic_point(vectors, alike, None, 0.9).false_hit_ratio is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "SECRET"}', "no identifier"),
        ('{"prompt": "SECRET', "no JSON"),
        ('["SECRET"]', "no object"),
        ('{"prompt": "SECRET", "embedding": [0, 0]}', "embedding"),
        ('{"prompt": "SECRET", "embedding": ["SECRET"]}', "embedding: no list of numbers"),
        ('{"prompt": "SECRET", "embedding": [1e999]}', "embedding"),
        ('{"hash_ids": ["SECRET"]}', "hash_ids: no list of whole numbers"),
        ('{"hash_ids": [1], "input_tokens": "SECRET"}', "input_tokens: no number from 0"),
        ('{"hash_ids": [1], "input_tokens": -5}', "input_tokens: no number from 0"),
        ('{"prompt": "SECRET", "output_tokens": -1e9}', "output_tokens: no number from 0"),
        ('{"prompt": "SECRET", "output_tokens": 1e400}', "output_tokens: no number from 0"),
        ('{"prompt": "SECRET", "output_tokens": NaN}', "NaN and Infinity"),
        ('{"prompt": "SECRET", "timestamp": "SECRET"}', "timestamp: no date"),
        ('{"prompt": "SECRET", "timestamp": ["SECRET"]}', "timestamp: no finite number"),
        ('{"prompt": "SECRET", "scope": ["SECRET"]}', "scope: no text and no number"),
        ('{"prompt": null, "key": null}', "no identifier"),
        ('{"prompt": "SECRET", "timestamp": ' + "9" * 5000 + "}", "a number of too many digits"),
        ('{"prompt": "SECRET", "timestamp": ' + "9" * 500 + "}", "timestamp: no finite number"),
        ("[" * 100_000, "nests too deeply"),
        ('{"prompt": "SECRET", "prompt": "b"}', "a key is there twice in one object"),
        ('{"messages": [{"content": "a", "content": "SECRET"}]}', "a key is there twice in one object"),
        ('{"prompt": "SECRET", "timestamp": 1e308}', "timestamp: more than 130 years from 1970"),
        ('{"prompt": "SECRET", "timestamp": "9999-01-01T00:00:00Z"}', "timestamp: more than 130 years from 1970"),
    ],
    ids=lambda text: text[-30:],
)
@pytest.mark.filterwarnings("error")
def test_a_line_that_is_no_request_is_named_and_not_quoted(tmp_path, line, message):
    """The error says which line and what is missing, and holds no word of a prompt."""
    path = tmp_path / "requests.jsonl"
    path.write_text('{"prompt": "fine"}\n' + line.replace("SECRET", SECRET) + "\n")

    with pytest.raises(InputError, match=message) as refused:
        read_log(path, 16)

    assert f"{path}:2" in str(refused.value)
    assert "Ada" not in str(refused.value)


def test_a_line_without_an_end_is_refused():
    """A device that never ends a line is an error with its line, after 16 MiB."""
    with pytest.raises(InputError, match="longer than 16 MiB") as refused:
        read_log(Path("/dev/zero"), 16)

    assert refused.value.where == "/dev/zero:1"


def test_empty_lines_count_for_the_number_of_a_line(tmp_path):
    """The number in an error is that of the file's line."""
    path = tmp_path / "requests.jsonl"
    path.write_text('{"prompt": "a"}\n\n\n[]\n')

    with pytest.raises(InputError, match=f"{path}:4"):
        read_log(path, 16)


def test_times_out_of_order_give_a_span_and_a_note(tmp_path):
    """Seconds reach from the earliest request to the latest, and how many are out of order is told."""
    rows = [{"prompt": "a", "timestamp": stamp} for stamp in (100, 1, 50)]

    replay = replay_caches(read_log(written(tmp_path, *rows), 16))

    assert replay.seconds == 99
    assert replay.notes[0].startswith("1 times a request is earlier")


def test_a_prompt_of_null_is_no_prompt(tmp_path):
    """Where the prompt is null the messages tell requests apart."""
    rows = [{"prompt": None, "messages": [text]} for text in "ab"]

    assert replay_caches(read_log(written(tmp_path, *rows), 16)).exact.distinct == 2


@pytest.mark.filterwarnings("error")
def test_only_compared_embeddings_are_kept(tmp_path):
    """Of 20,100 embeddings, one of them beyond a 32-bit number, the first 20,000 are kept and all are counted."""
    rows = ({"prompt": "a", "embedding": [1e39 if number == 1 else 1.0]} for number in range(20_100))

    log = read_log(written(tmp_path, *rows), 16)

    assert (len(log.embeddings), log.embedded) == (20_000, 20_100)
    assert log.embeddings[1].tolist() == [1.0]


def test_the_command_tells_no_prompt(run_advisor, tmp_path):
    """Neither the table nor the JSON holds anything of a prompt, nor a hash of it."""
    path = written(tmp_path, *({"prompt": SECRET, "output_tokens": 5} for _ in range(4)))

    table, document = run_advisor("demand", "cache", path), run_advisor("demand", "cache", path, "--format", "json")

    assert "4 requests: 75.0% are answered by an exact cache" in table.stdout
    assert "Ada" not in table.stdout + table.stderr + document.stdout
    assert json.loads(document.stdout)["exact"]["points"][0] == {
        "entries": 1, "memory_gib": pytest.approx(120 / 2**30), "hit_ratio": 0.75,
    }  # fmt: skip


def test_a_time_to_live_takes_times(run_advisor, tmp_path):
    """Without a timestamp on each line --ttl is refused, with what to do."""
    done = run_advisor("demand", "cache", written(tmp_path, {"prompt": "a"}), "--ttl", "1h")

    assert done.returncode == 1
    assert "leave --ttl out" in done.stderr


def test_memory_of_a_semantic_cache_is_that_of_what_it_stores(tmp_path):
    """Each miss takes its answer, its embedding in 4 bytes a number and the overhead; a hit takes nothing."""
    rows = [
        {"prompt": f"p{n}", "embedding": vector, "output_tokens": 50}
        for n, vector in enumerate([[1, 0], [1, 0], [0, 1]])
    ]
    (point,) = replay_caches(
        read_log(written(tmp_path, {"prompt": "none", "output_tokens": 9}, *rows), 16), thresholds=(0.9,)
    ).semantic

    assert (point.entries, point.hit_ratio) == (2, pytest.approx(1 / 3))
    assert point.memory_gib == pytest.approx(2 * (50 * 4 + 100 + 2 * 4) / 2**30)


def test_answers_of_an_embedder_are_vectors(tmp_path):
    """Whatever a log says of its answers, an entry of an embedder is its dimension times the bytes of a number."""
    log = read_log(written(tmp_path, {"input": "a", "output_tokens": 9}, {"input": ["a"]}, {"input": [5, 6]}), 16)
    replay = replay_caches(log, vectors=Vectors("m", 384, 2))

    assert (replay.exact.distinct, replay.embedder, replay.prefix) == (2, "m", None)
    assert replay.exact.points[-1].memory_gib == pytest.approx(2 * (384 * 2 + 100) / 2**30)


def test_several_texts_of_a_request_are_refused(tmp_path):
    """Each is looked up by itself, so each is a line."""
    with pytest.raises(InputError, match="several texts"):
        read_log(written(tmp_path, {"input": ["a", "b"]}), 16)


@pytest.mark.parametrize(
    "stamp",
    [
        lambda second: second,
        lambda second: second * 1000,
        lambda second: second * 10**6,
        str,
        lambda second: datetime.fromtimestamp(second, UTC).isoformat(),
        lambda second: datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat(),
    ],
)
@pytest.mark.parametrize("name", ["timestamp", "startTime", "created_at"])
def test_times_of_logs_count_in_their_own_unit(tmp_path, stamp, name):
    """A minute apart, in any unit, 60 of 61 expire within 30 s and none within an hour."""
    rows = [{name: stamp(1_792_800_000 + 60 * number), "key": "same"} for number in range(61)]
    log = read_log(written(tmp_path, *rows), 16)

    assert replay_caches(log, ttl_s=30).exact.unlimited_hit_ratio == 0
    assert replay_caches(log, ttl_s=3600).exact.unlimited_hit_ratio == pytest.approx(60 / 61)


def test_times_without_a_zone_are_utc(tmp_path, monkeypatch):
    """Where clocks are put back an hour, half an hour stays half an hour."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        rows = [{"timestamp": f"2026-10-25T0{hour}", "key": "same"} for hour in ("2:45:00", "3:15:00")]
        times = read_log(written(tmp_path, *rows), 16).times_s
    finally:
        monkeypatch.undo()
        time.tzset()

    assert times[1] - times[0] == 1800


@pytest.mark.parametrize("left_out", ["{}", "[]", "", {}, []])
def test_prompts_that_a_log_leaves_out_are_no_hits(tmp_path, left_out):
    """LiteLLM writes {} where prompts are not stored: equal requests are unknown, not all of them."""
    with pytest.raises(InputError, match="no identifier"):
        read_log(written(tmp_path, {"messages": left_out}, {"messages": left_out}), 16)


def test_a_packed_log_is_named_as_such(tmp_path):
    """Compressed bytes are no broken JSON."""
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"key": "a"}\n'))

    with pytest.raises(InputError, match="the log is packed"):
        read_log(path, 16)


def test_a_request_without_a_time_is_counted_and_named(tmp_path):
    """A null is no time: --ttl is refused at its line, and a replay in the log's order says that times are unused."""
    log = written(tmp_path, {"key": "a", "timestamp": 1767571200}, {"key": "a", "timestamp": None}, {"key": "b"})

    refused = CliRunner().invoke(cache_command, [str(log), "--ttl", "1h"])
    done = CliRunner().invoke(cache_command, [str(log)])

    assert refused.exception.message == "2 of 3 requests without a timestamp (missing or null), and --ttl needs them"
    assert refused.exception.where == f"{log}:2"
    assert "note: 2 of 3 requests without a timestamp, the first on line 2" in done.stderr
