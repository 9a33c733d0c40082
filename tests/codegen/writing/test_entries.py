"""Edits inside entries whose keys follow the plan: carried on, shown, or listed; never put into half of the successors."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen import ConflictPolicy, Language, Stage, Wanted, WriteOptions, generate, read_former, write_files
from advisor.codegen.writing.decisions import WRITE_THEM, Keys, merge_entries
from advisor.codegen.writing.entries import keyed, without_engine_edits
from advisor.codegen.writing.merging import Conflict
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group

A10G = {"instance_type": "g5.xlarge", "accelerator": "A10G"}
L40S = {"instance_type": "g6e.xlarge", "accelerator": "L40S"}
FLAG = "--enable-prefix-caching"
FILES = {Language.TERRAFORM: "fleet.tf", Language.PYTHON: "inference/fleet.py"}
LANGUAGES = pytest.mark.parametrize("language", Language)


def text_of(**maps):
    """A fleet.tf of maps: key → lines of the entry."""
    parts = []
    for name, entries in maps.items():
        inner = [
            line
            for key, lines in entries.items()
            for line in (f"    {key} = {{", *(f"      {one}" for one in lines), "    }")
        ]
        parts.append("\n".join((f"  {name} = {{", *inner, "  }", "")))
    return ("locals {\n" + "\n".join(parts) + "}\n").encode()


def merged(base, mine, theirs, **renamed):
    """The merge of three versions of a map of backends."""
    texts = (text_of(backends=entries) for entries in (base, mine, theirs))
    return merge_entries("fleet.tf", *texts, Keys(renamed))


def whole(result):
    """The text; None where there is a conflict."""
    conflicts = any(isinstance(piece, Conflict) for piece in result.pieces)
    return None if conflicts else b"".join(result.pieces)


def test_two_successors_are_a_conflict():
    """By lines the flag would go into the one that looks more like it; both are shown, and named."""
    base, mine = {"k": ["a", "b", "c"]}, {"k": ["a", "flag", "b", "c"]}
    result = merged(base, mine, {"m": ["a", "b", "c"], "n": ["a", "b", "d"]})
    assert result.reason == "your edits lie in backends.k, in place of which there is backends.m and backends.n"
    (conflict,) = (piece for piece in result.pieces if isinstance(piece, Conflict))
    assert b"flag" in conflict.mine
    assert b"m = {" in conflict.theirs
    assert b"n = {" in conflict.theirs
    assert conflict.line == 3


def test_one_successor_is_carried_on_and_said():
    """The edit goes on under the other key."""
    result = merged({"k": ["a", "b"]}, {"k": ["a", "b", "flag"]}, {"m": ["x", "b"], "n": ["y"]}, k="m")
    assert whole(result) == text_of(backends={"m": ["x", "b", "flag"], "n": ["y"]})
    assert result.notes == (
        "those of backends.k go on in backends.m",
        "those of backends.m are not in backends.n: write them there too, where they should hold",
    )


def test_an_entry_that_stays_keeps_its_edit():
    """New entries beside it are named: the edit is not in them."""
    result = merged({"k": ["a"]}, {"k": ["a", "flag"]}, {"a": ["a"], "k": ["a"]})
    assert whole(result) == text_of(backends={"a": ["a"], "k": ["a", "flag"]})
    assert result.notes == ("those of backends.k are not in backends.a: write them there too, where they should hold",)


def test_an_entry_that_goes_alone_takes_its_edit_along():
    """Listed; the run keeps a copy of what it overrules."""
    result = merged({"k": ["a"], "m": ["a"]}, {"k": ["a", "flag"], "m": ["a"]}, {"m": ["a"]})
    assert whole(result) == text_of(backends={"m": ["a"]})
    assert result.notes == ("those of backends.k went with it",)


def test_conflicts_say_where_they_are():
    """Inside an entry and after entries, lines count in the user's text."""
    base, mine, theirs = ({"a": ["1", "2"], "k": ["1", "2", three]} for three in ("3", "4", "5"))
    (conflict,) = (piece for piece in merged(base, mine, theirs).pieces if isinstance(piece, Conflict))
    assert text_of(backends=mine).split(b"\n")[conflict.line - 1].strip() == b"4"
    texts = [text_of(backends=base) + last for last in (b"x\n", b"y\n", b"z\n")]
    (conflict,) = (one for one in merge_entries("fleet.tf", *texts, Keys()).pieces if isinstance(one, Conflict))
    assert texts[1].split(b"\n")[conflict.line - 1] == b"y"


