"""PromQL: statistics over a window by ``*_over_time``, which the server evaluates itself, so many hosts at a time.

Where one accelerator is several series (labels for pods come and go, hosts are renamed), they are merged row by row in
a subquery, the greater counting where two speak of the same row; its rows are whole intervals back from the end of the
window.

Accelerators and engines that a server knows: series of all exporters put together by who they are of.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from advisor.records import dataclass, field, first_of, replace
from advisor.samples.exporters import Exporter, Name, NameTable, table_with
from advisor.samples.query import Accelerator, Window
from advisor.samples.query.prometheus.api import PrometheusApi, Rhythm, Series, TooMuchError, quoted, rhythm

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
    uuid, mig, index = (first_of(labels, names) for names in (exporter.uuid, exporter.mig, exporter.index))
    if exporter.serves:
        return ("engine", source.host, uuid, index, mig, first_of(labels, exporter.product))
    return (_BY_UUID, _whole_uuid(uuid), mig) if uuid else ("place", source.host, uuid, index, mig, "")


def put_together(sources: Iterable[Source], infos: Mapping[str, Mapping[str, str]]) -> list[Sighting]:
    """Accelerators in order of host, index and MIG instance.

    *sources* have the newest last, the exporters in order of preference; *infos* are labels of info metrics by UUID.
    """
    by_identity: defaultdict[Identity, list[Source]] = defaultdict(list)
    for source in sources:
        by_identity[identity_of(source.exporter, source.labels)].append(source)
    sightings = [Sighting(_accelerator(some, infos), identity, tuple(some)) for identity, some in by_identity.items()]
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
    uuid = first_of(labels, exporter.uuid)
    described = {**infos.get(uuid, {}), **labels}
    mig = first_of(labels, exporter.mig)
    return Accelerator(
        host=best.host,
        index=_whole(first_of(described, exporter.index)),
        mig_index=_whole(mig) if mig else None,
        uuid=(uuid if exporter.serves else _whole_uuid(uuid)) or None,
        product=first_of(described, exporter.product) or None,
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


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() else _UNKNOWN_INDEX


def _whole_uuid(uuid: str) -> str:
    """UUID with the GPU- that some exporters leave out."""
    return f"GPU-{uuid.lower()}" if _BARE_UUID.fullmatch(uuid) else uuid


_RHYTHM_HOSTS = 5
_FALLBACK_US = 60_000_000


@dataclass(slots=True)
class Notes:
    """Sentences in the order in which they were first said, and counts of what was met."""

    _said: dict[str, None] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    def say(self, sentence: str) -> None:
        """Say something once, however often it is met."""
        self._said[sentence] = None

    def count(self, what: str, number: int) -> None:
        """Add to how many of something were met."""
        self._counts[what] += number

    def all(self) -> tuple[str, ...]:
        """Everything that was said, counts last."""
        return (*self._said, *(f"{count:,} {what}" for what, count in self._counts.items()))


@dataclass(slots=True)
class Questions:
    """How a server is asked."""

    api: PrometheusApi
    selector: str
    """Label matchers that every series has to meet."""
    hosts_at_once: int
    """Becomes less where the server's limits ask for it."""
    notes: Notes = field(default_factory=Notes)
    table: NameTable = field(default_factory=table_with)
    _rhythms: dict[tuple[Exporter, Window], Rhythm] = field(default_factory=dict)

    def select(self, name: Name | str, *parts: str) -> str:
        """A selector of one name, with some more matchers."""
        label, values = ("", ()) if isinstance(name, str) else name.only
        own = matcher(label, values) if label else ""
        matchers = (f"__name__={quoted(str(name))}", own, self.selector, *parts)
        return f"{{{', '.join(part for part in matchers if part)}}}"

    def names(self, window: Window) -> frozenset[str]:
        """Names that have samples in a window, of series that are asked for at all; none that could be anybody's."""
        match = f'{{__name__=~".+", {self.selector}}}' if self.selector else ""
        names = self.api.label_values("__name__", window.start_us, window.end_us, match)
        return self.table.signed(frozenset(names))

    def in_chunks(self, query: Callable[[Sequence[str]], str], hosts: Sequence[str], at_us: int) -> list[Series]:
        """Answers for all hosts, halving how many are asked for where a limit of the server's asks for it."""
        answers: list[Series] = []
        waiting = list(hosts)
        while waiting:
            some = waiting[: self.hosts_at_once]
            try:
                answers += self.api.instant(query(some), at_us)
            except TooMuchError:
                if len(some) == 1:
                    raise
                self.hosts_at_once = max(1, len(some) // 2)
                self.notes.say(f"the server's limits allow {self.hosts_at_once} hosts at a time")
                continue
            waiting = waiting[len(some) :]
        return answers

    def interval_us(self, fleet: Fleet, name: Name) -> int:
        """Length of a row: the scrape interval, and of the agent's own rows at least their fifteen seconds."""
        hosts = sorted({host for sighting in fleet.sightings for host in sighting.hosts(name.exporter)})
        label = hosts[0][0] if hosts else ""
        some = [value for other, value in hosts if other == label][: min(_RHYTHM_HOSTS, self.hosts_at_once)]
        return self.rhythm_of(name, matcher(label, some) if label else "", fleet.window).interval_us

    def rhythm_of(self, name: Name, narrowed: str, window: Window) -> Rhythm:
        """How often an exporter's series are sampled in a window."""
        key = (name.exporter, window)
        if key not in self._rhythms:
            interval = rhythm(self.api, self.select(name, narrowed), window)
            least_us = round((name.exporter.row_seconds or 0) * 1_000_000)
            if least_us and (interval is None or interval.interval_us <= least_us):
                self._rhythms[key] = Rhythm(least_us)
            else:
                self._rhythms[key] = interval or Rhythm(_FALLBACK_US)
                self._say_rhythm(name.exporter.name, interval)
        return self._rhythms[key]

    def _say_rhythm(self, who: str, interval: Rhythm | None) -> None:
        if interval is None:
            self.notes.say(f"{who}: too few samples to see how often it is scraped; coverage takes it as every 60 s")
            return
        seconds = interval.interval_us / 1e6
        self.notes.say(f"{who} is scraped every {seconds:g} s; a row is one scrape")
        if interval.varies:
            low, high = interval.varies
            self.notes.say(f"{who}: scrape intervals range from {low:g} s to {high:g} s; coverage is by {seconds:g} s")
        if interval.repeats > 1:
            self.notes.say(
                f"{who} holds each reading for {interval.repeats} scrapes: it reads every "
                f"{seconds * interval.repeats:g} s, and what happens in between is not seen"
            )


GREATEST = "max_over_time({})"
_COUNT = "count_over_time({})"
_OVER_TIME = {
    "p50": "quantile_over_time(0.5, {})",
    "p95": "quantile_over_time(0.95, {})",
    "max": GREATEST,
    "mean": "avg_over_time({})",
}


@dataclass(slots=True)
class Stats:
    """Statistics of one accelerator under one name."""

    p50: float
    p95: float
    max: float
    mean: float
    rows: int

    def scaled(self, scale: float) -> "Stats":
        """The same in another unit."""
        return Stats(self.p50 * scale, self.p95 * scale, self.max * scale, self.mean * scale, self.rows)


ByIdentity = dict[Identity, Stats]


def read_statistics(questions: Questions, fleet: Fleet, name: Name, chunk: Sequence[Sighting]) -> ByIdentity:
    """Statistics of a name, times its scale. Raises InputError if the server is silent, or a host above its limits."""
    wanted = {sighting.identity for sighting in chunk}
    counts = series_of(questions, fleet, name, chunk, _COUNT)
    several = {identity for identity, series in counts.items() if len(series) > 1} & wanted
    alone = {identity: series for identity, series in counts.items() if identity in wanted - several}
    stats: ByIdentity = {}
    if alone:
        values = {what: series_of(questions, fleet, name, chunk, function) for what, function in _OVER_TIME.items()}
        stats = _joined({**values, "rows": alone})
    if several:
        stats |= _merged(questions, fleet, name, [sighting for sighting in chunk if sighting.identity in several])
    if name.greatest and name.greatest in fleet.names and stats:  # row maxima count where rows have them
        greatest = series_of(questions, fleet, replace(name, name=name.greatest), chunk, GREATEST)
        for identity in stats.keys() & greatest.keys():
            stats[identity].max = max(stats[identity].max, *(series.value for series in greatest[identity]))
    return {identity: statistics.scaled(name.scale) for identity, statistics in stats.items()}


def series_of(
    questions: Questions, fleet: Fleet, name: Name, chunk: Sequence[Sighting], function: str | Callable[[str], str]
) -> dict[Identity, list[Series]]:
    """Series of a function over the whole window, by accelerator; of other accelerators on these hosts too.

    *function*: text with a place for the rows of the window; or what makes a query of a selector.
    """
    hosts: defaultdict[str, set[str]] = defaultdict(set)
    for sighting in chunk:
        for label, value in sighting.hosts(name.exporter):
            hosts[label].add(value)
    answers: list[Series] = []
    for label, values in hosts.items():

        def query(some: Sequence[str], label: str = label) -> str:
            narrowed = (matcher(label, some),) if label else ()
            selector = questions.select(name, *narrowed)
            return function.format(f"{selector}{fleet.whole}") if isinstance(function, str) else function(selector)

        answers += questions.in_chunks(query, sorted(values), fleet.window.end_us)
    return _by_identity(name.exporter, answers)


def _joined(values: dict[str, dict[Identity, list[Series]]]) -> ByIdentity:
    """Statistics of the accelerators that have all of them."""
    everywhere = set.intersection(*(set(value) for value in values.values()))
    stats: ByIdentity = {}
    for identity in everywhere:
        p50, p95, greatest, mean, rows = (values[what][identity][0].value for what in (*_OVER_TIME, "rows"))
        stats[identity] = Stats(p50, p95, greatest, mean, round(rows))
    return stats


def _merged(questions: Questions, fleet: Fleet, name: Name, several: Sequence[Sighting]) -> ByIdentity:
    """Statistics of accelerators that are several series each: host by host, but one by one where they moved."""
    what = f"times that an accelerator's {name.name} was several series (labels or host changed), merged row by row"
    questions.notes.count(what, len(several))
    stats: ByIdentity = {}
    settled = [sighting for sighting in several if len(sighting.hosts(name.exporter)) == 1]
    for by in sorted({_told_by(name.exporter, sighting) for sighting in settled}):
        mine = [sighting for sighting in settled if _told_by(name.exporter, sighting) == by]
        for label, value in sorted({host for sighting in mine for host in sighting.hosts(name.exporter)}):
            narrowed = (matcher(label, [value]),) if label else ()
            stats |= _merged_rows(questions, fleet, name, narrowed, by)
    for sighting in several:
        if sighting not in settled:
            stats[sighting.identity] = _moved(questions, fleet, name, sighting)
    wanted = {sighting.identity for sighting in several}
    return {identity: statistics for identity, statistics in stats.items() if identity in wanted}


def _told_by(exporter: Exporter, sighting: Sighting) -> tuple[str, ...]:
    """Labels that make the series of a host those of one accelerator: all that its identity is made of, and no more."""
    if sighting.has_uuid:
        return (*exporter.uuid, *exporter.mig)
    product = exporter.product if exporter.serves else ()
    return tuple(dict.fromkeys((*exporter.host, *exporter.index, *exporter.uuid, *exporter.mig, *product)))


def _moved(questions: Questions, fleet: Fleet, name: Name, sighting: Sighting) -> Stats:
    """Statistics of an accelerator that was at several hosts, or on several ports of one."""
    exporter = name.exporter
    sources = [source for source in sighting.sources if source.exporter == exporter]
    groups = (exporter.uuid, exporter.mig) if sighting.has_uuid else (exporter.host, exporter.index, exporter.mig)
    narrowed = []
    for labels in groups:
        values = {label: {source.labels.get(label, "") for source in sources} - {""} for label in labels}
        narrowed += [matcher(label, some) for label, some in values.items() if some][:1]
    return next(iter(_merged_rows(questions, fleet, name, narrowed, ()).values()))


def _merged_rows(
    questions: Questions, fleet: Fleet, name: Name, narrowed: Sequence[str], labels: Sequence[str]
) -> ByIdentity:  # fmt: skip
    """Statistics over rows that are each the greatest of the series with the same labels."""
    step_us = questions.interval_us(fleet, name)
    shift_us = fleet.window.end_us % step_us
    offset = f" offset -{shift_us // 1000}ms" if shift_us else ""
    row = f"last_over_time({questions.select(name, *narrowed)}[{fleet.range(step_us)}]{offset})"
    length = fleet.range(fleet.length_us // step_us * step_us)
    rows = f"(max by ({', '.join(labels)}) ({row}))[{length}:{step_us // 1000}ms]"
    answers = {
        what: questions.api.instant(function.format(rows), fleet.window.end_us - shift_us)
        for what, function in {**_OVER_TIME, "rows": _COUNT}.items()
    }
    return _joined({what: _by_identity(name.exporter, series) for what, series in answers.items()})


def _by_identity(exporter: Exporter, series: Sequence[Series]) -> dict[Identity, list[Series]]:
    grouped: defaultdict[Identity, list[Series]] = defaultdict(list)
    for time_series in series:
        grouped[identity_of(exporter, time_series.labels)].append(time_series)
    return dict(grouped)
