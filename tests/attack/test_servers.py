"""Servers that lie, on loopback: each client ends in words, soon, in bounded memory, and gives its credentials to nobody else."""

import contextlib
import gzip
import json
import re
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from dataclasses import replace
from functools import cache

import pytest
import urllib3

from advisor import http_pools
from advisor.catalog.refresh import aws_public
from advisor.catalog.refresh.http import Client, brief_client
from advisor.catalog.refresh.values import Unreachable
from advisor.codegen.registries import Registries
from advisor.errors import AdvisorError
from advisor.http_pools import LONGEST_WAIT_SECONDS, BoundedRetry, bounded
from advisor.pull_requests import HOSTS, PullRequest
from advisor.pull_requests import Client as CommentClient
from advisor.samples.bounded_http import Connection, ExchangeError, Limits, parse_address
from advisor.samples.query.prometheus.api import PrometheusApi, PrometheusEndpoint
from services import certificates

SECRET = "canary-4f1c"
LONGEST_SECONDS = 20
MOST_BYTES = 200 * 1024 * 1024


def response(body, headers="", status="200 OK"):
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def endless(connection):
    """A body without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")


def dripping_head(connection):
    """A header that arrives byte by byte."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
    while True:
        connection.sendall(b"a")
        time.sleep(0.05)


def dripping_body(connection):
    """A body that arrives byte by byte."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def endless_head(connection):
    """Headers without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-A: " + b"a" * 60_000 + b"\r\n")


@cache
def packed_twice():
    """Half a gigabyte of nothing in some kilobytes."""
    packer = zlib.compressobj(wbits=31)
    once = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(512)), packer.flush()])
    return gzip.compress(once)


def bomb(connection):
    """A few bytes for each megabyte that they unpack to."""
    packed = packed_twice()
    connection.sendall(response(packed, "Content-Encoding: gzip, gzip\r\n"))


def wrong_types(connection):
    """JSON of another shape."""
    connection.sendall(response(json.dumps({"status": "success", "data": 7, "Items": 7, "token": 7}).encode()))


def deep(connection):
    """JSON of a hundred thousand levels."""
    connection.sendall(response(b"[" * 100_000))


def no_answer(connection):
    """Something else than HTTP."""
    connection.sendall(b"SSH-2.0-x\r\n\r\n")


def cut(connection):
    """Less than what was promised."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


def long_wait(connection):
    """A request to come back in a year."""
    connection.sendall(response(b"{}", "Retry-After: 31536000\r\nConnection: close\r\n", "429 Too Many Requests"))


QUICK_LIES = (endless, endless_head, bomb, wrong_types, deep, no_answer, cut)
LIES = (*QUICK_LIES, dripping_head, dripping_body)


class Listener:
    """A server that plays one lie to everybody who connects, and keeps what it was sent."""

    def __init__(self, lie, tls=None):
        """Listen, with TLS where its context is given."""
        self.lie, self.received, self.tls = lie, [], tls
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with contextlib.suppress(OSError):
            answering = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            with answering:
                self.received.append(answering.recv(65536).decode(errors="replace"))
                self.lie(answering)


@pytest.fixture
def listening():
    """Start a listener for a lie."""
    started = []

    def start(lie, tls=None):
        started.append(Listener(lie, tls))
        return started[-1]

    yield start
    for listener in started:
        listener.socket.close()


def ask_prices(url):
    """A page of a price list."""
    Client(tries=1, backoff_seconds=0.01, timeout_seconds=0.4, token=SECRET).get(f"{url}/prices")


def ask_prometheus(url):
    """An instant query."""
    endpoint = PrometheusEndpoint.of(url, environment={"ADVISOR_PROMETHEUS_TOKEN": SECRET})
    limited = replace(endpoint, timeout_seconds=0.5, max_answer_bytes=8 << 20)
    PrometheusApi(limited).instant("up", 1)


def ask_registry(url):
    """A digest of an image."""
    Registries(tries=1, timeout_seconds=0.5).digest(f"{url.removeprefix('http://')}/a/b:c")


def ask_page(url):
    """A page of an engine's metrics, or of the metadata of a host."""
    address = parse_address(url.replace("//", f"//user:{SECRET}@"), "/metrics")
    with contextlib.closing(Connection(address, Limits())) as connection:
        connection.exchange("GET", {"Authorization": address.authorization})


def ask_host(url):
    """Comments of a pull request."""
    place = PullRequest(api=url, project="a/b", number=1)
    CommentClient(HOSTS["github"], place, SECRET, "GITHUB_TOKEN").get(f"{url}/repos/a/b/issues/1/comments")


CLIENTS = {
    "prices": ask_prices,
    "prometheus": ask_prometheus,
    "registry": ask_registry,
    "page": ask_page,
    "comment": ask_host,
}


CASES = [
    pytest.param(client, lie, id=f"{client} {lie.__name__}")
    for client in CLIENTS
    for lie in (
        QUICK_LIES if client == "comment" else LIES
    )  # comments take the time of "page", but thirty seconds of it
]


