"""Processes that each do one piece of work and end, or are ended: a plan that nobody waits for takes no time."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from advisor.serve.values import Problem

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

        Args:
            function: a public one of a module.
            arguments: of the function.
            niceness: by how much others go first.
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
    try:
        await _readable(receiver)
        return receiver.recv()
    except EOFError:
        return Problem("the planning process ended, perhaps for lack of memory\n  hint: ask for less", 500)
    finally:
        process.kill()
        process.join()
        receiver.close()


async def _readable(receiver: Connection) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(receiver.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(receiver.fileno())


def _work(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], niceness: int) -> None:
    """Body of a process; an interrupt of the terminal is for the server alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(niceness)
    sender.send(function(*arguments))
