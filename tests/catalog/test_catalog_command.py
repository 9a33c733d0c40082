"""``advisor catalog``: what it prints, for people and for programs."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.cli.catalog import command
from advisor.errors import InputError

KEYS = [
    "provider", "region", "instance_type", "accelerator", "accelerator_count", "accelerator_memory_gib",
    "on_demand_usd_per_hour", "spot_usd_per_hour", "source", "as_of", "quality",
]  # fmt: skip


def run(*arguments):
    """Result of the command; an error of ours is raised, as the program's boundary would see it."""
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, InputError):
        raise result.exception
    return result


def listed(*arguments):
    """Entries of `list --format json`."""
    result = run("list", "--format", "json", *arguments)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_json_has_exactly_the_promised_keys():
    """Other programs read these eleven keys, in this order, for every offer."""
    entries = listed()
    assert len(entries) == len(load_catalog().offers)
    assert {tuple(entry) for entry in entries} == {tuple(KEYS)}


def test_one_offer_with_its_price_and_where_it_comes_from():
    """A single type in a single region is one entry with its on-demand source."""
    assert listed("--instance-type", "g6.xlarge", "--region", "us-east-1") == [
        {
            "provider": "aws",
            "region": "us-east-1",
            "instance_type": "g6.xlarge",
            "accelerator": "L4",
            "accelerator_count": 1,
            "accelerator_memory_gib": 22.35,
            "on_demand_usd_per_hour": 0.8048,
            "spot_usd_per_hour": 0.3618,
            "source": "karpenter-provider-aws pricing @6fc13b52 (AWS price list)",
            "as_of": "2026-07-20",
            "quality": "listed",
        }
    ]


def test_source_and_date_are_those_of_spot_where_only_spot_is_known():
    """A type without on-demand price still says where its spot price comes from."""
    (entry,) = listed("--instance-type", "p5e.48xlarge", "--region", "us-west-2")
    assert entry["on_demand_usd_per_hour"] is None
    assert entry["spot_usd_per_hour"] == 17.7513
    assert "skypilot-catalog v9" in entry["source"]


def test_what_is_unknown_is_null():
    """Neither price known: prices, source and date are null, not zero and not empty."""
    entries = listed("--provider", "gcp", "--instance-type", "a4-highgpu-8g")
    assert entries
    for entry in entries:
        assert {entry[key] for key in KEYS[6:-1]} == {None}
        assert entry["quality"] == "unpriced"


@pytest.mark.parametrize(
    ("name", "accelerators"),
    [
        ("A100", {"A100-40GB-SXM", "A100-40GB-PCIe", "A100-80GB-SXM", "A100-80GB-PCIe"}),
        ("NVIDIA L4", {"L4"}),
        ("h100", {"H100-SXM", "H100-PCIe", "H100-NVL"}),
        ("H200-SXM", {"H200"}),
    ],
)
def test_an_accelerator_by_alias_or_family(name, accelerators):
    """Driver names work, and a bare family name lists every variant that is sold."""
    assert {entry["accelerator"] for entry in listed("--accelerator", name)} == accelerators


