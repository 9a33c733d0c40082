"""Findings of the doctor."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """State of one thing."""

    OK = "ok"
    LIMITED = "limited"
    """It works, and some of it is not to be seen."""
    BROKEN = "broken"
    ABSENT = "absent"
    """It is not on this machine: nothing to mend."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that cannot be seen."""

    what: str
    mend: str
    """What to do about it; "" where nothing can be done."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """A source, an engine's address, or a part of the machine."""
    state: State
    sees: str
    """In a line."""
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """Root of its files: ``/``, except in tests."""

    root: Path = Path("/")

    def path(self, absolute: str) -> Path:
        """A file of the machine."""
        return self.root / absolute.lstrip("/")

    @property
    def is_container(self) -> bool:
        """Whether this is a container, as far as it shows."""
        marks = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
        return any(self.path(mark).exists() for mark in marks)

    def has_pci(self, vendor: str, classes: tuple[str, ...]) -> bool:
        """Whether there is a PCI device of a vendor (such as ``0x10de``) in a class (begin of its number)."""
        devices = self.path("/sys/bus/pci/devices")
        folders = devices.iterdir() if devices.is_dir() else ()
        return any(
            _read(folder / "vendor") == vendor and _read(folder / "class").startswith(classes) for folder in folders
        )

    def devices(self, pattern: str) -> bool:
        """Whether there are device files of a name."""
        return any(self.path("/dev").glob(pattern))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
