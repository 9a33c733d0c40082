"""One comment of a tag on a pull request: changed where it is there, posted where it is not."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from advisor.errors import InputError
from advisor.names import without_credentials
from advisor.pull_requests.exchange import Client, Comment, Refused, Request
from advisor.records import dataclass

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

    Raises:
        InputError: the tag is no name, or the text is empty or longer than the host takes.
        Refused: the host does not let this token read or write comments, or does not answer.
    """
    tagged = _tagged(text, tag)
    _check_length(client, tagged.text)
    for comment in _own([comment for comment in _comments(client) if _line_of(comment.text) == tagged.line], client):
        if _normal(comment.text) == _normal(tagged.text):
            return Action.UNCHANGED
        if _is_changed(client, client.host.change(client.place, comment, tagged.text)):
            return Action.UPDATED
    client.send(client.host.creation(client.place, tagged.text))
    return Action.POSTED


def _tagged(text: str, tag: str) -> _Tagged:
    if _TAG.fullmatch(tag) is None:
        raise InputError(
            f"{tag!r} is no tag", where="--tag", hint="letters, digits, dots, underscores and hyphens, at most 64"
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
                "the answer is no list of comments",
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
            "the answer is no user", status=200, where=without_credentials(page), hint="check --host and --api"
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


def _line_of(text: str) -> str:
    return text.partition("\n")[0].strip()


def _normal(text: str) -> str:
    """Text as hosts give it back: line ends and blanks at the end may differ."""
    return text.replace("\r\n", "\n").strip()
