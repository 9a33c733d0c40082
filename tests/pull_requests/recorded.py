"""The four hosts' APIs on loopback: comments in the shapes that the hosts answer, kept in memory."""

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "t0ken-of-nobody"
BOT = {"login": "github-actions[bot]", "id": 41898282, "type": "Bot"}


@dataclass
class Api:
    """Comments of one pull request, and what the host does out of the ordinary."""

    texts: dict[int, str] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], object]] = field(default_factory=list)
    """Method, path with query, headers by lower-case name, document."""
    refusals: list[tuple[str, int, dict[str, str], bytes]] = field(default_factory=list)
    """Method → status, headers and body in place of an answer, used up from the front."""
    foreign: set[int] = field(default_factory=set)
    """Comments of other users, which may not be changed."""
    authors: dict[int, dict[str, object]] = field(default_factory=dict)
    """Users of comments that others wrote, and that the host lets the token change all the same."""
    user: dict[str, object] | None = None
    """Whom the token is of; None: a job's own token."""

    def refuse(self, method, status, body=b"{}", **headers):
        """Answer so once."""
        self.refusals.append((method, status, {name.replace("_", "-"): text for name, text in headers.items()}, body))

    def answer(self, method, target, document):
        """Status, headers and document."""
        raise NotImplementedError

    def changed(self, number, text):
        """Another text, unless the comment is another user's, or gone."""
        if number in self.foreign:
            return 403, {}, {"message": "Forbidden"}
        if number not in self.texts:
            return 404, {}, {"message": "Not Found"}
        self.texts[number] = text
        return 200, {}, {"id": number}

    def posted(self, text):
        """A new comment."""
        number = max(self.texts, default=100) + 1
        self.texts[number] = text
        return 201, {}, {"id": number}


def page_of(target, entries, size="per_page"):
    """The entries of the page that a query asks for."""
    asked = {name: int(values[0]) for name, values in parse_qs(urlsplit(target).query).items() if values[0].isdecimal()}
    page, most = asked.get("page", 1), asked.get(size, 30)
    return entries[(page - 1) * most : page * most], len(entries) > page * most, page


class GitHubApi(Api):
    """GET, POST /repos/o/r/issues/7/comments; PATCH /repos/o/r/issues/comments/N."""

    def answer(self, method, target, document):
        """As the host does."""
        path = urlsplit(target).path
        if method == "GET" and path == "/user":
            return (
                (200, {}, self.user) if self.user else (403, {}, {"message": "Resource not accessible by integration"})
            )
        if method == "GET" and path == "/repos/acme/chat/issues/7/comments":
            entries = [
                {"url": f"https://api.github.com/repos/acme/chat/issues/comments/{number}", "id": number, "node_id": "IC_x",
                 "user": self.authors.get(number, self.user or BOT), "created_at": "2026-11-01T08:00:00Z", "author_association": "NONE", "body": text}
                for number, text in self.texts.items()
            ]  # fmt: skip
            return 200, {}, page_of(target, entries)[0]
        if method == "POST" and path == "/repos/acme/chat/issues/7/comments":
            return self.posted(document["body"])
        match = re.fullmatch(r"/repos/acme/chat/issues/comments/(\d+)", path)
        if method == "PATCH" and match:
            return self.changed(int(match[1]), document["body"])
        return 404, {}, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}


class GitLabApi(Api):
    """GET, POST, PUT /projects/55/merge_requests/7/notes[/N]."""

    def answer(self, method, target, document):
        """As the host does."""
        path = unquote(urlsplit(target).path)
        if method == "GET" and path == "/user":
            return 200, {}, {"id": 9, "username": "project_55_bot"}
        if method == "GET" and path == "/projects/55/merge_requests/7/notes":
            entries = [{"id": 1, "type": None, "body": "added 1 commit", "system": True, "noteable_iid": 7}]
            entries += [
                {
                    "id": number,
                    "type": None,
                    "body": text,
                    "system": False,
                    "author": self.authors.get(number, {"username": "project_55_bot"}),
                }
                for number, text in self.texts.items()
            ]
            shown, more, page = page_of(target, entries)
            return 200, {"X-Next-Page": str(page + 1) if more else ""}, shown
        if method == "POST" and path == "/projects/55/merge_requests/7/notes":
            return self.posted(document["body"])
        match = re.fullmatch(r"/projects/55/merge_requests/7/notes/(\d+)", path)
        if method == "PUT" and match:
            return self.changed(int(match[1]), document["body"])
        return 404, {}, {"message": "404 Not found"}


