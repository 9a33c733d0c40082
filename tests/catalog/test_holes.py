"""What the catalog may not lack: hardware of whatever the three clouds sell, and offers whose price nobody knows."""

import json
import re
from collections import Counter

import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.cli.catalog import command
from advisor.tables import read_rows

CATALOG = load_catalog()
CLOUDS = ("aws", "gcp", "azure")
OFFERED = sorted({(one.provider, one.instance_type) for one in CATALOG.offers if one.provider in CLOUDS})
NOTES = {(row["provider"], row["name"]): row["notes"] for row in read_rows(CATALOG.directory / "instances.csv")}
PART_NOTES = {row["name"]: row["notes"] for row in read_rows(CATALOG.directory / "accelerators.csv")}
SOLD_UNPRICED = {
    "aws": {
        "g4dn.12xlarge": 2, "g4dn.16xlarge": 2, "g4dn.2xlarge": 2, "g4dn.4xlarge": 2, "g4dn.8xlarge": 2,
        "g4dn.metal": 2, "g4dn.xlarge": 2, "g5.12xlarge": 5, "g5.16xlarge": 4, "g5.24xlarge": 4, "g5.2xlarge": 4,
        "g5.48xlarge": 5, "g5.4xlarge": 5, "g5.8xlarge": 5, "g5.xlarge": 4, "g5g.metal": 1, "g6.12xlarge": 1,
        "g6.16xlarge": 1, "g6.24xlarge": 1, "g6.2xlarge": 1, "g6.48xlarge": 1, "g6.4xlarge": 1, "g6.8xlarge": 1,
        "g6.xlarge": 1, "g6e.12xlarge": 2, "g6e.16xlarge": 2, "g6e.24xlarge": 2, "g6e.2xlarge": 2, "g6e.48xlarge": 2,
        "g6e.4xlarge": 2, "g6e.8xlarge": 2, "g6e.xlarge": 2, "g6f.2xlarge": 1, "g6f.4xlarge": 1, "g6f.large": 10,
        "g6f.xlarge": 1, "g7.12xlarge": 3, "g7.24xlarge": 3, "g7.2xlarge": 3, "g7.48xlarge": 3, "g7.4xlarge": 3,
        "g7.8xlarge": 3, "g7e.12xlarge": 6, "g7e.24xlarge": 6, "g7e.2xlarge": 6, "g7e.48xlarge": 6, "g7e.4xlarge": 6,
        "g7e.8xlarge": 6, "gr6f.4xlarge": 10, "inf1.24xlarge": 2, "inf1.2xlarge": 2, "inf1.6xlarge": 2,
        "inf1.xlarge": 2, "inf2.xlarge": 1, "p3.16xlarge": 2, "p3.2xlarge": 2, "p3.8xlarge": 2, "p4d.24xlarge": 1,
        "p5.4xlarge": 2, "p5e.48xlarge": 2, "p6-b200.48xlarge": 4, "p6-b300.48xlarge": 5, "trn1.32xlarge": 3,
        "trn2.3xlarge": 3, "trn2.48xlarge": 1, "trn2u.48xlarge": 1,
    },
    "gcp": {
        "a3-edgegpu-8g": 15, "a3-edgegpu-8g-nolssd": 15, "a3-highgpu-1g": 2, "a3-highgpu-2g": 2, "a3-highgpu-4g": 2,
        "a3-highgpu-8g": 2, "a3-megagpu-8g": 2, "a3-ultragpu-8g": 6, "a3-ultragpu-8g-nolssd": 9, "a4-highgpu-8g": 11,
        "a4x-highgpu-4g": 4, "a4x-maxgpu-4g-metal": 3, "ct5l-hightpu-1t": 2, "ct5l-hightpu-4t": 2,
        "ct5l-hightpu-8t": 2, "ct6e-standard-1t": 2, "ct6e-standard-4t": 2, "ct6e-standard-8t": 2,
        "g4-standard-12": 13, "g4-standard-192": 1, "g4-standard-24": 13, "g4-standard-384": 2, "g4-standard-48": 1,
        "g4-standard-6": 13, "g4-standard-96": 1, "tpu7x-standard-1t": 3, "tpu7x-standard-4t": 3,
    },
}  # fmt: skip
"""Provider → type → regions that were known to sell it, when no source had a price, on 2026-11-28."""
NAMED = (
    ("aws", "g7e.2xlarge"),
    ("aws", "g6f.large"),
    ("aws", "p6-b200.48xlarge"),
    ("gcp", "a4-highgpu-8g"),
    ("gcp", "a3-ultragpu-8g"),
)


