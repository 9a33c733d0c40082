"""Plan → stacks, one for each cloud: what has to be deployed, and every number that the code holds."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat

from advisor.catalog import load_catalog
from advisor.catalog.planning import start_seconds
from advisor.catalog.price_trust import first_day, is_listed
from advisor.catalog.values import Purchase
from advisor.codegen.alarms import (
    Alarm,
    alarms_of,
    idle_left_out,
    idle_percent,
    promise_of,
    slo_alarms,
    stalled_alarm,
    visible_requests,
)
from advisor.codegen.container import (
    Agent,
    Backend,
    Container,
    LoadBalancer,
    Platform,
    Region,
    Runtime,
    Serves,
    Wanted,
    pinned_by,
    pins_of,
)
from advisor.codegen.engines import demanded
from advisor.codegen.engines.request import adapter_words, newest_words
from advisor.codegen.gpu_sharing import sharing_of
from advisor.codegen.model import Budget, ComputeGroup, Scaling, ScheduledSize, Stack
from advisor.codegen.platforms import platform_of
from advisor.codegen.prometheus_rules import (
    file_cautions,
    shared_left_out,
    slo_left_out,
    stalled_left_out,
    tells_progress,
)
from advisor.codegen.quotas import compilation_s, converted_gib, quotas_needed
from advisor.codegen.quoting import slug
from advisor.codegen.selection import (
    LONGEST_NAME,
    Choice,
    Member,
    backend_name,
    group_keys,
    of_fleet,
    per_mille,
    scheduled_sizes,
    unique_keys,
)
from advisor.codegen.serving import cache_of, container_of
from advisor.codegen.summary import summary_of
from advisor.cost.services import root_volume_gib
from advisor.cost.standing import GATEWAY
from advisor.deployable import files_gib, service_of
from advisor.errors import InputError
from advisor.plan.document import plan_document
from advisor.plan.fleet.chosen import FEWEST_SUBNETS, Fleet, while_replaced
from advisor.plan.plain_values import digest
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.values import Plan
from advisor.plan.words import unit_of
from advisor.records import replace
from advisor.units import SECONDS_PER_MINUTE
from advisor.workload.values import Survive

_EXAMPLE_PACKAGE = (
    "https://artifacts.example.com/inference_advisor_agent-{version}-py3-none-any.whl" + f"#sha256={'0' * 64}"
)
_CUT = (
    "Resources are named {name}: the workload's name is cut to what every service takes. Another workload of the "
    "account that starts alike would have the same name: set name for one of them."
)
_DEAREST_ALTERNATIVE = 1.5
"""Times the price of the planned type."""
_VERSION = re.compile(r"\d+(\.\d+)*([abc.+-][0-9a-z.+-]*)?")
_REGION = re.compile(r"[a-z]+[a-z0-9]*(-[a-z0-9]+)*")


def stacks_of(plan: Plan, choice: Choice, wanted: Wanted) -> tuple[Stack, ...]:
    """Stacks to deploy for *choice*, by cloud and service; their target is still open unless it is wanted.

    Raises InputError if nothing that this program writes can serve it; the message says why.
    """
    if _VERSION.fullmatch(plan.provenance.advisor_version) is None:
        raise InputError(f"{plan.provenance.advisor_version!r} is not a version", where="provenance.advisor_version")
    for member in choice.members:
        region = member.serves.region
        if _REGION.fullmatch(region) is None:
            raise InputError(f"{region!r} is not a region", hint="expected something like us-east-1")
    plan_digest = digest_of(plan, choice)
    parts = _parts(choice.members, wanted)
    stacks = tuple(
        _cautioned(_stack(plan, replace(choice, members=members), wanted, plan_digest))
        for _, members in sorted(parts.items())
    )
    runtimes = sorted({backend.runtime.value for stack in stacks for backend in stack.backends})
    if wanted.image and len(runtimes) > 1:
        raise InputError(
            f"the fleet serves on {' and '.join(runtimes)}, which one image cannot",
            where="--image",
            hint="leave --image out, or generate one type with --option RANK",
        )
    stacks = (*stacks[:1], *(replace(stack, cache=None) for stack in stacks[1:]))  # one cache answers for all
    return _with_names(stacks, [service for _, service in sorted(parts)])


def _cautioned(stack: Stack) -> Stack:
    if slug(stack.summary.workload, 10 * LONGEST_NAME, "inference") == stack.name:
        return stack
    return stack.with_cautions(_CUT.format(name=stack.name))


def _parts(members: Sequence[Member], wanted: Wanted) -> Mapping[tuple[str, str], tuple[Member, ...]]:
    """Members of each root: one root for a cloud, services apart unless one target is asked for."""
    parts: dict[tuple[str, str], tuple[Member, ...]] = {}
    for member in members:
        service = "" if wanted.target else service_of(member.serves.purchase)
        key = (member.serves.provider, service)
        parts[key] = (*parts.get(key, ()), member)
    return parts


def _with_names(stacks: Sequence[Stack], services: Sequence[str]) -> tuple[Stack, ...]:
    """Names that do not meet in one account: those of services are told apart where a cloud has several stacks."""
    counts = Counter(stack.provider for stack in stacks)
    return tuple(
        replace(stack, name=slug(f"{service}-{stack.name}", LONGEST_NAME, "inference"))
        if service and counts[stack.provider] > 1
        else stack
        for stack, service in zip(stacks, services, strict=True)
    )


def _stack(plan: Plan, choice: Choice, wanted: Wanted, plan_digest: str) -> Stack:
    choice = replace(choice, members=tuple(replace(member, zones=_zones(plan, member)) for member in choice.members))
    model = str(plan.workload["model"])
    platforms = [platform_of(member.serves) for member in choice.members]
    asked = demanded(plan.demand, plan.workload, plan.provenance.model_file)
    containers = [
        container_of(member.serves, model, platform, wanted, asked)
        for member, platform in zip(choice.members, platforms, strict=True)
    ]
    names = [backend_name(member, wanted) for member in choice.members]
    keys = unique_keys(names)
    scaling = _scaling(plan, choice)
    group_names = group_keys(choice.members)
    shares = {key: member.request_share for key, member in zip(group_names, choice.members, strict=True)}
    weights = per_mille(shares)
    groups = tuple(
        replace(_group(plan, member, platform, (key, keys[name]), scaling), weight=weights[key])
        for member, platform, key, name in zip(choice.members, platforms, group_names, names, strict=True)
    )
    has_gpu = any(group.has_gpu for group in groups)
    version = plan.provenance.advisor_version
    slowest_start = max(group.start_seconds for group in groups)
    summary = summary_of(plan, choice, quotas_needed(choice.members[0].serves.provider, wanted.target, groups))
    backends = _backends(groups, containers, platforms)
    promise = promise_of(plan.workload["slo"], plan.demand)
    engines = tuple(dict.fromkeys(backend.container.engine for backend in backends))
    promised = slo_alarms(promise)
    stalled = [stalled_alarm()] if any(map(tells_progress, engines)) else []
    quietest = _quietest_load_ratio(plan, choice)
    machines = [group for group in groups if not group.is_serverless]
    told_use = any(group.tells_gpu_use or group.platform.runtime is Runtime.NEURON for group in machines)
    of_containers = [words for container in containers for words in (container.image_caution, container.api.clients)]
    of_containers += [*file_cautions(plan, engines), *map(newest_words, containers)]
    if asked.adapters is not None:
        of_containers += [adapter_words(asked.adapters, container) for container in containers]
    return Stack(
        name=deployment_name(plan),
        provider=choice.members[0].serves.provider,
        target=wanted.target,
        advisor_version=version,
        plan_digest=plan_digest,
        groups=tuple(sorted(groups, key=lambda group: group.key)),
        backends=pinned_by([_with_workers(backend, groups, promised) for backend in backends], pins_of(backends)),
        pins=pins_of(backends),
        regions=_regions(plan, groups),
        scaling=scaling,
        load_balancer=LoadBalancer(),
        answer_tokens=float(plan.demand["output_tokens"]["mean"]),
        alarms=alarms_of(
            max(member.serves.memory_utilization for member in choice.members),
            slowest_start,
            has_gpu=any(group.tells_gpu_use for group in groups),
            idle=idle_percent(quietest),
        ),
        idle_percent=idle_percent(quietest),
        idle_left_out=idle_left_out(quietest) if told_use else "",
        slo_alarms=(*promised, *stalled),
        slo_left_out=(
            *slo_left_out(promised, engines, _without_target(plan)),
            *stalled_left_out(engines),
            *shared_left_out(groups),
        ),
        agent=Agent(_EXAMPLE_PACKAGE.format(version=version)) if has_gpu else None,
        budget=_budget(plan, choice),
        metrics_namespace="Inference/Hosts",
        tags={"ManagedBy": "advisor", "Project": plan.workload.get("tags", {}).get("project", "inference")},
        owner={key: tag for key, tag in plan.workload.get("tags", {}).items() if key != "project"},
        summary=replace(summary, cautions=(*summary.cautions, *dict.fromkeys(filter(None, of_containers)))),
        on_nodes=_counts_nodes(plan, choice),
        unit=unit_of(plan.demand),
        cache=cache_of(plan, choice),
        inputs=wanted.inputs,
    )


def _counts_nodes(plan: Plan, choice: Choice) -> bool:
    """Whether a Gateway before nodes is among the charges of the fleet that is generated."""
    if choice.option is not None or plan.fleet is None:
        return False
    provider = choice.members[0].serves.provider
    return any((charge.provider, charge.item) == (provider, GATEWAY) for charge in plan.fleet.standing)


def _quietest_load_ratio(plan: Plan, choice: Choice) -> float:
    """Expected requests ÷ those that the instances sustain, in the hours in which that is least and something runs.

    A plan without a fleet knows one rate, the mean of its demand.
    """
    fleet = plan.fleet
    members = choice.members if choice.option is not None or fleet is None else of_fleet(fleet).members
    mean = float(plan.demand["requests_per_second"]["mean"])
    rates = (
        repeat(mean) if fleet is None else (fleet.hour_classes[at].mean_requests_per_second for at in fleet.schedule)
    )
    sustained = (
        sum(count * member.requests_per_second_per_instance for count, member in zip(counts, members, strict=True))
        for counts in zip(*(member.hours for member in members), strict=True)
    )
    return min((rate / most for rate, most in zip(rates, sustained, strict=False) if most > 0), default=0.0)


def deployment_name(plan: Plan) -> str:
    """Name of a plan's deployment: of its resources, and of its namespace on clusters."""
    return slug(str(plan.workload["name"]), LONGEST_NAME, "inference")