class AzureApi(Api):
    """GET, POST threads and PATCH threads/N/comments/1 of a pull request."""

    base = "/My Project/_apis/git/repositories/chat/pullRequests/7/threads"

    def answer(self, method, target, document):
        """As the host does."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        assert parts.query == "api-version=7.1"
        if method == "GET" and path == self.base:
            threads = [
                {"id": 90, "isDeleted": True, "comments": [{"id": 1, "content": "gone"}]},
                {"id": 91, "isDeleted": False, "comments": []},
                *(
                    {"id": number, "status": "closed", "isDeleted": False, "pullRequestThreadContext": None,
                     "comments": [{"id": 1, "parentCommentId": 0, "content": text, "commentType": "text"},
                                  {"id": 2, "parentCommentId": 1, "content": "thanks", "commentType": "text"}]}
                    for number, text in self.texts.items()
                ),
            ]  # fmt: skip
            return 200, {}, {"value": threads, "count": len(threads)}
        if method == "POST" and path == self.base:
            assert document["status"] == "closed"
            return (200, *self.posted(document["comments"][0]["content"])[1:])
        match = re.fullmatch(re.escape(self.base) + r"/(\d+)/comments/1", path)
        if method == "PATCH" and match:
            return self.changed(int(match[1]), document["content"])
        return 404, {}, {"message": "TF401180: The requested pull request was not found.", "typeKey": "x"}


class BitbucketApi(Api):
    """GET, POST, PUT /repositories/acme/chat/pullrequests/7/comments[/N]."""

    base = "/repositories/acme/chat/pullrequests/7/comments"
    origin = ""

    def answer(self, method, target, document):
        """As the host does."""
        path = urlsplit(target).path
        if method == "GET" and path == self.base:
            entries = [{"id": 3, "deleted": True, "content": {"raw": "", "markup": "markdown", "html": ""}}]
            entries += [
                {"id": number, "deleted": False, "content": {"raw": text, "markup": "markdown", "html": "<p>…</p>"}}
                for number, text in self.texts.items()
            ]
            shown, more, page = page_of(target, entries, "pagelen")
            following = {"next": f"{self.origin}{self.base}?pagelen=100&page={page + 1}"} if more else {}
            return 200, {}, {"pagelen": 100, "page": page, "size": len(entries), "values": shown, **following}
        if method == "POST" and path == self.base:
            return self.posted(document["content"]["raw"])
        match = re.fullmatch(re.escape(self.base) + r"/(\d+)", path)
        if method == "PUT" and match:
            return self.changed(int(match[1]), document["content"]["raw"])
        return 404, {}, {"type": "error", "error": {"message": "Resource not found"}}


APIS = {"github": GitHubApi, "gitlab": GitLabApi, "azure-repos": AzureApi, "bitbucket": BitbucketApi}
PROJECTS = {"github": "acme/chat", "gitlab": "55", "azure-repos": "My Project/chat", "bitbucket": "acme/chat"}
TOKENS = {
    "github": "GITHUB_TOKEN",
    "gitlab": "GITLAB_TOKEN",
    "azure-repos": "SYSTEM_ACCESSTOKEN",
    "bitbucket": "BITBUCKET_TOKEN",
}


@contextmanager
def serving(api):
    """The API on a free port of loopback; the base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet for an answer

        def reply(self):
            length = int(self.headers.get("Content-Length", 0))
            document = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            api.seen.append((self.command, self.path, headers, document))
            refusal = next((one for one in api.refusals if one[0] == self.command), None)
            if refusal is None:
                status, extra, answer = api.answer(self.command, self.path, document)
                body = json.dumps(answer).encode()
            else:
                api.refusals.remove(refusal)
                _, status, extra, body = refusal
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **extra, "Content-Length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = reply  # noqa: N815 - the names that the base class looks for

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)  # an HTTPServer asks the DNS for its own name
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        origin = f"http://127.0.0.1:{server.server_address[1]}"
        if isinstance(api, BitbucketApi):
            api.origin = origin
        yield origin
    finally:
        server.shutdown()
        server.server_close()
