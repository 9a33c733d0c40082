"""The server of one page, with good clients, slow ones and hostile ones."""

import contextlib
import hashlib
import http.client
import socket
import ssl
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.samples.agent.access import Access, Certificates
from advisor.samples.agent.web import Bounds, Server
from services import certificates
from services.certificates import Authority

PAGE = b"# TYPE advisor_agent_up gauge\nadvisor_agent_up 1\n# EOF\n"
TOKEN = "correct horse"
DIGEST = hashlib.sha256(TOKEN.encode()).digest()
OPEN, USUAL = Access(), Bounds()
PATIENT = Bounds(handshake_seconds=60, request_seconds=60, total_seconds=60)
"""Slow clients are not ended by their time, so only making room for others helps."""


@contextlib.contextmanager
def serving(access=OPEN, bounds=USUAL, page=lambda: PAGE):
    """A server in a thread, until the block ends."""
    server = Server(("127.0.0.1", 0), page, access, bounds)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield int(server.url.split(":")[2].split("/")[0])
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def get(port, path="/metrics", method="GET", headers=None, context=None):
    """Status, headers and body of an answer."""
    kind = http.client.HTTPConnection if context is None else http.client.HTTPSConnection
    extra = {} if context is None else {"context": context}
    connection = kind("127.0.0.1", port, timeout=10, **extra)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def raw(port, request, seconds=10.0):
    """What comes back for some bytes, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_the_page():
    """GET /metrics gives the page with the content type of OpenMetrics, and the connection ends."""
    with serving() as port:
        status, headers, body = get(port)
    assert (status, body) == (200, PAGE)
    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert headers["Connection"] == "close"
    assert "Server" not in headers


def test_a_query_is_allowed():
    """Parameters that a monitor adds change nothing."""
    with serving() as port:
        assert get(port, "/metrics?collect=gpu")[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 405),
        (b"DELETE /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET //metrics HTTP/1.1\r\n\r\n", 404),
        (b"GET http://host/metrics HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics\r\n\r\n", 400),
        (b"get /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000, 431),
        (b"x" * 100_000, 431),
    ],
    ids=["POST", "HEAD", "DELETE", "root", "dots", "two slashes", "absolute", "HTTP/0.9", "lower case", "HTTP/2", "header",
         "folded", "body", "chunked", "TLS to plain", "long header", "many headers", "no end"],
)  # fmt: skip
def test_everything_else_is_refused(request_, status):
    """Any other method, path or form gets its status and not a byte of the page."""
    with serving() as port:
        answer = raw(port, request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"advisor_agent_up" not in answer


def test_a_request_in_pieces():
    """A request that arrives in pieces is answered once it is whole."""
    with serving() as port, socket.create_connection(("127.0.0.1", port), 10) as connection:
        for piece in (b"GET /met", b"rics HTTP/1.1\r\n", b"Host: x\r\n\r", b"\n"):
            connection.sendall(piece)
            time.sleep(0.02)
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_slow_request_is_refused_in_time():
    """A client that does not finish its request gets 408 and loses the connection."""
    with serving(bounds=Bounds(request_seconds=0.2)) as port:
        assert raw(port, b"GET /metrics HTTP/1.1\r\n").startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_a_client_that_does_not_read_is_dropped():
    """A large page that nobody takes does not hold its connection for ever."""
    with (
        serving(bounds=Bounds(total_seconds=0.3), page=lambda: b"x" * 30_000_000) as port,
        socket.create_connection(("127.0.0.1", port), 10) as connection,
    ):
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        time.sleep(0.6)
        received = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 20):
                received += len(part)
    assert received < 30_000_000


@pytest.mark.parametrize(
    "bounds", [PATIENT, replace(PATIENT, connections=8, per_address=100)], ids=["per address", "in all"]
)
def test_slow_clients_cannot_starve_a_scrape(bounds):
    """Among 50 idle connections and 20 that drip a byte at a time, every good scrape is answered."""
    with serving(bounds=bounds) as port, contextlib.ExitStack() as stack:

        def connect():
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))

        idle = [connect() for _ in range(50)]
        dripping = [connect() for _ in range(20)]
        for byte in b"GET /metrics HT":
            for connection in dripping:
                with contextlib.suppress(OSError):
                    connection.sendall(bytes([byte]))
            assert get(port)[0] == 200
        assert len(idle) == 50


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {DIGEST.hex()}", 401),
        (None, 401),
    ],
)
def test_a_token(value, status):
    """Only a token whose digest is known is let in; all else learns nothing, not even which paths there are."""
    headers = {} if value is None else {"Authorization": value}
    with serving(Access((hashlib.sha256(b"another").digest(), DIGEST))) as port:
        assert get(port, headers=headers)[0] == status
        assert get(port, "/other", headers=headers)[0] == (404 if status == 200 else 401)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """An authority with a server and a client, and a client of a rogue."""
    if certificates.PROGRAM is None:
        pytest.skip(certificates.ABSENT)
    authority, rogue = (Authority(tmp_path_factory.mktemp(name), name) for name in ("authority", "rogue"))
    return authority, authority.issue("server"), authority.issue("client"), rogue.issue("client")


def client_context(authority, pair=None, newest=None):
    """What a client trusts and shows."""
    context = ssl.create_default_context(cafile=authority.own.certificate)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    if newest is not None:
        context.maximum_version = newest
    return context


def access_of(tls, *, mutual=True, digests=()):
    """A server with certificates."""
    authority, server, *_ = tls
    return Access(digests, Certificates(server.certificate, server.key, authority.own.certificate if mutual else None))


def test_mutual_tls(tls):
    """A client with a certificate of the authority is let in; without one, or with a rogue's, it is not."""
    authority, _, client, rogue = tls
    with serving(access_of(tls)) as port:
        assert get(port, context=client_context(authority, client))[0] == 200
        for pair in (None, rogue):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                get(port, context=client_context(authority, pair))
        with pytest.raises((http.client.HTTPException, OSError)):
            get(port)
        assert get(port, context=client_context(authority, client))[0] == 200


