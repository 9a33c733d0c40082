"""Nodes of providers whose managed Kubernetes code is written for: how a machine of theirs serves, and its quota."""

from advisor.catalog import load_catalog
from advisor.codegen.container import Platform, Quota, Runtime, Serves
from advisor.codegen.deployability import HINT, family_of
from advisor.errors import NotDeployable


def platform_of(serves: Serves) -> Platform:
    """How the instances of *serves* are driven: the family of machine_support.csv is their runtime.

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
