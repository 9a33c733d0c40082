"""Engines that are asked over the loopback: good ones, slow ones and hostile ones."""

import contextlib
import itertools
import time

import pytest

from advisor.errors import InputError
from advisor.samples.bounded_http import Limits
from advisor.samples.metrics import Missed, Reading, Scope, Target
from advisor.samples.sources.engines import GONE, NO_ENGINE, EngineSource, PageReader
from samples.sources.engines.exhibits import MODEL, SGLANG_PAGE, triton_page, vllm_page
from services.scripted import always, answer, scripted
from services.server import free_port

LIMITS = Limits(connect_seconds=0.5, total_seconds=1.0, body_bytes=256 * 1024)


@contextlib.contextmanager
def reading(*urls, limits=LIMITS):
    """A source for some addresses."""
    source = EngineSource("node-1", urls, limits)
    try:
        yield source
    finally:
        source.close()


def reason_of(script, limits=LIMITS):
    """Why an endpoint with this script is missed."""
    with scripted(script) as server, reading(server.url, limits=limits) as source:
        (missed,) = source.read()
    assert isinstance(missed, Missed)
    assert missed.target == Target("node-1", "engines", None, endpoint=f"{server.url}/metrics")
    return missed.reason


def test_a_reading_names_engine_model_rank_and_address():
    """A reading is of one model on one rank of the engine that its page shows."""
    with scripted(always(answer(vllm_page(ranks=2)))) as server, reading(server.url) as source:
        readings = source.read()
        assert source.describe() == f"vllm at {server.url}/metrics"
    assert [one.target for one in readings] == [
        Target("node-1", "vllm", rank, name=MODEL, endpoint=f"{server.url}/metrics") for rank in (0, 1)
    ]
    assert readings[0].target.scope is Scope.ENGINE
    assert readings[0].values["requests_running"] == 3
    assert readings[0].buckets["ttft_seconds"].total == 12.5
    assert readings[0].note is None
    assert server.requests[0].startswith(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:")


def test_engines_of_several_kinds_at_once():
    """Each address is read by what its page is; Triton that runs vLLM is read as vLLM."""
    pages = vllm_page(), SGLANG_PAGE, triton_page() + vllm_page()
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(scripted(always(answer(page)))).url for page in pages]
        source = stack.enter_context(reading(*urls))
        assert [one.target.source for one in source.read()] == ["vllm", "sglang", "vllm"]


def test_the_connection_is_kept():
    """Readings one after the other use one connection."""
    with scripted(always(answer(vllm_page()))) as server, reading(server.url) as source:
        for _ in range(5):
            assert isinstance(source.read()[0], Reading)
        assert (server.connections, len(server.requests)) == (1, 5)


def test_a_kept_connection_that_was_closed_is_opened_again():
    """An engine that closes after each answer is read each time."""
    with scripted(always(answer(vllm_page()), keep=False)) as server, reading(server.url) as source:
        assert [type(source.read()[0]) for _ in range(4)] == [Reading] * 4
        assert server.connections == 4


def chunked(*parts):
    """An answer in chunks."""
    body = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize(
    "script",
    [
        always(chunked(vllm_page()[:1000].encode(), vllm_page()[1000:].encode())),
        always(b"HTTP/1.1 200 OK\r\n\r\n" + vllm_page().encode(), keep=False),
        always(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(vllm_page()), vllm_page().encode(), keep=False),
        always(b"HTTP/1.1 100 Continue\r\n\r\n", answer(vllm_page())),
    ],
    ids=["chunked", "until closed", "HTTP/1.0", "continue first"],
)
def test_forms_of_an_answer(script):
    """Chunked, with a length or until the end: the page is read whole, twice in a row."""
    with scripted(script) as server, reading(server.url) as source:
        for _ in range(2):
            assert source.read()[0].values["generated_tokens"] == 65432


def drip(connection, _):
    """A page byte by byte."""
    for byte in answer(vllm_page()):
        connection.sendall(bytes([byte]))
        time.sleep(0.01)
    return True


