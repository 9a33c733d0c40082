"""Quoting of values in generated code: a filter for each language, so that no text changes the code's structure.

Each filter returns :class:`Quoted`. The renderer refuses to print anything else, so a hole without a filter is an error
and not a hole. Python literals have the layout of ``ruff format``.
"""

import hashlib
import ipaddress
import itertools
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

_HCL_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HCL_TEMPLATE_MARK = re.compile(r"(\$+|%+)(?=\{)")
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&!$])")
_LARGEST_BMP = 0xFFFF
_SLUG_SEPARATORS = re.compile(r"[^a-z0-9]+")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_IMAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?(?:/[A-Za-z0-9._-]+)*(?::[A-Za-z0-9._-]+)?(?:@sha256:[0-9a-f]{64})?", re.ASCII
)
_LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_HCL_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_HCL_DISARMED = re.compile(r"[$%]{2,}\{")
"""Marks of templates that are written down already: rare, and escaped in strings only."""
_KUBERNETES_MARK = re.compile(r"\$(?=[$(])")
_YAML_ESCAPES = {"\\": "\\\\", '"': '\\"'}
_HEREDOC = "EOT"
_PLAIN_LINE = re.compile(r"[ -~]*[!-~]")
_FEWEST_LINES = 2
_HCL_INDENT = 2
_HCL_WIDTH = 110
MOST_IN_A_ROW = 3
"""Entries that a mapping on one line holds: with more, it is read better line by line."""
_ENTRY_DEPTH = 1
"""Entries of a map: each has lines of its own, by which edits of two sides are told apart."""
_SPACES = re.compile(r"\s+")


class Quoted(str):
    """Text that is safe to print into the language its filter is named after."""

    __slots__ = ()


def lines_of(text: str) -> tuple[str, ...]:
    """Lines of a program or a file, each to be written on a line of its own; empty: the text is written as one string.

    Every line ends, none is empty, and the first is not indented: heredocs and block scalars hold such a text as it is.
    """
    lines = text.split("\n")
    is_plain = all(_PLAIN_LINE.fullmatch(line) and line.strip() != _HEREDOC for line in lines[:-1])
    is_block = len(lines) > _FEWEST_LINES and not lines[-1] and is_plain and lines[0][0] != " "
    return tuple(lines[:-1]) if is_block and not _HCL_DISARMED.search(text) else ()


def hcl_string(text: str) -> Quoted:
    """A quoted HCL string literal that evaluates to *text* (a lone surrogate becomes U+FFFD)."""
    return Quoted(f'"{_HCL_TEMPLATE_MARK.sub(_disarm, "".join((_HCL_ESCAPES.get(c) or printable(c)) for c in text))}"')


def hcl_number(value: float) -> Quoted:
    """An HCL number. Raises ValueError if not a finite number."""
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number that HCL can hold")
    return Quoted(str(int(value)) if float(value).is_integer() else repr(float(value)))


def hcl_value(value: object, indent: int = 0, depth: int = 0) -> Quoted:
    """A value made of mappings, sequences, text, numbers and booleans, laid out as ``terraform fmt`` would.

    *value*: None is ``null``. *indent*: columns that the line already has before it. Raises TypeError if a part is of
    another type.
    """
    if value is None or isinstance(value, bool):
        return Quoted({None: "null", True: "true", False: "false"}[value])
    if isinstance(value, str):
        return _hcl_heredoc(lines_of(value), indent) if lines_of(value) else hcl_string(value)
    if isinstance(value, int | float):
        return hcl_number(value)
    if isinstance(value, Mapping):
        return _hcl_object(value, indent, depth)
    if isinstance(value, list | tuple):
        return _hcl_tuple(value, indent, depth)
    raise TypeError(f"{value!r} has no form in HCL")


def _hcl_heredoc(lines: Iterable[str], indent: int) -> Quoted:
    """A text over several lines, whose indentation Terraform takes away."""
    space = " " * indent
    inner = "".join(f"{space}  {_HCL_TEMPLATE_MARK.sub(_disarm, line)}\n" for line in lines)
    return Quoted(f"<<-{_HEREDOC}\n{inner}{space}{_HEREDOC}")


def _hcl_tuple(values: Sequence[object], indent: int, depth: int) -> Quoted:
    literals = [hcl_value(value, indent + _HCL_INDENT, depth) for value in values]
    line = f"[{', '.join(literals)}]"
    if len(line) + indent <= _HCL_WIDTH and "\n" not in line:
        return Quoted(line)
    space = " " * (indent + _HCL_INDENT)
    # Nothing else may stand on the line that ends a heredoc.
    commas = (f"\n{space}," if literal.endswith(f"\n{space}{_HEREDOC}") else "," for literal in literals)
    lines = "".join(f"{space}{literal}{comma}\n" for literal, comma in zip(literals, commas, strict=True))
    return Quoted(f"[\n{lines}{' ' * indent}]")


