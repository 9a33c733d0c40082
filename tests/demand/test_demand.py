"""Traces, summaries and declared numbers become the same kind of demand."""

import csv
import gzip
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.cli.demand import command as demand_command
from advisor.demand.busy import Busy, BusySecond, demand_from_busy
from advisor.demand.lengths import declared_demand
from advisor.demand.tally import RequestTally, read_summary, summary_json, token_bin
from advisor.demand.trace import read_requests, read_trace, tally_trace
from advisor.demand_sources import measure_demand
from advisor.errors import InputError
from advisor.models import find_model
from advisor.workload.measured_demand import TraceDemand
from advisor.workload.values import Slo
from builders import workload

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
requests = st.lists(
    st.tuples(st.floats(0, 40_000), st.integers(0, 200_000), st.integers(0, 30_000)), min_size=1, max_size=200
)


def write(path: Path, lines: list[str]) -> Path:
    """A trace file with these rows."""
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def tally_of(rows) -> RequestTally:
    """The tally of (time, input, output) rows."""
    times, inputs, outputs = (np.array(column) for column in zip(*rows, strict=True))
    tally = RequestTally()
    tally.add(times.astype(float), inputs.astype(np.int64), outputs.astype(np.int64))
    return tally


@pytest.mark.parametrize(
    ("program", "pack"),
    [("gunzip", gzip.compress), ("iconv", lambda text: text.decode().encode("utf-16")), ("unzip", None)],
)
def test_a_trace_that_is_packed_or_in_utf_16_comes_with_the_command_that_mends_it(tmp_path, program, pack):
    """The command of the message, as it stands there, makes a trace that is read."""
    plain = write(tmp_path / "plain.csv", ["2023-11-16 18:00:00,100,10", "2023-11-16 18:00:20,200,20"])
    path = tmp_path / "a trace"
    if pack is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(plain, "plain.csv")
    else:
        path.write_bytes(pack(plain.read_bytes()))
    with pytest.raises(InputError, match="cannot read the trace") as refused:
        read_trace(path)
    remedy = refused.value.hint.split("`")[1]
    assert remedy.startswith(program)
    if shutil.which(program):
        subprocess.run(["sh", "-c", remedy], check=True)
        fixed = next(each for each in tmp_path.glob("a trace.*"))
        assert read_trace(fixed).requests == read_trace(plain).requests


def test_a_trace_that_is_not_packed_as_its_name_says_is_refused_by_name(tmp_path):
    """The place and the ending that misleads are told, not a fault of the disk."""
    path = write(tmp_path / "plain.csv.gz", ["2023-11-16 18:00:00,100,10"])
    with pytest.raises(InputError, match=r"plain\.csv\.gz: cannot unpack the trace as gz") as refused:
        read_trace(path)
    assert "ending of what it is: .csv for a CSV file" in refused.value.hint


def test_a_hand_counted_trace(tmp_path):
    """Five requests in two minutes: every figure can be checked by hand."""
    path = write(
        tmp_path / "t.csv",
        [
            "2023-11-16 18:00:00.0000000,100,10",
            "2023-11-16 18:00:20.0000000,200,20",
            "2023-11-16 18:00:40.0000000,300,30",
            "2023-11-16 18:01:10.5000000,400,40",
            "2023-11-16 18:01:40.0000000,1000,50",
        ],
    )

    demand = read_trace(path)

    assert demand.requests == 5
    assert demand.window_seconds == 100
    assert demand.requests_per_second.mean == pytest.approx(5 / 100)
    assert demand.requests_per_second.peak == pytest.approx(3 / 60)
    assert (demand.input_tokens.mean, demand.input_tokens.p50, demand.input_tokens.max) == (400, 300, 1000)
    assert demand.output_tokens.p95 == 50
    assert demand.longest_request_tokens == 1050


@given(requests)
def test_the_histogram_keeps_count_and_means(rows):
    """Binning loses no request and moves no mean."""
    demand = tally_of(rows).demand("test")

    assert demand.tokens.probability.sum() == pytest.approx(1)
    assert demand.tokens.mean_input_tokens() == pytest.approx(np.mean([row[1] for row in rows]))
    assert demand.tokens.mean_output_tokens() == pytest.approx(np.mean([row[2] for row in rows]))


