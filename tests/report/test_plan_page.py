"""The page of a plan: its numbers are the plan's, it asks for nothing, and no name of others becomes part of it."""

import json
import re
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog.values import Purchase
from advisor.cli.report import command
from advisor.errors import InputError
from advisor.performance import Interval
from advisor.pipeline import plan_for
from advisor.plan.document import plan_to_json
from advisor.plan.values import Rejection
from advisor.report.pages import plan_page
from advisor.report.pages.bars import Axis, distribution_section, from_zero, log_around
from advisor.report.pages.plan import MOST_OPTIONS, MOST_REJECTIONS
from advisor.report.verdict import further_sections, plan_table
from advisor.units import HOURS_PER_WEEK, milliseconds, ratio_words
from advisor.workload.values import Deployment, Limits
from builders import catalog_of, offer, workload
from report.pages import bars, check_alone, check_readable, read_page, table_rows
from report.plans import make_fleet, make_group, make_option, make_plan, mixed_plan, no_plan, spot_plan

ROOT = Path(__file__).parents[2]
CATALOG = catalog_of(
    offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g5.xlarge", on_demand=1.0), offer("g6.xlarge", on_demand=0.8)
)
TODAY = Deployment("aws", "us-east-1", "g6e.xlarge", 6, Purchase.ON_DEMAND)
SHAPES = {"spot": spot_plan, "mixed": mixed_plan, "infeasible": no_plan}


@cache
def planned():
    """A plan of the real planner, with what runs today."""
    return plan_for(workload(current=TODAY, limits=Limits(zones=2)), CATALOG)


@cache
def page():
    """Its page."""
    return read_page(plan_page(planned()))


def money(amount):
    """As the page writes it."""
    return f"{amount:,.2f}"


def test_every_option_stands_in_the_table_with_its_cost_and_latency():
    """The numbers are those of the plan and its replays, marked where there was none; the recommended one is marked too."""
    plan = planned()
    rows = table_rows(page(), "options")

    assert len(rows) == len(plan.options) > 2
    for row, option in zip(rows, plan.options, strict=True):
        assert row[0] == str(option.rank)
        assert row[3] == option.instance_type
        mark = "" if option.confirmed else "~"
        assert f"{mark}{money(option.cost.total_usd_per_month)}" in row
        ms = option.confirmed.ttft_p95_ms if option.confirmed else option.predicted.ttft_p95_ms.value
        assert f"{mark}{ms:.3g} ms" in row or f"{mark}{ms / 1000:.3g} s" in row
    (chosen,) = [row for row in page().all("tr") if row.attributes.get("class") == "recommended"]
    assert chosen.attributes["data-option"] == str(plan.recommended.rank)


def test_every_option_is_a_point_in_both_charts():
    """With the interval of its prediction in its words, and none outside of the box."""
    plan = planned()
    points = [one for one in page().all("g") if "data-option" in one.attributes]

    assert len(points) == 2 * len(plan.options)
    for at, option in enumerate(plan.options):
        interval = option.predicted.tpot_p95_ms
        told = points[len(plan.options) + at].text
        assert f"TPOT p95 {interval.value:.3g} ms ({interval.low:.3g} ms to {interval.high:.3g} ms" in told
        assert f"${money(option.cost.total_usd_per_month)} a month" in told
    for place in re.findall(r'(?:cx|cy|x1|x2|y1|y2)="([\d.]+)%"', plan_page(plan)):
        assert 0 <= float(place) <= 100


def test_the_parts_of_the_cost_end_where_the_total_does():
    """A waterfall: each part begins where the one before ends, and their sum is the total."""
    cost = planned().fleet.cost
    rows = bars(page(), "Parts of the total")
    amounts = [float(re.match(r"\$([\d,.]+\.\d\d)", row[1])[1].replace(",", "")) for row in rows]

    assert amounts[-1] == cost.total_usd_per_month
    assert sum(amounts[:-1]) == pytest.approx(cost.total_usd_per_month, abs=0.02)
    (found,) = [one for one in page().all("ul") if one.attributes.get("aria-label") == "Parts of the total"]
    end = 0.0
    for row in found.children[:-1]:
        (style,) = [one.attributes["style"] for one in row.all("div") if "style" in one.attributes]
        start, width = (float(one) for one in re.findall(r"([\d.]+)%", style))
        assert start == pytest.approx(end, abs=0.02)
        end = start + width


