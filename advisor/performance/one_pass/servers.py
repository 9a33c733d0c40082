"""Batches as servers compute them: items of a batch at most, and what is computed beside what was sent."""

import math

import numpy as np

from advisor.catalog.one_pass_engines import COMPILED, POWERS, OnePassEngine
from advisor.demand.values import Unit
from advisor.performance.physics import Floats

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


def most_sizes(server: OnePassEngine | None, unit: Unit) -> float:
    """Tokens of a batch of texts at most, or values of rows; infinite where nothing limits them."""
    limits_sizes = server is not None and unit in _LIMITED_BY_SIZE
    return (server.max_batch_tokens if server is not None and limits_sizes else None) or math.inf


def most_items(server: OnePassEngine | None, unit: Unit, sizes: Floats) -> Floats:
    """Items of a batch at most, each as large as one of the sizes; below 1 where not even one is within its tokens."""
    items = MOST_ITEMS if server is None else server.max_batch_items or MOST_ITEMS
    return np.minimum(items, most_sizes(server, unit) / sizes)


def computed_sizes(padding: str, context_tokens: float, unit: Unit, sizes: Floats) -> Floats:
    """Sizes of items with the padding that is computed with them; of texts alone, the others have one size.

    Args:
        padding: how texts are rounded up, see ``OnePassEngine``.
        context_tokens: length that texts are compiled for.
        unit: of the sizes.
        sizes: of each item.
    """
    if unit is not Unit.TEXTS or not padding:
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
