"""Case studies in words and tables: our saving beside the published one, why they differ, and what moves ours."""

from collections.abc import Iterator

from advisor.cases import Assumption, CaseReport, Outcome, PartKind, PricedPart, Swing
from advisor.report.explain_plan import COST_COLUMNS, cost_row
from advisor.report.text_table import Column, Section, dashed
from advisor.report.words import short_words
from advisor.units import A_CENT, milliseconds, usd

_STAGES = (
    Column("stage"),
    Column("line", importance=3),
    Column("USD/month"),
    Column("saves"),
    Column("of machines, tokens", importance=2),
    Column("answer p95", importance=1),
    Column("parts", prose=24),
)
_PARTS = (
    Column("part"),
    Column("line"),
    Column("USD/month"),
    Column("answer p95", importance=1),
    Column("what", prose=30),
    Column("price of most of it", prose=20),
)
_ASSUMPTIONS = (
    Column("assumption"),
    Column("value"),
    Column("unit"),
    Column("line"),
    Column("assumed, or source", prose=30),
)
_TORNADO = (
    Column("assumption"),
    Column("halved to", importance=2),
    Column("saves halved"),
    Column("doubled to", importance=2),
    Column("saves doubled"),
    Column("points", importance=1),
    Column("least to most"),
)
_CHARGES = (Column("part"), *COST_COLUMNS, Column("source", importance=1))
_BAR = 20
_POINTS = 100
_A_POINT = 0.005


def case_sections(report: CaseReport, *, verbose: bool) -> list[Section]:
    """The report: verdict and difference, stages, parts, assumptions, and the tornado; verbose: with every charge."""
    parts = list({part.part: part for stage in report.stages for part in stage.parts}.values())
    before, after = report.stages[0].usd_per_month, report.stages[-1].usd_per_month
    sections = [
        Section(
            f"{report.case.name}: {_saving_words(report.saving_ratio)} ({usd(before)} → {usd(after)} a month); "
            f"published: {_saving_words(report.case.published.saving_ratio)}",
            tuple(_told(report)),
        ),
        Section("stages, each with one more change", (), _STAGES, tuple(_stage_rows(report))),
        Section("parts, each planned or priced by itself", (), _PARTS, tuple(map(_part_row, parts))),
        Section(
            f"assumptions, by line of {report.case.path.name}",
            (),
            _ASSUMPTIONS,
            tuple(map(_assumption_row, report.case.assumptions)),
        ),
    ]
    if verbose:
        charges = tuple((part.part, *cost_row(line), line.price_source) for part in parts for line in part.charges)
        sections.append(Section("charges, whose sums the costs are", (), _CHARGES, charges))
    if report.tornado:
        rows = tuple(_swing_row(swing, report) for swing in report.tornado)
        sections.append(Section("tornado: what the saving rests on", tuple(_tornado_lines(report)), _TORNADO, rows))
    return sections


def _told(report: CaseReport) -> Iterator[str]:
    """The published figure, the difference to it, and its reasons: those computed, then those of the file."""
    published, first, last = report.case.published, report.stages[0], report.stages[-1]
    latency = "" if published.latency_ms is None else f", {_times(*published.latency_ms)}"
    yield f"Published: {published.saving_ratio:.1%}{latency}; {published.source}, line {published.line}."
    if published.latency_ms is not None and first.latency_p95_ms is not None and last.latency_p95_ms is not None:
        yield f"Latency: {_times(first.latency_p95_ms, last.latency_p95_ms)} to the whole answer, 95th percentile."
    points = (report.saving_ratio - published.saving_ratio) * _POINTS
    yield f"Difference: {abs(points):.0f} points {'more' if points > 0 else 'less'} than published."
    yield _stage_words(report)
    if last.machine_saving_ratio is not None and abs(last.machine_saving_ratio - last.saving_ratio) >= _A_POINT:
        yield (
            f"Counted: hours of machines and nodes and tokens alone would save {last.machine_saving_ratio:.1%}; "
            "disks, downloads, data transfer, load balancers, logs, work lost on spot and stated costs change it."
        )
    yield from _price_words(report)
    assumed = sum(assumption.assumed for assumption in report.case.assumptions)
    yield f"Assumed: {assumed} of {len(report.case.assumptions)} figures, which nobody published."
    yield from report.case.differs


def _stage_words(report: CaseReport) -> str:
    """Stages between which the published saving lies."""
    target = report.case.published.saving_ratio
    for before, stage in zip(report.stages, report.stages[1:], strict=False):
        if stage.saving_ratio >= target:
            return (
                f"Stages: '{stage.stage}' passes the published saving, from {before.saving_ratio:.1%} to "
                f"{stage.saving_ratio:.1%}."
            )
    return f"Stages: none reaches the published saving; '{report.stages[-1].stage}' saves {report.saving_ratio:.1%}."


