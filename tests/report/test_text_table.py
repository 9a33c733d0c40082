"""Tables line up and cannot be broken by what they hold."""

from hypothesis import given
from hypothesis import strategies as st

from advisor.report.text_table import escape_markdown, render_markdown_table, render_table


def test_numbers_are_aligned_to_the_right():
    """Columns of quantities end together, columns of words start together."""
    assert render_table(("type", "USD"), [("g6.xlarge", "587.41"), ("p5", "40,000.00")]) == (
        "type             USD\n"
        "---------  ---------\n"
        "g6.xlarge     587.41\n"
        "p5         40,000.00"
    )  # fmt: skip


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), min_size=1, max_size=5))
def test_no_cell_can_add_a_markdown_row_or_column(rows):
    """Whatever the cells hold, there is a line for each row and a separator for each column."""
    table = render_markdown_table(("a", "b"), rows)

    lines = table.split("\n")
    assert len(lines) == len(rows) + 2
    for line in lines:
        assert line.replace("\\|", "").count("|") == 3


def test_markdown_is_shown_as_it_stands():
    """Characters with a meaning in Markdown lose it."""
    assert escape_markdown("a|b *c*\n<d>") == "a\\|b \\*c\\* \\<d\\>"
