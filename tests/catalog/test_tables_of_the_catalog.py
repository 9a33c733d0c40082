"""The shipped tables: every row against the schema, the facts against what is known to be right or wrong."""

import csv
import io
import itertools
import shutil
from itertools import pairwise

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Quality
from advisor.tables import csv_text, read_rows
from catalog.schema_check import described, read_schema, tables, violations

CATALOG = load_catalog()
DIRECTORY = CATALOG.directory
CLOUDS = ("aws", "azure", "gcp")
PRICES = {(offer.provider, offer.instance_type, offer.region): offer for offer in CATALOG.offers}


def rows(name):
    """All rows of one shipped table."""
    return list(read_rows(DIRECTORY / name))


def price_rows():
    """(provider, row) of every price file."""
    return [(name[7:-4], row) for name, found in tables(DIRECTORY, "prices/*.csv").items() for row in found]


@pytest.mark.daily
def test_every_table_is_as_the_schema_says():
    """Columns, cells, keys and references of every file agree with SCHEMA.csv."""
    assert list(violations(DIRECTORY)) == []


def test_every_table_has_a_schema():
    """No file of the catalog is left undescribed."""
    shipped = {path.relative_to(DIRECTORY).as_posix() for path in DIRECTORY.rglob("*.csv")}
    assert described(DIRECTORY) == shipped - {"SCHEMA.csv"}


def test_every_column_of_the_schema_says_what_it_holds():
    """Each column has a description, and a number has a unit unless it is a plain count."""
    counts = {"accelerator_count", "vcpus", "compute_capability"}
    for row in read_rows(DIRECTORY / "SCHEMA.csv"):
        assert row["description"]
        assert row["required"] in {"yes", "no"}
        if row["type"] in {"number", "integer"} and row["column"] not in counts:
            assert row["unit"], row


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (("regions.csv", "Ashburn", "Ashburn "), "city"),
        (("regions.csv", "39.04", "39,04"), "columns"),
        (("regions.csv", "2026-11-24", "yesterday"), "as_of"),
        (("accelerators.csv", "L4,nvidia", "L4,"), "vendor"),
        (("engine_support.csv", "vLLM,Ada,bf16,,,native", "vLLM,Ada,bf16,,,perhaps"), "support"),
        (("instances.csv", "g6.xlarge,L4", "g6.xlarge,L5"), "accelerator"),
        (("prices/aws.csv", "aws-prices-karpenter", "hearsay"), "on_demand_source"),
    ],
    ids=["space", "decimal comma", "date", "empty", "choice", "accelerator", "source"],
)
def test_the_schema_check_finds_a_damaged_cell(tmp_path, damage, expected):
    """A wrong cell of any type is found: the check above can fail."""
    name, old, new = damage
    shutil.copytree(DIRECTORY, tmp_path / "catalog")
    path = tmp_path / "catalog" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if expected == "columns":
        with pytest.raises(Exception, match="cells where the header has"):
            list(violations(tmp_path / "catalog"))
    else:
        assert any(f": {expected}: " in line for line in violations(tmp_path / "catalog"))


def test_prices_are_above_zero_and_spot_never_costs_more():
    """No price is zero or negative, and spot is at most the on-demand price."""
    for offer in CATALOG.offers:
        for price in (offer.on_demand, offer.spot):
            assert price is None or price.usd_per_hour > 0
        if offer.on_demand and offer.spot:
            assert offer.spot.usd_per_hour <= offer.on_demand.usd_per_hour, offer


def test_a_missing_price_is_empty_and_marked():
    """A row without on-demand price is `unpriced`, one with a price is not, and a spot price has its source."""
    for _, row in price_rows():
        unpriced = row["on_demand_quality"] == Quality.UNPRICED
        if row["on_demand_quality"] != Quality.WITHDRAWN:
            assert unpriced == (row["on_demand_usd_per_hour"] == "")
        spot_cells = {bool(row[f"spot_{part}"]) for part in ("usd_per_hour", "source", "as_of", "quality")}
        assert len(spot_cells) == 1
        assert row["spot_quality"] != Quality.UNPRICED


