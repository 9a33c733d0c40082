"""Writing into a directory that people work in: repeatable, and never over what a person wrote."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from advisor.codegen import ConflictPolicy, Generated, WriteOptions
from advisor.codegen.writing import Action, last_generated, write_files
from advisor.errors import InputError

MAIN = "one\ntwo\nthree\nfour\nfive\n"
FILES = {"main.tf": MAIN, "fleet.tf": "a\nb\nc\n", "tests/unit.tftest.hcl": "t\n"}


def code(files, roots=("",)):
    """Generated code."""
    return Generated(files=files, roots=roots, targets=("ec2",), plan_digest="sha256:0", warnings=())


def write(directory, files=FILES, **write_options):
    """One run."""
    return write_files(code(files), directory, WriteOptions(**write_options))


def snapshot(directory):
    """Bytes and time of each file, and the folders."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) if p.is_file() else None for p in directory.rglob("*")}


def own_files(directory):
    """Text of each file that is not ours."""
    return {
        str(p.relative_to(directory)): p.read_text()
        for p in directory.rglob("*")
        if p.is_file() and ".advisor" not in p.parts
    }


def test_second_run_touches_nothing(tmp_path):
    """The same code again leaves bytes and times as they are, and says so."""
    assert write(tmp_path / "infra").paths(Action.CREATED) == tuple(sorted(FILES))
    before = snapshot(tmp_path)
    second = write(tmp_path / "infra")
    assert snapshot(tmp_path) == before
    assert second.summary.endswith(": 3 unchanged")


def test_new_code_touches_only_what_changed(tmp_path):
    """What changed is replaced, what is gone is removed with its folder; the rest keeps its time."""
    write(tmp_path)
    (tmp_path / "terraform.tfvars").write_text("x = 1\n")
    before = snapshot(tmp_path)
    report = write(tmp_path, {"main.tf": MAIN, "fleet.tf": "a\nB\nc\n", "new.tf": "n\n"})
    assert {one.path: one.action for one in report.changes} == {
        "fleet.tf": Action.REPLACED, "main.tf": Action.UNCHANGED, "new.tf": Action.CREATED, "tests/unit.tftest.hcl": Action.REMOVED,
    }  # fmt: skip
    assert not (tmp_path / "tests").exists()
    after = snapshot(tmp_path)
    for name in ("main.tf", "terraform.tfvars"):
        assert after[tmp_path / name] == before[tmp_path / name]


def test_no_tool_reads_what_is_kept(tmp_path):
    """Under .advisor lies nothing that looks like code, and bases that no run needs are gone."""
    write(tmp_path)
    write(tmp_path, FILES | {"main.tf": "new\n"})
    kept = sorted(str(p.relative_to(tmp_path / ".advisor")) for p in (tmp_path / ".advisor").rglob("*") if p.is_file())
    assert not [path for path in kept if path.endswith((".tf", ".hcl", ".py", ".ts", ".yaml"))]
    assert len([path for path in kept if path.startswith("base/")]) == 3
    assert last_generated(tmp_path) == FILES | {"main.tf": "new\n"}


def test_edits_elsewhere_in_a_file_are_merged(tmp_path):
    """Both changes are in the result; the report lists the file and shows it as a patch."""
    write(tmp_path)
    (tmp_path / "main.tf").write_text(MAIN.replace("one", "one # mine"))
    report = write(tmp_path, FILES | {"main.tf": MAIN.replace("five", "FIVE")})
    assert (tmp_path / "main.tf").read_text() == "one # mine\ntwo\nthree\nfour\nFIVE\n"
    assert [one.path for one in report.edited] == ["main.tf"]
    assert report.patch() == "--- a/main.tf\n+++ b/main.tf\n@@ -2,4 +2,4 @@\n two\n three\n four\n-five\n+FIVE\n"
    again = write(tmp_path, FILES | {"main.tf": MAIN.replace("five", "FIVE")})
    assert again.paths(Action.KEPT) == ("main.tf",)
    assert write(tmp_path).paths(Action.MERGED) == ("main.tf",)
    assert (tmp_path / "main.tf").read_text() == MAIN.replace("one", "one # mine")


@pytest.fixture
def conflicting(tmp_path):
    """A directory in which a person changed a line that the next code changes too."""
    write(tmp_path)
    (tmp_path / "main.tf").write_text(MAIN.replace("three", "mine"))
    return tmp_path, FILES | {"main.tf": MAIN.replace("three", "theirs"), "new.tf": "n\n"}


