"""Longer or shorter prompts and answers: the same requests with their tokens changed by a factor."""

from dataclasses import fields, replace

import numpy as np

from advisor.demand.values import Demand, Floats, TokenHistogram, TokenQuantiles


def with_token_lengths(demand: Demand, input_factor: float = 1.0, output_factor: float = 1.0) -> Demand:
    """Requests whose prompts and answers are so many times as long; none becomes shorter than a token."""

    def histogram(tokens: TokenHistogram) -> TokenHistogram:
        inputs, outputs = _lengths(tokens.input_tokens, input_factor), _lengths(tokens.output_tokens, output_factor)
        return replace(tokens, input_tokens=inputs, output_tokens=outputs)

    longest = demand.longest_request_tokens
    longest += (input_factor - 1) * min(demand.input_tokens.max, longest)
    longest += (output_factor - 1) * min(demand.output_tokens.max, longest)
    profile = demand.profile
    if profile is not None:
        by_hour = {hour: histogram(tokens) for hour, tokens in profile.tokens_by_hour.items()}
        profile = replace(profile, tokens_by_hour=by_hour)
    return replace(
        demand,
        input_tokens=_quantiles(demand.input_tokens, input_factor),
        output_tokens=_quantiles(demand.output_tokens, output_factor),
        tokens=histogram(demand.tokens),
        longest_request_tokens=max(longest, 1.0),
        profile=profile,
    )


def _lengths(tokens: Floats, factor: float) -> Floats:
    return np.maximum(tokens * factor, np.minimum(tokens, 1.0))


def _quantiles(tokens: TokenQuantiles, factor: float) -> TokenQuantiles:
    return TokenQuantiles(*(getattr(tokens, field.name) * factor for field in fields(tokens)))
