"""The real boto3 against the EC2 of moto's server: every type that EC2 describes, with what it states wrongly.

Known of moto 5.2: it describes the same types in every region and on one page, whatever page is asked for; spot is
0.00001 everywhere, of 2006; it has no price list, no savings plans and no capacity blocks.
"""

import csv
from dataclasses import replace

import boto3
import pytest

from advisor.catalog.layers.layered import layered
from advisor.catalog.layers.refreshing import refresh
from advisor.catalog.refresh import aws
from advisor.catalog.refresh.values import Guard, MachineRow, PriceRow, RefreshJob, Sold, Task, ZoneRow
from catalog.refresh.conftest import NOW
from iac import harness
from iac.modules import needs

REGION = "us-east-1"
SHARES = {"g6f.large": 0.125, "g6f.xlarge": 0.125, "g6f.2xlarge": 0.25, "g6f.4xlarge": 0.5, "gr6f.4xlarge": 0.5}
NEURON = {"trn2.48xlarge": 16, "trn2.3xlarge": 1}


@pytest.fixture(scope="module")
def ec2():
    """Address of the simulated EC2."""
    needs("tools")
    with harness.moto_server() as url:
        yield url


def types_of(catalog):
    """Types of AWS that a catalog knows."""
    return [name for provider, name in catalog.instance_types if provider == "aws"]


def tasks(url, catalog, *parts):
    """What is asked of EC2 in the region of these tests."""
    return tuple(aws.tasks((REGION,), boto3.Session(), types_of(catalog), lambda: NOW, url, parts))


def read(url, catalog, part):
    """The answer to one part."""
    (task,) = tasks(url, catalog, part)
    return task.read()


def prices_of(catalog):
    """The price list, which moto lacks: what is known of the region, unchanged."""
    rows = [
        PriceRow(REGION, one.instance_type, "on_demand", one.on_demand.usd_per_hour, "2026-11-01")
        for one in catalog.offers
        if (one.provider, one.region) == ("aws", REGION) and one.on_demand is not None
    ]
    return Task(f"{REGION}/prices", REGION, "prices", lambda: rows)


@pytest.fixture
def without_shares_and_neuron(small_shipped, root, tmp_path):
    """Makes a catalog to which the shares of an L4 and the machines with Trainium2 are new."""
    for name, column in (("instances.csv", "name"), ("prices/aws.csv", "instance_type")):
        path = small_shipped / name
        with path.open(newline="") as file:
            lines = csv.DictReader(file)
            rows = [row for row in lines if row[column] not in SHARES | NEURON]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, lines.fieldnames, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return lambda: layered(small_shipped, root, tmp_path / "none.yaml", NOW.date())


def test_hardware_of_known_types_is_as_the_catalog_says(ec2, known):
    """Count, processors, memory and architecture of each type that both describe; shares have no count, never 0."""
    catalog = known()
    described = {row.instance_type: row for row in read(ec2, catalog, "machines") if isinstance(row, MachineRow)}
    both = set(described) & set(types_of(catalog))
    assert len(both) > 70
    for name in sorted(both):
        row, machine = described[name], catalog.instance_type("aws", name)
        count = None if name in SHARES else machine.accelerator_count
        assert (row.accelerator_count, row.vcpus, row.cpu_architecture) == (
            count, machine.vcpus, machine.cpu_architecture,
        ), name  # fmt: skip
        assert row.memory_gib == pytest.approx(machine.memory_gib), name
        if name in NEURON:
            assert row.accelerator_memory_gib is None, "EC2 states 512 GiB, which no device has"
        elif name not in SHARES:
            assert row.accelerator_memory_gib == pytest.approx(machine.accelerator_memory_gib, rel=0.11), name


