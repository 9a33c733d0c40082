"""Plans by workload: each has an address that cannot be guessed, and nothing of any other."""

import asyncio
import hashlib
import multiprocessing
import os
import secrets
import signal
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from advisor.demand.values import Demand
from advisor.records import dataclass, field
from advisor.report.pages.rendering import Control
from advisor.serve import Changes, Place, Problem, Scope, Source
from advisor.serve.work import code, first, planned

Result = TypeVar("Result")
_CONTEXT = multiprocessing.get_context("forkserver")
_LONGEST_SECONDS = 300.0
_MOST_WAITING = 16


class Workers:
    """A few processes at a time, forked from one that has read the catalog."""

    def __init__(self, at_a_time: int) -> None:
        """None runs yet."""
        self._free = asyncio.Semaphore(at_a_time)
        self._waiting = 0

    async def warm(self) -> None:
        """Start the process that the others are forked from, and wait until it is ready."""
        _CONTEXT.set_forkserver_preload(["advisor.serve.warm"])
        await self.run(os.getpid)

    async def run(
        self, function: Callable[..., Result | Problem], *arguments: object, niceness: int = 0
    ) -> Result | Problem:
        """Result of a function in a process of its own, which ends with the task that waits for it.

        *function*: a public one of a module. *niceness*: by how much others go first.
        """
        if self._waiting >= _MOST_WAITING:
            return Problem("too many plans are asked for at a time\n  hint: wait for some of them", 503)
        self._waiting += 1
        try:
            async with self._free, asyncio.timeout(_LONGEST_SECONDS):
                result: Result | Problem = await _done(function, arguments, niceness)
                return result
        except TimeoutError:
            return Problem(f"no plan within {_LONGEST_SECONDS:g} s\n  hint: name fewer regions or providers", 422)
        finally:
            self._waiting -= 1


async def _done(function: Callable[..., Any], arguments: tuple[Any, ...], niceness: int) -> Any:  # noqa: ANN401 - its result
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_work, args=(sender, function, arguments, niceness), daemon=True)
    process.start()
    sender.close()
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(receiver.fileno(), readable.set)
    try:
        await readable.wait()
        return receiver.recv()
    except EOFError:
        return Problem("the planning process ended, perhaps for lack of memory\n  hint: ask for less", 500)
    finally:
        loop.remove_reader(receiver.fileno())
        process.kill()
        process.join()
        receiver.close()


def _work(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], niceness: int) -> None:
    """Body of a process; an interrupt of the terminal is for the server alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(niceness)
    sender.send(function(*arguments))


MOST_SESSIONS = 32
_MOST_ANSWERS = 32
_CHANGED_MEANWHILE = Problem("a newer change of the same workload took the place of this one", 409)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An answer, its texts compressed."""

    page: bytes
    plan: bytes
    workload: str
    ahead: tuple[Changes, ...]
    scope: Scope | None


@dataclass(slots=True, eq=False)
class Session:
    """One workload: its answers, and the plan that is being made."""

    source: Source
    name: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    answers: OrderedDict[str, Kept] = field(default_factory=OrderedDict)
    """By the digest of their changes, the latest last."""
    controls: tuple[Control, ...] = ()
    """Empty before the first answer."""
    demand: Demand | None = None
    scope: Scope | None = None
    """Fleet of the plan that was shown last."""
    pending: tuple[str, asyncio.Task[Kept | Problem]] | None = None
    first: tuple[Changes, str] | None = None
    """Page of the first answer to the latest change; None where its plan came before."""

    def awaits(self, key: str) -> bool:
        """Whether the plan for changes of a digest is being made."""
        return self.pending is not None and self.pending[0] == key and not self.pending[1].done()

    def first_page(self, key: str) -> str | None:
        """Page of the first answer to changes of a digest while their plan is being made; None otherwise."""
        if self.first is None or digest(self.first[0]) != key or not self.awaits(key):
            return None
        return self.first[1]

    @property
    def path(self) -> str:
        """Address of the workload as stated."""
        return f"/w/{self.name}/"

    def place(self, key: str) -> Place:
        """Paths and secret of the page of changes of a digest."""
        return Place(self.path, self.secret, f"{self.path}{key}/")


