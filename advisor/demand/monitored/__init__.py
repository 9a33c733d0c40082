"""What a Prometheus-compatible server saw: serving engines' counters, or how busy accelerators were."""

from advisor.demand.monitored.accelerators import busy_over_time
from advisor.demand.monitored.demand import engine_demand
from advisor.demand.monitored.server import Monitored

__all__ = ["Monitored", "busy_over_time", "engine_demand"]
