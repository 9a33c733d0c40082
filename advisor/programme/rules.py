"""Who does what when: the owner and the phase of every finding and lever."""

from dataclasses import dataclass
from enum import StrEnum

from advisor.audit.values import Effort


class Phase(StrEnum):
    """Part of a programme."""

    ASSESS = "assess"
    """Week 1: measure, tag, instrument."""
    QUICK = "quick"
    """Weeks 2 and 3."""
    STRATEGIC = "strategic"
    """Week 4: what binds for months, or changes an architecture."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Owner and phase of a finding or a lever."""

    owner: str
    phase: Phase = Phase.QUICK
    is_serving: bool = False
    """Whether a finding is about money that levers and plans are about too: the cost of serving."""


EFFORT_HOURS = {Effort.LOW: 4.0, Effort.MEDIUM: 24.0, Effort.HIGH: 120.0}
"""Hours of work of a finding, an estimate: half a day, three days, three weeks."""
MOST_HOURS_WEEK_2 = 8.0
"""Quick wins of so many hours begin in week 2, longer ones in week 3."""

FINDINGS = {
    "ADV101": Rule("platform", is_serving=True),
    "ADV102": Rule("platform", is_serving=True),
    "ADV103": Rule("ml", is_serving=True),
    "ADV104": Rule("ml", is_serving=True),
    "ADV105": Rule("platform", Phase.STRATEGIC, is_serving=True),
    "ADV106": Rule("platform", is_serving=True),
    "ADV107": Rule("finance", Phase.STRATEGIC, is_serving=True),
    "ADV108": Rule("finance"),
    "ADV109": Rule("finance", Phase.STRATEGIC),
    "ADV110": Rule("platform"),
    "ADV111": Rule("network"),
    "ADV112": Rule("network"),
    "ADV113": Rule("platform"),
    "ADV114": Rule("data"),
    "ADV115": Rule("network"),
    "ADV116": Rule("application", is_serving=True),
    "ADV117": Rule("finance", Phase.ASSESS),
    "ADV118": Rule("platform", Phase.ASSESS),
    "ADV119": Rule("application", is_serving=True),
    "ADV120": Rule("application", is_serving=True),
}
AT_ENDPOINTS = ("ADV116", "ADV119", "ADV120")
"""Findings whose resources are endpoints: what a bill charges for these is at resources of other names."""
LEVERS = {
    "accelerator": Rule("platform", Phase.STRATEGIC),
    "cloud": Rule("platform", Phase.STRATEGIC),
    "commit": Rule("finance", Phase.STRATEGIC),
    "embedding_cache": Rule("application"),
    "model": Rule("ml", Phase.STRATEGIC),
    "region": Rule("platform", Phase.STRATEGIC),
    "precision": Rule("ml"),
    "prompt": Rule("application"),
    "response_cache": Rule("application"),
    "semantic_cache": Rule("application"),
}
"""Levers that are not for the platform's owner, or no quick win."""
OTHERS = Rule("platform")
OWNERS = tuple(dict.fromkeys(rule.owner for rule in (OTHERS, *FINDINGS.values(), *LEVERS.values())))
"""Owner tags that items have."""
EVALUATED = ("model", "precision", "prompt", "semantic_cache")
"""Levers that change answers."""
MEASURES = (
    (
        ("response_cache",),
        "Measure what caches would answer",
        "advisor demand cache requests.jsonl --format json -o {cache}",
        "`advisor levers {workload} --cache {cache}` prices the cache",
    ),
    (
        ("embedding_cache",),
        "Measure how many texts repeat",
        "advisor demand cache texts.jsonl --embedder {model} --format json -o {cache}",
        "`advisor levers {workload} --cache {cache}` prices the cache",
    ),
    (
        ("commit", "schedule"),
        "Record two weeks of demand",
        "advisor agent install systemd",
        "`advisor levers {workload}` prices commitments",
    ),
)
"""Levers without a price, and what measures the figure that they lack: levers, title, command, check."""
STEPS = {
    "response_cache": "the application looks answers up and stores them",
    "embedding_cache": "the application looks vectors up and stores them",
    "semantic_cache": "the application embeds each prompt, searches the stored ones and stores what it did not find",
}
"""Work beside the workload file, by lever: no engine does it."""
MEASURE_HOURS = 4.0
BASELINE_HOURS = 2.0
