"""Catalogs in gpuhunt's own format, written and read by the real package, as a layer of the catalog."""

import io
import json
import sys
import zipfile

import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.catalog.layers.layered import better, with_imported
from advisor.catalog.values import Offer, Price, Provenance, Purchase, Quality
from advisor.cli.catalog import command
from advisor.errors import AdvisorError
from catalog.imports.importing import left_out, offer, run
from catalog.refresh.clouds import Cloud, Reply, serving

HEADER = (
    "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags,cpu_arch,"
    "provider_data"
)
"""Columns of a file of version 0.1.34."""
DAY = "2026-11-20"


@pytest.fixture(autouse=True)
def layers(monkeypatch, tmp_path):
    """Directories of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GPUHUNT_CATALOG_DIR", raising=False)


@pytest.fixture
def gpuhunt():
    """The real package."""
    return pytest.importorskip("gpuhunt")


@pytest.fixture
def write(gpuhunt, tmp_path):
    """Writes a file of a provider by the package's own writer; an item is (name, location, price, count, GPU, GB)."""
    storage = pytest.importorskip("gpuhunt._internal.storage")

    def write(provider, *items, directory=tmp_path / "catalog", **changes):
        made = []
        for name, location, price, count, gpu, memory, *rest in items:
            vendor = gpuhunt.AcceleratorVendor.NVIDIA if count else None
            made.append(
                gpuhunt.CatalogItem(
                    provider=provider, instance_name=name, location=location, price=price, cpu=8, memory=64.0,
                    gpu_count=count, gpu_name=gpu, gpu_memory=memory, spot="spot" in rest, disk_size=None,
                    gpu_vendor=vendor, **changes,
                )
            )  # fmt: skip
        directory.mkdir(exist_ok=True)
        path = directory / f"{provider}.csv"
        storage.dump(made, str(path))
        return path

    return write


def imported(*arguments):
    """What the import says as JSON, by provider."""
    document = json.loads(run("import-gpuhunt", *arguments, "--format", "json").stdout)
    return {one["provider"]: one for one in document["imports"]}


def import_of(*arguments):
    """The same where there is one provider."""
    (entry,) = imported(*arguments).values()
    return entry


@pytest.fixture
def unpriced():
    """Type and region of an offer of AWS that nobody prices."""
    catalog = load_catalog()
    one = next(
        one for one in catalog.offers
        if one.provider == "aws" and one.on_demand is None and one.spot is None and one.instance_type == "g6e.xlarge"
    )  # fmt: skip
    return one.instance_type, one.region


def test_an_unknown_price_is_filled_and_says_where_it_comes_from(write, unpriced):
    """The price counts, of the quality of what volunteers gather, with the version of the package and the date."""
    name, region = unpriced
    before = load_catalog().content_hash
    entry = import_of(write("aws", (name, region, 2.5, 1, "L40S", 48.0)), "--as-of", DAY)
    assert (entry["rows"], entry["counting"], entry["new"], entry["kept"]) == (1, 1, 1, True)
    price = offer("aws", region, name).on_demand
    assert price.usd_per_hour == 2.5
    assert (price.provenance.as_of, price.provenance.quality) == (DAY, Quality.COMMUNITY)
    assert price.provenance.source.startswith("gpuhunt 0.")
    assert price.provenance.source.endswith(f"catalog of {DAY}")
    assert load_catalog().content_hash != before
    rows = json.loads(run("show", name, "--region", region, "--format", "json").stdout)["prices"]
    on_demand = [row for row in rows if row["purchase"] == "on_demand"]
    assert [(row["layer"], row["counts"], row["usd_per_hour"]) for row in on_demand] == [
        ("shipped", False, None),
        ("imported", True, 2.5),
    ]
    assert run("import-gpuhunt", "--forget").stdout == "aws: what was imported is dropped\n"
    assert load_catalog().content_hash == before


