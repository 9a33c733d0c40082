"""A store of samples, as a command line names it."""

from collections.abc import Sequence
from datetime import timedelta

import click

from advisor.cli.progress import Progress, tell
from advisor.errors import InputError
from advisor.samples.need.fleet import Fleet
from advisor.samples.query.values import Window
from advisor.samples.store.files import is_store
from advisor.samples.store.reading import Store, no_rows

places_argument = click.argument("places", metavar="PLACE...", nargs=-1, required=True)


def fleet_at(places: Sequence[str], span: timedelta | None = None) -> Fleet:
    """Accelerators of directories and what each needs; files that are left out are named on stderr.

    Args:
        places: directories, or addresses in object storage.
        span: so long before the newest row; None: all there is.

    Raises:
        InputError: one of them is another kind of address, or there are no samples in them.
    """
    if not all(map(is_store, places)):
        raise InputError(
            "rows are needed for this, and a server answers with summaries",
            where=", ".join(places),
            hint="`advisor samples summary` and `advisor samples need` take the address of a server",
        )
    store = Store(places)
    with Progress("hosts read") as progress:
        fleet = Fleet.of(store, _window(store, span), progress.watch)
    for note in store.notes():
        tell(f"skipped {note}")
    if not fleet.accelerators:
        if not fleet.engines:
            raise no_rows(store)
        tell("note: serving engines were watched here, and no accelerators")
    return fleet


def _window(store: Store, span: timedelta | None) -> Window:
    whole = store.days() if span is None else store.window()
    if whole is None:
        raise no_rows(store)
    return whole.newest(None if span is None else span.total_seconds())
