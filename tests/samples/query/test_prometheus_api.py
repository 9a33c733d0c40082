"""What other servers answer than what was hoped for: limits, parts, refusals, nonsense, silence."""

import base64
import contextlib
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.samples.query import Window
from advisor.samples.query.prometheus import PrometheusBackend, PrometheusEndpoint
from advisor.samples.query.prometheus.api import PrometheusApi, TooMuchError, quoted, shown_url
from samples.query.stub import as_json, stub, success

WINDOW = Window(1_764_000_000_000_000, 1_764_007_200_000_000)


def api(server, **access) -> PrometheusApi:
    """A client of a stub."""
    return PrometheusApi(PrometheusEndpoint.of(server.url, environment={}, **access))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (422, {"status": "error", "errorType": "execution", "error": "query processing would load too many samples into memory in query execution"}, "too many samples"),
        (422, {"status": "error", "errorType": "execution", "error": "the query exceeded the maximum number of chunks (limit: 2000000 chunks) (err-mimir-max-chunks-per-query)"}, "err-mimir-max-chunks-per-query"),
        (422, {"status": "error", "errorType": "422", "error": "cannot select more than -search.maxSamplesPerQuery=1000 samples; possible solutions: increase it"}, "-search.maxSamplesPerQuery"),
        (503, {"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"}, "timed out"),
        (500, {"status": "error", "errorType": "internal", "error": "expanding series: exceeded series limit of 100"}, "exceeded series limit"),
    ],
)  # fmt: skip
def test_limits_of_servers_are_told_from_other_refusals(status, body, words):
    """Each server words its limits in its own way; what helps is to ask for less, and its words are shown."""
    with stub(lambda _: as_json(body, status)) as server, pytest.raises(TooMuchError) as caught:
        api(server).instant("up", WINDOW.end_us)
    assert words in str(caught.value)
    assert "shorter window" in caught.value.hint
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "content", "words", "hint"),
    [
        (400, b'{"status":"error","errorType":"bad_data","error":"parse error: unexpected character"}', "parse error", "selector"),
        (401, b"no", "authentication failed", "--token-file"),
        (403, b"no", "authentication failed", "--token-file"),
        (404, b"404 page not found", "404 page not found", "/select/0/prometheus"),
        (200, b"<html>welcome</html>", "<html>welcome</html>", "/prometheus"),
        (200, b'{"status":"success","data":{"result":[{"metric":{},"value":[]}]}}', "does not answer as Prometheus", "HTTP API"),
        (200, b'{"status":"success","data":[]}', "does not answer as Prometheus", "HTTP API"),
        (200, b"[" * 100_000, "it answered", "address"),
    ],
)  # fmt: skip
def test_refusals_and_nonsense_are_said_with_what_to_do(status, content, words, hint):
    """Whatever comes back, the error says where, what in the server's words, and how to fix it."""
    with stub(lambda _: (status, {}, content)) as server, pytest.raises(InputError) as caught:
        api(server).instant("up", WINDOW.end_us)
    assert caught.value.where == server.url
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_a_busy_server_is_asked_again():
    """503 without a limit's words passes: it is asked again after a pause, three times in all."""
    answers = [(503, {"Retry-After": "0"}, b"no healthy upstream"), success([{"metric": {}, "value": [1, "7"]}])]
    with stub(lambda _: answers.pop(0)) as server:
        assert api(server).instant("up", WINDOW.end_us)[0].value == 7
    with (
        stub(lambda _: (503, {"Retry-After": "0"}, b"no healthy upstream")) as server,
        pytest.raises(InputError, match="no healthy upstream"),
    ):
        api(server).instant("up", WINDOW.end_us)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [413, 502, 504])
def test_a_proxy_that_gives_up_is_asked_for_less(status):
    """What a proxy says of long answers in words of its own is a limit; of short ones it is still said."""
    with (
        stub(lambda _: (status, {"Retry-After": "0"}, b"<html>Bad Gateway</html>")) as server,
        pytest.raises(TooMuchError, match=f"HTTP {status}: <html>Bad Gateway"),
    ):
        api(server).instant("up", WINDOW.end_us)


