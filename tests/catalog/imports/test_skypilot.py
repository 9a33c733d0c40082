"""Tables in SkyPilot's own columns: zones, placeholders, parts of machines, and what is no table."""

import csv
import json

import pytest
from click.testing import CliRunner

from advisor.catalog import SKYPILOT, imported_dir, load_catalog
from advisor.catalog.values import Quality
from advisor.cli.catalog import command
from advisor.errors import AdvisorError
from catalog.imports.importing import left_out, offer, run
from catalog.refresh.clouds import Cloud, Reply, serving

AWS = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone,Arch"
)
GOOGLE = "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice"
PLAIN = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice"
DAY = "2026-11-20"


@pytest.fixture(autouse=True)
def layers(monkeypatch, tmp_path):
    """Directories of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def write(tmp_path):
    """Writes the table of a provider."""

    def write(provider, header, *rows):
        path = tmp_path / "catalogs" / provider / "vms.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join((header, *rows)) + "\n")
        return path

    return write


def import_of(*arguments):
    """What the import of one provider says as JSON."""
    (entry,) = json.loads(run("import-skypilot", *arguments, "--as-of", DAY, "--format", "json").stdout)["imports"]
    return entry


def unpriced(provider, name=""):
    """Type and region of an offer that nobody prices."""
    return next(
        (one.instance_type, one.region)
        for one in load_catalog().offers
        if one.provider == provider and one.on_demand is None and one.instance_type.startswith(name)
    )


def kept_rows(provider):
    """The price table that the import wrote, by type and region."""
    root = imported_dir(SKYPILOT) / provider
    path = root / (root / "current").read_text().strip() / "prices.csv"
    return {(row["instance_type"], row["region"]): row for row in csv.DictReader(path.read_text().splitlines())}


def test_spot_of_zones_is_their_median_with_its_range(write):
    """A price that nobody knew counts, as gathered by volunteers, with program and date; the range stands beside it."""
    name, region = unpriced("aws", name="g6e.xlarge")
    before = load_catalog().content_hash
    zones = [f"{name},L40S,1.0,4.0,32.0,,2.5,{spot},{region},z{spot},x86_64" for spot in (0.9, 1.7, 1.0)]
    entry = import_of(write("aws", AWS, *zones))
    assert (entry["counting"], entry["kept"]) == (2, True)
    found = offer("aws", region, name)
    assert (found.on_demand.usd_per_hour, found.spot.usd_per_hour) == (2.5, 1.0)
    assert found.on_demand.provenance.source == f"SkyPilot catalog of aws, {DAY}"
    assert (found.spot.provenance.quality, found.spot.provenance.as_of) == (Quality.COMMUNITY, DAY)
    row = kept_rows("aws")[name, region]
    assert (row["spot_zone_low_usd_per_hour"], row["spot_zone_high_usd_per_hour"]) == ("0.9", "1.7")
    assert load_catalog().content_hash != before
    assert run("import-skypilot", "--forget").stdout == "aws: what was imported is dropped\n"
    assert load_catalog().content_hash == before


def test_a_listed_price_of_ours_stays_and_what_differs_is_named(write):
    """SkyPilot's number stands beside ours."""
    said = run(
        "import-skypilot", write("aws", AWS, "g6.xlarge,L4,1.0,4.0,16.0,,0.95,,us-east-1,use1-az1,x86_64")
    ).stdout
    assert "g6.xlarge us-east-1 on demand $0.8048, skypilot $0.95" in said
    assert offer("aws", "us-east-1", "g6.xlarge").on_demand.usd_per_hour == 0.8048


def test_a_price_of_zero_or_none_is_unknown(write):
    """A4 at 0.0 is not free, p5e without on demand is not priced by its spot."""
    name, region = unpriced("gcp")
    listed = offer("aws", "us-east-1", "g6.2xlarge").on_demand
    entry = import_of(
        write("aws", AWS, "g6.2xlarge,L4,1.0,8.0,32.0,,0.0,0.0,us-east-1,use1-az1,x86_64",
              "g6.xlarge,L4,1.0,4.0,16.0,,,0.0,us-east-1,use1-az1,x86_64")
    )  # fmt: skip
    assert (entry["counting"], entry["unpriced"]) == (0, 2)
    assert offer("aws", "us-east-1", "g6.2xlarge").on_demand == listed
    assert offer("gcp", region, name).on_demand is None


