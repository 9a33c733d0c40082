"""Versions of engines as dates: known ones, those between, and those that nobody can date."""

import pytest

from advisor.performance.deployments import release_year


@pytest.mark.parametrize(
    ("engine", "version", "like"),
    [
        ("vLLM", "0.19.0", "0.19"),
        ("vLLM", "v0.10.2", "0.10"),
        ("TensorRT-LLM", "1.2.0rc6.post3", "1.2"),
        ("vLLM", "0.13.1", "0.12"),
    ],
)
def test_a_version_has_the_date_of_its_release_or_the_one_before(engine, version, like):
    """Patches and versions between two known ones take the older date."""
    assert release_year(engine, version) == release_year(engine, like)


def test_later_versions_are_younger():
    """Numbers compare as numbers: 0.10 came after 0.9."""
    years = [release_year("vLLM", version) for version in ("0.6.3", "0.9.1", "0.10.0", "0.19.0")]
    assert years == sorted(years)


@pytest.mark.parametrize(
    ("engine", "newer", "measured"),
    [("vLLM", "0.33.0", "0.19"), ("SGLang", "0.5.23", "0.5.9"), ("TensorRT-LLM", "1.4.0rc1", "1.3")],
)
def test_a_release_after_the_newest_measured_one_is_predicted_as_that_one(engine, newer, measured):
    """Nothing was learned of it, so that no trend of older releases is drawn on."""
    assert release_year(engine, newer) == release_year(engine, measured)


def test_a_nightly_is_as_young_as_the_newest():
    """What has no number comes from the main branch."""
    assert release_year("SGLang", "nightly-dev-20260402") == release_year("SGLang", "0.5.9")


@pytest.mark.parametrize(
    ("engine", "version"), [("vLLM", ""), ("vLLM", "0.1.0"), ("MLC LLM", "0.1"), ("NIM", "NIM 1.8.0")]
)
def test_what_cannot_be_dated_is_unknown(engine, version):
    """No version, one before the first known, another engine, or no number: not known."""
    assert release_year(engine, version) is None
