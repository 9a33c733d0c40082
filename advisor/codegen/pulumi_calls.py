"""Resources of Terraform's templates printed as calls of Pulumi's classes, so that each is described once.

Pulumi's classic providers are bridged from Terraform's: a class takes the arguments of its resource, with blocks that
may repeat as lists in the plural. A template of a program names a resource, and says what its references are there:
``{{ resource("aws_lb.this", 'context.named("lb", region)', {"aws_security_group.load_balancer[]": "outer"}) }}``. The
tables of pulumi_calls.toml hold classes, plurals and the names that all programs of a cloud share.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain
from operator import or_
from types import MappingProxyType
from typing import Any

from advisor.codegen.python_literals import Entry, Group, placed, python_value, row_of
from advisor.codegen.quoting import Quoted
from advisor.data_files import facts_beside

_FACTS = facts_beside(__file__, "pulumi_calls.toml")
_CLASSES: Mapping[str, str] = _FACTS["classes"]
"""Type of a resource in Terraform → class in Pulumi."""
_LISTS: Mapping[str, str] = _FACTS["lists"]
"""Block, or type.block → argument that is a list of such blocks."""
_RENAMED: Mapping[str, str] = _FACTS["renamed"]
"""Argument, or type.argument → its name in Pulumi."""
_TEXTS: Mapping[str, str] = _FACTS["texts"]
"""type.argument that Pulumi takes as a text, and Terraform as a number or truth → how what is computed becomes one."""
_NAMES: Mapping[str, str] = _FACTS["names"]
"""Start of a reference → Python; ``[]`` stands for an index."""
_LOOPS: Mapping[str, Sequence[str]] = _FACTS["loops"]
"""Collection of ``for_each`` → names of each.key and each.value."""
_LEFT_OUT = {"for_each", "count", "provider", "lifecycle", "depends_on", "timeouts"}
_MARKS = {"tags": "local.tags", "labels": "local.labels"}
"""Set by the options of every resource, except on Azure."""
_RESOURCE = re.compile(r'^resource "(\w+)" "(\w+)" \{\n(.*?)^\}\n', re.MULTILINE | re.DOTALL)
_LOCAL = re.compile(r"^  (\w+) += ", re.MULTILINE)
_TOKEN = re.compile(
    r"(?P<space>[ \t]+)|(?P<comment>#[^\n]*)|(?P<line>\n)|(?P<number>\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w-]*)"
    r'|(?P<quote>")|(?P<mark>\[\*\]|=>|==|!=|<=|>=|&&|\|\||\.\.\.|[-+*/%<>!?:=.,(){}\[\]])'
)
_OPERATORS = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))
_PYTHON_OPERATORS = {"||": "or", "&&": "and"}
_WORDS = {"true": "True", "false": "False", "null": "None"}
_TEXT = re.compile(r'\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|\$\$\{|%%\{|\$\{|"|[^\\"$%]+|[$%]')
_SKIPPED = (re.compile(r"#[^\n]*"), re.compile(r"\\.|\$\$\{|\$\{"))
"""Marks that are skipped whole, outside of a text and within one."""
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_TEXT_OF = {"True": "true", "False": "false"}
_BRACKETS = {"[": "]", "{": "}"}
_SPREAD = {"concat": ("[", "*"), "merge": ("{", "**")}


def bodies_of(texts: Mapping[str, str]) -> dict[str, str]:
    """Address → body of each resource in the files of a root, and what follows the name of each local."""
    whole = "\n".join(texts.values())
    values = {f"local.{m[1]}": whole[m.end() : whole.find("\n}\n", m.end())] for m in _LOCAL.finditer(whole)}
    return values | {f"{m[1]}.{m[2]}": m[3] for m in _RESOURCE.finditer(whole)}


def local_value(bodies: Callable[[], Mapping[str, str]], name: str, *names: Mapping[str, str]) -> Quoted:
    """The value of a local in Python, to be laid out by :func:`laid_out`."""
    value = _Reader(bodies()[f"local.{name}"], "", reduce(or_, map(dict, names), dict(_NAMES)), {}).expression()
    return placed(value)


def pulumi_call(
    bodies: Callable[[], Mapping[str, str]],
    address: str,
    name: str,
    /,
    *names: Mapping[str, str],
    opts: str = "context.options()",
    rest: str = "",
    **changed: str | None,
) -> Quoted:
    """A call of the class of a resource, to be laid out by :func:`laid_out`.

    *name*: Python of its name in the program. *names*: start of a reference → Python, before those that all programs
    share; ``.argument``: that of a block. *rest*: Python of arguments after them. *changed*: arguments that are other
    Python here; None: left out. Raises ValueError if there is no such resource, or an expression has no translation.
    """
    body = bodies().get(address)
    if body is None:
        raise ValueError(f"no template of the root has {address}")
    kind = address.partition(".")[0]
    reader = _Reader(body, kind, reduce(or_, map(dict, names), dict(_NAMES)), changed)
    try:
        entries = reader.arguments()
    except (KeyError, ValueError) as error:
        raise ValueError(f"{address} as Pulumi: {error}; give the argument in the template") from error
    kept = [Entry("", name), *(entry for entry in entries if entry.value is not None)]
    last = [Entry("opts=", opts), *([Entry("", rest)] if rest else [])]
    whole = Group(f"{_CLASSES[kind]}(", [*kept, *last], ")")
    return placed(whole)


class _Reader:
    """Reads the body of a resource and writes Python on the way."""

    def __init__(self, text: str, kind: str, names: Mapping[str, str], changed: Mapping[str, str | None]) -> None:
        self.kind, self.names, self.changed = kind, dict(names), changed
        self.text, self.at, self.depth, self.has_outputs = text, 0, 0, False

    def peek(self, *, lines: bool = False) -> tuple[str, str]:
        """Kind and text of the next token; comments, and line ends unless they count, are passed over."""
        at = self.at
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise ValueError(f"unexpected {self.text[at : at + 20]!r}")
            kind = str(match.lastgroup)
            if kind != "space" and (lines or kind not in ("line", "comment")):
                self.next_at = match.end()
                return kind, match[0]
            at = match.end()
        self.next_at = at
        return "", ""

    def take(self, *wanted: str) -> str:
        """The next token, if it is one of those that are wanted (all if none is said); else empty."""
        _, text = self.peek()
        if wanted and text not in wanted:
            return ""
        self.at = self.next_at
        return text

    def need(self, wanted: str) -> None:
        if not self.take(wanted):
            raise ValueError(f"{wanted!r} expected at {self.text[self.at : self.at + 30]!r}")

    def arguments(self) -> list[Entry]:
        """Arguments of the class, in the order of the resource."""
        loop = re.search(r"^  for_each += (?:.* )?(local\.\w+)$", self.text, re.MULTILINE)
        if loop is not None and loop[1] in _LOOPS:
            key, value = _LOOPS[loop[1]]
            self.names = {"each.key": key, "each.value": value, **self.names}
        entries = [entry._replace(before=f"{entry.before}=") for entry in self.body(self.changed)]
        missing = self.changed.keys() - {entry.before[:-1] for entry in entries}
        return [*entries, *(Entry(f"{key}=", self.changed[key]) for key in self.changed if key in missing)]

    def body(self, changed: Mapping[str, str | None] = MappingProxyType({})) -> list[Entry]:
        entries: list[Entry] = []
        above: list[str] = []
        self.depth += 1
        while True:
            kind, text = self.peek(lines=True)
            if kind == "" or text == "}":
                self.depth -= 1
                return _joined(entries)
            self.at = self.next_at
            if kind == "comment":
                above = [] if text.startswith(("#checkov", "#trivy")) else [*above, text]
            elif kind != "line":
                name = self.called(text)
                given = changed.get(name, self.names.get(f".{name}", ""))
                if given != "":
                    entries.append(Entry(name, given, above))
                    self.skipped()
                else:
                    entries += self.item(text, name, above)
                above = []

    def item(self, word: str, name: str, above: Sequence[str]) -> Iterator[Entry]:
        """An attribute, or a block."""
        if self.depth == 1 and word in _LEFT_OUT:
            self.skipped()
        elif self.take("="):
            start = self.at
            if self.depth == 1 and self.text.startswith(f" {_MARKS.get(word)}\n", start) and "azurerm" not in self.kind:
                self.skipped()
                return
            value = self.expression()
            as_text = _TEXTS.get(f"{self.kind}.{word}")
            if as_text is not None:
                text = _text(value)
                is_given = text.isdigit() or text in _TEXT_OF
                value = json.dumps(_TEXT_OF.get(text, text)) if is_given else as_text.format(text)
            yield Entry(name, value, above, self.comment())
        elif word == "dynamic":
            yield Entry(name, self.dynamic(), above)
        else:
            self.need("{")
            block = self.record(self.body())
            self.need("}")
            yield Entry(name, Group("[", [Entry("", block)], "]") if self.repeats(word) else block, above)

    def skipped(self) -> None:
        """Pass over the rest of an attribute or block."""
        opened: list[str] = []
        while self.at < len(self.text) and (opened or self.text[self.at] not in "\n}"):
            in_text = opened[-1:] == ['"']
            match = _SKIPPED[in_text].match(self.text, self.at)
            mark = match[0] if match is not None else self.text[self.at]
            self.at += len(mark)
            if mark in (('"',) if in_text else (")", "]", "}")):
                opened.pop()
            elif mark in (("${",) if in_text else ('"', "(", "[", "{")):
                opened.append(mark)

    def comment(self) -> str:
        kind, text = self.peek(lines=True)
        if kind != "comment":
            return ""
        self.at = self.next_at
        return text

    def called(self, word: str) -> str:
        """Name of an argument or block in Pulumi."""
        if word == "dynamic":
            word = self.text[self.at :].split('"', 2)[1]
        table = _RENAMED if self.peek()[1] == "=" else _LISTS
        return table.get(f"{self.kind}.{word}", table.get(word, word))

    def repeats(self, word: str) -> bool:
        """Whether blocks of a name are a list in Pulumi."""
        return f"{self.kind}.{word}" in _LISTS or word in _LISTS

    def record(self, entries: Sequence[Entry]) -> Group:
        return Group("{", [entry._replace(before=f'"{entry.before}": ') for entry in entries], "}")

    def dynamic(self) -> Group:
        """A comprehension over what the block is made for; of a block that stands once, a condition."""
        self.need('"')
        word = self.take()
        self.need('"')
        self.need("{")
        self.need("for_each")
        self.need("=")
        key, value, over = self.loop(word)
        self.names |= {f"{word}.key": key, f"{word}.value": value}
        self.need("content")
        self.need("{")
        content = self.record(self.body())
        self.need("}")
        self.need("}")
        if over[0] == "if":
            whole = Group("[", [Entry("", content)], "]") if self.repeats(word) else content
            return Group("(", [Entry("", whole), Entry("if ", over[1]), Entry("else ", "None")], ")", "")
        return Group("[", [Entry("", content), *(Entry("", part) for part in over)], "]", "")

    def loop(self, word: str) -> tuple[str, str, list[str]]:
        """Names of key and value, and the clauses of a comprehension; or ``if`` with a condition."""
        start = self.at
        if self.take("{") and self.take("for"):
            key = self.take()
            self.need(",")
            value = self.take()
            self.need("in")
            over = _text(self.expression())
            self.names |= {key: key, value: value}
            self.need(":")
            clauses = [f"for {key}, {value} in {over}.items()"]
            if self.take() == key and self.take("=>") and self.take() == value:
                clauses += [f"if {_text(self.expression())}"] if self.take("if") else []
                self.need("}")
                return key, value, clauses
        self.at = start
        over = _text(self.expression())
        if over.endswith("[*]"):
            return "0", over[:-3], ["if", f"{over[:-3]} is not None"]
        given = re.fullmatch(r"\[value for value in \[([^,]*)\] if value is not None\]", over)
        if given is not None:
            return "0", given[1], ["if", f"{given[1]} is not None"]
        for pattern, is_denied in ((r"\[(.*)\] if (.*) else \[\]", False), (r"\[\] if (.*) else \[(.*)\]", True)):
            either = re.fullmatch(pattern, over)
            if either is not None:
                value, condition = reversed(either.groups()) if is_denied else either.groups()
                return "0", value, ["if", _denied(condition) if is_denied else condition]
        name = word.rstrip("s")
        if f"{word}.key" not in self.text[self.at :]:
            return name, name, [f"for {name} in {over}"]
        return f"{name}_key", name, [f"for {name}_key, {name} in {over}.items()"]

    def expression(self) -> Any:  # noqa: ANN401 - text or a group
        condition = self.operation(0)
        if not self.take("?"):
            return condition
        chosen = self.expression()
        self.need(":")
        return _either(_text(condition), chosen, self.expression())

    def operation(self, level: int) -> Any:  # noqa: ANN401
        if level == len(_OPERATORS):
            return self.unary()
        left = self.operation(level + 1)
        while operator := self.take(*_OPERATORS[level]):
            right = _operand(self.operation(level + 1))
            word = _PYTHON_OPERATORS.get(operator, operator)
            word = {"==": "is", "!=": "is not"}.get(word, word) if right == "None" else word
            left = f"{_operand(left)} {word} {right}"
            left = re.sub(r"^len\(([^()]*)\) == 0$", r"not \1", left)
        return left

    def unary(self) -> Any:  # noqa: ANN401
        sign = self.take("!", "-")
        value = self.value()
        return f"{'not ' if sign == '!' else sign}{_operand(value)}" if sign else value

    def value(self) -> Any:  # noqa: ANN401
        kind, text = self.peek()
        self.at = self.next_at
        if kind == "number" or text in _WORDS:
            return _WORDS.get(text, text)
        if kind == "quote":
            return self.quoted()
        if kind == "word":
            if not self.take("("):
                return self.named(text, self.steps())
            called, steps = self.function(text), self.steps()
            return _text(called) + "".join(python for _, python in steps) if steps else called
        if text == "(":
            inner = _text(self.expression())
            self.need(")")
            return f"({inner})"
        if text in _BRACKETS:
            return self.comprehension(text) if self.take("for") else self.collection(text)
        raise ValueError(f"{text!r} is not translated")

    def collection(self, start: str) -> Group:
        entries = []
        while not self.take(_BRACKETS[start]):
            before = ""
            if start == "{":
                kind, key = self.peek()
                self.at = self.next_at
                before = f"{self.quoted() if kind == 'quote' else json.dumps(key)}: "
                if not self.take("=", ":"):
                    raise ValueError(f"no value of {key!r}")
            entries.append(Entry(before, self.expression()))
            self.take(",")
        return Group(start, entries, _BRACKETS[start])

    def comprehension(self, start: str) -> Group:
        words = [self.take()]
        while self.take(","):
            words.append(self.take())
        self.need("in")
        over = _operand(self.expression())
        self.need(":")
        self.names |= dict(zip(words, words, strict=True))
        first = self.expression()
        parts = [first if start == "[" else f"{_text(first)}: "]
        if start == "{":
            self.need("=>")
            parts[0] += _text(self.expression())
        parts.append(f"for {', '.join(words)} in {over}{'.items()' if words[1:] else ''}")
        parts += [f"if {_text(self.expression())}"] if self.take("if") else []
        self.need(_BRACKETS[start])
        return Group(start, [Entry("", part) for part in parts], _BRACKETS[start], "")

    def quoted(self) -> Any:  # noqa: ANN401
        """A text: a literal, an f-string, or what waits for outputs."""
        parts: list[str] = []
        values: list[str] = []
        outer, self.has_outputs = self.has_outputs, False
        while True:
            match = _TEXT.match(self.text, self.at)
            if match is None:
                raise ValueError("a text without an end")
            self.at = match.end()
            if match[0] == '"':
                break
            if match[0] == "${":
                values.append(_text(self.expression()))
                self.need("}")
                parts.append("\0")
            else:
                parts.append(_unescaped(match))
        waits, self.has_outputs = self.has_outputs, outer or self.has_outputs
        return _formatted("".join(parts), values, waits=waits)

    def steps(self) -> list[tuple[str, str]]:
        """Attributes and indexes that follow: as names have them, and in Python."""
        steps = []
        while mark := self.take(".", "[", "[*]"):
            if mark == ".":
                steps.append((f".{self.take()}",) * 2)
            elif mark == "[*]":
                steps.append(("[*]", "[*]"))
            else:
                steps.append(("[]", f"[{_text(self.expression())}]"))
                self.need("]")
        return steps

    def named(self, word: str, steps: Sequence[tuple[str, str]]) -> str:
        """The longest start of a reference that has a name, in Python, and the rest of the steps."""
        self.has_outputs |= word == "data" or word in _CLASSES
        for count in range(len(steps), -1, -1):
            name = self.names.get(word + "".join(step for step, _ in steps[:count]))
            if name is not None:
                start = name
                for index in (python for step, python in steps[:count] if step == "[]"):
                    start = start.replace("[]", index, 1)
                rest = [python for _, python in steps[count:]]
                if start.endswith("[.]"):
                    start, rest[0] = start[:-3], f'["{rest[0][1:]}"]'
                return start + "".join(rest)
        raise ValueError(f"no name for {word}{''.join(step for step, _ in steps)}")

    def function(self, word: str) -> Any:  # noqa: ANN401
        arguments = []
        while not self.take(")"):
            arguments.append(self.expression())
            self.take(",")
        if word == "jsonencode":
            return _document(arguments[0])
        if word == "compact":
            return _without_none(arguments[0])
        if word in _SPREAD:
            start, stars = _SPREAD[word]
            parts = [part.entries if _is_literal(part, start) else [Entry(stars, part)] for part in arguments]
            return Group(start, list(chain.from_iterable(parts)), _BRACKETS[start])
        if word not in _FUNCTIONS:
            raise ValueError(f"{word}() is not translated")
        return _FUNCTIONS[word](*map(_text, arguments))


def _beginning(text: str, start: str, size: str) -> str:
    if start != "0":
        raise ValueError(f"substr() from {start} on is not translated")
    return f"{text}[:{size}]"


def _kept(value: str, otherwise: str) -> str:
    """A value that a program always has: fields have defaults there, keys of mappings may be missing."""
    if value.endswith("]") and otherwise != "None":
        raise ValueError(f"try() of {value} is not translated")
    return value


_FUNCTIONS: Mapping[str, Callable[..., str]] = {
    "can": lambda value: value,
    "ceil": lambda number: f"math.ceil({number})",
    "coalesce": lambda *values: _Loose(" or ".join(values)),
    "contains": lambda values, value: _Loose(f"{value} in {values}"),
    "distinct": lambda values: f"list(dict.fromkeys({values}))",
    "keys": lambda values: values,
    "join": lambda mark, values: f"{mark}.join({values})",
    "length": lambda values: f"len({values})",
    "lookup": lambda values, key, default: f"{values}.get({key}{'' if default == 'None' else f', {default}'})",
    "max": lambda *values: f"max({', '.join(values)})",
    "min": lambda *values: f"min({', '.join(values)})",
    "setintersection": lambda values, others: f"set({values}).intersection({others})",
    "split": lambda mark, text: f"{text}.split({mark})",
    "startswith": lambda text, start: f"{text}.startswith({start})",
    "substr": _beginning,
    "tostring": lambda value: f"str({value})",
    "toset": lambda values: values,
    "try": _kept,
}


def _is_compound(condition: str) -> bool:
    return any(word in condition for word in (" and ", " or ", " if "))


def _denied(condition: str) -> str:
    if _is_compound(condition):
        return f"not ({condition})"
    for start, end in (("not ", ""), (" is None", " is not None"), (" is not None", " is None"), (" == ", " != ")):
        if start in condition:
            return condition.replace(start, end)
    return f"not {condition}"


def _either(condition: str, chosen: Any, other: Any) -> str:  # noqa: ANN401
    if condition.startswith("not ") and not _is_compound(condition):
        condition, chosen, other = condition[4:], other, chosen
    if _text(chosen) == condition:
        return _Loose(f"{condition} or {_operand(other)}")
    first = _operand(chosen) if " if " in _text(chosen) else _text(chosen)
    return _Loose(f"{first} if {condition} else {_text(other)}")


def _document(value: Any) -> Group:  # noqa: ANN401
    """The JSON of a value; of a policy by the program's own function."""
    statements = {entry.before: entry.value for entry in value.entries}.get('"Statement": ')
    if statements is None or not _is_literal(statements, "["):
        return Group("pulumi.Output.json_dumps(", [Entry("", value)], ")")
    return Group("document(", statements.entries, ")")


