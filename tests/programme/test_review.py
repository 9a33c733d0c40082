"""Review: what a bill says of applied items, with savings that turned out negative first."""

import csv
import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from advisor.audit.ledger import Question as Reading
from advisor.audit.run import Inputs, charges
from advisor.audit.traffic import read_traffic
from advisor.cli.audit import command as audit_command
from advisor.cli.programme import command as programme_command
from advisor.cli.review import command as review_command
from advisor.errors import InputError
from advisor.programme.review import Question, review_of
from advisor.programme.values import NOTHING, Combination, Item, Predicted, Programme, Saving, anomalies_of, pattern_of
from advisor.report.pages import review_page
from advisor.report.programme import programme_json, review_json, review_sections
from advisor.report.text_table import sections_text
from audit.bills import Charge, write_focus

FIRST = dt.datetime(2026, 11, 10, tzinfo=dt.UTC)
START, CHANGED = dt.date(2026, 12, 1), dt.date(2026, 12, 4)
PER_MONTH = 730 / 24


def item(name, saving, resources=(), counted_in="", week=2):
    """An item of a programme."""
    usd = None if saving is None else Saving(saving, saving, saving)
    return Item(name, name, "", f"do {name}", "see", "", 4.0, usd, counted_in, resources, week, "platform", 400.0, 1.0)


PROGRAMME = Programme(
    START, 30, 100.0, NOTHING, 8.0, 800.0, None,
    items=(
        item("ADV112", 600.0, ("nat-1",)), item("chat/spot", 9_000.0, (), "levers/chat"),
        item("chat/precision", 5_000.0, (), "levers/chat"), item("ADV115", 30.0, ("ip-1",)),
    ),
    combinations=(
        Combination("levers/chat", "chat", 31_000.0, 13_000.0, (("chat/spot", 12_000.0), ("chat/precision", 8_000.0))),
    ),
    left_out=(), notes=(),
)  # fmt: skip


def written(
    tmp_path, days=40, fleet=lambda day: 1000.0 if day < CHANGED else 400.0, nat=lambda _: 40.0, currency="USD", rate=1
):
    """A bill of a fleet and a gateway over so many days, exported within the next one; *rate*: USD for one unit."""
    charged = []
    for number in range(days + 1):
        at = FIRST + dt.timedelta(days=number)
        weekday = 1.1 if at.weekday() < 5 else 0.9
        charged += [
            Charge(
                cost=Decimal(str(fleet(at.date()) * weekday)) / Decimal(rate),
                resource="i-fleet",
                at=at,
                currency=currency,
            ),
            Charge("nat", Decimal(str(nat(at.date()))) / Decimal(rate), resource="nat-1", at=at, currency=currency),
        ]
    return write_focus(tmp_path / "bill.csv", charged)


def reviewed(path, applied, since=START, requests=(), programme=PROGRAMME, rates=None):
    """The review of a bill."""
    with charges(Inputs((str(path),), question=Reading(rates=rates or {}))) as ledger:
        traffic = read_traffic(ledger.database, requests, ledger.bill) if requests else None
        return review_of(Question(programme, since, applied, {}), ledger, traffic)


def test_the_billed_saving_is_the_difference_of_the_days(tmp_path):
    """A lever that cut the fleet from 1,000 to 400 a day saved that, in whole weeks; nothing else is counted to it."""
    review = reviewed(written(tmp_path), {"chat/spot": CHANGED})
    (group,) = review.applied

    weekly = (5 * 1.1 + 2 * 0.9) / 7
    assert group.billed.usd_per_month == pytest.approx(600 * weekly * PER_MONTH)
    assert group.billed.low_usd_per_month <= group.billed.usd_per_month <= group.billed.high_usd_per_month
    assert group.predicted == Predicted(12_000.0, 12_000.0, 12_000.0)
    assert (group.days_before, group.days_after) == (21, 14)
    assert review.trend_usd_per_month == pytest.approx(0, abs=1e-6)
    assert "No trend apart from what was applied." in sections_text(review_sections(review), None)
    assert review.anomalies == ()


