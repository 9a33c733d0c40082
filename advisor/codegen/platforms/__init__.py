"""Names of each cloud for things: machine images, runtimes and quotas of its accelerated instance types."""

from advisor.catalog import load_catalog
from advisor.codegen.container import Platform, Quota, Runtime, Serves
from advisor.codegen.platforms import aws, azure, gcp
from advisor.codegen.quotas import HINT, check_deployable, family_of
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
    platform = _PLATFORMS.get(serves.provider, _of_nodes)(serves)
    check_deployable(serves)
    return platform


def _of_nodes(serves: Serves) -> Platform:
    """Nodes of clusters, where code is written for those alone: the family of machine_support.csv is their runtime.

    Raises:
        NotDeployable: no nodes of the type are known.
    """
    runtime = Runtime(family_of(serves.provider, serves.instance_type))
    machine = load_catalog().instance_types.get((serves.provider, serves.instance_type))
    if machine is None:
        raise NotDeployable(f"{serves.instance_type}: the catalog does not know the type", hint=HINT)
    return Platform(
        runtime=runtime,
        cpu_architecture=machine.cpu_architecture,
        machine_image="",
        quota=Quota(serves.instance_type, f"{serves.accelerator} in nodes of a cluster", "accelerators"),
    )
