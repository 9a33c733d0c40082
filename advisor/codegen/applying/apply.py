"""Edits of a user's Terraform: instance types and counts at an address, and nothing else."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from advisor.atomic_files import write_text
from advisor.codegen.applying.addresses import Target, instances_of, resources_at
from advisor.codegen.applying.facts import buys_spot, regions_of
from advisor.codegen.applying.resolving import Module, Place, Unresolved, open_project
from advisor.codegen.applying.rules import (
    CALL_SPOT,
    PROVIDERS,
    RULES,
    TYPES,
    Figure,
    Replacement,
    Resource,
    Rule,
    everything_in,
)
from advisor.codegen.hcl import Block, literal, read_hcl, references
from advisor.codegen.quoting import hcl_number, hcl_string, hcl_value
from advisor.errors import InputError
from advisor.records import dataclass, replace

_HEADER = re.compile(r"^((?:---(?= a/[^\n]*\n\+\+\+ b/)|\+\+\+(?= b/[^\n]*\n@@)) [ab]/)", re.MULTILINE)
"""Beginning of the two lines of a patch that name a file."""
_LEFT = "not changed: "
"""Beginning of a note on an argument that is left to the reader."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A literal that becomes another."""

    place: Place
    text: str
    argument: str
    """Which argument it decides, such as ``aws_autoscaling_group.gpu: min_size``."""
    figure: Figure
    """Figure of the plan that the argument holds."""
    entries: tuple[str, ...] = ()
    """Texts of its entries, where it is a list."""

    @property
    def at(self) -> tuple[str, int]:
        """File and offset of the literal."""
        return self.place.document.path, self.place.start

    @property
    def is_as_planned(self) -> bool:
        """Whether the literal is that text already."""
        return self.text == _literal(self.place.value, self.place.value)


@dataclass(frozen=True, slots=True)
class Application:
    """Changes, and what does not change."""

    patch: str
    """Unified diff with paths relative to the directory; "" where nothing changes."""
    files: Mapping[Path, str]
    """Path → new text."""
    edits: tuple[str, ...]
    """Each argument with its former and new value."""
    notes: tuple[str, ...]
    """Arguments that could not be edited, and what else the reader has to know."""
    shared: tuple[str, ...] = ()
    """Notes on other machines, or calls of modules, that use an edited value."""

    @property
    def is_as_planned(self) -> bool:
        """Whether nothing is left to change, by this program or by hand."""
        return not self.edits and not any(_LEFT in note for note in self.notes)


def apply_to(directory: Path, address: str, target: Target, project: Module | None = None) -> Application:
    """Changes that writing *target* to *address* would make; see :func:`apply_all`."""
    return apply_all(directory, [(address, target)], project)


def united(parts: Mapping[str, Application]) -> Application:
    """Changes of several roots as one, with paths from the folder above them; by the name of each with its slash."""
    named = [(f"{folder.rstrip('/')}: " if folder else "", part) for folder, part in parts.items()]
    return Application(
        "".join(_HEADER.sub(rf"\g<1>{folder}", part.patch) for folder, part in parts.items()),
        {path: text for part in parts.values() for path, text in part.files.items()},
        tuple(f"{folder}{edit}" for folder, part in named for edit in part.edits),
        tuple(f"{folder}{note}" for folder, part in named for note in part.notes),
        tuple(f"{folder}{note}" for folder, part in named for note in part.shared),
    )


def apply_all(
    directory: Path, wishes: Sequence[tuple[str, Target]], project: Module | None = None
) -> Application:  # fmt: skip
    """Changes that writing each target to its address would make together; nothing is written.

    Args:
        directory: of a Terraform root.
        wishes: address of a resource, or of a call of a module from elsewhere, with a group of a plan.
        project: the root as it was read; None: it is read.

    Raises:
        InputError: there is no such address, nothing at it can be edited, or it belongs to another cloud.
    """
    project = project or open_project(directory)
    edits: dict[tuple[str, int], Edit] = {}
    notes: list[str] = []
    shared: list[str] = []
    for address, target in wishes:
        own, users, told = _edits_at(project, address, target)
        whose = f"{address}: " if len(wishes) > 1 else ""
        notes += [f"{whose}{note}" for note in told]
        shared += users
        for edit in own:
            if edits.setdefault(edit.at, edit).text != edit.text:
                notes.append(f"{whose}{_LEFT}{edit.argument}: {edits[edit.at].argument} is written at the same place")
    contradictions = _contradictions([*edits.values()])
    notes += contradictions.values()
    left = [edit for at, edit in edits.items() if at not in contradictions]
    return _application(directory.resolve(), left, notes, shared)


