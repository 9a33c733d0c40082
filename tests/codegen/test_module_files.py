"""Writing a module: whole, repeatable, and never over what a person wrote."""

import json

import pytest

from advisor.codegen import generate
from advisor.codegen.module_files import MANIFEST, write_files
from advisor.errors import InputError

FILES = {"main.tf": "a\n", "tests/unit.tftest.hcl": "b\n"}


def snapshot(directory):
    """Bytes and time of each file."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


def test_second_run_touches_nothing(plan, tmp_path):
    """The same plan again leaves bytes and times as they are, and says so."""
    first = write_files(generate(plan).files, tmp_path / "infra")
    before = snapshot(tmp_path)
    second = write_files(generate(plan).files, tmp_path / "infra")
    assert snapshot(tmp_path) == before
    assert second.unchanged == first.created
    assert (second.created, second.replaced, second.removed) == ((), (), ())
    assert second.summary.endswith(f"{len(first.created)} unchanged")


def test_new_plan_replaces_own_files_only(tmp_path):
    """What changed is replaced, what is gone is removed, and files of the user stay."""
    write_files(FILES, tmp_path)
    (tmp_path / "terraform.tfvars").write_text("x = 1\n")
    report = write_files({"main.tf": "c\n", "new.tf": "d\n"}, tmp_path)
    assert (report.created, report.replaced, report.removed) == (("new.tf",), ("main.tf",), ("tests/unit.tftest.hcl",))
    assert (tmp_path / "main.tf").read_text() == "c\n"
    assert (tmp_path / "terraform.tfvars").read_text() == "x = 1\n"
    assert not (tmp_path / "tests/unit.tftest.hcl").exists()


def test_edited_file_is_kept_and_named(tmp_path):
    """An edit stops the run before anything is written; --force overwrites it."""
    write_files(FILES, tmp_path)
    (tmp_path / "main.tf").write_text("mine\n")
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=r"not as they were generated, or not generated at all: main\.tf") as caught:
        write_files(FILES | {"new.tf": "d\n"}, tmp_path)
    assert "--force" in caught.value.hint
    assert snapshot(tmp_path) == before
    assert write_files(FILES, tmp_path, force=True).replaced == ("main.tf",)
    assert (tmp_path / "main.tf").read_text() == "a\n"


def test_file_of_the_user_where_a_new_one_is_due_is_kept(tmp_path):
    """A file that the module grows into is not ours because of its name."""
    write_files({"main.tf": "a\n"}, tmp_path)
    (tmp_path / "kms.tf").write_text("mine\n")
    with pytest.raises(InputError, match=r"kms\.tf"):
        write_files({"main.tf": "a\n", "kms.tf": "ours\n"}, tmp_path)


def test_foreign_directory_is_refused(tmp_path):
    """A folder with other things in it is left alone, unless it is forced."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not generated: notes\.txt"):
        write_files(FILES, tmp_path)
    assert not (tmp_path / "main.tf").exists()
    write_files(FILES, tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_broken_run_is_taken_up(tmp_path):
    """A run that was cut off before its manifest is finished by the next, with no --force."""
    (tmp_path / "main.tf").write_text("a\n")
    report = write_files(FILES, tmp_path)
    assert (report.created, report.unchanged) == (("tests/unit.tftest.hcl",), ("main.tf",))


def test_broken_update_is_taken_up(tmp_path):
    """An update that was cut off half way is finished by the next run: new bytes are as good as old ones."""
    write_files(FILES, tmp_path)
    (tmp_path / "main.tf").write_text("new\n")
    assert write_files(FILES | {"main.tf": "new\n"}, tmp_path).unchanged == ("main.tf", "tests/unit.tftest.hcl")


def test_dry_run_writes_nothing(tmp_path):
    """A dry run reports what a run would do, and does not even make the directory."""
    report = write_files(FILES, tmp_path / "infra", dry_run=True)
    assert report.created == tuple(FILES)
    assert not (tmp_path / "infra").exists()


def test_manifest_cannot_point_outside(tmp_path):
    """Paths of a manifest that leave the directory are ignored, so that nothing outside is ever removed."""
    outside = tmp_path / "outside.tf"
    outside.write_text("mine\n")
    directory = tmp_path / "infra"
    write_files(FILES, directory)
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["files"]["../outside.tf"] = "0" * 64
    manifest["files"][str(outside)] = "0" * 64
    (directory / MANIFEST).write_text(json.dumps(manifest))
    write_files(FILES, directory)
    assert outside.read_text() == "mine\n"


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', "\xff"])
def test_damaged_manifest_is_an_error_that_says_how_to_mend_it(text, tmp_path):
    """A broken manifest is never guessed around."""
    write_files(FILES, tmp_path)
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="damaged") as caught:
        write_files(FILES, tmp_path)
    assert "--force" in caught.value.hint


def test_file_in_the_way_of_the_directory_is_an_error(tmp_path):
    """A path that is a file is no directory, and stays a file."""
    target = tmp_path / "infra"
    target.write_text("mine")
    with pytest.raises(InputError, match="not a directory"):
        write_files(FILES, target)
    assert target.read_text() == "mine"
