"""The real boto3 against a price list, EC2, savings plans and limits on loopback."""

from dataclasses import replace

import boto3
import pytest

from advisor.catalog.layers.refreshing import refresh
from advisor.catalog.layers.snapshot import Snapshot, current
from advisor.catalog.refresh import aws
from advisor.catalog.refresh.values import Guard, RefreshJob
from advisor.catalog.values import Purchase, Quality
from advisor.pipeline import plan_for
from advisor.tables import read_rows
from advisor.workload.values import DeclaredDemand, Limits, QuotaLimit
from builders import workload
from catalog.refresh.clouds import Aws, Cloud, Reply, as_json, first_times, serving, xml_error
from catalog.refresh.conftest import NOW

PRICES = {
    ("us-east-1", "g6.xlarge"): 0.85,
    ("us-east-1", "g6.2xlarge"): 0.99,
    ("us-east-1", "p5.48xlarge"): 55.04,
    ("us-west-2", "g6.xlarge"): 0.8048,
}
SPOT = {("us-east-1", "g6.xlarge"): {"us-east-1a": 0.30, "us-east-1b": 0.40, "us-east-1c": 0.80}}
"""By name of the availability zone."""
SPOT_BY_ID = {("us-west-2", "g6.xlarge"): {"usw2-az1": 0.30, "usw2-az2": 0.34, "usw2-lax1-az1": 0.20}}
"""By its id; the last is a local zone."""
LOCAL = {("us-east-1", "p5.48xlarge"): {"us-east-1-atl-2a": 9.0, "us-east-1-wl1-bos-wlz-1": 9.0}}
"""A local and a Wavelength zone."""
RESERVED = {"g6.xlarge": ((1, "standard", "All Upfront", 4467.6, 0.0), (3, "convertible", "No Upfront", 0.0, 0.42))}


def question(url, known, regions=("us-east-1", "us-west-2"), parts=aws.PARTS):
    """Everything that is asked of the account."""
    types = [name for provider, name in known.instance_types if provider == "aws"]
    session = boto3.Session()
    return RefreshJob("aws", tuple(aws.tasks(regions, session, types, lambda: NOW, url, parts)))


@pytest.fixture
def cloud():
    """An account on loopback."""
    made = Aws(dict(PRICES), SPOT | SPOT_BY_ID | LOCAL, RESERVED, new_types=("g6.24xlarge", "g99.12xlarge"))
    with serving(Cloud(made)) as running:
        running.account = made
        yield running


def offers(catalog, provider="aws"):
    """Offers by place."""
    return {(one.region, one.instance_type): one for one in catalog.offers if one.provider == provider}


NAMES = {"managed": "managed", "prices": "on_demand"}
FAMILIES = ("family_gone", "moved:p5", "moved:g6")


def accepting(refresh_options, *keys):
    """The manner with rows accepted."""
    return type(refresh_options)(
        frozenset(keys),
        refresh_options.most_moved_ratio,
        refresh_options.dry_run,
        refresh_options.at_once,
        refresh_options.clock,
    )


def test_everything_is_read_and_takes_the_place_of_what_was_shipped(cloud, known, root, refresh_options):
    """Prices, spot, commitments, blocks, limits and a new type come from the account's answers, over several pages."""
    before = known()
    result = refresh(question(cloud.url, before), before, root, accepting(refresh_options, *FAMILIES))
    assert result.reason == ""
    assert result.answer.gaps == ()
    catalog = known()
    assert catalog.warnings == ()
    found = offers(catalog)
    listed = found["us-east-1", "g6.xlarge"]
    assert listed.on_demand.usd_per_hour == 0.85
    assert listed.on_demand.provenance.as_of == "2026-11-01"
    assert listed.spot.usd_per_hour == 0.40, "the median of the zones"
    elsewhere = {place for place in offers(before) if place[0] not in ("us-east-1", "us-west-2")}
    assert {place: found[place] for place in elsewhere} == {place: offers(before)[place] for place in elsewhere}
    gone = found["us-east-1", "g5.xlarge"]
    assert gone.withdrawn, "what the region no longer sells"
    assert gone.on_demand.usd_per_hour == 1.006
    assert (gone.on_demand.provenance.quality, gone.spot) == (Quality.WITHDRAWN, None)
    assert gone not in catalog.offers_in()
    new = catalog.instance_type("aws", "g99.12xlarge")
    assert (new.accelerator, new.accelerator_count, new.vcpus, new.memory_gib) == ("L4", 4, 48, 192)
    assert found["us-east-1", "g99.12xlarge"].on_demand is None, "sold, price unknown"
    assert catalog.price(found["us-east-1", "g99.12xlarge"], Purchase.ON_DEMAND) is None
    assert catalog.content_hash != before.content_hash


