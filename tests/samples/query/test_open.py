"""Which backend answers for which place."""

import pytest

from advisor.errors import InputError
from advisor.samples.query.embedded import open_backend
from advisor.samples.query.prometheus import PrometheusBackend


def test_an_address_is_a_prometheus():
    """Http and https are a server; nothing is asked yet."""
    assert isinstance(open_backend(["http://127.0.0.1:9"]), PrometheusBackend)
    assert isinstance(open_backend(["https://prometheus.example.com/prometheus"]), PrometheusBackend)


def test_a_region_is_cloudwatch():
    """cloudwatch:// names a region."""
    pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'inference-advisor[aws]')")
    assert type(open_backend(["cloudwatch://us-east-1"])).__name__ == "CloudWatchBackend"


def test_a_directory_is_read_here(tmp_path):
    """Anything that is no address is a directory."""
    assert type(open_backend([str(tmp_path)])).__name__ == "EmbeddedBackend"


@pytest.mark.parametrize(
    ("place", "words"),
    [("ftp://a", "no reader knows"), ("http://a b", "not the address")],
)
def test_what_is_no_place(place, words):
    """The error says what there is to choose from."""
    with pytest.raises(InputError, match=words) as caught:
        open_backend([place])
    assert caught.value.hint


def test_only_directories_are_read_together(tmp_path):
    """A server beside a directory is refused, with what may stand together."""
    with pytest.raises(InputError, match="only directories can be read together") as caught:
        open_backend([str(tmp_path), "https://prometheus.example.com"])
    assert "s3://" in caught.value.hint
