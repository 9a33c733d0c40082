"""Address and credentials of a server. A secret is never part of what is shown or kept."""

import base64
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from advisor.errors import InputError
from advisor.records import dataclass, field
from advisor.samples.query.cloudwatch import RENEW, aws_session

PERMISSIONS = "aps:QueryMetrics, aps:GetLabels, aps:GetSeries and aps:GetMetricMetadata"
_SERVICE = "aps"
_WORKSPACES = re.compile(
    r"(?:[\w.-]+\.)?aps-workspaces(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)"
)
"""Hosts of managed workspaces, with their region."""
TOKEN_VARIABLE = "ADVISOR_PROMETHEUS_TOKEN"  # noqa: S105 - the name of a variable
USER_VARIABLE = "ADVISOR_PROMETHEUS_USER"
PASSWORD_VARIABLE = "ADVISOR_PROMETHEUS_PASSWORD"  # noqa: S105 - the name of a variable
SIGV4_VARIABLE = "ADVISOR_PROMETHEUS_SIGV4"
TENANT_VARIABLE = "ADVISOR_PROMETHEUS_TENANT"
_HOW = f"write it to a file and name that, or set {TOKEN_VARIABLE}"
_LONGEST_TOKEN = 65_536


def workspace_region(url: str) -> str | None:
    """Region of a managed workspace; None for any other server."""
    match = _WORKSPACES.fullmatch(urlsplit(url).hostname or "")
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with credentials that are renewed as AWS's own tools renew them."""

    region: str
    credentials: Any = field(repr=False)

    @classmethod
    def of(cls, url: str, region: str | None, profile: str | None) -> "Signer":
        """A signer for a server in a region (None: that of its address), with a profile of AWS's (None: the default).

        Raises InputError if boto3 is not installed, there are no credentials, or the region is not known.
        """
        scope = region or workspace_region(url)
        if scope is None:
            raise InputError("the region to sign for is not known", where=url, hint="write sigv4: {region: us-east-1}")
        session = aws_session(scope, profile, url)
        credentials = _retrieved(session.get_credentials, url)
        if credentials is None:
            raise InputError("there are no AWS credentials", where=url, hint=RENEW)
        return cls(scope, credentials)

    def headers(self, method: str, url: str, body: str | None, content: Mapping[str, str]) -> dict[str, str]:
        """Headers that a request (its whole URL) needs to be signed, beside *content*, those of its body.

        Raises InputError if the credentials have expired and cannot be renewed.
        """
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - optional
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - optional

        frozen = _retrieved(self.credentials.get_frozen_credentials, url.partition("?")[0])
        request = AWSRequest(method=method, url=url, data=body or "", headers=dict(content))
        SigV4Auth(frozen, _SERVICE, self.region).add_auth(request)
        return {name: value for name, value in request.headers.items() if name not in content}


def refusal_of(said: str, region: str) -> str:
    """Remedy for a signed request that was refused with these words."""
    words = said.lower()
    if "scoped to" in words or "region" in words:
        return f"it was signed for {region}: write the region of the workspace as sigv4: {{region: …}}"
    if any(word in words for word in ("expired", "invalid", "signature", "not yet current")):
        return RENEW
    return f"allow {PERMISSIONS} on the workspace to these credentials"


def _retrieved(retrieve: Any, where: str) -> Any:  # noqa: ANN401 - botocore's
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - optional

    try:
        return retrieve()
    except (BotoCoreError, ClientError) as error:
        raise InputError(str(error), where=where, hint=RENEW) from error


