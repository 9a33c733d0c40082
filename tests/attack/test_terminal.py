"""Hostile text reaches a terminal as text."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ESCAPES = "\\e]0;owned\\a\\e[2J\\r\\u202e"
"""Sets the title, clears the screen, goes back to the start of the line and turns the text around."""


def on_a_terminal(*arguments, cwd) -> str:
    """What a terminal gets from the program, on stdout and stderr together."""
    main, side = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-m", "advisor", *arguments], cwd=cwd, env=environment, stdin=side, stdout=side, stderr=side
    ) as process:
        os.close(side)
        seen = bytearray()
        try:
            while piece := os.read(main, 65536):
                seen += piece
        except OSError:
            """The terminal is closed when the program ends."""
        process.wait(60)
    os.close(main)
    return seen.decode()


REST = """slo: {ttft_p95: 2s}
regions: [us-east-1]
providers: [aws]
demand: {declared: {requests_per_second: 1, input_tokens: 500, output_tokens: 100}}
"""


@pytest.mark.parametrize(
    "names", [f'name: "w{ESCAPES}"\nmodel: meta-llama/Llama-3.1-8B-Instruct\n', f'name: w\nmodel: "m{ESCAPES}"\n']
)
def test_names_of_others_do_not_steer_the_terminal(tmp_path, names):
    """A workload's name in a report and a model's in an error are shown with the control characters made visible."""
    (tmp_path / "w.yaml").write_text(names + REST)

    seen = on_a_terminal("recommend", "w.yaml", cwd=tmp_path)

    assert "owned" in seen
    assert not any(mark in seen for mark in ("\x1b]0;", "\x1b[2J", "\u202e", "\r?"))
    assert seen.count("\r") == seen.count("\r\n") + seen.count("\r\x1b[K") + seen.count("\r[")
