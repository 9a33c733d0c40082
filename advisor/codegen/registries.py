"""Images by digest: asked of their registries without a login, and kept in a file from run to run.

Sources: the OCI distribution specification 1.1 (``HEAD /v2/NAME/manifests/TAG``) and the token authentication of the
distribution project, which Docker Hub, GitHub, ECR Public, NGC and Artifact Registry speak alike.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from advisor.codegen.kubernetes import repository
from advisor.codegen.model import Stack
from advisor.codegen.pins import PinFile
from advisor.codegen.quoting import image_reference
from advisor.errors import AdvisorError, InputError
from advisor.reading import json_of
from advisor.records import dataclass, field, replace
from advisor.units import BYTES_PER_MIB

if TYPE_CHECKING:
    import urllib3


DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DOCKER_HUB = "registry-1.docker.io"
_DOCKER_HUB_NAMES = ("docker.io", "index.docker.io")
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?")
_KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""Of manifests: an index of all platforms before that of one."""
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_PASSING = (408, 429, 500, 502, 503, 504)
_DENIED = (401, 403)
_CONNECT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 30.0
_MOST_BYTES = 8 * BYTES_PER_MIB
"""Largest answer; the specification lets registries refuse manifests of more than 4 MiB."""
_BODY_TIMEOUTS = 3
"""Times that a whole body may take as long as an answer may keep one waiting."""
_PIECE_BYTES = 64 * 1024
_MOST_STEPS = 6
_TOKEN = re.compile(r"[\x21-\x7e]+")
_GIVE_DIGEST = "name the image with its digest: --image REPOSITORY@sha256:DIGEST, or container_images in the code"


@dataclass(frozen=True, slots=True)
class Reference:
    """Registry, name and tag of an image."""

    registry: str
    """Host, with its port where it has one."""
    name: str
    tag: str

    @property
    def origin(self) -> str:
        """Scheme and host: plain HTTP is spoken to this very machine only."""
        return f"{'http' if _LOOPBACK.fullmatch(self.registry) else 'https'}://{self.registry}"


@dataclass(frozen=True, slots=True)
class _Answer:
    """Answer of a registry, with no more of its body than is wanted."""

    status: int
    headers: Mapping[str, str]
    data: bytes


def reference_of(image: str) -> Reference:
    """Registry, name and tag of an image, as Docker reads them."""
    host, slash, rest = image.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        registry, path = host, rest
    else:
        registry, path = _DOCKER_HUB, image if slash else f"library/{image}"
    name, _, tag = path.partition(":")
    return Reference(_DOCKER_HUB if registry in _DOCKER_HUB_NAMES else registry, name, tag or "latest")


def resolve(images: Iterable[str], registries: "Registries | None" = None) -> Mapping[str, str]:
    """The digest of each image, of the index of all its platforms.

    *images*: references with a tag, such as ``vllm/vllm-openai:v0.30.0``.

    Raises:
        InputError: there is no such tag, or it is not public; the message says which image and what to do.
        AdvisorError: a registry does not answer.
    """
    asked = registries or Registries()
    return {image: asked.digest(image) for image in images}