def test_an_answer_that_is_cut_off_is_told_from_nonsense():
    """Half of an answer, whether its length says so or not, asks for less, and says what may have cut it."""
    body = success([{"metric": {}, "value": [1, "7"]}])[2]
    for headers in ({}, {"Transfer-Encoding": "chunked"}):
        content = f"{len(body):x}\r\n".encode() + body[:20] if headers else body[:20]
        with stub(lambda _, answer=(200, headers, content): answer) as server:
            with pytest.raises(TooMuchError, match="the answer was cut off") as caught:
                api(server).instant("up", WINDOW.end_us)
            assert "without the proxy" in caught.value.hint


def test_values_that_are_not_told_by_time_are_asked_for_without_it():
    """Prometheus 2.53 leaves samples that came out of order out of a label's values in a time, though queries see them."""

    def answer(request):
        return as_json({"status": "success", "data": [] if "start" in request.form else ["node-1"]})

    with stub(answer) as server:
        assert api(server).label_values("Hostname", 0, WINDOW.end_us, '{fleet="a"}') == ["node-1"]
        assert api(server).label_values("Hostname", 0, WINDOW.end_us) == []


def test_partial_answers_are_said():
    """Thanos and Mimir answer from what they reach and warn; a VictoriaMetrics cluster says that it is partial."""
    answers = [
        success([], warnings=["No StoreAPIs matched for this query", "No StoreAPIs matched for this query"]),
        success([], isPartial=True),
    ]
    with stub(lambda _: answers.pop(0)) as server:
        asked = api(server)
        asked.instant("up", WINDOW.end_us)
        asked.instant("up", WINDOW.end_us)
    assert list(asked.warnings) == [
        "the server warns: No StoreAPIs matched for this query",
        "the server answered from a part of its storage only",
    ]


def test_questions_are_posted_with_the_time_to_the_millisecond():
    """A long query fits in the body; the moment is that of the window's end."""
    with stub(lambda _: success([])) as server:
        api(server).instant("x" * 100_000, 1_764_007_200_123_456)
    (request,) = server.requests
    assert request.method == "POST"
    assert (len(request.form["query"]), request.form["time"]) == (100_000, "1764007200.123")


def test_hosts_are_halved_until_the_server_can():
    """A server that can answer for two hosts at a time is asked for two at a time from then on."""

    def answer(request):
        if request.path.endswith("/__name__/values"):
            return as_json({"status": "success", "data": ["DCGM_FI_DEV_GPU_UTIL"]})
        if request.path.endswith("/values"):
            return as_json({"status": "success", "data": [f"n{host}" for host in range(8)]})
        query = request.form["query"]
        hosts = [f"n{host}" for host in range(8) if f"n{host}" in query]
        if "vector(1)" in query:
            return success([{"metric": {}, "value": [1, "1"]}])
        if len(hosts) > 2:
            return as_json({"status": "error", "error": "query processing would load too many samples"}, 422)
        labels = [{"Hostname": host, "gpu": "0", "UUID": f"GPU-{host}"} for host in hosts]
        return success([{"metric": one, "value": [1, "50"]} for one in labels])

    with stub(answer) as server:
        backend = PrometheusBackend(PrometheusEndpoint.of(server.url, environment={}))
        found = list(backend.summaries(["busy_ratio"], WINDOW))
    assert [(one.accelerator.host, one.p95) for one in found] == [(f"n{host}", 0.5) for host in range(8)]
    assert "the server's limits allow 2 hosts at a time" in backend.notes()


def test_an_answer_that_is_too_long_or_too_slow_ends():
    """Neither an endless nor a silent answer holds the program up."""
    with stub(lambda _: (200, {}, b" " * 2_000_000)) as server:
        access = PrometheusEndpoint.of(server.url, environment={})
        limited = PrometheusEndpoint(access.url, max_answer_bytes=1_000_000)
        with pytest.raises(TooMuchError, match="longer than 1,000,000 bytes"):
            PrometheusApi(limited).instant("up", 1)
    released = time.monotonic() + 1.0

    def silent(_):
        time.sleep(max(0.0, released - time.monotonic()))
        return success([])

    with stub(silent) as server, pytest.raises(TooMuchError, match=r"no answer within 0\.2 s"):
        api(server, timeout_seconds=0.2).instant("up", 1)


