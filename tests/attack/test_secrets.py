"""Canaries through every URL, header, variable and file of every command that asks somebody: nothing shows or keeps one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attack.readers import READERS
from attack.test_servers import Listener, response, wrong_types
from audit.bills import Charge, hours, write_bill

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary7f3e9"
TOKEN_VARIABLES = (
    "GITHUB_TOKEN", "GITLAB_TOKEN", "SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_EXT_PAT", "BITBUCKET_TOKEN", "ADVISOR_PROMETHEUS_TOKEN",
    "ADVISOR_PROMETHEUS_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
    "AZURE_STORAGE_KEY", "ADVISOR_REMOTE_WRITE_TOKEN",
)  # fmt: skip


def refusing(connection):
    """A refusal."""
    connection.sendall(response(b'{"message": "no"}', "Connection: close\r\n", "403 Forbidden"))


COMMANDS = {
    "comment": ("comment", "text.md", "--host", "github", "--api", "{url}", "--project", "a/b", "--pull-request", "1"),
    "comment with a password": ("comment", "text.md", "--host", "github", "--api", "{with_password}", "--project", "a/b", "--pull-request", "1"),
    "comment gitlab": ("comment", "text.md", "--host", "gitlab", "--api", "{url}", "--project", "a/b", "--pull-request", "1"),
    "recommend": ("recommend", "workload.yaml", "--prometheus", "{with_password}", "--token-file", "token"),
    "recommend with a token": ("recommend", "workload.yaml", "--prometheus", "{url}"),
    "audit": ("audit", "bill", "--prometheus", "{with_password}"),
    "samples summary": ("samples", "summary", "{with_password}"),
    "samples need": ("samples", "need", "{with_password}", "-o", "out.txt"),
    "refresh gcp": ("catalog", "refresh", "gcp", "--endpoint-url", "{url}", "--gcp-api-key-file", "token", "--region", "us-central1"),
    "refresh azure": ("catalog", "refresh", "azure", "--endpoint-url", "{url}", "--region", "eastus"),
    "refresh with a password": ("catalog", "refresh", "azure", "--endpoint-url", "{with_password}", "--region", "eastus"),
    "refresh aws": ("catalog", "refresh", "aws", "--endpoint-url", "{url}", "--region", "us-east-1"),
    "update": ("catalog", "update", "{with_password}/catalog.zip"),
    "import": ("catalog", "import-skypilot", "{with_password}/vms.csv"),
    "agent": ("agent", "run", "--output", "samples", "--duration", "1s", "--interval", "1s", "--source", "engine", "--engine", "{with_password}"),
    "agent upload": ("agent", "run", "--output", "samples", "--duration", "1s", "--interval", "1s", "--upload", "{with_password}"),
    "generate": ("generate", "terraform", "plan.json", "--out", "infra", "--image", "{with_password}/a:b"),
}  # fmt: skip


@pytest.fixture(scope="module")
def servers():
    """A server that answers something, and one that refuses."""
    started = [Listener(wrong_types), Listener(refusing)]
    yield started
    for server in started:
        server.socket.close()


def canaried(folder):
    """Variables of which every one that could be a secret holds the canary; nothing is read from elsewhere."""
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), "TMPDIR": str(folder / "tmp"),
        "XDG_CACHE_HOME": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config"), "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_EC2_METADATA_DISABLED": "true", "ADVISOR_PROMETHEUS_USER": "me",
        **dict.fromkeys(TOKEN_VARIABLES, CANARY),
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_no_secret_is_shown_or_kept(tmp_path, servers, command):
    """Not on the terminal, in no file that the command writes, in no bug report; whatever the server answers."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "bill").mkdir()
    write_bill(tmp_path / "bill", "focus", hours(Charge(), 1))
    given = {
        "token": CANARY, "text.md": "hello\n", "plan.json": READERS["plan"].sound(),
        "workload.yaml": "name: w\nmodel: meta-llama/Llama-3.1-8B-Instruct\nslo: {ttft_p95: 2s}\nregions: [us-east-1]\n",
    }  # fmt: skip
    for name, text in given.items():
        (tmp_path / name).write_text(text)
    for server in servers:
        places = {"url": server.url, "with_password": server.url.replace("//", f"//me:{CANARY}@")}
        arguments = [part.format(**places) for part in COMMANDS[command]]
        done = subprocess.run(
            [sys.executable, "-m", "advisor", *arguments], cwd=tmp_path, env=canaried(tmp_path), capture_output=True, text=True,
            timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode in (0, 1, 2), done.stderr
        assert CANARY not in done.stdout + done.stderr
    kept = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name not in given and CANARY.encode() in path.read_bytes()
    ]
    assert kept == []