def _price_words(report: CaseReport) -> Iterator[str]:
    """Range of the last stage's cost and saving where prices may have changed."""
    before, last = report.stages[0].usd_per_month, report.stages[-1]
    low, high = last.range_usd_per_month
    if high - low >= A_CENT:
        saves = " to ".join(dict.fromkeys(f"{1 - end / before:.1%}" for end in (high, low)))
        yield (
            f"Prices: '{last.stage}' costs {usd(low)} to {usd(high)} a month as prices that are old or not listed may "
            f"be today, and saves {saves} of the first stage as it is."
        )


def _tornado_lines(report: CaseReport) -> Iterator[str]:
    """Scale, assumptions that alone explain the difference, and values that have no saving."""
    target, base = report.case.published.saving_ratio, report.saving_ratio
    ranges = {swing.assumption: swing.range_with(base) for swing in report.tornado}
    yield f"saving with one assumption halved or doubled (shares: to 1 at most); | is {base:.1%}"
    names = [name for name, (low, high) in ranges.items() if low <= target <= high]
    if names:
        yield f"the published {target:.1%} lies between half and double of: {', '.join(names)}"
    else:
        low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
        yield (f"no assumption alone brings it to the published {target:.1%}: it stays from {low:.1%} to {high:.1%}")
    for swing in report.tornado:
        for outcome in (swing.halved, swing.doubled):
            if outcome.saving_ratio is None:
                yield f"{swing.assumption} of {outcome.value:,.10g}: {outcome.why_none}"


def _stage_rows(report: CaseReport) -> Iterator[tuple[str, ...]]:
    for stage in report.stages:
        yield (
            stage.stage,
            str(stage.line),
            f"{stage.usd_per_month:,.2f}",
            f"{stage.saving_ratio:.1%}",
            "-" if stage.machine_saving_ratio is None else f"{stage.machine_saving_ratio:.1%}",
            dashed(stage.latency_p95_ms, milliseconds),
            ", ".join(part.part for part in stage.parts),
        )


def _part_row(part: PricedPart) -> tuple[str, ...]:
    largest = max(part.charges, key=lambda charge: charge.usd_per_month or 0.0)
    price = ", ".join(filter(None, (largest.price_source, largest.price_as_of, largest.price_quality)))
    return (
        part.part,
        str(part.line),
        f"{part.usd_per_month:,.2f}",
        dashed(part.latency_p95_ms, milliseconds),
        _what(part),
        price,
    )


def _what(part: PricedPart) -> str:
    """The fleet of a planned part, the place of any other charge."""
    if part.fleet is not None:
        return short_words(part.fleet, with_precision=True)
    if part.kind is PartKind.STATED:
        return "stated"
    quantities = ", ".join(f"{charge.quantity:,.0f} {charge.unit}" for charge in part.charges)
    return f"{part.charges[0].place}: {quantities}"


def _assumption_row(assumption: Assumption) -> tuple[str, ...]:
    origin = f"assumed: {assumption.source}" if assumption.assumed else assumption.source
    return assumption.name, f"{assumption.value:,.10g}", assumption.unit, str(assumption.line), origin


def _swing_row(swing: Swing, report: CaseReport) -> tuple[str, ...]:
    low, high = swing.range_with(report.saving_ratio)
    return (
        swing.assumption,
        f"{swing.halved.value:,.10g}",
        _outcome_words(swing.halved),
        f"{swing.doubled.value:,.10g}",
        _outcome_words(swing.doubled),
        f"{(high - low) * _POINTS:.1f}",
        _bar(low, high, report),
    )


def _outcome_words(outcome: Outcome) -> str:
    return "none" if outcome.saving_ratio is None else f"{outcome.saving_ratio:.1%}"


def _bar(low: float, high: float, report: CaseReport) -> str:
    """A range on the scale of all ranges, with a mark where the case is."""
    ranges = [swing.range_with(report.saving_ratio) for swing in report.tornado]
    least, most = min(low for low, _ in ranges), max(high for _, high in ranges)
    scale = _BAR / (most - least) if most > least else 0.0
    start, mark, end = (round((ratio - least) * scale) for ratio in (low, report.saving_ratio, high))
    cells = ["█" if start <= at < end else "·" for at in range(_BAR + 1)]
    cells[mark] = "|"
    return "".join(cells)


def _saving_words(ratio: float) -> str:
    return f"{ratio:.1%} cheaper" if ratio >= 0 else f"{-ratio:.1%} dearer"


def _times(before_ms: float, after_ms: float) -> str:
    return f"{milliseconds(before_ms)} → {milliseconds(after_ms)}"
