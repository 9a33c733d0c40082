"""Requests to the listener and its answers: one page for ``GET /metrics``, a refusal for anything else."""

import re
from collections.abc import Callable, Mapping, Sequence

from advisor.samples.agent.access import Access

HEADER_BYTES = 8 * 1024
"""A request that is longer is refused."""
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PATH = "/metrics"
_END = b"\r\n\r\n"
_FIRST_LINE = re.compile(r"([A-Z]{1,16}) ([\x21-\x7e]+) HTTP/1\.[01]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 431: "Request Header Fields Too Large",
}  # fmt: skip
_EXTRA = {401: ("WWW-Authenticate: Bearer",), 405: ("Allow: GET",)}


def is_whole(received: bytes) -> bool:
    """Whether there is enough of a request to answer it."""
    return _END in received or len(received) > HEADER_BYTES


def answer_to(received: bytes, access: Access, page: Callable[[], bytes]) -> bytes:
    """The whole answer to a request; *page* is asked for only when it is to be shown."""
    status = _status_for(received, access)
    return _answer(status, page()) if status == 200 else refusal(status)


def refusal(status: int) -> bytes:
    """An answer that shows nothing."""
    return _answer(status, f"{_REASONS[status]}\n".encode(), "text/plain; charset=utf-8")


def _status_for(received: bytes, access: Access) -> int:
    head, end, _ = received.partition(_END)
    if not end or len(head) > HEADER_BYTES:
        return 431
    first, *lines = head.decode("latin-1").split("\r\n")
    request = _FIRST_LINE.fullmatch(first)
    headers = _headers(lines)
    if (
        request is None
        or headers is None
        or "transfer-encoding" in headers
        or headers.get("content-length", "0") != "0"
    ):
        return 400
    if not access.allows(headers.get("authorization", "")):
        return 401
    if request[2].partition("?")[0] != PATH:
        return 404
    return 200 if request[1] == "GET" else 405


def _headers(lines: Sequence[str]) -> Mapping[str, str] | None:
    """Headers by name in lower case; None where a line is none, or one that matters is there twice."""
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None or (match[1].lower() in headers and match[1].lower() in ("authorization", "content-length")):
            return None
        headers[match[1].lower()] = match[2]
    return headers


def _answer(status: int, body: bytes, content_type: str = CONTENT_TYPE) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *_EXTRA.get(status, ()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
