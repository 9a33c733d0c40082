"""Releases of engines, and what they serve: true dates, ranges that do not overlap, nothing that measurements deny."""

import datetime as dt
import shutil

import pytest
from packaging.version import Version

from advisor.catalog import load_catalog
from advisor.catalog.layers.layered import layered
from advisor.catalog.one_pass_engines import OLD_DAYS, at_version, planned, read_releases, version_of
from advisor.catalog.readers import Sources
from advisor.catalog.values import EngineSupport, Evidence, Quality, Support
from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.models import find_model, parse_precision
from advisor.tables import read_rows

CATALOG = load_catalog()
DIRECTORY = data_dir("instance_catalog")
SUPPORT = Sources(DIRECTORY).values(EngineSupport, "engine_support")
TODAY = dt.date(2026, 11, 28)
ENGINES = ("vLLM", "SGLang", "TensorRT-LLM")


@pytest.mark.parametrize(
    ("engine", "version", "day"),
    [
        ("vLLM", "0.10.0", "2025-07-25"),
        ("vLLM", "0.13.0", "2025-12-19"),
        ("vLLM", "0.33.0", "2026-11-02"),
        ("SGLang", "0.5.9", "2026-02-23"),
        ("SGLang", "0.5.23", "2026-10-30"),
        ("TensorRT-LLM", "1.2.0", "2026-03-12"),
        ("TensorRT-LLM", "1.2.1", "2026-04-20"),
    ],
)
def test_releases_have_the_day_of_their_upload(engine, version, day):
    """Of the table that was wrong by up to 48 days, and that ended at vLLM 0.19."""
    known = {release.version: release for release in CATALOG.releases.of(engine)}
    assert known[Version(version)].released.isoformat() == day
    assert known[Version(version)].provenance.quality is Quality.LISTED


def test_a_release_that_never_was_is_gone():
    """TensorRT-LLM 1.3 has release candidates alone."""
    releases = [one for one in CATALOG.releases.of("TensorRT-LLM") if one.version.release[:2] == (1, 3)]
    assert releases
    assert not any(one.is_final for one in releases)


def test_every_version_is_one_and_no_release_is_of_the_future():
    """None is left out as unreadable, and none came out after the day on which the index was read."""
    assert CATALOG.releases.unreadable == ()
    for engine in ENGINES:
        for one in CATALOG.releases.of(engine):
            assert one.released.isoformat() <= one.provenance.as_of


def test_a_broken_version_is_left_out_and_named(tmp_path):
    """The others stay; a broken date is an error with its place."""
    shutil.copytree(DIRECTORY, tmp_path / "catalog")
    path = tmp_path / "catalog" / "engine_releases.csv"
    path.write_text(path.read_text().replace("vLLM,0.33.0,", "vLLM,0.33-broken!,"))
    releases = read_releases(path, Sources(tmp_path / "catalog"))
    assert releases.of("vLLM")[-1].version == Version("0.32.0")
    (unreadable,) = releases.unreadable
    assert "'0.33-broken!' of vLLM is not a version" in unreadable
    path.write_text(path.read_text().replace("2026-10-18", "2026-10-38"))
    with pytest.raises(InputError, match="'2026-10-38' is not a date"):
        read_releases(path, Sources(tmp_path / "catalog"))


@pytest.mark.parametrize(
    ("accelerator", "engine", "version"),
    [
        ("H100-SXM", "vLLM", "0.33.0"),
        ("H100-SXM", "SGLang", "0.5.23"),
        ("H100-SXM", "TensorRT-LLM", "1.2.1"),
        ("MI300X", "vLLM", "0.31.0"),
        ("MI300X", "SGLang", "0.5.16"),
        ("Trainium2", "vLLM-NxDI", "0.5 (vLLM 0.16)"),
    ],
)
def test_a_plan_takes_the_newest_release_that_has_an_image(accelerator, engine, version):
    """No pre-release; on AMD the newest whose ROCm image was seen; plugins have the release of their documents."""
    versions = {row.engine: row.engine_version for row in CATALOG.engine_support(accelerator, "bf16")}
    assert versions[engine] == version


def test_the_newest_release_that_serves_is_planned_and_an_older_one_where_a_newer_does_not():
    """Ranges decide; in a gap between two ranges nobody says anything."""
    rows = [row for row in SUPPORT if (row.engine, row.hardware, row.precision) == ("vLLM", "Volta", "fp16")]
    old, new = Version("0.11.2"), Version("0.33.0")
    assert planned(rows, (old, new), "").engine_version == "0.11.2"
    assert planned(rows, (new,), "").support is Support.NO
    gap = [row for row in SUPPORT if (row.engine, row.hardware, row.precision) == ("TensorRT-LLM", "Turing", "fp16")]
    unsaid = planned(gap, (Version("0.20.0"),), "")
    assert (unsaid.support, unsaid.evidence) == (Support.UNTESTED, Evidence.UNTESTED)
    assert planned(rows, (), "nightly").engine_version == "nightly"