def test_the_cost_of_now_is_that_after_the_last_change(tmp_path):
    """Dear days between the start of the review and the change are no part of what is paid now, in all or by resource."""
    review = reviewed(written(tmp_path), {"chat/spot": CHANGED})
    (fleet,) = review.changes
    assert review.now_from == CHANGED + dt.timedelta(days=2)
    assert (fleet.resource, review.before) == (
        "i-fleet",
        (FIRST.date() + dt.timedelta(days=3), CHANGED - dt.timedelta(days=1)),
    )
    assert fleet.before_usd_per_month - fleet.after_usd_per_month == pytest.approx(
        review.applied[0].billed.usd_per_month
    )
    assert review.usd_per_month < (400.0 * 1.1 + 40.0) * PER_MONTH
    assert f"from {review.now_from} on" in sections_text(review_sections(review), None)


def test_machines_that_were_exchanged_are_what_changed_and_weekends_are_not(tmp_path):
    """Of a fleet that other machines take the place of, old and new ones changed; a weekly rhythm is no change."""
    charged = [
        Charge(
            cost=Decimal(900 if at.weekday() < 5 else 100) if name == "i-steady" else Decimal(usd),
            resource=name,
            at=at,
        )
        for at in (FIRST + dt.timedelta(days=number) for number in range(39))
        for name, usd in (("i-steady", 0), ("i-old" if at.date() < CHANGED else "i-new", 500 if at.date() < CHANGED else 200))
    ]  # fmt: skip
    review = reviewed(write_focus(tmp_path / "bill.csv", charged), {"chat/spot": CHANGED})
    text = sections_text(review_sections(review), None)

    assert [(change.resource, round(change.before_usd_per_month / PER_MONTH), round(change.after_usd_per_month / PER_MONTH))
            for change in review.changes] == [("i-old", 500, 0), ("i-new", 0, 200)]  # fmt: skip
    assert f"before: mean of {review.before[0]} to {review.before[1]}; now: of {review.now_from} to" in text


def test_levers_together_were_predicted_as_one_plan(tmp_path):
    """All levers of a workload have the combination's prediction, and the bill judges them together."""
    (group,) = reviewed(written(tmp_path), {"chat/spot": CHANGED, "chat/precision": CHANGED}).applied

    assert group.predicted.usd_per_month == 18_000.0
    assert group.items == ("chat/precision", "chat/spot")


@pytest.mark.parametrize(
    ("applied", "alone_usd", "point", "low", "high"),
    [
        (("chat/spot",), 12_000.0, 12_000.0, 12_000.0, 12_000.0),
        (("chat/spot",), 41_000.0, 18_000.0, 18_000.0, 18_000.0),
        (("chat/spot", "chat/precision"), 12_000.0, None, 12_000.0, 18_000.0),
        (("chat/spot", "chat/precision"), 41_000.0, 18_000.0, 18_000.0, 18_000.0),
    ],
)
def test_no_part_of_a_combination_was_predicted_to_save_more_than_all_of_it(
    tmp_path, applied, alone_usd, point, low, high
):  # fmt: skip
    """A lever has its own saving, several at least that of the best of them, and none more than the combination."""
    alone = (("chat/spot", alone_usd), ("chat/precision", 8_000.0), ("chat/region", 1_000.0))
    programme = replace(PROGRAMME, combinations=(replace(PROGRAMME.combinations[0], alone_usd_per_month=alone),))
    (group,) = reviewed(written(tmp_path), dict.fromkeys(applied, CHANGED), programme=programme).applied

    assert group.predicted == Predicted(point, low, high)


@pytest.mark.parametrize(
    ("without", "point", "low", "high"),
    [
        ({"chat/region": 14_000.0}, 14_000.0, 14_000.0, 14_000.0),
        ({"chat/region": -500.0}, -500.0, -500.0, -500.0),
        ({"chat/spot": 11_000.0}, None, -2_000.0, 18_000.0),
    ],
)
def test_all_but_one_were_predicted_to_save_what_the_combination_does_without_it(tmp_path, without, point, low, high):
    """Three levers save 18,000; two of them what is left without the third, which the programme holds."""
    alone = (("chat/spot", -2_000.0), ("chat/precision", -8_000.0), ("chat/region", 1_000.0))
    levers = replace(PROGRAMME.combinations[0], alone_usd_per_month=alone, without_usd_per_month=tuple(without.items()))
    programme = replace(PROGRAMME, combinations=(levers,))
    applied = dict.fromkeys(("chat/spot", "chat/precision"), CHANGED)
    (group,) = reviewed(written(tmp_path), applied, programme=programme).applied

    assert group.predicted == Predicted(point, low, high)


