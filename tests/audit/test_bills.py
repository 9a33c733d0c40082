"""Bills of every format: parts add up to the whole, whatever is in them."""

import csv
import gzip
import json
import random
import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.audit import KINDS, PARTS, Basis, in_cents
from advisor.audit.run import Inputs, audited
from advisor.errors import InputError
from advisor.processes import Spread
from audit.bills import (
    FORMS,
    HOUR,
    KIND_OF,
    START,
    Charge,
    azure_row,
    cur_row,
    focus_row,
    hours,
    write_bill,
    write_csv,
    write_focus,
)

MONEY = st.decimals("-1000", "100000", places=10, allow_nan=False)
CHARGES = st.builds(
    Charge,
    what=st.sampled_from(sorted(KIND_OF)),
    cost=MONEY,
    resource=st.sampled_from(["i-0aaa", "i-0bbb", 'pod,"quoted"', "vol-1"]),
    kind=st.sampled_from(["usage", "usage", "tax", "credit", "refund"]),
    at=st.integers(0, 24 * 40).map(lambda hour: START + hour * HOUR),
    tags=st.dictionaries(st.sampled_from(["team", "Team", "env", "naïve key"]), st.sampled_from(["a", "b", 'ü "x"'])),
)


def assert_reconciles(audit):
    """Everything that the bill is broken into sums up to it, exactly."""
    cost = audit.bill.cost
    assert sum(audit.kinds.values()) == cost
    assert tuple(audit.kinds) == KINDS
    assert sum(audit.split.parts.values()) == audit.kinds["compute"]
    assert tuple(audit.split.parts) == PARTS
    for column in ("provider", "region", "purchase"):
        assert sum(audit.by[column].values()) == cost, column
    assert sum(audit.by["family"].values()) == audit.kinds["compute"]
    for table in audit.tags:
        assert sum(table.values.values()) + table.untagged == cost, table.key


@pytest.mark.sampled(2)
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(charges=st.lists(CHARGES, min_size=1, max_size=12))
def test_parts_sum_up_to_the_bill_in_every_format(form, charges):
    """Any charges, negative ones too, in any format: the bill is their sum, and so are its parts."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_bill(Path(folder), form, charges)
        with audited(Inputs((str(path),))) as found:
            assert_reconciles(found.audit)
            assert found.audit.bill.cost == sum(charge.cost for charge in charges)
            assert found.audit.bill.rows == len(charges)
            by_kind = {kind: Decimal(0) for kind in KINDS}
            for charge in charges:
                by_kind["other" if charge.kind == "tax" else KIND_OF[charge.what]] += charge.cost
            assert found.audit.kinds == by_kind


@pytest.mark.parametrize("form", ["focus", "cur", "azure-amortised"])
def test_an_unused_commitment_is_a_part_of_its_own(form, tmp_path, audit):
    """Covered use counts at its amortised cost, the unused part by itself, the purchase not at all."""
    charges = [
        Charge(cost=Decimal(0), effective=Decimal("2.5"), kind="covered"),
        Charge(cost=Decimal(0), effective=Decimal("1.25"), kind="unused", resource="sp-1"),
        Charge(what="disk", cost=Decimal("0.1")),
    ]
    if form != "azure-amortised":
        charges.append(Charge(cost=Decimal(4), effective=Decimal(0), kind="purchase", resource="sp-1"))

    found = audit(write_bill(tmp_path, form, charges))

    assert_reconciles(found)
    assert found.bill.effective_cost == Decimal("3.85")
    assert found.split.parts["unused_commitment"] == Decimal("1.25")
    assert found.split.parts["unattributed"] == Decimal("2.5")
    assert [finding.id for finding in found.findings if finding.id == "ADV108"] == ["ADV108"]
    if form == "azure-amortised":
        assert found.bill.billed_cost is None
    else:
        assert found.bill.billed_cost == Decimal("4.1")


def test_billed_cost_is_split_where_it_is_asked_for(tmp_path, audit):
    """The same bill by its invoice: the purchase counts, covered use does not."""
    charges = [
        Charge(cost=Decimal(0), effective=Decimal("2.5"), kind="covered"),
        Charge(cost=Decimal(4), effective=Decimal(0), kind="purchase", resource="sp-1"),
    ]

    found = audit(write_bill(tmp_path, "cur", charges), question={"basis": Basis.BILLED})

    assert_reconciles(found)
    assert found.bill.cost == 4


def test_an_invoiced_fee_is_unused_as_far_as_nothing_used_it(tmp_path, audit):
    """A recurring fee of 10, of which 1.5 covered nothing: the invoice has both parts."""
    charges = [
        Charge(cost=Decimal(10), effective=Decimal("1.5"), kind="unused", resource="sp-1"),
        Charge(cost=Decimal(7), effective=Decimal(0), kind="unused", resource="sp-2"),
    ]
    path = write_bill(tmp_path, "cur", charges)

    found = audit(path, question={"basis": Basis.BILLED})

    assert_reconciles(found)
    assert (found.bill.billed_cost, found.bill.effective_cost) == (17, Decimal("1.5"))
    assert found.split.parts["unused_commitment"] == Decimal("1.5")
    assert audit(path).split.parts["unused_commitment"] == Decimal("1.5")


@pytest.mark.parametrize("covers", [True, False])
def test_a_fee_that_does_not_say_what_went_unused_is_not_counted_beside_its_usage(covers, tmp_path, audit):
    """CUR 2.0 lets users leave columns out: the usage that a fee covers counts once, and nothing is called unused."""
    charges = [Charge(cost=Decimal("2.5"), effective=Decimal("2.5"), kind="unused", resource="sp-1")]
    if covers:
        charges.append(Charge(cost=Decimal(3), effective=Decimal("2.5"), kind="covered"))
        charges.append(Charge(cost=Decimal(-3), effective=Decimal(0), kind="negation"))
    rows = [cur_row(charge, number) for number, charge in enumerate(charges)]
    for row in rows:
        del row["savings_plan_total_commitment_to_date"], row["savings_plan_used_commitment"]

    audited = audit(write_csv(tmp_path / "cur.csv", rows))

    assert_reconciles(audited)
    assert (audited.bill.billed_cost, audited.bill.effective_cost) == (
        Decimal("2.5"),
        Decimal("2.5") if covers else None,
    )
    assert audited.split.parts["unused_commitment"] == 0
    assert any("what went unused is not known" in note for note in audited.notes)


def test_a_row_that_ends_before_it_begins_is_not_in_the_period(tmp_path, audit):
    """The period of a bill does not run backwards, and the row is named."""
    good, bad = (focus_row(charge) for charge in hours(Charge(), 2))
    bad["ChargePeriodEnd"] = "2020-01-01T00:00:00Z"

    audited = audit(write_csv(tmp_path / "bill.csv", [good, bad]))
    alone = audit(write_csv(tmp_path / "alone.csv", [bad]))

    assert audited.bill.hours == 1
    assert alone.bill.hours == 0
    assert all("1 row with an end before the begin: not in the period" in each.notes for each in (audited, alone))


def test_floats_of_parquet_are_the_decimals_that_they_show(tmp_path, audit):
    """Exports of AWS hold doubles: 0.1 is a tenth, three times 0.1 are 0.3."""
    table = pa.Table.from_pylist([focus_row(charge) for charge in hours(Charge(), 3)])
    cost = pa.array([0.1, 0.1, 0.1], pa.float64())
    table = table.set_column(0, "BilledCost", cost).set_column(1, "EffectiveCost", cost)
    pq.write_table(table, tmp_path / "bill.parquet")

    assert audit(tmp_path / "bill.parquet").bill.cost == Decimal("0.3")


def test_charges_without_a_time_and_counts_of_requests_are_said(tmp_path, audit):
    """Dates that nobody can read, and LiteLLM's export, which counts requests."""
    row = {**focus_row(Charge("tokens")), "ChargePeriodStart": "32.13.2026", "ConsumedUnit": "Requests"}

    found = audit(write_csv(tmp_path / "bill.csv", [row]))

    assert found.bill.start is None
    assert any("1 row without a begin or an end" in note for note in found.notes)
    assert any("in requests here, not in tokens" in note for note in found.notes)


