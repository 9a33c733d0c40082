"""A snapshot is whole or it is not there: kills, full disks, damage."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from advisor.catalog.layers.layered import layered
from advisor.catalog.layers.snapshot import Damaged, current, forget, previous, providers, stage, take
from advisor.data_files import data_dir
from advisor.errors import InputError

ROOT = Path(__file__).parents[3]
TABLES = {"prices.csv": "instance_type,region\n", "sources.csv": "source_id,title,licence,note\n"}
KILLS = 200


def published(root, price="1", day="2026-11-26"):
    """A snapshot that holds."""
    staged = stage(root, "aws", TABLES | {"quotas.csv": f"limit\n{price}\n"}, day, ["spot: denied"])
    take(root, staged)
    return staged


def test_what_is_taken_is_read_back(tmp_path):
    """Date, gaps and hash; the one before it is kept, older ones are not."""
    first, second, third = (published(tmp_path, price) for price in "123")
    now = current(tmp_path, "aws")
    assert now == third
    assert now.gaps == ("spot: denied",)
    assert providers(tmp_path) == ("aws",)
    assert previous(tmp_path, "aws") == second
    assert not first.directory.exists()


def test_staging_changes_nothing(tmp_path):
    """Until it is taken, the old one holds."""
    old = published(tmp_path)
    stage(tmp_path, "aws", TABLES, "2026-11-27", [])
    assert current(tmp_path, "aws") == old


@pytest.mark.parametrize("damage", ["table", "manifest", "missing", "pointer", "schema"])
def test_damage_is_noticed_and_the_shipped_prices_hold(damage, tmp_path):
    """Every kind of damage is said, with what to do, and costs no more than the refresh."""
    snapshot = published(tmp_path)
    manifest = snapshot.directory / "manifest.json"
    match damage:
        case "table":
            (snapshot.directory / "quotas.csv").write_text("limit\n2\n")
        case "manifest":
            manifest.write_text("{")
        case "missing":
            (snapshot.directory / "prices.csv").unlink()
        case "pointer":
            (tmp_path / "aws/current").write_text("../../elsewhere\n")
        case "schema":
            manifest.write_text(manifest.read_text().replace("/v1", "/v9"))
    assert isinstance(current(tmp_path, "aws"), Damaged)
    catalog = layered(data_dir("instance_catalog"), tmp_path, None)
    assert catalog.offers == catalog.shipped_offers
    warning = catalog.warnings[0]
    assert "run `advisor catalog refresh aws`" in warning


def test_forgetting_goes_back_to_what_was_shipped(tmp_path):
    """And says whether there was anything to forget."""
    published(tmp_path)
    assert forget(tmp_path, "aws")
    assert current(tmp_path, "aws") is None
    assert not forget(tmp_path, "aws")


def test_a_full_disk_leaves_the_old_one(tmp_path, monkeypatch):
    """Writing fails at every write in turn; the old snapshot holds each time."""
    old, fsync, calls = published(tmp_path), os.fsync, [0]

    def count(descriptor):
        calls[0] += 1
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", count)
        stage(tmp_path, "aws", TABLES, "2026-11-27", [])
    assert calls[0] >= len(TABLES) + 1
    for failing in range(len(TABLES) + 1):
        left = [failing]

        def full(descriptor, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            stage(tmp_path, "aws", TABLES | {"prices.csv": f"{failing}\n"}, "2026-11-27", [])
        monkeypatch.setattr(os, "fsync", fsync)
        assert current(tmp_path, "aws") == old


_PROGRAM = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from advisor.catalog.layers.snapshot import Snapshot, current, stage, take

target = Path({target!r})
tables = {{"prices.csv": "instance_type,region\\n" + "x,y\\n" * 20000, "sources.csv": "source_id,title,licence,note\\n"}}
def publish(limits):
    take(target, stage(target, "aws", tables | {{"quotas.csv": limits}}, "2026-11-26", []))
started = time.perf_counter()
publish("limit\\n0\\n")
lasts = time.perf_counter() - started
for moment in range({kills}):
    child = os.fork()
    if not child:
        for number in range(10**6):
            publish("limit\\n" + str(moment) + "." + str(number) + "\\n")
    time.sleep(lasts * 3 * moment / {kills})
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = current(target, "aws")
    print(found.name if isinstance(found, Snapshot) else "DAMAGED " + found.reason)
"""


def test_kill_at_any_moment_leaves_a_whole_snapshot(tmp_path):
    """Kill -9 at 200 moments: the catalog loads and verifies every time."""
    published(tmp_path)
    program = textwrap.dedent(_PROGRAM).format(root=str(ROOT), target=str(tmp_path), kills=KILLS)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    states = ran.stdout.splitlines()
    assert len(states) == KILLS
    assert [one for one in states if one.startswith("DAMAGED")] == []
    assert len(set(states)) > KILLS // 10, "the kills met many states"
