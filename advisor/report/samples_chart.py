"""Peak against average over time, drawn for a terminal, as SVG, as a page and as PNG; gaps are gaps and never zero."""

import datetime as dt
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from advisor.errors import InputError
from advisor.records import dataclass
from advisor.report.pages.rendering import page_environment
from advisor.samples.need.fleet import AcceleratorNeed
from advisor.samples.need.limits import Code
from advisor.samples.need.verdict import MemoryNeed, Verdict, words
from advisor.samples.query.counts import Timeline
from advisor.units import bytes_to_gib


def verdict_words(verdict: Verdict) -> str:
    """The verdict, with what is likely where nothing is proven."""
    if verdict.code is Code.UNKNOWN and verdict.likely is not Code.UNKNOWN:
        return f"unknown, likely {words(verdict.likely)}"
    return words(verdict.code)


def need_words(memory: MemoryNeed | None) -> str:
    """Memory needed out of memory held, in GiB."""
    if memory is None:
        return "unknown"
    held = f"{bytes_to_gib(memory.held_bytes):.1f} GiB held"
    if memory.kv is None:
        return f"{held}, need unknown"
    span = f"{bytes_to_gib(memory.low_bytes):.1f} to {bytes_to_gib(memory.high_bytes):.1f} GiB"
    least = "at least " if memory.kv.is_exceeded else ""
    if memory.need_bytes is None:
        return f"{held}, need {span}"
    return f"{held}, need {least}{bytes_to_gib(memory.need_bytes):.1f} ({span})"


def percent(share: float | None) -> str:
    """A share, or a dash where it is unknown."""
    return "-" if share is None else f"{share:.0%}"


Floats = npt.NDArray[np.float64]
_LEAST_KNOWN = 0.5
"""Of the rows of a point; with less it is drawn as a gap."""
_SIGNALS = (("busy_ratio", "busy"), ("sm_active_ratio", "SM active"))
"""What is drawn of an accelerator: the first that it has."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One signal of one accelerator, as shares; arrays of shape ``(points,)``, NaN in gaps."""

    label: str
    """Host, number and product."""
    signal: str
    """What is drawn, in words; empty where the accelerator has nothing to draw."""
    mean: Floats
    peak: Floats
    """Highest reading of each point."""
    kv_used: Floats | None
    """Mean KV use of its engine; None where there is no one engine that says."""
    start: dt.datetime
    end: dt.datetime
    need: AcceleratorNeed

    @property
    def is_empty(self) -> bool:
        """Nothing is known of it."""
        return bool(np.isnan(self.mean).all())


def curve(accelerator: Timeline, engines: Sequence[Timeline], need: AcceleratorNeed, points: int) -> Curve:
    """One accelerator in at most so many points; the KV use is drawn where a single engine may be on it."""
    signal, words = next(((name, words) for name, words in _SIGNALS if accelerator.knows(name)), ("busy_ratio", ""))
    kv_used = _points(engines[0].mean("kv_cache_used_ratio"), points, np.nanmean) if len(engines) == 1 else None
    return Curve(
        label=f"{name_of(need)} {need.who.product or 'unknown'}",
        signal=words,
        mean=_points(accelerator.mean(signal), points, np.nanmean),
        peak=_points(accelerator.greatest(signal), points, np.nanmax),
        kv_used=None if kv_used is None or np.isnan(kv_used).all() else kv_used,
        start=_time(accelerator.grid.start_seconds),
        end=_time(accelerator.grid.start_seconds + accelerator.grid.seconds),
        need=need,
    )


def name_of(need: AcceleratorNeed) -> str:
    """Host and number of an accelerator."""
    return f"{need.who.host} #{need.who.number}"


def _points(values: Floats, points: int, statistic: Callable[[Floats], np.float64]) -> Floats:
    """A statistic of each point's rows, NaN where too few of them are known."""
    parts = np.array_split(values, min(points, values.size))
    return np.array([statistic(part) if (~np.isnan(part)).mean() >= _LEAST_KNOWN else np.nan for part in parts])


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


LEAST_POINTS = 10


@dataclass(frozen=True, slots=True)
class Marks:
    """Characters from nothing to all, and the one of a gap."""

    levels: str
    gap: str


BLOCKS = Marks("▁▂▃▄▅▆▇█", "·")
ASCII = Marks("_.:-=+*#", " ")
"""Readable where the terminal knows no more than ASCII."""


