"""Prices in doubt in the verdict: which they are, and whether they decide."""

import math
from collections.abc import Iterator, Sequence

from advisor.plan.fleet.chosen import DoubtfulPrice, Fleet
from advisor.report.fleet_tables import names_of
from advisor.report.words import usd


def price_words(fleet: Fleet) -> Iterator[str]:
    """Doubtful prices with what they may be today, those that decide first, and what would then be cheaper."""
    for decides in (True, False):
        doubts = [doubt for doubt in fleet.doubtful_prices if doubt.decides is decides]
        if doubts:
            told = " and ".join(_doubt_words(fleet, doubt) for doubt in doubts)
            verb = "is" if len(doubts) == 1 else "are"
            yield f"Price: {told} {verb} in doubt{_decided(fleet, doubts) if decides else _undecided(fleet, doubts)}."


def _doubt_words(fleet: Fleet, doubt: DoubtfulPrice) -> str:
    """``inf2.xlarge spot at $0.17 an hour, today $0.06 to $0.34 (derived from other prices)``."""
    told, price = names_of(fleet).get(doubt.group, doubt.group), _usd_per_hour(fleet, doubt)
    if price is not None:
        told += f" at ${price:,.4g} an hour{_range(doubt, price)}"
    return f"{told} ({doubt.reason})"


def _usd_per_hour(fleet: Fleet, doubt: DoubtfulPrice) -> float | None:
    return next((group.instance_usd_per_hour for group in fleet.groups if group.name == doubt.group), None)


def _range(doubt: DoubtfulPrice, usd_per_hour: float) -> str:
    """Range of today's price; "" where nobody can say."""
    low, high = usd_per_hour * doubt.low_ratio, usd_per_hour * doubt.high_ratio
    return f", today ${low:,.4g} to ${high:,.4g}" if math.isfinite(high) else ""


def _decided(fleet: Fleet, doubts: Sequence[DoubtfulPrice]) -> str:
    """Break-even prices, the totals at the upper ends, and the cheapest option on listed prices."""
    ends, single = fleet.price_range, len(doubts) == 1
    decide, listed = f" and {'decides' if single else 'decide'}", _listed_words(doubts[0])
    if ends is None:
        return f"{decide}. {listed}"
    at_most = f"At {'its upper end' if single else 'their upper ends'} the fleet costs {usd(ends.high_usd_per_month)}"
    even = " and ".join(
        f"${doubt.break_even_usd_per_hour:,.4g}" for doubt in doubts if doubt.break_even_usd_per_hour is not None
    )
    if ends.rival_usd_per_month is None or ends.rival_usd_per_month >= ends.high_usd_per_month:
        return f"{decide}. {listed}. {at_most}, and no option less"
    rival = f"{ends.rival} {_option_usd(ends.rival_usd_per_month, replayed=ends.rival_replayed)}"
    if ends.rival_in_doubt:
        rival += f" by a price that is in doubt too. {listed}"
    holds = f"The answer holds while {'it costs' if single else 'they cost'} less than {even} an hour"
    return f"{decide}. {holds}. {at_most} and {rival}"


def _undecided(fleet: Fleet, doubts: Sequence[DoubtfulPrice]) -> str:
    """How dear the fleet may be, and that nothing is cheaper even so."""
    ends = fleet.price_range
    if ends is None or all(doubt.high_ratio <= 1 for doubt in doubts):
        return "; even so no option on listed prices is cheaper"
    end = "its upper end" if len(doubts) == 1 else "their upper ends"
    return f"; even at {end}, where the fleet costs {usd(ends.high_usd_per_month)}, no option costs less"


def _listed_words(doubt: DoubtfulPrice) -> str:
    if not doubt.runner_up or doubt.runner_up_usd_per_month is None:
        return "No option rests on listed prices alone"
    cost = _option_usd(doubt.runner_up_usd_per_month, replayed=doubt.runner_up_replayed)
    return f"On listed prices alone: {' + '.join(doubt.runner_up)} at {cost}"


def _option_usd(usd_per_month: float, *, replayed: bool) -> str:
    return usd(usd_per_month) if replayed else f"~{usd(usd_per_month)} (not replayed)"
