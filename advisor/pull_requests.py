"""Comments on pull requests at GitHub, GitLab, Azure Repos and Bitbucket Cloud: one comment, kept up to date.

Exchanges with a host are bounded, and its refusals hold no token. Sources: GitHub REST API 2022-11-28, issue comments;
GitLab REST API v4, notes; Azure DevOps REST API 7.1, pull request threads; Bitbucket Cloud REST API 2.0, pull request
comments.
"""

import base64
import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

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


_PAGE = 100
"""Comments of a page: the most that each host gives."""
_MERGE_REF = re.compile(r"refs/pull/(\d+)/")
_MOST_EVENT_BYTES = 8 * 1024 * 1024


class _GitHub(Host):
    """github.com and GitHub Enterprise; a comment on a pull request is one on its issue."""

    title: ClassVar[str] = "GitHub"
    token_variables: ClassVar[tuple[str, ...]] = ("GITHUB_TOKEN",)
    most_characters: ClassVar[int] = 65_536
    needs: ClassVar[str] = (
        "`permissions: pull-requests: write` in the workflow, or a token with write access to pull requests"
    )

    def in_environment(self, environment: Mapping[str, str]) -> PullRequest | None:
        if "GITHUB_ACTIONS" not in environment and "GITHUB_REPOSITORY" not in environment:
            return None
        return PullRequest(
            api=environment.get("GITHUB_API_URL", "https://api.github.com"),
            project=environment.get("GITHUB_REPOSITORY", ""),
            number=_number_on_github(environment),
        )

    def headers(self, token: str, variable: str) -> Mapping[str, str]:  # noqa: ARG002 - all are bearer tokens
        return {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def user_page(self, place: PullRequest) -> str:
        """A token with write access may change everybody's comments."""
        return f"{place.api}/user"

    def is_own(self, comment: Comment, user: Any) -> bool:  # noqa: ANN401 - any JSON value
        """Whether the same user wrote it; for a job's own token, which has none: whether a program did, by brackets."""
        return comment.author == user["login"] if user else comment.author.endswith("[bot]")

    def first_page(self, place: PullRequest) -> str:
        return f"{self._comments(place)}?per_page={_PAGE}&page=1"

    def next_page(self, url: str, headers: Mapping[str, str], document: Any) -> str:  # noqa: ANN401, ARG002
        return _next_number(url) if isinstance(document, list) and len(document) == _PAGE else ""

    def comments(self, document: Any) -> Iterator[Comment]:  # noqa: ANN401 - any JSON value
        return (
            Comment(str(comment["id"]), str(comment.get("body") or ""), _login(comment, "user", "login"))
            for comment in document
        )

    def creation(self, place: PullRequest, text: str) -> Request:
        return Request("POST", self._comments(place), {"body": text})

    def change(self, place: PullRequest, comment: Comment, text: str) -> Request:
        return Request("PATCH", f"{_repository(place)}/issues/comments/{comment.path}", {"body": text})

    def _comments(self, place: PullRequest) -> str:
        return f"{_repository(place)}/issues/{place.number}/comments"


class _GitLab(Host):
    """gitlab.com and GitLab of one's own; comments are notes of a merge request."""

    title: ClassVar[str] = "GitLab"
    token_variables: ClassVar[tuple[str, ...]] = ("GITLAB_TOKEN",)
    most_characters: ClassVar[int] = 1_000_000
    needs: ClassVar[str] = "scope `api` and the role Reporter or above (the job's own CI_JOB_TOKEN may not write notes)"

    def in_environment(self, environment: Mapping[str, str]) -> PullRequest | None:
        if "GITLAB_CI" not in environment:
            return None
        project = environment.get("CI_MERGE_REQUEST_PROJECT_ID") or environment.get("CI_PROJECT_ID", "")
        api = environment.get("CI_API_V4_URL", "https://gitlab.com/api/v4")
        return PullRequest(api, project, environment.get("CI_MERGE_REQUEST_IID", ""))

    def headers(self, token: str, variable: str) -> Mapping[str, str]:  # noqa: ARG002 - all are of one kind
        """Private token: personal, project and group access tokens alike."""
        return {"PRIVATE-TOKEN": token, "Accept": "application/json"}

    def user_page(self, place: PullRequest) -> str:
        """A maintainer may change everybody's notes."""
        return f"{place.api}/user"

    def is_own(self, comment: Comment, user: Any) -> bool:  # noqa: ANN401 - any JSON value
        return bool(user) and comment.author == user["username"]

    def first_page(self, place: PullRequest) -> str:
        return f"{self._notes(place)}?per_page={_PAGE}&page=1&sort=asc&order_by=created_at"

    def next_page(self, url: str, headers: Mapping[str, str], document: Any) -> str:  # noqa: ANN401, ARG002
        return _next_number(url) if headers.get("x-next-page", "").strip() else ""

    def comments(self, document: Any) -> Iterator[Comment]:  # noqa: ANN401 - any JSON value
        """Notes of people and programs; those of GitLab itself are none."""
        notes = (note for note in document if not note.get("system"))
        return (
            Comment(str(note["id"]), str(note.get("body") or ""), _login(note, "author", "username")) for note in notes
        )

    def creation(self, place: PullRequest, text: str) -> Request:
        return Request("POST", self._notes(place), {"body": text})

    def change(self, place: PullRequest, comment: Comment, text: str) -> Request:
        return Request("PUT", f"{self._notes(place)}/{comment.path}", {"body": text})

    def _notes(self, place: PullRequest) -> str:
        return f"{place.api}/projects/{quote(place.project, safe='')}/merge_requests/{place.number}/notes"


class _AzureRepos(Host):
    """Azure Repos of Azure DevOps; a comment is the first one of a closed thread, so that it blocks no merge.

    All threads come at once, and it refuses changes to comments of others.
    """

    title: ClassVar[str] = "Azure Repos"
    token_variables: ClassVar[tuple[str, ...]] = ("SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_EXT_PAT")
    most_characters: ClassVar[int] = 150_000
    needs: ClassVar[str] = (
        "`Contribute to pull requests` on the repository for the build service, or a token with Code (read & write)"
    )

    def in_environment(self, environment: Mapping[str, str]) -> PullRequest | None:
        if "TF_BUILD" not in environment:
            return None
        parts = (environment.get("SYSTEM_TEAMPROJECT", ""), environment.get("BUILD_REPOSITORY_ID", ""))
        return PullRequest(
            api=environment.get("SYSTEM_COLLECTIONURI", "").rstrip("/"),
            project="/".join(parts) if all(parts) else "",
            number=environment.get("SYSTEM_PULLREQUEST_PULLREQUESTID", ""),
        )

    def headers(self, token: str, variable: str) -> Mapping[str, str]:
        """A personal token is a password without a user; the job's own is a bearer token."""
        if variable == "AZURE_DEVOPS_EXT_PAT":
            scheme = f"Basic {base64.b64encode(f':{token}'.encode()).decode()}"
        else:
            scheme = f"Bearer {token}"
        return {"Authorization": scheme, "Accept": "application/json", "X-TFS-FedAuthRedirect": "Suppress"}

    def first_page(self, place: PullRequest) -> str:
        return f"{self._threads(place)}?{_AZURE_VERSION}"

    def comments(self, document: Any) -> Iterator[Comment]:  # noqa: ANN401 - any JSON value
        """The first comment of each thread that is still there."""
        for thread in document["value"]:
            first = next(iter(thread.get("comments") or ()), None)
            if first and not (thread.get("isDeleted") or first.get("isDeleted")):
                yield Comment(f"{thread['id']}/comments/{first['id']}", str(first.get("content") or ""))

    def creation(self, place: PullRequest, text: str) -> Request:
        comments = [{"parentCommentId": 0, "content": text, "commentType": "text"}]
        return Request("POST", self.first_page(place), {"comments": comments, "status": "closed"})

    def change(self, place: PullRequest, comment: Comment, text: str) -> Request:
        return Request("PATCH", f"{self._threads(place)}/{comment.path}?{_AZURE_VERSION}", {"content": text})

    def _threads(self, place: PullRequest) -> str:
        project, _, repository = place.project.partition("/")
        where = f"{quote(project, safe='')}/_apis/git/repositories/{quote(repository, safe='')}"
        return f"{place.api}/{where}/pullRequests/{place.number}/threads"


_AZURE_VERSION = "api-version=7.1"


class _Bitbucket(Host):
    """Bitbucket Cloud, which refuses changes to comments of others."""

    title: ClassVar[str] = "Bitbucket"
    token_variables: ClassVar[tuple[str, ...]] = ("BITBUCKET_TOKEN",)
    most_characters: ClassVar[int] = 32_768
    needs: ClassVar[str] = "a repository, project or workspace access token with the scope `pullrequest:write`"

    def in_environment(self, environment: Mapping[str, str]) -> PullRequest | None:
        if "BITBUCKET_BUILD_NUMBER" not in environment:
            return None
        project = environment.get("BITBUCKET_REPO_FULL_NAME", "")
        return PullRequest("https://api.bitbucket.org/2.0", project, environment.get("BITBUCKET_PR_ID", ""))

    def first_page(self, place: PullRequest) -> str:
        return f"{self._comments(place)}?pagelen={_PAGE}"

    def next_page(self, url: str, headers: Mapping[str, str], document: Any) -> str:  # noqa: ANN401, ARG002
        """The URL that the page names, on the same host alone: the token goes with it."""
        following = str(document.get("next") or "")
        return following if urlsplit(following)[:2] == urlsplit(url)[:2] else ""

    def comments(self, document: Any) -> Iterator[Comment]:  # noqa: ANN401 - any JSON value
        for comment in document["values"]:
            if not comment.get("deleted"):
                yield Comment(str(comment["id"]), str((comment.get("content") or {}).get("raw") or ""))

    def creation(self, place: PullRequest, text: str) -> Request:
        return Request("POST", self._comments(place), {"content": {"raw": text}})

    def change(self, place: PullRequest, comment: Comment, text: str) -> Request:
        return Request("PUT", f"{self._comments(place)}/{comment.path}", {"content": {"raw": text}})

    def _comments(self, place: PullRequest) -> str:
        return f"{place.api}/repositories/{quote(place.project)}/pullrequests/{place.number}/comments"


HOSTS: Mapping[str, Host] = {
    "github": _GitHub(),
    "gitlab": _GitLab(),
    "azure-repos": _AzureRepos(),
    "bitbucket": _Bitbucket(),
}


def _login(comment: Mapping[str, Any], user: str, name: str) -> str:
    """Name of the user of a comment; "" where the user is gone."""
    return str((comment.get(user) or {}).get(name) or "")


def _repository(place: PullRequest) -> str:
    return f"{place.api}/repos/{quote(place.project)}"


def _next_number(url: str) -> str:
    """The same URL with the next page's number."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    return urlunsplit(parts._replace(query=urlencode(asked | {"page": str(int(asked["page"]) + 1)})))


def _number_on_github(environment: Mapping[str, str]) -> str:
    """Number of the ref, or of the event where the workflow runs on another ref; "" where neither says."""
    in_ref = _MERGE_REF.match(environment.get("GITHUB_REF", ""))
    if in_ref:
        return in_ref[1]
    try:
        path = Path(environment["GITHUB_EVENT_PATH"])
        event = json.loads(path.read_bytes()[:_MOST_EVENT_BYTES])
        return str(int(event["pull_request"]["number"]))
    except (KeyError, OSError, TypeError, ValueError, RecursionError):
        return ""
