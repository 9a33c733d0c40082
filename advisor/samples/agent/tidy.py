"""``python -m advisor.samples.agent.tidy DIR --host HOST [--keep-days N]``: facts of this host, and no old segments.

It stands in for compaction where pyarrow is not installed: it keeps what the host is, and removes old segments of the
spool, so that a disk does not fill with rows that nobody fetches.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from advisor.errors import InputError
from advisor.samples.agent.host_facts import keep_facts
from advisor.samples.agent.spool import claimed, segments


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


def main(arguments: Sequence[str]) -> int:
    """Remove what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m advisor.samples.agent.tidy", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--keep-days", type=int)
    parser.add_argument("--here", action="store_true", help="this machine is the host: keep what it is")
    given = parser.parse_args(arguments)
    try:
        if given.here:
            keep_facts(given.directory, given.host)
        if given.keep_days is not None:
            tidy(given.directory, given.host, given.keep_days, datetime.now(UTC).date())
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"error: cannot remove old segments: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