def test_conflict_writes_nothing_and_shows_both_sides(conflicting):
    """Not even files without a conflict are written."""
    directory, files = conflicting
    before = snapshot(directory)
    with pytest.raises(InputError) as caught:
        write(directory, files)
    assert snapshot(directory) == before
    for part in ("main.tf:3", "<<<<<<< yours\n    mine\n", "=======\n    theirs\n    >>>>>>> generated"):
        assert part in caught.value.message
    assert "--conflicts write" in caught.value.hint


@pytest.mark.parametrize(
    ("prefer", "text"),
    [
        (ConflictPolicy.MINE, "mine\n"),
        (ConflictPolicy.THEIRS, "theirs\n"),
        (
            ConflictPolicy.MARKERS,
            "<<<<<<< yours\nmine\n||||||| last generated\nthree\n=======\ntheirs\n>>>>>>> generated\n",
        ),
    ],
)
def test_conflict_is_resolved_as_asked(prefer, text, conflicting):
    """One side, or both between markers; the next run does not ask again."""
    directory, files = conflicting
    write(directory, files, conflicts=prefer)
    assert (directory / "main.tf").read_text() == MAIN.replace("three\n", text)
    if prefer is not ConflictPolicy.MARKERS:
        assert write(directory, files).summary.startswith(str(directory))


def test_markers_have_to_be_resolved_before_the_next_run(conflicting):
    """A file with markers is not merged on top of them; resolved, it counts as an edit."""
    directory, files = conflicting
    write(directory, files, conflicts=ConflictPolicy.MARKERS)
    with pytest.raises(InputError, match=r"main\.tf still holds conflict markers"):
        write(directory, files)
    (directory / "main.tf").write_text(MAIN.replace("three", "both"))
    assert write(directory, files).paths(Action.KEPT) == ("main.tf",)


def test_what_is_taken_from_a_person_is_kept(conflicting):
    """--conflicts theirs and --force keep a copy of what they overwrite; a second copy does not replace the first."""
    directory, files = conflicting
    write(directory, files, conflicts=ConflictPolicy.THEIRS)
    (directory / "main.tf").write_text("all mine\n")
    write(directory, files, force=True)
    assert (directory / "main.tf").read_text() == files["main.tf"]
    kept = {p.read_text() for p in (directory / ".advisor/replaced").iterdir()}
    assert kept == {MAIN.replace("three", "mine"), "all mine\n"}
    assert "replaced/" in (directory / ".advisor/.gitignore").read_text()


def test_foreign_files_are_fine_unless_they_collide(tmp_path):
    """A file of somebody else's stays; one where ours is due is refused by name, until it is forced."""
    (tmp_path / "other.tf").write_text("theirs\n")
    (tmp_path / "main.tf").write_text("not ours\n")
    with pytest.raises(InputError, match=r"main\.tf was not generated") as caught:
        write(tmp_path)
    assert "--force" in caught.value.hint
    assert own_files(tmp_path) == {"other.tf": "theirs\n", "main.tf": "not ours\n"}
    write(tmp_path, force=True)
    assert own_files(tmp_path) == FILES | {"other.tf": "theirs\n"}
    assert [p.read_text() for p in (tmp_path / ".advisor/replaced").iterdir()] == ["not ours\n"]


def test_file_that_is_as_it_becomes_is_taken_over(tmp_path):
    """Equal bytes are no collision."""
    (tmp_path / "main.tf").write_text(MAIN)
    assert write(tmp_path).paths(Action.UNCHANGED) == ("main.tf",)


def test_deleted_file_stays_deleted(tmp_path):
    """Whoever deleted a file meant it; each run says so, and --force writes it again."""
    write(tmp_path)
    (tmp_path / "fleet.tf").unlink()
    for _ in range(2):
        report = write(tmp_path, FILES | {"main.tf": MAIN + "six\n"})
        assert report.paths(Action.KEPT) == ("fleet.tf",)
        assert "you deleted it" in next(one for one in report.changes if one.path == "fleet.tf").note
        assert not (tmp_path / "fleet.tf").exists()
    write(tmp_path, force=True)
    assert own_files(tmp_path) == FILES


