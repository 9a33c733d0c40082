"""Slices and shares of accelerators: what they hold, what is predicted of them, and where they are planned."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.candidates import Candidate, judge_hardware
from advisor.catalog import load_catalog
from advisor.codegen import generate
from advisor.cost.services import host_disk_gib
from advisor.demand.lengths import declared_demand
from advisor.models import find_model
from advisor.performance import Evidence
from advisor.performance.model import shipped_model
from advisor.performance.stage import serve
from advisor.pipeline import plan_for
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.solve.stage import best_layouts
from advisor.report.option_words import option_cells
from advisor.report.words import cluster_words, slice_words
from advisor.requirements import require
from advisor.workload.values import DeclaredDemand, Limits, Slo
from builders import catalog_of, offer, workload

CATALOG = load_catalog()
SMALL = "meta-llama/Llama-3.2-3B-Instruct"
A100 = "Standard_NC24ads_A100_v4"


def requirements(model=SMALL, **changes):
    """A small model with short requests."""
    work = workload(model=model, precisions=("bf16",), providers=("aws", "azure", "gcp"), **changes)
    return require(work, find_model(model), declared_demand(0.5, 1, 600, 150), CATALOG)


def outcomes(provider, instance_type, model=SMALL):
    """What is said of an instance type."""
    return list(judge_hardware(CATALOG.instance_type(provider, instance_type), requirements(model), CATALOG))


def slices(found):
    """Slices that hold the model and how many replicas a machine has of them, by whichever engine."""
    held = (candidate for candidate in found if isinstance(candidate, Candidate) and candidate.partition)
    return list(dict.fromkeys((candidate.partition, candidate.replicas_per_instance) for candidate in held))


@pytest.mark.parametrize(
    ("provider", "instance_type", "expected"),
    [
        ("azure", A100, [("mig-1g.10gb", 7), ("mig-1g.20gb", 4), ("mig-2g.20gb", 3), ("mig-3g.40gb", 2)]),
        ("aws", "p4d.24xlarge", [("mig-1g.10gb", 32), ("mig-2g.10gb", 24), ("mig-3g.20gb", 16)]),
        ("aws", "g7e.2xlarge", [("mig-1g.24gb", 4), ("mig-2g.48gb", 2)]),
        ("azure", "Standard_NC144ds_xl_RTXPRO6000BSE_v6", []),
        ("gcp", "g4-standard-24", []),
        ("aws", "g6.xlarge", []),
    ],
)
def test_slices_that_hold_the_model_are_found(provider, instance_type, expected):
    """One replica a slice on every accelerator; not on shares, nor where the provider keeps the accelerator whole."""
    assert slices(outcomes(provider, instance_type)) == expected


def test_slices_too_small_are_rejected_once_with_the_numbers_of_the_largest():
    """Thirty billion parameters fit an A100 and none of its slices: needed and available are those of half of it."""
    found = outcomes("azure", A100, "Qwen/Qwen3-32B")

    (rejection,) = [one for one in found if not isinstance(one, Candidate)]
    assert (rejection.code, rejection.partition) == ("memory", "mig-3g.40gb")
    assert rejection.needed > 60
    assert rejection.available == pytest.approx(0.9 * 39.25)
    assert "in slices mig-3g.40gb: weights" in rejection.message


def test_slices_are_no_copies_that_a_failure_leaves():
    """Seven of one machine fail together: where the whole sustains more, more replicas asked for do not bring them back."""
    asked = requirements(slo=Slo(ttft_p95_ms=2000, tpot_p95_ms=60))
    found = judge_hardware(CATALOG.instance_type("azure", A100), asked, CATALOG)
    preferred = [candidate for candidate in found if isinstance(candidate, Candidate) and not candidate.beside]
    served, _ = serve(preferred, asked, shipped_model())
    rates = np.array([[one.requests_per_second_per_replica.value for one in served]])

    for count in (1, 3):
        kept = [served[at].candidate.partition for at in best_layouts(served, rates, Limits(min_replicas=count))]
        assert kept == [""]


def test_what_one_accelerator_cannot_hold_is_not_tried_in_slices():
    """A model for eight accelerators gets no word on their slices."""
    found = outcomes("aws", "p4d.24xlarge", "meta-llama/Llama-3.3-70B-Instruct")

    assert not any(one.partition for one in found)


def test_a_slice_is_slower_than_the_whole_and_nothing_of_it_was_measured():
    """Each larger slice sustains more, the whole the most; slices and shares rest on the roofline alone."""
    asked = requirements(slo=Slo(ttft_p95_ms=2000, tpot_p95_ms=60))
    machines = (CATALOG.instance_type("azure", A100), CATALOG.instance_type("aws", "g6f.4xlarge"))
    found = [one for machine in machines for one in judge_hardware(machine, asked, CATALOG)]
    served, _ = serve([one for one in found if isinstance(one, Candidate)], asked, shipped_model())
    rate = {
        (one.candidate.instance_type.name, one.candidate.partition): one.requests_per_second_per_replica.value
        for one in served
    }

    sizes = ["mig-1g.10gb", "mig-1g.20gb", "mig-2g.20gb", "mig-3g.40gb", ""]
    rates = [rate[A100, name] for name in sizes]
    assert rates == sorted(rates)
    assert 7 * rates[0] < rates[-1]
    for one in served:
        if one.candidate.partition or one.candidate.instance_type.name == "g6f.4xlarge":
            assert one.evidence is Evidence.ROOFLINE


def test_slices_rank_behind_the_whole_at_its_price():
    """Seven slices cost what the whole costs and sustain less; those that no code cuts are rejected with the reason."""
    work = workload(
        model=SMALL,
        precisions=("bf16",),
        providers=("azure",),
        slo=Slo(tpot_p95_ms=60),
        demand=DeclaredDemand(0.5, 1, 600, 150),
    )
    plan = plan_for(work, catalog_of(offer(A100, "eastus", 3.673, provider="azure")), every_variant=True)

    assert [one.partition for one in plan.options] == ["", "mig-3g.40gb", "mig-2g.20gb", "mig-1g.10gb"]
    assert len({one.cost.compute_usd_per_month for one in plan.options}) == 1
    (rejection,) = [one for one in plan.rejected if one.partition and one.instance_type == A100]
    assert (rejection.code, rejection.needed, rejection.available) == ("not_generated", 1, 0)
    assert "mig-1g.20gb slices; aks cuts them into 1g.10gb, 2g.20gb, 3g.40gb" in rejection.message


def test_slices_are_planned_where_the_overhead_of_one_engine_is_the_limit():
    """Several engines on one H100 sustain what takes two whole ones: the plan takes them, and says what it leaves out."""
    work = workload(
        model="meta-llama/Llama-3.2-1B-Instruct",
        precisions=("fp8",),
        slo=Slo(ttft_p95_ms=1000, tpot_p95_ms=40),
        demand=DeclaredDemand(152, 190, 600, 150),
    )
    plan = plan_for(work, catalog_of(offer("p5.4xlarge", "us-east-1", 4.3)))

    (group,) = plan.fleet.groups
    assert group.partition.startswith("mig-")
    assert group.instances[-1] == 1
    (cut,) = slice_words(plan.fleet)
    slices = f"{group.replicas_per_instance}×{group.partition.removeprefix('mig-')} of H100-SXM"
    assert cut.startswith(f"Slices: each p5.4xlarge serves on {slices}, one replica a slice")
    (told,) = cluster_words(plan.fleet)
    assert "nodes of an EKS cluster in us-east-1" in told
    assert "fee ($73.00 a month) is in the total" in told
    items = {charge.item for charge in plan.fleet.standing}
    assert {"gateway", "cluster"} <= items
    assert "load_balancer" not in items
    assert group.disk_gib == host_disk_gib(0.0, None)  # the weights of each slice lie on the machine's own disks
    assert generate(plan).targets == ("eks",)
    (need,) = plan.fleet.quotas
    assert need.needed_while_replaced == (1 + 2 * 2) * 16
    assert "80 in us-east-1 (5 × 16)" in generate(plan).files["README.md"].replace("\\", "")


def test_an_option_in_slices_says_so_and_survives_its_file():
    """The table counts slices and names what they are cut from; the JSON keeps them."""
    work = workload(model=SMALL, precisions=("bf16",), providers=("azure",), slo=Slo(tpot_p95_ms=60))
    plan = plan_for(work, catalog_of(offer(A100, "eastus", 3.673, provider="azure")), every_variant=True)
    option = replace(plan.options[0], partition="mig-1g.20gb", replicas_per_instance=4)

    assert "4×1g.20gb of A100-80GB-PCIe" in option_cells(option)
    assert plan_from_json(plan_to_json(replace(plan, recommended=option))).recommended.partition == "mig-1g.20gb"
