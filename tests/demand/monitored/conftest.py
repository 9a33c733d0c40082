"""The servers of the readers' tests."""

from samples.query.conftest import prometheus_url, server_url, victoria_metrics_url

__all__ = ["prometheus_url", "server_url", "victoria_metrics_url"]
