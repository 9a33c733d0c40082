"""Edits of a user's Terraform: instance types and counts at an address, and nothing else."""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from advisor.atomic_files import write_outputs
from advisor.codegen.applying.addresses import Target, instances_of, resources_at
from advisor.codegen.applying.edits import LEFT, Edit, literal_text
from advisor.codegen.applying.facts import buys_spot, on_demand_percentage
from advisor.codegen.applying.notes import (
    beyond,
    has_machines,
    is_used,
    other_instances,
    other_users,
    replaced,
    reweighted,
    shared_values,
)
from advisor.codegen.applying.readers import COMPUTED, Reader, readers_of
from advisor.codegen.applying.resolving import KEYS, Module, Place, Unresolved, open_project
from advisor.codegen.applying.rules import CALL_SPOT, PROVIDERS, TYPES, Figure, Resource, Rule, everything_in
from advisor.codegen.applying.zones import in_each_zone
from advisor.codegen.hcl import Attribute, literal, read_hcl, references
from advisor.codegen.quoting import hcl_string, hcl_value
from advisor.errors import InputError
from advisor.records import dataclass, replace

_HEADER = re.compile(r"^((?:---(?= a/[^\n]*\n\+\+\+ b/)|\+\+\+(?= b/[^\n]*\n@@)) [ab]/)", re.MULTILINE)
"""Beginning of the two lines of a patch that name a file."""


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
        return not self.edits and not any(LEFT in note for note in self.notes)


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

    *wishes*: address of a resource, or of a call of a module from elsewhere, with a group of a plan. *project*: the
    root as it was read; None: it is read. Raises InputError if there is no such address, nothing at it can be edited,
    or it belongs to another cloud.
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
                notes.append(f"{whose}{LEFT}{edit.argument}: {edits[edit.at].argument} is written at the same place")
    contradictions = _contradictions([*edits.values()])
    notes += contradictions.values()
    left = [edit for at, edit in edits.items() if at not in contradictions]
    return _application(directory.resolve(), left, notes, shared)


def _edits_at(project: Module, address: str, target: Target) -> tuple[list[Edit], list[str], list[str]]:
    """Edits of one target, notes on other machines that use the edited values, and notes for the reader."""
    resources = resources_at(project, address)
    _check_purchase(resources, target, address)
    decided, notes, unchanged = _decided(resources, target)
    wishes = [wish for same in decided.values() for wish in same]
    readers = readers_of(resources, [wish.place for wish in wishes if not wish.is_as_planned])
    contradictions = _too_short(wishes, readers) | _contradictions(wishes)
    notes += dict.fromkeys(contradictions.values())
    edits, told_of_shared = _joint({at: wishes for at, wishes in decided.items() if at not in contradictions})
    notes += told_of_shared
    if not decided and not unchanged:
        raise InputError(
            f"nothing at {address} can be edited:\n  " + "\n  ".join(notes or [_NOTHING_STATED]),
            where=str(project.directory),
        )
    for resource in resources:
        _check_maximum(resource, target, edits)
    too_low = {at: note for resource in resources for at, note in _low_maxima(resource, edits)}
    notes += dict.fromkeys(too_low.values())
    edits = {at: edit for at, edit in edits.items() if at not in too_low}
    own = list(edits.values())
    left = [edits.get(at, same[0]) for at, same in decided.items() if at not in contradictions | too_low]
    others = [*other_users(resources, own), *other_instances(resources, left)]
    shared = [*shared_values(readers, own, has_machines), *others]
    told = [*shared_values(readers, own, is_used), *others, *replaced(resources, own), *reweighted(resources, own)]
    return own, shared, [*notes, *told, *beyond(resources, target)]


def _decided(resources: Sequence[Resource], target: Target) -> tuple[dict[tuple[str, int], list[Edit]], list[str], int]:
    """Edits by the place of each, notes on what is left, and the number of arguments that are as planned."""
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
                notes.append(f"{LEFT}{name}: {change}")
            elif change is None:
                unchanged += 1
            else:
                decided.setdefault(change.at, []).append(change)
    return decided, notes, unchanged


