"""Releases of engines, and servers of models that answer in one pass: where they run, what they serve and take."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from packaging.version import InvalidVersion, Version

from advisor.catalog.readers import Sources
from advisor.catalog.values import Accelerator, EngineSupport, Evidence, InstanceType, Provenance, Quality, Support
from advisor.records import dataclass, replace
from advisor.tables import OptionalText, read_records

OLD_DAYS = 60
"""Engines come out every two weeks: a table whose newest release is older misses some."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release of an engine."""

    engine: str
    """As ``engine_support.csv`` names it."""
    version: Version
    released: dt.date
    provenance: Provenance

    @property
    def is_final(self) -> bool:
        """One that a plan may take: no pre-release, and no build of somebody's own (``0.33.0+rocm``)."""
        return not (self.version.is_prerelease or self.version.local or self.version.epoch)


@dataclass(frozen=True, slots=True)
class Releases:
    """Releases by engine, oldest first."""

    by_engine: Mapping[str, tuple[Release, ...]]
    unreadable: tuple[str, ...] = ()
    """Versions that are left out, since they are none by PEP 440, in words."""

    def of(self, engine: str) -> tuple[Release, ...]:
        """Every known release of an engine, pre-releases too, oldest first."""
        return self.by_engine.get(engine, ())

    def newest_day(self, engine: str) -> dt.date | None:
        """Day of the newest known release, pre-releases too; None of an engine whose releases are not listed."""
        return max((release.released for release in self.of(engine)), default=None)

    def read_on(self, engine: str) -> str:
        """ISO date on which the index was read; "" of an engine whose releases are not listed."""
        return max((release.provenance.as_of for release in self.of(engine)), default="")

    def old(self, engines: Iterable[str], today: dt.date) -> tuple[tuple[str, dt.date], ...]:
        """Engines whose newest known release is older than :data:`OLD_DAYS`, each with its day."""
        days = ((engine, self.newest_day(engine)) for engine in dict.fromkeys(engines))
        return tuple((engine, day) for engine, day in days if day is not None and (today - day).days > OLD_DAYS)