def test_google_is_added_up_from_machine_and_accelerators_or_left_out(write):
    """Machine + accelerators where nothing else is charged; the bare price of a machine is never taken for the whole."""
    path = write(
        "gcp",
        GOOGLE,
        "g2-standard-4,4.0,16.0,,,,us-central1,us-central1-a,0.2,0.08",
        "g2-standard-4,4.0,16.0,,,,us-central1,us-central1-b,0.2,0.08",
        ",,,L4,1.0,L4,us-central1,us-central1-a,0.56,0.2",
        "a3-highgpu-8g,208.0,1872.0,,,,us-central1,us-central1-a,9.46,5.1",
        ",,,H100,8.0,H100,us-central1,us-central1-a,78.0,40.0",
        "a2-ultragpu-1g,12.0,170.0,,,,us-central1,us-central1-a,1.09962,0.57",
        ",,,A100-80GB,1.0,A100-80GB,us-central1,us-central1-a,3.92,1.9",
        "n1-standard-8,8.0,30.0,,,,us-central1,us-central1-a,0.38,0.08",
        ",,,T4,1.0,T4,us-central1,us-central1-a,0.35,0.11",
        "n2-standard-4,4.0,16.0,,,,us-central1,us-central1-a,0.19,0.05",
    )
    entry = import_of(path)
    rows = kept_rows("gcp")
    assert float(rows["g2-standard-4", "us-central1"]["on_demand_usd_per_hour"]) == pytest.approx(0.76)
    assert float(rows["g2-standard-4", "us-central1"]["spot_usd_per_hour"]) == pytest.approx(0.28)
    assert float(rows["n1-standard-8+1xT4", "us-central1"]["on_demand_usd_per_hour"]) == pytest.approx(0.73)
    assert {name for name, _ in rows} == {"g2-standard-4", "n1-standard-8+1xT4"}
    count, names = left_out(entry)["part"]
    assert {"a3-highgpu-8g", "a2-ultragpu-1g", "H100 alone"} <= set(names)
    assert left_out(entry)["no_accelerator"] == (2, ["n1-standard-8", "n2-standard-4"])
    assert count == 6


def test_slices_of_tpus_are_machines_and_700_is_no_price(write):
    """A placeholder on either side is unknown; slices of several machines are left out."""
    path = write(
        "gcp",
        GOOGLE,
        ",,,tpu-v6e-8,1,tpu-v6e-8,us-east5,us-east5-a,21.6,700.0",
        ",,,tpu-v6e-4,1,tpu-v6e-4,us-east5,us-east5-a,700.0,700.0",
        ",,,tpu-v6e-256,1,tpu-v6e-256,us-east5,us-east5-a,691.2,326.6",
    )
    entry = import_of(path)
    rows = kept_rows("gcp")
    assert rows["ct6e-standard-8t", "us-east5"]["on_demand_usd_per_hour"] == "21.6"
    assert rows["ct6e-standard-8t", "us-east5"]["spot_usd_per_hour"] == ""
    assert rows["ct6e-standard-4t", "us-east5"]["on_demand_quality"] == "unpriced"
    assert left_out(entry)["part"] == (1, ["tpu-v6e-256 alone"])


def test_prices_of_days_to_come_are_refused(write):
    """They would never grow old."""
    path = write("aws", AWS, "g6.2xlarge,L4,1,8,32,,0.9,0.3,us-east-1,us-east-1a,x86_64")
    result = CliRunner().invoke(command, ["import-skypilot", str(path), "--as-of", "2999-01-01"])
    assert result.exit_code == 2
    assert "2999-01-01 is in the future" in result.stderr


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "g6.$(reboot)", "g6.\u202eegral", "@SUM(1)"])
def test_a_name_that_a_spreadsheet_or_shell_acts_on_is_no_type(write, name):
    """New types are taken by a name that a provider could give."""
    info = "\"{'Gpus': [{'Name': 'L4', 'Manufacturer': 'NVIDIA', 'Count': 1.0, 'MemoryInfo': {'SizeInMiB': 22888}}]}\""
    rows = [f"{new},L4,1,4,16,{info},1.0,0.3,us-east-1,us-east-1a,x86_64" for new in ("g99.xlarge", name)]
    entry = import_of(write("aws", AWS, *rows))
    assert offer("aws", "us-east-1", "g99.xlarge").on_demand.usd_per_hour == 1.0
    assert left_out(entry)["type"] == (2, [name])
    assert name not in {one.instance_type for one in load_catalog().offers}


