"""Proposed targets, and today's machines under them as a plan sees them."""

from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.demand_sources import measure_demand
from advisor.discovery import Answers, ByLoad, Latency, Launch, Machine, Observed, Service
from advisor.discovery.proposal import proposal_of, settled
from advisor.discovery.workload_text import workload_text
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.plan.request import PlanRequest
from advisor.workload.document import read_workload

CATALOG = load_catalog()
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
DECLARED = Answers(requests_per_second=4.0, input_tokens=700.0, output_tokens=180.0)


def service(latency, by_load=None, hosts=3, purchase="on_demand", name="node-{}"):
    """A service of some replicas on hosts of their own."""
    machines = tuple(Machine(name.format(at), "aws", "us-east-1", "g6e.xlarge", purchase) for at in range(hosts))
    observed = Observed("prometheus", {"url": "http://prometheus:9090"}, latency=latency, by_load=by_load)
    return Service("chat", "here", Launch("vLLM", MODEL), hosts, 1, machines, observed=observed)


def written(tmp_path, observed, peak=1.6):
    """The workload file of a service whose demand is known, and the proposal behind it."""
    proposal = proposal_of(observed, CATALOG)
    stated = proposal_of(replace(observed, observed=None), CATALOG, DECLARED)
    path = tmp_path / "chat.yaml"
    path.write_text(workload_text(replace(stated, slo=proposal.slo, measured=proposal.measured), "14 days"))
    workload = read_workload(path)
    source = replace(workload.demand, peak_requests_per_second=4.0 * peak)
    workload, model = replace(workload, demand=source), find_model(workload.model_reference)
    question = PlanRequest(workload, model, measure_demand(workload, model, CATALOG, shipped_model()))
    proposal = settled(proposal, question, CATALOG)
    text = workload_text(proposal, "14 days")
    path.write_text(text)
    return read_workload(path), proposal, text


def test_machines_that_are_faster_than_predicted_keep_the_targets(tmp_path):
    """Measured and predicted stand in the file, the targets are what was measured, rounded up, and nobody has to buy."""
    by_load = ByLoad(Latency(290.0, 27.0), Latency(300.0, 28.0), 6.0)
    workload, proposal, text = written(tmp_path, service(Latency(300.0, 28.0), by_load))

    assert (workload.slo.ttft_p95_ms, workload.slo.tpot_p95_ms) == (300, 30)
    assert proposal.judged.needed == 3
    assert workload.current.measured.tpot_p95_ms == 28
    assert "# Predictions for L40S are lowered to what today's machines take" in text
    assert "TPOT p95 28 ms measured, " in text


def test_targets_that_a_plan_would_not_confirm_become_looser_and_say_so(tmp_path):
    """A busiest minute far above the rest: the next targets that hold stand in the file, beside those that do not."""
    _, proposal, text = written(tmp_path, service(Latency(300.0, 30.0)), peak=2.0)

    assert proposal.judged.is_looser
    assert 30 < proposal.slo.tpot_p95_ms <= 60
    assert "# Looser than ttft_p95 300ms, tpot_p95 30ms, which a plan would not confirm" in text


def test_only_targets_that_became_looser_are_named(tmp_path):
    """What stays as it was measured is not said to be looser than itself."""
    _, proposal, text = written(tmp_path, service(Latency(600.0, 30.0)), peak=1.8)
    looser = next(line for line in text.splitlines() if line.startswith("# Looser than"))

    assert (proposal.slo.ttft_p95_ms, proposal.slo.tpot_p95_ms) == (600, 40)
    assert looser.startswith("# Looser than tpot_p95 30ms, which")


