"""Networks of machines as limits of the rates of their replicas."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.candidates import match
from advisor.catalog import load_catalog
from advisor.demand.lengths import declared_demand
from advisor.models.catalog import find_model
from advisor.performance.groups import (
    carried_by_each,
    gb_per_request,
    limit_words,
    uncounted_gbit_per_second,
    within_links,
)
from advisor.performance.model import shipped_model
from advisor.performance.stage import rates_within, serve
from advisor.requirements import require
from advisor.workload.values import Slo
from builders import workload

CATALOG = load_catalog()


@pytest.fixture(scope="module")
def chat():
    """A chat service and the candidates that hold its model."""
    asked = workload(providers=("aws", "gcp", "nebius"))
    requirements = require(asked, find_model(asked.model), declared_demand(5, 8, 800, 200), CATALOG)
    candidates = match(requirements, CATALOG).candidates
    return requirements, candidates


def test_what_a_network_carries_by_hand(chat):
    """An answer of 200 streamed tokens is 50.7 kB: 2.5 Gbit/s carry 4,933 a second, 85 % busy, divided by the replicas."""
    requirements, candidates = chat
    machine = next(each for each in candidates if each.instance_type.name == "g6.xlarge")
    by_hand = 2.5e9 * 1448 / 1538 * 0.85 / (8 * 50_700)
    halves = replace(machine, replicas_per_instance=2)
    assert gb_per_request(machine, requirements) == pytest.approx(50_700e-9)
    assert carried_by_each([machine, halves], requirements) == pytest.approx([by_hand, by_hand / 2])
    assert limit_words(halves, by_hand, requirements) == "network 2.5 Gbit/s"
    assert limit_words(halves, 0.99 * by_hand, requirements) == ""


def test_an_unknown_network_carries_anything(chat):
    """No limit, and no word of one."""
    requirements, candidates = chat
    unknown = next(each for each in candidates if each.instance_type.network_gbit_per_second is None)
    assert carried_by_each([unknown], requirements).tolist() == [np.inf]
    assert limit_words(unknown, 1e9, requirements) == ""


@pytest.mark.parametrize(
    ("known", "gbit_per_second", "target_ms", "told"),
    [
        (False, 1.05, 1000.0, 1.05),
        (False, 0.95, 1000.0, 0.0),
        (False, 0.95, 4.0, 0.95),  # 406 kbit take 0.41 ms at 1 Gbit/s, more than a tenth of 4 ms
        (False, 0.95, 4.1, 0.0),
        (False, 0.95, None, 0.0),
        (True, 1.05, 4.0, 0.0),
    ],
)
def test_an_unknown_network_counts_where_it_may_matter(chat, known, gbit_per_second, target_ms, told):
    """From 1 Gbit/s on, or where a request alone takes a tenth of its target at that; never of a known network."""
    requirements, candidates = chat
    asked = replace(requirements.workload, slo=Slo(latency_ms=target_ms))
    machine = next(each for each in candidates if (each.instance_type.network_gbit_per_second is None) != known)
    rate = gbit_per_second / (gb_per_request(machine, requirements) * 8)

    assert uncounted_gbit_per_second(machine, rate, replace(requirements, workload=asked)) == pytest.approx(told)


def test_token_models_are_as_fast_as_without_networks(chat):
    """No machine of the catalog has so small a network that an answer in tokens waits for it."""
    requirements, candidates = chat
    bare = [
        replace(each, instance_type=replace(each.instance_type, network_gbit_per_second=None)) for each in candidates
    ]
    cases = [(requirements.demand.tokens, requirements.workload.slo)]
    limited, free = (rates_within(each, requirements, shipped_model(), cases) for each in (candidates, bare))
    assert limited.tobytes() == free.tobytes()
    served, free_served = (serve(each, requirements, shipped_model())[0] for each in (candidates, bare))
    assert served
    assert [each.requests_per_second_per_replica for each in served] == [
        each.requests_per_second_per_replica for each in free_served
    ]


def test_no_more_than_the_network_carries_is_served(chat):
    """Value and both ends of the range are cut, and so is what is never taken to be sustained."""
    requirements, candidates = chat
    served, _ = serve(candidates, requirements, shipped_model())
    slow = [
        replace(
            each,
            candidate=replace(
                each.candidate, instance_type=replace(each.candidate.instance_type, network_gbit_per_second=1e-4)
            ),
        )
        for each in served[:5]
    ]
    for each in within_links(slow, requirements):
        (most,) = carried_by_each([each.candidate], requirements)
        assert each.requests_per_second_per_replica.high <= most
        assert each.most_requests_per_second == most
