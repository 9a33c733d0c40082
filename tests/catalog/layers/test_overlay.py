"""What was negotiated counts before what is listed, until its day."""

import datetime as dt
from pathlib import Path

import pytest

from advisor.catalog.layers.layered import layered
from advisor.cost.response_cache import cheapest_nodes
from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.pipeline import plan_for, with_account
from advisor.requirements import check_names
from advisor.workload.document import read_workload
from advisor.workload.scope import in_scope
from advisor.workload.values import Limits, QuotaLimit
from builders import workload as plain

TODAY = dt.date(2026, 11, 26)
HEAD = "version: advisor.overlay/v1\n"
WORKLOAD = """
name: chat
model: llama-3.1-8b
demand: {declared: {requests_per_second: 1, peak_requests_per_second: 2, input_tokens: 100, output_tokens: 100}}
providers: [aws]
"""


@pytest.fixture
def catalog(tmp_path):
    """Makes the catalog with an overlay of this text."""

    def make(text):
        path = tmp_path / "catalog.yaml"
        path.write_text(HEAD + text)
        return layered(data_dir("instance_catalog"), tmp_path / "none", path, TODAY)

    return make


def offer_of(catalog):
    """The g6.xlarge of us-east-1."""
    place = ("aws", "us-east-1", "g6.xlarge")
    return next(one for one in catalog.offers if (one.provider, one.region, one.instance_type) == place)


def on_demand(catalog, name="g6.xlarge", region="us-east-1"):
    """The price that counts."""
    return next(one for one in catalog.offers if (one.region, one.instance_type) == (region, name)).on_demand


def test_a_discount_is_off_the_list_price_of_its_families(catalog):
    """12 percent off g6 in one region; g5 and other regions pay what is listed; the source says so."""
    listed = layered(data_dir("instance_catalog"), data_dir("none"), None, TODAY)
    made = catalog(
        "discounts:\n- {provider: aws, families: [g6], regions: [us-east-1], discount_ratio: 0.12, note: EDP 7}\n"
    )
    assert on_demand(made).usd_per_hour == pytest.approx(on_demand(listed).usd_per_hour * 0.88)
    assert on_demand(made).provenance.source.startswith("12% off karpenter")
    assert "EDP 7" in on_demand(made).provenance.source
    assert on_demand(made, "g5.xlarge") == on_demand(listed, "g5.xlarge")
    assert on_demand(made, region="us-west-2") == on_demand(listed, region="us-west-2")
    assert made.content_hash != listed.content_hash


def test_a_discount_holds_under_a_listed_commitment_too(catalog):
    """A tenth off a family is off the listed prices of its commitments; a private price by the hour is not."""
    private = "private_offers:\n- {provider: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: 0.6}\n"
    discount = "discounts:\n- {provider: aws, families: [g6], discount_ratio: 0.1, note: EDP 7}\n"
    before, after, beside = (
        made.commitments(offer_of(made)) for made in (catalog(text) for text in ("", discount, private))
    )
    assert [each.usd_per_hour for each in after] == [pytest.approx(0.9 * each.usd_per_hour) for each in before]
    assert all("10% off" in each.provenance.source for each in after)
    assert list(beside) == [each for each in before if each.usd_per_hour < 0.6]


def test_a_discounted_price_is_founded_as_well_as_its_list_price(catalog):
    """A discount that is agreed on takes nothing from the list price: quality and date stay."""
    listed = layered(data_dir("instance_catalog"), data_dir("none"), None, TODAY)
    made = catalog("discounts:\n- {provider: aws, families: [g6, g6f], discount_ratio: 0.12}\n")
    for place in (("g6.xlarge", "us-east-1"), ("g6f.large", "us-west-2")):
        was, now = on_demand(listed, *place).provenance, on_demand(made, *place).provenance
        assert (now.quality, now.as_of) == (was.quality, was.as_of)


