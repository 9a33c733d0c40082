"""Machines without an accelerator: facts, prices, licences, and that no plan is made with them."""

import json
import re
import shutil
from collections import Counter

import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.catalog.catalog import Catalog, CpuInstance, Processor
from advisor.catalog.layers.layered import layered
from advisor.catalog.values import Quality
from advisor.cli.catalog import command
from advisor.errors import InputError
from advisor.tables import read_rows

CATALOG = load_catalog()
CLOUDS = ("aws", "azure", "gcp")
KEYS = [
    "provider", "region", "instance_type", "accelerator", "accelerator_count", "accelerator_memory_gib",
    "on_demand_usd_per_hour", "spot_usd_per_hour", "source", "as_of", "quality", "vcpus", "memory_gib", "cpu_flags",
]  # fmt: skip


@pytest.fixture(scope="module")
def offers():
    """Every offer of a machine without an accelerator."""
    return [offer for provider in CLOUDS for offer in CATALOG.cpu_offers(provider)]


def run(*arguments):
    """Result of the command; an error of ours is raised."""
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, InputError):
        raise result.exception
    return result


def test_three_clouds_have_their_machines_priced(offers):
    """All types that were gathered; at least 3,000 offers have a price, and what has none is said to be sold."""
    assert Counter(provider for provider, _ in CATALOG.cpu_instances) == {"aws": 183, "gcp": 285, "azure": 467}
    priced = Counter(offer.provider for offer in offers if offer.on_demand)
    assert priced == {"aws": 2036, "azure": 21394, "gcp": 7120}
    assert sum(offer.on_demand is None for offer in offers) == 2124


def test_offers_name_known_machines_and_regions(offers):
    """Machine and region of each offer are in their tables, and none is an accelerated machine."""
    for offer in offers:
        key = offer.provider, offer.instance_type
        assert key in CATALOG.cpu_instances
        assert key not in CATALOG.instance_types
        assert (offer.provider, offer.region) in CATALOG.regions, offer


def test_prices_say_how_well_they_are_founded(offers):
    """Prices are above zero, spot below on demand; what was computed from savings is derived and has their date."""
    dates = Counter()
    for offer in offers:
        if offer.on_demand:
            assert offer.on_demand.usd_per_hour > 0
            assert offer.on_demand.provenance.quality in {Quality.LISTED, Quality.DERIVED}
            dates[offer.provider, offer.on_demand.provenance.as_of] += 1
        if offer.spot:
            assert 0 < offer.spot.usd_per_hour < offer.on_demand.usd_per_hour
            origin = offer.spot.provenance
            assert (origin.quality is Quality.DERIVED) == (offer.provider == "aws")
            assert offer.provider != "aws" or origin.as_of == "2025-06-28"
    assert dates == {
        ("aws", "2026-07-20"): 524, ("aws", "2025-04-04"): 1512, ("azure", "2026-06-18"): 19570,
        ("azure", "2026-08-22"): 1824, ("gcp", "2026-08-03"): 7120,
    }  # fmt: skip


def test_a_price_taken_from_another_region_is_derived(offers):
    """us-west-2 asks what us-east-1 does, as it does of every type that is listed in both."""
    prices = {(offer.instance_type, offer.region): offer.on_demand for offer in offers if offer.provider == "aws"}
    west = [(key, price) for key, price in prices.items() if key[1] == "us-west-2" and price]
    assert Counter(price.provenance.quality for _, price in west) == {Quality.LISTED: 105, Quality.DERIVED: 78}
    for (name, _), price in west:
        assert price.usd_per_hour == prices[name, "us-east-1"].usd_per_hour


@pytest.mark.parametrize(
    ("provider", "name", "shape", "flag", "accelerator"),
    [
        ("aws", "m8i.4xlarge", (16, 8, 0.0833, 64), "AMX_INT8", ""),
        ("aws", "m7i.48xlarge", (192, 96, 2, 768), "AMX_BF16", "Xeon-8488C"),
        ("aws", "c7a.48xlarge", (192, 192, 2, 384), "AVX512_BF16", "EPYC-9R14"),
        ("aws", "m8g.24xlarge", (96, 96, 1, 384), "SVE2", "Graviton4"),
        ("gcp", "c4a-standard-16", (16, 16, None, 64), "BF16", ""),
        ("gcp", "n4-standard-16", (16, 8, None, 64), "AMX_BF16", ""),
        ("azure", "Standard_D16ads_v6", (16, 8, None, 64), "VNNI", ""),
    ],
)
def test_machines_are_as_their_providers_describe_them(provider, name, shape, flag, accelerator):
    """vCPUs, cores, sockets and GiB, flags, and the row of the accelerator table that has the peaks of a socket."""
    machine = CATALOG.cpu_instances[provider, name]
    assert (machine.vcpus, machine.cores, machine.sockets, machine.memory_gib) == shape
    assert flag in machine.processor.flags
    assert machine.processor.accelerator == accelerator


