"""Distances of places in milliseconds of network, and the zones of regions.

Names of zones are those of the provider. AWS zones are named by id (``use1-az1``), the same in every account, unlike
the name that EC2 takes (``us-east-1a``). Azure numbers zones anew for each subscription. AWS local zones are not
counted, and Google's AI zones only where no ordinary zone sells the type: both depend on an ordinary zone.
"""

import math
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from advisor.catalog.planning import Latency, Place
from advisor.catalog.readers import Sources
from advisor.catalog.values import Provenance, Quality, Region
from advisor.errors import InputError
from advisor.names import normalised, suggestion
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
    prefix = "".join(_DIRECTIONS.get(part, part) for part in region.split("-"))
    if re.fullmatch(form.format(prefix=re.escape(prefix), region=re.escape(region)), zone):
        return ""
    return f"{zone!r} is not a zone of {region}: {words.format(prefix=prefix, region=region)}"


def listed_zones(names: Iterable[str], source: str, as_of: str) -> ZoneSupply:
    """Zones that a source lists; none where the region sells a type without a choice of zone, as if it were one."""
    zones = tuple(sorted(names))
    return ZoneSupply(zones, max(1, len(zones)), verified=True, source=source, as_of=as_of)


def supply_of(zones: Zones, provider: str, region: str, instance_type: str) -> ZoneSupply:
    """Zones of a type in a region: as listed, else those of the region, unverified.

    The region's zones are those of its own row, else all that any type is listed in there, else three on AWS and Google
    Cloud, which promise as many in each region, else one.
    """
    listed = zones.get((provider, region), {})
    if instance_type in listed:
        return listed[instance_type]
    if REGION in listed:
        return replace(listed[REGION], verified=False)
    if listed:
        newest = max(listed.values(), key=lambda supply: supply.as_of)
        names = {name for supply in listed.values() for name in supply.names}
        return replace(listed_zones(names, newest.source, newest.as_of), verified=False)
    count, source = _LEAST_ZONES.get(provider, _NOT_KNOWN)
    return ZoneSupply((), count, verified=False, source=source, as_of="")


_EARTH_RADIUS_KM = 6371.0
_MATRIX = "azure"
"""The provider whose own measurements are new and nearly complete."""
_ACCESS_MS_PER_KM = 0.016
_SHORT_KM, _SHORT_MS, _SHORT_MS_PER_KM = 2000.0, 4.0, 0.020
_LINE_MS, _LINE_MS_PER_KM = 25.9, 0.0143
_SAME = Provenance("Within a region: less than these tables resolve", "", Quality.DERIVED)
_BY_DISTANCE = Provenance("Straight-line fit to the matrix of Azure regions", "", Quality.DERIVED)
_BY_SHORT_DISTANCE = Provenance("Distance at 20 µs per km and 4 ms of access", "", Quality.DERIVED)

Point = tuple[float, float]
"""Latitude and longitude in degrees."""


