"""The steps in order: read → decide → refuse or write, each file whole or not at all."""

import fcntl
import operator
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from advisor import __version__
from advisor.codegen.generate import Generated
from advisor.codegen.kept import joint
from advisor.codegen.monitoring import MONITORING
from advisor.codegen.moved import with_moves
from advisor.codegen.writing.checkout import CRLF, Checkout, checkout_of, holders
from advisor.codegen.writing.decisions import WRITE_THEM, Refusal, Versions, decide, decide_copied, decide_renamed
from advisor.codegen.writing.former import left_roots, state_of
from advisor.codegen.writing.kustomizations import (
    KUSTOMIZATION,
    check_files_named,
    check_listed,
    copied_files,
    files_named,
    with_names,
)
from advisor.codegen.writing.merging import Action, Change, WriteOptions, WriteReport
from advisor.codegen.writing.own_files import naming_retired, own_files
from advisor.codegen.writing.own_objects import with_moved_objects
from advisor.codegen.writing.record import (
    FOLDER,
    MANIFEST,
    ROLLOUTS_PATH,
    Pending,
    Record,
    carry_out,
    check_directory,
    check_no_links,
    check_places,
    check_writable,
    digest_of,
    keep_copy,
    put,
    read_bytes,
    read_record,
    read_rollouts,
    rollouts_text,
    tidy,
)
from advisor.codegen.writing.shifted import edits_left
from advisor.errors import InputError
from advisor.records import dataclass, replace

_MOST_SHOWN = 10
_WITH_CONFLICTS = (
    "edit the files so that they agree, or say what to prefer: --conflicts write (both, between markers), "
    "--conflicts mine, --conflicts theirs, each for all files or for one (--conflicts mine:FILE); --force takes the "
    "new code everywhere"
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
    shown += [_indented(refusal.difference) for refusal in refusals if refusal.difference]
    more = [f"  and {len(shown) - _MOST_SHOWN} more conflicts"] if len(shown) > _MOST_SHOWN else []
    raise InputError(
        "nothing was written:\n" + "\n".join([*lines, *shown[:_MOST_SHOWN], *more]),
        where=str(directory),
        hint=_WITH_CONFLICTS if shown else _WITHOUT,
    )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip("\n").split("\n"))


def last_generated(directory: Path) -> Mapping[str, str]:
    """The text of each file as the last run generated it, where that is known.

    Raises:
        InputError: the directory cannot be read, or its manifest is damaged.
    """
    return checkout_of(directory, read_record(directory)).last()


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
        _, report = _decided(generated, Checkout(directory, Record()), write_options)
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
        checkout = checkout_of(directory, record, generated.files)
        code, report = _decided(generated, checkout, write_options)
        if not write_options.dry_run:
            _write(code, report, checkout)
    return report


def _decided(generated: Generated, checkout: Checkout, write_options: WriteOptions) -> tuple[Generated, WriteReport]:
    directory, record = checkout.directory, checkout.record
    held = record.about.get("targets", ())
    if record.files and (MONITORING in held) is not (MONITORING in generated.targets):
        raise InputError(
            f"the directory holds generated code of another kind ({', '.join(held)}), which would be removed",
            where=str(directory),
            hint="give another directory",
        )
    code = _with_moves(generated, checkout)
    _check_conflicts_of(code, checkout, write_options)
    return code, _report(code, checkout, write_options)


def _check_conflicts_of(generated: Generated, checkout: Checkout, write_options: WriteOptions) -> None:
    """Refuse a policy for a file that there is not."""
    files = {*generated.files, *checkout.record.paths, *checkout.places.values()}
    for path in write_options.conflicts_of:
        if path not in files:
            raise InputError(
                f"--conflicts names {path}, which is no file of the code",
                where=str(checkout.directory),
                hint="name files as the run does, from this directory on, such as mine:README.md",
            )


def _with_moves(generated: Generated, checkout: Checkout) -> Generated:
    """The code, with what tells Terraform that an address changed since the last run."""
    if not any(path.endswith(".tf") for path in generated.files):
        return generated
    last = checkout.last()
    return replace(generated, files=with_moves(generated.files, last, generated.roots, generated.renamed))


