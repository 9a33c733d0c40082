"""Files that kustomizations name: each has to be there, or nothing of the folder can be built."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from advisor.codegen.container import Stage
from advisor.codegen.generate import Generated
from advisor.codegen.kept import joint
from advisor.codegen.writing.checkout import Checkout
from advisor.codegen.writing.merging import Action, Change
from advisor.codegen.writing.record import read_bytes
from advisor.errors import InputError

KUSTOMIZATION = "kustomization.yaml"
_LISTS = (
    "resources", "components", "crds", "configurations", "generators", "transformers", "validators",
    "patchesStrategicMerge",
)  # fmt: skip
_WITH_PATHS = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_REMOTE = re.compile(r"://|//|\?|^[\w.-]+@|^github\.com/")
_MOST_SHOWN = 10


def files_named(text: bytes | None) -> list[str]:
    """Files and folders that a kustomization names, as it writes them; none where it cannot be read."""
    import yaml  # noqa: PLC0415 - only where there is YAML to read

    try:
        document = yaml.safe_load(text or b"")
    except (yaml.YAMLError, UnicodeDecodeError):
        return []
    named = _named(document) if isinstance(document, dict) else ()
    return [name for name in named if isinstance(name, str) and "\n" not in name and not _REMOTE.search(name)]


def _named(document: Mapping[str, Any]) -> Iterator[Any]:
    for key in _LISTS:
        yield from _entries(document, key)
    for key in _WITH_PATHS:
        yield from (entry["path"] for entry in _entries(document, key) if isinstance(entry, dict) and "path" in entry)
    for key in _GENERATORS:
        for entry in _entries(document, key):
            for name in ("files", "envs"):
                yield from (str(file).rpartition("=")[2] for file in _entries(entry, name))


def _entries(document: object, key: str) -> Sequence[Any]:
    entries = document.get(key) if isinstance(document, dict) else None
    return entries if isinstance(entries, list) else ()


def with_names(text: bytes, names: Mapping[str, str]) -> bytes:
    """A kustomization that lists files under other names."""
    for name, other in names.items():
        listed = rb'^( *- )"?%b"?(\s*)$' % re.escape(name.encode())
        text = re.sub(listed, rb"\g<1>%b\g<2>" % other.encode(), text, flags=re.MULTILINE)
    return text


def check_listed(
    generated: Generated, directory: Path, texts: Mapping[str, bytes | None], own_names: Mapping[str, str]
) -> None:
    """Refuse to send requests to pods that no apply makes, since the user's kustomization leaves out their file."""
    for root, rollout in generated.rollouts.items():
        if rollout.stage is Stage.PREPARE or not (rollout.stage or generated.left_out):
            continue
        for backend in joint(rollout).backends:
            folder = f"{root}/kubernetes/{backend.region}".removeprefix("/")
            path, file = f"{folder}/{KUSTOMIZATION}", f"{folder}/{backend.key}.yaml"
            if not backend.weight or not {path, file} <= generated.files.keys():
                continue
            name = own_names.get(file, PurePosixPath(file).name)
            if name not in map(posixpath.normpath, files_named(texts.get(path))):
                raise InputError(
                    f"{path} does not list {name}, to which {backend.weight / 10:g} % of the requests are to go: no "
                    "apply makes its pods",
                    where=str(directory),
                    hint=f"add `- {name}` to its resources, apply, see that the pods serve, and run this again",
                )


def copied_files(changes: Iterable[Change], former_paths: Mapping[str, str], checkout: Checkout) -> list[Change]:
    """A person's own files that kustomizations of a new folder go on naming, copied from the folder of before."""
    after = _after(changes)
    copies: dict[str, Change] = {}
    for path, text in after.items():
        folder = posixpath.dirname(path)
        former = posixpath.dirname(former_paths.get(path, path))
        for name in _missing(path, text, after, checkout.directory) if folder != former else ():
            for source in _files(checkout.directory, posixpath.normpath(f"{former}/{name}")):
                place = f"{folder}/{posixpath.relpath(source, former)}"
                if source not in checkout.record.paths and place not in after:
                    note = f"a copy of your {source}, which {path} names"
                    content = read_bytes(checkout.directory / source)
                    copies[place] = Change(place, Action.CREATED, None, content, note)
    return list(copies.values())


def check_files_named(directory: Path, changes: Sequence[Change]) -> None:
    """Refuse to write a kustomization that names a file which is not there."""
    after = _after(changes)
    missing = [
        f"  {change.path} names {name}, which is not there"
        for change in changes
        if change.is_written and PurePosixPath(change.path).name == KUSTOMIZATION
        for name in _missing(change.path, change.after, after, directory)
    ]
    if missing:
        raise InputError(
            "nothing was written: kustomizations could not be built:\n" + "\n".join(missing[:_MOST_SHOWN]),
            where=str(directory),
            hint="put each file where it is named, or take its line out of the kustomization, and run again",
        )


def _after(changes: Iterable[Change]) -> Mapping[str, bytes | None]:
    """Path → text after the run; None of a file that goes."""
    return {change.path: change.after for change in changes}


def _missing(path: str, text: bytes | None, after: Mapping[str, bytes | None], directory: Path) -> Iterator[str]:
    """Names in a kustomization of what will not be there."""
    for name in files_named(text):
        place = posixpath.normpath(f"{posixpath.dirname(path)}/{name}")
        written = [held for other, held in after.items() if other == place or other.startswith(f"{place}/")]
        if all(held is None for held in written) and (written or not (directory / place).exists()):
            yield name


def _files(directory: Path, path: str) -> Iterator[str]:
    """A file, or the files of a folder; none outside of the directory."""
    place = directory / path
    whole = directory.resolve()
    if path.startswith("..") or not place.resolve().is_relative_to(whole):
        return
    for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if file.is_file() and file.resolve().is_relative_to(whole):
            yield file.relative_to(directory).as_posix()
