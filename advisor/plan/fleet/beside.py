"""Costs beside a plan's total: what is paid only where code is generated otherwise, or is there for others too."""

from collections.abc import Iterator, Mapping, Sequence

from advisor.catalog import Catalog
from advisor.cost.standing import CLOUDS, Machines
from advisor.plan.fleet.chosen import FleetGroup
from advisor.plan.fleet.cost_lines import CostKind, CostLine, priced_line
from advisor.records import replace
from advisor.units import HOURS_PER_MONTH

_BUCKET = "only where model_source names a bucket in the region; by default weights come from the model hub"
_REGISTRY = (
    "only where container_images names a registry of your own; by default images come from where they are published"
)
_CLUSTER = (
    "only where --target names a cluster, and nothing else runs in it; by default code starts machines and services"
)
ITS_CLUSTER = (
    "only where nothing else runs in the cluster: by default code starts nodes of one that is there, and no cluster; "
    "its other nodes, and the gateway through which requests enter, are not counted"
)
"""Assumption of a control plane's line where code starts nodes of a cluster by default."""
CLUSTER_OF_SLICES = (
    "only where nothing else runs in the cluster: code starts nodes of one that is there, and no cluster; its other "
    "nodes are not counted, and load balancers are as for hosts, for what requests enter by"
)
"""The same where nodes hand out slices, which are priced like whole accelerators of hosts."""


def lines_beside(
    groups: Sequence[FleetGroup], catalog: Catalog, image_gb: float, machines: Mapping[str, Machines]
) -> Iterator[CostLine]:
    """Weights in a bucket, an image in a registry and the control plane of a cluster, in each region of the clouds.

    Args:
        groups: what runs.
        catalog: prices of services.
        image_gb: a serving image, compressed.
        machines: what serves in each provider/region.
    """
    for provider, region in dict.fromkeys((group.provider, group.region) for group in groups):
        if provider not in CLOUDS:
            continue
        own = [group for group in groups if (group.provider, group.region) == (provider, region)]
        on_nodes = machines[f"{provider}/{region}"] is not Machines.HOSTS
        sliced = CLUSTER_OF_SLICES if any(group.partition for group in own) else _CLUSTER
        weights_gib = sum({(group.weights, group.precision): group.checkpoint_gib for group in own}.values())
        for kind, item, quantity, assumes in (
            (CostKind.STORAGE, "object_storage", weights_gib, _BUCKET),
            (CostKind.STORAGE, "registry_storage", image_gb, _REGISTRY),
            (CostKind.MANAGED, "cluster", float(HOURS_PER_MONTH), ITS_CLUSTER if on_nodes else sliced),
        ):
            price = catalog.service_price(provider, item, region)
            usd = None if price is None else round(quantity * price.usd, 2)
            line = priced_line(kind, item, f"{provider}/{region}", quantity, price, usd)
            yield replace(line, in_total=False, assumes=assumes)
