"""Files that a person gave another name: the code goes on under that name, and is never there twice or not at all."""

import pytest
import yaml

from advisor.codegen import ConflictPolicy, Generated, Stage, Wanted, WriteOptions, generate, read_former
from advisor.codegen.writing import Action, last_generated, write_files
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group

COMPUTE = """resource "aws_launch_template" "this" {
  name = "one"
}

resource "aws_autoscaling_group" "this" {
  size = 1
}
"""
FLEET = """locals {
  groups = {
    a = {
      instances = 1
    }
  }
  regions = ["us-east-1"]
}
"""
PROGRAM = """SIZE = 1


def group():
    return SIZE


def network():
    return None
"""
SCRIPT = "one\ntwo\nthree\nfour\n"
OBJECT = """apiVersion: v1
kind: Service
metadata:
  name: chat
spec:
  replicas: 1
"""


def write(directory, files, **write_options):
    """One run."""
    generated = Generated(files=files, roots=("",), targets=("ec2",), plan_digest="sha256:0", warnings=())
    return write_files(generated, directory, WriteOptions(**write_options))


def texts(directory):
    """Text of each file that is not ours."""
    files = (place for place in directory.rglob("*") if place.is_file() and ".advisor" not in place.parts)
    return {place.relative_to(directory).as_posix(): place.read_text() for place in files}


@pytest.mark.parametrize(
    ("path", "own", "text", "old", "new"),
    [
        ("compute.tf", "asg.tf", COMPUTE, "size = 1", "size = 2"),
        ("fleet.tf", "plan.tf", FLEET, "instances = 1", "instances = 2"),
        ("inference/compute.py", "inference/groups.py", PROGRAM, "return None", "return SIZE"),
        ("user_data.sh.tftpl", "start.sh.tftpl", SCRIPT, "three", "THREE"),
        ("kubernetes/r/backend.yaml", "kubernetes/r/engine.yaml", OBJECT, "replicas: 1", "replicas: 2"),
    ],
)
def test_a_renamed_file_follows_the_plan(path, own, text, old, new, tmp_path):
    """Every kind of code, from run to run, with the edits that were made in it; nothing comes back under the old name."""
    edited, changed = f"# Mine.\n{text}", text.replace(old, new)
    write(tmp_path, {path: text})
    (tmp_path / path).rename(tmp_path / own)
    assert write(tmp_path, {path: text}).paths(Action.UNCHANGED) == (own,)
    (tmp_path / own).write_text(edited)
    report = write(tmp_path, {path: changed})
    assert texts(tmp_path) == {own: edited.replace(old, new)}
    assert f"{path.rpartition('/')[2]} under the name that you gave it" in report.changes[0].note
    assert last_generated(tmp_path) == {path: changed}
    assert write(tmp_path, {path: changed}).paths(Action.KEPT) == (own,)
    write(tmp_path, {path: text}, force=True)
    assert texts(tmp_path) == {own: text}
    write(tmp_path, {})
    assert texts(tmp_path) == {}


def test_a_conflict_in_a_renamed_file_is_named_after_it(tmp_path):
    """Both names are taken where a conflict is resolved for one file."""
    write(tmp_path, {"compute.tf": COMPUTE})
    (tmp_path / "compute.tf").unlink()
    for name in ("asg.tf", "compute.tf"):
        (tmp_path / "asg.tf").write_text(COMPUTE.replace("size = 1", "size = 5"))
        with pytest.raises(InputError, match=r"asg\.tf: your edits"):
            write(tmp_path, {"compute.tf": COMPUTE.replace("size = 1", "size = 2")})
        write(
            tmp_path,
            {"compute.tf": COMPUTE.replace("size = 1", "size = 2")},
            conflicts_of={name: ConflictPolicy.MINE},
        )
        assert texts(tmp_path) == {"asg.tf": COMPUTE.replace("size = 1", "size = 5")}
        write(tmp_path, {"compute.tf": COMPUTE}, conflicts=ConflictPolicy.MINE)


@pytest.mark.parametrize(
    ("path", "name", "text"),
    [
        ("compute.tf", "mine.tf", COMPUTE.replace('"this"', '"mine"')),
        ("kubernetes/r/backend.yaml", "kubernetes/r/mine.yaml", OBJECT.replace("chat", "mine")),
        ("compute.tf", "compute.txt", COMPUTE),
    ],
)
def test_a_file_of_ones_own_is_no_renamed_one(path, name, text, tmp_path):
    """A copy with other resources in it, or of another kind, is the user's: what was deleted is deleted."""
    base = OBJECT if path.endswith("yaml") else COMPUTE
    write(tmp_path, {path: base})
    (tmp_path / path).unlink()
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"was deleted, and the new code changes it"):
        write(tmp_path, {path: base.replace("1", "2")})
    assert texts(tmp_path) == {name: text}


def test_a_file_that_cannot_be_read_is_no_renamed_one(tmp_path):
    """Whatever lies beside a deleted file stands in no run's way."""
    write(tmp_path, {"data.json": "{}\n", "main.tf": COMPUTE})
    (tmp_path / "main.tf").unlink()
    with (tmp_path / "large.tf").open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    assert write(tmp_path, {"data.json": "{}\n", "main.tf": COMPUTE}).paths(Action.KEPT) == ("main.tf",)


def test_root_and_inputs_are_read_from_renamed_files(tmp_path):
    """A root stays a root, with its rare inputs, whatever its files are called."""
    write_files(generate(pods(), wanted=Wanted(inputs=frozenset({"dns"}))), tmp_path)
    before = read_former(tmp_path)
    for old, new in (("variables.tf", "inputs.tf"), ("providers.tf", "provider.tf")):
        (tmp_path / old).rename(tmp_path / new)
    former = read_former(tmp_path)
    assert "dns" in former.inputs[""]
    assert (former.inputs, former.as_component) == (before.inputs, False)


