"""Selectors, and questions to many hosts within a server's limits."""

from collections import Counter
from collections.abc import Callable, Sequence

from advisor.records import dataclass, field
from advisor.samples.exporters import Exporter, Name, NameTable, table_with
from advisor.samples.query.prometheus.api import PrometheusApi, Series, TooMuchError, quoted
from advisor.samples.query.prometheus.fleet import Fleet, matcher
from advisor.samples.query.prometheus.timing import Rhythm, rhythm
from advisor.samples.query.values import Window

_RHYTHM_HOSTS = 5
_FALLBACK_US = 60_000_000


class Notes:
    """Sentences in the order in which they were first said, and counts of what was met."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said: dict[str, None] = {}
        self._counts: Counter[str] = Counter()

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
            found = rhythm(self.api, self.select(name, narrowed), window)
            least_us = round((name.exporter.row_seconds or 0) * 1_000_000)
            if least_us and (found is None or found.interval_us <= least_us):
                self._rhythms[key] = Rhythm(least_us)
            else:
                self._rhythms[key] = found or Rhythm(_FALLBACK_US)
                self._say_rhythm(name.exporter.name, found)
        return self._rhythms[key]

    def _say_rhythm(self, who: str, found: Rhythm | None) -> None:
        if found is None:
            self.notes.say(f"{who}: too few samples to see how often it is scraped; coverage takes it as every 60 s")
            return
        seconds = found.interval_us / 1e6
        self.notes.say(f"{who} is scraped every {seconds:g} s; a row is one scrape")
        if found.varies:
            low, high = found.varies
            self.notes.say(f"{who}: scrape intervals range from {low:g} s to {high:g} s; coverage is by {seconds:g} s")
        if found.repeats > 1:
            self.notes.say(
                f"{who} holds each reading for {found.repeats} scrapes: it reads every {seconds * found.repeats:g} s, "
                "and what happens in between is not seen"
            )
