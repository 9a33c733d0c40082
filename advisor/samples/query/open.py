"""The backend that answers for a place."""

from pathlib import Path

from advisor.errors import InputError
from advisor.samples.query.values import QueryBackend

_TABLES = ("duckdb://", "pyspark://", "clickhouse://", "bigquery://")
_HINT = (
    "give a directory that `advisor agent run --output` writes to, an address of a Prometheus-compatible server "
    "(https://…), cloudwatch://REGION, or duckdb://, pyspark://, clickhouse:// or bigquery://… with ?samples=DIR"
)


def open_backend(place: str, *, exact: bool = False, metrics: Path | None = None) -> QueryBackend:
    """The backend for a directory or an address; what carries large libraries loads only when it is asked for.

    Args:
        place: a directory of samples, or the URL of what keeps them.
        exact: from the rows themselves, even where daily summaries would do.
        metrics: file that maps further names of metrics, for Prometheus-compatible servers.

    Raises:
        InputError: nothing can answer for it, or what can is not installed.
    """
    if place.startswith(("http://", "https://")):
        from advisor.samples.query.prometheus import PrometheusBackend  # noqa: PLC0415 - one backend of several

        return PrometheusBackend.at(place, metrics=metrics)
    if place.startswith("cloudwatch://"):
        from advisor.samples.query.cloudwatch import CloudWatchBackend  # noqa: PLC0415 - one backend of several

        return CloudWatchBackend.at(place)
    if place.startswith(_TABLES):
        from advisor.samples.query.tables import TablesBackend  # noqa: PLC0415 - one backend of several

        return TablesBackend(place)
    if "://" in place:
        raise InputError("no reader knows this kind of address", where=place, hint=_HINT)
    from advisor.samples.query.embedded import EmbeddedBackend  # noqa: PLC0415 - one backend of several

    return EmbeddedBackend(Path(place), exact=exact)