def _hcl_object(values: Mapping[str, object], indent: int, depth: int) -> Quoted:
    """A row within an entry, if it is short and plain; else a line for each, with equals signs below each other."""
    if not values:
        return Quoted("{}")
    inner = indent + _HCL_INDENT
    if depth > _ENTRY_DEPTH and len(values) <= MOST_IN_A_ROW and all(map(_is_plain, values.values())):
        row = hcl_row(values)
        if len(row) + inner <= _HCL_WIDTH:
            return row
    entries = [(_hcl_key(key), hcl_value(value, inner, depth + 1)) for key, value in values.items()]
    lines = []
    # A map or list over several lines stands by itself.
    for is_long, group in itertools.groupby(entries, key=lambda entry: "\n" in entry[1] and entry[1][:2] != "<<"):
        run = list(group)
        width = 0 if is_long else max(len(key) for key, _ in run)
        lines += [f"{' ' * inner}{key.ljust(width)} = {literal}\n" for key, literal in run]
    return Quoted(f"{{\n{''.join(lines)}{' ' * indent}}}")


def hcl_row(values: Mapping[str, object]) -> Quoted:
    """A mapping of text, numbers, booleans, lists and other such mappings on one line."""
    cells = (
        (key, hcl_row(value) if isinstance(value, Mapping) and value else hcl_value(value))
        for key, value in values.items()
    )
    return Quoted(f"{{ {', '.join(f'{_hcl_key(key)} = {cell}' for key, cell in cells)} }}")


def _is_plain(value: object) -> bool:
    """Whether a value fits a row: text of one line, number, truth, or a list of them."""
    if isinstance(value, list | tuple):
        return not any(isinstance(inner, list | tuple) or not _is_plain(inner) for inner in value)
    return not isinstance(value, Mapping) and not (isinstance(value, str) and lines_of(value))


def _hcl_key(key: str) -> str:
    return key if _HCL_IDENTIFIER.fullmatch(key) else hcl_string(key)


def number_range(low: float, high: float) -> Quoted:
    """``3 to 8`` for people, and ``8`` where both are the same."""
    return hcl_number(high) if low == high else Quoted(f"{hcl_number(low)} to {hcl_number(high)}")


def _checked(pattern: re.Pattern[str], what: str) -> Callable[[str], Quoted]:
    """Filter that returns its text as it is where the pattern matches all of it, and raises ValueError elsewhere."""

    def check(text: str) -> Quoted:
        if pattern.fullmatch(text) is None:
            raise ValueError(f"{text!r} is not {what}")
        return Quoted(text)

    return check


name = _plain_name = _checked(_NAME, "a plain name")
"""Letters, digits, hyphens, underscores and dots inside: of strings and units."""
hub_name = _checked(_HUB_NAME, "a name of the hub")
"""A name as the hub gives them, with or without an organisation."""
image_reference = _checked(_IMAGE, "a reference of a container image")
"""Nothing in one acts in any language."""
label_key = _checked(_LABEL_KEY, "a key of a label")
"""Key of a Kubernetes label, annotation, taint or resource."""


def comment_text(text: str) -> Quoted:
    """*text* on one line, for a ``#`` comment."""
    return Quoted(_one_line(text))


def markdown_text(text: str) -> Quoted:
    """*text* as one line of Markdown prose or one table cell, without any markup of its own."""
    return Quoted(_MARKDOWN_SPECIAL.sub(r"\\\1", _one_line(text)))


