"""Amounts that a bill makes easy to get wrong: parts without their whole, unknown periods, duplicates, cents."""

from dataclasses import replace
from decimal import Decimal

import pytest

from advisor.audit import Basis, in_cents, percent
from advisor.audit.database import opened
from advisor.report.bill_documents import finding_entry
from advisor.report.bill_table import audit_markdown, audit_table
from audit.bills import HOUR, START, Charge, cur_row, focus_row, hours, write_csv, write_focus


def finding_of(found, wanted):
    """A finding by its id; None: there is none."""
    return next((finding for finding in found.findings if finding.id == wanted), None)


def pods(charge):
    """Two rows that split the cost of an instance between pods, as FOCUS has them."""
    half = replace(charge, cost=charge.cost / 2, resource="pod")
    service = {"ServiceName": "Amazon Elastic Kubernetes Service", "SkuMeter": "USE1-EKS-EC2-GPU-Hours"}
    return [{**focus_row(half), **service, "ResourceId": f"pod-{number}"} for number in range(2)]


def test_pods_count_in_hours_that_lack_their_instance(tmp_path, audit):
    """An instance of the same hour is split; the pods of an hour whose instances cost less are counted, and said."""
    charges = [Charge(cost=Decimal(8)), Charge(cost=Decimal(3), at=START + HOUR)]
    split = [*pods(charges[0]), *pods(Charge(cost=Decimal(20), at=START + HOUR))]

    found = audit(write_csv(tmp_path / "bill.csv", [*map(focus_row, charges), *split]))

    assert found.bill.cost == found.kinds["compute"] == 8 + 3 + 20
    assert "2 rows (8.00) split instances between pods: the instances are counted" in found.notes
    assert "2 rows (20.00) split instances that are not in the bill: these rows are counted" in found.notes


def test_pods_of_an_instance_that_is_not_in_the_report_are_counted(tmp_path, audit):
    """A CUR names the instance of a pod: another one in the report does not stand for it."""
    pod = {**cur_row(Charge(cost=Decimal(4)), 1), "line_item_usage_type": "USE1-EKS-EC2-vCPU-Hours",
           "split_line_item_parent_resource_id": "i-0gone", "line_item_product_code": "AmazonEKS"}  # fmt: skip

    assert audit(write_csv(tmp_path / "cur.csv", [cur_row(Charge(cost=Decimal(8)), 0), pod])).bill.cost == 12


@pytest.mark.parametrize("lacking", ["ChargePeriodStart", "ChargePeriodEnd"])
def test_without_a_period_nothing_is_said_of_a_month(tmp_path, audit, lacking):
    """Amounts a month are unknown, not those of the bill."""
    rows = [{**focus_row(charge), lacking: ""} for charge in hours(Charge("nat", Decimal(9)), 3)]

    found = audit(write_csv(tmp_path / "bill.csv", rows))
    finding = finding_of(found, "ADV112")
    entry = finding_entry(finding, is_in_usd=True)

    assert [entry[name] for name in ("usd_per_month", "low", "high", "per_month")] == [None] * 4
    assert finding.resources == [("i-0aaa", 27)]
    assert "3 rows without a begin or an end that can be read: not in the period" in found.notes
    assert any("every amount a month" in note for note in found.notes)
    assert "a month is unknown" in audit_table(found, None, whole=True)


@pytest.mark.parametrize(
    ("charge", "cost", "words"),
    [
        (Charge(kind="tax", cost=Decimal("12.5"), resource=""), "effective", "(12.50)"),
        (Charge(kind="credit", cost=Decimal(-7), resource=""), "effective", "(-7.00)"),
        (Charge(kind="purchase", cost=Decimal(4), effective=Decimal(0)), "effective", "(0.00, billed cost 4.00)"),
        (Charge(kind="covered", cost=Decimal(0), effective=Decimal(3)), "billed", "(0.00, effective cost 3.00)"),
    ],
)
def test_every_row_that_came_twice_is_said(tmp_path, audit, charge, cost, words):
    """Rows without a resource and rows whose shown cost is nothing, with the amount that is shown first."""
    path = write_focus(tmp_path / "bill.csv", [*hours(Charge(), 3), charge, charge])

    found = audit(path, question={"basis": Basis(cost)})

    assert any(f"1 row {words} the same as another" in note for note in found.notes), found.notes


