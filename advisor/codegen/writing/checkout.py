"""Directory of code as a person has it: its record, and the files that were given another name.

A file of another name is known by what it holds: a resource, an object of a cluster or a function stands in one file of
a folder alone. Where a text names nothing, most of its lines tell.
"""

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePosixPath

from advisor.codegen.moved import FILE as MOVES
from advisor.codegen.moved import is_as_generated
from advisor.codegen.writing.record import Record, base_text, digest_of, read_bytes
from advisor.errors import InputError
from advisor.records import dataclass, field

LF, CRLF = b"\n", b"\r\n"
_LEAST_SHARE = 0.5
"""Share of a generated text that the file of another name holds at least."""
_BLOCK = re.compile(rb'^(?:resource|data|variable|output|module|provider)(?: "[^"]+")+')
_LOCALS = re.compile(rb"^locals \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_LOCAL = re.compile(rb"^  (\w+) +=", re.MULTILINE)
_DEFINITION = re.compile(rb"^(?:(?:async )?def|class) \w+|^\w+(?=(?:: [^=]+)? = )", re.MULTILINE)
_SEPARATOR = re.compile(rb"^---\s*$", re.MULTILINE)
_KIND = re.compile(rb"^kind: *(.+)$", re.MULTILINE)
_NAME = re.compile(rb"^  name: *(.+)$", re.MULTILINE)
_WORD = re.compile(rb"\w")
_REMARKS = (b"#", b"//")
_DOCUMENTS = (".md", ".example")
"""Ends of names of files that no apply reads."""
_BESIDE = frozenset(("tests", "examples"))
"""Folders of such files."""
_SCRIPTS = (".sh", ".tftpl")
"""Ends of names of files that hosts run, which take no other line ends."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A directory, what was generated there, and where it lies."""

    directory: Path
    record: Record
    places: Mapping[str, str] = field(default_factory=dict)
    """Path of a generated file → path of the one that holds its code under another name."""

    def place_of(self, path: str) -> str:
        """Path where a generated file lies."""
        return self.places.get(path, path)

    def read(self, path: str) -> bytes | None:
        """The text of a generated file, under whatever name; None where there is none."""
        return read_bytes(self.directory / self.place_of(path))

    def was_generated(self, path: str, mine: bytes | None) -> bool:
        """Whether an earlier run wrote a file; moves that were deleted are no text that anybody waits for."""
        if mine is None and is_moves(path):
            return False
        return self.digest_of_base(path, mine) is not None

    def digest_of_base(self, path: str, mine: bytes | None) -> str | None:
        """Digest of the text as it was generated last, where *mine* lies there; None where none was."""
        return self.record.base_of(path, None if mine is None else digest_of(mine))

    def base(self, path: str, mine: bytes | None) -> bytes | None:
        """The text as it was generated last: kept beside the code, or what lies there where nobody edited it.

        Of moves, it is those that are left: whoever took some away applied them.
        """
        if is_moves(path) and (mine is None or is_as_generated(_plain(mine))):
            return self._pending_moves(path) if mine is None else mine.replace(CRLF, LF)
        digest = self.digest_of_base(path, mine)
        if digest is None:
            return None
        as_generated = (mine or b"").replace(CRLF, LF)
        return as_generated if digest_of(as_generated) == digest else base_text(self.directory, digest)

    def _pending_moves(self, path: str) -> bytes | None:
        """Moves that a run which was cut off was about to write."""
        pending = self.record.pending.get(path)
        return None if pending is None else base_text(self.directory, pending.generated)

    def is_edited(self, path: str, mine: bytes | None) -> bool:
        """Whether a file is another than it was generated, or was deleted."""
        if mine is None:
            return not is_moves(path)
        return self.digest_of_base(path, mine) not in (digest_of(mine), digest_of(mine.replace(CRLF, LF)))

    def last(self) -> Mapping[str, str]:
        """The text of each file as the last run generated it, where that is known."""
        texts = {path: self.base(path, self.read(path)) for path in self.record.paths}
        return {path: text.decode() for path, text in texts.items() if text is not None}

    def line_ends(self, path: str, text: bytes) -> bytes:
        """The text of a new file with the line ends of the others."""
        if path.endswith(_SCRIPTS):
            return text
        others = (self.read(other) for other in sorted(self.record.files) if not other.endswith(_SCRIPTS))
        texts = [other for other in others if other and LF in other]
        is_crlf = bool(texts) and all(has_crlf(other) for other in texts)
        return text.replace(LF, CRLF) if is_crlf else text


def is_moves(path: str) -> bool:
    """Whether a file tells Terraform which addresses changed."""
    return PurePosixPath(path).name == MOVES


def is_document(path: str) -> bool:
    """Whether no apply reads a file: text for people, examples of values, and tests."""
    return path.endswith(_DOCUMENTS) or not _BESIDE.isdisjoint(PurePosixPath(path).parts[:-1])


def has_crlf(text: bytes) -> bool:
    """Whether an editor, or Git, turned the line ends of a text to CRLF throughout."""
    return CRLF in text and text.count(LF) == text.count(CRLF)


def is_text_left(base: bytes, mine: bytes) -> bool:
    """Whether a line of words of *base*, beyond headings, is left in *mine*."""
    return not _lines(base).keys().isdisjoint(_lines(mine))


def checkout_of(directory: Path, record: Record, taken: Container[str] = ()) -> Checkout:
    """Checkout with the files that were given another name.

    Args:
        directory: it need not exist.
        record: what was generated there.
        taken: paths that the code needs, which no other file of the code can have.
    """
    plain = Checkout(directory, record)
    gone = {path: plain.base(path, None) for path in sorted(record.files) if plain.read(path) is None}
    shares = sorted(
        (
            (share, path, other)
            for path, base in gone.items()
            if base is not None and not is_moves(path) and not is_document(path)
            for other in _beside(directory, path)
            if other not in record.paths and other not in taken
            if (share := _share(path, base, _readable(directory / other))) >= _LEAST_SHARE
        ),
        key=lambda row: (-row[0], *row[1:]),
    )
    places: dict[str, str] = {}
    for _, path, other in shares:
        if path not in places and other not in places.values():
            places[path] = other
    return Checkout(directory, record, places)


def holders(checkout: Checkout, path: str, base: bytes) -> Iterator[str]:
    """Files of its folder that hold a part of the code of a generated file which is gone."""
    for other in _beside(checkout.directory, path):
        names = _names(path, base)
        if not names.isdisjoint(_names(path, _readable(checkout.directory / other))):
            yield other


def _beside(directory: Path, path: str) -> list[str]:
    """Files of the folder of a file, and of its kind."""
    place = directory / path
    folder = place.parent.iterdir() if place.parent.is_dir() else ()
    alike = (other for other in folder if other.suffix == place.suffix and other.is_file() and other != place)
    return sorted(other.relative_to(directory).as_posix() for other in alike)


def _readable(place: Path) -> bytes:
    """The text of a file of a person's own; "" of one that is too large, or may not be read."""
    try:
        return read_bytes(place) or b""
    except InputError:
        return b""


def _share(path: str, base: bytes, text: bytes) -> float:
    """Share of what a generated text names that another one has; of its lines where it names nothing."""
    names = _names(path, base)
    if names:
        others = _names(path, text)
        return len(names & others) / max(len(names), len(others))
    lines = _lines(base)
    return (lines & _lines(text)).total() / max(lines.total(), 1)


def _names(path: str, text: bytes) -> frozenset[bytes]:
    """Names that one file of a folder alone can have."""
    plain = text.replace(CRLF, LF)
    match PurePosixPath(path).suffix:
        case ".tf":
            blocks = (block[0] for line in plain.splitlines() if (block := _BLOCK.match(line)))
            return frozenset((*blocks, *(name for held in _LOCALS.findall(plain) for name in _LOCAL.findall(held))))
        case ".py":
            return frozenset(_DEFINITION.findall(plain))
        case ".yaml":
            return frozenset(_objects(plain))
        case _:
            return frozenset()


def _objects(text: bytes) -> Iterator[bytes]:
    for document in _SEPARATOR.split(text):
        kind, name = _KIND.search(document), _NAME.search(document)
        if kind and name:
            yield kind[1].strip() + b"/" + name[1].strip()


def _lines(text: bytes) -> Counter[bytes]:
    """Lines of words, without remarks and headings."""
    lines = (line.strip() for line in text.splitlines())
    return Counter(line for line in lines if _WORD.search(line) and not line.startswith(_REMARKS))


def _plain(text: bytes) -> str:
    return text.replace(CRLF, LF).decode("utf-8", "replace")
