"""One question about samples, answered alike by several engines.

Over the rows of a window (fifteen seconds each where the agent kept them, one scrape each where something else did):

- p50 and p95 are quantiles of the row means, interpolated linearly between the two nearest (type 7 of Hyndman and Fan);
- mean is the mean of the row means, each row counting alike;
- max is the greatest of the row maxima where rows have one, else of the row means;
- coverage is the number of known rows × the row length ÷ the length of the window, at most 1.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Rows that end after ``start_us`` and not after ``end_us``, µs since 1970 UTC."""

    start_us: int
    end_us: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end_us - self.start_us) / 1_000_000

    def common(self, other: "Window") -> "Window | None":
        """Time that is in both; None where there is none."""
        shared = Window(max(self.start_us, other.start_us), min(self.end_us, other.end_us))
        return shared if shared.start_us < shared.end_us else None

    def newest(self, seconds: float | None) -> "Window":
        """The last so many seconds of it; None: all of it."""
        if seconds is None:
            return self
        return Window(max(self.start_us, self.end_us - int(seconds * 1_000_000)), self.end_us)


@dataclass(frozen=True, slots=True, order=True)
class Accelerator:
    """Sampled accelerator or engine; ``uuid`` of an engine is its endpoint, ``product`` its model."""

    host: str
    index: int
    mig_index: int | None = None
    uuid: str | None = None
    product: str | None = None

    @property
    def number(self) -> str:
        """Number on the host, and of the MIG instance: ``0``, ``0.1``."""
        return str(self.index) if self.mig_index is None else f"{self.index}.{self.mig_index}"

    @property
    def place(self) -> tuple[str, int, int, str, str]:
        """Sorting key: host, index, MIG instance."""
        mig_index = -1 if self.mig_index is None else self.mig_index
        return self.host, self.index, mig_index, self.uuid or "", self.product or ""


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one accelerator over a window."""

    accelerator: Accelerator
    metric: str
    p50: float
    p95: float
    max: float
    mean: float
    coverage_ratio: float
    rows: int
    """Known rows."""


class QueryBackend(Protocol):
    """Something that can be asked about samples."""

    def window(self) -> Window | None:
        """Window from the first to the last row; None where there is none."""
        ...

    def accelerators(self, window: Window) -> Sequence[Accelerator]:
        """Accelerators with rows in a window, in order of host, index and MIG instance."""
        ...

    def metrics(self, window: Window) -> Sequence[str]:
        """Names of :mod:`advisor.samples.metrics` that have values in a window."""
        ...

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """Some metrics of all accelerators, host by host, in bounded memory; what nothing is known of is left out."""
        ...

    def notes(self) -> Sequence[str]:
        """Notes that a reader of the answers needs: names used, scales inferred, values distrusted, data left out."""
        ...