def test_a_listed_price_stays_and_what_differs_is_shown(write):
    """Ours counts; a gap of more than a tenth is named with both numbers."""
    items = [("g6.xlarge", "us-east-1", 0.95, 1, "L4", 24.0), ("g5.xlarge", "us-east-1", 1.006, 1, "A10G", 24.0)]
    result = run("import-gpuhunt", write("aws", *items), "--as-of", DAY).stdout
    assert "prices that count from now on: 0, 0 of them where none was known" in result
    assert "prices of ours that are better founded, and stay: 2" in result
    assert "other by more than a tenth: 1: g6.xlarge us-east-1 on demand $0.8048, gpuhunt $0.95" in result
    assert offer("aws", "us-east-1", "g6.xlarge").on_demand.usd_per_hour == 0.8048


def test_what_cannot_be_mapped_is_counted_and_named(write):
    """Region, accelerator, another count, other ways of paying: every row of the file has its place in the report."""
    path = write(
        "aws",
        ("g6.xlarge", "mars-north-1", 1.0, 1, "L4", 24.0),
        ("g6.xlarge", "mars-north-1", 0.4, 1, "L4", 24.0, "spot"),
        ("g9.xlarge", "us-east-1", 1.0, 1, "Z1000", 24.0),
        ("p9.24xlarge", "us-east-1", 9.0, 8, "H100", 80.0),
        ("g6.12xlarge", "us-east-1", 5.0, 3, "L4", 24.0),
        ("m7i.large", "us-east-1", 0.1, 0, None, None),
        ("g6.2xlarge", "us-east-1", 0.9776, 1, "L4", 24.0),
    )  # fmt: skip
    entry = import_of(path)
    assert left_out(entry) == {
        "region": (2, ["mars-north-1"]),
        "accelerator": (1, ["Z1000 of 24 GB (g9.xlarge)"]),
        "contradiction": (1, ["g6.12xlarge: 3 × L4, in the catalog 4"]),
        "no_accelerator": (1, ["m7i.large"]),
    }
    assert entry["rows"] == 7
    assert offer("aws", "us-east-1", "p9.24xlarge").on_demand.usd_per_hour == 9.0, "AWS sells one H100 of 80 GB"
    machine = load_catalog().instance_type("aws", "p9.24xlarge")
    assert (machine.accelerator, machine.accelerator_count, machine.memory_gib) == ("H100-SXM", 8, None)


def test_a_price_of_zero_is_unknown(write, unpriced):
    """It is not free, takes no known price away, and a new type without a price is an offer all the same."""
    entry = import_of(
        write(
            "aws",
            ("g6.xlarge", "us-east-1", 0.0, 1, "L4", 24.0),
            ("g9.xlarge", "us-east-1", 0.0, 1, "L4", 24.0),
            (unpriced[0], unpriced[1], float("nan"), 1, "L40S", 48.0),
        )
    )
    assert (entry["counting"], entry["unpriced"]) == (0, 3)
    assert offer("aws", "us-east-1", "g6.xlarge").on_demand.usd_per_hour == 0.8048
    assert offer("aws", unpriced[1], unpriced[0]).on_demand is None
    assert offer("aws", "us-east-1", "g9.xlarge").on_demand is None
    assert "sold, price unknown" in run("list", "--instance-type", "g9.xlarge").stdout


def test_rows_that_the_package_cannot_read_are_named(gpuhunt, tmp_path):
    """A missing price is no row for gpuhunt; it is counted, in its words."""
    path = tmp_path / "aws.csv"
    path.write_text(
        f"{HEADER}\ng6.xlarge,us-east-1,,4,16.0,1,L4,24.0,False,,nvidia,,x86,{{}}\n"
        "g6.xlarge,us-east-1,0.8048,4,16.0,1,L4,24.0,False,,nvidia,,x86,{}\n"
    )
    ((count, (words,)),) = left_out(import_of(path)).values()
    assert count == 1
    assert "'price' is empty" in words
    assert gpuhunt.__name__ in sys.modules


