"""Batches as servers compute them: items of a batch at most, and what is computed beside what was sent.

Text Embeddings Inference and vLLM take texts in the order of their arrival up to a sum of tokens; where FlashAttention
does not compute attention the former pads all texts of a batch to the longest, and counts that. Triton batches requests
of one shape alone.
"""

import math

import numpy as np

from advisor.catalog.one_pass_engines import ALIKE, COMPILED, POWERS, OnePassEngine
from advisor.demand.values import TokenHistogram, Unit
from advisor.performance.physics import Floats
from advisor.records import dataclass

MOST_ITEMS = 4096
"""Items of a batch where the server limits neither them nor their tokens."""
_LEAST_PADDED = 128.0
"""Tokens of a text, at least, where they are rounded up to powers of two (PAD_SEQUENCE_TO_MULTIPLE_OF)."""
_MEAN_PADDING = 2 * math.log(2)
"""Mean of the next power of two ÷ items of a batch, over batches of any size between two of them alike."""
_OF_ITEMS = 0.01
"""Share of a compiled batch's work that its items are counted for, the rest being there whatever it holds: waiting is
worked out of requests that have work of their own."""
_LIMITED_BY_SIZE = (Unit.TEXTS, Unit.ROWS)
"""Units of which servers limit the sum of sizes in a batch: tokens of texts, values of rows."""


def most_sizes(server: OnePassEngine | None, unit: Unit, context_tokens: int) -> float:
    """Tokens of a batch of texts at most, or values of rows; infinite where nothing limits them."""
    if server is None or unit not in _LIMITED_BY_SIZE:
        return math.inf
    return server.batch_tokens(context_tokens) or math.inf


def items_within(server: OnePassEngine | None, sizes: Floats, largest_sizes: float) -> Floats:
    """Items of a batch at most, each as large as one of the sizes; below 1 where not even one is within their sum."""
    items = MOST_ITEMS if server is None else server.max_batch_items or MOST_ITEMS
    within: Floats = np.minimum(float(items), largest_sizes / sizes)
    return within


def most_items(server: OnePassEngine | None, tokens: TokenHistogram, largest_sizes: float) -> float:
    """Items of a batch at most, whatever time they take: of the smallest size, or as the server's rule has it.

    Args:
        server: with its rule.
        tokens: sizes of items, and items of a request.
        largest_sizes: sum of sizes in a batch.
    """
    most = float(items_within(server, tokens.input_tokens, largest_sizes).max())
    if server is not None and server.padding == ALIKE and differ(tokens.input_tokens):
        return min(most, float(tokens.output_tokens.max()))
    return most


def differ(sizes: Floats) -> bool:
    """Whether items have more than one size."""
    return bool(np.ptp(sizes) > 0)


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Batch of items that are all computed as the longest of them."""

    items: int
    """At most, which take the least time for each of them."""
    padding: float
    """Mean work of an item there ÷ its own."""


def padded_batch(
    tokens: TokenHistogram, item_s: Floats, fixed_s: float, most: float, largest_sizes: float
) -> PaddedBatch:
    """Batch of 1, 2, 4, … items with the least seconds an item, ``f / b + E[max of b items]``.

    A request's items are of one length, so that ``b`` of them are ``b ÷ mean items`` draws.

    Args:
        tokens: sizes of items, and items of a request.
        item_s: of an item of each size.
        fixed_s: of a batch.
        most: items of a batch.
        largest_sizes: sum of its sizes, each as large as the largest.
    """
    weight = tokens.probability * tokens.output_tokens
    mean_s = float(weight @ item_s / weight.sum())
    best, least_s = PaddedBatch(1, 1.0), fixed_s + mean_s
    for items in _powers_up_to(most):
        draws = max(items / tokens.mean_output_tokens(), 1.0)
        longest_s, longest = (_mean_of_largest(of, weight, draws) for of in (item_s, tokens.input_tokens))
        if items * longest > largest_sizes:
            break
        if fixed_s / items + longest_s < least_s:
            best, least_s = PaddedBatch(items, longest_s / mean_s), fixed_s / items + longest_s
    return best


def _powers_up_to(most: float) -> list[int]:
    """2, 4, 8, … and the largest number that a limit leaves."""
    largest = max(math.floor(most), 1)
    return [*(2**power for power in range(1, largest.bit_length()) if 2**power < largest), largest]


def _mean_of_largest(values: Floats, weight: Floats, draws: float) -> float:
    """Mean of the largest of so many draws of weighted values: ``Σ v (F(v)^n - F(v-)^n)``."""
    order = np.argsort(values)
    below = np.cumsum(weight[order]) / weight.sum()
    return float(values[order] @ np.diff(np.minimum(below, 1.0) ** draws, prepend=0.0))


def computed_sizes(padding: str, context_tokens: float, unit: Unit, sizes: Floats) -> Floats:
    """Sizes of items with the padding that is computed with them; of texts alone, the others have one size.

    Args:
        padding: how texts are rounded up, see ``OnePassEngine``.
        context_tokens: length that texts are compiled for.
        unit: of the sizes.
        sizes: of each item.
    """
    if unit is not Unit.TEXTS or padding not in (COMPILED, POWERS):
        return sizes
    if padding == COMPILED:
        return np.maximum(sizes, context_tokens)
    return 2.0 ** np.ceil(np.log2(np.maximum(sizes, _LEAST_PADDED)))


def padded_cost(server: OnePassEngine | None, seconds_per_flop: float, flop: Floats) -> tuple[Floats, float]:
    """Seconds of a batch beside those of its items, and seconds per FLOP of an item, as the server pads batches.

    All of a compiled batch is computed, whatever it holds.

    Args:
        server: how it pads them.
        seconds_per_flop: as if batches were not padded.
        flop: of items, each with its own padding.
    """
    if server is not None and server.padding == POWERS:
        return np.zeros_like(flop), seconds_per_flop * (1.0 if server.max_batch_items == 1 else _MEAN_PADDING)
    if server is not None and server.padding == COMPILED:
        whole_s = (server.max_batch_items or 1) * flop * seconds_per_flop
        return whole_s * (1 - _OF_ITEMS), seconds_per_flop * _OF_ITEMS
    return np.zeros_like(flop), seconds_per_flop
