"""A real server on a port of its own, asked as a browser or anything else would."""

import http.client
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from report.pages import read_page

ROOT = Path(__file__).parents[2]
SMALL = """\
# Small enough for a plan in a second.
name: small
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [bf16]
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand:
  declared: {requests_per_second: 1, input_tokens: 800, output_tokens: 200}
providers: [aws]
regions: [us-east-1]
accelerators: [L4]
as_of: 2026-11-24
"""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self):
        """The body as text."""
        return self.body.decode()

    @property
    def page(self):
        """The body as a page."""
        return read_page(self.text)


@dataclass(frozen=True)
class Served:
    """A server, and what it printed."""

    process: subprocess.Popen
    lines: list[str]

    @property
    def port(self):
        """Where it listens."""
        return int(re.search(r":(\d+)/", self.lines[-1])[1])

    @property
    def path(self):
        """Path of the page that it begins with."""
        return re.search(r":\d+(/\S*);", self.lines[-1])[1]

    def ask(self, path, fields=None, **headers):
        """GET, or POST of a form."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = fields if isinstance(fields, bytes | None) else urlencode(fields, doseq=True)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection.request("GET" if body is None else "POST", path, body, sent)
        answer = connection.getresponse()
        read = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return read

    def paste(self, text):
        """Path of the page of a pasted workload."""
        answer = self.ask("/", {"secret": secret(self.ask("/")), "workload": text})
        assert answer.status == 303, answer.text
        return answer.headers["Location"]

    def change(self, path, **values):
        """Answer to a change; names have __ for a dot."""
        fields = {name.replace("__", "."): value for name, value in values.items()}
        return self.ask(path, {"secret": secret(self.ask(path))} | fields)


def secret(answer):
    """Secret of a page's form."""
    return re.search(r'name="secret" value="([\w-]+)"', answer.text)[1]


@contextmanager
def serving(*arguments, lines=1):
    """A server that is interrupted in the end, and then ends as one should."""
    process = subprocess.Popen(
        [sys.executable, "-m", "advisor", "serve", "--port", "0", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Served(process, [process.stdout.readline() for _ in range(lines)])
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)
    output, told = rest
    assert (process.returncode, output) == (0, "")
    assert re.fullmatch(r"planning for \S+ …\nstopped\n", told), told
