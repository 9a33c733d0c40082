"""Commitments, spot risk, quotas, carbon, cold starts, transfer and serverless: figures that a plan is made of."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.catalog import Catalog
from advisor.catalog.values import Purchase, Quality, family_of
from advisor.errors import InputError
from advisor.tables import read_rows

CATALOG = load_catalog()
OFFERS = {(offer.provider, offer.instance_type, offer.region): offer for offer in CATALOG.offers}
CLOUDS = ("aws", "gcp", "azure")
P5E = ("aws", "p5e.48xlarge", "us-west-2")


@pytest.mark.parametrize(
    ("provider", "instance_type", "family"),
    [
        ("aws", "g6.xlarge", "g6"),
        ("aws", "p6-b200.48xlarge", "p6-b200"),
        ("gcp", "a2-highgpu-1g", "a2-highgpu"),
        ("gcp", "a3-ultragpu-8g-nolssd", "a3-ultragpu"),
        ("gcp", "n1-standard-16+2xT4", "n1-standard+T4"),
        ("gcp", "ct5lp-hightpu-4t", "ct5lp-hightpu"),
        ("azure", "Standard_NC24ads_A100_v4", "NCads_A100_v4"),
        ("azure", "Standard_ND96isr_H100_v5", "NDisr_H100_v5"),
        ("azure", "Standard_ND96is_flex_H100_v5", "NDis_flex_H100_v5"),
        ("nebius", "gpu-h100-sxm_1gpu-16vcpu-200gb", "gpu-h100-sxm_1gpu-16vcpu-200gb"),
    ],
)
def test_the_family_of_a_type(provider, instance_type, family):
    """A family is what the provider's discounts and limits speak of."""
    assert family_of(provider, instance_type) == family


@pytest.mark.parametrize("table", ["commitments.csv", "quotas.csv", "reservations.csv"])
def test_every_family_of_a_planning_table_is_sold(table):
    """No row speaks of a family that no instance type belongs to."""
    machines = [*CATALOG.instance_types, *CATALOG.cpu_instances]
    known = {(provider, family_of(provider, name)) for provider, name in machines}
    for row in read_rows(CATALOG.directory / table):
        for family in row["families"].split(";"):
            assert family == "*" or (row["provider"], family) in known, row


def test_prices_under_commitments():
    """A g6.xlarge at 0.8048 USD/h costs as listed for three years and for one, and the flexible kind more."""
    found = CATALOG.commitments(OFFERS["aws", "g6.xlarge", "us-east-1"])
    rows = [(each.commitment.instrument.split()[0], each.commitment.term_years, each.usd_per_hour) for each in found]
    assert rows == [
        ("Standard", 3, 0.3694), ("Convertible", 3, 0.46175), ("Standard", 1, 0.52392), ("Convertible", 1, 0.65491),
    ]  # fmt: skip
    assert {(each.provenance.quality, each.provenance.as_of) for each in found} == {(Quality.LISTED, "2025-04-04")}


def test_a_listed_price_counts_before_a_discount():
    """Of one instrument the price of the region; of another one that has none, on demand less the discount."""
    offer = OFFERS["azure", "Standard_NC24ads_A100_v4", "westeurope"]
    rows = {(each.commitment.instrument, each.commitment.term_years): each for each in CATALOG.commitments(offer)}
    plan = rows["Savings plan for compute", 1]
    assert (plan.usd_per_hour, plan.provenance.quality) == (3.97471, Quality.LISTED)
    assert plan.commitment.discount_ratio is None
    reserved = rows["Reserved VM Instance", 1]
    assert (reserved.usd_per_hour, reserved.provenance.quality) == (pytest.approx(4.775 * 0.64), Quality.RECALLED)
    moved = replace(offer, on_demand=replace(offer.on_demand, usd_per_hour=4.2))
    again = {(each.commitment.instrument, each.commitment.term_years): each for each in CATALOG.commitments(moved)}
    assert again["Savings plan for compute", 1].usd_per_hour == 3.97471, "a listed price does not follow on demand"
    assert again["Reserved VM Instance", 1].usd_per_hour == pytest.approx(4.2 * 0.64)