@pytest.mark.parametrize(
    ("version", "support"), [("0.12.0", Support.NATIVE), ("1.2.0", Support.NO), ("nightly", Support.NO)]
)
def test_what_a_release_does_is_asked_by_its_version(version, support):
    """SmoothQuant was in TensorRT-LLM until 1.0; a version that is none is taken as what a plan takes."""
    rows = CATALOG.engine_support_at("A100-80GB-SXM", "int8", version)
    assert next(row.support for row in rows if row.engine == "TensorRT-LLM") is support


def test_ranges_of_one_engine_do_not_overlap():
    """At most one row holds for each release; a range ends after its beginning."""
    groups: dict[tuple[str, str, str], list] = {}
    for row in SUPPORT:
        assert not (row.from_version and row.until_version) or version_of(row.from_version) < version_of(
            row.until_version
        )
        groups.setdefault((row.engine, row.hardware, row.precision), []).append(row)
    for rows in groups.values():
        for release in CATALOG.releases.of(rows[0].engine):
            assert sum(at_version([row], release.version) is not None for row in rows) <= 1, rows


def test_hardware_is_an_architecture_or_an_accelerator_and_versions_are_versions():
    """What the schema cannot say."""
    known = set(CATALOG.accelerators) | {one.architecture for one in CATALOG.accelerators.values()}
    for row in SUPPORT:
        assert row.hardware in known, row
        assert all(version_of(text) for text in (row.from_version, row.until_version) if text), row


def test_untested_is_not_no():
    """A refusal stands in a source that was read; what nobody says has neither support nor evidence."""
    for row in SUPPORT:
        assert (row.support is not Support.NO) or row.evidence is not Evidence.UNTESTED, row
        assert (row.support is not Support.UNTESTED) or row.evidence is Evidence.UNTESTED, row
        assert (row.provenance.quality is Quality.RECALLED) <= (row.evidence is Evidence.UNTESTED), row


def _catalog_engine(name):
    """The engine of the catalog that ran a measurement; "" where it is another program of the same family."""
    plain = name.removeprefix("NVIDIA NIM (").removesuffix(")").split(" (")[0]
    return {"vLLM TPU": "vLLM-TPU"}.get(plain, plain)


def _measured():
    """Engine, version, accelerator and precision of every measurement of an engine that the catalog knows."""
    for name in ("measurements.csv", "measurements_cc_by_sa.csv"):
        for row in read_rows(DIRECTORY / name):
            engine = _catalog_engine(row["engine"])
            accelerator = CATALOG.known_accelerator(row["accelerator"])
            if engine in CATALOG.engines and accelerator is not None and row["task"] == "llm":
                stated = row["precision"] or find_model(row["model"]).checkpoint.precision
                yield engine, row["engine_version"], accelerator, parse_precision(stated)


def test_no_measurement_contradicts_a_refusal():
    """What was run in a release is not refused of it; where no release is stated, some release serves it."""
    checked = set(_measured())
    assert len(checked) > 90
    for engine, version, accelerator, precision in checked:
        rows = [row for row in SUPPORT if row.engine == engine and row.precision == precision]
        own = [row for row in rows if row.hardware == accelerator.name]
        ranges = own or [row for row in rows if row.hardware == accelerator.architecture]
        known = version_of(version)
        spoken = ranges if known is None else [row for row in ranges if at_version([row], known)]
        assert not spoken or any(row.support is not Support.NO for row in spoken), (engine, version, accelerator.name)


@pytest.mark.parametrize("accelerator", ["H100-SXM", "H200"])
def test_tensorrt_llm_serves_mxfp4_on_hopper(accelerator):
    """Its hardware table leaves it out, its guide and a measurement do not."""
    row = next(one for one in CATALOG.engine_support(accelerator, "mxfp4") if one.engine == "TensorRT-LLM")
    assert (row.support, row.compute_precision) == (Support.SUPPORTED, "bf16")
    assert row.evidence is (Evidence.MEASURED if accelerator == "H200" else Evidence.DOCUMENTED)


def test_an_old_table_of_releases_is_told_by_its_newest_day():
    """Pre-releases count: they too say that upstream was read; engines without a list are not judged."""
    releases = CATALOG.releases
    newest = releases.newest_day("vLLM")
    assert releases.old(("vLLM", "vLLM-TPU"), newest + dt.timedelta(days=OLD_DAYS)) == ()
    assert releases.old(("vLLM", "vLLM"), newest + dt.timedelta(days=OLD_DAYS + 1)) == (("vLLM", newest),)
    assert releases.newest_day("TensorRT-LLM") > dt.date(2026, 4, 20)
    assert releases.newest_day("vLLM-TPU") is None


def test_every_plan_is_told_once_that_releases_are_old(tmp_path):
    """On the day of the plan: nothing while one of the engine's releases is of the last 60 days."""
    newest = {engine: CATALOG.releases.newest_day(engine) for engine in ENGINES}
    first = min(newest.values())
    assert layered(DIRECTORY, tmp_path, None, first + dt.timedelta(days=OLD_DAYS)).warnings == ()
    (warning,) = layered(DIRECTORY, tmp_path, None, max(newest.values()) + dt.timedelta(days=OLD_DAYS + 1)).warnings
    assert all(f"{engine} ({day}" in warning for engine, day in newest.items())
    assert "advisor catalog refresh engines" in warning