@pytest.fixture
def deleted(tmp_path):
    """A directory in which a person deleted a file that the next code changes."""
    write(tmp_path)
    (tmp_path / "fleet.tf").unlink()
    return tmp_path, FILES | {"fleet.tf": "a\nB\nc\n"}


def test_change_of_a_deleted_file_is_a_conflict_that_is_shown(deleted):
    """Nothing is written; what the code changes in the file is shown as a patch."""
    directory, files = deleted
    before = snapshot(directory)
    with pytest.raises(InputError, match=r"fleet\.tf was deleted, and the new code changes it") as caught:
        write(directory, files)
    assert snapshot(directory) == before
    assert (
        "--- a/fleet.tf\n    +++ b/fleet.tf\n    @@ -1,3 +1,3 @@\n     a\n    -b\n    +B\n     c"
        in caught.value.message
    )
    assert "--conflicts mine:FILE" in caught.value.hint


@pytest.mark.parametrize(
    ("prefer", "text"),
    [
        (ConflictPolicy.MINE, None),
        (ConflictPolicy.THEIRS, "a\nB\nc\n"),
        (
            ConflictPolicy.MARKERS,
            "<<<<<<< yours\n||||||| last generated\na\nb\nc\n=======\na\nB\nc\n>>>>>>> generated\n",
        ),
    ],
)
def test_conflict_over_a_deleted_file_is_resolved_as_asked(prefer, text, deleted):
    """It stays deleted, comes back, or comes back with both sides; a deletion that was confirmed is not asked for again."""
    directory, files = deleted
    write(directory, files, conflicts_of={"fleet.tf": prefer})
    assert own_files(directory).get("fleet.tf") == text
    if prefer is ConflictPolicy.MINE:
        assert write(directory, files).paths(Action.KEPT) == ("fleet.tf",)
        with pytest.raises(InputError, match=r"fleet\.tf was deleted"):
            write(directory)


def test_a_deleted_file_that_others_hold_is_told(tmp_path):
    """Whoever spread a file over others learns where the difference belongs."""
    base = (
        'resource "a" "one" {\n  x = 1\n}\n\nresource "a" "two" {\n  x = 1\n}\n\nresource "a" "three" {\n  x = 1\n}\n'
    )
    write(tmp_path, {"main.tf": base})
    (tmp_path / "main.tf").unlink()
    for name in ("one", "two"):
        (tmp_path / f"{name}.tf").write_text(f'resource "a" "{name}" {{\n  x = 1\n}}\n')
    with pytest.raises(
        InputError, match=r"was deleted, and the new code changes it \(one\.tf and two\.tf hold blocks of it\)"
    ):
        write(tmp_path, {"main.tf": base.replace("1", "2")})


@pytest.mark.parametrize(
    "name", ["README.md", "terraform.tfvars.example", "tests/unit.tftest.hcl", "examples/complete/main.tf"]
)
def test_what_no_apply_reads_stays_deleted_and_is_told(name, tmp_path):
    """Nobody runs otherwise for want of a README, an example or a test."""
    write(tmp_path, FILES | {name: "one\n"})
    (tmp_path / name).unlink()
    report = write(tmp_path, FILES | {name: "two\n"})
    assert [(one.path, one.action) for one in report.changes if "its text changed" in one.note] == [(name, Action.KEPT)]
    assert not (tmp_path / name).exists()


OWN_README = "# Chat\n\nAsk the platform team.\n"


def test_a_readme_of_ones_own_stands_in_no_plans_way(tmp_path):
    """Where no generated sentence is left, there is nothing to merge; where some are, a conflict is one."""
    generated = "# Chat\n\nThree instances.\n\nApply it.\n"
    write(tmp_path, FILES | {"README.md": generated})
    (tmp_path / "README.md").write_text(OWN_README)
    report = write(tmp_path, FILES | {"README.md": generated.replace("Three", "Four")})
    assert report.paths(Action.KEPT) == ("README.md",)
    assert (tmp_path / "README.md").read_text() == OWN_README
    (tmp_path / "README.md").write_text("# Chat\n\nMany instances.\n\nApply it.\n")
    with pytest.raises(InputError, match=r"README\.md: your edits"):
        write(tmp_path, FILES | {"README.md": generated.replace("Three", "Five")})