@given(requests)
def test_quantiles_are_those_of_the_requests(rows):
    """Token percentiles are exact: the smallest value that covers its share."""
    demand = tally_of(rows).demand("test")
    inputs = [row[1] for row in rows]

    assert demand.input_tokens.p95 == np.percentile(inputs, 95, method="inverted_cdf")
    assert demand.input_tokens.max == max(inputs)
    assert demand.longest_request_tokens == max(row[1] + row[2] for row in rows)


@given(requests, st.integers(1, 50))
def test_reading_in_blocks_changes_nothing(rows, cut):
    """A trace counted in two parts is the trace counted at once."""
    parts = RequestTally()
    for part in (rows[:cut], rows[cut:]):
        if part:
            times, inputs, outputs = (np.array(column) for column in zip(*part, strict=True))
            parts.add(times.astype(float), inputs.astype(np.int64), outputs.astype(np.int64))

    assert summary_json(parts, "a", "") == summary_json(tally_of(rows), "a", "")


@given(requests)
def test_a_summary_reads_back_as_the_demand_it_came_from(tmp_path_factory, rows):
    """Rates, quantiles and histogram survive the file to the rounding it states."""
    tally = tally_of(rows)
    path = tmp_path_factory.mktemp("summary") / "demand.json"
    path.write_text(summary_json(tally, "test", "by someone"))
    written, read = tally.demand("test"), read_summary(path)

    assert read.requests_per_second.peak == pytest.approx(written.requests_per_second.peak, rel=1e-3)
    assert read.requests_per_second.mean == pytest.approx(written.requests_per_second.mean, rel=1e-3)
    assert read.output_tokens.p95 == written.output_tokens.p95
    assert read.tokens.mean_input_tokens() == pytest.approx(written.tokens.mean_input_tokens(), abs=1e-2)
    assert "by someone" in read.notes


