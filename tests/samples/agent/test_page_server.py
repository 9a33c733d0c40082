"""The page of an agent, with good clients, slow ones and hostile ones."""

import contextlib
import http.client
import shutil
import socket
import ssl
import time
from contextlib import closing
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.samples.agent import page_server
from advisor.samples.agent.page_server import PageAddress, PageServer, TlsFiles
from services import certificates
from services.certificates import Authority

PAGE = b"# TYPE advisor_agent_up gauge\nadvisor_agent_up 1\n# EOF\n"


@contextlib.contextmanager
def serving(page=lambda: PAGE, tls=None, host="127.0.0.1"):
    """Port of a server, until the block ends."""
    with closing(PageServer(PageAddress(host, 0, tls), page)) as server:
        yield int(server.url.rpartition(":")[2].split("/")[0])


@pytest.fixture
def quick(monkeypatch):
    """Slow clients lose their connection after a fifth of a second."""
    monkeypatch.setattr(page_server, "SECONDS", 0.2)


@pytest.fixture
def patient(monkeypatch):
    """Slow clients are not ended by their time: only making room for others helps."""
    monkeypatch.setattr(page_server, "SECONDS", 60.0)


def get(port, path="/metrics", method="GET", context=None):
    """Status, headers and body of an answer."""
    kind = http.client.HTTPConnection if context is None else http.client.HTTPSConnection
    extra = {} if context is None else {"context": context}
    with closing(kind("127.0.0.1", port, timeout=10, **extra)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def raw(port, request):
    """What comes back for some bytes, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_page():
    """GET /metrics gives the page with the content type of OpenMetrics, and the connection ends."""
    with serving() as port:
        status, headers, body = get(port)
        assert (status, body) == (200, PAGE)
        assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert headers["Connection"] == "close"
        assert "Server" not in headers
        assert get(port, "/metrics?collect=gpu")[0] == 200


def test_the_page_is_made_once_a_second():
    """However often it is asked for, making it takes little."""
    made = []
    with serving(lambda: made.append(0) or PAGE) as port:
        assert {get(port)[2] for _ in range(20)} == {PAGE}
    assert len(made) <= 3


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET //metrics HTTP/1.1\r\n\r\n", 404),
        (b"GET http://host/metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"get /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"x" * 9000 + b"\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000, 400),
        (b"x" * 100_000, 400),
    ],
    ids=["POST", "HEAD", "root", "dots", "two slashes", "absolute", "HTTP/0.9", "lower case", "HTTP/2", "body",
         "TLS to plain", "long header", "many headers", "no end"],
)  # fmt: skip
@pytest.mark.usefixtures("quick")
def test_everything_else_is_refused(request_, status):
    """Any other method, path or form gets its status and not a byte of the page."""
    with serving() as port:
        answer = raw(port, request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"advisor_agent_up" not in answer


def test_a_request_in_pieces():
    """A request that arrives in pieces is answered once it is whole."""
    with serving() as port, socket.create_connection(("127.0.0.1", port), 10) as connection:
        for piece in (b"GET /met", b"rics HTTP/1.1\r\n", b"Host: localhost\r\n\r", b"\n"):
            connection.sendall(piece)
            time.sleep(0.02)
        assert connection.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9464", 200), ("[::1]:9464", 200), ("LOCALHOST", 200), ("evil.example:9464", 421),
        ("127.0.0.1.evil.example", 421), ("[::1", 421), ("localhost\r\nHost: evil.example", 421),
    ],
)  # fmt: skip
def test_a_name_that_was_led_to_the_loopback_gets_nothing(host, status):
    """A page in a browser cannot read the metrics through a name of its own that resolves to this machine."""
    with serving() as port:
        answer = raw(port, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"advisor_agent_up" in answer) == (status == 200)


@pytest.mark.usefixtures("quick")
def test_slow_clients_lose_their_connection():
    """A client that does not finish its request, or does not read a large page, is ended."""
    with serving(lambda: b"x" * 30_000_000) as port:
        assert raw(port, b"GET /metrics HTTP/1.1\r\n") == b""
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            time.sleep(0.6)
            received = 0
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(1 << 20):
                    received += len(part)
    assert 0 < received < 30_000_000


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
def test_slow_clients_cannot_starve_a_scrape(secured, request):
    """Among 50 idle connections and 20 that drip a byte at a time, every good scrape is answered."""
    tls, context = request.getfixturevalue("tls_files") if secured else (None, None)
    with serving(tls=tls) as port, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(70)]
        for byte in b"\x16\x03\x01\x02\x00\x01" if secured else b"GET /metrics HT":
            for connection in slow[50:]:
                with contextlib.suppress(OSError):
                    connection.sendall(bytes([byte]))
            assert get(port, context=context)[0] == 200


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """It vouches for the server and its clients."""
    if certificates.PROGRAM is None:
        pytest.skip(certificates.ABSENT)
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


def client_context(authority, pair=None):
    """What a client trusts and shows."""
    context = ssl.create_default_context(cafile=authority.own.certificate)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.fixture(scope="module")
def tls_files(authority):
    """Files of a server, and what a client that it lets in shows."""
    server = authority.issue("server")
    files = TlsFiles(str(server.certificate), str(server.key), str(authority.own.certificate))
    return files, client_context(authority, authority.issue("client"))


def test_only_certificates_of_the_authority_are_let_in(authority, tls_files, tmp_path):
    """Without a certificate, with that of another authority, or without TLS, there is no page; TLS 1.1 is not spoken."""
    files, context = tls_files
    rogue = Authority(tmp_path, "rogue").issue("client")
    old = client_context(authority, authority.issue("old"))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(lambda: PAGE * 100_000, files) as port:
        assert get(port, context=context)[2] == PAGE * 100_000
        for refused in (client_context(authority), client_context(authority, rogue), old):
            with pytest.raises(OSError):  # noqa: PT011 - of TLS or of the connection, as the moment wants it
                get(port, context=refused)
        with pytest.raises((http.client.HTTPException, OSError)):
            get(port)


def test_replaced_certificates_are_used_at_once(authority, tls_files, tmp_path):
    """New files are what the next client sees; while they do not belong together the old ones stay."""
    files, context = tls_files
    mine = TlsFiles(str(tmp_path / "server.pem"), str(tmp_path / "server.key"), files.client_authority)
    shutil.copy(files.certificate, mine.certificate)
    shutil.copy(files.key, mine.key)
    renewed = authority.issue("renewed")

    def serial(port):
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            return secured.getpeercert()["serialNumber"]

    with serving(tls=mine) as port:
        before = serial(port)
        shutil.copy(renewed.certificate, mine.certificate)
        assert serial(port) == before
        shutil.copy(renewed.key, mine.key)
        assert serial(port) != before


def test_certificates_that_cannot_be_used(authority, tls_files):
    """A key of another certificate, or no file at all, is said before anything is served."""
    files, _ = tls_files
    for wrong in (str(authority.own.key), "/no/such/file"):
        with pytest.raises(InputError, match="cannot use the certificates"):
            PageServer(PageAddress("127.0.0.1", 0, TlsFiles(files.certificate, wrong, files.client_authority)), bytes)


def test_a_port_that_is_taken():
    """A port that another program has is an error that says so."""
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(InputError, match="cannot listen here: Address already in use"),
    ):
        PageServer(PageAddress(*other.getsockname()), bytes)


@pytest.mark.parametrize(
    ("text", "host", "url"),
    [
        ("127.0.0.1:0", "127.0.0.1", "http://127.0.0.1:"),
        ("localhost:0", "127.0.0.1", "http://127.0.0.1:"),
        ("[::1]:0", "::1", "http://[::1]:"),
    ],
)
def test_addresses(text, host, url):
    """Both versions of the protocol, with the port."""
    address = PageAddress.parse(text)
    assert address == PageAddress(host, 0)
    with closing(PageServer(address, lambda: PAGE)) as server:
        assert server.url.startswith(url)


@pytest.mark.parametrize("text", ["", "9464", "somewhere:9464", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1"])
def test_what_is_no_address(text):
    """A name, a port alone and a port that there is not are refused."""
    with pytest.raises(InputError, match="not an address to listen on"):
        PageAddress.parse(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "[::]"])
def test_beyond_the_loopback_a_certificate_is_asked(host):
    """What other machines can reach is shown only to clients with a certificate."""
    with pytest.raises(InputError, match="anyone there could read the metrics"):
        PageAddress.parse(f"{host}:9464")
    assert PageAddress.parse(f"{host}:9464", ("a", "b", "c")).tls == TlsFiles("a", "b", "c")


def test_nothing_is_left_open():
    """A server that ends leaves no file descriptor behind."""

    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    for _ in range(3):
        with serving() as port:
            get(port)
    end = time.monotonic() + 10
    while descriptors() > before:
        assert time.monotonic() < end
        time.sleep(0.05)
