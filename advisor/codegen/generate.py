"""The stages in order: plan → choice → stacks → code → check."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from advisor.catalog import Catalog
from advisor.codegen.availability import check_available
from advisor.codegen.check import check_files
from advisor.codegen.model import Component, Language, Stack, Wanted
from advisor.codegen.selection import Choice, choose, reason_against
from advisor.codegen.serving import check_wanted, planned_engine
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import target_of
from advisor.errors import InputError
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.values import Plan


@dataclass(frozen=True, slots=True)
class Generated:
    """Code for a plan."""

    files: Mapping[str, str]
    """Relative path → text; with several clouds or services, each in a folder of its name."""
    roots: tuple[str, ...]
    """Folders that hold a root; "": the directory itself."""
    targets: tuple[str, ...]
    plan_digest: str
    warnings: tuple[str, ...]
    """For people, before they merge."""


def generate(
    plan: Plan,
    language: Language = Language.TERRAFORM,
    wanted: Wanted | None = None,
    catalog: Catalog | None = None,
) -> Generated:
    """The code that deploys *plan*.

    Args:
        plan: what was planned.
        language: what the code is written in.
        wanted: what the user asks of it beyond the plan.
        catalog: which regions have which types; None: that is not checked.

    Raises:
        InputError: nothing that this program writes can serve the plan as it is wanted; the message says why.
        NotDeployable: no generated code can start what is planned.
        UnsoundCode: the code does not pass its own check.
    """
    wanted = wanted or Wanted()
    check_wanted(wanted)
    # A plan in memory and a plan from a file give the same bytes.
    plan = plan_from_json(plan_to_json(plan))

    def stacks_for(choice: Choice) -> tuple[tuple[Stack, ...], tuple[str, ...]]:
        found = _stacks(plan, choice, wanted)
        return found, () if catalog is None else check_available(found, catalog)

    choice = choose(plan, wanted, reason_against(lambda one: _rendered(stacks_for(one)[0], language)))
    stacks, unknown = stacks_for(choice)
    rendered = _rendered(stacks, language)
    files = _joined(rendered)
    check_files(files)
    return Generated(
        files=files,
        roots=("",) if len(rendered) == 1 else tuple(sorted(rendered)),
        targets=tuple(stack.target for stack in stacks),
        plan_digest=stacks[0].plan_digest,
        warnings=(*_engine_warnings(choice, wanted), *_weights_warnings(stacks), *unknown),
    )


def _engine_warnings(choice: Choice, wanted: Wanted) -> tuple[str, ...]:
    """What the plan predicted holds for its own engine."""
    planned = sorted({f"{one.serves.engine} {one.serves.engine_version}".strip() for one in choice.members})
    if wanted.engine is None or all(planned_engine(one.serves) is wanted.engine for one in choice.members):
        return ()
    return (f"the plan predicts {' and '.join(planned)}; measure {wanted.engine.value} before relying on its numbers",)


def _weights_warnings(stacks: tuple[Stack, ...]) -> tuple[str, ...]:
    """Repositories that the code takes quantised weights from: the plan knows their names, not their answers."""
    checkpoints = {
        (backend.container.checkpoint.model_id or stack.summary.model, stack.summary.model)
        for stack in stacks
        for backend in stack.backends
    }
    return tuple(
        f"the weights come from {repository}, quantised from {model}: measure their answers, or name others"
        for repository, model in sorted(checkpoints)
        if repository != model
    )


def _stacks(plan: Plan, choice: Choice, wanted: Wanted) -> tuple[Stack, ...]:
    stacks = tuple(replace(stack, target=target_of(stack).name) for stack in stacks_of(plan, choice, wanted))
    return _as_components(stacks, plan, wanted) if wanted.as_component else stacks


def _as_components(stacks: tuple[Stack, ...], plan: Plan, wanted: Wanted) -> tuple[Stack, ...]:
    """Each with the plan and what it takes of it."""
    text = json.dumps(json.loads(plan_to_json(plan)), indent=1) + "\n"
    asked = {"option": wanted.rank, "engine": wanted.engine and wanted.engine.value, "image": wanted.image}
    found = []
    for stack, name in zip(stacks, _root_names(stacks), strict=True):
        parts = {"target": wanted.target, "part": name} if len(stacks) > 1 else {"target": stack.target}
        chosen = {key: value for key, value in {**parts, **asked}.items() if value}
        found.append(replace(stack, component=Component(text, chosen)))
    return tuple(found)


def _rendered(stacks: tuple[Stack, ...], language: Language) -> Mapping[str, Mapping[str, str]]:
    """Name of the root → files."""
    rendered = {}
    for stack, name in zip(stacks, _root_names(stacks), strict=True):
        target = target_of(stack)
        render = target.renderers.get(language)
        if render is None:
            raise InputError(
                f"{target.title} is not written in {language.value}",
                hint=f"it is in {', '.join(one.value for one in target.renderers)}",
            )
        rendered[name] = render(stack)
    return rendered


def _root_names(stacks: tuple[Stack, ...]) -> list[str]:
    """The clouds, with the target where a cloud has several."""
    counts = Counter(stack.provider for stack in stacks)
    return [f"{one.provider}-{one.target}" if counts[one.provider] > 1 else one.provider for one in stacks]


def _joined(rendered: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    if len(rendered) == 1:
        return next(iter(rendered.values()))
    return {f"{root}/{path}": text for root, files in sorted(rendered.items()) for path, text in files.items()}
