"""The steps in order: read → decide → refuse or write, each file whole or not at all."""

import fcntl
import operator
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from advisor import __version__
from advisor.codegen.container import Stage
from advisor.codegen.generate import Generated
from advisor.codegen.kept import joint
from advisor.codegen.monitoring import MONITORING
from advisor.codegen.moved import with_moves
from advisor.codegen.writing.decisions import WRITE_THEM, Refusal, Versions, decide, decide_copied, decide_renamed
from advisor.codegen.writing.merging import Action, Change, WriteOptions, WriteReport
from advisor.codegen.writing.record import (
    FOLDER,
    MANIFEST,
    ROLLOUTS_PATH,
    Pending,
    Record,
    base_text,
    carry_out,
    check_directory,
    check_no_links,
    check_places,
    check_writable,
    digest_of,
    keep_copy,
    left_roots,
    put,
    read_bytes,
    read_record,
    read_rollouts,
    rollouts_text,
    state_of,
    tidy,
)
from advisor.codegen.writing.shifted import edits_left
from advisor.errors import InputError
from advisor.records import replace

_MOST_SHOWN = 10
_WITH_CONFLICTS = (
    "edit the files so that they agree, or say what to prefer: --conflicts write (both, between markers), "
    "--conflicts mine, --conflicts theirs; --force takes the new code everywhere"
)
_WITHOUT = "move the files away, or replace them with --force (what is replaced is kept under .advisor/replaced)"


def refuse(directory: Path, refusals: Sequence[Refusal]) -> NoReturn:
    """Raise what stands in the way.

    Raises:
        InputError: always.
    """
    lines = [
        f"  {refusal.path} {refusal.reason}" if not refusal.conflicts else f"  {refusal.path}: {refusal.reason}"
        for refusal in refusals
    ]
    shown = [
        f"  {refusal.path}:{conflict.line}\n" + _indented(conflict.marked.decode("utf-8", "backslashreplace"))
        for refusal in refusals
        for conflict in refusal.conflicts
    ]
    more = [f"  and {len(shown) - _MOST_SHOWN} more conflicts"] if len(shown) > _MOST_SHOWN else []
    raise InputError(
        "nothing was written:\n" + "\n".join([*lines, *shown[:_MOST_SHOWN], *more]),
        where=str(directory),
        hint=_WITH_CONFLICTS if shown else _WITHOUT,
    )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip("\n").split("\n"))


_LF, _CRLF = b"\n", b"\r\n"


def last_generated(directory: Path) -> Mapping[str, str]:
    """The text of each file as the last run generated it, where that is known.

    Raises:
        InputError: the directory cannot be read, or its manifest is damaged.
    """
    return _last(directory, read_record(directory))


def _last(directory: Path, record: Record) -> Mapping[str, str]:
    texts = {path: _base(directory, record, path, read_bytes(directory / path)) for path in record.paths}
    return {path: text.decode() for path, text in texts.items() if text is not None}


def write_files(generated: Generated, directory: Path, write_options: WriteOptions | None = None) -> WriteReport:
    """Write code into a directory, which is made if it is missing and may hold files of the user's own.

    A second run changes nothing. Edits of the user are merged with the new code, line by line; where both changed the
    same lines nothing at all is written, unless *write_options* says what to prefer. What the user deleted stays
    deleted.

    Raises:
        InputError: there is a conflict, a file of the user's own in the way, or the directory cannot be written to.
    """
    write_options = write_options or WriteOptions()
    check_directory(directory)
    if not (directory / FOLDER).is_dir():
        # A first run: nothing is made before it is known that everything can be.
        _, report = _decided(generated, directory, read_record(directory), write_options)
        if write_options.dry_run:
            return report
    with _sole_writer(directory):
        if generated.former_state not in ("", state_of(directory)):
            raise InputError(
                "another run wrote here while this one was at work",
                where=str(directory),
                hint="run again: it goes on from what that run left",
            )
        record = read_record(directory)
        code, report = _decided(generated, directory, record, write_options)
        if not write_options.dry_run:
            _write(code, report, record)
    return report


def _decided(
    generated: Generated, directory: Path, record: Record, write_options: WriteOptions
) -> tuple[Generated, WriteReport]:
    held = record.about.get("targets", ())
    if record.files and (MONITORING in held) is not (MONITORING in generated.targets):
        raise InputError(
            f"the directory holds generated code of another kind ({', '.join(held)}), which would be removed",
            where=str(directory),
            hint="give another directory",
        )
    code = _with_moves(generated, directory, record)
    return code, _report(code, directory, record, write_options)


