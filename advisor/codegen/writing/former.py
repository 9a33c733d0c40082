"""State that earlier runs left in a directory, for the code that goes on from it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from advisor.codegen.container import Language, Stage
from advisor.codegen.inputs.table import declared_inputs
from advisor.codegen.rollout import Former
from advisor.codegen.writing.checkout import Checkout, checkout_of
from advisor.codegen.writing.record import (
    FOLDER,
    MANIFEST,
    ROLLOUTS_PATH,
    check_no_links,
    digest_of,
    read_bytes,
    read_record,
    read_rollouts,
)

_DECLARING = ("variables.tf", "inference/settings.py")
_OF_A_WHOLE = {Language.TERRAFORM: "providers.tf", Language.PYTHON: "inference/deployment.py"}


def read_former(directory: Path, stage: Stage | None = None, *, force: bool = False) -> Former:
    """State that earlier runs left in a directory.

    Args:
        directory: it need not exist.
        stage: which a cut-over is to be in; None: the one that it reached.
        force: go on where that destroys what runs.

    Raises:
        InputError: what they left is damaged, or of another version.
    """
    checkout = checkout_of(directory, read_record(directory))
    record = checkout.record
    about = record.about
    rollouts = read_rollouts(directory)
    names = {path.rpartition("/")[2] for path in record.paths}
    language = Language.TERRAFORM if "versions.tf" in names else Language.PYTHON if "__main__.py" in names else None
    # The target of a root is known where it is the only one.
    alone = dict(zip([""], about.get("targets", ()), strict=False)) if about.get("roots") == [""] else {}
    is_component = None
    if language is not None and record.roots:
        wholes = (f"{root}/{_OF_A_WHOLE[language]}".removeprefix("/") for root in record.roots)
        is_component = not any((directory / checkout.place_of(path)).exists() for path in wholes)
    return Former(
        rollouts=rollouts,
        targets=alone | {root: rollout.planned.target for root, rollout in rollouts.items()},
        roots=record.roots,
        plan_digest=str(about.get("plan", "")),
        stage=stage,
        force=force,
        language=language,
        as_component=is_component,
        state=state_of(directory),
        inputs=_inputs(checkout, record.paths or _unrecorded(directory)),
        live_roots=record.live_roots,
    )


def left_roots(directory: Path) -> tuple[str, ...]:
    """Recorded roots that the last run no longer made: what they deployed runs until somebody destroys it.

    Raises:
        InputError: the records are damaged.
    """
    record = read_record(directory)
    return tuple(root for root in record.roots if root not in record.live_roots)


def state_of(directory: Path) -> str:
    """Digest of what earlier runs recorded in a directory: another one after each run that changed anything.

    Raises:
        InputError: a link among them leads elsewhere.
    """
    records = [directory / FOLDER / MANIFEST, directory / ROLLOUTS_PATH]
    for record in records:
        check_no_links(record)
    return digest_of(b"\0".join(read_bytes(record) or b"" for record in records))


def _inputs(checkout: Checkout, paths: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Root → inputs of its code as it lies in the directory."""
    roots = {path: path.removesuffix(name).rstrip("/") for path in paths for name in _DECLARING if path.endswith(name)}
    texts: dict[str, list[str]] = {}
    for path, root in sorted(roots.items()):
        content = checkout.read(path)
        if content is not None:
            texts.setdefault(root, []).append(content.decode(errors="replace"))
    return {root: declared_inputs(declaring) for root, declaring in texts.items()}


def _unrecorded(directory: Path) -> list[str]:
    """Files of a directory without a record that may declare inputs, of itself and of its folders as roots."""
    places = (place for folder in ("", "*/") for name in _DECLARING for place in directory.glob(folder + name))
    return [place.relative_to(directory).as_posix() for place in places if place.is_file()]
