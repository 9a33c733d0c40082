"""Google Cloud: zones that sell machine types and accelerators, from the Compute Engine API.

Facts: https://cloud.google.com/compute/docs/reference/rest/v1/machineTypes/aggregatedList and
.../acceleratorTypes/aggregatedList, read in November 2026.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from advisor.catalog.refresh.http import Client, token_pages
from advisor.catalog.refresh.values import Row, Task, ZoneRow
from advisor.catalog.values import InstanceType
from advisor.records import dataclass

URL = "https://compute.googleapis.com/compute/v1"
_PAGE = 500
_ATTACHED = "+"
"""Between the machine and the accelerators that are attached to it, as in ``n1-standard-8+1xT4``."""
_ACCELERATORS: Mapping[str, str] = {
    "T4": "nvidia-tesla-t4",
    "P4": "nvidia-tesla-p4",
    "P100": "nvidia-tesla-p100",
    "V100-16GB": "nvidia-tesla-v100",
}
"""Accelerators that are attached to a machine → their type at Google."""
_REMEDY = "give a project, and a token that may list machine types (compute.viewer): --gcp-project, --gcp-token-file"

_AI_ZONE = re.compile(r"-ai\d+[a-z]*$")

_Zones = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Project:
    """Whom to ask as."""

    name: str
    client: Client
    """With an access token."""
    url: str = URL


def tasks(machines: Sequence[InstanceType], project: Project) -> Iterator[Task]:
    """One task: both lists name every zone."""
    yield Task("all/zones", "", "zones", partial(_read, machines, project))


def _read(machines: Sequence[InstanceType], project: Project) -> Iterator[Row]:
    families = sorted({machine.name.partition("-")[0] for machine in machines if ":" not in machine.name})
    types = _zones_by_name(project, "machineTypes", f'name eq "({"|".join(families)})-.*"')
    accelerators = _zones_by_name(project, "acceleratorTypes", "")
    for machine in machines:
        base, is_attached, _ = machine.name.partition(_ATTACHED)
        zones = types.get(base, frozenset())
        if is_attached:
            zones &= accelerators.get(_ACCELERATORS.get(machine.accelerator, ""), frozenset())
        yield from _rows(machine.name, zones)


def _rows(name: str, zones: Iterable[str]) -> Iterator[Row]:
    """Zones of a type, without AI zones where an ordinary zone of the region sells it: they depend on that zone."""
    ordinary = {_region_of(zone) for zone in zones if not _AI_ZONE.search(zone)}
    for zone in sorted(zones):
        if not _AI_ZONE.search(zone) or _region_of(zone) not in ordinary:
            yield ZoneRow(_region_of(zone), name, zone)


def _region_of(zone: str) -> str:
    return zone.rpartition("-")[0]


def _zones_by_name(project: Project, what: str, wanted: str) -> _Zones:
    """Name of a type → zones that have it."""
    zones: dict[str, set[str]] = {}
    parameters = {"maxResults": str(_PAGE)} | ({"filter": wanted} if wanted else {})
    address = f"{project.url}/projects/{project.name}/aggregated/{what}"
    for page in token_pages(project.client, address, parameters, _REMEDY):
        for scope, listed in page.get("items", {}).items():
            for item in listed.get(what, ()):
                zones.setdefault(item["name"], set()).add(scope.rpartition("/")[2])
    return {name: frozenset(found) for name, found in zones.items()}
