"""Demand as values: how many requests arrive, how long they are, and the columns of traces of them.

Batch work: so many items are there at the start of each run, and all of them have to be done by a deadline.

Runs follow each other at a fixed distance that divides the week. A run is worked on in whole hours of the week, the
first so many of those that are open to it; the hours themselves are chosen with the machines, which are paid for in
them alone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import asdict, dataclass, field, replace
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK, MINUTES_PER_HOUR, SECONDS_PER_HOUR, SECONDS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class BatchRun:
    """Items that have to be done by a deadline, again and again."""

    items: float
    """Requests of one run."""
    every_hours: int
    """From the start of a run to that of the next; divides the hours of a week."""
    first_hour: int
    """Hour of the week, from Monday 00:00 UTC, in which the first run starts."""
    open_hours: tuple[int, ...]
    """Hours from the start of a run in which it may be worked on, ascending; all begin before the deadline."""
    deadline_hours: float
    """From the start of a run to the end of its last item."""

    @property
    def runs_per_week(self) -> int:
        """Runs that start in a week."""
        return HOURS_PER_WEEK // self.every_hours

    def hours_up(self, hours_per_week: int) -> int:
        """Hours of a run in which machines are up, where they are in so many hours of the week."""
        return hours_per_week // self.runs_per_week

    def times(self, factor: float) -> "BatchRun":
        """The same with so many times the items."""
        return replace(self, items=self.items * factor)

    def in_first(self, hours: int) -> "BatchRun":
        """The same in its first so many open hours."""
        return replace(self, open_hours=self.open_hours[:hours])

    def hours_of_week(self, count: int) -> tuple[int, ...]:
        """Hours of the week in which the first so many open hours of any run lie."""
        starts = range(self.first_hour, self.first_hour + HOURS_PER_WEEK, self.every_hours)
        return tuple(sorted((start + hour) % HOURS_PER_WEEK for start in starts for hour in self.open_hours[:count]))

    def runs(self) -> Iterator[Sequence[tuple[int, float]]]:
        """Open hours of each run, as hours of the week, with the share of each that is before the deadline."""
        for start in range(self.first_hour, self.first_hour + HOURS_PER_WEEK, self.every_hours):
            yield [((start + hour) % HOURS_PER_WEEK, min(self.deadline_hours - hour, 1.0)) for hour in self.open_hours]

    def stretches(self, count: int) -> Iterator[tuple[float, float]]:
        """Start and end of each stretch of work in the first so many open hours, in hours from the start of a run.

        The last one ends with the deadline, where that is within its last hour.
        """
        stretches: list[tuple[int, int]] = []
        for hour in self.open_hours[:count]:
            begin = stretches.pop()[0] if stretches and stretches[-1][1] == hour else hour
            stretches.append((begin, hour + 1))
        for begin, end in stretches:
            yield float(begin), min(float(end), self.deadline_hours)

    def work_hours(self, count: int) -> float:
        """Hours of work of a run in its first so many open hours."""
        return sum(end - start for start, end in self.stretches(count))

    def planned_items(self, count: int, rate: float) -> float:
        """Items of a run of which so many a second are planned, as growth makes more of them; rates have six digits."""
        return self.items * round(rate / self.items_per_second(count), 5)

    def items_per_second(self, count: int) -> float:
        """Rate at which a run is done at the end of its first so many open hours: ``items ÷ (work hours · 3600)``."""
        return self.items / (self.work_hours(count) * SECONDS_PER_HOUR)


@dataclass(frozen=True, slots=True)
class BatchBeside:
    """Batch work on the machines that serve other requests, in what these leave idle."""

    run: BatchRun
    input_tokens: float
    """Prompt tokens of an item; or the size of its parts."""
    output_tokens: float
    """Generated tokens of an item; or its parts."""

    def times(self, factor: float) -> "BatchBeside":
        """The same with so many times the items."""
        return replace(self, run=self.run.times(factor))


Floats = npt.NDArray[np.float64]


class Unit(StrEnum):
    """Unit in which the size of a request is counted: what kind of model answers it."""

    TOKENS = "tokens"
    """Prompt and answer, generated token by token."""
    TEXTS = "texts"
    """Texts of so many tokens each, embedded or scored in one pass."""
    AUDIO = "audio"
    """Recordings of so many milliseconds, transcribed."""
    IMAGES = "images"
    """Images, classified or embedded."""
    PICTURES = "pictures"
    """Pictures that are made in so many pixels × denoising steps."""
    ROWS = "rows"
    """Rows of so many columns, scored by trees."""

    @property
    def is_one_pass(self) -> bool:
        """Whether an answer comes whole: there is no first token to wait for."""
        return self is not Unit.TOKENS


@dataclass(frozen=True, slots=True, eq=False)
class TokenHistogram:
    """Joint distribution of input and output tokens as weighted points (the mean of each cell).

    All three arrays have shape ``(cells,)``; ``probability`` sums to 1.
    """

    input_tokens: Floats
    output_tokens: Floats
    probability: Floats
    prefix_cache_hit_ratio: float = 0.0
    """Share of the prompts' tokens whose keys and values a cache already holds when they arrive."""

    def mean_input_tokens(self) -> float:
        """Mean prompt length."""
        return float(self.input_tokens @ self.probability)

    def mean_output_tokens(self) -> float:
        """Mean answer length."""
        return float(self.output_tokens @ self.probability)

    def with_hits(self, hit_ratio: float) -> "TokenHistogram":
        """The same requests, with that share of their prompts' tokens in a prefix cache."""
        return replace(self, prefix_cache_hit_ratio=hit_ratio)


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """Requests per second, counted in one-minute windows."""

    mean: float
    p50: float
    p95: float
    p99: float
    peak: float
    """The busiest minute."""

    @property
    def peak_to_mean(self) -> float:
        """Ratio of the peak to the mean; 1 is flat."""
        return self.peak / self.mean


