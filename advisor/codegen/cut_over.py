"""Cut-over in stages, and runs that are refused: what a plan no longer has runs on until its successor serves.

What is only added or only grows waits in the same stages where the entrance would send it requests before it answers,
or where what served before gets smaller for it.

::

    prepare   both run; requests go where they went before, none to what is new
    shift     both run; requests go where the plan sends them, none to what retires (the way back: prepare)
    finish    what retires is left out

A group retires when its key is gone and no group of the new plan is the same thing. What was generated last is kept
beside the code as a :class:`~advisor.codegen.rollout.Rollout` for each root; the same plan gives the same rollout.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from advisor.codegen import kept
from advisor.codegen.container import Language, Stage, pinned_by
from advisor.codegen.cut_over_words import checks, removals, with_first_section
from advisor.codegen.model import ComputeGroup, CutOver, Scaling, Stack, is_warmed
from advisor.codegen.rollout import (
    UNASKED,
    Deployed,
    Former,
    Rollout,
    backend_pairs,
    is_denser,
    is_weaker,
    leaves_weights,
    probes_of,
    renamed,
    traits_of,
)
from advisor.codegen.selection import LONGEST_NAME
from advisor.codegen.service_costs import at_paid_prices
from advisor.codegen.targets import obstacle_on
from advisor.codegen.templates import fill
from advisor.errors import InputError
from advisor.records import replace

_TITLES = {Language.TERRAFORM: "a Terraform root", Language.PYTHON: "a Pulumi program"}
_WAY_ON = "generate into another directory, move the requests there, destroy from here; or go on with --force"
_COMMANDS = {
    Language.TERRAFORM: ("terraform -chdir={root} apply", "terraform -chdir={root} destroy"),
    Language.PYTHON: ("pulumi -C {root} up", "pulumi -C {root} destroy"),
}
"""Commands that make and remove what a root deploys, from the directory of all roots."""
_MOST_NAMES = 9
_PROTECTED = "ec2"
"""Target whose load balancers are protected against deletion by default."""
_CHANGED_IN_PLACE: Mapping[Language, tuple[str, ...]] = {
    Language.TERRAFORM: ("ec2", "sagemaker"),
    Language.PYTHON: ("sagemaker",),
}
"""Targets that keep a group with another key in service. Elsewhere the key is the name of what runs, and another type
is another thing; on clusters, pods are kept to their nodes by it. Pulumi knows resources by it, and has no moves."""
_REFRESHED = ("ec2",)
"""Targets that replace machines of a group one by one, at the number of the new plan from the first minute."""
_WHILE_BOTH_RUN = "the plan and of what runs beside it until the cut-over is finished"


def check_finish(rollout: Rollout, *, goes_on: bool) -> None:
    """Refuse the last stage before what stays serves as planned. Raises InputError if what goes still serves."""
    if rollout.reworked and not goes_on:
        raise InputError(
            f"{words(rollout.reworked)}: no instance runs as planned yet, and fewer as before carry too little",
            where="--cut-over finish",
            hint="run without --cut-over and apply first; --force takes them away in the apply that replaces the rest",
        )
    if rollout.retiring and not _may_finish(rollout, goes_on=goes_on):
        raise InputError(
            f"{words(rollout.retiring)}: requests still go there, the stage is {rollout.stage}",
            where="--cut-over finish",
            hint="run with --cut-over shift and apply first; --force removes in one apply what retires, and makes "
            "what is new",
        )


def check_program(language: Language, former: Former, *, as_component: bool) -> None:
    """Refuse code in another language than that which lies there, or Pulumi resources of other names, unless forced.

    Raises InputError if the program that deployed the one knows nothing of what the other makes.
    """
    if former.language is None or former.force:
        return
    if former.language is not language:
        raise InputError(
            f"the code here is {_TITLES[former.language]}, and what it deployed is in a state of its own: "
            f"{_TITLES[language]} in its place would make everything a second time",
            hint=_WAY_ON,
        )
    if language is Language.PYTHON and former.as_component not in (None, as_component):
        held, stay = ("a short program", "--component") if former.as_component else ("the whole source", "--standalone")
        raise InputError(
            f"the code here is {held}, whose resources have other names in Pulumi's state: on the same stack, "
            "`pulumi up` would make everything anew",
            hint=f"to stay, give {stay}; to change, {_WAY_ON}",
        )


def check_form(root: str, last: Rollout, planned: Deployed, former: Former) -> None:
    """Refuse objects of another form than the cluster's, unless forced: both would run at once (InputError)."""
    form = last.planned.form
    if form is not planned.form and not former.force:
        raise InputError(
            f"the code here is of the form {form}, and its objects would run on beside those of {planned.form}",
            where=root,
            hint=f"to stay, give --form {form}; to change, {_WAY_ON} and delete the former objects from the clusters",
        )


