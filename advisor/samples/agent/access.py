"""Who may read the listener's page: files of a TLS server, and bearer tokens of which only the digest is kept."""

import hashlib
import hmac
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import InputError

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_SCHEME = "bearer "
_HOW_TO_DIGEST = "write what `printf %s TOKEN | sha256sum` prints"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of a TLS server."""

    certificate: Path
    key: Path
    client_authority: Path | None
    """Whose certificates clients must have; None: they need none."""

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer.

        Raises:
            InputError: a file is missing, or not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.client_authority is not None:
                context.load_verify_locations(self.client_authority)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:
            raise InputError(
                f"cannot use the certificates: {getattr(error, 'reason', None) or error.strerror or error}",
                where=", ".join(str(path) for path in self._files()),
                hint="give PEM files that belong together and that this user may read",
            ) from error
        return context

    def stamp(self) -> tuple[int, ...]:
        """Changes when a file is replaced; a file that is away for a moment counts as 0."""
        return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in self._files())

    def _files(self) -> Sequence[Path]:
        files = (self.certificate, self.key)
        return files if self.client_authority is None else (*files, self.client_authority)


@dataclass(frozen=True, slots=True)
class Access:
    """What a client must show; nothing when both are empty."""

    digests: tuple[bytes, ...] = ()
    """SHA-256 of each token that is allowed; empty: none is asked."""
    certificates: Certificates | None = None
    """None: without TLS."""

    @property
    def asks_certificate(self) -> bool:
        """Whether a client needs one."""
        return self.certificates is not None and self.certificates.client_authority is not None

    def allows(self, authorization: str) -> bool:
        """Whether the value of an ``Authorization`` header is enough; takes as long whichever token it is."""
        if not self.digests:
            return True
        has_scheme = authorization[: len(_SCHEME)].lower() == _SCHEME
        token = authorization[len(_SCHEME) :].strip()
        given = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        matches = [hmac.compare_digest(given, digest) for digest in self.digests]
        return has_scheme and any(matches)


def read_digests(path: Path) -> tuple[bytes, ...]:
    """SHA-256 digests of a file, one a line in hexadecimal; what follows a digest is a remark.

    Raises:
        InputError: the file cannot be read, has none, or has a line that is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the digests: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("the digests are no text", where=str(path), hint=_HOW_TO_DIGEST) from error
    words = [(number, line.split()[0]) for number, line in enumerate(lines, start=1) if line.split()]
    for number, word in words:
        if not _DIGEST.fullmatch(word):
            raise InputError("this is no SHA-256 in hexadecimal", where=f"{path}:{number}", hint=_HOW_TO_DIGEST)
    if not words:
        raise InputError("there is no digest in this file", where=str(path), hint=_HOW_TO_DIGEST)
    return tuple(bytes.fromhex(word) for _, word in words)