@dataclass(frozen=True, slots=True)
class TokenQuantiles:
    """Tokens of one request."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Burstiness: variance ÷ mean of the requests in a window, about their local level (1: Poisson; None: unknown).

    The local level is that of the minute for windows of 1 s, of five minutes for windows of 10 s and of the second for
    windows of 0.1 s, so that the slow shape of the day counts as no burst.
    """

    one_second: float | None = None
    ten_seconds: float | None = None
    tenth_second: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)

    def times(self, factor: float) -> "Dispersion":
        """Burstiness of so many times the requests, in the same bursts: the excess over 1 grows with the number.

        ``I' = 1 + (I - 1) · factor``: the rate of a doubly stochastic process times a factor (Cox 1955), or each of its
        requests kept with that chance.
        """
        every = (
            index if index is None or index <= 1 else 1 + (index - 1) * factor
            for index in (self.one_second, self.ten_seconds, self.tenth_second)
        )
        return Dispersion(*every)


@dataclass(frozen=True, slots=True, eq=False)
class DemandProfile:
    """Demand minute by minute as it was observed."""

    start_seconds: float
    """Start of the first minute, since 1970, UTC."""
    requests_per_minute: Floats
    """Shape ``(minutes,)``; NaN: nobody knows."""
    dispersion: Dispersion = Dispersion()
    tokens_by_hour: Mapping[int, TokenHistogram] = field(default_factory=dict)
    """By hour of the day, UTC; only hours with requests, and none where too little of a day was seen."""
    as_measured: "DemandProfile | None" = field(default=None, compare=False)
    """The profile before its hours were moved to the offset of a horizon; None: they are as they were measured."""

    def times(self, factor: float) -> "DemandProfile":
        """Profile with so many times the requests in every minute, in the same bursts."""
        if factor == 1:
            return self
        counts, dispersion = self.requests_per_minute * factor, self.dispersion.times(factor)
        measured = None if self.as_measured is None else self.as_measured.times(factor)
        return replace(self, requests_per_minute=counts, dispersion=dispersion, as_measured=measured)

    def most_at_once(self) -> float:
        """Requests in the second of a request of the busiest minute, on the mean: ``n / 60 + I_10s / 10 + I_1s``.

        A request sees its window as it is weighted by its size, which has an index of dispersion I more than the mean;
        no more than all n of its minute.
        """
        in_minute = float(np.nanmax(self.requests_per_minute))
        of_ten, of_one = (max(index or 1.0, 1.0) for index in (self.dispersion.ten_seconds, self.dispersion.one_second))
        return min(in_minute / SECONDS_PER_MINUTE + of_ten / 10 + of_one, in_minute)

    def history_hours(self) -> int:
        """Hours of the clock from the first to the last request, both whole, and quiet ones before and after them.

        A log has no line of the hours without a request at its ends. They count, up to a day of them, where the same
        hours of the week beside it had none either.
        """
        before = round(self.start_seconds / SECONDS_PER_MINUTE) % MINUTES_PER_HOUR
        after = -(before + len(self.requests_per_minute)) % MINUTES_PER_HOUR
        requests = np.pad(self.requests_per_minute, (before, after)).reshape(-1, MINUTES_PER_HOUR).sum(axis=1)
        if len(requests) < HOURS_PER_WEEK:
            return len(requests)
        next_hours, last_hours = requests[-HOURS_PER_WEEK:], requests[:HOURS_PER_WEEK][::-1]
        quiet_hours = sum(_leading_zeros(hours[:HOURS_PER_DAY]) for hours in (next_hours, last_hours))
        return len(requests) + min(quiet_hours, HOURS_PER_DAY)