def test_new_shares_and_trainium2_come_out_true_or_not_at_all(ec2, without_shares_and_neuron, root, refresh_options):
    """A share is a share of a whole L4, a Trainium2 has 96 GiB; what cannot be described is named and not listed."""
    before = without_shares_and_neuron()
    question = RefreshJob("aws", (prices_of(before), *tasks(ec2, before, "machines", "sold")))
    accepting = replace(refresh_options, confirmed=frozenset({"family_gone"}))
    result = refresh(question, before, root, accepting)
    assert result.reason == ""
    catalog = without_shares_and_neuron()
    for name, share in SHARES.items():
        machine = catalog.instance_type("aws", name)
        assert (machine.accelerator, machine.accelerator_count) == ("L4", share)
        assert machine.accelerator_memory_gib == pytest.approx(22.35), "that of the whole"
    for name, count in NEURON.items():
        machine = catalog.instance_type("aws", name)
        assert (machine.accelerator, machine.accelerator_count) == ("Trainium2", count)
        assert machine.accelerator_memory_gib == 96
    offers = {(one.region, one.instance_type): one for one in catalog.offers if one.provider == "aws"}
    assert offers[REGION, "g6f.large"].on_demand is None, "sold, price unknown"
    listed = set(types_of(catalog))
    assert listed.isdisjoint(result.unknown_types)
    for name in listed - set(types_of(before)):
        machine = catalog.instance_type("aws", name)
        seen = catalog.accelerator(machine.accelerator).memory_gib
        assert machine.accelerator_memory_gib == pytest.approx(seen, rel=0.12), name
        assert machine.accelerator_count, name


def test_offerings_name_known_types_only(ec2, known):
    """Each once, those of the region."""
    catalog = known()
    rows = read(ec2, catalog, "sold")
    assert {type(row) for row in rows} == {Sold}
    names = [row.instance_type for row in rows]
    assert len(names) == len(set(names)) > 50
    assert {"g6.xlarge", "p5.48xlarge", "inf2.xlarge"} <= set(names) <= set(types_of(catalog))


def test_offerings_by_zone_name_availability_zones_of_the_region(ec2, known):
    """Ids of the region's availability zones alone, those that our own table has for the same types."""
    catalog = known()
    rows = read(ec2, catalog, "zones")
    assert {type(row) for row in rows} == {ZoneRow}
    assert {row.zone for row in rows} == {f"use1-az{number}" for number in range(1, 7)}
    zones = {}
    for row in rows:
        zones.setdefault(row.instance_type, set()).add(row.zone)
    shipped = {name: catalog.zones("aws", REGION, name) for name in zones if ("aws", name) in catalog.instance_types}
    listed = {name: supply for name, supply in shipped.items() if supply.verified}
    assert len(listed) > 50
    same = [name for name, supply in listed.items() if set(supply.names) == zones[name]]
    assert len(same) > 0.9 * len(listed), "moto's copy is older than ours"


def test_spot_of_nearly_nothing_is_held_up(ec2, known, root, refresh_options):
    """0.00001 for every type is no price: nothing is published, whether a spot price was known before or not."""
    catalog = known()
    rows = read(ec2, catalog, "spot")
    assert {(row.purchase, row.usd_per_hour, row.as_of) for row in rows} == {("spot", 0.00001, f"{NOW:%Y-%m-%d}")}
    question = RefreshJob("aws", (prices_of(catalog), *tasks(ec2, catalog, "spot")))
    accepting = replace(refresh_options, confirmed=frozenset({"family_gone", "moved"}))
    result = refresh(question, catalog, root, accepting)
    assert result.snapshot is None
    held = {one.what for one in result.held if one.guard is Guard.SPOT_TOO_LOW}
    priced = {one.instance_type for one in prices_of(catalog).read()}
    assert held == {row.instance_type for row in rows} & priced
    assert "spot_too_low:g6" in {one.key for one in result.held}


def test_what_the_service_does_not_know_is_a_gap(ec2, known, root, refresh_options, monkeypatch):
    """Parts that moto lacks end in a reason, never in a traceback, and keep the refresh from being taken."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    catalog = known()
    parts = tasks(ec2, catalog, "prices", "savings_plans")
    result = refresh(RefreshJob("aws", parts), catalog, root, refresh_options)
    assert result.snapshot is None
    assert {gap.part for gap in result.answer.gaps} == {"prices", "savings_plans"}
    assert all(gap.reason and gap.remedy for gap in result.answer.gaps)