def test_commitments_count_as_the_account_buys_them(cloud, known, root, refresh_options):
    """Rates of offerings are taken as they are listed."""
    before = known()
    refresh(question(cloud.url, before), before, root, accepting(refresh_options, *FAMILIES))
    catalog = known()
    listed = offers(catalog)["us-east-1", "g6.xlarge"]
    rates = {
        (one.commitment.instrument.split()[0], one.commitment.term_years, one.commitment.payment): one.usd_per_hour
        for one in catalog.commitments(listed)
    }
    assert {one.provenance.quality for one in catalog.commitments(listed)} == {Quality.LISTED}, "as sold, not computed"
    assert rates["Standard", 1, "all_upfront"] == pytest.approx(4467.6 / 8760, rel=1e-3)
    assert rates["Convertible", 3, "no_upfront"] == pytest.approx(0.42, rel=1e-3)
    assert rates["Convertible", 1, "no_upfront"] == pytest.approx(0.85 * 0.72, rel=1e-3)


def test_spot_is_read_by_availability_zone(cloud, known, root, refresh_options):
    """Median, lowest and highest over the zones, by id or by name; local and Wavelength zones are none of them."""
    catalog = known()
    asked = question(cloud.url, catalog, parts=("prices", "sold", "spot"))
    assert refresh(asked, catalog, root, accepting(refresh_options, *FAMILIES)).reason == ""
    found = offers(known())
    assert found["us-east-1", "g6.xlarge"].spot.zones_usd_per_hour == (0.30, 0.80)
    assert found["us-west-2", "g6.xlarge"].spot.zones_usd_per_hour == (0.30, 0.34)
    assert found["us-west-2", "g6.xlarge"].spot.usd_per_hour == pytest.approx(0.32)
    assert found["us-east-1", "p5.48xlarge"].spot is None, "in no availability zone"


def test_a_second_refresh_keeps_the_new_types_of_the_first(cloud, known, root, refresh_options):
    """A type that no table of the program has stays known, whether the second refresh asks for machines or not."""
    for parts in (aws.PARTS, aws.PARTS, ("prices", "sold")):
        catalog = known()
        result = refresh(
            question(cloud.url, catalog, ("us-east-1",), parts), catalog, root, accepting(refresh_options, *FAMILIES)
        )
        assert result.reason == ""
        assert known().instance_type("aws", "g99.12xlarge").accelerator == "L4"


def test_capacity_blocks_and_limits_are_kept(cloud, known, root, refresh_options, run_advisor):
    """`catalog show` tells of both, and which layer counts."""
    catalog = known()
    refresh(question(cloud.url, catalog), catalog, root, accepting(refresh_options, *FAMILIES))
    shown = run_advisor("catalog", "show", "p5.48xlarge", "--region", "us-east-1").stdout
    assert "capacity block in us-east-1a from 2026-12-01: 24 h at $31.45 an hour" in shown
    assert [line.split()[3:6] for line in shown.splitlines() if " on demand " in line] == [
        ["shipped", "55.04", "-"],
        ["refreshed", "←", "55.04"],
    ]
    shown = run_advisor("catalog", "show", "g6.xlarge", "--region", "us-east-1").stdout
    assert "limit of the account in us-east-1: 96 (L-DB2E81BA, 2026-11-26)" in shown


