"""A lock holds what a plan was made from: the plan can be made again, and what has changed since is said."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.geography import ZoneSupply
from advisor.errors import InputError
from advisor.plan.locks import lock_text, locked_catalog, place_of, read_lock
from advisor.plan.plain_values import digest

ROOT = Path(__file__).parents[2]
WORKLOAD = ROOT / "examples/chat/workload.yaml"


@pytest.fixture(scope="module")
def locked(tmp_path_factory, run_advisor):
    """A plan and its lock."""
    folder = tmp_path_factory.mktemp("locked")
    made = run_advisor("recommend", WORKLOAD, "--format", "json", "-o", folder / "plan.json")
    assert made.returncode == 0, made.stderr
    done = run_advisor("catalog", "lock", folder / "plan.json")
    assert done.returncode == 0, done.stderr
    assert "catalog.lock.json: prices of" in done.stdout
    return folder


def overlay(tmp_path, text):
    """Environment of a user with an overlay."""
    path = tmp_path / "config/advisor/catalog.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"version: advisor.overlay/v1\n{text}")
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def fleet(path):
    """What a plan recommends."""
    return json.loads(path.read_text())["fleet"]


def test_the_lock_holds_the_rows_and_dates_that_were_used(locked):
    """Every ranked offer, and which of them are paid for."""
    plan, lock = (json.loads((locked / name).read_text()) for name in ("plan.json", "catalog.lock.json"))
    places = {(one["provider"], one["region"], one["instance_type"]) for one in lock["offers"]}
    assert places >= {(one["provider"], one["region"], one["instance_type"]) for one in plan["options"]}
    chosen = {(one["provider"], one["region"], one["instance_type"]) for one in lock["offers"] if one["chosen"]}
    assert chosen == {(one["provider"], one["region"], one["instance_type"]) for one in plan["fleet"]["groups"]}
    assert lock["plan_digest"] == plan["digest"]
    assert lock["catalog_hash"] == plan["provenance"]["catalog_hash"]


def test_a_plan_is_made_again_after_prices_moved(locked, tmp_path, run_advisor):
    """With prices doubled, the lock still gives the same fleet and options, to the cent, from the rows that it holds."""
    doubled = overlay(
        tmp_path,
        "discounts:\n" + "".join(f"- {{provider: {name}, families: ['*'], discount_ratio: 0.5}}\n" for name in ("aws", "gcp", "azure")),
    )  # fmt: skip
    moved, again = tmp_path / "moved.json", tmp_path / "again.json"
    run_advisor("recommend", WORKLOAD, "--format", "json", "-o", moved, **doubled)
    done = run_advisor(
        "recommend", WORKLOAD, "--lock", locked / "catalog.lock.json", "--format", "json", "-o", again, **doubled
    )
    assert done.returncode == 0, done.stderr
    first = json.loads((locked / "plan.json").read_text())
    second = json.loads(again.read_text())
    assert fleet(moved) != first["fleet"]
    assert second["provenance"]["catalog_as_of"] == first["provenance"]["catalog_as_of"]
    assert second["fleet"].pop("pools_considered") <= first["fleet"].pop("pools_considered")
    assert (second["fleet"], second["options"]) == (first["fleet"], first["options"])
    assert second["provenance"]["catalog_hash"] == first["provenance"]["catalog_hash"]


def test_check_says_what_moved_and_fails(locked, tmp_path, run_advisor):
    """Nothing moved: 0. Half the price: 1, with the numbers; a wide tolerance: 0."""
    lock = locked / "catalog.lock.json"
    same = run_advisor("check", lock)
    assert same.returncode == 0
    assert "the catalog is the one that the plan was made from" in same.stdout
    chosen = next(one for one in json.loads(lock.read_text())["offers"] if one["chosen"])
    halved = overlay(
        tmp_path, f"discounts:\n- {{provider: {chosen['provider']}, families: ['*'], discount_ratio: 0.5}}\n"
    )
    moved = run_advisor("check", lock, "--format", "json", **halved)
    assert moved.returncode == 1
    document = json.loads(moved.stdout)
    assert not document["holds"]
    assert {one["kind"] for one in document["changes"]} == {"moved"}
    assert all(one["moved_ratio"] == pytest.approx(-0.5) for one in document["changes"])
    assert document["paid_changed"] == len([one for one in json.loads(lock.read_text())["offers"] if one["chosen"]])
    assert run_advisor("check", lock, "--tolerance", "0.6", **halved).returncode == 0


def test_check_tells_what_is_paid_from_what_was_compared(locked, tmp_path, run_advisor):
    """A rival is cheaper now: the plan's own price holds, and may not be the best any more."""
    offers = json.loads((locked / "catalog.lock.json").read_text())["offers"]
    paid = {one["provider"] for one in offers if one["chosen"]}
    rival = next(one["provider"] for one in offers if one["provider"] not in paid)
    cheaper = overlay(tmp_path, f"discounts:\n- {{provider: {rival}, families: ['*'], discount_ratio: 0.5}}\n")
    done = run_advisor("check", locked / "catalog.lock.json", **cheaper)
    assert done.returncode == 1
    assert "what the plan pays still holds, but not what it was compared with" in done.stdout


