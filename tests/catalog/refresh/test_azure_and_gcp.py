"""The real HTTP client against Azure's and Google's price lists on loopback."""

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.layers.refreshing import refresh
from advisor.catalog.refresh import azure, gcp
from advisor.catalog.refresh.http import Client
from advisor.catalog.refresh.values import RefreshJob
from catalog.refresh.clouds import (
    Cloud,
    Reply,
    as_json,
    azure_item,
    azure_pages,
    container_item,
    first_times,
    gcp_pages,
    serving,
    sku,
)

T4, H100 = "Standard_NC4as_T4_v3", "Standard_NC40ads_H100_v5"
ITEMS = {
    "eastus": [
        azure_item(T4, "eastus", 0.55),
        azure_item(T4, "eastus", 0.16, skuName="NC4as T4 v3 Spot", meterName="NC4as T4 v3 Spot"),
        azure_item(T4, "eastus", 0.11, skuName="NC4as T4 v3 Low Priority"),
        azure_item(T4, "eastus", 0.71, productName="Virtual Machines NCasT4 Windows"),
        azure_item(T4, "eastus", 2800.0, type="Reservation", reservationTerm="1 Year", unitOfMeasure="1 Hour"),
        azure_item(H100, "eastus", 6.98, savingsPlan=[{"unitPrice": 5.1, "retailPrice": 5.1, "term": "3 Years"}]),
        azure_item("Standard_D2s_v5", "eastus", 0.1),
        azure_item(H100, "westus", 1.0),
    ]
}


def quick() -> Client:
    """Waits milliseconds where the product waits seconds."""
    return Client(tries=4, backoff_seconds=0.01, timeout_seconds=5)


def ask_azure(cloud, regions=("eastus",)):
    """A question to the retail prices."""
    return RefreshJob("azure", tuple(azure.tasks(regions, quick(), f"{cloud.url}/api/retail/prices")))


def accepted(refresh_options):
    """Every move and loss is accepted: three sizes stand for a cloud."""
    keys = frozenset({"family_gone", "moved"})
    return type(refresh_options)(
        keys, refresh_options.most_moved_ratio, refresh_options.dry_run, refresh_options.at_once, refresh_options.clock
    )


def test_azure_takes_linux_spot_and_terms_and_leaves_the_rest(known, root, refresh_options):
    """Windows, low priority, other regions and other series do not enter; a term's price is by the hour."""
    with serving(Cloud(azure_pages(ITEMS))) as cloud:
        result = refresh(ask_azure(cloud), known(), root, accepted(refresh_options))
        assert len(cloud.asked) == 5, "pages are followed to their end, and containers asked for"
    assert result.reason == ""
    catalog = known()
    found = {(one.region, one.instance_type): one for one in catalog.offers if one.provider == "azure"}
    t4 = found["eastus", T4]
    assert (t4.on_demand.usd_per_hour, t4.spot.usd_per_hour) == (0.55, 0.16)
    assert t4.on_demand.provenance.as_of == "2026-10-01"
    rates = {
        (one.commitment.instrument, one.commitment.term_years): one.usd_per_hour for one in catalog.commitments(t4)
    }
    assert rates["Reserved VM Instance", 1] == pytest.approx(2800 / 8760, rel=1e-3)
    h100 = found["eastus", H100]
    rates = {
        (one.commitment.instrument, one.commitment.term_years): one.usd_per_hour for one in catalog.commitments(h100)
    }
    assert rates["Savings plan for compute", 3] == pytest.approx(5.1, rel=1e-3)


GPU_T4, CPU, MEMORY = "Standard NC T4 v3 GPU Usage", "Standard vCPU Active Usage", "Standard Memory Active Usage"


def containers(gpu=0.00008):
    """Meters of Container Apps in two regions: with a T4, and without a GPU."""
    return {
        region: [
            container_item(GPU_T4, region, gpu) if region == "westus3" else azure_item("", region, 1.0),
            container_item(CPU, region, 0.0, effectiveStartDate="2026-09-01T00:00:00Z"),
            container_item(CPU, region, 0.00003),
            container_item(CPU, region, 0.0),
            container_item("Standard vCPU Idle Usage", region, 0.000001),
            container_item(MEMORY, region, 0.000004, "1 GiB Second"),
            container_item("Dedicated GPU Usage", region, 5.0, "1 Hour"),
        ]
        for region in ("eastus", "westus3")
    }