def pods(region="us-east-1", number=3, **more):
    """Plan of pods in a region."""
    return make_fleet_plan(make_group(region=region, instances=(number, number), **more), policy=Policy.STATIC)


def on_eks(plan, directory, stage=None, **write_options):
    """One run for a cluster of EKS."""
    code = generate(plan, wanted=Wanted(target="eks"), former=read_former(directory, stage))
    return write_files(code, directory, WriteOptions(**write_options))


def listed(folder):
    """Files that a kustomization lists, each of which is there."""
    files = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert all((folder / file).exists() for file in files)
    return files


@pytest.fixture
def cluster(tmp_path):
    """Code for a cluster in which a person renamed the file of the backend, and its line in the kustomization."""
    on_eks(pods(), tmp_path)
    folder = tmp_path / "kubernetes/us-east-1"
    (backend,) = folder.glob("us-east-1-*.yaml")
    kustomization = folder / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace(f'"{backend.name}"', "engine.yaml"))
    backend.rename(folder / "engine.yaml")
    return tmp_path, folder


def test_pods_of_a_renamed_manifest_follow_the_plan(cluster):
    """As many replicas as nodes."""
    directory, folder = cluster
    on_eks(pods(number=5), directory)
    assert "replicas: 5\n" in (folder / "engine.yaml").read_text()
    assert listed(folder) == ["namespace.yaml", "engine.yaml"]
    assert not list(folder.glob("us-east-1-*.yaml"))


def test_a_renamed_manifest_is_cut_over_under_its_name(cluster):
    """The new backend comes beside it; it goes when the cut-over is finished."""
    directory, folder = cluster
    other = pods(instance_type="g5.xlarge", accelerator="A10G")
    on_eks(other, directory)
    (new,) = folder.glob("us-east-1-*.yaml")
    assert sorted(listed(folder)) == ["engine.yaml", "namespace.yaml", new.name]
    on_eks(other, directory, Stage.SHIFT)
    on_eks(other, directory, Stage.FINISH)
    assert listed(folder) == ["namespace.yaml", new.name]
    assert not (folder / "engine.yaml").exists()


PATCH = "\npatches:\n  - path: patches/mine.yaml\n"


@pytest.fixture
def with_own_objects(tmp_path):
    """Code for a cluster whose kustomization names objects, and a patch in a folder, of the person's own."""
    on_eks(pods(), tmp_path)
    folder = tmp_path / "kubernetes/us-east-1"
    (folder / "patches").mkdir()
    (folder / "mine.yaml").write_text("mine: 1\n")
    (folder / "patches/mine.yaml").write_text("patch: 1\n")
    kustomization = folder / "kustomization.yaml"
    text = kustomization.read_text().replace("  # - route.yaml", "  - mine.yaml\n  # - route.yaml")
    kustomization.write_text(text + PATCH)
    return tmp_path, folder


def test_files_that_a_kustomization_names_go_with_it_to_another_region(with_own_objects):
    """The folder of the new region can be built; those of the region before stay there."""
    directory, folder = with_own_objects
    report = on_eks(pods("eu-central-1"), directory)
    new = directory / "kubernetes/eu-central-1"
    assert "mine.yaml" in listed(new)
    assert [(new / name).read_text() for name in ("mine.yaml", "patches/mine.yaml")] == ["mine: 1\n", "patch: 1\n"]
    notes = {change.path: change.note for change in report.changes}
    assert "a copy of your kubernetes/us-east-1/mine.yaml" in notes["kubernetes/eu-central-1/mine.yaml"]
    assert "mine.yaml" in listed(folder)
    (new / "mine.yaml").write_text("mine: 2\n")
    on_eks(pods("eu-central-1"), directory)
    assert (new / "mine.yaml").read_text() == "mine: 2\n"


def test_what_lies_outside_is_not_copied_to_another_region(with_own_objects, tmp_path_factory):
    """A link in a folder that a kustomization names would bring its content into the repository."""
    directory, folder = with_own_objects
    outside = tmp_path_factory.mktemp("outside") / "token"
    outside.write_text("secret")
    (folder / "extra").mkdir()
    (folder / "extra/kustomization.yaml").write_text("resources: []\n")
    (folder / "extra/token").symlink_to(outside)
    kustomization = folder / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("  - mine.yaml\n", "  - mine.yaml\n  - extra\n"))
    on_eks(pods("eu-central-1"), directory)
    copied = directory / "kubernetes/eu-central-1/extra"
    assert [path.name for path in copied.iterdir()] == ["kustomization.yaml"]


@pytest.mark.parametrize("name", ["mine.yaml", "patches/mine.yaml"])
def test_a_kustomization_that_cannot_be_built_is_not_written(name, with_own_objects):
    """The file that it names and that is nowhere is named, and nothing is written."""
    directory, folder = with_own_objects
    (folder / name).unlink()
    before = texts(directory)
    with pytest.raises(InputError, match=rf"eu-central-1/kustomization\.yaml names {name}, which is not there"):
        on_eks(pods("eu-central-1"), directory)
    assert texts(directory) == before


def test_remote_bases_are_not_looked_for(with_own_objects):
    """An address is no file of the folder."""
    directory, folder = with_own_objects
    kustomization = folder / "kustomization.yaml"
    bases = (
        "  - https://example.com/base.yaml\n  - github.com/example/base//deploy?ref=v1\n  - git@example.com:base.git\n"
    )
    kustomization.write_text(kustomization.read_text().replace("  - mine.yaml\n", bases))
    on_eks(pods("eu-central-1"), directory)
    assert "git@example.com:base.git" in (directory / "kubernetes/eu-central-1/kustomization.yaml").read_text()