def _leading_zeros(counts: Floats) -> int:
    """Number of zeros before the first other count, or all."""
    return len(counts) if not counts.any() else int((counts != 0).argmax())


@dataclass(frozen=True, slots=True)
class CappedMinutes:
    """Lone minutes far above all others, counted at less than was seen: a slip of a counter, or a burst of its own."""

    count: int
    of_minutes: int
    """Whole minutes that are known."""
    busiest_start_seconds: float
    """Start of the busiest of them, since 1970, UTC."""
    seen_requests_per_second: float
    """In the busiest of them, as they were measured, before any factor on the demand."""
    counted_requests_per_second: float
    """In each of them, before any factor too."""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Users who wait for each answer before they ask again; their rate follows from the response time."""

    users: float
    response_seconds: float
    """Response time at the targets, which the rate assumes."""


@dataclass(frozen=True, slots=True)
class DemandInterval:
    """Requests per second, from the least to the most that the evidence allows."""

    mean_low: float
    mean_high: float
    peak_low: float
    """In the busiest minute."""
    peak_high: float
    contradiction: str = ""
    """Why a stated volume cannot be true of the samples; empty when it can."""

    def times(self, factor: float) -> "DemandInterval":
        """The same of so many times the demand."""
        mean_low, mean_high = self.mean_low * factor, self.mean_high * factor
        return DemandInterval(mean_low, mean_high, self.peak_low * factor, self.peak_high * factor, self.contradiction)

    def words(self) -> str:
        """Words such as ``1 to 20 requests/s on average and 2 to 30 in the busiest minute``."""
        same = self.mean_low == self.mean_high
        mean = f"{self.mean_low:.3g}" if same else f"{self.mean_low:.3g} to {self.mean_high:.3g}"
        return f"{mean} requests/s on average and {self.peak_low:.3g} to {self.peak_high:.3g} in the busiest minute"


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """A signal in consecutive hours; both arrays have shape ``(hours,)``, NaN where nothing was observed."""

    mean: Floats
    """Over all rows of all machines."""
    greatest: Floats
    """Of any machine at any time."""


@dataclass(frozen=True, slots=True, eq=False)
class HourlyUse:
    """Use of the machines that served a demand while it was observed."""

    start_seconds: float
    """Start of the first hour, since 1970, UTC."""
    hosts: int
    """Hosts that were read for it."""
    hosts_in_all: int
    signals: Mapping[str, Hours]
    """``memory_used_ratio`` and ``busy_ratio`` of accelerators, ``kv_cache_used_ratio`` and ``requests_waiting`` of
    serving engines; those that nothing says are left out."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of a request, all of one size: those that it shows, or asks for."""

    count: float
    width: int
    """Pixels, as height."""
    height: int

    @property
    def pixels(self) -> int:
        """Pixels of one picture."""
        return self.width * self.height


