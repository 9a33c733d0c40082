"""How wide a report is printed."""

import io
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest
from click.testing import CliRunner

from advisor import __version__
from advisor.cli import output as output_of
from advisor.cli.app import advisor, guard_streams, main
from advisor.cli.output import Progress, deliver, report_width
from advisor.names import nearest_ascii, printable
from advisor.watched_steps import step_done
from audit.bills import Charge, write_focus


@pytest.mark.parametrize(
    ("columns", "output", "wide", "expected"),
    [
        (100, None, False, 100),
        (200, None, False, 120),
        (10, None, False, 40),
        (100, Path("plan.txt"), False, 80),
        (100, Path("-"), False, 100),
        (None, None, False, 80),
        (100, None, True, None),
        (None, Path("plan.txt"), True, None),
    ],
)
def test_a_report_is_as_wide_as_the_terminal(monkeypatch, columns, output, wide, expected):
    """Up to 120 characters in a terminal, 80 in a pipe or a file, without a limit where it is asked for."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: columns is not None, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback: os.terminal_size((columns or fallback[0], 24)))

    assert report_width(output, wide=wide) == expected


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (("-o", "x.json"), "{"),
        (("-o", "x.JSON"), "{"),
        (("-o", "x.md"), "##"),
        (("-o", "x.txt"), "Bill"),
        (("-o", "x.json", "--format", "table"), "Bill"),
        (("--format", "sarif", "-o", "x.json"), '{\n  "$schema"'),
        (("-o", "x.sarif"), '{\n  "$schema"'),
    ],
)
def test_a_file_is_written_as_its_name_says(run_advisor, tmp_path, arguments, start):
    """The suffix decides where no format is stated, and only then."""
    bill = write_focus(tmp_path / "bill.csv", [Charge()])
    done = run_advisor("audit", bill, *arguments, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / next(word for word in arguments if word.startswith("x."))).read_text().startswith(start)


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, "g6?[2J\tL4\n"), (False, "g6\x1b[2J\tL4\n")])
def test_nothing_steers_the_terminal(monkeypatch, is_terminal, shown):
    """Names of others are shown without what a terminal acts on; a file has them as they are."""
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal
    monkeypatch.setattr(sys, "stdout", stream)
    guard_streams()
    sys.stdout.write("g6\x1b[2J\tL4\n")
    assert stream.getvalue() == shown


WORKLOAD = """name: café
model: Qwen/Qwen3-8B
demand: {declared: {requests_per_second: 3, input_tokens: 700, output_tokens: 150}}
slo: {ttft_p95: 1500ms, tpot_p95: 60ms}
providers: [aws]
regions: [eu-west-1]
"""


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1252", ("recommend",)),
        ("cp437:strict", ("recommend", "--format", "markdown")),
        ("latin-1", ("recommend", "--verbose")),
        ("cp1252", ("levers",)),
    ],
)
def test_an_encoding_without_a_character_gets_its_nearest_ascii(tmp_path, encoding, words):
    """Reports are told in any encoding, and characters that it has stay as they are."""
    (tmp_path / "w.yaml").write_text(WORKLOAD, encoding="utf-8")
    command = [sys.executable, "-m", "advisor", words[0], "w.yaml", "-q", *words[1:]]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": encoding}

    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)

    told = ended.stdout.decode(encoding.partition(":")[0])
    assert ended.returncode == 0, ended.stderr
    assert "café" in told or words[0] == "levers"
    assert any(likeness in told for likeness in ("<=", "->", " x ", " . ", "..."))


@pytest.mark.parametrize(
    ("arguments", "begins"), [(("--format", "json"), "{"), (("-o", "-", "--format", "html"), "<!doctype html>")]
)
def test_documents_are_utf8_in_any_encoding(tmp_path, arguments, begins):
    """JSON and pages say or imply their encoding; a plan that was sent to a file can be read again."""
    (tmp_path / "w.yaml").write_text(WORKLOAD, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "advisor"]
    ended = subprocess.run(
        [*command, "recommend", "w.yaml", "-q", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
    )

    assert ended.stdout.decode("utf-8").startswith(begins)
    assert "café" in ended.stdout.decode("utf-8")
    if begins == "{":
        (tmp_path / "plan.json").write_bytes(ended.stdout)
        explain = [*command, "explain", "plan.json", "-o", "why.md"]
        subprocess.run(explain, cwd=tmp_path, env=environment, capture_output=True, check=True)
        assert "×" in (tmp_path / "why.md").read_text(encoding="utf-8")


def test_nearest_ascii():
    """Comparisons, arrows and products keep their meaning; letters lose their accents; the rest is a question mark."""
    assert nearest_ascii("≤ 2 × é → 5 µs … “x” 中") == "<= 2 x e -> 5 us ... 'x' ?"


def test_bold_is_all_that_text_may_do_to_a_terminal():
    """What would move the cursor, clear the screen or turn text around becomes a question mark."""
    assert printable("\x1b[1mpeak\x1b[0m \x1b[2J\u202eexe") == "\x1b[1mpeak\x1b[0m ?[2J?exe"


def test_a_dash_is_standard_output(capsys, tmp_path, monkeypatch):
    """No file of that name is written, and nothing is said to have been."""
    monkeypatch.chdir(tmp_path)
    deliver("text\n", Path("-"))
    assert capsys.readouterr() == ("text\n", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("catalog", "models", "llama"),
        ("predict", "--model", "Qwen/Qwen2.5-72B-Instruct", "--accelerator", "L4", "--input-tokens", "4000"),
    ],
)
def test_columns_and_reasons_fit_a_pipe(words):
    """80 characters hold the size of every model, and a long reason in several lines."""
    done = CliRunner().invoke(advisor, [*words, "--output-tokens", "100"] if "predict" in words else words)

    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert "params" in lines[1] if "models" in words else "usable" in done.output


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError(28, "No space left on device", "plan.json"), 1, "hint: see that the disk has room"),
        (MemoryError(), 1, "hint: give a smaller input"),
        (jinja2.TemplateNotFound("outputs.tf.j2"), 3, "this is a bug in advisor (TemplateNotFound: outputs.tf.j2)"),
    ],
)
def test_what_the_machine_lacks_is_told_apart_from_a_template_that_is_not_there(
    monkeypatch, capsys, tmp_path, error, code, told
):
    """The library's error is one of the operating system by its type alone: no room on a disk would help."""

    def failing(**_):
        raise error

    monkeypatch.setattr("advisor.cli.app.advisor", failing)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main()

    said = capsys.readouterr().err
    assert ended.value.code == code
    assert told in said
    assert ("disk has room" in said) == ("No space left" in said)