def test_a_commitment_that_saves_nothing_any_more_is_left_out():
    """On demand fell under the price of a plan that was listed before: it is no commitment to enter."""
    offer = OFFERS["azure", "Standard_NC24ads_A100_v4", "westeurope"]
    cheap = replace(offer, on_demand=replace(offer.on_demand, usd_per_hour=3.9))
    assert "Savings plan for compute" not in {each.commitment.instrument for each in CATALOG.commitments(cheap)}


def test_a_discount_that_differs_by_region_is_never_overstated():
    """Where nothing is listed, the least discount of all regions holds: g4dn 29.6 % rather than 37 %."""
    known = OFFERS["aws", "g4dn.xlarge", "us-east-1"]
    elsewhere = replace(known, region="xx-nowhere-1")
    for offer, saved in ((known, 0.37), (elsewhere, 0.296)):
        year = min(each.usd_per_hour for each in CATALOG.commitments(offer) if each.commitment.term_years == 1)
        assert 1 - year / offer.on_demand.usd_per_hour == pytest.approx(saved, abs=0.001)


def test_discounts_from_before_a_price_cut_are_gone():
    """What P4 and P5 cost under a commitment since June 2025 is not known, and no older figure stands in for it."""
    for offer in CATALOG.offers_in(["aws"]):
        if family_of("aws", offer.instance_type) in {"p4d", "p4de", "p5", "p5en"}:
            assert CATALOG.commitments(offer) == ()
    assert not [row for row in read_rows(CATALOG.directory / "commitments.csv") if row["quality"] == "stale"]


@pytest.mark.parametrize("provider", ["aws", "azure", "gcp"])
def test_listed_prices_of_commitments_are_of_offers_and_save(provider):
    """Each is of a pair that is sold, below on demand, and by the year what the region's price file says."""
    rows = list(read_rows(CATALOG.directory / "committed_prices" / f"{provider}.csv"))
    assert len(rows) == {"aws": 2908, "azure": 129, "gcp": 724}[provider]
    for row in rows:
        offer = OFFERS[provider, row["instance_type"], row["region"]]
        assert row["payment"] == "no_upfront"
        saves = float(row["usd_per_hour"]) < offer.on_demand.usd_per_hour
        assert saves == (row["instrument"] in {each.commitment.instrument for each in CATALOG.commitments(offer)})


def test_machines_without_an_accelerator_have_commitments_too():
    """Discounts of AWS and Azure by family, of Google by resource and flexible, none of them on accelerators alone."""
    offers = {
        (one.instance_type, one.region): one for name in ("aws", "gcp", "azure") for one in CATALOG.cpu_offers(name)
    }
    found = CATALOG.commitments(offers["n4-standard-8", "us-central1"])
    assert [(each.commitment.instrument.split()[0], each.commitment.term_years) for each in found] == [
        ("Committed", 3), ("Flexible", 3), ("Committed", 1), ("Flexible", 1),
    ]  # fmt: skip
    assert len(CATALOG.commitments(offers["m8g.4xlarge", "us-east-1"])) == 4
    assert len(CATALOG.commitments(offers["Standard_D4s_v5", "westeurope"])) == 1
    flexible = {"Flexible committed use discount"}
    assert not any(
        flexible & {each.commitment.instrument for each in CATALOG.commitments(one)} for one in CATALOG.offers
    )


