"""Standing charges of a region, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.cost.services import Deployed, EntranceLoad, instance_hour_usd, region_charges
from advisor.cost.standing import Further, Machines
from advisor.units import HOURS_PER_MONTH

CATALOG = load_catalog()


RESOURCES = {
    "nat_gateway", "public_ip", "kms_key", "alarm", "log_alarm", "entrance", "entrance_disk", "container_entrance",
}  # fmt: skip


def standing_charges(provider, region, requests_per_second, gb_per_request, balanced_ratio=1.0):
    """Charges of a region for its mean load, a share of which goes through its load balancer; None: there is none.

    Without those that are the same at any load.
    """
    charges = region_charges(CATALOG, provider, region, gb_per_request)
    balanced = None if balanced_ratio is None else requests_per_second * balanced_ratio
    every = () if charges is None else charges.charges(requests_per_second, balanced)
    return tuple(charge for charge in every if charge.item not in RESOURCES)


def resources(provider, region, balanced=1.0, instance_hours=0.0):
    """(units, USD) a month of what is ordered beside machines, by item."""
    charges = region_charges(CATALOG, provider, region, 1e-6).charges(1.0, balanced, instance_hours)
    return {charge.item: (charge.quantity, charge.usd_per_month) for charge in charges if charge.item in RESOURCES}


def test_a_region_pays_for_gateway_key_and_alarms():
    """One gateway with its address at all hours, a key, and 16 metrics of alarms at AWS."""
    own = resources("aws", "us-east-1")

    assert own == {
        "nat_gateway": (730, 32.85),
        "public_ip": (730, 3.65),
        "kms_key": (1, 1.0),
        "alarm": (16, 1.6),
    }


def test_services_alone_have_the_alarms_of_services():
    """Endpoints have seven alarms each; the gateway is there for them too."""
    alone = resources("aws", "us-east-1", balanced=None)

    assert alone == {**resources("aws", "us-east-1"), "alarm": (7, 0.7)}


def test_google_charges_a_gateway_by_the_hours_of_machines():
    """Two machines in a month are 2/32 of the gateway's price, and each hour of one costs as much in a plan."""
    own = resources("gcp", "us-central1", instance_hours=2 * 730.0)

    assert own["nat_gateway"] == (2 * 730 / 32, 2.04)
    assert instance_hour_usd(CATALOG, "gcp", "us-central1") == pytest.approx(0.0014)
    assert instance_hour_usd(CATALOG, "aws", "us-east-1") == 0


def test_azure_evaluates_twelve_rules_on_logs():
    """A rule that is evaluated every five minutes is 1.50 USD a month."""
    assert resources("azure", "eastus")["log_alarm"] == (12, 18.0)


@given(st.floats(0.0, 100), st.sampled_from([("aws", "us-east-1"), ("azure", "eastus"), ("gcp", "us-central1")]))
def test_use_and_hosts_add_up_to_what_a_region_charges(rate, where):
    """What is paid for a region in use, for its hosts and for each request is the sum of its charges."""
    charges = region_charges(CATALOG, *where, 1e-6)
    parts = charges.anyway_usd_per_month + charges.fixed_usd_per_month(rate)
    parts += charges.usd_per_request(balanced=True) * rate * 730 * 3600

    assert charges.fixed_usd_per_month(rate) > 0
    assert charges.usd_per_month(rate, rate) == pytest.approx(parts, abs=0.06)


@pytest.mark.parametrize(
    ("provider", "region", "item", "further", "units"),
    [
        ("aws", "us-east-1", "alarm", Further(groups=1, backends=1), 28),
        ("gcp", "us-central1", "alarm", Further(groups=2, backends=1), 20),
        ("azure", "eastus", "load_balancer", Further(groups=1, backends=1), 3 * 730),
        ("azure", "eastus", "alarm", Further(groups=1, backends=1), 1),
    ],
)
def test_further_groups_and_backends_are_paid_for(provider, region, item, further, units):
    """Units of a region's hosts, and the same amount a month for each further part as in the sum of the charges."""
    charges = region_charges(CATALOG, provider, region, 1e-6)
    (charge,) = (each for each in charges.charges(1.0, 1.0, 0.0, further) if each.item == item)
    more = charges.usd_per_month(1.0, 1.0, 0.0, further) - charges.usd_per_month(1.0, 1.0)

    assert charge.quantity == units
    assert more == pytest.approx(further.units(charges.further_usd), abs=0.01)


