"""Terms of an estate (``estate.yaml``), and what its workloads compete for: quota units and owned instances."""

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from advisor.errors import InputError
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.problem.constraints import quota_detail
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.pools import quota_key
from advisor.plan.problem.supply import type_in_region_of
from advisor.plan.problem.values import Pool, Problem
from advisor.plan.solve.program import FleetProgram
from advisor.records import dataclass, replace
from advisor.workload.holds import Holdings
from advisor.workload.planning_fields import read_commitments, read_limits
from advisor.workload.values import OwnedCommitment, QuotaLimit, Workload
from advisor.yaml_fields import read_document

FILE_NAME = "estate.yaml"
_KEYS = ("limits", "commitments", "sharing")
_LIMIT_KEYS = ("quotas", "max_usd_per_month")


class Sharing(StrEnum):
    """Ways in which workloads may share an accelerator."""

    NONE = "none"
    MIG = "mig"
    """In slices of their own: memory, bandwidth and arithmetic are kept apart by the hardware."""
    MPS = "mps"
    """Equal parts of a whole accelerator by MPS too, with limits on memory and threads; faults end all of them."""
    ALL = "all"
    """Taking turns on a whole accelerator too, where nothing keeps them apart."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms that hold for all workloads together."""

    quotas: tuple[QuotaLimit, ...] = ()
    commitments: tuple[OwnedCommitment, ...] = ()
    max_usd_per_month: float | None = None
    sharing: Sharing = Sharing.MIG

    def divided(self, units: Mapping[str, float], instances: Mapping[str, int]) -> "Terms":
        """Terms that one workload gets. *instances*: of each owned commitment, by its type in a region."""
        return replace(
            self,
            quotas=tuple(replace(quota, limit=units[quota_key(quota)]) for quota in self.quotas),
            commitments=tuple(
                replace(owned, count=count)
                for owned in _summed(self.commitments)
                if (count := instances[owned_type_in_region(owned)])
            ),
        )


def owned_type_in_region(owned: OwnedCommitment) -> str:
    """The stand that a commitment is for."""
    return type_in_region_of(owned.provider, owned.region, owned.instance_type)


def _summed(commitments: tuple[OwnedCommitment, ...]) -> list[OwnedCommitment]:
    """One commitment for each type in a region; when it expires no longer matters once it counts."""
    by_expiry = sorted(commitments, key=lambda commitment: commitment.expires)
    return list({owned_type_in_region(commitment): commitment for commitment in by_expiry}.values())


def read_terms(directory: Path) -> Terms:
    """Terms of a directory; without a file nothing is limited or owned. Raises InputError with place and fix."""
    path = directory / FILE_NAME
    if not path.exists():
        return Terms()
    document = read_document(path, FILE_NAME, "take the file out, or see examples/estate/estate.yaml for one")
    fields = document.mapping(_KEYS, dict.fromkeys(_LIMIT_KEYS, "under limits"))
    limits = fields.get("limits")
    if limits is not None:
        limits.mapping(_LIMIT_KEYS)
    stated, sharing = read_limits(limits), fields.get("sharing")
    terms = Terms(stated.quotas, read_commitments(fields.get("commitments")), stated.max_usd_per_month)
    if sharing is None:
        return terms
    return replace(terms, sharing=Sharing(sharing.choice(tuple(way.value for way in Sharing))))


def with_account(terms: Terms, holdings: Holdings | None, today: dt.date) -> Terms:
    """Terms with the quotas and commitments of the account, where ``estate.yaml`` does not say other of the same."""
    if holdings is None:
        return terms
    limited = {quota_key(quota) for quota in terms.quotas}
    owned = {owned_type_in_region(commitment) for commitment in terms.commitments}
    quotas = [quota for quota in holdings.quotas if quota_key(quota) not in limited]
    lasting = [commitment for commitment in holdings.commitments if commitment.expires >= today]
    commitments = [commitment for commitment in lasting if owned_type_in_region(commitment) not in owned]
    return replace(terms, quotas=(*terms.quotas, *quotas), commitments=(*terms.commitments, *commitments))


