"""The few operations on the disk: each leaves the old or the new state, whenever the process ends."""

import shutil
from contextlib import suppress
from pathlib import Path

from advisor.atomic_files import write_bytes
from advisor.codegen.writing.places import read_bytes
from advisor.codegen.writing.record import FOLDER, Record, digest_of
from advisor.codegen.writing.report import Change
from advisor.errors import InputError

_SCRATCH = f"{FOLDER}/scratch"
_REPLACED = f"{FOLDER}/replaced"
_HOUSEKEEPING = {
    f"{FOLDER}/.gitattributes": b"base/* -text linguist-generated\n*.json linguist-generated\n",
    f"{FOLDER}/.gitignore": b"replaced/\nscratch/\n",
}


def put(directory: Path, path: str, content: bytes) -> None:
    """Write a file unless it is like that already."""
    place = (directory / path).resolve()
    if read_bytes(place) == content:
        return
    scratch = directory / _SCRATCH
    for folder in (place.parent, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    write_bytes(place, content, scratch)


def carry_out(directory: Path, change: Change) -> None:
    """Write or remove a file.

    Raises:
        InputError: somebody changed it in the meantime.
    """
    place = directory / change.path
    if read_bytes(place) != change.before:
        raise InputError("it changed while this was running", where=str(place), hint="run again")
    if change.after is not None:
        put(directory, change.path, change.after)
        return
    place.unlink()
    with suppress(OSError):
        for folder in place.relative_to(directory).parents[:-1]:
            (directory / folder).rmdir()


def keep_copy(directory: Path, change: Change) -> None:
    """Keep what a person wrote before it is overwritten; named by its content, so that no copy replaces another."""
    content = change.before or b""
    put(directory, f"{_REPLACED}/{change.path}.{digest_of(content)[:8]}", content)


def tidy(directory: Path, record: Record) -> None:
    """Remove what no later run needs."""
    for path, content in _HOUSEKEEPING.items():
        put(directory, path, content)
    for base in (directory / FOLDER / "base").iterdir():
        if base.name not in record.digests:
            base.unlink()
    shutil.rmtree(directory / _SCRATCH, ignore_errors=True)
