"""JSON in the head of weight files: small beside the weights, so its number of values is bounded before it is read."""

from typing import Any

from advisor.errors import InputError
from advisor.reading import json_of

MOST_VALUES = 3_000_000
"""Largest header: twelve values for each of 250,000 tensors, or the objects of some 10,000 trees of scikit-learn."""


def header_of(text: str, where: str, hint: str) -> Any:  # noqa: ANN401 - any JSON value
    """Value of a JSON text.

    Args:
        text: the whole text.
        where: file and part of it, for messages.
        hint: remedy where it is no JSON.

    Raises:
        InputError: it may hold more values than are read, or as of :func:`advisor.reading.json_of`.
    """
    values = sum(text.count(mark) for mark in "[{,")  # each value follows one of them: an upper bound
    if values > MOST_VALUES:
        raise InputError(
            f"about {values:,} JSON values; {MOST_VALUES:,} are the most that are read",
            where=where,
            hint="save the model in several smaller files",
        )
    return json_of(text, where, hint)
