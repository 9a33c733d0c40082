"""Serving engines, through their metrics pages; advisor/samples/exporters says which names are read.

Parser of metrics pages: only the series that are wanted, and 40 KB in a fraction of a millisecond.

One regular expression that knows the wanted names goes through the page. What the labels of a series mean is worked out
once and remembered from page to page: each series has a slot.
"""

import math
import queue
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.samples.bounded_http import Address, Answer, Connection, ExchangeError, Limits, parse_address
from advisor.samples.exporters import Exporter, Name, NameTable, names_on_page, near_miss_words, table_with
from advisor.samples.metrics import METRICS, MOST_VALUE, QUOTIENTS, Buckets, Kind, Missed, Reading, Target

_LABEL = re.compile(r'[ \t]*([a-zA-Z_]\w*)[ \t]*=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n"}


def line_pattern(prefixes: Sequence[str], names: Iterable[str]) -> re.Pattern[str]:
    """Finds lines of wanted series in a page with a line feed put before it.

    Groups: the name; labels with their braces; the value; what stands there instead, where the line
    does not follow the format. Timestamps and exemplars are allowed and left out. A last line without an end is not
    found: it may have been cut. Prefixes of names are looked for first.
    """
    rests: dict[str, list[str]] = defaultdict(list)
    for name in names:
        prefix = next(prefix for prefix in (*prefixes, "") if name.startswith(prefix))
        rests[prefix].append(re.escape(name[len(prefix) :]))
    choice = "|".join(
        f"{re.escape(prefix)}(?:{'|'.join(sorted(some, key=len, reverse=True))})" for prefix, some in rests.items()
    )
    labels = r'\{(?:[^"\n}]*+"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")*+[^"\n}]*+\}'
    rest = r"(?:[ \t]+-?\d[\d.]*)?[ \t]*(?:#[^\n]*)?\r?(?=\n)"
    return re.compile(rf"\n({choice})(?![\w:])(?:({labels})?[ \t]+([^\s#]+){rest}|([^\n]*)(?=\n))")


def read_labels(text: str) -> Mapping[str, str] | None:
    """Labels by name from ``{a="b",c="d"}`` or nothing; None where they do not follow the format."""
    inner = text[1:-1].strip()
    labels: dict[str, str] = {}
    position = 0
    while position < len(inner):
        match = _LABEL.match(inner, position)
        if match is None or match[1] in labels:
            return None
        labels[match[1]] = _ESCAPE.sub(lambda escaped: _ESCAPED.get(escaped[1], escaped[1]), match[2])
        position = match.end()
    return labels


def read_number(text: str) -> float | None:
    """A value, ``NaN`` and ``+Inf`` among them; None where it is not a number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if "_" in text else value


MOST_TARGETS = 64
"""Models × ranks of one page; what is beyond is left out and said."""
_MOST_REMEMBERED = 8192
_MOST_SERIES = 2 * _MOST_REMEMBERED
_LONGEST_LABELS = 2048
"""Characters of a series' labels; a longer line counts as malformed."""
_UNNAMED = -1
"""Rank of a series that does not name it."""
_LONGEST_RANK = 6
_MODEL_LABELS = ("model_name", "model")
"""Labels that name the model on any page."""

_Target = tuple[str | None, int]
"""Model and rank."""
_Parts = Mapping[tuple[str, float], float]
"""Of one series: by part (``""`` for a plain value, ``_bucket``, ``_sum``, ``_count``) and upper bound (else 0)."""


@dataclass(frozen=True, slots=True)
class EngineValues:
    """Values of one model on one rank, from a page."""

    model: str | None
    """None: the page does not say."""
    rank: int
    values: Mapping[str, float]
    buckets: Mapping[str, Buckets]


@dataclass(frozen=True, slots=True)
class Page:
    """Contents of a page, as far as understood."""

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

    def __init__(self, exporter: Exporter, names: Sequence[Name]) -> None:
        """Prepare for the names of an engine, the best first."""
        needed = {*METRICS, *(part for parts in QUOTIENTS.values() for part in parts)}
        self.engine = exporter.key
        self._exporter = exporter
        self._names = [name for name in names if name.metric.name in needed]
        signs = (exporter.sign,) if exporter.sign else exporter.prefixes
        self._starts = signs or tuple(dict.fromkeys(name.name for name in self._names))
        self._slots: list[_Slot] = []
        self._numbers: dict[_Slot, int] = {}
        self._known: dict[tuple[str, str], Sequence[int] | None] = {}

    @cached_property
    def _wanted(self) -> Mapping[str, Sequence[tuple[int, str]]]:
        """Numbers of the names that want a series, and the part that it is, by its name on a page."""
        wanted: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for number, name in enumerate(self._names):
            for part in ("_bucket", "_sum", "_count") if name.metric.kind is Kind.HISTOGRAM else ("",):
                wanted[name.name + part].append((number, part))
        return wanted

    @cached_property
    def _lines(self) -> re.Pattern[str]:
        return line_pattern(self._exporter.prefixes, self._wanted)

    def speaks(self, text: str) -> bool:
        """Whether the page has series of this engine."""
        return any(text.startswith(start) or f"\n{start}" in text for start in self._starts)

    def read(self, text: str) -> Page:
        """The wanted series of a page; a line of one that does not follow the format is counted and skipped."""
        pages = self._known
        if len(pages) > _MOST_REMEMBERED:
            pages.clear()
            self._slots.clear()
            self._numbers.clear()
        highest: dict[int, float] = {}
        unusable: dict[int, str] = {}
        malformed = 0
        for name, labels, number, _ in self._lines.findall(f"\n{text}"):
            identity = (name, labels)
            numbers = pages[identity] if identity in pages else self._learn(name, labels)
            value = read_number(number)
            if numbers is None or value is None:
                malformed += 1
                continue
            for slot in numbers:
                highest[slot] = max(value, highest.get(slot, value))
            if not 0 <= value <= MOST_VALUE:
                unusable.update((slot, unusable_words(value)) for slot in numbers if not self._slots[slot].part)
        return self._assemble(highest, unusable, malformed)

    def _learn(self, name: str, text: str) -> Sequence[int] | None:
        """Slots of a series; None where its labels are malformed or too long, or the page has too many series."""
        if len(text) > _LONGEST_LABELS or len(self._known) >= _MOST_SERIES:
            return None
        labels = read_labels(text)
        numbers = None if labels is None else self._slots_of(name, dict(labels))
        self._known[name, text] = numbers
        return numbers

    def _slots_of(self, name: str, labels: dict[str, str]) -> Sequence[int] | None:
        bound = read_number(labels.pop("le", "")) if name.endswith("_bucket") else 0.0
        if bound is None or math.isnan(bound):
            return None
        models = [labels.pop(label, "") for label in (*self._exporter.product, *_MODEL_LABELS)]
        rank = next((labels.pop(label) for label in self._exporter.index if label in labels), "")
        is_named = rank.isascii() and rank.isdigit() and len(rank) <= _LONGEST_RANK
        target = next(filter(None, models), None), int(rank) if is_named else _UNNAMED
        for follower in self._exporter.same_work:
            labels.pop(follower, None)
        others = tuple(sorted(labels.items()))
        return [
            self._number(_Slot(target, number, part, bound, others))
            for number, part in self._wanted[name]
            if self._names[number].counts(labels)
        ]

    def _number(self, slot: _Slot) -> int:
        if slot not in self._numbers:
            self._numbers[slot] = len(self._slots)
            self._slots.append(slot)
        return self._numbers[slot]

    def _assemble(self, highest: Mapping[int, float], unusable: Mapping[int, str], malformed: int) -> Page:
        homes = _homes({self._slots[number].target for number in highest})
        by_target: dict[_Target, dict[int, dict[tuple[str, float], float]]] = defaultdict(lambda: defaultdict(dict))
        for number, value in highest.items():
            slot = self._slots[number]
            parts = by_target[homes[slot.target]][slot.series]
            key = (slot.part, slot.bound)
            ratio = self._names[slot.series].metric.unit == "ratio"
            parts[key] = max(parts.get(key, value), value) if ratio else parts.get(key, 0.0) + value
        targets = sorted(by_target, key=lambda target: (target[0] or "", target[1]))
        remarks: list[str] = []
        for number, words in unusable.items():
            slot = self._slots[number]
            by_target[homes[slot.target]][slot.series]["", 0.0] = math.nan
            remarks.append(f"{self._names[slot.series].name} is {words}")
        if len(targets) > MOST_TARGETS:
            remarks.append(f"{len(targets) - MOST_TARGETS} of {len(targets)} models and ranks are left out")
        engines = [self._engine(target, by_target[target], remarks) for target in targets[:MOST_TARGETS]]
        return Page(engines, malformed, tuple(dict.fromkeys(remarks)))

    def _engine(self, target: _Target, parts: Mapping[int, _Parts], remarks: list[str]) -> EngineValues:
        values: dict[str, float] = {}
        buckets: dict[str, Buckets] = {}
        for number, name in enumerate(self._names):
            metric = name.metric.name
            if number not in parts or metric in values or metric in buckets:
                continue
            if name.metric.kind is Kind.HISTOGRAM:
                _add_histogram(name, parts[number], buckets, remarks)
            elif 0 <= (value := parts[number]["", 0.0]) <= MOST_VALUE:
                values[metric] = value * name.scale
            elif not math.isnan(value):
                remarks.append(f"{name.name} is {unusable_words(value)}")
        kept = {metric: value for metric, value in values.items() if metric in METRICS}
        for metric, (part, whole) in QUOTIENTS.items():
            if metric not in values and part in values and values.get(whole, 0) > 0:
                kept[metric] = values[part] / values[whole]
        return EngineValues(target[0], target[1], kept, buckets)


def unusable_words(value: float) -> str:
    """Reason why a value cannot be a reading; without its digits, so that a reason lasts over many pages."""
    if math.isnan(value):
        return "not a number"
    return "negative" if value < 0 else f"over {MOST_VALUE:.2g}"


def _homes(targets: Collection[_Target]) -> Mapping[_Target, _Target]:
    """Rank that takes each value: a model's first for its ranks counted together, so that sums over ranks hold."""
    first: dict[str | None, int] = {}
    for model, rank in targets:
        if rank != _UNNAMED:
            first[model] = min(rank, first.get(model, rank))
    return {(model, rank): (model, first.get(model, 0) if rank == _UNNAMED else rank) for model, rank in targets}


def _add_histogram(name: Name, parts: _Parts, buckets: dict[str, Buckets], remarks: list[str]) -> None:
    """A histogram with the bounds that the page has; one that is not whole is left out with a remark."""
    bounds = sorted(bound for part, bound in parts if part == "_bucket")
    counts = [parts["_bucket", bound] for bound in bounds]
    if bounds and not math.isinf(bounds[-1]) and ("_count", 0.0) in parts:
        bounds, counts = [*bounds, math.inf], [*counts, parts["_count", 0.0]]
    total = parts.get(("_sum", 0.0), math.nan)
    rising = all(low <= high for low, high in pairwise((0.0, *counts, MOST_VALUE)))
    if not counts or not math.isinf(bounds[-1]) or not rising or not abs(total) <= MOST_VALUE:
        remarks.append(f"histogram {name.name} is not whole")
        return
    scaled = tuple(bound * name.scale for bound in bounds)
    buckets[name.metric.name] = Buckets(scaled, tuple(counts), total * name.scale)


UNKNOWN_ENGINE = "engines"
"""Source of an endpoint that has not answered yet."""
NO_ENGINE = "its page has no metrics of a serving engine that is known here"
GONE = "its page does not name this model and rank any more"
_READ, _END = "read", "end"
_REMEMBERED_READS = 900
"""A model that the page has not named for so many readings is forgotten: it was unloaded."""
_MOST_ABSENT = 4 * MOST_TARGETS
"""Models and ranks remembered at most: a gateway may show whatever its users ask for, other names each time."""
_MOST_STRANGE = 1000
_ALIKE_SECONDS = 60.0
"""Time from one comparison of unknown names with known ones to the next."""
_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4",
    "Accept-Encoding": "identity",
    "User-Agent": "advisor-agent",
}
_HINTS = {
    401: "it asks for credentials: give them in the address",
    403: "it refuses these credentials",
    404: "there is no page at this path",
}