def _edits_at(project: Module, address: str, target: Target) -> tuple[list[Edit], list[str], list[str]]:
    """Edits of one target, notes on other machines that use the edited values, and notes for the reader."""
    resources = resources_at(project, address)
    _check_purchase(resources, target, address)
    decided: dict[tuple[str, int], list[Edit]] = {}
    notes: list[str] = []
    unchanged = 0
    for resource in resources:
        kind = resource.block.labels[0].split("_", maxsplit=1)[0]
        provider = PROVIDERS.get(kind) if resource.block.kind == "resource" else target.provider
        if provider != target.provider:
            raise InputError(
                f"{resource.block.address} is of {provider}, the plan's group {target.key} is on {target.provider}",
                hint="name a group of that cloud with --group, or another address",
            )
        for name, change in _arguments(resource, target):
            if isinstance(change, str):
                notes.append(f"{_LEFT}{name}: {change}")
            elif change is None:
                unchanged += 1
            else:
                decided.setdefault(change.at, []).append(change)
    contradictions = _contradictions([wish for wishes in decided.values() for wish in wishes])
    notes += dict.fromkeys(contradictions.values())
    edits, told_of_shared = _joint({at: wishes for at, wishes in decided.items() if at not in contradictions}, target)
    notes += told_of_shared
    if not decided and not unchanged:
        raise InputError(
            f"nothing at {address} can be edited:\n  " + "\n  ".join(notes or [_NOTHING_STATED]),
            where=str(project.directory),
        )
    for resource in resources:
        _check_maximum(resource, target, edits)
    own = list(edits.values())
    wishes = [edits.get(at, wishes[0]) for at, wishes in decided.items() if at not in contradictions]
    others = [*_other_users(resources, own), *_other_instances(resources, wishes)]
    shared = [*_shared(resources, own, _has_machines), *others]
    told = [*_shared(resources, own, _is_used), *others, *_replaced(resources, own), *_beyond(resources, target)]
    return own, shared, [*notes, *told]


def _contradictions(edits: Sequence[Edit]) -> dict[tuple[str, int], str]:
    """Notes on lists and entries of them that become different values, by the place of each: neither is written."""
    notes: dict[tuple[str, int], str] = {}
    for outer in (edit for edit in edits if edit.place.entries):
        for inner in edits:
            number = _entry_of(outer.place, inner.place)
            if number is not None and outer.entries[number : number + 1] != (inner.text,):
                where = inner.place.document.place(inner.place.start)
                notes[outer.at] = notes[inner.at] = (
                    f"{_LEFT}{outer.argument} and {inner.argument}: the list at {where} would become "
                    f"{outer.text}, and its entry {number} {inner.text}: give one of them a value of its own"
                )
    return notes


def _entry_of(outer: Place, inner: Place) -> int | None:
    """Number of the entry of a list that another literal is, or lies in; None where it lies elsewhere."""
    if outer.document.path != inner.document.path:
        return None
    spans = enumerate(outer.entries)
    return next((number for number, (start, end) in spans if start <= inner.start < end), None)


def _joint(
    decided: Mapping[tuple[str, int], Sequence[Edit]], target: Target
) -> tuple[dict[tuple[str, int], Edit], list[str]]:
    """The edit of each literal that is not as planned, and notes on those that decide several arguments."""
    notes: list[str] = []
    edits: dict[tuple[str, int], Edit] = {}
    for at, wishes in decided.items():
        edit = wishes[0]
        if len({wish.text for wish in wishes}) > 1:
            # Of counts that one literal decides, the busiest hours' count holds for all.
            edit = edit if edit.figure in TYPES else replace(edit, text=_literal(target.instances, edit.place.value))
            wanted = ", ".join(f"{wish.argument} {wish.text}" for wish in wishes)
            notes.append(
                f"{edit.place.document.place(edit.place.start)} decides several arguments, and becomes {edit.text} for "
                f"all of them; the plan has {wanted}"
            )
        if not edit.is_as_planned:
            edits[at] = edit
    return edits, notes