@pytest.mark.parametrize(
    ("provider", "priced", "unpriced"),
    [
        ("aws", 925, 189),
        ("azure", 1085, 0),
        ("gcp", 634, 135),
        ("nebius", 23, 0),
        ("ibm", 4, 0),
        ("runpod", 35, 0),
        ("lambda", 9, 0),
    ],
)
def test_no_priced_row_was_lost(provider, priced, unpriced):
    """Each provider has the number of rows that were gathered, and the pairs that are sold at an unknown price."""
    offers = CATALOG.offers_in([provider])
    known = [offer for offer in offers if offer.on_demand or offer.spot]
    assert len(known) == priced
    assert len(offers) - len(known) == unpriced


def test_every_offer_has_a_machine_and_a_region():
    """Instance type and region of each offer are rows of their own tables."""
    for offer in CATALOG.offers:
        assert (offer.provider, offer.instance_type) in CATALOG.instance_types
        assert (offer.provider, offer.region) in CATALOG.regions, offer


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("accelerators.csv", ["name"]),
        ("instances.csv", ["provider", "name"]),
        ("regions.csv", ["provider", "region"]),
        ("accelerator_aliases.csv", ["alias"]),
        ("sources.csv", ["source_id"]),
        ("engine_support.csv", ["engine", "hardware"]),
        ("engine_models.csv", ["engine", "accelerator"]),
        ("commitments.csv", ["provider", "families", "region"]),
        ("spot_interruptions.csv", ["provider", "instance_type", "region"]),
        ("quotas.csv", ["provider", "market", "name"]),
        ("region_latency.csv", ["provider", "region", "other_region"]),
        ("user_places.csv", ["place"]),
        ("grid.csv", ["provider", "region"]),
        ("cold_start.csv", ["name"]),
        ("machine_starts.csv", ["provider", "service", "pattern"]),
        ("scale_ins.csv", ["target"]),
        ("engine_images.csv", ["engine", "vendor"]),
        ("egress.csv", ["provider", "region", "destination"]),
        ("serverless.csv", ["provider", "service", "accelerator"]),
        ("managed.csv", ["provider", "instance_type", "region"]),
        ("service_prices.csv", ["provider", "item", "region"]),
        ("region_resources.csv", ["provider", "item", "per"]),
        ("partitions.csv", ["accelerator", "profile"]),
        ("zones.csv", ["provider", "region", "instance_types"]),
        ("checkpoints.csv", ["model", "precision", "rank"]),
        ("gguf_losses.csv", ["model", "quantisation"]),
        ("quality_loss.csv", ["model", "precision", "scheme", "benchmark"]),
        ("token_prices.csv", ["model", "provider", "api_model"]),
        ("cache_nodes.csv", ["provider", "node"]),
        ("levers.csv", ["lever"]),
        ("lever_facts.csv", ["lever", "metric", "setting", "value"]),
        ("model_scores.csv", ["model", "kind", "benchmark", "setting"]),
        ("cpu_instances.csv", ["provider", "name"]),
        ("cpu_instances_cc_by_sa.csv", ["provider", "name"]),
        ("cpu_processors.csv", ["provider", "instance_types"]),
        ("cpu_networks.csv", ["provider", "instance_types"]),
        ("cpu_processors_cc_by_sa.csv", ["provider", "instance_types"]),
        *((f"prices/{provider}.csv", ["instance_type", "region"]) for provider in CATALOG.providers),
        *((f"cpu_prices/{provider}.csv", ["instance_type", "region"]) for provider in CLOUDS),
        *((f"committed_prices/{provider}.csv", ["instance_type", "region", "instrument"]) for provider in CLOUDS),
        ("reservations.csv", ["provider", "instrument", "families", "region"]),
    ],
)
def test_tables_are_sorted(name, key):
    """Rows stand in the order of their key, so that a change shows as itself."""
    keys = [[row[column] for column in key] for row in rows(name)]
    assert all(before <= after for before, after in pairwise(keys))