def _without_target(plan: Plan) -> str:
    """Why a workload without a target has no alarms on times."""
    words = "latency" if unit_of(plan.demand).is_one_pass else "TTFT"
    why = "requests of batch work wait by design" if _is_batch(plan) else f"the workload has no target for {words}"
    return f"no alarms on {words} and waiting requests, since {why}"


def _is_batch(plan: Plan) -> bool:
    return bool(plan.workload["slo"].get("latency_is_deadline"))


def _scaling(plan: Plan, choice: Choice) -> Scaling:
    if choice.option is not None or plan.fleet is None:
        follows = any(len(set(member.hours)) > 1 for member in choice.members)
        return Scaling.SCHEDULED if follows else Scaling.STATIC
    return Scaling(plan.fleet.scaling.recommended.value)


def _budget(plan: Plan, choice: Choice) -> Budget:
    """The spending that a plan expects; entrances are in the total of one that has lines of them."""
    standing = plan.fleet.standing if plan.fleet is not None else ()
    return Budget(
        _usd_per_month(plan, choice),
        holds_entrances=any(charge.item.endswith("entrance") for charge in standing),
        most_usd_per_month=plan.workload["limits"]["max_usd_per_month"],
    )


def _usd_per_month(plan: Plan, choice: Choice) -> float:
    """The plan's total; of a fleet over several clouds or services, this part's compute."""
    if choice.option is not None:
        return choice.option.cost.total_usd_per_month
    if plan.fleet is None:
        return round(sum(member.usd_per_month for member in choice.members), 2)
    if _is_whole(plan.fleet):
        return plan.fleet.cost.total_usd_per_month
    parts = {(member.serves.provider, service_of(member.serves.purchase)) for member in choice.members}
    own = (group for group in plan.fleet.groups if (group.provider, service_of(group.purchase)) in parts)
    return round(sum(group.compute_usd_per_month for group in own), 2)