@pytest.mark.parametrize(
    ("before", "arguments", "code", "out"),
    [
        ("atexit.register(print, 'last')", ["--version"], 0, "advisor, version {}\nlast\n"),
        ("threading.Timer(0.2, print, ['later']).start()", ["--version"], 0, "advisor, version {}\nlater\n"),
        ("", ["generates"], 2, ""),
        ("", ["recommend", "nowhere.yaml"], 1, ""),
    ],
    ids=["functions at the end", "threads", "usage", "input"],
)
def test_a_process_ends_with_its_code_after_all_that_waits_for_its_end(before, arguments, code, out):
    """Output that is buffered, functions for the end and threads come first."""
    script = f"import atexit, sys, threading\nfrom advisor.cli import run\n{before}\nsys.argv[0] = 'advisor'\nrun()"
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (code, out.format(__version__)), ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_result_that_is_cut_short_is_an_error(tmp_path, unbuffered):
    """Room for some of it, as on a disk that fills up, with and without PYTHONUNBUFFERED."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": unbuffered}
    with (tmp_path / "models.json").open("wb") as stream:
        ended = subprocess.run(
            [sys.executable, "-m", "advisor", "catalog", "models", "--format", "json"],
            env=environment, stdout=stream, stderr=subprocess.PIPE, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        )  # fmt: skip

    assert ended.returncode == 1
    assert b"hint: see that the disk has room" in ended.stderr


@pytest.mark.parametrize("module", ["advisor.cli.app", "click", "advisor.errors"])
def test_an_interrupt_while_the_program_starts_shows_no_traceback(module):
    """Nothing can be undone then; the shell sees the signal."""
    interrupting = (
        "class Finder:\n    def find_spec(name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    script = (
        f"import os, signal, sys\n{interrupting}sys.meta_path.insert(0, Finder)\nfrom advisor.cli import run\nrun()"
    )
    ended = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_the_program_leaves_interrupts_as_they_were():
    """Whoever imports it gets a KeyboardInterrupt as before."""
    script = "import signal, advisor.cli; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ended.stdout == "True\n"


def test_a_command_loads_no_pandas():
    """The first array of pyarrow would load it where it is installed."""
    asked = "import pyarrow; pyarrow.array([1]); print('pandas' in sys.modules)"
    script = f"import atexit, sys\nfrom advisor.cli import run\natexit.register(exec, {asked!r}, globals())\nrun()"
    ended = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "False"


def test_a_plan_loads_no_masked_arrays():
    """``numpy.unique`` of one axis loads them, 8 ms of every plan."""
    asked = "print('numpy.ma' in sys.modules)"
    script = f"import atexit, sys\nfrom advisor.cli import run\natexit.register(exec, {asked!r}, globals())\nrun()"
    workload = Path(__file__).parents[2] / "examples/chat/workload.yaml"
    command = [sys.executable, "-c", script, "recommend", str(workload)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("arguments", [["--help"], ["catalog", "list"], ["completion", "bash"]])
def test_a_closed_output_is_no_error(arguments):
    """Nobody reads it, and nothing is said of that."""
    script = f"import os, sys; os.close(1); sys.argv[0] = 'advisor'; os.execv(sys.executable, [sys.executable, '-m', 'advisor', *{arguments}])"
    ended = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("is_terminal", [True, False])
def test_fleets_are_counted_in_a_terminal_alone(monkeypatch, is_terminal):
    """A line that is redrawn in place and wiped at the end; nothing in a pipe, and nothing outside the block."""
    drawn = io.StringIO()
    drawn.isatty = lambda: is_terminal
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(sys, "__stderr__", drawn)
    monkeypatch.setattr(output_of, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(output_of, "_EVERY_SECONDS", 0.0)

    with Progress("requests read") as progress, progress.fleets():
        step_done()
        step_done()
    step_done()

    line = "\r1 fleet replayed\033[K\r2 fleets replayed\033[K\r\033[K"
    assert drawn.getvalue() == (line if is_terminal else "")