@dataclass(frozen=True, eq=False)
class Geography:
    """Regions, places and the measured round trips between regions."""

    regions: Mapping[tuple[str, str], Region]
    places: Mapping[str, Place]
    measured: Mapping[tuple[str, str, str], Latency]

    def between_regions(self, provider: str, first: str, second: str) -> Latency | None:
        """Round trip between two regions of a provider: measured, else estimated; None where one has no position."""
        if first == second:
            return Latency(0.0, _SAME)
        measured = self._pair(provider, first, second)
        if measured is not None:
            return measured
        start, end = self._point_of(provider, first), self._point_of(provider, second)
        return None if start is None or end is None else self._estimate(start, end)

    def from_place(self, place: Place, provider: str, region: str) -> Latency | None:
        """Round trip from users to a region without their last mile; None where the region has no position."""
        end = self._point_of(provider, region)
        return None if end is None else self._estimate((place.latitude_degrees, place.longitude_degrees), end)

    def place(self, name: str) -> Place:
        """The place of a name, a country (by name or code) or a city, however it is spelled.

        Raises InputError if it is unknown, or a country that is too large for one point.
        """
        wanted = normalised(name)
        match = self._named.get(wanted)
        if match is None:
            parts = [place.name for place in self.places.values() if wanted in _country_names(place)]
            if parts:
                raise InputError(f"'{name}' is too large to be one place", hint=f"choose among {', '.join(parts)}")
            words = {word: None for place in self.places.values() for word in (place.name, place.title, place.country)}
            raise InputError(f"unknown place: '{name}'", hint=suggestion(name, tuple(words)))
        return match

    def _pair(self, provider: str, first: str, other: str) -> Latency | None:
        return self.measured.get((provider, *sorted((first, other))))  # type: ignore[arg-type]

    def _point_of(self, provider: str, region: str) -> Point | None:
        position = self.regions.get((provider, region))
        return None if position is None else _position(position)

    def _estimate(self, start: Point, end: Point) -> Latency:
        """The smallest of what the rules give.

        Measured between the nearest Azure regions, plus 16 µs per km to each of them; under 2,000 km also
        4 ms + 20 µs per km. Against measured pairs of AWS and Google the median error is 9 and 14 ms, p90 26 and
        31 ms. Where neither applies, the line 25.9 ms + 14.3 µs per km through Azure's matrix: 19 ms, p90 56 ms.
        """
        distance_km = great_circle_km(start, end)
        estimates = list(self._through_matrix(start, end))
        if distance_km < _SHORT_KM:
            estimates.append(Latency(_SHORT_MS + _SHORT_MS_PER_KM * distance_km, _BY_SHORT_DISTANCE))
        fallback = Latency(_LINE_MS + _LINE_MS_PER_KM * distance_km, _BY_DISTANCE)
        return min(estimates, key=lambda latency: latency.rtt_ms, default=fallback)

    def _through_matrix(self, start: Point, end: Point) -> Iterable[Latency]:
        (start_km, first), (end_km, second) = self._nearest(start), self._nearest(end)
        measured = self._pair(_MATRIX, first, second)
        if measured is not None:
            source = measured.provenance
            provenance = Provenance(f"{source.source}, nearest regions", source.as_of, Quality.DERIVED)
            yield Latency(measured.rtt_ms + _ACCESS_MS_PER_KM * (start_km + end_km), provenance)

    def _nearest(self, point: Point) -> tuple[float, str]:
        """Distance to and name of the nearest region of the matrix."""
        nearest = self._nearest_known.get(point)
        if nearest is None:
            nearest = min((great_circle_km(point, there), name) for name, there in self._matrix_points.items())
            self._nearest_known[point] = nearest
        return nearest

    @cached_property
    def _nearest_known(self) -> dict[Point, tuple[float, str]]:
        return {}

    @cached_property
    def _matrix_points(self) -> Mapping[str, Point]:
        names = {name for provider, *pair in self.measured if provider == _MATRIX for name in pair}
        points = ((name, self._point_of(_MATRIX, name)) for name in sorted(names))
        return {name: point for name, point in points if point is not None}

    @cached_property
    def _named(self) -> Mapping[str, Place]:
        """Places by every spelling: name before city, country where it is one place, city of a region last."""
        cities = (_city(region) for region in self.regions.values())
        named = {normalised(city.title): city for city in cities if city is not None}
        for place in self.places.values():
            named[normalised(place.title)] = place
        for place in self.places.values():
            if normalised(place.name) in _country_names(place):
                named |= dict.fromkeys(_country_names(place), place)
        return named | {normalised(place.name): place for place in self.places.values()}


def great_circle_km(start: Point, end: Point) -> float:
    """Distance over the surface of a sphere (haversine formula)."""
    latitude, longitude, other_latitude, other_longitude = map(math.radians, (*start, *end))
    square = (
        math.sin((other_latitude - latitude) / 2) ** 2
        + math.cos(latitude) * math.cos(other_latitude) * math.sin((other_longitude - longitude) / 2) ** 2
    )
    return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, square)))


def _position(region: Region) -> Point | None:
    if region.latitude_degrees is None or region.longitude_degrees is None:
        return None
    return region.latitude_degrees, region.longitude_degrees


def _country_names(place: Place) -> tuple[str, str]:
    return normalised(place.country_iso2), normalised(place.country)


def _city(region: Region) -> Place | None:
    point = _position(region)
    if point is None or not region.city:
        return None
    return Place(region.city, region.city, "", region.country_iso2, *point, region.provenance)
