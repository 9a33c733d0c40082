"""Rows that must not be published."""

import dataclasses
import statistics

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.layers.merging import reconcile_memory, usual_usd_per_hour
from advisor.catalog.layers.snapshot import Kind, changes
from advisor.catalog.refresh.values import CommittedRow, Found, Guard, MachineRow, PriceRow, Sold, violations
from advisor.catalog.values import Offer, Price, Provenance, Quality

REGION, DAY = "us-east-1", "2026-11-26"
COMPLETE = frozenset({(REGION, "prices"), (REGION, "spot")})


def price(name, usd, purchase="on_demand"):
    """A row."""
    return PriceRow(REGION, name, purchase, usd, DAY)


def found(*rows, complete=COMPLETE):
    """What was read."""
    return Found("aws", rows, complete, ())


def offer(name, on_demand, spot=None, region=REGION):
    """What was known."""
    origin = Provenance("made up", "2026-01-01", Quality.LISTED)
    prices = [None if usd is None else Price(usd, origin) for usd in (on_demand, spot)]
    return Offer("aws", region, name, *prices)


BEFORE = {(REGION, "g6.xlarge"): offer("g6.xlarge", 0.80, 0.30), (REGION, "p5.48xlarge"): offer("p5.48xlarge", 55.0)}
SOUND = (price("g6.xlarge", 0.85), price("p5.48xlarge", 55.0))


def guards(*rows, **options):
    """Guard and what it holds up."""
    return [(one.guard, one.what) for one in violations(found(*rows), BEFORE, **options)]


def test_sound_rows_pass():
    """Small moves, new types and cheaper spot hold nothing up."""
    assert guards(*SOUND, price("g7.xlarge", 1.0), price("g6.xlarge", 0.31, "spot")) == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (price("g6.xlarge", 0.0), (Guard.NO_PRICE, "g6.xlarge on_demand")),
        (price("g6.xlarge", -1.0), (Guard.NO_PRICE, "g6.xlarge on_demand")),
        (price("g6.xlarge", float("nan")), (Guard.NO_PRICE, "g6.xlarge on_demand")),
        (price("g6.xlarge", 1.05), (Guard.MOVED, "g6.xlarge on_demand")),
        (price("g6.xlarge", 0.61), (Guard.MOVED, "g6.xlarge on_demand")),
        (price("g6.xlarge", 0.86, "spot"), (Guard.SPOT_ABOVE_ON_DEMAND, "g6.xlarge")),
        (price("p5.48xlarge", 0.00001, "spot"), (Guard.SPOT_TOO_LOW, "p5.48xlarge")),
    ],
)
def test_each_guard_holds_up_its_row(row, expected):
    """Zero, less, no number, a move of 30 percent, spot above on demand, spot of nearly nothing."""
    rows = [one for one in SOUND if (one.instance_type, one.purchase) != (row.instance_type, row.purchase)]
    assert expected in guards(*rows, row)


def test_a_price_far_from_others_is_held_up_until_it_is_confirmed():
    """More than 30 times what its accelerators usually cost, or a thirtieth, or what no machine costs."""
    usual = {"g7.xlarge": 1.0}
    expected = [(Guard.FAR_FROM_OTHERS, "g7.xlarge on_demand")]

    for usd, is_held in ((0.034, False), (0.033, True), (29.9, False), (30.1, True)):
        assert guards(*SOUND, price("g7.xlarge", usd), usual_usd_per_hour=usual) == (expected if is_held else [])
    for usd in (0.0009, 10_001.0):
        assert guards(*SOUND, price("g7.xlarge", usd)) == expected
    row = price("g7.xlarge", 40.0)
    assert guards(*SOUND, row, usual_usd_per_hour=usual, confirmed=("far_from_others:g7",)) == []
    (held,) = violations(found(*SOUND, row), BEFORE, usual_usd_per_hour=usual)
    assert str(held) == "g7.xlarge on demand in us-east-1: $40.00 an hour, and its accelerators usually cost $1.00"


def test_the_usual_price_of_a_type_is_the_median_of_its_accelerators():
    """Whoever sells them, per accelerator; types of unknown accelerators have none."""
    catalog = load_catalog()
    answer = Found("lambda", (MachineRow("new", "H100-PCIe", 8, 80.0, 8, 8.0, None, None, "x86_64"),), frozenset(), ())
    each = [
        offer.on_demand.usd_per_hour / machine.accelerator_count
        for offer in catalog.offers
        if (machine := catalog.instance_type(offer.provider, offer.instance_type)).accelerator == "H100-PCIe"
        and offer.on_demand is not None and not offer.withdrawn and machine.accelerator_count
    ]  # fmt: skip

    usual = usual_usd_per_hour(catalog, answer)

    assert usual["new"] == pytest.approx(8 * statistics.median(each))
    known = usual_usd_per_hour(catalog, Found("thunder-compute", (), frozenset(), ()))
    assert known["h100-pcie-nvlink-1x"] == pytest.approx(statistics.median(each))


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ((0.0, 0.40), (Guard.NO_PRICE, "g6.xlarge spot")),
        ((0.30, 0.86), (Guard.SPOT_ABOVE_ON_DEMAND, "g6.xlarge")),
        ((0.01, 0.40), (Guard.SPOT_TOO_LOW, "g6.xlarge")),
    ],
)
def test_one_wrong_zone_holds_up_a_spot_price(zones, expected):
    """A median that looks sound hides no zone that cannot be."""
    row = PriceRow(REGION, "g6.xlarge", "spot", 0.31, DAY, zones)
    assert guards(*SOUND, row) == [expected]


