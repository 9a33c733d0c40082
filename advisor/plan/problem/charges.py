"""Charges of a region for the requests of a workload: what stands beside its machines, and data transfer."""

from advisor.catalog import Catalog
from advisor.cost.region_charges import Deployed, region_charges, split_usd_per_call
from advisor.cost.response_cache import cache_nodes, cache_rules
from advisor.cost.services import EntranceLoad
from advisor.cost.standing import Machines, RegionCharges
from advisor.performance.transfer import answer_gb, request_gb, sent_gb
from advisor.records import replace
from advisor.requirements import Requirements

Place = tuple[str, str]
"""Provider and region."""


def charges_at(
    requirements: Requirements, catalog: Catalog, place: Place, machines: Machines, peak: float
) -> RegionCharges | None:  # fmt: skip
    """Charges of a region for requests of the demand's size at a peak in requests per second; None: none are known."""
    demand, workload = requirements.demand, requirements.workload
    gb_per_request = request_gb(demand, requirements.model) + answer_gb(demand, requirements.model)
    entrance = EntranceLoad(peak, demand.output_tokens.mean)
    deployed = Deployed(entrance, cache_nodes(workload, catalog, *place), machines)
    charges = region_charges(catalog, *place, gb_per_request, deployed)
    if charges is None:
        return None
    of_cache = tuple(cache_rules(workload, catalog, charges.provider, charges.region))
    return replace(charges, rules=(*charges.rules, *of_cache)) if of_cache else charges


def transfer_usd_per_request(
    requirements: Requirements, catalog: Catalog, place: Place, http_requests: float
) -> float:  # fmt: skip
    """Data transfer of one answer, and what a request sent as several costs more at the load balancer."""
    question = (requirements.demand, requirements.model)
    sent_usd = sent_gb(*question, http_requests) * catalog.egress_usd_per_gb(*place).usd_per_gb
    if http_requests == 1:
        return sent_usd
    whole_gb, split_gb = (request_gb(*question, sent) + answer_gb(*question, sent) for sent in (1.0, http_requests))
    return sent_usd + split_usd_per_call(catalog, *place, whole_gb, (http_requests, split_gb))