@given(st.integers(0, 4_000_000))
def test_bins_are_ordered_and_at_most_half_an_octave_wide(tokens):
    """A bin never holds a count and one 1.5 times as large."""
    low, same, high = token_bin(np.array([tokens, tokens, int(tokens * 1.5) + 1]))

    assert low == same
    assert high > low


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["2023-11-16 18:00:00,nan,1"], "t.csv:2: ContextTokens: the value is missing", id="nan"),
        pytest.param(["2023-11-16 18:00:00,1,1", ",1,1"], "t.csv:3: TIMESTAMP: the value is missing", id="no time"),
        pytest.param(["2023-11-16 18:00:00,-5,1"], "found -5", id="negative"),
        pytest.param(["2023-11-16 18:00:00,1.5,1"], "whole number", id="fraction"),
        pytest.param(["2023-11-16 18:00:00,99999999,1"], "found 1e+08", id="absurd"),
        pytest.param(["2023-11-16 18:00:00,many,1"], "t.csv:2: ContextTokens: 'many' is not a number", id="text"),
        pytest.param(["2023-11-16 18:00:00,1,1", "yesterday,1,1"], "t.csv:3: TIMESTAMP: 'yesterday' is not a time", id="no iso"),
        pytest.param(["2023-11-16T18:00:00Z,1,1", "2023-11-16T18:00:01,1,1"],
                     "t.csv:3: TIMESTAMP: '2023-11-16T18:00:01' has no zone, and the first time", id="no zone"),
        pytest.param(["2023-11-16T18:00:00,1,1", "2023-11-16T18:00:01+01:00,1,1"],
                     "t.csv:3: TIMESTAMP: '2023-11-16T18:00:01+01:00' has a zone, and the first", id="a zone"),
        pytest.param(["2023-11-16 18:00:00,1"], "t.csv:2: the row has another number of cells", id="short row"),
        pytest.param(["2023-11-16 18:00:00,1,1", "9999-12-31T23:59:59Z,1,1"],
                     "t.csv:3: TIMESTAMP: '9999-12-31T23:59:59Z' is a time that no trace has", id="year"),
        pytest.param(["2023-11-16 18:00:00,1,1", "2023-11-16 18:00:01,١٢٣,1"],
                     "t.csv:3: ContextTokens: '١٢٣' is not a number", id="other digits"),
        pytest.param(["2023-11-16 18:00:00,1,1", "2023-11-16 18:00:01,1_000,1"],
                     "t.csv:3: ContextTokens: '1_000' is not a number", id="underscore"),
        pytest.param(["2023-11-16 18:00:00,1,1", f"2023-11-16 18:00:01,{'x' * 200_000},1"],
                     "t.csv:3: the row cannot be read: field larger", id="field"),
        pytest.param(["1,1,1", "99999999999,1,1"], "the arrival times span 1,157,407.41 days with request 2", id="clock"),
        pytest.param(["1,1,1", "5,1,1", "-1e300,1,1"], "days with request 3", id="clock before"),
        pytest.param(["1e308,1,1", "2e308,1,1"], "t.csv:3: TIMESTAMP: the value is missing, or no finite number", id="beyond"),
        pytest.param(["1e308,1,1"], "the time of request 1 is 1e+308 seconds after 1970, which is after 2100", id="late"),
        pytest.param(["2023-11-16 18:00:00,1,1", "", "2023-11-16 18:00:01,-5,1"], "t.csv:4: ContextTokens", id="blank line"),
        pytest.param(['2023-11-16 18:00:00,"x\n",1'], "t.csv:2: ContextTokens: 'x", id="line break"),
        pytest.param(["2023-11-16 18:00:00,1,5\0"], r"t.csv:2: GeneratedTokens: '5\x00' is not a number", id="nul"),
        pytest.param(["2023-11-16 18:00:00,1,1", "\x1b[31m2023,1,1"], r"'\x1b[31m2023' is not a time", id="escape"),
        pytest.param(["1767225600,1,1", "1767225601,1,1", "1767225660000,1,1"],
                     "t.csv:4: TIMESTAMP: the time 1767225660000 is in milliseconds since 1970, and the first time of the "
                     "trace in seconds", id="unit"),
        pytest.param(["1767225600000000,1,1", "1767225660000,1,1", "1767225660,1,1"],
                     "t.csv:3: TIMESTAMP: the time 1767225660000 is in milliseconds", id="unit back"),
        pytest.param([], "the trace has a header and no rows", id="no rows"),
    ],
)  # fmt: skip
def test_bad_rows_are_named(tmp_path, lines, expected):
    """The first bad row is named by file, line and column."""
    with pytest.raises(InputError) as caught:
        read_trace(write(tmp_path / "t.csv", lines))

    assert expected in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "expected", "remedy"),
    [
        pytest.param(b"a" * 5_000_000, "t.csv:1: the first line is longer than 1,048,576 characters", "as CSV", id="no newline"),
        pytest.param(b"a" * 200_000 + b"\n1\n", "t.csv:1: the header is no line of CSV: field larger", "as CSV", id="field"),
        pytest.param(b"PAR1xxxxPAR1", "this is a Parquet file, and a trace is CSV", "as CSV", id="parquet"),
        pytest.param(b"PAR1\x15\x04\xff\xfe", "it is not UTF-8 text", "it is a Parquet file", id="binary parquet"),
        pytest.param(b'{"timestamp":1,"input_tokens":5,"output_tokens":5}\n{bad\n', "this is JSON", "as CSV", id="jsonl"),
        pytest.param(b"[" * 100_000, "this is JSON, and a trace is CSV", "as CSV", id="json"),
        pytest.param(b"timestamp,input_tokens,output_tokens\n1e308,1,1\n2,1,1\n", "span 1.15740741e+303 days", "unit", id="digits"),
        pytest.param(b"timestamp,input_tokens,output_tokens\n5e9,1,1\n", "is 5000000000 seconds after 1970", "unit", id="2128"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_told_by_its_true_cause(tmp_path, content, expected, remedy):
    """A file of another kind, and lines and numbers that are too long, in a line or two."""
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_trace(path)

    assert expected in str(caught.value)
    assert remedy in caught.value.hint
    assert len(str(caught.value)) < 300


def test_a_missing_column_names_what_would_do(tmp_path):
    """A header without a needed column is answered with the names that are accepted."""
    path = tmp_path / "t.csv"
    path.write_text("time,prompt_tokens\n1,2\n")

    with pytest.raises(InputError, match="'output_tokens' is missing") as caught:
        read_trace(path)

    assert "completion_tokens" in caught.value.hint


def test_every_missing_column_is_named(tmp_path):
    """Whoever adds one does not meet the next: all are told at once, each with the headers that it may have."""
    path = tmp_path / "t.csv"
    path.write_text("prompt,cost\n1,2\n")

    with pytest.raises(InputError) as caught:
        read_trace(path)

    assert "the columns 'timestamp', 'input_tokens' and 'output_tokens' are missing" in str(caught.value)
    for header in ("arrived_at", "prompt_tokens", "completion_tokens", "the header has prompt, cost"):
        assert header in caught.value.hint


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_columns_of_another_separator_are_named(tmp_path, mark, name):
    """As spreadsheets of countries with decimal commas save them: the separator is said, not a missing column."""
    path = tmp_path / "t.csv"
    path.write_text(f"timestamp{mark}input_tokens{mark}output_tokens\n1{mark}2{mark}3\n")
    with pytest.raises(InputError, match=f"separated by {name}") as caught:
        read_trace(path)
    assert "with commas between columns" in caught.value.hint


def test_an_empty_file_and_a_binary_file_are_refused(tmp_path):
    """Neither an empty nor a binary file reaches the parser's own errors."""
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)))

    with pytest.raises(InputError, match="empty"):
        read_trace(tmp_path / "empty.csv")
    with pytest.raises(InputError, match="UTF-8"):
        read_trace(tmp_path / "binary.csv")