def test_a_deleted_entry_that_changed_is_a_conflict():
    """Unchanged, it stays deleted."""
    assert whole(merged({"a": ["1"], "k": ["1"]}, {"a": ["1"]}, {"a": ["1"], "k": ["2"]})) is None
    kept = whole(merged({"a": ["1"], "k": ["1"]}, {"a": ["1"]}, {"a": ["2"], "k": ["1"]}))
    assert kept == text_of(backends={"a": ["2"]})


ENTRIES = st.dictionaries(st.sampled_from("abcd"), st.lists(st.sampled_from("xyz"), max_size=3), max_size=4)


@given(ENTRIES, ENTRIES)
def test_a_side_that_did_nothing_changes_nothing(base, other):
    """One side alone gives that side."""
    assert whole(merged(base, other, base)) == text_of(backends=other)
    assert whole(merged(base, base, other)) == text_of(backends=other)
    assert whole(merged(base, other, other)) == text_of(backends=other)


@given(ENTRIES, ENTRIES, ENTRIES)
def test_an_edited_entry_is_merged_shown_or_listed(base, mine, theirs):
    """Lines that the user added to an entry are in that entry, in a conflict, or named in a note."""
    mine = {key: [*lines, "flag"] if key in base else lines for key, lines in mine.items()}
    result = merged(base, mine, theirs)
    text = whole(result)
    for key in mine.keys() & base.keys():
        is_there = text is not None and re.search(rf"    {key} = {{\n(      \w+\n)*      flag\n", text.decode())
        assert text is None or is_there or any(f"backends.{key} went" in note for note in result.notes)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_any_text_is_merged(base, mine, theirs):
    """What is laid out otherwise is merged by lines."""
    for path in ("fleet.tf", "inference/fleet.py", "main.tf"):
        assert whole(merge_entries(path, base, base, theirs, Keys())) == theirs
        merge_entries(path, base, mine, theirs, Keys())


def plan_of(*groups):
    """Three instances in each group."""
    share = 1 / len(groups)
    facts = [{"instances": (3, 3), "request_shares": (share, share)} | group for group in groups]
    return make_fleet_plan(*(make_group(**fact) for fact in facts), policy=Policy.STATIC)


def run(directory, language, plan, stage=None, target="", **write_options):
    """What ``advisor generate`` does."""
    generated = generate(plan, language, Wanted(target=target), former=read_former(directory, stage))
    return write_files(generated, directory, WriteOptions(**write_options))


def add_flag(path, beside='"--dtype=bfloat16",', backends=1):
    """A user's flag in each backend."""
    text = path.read_text()
    assert text.count(beside) == backends
    path.write_text(
        re.sub(f"( +){beside}", lambda line: f"{line[0]}\n{line[0].replace('--dtype=bfloat16', FLAG)}", text)
    )


@LANGUAGES
def test_a_flag_in_generated_code_survives_another_type(language, tmp_path):
    """The backend has another key, and is the same one; in Pulumi it takes the place of the one that retires."""
    run(tmp_path, language, plan_of({}))
    path = tmp_path / FILES[language]
    add_flag(path)
    report = run(tmp_path, language, plan_of(A10G))
    (change,) = report.edited
    goes_on = language is Language.TERRAFORM
    said = "go on in backends.{}" if goes_on else "are in backends.{} too"
    assert said.format("us-east-1-1xa10g-bf16-tp1-vllm") in change.note
    assert path.read_text().count(FLAG) == (1 if goes_on else 2)


@LANGUAGES
def test_a_flag_is_never_in_one_of_two_new_backends(language, tmp_path):
    """What retires keeps it, the run says that the new ones lack it, and that it went in the end."""
    run(tmp_path, language, plan_of({}))
    path = tmp_path / FILES[language]
    add_flag(path)
    two = plan_of(A10G, L40S)
    (change,) = run(tmp_path, language, two).edited
    assert "those of backends.us-east-1-1xl4-bf16-tp1-vllm are not in" in change.note
    assert all(f"us-east-1-1x{name}-bf16-tp1-vllm" in change.note for name in ("a10g", "l40s"))
    assert path.read_text().count(FLAG) == 1
    lacking = run(tmp_path, language, two, Stage.SHIFT).notes
    assert [re.search(r"shift to backends\.us-east-1-1x(\w+)-", told)[1] for told in lacking] == ["a10g", "l40s"]
    assert all("lacks your edits of backends.us-east-1-1xl4-bf16-tp1-vllm" in told for told in lacking)
    (change,) = run(tmp_path, language, two, Stage.FINISH).edited
    assert "went with it" in change.note
    assert FLAG not in path.read_text()
    assert any(FLAG in copy.read_text() for copy in (tmp_path / ".advisor/replaced").rglob("fleet*"))