def _report(generated: Generated, checkout: Checkout, write_options: WriteOptions) -> WriteReport:
    directory, record = checkout.directory, checkout.record
    paths = sorted({*generated.files, *record.paths})
    check_places(directory, [*paths, *checkout.places.values(), f"{FOLDER}/{MANIFEST}"])
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
    names = _Names(former_paths, _own_names(former_paths, generated, checkout))
    decided = dict.fromkeys(
        decided_change
        for path in paths
        if path not in left and path not in gone
        for decided_change in _decisions(path, names, generated, checkout, write_options)
    )
    refusals = [refusal for refusal in decided if isinstance(refusal, Refusal)]
    if refusals:
        refuse(directory, refusals)
    unrelated = generated.files.keys() - record.paths - former_paths.keys()
    lacking = _lacking(generated, checkout, unrelated)
    changes = [
        replace(change, note=lacking[change.path])
        if change.path in lacking and change.action is Action.CREATED
        else change
        for change in decided
        if isinstance(change, Change) and change.concerns_anyone
    ]
    changes = with_moved_objects(changes, generated, checkout)
    changes = [_with_line_ends(change, checkout) for change in changes]
    changes += copied_files(changes, former_paths, checkout)
    check_places(directory, [change.path for change in changes])
    check_writable(directory, [change.path for change in changes if change.is_written])
    texts = {change.path: change.after for change in changes}
    check_listed(generated, directory, texts, names.own)
    check_files_named(directory, changes)
    folders = sorted({folder for path, folder in left.items() if (directory / path).is_file()})
    told = {folder: _told(folder) for folder in folders}
    for folder in set(folders).difference(left_roots(directory)):
        paths = [path for path, root in left.items() if root == folder]
        told[folder] += _not_carried(generated, checkout, folder, paths)
    return WriteReport(
        directory,
        tuple(changes),
        (*told.values(), *_edits_left(generated, checkout), *naming_retired(generated, checkout)),
    )


def _with_line_ends(change: Change, checkout: Checkout) -> Change:
    """A new file with the line ends of the others."""
    if change.before is not None or change.after is None or CRLF in change.after:
        return change
    return replace(change, after=checkout.line_ends(change.path, change.after))


def _edits_left(generated: Generated, checkout: Checkout) -> Iterator[str]:
    record = checkout.record
    for root, rollout in generated.rollouts.items():
        paths = [path for path in sorted(record.files) if _root_of(path, record.roots) == root]
        yield from edits_left([_versions(generated, checkout, path) for path in paths], rollout)


_ANY = "*"
_TO_FILL_IN = "set-the-"
"""Start of a word that stands for what a person knows of a region."""


def _not_carried(generated: Generated, checkout: Checkout, folder: str, paths: Sequence[str]) -> str:
    """Files of a root that the code no longer has with a person's edits, and the roots that lack these, in words.

    "" where there are none.
    """
    directory, record = checkout.directory, checkout.record
    edited = [path for path in paths if checkout.is_edited(path, checkout.read(path))]
    own = {*own_files(directory, folder)}.difference(record.paths, generated.files)
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


def _lacking(generated: Generated, checkout: Checkout, paths: Iterable[str]) -> Mapping[str, str]:
    """New file that follows none → a note on the edits that it lacks, of files alike of other backends and regions."""
    former = read_rollouts(checkout.directory)
    notes = {}
    for path in paths:
        root = _root_of(path, generated.roots) or ""
        parts = [joint(rollouts[root]) for rollouts in (former, generated.rollouts) if root in rollouts]
        names = {name for part in parts for name in (*part.keys, *(region.name for region in part.regions))}
        shape = _shape(path, names)
        edited = [
            other
            for other in sorted(checkout.record.files)
            if _shape(other, names) == shape
            and _ANY in shape
            and (mine := checkout.read(other)) is not None
            and checkout.is_edited(other, mine)
        ]
        if edited:
            notes[path] = f"without your edits of {' and '.join(edited)}: {WRITE_THEM}"
    return notes


