"""Static labels of a host, such as ``team=search``: in every file, and on every series of its page."""

import re
from collections.abc import Sequence

from advisor.errors import InputError

Label = tuple[str, str]
"""Name and value."""
HELP = "kept in every file of rows and on every series, such as team=search; repeatable"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS = {
    "accelerator", "endpoint", "engine", "host", "instance", "job", "le", "mig", "model", "product", "rank", "reason",
    "source", "uuid", "version",
}  # fmt: skip
"""Labels that say what a series is of, and those of who scrapes it."""
_LONGEST_VALUE = 256


def parse_labels(texts: Sequence[str]) -> tuple[Label, ...]:
    """Labels of ``NAME=VALUE`` texts, in the order of their names.

    Raises:
        InputError: a text is no label, or a name is taken.
    """
    labels: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if (
            not separator
            or not _NAME.fullmatch(name)
            or not value.isprintable()
            or not 0 < len(value) <= _LONGEST_VALUE
        ):
            raise InputError(f"{text!r} is no label", where="--label", hint="write NAME=VALUE, such as team=search")
        if name in _OURS or name.startswith("__") or name in labels:
            reason = "given twice" if name in labels else "the agent's own"
            raise InputError(f"the label {name} is {reason}", where="--label", hint="choose another name")
        labels[name] = value
    return tuple(sorted(labels.items()))


def with_labels(own: Sequence[Label], static: Sequence[Label]) -> tuple[Label, ...]:
    """Labels of a series and those of its host, in the order of their names."""
    return tuple(sorted((*own, *static)))
