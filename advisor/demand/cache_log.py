"""Request log (JSON lines) → hashes: prompts are hashed as they are read, by a key that ends with the process."""

import codecs
import datetime as dt
import hashlib
import json
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from advisor.demand.spread import LAST_SECONDS, ticks_per_second
from advisor.errors import InputError
from advisor.reading import RESULT_FILE
from advisor.records import dataclass, field
from advisor.units import BYTES_PER_MIB, counted

CHARACTERS_PER_TOKEN = 4
"""Characters of English that a token stands for, where a log holds text: only how fine blocks are depends on it."""
BYTES_PER_TOKEN = 4
"""Bytes of an answer that a token stands for, where a log holds no answers."""
BLOCK_TOKENS = 16
"""Tokens of a block where neither the log nor its reader says how many."""
MOST_BLOCK_TOKENS = 4096
_MASK = (1 << 64) - 1
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd multiplier near 2^64 ÷ golden ratio (Knuth, TAOCP 3, 6.4): spreads hashes evenly over 64 bits."""
_EVERY = 100_000
_MOST_LINE_BYTES = 16 * BYTES_PER_MIB
_MOST_TOKENS = 1e9
_MOST_DIMENSIONS = 16_384
MOST_REQUESTS = 20_000
"""Requests that are compared with each other, the first of a log: work grows with their square."""
MOST_BLOCKS = 8_000_000
"""Room for blocks of prompts, a gigabyte with their replay."""
_TIMES = ("timestamp", "startTime", "created_at", "created")
_NOTHING: tuple[object, ...] = (None, "", "{}", "[]", {}, [])
"""Prompts and answers of logs that leave them out, such as LiteLLM's."""
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""First bytes of gzip and Zstandard."""
_HINT = "each line needs prompt, messages, input (a text), hash_ids (of its blocks) or key (a hash of your own)"
_TIMES_HINT = "give times in one unit (--time-unit), or in ISO 8601"
_BLOCKS_HINT = (
    "--block-tokens states the size of a block; input_length is the whole prompt in tokens, and may be left out"
)
_Scope = tuple[str | None, str | None]


@dataclass(slots=True)
class RequestLog:
    """Requests in the order of the log, as hashes and sizes."""

    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hash of each request: prompt, with model and scope where they are stated."""
    times_s: "array[float]" = field(default_factory=lambda: array("d"))
    """Empty where a request has no time."""
    untimed: int = 0
    """Requests without a time."""
    first_untimed_line: int | None = None
    blocks: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hashes of blocks of all prompts, each with all before it, the last block of a prompt first."""
    blocks_of: "array[int]" = field(default_factory=lambda: array("I"))
    """Blocks of each prompt among them."""
    blocks_total: int = 0
    """Blocks of all prompts."""
    block_tokens: int = BLOCK_TOKENS
    """Tokens of a block."""
    is_size_derived: bool = False
    """Whether lengths and blocks of the prompts say how many tokens a block has."""
    sampled_one_in: int = 1
    """Share of the distinct blocks that *blocks* holds, as its inverse; they are chosen by hash."""
    tokens: "array[float]" = field(default_factory=lambda: array("f"))
    """Tokens of each prompt with blocks; of text: its characters ÷ 4."""
    answer_bytes: "array[float]" = field(default_factory=lambda: array("f"))
    """Size of each request's answer; NaN where it is not known."""
    embeddings: list[npt.NDArray[np.float32]] = field(default_factory=list)
    """Embeddings of the first requests that have one, as many as are compared."""
    embedded_at: "array[int]" = field(default_factory=lambda: array("I"))
    """Places of these requests in the log."""
    embedded_scopes: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hash of model and scope of each of them."""
    embedded: int = 0
    """Requests that have an embedding."""
    answers: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hash of the answer of each request whose embedding is kept; empty where one is not known."""

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.keys)


