"""Requests signed with AWS's Signature Version 4, as Amazon Managed Service for Prometheus asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from advisor.errors import InputError
from advisor.samples.query.aws_access import RENEW, aws_session

PERMISSIONS = "aps:QueryMetrics, aps:GetLabels, aps:GetSeries and aps:GetMetricMetadata"
_SERVICE = "aps"
_WORKSPACES = re.compile(
    r"(?:[\w.-]+\.)?aps-workspaces(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)"
)
"""Hosts of managed workspaces, with their region."""


def workspace_region(url: str) -> str | None:
    """Region of a managed workspace; None for any other server."""
    match = _WORKSPACES.fullmatch(urlsplit(url).hostname or "")
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with credentials that are renewed as AWS's own tools renew them."""

    region: str
    credentials: Any = field(repr=False)
    """Botocore's."""

    @classmethod
    def of(cls, url: str, region: str | None, profile: str | None) -> "Signer":
        """A signer for a server.

        Args:
            url: of the server, which may name the region.
            region: None: that of the address.
            profile: of AWS's configuration; None: the default.

        Raises:
            InputError: boto3 is not installed, there are no credentials, or the region is not known.
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
        """Headers that a request needs to be signed, beside its other headers.

        Args:
            method: such as POST.
            url: whole, with query.
            body: None: there is none.
            content: headers of the body.

        Raises:
            InputError: the credentials have expired and cannot be renewed.
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