def _edits_within(resource: Resource, edits: Sequence[Edit]) -> Iterator[tuple[str, Edit]]:
    """Edits that a resource's arguments lead to, by the argument."""
    prefix = f"{resource.block.address}: "
    return ((edit.argument.removeprefix(prefix), edit) for edit in edits if edit.argument.startswith(prefix))


def _other_users(resources: Sequence[Resource], edits: Sequence[Edit]) -> Iterator[str]:
    """Notes on blocks that use an edited one, and are not edited with it."""
    for resource in resources:
        if resource.other_users and any(_edits_within(resource, edits)):
            users = " and ".join(resource.other_users)
            yield (
                f"{resource.block.address} changes for {users} too, whose own arguments stay: name the one that the "
                "plan is for"
            )


_MOST_NAMED = 4
_COUNTS = (Figure.INSTANCES, Figure.MIN, Figure.MAX)


def _other_instances(resources: Sequence[Resource], wishes: Sequence[Edit]) -> Iterator[str]:
    """Notes on literals that decide for several instances of an edited block, by its own loop or by its module's.

    Args:
        resources: blocks at an address.
        wishes: their figures of the plan, those that are as planned too.
    """
    for resource in resources:
        own = list(_edits_within(resource, wishes))
        instances = [(instance, _places(instance.resource)) for instance in instances_of(resource)] if own else []
        for path, edit in own:
            there = [instance for instance, places in instances if edit.at in places]
            others = [name for each in there if not each.is_addressed for name in (each.address, *each.users)]
            addressed = [instance.address for instance in there if instance.is_addressed]
            is_uncounted = any("[*]" in instance.address for instance in there)
            where, total = edit.place.document.place(edit.place.start), _total(path, edit, len(there), is_uncounted)
            if others and not edit.is_as_planned:
                yield f"{where} decides for {_listed(others)} too, which change with it{total}"
            elif (len(addressed) > 1 or (addressed and is_uncounted)) and (total or not edit.is_as_planned):
                yield f"{where} decides for each of {_listed(addressed)}{total}: name one, or plan for all of them"


def _places(resource: Resource) -> set[tuple[str, int]]:
    """File and offset of each literal that decides a figure of a resource."""
    places = (resource.place(attribute, path) for _, attribute, path in resource.figures())
    return {(place.document.path, place.start) for place in places if isinstance(place, Place)}


def _total(path: str, edit: Edit, instances: int, is_uncounted: bool) -> str:  # noqa: FBT001
    """Number of machines that a count comes to over all instances, in brackets; "" of other figures."""
    number = edit.text.strip('"')
    if edit.figure not in _COUNTS or path == "count" or not number.isdigit():
        return ""
    each = f"{number} each" if is_uncounted else f"{instances} × {number} = {instances * int(number)}"
    return f" ({path}: {each})"


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return " and ".join([*names[:_MOST_NAMED], *more])


def _replaced(resources: Sequence[Resource], edits: Sequence[Edit]) -> Iterator[str]:
    """Notes on edits that Terraform makes by another resource in the place of the one that runs."""
    for resource in resources:
        replacement = resource.rule.replacement
        changed = dict(_edits_within(resource, edits))
        if replacement is None or _comes_first(resource, replacement):
            continue
        if any(f"{path}.".startswith(f"{replacement.argument}.") for path in changed):
            yield f"{resource.block.address}: {replacement.argument} {replacement.note}"


def _comes_first(resource: Resource, replacement: Replacement) -> bool:
    """Whether the new resource is there before the former one goes."""
    attributes = resource.block.attributes
    if replacement.stops:
        return False
    if replacement.unless:
        return replacement.unless in attributes
    orders = [
        attribute
        for path, attribute in everything_in(resource.block)
        if path == "lifecycle.create_before_destroy" and literal(attribute.value.node) is True
    ]
    return replacement.fixed_name not in attributes and bool(orders)