def _with_moves(generated: Generated, directory: Path, record: Record) -> Generated:
    """The code, with what tells Terraform that an address changed since the last run."""
    if not any(path.endswith(".tf") for path in generated.files):
        return generated
    last = _last(directory, record)
    return replace(generated, files=with_moves(generated.files, last, generated.roots, generated.renamed))


def _report(generated: Generated, directory: Path, record: Record, write_options: WriteOptions) -> WriteReport:
    paths = sorted({*generated.files, *record.paths})
    check_places(directory, [*paths, f"{FOLDER}/{MANIFEST}"])
    check_no_links(directory / FOLDER)
    left = _of_left_roots(generated, record)
    renamed_paths = _other_paths(generated, record, generated.renamed)
    pairs = {
        **_regional_paths(generated, record),
        **_other_paths(generated, record, generated.successors),
        **renamed_paths,
    }
    # A file of a person's own in a new place follows none.
    former_paths = {path: former for path, former in pairs.items() if read_bytes(directory / path) is None}
    # Of a file that the code no longer has, the one that follows it decides.
    gone = {former for former in former_paths.values() if former not in generated.files}
    decided = dict.fromkeys(
        decided_change
        for path in paths
        if path not in left and path not in gone
        for decided_change in _decisions(path, former_paths.get(path), directory, generated, record, write_options)
    )
    refusals = [refusal for refusal in decided if isinstance(refusal, Refusal)]
    if refusals:
        refuse(directory, refusals)
    unrelated = generated.files.keys() - record.paths - former_paths.keys()
    lacking = _lacking(generated, directory, record, unrelated)
    changes = [
        replace(change, note=lacking[change.path])
        if change.path in lacking and change.action is Action.CREATED
        else change
        for change in decided
        if isinstance(change, Change) and change.concerns_anyone
    ]
    check_writable(directory, [change.path for change in changes if change.is_written])
    _check_listed(generated, directory, {change.path: change.after for change in changes})
    folders = sorted({folder for path, folder in left.items() if (directory / path).is_file()})
    told = {folder: _told(folder) for folder in folders}
    for folder in set(folders).difference(left_roots(directory)):
        paths = [path for path, root in left.items() if root == folder]
        told[folder] += _not_carried(generated, directory, record, folder, paths)
    return WriteReport(directory, tuple(changes), (*told.values(), *_edits_left(generated, directory, record)))


def _edits_left(generated: Generated, directory: Path, record: Record) -> Iterator[str]:
    for root, rollout in generated.rollouts.items():
        paths = [path for path in sorted(record.files) if _root_of(path, record.roots) == root]
        yield from edits_left([_versions(generated, directory, record, path) for path in paths], rollout)


_ANY = "*"
_TO_FILL_IN = "set-the-"
"""Start of a word that stands for what a person knows of a region."""
_OWN_FILES = ("*.tf", "*.tfvars", "*.tfvars.json", "Pulumi.*.yaml")
"""Files of a person's own that belong to the code of a root."""


def _not_carried(generated: Generated, directory: Path, record: Record, folder: str, paths: Sequence[str]) -> str:
    """Files of a root that the code no longer has with a person's edits, and the roots that lack these, in words.

    "" where there are none.
    """
    edited = [path for path in paths if _is_edited(record, path, read_bytes(directory / path))]
    there = (place for kind in _OWN_FILES for place in (directory / folder).glob(kind))
    own = {place.relative_to(directory).as_posix() for place in there}.difference(record.paths, generated.files)
    if not edited and not own:
        return ""
    former = read_rollouts(directory).get(folder)
    alike = [
        root
        for root, rollout in generated.rollouts.items()
        if former and rollout.planned.target == former.planned.target
    ]
    lacking = " and ".join(alike or sorted(generated.roots)) or "the directory itself"
    verb = "lack" if " and " in lacking else "lacks"
    return f". {lacking} {verb} what you wrote there, which is not carried over: {', '.join([*edited, *sorted(own)])}"


def _is_edited(record: Record, path: str, mine: bytes | None) -> bool:
    """Whether a file is another than it was generated, or was deleted."""
    return mine is None or record.base_of(path, _digest(mine)) not in (
        digest_of(mine),
        digest_of(mine.replace(_CRLF, _LF)),
    )