_PARTS = ("profile", "interval", "batch", "beside")
"""Parts of a demand that grow with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Load that has to be served."""

    requests_per_second: ArrivalRate
    input_tokens: TokenQuantiles
    output_tokens: TokenQuantiles
    tokens: TokenHistogram
    longest_request_tokens: float
    """Prompt and answer of the longest request together."""
    source: str
    """Where it was measured, in words."""
    requests: int | None
    """Requests counted; None for declared demand."""
    window_seconds: float | None
    """Observed time; None for declared demand."""
    notes: tuple[str, ...] = ()
    """What a reader must know before trusting it."""
    profile: DemandProfile | None = None
    """None for declared demand."""
    interval: DemandInterval | None = None
    """What it may be instead, where it was not counted: told from accelerators alone; None: counted or declared."""
    unit: Unit = field(default=Unit.TOKENS, metadata=OMITTED_AT_DEFAULT)
    """Of the sizes. In any but tokens ``input_tokens`` is the size of an item, such as a document to rank, and
    ``output_tokens`` the number of items of a request."""

    answered_ratio: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Share of the clients' requests that a response cache answers; the rates are of the others."""
    use: HourlyUse | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Use of the machines that were sampled; None: the demand comes from something else."""
    batch: BatchRun | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Runs of batch work that the requests are; None: each is answered when it comes."""
    beside: BatchBeside | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Batch work beside the requests, which are no part of it; None: there is none."""
    pictures: Pictures | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Images of each request; None: none, or of no stated size."""
    capped: CappedMinutes | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Minutes of the profile that are counted at less than was seen; None: there are none."""
    closed_loop: ClosedLoop | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Users whom the rate follows from; None: it is stated or measured."""

    def with_notes(self, *notes: str) -> "Demand":
        """The same demand, and more to know of it."""
        return replace(self, notes=(*self.notes, *notes))

    def as_measured(self) -> "Demand":
        """The same demand, its profile in the hours that it was measured in."""
        if self.profile is None or self.profile.as_measured is None:
            return self
        return replace(self, profile=self.profile.as_measured)

    def with_prefix_cache(self, hit_ratio: float) -> "Demand":
        """The same requests, with that share of their prompts' tokens in a prefix cache."""
        return replace(self, tokens=self.tokens.with_hits(hit_ratio))

    def times(self, factor: float) -> "Demand":
        """The same requests, so many times as often at every moment."""
        if factor == 1:
            return self
        rate = ArrivalRate(*(factor * value for value in asdict(self.requests_per_second).values()))
        parts: dict[str, Any] = {name: getattr(self, name) for name in _PARTS}
        scaled = {name: part.times(factor) for name, part in parts.items() if part is not None}
        return replace(self, requests_per_second=rate, **scaled)

    def with_response_cache(self, answered_ratio: float) -> "Demand":
        """The requests that a response cache leaves to the fleet, whatever cache was counted before.

        ``rate = rate of all clients · (1 - answered_ratio)``; those left are taken to be as long as all.
        """
        if answered_ratio == self.answered_ratio:
            return self
        left = self.times((1 - answered_ratio) / (1 - self.answered_ratio))
        return replace(left, answered_ratio=answered_ratio)


@dataclass(frozen=True, slots=True)
class Backtest:
    """Accuracy that one method would have had on the past, from what was known before it."""

    method: str
    wape: float
    """Sum of the absolute errors of the hours' mean rates ÷ sum of those rates."""
    pinball: float
    """Mean pinball loss of the hours' low edge, mean and high edge ÷ mean rate: what the method is chosen by."""
    p90_coverage_ratio: float
    """Share of hours whose mean rate stayed within the upper edge."""
    hours_short_ratio: float
    """Share of hours whose busiest minute was above the forecast peak."""
    chosen: bool


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Requests per second in each hour of a week to come; arrays of shape ``(168,)`` from Monday 00:00 UTC."""

    mean: Floats
    low: Floats
    """10th percentile of the hour's mean rate over the horizon; at most the mean."""
    high: Floats
    """90th percentile of the same; at least the mean."""
    low_peak: Floats
    """10th percentile of the hour's busiest minute: what is in use in nine of ten such hours."""
    peak: Floats
    """90th percentile of the hour's busiest minute: nine of ten such hours stay within it in every minute."""
    interval_level: float
    horizon_days: float
    method: str
    backtest: tuple[Backtest, ...]
    notes: tuple[str, ...]
    growth_ratio: float = 1.0
    """Busiest minutes at the end of the horizon ÷ those of today, as ``peak`` has them."""


Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Requests in the order of arrival; arrays of shape ``(n,)``."""

    seconds: Floats
    """Since 1970, UTC; ascending."""
    input_tokens: Integers
    output_tokens: Integers
    places: Integers | None = None
    """Index of the users' place of each request; None: all come from the first."""
    weights: Floats | None = None
    """Requests that each stands for, in proportion; None: all for as many."""
    notes: tuple[str, ...] = ()
    """What a reader must know before trusting them."""


MAX_TOKENS = 4_000_000
"""Longer prompts than any model takes: a count above it is a mistake in the trace."""
LARGEST_SIZE = 2**31 - 1
"""Largest item, in its unit: sizes are kept as 32-bit integers."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers, and how a cell becomes a whole number in the unit of the demand."""

    name: str
    headers: tuple[str, ...] = ()
    """Accepted headers, lower case; none: the number is the same for every request."""
    per_cell: float = 1.0
    """Units of the demand in one of a cell."""
    least: int = 0
    usual: int | None = None
    """Number of every request where the column is missing; None: it has to be there."""
    counted: str = "a token count"


