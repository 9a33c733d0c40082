"""Tasks side by side, each kept on disk as soon as it is done: a run that was cut off goes on where it was."""

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from advisor.atomic_files import make_directory, write_text
from advisor.catalog.refresh.http import short_words
from advisor.catalog.refresh.values import (
    Denied,
    Found,
    Gap,
    RefreshJob,
    Row,
    Task,
    Unreachable,
    row_from_json,
    row_to_json,
)
from advisor.records import dataclass

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
        """Keep the rows of a task that is done.

        Raises:
            InputError: the disk is full, or the directory cannot be written.
        """
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
    """Everything that the tasks of a question find; those that the journal holds are not run again.

    Raises:
        InputError: what was read cannot be kept.
    """
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
            found = future.result()
            if isinstance(found, Gap):
                gaps.append(found)
                if not complete and len(gaps) == max(at_once, _HOPELESS) and not any(gap.denied for gap in gaps):
                    for other in pending:
                        other.cancel()
            else:
                rows.extend(found)
                complete.add((task.region, task.part))
            if progress is not None:
                progress(done, len(wanted), task.name)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    ordered = tuple(sorted(set(rows), key=repr))
    known_gaps = tuple(sorted(gaps, key=lambda gap: (gap.part, gap.region)))
    return Found(question.provider, ordered, frozenset(complete), known_gaps, question.tells_absence, question.origin)


def _run(task: Task, journal: Journal, clock: Callable[[], dt.datetime]) -> tuple[Row, ...] | Gap:
    known = journal.read(task, clock())
    if known is not None:
        return known
    try:
        rows = tuple(task.read())
    except Denied as error:
        return Gap(task.region, task.part, error.reason, error.remedy, denied=not isinstance(error, Unreachable))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"the answer has another shape than documented ({type(error).__name__}: {short_words(error)})"
        return Gap(task.region, task.part, reason, _OTHER_SHAPE, denied=False)
    journal.write(task, rows, clock())
    return rows
