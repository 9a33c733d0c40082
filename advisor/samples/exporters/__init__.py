"""Names of metrics by exporter and serving engine: one table for every reader, which a user's file extends.

Standard library only: the agent reads it on inference hosts.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path

from advisor.records import dataclass, field, replace
from advisor.samples.metrics import MEANINGS, METRICS, ROW_SECONDS, Kind, Metric, Scope, exposition_name, units_of
from advisor.tables import Record, records_of

FILE_VARIABLE = "ADVISOR_METRICS"
"""Environment variable that names a mapping file, for the agent and whoever is given none."""
USER_COLUMNS = (
    "metric", "name", "unit", "exporter", "only", "trait", "host", "index", "uuid", "mig", "product",
    "note", "source",
)  # fmt: skip
_NEEDED_COLUMNS = USER_COLUMNS[:3]
_HERE = Path(__file__).parent
_SCRAPED = ("exported_instance", "instance")
_OWN = {"advisor": Scope.ACCELERATOR, "agent_engines": Scope.ENGINE}
_TWO_SCALES, _PROFILING = "two_scales", "profiling"
Condition = tuple[str, tuple[str, ...]]
"""A label, and values of it; "" is the missing label."""


class Shows(StrEnum):
    """Kind of thing that an exporter shows."""

    ACCELERATOR = "accelerator"
    ENGINE = "engine"
    GATEWAY = "gateway"
    CLOUDWATCH = "cloudwatch"


_SERVING = frozenset({Shows.ENGINE, Shows.GATEWAY})


@dataclass(frozen=True, slots=True)
class Exporter:
    """Something that exports metrics; the labels by which its series tell accelerators or replicas apart.

    Of several labels with one meaning the first that a series has counts.
    """

    key: str
    name: str
    shows: Shows
    host: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    uuid: tuple[str, ...] = ()
    mig: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    row_seconds: float | None = None
    """Length of what one sample stands for at least; None: the scrape interval, which is found in the data."""
    info: str | None = None
    """Metric whose labels hold index and product, by uuid."""
    prefixes: tuple[str, ...] = ()
    """Beginnings of its names, the usual first."""
    names_of: str = ""
    """Exporter whose names it has too."""
    same_work: tuple[str, ...] = ()
    """Labels of ranks that work on the same requests."""
    sign: str = ""
    """Metric without which its names are somebody else's."""

    @property
    def serves(self) -> bool:
        """Whether it is a serving engine or stands before some, and shows no accelerators."""
        return self.shows in _SERVING

    @property
    def is_gateway(self) -> bool:
        """Whether it stands before engines and counts what they count too."""
        return self.shows is Shows.GATEWAY

    @property
    def is_agent(self) -> bool:
        """Whether the agent shows what it read itself."""
        return self.key in _OWN

    @property
    def identity(self) -> tuple[str, ...]:
        """Every label that tells series of different accelerators apart, or names them."""
        return (*self.host, *self.index, *self.uuid, *self.mig, *self.product)

    @property
    def replica(self) -> tuple[str, ...]:
        """Labels that tell replicas and their ranks apart."""
        return tuple(dict.fromkeys((*self.host, *self.uuid, *self.index)))


