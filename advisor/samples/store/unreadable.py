"""Files that hold no samples that can be used."""

from dataclasses import dataclass
from pathlib import Path


class UnreadableError(Exception):
    """A file is no (whole) file of samples; the message says why."""


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file in the directory that holds no samples that can be used."""

    path: Path
    reason: str
