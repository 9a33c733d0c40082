"""What the listener answers to the bytes of a request."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.agent.access import Access
from advisor.samples.agent.requests import answer_to, is_whole

OPEN = Access()
PAGE = b"advisor_agent_up 1\n"
STATUSES = {b"200", b"400", b"401", b"404", b"405", b"431"}
PIECES = st.sampled_from(
    [b"GET", b"POST", b" ", b"/metrics", b"/", b"HTTP/1.1", b"\r\n", b"\r\n\r\n", b"Host: x", b"Authorization: Bearer t",
     b"Content-Length: 0", b"Content-Length: 7", b"Transfer-Encoding: chunked", b"\n", b"\x00", b"\xff", b":", b"?a=b"]
)  # fmt: skip


def status_of(request, access=OPEN):
    """Status of the answer, and whether it shows the page."""
    answer = answer_to(request, access, lambda: PAGE)
    return answer.split(b" ", 2)[1], answer.endswith(PAGE)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=9)), max_size=14).map(b"".join))
def test_any_bytes_get_an_answer(request_):
    """Whatever comes, the answer is one of six, and only a request that begins with GET /metrics sees the page."""
    status, has_page = status_of(request_)
    assert status in STATUSES
    assert has_page == (status == b"200")
    assert not has_page or request_.startswith((b"GET /metrics HTTP/1.", b"GET /metrics?"))


@given(st.lists(st.one_of(PIECES, st.binary(max_size=9)), max_size=14).map(b"".join))
def test_without_the_token_nothing_is_shown(request_):
    """Where a token is asked, no bytes that lack it see the page."""
    access = Access((hashlib.sha256(b"a token that is never drawn").digest(),))
    assert not status_of(request_, access)[1]


@given(st.binary(max_size=64))
def test_a_request_is_whole_at_its_end(request_):
    """A request is answered once its headers have ended, and not before."""
    assert is_whole(request_) == (b"\r\n\r\n" in request_)
