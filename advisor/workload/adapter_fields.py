"""Key ``adapters`` of the workload file: LoRA adapters that are served on the model, by number or by name."""

import re
from pathlib import Path

from advisor.catalog.precisions import is_hub_id
from advisor.errors import InputError
from advisor.models import catalogued_name
from advisor.models.adapter_values import ALL, MOST_ADAPTERS, MOST_RANK, Adapters, NamedAdapter
from advisor.models.adapters import MODULES
from advisor.models.model import Model
from advisor.records import replace
from advisor.yaml_fields import Field

COUNT_KEYS = ("count", "rank", "target_modules", "active", "named")
NAMED_KEYS = ("id", "path", "rank", "target_modules", "share")
_ALL_LINEAR = "all-linear"
_SHARES_TOLERANCE = 1e-6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


def read_adapters(field: Field) -> Adapters:
    """Adapters: a mapping with their number and rank, or a list of them."""
    if field.is_list:
        return _of_list(field, None)
    fields = field.all_of(COUNT_KEYS, optional=COUNT_KEYS)
    active = fields["active"].count(1, MOST_ADAPTERS) if "active" in fields else None
    if "named" in fields:
        doubled = [key for key in ("count", "rank", "target_modules") if key in fields]
        if doubled:
            fields[doubled[0]].fail(f"{doubled[0]} follows from the adapters that are named", f"take {doubled[0]} out")
        return _of_list(fields["named"], fields.get("active"))
    for key, example in (("count", "24"), ("rank", "16")):
        if key not in fields:
            what = "how many adapters there are" if key == "count" else "the rank of the adapters"
            field.fail(f"{what} is not stated", f"add {key}: {example}, or name each adapter with its folder or rank")
    count = fields["count"].count(1, MOST_ADAPTERS)
    _check_active(fields.get("active"), count)
    return Adapters(count, fields["rank"].count(1, MOST_RANK), _targets(fields.get("target_modules")), active)


def check_base(adapters: Adapters, model: Model, where: str) -> None:
    """Refuse an adapter that is the model itself, or was trained on another one.

    Raises:
        InputError: with both names.
    """
    own = catalogued_name(model.name)
    for adapter in adapters.named:
        is_own = adapter.on_hub and own and catalogued_name(adapter.id) == own
        if is_own or model.name.casefold() in (adapter.id.casefold(), adapter.served_name.casefold()):
            raise InputError(
                f"the adapter {adapter.id} is the model itself, which answers by that name",
                where=where,
                hint="give the adapter's own name, or leave it out",
            )
        base = catalogued_name(adapter.base) if adapter.base else ""
        if own and base and base != own:
            raise InputError(
                f"the adapter {adapter.id} was trained on {base}, and the model is {model.name}",
                where=where,
                hint=f"plan it with model: {adapter.base}, or leave the adapter out",
            )


def adapter_notes(adapters: Adapters | None, prefix_cache_hit_ratio: float) -> tuple[str, ...]:
    """Notes of a plan on its adapters: their slots, and caches that they do not share."""
    if adapters is None:
        return ()
    is_single = adapters.count == 1
    many = "1 LoRA adapter" if is_single else f"{adapters.count:,} LoRA adapters"
    slots = "on the accelerators at all times" if is_single else "all of them on the accelerators"
    if adapters.slots < adapters.count:
        slots = (
            f"{adapters.slots:,} of them on the accelerators at a time: {adapters.miss_ratio:.0%} of the requests wait "
            f"until theirs is there, and at most {adapters.most_sequences:,} run at a time on a replica, so that "
            "theirs have room; with more active, more run"
        )
    verb = "is" if is_single else "are"
    notes = [f"{many} of rank {adapters.rank} {verb} served on one base, {slots}"]
    if prefix_cache_hit_ratio and adapters.count > 1:
        notes.append(
            "prefix caches are not shared between adapters: the same prompt is computed once for each, so the "
            f"{prefix_cache_hit_ratio:.0%} of cached tokens has to be what was measured with all of them"
        )
    return tuple(notes)


def _of_list(field: Field, active: Field | None) -> Adapters:
    named = tuple(_named(item) for item in field.items())
    if not named:
        field.fail("the list is empty", "name an adapter, or take the key out")
    if len(named) > MOST_ADAPTERS:
        field.fail(f"{len(named):,} adapters are more than {MOST_ADAPTERS:,}", "plan them as several workloads")
    names = [adapter.served_name for adapter in named]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        field.fail(f"two adapters would be served as {double}", "rename one of them")
    stated = [adapter.share for adapter in named if adapter.share is not None]
    if sum(stated) > 1 + _SHARES_TOLERANCE:
        field.fail(
            f"the shares sum to {sum(stated):g}, more than 1", "state shares of all requests; the rest is the base's"
        )
    _check_active(active, len(named))
    return Adapters(
        count=len(named),
        rank=max(adapter.rank for adapter in named),
        target_modules=_together(named),
        active=None if active is None else active.count(1, MOST_ADAPTERS),
        named=named,
    )


def _together(named: tuple[NamedAdapter, ...]) -> tuple[str, ...]:
    """Modules of all adapters."""
    targets = {target for adapter in named for target in adapter.target_modules}
    return (ALL,) if ALL in targets else tuple(sorted(targets))


def _named(field: Field) -> NamedAdapter:
    fields = field.all_of(NAMED_KEYS, optional=NAMED_KEYS)
    if "id" not in fields and "path" not in fields:
        field.fail("an adapter without a name", "give its id on the hub, its path, or both")
    identifier = _identifier(fields["id"]) if "id" in fields else ""
    share = fields["share"].number(0, exclusive=True, maximum=1) if "share" in fields else None
    if "path" in fields:
        adapter = _of_folder(fields["path"])
        if "rank" in fields and fields["rank"].count(1, MOST_RANK) != adapter.rank:
            fields["rank"].fail(f"its folder says rank {adapter.rank}", "take rank out")
        name = identifier or adapter.id
        return replace(adapter, id=name, share=share, on_hub=bool(identifier) and is_hub_id(identifier))
    if "rank" not in fields:
        field.fail(f"the rank of {identifier} is not stated", "add rank, as its adapter_config.json has it (r)")
    targets = _targets(fields.get("target_modules"))
    return NamedAdapter(identifier, fields["rank"].count(1, MOST_RANK), targets, share, on_hub=is_hub_id(identifier))


def _of_folder(field: Field) -> NamedAdapter:
    from advisor.models.files.adapters import read_adapter  # noqa: PLC0415 - most workloads have no folder to read

    try:
        return read_adapter(field.path.parent / Path(field.text()).expanduser())
    except InputError as error:
        field.fail(error.message, error.hint)


def _identifier(field: Field) -> str:
    """A name on the hub, or of a folder in a bucket."""
    name = field.text()
    if not _NAME.fullmatch(name):
        field.fail(
            f"'{name}' is no name of an adapter", "write organisation/name as the hub has it, or a folder's name"
        )
    return name


def _targets(field: Field | None) -> tuple[str, ...]:
    if field is None:
        return (ALL,)
    names = field.texts()
    if names in ((ALL,), (_ALL_LINEAR,)):
        return (ALL,)
    return tuple(sorted(field.choices(MODULES)))


def _check_active(field: Field | None, count: int) -> None:
    if field is not None and field.count(1, MOST_ADAPTERS) > count:
        field.fail(
            f"{field.text()} adapters cannot be active, there are {count}", f"give at most {count}, or take it out"
        )