def marks_for(encoding: str | None) -> Marks:
    """Marks that a stream of that encoding can show."""
    try:
        BLOCKS.levels.encode(encoding or "ascii")
        BLOCKS.gap.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def room(needs: Sequence[AcceleratorNeed], width: int) -> int:
    """Points that fit into lines of *width* columns beside the names."""
    return max(width - _margin(needs, width) - len("  peak  100%"), LEAST_POINTS)


def render_terminal(curves: Sequence[Curve], width: int, marks: Marks) -> str:
    """Lines of at most *width* columns, for curves of as many points as there is :func:`room` for."""
    drawn = [curve for curve in curves if curve.signal]
    if not drawn:
        return ""
    margin = _margin([curve.need for curve in curves], width)
    points = max(curve.mean.size for curve in drawn)
    lines = []
    for drawn_curve in drawn:
        place = f"#{drawn_curve.need.who.number}"
        host = "".join(character if character.isprintable() else "?" for character in drawn_curve.need.who.host)
        host = host if marks is BLOCKS else host.encode("ascii", "replace").decode()
        name = f"{host[: margin - len(place) - 1]} {place}"
        peak, mean = (spark(values, marks).ljust(points) for values in (drawn_curve.peak, drawn_curve.mean))
        lines.append(f"{name:<{margin}}  peak {peak} {_percent(np.max, drawn_curve.peak)}")
        lines.append(f"{drawn_curve.signal:>{margin}}  mean {mean} {_percent(np.mean, drawn_curve.mean)}")
    return "\n".join([*lines, *_legend(drawn, margin, width, marks)])


def spark(values: Floats, marks: Marks) -> str:
    """Shares as one character each; a gap has a mark of its own."""
    top = len(marks.levels) - 1
    return "".join(
        marks.gap if np.isnan(value) else marks.levels[min(round(float(value) * top), top)] for value in values
    )


def _margin(needs: Sequence[AcceleratorNeed], width: int) -> int:
    """Columns for the names: as the longest needs, but no more than a third of the line."""
    return min(max((len(name_of(need)) for need in needs), default=0), max(width // 3, 9))


def _percent(statistic: Callable[[Floats], np.float64], values: Floats) -> str:
    stated = values[~np.isnan(values)]
    return f"{float(statistic(stated)):4.0%}" if stated.size else "   -"


def _legend(drawn: Sequence[Curve], margin: int, width: int, marks: Marks) -> list[str]:
    """Time below the curves, or from the left where it would not fit, and what the marks mean."""
    points = max(curve.mean.size for curve in drawn)
    start, end = f"{drawn[0].start:%m-%d %H:%M}", f"{drawn[0].end:%m-%d %H:%M} UTC"
    axis = f"{'':<{margin + len('  peak ')}}{start}{end:>{max(points - len(start), len(end) + 1)}}"
    gap = f"'{marks.gap}' not observed" if marks.gap.strip() else "blank: not observed"
    return [
        axis if len(axis) <= width else f"{start} to {end}",
        f"{marks.levels[0]} 0%  {marks.levels[-1]} 100%  {gap}",
    ]


WIDTH, HEIGHT = 720, 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 40, 24
_PLOT = HEIGHT - _TOP - _BOTTOM
POINTS = 240
STYLE = """
.chart{--paper:#ffffff;--ink:#1f2328;--faint:#59636e;--rule:#d1d9e0;--busy:#0b63c4;--band:#a9cdf4;--kv:#a84300;--gap:#eceff2}
@media (prefers-color-scheme:dark){.chart{--paper:#0d1117;--ink:#f0f3f6;--faint:#a3adb8;--rule:#3d444d;--busy:#71b7ff;
--band:#1d4675;--kv:#ffb077;--gap:#21262d}}
.chart{background:var(--paper);font:12px system-ui,sans-serif}
.chart .title{fill:var(--ink);font-weight:600}.chart .text{fill:var(--faint)}.chart .rule{stroke:var(--rule)}
.chart .band{fill:var(--band)}.chart .mean{stroke:var(--busy);fill:none;stroke-width:1.6}
.chart .kv{stroke:var(--kv);fill:none;stroke-width:1.4;stroke-dasharray:5 3}.chart .gap{fill:var(--gap)}
.chart .peak{stroke:var(--busy);fill:none;stroke-width:.7}
"""


def render_svg(curves: Sequence[Curve]) -> str:
    """All curves below each other, as one file."""
    drawn = list(curves)
    height = HEIGHT * max(len(drawn), 1)
    root = _root(height)
    ET.SubElement(root, "style").text = STYLE
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "style": "fill:var(--paper)"})
    for number, curve in enumerate(drawn):
        _panel(ET.SubElement(root, "g", {"transform": f"translate(0 {number * HEIGHT})"}), curve)
    return f"{ET.tostring(root, encoding='unicode')}\n"


