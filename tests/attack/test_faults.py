"""Faults at every change of a file: kill -9, a full disk, a read-only one; whatever was there is whole afterwards."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.plan.document import plan_to_json
from attack.readers import MEASUREMENTS, TRACE
from audit.bills import Charge, hours, write_bill
from codegen.plans import make_fleet_plan, make_group

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("fault_driver.py")
OLD_PAGE = "what was there before\n"
COMMANDS = {
    "generate": ("generate", "terraform", "plan.json", "--out", "infra"),
    "report": ("report", "plan.json", "-o", "out.html"),
    "diff": ("diff", "plan.json", "plan.json", "-o", "out.txt"),
    "demand": ("demand", "summarise", "trace.csv", "-o", "out.json"),
    "audit": ("audit", "bill", "--format", "json", "-o", "out.json"),
    "predict": ("predict", "--model", "meta-llama/Llama-3.1-8B-Instruct", "--accelerator", "L4", "--concurrency", "1",
                "--input-tokens", "10", "--output-tokens", "10", "-o", "out.txt"),
    "recommend": ("recommend", "workload.yaml", "-o", "out.json", "--format", "json"),
    "apply-to": ("apply-to", "own", "--address", "aws_launch_template.gpu", "--plan", "plan.json"),
    "lock": ("catalog", "lock", "plan.json", "-o", "out.json"),
    "calibrate": ("calibrate", "own.csv", "-o", "calibration"),
}  # fmt: skip
PLACES = int(os.environ.get("ADVISOR_ATTACK_PLACES", "3"))
"""Changes of files at which a command is killed; ``make fuzz`` tries every one."""
EXPECTED = {"ENOSPC": {0, 1}, "EROFS": {0, 1}, "EMFILE": {0, 1}, "kill": {-signal.SIGKILL}}
"""Exit status by fault; 0 where the program can do without what failed."""
WORKLOAD = """name: w
model: meta-llama/Llama-3.1-8B-Instruct
slo: {ttft_p95: 2s}
regions: [us-east-1]
providers: [aws]
accelerators: [L4]
demand: {declared: {requests_per_second: 1, input_tokens: 500, output_tokens: 100}}
"""


OWN = """resource "aws_launch_template" "gpu" {
  instance_type = "g5.xlarge" # kept
}
"""
OWN_GROUP = """resource "aws_autoscaling_group" "gpu" {
  min_size         = 1
  max_size         = 2
  desired_capacity = 1
  launch_template {
    id = aws_launch_template.gpu.id
  }
}
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with an input for every command, and results of earlier ones."""
    folder = tmp_path_factory.mktemp("prepared")
    plan = make_fleet_plan(make_group())
    provenance = replace(plan.provenance, catalog_hash=load_catalog().content_hash)
    (folder / "plan.json").write_text(plan_to_json(replace(plan, provenance=provenance)))
    (folder / "own").mkdir()
    (folder / "own" / "main.tf").write_text(OWN)
    (folder / "own" / "groups.tf").write_text(OWN_GROUP)
    shutil.copy(MEASUREMENTS / "own.csv", folder)
    (folder / "trace.csv").write_text(TRACE)
    (folder / "workload.yaml").write_text(WORKLOAD)
    (folder / "bill").mkdir()
    write_bill(folder / "bill", "focus", hours(Charge(), 2))
    for name in ("out.html", "out.txt", "out.json"):
        (folder / name).write_text(OLD_PAGE)
    return folder


class Run:
    """Commands in copies of a folder, several for one start of the interpreter."""

    def __init__(self, prepared, folder):
        """Run in copies of *prepared* below *folder*."""
        self.prepared, self.folder, self.count = prepared, folder, 0

    def copy(self):
        """A fresh copy."""
        self.count += 1
        return Path(shutil.copytree(self.prepared, self.folder / f"copy{self.count}"))

    def tasks(self, tasks, modules=()):
        """Results of tasks: folder, arguments, fault and where it strikes."""
        request = self.folder / "request.json"
        listed = [
            {"folder": str(folder), "arguments": arguments, "fault": fault, "at": at, "errors": f"{folder}.err"}
            for folder, arguments, fault, at in tasks
        ]
        request.write_text(json.dumps({"modules": modules, "tasks": listed}))
        environment = {
            **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TMPDIR": str(self.folder), "OPENBLAS_NUM_THREADS": "1",
            "XDG_CACHE_HOME": str(self.folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, DRIVER, request], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def run(prepared, tmp_path):
    """See :class:`Run`."""
    return Run(prepared, tmp_path)


def files(folder):
    """Content of each file that is no temporary one, nor a record of what is being written."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {
        str(path): (folder / path).read_bytes()
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
    }


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.slow if name == "recommend" else ()) for name in COMMANDS]
)
def test_a_fault_at_any_change_leaves_old_or_new(run, prepared, command):
    """No file is half of one and half of the other, none is lost, none is left over but by a kill; a second run finishes."""
    arguments = COMMANDS[command]
    whole = run.copy()
    (clean,) = run.tasks([(whole, arguments, "", 0)])
    assert clean["status"] == 0, Path(f"{whole}.err").read_text()
    assert clean["changes"]
    before, after = files(prepared), files(whole)
    assert before != after
    places = range(1, clean["changes"] + 1)
    kills = places[:: max(1, len(places) // PLACES)]
    others = places[len(places) // 2 :][: max(1, PLACES // 3)]
    tasks = [(run.copy(), arguments, fault, at) for fault in EXPECTED for at in (kills if fault == "kill" else others)]

    for (folder, _, fault, at), result in zip(tasks, run.tasks(tasks, clean["modules"]), strict=True):
        words = Path(f"{folder}.err").read_text()
        assert result["status"] in EXPECTED[fault], (fault, at, words)
        assert "Traceback" not in words
        for name, content in files(folder).items():
            assert content in (before.get(name), after.get(name)), (fault, at, name)
        assert set(before) & set(after) <= set(files(folder))
        if fault != "kill":
            assert not [path for path in folder.glob(".*") if path.is_file()], (fault, at)
    again = [(folder, arguments, "", 0) for folder, _, fault, _ in tasks if fault == "kill"][-1:]
    for (folder, *_), result in zip(again, run.tasks(again, clean["modules"]), strict=True):
        assert result["status"] == 0
        assert files(folder) == after


def advisor(*arguments, **options):
    """A command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | options.pop("environment", {})
    return subprocess.run(
        [sys.executable, "-m", "advisor", *map(str, arguments)], env=environment, text=True, timeout=120, check=False,
        **{"capture_output": True, **options},
    )  # fmt: skip


def limited(limit, value):
    """A change of a limit of the next process."""
    return lambda: resource.setrlimit(limit, (value, value))


def test_files_that_cannot_grow_stay_as_they_were(prepared, tmp_path):
    """A limit on the size of files, as a full disk: exit 1, the old file, nothing left over."""
    (tmp_path / "page.html").write_text(OLD_PAGE)

    done = advisor(
        "report", prepared / "plan.json", "-o", tmp_path / "page.html", preexec_fn=limited(resource.RLIMIT_FSIZE, 4096)
    )

    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == [OLD_PAGE]


def test_stdout_that_is_full_closed_or_gone(prepared):
    """A full one is exit 1; one that nobody reads any more, or that is closed, is no bug of the program."""
    with Path("/dev/full").open("w") as full:
        done = advisor("report", prepared / "plan.json", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, "bug" in done.stderr) == (1, False)
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as gone:
        done = advisor("report", prepared / "plan.json", capture_output=False, stdout=gone, stderr=subprocess.PIPE)
    assert done.returncode == 0
    assert done.stderr == ""
    done = advisor("fit", "--help", capture_output=False, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
    assert done.returncode == 0
    assert "bug" not in done.stderr


def test_a_result_is_written_whatever_stderr_takes(prepared, tmp_path):
    """A warning that cannot be told is dropped; errors keep their status."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with Path("/dev/full").open("w") as full, os.fdopen(write_end, "w") as gone:
        for at, stderr in enumerate((full, gone)):
            page = tmp_path / f"{at}.html"
            done = advisor("report", prepared / "plan.json", "-o", page, capture_output=False, stderr=stderr)
            assert done.returncode == 0
            assert page.read_text().startswith("<!")
            wrong = advisor("report", tmp_path / "none.json", capture_output=False, stderr=stderr)
            assert wrong.returncode == 1


@pytest.mark.parametrize("arguments", [("catalog", "list"), ("--help",), ("fit", "--help")])
def test_a_reader_that_ends_first_is_no_error(arguments):
    """As after ``| head -1``: exit 0, and nothing on stderr."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as gone:
        done = advisor(*arguments, capture_output=False, stdout=gone, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_home_or_with_an_unwritable_one(prepared, tmp_path):
    """Commands that only read need no place of their own."""
    for home in ({}, {"HOME": "/nonexistent"}, {"HOME": ""}, {"HOME": "/dev/null"}):
        environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **home}
        done = subprocess.run(
            [sys.executable, "-m", "advisor", "report", prepared / "plan.json", "-o", tmp_path / "page.html"],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("limit", "value"), [(resource.RLIMIT_AS, 300 << 20), (resource.RLIMIT_NOFILE, 24)])
def test_little_memory_and_few_descriptors_end_in_words(prepared, tmp_path, limit, value):
    """Either it works, or exit 1 says what lacks."""
    (tmp_path / "page.html").write_text(OLD_PAGE)

    done = advisor("report", prepared / "plan.json", "-o", tmp_path / "page.html", preexec_fn=limited(limit, value))

    assert done.returncode in (0, 1), done.stderr
    assert "bug" not in done.stderr
    assert done.returncode == 0 or (tmp_path / "page.html").read_text() == OLD_PAGE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_audit_leaves_no_scratch(tmp_path, number):
    """SIGTERM and Ctrl-C remove it at once, the next audit what a kill left."""
    log = tmp_path / "log.csv"
    with log.open("w") as stream:
        stream.write("timestamp,endpoint,input_tokens\n")
        stream.writelines(f"2026-10-01T00:00:00Z,chat{row % 99999},{row}\n" for row in range(400_000))
    bill = write_bill(tmp_path, "focus", hours(Charge(), 1))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "advisor", "audit", str(bill), "--requests", str(log)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not list(scratch.glob("*/audit.duckdb")) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
    assert process.returncode in ({-signal.SIGKILL} if number == signal.SIGKILL else {130, 143})
    left = list(scratch.iterdir())
    assert bool(left) == (number == signal.SIGKILL)
    for folder in left:
        os.utime(folder, (1, 1))
    assert advisor("audit", bill, environment={"TMPDIR": str(scratch)}).returncode == 0
    assert list(scratch.iterdir()) == []