def test_spot_that_cannot_be_is_left_out(write):
    """Above on demand, or of nearly nothing."""
    path = write(
        "aws",
        ("g6.xlarge", "us-east-1", 0.8048, 1, "L4", 24.0),
        ("g6.xlarge", "us-east-1", 0.9, 1, "L4", 24.0, "spot"),
        ("g6.2xlarge", "us-east-1", 0.00001, 1, "L4", 24.0, "spot"),
    )
    count, names = left_out(import_of(path))["implausible"]
    assert count == 2
    assert names[0] == "g6.2xlarge in us-east-1: spot $0.00001 below a twentieth of on demand $0.9776"


def test_google_is_listed_by_zone_and_by_what_is_attached(write):
    """Zones are their region, of several prices the dearest; an attached T4 is in the name; a calendar's price is not on demand."""
    catalog = load_catalog()
    region = next(
        one.region for one in catalog.offers
        if one.provider == "gcp" and one.instance_type == "a3-highgpu-8g" and one.on_demand is None and one.spot is None
    )  # fmt: skip
    path = write(
        "gcp",
        ("a3-highgpu-8g", f"{region}-a", 88.0, 8, "H100", 80.0),
        ("a3-highgpu-8g", f"{region}-b", 90.0, 8, "H100", 80.0),
        ("n1-standard-8", "us-central1-a", 0.73, 1, "T4", 16.0),
        ("n1-highmem-96", "us-central1-a", 9.0, 4, "T4", 16.0),
        ("v5litepod-8", "us-central1-a", 9.0, 1, "v5litepod-8", 128.0),
    )
    entry = import_of(path)
    assert offer("gcp", region, "a3-highgpu-8g").on_demand.usd_per_hour == 90.0
    assert left_out(entry) == {
        "accelerator": (1, ["v5litepod-8 of 128 GB (v5litepod-8)"]),
        "type": (1, ["n1-highmem-96+4xT4"]),
    }
    reserved = write("gcp", ("a3-highgpu-8g", f"{region}-a", 40.0, 8, "H100", 80.0), flags=["gcp-dws-calendar-mode"])
    with pytest.raises(AdvisorError, match="no row could be taken"):
        run("import-gpuhunt", reserved)
    assert offer("gcp", region, "a3-highgpu-8g").on_demand.usd_per_hour == 90.0, "what was imported before holds"


def test_smaller_providers_come_under_our_names(write):
    """RunPod by its spelling of the accelerator, Lambda by the form in the type, Nebius with an underscore, OCI as Oracle."""
    directory = write("runpod", ("NVIDIA H100 PCIe", "EU-RO-1", 4.78, 2, "H100", 80.0)).parent
    write(
        "lambdalabs",
        ("gpu_8x_h100_sxm5", "us-west-1", 23.92, 8, "H100", 80.0),
        ("gpu_1x_a100", "us-west-1", 1.29, 1, "A100", 40.0),
    )
    write("nebius", ("gpu-h200-sxm 8gpu-128vcpu-1600gb", "eu-north1", 28.0, 8, "H200", 141.0))
    write("oci", ("BM.GPU.H100.8", "us-ashburn-1", 80.0, 8, "H100", 80.0))
    write("cloudrift", ("rtx49-7c-kn.1", "us-east-nc-nr-1", 0.39, 1, "RTX4090", 24.0))
    write("vultr", ("vcg-a16", "ewr", 0.5, 1, "A16", 16.0))
    found = imported(directory)
    assert set(found) == {"cloudrift", "lambda", "nebius", "oracle", "runpod"}
    assert left_out(found["cloudrift"]) == {"provider": (1, ["cloudrift"])}
    assert left_out(found["lambda"]) == {"accelerator": (1, ["A100 of 40 GB (gpu_1x_a100)"])}, "two forms are sold"
    assert "gpuhunt gave nothing of vultr" in run("import-gpuhunt", directory).stdout
    catalog = load_catalog()
    assert catalog.instance_type("runpod", "NVIDIA H100 PCIe 2x").accelerator == "H100-PCIe"
    assert catalog.instance_type("lambda", "gpu_8x_h100_sxm5").accelerator == "H100-SXM"
    assert offer("lambda", "global", "gpu_8x_h100_sxm5").on_demand.usd_per_hour == 23.92
    assert offer("oracle", "global", "BM.GPU.H100.8").on_demand.usd_per_hour == 80.0
    assert offer("nebius", "eu-north1", "gpu-h200-sxm_8gpu-128vcpu-1600gb").on_demand is not None


