"""Tables that fit a width: what gives way first, and that nothing is lost where everything is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.report.text_table import Column, Section, fit_table, fold_table, sections_markdown, sections_text, wrap

COLUMNS = (
    Column("#"),
    Column("region", importance=1),
    Column("type"),
    Column("TP", importance=2),
    Column("why", prose=10),
)
ROWS = (("1", "us-east-1", "g6e.xlarge", "1", "fewer backends are simpler"), ("2", "us-west-2", "p5.4xlarge", "2", ""))


def test_a_table_that_fits_is_left_alone():
    """Nothing is dropped or wrapped where there is room."""
    table, left_out = fit_table(COLUMNS, ROWS, 80)

    assert left_out == []
    assert table == fit_table(COLUMNS, ROWS, None)[0]
    assert table.splitlines() == [
        "#  region     type        TP  why",
        "-  ---------  ----------  --  --------------------------",
        "1  us-east-1  g6e.xlarge   1  fewer backends are simpler",
        "2  us-west-2  p5.4xlarge   2",
    ]


@pytest.mark.parametrize(("width", "dropped"), [(41, []), (37, [3]), (36, [3]), (30, [1, 3])])
def test_sentences_wrap_then_the_least_important_column_goes(width, dropped):
    """A column of sentences gives way down to its least; then columns go, the highest number first."""
    table, left_out = fit_table(COLUMNS, ROWS, width)

    assert left_out == dropped
    assert all(len(line) <= width for line in table.splitlines())
    assert "simpler" in table


def test_what_is_left_out_is_named():
    """One line under the table says which columns a wider terminal would show."""
    text = sections_text([Section("options", headers=COLUMNS, rows=ROWS)], 30)

    assert "(--wide shows region, TP too)" in text


def test_empty_columns_are_not_shown():
    """A column without a value in any row takes no room, in text and in Markdown."""
    section = Section("x", headers=("a", "b", "c"), rows=(("1", "", "-"), ("2", "", "-")))

    assert sections_text([section]) == "x\na\n-\n1\n2\n"
    assert "| a |" in sections_markdown([section])


def test_a_line_break_in_a_cell_is_a_line_in_text_and_a_semicolon_in_markdown():
    """The rows of a Markdown table stay one line each."""
    section = Section("x", headers=("a", "b"), rows=(("1", "fleet\ntakes: nothing"),))

    assert "1  fleet\n   takes: nothing" in sections_text([section])
    assert "| 1 | fleet; takes: nothing |" in sections_markdown([section])


CELL = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=30)


@given(st.lists(st.tuples(*[CELL] * 5), min_size=1, max_size=4), st.integers(40, 120))
def test_folded_tables_hold_every_cell(rows, width):
    """Each cell that fits a line stands in one of the tables, and no line is wider than asked."""
    tables = fold_table(COLUMNS, rows, width)

    lines = [line for table in tables for line in table.splitlines()]
    assert all(len(line) <= width for line in lines)
    if width >= 80:
        assert all(any(cell in line for line in lines) for row in rows for cell in row[1:4])


@given(st.text(max_size=200), st.integers(10, 80))
def test_wrapped_lines_hold_the_same_words(text, width):
    """No word is lost, broken or wider than the line unless it alone is."""
    lines = wrap(text, width, "- ", "  ")

    assert " ".join(lines).split() == ["-", *text.split()]
    assert all(len(line) <= width or len(line[2:].split()) <= 1 for line in lines)