def test_a_bill_without_effective_cost_is_shown_as_billed(tmp_path, audit):
    """Google states no amortised cost: billed cost is shown, and said."""
    found = audit(write_bill(tmp_path, "gcp-json", [Charge()]))

    assert found.bill.basis is Basis.BILLED
    assert found.bill.effective_cost is None
    assert any("states no effective cost" in note for note in found.notes)


def test_an_actual_export_of_azure_with_reservations_states_no_effective_cost(tmp_path, audit):
    """Covered use that costs nothing tells an actual export from an amortised one."""
    charges = [Charge(cost=Decimal(0), kind="covered"), Charge(cost=Decimal(9), kind="purchase")]

    found = audit(write_bill(tmp_path, "azure-actual", charges))

    assert (found.bill.billed_cost, found.bill.effective_cost) == (Decimal(9), None)


def test_unknown_columns_change_no_sum(tmp_path, audit):
    """Columns that nobody knows, before, between and behind, also some that look like money."""
    charges = hours(Charge(cost=Decimal("0.1234567891")), 5)
    plain = audit(write_focus(tmp_path / "a.csv", charges))
    rows = [{"Cost": "99", "x_Billed": "7", **focus_row(charge), "BilledCostInUsd": "1", "": "?"} for charge in charges]

    other = audit(write_csv(tmp_path / "b.csv", rows))

    assert other.bill.cost == plain.bill.cost
    assert other.kinds == plain.kinds


@pytest.mark.parametrize("missing", ["BillingCurrency", "ServiceName", "ChargePeriodStart"])
def test_a_missing_mandatory_column_is_named_with_the_nearest(tmp_path, audit, missing):
    """The message names the column and the one that looks like it."""
    row = {(f"my{name}" if name == missing else name): value for name, value in focus_row(Charge()).items()}

    with pytest.raises(InputError) as caught:
        audit(write_csv(tmp_path / "bill.csv", [row]))

    assert f"{missing} (nearest: my{missing})" in caught.value.message


def test_a_file_that_is_no_bill_is_named_as_such(tmp_path, audit):
    """No format fits: the columns are shown."""
    with pytest.raises(InputError, match="no billing export that is known here; its columns: a, b"):
        audit(write_csv(tmp_path / "bill.csv", [{"a": "1", "b": "2"}]))


def test_several_formats_that_fit_have_to_be_named(tmp_path, audit):
    """A table with the columns of two exports is read as the one that is stated."""
    row = {**focus_row(Charge(cost=Decimal(3))), **cur_row(Charge(cost=Decimal(5)), 0)}
    path = write_csv(tmp_path / "bill.csv", [row])

    with pytest.raises(InputError, match="several formats: FOCUS, AWS CUR"):
        audit(path)

    assert audit(path, question={"bill_format": "cur"}).bill.cost == 5
    assert audit(path, question={"bill_format": "focus"}).bill.cost == 3


def test_mixed_currencies_are_refused_or_converted(tmp_path, audit):
    """Without a rate both sums are named; with one the bill is in USD, exactly."""
    charges = [Charge(cost=Decimal("10.01")), Charge(cost=Decimal("20.02"), currency="EUR", what="disk")]
    path = write_focus(tmp_path / "bill.csv", charges)

    with pytest.raises(InputError, match=r"several currencies: EUR 20.02, USD 10.01") as caught:
        audit(path)
    assert "--rate EUR=" in caught.value.hint

    found = audit(path, question={"rates": {"EUR": Decimal("1.08")}})
    assert_reconciles(found)
    assert found.bill.currency == "USD"
    assert found.bill.cost == Decimal("10.01") + Decimal("20.02") * Decimal("1.08")


def test_a_currency_that_only_the_invoice_has_is_seen(tmp_path, audit):
    """A purchase in euros whose effective cost is nothing is no dollar."""
    bought = Charge(cost=Decimal(1000), effective=Decimal(0), kind="purchase", currency="EUR")

    with pytest.raises(InputError, match=r"several currencies: EUR 1,000.00, USD 1.00"):
        audit(write_focus(tmp_path / "bill.csv", [Charge(), bought]))


def test_a_small_rate_is_exact(tmp_path, audit):
    """A currency of which one unit is a small part of a cent."""
    path = write_focus(tmp_path / "bill.csv", [Charge(cost=Decimal(10**9), currency="IDR")])

    rate = Decimal("0.00006134567891")
    assert audit(path, question={"rates": {"IDR": rate}}).bill.cost == 10**9 * rate


def test_spaces_around_a_currency_are_none_of_it(tmp_path, audit):
    """``usd`` and `` USD`` are one currency."""
    charges = [Charge(currency="usd"), Charge(currency=" USD")]

    assert audit(write_focus(tmp_path / "bill.csv", charges)).bill.cost == 2


