"""Lists of a cluster's API server, read page by page; nothing is ever changed there."""

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from advisor.discovery.kubeconfig import Access
from advisor.errors import InputError
from advisor.names import printable
from advisor.reading import json_of
from advisor.records import dataclass, field
from advisor.samples.bounded_http import Answer, Connection, ExchangeError, Limits, parse_address
from advisor.units import BYTES_PER_MIB

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

        Raises:
            InputError: the server cannot be reached, or does not know the user.
        """
        first = self._page(resource, "")
        return None if first is None else self._pages(resource, first)

    def _pages(self, resource: Resource, page: Item) -> Iterator[Item]:
        for _ in range(_MOST_PAGES):
            items = page.get("items")
            yield from (item for item in (items if isinstance(items, list) else ()) if isinstance(item, dict))
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
        connection = Connection(address, _LIMITS, self.access.tls)
        try:
            headers = {"Accept": "application/json", "User-Agent": "advisor", **self.access.headers}
            return connection.exchange("GET", headers)
        except ExchangeError as error:
            hint = "`kubectl get nodes` shows whether it can be reached; proxies (HTTPS_PROXY) are not used here"
            raise InputError(f"{address.shown}: {error}", where=self.where, hint=hint) from None
        finally:
            connection.close()

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