@pytest.mark.sampled(2)
def test_old_prices_fail_a_check_and_a_recommendation_that_limit_them(locked, run_advisor):
    """The age is said, with the remedy."""
    old = run_advisor("check", locked / "catalog.lock.json", "--max-price-age", "1")
    assert old.returncode == 1
    assert "older than the limit" in old.stdout
    refused = run_advisor("recommend", WORKLOAD, "--max-price-age", "1")
    assert refused.returncode == 1
    assert "1 days are the limit" in refused.stderr
    assert "advisor catalog refresh" in old.stderr
    assert "advisor catalog refresh" in refused.stderr
    for done in (run_advisor("recommend", WORKLOAD), run_advisor("explain", locked / "plan.json")):
        assert "the oldest price used, of" in done.stderr
        assert "days old" in done.stderr


@pytest.mark.parametrize("damage", ["edited", "json", "schema", "missing"])
def test_a_lock_that_cannot_be_trusted_is_refused(damage, locked, tmp_path, run_advisor):
    """Each with the file and what to do."""
    path = tmp_path / "catalog.lock.json"
    shutil.copy(locked / "catalog.lock.json", path)
    text = path.read_text()
    match damage:
        case "edited":
            path.write_text(text.replace('"chosen": true', '"chosen": false', 1))
        case "json":
            path.write_text(text[:100])
        case "schema":
            path.write_text(text.replace("catalog-lock/v1", "catalog-lock/v9"))
        case "missing":
            path.unlink()
    done = run_advisor("check", path)
    assert done.returncode == 1
    assert "catalog.lock.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_of_another_catalog_cannot_be_locked(locked, tmp_path, run_advisor):
    """The rows would not be those that it used."""
    other = overlay(tmp_path, "discounts:\n- {provider: aws, families: [g6], discount_ratio: 0.1}\n")
    done = run_advisor("catalog", "lock", locked / "plan.json", "-o", tmp_path / "x.json", **other)
    assert done.returncode == 1
    assert "another catalog" in done.stderr


def test_a_lock_keeps_the_zones_of_its_offers(locked):
    """Each offer has the zones that the catalog told, and the catalog of the lock tells them whatever is known now."""
    path = locked / "catalog.lock.json"
    lock = read_lock(path)
    now = load_catalog()
    assert lock.zones == {place_of(offer): now.zones(*place_of(offer)) for offer in lock.offers}
    assert any(supply.verified for supply in lock.zones.values())
    place = place_of(lock.offers[0])
    other = replace(lock, zones={**lock.zones, place: ZoneSupply(("z1",), 1, verified=True, source="x", as_of="2030")})
    assert locked_catalog(other).zones(*place).names == ("z1",)
    assert load_catalog().zones(*place) == lock.zones[place], "the catalog itself stays as it is"