def _may_finish(rollout: Rollout, *, goes_on: bool) -> bool:
    """Whether requests go where the plan sends them, or did before (a former plan is generated again)."""
    retiring = {group.key for group in rollout.retiring}
    weights = [group.weight for group in kept.joint(rollout).groups if group.key in retiring]
    if rollout.stage is Stage.SHIFT or not (rollout.new or any(weights)):
        return True
    former = {key: group.instances for key, group in rollout.former.items()}
    grows = any(group.instances > former.get(group.key, 0) for group in rollout.planned.groups)
    return not kept.moves(rollout) and (goes_on or not grows)


def is_another(root: str, last: Rollout | None, planned: Deployed, former: Former, stack: Stack) -> bool:
    """Whether the root deploys something that cannot become the plan, and *force* goes on all the same.

    *stack*: of the plan. Raises InputError if it does, and nothing forces it.
    """
    target, stay = former.targets.get(root, planned.target), ""
    if target != planned.target:
        own = (planned.provider, planned.workload)
        if last is not None and (last.planned.provider, last.planned.workload) == own:
            stay = _stay(stack, target)
        what = f"the code here deploys to {target}, and the plan is generated for {planned.target}"
    elif last is not None and last.planned.workload != planned.workload:
        what = f"the code here serves {last.planned.workload!r}, and the plan is for {planned.workload!r}"
    else:
        return False
    if not former.force:
        raise InputError(
            f"{what}: with one state, an apply would destroy what runs at once",
            where=root,
            hint=f"{stay}{_WAY_ON}",
        )
    return True


def _stay(stack: Stack, target: str) -> str:
    """How a stack could go on at the target of what runs, as the start of a hint; empty where it cannot."""
    if not obstacle_on(stack, target):
        return f"to stay, give --target {target}; to move, "
    counts = replace(stack, groups=tuple(replace(group, schedule=()) for group in stack.groups), scaling=Scaling.STATIC)
    if obstacle_on(counts, target):
        return ""
    return f"to stay on {target}, plan constant counts (scaling: {{scheduled: false}} in the workload); to move, "


def words(groups: Sequence[ComputeGroup]) -> str:
    """Groups as people say them."""
    return " and ".join(f"{group.instances} × {group.instance_type} in {group.region}" for group in groups)


def rollout_of(stack: Stack, root: str, former: Former, language: Language = Language.TERRAFORM) -> Rollout:
    """Rollout that the code of *root*, in a language, is to hold.

    Raises InputError if the root deploys another workload, or to another target, or the cut-over is not so far yet.
    """
    last, planned = former.rollouts.get(root), _deployed(stack)
    is_other = is_another(root, last, planned, former, stack)
    planned = kept.with_former_pins(planned, None if is_other or last is None else last)
    if last is None or is_other:
        return Rollout(planned)
    ran = kept.joint(last)
    planned = kept.with_former_types(kept.with_former_places(kept.with_former_disks(planned, ran), ran), ran)
    planned = kept.with_keys_apart(kept.with_former_maximum(planned, ran), ran)
    check_form(root, last, planned, former)
    goes_on = last.before is not None and last.planned.keys == planned.keys
    rollout = replace(last, planned=planned) if goes_on else _begun(last, planned, language)
    if language is Language.PYTHON:
        planned = kept.with_former_keys(planned, ran, rollout.renamed)
        rollout = replace(rollout, planned=planned)
    runs = kept.joint(rollout)
    left_weights = leaves_weights(ran) or leaves_weights(runs)
    planned = replace(
        kept.with_stated_replicas(kept.with_stated_replicas(planned, ran), runs), left_weights=left_weights
    )
    rollout = replace(rollout, planned=planned)
    begins = rollout.retiring or rollout.hands_over or rollout.reworked or rollout.outrun or _adds_unasked(rollout)
    if not begins:
        return Rollout(planned, rollout.renamed)
    is_last = former.stage is Stage.FINISH
    starts_new = former.stage is Stage.SHIFT or (is_last and not (rollout.retiring and kept.moves(rollout)))
    if starts_new and rollout.awaited and not (goes_on or former.force):
        lack = (
            "nothing is there yet that could take the requests"
            if rollout.new
            else "not all of them serve as planned yet"
        )
        raise InputError(
            f"{words(rollout.new or rollout.awaited)}: {lack}",
            where=f"--cut-over {former.stage}",
            hint="run without --cut-over and apply first; --force sends them there in the apply that makes it",
        )
    if is_last:
        if not former.force:
            check_finish(rollout, goes_on=goes_on)
        return Rollout(planned, rollout.renamed)
    return replace(rollout, stage=former.stage or rollout.stage)