def test_a_token_over_tls(tls):
    """Without client certificates the token decides."""
    authority, *_ = tls
    with serving(access_of(tls, mutual=False, digests=(DIGEST,))) as port:
        context = client_context(authority)
        assert get(port, headers={"Authorization": f"Bearer {TOKEN}"}, context=context)[0] == 200
        assert get(port, context=context)[0] == 401


def test_old_tls_is_refused(tls):
    """TLS 1.1 is not spoken, TLS 1.2 is."""
    authority, _, client, _ = tls
    old = client_context(authority, client)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(access_of(tls)) as port:
        with pytest.raises((ssl.SSLError, OSError)):
            get(port, context=old)
        assert get(port, context=client_context(authority, client, ssl.TLSVersion.TLSv1_2))[0] == 200


def test_handshakes_that_never_end_cannot_starve_a_scrape(tls):
    """50 connections that begin no handshake and 20 that drip one leave room for a good scrape."""
    authority, _, client, _ = tls
    with serving(access_of(tls), PATIENT) as port, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(70)]
        for byte in b"\x16\x03\x01\x02\x00\x01":
            for connection in slow[50:]:
                with contextlib.suppress(OSError):
                    connection.sendall(bytes([byte]))
            assert get(port, context=client_context(authority, client))[0] == 200


def test_a_handshake_has_its_time(tls):
    """A connection that begins no handshake is ended without a word."""
    with serving(access_of(tls), Bounds(handshake_seconds=0.2)) as port:
        assert raw(port, b"") == b""


def test_a_large_page_over_tls(tls):
    """A page of many records arrives whole."""
    authority, _, client, _ = tls
    with serving(access_of(tls), page=lambda: PAGE * 100_000) as port:
        assert get(port, context=client_context(authority, client))[2] == PAGE * 100_000


def test_certificates_that_do_not_belong_together(tls, tmp_path):
    """A key of another certificate, or no certificate at all, is said before anything is served."""
    authority, server, client, _ = tls
    with pytest.raises(InputError, match="cannot use the certificates"):
        Server(("127.0.0.1", 0), lambda: PAGE, Access((), Certificates(server.certificate, client.key, None)))
    with pytest.raises(InputError, match="cannot use the certificates: No such file"):
        Server(("127.0.0.1", 0), lambda: PAGE, Access((), Certificates(tmp_path / "none", server.key, None)))
    assert authority.own.certificate.exists()


def test_a_port_that_is_taken():
    """A port that another program has is an error that says so."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(InputError, match="cannot listen"):
        Server(other.getsockname(), lambda: PAGE, Access())


def test_nothing_is_left_open():
    """A server that ends leaves no file descriptor behind."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with serving() as port, socket.create_connection(("127.0.0.1", port), 10):
            get(port)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