def test_a_link_to_nothing_and_no_file_are_told_apart(tmp_path):
    """The link's target is named; neither is told to be packed or of another encoding."""
    (tmp_path / "link.csv").symlink_to("nowhere.csv")
    with pytest.raises(InputError, match=r"link\.csv: this is a link to 'nowhere\.csv', and there is no such file"):
        read_trace(tmp_path / "link.csv")
    with pytest.raises(InputError, match="No such file") as caught:
        read_trace(tmp_path / "none.csv")
    assert "UTF-8" not in caught.value.hint


def test_of_columns_that_mean_the_same_the_one_that_counts_is_said(tmp_path):
    """Tokens under two names: a note says which are read, in the demand, the summary and before a replay."""
    path = tmp_path / "t.csv"
    path.write_text("time,prompt_tokens,input_tokens,completion_tokens\n1,11,10,5\n40,11,10,5\n")
    note = "the column 'input_tokens' counts, and 'prompt_tokens', which means the same, is left out"

    demand = read_trace(path)

    assert demand.input_tokens.mean == 10
    assert note in demand.notes
    assert note in read_requests(path).notes
    assert not any(" counts, and " in said for said in read_trace(write(tmp_path / "u.csv", ["1,1,1", "2,1,1"])).notes)


def test_disorder_is_counted_and_said(tmp_path):
    """Rows out of order change no rate, and the reader is told."""
    ordered = ["2023-11-16 18:00:00,1,2", "2023-11-16 18:00:30,3,4", "2023-11-16 18:05:00,5,6"]
    straight = read_trace(write(tmp_path / "a.csv", ordered))
    shuffled = read_trace(write(tmp_path / "b.csv", [ordered[2], ordered[0], ordered[1]]))

    assert shuffled.requests_per_second == straight.requests_per_second
    assert any("1 request arrives before the row above" in note for note in shuffled.notes)


@pytest.mark.parametrize(
    "stamp", ["2023-11-16T18:00:{:02d}Z", "2023-11-16T20:00:{:02d}+02:00", "{:02d}.25", "17001576{:02d}"]
)
def test_every_usual_time_format_is_read(tmp_path, stamp):
    """ISO 8601 with a zone, seconds since the start and seconds since the epoch all give the same window."""
    path = write(tmp_path / "t.csv", [f"{stamp.format(second)},1,2" for second in (1, 31)])

    assert read_trace(path).window_seconds == 30


