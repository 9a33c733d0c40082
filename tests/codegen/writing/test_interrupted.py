"""A run that is cut off at any point: nothing is lost, and the next run ends where an undisturbed one does."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from advisor.codegen import ConflictPolicy, Generated, Language, WriteOptions, generate, read_former
from advisor.codegen.writing import write, write_files
from advisor.errors import InputError
from codegen.plans import make_fleet_plan, make_group
from codegen.test_moved import root

TEXT = "".join(f"line {number}\n" for number in range(20))
OLD = {"main.tf": TEXT, "fleet.tf": "old\n", "gone.tf": "gone\n", "deep/gone.tf": "gone\n"}
NEW = {
    "main.tf": TEXT.replace("line 3\n", "new 3\n"),
    "fleet.tf": "new\n",
    "added.tf": "added\n",
    "deep/er/x.tf": "x\n",
}
NEWER = {"main.tf": NEW["main.tf"].replace("line 18\n", "newer 18\n"), "fleet.tf": "newer\n", "late.tf": "late\n"}
CALLS = ((os, "replace"), (os, "rename"), (os, "unlink"), (os, "mkdir"), (os, "rmdir"), (os, "fsync"))


class Killed(BaseException):
    """The process ends here."""


def code(files):
    """Generated code."""
    return Generated(files=files, roots=("",), targets=("ec2",), plan_digest="sha256:0", warnings=())


def fleet(region):
    """Plan and language of a fleet in one region."""
    return make_fleet_plan(make_group(region=region)), Language.TERRAFORM


def prepare(directory):
    """Code of an earlier run in which a person edited, deleted and added."""
    write_files(code(OLD), directory)
    (directory / "main.tf").write_text(TEXT.replace("line 10\n", "mine 10\n"))
    (directory / "mine.tf").write_text("mine\n")


def state(directory):
    """Everything that lies there."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def kill_at(monkeypatch, number):
    """The process ends before its change number *number* of the disk; True afterwards when it did."""
    count = iter(range(10_000))
    done = []

    def counted(function):
        def call(*arguments, **options):
            if done or next(count) == number:
                done.append(True)
                raise Killed
            return function(*arguments, **options)

        return call

    for owner, name in CALLS:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return done


def run_until(monkeypatch, number, directory, files, write_options=None):
    """A run that is killed; False when it ended before that."""
    with monkeypatch.context() as patched:
        done = kill_at(patched, number)
        with contextlib.suppress(Killed):
            write_files(code(files), directory, write_options)
        return bool(done)


def test_the_same_code_after_a_cut_run(monkeypatch, tmp_path):
    """At every change of the disk: the person's text is there all the time, and the next run completes the state."""
    prepare(tmp_path / "whole")
    write_files(code(NEW), tmp_path / "whole")
    wanted = state(tmp_path / "whole")
    number = 0
    while True:
        directory = tmp_path / str(number)
        prepare(directory)
        was_cut = run_until(monkeypatch, number, directory, NEW)
        assert "mine 10\n" in (directory / "main.tf").read_text()
        assert (directory / "mine.tf").read_text() == "mine\n"
        write_files(code(NEW), directory)
        assert state(directory) == wanted
        if not was_cut:
            break
        shutil.rmtree(directory)
        number += 1
    assert number > 20


def test_moves_after_a_cut_run(monkeypatch, tmp_path):
    """Moves that tell Terraform of a new address are never lost between two files."""
    old, new = (root({key: ("us-east-1", "g6.xlarge", False)}) for key in ("one", "two"))
    write_files(code(old), tmp_path / "whole")
    write_files(code(new), tmp_path / "whole")
    wanted = state(tmp_path / "whole")
    assert "moved.tf" in wanted
    for number in range(100):
        directory = tmp_path / str(number)
        write_files(code(old), directory)
        was_cut = run_until(monkeypatch, number, directory, new)
        write_files(code(new), directory)
        assert state(directory) == wanted
        if not was_cut:
            return
        shutil.rmtree(directory)
    pytest.fail("the run did not end")


def test_other_code_after_a_cut_run(monkeypatch, tmp_path):
    """The plan changed before the next run: it ends where two undisturbed runs, or the second alone, would."""
    for number in range(0, 60, 2):
        directory = tmp_path / str(number)
        prepare(directory)
        was_cut = run_until(monkeypatch, number, directory, NEW)
        write_files(code(NEWER), directory)
        files = {path: text for path, text in state(directory).items() if not path.startswith(".advisor")}
        merged = NEWER["main.tf"].replace("line 10\n", "mine 10\n")
        assert files == {
            path: text.encode() for path, text in (NEWER | {"main.tf": merged, "mine.tf": "mine\n"}).items()
        }
        if not was_cut:
            return
    pytest.fail("the run did not end")