def run(*arguments):
    """Result of the program."""
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return result


def place(provider, name):
    """A region that sells the type at an unknown price."""
    return next(
        one.region
        for one in CATALOG.offers
        if (one.provider, one.instance_type) == (provider, name) and one.on_demand is None and one.spot is None
    )


def test_every_accelerator_on_sale_has_its_hardware_facts():
    """Memory, bandwidth and 16-bit peak of whatever a region of the three clouds offers; or why there is no peak."""
    for name in sorted({CATALOG.instance_type(*one).accelerator for one in OFFERED}):
        part = CATALOG.accelerators[name]
        assert part.memory_gib > 0, name
        assert part.memory_bandwidth_gb_per_second > 0, name
        assert part.fp16_tflops or "no fp16 peak:" in PART_NOTES[name], name


def test_every_machine_on_sale_has_a_count_or_a_reason():
    """How many accelerators (or which part of one), or the reason why nobody knows; and its memory."""
    for provider, name in OFFERED:
        machine = CATALOG.instance_type(provider, name)
        assert machine.accelerator_memory_gib, name
        if machine.accelerator_count is None:
            assert "number of GPUs" in NOTES[provider, name], name
        else:
            assert machine.accelerator_count > 0, name


def test_what_is_sold_at_an_unknown_price_is_an_unpriced_offer():
    """Each of the 324 pairs of type and region is in the price files, without a price, and says so by its quality."""
    for provider, expected in SOLD_UNPRICED.items():
        rows = list(read_rows(CATALOG.directory / "prices" / f"{provider}.csv"))
        empty = [row for row in rows if not row["on_demand_usd_per_hour"] and not row["spot_usd_per_hour"]]
        assert {row["on_demand_quality"] for row in empty} <= {"unpriced", "withdrawn"}
        assert Counter(row["instance_type"] for row in empty if row["on_demand_quality"] == "unpriced") == expected
    assert sum(sum(types.values()) for types in SOLD_UNPRICED.values()) == 324
    unpriced = [one for one in CATALOG.offers_in(CLOUDS) if one.on_demand is None and one.spot is None]
    assert Counter(one.provider for one in unpriced) == {
        provider: sum(types.values()) for provider, types in SOLD_UNPRICED.items()
    }


@pytest.mark.parametrize(("provider", "name"), NAMED)
def test_list_says_in_words_what_is_sold_at_an_unknown_price(provider, name):
    """The table in the row and in its last line; JSON keeps null, and a note says what it means."""
    arguments = ("list", "--provider", provider, "--instance-type", name, "--region", place(provider, name))
    table = run(*arguments).stdout.splitlines()
    assert re.search(r"  sold, price unknown +-$", table[3])
    assert table[-1].endswith("1 offer: sold, price unknown")
    as_json = run(*arguments, "--format", "json")
    (entry,) = json.loads(as_json.stdout)
    assert (entry["on_demand_usd_per_hour"], entry["spot_usd_per_hour"]) == (None, None)
    assert as_json.stderr == "note: 1 offer: sold, price unknown: both prices are null\n"


@pytest.mark.parametrize(("provider", "name"), NAMED)
def test_show_says_in_words_what_is_sold_at_an_unknown_price(provider, name):
    """The layers of the type too."""
    arguments = ("show", name, "--provider", provider, "--region", place(provider, name))
    assert re.search(r" unknown +- +unpriced +-$", run(*arguments).stdout, re.MULTILINE)
    wide = run(*arguments, "--wide").stdout
    assert re.search(r" unknown +- +unpriced +- +sold, price unknown$", wide, re.MULTILINE)
    rows = json.loads(run(*arguments, "--format", "json").stdout)["prices"]
    (row,) = (row for row in rows if row["purchase"] == "on_demand")
    assert (row["usd_per_hour"], row["quality"]) == (None, "unpriced")


def test_list_of_priced_offers_has_nothing_to_note():
    """No column, no note."""
    arguments = ("list", "--instance-type", "g6.xlarge", "--region", "us-east-1")
    assert "note" not in run(*arguments).stdout
    assert run(*arguments, "--format", "csv").stderr == ""