def test_every_rung_of_the_ladder_has_its_cost():
    """Today's rung that of what runs; the recommendation among them."""
    plan = planned()
    told = {row[0].split(" (")[0]: row[1] for row in bars(page(), "USD a month of each rung")}

    assert list(told) == [rung.rung.replace("_", " ") for rung in plan.ladder if not rung.beyond_stated] + [
        "as stated"
    ] + [rung.rung.replace("_", " ") for rung in plan.ladder if rung.beyond_stated]
    for rung in (*plan.ladder, plan.as_stated):
        total = plan.current.total_usd_per_month if rung.rung == "as_is" else rung.total_usd_per_month
        assert told[rung.rung.replace("_", " ")].startswith("not possible" if total is None else f"${money(total)}")


def test_the_week_says_what_each_hour_carries():
    """168 hours: instances, capacity, what is planned and expected, as the plan's classes of hours say."""
    fleet = mixed_plan().fleet
    rows = table_rows(read_page(plan_page(mixed_plan())), "hours of the week")

    assert len(rows) == HOURS_PER_WEEK
    assert rows[25][0] == "Tuesday 01:00"
    for row, hour_class in zip(rows, fleet.schedule, strict=True):
        rates = fleet.hour_classes[hour_class]
        assert row[1] == str(sum(group.instances[hour_class] for group in fleet.groups))
        assert row[3:5] == [f"{rates.planned_requests_per_second:,.4g}", f"{rates.mean_requests_per_second:,.4g}"]
        carried = sum(
            group.instances[hour_class] * group.planned_requests_per_second_per_instance for group in fleet.groups
        )
        assert row[2] == f"{carried:,.4g}"


def test_the_replay_stands_beside_the_slo():
    """Shares of requests and latencies of the plan's replay, and its targets."""
    plan = planned()
    replay, text = plan.fleet.confirmed, page().text

    (asked,) = [row for row in bars(page(), "Share of the requests within the SLO") if row[0] == "asked"]
    assert asked[1] == f"{plan.workload['slo']['within_ratio']:.0%}"
    assert f"{replay.requests:,} requests" in text
    for value in (replay.ttft_p95_ms, replay.tpot_p95_ms):
        assert f"{value:.3g} ms by replay" in text


def test_the_distribution_of_each_latency_stands_against_its_target():
    """Every percentile of the plan is in the chart and in the table, with the share within the target."""
    plan = planned()
    rows = {row[0]: row[1:] for row in table_rows(page(), "latency at percentiles")}
    charts = [one.attributes["aria-label"] for one in page().all("svg") if "answers" in one.attributes["aria-label"]]

    assert [latency.name for latency in plan.fleet.latencies] == ["ttft", "tpot", "e2e"]
    assert list(rows) == ["TTFT", "TPOT", "whole answer"]
    for latency, told, chart in zip(plan.fleet.latencies, rows.values(), charts, strict=True):
        values = [milliseconds(value) for value in latency.quantiles.values()]
        target = plan.workload["slo"][f"{latency.name}_p95_ms"]
        assert told[: len(values)] == values
        assert all(f": {value}" in chart for value in values)
        assert told[-2] == ("-" if target is None else milliseconds(target))
        ratio = latency.within_target_ratio
        assert told[-1] == ("-" if ratio is None else ratio_words(ratio))


def test_what_a_spot_loss_cuts_off_is_told_beside_the_percentiles():
    """These count in the percentiles and not in the share within the SLO; without a loss both are of all requests."""
    plan = planned()
    on_spot, on_demand = (
        replace(plan.fleet, groups=tuple(replace(group, purchase=paid) for group in plan.fleet.groups))
        for paid in ("spot", "on_demand")
    )
    waits = replace(plan, workload=plan.workload | {"limits": plan.workload["limits"] | {"fault_tolerant_ratio": 1.0}})

    (told,) = distribution_section(plan, on_spot).lines
    assert "cuts off count here" in told
    assert not distribution_section(plan, on_demand).lines
    assert not distribution_section(waits, on_spot).lines


def test_today_stands_beside_the_recommendation():
    """What runs at its cost, and the fleet at its own."""
    plan = planned()
    rows = {row[0]: row[1:] for row in table_rows(page(), "today")}

    assert rows["USD/month"] == [money(plan.current.total_usd_per_month), money(plan.fleet.cost.total_usd_per_month)]


def test_every_rejection_can_be_read_without_a_script():
    """All of them, with both numbers compared and the sentence."""
    plan = planned()
    rows = table_rows(page(), "rejections")

    assert plan.rejected
    assert [row[-1] for row in rows] == [one.message for one in plan.rejected]


