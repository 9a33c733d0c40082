"""A cluster's API server: access as kubectl has it, and lists read page by page; nothing is ever changed there.

Understood are certificates, bearer tokens, credential plugins (``exec``), which are run as kubectl runs them, and the
service account of a pod. https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ and client-authentication.v1.
"""

import base64
import json
import os
import re
import shlex
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from advisor.errors import InputError
from advisor.names import printable
from advisor.reading import asks_a_person, json_of, read_text
from advisor.records import dataclass, field
from advisor.samples.bounded_http import Answer, Connection, ExchangeError, Limits, parse_address
from advisor.units import BYTES_PER_MIB

_MOST_DIGITS = 40
_MOST_MERGED = 100
"""Merges (``<<``) of one mapping: a merge of merges multiplies."""
_MOST_KEYS = 10_000
_SHOWN_OF_YAML = 200
_MERGE = "tag:yaml.org,2002:merge"
_VARIABLE = "KUBECONFIG"
_MOST_BYTES = 4 * BYTES_PER_MIB
_MOST_CHOICES = 20
_PLUGIN_SECONDS = 60.0
_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PROXY = "run `kubectl proxy` and name a context whose server is http://127.0.0.1:8001"
_UNSUPPORTED = {
    "auth-provider": "kubectl dropped it too: let a credential plugin (`exec`) give the token",
    "username": "API servers take no passwords any more: use a token or a certificate",
    "proxy-url": _PROXY,
    "tls-server-name": _PROXY,
}
_UNPASSABLE = re.compile(r"[\0\ud800-\udfff]")
"""Characters that no argument of a program can hold."""
Part = Mapping[str, Any]


class UnreadableYamlError(ValueError):
    """Text that is not YAML, or none that can be read in bounds; its message says why."""


class _Loader(yaml.SafeLoader):
    """The safe loader, without numbers that take long to read and without merges that multiply."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - inherited
        is_number = node.tag.endswith((":int", ":float"))
        if is_number and isinstance(node.value, str) and len(node.value) > _MOST_DIGITS:
            raise UnreadableYamlError(f"a number of more than {_MOST_DIGITS} digits")
        return super().construct_object(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        merged = [value for key, value in node.value if key.tag == _MERGE]
        count = sum(len(value.value) if isinstance(value, yaml.SequenceNode) else 1 for value in merged)
        if count > _MOST_MERGED:
            raise UnreadableYamlError(f"a mapping merges more than {_MOST_MERGED} others")
        super().flatten_mapping(node)
        if merged and len(node.value) > _MOST_KEYS:
            raise UnreadableYamlError(f"a mapping of more than {_MOST_KEYS:,} keys by merges")


def yaml_value(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """Value of a YAML text. Raises UnreadableYamlError if it is not YAML, nests too deeply, or is out of bounds."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except RecursionError:
        raise UnreadableYamlError("it nests too deeply") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UnreadableYamlError(f"{printable(problem or 'it cannot be parsed')[:_SHOWN_OF_YAML]}{line}") from None
    except UnreadableYamlError:
        raise
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
        raise UnreadableYamlError("a value does not fit its tag") from None


@dataclass(frozen=True, slots=True)
class Access:
    """A cluster's API server, and what it is told of who asks."""

    context: str
    server: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """None: plain HTTP, or the authorities that the system trusts."""
    namespace: str = ""
    """Namespace of the context; "": it names none."""
    is_verified: bool = True


