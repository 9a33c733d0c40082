"""Result of a refresh, an update or an import, and the audit of the catalog, as text, Markdown and JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from advisor.catalog.imports import Reason, by_reason
from advisor.catalog.layers.audit import AGES_DAYS, CLOUDS, CatalogAudit, Contradiction, Disagreement, ProviderAudit
from advisor.catalog.layers.layered import Beside, Imported
from advisor.catalog.layers.publication import Publication
from advisor.catalog.layers.refreshing import Refreshed
from advisor.catalog.layers.snapshot import Change, Kind, ReleaseChange
from advisor.catalog.layers.updating import Updated
from advisor.catalog.refresh.values import Found, Gap, ReleaseRow, Sold
from advisor.names import first_names
from advisor.report.text_table import dashed, markdown_list, render_markdown_table, render_table
from advisor.report.words import name_words
from advisor.units import counted, price_usd

_MOST_NAMED_ROWS = 8
_REASON_WORDS = {
    Reason.PROVIDER: "provider that the catalog does not know",
    Reason.REGION: "region that the catalog does not know",
    Reason.ACCELERATOR: "accelerator that the catalog does not know, or several of that name",
    Reason.TYPE: "type that the catalog does not know",
    Reason.CONTRADICTION: "another number of accelerators than in the catalog",
    Reason.OTHERWISE_PAID: "neither on demand nor spot",
    Reason.NO_ACCELERATOR: "no accelerator",
    Reason.IMPLAUSIBLE: "price that cannot be",
    Reason.UNREADABLE: "not readable",
    Reason.PART: "price of a machine without all that it is charged for",
}
_NOT_NAMED = (Reason.NO_ACCELERATOR,)
"""Reasons whose rows are counted and not named."""
_MOST_LISTED = 40
_MOST_REGIONS = 6
_KINDS = {
    "block": ("capacity block", "capacity blocks"),
    "committed": ("price under a commitment", "prices under commitments"),
    "machine": ("machine", "machines"),
    "price": ("price", "prices"),
    "quota": ("limit", "limits"),
    "serverless": ("price of containers", "prices of containers"),
    "sold": ("offer", "offers"),
    "zone": ("zone of an offer", "zones of offers"),
}
"""Singular and plural of each kind of row."""
_MOST_NAMED = 6
_PRICE_CHANGE = ("change", "type", "region", "paid", "before", "now", "")


def imports_words(program: str, results: Sequence[Imported], unread: Sequence[str]) -> str:
    """Import summary: rows read, rows that count, where ours stays, what is left out."""
    blocks = ["\n".join(_import_lines(program, result)) for result in results]
    if unread:
        blocks.append(f"{program} gave nothing of {', '.join(unread)}")
    return "\n".join(blocks) + "\n"


def _import_lines(program: str, result: Imported) -> Iterator[str]:
    mapped = result.mapped
    yield f"{mapped.provider}: {counted(mapped.read, 'row')} of {mapped.source}"
    theirs = [beside for beside in result.beside if beside.counts]
    if mapped.rows:
        new = sum(their.ours is None for their in theirs)
        when = "from now on" if result.is_kept else "after an import"
        yield f"  prices that count {when}: {len(theirs):,}, {new:,} of them where none was known"
    ours = [beside for beside in result.beside if not beside.counts]
    if ours:
        different = [_beside_words(program, our) for our in ours if our.differs]
        examples = f": {_named_rows(different)}" if different else ""
        yield f"  prices of ours that are better founded, and stay: {len(ours):,}"
        yield f"  of these, other by more than a tenth: {len(different):,}{examples}"
    unpriced = _unpriced(result)
    if unpriced:
        yield f"  sold at a price that is not stated: {counted(unpriced, 'row')}"
    for reason, count, names in by_reason(result.left_out):
        named = "" if reason in _NOT_NAMED else f": {_named_rows(names)}"
        yield f"  left out: {counted(count, 'row')}, {_REASON_WORDS[reason]}{named}"


def _unpriced(result: Imported) -> int:
    return sum(isinstance(row, Sold) for row in result.mapped.rows)


def _beside_words(program: str, beside: Beside) -> str:
    ours = beside.ours.usd_per_hour if beside.ours else 0.0
    where = f"{beside.instance_type} {beside.region} {name_words(beside.purchase.value)}"
    return f"{where} {price_usd(ours)}, {program} {price_usd(beside.theirs.usd_per_hour)}"


def _named_rows(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED_ROWS
    more = f" and {rest:,} more; --format json has all" if rest > 0 else ""
    return f"{'; '.join(names[:_MOST_NAMED_ROWS])}{more}"


def imports_json(program: str, results: Sequence[Imported], unread: Sequence[str]) -> str:
    """The same with every name."""
    document = {"imports": [_import_entry(program, result) for result in results], "not_given": list(unread)}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _import_entry(program: str, result: Imported) -> dict[str, Any]:
    mapped = result.mapped
    return {
        "provider": mapped.provider,
        "source": mapped.source,
        "as_of": mapped.as_of,
        "kept": result.is_kept,
        "rows": mapped.read,
        "counting": sum(beside.counts for beside in result.beside),
        "new": sum(beside.ours is None for beside in result.beside),
        "unpriced": _unpriced(result),
        "left_out": [
            {"reason": reason.value, "rows": count, "names": list(names)}
            for reason, count, names in by_reason(result.left_out)
        ],
        "differing": [
            {
                "region": beside.region,
                "instance_type": beside.instance_type,
                "purchase": beside.purchase.value,
                "counts": beside.counts,
                "ours_usd_per_hour": beside.ours.usd_per_hour if beside.ours else None,
                f"{program}_usd_per_hour": beside.theirs.usd_per_hour,
            }
            for beside in result.beside
            if beside.differs
        ],
    }


def engine_refresh_words(result: Refreshed) -> str:
    """Summary of what was read, left out, missing or held back, and what changed."""
    counts = Counter(row.engine for row in result.answer.rows if isinstance(row, ReleaseRow))
    read = ", ".join(f"{number:,} of {engine}" for engine, number in sorted(counts.items()))
    lines = [f"engines: read releases: {read or 'none'}"]
    lines += [f"  missing: {gap.part}: {gap.reason}\n    to fix it: {gap.remedy}" for gap in result.answer.gaps]
    lines += _skipped(result)
    lines += [f"  held back: {held}" for held in result.held]
    if result.is_sound:
        lines.append(change_words(result.changes).rstrip("\n"))
        outcome = f"releases of {result.snapshot.read_on} count from now on" if result.snapshot else ""
        lines.append(f"engines: {outcome or 'this was a dry run, so the old releases hold'}")
    return "\n".join(lines) + "\n"


def _skipped(result: Refreshed) -> Iterator[str]:
    """Releases that are left out, by engine and reason."""
    versions: dict[tuple[str, str], list[str]] = {}
    for row in result.skipped:
        versions.setdefault((row.engine, row.reason), []).append(row.version)
    for (engine, reason), texts in versions.items():
        yield f"  left out of {engine}: {first_names([*map(repr, texts)], _MOST_LISTED)}: {reason}"


def refresh_words(result: Refreshed) -> str:
    """Summary of a refresh: rows read, missing or held back, and changes."""
    rows, provider = Counter(row.kind for row in result.answer.rows), result.answer.provider
    counts = ", ".join(_counted(number, kind) for kind, number in sorted(rows.items())) or "nothing"
    lines = [f"{provider}: read {counts}", *_origin(result.answer), *_missing(result.answer.gaps)]
    lines += [f"  held back: {violation}" for violation in result.held[:_MOST_LISTED]]
    if len(result.held) > _MOST_LISTED:
        lines.append(f"  and {len(result.held) - _MOST_LISTED} more")
    if result.unknown_types:
        lines.append(f"  types of accelerators that the catalog does not know: {', '.join(result.unknown_types)}")
    if result.is_sound:
        lines.append(change_words(result.changes).rstrip("\n"))
    if result.snapshot is not None:
        lines.append(f"{provider}: prices of {result.snapshot.read_on} count from now on")
    elif result.is_sound:
        lines.append(f"{provider}: this was a dry run, so the old prices hold")
    return "\n".join(lines) + "\n"


def _origin(read: Found) -> Iterator[str]:
    if read.origin is not None:
        yield f"  not from {read.provider} itself, so the prices are {read.origin.quality}: {read.origin.title}"


def _counted(number: int, kind: str) -> str:
    singular, several = _KINDS[kind]
    return f"{number:,} {singular if number == 1 else several}"


def _missing(gaps: Sequence[Gap]) -> Iterator[str]:
    """One entry for all parts that are missing in the same regions for the same reason."""
    regions: dict[tuple[str, str, str], list[str]] = {}
    for gap in gaps:
        regions.setdefault((gap.reason, gap.remedy, gap.part.replace("_", " ")), []).append(gap.region)
    parts: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (reason, remedy, part), places in regions.items():
        parts.setdefault((reason, remedy, tuple(places)), []).append(part)
    for (reason, remedy, everywhere), names in parts.items():
        where = f" in {', '.join(everywhere[:_MOST_REGIONS])}" if any(everywhere) else ""
        more = f" and {len(everywhere) - _MOST_REGIONS} more regions" if len(everywhere) > _MOST_REGIONS else ""
        yield f"  missing: {', '.join(names)}{where}{more}: {reason}\n    to fix it: {remedy}"


def change_words(changes: Sequence[Change | ReleaseChange]) -> str:
    """A table of changes, all of prices or all of releases: the first ones, and how many there are of each kind."""
    if not changes:
        return "nothing changed\n"
    is_of_prices = isinstance(changes[0], Change)
    headers = _PRICE_CHANGE if is_of_prices else ("change", "engine", "version", "before", "now")
    more = f"\nand {len(changes) - _MOST_LISTED:,} more; --format json has all" if len(changes) > _MOST_LISTED else ""
    counts = Counter(change.kind.value for change in changes)
    kinds = [kind.value for kind in Kind if kind.value in counts] if is_of_prices else counts
    words = ", ".join(f"{counts[kind]:,} {name_words(kind)}" for kind in kinds)
    return f"{render_table(headers, [*map(_change_row, changes[:_MOST_LISTED])])}{more}\n{words}\n"


def _change_row(change: Change | ReleaseChange) -> Sequence[str]:
    kind = name_words(change.kind.value)
    if isinstance(change, ReleaseChange):
        return kind, change.engine, change.version, change.before or "-", change.now or "-"
    return (
        kind, change.instance_type, change.region, name_words(change.purchase.value) if change.purchase else "",
        dashed(change.before_usd_per_hour, "{:.5g}".format), dashed(change.now_usd_per_hour, "{:.5g}".format),
        "" if change.moved_ratio is None else f"{change.moved_ratio:+.1%}",
    )  # fmt: skip


def changes_json(changes: Sequence[Change | ReleaseChange]) -> str:
    """Every change."""
    return json.dumps([_entry(change) for change in changes], indent=2) + "\n"


def _entry(change: Change | ReleaseChange) -> dict[str, Any]:
    return asdict(change) | ({"moved_ratio": change.moved_ratio} if isinstance(change, Change) else {})


def refresh_json(results: Sequence[Refreshed]) -> str:
    """Every refresh with all that was held back or left out, gaps and changes."""
    return json.dumps([_refresh_entry(result) for result in results], indent=2) + "\n"


def _refresh_entry(result: Refreshed) -> dict[str, Any]:
    origin = {"origin": asdict(result.answer.origin) if result.answer.origin else None}
    unknown = {"unknown_types": list(result.unknown_types)}
    skipped = {"left_out": [asdict(row) for row in result.skipped]}
    return {
        "provider": result.answer.provider,
        "published": result.snapshot is not None,
        "reason": result.reason,
        "read_on": result.snapshot.read_on if result.snapshot else None,
        **({} if result.is_of_releases else origin),
        "rows": dict(sorted(Counter(row.kind for row in result.answer.rows).items())),
        "missing": [asdict(gap) for gap in result.answer.gaps],
        "held": [{"confirm": held.key} | asdict(held) for held in result.held],
        **(skipped if result.is_of_releases else unknown),
        "changes": [_entry(change) for change in result.changes],
    }


def update_words(publication: Publication, results: Sequence[Updated], where: str) -> str:
    """Summary of an update: rows published, held back or not known here, and changes."""
    signature = "signed, which was not checked (--allowed-signers FILE)" if publication.is_signed else "not signed"
    signature = signature if publication.signer is None else f"signed by {publication.signer}"
    head = f"{where}: made {publication.made_at}, {signature}"
    return "\n".join([head, *(line for result in results for line in _lines(result))]) + "\n"


def _lines(result: Updated) -> Iterator[str]:
    yield from (f"  held back: {violation}" for violation in result.held[:_MOST_LISTED])
    if len(result.held) > _MOST_LISTED:
        yield f"  and {len(result.held) - _MOST_LISTED:,} more"
    if result.left_out:
        yield f"  left out, since this version of the program does not know them: {_named(result.left_out)}"
    if not result.held:
        yield change_words(result.changes).rstrip("\n")
    if not result.is_taken:
        yield f"{result.provider}: nothing was taken, so the old prices hold"
    elif result.hidden_by:
        yield (
            f"{result.provider}: what was refreshed on this machine ({result.hidden_by}) takes precedence over "
            f"the published prices of {result.read_on}; `advisor catalog refresh {result.provider} --forget` drops it"
        )
    else:
        yield f"{result.provider}: published prices of {result.read_on} count from now on"


def _named(left_out: Mapping[str, int]) -> str:
    names = list(left_out)
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    rows = sum(left_out.values())
    return f"{counted(rows, 'row')} of {', '.join(names[:_MOST_NAMED])}{more}"


def update_json(publication: Publication, results: Sequence[Updated]) -> str:
    """The same with every row."""
    document = {
        "name": publication.name,
        "made_at": publication.made_at,
        "signer": publication.signer,
        "providers": [
            {
                "provider": result.provider,
                "read_on": result.read_on,
                "taken": result.is_taken,
                "hidden_by_refresh_of": result.hidden_by or None,
                "held": [{"confirm": held.key} | asdict(held) for held in result.held],
                "left_out": dict(result.left_out),
                "changes": [_entry(change) for change in result.changes],
            }
            for result in results
        ],
    }
    return json.dumps(document, indent=2) + "\n"


_MOST_HOLES = 20
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
    yield f"pairs sold at no known price: {pairs:,}, of {len(types):,} types{_named_providers(types, named=named)}"
    for words, field in (
        ("types that no region is known to sell", "sold_nowhere"),
        ("types of which nothing says whether code is generated", "without_code"),
        ("types on whose accelerator no engine is known to serve", "without_engine"),
    ):
        names = [f"{figures.provider} {name}" for figures in providers for name in getattr(figures, field)]
        yield f"{words}: {len(names):,}{_named_providers(names, named=named)}"


def _named_providers(names: Sequence[str], *, named: bool) -> str:
    if not named or not names:
        return ""
    more = f" and {len(names) - _MOST_HOLES:,} more; --format json has all" if len(names) > _MOST_HOLES else ""
    return f": {', '.join(names[:_MOST_HOLES])}{more}"


def _contradictions(rows: Sequence[Contradiction]) -> Iterator[str]:
    if not rows:
        yield "none"
    for row in rows[:_MOST_HOLES]:
        yield f"{row.provider} {row.instance_type}: {row.counts} counts, {row.layer} says {row.theirs}"
    if len(rows) > _MOST_HOLES:
        yield f"and {len(rows) - _MOST_HOLES:,} more; --format json has all"


def _disagreements(rows: Sequence[Disagreement]) -> str:
    """A table of the largest differences, and how many rows each layer has."""
    if not rows:
        return "none"
    worst = sorted(rows, key=lambda row: -abs(row.ratio))[:_MOST_HOLES]
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