def test_nobody_there():
    """A server that cannot be reached is one plain error."""
    with pytest.raises(InputError, match="cannot be reached") as caught:
        PrometheusApi(PrometheusEndpoint.of("http://127.0.0.1:9", environment={})).instant("up", 1)
    assert "check address and port" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("http://{}", {"ADVISOR_PROMETHEUS_TOKEN": "s3cret\n"}, "Bearer s3cret"),
        ("http://{}", {"ADVISOR_PROMETHEUS_USER": "me", "ADVISOR_PROMETHEUS_PASSWORD": "s3cret"}, f"Basic {base64.b64encode(b'me:s3cret').decode()}"),
        ("http://{}", {}, None),
    ],
)  # fmt: skip
def test_credentials_are_sent_and_never_shown(url, environment, expected):
    """Token, user and password go into the header, and into no message and no text of the value."""
    with stub(lambda _: (400, {}, b"{}")) as server:
        access = PrometheusEndpoint.of(
            url.format(server.url.removeprefix("http://")),
            environment={**environment, "ADVISOR_PROMETHEUS_TENANT": "team-a"},
        )
        with pytest.raises(InputError) as caught:
            PrometheusApi(access).instant("up", 1)
    (request,) = server.requests
    assert request.headers.get("authorization") == expected
    assert request.headers["x-scope-orgid"] == "team-a"
    for secret in ("s3cret",):
        assert secret not in f"{access!r} {access.url} {caught.value}"


def test_a_token_file(tmp_path):
    """The token is the file's one line; a file that holds none is refused without showing what it holds."""
    good = tmp_path / "token"
    good.write_text("s3cret\n")
    assert PrometheusEndpoint.of("http://a", token_file=good, environment={}).headers == {
        "Authorization": "Bearer s3cret"
    }
    bad = tmp_path / "bad"
    bad.write_text("s3cret\nmore\n")
    for path, words in ((bad, "one line"), (tmp_path / "none", "No such file")):
        with pytest.raises(InputError, match=words) as caught:
            PrometheusEndpoint.of("http://a", token_file=path, environment={})
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["prometheus:9090", "ftp://a", "http://", "http://a:port", "http://a\r\nX: y", "http://a b"]
)
def test_what_is_no_address(url):
    """Only http and https addresses of a host are taken."""
    with pytest.raises(InputError, match="not the address"):
        PrometheusEndpoint.of(url, environment={})


def test_an_address_is_shown_without_its_secrets():
    """Query and fragment are left out; a user and password are refused, and not shown either."""
    assert shown_url("https://[::1]:9090/prometheus/?token=s3cret#x") == "https://[::1]:9090/prometheus"
    with pytest.raises(InputError, match="holds a user or a password") as caught:
        PrometheusEndpoint.of("https://me:s3cret@a/prometheus", environment={})
    assert "https://a/prometheus" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_an_authority_of_its_own(tmp_path):
    """A server whose certificate nobody known has signed is refused, unless its authority is named."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-out",
         tmp_path / "ca.pem", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl program that makes certificates")
    with secure(tmp_path / "ca.pem", tmp_path / "key.pem") as url:
        with pytest.raises(InputError, match="CERTIFICATE_VERIFY_FAILED"):
            PrometheusApi(PrometheusEndpoint.of(url, environment={})).instant("up", 1)
        trusted = PrometheusEndpoint.of(url, environment={}, ca_file=tmp_path / "ca.pem")
        assert PrometheusApi(trusted).instant("up", 1) == []
    with pytest.raises(InputError, match="cannot use it as a certificate authority"):
        PrometheusEndpoint.of(url, environment={}, ca_file=tmp_path / "key.pem")


def secure(certificate: Path, key: Path):
    """A stub behind TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            _, _, body = success([])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Quiet(HTTPServer):
        def handle_error(self, *_):
            pass

    @contextlib.contextmanager
    def running():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = Quiet(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return running()


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", 'x"} or up{a="'])
def test_names_from_outside_stay_strings(server_url, text):
    """Whatever a host is called, it stands in a query for itself only."""
    found = PrometheusApi(PrometheusEndpoint.of(server_url, environment={})).instant(
        f'label_replace(vector(1), "a", {quoted(text)}, "", "")', WINDOW.end_us
    )
    assert [one.labels for one in found] == [{"a": text}]
