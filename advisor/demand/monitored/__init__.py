"""Demand as a Prometheus-compatible server saw it: counted by the serving engines, or told from busy accelerators."""

from advisor.demand.monitored.accelerators import busy_demand
from advisor.demand.monitored.demand import engine_demand
from advisor.demand.monitored.server import Monitored
from advisor.demand.monitored.tokens import token_demand

__all__ = ["Monitored", "busy_demand", "engine_demand", "token_demand"]
