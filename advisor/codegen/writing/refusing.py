"""Message when nothing is written: every file by name, and both sides of every conflict."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from advisor.codegen.writing.decisions import Refusal
from advisor.errors import InputError

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
    shown = [text for refusal in refusals for text in _shown(refusal)]
    more = [f"  and {len(shown) - _MOST_SHOWN} more conflicts"] if len(shown) > _MOST_SHOWN else []
    raise InputError(
        "nothing was written:\n" + "\n".join([*lines, *shown[:_MOST_SHOWN], *more]),
        where=str(directory),
        hint=_WITH_CONFLICTS if shown else _WITHOUT,
    )


def _shown(refusal: Refusal) -> list[str]:
    return [
        f"  {refusal.path}:{conflict.line}\n" + _indented(conflict.marked.decode("utf-8", "backslashreplace"))
        for conflict in refusal.conflicts
    ]


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip("\n").split("\n"))
