"""Values that cannot be taken as they stand: names with two scales, profiling counters that are stuck at 0."""

from collections import defaultdict
from collections.abc import Sequence

from advisor.samples.exporters import Name
from advisor.samples.query.prometheus.api import quoted
from advisor.samples.query.prometheus.fleet import Fleet, Identity, Sighting, matcher
from advisor.samples.query.prometheus.over_time import GREATEST, ByIdentity, Questions, series_of

_BUSY_AT_LEAST = 0.05
"""A reading above this cannot go with profiling counters at 0."""
_LOOK_EVERY_US = 300_000_000
_LEAST_SHARE = 0.02
"""Share of the window in which a counter has to be seen at 0 on a busy accelerator."""
_NEVER_ZERO_WHEN_BUSY = ("sm_active_ratio", "sm_occupancy_ratio", "dram_active_ratio")


def believed(
    questions: Questions, fleet: Fleet, metric: str, name: Name, chunk: Sequence[Sighting], stats: ByIdentity
) -> ByIdentity:
    """Statistics of a name that can be believed, in our unit; the rest is unknown, and said to be."""
    if name.has_two_scales:
        stats = _with_one_scale(questions, fleet, name, chunk, stats)
    suspects = [sighting for sighting in chunk if sighting.identity in stats and stats[sighting.identity].max == 0]
    stuck = _stuck(questions, fleet, metric, suspects) if name.profiles and suspects else set()
    if stuck:
        at_zero = f"accelerators had {name.name} at 0 throughout while they were busy: it is stuck, so taken as unknown"
        questions.notes.count(at_zero, len(stuck))
    if name.profiles and metric != "tensor_active_ratio":
        _say_partly_stuck(
            questions, fleet, name, [sighting for sighting in chunk if sighting.identity in stats.keys() - stuck]
        )
    return {identity: statistics for identity, statistics in stats.items() if identity not in stuck}


def _stuck(questions: Questions, fleet: Fleet, metric: str, suspects: Sequence[Sighting]) -> set[Identity]:
    """Accelerators at 0 that cannot be: another counter saw them work.

    Tensor cores may rest while an accelerator is busy: they are stuck only where every profiling counter is.
    """
    busy = {name for name in questions.table.names["busy_ratio"] if not name.profiles and not name.has_two_scales}
    stuck = _above(questions, fleet, suspects, busy, _BUSY_AT_LEAST)
    if metric == "tensor_active_ratio":
        others = {name for other in _NEVER_ZERO_WHEN_BUSY for name in questions.table.names[other] if name.profiles}
        stuck -= _above(questions, fleet, suspects, others, 0.0)
    return stuck


def _say_partly_stuck(questions: Questions, fleet: Fleet, name: Name, chunk: Sequence[Sighting]) -> None:
    """Say of how many accelerators a counter stood at 0 for a part of the time in which they were busy."""
    seeing = (candidate for candidate in questions.table.names["busy_ratio"] if _sees_it_work(candidate, name))
    busy = next((name for name in seeing if name.name in fleet.names), None)
    if busy is None or not chunk:
        return
    step_us = max(_LOOK_EVERY_US, questions.interval_us(fleet, name))
    same = ", ".join((*name.exporter.uuid, *name.exporter.mig))
    works = f"> {_BUSY_AT_LEAST / busy.scale:g}"
    rows = f"[{fleet.range(fleet.length_us)}:{step_us // 1000}ms]"

    def query(selector: str) -> str:
        other = selector.replace(quoted(name.name), quoted(busy.name), 1)
        return f"count_over_time(({selector} == 0 and on ({same}) {other} {works}){rows})"

    seen = series_of(questions, fleet, name, chunk, query)
    least = _LEAST_SHARE * fleet.length_us / step_us
    wanted = {sighting.identity for sighting in chunk}
    partly = [
        who for who, serieses in seen.items() if who in wanted and sum(series.value for series in serieses) > least
    ]
    if partly:
        part = (
            f"accelerators had {name.name} at 0 for a part of the time in which they were busy: its figures are too low"
        )
        questions.notes.count(part, len(partly))


def _sees_it_work(busy: Name, name: Name) -> bool:
    unlike = busy.profiles or busy.has_two_scales or busy.only != name.only
    return busy.exporter == name.exporter and not unlike


def _above(
    questions: Questions, fleet: Fleet, chunk: Sequence[Sighting], names: set[Name], least: float
) -> set[Identity]:  # fmt: skip
    """Accelerators of which any of these names was ever above a value."""
    above: set[Identity] = set()
    for name in sorted(names, key=lambda name: name.name):
        if name.name in fleet.names:
            series = series_of(questions, fleet, name, chunk, GREATEST)
            above |= {
                who for who, serieses in series.items() if max(series.value for series in serieses) * name.scale > least
            }
    return above


def _with_one_scale(
    questions: Questions, fleet: Fleet, name: Name, chunk: Sequence[Sighting], stats: ByIdentity
) -> ByIdentity:  # fmt: skip
    """Ratios, whichever of 0..1 and 0..100 each host's exporter gives; hosts that leave it open are left out."""
    greatest: defaultdict[str, float] = defaultdict(float)
    sightings = [sighting for sighting in chunk if sighting.identity in stats]
    for sighting in sightings:
        greatest[sighting.accelerator.host] = max(greatest[sighting.accelerator.host], stats[sighting.identity].max)
    scales = {
        host: _scale(
            questions, fleet, name, [sighting for sighting in sightings if sighting.accelerator.host == host], top
        )
        for host, top in greatest.items()
    }
    for host, scale in scales.items():
        if greatest[host] > 0:
            questions.notes.say(_scale_words(name, host, scale))
    return {
        sighting.identity: stats[sighting.identity].scaled(scale)
        for sighting in sightings
        if (scale := scales[sighting.accelerator.host]) is not None
    }


def _scale(
    questions: Questions, fleet: Fleet, name: Name, here: Sequence[Sighting], greatest: float
) -> float | None:  # fmt: skip
    """Factor that makes a ratio of a host's values; None where they fit both scales."""
    if greatest > 1:
        return 0.01
    if greatest < 1:
        return 1.0
    rows = f"[{fleet.range(fleet.length_us)}:{questions.interval_us(fleet, name) // 1000}ms]"
    for label, value in sorted({host for sighting in here for host in sighting.hosts(name.exporter)}):
        selector = questions.select(name, matcher(label, [value]) if label else "")
        fractions = questions.api.instant(f"max(max_over_time(({selector} % 1){rows}))", fleet.window.end_us)
        if fractions and fractions[0].value > 0:
            return 1.0
    return None


def _scale_words(name: Name, host: str, scale: float | None) -> str:
    if scale is None:
        return (
            f"{name.name} of {host} is never above 1 and never a fraction: 0..1 and 0..100 cannot be told apart, so it "
            "is left out"
        )
    why = "goes above 1: it is taken as 0..100" if scale < 1 else "is never above 1: it is taken as 0..1"
    return f"{name.name} {why}"
