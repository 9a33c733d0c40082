"""Pages of levers, audits, programmes and reviews: their numbers are those of the JSON, and nothing is asked for."""

import csv
import io
import json
import re

import pytest
from click.testing import CliRunner

from advisor.cli.output import answers_text
from advisor.cli.report import command
from advisor.errors import InputError
from advisor.report.bill_documents import audit_from_json, audit_json
from advisor.report.levers import lever_rows
from advisor.report.pages import Page, page_of, render_sections
from advisor.report.pages.bars import TOTAL, Amount, side_by_side, waterfall
from advisor.report.text_table import Section
from levers.test_levers import few
from report.documents import sampled_audit_text, texts
from report.pages import bars, check_alone, check_readable, read_page, table_rows

_SAVING = "saving_usd_per_month"
KINDS = ("levers", "audit", "programme", "review")
HOSTILE = "\"><script>alert(1)</script>'`{{ 7*7 }}</title>"


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """JSON text of each kind."""
    return texts(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="module")
def pages(documents):
    """Page of each kind, parsed."""
    return {kind: read_page(page_of(text, kind)) for kind, text in documents.items()}


def amount(told):
    """The first amount in words, with its sign."""
    sign, digits = re.search(r"(-?)\$([\d,]+\.\d+)", told).groups()
    return float(sign + digits.replace(",", ""))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_readable_and_alone(documents, pages, kind):
    """Headings, names and links are sound; the page asks for nothing, is small, and is the same each time."""
    text = page_of(documents[kind], kind)

    check_readable(pages[kind])
    check_alone(text)
    assert text == page_of(documents[kind], kind)
    assert len(text.encode()) < 500_000


def test_steps_of_levers_lead_from_the_plan_without_any_to_that_with_all(documents, pages):
    """Both ends are those of the JSON, each step is what a lever is worth, and with what they share they add up."""
    report, rows = json.loads(documents["levers"]), bars(pages["levers"], "From no lever to all of them, USD a month")
    told = {name: amount(words) for name, words in rows}
    start, *steps, end = [amount(words) for _, words in rows]

    assert start == report["without"]["total_usd_per_month"]
    assert end == report["together"]["plan"]["total_usd_per_month"]
    assert start + sum(steps) == pytest.approx(end, abs=0.005 * len(rows))
    worths = {lever["lever"]: lever["worth_usd_per_month"] for lever in report["levers"] if lever["used"]}
    assert worths
    for lever, worth in worths.items():
        assert told.get(lever.replace("_", " ")) == (None if worth is None else -worth)


def test_savings_of_levers_alone_are_those_of_the_json(documents, pages):
    """One bar for each, and a row with its number; what others say stands there too."""
    report = json.loads(documents["levers"])
    alone = {lever["lever"].replace("_", " "): lever["priced"]["saving_usd_per_month"] for lever in report["levers"]}
    rows = {
        row[0]: row for row in table_rows(pages["levers"], "levers, USD a month: each is the difference of two plans")
    }

    told = bars(pages["levers"], "Saved by each lever alone, USD a month")
    assert {name: amount(words) for name, words in told} == alone
    assert {name: row[1] for name, row in rows.items()} == {name: f"{saved:,.2f}" for name, saved in alone.items()}
    assert table_rows(pages["levers"], "what others measured or say")


def test_rows_of_levers_are_those_of_the_json(documents):
    """As CSV and line by line: the numbers of each, or the code and the reason why it has none."""
    report, rows = json.loads(documents["levers"]), lever_rows(few())
    as_csv = list(csv.DictReader(io.StringIO(answers_text(rows, "csv"))))
    priced, unpriced = rows[: len(report["levers"])], rows[len(report["levers"]) :]

    assert [row["lever"] for row in rows] == [row["lever"] for row in as_csv]
    for lever, row, cells in zip(report["levers"], priced, as_csv, strict=False):
        assert row["saving_usd_per_month"] == lever["priced"]["saving_usd_per_month"] == float(cells[_SAVING])
        assert row["worth_usd_per_month"] == lever["worth_usd_per_month"]
        assert cells["used"] == str(lever["used"]).lower()
    assert [(row["code"], row["why"]) for row in unpriced] == [(one["code"], one["why"]) for one in report["unpriced"]]
    lines = [json.loads(line) for line in answers_text(rows, "ndjson").splitlines()]
    assert lines[-1][_SAVING] is None


def test_parts_and_findings_of_a_bill_are_those_of_the_json(documents, pages):
    """Parts end at the bill; every finding has its amount, its bounds and its command."""
    audit, page = json.loads(documents["audit"]), pages["audit"]
    *parts, total = [amount(words) for _, words in bars(page, "Kinds of cost")]
    found = {name.split()[0]: words for name, words in bars(page, "What findings would save a month")}

    assert total == pytest.approx(audit["bill"]["effective_cost"], abs=0.0051)
    assert sum(parts) == pytest.approx(total, abs=1e-6)
    savings = {finding["id"]: finding for finding in audit["findings"] if finding["basis"] == "saving"}
    assert set(found) == set(savings)
    assert len(savings) > 1
    for name, finding in savings.items():
        assert amount(found[name]) == pytest.approx(finding["per_month"], abs=0.0051)
        bounds = [amount(words) for words in re.findall(r"-?\$[\d,.]+\d", found[name])[1:]]
        expected = [finding["low"], finding["high"]] if finding["low"] != finding["high"] else []
        assert bounds == pytest.approx(expected, abs=0.0051)
        assert finding["command"] in page.text
    assert len(table_rows(page, "Findings")) == len(audit["findings"])