def test_reservations_are_facts_that_no_price_comes_from():
    """A capacity block has its terms and price by region, and a type that is sold so alone has no commitment."""
    home, west = (
        {one.instrument: one for one in CATALOG.reservations(replace(OFFERS[P5E], region=region))}
        for region in ("us-west-2", "us-west-1")
    )
    block = home["EC2 Capacity Block"]
    assert (block.least_days, block.most_days, block.days_ahead, block.payment) == (1, 182, 56, "upfront")
    assert (block.usd_per_hour, west["EC2 Capacity Block"].usd_per_hour) == (39.8, 49.75)
    assert CATALOG.commitments(OFFERS[P5E]) == ()
    assert CATALOG.price(OFFERS[P5E], Purchase.COMMITMENT) is None
    calendar = CATALOG.reservations(OFFERS["gcp", "a3-highgpu-8g", "us-central1"])
    assert [(one.instrument, one.most_days) for one in calendar] == [("Future reservation in calendar mode", 90)]
    assert CATALOG.reservations(OFFERS["azure", "Standard_NC24ads_A100_v4", "westeurope"]) == ()


def test_recalled_discounts_do_not_pass_for_derived():
    """Azure's reservations and Google's TPU commitments were recalled, and so are the prices computed with them."""
    for key in (("azure", "Standard_NC24ads_A100_v4", "eastus"), ("gcp", "ct6e-standard-1t", "us-central1")):
        found = CATALOG.commitments(OFFERS[key])
        assert [each.commitment.term_years for each in found] == [3, 1]
        assert {each.provenance.quality for each in found} == {Quality.RECALLED}


@given(st.sampled_from(CATALOG.offers))
def test_a_commitment_never_costs_more_than_on_demand(offer):
    """Each commitment lies between nothing and the on-demand price, three years never cost more than one, and the
    cheapest that can still be bought is the price of the purchase.
    """
    found = CATALOG.commitments(offer)
    prices = [each.usd_per_hour for each in found]
    assert prices == sorted(prices)
    by_instrument = {(each.commitment.instrument, each.commitment.term_years): each.usd_per_hour for each in found}
    assert len(by_instrument) == len(found)
    for (instrument, term_years), usd_per_hour in by_instrument.items():
        assert 0 < usd_per_hour < offer.on_demand.usd_per_hour
        if term_years == 1:
            assert by_instrument.get((instrument, 3), 0) < usd_per_hour
    cheapest = CATALOG.price(offer, Purchase.COMMITMENT)
    current = [each.usd_per_hour for each in found if each.provenance.quality is not Quality.STALE]
    assert (cheapest.usd_per_hour if cheapest else None) == next(iter(current), None)


def test_no_two_commitments_of_an_offer_have_one_price():
    """What is sold under two names at one price is one commitment, so no plan has to choose between equals."""
    for offer in CATALOG.offers:
        prices = [each.usd_per_hour for each in CATALOG.commitments(offer)]
        assert len(set(prices)) == len(prices), offer


def test_an_unknown_price_has_no_commitment():
    """Without an on-demand price there is none under a commitment, and a family without discount has none either."""
    unpriced = next(offer for offer in CATALOG.offers_in(["gcp"]) if offer.on_demand is None)
    assert CATALOG.commitments(unpriced) == ()
    assert CATALOG.price(unpriced, Purchase.COMMITMENT) is None
    assert CATALOG.commitments(OFFERS["aws", "g7e.2xlarge", "us-east-1"]) == ()


def test_how_often_spot_is_interrupted():
    """AWS publishes a band for a type in a region; of Google and Azure nothing is known."""
    risk = CATALOG.spot_risk(OFFERS["aws", "g6.xlarge", "us-east-1"])
    assert (risk.interrupted_low_ratio, risk.interrupted_high_ratio, risk.provenance.as_of) == (0.2, 1.0, "2025-06-28")
    assert CATALOG.spot_risk(OFFERS["gcp", "g2-standard-4", "us-central1"]) is None
    assert CATALOG.spot_risk(OFFERS["azure", "Standard_NC24ads_A100_v4", "eastus"]) is None


def test_spot_bands_are_the_five_published_ones_of_real_offers():
    """Bands begin at 0, 5, 10, 15 or 20 %, the last one is open, and each is of an offer in the catalog."""
    bands = set()
    for row in read_rows(CATALOG.directory / "spot_interruptions.csv"):
        assert (row["provider"], row["instance_type"], row["region"]) in OFFERS
        bands.add((float(row["interrupted_low_ratio"]), float(row["interrupted_high_ratio"])))
    assert bands == {(0, 0.05), (0.05, 0.1), (0.1, 0.15), (0.15, 0.2), (0.2, 1)}