def _adds_unasked(rollout: Rollout) -> bool:
    """Whether a new backend shares a region's requests with others, at an entrance that does not ask if it answers."""
    planned, before = rollout.planned, rollout.before
    if before is None or planned.target not in UNASKED:
        return False
    former_keys = {*(backend.key for backend in before.backends), *rollout.renamed.values()}
    answering = Counter(backend.region for backend in planned.backends)
    return any(backend.key not in former_keys and answering[backend.region] > 1 for backend in planned.backends)


def _begun(last: Rollout, planned: Deployed, language: Language) -> Rollout:
    """Rollout of another plan: groups that retired already go on retiring, unless the plan has them again."""
    before = kept.joint(last)
    retired = before.keys - last.planned.keys
    fresh = replace(planned, groups=tuple(group for group in planned.groups if group.key not in retired))
    pairs = {old: new for old, new in _renamed(last.planned, fresh, language).items() if new not in retired}
    return Rollout(planned, pairs, before, Stage.PREPARE)


def _renamed(former: Deployed, now: Deployed, language: Language) -> Mapping[str, str]:
    """Old key → new key, of groups, and of backends that the same groups answer for."""
    groups = renamed(traits_of(former), traits_of(now)) if now.target in _CHANGED_IN_PLACE[language] else {}
    if now.target in _REFRESHED:
        # Fewer and faster machines would be too few while they replace slower ones one by one, more and slower ones
        # until the clock or the load starts them; and those that still run as before would fail another health check.
        # A group with a warm pool takes no spot, and Terraform takes the pool away last (the provider's issue 42437).
        before = {group.key: group for group in former.groups}
        after = {group.key: group for group in now.groups}
        was, asked = probes_of(former), probes_of(now)
        groups = {
            old: new
            for old, new in groups.items()
            if not is_denser(after[new], before[old]) and not is_weaker(after[new], before[old], now)
            if was[old] == asked[new] and not (after[new].is_spot and is_warmed(former.scaling, before[old]))
        }
    return {**groups, **backend_pairs(former, now, groups)}


def staged(stack: Stack, rollout: Rollout) -> Stack:
    """Stack in the stage of its rollout."""
    planned = rollout.planned
    stack = replace(stack, groups=planned.groups, backends=planned.backends, pins=planned.pins)
    stack = replace(stack, left_weights=planned.left_weights)
    if rollout.stage is None:
        return stack
    runs = kept.joint(rollout)
    paid = at_paid_prices(stack, runs.groups)
    planned_usd = sum(group.usd_per_month for group in stack.groups)
    beyond = None if paid is None else round(sum(group.usd_per_month for group in paid) - planned_usd, 2)
    checked = rollout.awaited or stack.groups[:1]
    # Groups that come or go and answer for one backend with others, which gives each instance its share.
    counts = Counter(group.backend for group in runs.groups)
    moving = (*rollout.retiring, *rollout.new) if kept.is_spread_over_backends(runs) else ()
    members = frozenset(group.key for group in moving if counts[group.backend] > 1)
    return replace(
        stack,
        groups=runs.groups,
        backends=pinned_by(runs.backends, planned.pins),
        regions=runs.regions,
        alarms=runs.alarms,
        agent=runs.agent,
        budget=stack.budget.with_more(beyond, of=_WHILE_BOTH_RUN),
        cut_over=CutOver(
            rollout.stage,
            Stage.SHIFT if rollout.stage is Stage.PREPARE and kept.moves(rollout) else Stage.FINISH,
            rollout.retiring,
            rollout.new,
            members,
            beyond,
            checks(stack, checked),
            tuple(removals(stack, rollout)),
            () if rollout.before is None else tuple(kept.widening(runs, rollout.before)),
        ),
    )


