"""A pull request, its comments and the requests that change them, alike for every host."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

from advisor.records import dataclass


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


class Host(Protocol):
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

    def headers(self, token: str, variable: str) -> Mapping[str, str]:
        """Headers that carry a token, which the environment variable of that name held."""

    def user_page(self, place: PullRequest) -> str:
        """URL of the token's own user; "" where the host lets nobody change the comments of others."""

    def is_own(self, comment: Comment, user: Any) -> bool:  # noqa: ANN401 - any JSON value
        """Whether a comment is by *user*, the JSON at :meth:`user_page`; None: the token may not read it."""

    def first_page(self, place: PullRequest) -> str:
        """URL of the first page of comments."""

    def next_page(self, url: str, headers: Mapping[str, str], document: Any) -> str:  # noqa: ANN401 - any JSON value
        """URL of the page after *url*, which was answered so; "" after the last one."""

    def comments(self, document: Any) -> Iterator[Comment]:  # noqa: ANN401 - any JSON value
        """Comments of a page, the oldest first."""

    def creation(self, place: PullRequest, text: str) -> Request:
        """A new comment."""

    def change(self, place: PullRequest, comment: Comment, text: str) -> Request:
        """Another text of a comment."""
