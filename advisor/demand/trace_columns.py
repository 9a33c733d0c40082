"""Columns of request traces (arrival time, sizes for each kind of model), and requests in order of arrival."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.values import Unit
from advisor.records import dataclass

Floats = npt.NDArray[np.float64]
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
