"""What is written as Python means what it was made from, and is laid out as ruff would."""

import ast
import subprocess
import sys
import unicodedata

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from advisor.codegen.python_literals import Call, calls, python_value
from advisor.codegen.quoting import yaml_value
from codegen.plans import HOSTILE

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text("${}%\"'\\\n\r`#{} \u202e\x00\x85")
SCALARS = TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@given(VALUES)
@example(HOSTILE)
@example({HOSTILE: [HOSTILE, 1.5, {"a": []}]})
def test_literal_evaluates_to_the_value(value):
    """Whatever a text holds, the literal is one value: that text."""
    assert ast.literal_eval(python_value(value)) == value


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALUES, min_size=20, max_size=40))
@example(["first 'line'\n  second \"line\"\nthird\n" * 3, {"a": "b\nc\nd\n"}])
@example([HOSTILE, ["'", '"', "'\"", {'"': [["x" * 200]]}]])
def test_layout_is_that_of_the_formatter(values):
    """``ruff format`` changes nothing."""
    code = f"VALUES = {python_value(values)}\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=120", "--stdin-filename=x.py", "-"]
    assert subprocess.run(command, input=code.encode(), capture_output=True, check=True).stdout.decode() == code


def test_records_are_calls_with_a_line_for_each_argument():
    """A mapping of records becomes a mapping of typed values, and a list of plain ones stands on one line."""
    written = python_value(calls("Group", {"a": {"types": ["x"], "size": Call("Size", {"least": 1})}}))
    assert written == (
        '{\n    "a": Group(\n        types=["x"],\n        size=Size(\n            least=1,\n        ),\n    ),\n}'
    )


def test_a_short_mapping_within_an_entry_is_a_row():
    """The entries of the maps of a call keep lines of their own, by which edits of two sides are told apart."""
    short, long = {"a": 1, "b": "c"}, {"a": 1, "b": 2, "c": 3, "d": 4}
    written = python_value(Call("Fleet", {"groups": calls("Group", {"x": {"short": short, "long": long}})}))
    assert written == (
        'Fleet(\n    groups={\n        "x": Group(\n            short={"a": 1, "b": "c"},\n            long={\n'
        '                "a": 1,\n                "b": 2,\n                "c": 3,\n                "d": 4,\n'
        "            },\n        ),\n    },\n)"
    )


def test_a_list_that_does_not_fit_has_a_line_for_each_item():
    """The name before it counts: the line is no longer than the formatter allows."""
    for letters in range(80, 120):
        name = "n" * 20
        written = python_value(Call("Group", {name: ["x" * letters]}))
        assert max(map(len, written.split("\n"))) <= max(120, 8 + letters + 3)
        assert (f"{name}=[\n" in written) == (letters > 120 - 4 - len(name) - 6)


@pytest.mark.parametrize(
    "call", [Call("os.system", {}), Call("Group", {"a b": 1}), Call("class", {}), Call("G", {"if": 1})]
)
def test_call_with_another_name_is_refused(call):
    """Names of a call come from this program, never from a plan."""
    with pytest.raises(ValueError, match="is not a name"):
        python_value(call)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_has_no_literal_is_refused(value):
    """Neither infinity nor an object can be written."""
    with pytest.raises((TypeError, ValueError)):
        python_value(value)


def test_lone_surrogate_becomes_the_replacement_character():
    """Text that UTF-8 cannot hold does not stop the generator."""
    assert python_value("\ud800") == '"\ufffd"'
    assert unicodedata.category("\ud800") == "Cs"


@given(
    st.recursive(
        TEXT | st.integers() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    )
)
@example({"a": [HOSTILE, []], "b": {}})
def test_yaml_reads_back(value):
    """A value of the stack's configuration is read as it was."""
    assert yaml.safe_load(f"key:{yaml_value(value)}\n") == {"key": value}