@dataclass(frozen=True, slots=True)
class PrometheusEndpoint:
    """A server, and what it is told of who asks."""

    url: str
    """Without query and final slash."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """None: plain HTTP."""
    timeout_seconds: float = 120.0
    signer: Signer | None = field(default=None, repr=False)
    """Signs every request; None: nothing does."""
    max_answer_bytes: int = 256 * 2**20
    """A longer answer is refused rather than held in memory."""

    @classmethod
    def of(
        cls,
        url: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        sigv4: tuple[str | None, str | None] | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 120.0,
    ) -> "PrometheusEndpoint":
        """Access to a server.

        *url* has no user and password: they would stand in files, histories and lists of processes. *ca_file*: PEM file
        of the authority that signed its certificate, besides those that the system trusts. *sigv4*: region (None: that
        of the address) and profile (None: the default) to sign requests with; None: only requests to managed workspaces
        are signed, and those of whom the environment names a region. *environment*: variables that may hold a token, a
        user, a password and a tenant; None: those of this process. *timeout_seconds*: longest wait for one answer.
        Raises InputError if the address or a file is none, or there is nothing to sign with.
        """
        parts = _split(url)
        variables = os.environ if environment is None else environment
        headers = _authorization(token_file, variables)
        if tenant := variables.get(TENANT_VARIABLE):
            headers["X-Scope-OrgID"] = _one_line(tenant, TENANT_VARIABLE)
        shown = _shown(parts)
        tls = _tls_context(ca_file, shown) if parts.scheme == "https" else None
        signer = _signer(shown, sigv4, variables, is_known="Authorization" in headers)
        return cls(shown, headers, tls, timeout_seconds, signer)


def shown_url(url: str) -> str:
    """An address without query and fragment, fit for plans. Raises InputError if it is none, or has credentials."""
    return _shown(_split(url))


def _shown(parts: SplitResult) -> str:
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    place = name if parts.port is None else f"{name}:{parts.port}"
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))


def _split(url: str) -> SplitResult:
    hint = "give an address such as https://prometheus.example.com:9090"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or any(character.isspace() or not character.isprintable() for character in url):
        raise InputError("this is not the address of a Prometheus-compatible server", where="prometheus", hint=hint)
    if parts.username is not None:
        raise InputError(
            "the address holds a user or a password",
            where=_shown(parts),
            hint=f"leave it out and set {USER_VARIABLE} and {PASSWORD_VARIABLE}, or use a token file",
        )
    return parts


def _authorization(token_file: Path | None, variables: Mapping[str, str]) -> dict[str, str]:
    """The first of: a token file, a token in the environment, user and password in the environment."""
    if token_file is not None:
        try:
            with token_file.open(encoding="utf-8") as stream:
                token = stream.read(_LONGEST_TOKEN)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InputError(f"cannot read the token: {reason}", where=str(token_file), hint=_HOW) from error
        return {"Authorization": f"Bearer {_one_line(token, str(token_file))}"}
    if named := variables.get(TOKEN_VARIABLE):
        return {"Authorization": f"Bearer {_one_line(named, TOKEN_VARIABLE)}"}
    user, password = variables.get(USER_VARIABLE, ""), variables.get(PASSWORD_VARIABLE, "")
    if not user:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _signer(
    url: str, stated: tuple[str | None, str | None] | None, variables: Mapping[str, str], *, is_known: bool
) -> Signer | None:  # fmt: skip
    """Signer of requests, where it is asked for, or the server is known to need it and no credentials are stated."""
    if stated is not None and is_known:
        hint = "leave the token, the user or sigv4 out"
        raise InputError("requests cannot be signed and carry a token too", where=url, hint=hint)
    if stated is None and not is_known:
        region = variables.get(SIGV4_VARIABLE) or workspace_region(url)
        stated = (region, None) if region else None
    return None if stated is None else Signer.of(url, *stated)


def _one_line(secret: str, where: str) -> str:
    """The secret without the line end that editors add; a header may hold no other."""
    stripped = secret.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable():
        raise InputError("this is not a token: it has to be one line of printable characters", where=where, hint=_HOW)
    return stripped


def _tls_context(ca_file: Path | None, url: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            message = f"cannot use it as a certificate authority for {url}: {error.strerror or error}"
            hint = "give a PEM file that holds the certificate of the authority"
            raise InputError(message, where=str(ca_file), hint=hint) from error
    return context
