"""Several declared demands as one: requests of all of them, each as often as it comes."""

from collections.abc import Sequence

import numpy as np

from advisor.demand.values import ArrivalRate, Demand, Floats, TokenHistogram, TokenQuantiles
from advisor.records import asdict, replace


def together(demands: Sequence[Demand]) -> Demand:
    """The sum of declared demands: rates add up, peaks as if they came together, and lengths are mixed by rate."""
    rates = np.array([demand.requests_per_second.mean for demand in demands])
    shares = rates / rates.sum()
    tokens = TokenHistogram(
        np.concatenate([demand.tokens.input_tokens for demand in demands]),
        np.concatenate([demand.tokens.output_tokens for demand in demands]),
        np.concatenate([demand.tokens.probability * share for demand, share in zip(demands, shares, strict=True)]),
    )
    all_rates = zip(*(asdict(demand.requests_per_second).values() for demand in demands), strict=True)
    return replace(
        demands[0],
        requests_per_second=ArrivalRate(*map(sum, all_rates)),
        input_tokens=_quantiles(tokens.input_tokens, tokens.probability),
        output_tokens=_quantiles(tokens.output_tokens, tokens.probability),
        tokens=tokens,
        longest_request_tokens=max(demand.longest_request_tokens for demand in demands),
        source=f"the sum of {len(demands)} workloads",
        notes=tuple(dict.fromkeys(note for demand in demands for note in demand.notes)),
    )


def _quantiles(values: Floats, probability: Floats) -> TokenQuantiles:
    order = np.argsort(values)
    held = probability[order].cumsum()

    def at(level: float) -> float:
        return float(values[order][min(int(np.searchsorted(held, level - 1e-12)), held.size - 1)])

    mean = float(values @ probability)
    return TokenQuantiles(mean=mean, p50=at(0.5), p95=at(0.95), p99=at(0.99), max=float(values.max()))
