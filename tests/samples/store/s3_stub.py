"""A bucket of object storage over HTTP, as far as it is listed and read: keys below a directory, and buckets that refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ERRORS = {"closed": (403, "AccessDenied"), "absent": (404, "NoSuchBucket")}
"""Buckets that are answered with an error."""


@contextmanager
def running_bucket(directory: Path) -> Iterator[str]:
    """The bucket ``samples`` with the files of a directory; gives its address."""

    class Handler(_Handler):
        root = directory

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        """A listing, or an object."""
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if bucket in ERRORS:
            status, code = ERRORS[bucket]
            self._say(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())
        elif not key:
            self._say(200, self._listing(parse_qs(parts.query)))
        elif (self.root / key).is_file():
            self._object((self.root / key).read_bytes())
        else:
            self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        """The same without content."""
        self.do_GET()

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        contents, folders = [], set()
        for path in sorted(path for path in self.root.rglob("*") if path.is_file()):
            key = path.relative_to(self.root).as_posix()
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                size = path.stat().st_size
                contents.append(
                    f"<Contents><Key>{escape(key)}</Key><LastModified>2026-10-15T00:00:00Z</LastModified>"
                    f"<Size>{size}</Size></Contents>"
                )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)
        )
        count = len(contents) + len(folders)
        return (
            "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
            f"<Name>samples</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{''.join(contents)}{common}</ListBucketResult>"
        ).encode()

    def _object(self, content: bytes) -> None:
        wanted = self.headers.get("Range")
        if not wanted:
            self._say(200, content)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        end = int(last) + 1 if last else len(content)
        headers = {"Content-Range": f"bytes {first}-{min(end, len(content)) - 1}/{len(content)}"}
        self._say(206, content[int(first) : end], headers)

    def _say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/xml",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""