class Endpoint:
    """State of one address, and the thread that asks it."""

    def __init__(self, host: str, address: Address, limits: Limits, table: NameTable) -> None:
        """Start the thread; it ends with the process, or when it is closed."""
        self.address = address
        self._limits = limits
        self._connection = Connection(address, limits)
        self._table = table
        self._readers = [PageReader(exporter, table.of(exporter)) for exporter in table.engines()]
        self._unknown = Target(host, UNKNOWN_ENGINE, None, endpoint=address.shown)
        self._absent: dict[Target, int] = {}
        """Targets seen so far, and for how many pages in a row they were not named."""
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Page | str] = queue.SimpleQueue()
        self.engine = UNKNOWN_ENGINE
        self._strange: list[str] = []
        """Names of the last page that no reader knew."""
        self._compared_at = -_ALIKE_SECONDS
        self._reason = NO_ENGINE
        self._pending = False
        threading.Thread(target=self._serve, name=f"engine {address.shown}", daemon=True).start()

    def ask(self) -> None:
        """Begin a reading; one that is still under way is not begun again."""
        self._take(0.0)
        if not self._pending:
            self._pending = True
            self._asked.put(_READ)

    def collect(self, deadline: float) -> Sequence[Reading | Missed]:
        """Readings since :meth:`ask`, waiting until *deadline* of the monotonic clock and no longer."""
        outcome = self._take(max(deadline - time.monotonic(), 0.0))
        if outcome is None:
            return self._all_missed(f"no whole answer within {self._limits.total_seconds:g} s")
        if isinstance(outcome, str):
            return self._all_missed(outcome)
        return self._readings(outcome)

    def close(self) -> None:
        """End the thread after the reading under way."""
        self._asked.put(_END)

    def _take(self, seconds: float) -> Page | str | None:
        if not self._pending:
            return None
        try:
            outcome = self._answers.get(timeout=seconds) if seconds else self._answers.get_nowait()
        except queue.Empty:
            return None
        self._pending = False
        return outcome

    def _serve(self) -> None:
        while self._asked.get() is not _END:
            self._answers.put(self._fetch())
        self._connection.close()

    def _fetch(self) -> Page | str:
        """The page, or why there is none. Nothing a server sends may end the thread."""
        try:
            return self._understand(self._connection.exchange("GET", _HEADERS))
        except ExchangeError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - one bad page is a miss, and the next may be good
            return f"its answer cannot be read ({type(error).__name__})"

    def _understand(self, answer: Answer) -> Page | str:
        if 300 <= answer.status < 400:
            return f"HTTP {answer.status}: it redirects elsewhere; give the address of the page itself"
        if answer.status != 200:
            hint = _HINTS.get(answer.status)
            return f"HTTP {answer.status}: {hint}" if hint else f"HTTP {answer.status}"
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            return "its answer is compressed, although that was not asked for"
        text = answer.body.decode("utf-8", "replace")
        for reader in self._readers:
            if reader.speaks(text):
                self.engine = reader.engine
                return reader.read(text)
        return self._why_unknown(text)

    def _why_unknown(self, text: str) -> str:
        """Reason for a page that no reader knows, with names that look alike; compared once a minute at most."""
        now = time.monotonic()
        if now - self._compared_at < _ALIKE_SECONDS:
            return self._reason
        self._compared_at = now
        if (names := sorted(names_on_page(text))[:_MOST_STRANGE]) != self._strange:
            alike = near_miss_words(self._table, names)
            self._strange, self._reason = names, f"{NO_ENGINE}; {alike}" if alike else NO_ENGINE
        return self._reason

    def _readings(self, page: Page) -> list[Reading | Missed]:
        malformed = [f"{page.malformed_lines} lines of its page are malformed"] if page.malformed_lines else []
        note = "; ".join([*page.remarks, *malformed]) or None
        readings: list[Reading | Missed] = []
        for engine in page.engines:
            target = replace(self._unknown, source=self.engine, index=engine.rank, name=engine.model)
            if note and not engine.values and not engine.buckets:
                readings.append(Missed(target, note))
            else:
                readings.append(Reading(target, engine.values, engine.buckets, note))
        named = dict.fromkeys(reading.target for reading in readings)
        for target in [*self._absent, *named]:
            self._absent[target] = 0 if target in named else self._absent[target] + 1
        remembered = [(target, reads) for target, reads in self._absent.items() if reads <= _REMEMBERED_READS]
        if len(remembered) > _MOST_ABSENT:
            remembered = sorted(remembered, key=lambda entry: entry[1])[:_MOST_ABSENT]
        self._absent = dict(remembered)
        readings += [Missed(target, GONE) for target in self._absent if target not in named]
        return readings or [Missed(self._unknown, NO_ENGINE)]

    def _all_missed(self, reason: str) -> list[Reading | Missed]:
        return [Missed(target, reason) for target in self._absent or (self._unknown,)]


