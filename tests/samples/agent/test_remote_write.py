"""Remote write as a program, against real servers: what went in comes back by query."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import replace

import pytest

from advisor.samples.agent.frames import frame_bytes
from advisor.samples.agent.outbox.encoding import samples_of
from advisor.samples.agent.spool import SpoolWriter
from samples.agent.recorded import GPU, MIG, ROW_US, engine_row, gap, gpu_row
from services import prometheus, victoria_metrics
from services.prometheus import running_prometheus
from services.scripted import answer, scripted
from services.server import free_port
from services.victoria_metrics import running_victoria_metrics

HOST = "node-1"
SERVERS = ["prometheus", "prometheus with room for late samples", "victoria-metrics"]


def start_server(kind, folder):
    """A real server of a kind."""
    module = victoria_metrics if kind == "victoria-metrics" else prometheus
    if module.PROGRAM is None:
        pytest.skip(module.ABSENT)
    folder.mkdir()
    if module is victoria_metrics:
        return running_victoria_metrics(folder)
    return running_prometheus(folder, out_of_order="24h" if kind != "prometheus" else None)


@pytest.fixture
def remote_write():
    """Starts the program; whatever was started is ended."""
    started = []

    def start(url, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "advisor.samples.agent.remote_write", "--url", url, *map(str, arguments)],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stderr.close()


def feed(process, *records):
    """Frames as the agent sends them."""
    process.stdin.write(b"".join(map(frame_bytes, records)))
    process.stdin.flush()


def finish(process):
    """The agent ends; what the program said."""
    process.stdin.close()
    assert process.wait(30) == 0
    return process.stderr.read().decode()


def now_us():
    """The end of the fifteen seconds that were last over."""
    return time.time_ns() // 1000 // ROW_US * ROW_US


def stored(url, span="6h"):
    """Every sample of ours on a server."""
    query = urllib.parse.urlencode({"query": f'{{__name__=~"advisor_.*"}}[{span}]', "time": time.time() + 60})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=20) as reply:
        result = json.load(reply)["data"]["result"]
    return {
        (tuple(sorted(series["metric"].items())), round(float(at) * 1000)): float(value)
        for series in result
        for at, value in series["values"]
    }


def expected(rows):
    """What a server has that got these rows."""
    return {((("__name__", s.name), *s.labels), s.time_ms): s.value for s in samples_of(rows)}


def wait_for_samples(url, rows):
    """Wait until a server has rows, and nothing but them."""
    wanted, end = expected(rows), time.monotonic() + 30
    while (found := stored(url)).keys() != wanted.keys():
        with contextlib.suppress(urllib.error.HTTPError):  # Prometheus has no such page
            victoria_metrics.flush(url)
        assert time.monotonic() < end, f"{len(found)} of {len(wanted)} samples"
        time.sleep(0.2)
    assert found == pytest.approx(wanted, rel=1e-9)


def rows_until(end_us, count, targets=(GPU, MIG)):
    """Rows of some targets up to a time, with values that differ."""
    return [
        gpu_row(end_us - back * ROW_US, busy=(back % 7) / 7 + 0.001, target=target)
        for back in range(count - 1, -1, -1)
        for target in targets
    ]


@pytest.mark.parametrize("kind", SERVERS)
def test_every_sample_comes_back(remote_write, tmp_path, kind):
    """Live rows of accelerators and engines are on a real server, each value as it was."""
    end_us = now_us()
    rows = [*rows_until(end_us, 8), engine_row(end_us)]
    with start_server(kind, tmp_path / "server") as url:
        process = remote_write(url)
        for at in sorted({row.end_us for row in rows}):
            feed(process, *(row for row in rows if row.end_us == at))
            time.sleep(0.05)
        wait_for_samples(url, rows)
        assert finish(process) == ""


@pytest.mark.parametrize("kind", SERVERS)
def test_an_outage_of_the_server(remote_write, tmp_path, kind):
    """Rows of a time in which the server was away are there afterwards, in whatever order the server wants them."""
    end_us = now_us()
    rows = rows_until(end_us, 40)
    port = free_port()
    process = remote_write(f"http://127.0.0.1:{port}", "--directory", tmp_path / "samples", "--host", HOST)
    feed(process, *rows[:-2])
    line = process.stderr.readline().decode()
    assert "takes nothing now (connection refused)" in line
    with start_server(kind, tmp_path / "server") as url, scripted(forwarding_to(url), port=port):
        feed(process, *rows[-2:])
        wait_for_samples(url, rows)
        assert "takes samples again" in finish(process)


def forwarding_to(url):
    """A script that passes a request on to a server."""

    def script(connection, request):
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        headers = {name: value for name, value in lines if name not in ("Host", "Content-Length")}
        passed_on = urllib.request.Request(f"{url}/api/v1/write", body, headers)
        try:
            with urllib.request.urlopen(passed_on, timeout=20) as reply:
                connection.sendall(answer(reply.read(), f"{reply.status} OK"))
        except urllib.error.HTTPError as error:
            connection.sendall(answer(error.read(), f"{error.code} Refused"))
        return True

    return script


@pytest.mark.parametrize("kind", SERVERS)
def test_samples_that_are_too_old(remote_write, tmp_path, kind):
    """Rows of hours ago reach servers that take them; elsewhere they are parked and said, and the rest arrives."""
    directory, end_us = tmp_path / "samples", now_us()
    old = rows_until(end_us - 3 * 3600 * 1_000_000, 2)
    fresh = rows_until(end_us, 3)
    with start_server(kind, tmp_path / "server") as url:
        first = remote_write(url, "--directory", directory, "--host", HOST)
        feed(first, *fresh[:2])
        wait_for_samples(url, fresh[:2])
        feed(first, *(replace(row, target=replace(row.target, uuid="late")) for row in old))
        feed(first, *fresh[2:])
        late = [replace(row, target=replace(row.target, uuid="late")) for row in old]
        wait_for_samples(url, fresh if kind == "prometheus" else fresh + late)
        words = finish(first)
    if kind == "prometheus":
        assert f"{len(expected(late))} samples are parked" in words
    else:
        assert words == ""


def test_a_time_without_the_program(remote_write, tmp_path):
    """What the agent wrote while the program did not run is sent from the spool when it starts again, and only that."""
    directory, end_us = tmp_path / "samples", now_us()
    rows = rows_until(end_us, 12)
    with start_server("prometheus", tmp_path / "server") as url:
        first = remote_write(url, "--directory", directory, "--host", HOST)
        feed(first, *rows[:8])
        wait_for_samples(url, rows[:8])
        finish(first)
        writer = SpoolWriter(directory, HOST)
        writer.append(rows[:20])
        writer.close()
        second = remote_write(url, "--directory", directory, "--host", HOST)
        feed(second, *rows[18:])
        wait_for_samples(url, rows)
        assert finish(second) == (
            "remote write: 12 rows and gaps of the time in which this program did not run are sent from the spool\n"
        )


@pytest.mark.parametrize("kind", SERVERS)
def test_a_target_that_ends_is_gone_at_once(remote_write, tmp_path, kind):
    """After a gap a server does not go on showing the last value of a target, and has its history."""
    end_us = now_us()
    rows = rows_until(end_us - ROW_US, 2, (GPU,))
    with start_server(kind, tmp_path / "server") as url:
        process = remote_write(url)
        feed(process, *rows)
        wait_for_samples(url, rows)
        feed(process, gap(GPU, end_us))
        end = time.monotonic() + 20
        while shown(url, end_us):
            assert time.monotonic() < end
            time.sleep(0.2)
        assert expected(rows).keys() <= stored(url).keys()
        assert finish(process) == ""


def shown(url, at_us):
    """What a server shows of us at a time."""
    with contextlib.suppress(urllib.error.HTTPError):  # Prometheus has no such page
        victoria_metrics.flush(url)
    query = urllib.parse.urlencode({"query": "advisor_accelerator_busy_ratio", "time": at_us / 1e6 + 1})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=20) as reply:
        return json.load(reply)["data"]["result"]


def test_a_first_start_sends_nothing_from_before(remote_write, tmp_path):
    """The first run of the program begins with the rows of its own time."""
    directory, end_us = tmp_path / "samples", now_us()
    rows = rows_until(end_us, 4)
    writer = SpoolWriter(directory, HOST)
    writer.append(rows[:-2])
    writer.close()
    with start_server("prometheus", tmp_path / "server") as url:
        process = remote_write(url, "--directory", directory, "--host", HOST)
        feed(process, *rows[-2:])
        wait_for_samples(url, rows[-2:])
        finish(process)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ftp://server",), "no http or https URL"),
        (("https://server", "--bearer-file", "no-such-file"), "cannot read the credentials"),
        (("https://server", "--ca", "no-such-file"), "cannot use this authority"),
        (("https://server", "--directory", "samples"), "give --host"),
    ],
)
def test_what_it_refuses_to_start_with(remote_write, arguments, said):
    """A mistaken start ends with exit 1 and what to mend, and no traceback."""
    process = remote_write(*arguments)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said in words.decode()
    assert "Traceback" not in words.decode()