def cluster_access(context: str = "", kubeconfig: Path | None = None) -> Access:
    """Access by a context: "" is the current one, or inside a pod without a kubeconfig its service account.

    *kubeconfig* None: those that ``KUBECONFIG`` lists, or ``~/.kube/config``. Raises InputError: no such file or
    context, or a way of signing in that is not known here.
    """
    if kubeconfig:
        paths = [kubeconfig]
    else:
        named = [_home(path) for path in os.environ.get(_VARIABLE, "").split(os.pathsep) if path]
        paths = [path for path in named or [_home("~/.kube/config")] if path.exists()]
    if not context and not paths and (_ACCOUNT_FOLDER / "token").is_file():
        return _of_pod()
    if not paths:
        hint = f"set {_VARIABLE}, or give --kubeconfig FILE"
        raise InputError("there is no kubeconfig", where="~/.kube/config", hint=hint)
    return _of_files(context, paths)


def _home(path: str) -> Path:
    """Path with ``~`` as the folder of its user; as it is where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises for an unknown user


def _of_pod() -> Access:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = read_text(_ACCOUNT_FOLDER / "token", "token of the service account").strip()
    tls = _context(ca_file=_ACCOUNT_FOLDER / "ca.crt")
    shown = f"[{host}]" if ":" in host else host
    return Access("in-cluster", f"https://{shown}:{port}", {"Authorization": f"Bearer {token}"}, tls)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named part of a kubeconfig, and the file that paths in it are relative to."""

    value: Part
    path: Path

    def text(self, key: str) -> str:
        value = self.value.get(key)
        return value.strip() if isinstance(value, str) else ""

    def file(self, key: str) -> Path | None:
        named = self.text(key)
        if not named.isprintable():
            raise InputError(
                f"{key} is not the path of a file", where=str(self.path), hint="write it as one line of text"
            )
        return self.path.parent / _home(named) if named else None

    def data(self, key: str) -> bytes | None:
        """Content of ``KEY-data`` in base64, else of the file that ``KEY`` names; None where neither is there."""
        encoded, path = self.text(f"{key}-data"), self.file(key)
        if encoded:
            try:
                return base64.b64decode(encoded, validate=True)
            except ValueError:
                raise InputError(f"{key}-data is not base64", where=str(self.path), hint="copy it again") from None
        return read_text(path, key).encode() if path else None


def _of_files(context: str, paths: Sequence[Path]) -> Access:
    documents = [(path, _document(path)) for path in paths]
    name = context or next(filter(None, (_Entry(each, path).text("current-context") for path, each in documents)), "")
    where = ", ".join(map(str, paths))
    if not name:
        hint = f"name one: --kubernetes {_choices(documents, 'contexts')}"
        raise InputError("no current context", where=where, hint=hint)
    chosen = _entry(documents, "contexts", "context", name)
    cluster = _entry(documents, "clusters", "cluster", chosen.text("cluster"))
    user = _entry(documents, "users", "user", chosen.text("user")) if chosen.text("user") else _Entry({}, paths[0])
    for entry in (cluster, user):
        if refused := next((key for key in _UNSUPPORTED if entry.value.get(key)), None):
            raise InputError(f"{refused} is not supported", where=f"{entry.path}: {name}", hint=_UNSUPPORTED[refused])
    return _access(name, chosen.text("namespace"), cluster, user)


def _document(path: Path) -> Part:
    text = read_text(path, "kubeconfig", most_bytes=_MOST_BYTES)
    try:
        document = yaml_value(text)
    except UnreadableYamlError as error:
        raise InputError(f"no YAML: {error}", where=str(path), hint="`kubectl config view` shows it") from None
    if not isinstance(document, dict):
        raise InputError("no kubeconfig", where=str(path), hint="give the file that kubectl uses")
    return document


def _mappings(document: Part, key: str) -> Iterator[Part]:
    return (entry for entry in items(document, key) if isinstance(entry, dict))


def _choices(documents: Sequence[tuple[Path, Part]], kind: str) -> str:
    names = [entry.get("name") for _, document in documents for entry in _mappings(document, kind)]
    texts = [name for name in names if isinstance(name, str)]
    return ", ".join([*texts[:_MOST_CHOICES], *(["…"] if len(texts) > _MOST_CHOICES else [])])


