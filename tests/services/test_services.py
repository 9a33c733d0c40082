"""The real servers that other tests lean on."""

import json
import urllib.request

import pytest

from services import prometheus, victoria_metrics
from services.prometheus import running_prometheus
from services.server import DidNotStartError, serving
from services.victoria_metrics import running_victoria_metrics


def ask(url, query):
    """The answer of an instant query."""
    with urllib.request.urlopen(f"{url}/api/v1/query?query={query}", timeout=10) as answer:
        return json.load(answer)


@pytest.mark.skipif(prometheus.PROGRAM is None, reason=prometheus.ABSENT)
@pytest.mark.parametrize("out_of_order", [None, "24h"])
def test_prometheus_starts_and_answers(tmp_path, out_of_order):
    """A Prometheus of its own answers a query, with and without room for samples out of order."""
    with running_prometheus(tmp_path, out_of_order=out_of_order) as url:
        assert ask(url, "vector(7)")["data"]["result"][0]["value"][1] == "7"


@pytest.mark.skipif(victoria_metrics.PROGRAM is None, reason=victoria_metrics.ABSENT)
def test_victoria_metrics_starts_and_answers(tmp_path):
    """A VictoriaMetrics of its own answers a query."""
    with running_victoria_metrics(tmp_path) as url:
        assert ask(url, "vector(7)")["data"]["result"][0]["value"][1] == "7"


def test_a_program_that_ends_is_reported_with_its_words(tmp_path):
    """A server that does not come up is an error that carries what it said."""
    with (
        pytest.raises(DidNotStartError, match="no such luck"),
        serving(lambda _: ["sh", "-c", "echo no such luck; exit 1"], "/", tmp_path / "log"),
    ):
        pass