def test_latency_that_rises_with_load_is_told_and_makes_no_target_looser(tmp_path):
    """The usual latency is the target, which the machines miss when busy, and a plan asks for more of them."""
    busy = ByLoad(Latency(250.0, 25.0), Latency(4000.0, 48.0), 6.0)
    workload, proposal, text = written(tmp_path, service(Latency(900.0, 40.0), busy))

    assert proposal.rises
    assert (workload.slo.ttft_p95_ms, workload.slo.tpot_p95_ms) == (300, 30)
    assert proposal.judged.needed is None or proposal.judged.needed > 3
    assert workload.current.measured is None
    assert "In the busiest twentieth of the time it was ttft_p95 4s, tpot_p95 48ms: today's machines miss" in text
    assert "what users usually got" in text


@pytest.mark.parametrize(("usual", "busiest", "rises"), [(30.0, 44.0, False), (30.0, 46.0, True)])
def test_latency_rises_from_half_as_much_again(usual, busiest, rises):
    """One of the latencies is enough."""
    assert ByLoad(Latency(100.0, usual), Latency(100.0, busiest), 1.0).rises() is rises


def test_redundancy_place_and_engine_stay(tmp_path):
    """Two replicas on two hosts stay two, where they are and on their engine; two on one host or one replica may be one."""
    workload, proposal, _ = written(tmp_path, service(Latency(240.0, 42.0), hosts=5))
    alone = proposal_of(service(Latency(1000.0, 90.0), hosts=1), CATALOG)
    shared = proposal_of(service(Latency(1000.0, 90.0), hosts=2, name="node"), CATALOG)

    assert proposal.judged.may_fail
    assert (workload.limits.min_replicas, workload.limits.survival.value) == (2, "instance")
    assert (workload.providers, workload.regions, workload.engines) == (("aws",), ("us-east-1",), ("vLLM",))
    assert not alone.is_redundant
    assert not shared.is_redundant
    assert "limits:" not in workload_text(alone, "14 days")


def test_machines_that_are_slower_than_predicted_are_not_said_to_be_spare(tmp_path):
    """Their prediction has machines to spare, which users do not get: no target is said to hold without one of them."""
    workload, proposal, text = written(tmp_path, service(Latency(9000.0, 230.0)))

    assert not proposal.judged.may_fail
    assert "the targets hold without any one of them" not in text
    assert (workload.limits.min_replicas, workload.limits.survival.value) == (2, "nothing")


def test_targets_that_no_machine_reaches_by_prediction_begin_at_the_prediction(tmp_path):
    """The file can be planned, says which tighter targets could not, and begins no sentence with a changed key."""
    workload, proposal, text = written(tmp_path, service(Latency(4.77, 4.11)))

    assert proposal.judged.is_looser
    assert proposal.judged.needed == 3
    assert workload.slo.tpot_p95_ms >= 20
    assert "# Looser than ttft_p95 5ms, tpot_p95 5ms, which a plan would not confirm" in text
    assert "# current.measured counts for nothing" in text


def test_latencies_of_many_minutes_are_written_without_powers_of_ten(tmp_path):
    """A workload file reads them back as they were."""
    workload, _, text = written(tmp_path, service(Latency(1_050_000.0, 90.0)))

    assert "ttft_p95: 1050s" in text
    assert workload.current.measured.ttft_p95_ms == 1_050_000


def test_two_replicas_that_are_both_needed_stay_two_without_a_spare(tmp_path):
    """The plan is not made to buy a third: which failure it need not survive is said."""
    workload, proposal, text = written(tmp_path, service(Latency(300.0, 28.0), hosts=2))

    assert not proposal.judged.may_fail
    assert (workload.limits.min_replicas, workload.limits.survival.value) == (2, "nothing")
    assert "`survive: instance` asks that any one of them may fail" in text


def test_spot_machines_without_a_spare_stay_so(tmp_path):
    """Requests of a withdrawn machine wait, as today; the share stands in the file."""
    workload, proposal, _ = written(tmp_path, service(Latency(300.0, 28.0), hosts=2, purchase="spot"))

    assert proposal.judged.waiting_ratio == workload.limits.fault_tolerant_ratio == 0.5
    assert proposal.judged.needed == 2
