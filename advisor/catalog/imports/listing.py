"""List of a provider by another program, in one form whatever the program."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a row is left out."""

    PROVIDER = "provider"
    """The catalog does not know the provider."""
    REGION = "region"
    ACCELERATOR = "accelerator"
    """The catalog does not know it, or several of that name."""
    TYPE = "type"
    """A type that is not made up here, such as one more machine to attach accelerators to."""
    CONTRADICTION = "contradiction"
    """It has another number of accelerators in the catalog."""
    OTHERWISE_PAID = "otherwise_paid"
    NO_ACCELERATOR = "no_accelerator"
    IMPLAUSIBLE = "implausible"
    """Spot above on demand, or of nearly nothing."""
    UNREADABLE = "unreadable"
    """The package could not read it."""
    PART = "part"
    """The price of a machine without its accelerators or disks, or of these alone."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not taken."""

    reason: Reason
    what: str
    """What the catalog does not know, or where it contradicts."""


@dataclass(frozen=True, slots=True)
class Item:
    """A price of a machine in a place, as the program lists it. None is unknown."""

    instance_name: str
    location: str
    usd_per_hour: float
    """Zero, negative or not a number where it is sold at an unknown price."""
    is_spot: bool
    accelerator_name: str | None
    accelerator_count: float
    """0 where it has none."""
    accelerator_memory_gb: float | None
    vcpus: int | None
    is_arm: bool
    flags: tuple[str, ...] = ()
    zones_usd_per_hour: tuple[float, float] | None = None
    """Lowest and highest price of its zones, where these are listed."""


@dataclass(frozen=True, slots=True)
class Listing:
    """List of one provider by a program."""

    provider: str
    """Our name; "" where the catalog does not know it."""
    named: str
    """As the program names it."""
    items: tuple[Item, ...]
    as_of: str
    """ISO date of the list."""
    source: str
    """Title of the source."""
    left_out: tuple[LeftOut, ...] = ()
    """Rows that the reader did not make an item of."""
