"""The golden stacks on disk: each text once, and a row of ``same.csv`` for every other file that is equal to it."""

import csv
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

STACKS = Path(__file__).resolve().parents[1] / "golden" / "stacks"
SAME = STACKS / "same.csv"
WHOLE = (
    "mixed-fleet",
    "sagemaker-mixed-scheduled",
    "eks-scheduled",
    "eks-karpenter-neuron",
    "mig-scheduled",
    "cloud-run-two-regions",
    "gke-scheduled",
    "vm-scale-set-reactive",
    "container-apps-a100-scheduled",
    "aks-scheduled",
    "eks-reranker",
    "ibm-gaudi-scheduled",
    "kubernetes-gaudi",
)
"""A stack for each target (two for EKS, whose nodes start in two ways, and one of whole answers), kept whole in all of its
languages; of the others, the data alone. Programs and roots of all are evaluated and compared in ``tests/iac``."""


def same_as(stacks: Path = STACKS) -> Mapping[str, str]:
    """Path → path of the file with the same text, both relative to the stacks; of the files that are not kept themselves."""
    table = stacks / SAME.name
    if not table.exists():
        return {}
    with table.open(newline="") as file:
        return {row["path"]: row["same_as"] for row in csv.DictReader(file)}


def unfold(stacks: Path = STACKS) -> None:
    """Write every file of the table out, so that a changed stack changes no text of another one."""
    for path, holder in same_as(stacks).items():
        if (stacks / holder).exists() and not (stacks / path).exists():
            (stacks / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stacks / holder, stacks / path)
    (stacks / SAME.name).unlink(missing_ok=True)


def fold(stacks: Path = STACKS) -> None:
    """Keep each text once, in a whole stack where one has it, else in the first by name; write the table of the others."""
    holders: dict[str, str] = {}
    rows = {}
    for path in _ordered(stacks):
        digest = hashlib.sha256((stacks / path).read_bytes()).hexdigest()
        if digest in holders:
            rows[path] = holders[digest]
            _remove(stacks / path, stacks)
        else:
            holders[digest] = path
    with (stacks / SAME.name).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("path", "same_as"), *sorted(rows.items())])


def _ordered(stacks: Path) -> list[str]:
    paths = [path.relative_to(stacks) for path in stacks.rglob("*") if path.is_file() and path.name != SAME.name]
    ranks = {name: rank for rank, name in enumerate(WHOLE)}
    paths.sort(key=lambda path: (ranks.get(path.parts[0], len(WHOLE)), path.as_posix()))
    return [path.as_posix() for path in paths]


def _remove(path: Path, stacks: Path) -> None:
    path.unlink()
    for directory in path.parents:
        if directory == stacks or any(directory.iterdir()):
            return
        directory.rmdir()
