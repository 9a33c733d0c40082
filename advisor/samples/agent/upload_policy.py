"""``upload-policy URL``: the permissions that an upload needs, and the address of a bucket itself.

Standard library only.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from advisor.errors import InputError
from advisor.records import dataclass

HELP = "where finished days go: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
_OPTIONS = {"s3": ("region", "endpoint"), "gs": ("endpoint",), "az": ("account",)}
"""Schemes, and what may stand behind the question mark."""
SCHEMES = tuple(_OPTIONS)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=/+@,-]*")
_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """Destination of files."""

    scheme: str
    """``s3``, ``gs`` or ``az``."""
    bucket: str
    """Or container."""
    prefix: str
    """Without slashes at its ends; may be empty."""
    options: Mapping[str, str]

    def __str__(self) -> str:
        """Without options."""
        return f"{self.scheme}://{self.root}"

    @property
    def root(self) -> str:
        """Bucket and prefix."""
        return f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket


def parse_bucket_url(text: str, where: str = "--upload") -> BucketUrl:
    """The bucket that an address is of.

    Raises:
        InputError: it is none.
    """
    hint = "write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no address of a bucket", where=where, hint=hint) from error
    prefix = parts.path.strip("/")
    if (
        parts.scheme not in _OPTIONS
        or not _BUCKET.fullmatch(parts.netloc)
        or not _PREFIX.fullmatch(prefix)
        or parts.fragment
        or {"", ".", ".."} & set(prefix.split("/") if prefix else ())
    ):
        raise InputError(f"{text!r} is no address of a bucket", where=where, hint=hint)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    allowed = _OPTIONS[parts.scheme]
    if unknown := [name for name in options if name not in allowed]:
        raise InputError(
            f"{unknown[0]!r} is no option of {parts.scheme}://", where=where, hint=f"options: {', '.join(allowed)}"
        )
    return BucketUrl(parts.scheme, parts.netloc, prefix, options)


def policy_of(url: BucketUrl) -> str:
    """Permissions for the identity of the hosts, as a document or commands of the provider."""
    if url.scheme == "s3":
        return json.dumps(_s3_policy(url), indent=2)
    if url.scheme == "gs":
        return (
            f"gcloud storage buckets add-iam-policy-binding gs://{url.bucket} \\\n"
            "  --member=serviceAccount:NAME@PROJECT.iam.gserviceaccount.com --role=roles/storage.objectUser"
        )
    return (
        "az role assignment create --assignee PRINCIPAL --role 'Storage Blob Data Contributor' \\\n"
        "  --scope /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/"
        f"{url.options.get('account', 'ACCOUNT')}/blobServices/default/containers/{url.bucket}"
    )


def _s3_policy(url: BucketUrl) -> dict[str, Any]:
    """Nothing beyond the prefix; deleting is for files of a day that a later one of the same day stands in for."""
    region = url.options.get("region", "")
    partition = next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")
    bucket = f"arn:{partition}:s3:::{url.bucket}"
    below = f"{url.prefix}/*" if url.prefix else "*"
    listing: dict[str, Any] = {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket}
    if url.prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": below}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            listing,
            {
                "Sid": "WriteAndVerify",
                "Effect": "Allow",
                "Action": ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                "Resource": f"{bucket}/{below}",
            },
        ],
    }


def main(arguments: Sequence[str], program: str) -> int:
    """Print the permissions.

    Raises:
        InputError: the address is none of a bucket.
    """
    parser = argparse.ArgumentParser(
        prog=program, allow_abbrev=False, description="Print the permissions that an upload needs, and no more."
    )
    parser.add_argument("url", metavar="URL", help=HELP)
    sys.stdout.write(policy_of(parse_bucket_url(parser.parse_args(arguments).url, "upload-policy")) + "\n")
    return 0
