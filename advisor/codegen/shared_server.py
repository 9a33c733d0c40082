"""Stacks of workloads whose models one server holds → one stack: a Deployment of all, and a route for each."""

from collections.abc import Sequence

from advisor.codegen.engines.triton import with_models
from advisor.codegen.keys import unique_keys
from advisor.codegen.model import Backend, ComputeGroup, Region, Stack, WatchedModel
from advisor.deployable import start_seconds
from advisor.records import replace

_LIVE_PATH = "/v2/health/live"
"""Triton's answer to whether it runs; that to whether it is ready fails while any of its models is loaded anew.

Source: issues 7014 and 5940 of triton-inference-server/server.
"""


def joined(name: str, tenants: Sequence[Stack]) -> Stack:
    """The stack of one server.

    Args:
        name: of its namespace.
        tenants: workloads with a model each, of one image on the same nodes.
    """
    first = tenants[0]
    key = f"{first.groups[0].region}-models"
    group = _group(unique_keys([key])[key], [tenant.groups[0] for tenant in tenants])
    held = with_models({tenant.name: tenant.backends[0].container for tenant in tenants})
    container = replace(held, live_path=_LIVE_PATH)
    backend = Backend(group.backend, group.region, container, first.backends[0].weight, first.backends[0].runtime)
    models = tuple(
        WatchedModel(tenant.name, model.name, tenant.slo_alarms, tenant.groups[0].requests_per_second_per_instance)
        for tenant, model in zip(tenants, container.models, strict=True)
    )
    return replace(
        first,
        name=name,
        groups=(group,),
        backends=(backend,),
        regions=(_region([tenant.regions[0] for tenant in tenants]),),
        slo_alarms=(),
        slo_left_out=tuple(dict.fromkeys(f"{tenant.name}: {why}" for tenant in tenants for why in tenant.slo_left_out)),
        owner={},
        summary=replace(
            first.summary,
            workload=", ".join(tenant.name for tenant in tenants),
            model=", ".join(dict.fromkeys(tenant.summary.model for tenant in tenants)),
        ),
        models=models,
    )


def _group(key: str, groups: Sequence[ComputeGroup]) -> ComputeGroup:
    """Pods of the server: what each model takes adds up, and they are downloaded one after another."""
    checkpoint_gib = sum(group.checkpoint_gib for group in groups)
    first = max(groups, key=lambda group: group.start_seconds)
    others_s = start_seconds(checkpoint_gib, compiles=False) - start_seconds(first.checkpoint_gib, compiles=False)
    return replace(
        first,
        key=key,
        backend=key,
        weight=1000,
        requests_per_second_per_instance=sum(group.requests_per_second_per_instance for group in groups),
        concurrent_requests_per_instance=sum(group.concurrent_requests_per_instance for group in groups),
        checkpoint_gib=checkpoint_gib,
        start_seconds=round(first.start_seconds + others_s),
        root_volume_gib=max(group.root_volume_gib for group in groups) + checkpoint_gib - first.checkpoint_gib,
        zones=max(group.zones for group in groups),
    )


def _region(regions: Sequence[Region]) -> Region:
    return replace(
        regions[0],
        subnets=max(region.subnets for region in regions),
        zones=max(region.zones for region in regions),
        peak_requests_per_second=sum(region.peak_requests_per_second or 0.0 for region in regions),
    )