TIME = Column("timestamp", ("timestamp", "time", "arrival_time", "arrived_at", "arrival_timestamp"))
NUMBERS_OF_REQUESTS = ("requests", "request_count", "num_requests", "num_model_requests", "api_requests", "n_requests")
"""Headers of usage exports whose rows stand for many requests."""
PROMPT = Column(
    "input_tokens", ("input_tokens", "contexttokens", "context_tokens", "prompt_tokens", "num_prefill_tokens")
)
ANSWER = Column(
    "output_tokens", ("output_tokens", "generatedtokens", "generated_tokens", "completion_tokens", "num_decode_tokens")
)
TEXT = Column("input_tokens", (*PROMPT.headers, "tokens"), least=1)
DOCUMENT = Column("tokens_per_document", ("tokens_per_document",), least=1)
DOCUMENTS = Column("documents", ("documents",), least=1, counted="a number of documents")
RECORDING = Column(
    "audio_seconds",
    ("audio_seconds", "duration_seconds", "audio_duration"),
    per_cell=1000.0,
    least=1,
    counted="a recording, in ms,",
)
LONGEST_RECORDING_SECONDS = MAX_TOKENS / RECORDING.per_cell
IMAGES = Column("images", ("images", "num_images"), least=1, usual=1, counted="a number of images")
ROWS = Column("rows", ("rows",), least=1, usual=1, counted="a number of rows")
STEPS = Column("steps", ("steps", "num_inference_steps"), least=1, counted="a number of steps")
WIDTH = Column("width", ("width",), least=1, counted="a width in pixels")
HEIGHT = Column("height", ("height",), least=1, counted="a height in pixels")
ONE = Column("items", usual=1)


@dataclass(frozen=True, slots=True)
class SizeColumns:
    """Columns that tell the size of a request; of language models the tokens of prompt and answer."""

    sizes: tuple[Column, ...]
    """Their product is the size of an item."""
    items: Column
    """Items of a request."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All of them, that of the items last."""
        return (*self.sizes, self.items)


OF_TOKENS = SizeColumns((PROMPT,), ANSWER)
OF_TEXTS = SizeColumns((TEXT,), ONE)
OF_DOCUMENTS = SizeColumns((DOCUMENT,), DOCUMENTS)
OF_RECORDINGS = SizeColumns((RECORDING,), ONE)
OF_IMAGES = SizeColumns((ONE,), IMAGES)
OF_TIMES = SizeColumns((ONE,), ONE)
"""Arrivals alone."""
OF_PICTURES = SizeColumns((WIDTH, HEIGHT, STEPS), IMAGES)
"""Pixels × steps of a picture, and pictures of a request."""
OF_WIDTHS = SizeColumns((WIDTH,), IMAGES)
OF_PIXELS = SizeColumns((WIDTH, HEIGHT), IMAGES)
"""Pixels of a picture, and pictures of a request."""
_TOLD_BY: Sequence[tuple[Column, Unit, SizeColumns]] = (
    (ANSWER, Unit.TOKENS, OF_TOKENS),
    (DOCUMENT, Unit.TEXTS, OF_DOCUMENTS),
    (RECORDING, Unit.AUDIO, OF_RECORDINGS),
    (STEPS, Unit.PICTURES, OF_PICTURES),
    (IMAGES, Unit.IMAGES, OF_IMAGES),
)
"""Columns that only traces of one unit have, the first that a header has counts."""


KIND_COLUMNS = (
    "language models: input_tokens, output_tokens; rerankers: documents, tokens_per_document; texts: tokens; "
    "speech: audio_seconds; images: images"
)


def is_of_times_alone(headers: Collection[str]) -> bool:
    """Whether a trace has times, and no column of tokens."""
    named = {header.strip().lower() for header in headers}
    return bool(named.intersection(TIME.headers)) and named.isdisjoint((*PROMPT.headers, *ANSWER.headers))


def told_unit(headers: Collection[str]) -> tuple[Unit, SizeColumns] | None:
    """Unit of the requests of a trace and the columns of their sizes, by its headers; None where they do not tell."""
    named = {header.strip().lower() for header in headers}
    return next(
        ((unit, columns) for column, unit, columns in _TOLD_BY if named.intersection(column.headers)),
        (Unit.TEXTS, OF_TEXTS) if named & {"tokens"} else None,
    )