@LANGUAGES
def test_a_shift_to_what_has_the_edits_says_nothing(language, tmp_path):
    """Where the one new backend was given them, and where a person wrote them into those that lacked them."""
    run(tmp_path, language, plan_of(A10G, {}))
    path = tmp_path / FILES[language]
    add_flag(path, backends=2)
    run(tmp_path, language, plan_of(L40S))
    (told,) = run(tmp_path, language, plan_of(L40S), Stage.SHIFT).notes
    assert "lacks your edits of backends.us-east-1-1xa10g-bf16-tp1-vllm and backends.us-east-1-1xl4-" in told
    run(tmp_path, language, plan_of(L40S), Stage.PREPARE)
    add_flag(path, backends=3)
    assert run(tmp_path, language, plan_of(L40S), Stage.SHIFT).notes == ()


def test_without_a_record_two_new_backends_are_a_conflict(tmp_path):
    """Nothing is written, both sides are shown, and a side can be taken."""
    run(tmp_path, Language.TERRAFORM, plan_of({}))
    add_flag(tmp_path / "fleet.tf")
    (tmp_path / ".advisor/stacks.json").unlink()
    with pytest.raises(InputError, match="in place of which there is") as refused:
        run(tmp_path, Language.TERRAFORM, plan_of(A10G, L40S))
    assert FLAG in refused.value.message
    run(tmp_path, Language.TERRAFORM, plan_of(A10G, L40S), conflicts=ConflictPolicy.THEIRS)
    assert FLAG not in (tmp_path / "fleet.tf").read_text()


