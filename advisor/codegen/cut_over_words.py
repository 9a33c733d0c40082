"""A cut-over in words: what the run says, and the section of the generated README."""

from collections.abc import Iterator, Mapping

from advisor.codegen.model import ComputeGroup, CutOver, Stack
from advisor.codegen.summary import usd
from advisor.codegen.templates import fill
from advisor.codegen.wanted import Stage

_TITLE = "\n## "
_GATEWAY = "the Gateway or Service of its cluster (kubernetes/README.md)"
_WITH_RECORD = ("ec2", "mig", "tpu-vm")
"""Targets whose code makes a record that leads to the regions by their weights, where it is given a zone."""
_TOPICS = {
    True: "groups that the plan no longer has run on beside it",
    False: "what the plan adds gets no requests before it serves",
}
"""By whether something retires."""
_ADDRESSES = {"eks": _GATEWAY, "eks-karpenter": _GATEWAY, "gke": _GATEWAY, "aks": _GATEWAY}
"""Targets → where users read the endpoint that a region has; the others have an output."""
_NEXT: Mapping[Stage, str] = {
    Stage.PREPARE: "apply, see that {} serve, then generate again with --cut-over shift and apply",
    Stage.SHIFT: "apply; when all is well for as long as you want, generate again with --cut-over finish and apply",
}
_BACK: Mapping[Stage, str] = {
    Stage.PREPARE: "generate the former plan again with --cut-over finish and apply: no request goes to what is new",
    Stage.SHIFT: "generate again with --cut-over prepare and apply: what served before still runs at its full size",
}


def notes_of(stack: Stack) -> Iterator[str]:
    """Lines for people who run the command; none outside a cut-over."""
    cut_over = stack.cut_over
    if cut_over is None:
        return
    yield f"cut-over, stage {cut_over.stage}: {_TOPICS[bool(cut_over.retiring)]}"
    yield from (f"  retires: {described(group, stack)}" for group in cut_over.retiring)
    yield from (f"  new: {described(group, stack)}" for group in cut_over.new)
    beyond, total = usd(cut_over.usd_per_month), usd(stack.budget.usd_per_month)
    yield f"  cost: {beyond} a month of compute beyond the plan in this stage, {total} in all"
    yield from (f"  clients: {words}" for words in _of_clients(stack, cut_over))
    yield from (f"  quota: {words}" for words in _of_quotas(stack))
    yield f"  next: {_next(cut_over)}"
    yield f"  way back: {_BACK[cut_over.stage]}"


def described(group: ComputeGroup, stack: Stack) -> str:
    """A group with its share of the requests in the stage of the stack."""
    weight = next(compute_group.weight for compute_group in stack.groups if compute_group.key == group.key)
    paid = "spot " if group.is_spot else ""
    machines = f"{group.instances} × {paid}{group.instance_type} in {group.region}"
    return f"{machines} ({group.key}), {weight / 10:g} % of the requests"


def _of_quotas(stack: Stack) -> Iterator[str]:
    """Quotas that have to be allowed before the apply, since both run at once."""
    for quota in stack.summary.quotas:
        amount = f"{quota.unit}, replacements included: {quota.needed}" if quota.needed else f"{quota.unit} of both"
        yield f"{quota.name} ({quota.code}), {amount}"


def _next(cut_over: CutOver) -> str:
    return _NEXT[cut_over.stage].format("the new ones" if cut_over.new else "those that stay")


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
    before, title, after = readme.partition(_TITLE)
    return f"{before}\n{_section(stack, stack.cut_over)}{title}{after}"


def _section(stack: Stack, cut_over: CutOver) -> str:
    return fill(
        "shared",
        "cut_over.md.j2",
        {
            "cut_over": cut_over,
            "retiring": [described(group, stack) for group in cut_over.retiring],
            "new": [described(group, stack) for group in cut_over.new],
            "cost": usd(cut_over.usd_per_month),
            "total": usd(stack.budget.usd_per_month),
            "clients": list(_of_clients(stack, cut_over)),
            "topic": _TOPICS[bool(cut_over.retiring)],
            "quotas": list(_of_quotas(stack)),
            "next": _next(cut_over),
            "back": _BACK[cut_over.stage],
        },
    )
