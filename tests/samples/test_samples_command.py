"""`advisor samples show` as a program."""

import json
import os
import subprocess
import sys

import pytest

from samples.records import DAY, ENGINE_ROW, gap, row, spool
from samples.stores import store

GIB = 1024**3
TABLE = """\
host    #  accelerator  coverage  memory mean GiB  peak GiB  total GiB  busy mean  busy p50  busy p95  busy \
peak  peak ÷ mean    kWh
------  -  -----------  --------  ---------------  --------  ---------  ---------  --------  --------  \
---------  -----------  -----
host-a  0  NVIDIA H100    100.0%             36.0      36.0       40.0      18.0%     10.0%     54.0%      \
90.0%          5.0  0.900
host-a  1  NVIDIA H100     50.0%                -         -          -          -         -         -          \
-            -      -

Memory used is what the engine reserved, not what the model needs; busy is the share of time in which any \
kernel ran, not how much of the accelerator it used. Peaks are the highest single reading; - is unknown.
host-a #1: 75 readings missed (GPU is lost)

host    #  verdict        memory
------  -  -------------  ---------------------------
host-a  0  within limits  36.0 GiB held, need unknown
host-a  1  unknown        unknown

- host-a #0: nothing is at its limit: it has room for more load; the memory it holds is not a need: no engine's \
metrics are known
- host-a #1: what limits it is unknown for want of busy_ratio, kv_cache_used_ratio, tensor_active_ratio, \
dram_active_ratio, sm_active_ratio

host-a #0  peak ▂▂▂▇▂▂▂▂▂▂  90%
     busy  mean ▂▂▂▇▂▂▂▂▂▂  18%
                10-14 00:00 10-14 00:02 UTC
▁ 0%  █ 100%  '·' not observed
"""


def show(*arguments, encoding="utf-8"):
    """Run `advisor samples show`."""
    command = [sys.executable, "-m", "advisor", "samples", "show", *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "100"}
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, timeout=60, env=environment
    )  # fmt: skip


def small_store(directory):
    """One accelerator with a peak, and one that is lost half of the time."""
    memory = {"memory_total_bytes": 40 * GIB, "memory_used_bytes": 36 * GIB}
    rows = [
        row(number, busy_ratio=0.9 if number == 4 else 0.1, energy_joules=360_000.0 * number, **memory)
        for number in range(1, 11)
    ]
    store(directory, rows)
    store(directory, [*(row(number, 1, uncorrected_ecc_errors=0) for number in range(1, 6)), gap(5, 10, 1)])