@pytest.mark.sampled(3)
def test_a_plan_beyond_the_limits_of_the_account_says_so(cloud, known, root, refresh_options):
    """16 processors of P were allowed when the account was asked: a fleet that takes more has to have more."""
    catalog = known()
    refresh(question(cloud.url, catalog), catalog, root, accepting(refresh_options, *FAMILIES))
    small, large = (
        workload(regions=("us-east-1",), purchase=(Purchase.ON_DEMAND,), demand=DeclaredDemand(rate, rate, 800, 200))
        for rate in (1.0, 90.0)
    )
    told = [note for note in plan_for(large, known()).notes if "the account's limit" in note]
    assert len(told) == 1
    assert "L-417A185B in us-east-1 was 16 vCPUs on 2026-11-26" in told[0]
    assert not [note for note in plan_for(small, known()).notes if "the account's limit" in note]
    stated = replace(large, limits=Limits(quotas=(QuotaLimit("aws", "us-east-1", "L-417A185B", 5000),)))
    assert not [note for note in plan_for(stated, known()).notes if "the account's limit" in note]


def test_what_is_not_asked_again_stays(cloud, known, root, refresh_options):
    """After a refresh of one region without plans, limits and blocks those of the first refresh still hold."""
    catalog = known()
    refresh(question(cloud.url, catalog), catalog, root, accepting(refresh_options, *FAMILIES))
    names = ("committed_prices.csv", "quotas.csv", "capacity_blocks.csv")
    first = {name: read_rows(current(root, "aws").directory / name) for name in names}
    assert all(first.values())
    catalog = known()
    asked = question(cloud.url, catalog, ("us-east-1",), ("prices", "sold"))
    assert refresh(asked, catalog, root, accepting(refresh_options, *FAMILIES)).reason == ""
    for name in names:
        kept = read_rows(current(root, "aws").directory / name)
        assert {tuple(row.values()) for row in kept} == {tuple(row.values()) for row in first[name]}


def test_an_answer_of_ec2_that_breaks_off_is_asked_again(cloud, known, root, refresh_options):
    """Half an XML document is no list of prices."""
    cut = Reply(b"<DescribeSpotPriceHistoryResponse><spotPriceHistorySet><item>", kind="text/xml", cut_after=40)
    cloud.faults.append(first_times(2, cut, lambda asked: asked.target == "DescribeSpotPriceHistory"))
    catalog = known()
    result = refresh(question(cloud.url, catalog, ("us-east-1",)), catalog, root, accepting(refresh_options, *FAMILIES))
    assert result.reason == ""


