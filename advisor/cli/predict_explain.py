"""``advisor predict --explain``: the terms of an answer, for people and for programs."""

from dataclasses import asdict

from advisor.performance.constants import TABLE
from advisor.performance.explain import Explanation, Terms

NOTHING = "\nexplain: there are no terms to show\n"
"""For a question without an answer, and for a model that answers in one pass."""


def explain_values(explanation: Explanation | None) -> dict[str, object] | None:
    """The value of the key ``explain``."""
    return None if explanation is None else asdict(explanation)


def explain_text(explanation: Explanation | None) -> str:
    """The terms as lines, with their shares."""
    if explanation is None:
        return NOTHING
    step = f"a step of {explanation.batch:.4g} requests"
    if explanation.tokens_per_step > 1:
        step += f" that yields {explanation.tokens_per_step:.3g} tokens each"
    lines = [f"users       {explanation.users:.4g} of each replica"] if explanation.users else []
    lines += _lines(f"tpot_ms, {step}", explanation.tpot)
    lines += _lines("ttft_ms", explanation.ttft) if explanation.ttft else []
    lines += [
        f"throughput  learned × {explanation.throughput_learned:.3f}",
        f"grounds     {explanation.grounds}",
        "constants",
    ]
    width = max(len(row.name) for row in TABLE)
    lines += [
        f"  {row.name:<{width}}  {explanation.constants[row.name]:<10.4g} {row.unit}: {row.meaning}" for row in TABLE
    ]
    return "\n" + "\n".join(lines) + "\n"


def _lines(title: str, terms: Terms) -> list[str]:
    """One time: its terms with their shares, and what was learned on top."""
    total = sum(terms.terms_ms.values())
    width = max(map(len, terms.terms_ms))
    parts = [f"  {name:<{width}}  {part:>10.4g}  {part / total:>6.1%}" for name, part in terms.terms_ms.items()]
    return [title, *parts, f"  {total:.4g} × learned {terms.learned:.3f} = {terms.value_ms:.4g}"]