def markdown_code(text: str) -> Quoted:
    """*text* as a Markdown code span that may stand in a table cell."""
    line = _one_line(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if not line or line.startswith("`") or line.endswith("`") else ""
    return Quoted(f"{fence}{padding}{line}{padding}{fence}")


def ip_network(text: str) -> Quoted:
    """*text* as a network, such as ``10.0.0.0/8``. Raises ValueError if it is none."""
    return Quoted(str(ipaddress.ip_network(text)))


def slug(text: str, longest: int, fallback: str) -> str:
    """Lower-case letters, digits and single hyphens, starting with a letter: a name that every AWS service takes."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = _SLUG_SEPARATORS.sub("-", folded).strip("-")
    if not name[:1].isalpha():
        name = f"{fallback}-{name}".strip("-")
    return name[:longest].rstrip("-")


def marked_slug(text: str, key: str, longest: int, digits: int, fallback: str) -> str:
    """The start of a text as a slug, and a mark of a key that is too long: another name for each key."""
    mark = hashlib.sha256(key.encode()).hexdigest()[:digits]
    return f"{slug(text, longest - digits - 1, fallback)}-{mark}"


def printable(character: str) -> str:
    """The character, or its code point as HCL, YAML and Python write it (a lone surrogate becomes U+FFFD)."""
    if character.isprintable():
        return character
    code = ord(character)
    if unicodedata.category(character) == "Cs":
        return "\ufffd"
    return f"\\u{code:04x}" if code <= _LARGEST_BMP else f"\\U{code:08x}"


def _disarm(mark: re.Match[str]) -> str:
    """Escape ``${`` by doubling; a longer run has no such escape, so it is spelt by code point."""
    signs = mark[0]
    return signs * 2 if len(signs) == 1 else f"\\u{ord(signs[0]):04x}" * len(signs)


def _one_line(text: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text)
    return _SPACES.sub(" ", printable).strip()


def systemd_value(text: str) -> Quoted:
    """A quoted word of a systemd unit that evaluates to *text*: no specifier, escape or line end can act in it.

    Raises ValueError if it holds a NUL, which no unit can.
    """
    if "\0" in text:
        raise ValueError("a systemd unit cannot hold a NUL")
    return Quoted(f'"{"".join(_systemd_character(c) for c in text)}"')


def systemd_path(text: str) -> Quoted:
    """*text* itself as a path in a setting that takes no quotes; no specifier acts in it.

    Raises ValueError if it is not an absolute path, or holds what such a setting cannot.
    """
    if not text.startswith("/") or not text.isprintable() or text != text.strip() or set(text) & set("\"'\\"):
        raise ValueError(f"{text!r} is not a path that a systemd unit can hold without quotes")
    return Quoted(text.replace("%", "%%"))


def systemd_command(arguments: Iterable[str]) -> Quoted:
    """A command line of a unit, in which variables are not replaced either."""
    return Quoted(" ".join(systemd_value(argument).replace("$", "$$") for argument in arguments))


def yaml_string(text: str) -> Quoted:
    """A double-quoted YAML scalar that evaluates to *text* (a lone surrogate becomes U+FFFD)."""
    return Quoted(f'"{"".join(_YAML_ESCAPES.get(c) or printable(c) for c in text)}"')


def yaml_value(value: object, indent: int = 0) -> Quoted:
    """Text after ``key:`` in YAML: a scalar on the same line, the items of a list or mapping on lines of their own.

    Raises TypeError if it is neither text, number, truth nor made of them.
    """
    if isinstance(value, str):
        return Quoted(f" {yaml_string(value)}")
    if isinstance(value, bool | int | float):
        return Quoted(f" {json.dumps(value, allow_nan=False)}")
    start = "\n" + " " * (indent + 2)
    if isinstance(value, Mapping):
        entries = (f"{start}{yaml_string(key)}:{yaml_value(item, indent + 2)}" for key, item in value.items())
        return Quoted("".join(entries) or " {}")
    if isinstance(value, Sequence):
        return Quoted("".join(f"{start}-{yaml_value(item, indent + 2)}" for item in value) or " []")
    raise TypeError(f"{value!r} cannot be written in YAML")


def kubernetes_argument(text: str, indent: int = 0) -> Quoted:
    """The same for a container's argument, in which Kubernetes replaces ``$(NAME)`` and ``$$``; a program line by line.

    *indent*: columns before the lines of a program.
    """
    literal = _KUBERNETES_MARK.sub("$$", text)
    lines = lines_of(literal) if indent else ()
    return Quoted("|" + "".join(f"\n{' ' * indent}{line}" for line in lines)) if lines else yaml_string(literal)


def kubernetes_variable(name: str, option: str = "", before: str = "") -> Quoted:
    """The container argument *option* followed by the value of an environment variable, which Kubernetes puts in.

    *before*: of a variable whose value comes between the two; "": none does. Raises ValueError if a variable's name is
    none.
    """
    names = [_plain_name(text) for text in (before, name) if text]
    return yaml_string(option.replace("$", "$$") + "".join(f"$({name})" for name in names))


def yaml_integer(value: int) -> Quoted:
    """A YAML integer. Raises TypeError if not a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return Quoted(str(value))


def json_list(texts: Iterable[str]) -> Quoted:
    """A JSON list of strings in ASCII: in this form of a Containerfile's commands nothing is replaced."""
    return Quoted(json.dumps(list(texts)))


def _systemd_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character == "%":
        return "%%"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "replace"))