@dataclass(frozen=True, eq=False)
class Registries:
    """Asks registries; waits as long as they say, up to half a minute a time."""

    tries: int = 5
    timeout_seconds: float = 20.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def digest(self, image: str) -> str:
        """The digest of one image. Raises InputError, AdvisorError as of :func:`resolve`."""
        reference = reference_of(image)
        address = f"{reference.origin}/v2/{reference.name}/manifests/{reference.tag}"
        headers = {"Accept": ", ".join(_KINDS)}
        answer = self.ask("HEAD", address, headers, image)
        if answer.status == 401:
            headers |= self._login(answer.headers.get("WWW-Authenticate", ""), image)
            answer = self.ask("HEAD", address, headers, image)
        _check(answer.status, image, reference)
        digest = answer.headers.get("Docker-Content-Digest", "")
        if DIGEST.fullmatch(digest):
            return digest
        # Registries that do not name it: it is that of the manifest's bytes.
        answer = self.ask("GET", address, headers, image)
        _check(answer.status, image, reference)
        return f"sha256:{hashlib.sha256(answer.data).hexdigest()}"

    def _login(self, challenge: str, image: str) -> Mapping[str, str]:
        """The header with a token for anybody, from where the registry says."""
        scheme, _, rest = challenge.partition(" ")
        asked = dict(_PARAMETER.findall(rest))
        realm = asked.pop("realm", "")
        if scheme.lower() != "bearer" or not _is_safe(realm):
            raise _private(image, reference_of(image))
        answer = self.ask("GET", f"{realm}?{urlencode(asked)}", {"Accept": "application/json"}, image)
        _check(answer.status, image, reference_of(image))
        return {"Authorization": f"Bearer {_token_in(answer.data, image, urlsplit(realm).hostname or '')}"}

    def ask(self, method: str, address: str, headers: Mapping[str, str], image: str) -> _Answer:
        """The first answer that is not a call to wait, or else the last one.

        *image*: what an error is about. Raises AdvisorError without an answer.
        """
        import urllib3  # noqa: PLC0415 - commands that ask nobody stay quick

        wait = 1.0
        for tries_left in reversed(range(self.tries)):
            try:
                answer = self._answer(method, address, headers)
            except ValueError as error:
                raise _silent(image, str(error)) from error
            except urllib3.exceptions.HTTPError as error:
                reason = getattr(error, "reason", None) or error
                if not tries_left or _is_offline(reason):
                    raise _unreachable(image, address, reason) from error
            else:
                if answer.status not in _PASSING or not tries_left:
                    return answer
                said = answer.headers.get("Retry-After", "")
                wait = float(said) if said.isdecimal() else wait
            self.sleep(min(wait, _LONGEST_WAIT_SECONDS))
            wait *= 2
        raise AssertionError  # the last try returns or raises

    def _answer(self, method: str, address: str, headers: Mapping[str, str]) -> _Answer:
        """The answer behind redirects."""
        for _ in range(_MOST_STEPS):
            answer = self._pool(address).request(
                method, address, headers=dict(headers), preload_content=False, redirect=False
            )
            try:
                content = _body(answer, _BODY_TIMEOUTS * self.timeout_seconds)
            finally:
                answer.close()
            location = answer.get_redirect_location()
            if not location:
                return _Answer(answer.status, answer.headers, content)
            there = urljoin(address, location)
            headers = _headers_for(there, address, headers)
            address = there
        raise ValueError("too many redirects")

    def _pool(self, address: str) -> "urllib3.PoolManager":
        """The connections that the environment wants: through its proxy, or not."""
        parts = urlsplit(address)
        proxy = self._proxies.get(parts.scheme, "")
        return self._pools[proxy if proxy in self._pools and not proxy_bypass(parts.netloc) else ""]

    @cached_property
    def _proxies(self) -> Mapping[str, str]:
        return getproxies()

    @cached_property
    def _pools(self) -> "Mapping[str, urllib3.PoolManager]":
        import urllib3  # noqa: PLC0415 - as above

        from advisor.http_pools import bounded  # noqa: PLC0415 - as above

        timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, self.timeout_seconds), read=self.timeout_seconds)
        retries = urllib3.Retry(0, respect_retry_after_header=False)  # retries and redirects are this class's own
        proxies = {proxy for proxy in self._proxies.values() if proxy.startswith(("http://", "https://"))}
        through = {proxy: urllib3.ProxyManager(proxy, retries=retries, timeout=timeout) for proxy in proxies}
        managers = {"": urllib3.PoolManager(retries=retries, timeout=timeout), **through}
        return {proxy: bounded(manager, self.timeout_seconds) for proxy, manager in managers.items()}


def _headers_for(there: str, here: str, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Headers behind a redirect: a token stays with who it was given for."""
    if not _is_safe(there) or (here.startswith("https:") and there.startswith("http:")):
        raise ValueError("it redirects to an address without TLS")
    stays = urlsplit(there)[:2] == urlsplit(here)[:2]
    return headers if stays else {name: value for name, value in headers.items() if name != "Authorization"}


def _is_safe(address: str) -> bool:
    """Whether an address may be asked: with TLS, or on this very machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _LOOPBACK.fullmatch(parts.netloc) is not None)


