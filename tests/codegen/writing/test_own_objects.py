"""Objects that a person adds to the manifest of a backend, through a cut-over that ends the backend."""

import re

import pytest
import yaml

from advisor.codegen import Stage, Wanted, WriteOptions, generate, read_former, write_files
from advisor.codegen.writing.decisions import Keys, merge_entries
from advisor.codegen.writing.entries import with_both_entries
from advisor.codegen.writing.merging import Conflict
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group

FOLDER = "kubernetes/us-east-1"
OLD, NEW = (f"{FOLDER}/us-east-1-1x{name}-bf16-tp1-vllm.yaml" for name in ("l4", "a10g"))
NAMESPACE, KUSTOMIZATION = f"{FOLDER}/namespace.yaml", f"{FOLDER}/kustomization.yaml"
SETTINGS = "---\n# Read by the sidecar.\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  a: b\n"
OF_BACKEND = (
    "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata:\n  name: us-east-1-1xl4-bf16-tp1-vllm\n"
    "spec:\n  maxUnavailable: 1\n  selector:\n    matchLabels:\n      inference/backend: us-east-1-1xl4-bf16-tp1-vllm\n"
)
MONITOR = OF_BACKEND.replace("name: us-east-1-1xl4-bf16-tp1-vllm", "name: all")


def plan_with(*machines):
    """A plan with groups of some types."""
    shares = {"request_shares": (1 / len(machines),) * 2}
    groups = (make_group(instances=(3, 3), instance_type=one, accelerator=held, **shares) for one, held in machines)
    return make_fleet_plan(*groups, policy=Policy.STATIC)


BEFORE, AFTER = plan_with(("g6.xlarge", "L4")), plan_with(("g5.xlarge", "A10G"))


def written(directory, plan, stage=None):
    """Report of a run."""
    generated = generate(plan, wanted=Wanted(target="eks"), former=read_former(directory, stage))
    return write_files(generated, directory, WriteOptions())


def notes_of(report):
    """Path → note of a report, each path once."""
    assert len({change.path for change in report.changes}) == len(report.changes)
    return {change.path: change.note for change in report.changes}


def applied(directory):
    """``Kind/name`` of each object that the kustomization applies."""
    listed = yaml.safe_load((directory / KUSTOMIZATION).read_text())["resources"]
    texts = [(directory / FOLDER / name).read_text() for name in listed]
    documents = [each for text in texts for each in yaml.safe_load_all(text) if each]
    return [f"{each['kind']}/{each['metadata']['name']}" for each in documents]


@pytest.fixture
def edited(tmp_path):
    """A directory, and what adds objects to the manifest of its backend."""
    written(tmp_path, BEFORE)

    def add(*objects):
        manifest = tmp_path / OLD
        manifest.write_text("".join((manifest.read_text(), *objects)))

    return tmp_path, add


def test_an_own_object_is_applied_once_in_every_stage(edited):
    """It leaves the manifest that is deleted from the cluster before the backend goes; a second run moves nothing."""
    directory, add = edited
    add(SETTINGS)
    notes = notes_of(written(directory, AFTER, Stage.PREPARE))
    assert notes[OLD] == f"your ConfigMap.settings moved to {NAMESPACE}: what this file is named after retires"
    assert notes[NAMESPACE] == "with your ConfigMap.settings"
    assert NEW in notes
    assert notes[NEW] == ""
    for stage in (Stage.PREPARE, Stage.SHIFT, Stage.FINISH):
        notes = notes_of(written(directory, AFTER, stage))
        assert not any("moved" in note for note in notes.values())
        assert applied(directory).count("ConfigMap/settings") == 1
        assert len(set(applied(directory))) == len(applied(directory))
        assert SETTINGS in (directory / NAMESPACE).read_text()
    assert not (directory / OLD).exists()


def test_an_own_object_that_comes_late_is_kept_too(edited):
    """Added while requests shift, it moves as the backend goes."""
    directory, add = edited
    written(directory, AFTER, Stage.PREPARE)
    written(directory, AFTER, Stage.SHIFT)
    add(SETTINGS)
    notes = notes_of(written(directory, AFTER, Stage.FINISH))
    assert notes[OLD].startswith(f"your ConfigMap.settings moved to {NAMESPACE}")
    assert applied(directory).count("ConfigMap/settings") == 1