def _entry(documents: Sequence[tuple[Path, Part]], kind: str, key: str, name: str) -> _Entry:
    """The first entry of that name, as kubectl merges files."""
    for path, document in documents:
        for entry in _mappings(document, kind):
            if entry.get("name") == name and isinstance(entry.get(key), dict):
                return _Entry(entry[key], path)
    where = ", ".join(str(path) for path, _ in documents)
    raise InputError(f"no {key} '{name}'", where=where, hint=f"there are: {_choices(documents, kind) or 'none'}")


def _access(name: str, namespace: str, cluster: _Entry, user: _Entry) -> Access:
    server = cluster.text("server")
    is_verified = cluster.value.get("insecure-skip-tls-verify") is not True
    certificate, key = user.data("client-certificate"), user.data("client-key")
    token_file = user.file("tokenFile")
    token = read_text(token_file, "token").strip() if token_file else user.text("token")
    if not token and certificate is None and isinstance(user.value.get("exec"), dict):
        status = _run_plugin(_Entry(user.value["exec"], user.path), cluster, name)
        told = _Entry(status, user.path)
        token = told.text("token")
        certificate, key = (told.text(part).encode() or None for part in ("clientCertificateData", "clientKeyData"))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if not (token.isascii() and token.isprintable()):
        raise InputError("the token is not a line of text", where=f"{user.path}: {name}", hint="sign in again")
    acting = user.text("as")
    if not acting.isprintable():
        raise InputError("`as` is not a line of text", where=f"{user.path}: {name}", hint="write the name of a user")
    if acting:
        headers["Impersonate-User"] = acting
    tls = None
    if server.startswith("https://"):
        tls = _context(cluster.data("certificate-authority"), is_verified=is_verified, own=(certificate, key))
    return Access(name, server, headers, tls, namespace, is_verified)


def _context(
    authority: bytes | None = None,
    *,
    ca_file: Path | None = None,
    is_verified: bool = True,
    own: tuple[bytes | None, bytes | None] = (None, None),
) -> ssl.SSLContext:
    """TLS with the cluster's authority and the user's certificate, whose key is on disk for this moment only."""
    context = ssl.create_default_context()
    try:
        if authority is not None or ca_file is not None:
            context = ssl.create_default_context(cafile=ca_file, cadata=authority.decode() if authority else None)
        if own[0] is not None and own[1] is not None:
            with tempfile.NamedTemporaryFile() as stream:  # only this user can read it
                stream.write(own[0] + b"\n" + own[1])
                stream.flush()
                context.load_cert_chain(stream.name)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        message, hint = f"a certificate of the kubeconfig cannot be used: {reason}", "sign in again"
        raise InputError(message, where="kubeconfig", hint=hint) from error
    if not is_verified:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _run_plugin(plugin: _Entry, cluster: _Entry, name: str) -> Part:
    """Credentials that a plugin prints (an ``ExecCredential``); its own words and prompts go to the terminal."""
    command = plugin.text("command")
    where = f"{plugin.path}: {name}: exec"
    arguments, variables = plugin.value.get("args") or [], _plugin_variables(plugin, cluster, where)
    if not isinstance(arguments, list) or not all(map(_is_text, arguments)):
        raise InputError("args is not a list of texts", where=where, hint='write it as args: ["get-token"]')
    program = str(plugin.path.parent / command) if os.sep in command and not Path(command).is_absolute() else command
    try:
        done = subprocess.run(  # noqa: S603 - the user's own kubeconfig names it, and kubectl runs it too
            [program, *arguments],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            timeout=_PLUGIN_SECONDS,
            check=True,
        )
        status = json_of(done.stdout.decode(), where)["status"]
    except FileNotFoundError as error:
        hint = plugin.text("installHint") or "install it, as for kubectl"
        raise InputError(f"the credential plugin {command} is not there", where=where, hint=hint) from error
    except (OSError, subprocess.SubprocessError) as error:
        reason = f"exit {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else "no answer in time"
        hint = "sign in again; `kubectl get nodes` shows whether it works there"
        raise InputError(f"the credential plugin {command} failed: {reason}", where=where, hint=hint) from None
    except (InputError, ValueError, KeyError, TypeError):
        status = None
    if not isinstance(status, dict):
        raise InputError(f"{command} printed no credentials", where=where, hint="sign in again")
    return status


