"""Objects that a person added to a manifest of a backend: they stay where they are applied when the backend retires.

A cut-over ends with ``kubectl delete`` of what retires, file by file, which would take them along; and with their file.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from advisor.codegen.generate import Generated
from advisor.codegen.rollout import Rollout
from advisor.codegen.writing.checkout import Checkout
from advisor.codegen.writing.entries import keyed, without_entries
from advisor.codegen.writing.kustomizations import KUSTOMIZATION, files_named
from advisor.codegen.writing.merging import Action, Change
from advisor.records import dataclass, replace

_NAMESPACE = "namespace.yaml"
_SEPARATOR = b"---\n"


@dataclass(frozen=True, slots=True)
class _Retiring:
    """Manifest of a backend that retires, or retired."""

    path: str
    """As it was generated."""
    homes: Sequence[str]
    """Manifests of the same cluster that stay, the best first."""


def with_moved_objects(changes: Sequence[Change], generated: Generated, checkout: Checkout) -> list[Change]:
    """Changes where objects of a person's own leave the manifests of what retires for one that stays.

    Objects that name what retires are of it, and go with it.
    """
    by_path = {change.path: change for change in changes}
    retiring = [*_retiring(generated, checkout)]
    names = _names(generated)
    for file in retiring:
        place = checkout.place_of(file.path)
        if place not in by_path:
            continue
        own = own_objects(file.path, checkout)
        loose = {key: text for key, text in own.items() if not names_any(text, names)}
        home = next((by_path[path] for path in file.homes if path in by_path and by_path[path].after is not None), None)
        if home is not None and loose:
            by_path[home.path] = _with_objects(home, loose)
            by_path[place] = _without(by_path[place], loose, home.path)
        gone = own if home is None else own.keys() - loose.keys()
        if by_path[place].after is None and gone:
            by_path[place] = _told(by_path[place], gone)
    return [by_path[change.path] for change in changes]


def own_objects(path: str, checkout: Checkout) -> Mapping[bytes, bytes]:
    """``kind/name`` → text of the objects in a generated manifest that were not generated there."""
    mine = checkout.read(path)
    last, held = (keyed(path, text or b"") for text in (checkout.base(path, mine), mine))
    if last is None or held is None:
        return {}
    return {key: text for key, text in held.entries.items() if key not in last.entries}


def names_any(text: bytes, names: Iterable[str]) -> bool:
    """Whether a text names a key of the plan."""
    return any(re.search(rb"(?<![\w-])%b(?![\w-])" % re.escape(name.encode()), text) for name in names)


def _retiring(generated: Generated, checkout: Checkout) -> Iterator[_Retiring]:
    for path in sorted(checkout.record.files):
        folder, name = PurePosixPath(path).parent, PurePosixPath(path).stem
        for rollout in generated.rollouts.values():
            gone = {*gone_keys(rollout), *generated.left_out}
            staying = [f"{folder}/{backend.key}.yaml" for backend in rollout.planned.backends]
            staying = [file for file in staying if file in generated.files]
            # Of a region that retires, the whole cluster goes.
            if path.endswith(".yaml") and name in gone and staying:
                listed = _listed(folder.as_posix(), generated, checkout)
                homes = [checkout.place_of(file) for file in (f"{folder}/{_NAMESPACE}", *staying)]
                yield _Retiring(path, [home for home in homes if PurePosixPath(home).name in listed])


def _listed(folder: str, generated: Generated, checkout: Checkout) -> frozenset[str]:
    """Names of the files that the kustomization of a folder applies, as a person has it, and new ones."""
    path = f"{folder}/{KUSTOMIZATION}"
    mine, base, theirs = checkout.read(path), checkout.base(path, checkout.read(path)), generated.files.get(path, "")
    added = set(files_named(theirs.encode())).difference(files_named(base))
    return frozenset((*files_named(mine), *added))


def gone_keys(rollout: Rollout) -> frozenset[str]:
    """Keys of backends and groups of before that go on under no key."""
    if rollout.before is None:
        return frozenset()
    return rollout.before.keys - rollout.planned.keys - rollout.renamed.keys()


def _names(generated: Generated) -> frozenset[str]:
    return generated.left_out.union(*map(gone_keys, generated.rollouts.values()))


def _with_objects(home: Change, objects: Mapping[bytes, bytes]) -> Change:
    after = home.after or b""
    held = keyed(home.path, after)
    there = held.entries if held is not None else {}
    added = [text for key, text in objects.items() if key not in there]
    for text in added:
        after = b"".join((_ended(after), _SEPARATOR, _ended(text)))
    if not added:
        return home
    note = f"with your {_said(objects)}"
    action = Action.MERGED if home.before is not None else home.action
    return replace(home, after=after, action=action, note=f"{home.note}; {note}" if home.note else note)


def _without(change: Change, objects: Mapping[bytes, bytes], home: str) -> Change:
    note = f"your {_said(objects)} moved to {home}: what this file is named after retires"
    if change.after is None:
        return replace(change, note=f"{note}; a copy is under .advisor/replaced")
    after = without_entries(change.path, change.after, objects.keys())
    return replace(change, after=after, action=Action.MERGED, note=note)


def _told(change: Change, keys: Iterable[bytes]) -> Change:
    return replace(
        change,
        note=f"{change.note}; your {_said(keys)} went with it: write it to a file of your own that the kustomization "
        "names, where it should stay",
    )


def _said(keys: Iterable[bytes]) -> str:
    return " and ".join(key.decode().replace("/", ".", 1) for key in sorted(keys))


def _ended(text: bytes) -> bytes:
    return text if text.endswith(b"\n") else text + b"\n"