def under_terms(workload: Workload, terms: Terms) -> Workload:
    """A workload that may use what the estate owns, within its quotas as well as its own.

    Raises InputError if the workload owns instances that the estate owns too.
    """
    own = {owned_type_in_region(commitment) for commitment in workload.commitments}
    for commitment in terms.commitments:
        if owned_type_in_region(commitment) in own:
            raise InputError(
                f"{commitment.instance_type} in {commitment.region} is owned by the workload and by the estate",
                where=workload.where("commitments"),
                hint=f"state it once: here, or in {FILE_NAME} or the overlay file for whoever gains most by it",
            )
    quotas = {quota_key(quota): quota for quota in terms.quotas}
    for quota in workload.limits.quotas:
        shared = quotas.get(quota_key(quota), quota)
        quotas[quota_key(quota)] = min(shared, quota, key=lambda limited: limited.limit)
    return replace(
        workload,
        limits=replace(workload.limits, quotas=tuple(quotas.values())),
        commitments=(*workload.commitments, *terms.commitments),
    )


MARKETS = ("on_demand", "spot")
Resource = tuple[str, str]
"""Name of the constraint and its detail, as plans state them."""
Uses = Mapping[Resource, float]
Row = list[tuple[int, float]]
"""Variables of a program with what one unit of each takes of a resource."""
ENOUGH = 1e-6


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """A shared limit and what is taken of it."""

    constraint: str
    detail: str
    limit: float
    used: float
    unit: str


def uses_of(fleet: Fleet, terms: Terms) -> Uses:
    """Use of everything that the estate shares by a fleet in its busiest hours."""
    shared = limits_of(terms)
    return {
        resource: constraint.used
        for constraint in fleet.constraints
        if (resource := (constraint.name, constraint.detail)) in shared and constraint.used > ENOUGH
    }


def limits_of(terms: Terms) -> dict[Resource, float]:
    """Limit of each resource that the estate shares."""
    limits = {
        (Constraint.QUOTA.value, quota_detail((quota_key(quota), market))): quota.limit
        for quota in terms.quotas
        for market in MARKETS
    }
    for owned in terms.commitments:
        resource = (Constraint.OWNED.value, owned_type_in_region(owned))
        limits[resource] = limits.get(resource, 0.0) + owned.count
    return limits


def allotment(terms: Terms, uses: Uses) -> Terms:
    """The terms of a workload that may take so much, and no more."""

    def used(key: str) -> float:
        return max(uses.get((Constraint.QUOTA.value, quota_detail((key, market))), 0.0) for market in MARKETS)

    units = {quota_key(quota): used(quota_key(quota)) for quota in terms.quotas}
    types_in_region = {owned_type_in_region(commitment) for commitment in terms.commitments}
    instances = {
        type_in_region: round(uses.get((Constraint.OWNED.value, type_in_region), 0.0))
        for type_in_region in types_in_region
    }
    return terms.divided(units, instances)


def totals(uses: Mapping[str, Uses]) -> dict[Resource, float]:
    """Sum over all workloads."""
    sums: dict[Resource, float] = {}
    for use in uses.values():
        for resource, used in use.items():
            sums[resource] = sums.get(resource, 0.0) + used
    return sums


def pool_resources(problem: Problem, pool: Pool) -> set[Resource]:
    """Resources that instances of a pool could take."""
    quotas = {(Constraint.QUOTA.value, quota_detail(key)) for key, units in pool.quotas.items() if units > 0}
    return (
        quotas | {(Constraint.OWNED.value, pool.type_in_region)} if problem.owned.get(pool.type_in_region) else quotas
    )


def rows_of(problem: Problem, program: FleetProgram) -> dict[Resource, Row]:
    """Terms that add up to what a program's fleet takes in its busiest hours."""
    busiest = len(problem.hours) - 1
    rows: dict[Resource, Row] = {
        (Constraint.QUOTA.value, quota_detail(key)): program.quota_terms(key, busiest) for key in problem.quota_limits
    }
    return rows | {
        (Constraint.OWNED.value, type_in_region): program.owned_terms(type_in_region)
        for type_in_region in problem.owned
    }