@dataclass(frozen=True, slots=True)
class Name:
    """A metric of an exporter that carries one of ours."""

    name: str
    exporter: Exporter
    metric: Metric
    scale: float = 1.0
    """Times this is our unit."""
    only: Condition = ("", ())
    """Label and the values that count."""
    greatest: str | None = None
    """Name of the row maxima, where there are any."""
    trait: str = ""

    @property
    def has_two_scales(self) -> bool:
        """Whether some versions give 0..1 and others 0..100 under this name."""
        return self.trait == _TWO_SCALES

    @property
    def profiles(self) -> bool:
        """Whether it comes from profiling counters, which can stand at 0 for weeks."""
        return self.trait == _PROFILING

    def counts(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels carries the metric."""
        label, values = self.only
        return not label or labels.get(label, "") in values

    def part(self, suffix: str) -> "Name":
        """A part of a histogram: bucket, sum or count."""
        return replace(self, name=f"{self.name}_{suffix}")

    def __str__(self) -> str:
        """The name itself."""
        return self.name


@dataclass(frozen=True)
class NameTable:
    """Every known name, the best first."""

    exporters: Mapping[str, Exporter]
    every: tuple[Name, ...] = field(repr=False)

    @cached_property
    def names(self) -> Mapping[str, tuple[Name, ...]]:
        """Names on servers by metric, the best first."""
        return self._by_metric(in_cloudwatch=False)

    @cached_property
    def in_cloudwatch(self) -> Mapping[str, tuple[Name, ...]]:
        """Names in CloudWatch by metric, of those that have any there."""
        return {metric: names for metric, names in self._by_metric(in_cloudwatch=True).items() if names}

    def _by_metric(self, *, in_cloudwatch: bool) -> dict[str, tuple[Name, ...]]:
        names: dict[str, list[Name]] = {metric: [] for metric in MEANINGS}
        for name in self.every:
            if (name.exporter.shows is Shows.CLOUDWATCH) == in_cloudwatch:
                names[name.metric.name].append(name)
        return {metric: tuple(some) for metric, some in names.items()}

    def of(self, exporter: Exporter) -> tuple[Name, ...]:
        """Names of one exporter, the best first."""
        return tuple(name for name in self.every if name.exporter == exporter)

    def signed(self, present: frozenset[str]) -> frozenset[str]:
        """Names on a server without those that are taken for an exporter's whose sign is not among them."""
        signs = {exporter.sign for exporter in self.exporters.values()} - present - {""}
        return present - {name.name for name in self.every if name.exporter.sign in signs}

    def engines(self) -> list[Exporter]:
        """Serving engines and what stands before them, in the order in which they are looked for; the agent's apart."""
        return [exporter for exporter in self.exporters.values() if exporter.serves and exporter.key not in _OWN]

    def with_file(self, path: Path | None) -> "NameTable":
        """The same with rows of a user's mapping file, if any, first. Raises InputError with place and remedy."""
        if path is None:
            return self
        exporters, names = dict(self.exporters), []
        for row in records_of(_Row, path):
            exporter = _users_exporter(row, exporters)
            exporters[exporter.key] = exporter
            names += _spelled(row, exporter)
        theirs = {name.exporter.key: name.exporter for name in names}
        return NameTable({**theirs, **exporters}, (*names, *self.every))


@cache
def shipped() -> NameTable:
    """The table that comes with the program."""
    rows = records_of(_Row, _HERE / "exporters.csv")
    exporters = {(key := row.text("exporter")): _exporter(row, key, Shows(row.text("kind"))) for row in rows}
    listed: dict[str, list[Name]] = {key: _own(exporter) for key, exporter in exporters.items()}
    for row in sorted(records_of(_Row, _HERE / "names.csv"), key=lambda row: int(row.text("order"))):
        key = row.text("exporter")
        for exporter in exporters.values():
            if key in {exporter.key, exporter.names_of}:
                listed[exporter.key] += _spelled(row, exporter, exporters[key].prefixes)
    return NameTable(exporters, tuple(name for names in listed.values() for name in names))


def table_with(path: Path | None = None) -> NameTable:
    """The shipped table with a user's mapping file: the one given, else the one that the environment names.

    Raises InputError if it cannot be read, or a row of it makes no sense.
    """
    named = os.environ.get(FILE_VARIABLE, "")
    return shipped().with_file(path or (Path(named) if named else None))


class _Row(Record):
    """A row of a table whose cells may all be empty or missing."""

    def text(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()

    def words(self, column: str) -> tuple[str, ...]:
        return tuple(self.text(column).split())

    def one_of(self, column: str, allowed: Iterable[str]) -> str:
        """A cell that is one of some words."""
        cell, choices = self.text(column), tuple(allowed)
        if cell not in choices:
            self.fail(column, f"'{cell}' is not known here", f"one of {', '.join(filter(None, choices))}")
        return cell

    def condition(self, column: str) -> Condition:
        """``label=one|other``."""
        label, equals, values = self.text(column).partition("=")
        if self.text(column) and not (label and equals):
            self.fail(column, f"'{self.text(column)}' is not a condition", "write label=value or label=one|other")
        return label, tuple(values.split("|")) if equals else ()


def _exporter(row: _Row, key: str, shows: Shows) -> Exporter:
    """Exporter of a row, with the label of every scrape behind those that name the host or tell engines apart."""
    scraped = () if key in _OWN or shows is Shows.CLOUDWATCH else _SCRAPED
    return Exporter(
        key,
        row.text("title") or key,
        shows,
        host=(*row.words("host"), *scraped),
        index=row.words("index"),
        uuid=row.words("uuid") or (scraped if shows in _SERVING else ()),
        mig=row.words("mig"),
        product=row.words("product"),
        row_seconds=float(ROW_SECONDS) if key in _OWN else None,
        info=row.text("info") or None,
        prefixes=row.words("prefixes"),
        names_of=row.text("names_of"),
        same_work=row.words("same_work"),
        sign=row.text("sign"),
    )


def _own(exporter: Exporter) -> list[Name]:
    """Names under which the agent's own page gives its metrics."""
    names = []
    for metric in METRICS.values():
        if _OWN.get(exporter.key) is metric.scope:
            greatest = exposition_name(metric, "max") if metric.kind is Kind.GAUGE else None
            names.append(Name(exposition_name(metric), exporter, metric, greatest=greatest))
    return names


def _spelled(row: _Row, exporter: Exporter, prefixes: Sequence[str] = ()) -> list[Name]:
    """A row's names: with each prefix of the exporter, and of a counter with and without ``_total``."""
    metric = MEANINGS[row.one_of("metric", MEANINGS)]
    scale = units_of(metric)[row.one_of("unit", units_of(metric))]
    written = row.text("name")
    if not written:
        row.fail("name", "the cell is empty", "give the name that the server has")
    usual = next((prefix for prefix in prefixes if written.startswith(prefix)), None)
    bases = [written] if usual is None else [prefix + written[len(usual) :] for prefix in exporter.prefixes]
    trait = row.one_of("trait", ("", _TWO_SCALES, _PROFILING))
    first = Name("", exporter, metric, scale, row.condition("only"), None, trait)
    names = []
    for base in bases:
        names.append(replace(first, name=base))
        if metric.kind is Kind.COUNTER and not base.endswith(("_sum", "_count")):
            other = base.removesuffix("_total") if base.endswith("_total") else f"{base}_total"
            names.append(replace(first, name=other))
    return names


def _users_exporter(row: _Row, exporters: Mapping[str, Exporter]) -> Exporter:
    """The exporter that a user's row names; one of the user's own has the labels of the row."""
    for column in row.cells:
        if column not in USER_COLUMNS:
            row.fail(column, "no such column", f"one of {', '.join(USER_COLUMNS)}")
    missing = [column for column in _NEEDED_COLUMNS if column not in row.cells]
    if missing:
        row.fail(missing[0], "there is no such column", f"needed are {', '.join(_NEEDED_COLUMNS)}")
    serves = MEANINGS[row.one_of("metric", MEANINGS)].scope is Scope.ENGINE
    key = row.text("exporter") or ("custom_engine" if serves else "custom")
    if key not in exporters:
        return _exporter(row, key, Shows.ENGINE if serves else Shows.ACCELERATOR)
    if exporters[key].serves != serves:
        shown = "accelerators" if serves else "engines"
        row.fail("exporter", f"{key} shows {shown}", "name another")
    return exporters[key]


_MOST = 8
_LEAST_LIKENESS = 0.4
_SEPARATORS = re.compile(r"[_:]+")
_PART = re.compile(r"_(bucket|sum|count|total|created|info)$")
_EVERYBODYS = frozenset({"total", "seconds", "bytes", "ratio", "metric", "current", "node", "count", "number", "num"})
_TELLING = frozenset(
    {"gpu", "vllm", "sglang", "dcgm", "hpu", "npu", "tpu", "neuron", "llm", "accelerator", "kv", "token", "tokens"}
)
_ON_A_PAGE = re.compile(r"^[a-zA-Z_:][\w:]{0,199}(?![\w:])", re.MULTILINE | re.ASCII)
"""Longer ones are nobody's."""


def near_misses(table: NameTable, present: Iterable[str]) -> list[str]:
    """Unknown names among those *present* that share words with known ones, the likest first; eight at most.

    Names with the first word of a known name that is present are left out: that exporter is read already.
    """
    bare, listed = {_PART.sub("", name) for name in present}, {_PART.sub("", name.name) for name in table.every}
    first_words = {name: _SEPARATORS.split(name.lower(), 1)[0] for name in bare}
    seen = {first_words[name] for name in bare & listed}
    by_word: defaultdict[str, set[frozenset[str]]] = defaultdict(set)
    for words in map(_words, listed):
        for word in words:
            by_word[word].add(words)
    unknown = (name for name in bare - listed if first_words[name] not in seen)
    likeness = {name: _likeness(_words(name), by_word) for name in unknown}
    likest = sorted(likeness, key=lambda name: (-likeness[name], name))
    return [name for name in likest if likeness[name] >= _LEAST_LIKENESS][:_MOST]


def near_miss_words(table: NameTable, present: Iterable[str]) -> str:
    """The near misses in words, to be put behind a hint; "" where there are none."""
    names = near_misses(table, present)
    return f"names there that look alike: {', '.join(names)}; map them in a file (docs/metrics.md)" if names else ""


def names_on_page(text: str) -> set[str]:
    """Names of the series on a page in the text format."""
    return set(_ON_A_PAGE.findall(text))


def _words(name: str) -> frozenset[str]:
    return frozenset(_SEPARATORS.split(name.lower())) - _EVERYBODYS - {""}


def _likeness(words: frozenset[str], by_word: Mapping[str, set[frozenset[str]]]) -> float:
    """Share of the words that a name has in common with the likest known one; a telling word counts as likeness too."""
    close = frozenset().union(*(by_word.get(word, ()) for word in words))
    most = max((len(words & other) / len(words | other) for other in close), default=0.0)
    if words & _TELLING:
        return max(most, _LEAST_LIKENESS)
    return most if most > 0.5 else 0.0
