"""``advisor agent compact DIR --host HOST``: rows of the spool become files, old ones go, finished days are uploaded.

The agent runs it every hour (``--here``). Where pyarrow is not installed that keeps what the host is and removes old
segments of the spool, so that a disk does not fill with rows that nobody fetches.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from advisor.errors import AdvisorError, InputError
from advisor.samples.agent.compaction import HELP, can_compact, parse_bucket_url
from advisor.samples.agent.host_facts import keep_facts
from advisor.samples.agent.spool import claimed, segments
from advisor.samples.places import checked_host


def main(arguments: Sequence[str], program: str = "python -m advisor.samples.agent.compact_command") -> int:
    """Compact what the arguments say; what was done goes to stderr."""
    parser = argparse.ArgumentParser(prog=program, description="Compact what the agents of a host wrote.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--keep-days", type=int)
    parser.add_argument("--max-bytes", type=int)
    parser.add_argument("--upload", metavar="URL", help=HELP)
    parser.add_argument("--today", action="store_true", help="upload what there is of today, too")
    parser.add_argument("--here", action="store_true", help="this machine is the host: keep what it is, too")
    given = parser.parse_args(arguments)
    try:
        checked_host(given.host)
        if not given.here and not given.directory.is_dir():
            raise InputError(
                "no such directory", where=str(given.directory), hint="give what `agent run --output` names"
            )
        if given.here:
            keep_facts(given.directory, given.host)
        if can_compact() or not given.here:
            return _compact(given)
        if given.keep_days is not None:
            tidy(given.directory, given.host, given.keep_days, datetime.now(UTC).date())
    except AdvisorError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except OSError as error:
        hint = "make space, or give a directory that you may write to; nothing is lost, the spool keeps what is there"
        sys.stderr.write(f"error: {error.filename or given.directory}: {error.strerror or error}\n  hint: {hint}\n")
        return 1
    return 0


def tidy(directory: Path, host: str, keep_days: int, today: date) -> list[Path]:
    """Remove the segments of days before the last *keep_days* whole ones; what is being written stays."""
    oldest = (today - timedelta(days=keep_days)).strftime("%Y%m%d")
    removed = []
    for path in segments(directory, host):
        if path.name[:8] >= oldest:
            continue
        with claimed(path) as is_mine:
            if is_mine:
                path.unlink()
                removed.append(path)
    return removed


def _compact(given: argparse.Namespace) -> int:
    from advisor.samples.store.compact import compact, upload_today  # noqa: PLC0415 - it needs pyarrow

    url = None if given.upload is None else parse_bucket_url(given.upload)
    done = compact(given.directory, given.host, given.keep_days, given.max_bytes, upload=url)
    if done is None:
        sys.stderr.write(f"another compaction of {given.host} is at work\n")
        return 0
    if given.today and url is not None and done.trouble is None:
        upload_today(given.directory, given.host, url)  # before a word: who started this may be gone already
    for file in done.skipped:
        sys.stderr.write(f"{file.path}: {file.reason}\n")
    sys.stderr.write(f"{done}\n")
    if done.trouble is not None:
        raise done.trouble
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