@pytest.mark.parametrize(
    "write_options", [WriteOptions(force=True), WriteOptions(conflicts=ConflictPolicy.THEIRS)], ids=["force", "theirs"]
)
def test_what_is_overwritten_on_demand_is_nowhere_lost(write_options, monkeypatch, tmp_path):
    """At each moment the person's text lies in the file or in its copy."""
    mine = b"".join(b"mine %d\n" % number for number in range(20))
    for number in range(60):
        directory = tmp_path / str(number)
        prepare(directory)
        (directory / "main.tf").write_bytes(mine)
        was_cut = run_until(monkeypatch, number, directory, NEW, write_options)
        assert mine in state(directory).values()
        if not was_cut:
            return
    pytest.fail("the run did not end")


def test_first_run_cut_off(monkeypatch, tmp_path):
    """There is no manifest yet: what was written already is taken over."""
    for number in range(60):
        directory = tmp_path / str(number)
        was_cut = run_until(monkeypatch, number, directory, NEW)
        write_files(code(NEW), directory)
        files = {path: text for path, text in state(directory).items() if not path.startswith(".advisor")}
        assert files == {path: text.encode() for path, text in NEW.items()}
        if not was_cut:
            return
    pytest.fail("the run did not end")


def test_full_disk_is_a_user_error(monkeypatch, tmp_path):
    """The message names the place, and the next run completes."""
    prepare(tmp_path)
    with monkeypatch.context() as patched:

        def full(*_arguments):
            raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            write_files(code(NEW), tmp_path)
    write_files(code(NEW), tmp_path)
    assert (tmp_path / "added.tf").read_text() == "added\n"


def test_change_during_the_run_is_noticed(monkeypatch, tmp_path):
    """An editor that saves between reading and writing does not lose what it saved."""
    prepare(tmp_path)

    original = write.carry_out

    def late(directory, change):
        if change.path == "main.tf":
            (directory / "main.tf").write_text("saved meanwhile\n")
        original(directory, change)

    monkeypatch.setattr(write, "carry_out", late)
    with pytest.raises(InputError, match="changed while this was running"):
        write_files(code(NEW), tmp_path)
    assert (tmp_path / "main.tf").read_text() == "saved meanwhile\n"


RUN = """
import json, pathlib, sys
from advisor.codegen import Generated
from advisor.codegen.writing import write_files
from advisor.errors import InputError
files = json.loads(sys.stdin.read())
code = Generated(files=files, roots=("",), targets=("ec2",), plan_digest="sha256:0", warnings=())
try:
    write_files(code, pathlib.Path(sys.argv[1]))
    print("done")
except InputError as error:
    print(error.message)
"""


def test_runs_at_the_same_time_do_not_mix(tmp_path):
    """Each run is done or says that another is writing; the result is that of one of them."""
    prepare(tmp_path)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for run, files in zip(runs, (NEW, NEWER), strict=True):
        run.stdin.write(json.dumps(files))
        run.stdin.close()
    told = []
    for run in runs:
        with run:
            told.append(run.stdout.read().strip())
    assert set(told) <= {"another run is writing here", "done"}
    assert "done" in told
    assert (tmp_path / "fleet.tf").read_text() in ("new\n", "newer\n")
    assert (tmp_path / "late.tf").exists() == ((tmp_path / "fleet.tf").read_text() == "newer\n")


def test_code_that_goes_on_from_another_state_is_refused(tmp_path):
    """Two runs with plans of their own read the same record: the second would forget what the first keeps running."""
    write_files(generate(*fleet("us-east-1"), former=read_former(tmp_path)), tmp_path)
    former = read_former(tmp_path)
    first, second = (generate(*fleet(region), former=former) for region in ("eu-west-1", "eu-central-1"))
    write_files(first, tmp_path)
    text = (tmp_path / "fleet.tf").read_text()

    with pytest.raises(InputError, match="another run wrote here while this one was at work") as refused:
        write_files(second, tmp_path)

    assert refused.value.hint.startswith("run again")
    assert (tmp_path / "fleet.tf").read_text() == text
    again = generate(*fleet("eu-central-1"), former=read_former(tmp_path))
    write_files(again, tmp_path)
    for region in ("eu-west-1", "eu-central-1"):
        assert region in (tmp_path / "fleet.tf").read_text()


def test_two_first_runs_do_not_take_each_others_place(tmp_path):
    """Both saw an empty directory: the second one is told to run again."""
    former = read_former(tmp_path)
    first, second = (generate(*fleet(region), former=former) for region in ("eu-west-1", "eu-central-1"))
    write_files(first, tmp_path)
    with pytest.raises(InputError, match="another run wrote here"):
        write_files(second, tmp_path)


def test_second_writer_is_told(monkeypatch, tmp_path):
    """While one run writes, another is refused."""
    prepare(tmp_path)
    inside, go_on = threading.Event(), threading.Event()
    original = write.carry_out

    def slow(directory, change):
        inside.set()
        go_on.wait(10)
        original(directory, change)

    monkeypatch.setattr(write, "carry_out", slow)
    first = threading.Thread(target=write_files, args=(code(NEW), tmp_path))
    first.start()
    assert inside.wait(10)
    with pytest.raises(InputError, match="another run is writing here"):
        write_files(code(NEW), tmp_path)
    go_on.set()
    first.join(10)
    assert (tmp_path / "added.tf").exists()