def _is_whole(fleet: Fleet | None) -> bool:
    """Whether one stack deploys all of a fleet, which is on one cloud and paid to no service beside its machines."""
    return fleet is not None and len({(group.provider, service_of(group.purchase)) for group in fleet.groups}) == 1


def _group(plan: Plan, member: Member, platform: Platform, keys: tuple[str, str], scaling: Scaling) -> ComputeGroup:
    serves = member.serves
    on_disk_gib = serves.checkpoint_gib
    instances = max(member.hours)
    return ComputeGroup(
        key=keys[0],
        region=serves.region,
        backend=keys[1],
        weight=0,
        zones=member.zones,
        zone_names=serves.zone_names,
        zones_verified=serves.zones_verified,
        instance_type=serves.instance_type,
        interchangeable_types=interchangeable_types(plan, member),
        serving_types=tuple(_serving_types(plan, member)),
        accelerator=serves.accelerator,
        accelerator_count=serves.accelerator_count,
        platform=platform,
        is_spot=serves.purchase == "spot",
        is_serverless=serves.purchase == "serverless",
        is_managed=serves.purchase == PurchaseOption.MANAGED,
        commitments=member.commitments,
        committed_instances=member.committed_instances,
        instances=instances,
        min_instances=min(member.hours),
        max_instances=most_instances(member),
        schedule=scheduled_sizes(member.hours, member.minutes_ahead, member.minutes_after)
        if scaling is Scaling.SCHEDULED
        else (),
        loaded=_loaded(member) if scaling is Scaling.SCHEDULED else (),
        requests_per_second_per_instance=member.requests_per_second_per_instance,
        root_volume_gib=root_volume_gib(on_disk_gib),
        start_seconds=math.ceil(_start_seconds(member, on_disk_gib) / 60) * 60,
        usd_per_hour=member.usd_per_hour,
        usd_per_month=member.usd_per_month,
        replicas_per_instance=serves.replicas_per_instance,
        accelerators_per_replica=serves.tensor_parallel * serves.pipeline_parallel,
        checkpoint_gib=files_gib(on_disk_gib),
        concurrent_requests_per_instance=_concurrent_requests(plan, serves),
        priced_disk_gib=root_volume_gib(on_disk_gib) if serves.disk_gib is None else serves.disk_gib,
        sharing=sharing_of(serves.partition, serves.replicas_per_instance, serves.accelerator_count),
        compile_minutes=math.ceil(compilation_s(serves) / SECONDS_PER_MINUTE),
    )


