"""Monthly cost of equal instances, and what no total holds."""

from advisor.units import HOURS_PER_MONTH

FLEET_LEAVES_OUT = "metrics, backups, taxes and support"
"""Costs that the total of a fleet does not hold."""


def hourly_to_monthly(usd_per_hour: float, instances: int) -> float:
    """USD per average month of 730 h for *instances* machines, to the cent."""
    return round(usd_per_hour * instances * HOURS_PER_MONTH, 2)