@pytest.mark.parametrize("is_alone", [False, True])
def test_hosts_without_a_commitment_price_are_unknown(is_alone, tmp_path, audit):
    """A finding lists the hosts that its amount is of; of the others, and where there is none, it is told as unknown."""
    rows = [] if is_alone else [focus_row(charge) for charge in hours(Charge(), 24 * 8)]
    rows += [
        {**focus_row(charge), "SkuMeter": "USE1-BoxUsage:p4d.24xlarge"}
        for charge in hours(Charge(resource="i-0ccc", cost=Decimal(22)), 24 * 8)
    ]

    audited = audit(write_csv(tmp_path / "bill.csv", rows))

    share = "100%" if is_alone else "95.65%"
    unknown = f"what it saves is unknown for p4d.24xlarge in us-east-1 ($4,224.00, {share} of the bill)"
    assert any("ADV107: " in note for note in audited.notes) is is_alone
    if is_alone:
        (told,) = (note for note in audited.notes if note.startswith("ADV107: steady use on demand: "))
        assert not [finding for finding in audited.findings if finding.id == "ADV107"]
    else:
        finding = finding_of(audited, "ADV107")
        assert finding.resources == [("i-0aaa", 24 * 8)]
        told = finding.evidence
    assert f"{unknown}: the catalog has no commitment price of it" in told


def test_what_may_move_to_spot_is_no_reason_to_commit(tmp_path, audit):
    """A steady machine of development is in the finding on spot alone, and a commitment is for the others."""
    charges = [*hours(Charge(), 24 * 8), *hours(Charge(resource="i-0dev", tags={"env": "dev"}), 24 * 8)]
    rows = [{**focus_row(charge), "SkuMeter": "USE1-BoxUsage:g5.12xlarge"} for charge in charges]

    audited = audit(write_csv(tmp_path / "bill.csv", rows))

    assert finding_of(audited, "ADV106").resources == [("i-0dev", 24 * 8)]
    assert finding_of(audited, "ADV107").resources == [("i-0aaa", 24 * 8)]


def test_an_unused_box_is_an_unused_reservation(tmp_path, audit):
    """The meter says so where an export leaves the status of the reservation empty."""
    row = {**focus_row(Charge(cost=Decimal(98))), "SkuMeter": "USE1-UnusedBox:p5.48xlarge"}

    found = audit(write_csv(tmp_path / "bill.csv", [row, focus_row(Charge())]))

    assert found.split.parts["unused_commitment"] == 98
    assert finding_of(found, "ADV110").resources == [("i-0aaa", 98)]


def test_an_amount_has_one_rounding(tmp_path, audit):
    """Half a cent in two kinds: compute is the same in sentence, kinds and parts."""
    charges = [Charge(cost=Decimal("10.005")), Charge("logs", cost=Decimal("10.005"), resource="log")]

    shown = audit_table(audit(write_focus(tmp_path / "bill.csv", charges)), None, whole=True)

    assert "$20.01" in shown
    assert shown.count("$10.01") >= 4
    assert "Compute $10.00" not in shown
    assert in_cents({"a": Decimal("10.005")}, Decimal("10.01")) == {"a": Decimal("10.01")}
    assert percent(Decimal("-0.01"), Decimal(100)) == "0.0%"


def test_bounds_and_blanks_can_be_told_apart(tmp_path, audit):
    """A page says amount and bounds as such; a value that ends with a blank is in quotes."""
    charges = [Charge("nat", Decimal(9), tags={"team": "Search "}), Charge("nat", Decimal(9), tags={"team": "search"})]

    page = audit_markdown(audit(write_focus(tmp_path / "bill.csv", charges)))

    assert "$6,570.00 ($0.00 to $13,140.00) |" in page
    assert "(ADV112, $0.00 to $13,140.00)" in page
    assert '| "Search " |' in page
    assert "--finding ADV112" in page


@pytest.mark.parametrize("count", [0, 3, 10_001])
def test_few_and_many_rows_are_loaded_alike(count):
    """As parameters or by Arrow: every row once, with quotes, blanks and missing values as they are."""
    rows = [(number, f'it\'s "{number}"; ', None) for number in range(count)]

    with opened() as database:
        database.load("loaded", {"number": "BIGINT", "words": "VARCHAR", "lacking": "VARCHAR"}, rows)
        assert database.rows("SELECT * FROM loaded ORDER BY number") == rows
