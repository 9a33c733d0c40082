"""Registry of the AWS Deep Learning Containers in each region, by their region availability of November 2026."""

from collections.abc import Mapping

_COMMON_ACCOUNT = "763104351884"
_COMMON_REGIONS = (
    "ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1",
    "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2",
    "us-west-1", "us-west-2",
)  # fmt: skip
_ACCOUNTS: Mapping[str, str] = dict.fromkeys(_COMMON_REGIONS, _COMMON_ACCOUNT) | {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "me-west-1": "124382933778",
    "mx-central-1": "637423239942",
}
"""Account of the registry of each region."""


def registry_of(region: str) -> str:
    """Host of the registry in a region; "" where none is known."""
    account = _ACCOUNTS.get(region)
    suffix = "com.cn" if region.startswith("cn-") else "com"
    return f"{account}.dkr.ecr.{region}.amazonaws.{suffix}" if account else ""