def read_log(
    path: Path,
    block_tokens: int | None = None,
    ticks_per_second: float | None = None,
    progress: Callable[[int], None] | None = None,
    most_blocks: int = MOST_BLOCKS,
) -> RequestLog:
    """The requests of a log of JSON lines.

    *block_tokens*: tokens of a block of a prompt; None: as many as ``hash_ids`` and ``input_length`` say, else 16.
    *ticks_per_second*: unit of numeric timestamps; None: that in which the first is a date, else seconds. *progress* is
    called with the number of requests read so far. *most_blocks*: blocks of prompts that are kept; of more an even
    sample. Raises InputError if the file cannot be read or is empty, a line is no request, with its number, or
    ``input_length`` and ``hash_ids`` contradict the size of a block or leave it open.
    """
    reader = _Reader(block_tokens, ticks_per_second, most_blocks)
    count = 0
    for number, line in _lines(path):
        try:
            reader.add(line, number)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            hint = error.hint if isinstance(error, _NoRequestError) else _HINT
            raise InputError(f"it is not a request ({_told(error)})", where=f"{path}:{number}", hint=hint) from None
        count += 1
        if progress and count % _EVERY == 0:
            progress(count)
    if not count:
        raise InputError("the log holds no request", where=str(path), hint=_HINT)
    try:
        return reader.finished()
    except _NoRequestError as error:
        raise InputError(str(error), where=str(path), hint=error.hint) from None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines of the file that are not empty, with their numbers."""
    try:
        RESULT_FILE.refuse(path)
        with path.open("rb") as stream:
            if stream.peek(1).startswith(_PACKED):
                raise InputError("the log is packed", where=str(path), hint="unpack it (gunzip, unzstd)")
            if stream.peek(1).startswith(codecs.BOM_UTF8):
                stream.read(len(codecs.BOM_UTF8))
            pieces = iter(partial(stream.readline, _MOST_LINE_BYTES + 1), b"")
            for number, line in enumerate(pieces, start=1):
                if len(line) > _MOST_LINE_BYTES:
                    most = f"{_MOST_LINE_BYTES // BYTES_PER_MIB} MiB"
                    raise InputError(f"the line is longer than {most}", where=f"{path}:{number}", hint=_HINT)
                if not line.isspace():
                    yield number, line
    except OSError as error:
        raise InputError(f"cannot read the log ({error.strerror})", where=str(path)) from error


def _told(error: Exception) -> str:
    """Cause without a word of the line: it may be a prompt."""
    if isinstance(error, _NoRequestError):
        return str(error)
    if isinstance(error, RecursionError):
        return "it nests too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeError):
        return "no JSON"
    return "a number of too many digits" if isinstance(error, ValueError) else "a field holds another kind of value"


class _NoRequestError(ValueError):
    """Line that is not a request; its message holds no word of it."""

    def __init__(self, reason: str, hint: str = _HINT) -> None:
        """Keep the remedy beside the reason."""
        super().__init__(reason)
        self.hint = hint


class _BlockSize:
    """Tokens of a block: as stated, or as numbers of blocks and lengths of prompts leave open.

    A prompt of so many tokens has a block for each whole one, and where its end is hashed too one more:
    ``blocks - 1 < tokens / size < blocks + 1``.
    """

    def __init__(self, stated: int | None) -> None:
        """Begin with every size, or the stated one."""
        self.stated = stated
        self.least, self.most = (1, MOST_BLOCK_TOKENS) if stated is None else (stated, stated)
        self.is_told = False

    def narrow(self, blocks: int, tokens: float) -> None:
        """Leave out sizes that a prompt of these blocks and tokens rules out. Raises _NoRequestError if all are."""
        least = max(self.least, math.floor(tokens / (blocks + 1)) + 1)
        most = self.most if blocks < 2 else min(self.most, math.ceil(tokens / (blocks - 1)) - 1)
        if least > most:
            told = f"hash_ids: {counted(blocks, 'block')} for {tokens:,.9g} tokens"
            if self.stated is None and self.is_told:
                _refuse(f"{told}, where the lines before have blocks of {_span(self.least, self.most)}", _BLOCKS_HINT)
            _refuse(f"{told}, which no blocks of {_span(self.least, self.most)} make", _BLOCKS_HINT)
        self.least, self.most, self.is_told = least, most, True

    def tokens(self) -> int:
        """Size of a block: 16 if left, else the only power of two. Raises _NoRequestError if several are left."""
        left = range(self.least, self.most + 1)
        likely = [size for size in left if size == BLOCK_TOKENS] or [size for size in left if size.bit_count() == 1]
        if len(likely or left) > 1:
            _refuse(
                f"input_length and hash_ids fit blocks of {_span(self.least, self.most)}",
                f"--block-tokens says how many, from {self.least} to {self.most}",
            )
        return (likely or left)[0]


def _span(least: int, most: int) -> str:
    return counted(most, "token") if least == most else f"{least:,} to {counted(most, 'token')}"


class _Reader:
    """Lines into hashes."""

    def __init__(self, block_tokens: int | None, ticks_per_second: float | None, most_blocks: int) -> None:
        """Begin with an empty log."""
        self._log, self._answered = RequestLog(), True
        self._size, self._has_text = _BlockSize(block_tokens), False
        self._text_block_tokens = block_tokens or BLOCK_TOKENS
        self._ticks_per_second, self._most_blocks = ticks_per_second, most_blocks

    def add(self, line: bytes, number: int) -> None:
        """Take the request of a line of the log."""
        row = _DECODER.decode(line.decode())
        if not isinstance(row, dict):
            _refuse("no object")
        scope = _label(row, "scope"), _label(row, "model")
        self._log.keys.append(self._prompt(row, scope))
        self._time(next((row[name] for name in _TIMES if row.get(name) is not None), None), number)
        self._answer(row, scope)

    def finished(self) -> RequestLog:
        """The log; without times or answers where a request lacks one.

        Raises _NoRequestError if the size of a block is open, or texts were cut into blocks of another size.
        """
        log, size = self._log, self._size.tokens() if self._size.is_told else self._text_block_tokens
        if self._has_text and size != self._text_block_tokens:
            _refuse(
                f"hash_ids have blocks of {counted(size, 'token')}, and other lines hold texts",
                f"--block-tokens {size} cuts the texts into blocks of that size, too",
            )
        log.block_tokens, log.is_size_derived = size, self._size.is_told and self._size.stated is None
        tokens = np.frombuffer(log.tokens, np.float32)
        tokens[tokens < 0] *= -size
        if self._log.sampled_one_in > 1:
            self._sample()
        if self._log.untimed:
            self._log.times_s = array("d")
        if not self._answered:
            self._log.answers = array("Q")
        return self._log

    def _prompt(self, row: Mapping[str, Any], scope: _Scope) -> int:
        """Hash of a prompt; its blocks go into the log."""
        if row.get("hash_ids") is not None:
            ids = _block_ids(row["hash_ids"])
            tokens = _tokens(row, ("input_length", "input_tokens")) or None
            if tokens is not None and ids:
                self._size.narrow(len(ids), tokens)
            self._blocks(scope, ids, -len(ids) if tokens is None else tokens)
            return hash((scope, ids, tokens)) & _MASK
        if row.get("key") is not None:
            return hash((scope, _label(row, "key"))) & _MASK
        text, width = _prompt_text(row), self._text_block_tokens * CHARACTERS_PER_TOKEN
        self._has_text = True
        pieces = [text[start : start + width] for start in range(0, len(text) - width + 1, width)]
        self._blocks(scope, pieces, len(text) / CHARACTERS_PER_TOKEN)
        return hash((scope, text)) & _MASK

    def _blocks(self, scope: _Scope, blocks: Sequence[int | str], tokens: float) -> None:
        """Take the blocks of a prompt: each is the same as another where all before it are, and model and scope.

        Where its tokens are not known they are minus its blocks, until the size of a block is known.
        """
        log = self._log
        log.blocks_of.append(len(blocks))
        log.tokens.append(tokens)
        if not blocks:
            return
        chained, hashes = _steady_hash(repr(scope)), []
        for block in blocks:
            chained = hash((chained, block if isinstance(block, int) else _steady_hash(block)))
            hashes.append(chained & _MASK)
        log.blocks.extend(reversed(hashes))
        log.blocks_total += len(hashes)
        if len(log.blocks) > self._most_blocks:
            self._sample()

    def _sample(self) -> None:
        """Keep blocks whose mixed hash is below a threshold, which halves until half of the room is free.

        Every access of a block is kept or none: spatial sampling (Waldspurger et al., FAST 2015).
        """
        log = self._log
        blocks, prompts = np.array(log.blocks, np.uint64), np.repeat(np.arange(len(log.blocks_of)), log.blocks_of)
        mixed = blocks * _MIX
        while (kept := mixed < 2**64 // log.sampled_one_in).sum() > self._most_blocks // 2:
            log.sampled_one_in *= 2
        log.blocks = array("Q", blocks[kept].tobytes())
        log.blocks_of = array("I", np.bincount(prompts[kept], minlength=len(log.blocks_of)).astype(np.uint32).tobytes())

    def _time(self, stamp: object, line: int) -> None:
        if stamp is None:
            self._log.untimed += 1
            self._log.first_untimed_line = self._log.first_untimed_line or line
            return
        seconds = _seconds_of_date(stamp)
        if seconds is None:
            if self._ticks_per_second is None:
                self._ticks_per_second = ticks_per_second(_number(stamp))[0]
            seconds = _number(stamp) / self._ticks_per_second
        if not math.isfinite(seconds):
            _refuse(f"timestamp: no {'date and time in ISO 8601' if isinstance(stamp, str) else 'finite number'}")
        if abs(seconds) >= LAST_SECONDS:
            _refuse("timestamp: more than 130 years from 1970", _TIMES_HINT)
        self._log.times_s.append(seconds)

    def _answer(self, row: Mapping[str, Any], scope: _Scope) -> None:
        """Size of the answer, and with an embedding what it is."""
        response = row.get("response")
        tokens = _tokens(row, ("output_length", "output_tokens", "completion_tokens"))
        size = tokens and tokens * BYTES_PER_TOKEN
        if response not in _NOTHING:
            size = len(str(response).encode(errors="surrogatepass"))
        self._log.answer_bytes.append(size or math.nan)
        if row.get("embedding") is not None:
            self._embedding(row["embedding"], row.get("answer_id", response), scope)

    def _embedding(self, value: object, answer: object, scope: _Scope) -> None:
        vector = _vector(value, self._log.embeddings)
        self._log.embedded += 1
        if len(self._log.embeddings) == MOST_REQUESTS:
            return
        self._log.embeddings.append(vector)
        self._log.embedded_at.append(len(self._log.keys) - 1)
        self._log.embedded_scopes.append(hash(scope) & _MASK)
        self._answered &= answer is not None
        self._log.answers.append(hash(str(answer)) & _MASK)


def _steady_hash(text: str) -> int:
    """Hash of a text that is the same in every run, as the sample of blocks has to be; Python's own begins anew."""
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _prompt_text(row: Mapping[str, Any]) -> str:
    """Prompt, messages, or the text or tokens of an embedding request."""
    texts = row.get("input")
    if isinstance(texts, list) and any(isinstance(text, str | list) for text in texts):
        if len(texts) > 1:
            _refuse("input holds several texts, each of which is looked up by itself: give each a line")
        texts = texts[0]
    fields = (row.get("prompt"), row.get("messages"), texts)
    value = next((value for value in fields if value not in _NOTHING), None)
    if value is None:
        _refuse("no identifier")
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _label(row: Mapping[str, Any], name: str) -> str | None:
    """Field that tells requests apart; None where it is absent."""
    value = row.get(name)
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, int | float):
        _refuse(f"{name}: no text and no number")
    return str(value)


