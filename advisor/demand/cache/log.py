"""Request log (JSON lines) → hashes: prompts are hashed as they are read, by a key that ends with the process."""

import datetime as dt
import json
import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from advisor.demand.cache.semantic import MOST_REQUESTS
from advisor.errors import InputError
from advisor.units import BYTES_PER_MIB

CHARACTERS_PER_TOKEN = 4
"""Characters of English that a token stands for, where a log holds text: only how fine blocks are depends on it."""
BYTES_PER_TOKEN = 4
"""Bytes of an answer that a token stands for, where a log holds no answers."""
_MASK = (1 << 64) - 1
_PROMPTS = ("prompt", "messages")
_EVERY = 100_000
_MOST_LINE_BYTES = 16 * BYTES_PER_MIB
_MOST_TOKENS = 1e9
_MOST_DIMENSIONS = 16_384
_MOST_DIGITS = 40
_HINT = "each line needs prompt, messages, hash_ids (of its blocks) or key (a hash of your own)"


@dataclass(slots=True)
class RequestLog:
    """Requests in the order of the log, as hashes and sizes."""

    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hash of each request: prompt, with model and scope where they are stated."""
    times_s: "array[float]" = field(default_factory=lambda: array("d"))
    """Empty where a request has no time."""
    blocks: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hashes of the blocks of all prompts, each with all before it, the last block of a prompt first."""
    blocks_of: "array[int]" = field(default_factory=lambda: array("I"))
    """Blocks of each prompt."""
    tokens: "array[float]" = field(default_factory=lambda: array("f"))
    """Tokens of each prompt with blocks; of text: its characters ÷ 4."""
    answer_bytes: float = 0.0
    answers_sized: int = 0
    """Requests whose answer has a size."""
    embeddings: list[npt.NDArray[np.float32]] = field(default_factory=list)
    """Embeddings of the first requests that have one, as many as are compared."""
    embedded: int = 0
    """Requests that have an embedding."""
    answers: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hash of the answer of each request whose embedding is kept; empty where one is not known."""

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.keys)

    @property
    def mean_answer_bytes(self) -> float | None:
        """Bytes of an answer on average; None where no size is known."""
        return self.answer_bytes / self.answers_sized if self.answers_sized else None


def read_log(
    path: Path, block_tokens: int, ticks_per_second: float = 1.0, progress: Callable[[int], None] | None = None
) -> RequestLog:
    """The requests of a log.

    Args:
        path: JSON lines.
        block_tokens: tokens of a block of a prompt.
        ticks_per_second: unit of numeric timestamps.
        progress: called with the number of requests read so far.

    Raises:
        InputError: the file cannot be read or is empty, or a line is no request, with its number.
    """
    reader = _Reader(block_tokens, ticks_per_second)
    count = 0
    for number, line in _lines(path):
        try:
            reader.add(line)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InputError(f"it is no request ({_told(error)})", where=f"{path}:{number}", hint=_HINT) from None
        count += 1
        if progress and count % _EVERY == 0:
            progress(count)
    if not count:
        raise InputError("the log holds no request", where=str(path), hint=_HINT)
    return reader.finished()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines of the file that are not empty, with their numbers."""
    try:
        with path.open("rb") as stream:
            pieces = iter(lambda: stream.readline(_MOST_LINE_BYTES + 1), b"")
            for number, line in enumerate(pieces, start=1):
                if len(line) > _MOST_LINE_BYTES:
                    most = f"{_MOST_LINE_BYTES // BYTES_PER_MIB} MiB"
                    raise InputError(f"the line is longer than {most}", where=f"{path}:{number}", hint=_HINT)
                if line.strip():
                    yield number, line
    except OSError as error:
        raise InputError(f"cannot read the log ({error.strerror})", where=str(path)) from error


def _told(error: Exception) -> str:
    """Cause without a word of the line: it may be a prompt."""
    if isinstance(error, _NoRequestError):
        return str(error)
    if isinstance(error, RecursionError):
        return "it nests too deeply"
    return "no JSON" if isinstance(error, ValueError) else "a field holds another kind of value than it should"


class _NoRequestError(ValueError):
    """Line that is no request; its message holds no word of it."""


