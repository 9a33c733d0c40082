"""The backend that answers for a place."""

from advisor.errors import InputError
from advisor.samples.query.values import QueryBackend


def open_backend(place: str, *, exact: bool = False) -> QueryBackend:
    """The backend for a directory or an address.

    Args:
        place: a directory of samples, or the URL of what keeps them.
        exact: from the rows themselves, even where daily summaries would do.

    Raises:
        InputError: nothing can answer for it.
    """
    raise InputError(f"no reader for {'exact ' if exact else ''}questions is installed", where=place)