def _plugin_variables(plugin: _Entry, cluster: _Entry, where: str) -> dict[str, str]:
    """Environment of a plugin: what its entry sets, and the question."""
    spec: dict[str, Any] = {"interactive": asks_a_person()}
    if plugin.value.get("provideClusterInfo") is True:
        kept = ("server", "certificate-authority-data")
        spec["cluster"] = {key: cluster.text(key) for key in kept if key in cluster.value}
        if cluster.value.get("insecure-skip-tls-verify") is True:
            spec["cluster"]["insecure-skip-tls-verify"] = True
    asked = {"apiVersion": plugin.text("apiVersion"), "kind": "ExecCredential", "spec": spec}
    pairs = plugin.value.get("env") or []
    if not isinstance(pairs, list) or not all(map(_is_variable, pairs)):
        hint = 'write it as env: [{name: AWS_PROFILE, value: "prod"}]'
        raise InputError("env is not a list of names with texts", where=where, hint=hint)
    return {pair["name"]: pair["value"] for pair in pairs} | {"KUBERNETES_EXEC_INFO": json.dumps(asked)}


def _is_text(value: object) -> bool:
    """Whether a program can be given it."""
    return isinstance(value, str) and _UNPASSABLE.search(value) is None


def _is_variable(pair: object) -> bool:
    if not isinstance(pair, dict) or not _is_text(pair.get("name")) or not _is_text(pair.get("value")):
        return False
    return pair["name"] != "" and "=" not in pair["name"]


Item = Mapping[str, Any]
_LIMITS = Limits(connect_seconds=10.0, total_seconds=60.0, body_bytes=64 * BYTES_PER_MIB)
_PAGE = 250
_MOST_PAGES = 4_000
_ATTEMPTS = 3
_LONGEST_PAUSE_SECONDS = 10.0
_SHOWN = 300
_USER = re.compile(r'User "([^"]{1,253})"')
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object that is listed."""

    kind: str
    plural: str
    group: str = ""
    """API group; "" is the core."""
    version: str = "v1"
    has_namespace: bool = True

    @property
    def name(self) -> str:
        """Name that rules and kubectl have: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str) -> str:
        """Path of its list."""
        start = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if namespace and self.has_namespace else ""
        return f"{start}{inside}/{self.plural}"