class _Reader:
    """Lines into hashes."""

    def __init__(self, block_tokens: int, ticks_per_second: float) -> None:
        """Begin with an empty log."""
        self._log, self._timed, self._answered = RequestLog(), True, True
        self._tokens, self._characters = block_tokens, block_tokens * CHARACTERS_PER_TOKEN
        self._ticks_per_second = ticks_per_second

    def add(self, line: bytes) -> None:
        """Take one request."""
        row = json.loads(line, parse_constant=_no_number, parse_int=_whole_number)
        if not isinstance(row, dict):
            _refuse("no object")
        scope = tuple(_label(row, name) for name in ("scope", "model"))
        self._log.keys.append(self._prompt(row, scope))
        self._time(row.get("timestamp"))
        self._answer(row)

    def finished(self) -> RequestLog:
        """The log; without times or answers where a request lacks one."""
        if not self._timed:
            self._log.times_s = array("d")
        if not self._answered:
            self._log.answers = array("Q")
        return self._log

    def _prompt(self, row: Mapping[str, Any], scope: tuple[object, ...]) -> int:
        """Hash of a prompt; its blocks go into the log."""
        if row.get("hash_ids") is not None:
            ids = _block_ids(row["hash_ids"])
            tokens = _tokens(row, ("input_length", "input_tokens")) or len(ids) * float(self._tokens)
            self._blocks([identifier & _MASK for identifier in ids], tokens)
            return hash((scope, ids, tokens)) & _MASK
        if row.get("key") is not None:
            return hash((scope, _label(row, "key"))) & _MASK
        text = next((_text(row[name]) for name in _PROMPTS if row.get(name) is not None), None)
        if text is None:
            _refuse("no identifier")
        self._text_blocks(text, scope)
        return hash((scope, text)) & _MASK

    def _text_blocks(self, text: str, scope: tuple[object, ...]) -> None:
        chained, hashes = hash(scope), []
        for start in range(0, len(text) - self._characters + 1, self._characters):
            chained = hash((chained, text[start : start + self._characters]))
            hashes.append(chained & _MASK)
        self._blocks(hashes, len(text) / CHARACTERS_PER_TOKEN)

    def _blocks(self, hashes: list[int], tokens: float) -> None:
        self._log.blocks.extend(reversed(hashes))
        self._log.blocks_of.append(len(hashes))
        self._log.tokens.append(tokens)

    def _time(self, stamp: object) -> None:
        if stamp is None:
            self._timed = False
            return
        seconds = _seconds(stamp, self._ticks_per_second)
        if self._timed:
            self._log.times_s.append(seconds)

    def _answer(self, row: Mapping[str, Any]) -> None:
        """Size of the answer, and with an embedding what it is."""
        response = row.get("response")
        tokens = _tokens(row, ("output_length", "output_tokens"))
        size = _text_bytes(response) if response is not None else tokens and tokens * BYTES_PER_TOKEN
        if size:
            self._log.answer_bytes += size
            self._log.answers_sized += 1
        if row.get("embedding") is not None:
            self._embedding(row["embedding"], row.get("answer_id", response))

    def _embedding(self, value: object, answer: object) -> None:
        vector = _vector(value, self._log.embeddings)
        self._log.embedded += 1
        if len(self._log.embeddings) == MOST_REQUESTS:
            return
        self._log.embeddings.append(vector)
        self._answered &= answer is not None
        self._log.answers.append(hash(str(answer)) & _MASK)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _text_bytes(value: object) -> int:
    return len(str(value).encode(errors="surrogatepass"))


def _label(row: Mapping[str, Any], name: str) -> str | None:
    """Field that tells requests apart; None where it is absent."""
    value = row.get(name)
    if value is not None and not isinstance(value, str | int | float):
        _refuse(f"{name}: no text and no number")
    return None if value is None else str(value)


def _block_ids(value: object) -> tuple[int, ...]:
    try:
        ids = tuple(map(int, value)) if isinstance(value, list) else None
    except (ValueError, TypeError, OverflowError):
        ids = None
    if ids is None:
        _refuse("hash_ids: no list of whole numbers")
    return ids


def _tokens(row: Mapping[str, Any], names: tuple[str, str]) -> float | None:
    """Number of tokens from the first of two fields that is there; None where neither is."""
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        return None
    tokens = _number(row[name])
    if not 0 <= tokens <= _MOST_TOKENS:
        _refuse(f"{name}: no number from 0 to {_MOST_TOKENS:,.0f}")
    return tokens


def _seconds(stamp: object, ticks_per_second: float) -> float:
    """Time of a number of ticks, or of a text in ISO 8601."""
    try:
        if isinstance(stamp, str):
            return dt.datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        _refuse("timestamp: no date and time in ISO 8601")
    seconds = _number(stamp) / ticks_per_second
    if not math.isfinite(seconds):
        _refuse("timestamp: no finite number")
    return seconds


def _number(value: object) -> float:
    """Number of a number, or of the text of one; NaN of anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        _refuse(f"a number of more than {_MOST_DIGITS} digits")
    return int(digits)


def _no_number(_: str) -> NoReturn:
    _refuse("NaN and Infinity are no numbers of JSON")


def _vector(value: object, others: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Embedding of length 1.

    Raises:
        ValueError: it is no vector of numbers, all zero, or of another length than those before.
    """
    if not isinstance(value, list) or not set(map(type, value)) <= {int, float}:
        _refuse("embedding: no list of numbers")
    if len(value) > _MOST_DIMENSIONS:
        _refuse(f"embedding: {len(value):,} numbers, and {_MOST_DIMENSIONS:,} are the most")
    vector = np.array(value, np.float64)
    largest = float(np.abs(vector).max(initial=0.0))
    if not 0 < largest < np.inf:
        _refuse("embedding: no list of numbers with a direction")
    vector /= largest
    if others and others[0].size != vector.size:
        _refuse(f"embedding: {vector.size} numbers, {others[0].size} before")
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _refuse(reason: str) -> NoReturn:
    raise _NoRequestError(reason)