def test_levers_whose_joint_plan_is_not_priced_have_an_interval_and_no_point(tmp_path):
    """Two of four levers lack one of the others each: at most what all save without that, and no number within."""
    alone = tuple((f"chat/{name}", 1_000.0) for name in ("spot", "precision", "region", "cloud"))
    levers = replace(
        PROGRAMME.combinations[0],
        alone_usd_per_month=alone,
        without_usd_per_month=(("chat/region", 15_000.0), ("chat/cloud", 9_000.0), ("chat/spot", 0.0)),
    )
    programme = replace(PROGRAMME, combinations=(levers,))
    applied = {"chat/spot": CHANGED, "chat/precision": CHANGED, "ADV112": CHANGED}
    review = reviewed(written(tmp_path), applied, programme=programme)
    text = sections_text(review_sections(review), None)

    assert {group.id: group.predicted for group in review.applied}["serving"] == Predicted(None, 1_000.0, 9_000.0)
    assert review.predicted == Predicted(None, 1_600.0, 9_600.0)
    assert "a month by the bill, $1,600.00 to $9,600.00 predicted" in " ".join(text.split())
    assert json.loads(review_json(review))["predicted"]["usd_per_month"] is None
    assert "$1,600.00 to $9,600.00" in review_page(review)


def test_negative_savings_are_said_first(tmp_path):
    """An item after which the bill rose leads the report, with what to do."""
    path = written(tmp_path, nat=lambda day: 40.0 if day < CHANGED else 55.0)
    review = reviewed(path, {"chat/spot": CHANGED, "ADV112": CHANGED})
    text = sections_text(review_sections(review), None)

    assert review.applied[0].id == "ADV112"
    assert review.applied[0].billed.usd_per_month == pytest.approx(-15 * PER_MONTH)
    assert text.startswith("Costs more than before: ADV112, $456.25 a month; saved $")
    assert review.next_steps[0].startswith("look at ADV112")


def test_more_requests_hide_a_saving_that_was_served(tmp_path):
    """With twice the requests at the same cost the bill saved nothing, and a request costs half."""
    log = tmp_path / "requests.csv"
    days = [FIRST + dt.timedelta(days=number) for number in range(40)]
    rows = [f"{day:%Y-%m-%d}T10:00:00Z,chat,{100 if day.date() <= CHANGED else 200}" for day in days]
    log.write_text("\n".join(["timestamp,endpoint,requests", *rows]) + "\n")

    review = reviewed(written(tmp_path, fleet=lambda _: 1000.0), {"chat/spot": CHANGED}, requests=(str(log),))

    assert review.applied[0].billed.usd_per_month == pytest.approx(0)
    assert review.applied[0].served.usd_per_month == pytest.approx((5 * 1.1 + 2 * 0.9) / 7 * 1000 * PER_MONTH)


def test_an_unusual_day_is_named(tmp_path):
    """A day of three times its cost is an anomaly, the applied change is none."""
    odd = dt.date(2026, 12, 15)
    path = written(tmp_path, fleet=lambda day: 1200.0 if day == odd else 1000.0 if day < CHANGED else 400.0)

    assert [anomaly.day for anomaly in reviewed(path, {"chat/spot": CHANGED}).anomalies] == [odd]


def test_too_few_days_are_a_reason(tmp_path):
    """An item without a week after it is not judged; it is said until when the bill reaches."""
    review = reviewed(written(tmp_path, days=26), {"chat/spot": CHANGED})

    assert review.applied[0].billed is None
    assert "no week since 2026-12-04 yet: it ends on 2026-12-05" in review.applied[0].why_unknown
    assert "no saving can be judged yet" in sections_text(review_sections(review), None)


