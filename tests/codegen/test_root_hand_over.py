"""From one cloud to several, and back: each root has a state of its own, and what served runs until they serve."""

import shutil

import pytest

from advisor.codegen import Language, Wanted, generate, write_files
from advisor.codegen.writing import read_former
from codegen.plans import make_fleet_plan, make_group

ON_AWS = make_fleet_plan(make_group(instances=(4, 4)))
ON_BOTH = make_fleet_plan(
    make_group(instances=(2, 2)), make_group(provider="gcp", region="us-central1", instance_type="g2-standard-8")
)
STEPS = {
    Language.TERRAFORM: ("terraform -chdir=aws apply", "terraform -chdir=. destroy"),
    Language.PYTHON: ("pulumi -C aws up", "pulumi -C . destroy"),
}


def run(plan, directory, language=Language.TERRAFORM, **wishes):
    """Code of a plan, written."""
    generated = generate(plan, language, Wanted(**wishes), former=read_former(directory))
    write_files(generated, directory)
    return generated


def name_of(root):
    """Default of the input `name`."""
    lines = (root / "variables.tf").read_text().splitlines()
    start = lines.index('variable "name" {')
    return next(line.split('"')[1] for line in lines[start:] if "default" in line)


@pytest.mark.parametrize("language", STEPS)
def test_the_order_of_the_steps_is_written(language, tmp_path):
    """The run and the README say: make the new roots, see that they serve, move the clients, destroy the former."""
    assert not [note for note in run(ON_AWS, tmp_path, language).notes if "hand-over" in note]
    note, *_ = run(ON_BOTH, tmp_path, language).notes
    assert note.startswith("hand-over from the directory itself to aws and gcp: apply there beside what runs")
    readme = (tmp_path / "aws/README.md").read_text()
    assert readme.index("\n## ") == readme.index("\n## Hand-over")
    steps = [*STEPS[language][:1], "See that the instances serve", "Move the clients", STEPS[language][1]]
    assert [readme.index(step) for step in steps] == sorted(readme.index(step) for step in steps)
    assert f"`{STEPS[language][0].replace('aws', 'gcp')}`" in readme
    assert "deletion_protection" in readme


def test_names_of_one_account_do_not_meet_and_stay(tmp_path):
    """The new root of the same cloud has a name of its own, which stays when the former root is gone."""
    run(ON_AWS, tmp_path)
    former = name_of(tmp_path)
    run(ON_BOTH, tmp_path)
    assert (name_of(tmp_path / "aws"), name_of(tmp_path / "gcp")) == (f"{former}-2", former)
    assert f"named `{former}-2`, those there in the same cloud `{former}`" in (tmp_path / "aws/README.md").read_text()
    before = (tmp_path / "aws/compute.tf").read_text()
    run(ON_AWS, tmp_path)
    assert name_of(tmp_path) == former
    run(ON_BOTH, tmp_path)
    for path in tmp_path.iterdir():
        if path.name not in ("aws", "gcp", ".advisor"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(ON_BOTH, tmp_path)
    again = run(ON_BOTH, tmp_path)
    assert name_of(tmp_path / "aws") == f"{former}-2"
    assert (tmp_path / "aws/compute.tf").read_text() == before
    assert not [note for note in again.notes if "hand-over" in note]
    assert "Hand-over" not in (tmp_path / "aws/README.md").read_text()


def test_a_short_program_is_told_to_take_another_name(tmp_path):
    """Its names are those of its plan."""
    for plan in (ON_AWS, ON_BOTH):
        run(plan, tmp_path, Language.PYTHON, as_component=True)
    assert "set `name` to another one first" in (tmp_path / "aws/README.md").read_text()
