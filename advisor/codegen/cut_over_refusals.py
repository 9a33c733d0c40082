"""Runs that are refused because an apply would destroy what serves, or before what replaces it serves."""

from collections.abc import Sequence

from advisor.codegen.cut_over_joint import joint, moves
from advisor.codegen.model import ComputeGroup
from advisor.codegen.rollout import Deployed, Former, Rollout
from advisor.codegen.wanted import Language, Stage
from advisor.errors import InputError

_TITLES = {Language.TERRAFORM: "a Terraform root", Language.PYTHON: "a Pulumi program"}
_WAY_ON = "generate into another directory, move the requests there, destroy from here; or go on with --force"


def check_finish(rollout: Rollout, *, goes_on: bool) -> None:
    """Refuse the last stage before what stays serves as planned.

    Raises:
        InputError: what goes still serves.
    """
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

    Raises:
        InputError: the program that deployed the one knows nothing of what the other makes.
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
    """Refuse objects of another form than those on the cluster, unless forced.

    Raises:
        InputError: both would run beside each other.
    """
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
    weights = [group.weight for group in joint(rollout).groups if group.key in retiring]
    if rollout.stage is Stage.SHIFT or not (rollout.new or any(weights)):
        return True
    return not moves(rollout) and (goes_on or not _grows(rollout))


def _grows(rollout: Rollout) -> bool:
    """Whether a group of the plan has fewer instances yet than it will have alone."""
    before = () if rollout.before is None else rollout.before.groups
    former = {rollout.renamed.get(group.key, group.key): group.instances for group in before}
    return any(group.instances > former.get(group.key, 0) for group in rollout.planned.groups)


def is_another(root: str, last: Rollout | None, planned: Deployed, former: Former) -> bool:
    """Whether the root deploys something that cannot become the plan, and *force* goes on all the same.

    Raises:
        InputError: it does, and nothing forces it.
    """
    target, stay = former.targets.get(root, planned.target), ""
    if target != planned.target:
        if last is not None and last.planned.provider == planned.provider:
            stay = f"to stay, give --target {target}; to move, "
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


def words(groups: Sequence[ComputeGroup]) -> str:
    """Groups as people say them."""
    return " and ".join(f"{group.instances} × {group.instance_type} in {group.region}" for group in groups)