def _without_none(values: Any) -> Group:  # noqa: ANN401
    return Group("[", [Entry("", "value"), Entry("for value in ", values), Entry("if ", "value is not None")], "]", "")


def _is_literal(value: Any, start: str) -> bool:  # noqa: ANN401
    return isinstance(value, Group) and (value.start, value.comma) == (start, ",")


class _Loose(str):
    """Python that needs parentheses beside an operator."""

    __slots__ = ()


def _operand(value: Any) -> str:  # noqa: ANN401
    return f"({value})" if isinstance(value, _Loose) else _text(value)


def _joined(entries: Sequence[Entry]) -> list[Entry]:
    """Blocks of one name as one list."""
    joined: dict[str, Entry] = {}
    for entry in entries:
        former = joined.get(entry.before)
        if former is None or not isinstance(former.value, Group):
            joined[entry.before] = entry
        else:
            parts = [
                value.entries if value.comma else [Entry("", _starred(value))] for value in (former.value, entry.value)
            ]
            joined[entry.before] = former._replace(value=Group("[", [*parts[0], *parts[1]], "]"))
    return list(joined.values())


def _starred(value: Group) -> Group:
    """A comprehension or condition as a part of a list."""
    entries = [entry._replace(value="[]") if entry.before == "else " else entry for entry in value.entries]
    return value._replace(start=f"*{value.start}", entries=entries)


def _text(value: Any) -> str:  # noqa: ANN401
    row = row_of(value)
    if row is None:
        raise ValueError("a comment within an expression")
    return row


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    if code:
        return chr(int(code, 16))
    return _ESCAPES.get(match[3], match[3]) if match[3] else match[0].replace("$${", "${").replace("%%{", "%{")


def _formatted(text: str, values: Sequence[str], *, waits: bool) -> Any:  # noqa: ANN401
    if not values:
        return python_value(text)
    if text == "\0":
        return values[0]
    pieces = text.replace("{", "{{").replace("}", "}}").split("\0")
    holes = [f"{{{place}}}" for place in range(len(values))] if waits else [f"{{{value}}}" for value in values]
    body = python_value("".join(piece + hole for piece, hole in zip(pieces, [*holes, ""], strict=True)))
    if not waits:
        return f"f{body}"
    return Group("pulumi.Output.format(", [Entry("", part) for part in (body, *values)], ")")
