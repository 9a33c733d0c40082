"""The catalog's audit, as text, as a block of Markdown for its page, and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields

from advisor.catalog.layers.audit import AGES_DAYS, CLOUDS, CatalogAudit, Contradiction, Disagreement, ProviderAudit
from advisor.report.text_table import render_markdown_table, render_table
from advisor.report.words import purchase_words

_MOST_LISTED = 20
_OTHERS = "others"
_COVERAGE = ("provider", "types", "regions", "pairs", "on demand", "spot", "committed", "zones")
_AGE = (
    "provider", *(f"listed, {days} days" for days in AGES_DAYS), *(f"spot listed, {days} days" for days in AGES_DAYS),
)  # fmt: skip


def audit_words(audit: CatalogAudit) -> str:
    """Every figure by provider, then what is missing and what contradicts."""
    layers = ", ".join(f"{name} {count:,}" for name, count in audit.layers.items())
    rows = _with_others(audit.providers)
    quality, spot_quality = _quality_table(rows, spot=False), _quality_table(rows, spot=True)
    blocks = [
        f"catalog {audit.content_hash[:12]} on {audit.today}; offers by layer: {layers}",
        _titled(
            "Coverage: pairs of type and region (--format json has every provider)",
            render_table(_COVERAGE, [_coverage(one) for one in rows]),
        ),
        _titled("Age: share of the pairs", render_table(_AGE, [_ages(one) for one in rows])),
        _titled("Quality of prices on demand", render_table(*quality)),
        _titled("Quality of spot prices", render_table(*spot_quality)),
        _titled("Holes", "\n".join(_holes(audit.providers))),
        _titled("Contradictions between layers", "\n".join(_contradictions(audit.contradictions))),
        _titled("Layers that disagree by more than 5 %", _disagreements(audit.disagreements)),
    ]
    problems = [f"problem: {words}" for words in audit.problems]
    return "\n\n".join(filter(None, [*blocks, "\n".join(problems)])) + "\n"


def audit_markdown(audit: CatalogAudit) -> str:
    """The block of docs/catalog.md: the clouds, and all other providers together."""
    rows = _with_others(audit.providers)
    tables = (
        (_COVERAGE, [_coverage(one) for one in rows]),
        (_AGE, [_ages(one) for one in rows]),
        _quality_table(rows, spot=False),
    )
    words = [f"On {audit.today} (`advisor catalog audit --on {audit.today}`; ages count to that day):"]
    words += (render_markdown_table(*table) for table in tables)
    words += ("\n".join(f"- {line}" for line in _holes(audit.providers, named=False)),)
    return "\n\n".join(words) + "\n"


def audit_json(audit: CatalogAudit) -> str:
    """Every figure and every name."""
    document = {
        "today": audit.today.isoformat(),
        "catalog_hash": audit.content_hash,
        "layers": dict(audit.layers),
        "providers": [asdict(one) for one in audit.providers],
        "contradictions": [asdict(one) for one in audit.contradictions],
        "disagreements": [_disagreement_entry(one) for one in audit.disagreements],
        "problems": list(audit.problems),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _disagreement_entry(one: Disagreement) -> Mapping[str, object]:
    return {
        "provider": one.provider, "region": one.region, "instance_type": one.instance_type,
        "purchase": one.purchase.value, "layer": one.layer, "usd_per_hour": one.theirs.usd_per_hour,
        "as_of": one.theirs.provenance.as_of, "counting_usd_per_hour": one.counts.usd_per_hour,
        "counting_as_of": one.counts.provenance.as_of, "ratio": round(one.ratio, 4),
    }  # fmt: skip


def _titled(title: str, text: str) -> str:
    return f"{title}\n{text}" if text else ""


def _with_others(providers: Sequence[ProviderAudit]) -> list[ProviderAudit]:
    """The clouds, and the sum of all others."""
    clouds = [one for one in providers if one.provider in CLOUDS]
    rest = [one for one in providers if one.provider not in CLOUDS]
    return [*clouds, _sum(rest)] if rest else clouds


def _sum(providers: Sequence[ProviderAudit]) -> ProviderAudit:
    summed: dict[str, object] = {"provider": f"{len(providers)} {_OTHERS}"}
    for field in fields(ProviderAudit)[1:]:
        values = [getattr(one, field.name) for one in providers]
        if isinstance(values[0], int):
            summed[field.name] = sum(values)
        elif isinstance(values[0], Mapping):
            keys = dict.fromkeys(key for value in values for key in value)
            summed[field.name] = {key: sum(value.get(key, 0) for value in values) for key in keys}
        else:
            summed[field.name] = tuple(name for value in values for name in value)
    return ProviderAudit(**summed)  # type: ignore[arg-type] # each field summed by its kind


def _coverage(one: ProviderAudit) -> list[str]:
    counts = (one.on_demand, one.spot, one.committed, one.zones)
    return [one.provider, str(one.types), str(one.regions), str(one.offers), *(_share(n, one.offers) for n in counts)]


def _ages(one: ProviderAudit) -> list[str]:
    counts = (*(one.current[days] for days in AGES_DAYS), *(one.current_spot[days] for days in AGES_DAYS))
    return [one.provider, *(_share(n, one.offers) for n in counts)]


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.0%})" if whole else "0"


def _quality_table(rows: Sequence[ProviderAudit], *, spot: bool) -> tuple[tuple[str, ...], list[list[str]]]:
    found = [one.spot_quality if spot else one.quality for one in rows]
    names = tuple(dict.fromkeys(name for counts in found for name in counts))
    cells = [
        [one.provider, *(str(counts.get(name, 0)) for name in names)] for one, counts in zip(rows, found, strict=True)
    ]
    return ("provider", *names), cells


def _holes(providers: Sequence[ProviderAudit], *, named: bool = True) -> Iterator[str]:
    """What is missing, by kind, over all providers."""
    pairs = sum(sum(one.unpriced.values()) for one in providers)
    types = [f"{one.provider} {name}" for one in providers for name in one.unpriced]
    yield f"pairs sold at no known price: {pairs:,}, of {len(types):,} types{_named(types, named=named)}"
    for words, field in (
        ("types that no region is known to sell", "sold_nowhere"),
        ("types of which nothing says whether code is generated", "without_code"),
        ("types on whose accelerator no engine is known to serve", "without_engine"),
    ):
        names = [f"{one.provider} {name}" for one in providers for name in getattr(one, field)]
        yield f"{words}: {len(names):,}{_named(names, named=named)}"


def _named(names: Sequence[str], *, named: bool) -> str:
    if not named or not names:
        return ""
    more = f" and {len(names) - _MOST_LISTED:,} more; --format json has all" if len(names) > _MOST_LISTED else ""
    return f": {', '.join(names[:_MOST_LISTED])}{more}"


def _contradictions(found: Sequence[Contradiction]) -> Iterator[str]:
    if not found:
        yield "none"
    for one in found[:_MOST_LISTED]:
        yield f"{one.provider} {one.instance_type}: {one.counts} counts, {one.layer} says {one.theirs}"
    if len(found) > _MOST_LISTED:
        yield f"and {len(found) - _MOST_LISTED:,} more; --format json has all"


def _disagreements(found: Sequence[Disagreement]) -> str:
    if not found:
        return "none"
    worst = sorted(found, key=lambda one: -abs(one.ratio))[:_MOST_LISTED]
    rows = [
        (
            one.provider, one.instance_type, one.region, purchase_words(one.purchase.value),
            f"{one.counts.usd_per_hour:.5g}", one.layer, f"{one.theirs.usd_per_hour:.5g}", f"{one.ratio:+.0%}",
        )
        for one in worst
    ]  # fmt: skip
    counts = ", ".join(f"{layer} {count:,}" for layer, count in Counter(one.layer for one in found).items())
    table = render_table(("provider", "type", "region", "paid", "counts", "layer", "says", ""), rows)
    return f"{table}\nrows by layer: {counts}"