def _loaded(member: Member) -> tuple[ScheduledSize, ...]:
    """Sizes without spare; none where they are those of the schedule."""
    if not member.loaded_hours or member.loaded_hours == member.hours:
        return ()
    return scheduled_sizes(member.loaded_hours, member.minutes_ahead)


def _concurrent_requests(plan: Plan, serves: Serves) -> int:
    """Requests that an instance has at a time; in one pass those of a batch, and of the next that waits for it."""
    asked = demanded(plan.demand)
    each = serves.max_concurrency
    if asked.unit.is_one_pass:
        each = max(1, math.floor(2 * serves.max_concurrency / asked.items))
    return each * serves.replicas_per_instance


def _start_seconds(member: Member, on_disk_gib: float) -> float:
    """The time that the plan orders instances ahead by; an estimate on the safe side where it knows none."""
    if member.cold_start_seconds is not None:
        return member.cold_start_seconds
    catalog = load_catalog()
    machine = catalog.machine_start(member.serves.provider, member.serves.instance_type)
    boot_s = None if machine is None else machine.high
    published_gib = converted_gib(member.serves)
    _, _, converts_s = catalog.cold_start.conversion_s(member.serves.precision, published_gib)
    compiles_s = compilation_s(member.serves)
    return start_seconds(published_gib or on_disk_gib, compiles_s=compiles_s, boot_s=boot_s, converts_s=converts_s)


