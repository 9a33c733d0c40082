"""Sessions and errors of AWS's own client library, which is optional."""

import difflib
from typing import Any

from advisor.errors import InputError

_STALE = {
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidToken", "RequestExpired",
    "SignatureDoesNotMatch", "InvalidSignatureException", "UnrecognizedClientException", "InvalidAccessKeyId",
    "IncompleteSignature", "AuthFailure",
}  # fmt: skip
"""Error codes of credentials that AWS does not accept, whatever they may do."""
RENEW = "renew the credentials (`aws sso login`, or new keys) and check them with `aws sts get-caller-identity`"


def aws_session(region: str | None, profile: str | None, where: str) -> Any:  # noqa: ANN401 - boto3's
    """A boto3 session with the credentials that AWS's own tools would use.

    Args:
        region: None: as AWS's own settings say.
        profile: name in AWS's configuration files; None: the default.
        where: what needs it, for messages.

    Raises:
        InputError: boto3 is not installed, or knows no such profile.
    """
    try:
        import boto3  # noqa: PLC0415 - optional
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - optional
    except ImportError as error:
        raise InputError("boto3 is not installed", where=where, hint="pip install 'inference-advisor[aws]'") from error
    try:
        return boto3.Session(profile_name=profile, region_name=region)
    except BotoCoreError as error:
        raise InputError(str(error), where=where, hint="`aws configure list-profiles` shows the profiles") from error


def refusal_hint(code: str, actions: str) -> str:
    """How to mend what AWS refused.

    Args:
        code: of AWS's answer, such as ``AccessDenied``.
        actions: the permissions that are needed.
    """
    return RENEW if code in _STALE else f"allow {actions} to these credentials"


def unreached_hint(session: Any, service: str, region: str) -> str:  # noqa: ANN401 - boto3's
    """Checks to make where no answer came; a region that AWS does not have is named with the nearest."""
    known = [
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions(service, partition)
    ]
    if region in known or not known:
        return "check credentials (`aws sts get-caller-identity`), region and network"
    near = difflib.get_close_matches(region, known, 3)
    return f"AWS has no region {region}" + (f": {' or '.join(near)}?" if near else "; `aws account list-regions`")
