"""Notes beside edits: what else they change, what they leave to the reader, and what Terraform takes down for them."""

from collections.abc import Callable, Iterator, Sequence

from advisor.codegen.applying.addresses import Target, instances_of
from advisor.codegen.applying.edits import LEFT, Edit, edits_within
from advisor.codegen.applying.facts import buys_spot, regions_of
from advisor.codegen.applying.readers import Reader
from advisor.codegen.applying.resolving import Place
from advisor.codegen.applying.rules import RULES, Figure, Replacement, Resource, everything_in
from advisor.codegen.applying.zones import in_each_zone, told_of_zones
from advisor.codegen.hcl import Block, literal, references

_MOST_NAMED = 4
_COUNTS = (Figure.INSTANCES, Figure.MIN, Figure.MAX)
_ATTACHED = "guest_accelerator"
"""Block of Google's machines and pools."""


def other_users(resources: Sequence[Resource], edits: Sequence[Edit]) -> Iterator[str]:
    """Notes on blocks that use an edited one, and are not edited with it."""
    for resource in resources:
        if resource.other_users and any(edits_within(resource, edits)):
            users = " and ".join(resource.other_users)
            yield (
                f"{resource.block.address} changes for {users} too, whose own arguments stay: name the one that the "
                "plan is for"
            )


def other_instances(resources: Sequence[Resource], wishes: Sequence[Edit]) -> Iterator[str]:
    """Notes on literals that decide for several instances of an edited block, by its own loop or by its module's.

    *wishes*: their figures of the plan, those that are as planned too.
    """
    for resource in resources:
        own = list(edits_within(resource, wishes))
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


def replaced(resources: Sequence[Resource], edits: Sequence[Edit]) -> Iterator[str]:
    """Notes on edits that Terraform makes by another resource in the place of the one that runs."""
    for resource in resources:
        replacement = resource.rule.replacement
        changed = dict(edits_within(resource, edits))
        if replacement is None or _comes_first(resource, replacement):
            continue
        if any(f"{path}.".startswith(f"{replacement.argument}.") for path in changed):
            yield f"{resource.block.address}: {replacement.argument} {replacement.note}"


def reweighted(resources: Sequence[Resource], edits: Sequence[Edit]) -> Iterator[str]:
    """Notes on sizes that counted units of capacity, and count instances now."""
    for resource in resources:
        weights = [edit for _, edit in edits_within(resource, edits) if edit.figure is Figure.WEIGHT]
        if weights:
            former = " and ".join(dict.fromkeys(str(edit.place.value) for edit in weights))
            yield f"{resource.block.address}: an instance counted for {former} in sizes, and counts for 1 now"


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


def is_used(block: Block) -> bool:
    """Whether a block makes, reads or shows something, and is not a variable or provider."""
    return block.kind in ("resource", "data", "module", "output")


def has_machines(block: Block) -> bool:
    """Whether a block may start machines."""
    return block.kind == "module" or (block.kind == "resource" and block.labels[0] in RULES)


def shared_values(readers: Sequence[Reader], edits: Sequence[Edit], counts: Callable[[Block], bool]) -> Iterator[str]:
    """Names of edited values that more than the edited arguments depend on, among the blocks that count."""
    users: dict[str, set[str]] = {}
    for edit in edits:
        if edit.place.through:
            there = users.setdefault(edit.place.through[-1], set())
            there |= {reader.where for reader in readers if counts(reader.block) and reader.entries_of(edit.at)}
    for name, places in users.items():
        if places:
            yield f"{name} is used elsewhere too: {', '.join(sorted(places))}"


def beyond(resources: Sequence[Resource], target: Target) -> Iterator[str]:
    """Wishes of the plan that are not an instance type or a count."""
    said = buys_spot(resources)
    if target.is_spot and not said:
        yield f"the plan buys {target.key} as spot: how instances are bought is not edited"
    if not target.is_spot and said is None and resources[0].block.kind == "resource":
        yield f"the plan buys {target.key} on demand: whether the code does is decided by no literal"
    yield from _elsewhere(resources, target)
    if target.bought_ahead and not target.keeps_types:
        yield (
            f"the plan's price of {target.key} needs a purchase that no code makes: {target.bought_ahead}; buy it "
            "before or with the change"
        )
    if target.schedule:
        yield f"the plan changes {target.key} by the clock, {target.schedule}"
    for resource in resources:
        yield from _initial_numbers(resource, target)
        yield from _attached(resource, target)
        yield from _noted(resource, target)
        yield from told_of_zones(resource, target)
    yield f"the numbers hold for {target.serving}: see `advisor generate` for its arguments"


def _initial_numbers(resource: Resource, target: Target) -> Iterator[str]:
    """Notes on numbers of instances that hold at creation alone, where no other argument says how many there are."""
    written = dict(everything_in(resource.block))
    if any(path in written and figure in _COUNTS for path, figure in resource.rule.arguments.items()):
        return
    for path, reason in resource.rule.created_with.items():
        if path in written:
            share = in_each_zone(resource, written[path], Figure.INSTANCES, target)
            if isinstance(share, str) or resource.values(written[path]) != [share.instances]:
                where = resource.document.place(written[path].start)
                yield f"{LEFT}{resource.block.address}: {path} ({where}): {reason}; state node_count or autoscaling"


def _noted(resource: Resource, target: Target) -> Iterator[str]:
    """Notes on arguments, and on resources that refer to one, which change what the plan's numbers mean."""
    rule, address = resource.rule, resource.block.address
    written = [path for path, _ in everything_in(resource.block)]
    for noted, reason in rule.noted.items() if not target.keeps_types else ():
        if any(f"{path}.".startswith(f"{noted}.") for path in written):
            yield f"{address}: {noted} stays: {reason}"
    for document, block in resource.module.blocks():
        argument, reason = rule.noted_users.get(block.labels[0], ("", "")) if block.kind == "resource" else ("", "")
        attribute = block.attributes.get(argument)
        if attribute and any(".".join(steps[:2]) == address for steps in references(attribute.value.node)):
            yield f"{block.address} ({document.place(attribute.start)}) stays: it {reason}"


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
        yield f"{LEFT}{resource.block.address}: {_ATTACHED} ({where}): {kind} {takes}"
    elif attached:
        yield f"{kind} needs {named} attached ({_ATTACHED}), which is not edited"


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