def test_azure_tells_what_containers_with_a_gpu_cost(known, root, refresh_options):
    """GPU, processors and memory of the profile by the second, added up; where no GPU is metered, what was known."""
    before = {one.regions: one for one in known().serverless if (one.provider, one.accelerator) == ("azure", "T4")}
    with serving(Cloud(azure_pages(ITEMS, containers()))) as cloud:
        result = refresh(ask_azure(cloud, ("eastus", "westus3")), known(), root, accepted(refresh_options))
    assert result.reason == ""
    found = {one.regions: one for one in known().serverless if (one.provider, one.accelerator) == ("azure", "T4")}
    read = found["westus3",]
    assert read.usd_per_hour == pytest.approx(3600 * (0.00008 + 8 * 0.00003 + 56 * 0.000004))
    assert (read.vcpus, read.memory_gib, read.idle_seconds, read.cold_start_seconds) == (8, 56, 300, None)
    assert read.provenance.as_of == "2026-10-01"
    assert found["australiaeast", "swedencentral"].usd_per_hour is None, "these were not asked"
    assert found["eastus",] == before["eastus",]
    others = [one for one in known().serverless if one.provider != "azure"]
    assert others == [one for one in load_catalog().serverless if one.provider != "azure"]


def test_a_gpu_that_costs_nothing_is_held_up(known, root, refresh_options):
    """A free grant is no price."""
    with serving(Cloud(azure_pages(ITEMS, containers(gpu=0.0)))) as cloud:
        result = refresh(ask_azure(cloud, ("westus3",)), known(), root, accepted(refresh_options))
    assert "Container Apps T4" in {one.what for one in result.held}
    assert result.snapshot is None


@pytest.mark.parametrize(
    "fault",
    [
        Reply(b'{"error": {"message": "slow down"}}', 429, headers=(("Retry-After", "0"),)),
        Reply(b"", 502),
        Reply(b'{"Items": [' + b" " * 5000, 200, cut_after=100),
    ],
    ids=["throttled", "bad gateway", "cut"],
)
def test_azure_faults_are_ridden_out(fault, known, root, refresh_options):
    """429 with Retry-After, 5xx and an answer that breaks off are asked again."""
    with serving(Cloud(azure_pages(ITEMS), [first_times(2, fault)])) as cloud:
        result = refresh(ask_azure(cloud), known(), root, accepted(refresh_options))
    assert result.reason == ""


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b"<html>login</html>", 200), "not JSON"),
        (as_json([1]), "no JSON object"),
        (Reply(b"", 500), "500"),
        (as_json({"Items": [], "NextPageLink": "http://elsewhere.example/x"}), "points to another host"),
    ],
    ids=["html", "list", "down", "link to elsewhere"],
)
def test_azure_answers_that_cannot_be_used_publish_nothing(reply, words, known, root, refresh_options):
    """The old prices hold, and the gap says what was answered."""
    before = known()
    with serving(Cloud(lambda _asked: reply)) as cloud:
        result = refresh(ask_azure(cloud), before, root, accepted(refresh_options))
    assert result.snapshot is None
    assert words in result.answer.gaps[0].reason
    assert known().content_hash == before.content_hash


