"""A program that runs commands in children of its own, each with one fault at one of its changes of files.

``fault_driver.py REQUEST.json``: modules to load first, and a list of ``{"arguments": […], "folder": …, "fault": "kill" | errno's name | "", "at": N}``;
prints the exit status of each and how many changes of files it made. Python itself announces each change (``sys.addaudithook``)
before it happens, so that every one of them can be the last.
"""

import errno
import importlib
import json
import os
import signal
import sys
from pathlib import Path

from advisor.cli.app import main

CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate"}
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
FREE = ("/dev/", "/proc/")


class Faults:
    """A hook that counts changes of files, and fails at one of them."""

    def __init__(self, fault: str, at: int) -> None:
        """Fail by *fault* at change number *at*."""
        self.fault, self.at, self.count = fault, at, 0

    def __call__(self, event: str, arguments: tuple) -> None:
        """Python's report of an event."""
        if event not in CHANGES and not self._is_writing(event, arguments):
            return
        self.count += 1
        if self.count == self.at:
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            number = getattr(errno, self.fault)
            raise OSError(number, os.strerror(number), str(arguments[0]))

    @staticmethod
    def _is_writing(event: str, arguments: tuple) -> bool:
        if event != "open" or isinstance(arguments[0], int):  # a descriptor is open already
            return False
        return bool((arguments[2] or 0) & WRITING) and not str(arguments[0]).startswith(FREE)


def run(task: dict) -> dict:
    """Status and changes of one command."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        _as_child(task, write_end)
    os.close(write_end)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read_end) as stream:
        count = stream.read()
    return {"status": os.waitstatus_to_exitcode(status), **json.loads(count or "{}")}


def _as_child(task: dict, write_end: int) -> None:
    status = 99
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.chdir(task["folder"])
    os.dup2(quiet, 1)
    errors = os.open(task.get("errors", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)
    sys.argv = ["advisor", *task["arguments"]]
    faults = Faults(task["fault"], task["at"])
    sys.addaudithook(faults)
    try:
        main()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 98
    modules = sorted(name for name in sys.modules if name.startswith("advisor."))
    with os.fdopen(write_end, "w") as stream:
        json.dump({"changes": faults.count, "modules": modules}, stream)
    os._exit(status)


if __name__ == "__main__":
    request = json.loads(Path(sys.argv[1]).read_text())
    for module in request["modules"]:
        importlib.import_module(module)
    json.dump([run(task) for task in request["tasks"]], sys.stdout)
