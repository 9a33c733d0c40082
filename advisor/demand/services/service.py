"""Replicas of one model among the engines that were read, under any of its names, each counted once."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from advisor.demand.services.readings import EngineView
from advisor.demand.services.replicas import (
    Minutes,
    Replica,
    begun,
    by_one_clock,
    clock_shifts,
    minutes_of,
    replicas_of,
)
from advisor.demand.services.twins import distinct
from advisor.names import architecture_key
from advisor.records import dataclass

_CACHE_FOLDER = re.compile(r"models--.*?--([^/]+)")
_REVISION = re.compile(r"(?:[0-9a-f]{7,64}|main|latest|snapshots|\d+)")
_STORED = re.compile(
    r"-(?:fp8|fp4|nvfp4|mxfp4|bf16|fp16|int[48]|[48]-?bit|awq|gptq|bnb|gguf|marlin|dynamic|block|quantized|turbo|w\d+a\d+|q\d\w*)$"
)
_SIZE = re.compile(r"\d[bm](?![a-z])")


def served_key(name: str) -> str:
    """Key of the model in a name: owner, path, case, marks and storage precision aside.

    ``meta-llama/Llama-3.1-8B-Instruct``, ``/models/llama_3.1_8b_instruct/`` and
    ``RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic`` have one key.
    """
    key = re.sub(r"[_.:\s]+", "-", _last_part(name).casefold()).removeprefix("meta-")
    while (shorter := _STORED.sub("", key)) != key:
        key = shorter
    return key.replace("-", "")


def loose_key(name: str) -> str:
    """Key as by :func:`served_key`, with the tuning left out too: how an engine runs it is the same."""
    return served_key(architecture_key(re.sub(r"[_.:\s]+", "-", _last_part(name).casefold())))


def _last_part(name: str) -> str:
    """The part of a path or repository that names the model."""
    parts = [part for part in re.split(r"[/\\]", name.strip()) if part]
    for part in reversed(parts):
        folder = _CACHE_FOLDER.fullmatch(part)
        if folder:
            return folder[1]
        if not _REVISION.fullmatch(part):
            return part
    return parts[-1] if parts else name


def matching(wanted: str, served: Sequence[str], *, is_stated: bool = False) -> tuple[str, ...]:
    """Served names that mean the wanted model, by the strictest comparison that finds any.

    Args:
        wanted: name of a model.
        served: as engines call theirs.
        is_stated: whether it was written down as one of the served names; spelled so, it means no other.
    """
    keys = (str.casefold, served_key, loose_key) if is_stated else (served_key, loose_key)
    for key in keys:
        same = tuple(name for name in served if key(name) == key(wanted))
        if same:
            return same
    return ()


def is_alias(name: str, models: Sequence[str]) -> bool:
    """Whether a name says nothing of which model it is: no owner, no size, no family of a known model."""
    families = {match[0] for model in models if (match := re.match(r"[a-z]{3,}", served_key(model)))}
    key = served_key(name)
    return "/" not in name and not _SIZE.search(key) and not any(family in key for family in families)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose demand is asked for, and what the workload states of it."""

    model: str
    """Of the workload."""
    where: str
    """The source, for messages."""
    field: str
    """Where the workload names the source, such as ``demand.samples``."""
    served_as: str | None = None
    """Name under which the engines serve it; None: one of the model's own."""
    known_models: tuple[str, ...] = ()
    """Names of models, by which a name that belongs to another model is told from an alias."""
    context_tokens: int | None = None
    """No request is longer; None: unknown."""
    input_tokens: float | None = None
    """Stated, for engines that do not count them."""
    output_tokens: float | None = None
    requests_per_day: float | None = None
    """Stated volume, which counters make unneeded."""
    is_one_pass: bool = False
    """Whether requests are answered in one pass: lengths are stated as the size of an item and the items of a request,
    and what is not stated is counted in texts and their tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """The replicas of one model, each once."""

    replicas: Sequence[Replica]
    twins: Sequence[tuple[Replica, Replica]]
    minutes: Minutes | None
    """What was counted over long gaps left unknown."""
    level: Minutes | None
    """The same with that laid evenly over the gaps."""
    shifts: Mapping[str, float]
    """Seconds by which clocks of hosts were ahead of most others'."""

    @property
    def views(self) -> list[EngineView]:
        """View of each replica that is counted."""
        return list({id(replica.view): replica.view for replica in self.replicas}.values())

    @property
    def mean(self) -> float | None:
        """Requests per second; None: unknown."""
        for minutes in (self.level, self.minutes):
            if minutes is not None and not np.isnan(minutes.requests).all():
                return float(np.nanmean(minutes.requests)) / minutes.step_seconds
        return None


def service_of(views: Sequence[EngineView]) -> Service:
    """Replicas of one model, each counted once whoever read it."""
    kept, twins = distinct([replica for view in views for replica in replicas_of(view)])
    shifts = clock_shifts(kept)
    replicas = begun(by_one_clock(kept, shifts))
    level = minutes_of(replicas, np.inf)
    if level is not None and np.isnan(level.requests).all():
        level = minutes_of(replicas, np.inf, with_starts=True)
    return Service(replicas, twins, minutes_of(replicas), level, shifts)
