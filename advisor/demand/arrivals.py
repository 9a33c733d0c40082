"""Requests as arrays, one entry each: for what has to look at every one of them."""

import numpy as np
import numpy.typing as npt

from advisor.records import dataclass

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Requests in the order of arrival; arrays of shape ``(n,)``."""

    seconds: Floats
    """Since 1970, UTC; ascending."""
    input_tokens: Integers
    output_tokens: Integers
    places: Integers | None = None
    """Index of the users' place of each request; None: all come from the first."""
    notes: tuple[str, ...] = ()
    """What a reader must know before trusting them."""
