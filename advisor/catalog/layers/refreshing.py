"""A refresh from beginning to end: ask, guard, write beside, compare, take.

Tasks run side by side, each kept on disk as soon as it is done: a run that was cut off goes on where it was.
"""

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from advisor.atomic_files import make_directory, write_text
from advisor.catalog.layers.layered import LayeredCatalog, offers_of_snapshot
from advisor.catalog.layers.merging import merge_snapshot, offers_of, usual_usd_per_hour
from advisor.catalog.layers.snapshot import (
    RELEASES,
    TABLE,
    Change,
    ReleaseChange,
    Snapshot,
    changes,
    current,
    discard,
    release_changes,
    releases_of,
    sole_writer,
    stage,
    table_text,
    take,
)
from advisor.catalog.one_pass_engines import Releases
from advisor.catalog.refresh.engines import ENGINES, HeldReleases, ReleaseGuard, held_releases
from advisor.catalog.refresh.http import short_words
from advisor.catalog.refresh.values import (
    MOST_MOVED_RATIO,
    Denied,
    Found,
    Gap,
    Guard,
    RefreshJob,
    ReleaseRow,
    Row,
    SkippedRow,
    Task,
    Unreachable,
    Violation,
    row_from_json,
    row_to_json,
    violations,
)
from advisor.catalog.values import Quality
from advisor.records import dataclass
from advisor.units import counted

_HOPELESS = 8
"""After as many failures and nothing else, the network or the login is what is wrong, and the rest is not asked."""
_NOT_ASKED = "not asked, since nothing before it could be read"
_OTHER_SHAPE = "look for a newer version of advisor, and run the command again later"
Progress = Callable[[int, int, str], None]
"""Called with tasks done, tasks in all, and the name of the one just done."""


