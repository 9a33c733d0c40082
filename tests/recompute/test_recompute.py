"""A second, plain implementation recomputes plans from the shipped tables alone."""

import ast
import copy
from functools import cache
from pathlib import Path

import pytest

from advisor.performance.model import shipped_model
from advisor.pipeline import BRIEF, answer
from advisor.plan.plain_values import to_plain
from recompute.differences import differences
from recompute.drawn import drawn
from recompute.drawn_gguf import drawn_gguf
from recompute.drawn_kinds import drawn_kind

QUESTIONS = {
    "on demand, by the hour": 24,
    "a commitment": 25,
    "a service may scale to zero": 26,
    "users in two places": 36,
    "on spot at Google, by the hour": 37,
    "a commitment at Azure": 14,
    "spot of two kinds": 64,
    "half of it on spot": 55,
    "a quota": 60,
    "fewer replicas than a machine has": 1021,
    "two regions, by the hour": 1028,
    "a commitment that is held": 20_002,
    "a commitment that is held, without a disk": 101_137,
    "a precision that loses less, of other layouts": 110_346,
    "a load that takes a millionth of an instance": 113_823,
    "neighbours that an even load makes dearer": 116_597,
    "a commitment of users in two places": 405_796,
    "a mix for users in two places": 405_016,
}
KINDS = {
    "speech of many lengths, on spot and commitments": 1000,
    "speech on spot, of few replicas at least": 21,
    "texts on processors": 1001,
    "texts on two accelerators": 1003,
    "texts on spot": 1009,
    "texts of many lengths": 1023,
    "images on processors at Azure": 1026,
    "nodes of accelerators in one region, of processors in another": 318,
}
"""Questions about models that answer in one pass."""
GGUF = {
    "a spot fleet in 16 bit": 2,
    "blocks of 8 bit": 24,
    "blocks of 4 bit at Azure": 27,
}
"""Questions about small models that llama.cpp serves."""
CHANGES = {
    "price": ("fleet groups 0 instance_usd_per_hour", 1.001, "USD per hour"),
    "compute": ("fleet groups 0 compute_usd_per_month", 1.0001, "compute"),
    "disks": ("fleet cost disks_usd_per_month", 1.001, "disks"),
    "starts": ("fleet cost starts_usd_per_month", 1.01, "starts"),
    "transfer": ("fleet cost transfer_usd_per_month", 1.001, "transfer"),
    "switching": ("fleet cost switching_usd_per_month", 1.01, "switching"),
    "total": ("fleet cost total_usd_per_month", 1.0001, "total"),
    "weights": ("fleet groups 0 weights_gib", 1 + 1e-9, "weights"),
    "checkpoint": ("fleet groups 0 checkpoint_gib", 1 + 1e-9, "checkpoint"),
    "capacity": ("fleet hour_classes 4 planned_requests_per_second", 100, "requests/s are carried"),
    "failures": ("fleet failures 0 left_ratio", 1.001, "failure of"),
    "limit": ("workload limits min_replicas", 1000, "fewer replicas"),
    "standing": ("fleet standing 0 usd_per_month", 1.01, "load_balancer"),
    "gateway": ("fleet standing 6 quantity", 1.01, "nat_gateway"),
    "line": ("fleet cost_lines 1 quantity", 1.001, "of aws"),
    "static peak": ("fleet static_peak compute_usd_per_month", 1.01, "static peak"),
    "saving": ("savings ratio", 1.01, "saved, share"),
    "today": ("current usd_per_hour", 1.01, "today"),
}


@cache
def plan_of(number):
    """Plain values of a question's brief plan, with every bit."""
    question, catalog = drawn(number)
    return to_plain(answer(question, catalog, shipped_model(), BRIEF).plan)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_plan_is_what_the_tables_come_to(kind):
    """Costs are equal to the cent, memory to the byte, and the load, floors and failures are as printed."""
    found, compared = differences(plan_of(QUESTIONS[kind]))

    assert found == []
    assert compared > 30


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_of_another_kind_is_what_the_tables_come_to(kind):
    """Of machines without an accelerator too, and with the bytes that requests of the kind have."""
    question, catalog = drawn_kind(KINDS[kind])
    found, compared = differences(to_plain(answer(question, catalog, shipped_model(), BRIEF).plan))

    assert found == []
    assert compared > 60


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", GGUF)
def test_a_plan_of_llama_cpp_is_what_the_tables_come_to(kind):
    """Blocks of GGUF to the byte, their published weights on the same disk, and their conversion in each start."""
    question, catalog = drawn_gguf(GGUF[kind])
    plan = to_plain(answer(question, catalog, shipped_model(), BRIEF).plan)
    assert plan["fleet"]["groups"][0]["engine"] == "llama.cpp server"
    found, compared = differences(plan)

    assert found == []
    assert compared > 60


@pytest.mark.parametrize("kind", CHANGES)
def test_a_number_that_is_changed_is_found(kind):
    """A plan of which one number is another differs from what is recomputed."""
    path, factor, told = CHANGES[kind]
    plan = copy.deepcopy(plan_of(QUESTIONS["on demand, by the hour"]))
    *way, last = (int(step) if step.isdecimal() else step for step in path.split())
    place = plan
    for step in way:
        place = place[step]
    place[last] = place[last] * factor or 5.0

    found, _ = differences(plan)

    assert any(told in difference for difference in found)


def test_what_a_failure_leaves_is_recomputed_where_users_are_in_two_places():
    """Each instance then carries another rate of the mix than is planned of it."""
    plan = copy.deepcopy(plan_of(QUESTIONS["a mix for users in two places"]))
    assert all("mix_requests_per_second_per_instance" in group for group in plan["fleet"]["groups"])
    plan["fleet"]["failures"][0]["left_ratio"] *= 1.001

    found, _ = differences(plan)

    assert len(found) == 1
    assert "failure of" in found[0]


def test_the_second_implementation_shares_no_line_with_the_product():
    """Its modules import nothing of the product."""
    for name in ("facts", "kinds", "memory", "money", "capacity", "differences"):
        tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}

        assert not [module for module in imported if module.startswith("advisor")]
