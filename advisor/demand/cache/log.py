"""Request log (JSON lines) → hashes: prompts are hashed as they are read, by a key that ends with the process."""

import datetime as dt
import json
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError

CHARACTERS_PER_TOKEN = 4
"""Characters of English that a token stands for, where a log holds text: only how fine blocks are depends on it."""
BYTES_PER_TOKEN = 4
"""Bytes of an answer that a token stands for, where a log holds no answers."""
_MASK = (1 << 64) - 1
_PROMPTS = ("prompt", "messages")
_EVERY = 100_000
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
    embedded: list[int] = field(default_factory=list)
    """Positions of the requests that have an embedding."""
    answers: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hash of the answer of each request with an embedding; empty where one is not known."""

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
    number = 0
    for number, line in enumerate(_lines(path), start=1):
        try:
            reader.add(line)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"it is no request ({_told(error)})", where=f"{path}:{number}", hint=_HINT) from None
        if progress and number % _EVERY == 0:
            progress(number)
    if not number:
        raise InputError("the log holds no request", where=str(path), hint=_HINT)
    return reader.finished()


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of the file that are not empty."""
    try:
        with path.open("rb") as stream:
            yield from filter(bytes.strip, stream)
    except OSError as error:
        raise InputError(f"cannot read the log ({error.strerror})", where=str(path)) from error


def _told(error: Exception) -> str:
    """Cause without a word of the line: it may be a prompt."""
    return "no JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)


class _Reader:
    """Lines into hashes."""

    def __init__(self, block_tokens: int, ticks_per_second: float) -> None:
        """Begin with an empty log."""
        self._log, self._timed, self._answered = RequestLog(), True, True
        self._tokens, self._characters = block_tokens, block_tokens * CHARACTERS_PER_TOKEN
        self._ticks_per_second = ticks_per_second

    def add(self, line: bytes) -> None:
        """Take one request."""
        row = json.loads(line)
        if not isinstance(row, dict):
            _refuse("no object")
        scope = (row.get("scope"), row.get("model"))
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
        if "hash_ids" in row:
            ids = tuple(map(int, row["hash_ids"]))
            tokens = float(row.get("input_length") or row.get("input_tokens") or len(ids) * self._tokens)
            self._blocks([identifier & _MASK for identifier in ids], tokens)
            return hash((scope, ids, tokens)) & _MASK
        if "key" in row:
            return hash((scope, str(row["key"]))) & _MASK
        text = next((_text(row[name]) for name in _PROMPTS if name in row), None)
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
        if stamp is None or not self._timed:
            self._timed = False
            return
        if isinstance(stamp, str):
            seconds = dt.datetime.fromisoformat(stamp).timestamp()
        else:
            seconds = float(stamp) / self._ticks_per_second  # type: ignore[arg-type]
        self._log.times_s.append(seconds)

    def _answer(self, row: Mapping[str, Any]) -> None:
        """Size of the answer, and with an embedding what it is."""
        response = row.get("response")
        tokens = row.get("output_length", row.get("output_tokens"))
        size = len(str(response).encode()) if response is not None else tokens and float(tokens) * BYTES_PER_TOKEN
        if size:
            self._log.answer_bytes += size
            self._log.answers_sized += 1
        if "embedding" in row:
            self._log.embeddings.append(_vector(row["embedding"], self._log.embeddings))
            self._log.embedded.append(len(self._log.keys) - 1)
            answer = row.get("answer_id", response)
            self._answered &= answer is not None
            self._log.answers.append(hash(str(answer)) & _MASK)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _vector(value: object, others: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Embedding of length 1.

    Raises:
        ValueError: it is no vector of numbers, all zero, or of another length than those before.
    """
    vector = np.asarray(value, np.float32)
    size = float(np.linalg.norm(vector)) if vector.ndim == 1 else 0.0
    if not 0 < size < np.inf:
        _refuse("embedding: no list of numbers with a direction")
    if others and others[0].size != vector.size:
        _refuse(f"embedding: {vector.size} numbers, {others[0].size} before")
    return vector / size


def _refuse(reason: str) -> NoReturn:
    raise ValueError(reason)