def write_application(application: Application) -> None:
    """Write the changed files, each whole or not at all."""
    for path, text in application.files.items():
        write_text(path, text)


_SPOT_WORDS = ", ".join(f"{name} = {hcl_value(spot)}" for name, spot in CALL_SPOT.items())
_NOTHING_STATED = "it states no count, or no instance type, that could be changed"


def _arguments(resource: Resource, target: Target) -> Iterator[tuple[str, Edit | str | None]]:
    """Each argument of the rule that is there, with its edit, the reason why not, or None where it is as planned."""
    if resource.inside:
        yield from _inside(resource, target, *resource.inside)
        return
    seen = Counter[str]()
    for path, attribute in everything_in(resource.block):
        figure = resource.rule.arguments.get(path)
        if figure is None or (target.keeps_types and figure in TYPES):
            continue
        name = f"{resource.block.address}: {path}"
        before = seen[path]
        seen[path] += 1
        wanted = _wanted(figure, target, resource.rule)
        if figure is Figure.EACH_TYPE and isinstance(wanted, list) and before < len(wanted):
            place = resource.place(attribute)
            is_list = isinstance(place, Place) and isinstance(place.value, list)
            yield name, _edit(resource, place, (name, figure), wanted if is_list else wanted[before])
        elif before:
            where = resource.document.place(attribute.start)
            yield name, f"{where} is one of several, and the plan has nothing for it: remove it"
        elif _keeps(figure, resource.place(attribute), target):
            yield name, None
        else:
            yield name, _edit(resource, resource.place(attribute), (name, figure), wanted)


def _inside(resource: Resource, target: Target, argument: str, key: str) -> Iterator[tuple[str, Edit | str | None]]:
    """The arguments of one entry of a map that a module is called with."""
    attribute = resource.block.attributes[argument]
    for name, figure in resource.rule.arguments.items():
        if target.keeps_types and figure in TYPES:
            continue
        place = resource.place(attribute, (key, name))
        if isinstance(place, Place):
            label = f'{resource.block.address}: {argument}["{key}"].{name}'
            wanted = _wanted(figure, target, resource.rule)
            is_kept = _keeps(figure, place, target)
            yield label, None if is_kept else _edit(resource, place, (label, figure), wanted)


def _keeps(figure: Figure, place: Place | Unresolved, target: Target) -> bool:
    """Whether a maximum in the code stays, since it is no less than the target's."""
    if figure is not Figure.MAX or target.least_maximum is None or not isinstance(place, Place):
        return False
    return str(place.value).isdigit() and int(str(place.value)) >= target.max_instances


def _check_maximum(resource: Resource, target: Target, edits: Mapping[tuple[str, int], Edit]) -> None:
    """Refuse to lower a number that decides the maximum too, below what the group has to grow to."""
    if target.least_maximum is None:
        return
    sized = [(figure, attribute, resource.place(attribute, path)) for figure, attribute, path in resource.figures()]
    lowered = {
        steps
        for figure, attribute, place in sized
        if figure in (Figure.INSTANCES, Figure.MIN) and _lowered_to(place, edits) is not None
        for steps in references(attribute.value.node)
    }
    for figure, attribute, place in sized:
        number = _lowered_to(place, edits)
        is_computed = isinstance(place, Unresolved) and lowered.intersection(references(attribute.value.node))
        if figure is Figure.MAX and (is_computed or (number is not None and number < target.least_maximum)):
            raise InputError(
                f"{resource.document.place(attribute.start)}: the most machines of {resource.block.address} follow "
                "from the same number, and would fall below its peak: give its maximum a number of its own"
            )


def _lowered_to(place: Place | Unresolved, edits: Mapping[tuple[str, int], Edit]) -> int | None:
    """The number that a literal is lowered to; None where it is not."""
    edit = edits.get((place.document.path, place.start)) if isinstance(place, Place) else None
    if edit is None:
        return None
    before, after = str(edit.place.value), edit.text.strip('"')
    is_lower = before.isdigit() and after.isdigit() and int(after) < int(before)
    return int(after) if is_lower else None


