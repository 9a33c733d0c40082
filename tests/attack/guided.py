"""Damage that coverage guides: ``python tests/attack/guided.py [seconds for each reader [reader …]]``.

Atheris keeps each damaged document that reaches new branches of the program and damages it further, with the changes
that ``make fuzz`` makes blindly. Each reader has a process of its own; an error that escapes is printed once, with a
document that lets it out, and the run ends with 1.
"""

import json
import os
import sys
import time
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NoReturn

import atheris

TESTS = Path(__file__).parents[1]
SECONDS = 60
LONGEST_BYTES = 200_000
SHOWN = 300


def main() -> int:
    """Attack the readers, one after another.

    Returns:
        1 where anything escaped, else 0.
    """
    sys.path.insert(0, str(TESTS))
    with redirect_stderr(StringIO()), atheris.instrument_imports(include=["advisor"]):  # names every module
        from attack.readers import READERS, escaped_error  # noqa: PLC0415 - what is imported here is instrumented
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    problems_of_all = tried = 0
    for name in sys.argv[2:] or READERS:
        with TemporaryDirectory() as folder:
            results = Path(folder, "results")
            if (child := os.fork()) == 0:
                _attack(READERS[name], escaped_error, results, seconds)
            os.waitpid(child, 0)
            documents, problems = _results(results)
        print(f"{name}: {documents:,} documents", *problems, sep="\n  ", flush=True)
        problems_of_all, tried = problems_of_all + len(problems), tried + documents
    print(f"{tried:,} documents, {problems_of_all} errors escaped")
    return int(bool(problems_of_all))


def _attack(reader, escaped_error, results: Path, seconds: int) -> NoReturn:
    """Give a reader damaged documents, write down what escapes and at last how many there were, and end the process."""
    sound, seen = reader.sound(), {""}
    corpus, scratch = results.with_name("corpus"), results.with_name("scratch")
    corpus.mkdir()
    (corpus / "sound").write_bytes(encoded(sound))
    ends, tried = time.monotonic() + seconds, 0

    def damaged(content: bytes, longest: int, seed: int) -> bytes:
        chance = Random(seed)
        try:
            return encoded(reader.damage(decoded(content, sound), chance))[:longest]
        except (ValueError, IndexError):  # damaged beyond what the reader's own changes know
            return encoded(reader.damage(sound, chance))[:longest]

    def read(content: bytes) -> None:
        nonlocal tried
        try:
            document = decoded(content, sound)
        except ValueError:
            return
        tried += 1
        problem = escaped_error(reader, document, scratch)
        if problem not in seen:
            seen.add(problem)
            _add(results, json.dumps(f"{problem}: {content[:SHOWN]!r}"))
        if time.monotonic() > ends:
            _add(results, str(tried))
            os._exit(0)

    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    atheris.Setup([sys.argv[0], f"-max_len={LONGEST_BYTES}", str(corpus)], read, custom_mutator=damaged)
    atheris.Fuzz()
    os._exit(1)


def _add(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as lines:
        lines.write(line + "\n")


def encoded(document: object) -> bytes:
    """A document as bytes: a text, bytes, or a JSON value."""
    if isinstance(document, bytes):
        return document
    text = document if isinstance(document, str) else json.dumps(document)
    return text.encode("utf-8", "surrogatepass")


def decoded(content: bytes, sound: object) -> object:
    """The document of bytes, of the kind that a sound one has.

    Raises:
        ValueError: where they are none.
    """
    if isinstance(sound, bytes):
        return content
    text = content.decode("utf-8", "surrogatepass")
    return text if isinstance(sound, str) else json.loads(text)


def _results(path: Path) -> tuple[int, list[str]]:
    """How many documents a reader was given, and the errors that escaped; a process that died is one of these."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if lines and lines[-1].isdigit():
        return int(lines[-1]), [json.loads(line) for line in lines[:-1]]
    return 0, [*map(json.loads, lines), "the process died"]


if __name__ == "__main__":
    sys.exit(main())
