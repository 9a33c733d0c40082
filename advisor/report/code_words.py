"""Code in the verdict: what it does not start, what has to be there for it, and what clients send."""

from collections.abc import Iterator

from advisor.plan.fleet.beside import CLUSTER_OF_SLICES, ITS_CLUSTER
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.unit_words import split_words
from advisor.report.words import hardware_words

_LEFT_OUT = {ITS_CLUSTER: ", other nodes and what requests enter by", CLUSTER_OF_SLICES: " and other nodes"}
"""What a total leaves out beside the fee of a cluster, by the assumption of its line."""
_CLUSTERS = {"aws": "an EKS cluster", "azure": "an AKS cluster", "gcp": "a GKE cluster"}


def code_words(fleet: Fleet) -> Iterator[str]:
    """Groups that are started by hand."""
    told = dict.fromkeys(group.not_generated for group in fleet.groups if group.not_generated)
    if told:
        yield f"Code: {' and '.join(told)}; its machines are started by hand."


def slice_words(fleet: Fleet) -> Iterator[str]:
    """Machines whose accelerators are cut, and into what."""
    cut = dict.fromkeys((group.instance_type, hardware_words(group)) for group in fleet.groups if group.partition)
    for machine, slices in cut:
        yield f"Slices: each {machine} serves on {slices}, one replica a slice; nodes of a cluster cut them."


def cluster_words(fleet: Fleet) -> Iterator[str]:
    """Costs of a cluster of which code starts nodes, which are in no total."""
    for line in fleet.cost_lines:
        if line.item == "cluster" and line.assumes in _LEFT_OUT:
            provider, _, region = line.place.partition("/")
            fee = "" if line.usd_per_month is None else f" (${line.usd_per_month:,.2f} a month)"
            yield (
                f"Cluster: these are nodes of {_CLUSTERS[provider]} in {region} that has to be there; its fee{fee}"
                f"{_LEFT_OUT[line.assumes]} are not in the total."
            )


def client_words(fleet: Fleet) -> Iterator[str]:
    """Calls whose items clients have to send by themselves."""
    split = [group for group in fleet.groups if group.http_requests_per_call > 1]
    if split:
        words = split_words(fleet.unit, split[0].http_requests_per_call, dict.fromkeys(group.engine for group in split))
        yield f"Calls: {words}."