def test_regions_and_prices_are_the_plans():
    """The cheapest option of each region; source, date and quality of each price that is paid."""
    plan = planned()
    (row,) = table_rows(page(), "regions")
    assert row[:3] == ["aws", "us-east-1", str(len(plan.options))]
    assert money(plan.options[0].cost.total_usd_per_month) in row

    prices = table_rows(page(), "prices paid")
    for group, price in zip(plan.fleet.groups, prices, strict=False):
        assert price[2:] == [
            f"{group.instance_usd_per_hour:,.4f} per hour",
            group.price_source,
            group.price_as_of,
            group.price_quality,
        ]
    assert plan.provenance.catalog_hash in page().text


@pytest.mark.parametrize("shape", SHAPES)
def test_plans_of_every_shape_have_a_page(shape):
    """Also those without a fleet, which say what would help, and those of older versions that hold no question."""
    plan = SHAPES[shape]()
    found = read_page(plan_page(plan))

    headings = [one.text for one in found.all("h2")]
    assert headings[0] == "Before you act"
    assert ("Fleet" in headings) == (plan.fleet is not None)
    if plan.fleet is None:
        assert "what would help by itself" in [one.text for one in found.all("h3")]


@pytest.mark.parametrize("shape", ["real", *SHAPES])
def test_the_page_is_one_that_everybody_can_read(shape):
    """One title, headings in order, names for charts and scrolled tables, unique ids, links that lead somewhere."""
    check_readable(page() if shape == "real" else read_page(plan_page(SHAPES[shape]())))


def test_the_page_asks_for_nothing_and_runs_its_own_script_alone():
    """No address but anchors and an empty icon; the policy names the script by its hash and forbids the rest."""
    text = plan_page(planned())

    check_alone(text)
    assert not re.search(r"https?://", text)


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'`{{ 7*7 }}</title></style>"


def test_names_of_others_stay_text():
    """Wherever the plan takes a text from outside."""
    group = make_group(
        4, instance_type=HOSTILE, region=HOSTILE, price_source=HOSTILE, precision=HOSTILE, engine=HOSTILE
    )
    wrong = Rejection(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, "memory", HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    plan = make_plan(make_fleet(group), make_option(group), notes=(HOSTILE,), rejected=(wrong,))
    plan = replace(plan, workload={**plan.workload, "name": HOSTILE, "model": HOSTILE})
    plain = read_page(
        plan_page(
            make_plan(make_fleet(make_group(4)), make_option(make_group(4)), rejected=(replace(wrong, message=""),))
        )
    )

    text = plan_page(plan)
    found = read_page(text)

    assert len(list(found.all("script"))) == 1
    assert len(list(found.all("img"))) == len(list(plain.all("img"))) == 0
    assert "&lt;script&gt;" in text
    assert "49" not in next(found.all("h1")).text
    assert HOSTILE in found.text
    assert HOSTILE in [one.attributes.get("data-region") for one in found.all("tr")]


def test_the_page_of_a_very_large_plan_is_small_and_quick():
    """20,000 options and 10,000 rejections: the cheapest and the front are shown, and the rest is said to exist."""
    plan = planned()
    option = plan.options[0]
    many = tuple(
        replace(
            option,
            rank=at + 1,
            cost=replace(option.cost, total_usd_per_month=1000.0 + at),
            predicted=replace(option.predicted, ttft_p95_ms=Interval(500.0 - at / 100, 100.0, 900.0)),
        )
        for at in range(20_000)
    )
    slow = tuple(
        one if one.rank % 5000 else replace(one, predicted=replace(one.predicted, ttft_p95_ms=Interval(1.0, 0.5, 2.0)))
        for one in many[:-1]
    )
    rejected = tuple(replace(plan.rejected[0], message=f"{at} " + "x" * 150) for at in range(10_000))
    plan = replace(
        plan,
        options=tuple(replace(one, predicted=option.predicted) if one.rank % 5000 else one for one in slow),
        rejected=rejected,
    )

    began = time.process_time()
    text = plan_page(plan)

    assert time.process_time() - began < 3
    assert len(text.encode()) < 3_000_000
    found = read_page(text)
    assert len(table_rows(found, "options")) == MOST_OPTIONS + 1
    assert table_rows(found, "options")[-1][0] == "5000"
    assert len(table_rows(found, "rejections")) == MOST_REJECTIONS
    assert "Of 19,999 options" in found.text
    assert "10,000 rejections" in found.text


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), min_size=1, max_size=30))
def test_the_front_is_what_no_option_beats(points):
    """The marked points are those that no other one beats in both, by looking at every pair."""
    option = make_option(make_group(1))
    options = tuple(
        replace(
            option,
            rank=at + 1,
            cost=replace(option.cost, total_usd_per_month=cost),
            predicted=replace(option.predicted, ttft_p95_ms=Interval(latency, latency, latency)),
        )
        for at, (latency, cost) in enumerate(points)
    )
    found = read_page(plan_page(make_plan(make_fleet(make_group(1)), *options)))

    first_chart = [one for one in found.all("g") if "data-option" in one.attributes][: len(points)]
    marked = {points[at] for at, one in enumerate(first_chart) if "front" in one.attributes["class"].split()}
    best = {
        one for one in points if not any(other != one and other[0] <= one[0] and other[1] <= one[1] for other in points)
    }
    assert marked == best