def _check_listed(generated: Generated, directory: Path, texts: Mapping[str, bytes | None]) -> None:
    """Refuse to send requests to pods that no apply makes, since the user's kustomization leaves out their file."""
    for root, rollout in generated.rollouts.items():
        if rollout.stage is Stage.PREPARE or not (rollout.stage or generated.left_out):
            continue
        for backend in joint(rollout).backends:
            folder = f"{root}/kubernetes/{backend.region}".removeprefix("/")
            path, name = f"{folder}/kustomization.yaml", f"{backend.key}.yaml"
            if not backend.weight or not {path, f"{folder}/{name}"} <= generated.files.keys():
                continue
            if name not in _resources(texts.get(path)):
                raise InputError(
                    f"{path} does not list {name}, to which {backend.weight / 10:g} % of the requests are to go: no "
                    "apply makes its pods",
                    where=str(directory),
                    hint=f"add `- {name}` to its resources, apply, see that the pods serve, and run this again",
                )


def _resources(text: bytes | None) -> list[str]:
    """Files that a kustomization lists; none where it cannot be read."""
    import yaml  # noqa: PLC0415 - only where there is YAML to read

    try:
        listed = yaml.safe_load(text or b"")["resources"]
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError):
        return []
    return [str(PurePosixPath(str(entry))) for entry in listed or ()]