def test_a_file_named_after_a_backend_takes_its_edits_along(tmp_path):
    """A manifest of a backend that goes on under another key, as with another engine."""
    another = plan_of({"engine": "SGLang", "engine_version": "0.5.9"})
    manifests = tmp_path / "kubernetes/us-east-1"
    former = manifests / "us-east-1-1xl4-bf16-tp1-vllm.yaml"
    run(tmp_path, Language.TERRAFORM, plan_of({}), target="eks")
    former.write_text(former.read_text() + "# mine\n")
    run(tmp_path, Language.TERRAFORM, another, target="eks")
    assert not former.exists()
    assert (manifests / "us-east-1-1xl4-bf16-tp1-sglang.yaml").read_text().endswith("# mine\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    run(tmp_path, Language.TERRAFORM, another, target="eks")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_deleted_file_of_a_backend_that_changes_is_not_left_out_unasked(tmp_path):
    """Another engine changes its text: without it the new backend would be missing and nobody would know."""
    run(tmp_path, Language.TERRAFORM, plan_of({}), target="eks")
    (tmp_path / "kubernetes/us-east-1/us-east-1-1xl4-bf16-tp1-vllm.yaml").unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    with pytest.raises(InputError, match="was deleted, and the new code changes it"):
        run(tmp_path, Language.TERRAFORM, plan_of({"engine": "SGLang", "engine_version": "0.5.9"}), target="eks")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@LANGUAGES
def test_the_one_successor_of_what_retires_is_given_its_edits(language, tmp_path):
    """Another region: both backends have the flag, which is said."""
    run(tmp_path, language, plan_of({}))
    path = tmp_path / FILES[language]
    add_flag(path)
    (change,) = run(tmp_path, language, plan_of({"region": "eu-west-1"})).edited
    assert "us-east-1-1xl4-bf16-tp1-vllm are in backends.eu-west-1-1xl4-bf16-tp1-vllm too" in change.note
    assert path.read_text().count(FLAG) == 2
    run(tmp_path, language, plan_of({"region": "eu-west-1"}), Stage.SHIFT)
    run(tmp_path, language, plan_of({"region": "eu-west-1"}), Stage.FINISH)
    assert path.read_text().count(FLAG) == 1


def test_the_manifest_of_the_one_successor_is_given_the_edits(tmp_path):
    """A node pool of GKE with another type is another one, and so are the pods on it."""
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
    run(tmp_path, Language.TERRAFORM, plan_of(google), target="gke")
    manifests = tmp_path / "kubernetes/us-central1"
    add_flag(manifests / "us-central1-1xl4-bf16-tp1-vllm.yaml", '- "--dtype=bfloat16"')
    rtx = {**google, "instance_type": "g4-standard-48", "accelerator": "RTX-PRO-6000"}
    report = run(tmp_path, Language.TERRAFORM, plan_of(rtx), target="gke")
    notes = {change.path: change.note for change in report.changes if change.note}
    new = "kubernetes/us-central1/us-central1-1xrtx-pro-6000-bf16-806e0c.yaml"
    assert notes[new] == "with your edits of kubernetes/us-central1/us-central1-1xl4-bf16-tp1-vllm.yaml"
    assert (tmp_path / new).read_text().count(FLAG) == 1
    assert FLAG in (manifests / "us-central1-1xl4-bf16-tp1-vllm.yaml").read_text()


def entry(key, **attributes):
    """Lines of an entry as ``terraform fmt`` aligns them; a value of several lines is a list."""
    width = max(map(len, attributes))
    lines = []
    for name, value in attributes.items():
        several = isinstance(value, list)
        lines += [f"{name:{width}} = {'[' if several else value}"]
        lines += [*(f'  "{item}",' for item in value), "]"] if several else []
    return {key: lines}


def test_an_edit_survives_attributes_that_come_go_and_change_beside_it():
    """What a new version no longer writes shifts the column of all signs: by lines everything would meet."""
    base = entry("idle", threshold=10, per_instance="false", frequency='"PT5M"', periods=12, words=["a", "b"])
    mine = entry(
        "idle", threshold=5, per_instance="false", frequency='"PT5M"', periods=12, words=["a", "b"], mute="true"
    )
    theirs = entry("idle", threshold=10, periods=6, words=["a", "c"])
    assert merged_whole(base, mine, theirs) == entry("idle", threshold=5, periods=6, words=["a", "c"]) | {
        "idle": [*entry("idle", threshold=5, periods=6, words=["a", "c"])["idle"], "mute         = true"]
    }


def merged_whole(base, mine, theirs):
    """Entries of the merge; None where there is a conflict."""
    text = whole(merged(base, mine, theirs))
    if text is None:
        return None
    lines = text.decode().splitlines()[2:-2]
    return {lines[0].split()[0]: [line.removeprefix("      ") for line in lines[1:-1]]}


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"threshold": 5, "periods": 12}, {"threshold": 7, "periods": 12}),
        ({"threshold": 5, "periods": 12}, {"periods": 6}),
        ({"periods": 12}, {"threshold": 7, "periods": 6}),
        ({"# mine\n      threshold": 5, "periods": 12}, {"periods": 6}),
    ],
    ids=["both changed it", "edited and gone", "deleted and changed", "a comment of the user"],
)
def test_an_attribute_that_both_sides_changed_is_a_conflict(mine, theirs):
    """As is whatever is no plain attribute."""
    assert merged_whole(entry("k", threshold=10, periods=12), entry("k", **mine), entry("k", **theirs)) is None


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ({"missing": 5}, {"missing": 5}, {"periods": 1, "seconds": 2, "weights": 3, "missing": 5}),
        ({"missing": 5}, {"missing": 6}, None),
    ],
    ids=["the same", "each its own"],
)
@pytest.mark.parametrize("path", ["fleet.tf", "inference/fleet.py"])
def test_an_attribute_that_both_sides_add_is_there_once(path, mine, theirs, expected):
    """First in one and last in the other, the two lines do not meet."""
    base = {"periods": 1, "seconds": 2, "weights": 3}
    layout = python_text if path.endswith(".py") else terraform_text
    result = merge_entries(path, layout(base), layout(mine | base), layout(base | theirs), Keys())
    assert whole(result) == (None if expected is None else layout(expected))
    if expected is None:
        (conflict,) = (piece for piece in result.pieces if isinstance(piece, Conflict))
        assert (b"5" in conflict.mine, b"6" in conflict.theirs, conflict.line) == (True, True, 3)


def terraform_text(attributes):
    """A fleet.tf of one entry."""
    return text_of(backends=entry("k", **attributes))


