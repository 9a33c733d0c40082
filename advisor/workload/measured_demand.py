"""Measured demand of a workload: where it was recorded, which part of it counts, and the size of a request."""

from pathlib import Path

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field


@dataclass(frozen=True, slots=True)
class TraceDemand:
    """Demand from a request trace (CSV) or from a summary made of one (JSON)."""

    path: Path


@dataclass(frozen=True, slots=True)
class OnePassSize:
    """Size of a request to a model that answers in one pass; None is not stated."""

    documents: int | None = None
    """To rank against one query."""
    tokens_per_document: float | None = None
    query_tokens: float | None = None
    """Of a query, which is read again with every document."""
    audio_seconds: float | None = None
    images: int | None = None
    """Of a request."""
    width: int | None = None
    height: int | None = None
    """Pixels of an image."""
    steps: int | None = None
    """Denoising steps of a picture."""
    rows: int | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Of a request to trees."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Recorded data that counts, where the source holds more than this workload's."""

    served_as: str | None = None
    """Name under which the engines serve the model; None: one of the model's own names."""
    from_seconds: float | None = None
    """Since 1970; None: the window before the end."""
    until_seconds: float | None = None
    """Since 1970; None: the last sample, or now."""
    size: OnePassSize = field(default=OnePassSize(), metadata=OMITTED_AT_DEFAULT)
    """Of each request, where the server counts requests alone."""


@dataclass(frozen=True, slots=True)
class SampleDemand:
    """Demand from what agents sampled of the current deployment."""

    places: tuple[str, ...]
    """Directories, and addresses in object storage."""
    requests_per_day: float | None = None
    """Known volume, where only accelerators were sampled; None: an upper bound is estimated from how busy they were."""
    input_tokens: float | None = None
    """Of a request, where no serving engine counts them; None: not stated."""
    output_tokens: float | None = None
    hosts: tuple[str, ...] = ()
    """Names or patterns (``gpu-*``); empty: every host."""
    window_days: float | None = None
    """How far back from the last sample; None: everything."""
    recorded: Recorded = Recorded()
    cache_is_stated: bool = False
    """Whether the workload states a prefix-cache hit ratio, which then counts instead of the measured one."""


@dataclass(frozen=True, slots=True)
class SigV4:
    """How requests to a server are signed with AWS's credentials."""

    region: str | None = None
    """None: that of the server's address."""
    profile: str | None = None
    """Of AWS's configuration files; None: the default."""


@dataclass(frozen=True, slots=True)
class PrometheusDemand:
    """Demand from what a Prometheus-compatible server saw of the current deployment."""

    url: str
    """Without user and password."""
    window_days: float = 14.0
    """How far back to look."""
    selector: str = ""
    """Label matchers that series have to meet, such as ``namespace="chat"``."""
    requests_per_day: float | None = None
    """As in :class:`SampleDemand`."""
    input_tokens: float | None = None
    output_tokens: float | None = None
    cache_is_stated: bool = False
    """As in :class:`SampleDemand`."""
    token_file: Path | None = field(default=None, compare=False)
    ca_file: Path | None = field(default=None, compare=False)
    metrics_file: Path | None = field(default=None, compare=False)
    """Further names of metrics (docs/metrics.md); None: those that the program knows."""
    sigv4: SigV4 | None = None
    """None: only requests to Amazon's managed service are signed."""
    recorded: Recorded = Recorded()


@dataclass(frozen=True, slots=True)
class CloudWatchDemand:
    """Demand from what CloudWatch saw of the current deployment; CloudWatch counts no tokens and no cache hits."""

    region: str
    profile: str | None = None
    """Of AWS's configuration files; None: the default."""
    endpoint: str | None = None
    """Name of a SageMaker endpoint; None: the only one, or accelerators."""
    hosts: tuple[str, ...] = ()
    """Names or patterns (``i-0abc*``) of hosts whose accelerators count; empty: every host."""
    window_days: float = 14.0
    """How far back to look."""
    requests_per_day: float | None = None
    """As in :class:`SampleDemand`."""
    input_tokens: float | None = None
    output_tokens: float | None = None
    recorded: Recorded = Recorded()
    """``served_as`` is the name of an inference component."""
    cache_is_stated: bool = False
    """As in :class:`SampleDemand`."""


RecordedDemand = SampleDemand | PrometheusDemand | CloudWatchDemand
"""Demand that a server's metrics count."""