DEFAULT_LIMITS = Limits()


class EngineSource:
    """Reads the metrics page of every engine at once; each is given its time, and none waits for another."""

    def __init__(self, host: str, endpoints: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> None:
        """Prepare to read endpoints such as ``http://127.0.0.1:8000``; ``/metrics`` is added where there is no path.

        A user and a password in an address are sent to it, and never printed or recorded. Raises InputError if there is
        no endpoint, one is no URL or given twice, or the file of further names makes no sense.
        """
        addresses = [parse_address(endpoint, "/metrics") for endpoint in endpoints]
        if not addresses:
            raise InputError("no serving engine was named", hint="give the address of its metrics page")
        shown = Counter(address.shown for address in addresses)
        twice = [address for address, count in shown.items() if count > 1]
        if twice:
            raise InputError("this address is given twice", where=twice[0])
        self._limits = limits
        table = table_with()
        self._endpoints = [Endpoint(host, address, limits, table) for address in addresses]

    def read(self) -> Sequence[Reading | Missed]:
        """One reading or miss of each model on each rank; ends within the limits, whatever the engines do."""
        deadline = time.monotonic() + self._limits.total_seconds
        for endpoint in self._endpoints:
            endpoint.ask()
        return [reading for endpoint in self._endpoints for reading in endpoint.collect(deadline)]

    def describe(self) -> str:
        """Engines such as ``vllm at http://127.0.0.1:8000/metrics``; asks once where nothing has answered yet."""
        if all(endpoint.engine == UNKNOWN_ENGINE for endpoint in self._endpoints):
            self.read()
        named = [("" if at.engine == UNKNOWN_ENGINE else f"{at.engine} at ", at.address) for at in self._endpoints]
        return ", ".join(f"{engine}{address.shown}" for engine, address in named)

    def close(self) -> None:
        """Close the connections."""
        for endpoint in self._endpoints:
            endpoint.close()
