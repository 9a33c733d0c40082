"""Lines of the Prometheus text format and of OpenMetrics, as far as wanted series need them."""

import re
from collections.abc import Iterable, Mapping

_LABEL = re.compile(r'[ \t]*([a-zA-Z_]\w*)[ \t]*=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n"}


def line_pattern(prefix: str, names: Iterable[str]) -> re.Pattern[str]:
    """Finds lines of wanted series in a page with a line feed put before it.

    Groups: the name without its prefix; labels with their braces; the value; what stands there instead, where the line
    does not follow the format. Timestamps and exemplars are allowed and left out. A last line without an end is not
    found: it may have been cut.

    Args:
        prefix: regular expression of what names begin with.
        names: what follows the prefix.
    """
    choice = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    labels = r'\{(?:[^"\n}]*+"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")*+[^"\n}]*+\}'
    rest = r"(?:[ \t]+-?\d[\d.]*)?[ \t]*(?:#[^\n]*)?\r?(?=\n)"
    return re.compile(rf"\n{prefix}({choice})(?![\w:])(?:({labels})?[ \t]+([^\s#]+){rest}|([^\n]*)(?=\n))")


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
