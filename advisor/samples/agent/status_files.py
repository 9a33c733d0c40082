"""Where agents keep their status, and how it is found and read; :mod:`advisor.samples.agent.status` writes it."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from advisor.samples.places import host_folder, spool_folder

SCHEMA = "advisor.agent.status/v1"
ISO = "%Y-%m-%dT%H:%M:%SZ"
STALE_SECONDS = 60.0
"""A running agent writes its status with each row, every fifteen seconds."""
STATUS_NAME = "status.json"
RUNTIME_PATTERN = f"host=*/{STATUS_NAME}"
"""Status files in a runtime folder, and below a spool."""
_RUNTIME_VARIABLE = "RUNTIME_DIRECTORY"
_USUAL_RUNTIME_FOLDER = Path("/run/advisor-agent")


def status_path(directory: Path, host: str) -> Path:
    """Path of the status of an agent, beside what it writes."""
    return spool_folder(directory, host) / STATUS_NAME


def runtime_folder() -> Path:
    """Folder of the status of this machine's agents in memory, if they have one."""
    named = os.environ.get(_RUNTIME_VARIABLE, "").partition(":")[0]
    return Path(named) if named else _USUAL_RUNTIME_FOLDER


def runtime_status_path(host: str) -> Path | None:
    """Path in memory of the status of an agent that is started here; None: nowhere."""
    return runtime_folder() / host_folder(host) / STATUS_NAME if os.environ.get(_RUNTIME_VARIABLE) else None


def read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; empty where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def written_seconds(status: Mapping[str, Any]) -> float:
    """Time at which a status was written, in seconds since 1970; 0 where it does not say."""
    try:
        return datetime.fromisoformat(str(status.get("written"))).timestamp()
    except ValueError:
        return 0.0
