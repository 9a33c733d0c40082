"""Owner and phase of every finding and lever, hours of work, and what measures a figure that a lever lacks."""

from advisor.audit import COMMIT, IDLE, RULES, SPOT, Effort, Phase
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Assignment:
    """Owner and phase of a finding or a lever."""

    owner: str
    phase: Phase = Phase.QUICK


EFFORT_HOURS = {Effort.LOW: 4.0, Effort.MEDIUM: 24.0, Effort.HIGH: 120.0}
"""Hours of work of a finding, an estimate: half a day, three days, three weeks."""
MOST_HOURS_WEEK_2 = 8.0
"""Quick wins of so many hours begin in week 2, longer ones in week 3."""

FINDINGS = {rule.id: Assignment(rule.owner, rule.phase) for rule in RULES}
ABOUT_SERVING = frozenset(rule.id for rule in RULES if rule.is_serving)
AT_ENDPOINTS = frozenset(rule.id for rule in RULES if rule.is_at_endpoints)
EXCLUSIVE = frozenset({IDLE.id, SPOT.id, COMMIT.id})
"""Findings after which a machine is gone, or paid for in one way for good: no two of them are done at one."""
LEVERS = {
    "accelerator": Assignment("platform", Phase.STRATEGIC),
    "cloud": Assignment("platform", Phase.STRATEGIC),
    "commit": Assignment("finance", Phase.STRATEGIC),
    "embedding_cache": Assignment("application"),
    "model": Assignment("ml", Phase.STRATEGIC),
    "region": Assignment("platform", Phase.STRATEGIC),
    "precision": Assignment("ml"),
    "prompt": Assignment("application"),
    "response_cache": Assignment("application"),
    "semantic_cache": Assignment("application"),
}
"""Levers that are not for the platform's owner, or no quick win."""
REPLACING = frozenset({"accelerator", "cloud", "model", "region"})
"""Levers after which other machines run."""
ON_MACHINES = frozenset({"resize", "scale_to_zero", "schedule", "spot"})
"""Levers whose work is on the machines that run."""
OTHERS = Assignment("platform")
OWNERS = tuple(dict.fromkeys(rule.owner for rule in (OTHERS, *FINDINGS.values(), *LEVERS.values())))
"""Owner tags that items have."""
EVALUATED = ("model", "precision", "prompt", "semantic_cache")
"""Levers that change answers."""
MEASURES = (
    (
        ("response_cache",),
        "Measure what caches would answer, from a LOG with prompts",
        "advisor demand cache LOG --format json -o {cache}",
        "`advisor levers {workload} --cache {cache}` prices the cache",
    ),
    (
        ("embedding_cache",),
        "Measure how many texts repeat, from a LOG of them",
        "advisor demand cache LOG --embedder {model} --format json -o {cache}",
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
