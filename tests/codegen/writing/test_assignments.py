"""Assignments and flags beside new code: a conflict only where both sides changed one of the same name."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen import Language, generate, write_files
from advisor.codegen.writing.attributes import with_assignments
from advisor.codegen.writing.merging import Conflict
from codegen.scenarios import SCENARIOS

SOLVED = {
    "a value above one that changes": ("a.tf", "  b = 1\n", "  mine = 1\n  b = 1\n", "  b = 2\n", "  mine = 1\n  b = 2\n"),
    "below it": ("a.tf", "  b = 1\n", "  b = 1\n  mine = 1\n", "  b = 2\n", "  b = 2\n  mine = 1\n"),
    "a map with its comment": (
        "a.tf",
        "  b = 1\n",
        "  # Ours.\n  mine = {\n    x = [1]\n  }\n\n  b = 1\n",
        "  b = 2\n",
        "  # Ours.\n  mine = {\n    x = [1]\n  }\n\n  b = 2\n",
    ),
    "another value of the user's beside it": ("a.tf", "  a = 1\n  b = 1\n", "  a = 9\n  b = 1\n", "  a = 1\n  b = 2\n  c = 3\n", "  a = 9\n  b = 2\n  c = 3\n"),
    "columns that the user's name moved": ("a.tf", "  b = 1\n", "  mine = 1\n  b    = 1\n", "  b = 2\n", "  mine = 1\n  b    = 2\n"),
    "a value that went": ("a.tf", "  a = 1\n  b = 1\n", "  a = 1\n  mine = 1\n  b = 1\n", "  b = 2\n", "  mine = 1\n  b = 2\n"),
    "an argument": ("a.py", "    b=1,\n", "    mine=1,\n    b=1,\n", "    b=2,\n", "    mine=1,\n    b=2,\n"),
    "a flag": ("a.tf", '  "--b=1",\n', '  "--mine",\n  "--b=1",\n', '  "--b=2",\n', '  "--mine",\n  "--b=2",\n'),
    "a flag of a manifest": ("a.yaml", '  - "--b=1"\n', '  - "--b=1"\n  - --mine=1\n', '  - "--b=2"\n', '  - "--b=2"\n  - --mine=1\n'),
    "a flag between two that change": ("a.yaml", "  - --b=1\n  - --c=1\n", "  - --b=1\n  - --mine\n  - --c=1\n", "  - --b=2\n  - --c=2\n", "  - --b=2\n  - --mine\n  - --c=2\n"),
    "flags with values of their own": (
        "a.yaml",
        "  - --b\n  - 1\n  - --c=1\n",
        '  - --b\n  - 1\n  - "--mine"\n  - "x"\n  - y\n  - --c=1\n',
        "  - --b\n  - 2\n  - --c=2\n",
        '  - --b\n  - 2\n  - "--mine"\n  - "x"\n  - y\n  - --c=2\n',
    ),
    "variables of a container": (
        "a.yaml",
        "  - name: B\n    value: 1\n",
        '  # Ours.\n  - name: "MINE"\n    valueFrom:\n      x: 1\n  - name: B\n    value: 1\n',
        "  - name: B\n    value: 2\n  - name: C\n    value: 1\n",
        '  # Ours.\n  - name: "MINE"\n    valueFrom:\n      x: 1\n  - name: B\n    value: 2\n  - name: C\n    value: 1\n',
    ),
    "an image of a kustomization": (
        "a.yaml",
        "  - name: b\n    newName: x\n    newTag: 1\n",
        '  - name: "b"\n    newName: x\n    newTag: 1\n    digest: mine\n',
        "  - name: b\n    newName: y\n    newTag: 2\n",
        "  - name: b\n    newName: y\n    newTag: 2\n    digest: mine\n",
    ),
    "a key of a manifest": ("a.yaml", "  b: 1\n", "  mine: 1\n  b: 1\n", "  b: 2\n", "  mine: 1\n  b: 2\n"),
}  # fmt: skip
"""Name → file, base, mine, theirs, merged."""
MEETING = {
    "the same value": ("a.tf", "  b = 1\n", "  mine = 1\n  b = 3\n", "  b = 2\n"),
    "edited and gone": ("a.tf", "  a = 1\n  b = 1\n", "  a = 2\n  b = 1\n", "  b = 2\n"),
    "deleted and changed": ("a.tf", "  b = 1\n", "  mine = 1\n", "  b = 2\n"),
    "both add the name": ("a.tf", "  b = 1\n", "  c = 1\n  b = 1\n", "  c = 2\n  b = 2\n"),
    "a comment on what went": ("a.tf", "  a = 1\n  b = 1\n", "  # why\n  a = 1\n  b = 1\n", "  b = 2\n"),
    "an order that counts": ("a.sh", "  b=1\n", "  mine=1\n  b=1\n", "  b=2\n"),
    "a statement": ("a.py", "    b = 1\n", "    mine = 1\n    b = 1\n", "    b = 2\n"),
    "a word of a list": ("a.tf", '  "b",\n', '  "mine",\n  "b",\n', '  "c",\n'),
    "the bracket of a block": ("a.tf", "  b = 1\n", "  }\n  c {\n  b = 1\n", "  b = 2\n"),
    "an inner block": ("a.tf", "  b = 1\n", "  mine = 1\n    b = 1\n", "  b = 2\n"),
    "a text of several lines": ("a.tf", "  b = 1\n", "  mine = <<-EOT\n  b = 1\n", "  b = 2\n"),
    "a map of a manifest": ("a.yaml", "  b: 1\n", "  mine:\n  b: 1\n", "  b: 2\n"),
    "an image that both changed": (
        "a.yaml",
        "  - name: b\n    newTag: 1\n",
        "  - name: b\n    newTag: mine\n",
        "  - name: b\n    newTag: 2\n",
    ),
    "a flag that lost its quotes": ("a.yaml", '  - "--b=1"\n', "  - --b=1\n", '  - "--b=2"\n'),
    "a value without its flag": ("a.yaml", "  - 1\n", "  - 2\n", "  - 3\n"),
    "the rest of an item": ("a.yaml", "    value: 1\n  - name: B\n    value: 1\n", "    value: 2\n  - name: B\n    value: 1\n", "    value: 1\n  - name: B\n    value: 2\n"),
    "an item that goes on below": ("a.yaml", "  - name: B\n    x:\n", "  - name: MINE\n    x:\n", "  - name: C\n    x:\n"),
    "a bracket left open": ("a.tf", "  b = 1\n", "  mine = f(1,\n  b = 1\n", "  b = 2\n"),
}  # fmt: skip
"""Name → file, base, mine, theirs, of which a person must decide."""


def conflict_of(*texts):
    """A conflict of three texts."""
    return Conflict(1, *(text.encode() for text in texts))


@pytest.mark.parametrize(("path", "base", "mine", "theirs", "merged"), SOLVED.values(), ids=SOLVED)
def test_assignments_of_other_names_do_not_meet(path, base, mine, theirs, merged):
    """They stay below the same ones, with their comments, in the columns that the user gave them."""
    assert with_assignments(conflict_of(base, mine, theirs), path) == merged.encode()


@pytest.mark.parametrize(("path", "base", "mine", "theirs"), MEETING.values(), ids=MEETING)
def test_what_meets_is_for_a_person(path, base, mine, theirs):
    """As is whatever is no assignment or flag, and files in which their order counts."""
    conflict = conflict_of(base, mine, theirs)
    assert with_assignments(conflict, path) == conflict


VALUES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3), max_size=5)


@given(VALUES, VALUES, VALUES)
def test_every_name_has_the_value_of_the_side_that_changed_it(base, mine, theirs):
    """None is lost, doubled or invented; a name that both changed in two ways is a conflict."""
    texts = ["".join(f"  {name} = {value}\n" for name, value in side.items()) for side in (base, mine, theirs)]
    changed = {name: [side.get(name) for side in (base, mine, theirs)] for name in {**base, **mine, **theirs}}
    result = with_assignments(conflict_of(*texts), "a.tf")
    if any(last != own != new != last for last, own, new in changed.values()):
        assert isinstance(result, Conflict)
        return
    expected = {name: new if own == last else own for name, (last, own, new) in changed.items()}
    lines = re.findall(r"  (\w) = (\d)\n", result.decode())
    assert sorted(lines) == sorted((name, str(value)) for name, value in expected.items() if value is not None)


@pytest.mark.parametrize(
    ("path", "line", "added"),
    [
        ("fleet.tf", r"^( *)planned_usd_per_month +=.*\n", "team_budget_usd_per_month = 5000\n"),
        ("fleet.tf", r'^( *)"--max-num-seqs=.*\n', '"--enable-prefix-caching",\n'),
        ("inference/fleet.py", r"^( *)planned_usd_per_month=.*\n", "team_budget_usd_per_month=5000,\n"),
        ("inference/fleet.py", r'^( *)"--max-num-seqs=.*\n', '"--enable-prefix-caching",\n'),
    ],
)
@pytest.mark.parametrize("above", [True, False], ids=["above", "below"])
def test_a_line_of_ones_own_beside_what_each_plan_changes_is_kept(path, line, added, above, tmp_path):
    """The next plan changes the line beside it, and is written without a question."""
    language = Language.TERRAFORM if path.endswith(".tf") else Language.PYTHON
    scenario = SCENARIOS["a10g-on-demand"]()
    code = generate(scenario.plan, language, scenario.wanted)
    write_files(code, tmp_path)
    place = tmp_path / path
    generated = re.search(line, place.read_text(), re.MULTILINE)
    own = generated[1] + added
    place.write_text(place.read_text().replace(generated[0], own + generated[0] if above else generated[0] + own, 1))
    new = re.sub(r"\d+", lambda number: f"{number[0]}7", generated[0])
    write_files(replace(code, files=code.files | {path: code.files[path].replace(generated[0], new)}), tmp_path)
    assert (own + new if above else new + own) in place.read_text()