def most_instances(member: Member) -> int:
    """The busiest hours' number and the room that a rolling replacement takes."""
    return while_replaced(max(member.hours))


def _layout(serves: Serves) -> tuple[object, ...]:
    """Key of types that serve alike in one place."""
    where = (serves.provider, serves.region, serves.accelerator, serves.accelerator_count, serves.partition)
    return (
        *where,
        serves.precision,
        serves.tensor_parallel,
        serves.pipeline_parallel,
        serves.expert_parallel,
        serves.replicas_per_instance,
        serves.engine,
    )


def interchangeable_types(plan: Plan, member: Member) -> tuple[str, ...]:
    """Types of the plan that carry the same accelerators, serve alike there on no larger disk, and cost little more.

    Prices are the plan's; the catalog's for a plan without options on spot, as it is beside a base on demand.
    """
    prices = _serving_types(plan, member)
    if member.serves.purchase == PurchaseOption.SPOT and not any(
        option.purchase == PurchaseOption.SPOT for option in plan.options
    ):
        prices = {name: _spot_usd_per_hour(plan, member.serves, name) for name in prices}
    dearest = min(_dearest(member), _on_demand_usd_per_hour(member.serves))
    return tuple(name for name, usd in prices.items() if usd is not None and usd <= dearest)


def _spot_usd_per_hour(plan: Plan, serves: Serves, instance_type: str) -> float | None:
    """The catalog's spot price where *serves* runs; None: it has none, or none that the workload plans with."""
    catalog = load_catalog()
    offer = catalog.offer(serves.provider, serves.region, instance_type)
    if offer is None or offer.spot is None:
        return None
    day = first_day(str(plan.workload.get("as_of") or catalog.as_of)) if plan.workload.get("listed_only") else None
    is_taken = day is None or is_listed(offer.spot, Purchase.SPOT, offer.on_demand, day)
    return offer.spot.usd_per_hour if is_taken else None


def _on_demand_usd_per_hour(serves: Serves) -> float:
    """Price on demand of the planned type of a group on spot; without bound where that is not known, or not spot."""
    offer = load_catalog().offer(serves.provider, serves.region, serves.instance_type)
    if serves.purchase != PurchaseOption.SPOT or offer is None or offer.on_demand is None:
        return math.inf
    return offer.on_demand.usd_per_hour


def _dearest(member: Member) -> float:
    """USD an hour beyond which waiting for the planned type is cheaper than another."""
    return _DEAREST_ALTERNATIVE * member.usd_per_hour


