"""The server: a form for a workload, a page for each plan, and what is planned while it runs."""

import asyncio
import hmac
import logging
import os
import secrets
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from advisor.errors import AdvisorError, InputError
from advisor.records import dataclass
from advisor.report.pages.rendering import page_environment
from advisor.serve import Form, Problem, Source
from advisor.serve.guard import COOKIE, MOST_CONNECTIONS, Doors, Guard, ImpatientProtocol
from advisor.serve.sessions import Kept, Session, Sessions, Workers, digest
from advisor.serve.work import changes_of
from advisor.units import BYTES_PER_MIB

_MOST_WORKLOAD_BYTES = 8 * BYTES_PER_MIB
_MOST_FORM_BYTES = BYTES_PER_MIB // 16
_MOST_FIELDS = 500
_PATIENCE_SECONDS = 20.0
_USED_LINK = Problem("this link was used before\n  hint: restart `advisor serve`, which prints another", 410)
_NO_PLAN = Problem("there is no such plan, or it is no longer kept\n  hint: send its change again", 404)
_NO_WORKLOAD = Problem("there is no such workload, or it is no longer kept\n  hint: start with it again at /", 404)
_MOST_HEADER_BYTES = 16_384
_AT_A_TIME = 2
Kind = TypeVar("Kind")


class _Stop(Exception):  # noqa: N818 - an answer rather than an error
    """A problem that ends a request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _page(template: str, status: int = 200, **view: object) -> HTMLResponse:
    return HTMLResponse(page_environment().get_template(template).render(view), status)


def _answered(answer: Kind | Problem) -> Kind:
    """An answer that is not a problem: a problem ends the request."""
    if isinstance(answer, Problem):
        raise _Stop(answer)
    return answer


@dataclass(frozen=True, slots=True)
class Pages:
    """The paths."""

    sessions: Sessions
    doors: Doors
    secret: str
    """Text that a form for a workload brings along."""
    first: str
    """Path of the page that the server begins with."""

    async def start(self, _request: Request) -> Response:
        """The form for a workload."""
        return _page("start.html.j2", secret=self.secret)

    async def take(self, request: Request) -> Response:
        """A workload or plan that was pasted; the answer leads to its page."""
        form = await _form(request, _MOST_WORKLOAD_BYTES, self.secret)
        text = form.text("workload").replace("\r\n", "\n")
        if not text:
            raise _Stop(Problem("nothing was pasted\n  hint: paste a workload file, or a plan as JSON"))
        session = self.sessions.add(Source(text, Path("workload.yaml"), is_own=False))
        return RedirectResponse(session.path, 303)

    async def stated(self, request: Request) -> Response:
        """The page of a workload as stated."""
        kept = _answered(await self.sessions.plan(self._session(request), ()))
        return HTMLResponse(zlib.decompress(kept.page))

    async def change(self, request: Request) -> Response:
        """A changed question; the answer leads to its page."""
        session = self._session(request)
        form = await _form(request, _MOST_FORM_BYTES, session.secret)
        if not session.controls:
            _answered(await self.sessions.plan(session, ()))
        changes = changes_of(form, session.controls)
        _answered(await self.sessions.first(session, changes))
        return RedirectResponse(f"{session.path}{digest(changes)}/", 303)

    async def changed(self, request: Request) -> Response:
        """The page of a changed question; the first answer while its plan is being made."""
        page = self._session(request).first_page(request.path_params["answer"])
        return await self.whole(request) if page is None else HTMLResponse(page)

    async def whole(self, request: Request) -> Response:
        """The page of a changed question's plan, once that is made."""
        return HTMLResponse(zlib.decompress((await self._kept(request)).page))

    async def workload(self, request: Request) -> Response:
        """The workload file with the changes."""
        text = (await self._kept(request)).workload
        if not text:
            raise _Stop(_NO_PLAN)
        return _file("", text.encode(), "application/yaml")

    async def plan(self, request: Request) -> Response:
        """The plan, as `advisor recommend` writes it."""
        return _file("plan.json", zlib.decompress((await self._kept(request)).plan), "application/json")

    async def terraform(self, request: Request) -> Response:
        """The plan's Terraform."""
        archive = _answered(await self.sessions.code(await self._kept(request)))
        return _file("terraform.zip", archive, "application/zip")

    async def enter(self, request: Request) -> Response:
        """A cookie for the browser that opens a link first."""
        cookie = self.doors.cookie_for(request.path_params["code"])
        if cookie is None:
            raise _Stop(_USED_LINK)
        answer = _page("entered.html.j2", first=self.first)
        answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict")
        return answer

    def _session(self, request: Request) -> Session:
        return _answered(self.sessions.find(request.path_params["session"]) or _NO_WORKLOAD)

    async def _kept(self, request: Request) -> Kept:
        """A plan, which is waited for after a first answer."""
        made = await self.sessions.made(self._session(request), request.path_params["answer"])
        return _answered(made or _NO_PLAN)