@lru_cache(maxsize=4096)
def version_of(text: str) -> Version | None:
    """The version by PEP 440; None where the text is none."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def read_releases(path: Path, sources: Sources) -> Releases:
    """Releases of a table; those with a broken version are left out and named.

    Raises InputError if the table cannot be read, or a cell other than the version is wrong.
    """
    releases: dict[str, list[Release]] = {}
    unreadable: list[str] = []
    for row in read_records(path):
        version = version_of(row.text("version"))
        if version is None:
            unreadable.append(f"'{row.text('version')}' of {row.text('engine')} is not a version ({path}:{row.line})")
            continue
        try:
            day = dt.date.fromisoformat(row.text("released"))
        except ValueError:
            row.fail("released", f"'{row.text('released')}' is not a date")
        release = Release(row.text("engine"), version, day, sources.of(row))
        releases.setdefault(release.engine, []).append(release)
    by_engine = {engine: tuple(sorted(rows, key=lambda row: row.version)) for engine, rows in releases.items()}
    return Releases(by_engine, tuple(unreadable))


def within(releases: Iterable[Release], oldest: str, newest: str) -> tuple[Version, ...]:
    """Final releases between two versions, both included and either "" for no bound, oldest first."""
    since, until = version_of(oldest), version_of(newest)
    final = (release.version for release in releases if release.is_final)
    recent = (version for version in final if since is None or since <= version)
    return tuple(version for version in recent if until is None or version <= until)


def at_version(rows: Sequence[EngineSupport], version: Version) -> EngineSupport | None:
    """The row that holds for a release; None where no row speaks of it."""
    for row in rows:
        since, until = version_of(row.from_version), version_of(row.until_version)
        if (since is None or since <= version) and (until is None or version < until):
            return row
    return None


def planned(rows: Sequence[EngineSupport], releases: Sequence[Version], otherwise: str) -> EngineSupport:
    """The row of the newest release that serves, with that release; where none does, the row of the newest.

    *rows*: one engine, one precision, one accelerator, by release. *releases*: that a plan may take, oldest first.
    *otherwise*: release of an engine whose releases are not listed.
    """
    if not releases:
        return replace(rows[-1], engine_version=otherwise)
    for version in reversed(releases):
        row = at_version(rows, version)
        if row is not None and row.serves:
            return replace(row, engine_version=str(version))
    newest = at_version(rows, releases[-1])
    if newest is None:
        untested = replace(rows[-1], support=Support.UNTESTED, evidence=Evidence.UNTESTED, compute_precision="")
        newest = replace(untested, detail="no document speaks of this release")
    return replace(newest, engine_version=str(releases[-1]))


_TOKENS = "tokens"
_NOT = "!"
POWERS, COMPILED = "powers", "compiled"
"""Padding of texts and batches: to powers of two, or to the context and the largest batch that were compiled."""
LONGEST, ALIKE = "longest", "alike"
"""Padding of texts to the longest of their batch; or none, and batches of texts of one length."""
FORMATS = ("onnx",)
"""Families of models that are read from files of one format, whatever their architecture."""
_CASTS: Mapping[str, tuple[str, ...]] = {
    "bf16": ("bf16", "fp16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "fp32": ("fp32",),
}
"""Precision of weights that are multiplied as they are → what they are cast to, the nearest first."""
_WIDENED_TO = {False: "fp16", True: "bf16"}
"""Precision that fewer bits are computed in, by whether the answer comes token by token: equally fast, and as the
measurements of either kind name it."""
FIRST_WITH_BF16 = 8.0
"""Compute capability: Turing and older have units for fp16 alone."""


@dataclass(frozen=True, slots=True)
class OnePassEngine:
    """A server with dynamic batching on the accelerators of one vendor. None is not a limit, "" is not known."""

    engine: str
    vendor: str
    """Of the accelerators; ``cpu`` for processors of any maker."""
    units: tuple[str, ...]
    """Units of the requests that it serves."""
    families: tuple[str, ...]
    """Of models that it is known to serve; empty: all of its units, but for those behind ``!``."""
    formats: tuple[str, ...]
    """Formats of models that it loads beside the checkpoints of the hub: ``onnx``."""
    cpu_architectures: tuple[str, ...]
    """Of the hosts that its image is built for."""
    architectures: tuple[str, ...]
    """Of accelerators as in accelerators.csv; empty: all of the vendor."""
    least_compute_capability: float | None
    compute_capabilities: tuple[float, ...]
    """Compute capabilities that images are built for; empty: all from the least one on."""
    precisions: tuple[str, ...]
    """16- and 32-bit precisions that it computes in, to which it casts weights, and others that it loads."""
    image: OptionalText
    """Without a tag."""
    release: OptionalText
    """Release of the image that generated code starts; "": no code is written for it."""
    max_batch_items: int | None
    max_batch_tokens: int | None
    max_request_items: int | None
    """Items of a request that are computed together; of larger calls clients send each item by itself; None: all."""
    max_wait_ms: float
    """Time that an item waits for others before a batch is begun."""
    padding: OptionalText
    """How texts of different lengths are batched: :data:`POWERS`, :data:`COMPILED`, :data:`LONGEST`, :data:`ALIKE`; "":
    each as long as it is."""
    health_path: OptionalText
    provenance: Provenance

    @property
    def is_of_tokens(self) -> bool:
        """Whether it answers token by token, with as many slots as :attr:`max_batch_items`."""
        return _TOKENS in self.units

    def serves(self, unit: str, family: str, precision: str) -> bool:
        """Whether it serves models of a family and unit with weights in a precision."""
        return self.loads(unit, family) and bool(self._casts(precision))

    def loads(self, unit: str, family: str) -> bool:
        """Whether it serves models of a family and unit, whatever the precision."""
        if unit not in self.units or f"{_NOT}{family}" in self.families:
            return False
        named = [name for name in self.families if not name.startswith(_NOT)]
        return family in (self.formats if family in FORMATS else named or (family,))

    def batch_tokens(self, context_tokens: int) -> int | None:
        """Tokens of a batch at most, as code configures it: the longest text is read whole. None: no limit."""
        return None if self.max_batch_tokens is None else max(self.max_batch_tokens, context_tokens)

    def splits(self, items: float) -> bool:
        """Whether each item of a call of so many is an HTTP request of its own."""
        return self.max_request_items is not None and items > self.max_request_items

    def runs_on(self, machine: InstanceType, accelerator: Accelerator) -> bool:
        """Whether it has an image for a machine and its accelerators."""
        return machine.cpu_architecture in self.cpu_architectures and self.runs_with(accelerator)

    def runs_with(self, accelerator: Accelerator) -> bool:
        """Whether it has an image for accelerators, on some host."""
        least, capability = self.least_compute_capability, accelerator.compute_capability or 0.0
        is_new_enough = least is None or capability >= least
        is_built_for = not self.compute_capabilities or capability in self.compute_capabilities
        is_one_of = not self.architectures or accelerator.architecture in self.architectures
        return self.vendor == accelerator.vendor and is_new_enough and is_built_for and is_one_of

    def _casts(self, precision: str) -> tuple[str, ...]:
        """Precisions that weights of one are served in, the nearest first; empty: it does not load them."""
        return tuple(cast for cast in _CASTS.get(precision, (precision,)) if cast in self.precisions)

    def served_precision(self, accelerator: Accelerator, precision: str) -> str:
        """Precision that runs where a precision that it serves is asked for: the nearest that the units compute in."""
        return next((cast for cast in self._casts(precision) if _computes(accelerator, cast)), precision)

    def widens(self, accelerator: Accelerator, precision: str) -> bool:
        """Whether 16-bit weights that it serves are computed in fp32 there, at half the speed or less."""
        return precision != "fp32" and self.served_precision(accelerator, precision) == "fp32"

    def support(self, accelerator: Accelerator, precision: str) -> EngineSupport:
        """How it serves a precision that it serves, in what runs: fewer bits are widened to 16, or 32 without units."""
        precision = self.served_precision(accelerator, precision)
        computed = precision if precision in _CASTS else _WIDENED_TO[self.is_of_tokens]
        computed = "fp32" if accelerator.fp16_tflops is None else computed
        is_read = self.provenance.quality in (Quality.LISTED, Quality.DERIVED)
        return EngineSupport(
            engine=self.engine,
            hardware=accelerator.name,
            precision=precision,
            support=Support.SUPPORTED,
            compute_precision=computed,
            detail="",
            provenance=self.provenance,
            evidence=Evidence.DOCUMENTED if is_read else Evidence.UNTESTED,
        )


def _computes(accelerator: Accelerator, precision: str) -> bool:
    """Whether an accelerator has units for a precision of 16 or 32 bit; fewer bits are widened."""
    capability = accelerator.compute_capability
    is_old = capability is not None and capability < FIRST_WITH_BF16
    if precision == "bf16" and is_old:
        return False
    return precision not in _CASTS or precision == "fp32" or accelerator.fp16_tflops is not None


def read_one_pass_engines(sources: Sources) -> tuple[OnePassEngine, ...]:
    """Servers in the order of the table: that of preference."""
    return tuple(
        sources.value(OnePassEngine, row, compute_capabilities=tuple(map(float, row.words("compute_capabilities"))))
        for row in sources.rows("engines")
    )


def read_engine_gaps(sources: Sources) -> Mapping[tuple[str, str], str]:
    """Vendor of accelerators and unit of requests → why no server is known beyond the rows of engines.csv."""
    return sources.by("vendor unit", "engine_gaps", lambda row, _: row.text("reason"))