def test_code_of_ones_own_in_the_place_of_generated_code_is_a_conflict(tmp_path):
    """Code that is applied is never left behind its plan."""
    write(tmp_path)
    (tmp_path / "main.tf").write_text("all\nmy\nown\n")
    with pytest.raises(InputError, match=r"main\.tf: your edits"):
        write(tmp_path, FILES | {"main.tf": MAIN.replace("three", "theirs")})


def test_conflicts_are_resolved_file_by_file(conflicting):
    """One file goes to one side, the others to what holds for all; a name that is no file is refused."""
    directory, files = conflicting
    (directory / "fleet.tf").write_text("a\nmine\nc\n")
    files |= {"fleet.tf": "a\ntheirs\nc\n"}
    with pytest.raises(InputError, match=r"fleet\.tf: your edits") as caught:
        write(directory, files, conflicts_of={"main.tf": ConflictPolicy.MINE})
    assert "main.tf" not in caught.value.message
    with pytest.raises(InputError, match=r"--conflicts names min\.tf, which is no file of the code"):
        write(directory, files, conflicts_of={"min.tf": ConflictPolicy.MINE})
    write(directory, files, conflicts=ConflictPolicy.THEIRS, conflicts_of={"main.tf": ConflictPolicy.MINE})
    assert (directory / "main.tf").read_text() == MAIN.replace("three", "mine")
    assert (directory / "fleet.tf").read_text() == "a\ntheirs\nc\n"


def test_edited_file_that_is_no_longer_generated(tmp_path):
    """It is not removed without being asked; kept, it is the user's from then on."""
    write(tmp_path)
    (tmp_path / "fleet.tf").write_text("mine\n")
    fewer = {"main.tf": MAIN}
    with pytest.raises(InputError, match=r"fleet\.tf was edited, and is no longer part"):
        write(tmp_path, fewer)
    assert write(tmp_path, fewer, conflicts=ConflictPolicy.MINE).paths(Action.KEPT) == ("fleet.tf",)
    assert write(tmp_path, fewer).paths(Action.UNCHANGED) == ("main.tf",)
    with pytest.raises(InputError, match=r"fleet\.tf was not generated"):
        write(tmp_path)


def test_edited_file_that_is_no_longer_generated_may_be_given_up(tmp_path):
    """--conflicts theirs removes it, and a copy is kept."""
    write(tmp_path)
    (tmp_path / "fleet.tf").write_text("mine\n")
    write(tmp_path, {"main.tf": MAIN}, conflicts=ConflictPolicy.THEIRS)
    assert own_files(tmp_path) == {"main.tf": MAIN}
    assert [p.read_text() for p in (tmp_path / ".advisor/replaced").iterdir()] == ["mine\n"]


def test_line_ends_of_the_user_are_kept(tmp_path):
    """A checkout with CRLF is no edit; new code and merges keep its line ends."""
    write(tmp_path)
    (tmp_path / "main.tf").write_bytes(MAIN.replace("\n", "\r\n").encode())
    assert write(tmp_path).paths(Action.UNCHANGED) == tuple(sorted(FILES))
    write(tmp_path, FILES | {"main.tf": MAIN.replace("five", "FIVE")})
    assert (tmp_path / "main.tf").read_bytes() == b"one\r\ntwo\r\nthree\r\nfour\r\nFIVE\r\n"
    (tmp_path / "main.tf").write_bytes(b"ONE\r\ntwo\r\nthree\r\nfour\r\nFIVE\r\n")
    write(tmp_path)
    assert (tmp_path / "main.tf").read_bytes() == b"ONE\r\ntwo\r\nthree\r\nfour\r\nfive\r\n"


def test_new_files_have_the_line_ends_of_the_checkout(tmp_path):
    """Where Git turned every file to CRLF, a new one has CRLF too; scripts, which hosts run, have not."""
    write(tmp_path)
    more = FILES | {"new.tf": "n\n", "run.sh": "r\n"}
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode())
    write(tmp_path, more)
    assert [(tmp_path / name).read_bytes() for name in ("new.tf", "run.sh")] == [b"n\r\n", b"r\n"]
    assert write(tmp_path, more).paths(Action.UNCHANGED) == tuple(sorted(more))
    (tmp_path / "main.tf").write_bytes(MAIN.encode())
    write(tmp_path, more | {"newer.tf": "n\n"})
    assert (tmp_path / "newer.tf").read_bytes() == b"n\n"