def _contradictions(edits: Sequence[Edit]) -> dict[tuple[str, int], str]:
    """Notes on lists and entries of them that become different values, by the place of each: neither is written."""
    notes: dict[tuple[str, int], str] = {}
    for outer in (edit for edit in edits if edit.place.entries):
        for inner in edits:
            number = _entry_of(outer.place, inner.place)
            if number is not None and outer.entries[number : number + 1] != (inner.text,):
                where = inner.place.document.place(inner.place.start)
                notes[outer.at] = notes[inner.at] = (
                    f"{LEFT}{outer.argument} and {inner.argument}: the list at {where} would become "
                    f"{outer.text}, and its entry {number} {inner.text}: give one of them a value of its own"
                )
    return notes


def _too_short(edits: Sequence[Edit], readers: Sequence[Reader]) -> dict[tuple[str, int], str]:
    """Notes on lists that lose an entry that another argument takes, by the place of each: they are not written."""
    notes: dict[tuple[str, int], str] = {}
    for edit in edits:
        lost = {number for reader in readers for number in _lost(reader, edit)}
        if lost:
            users = sorted({reader.where for reader in readers if _lost(reader, edit)})
            named = f"entry {lost.pop()}" if len(lost) == 1 and COMPUTED not in lost else "entries by number"
            where = edit.place.document.place(edit.place.start)
            notes[edit.at] = (
                f"{LEFT}{edit.argument}: the list at {where} would become {edit.text}, and {' and '.join(users)} "
                f"{'takes' if len(users) == 1 else 'take'} {named} of it: give one of them a value of its own"
            )
    return notes


def _lost(reader: Reader, edit: Edit) -> list[str]:
    """Entries that an argument takes of a list, and that may not be there after an edit."""
    before, after = len(edit.place.entries), len(edit.entries)
    return sorted(
        entry
        for entry in reader.entries_of(edit.at)
        if (entry == COMPUTED and after < before) or (entry.isdigit() and after <= int(entry) < before)
    )


def _entry_of(outer: Place, inner: Place) -> int | None:
    """Number of the entry of a list that another literal is, or lies in; None where it lies elsewhere."""
    if outer.document.path != inner.document.path:
        return None
    spans = enumerate(outer.entries)
    return next((number for number, (start, end) in spans if start <= inner.start < end), None)


def _joint(
    decided: Mapping[tuple[str, int], Sequence[Edit]],
) -> tuple[dict[tuple[str, int], Edit], list[str]]:
    """The edit of each literal that is not as planned, and notes on those that decide several arguments."""
    notes: list[str] = []
    edits: dict[tuple[str, int], Edit] = {}
    for at, wishes in decided.items():
        edit = wishes[0]
        if len({wish.text for wish in wishes}) > 1:
            # Of counts that one literal decides, the busiest hours' count holds for all.
            edit = edit if edit.figure in TYPES else replace(edit, text=literal_text(edit.instances, edit.place.value))
            wanted = ", ".join(f"{wish.argument} {wish.text}" for wish in wishes)
            notes.append(
                f"{edit.place.document.place(edit.place.start)} decides several arguments, and becomes {edit.text} for "
                f"all of them; the plan has {wanted}"
            )
        if not edit.is_as_planned:
            edits[at] = edit
    return edits, notes


def write_application(application: Application) -> None:
    """Write the changed files, the first only when all of them are on the disk; those behind links where they lie.

    Raises InputError with the file that cannot be written, and whether any was.
    """
    write_outputs({path: text.encode() for path, text in application.files.items()})


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
        share = in_each_zone(resource, attribute, figure, target)
        if isinstance(share, str):
            yield name, share
            continue
        wanted = _wanted(figure, share, resource.rule)
        if figure is Figure.EACH_TYPE and isinstance(wanted, list) and before < len(wanted):
            place = resource.place(attribute)
            is_list = isinstance(place, Place) and isinstance(place.value, list)
            of = (name, figure, share.instances)
            yield name, _edit(resource, place, of, wanted if is_list else wanted[before])
        elif before and figure is not Figure.WEIGHT:
            where = resource.document.place(attribute.start)
            yield name, f"{where} is one of several, and the plan has nothing for it: remove it"
        elif _keeps(figure, resource.place(attribute), share):
            yield name, None
        else:
            yield name, _edit(resource, resource.place(attribute), (name, figure, share.instances), wanted)


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
            of = (label, figure, target.instances)
            yield label, None if is_kept else _edit(resource, place, of, wanted)


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
        share = in_each_zone(resource, attribute, figure, target)
        least = 0 if isinstance(share, str) else share.least_maximum or 0
        if figure is Figure.MAX and (is_computed or (number is not None and number < least)):
            raise InputError(
                f"{resource.document.place(attribute.start)}: the most machines of {resource.block.address} follow "
                "from the same number, and would fall below its peak: give its maximum a number of its own"
            )