def _edit(
    resource: Resource, place: Place | Unresolved, of: tuple[str, Figure], wanted: str | int | list[str]
) -> Edit | str:  # fmt: skip
    if isinstance(place, Unresolved):
        return place.reason
    if not Path(resource.module.root / place.document.path).is_relative_to(resource.module.root):
        return f"{place.document.path} is outside of the directory"
    if isinstance(place.value, list):
        wanted = wanted if isinstance(wanted, list) else [str(wanted)]
    elif isinstance(wanted, list):
        wanted = wanted[0]
    entries = tuple(hcl_string(str(entry)) for entry in wanted) if isinstance(wanted, list) else ()
    return Edit(place, _literal(wanted, place.value), *of, entries)


def _wanted(figure: Figure, target: Target, rule: Rule) -> str | int | list[str]:
    planned = f"{rule.type_prefix}{target.instance_type.partition('+')[0]}"
    types = [planned, *target.interchangeable_types] if target.is_spot else [planned]
    figures: Mapping[Figure, str | int | list[str]] = {
        Figure.TYPE: planned,
        Figure.TYPES: types,
        Figure.EACH_TYPE: types,
        Figure.INSTANCES: target.instances,
        Figure.MIN: target.min_instances,
        Figure.MAX: target.max_instances,
    }
    return figures[figure]


def _literal(wanted: str | float | list[str], former: object) -> str:
    if isinstance(wanted, list):
        return f"[{', '.join(hcl_string(str(item)) for item in wanted)}]"
    if isinstance(wanted, str) or isinstance(former, str):
        return hcl_string(str(wanted))
    return hcl_number(wanted)


def _check_purchase(resources: Sequence[Resource], target: Target, address: str) -> None:
    """Refuse numbers of instances that are bought otherwise than the plan buys them."""
    said = buys_spot(resources)
    if target.keeps_types or said == target.is_spot:
        return
    if said is None:
        if target.is_spot:
            raise InputError(
                f"{address} does not say how instances are bought, and the plan buys {target.key} as spot: its numbers "
                "might not hold",
                hint=f"say there how it is bought ({_SPOT_WORDS}), or name another group of the plan with --group",
            )
        return
    ways = ("on demand", "as spot")
    raise InputError(
        f"{address} buys instances {ways[said]}, and the plan buys {target.key} {ways[target.is_spot]}: "
        "its numbers would not hold",
        hint="change how they are bought first, or name another group of the plan with --group",
    )


def _is_used(block: Block) -> bool:
    return block.kind in ("resource", "data", "module", "output")


def _has_machines(block: Block) -> bool:
    return block.kind == "module" or (block.kind == "resource" and block.labels[0] in RULES)


def _shared(resources: Sequence[Resource], edits: Sequence[Edit], counts: Callable[[Block], bool]) -> Iterator[str]:
    """Values that more than the edited arguments use, among the blocks that count."""
    passed = dict.fromkeys(name for edit in edits for name in edit.place.through)
    own = {resource.block.address for resource in resources}
    module: Module | None = resources[0].module
    while module is not None:
        for name in passed:
            short = name.removeprefix(f"{module.name}.")
            if short.startswith(("var.", "local.")):
                users = _users(module, tuple(short.split(".")), own, counts)
                if users:
                    yield f"{name} is used elsewhere too: {', '.join(users)}"
        own = {module.call[1].address} if module.call is not None else set()
        module = module.parent


def _users(module: Module, steps: tuple[str, ...], own: set[str], counts: Callable[[Block], bool]) -> list[str]:
    """Places of those blocks of a module that refer to a name, without *own*."""
    return sorted(
        {
            f"{document.place(attribute.start)} ({block.address})"
            for document, block in module.blocks()
            if counts(block) and block.address not in own
            for _, attribute in everything_in(block)
            if any(reference[:2] == steps for reference in references(attribute.value.node))
        }
    )


def _beyond(resources: Sequence[Resource], target: Target) -> Iterator[str]:
    """Wishes of the plan that are not an instance type or a count."""
    said = buys_spot(resources)
    if target.is_spot and not said:
        yield f"the plan buys {target.key} as spot: how instances are bought is not edited"
    if not target.is_spot and said is None and resources[0].block.kind == "resource":
        yield f"the plan buys {target.key} on demand: whether the code does is decided by no literal"
    yield from _elsewhere(resources, target)
    if target.schedule:
        yield f"the plan changes {target.key} by the clock, {target.schedule}"
    for resource in resources:
        yield from _initial_numbers(resource, target)
        yield from _attached(resource, target)
    if any(resource.rule.per_zone for resource in resources):
        yield "node_count and autoscaling limits of a regional cluster count for each zone; the plan counts all zones"
    yield f"the numbers hold for {target.serving}: see `advisor generate` for its arguments"