def test_stated_zones_count_before_all_lists(catalog):
    """Of one type in one region; the others are as they were."""
    listed = layered(data_dir("instance_catalog"), data_dir("none"), None, TODAY)
    made = catalog(
        "zones:\n"
        "- {provider: azure, region: eastus, instance_type: Standard_NC24ads_A100_v4, zones: [3, 1]}\n"
        "- {provider: aws, region: us-east-1, instance_type: g6.xlarge, zones: [use1-az1]}\n"
    )
    found = made.zones("azure", "eastus", "Standard_NC24ads_A100_v4")
    assert (found.names, found.count, found.verified, found.source) == (("1", "3"), 2, True, "overlay file")
    assert made.zones("aws", "us-east-1", "g6.xlarge").count == 1
    assert made.zones("aws", "us-east-1", "g6.2xlarge") == listed.zones("aws", "us-east-1", "g6.2xlarge")
    other = ("azure", "eastus", "Standard_ND96isr_H100_v5")
    assert made.zones(*other) == listed.zones(*other)
    assert made.content_hash != listed.content_hash


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{provider: aws, region: us-east-1, instance_type: g6.xlarg, zones: [use1-az1]}", "g6.xlarge"),
        ("{provider: aws, region: us-east-9, instance_type: g6.xlarge, zones: [use1-az1]}", "us-east-"),
        ("{provider: aws, region: us-east-1, instance_type: g6.xlarge, zones: []}", "the list is empty"),
        (
            "{provider: aws, region: us-east-1, instance_type: g6.xlarge, zones: [us-east-1a]}",
            "by id, such as use1-az1",
        ),
        (
            "{provider: aws, region: us-east-1, instance_type: g6.xlarge, zones: [usw2-az1]}",
            "is not a zone of us-east-1",
        ),
        ('{provider: aws, region: us-east-1, instance_type: g6.xlarge, zones: ["use1-az1\\nx"]}', "is not a zone of"),
        ("{provider: gcp, region: us-central1, instance_type: g2-standard-4, zones: [us-east1-b]}", "us-central1-a"),
        ("{provider: azure, region: eastus, instance_type: Standard_NC24ads_A100_v4, zones: [east]}", "are numbers"),
        ("{provider: aws, region: us-east-1, instance_type: g6.xlarge}", "missing: zones"),
    ],
)
def test_stated_zones_are_checked(catalog, entry, words):
    """Unknown names come with the nearest known ones; no zone at all is no statement."""
    with pytest.raises(InputError) as raised:
        catalog(f"zones:\n- {entry}\n").zones("aws", "us-east-1", "g6.xlarge")
    assert words in f"{raised.value.message} {raised.value.hint}"


def test_a_private_offer_is_the_price_itself(catalog):
    """It counts before a discount."""
    made = catalog(
        "discounts:\n- {provider: aws, families: ['*'], discount_ratio: 0.5}\n"
        "private_offers:\n- {provider: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: 0.61}\n"
    )
    assert on_demand(made).usd_per_hour == 0.61
    assert on_demand(made).provenance.source == "private offer"


def test_a_discount_on_spot_is_off_every_zone(catalog):
    """The range over zones shrinks with the median, so that it still holds it."""
    made = catalog("discounts:\n- {provider: aws, families: [g6f], purchase: [spot], discount_ratio: 0.5}\n")
    spot = made.offer("aws", "us-east-1", "g6f.xlarge").spot
    listed = layered(data_dir("instance_catalog"), data_dir("none"), None, TODAY)
    was = listed.offer("aws", "us-east-1", "g6f.xlarge").spot
    assert spot.usd_per_hour == pytest.approx(was.usd_per_hour / 2)
    assert spot.zones_usd_per_hour == pytest.approx([usd / 2 for usd in was.zones_usd_per_hour])


def test_what_is_offered_to_one_customer_is_not_withdrawn(catalog):
    """A private offer says that the region sells the type to its customer; a discount on a last price does not."""
    place = ("aws", "ap-southeast-1", "p4d.24xlarge")
    offered = (
        "private_offers:\n- {provider: aws, region: ap-southeast-1, instance_type: p4d.24xlarge, usd_per_hour: 20}\n"
    )
    assert not catalog(offered).offer(*place).withdrawn
    assert catalog("discounts:\n- {provider: aws, families: ['*'], discount_ratio: 0.5}\n").offer(*place).withdrawn


