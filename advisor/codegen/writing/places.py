"""Places of files: nothing is read or written outside of the directory, and nothing is in the way."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from advisor.errors import InputError
from advisor.units import BYTES_PER_MIB

_MOST_BYTES = 16 * BYTES_PER_MIB


def is_inside(name: str) -> bool:
    """A relative path that a file system takes, and that does not leave its directory."""
    pure = PurePosixPath(name)
    return name.isprintable() and not pure.is_absolute() and ".." not in pure.parts and bool(pure.parts)


def read_bytes(path: Path) -> bytes | None:
    """The content of a file; None where there is none.

    Raises:
        InputError: it cannot be read, is no file, or is larger than 16 MiB.
    """
    try:
        _check_file(path)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=str(path)) from error


def _check_file(path: Path) -> None:
    kept = path.stat()
    if not (stat.S_ISREG(kept.st_mode) or stat.S_ISDIR(kept.st_mode)):
        raise InputError("a pipe or a device, not a file", where=str(path), hint="move it away, it is in the way")
    if kept.st_size > _MOST_BYTES:
        raise InputError(
            f"larger than {_MOST_BYTES // BYTES_PER_MIB} MiB", where=str(path), hint="move it away, it is in the way"
        )


def check_directory(directory: Path) -> None:
    """The directory is one, or can be made and written to.

    Raises:
        InputError: it cannot.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError("not a directory", where=str(directory), hint="give a directory to write the code into")
    nearest = directory
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"{nearest} is not a directory", where=str(directory))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(
            "the directory is not writable" if nearest == directory else f"{nearest} is not writable",
            where=str(directory),
            hint="give a directory that you may write to",
        )


def check_places(directory: Path, paths: Iterable[str]) -> None:
    """Each of *paths* is a file or free, and inside of the directory whatever links there are.

    Raises:
        InputError: one is not; its name is in the message.
    """
    root = directory.resolve()
    for path in paths:
        place = directory / path
        if not place.resolve().is_relative_to(root):
            raise InputError(
                f"{path} is a link, or in a linked folder, that leads out of the directory", where=str(directory)
            )
        if place.exists() and not place.is_file():
            raise InputError(f"{path} is not a file", where=str(directory), hint="move it away, it is in the way")
        for folder in place.relative_to(directory).parents:
            if (directory / folder).exists() and not (directory / folder).is_dir():
                raise InputError(
                    f"{folder} is a file, and {path} needs a folder of that name",
                    where=str(directory),
                    hint="move it away",
                )


def check_no_links(folder: Path) -> None:
    """Nothing in a folder is a link, nor is the folder: it came with the code, and what it leads to is not ours.

    Raises:
        InputError: something is.
    """
    link = next((place for place in (folder, *folder.rglob("*")) if place.is_symlink()), None)
    if link is not None:
        raise InputError(
            "this is a link, and files are written and removed there", where=str(link), hint="remove the link"
        )


def check_writable(directory: Path, paths: Iterable[str]) -> None:
    """None of *paths* is write-protected: whoever did that meant it.

    Raises:
        InputError: some are.
    """
    protected = [path for path in paths if (directory / path).is_file() and not _may_write(directory / path)]
    if protected:
        raise InputError(
            f"write-protected: {', '.join(protected)}", where=str(directory), hint="make them writable (chmod u+w)"
        )


def _may_write(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o222) and os.access(path.parent, os.W_OK)
