"""``--outlet "listener …"``: the newest rows for a monitor to fetch. Off unless it is asked for.

It reads the agent's frames from its standard input and answers ``GET /metrics`` with OpenMetrics, and nothing else.
Beyond this machine it answers only who proves to be allowed: by a certificate, or by a token over TLS.
"""

import argparse
import ipaddress
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from advisor.errors import AdvisorError, InputError
from advisor.samples.agent.access import Access, Certificates, read_digests
from advisor.samples.agent.frames import read_frames
from advisor.samples.agent.labels import parse_labels
from advisor.samples.agent.latest import Latest
from advisor.samples.agent.signals import Signals, add_signal_options
from advisor.samples.agent.web import Server
from advisor.samples.bounded_http import is_loopback

_DEFAULT_BIND = "127.0.0.1:9464"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the standard input ends; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        host, port = parse_bind(options.bind)
        access = _access(options)
        check_exposure(host, access)
        latest = Latest(Signals(options.status, parse_labels(options.labels)))
        server = Server((host, port), latest.page, access)
    except AdvisorError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    threading.Thread(target=_feed, args=(server, latest), daemon=True).start()
    sys.stderr.write(f"listening on {server.url}\n")
    sys.stderr.flush()
    try:
        server.serve()
    except KeyboardInterrupt:
        return 130
    return 0


def parse_bind(text: str) -> tuple[str, int]:
    """Address and port of ``127.0.0.1:9464`` or ``[::1]:9464``.

    Raises:
        InputError: it is neither.
    """
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host))
        number = int(port)
    except ValueError:
        address, number = "", -1
    if not separator or not address or not 0 <= number < 1 << 16:
        raise InputError(f"'{text}' is no address to listen on", where="--bind", hint=f"give it as {_DEFAULT_BIND}")
    return address, number


def check_exposure(host: str, access: Access) -> None:
    """Refuse to show anything to a network without knowing to whom.

    Raises:
        InputError: the address can be reached from elsewhere, and neither a certificate nor a token over TLS is asked.
    """
    if is_loopback(host) or access.asks_certificate:
        return
    if not access.digests:
        raise InputError(
            f"{host} can be reached from other machines, and anyone there could read the metrics",
            where="--bind",
            hint="ask for a client certificate (--tls-cert, --tls-key, --client-ca) or a token (--tls-cert, --tls-key, "
            "--bearer-sha256-file), or listen on 127.0.0.1",
        )
    if access.certificates is None:
        raise InputError(
            f"{host} can be reached from other machines, and a token would travel there in the clear",
            where="--bearer-sha256-file",
            hint="serve TLS: --tls-cert and --tls-key",
        )


def _access(options: argparse.Namespace) -> Access:
    digests = read_digests(options.bearer_sha256_file) if options.bearer_sha256_file else ()
    if (options.tls_cert is None) != (options.tls_key is None):
        raise InputError("a certificate needs its key, and a key its certificate", hint="give --tls-cert and --tls-key")
    if options.tls_cert is None:
        if options.client_ca is not None:
            raise InputError(
                "client certificates can only be asked over TLS",
                where="--client-ca",
                hint="give --tls-cert and --tls-key",
            )
        return Access(digests, None)
    return Access(digests, Certificates(options.tls_cert, options.tls_key, options.client_ca))


def _feed(server: Server, latest: Latest) -> None:
    """Rows from the agent; when they end, so does the program."""
    try:
        with os.fdopen(sys.stdin.fileno(), "rb", closefd=False) as stream:
            for record in read_frames(stream):
                latest.take(record)
    finally:
        server.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="listener", description=__doc__)
    parser.add_argument("--bind", default=_DEFAULT_BIND, metavar="ADDRESS:PORT", help="default: %(default)s")
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate with its chain")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its key")
    parser.add_argument("--client-ca", type=Path, metavar="PEM", help="ask clients for a certificate of this authority")
    parser.add_argument(
        "--bearer-sha256-file",
        type=Path,
        metavar="FILE",
        help="SHA-256 (hexadecimal) of each token that is allowed, one a line",
    )
    add_signal_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