def _shape(path: str, names: Container[str]) -> tuple[str, ...]:
    """Parts of a path without names of regions and backends."""
    *folders, name = PurePosixPath(path).parts
    stem, dot, kind = name.partition(".")
    return (*(_ANY if part in names else part for part in (*folders, stem)), dot + kind)


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of files that differ from those of the code."""

    former: Mapping[str, str]
    """Path of a new file → path of the one that it follows."""
    own: Mapping[str, str]
    """Path of a generated file, also of one that follows another which goes → the name that a person gave it."""


def _decisions(
    path: str,
    names: _Names,
    generated: Generated,
    checkout: Checkout,
    write_options: WriteOptions,
) -> tuple[Change | Refusal, ...]:
    """Decisions on a file, and on the one that it follows under another name."""
    file = _with_own_names(_versions(generated, checkout, path), names.own)
    former = names.former.get(path)
    if former is None:
        return (_under_own_name(decide(file, write_options.for_file(path, file.path)), file),)
    last = _versions(generated, checkout, former)
    write_options = write_options.for_file(path, former, last.path)
    if last.theirs is not None:
        last = replace(_with_own_names(last, names.own), theirs=file.theirs)
        return (decide_copied(last, path, write_options),)
    last = _with_own_names(replace(last, theirs=file.theirs), names.own)
    if not last.generated_path or path not in names.own:
        return decide_renamed(last, path, write_options)
    # The name is the user's own: it stays.
    own = PurePosixPath(path).with_name(PurePosixPath(last.path).name).as_posix()
    followed = decide_renamed(replace(last, generated_path=path), own, write_options)
    return tuple(_under_own_name(decided, replace(last, generated_path=path)) for decided in followed)


def _under_own_name(decided: Change | Refusal, file: Versions) -> Change | Refusal:
    """The decision with a word on the name that a person gave the file."""
    if isinstance(decided, Refusal) or not file.generated_path or not decided.is_written or decided.after is None:
        return decided
    note = f"{PurePosixPath(file.generated_path).name} under the name that you gave it"
    return replace(decided, note=f"{decided.note}; {note}" if decided.note else note)


def _with_own_names(file: Versions, own_names: Mapping[str, str]) -> Versions:
    """Versions of a kustomization whose texts name files as a person does."""
    if PurePosixPath(file.path).name != KUSTOMIZATION or file.mine is None:
        return file
    listed = {PurePosixPath(name).name for name in files_named(file.mine)}
    names = {
        PurePosixPath(path).name: quoted if (quoted := f'"{own}"').encode() in file.mine else own
        for path, own in own_names.items()
        if own in listed
    }
    base, theirs = (None if text is None else with_names(text, names) for text in (file.base, file.theirs))
    return replace(file, base=base, theirs=theirs)


def _own_names(former_paths: Mapping[str, str], generated: Generated, checkout: Checkout) -> Mapping[str, str]:
    own = {path: PurePosixPath(place).name for path, place in checkout.places.items()}
    gone = {path: former for path, former in former_paths.items() if former not in generated.files}
    kept = {path: own[former] for path, former in gone.items() if former in own}
    return own | {path: name for path, name in kept.items() if not _is_taken(path, name, gone[path], checkout)}


def _is_taken(path: str, name: str, former: str, checkout: Checkout) -> bool:
    """Whether a person's own file has, in the folder of a new file, the name that goes on."""
    place = PurePosixPath(path).with_name(name).as_posix()
    return place != checkout.place_of(former) and os.path.lexists(checkout.directory / place)


def _versions(generated: Generated, checkout: Checkout, path: str) -> Versions:
    mine = checkout.read(path)
    base = checkout.base(path, mine)
    place = checkout.place_of(path)
    theirs = generated.files.get(path)
    root = _root_of(path, generated.roots) or ""
    *folders, name = PurePosixPath(path).parts
    return Versions(
        path=place,
        base=base,
        mine=mine,
        theirs=None if theirs is None else theirs.encode(),
        was_generated=checkout.was_generated(path, mine),
        generated_path=path if place != path else "",
        holders=tuple(holders(checkout, path, base)) if mine is None and base is not None and theirs else (),
        renamed=generated.renamed.get(root, {}),
        retired=any(name.startswith(f"{key}.") or key in folders for key in generated.left_out),
        successors=generated.successors.get(root, {}),
        moved={old: new for new, old in generated.former_regions.get(root, {}).items()},
        engines=generated.former_engines.get(root, {}),
    )


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


def _write(generated: Generated, report: WriteReport, checkout: Checkout) -> None:
    """New bases, what is about to be done, the files, what was done: in this order a cut run can be taken up."""
    directory, record = checkout.directory, checkout.record
    written = [change for change in report.changes if change.is_written]
    new_bases = {digest_of(text.encode()): text.encode() for text in generated.files.values()}
    after = _record_after(generated, report, record)
    try:
        for digest, text in new_bases.items():
            put(directory, f"{FOLDER}/base/{digest}", text)
        if written:
            put(directory, f"{FOLDER}/{MANIFEST}", _record_before(generated, report, checkout).text.encode())
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


def _record_before(generated: Generated, report: WriteReport, checkout: Checkout) -> Record:
    """The base of each file as it is now, and of those that are about to change, what they will be."""
    record = checkout.record
    bases = {path: checkout.digest_of_base(path, checkout.read(path)) for path in record.paths}
    after = {change.path: change.after for change in report.changes if change.is_written}
    pending = {
        path: Pending(digest_of(text.encode()), digest_of(written))
        for path, text in generated.files.items()
        if (written := after.get(checkout.place_of(path))) is not None
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
