"""The server that takes remote write: one request, and what its answer means."""

import calendar
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.errors import InputError
from advisor.samples.agent.outbox.encoding import Sample, write_request
from advisor.samples.bounded_http import (
    Address,
    Answer,
    Connection,
    ExchangeError,
    Limits,
    basic_authorization,
    is_loopback,
)

if TYPE_CHECKING:
    import ssl

LIMITS = Limits(connect_seconds=5.0, total_seconds=30.0, body_bytes=256 * 1024)
LONGEST_WAIT_SECONDS = 600.0
"""However long a server asks to wait."""
_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "advisor-agent",
}
_LONGEST_REASON = 200
_REJECTED = (400, 413, 422)


@dataclass(frozen=True, slots=True)
class Sent:
    """The server has it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server does not want something in it, and never will."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """The server cannot take it now, or something has to be mended first."""

    reason: str
    wait_seconds: float | None
    """As the server asks; None: it does not say."""


Outcome = Sent | Rejected | Later


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files with what a server asks for; read for each request, so that they may be replaced."""

    bearer_file: Path | None = None
    basic_file: Path | None = None
    """One line, ``user:password``."""

    def authorization(self) -> str | None:
        """Value of the header; None where there is none.

        Raises:
            InputError: a file cannot be read, or is empty.
        """
        if self.bearer_file is not None:
            return f"Bearer {_secret(self.bearer_file)}"
        if self.basic_file is not None:
            user, _, password = _secret(self.basic_file).partition(":")
            return basic_authorization(user, password)
        return None


class Destination:
    """Where samples are sent."""

    def __init__(self, address: Address, credentials: Credentials, tls: "ssl.SSLContext | None" = None) -> None:
        """Nothing is sent yet.

        Raises:
            InputError: credentials would travel through a network in the clear, or cannot be read.
        """
        has_secret = credentials.authorization() is not None or address.authorization is not None
        if has_secret and address.scheme == "http" and not is_loopback(address.host):
            raise InputError("credentials would travel in the clear", where=address.shown, hint="give an https address")
        self.address = address
        self._credentials = credentials
        self._connection = Connection(address, LIMITS, tls)

    def send(self, samples: Sequence[Sample]) -> Outcome:
        """Send samples in one request; redirects are refused, so that credentials go nowhere else."""
        try:
            authorization = self._credentials.authorization()
            headers = _HEADERS if authorization is None else {**_HEADERS, "Authorization": authorization}
            return meaning_of(self._connection.exchange("POST", headers, write_request(samples)))
        except ExchangeError as error:
            return Later(str(error), None)
        except InputError as error:
            return Later(error.message, None)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def meaning_of(answer: Answer) -> Outcome:
    """What an answer says about the request."""
    if 200 <= answer.status < 300:
        return Sent()
    reason = f"HTTP {answer.status}"
    words = _one_line(answer.body)
    if answer.status in _REJECTED:
        return Rejected(f"{reason}: {words}" if words else reason)
    if 300 <= answer.status < 400:
        return Later(f"{reason}: it redirects elsewhere; give the address that takes the samples", None)
    return Later(reason, _wait_seconds(answer.headers.get("retry-after", ""), time.time()))


def _wait_seconds(text: str, now: float) -> float | None:
    """Seconds of a ``Retry-After`` header: a number of them, or a date."""
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT_SECONDS)
    try:
        moment = calendar.timegm(time.strptime(text, "%a, %d %b %Y %H:%M:%S GMT"))
    except ValueError:
        return None
    return min(max(moment - now, 0.0), LONGEST_WAIT_SECONDS)


def _one_line(body: bytes) -> str:
    text = body[: 4 * _LONGEST_REASON].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_REASON]


def _secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"cannot read the credentials: {reason}", where=str(path)) from error
    if not text or not text.isprintable():
        raise InputError("there is no secret of one line in this file", where=str(path))
    return text