def test_other_providers_and_unknown_ones(write):
    """Nebius by its own names; a type that is new is described by its accelerator and memory; others are named."""
    write("nebius", PLAIN, "gpu-h200-sxm_8gpu-128vcpu-1600gb,H200,8,128,1600,28.00,eu-north1,,11.60")
    write(
        "lambda",
        PLAIN,
        "gpu_8x_h100_sxm9,H100,8.0,208.0,1800.0,23.92,us-west-1,"
        "\"{'Gpus': [{'Name': 'H100', 'Count': 8.0, 'MemoryInfo': {'SizeInMiB': 81920}}]}\",",
        "gpu_9x_z1,Z1000,9.0,208.0,1800.0,23.92,us-west-1,__import__('os'),",
    )
    path = write("cudo", PLAIN, "x,A40,1,4,16,0.4,no,,")
    document = json.loads(run("import-skypilot", path.parents[1], "--format", "json").stdout)
    found = {one["provider"]: one for one in document["imports"]}
    assert left_out(found["cudo"]) == {"provider": (1, ["cudo"])}
    assert left_out(found["lambda"]) == {"accelerator": (1, ["Z1000 (gpu_9x_z1)"])}
    assert load_catalog().instance_type("lambda", "gpu_8x_h100_sxm9").accelerator == "H100-SXM"
    assert offer("nebius", "eu-north1", "gpu-h200-sxm_8gpu-128vcpu-1600gb").spot is not None


def test_both_programs_are_kept_beside_each_other(write, tmp_path):
    """The newer of two prices that volunteers gathered counts; dropping one leaves the other."""
    pytest.importorskip("gpuhunt")
    name, region = unpriced("aws", name="g6e.xlarge")
    hunt = tmp_path / "hunt/aws.csv"
    hunt.parent.mkdir()
    header = "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags,cpu_arch,provider_data"
    hunt.write_text(f"{header}\n{name},{region},3.5,8,64.0,1,L40S,48.0,False,,nvidia,,x86,{{}}\n")
    table = write("aws", AWS, f"{name},L40S,1.0,4.0,32.0,,2.5,,{region},z1,x86_64")
    run("import-skypilot", table, "--as-of", "2026-11-20")
    run("import-gpuhunt", hunt, "--as-of", "2026-11-10")
    assert offer("aws", region, name).on_demand.usd_per_hour == 2.5
    run("import-gpuhunt", hunt, "--as-of", "2026-11-25")
    assert offer("aws", region, name).on_demand.usd_per_hour == 3.5
    run("import-gpuhunt", "--forget")
    assert offer("aws", region, name).on_demand.usd_per_hour == 2.5


def test_a_url_needs_a_date(write):
    """Nothing else says of when its prices are."""
    name, region = unpriced("aws", name="g6e.xlarge")
    content = write("aws", AWS, f"{name},L40S,1.0,4.0,32.0,,2.5,,{region},z1,x86_64").read_bytes()
    with serving(Cloud(lambda _asked: Reply(content, kind="text/csv"))) as cloud:
        url = f"{cloud.url}/catalogs/v8/aws/vms.csv"
        with pytest.raises(AdvisorError, match="of when") as caught:
            run("import-skypilot", url)
        assert "--as-of" in caught.value.hint
        assert import_of(url)["counting"] == 1
    with pytest.raises(AdvisorError, match=r"127\.0\.0\.1:9"):
        run("import-skypilot", "http://127.0.0.1:9/aws/vms.csv", "--as-of", DAY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there is no column InstanceType"),
        (b"<html>\nlog in\n", "there is no column InstanceType"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (f"{AWS}\ng6.xlarge,L4\n".encode(), "another number of cells"),
        (f"{AWS}\n".encode(), "no row could be taken"),
        (None, "cannot read it"),
    ],
    ids=["empty", "page", "bytes", "cut off", "no row", "absent"],
)
def test_what_is_no_table_is_refused(content, message, tmp_path):
    """With the reason, and no traceback."""
    path = tmp_path / "aws" / "vms.csv"
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AdvisorError, match=message):
        run("import-skypilot", path)
