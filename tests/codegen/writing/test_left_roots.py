"""Roots that the code no longer has: what a person wrote in them is named, with the roots that lack it."""

import pytest

from advisor.codegen import Language, Wanted, generate, write_files
from advisor.codegen.writing import read_former
from codegen.plans import make_fleet_plan, make_group

ON_AWS = make_fleet_plan(make_group(instances=(4, 4)))
ON_BOTH = make_fleet_plan(
    make_group(instances=(2, 2)), make_group(provider="gcp", region="us-central1", instance_type="g2-standard-8")
)
EDITED = {Language.TERRAFORM: "compute.tf", Language.PYTHON: "inference/compute.py"}


def run(plan, directory, language):
    """Notes of a run that writes a plan's code."""
    generated = generate(plan, language, Wanted(), former=read_former(directory))
    return write_files(generated, directory).notes


@pytest.mark.parametrize("language", EDITED)
def test_edits_that_are_not_carried_over_are_named(language, tmp_path):
    """From one cloud to several and back; once, in the run that leaves the root."""
    run(ON_AWS, tmp_path, language)
    edited = tmp_path / EDITED[language]
    edited.write_text(f"{edited.read_text()}# mine\n")
    (tmp_path / "own.tf").write_text("locals {}\n")
    (note,) = run(ON_BOTH, tmp_path, language)
    assert note.startswith("the directory itself is no longer a root of the code")
    assert f". aws lacks what you wrote there, which is not carried over: {EDITED[language]}, own.tf" in note
    assert "lacks" not in "".join(run(ON_BOTH, tmp_path, language))
    gone = next(path for path in sorted((tmp_path / "gcp").rglob("*")) if path.is_file())
    gone.unlink()
    notes = run(ON_AWS, tmp_path, language)
    assert ["lacks" in note for note in notes] == [False, True]
    assert notes[1].endswith(f"not carried over: {gone.relative_to(tmp_path)}")
