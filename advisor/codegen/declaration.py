"""An input or output of generated code, as its README lists it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Declaration:
    """A variable, a setting or an output."""

    name: str
    description: str
    type: str
    default: str
    """As written in the code; empty for one that has to be given, and for an output."""
