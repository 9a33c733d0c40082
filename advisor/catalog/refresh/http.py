"""JSON over HTTP for services without a client library."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from advisor.catalog.refresh.values import Denied, Unreachable
from advisor.errors import InputError
from advisor.reading import json_of
from advisor.records import dataclass
from advisor.units import BYTES_PER_MIB

if TYPE_CHECKING:
    import urllib3

_PASSING = (408, 429, 500, 502, 503, 504)
_DENIED = (401, 403)
_MOST_PAGES = 20_000
_MOST_BYTES = 64 * BYTES_PER_MIB
"""Largest answer of a service: pages of price lists have some MiB."""
_BOUNDED_TRIES = 3
_SHOWN = 200
_MOST_SAID_BYTES = 64 * 1024
_CONNECTION = re.compile(r"^(?:\w+\(.*?\)|None): ")


@dataclass(frozen=True, eq=False)
class Client:
    """Asks, waits as long as it is told to, and asks again."""

    tries: int = 8
    backoff_seconds: float = 1.0
    """First wait; it doubles from try to try."""
    seconds_left: float = math.inf
    """Longest wait in all between the tries of one question."""
    timeout_seconds: float = 60.0
    token: str = ""
    """Sent as bearer token; "" for services that ask for none."""

    def get(self, url: str, parameters: Mapping[str, str] | None = None, remedy: str = "") -> Mapping[str, Any]:
        """The JSON object at *url*.

        Raises Denied if the service does not let this caller ask, and Unreachable if no answer or no JSON object, after
        every retry.
        """
        address = f"{url}?{urlencode(parameters)}" if parameters else url
        host = _host(url)
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        status, content = self._answer(address, headers, _MOST_BYTES + 1, unpacked=True)
        _check(host, status, content, remedy)
        if len(content) > _MOST_BYTES:
            raise Unreachable(f"{host} answered more than {_MOST_BYTES / BYTES_PER_MIB:g} MiB", "check the address")
        try:
            document = json_of(content.decode(), host)
        except (InputError, UnicodeDecodeError) as error:
            raise Unreachable(f"{host} answered what is not JSON: {error}", "run the command again") from error
        if not isinstance(document, dict):
            raise Unreachable(f"{host} answered no JSON object", "run the command again")
        return document

    def download(self, url: str, most_bytes: int) -> bytes:
        """Content at *url*, up to a byte more than *most_bytes*. Raises as :meth:`get` does."""
        status, content = self._answer(url, {"Accept-Encoding": "identity"}, most_bytes + 1, unpacked=False)
        _check(_host(url), status, content, "check the address")
        return content

    def _answer(
        self, address: str, headers: Mapping[str, str], most_bytes: int, *, unpacked: bool
    ) -> tuple[int, bytes]:
        """Status and the first bytes of the body, as it was sent or unpacked."""
        import urllib3  # noqa: PLC0415 - commands that ask nobody stay quick

        from advisor.http_pools import Pace, first_bytes  # noqa: PLC0415 - as above

        for tries_left in reversed(range(_BOUNDED_TRIES)):
            try:
                answer = self._pool.request("GET", address, headers=headers, preload_content=False)
                pace = Pace(_host(address), 10 * self.timeout_seconds, self.timeout_seconds)
                return answer.status, first_bytes(answer, most_bytes, pace, unpacked=unpacked)
            except urllib3.exceptions.HTTPError as error:
                if not (isinstance(error, urllib3.exceptions.ProtocolError) and tries_left):
                    said = f"{_host(address)}: {short_words(error)}"
                    raise Unreachable(said, "check the network and run the command again") from error
        raise AssertionError  # the last try returns or raises

    @cached_property
    def _pool(self) -> "urllib3.PoolManager":
        import urllib3  # noqa: PLC0415 - as above

        from advisor.http_pools import LONGEST_WAIT_SECONDS, BoundedRetry, bounded  # noqa: PLC0415 - as above

        retries = BoundedRetry(
            total=self.tries,
            connect=min(3, self.tries),
            read=min(2, self.tries),
            status_forcelist=_PASSING,
            backoff_factor=self.backoff_seconds,
            backoff_jitter=self.backoff_seconds,
            backoff_max=LONGEST_WAIT_SECONDS,
            raise_on_status=False,
            respect_retry_after_header=True,
            seconds_left=self.seconds_left,
        )
        timeout = urllib3.Timeout(connect=min(10.0, self.timeout_seconds), read=self.timeout_seconds)
        return bounded(urllib3.PoolManager(retries=retries, timeout=timeout, maxsize=16), self.timeout_seconds)


def brief_client() -> Client:
    """A client for a person who waits for one answer: at most 15 s between all tries, and 20 s for each to begin."""
    return Client(tries=5, seconds_left=15.0, timeout_seconds=20.0)


def _host(url: str) -> str:
    """Host and port of an address, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _check(host: str, status: int, content: bytes, remedy: str) -> None:
    """Raise where an answer is not a success."""
    if status == 200:
        return
    said = f"{host} answered {status}: {_message(content[:_MOST_SAID_BYTES])}"
    if status in _DENIED:
        raise Denied(said, remedy or "check whether a proxy or a firewall answers in place of the service")
    later = status in _PASSING or not remedy
    raise Unreachable(said, "run the command again later" if later else remedy)


def pages(
    client: Client, url: str, parameters: Mapping[str, str], next_link: str, remedy: str = ""
) -> Iterator[Mapping[str, Any]]:
    """Pages that name the address of the next one in their field *next_link*.

    Raises Denied, Unreachable as of :meth:`Client.get`; a chain of links that does not end is unreachable too.
    """
    seen = set()
    page = client.get(url, parameters, remedy)
    for _ in range(_MOST_PAGES):
        yield page
        link = page.get(next_link)
        if not link:
            return
        if link in seen or urlsplit(link).netloc != urlsplit(url).netloc:
            raise Unreachable(
                f"{_host(url)}: the link to the next page repeats, or points to another host", "run it again later"
            )
        seen.add(link)
        page = client.get(link, remedy=remedy)
    raise Unreachable(f"{_host(url)}: more than {_MOST_PAGES:,} pages", "this is not a price list")


def token_pages(
    client: Client, url: str, parameters: Mapping[str, str], remedy: str
) -> Iterator[Mapping[str, Any]]:  # fmt: skip
    """Pages that name the token of the next one in ``nextPageToken``, which is sent as ``pageToken``.

    Raises Denied, Unreachable as of :meth:`Client.get`; a chain of tokens that does not end is unreachable too.
    """
    token = ""
    for _ in range(_MOST_PAGES):
        page = client.get(url, {**parameters, "pageToken": token} if token else parameters, remedy)
        yield page
        token = page.get("nextPageToken") or ""
        if not token:
            return
    raise Unreachable(f"{_host(url)}: more than {_MOST_PAGES:,} pages", "this is not a list of what is sold")


def _message(body: bytes) -> str:
    """Message of an error's body, in one short line."""
    try:
        document = json.loads(body)
        error = document.get("error") or document.get("Error") or document
        text = str(error.get("message") or error.get("Message") or error)
    except (ValueError, AttributeError, RecursionError):
        text = body.decode("utf-8", "replace")
    return " ".join(text.split())[:_SHOWN] or "nothing"


def short_words(error: Exception) -> str:
    """The reason at the bottom of a failed retry, in one short line, without what a library puts before it."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, Exception) and len(reason.args) > 1 and isinstance(reason.args[0], str):
        reason = reason.args[0]  # the others repeat it
    return _CONNECTION.sub("", " ".join(str(reason).split()))[:_SHOWN]
