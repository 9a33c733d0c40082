"""What a run is asked to do, as one argument from the command line to the bare interpreter that runs it."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from advisor.samples.agent.kept import Asked, Patience
from advisor.samples.agent.labels import Label


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a run needs to know."""

    output: str
    """Directory of samples."""
    host: str
    """Name to record."""
    sources: tuple[Asked, ...]
    interval_us: int = 1_000_000
    duration_us: int | None = None
    """None: until told to stop."""
    quiet: bool = False
    outlets: tuple[tuple[str, ...], ...] = ()
    """Commands that get every record on their standard input."""
    compact: bool = True
    """Whether rows become Parquet every hour, and at the end."""
    keep_days: int | None = None
    """Whole days before today that are kept; None: all."""
    upload: str | None = None
    """Bucket that finished days go to; None: nowhere."""
    labels: tuple[Label, ...] = ()
    """Static labels of this host."""
    patience: Patience = field(default_factory=Patience)
    sink: str = "advisor.samples.agent.spool:SpoolWriter"
    """``module:class`` of what keeps records; takes the directory and the host."""

    def as_argument(self) -> str:
        """All of it in one string."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> "Settings":
        """What :meth:`as_argument` gave."""
        given: dict[str, Any] = json.loads(argument)
        sources = (Asked(asked["source"], tuple(asked["addresses"])) for asked in given["sources"])
        return cls(
            **{
                **given,
                "sources": tuple(sources),
                "outlets": tuple(tuple(command) for command in given["outlets"]),
                "labels": tuple((name, value) for name, value in given["labels"]),
                "patience": Patience(**given["patience"]),
            }
        )