def test_pods_without_their_instances_are_counted(tmp_path, audit):
    """A bill of nothing but the rows that split instances is what they cost."""
    rows = [{**focus_row(Charge(cost=Decimal(4))), "SkuMeter": "USE1-EKS-EC2-vCPU-Hours"}]

    assert audit(write_csv(tmp_path / "bill.csv", rows)).bill.cost == 4


def test_empty_texts_are_nothing(tmp_path, audit):
    """JSON and Parquet may hold an empty text where a CSV has an empty cell."""
    row = {**focus_row(Charge(cost=Decimal(4))), "BilledCost": "", "CommitmentDiscountId": "", "PricingCategory": ""}
    path = tmp_path / "bill.jsonl"
    path.write_text(json.dumps(row) + "\n")

    found = audit(path)

    assert (found.bill.billed_cost, found.bill.effective_cost) == (None, 4)
    assert list(found.by["purchase"]) == ["other"]


def test_a_fee_for_years_does_not_stretch_the_bill(tmp_path, audit):
    """The period is that of usage: amounts a month are told from it."""
    bought = {**focus_row(Charge(kind="purchase", effective=Decimal(0))), "ChargePeriodEnd": "2029-10-01T00:00:00Z"}
    rows = [*(focus_row(charge) for charge in hours(Charge("nat", Decimal(1)), 73)), bought]

    found = audit(write_csv(tmp_path / "bill.csv", rows))

    assert found.bill.hours == 73
    assert finding_of(found, "ADV112").high == 730


def finding_of(found, wanted):
    """A finding by its id; None: there is none."""
    return next((finding for finding in found.findings if finding.id == wanted), None)


@pytest.mark.parametrize(("quantity", "cost", "is_silent"), [("0", "0", True), ("", "5", False), ("", "0", False)])
def test_a_balancer_whose_traffic_is_unknown_is_not_called_silent(tmp_path, audit, quantity, cost, is_silent):
    """An export may leave quantities empty."""
    hourly = {**focus_row(Charge("nat", Decimal(9))), "SkuMeter": "LoadBalancerUsage"}
    moved = {**focus_row(Charge("nat")), "SkuMeter": "LCUUsage", "ConsumedQuantity": quantity,
             "BilledCost": cost, "EffectiveCost": cost}  # fmt: skip

    found = audit(write_csv(tmp_path / "bill.csv", [hourly, moved]))

    assert (finding_of(found, "ADV115") is not None) == is_silent


@pytest.mark.parametrize(("region", "is_silent"), [("us-east-1", False), ("eu-west-1", True)])
def test_traffic_that_names_no_balancer_may_be_of_any_of_its_region(tmp_path, audit, region, is_silent):
    """An export may leave out the resource of capacity units: whose they are is not known."""
    hourly = {**focus_row(Charge("nat", Decimal(9))), "SkuMeter": "LoadBalancerUsage"}
    moved = {**focus_row(Charge("nat", resource="")), "SkuMeter": "LCUUsage", "RegionId": region}

    found = audit(write_csv(tmp_path / "bill.csv", [hourly, moved]))

    assert (finding_of(found, "ADV115") is not None) == is_silent


def test_an_empty_set_of_tags_is_untagged(tmp_path, audit):
    """Exports write ``{}`` where there is no tag."""
    rows = [{**focus_row(Charge(cost=Decimal(9))), "Tags": "{}"}, focus_row(Charge(tags={"team": "a"}))]

    found = audit(write_csv(tmp_path / "bill.csv", rows))

    assert finding_of(found, "ADV117").resources == [("i-0aaa", 9)]


def test_a_bill_in_one_other_currency_stays_in_it(tmp_path, audit):
    """Amounts are in euros, and nothing is called USD."""
    found = audit(write_focus(tmp_path / "bill.csv", [Charge(cost=Decimal(9), currency="EUR")]))

    assert (found.bill.currency, found.bill.cost, found.is_in_usd) == ("EUR", Decimal(9), False)


def test_split_rows_count_once_beside_their_parent(tmp_path, audit):
    """Pods of an instance carry shares of its cost: the instance is counted whole."""
    parent = cur_row(Charge(cost=Decimal(8)), 0)
    pods = [
        {**cur_row(Charge(cost=Decimal(4)), number), "line_item_usage_type": "USE1-EKS-EC2-vCPU-Hours",
         "split_line_item_parent_resource_id": "i-0aaa", "line_item_product_code": "AmazonEKS"}
        for number in (1, 2)
    ]  # fmt: skip

    found = audit(write_csv(tmp_path / "cur.csv", [parent, *pods]))

    assert found.bill.cost == 8
    assert found.bill.rows == 3
    assert any("split instances between pods" in note for note in found.notes)


@pytest.mark.parametrize("has_parent", [True, False])
def test_allocated_rows_of_focus_count_once(tmp_path, audit, has_parent):
    """Rows that were allocated count where what they were allocated from is not there too."""
    rows = [{**focus_row(Charge(cost=Decimal(4))), "AllocatedMethodId": "m"} for _ in range(2)]
    rows += [{**focus_row(Charge(cost=Decimal(8))), "AllocatedMethodId": ""}] if has_parent else []

    assert audit(write_csv(tmp_path / "bill.csv", rows)).bill.cost == 8


def test_a_line_item_that_is_delivered_twice_counts_once(tmp_path, audit):
    """CUR names its line items: the same one in two files, or twice in one, is one."""
    charges = hours(Charge(cost=Decimal("1.5")), 4)
    rows = [cur_row(charge, number) for number, charge in enumerate(charges)]
    write_csv(tmp_path / "a.csv", rows)
    write_csv(tmp_path / "b.csv", [*rows[2:], rows[3]])

    found = audit(tmp_path)

    assert found.bill.cost == 6
    assert any("counted once" in note for note in found.notes)


def test_a_line_item_in_files_of_other_columns_counts_once(tmp_path, audit):
    """Exports of two months that overlap may order their columns otherwise."""
    rows = [cur_row(charge, number) for number, charge in enumerate(hours(Charge(), 4))]
    write_csv(tmp_path / "a.csv", rows)
    write_csv(tmp_path / "b.csv", [dict(reversed(row.items())) for row in rows[2:]])

    assert audit(tmp_path).bill.cost == 4