@pytest.mark.parametrize(
    "fault",
    [
        as_json({"__type": "ThrottlingException", "message": "Rate exceeded"}, 400),
        Reply(b"", 503),
        Reply(b'{"PriceList": ["{', 200, cut_after=8),
    ],
    ids=["throttled", "unavailable", "cut"],
)
def test_passing_faults_are_ridden_out(fault, cloud, known, root, refresh_options, monkeypatch):
    """Throttling, 5xx and broken answers of the price list are asked again."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    cloud.faults.append(first_times(2, fault, lambda asked: asked.target == "GetProducts"))
    catalog = known()
    result = refresh(
        question(cloud.url, catalog, ("us-east-1",), ("prices",)), catalog, root, accepting(refresh_options, *FAMILIES)
    )
    assert result.reason == ""
    assert offers(known())["us-east-1", "g6.2xlarge"].on_demand.usd_per_hour == 0.99


def test_denied_calls_leave_a_gap_with_the_action_that_would_allow_them(cloud, known, root, refresh_options):
    """Spot may not be read: the rest is published, spot prices stay as they were."""
    denied = xml_error("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)
    cloud.faults.append(lambda asked: denied if asked.target == "DescribeSpotPriceHistory" else None)
    before = known()
    result = refresh(question(cloud.url, before, ("us-east-1",)), before, root, accepting(refresh_options, *FAMILIES))
    assert result.reason == ""
    (gap,) = result.answer.gaps
    assert (gap.part, gap.denied) == ("spot", True)
    assert "ec2:DescribeSpotPriceHistory" in gap.remedy
    place = ("us-east-1", "g6.xlarge")
    assert offers(known())[place].spot == offers(before)[place].spot
    assert isinstance(current(root, "aws"), Snapshot)
    assert "UnauthorizedOperation" in current(root, "aws").gaps[0]


def test_a_region_that_is_not_enabled_leaves_gaps(cloud, known, root, refresh_options):
    """Its answer is that of a wrong key; no IAM action fixes it, and the other region goes on."""
    refused = xml_error("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    cloud.faults.append(lambda asked: refused if asked.region == "us-west-2" and asked.form.get("Action") else None)
    before = known()
    result = refresh(question(cloud.url, before), before, root, accepting(refresh_options, *FAMILIES))
    assert result.reason == ""
    denied = [gap for gap in result.answer.gaps if "AuthFailure" in gap.reason]
    assert {gap.region for gap in denied} == {"us-west-2"}
    assert {gap.remedy for gap in denied} == {
        "check the credentials; where only some regions answer so, the account has not enabled them"
    }


def test_a_price_list_without_machines_is_missing_not_empty(cloud, known, root, refresh_options):
    """The price list of the other regions has nothing of China: its machines are no less sold there."""
    cloud.faults.append(
        lambda asked: as_json({"FormatVersion": "aws_v1", "PriceList": []}) if b"cn-north-1" in asked.body else None
    )
    before = known()
    parts = ("sold", "prices")
    result = refresh(
        question(cloud.url, before, ("us-east-1", "cn-north-1"), parts),
        before,
        root,
        accepting(refresh_options, *FAMILIES),
    )
    assert [(gap.region, gap.part) for gap in result.answer.gaps] == [("cn-north-1", "prices")]
    assert {place for place in offers(before) if place[0] == "cn-north-1"} <= offers(known()).keys()


@pytest.mark.parametrize(
    ("code", "hint"),
    [("ExpiredTokenException", "log in"), ("InvalidSignatureException", "clock")],
    ids=["token", "clock"],
)
def test_expired_tokens_and_wrong_clocks_publish_nothing(code, hint, cloud, known, root, refresh_options):
    """The old prices hold, and the reason says what to do."""
    cloud.faults.append(lambda _asked: as_json({"__type": code, "message": "no"}, 400))
    before = known()
    result = refresh(question(cloud.url, before, ("us-east-1",), ("prices",)), before, root, refresh_options)
    assert result.snapshot is None
    assert hint in result.answer.gaps[0].remedy
    assert known().content_hash == before.content_hash


def test_a_run_that_was_cut_off_goes_on_where_it_was(cloud, known, root, refresh_options):
    """The second run asks only for what the first could not read."""
    out = [True]
    cloud.faults.append(
        lambda asked: (
            xml_error("InternalError", "no", 400) if out[0] and asked.target == "DescribeInstanceTypes" else None
        )
    )
    catalog = known()
    first = refresh(question(cloud.url, catalog, ("us-east-1",)), catalog, root, accepting(refresh_options, *FAMILIES))
    assert first.snapshot is None
    assert "could not be read" in first.reason
    out[0] = False
    cloud.asked.clear()
    second = refresh(question(cloud.url, catalog, ("us-east-1",)), catalog, root, accepting(refresh_options, *FAMILIES))
    assert second.reason == ""
    assert {asked.target for asked in cloud.asked} == {"DescribeInstanceTypes"}


def test_policy_names_the_action_of_every_call(cloud, known, root, refresh_options):
    """What is asked is what the policy allows, no more and no less."""
    catalog = known()
    refresh(question(cloud.url, catalog, ("us-east-1",)), catalog, root, refresh_options)
    asked = {one.target.rpartition("/")[2] for one in cloud.asked}
    allowed = {action.partition(":")[2] for action in aws.policy()["Statement"][0]["Action"]}
    assert asked == allowed


def test_what_sagemaker_asks_for_the_same_machines_is_read(cloud, known, root, refresh_options):
    """Its price of hosting, never of training; what it does not list any more is not sold, other regions stay."""
    cloud.account.managed |= {("us-east-1", "g6.xlarge"): 1.13, ("us-east-1", "p5.48xlarge"): 63.3}
    before = known()
    result = refresh(question(cloud.url, before, ("us-east-1",)), before, root, accepting(refresh_options, *FAMILIES))
    assert result.reason == ""
    found = offers(known())
    read = found["us-east-1", "g6.xlarge"].managed
    assert (read.service, read.price.usd_per_hour) == ("SageMaker real-time", 1.13)
    assert read.price.provenance.as_of == "2026-11-01"
    assert found["us-east-1", "p5.48xlarge"].managed_price.usd_per_hour == 63.3
    assert found["us-east-1", "g6.2xlarge"].managed is None, "not in its list"
    assert found["us-west-2", "g6.xlarge"].managed == offers(before)["us-west-2", "g6.xlarge"].managed
    changed = {(one.instance_type, one.purchase) for one in result.changes if one.region == "us-east-1"}
    assert ("p5.48xlarge", Purchase.MANAGED) in changed


def test_prices_of_sagemaker_stay_where_they_may_not_be_read(cloud, known, root, refresh_options):
    """The shipped ones, with their own source and date."""
    before = known()
    parts = tuple(part for part in aws.PARTS if part != "managed")
    refresh(question(cloud.url, before, ("us-east-1",), parts), before, root, accepting(refresh_options, *FAMILIES))
    place = ("us-east-1", "g6.xlarge")
    assert offers(known())[place].managed_price == offers(before)[place].managed_price


@pytest.mark.parametrize("paid", ["managed", "prices"])
def test_a_price_of_zero_is_held_up(paid, cloud, known, root, refresh_options):
    """Whoever names it: the old prices hold, and the row is told."""
    place = ("us-east-1", "g6.xlarge")
    getattr(cloud.account, paid)[place] = 0.0
    before = known()
    held = refresh(
        question(cloud.url, before, ("us-east-1",)), before, root, accepting(refresh_options, *FAMILIES)
    ).held
    assert {one.what for one in held if one.guard is Guard.NO_PRICE} >= {f"g6.xlarge {NAMES[paid]}"}
    assert known().content_hash == before.content_hash


def test_a_price_list_alone_sells_nothing(cloud, known, root, refresh_options):
    """AWS prices p3 long after regions ceased to offer it: what EC2's own list lacks is withdrawn, and stays so."""
    place = ("us-east-1", "p3.2xlarge")
    cloud.account.prices[place] = 3.06
    cloud.account.unoffered = (place,)
    for parts in (aws.PARTS, ("prices",)):
        catalog = known()
        asked = question(cloud.url, catalog, ("us-east-1",), parts)
        assert refresh(asked, catalog, root, accepting(refresh_options, *FAMILIES)).reason == ""
        offer = offers(known())[place]
        assert offer.withdrawn
        assert offer.on_demand.provenance.quality is Quality.WITHDRAWN


@pytest.mark.sampled(2)
def test_spot_by_zone_survives_a_refresh_without_spot(cloud, known, root, refresh_options):
    """The second refresh does not ask for spot: price and range stay; a withdrawn type that is sold again is not so."""
    for parts in (aws.PARTS, ("prices", "sold")):
        catalog = known()
        asked = question(cloud.url, catalog, ("us-east-1",), parts)
        assert refresh(asked, catalog, root, accepting(refresh_options, *FAMILIES)).reason == ""
        spot = offers(known())["us-east-1", "g6.xlarge"].spot
        assert (spot.usd_per_hour, spot.zones_usd_per_hour) == (0.40, (0.30, 0.80))
    cloud.account.prices["us-east-1", "g5.xlarge"] = 1.1
    catalog = known()
    asked = question(cloud.url, catalog, ("us-east-1",), ("prices", "sold"))
    assert refresh(asked, catalog, root, accepting(refresh_options, *FAMILIES, "moved:g5")).reason == ""
    again = offers(known())["us-east-1", "g5.xlarge"]
    assert not again.withdrawn
    assert (again.on_demand.usd_per_hour, again.on_demand.provenance.quality) == (1.1, Quality.LISTED)