def _initial_numbers(resource: Resource, target: Target) -> Iterator[str]:
    """Notes on numbers of instances that hold at creation alone, where no other argument says how many there are."""
    written = dict(everything_in(resource.block))
    if any(path in written and figure in _COUNTS for path, figure in resource.rule.arguments.items()):
        return
    for path, reason in resource.rule.created_with.items():
        if path in written and resource.values(written[path]) != [target.instances]:
            where = resource.document.place(written[path].start)
            yield f"{_LEFT}{resource.block.address}: {path} ({where}): {reason}; state node_count or autoscaling"


def _attached(resource: Resource, target: Target) -> Iterator[str]:
    """Note on accelerators that are attached in the code, and are not those that the planned type takes."""
    if target.keeps_types or Figure.TYPE not in resource.rule.arguments.values():
        return
    written = [(path, attribute) for path, attribute in everything_in(resource.block) if _ATTACHED in path.split(".")]
    stated = {path.rpartition(".")[2]: resource.values(attribute) for path, attribute in written}
    kind, _, attached = target.instance_type.partition("+")
    named = f"{target.accelerator_count} × {target.accelerator_type}" if target.accelerator_type else attached
    if stated.get("type") == [target.accelerator_type] and stated.get("count") == [target.accelerator_count]:
        return
    if written and (named or target.accelerator_type is not None):
        where = resource.document.place(written[0][1].start)
        takes = f"takes {named}: change it with the type" if named else "has no such block: remove it"
        yield f"{_LEFT}{resource.block.address}: {_ATTACHED} ({where}): {kind} {takes}"
    elif attached:
        yield f"{kind} needs {named} attached ({_ATTACHED}), which is not edited"


_ATTACHED = "guest_accelerator"
"""Block of Google's machines and pools."""


def _elsewhere(resources: Sequence[Resource], target: Target) -> Iterator[str]:
    """Note on code of another region than the plan's."""
    regions = sorted(regions_of(resources, target.provider))
    if target.keeps_types or not regions or _plain_place(target.region) in map(_plain_place, regions):
        return
    yield (
        f"the code is for {' and '.join(regions)}, and the plan buys {target.key} in {target.region}: prices, zones "
        "and whether the type is sold hold for that region; plan for the code's (regions: in the workload file), or "
        "change the code's first"
    )


def _plain_place(region: str) -> str:
    """A region as the catalog writes it, where Azure is written in words (``West Europe``)."""
    return region.replace(" ", "").casefold()


def _application(root: Path, edits: Sequence[Edit], notes: Sequence[str], shared: Sequence[str]) -> Application:
    files: dict[Path, str] = {}
    patches: list[str] = []
    for path in sorted({edit.place.document.path for edit in edits}):
        of_file = [edit for edit in edits if edit.place.document.path == path]
        before = of_file[0].place.document.text
        after = _edited(before, of_file)
        read_hcl(after, path)
        files[root / path] = after
        patches.extend(
            difflib.unified_diff(
                before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
            )
        )
    told = tuple(
        f"{edit.argument}: {edit.place.document.text[edit.place.start : edit.place.end]} → {edit.text} "
        f"({edit.place.document.place(edit.place.start)})"
        for edit in edits
    )
    return Application(
        "".join(_ended(line) for line in patches), files, told, tuple(dict.fromkeys(notes)), tuple(shared)
    )


def _edited(text: str, edits: Sequence[Edit]) -> str:
    """A text with its literals replaced; entries of a list that is replaced itself go with it."""
    parts, end = [], 0
    for edit in sorted(edits, key=lambda edit: edit.place.start):
        if edit.place.start >= end:
            parts += [text[end : edit.place.start], edit.text]
            end = edit.place.end
    return "".join([*parts, text[end:]])


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