def test_line_items_without_a_name_are_kept(tmp_path, audit):
    """Two lines that are alike are one line only where they have the same name."""
    rows = [{**cur_row(Charge(), 0), "identity_line_item_id": ""}] * 2

    assert audit(write_csv(tmp_path / "cur.csv", rows)).bill.cost == 2


def test_an_actual_and_an_amortised_export_together_are_said(tmp_path, audit):
    """Both of one month count everything twice."""
    used, bought = Charge(kind="covered", cost=Decimal(0), effective=Decimal(3)), Charge(kind="purchase")
    write_csv(tmp_path / "actual.csv", [azure_row(charge, amortised=False) for charge in (used, bought)])
    write_csv(tmp_path / "amortised.csv", [azure_row(used, amortised=True)])

    assert any("an actual and an amortised export" in note for note in audit(tmp_path).notes)
    assert not any("amortised export" in note for note in audit(tmp_path / "actual.csv").notes)


def test_a_line_break_in_a_header_is_named(tmp_path, audit):
    """No bill is taken for an empty one."""
    path = write_csv(tmp_path / "bill.csv", [{**focus_row(Charge()), "odd\ncolumn": ""}])

    with pytest.raises(InputError, match="the column 'odd column' has a line break"):
        audit(path)


def repeat_column(path, column, values):
    """The CSV file with a column of that name after all others."""
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line},{value}\n" for line, value in zip(lines, (column, *values), strict=True)))


def test_a_column_that_counts_is_there_once(tmp_path, audit):
    """Two of one name that differ are refused; the same values, or columns that are not read, change nothing."""
    path = write_focus(tmp_path / "bill.csv", [Charge(cost=Decimal(2)), Charge(cost=Decimal(3), resource="i-0bbb")])
    repeat_column(path, "x_Notes", ("a", "b"))
    repeat_column(path, "x_notes", ("c", "d"))
    assert not any("twice" in note for note in audit(path).notes)

    repeat_column(path, "BilledCost", ("2", ""))
    audited = audit(path)
    assert audited.bill.cost == 5
    told = f"{path}: the column BilledCost is there twice: the first counts, and the other says nothing else"
    assert told in audited.notes

    repeat_column(path, "billed_cost", ("2", "1"))
    with pytest.raises(
        InputError, match="BilledCost and billed_cost are one column, with different values in 1 line"
    ) as caught:
        audit(path)
    assert (caught.value.where, caught.value.hint) == (str(path), "rename or remove one of them")


def test_a_file_that_is_given_twice_counts_once(tmp_path, audit):
    """A copy of a file, under another name."""
    path = write_focus(tmp_path / "a.csv", [Charge(cost=Decimal(2))])
    shutil.copy(path, tmp_path / "b.csv")

    found = audit(tmp_path)

    assert found.bill.cost == 2
    assert any("counted once" in note for note in found.notes)


def test_hours_that_stand_twice_are_said_and_count_once_where_that_is_asked(tmp_path, audit):
    """FOCUS does not name its lines: what looks like a second delivery is said, and left to the person."""
    charges = hours(Charge(cost=Decimal("1.5")), 4)
    path = write_focus(tmp_path / "bill.csv", [*charges, charges[1]])

    kept = audit(path)
    once = audit(path, question={"counts_repeated_once": True})

    assert (kept.bill.cost, once.bill.cost) == (Decimal("7.5"), Decimal(6))
    assert any("1 row (1.50) the same as another" in note for note in kept.notes)
    assert_reconciles(once)


def test_hours_that_differ_are_not_taken_for_a_second_delivery(tmp_path, audit):
    """Consecutive hours of equal cost are no duplicates."""
    found = audit(write_focus(tmp_path / "bill.csv", hours(Charge(), 30)))

    assert not any("the same" in note for note in found.notes)


def test_times_of_any_zone_are_one_instant(tmp_path, audit):
    """Offsets, no zone at all (UTC), and a date alone."""
    rows = [
        focus_row(Charge(at=START + timedelta(hours=5, minutes=30)), "+05:30"),
        focus_row(Charge(at=START + 2 * HOUR), ""),
    ]

    found = audit(write_csv(tmp_path / "bill.csv", rows))

    assert found.bill.start.isoformat() == "2026-10-01T00:00:00"
    assert found.bill.end.isoformat() == "2026-10-01T03:00:00"


def test_an_empty_month_is_no_error(tmp_path, audit):
    """A header without rows is a bill of nothing."""
    path = tmp_path / "bill.csv"
    path.write_text(",".join(focus_row(Charge())) + "\n")

    found = audit(path)

    assert_reconciles(found)
    assert (found.bill.rows, found.bill.cost, found.bill.currency, found.bill.start) == (0, 0, None, None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "not even a header"), (b"\n\n", "not even a header")],
)
def test_an_empty_file_is_named(tmp_path, audit, content, expected):
    """Nothing at all is no bill."""
    path = tmp_path / "bill.csv"
    path.write_bytes(content)

    with pytest.raises(InputError, match=expected):
        audit(path)


@pytest.mark.parametrize(("head_end", "row_end"), [(b"\n", b"\r\n"), (b"\r\n", b"\n")])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_header_may_end_otherwise_than_the_rows(tmp_path, audit, head_end, row_end, ending):
    """A header that a script put before an export; a row with more cells than columns is an error all the same."""
    plain = write_focus(tmp_path / "plain.csv", [Charge(cost=Decimal(3), tags={"app": "chat"})])
    text = plain.read_bytes()
    header, _, rows = text.replace(b"\r\n", b"\n").partition(b"\n")
    mixed = header + head_end + rows.replace(b"\n", row_end)
    path = tmp_path / f"mixed{ending}"
    pack = gzip.compress if ending.endswith(".gz") else bytes
    path.write_bytes(pack(mixed))
    assert audit(path).bill == audit(plain).bill
    path.write_bytes(pack(mixed + b"1,2,3" + row_end))
    with pytest.raises(InputError, match="cannot read"):
        audit(path)