@given(st.lists(st.floats(0.001, 1e9), min_size=1, max_size=20), st.booleans())
def test_an_axis_keeps_the_order_of_its_values(values, is_log):
    """From 0 to 100 %, with at least one mark within, and few enough to be read."""
    axis: Axis = log_around(values) if is_log else from_zero(values)
    places = [axis.at(value) for value in sorted(values)]
    marks = list(axis.marks())

    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)
    assert all(axis.low <= mark <= axis.high * (1 + 1e-9) for mark in marks)
    assert 1 <= len(marks) <= 24


def luminance(colour):
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """Ratio of two colours, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("is_dark", [False, True])
def test_texts_and_marks_stand_out(is_dark):
    """WCAG AA in both schemes: texts at least 4.5 on what they stand on, bars and lines at least 3."""
    styles = "".join((ROOT / "templates/report" / name).read_text() for name in ("base.css", "page.css"))
    screen = styles.split("@media print")[0]
    scheme = "".join(
        re.findall(r"prefers-color-scheme:dark\)\{:root\{(.*?)\}", screen)
        if is_dark
        else re.findall(r"(?:^|\n):root\{(.*?)\}", screen)
    )
    colours = dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", scheme))

    for ground in ("paper", "wash"):
        for text in ("ink", "faint", "accent"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for mark in ("bar", "good", "bad", "planned", "seen"):
            assert contrast(colours[mark], colours[ground]) >= 3, (mark, ground)
    for line in ("bar", "planned", "seen"):
        assert contrast(colours[line], colours["spare"]) >= 3, line


@pytest.fixture
def run(tmp_path):
    """Run the command on a plan's text; what it said, and the page's path."""

    def invoke(text):
        (tmp_path / "plan.json").write_text(text)
        done = CliRunner().invoke(command, [str(tmp_path / "plan.json"), "-o", str(tmp_path / "report.html")])
        return done, tmp_path / "report.html"

    return invoke


@pytest.mark.parametrize("name", ["report.md", "report.json", "report.csv"])
def test_a_page_is_not_written_to_a_file_of_another_format(tmp_path, name):
    """A name that asks for Markdown, JSON or CSV is refused before anything is read or written."""
    done = CliRunner().invoke(command, [str(tmp_path / "plan.json"), "-o", str(tmp_path / name)])
    assert done.exit_code == 2
    assert "name it .html" in done.output
    assert not (tmp_path / name).exists()


def test_the_command_writes_the_same_page_each_time(run):
    """Same plan, same bytes."""
    done, path = run(plan_to_json(planned()))
    assert done.exit_code == 0, done.exception
    first = path.read_bytes()
    run(plan_to_json(planned()))

    assert path.read_bytes() == first
    assert first.startswith(b"<!doctype html>")


def test_an_edited_plan_is_shown_with_a_warning_and_an_older_one_is_refused(run):
    """With the remedy."""
    text = plan_to_json(planned())
    done, _ = run(json.dumps(json.loads(text) | {"notes": ["edited"]}))
    assert done.exit_code == 0, done.exception
    assert "the plan was edited" in done.output

    done, _ = run(text.replace("advisor.plan/v1", "advisor.plan/v0"))
    assert isinstance(done.exception, InputError)
    assert "make the plan again" in done.exception.hint


def test_what_a_terminal_shows_of_services_by_the_token_stands_on_the_page():
    """A section that is yielded once is in text and page with the same rows."""
    plan = spot_plan()
    sections = list(further_sections(plan, verbose=True))
    text, html = plan_table(plan, width=None, verbose=True), plan_page(plan)

    assert [section.title for section in sections] == ["the same requests by the token, for comparison"]
    for section in sections:
        assert section.title in text
        assert section.title[1:] in html
        assert all(cell in text and cell in html for row in section.rows for cell in row[:2])