def _block_ids(value: object) -> tuple[int, ...]:
    ids = None
    with suppress(ValueError, TypeError, OverflowError):
        ids = tuple(map(int, value)) if isinstance(value, list) else None
    if ids is None:
        _refuse("hash_ids: no list of whole numbers")
    return ids


def _tokens(row: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    """Number of tokens from the first of some fields that is there; None where none is."""
    for name in names:
        if (value := row.get(name)) is not None:
            tokens = _number(value)
            if not 0 <= tokens <= _MOST_TOKENS:
                _refuse(f"{name}: no number from 0 to {_MOST_TOKENS:,.0f}")
            return tokens
    return None


def _seconds_of_date(stamp: object) -> float | None:
    """Time of a text in ISO 8601, in UTC where it names no zone; None: it is none."""
    if isinstance(stamp, str):
        with suppress(ValueError, OverflowError):
            moment = dt.datetime.fromisoformat(stamp)
            return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    return None


def _number(value: object) -> float:
    """Number of a number, or of the text of one; NaN of anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        _refuse("a key is there twice in one object")
    return fields


_DECODER = json.JSONDecoder(
    object_pairs_hook=_fields, parse_constant=lambda _: _refuse("NaN and Infinity are not numbers of JSON")
)


def _vector(value: object, others: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Embedding of length 1."""
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


def _refuse(reason: str, hint: str = _HINT) -> NoReturn:
    raise _NoRequestError(reason, hint)