def python_text(attributes):
    """A fleet.py of one entry; a value may run over several lines."""
    lines = "".join(f"            {name}={value},\n" for name, value in attributes.items())
    return f'FLEET = Fleet(\n    backends={{\n        "k": Backend(\n{lines}        ),\n    }},\n)\n'.encode()


def test_an_attribute_that_the_user_deletes_stays_deleted_where_it_moves():
    """By lines it would go from its old place and come at the new one."""
    base, theirs = ({"periods": 1, "seconds": 2}, {"seconds": 2, "periods": 1})
    texts = (terraform_text(base), terraform_text({"periods": 1}), terraform_text(theirs))
    assert whole(merge_entries("fleet.tf", *texts, Keys())) == texts[1]


def test_an_entry_that_both_sides_add_is_there_once():
    """Before and after the others, the two do not meet by lines."""
    result = merged({"k": ["a"]}, {"m": ["x"], "k": ["a"]}, {"k": ["a"], "m": ["x"]})
    (conflict,) = result.pieces
    assert result.reason == "your edits and the new code both add m"
    assert (conflict.line, conflict.mine) == (1, text_of(backends={"m": ["x"], "k": ["a"]}))


@pytest.mark.parametrize(
    ("before", "edited"),
    [
        ("b=2,\n", "b=3\n"),
        ("b=2,\n", 'b="x"\n            "y=z",\n'),
        ("b=2,\n", "b=most(1,\n            y=2),\n"),
        ("b=2,\n", "b=most(1, [\n                2,\n            ],\n            y=2),\n"),
    ],
    ids=["no comma", "a string on two lines", "a call on two lines", "a list in a call"],
)
def test_python_values_that_run_on_are_a_conflict(before, edited):
    """What a new version adds after them would be part of them, or tear them apart."""
    base, theirs = python_text({"a": 1, "b": 2}), python_text({"a": 1, "b": 2, "c": 1})
    mine = base.replace(before.encode(), edited.encode())
    compile(mine, "fleet.py", "exec")
    assert whole(merge_entries("inference/fleet.py", base, mine, theirs, Keys())) is None


def test_a_comparison_on_two_lines_is_no_attribute_in_terraform():
    """Inside brackets an expression goes on on the next line."""
    base, theirs = terraform_text({"a": 1, "b": 2}), terraform_text({"a": 1, "b": 2, "c": 1})
    mine = base.replace(b"b = 2\n", b"b = (x ||\n      y == 2)\n")
    assert whole(merge_entries("fleet.tf", base, mine, theirs, Keys())) is None


def test_an_attribute_beside_a_program_is_merged():
    """Brackets and quotes of a program are its own."""
    program = ["<<-EOT", '  case "$1" in', "    a) echo '\"' ;;", "  esac", "EOT"]
    texts = (
        terraform_text({"command": 0, "port": port, name: 1}).replace(
            b"command = 0\n",
            b"command = [\n" + "".join(f"        {line}\n" for line in program).encode() + b"      ]\n",
        )
        for port, name in ((1, "a"), (2, "a"), (1, "longname"))
    )
    text = whole(merge_entries("fleet.tf", *texts, Keys()))
    assert text is not None
    assert b"port     = 2\n" in text


@given(*[st.dictionaries(st.sampled_from(["aa", "b", "cccc"]), st.integers(0, 2), min_size=1)] * 3)
def test_attributes_are_those_of_the_side_that_changed_them(base, mine, theirs):
    """Each by itself; a conflict only where both changed one, each in its own way."""
    found = merged_whole(entry("k", **base), entry("k", **mine), entry("k", **theirs))
    clash = [
        n for n in ["aa", "b", "cccc"] if base.get(n) != mine.get(n) and theirs.get(n) not in (base.get(n), mine.get(n))
    ]
    if found is None:
        assert clash
        return
    expected = {n: (theirs if mine.get(n) == base.get(n) else mine).get(n) for n in {*base, *mine, *theirs}}
    read = dict(line.split()[::2] for line in found["k"])
    assert clash or read == {n: str(value) for n, value in expected.items() if value is not None}


