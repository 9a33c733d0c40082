"""A cut-over in words: what the run says, and the section of the generated README."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from advisor.codegen.container import MANIFEST_FORMS, Form, Stage
from advisor.codegen.kept import ON_CLUSTERS, REMOVING
from advisor.codegen.model import ComputeGroup, CutOver, Scaling, Stack
from advisor.codegen.rollout import Deployed, Rollout
from advisor.codegen.templates import fill
from advisor.codegen.turns import serving_minutes
from advisor.data_files import facts_beside
from advisor.units import MINUTES_PER_DAY, usd

_TAKE_OVER = (
    "gcloud compute backend-services update-backend {name}-{region} --region {region} --instance-group NAME "
    "--instance-group-region {region} --capacity-scaler 1"
)
_REGION = "terraform destroy -target=kustomization_resource.{resource}_first # Pulumi removes a region by itself"
"""Resources of a region go before its provider, which is part of the code; the others depend on the first."""
FORMS = facts_beside(__file__, "forms.toml")
"""Form → commands for its objects."""
WEIGHTED_FORMS = (*MANIFEST_FORMS, Form.KSERVE)
"""Forms with a program that looks after the weights of several backends."""


def checks(stack: Stack, groups: Iterable[ComputeGroup]) -> tuple[str, ...]:
    """Commands that show whether the instances of groups serve, each once."""
    told = (stack.check.format(name=stack.name, region=group.region, key=group.key) for group in groups)
    return tuple(dict.fromkeys(told))


def take_over(stack: Stack, region: str) -> str:
    """Command that sends requests of a region to a group without a share, on Google Cloud."""
    return _TAKE_OVER.format(name=stack.name, region=region)


def removals(stack: Stack, rollout: Rollout) -> Iterator[str]:
    """Commands for what goes with its last group, where nothing removes objects of clusters by itself."""
    if not stack.check.startswith("kubectl "):
        return
    form = FORMS[stack.form]
    unit, commands = ("region", [_REGION]) if stack.target in REMOVING else (form["unit"], form["removals"])
    kept = {getattr(group, unit) for group in stack.groups}
    going = {getattr(group, unit): group for group in rollout.retiring if getattr(group, unit) not in kept}
    for _, group in sorted(going.items()):
        facts = {
            "name": stack.name,
            "region": group.region,
            "backend": group.backend,
            "group": group.key,
            "resource": group.region.replace("-", "_"),
        }
        yield from (command.format(**facts) for command in commands)
        if stack.form is Form.KSERVE and stack.scaling is not Scaling.STATIC:
            yield "kubectl --context CONTEXT --namespace {name} delete scaledobjects {group}".format(**facts)


def unweighting_command(name: str, region: str) -> str:
    """Command that deletes what looks after the weights of a region's backends."""
    (command,) = (command for command in FORMS[Form.MANIFESTS]["made"] if command.endswith(" route-weights"))
    return f"{command.format(name=name)} # in {region}"


