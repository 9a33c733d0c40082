"""Bills and logs that somebody made to mislead: no file's place, name or content changes a number in silence."""

import csv
import gzip
import io
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.audit.run import Inputs, audited
from advisor.errors import InputError
from advisor.report import bill_documents as documents
from audit.bills import Charge, focus_row, hours, write_bill, write_csv

POINT = {"startTimeUnixNano": "1790812800000000000", "timeUnixNano": "1790813000000000000", "count": 3}


def cost_of(*bill, **inputs):
    """Cost of a bill by an audit of it."""
    with audited(Inputs(tuple(map(str, bill)), **inputs)) as opened:
        return opened.audit.bill.cost


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_folder_s_name_is_no_column(tmp_path, form):
    """``EffectiveCost=999`` above a file does not take the place of what the file says."""
    folder = tmp_path / "EffectiveCost=999"
    folder.mkdir()
    row = focus_row(Charge())
    if form == "csv":
        write_csv(folder / "bill.csv", [row])
    elif form == "jsonl":
        (folder / "bill.jsonl").write_text(json.dumps(row) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist([row]), folder / "bill.parquet")

    assert cost_of(folder) == 1


@pytest.mark.parametrize("place", ["bill", "bill.csv"])
@pytest.mark.parametrize(("target", "told"), [("", "does not exist"), ("bill", "is a link to nothing")])
def test_a_bill_that_is_not_there_is_told_so(tmp_path, place, target, told):
    """Whatever its ending, and where a link leads to itself."""
    if target:
        (tmp_path / place).symlink_to(place)
    with pytest.raises(InputError, match=f"the bill {told}"):
        cost_of(tmp_path / place)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_a_table_of_a_million_columns_is_refused_with_its_width(tmp_path, form):
    """The columns are counted to the end of the header, however long it is."""
    wide = 300_000 if form != "parquet" else 10_001
    names = [f"column_{number}" for number in range(wide)]
    path = tmp_path / f"bill.{form}"
    text = f"{','.join(names)}\n{','.join('1' * wide)}\n".encode()
    if form == "parquet":
        pq.write_table(pa.table([[1]] * wide, names=names), path)
    else:
        path.write_bytes(gzip.compress(text, 1) if form == "csv.gz" else text)

    with pytest.raises(InputError, match=f"bill has {wide:,} columns, and 10,000 are the most that are read") as raised:
        cost_of(path)
    assert raised.value.where == str(path)


def test_a_header_of_more_than_a_mebibyte_is_read_whole(tmp_path):
    """Long names are no reason to lose the columns behind them."""
    row = {f"{'x' * 2000}{number}": "" for number in range(700)} | focus_row(Charge())
    write_csv(tmp_path / "bill.csv", [row])

    assert cost_of(tmp_path / "bill.csv") == 1


def test_a_cell_of_parquet_that_is_too_long_is_named(tmp_path):
    """File, row and column: the database says that its memory is full, and no more."""
    path = tmp_path / "bill.parquet"
    rows = [focus_row(Charge()), focus_row(Charge()), focus_row(Charge()) | {"ResourceId": "r" * (17 << 20)}]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1)

    words = "the bill has a cell of 17 MiB in row 3, column ResourceId; 16 MiB are the most that are read"
    with pytest.raises(InputError, match=words) as raised:
        cost_of(path)
    assert raised.value.where == str(path)


@pytest.mark.parametrize(
    "moment", ["infinity", "-infinity", "290000-01-01", "4000-01-01 (BC)", "9999-12-31", "0001-01-01"]
)
@pytest.mark.parametrize("column", ["ChargePeriodStart", "ChargePeriodEnd"])
def test_a_time_that_cannot_be_is_no_time(tmp_path, moment, column):
    """It is said, and does not stretch the period."""
    write_csv(tmp_path / "bill.csv", [focus_row(Charge()), focus_row(Charge(resource="i-2")) | {column: moment}])
    with audited(Inputs((str(tmp_path / "bill.csv"),))) as opened:
        assert opened.audit.bill.hours == 1
        assert opened.audit.bill.cost == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"timeUnixNano": 10**40}, {"timeUnixNano": -1}, {"count": float("inf")}, {"count": float("nan")}, {"count": 10**400},
        {"count": 1e30}, {"count": -5},
    ],
)  # fmt: skip
def test_counts_and_times_that_cannot_be_are_refused(tmp_path, changes):
    """With the line."""
    bill = write_bill(tmp_path, "focus", hours(Charge(), 1))
    metric = {"name": "gen_ai.server.request.duration", "histogram": {"dataPoints": [POINT | changes]}}
    (tmp_path / "m.jsonl").write_text(json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}))

    with pytest.raises(InputError, match="not OTLP JSON of metrics") as refusal:
        cost_of(bill, requests=(str(tmp_path / "m.jsonl"),))
    assert refusal.value.where.endswith("m.jsonl:1")


def test_a_line_without_end_is_not_read_whole(tmp_path):
    """A small archive of one line of 200 MB."""
    bill = write_bill(tmp_path, "focus", hours(Charge(), 1))
    with gzip.open(tmp_path / "m.json.gz", "wb", 1) as stream:
        stream.write(b'{"resourceMetrics":[')
        for _ in range(200):
            stream.write(b" " * 1024 * 1024)

    with pytest.raises(InputError, match="not OTLP JSON"):
        cost_of(bill, requests=(str(tmp_path / "m.json.gz"),))


