"""Who sends what and when, against a server with a script."""

import struct
import time
from contextlib import closing
from dataclasses import replace

import pytest

from advisor.errors import InputError
from advisor.samples.agent.outbox.backlog import Backlog
from advisor.samples.agent.outbox.courier import Courier
from advisor.samples.agent.outbox.destination import Credentials, Destination, Later, Rejected, Sent, meaning_of
from advisor.samples.agent.outbox.encoding import samples_of
from advisor.samples.bounded_http import Answer, parse_address
from samples.agent.recorded import END_US, GPU, MIG, ROW_US, gap, gpu_row
from samples.agent.test_outbox_encoding import decode
from services.scripted import answer, scripted

OLD_US = END_US - 7200 * 1_000_000


class Storage:
    """A server that keeps what it takes: not what is older than it likes, and nothing while it is told to fail."""

    def __init__(self):
        """Take everything."""
        self.failing = ""
        self.headers = ()
        self.oldest_ms = 0
        self.requests = []
        """Times of the samples of each request, whether it was taken or not."""
        self.kept = {}

    def __call__(self, connection, request):
        """Answer one request."""
        head, _, body = request.partition(b"\r\n\r\n")
        assert b"Content-Encoding: snappy" in head
        assert b"X-Prometheus-Remote-Write-Version: 0.1.0" in head
        series = decode(body)
        self.requests.append([time_ms for _, samples in series for time_ms, _ in samples])
        if self.failing:
            connection.sendall(answer("", self.failing, self.headers))
        elif min(self.requests[-1]) < self.oldest_ms:
            connection.sendall(answer("out of bounds", "400 Bad Request"))
        else:
            self.kept |= {(tuple(labels), at): value for labels, samples in series for at, value in samples}
            connection.sendall(answer("", "204 No Content"))
        return True


@pytest.fixture
def storage():
    """A server that takes everything."""
    return Storage()


@pytest.fixture
def said():
    """What the courier said."""
    return []


@pytest.fixture
def courier(storage, said, tmp_path):
    """A courier to it, with a backlog on disk."""
    with scripted(storage) as server, closing(courier_to(server.url, tmp_path, said)) as courier:
        yield courier


def courier_to(url, folder, said, **secrets):
    """A courier with a backlog of its own."""
    address = parse_address(url, "/api/v1/write")
    return Courier(
        Destination(address, Credentials(**secrets)), Backlog(folder / "backlog", address.shown), said.append, seed=7
    )


def expected(*rows):
    """What a server has that got these rows."""
    return {((("__name__", s.name), *s.labels), s.time_ms): s.value for s in samples_of(rows)}


def recover(courier):
    """Wait until the courier tries again."""
    while courier.wait_seconds:
        time.sleep(courier.wait_seconds)


def test_live_rows_are_sent_at_once(courier, storage, said):
    """Rows of several targets go in one request; a gap of a target that was never sent is nothing."""
    rows = [gpu_row(), gpu_row(target=MIG)]
    courier.send_live([*rows, gap(replace(GPU, index=7))])
    assert storage.kept == expected(*rows)
    assert len(storage.requests) == 1
    assert said == []