@pytest.mark.parametrize(
    ("applied", "since", "message"),
    [
        ({"chat/spot": CHANGED}, dt.date(2026, 11, 1), "no plan covers November 2026"),
        ({"chat/spt": CHANGED}, START, "has no item chat/spt"),
        ({"chat/spot": dt.date(2026, 11, 20)}, START, "before the programme"),
        ({}, START, "nothing of the programme was applied"),
        ({"chat/spot": CHANGED}, dt.date(2027, 2, 1), "the bill ends on 2026-12-19"),
    ],
    ids=["month without a plan", "unknown item", "before it", "nothing applied", "old bill"],
)
def test_what_cannot_be_reviewed_has_a_remedy(tmp_path, applied, since, message):
    """Each is an error that says what to give."""
    with pytest.raises(InputError, match=message) as refused:
        reviewed(written(tmp_path), applied, since)

    assert refused.value.hint


def test_bill_in_another_currency_takes_a_rate(tmp_path):
    """Without one it is refused with the option that states it; with it the review is that of the bill in USD, and says so."""
    applied = {"ADV112": CHANGED}
    usd = reviewed(written(tmp_path), applied)
    path = written(tmp_path, currency="EUR", rate="1.25")

    with pytest.raises(InputError, match="the bill is in EUR, and the programme in USD") as refused:
        reviewed(path, applied)
    assert "--rate EUR=1.08" in refused.value.hint

    review = reviewed(path, applied, rates={"EUR": Decimal("1.25")})
    told, *notes = review.notes
    assert told == "amounts in EUR are converted: 1 EUR = 1.25 USD"
    assert _rounded(replace(review, notes=tuple(notes))) == _rounded(usd)


def _rounded(review):
    """A review as JSON, to a millionth: sums of floats differ in their last digit."""
    return json.loads(review_json(review), parse_float=lambda number: round(float(number), 6))


def test_charges_of_a_month_are_spread_over_its_days(tmp_path):
    """A charge of many days is no anomaly of its first."""
    path = written(tmp_path, nat=lambda _: 0.0)
    header, *rows = path.read_text().splitlines()
    names = header.split(",")
    fee = dict(zip(names, next(csv.reader([rows[1]])), strict=True))
    fee |= {"BilledCost": "4000", "EffectiveCost": "4000", "ChargePeriodEnd": "2026-12-20T00:00:00Z"}
    with path.open("a", newline="") as stream:
        csv.DictWriter(stream, names).writerow(fee)

    assert reviewed(path, {"chat/spot": CHANGED}).anomalies == ()


def test_the_same_input_gives_the_same_bytes(run_advisor, tmp_path):
    """Reviews of one bill are equal, byte by byte."""
    (tmp_path / "programme.json").write_text(programme_json(PROGRAMME))
    path = written(tmp_path)

    done = run_advisor(
        "review", path, "--programme", tmp_path / "programme.json", "--since", START, "--applied",
        f"chat/spot={CHANGED}", "--format", "json",
    )  # fmt: skip

    assert done.stdout == review_json(reviewed(path, {"chat/spot": CHANGED}))


@given(st.integers(1, 5), st.floats(0, 5), st.lists(st.floats(0.5, 1.5), min_size=7, max_size=7), st.floats(20, 300))
def test_weekdays_levels_and_a_trend_leave_no_residual(week, slope, weekdays, level):
    """A series of trend, weekdays and another level from a known week on is expected to a hundredth."""
    days = [dt.date(2026, 11, 2) + dt.timedelta(days=number) for number in range(42)]
    base = np.array([200 + slope * number if number < 7 * week else level + slope * number for number in range(42)])
    costs = base * np.array(weekdays * 6)

    pattern = pattern_of(days, costs, [days[7 * week]])

    assert pattern.expected == pytest.approx(costs, rel=0.02)
    assert (pattern.per_day > 0) == (slope > 1e-9) or slope < 1e-6


def test_few_days_have_no_anomaly():
    """Below two weeks a day cannot be told from its weekday."""
    assert anomalies_of({dt.date(2026, 12, day): 1.0 for day in range(1, 14)}) is None