def digest(changes: Changes) -> str:
    """Name of an answer within its session."""
    return hashlib.sha256(repr(changes).encode()).hexdigest()[:16]


class Sessions:
    """Every session, the latest used last; of too many the first go, but not that of the command line."""

    def __init__(self, workers: Workers, *, plans_ahead: bool) -> None:
        """No session yet."""
        self._workers = workers
        self._plans_ahead = plans_ahead
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._ahead: asyncio.Task[None] | None = None

    def add(self, source: Source) -> Session:
        """A new session."""
        if len(self._sessions) >= MOST_SESSIONS:
            oldest = next(session for session in self._sessions.values() if not session.source.is_own)
            if oldest.pending is not None:
                oldest.pending[1].cancel()
            del self._sessions[oldest.name]
        session = Session(source)
        self._sessions[session.name] = session
        return session

    def find(self, name: str) -> Session | None:
        """The session of an address."""
        if name in self._sessions:
            self._sessions.move_to_end(name)
        return self._sessions.get(name)

    async def plan(self, session: Session, changes: Changes) -> Kept | Problem:
        """A plan, which is made where it is not kept; a newer change of the session ends one that is being made."""
        key = digest(changes)
        if session.pending is not None and session.pending[0] != key:
            session.pending[1].cancel()
            session.pending = None
        if key in session.answers:
            session.answers.move_to_end(key)
            return self._gone_ahead(session, session.answers[key])
        if session.pending is None:
            self._stop_ahead()
            session.pending = key, asyncio.create_task(self._make(session, changes))
        pending = session.pending
        await asyncio.wait([pending[1]])
        if session.pending is pending:
            session.pending = None
        if pending[1].cancelled():
            return _CHANGED_MEANWHILE
        answer = pending[1].result()
        return answer if isinstance(answer, Problem) else self._gone_ahead(session, answer)

    async def first(self, session: Session, changes: Changes) -> str | Kept | Problem:
        """The plan, or the page of a confirmed fleet of the types of the plan before where that is there first."""
        key = digest(changes)
        if session.scope is None or key in session.answers or session.awaits(key):
            return await self.plan(session, changes)
        session.first = None
        asked = session.source, changes, session.demand, session.place(key), session.scope
        run = self._workers.run(first, *asked)
        answers = asyncio.create_task(run), asyncio.create_task(self.plan(session, changes))
        try:
            await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            if answers[1].done() or isinstance(page := await answers[0], Problem):
                return await answers[1]
        finally:
            answers[0].cancel()
        session.first = changes, page
        return page

    async def made(self, session: Session, key: str) -> Kept | Problem | None:
        """The plan of changes by their digest, which is waited for after a first answer; None where it is not kept."""
        if key in session.answers:
            return session.answers[key]
        if session.first is None or digest(session.first[0]) != key:
            return None
        return await self.plan(session, session.first[0])

    async def code(self, kept: Kept) -> bytes | Problem:
        """Terraform of a plan, as a ZIP archive."""
        return await self._workers.run(code, zlib.decompress(kept.plan).decode())

    async def _make(self, session: Session, changes: Changes, niceness: int = 0) -> Kept | Problem:
        key = digest(changes)
        asked = session.source, changes, session.demand, session.place(key)
        answer = await self._workers.run(planned, *asked, niceness=niceness)
        if isinstance(answer, Problem):
            return answer
        session.controls, session.demand = answer.controls, answer.demand
        page, plan = (zlib.compress(text.encode(), 1) for text in (answer.page, answer.plan))
        kept = session.answers[key] = Kept(page, plan, answer.workload, answer.ahead, answer.scope)
        while len(session.answers) > _MOST_ANSWERS:
            session.answers.popitem(last=False)
        return kept

    def _gone_ahead(self, session: Session, kept: Kept) -> Kept:
        """An answer; what is a step away from it is planned from now on, while nobody asks for anything."""
        session.scope = kept.scope
        self._stop_ahead()
        if self._plans_ahead and not any(other.pending for other in self._sessions.values()):
            self._ahead = asyncio.create_task(self._each(session, kept.ahead))
        return kept

    def _stop_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    async def _each(self, session: Session, several: Iterable[Changes]) -> None:
        for changes in several:
            if digest(changes) not in session.answers:
                await self._make(session, changes, niceness=10)
