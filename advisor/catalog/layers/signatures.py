"""Signatures of published catalogs, made and checked by ``ssh-keygen -Y`` as git signs commits with SSH keys.

A detached signature beside the manifest; who may sign stands in an ``allowed_signers`` file (``ssh-keygen(1)``, section
ALLOWED SIGNERS). No key and no cryptography of this program's own.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from advisor.errors import InputError

NAMESPACE = "advisor-catalog"
"""What the signature is for, so that one made for something else does not count."""
_PROGRAM = "ssh-keygen"
_SECONDS = 60


def sign(content: bytes, key: Path) -> bytes:
    """Signature of *content* by an SSH key: a private one, or a public one whose private part an agent holds.

    Raises:
        InputError: there is no such key, or ``ssh-keygen`` cannot use it.
    """
    if not key.is_file():
        raise InputError("there is no such key", where=str(key), hint="`ssh-keygen -t ed25519 -f FILE` makes one")
    done = _run(("-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE), content)
    if done.returncode:
        raise InputError(f"it cannot sign: {_said(done)}", where=str(key), hint="give a key without a passphrase")
    return done.stdout


def signer_of(content: bytes, signature: bytes, allowed: Path, where: str) -> str:
    """Signer of *content*, by the file of allowed signers.

    Raises:
        InputError: the signature is of another key, or of another content.
    """
    if not allowed.is_file():
        raise InputError("there is no such file of allowed signers", where=str(allowed), hint="see ssh-keygen(1)")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "signature"
        path.write_bytes(signature)
        files = ("-s", str(path), "-f", str(allowed))
        found = _run(("-Y", "find-principals", *files), b"")
        names = found.stdout.decode("utf-8", "replace").split("\n")
        name = names[0].strip()
        if found.returncode or not name:
            hint = f"ask who publishes it, or add their key to {allowed}; nothing was taken"
            raise InputError("it is signed by nobody who may sign", where=where, hint=hint)
        checked = _run(("-Y", "verify", *files, "-I", name, "-n", NAMESPACE), content)
    if checked.returncode:
        raise InputError(
            f"the signature of {name} is not of this content: {_said(checked)}",
            where=where,
            hint="ask who publishes it; nothing was taken",
        )
    return name


def _run(arguments: Sequence[str], content: bytes) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(  # noqa: S603 - a fixed program
            (_PROGRAM, *arguments), input=content, capture_output=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{_PROGRAM} is not installed, which signs and checks", hint="install OpenSSH 8.1 or newer"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{_PROGRAM} does not answer: {error}", hint="run it by hand to see why") from error


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    words = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())
    return words[:200] or f"exit code {done.returncode}"