def test_every_source_is_used_and_every_row_says_where_it_comes_from():
    """No source stands idle, and none of the referring cells is empty."""
    used = set()
    for name, columns in read_schema(DIRECTORY).items():
        sources = [column.name for column in columns if "reference(sources.source_id)" in column.type]
        used |= {row[source] for found in tables(DIRECTORY, name).values() for row in found for source in sources}
    known = {row["source_id"] for row in rows("sources.csv")}
    assert used - {""} == known


def test_wrong_prices_of_a_known_bad_source_stay_out():
    """The H100 machine prices of about a third and the 700.0 placeholder of TPUs are in no row."""
    h100 = [offer for key, offer in PRICES.items() if key[0] == "gcp" and key[1].startswith("a3-") and offer.on_demand]
    assert len(h100) > 50
    for offer in h100:
        machine = CATALOG.instance_type("gcp", offer.instance_type)
        assert offer.on_demand.usd_per_hour / machine.accelerator_count > 9.0, offer
    every = [price.usd_per_hour for offer in CATALOG.offers for price in (offer.on_demand, offer.spot) if price]
    assert not {33.606, 35.391, 36.603, 700.0} & set(every)
    assert max(every) < 300


@pytest.mark.parametrize(
    ("provider", "instance_type", "region", "usd_per_hour"),
    [
        ("aws", "g4dn.xlarge", "us-east-1", 0.526),
        ("aws", "g5.xlarge", "us-east-1", 1.006),
        ("aws", "g6.xlarge", "us-east-1", 0.8048),
        ("aws", "p5.48xlarge", "us-east-1", 55.04),
        ("aws", "inf2.xlarge", "us-east-1", 0.7582),
        ("azure", "Standard_NC24ads_A100_v4", "eastus", 3.673),
        ("azure", "Standard_ND96isr_H100_v5", "eastus", 98.32),
        ("gcp", "a2-highgpu-1g", "us-central1", 3.673385),
    ],
)
def test_list_prices_that_anyone_can_look_up(provider, instance_type, region, usd_per_hour):
    """Well-known list prices are what the providers print."""
    assert PRICES[provider, instance_type, region].on_demand.usd_per_hour == pytest.approx(usd_per_hour, abs=0.001)


def test_regions_are_where_they_are():
    """Coordinates lie on the right half of the globe."""
    for region in CATALOG.regions.values():
        if region.latitude_degrees is None:
            continue
        assert -60 < region.latitude_degrees < 72
        assert -180 <= region.longitude_degrees <= 180
        if region.continent == "Oceania" or region.country_iso2 == "ZA":
            assert region.latitude_degrees < 0, region
        if region.continent in {"North America", "Europe"}:
            assert region.latitude_degrees > 0, region


def test_services_are_priced_where_machines_are_sold():
    """Each row is of a region that its provider has, and what every plan needs is priced for the three clouds."""
    for row in rows("service_prices.csv"):
        assert not row["region"] or row["region"] in CATALOG.regions_of(row["provider"]), row
        assert float(row["usd"]) > 0
    for provider, item in itertools.product(("aws", "gcp", "azure"), ("nat_data", "load_balancer", "log_ingest")):
        assert all(CATALOG.service_price(provider, item, region) for region in CATALOG.regions_of(provider))


@pytest.mark.parametrize("cell", ["=1+1", "+x", "-x", "@sum", "\tx"])
def test_no_written_cell_is_a_formula(cell):
    """What begins as a formula gets an apostrophe; numbers, negative ones too, stay numbers."""
    text = csv_text((("name", "usd"), (cell, "-1.5"), ("plain", -2.5e-7)))

    (_, *rows) = csv.reader(io.StringIO(text))
    assert rows == [[f"'{cell}", "-1.5"], ["plain", "-2.5e-07"]]
