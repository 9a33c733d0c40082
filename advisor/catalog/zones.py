"""Availability zones that an instance type is sold in.

Names are those of the provider. AWS zones are named by id (``use1-az1``), which is the same in every account, unlike
the name that EC2 takes (``us-east-1a``). Azure numbers zones anew for each subscription. AWS local zones are not
counted, and Google's AI zones only where no ordinary zone sells the type: both depend on an ordinary zone.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from advisor.catalog.readers import Sources
from advisor.records import dataclass, replace
from advisor.tables import read_records

REGION = "*"
"""In place of an instance type in a row that names the zones of the region, whatever is sold there."""
SEPARATOR = ";"
_LEAST_ZONES: Mapping[str, tuple[int, str]] = {
    "aws": (3, "AWS: each region has at least three availability zones"),
    "gcp": (3, "Google Cloud: each region has at least three zones"),
}
"""Zones of a region of which nothing else is known, and who promises them. Azure has regions without zones."""
_DIRECTIONS = {
    "north": "n", "south": "s", "east": "e", "west": "w", "central": "c", "northeast": "ne", "northwest": "nw",
    "southeast": "se", "southwest": "sw", "gov": "g",
}  # fmt: skip
_ZONE_FORMS: Mapping[str, tuple[str, str]] = {
    "aws": (r"{prefix}-(?:[a-z0-9]+-)?az\d+", "zones of AWS go by id, such as {prefix}-az1: names differ by account"),
    "gcp": (r"{region}-[a-z0-9]+", "zones of Google begin with the region, such as {region}-a"),
    "azure": (r"[1-9]", "zones of Azure are numbers, such as 1"),
}
"""Form of a zone's name by provider, and the words that say so."""
_PLAIN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NOT_KNOWN = (1, "no availability zone is known")


@dataclass(frozen=True, slots=True)
class ZoneSupply:
    """Availability zones of a region that sell an instance type."""

    names: tuple[str, ...]
    """Sorted; empty where only their number is known, or the region offers no choice of zone."""
    count: int
    """At least 1."""
    verified: bool
    """The type is listed in these zones; otherwise they are the region's, and it may be sold in fewer of them."""
    source: str
    """Title of the source."""
    as_of: str
    """Date of the data: ISO date, or a month or year where the source says no more; "" when unknown."""


Zones = dict[tuple[str, str], dict[str, ZoneSupply]]
"""Provider and region → instance type → zones; those of the whole region under the type :data:`REGION`."""


def read_zones(path: Path, sources: Sources) -> Zones:
    """Zones of a table whose rows name the types of a region that are sold in the same zones."""
    zones: Zones = {}
    for row in read_records(path):
        origin = sources.of(row)
        supply = listed_zones(filter(None, row.optional_text("zones").split(SEPARATOR)), origin.source, origin.as_of)
        types = row.text("instance_types").split(SEPARATOR)
        zones.setdefault((row.text("provider"), row.text("region")), {}).update(dict.fromkeys(types, supply))
    return zones


def zone_fault(provider: str, region: str, zone: str) -> str:
    """Fault of the name of a zone, in words; "" where it is one of the region's form."""
    form, words = _ZONE_FORMS.get(provider, (_PLAIN, "a zone has letters, digits, dots and hyphens"))
    prefix = _id_prefix(region)
    if re.fullmatch(form.format(prefix=re.escape(prefix), region=re.escape(region)), zone):
        return ""
    return f"{zone!r} is no zone of {region}: {words.format(prefix=prefix, region=region)}"


def _id_prefix(region: str) -> str:
    """Prefix of the ids of AWS's zones of a region: use1 for us-east-1."""
    return "".join(_DIRECTIONS.get(part, part) for part in region.split("-"))


def listed_zones(names: Iterable[str], source: str, as_of: str) -> ZoneSupply:
    """Zones that a source lists; none where the region sells a type without a choice of zone, as if it were one."""
    known = tuple(sorted(names))
    return ZoneSupply(known, max(1, len(known)), verified=True, source=source, as_of=as_of)


def supply_of(zones: Zones, provider: str, region: str, instance_type: str) -> ZoneSupply:
    """Zones of a type in a region: as listed, else those of the region, unverified.

    The region's zones are those of its own row, else all that any type is listed in there, else three on AWS and Google
    Cloud, which promise as many in each region, else one.
    """
    listed = zones.get((provider, region), {})
    if instance_type in listed:
        return listed[instance_type]
    if listed:
        return replace(listed[REGION] if REGION in listed else _seen(listed.values()), verified=False)
    count, source = _LEAST_ZONES.get(provider, _NOT_KNOWN)
    return ZoneSupply((), count, verified=False, source=source, as_of="")


def _seen(supplies: Collection[ZoneSupply]) -> ZoneSupply:
    """Zones that any type is listed in, with source and date of the newest list."""
    newest = max(supplies, key=lambda supply: supply.as_of)
    return listed_zones({name for supply in supplies for name in supply.names}, newest.source, newest.as_of)
