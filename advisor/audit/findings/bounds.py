"""Bounds within which the number of machines may change."""

LEAST_OBSERVED = 0.8
"""Share of the billed time of machines that has to be observed before their number changes."""
LEAST_DAYS = 7
"""Days that machines have to be billed before their number changes: nights and weekends are not like other days."""
