"""Nothing that passes a quoting filter can leave the place it is put into."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.codegen import quoting
from advisor.codegen.templates import _environment
from codegen.plans import HOSTILE

TEXT = st.text() | st.text("${}%\"\\\n\r`|'<>#[]*_ \u202e")
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@given(TEXT)
@example(HOSTILE)
@example("$${")
def test_hcl_string_is_one_printable_literal(text):
    """A literal has no bare quote, line break, template mark or invisible character inside."""
    literal = quoting.hcl_string(text)
    assert re.fullmatch(r'"(?:[^"\\\n]|\\.)*"', literal)
    assert literal.isprintable()
    assert not re.search(r"(?<!\$)\$\{|(?<!%)%\{", literal)
    assert not re.search(r"\${3,}\{|%{3,}\{", literal)


@given(TEXT)
@example(HOSTILE)
def test_markdown_text_holds_no_markup(text):
    """A cell stays one line, and every mark that could start something is escaped."""
    cell = quoting.markdown_text(text)
    assert "\n" not in cell
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`<\[*_#]", cell)


@given(TEXT)
@example("`|`")
def test_markdown_code_is_one_closed_span(text):
    """The fence is longer than any run of backticks inside, and no bar ends the table cell."""
    span = quoting.markdown_code(text)
    fence = re.match("`+", span)[0]
    inner = span[len(fence) : -len(fence)]
    assert span.endswith(fence)
    assert all(len(run) != len(fence) for run in re.findall("`+", inner))
    assert not re.search(r"(?<!\\)\|", span)
    assert "\n" not in span


@given(TEXT)
def test_comment_stays_on_its_line(text):
    """A comment has no line break and nothing invisible."""
    comment = quoting.comment_text(text)
    assert len(comment.splitlines()) <= 1
    assert comment.isprintable()


@given(TEXT, st.integers(12, 40))
@example("Ünïcode Häuser", 24)
@example("42", 24)
def test_slug_is_a_name_for_every_service(text, longest):
    """Lower-case letters, digits and single hyphens, from a letter on, never too long."""
    name = quoting.slug(text, longest, "inference")
    assert SLUG.fullmatch(name)
    assert len(name) <= longest
    assert quoting.slug(name, longest, "inference") == name


def test_slug_keeps_what_can_be_kept():
    """Accents fall away, everything else becomes one hyphen."""
    assert quoting.slug("Ünïcode  Häuser/v2", 24, "inference") == "unicode-hauser-v2"
    assert quoting.slug("日本", 24, "inference") == "inference"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15))
def test_hcl_number_reads_back(value):
    """A number is written so that reading it gives the same value."""
    assert float(quoting.hcl_number(value)) == float(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True])
def test_no_number_is_refused(value):
    """Infinity, NaN and truth are no numbers in HCL."""
    with pytest.raises(ValueError, match="not a number"):
        quoting.hcl_number(value)


@pytest.mark.parametrize("text", ["", "a b", "${x}", "a\n", 'a"'])
def test_name_refuses_what_is_no_name(text):
    """What goes unquoted into code must be a plain word."""
    with pytest.raises(ValueError, match="not a plain name"):
        quoting.name(text)


def test_hole_without_a_filter_is_an_error():
    """A template that prints a bare value does not render."""
    with pytest.raises(TypeError, match="without a quoting filter"):
        _environment("terraform/aws").from_string("{{ value }}").render(value="x")


def test_lone_surrogate_becomes_the_replacement_character():
    """Text that UTF-8 cannot hold does not stop the generator."""
    assert quoting.hcl_string("\ud800") == '"\ufffd"'
    assert unicodedata.category("\ud800") == "Cs"


def test_entries_have_lines_of_their_own_and_short_maps_within_them_rows():
    """Edits are told apart by the lines of an entry; what has more than three facts, or is long, is read by lines too."""
    sizes = {"daily": {"recurrence": "0 0 * * *", "instances": 2}}
    labels = {"a": "1", "b": "2", "c": "3", "d": "4"}
    written = quoting.hcl_value({"group": {"gpu": True, "schedule": sizes, "labels": labels, "long": {"x": "y" * 110}}})
    assert written == (
        "{\n  group = {\n    gpu = true\n    schedule = {\n"
        '      daily = { recurrence = "0 0 * * *", instances = 2 }\n    }\n'
        '    labels = {\n      a = "1"\n      b = "2"\n      c = "3"\n      d = "4"\n    }\n'
        f'    long = {{\n      x = "{"y" * 110}"\n    }}\n  }}\n}}'
    )
    assert quoting.hcl_value({"us-east-1": {"weight": 1000}}) == "{\n  us-east-1 = {\n    weight = 1000\n  }\n}"
