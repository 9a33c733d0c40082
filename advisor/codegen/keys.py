"""Names of groups and backends that stay from plan to plan, their weights, and stacks joined behind one server."""

import hashlib
import math
from collections.abc import Mapping, Sequence

from advisor.catalog.planning import start_seconds
from advisor.codegen.container import Backend, Region
from advisor.codegen.engines.triton import with_models
from advisor.codegen.model import ComputeGroup, Stack, WatchedModel
from advisor.codegen.quoting import slug
from advisor.codegen.selection import Member
from advisor.codegen.wanted import Wanted
from advisor.plan.estate.packing import SharedMachine
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.values import Plan
from advisor.records import dataclass, replace

_MILLE = 1000


_LONGEST_KEY = 38
"""With the name and a hyphen within the 63 characters of a host name."""


_HASH_DIGITS = 6


def _split(member: Member) -> str:
    serves = member.serves
    stages = f"pp{serves.pipeline_parallel}" if serves.pipeline_parallel > 1 else ""
    replicas = f"x{serves.replicas_per_instance}" if serves.replicas_per_instance > 1 else ""
    slices = f" {serves.partition}" if serves.partition else ""
    return f"{serves.precision} tp{serves.tensor_parallel}{stages}{replicas}{slices}"


def group_keys(members: Sequence[Member]) -> tuple[str, ...]:
    """The key of the group of each member: stable from plan to plan, and unique."""
    names = [_group_name(member) for member in members]
    keys = unique_keys(names)
    return tuple(keys[name] for name in names)


def _group_name(member: Member) -> str:
    kind = PurchaseOption(member.serves.purchase).ordered_as.replace("_", "-")
    return f"{member.serves.region} {member.serves.instance_type.removeprefix('Standard_')} {_split(member)} {kind}"


def backend_name(member: Member, wanted: Wanted) -> str:
    """Name of the backend of a member: what serves alike in one region has the same."""
    serves = member.serves
    engine = serves.engine if wanted.engine is None else wanted.engine.value
    return f"{serves.region} {serves.accelerator_count:g}x{serves.accelerator} {_split(member)} {engine}"


def unique_keys(names: Sequence[str]) -> Mapping[str, str]:
    """Name → slug within the longest length; names that are cut, or meet, carry a hash of the whole name."""
    plain = {name: slug(name, 10 * _LONGEST_KEY, "group") for name in names}
    counts = list(plain.values())
    return {
        name: text if len(text) <= _LONGEST_KEY and counts.count(text) == 1 else _cut(name, text)
        for name, text in plain.items()
    }


def _cut(name: str, text: str) -> str:
    mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_HASH_DIGITS]
    return f"{text[: _LONGEST_KEY - _HASH_DIGITS - 1].rstrip('-')}-{mark}"


def per_mille(shares: Mapping[str, float], of: int = _MILLE) -> Mapping[str, int]:
    """Shares as whole per mille that add up to *of*, each at least 1 where that reaches (largest remainders)."""
    total, least = sum(shares.values()), 1 if of >= len(shares) else 0
    exact = {key: of * share / total if total > 0 else of / len(shares) for key, share in shares.items()}
    whole = {key: max(least, math.floor(value)) for key, value in exact.items()}
    by_remainder = sorted(exact, key=lambda key: (whole[key] - exact[key], key))
    step = 1 if sum(whole.values()) < of else -1
    order = by_remainder if step > 0 else [key for key in reversed(by_remainder) if whole[key] > 1]
    for key in (order * _MILLE)[: abs(of - sum(whole.values()))]:
        whole[key] += step
    return whole


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


_ESTATE_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A shared machine of an estate, with the plans of those who sit on it."""

    position: int
    """In the estate, from 0."""
    machine: SharedMachine
    plans: Mapping[str, Plan]
    """By file."""
    estate: str = ""
    """Name of the estate; "" where it has none."""

    @property
    def name(self) -> str:
        """Folder of its code."""
        return f"shared-{self.position + 1}"

    @property
    def deployment(self) -> str:
        """Name of its resources and of its nodes, which two estates in one organisation or cluster do not share."""
        return self._of_estate(self.name)

    @property
    def servers(self) -> Mapping[str, tuple[str, ...]]:
        """Name of the namespace of each server that holds several models → its workloads."""
        return {self._of_estate(f"{self.name}-server-{at}"): of for at, of in enumerate(self.machine.servers, start=1)}

    def _of_estate(self, name: str) -> str:
        if not self.estate:
            return name
        longest = LONGEST_NAME - len(name) - 1
        whole = slug(self.estate, 10 * LONGEST_NAME, "estate")
        mark = hashlib.sha256(self.estate.encode("utf-8", "replace")).hexdigest()[:_ESTATE_DIGITS]
        short = whole if len(whole) <= longest else f"{whole[: longest - _ESTATE_DIGITS - 1].rstrip('-')}-{mark}"
        return f"{short}-{name}"


LONGEST_NAME = 24
"""A load balancer's name may have 32 characters, and a suffix has to fit."""