GOOGLE = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
RTX = {**GOOGLE, "instance_type": "g4-standard-48", "accelerator": "RTX-PRO-6000"}
MANIFESTS = ("kubernetes/r/values.yaml", "kubernetes/r/dynamo.yaml", "kubernetes/r/llm-inference-services.yaml")
MANIFEST = st.lists(
    st.sampled_from(
        [
            "---",
            "kind: A",
            "metadata:",
            "  name: a",
            "modelSpec:",
            "components:",
            "- name: a",
            "- name: b",
            "  kind: x",
            "# note",
            "",
        ]
    )
)


@given(MANIFEST.map("\n".join))
def test_entries_and_what_is_beside_them_are_the_whole_text(text):
    """Whatever the layout of a manifest: nothing is lost, doubled or moved."""
    for path in MANIFESTS:
        parts = keyed(path, text.encode())
        assert parts is None or parts.expanded(parts.marked()) == text.encode()


def test_models_of_a_chart_are_entries():
    """Named after the group in the labels of their pods; lists inside an item are its own."""
    text = b"""---
servingEngineSpec:
  modelSpec:
  - name: short-1
    podLabels:
      inference/group: long-1
    env:
    - name: HOME
  - name: short-2
    podLabels:
      inference/group: long-2
routerSpec: {}
extraObjects:
- kind: ScaledObject
  metadata:
    name: long-1
"""
    parts = keyed(MANIFESTS[0], text)
    assert parts is not None
    assert list(parts.entries) == [b"modelSpec/long-1", b"modelSpec/long-2", b"ScaledObject/long-1"]
    assert parts.entries[b"modelSpec/long-1"].endswith(b"    - name: HOME\n")


def test_a_region_that_takes_over_is_given_the_edits_of_its_files(tmp_path):
    """A digest in the kustomization goes along, facts of the former region do not, and its files end with a copy kept."""
    run(tmp_path, Language.TERRAFORM, plan_of(GOOGLE), target="gke")
    former, new = (tmp_path / "kubernetes" / region for region in ("us-central1", "europe-west4"))
    (former / "kustomization.yaml").write_text((former / "kustomization.yaml").read_text() + "images: [ours]\n")
    gateway = (former / "google-gateway.yaml").read_text()
    (former / "google-gateway.yaml").write_text(re.sub(r"set-the-[\w-]+", "10.0.0.0/26", gateway))
    there = plan_of({**RTX, "region": "europe-west4"})
    report = run(tmp_path, Language.TERRAFORM, there, target="gke")
    assert (new / "kustomization.yaml").read_text().endswith("images: [ours]\n")
    assert "us-central1-" not in (new / "kustomization.yaml").read_text()
    assert "10.0.0.0/26" not in (new / "google-gateway.yaml").read_text()
    notes = {change.path: change.note for change in report.changes}
    expected = f"without your edits of kubernetes/us-central1/google-gateway.yaml: {WRITE_THEM}"
    assert notes["kubernetes/europe-west4/google-gateway.yaml"] == expected
    run(tmp_path, Language.TERRAFORM, there, Stage.SHIFT, target="gke")
    run(tmp_path, Language.TERRAFORM, there, Stage.FINISH, target="gke")
    assert not former.exists()
    assert any("10.0.0.0/26" in copy.read_text() for copy in (tmp_path / ".advisor/replaced").rglob("google-gateway*"))


def test_edits_go_on_where_the_plan_changes_within_a_cut_over(tmp_path):
    """The group that was to follow what retires has a successor itself."""
    for facts in (GOOGLE, RTX, {**GOOGLE, "instance_type": "a2-highgpu-1g", "accelerator": "A100-40GB-SXM"}):
        run(tmp_path, Language.TERRAFORM, plan_of(facts), target="gke")
        manifests = tmp_path.glob("kubernetes/us-central1/us-central1-*.yaml")
        if facts is GOOGLE:
            add_flag(next(manifests), '- "--dtype=bfloat16"')
    texts = [path.read_text() for path in tmp_path.glob("kubernetes/us-central1/us-central1-*.yaml")]
    assert [text.count(FLAG) for text in texts] == [1, 1, 1]


def test_forced_edits_are_merged_under_a_policy(tmp_path):
    """With a policy for conflicts, ``--force`` replaces files of others and no edits; without one, both."""
    run(tmp_path, Language.TERRAFORM, plan_of({}))
    add_flag(tmp_path / "fleet.tf")
    run(tmp_path, Language.TERRAFORM, plan_of(A10G), force=True, conflicts=ConflictPolicy.THEIRS)
    assert FLAG in (tmp_path / "fleet.tf").read_text()
    run(tmp_path, Language.TERRAFORM, plan_of(A10G), force=True)
    assert FLAG not in (tmp_path / "fleet.tf").read_text()


