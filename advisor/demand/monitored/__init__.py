"""Demand seen by Prometheus-compatible servers and CloudWatch: requests as counted, or busy accelerators."""

from advisor.demand.monitored.accelerators import busy_over_time
from advisor.demand.monitored.demand import engine_demand
from advisor.demand.monitored.server import Monitored

__all__ = ["Monitored", "busy_over_time", "engine_demand"]
