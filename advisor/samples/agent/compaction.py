"""Parquet of rows, made in a short-lived process of a low priority, every hour and once at the end; when to upload it.

Standard library only.
"""

import argparse
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from advisor.errors import InputError
from advisor.records import dataclass
from advisor.samples.agent.processes import Process, bare_interpreter

HELP = "where finished days go: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
_OPTIONS = {"s3": ("region", "endpoint"), "gs": ("endpoint",), "az": ("account",)}
"""Schemes, and what may stand behind the question mark."""
SCHEMES = tuple(_OPTIONS)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=/+@,-]*")
_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """Destination of files."""

    scheme: str
    """``s3``, ``gs`` or ``az``."""
    bucket: str
    prefix: str
    """Without slashes at its ends; may be empty."""
    options: Mapping[str, str]

    def __str__(self) -> str:
        """Without options."""
        return f"{self.scheme}://{self.root}"

    @property
    def root(self) -> str:
        """Bucket and prefix."""
        return f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket


def parse_bucket_url(text: str, where: str = "--upload") -> BucketUrl:
    """The bucket that an address is of. Raises InputError if it is none."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    prefix = parts.path.strip("/")
    is_plain = not parts.fragment and {"", ".", ".."}.isdisjoint(prefix.split("/") if prefix else ())
    has_form = _BUCKET.fullmatch(parts.netloc) and _PREFIX.fullmatch(prefix)
    if parts.scheme not in _OPTIONS or not has_form or not is_plain:
        hint = (
            "write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; names of 2 ASCII characters or more"
        )
        raise InputError(f"{text!r} is not the address of a bucket", where=where, hint=hint)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    allowed = _OPTIONS[parts.scheme]
    if unknown := [name for name in options if name not in allowed]:
        raise InputError(
            f"{unknown[0]!r} is not an option of {parts.scheme}://", where=where, hint=f"options: {', '.join(allowed)}"
        )
    return BucketUrl(parts.scheme, parts.netloc, prefix, options)


def policy_of(url: BucketUrl) -> str:
    """Permissions for the identity of the hosts, as a document or commands of the provider.

    Nothing beyond the prefix; deleting is for files of a day that a later one of the same day stands in for.
    """
    if url.scheme == "gs":
        return (
            f"gcloud storage buckets add-iam-policy-binding gs://{url.bucket} \\\n"
            "  --member=serviceAccount:NAME@PROJECT.iam.gserviceaccount.com --role=roles/storage.objectUser"
        )
    if url.scheme == "az":
        return (
            "az role assignment create --assignee PRINCIPAL --role 'Storage Blob Data Contributor' \\\n"
            "  --scope /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/"
            f"{url.options.get('account', 'ACCOUNT')}/blobServices/default/containers/{url.bucket}"
        )
    region = url.options.get("region", "")
    partition = next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")
    bucket = f"arn:{partition}:s3:::{url.bucket}"
    below = f"{url.prefix}/*" if url.prefix else "*"
    listing: dict[str, Any] = {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket}
    if url.prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": below}}
    writing = {
        "Sid": "WriteAndVerify",
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
        "Resource": f"{bucket}/{below}",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [listing, writing]}, indent=2)


def main(arguments: Sequence[str], program: str) -> int:
    """Print the permissions. Raises InputError if the address is none of a bucket."""
    parser = argparse.ArgumentParser(
        prog=program, allow_abbrev=False, description="Print the permissions that an upload needs, and no more."
    )
    parser.add_argument("url", metavar="URL", help=HELP)
    sys.stdout.write(policy_of(parse_bucket_url(parser.parse_args(arguments).url, "upload-policy")) + "\n")
    return 0


EVERY_SECONDS = 3600.0
_AFTER_FAILURE_SECONDS = 300.0
_LONGEST_TAIL = 4096
_NICENESS = 19
_NICENESS_AT_END = 5
"""Somebody waits for the last one: with the highest niceness it would take minutes on a host that is fully busy."""
_POLL_SECONDS = 0.05
_LONGEST_SECONDS = 4 * 3600.0
"""A bucket that answers a byte at a time does not keep old days from being removed for ever."""
_LAST_SECONDS = 40.0
"""Time that the end of the agent waits for the last one: less than systemd and a cluster wait for the agent."""


def compaction_command(directory: str, host: str, keep_days: int | None, upload: str | None) -> list[str]:
    """The program that does it."""
    bound = [] if keep_days is None else [f"--keep-days={keep_days}"]
    bound += [] if upload is None else [f"--upload={upload}"]
    module = "advisor.samples.agent.compact_command"
    return bare_interpreter(module, directory, f"--host={host}", "--here", *bound)


def can_compact() -> bool:
    """Whether what it needs is installed here; without it rows stay in the spool."""
    return PathFinder.find_spec("pyarrow") is not None


class Compaction:
    """Starts it when it is due, one at a time, and says when it fails."""

    def __init__(
        self, command: Sequence[str], report: Callable[[str], None], now: float, at_end: Sequence[str] = ()
    ) -> None:
        """Due in an hour from *now*, in seconds of a clock that is never set; *at_end*: arguments of the last one."""
        self._command = command
        self._at_end = at_end
        self._started_at = now
        self._is_overdue = False
        self._report = report
        self._process: Process | None = None
        self._said = b""
        self._due_at = now + EVERY_SECONDS
        self._is_last = False
        self.runs = 0
        self.trouble: str | None = None
        """Why the last one failed."""

    @property
    def process_id(self) -> int | None:
        """Id of its current process."""
        return None if self._process is None else self._process.pid

    def tend(self, now: float) -> None:
        """Start it, or take note of its end."""
        if self._process is not None:
            self._listen(self._process)
            if (how := self._process.ended()) is not None:
                self._has_ended(self._process, how, now)
            elif now - self._started_at > _LONGEST_SECONDS and not self._is_overdue:
                self._is_overdue = True
                os.kill(self._process.pid, signal.SIGTERM)
        elif now >= self._due_at:
            self._start(now)

    def finish(self, is_enough: Callable[[], bool]) -> None:
        """Run it once more, to its end; told that it is enough, or after 40 s, leave it to end by itself."""
        self._is_last = True
        started = time.monotonic()
        if self._process is None:
            self._start(started)
        while self._process is not None and not is_enough():
            if time.monotonic() - started > _LAST_SECONDS:
                self._report("the last compaction takes long and is left to end by itself")
                return
            time.sleep(_POLL_SECONDS)
            self.tend(time.monotonic())

    def _start(self, now: float) -> None:
        self._said = b""
        self._started_at, self._is_overdue = now, False
        self._due_at = now + EVERY_SECONDS
        try:
            self._process = Process([*self._command, *(self._at_end if self._is_last else ())], complains=True)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS_AT_END if self._is_last else _NICENESS)
        except OSError as error:
            self._fails(f"cannot be started: {error.strerror}", now)

    def _listen(self, process: Process) -> None:
        """Keep the end of what it says."""
        with suppress(BlockingIOError):
            if process.read_end is not None:
                self._said = (self._said + os.read(process.read_end, 1 << 16))[-_LONGEST_TAIL:]

    def _has_ended(self, process: Process, how: str, now: float) -> None:
        self._listen(process)
        process.close()
        self._process = None
        self.runs += 1
        if self._is_overdue:
            self._fails(f"was ended after {_LONGEST_SECONDS / 3600:g} hours", now)
        elif process.exit_status:
            self._fails(how, now)
        else:
            self.trouble = None

    def _fails(self, how: str, now: float) -> None:
        last_words = self._said.decode(errors="replace").strip().splitlines()
        self.trouble = f"{how}: {last_words[-1]}" if last_words else how
        later = "" if self._is_last else f", tried again in {_AFTER_FAILURE_SECONDS / 60:.0f} minutes"
        self._report(f"compaction {self.trouble}; rows stay here{later}")
        self._due_at = now + _AFTER_FAILURE_SECONDS