@pytest.mark.parametrize("indent", ["", "  "])
@pytest.mark.parametrize("path", MANIFESTS[:2])
def test_a_comment_of_any_column_ends_no_item_of_a_list(path, indent):
    """Lines after the note are still of the item, so that the entry in its place is whole, and listed before others."""

    def text(*models):
        name = "modelSpec" if path == MANIFESTS[0] else "components"
        return ("\n".join(["spec:", f"  {name}:", *models, "router: {}"]) + "\n").encode()

    def model(key, tag, note=""):
        labels = f"    podLabels:\n      inference/group: {key}"
        return f"  - name: {key}\n{labels}\n    repository: r\n{note}    tag: {tag}\n    replicas: 2"

    note = f"{indent}# note\n\n"
    mine = text(model("a", "edited", note), f"{indent}# of the next", model("c", "v1"), f"{indent}# last")
    result = merge_entries(
        path,
        text(model("a", "v1"), model("c", "v1")),
        mine,
        text(model("b", "v1"), model("a", "v1"), model("c", "v1")),
        Keys(successors={"a": "b"}),
    )
    expected = text(model("b", "edited", note), *mine.decode().splitlines()[2:-1])
    assert whole(result) == expected


@pytest.mark.parametrize(
    ("before", "beside"),
    [([], {}), ([], {"b": 1}), (["# mine"], {})],
    ids=["the same", "among others", "by lines"],
)
def test_an_edit_that_the_new_entry_has_already_is_carried(before, beside):
    """The new entry holds the value that the user wrote: nothing is missing, and nothing in the way."""
    base, mine, theirs = (
        [*before, *entry("k", **values)["k"]] for values in ({"max": 3}, {"max": 5}, {"max": 5} | beside)
    )
    texts = [text_of(backends=maps) for maps in ({"k": base}, {"k": mine}, {"m": theirs})]
    result = merge_entries("fleet.tf", *texts, Keys(successors={"k": "m"}))
    assert whole(result) == texts[2]
    assert result.notes == ("those of backends.k go on in backends.m",)


def test_a_shift_names_manifests_that_lack_edits(tmp_path):
    """Neither of two new entries was given them; the file of each is named."""
    run(tmp_path, Language.TERRAFORM, plan_of(GOOGLE), target="gke")
    (manifest,) = tmp_path.glob("kubernetes/us-central1/us-central1-*.yaml")
    add_flag(manifest, '- "--dtype=bfloat16"')
    two = plan_of(RTX, {**GOOGLE, "instance_type": "a2-highgpu-1g", "accelerator": "A100-40GB-SXM"})
    run(tmp_path, Language.TERRAFORM, two, target="gke")
    new = [path for path in tmp_path.glob("kubernetes/us-central1/us-central1-*.yaml") if path != manifest]
    lacking = {str(path.relative_to(tmp_path)) for path in new if FLAG not in path.read_text()}
    told = run(tmp_path, Language.TERRAFORM, two, Stage.SHIFT, target="gke").notes
    assert lacking
    assert {note.partition(": ")[0] for note in told} == lacking
    assert all("requests shift to Deployment.us-central1-" in note and "lacks your edits of" in note for note in told)


def test_a_file_that_one_in_the_way_would_follow_is_removed(tmp_path):
    """With ``--force`` the user's own file is replaced, and that of the former name does not stay without a record."""
    manifests = tmp_path / "kubernetes/us-east-1"
    run(tmp_path, Language.TERRAFORM, plan_of({}), target="eks")
    own = manifests / "us-east-1-1xl4-bf16-tp1-sglang.yaml"
    own.write_text("mine\n")
    another = plan_of({"engine": "SGLang", "engine_version": "0.5.9"})
    report = run(tmp_path, Language.TERRAFORM, another, target="eks", force=True)
    assert "mine" not in own.read_text()
    assert not (manifests / "us-east-1-1xl4-bf16-tp1-vllm.yaml").exists()
    actions = {change.path: change.action for change in report.changes}
    assert actions["kubernetes/us-east-1/us-east-1-1xl4-bf16-tp1-vllm.yaml"] == "removed"


