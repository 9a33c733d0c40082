"""Commitments that end, engines that age, and spot that is taken back."""

import datetime as dt
from collections.abc import Iterator

from advisor.catalog import Catalog
from advisor.catalog.releases import version_of
from advisor.checks.policy import Policy
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.values import Plan
from advisor.units import HOURS_PER_MONTH

RULES = ("CHK401", "CHK402", "CHK403")


def look(plan: Plan, catalog: Catalog, today: dt.date, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """Findings that come with time alone."""
    fleet = plan.fleet
    if fleet is None:
        return
    until = fleet.cost.obligation_until
    if until is not None:
        days = (dt.date.fromisoformat(until) - today).days
        if days <= policy.obligation_ends_within_days:
            told = f"it ended on {until}" if days < 0 else f"it ends on {until}, in {days} days"
            yield "CHK401", "", f"{told}; after that the price on demand is paid", "advisor recommend WORKLOAD"
    for engine, version in sorted({(group.engine, group.engine_version) for group in fleet.groups}):
        yield from _engine(engine, version, fleet, catalog)
    for group in fleet.groups:
        monthly = group.interruptions_per_instance_hour * HOURS_PER_MONTH
        if monthly > policy.spot_interruptions_per_month:
            told = (
                f"{monthly:.2g} interruptions of an instance a month, {policy.spot_interruptions_per_month:g} accepted"
            )
            source = f"{told} ({group.interruptions_source})"
            yield "CHK403", group.name, source, "advisor recommend WORKLOAD"


def _engine(engine: str, version: str, fleet: Fleet, catalog: Catalog) -> Iterator[tuple[str, str, str, str]]:
    """Releases of an engine, on the accelerators that it runs on here, that are newer than the planned one."""
    accelerators = (catalog.known_accelerator(group.accelerator) for group in fleet.groups if group.engine == engine)
    vendors = {accelerator.vendor for accelerator in accelerators if accelerator is not None}
    own = version_of(version)
    newer = sorted(
        release
        for vendor in vendors
        for release in catalog.plannable_releases(engine, vendor)
        if own is not None and release > own
    )
    if newer:
        told = f"{engine} {version} is planned, and {len(set(newer))} newer are known, up to {newer[-1]}"
        yield "CHK402", engine, told, "advisor recommend WORKLOAD --previous PLAN.json"
