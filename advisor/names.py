"""Names as people type them, and the nearest known ones for an error message."""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from functools import reduce

_IGNORED = str.maketrans("", "", "-_ \t")
_SHORT_LIST = 24
_SHOWN = 6
_UNPRINTABLE = re.compile(
    r"\x1b(?!\[[01]m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2061-\u206f\ufeff]"
)
"""Characters that steer a terminal, but for bold on and off, or show text in another order than it has."""
_CREDENTIALS = re.compile(r"(:/{1,2})[^/\s'\"]*@")
"""Of addresses, also where a path took one of their slashes away."""
_ASCII = {
    "×": "x", "÷": "/", "·": ".", "→": "->", "←": "<-", "⇄": "<->", "≤": "<=", "≥": ">=", "±": "+-", "–": "-", "—": "-",
    "√": "sqrt", "∞": "inf", "Σ": "sum", "λ": "lambda", "µ": "u", "μ": "u", "€": "EUR", "£": "GBP", "▶": ">", "─": "-",
    "│": ":", "├": "+", "└": "+", "█": "#", "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "“": "'", "”": "'",
}  # fmt: skip
"""Nearest ASCII of the characters that Unicode does not decompose."""
_TYPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+:/()-]{0,99}")


def printable(text: str) -> str:
    """Text of others with "?" for what could steer the terminal that it is shown on; lines and tabs stay."""
    return _UNPRINTABLE.sub("?", text)


def nearest_ascii(text: str) -> str:
    """Text without characters beyond ASCII: ``≤ 2 × é`` becomes ``<= 2 x e``, and "?" stands for what has no like."""
    if text.isascii():
        return text
    import unicodedata  # noqa: PLC0415 - most text needs none

    decomposed = "".join(unicodedata.normalize("NFKD", _ASCII.get(character, character)) for character in text)
    without_accents = "".join(character for character in decomposed if not unicodedata.combining(character))
    return (
        "".join(_ASCII.get(character, character) for character in without_accents).encode("ascii", "replace").decode()
    )


def without_credentials(text: str) -> str:
    """Text with the user names and passwords of its addresses taken out."""
    return _CREDENTIALS.sub(r"\1", text)


def is_type_name(name: str) -> bool:
    """Whether a provider could call a machine so: nothing that a shell, a spreadsheet or a terminal acts on."""
    return _TYPE_NAME.fullmatch(name) is not None


def normalised(name: str) -> str:
    """A name without case, spaces, underscores and hyphens: ``A100 80GB`` and ``a100-80gb`` are one."""
    return name.translate(_IGNORED).casefold()


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Known names that look like *name*: those that begin like it, else the most similar ones."""
    candidates = list(dict.fromkeys(names))
    wanted = normalised(name)
    beginning = [candidate for candidate in candidates if wanted and normalised(candidate).startswith(wanted)]
    if beginning:
        return beginning[:_SHOWN]
    folded = {candidate.casefold(): candidate for candidate in candidates}
    return [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]


def first_names(names: Sequence[str], most: int = 3) -> str:
    """The first of some names, and how many more there are: ``a, b and 3 more``."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def suggestion(name: str, names: Sequence[str]) -> str:
    """A hint that names the nearest known names, or all of them when they are few, else how many there are and some."""
    close = nearest(name, names)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if len(names) <= _SHORT_LIST:
        return f"known: {', '.join(names)}"
    return f"{len(names)} are known, such as {', '.join(names[:_SHOWN])}"


_NEARLY_THE_SAME = 0.75
_LEAST_BEGIN = 4
_VARIANTS = ("-instruct", "-chat", "-it", "-hf", "-fp8", "-fp4", "-bf16")


def unread_columns(header: Iterable[str], read: Sequence[str]) -> list[str]:
    """Notes on columns of a table that are not read and are called nearly like one that is and is missing."""
    names = list(header)
    missing = {normalised(name): name for name in read if name not in names}
    nearly = [(name, _nearly(normalised(name), missing)) for name in names if name not in read]
    return [f"column {name!r} is not read; is it {missing[near]!r}?" for name, near in nearly if near]


def _nearly(name: str, columns: Collection[str]) -> str:
    """The column that a name begins, or is most like; "" for none."""
    begun = [column for column in columns if len(name) >= _LEAST_BEGIN and column.startswith(name)]
    return next(iter(begun or difflib.get_close_matches(name, columns, n=1, cutoff=_NEARLY_THE_SAME)), "")


def architecture_key(model: str) -> str:
    """Key that tells one trained architecture from another in a model's name.

    The owner, ``Meta-`` in front and tuning or storage at the end do not change how an engine runs it:
    ``meta-llama/Meta-Llama-3.1-8B-Instruct`` and ``meta-llama/Llama-3.1-8B`` have one key.
    """
    key = model.rsplit("/", 1)[-1].casefold().removeprefix("meta-")
    while (shorter := reduce(str.removesuffix, _VARIANTS, key)) != key:
        key = shorter
    return key
