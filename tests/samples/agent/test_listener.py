"""The listener as a program: frames in, a page out."""

import hashlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from advisor.errors import InputError
from advisor.samples.agent.access import Access, Certificates, read_digests
from advisor.samples.agent.frames import frame_bytes
from advisor.samples.agent.listener import check_exposure, parse_bind
from samples.agent.recorded import engine_row, gpu_row
from services import prometheus
from services.prometheus import running_prometheus
from services.test_services import ask

ROW_US = 15_000_000


@pytest.fixture
def listener():
    """Starts the program; whatever was started is ended."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "advisor.samples.agent.listener", *map(str, arguments)],
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


def url_of(process):
    """Where it says it listens."""
    line = process.stderr.readline().decode()
    assert line.startswith("listening on "), line
    return line.removeprefix("listening on ").strip()


def now_us():
    """The end of the fifteen seconds that were last over."""
    return time.time_ns() // 1000 // ROW_US * ROW_US


def fetch(url, token=None):
    """The page."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def wait_for(url, text, seconds=20):
    """Fetch the page until it has a text."""
    end = time.monotonic() + seconds
    while text not in (page := fetch(url)):
        assert time.monotonic() < end, page
        time.sleep(0.1)
    return page


def test_rows_that_come_in_are_on_the_page(listener):
    """Frames on the standard input are on the page a moment later, and the program ends with its input."""
    process = listener("--bind", "127.0.0.1:0")
    url = url_of(process)
    assert fetch(url) == "# EOF\n"
    process.stdin.write(b"garbage" + frame_bytes(gpu_row(now_us())) + frame_bytes(engine_row(now_us())))
    process.stdin.flush()
    page = wait_for(url, "advisor_engine_ttft_seconds_bucket")
    assert 'advisor_accelerator_busy_ratio{accelerator="0"' in page
    process.stdin.close()
    assert process.wait(10) == 0


def test_a_token_is_asked(listener, tmp_path):
    """With a file of digests only who has a token sees the page."""
    digests = tmp_path / "digests"
    digests.write_text(f"{hashlib.sha256(b's3cret').hexdigest()}  prometheus\n\n")
    url = url_of(listener("--bind", "[::1]:0", "--bearer-sha256-file", digests))
    assert fetch(url, "s3cret") == "# EOF\n"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        fetch(url, "other")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--bind", "0.0.0.0:0"), "anyone there could read the metrics"),
        (("--bind", "somewhere:9464"), "no address to listen on"),
        (("--tls-cert", "cert.pem"), "a certificate needs its key"),
        (("--client-ca", "ca.pem"), "only be asked over TLS"),
        (("--bearer-sha256-file", "no-such-file"), "cannot read the digests"),
    ],
)
def test_what_it_refuses_to_start_with(listener, arguments, said):
    """A dangerous or mistaken start ends with exit 1, the reason and a way out, and no traceback."""
    process = listener(*arguments)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words.decode().startswith("error: ")
    assert said in words.decode()
    assert "Traceback" not in words.decode()


CERTIFICATES = Certificates("cert", "key", None)


@pytest.mark.parametrize(
    ("host", "access", "refused"),
    [
        ("127.0.0.1", Access(), None),
        ("::1", Access(), None),
        ("127.0.0.1", Access((b"x",)), None),
        ("0.0.0.0", Access(), "anyone"),
        ("10.0.0.7", Access(), "anyone"),
        ("::", Access(), "anyone"),
        ("10.0.0.7", Access((), CERTIFICATES), "anyone"),
        ("10.0.0.7", Access((b"x",)), "in the clear"),
        ("10.0.0.7", Access((b"x",), CERTIFICATES), None),
        ("10.0.0.7", Access((), Certificates("cert", "key", "ca")), None),
    ],
)
def test_exposure(host, access, refused):
    """Beyond the loopback a client certificate is needed, or a token over TLS."""
    if refused is None:
        check_exposure(host, access)
    else:
        with pytest.raises(InputError, match=refused):
            check_exposure(host, access)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:80", ("::1", 80)), ("localhost:0", ("127.0.0.1", 0))],
)
def test_addresses(text, parsed):
    """IPv4, IPv6 in brackets and localhost are addresses."""
    assert parse_bind(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "host:80", "1.2.3:4"]
)
def test_no_addresses(text):
    """Anything else is an error that shows the form."""
    with pytest.raises(InputError, match="no address to listen on"):
        parse_bind(text)


@pytest.mark.parametrize("content", [b"", b"\n", b"secret-token\n", b"ab" * 31, b"\xff\xfe"])
def test_files_that_hold_no_digests(tmp_path, content):
    """A file without digests, or with a token in place of one, is an error that does not repeat what it holds."""
    path = tmp_path / "digests"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_digests(path)
    assert "secret" not in str(caught.value)
    assert "sha256sum" in caught.value.hint


@pytest.mark.skipif(prometheus.PROGRAM is None, reason=prometheus.ABSENT)
def test_a_real_prometheus_scrapes_it(listener, tmp_path):
    """A real Prometheus reads the page, and answers with the values that went in."""
    process = listener("--bind", "127.0.0.1:0")
    url = url_of(process)
    process.stdin.write(frame_bytes(gpu_row(now_us(), busy=0.625)) + frame_bytes(engine_row(now_us())))
    process.stdin.flush()
    with running_prometheus(tmp_path, scrape=[url.split("/")[2]]) as server:
        end = time.monotonic() + 30
        while not (found := ask(server, "advisor_accelerator_busy_ratio")["data"]["result"]):
            assert time.monotonic() < end
            time.sleep(0.2)
        assert found[0]["metric"]["uuid"] == "GPU-0"
        assert float(found[0]["value"][1]) == 0.625
        (bucket,) = ask(server, "advisor_engine_ttft_seconds_bucket{le='1.0'}")["data"]["result"]
        assert float(bucket["value"][1]) == 5