def endless(connection, _):
    """A page that has no end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        connection.sendall(b"vllm:num_requests_running 1\n" * 1000)


def endless_chunks(connection, _):
    """The same in chunks."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def endless_headers(connection, _):
    """Headers that have no end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-Padding: " + b"x" * 1000 + b"\r\n")


def silent(*_):
    """No answer at all for a while."""
    time.sleep(1.2)
    return False


SLOW = "no whole answer within 0.3 s"
LARGE = "an answer of more than 0.25 MiB"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (drip, SLOW),
        (silent, SLOW),
        (endless, LARGE),
        (endless_chunks, LARGE),
        (always(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n"), LARGE),
        (endless_headers, "more than 16 KiB of headers"),
        (always(answer("", "301 Moved Permanently", ("Location: http://elsewhere.example/",))),
         "HTTP 301: it redirects elsewhere; give the address of the page itself"),
        (always(answer("", "500 Internal Server Error")), "HTTP 500"),
        (always(answer("no", "401 Unauthorized")), "HTTP 401: it asks for credentials: give them in the address"),
        (always(answer(b"\x1f\x8b", headers=("Content-Encoding: gzip",))),
         "its answer is compressed, although that was not asked for"),
        (always(answer("<html>hello</html>")), NO_ENGINE),
        (always(answer("")), NO_ENGINE),
        (always(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "it does not speak HTTP/1.1"),
        (always(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), "its Content-Length is not a number"),
        (always(b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n"), "its Content-Length is not a number"),
        (always(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"), "its Content-Length is not a number"),
        (always(b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n"), "it does not speak HTTP/1.1"),
        (always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n"), "its chunked body is malformed"),
        (always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 400), "its chunked body is malformed"),
        (always(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", keep=False),
         "the server closed the connection in the middle of its answer"),
        (always(keep=False), "the server closed the connection without an answer"),
        (always(answer("vllm:num_requests_running nothing\n")), NO_ENGINE),
    ],
    ids=["drip", "silent", "endless", "endless chunks", "100 MB", "endless headers", "redirect", "error", "unauthorised",
         "gzip", "another page", "empty", "no HTTP", "bad length", "odd digits", "long length", "odd status", "bad chunk", "long chunk line", "cut", "closed",
         "only malformed"],
)  # fmt: skip
def test_a_bad_endpoint_is_missed_with_a_reason(script, reason):
    """Whatever an endpoint does, it costs its limits and gives a plain reason."""
    assert reason_of(script, Limits(0.3, 0.3, 256 * 1024)) == reason


def test_nobody_listens():
    """A refused connection is said in plain words, and once for each model that was seen before."""
    with contextlib.ExitStack() as stack:
        with scripted(always(answer(vllm_page(ranks=2)))) as server:
            known, stranger = (stack.enter_context(reading(server.url)) for _ in range(2))
            seen = [one.target for one in known.read()]
        assert known.read() == [Missed(target, "connection refused") for target in seen]
        assert stranger.read() == [
            Missed(Target("node-1", "engines", None, endpoint=f"{server.url}/metrics"), "connection refused")
        ]


def test_a_slow_engine_does_not_hold_up_the_others():
    """The good engines are read while a silent one is waited for, and the wait is bounded."""
    with (
        scripted(always(answer(vllm_page()))) as good,
        scripted(silent) as slow,
        reading(slow.url, good.url, limits=Limits(0.3, 0.5)) as source,
    ):
        for _ in range(2):
            missed, read = source.read()
            assert (missed.reason, type(read)) == ("no whole answer within 0.5 s", Reading)


def test_a_late_answer_is_not_taken_for_the_next():
    """What arrives after its time belongs to no tick: the next reading asks anew."""
    counts = iter(range(100))

    def slow_first(connection, _):
        number = next(counts)
        if number == 0:
            time.sleep(0.8)
        connection.sendall(answer(f"vllm:num_requests_running {number}\n"))
        return True

    with scripted(slow_first) as server, reading(server.url, limits=Limits(0.4, 0.4)) as source:
        assert isinstance(source.read()[0], Missed)
        time.sleep(0.6)
        assert source.read()[0].values["requests_running"] >= 1


def test_a_model_that_the_page_stops_naming_is_missed():
    """A rank that disappears from a page that answers is a gap of that rank alone."""
    pages = iter([vllm_page(ranks=2), vllm_page()])

    def script(connection, _):
        connection.sendall(answer(next(pages)))
        return True

    with scripted(script) as server, reading(server.url) as source:
        _, second = source.read()
        read, missed = source.read()
    assert isinstance(read, Reading)
    assert missed == Missed(second.target, GONE)


def test_a_page_that_names_other_models_each_time_is_bounded():
    """A gateway that shows whatever model its users ask for does not fill the memory with models that are gone."""
    asked = itertools.count()

    def script(connection, _):
        lines = (f'vllm:num_requests_running{{model_name="{next(asked)}"}} 1\n' for _ in range(60))
        connection.sendall(answer("".join(lines)))
        return True

    with scripted(script) as server, reading(server.url) as source:
        counts = [len(source.read()) for _ in range(12)]
    assert counts[1] == 120
    assert max(counts) <= 4 * 64 + 60


def test_unknown_pages_are_compared_with_known_names_once_a_minute():
    """A page of ever new names costs the host no more than one that stays the same."""
    asked = itertools.count()

    def script(connection, _):
        start = next(asked) * 9000
        connection.sendall(answer("".join(f"acme_llm_kv_{start + n} 1\n" for n in range(9000))))
        return True

    with scripted(script) as server, reading(server.url) as source:
        begun = time.process_time()
        reasons = {missed.reason for _ in range(8) for missed in source.read()}
    assert time.process_time() - begun < 2
    assert len(reasons) == 1
    assert "acme_llm_kv_0" in reasons.pop()


def test_nothing_in_a_page_ends_its_thread(monkeypatch):
    """A page that our own code fails on is a miss; the next one is read."""
    with scripted(always(answer(vllm_page()))) as server, reading(server.url) as source:
        with monkeypatch.context() as broken:
            broken.setattr(PageReader, "read", lambda *_: {}["key"])
            (missed,) = source.read()
        assert missed.reason == "its answer cannot be read (KeyError)"
        assert isinstance(source.read()[0], Reading)


def test_a_reason_is_no_longer_than_people_read():
    """Names that a page makes up do not fill logs, gaps and the page of the agent."""
    text = "".join(f"acme_llm_kv_{'x' * 20_000}_{n} 1\n" for n in range(9)) + "acme_llm_kv_cache 1\n"
    reason = reason_of(always(answer(text)))
    assert reason.startswith(NO_ENGINE)
    assert "acme_llm_kv_cache" in reason
    assert len(reason) < 1000


def test_malformed_lines_are_noted():
    """A reading says how many lines of its page could not be read."""
    page = vllm_page() + "vllm:num_requests_running oops\nvllm:num_requests_waiting oops\n"
    with scripted(always(answer(page))) as server, reading(server.url) as source:
        assert source.read()[0].note == "2 lines of its page are malformed"


def test_a_page_without_one_usable_value_is_missed_with_its_reason():
    """A model whose values are no readings is a gap with the reason; one that has others is a row with a note."""
    reason = "vllm:num_requests_running is negative"
    line = "vllm:num_requests_running -5\n"
    with scripted(always(answer(line))) as server, reading(server.url) as source:
        assert source.read() == [Missed(Target("node-1", "vllm", 0, endpoint=f"{server.url}/metrics"), reason)]
    with scripted(always(answer(f"{line}vllm:num_requests_waiting 2\n"))) as server, reading(server.url) as source:
        (known,) = source.read()
        assert isinstance(known, Reading)
        assert (known.values, known.note) == ({"requests_waiting": 2}, reason)


def test_credentials_are_sent_and_never_shown():
    """A user and a password in the address reach the engine and nothing else; a query is not shown either."""
    with scripted(always(answer(vllm_page()))) as server:
        url = server.url.replace("http://", "http://ann:s%40cret@") + "/metrics?token=abc"
        with reading(url) as source:
            (read,) = source.read()
            shown = f"{read} {source.describe()}"
    assert b"Authorization: Basic YW5uOnNAY3JldA==" in server.requests[0]
    assert server.requests[0].startswith(b"GET /metrics?token=abc HTTP/1.1\r\n")
    assert not {"ann", "cret", "abc"} & set(shown.replace("@", " ").replace("'", " ").replace(":", " ").split())
    assert read.target.endpoint == f"{server.url}/metrics"


@pytest.mark.parametrize(
    "url",
    ["ftp://host/metrics", "http://", "http://host:port/", "http://host:70000/", "http://u:secret@host:x/", "http://ho st/",
     "http://host/a\r\nX: y", "", "secret-token@:8000"],
)  # fmt: skip
def test_what_is_no_address(url):
    """An address that cannot be asked is an error that says how it should look, without its credentials."""
    with pytest.raises(InputError, match="not an http or https URL") as caught:
        EngineSource("node-1", [url])
    assert "secret" not in str(caught.value)
    assert "http://HOST:PORT/metrics" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("localhost:8000", "http://localhost:8000/metrics"),
        ("http://localhost:8000/", "http://localhost:8000/metrics"),
        ("http://localhost/sglang/metrics", "http://localhost/sglang/metrics"),
        ("https://[::1]:8443", "https://[::1]:8443/metrics"),
    ],
)
def test_forms_of_an_address(given, shown):
    """A bare host and port is http, and the page is /metrics unless a path is given."""
    with reading(given) as source:
        assert source.describe() == shown


def test_the_same_address_twice():
    """An address that is given twice would be counted twice."""
    with pytest.raises(InputError, match="given twice"):
        EngineSource("node-1", ["localhost:8000", "http://localhost:8000/metrics"])


def test_no_address():
    """Without an address there is nothing to read."""
    with pytest.raises(InputError, match="no serving engine"):
        EngineSource("node-1", [])


def test_https_with_a_certificate_that_nobody_vouches_for():
    """A plain server behind an https address is missed, not trusted."""
    with scripted(always(answer(vllm_page()))) as server, reading(server.url.replace("http:", "https:")) as source:
        (missed,) = source.read()
    assert isinstance(missed, Missed)


def test_a_name_that_does_not_resolve():
    """A host name that nobody knows is a miss with a reason."""
    with reading(f"no-such-host.invalid:{free_port()}", limits=Limits(2, 2)) as source:
        (missed,) = source.read()
    assert isinstance(missed, Missed)
    assert missed.reason
