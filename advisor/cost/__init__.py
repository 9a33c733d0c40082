"""Prices and counts in; the one total out."""

from advisor.cost.compute import FLEET_LEAVES_OUT, hourly_to_monthly

__all__ = ["FLEET_LEAVES_OUT", "hourly_to_monthly"]