@pytest.mark.parametrize(
    ("provider", "instance_type", "purchase", "code", "use"),
    [
        ("aws", "g6.12xlarge", Purchase.ON_DEMAND, "L-DB2E81BA", 48),
        ("aws", "p5.48xlarge", Purchase.ON_DEMAND, "L-417A185B", 192),
        ("aws", "p5.48xlarge", Purchase.SPOT, "L-C4BD4855", 192),
        ("aws", "p4d.24xlarge", Purchase.SPOT, "L-7212CCBC", 96),
        ("aws", "trn1.32xlarge", Purchase.SPOT, "L-6B0D517C", 128),
        ("aws", "inf2.xlarge", Purchase.COMMITMENT, "L-1945791B", 4),
        ("gcp", "a2-highgpu-8g", Purchase.ON_DEMAND, "compute.googleapis.com/nvidia_a100_gpus", 8),
        ("gcp", "n1-standard-16+2xT4", Purchase.SPOT, "compute.googleapis.com/preemptible_nvidia_t4_gpus", 2),
        ("gcp", "g2-standard-48", Purchase.COMMITMENT, "compute.googleapis.com/committed_nvidia_l4_gpus", 4),
        ("azure", "Standard_NC48ads_A100_v4", Purchase.ON_DEMAND, "StandardNCADSA100v4Family", 48),
        ("azure", "Standard_NC48ads_A100_v4", Purchase.SPOT, "lowPriorityCores", 48),
    ],
)
def test_the_limit_that_counts_a_machine(provider, instance_type, purchase, code, use):
    """Each family and market has its limit, which counts processors at AWS and Azure and accelerators at Google."""
    machine = CATALOG.instance_type(provider, instance_type)
    assert CATALOG.quota(machine, purchase).code == code
    assert CATALOG.quota_use(machine) == use


def test_machines_without_a_known_limit_are_these():
    """Holes are holes: Google's newest GPUs and TPUs, and v5e without a slice, have no limit that anyone prints."""
    without = {
        (machine.provider, family_of(machine.provider, machine.name))
        for machine in CATALOG.instance_types.values()
        if machine.provider in CLOUDS and CATALOG.quota(machine, Purchase.ON_DEMAND) is None
    }
    assert without == {
        *(("gcp", f"attach:{part}") for part in ("P100", "P4", "T4", "V100")),
        *(("gcp", family) for family in ("a4x-maxgpu", "tpu7x-standard", "ct5l-hightpu")),
    }
    assert CATALOG.quota(CATALOG.instance_type("aws", "p6-b200.48xlarge"), Purchase.SPOT) is None
    assert CATALOG.quota_use(CATALOG.instance_type("gcp", "ct5l-hightpu-4t")) is None


def test_default_quotas_say_how_well_they_are_known():
    """AWS prints zeros, Azure's zeros are recalled, Google's go by the age of the project and are unknown."""
    rows = list(read_rows(CATALOG.directory / "quotas.csv"))
    for provider, default in {"aws": ("0", "listed"), "azure": ("0", "recalled"), "gcp": ("", "")}.items():
        name = {"aws": "g6.xlarge", "azure": "Standard_NC24ads_A100_v4", "gcp": "g2-standard-4"}[provider]
        code = CATALOG.quota(CATALOG.instance_type(provider, name), Purchase.ON_DEMAND).code
        assert {(row["default_value"], row["default_quality"]) for row in rows if row["code"] == code} == {default}


@pytest.mark.parametrize(
    ("provider", "region", "carbon_g_per_kwh", "pue"),
    [("aws", "us-east-1", 396.25, 1.15), ("aws", "af-south-1", 702.03, 1.24), ("gcp", "europe-north1", 39.32, 1.09)],
)
def test_carbon_of_a_region(provider, region, carbon_g_per_kwh, pue):
    """The figure is that of the local grid, with the building's overhead beside it."""
    grid = CATALOG.grid(provider, region)
    assert (grid.carbon_g_per_kwh, grid.pue) == (carbon_g_per_kwh, pue)


