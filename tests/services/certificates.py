"""Certificates for tests of TLS, made by the openssl program: an authority, who it vouches for, and a rogue."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAM = shutil.which("openssl")
ABSENT = "no openssl program on this machine to make certificates with"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates for the loopback."""

    def __init__(self, directory: Path, name: str) -> None:
        """Make a key and a certificate of its own."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.own = Pair(directory / f"{name}.pem", directory / f"{name}.key")
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", self.own.key, "-out", self.own.certificate,
        )  # fmt: skip

    def issue(self, name: str) -> Pair:
        """A certificate for 127.0.0.1, ::1 and localhost."""
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        request = self._directory / f"{name}.csr"
        extensions = self._directory / f"{name}.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n")
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", pair.key, "-out", request,
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.own.certificate, "-CAkey", self.own.key, "-CAcreateserial",
            "-days", "2", "-extfile", extensions, "-out", pair.certificate,
        )  # fmt: skip
        return pair


def _openssl(*arguments):
    subprocess.run([str(PROGRAM), *map(str, arguments)], check=True, capture_output=True, timeout=60)