def test_what_names_the_backend_is_copied_under_the_new_name_and_goes_with_it(edited):
    """Of one whose own name is no key there is one in the cluster: it stays with what it names, which is said at the end."""
    directory, add = edited
    add(OF_BACKEND, MONITOR)
    written(directory, AFTER, Stage.PREPARE)
    budgets = [name for name in applied(directory) if name.startswith("PodDisruptionBudget/")]
    assert "PodDisruptionBudget/us-east-1-1xa10g-bf16-tp1-vllm" in budgets
    assert len(set(budgets)) == len(budgets)
    written(directory, AFTER, Stage.SHIFT)
    note = notes_of(written(directory, AFTER, Stage.FINISH))[OLD]
    assert "your PodDisruptionBudget.all and PodDisruptionBudget.us-east-1-1xl4-bf16-tp1-vllm went with it" in note
    assert "PodDisruptionBudget/us-east-1-1xa10g-bf16-tp1-vllm" in applied(directory)


def test_an_own_object_moves_to_a_file_that_is_applied(edited):
    """Where the namespace is somebody else's, it is in the manifest of the new backend."""
    directory, add = edited
    add(SETTINGS)
    kustomization = directory / KUSTOMIZATION
    kustomization.write_text(re.sub(r"^  - namespace.yaml\n", "", kustomization.read_text(), flags=re.MULTILINE))
    notes = notes_of(written(directory, AFTER, Stage.PREPARE))
    assert notes[OLD].startswith(f"your ConfigMap.settings moved to {NEW}")
    written(directory, AFTER, Stage.SHIFT)
    written(directory, AFTER, Stage.FINISH)
    assert applied(directory).count("ConfigMap/settings") == 1


def test_an_object_at_the_end_meets_no_object_that_the_plan_adds_or_takes_away(edited):
    """Objects have no order: what both sides add is there, and what the plan takes away goes."""
    directory, _ = edited
    namespace = directory / NAMESPACE
    namespace.write_text(namespace.read_text() + SETTINGS)
    both = plan_with(("g6.xlarge", "L4"), ("g5.xlarge", "A10G"))
    written(directory, both)
    assert {"ConfigMap/settings", "Service/inference"} <= set(applied(directory))
    for plan, stages in ((both, (Stage.SHIFT, Stage.FINISH)), (BEFORE, tuple(Stage))):
        for stage in stages:
            written(directory, plan, stage)
    assert "ConfigMap/settings" in applied(directory)
    assert "Service/inference" not in applied(directory)


DOCUMENT = "---\nkind: Map\nmetadata:\n  name: {}\ndata: {}\n"


def manifest(*names, data="1"):
    """A manifest of objects."""
    return "".join(DOCUMENT.format(name, data) for name in names).encode()


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "after"),
    [
        ("ab", "abx", "a", "ax"),
        ("ab", "abx", "aby", "abyx"),
        ("ab", "xab", "yab", "yxab"),
        ("ab", "axb", "ayb", "ayxb"),
        ("abc", "ac", "abyc", "ayc"),
        ("a", "ax", "", "x"),
        ("ab", "", "a", ""),
    ],
)
def test_objects_of_both_sides_are_there(base, mine, theirs, after):
    """What either side adds is added, and what either takes away goes."""
    texts = (manifest(*names) for names in (base, mine, theirs))
    merged = merge_entries("kubernetes/eu/namespace.yaml", *texts, Keys())
    assert b"".join(piece for piece in merged.pieces if isinstance(piece, bytes)) == manifest(*after)


def test_an_object_that_one_side_takes_away_and_the_other_changes_is_a_conflict():
    """Nor is one of two of the same name chosen."""
    path, changed = "kubernetes/eu/namespace.yaml", manifest("a") + manifest("b", data="2")
    for mine, theirs in (
        (manifest("a", "x"), changed),
        (manifest("ab"[0], "x"), manifest("a") + manifest("x", data="2")),
    ):
        merged = merge_entries(path, manifest(*"ab"), mine, theirs, Keys())
        assert any(isinstance(piece, Conflict) for piece in merged.pieces)
    assert with_both_entries(b"text") == b"text"