def test_a_lock_keeps_spot_by_zone_and_what_was_withdrawn(locked, tmp_path):
    """Offers come back as they were written; a range of zones that cannot be is refused."""
    lock, now = read_lock(locked / "catalog.lock.json"), load_catalog()
    offers = [now.offer("aws", "us-east-1", name) for name in ("g6f.xlarge", "dl1.24xlarge", "g6.xlarge")]
    path = tmp_path / "a.lock.json"
    path.write_text(lock_text(replace(lock, commitments=dict.fromkeys(offers, ()), zones={})))
    assert list(read_lock(path).offers) == offers
    document = json.loads(path.read_text())
    del document["digest"]
    document["offers"][0]["spot"]["zones_usd_per_hour"] = [0.2, 0.1]
    path.write_text(json.dumps(document | {"digest": digest(document)}))
    with pytest.raises(InputError, match="not a lock of the catalog"):
        read_lock(path)


def test_a_lock_without_zones_is_read_and_has_those_of_the_catalog(locked, tmp_path):
    """Versions that did not choose zones wrote none."""
    document = json.loads((locked / "catalog.lock.json").read_text())
    del document["digest"]
    for offer in document["offers"]:
        del offer["zones"]
    path = tmp_path / "old.lock.json"
    path.write_text(json.dumps(document | {"digest": digest(document)}))
    lock = read_lock(path)
    assert lock.zones == {}
    place = place_of(lock.offers[0])
    assert locked_catalog(lock).zones(*place) == load_catalog().zones(*place)
    assert lock_text(lock).count('"zones"') == 0


@pytest.mark.parametrize("zones", [{"count": 0, "names": []}, {"count": 2, "names": ["a"]}, {"names": ["a"]}, None])
def test_a_lock_with_zones_that_cannot_be_is_refused(zones, locked, tmp_path):
    """No zone, another number than there are names, or none stated."""
    document = json.loads((locked / "catalog.lock.json").read_text())
    del document["digest"]
    stated = {"verified": True, "source": "x", "as_of": ""}
    document["offers"][0]["zones"] = zones and stated | zones
    path = tmp_path / "wrong.lock.json"
    path.write_text(json.dumps(document | {"digest": digest(document)}))
    with pytest.raises(InputError, match="not a lock of the catalog"):
        read_lock(path)


@pytest.mark.sampled(2)
def test_a_plan_on_processors_is_locked_and_made_again(tmp_path, run_advisor):
    """Prices of machines without an accelerator are rows of the lock, and the only ones of them that it plans with."""
    work = tmp_path / "workload.yaml"
    work.write_text(
        "name: small\nmodel: BAAI/bge-small-en-v1.5\nslo: {latency_p95: 200ms}\n"
        "demand: {declared: {requests_per_second: 5, input_tokens: 100}}\nproviders: [aws]\nregions: [us-east-1]\n"
        "as_of: 2026-11-28\n"
    )
    plan, lock, again = (tmp_path / name for name in ("plan.json", "catalog.lock.json", "again.json"))
    assert run_advisor("recommend", work, "--format", "json", "-o", plan).returncode == 0
    assert run_advisor("catalog", "lock", plan).returncode == 0
    done = run_advisor("recommend", work, "--lock", lock, "--format", "json", "-o", again)
    assert done.returncode == 0, done.stderr
    rows = {row["instance_type"] for row in json.loads(lock.read_text())["offers"]}
    first, second = (json.loads(path.read_text()) for path in (plan, again))
    assert {group["instance_type"] for group in first["fleet"]["groups"]} <= rows
    assert second["fleet"]["cost"] == first["fleet"]["cost"]
    assert {option["instance_type"] for option in second["options"]} <= rows
    assert run_advisor("check", lock).returncode == 0
