"""Questions that cannot be answered as they are asked: each names its field, the two numbers and what to do."""

import json
import resource
from datetime import UTC, datetime, timedelta

import pytest

CHAT = {
    "name": "chat",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "precisions": ["bf16"],
    "slo": {"ttft_p95": "1s", "tpot_p95": "60ms"},
    "demand": {"declared": {"requests_per_second": 5, "input_tokens": 800, "output_tokens": 200}},
    "providers": ["aws"],
    "regions": ["us-east-1"],
    "accelerators": ["L40S"],
    "purchase": ["on_demand"],
}
TPU = {"providers": ["gcp"], "regions": ["us-central1"], "accelerators": ["TPU-v6e"]}


def write(folder, **changes):
    """A workload file; JSON is YAML too."""
    path = folder / "workload.yaml"
    path.write_text(json.dumps(CHAT | changes, indent=1))
    return path


def declared(rate, **changes):
    """Demand stated as a rate."""
    stated = {"requests_per_second": rate, "input_tokens": 800, "output_tokens": 200}
    return {"demand": {"declared": stated | changes}}


REFUSED = {
    "an accelerator that nobody sells there": (
        {"accelerators": ["TPU-v6e"]}, 1,
        ["accelerators: 0 of the", "offers of TPU-v6e are within the providers and regions", "gcp asia-east1"],
    ),
    "an unknown accelerator": ({"accelerators": ["H1000"]}, 1, ["accelerators[0]", "'H1000'", "did you mean"]),
    "an unknown engine": ({"engines": ["vllmm"]}, 1, ["engines[0]", "'vllmm'", "did you mean vLLM"]),
    "an engine like no other": ({"engines": ["foo"]}, 1, ["engines[0]", "'foo'", "known: ", "vLLM"]),
    "a type that is held and excluded": (
        {"instance_types": ["g6e.xlarge"], "exclude": {"instance_types": ["g6e.xlarge"]}}, 1,
        ["exclude.instance_types", "g6e.xlarge is asked for under instance_types and excluded", "take a name out"],
    ),
    "a type with another accelerator": (
        {"instance_types": ["g6e.xlarge"], "accelerators": ["H100-SXM"]}, 1,
        ["accelerators: 2 offers of H100-SXM", "the other keys leave 0 of them", "change accelerators"],
    ),
    "a zone may fail, one is asked for": (
        {"limits": {"survive": "zone"}}, 1, ["limits.survive", "contradicts zones: 1", "give zones: 2"],
    ),
    "a zone may fail, one is sold": (
        TPU | {"limits": {"survive": "zone", "zones": 2}}, 4,
        ["sold in one zone of us-central1, and limits.zones asks for 2", "lower limits.zones"],
    ),
    "fewer replicas at most than at least": (
        {"limits": {"min_replicas": 5, "max_replicas": 2}}, 1,
        ["limits.max_replicas: max_replicas 2 contradicts min_replicas 5", "raise max_replicas"],
    ),
    "nothing on demand, half of it asked for": (
        {"purchase": ["spot"], "limits": {"on_demand_base_ratio": 0.5}}, 1,
        ["limits.on_demand_base_ratio: on_demand_base_ratio 0.5 contradicts purchase: [spot]", "add on_demand to purchase"],
    ),
    "commitments without history": (
        {"purchase": ["commitment"]}, 1,
        ["purchase", "a commitment takes 14 days of history, none of them known", "limits.commit_without_history: true"],
    ),
    "a budget below every fleet": (
        {"limits": {"max_usd_per_month": 10}}, 4, ["raise limits.max_usd_per_month from 10 to"],
    ),
    "a rate beyond what is planned": (
        declared(1e6), 1, ["demand: 1,000,000 requests/s", "more than the 10,000", "plan 100 equal workloads"],
    ),
    "more instances than a fleet has": (
        {"current": {"provider": "aws", "region": "us-east-1", "instance_type": "g5.xlarge", "count": 100_001}}, 1,
        ["current.count: 100001 is out of range", "at most 100,000"],
    ),
    "a rate of nothing": (declared(0), 1, ["requests_per_second: 0 is out of range", "give a number above 0"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_question_without_an_answer_says_why_and_what_to_do(tmp_path, run_advisor, case):
    """The field, the two numbers and the remedy; no traceback."""
    changes, code, expected = REFUSED[case]

    done = run_advisor("recommend", write(tmp_path, **changes))

    assert done.returncode == code, done.stderr
    told = " ".join(done.stderr.split())
    for words in expected:
        assert words in told
    assert "Traceback" not in done.stderr


@pytest.mark.sampled(4)
@pytest.mark.parametrize("rate", [1e-9, 1e-7, 1e-6, 1e-3, 300.0])
def test_extreme_rates_are_answered(tmp_path, run_advisor, rate):
    """From a request in eleven days to hundreds a second there is a fleet."""
    done = run_advisor("recommend", write(tmp_path, **declared(rate)), "--format", "json")

    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["fleet"]["confirmed"]["reached"]
    (group,) = plan["fleet"]["groups"]
    planned = plan["fleet"]["hour_classes"][-1]["planned_requests_per_second"]
    assert max(group["instances"]) * group["planned_requests_per_second_per_instance"] >= planned


def trace(folder, seconds):
    """A trace with a request at each of these seconds."""
    path, start = folder / "trace.csv", datetime(2026, 11, 2, tzinfo=UTC)
    lines = [f"{(start + timedelta(seconds=one)).isoformat()},800,200" for one in seconds]
    path.write_text("\n".join(["timestamp,input_tokens,output_tokens", *lines]) + "\n")
    return path


def test_a_history_of_one_minute_is_enough_for_a_plan(tmp_path, run_advisor):
    """It is planned for as it was seen, and nothing is committed on it."""
    source = trace(tmp_path, range(60))
    work = write(tmp_path, demand={"trace": str(source)}, purchase=["on_demand", "commitment"])

    done = run_advisor("recommend", work, "--format", "json")

    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert {group["purchase"] for group in plan["fleet"]["groups"]} == {"on_demand"}
    assert plan["fleet"]["cost"]["obligation_usd"] == 0


def test_many_spikes_are_planned_for(tmp_path, run_advisor):
    """Twenty thousand bursts of three requests in under three days: a fleet that its replay confirms."""
    source = trace(tmp_path, [12 * burst for burst in range(20_000) for _ in range(3)])

    done = run_advisor("recommend", write(tmp_path, demand={"trace": str(source)}), "--format", "json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fleet"]["confirmed"]["reached"]


@pytest.mark.parametrize("command", ["recommend", "levers"])
def test_a_burst_of_thousands_at_one_moment_is_refused(tmp_path, run_advisor, command):
    """Both numbers, the source and what to do, in seconds: it took minutes, for hundreds of machines that idle."""
    source = trace(tmp_path, sorted([*range(1_500), *[900.001] * 30_000]))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = run_advisor(command, write(tmp_path, demand={"trace": str(source)}))

    assert done.returncode == 1, done.stdout
    assert f"error: {source}: about " in done.stderr
    assert " requests come within one second of the busiest minute, 60 times its mean of 501 requests/s" in done.stderr
    assert "more than the 5,000 that are planned for at once" in done.stderr
    assert "demand.batch" in done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 5


def lone_minute(folder, rate, hours, lone):
    """A trace at a steady rate, with so many requests more in a minute half way."""
    steady = [second / rate for second in range(int(rate * 3600 * hours))]
    return trace(folder, sorted([*steady, *(1800 * hours + 60 * one / lone for one in range(lone))]))


def test_a_lone_minute_of_10_000_requests_is_told_and_not_what_the_fleet_is_bought_for(tmp_path, run_advisor):
    """The minute, both numbers and the remedy stand in the verdict, once; planner and replay have the lower one."""
    path = write(tmp_path, demand={"trace": str(lone_minute(tmp_path, 0.1, 30, 10_000))})
    shown, done = run_advisor("recommend", path), run_advisor("recommend", path, "--format", "json")

    assert (shown.returncode, done.returncode) == (0, 0), done.stderr
    told, plan = " ".join(shown.stdout.split()), json.loads(done.stdout)
    capped, (group,) = plan["demand"]["capped"], plan["fleet"]["groups"]
    assert max(group["instances"]) == 1
    assert plan["fleet"]["confirmed"]["reached"]
    assert capped["counted_requests_per_second"] == plan["demand"]["requests_per_second"]["peak"] == 1.0
    assert "1 of 1,798 minutes have up to 167 requests/s (2026-11-02T15:00Z)" in told
    assert told.count("counted at 1, in the replay too; to plan for it in full, state demand.declared") == 1
    assert "peak_requests_per_second: 167;" in told
    assert "1 in the busiest minute counted" in told


def test_a_refusal_names_the_lone_minute_in_its_first_line(tmp_path, run_advisor):
    """One replica at most: what a lone minute counts is still too much for it, and the minute is to be looked at first."""
    demand = {"trace": str(lone_minute(tmp_path, 5, 2, 12_000))}
    path = write(tmp_path, demand=demand, limits={"max_replicas": 1})
    done = run_advisor("recommend", path)

    assert done.returncode == 4, done.stdout
    headline, error = done.stdout.split("\n  - ")[0], done.stderr.split("error: ")[1]
    for first in (headline, error.split("hint:")[0]):
        assert "the minute 2026-11-02T01:00Z with 205 requests/s is counted at 50" in " ".join(first.split())
    assert "to plan for it in full, state demand.declared with peak_requests_per_second: 205" in error.split("hint:")[1]


def test_a_rung_without_a_fleet_says_so_on_its_row(tmp_path, run_advisor):
    """A target that the accelerator of today misses: its rungs have no fleet and say why."""
    current = {"provider": "aws", "region": "us-east-1", "instance_type": "g4dn.xlarge", "count": 1}
    work = write(tmp_path, current=current, slo={"tpot_p95": "12ms"}, accelerators=["H100-SXM"])

    done = run_advisor("recommend", work, "--format", "json")

    rungs = {one["rung"]: one for one in json.loads(done.stdout)["ladder"]}
    assert rungs["resize"]["total_usd_per_month"] is None
    assert rungs["resize"]["why_none"]
    assert all(bool(one["why_none"]) == (one["total_usd_per_month"] is None) for one in rungs.values())
