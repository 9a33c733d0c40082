"""A plan as a page with controls, served on loopback.

::

    guard ─▶ app ─▶ sessions ─▶ work: changes ─▶ question ─▶ pipeline ─▶ page
    who may   paths   what was    in a process of its own, which ends when a newer change comes
    ask               planned

The first answer to a change is a fleet of few types: those of the plan before it and of its cheapest options. The
plan takes its place once it is made.

Only ``guard`` and ``app`` know of HTTP. The server itself reads no workload and plans nothing, so that it
answers at any time. Here are the values that pass between it and the processes that plan for it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.demand.values import Demand
from advisor.records import dataclass, replace
from advisor.report.pages.rendering import Control
from advisor.workload.values import Workload

_PLAN = re.compile(r"\s*\{\s*\"schema\"\s*:")
Changes = tuple[tuple[str, str], ...]
"""Changes against what is stated: keys as `advisor explain --what-if` has them, and their values."""


@dataclass(frozen=True, slots=True)
class Source:
    """Text that plans are made from: a workload file, or a plan."""

    text: str
    path: Path
    """Its file: paths in it are relative to that, and messages name it."""
    is_own: bool
    """Whether it was given on the command line: only then may it name files and servers."""

    @property
    def is_plan(self) -> bool:
        """Whether it is a plan rather than a workload file."""
        return _PLAN.match(self.text) is not None


@dataclass(frozen=True, slots=True)
class Place:
    """Paths and secret of a page."""

    action: str
    secret: str
    folder: str
    """Path of its downloads."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a fleet is, and what it is of: what the first answer to a change is chosen from."""

    providers: tuple[str, ...]
    regions: tuple[str, ...]
    instance_types: tuple[str, ...]
    precisions: tuple[str, ...]

    def within(self, workload: Workload) -> Workload | None:
        """A workload with this scope alone, as far as it allows it; None where it leaves nothing of it."""
        allowed: dict[str, Any] = {}
        for limit in ("providers", "regions", "instance_types", "precisions"):
            stated = getattr(workload, limit)
            allowed[limit] = tuple(name for name in getattr(self, limit) if not stated or name in stated)
        return replace(workload, **allowed) if all(allowed.values()) else None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A plan, and all that is shown and handed out of it."""

    page: str
    plan: str
    """As JSON."""
    workload: str
    """Text of the changed workload file; "" where a plan was given."""
    controls: tuple[Control, ...]
    ahead: tuple[Changes, ...]
    """Changes that are a step away from this one."""
    demand: Demand | None
    """Demand as it was measured, for the next plan; None: it is stated."""
    scope: Scope | None
    """Fleet of it; None: there is none."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no answer, in words with the remedy."""

    message: str
    status: int = 422


@dataclass(frozen=True, slots=True)
class Form:
    """Fields of a form as they were sent, each with its values."""

    fields: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        """Last value of a field; "" where there is none."""
        return self.fields.get(name, ("",))[-1].strip()
