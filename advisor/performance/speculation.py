"""Speculative decoding as part of a deployment: what drafts, how many tokens ahead, and how often it is right."""

from advisor.models.values import ServingShape
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class DraftModel:
    """Source of draft tokens that the model then verifies in one step."""

    tokens: int
    """Drafted in each step."""
    acceptance: float
    """Probability that a drafted token is accepted when those before it were; from 0 to 1. It is a fact of draft,
    model and text together: measure it, or work it out of a published length with :func:`acceptance_of_length`."""
    params: float = 0.0
    """Parameters that drafting one token reads; 0 for a look-up in the text (n-gram)."""
    layers: int = 0


def head_draft(shape: ServingShape, tokens: int, acceptance: float) -> DraftModel:
    """A draft head (EAGLE, multi-token prediction): one layer of its model, and the model's output head."""
    head = float(shape.vocab) * shape.hidden
    layer = max(shape.params_active - head, 0.0) / shape.n_layers
    return DraftModel(tokens, acceptance, params=layer + head, layers=1)


def model_draft(shape: ServingShape, tokens: int, acceptance: float) -> DraftModel:
    """A smaller model that drafts."""
    return DraftModel(tokens, acceptance, params=shape.params_active, layers=shape.n_layers)


def acceptance_of_length(tokens: int, length: float) -> float:
    """The acceptance at which a step of ``tokens`` drafted tokens yields ``length`` tokens: 1 + a + a² + … = length.

    Raises:
        ValueError: a step yields between 1 and tokens + 1.
    """
    if not 1 <= length <= tokens + 1:
        raise ValueError(f"{tokens} drafted tokens yield between 1 and {tokens + 1} tokens a step, not {length}")
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if sum(middle**power for power in range(tokens + 1)) < length:
            low = middle
        else:
            high = middle
    return high
