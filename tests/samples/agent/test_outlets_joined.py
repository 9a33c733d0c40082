"""The agent with its outlets, from an engine's page to a monitor; and what none of its processes may load."""

import contextlib
import socket
import subprocess
import sys
import time

import pytest

from samples.agent.test_listener import wait_for
from samples.agent.test_remote_write import stored
from samples.sources.engines.exhibits import vllm_page
from services import prometheus
from services.prometheus import running_prometheus
from services.scripted import always, answer, scripted
from services.server import free_port

HEAVY = {"numpy", "pandas", "pyarrow", "duckdb", "click", "jinja2", "http.client", "email", "asyncio", "logging"}


@pytest.mark.parametrize(
    "module",
    ["advisor.samples.sources.engines", "advisor.samples.agent.listener", "advisor.samples.agent.remote_write"],
)
def test_nothing_heavy_is_loaded(module):
    """What runs for weeks on an inference host loads the standard library alone, and not its heavy parts."""
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(loaded) == set()


def wait_until_it_listens(port, seconds=60):
    """Wait for somebody to take a connection."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(prometheus.PROGRAM is None, reason=prometheus.ABSENT)
def test_from_an_engine_to_a_monitor(tmp_path):
    """What an engine shows is, a row later, on the listener's page and on a Prometheus that the agent writes to."""
    port, samples = free_port(), tmp_path / "samples"
    with scripted(always(answer(vllm_page("llama")))) as engine, running_prometheus(tmp_path) as server:
        outlets = (
            f"listener --bind 127.0.0.1:{port}",
            f"remote-write --url {server}",
        )
        agent = subprocess.Popen(
            [sys.executable, "-m", "advisor", "agent", "run", "--output", samples, "--host", "node-1",
             "--label", "team=search", "--source", f"engines={engine.url}", *(f"--outlet={outlet}" for outlet in outlets)],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until_it_listens(port)
            page = wait_for(f"http://127.0.0.1:{port}/metrics", "advisor_engine_generated_tokens_total", seconds=40)
            end = time.monotonic() + 20
            while not (found := stored(server)):
                assert time.monotonic() < end
                time.sleep(0.2)
        finally:
            agent.terminate()
            agent.wait(30)
    assert 'model="llama",rank="0",team="search"} 65432.0' in page
    assert 'advisor_agent_build_info{host="node-1",team="search",version="' in page
    assert 'advisor_agent_remote_write_failing{host="node-1",team="search",url="' in page
    tokens = {
        value for (labels, _), value in found.items() if ("__name__", "advisor_engine_generated_tokens_total") in labels
    }
    assert tokens == {65432.0}
    sent = {dict(labels).get("__name__") for labels, _ in found if ("team", "search") in labels}
    assert {"advisor_engine_generated_tokens_total", "advisor_agent_build_info"} <= sent