def _serving_types(plan: Plan, member: Member) -> Mapping[str, float | None]:
    """Other types of the plan, sorted, that serve like that of a member, in as many of its zones as it is spread over.

    With USD an hour, paid for like the member; None of a type that the plan has only options of in other ways.
    """
    serves = member.serves
    service = service_of(serves.purchase)
    alike = [
        option
        for option in plan.options
        if _layout(option) == _layout(serves) and service_of(option.purchase) == service
        if (option.disk_gib or 0) <= (serves.disk_gib or 0) and option.instance_type != serves.instance_type
        if _share_zones(option, serves, _zones(plan, member))
    ]
    prices = {
        option.instance_type: option.cost.instance_usd_per_hour
        for option in alike
        if option.purchase == serves.purchase
    }
    return {name: prices.get(name) for name in sorted({option.instance_type for option in alike})}


def _share_zones(option: Serves, serves: Serves, zones: int) -> bool:
    """Whether both types are sold in so many zones of a region; True where those of either are not known by name."""
    names = [set(option.zone_names), set(serves.zone_names)]
    return not all(names) or len(set.intersection(*names)) >= zones


def _backends(
    groups: Sequence[ComputeGroup], containers: Sequence[Container], platforms: Sequence[Platform]
) -> tuple[Backend, ...]:
    """Backends of the groups, in the order of their keys; *containers* and *platforms* are those of the groups."""
    backends: dict[str, Backend] = {}
    for group, container, platform in zip(groups, containers, platforms, strict=True):
        backend = backends.setdefault(
            group.backend, Backend(group.backend, group.region, container, 0, platform.runtime)
        )
        backends[group.backend] = replace(backend, weight=backend.weight + group.weight)
    return tuple(backends[key] for key in sorted(backends))


def _with_workers(backend: Backend, groups: Sequence[ComputeGroup], alarms: Sequence[Alarm]) -> Backend:
    """The backend with a command that takes up more requests than *alarms* let queue in its largest instance."""
    container = backend.container
    rate = max(group.requests_per_second_per_instance for group in groups if group.backend == backend.key)
    workers = visible_requests(alarms, rate * container.counted_per_request)
    if not container.workers_option or workers is None:
        return backend
    arguments = (*container.arguments, f"{container.workers_option}{workers}")
    return replace(backend, container=replace(container, arguments=arguments))


def _regions(plan: Plan, groups: Sequence[ComputeGroup]) -> tuple[Region, ...]:
    """Regions of the groups; the entrance of each carries the peak of all, since another region may fail."""
    asked, peak = int(plan.workload["limits"]["zones"]), float(plan.demand["requests_per_second"]["peak"])
    regions = []
    for name in sorted({group.region for group in groups}):
        members = [group for group in groups if group.region == name]
        zones = max(asked, *(group.zones for group in members))
        weight = sum(group.weight for group in members)
        regions.append(Region(name, weight, max(FEWEST_SUBNETS, zones), zones, round(peak, 6)))
    return tuple(regions)


def _zones(plan: Plan, member: Member) -> int:
    """Zones that a group has to be spread over: those of the plan where it counts on them, else those asked for.

    A plan counts on zones where the loss of one must leave something, and where spot may vanish zone by zone.
    """
    limits = plan.workload["limits"]
    asked = int(limits["zones"])
    counts_on = asked > 1 or limits["survive"] == Survive.ZONE or member.serves.purchase == PurchaseOption.SPOT
    return member.zones if counts_on else min(asked, member.zones)


def digest_of(plan: Plan, choice: Choice) -> str:
    """SHA-256 of the fields of the plan that the code is made from."""
    options = () if choice.option is None else (choice.option,)
    fleet = plan.fleet if choice.option is None else None
    document = plan_document(
        replace(plan, options=options, rejected=(), nearest_misses=(), fleet=fleet, measure_first=None, question=None)
    )
    del document["token_apis"]  # a comparison: no code is made of it
    document["workload"] = {key: value for key, value in plan.workload.items() if key != "compare"}
    # Not by prices of the catalog, which change while the plan stays.
    interchangeable = [
        [name for name, usd in _serving_types(plan, member).items() if usd is None or usd <= _dearest(member)]
        for member in choice.members
    ]
    return digest(document | {"interchangeable_types": interchangeable})
