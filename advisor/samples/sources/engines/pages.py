"""From a metrics page to values: only the series that are wanted, and 40 KB in a fraction of a millisecond.

One regular expression that knows the wanted names goes through the page. What the labels of a series mean is worked out
once and remembered from page to page: each series has a slot.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from advisor.samples.metrics import METRICS, Kind
from advisor.samples.rows import Buckets
from advisor.samples.sources.engines.dialects import Dialect, Series
from advisor.samples.sources.engines.exposition import line_pattern, read_labels, read_number

MOST_TARGETS = 64
"""Models × ranks of one page; what is beyond is left out and said."""
_MOST_REMEMBERED = 8192
_UNNAMED = -1
"""Rank of a series that does not name it."""
_LONGEST_RANK = 6

_Target = tuple[str | None, int]
"""Model and rank."""
_Parts = Mapping[tuple[str, float], float]
"""Of one series: by part (``""`` for a plain value, ``_bucket``, ``_sum``, ``_count``) and upper bound (else 0)."""


@dataclass(frozen=True, slots=True)
class EngineValues:
    """What a page says about one model on one rank."""

    model: str | None
    """None: the page does not say."""
    rank: int
    values: Mapping[str, float]
    buckets: Mapping[str, Buckets]


@dataclass(frozen=True, slots=True)
class Page:
    """What was understood of a page."""

    engines: Sequence[EngineValues]
    malformed_lines: int
    """Lines of wanted series that could not be read."""
    remarks: Sequence[str]
    """What was left out, and why."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """One value of a page, whatever ranks that work together it comes from."""

    target: _Target
    series: int
    part: str
    bound: float
    others: tuple[tuple[str, str], ...]
    """Labels that nothing here knows: the series that differ in them are summed."""


class PageReader:
    """Reads pages of one engine."""

    def __init__(self, dialect: Dialect) -> None:
        """Prepare for the names of *dialect*."""
        self._dialect = dialect
        self._series = (*dialect.series, *(part for pair in dialect.quotients.values() for part in pair))
        self._wanted = _names_on_page(self._series)
        self._lines = line_pattern(dialect.prefix, self._wanted)
        self._slots: list[_Slot] = []
        self._numbers: dict[_Slot, int] = {}
        self._known: dict[tuple[str, str], Sequence[int] | None] = {}

    def speaks(self, text: str) -> bool:
        """Whether the page has series of this engine."""
        return any(text.startswith(start) or f"\n{start}" in text for start in self._dialect.starts)

    def read(self, text: str) -> Page:
        """The wanted series of a page; a line of one that does not follow the format is counted and skipped."""
        if len(self._known) > _MOST_REMEMBERED:
            self._forget()
        known = self._known
        highest: dict[int, float] = {}
        malformed = 0
        for name, labels, number, _ in self._lines.findall(f"\n{text}"):
            identity = (name, labels)
            numbers = known[identity] if identity in known else self._learn(name, labels)
            value = read_number(number)
            if numbers is None or value is None:
                malformed += 1
                continue
            for slot in numbers:
                highest[slot] = max(value, highest.get(slot, value))
        return self._assemble(highest, malformed)

    def _forget(self) -> None:
        self._known.clear()
        self._slots.clear()
        self._numbers.clear()

    def _learn(self, name: str, text: str) -> Sequence[int] | None:
        """Slots of a series; None where its labels are malformed."""
        labels = read_labels(text)
        numbers = None if labels is None else self._slots_of(name, dict(labels))
        self._known[name, text] = numbers
        return numbers

    def _slots_of(self, name: str, labels: dict[str, str]) -> Sequence[int] | None:
        bound = read_number(labels.pop("le", "")) if name.endswith("_bucket") else 0.0
        if bound is None or math.isnan(bound):
            return None
        target = self._target(labels)
        for follower in self._dialect.follower_labels:
            labels.pop(follower, None)
        others = tuple(sorted(labels.items()))
        return [
            self._number(_Slot(target, series, part, bound, others))
            for series, part in self._wanted[name]
            if _counts(self._series[series], labels)
        ]

    def _target(self, labels: dict[str, str]) -> _Target:
        """Model and rank; takes their labels away."""
        models = [labels.pop(label, "") for label in self._dialect.model_labels]
        rank = labels.pop(self._dialect.rank_label, "")
        named = rank.isascii() and rank.isdigit() and len(rank) <= _LONGEST_RANK
        return next(filter(None, models), None), int(rank) if named else _UNNAMED

    def _number(self, slot: _Slot) -> int:
        if slot not in self._numbers:
            self._numbers[slot] = len(self._slots)
            self._slots.append(slot)
        return self._numbers[slot]

    def _assemble(self, highest: Mapping[int, float], malformed: int) -> Page:
        homes = _homes({self._slots[number].target for number in highest})
        found: dict[_Target, dict[int, dict[tuple[str, float], float]]] = defaultdict(lambda: defaultdict(dict))
        for number, value in highest.items():
            slot = self._slots[number]
            parts = found[homes[slot.target]][slot.series]
            key = (slot.part, slot.bound)
            ratio = METRICS[self._series[slot.series].metric].unit == "ratio"
            parts[key] = max(parts.get(key, value), value) if ratio else parts.get(key, 0.0) + value
        targets = sorted(found, key=lambda target: (target[0] or "", target[1]))
        remarks: list[str] = []
        if len(targets) > MOST_TARGETS:
            remarks.append(f"{len(targets) - MOST_TARGETS} of {len(targets)} models and ranks are left out")
        engines = [self._engine(target, found[target], remarks) for target in targets[:MOST_TARGETS]]
        return Page(engines, malformed, tuple(dict.fromkeys(remarks)))

    def _engine(self, target: _Target, found: Mapping[int, _Parts], remarks: list[str]) -> EngineValues:
        values: dict[str, float] = {}
        buckets: dict[str, Buckets] = {}
        for number, series in enumerate(self._dialect.series):
            if number not in found or series.metric in values or series.metric in buckets:
                continue
            if series.kind is Kind.HISTOGRAM:
                _add_histogram(series, found[number], buckets, remarks)
            elif math.isfinite(value := found[number]["", 0.0]):
                values[series.metric] = value
        self._add_quotients(found, values)
        return EngineValues(target[0], target[1], values, buckets)

    def _add_quotients(self, found: Mapping[int, _Parts], values: dict[str, float]) -> None:
        number = len(self._dialect.series)
        for metric in self._dialect.quotients:
            part, whole = (found.get(n, {}).get(("", 0.0), math.nan) for n in (number, number + 1))
            number += 2
            if metric not in values and math.isfinite(part) and math.isfinite(whole) and whole > 0:
                values[metric] = part / whole


def _names_on_page(series: Sequence[Series]) -> Mapping[str, Sequence[tuple[int, str]]]:
    """By name as it stands on a page: the numbers of the series that want it, and the part that it is."""
    wanted: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, one in enumerate(series):
        for part in ("_bucket", "_sum", "_count") if one.kind is Kind.HISTOGRAM else ("",):
            wanted[one.name + part].append((number, part))
        if one.kind is Kind.COUNTER:
            wanted[f"{one.name}_total"].append((number, ""))
    return wanted


def _counts(series: Series, labels: Mapping[str, str]) -> bool:
    label, refused = series.never
    return (series.only is None or labels.get(series.only[0]) == series.only[1]) and labels.get(label) not in refused


def _homes(targets: Collection[_Target]) -> Mapping[_Target, _Target]:
    """What a model's ranks counted together stands on the first of them, so that sums over ranks hold."""
    first: dict[str | None, int] = {}
    for model, rank in targets:
        if rank != _UNNAMED:
            first[model] = min(rank, first.get(model, rank))
    return {(model, rank): (model, first.get(model, 0) if rank == _UNNAMED else rank) for model, rank in targets}


def _add_histogram(series: Series, parts: _Parts, buckets: dict[str, Buckets], remarks: list[str]) -> None:
    """A histogram with the bounds that the page has; one that is not whole is left out with a remark."""
    bounds = sorted(bound for part, bound in parts if part == "_bucket")
    counts = [parts["_bucket", bound] for bound in bounds]
    if bounds and not math.isinf(bounds[-1]) and ("_count", 0.0) in parts:
        bounds, counts = [*bounds, math.inf], [*counts, parts["_count", 0.0]]
    total = parts.get(("_sum", 0.0), math.nan)
    rising = all(math.isfinite(n) for n in counts) and all(a <= b for a, b in pairwise(counts))
    if not counts or not math.isinf(bounds[-1]) or not rising or not math.isfinite(total):
        remarks.append(f"histogram {series.name} is not whole")
        return
    buckets[series.metric] = Buckets(tuple(b * series.scale for b in bounds), tuple(counts), total * series.scale)
