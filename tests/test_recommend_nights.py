"""Business hours: a small machine at night in place of one that idles beside the large one by day."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[1] / "examples/chat/demand.json"
WORKLOAD = """\
name: office
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [fp8]
slo: {ttft_p95: 1s, tpot_p95: 60ms}
demand: {summary: demand.json}
providers: [aws]
regions: [us-east-2]
instance_types: [g6e.xlarge, p5.4xlarge]
limits: {simplicity: 0}
scaling: {take_turns: true}
"""
DAYS = 15


def office_hours(tmp_path) -> Path:
    """A workload with 16.5 requests per second from 08:00 to 20:00 and 0.5 at night, with the lengths of an example."""
    start, rng = datetime(2026, 10, 5, tzinfo=UTC), np.random.default_rng(0)
    minutes = [start + timedelta(minutes=minute) for minute in range(DAYS * 24 * 60)]
    counts = [int(rng.poisson(60 * (16.5 if 8 <= minute.hour < 20 else 0.5))) for minute in minutes]
    demand = json.loads(EXAMPLE.read_text())
    cells, requests = demand["token_cells"], sum(counts)
    factor = requests / sum(cell["requests"] for cell in cells)
    for cell in cells:
        cell["requests"] = max(1, round(cell["requests"] * factor))
    most = max(cells, key=lambda cell: cell["requests"])
    most["requests"] += requests - sum(cell["requests"] for cell in cells)
    demand |= {
        "requests": requests,
        "requests_per_minute": counts,
        "start": "2026-10-05T00:00Z",
        "window_seconds": DAYS * 86_400.0,
        "dispersion": dict.fromkeys(("one_second", "ten_seconds", "tenth_second"), 1.0),
    }
    demand.pop("token_cells_by_hour", None)
    (tmp_path / "demand.json").write_text(json.dumps(demand))
    (tmp_path / "workload.yaml").write_text(WORKLOAD)
    return tmp_path / "workload.yaml"


def test_a_small_machine_serves_the_nights_alone(tmp_path, run_advisor):
    """It is off in the busiest hours, the large one in the quietest; the replay confirms it, and nothing is spare."""
    done = run_advisor("recommend", office_hours(tmp_path), "--format", "json", "-o", tmp_path / "plan.json")
    assert done.returncode == 0, done.stderr
    plan = json.loads((tmp_path / "plan.json").read_text())
    fleet, rung = plan["fleet"], next(rung for rung in plan["ladder"] if rung["rung"] == "commit")
    counts = {group["instance_type"]: group["instances"] for group in fleet["groups"]}

    assert (counts["g6e.xlarge"][0], counts["g6e.xlarge"][-1]) == (1, 0)
    assert (counts["p5.4xlarge"][0], counts["p5.4xlarge"][-1]) == (0, 1)
    assert all(sum(at) > 0 for at in zip(*counts.values(), strict=True))
    assert fleet["confirmed"]["reached"]
    assert {group["instance_type"]: group["running_hours"].split()[2] for group in rung["groups"]} == {
        "g6e.xlarge": "quietest",
        "p5.4xlarge": "busiest",
    }
    assert not fleet["spare"]
    assert 0.9 < fleet["bound_usd_per_month"] / fleet["cost"]["total_usd_per_month"] < 1
    assert not fleet["proven"]
    shares = zip(*(group["request_shares"] for group in fleet["groups"]), strict=True)
    assert all(abs(sum(at) - 1) < 1e-9 for at in shares)
