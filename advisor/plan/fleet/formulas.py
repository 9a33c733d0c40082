"""Hours, requests and money of a fleet problem: each formula once, for the program and for what is printed."""

from advisor.plan.fleet.values import HourClass, Paid, Pool, Problem, Tariff
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_HOUR

_NEVER_STARTED = (Paid.COMMITMENT, Paid.OWNED, Paid.SERVERLESS)
"""What runs at all hours, and what its service starts."""


def hours_per_month(hour: HourClass) -> float:
    """Hours of an average month that belong to a class."""
    return hour.hours_per_week / HOURS_PER_WEEK * HOURS_PER_MONTH


def starts_per_month(problem: Problem, at: int) -> float:
    """Starts of an instance of hour class *at* in an average month, less those of the classes above it.

    Instances rise from class a to class b > a as often as an hour of b follows one of a; counts never fall from a
    class to a busier one, so the rises add up as plain differences.
    """
    net = problem.transitions[:at, at].sum() - problem.transitions[at, at + 1 :].sum()
    return float(net) / HOURS_PER_WEEK * HOURS_PER_MONTH


def instance_usd_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """What one instance costs a month for running in hour class *at*."""
    hours = billed_hours_per_month(problem, pool, tariff, at)
    return tariff.all_usd_per_hour * hours + start_usd_per_month(problem, pool, tariff, at)


def start_usd_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """What the starts of one instance of hour class *at* download a month."""
    starts = 0.0 if tariff.paid in _NEVER_STARTED else starts_per_month(problem, at)
    return starts * pool.start_usd


def billed_hours_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """Hours a month that an instance of hour class *at* is paid for, with those that it is started ahead."""
    if tariff.paid is Paid.SERVERLESS:
        return hours_per_month(problem.hours[at]) * (tariff.active_ratios[at] if tariff.active_ratios else 1.0)
    started = 0.0 if tariff.paid.always else starts_per_month(problem, at) * pool.lead_hours
    return hours_per_month(problem.hours[at]) + started


def requests_per_month(hour: HourClass) -> float:
    """Requests of an average month that arrive in the hours of a class."""
    return hour.mean_rate * hours_per_month(hour) * SECONDS_PER_HOUR


def mix_rate(problem: Problem, pool: Pool) -> float:
    """Requests per second of one instance over the places that it can serve, in their proportion."""
    served = pool.mix_rates > 0
    if not served.any():
        return 0.0
    shares = problem.place_shares[served]
    return float(shares.sum() / (shares / pool.mix_rates[served]).sum())
