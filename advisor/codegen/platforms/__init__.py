"""Names of each cloud for things: machine images, runtimes and quotas of its accelerated instance types."""

from advisor.codegen.container import Platform, Serves
from advisor.codegen.deployability import check_deployable
from advisor.codegen.platforms import aws, azure, gcp
from advisor.errors import NotDeployable

_PLATFORMS = {"aws": aws.platform_of, "gcp": gcp.platform_of, "azure": azure.platform_of}
PROVIDERS = tuple(_PLATFORMS)
"""Clouds that code can be written for."""


def platform_of(serves: Serves) -> Platform:
    """How the instances of a type boot.

    Raises:
        NotDeployable: the cloud or the type is none that code can be written for; the message says why.
        InputError: the type is malformed.
    """
    find = _PLATFORMS.get(serves.provider)
    if find is None:
        raise NotDeployable(
            f"no code is generated for {serves.provider}", hint=f"choose an option of {', '.join(PROVIDERS)}"
        )
    platform = find(serves)
    check_deployable(serves)
    return platform