def test_a_damaged_gzip_file_is_named(tmp_path, audit):
    """A file cut off in the middle."""
    path = write_focus(tmp_path / "bill.csv.gz", hours(Charge(), 50))
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(InputError, match=r"bill|cannot read"):
        audit(path)


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        *((cost, "not a number") for cost in ("1,234.50", "abc", "1.2.3", "NaN", "Infinity", "1_000")),
        *((cost, "out of range") for cost in ("9" * 40, "1" + 400 * "0", "-1e308", "+1E+99")),
    ],
)
def test_a_cost_that_is_no_number_or_too_large_stops_the_audit(tmp_path, audit, cost, told):
    """Nothing is taken as zero: the column, an example and its row are named."""
    row = {**focus_row(Charge()), "BilledCost": cost}

    with pytest.raises(InputError, match=f"BilledCost is {told} in some rows, such as .* in row 2 below the header"):
        audit(write_csv(tmp_path / "bill.csv", [focus_row(Charge()), row]))


@pytest.mark.parametrize("cost", ["1e-7", "1E+3", "-0.000000000000001", "+5", " 3.5 "])
def test_numbers_in_any_notation_are_exact(tmp_path, audit, cost):
    """Exponents, signs and spaces are numbers."""
    row = {**focus_row(Charge()), "BilledCost": cost, "EffectiveCost": cost}

    assert audit(write_csv(tmp_path / "bill.csv", [row])).bill.cost == Decimal(cost.strip())


def test_a_row_without_a_cost_is_said(tmp_path, audit):
    """An empty cell is unknown."""
    rows = [focus_row(Charge()), {**focus_row(Charge()), "BilledCost": "", "EffectiveCost": ""}]

    found = audit(write_csv(tmp_path / "bill.csv", rows))

    assert found.bill.cost == 1
    assert any("1 row without any cost" in note for note in found.notes)


def test_a_row_with_a_missing_cell_is_named(tmp_path, audit):
    """A line that is cut off says on which line."""
    path = write_focus(tmp_path / "bill.csv", hours(Charge(), 3))
    path.write_text(path.read_text().rstrip().rsplit(",", 4)[0] + "\n")

    with pytest.raises(InputError, match="Line: 4"):
        audit(path)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_seen(tmp_path, audit, delimiter):
    """Spreadsheets write semicolons and tabs."""
    path = write_csv(tmp_path / "bill.csv", [focus_row(Charge(tags={"team": "a;b|c"}))], delimiter)

    assert audit(path).bill.cost == 1


def test_a_name_that_is_a_pattern_is_a_name(tmp_path, audit):
    """Brackets and stars in names of files and folders are no patterns where the file exists."""
    folder = tmp_path / "2026-[10]"
    folder.mkdir()
    path = write_focus(folder / "a*[1].csv", [Charge(cost=Decimal(7))])
    write_focus(folder / "ab1.csv", [Charge(cost=Decimal(1))])

    assert audit(path).bill.cost == 7


def test_folders_and_patterns_are_read_whole(tmp_path, audit):
    """Parts in folders by month, with manifests and hidden files beside them."""
    for month in ("09", "10"):
        folder = tmp_path / f"BILLING_PERIOD=2026-{month}"
        folder.mkdir()
        write_focus(folder / f"part-{month}.parquet", [Charge(cost=Decimal(month))])
        (folder / "Manifest.json").write_text("{}")
        (folder / ".hidden.csv").write_text("x")

    assert audit(tmp_path).bill.cost == 19
    assert audit(f"{tmp_path}/*/part-09.parquet").bill.cost == 9
    with pytest.raises(InputError, match="no file of the bill"):
        audit(f"{tmp_path}/*.csv")


def test_files_of_several_formats_are_one_bill(tmp_path, audit):
    """Three clouds, four formats, one sum."""
    for form in ("focus", "cur", "azure-actual", "gcp-json"):
        write_bill(tmp_path, form, [Charge(cost=Decimal(2), resource=form)])

    found = audit(tmp_path)

    assert_reconciles(found)
    assert found.bill.cost == 8
    assert found.by["provider"] == {"aws": Decimal(4), "azure": Decimal(2), "gcp": Decimal(2)}


def test_the_legacy_report_is_read_too(tmp_path, audit):
    """Names with slashes, tags in columns."""
    row = cur_row(Charge(cost=Decimal(3)), 0)
    groups = ("line_item", "identity", "product", "savings_plan", "pricing", "split_line_item")
    renamed = {}
    for name, value in row.items():
        group = next((group for group in groups if name.startswith(group)), None)
        renamed[f"{group.title().replace('_', '')}/{name[len(group) + 1 :]}" if group else name] = value
    renamed.pop("resource_tags")
    renamed["resourceTags/user:team"] = "search"

    found = audit(write_csv(tmp_path / "cur.csv.gz", [renamed]), tags=("team",))

    assert found.bill.cost == 3
    assert found.tags[0].values == {"search": Decimal(3)}


@pytest.mark.parametrize("prefix", ["user_", "resourceTags/user_", "user:", ""])
def test_tags_of_cur_are_named_as_their_users_wrote_them(tmp_path, audit, prefix):
    """CUR 2.0 prefixes keys: showback, endpoints and hosts go by the key alone."""
    tags = {f"{prefix}team": "user_a: b", f"{prefix}endpoint": "chat", "aws_eks_node": "node-1"}
    row = cur_row(Charge(cost=Decimal(3), tags=tags), 0)

    found = audit(write_csv(tmp_path / "cur.csv", [row]), tags=("team", "aws:eks:node"))

    assert [(table.key, table.values) for table in found.tags] == [
        ("team", {"user_a: b": Decimal(3)}), ("aws:eks:node", {"node-1": Decimal(3)})
    ]  # fmt: skip
    assert [(endpoint.name, endpoint.cost) for endpoint in found.endpoints] == [("chat", Decimal(3))]


def test_the_real_sample_of_focus_reconciles(audit):
    """A thousand rows of three clouds, as they were published."""
    sample = Path(__file__).with_name("focus_1_0_sample.csv.gz")

    billed = audit(sample, question={"basis": Basis.BILLED})
    effective = audit(sample)

    for found in (billed, effective):
        assert_reconciles(found)
    assert billed.bill.rows == 1000
    assert billed.bill.cost == Decimal("20.52022672899")
    assert effective.bill.cost == Decimal("14.97651418586")
    assert in_cents(billed.kinds) == {
        "compute": Decimal("15.11"), "storage": Decimal("0.96"), "network": Decimal("1.22"), "managed": Decimal("2.89"),
        "other": Decimal("0.34"),
    }  # fmt: skip
    assert any("it was rounded" in note for note in effective.notes)
    assert any(note.startswith("charges below zero, -$3.16 together, are taken as credits") for note in effective.notes)


