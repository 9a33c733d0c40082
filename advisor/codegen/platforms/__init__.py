"""Names of each cloud for things: machine images, runtimes and quotas of its accelerated instance types."""

from advisor.catalog import load_catalog
from advisor.codegen.container import Platform, Serves
from advisor.codegen.deployability import check_deployable
from advisor.codegen.platforms import aws, azure, gcp, managed_kubernetes
from advisor.deployable import without_code
from advisor.errors import NotDeployable

_PLATFORMS = {"aws": aws.platform_of, "gcp": gcp.platform_of, "azure": azure.platform_of}
"""Of clouds whose machines code starts; others have nodes in a cluster of the user's."""


def platform_of(serves: Serves) -> Platform:
    """How the instances of a type boot.

    Raises:
        NotDeployable: the cloud or the type is none that code can be written for; the message says why.
        InputError: the type is malformed.
    """
    if why := without_code(serves.provider, load_catalog()):
        raise NotDeployable(why, hint=f"choose an option of {', '.join(load_catalog().deployment.providers)}")
    platform = _PLATFORMS.get(serves.provider, managed_kubernetes.platform_of)(serves)
    check_deployable(serves)
    return platform