US = ("us-central1",)
SKUS = [
    sku("G2 Instance Core running in Americas", US, 0.02499),
    sku("G2 Instance Ram running in Americas", US, 0.00293),
    sku("Nvidia L4 GPU running in Americas", US, 0.56),
    sku("Nvidia L4 GPU attached to DWS Defined Duration VMs running in Americas", US, 0.30),
    sku("Spot Preemptible G2 Instance Core running in Americas", US, 0.01, "Preemptible"),
    sku("Spot Preemptible G2 Instance Ram running in Americas", US, 0.001, "Preemptible"),
    sku("Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", US, 0.20, "Preemptible"),
    sku("Commitment v1: G2 Cpu in Americas for 1 Year", US, 0.0157, "Commit1Yr"),
    sku("Commitment v1: G2 Ram in Americas for 1 Year", US, 0.0018, "Commit1Yr"),
    sku("Commitment v1: Nvidia L4 GPU running in Americas for 1 Year", US, 0.35, "Commit1Yr"),
    sku("A2 Instance Core running in Americas", US, 0.031611),
    sku("A2 Instance Ram running in Americas", US, 0.004237),
    sku("Nvidia Tesla A100 80GB GPU running in Americas", US, 3.928),
    sku("SSD backed Local Storage", US, 0.08, unit="GiBy.mo"),
    sku("A3 Instance Core running in Americas", US, 0.03),
    sku("A3 Instance Ram running in Americas", US, 0.003),
    sku("Nvidia H100 80GB GPU running in Americas", US, 9.79),
    sku("Nvidia H100 80GB GPU running in Americas", US, 4.20),
    sku("N1 Predefined Instance Core running in Americas", US, 0.031611),
    sku("N1 Predefined Instance Ram running in Americas", US, 0.004237),
    sku("Nvidia Tesla T4 GPU running in Americas", US, 0.35),
    sku("Licensing Fee for Windows Server on VM with 8 to 16 VCPU", US, 0.1, family="License"),
]
TPU = [sku("Tpu-v6e running in Americas", US, 2.7)]


def ask_gcp(cloud, known, key="secret"):
    """A question to the billing catalog."""
    machines = [one for (provider, _), one in known.instance_types.items() if provider == "gcp"]
    return RefreshJob("gcp", tuple(gcp.tasks(machines, quick(), key, f"{cloud.url}/v1")), tells_absence=False)


def test_google_machines_cost_the_sum_of_their_parts(known, root, refresh_options):
    """Cores, memory, accelerators and bundled disks; other goods of the same name do not enter."""
    before = known()
    with serving(Cloud(gcp_pages(SKUS, TPU))) as cloud:
        result = refresh(ask_gcp(cloud, before), before, root, accepted(refresh_options))
    assert result.reason == ""
    catalog = known()
    found = {(one.region, one.instance_type): one for one in catalog.offers if one.provider == "gcp"}

    def listed(name):
        return found["us-central1", name].on_demand.usd_per_hour

    assert listed("g2-standard-4") == pytest.approx(4 * 0.02499 + 16 * 0.00293 + 0.56)
    assert found["us-central1", "g2-standard-4"].spot.usd_per_hour == pytest.approx(0.04 + 0.016 + 0.20)
    assert listed("a2-ultragpu-1g") == pytest.approx(5.0687, abs=1e-3), "with 375 GB of disk at 0.08 a month"
    assert listed("n1-standard-8+1xT4") == pytest.approx(8 * 0.031611 + 30 * 0.004237 + 0.35)
    assert listed("ct6e-standard-4t") == pytest.approx(4 * 2.7)
    rates = {
        one.commitment.term_years: one.usd_per_hour
        for one in catalog.commitments(found["us-central1", "g2-standard-4"])
    }
    assert rates[1] == pytest.approx(4 * 0.0157 + 16 * 0.0018 + 0.35, rel=1e-3)


def test_a_part_with_two_prices_leaves_the_machine_as_it_was(known, root, refresh_options):
    """Two SKUs for one H100: neither is taken, since one of them is wrong."""
    before = known()
    with serving(Cloud(gcp_pages(SKUS, TPU))) as cloud:
        refresh(ask_gcp(cloud, before), before, root, accepted(refresh_options))
    place = ("gcp", "us-central1", "a3-highgpu-8g")

    def price(catalog):
        return next(one.on_demand for one in catalog.offers if (one.provider, one.region, one.instance_type) == place)

    assert price(known()) == price(before)


def test_a_wrong_key_is_said(known, root, refresh_options):
    """The key's fault is named with its remedy; nothing is published."""
    catalog = known()
    with serving(Cloud(gcp_pages(SKUS))) as cloud:
        result = refresh(ask_gcp(cloud, catalog, key="wrong"), catalog, root, refresh_options)
    assert result.snapshot is None
    assert "API key not valid" in result.answer.gaps[0].reason
    assert "--gcp-api-key-file" in result.answer.gaps[0].remedy
    assert "secret" not in result.answer.gaps[0].reason