def test_edit_that_is_no_utf_8_survives(tmp_path):
    """Bytes are merged, not characters; the patch shows what it cannot print as escapes."""
    write(tmp_path)
    (tmp_path / "main.tf").write_bytes(MAIN.replace("one", "# \xe9\xff").encode("latin-1"))
    report = write(tmp_path, FILES | {"main.tf": MAIN.replace("five", "FIVE")})
    assert (tmp_path / "main.tf").read_bytes() == b"# \xe9\xff\ntwo\nthree\nfour\nFIVE\n"
    report.patch().encode()


def test_dry_run_writes_nothing(tmp_path):
    """A dry run shows all that would be written, and does not even make the directory."""
    report = write(tmp_path / "infra", dry_run=True)
    assert "--- /dev/null\n+++ b/main.tf\n@@ -0,0 +1,5 @@\n+one\n" in report.patch()
    assert not (tmp_path / "infra").exists()


def test_patch_applies(tmp_path):
    """The patch of a dry run, given to `patch`, makes the directory what a run makes it."""
    for name in ("patched", "written"):
        write(tmp_path / name, FILES | {"no-end": "x"})
    files = {"main.tf": MAIN.replace("two", "2"), "new.tf": "n\n", "no-end": "y"}
    patch = write(tmp_path / "patched", files, dry_run=True).patch()
    write(tmp_path / "written", files)
    (tmp_path / "p").write_text(patch)
    os.system(f"cd {tmp_path}/patched && git apply --unsafe-paths {tmp_path}/p")
    assert own_files(tmp_path / "patched") == own_files(tmp_path / "written")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"schema": "advisor.generated/v1", "files": {}, "roots": 5}',
        '{"schema": "advisor.generated/v1", "files": {}, "roots": [""], "targets": 5}',
        "", "[]", "{}", '{"schema": "advisor.generated/v1", "files": 3}', '{"schema": "x/v9"}', "\xff",
    ],
)  # fmt: skip
def test_damaged_manifest_is_an_error_that_says_how_to_mend_it(text, tmp_path):
    """A broken manifest is never guessed around."""
    write(tmp_path)
    (tmp_path / ".advisor/manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="manifest") as caught:
        write(tmp_path)
    assert caught.value.hint


def test_manifest_cannot_point_outside(tmp_path):
    """Paths of a manifest that leave the directory are ignored, so that nothing outside is ever removed."""
    outside = tmp_path / "outside.tf"
    outside.write_text("mine\n")
    directory = tmp_path / "infra"
    write(directory)
    manifest = json.loads((directory / ".advisor/manifest.json").read_text())
    digest = manifest["files"]["main.tf"]
    manifest["files"] |= {"../outside.tf": digest, str(outside): digest, "x": "../../../outside.tf", "a\0b": digest}
    (directory / ".advisor/manifest.json").write_text(json.dumps(manifest))
    write(directory)
    assert outside.read_text() == "mine\n"


@pytest.mark.parametrize("name", ["base", "scratch", "replaced", "stacks.json", ".gitignore", "base/link"])
def test_a_link_among_the_records_leads_nowhere(name, tmp_path):
    """Nothing is written or removed behind one, wherever the code came from."""
    directory, outside = tmp_path / "infra", tmp_path / "outside"
    write(directory)
    outside.mkdir()
    (outside / "precious").write_text("mine\n")
    link = directory / ".advisor" / name
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    with pytest.raises(InputError, match="this is a link"):
        write(directory, FILES | {"main.tf": "new\n"})
    assert [place.name for place in outside.iterdir()] == ["precious"]
    assert (directory / "main.tf").read_text() == MAIN


def test_lost_base_is_no_guess(tmp_path):
    """An edited file whose base was deleted, or tampered with, is refused; unedited ones need no base."""
    write(tmp_path)
    for base in (tmp_path / ".advisor/base").iterdir():
        base.write_text("tampered\n")
    (tmp_path / "main.tf").write_text("mine\n")
    with pytest.raises(InputError, match=r"main\.tf was edited, and its text"):
        write(tmp_path, FILES | {"main.tf": "new\n", "fleet.tf": "new\n"})
    (tmp_path / "main.tf").write_text(MAIN)
    write(tmp_path, FILES | {"main.tf": "new\n"})
    assert last_generated(tmp_path)["main.tf"] == "new\n"


def _link_to(target):
    return lambda place: place.symlink_to(target)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("main.tf", lambda place: place.mkdir(), r"main\.tf is not a file"),
        (
            "tests",
            lambda place: place.write_text("mine"),
            r"tests is a file, and tests/unit\.tftest\.hcl needs a folder",
        ),
        ("main.tf", _link_to("../outside.tf"), r"main\.tf is a link.* leads out of the directory"),
        ("tests", _link_to(".."), r"tests/unit\.tftest\.hcl is a link, or in a linked folder"),
        (".advisor", _link_to("/tmp"), "leads out of the directory"),
        (".advisor", lambda place: place.write_text("mine"), r"\.advisor is a file"),
        (".advisor/manifest.json", lambda place: place.mkdir(parents=True), "cannot read: Is a directory"),
    ],
)
def test_what_is_in_the_way_is_named(name, make, message, tmp_path):
    """Nothing is written through a link, and nothing else is written either."""
    (tmp_path / "outside.tf").write_text("mine\n")
    directory = tmp_path / "infra"
    directory.mkdir()
    make(directory / name)
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        write(directory)
    assert caught.value.hint
    assert snapshot(tmp_path) == before


