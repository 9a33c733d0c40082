"""Real servers, one of each for all tests of readers; each test writes under labels of its own."""

import pytest

from services import prometheus, victoria_metrics
from services.prometheus import running_prometheus
from services.victoria_metrics import running_victoria_metrics


@pytest.fixture(scope="session")
def prometheus_url(tmp_path_factory):
    """A Prometheus that takes samples of any age."""
    if prometheus.PROGRAM is None:
        pytest.skip(prometheus.ABSENT)
    options = ("--query.max-samples=2000000",)
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), out_of_order="100d", options=options) as url:
        yield url


@pytest.fixture(scope="session")
def victoria_metrics_url(tmp_path_factory):
    """A VictoriaMetrics."""
    if victoria_metrics.PROGRAM is None:
        pytest.skip(victoria_metrics.ABSENT)
    with running_victoria_metrics(tmp_path_factory.mktemp("victoria-metrics")) as url:
        yield url


@pytest.fixture(params=["prometheus", "victoria_metrics"])
def server_url(request):
    """Each of the servers in turn."""
    return request.getfixturevalue(f"{request.param}_url")