def test_machines_of_a_bill_show_what_was_measured_of_them(tmp_path):
    """Each with its cost, what of it was needed, and how busy it was."""
    text = sampled_audit_text(tmp_path / "samples")
    (host,) = json.loads(text)["hosts"]

    ((resource, _, cost, needed, *rest),) = table_rows(read_page(page_of(text, "audit")), "Machines with telemetry")
    assert (resource, amount(cost)) == ("i-0aaa", pytest.approx(host["cost"], abs=0.0051))
    assert amount(needed) == pytest.approx(host["needed"], abs=0.0051)
    assert rest[4:6] == [f"{host['busy_mean']:.1%}", f"{host['busy_p95']:.1%}"]


def test_an_audit_reads_back_as_it_was_written(documents, tmp_path):
    """Every number, name and finding."""
    for text in (documents["audit"], sampled_audit_text(tmp_path / "samples")):
        assert audit_json(audit_from_json(text)) == text


def test_savings_of_a_programme_and_its_review_are_those_of_the_json(documents, pages):
    """What is to be saved adds up to the total; each applied item has what was predicted and billed, red if it cost more."""
    programme, review = (json.loads(documents[kind]) for kind in ("programme", "review"))
    *counted, total = [amount(words) for _, words in bars(pages["programme"], "What is to be saved, USD a month")]

    assert total == programme["total"]["usd_per_month"]
    assert sum(counted) == pytest.approx(total, abs=0.005 * len(counted))
    told = dict(bars(pages["review"], "Predicted and billed"))
    for group in review["applied"]:
        assert amount(told[f"{group['id']}: predicted"]) == group["predicted"]["usd_per_month"]
        assert amount(told[f"{group['id']}: billed"]) == group["billed"]["usd_per_month"]
    assert any(group["billed"]["usd_per_month"] < 0 for group in review["applied"])
    red = [row for row in pages["review"].all("li") if row.attributes.get("class") == "late"]
    assert len(red) == sum(group["billed"]["usd_per_month"] < 0 for group in review["applied"])


def test_names_of_others_stay_text(documents):
    """Wherever a document takes a text from outside."""
    for kind in KINDS:
        document = json.loads(documents[kind])
        page = read_page(page_of(json.dumps(_with(document, HOSTILE)), kind))

        assert len(list(page.all("script"))) == 1, kind
        assert HOSTILE in page.text, kind


def _with(document, text):
    """A document whose free texts are another one."""
    free = {"title", "why", "risk", "evidence", "detail", "change", "check", "resource", "why_unknown", "notes"}
    if isinstance(document, dict):
        return {key: _text(value, text) if key in free else _with(value, text) for key, value in document.items()}
    return [_with(value, text) for value in document] if isinstance(document, list) else document


def _text(value, text):
    return [text] if isinstance(value, list) else text if isinstance(value, str) and value else value


def test_a_page_of_many_rows_stays_small():
    """The first rows are shown, with how many there are."""
    rows = tuple((f"row {number}", "x" * 200) for number in range(100_000))
    sections = (Section("verdict"), Section("many", (), ("name", "what"), rows, ("command",) * 100_000))
    text = render_sections(Page("audit", "A bill", (), (), sections, "many"))

    assert len(text.encode()) < 3_000_000
    shown = len(table_rows(read_page(text), "many"))
    assert f"the first {shown:,} of 100,000; the JSON of the audit holds them all" in text


def test_bars_keep_their_proportions():
    """Steps begin where the one before ends, intervals stand where they belong, negative amounts are marked."""
    up, down, total = waterfall([Amount("a", 60.0), Amount("b", -20.0), Amount("c", 40.0, kind=TOTAL)])
    begins = [float(bar.start[:-1]) for bar in (up, down, total)]
    widths = [float(bar.width[:-1]) for bar in (up, down, total)]
    assert begins == pytest.approx([0.0, widths[2], 0.0], abs=0.02)
    assert widths[0] - widths[1] == pytest.approx(widths[2], abs=0.02)

    saved, lost, exact = side_by_side([Amount("a", 60.0, "", 30.0, 90.0), Amount("b", -9.0), Amount("c", 3, "", 3, 3)])
    ends = (float(saved.low[:-1]), float(saved.low[:-1]) + float(saved.reach[:-1]))
    assert ends == pytest.approx((float(saved.width[:-1]) / 2, float(saved.width[:-1]) * 1.5), abs=0.03)
    assert (saved.kind, lost.kind, exact.low) == ("", "late", "")


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_writes_the_page_of_every_document(documents, tmp_path, kind):
    """As it is told by the schema in the file; another version and other fields are refused with the remedy."""
    (tmp_path / "it.json").write_text(documents[kind])
    done = CliRunner().invoke(command, [str(tmp_path / "it.json"), "-o", str(tmp_path / "it.html")])
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "it.html").read_text() == page_of(documents[kind], "it")

    document = json.loads(documents[kind])
    rows = {"levers": "levers", "audit": "findings", "programme": "items", "review": "next_steps"}[kind]
    for changes in ({"schema": f"advisor.{kind}/v9"}, {rows: "none"}, {rows: 1}):
        (tmp_path / "it.json").write_text(json.dumps(document | changes))
        done = CliRunner().invoke(command, [str(tmp_path / "it.json")])
        assert isinstance(done.exception, InputError), changes
        assert "make it" in done.exception.hint
