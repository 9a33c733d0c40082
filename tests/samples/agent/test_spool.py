"""The spool: what was acknowledged is read back, whatever happens to the file or the process."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from binascii import b2a_base64
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.agent.spool import (
    MOST_BYTES,
    SpoolFullError,
    SpoolWriter,
    claimed,
    line_of,
    read_lines,
    read_segment,
    segments,
)
from advisor.samples.metrics import ACCELERATOR_METRICS, Buckets, Gap, Row, Target
from advisor.samples.places import spool_folder
from advisor.samples.store.compact import compact
from samples.records import row, spool, stats, us

WRITER = Path(__file__).with_name("spool_writer.py")
MOMENTS = int(os.environ.get("SPOOL_KILL_MOMENTS", "40"))
"""Random moments at which a writer is killed; 500 for the full run."""
FULL = {metric.name: stats(metric.name, number / 30) for number, metric in enumerate(ACCELERATOR_METRICS)}
ENGINE = Target("host-a", "vllm", 0, None, None, "meta-llama/Llama-3.1-8B", "http://127.0.0.1:8000/metrics")

texts = st.text(max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
targets = st.builds(
    Target, host=texts, source=st.sampled_from(["nvml", "vllm"]), index=st.none() | st.integers(0, 15),
    mig_index=st.none() | st.integers(0, 6), uuid=st.none() | texts, name=st.none() | texts, endpoint=st.none() | texts,
)  # fmt: skip
buckets = st.builds(Buckets, st.tuples(numbers, numbers), st.tuples(numbers, numbers), numbers)
rows = st.builds(
    Row, target=targets, end_us=st.integers(0, 2**57),
    stats=st.dictionaries(st.sampled_from(sorted(FULL)), st.sampled_from(list(FULL.values())), max_size=4),
    buckets=st.dictionaries(st.sampled_from(["ttft_seconds", "tpot_seconds"]), buckets),
    missed_ticks=st.integers(0, 15), note=st.none() | texts.filter(bool),
)  # fmt: skip
gaps = st.builds(Gap, targets, st.integers(0, 2**57), st.integers(0, 2**57), st.integers(1, 2**31 - 1), texts)
records = st.lists(rows | gaps, max_size=6)


def sortable(record):
    """A text that two records share only if they are the same, NaN being the same as NaN."""
    return repr(record)


def lines_of(given):
    """Records as a stream, each on a line; where each begins and ends."""
    stream, spans = b"", []
    for record in given:
        line = line_of([record])
        spans.append((len(stream), len(stream) + len(line)))
        stream += line
    return stream, spans


def read(stream):
    """What is read of a stream, and how many bytes are skipped."""
    lines = list(read_lines(io.BytesIO(stream)))
    found = [sortable(record) for line in lines if not isinstance(line, int) for record in line]
    return found, sum(line for line in lines if isinstance(line, int))


@settings(max_examples=100, deadline=None)
@given(records)
def test_every_record_comes_back(given):
    """Whatever a row or gap holds, it is read as it was written, alone or with others, and nothing is skipped."""
    expected = [sortable(record) for record in given]
    assert read(line_of(given)) == (expected, 0)
    assert read(lines_of(given)[0]) == (expected, 0)


@settings(max_examples=150, deadline=None)
@given(records.filter(bool), st.data())
def test_damage_costs_no_more_than_what_it_touches(given, data):
    """A byte flipped, the end cut off or garbage put in anywhere: the lines beside it are read, no record is invented."""
    stream, spans = lines_of(given)
    at = data.draw(st.integers(0, len(stream) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "insert"])):
        case "flip":
            damaged = stream[:at] + bytes((stream[at] ^ data.draw(st.integers(1, 255)),)) + stream[at + 1 :]
            whole = [start > at + 1 or end <= at for start, end in spans]  # the end of a line belongs to two
        case "cut":
            damaged = stream[:at]
            whole = [end <= at for _, end in spans]
        case _:
            damaged = stream[:at] + data.draw(st.binary(max_size=60)) + stream[at:]
            whole = [start > at or end <= at for start, end in spans]
    expected = [sortable(record) for record, is_whole in zip(given, whole, strict=True) if is_whole]
    found, _ = read(damaged)
    assert not Counter(found) - Counter(sortable(record) for record in given)
    assert not Counter(expected) - Counter(found)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400) | st.binary(max_size=200).map(b2a_base64))
def test_garbage_is_nothing(noise):
    """Bytes that nobody wrote give no record and no error, and all of them are counted."""
    assert read(noise) == ([], len(noise))


WHO = ["host-a", "nvml", 0, None, "GPU-1", "H100", None]
GOOD = {"target": WHO, "end_us": 15, "missed_ticks": 0, "stats": {}, "buckets": {}, "note": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"end_us": "soon"}, {"end_us": 2**70}, {"end_us": float("inf")}, {"missed_ticks": -1}, {"target": ["host-a"]}, {"target": None},
        {"stats": {"busy_ratio": ["a", 1]}}, {"stats": {"busy_ratio": [1, 2, 3]}}, {"stats": []}, {"note": None, "buckets": {"a": [1, 2, 3]}},
        {"reason": "x"}, {"target": [*WHO[:2], "first", *WHO[3:]]}, {"end_us": 2**60}, {"stats": {"busy_ratio": [1e300, 1]}}, {"stats": {"busy_ratio": [float("nan"), 1e300, 1, 1, 1]}},
        {"stats": {"busy_ratio": [0.5, 40_000]}},
    ],
)  # fmt: skip
def test_what_is_whole_and_makes_no_sense_is_skipped(changes):
    """A line of a strange program that shares the directory breaks no reader."""

    def line(content):
        return b2a_base64(zlib.compress(json.dumps(content).encode()))

    assert read(line([GOOD]))[0]
    bad = line([{**GOOD, **changes}])
    assert read(line([GOOD]) + bad)[1] == len(bad)
    deep = b2a_base64(zlib.compress(b"[" * 200_000))
    assert read(deep) == ([], len(deep))


def test_what_is_read_can_be_made_a_file(tmp_path):
    """Whatever another program wrote as rows, it does not keep a compaction from those beside it."""
    strange = {**GOOD, "target": ["host-a", "nvml", 0, None, "\ud800", "H100", None], "note": "\udfff"}
    folder = spool_folder(tmp_path, "host-a")
    folder.mkdir(parents=True)
    lines = [
        strange,
        {**GOOD, "end_us": 2**57},
        {**GOOD, "stats": {"energy_joules": [1e18, 1], "power_watts": [1e18, 9]}},
    ]
    content = b"".join(b2a_base64(zlib.compress(json.dumps([line]).encode())) for line in lines)
    (folder / "20261014T00-0123456789ab-000000.spool").write_bytes(content)
    done = compact(tmp_path, "host-a")
    assert (done.rows, done.skipped, segments(tmp_path)) == (3, [], [])


def test_a_clock_that_was_set_forward_by_decades_costs_no_row():
    """A gap of more ticks than a file can count is kept with as many as it can."""
    (records,) = read_lines(io.BytesIO(line_of([Gap(ENGINE, 0, 2**56, 2**40, "set"), Row(ENGINE, 15, {})])))
    assert [record.missed_ticks for record in records] == [2**31 - 1, 0]


def test_a_line_that_grows_without_end_is_nothing():
    """A line made to fill the memory, compressed or plain, is skipped."""
    bomb = b2a_base64(zlib.compress(b"[" + b" " * (MOST_BYTES + 1) + b"]"))
    assert read(bomb) == ([], len(bomb))
    assert read(b"A" * (MOST_BYTES + 10)) == ([], MOST_BYTES + 10)


@pytest.mark.sampled(2)
def test_any_one_damaged_byte_of_a_segment_costs_two_rows_at_most(tmp_path):
    """With any single byte flipped the row of its line is lost, and where it was the end of a line the next one."""
    spool(tmp_path, [row(number, busy_ratio=number / 100) for number in range(1, 30)])
    (path,) = segments(tmp_path)
    content = path.read_bytes()
    written = {sortable(record) for record in read_segment(path).records}
    for at in range(len(content)):
        found = set(read(content[:at] + bytes((content[at] ^ 0x55,)) + content[at + 1 :])[0])
        assert found <= written
        assert len(found) >= len(written) - (1 if content[at] != 10 else 2)


def test_segments_are_of_an_hour_and_closed_ones_can_be_claimed(tmp_path):
    """Each hour has its segment; the one being written is locked, the earlier ones are free."""
    writer = SpoolWriter(tmp_path, "host-a")
    writer.append([row(240), row(241)])
    first, second = segments(tmp_path)
    assert (first.name[:11], second.name[:11]) == ("20261014T00", "20261014T01")
    with claimed(first) as is_free, claimed(second) as is_free_too:
        assert (is_free, is_free_too) == (True, False)
    writer.close()
    with claimed(second) as is_free:
        assert is_free


def test_a_clock_that_steps_back_loses_nothing(tmp_path):
    """Rows of an hour that was written before go to a new segment of that hour."""
    spool(tmp_path, [row(241), row(240), row(242)])
    assert len(segments(tmp_path)) == 3
    found = [record.end_us for path in segments(tmp_path) for record in read_segment(path).records]
    assert sorted(found) == [us(240), us(241), us(242)]


def test_two_agents_on_one_directory_never_share_a_segment(tmp_path):
    """Rows of two writers at the same time are all read, from segments of their own."""
    writers = [SpoolWriter(tmp_path, "host-a") for _ in range(2)]
    for number in range(1, 20):
        for index, writer in enumerate(writers):
            writer.append([row(number, index)])
    for writer in writers:
        writer.close()
    assert len(segments(tmp_path)) == 2
    assert sum(len(read_segment(path).records) for path in segments(tmp_path)) == 38


@pytest.mark.parametrize("host", ["../../etc", "a/b", "..", "host name", "ünï", "x=1"])
def test_a_host_name_is_never_a_path(tmp_path, host):
    """Whatever a host is called, its segments stay below the directory."""
    directory = tmp_path / "deep" / "samples"
    spool(directory, [row(1, host=host)], host)
    (path,) = tmp_path.rglob("*.spool")
    assert path.resolve().parent.parent == directory.resolve() / "spool"
    assert segments(directory, host) == [path]


def test_a_directory_that_cannot_be_written_is_refused_at_once(tmp_path):
    """A path below a file is an error before there is anything to lose, and the option to change is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write here") as caught:
        SpoolWriter(tmp_path / "file" / "samples", "host-a")
    assert "--output" in caught.value.hint


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no small file system can be mounted here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def open_files():
    """Number of files that this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def fill(writer, acknowledged, first=1):
    """Append and sync rows until the disk is full; each that was acknowledged is noted."""
    for number in range(first, 5000):
        try:
            writer.append([row(number, busy_ratio=(number % 7) / 7)])
            writer.sync()
        except SpoolFullError:
            return number
        acknowledged.append(us(number))
    return None


def test_a_full_disk_loses_nothing_that_was_acknowledged(tiny_disk):
    """On a full disk append says so; what was acknowledged is read, and it goes on when there is space again."""
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(150_000))
    writer, acknowledged = SpoolWriter(tiny_disk, "host-a"), []
    failed = fill(writer, acknowledged)
    assert failed is not None
    ballast.unlink()
    assert fill(writer, acknowledged, failed) is not None
    found = {record.end_us for path in segments(tiny_disk) for record in read_segment(path).records}
    assert len(acknowledged) > 10
    assert found == set(acknowledged)


def test_a_limit_on_file_size_is_a_full_disk(tmp_path):
    """A write that is cut short by a limit leaves no half row, and the rows before it are read."""
    code = (
        "import resource, sys; from pathlib import Path; sys.path.insert(0, 'tests')\n"
        "from samples.records import row; from advisor.samples.agent.spool import SpoolFullError, SpoolWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)); writer = SpoolWriter(Path(sys.argv[1]), 'host-a')\n"
        "for number in range(1, 200):\n"
        "    try:\n        writer.append([row(number)])\n"
        "    except SpoolFullError as error:\n        print(number, error.message); break\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    failed = int(done.stdout.split()[0])
    assert "File too large" in done.stdout
    (path,) = segments(tmp_path)
    segment = read_segment(path)
    assert [record.end_us for record in segment.records] == [us(number) for number in range(1, failed)]
    assert segment.skipped_bytes == 0


def test_a_disk_that_becomes_read_only_is_said_and_survived(tiny_disk):
    """Remounted read-only, append fails with its reason; remounted writable, it goes on; nothing is lost."""
    writer, acknowledged = SpoolWriter(tiny_disk, "host-a"), []
    for number in (1, 2, 3):
        writer.append([row(number)])
        writer.sync()
        acknowledged.append(us(number))
    writer.close()
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(SpoolFullError, match="Read-only file system"):
        writer.append([row(4)])
    with pytest.raises(InputError, match="Read-only file system"):
        SpoolWriter(tiny_disk, "host-b")
    subprocess.run(["mount", "-o", "remount,rw", tiny_disk], check=True)
    writer.append([row(4)])
    writer.close()
    found = [record.end_us for path in segments(tiny_disk) for record in read_segment(path).records]
    assert sorted(found) == [*acknowledged, us(4)]


@pytest.mark.sampled(2)
def test_kill_9_at_random_moments_loses_nothing_that_was_acknowledged(tmp_path):
    """A writer that is killed again and again: every row it acknowledged is read once more, and no other row is."""
    acknowledged: set[str] = set()
    for moment in range(MOMENTS):
        process = subprocess.Popen(
            [sys.executable, WRITER, tmp_path, str(moment)], stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        process.stdout.readline()
        time.sleep((moment * 0.61803 % 1) * 0.03)
        process.send_signal(signal.SIGKILL)
        acknowledged.update(process.stdout.read().split())
        process.stdout.close()
        process.wait()
    found = [
        f"{record.target.index}:{record.end_us}" for path in segments(tmp_path) for record in read_segment(path).records
    ]
    assert len(acknowledged) > MOMENTS
    assert acknowledged <= set(found)
    assert len(found) == len(set(found))
    assert all(int(name.split(":")[0]) < MOMENTS for name in found)


def test_the_spool_loads_nothing_heavy():
    """Importing it brings in the standard library and nothing else."""
    code = "import advisor.samples.agent.spool, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pandas", "pyarrow", "duckdb", "click", "jinja2"} & set(loaded)


def test_a_row_of_an_engine_comes_back_with_its_histograms():
    """Bounds, counts and sum of an engine's histograms survive, the infinite bound too."""
    given = Row(
        ENGINE, us(1), {"requests_running": stats("requests_running", 3)},
        {"ttft_seconds": Buckets((0.1, 1.0, float("inf")), (1.0, 5.0, 6.0), 2.5)},
    )  # fmt: skip
    assert read(line_of([given])) == ([sortable(given)], 0)


def test_the_limit_of_open_files_is_no_limit_of_segments(tmp_path):
    """A writer has one file open, however many hours it has written."""
    before = open_files()
    writer = SpoolWriter(tmp_path, "host-a")
    for hour in range(30):
        writer.append([row(240 * hour + 1)])
    assert open_files() == before + 1
    writer.close()
