"""``advisor predict --explain``: the terms of an answer, for people and for programs."""

from dataclasses import asdict

from advisor.performance.constants import TABLE
from advisor.performance.explain import Explanation, Terms

NOTHING = "\nexplain: there are no terms to show\n"
"""For a question without an answer, and for a model that answers in one pass."""


def explain_values(found: Explanation | None) -> dict[str, object] | None:
    """The value of the key ``explain``."""
    return None if found is None else asdict(found)


def explain_text(found: Explanation | None) -> str:
    """The terms as lines, with their shares."""
    if found is None:
        return NOTHING
    step = f"a step of {found.batch:.4g} requests"
    if found.tokens_per_step > 1:
        step += f" that yields {found.tokens_per_step:.3g} tokens each"
    lines = [f"users       {found.users:.4g} of each replica"] if found.users else []
    lines += _lines(f"tpot_ms, {step}", found.tpot)
    lines += _lines("ttft_ms", found.ttft) if found.ttft else []
    lines += [f"throughput  learned × {found.throughput_learned:.3f}", f"grounds     {found.grounds}", "constants"]
    width = max(len(row.name) for row in TABLE)
    lines += [f"  {row.name:<{width}}  {found.constants[row.name]:<10.4g} {row.unit}: {row.meaning}" for row in TABLE]
    return "\n" + "\n".join(lines) + "\n"


def _lines(title: str, terms: Terms) -> list[str]:
    """One time: its terms with their shares, and what was learned on top."""
    total = sum(terms.terms_ms.values())
    width = max(map(len, terms.terms_ms))
    parts = [f"  {name:<{width}}  {part:>10.4g}  {part / total:>6.1%}" for name, part in terms.terms_ms.items()]
    return [title, *parts, f"  {total:.4g} × learned {terms.learned:.3f} = {terms.value_ms:.4g}"]
