"""Finding out which accelerators and engines have samples in a window, under whatever labels."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from advisor.samples.exporters import Name, NameTable
from advisor.samples.exporters.meanings import GAUGES
from advisor.samples.query.prometheus.api import quoted
from advisor.samples.query.prometheus.fleet import Fleet, Identity, Source, identity_of, matcher, put_together
from advisor.samples.query.prometheus.questions import Questions
from advisor.samples.query.prometheus.timing import includes_start, latest
from advisor.samples.query.values import Window

_ANCHORS = ("memory_used_bytes", "busy_ratio", "power_watts", "requests_running", "kv_cache_used_ratio")
"""What finds accelerators and engines: any one of them."""


def discover(questions: Questions, window: Window) -> Fleet:
    """Everything that has samples in a window.

    Raises:
        InputError: the server cannot be asked.
    """
    empty = Fleet(window, questions.names(window), (), includes_start(questions.api, window.end_us))
    sources = [source for name in anchors(questions.table, empty.names) for source in _sources(questions, empty, name)]
    sightings = put_together(_newest_last(questions, empty, sources), _infos(questions, empty))
    return replace(empty, sightings=tuple(sightings))


def anchors(table: NameTable, names: frozenset[str]) -> list[Name]:
    """Names to find accelerators by, the agent's own first; of an exporter that has none of them whatever it has."""
    known = [name for metric in _ANCHORS for name in table.names[metric] if name.name in names]
    others = [name for metric in GAUGES for name in table.names[metric] if name.name in names]
    missing = {name.exporter for name in others} - {name.exporter for name in known}
    known += [name for name in others if name.exporter in missing]
    return sorted(known, key=lambda name: name.exporter.row_seconds is None)


def _sources(questions: Questions, fleet: Fleet, name: Name) -> list[Source]:
    """Places at which a name has samples in the window."""
    labels = ", ".join(dict.fromkeys(name.exporter.identity))
    label, hosts = _hosts(questions, fleet, name)

    def query(some: Sequence[str]) -> str:
        narrowed = questions.select(name, matcher(label, some) if label else "")
        return f"count by ({labels}) (last_over_time({narrowed}{fleet.whole}))"

    return [
        Source(name.exporter, dict(in_chunk.labels))
        for in_chunk in questions.in_chunks(query, hosts, fleet.window.end_us)
    ]


def _hosts(questions: Questions, fleet: Fleet, name: Name) -> tuple[str, list[str]]:
    """The label that tells hosts apart, and its values; ("", [""]) where there is none."""
    window, selector = fleet.window, questions.select(name)
    for label in name.exporter.host:
        values = questions.api.label_values(label, window.start_us, window.end_us, selector)
        if hosts := [value for value in values if value]:
            return label, hosts
    return "", [""]


def _newest_last(questions: Questions, fleet: Fleet, sources: Sequence[Source]) -> list[Source]:
    """Sources in order: of accelerators seen on several hosts, the host that they are on now comes last."""
    hosts: defaultdict[Identity, set[str]] = defaultdict(set)
    for source in sources:
        hosts[identity_of(source.exporter, source.labels)].add(source.host)
    moved = {identity for identity, names in hosts.items() if len(names) > 1}

    def last_seen_us(source: Source) -> int:
        if identity_of(source.exporter, source.labels) not in moved:
            return 0
        matchers = [f"{label}={quoted(value)}" for label, value in source.labels.items()]
        names = [name for name in anchors(questions.table, fleet.names) if name.exporter == source.exporter]
        seen = (latest(questions.api, questions.select(name, *matchers), fleet.window) for name in names)
        return max((at_us or 0 for at_us in seen), default=0)

    return sorted(sources, key=last_seen_us)


def _infos(questions: Questions, fleet: Fleet) -> dict[str, Mapping[str, str]]:
    """Labels of info metrics by the UUID in them."""
    infos: dict[str, Mapping[str, str]] = {}
    for info in sorted({exporter.info or "" for exporter in questions.table.exporters.values()} & fleet.names):
        answer = questions.api.instant(f"last_over_time({questions.select(info)}{fleet.whole})", fleet.window.end_us)
        infos |= {series.labels.get("uuid", ""): series.labels for series in answer}
    return infos