@pytest.mark.parametrize(
    ("usd_per_hour", "price", "is_spot", "is_taken"),
    [
        (0.07, "", False, True), (0.06, "$0.06", False, False), (59.0, "", False, True), (60.0, "$60.00", False, False),
        (0.001, "$0.001", False, False), (1e-7, "$0.0000001", True, False), (1e308, "$1e+308", False, False),
        (0.07, "", True, True),
    ],
)  # fmt: skip
def test_a_price_far_from_those_of_its_accelerator_is_left_out(write, usd_per_hour, price, is_spot, is_taken):
    """More than 30 × the usual price of an H100 PCIe (1.99), less than a thirtieth, or beyond any machine's."""
    item = ("gpu_1x_h100_pcie", "us-west-1", usd_per_hour, 1, "H100", 80.0, *(("spot",) if is_spot else ()))

    entry = import_of(write("lambdalabs", item), "--dry-run")

    purchase = "spot" if is_spot else "on demand"
    told = f"gpu_1x_h100_pcie {purchase} in global: {price} an hour, and its accelerators usually cost $1.99"
    assert entry["counting"] == (1 if is_taken else 0)
    assert left_out(entry) == ({} if is_taken else {"implausible": (1, [told])})


def zipped(*paths):
    """A catalog.zip as it is published."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in paths:
            info = zipfile.ZipInfo(path.name, (2026, 11, 18, 3, 0, 0))
            archive.writestr(info, path.read_bytes())
    return stream.getvalue()


def test_a_zip_is_dated_by_its_version_or_by_when_it_was_written(write, unpriced, tmp_path):
    """The directory of a version names its day; a zip on its own was written on one."""
    content = zipped(write("aws", (unpriced[0], unpriced[1], 2.5, 1, "L40S", 48.0)))
    alone, versioned = tmp_path / "catalog.zip", tmp_path / "aws" / "20261119-42" / "catalog.zip"
    alone.write_bytes(content)
    versioned.parent.mkdir(parents=True)
    versioned.write_bytes(content)
    assert import_of(alone)["as_of"] == "2026-11-18"
    assert import_of(versioned)["as_of"] == "2026-11-19"
    assert import_of(tmp_path / "aws", alone)["as_of"] == "2026-11-19", "the newest counts"


def test_live_reads_what_is_published(write, unpriced, monkeypatch):
    """The package itself asks for the version, then for the zip."""
    paths = {"aws": write("aws", (unpriced[0], unpriced[1], 2.5, 1, "L40S", 48.0))}

    def answer(asked):
        provider, *rest = asked.path.strip("/").split("/")
        if rest == ["version"]:
            return Reply(b"20261121-7\n", kind="text/plain")
        assert rest == ["20261121-7", "catalog.zip"]
        return Reply(zipped(paths.get(provider) or write(provider)), kind="application/zip")

    with serving(Cloud(answer)) as cloud:
        monkeypatch.setenv("GPUHUNT_CATALOG_URL", cloud.url)
        found = imported("--live")
    assert {name for name, entry in found.items() if entry["kept"]} == {"aws"}
    assert found["aws"]["as_of"] == "2026-11-21"
    assert offer("aws", unpriced[1], unpriced[0]).on_demand.usd_per_hour == 2.5
    with pytest.raises(AdvisorError, match="cannot be reached") as caught:
        run("import-gpuhunt", "--live")
    assert "catalog.zip" in caught.value.hint


def test_a_dry_run_keeps_nothing(write, unpriced):
    """It says what would count."""
    path = write("aws", (unpriced[0], unpriced[1], 2.5, 1, "L40S", 48.0))
    assert "prices that count after an import: 1, 1 of them" in run("import-gpuhunt", path, "--dry-run").stdout
    assert offer("aws", unpriced[1], unpriced[0]).on_demand is None
    assert run("import-gpuhunt", "--forget").stdout == "nothing was imported\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("aws.csv", b"", "not a catalog of gpuhunt: it has no row"),
        (
            "aws.csv",
            b"<html>\nlog in\n",
            "not a catalog of gpuhunt: .*instance_name|not a catalog of gpuhunt: .*gpu_count",
        ),
        ("aws.csv", b"\xff\xfe\x00", "gpuhunt cannot read it|not a catalog of gpuhunt"),
        ("catalog.zip", b"PK\x03\x04broken", "not a zip file, or a damaged one"),
        ("catalog.txt", None, "cannot read it"),
    ],
    ids=["empty", "page", "bytes", "zip", "absent"],
)
def test_what_is_no_catalog_is_refused(gpuhunt, tmp_path, name, content, message):
    """With the reason, and no traceback."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AdvisorError, match=message):
        run("import-gpuhunt", path)
    assert gpuhunt is not None


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch, tmp_path):
    """An extra, not a requirement."""
    monkeypatch.setitem(sys.modules, "gpuhunt", None)
    with pytest.raises(AdvisorError, match="gpuhunt is not installed") as caught:
        run("import-gpuhunt", tmp_path)
    assert caught.value.hint == "pip install 'inference-advisor[gpuhunt]'"


