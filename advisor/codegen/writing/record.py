"""Record kept under ``.advisor`` beside the code: which files were generated, and their text at that time.

::

    .advisor/manifest.json    generator, plan, targets, roots, and the digest of each file as it was generated
    .advisor/stacks.json      what the roots deploy, and what retires, as data
    .advisor/base/DIGEST      that text, the base of a three-way merge; no extension, so that no tool reads it as code
    .advisor/replaced/        what a person had written and was overwritten on demand; not for version control

Texts are named by their content, so that a new one never takes the place of an old one. A run therefore puts the new
texts down first, then names them in the manifest as pending, writes the code, and confirms: wherever it is cut off, the
next run knows the base of each file.

Places of files: nothing is read or written outside of the directory, and nothing is in the way.
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from advisor.atomic_files import write_bytes
from advisor.codegen.rollout import Rollout
from advisor.codegen.writing.merging import Change
from advisor.errors import InputError
from advisor.plan.plain_values import from_plain, to_plain
from advisor.reading import json_of
from advisor.records import dataclass, field
from advisor.units import BYTES_PER_MIB

_MOST_BYTES = 16 * BYTES_PER_MIB


def is_inside(name: str) -> bool:
    """A relative path that a file system takes, and that does not leave its directory."""
    pure = PurePosixPath(name)
    return name.isprintable() and not pure.is_absolute() and ".." not in pure.parts and bool(pure.parts)


def read_bytes(path: Path) -> bytes | None:
    """The content of a file; None where there is none.

    Raises:
        InputError: it cannot be read, is not a file, or is larger than 16 MiB.
    """
    try:
        kept = path.stat()
        if not (stat.S_ISREG(kept.st_mode) or stat.S_ISDIR(kept.st_mode)):
            raise InputError("a pipe or a device, not a file", where=str(path), hint="move it away, it is in the way")
        if kept.st_size > _MOST_BYTES:
            raise InputError(
                f"larger than {_MOST_BYTES // BYTES_PER_MIB} MiB",
                where=str(path),
                hint="move it away, it is in the way",
            )
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        hint = "see that it is a file that you may read, or move it away"
        raise InputError(f"cannot read: {error.strerror}", where=str(path), hint=hint) from error


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
        hint = "give a directory to write the code into, or move that file away"
        raise InputError(f"{nearest} is not a directory", where=str(directory), hint=hint)
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
                f"{path} is a link, or in a linked folder, that leads out of the directory",
                where=str(directory),
                hint="replace the link by a file or folder of the directory, or give the directory that it leads to",
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
    files = [(path, directory / path) for path in paths if (directory / path).is_file()]
    protected = [path for path, file in files if not file.stat().st_mode & 0o222 or not os.access(file.parent, os.W_OK)]
    if protected:
        raise InputError(
            f"write-protected: {', '.join(protected)}", where=str(directory), hint="make them writable (chmod u+w)"
        )


FOLDER = ".advisor"
MANIFEST = "manifest.json"
_SCHEMA = "advisor.generated/v1"
_DAMAGED = "the manifest of generated files is damaged"
_RESTORE = "restore it from version control, or delete it and run again: files that differ are then refused by name"


@dataclass(frozen=True, slots=True)
class Pending:
    """A file that an unfinished run was about to write."""

    generated: str
    """Digest of its new base."""
    written: str
    """Digest of what was to lie on disk: the new base, and the user's edits merged into it."""


_LISTS = ("targets", "roots", "live_roots")
"""Keys of the manifest that hold words."""


@dataclass(frozen=True, slots=True)
class Record:
    """The manifest."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Relative path → digest of the text that was generated last."""
    pending: Mapping[str, Pending] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    """Generator, targets, plan and roots of the run that made them, and those of former plans."""

    @property
    def roots(self) -> tuple[str, ...]:
        """Folders that held a root, as of the last run."""
        return tuple(self.about.get("roots", ()))

    @property
    def live_roots(self) -> tuple[str, ...]:
        """Roots that the last run made; of those that a plan left, files are kept."""
        if "live_roots" in self.about:
            return tuple(self.about["live_roots"])
        # Of a manifest that does not say it: the directory itself is a root where it is the only one.
        targets = self.about.get("targets", ())
        return tuple(root for root in self.roots if not targets or (root == "") == (len(targets) == 1))

    @property
    def paths(self) -> set[str]:
        """Every file that was generated, or was about to be."""
        return {*self.files, *self.pending}

    @property
    def digests(self) -> set[str]:
        """Digests of every text that a later run may need."""
        return {*self.files.values(), *(pending.generated for pending in self.pending.values())}

    def base_of(self, path: str, on_disk: str | None) -> str | None:
        """Digest of the base of a file, given what lies on disk; None where the file was never generated."""
        pending = self.pending.get(path)
        if pending is not None and pending.written == on_disk:
            return pending.generated
        return self.files.get(path)

    @property
    def text(self) -> str:
        """Text as it is written: the same record gives the same bytes."""
        document: dict[str, Any] = {"schema": _SCHEMA, **self.about, "files": dict(sorted(self.files.items()))}
        if self.pending:
            document["pending"] = {
                path: {"generated": pending.generated, "written": pending.written}
                for path, pending in sorted(self.pending.items())
            }
        return json.dumps(document, indent=1) + "\n"


