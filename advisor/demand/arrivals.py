"""Requests as arrays, one entry each: for what has to look at every one of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Requests in the order of arrival; arrays of shape ``(n,)``."""

    seconds: Floats
    """Since 1970, UTC; ascending."""
    input_tokens: Integers
    output_tokens: Integers
    network_ms: Floats | None = None
    """Round trip between user and replica of each request; None: none counted."""
    notes: tuple[str, ...] = ()
    """What a reader must know before trusting them."""
