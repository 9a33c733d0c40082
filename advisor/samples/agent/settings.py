"""Settings of a run, from the command line to the bare interpreter that runs it.

They go through the environment, which other users of the machine cannot see: an engine's address may hold a password.
"""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from advisor.errors import InputError
from advisor.records import asdict, dataclass, field
from advisor.samples.agent.supervised import Asked, Patience
from advisor.samples.metrics import ROW_SECONDS

Label = tuple[str, str]
"""Name and value."""
HELP = "kept in every file of rows and on every series, such as team=search; repeatable"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS = {
    "accelerator", "endpoint", "engine", "host", "instance", "job", "le", "mig", "model", "product", "rank", "reason",
    "source", "uuid", "version",
}  # fmt: skip
"""Labels that say what a series is of, and those of who scrapes it."""
_LONGEST_VALUE = 256


def parse_labels(texts: Sequence[str]) -> tuple[Label, ...]:
    """Labels of ``NAME=VALUE`` texts, in the order of their names.

    Raises:
        InputError: a text is no label, or a name is taken.
    """
    labels: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if (
            not separator
            or not _NAME.fullmatch(name)
            or not value.isprintable()
            or not 0 < len(value) <= _LONGEST_VALUE
        ):
            raise InputError(f"{text!r} is no label", where="--label", hint="write NAME=VALUE, such as team=search")
        if name in _OURS or name.startswith("__") or name in labels:
            reason = "given twice" if name in labels else "the agent's own"
            raise InputError(f"the label {name} is {reason}", where="--label", hint="choose another name")
        labels[name] = value
    return tuple(sorted(labels.items()))


def with_labels(own: Sequence[Label], static: Sequence[Label]) -> tuple[Label, ...]:
    """Labels of a series and those of its host, in the order of their names."""
    return tuple(sorted((*own, *static)))


INTERVALS = (
    timedelta(milliseconds=100),
    timedelta(seconds=ROW_SECONDS),
    f"every row of {ROW_SECONDS}s needs a reading, else demand and need are unknown for lack of rows",
)
"""Shortest and longest time between readings, and why: drivers renew their counters about six times a second."""
VARIABLE = "ADVISOR_AGENT_SETTINGS"
"""Environment variable that the command line leaves the settings in."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a run."""

    output: str
    """Directory of samples."""
    host: str
    """Name to record."""
    sources: tuple[Asked, ...]
    interval_us: int = 1_000_000
    duration_us: int | None = None
    """None: until told to stop."""
    quiet: bool = False
    page: str | None = None
    """Address and port where the newest rows are shown; None: nowhere."""
    page_tls: tuple[str, ...] = ()
    """Files of certificate, key and client authority; empty: plain HTTP."""
    compact: bool = True
    """Whether rows become Parquet every hour, and at the end."""
    keep_days: int | None = None
    """Whole days before today that are kept; None: all."""
    upload: str | None = None
    """Bucket that finished days go to; None: nowhere."""
    labels: tuple[Label, ...] = ()
    """Static labels of this host."""
    patience: Patience = field(default_factory=Patience)

    def as_argument(self) -> str:
        """All of it in one string."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> "Settings":
        """Settings from :meth:`as_argument`."""
        given: dict[str, Any] = json.loads(argument)
        sources = (Asked(asked["source"], tuple(asked["addresses"])) for asked in given["sources"])
        return cls(
            **{
                **given,
                "sources": tuple(sources),
                "page_tls": tuple(given["page_tls"]),
                "labels": tuple((name, value) for name, value in given["labels"]),
                "patience": Patience(**given["patience"]),
            }
        )
