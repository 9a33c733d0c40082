"""The catalog's audit, as text, as a block of Markdown for its page, and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields

from advisor.catalog.layers.audit import AGES_DAYS, CLOUDS, CatalogAudit, Contradiction, Disagreement, ProviderAudit
from advisor.report.text_table import markdown_list, render_markdown_table, render_table
from advisor.report.words import name_words

_MOST_LISTED = 20
_COVERAGE = ("provider", "types", "regions", "pairs", "on demand", "spot", "committed", "zones")
_AGE = (
    "provider", *(f"listed, {days} days" for days in AGES_DAYS), *(f"spot listed, {days} days" for days in AGES_DAYS),
)  # fmt: skip


def audit_words(audit: CatalogAudit) -> str:
    """Every figure by provider, then what is missing and what contradicts."""
    layers = ", ".join(f"{name} {count:,}" for name, count in audit.layers.items())
    rows = _with_others(audit.providers)
    coverage, ages = (list(map(cells_of, rows)) for cells_of in (_coverage, _ages))
    parts = {
        "Coverage: pairs of type and region (--format json has every provider)": render_table(_COVERAGE, coverage),
        "Age: share of the pairs": render_table(_AGE, ages),
        "Quality of prices on demand": render_table(*_quality_table(rows, spot=False)),
        "Quality of spot prices": render_table(*_quality_table(rows, spot=True)),
        "Holes": "\n".join(_holes(audit.providers)),
        "Contradictions between layers": "\n".join(_contradictions(audit.contradictions)),
        "Layers that disagree by more than 5 %": _disagreements(audit.disagreements),
    }
    blocks = [f"catalog {audit.content_hash[:12]} on {audit.today}; offers by layer: {layers}"]
    blocks += [f"{title}\n{text}" for title, text in parts.items() if text]
    blocks += ["\n".join(f"problem: {words}" for words in audit.problems)] if audit.problems else []
    return "\n\n".join(blocks) + "\n"


def audit_markdown(audit: CatalogAudit) -> str:
    """The block of docs/catalog.md: the clouds, and all other providers together."""
    rows = _with_others(audit.providers)
    tables = (
        (_COVERAGE, [_coverage(figures) for figures in rows]),
        (_AGE, [_ages(figures) for figures in rows]),
        _quality_table(rows, spot=False),
    )
    words = [f"On {audit.today} (`advisor catalog audit --on {audit.today}`; ages count to that day):"]
    words += (render_markdown_table(*table) for table in tables)
    words += (markdown_list(tuple(_holes(audit.providers, named=False))),)
    return "\n\n".join(words) + "\n"


def audit_json(audit: CatalogAudit) -> str:
    """Every figure and every name."""
    document = {
        "today": audit.today.isoformat(),
        "catalog_hash": audit.content_hash,
        "layers": dict(audit.layers),
        "providers": [asdict(figures) for figures in audit.providers],
        "contradictions": [asdict(contradiction) for contradiction in audit.contradictions],
        "disagreements": [_disagreement_entry(disagreement) for disagreement in audit.disagreements],
        "problems": list(audit.problems),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _disagreement_entry(row: Disagreement) -> Mapping[str, object]:
    return {
        "provider": row.provider,
        "region": row.region,
        "instance_type": row.instance_type,
        "purchase": row.purchase.value,
        "layer": row.layer,
        "usd_per_hour": row.theirs.usd_per_hour,
        "as_of": row.theirs.provenance.as_of,
        "counting_usd_per_hour": row.counts.usd_per_hour,
        "counting_as_of": row.counts.provenance.as_of,
        "ratio": round(row.ratio, 4),
    }


def _with_others(providers: Sequence[ProviderAudit]) -> list[ProviderAudit]:
    """The clouds, and the sum of all others."""
    clouds = [figures for figures in providers if figures.provider in CLOUDS]
    rest = [figures for figures in providers if figures.provider not in CLOUDS]
    return [*clouds, _sum(rest)] if rest else clouds


def _sum(providers: Sequence[ProviderAudit]) -> ProviderAudit:
    summed: dict[str, object] = {"provider": f"{len(providers)} others"}
    for field in fields(ProviderAudit)[1:]:
        values = [getattr(figures, field.name) for figures in providers]
        if isinstance(values[0], int):
            summed[field.name] = sum(values)
        elif isinstance(values[0], Mapping):
            keys = dict.fromkeys(key for value in values for key in value)
            summed[field.name] = {key: sum(value.get(key, 0) for value in values) for key in keys}
        else:
            summed[field.name] = tuple(name for value in values for name in value)
    return ProviderAudit(**summed)  # type: ignore[arg-type] # each field summed by its kind


def _coverage(figures: ProviderAudit) -> list[str]:
    counts = (figures.on_demand, figures.spot, figures.committed, figures.zones)
    totals = map(str, (figures.types, figures.regions, figures.offers))
    return [figures.provider, *totals, *(_share(n, figures.offers) for n in counts)]


def _ages(figures: ProviderAudit) -> list[str]:
    counts = (*(figures.current[days] for days in AGES_DAYS), *(figures.current_spot[days] for days in AGES_DAYS))
    return [figures.provider, *(_share(n, figures.offers) for n in counts)]


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.0%})" if whole else "0"


def _quality_table(rows: Sequence[ProviderAudit], *, spot: bool) -> tuple[tuple[str, ...], list[list[str]]]:
    qualities = [figures.spot_quality if spot else figures.quality for figures in rows]
    names = tuple(dict.fromkeys(name for counts in qualities for name in counts))
    cells = [
        [figures.provider, *(str(counts.get(name, 0)) for name in names)]
        for figures, counts in zip(rows, qualities, strict=True)
    ]
    return ("provider", *names), cells


def _holes(providers: Sequence[ProviderAudit], *, named: bool = True) -> Iterator[str]:
    """Gaps by kind, over all providers."""
    pairs = sum(sum(figures.unpriced.values()) for figures in providers)
    types = [f"{figures.provider} {name}" for figures in providers for name in figures.unpriced]
    yield f"pairs sold at no known price: {pairs:,}, of {len(types):,} types{_named(types, named=named)}"
    for words, field in (
        ("types that no region is known to sell", "sold_nowhere"),
        ("types of which nothing says whether code is generated", "without_code"),
        ("types on whose accelerator no engine is known to serve", "without_engine"),
    ):
        names = [f"{figures.provider} {name}" for figures in providers for name in getattr(figures, field)]
        yield f"{words}: {len(names):,}{_named(names, named=named)}"


def _named(names: Sequence[str], *, named: bool) -> str:
    if not named or not names:
        return ""
    more = f" and {len(names) - _MOST_LISTED:,} more; --format json has all" if len(names) > _MOST_LISTED else ""
    return f": {', '.join(names[:_MOST_LISTED])}{more}"


def _contradictions(rows: Sequence[Contradiction]) -> Iterator[str]:
    if not rows:
        yield "none"
    for row in rows[:_MOST_LISTED]:
        yield f"{row.provider} {row.instance_type}: {row.counts} counts, {row.layer} says {row.theirs}"
    if len(rows) > _MOST_LISTED:
        yield f"and {len(rows) - _MOST_LISTED:,} more; --format json has all"


def _disagreements(rows: Sequence[Disagreement]) -> str:
    """A table of the largest differences, and how many rows each layer has."""
    if not rows:
        return "none"
    worst = sorted(rows, key=lambda row: -abs(row.ratio))[:_MOST_LISTED]
    cells = [
        (
            row.provider, row.instance_type, row.region, name_words(row.purchase.value),
            f"{row.counts.usd_per_hour:.5g}", row.layer, f"{row.theirs.usd_per_hour:.5g}", f"{row.ratio:+.0%}",
        )
        for row in worst
    ]  # fmt: skip
    counts = ", ".join(f"{layer} {count:,}" for layer, count in Counter(row.layer for row in rows).items())
    table = render_table(("provider", "type", "region", "paid", "counts", "layer", "says", ""), cells)
    return f"{table}\nrows by layer: {counts}"
