"""Charts of samples: gaps stay gaps, nothing from outside gets into the page, and lines fit the terminal."""

import re
from functools import cache
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.report.samples_chart import (
    ASCII,
    BLOCKS,
    curve,
    gaps,
    marks_for,
    render_page,
    render_png,
    render_svg,
    render_terminal,
    room,
    spark,
)
from advisor.samples.need.fleet import assess
from samples.need import simulate
from samples.need.simulate import accelerator, drawn, run, serving

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</title><script>alert(1)</script>" onload="x & $a_b$'


@cache
def curves(host="host-a", points=40, missing=(10, 11, 12, 13, 14, 15)):
    """One accelerator with its engine and a gap."""
    seconds = run(simulate.WITHIN, 900)
    here = accelerator(seconds, host=host, gaps=missing)
    engine = serving(seconds, host=host, gaps=missing)
    (need,) = assess([here], [engine])
    return [curve(drawn(seconds, host=host, gaps=missing), [engine], need, points)]


def test_a_gap_breaks_every_line_and_is_shaded():
    """Six of sixty rows missing: one grey rectangle, and every path of a line in two pieces."""
    root = ET.fromstring(render_svg(curves()))
    assert len(root.findall(f".//{SVG}rect[@class='gap']")) == 1
    for kind in ("band", "mean", "peak", "kv"):
        assert len(root.findall(f".//{SVG}path[@class='{kind}']")) == 2


@given(known=st.lists(st.booleans(), max_size=30))
def test_gaps_are_the_runs_of_unknown_points(known):
    """First and end of each run, in order, and nothing else."""
    values = np.where(known, 0.0, np.nan) if known else np.zeros(0)
    unknown = [point for first, last in gaps(values) for point in range(first, last)]
    assert unknown == [point for point, is_known in enumerate(known) if not is_known]


def test_an_accelerator_that_says_nothing_is_all_gap():
    """A MIG instance without signals is drawn as not observed, never as idle."""
    seconds = run(simulate.WITHIN, 900)
    silent = {"without": ("busy_ratio", "sm_active_ratio"), "mig_index": 1}
    (need,) = assess([accelerator(seconds, **silent)], [])
    one = curve(drawn(seconds, **silent), [], need, 40)
    assert one.is_empty
    root = ET.fromstring(render_svg([one]))
    assert root.findall(f".//{SVG}path") == []
    assert len(root.findall(f".//{SVG}rect[@class='gap']")) == 1
    assert render_terminal([one], 80, BLOCKS) == ""


@pytest.mark.parametrize("render", [render_svg, lambda drawn: render_page(drawn, [HOSTILE])])
def test_names_from_outside_stay_text(render):
    """A host's name that looks like markup is shown as it is, and adds neither element nor attribute."""
    text = render(curves(host=HOSTILE))
    assert "<script" not in text
    assert not re.search(r"<[^>]* onload=", text)
    assert "&lt;script&gt;" in text


def test_the_page_asks_for_nothing():
    """No link, script, image or address that a browser would fetch: it can be opened offline and mailed."""
    page = render_page(curves(), [])
    assert not re.search(r"<(script|link|img|iframe|object|embed)\b|url\(|@import|\bsrc=|\bhref=", page)
    assert set(re.findall(r"https?://[^\"' <]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme:dark" in page
    assert "<table>" in page


def test_a_png_is_drawn_at_its_size():
    """The image starts with PNG's signature and is as wide as it should be."""
    pytest.importorskip("matplotlib", reason="a PNG needs matplotlib: pip install '.[charts]'")
    image = render_png(curves(host=HOSTILE))
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(image[16:20]) == 1080


def test_a_spark_tells_a_gap_from_nothing():
    """Zero has the lowest mark and a gap its own, in both sets of marks."""
    values = np.array([0.0, np.nan, 0.5, 1.0])
    assert spark(values, BLOCKS) == "▁·▅█"
    assert spark(values, ASCII) == "_ =#"


@pytest.mark.parametrize(
    ("encoding", "marks"), [("utf-8", BLOCKS), ("ascii", ASCII), ("latin-1", ASCII), (None, ASCII)]
)
def test_marks_are_those_that_the_terminal_can_show(encoding, marks):
    """Blocks where they can be encoded, ASCII elsewhere."""
    assert marks_for(encoding) is marks


@given(width=st.integers(40, 200), host=st.text(min_size=1, max_size=60))
def test_lines_fit_the_terminal(width, host):
    """No line is longer than the terminal is wide, however long the name of the host, and none is broken by it."""
    seconds = short()
    (need,) = assess([accelerator(seconds, host=host)], [])
    here = drawn(seconds, host=host)
    for marks in (BLOCKS, ASCII):
        text = render_terminal([curve(here, [], need, room([need], width))], width, marks)
        lines = text.split("\n")
        assert len(lines) == 4
        assert max(map(len, lines)) <= width
        assert marks is BLOCKS or text.isascii()


@cache
def short():
    """Four rows."""
    return run(simulate.WITHIN, 60)
