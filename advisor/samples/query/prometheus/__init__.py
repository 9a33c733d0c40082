"""Any server that answers as Prometheus does: Prometheus, Thanos, Mimir, VictoriaMetrics."""

from advisor.samples.query.prometheus.access import Access
from advisor.samples.query.prometheus.backend import PrometheusBackend

__all__ = ["Access", "PrometheusBackend"]
