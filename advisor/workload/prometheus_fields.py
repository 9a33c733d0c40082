"""``demand.prometheus`` of a workload file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from advisor.errors import InputError
from advisor.workload.measured_demand import PrometheusDemand, SigV4
from advisor.workload.recorded_fields import RECORDED_KEYS, read_recorded
from advisor.yaml_fields import Field

_KEYS = ("url", "selector", "token_file", "ca_file", "metrics", "sigv4", *RECORDED_KEYS)
_SIGV4_KEYS = ("region", "profile")


def read_prometheus(field: Field, *, cache_is_stated: bool) -> PrometheusDemand:
    """A server to take demand from.

    Raises:
        InputError: with file, line, field, and how to mend it.
    """
    fields = field.all_of(_KEYS, optional=_KEYS[1:])
    return PrometheusDemand(
        url=_address(fields["url"]),
        window_days=fields["window"].window_days() if "window" in fields else PrometheusDemand("").window_days,
        selector=fields["selector"].text() if "selector" in fields else "",
        **read_recorded(fields, cache_is_stated=cache_is_stated),
        token_file=_file(fields.get("token_file")),
        ca_file=_file(fields.get("ca_file")),
        metrics_file=_file(fields.get("metrics")),
        sigv4=_sigv4(fields),
    )


def completed(given: PrometheusDemand, stated: PrometheusDemand) -> PrometheusDemand:
    """A server given on the command line, with what the file states and the command line does not."""
    default = PrometheusDemand("")
    return replace(
        stated,
        url=given.url,
        window_days=stated.window_days if given.window_days == default.window_days else given.window_days,
        selector=given.selector or stated.selector,
        token_file=given.token_file or stated.token_file,
        ca_file=given.ca_file or stated.ca_file,
        metrics_file=given.metrics_file or stated.metrics_file,
        sigv4=given.sigv4 or stated.sigv4,
    )


def _sigv4(fields: Mapping[str, Field]) -> SigV4 | None:
    if "sigv4" not in fields:
        return None
    if "token_file" in fields:
        fields["sigv4"].fail("requests cannot be signed and carry a token too", "keep either sigv4 or token_file")
    stated = {key: field.text() for key, field in fields["sigv4"].mapping(_SIGV4_KEYS).items()}
    return SigV4(stated.get("region"), stated.get("profile"))


def _address(field: Field) -> str:
    from advisor.samples.query.prometheus.endpoint import shown_url  # noqa: PLC0415 - only servers take its time to load

    try:
        return shown_url(field.text())
    except InputError as error:
        field.fail(error.message, error.hint)


def _file(field: Field | None) -> Path | None:
    return field.path.parent / Path(field.text()).expanduser() if field else None