@dataclass(slots=True)
class KubernetesApi:
    """One cluster."""

    access: Access
    namespace: str = ""
    """Only this one; "": all."""
    refused: dict[Resource, str] = field(default_factory=dict)
    """Lists that the user may not have, with the server's words."""

    @property
    def where(self) -> str:
        """The cluster, for messages."""
        return f"kubernetes {self.access.context}"

    def list(self, resource: Resource) -> Iterator[Item] | None:
        """Objects of a kind; None where the cluster has no such kind, or the user may not list it.

        Raises InputError if the server cannot be reached, or does not know the user.
        """
        first = self._page(resource, "")
        return None if first is None else self._pages(resource, first)

    def _pages(self, resource: Resource, page: Item) -> Iterator[Item]:
        for _ in range(_MOST_PAGES):
            yield from _mappings(page, "items")
            following = mapping(page, "metadata").get("continue")
            following_page = self._page(resource, str(following)) if following else None
            if following_page is None:
                return
            page = following_page

    def _page(self, resource: Resource, token: str) -> Item | None:
        asked = {"limit": str(_PAGE), **({"continue": token} if token else {})}
        answer = self._asked(f"{resource.path(self.namespace)}?{urlencode(asked)}")
        if answer.status == 404:
            return None
        try:
            document = json_of(answer.body.decode(), self.where)
        except (InputError, UnicodeDecodeError):
            document = None
        if not isinstance(document, dict):
            message, hint = f"the answer ({answer.status}) is not JSON", "is it the address of a Kubernetes API server?"
            raise InputError(message, where=self.where, hint=hint)
        if answer.status == 403:
            self.refused[resource] = str(document.get("message") or "forbidden")
            return None
        if answer.status != 200:
            raise self._failed(answer.status, str(document.get("message") or ""))
        return document

    def _asked(self, path: str) -> Answer:
        for attempt in range(1, _ATTEMPTS + 1):
            answer = self._exchange(path)
            if answer.status not in {429, 503} or attempt == _ATTEMPTS:
                break
            wait = answer.headers.get("retry-after", "")
            time.sleep(min(float(wait) if wait.isdecimal() else 0.5 * attempt, _LONGEST_PAUSE_SECONDS))
        return answer

    def _exchange(self, path: str) -> Answer:
        try:
            parts = urlsplit(self.access.server)
        except ValueError:
            raise InputError(
                "the server of the cluster is not an address", where=self.where, hint="write it as https://HOST:PORT"
            ) from None
        address = parse_address(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}", "/")
        if address.is_in_clear and self.access.headers:
            raise InputError(
                f"{address.shown} would send the token in clear text", where=self.where, hint="use an https:// server"
            )
        headers = {"Accept": "application/json", "User-Agent": "advisor", **self.access.headers}
        try:
            with closing(Connection(address, _LIMITS, self.access.tls)) as connection:
                return connection.exchange("GET", headers)
        except ExchangeError as error:
            hint = "`kubectl get nodes` shows whether it can be reached; proxies (HTTPS_PROXY) are not used here"
            raise InputError(f"{address.shown}: {error}", where=self.where, hint=hint) from None

    def _failed(self, status: int, said: str) -> InputError:
        words = f": {printable(said)[:_SHOWN]}" if said else ""
        if status == 401:
            remedy = "sign in again, then `kubectl get pods`"
            hint = f"the token or certificate has expired, or is another cluster's: {remedy}"
        elif status == 410:
            hint = "the list changed while it was read: run it again"
        else:
            hint = "check the server in the kubeconfig; run it again later where it fails by itself"
        return InputError(f"the API server answered {status}{words}", where=self.where, hint=hint)

    def permission_notes(self) -> Iterator[str]:
        """Notes on lists that were refused: verb, resource, and the commands that grant them."""
        if not self.refused:
            return
        names = [resource.name for resource in self.refused]
        users = (match[1] for said in self.refused.values() if (match := _USER.search(said)))
        user = next(filter(str.isprintable, users), "")
        who = f"user {user} may not" if user else "the user may not"
        verbs = ", ".join(f"`list {name}`" for name in names)
        # Commands of an administrator: a role that may list these, and its binding to the user, quoted for a shell.
        role = f"kubectl create clusterrole advisor-init --verb=list --resource={','.join(names)}"
        account = user.removeprefix(_ACCOUNT)
        subject = shlex.quote(f"--user={user or 'NAME'}" if account == user else f"--serviceaccount={account}")
        grant = f"{role} && kubectl create clusterrolebinding advisor-init --clusterrole=advisor-init {subject}"
        yield f"{self.where}: {who} {verbs}; what follows from it stays unknown. To grant it: {grant}"


def mapping(item: object, *keys: str) -> Item:
    """The mapping at a path of keys; an empty one where there is none."""
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    return item if isinstance(item, dict) else {}


def items(item: object, *keys: str) -> list[Any]:
    """The list at a path of keys; an empty one where there is none."""
    value = mapping(item, *keys[:-1]).get(keys[-1])
    return value if isinstance(value, list) else []
