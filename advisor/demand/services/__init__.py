"""Demand of one service: the engines that serve its model, each counted once, whoever read their counters."""

from advisor.demand.services.demand import demand_of_views
from advisor.demand.services.lengths import LengthCounts
from advisor.demand.services.readings import EngineView, Grown, Readings
from advisor.demand.services.service import Wanted

__all__ = ["EngineView", "Grown", "LengthCounts", "Readings", "Wanted", "demand_of_views"]