def test_the_sum_of_the_real_sample_is_that_of_its_cells():
    """The figure above, without the program: decimals of the file summed one by one."""
    with gzip.open(Path(__file__).with_name("focus_1_0_sample.csv.gz"), "rt", newline="") as stream:
        total = sum(Decimal(row["BilledCost"]) for row in csv.DictReader(stream))

    assert total == Decimal("20.52022672899")


def test_labels_of_google_are_tags_and_what_it_cannot_tell_is_said(tmp_path, audit):
    """The FOCUS view of Google has x_Labels in place of Tags, and no categories."""
    row = focus_row(Charge())
    for name in ("Tags", "ServiceCategory", "CommitmentDiscountStatus", "CommitmentDiscountId"):
        row.pop(name)
    row["ProviderName"] = "Google Cloud"
    row["x_Labels"] = json.dumps([{"Key": "team", "Value": "search"}])

    found = audit(write_csv(tmp_path / "bill.csv", [row]), tags=("team",))

    assert found.tags[0].values == {"search": Decimal(1)}
    assert any("it cannot tell" in note and "unused commitments" in note for note in found.notes)


@pytest.mark.parametrize(
    "labels",
    [
        '[{"key": "cores", "value": "8"}, {"key": "compute.googleapis.com/machine_spec", "value": "g2-standard-8"}]',
        '[{"key":"compute.googleapis.com/machine_spec","value":"g2-standard-8"}]',
        '{"compute.googleapis.com/machine_spec" : "g2-standard-8"}',
    ],
)
def test_the_machine_type_of_google_is_read_from_its_system_labels(tmp_path, audit, labels):
    """A list of keys and values or an object, however they are spaced."""
    bill = write_bill(tmp_path, "gcp-csv", [Charge()])
    rows = [{**row, "system_labels": labels} for row in csv.DictReader(bill.read_text().splitlines())]

    found = audit(write_csv(tmp_path / "labelled.csv", rows))

    assert found.by["family"] == {"g2-standard": Decimal(1)}


def test_a_bill_without_a_column_of_tags_has_no_untagged_spend(tmp_path, audit):
    """What carries no tag is unknown there; beside a bill with tags, only that one's charges are untagged."""
    bill = write_bill(tmp_path, "gcp-csv", [Charge(cost=Decimal(50))])
    rows = csv.DictReader(bill.read_text().splitlines())
    plain = write_csv(tmp_path / "plain.csv", [{key: row[key] for key in row if key != "labels"} for row in rows])
    untagged = write_focus(tmp_path / "focus.csv", [Charge(cost=Decimal(30)), Charge(tags={"team": "a"})])

    alone, beside = audit(plain), audit(plain, untagged)

    assert "ADV117" not in {finding.id for finding in alone.findings}
    assert "the export has no labels: owners are unknown" in alone.notes
    (finding,) = (finding for finding in beside.findings if finding.id == "ADV117")
    assert float(finding.per_month) == pytest.approx(30 * 730)


@pytest.mark.parametrize(
    ("written", "usd"), [("1.2E-05", Decimal("0.000012")), ("1e3", Decimal(1000)), ("1_000", None), ("_1", None)]
)
def test_numbers_of_a_bill_are_those_that_exports_write(tmp_path, audit, written, usd):
    """An exponent is part of a number, as spreadsheets and data frames write small ones; a bar between digits is not."""
    row = focus_row(Charge()) | {"BilledCost": written, "EffectiveCost": written}
    path = write_csv(tmp_path / "bill.csv", [row])

    if usd is None:
        with pytest.raises(InputError, match="is not a number in some rows"):
            audit(path)
    else:
        assert audit(path).bill.cost == usd


def test_machines_without_a_type_say_why_no_commitment_is_priced(tmp_path, audit):
    """Google's flattened export names none: what is on demand stands in a note with the column that has it."""
    charges = hours(Charge(), 200)
    bill = write_bill(tmp_path, "gcp-csv", charges)
    rows = list(csv.DictReader(bill.read_text().splitlines()))
    plain = [{key: value for key, value in row.items() if key != "system_labels"} for row in rows]

    audited = audit(write_csv(tmp_path / "plain.csv", plain))

    assert not {"ADV106", "ADV107"} & {finding.id for finding in audited.findings}
    (note,) = (note for note in audited.notes if note.startswith("ADV106, ADV107: "))
    assert "the bill names no type of their machines (family (unknown))" in note
    assert "system_labels (compute.googleapis.com/machine_spec)" in note


def test_untagged_spend_says_which_taxes_it_leaves_out(tmp_path, audit):
    """The showback's line of untagged charges has them too, so that the finding states their share."""
    charges = [
        Charge(cost=Decimal(80), tags={"team": "a"}),
        Charge(cost=Decimal(15)),
        Charge(cost=Decimal(5), kind="tax"),
    ]

    finding = finding_of(audit(write_focus(tmp_path / "bill.csv", charges)), "ADV117")

    assert finding.evidence == "15% of the bill carries no tag, beside taxes (5%): it cannot be shown back to an owner"


def test_a_small_share_without_a_tag_is_not_0(tmp_path, audit):
    """A volume of $45 of a bill of $36,000 is 0.12 % of it, as the showback's line has it."""
    charges = [Charge(cost=Decimal(35955), tags={"team": "a"}), Charge(cost=Decimal(45))]

    finding = finding_of(audit(write_focus(tmp_path / "bill.csv", charges)), "ADV117")

    assert finding.evidence == "0.12% of the bill carries no tag: it cannot be shown back to an owner"


def test_the_unused_part_of_a_fee_is_scaled_by_its_own_hours(tmp_path, audit):
    """A reservation's month that is in a bill of two days is a month's, not fifteen months'."""
    charges = [*hours(Charge(), 48), Charge(cost=Decimal(0), effective=Decimal(72), kind="unused", resource="sp-1")]
    rows = [focus_row(charge) for charge in charges]
    rows[-1]["ChargePeriodEnd"] = f"{charges[-1].at + 720 * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    rows[-1]["ChargeCategory"] = "Purchase"

    found = audit(write_csv(tmp_path / "bill.csv", rows))
    (finding,) = (finding for finding in found.findings if finding.id == "ADV108")

    assert found.bill.hours == 48
    assert float(finding.per_month) == pytest.approx(72 * 730 / 720)
    assert finding.resources == [("sp-1", Decimal(72))]