def unweighting(planned: Deployed, former: Deployed) -> Iterator[str]:
    """Note for each region in which one backend is left, of several whose weights a program may look after."""
    if planned.target not in ON_CLUSTERS or planned.target in REMOVING or planned.form not in WEIGHTED_FORMS:
        return
    unit = "key" if planned.form is Form.KSERVE else "backend"
    for region in planned.regions:
        left, ran = (
            {getattr(group, unit) for group in deployed.groups if group.region == region.name}
            for deployed in (planned, former)
        )
        if len(left) == 1 < len(ran):
            yield (
                f"one backend is left in {region.name}, whose weight nobody looks after any more: after the next apply "
                f"{unweighting_command(planned.name, region.name)}"
            )


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_GATEWAY = "the Gateway or Service of its cluster (kubernetes/README.md)"
_WITH_RECORD = ("ec2", "mig", "tpu-vm")
"""Targets whose code makes a record that leads to the regions by their weights, where it is given a zone."""
_WITHOUT_FALLBACK = ("mig", "tpu-vm")
"""Targets whose load balancer sends nothing to what has no share, though nothing else answers. Google has fallbacks for
load balancers over several regions and for those that pass connections on (its guides to backend services, service load
balancing policies and failover, November 2026).
"""
_NO_FALLBACK = (
    "what has 0 % in {region} gets nothing, even while nothing else answers there. The command below lets a group take "
    "over at once (NAME: of the output instance_group_names); the next apply takes that back"
)
_RETIRES = "groups that the plan no longer has run on beside it"
_CHANGED = "what serves keeps its size until each instance runs as planned"
_ADDED = "what the plan adds gets no requests before it serves"
_ADDED_TO_BACKEND = "what served before keeps its size until what the plan adds serves"
_ADDRESSES = {"eks": _GATEWAY, "eks-karpenter": _GATEWAY, "gke": _GATEWAY, "aks": _GATEWAY, "kubernetes": _GATEWAY}
"""Targets → where users read the endpoint that a region has; the others have an output."""
_NEXT: Mapping[tuple[Stage, Stage], str] = {
    (Stage.PREPARE, Stage.SHIFT): "apply, see that {} serve, then generate again with --cut-over shift and apply",
    (Stage.PREPARE, Stage.FINISH): "apply, see that {} serve, then generate again with --cut-over finish and apply; "
    "there are no requests to shift",
    (Stage.SHIFT, Stage.FINISH): "apply; when all is well for as long as you want, generate again with --cut-over "
    "finish and apply",
}
"""By the stage and the next one."""
_AT_FULL_SIZE = "what served before still runs at its full size"
_BACK: Mapping[Stage, str] = {
    Stage.PREPARE: "generate the former plan again with --cut-over finish and apply: {}",
    Stage.SHIFT: f"generate again with --cut-over prepare and apply: {_AT_FULL_SIZE}",
}
_UNUSED = "no request goes to what is new"
_LEAVES = f"what is new leaves its backend and answers what it has begun, and {_AT_FULL_SIZE}"
_MEMBERS = (
    "instances of one backend share its requests evenly from when they answer until they leave, whatever the stage; "
    "those that leave with --cut-over finish get no new ones and answer what they have begun"
)


def notes_of(stack: Stack) -> Iterator[str]:
    """Lines for people who run the command; none outside a cut-over."""
    if stack.cut_over is None:
        return
    told = _facts(stack, stack.cut_over)
    yield f"cut-over, stage {stack.cut_over.stage}: {told['topic']}"
    yield from (f"  retires: {words}" for words in told["retiring"])
    yield from (f"  new: {words}" for words in told["new"])
    yield f"  cost: {told['cost']} a month of compute beyond the plan in this stage, {told['total']} in all"
    for label, name in (
        ("clients", "clients"),
        ("quota", "quotas"),
        ("zones", "zones"),
        ("requests", "requests"),
        ("at once", "fallbacks"),
    ):
        yield from (f"  {label}: {words}" for words in told[name])
    yield f"  next: {told['next']}"
    if stack.cut_over.following is Stage.FINISH:
        yield from (f"  before that is generated: {command}" for command in stack.cut_over.removals)
    yield f"  way back: {told['back']}"


_UNKNOWN = "what is not known"


def _facts(stack: Stack, cut_over: CutOver) -> dict[str, Any]:
    """Words of a cut-over by what they say, as the section of the README takes them."""
    total = stack.budget.usd_per_month
    is_used = any(group.key in cut_over.members for group in cut_over.new)
    without_fallback = _without_fallback(stack)
    unmoved = [_MEMBERS] if cut_over.members else []
    subject = "the new ones" if cut_over.new else "those that stay" if cut_over.retiring else "all instances"
    outcome = _LEAVES if is_used else _UNUSED if cut_over.new else _AT_FULL_SIZE
    return {
        "cut_over": cut_over,
        "retiring": [described(group, stack) for group in cut_over.retiring],
        "new": [described(group, stack) for group in cut_over.new],
        "cost": _UNKNOWN if cut_over.usd_per_month is None else usd(cut_over.usd_per_month),
        "total": _UNKNOWN if total is None else usd(total),
        "clients": list(_of_clients(stack, cut_over)),
        "topic": _topic(cut_over),
        "quotas": list(_of_quotas(stack)),
        "zones": list(cut_over.zones),
        "requests": unmoved + [_NO_FALLBACK.format(region=region) for region in without_fallback],
        "fallbacks": [take_over(stack, region) for region in without_fallback],
        "next": _NEXT[cut_over.stage, cut_over.following].format(subject),
        "back": _BACK[cut_over.stage].format(outcome),
    }


