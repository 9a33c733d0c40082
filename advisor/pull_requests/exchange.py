"""A pull request, its one comment, and exchanges with its host: bounded, with refusals that hold no token."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from enum import StrEnum
from typing import Any, ClassVar

from advisor.errors import AdvisorError, InputError
from advisor.names import printable, without_credentials
from advisor.reading import json_of
from advisor.records import dataclass
from advisor.samples.bounded_http import Answer, Connection, ExchangeError, Limits, parse_address
from advisor.units import BYTES_PER_MIB


@dataclass(frozen=True, slots=True)
class PullRequest:
    """Pull request to comment on."""

    api: str
    """Base URL of the host's API, without a slash at its end."""
    project: str
    """Repository as the host's API names it: ``owner/name``, a number, ``PROJECT/REPOSITORY``."""
    number: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment as the host keeps it."""

    path: str
    """Address in the API, after that of the comments."""
    text: str
    author: str = ""
    """Name of the user who wrote it; "" where the host itself lets nobody else change it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that changes a comment."""

    method: str
    url: str
    document: Mapping[str, Any]


class Host:
    """API of one host: how it lists, posts and changes comments."""

    title: ClassVar[str]
    token_variables: ClassVar[tuple[str, ...]]
    """Environment variables that may hold the token, in the order in which they are looked at."""
    most_characters: ClassVar[int]
    """Longest comment that the host takes."""
    needs: ClassVar[str]
    """Permission that the token needs, for messages."""

    def in_environment(self, environment: Mapping[str, str]) -> PullRequest | None:
        """The pull request of the CI job; what it does not say is empty; None: no job of this host."""
        raise NotImplementedError

    def headers(self, token: str, variable: str) -> Mapping[str, str]:  # noqa: ARG002 - most take one kind of token
        """Headers that carry a token, which the environment variable of that name held."""
        return {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def user_page(self, place: PullRequest) -> str:  # noqa: ARG002 - some have none
        """URL of the token's own user; "" where the host lets nobody change the comments of others."""
        return ""

    def is_own(self, comment: Comment, user: Any) -> bool:  # noqa: ANN401, ARG002 - any JSON value
        """Whether a comment is by *user*, the JSON at :meth:`user_page`; None: the token may not read it."""
        return True

    def first_page(self, place: PullRequest) -> str:
        """URL of the first page of comments."""
        raise NotImplementedError

    def next_page(self, url: str, headers: Mapping[str, str], document: Any) -> str:  # noqa: ANN401, ARG002 - as above
        """URL of the page after *url*, which was answered so; "" after the last one."""
        return ""

    def comments(self, document: Any) -> Iterator[Comment]:  # noqa: ANN401 - any JSON value
        """Comments of a page, the oldest first."""
        raise NotImplementedError

    def creation(self, place: PullRequest, text: str) -> Request:
        """A new comment."""
        raise NotImplementedError

    def change(self, place: PullRequest, comment: Comment, text: str) -> Request:
        """Another text of a comment."""
        raise NotImplementedError


_LIMITS = Limits(connect_seconds=10.0, total_seconds=30.0, body_bytes=16 * BYTES_PER_MIB)
"""A page holds a hundred comments of up to 64 KiB."""
_DONE = (200, 201)
_SHOWN = 200