def test_expired_entries_count_no_more_and_are_said(catalog):
    """The day itself still counts."""
    made = catalog("discounts:\n- {provider: aws, families: [g6], discount_ratio: 0.12, until: 2026-11-25}\n")
    assert on_demand(made).usd_per_hour == 0.8048
    (warning,) = made.warnings
    assert "catalog.yaml:3: expired on 2026-11-25" in warning
    made = catalog("discounts:\n- {provider: aws, families: [g6], discount_ratio: 0.12, until: 2026-11-26}\n")
    assert on_demand(made).usd_per_hour < 0.8048


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("discounts:\n- {provider: aws, families: [g66], discount_ratio: 0.1}\n", "unknown family of aws: 'g66'"),
        ("discounts:\n- {provider: gcp, families: [g6], discount_ratio: 0.1}\n", "unknown family of gcp: 'g6'"),
        ("discounts:\n- {provider: awss, families: [g6], discount_ratio: 0.1}\n", "unknown provider: 'awss'"),
        ("discounts:\n- {provider: aws, families: [g6], discount_ratio: 12}\n", "12 is out of range"),
        ("discount:\n- {}\n", "unknown key 'discount'"),
        (
            "private_offers:\n- {provider: aws, region: us-east-9, instance_type: g6.xlarge, usd_per_hour: 1}\n",
            "unknown region of aws: 'us-east-9'",
        ),
        (
            "private_offers:\n- {provider: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: 0}\n",
            "0 is out of range",
        ),
        (
            "private_offers:\n- {provider: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: 0.0000001}\n",
            "0.0000001 is out of range",
        ),
        (
            "private_offers:\n- {provider: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: 1.0e+308}\n",
            "1.0e+308 is out of range",
        ),
    ],
)
def test_mistakes_name_line_and_remedy(text, message, catalog):
    """Unknown names come with the nearest known ones."""
    with pytest.raises(InputError) as caught:
        _ = catalog(text).offers
    assert message in caught.value.message
    assert "catalog.yaml:" in caught.value.where
    assert caught.value.hint


def workload(tmp_path, more=""):
    """A workload on AWS."""
    path = tmp_path / "workload.yaml"
    path.write_text(WORKLOAD + more)
    return read_workload(path)


def test_the_account_joins_the_workload(catalog, tmp_path):
    """Regions, commitments and quotas of the overlay count; what the workload file says counts first."""
    made = catalog(
        "regions: {aws: [us-east-1, us-west-2]}\n"
        "commitments:\n"
        "- {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 2, expires: 2099-01-01}\n"
        "- {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 5, expires: 2020-01-01}\n"
        "quotas:\n- {provider: aws, region: us-east-1, code: L-DB2E81BA, limit: 96}\n"
    )
    joined = with_account(workload(tmp_path), made)
    assert joined.regions == ("us-east-1", "us-west-2")
    assert [one.count for one in joined.commitments] == [2]
    assert [one.limit for one in joined.limits.quotas] == [96]
    own = "regions: [us-west-2, eu-west-1]\nlimits: {quotas: [{provider: aws, region: us-east-1, code: L-DB2E81BA, limit: 8}]}\n"
    joined = with_account(workload(tmp_path, own), made)
    assert joined.regions == ("us-west-2",)
    assert [one.limit for one in joined.limits.quotas] == [8]


def test_regions_of_an_account_are_named(catalog):
    """Those that take an account of their own are planned in where the account lists them, and nowhere else."""
    joined = with_account(plain(providers=("aws", "gcp"), regions=()), catalog("regions: {gcp: [us-east1]}\n"))
    assert "us-east1" in joined.regions
    assert not {"us-gov-west-1", "us-central1"} & set(joined.regions)
    made = catalog("regions: {aws: [us-gov-west-1]}\n")
    assert in_scope(with_account(plain(regions=()), made), made).regions == ("us-gov-west-1",)


def test_a_limit_in_an_unknown_region_is_refused(catalog, tmp_path):
    """In the overlay and in a workload file: it would protect nobody."""
    quota = "{provider: aws, region: us-eest-1, code: L-DB2E81BA, limit: 96}"
    with pytest.raises(InputError) as caught:
        with_account(workload(tmp_path), catalog(f"quotas:\n- {quota}\n"))
    assert "unknown region of aws: 'us-eest-1'" in caught.value.message
    assert "catalog.yaml:3" in caught.value.where
    with pytest.raises(InputError) as caught:
        check_names(workload(tmp_path, f"limits: {{quotas: [{quota}]}}\n"), catalog(""))
    assert "did you mean" in caught.value.hint


