"""A user whose layers lie in a directory of the test, and who is logged in to AWS."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from advisor.catalog.layers.layered import layered
from advisor.catalog.layers.refreshing import RefreshOptions
from advisor.data_files import data_dir

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def account(monkeypatch, tmp_path):
    """Credentials that only loopback sees, and directories of this test."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true",
        "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


@pytest.fixture
def root(tmp_path) -> Path:
    """Where snapshots go."""
    return tmp_path / "cache" / "advisor" / "catalog"


@pytest.fixture
def refresh_options() -> RefreshOptions:
    """On the day of these tests, few questions at a time."""
    return RefreshOptions(at_once=4, clock=lambda: NOW)


@pytest.fixture
def known(root, tmp_path):
    """Makes the catalog of the test's user as it is now."""
    return lambda: layered(data_dir("instance_catalog"), root, tmp_path / "config/advisor/catalog.yaml", NOW.date())


@pytest.fixture
def small_shipped(tmp_path):
    """A copy of the shipped tables in which AWS, Azure and Google sell three types, for fault tests that run often."""
    target = tmp_path / "shipped"
    shutil.copytree(data_dir("instance_catalog"), target)
    return target
