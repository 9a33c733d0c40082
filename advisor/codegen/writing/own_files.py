"""Files of a person's own beside the code: those that belong to a root, and what they name that retires."""

import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from advisor.codegen.generate import Generated
from advisor.codegen.kept import joint
from advisor.codegen.writing.checkout import Checkout
from advisor.codegen.writing.kustomizations import KUSTOMIZATION, files_named
from advisor.codegen.writing.own_objects import gone_keys, names_any
from advisor.codegen.writing.record import read_bytes, read_rollouts

_KINDS = ("*.tf", "*.tfvars", "*.tfvars.json", "Pulumi.*.yaml")
_CODE = ("*.py",)


def own_files(directory: Path, root: str, *kinds: str) -> Iterator[str]:
    """Paths of files beside the code of a root that belong to it, generated ones among them."""
    for kind in (*_KINDS, *kinds):
        for place in (directory / root).glob(kind):
            yield place.relative_to(directory).as_posix()


def naming_retired(generated: Generated, checkout: Checkout) -> Iterator[str]:
    """Notes on files of a person's own that name groups or backends which retire, or which the code no longer has."""
    removed = {key for rollout in read_rollouts(checkout.directory).values() for key in joint(rollout).keys}
    removed &= generated.left_out
    names = removed.union(*map(gone_keys, generated.rollouts.values()))
    generated_paths = {*checkout.record.paths, *generated.files, *checkout.places.values()}
    paths = {path for root in generated.roots for path in own_files(checkout.directory, root, *_CODE)}
    paths |= {*_listed(generated, checkout)}
    for path in sorted(paths - generated_paths) if names else ():
        text = read_bytes(checkout.directory / path) or b""
        named = sorted(name for name in names if names_any(text, [name]))
        if named:
            verb, until = (
                ("is gone", "the next apply") if removed.intersection(named) else ("retires", "--cut-over finish")
            )
            yield f"{path} names {' and '.join(named)}, which {verb}: change it before {until}"


def _listed(generated: Generated, checkout: Checkout) -> Iterator[str]:
    """Paths of the files that kustomizations of the code list, as a person has these."""
    for path in generated.files:
        if PurePosixPath(path).name == KUSTOMIZATION:
            folder = posixpath.dirname(path)
            for name in files_named(checkout.read(path)):
                place = posixpath.normpath(posixpath.join(folder, name))
                if not place.startswith("..") and (checkout.directory / place).is_file():
                    yield place