@pytest.mark.sampled(3)
def test_a_limit_that_nothing_is_counted_against_is_noted(catalog):
    """A whole account may be listed; a code that counts no accelerator is named, with the nearest that does."""
    limits = Limits(
        quotas=(QuotaLimit("aws", "us-east-1", "L-DB2E81BB", 96), QuotaLimit("aws", "us-east-1", "L-DB2E81BA", 96))
    )
    (note,) = [one for one in plan_for(plain(limits=limits), catalog("")).notes if "counted against" in one]
    assert "the limit L-DB2E81BB in us-east-1 (did you mean L-DB2E81BA or" in note


@pytest.mark.sampled(2)
def test_a_commitment_that_has_expired_is_said_by_a_recommendation(tmp_path, run_advisor):
    """Beside what expired of the prices."""
    path = tmp_path / "config/advisor/catalog.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "version: advisor.overlay/v1\ncommitments:\n"
        "- {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 5, expires: 2020-01-01}\n"
    )
    example = Path(__file__).parents[3] / "examples/chat/workload.yaml"
    done = run_advisor("recommend", example, XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert done.returncode == 0
    assert "the commitment to 5 × g6.xlarge in us-east-1 expired on 2020-01-01, so it counts no more" in done.stderr


def test_a_workload_outside_the_allowed_regions_is_refused(catalog, tmp_path):
    """With the ones that are allowed."""
    made = catalog("regions: {aws: [us-east-1]}\n")
    with pytest.raises(InputError, match="may be used") as caught:
        with_account(workload(tmp_path, "regions: [eu-west-1]\n"), made)
    assert "allows us-east-1" in caught.value.hint


def test_what_a_managed_service_asks_can_be_negotiated(catalog):
    """A discount off a price that is known, a private offer where none is; other ways of paying stay as they are."""

    def managed(made, name, region):
        return next(one for one in made.offers if (one.region, one.instance_type) == (region, name)).managed_price

    made = catalog(
        "discounts:\n- {provider: aws, families: [g6], discount_ratio: 0.5, purchase: [managed]}\n"
        "private_offers:\n- {provider: aws, region: eu-west-1, instance_type: g5.xlarge, purchase: managed, "
        "usd_per_hour: 1.2}\n"
    )
    listed = layered(data_dir("instance_catalog"), data_dir("none"), None, TODAY)
    half = managed(listed, "g6.xlarge", "us-east-1").usd_per_hour / 2
    assert managed(made, "g6.xlarge", "us-east-1").usd_per_hour == pytest.approx(half)
    assert managed(listed, "g5.xlarge", "eu-west-1") is None
    assert managed(made, "g5.xlarge", "eu-west-1").usd_per_hour == 1.2
    assert on_demand(made) == on_demand(listed)


def test_a_stated_node_holds_what_no_listed_one_does(catalog):
    """A larger node of one's own is priced as stated, in the share of its memory that those of its provider have."""
    stated = (
        "cache_nodes:\n- {provider: azure, region: eastus, node: Balanced_B10, memory_gib: 12, usd_per_hour: 0.3}\n"
    )
    _, node, price = cheapest_nodes(9.0, catalog(stated), "azure", "eastus")

    assert isinstance(cheapest_nodes(9.0, catalog(""), "azure", "eastus"), str)
    assert (node.node, node.engine, node.usable_gib) == ("Balanced_B10", "redis", pytest.approx(9.6))
    assert (price.usd, price.unit, price.provenance.source) == (0.3, "hour", "overlay file")


def test_a_stated_price_of_a_listed_node_counts(catalog):
    """In its region the stated price is paid, elsewhere the listed one."""
    stated = "cache_nodes:\n- {provider: aws, region: us-east-1, node: cache.t4g.medium, memory_gib: 3.09, usd_per_hour: 0.01}\n"
    places = [cheapest_nodes(2.0, catalog(stated), "aws", region) for region in ("us-east-1", "us-west-2")]

    assert [(node.node, price.usd) for _, node, price in places] == [
        ("cache.t4g.medium", 0.01),
        ("cache.t4g.medium", 0.052),
    ]
