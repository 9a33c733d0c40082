"""A real Prometheus server (Debian's package ``prometheus``), empty, with remote write switched on."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.server import serving

PROGRAM = shutil.which("prometheus")
ABSENT = "no prometheus program on this machine (apt-get install prometheus)"
WRITE_PATH = "/api/v1/write"


@contextmanager
def running_prometheus(
    directory: Path, *, out_of_order: str | None = None, options: Sequence[str] = (), scrape: Sequence[str] = ()
) -> Iterator[str]:
    """A server of its own that keeps its data below *directory*.

    Args:
        directory: empty folder.
        out_of_order: how much older than the newest a sample may be, such as ``24h``; None: not at all.
        options: further options, such as ``--query.max-samples=1000000``.
        scrape: addresses (``host:port``) that it scrapes each second.

    Yields:
        Its address, such as ``http://127.0.0.1:41234``; samples are written to ``WRITE_PATH`` below it.
    """
    config = directory / "prometheus.yml"
    targets = ", ".join(f'"{address}"' for address in scrape)
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        + (f"storage: {{tsdb: {{out_of_order_time_window: {out_of_order}}}}}\n" if out_of_order else "")
        + (f"scrape_configs: [{{job_name: tested, static_configs: [{{targets: [{targets}]}}]}}]\n" if scrape else "")
    )

    def command(port: int) -> list[str]:
        return [
            str(PROGRAM), f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
            "--storage.tsdb.retention.time=10y", f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver", *options,
        ]  # fmt: skip

    with serving(command, "/-/ready", directory / "prometheus.log") as url:
        yield url