def _token_in(data: bytes, image: str, host: str) -> str:
    """The token of a login's answer."""
    try:
        document = json_of(data.decode(), host)
        token = str(document.get("token") or document["access_token"])
        if _TOKEN.fullmatch(token) is None:
            raise ValueError(token)  # noqa: TRY301 - all that is not a token is refused alike
    except (InputError, ValueError, KeyError, AttributeError) as error:
        raise _silent(image, f"{host} answered no token") from error
    return token


def _body(answer: "urllib3.BaseHTTPResponse", seconds: float) -> bytes:
    """The whole body, within bounds of size and time."""
    until = time.monotonic() + seconds
    content = bytearray()
    while piece := answer.read1(_PIECE_BYTES, decode_content=True):
        content += piece
        if len(content) > _MOST_BYTES or time.monotonic() > until:
            raise ValueError("its answer does not end")
    return bytes(content)


def _check(status: int, image: str, reference: Reference) -> None:
    if status in _DENIED:
        raise _private(image, reference)
    if status == 404:
        raise InputError(
            f"{reference.registry} has no {reference.name} with the tag {reference.tag}",
            where=image,
            hint="name another image with --image",
        )
    if status != 200:
        raise _silent(image, f"{reference.registry} answered {status}")


def _private(image: str, reference: Reference) -> InputError:
    return InputError(
        f"{reference.registry} gives it to nobody without a login, or has it not", where=image, hint=_GIVE_DIGEST
    )


def _is_offline(reason: Exception) -> bool:
    """Whether no connection came about, so that waiting would not help."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError  # noqa: PLC0415 - as above

    return isinstance(reason, ConnectTimeoutError | NewConnectionError | ProxyError)


def _unreachable(image: str, address: str, reason: Exception) -> AdvisorError:
    """Registry, cause and remedy, without the words of the library."""
    cause = getattr(reason, "original_error", reason).__cause__
    said = cause.strerror if isinstance(cause, OSError) else ""
    words = said or ("no answer in time" if "imeout" in type(reason).__name__ else "the connection failed")
    return AdvisorError(
        f"{urlsplit(address).hostname} cannot be reached: {words}",
        where=image,
        hint=f"check the network, or the proxy in HTTPS_PROXY, and run again; {_GIVE_DIGEST}; or leave out "
        "--resolve-digests, and images are taken by their tags",
    )


def _silent(image: str, reason: str) -> AdvisorError:
    return AdvisorError(
        f"its registry gave no digest: {reason}", where=image, hint=f"run the command again later, or {_GIVE_DIGEST}"
    )


_REGISTRY_OF_ITS_OWN = ("sagemaker",)
"""Targets that take other images than those that engines publish."""
_DIGEST_ALONE = ("cloud-run", "container-apps")
"""Services whose references have a tag or a digest; others take both."""


def images_of(stacks: Iterable[Stack]) -> tuple[str, ...]:
    """The images of the stacks that a tag names, each once."""
    images = {
        backend.container.image
        for stack in stacks
        if stack.target not in _REGISTRY_OF_ITS_OWN
        for backend in stack.backends
    }
    return tuple(sorted(image for image in images if "@" not in image))


def pinned(stack: Stack, digests: Mapping[str, str]) -> Stack:
    """The stack with each image by its digest, where one is known."""
    if stack.target in _REGISTRY_OF_ITS_OWN:
        return stack
    backends = []
    for backend in stack.backends:
        container = backend.container
        if digest := digests.get(container.image):
            name = repository(container.image) if stack.target in _DIGEST_ALONE else container.image
            container = replace(container, image=f"{name}@{digest}")
        backends.append(replace(backend, container=container))
    return replace(stack, backends=tuple(backends))


def _by_digest(image: str, digest: str) -> tuple[str, str]:
    if DIGEST.fullmatch(digest) is None:
        raise ValueError(f"{digest!r} is not a digest, such as sha256:{'0' * 8}…")
    return image_reference(image), digest


IMAGES = PinFile("images.json", "images and digests", _by_digest)
"""Image with its tag → digest."""
