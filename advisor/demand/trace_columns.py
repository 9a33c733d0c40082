"""Columns of request traces: arrival time, and what tells the size of a request of each kind of model."""

from dataclasses import dataclass

MAX_TOKENS = 4_000_000
"""Longer prompts than any model takes: a count above it is a mistake in the trace."""


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
PROMPT = Column(
    "input_tokens", ("input_tokens", "contexttokens", "context_tokens", "prompt_tokens", "num_prefill_tokens")
)
ANSWER = Column(
    "output_tokens",
    ("output_tokens", "generatedtokens", "generated_tokens", "completion_tokens", "num_decode_tokens"),
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
IMAGES = Column("images", ("images",), least=1, usual=1, counted="a number of images")
ROWS = Column("rows", ("rows",), least=1, usual=1, counted="a number of rows")
ONE = Column("items", usual=1)

SizeColumns = tuple[Column, Column]
"""Size of an item, and items of a request; of language models the tokens of prompt and answer."""
OF_TOKENS: SizeColumns = (PROMPT, ANSWER)
