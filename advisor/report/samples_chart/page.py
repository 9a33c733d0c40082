"""Curves as a page: self-contained, with the numbers in a table beside them."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from advisor.report.html import page_environment
from advisor.report.samples_chart.curves import Curve, place_of
from advisor.report.samples_chart.svg import STYLE, panel_svg
from advisor.report.samples_words import need_words, percent, verdict_words


def render_page(curves: Sequence[Curve], notes: Sequence[str]) -> str:
    """An HTML page with one chart and one row of numbers for each accelerator."""
    panels = [Markup(panel_svg(curve)) for curve in curves]  # noqa: S704 - ElementTree has escaped every text in it
    return (
        page_environment()
        .get_template("samples.html.j2")
        .render(
            style=Markup(STYLE),  # noqa: S704 - a constant of ours
            panels=panels,
            rows=[_row(curve) for curve in curves],
            notes=notes,
            span=_span(curves),
        )
    )


def _row(curve: Curve) -> dict[str, str]:
    need = curve.need
    known = curve.mean[~np.isnan(curve.mean)]
    return {
        "host": need.who.host,
        "place": place_of(need),
        "product": need.who.product or "unknown",
        "verdict": verdict_words(need.verdict),
        "mean": percent(float(known.mean())) if known.size else "-",
        "p95": percent(need.ratio("busy")),
        "memory": need_words(need.memory),
        "advice": need.advice,
    }


def _span(curves: Sequence[Curve]) -> str:
    if not curves:
        return ""
    start, end = min(curve.start for curve in curves), max(curve.end for curve in curves)
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