def test_a_fresh_audit_becomes_a_programme_and_a_review(tmp_path):
    """Findings of the command itself are items, and the bill of the month after judges the one that was applied."""
    bill, runner = written(tmp_path, nat=lambda day: 90.0 if day < CHANGED else 10.0), CliRunner()
    audit, programme = str(tmp_path / "audit.json"), str(tmp_path / "programme.json")

    def run(command, *words):
        answer = runner.invoke(command, [*map(str, words), "--format", "json"])
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout) if "-o" not in words else None

    run(audit_command, bill, "-o", audit)
    run(programme_command, "--audit", audit, "--start", START, "--hourly-rate", 50, "-o", programme)
    review = run(review_command, bill, "--programme", programme, "--since", START, "--applied", f"ADV112={CHANGED}")

    (group,) = review["applied"]
    assert (group["id"], group["billed"]["usd_per_month"]) == ("ADV112", round(80 * PER_MONTH, 2))


def test_a_hole_in_the_export_is_no_saving(tmp_path):
    """Nothing is saved; five days that the export lacks are in no mean, and are said."""
    hole = [dt.date(2026, 12, day) for day in range(8, 13)]
    charged = [
        Charge(cost=Decimal(100), resource="i-fleet", at=FIRST + dt.timedelta(days=number))
        for number in range(41)
        if (FIRST + dt.timedelta(days=number)).date() not in hole
    ]
    path = write_focus(tmp_path / "bill.csv", charged)

    review = reviewed(path, {"chat/spot": CHANGED})

    assert review.applied[0].billed.usd_per_month == pytest.approx(0, abs=0.01)
    assert review.usd_per_month == pytest.approx(100 * PER_MONTH)
    assert any("5 days without any charge (2026-12-08 to 2026-12-12) in no mean" in note for note in review.notes)


def test_an_unused_commitment_is_judged_by_its_name(tmp_path):
    """The rows of what it did not cover name no resource, as Azure writes them: the finding names the commitment."""
    charged = [
        replace(Charge(cost=Decimal(0), resource="", kind="unused"), at=at, effective=Decimal(48 if early else 12))
        for at, early in (
            (FIRST + dt.timedelta(days=number), (FIRST + dt.timedelta(days=number)).date() < CHANGED)
            for number in range(40)
        )
    ]
    path = write_focus(tmp_path / "bill.csv", charged)
    with charges(Inputs((str(path),))) as ledger:
        (commitment,) = ledger.sums("commitment", "unused = 'commitment'")
    programme = replace(PROGRAMME, items=(item("ADV108", 1460.0, (commitment,)),), combinations=())

    review = reviewed(path, {"ADV108": CHANGED}, programme=programme)

    assert review.applied[0].billed.usd_per_month == pytest.approx(36 * PER_MONTH)


def test_a_slope_across_a_hole_is_of_its_days():
    """A bill that grows by a unit a day grows by a unit a day, with or without ten of them."""
    days = [FIRST.date() + dt.timedelta(days=number) for number in range(40) if not 12 <= number < 22]
    costs = np.array([100.0 + (day - FIRST.date()).days for day in days])

    assert pattern_of(days, costs).per_day == pytest.approx(1.0, rel=0.05)


def test_notes_of_bill_and_logs_are_in_the_review(tmp_path):
    """What reading them found out is told: files that are no bill, logs that do not reach."""
    path = written(tmp_path)
    (tmp_path / "more").mkdir()
    path.rename(tmp_path / "more" / "bill.csv")
    (tmp_path / "more" / "older.zip").write_text("PK")
    log = tmp_path / "log.csv"
    log.write_text("timestamp,model,input_tokens,output_tokens\n2026-12-10T00:00:00Z,chat,1,1\n")

    review = reviewed(tmp_path / "more", {"chat/spot": CHANGED}, requests=(str(log),))
    text = sections_text(review_sections(review), 200)

    assert any("1 file not read for the bill (older.zip)" in note for note in review.notes)
    assert any("saving at the requests of now is unknown" in note for note in review.notes)
    assert f"- {tmp_path / 'more' / 'bill.csv'}: FOCUS" in text
