"""A published catalog: written by one user, taken by another; what is not whole, true or newer is refused."""

import contextlib
import csv
import datetime as dt
import io
import json
import os
import shutil
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor import catalog
from advisor.catalog import load_catalog, published_dir, user_catalog
from advisor.catalog.layers import updating
from advisor.catalog.layers.layered import layered
from advisor.catalog.layers.publication import PublishedTables, place_of, publish, read_publication, tables_to_publish
from advisor.catalog.layers.snapshot import Snapshot, current, digest_of, stage, take
from advisor.catalog.layers.updating import update
from advisor.cli.catalog import command
from advisor.data_files import data_dir
from advisor.errors import AdvisorError, InputError
from advisor.report.price_age import refresh_hint
from catalog.imports.importing import run
from catalog.refresh.clouds import Cloud, Reply, serving

NEW_DAY = "2027-02-03"
NOW = dt.datetime(2027, 2, 3, 4, 5, 6, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def reader(monkeypatch, tmp_path):
    """The user who takes what others publish, on the day on which they do; answers with the directory of the layer."""
    monkeypatch.setattr(catalog, "layered", partial(layered, today=NOW.date()))
    monkeypatch.setattr(catalog, "_loaded", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "cache/advisor/published"


def edited(tables, table, change):
    """Tables of a provider with one of them changed row by row; a row of None is left out."""
    rows = list(csv.DictReader(io.StringIO(tables.tables[table])))
    changed = [row for row in (change(dict(row)) for row in rows) if row is not None]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(changed[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(changed)
    return PublishedTables(tables.provider, tables.read_on, tables.gaps, {**tables.tables, table: stream.getvalue()})


def at(price, name="g6.xlarge", region="us-east-1"):
    """A change of one on-demand price."""

    def change(row):
        if (row["instance_type"], row["region"]) == (name, region):
            row |= {"on_demand_usd_per_hour": str(price), "on_demand_as_of": NEW_DAY}
        return row

    return change


def of_aws(change=None, table="prices.csv", day=NEW_DAY):
    """AWS as it is shipped, with a change and a date."""
    tables = edited(tables_to_publish(load_catalog(), "aws"), table, change or at(0.9))
    return PublishedTables("aws", day, (), tables.tables)


@pytest.fixture
def site(tmp_path):
    """A published catalog in which one price is another."""
    publish([of_aws()], tmp_path / "site", NOW)
    return tmp_path / "site"


def price(name="g6.xlarge", region="us-east-1"):
    """What counts for this user."""
    (offer,) = [
        one for one in load_catalog().offers
        if (one.provider, one.region, one.instance_type) == ("aws", region, name)
    ]  # fmt: skip
    return offer.on_demand.usd_per_hour


def files(directory):
    """Every file below a directory."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def manifest_of(site):
    """The path and the content of the manifest."""
    path = site / json.loads((site / "version").read_text())["name"] / "manifest.json"
    return path, json.loads(path.read_text())


def restate(site, change):
    """Change the manifest and make the version name the new one."""
    path, manifest = manifest_of(site)
    change(manifest)
    path.write_text(json.dumps(manifest))
    version = json.loads((site / "version").read_text())
    version["manifest_sha256"] = digest_of(path.read_bytes())
    (site / "version").write_text(json.dumps(version))


def refused(site, words, reader, *options, hint=""):
    """The update is refused with these words, a place and a remedy, and nothing is written."""
    before = load_catalog().content_hash
    with pytest.raises(AdvisorError, match=words) as caught:
        run("update", site, *options)
    assert caught.value.where or "held back" in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint
    assert not reader.exists() or files(reader) == []
    assert load_catalog().content_hash == before


@pytest.mark.parametrize("form", ["directory", "zip", "web", "zip on the web"])
def test_what_one_user_publishes_another_takes(form, site, tmp_path):
    """The price counts above what came with the program; hash, show, diff and a way back know the layer."""
    before = load_catalog().content_hash
    if form == "web":
        with serving(web_of(site)) as cloud:
            said = run("update", cloud.url).stdout
    elif form == "zip":
        publish([of_aws()], tmp_path / "catalog.zip", NOW)
        said = run("update", tmp_path / "catalog.zip").stdout
    elif form == "zip on the web":
        publish([of_aws()], site / "catalog.zip", NOW)
        with serving(web_of(site)) as cloud:
            said = run("update", f"{cloud.url}/catalog.zip").stdout
    else:
        said = run("update", site).stdout
    assert f"published prices of {NEW_DAY} count from now on" in said
    assert price() == 0.9
    assert load_catalog().content_hash != before
    rows = json.loads(run("show", "g6.xlarge", "--region", "us-east-1", "--format", "json").stdout)["prices"]
    counting = [(row["layer"], row["usd_per_hour"]) for row in rows if row["counts"] and row["purchase"] == "on_demand"]
    assert counting == [("published", 0.9)]
    (change,) = json.loads(run("diff", "--published", "--format", "json").stdout)
    assert (change["kind"], change["before_usd_per_hour"], change["now_usd_per_hour"]) == ("moved", 0.8048, 0.9)
    assert run("update", "--forget").stdout == "aws: what was published is dropped\n"
    assert load_catalog().content_hash == before


def web_of(site, *faults):
    """A web server with the files of a directory."""

    def answer(asked):
        path = site / asked.path.lstrip("/")
        return Reply(path.read_bytes(), kind="text/plain") if path.is_file() else Reply(b"not found", 404)

    return Cloud(answer, list(faults))


def test_publishing_unchanged_prices_changes_nothing(tmp_path):
    """Every provider that came with the program goes out and in again, to the byte of what a user sees."""
    before = set(load_catalog().offers)
    names = sorted(path.stem for path in (data_dir("instance_catalog") / "prices").glob("*.csv"))
    run("publish", *names, "-o", tmp_path / "site")
    said = run("update", tmp_path / "site").stdout
    assert said.count("nothing changed") == len(names)
    after = load_catalog()
    assert set(after.offers) == before
    shipped = layered(data_dir("instance_catalog"), tmp_path / "none", None)
    whole = {
        (one.provider, one.service, one.accelerator, region)
        for one in shipped.serverless
        for region in one.regions or ("",)
    }
    assert len(after.serverless) == len(whole), "region by region, none twice"
    assert after.instance_types == shipped.instance_types
    assert after._zone_table == shipped._zone_table
    offers = [one for one in after.offers if one.provider == "aws"][:50]
    assert [after.commitments(one) for one in offers] == [shipped.commitments(one) for one in offers]


def test_a_refresh_of_this_machine_goes_before_and_is_said(site, tmp_path):
    """The layer lies between what was shipped and what was refreshed."""
    tables = of_aws(at(0.7)).tables
    root = tmp_path / "cache/advisor/catalog"
    take(root, stage(root, "aws", tables, "2027-01-01", ["spot us-east-1: AccessDenied for arn:aws:iam::123:user/x"]))
    said = run("update", site).stdout
    assert "refreshed on this machine (2027-01-01) takes precedence over" in said
    assert price() == 0.7
    assert run("refresh", "aws", "--forget").exit_code == 0
    assert price() == 0.9


def test_nothing_of_the_account_is_published(tmp_path):
    """No limit, no capacity block, no reason that names who asked, nothing negotiated, nothing imported."""
    tables = of_aws(at(0.7)).tables | {
        "quotas.csv": "region,code,limit,as_of\nus-east-1,L-DB2E81BA,96,2027-01-01\n",
        "capacity_blocks.csv": "instance_type,region,zone,starts,duration_hours,usd_per_hour,as_of\n",
    }
    root = tmp_path / "cache/advisor/catalog"
    take(root, stage(root, "aws", tables, "2027-01-01", ["spot us-east-1: AccessDenied for arn:aws:iam::123:user/x"]))
    overlay = tmp_path / "config/advisor/catalog.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.write_text(
        "version: advisor.overlay/v1\nprivate_offers:\n"
        "  - {provider: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: 0.12345}\n"
    )
    imported = tmp_path / "cache/advisor/gpuhunt"
    take(imported, stage(imported, "aws", of_aws(at(0.45671)).tables, "2027-01-01", []))
    assert price() == 0.12345
    run("publish", "-o", tmp_path / "site")
    text = "".join((tmp_path / "site" / name).read_text() for name in files(tmp_path / "site"))
    assert "0.7," in text
    for secret in ("L-DB2E81BA", "arn:aws", "0.12345", "0.45671", "capacity_blocks"):
        assert secret not in text
    assert manifest_of(tmp_path / "site")[1]["providers"]["aws"]["gaps"] == ["spot us-east-1"]


def test_sources_keep_their_licence(site):
    """Who takes the tables can see under what they may be passed on."""
    (name,) = [one for one in files(site) if one.endswith("aws/sources.csv")]
    licences = {row["title"]: row["licence"] for row in csv.DictReader(io.StringIO((site / name).read_text()))}
    assert any(licence == "Apache-2.0" for title, licence in licences.items() if "karpenter" in title)


def test_a_reader_between_two_publications_still_finds_its_own(site):
    """The version is written last, and the publication before it stays for those who have begun with it."""
    old = json.loads((site / "version").read_text())["name"]
    publish([of_aws(at(0.95))], site, NOW + dt.timedelta(days=7))
    assert (site / old / "manifest.json").is_file()
    publish([of_aws(at(0.96))], site, NOW + dt.timedelta(days=14))
    assert not (site / old).exists()
    run("update", site)
    assert price() == 0.96


@pytest.mark.parametrize("failing", [0, 3, 7, 8])
def test_a_publication_that_breaks_off_leaves_the_old_one(failing, site, monkeypatch):
    """Whatever file cannot be written, the version names a whole publication."""
    before = (site / "version").read_bytes()
    written = []

    def write_bytes(path, content):
        if len(written) == failing:
            raise AdvisorError("No space left on device", where=str(path))
        written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr("advisor.catalog.layers.publication.write_bytes", write_bytes)
    with pytest.raises(AdvisorError, match="No space left"):
        publish([of_aws(at(0.95))], site, NOW + dt.timedelta(days=7))
    assert (site / "version").read_bytes() == before
    run("update", site)
    assert price() == 0.9


def test_what_is_cut_off_or_changed_is_refused(site, reader):
    """A table, the manifest and the version, each cut off, changed or missing."""
    (table,) = [site / one for one in files(site) if one.endswith("aws/prices.csv")]
    manifest, _ = manifest_of(site)
    for path, words in (
        (table, "cut off"),
        (manifest, "another checksum"),
        (site / "version", "not JSON, or it is cut off"),
    ):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        refused(site, words, reader)
        path.write_bytes(whole.replace(b"2027", b"2028"))
        refused(site, "checksum|cannot read it", reader)
        path.unlink()
        refused(site, "cannot read it", reader)
        path.write_bytes(whole)
    run("update", site)


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        (lambda it: it.update(schema="advisor.catalog-published/v2"), "of schema 2, and this version", "newer version"),
        (lambda it: it.update(schema="else"), "not a published catalog", "nothing was taken"),
        (lambda it: it.update(providers={}), "names no provider", "nothing was taken"),
        (lambda it: it.update(providers={"../../etc": {}}), "is not a provider", "nothing was taken"),
        (lambda it: it.update(made_at="\x1b[2J"), "made_at is missing or malformed", ""),
        (lambda it: it["providers"]["aws"].update(read_on="soon"), "read_on is missing or malformed", ""),
        (lambda it: it["providers"]["aws"].update(read_on="2027-13-45"), "read_on is missing or malformed", ""),
        (lambda it: it["providers"]["aws"].update(read_on="2099-01-01"), "in the future", "clock"),
        (lambda it: it["providers"]["aws"].update(gaps=None), "gaps is missing or malformed", ""),
        (lambda it: it["providers"]["aws"].update(tables=[]), "no tables", ""),
        (lambda it: it["providers"]["aws"]["tables"]["prices.csv"].update(bytes=10**12), "more than", ""),
        (lambda it: it["providers"]["aws"]["tables"]["prices.csv"].update(bytes=-1), "size of prices.csv", ""),
        (lambda it: it["providers"]["aws"]["tables"]["prices.csv"].update(bytes=20), "more than 20 bytes", ""),
        (lambda it: it["providers"]["aws"]["tables"]["prices.csv"].update(sha256="0" * 64), "another checksum", ""),
    ],
    ids=["newer schema", "other schema", "empty", "traversal", "time", "words", "date", "future", "gaps", "tables", "huge", "negative", "longer", "hash"],
)  # fmt: skip
def test_a_manifest_that_cannot_be_is_refused(change, words, hint, site, reader):
    """With what is wrong, where, and what to do."""
    restate(site, change)
    refused(site, words, reader, hint=hint)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("published", "words", "hint"),
    [
        (lambda: of_aws(at(0)), "1 row is held back", "cannot be accepted"),
        (lambda: of_aws(at(-1)), "1 row is held back", "cannot be accepted"),
        (lambda: of_aws(at(2.0)), "1 row is held back", "--confirm moved:g6"),
        (lambda: of_aws(at("nan")), "not a finite number", "nothing was taken"),
        (lambda: of_aws(at("dear")), "is not a number", "nothing was taken"),
        (lambda: of_aws(lambda row: row if row["instance_type"][:2] in ("g5", "g6") else None), "held back", "coverage"),
        (lambda: of_aws(day="2020-01-01"), "older than what came with the program", "newer one"),
        (lambda: of_aws(lambda row: row | {"discount_ratio": "1.5"}, "commitments.csv"), "a discount of 1.5", ""),
        (lambda: of_aws(lambda row: row | {"provider": "gcp"}, "instances.csv"), "'gcp' in the tables of aws", ""),
        (lambda: of_aws(lambda row: row | {"source": "nobody"}, "zones.csv"), "not in sources.csv", ""),
        (lambda: of_aws(lambda row: row | {"zones": "us-east-1a"}, "zones.csv"), "names differ by account", ""),
        (lambda: of_aws(lambda row: row | {"title": "\x1b]0;x\x07"}, "sources.csv"), "control characters", ""),
        (lambda: of_aws(lambda row: row | {"title": "\u202egnp.exe"}, "sources.csv"), "control characters", ""),
        (lambda: of_aws(lambda row: row | {"title": "=cmd|x"}, "sources.csv"), "as a formula does", ""),
        (lambda: of_aws(lambda row: row | {"region": "us\ntaken"}), "more than one line", ""),
        (lambda: of_aws(lambda row: row | {"name": "g6.$(reboot)"}, "instances.csv"), "not the name of an instance", ""),
        (lambda: of_aws(lambda row: row | {"on_demand_as_of": "2026-99-99"}), "is not a date", ""),
        (lambda: of_aws(lambda row: row | {"on_demand_as_of": "2099-01-01"}), "in the future", ""),
        (lambda: of_aws(lambda row: row | {"region": "us-east-1"}), "a second row of", ""),
        (lambda: of_aws(lambda _row: {"x": "1"}, "prices.csv"), "there is no column", ""),
    ],
    ids=[
        "zero", "below zero", "moved", "nan", "words", "coverage", "older", "discount", "owner", "source", "zone name", "terminal",
        "order of letters", "formula", "lines", "shell", "no date", "future", "twice", "columns",
    ],
)  # fmt: skip
def test_prices_that_cannot_be_are_refused(published, words, hint, tmp_path, reader):
    """The guards of a refresh hold for what others publish, and no row is taken that the catalog could not read."""
    publish([published()], tmp_path / "site", NOW)
    refused(tmp_path / "site", words, reader, hint=hint)


def committed(price):
    """AWS with the price of a commitment, in a table of its own."""
    header = "instance_type,region,instrument,term_years,payment,usd_per_hour,source,as_of,quality"
    source = next(csv.DictReader(io.StringIO(of_aws().tables["sources.csv"])))["source_id"]
    rows = [
        f"{name},us-east-1,Savings Plan,1,no_upfront,{price},{source},{NEW_DAY},listed"
        for name in ("g6.xlarge", "x9.big")
    ]
    tables = of_aws()
    return PublishedTables(
        "aws", NEW_DAY, (), {**tables.tables, "committed_prices.csv": "\n".join((header, *rows)) + "\n"}
    )


def test_prices_under_commitments_are_guarded_too(tmp_path, reader):
    """None for nothing, none above on demand; those of types that are not known are left out."""
    for price, words in (("0", "a price of 0"), ("5.5", "above on demand")):
        publish([committed(price)], tmp_path / "site", NOW)
        result = CliRunner().invoke(command, ["update", str(tmp_path / "site")])
        assert words in result.stdout
        assert result.exception.exit_code == 1
        assert not reader.exists() or files(reader) == []
    publish([committed("0.5")], tmp_path / "site", NOW)
    assert "1 row of type x9.big" in run("update", tmp_path / "site").stdout
    run("publish", "aws", "-o", tmp_path / "again")
    (table,) = [one for one in files(tmp_path / "again") if one.endswith("committed_prices.csv")]
    assert "g6.xlarge,us-east-1,Savings Plan,1,no_upfront,0.5" in (tmp_path / "again" / table).read_text()


def test_a_price_that_moved_far_is_taken_once_confirmed(tmp_path):
    """As it is with a refresh; a zero beside it is not."""
    publish([of_aws(at(2.0))], tmp_path / "site", NOW)
    run("update", tmp_path / "site", "--confirm", "moved:g6")
    assert price() == 2.0
    publish([of_aws(at(0))], tmp_path / "site", NOW)
    with pytest.raises(AdvisorError, match="held back"):
        run("update", tmp_path / "site", "--confirm", "no_price")
    assert price() == 2.0


def test_an_older_one_never_replaces_a_newer_one(site, tmp_path):
    """A replayed publication is refused, and so is a layer that the program has overtaken."""
    run("update", site)
    publish([of_aws(at(0.85), day="2027-02-02")], tmp_path / "old", NOW)
    with pytest.raises(AdvisorError, match="older than what was published before"):
        run("update", tmp_path / "old")
    assert price() == 0.9
    shipped = tmp_path / "shipped"
    shutil.copytree(data_dir("instance_catalog"), shipped)
    table = shipped / "prices/aws.csv"
    table.write_text(table.read_text().replace("2026-07-20", "2027-03-01"))
    catalog = layered(shipped, tmp_path / "none", None, published=tmp_path / "cache/advisor/published")
    assert catalog.offers == catalog.shipped_offers
    (warning,) = [one for one in catalog.warnings if "published" in one]
    assert "those that came with the program are newer" in warning


def test_all_providers_or_none(tmp_path, reader):
    """A wrong row of one provider keeps the other one out too; --provider leaves it out."""
    gcp = tables_to_publish(load_catalog(), "gcp")
    wrong = edited(gcp, "prices.csv", lambda row: row | {"on_demand_usd_per_hour": "0"})
    wrong = PublishedTables("gcp", NEW_DAY, (), wrong.tables)
    publish([of_aws(), wrong], tmp_path / "site", NOW)
    refused(tmp_path / "site", "held back", reader)
    run("update", tmp_path / "site", "--provider", "aws")
    assert price() == 0.9
    with pytest.raises(AdvisorError, match="nothing of oracle"):
        run("update", tmp_path / "site", "--provider", "oracle")


def two(price, day):
    """Two small providers, in which one price each is another."""
    changed = []
    for provider in ("lambda", "nebius"):
        tables = tables_to_publish(load_catalog(), provider)
        tables = edited(
            tables, "prices.csv", lambda row: row | {"on_demand_as_of": day, "on_demand_usd_per_hour": price}
        )
        changed.append(PublishedTables(provider, day, (), tables.tables))
    return changed


def test_a_disk_that_fills_up_once_leaves_both_providers_as_they_were(tmp_path, monkeypatch, reader):
    """At every write in turn: nothing of the new prices counts until all of them do."""
    options = ("--confirm", "moved", "--confirm", "spot_above_on_demand", "--confirm", "spot_too_low")
    publish(two("5", "2027-02-03"), tmp_path / "old", NOW)
    publish(two("6", "2027-02-04"), tmp_path / "new", NOW)
    run("update", tmp_path / "old", *options)
    before, fsync, refused_at = load_catalog().content_hash, os.fsync, []
    shutil.copytree(reader, tmp_path / "kept")
    for failing in range(200):
        left = [failing]

        def full(descriptor, left=left):
            left[0] -= 1
            if left[0] == -1:
                raise OSError(28, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        result = CliRunner().invoke(command, ["update", str(tmp_path / "new"), *options])
        monkeypatch.setattr(os, "fsync", fsync)
        prices = {one.on_demand.usd_per_hour for one in load_catalog().offers if one.provider in ("lambda", "nebius")}
        if result.exception is None:  # making a rename durable may fail
            assert prices == {6.0}
            shutil.rmtree(reader)
            shutil.copytree(tmp_path / "kept", reader)
        elif reader.joinpath("lambda").is_dir() and prices == {5.0}:
            refused_at.append(failing)
            assert load_catalog().content_hash == before
        else:
            assert prices == {6.0}, "only what comes after the last provider may fail now"
            break
        if left[0] >= 0:
            break
    assert len(refused_at) > 10


def test_what_this_version_does_not_know_is_left_out_and_said(tmp_path):
    """A newer program publishes an accelerator and a region of tomorrow: everything else is taken."""

    def tomorrow(row):
        if row["name"] == "g6.xlarge":
            row |= {"accelerator": "L5"}
        return row

    tables = of_aws(tomorrow, "instances.csv")
    tables = edited(
        tables, "prices.csv", lambda row: row | ({"region": "moon-1"} if row["region"] == "eu-west-1" else {})
    )
    publish([tables], tmp_path / "site", NOW)
    said = run("update", tmp_path / "site", "--confirm", "family_gone").stdout
    assert "this version of the program does not know them" in said
    assert "accelerator L5" in said
    assert not any(one.region == "moon-1" for one in load_catalog().offers)


def test_what_never_ends_is_no_file(reader):
    """A device is read neither as a directory nor as a zip file."""
    refused("/dev/zero", "neither a directory nor a zip file", reader)


def test_two_updates_at_once_leave_a_whole_layer(tmp_path):
    """Each removes older snapshots: none of them may be the one that the other is about to take."""
    sites = [tmp_path / f"site-{number}" for number in range(4)]
    for number, site in enumerate(sites):
        publish([of_aws(at(0.9 + number / 100))], site, NOW)
    published = [read_publication(place_of(str(site))).providers for site in sites]
    catalog = layered(data_dir("instance_catalog"), tmp_path / "none", None, NOW.date())
    with ThreadPoolExecutor(len(sites)) as pool:
        for results in pool.map(lambda tables: update(tables, catalog, published_dir()), published * 2):
            assert all(result.is_taken for result in results)
    assert isinstance(current(published_dir(), "aws"), Snapshot)
    assert price() in {0.9, 0.91, 0.92, 0.93}


def test_an_older_one_that_comes_last_is_refused(tmp_path, monkeypatch, reader):
    """Another run may take a newer one between the first look at the dates and the last."""
    publish([of_aws(day="2027-02-02")], tmp_path / "old", NOW)

    @contextlib.contextmanager
    def after_another(root):
        tables = of_aws()
        take(root, stage(root, "aws", tables.tables, tables.read_on, ()))
        yield

    monkeypatch.setattr(updating, "sole_writer", after_another)
    with pytest.raises(InputError, match="older than what was published before"):
        run("update", tmp_path / "old")
    assert current(reader, "aws").read_on == NEW_DAY


def test_a_zip_that_unpacks_to_more_than_it_states_is_not_unpacked(tmp_path, reader):
    """Nor is one that is cut off, no zip at all, or without its version."""
    path = tmp_path / "catalog.zip"
    publish([of_aws()], path, NOW)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert list(content)[-1] == "version"

    def zipped(members):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in members.items():
                archive.writestr(name, text)

    (table,) = [name for name in content if name.endswith("/prices.csv")]
    zipped(content | {table: b"0" * 400_000_000})
    refused(path, "more than", reader)
    zipped(content | {"version": b" " * 10_000_000})
    refused(path, "more than", reader)
    zipped({name: text for name, text in content.items() if name != "version"})
    refused(path, "not in the zip file", reader)
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "not a zip file, or a damaged one", reader)
    path.write_bytes(b"<html>log in</html>")
    refused(path, "not a zip file, or a damaged one", reader)


def test_an_endless_answer_is_read_to_its_bound(reader):
    """A server that answers the version with a gigabyte is heard for four kilobytes."""
    with serving(Cloud(lambda _asked: Reply(b"{" + b" " * 5_000_000, kind="text/plain"))) as cloud:
        refused(cloud.url, "more than 4,096 bytes", reader)


def test_a_way_that_broke_off_goes_on_where_it_was(site, reader):
    """Tables that were read and verified are not asked for again."""
    with serving(web_of(site, lambda asked: Reply(b"", 404) if asked.path.endswith("zones.csv") else None)) as cloud:
        with pytest.raises(AdvisorError, match="404"):
            run("update", cloud.url)
        assert any("prices.csv" in asked.path for asked in cloud.asked)
        cloud.faults.clear()
        cloud.asked.clear()
        run("update", cloud.url)
        assert not any("prices.csv" in asked.path for asked in cloud.asked)
        assert price() == 0.9
        assert not (reader / "unfinished").exists()
        cloud.asked.clear()
        run("update")
        assert cloud.asked, "without a URL the last one is asked"


def test_what_is_no_address_is_refused(tmp_path, reader):
    """Plain http could be changed on the way; other schemes are not read; nothing is there."""
    refused("http://catalog.example/x", "changed on the way", reader, hint="https")
    refused("s3://catalog/x", "not read by 's3'", reader, hint="https address")
    refused(tmp_path / "absent", "cannot read it", reader)
    assert CliRunner().invoke(command, ["update"]).exit_code == 2


@pytest.fixture
def keys(tmp_path):
    """Two SSH keys, and a file that allows the first one."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    for name in ("ours", "other"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True, timeout=60
        )
    allowed = tmp_path / "allowed"
    allowed.write_text(f"prices@example.com {(tmp_path / 'ours.pub').read_text()}")
    return tmp_path / "ours", tmp_path / "other", allowed


def test_a_signature_is_checked_where_signers_are_named(keys, tmp_path, reader):
    """Of the right key it is taken; of another key, of another content or none it is refused."""
    ours, other, allowed = keys
    options = ("--allowed-signers", allowed)
    site = tmp_path / "site"
    publish([of_aws()], site, NOW)
    refused(site, "it is not signed", reader, *options)
    publish([of_aws()], site, NOW, other)
    refused(site, "signed by nobody who may sign", reader, *options)
    publish([of_aws()], site, NOW, ours)
    restate(site, lambda manifest: manifest.update(made_at="2030-01-01T00:00:00Z"))
    refused(site, "not of this content", reader, *options)
    publish([of_aws()], site, NOW, ours)
    assert "signed by prices@example.com" in run("update", site, *options).stdout
    assert price() == 0.9
    with pytest.raises(AdvisorError, match="no such key"):
        publish([of_aws()], site, NOW, tmp_path / "absent")


def test_signers_in_the_configuration_are_always_asked_for(keys, tmp_path, reader):
    """Once the file is there, nothing unsigned is taken."""
    config = tmp_path / "config/advisor/allowed_signers"
    config.parent.mkdir(parents=True)
    shutil.copy(keys[2], config)
    publish([of_aws()], tmp_path / "site", NOW)
    refused(tmp_path / "site", "it is not signed", reader)


def test_a_damaged_layer_is_named_and_what_was_shipped_counts(site, reader):
    """It costs no more than the update."""
    run("update", site)
    name = (reader / "aws/current").read_text().strip()
    (reader / "aws" / name / "prices.csv").write_text("")
    assert price() == 0.8048
    (warning,) = [one for one in user_catalog().warnings if "published" in one]
    assert "run `advisor catalog update` again" in warning


def test_old_prices_are_renewed_the_way_they_came(site):
    """Who takes published prices is told to update, of other providers to refresh."""
    assert "catalog refresh aws" in refresh_hint("aws")
    run("update", site)
    assert "catalog update" in refresh_hint("aws")
    assert "catalog refresh gcp" in refresh_hint("gcp")


def test_a_dry_run_takes_nothing(site, reader):
    """It says what would change."""
    assert "moved" in run("update", site, "--dry-run").stdout
    assert price() == 0.8048
    assert not reader.exists() or files(reader) == []


class Files:
    """A place in memory."""

    def __init__(self, content):
        """Take the files by name."""
        self.content = content

    def read(self, name, most_bytes):
        """The content, up to one byte more than the bound."""
        if name not in self.content:
            raise InputError("cannot read it: No such file", where=name)
        return self.content[name][: most_bytes + 1]

    def words(self, name):
        """The name."""
        return name


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The files of a small publication."""
    site = tmp_path_factory.mktemp("small")
    publish([tables_to_publish(load_catalog(), "lambda")], site, NOW)
    return {name: (site / name).read_bytes() for name in files(site)}


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_byte_is_refused_or_says_the_same(small, data):
    """Cut off, longer, or with one byte changed: nothing but what was published is ever read."""
    whole = read_publication(Files(small))
    name = data.draw(st.sampled_from(sorted(small)))
    content = small[name]
    at = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["cut", "longer", "changed"])):
        case "cut":
            content = content[:at]
        case "longer":
            content = content[:at] + data.draw(st.binary(min_size=1, max_size=8)) + content[at:]
        case "changed":
            content = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    with contextlib.suppress(InputError):
        assert read_publication(Files({**small, name: content})) == whole
