"""Lines of the Prometheus text format and of OpenMetrics, as far as wanted series need them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

_LABEL = re.compile(r'[ \t]*([a-zA-Z_]\w*)[ \t]*=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n"}


def line_pattern(prefixes: Sequence[str], names: Iterable[str]) -> re.Pattern[str]:
    """Finds lines of wanted series in a page with a line feed put before it.

    Groups: the name; labels with their braces; the value; what stands there instead, where the line
    does not follow the format. Timestamps and exemplars are allowed and left out. A last line without an end is not
    found: it may have been cut.

    Args:
        prefixes: what names can begin with; it is looked for first.
        names: whole names.
    """
    choice = "|".join(_choice(prefix, rest) for prefix, rest in _by_prefix((*prefixes, ""), names).items())
    labels = r'\{(?:[^"\n}]*+"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")*+[^"\n}]*+\}'
    rest = r"(?:[ \t]+-?\d[\d.]*)?[ \t]*(?:#[^\n]*)?\r?(?=\n)"
    return re.compile(rf"\n({choice})(?![\w:])(?:({labels})?[ \t]+([^\s#]+){rest}|([^\n]*)(?=\n))")


def _by_prefix(prefixes: Sequence[str], names: Iterable[str]) -> Mapping[str, list[str]]:
    """Rest of each name after its prefix, by prefix."""
    rests: dict[str, list[str]] = defaultdict(list)
    for name in names:
        prefix = next(prefix for prefix in prefixes if name.startswith(prefix))
        rests[prefix].append(name[len(prefix) :])
    return rests


def _choice(prefix: str, rests: Iterable[str]) -> str:
    longest_first = sorted(map(re.escape, rests), key=len, reverse=True)
    return f"{re.escape(prefix)}(?:{'|'.join(longest_first)})"


def read_labels(text: str) -> Mapping[str, str] | None:
    """Labels by name from ``{a="b",c="d"}`` or nothing; None where they do not follow the format."""
    inner = text[1:-1].strip()
    labels: dict[str, str] = {}
    position = 0
    while position < len(inner):
        match = _LABEL.match(inner, position)
        if match is None or match[1] in labels:
            return None
        labels[match[1]] = _ESCAPE.sub(_unescape, match[2]) if "\\" in match[2] else match[2]
        position = match.end()
    return labels


def read_number(text: str) -> float | None:
    """A value, ``NaN`` and ``+Inf`` among them; None where it is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if "_" in text else value


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[1], match[1])