class Refused(AdvisorError):  # noqa: N818 - an answer
    """The host refused, or did not answer."""

    def __init__(self, message: str, *, status: int, where: str, hint: str) -> None:
        """Keep the status, by which a caller may go on."""
        super().__init__(message, where=where, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """The API of one host with one token."""

    host: Host
    place: PullRequest
    token: str
    token_variable: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Client({self.host.title}, {self.place})"

    def get(self, url: str) -> tuple[Mapping[str, str], Any]:
        """Headers and JSON at a URL. Raises Refused as of :meth:`send`."""
        return self._exchange("GET", url, b"")

    def send(self, request: Request) -> Any:  # noqa: ANN401 - any JSON value
        """The answer to a request that changes something, which is sent once.

        Raises Refused if the host does not do it, or does not answer, and InputError if the address would send the
        token in clear text.
        """
        return self._exchange(request.method, request.url, json.dumps(request.document).encode())[1]

    def _exchange(self, method: str, url: str, body: bytes) -> tuple[Mapping[str, str], Any]:
        address = parse_address(url, "/")
        if address.is_in_clear:
            raise InputError(
                f"{address.shown} would send the token in clear text", where="--api", hint="give an https:// address"
            )
        headers = {**self.host.headers(self.token, self.token_variable), "User-Agent": "advisor"}
        headers |= {"Content-Type": "application/json"} if body else {}
        try:
            with closing(Connection(address, _LIMITS)) as connection:
                answer = connection.exchange(method, headers, body)
        except ExchangeError as error:
            hint = "check the address, the network, and that no proxy is needed; then run it again"
            raise Refused(str(error), status=0, where=address.shown, hint=hint) from None
        if answer.status not in _DONE:
            raise self._refusal(answer, address.shown)
        return answer.headers, self._document(answer, address.shown)

    def _document(self, answer: Answer, where: str) -> Any:  # noqa: ANN401 - any JSON value
        try:
            return json_of(answer.body.decode(), where, "check that it is the address of an API")
        except (InputError, UnicodeDecodeError):
            hint = "check --api: a sign-in page or a proxy answers there"
            raise Refused("the answer is not JSON", status=answer.status, where=where, hint=hint) from None

    def _refusal(self, answer: Answer, where: str) -> Refused:
        said = self._said(answer.body)
        message = f"{self.host.title} answered {answer.status}{said and f': {said}'}"
        return Refused(message, status=answer.status, where=where, hint=self._remedy(answer))

    def _remedy(self, answer: Answer) -> str:
        status, place = answer.status, self.place
        if status in (401, 203) or 300 <= status < 400:
            return f"the token is expired, revoked or of another host: make a new one and set {self.token_variable}"
        if _is_rate_limit(answer):
            return f"the rate limit is reached{_until(answer.headers)}: run it again then"
        if status == 403:
            return f"the token may not comment; it needs {self.host.needs}"
        if status == 404:
            return (
                f"no pull request {place.number} of {place.project} is there, or the token may not see it: check "
                f"--project and --pull-request; the token needs {self.host.needs}"
            )
        if status in (400, 413, 422):
            return "the host does not take this comment: is it empty, too long, or the pull request locked?"
        return "run it again later" if status >= 500 else "check --api, --project and --pull-request"

    def _said(self, body: bytes) -> str:
        """The host's own words in one short line, without what could be the token."""
        try:
            document = json.loads(body)
            words = document.get("message") or document.get("error") or ""
            text = words if isinstance(words, str) else json.dumps(words)
        except (ValueError, AttributeError, RecursionError):
            return ""
        return printable(without_credentials(" ".join(text.split())).replace(self.token, "…"))[:_SHOWN]


def _is_rate_limit(answer: Answer) -> bool:
    """Too many requests; GitHub says so with 403 and nothing left, or a time to wait."""
    left = answer.headers.get("x-ratelimit-remaining")
    return answer.status == 429 or (answer.status == 403 and (left == "0" or "retry-after" in answer.headers))


def _until(headers: Mapping[str, str]) -> str:
    """`` until 14:05 UTC`` or `` for 60 s``, where the host says; "" elsewhere."""
    wait, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    if wait.isdecimal():
        return f" for {wait} s"
    if reset.isdecimal() and len(reset) <= 11:
        return f" until {dt.datetime.fromtimestamp(int(reset), dt.UTC):%H:%M} UTC"
    return ""


_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_PAGES = 100
_NOT_OURS = (403, 404)
"""Answers to a change of a comment that another user wrote, or that is gone."""


class Action(StrEnum):
    """Action taken on the comment."""

    POSTED = "posted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class _Tagged:
    """A text with the line that tells its comment from others; Markdown shows nothing of that line."""

    line: str
    text: str


def publish(client: Client, text: str, tag: str) -> Action:
    """Put *text* into the comment of *tag*, which is posted where none can be changed.

    Raises InputError if the tag is not a name, or the text is empty or longer than the host takes, and Refused if the
    host does not let this token read or write comments, or does not answer.
    """
    tagged = _tagged(text, tag)
    _check_length(client, tagged.text)
    comments = [comment for comment in _comments(client) if comment.text.partition("\n")[0].strip() == tagged.line]
    for comment in _own(comments, client):
        if _normal(comment.text) == _normal(tagged.text):
            return Action.UNCHANGED
        if _is_changed(client, client.host.change(client.place, comment, tagged.text)):
            return Action.UPDATED
    client.send(client.host.creation(client.place, tagged.text))
    return Action.POSTED


def _tagged(text: str, tag: str) -> _Tagged:
    if _TAG.fullmatch(tag) is None:
        raise InputError(
            f"{tag!r} is not a tag", where="--tag", hint="letters, digits, dots, underscores and hyphens, at most 64"
        )
    line = f"[//]: # (advisor-comment: {tag})"
    return _Tagged(line, f"{line}\n\n{text.strip()}\n")


def _check_length(client: Client, text: str) -> None:
    most = client.host.most_characters
    if not text.partition("\n")[2].strip():
        raise InputError("the comment is empty", hint="give the output of `advisor diff … --format markdown`")
    if len(text) > most:
        raise InputError(
            f"the comment has {len(text):,} characters, and {client.host.title} takes {most:,}",
            hint="give `advisor diff … --format markdown`, which keeps to 60 lines",
        )


def _comments(client: Client) -> Iterator[Comment]:
    """Comments of every page."""
    url = client.host.first_page(client.place)
    for _ in range(_MOST_PAGES):
        headers, document = client.get(url)
        try:
            yield from client.host.comments(document)
        except (AttributeError, KeyError, TypeError):
            raise Refused(
                "the answer is not a list of comments",
                status=200,
                where=without_credentials(client.place.api),
                hint="check --host and --api",
            ) from None
        url = client.host.next_page(url, headers, document)
        if not url:
            return


def _own(comments: list[Comment], client: Client) -> list[Comment]:
    """Comments of the token's user: anybody can begin a comment with the line of a tag."""
    page = client.host.user_page(client.place)
    if not comments or not page:
        return comments
    user = _user(client, page)
    try:
        return [comment for comment in comments if client.host.is_own(comment, user)]
    except (KeyError, TypeError):
        raise Refused(
            "the answer is not a user", status=200, where=without_credentials(page), hint="check --host and --api"
        ) from None


def _user(client: Client, page: str) -> Any:  # noqa: ANN401 - any JSON value
    """The token's user; None where the token may not read it."""
    try:
        return client.get(page)[1]
    except Refused as refusal:
        if refusal.status in _NOT_OURS:
            return None
        raise


def _is_changed(client: Client, request: Request) -> bool:
    """Whether a comment takes the new text; one of another user does not, nor one that was just deleted."""
    try:
        client.send(request)
    except Refused as refusal:
        if refusal.status in _NOT_OURS:
            return False
        raise
    return True


def _normal(text: str) -> str:
    """Text as hosts give it back: line ends and blanks at the end may differ."""
    return text.replace("\r\n", "\n").strip()