def panel_svg(curve: Curve) -> str:
    """One curve for a page that carries :data:`STYLE` itself."""
    root = _root(HEIGHT)
    _panel(root, curve)
    return ET.tostring(root, encoding="unicode")


def gaps(values: Floats) -> list[tuple[int, int]]:
    """First and last-but-one point of each run of unknown ones."""
    unknown = np.concatenate([[False], np.isnan(values), [False]])
    edges = np.flatnonzero(np.diff(unknown.astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _root(height: int) -> ET.Element:
    return ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "chart",
            "viewBox": f"0 0 {WIDTH} {height}",
            "width": str(WIDTH),
            "height": str(height),
            "role": "img",
        },
    )


def _panel(parent: ET.Element, curve: Curve) -> None:
    """Title, frame, gaps, band from mean to peak, lines."""
    ET.SubElement(parent, "title").text = f"{curve.label}: {verdict_words(curve.need.verdict)}"
    _text(parent, _LEFT, 16, curve.label, "title", "start")
    _text(parent, WIDTH - _RIGHT, 16, verdict_words(curve.need.verdict), "title", "end")
    _text(parent, _LEFT, 30, _key(curve), "text", "start")
    for first, last in gaps(curve.mean):
        x = _x(first, curve.mean.size)
        width = _x(last, curve.mean.size) - x
        ET.SubElement(
            parent,
            "rect",
            {"class": "gap", "x": f"{x:.1f}", "y": str(_TOP), "width": f"{width:.1f}", "height": str(_PLOT)},
        )
    for share in (0.0, 0.5, 1.0):
        y = f"{_y(share):.1f}"
        ET.SubElement(parent, "line", {"class": "rule", "x1": str(_LEFT), "x2": str(WIDTH - _RIGHT), "y1": y, "y2": y})
        _text(parent, _LEFT - 6, _y(share) + 4, f"{share:.0%}", "text", "end")
    _text(parent, _LEFT, HEIGHT - 6, f"{curve.start:%Y-%m-%d %H:%M}", "text", "start")
    _text(parent, WIDTH - _RIGHT, HEIGHT - 6, f"{curve.end:%Y-%m-%d %H:%M} UTC", "text", "end")
    _curves(parent, curve)


def _key(curve: Curve) -> str:
    if not curve.signal:
        return "no utilisation was sampled"
    kv = "; dashed: KV cache in use" if curve.kv_used is not None else ""
    return f"{curve.signal}: mean (line) to peak (shade){kv}; grey: not observed"


def _curves(parent: ET.Element, curve: Curve) -> None:
    for run in _runs(curve.mean):
        there = [f"{x:.1f} {_y(curve.peak[point]):.1f}" for point, x in _steps(run, curve.mean.size)]
        back = [f"{x:.1f} {_y(curve.mean[point]):.1f}" for point, x in _steps(run, curve.mean.size)]
        ET.SubElement(parent, "path", {"class": "band", "d": f"M{' L'.join([*there, *reversed(back)])} Z"})
        ET.SubElement(parent, "path", {"class": "peak", "d": f"M{' L'.join(there)}"})
        ET.SubElement(parent, "path", {"class": "mean", "d": f"M{' L'.join(back)}"})
    if curve.kv_used is not None:
        for run in _runs(curve.kv_used):
            line = [f"{x:.1f} {_y(curve.kv_used[point]):.1f}" for point, x in _steps(run, curve.kv_used.size)]
            ET.SubElement(parent, "path", {"class": "kv", "d": f"M{' L'.join(line)}"})


def _runs(values: Floats) -> Iterator[range]:
    """Runs of known points: a line ends where a gap begins."""
    start = 0
    for first, last in [*gaps(values), (values.size, values.size)]:
        if first > start:
            yield range(start, first)
        start = last


def _steps(run: range, points: int) -> Iterator[tuple[int, float]]:
    """Both ends of the time that each point speaks of."""
    for point in run:
        yield point, _x(point, points)
        yield point, _x(point + 1, points)


def _x(point: float, points: int) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * point / points


def _y(share: float) -> float:
    return _TOP + _PLOT * (1.0 - min(max(float(share), 0.0), 1.0))


