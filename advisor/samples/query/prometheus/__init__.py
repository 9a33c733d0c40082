"""Any server that answers as Prometheus does: Prometheus, Thanos, Mimir, VictoriaMetrics."""

from advisor.samples.query.prometheus.backend import PrometheusBackend
from advisor.samples.query.prometheus.endpoint import PrometheusEndpoint

__all__ = ["PrometheusBackend", "PrometheusEndpoint"]