@dataclass(frozen=True, slots=True)
class Journal:
    """Results of earlier runs, kept for a while."""

    directory: Path
    asker: str = ""
    """Whose answers they are; those to another account or from another address are not taken."""
    keeps: dt.timedelta = dt.timedelta(hours=6)
    """Older answers are asked for anew: prices move."""

    def read(self, task: Task, now: dt.datetime) -> tuple[Row, ...] | None:
        """Rows of a task that is done; None when it has to be run."""
        try:
            document = json.loads(self._path(task).read_text(encoding="utf-8"))
            done = dt.datetime.fromisoformat(document["done"])
            if (document["asker"], document["task"]) != (self.asker, task.name):
                return None
            if not dt.timedelta(0) <= now - done <= self.keeps:
                return None
            return tuple(row_from_json(row) for row in document["rows"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, task: Task, rows: Sequence[Row], now: dt.datetime) -> None:
        """Keep the rows of a done task. Raises InputError if the disk is full, or not to be written."""
        document = {
            "asker": self.asker,
            "task": task.name,
            "done": now.isoformat(),
            "rows": [row_to_json(row) for row in rows],
        }
        make_directory(self.directory)
        write_text(self._path(task), json.dumps(document))

    def clear(self) -> None:
        """Forget everything: the refresh was published."""
        with suppress(OSError):
            shutil.rmtree(self.directory)

    def _path(self, task: Task) -> Path:
        return self.directory / f"{hashlib.sha256(task.name.encode()).hexdigest()[:24]}.json"


def run_tasks(
    question: RefreshJob,
    journal: Journal,
    clock: Callable[[], dt.datetime],
    at_once: int = 8,
    progress: Progress | None = None,
) -> Found:
    """All that the tasks find; those in the journal are not run again. Raises InputError if it cannot be kept."""
    wanted = question.tasks
    rows: list[Row] = []
    complete: set[tuple[str, str]] = set()
    gaps: list[Gap] = []
    pool = ThreadPoolExecutor(max_workers=at_once)
    try:
        pending = {pool.submit(_run, task, journal, clock): task for task in wanted}
        for done, future in enumerate(as_completed(pending), start=1):
            task = pending[future]
            if future.cancelled():
                gaps.append(Gap(task.region, task.part, _NOT_ASKED, gaps[0].remedy, denied=False))
                continue
            answered = future.result()
            if isinstance(answered, Gap):
                gaps.append(answered)
                if not complete and len(gaps) == max(at_once, _HOPELESS) and not any(gap.denied for gap in gaps):
                    for other in pending:
                        other.cancel()
            else:
                rows.extend(answered)
                complete.add((task.region, task.part))
            if progress is not None:
                progress(done, len(wanted), task.name)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    ordered = tuple(sorted(set(rows), key=repr))
    known_gaps = tuple(sorted(gaps, key=lambda gap: (gap.part, gap.region)))
    return Found(question.provider, ordered, frozenset(complete), known_gaps, question.tells_absence, question.origin)


def _run(task: Task, journal: Journal, clock: Callable[[], dt.datetime]) -> tuple[Row, ...] | Gap:
    journaled = journal.read(task, clock())
    if journaled is not None:
        return journaled
    try:
        rows = tuple(task.read())
    except Denied as error:
        return Gap(task.region, task.part, error.reason, error.remedy, denied=not isinstance(error, Unreachable))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"the answer has another shape than documented ({type(error).__name__}: {short_words(error)})"
        return Gap(task.region, task.part, reason, _OTHER_SHAPE, denied=False)
    journal.write(task, rows, clock())
    return rows


_JOURNAL = "unfinished"
DRY_RUN = "dry run"
_COLUMNS = ("engine", "version", "released", "source", "as_of", "quality")
_SOURCE_COLUMNS = ("source_id", "title")


@dataclass(frozen=True, slots=True)
class RefreshOptions:
    """How a refresh is run."""

    confirmed: frozenset[str] = frozenset()
    """Keys of violations that a person accepts."""
    most_moved_ratio: float = MOST_MOVED_RATIO
    dry_run: bool = False
    at_once: int = 8
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Result of a refresh."""

    answer: Found
    held: tuple[Violation | HeldReleases, ...]
    """Rows that keep it from being published."""
    changes: tuple[Change | ReleaseChange, ...] = ()
    """Against what was known before; empty where it got no further than the guards."""
    snapshot: Snapshot | None = None
    """None: nothing was published, and what was known before holds."""
    unknown_types: tuple[str, ...] = ()
    """New types whose accelerator the catalog does not know."""

    @property
    def skipped(self) -> tuple[SkippedRow, ...]:
        """Releases that are left out."""
        return tuple(row for row in self.answer.rows if isinstance(row, SkippedRow))

    @property
    def is_of_releases(self) -> bool:
        """Whether releases of engines were asked for, and no prices of a provider."""
        return self.answer.provider == ENGINES

    @property
    def reason(self) -> str:
        """Why nothing was published; empty when something was."""
        if self.snapshot is not None:
            return ""
        if self.answer.failed:
            return f"{counted(len(self.answer.failed), 'part')} could not be read"
        if not any(self.is_of_releases or part == "prices" for _, part in self.answer.complete):
            return f"no {'release' if self.is_of_releases else 'price'} could be read"
        noun = "finding" if self.is_of_releases else "row"
        return (
            f"{counted(len(self.held), noun)} {'are' if len(self.held) > 1 else 'is'} held back"
            if self.held
            else DRY_RUN
        )

    @property
    def is_sound(self) -> bool:
        """Whether it was published, or would have been."""
        return self.reason in ("", DRY_RUN)


def refresh(
    question: RefreshJob,
    catalog: LayeredCatalog,
    root: Path,
    refresh_options: RefreshOptions,
    progress: Progress | None = None,
) -> Refreshed:
    """Ask a provider for everything, and take the answer if it is whole and sound.

    Raises InputError if the result cannot be written; what was known before still holds.
    """
    provider = question.provider
    journal = Journal(root / provider / _JOURNAL, question.asker)
    answer = run_tasks(question, journal, refresh_options.clock, refresh_options.at_once, progress)
    listed = catalog.as_listed()
    before = {place: offer for place, offer in offers_of(listed, provider).items() if not offer.withdrawn}
    usual = usual_usd_per_hour(listed, answer)
    held = violations(answer, before, refresh_options.confirmed, refresh_options.most_moved_ratio, usual)
    nothing = Refreshed(answer, held)
    if answer.failed or not any(part == "prices" for _, part in answer.complete):
        return nothing
    if any(violation.guard is Guard.NO_PRICE for violation in held):
        return nothing  # no table holds such a price, so there is nothing to compare
    today = f"{refresh_options.clock():%Y-%m-%d}"
    gaps = [f"{gap.part} {gap.region}: {gap.reason}".strip() for gap in answer.gaps]
    with sole_writer(root):
        holds = current(root, provider)
        kept = holds.directory if isinstance(holds, Snapshot) else None
        staged = stage(root, provider, merge_snapshot(listed, answer, today, kept), today, gaps)
        differences = changes(before.values(), offers_of_snapshot(staged))
        unknown = tuple(line.split(",")[0] for line in (staged.directory / "unknown_types.csv").read_text().split()[1:])
        if held or refresh_options.dry_run:
            discard(root, staged)
            return Refreshed(answer, held, differences, None, unknown)
        take(root, staged)
        journal.clear()
        return Refreshed(answer, held, differences, staged, unknown)


def refresh_engines(
    question: RefreshJob, before: Releases, root: Path, refresh_options: RefreshOptions, progress: Progress | None
) -> Refreshed:
    """Ask an index for the releases of every engine, and take the answer if it is whole and sound.

    Raises InputError if the result cannot be written; what was known before still holds.
    """
    journal = Journal(root / RELEASES / _JOURNAL, question.asker)
    answer = run_tasks(question, journal, refresh_options.clock, refresh_options.at_once, progress)
    now = refresh_options.clock()
    held = held_releases(answer, before, now.date(), refresh_options.confirmed)
    if answer.failed or not answer.complete or any(release.guard is ReleaseGuard.FUTURE for release in held):
        return Refreshed(answer, held)
    gaps = [f"{gap.part}: {gap.reason}" for gap in answer.gaps]
    with sole_writer(root):
        staged = stage(root, RELEASES, _tables(answer, before, now.date(), question.asker), f"{now:%Y-%m-%d}", gaps)
        changes = release_changes(before, releases_of(staged))
        if held or refresh_options.dry_run:
            discard(root, staged)
            return Refreshed(answer, held, changes)
        take(root, staged)
        journal.clear()
        return Refreshed(answer, held, changes, staged)


def _tables(answer: Found, before: Releases, today: dt.date, asker: str) -> dict[str, str]:
    """The table of releases with its sources: engines that were not read keep what was known."""
    read = [row for row in answer.rows if isinstance(row, ReleaseRow)]
    titles = {"index": f"package index {asker}".strip()}
    index = ("index", today.isoformat(), Quality.LISTED.value)
    rows = [(row.engine, row.version, row.released, *index) for row in read]
    refreshed = {row.engine for row in read}
    for engine in (engine for engine in before.by_engine if engine not in refreshed):
        for release in before.of(engine):
            origin, source = release.provenance, f"kept-{engine}"
            titles[source] = origin.source
            version, released = str(release.version), release.released.isoformat()
            rows.append((engine, version, released, source, origin.as_of, origin.quality.value))
    sources = [dict(zip(_SOURCE_COLUMNS, item, strict=True)) for item in titles.items()]
    return {
        TABLE: table_text(_COLUMNS, [dict(zip(_COLUMNS, row, strict=True)) for row in rows]),
        "sources.csv": table_text(_SOURCE_COLUMNS, sources),
    }
