"""Near misses: unknown names on a server that resemble known ones."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from advisor.samples.exporters.table import NameTable

_MOST = 8
_LEAST_LIKENESS = 0.4
_PART = re.compile(r"_(bucket|sum|count|total|created|info)$")
_EVERYBODYS = frozenset({"total", "seconds", "bytes", "ratio", "metric", "current", "node", "count", "number", "num"})
_TELLING = frozenset(
    {"gpu", "vllm", "sglang", "dcgm", "hpu", "npu", "tpu", "neuron", "llm", "accelerator", "kv", "token", "tokens"}
)
_ON_A_PAGE = re.compile(r"^[a-zA-Z_:][\w:]{0,199}(?![\w:])", re.MULTILINE | re.ASCII)
"""Longer ones are nobody's."""


def near_misses(table: NameTable, present: Iterable[str]) -> list[str]:
    """Unknown names among those *present* that share words with known ones, the likest first; eight at most.

    Names with the first word of a known name that is present are left out: that exporter is read already.
    """
    bare, known = {_PART.sub("", name) for name in present}, {_PART.sub("", name.name) for name in table.every}
    seen = {_split(name)[0] for name in bare & known}
    by_word: defaultdict[str, set[frozenset[str]]] = defaultdict(set)
    for words in map(_words, known):
        for word in words:
            by_word[word].add(words)
    unknown = (name for name in bare - known if _split(name)[0] not in seen)
    likeness = {name: _likeness(_words(name), by_word) for name in unknown}
    likest = sorted(likeness, key=lambda name: (-likeness[name], name))
    return [name for name in likest if likeness[name] >= _LEAST_LIKENESS][:_MOST]


def near_miss_words(table: NameTable, present: Iterable[str]) -> str:
    """The near misses in words, to be put behind a hint; "" where there are none."""
    names = near_misses(table, present)
    return f"names there that look alike: {', '.join(names)}; map them in a file (docs/metrics.md)" if names else ""


def names_on_page(text: str) -> set[str]:
    """Names of the series on a page in the text format."""
    return set(_ON_A_PAGE.findall(text))


def _split(name: str) -> list[str]:
    return re.split(r"[_:]+", name.lower())


def _words(name: str) -> frozenset[str]:
    return frozenset(_split(name)) - _EVERYBODYS - {""}


def _likeness(words: frozenset[str], by_word: Mapping[str, set[frozenset[str]]]) -> float:
    """Share of the words that a name has in common with the likest known one; a telling word counts as likeness too."""
    close = frozenset().union(*(by_word.get(word, ()) for word in words))
    most = max((len(words & known) / len(words | known) for known in close), default=0.0)
    if words & _TELLING:
        return max(most, _LEAST_LIKENESS)
    return most if most > 0.5 else 0.0
