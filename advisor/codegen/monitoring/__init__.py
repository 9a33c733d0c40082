"""Plans that are watched: Prometheus rules that hold what is served and spent against them, and a dashboard."""

from advisor.codegen.monitoring.files import MONITORING, monitoring_files

__all__ = ["MONITORING", "monitoring_files"]
