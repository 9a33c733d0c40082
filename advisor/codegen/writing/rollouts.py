"""Deployments of a directory's roots, kept as data in ``.advisor/stacks.json`` for the next run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.codegen.rollout import Former, Rollout
from advisor.codegen.wanted import Language, Stage
from advisor.codegen.writing.places import check_no_links, read_bytes
from advisor.codegen.writing.record import FOLDER, MANIFEST, digest_of, read_record
from advisor.errors import InputError
from advisor.plan.plain_values import from_plain, to_plain
from advisor.reading import json_of

PATH = f"{FOLDER}/stacks.json"
_SCHEMA = "advisor.stacks/v1"
_OF_A_WHOLE = {Language.TERRAFORM: "providers.tf", Language.PYTHON: "inference/deployment.py"}
_DAMAGED = "the record of what runs is damaged, or of another version"
_HINT = (
    "restore it from version control, or use the version of advisor that wrote it; once it is deleted, groups that a "
    "plan no longer has go in the same apply that makes the new ones"
)


def read_former(directory: Path, stage: Stage | None = None, *, force: bool = False) -> Former:
    """State that earlier runs left in a directory.

    Args:
        directory: it need not exist.
        stage: which a cut-over is to be in; None: the one that it reached.
        force: go on where that destroys what runs.

    Raises:
        InputError: what they left is damaged, or of another version.
    """
    record = read_record(directory)
    about = record.about
    rollouts = read_rollouts(directory)
    language = _language(record.paths)
    alone = dict(zip(about.get("roots", ()), about.get("targets", ()), strict=False)) if _is_alone(about) else {}
    return Former(
        rollouts=rollouts,
        targets=alone | {root: rollout.planned.target for root, rollout in rollouts.items()},
        roots=record.roots,
        plan_digest=str(about.get("plan", "")),
        stage=stage,
        force=force,
        language=language,
        as_component=_as_component(directory, record.roots, language),
        state=state_of(directory),
    )


def state_of(directory: Path) -> str:
    """Digest of what earlier runs recorded in a directory: another one after each run that changed anything.

    Raises:
        InputError: a link among them leads elsewhere.
    """
    records = [directory / FOLDER / MANIFEST, directory / PATH]
    for record in records:
        check_no_links(record)
    return digest_of(b"\0".join(read_bytes(record) or b"" for record in records))


def _as_component(directory: Path, roots: Sequence[str], language: Language | None) -> bool | None:
    """Whether the code is called from a larger program, by the file that each other root has."""
    if language is None or not roots:
        return None
    return not any((directory / root / _OF_A_WHOLE[language]).exists() for root in roots)


def _language(paths: Iterable[str]) -> Language | None:
    """Language of generated files, by the one that each root has."""
    names = {path.rpartition("/")[2] for path in paths}
    return Language.TERRAFORM if "versions.tf" in names else Language.PYTHON if "__main__.py" in names else None


def _is_alone(about: Mapping[str, object]) -> bool:
    """One root, whose target is therefore known."""
    return about.get("roots") == [""]


def read_rollouts(directory: Path) -> Mapping[str, Rollout]:
    """Root → what its code holds; empty where no run left it.

    Raises:
        InputError: the file is damaged, or of another version.
    """
    path = directory / PATH
    content = read_bytes(path)
    if content is None:
        return {}
    try:
        return {
            str(root): from_plain(Rollout, plain)
            for root, plain in _roots(json_of(content.decode(), str(path))).items()
        }
    except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(_DAMAGED, where=str(path), hint=_HINT) from error


def _roots(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if document["schema"] != _SCHEMA:
        raise ValueError(document["schema"])
    roots: Mapping[str, Any] = document["roots"]
    return roots


def rollouts_text(rollouts: Mapping[str, Rollout]) -> str:
    """Text as it is written: the same rollouts give the same bytes."""
    roots = {root: _plain(rollout) for root, rollout in sorted(rollouts.items())}
    return json.dumps({"schema": _SCHEMA, "roots": roots}, indent=1, ensure_ascii=False) + "\n"


def _plain(rollout: Rollout) -> object:
    """Keys that changed matter as long as something retires."""
    return to_plain(rollout if rollout.before else Rollout(rollout.planned))