@pytest.mark.parametrize(
    ("provider", "name", "gbit_per_second"),
    [
        ("aws", "c7i.xlarge", 1.562),
        ("aws", "c8g.2xlarge", 3.75),
        ("gcp", "n4-standard-8", 16),
        ("azure", "Standard_D16as_v6", 16),
        ("azure", "Standard_D16s_v5", 12.5),
        ("gcp", "n2-standard-8", None),
    ],
)
def test_networks_are_as_their_providers_state_them(provider, name, gbit_per_second):
    """The sustained rate on AWS, not the burst; the most that leaves a machine elsewhere; unknown where not read."""
    assert CATALOG.cpu_instances[provider, name].network_gbit_per_second == gbit_per_second


def test_no_machine_has_flags_that_its_processor_cannot_have():
    """AMX is of Intel alone, SVE of Arm, AVX of x86; no processor was seen with AMX in fp16."""
    for machine in CATALOG.cpu_instances.values():
        flags, is_arm = machine.processor.flags, machine.cpu_architecture == "arm64"
        assert "AMX_FP16" not in flags
        assert not any(flag.startswith("AMX") for flag in flags) or "Intel" in machine.processor.name
        assert is_arm == any(flag.startswith(("SVE", "NEON")) for flag in flags)
        assert is_arm != any(flag.startswith("AVX") for flag in flags)
        assert list(flags) == sorted(flags)


def test_facts_under_a_share_alike_licence_are_in_files_of_their_own():
    """Rows under CC-BY-SA-4.0 are in the files that say so by their name, and no other row is in them."""
    licences = {row["source_id"]: row["licence"] for row in read_rows(CATALOG.directory / "sources.csv")}
    for table in ("cpu_instances", "cpu_processors"):
        own = {licences[row["source"]] for row in read_rows(CATALOG.directory / f"{table}.csv")}
        share_alike = {licences[row["source"]] for row in read_rows(CATALOG.directory / f"{table}_cc_by_sa.csv")}
        assert not any("CC-BY-SA" in licence for licence in own)
        assert share_alike == {"CC-BY-SA-4.0"}


def test_no_plan_sees_them():
    """Neither the offers nor the machines that plans are made of have one."""
    machines = {(offer.provider, offer.instance_type) for offer in CATALOG.offers}
    assert not machines & set(CATALOG.cpu_instances)
    assert not set(CATALOG.instance_types) & set(CATALOG.cpu_instances)


def test_their_tables_are_read_when_asked_for(tmp_path):
    """A catalog without them serves everything else; asked for, the missing table is named."""
    shutil.copytree(CATALOG.directory, tmp_path / "catalog", ignore=shutil.ignore_patterns("cpu_*"))
    without = Catalog(tmp_path / "catalog")
    assert len(without.offers) == len(CATALOG.offers)
    assert without.cpu_offers("aws") == ()
    with pytest.raises(InputError, match="cannot read"):
        _ = without.cpu_instances


@pytest.mark.parametrize("provider", CLOUDS)
def test_the_offers_of_one_type_are_those_of_the_whole_table(provider):
    """A name that begins as others do gives its own rows alone."""
    every = CATALOG.cpu_offers(provider)
    for name in list(dict.fromkeys(offer.instance_type for offer in every))[::40]:
        assert CATALOG.cpu_offers(provider, name) == tuple(offer for offer in every if offer.instance_type == name)


def test_a_wrong_row_of_one_type_is_named_by_its_line(tmp_path):
    """The line is that of the file, though other rows are left out unread."""
    shutil.copytree(CATALOG.directory, tmp_path / "catalog")
    path = tmp_path / "catalog" / "cpu_prices" / "aws.csv"
    lines = path.read_text().splitlines(keepends=True)
    last = lines[-1].split(",")
    path.write_text("".join([*lines[:-1], ",".join([*last[:2], "much", *last[3:]])]))
    with pytest.raises(InputError, match="'much' is not a number") as caught:
        Catalog(tmp_path / "catalog").cpu_offers("aws", last[0])
    assert f"aws.csv:{len(lines)}: " in caught.value.where


def test_a_machine_without_processor_is_a_wrong_table(tmp_path):
    """The error names file, row and column."""
    shutil.copytree(CATALOG.directory, tmp_path / "catalog")
    path = tmp_path / "catalog" / "cpu_processors_cc_by_sa.csv"
    path.write_text(path.read_text().replace("m8i.4xlarge;", ""))
    with pytest.raises(InputError, match=r"'m8i.4xlarge' has no processor") as caught:
        _ = Catalog(tmp_path / "catalog").cpu_instances
    assert "cpu_instances.csv:" in caught.value.where
    assert caught.value.where.endswith(": name")


def test_sockets_are_unknown_where_cores_are():
    """Neither is taken for zero."""
    machine = CATALOG.cpu_instances["aws", "m8g.24xlarge"]
    processor = machine.processor
    unknown = Processor(processor.name, "", None, processor.flags, processor.provenance)
    shape = ("aws", "x", 8, None, 16.0, "arm64")
    assert CpuInstance(*shape, None, processor, machine.provenance).sockets is None
    assert CpuInstance("aws", "x", 8, 8, 16.0, "arm64", None, unknown, machine.provenance).sockets is None