def test_a_credit_that_names_a_machine_is_of_its_family(tmp_path, audit):
    """Credits leave the type out; other charges of the same machine say it."""
    charges = [Charge("accelerator", Decimal(10)), Charge("accelerator", Decimal(-4), kind="credit")]
    rows = [focus_row(charge) for charge in charges]
    rows[1] |= {"SkuMeter": "", "ChargeDescription": "Goodwill"}

    found = audit(write_csv(tmp_path / "bill.csv", rows))

    assert found.by["family"] == {"g5": Decimal(6)}


@pytest.mark.parametrize(
    ("sku", "kind"),
    [
        ("Regional Kubernetes Clusters", "managed"),
        ("Zonal Kubernetes Clusters", "managed"),
        ("Autopilot Pod mCPU Requests (us-central1)", "compute"),
    ],
)
def test_the_fee_of_a_cluster_of_google_is_managed(tmp_path, audit, sku, kind):
    """As those of EKS and AKS are; the pods of Autopilot are compute."""
    rows = list(csv.DictReader(write_bill(tmp_path, "gcp-csv", [Charge()]).read_text().splitlines()))
    rows[0] |= {"service_description": "Kubernetes Engine", "sku_description": sku}

    found = audit(write_csv(tmp_path / "gke.csv", rows))

    assert found.kinds[kind] == found.bill.cost == 1


def test_spellings_of_a_tag_are_one_and_changes_are_said(tmp_path, audit):
    """``Team`` and ``team`` are one owner's tag; a resource that changed hands is said."""
    charges = [
        Charge(tags={"Team": "a"}), Charge(tags={"team": "b"}, at=START + HOUR), Charge(at=START + 2 * HOUR),
    ]  # fmt: skip

    found = audit(write_focus(tmp_path / "bill.csv", charges), tags=("TEAM",))

    assert_reconciles(found)
    assert found.tags[0].values == {"a": 1, "b": 1}
    assert found.tags[0].untagged == 1
    notes = " ".join(found.notes)
    assert "written 2 ways" in notes
    assert "1 resource changed" in notes
    assert "on part of the charges" in notes


def test_a_tag_that_nothing_carries_is_named_with_the_nearest(tmp_path, audit):
    """A slip of the pen."""
    with pytest.raises(InputError) as caught:
        audit(write_focus(tmp_path / "bill.csv", [Charge(tags={"team": "a"})]), tags=("taem",))

    assert "team" in caught.value.hint


@pytest.mark.parametrize(("credit", "left"), [("-20", True), ("-45.5", False)])
def test_credits_for_traffic_through_nat_gateways_are_taken_off_the_finding(tmp_path, audit, credit, left):
    """What was given back is not there to be saved: a part of it lowers the finding, all of it removes it."""
    charges = [
        *hours(Charge(cost=Decimal(1)), 730),
        Charge("nat", Decimal("45.5"), resource="nat-1"),
        Charge("nat", Decimal(credit), kind="credit", resource="nat-1"),
    ]
    found = {finding.id: finding for finding in audit(write_focus(tmp_path / "bill.csv", charges)).findings}
    assert ("ADV112" in found) == left
    if left:
        assert round(found["ADV112"].high, 2) == Decimal("25.50")


