"""Which backend answers for which place."""

import importlib.util

import pytest

from advisor.errors import InputError
from advisor.samples.query.open import open_backend
from advisor.samples.query.prometheus import PrometheusBackend

HAS_EMBEDDED = importlib.util.find_spec("advisor.samples.query.embedded") is not None


def test_an_address_is_a_prometheus():
    """Http and https are a server; nothing is asked yet."""
    assert isinstance(open_backend("http://127.0.0.1:9"), PrometheusBackend)
    assert isinstance(open_backend("https://prometheus.example.com/prometheus"), PrometheusBackend)


def test_a_region_is_cloudwatch():
    """cloudwatch:// names a region."""
    pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'advisor[aws]')")
    assert type(open_backend("cloudwatch://us-east-1")).__name__ == "CloudWatchBackend"


@pytest.mark.skipif(not HAS_EMBEDDED, reason="no embedded backend")
def test_a_directory_is_read_here(tmp_path):
    """Anything that is no address is a directory."""
    assert type(open_backend(str(tmp_path))).__name__ == "EmbeddedBackend"


@pytest.mark.parametrize(
    ("place", "words"),
    [("ftp://a", "no reader knows"), ("duckdb://", "does not say where the samples are"), ("http://a b", "no address")],
)
def test_what_is_no_place(place, words):
    """The error says what there is to choose from."""
    with pytest.raises(InputError, match=words) as caught:
        open_backend(place)
    assert caught.value.hint