def test_no_region_is_free_of_carbon():
    """Certificates bring a market figure to 0; the catalog has physics: every grid emits, every building adds."""
    known = {key: CATALOG.grid(*key) for key in CATALOG.regions}
    holes = {key for key, grid in known.items() if grid is None and key[0] in CLOUDS}
    for grid in filter(None, known.values()):
        assert 1 < grid.carbon_g_per_kwh < 1000
        assert 1 < grid.pue < 2
    assert holes == {
        *(("aws", region) for region in ("ap-southeast-5", "ap-southeast-7", "ca-west-1")),
        *(("azure", region) for region in ("jioindiacentral", "malaysiawest", "norwayeast", "norwaywest")),
        *(("azure", "swedensouth"), ("gcp", "asia-southeast3")),
    }


def test_price_of_data_that_leaves():
    """Google charges by the GiB; between regions of AWS it costs its own; what is not known costs what is dearest."""
    assert CATALOG.egress_usd_per_gb("aws", "us-east-1").usd_per_gb == 0.09
    assert CATALOG.egress_usd_per_gb("gcp", "us-central1").usd_per_gb == pytest.approx(0.1118, abs=1e-4)
    assert CATALOG.egress_usd_per_gb("azure", "westeurope").provenance.quality is Quality.RECALLED
    unknown = CATALOG.egress_usd_per_gb("nebius", "eu-north1")
    assert unknown.usd_per_gb >= CATALOG.egress_usd_per_gb("aws", "us-east-1").usd_per_gb
    assert unknown.provenance.quality is Quality.DERIVED


def test_what_a_cold_start_is_made_of():
    """Figures are positive and inside their range; 131 GiB of weights start in about 79 s, with a cache in 45 s."""
    facts = CATALOG.cold_start
    every = {**facts.parts, **facts.images, **{row.pattern: row.seconds for row in facts.machines}}
    for name, fact in every.items():
        assert 0 < fact.low <= fact.value <= fact.high, name
    assert facts["image_vllm_cuda"].value == 12
    assert (facts["launch_gpu"].low, facts["launch_gpu"].high) == (60, 180)
    assert facts["engine_init_base"].value + 131.4 * facts["engine_init_per_weights"].value == pytest.approx(79, abs=1)
    cached = facts["engine_init_cached_base"].value + 131.4 * facts["engine_init_cached_per_weights"].value
    assert cached == pytest.approx(44.6, abs=0.1)


def test_accelerators_by_the_second():
    """An L4 on Cloud Run comes with 4 processors and 16 GiB: 1.05 USD/h; what is not said is None."""
    by_key = {(each.provider, each.service, each.accelerator): each for each in CATALOG.serverless if each.usd_per_hour}
    cloud_run = by_key["gcp", "Cloud Run", "L4"]
    assert cloud_run.usd_per_hour == pytest.approx(1.05, abs=0.01)
    assert (cloud_run.vcpus, cloud_run.memory_gib, cloud_run.cold_start_seconds) == (4, 16, 5)
    assert cloud_run.idle_seconds is None
    assert by_key["runpod", "Serverless flex", "L4"].usd_per_hour == pytest.approx(0.684)
    assert by_key["modal", "Functions", "H100-SXM"].usd_per_hour == pytest.approx(3.9492)
    container_app = by_key["azure", "Container Apps", "A100-80GB-PCIe"]
    assert container_app.usd_per_hour == pytest.approx(3600 * (0.000529 + 24 * 0.000024 + 220 * 0.000003))
    assert (container_app.vcpus, container_app.memory_gib) == (24, 220)
    unpriced = {(each.service, each.accelerator) for each in CATALOG.serverless if each.usd_per_hour is None}
    assert unpriced == {
        ("Cloud Run", "L4"), ("Cloud Run", "RTX-PRO-6000"), ("Container Apps", "T4"),
        ("Container Apps", "A100-80GB-PCIe"),
    }  # fmt: skip


