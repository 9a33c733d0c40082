"""Prices and counts in; the one total out."""

from advisor.cost.services import FLEET_LEAVES_OUT, hourly_to_monthly

__all__ = ["FLEET_LEAVES_OUT", "hourly_to_monthly"]
