"""What each cloud calls things: machine images, runtimes and quotas of its accelerated instance types."""

from advisor.codegen.model import Platform, Serves
from advisor.codegen.platforms import aws, azure, gcp
from advisor.errors import InputError

_PLATFORMS = {"aws": aws.platform_of, "gcp": gcp.platform_of, "azure": azure.platform_of}
PROVIDERS = tuple(_PLATFORMS)
"""Clouds that code can be written for."""


def platform_of(serves: Serves) -> Platform:
    """How the instances of a type boot.

    Raises:
        InputError: the cloud or the type is none that code can be written for; the message says why.
    """
    find = _PLATFORMS.get(serves.provider)
    if find is None:
        raise InputError(
            f"no code is generated for {serves.provider}", hint=f"choose an option of {', '.join(PROVIDERS)}"
        )
    return find(serves)