def test_no_table_is_read_before_it_is_asked_for(tmp_path):
    """A catalog without planning tables still answers what a recommendation asks."""
    copy = Path(shutil.copytree(CATALOG.directory, tmp_path / "catalog"))
    for name in (
        "commitments", "spot_interruptions", "quotas", "region_latency", "user_places", "grid", "cold_start",
        "egress", "serverless", "service_prices",
    ):  # fmt: skip
        (copy / f"{name}.csv").unlink()
    bare = load_catalog(copy)
    assert bare.price(bare.offers[0], Purchase.ON_DEMAND) == CATALOG.price(CATALOG.offers[0], Purchase.ON_DEMAND)
    with pytest.raises(InputError, match=r"commitments\.csv: cannot read"):
        bare.commitments(bare.offers[0])


@pytest.mark.parametrize(
    ("name", "old", "new", "column", "message"),
    [
        ("commitments.csv", ",0.349,", ",lots,", "discount_ratio", "'lots' is not a number"),
        ("quotas.csv", "aws,on_demand,", "aws,sometimes,", "market", "'sometimes' is none of on_demand"),
        ("spot_interruptions.csv", ",0.2,1,", ",often,1,", "interrupted_low_ratio", "'often' is not a number"),
        ("grid.csv", "gsf-cloud-regions", "hearsay", "source", "'hearsay' is not in sources.csv"),
    ],
)
def test_a_bad_cell_of_a_planning_table_is_named(tmp_path, name, old, new, column, message):
    """The error says which file, line and column to look at, and what is wrong there."""
    copy = Path(shutil.copytree(CATALOG.directory, tmp_path / "catalog"))
    before, found, after = (copy / name).read_text().partition(old)
    assert found
    (copy / name).write_text(before + new + after)
    damaged = load_catalog(copy)
    offer = OFFERS["aws", "g6.xlarge", "us-east-1"]
    with pytest.raises(InputError, match=message) as caught:
        (
            damaged.commitments(offer),
            damaged.quota(CATALOG.instance_type("aws", "g6.xlarge"), Purchase.ON_DEMAND),
            damaged.spot_risk(offer),
            damaged.grid("aws", "us-east-1"),
        )
    line = before.count("\n") + 1
    assert caught.value.where == f"{copy / name}:{line}: {column}"


def test_a_commitment_whose_discount_has_changed_since_is_no_price(tmp_path):
    """A stale commitment is kept as a fact, but nothing is sized, priced or recommended by it."""
    copy = tmp_path / "catalog"
    shutil.copytree(CATALOG.directory, copy, ignore=shutil.ignore_patterns("cpu_*", "committed_prices"))
    path = copy / "commitments.csv"
    path.write_text(
        path.read_text().replace("aws-reserved-ec2shop,2025-04-04,listed", "aws-reserved-ec2shop,2025-04-04,stale")
    )
    catalog, offer = Catalog(copy), OFFERS["aws", "g6.xlarge", "us-east-1"]
    assert {each.provenance.quality for each in catalog.commitments(offer)} == {Quality.STALE}
    assert catalog.current_commitments(offer) == ()
    assert catalog.price(offer, Purchase.COMMITMENT) is None


def test_a_committed_price_of_nothing_is_a_wrong_table(tmp_path):
    """Nothing is free: the error names file, row and column."""
    copy = tmp_path / "catalog"
    shutil.copytree(CATALOG.directory, copy, ignore=shutil.ignore_patterns("cpu_*"))
    path = copy / "committed_prices" / "azure.csv"
    path.write_text(path.read_text().replace(",3.97471,", ",0,", 1))
    with pytest.raises(InputError, match="leave the row out when it is unknown") as caught:
        Catalog(copy).commitments(OFFERS["azure", "Standard_NC24ads_A100_v4", "westeurope"])
    assert caught.value.where.endswith(": usd_per_hour")
