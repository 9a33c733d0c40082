"""Controls of a page that is served: what of its question can be changed, and where the change goes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Control:
    """A part of the question; its key is that of the workload file (``slo.tpot_p95``), or ``demand``."""

    key: str
    label: str
    stated: str
    """Value without a change, several joined by ``+``; "" for none."""
    choices: Mapping[str, tuple[str, ...]] | None = None
    """Group → values to choose from; None: a text is typed."""

    @property
    def values(self) -> tuple[str, ...]:
        """Every value that can be chosen."""
        return tuple(value for group in (self.choices or {}).values() for value in group)


@dataclass(frozen=True, slots=True)
class Step:
    """Control as a page shows it."""

    control: Control
    value: str
    lower: str = ""
    """Value one step below that of a typed amount; "" where there is none."""
    higher: str = ""

    @property
    def chosen(self) -> frozenset[str]:
        """Values that are ticked."""
        return frozenset(self.value.split("+"))


@dataclass(frozen=True, slots=True)
class Live:
    """Head of a served page, above the plan."""

    action: str
    """Path that a changed question is sent to."""
    secret: str
    """Text that only this page knows, which a change has to bring along."""
    steps: tuple[Step, ...]
    downloads: Mapping[str, str]
    """Name → path."""
    changes: str
    """Changes against what is stated: ``demand=2x``; "" for nothing."""
    whole: str = ""
    """Path of the whole plan, where this is the first answer to a change; "" where it is the whole plan itself."""