@pytest.mark.parametrize(("ticks", "unit"), [(10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")])
def test_times_since_1970_are_read_in_the_unit_that_dates_them(tmp_path, ticks, unit):
    """Numbers that are dates in a smaller unit only are counted in it, and the reader is told."""
    demand = read_trace(
        write(tmp_path / "t.csv", [f"{1_700_157_600 * ticks + second * ticks},1,2" for second in (1, 31)])
    )

    assert demand.window_seconds == 30
    assert any(unit in note for note in demand.notes)


def test_a_time_after_2100_is_refused(tmp_path):
    """Times in two units are a mistake, not a century of demand."""
    with pytest.raises(InputError, match="2100"):
        read_trace(write(tmp_path / "t.csv", ["4102444801,1,2", "4102444802,1,2"]))


def test_rows_that_are_there_ten_times_are_said(tmp_path):
    """A join that multiplied the rows is suspected where most of them repeat the one before."""
    row = "2023-11-16 18:00:{:02d},100,20"
    repeated = read_trace(write(tmp_path / "a.csv", [row.format(second) for second in (1, 2, 3) for _ in range(10)]))
    single = read_trace(write(tmp_path / "b.csv", [row.format(second) for second in (1, 2, 3)]))

    assert any("repeat the row above" in note for note in repeated.notes)
    assert not any("repeat the row above" in note for note in single.notes)


def test_progress_is_reported(tmp_path):
    """The caller hears how many requests were read."""
    heard: list[int] = []

    tally_trace(write(tmp_path / "t.csv", ["1,1,1", "2,1,1"]), heard.append)

    assert heard[-1] == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema": "other"}, "schema"),
        ({"requests_per_minute": [1, -1]}, "requests_per_minute"),
        ({"token_cells": []}, "token_cells"),
        ({"token_cells": [{"input_tokens": 1}]}, "output_tokens"),
        ({"window_seconds": 0}, "window_seconds"),
        ({"window_seconds": 700}, "window_seconds"),
        ({"dispersion": {"one_second": -4, "ten_seconds": 1}}, "dispersion"),
        ({"dispersion": 7}, "dispersion .7. is not an object"),
        ({"token_cells_by_hour": [1]}, "token_cells_by_hour .* is not an object"),
        ({"input_tokens": {"mean": 5, "p50": 9, "p95": 3, "p99": 9, "max": 9}}, "input_tokens is not in order"),
    ],
)
def test_a_spoiled_summary_is_refused(tmp_path, change, expected):
    """A summary that was edited into nonsense is refused by what is wrong with it."""
    path = tmp_path / "demand.json"
    document = json.loads(summary_json(tally_of([(0, 1, 1), (70, 1, 1)]), "a", ""))
    path.write_text(json.dumps(document | change))

    with pytest.raises(InputError, match=expected):
        read_summary(path)


def test_declared_demand_is_one_size():
    """Declared numbers come back as they are."""
    demand = declared_demand(12, 20, 800, 200)

    assert (demand.requests_per_second.mean, demand.requests_per_second.peak) == (12, 20)
    assert demand.tokens.mean_output_tokens() == 200
    assert demand.requests is None


def seen(busy, present=4.0, saturated=None, start=None):
    """Accelerators that were so busy in each minute."""
    busy = np.array(busy)
    narrowed = busy if saturated is None else np.array(saturated)
    return Busy(busy, narrowed, np.full(busy.shape, present), 60.0, start)


NOBODY_KNOWS = InputError("no current deployment is named")
SERVES = BusySecond(alone=0.5, saturated=4.0)


def test_a_volume_gives_the_level_and_comparable_services_the_busiest_minute():
    """The mean is as stated, hours keep the shape, and the busiest minute has the range of burst statistics."""
    busy = np.repeat([1.0, 2.0, 4.0, 2.0, 1.0, 1.0], 60)
    demand = demand_from_busy(seen(busy), NOBODY_KNOWS, 86_400, (100, 10))

    assert demand.requests_per_second.mean == pytest.approx(1.0)
    interval = demand.interval
    assert (interval.mean_low, interval.mean_high) == (1.0, 1.0)
    assert interval.peak_low == pytest.approx(4 / busy.mean())
    assert interval.peak_low < demand.requests_per_second.peak < interval.peak_high
    hours = demand.profile.requests_per_minute.reshape(6, 60).mean(axis=1)
    assert hours[2] > 4 * hours[0], "busy saturates: twice as busy is more than twice the load"
    assert hours[1] > 2 * hours[0]
    assert any("of comparable services half stay within" in note for note in demand.notes)


def test_saturated_accelerators_hide_the_busiest_minute():
    """All busy at all times: no shape is left, and the busiest minute is still that of comparable services."""
    demand = demand_from_busy(seen(np.full(24 * 60, 4.0)), NOBODY_KNOWS, 10 * 86_400, (100, 10))
    assert demand.requests_per_second.peak / demand.requests_per_second.mean > 2.5
    assert demand.interval.peak_low == pytest.approx(10.0)
    assert demand.interval.peak_high > 60
    np.testing.assert_allclose(demand.profile.requests_per_minute.reshape(24, 60).mean(axis=1), 600.0)


def test_where_all_were_busy_more_may_have_been_asked_than_was_served():
    """One minute with all four busy: its upper edge is that of services; with profiling signals it is what was served."""
    busy = np.where(np.arange(24 * 60) == 700, 4.0, 2.0)
    whole = demand_from_busy(seen(busy), SERVES, None, (100, 10))
    assert whole.interval.peak_high == pytest.approx(6.7 * 8.0, rel=0.1)
    assert any("where all were busy requests may have waited" in note for note in whole.notes)
    for known in (seen(np.minimum(busy, 3.9)), seen(busy, saturated=busy / 2)):
        served = demand_from_busy(known, SERVES, None, (100, 10))
        assert served.interval.peak_high == pytest.approx(4.0 * np.nanmax(known.saturated))
        assert not any("waited" in note for note in served.notes)


def test_profiling_signals_are_the_shape_where_they_are_known():
    """Always busy, but with half the SM activity in the second hour: half the load."""
    busy, saturated = np.full(120, 4.0), np.repeat([2.0, 1.0], 60)
    demand = demand_from_busy(seen(busy, saturated=saturated), NOBODY_KNOWS, 86_400, (100, 10))
    hours = demand.profile.requests_per_minute.reshape(2, 60).mean(axis=1)
    assert hours[0] == pytest.approx(2 * hours[1])


def test_a_volume_that_the_accelerators_cannot_have_served_is_said():
    """Both numbers, and what to check."""
    demand = demand_from_busy(seen([1.0, 1.0]), SERVES, 30 * 86_400, (100, 10))
    assert any("above what the busy accelerators can have served" in note for note in demand.notes)


def test_unknown_minutes_are_left_out():
    """They stay unknown, and their share is said."""
    demand = demand_from_busy(seen([1.0, 3.0, np.nan]), NOBODY_KNOWS, 86_400, (100, 10))
    assert np.isnan(demand.profile.requests_per_minute[2])
    assert any("only 67% of the minutes" in note for note in demand.notes)


def test_without_a_volume_busy_is_an_upper_bound():
    """With nothing but utilisation, a busy accelerator counts as a saturated one, and that is said with its interval."""
    demand = demand_from_busy(seen([0.5, 2.0]), SERVES, None, (100, 10))

    assert demand.requests_per_second.peak == 8.0
    interval = demand.interval
    assert (interval.mean_low, interval.mean_high, interval.peak_low, interval.peak_high) == (0.625, 5.0, 1.0, 8.0)
    assert any("upper bound" in note for note in demand.notes)
    assert any("0.625 to 5 requests/s on average and 1 to 8 in the busiest minute" in note for note in demand.notes)
    with pytest.raises(InputError, match="no current deployment"):
        demand_from_busy(seen([0.5, 2.0]), NOBODY_KNOWS, None, (100, 10))


@pytest.mark.parametrize("busy", [[0.0, 0.0], [np.nan], []])
def test_nothing_busy_is_no_demand(busy):
    """Idle or unobserved accelerators are no demand of zero: it is said that nothing is known."""
    with pytest.raises(InputError, match="no busy accelerator"):
        demand_from_busy(seen(busy), SERVES, 100, (1, 1))


def test_the_published_example_is_what_its_trace_says():
    """The shipped summaries hold the counts of the traces they came from."""
    chat = read_summary(Path(__file__).parents[2] / "examples/chat/demand.json")

    assert chat.requests == 19_366
    assert chat.input_tokens.max == 14_050
    assert chat.output_tokens.max == 1000
    assert chat.requests_per_second.peak == pytest.approx(502 / 60)


def test_ten_thousand_rows_match_a_slow_count(tmp_path):
    """The fast reader counts what a plain loop over the same file counts."""
    generator = np.random.default_rng(7)
    times = np.cumsum(generator.exponential(0.2, 10_000))
    lengths = generator.integers(1, 5000, (10_000, 2))
    path = write(tmp_path / "t.csv", [f"{t:.6f},{i},{o}" for t, (i, o) in zip(times, lengths, strict=True)])

    demand = read_trace(path)

    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    minutes: dict[int, int] = {}
    for row in rows:
        minutes[int(float(row["TIMESTAMP"]) // 60)] = minutes.get(int(float(row["TIMESTAMP"]) // 60), 0) + 1
    assert demand.requests == len(rows)
    assert demand.requests_per_second.peak == max(minutes.values()) / 60
    assert demand.input_tokens.mean == pytest.approx(np.mean([int(row["ContextTokens"]) for row in rows]))


def test_two_columns_of_one_name_are_refused(tmp_path):
    """Nothing says which of them is meant; columns that are not read may be called alike."""
    path = tmp_path / "trace.csv"
    path.write_text("timestamp,input_tokens,output_tokens,,\n1,10,10,,\n2,10,10,,\n")
    assert read_trace(path).requests == 2
    path.write_text("timestamp,Timestamp,input_tokens,output_tokens\n1,2,10,10\n")
    with pytest.raises(InputError, match="two columns have one name"):
        read_trace(path)


@pytest.mark.parametrize("number", ["requests", "num_model_requests", "Request_Count"])
def test_rows_of_many_requests_are_no_trace(tmp_path, number):
    """A usage export by the hour: read as a request each, its demand would be thousands of times too low."""
    path = tmp_path / "usage.csv"
    path.write_text(f"timestamp,{number},input_tokens,output_tokens\n2026-10-24T00:00:00Z,1200,500000,90000\n")

    with pytest.raises(InputError, match=f"rows of several requests \\(column '{number}'\\)") as raised:
        read_trace(path)

    assert raised.value.where == f"{path}:1"


def test_a_packed_trace_is_refused_with_what_to_do(tmp_path):
    """Compressed bytes are no text."""
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(b"timestamp,input_tokens,output_tokens\n1,2,3\n"))

    with pytest.raises(InputError) as raised:
        read_trace(path)

    assert "gunzip" in raised.value.hint


KINDS = {
    "audio_seconds": ("openai/whisper-large-v3", "audio", "64.5", 64_500.0, 1.0),
    "documents,tokens_per_document": ("BAAI/bge-reranker-v2-m3", "texts", "20,173", 173.0, 20.0),
    "tokens": ("BAAI/bge-m3", "texts", "120", 120.0, 1.0),
    "images": ("google/vit-base-patch16-224", "images", "3", 1.0, 3.0),
}


@pytest.mark.parametrize("header", KINDS)
def test_a_summary_of_every_kind_is_the_demand_of_its_trace(header, tmp_path):
    """Its kind is told by the columns; a model of another kind refuses it."""
    model, unit, cells, size, items = KINDS[header]
    trace, summary = tmp_path / "trace.csv", tmp_path / "demand.json"
    lines = [f"{1_767_571_200 + 7 * number},{cells}" for number in range(20_000)]
    trace.write_text("\n".join([f"timestamp,{header}", *lines]))
    made = CliRunner().invoke(demand_command, ["summarise", str(trace), "-o", str(summary)])
    assert made.exit_code == 0, made.output

    def demand_of(source, name=model):
        asked = workload(model=name, demand=TraceDemand(source), slo=Slo(latency_ms=60_000), context_tokens=None)
        return measure_demand(asked, find_model(name), load_catalog(), None)

    demand, traced = demand_of(summary), demand_of(trace)

    assert (demand.unit, demand.input_tokens, demand.output_tokens) == (
        traced.unit,
        traced.input_tokens,
        traced.output_tokens,
    )
    assert (demand.unit.value, demand.input_tokens.mean, demand.output_tokens.mean) == (unit, size, items)
    assert demand.requests_per_second == traced.requests_per_second
    with pytest.raises(
        InputError, match=f"the summary counts {unit}, and requests to Qwen/Qwen3-8B are counted in tokens"
    ):
        demand_of(summary, "Qwen/Qwen3-8B")


def test_a_trace_of_times_alone_says_what_tells_the_kind(tmp_path):
    """The error has the columns of every kind, and the option; the forecast needs none of them."""
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join(["timestamp", *(str(1_767_571_200 + 7 * number) for number in range(20_000))]))

    refused = CliRunner().invoke(demand_command, ["summarise", str(trace)])
    forecast = CliRunner().invoke(demand_command, ["forecast", str(trace)])

    assert isinstance(refused.exception, InputError)
    assert "speech: audio_seconds" in refused.exception.hint
    assert "--model MODEL" in refused.exception.hint
    assert forecast.exit_code == 0, forecast.output
