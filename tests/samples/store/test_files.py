"""Stores in object storage: the same answers as on a disk, and errors that say how to fix them."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.samples.need.fleet import Fleet
from advisor.samples.store.bucket import at_hand, folders_of
from advisor.samples.store.compact import compact
from advisor.samples.store.reading import Store
from samples.records import DAY, ENGINE_ROW, row, spool
from samples.store.s3_stub import running_bucket


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A bucket over a directory, reached as S3 with credentials from the environment."""
    directory = tmp_path / "bucket"
    directory.mkdir()
    with running_bucket(directory) as url:
        for name, value in {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield directory


def recorded(directory):
    """Two days of two accelerators and an engine, one compacted and one in the spool."""
    for day in (0, 1):
        spool(directory, [row(number, index, day=day) for number in range(1, 40) for index in (0, 1)])
        if not day:
            spool(directory, [ENGINE_ROW])
            compact(directory, "host-a", now=DAY + timedelta(days=1))


def answers(place):
    """What each accelerator of a store says."""
    store = Store([place])
    fleet = Fleet.of(store, store.days())
    return [(one.who, one.rows, dict(one.gauges)) for one in fleet.accelerators], fleet.engines, store.window()


def test_a_bucket_is_read_as_a_directory_is(bucket):
    """Counts, rows of unfinished days and engines give the same from s3:// and from the disk below it; nothing stays."""
    recorded(bucket / "fleet/a")
    assert answers("s3://samples/fleet/a/") == answers(str(bucket / "fleet/a"))
    with at_hand(list(folders_of(["s3://samples/fleet/a"])[0].files())) as paths:
        assert all(path.is_file() for path in paths.values())
        copies = list(paths.values())
    assert not any(path.exists() for path in copies)


def test_a_file_that_is_gone_from_a_bucket_is_listed_anew(bucket):
    """What a compaction replaced in the bucket after it was listed is read from what took its place."""
    spool(bucket / "fleet", [row(number) for number in (1, 241)])
    compact(bucket / "fleet", "host-a", now=DAY)
    store = Store(["s3://samples/fleet"])
    compact(bucket / "fleet", "host-a", now=DAY + timedelta(days=1))
    (one,) = Fleet.of(store, store.days()).accelerators
    assert one.rows == 2


@pytest.mark.parametrize(
    ("place", "problem", "remedy"),
    [
        ("s3://closed/fleet", "it is not permitted", "s3:ListBucket"),
        ("s3://absent/fleet", "there is no such bucket", "check the name"),
        ("s3://samples/other", "there is no such bucket or prefix", "check the name"),
        ("az://container/fleet", "the storage account is not known", "AZURE_STORAGE_ACCOUNT"),
        ("ftp://host/fleet", "no reader knows this kind of address", "s3://"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_place_that_cannot_be_read_says_how_to_mend_it(place, problem, remedy, monkeypatch):
    """A bucket without permission, one that is not there, an account that is not named: where, what and the remedy."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT", raising=False)
    with pytest.raises(InputError, match=problem) as caught:
        Store([place])
    assert caught.value.where == place
    assert remedy in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_without_permission_says_so(tmp_path):
    """A host's folder that may not be read is an error with its path, not a traceback."""
    recorded(tmp_path)
    folder = next(tmp_path.glob("date=*/host=host-a"))
    folder.chmod(0)
    try:
        with pytest.raises(InputError, match="Permission denied") as caught:
            Store([str(tmp_path)])
    finally:
        folder.chmod(0o755)
    assert caught.value.where == str(folder)


def test_commands_take_buckets_and_directories_together(bucket, tmp_path):
    """`advisor samples need` over a bucket and a directory: both hosts; a bucket that refuses is exit 1, no traceback."""
    recorded(bucket / "fleet")
    spool(tmp_path / "more", [row(number, host="host-b") for number in range(1, 5)], "host-b")
    command = [sys.executable, "-m", "advisor", "samples", "need", "--format", "json"]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [*command, "s3://samples/fleet", tmp_path / "more"], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stderr
    assert [f'"host": "{host}"' in done.stdout for host in ("host-a", "host-b")] == [True, True]
    refused = subprocess.run([*command, "s3://closed/fleet"], capture_output=True, text=True, check=False, cwd=root)
    assert refused.returncode == 1
    assert "it is not permitted" in refused.stderr
    assert "Traceback" not in refused.stderr