def _text(parent: ET.Element, x: float, y: float, text: str, kind: str, anchor: str) -> None:
    element = ET.SubElement(parent, "text", {"class": kind, "x": f"{x:.0f}", "y": f"{y:.0f}", "text-anchor": anchor})
    element.text = "".join(character for character in text if character.isprintable())


def render_page(curves: Sequence[Curve], notes: Sequence[str]) -> str:
    """An HTML page with one chart and one row of numbers for each accelerator."""
    panels = [Markup(panel_svg(curve)) for curve in curves]  # noqa: S704 - ElementTree has escaped every text in it
    style, rows = Markup(STYLE), [_row(curve) for curve in curves]  # noqa: S704 - a constant of ours
    template = page_environment().get_template("samples.html.j2")
    return template.render(style=style, panels=panels, rows=rows, notes=notes, span=_span(curves))


def _row(curve: Curve) -> dict[str, str]:
    need = curve.need
    stated = curve.mean[~np.isnan(curve.mean)]
    return {
        "host": need.who.host,
        "place": f"#{need.who.number}",
        "product": need.who.product or "unknown",
        "verdict": verdict_words(need.verdict),
        "mean": percent(float(stated.mean())) if stated.size else "-",
        "p95": percent(need.ratio("busy")),
        "memory": need_words(need.memory),
        "advice": need.advice,
    }


def _span(curves: Sequence[Curve]) -> str:
    if not curves:
        return ""
    start, end = min(curve.start for curve in curves), max(curve.end for curve in curves)
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


_INCHES = (9.0, 1.9)
_BUSY, _BAND, _KV, _GAP, _INK = "#0b63c4", "#a9cdf4", "#a84300", "#e3e7eb", "#1f2328"


def render_png(curves: Sequence[Curve]) -> bytes:
    """All curves below each other. Raises InputError if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra: loaded when used
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "a PNG needs matplotlib, which is not installed",
            hint="pip install 'inference-advisor[charts]', or give a file that ends in .svg or .html",
        ) from error
    figure = Figure(figsize=(_INCHES[0], _INCHES[1] * max(len(curves), 1)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    legend: dict[str, Any] = {}
    for axes, curve in zip(figure.subplots(max(len(curves), 1), 1, squeeze=False)[:, 0], curves, strict=False):
        _draw(axes, curve)
        legend |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if legend:
        figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _draw(axes: Any, curve: Curve) -> None:  # noqa: ANN401 - matplotlib is loaded only where it is used
    edges = np.linspace(curve.start.timestamp(), curve.end.timestamp(), curve.mean.size + 1) / 86_400
    for first, last in gaps(curve.mean):
        axes.axvspan(edges[first], edges[last], color=_GAP, linewidth=0, label="not observed")
    if curve.is_empty:
        axes.text(0.5, 0.5, "not observed", transform=axes.transAxes, ha="center", va="center", color=_INK, fontsize=9)
    axes.stairs(curve.peak, edges, baseline=curve.mean, fill=True, color=_BAND)
    for values, linewidth, name in ((curve.mean, 1.4, "mean"), (curve.peak, 0.6, "peak")):
        label = f"{curve.signal} {name}" if curve.signal else None
        axes.stairs(values, edges, baseline=None, color=_BUSY, linewidth=linewidth, label=label)
    if curve.kv_used is not None:
        kv_edges = np.linspace(edges[0], edges[-1], curve.kv_used.size + 1)
        axes.stairs(
            curve.kv_used, kv_edges, baseline=None, color=_KV, linewidth=1.2, linestyle="--", label="KV cache in use"
        )
    axes.set_title(curve.label.replace("$", r"\$"), loc="left", fontsize=9, fontweight="bold", color=_INK)
    axes.set_title(verdict_words(curve.need.verdict), loc="right", fontsize=9, fontweight="bold", color=_INK)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_yticks([0, 0.5, 1.0], ["0%", "50%", "100%"], fontsize=8)
    times = [curve.start + (curve.end - curve.start) * share for share in (0, 0.25, 0.5, 0.75, 1)]
    labels = axes.set_xticks(np.linspace(edges[0], edges[-1], 5), [f"{time:%m-%d %H:%M}" for time in times], fontsize=8)
    labels[0].label1.set_horizontalalignment("left")
    labels[-1].label1.set_horizontalalignment("right")
    axes.grid(axis="y", color="#d1d9e0", linewidth=0.6)
