"""Hand-over from a root that the code no longer has to those in its place, each of which has a state of its own."""

from collections.abc import Mapping, Sequence

from advisor.codegen.container import Language
from advisor.codegen.cut_over_words import checks
from advisor.codegen.model import Stack
from advisor.codegen.rollout import Deployed, Former
from advisor.codegen.selection import LONGEST_NAME
from advisor.codegen.templates import fill
from advisor.records import replace

_TITLE = "\n## "
_README = "README.md"
_COMMANDS = {
    Language.TERRAFORM: ("terraform -chdir={root} apply", "terraform -chdir={root} destroy"),
    Language.PYTHON: ("pulumi -C {root} up", "pulumi -C {root} destroy"),
}
"""Commands that make and remove what a root deploys, from the directory of all roots."""
_MOST_NAMES = 9
_PROTECTED = "ec2"
"""Target whose load balancers are protected against deletion by default."""


def with_names_apart(stacks: Sequence[Stack], roots: Sequence[str], former: Former) -> tuple[Stack, ...]:
    """Stacks whose resources have no name of a root that still runs in the same cloud.

    Args:
        stacks: with the names that their plan gives them.
        roots: folder of each.
        former: record of the directory; a root that is recorded there keeps its name.
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

    Args:
        files: path → text.
        stacks: root → stack.
        left: root → what it deploys, of those that the code no longer has.
        language: language of the code.
    """
    apply, destroy = _COMMANDS[language]
    told = dict(files)
    for root, stack in stacks.items() if left else ():
        path = f"{root}/{_README}".removeprefix("/")
        before, title, after = told.get(path, "").partition(_TITLE)
        facts = {
            "former": [folder or "." for folder in left],
            "names": sorted({deployed.name for deployed in left.values() if deployed.provider == stack.provider}),
            "name": stack.name,
            "applies": [apply.format(root=name or ".") for name in stacks],
            "destroys": [destroy.format(root=folder or ".") for folder in left],
            "is_protected": any(deployed.target == _PROTECTED for deployed in left.values()),
            "checks": checks(stack, stack.groups),
        }
        if title:
            section = fill("shared", "root_hand_over.md.j2", facts)
            told[path] = f"{before}\n{section.rstrip()}\n{title}{after}"
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