def read_record(directory: Path) -> Record:
    """Record that earlier runs left in a directory; an empty one where none ran.

    Raises:
        InputError: the manifest is damaged or from a newer version.
    """
    path = directory / FOLDER / MANIFEST
    content = read_bytes(path)
    if content is None:
        return Record()
    document = _parsed(content, path)
    if document.get("schema") != _SCHEMA:
        raise InputError(
            f"the manifest is {document.get('schema')!r}, and this version reads {_SCHEMA}",
            where=str(path),
            hint="use the version of advisor that wrote it, or a newer one",
        )
    try:
        return Record(
            # A manifest from elsewhere must not make this program touch files outside the directory.
            files={str(path): str(digest) for path, digest in document["files"].items() if is_inside(path)},
            pending={
                path: Pending(str(digest["generated"]), str(digest["written"]))
                for path, digest in document.get("pending", {}).items()
                if is_inside(path)
            },
            about={
                **{name: str(document[name]) for name in ("generator", "plan") if name in document},
                **{name: _words(document[name]) for name in _LISTS if name in document},
            },
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(_DAMAGED, where=str(path), hint=_RESTORE) from error


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    try:
        document = json_of(content.decode(), str(path))
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(_DAMAGED, where=str(path), hint=_RESTORE) from error
    if not isinstance(document, dict):
        raise InputError(_DAMAGED, where=str(path), hint=_RESTORE)
    return document


def _words(entries: object) -> list[str]:
    if not isinstance(entries, list):
        raise TypeError(entries)
    return [str(entry) for entry in entries]


def base_text(directory: Path, digest: str) -> bytes | None:
    """A text as it was generated; None where it is no longer there, or is another one."""
    if not digest.isalnum():
        return None
    content = read_bytes(directory / FOLDER / "base" / digest)
    return content if content is not None and digest_of(content) == digest else None


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


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


ROLLOUTS_PATH = f"{FOLDER}/stacks.json"
_ROLLOUTS_SCHEMA = "advisor.stacks/v1"
_DAMAGED_ROLLOUTS = "the record of what runs is damaged, or of another version"
_HINT = (
    "restore it from version control, or use the version of advisor that wrote it; once it is deleted, groups that a "
    "plan no longer has go in the same apply that makes the new ones"
)


_FORMER_FIELDS = ("cores_per_accelerator",)


def read_rollouts(directory: Path) -> Mapping[str, Rollout]:
    """Root → what its code holds; empty where no run left it.

    Raises:
        InputError: the file is damaged, or of another version.
    """
    path = directory / ROLLOUTS_PATH
    content = read_bytes(path)
    if content is None:
        return {}
    try:
        return {
            str(root): from_plain(Rollout, _of_today(plain))
            for root, plain in _roots(json_of(content.decode(), str(path))).items()
        }
    except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(_DAMAGED_ROLLOUTS, where=str(path), hint=_HINT) from error


def _of_today(plain: Any) -> Any:  # noqa: ANN401 - any value
    """A recorded value without the fields that are of the catalog now."""
    if isinstance(plain, Mapping):
        return {name: _of_today(value) for name, value in plain.items() if name not in _FORMER_FIELDS}
    return [_of_today(value) for value in plain] if isinstance(plain, list) else plain


def _roots(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if document["schema"] != _ROLLOUTS_SCHEMA:
        raise ValueError(document["schema"])
    roots: Mapping[str, Any] = document["roots"]
    return roots


def rollouts_text(rollouts: Mapping[str, Rollout]) -> str:
    """Text as it is written: the same rollouts give the same bytes."""
    roots = {
        root: to_plain(rollout if rollout.before else Rollout(rollout.planned))
        for root, rollout in sorted(rollouts.items())
    }
    return json.dumps({"schema": _ROLLOUTS_SCHEMA, "roots": roots}, indent=1, ensure_ascii=False) + "\n"
