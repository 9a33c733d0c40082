"""A real VictoriaMetrics server (Debian's package ``victoria-metrics``), empty; it takes remote write by itself."""

import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.server import serving

PROGRAM = shutil.which("victoria-metrics")
ABSENT = "no victoria-metrics program on this machine (apt-get install victoria-metrics)"
WRITE_PATH = "/api/v1/write"


@contextmanager
def running_victoria_metrics(directory: Path, *, options: Sequence[str] = ()) -> Iterator[str]:
    """A server of its own that keeps its data below *directory*.

    It neither holds back the newest samples nor caches answers; queries see what was written after :func:`flush`.

    Args:
        directory: empty folder.
        options: further options.

    Yields:
        Its address, such as ``http://127.0.0.1:41234``; samples are written to ``WRITE_PATH`` below it.
    """

    def command(port: int) -> list[str]:
        return [
            str(PROGRAM), f"-storageDataPath={directory / 'data'}", f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=10y", "-search.latencyOffset=0s", "-search.disableCache", "-inmemoryDataFlushInterval=1s",
            "-memory.allowedBytes=256MB", *options,
        ]  # fmt: skip

    with serving(command, "/health", directory / "victoria-metrics.log") as url:
        yield url


def flush(url: str) -> None:
    """Make everything that was written visible to queries."""
    with urllib.request.urlopen(f"{url}/internal/force_flush", timeout=20):
        pass
