"""Curves as a PNG image, by matplotlib, which is loaded only here."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from advisor.errors import InputError
from advisor.report.samples_chart.curves import Curve, Floats, verdict_words
from advisor.report.samples_chart.svg import gaps

_INCHES = (9.0, 1.9)
_BUSY, _BAND, _KV, _GAP, _INK = "#0b63c4", "#a9cdf4", "#a84300", "#e3e7eb", "#1f2328"


def render_png(curves: Sequence[Curve]) -> bytes:
    """All curves below each other.

    Raises:
        InputError: matplotlib is not installed.
    """
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
    """One panel."""
    edges = np.linspace(curve.start.timestamp(), curve.end.timestamp(), curve.mean.size + 1) / 86_400
    for first, last in gaps(curve.mean):
        axes.axvspan(edges[first], edges[last], color=_GAP, linewidth=0, label="not observed")
    if curve.is_empty:
        axes.text(0.5, 0.5, "not observed", transform=axes.transAxes, ha="center", va="center", color=_INK, fontsize=9)
    axes.stairs(curve.peak, edges, baseline=curve.mean, fill=True, color=_BAND)
    axes.stairs(
        curve.mean,
        edges,
        baseline=None,
        color=_BUSY,
        linewidth=1.4,
        label=f"{curve.signal} mean" if curve.signal else None,
    )
    axes.stairs(
        curve.peak,
        edges,
        baseline=None,
        color=_BUSY,
        linewidth=0.6,
        label=f"{curve.signal} peak" if curve.signal else None,
    )
    if curve.kv_used is not None:
        kv_edges = np.linspace(edges[0], edges[-1], curve.kv_used.size + 1)
        axes.stairs(
            curve.kv_used, kv_edges, baseline=None, color=_KV, linewidth=1.2, linestyle="--", label="KV cache in use"
        )
    axes.set_title(_plain(curve.label), loc="left", fontsize=9, fontweight="bold", color=_INK)
    axes.set_title(verdict_words(curve.need.verdict), loc="right", fontsize=9, fontweight="bold", color=_INK)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_yticks([0, 0.5, 1.0], ["0%", "50%", "100%"], fontsize=8)
    _show_time(axes, curve, edges)
    axes.grid(axis="y", color="#d1d9e0", linewidth=0.6)


def _show_time(axes: Any, curve: Curve, edges: Floats) -> None:  # noqa: ANN401
    """Five times below the panel, the outer ones within it."""
    times = [curve.start + (curve.end - curve.start) * share for share in (0, 0.25, 0.5, 0.75, 1)]
    labels = axes.set_xticks(np.linspace(edges[0], edges[-1], 5), [f"{time:%m-%d %H:%M}" for time in times], fontsize=8)
    labels[0].label1.set_horizontalalignment("left")
    labels[-1].label1.set_horizontalalignment("right")


def _plain(text: str) -> str:
    """Text without the dollar signs that matplotlib takes for formulas."""
    return text.replace("$", r"\$")