@pytest.mark.parametrize(("groups", "units"), [(1, 3), (3, 9)])
def test_groups_of_nodes_on_aws_have_alarms(groups, units):
    """Each has three, and no load balancer or backend of hosts adds to them."""
    charges = region_charges(CATALOG, "aws", "us-east-1", 1e-6, Deployed(machines=Machines.GPU_NODES))
    further = Further(groups=groups - 1, backends=groups - 1)
    (alarms,) = (charge for charge in charges.charges(1.0, 1.0, 0.0, further) if charge.item == "alarm")

    assert (alarms.quantity, alarms.usd_per_month) == (units, pytest.approx(units * 0.1))


@pytest.mark.parametrize(("provider", "region"), [("aws", "us-east-1"), ("gcp", "us-central1"), ("azure", "eastus")])
def test_a_gateway_passes_on_requests_at_the_price_of_a_load_balancer(provider, region):
    """Before nodes each byte costs what it does before hosts: 100 requests/s of 600 kB make neither the cheaper one."""
    hosts, nodes = (
        {
            charge.item: charge
            for charge in region_charges(CATALOG, provider, region, 600e-6, deployed).charges(1.0, 100.0)
        }
        for deployed in (None, Deployed(machines=Machines.NODES))
    )
    passed = [item for item in hosts if item.startswith("load_balancer_")]

    assert passed
    assert not any(item.startswith("load_balancer") for item in nodes)
    assert nodes["gateway"].quantity == HOURS_PER_MONTH
    assert "yours and not in the code" in nodes["gateway"].assumes
    for item in passed:
        assert nodes[item.replace("load_balancer", "gateway")].usd_per_month == hosts[item].usd_per_month > 10


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize(("provider", "region"), [("aws", "us-east-1"), ("gcp", "us-central1"), ("azure", "eastus")])
def test_nodes_pay_for_a_control_plane_unless_their_cluster_is_there(provider, region, existing):
    """0.10 USD an hour in each region; nothing else of the region changes where it is paid for by others."""
    with_fee, without = (
        {charge.item: charge.usd_per_month for charge in charges.charges(1.0, 1.0)}
        for charges in (
            region_charges(CATALOG, provider, region, 1e-6, Deployed(machines=Machines.NODES, existing_cluster=there))
            for there in (False, existing)
        )
    )

    assert with_fee["cluster"] == 73.0
    assert without == {item: usd for item, usd in with_fee.items() if item != "cluster" or not existing}


@pytest.mark.parametrize(
    ("rate", "size"), [(5, "Standard_B2ats_v2"), (60, "Standard_D2s_v5"), (200, "Standard_D8s_v5")]
)
def test_an_entrance_is_priced_by_its_size(rate, size):
    """Two machines at all hours, as large as the busiest minute of 200-token answers asks; containers for services."""
    charges = region_charges(CATALOG, "azure", "eastus", 1e-6, Deployed(EntranceLoad(rate, 200.0)))
    hosts = {each.item: each for each in charges.charges(1.0, 1.0)}
    services = {each.item for each in charges.charges(1.0, None)}

    assert (hosts["entrance"].unit, hosts["entrance"].quantity) == (f"{size}-hour", 2 * 730)
    assert "container_entrance" not in hosts
    assert "container_entrance" in services
    assert "entrance" not in services


def test_an_entrance_has_disks_and_the_environment_of_apps_a_load_balancer():
    """Two disks of 2.40 USD with two machines; one load balancer, and no disk, where services alone serve."""
    charges = region_charges(CATALOG, "azure", "eastus", 1e-6)
    hosts = {charge.item: charge for charge in charges.charges(1.0, 1.0)}
    services = {charge.item: charge for charge in charges.charges(1.0, None)}

    assert (hosts["entrance_disk"].quantity, hosts["entrance_disk"].usd_per_month) == (2, 4.80)
    assert "entrance_disk" not in services
    assert services["load_balancer"].usd_per_month == 18.25
    assert "environment of the apps" in services["load_balancer"].assumes


def test_what_is_assumed_is_said():
    """Each charge whose number is not that of the load says what it counts."""
    charges = region_charges(CATALOG, "aws", "us-east-1", 1e-6).charges(1.0, 1.0)

    assert {charge.item for charge in charges if charge.assumes} == {"nat_gateway", "public_ip", "kms_key", "alarm"}


