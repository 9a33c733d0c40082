"""Requests cut into buckets by the length of their prompts: the only length that a router knows."""

import numpy as np

from advisor.demand.values import TokenHistogram

EDGES = (0.0, 0.5, 0.8, 0.95, 1.0)
"""Shares of the requests at which prompts are cut: finer where the long ones are, which decide the time to the first
token and fill the cache."""


def prompt_buckets(tokens: TokenHistogram) -> tuple[tuple[float, TokenHistogram], ...]:
    """Share and lengths of each bucket, the shortest prompts first; one bucket where all prompts are alike."""
    order = np.argsort(tokens.input_tokens, kind="stable")
    middle = np.cumsum(tokens.probability[order]) - tokens.probability[order] / 2
    bucket = np.clip(np.searchsorted(EDGES, middle, side="right") - 1, 0, len(EDGES) - 2)
    found = []
    for at in np.unique(bucket):
        members = order[bucket == at]
        share = float(tokens.probability[members].sum())
        found.append(
            (
                share,
                TokenHistogram(
                    tokens.input_tokens[members],
                    tokens.output_tokens[members],
                    tokens.probability[members] / share,
                    tokens.prefix_cache_hit_ratio,
                ),
            )
        )
    return tuple(found)
