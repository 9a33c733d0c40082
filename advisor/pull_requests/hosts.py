"""GitHub, GitLab, Azure Repos and Bitbucket Cloud, each as its API wants it.

Sources: GitHub REST API 2022-11-28, issue comments; GitLab REST API v4, notes; Azure DevOps REST API 7.1, pull request
threads; Bitbucket Cloud REST API 2.0, pull request comments.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from advisor.pull_requests.exchange import Comment, Host, PullRequest, Request

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
