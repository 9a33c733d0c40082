"""The page of a running agent, and the collectors that docs/agent-operation.md configures to send it on."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from samples.sources.engines.exhibits import vllm_page
from services import prometheus
from services.prometheus import running_prometheus
from services.scripted import always, answer, scripted
from services.server import free_port, serving

DOCUMENT = Path(__file__).parents[3] / "docs/agent-operation.md"
HEAVY = {"numpy", "pandas", "pyarrow", "duckdb", "click", "jinja2", "http.client", "email", "asyncio", "logging", "ssl"}
TOKENS = "advisor_engine_generated_tokens_total"


@pytest.mark.parametrize("module", ["advisor.samples.sources.engines", "advisor.samples.agent.page_server"])
def test_nothing_heavy_is_loaded(module):
    """What runs for weeks on an inference host loads the standard library alone, and not its heavy parts."""
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(loaded) == set()


def text_at(url):
    """What is served there; nothing while nothing is."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as reply:
        return reply.read().decode()
    return ""


def wait_for(ask, seconds=60):
    """Ask until there is something."""
    end = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Port of the page of an agent that reads an engine."""
    port, samples = free_port(), tmp_path_factory.mktemp("samples")
    with scripted(always(answer(vllm_page("llama")))) as engine:
        agent = subprocess.Popen(
            [sys.executable, "-m", "advisor", "agent", "run", "--output", samples, "--host", "node-1", "--label", "team=search",
             "--source", "engines", "--engine", engine.url, f"--page=127.0.0.1:{port}", "--quiet"],
        )  # fmt: skip
        try:
            wait_for(lambda: TOKENS in text_at(f"http://127.0.0.1:{port}/metrics"))
            yield port
        finally:
            agent.terminate()
            agent.wait(30)


@pytest.mark.slow
def test_rows_and_signals_are_on_the_page(page):
    """What an engine shows is on the page a row later, beside what the agent says of itself."""
    text = text_at(f"http://127.0.0.1:{page}/metrics")
    assert 'model="llama",rank="0",team="search"} 65432.0' in text
    assert 'advisor_agent_build_info{host="node-1",team="search",version="' in text
    assert text.endswith("# EOF\n")


def stored(url):
    """Values of the tokens on a server, by their labels."""
    query = urllib.parse.urlencode({"query": TOKENS})
    result = json.loads(text_at(f"{url}/api/v1/query?{query}") or '{"data": {"result": []}}')["data"]["result"]
    return [(series["metric"], float(series["value"][1])) for series in result]


def documented(program, page, server, folder):
    """A collector's command of the documentation, beside its file, with this test's places in both."""
    places = {
        "127.0.0.1:9464": f"127.0.0.1:{page}", "15s": "1s", "https://prometheus.example": server,
        "/etc/advisor/token": str(folder / "token"), "/var/lib": str(folder), f"{program}.yaml": str(folder / "file"),
    }  # fmt: skip

    def placed(text):
        for place, instead in places.items():
            text = text.replace(place, instead)
        return text

    document = DOCUMENT.read_text()
    line, file = re.search(
        rf"^({program.partition('-')[0]} .*?)$.*?^`{program}.yaml`:$.*?^```yaml\n(.*?)^```",
        document,
        re.DOTALL | re.MULTILINE,
    ).groups()
    (folder / "token").write_text("a token")
    (folder / "file").write_text(placed(file))
    words = shlex.split(placed(line))
    return lambda port: [
        shutil.which(words[0]),
        *(re.sub(r"127\.0\.0\.1:(9095|8429)$", f"127.0.0.1:{port}", word) for word in words[1:]),
    ]


@pytest.mark.slow
@pytest.mark.skipif(prometheus.PROGRAM is None, reason=prometheus.ABSENT)
@pytest.mark.parametrize(("collector", "ready"), [("prometheus-agent", "/-/ready"), ("vmagent", "/health")])
def test_a_collector_sends_the_page_on(collector, ready, page, tmp_path):
    """What stands in the documentation is enough for a collector to bring the page to a server, labels and all."""
    if shutil.which(collector.removesuffix("-agent")) is None:
        pytest.skip(f"no {collector} on this machine (apt-get install victoria-metrics)")
    (tmp_path / "server").mkdir()
    with (
        running_prometheus(tmp_path / "server") as server,
        serving(documented(collector, page, server, tmp_path), ready, tmp_path / "collector.log"),
    ):
        ((labels, value), *others) = wait_for(lambda: stored(server))
    assert not others
    assert value == 65432.0
    assert labels.items() >= {"host": "node-1", "team": "search", "model": "llama", "job": "advisor-agent"}.items()