@pytest.mark.parametrize("family", ["'*'", "m8i"])
def test_a_negotiated_discount_holds_for_them_too(tmp_path, family):
    """What was negotiated for their family, or for all of a provider, is off their list price."""
    overlay = tmp_path / "catalog.yaml"
    overlay.write_text(
        f"version: advisor.overlay/v1\ndiscounts:\n- {{provider: aws, families: [{family}], discount_ratio: 0.5}}\n"
    )
    place = ("us-east-1", "m8i.4xlarge")
    prices = [
        next(one for one in catalog.cpu_offers("aws") if (one.region, one.instance_type) == place).on_demand
        for catalog in (CATALOG, layered(CATALOG.directory, tmp_path / "none", overlay))
    ]
    assert prices[1].usd_per_hour == prices[0].usd_per_hour / 2


def test_list_has_the_promised_keys_and_three_more():
    """Other programs read the ten keys of `list`, and processors, memory and flags behind them."""
    entries = json.loads(run("list", "--cpu", "--instance-type", "m8i.4xlarge", "--format", "json").stdout)
    assert {tuple(entry) for entry in entries} == {tuple(KEYS)}
    entry = next(entry for entry in entries if entry["region"] == "us-east-1")
    assert (entry["vcpus"], entry["memory_gib"], entry["on_demand_usd_per_hour"]) == (16, 64, 0.84672)
    assert entry["accelerator"] == "Intel Xeon 6975P-C (Granite Rapids)"
    assert entry["accelerator_memory_gib"] is None
    assert entry["cpu_flags"] == "AMX_BF16;AMX_INT8;AVX512;AVX512_BF16;AVX512_FP16;VNNI"
    unpriced = next(entry for entry in entries if entry["region"] == "eu-west-1")
    assert {unpriced[key] for key in KEYS[6:10]} == {None}


def test_filters_of_list_hold():
    """Provider, region, type and processor narrow; a machine of the other kind is told how to list."""
    entries = json.loads(
        run("list", "--cpu", "--provider", "gcp", "--region", "us-central1", "--format", "json").stdout
    )
    assert {(entry["provider"], entry["region"]) for entry in entries} == {("gcp", "us-central1")}
    arm = json.loads(run("list", "--cpu", "--accelerator", "graviton4", "--format", "json").stdout)
    assert {entry["instance_type"].partition(".")[0] for entry in arm} == {"c8g", "m8g", "r8g"}
    with pytest.raises(InputError, match=r"m8i.4xlarge has no accelerator") as caught:
        run("list", "--instance-type", "m8i.4xlarge")
    assert caught.value.hint == "add --cpu to list it"
    with pytest.raises(InputError, match=r"g6.xlarge has an accelerator"):
        run("list", "--cpu", "--instance-type", "g6.xlarge")
    with pytest.raises(InputError, match=r"unknown instance type of any provider: 'm8i.4xlarg'"):
        run("list", "--cpu", "--instance-type", "m8i.4xlarg")
    with pytest.raises(InputError, match="unknown provider: 'nebius'"):
        run("list", "--cpu", "--provider", "nebius")


def test_the_table_of_a_provider_fits_a_terminal():
    """Columns for processors, memory and flags, prices to the right, and what is unpriced in words."""
    lines = run("list", "--cpu", "--provider", "aws", "--instance-type", "m8i.4xlarge").stdout.splitlines()
    assert lines[1].split() == ["region", "instance", "type", "vCPUs", "GiB", "flags", "USD/h", "spot"]
    assert any("AMX AVX512 VNNI" in line and "sold, price unknown" in line for line in lines)
    assert max(map(len, run("list", "--cpu").stdout.splitlines())) <= 100


def test_show_says_what_a_machine_is():
    """Shape, processor and flags above the prices; the same for programs; a misspelt name has its nearest."""
    text = run("show", "m8i.4xlarge", "--region", "us-east-1").stdout.splitlines()
    assert text[0] == "aws m8i.4xlarge: 16 vCPUs (8 cores), 64 GiB, Intel Xeon 6975P-C (Granite Rapids)"
    assert text[1].startswith("flags: AMX_BF16, AMX_INT8, ")
    assert re.fullmatch(r"us-east-1 +on demand +shipped +← +0\.84672 .*", text[5])
    document = json.loads(run("show", "m8g.24xlarge", "--region", "us-east-1", "--format", "json").stdout)
    assert (document["vcpus"], document["sockets"], document["memory_gib"]) == (96, 1, 384)
    assert [row["purchase"] for row in document["prices"]] == ["on_demand", "spot"]
    with pytest.raises(InputError, match=r"unknown instance type: 'm8i.5xlarge'") as caught:
        run("show", "m8i.5xlarge")
    assert "m8i.4xlarge" in caught.value.hint