def test_the_table_shows_peak_against_average(tmp_path):
    """One row per accelerator; unknown is a dash; missed readings and the meaning of the numbers are said below."""
    small_store(tmp_path)
    result = show(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == TABLE


def test_the_json_has_one_object_for_each_metric(tmp_path):
    """Other programs find host, accelerator, metric, quantiles and coverage under the documented names."""
    small_store(tmp_path)
    entries = json.loads(show(tmp_path, "--format", "json").stdout)
    by_metric = {(entry["accelerator_index"], entry["metric"]): entry for entry in entries}
    assert set(by_metric) == {
        (0, "memory_total_bytes"), (0, "memory_used_bytes"), (0, "busy_ratio"), (1, None),
    }  # fmt: skip
    assert by_metric[0, "busy_ratio"] == pytest.approx({
        "host": "host-a", "accelerator_index": 0, "mig_index": None, "accelerator_uuid": "GPU-host-a-0",
        "accelerator": "NVIDIA H100", "metric": "busy_ratio", "p50": 0.1, "p95": 0.54, "max": 0.9,
        "mean": 0.18, "peak_to_mean": 5.0, "coverage_ratio": 1.0, "samples": 10, "missed_ticks": 0,
        "energy_joules": 3_240_000.0, "verdict": "within_limits", "need_gib": None, "need_low_gib": None,
        "need_high_gib": 36.0,
    })  # fmt: skip
    assert by_metric[1, None]["coverage_ratio"] == 0.5
    assert by_metric[1, None]["max"] is None
    assert by_metric[1, None]["missed_ticks"] == 75


def test_skipped_files_are_named_on_stderr(tmp_path):
    """A damaged file does not spoil the result, and is not passed over in silence."""
    small_store(tmp_path)
    broken = tmp_path / f"date={DAY:%Y-%m-%d}" / "host=host-a" / "rows-broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    result = show(tmp_path, "--format", "json")
    assert result.returncode == 0
    assert json.loads(result.stdout)
    assert f"skipped {broken}: cut short or damaged" in result.stderr


@pytest.mark.parametrize("command", ["show", "summary", "need"])
def test_a_directory_of_nothing_but_damaged_files_is_said_to_be_one(run_advisor, tmp_path, command):
    """Where no file can be read the error names the first and what is wrong with it, not that samples are missing."""
    broken = tmp_path / f"date={DAY:%Y-%m-%d}" / "host=host-a" / "rows-broken.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"PAR1 and no more")

    done = run_advisor("samples", command, tmp_path)

    assert done.returncode == 1
    assert f"{tmp_path}: none of 1 files can be read; {broken}: cut short or damaged" in done.stderr
    assert "no samples here" not in done.stderr


def test_a_result_can_go_to_a_file(tmp_path):
    """With -o the Markdown table is written to the file and stdout stays empty."""
    small_store(tmp_path / "samples")
    result = show(tmp_path / "samples", "--format", "markdown", "-o", tmp_path / "table.md")
    assert result.stdout == ""
    assert (tmp_path / "table.md").read_text().startswith("| host | # | accelerator | coverage |")


def test_an_empty_directory_is_answered_with_what_to_do(tmp_path):
    """Nothing to show ends with exit 1, the place and the command that collects samples; no traceback."""
    result = show(tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        f"error: {tmp_path}: no samples here\n"
        "  hint: collect some on an inference host: `advisor agent run --output DIR`\n"
    )


def test_a_directory_of_engines_alone_is_shown(tmp_path):
    """Where only engines were watched their metrics are shown, with a note that nothing is known of accelerators."""
    spool(tmp_path, [ENGINE_ROW])
    result = show(tmp_path)
    assert (result.returncode, result.stderr) == (0, "note: serving engines were watched here, and no accelerators\n")
    assert "requests_running" in result.stdout
    assert json.loads(show(tmp_path, "--format", "json").stdout) == []


@pytest.mark.parametrize(("suffix", "begin"), [(".html", b"<!doctype html>"), (".svg", b"<svg"), (".png", b"\x89PNG")])
def test_a_chart_is_drawn_by_the_suffix_of_its_file(tmp_path, suffix, begin):
    """With -o FILE.html, .svg or .png the chart goes there, and stdout stays empty."""
    if suffix == ".png":
        pytest.importorskip("matplotlib", reason="a PNG needs matplotlib: pip install '.[charts]'")
    small_store(tmp_path / "samples")
    result = show(tmp_path / "samples", "-o", tmp_path / f"chart{suffix}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert (tmp_path / f"chart{suffix}").read_bytes().startswith(begin)
    assert f"wrote {tmp_path / f'chart{suffix}'}" in result.stderr


def test_without_unicode_the_chart_is_ascii(tmp_path):
    """Where the output knows only ASCII, so does the chart, and nothing fails on it."""
    small_store(tmp_path)
    lines = show(tmp_path, encoding="ascii").stdout.splitlines()
    assert "host-a #0  peak ...*......  90%" in lines
    assert "_ 0%  # 100%  blank: not observed" in lines


def test_an_address_is_answered_with_the_commands_that_take_one():
    """Rows are needed to draw: a URL ends with exit 1 and the commands for it."""
    result = show("http://localhost:9090")
    assert result.returncode == 1
    assert "`advisor samples summary`" in result.stderr


def test_without_matplotlib_a_png_is_refused_with_what_to_do(tmp_path):
    """The extra that is missing is named, and the kinds of chart that need none; no traceback, no file."""
    small_store(tmp_path / "samples")
    chart = tmp_path / "chart.png"
    program = (
        "import sys; sys.modules['matplotlib'] = None; from advisor.cli import main; "
        f"sys.argv = ['advisor', 'samples', 'show', {str(tmp_path / 'samples')!r}, '-o', {str(chart)!r}]; main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert result.stderr == (
        "error: a PNG needs matplotlib, which is not installed\n"
        "  hint: pip install 'inference-advisor[charts]', or give a file that ends in .svg or .html\n"
    )
    assert not chart.exists()


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_shows_peaks_in_bold_unless_told_not_to(tmp_path, no_color):
    """On a terminal peaks are bold; with NO_COLOR set not one escape sequence is written."""
    small_store(tmp_path)
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1" if no_color else ""}
    command = [sys.executable, "-m", "advisor", "samples", "show", str(tmp_path)]
    subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, check=True, timeout=60, env=environment)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert ("\x1b[" in shown) is not no_color
    assert "host-a #0  peak" in shown
