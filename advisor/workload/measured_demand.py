"""Measured demand of a workload: where it was recorded, which part of it counts, and the size of a request."""

from collections.abc import Mapping
from pathlib import Path

from advisor.demand.values import LONGEST_RECORDING_SECONDS
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field
from advisor.yaml_fields import Field


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
_IMAGES = "images"
_IMAGE_KEYS = ("count", "width", "height")
SIZE_KEYS = ("documents", "tokens_per_document", "query_tokens", "audio_seconds", _IMAGES, "steps", "rows")
"""Sizes of requests to models that answer in one pass."""
TOKEN_KEYS = ("input_tokens", "output_tokens")
MOST_TOKENS = 1e9
_MOST_ITEMS = 10_000
_MOST_PIXELS = 16_384
_LEAST_TOKENS = 1.0
_LEAST_SECONDS = 0.001


def one_length(field: Field) -> float:
    """One length of all requests, in the unit of its key."""
    if field.name.endswith(TOKEN_KEYS):
        return field.number(_LEAST_TOKENS, maximum=MOST_TOKENS)
    return field.number(0, exclusive=True, maximum=length_bounds(field)[1])


def length_bounds(field: Field) -> tuple[float, float]:
    """Least median and longest length, in its unit; of recordings as of a trace."""
    is_recording = field.name.endswith("audio_seconds")
    return (_LEAST_SECONDS, LONGEST_RECORDING_SECONDS) if is_recording else (_LEAST_TOKENS, MOST_TOKENS)


def one_pass_size(fields: Mapping[str, Field], sizes: Mapping[str, float | None]) -> OnePassSize:
    """Size of a request in the unit of a model that answers in one pass, as far as it is stated."""
    images = fields[_IMAGES].mapping(_IMAGE_KEYS) if _IMAGES in fields else {}

    def count(fields: Mapping[str, Field], key: str, most: int) -> int | None:
        return fields[key].count(1, most) if key in fields else None

    query = fields.get("query_tokens")
    return OnePassSize(
        documents=count(fields, "documents", _MOST_ITEMS),
        tokens_per_document=sizes.get("tokens_per_document"),
        query_tokens=query.number(0, exclusive=True, maximum=MOST_TOKENS) if query else None,
        audio_seconds=sizes.get("audio_seconds"),
        images=count(images, "count", _MOST_ITEMS),
        width=count(images, "width", _MOST_PIXELS),
        height=count(images, "height", _MOST_PIXELS),
        steps=count(fields, "steps", _MOST_ITEMS),
        rows=count(fields, "rows", _MOST_ITEMS),
    )