def left_out(last: Rollout | None, rollout: Rollout) -> tuple[ComputeGroup, ...]:
    """Groups of the last run that the code no longer has, under no key."""
    runs = {group.key for group in kept.joint(rollout).groups}
    former = () if last is None else kept.joint(last).groups
    return tuple(group for group in former if group.key not in runs and group.key not in rollout.renamed)


def _deployed(stack: Stack) -> Deployed:
    deployed = Deployed(
        name=stack.name,
        workload=stack.summary.workload,
        provider=stack.provider,
        target=stack.target,
        scaling=stack.scaling,
        groups=stack.groups,
        backends=stack.backends,
        regions=stack.regions,
        alarms=stack.alarms,
        agent=stack.agent,
        form=stack.form,
    )
    return replace(deployed, left_weights=leaves_weights(deployed))


def with_names_apart(stacks: Sequence[Stack], roots: Sequence[str], former: Former) -> tuple[Stack, ...]:
    """Stacks whose resources have no name of a root that still runs in the same cloud.

    *former*: record of the directory; a root that is recorded there keeps its name.
    """
    left = left_behind(former, roots)
    return tuple(_named(stack, root, former, left) for stack, root in zip(stacks, roots, strict=True))


def left_behind(former: Former, roots: Sequence[str]) -> Mapping[str, Deployed]:
    """Root → what it deploys, of those that the code no longer has."""
    recorded = {root: rollout for root, rollout in former.rollouts.items() if root in former.roots}
    return {root: rollout.planned for root, rollout in sorted(recorded.items()) if root not in roots}


def _named(stack: Stack, root: str, former: Former, left: Mapping[str, Deployed]) -> Stack:
    """The stack under the name that its root has, or under the first that is free."""
    names = [stack.name, *(f"{stack.name[: LONGEST_NAME - 2]}-{number}" for number in range(2, _MOST_NAMES + 1))]
    own = former.rollouts.get(root)
    if own is not None and own.planned.provider == stack.provider and own.planned.name in names:
        return replace(stack, name=own.planned.name)
    taken = {deployed.name for deployed in left.values() if deployed.provider == stack.provider}
    return replace(stack, name=next((name for name in names if name not in taken), stack.name))


def with_hand_overs(
    files: Mapping[str, str], stacks: Mapping[str, Stack], left: Mapping[str, Deployed], language: Language
) -> dict[str, str]:
    """Files, with a section about the hand-over as the first of the README of each root.

    *left*: root → what it deploys, of those that the code no longer has.
    """
    apply, destroy = _COMMANDS[language]
    told = dict(files)
    for root, stack in stacks.items() if left else ():
        path = f"{root}/README.md".removeprefix("/")
        facts = {
            "former": [folder or "." for folder in left],
            "names": sorted({deployed.name for deployed in left.values() if deployed.provider == stack.provider}),
            "name": stack.name,
            "applies": [apply.format(root=name or ".") for name in stacks],
            "destroys": [destroy.format(root=folder or ".") for folder in left],
            "is_protected": any(deployed.target == _PROTECTED for deployed in left.values()),
            "checks": checks(stack, stack.groups),
        }
        if path in told:
            told[path] = with_first_section(told[path], fill("shared", "root_hand_over.md.j2", facts))
    return told


def notes_of_hand_over(roots: Sequence[str], left: Mapping[str, Deployed]) -> tuple[str, ...]:
    """Note of the run on roots that the code no longer has; none where there are none."""
    if not left:
        return ()
    former, new = (" and ".join(name or "the directory itself" for name in names) for names in (left, roots))
    note = (
        f"hand-over from {former} to {new}: apply there beside what runs, see that it serves, move the clients to the "
        "new endpoints, and only then destroy the former; the README of each new root has the commands"
    )
    return (note,)
