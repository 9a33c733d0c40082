"""Accelerators and engines that a server knows: series of all exporters put together by who they are of."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from advisor.records import dataclass, replace
from advisor.samples.exporters import Exporter
from advisor.samples.query.prometheus.api import quoted
from advisor.samples.query.values import Accelerator, Window

Identity = tuple[object, ...]
"""What makes series those of one accelerator: its UUID, wherever it is plugged in; else its place."""
_BARE_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PORT = re.compile(r":\d+$")
_UNKNOWN_INDEX = -1
_BY_UUID = "uuid"


@dataclass(frozen=True, slots=True)
class Source:
    """Labels under which an exporter has series of an accelerator."""

    exporter: Exporter
    labels: Mapping[str, str]

    @property
    def host_label(self) -> tuple[str, str]:
        """Label and value that say which host it is on; ("", "") where none does."""
        return next(((label, self.labels[label]) for label in self.exporter.host if self.labels.get(label)), ("", ""))

    @property
    def host(self) -> str:
        """Name of the host, without a port."""
        return _PORT.sub("", self.host_label[1]) or "unknown"


@dataclass(frozen=True, slots=True)
class Sighting:
    """An accelerator, and where its series are."""

    accelerator: Accelerator
    identity: Identity
    sources: tuple[Source, ...]

    @property
    def has_uuid(self) -> bool:
        """Whether it is told by its UUID, not by its place."""
        return self.identity[0] == _BY_UUID

    def hosts(self, exporter: Exporter) -> set[tuple[str, str]]:
        """Host labels and values under which an exporter has had it."""
        return {source.host_label for source in self.sources if source.exporter == exporter}


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """Contents of a window."""

    window: Window
    names: frozenset[str]
    """Of all metrics that have samples in it."""
    sightings: tuple[Sighting, ...]
    closed: bool
    """Whether a range includes a sample at its very start."""

    @property
    def length_us(self) -> int:
        """Length of the window."""
        return self.window.end_us - self.window.start_us

    def range(self, length_us: int) -> str:
        """Range of *length_us*, without a sample at the very start."""
        return f"{length_us // 1000 - (1 if self.closed else 0)}ms"

    @property
    def whole(self) -> str:
        """The window as a range selector."""
        return f"[{self.range(self.length_us)}]"


def identity_of(exporter: Exporter, labels: Mapping[str, str]) -> Identity:
    """Identity that series with these labels are of."""
    source = Source(exporter, labels)
    uuid, mig, index = (_first(labels, names) for names in (exporter.uuid, exporter.mig, exporter.index))
    if uuid and not exporter.serves:
        return (_BY_UUID, _whole_uuid(uuid), mig)
    product = _first(labels, exporter.product) if exporter.serves else ""
    return ("engine" if exporter.serves else "place", source.host, uuid, index, mig, product)


def put_together(sources: Iterable[Source], infos: Mapping[str, Mapping[str, str]]) -> list[Sighting]:
    """Accelerators in order of host, index and MIG instance.

    Args:
        sources: every place that was seen, the newest last, the exporters in order of preference.
        infos: labels of exporters' info metrics, by UUID as they write it.
    """
    by_identity: defaultdict[Identity, list[Source]] = defaultdict(list)
    for source in sources:
        by_identity[identity_of(source.exporter, source.labels)].append(source)
    sightings = [
        Sighting(_accelerator(sources, infos), identity, tuple(sources)) for identity, sources in by_identity.items()
    ]
    return sorted(_numbered(sightings), key=lambda sighting: sighting.accelerator.place)


def matcher(label: str, values: Iterable[str]) -> str:
    """A selector's part for any of some values; whatever is in them, they stand for themselves."""
    unique = sorted(set(values))
    if len(unique) == 1:
        return f"{label}={quoted(unique[0])}"
    return f"{label}=~{quoted('|'.join(re.escape(value) for value in unique))}"


def _accelerator(sources: Sequence[Source], infos: Mapping[str, Mapping[str, str]]) -> Accelerator:
    """Accelerator as the best exporter names it, at the place where that saw it last."""
    best = [source for source in sources if source.exporter == sources[0].exporter][-1]
    exporter, labels = best.exporter, best.labels
    uuid = _first(labels, exporter.uuid)
    described = {**infos.get(uuid, {}), **labels}
    mig = _first(labels, exporter.mig)
    return Accelerator(
        host=best.host,
        index=_whole(_first(described, exporter.index)),
        mig_index=_whole(mig) if mig else None,
        uuid=(uuid if exporter.serves else _whole_uuid(uuid)) or None,
        product=_first(described, exporter.product) or None,
    )


def _numbered(sightings: Sequence[Sighting]) -> list[Sighting]:
    """Accelerators; those whose labels give no number get one, in order of their UUIDs."""
    taken: defaultdict[str, set[int]] = defaultdict(set)
    for sighting in sightings:
        taken[sighting.accelerator.host].add(sighting.accelerator.index)
    numbered = []
    for sighting in sorted(sightings, key=lambda each: each.accelerator.place):
        accelerator = sighting.accelerator
        if accelerator.index == _UNKNOWN_INDEX:
            used = taken[accelerator.host]
            index = next(number for number in range(len(used) + 1) if number not in used)
            used.add(index)
            accelerator = replace(accelerator, index=index)
        numbered.append(replace(sighting, accelerator=accelerator))
    return numbered


def _first(labels: Mapping[str, str], names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() else _UNKNOWN_INDEX


def _whole_uuid(uuid: str) -> str:
    """UUID with the GPU- that some exporters leave out."""
    return f"GPU-{uuid.lower()}" if _BARE_UUID.fullmatch(uuid) else uuid