def test_filters_add_up_and_repeat():
    """An option given twice widens, another option narrows."""
    entries = listed("--provider", "aws", "--provider", "azure", "--accelerator", "T4", "--accelerator", "L4")
    assert {entry["provider"] for entry in entries} == {"aws", "azure"}
    assert {entry["accelerator"] for entry in entries} == {"T4", "L4"}
    narrow = listed("--provider", "aws", "--accelerator", "T4", "--region", "eu-west-1")
    assert {(entry["provider"], entry["region"], entry["accelerator"]) for entry in narrow} == {
        ("aws", "eu-west-1", "T4")
    }


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("--provider", "awz"), "unknown provider: 'awz'", "aws"),
        (("--region", "us-eats-1"), "unknown region of any provider: 'us-eats-1'", "us-east-1"),
        (("--provider", "gcp", "--region", "us-east-1"), "unknown region of gcp: 'us-east-1'", "us-east1"),
        (("--instance-type", "g6.xlarg"), "unknown instance type of any provider: 'g6.xlarg'", "g6.xlarge"),
        (("--accelerator", "L5"), "unknown accelerator: 'L5'", "L4"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest(arguments, message, hint):
    """Each filter refuses what the catalog does not know and says what it does know."""
    with pytest.raises(InputError) as caught:
        run("list", *arguments)
    assert caught.value.message == message
    assert hint in caught.value.hint


def test_nothing_sold_that_way_is_an_empty_list_and_a_note():
    """A valid filter that matches nothing is no error."""
    result = run("list", "--accelerator", "TPU-v6e", "--region", "us-east-1", "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == []
    assert "nothing in the catalog" in result.stderr


def test_nothing_sold_that_way_as_a_table():
    """The table of nothing says so in its last line."""
    assert run("list", "--accelerator", "MI325X").stdout == "0 offers; no price is known\n"


def test_the_table_ends_with_the_age_of_the_prices():
    """The last line says how many offers there are and how old the oldest and the newest price is."""
    lines = run("list", "--accelerator", "L4", "--region", "us-east-1").stdout.splitlines()
    assert lines[:2] == ["aws", "region     instance type  count  accelerator   USD/h    spot"]
    assert lines[-1] == "15 offers; prices from 2025-06-28 to 2026-07-20"


def test_the_whole_table_fits_a_terminal():
    """No line is wider than a hundred columns, whatever is listed."""
    for arguments in (["list"], ["accelerators"]):
        assert max(map(len, run(*arguments).stdout.splitlines())) <= 100


def test_zones_are_listed_with_whether_they_are_verified():
    """On request: number, names, source and date behind the promised keys, as a table without prices."""
    arguments = ("list", "--zones", "--region", "us-central1", "--instance-type", "ct6e-standard-8t")
    (entry,) = json.loads(run(*arguments, "--format", "json").stdout)
    assert tuple(entry)[: len(KEYS)] == tuple(KEYS)
    assert (entry["zones"], entry["zone_names"], entry["zones_verified"]) == (1, "us-central1-b", True)
    assert entry["zones_as_of"] == "2025"
    lines = run(*arguments).stdout.splitlines()
    assert lines[1].split() == ["region", "instance", "type", "zones", "verified", "as", "of", "spot", "USD/h"]
    assert lines[3].split() == ["us-central1", "ct6e-standard-8t", "1", "yes", "2025", "4.3537"]
    whole = run("list", "--zones").stdout.splitlines()
    assert max(map(len, whole)) <= 100
    assert whole[-1] == "3,233 offers; zones of 1,639 verified, of the others those of the region"
    header = run("list", "--zones", "--format", "csv").stdout.splitlines()[0]
    assert header.endswith(",zones_source,zones_as_of,spot_zone_low_usd_per_hour,spot_zone_high_usd_per_hour")


def test_spot_is_listed_by_zone():
    """Lowest and highest price over the zones of a region, as words and as keys; the price is their median."""
    arguments = ("list", "--zones", "--region", "us-east-1", "--instance-type", "g6f.xlarge")
    (entry,) = json.loads(run(*arguments, "--format", "json").stdout)
    low, high = entry["spot_zone_low_usd_per_hour"], entry["spot_zone_high_usd_per_hour"]
    assert (low, high) == (0.086, 0.0964)
    assert low < entry["spot_usd_per_hour"] < high
    assert "0.086 to 0.0964" in run(*arguments).stdout
    assert "0.086 to 0.0964" in run("show", "g6f.xlarge", "--region", "us-east-1").stdout


def test_what_was_withdrawn_is_shown_with_its_word():
    """The last price stays for programs, the table says why nobody can buy it, and no zone sells it."""
    arguments = ("list", "--instance-type", "dl1.24xlarge", "--region", "us-east-1")
    (entry,) = json.loads(run(*arguments, "--zones", "--format", "json").stdout)
    assert (entry["on_demand_usd_per_hour"], entry["quality"], entry["zones"]) == (13.10904, "withdrawn", 0)
    lines = run(*arguments).stdout.splitlines()
    assert lines[3].split()[-2:] == ["withdrawn", "-"]
    assert lines[-1].endswith("; 1 not sold any more")
    shown = run("show", "dl1.24xlarge").stdout
    assert "withdrawn: not sold there any more; its last price is for what runs there still" in shown
    unpriced = run("show", "inf1.xlarge", "--region", "ap-northeast-3").stdout
    assert "withdrawn" in unpriced
    assert "sold, price unknown" not in unpriced


def test_a_type_is_shown_with_its_zones():
    """Names, and a note where they are the region's."""
    listed_zones = run("show", "p6-b200.48xlarge", "--region", "us-east-1").stdout
    assert "use1-az6" in listed_zones
    assert "not verified" not in listed_zones
    assumed = run("show", "Standard_NC24ads_A100_v4", "--region", "eastus").stdout
    assert "not verified: the region's zones; the type may be sold in fewer of them" in assumed


def test_csv_holds_the_same_as_json():
    """The two formats for programs agree, with empty cells for null."""
    arguments = ("--provider", "nebius")
    rows = list(csv.DictReader(io.StringIO(run("list", "--format", "csv", *arguments).stdout)))
    entries = listed(*arguments)
    assert rows == [{key: "" if value is None else str(value) for key, value in entry.items()} for entry in entries]


def test_accelerators_are_listed_with_their_peaks():
    """Every accelerator is there, in all three formats, and says how well its figures are founded."""
    entries = json.loads(run("accelerators", "--format", "json").stdout)
    assert {entry["name"] for entry in entries} == set(load_catalog().accelerators)
    h100 = next(entry for entry in entries if entry["name"] == "H100-SXM")
    assert (h100["memory_gib"], h100["fp8_tflops"], h100["fp4_tflops"], h100["quality"]) == (
        79.19,
        1979,
        None,
        "listed",
    )
    assert run("accelerators", "--format", "csv").stdout.count("\n") == len(entries) + 1
    assert run("accelerators").stdout.splitlines()[-1].startswith(f"{len(entries)} accelerators; peaks are dense")


def test_the_result_can_go_to_a_file(tmp_path):
    """With -o the result is written, and nothing but a word about it is printed."""
    path = tmp_path / "l4.json"
    result = run("list", "--accelerator", "L4", "--format", "json", "-o", str(path))
    assert result.stdout == ""
    assert {entry["accelerator"] for entry in json.loads(path.read_text())} == {"L4"}


def test_services_by_the_second_show_unknown_prices():
    """Null for programs, a quality that says so for people."""
    entries = json.loads(run("serverless", "--format", "json").stdout)
    assert len(entries) == len(load_catalog().serverless)
    rtx = next(entry for entry in entries if entry["accelerator"] == "RTX-PRO-6000")
    assert (rtx["usd_per_hour"], rtx["quality"]) == (None, "unpriced")
    assert "sold, price unknown" in run("serverless").stdout


def test_models_by_the_token_are_found_by_a_part_of_their_name():
    """As `compare` in a workload file names them; nothing found is told."""
    entries = json.loads(run("tokens", "claude-haiku-4", "--format", "json").stdout)
    assert {"anthropic/claude-haiku-4-5"} < {entry["name"] for entry in entries}
    assert len(json.loads(run("tokens", "--format", "json").stdout)) == len(load_catalog().every_token_price)
    with pytest.raises(InputError, match="no model that is sold by the token"):
        run("tokens", "gpt-99")


def test_services_are_listed_by_place(run_advisor):
    """What holds in a region: its own rows, and those of all regions; a misspelt place has its nearest names."""
    rows = json.loads(run_advisor("catalog", "services", "--region", "us-east-1", "--format", "json").stdout)
    known = {(row["provider"], row["item"]): row for row in rows}
    assert {row["provider"] for row in rows} == {"aws"}
    assert (known["aws", "disk_storage"]["usd"], known["aws", "disk_storage"]["unit"]) == (0.08, "GiB-month")
    assert known["aws", "cluster"]["region"] == ""
    assert "did you mean gcp?" in run_advisor("catalog", "services", "--provider", "gpc").stderr
    assert "us-east-1" in run_advisor("catalog", "services", "--region", "us-eest-1").stderr


@pytest.mark.parametrize("name", ["g6.xlarge", "p5e.48xlarge", "Standard_NC24ads_A100_v4", "m8g.4xlarge"])
def test_a_type_is_shown_in_80_columns(name):
    """A file or a pipe has lines of 80 characters, which name the columns that only ``--wide`` has."""
    lines = run("show", name).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("source too)" in line and line.startswith("(--wide shows ") for line in lines)
    wide = run("show", name, "--wide").stdout
    assert max(map(len, wide.splitlines())) > 80
    assert "(--wide" not in wide


def test_a_type_is_shown_with_what_it_costs_for_a_term():
    """Commitments by region with what they save, then what no plan takes, with its terms; the same for programs."""
    lines = run("show", "Standard_NC24ads_A100_v4", "--region", "westeurope", "--wide").stdout.splitlines()
    plan = next(line for line in lines if "Savings plan for compute" in line)
    assert "3.9747" in plan
    assert plan.split()[-1] == "(listed)"
    assert " 17% " in plan
    text = run("show", "p5e.48xlarge", "--region", "us-west-2", "--wide").stdout
    assert "EC2 Capacity Block: 1 to 182 days, bought up to 56 days ahead, paid upfront, $39.80 an hour;" in text
    assert text.index("also sold, never taken by a plan:") < text.index("EC2 Capacity Block:")
    document = json.loads(run("show", "p5e.48xlarge", "--region", "us-west-2", "--format", "json").stdout)
    assert document["commitments"] == []
    block = next(one for one in document["reservations"] if one["instrument"] == "EC2 Capacity Block")
    assert (block["least_days"], block["most_days"], block["usd_per_hour"]) == (1, 182, 39.8)
    arm = json.loads(run("show", "m8g.4xlarge", "--region", "us-east-1", "--format", "json").stdout)
    assert {(one["term_years"], one["quality"]) for one in arm["commitments"]} == {(1, "derived"), (3, "derived")}