def test_a_path_or_live_has_to_be_given(tmp_path):
    """Neither and both are wrong usage."""
    for arguments in ([], [str(tmp_path), "--live"]):
        assert CliRunner().invoke(command, ["import-gpuhunt", *arguments]).exit_code == 2


def priced(usd, quality, as_of):
    """A price of that quality."""
    return Price(usd, Provenance("made up", as_of, quality))


@pytest.mark.parametrize(
    ("quality", "as_of", "is_ours"),
    [
        (Quality.LISTED, "2025", True),
        (Quality.DERIVED, "2025-04-04", True),
        (Quality.COMMUNITY, "2026-05-24", False),
        (Quality.COMMUNITY, "2026-11-21", True),
        (Quality.STALE, "2026-11-21", False),
        (Quality.RECALLED, "2026-11-24", False),
    ],
)
def test_the_better_founded_price_counts(quality, as_of, is_ours):
    """Listed and derived prices of ours stay, whatever their age; of two that volunteers gathered the newer one counts."""
    ours, theirs = priced(1.0, quality, as_of), priced(2.0, Quality.COMMUNITY, DAY)
    assert better(ours, theirs, Purchase.ON_DEMAND) is (ours if is_ours else theirs)
    assert better(None, theirs, Purchase.ON_DEMAND) is theirs
    assert better(ours, None, Purchase.SPOT) is ours


@pytest.mark.parametrize(
    ("quality", "as_of", "is_ours"),
    [
        (Quality.LISTED, "2026-10-21", True),
        (Quality.DERIVED, "2026-10-20", False),
        (Quality.LISTED, "2025", False),
        (Quality.LISTED, "", True),
    ],
)
def test_an_old_spot_price_gives_way_to_one_that_is_a_month_newer(quality, as_of, is_ours):
    """Spot moves: after thirty days it may not decide by itself; without a date nothing says that it is older."""
    ours, theirs = priced(1.0, quality, as_of), priced(2.0, Quality.COMMUNITY, DAY)
    assert better(ours, theirs, Purchase.SPOT) is (ours if is_ours else theirs)


def test_an_import_brings_nothing_back_that_was_withdrawn():
    """What a provider does not list any more stays so, whatever another program still prices there."""
    place = ("aws", "us-east-1", "p3.2xlarge")
    gone = Offer(*place, priced(3.06, Quality.WITHDRAWN, "2025"), None, withdrawn=True)
    theirs = Offer(*place, priced(3.06, Quality.COMMUNITY, DAY), priced(1.0, Quality.COMMUNITY, DAY))
    assert list(with_imported([gone], [theirs])) == [gone]