def _topic(cut_over: CutOver) -> str:
    if cut_over.retiring:
        return _RETIRES
    if not cut_over.new:
        return _CHANGED
    shares_backend = all(group.key in cut_over.members for group in cut_over.new)
    return _ADDED_TO_BACKEND if shares_backend else _ADDED


def described(group: ComputeGroup, stack: Stack) -> str:
    """A group with its share of the requests in the stage of the stack."""
    weight = next(compute_group.weight for compute_group in stack.groups if compute_group.key == group.key)
    paid = "spot " if group.is_spot else ""
    machines = f"{group.instances} × {paid}{group.instance_type} in {group.region}"
    share = f"{weight / 10:g} % of the requests{_rest_words(group)}"
    if stack.cut_over is None or group.key not in stack.cut_over.members:
        return f"{machines} ({group.key}), {share}"
    others = [other.key for other in stack.groups if other.backend == group.backend and other.key != group.key]
    return f"{machines} ({group.key}), {share} when all answer: one backend with {' and '.join(others)}"


def _rest_words(group: ComputeGroup) -> str:
    """End of a sentence on the hours of a group that is empty at others; "" for one that never is."""
    days: dict[tuple[str, str], list[str]] = {}
    for begin, end in serving_minutes(group) if group.min_instances == 0 else ():
        until = _clock(end) if end - begin < MINUTES_PER_DAY else f"{_day(end)} {_clock(end)}"
        days.setdefault((_clock(begin), until), []).append(_day(begin))
    spans = [f"{', '.join(names)} {begin} to {until}" for (begin, until), names in days.items()]
    return f"; it runs {' and '.join(spans)} UTC, and has no instance at other hours" if spans else ""


def _day(minute: int) -> str:
    return _DAYS[minute // MINUTES_PER_DAY % len(_DAYS)]


def _clock(minute: int) -> str:
    """Time of day of a minute of the week, such as 07:00."""
    hour, minutes = divmod(minute % MINUTES_PER_DAY, 60)
    return f"{hour:02}:{minutes:02}"


def _without_fallback(stack: Stack) -> list[str]:
    """Regions with groups that get nothing, whatever else answers."""
    if stack.target not in _WITHOUT_FALLBACK:
        return []
    return sorted({group.region for group in stack.groups if group.weight == 0})


def _of_quotas(stack: Stack) -> Iterator[str]:
    """Quotas that have to be allowed before the apply, since both run at once."""
    for quota in stack.summary.quotas:
        amount = f"{quota.unit}, replacements included: {quota.needed}" if quota.needed else f"{quota.unit} of both"
        yield f"{quota.name}{quota.code and f' ({quota.code})'}, {amount}"


def _of_clients(stack: Stack, cut_over: CutOver) -> Iterator[str]:
    """Tasks of clients: each region has an endpoint of its own, and on Cloud Run each group."""
    if stack.target == "cloud-run":
        yield (
            "each group has an address of its own: let them take those of the new ones in the output endpoints, by the "
            "weights there, with --cut-over shift"
        )
        return
    retiring = {group.key for group in cut_over.retiring}
    staying = {group.region for group in stack.groups if group.key not in retiring}
    going = {group.region for group in cut_over.retiring} - staying
    if going:
        named = _ADDRESSES.get(stack.target, "the output endpoints")
        record = "; the record of dns, where it is set, moves them with --cut-over shift"
        moved = record if stack.target in _WITH_RECORD else ""
        yield (
            f"nothing serves in {' and '.join(sorted(going))} after --cut-over finish: let them take the endpoint in "
            f"{' or '.join(sorted(staying))} by then, which {named} names{moved}"
        )


def with_section(readme: str, stack: Stack) -> str:
    """The README with the section about a cut-over as its first; as it is where there is none."""
    if stack.cut_over is None:
        return readme
    return with_first_section(readme, fill("shared", "cut_over.md.j2", _facts(stack, stack.cut_over)))


def with_first_section(readme: str, section: str) -> str:
    """The README with a section before its first, or at its end where it has none."""
    before, title, after = readme.partition("\n## ")
    return f"{before}\n{section.rstrip()}\n{title}{after}"