@pytest.mark.parametrize("place", ["bill", "log"])
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["unterminated", "terminated"])
def test_a_line_longer_than_any_buffer_is_refused(tmp_path, place, end):
    """No line of a bill or a log is dropped: one of 300 MB at the end is an error."""
    bill, log = write_bill(tmp_path, "focus", hours(Charge(), 1)), tmp_path / "log.csv"
    log.write_text("timestamp,endpoint,input_tokens\n2026-10-01T00:00:00Z,chat,10\n")
    with (bill if place == "bill" else log).open("r+b") as stream:
        stream.seek(300 * 1024 * 1024, os.SEEK_END)
        stream.write(b"," + end)

    with pytest.raises(InputError, match="has a line of more than 32 MiB"):
        cost_of(bill, requests=(str(log),))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("mebibytes", [1, 15])
def test_long_lines_that_can_be_read_are(tmp_path, ending, mebibytes):
    """A prompt of megabytes at the end of a log, without a line end."""
    log = tmp_path / f"log{ending}"
    content = f"timestamp,endpoint,input_tokens,prompt\n2026-10-01T00:00:00Z,chat,10,{'x' * mebibytes * 2**20}".encode()
    log.write_bytes(gzip.compress(content, 1) if ending.endswith("gz") else content)
    bill = write_bill(tmp_path, "focus", hours(Charge(), 1))

    with audited(Inputs((str(bill),), requests=(str(log),))) as opened:
        assert opened.audit.traffic.endpoints[0].requests == 1


def test_a_packed_line_longer_than_any_buffer_is_refused(tmp_path):
    """Of 80 MB in a small archive."""
    with gzip.open(tmp_path / "log.csv.gz", "wb", 1) as stream:
        stream.write(b"timestamp,endpoint,input_tokens\n")
        for _ in range(80):
            stream.write(bytes(2**20))

    with pytest.raises(InputError, match="has a line of more than 32 MiB"):
        cost_of(write_bill(tmp_path, "focus", hours(Charge(), 1)), requests=(str(tmp_path / "log.csv.gz"),))


_CUT = gzip.compress(b'{"resourceMetrics":[]}' * 100, mtime=0)[:-9]


@pytest.mark.parametrize("content", [b"no archive", _CUT], ids=["no archive", "cut"])
def test_a_damaged_archive_of_metrics_is_refused(tmp_path, content):
    """As one."""
    bill = write_bill(tmp_path, "focus", hours(Charge(), 1))
    (tmp_path / "m.json.gz").write_bytes(content)

    with pytest.raises(InputError, match="damaged gzip"):
        cost_of(bill, requests=(str(tmp_path / "m.json.gz"),))


def test_pipes_and_devices_are_refused(tmp_path):
    """They are read twice, and would never end."""
    os.mkfifo(tmp_path / "bill.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for path in (tmp_path / "bill.csv", tmp_path / "zero.csv"):
        with pytest.raises(InputError, match="pipe or a device"):
            cost_of(path)


@pytest.mark.parametrize(
    ("place", "reason"), [("x" * 5000 + ".csv", "name too long"), ("wide.csv", "not a line of CSV"), ("odd.parquet", "cannot read")]
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_words(tmp_path, monkeypatch, place, reason):
    """A name of 5,000 characters, a header of 200,000, a list of credits that are numbers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wide.csv").write_text("a," + "x" * 200_000 + "\n1,2\n")
    row = {
        "cost": "1", "currency": "USD", "service": {"description": "x"}, "sku": {"description": "x"}, "credits": [1, 2],
        "usage_start_time": "2026-10-01T00:00:00Z", "usage_end_time": "2026-10-01T01:00:00Z",
    }  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "odd.parquet")

    with pytest.raises(InputError, match=reason):
        cost_of(place)


def test_half_characters_in_tags_are_made_visible(tmp_path):
    """JSON can hold them, no database can."""
    row = focus_row(Charge()) | {"Tags": '{"team": "a\\ud800"}'}
    write_csv(tmp_path / "bill.csv", [row])
    with audited(Inputs((str(tmp_path / "bill.csv"),), tags=("team",))) as opened:
        assert dict(opened.audit.tags[0].values) == {"a?": 1}


def test_spend_beyond_28_digits_is_exact(tmp_path):
    """The sum of a log with a share of errors."""
    bill = write_bill(tmp_path, "focus", hours(Charge(), 1))
    (tmp_path / "l.csv").write_text(
        "timestamp,endpoint,input_tokens,output_tokens,status,spend\n2026-10-01T00:00:00Z,a,1,2,500,1e22\n"
    )
    with audited(Inputs((str(bill),), requests=(str(tmp_path / "l.csv"),))) as opened:
        endpoint = next(endpoint for endpoint in opened.audit.endpoints if endpoint.name == "a")
        assert endpoint.cost == endpoint.error_cost == 10**22


def test_no_cell_of_the_export_is_a_formula(tmp_path):
    """Names of others that begin like one get an apostrophe; amounts below nothing stay numbers."""
    formula = '=HYPERLINK("http://example.com")'
    write_csv(tmp_path / "bill.csv", [focus_row(Charge(resource=formula)), focus_row(Charge(cost=-3, resource="-2+3"))])
    with audited(Inputs((str(tmp_path / "bill.csv"),))) as opened:
        rows = list(csv.DictReader(io.StringIO("".join(documents.focus_rows(opened.audit, opened.ledger)))))

    assert {row["ResourceId"] for row in rows} == {f"'{formula}", "'-2+3"}
    assert {float(row["BilledCost"]) for row in rows} == {1, -3}
