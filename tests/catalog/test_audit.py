"""The audit counts what is there: by hand on small tables, and on the page of the catalog."""

import csv
import datetime as dt
import io
import json
import shutil

import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.catalog.layers.audit import CLOUDS, audit
from advisor.catalog.layers.layered import layered, offers_of_snapshot
from advisor.catalog.layers.publication import tables_to_publish
from advisor.catalog.layers.snapshot import stage, take
from advisor.catalog.values import Purchase, Quality
from advisor.cli.catalog import command
from advisor.data_files import data_dir
from advisor.report.refresh_words import audit_markdown
from catalog.audit_page import PAGE, shipped_audit, shown

TODAY = dt.date(2026, 11, 28)


@pytest.fixture(autouse=True)
def layers(monkeypatch, tmp_path):
    """Directories of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def provider(result, name):
    """The figures of one provider."""
    (found,) = [one for one in result.providers if one.provider == name]
    return found


def test_the_page_shows_what_the_program_counts():
    """Any change of the tables changes the page, whatever day it is."""
    block, day = shown()
    assert block == audit_markdown(shipped_audit(day)), "write it anew: python tests/catalog/audit_page.py"


def test_the_page_counts_as_its_sentences_say():
    """Figures beside the generated block: prices under commitments, spot without a band, ages of prices."""
    page = " ".join(PAGE.read_text().split())
    catalog = load_catalog()
    offers = catalog.offers_in(CLOUDS)
    committed = [
        row["quality"]
        for path in (catalog.directory / "committed_prices").glob("*.csv")
        for row in csv.DictReader(io.StringIO(path.read_text()))
    ]
    assert f"{committed.count('listed'):,} prices are listed, no upfront" in page
    without_band = sum(
        offer.spot is not None and catalog.spot_risk(offer) is None for offer in offers if offer.provider == "aws"
    )
    assert f"{without_band} AWS offers have a spot price and no band" in page
    result = shipped_audit(TODAY)
    figures = [provider(result, name) for name in CLOUDS]
    recent, priced = sum(one.current[180] for one in figures), sum(one.on_demand for one in figures)
    assert f"{recent:,} of {priced:,} on-demand prices of the three clouds are listed" in page
    assert f"{sum(sum(one.unpriced.values()) for one in result.providers):,} pairs of type and region are sold" in page


def test_old_releases_of_engines_are_a_problem_of_the_day_that_is_asked_for():
    """Not of the day on which the audit runs."""
    assert not any("releases" in problem for problem in shipped_audit(TODAY).problems)
    (problem,) = [problem for problem in shipped_audit(dt.date(2027, 3, 1)).problems if "releases" in problem]
    assert "vLLM (2026-11-02, 119 days old)" in problem


def test_figures_are_those_of_the_offers():
    """Each count is what a loop over the offers finds."""
    result = shipped_audit(TODAY)
    catalog = load_catalog()
    offers = [one for one in catalog.offers_in() if one.provider == "gcp"]
    found = provider(result, "gcp")
    listed = [one.on_demand for one in offers if one.on_demand and one.on_demand.provenance.quality is Quality.LISTED]
    old = [one for one in listed if one.provenance.as_of < "2026-06-01"]
    assert (found.offers, found.on_demand) == (len(offers), sum(one.on_demand is not None for one in offers))
    assert found.current[180] == len(listed) - len(old)
    assert found.current[180] >= found.current[90] >= found.current[30]
    assert sum(found.quality.values()) == sum(found.spot_quality.values()) == found.offers
    assert sum(found.unpriced.values()) == sum(one.on_demand is one.spot is None for one in offers)
    assert found.zones == sum(catalog.zones("gcp", one.region, one.instance_type).verified for one in offers)


def test_every_price_grows_old():
    """Half a year on nothing is current, and quality stays as it was."""
    later = shipped_audit(TODAY + dt.timedelta(days=3650))
    assert all(count == 0 for one in later.providers for count in (*one.current.values(), *one.current_spot.values()))
    assert [one.quality for one in later.providers] == [one.quality for one in shipped_audit(TODAY).providers]


def test_zero_is_told_from_unknown_and_holes_are_named(tmp_path):
    """A row without a price is a hole of its type; a type without a row is sold nowhere."""
    shipped = tmp_path / "shipped"
    shutil.copytree(data_dir("instance_catalog"), shipped)
    path = shipped / "prices/nebius.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    name = rows[0]["instance_type"]
    kept = [row for row in rows if row["instance_type"] == name]
    for row in kept:
        row |= {"on_demand_usd_per_hour": "", "on_demand_quality": "unpriced"}
        row |= {column: "" for column in row if column.startswith("spot_")}
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    path.write_text(stream.getvalue())
    found = provider(audit(layered(shipped, tmp_path / "none", None, TODAY), TODAY), "nebius")
    assert found.unpriced == {name: len(kept)}
    assert (found.types, found.on_demand) == (1, 0)
    assert found.sold_nowhere == tuple(sorted({row["instance_type"] for row in rows} - {name}))


@pytest.fixture
def refreshed(tmp_path):
    """A refreshed layer of AWS in which one price is a tenth higher, one by 4 %, and one type has other hardware."""
    tables = dict(tables_to_publish(load_catalog(), "aws").tables)
    moved = {("g6.xlarge", "us-east-1"): 1.10, ("g6.2xlarge", "us-east-1"): 1.04}
    rows = list(csv.DictReader(io.StringIO(tables["prices.csv"])))
    for row in rows:
        factor = moved.get((row["instance_type"], row["region"]))
        if factor:
            row["on_demand_usd_per_hour"] = str(float(row["on_demand_usd_per_hour"]) * factor)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    tables["prices.csv"] = stream.getvalue()
    tables["instances.csv"] = tables["instances.csv"].replace("aws,g6.4xlarge,L4,1,", "aws,g6.4xlarge,L4,2,")
    root = tmp_path / "cache/advisor/catalog"
    staged = stage(root, "aws", tables, "2026-11-27", [])
    take(root, staged)
    return staged


def test_layers_that_disagree_are_named_with_both_prices(refreshed):
    """By more than a twentieth of what counts: a tenth is named, 4 % is not, and so is other hardware."""
    result = audit(load_catalog(), TODAY)
    (one,) = result.disagreements
    assert (one.instance_type, one.region, one.purchase, one.layer) == (
        "g6.xlarge", "us-east-1", Purchase.ON_DEMAND, "shipped",
    )  # fmt: skip
    assert one.counts.usd_per_hour == pytest.approx(one.theirs.usd_per_hour * 1.1)
    (other,) = result.contradictions
    assert (other.instance_type, other.layer, other.theirs, other.counts) == (
        "g6.4xlarge", "refreshed", "2 × L4", "1 × L4",
    )  # fmt: skip
    assert result.layers["refreshed"] == len(offers_of_snapshot(refreshed))
    said = CliRunner().invoke(command, ["audit"]).stdout
    assert "g6.4xlarge: 1 × L4 counts, refreshed says 2 × L4" in said
    assert "problem: prices that a layer disagrees with by more than 5 %: 1" in said


def test_only_a_strict_audit_fails(refreshed):
    """The exit code is 0 whatever is found, and 1 with --strict where anything is."""
    assert refreshed
    plain = CliRunner().invoke(command, ["audit", "--format", "json", "--on", "2026-11-28"])
    assert plain.exit_code == 0
    document = json.loads(plain.stdout)
    assert document["today"] == "2026-11-28"
    assert {one["provider"] for one in document["providers"]} >= {"aws", "azure", "gcp", "lambda"}
    assert document["disagreements"][0]["ratio"] == pytest.approx(-0.0909, abs=1e-4)
    assert len(document["problems"]) >= 2
    strict = CliRunner().invoke(command, ["audit", "--strict"])
    assert strict.exception.exit_code == 1
    assert "Coverage" in strict.stdout
