"""Charges beside the machine of a seat: load balancers, gateways, logs and data transfer."""

from advisor.candidates import Candidate
from advisor.catalog import Catalog
from advisor.cost.standing import Machines
from advisor.deployable import logs_requests, needs_cluster, speaks_https
from advisor.plan.problem.charges import Place, charges_at, transfer_usd_per_request
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_MONTH, SECONDS_PER_MONTH

_NVIDIA = "nvidia"


def beside_usd_per_month(
    requirements: Requirements, catalog: Catalog, candidate: Candidate, place: Place, load: tuple[float, int]
) -> float:  # fmt: skip
    """USD a month of a region for a workload there, as of a fleet of its own, to the cent.

    Args:
        requirements: of the workload.
        catalog: prices of services.
        candidate: what serves it.
        place: where.
        load: its mean rate in requests per second, and machines that run all the time.
    """
    rate, copies = load
    peak = requirements.demand.requests_per_second.peak
    charges = charges_at(requirements, catalog, place, _machines(candidate, catalog), peak)
    logged = rate if logs_requests(candidate.engine, catalog) else 0.0
    standing = charges.usd_per_month(logged, rate, float(copies * HOURS_PER_MONTH)) if charges else 0.0
    http_requests = candidate.http_requests(requirements.demand)
    transfer = transfer_usd_per_request(requirements, catalog, place, http_requests) * rate * SECONDS_PER_MONTH
    return round(round(standing, 2) + round(transfer, 2), 2)


def _machines(candidate: Candidate, catalog: Catalog) -> Machines:
    """Machines that code starts for a fleet of such."""
    https = speaks_https(candidate.engine, candidate.engine_version, catalog)
    machine = candidate.instance_type
    if not needs_cluster(machine.provider, machine.name, catalog, https=https):
        return Machines.HOSTS
    return Machines.GPU_NODES if candidate.accelerator.vendor == _NVIDIA else Machines.NODES