SGLANG = {"engine": "SGLang", "engine_version": "0.5.9"}
NOT_FOR_IT = r"those of {0}\.\S+ in {1} are for vllm, and not in {0}\.\S+: {2}"


@pytest.mark.parametrize(
    ("target", "facts", "now", "beside", "said"),
    [
        ("gke", GOOGLE, RTX, '- "--dtype=bfloat16"', NOT_FOR_IT.format("Deployment", "args", WRITE_THEM)),
        ("ec2", {}, {}, '"--dtype=bfloat16",', NOT_FOR_IT.format("backends", "arguments", WRITE_THEM)),
        ("eks", {}, {}, '- "--dtype=bfloat16"', NOT_FOR_IT.format("Deployment", "args", WRITE_THEM)),
    ],
)
def test_arguments_of_one_engine_are_not_given_to_another(target, facts, now, beside, said, tmp_path):
    """Manifests, copied and renamed, and entries: the flag is named, and stays where the former engine still runs."""
    run(tmp_path, Language.TERRAFORM, plan_of(facts), target=target)
    former = tmp_path / "fleet.tf" if target == "ec2" else next(tmp_path.glob("kubernetes/*/*-vllm.yaml"))
    add_flag(former, beside)
    report = run(tmp_path, Language.TERRAFORM, plan_of({**now, **SGLANG}), target=target)
    notes = [change.note for change in report.changes if re.search(said, change.note)]
    assert len(notes) == 1
    assert ("with your edits" in notes[0]) is (target == "ec2")
    texts = [path.read_text() for path in (*tmp_path.glob("*.tf"), *tmp_path.glob("kubernetes/*/*.yaml"))]
    assert sum(FLAG in text for text in texts) == (target != "eks")
    kept = [copy.read_text() for copy in (tmp_path / ".advisor/replaced").rglob("*") if copy.is_file()]
    assert target != "eks" or any(FLAG in text for text in kept)


@pytest.mark.parametrize(
    "keys", [Keys(successors={"k": "m"}, engines={"m": "vllm"}), Keys({"k": "m"}, engines={"m": "vllm"})]
)
def test_other_edits_go_on_with_another_engine(keys):
    """A weight holds for whatever serves; image, arguments and an environment that a person added do not."""
    base = entry("k", weight=1, image='"a"', arguments=["x"])
    mine = entry("k", weight=2, image='"a@sha256:1"', arguments=["x", "y"], environment=["z"])
    theirs = entry("m", weight=1, image='"b"', arguments=["w"])
    result = merge_entries("fleet.tf", *(text_of(backends=maps) for maps in (base, mine, theirs)), keys)
    expected = entry("m", weight=2, image='"b"', arguments=["w"])
    assert b"".join(whole(result).split()) == b"".join(text_of(backends=expected).split())
    assert result.notes == (
        "those of backends.k go on in backends.m",
        f"those of backends.k in image and arguments and environment are for vllm, and not in backends.m: {WRITE_THEM}",
    )


ENGINE_LINES = st.lists(st.sampled_from(["image: a", "args:", "- x", "  - y", "# z", "", "  env: []", "kind: w", "]"]))


@given(ENGINE_LINES, ENGINE_LINES)
def test_an_entry_without_edits_for_its_engine(base, mine):
    """Nothing of the engine differs afterwards; without such edits nothing is changed."""
    base, mine = ("".join(f"{line}\n" for line in lines).encode() for lines in (base, mine))
    text, edited = without_engine_edits(base, mine)
    assert without_engine_edits(base, base) == (base, [])
    assert not without_engine_edits(base, text)[1]
    assert edited or text.split() == mine.split()


def test_edits_that_fit_are_carried_where_one_does_not():
    """A figure that the plan changes too is named, and the image keeps its digest."""

    def values(name, tag, tokens):
        lines = ["modelSpec:", f"- name: {name}", f"  tag: {tag}", f"  url: {name}", "  vllmConfig:", "    args:"]
        return "\n".join([*lines, f"    - --max-model-len={tokens}", ""]).encode()

    texts = (values("a", "v1", 1), values("a", "v1@sha256:1", 9), values("b", "v1", 2))
    result = merge_entries("kubernetes/r/values.yaml", *texts, Keys(successors={"a": "b"}))
    assert whole(result) == values("b", "v1@sha256:1", 2)
    assert result.notes == (f"those of modelSpec.a go on in modelSpec.b, but for - --max-model-len=9: {WRITE_THEM}",)
