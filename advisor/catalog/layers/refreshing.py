"""A refresh from beginning to end: ask, guard, write beside, compare, take."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from advisor.catalog.layers.changes import Change, changes
from advisor.catalog.layers.layered import LayeredCatalog, offers_of_snapshot
from advisor.catalog.layers.merging import merge_snapshot, offers_of
from advisor.catalog.layers.snapshot import Snapshot, current, discard, sole_writer, stage, take
from advisor.catalog.refresh.guards import MOST_MOVED_RATIO, Guard, Violation, violations
from advisor.catalog.refresh.journal import Journal, Progress, run_tasks
from advisor.catalog.refresh.values import Found, RefreshJob
from advisor.catalog.values import Offer

_JOURNAL = "unfinished"
DRY_RUN = "dry run"


@dataclass(frozen=True, slots=True)
class RefreshOptions:
    """How a refresh is run."""

    confirmed: frozenset[str] = frozenset()
    """Keys of violations that a person accepts."""
    most_moved_ratio: float = MOST_MOVED_RATIO
    dry_run: bool = False
    at_once: int = 8
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)


def why_not_published(snapshot: Snapshot | None, found: Found, missing: str, held: int, noun: str) -> str:
    """Why a refresh published nothing; empty where it published a snapshot.

    Args:
        snapshot: what was published.
        found: what was read.
        missing: what could not be read at all, as a sentence; "": nothing.
        held: how many rows or findings keep the rest from being published.
        noun: how one of them is called.
    """
    if snapshot is not None:
        return ""
    if found.failed:
        return f"{len(found.failed)} part{'s' if len(found.failed) > 1 else ''} could not be read"
    if missing or not held:
        return missing or DRY_RUN
    return f"{held} {noun}{'s are' if held > 1 else ' is'} held up"


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Result of a refresh."""

    provider: str
    found: Found
    held: tuple[Violation, ...]
    """Rows that keep it from being published."""
    changes: tuple[Change, ...]
    """Against what was known before; empty where it got no further than the guards."""
    snapshot: Snapshot | None
    """None: nothing was published, and the old prices hold."""
    unknown_types: tuple[str, ...]
    """New types whose accelerator the catalog does not know."""

    @property
    def reason(self) -> str:
        """Why nothing was published; empty when something was."""
        has_prices = any(part == "prices" for _, part in self.found.complete)
        missing = "" if has_prices else "no price could be read"
        return why_not_published(self.snapshot, self.found, missing, len(self.held), "row")

    @property
    def is_sound(self) -> bool:
        """Whether it was published, or would have been."""
        return self.reason in ("", DRY_RUN)


def refresh(
    question: RefreshJob, catalog: LayeredCatalog, root: Path, manner: RefreshOptions, progress: Progress | None = None
) -> Refreshed:
    """Ask a provider for everything, and take the answer if it is whole and sound.

    Raises:
        InputError: the result cannot be written; what was known before still holds.
    """
    provider = question.provider
    journal = Journal(root / provider / _JOURNAL, question.asker)
    found = run_tasks(question, journal, manner.clock, manner.at_once, progress)
    before = _listed(catalog, provider)
    held = violations(found, before, manner.confirmed, manner.most_moved_ratio)
    nothing = Refreshed(provider, found, held, (), None, ())
    if found.failed or not any(part == "prices" for _, part in found.complete):
        return nothing
    if any(violation.guard is Guard.NO_PRICE for violation in held):
        return nothing  # no table holds such a price, so there is nothing to compare
    today = f"{manner.clock():%Y-%m-%d}"
    gaps = [f"{gap.part} {gap.region}: {gap.reason}".strip() for gap in found.gaps]
    with sole_writer(root):
        holds = current(root, provider)
        kept = holds.directory if isinstance(holds, Snapshot) else None
        staged = stage(root, provider, merge_snapshot(catalog.as_listed(), found, today, kept), today, gaps)
        differences = changes(before.values(), offers_of_snapshot(staged))
        unknown = tuple(line.split(",")[0] for line in (staged.directory / "unknown_types.csv").read_text().split()[1:])
        if held or manner.dry_run:
            discard(root, staged)
            return Refreshed(provider, found, held, differences, None, unknown)
        take(root, staged)
        journal.clear()
        return Refreshed(provider, found, held, differences, staged, unknown)


def _listed(catalog: LayeredCatalog, provider: str) -> dict[tuple[str, str], Offer]:
    """Offers that are known to be sold."""
    offers = offers_of(catalog.as_listed(), provider)
    return {place: offer for place, offer in offers.items() if not offer.withdrawn}
