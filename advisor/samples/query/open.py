"""The backend that answers for a place."""

from collections.abc import Sequence
from pathlib import Path

from advisor.errors import InputError
from advisor.samples.query.values import QueryBackend
from advisor.samples.store.files import SCHEMES, is_store

_HINT = (
    "give directories that `advisor agent run --output` writes to, or addresses of copies of them "
    f"({'…, '.join(SCHEMES)}…); or else one address of a Prometheus-compatible server (https://…), or cloudwatch://REGION"
)


def open_backend(places: Sequence[str], *, metrics: Path | None = None) -> QueryBackend:
    """The backend for directories or an address; what carries large libraries loads only when it is asked for.

    Args:
        places: directories of samples, or the URL of what keeps them.
        metrics: file that maps further names of metrics, for Prometheus-compatible servers.

    Raises:
        InputError: nothing can answer for it, or what can is not installed.
    """
    if all(map(is_store, places)):
        from advisor.samples.query.embedded import EmbeddedBackend  # noqa: PLC0415 - one backend of several

        return EmbeddedBackend(places)
    if len(places) > 1:
        raise InputError("only directories can be read together", where=", ".join(places), hint=_HINT)
    place = places[0]
    if place.startswith(("http://", "https://")):
        from advisor.samples.query.prometheus import PrometheusBackend  # noqa: PLC0415 - one backend of several

        return PrometheusBackend.at(place, metrics=metrics)
    if place.startswith("cloudwatch://"):
        from advisor.samples.query.cloudwatch import CloudWatchBackend  # noqa: PLC0415 - one backend of several

        return CloudWatchBackend.at(place)
    raise InputError("no reader knows this kind of address", where=place, hint=_HINT)
