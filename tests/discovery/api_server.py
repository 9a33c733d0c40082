"""An API server of Kubernetes on the loopback: lists in pages, permissions, tokens and TLS, nothing else."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass
class Cluster:
    """What it holds, and how it answers."""

    lists: Mapping[str, list]
    """Objects by the plural of their kind; a kind that is not among them is not installed."""
    denied: frozenset[str] = frozenset()
    token: str = ""
    """That every request has to carry; "": none."""
    user: str = "jane"
    page: int = 3
    """Most objects of one page, whatever is asked for."""
    asked: list = field(default_factory=list)
    """Methods and paths."""
    url: str = ""


@contextmanager
def api_server(cluster: Cluster, tls: ssl.SSLContext | None = None) -> Iterator[Cluster]:
    """Serve it until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            status, document = _answer(cluster, self.path, self.headers.get("Authorization", ""))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    cluster.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(cluster, path, authorization):
    parts = urlsplit(path)
    cluster.asked.append(parts.path)
    if cluster.token and authorization != f"Bearer {cluster.token}":
        return 401, {"kind": "Status", "message": "Unauthorized"}
    words = parts.path.strip("/").split("/")
    plural, group = words[-1], words[1] if words[0] == "apis" else ""
    namespace = words[words.index("namespaces") + 1] if "namespaces" in words else ""
    if plural not in cluster.lists:
        return 404, {"kind": "Status", "message": "the server could not find the requested resource"}
    if plural in cluster.denied:
        scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        told = f'{plural} is forbidden: User "{cluster.user}" cannot list resource "{plural}" in API group "{group}" {scope}'
        return 403, {"kind": "Status", "message": told}
    query = parse_qs(parts.query)
    every = [item for item in cluster.lists[plural] if not namespace or item["metadata"]["namespace"] == namespace]
    first = int(query.get("continue", ["0"])[0])
    last = first + min(int(query["limit"][0]), cluster.page)
    following = {"continue": str(last)} if last < len(every) else {}
    return 200, {"kind": "List", "metadata": following, "items": every[first:last]}


def kubeconfig(path: Path, clusters: Mapping[str, Cluster], **user: object) -> Path:
    """A kubeconfig with a context for each cluster, the first one current, and one user for all."""
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": next(iter(clusters)),
        "clusters": [{"name": name, "cluster": {"server": each.url}} for name, each in clusters.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in clusters],
        "users": [{"name": "me", "user": user}],
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path