def test_a_family_that_was_withdrawn_before_is_not_missed():
    """What no region sold before is not gone, and an offer that is withdrawn is a change like one that is no more."""
    p3 = dataclasses.replace(offer("p3.2xlarge", 3.06), withdrawn=True)
    (gone,) = changes([offer("p3.2xlarge", 3.06)], [p3])
    assert gone.kind is Kind.GONE
    assert changes([p3], [p3]) == ()
    assert changes([p3], [offer("p3.2xlarge", 3.06)])[0].kind is Kind.NEW_TYPE


def test_a_commitment_that_costs_more_than_by_the_hour_is_held_up():
    """A rate of a term above the list price is no rate."""
    row = CommittedRow(REGION, "g6.xlarge", "Savings", 1, "no_upfront", 0.9, DAY)
    assert [guard for guard, _ in guards(*SOUND, row)] == [Guard.COMMITMENT_ABOVE_ON_DEMAND]


def test_a_family_that_disappears_is_held_up_until_it_is_confirmed():
    """A person may say that it is true; a price of zero is never true."""
    assert guards(SOUND[0]) == [(Guard.FAMILY_GONE, "p5")]
    assert guards(SOUND[0], confirmed=["family_gone:p5"]) == []
    assert guards(SOUND[0], confirmed=["family_gone"]) == []
    assert guards(price("g6.xlarge", 0.0), SOUND[1], confirmed=["no_price", "no_price:g6"]) == [
        (Guard.NO_PRICE, "g6.xlarge on_demand")
    ]


def test_families_of_regions_that_were_not_read_are_not_missed():
    """Nothing was asked of the other region, so nothing can be said of it."""
    elsewhere = BEFORE | {("eu-west-1", "trn1.2xlarge"): offer("trn1.2xlarge", 1.3, region="eu-west-1")}
    assert violations(found(*SOUND), elsewhere) == ()
    assert violations(found(*SOUND, complete=frozenset()), elsewhere) == ()


def test_a_bound_of_ones_own_counts():
    """Ten percent may be too much for some."""
    assert guards(price("g6.xlarge", 0.89), SOUND[1], most_moved=0.1) == [(Guard.MOVED, "g6.xlarge on_demand")]


def test_a_sold_type_without_a_price_is_no_violation():
    """Sold, price unknown."""
    assert guards(*SOUND, Sold(REGION, "p5e.48xlarge")) == []


def test_changes_name_what_happened_to_each_offer():
    """New types, new places, what is gone, and prices that moved, came or went."""
    before = [offer("a.x", 1.0), offer("b.x", 2.0), offer("c.x", None), offer("d.x", 4.0, 1.0)]
    after = [
        offer("a.x", 1.1),
        offer("a.x", 1.0, region="eu-west-1"),
        offer("c.x", 3.0),
        offer("d.x", 4.0),
        offer("e.x", 5.0),
    ]
    kinds = {(one.kind, one.instance_type): one for one in changes(before, after)}
    assert set(kinds) == {
        (Kind.MOVED, "a.x"), (Kind.NEW_OFFER, "a.x"), (Kind.GONE, "b.x"), (Kind.PRICED, "c.x"), (Kind.UNPRICED, "d.x"),
        (Kind.NEW_TYPE, "e.x"),
    }  # fmt: skip
    assert kinds[Kind.MOVED, "a.x"].moved_ratio == pytest.approx(0.1)
    assert changes(before, before) == ()
    assert changes(before, [dataclasses.replace(one) for one in before]) == ()


@pytest.mark.parametrize(
    ("accelerator", "count", "memory_gib", "expected"),
    [
        ("L4", 1, 22.35, (1, 22.35)),
        ("L4", 1, 24, (1, 24)),
        ("L4", None, 2.79, (0.125, 22.35)),
        ("L4", None, 11.18, (0.5, 22.35)),
        ("Trainium2", 16, None, (16, 96)),
        ("Trainium2", 16, 512, None),
        ("V100-32GB", 8, 16, None),
        ("L4", None, 8, None),
    ],
)
def test_a_new_machine_is_true_to_its_accelerator_or_held_back(accelerator, count, memory_gib, expected):
    """Shares are shares of the whole; a memory that the accelerator does not have describes another one."""
    stated = MachineRow("new.large", accelerator, count, memory_gib, 4, 16, 10, 0, "x86_64")
    row = reconcile_memory(load_catalog().accelerator(accelerator), stated)
    assert (row and (row.accelerator_count, row.accelerator_memory_gib)) == expected