def _other_paths(generated: Generated, record: Record, keys: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """Path of a new file → path of the one of the last run that is named after the old key of the same thing.

    Those of another region lie in another folder.
    """
    pairs = [(root, f"{old}.", f"{new}.") for root, renamed in keys.items() for old, new in renamed.items()]
    return {
        path: former
        for path in generated.files.keys() - record.files.keys()
        for root, old, new in pairs
        if PurePosixPath(path).name.startswith(new) and _root_of(path, generated.roots) == root
        for former in record.files
        if _is_alike(former, path.replace(new, old))
    }


def _is_alike(path: str, other: str) -> bool:
    """Whether two files have the same name, and lie in the same folder or in those of two regions."""
    parts, others = (PurePosixPath(place).parts for place in (path, other))
    is_as_deep = parts[-1] == others[-1] and len(parts) == len(others)
    return is_as_deep and sum(map(operator.ne, parts, others)) <= 1


def _regional_paths(generated: Generated, record: Record) -> Mapping[str, str]:
    """Path of a new region's file → path of the same one of the region that it takes over from.

    A file in which a person fills in facts of the region follows none.
    """
    paths = {}
    for path in generated.files.keys() - record.files.keys():
        regions = generated.former_regions.get(_root_of(path, generated.roots) or "", {})
        *folders, name = PurePosixPath(path).parts
        former = str(PurePosixPath(*(regions.get(folder, folder) for folder in folders), name))
        if former in record.files and former != path and _TO_FILL_IN not in generated.files[path]:
            paths[path] = former
    return paths


def _lacking(generated: Generated, directory: Path, record: Record, paths: Iterable[str]) -> Mapping[str, str]:
    """New file that follows none → a note on the edits that it lacks, of files alike of other backends and regions."""
    former = read_rollouts(directory)
    notes = {}
    for path in paths:
        root = _root_of(path, generated.roots) or ""
        parts = [joint(rollouts[root]) for rollouts in (former, generated.rollouts) if root in rollouts]
        names = {name for part in parts for name in (*part.keys, *(region.name for region in part.regions))}
        shape = _shape(path, names)
        edited = [
            other
            for other in sorted(record.files)
            if _shape(other, names) == shape
            and _ANY in shape
            and (mine := read_bytes(directory / other)) is not None
            and _is_edited(record, other, mine)
        ]
        if edited:
            notes[path] = f"without your edits of {' and '.join(edited)}: {WRITE_THEM}"
    return notes


def _shape(path: str, names: Container[str]) -> tuple[str, ...]:
    """Parts of a path without names of regions and backends."""
    *folders, name = PurePosixPath(path).parts
    stem, dot, kind = name.partition(".")
    return (*(_ANY if part in names else part for part in (*folders, stem)), dot + kind)


def _decisions(
    path: str, former: str | None, directory: Path, generated: Generated, record: Record, write_options: WriteOptions
) -> tuple[Change | Refusal, ...]:
    """Decisions on a file, and on the one that it follows under another name."""
    file = _versions(generated, directory, record, path)
    if former is None:
        return (decide(file, write_options),)
    last = _versions(generated, directory, record, former)
    if last.theirs is not None:
        return (decide_copied(replace(last, theirs=file.theirs), path, write_options),)
    return decide_renamed(replace(last, theirs=file.theirs), path, write_options)


def _versions(generated: Generated, directory: Path, record: Record, path: str) -> Versions:
    mine = read_bytes(directory / path)
    theirs = generated.files.get(path)
    root = _root_of(path, generated.roots) or ""
    *folders, name = PurePosixPath(path).parts
    return Versions(
        path=path,
        base=_base(directory, record, path, mine),
        mine=mine,
        theirs=None if theirs is None else theirs.encode(),
        was_generated=record.base_of(path, _digest(mine)) is not None,
        renamed=generated.renamed.get(root, {}),
        retired=any(name.startswith(f"{key}.") or key in folders for key in generated.left_out),
        successors=generated.successors.get(root, {}),
        moved={old: new for new, old in generated.former_regions.get(root, {}).items()},
        engines=generated.former_engines.get(root, {}),
    )


def _base(directory: Path, record: Record, path: str, mine: bytes | None) -> bytes | None:
    """The text as it was generated last: kept beside the code, or what lies there where nobody edited it."""
    digest = record.base_of(path, _digest(mine))
    if digest is None:
        return None
    as_generated = (mine or b"").replace(_CRLF, _LF)
    return as_generated if digest_of(as_generated) == digest else base_text(directory, digest)


def _digest(content: bytes | None) -> str | None:
    return None if content is None else digest_of(content)


def _of_left_roots(generated: Generated, record: Record) -> Mapping[str, str]:
    """Path → folder, of the files of roots that the code no longer has: what they deployed may still run."""
    left = [root for root in record.roots if root not in generated.roots]
    return {
        path: root
        for path in record.files
        for root in left
        if path not in generated.files and _root_of(path, record.roots) == root
    }


def _root_of(path: str, roots: tuple[str, ...]) -> str | None:
    within = [root for root in roots if root == "" or path.startswith(f"{root}/")]
    return max(within, key=len, default=None)


def _told(folder: str) -> str:
    return (
        f"{folder or 'the directory itself'} is no longer a root of the code, and its files are kept: what they "
        "deployed still runs; destroy it from there once the new code serves, and then delete the files"
    )


def _write(generated: Generated, report: WriteReport, record: Record) -> None:
    """New bases, what is about to be done, the files, what was done: in this order a cut run can be taken up."""
    directory = report.directory
    written = [change for change in report.changes if change.is_written]
    new_bases = {digest_of(text.encode()): text.encode() for text in generated.files.values()}
    after = _record_after(generated, report, record)
    try:
        for digest, text in new_bases.items():
            put(directory, f"{FOLDER}/base/{digest}", text)
        if written:
            put(directory, f"{FOLDER}/{MANIFEST}", _record_before(generated, report, record).text.encode())
        for change in written:
            if change.overrules:
                keep_copy(directory, change)
            carry_out(directory, change)
        if generated.rollouts:
            last = {root: rollout for root, rollout in read_rollouts(directory).items() if root in after.roots}
            put(directory, ROLLOUTS_PATH, rollouts_text({**last, **generated.rollouts}).encode())
        put(directory, f"{FOLDER}/{MANIFEST}", after.text.encode())
        tidy(directory, after)
    except OSError as error:
        raise InputError(
            f"cannot write: {error.strerror or error}",
            where=str(error.filename or directory),
            hint="run again when it can be written: nothing is lost, and what is missing is written then",
        ) from error


def _record_before(generated: Generated, report: WriteReport, record: Record) -> Record:
    """The base of each file as it is now, and of those that are about to change, what they will be."""
    bases = {path: record.base_of(path, _digest(read_bytes(report.directory / path))) for path in record.paths}
    pending = {
        change.path: Pending(digest_of(generated.files[change.path].encode()), digest_of(change.after))
        for change in report.changes
        if change.is_written and change.after is not None
    }
    return Record({path: base for path, base in bases.items() if base is not None}, pending, record.about)


def _record_after(generated: Generated, report: WriteReport, record: Record) -> Record:
    files = {path: digest_of(text.encode()) for path, text in generated.files.items()}
    left = {
        path: folder
        for path, folder in _of_left_roots(generated, record).items()
        if (report.directory / path).is_file()
    }
    about = {
        "generator": f"advisor {__version__}",
        "plan": generated.plan_digest,
        "targets": list(generated.targets),
        "roots": sorted({*generated.roots, *left.values()}),
        "live_roots": sorted(generated.roots),
    }
    return Record(files | {path: record.files[path] for path in left}, {}, about)


@contextmanager
def _sole_writer(directory: Path) -> Iterator[None]:
    """No other run writes here at the same time; the lock ends with the process, however that ends."""
    folder = directory / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", where=str(folder)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InputError(
            "another run is writing here", where=str(directory), hint="run again when it is done"
        ) from error
    finally:
        os.close(descriptor)