def said_by(ask, url):
    """Words of the error that a client ends in."""
    try:
        ask(url)
    except (AdvisorError, ExchangeError, Unreachable) as error:
        return str(error).strip()
    return "an answer"


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("client", "lie"), CASES)
def test_every_lie_ends_in_words(listening, client, lie):
    """Within seconds, below 200 MB, without the token; an answer of another shape may be one that is checked later."""
    server = listening(lie)
    packed_twice()
    start = time.monotonic()
    tracemalloc.start()
    words = said_by(CLIENTS[client], server.url)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert words
    assert SECRET not in words
    assert time.monotonic() - start < LONGEST_SECONDS
    assert most < MOST_BYTES


@pytest.mark.parametrize("client", CLIENTS)
def test_credentials_stay_with_who_they_are_for(listening, client):
    """A redirect to another host carries none of them there."""
    other = listening(wrong_types)
    server = listening(lambda connection: connection.sendall(
        response(b"", f"Location: {other.url}/there\r\nConnection: close\r\n", "302 Found")))  # fmt: skip

    with contextlib.suppress(AdvisorError, ExchangeError, Unreachable):
        CLIENTS[client](server.url)

    assert server.received
    assert not any(SECRET in sent or "Basic" in sent for sent in other.received)


def test_no_server_makes_anybody_wait_for_a_year(listening):
    """Two minutes are the most that a client waits because it was asked to."""
    answer = urllib3.PoolManager().request("GET", listening(long_wait).url, retries=False)

    assert BoundedRetry(3).get_retry_after(answer) == LONGEST_WAIT_SECONDS == 120


def test_a_price_file_of_one_line_is_given_up(listening):
    """Public price files have hundreds of megabytes, but no line of a megabyte."""
    with pytest.raises(Unreachable, match="a line has no end"):
        list(aws_public._rows_at(f"{listening(endless).url}/index.csv", "us-east-1", frozenset()))


def dripping_chunk(connection):
    """A length of a chunk that arrives byte by byte."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"0")
        time.sleep(0.05)


def test_a_body_that_drips_is_given_up_where_it_is(listening, capsys, monkeypatch):
    """Each byte is in time, the whole never: cut at the time that an answer has to begin, with place and remedy."""
    monkeypatch.setattr(http_pools, "_LONG_SECONDS", 0.2)
    server = listening(dripping_body)
    with pytest.raises(Unreachable, match=r"^127\.0\.0\.1:\d+: only \d+ bytes of the answer in 0 s") as raised:
        ask_prices(server.url)
    assert raised.value.remedy == "check the network and run the command again"
    assert re.fullmatch(
        r"127\.0\.0\.1:\d+ answers slowly \(\d+ bytes in 0 s\), still reading\n", capsys.readouterr().err
    )


def test_a_chunk_without_end_is_cut(listening):
    """What never becomes a byte of the body has its deadline too."""
    server, start = listening(dripping_chunk), time.monotonic()
    with pytest.raises(Unreachable, match="no whole answer within 4 s"):
        ask_prices(server.url)
    assert time.monotonic() - start < 6


def test_a_public_price_file_that_drips_is_read_once(listening, monkeypatch):
    """It is not begun again, as one is that broke off."""
    monkeypatch.setattr(aws_public, "_LONGEST_SECONDS", 0.3)
    server = listening(dripping_body)
    with pytest.raises(Unreachable, match=r"no end of the answer within 0\.3 s"):
        aws_public._read("us-east-1", frozenset(), server.url)
    assert len(server.received) == 1


@pytest.mark.skipif(certificates.PROGRAM is None, reason=certificates.ABSENT)
def test_deadlines_hold_with_tls_too(listening, tmp_path):
    """A whole answer arrives, a head that drips is cut."""
    authority = certificates.Authority(tmp_path, "authority")
    pair = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    for lie, words in ((wrong_types, "200"), (dripping_head, "Read timed out|no whole answer")):
        server = listening(lie, context)
        pool = bounded(urllib3.PoolManager(ca_certs=str(authority.own.certificate), retries=False, timeout=5), 0.5)
        try:
            said = str(pool.request("GET", server.url.replace("http:", "https:")).status)
        except urllib3.exceptions.HTTPError as error:
            said = str(error)
        assert re.search(words, said)


def broken(connection):
    """An error of the server."""
    connection.sendall(response(b"boom", "Connection: close\r\n", "500 Internal Server Error"))


@pytest.mark.parametrize(
    ("lie", "tells", "most_tries"), [(broken, "answers 500, asking again in", 5), (long_wait, "", 1)]
)
def test_a_person_waits_seconds_for_a_server_that_does_not_recover(
    listening, monkeypatch, capsys, lie, tells, most_tries
):
    """Each wait is told, all together are 15 s, and a server that asks for more is left alone."""
    waits, server = [], listening(lie)
    monkeypatch.setattr("advisor.http_pools.time.sleep", waits.append)

    with pytest.raises(Unreachable, match="answered"):
        brief_client().download(f"{server.url}/version", 100)

    assert sum(waits) <= 15
    assert 1 <= len(server.received) <= most_tries
    assert tells in capsys.readouterr().err