def _file(name: str, content: bytes, media_type: str) -> Response:
    """A download; without a name it gets the one that its link has."""
    disposition = f'attachment; filename="{name}"' if name else "attachment"
    return Response(content, media_type=media_type, headers={"Content-Disposition": disposition})


async def _form(request: Request, most_bytes: int, secret: str) -> Form:
    """Fields of a form but its secret, which has to be the page's own.

    Raises _Stop if it is too large, comes too slowly, is not a form, or does not know the secret.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > most_bytes:
                    raise _Stop(Problem(f"more than {most_bytes:,} bytes were sent\n  hint: send less", 413))
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except TimeoutError:
        raise _Stop(Problem("the form came too slowly\n  hint: send it again", 408)) from None
    except ValueError:
        raise _Stop(Problem("what was sent is not a form\n  hint: send the form of the page", 400)) from None
    if not hmac.compare_digest("".join(fields.pop("secret", ())).encode(), secret.encode()):
        raise _Stop(Problem("the form is not of this page\n  hint: load the page again, and send it from there", 403))
    return Form({name: tuple(values) for name, values in fields.items()})


async def _stopped(_request: Request, error: Exception) -> Response:
    """Page of whatever ended a request."""
    if isinstance(error, _Stop):
        problem = error.problem
    elif isinstance(error, InputError):
        problem = Problem(str(error))
    elif isinstance(error, HTTPException) and error.status_code < 500:
        problem = Problem("there is nothing here\n  hint: start at /", error.status_code)
    else:
        status = error.status_code if isinstance(error, HTTPException) else 500
        problem = Problem("this is a bug in advisor\n  hint: report it", status)
    return _page("problem.html.j2", problem.status, message=problem.message)


def app_of(sessions: Sessions, doors: Doors, first: str) -> Starlette:
    """The application, which :class:`advisor.serve.guard.Guard` stands before; *first*: path of its first page."""
    pages = Pages(sessions, doors, secrets.token_urlsafe(24), first)
    answer = "/w/{session}/{answer}/"
    routes = [
        Route("/", pages.start, methods=["GET"]),
        Route("/", pages.take, methods=["POST"]),
        Route("/enter/{code}", pages.enter, methods=["GET"]),
        Route("/w/{session}/", pages.stated, methods=["GET"]),
        Route("/w/{session}/", pages.change, methods=["POST"]),
        Route(answer, pages.changed, methods=["GET"]),
        Route(f"{answer}whole", pages.whole, methods=["GET"]),
        Route(f"{answer}workload.yaml", pages.workload, methods=["GET"]),
        Route(f"{answer}plan.json", pages.plan, methods=["GET"]),
        Route(f"{answer}terraform.zip", pages.terraform, methods=["GET"]),
    ]
    handled = dict.fromkeys((_Stop, InputError, HTTPException, Exception), _stopped)
    return Starlette(routes=routes, exception_handlers=handled)


async def serve(
    listener: socket.socket, doors: Doors, source: Source | None, tell: Callable[[str], None], *, plans_ahead: bool
) -> None:
    """Serve until interrupted.

    *source*: what the first page is of; None: what is pasted into it. *plans_ahead*: plan what is a step away while
    nobody asks. Raises AdvisorError if nothing can be planned for the source.
    """
    workers = Workers(min(_AT_A_TIME, os.cpu_count() or 1))
    await workers.warm()
    sessions = Sessions(workers, plans_ahead=plans_ahead)
    path = "/"
    if source is not None:
        session = sessions.add(source)
        answer = await sessions.plan(session, ())
        if isinstance(answer, Problem):
            raise AdvisorError(answer.message)
        path = session.path
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        Guard(app_of(sessions, doors, path), doors),
        lifespan="off",
        ws="none",
        http=ImpatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        timeout_graceful_shutdown=1,
    )
    if doors.token:
        tell(f"for one browser, once: {doors.origin}{doors.new_code()}")
    tell(f"serving on {doors.origin}{path}; Ctrl-C stops")
    await uvicorn.Server(config).serve(sockets=[listener])