@pytest.mark.sampled(2)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spread", [Spread(2), Spread(2, "dask")], ids=["processes", "dask"])
def test_files_that_are_summed_apart_give_the_same_audit(tmp_path, spread):
    """On several processes, or on a cluster, to the last digit, in files of every format."""
    draw = random.Random(21)
    for number, form in enumerate((*FORMS, *FORMS)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        charges = [
            replace(
                charge,
                what=draw.choice(sorted(KIND_OF)),
                cost=Decimal(draw.randint(-(10**10), 10**12)) / 10**10,
                resource=draw.choice(["i-0aaa", "i-0bbb", "vol-1"]),
                tags={"team": draw.choice("abc")},
            )
            for charge in hours(Charge(kind=draw.choice(["usage", "covered", "refund"])), 60)
        ]
        write_bill(folder, form, charges)

    with audited(Inputs((str(tmp_path),))) as opened:
        whole = opened.audit
    with audited(Inputs((str(tmp_path),), spread=spread)) as opened:
        assert opened.audit == whole
    assert whole.bill.rows == 60 * 2 * len(FORMS)
    assert_reconciles(whole)


def azure_dates(folder, dates):
    """An Azure export of a charge on each date, as written."""
    fixed = {"CostInBillingCurrency": "1.5", "BillingCurrency": "EUR", "MeterCategory": "Virtual Machines"}
    return write_csv(folder / "azure.csv", [{"Date": date, **fixed} for date in dates])


def test_dates_that_begin_with_the_day_are_refused(tmp_path, audit):
    """Read as months, twelve days of October would be a year."""
    path = azure_dates(tmp_path, [f"{day:02}/10/2026" for day in range(1, 32)])

    with pytest.raises(InputError, match=r"Date names the day before the month, such as '\d\d/10/2026'") as raised:
        audit(path)

    assert raised.value.where == str(path)
    assert "YYYY-MM-DD" in raised.value.hint


def test_dates_of_spreadsheets_are_read(tmp_path, audit):
    """American dates with a time, as a spreadsheet saves an export; what is no time is quoted with its column."""
    found = audit(azure_dates(tmp_path, ["10/1/2026 12:00:00 AM", "10/02/2026 0:00", "1st of October"]))

    assert (found.bill.start.day, found.bill.end.day) == (1, 3)
    assert any("such as '1st of October' of Date" in note for note in found.notes)


@pytest.mark.parametrize("is_named", [False, True])
def test_a_table_of_a_folder_that_is_no_bill_is_named_and_not_read(is_named, tmp_path, audit):
    """Where the file itself is named it is refused, as is one that has some columns of a bill and lacks others."""
    bill = write_focus(tmp_path / "bill.csv", [Charge(cost=Decimal(3))])
    prices = write_csv(tmp_path / "prices.csv", [{"machine": "g5.xlarge", "usd": 1}])

    if is_named:
        with pytest.raises(InputError, match="no billing export that is known here"):
            audit(bill, prices)
    else:
        audited = audit(tmp_path)
        assert audited.bill.cost == 3
        assert f"1 file not read for the bill: no billing export ({prices})" in audited.notes
        (tmp_path / "half.csv").write_text("BilledCost\n1\n")
        with pytest.raises(InputError, match="mandatory columns"):
            audit(tmp_path)


def test_files_of_a_folder_that_are_not_read_are_told(tmp_path, audit):
    """An archive and a sheet beside the export: a note names them."""
    write_focus(tmp_path / "bill.csv", [Charge()])
    for ignored in ("older.zip", "sheet.xlsx", "manifest.json", ".hidden"):
        (tmp_path / ignored).write_text("PK")

    (note,) = [note for note in audit(tmp_path).notes if "not read for the bill" in note]
    assert note.startswith(f"{tmp_path}: 2 files not read for the bill (older.zip, sheet.xlsx): give CSV or JSON")


def test_a_bill_packed_with_zstandard(tmp_path, audit):
    """Packed, it is the same bill; cut off, it is refused."""
    plain = write_focus(tmp_path / "bill.csv", hours(Charge(cost=Decimal("1.25")), 4))
    packed = tmp_path / "packed.csv.zst"
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(plain.read_bytes())

    assert audit(packed).bill.billed_cost == 5

    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(InputError, match="cannot read the bill"):
        audit(packed)


def test_a_list_of_json_objects(tmp_path, audit):
    """One list is read as its lines are; what holds no object is refused with what to write."""
    rows = [focus_row(charge) for charge in hours(Charge(cost=Decimal("1.25")), 4)]
    listed = tmp_path / "bill.json"
    listed.write_text(json.dumps(rows, indent=1))

    assert audit(listed).bill.billed_cost == 5

    for broken in ("", "[]", '{\n "BilledCost": 1\n}'):
        listed.write_text(broken)
        with pytest.raises(InputError) as raised:
            audit(listed)
        assert "an object a line" in raised.value.hint


def test_a_bill_in_utf_16(tmp_path, audit):
    """As a spreadsheet saves Unicode text: refused with what to do."""
    path = write_focus(tmp_path / "bill.csv", [Charge()])
    path.write_bytes(path.read_text().encode("utf-16"))

    with pytest.raises(InputError, match="the bill is written in UTF-16"):
        audit(path)


def test_an_export_of_google_without_credits(tmp_path, audit):
    """Its costs are before discounts, which a note says."""
    row = {
        "cost": "1", "currency": "USD", "service.description": "Compute Engine", "sku.description": "L4",
        "usage_start_time": "2026-10-01 00:00:00 UTC", "usage_end_time": "2026-10-01 01:00:00 UTC",
    }  # fmt: skip
    path = write_csv(tmp_path / "bill.csv", [row])
    assert any("no column of credits" in note for note in audit(path).notes)

    write_csv(path, [{**row, "total_credits": "-0.25"}])
    found = audit(path)
    assert found.bill.billed_cost == Decimal("0.75")
    assert not any("no column of credits" in note for note in found.notes)


@pytest.mark.parametrize("spread", [None, Spread(2)])
def test_days_without_use_are_told(tmp_path, audit, spread):
    """Two days of a fortnight that the export lacks, in two files; a charge of the month covers none."""
    days = [number for number in range(14) if number not in (5, 6)]
    for name, some in (("a", days[:6]), ("b", days[6:])):
        charges = [Charge(at=START + timedelta(days=number), cost=Decimal(number)) for number in some]
        write_focus(tmp_path / f"{name}.csv", charges)

    found = audit(tmp_path, spread=spread)

    assert any("2 days of the period without any use (2026-10-06 to 2026-10-07)" in note for note in found.notes)


def test_a_bill_of_every_day_has_no_hole(tmp_path, audit):
    """Days across a month's end, each with a charge."""
    charges = [Charge(at=START + timedelta(days=number)) for number in range(45)]

    assert not any("without any use" in note for note in audit(write_focus(tmp_path / "bill.csv", charges)).notes)


def test_options_that_change_nothing_are_told(tmp_path, audit):
    """A rate of a currency that the bill does not have, and names of hosts without telemetry."""
    bill = write_focus(tmp_path / "bill.csv", [Charge(tags={"app": "chat"})])

    found = audit(bill, question={"rates": {"GBP": Decimal("1.3")}}, host_names={"a": "b"}, extrapolates=True)

    assert {"--rate GBP: the bill has no amount in GBP", "--hosts changes nothing without telemetry"} <= set(
        found.notes
    )
    assert "--extrapolate changes nothing without telemetry" in found.notes
    with pytest.raises(InputError, match="no charge has the tag 'ap'") as raised:
        audit(bill, endpoint_tag="ap")
    assert (raised.value.where, raised.value.hint) == ("--endpoint-tag", "tags of this bill: app")


def test_credits_that_are_no_json_are_named(tmp_path, audit):
    """A list as Python shows it, which is no JSON: the error names the column and how to write it."""
    row = {
        "cost": "1", "currency": "USD", "service.description": "Compute Engine", "sku.description": "L4",
        "usage_start_time": "2026-10-01 00:00:00 UTC", "usage_end_time": "2026-10-01 01:00:00 UTC",
    }  # fmt: skip
    path = write_csv(tmp_path / "bill.csv", [{**row, "credits": ""}, {**row, "credits": "[{'amount': -0.25}]"}])

    with pytest.raises(InputError, match=r"column credits holds no JSON in some rows \(write it with TO_JSON_STRING\)"):
        audit(path)

    write_csv(path, [{**row, "credits": '[{"amount": -0.25}, {"amount": "-1E-2"}]'}, {**row, "credits": ""}])
    assert audit(path).bill.billed_cost == Decimal("1.74")


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("bill.csv", lambda _: b"", "the bill is empty: it has not even a header line"),
        ("bill.csv.gz", lambda content: content[: len(content) // 2], "the bill is a damaged gzip file"),
        ("bill.csv.zst", lambda _: b"not Zstandard", "cannot read the bill: ZSTD decompress failed"),
        ("bill.parquet", lambda content: content[:-30] + b"\xff" * 22 + content[-4:], "Footer length error in file\n"),
        ("bill.parquet", lambda _: b"PAR1", "File too small to be a Parquet file\n"),
    ],
)
def test_a_damaged_file_has_a_reason_and_a_remedy(tmp_path, audit, name, damage, told):
    """The reason is a whole sentence, without a blank in the place of the file that is named before it."""
    path = tmp_path / name
    written = write_focus(tmp_path / f"whole.{name.partition('.')[2].removesuffix('.zst')}", hours(Charge(), 50))
    path.write_bytes(damage(written.read_bytes()))

    with pytest.raises(InputError) as caught:
        audit(path)
    assert told in str(caught.value)
    assert caught.value.hint == "see that the export is whole"
    assert "…" not in caught.value.message