def test_a_target_that_is_not_read_any_more_ends(courier, storage):
    """A gap ends the series of its target with the marker of remote write, once, and not those of others."""
    courier.send_live([gpu_row(), gpu_row(target=MIG)])
    before = dict(storage.kept)
    courier.send_live([gap()])
    courier.send_live([gap(end_us=END_US + 2 * ROW_US)])
    ended = {key: value for key, value in storage.kept.items() if key not in before}
    assert {at for _, at in ended} == {(END_US + ROW_US) // 1000}
    assert {dict(labels)["uuid"] for labels, _ in ended} == {"GPU-0"}
    assert {struct.pack("<d", value).hex() for value in ended.values()} == {"020000000000f07f"}
    courier.send_live([gpu_row(END_US + 3 * ROW_US), gap(end_us=END_US + 2 * ROW_US)])
    assert len(storage.kept) == len(before) + len(ended) + len(expected(gpu_row()))


def test_an_outage_is_made_up_for(courier, storage, said, tmp_path):
    """What could not be sent waits on disk and is sent afterwards, apart from live rows; each change is said once."""
    storage.failing = "503 Service Unavailable"
    rows = [gpu_row(END_US + n * ROW_US) for n in range(5)]
    for row in rows[:4]:
        courier.send_live([row])
    assert list((tmp_path / "backlog").glob("*.frames"))
    storage.failing = ""
    recover(courier)
    asked = len(storage.requests)
    while courier.send_backlog():
        pass
    courier.send_live([rows[4]])
    assert storage.kept == expected(*rows)
    assert [set(times) for times in storage.requests[asked:]] == [
        {row.end_us // 1000 for row in rows[:4]}, {rows[4].end_us // 1000},
    ]  # fmt: skip
    assert [line.split("/write ")[1] for line in said] == [
        "takes nothing now (HTTP 503); rows wait in the backlog", "takes samples again",
    ]  # fmt: skip


def test_attempts_grow_rarer(courier, storage):
    """While a server fails it is left alone for longer and longer, and rows that come meanwhile ask it nothing."""
    storage.failing = "500 Internal Server Error"
    waits = []
    for number in range(4):
        courier.send_live([gpu_row(END_US + number * ROW_US)])
        waits.append(courier.wait_seconds)
        courier._not_before = 0.0
    assert waits[0] <= 1
    assert waits[-1] > 2
    courier.send_live([gpu_row(END_US + 9 * ROW_US)])
    asked = len(storage.requests)
    courier.send_live([gpu_row(END_US + 10 * ROW_US)])
    assert len(storage.requests) == asked


def test_the_server_says_how_long_to_wait(courier, storage):
    """Retry-After of a busy server is honoured."""
    storage.failing, storage.headers = "429 Too Many Requests", ("Retry-After: 30",)
    courier.send_live([gpu_row()])
    assert 3 < courier.wait_seconds <= 30


def test_samples_that_are_refused_are_found_and_parked(courier, storage, said):
    """Of a request that is refused only what the server does not want is left out, counted, and said with its words."""
    storage.oldest_ms = END_US // 1000
    old, good = gpu_row(OLD_US), gpu_row()
    courier.keep([old, good])
    assert courier.send_backlog()
    assert storage.kept == expected(good)
    progress = courier._backlog.progress
    assert (progress.parked_samples, progress.sent_samples) == (len(expected(old)), len(expected(good)))
    assert "7 samples are parked, the server refuses them (HTTP 400: out of bounds)" in said[0]
    assert not courier.send_backlog()


def test_a_server_that_refuses_everything_is_asked_a_bounded_number_of_times(courier, storage):
    """When nothing of a batch is wanted, finding that out is bounded, and the next row is tried again."""
    storage.oldest_ms = END_US // 1000
    courier.keep([gpu_row(OLD_US + n * ROW_US) for n in range(200)])
    while courier.send_backlog():
        pass
    assert len(storage.requests) < 1000
    assert courier._backlog.progress.parked_samples == 200 * len(expected(gpu_row()))
    courier.send_live([gpu_row()])
    assert storage.kept == expected(gpu_row())


def test_what_pipe_and_spool_both_had_is_sent_once(courier, storage):
    """A row that was taken from the spool is not sent again when it comes through the pipe."""
    courier.keep([gpu_row()])
    courier.send_live([gpu_row(), gpu_row(END_US + ROW_US)])
    while courier.send_backlog():
        pass
    assert sorted(time_ms for times in storage.requests for time_ms in set(times)) == [
        END_US // 1000, (END_US + ROW_US) // 1000,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "headers", "body", "outcome"),
    [
        (200, {}, b"", Sent()),
        (204, {}, b"", Sent()),
        (400, {}, b"out of\n order\x00\x1b[31m", Rejected("HTTP 400: out of order [31m")),
        (413, {}, b"", Rejected("HTTP 413")),
        (401, {}, b"secret", Later("HTTP 401", None)),
        (404, {}, b"", Later("HTTP 404", None)),
        (
            301,
            {"location": "http://evil/"},
            b"",
            Later("HTTP 301: it redirects elsewhere; give the address that takes the samples", None),
        ),
        (429, {"retry-after": "7"}, b"", Later("HTTP 429", 7)),
        (503, {"retry-after": "999999"}, b"", Later("HTTP 503", 600)),
        (503, {"retry-after": "soon"}, b"", Later("HTTP 503", None)),
        (503, {"retry-after": "-5"}, b"", Later("HTTP 503", None)),
        (503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"", Later("HTTP 503", 0)),
    ],
)
def test_what_an_answer_means(status, headers, body, outcome):
    """Taken, refused for good, or to be tried later: by the status, with a wait as the server asks."""
    assert meaning_of(Answer(status, headers, body)) == outcome


def test_a_redirect_gets_no_credentials(tmp_path, said):
    """A server that points elsewhere is not followed: nobody else sees the token."""
    (tmp_path / "token").write_text("t0ken\n")
    with scripted(lambda *_: False) as other:

        def redirect(connection, _):
            connection.sendall(answer("", "307 Temporary Redirect", (f"Location: {other.url}",)))
            return True

        with scripted(redirect) as server:
            with closing(courier_to(server.url, tmp_path, said, bearer_file=tmp_path / "token")) as courier:
                courier.send_live([gpu_row()])
            assert b"Authorization: Bearer t0ken\r\n" in server.requests[0]
        assert other.requests == []


def test_a_secret_that_changes(storage, tmp_path, said):
    """A token that is replaced is used from the next request on; one that is gone holds rows back, it loses none."""
    path = tmp_path / "basic"
    path.write_text("ann:one")
    with scripted(storage) as server, closing(courier_to(server.url, tmp_path, said, basic_file=path)) as courier:
        courier.send_live([gpu_row()])
        path.write_text("ann:two")
        courier.send_live([gpu_row(END_US + ROW_US)])
        path.unlink()
        courier.send_live([gpu_row(END_US + 2 * ROW_US)])
        sent = [line for request in server.requests for line in request.split(b"\r\n") if line.startswith(b"Authori")]
    assert sent == [b"Authorization: Basic YW5uOm9uZQ==", b"Authorization: Basic YW5uOnR3bw=="]
    assert "cannot read the credentials" in said[0]


@pytest.mark.parametrize("url", ["http://prometheus.example", "http://10.0.0.7:9090/api/v1/write"])
def test_no_credentials_in_the_clear(url, tmp_path):
    """A secret goes over TLS, or not beyond this machine."""
    (tmp_path / "token").write_text("t0ken")
    with pytest.raises(InputError, match="in the clear"):
        Destination(parse_address(url, "/"), Credentials(bearer_file=tmp_path / "token"))
    with pytest.raises(InputError, match="in the clear"):
        Destination(parse_address(url.replace("//", "//ann:pw@"), "/"), Credentials())
    Destination(parse_address(url.replace("http:", "https:"), "/"), Credentials(bearer_file=tmp_path / "token"))


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "bell\x07"])
def test_files_that_hold_no_secret(tmp_path, content):
    """A file that is empty or has more than a line is an error that does not repeat it."""
    (tmp_path / "token").write_text(content)
    with pytest.raises(InputError, match="no secret of one line"):
        Destination(parse_address("https://server", "/"), Credentials(bearer_file=tmp_path / "token"))