def test_link_within_the_directory_stays_a_link(tmp_path):
    """What it leads to is written."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "main.tf").symlink_to("shared/main.tf")
    write(tmp_path)
    write(tmp_path, FILES | {"main.tf": "new\n"})
    assert (tmp_path / "main.tf").is_symlink()
    assert (tmp_path / "shared/main.tf").read_text() == "new\n"


def test_file_in_the_way_of_the_directory_is_an_error(tmp_path):
    """A path that is a file is no directory, and stays a file; so does one on the way to it."""
    target = tmp_path / "infra"
    target.write_text("mine")
    for directory in (target, target / "deeper"):
        with pytest.raises(InputError, match="not a directory"):
            write(directory)
    assert target.read_text() == "mine"


def test_directory_that_cannot_be_written_to_is_an_error():
    """Nobody makes folders below /proc."""
    with pytest.raises(InputError, match=r"cannot write|not writable"):
        write(Path("/proc/infra"))


def test_write_protected_file_stops_the_run_before_anything_is_written(tmp_path):
    """Protection is respected, even where the directory would allow to replace the file."""
    write(tmp_path)
    (tmp_path / "main.tf").chmod(0o444)
    with pytest.raises(InputError, match=r"write-protected: main\.tf"):
        write(tmp_path, FILES | {"fleet.tf": "new\n", "main.tf": "new\n"})
    assert own_files(tmp_path) == FILES
    write(tmp_path, FILES | {"fleet.tf": "new\n"})


def test_permissions_are_kept(tmp_path):
    """A replaced file has the mode that it had."""
    write(tmp_path)
    (tmp_path / "main.tf").chmod(0o640)
    write(tmp_path, FILES | {"main.tf": "new\n"})
    assert stat.S_IMODE((tmp_path / "main.tf").stat().st_mode) == 0o640


def test_root_that_the_plan_leaves_keeps_its_files(tmp_path):
    """What it deployed still runs: its code is needed to destroy it, and goes when the user deletes it."""
    two = {"aws/main.tf": "a\n", "gcp/main.tf": "g\n"}
    write_files(code(two, ("aws", "gcp")), tmp_path)
    report = write_files(code({"main.tf": "a\n"}), tmp_path)
    assert own_files(tmp_path) == two | {"main.tf": "a\n"}
    assert [note.split()[0] for note in report.notes] == ["aws", "gcp"]
    (tmp_path / "gcp/main.tf").unlink()
    again = write_files(code({"main.tf": "a\n"}), tmp_path)
    assert [note.split()[0] for note in again.notes] == ["aws"]
    (tmp_path / "aws/main.tf").unlink()
    assert write_files(code({"main.tf": "a\n"}), tmp_path).notes == ()
    assert json.loads((tmp_path / ".advisor/manifest.json").read_text())["roots"] == [""]


def test_manifest_says_what_it_came_from(tmp_path):
    """Generator, plan, targets and roots stand beside the digests."""
    write(tmp_path)
    manifest = json.loads((tmp_path / ".advisor/manifest.json").read_text())
    assert manifest["generator"].startswith("advisor ")
    assert (manifest["plan"], manifest["targets"], manifest["roots"]) == ("sha256:0", ["ec2"], [""])
    assert sorted(manifest["files"]) == sorted(FILES)
    assert "pending" not in manifest