def _low_maxima(
    resource: Resource, edits: Mapping[tuple[str, int], Edit]
) -> Iterator[tuple[tuple[str, int], str]]:  # fmt: skip
    """Places of maxima that would fall below a number of machines which stays, of any instance, and a note on each."""
    for instance in instances_of(resource):
        sized = [
            (figure, attribute, instance.resource.place(attribute, path))
            for figure, attribute, path in instance.resource.figures()
            if _is_stated(instance.resource, attribute, path)
        ]
        for _, maximum, place in (each for each in sized if each[0] is Figure.MAX):
            most = _lowered_to(place, edits)
            if most is None or not isinstance(place, Place):
                continue
            for figure, attribute, number in sized:
                least = _number_after(number, edits)
                if figure in (Figure.INSTANCES, Figure.MIN) and (least is None or least > most):
                    says = "is not known" if least is None else f"stays {least}"
                    number_of = f"{attribute.name} of {instance.address} ({resource.document.place(attribute.start)})"
                    it_falls = f"{resource.block.address}: {maximum.name}: it would fall to {most}"
                    yield (place.document.path, place.start), f"{LEFT}{it_falls}, and {number_of} {says}"


def _is_stated(resource: Resource, attribute: Attribute, path: tuple[str, ...]) -> bool:
    """Whether an argument is there and not null, as one of an entry of a map may not be."""
    if literal(attribute.value.node) is None:
        return False
    keys = resource.place(attribute, (*path[:-1], KEYS)) if path else None
    return not isinstance(keys, Place) or path[-1] in keys.value


def _number_after(place: Place | Unresolved, edits: Mapping[tuple[str, int], Edit]) -> int | None:
    """Number that an argument is after the edits; None where no literal decides it."""
    if not isinstance(place, Place):
        return None
    edit = edits.get((place.document.path, place.start))
    text = str(place.value) if edit is None else edit.text.strip('"')
    return int(text) if text.isdigit() else None


def _lowered_to(place: Place | Unresolved, edits: Mapping[tuple[str, int], Edit]) -> int | None:
    """The number that a literal is lowered to; None where it is not."""
    edit = edits.get((place.document.path, place.start)) if isinstance(place, Place) else None
    if edit is None:
        return None
    before, after = str(edit.place.value), edit.text.strip('"')
    is_lower = before.isdigit() and after.isdigit() and int(after) < int(before)
    return int(after) if is_lower else None


def _edit(
    resource: Resource, place: Place | Unresolved, of: tuple[str, Figure, int], wanted: str | int | list[str]
) -> Edit | str:  # fmt: skip
    if isinstance(place, Unresolved):
        return place.reason
    root = resource.module.root
    if not Path(root / place.document.path).is_relative_to(root):
        return f"{place.document.path} is outside of the directory"
    if not Path(root / place.document.path).resolve().is_relative_to(root.resolve()):
        return f"{place.document.path} is a link, or in a linked folder, that leads out of the directory"
    if isinstance(place.value, list):
        wanted = wanted if isinstance(wanted, list) else [str(wanted)]
    elif isinstance(wanted, list):
        wanted = wanted[0]
    entries = tuple(hcl_string(str(entry)) for entry in wanted) if isinstance(wanted, list) else ()
    return Edit(place, literal_text(wanted, place.value), *of, entries)


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
        Figure.WEIGHT: 1,
    }
    return figures[figure]


def _check_purchase(resources: Sequence[Resource], target: Target, address: str) -> None:
    """Refuse numbers of instances that are bought otherwise than the plan buys them."""
    if target.keeps_types:
        return
    percentage = on_demand_percentage(resources)
    if percentage is not None:
        raise InputError(
            f"{address} buys {percentage}% of its instances on demand and the others as spot: the plan's numbers of "
            f"{target.key} would hold for neither",
            hint="set on_demand_percentage_above_base_capacity to 100, or to 0 for a group that the plan buys as spot",
        )
    said = buys_spot(resources)
    if said == target.is_spot:
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
