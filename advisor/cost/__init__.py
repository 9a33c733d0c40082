"""Prices and counts in; the one total out."""

from advisor.cost.compute import NOT_INCLUDED, Cost, cost_of, hourly_to_monthly

__all__ = ["NOT_INCLUDED", "Cost", "cost_of", "hourly_to_monthly"]