def test_standing_charges_by_hand():
    """At 50 requests/s of 10 kB: 2 new connections' units beat 1.8 GB an hour; 26.28 GB of logs at 0.50 USD."""
    balancer, capacity, logs, kept = standing_charges("aws", "us-east-1", 50.0, 10e-6)

    assert balancer.usd_per_month == pytest.approx(0.0225 * HOURS_PER_MONTH, abs=0.005)
    assert capacity.quantity == pytest.approx(2.0 * HOURS_PER_MONTH)
    assert capacity.usd_per_month == pytest.approx(2.0 * 0.008 * HOURS_PER_MONTH)
    assert logs.usd_per_month == pytest.approx(13.14)
    assert (logs.title, logs.price_quality) == ("access logs in us-east-1", "recalled")
    assert kept.quantity == pytest.approx(26.28 * 12 * 0.15)


def test_large_answers_fill_a_load_balancer_by_their_bytes():
    """100 kB each at 50 requests/s are 18 GB an hour: 18 units."""
    capacity = standing_charges("aws", "us-east-1", 50.0, 100e-6)[1]

    assert capacity.quantity == pytest.approx(18.0 * HOURS_PER_MONTH)


def test_azure_charges_the_data():
    """1 request/s of 10 kB: two load balancers, 26.28 GB at 0.005 USD, and 0.5256 GB of logs at 2.30."""
    balancer, data, logs = standing_charges("azure", "eastus", 1.0, 10e-6)

    assert [one.item for one in (balancer, data, logs)] == ["load_balancer", "load_balancer_data", "log_ingest"]
    assert (balancer.usd_per_month, data.usd_per_month, logs.usd_per_month) == (36.5, 0.13, 1.21)


def test_google_charges_three_proxies_at_least():
    """One forwarding rule and three proxies; 600 new connections/s take a fourth, and 100 MB/s take six."""

    def proxies(requests_per_second, gb_per_request):
        found = standing_charges("gcp", "us-central1", requests_per_second, gb_per_request)
        assert [one.item for one in found] == [
            "load_balancer", "load_balancer_proxy", "load_balancer_data", "log_ingest"
        ]  # fmt: skip
        assert found[1].usd_per_month == pytest.approx(found[1].quantity * 0.025)
        return found[1].quantity / HOURS_PER_MONTH

    assert [proxies(1, 10e-6), proxies(600, 10e-6), proxies(100, 1e-3)] == [3, 4, 6]


@pytest.mark.parametrize(("requests_per_second", "proxies"), [(450, 3), (451, 4), (600, 4), (601, 5)])
def test_a_proxy_passes_on_150_requests_a_second(requests_per_second, proxies):
    """Connections decide where answers are small, in whole proxies."""
    charges = standing_charges("gcp", "us-central1", requests_per_second, 1e-9)

    assert next(one.quantity for one in charges if one.item == "load_balancer_proxy") == proxies * HOURS_PER_MONTH


@pytest.mark.parametrize(
    ("provider", "region", "bytes_per_request"), [("aws", "us-east-1", 200), ("gcp", "us-central1", 1200)]
)
def test_each_request_is_logged(provider, region, bytes_per_request):
    """A line of the server, and at Google an entry of the load balancer."""
    charges = standing_charges(provider, region, 2.0, 1e-6)
    gb_per_month = 2.0 * bytes_per_request * 730 * 3600 / 1e9

    assert next(one.quantity for one in charges if one.item == "log_ingest") == pytest.approx(gb_per_month, rel=1e-12)


def test_who_is_reached_through_a_service_pays_for_logs_alone():
    """Containers and endpoints of a service have no load balancer; Google's logs each request that it passes on."""
    (logs,) = standing_charges("gcp", "us-central1", 10.0, 10e-6, balanced_ratio=None)
    *_, half = standing_charges("gcp", "us-central1", 10.0, 10e-6, balanced_ratio=0.5)

    assert logs.quantity == pytest.approx(10 * 2_628_000 * 200 / 1e9)
    assert half.quantity == pytest.approx(logs.quantity * (200 + 500) / 200)


@given(st.floats(0.1, 500), st.floats(0.05, 0.95), st.sampled_from([("aws", "us-east-1"), ("azure", "eastus")]))
def test_what_is_charged_by_use_adds_up(rate, part, where):
    """Two halves of a load pay for their use what the whole pays, to a cent each, and a load balancer each."""
    whole, one, two = (
        {charge.item: charge.usd_per_month for charge in standing_charges(*where, share * rate, 50e-6)}
        for share in (1.0, part, 1 - part)
    )

    assert one["load_balancer"] == two["load_balancer"] == whole["load_balancer"]
    for item in whole.keys() - {"load_balancer"}:
        assert one[item] + two[item] == pytest.approx(whole[item], abs=0.02)


def test_nothing_is_known_of_others():
    """No charge is made up for a provider without such services in the catalog."""
    assert standing_charges("lambda", "global", 1.0, 10e-6) == ()
